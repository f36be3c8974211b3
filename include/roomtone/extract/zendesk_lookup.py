"""What is asked of Zendesk in a hurry, beside its exports: the newest audits, and tickets and people by their ids.

A webhook tells of a ticket without its custom fields and of its requester without an address, and the exports hold back
what is younger than a minute. The answers here have the shape that the exports have, so that either way gives the same
version. When the vendor does not answer, what was heard lands all the same and the exports bring the rest.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import structlog

from roomtone.errors import RoomtoneError
from roomtone.extract import zendesk_records as records
from roomtone.extract.http import VendorApi
from roomtone.extract.received import Record, UnfinishedError
from roomtone.settings import Connection

log = structlog.get_logger(__name__)

_IDS_A_CALL = 100
# The most that the vendor gives at once; further pages may skip some and are left to the exports.
_AUDITS = 100
# A message is not held up for what the exports bring a minute later.
_BUDGET_SECONDS = "2"


class ZendeskLookup:
    """One hurried conversation with the vendor: a connection and a budget for all that is asked. Close it.

    Notes the tickets that events are about, then gives them and their requesters as they are now.
    """

    def __init__(self, connection: Connection | None) -> None:
        self._connection = connection
        self._api: VendorApi | None = None
        self._tickets: dict[str, None] = {}
        self._people: set[str] = set()

    def close(self) -> None:
        if self._api is not None:
            self._api.close()

    def newest_audits(self) -> list[dict[str, Any]]:
        """What happened to tickets last, at most a hundred audits; none without an administrator's key."""
        try:
            return _rows(self._hurried().get("/api/v2/ticket_audits.json", {"limit": str(_AUDITS)}), "audits")
        except (UnfinishedError, RoomtoneError) as error:
            log.info("the newest audits were not read; messages are heard a minute later", failure=type(error).__name__)
            return []

    def users(self, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The people with these ids, in the vendor's shape, each once; whom it does not know it leaves out."""
        wanted = [key for key in ids if key.isdigit() and key not in self._people]
        self._people.update(wanted)
        yield from self._many("users", wanted)

    def note(self, ticket_id: str | None) -> None:
        """Remember a ticket, if the id is one: digits."""
        if ticket_id is not None and ticket_id.isdigit():
            self._tickets[ticket_id] = None

    def records(self) -> Iterator[Record]:
        """The noted tickets, and of their requesters those who were not given yet."""
        if self._connection is None:
            return
        order_field = self._connection.options.get("order_field_id", "")
        people: dict[str, None] = {}
        for ticket in self._many("tickets", list(self._tickets)):
            people[str(ticket.get("requester_id"))] = None
            yield records.ticket(ticket, order_field)._replace(source="zendesk")
        for user in self.users(people):
            if user.get("role") == "end-user":
                yield records.customer(user)._replace(source="zendesk")

    def _many(self, kind: str, ids: list[str]) -> Iterator[dict[str, Any]]:
        try:
            for start in range(0, len(ids), _IDS_A_CALL):
                part = ",".join(ids[start : start + _IDS_A_CALL])
                yield from _rows(self._hurried().get(f"/api/v2/{kind}/show_many.json", {"ids": part}), kind)
        except (UnfinishedError, RoomtoneError) as error:
            failure = type(error).__name__
            log.warning("what happened last was not looked up; the exports bring it", of=kind, failure=failure)

    def _hurried(self) -> VendorApi:
        if self._api is None:
            assert self._connection is not None
            options = {**self._connection.options, "budget_seconds": _BUDGET_SECONDS}
            headers = {"Authorization": f"Bearer {self._connection.token}"}
            self._api = VendorApi(replace(self._connection, options=options), headers)
        return self._api


def _rows(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = answer.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
