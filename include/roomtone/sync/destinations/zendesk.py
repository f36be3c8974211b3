"""Zendesk: priority, group and tags of live tickets. Status, assignee and comments are the agents' and never sent."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar

from roomtone.settings import Connection
from roomtone.sync.desired import TICKET_ROUTING
from roomtone.sync.destinations.base import Answer, Nulls, Outcome
from roomtone.sync.destinations.helpdesk import Helpdesk
from roomtone.sync.plan import Intent
from roomtone.sync.transport import (
    Endpoint,
    Timing,
    Transport,
    VendorBusyError,
    VendorRefusedError,
    VendorUnansweredError,
)

# "400 requests per minute" on the Growth plan, all calls of an account together. A quarter is left to the extraction
# and to the team's other apps. As evenly as this, since each sync is a process that knows nothing of the one before.
_PER_SECOND, _PER_MINUTE = 5, 300
_ACCOUNT = "account"
ENDPOINTS = (
    Endpoint("GET", "/api/v2/groups", _PER_SECOND, _PER_MINUTE, counted_as=_ACCOUNT),
    # The vendor's links to further pages have this ending.
    Endpoint("GET", "/api/v2/groups.json", _PER_SECOND, _PER_MINUTE, counted_as=_ACCOUNT),
    Endpoint("GET", "/api/v2/tickets/show_many", _PER_SECOND, _PER_MINUTE, counted_as=_ACCOUNT),
    Endpoint("GET", "/api/v2/tickets/{}", _PER_SECOND, _PER_MINUTE, counted_as=_ACCOUNT),
    # Repeatable because every update is tied to the version of the ticket that was read before it.
    Endpoint("PUT", "/api/v2/tickets/{}", _PER_SECOND, _PER_MINUTE, counted_as=_ACCOUNT),
)

OWN_TAG_PREFIX = "roomtone_"
_TRIES_ON_CONFLICT = 3
# A second's worth: no pass waits longer than that for the tickets of the one before.
_AT_A_TIME = 5
_SHOWN_AT_ONCE = 100


class Zendesk(Helpdesk):
    name: ClassVar[str] = "zendesk"
    source: ClassVar[str] = "zendesk"
    kinds: ClassVar[tuple[str, ...]] = (TICKET_ROUTING,)
    batch_sizes: ClassVar[Mapping[str, int]] = {TICKET_ROUTING: _AT_A_TIME}
    rate_limits: ClassVar[tuple[Endpoint, ...]] = ENDPOINTS
    nulls: ClassVar[Nulls] = Nulls.KEEP

    def __init__(self, connection: Connection, timing: Timing | None = None) -> None:
        headers = {"Authorization": _authorization(connection)}
        self._http: Transport = Transport(connection, headers, ENDPOINTS, timing)
        self._groups: dict[str, int] | None = None

    def send(self, kind: str, batch: Sequence[Intent], now: datetime) -> list[Outcome]:  # noqa: ARG002 - the interface is wider than a helpdesk
        tickets = self._tickets(batch)
        return [self._route(intent, tickets.get(intent.vendor_id)) for intent in batch]

    def _route(self, intent: Intent, held: Mapping[str, Any] | None = None) -> Outcome:
        """`held`: the ticket as it was read together with others; it is read alone where that is missing or old."""
        try:
            for attempt in range(1, _TRIES_ON_CONFLICT + 1):
                ticket = held if held is not None and attempt == 1 else self._ticket(intent)
                changes = self._changes(intent, ticket)
                if not changes:
                    return Outcome(intent.intent_id, Answer.ACCEPTED, "was so already")
                # Whoever else has the ticket open wins: the update only counts for the version that was read.
                stamp = {"safe_update": True, "updated_stamp": ticket["updated_at"]}
                try:
                    self._http.call("PUT", _path(intent), body={"ticket": changes | stamp})
                    return Outcome(intent.intent_id, Answer.ACCEPTED)
                except VendorRefusedError as refusal:
                    if refusal.status != 409 or attempt == _TRIES_ON_CONFLICT:
                        raise
        except VendorRefusedError as refusal:
            if refusal.status == 409:
                return Outcome(intent.intent_id, Answer.DEFERRED, "the ticket kept changing")
            return Outcome(intent.intent_id, Answer.REJECTED, f"{refusal.status} {refusal.words}")
        except VendorBusyError as error:
            return Outcome(intent.intent_id, Answer.DEFERRED, error.value)
        except VendorUnansweredError as error:
            return Outcome(intent.intent_id, Answer.UNKNOWN, error.value)
        raise AssertionError("the last try returns or raises")

    def _tickets(self, intents: Sequence[Intent]) -> dict[str, Any]:
        found = {}
        for start in range(0, len(intents), _SHOWN_AT_ONCE):
            ids = ",".join(dict.fromkeys(intent.vendor_id for intent in intents[start : start + _SHOWN_AT_ONCE]))
            with suppress(VendorRefusedError, VendorUnansweredError, VendorBusyError):
                page = self._http.call("GET", "/api/v2/tickets/show_many", params={"ids": ids})
                found.update({str(ticket["id"]): ticket for ticket in page["tickets"]})
        return found

    def _ticket(self, intent: Intent) -> Mapping[str, Any]:
        ticket: Mapping[str, Any] = self._http.call("GET", _path(intent))["ticket"]
        return ticket

    def _changes(self, intent: Intent, ticket: Mapping[str, Any]) -> dict[str, Any]:
        """The fields to write so that the ticket is as wanted. Tags that are not ours stay; ours that are stale go."""
        wanted = intent.payload
        changes: dict[str, Any] = {}
        if wanted["priority"] is not None and ticket.get("priority") != wanted["priority"]:
            changes["priority"] = wanted["priority"]
        group_id = self._group_id(wanted["queue"])
        if group_id is not None and ticket.get("group_id") != group_id:
            changes["group_id"] = group_id
        tags = [str(tag) for tag in ticket.get("tags") or []]
        kept = [tag for tag in tags if not tag.startswith(OWN_TAG_PREFIX) or tag in wanted["tags"]]
        kept += [tag for tag in wanted["tags"] if tag not in kept]
        if set(kept) != set(tags):
            changes["tags"] = kept
        return changes

    def _group_id(self, queue: str | None) -> int | None:
        """The group that is called like the queue; without one the ticket stays where it is, with priority and tags."""
        if queue is None:
            return None
        if self._groups is None:
            self._groups = self._read_groups()
        return self._groups.get(_plain(queue))

    def _read_groups(self) -> dict[str, int]:
        """Group id by plain name, over all pages."""
        found: dict[str, int] = {}
        page = self._http.call("GET", "/api/v2/groups")
        while True:
            found |= {_plain(group["name"]): int(group["id"]) for group in page["groups"] if not group.get("deleted")}
            if not page.get("next_page"):
                return found
            page = self._http.follow(page["next_page"])


def _path(intent: Intent) -> str:
    return f"/api/v2/tickets/{intent.vendor_id}"


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())


def _authorization(connection: Connection) -> str:
    """An OAuth token, or an API token of the agent that the connection's `email` option names."""
    email = connection.options.get("email")
    if email is None:
        return f"Bearer {connection.token}"
    return "Basic " + b64encode(f"{email}/token:{connection.token}".encode()).decode()
