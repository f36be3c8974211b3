"""Request Tracker 5 (REST 2.0): priority, queue and tags of live tickets. Status, owner and words are the agents'.

Every write is tied to the version that was read before it (If-Match): whoever else has saved in between wins, and the
ticket is read and planned again. Tags live in a custom field, because RT has none of its own.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, ClassVar

from roomtone.errors import RoomtoneError
from roomtone.settings import Connection
from roomtone.sync.desired import TICKET_ROUTING
from roomtone.sync.destinations.base import Answer, Nulls, Outcome
from roomtone.sync.destinations.helpdesk import Helpdesk
from roomtone.sync.destinations.zendesk import OWN_TAG_PREFIX
from roomtone.sync.plan import Intent
from roomtone.sync.transport import (
    Endpoint,
    Timing,
    Transport,
    VendorBusyError,
    VendorRefusedError,
    VendorUnansweredError,
)

# RT states no limit; it is a server of one's own, and a few calls a second leave it to the agents.
_PER_SECOND, _PER_MINUTE = 10, 300
ENDPOINTS = (
    Endpoint("GET", "/REST/2.0/rt", _PER_SECOND, _PER_MINUTE),
    Endpoint("GET", "/REST/2.0/queues/all", _PER_SECOND, _PER_MINUTE),
    Endpoint("GET", "/REST/2.0/ticket/{}", _PER_SECOND, _PER_MINUTE),
    # Repeatable because every update is tied to the version of the ticket that was read before it.
    Endpoint("PUT", "/REST/2.0/ticket/{}", _PER_SECOND, _PER_MINUTE),
)
# RT counts from 0 to 100 and calls 0 low, 50 medium and 100 high.
PRIORITIES = {"low": 0, "normal": 50, "high": 75, "urgent": 100}

_TRIES_ON_CONFLICT = 3


class RequestTracker(Helpdesk):
    name: ClassVar[str] = "request_tracker"
    source: ClassVar[str] = "request_tracker"
    kinds: ClassVar[tuple[str, ...]] = (TICKET_ROUTING,)
    batch_sizes: ClassVar[Mapping[str, int]] = {TICKET_ROUTING: 25}
    rate_limits: ClassVar[tuple[Endpoint, ...]] = ENDPOINTS
    nulls: ClassVar[Nulls] = Nulls.KEEP

    def __init__(self, connection: Connection, timing: Timing | None = None) -> None:
        headers = {"Authorization": _authorization(connection)}
        self._http: Transport = Transport(connection, headers, ENDPOINTS, timing)
        self._tag_field = connection.options.get("tag_field") or "Tags"
        self._queues: dict[str, tuple[str, str]] | None = None

    def probe(self) -> list[str]:
        """RT's version and whether queues can be read; RoomtoneError for a refused key."""
        version = self._http.call("GET", "/REST/2.0/rt").get("Version", "?")
        return [f"RT {version}", f"{len(self._all_queues())} queues can be read"]

    def _route(self, intent: Intent) -> Outcome:
        try:
            for _ in range(_TRIES_ON_CONFLICT):
                ticket = self._ticket(intent)
                # Without a version RT would let any write pass, so one that fits none is asked for.
                version = self._http.headers.get("etag") or '"none"'
                changes = self._changes(intent, ticket)
                if not changes:
                    return Outcome(intent.intent_id, Answer.ACCEPTED, "was so already")
                try:
                    said = self._http.call("PUT", _path(intent), body=changes, headers={"If-Match": version})
                except VendorRefusedError as refusal:
                    if refusal.status != 412:
                        raise
                    continue
                return self._outcome(intent, said)
        except VendorRefusedError as refusal:
            return Outcome(intent.intent_id, Answer.REJECTED, f"{refusal.status} {refusal.words}")
        except VendorBusyError as error:
            return Outcome(intent.intent_id, Answer.DEFERRED, error.value)
        except VendorUnansweredError as error:
            return Outcome(intent.intent_id, Answer.UNKNOWN, error.value)
        return Outcome(intent.intent_id, Answer.DEFERRED, "the ticket kept changing")

    def _outcome(self, intent: Intent, said: Any) -> Outcome:
        """RT answers 200 and a sentence also for what it did not do, so the ticket itself is asked."""
        left = self._changes(intent, self._ticket(intent))
        if not left:
            return Outcome(intent.intent_id, Answer.ACCEPTED)
        sentences = "; ".join(str(sentence) for sentence in said or []) or f"{', '.join(sorted(left))} stayed as it was"
        return Outcome(intent.intent_id, Answer.REJECTED, self._http.redacted(sentences))

    def _ticket(self, intent: Intent) -> Mapping[str, Any]:
        ticket: Mapping[str, Any] = self._http.call("GET", _path(intent))
        return ticket

    def _changes(self, intent: Intent, ticket: Mapping[str, Any]) -> dict[str, Any]:
        """The fields to write so that the ticket is as wanted. Tags that are not ours stay; ours that are stale go.

        A queue that RT does not have and a tag field that the ticket does not have are left out.
        """
        wanted = intent.payload
        changes: dict[str, Any] = {}
        priority = PRIORITIES.get(str(wanted["priority"]))
        if priority is not None and _number(ticket.get("Priority")) != priority:
            changes["Priority"] = priority
        queue = None if wanted["queue"] is None else self._all_queues().get(_plain(wanted["queue"]))
        if queue is not None and str((ticket.get("Queue") or {}).get("id")) != queue[0]:
            changes["Queue"] = queue[1]
        tags = _tags(ticket, self._tag_field)
        if tags is not None:
            kept = [tag for tag in tags if not tag.startswith(OWN_TAG_PREFIX) or tag in wanted["tags"]]
            kept += [tag for tag in wanted["tags"] if tag not in kept]
            if set(kept) != set(tags):
                changes["CustomFields"] = {self._tag_field: kept}
        return changes

    def _all_queues(self) -> dict[str, tuple[str, str]]:
        """Id and name by plain name, over all pages."""
        if self._queues is None:
            found: dict[str, tuple[str, str]] = {}
            number, pages = 1, 1
            while number <= pages:
                params = {"fields": "Name", "per_page": "100", "page": str(number)}
                page = self._http.call("GET", "/REST/2.0/queues/all", params=params)
                found |= {_plain(queue["Name"]): (str(queue["id"]), queue["Name"]) for queue in page["items"]}
                number, pages = number + 1, int(page.get("pages") or 1)
            self._queues = found
        return self._queues


def _path(intent: Intent) -> str:
    return f"/REST/2.0/ticket/{intent.vendor_id}"


def _tags(ticket: Mapping[str, Any], field: str) -> list[str] | None:
    for held in ticket.get("CustomFields") or []:
        if held.get("name") == field:
            return [str(value) for value in held.get("values") or []]
    return None


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())


def _authorization(connection: Connection) -> str:
    """An auth token of RT, or the password of the user that the connection's `user` option names."""
    user = connection.options.get("user")
    if not user:
        if not connection.token:
            raise RoomtoneError("connection request_tracker", "has no credential", "set ROOMTONE_REQUEST_TRACKER_TOKEN")
        return f"token {connection.token}"
    return "Basic " + b64encode(f"{user}:{connection.token}".encode()).decode()
