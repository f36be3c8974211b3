"""What Zendesk's webhooks leave out, asked of its API: the tickets and people of a whole batch in one call each.

A webhook tells of a ticket without its custom fields and of its requester without an address. Both are asked for, a
hundred at a time, in the shape that the poll reads, so that either way gives the same version. When the vendor does not
answer, the message lands all the same and the poll brings the rest.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import structlog

from roomtone.errors import RoomtoneError
from roomtone.extract import zendesk_records as records
from roomtone.extract.http import RefusalError, VendorApi
from roomtone.extract.received import Record, UnfinishedError
from roomtone.settings import Connection

log = structlog.get_logger(__name__)

_IDS_A_CALL = 100
# A message is not held up for what the poll brings a minute later.
_BUDGET_SECONDS = "2"


class ZendeskLookup:
    """Notes the tickets that events are about, then gives them and their requesters as they are now."""

    def __init__(self, connection: Connection | None) -> None:
        self._connection = connection
        self._tickets: dict[str, None] = {}

    def note(self, ticket_id: str | None) -> None:
        """Remember a ticket; its id consists of digits."""
        if ticket_id is not None:
            self._tickets[ticket_id] = None

    def records(self) -> Iterator[Record]:
        if self._connection is None or not self._tickets:
            return
        order_field = self._connection.options.get("order_field_id", "")
        headers = {"Authorization": f"Bearer {self._connection.token}"}
        hurried = replace(self._connection, options={**self._connection.options, "budget_seconds": _BUDGET_SECONDS})
        try:
            with VendorApi(hurried, headers) as api:
                people: dict[str, None] = {}
                for ticket in _many(api, "tickets", list(self._tickets)):
                    people[str(ticket.get("requester_id"))] = None
                    yield records.ticket(ticket, order_field)._replace(source="zendesk")
                for user in _many(api, "users", [key for key in people if key.isdigit()]):
                    if user.get("role") == "end-user":
                        yield records.customer(user)._replace(source="zendesk")
        except (RefusalError, UnfinishedError, RoomtoneError) as error:
            log.warning("tickets of webhooks were not looked up; the poll brings them", failure=type(error).__name__)


def _many(api: VendorApi, kind: str, ids: list[str]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(ids), _IDS_A_CALL):
        part = ",".join(ids[start : start + _IDS_A_CALL])
        rows = api.get(f"/api/v2/{kind}/show_many.json", {"ids": part}).get(kind)
        yield from (row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
