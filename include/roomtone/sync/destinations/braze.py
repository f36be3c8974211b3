"""Braze: pauses as custom attributes, recovery triggers as custom events, both through `/users/track`.

Users are addressed by their external id and never made: each object says so, and events only go to users that were
just read. There is no call here that touches a subscription, a suppression or a segment.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from roomtone.errors import RoomtoneError
from roomtone.settings import Connection
from roomtone.stores.operational import OperationalStore
from roomtone.sync.desired import PROFILE_PROPERTIES, RECOVERY_EVENT, DesiredRow, rfc3339
from roomtone.sync.destinations.base import Answer, Destination, Idempotency, Nulls, Outcome
from roomtone.sync.destinations.batch_calls import send_in_halves
from roomtone.sync.destinations.klaviyo import metric_name
from roomtone.sync.identities import IdentityBook
from roomtone.sync.plan import Intent
from roomtone.sync.transport import Endpoint, Timing, Transport

ENDPOINTS = (
    # "a base speed limit of 3,000 requests per three seconds". Attributes may be sent twice; for events each call says.
    Endpoint("POST", "/users/track", 1000, 60_000),
    # "250 requests per minute" for whoever joined after 22 August 2024, ten times as many for the others.
    Endpoint("POST", "/users/export/ids", 25, 250),
)
# "up to 75 event objects, 75 attribute objects"; the newer contracts allow 75 objects in all.
OBJECTS_PER_CALL = 75
# "Up to 50 external_ids or user_aliases can be included in a single request."
IDS_PER_EXPORT = 50
# The vendor takes events into a queue and counts one twice that it was given twice. One that was tried and cannot be
# seen is therefore left alone for twice this long before it is sent again.
VISIBILITY_LAG = timedelta(minutes=5)


_SUBSCRIBED = ("subscribed", "opted_in")


class Braze(Destination):
    name: ClassVar[str] = "braze"
    kinds: ClassVar[tuple[str, ...]] = (PROFILE_PROPERTIES, RECOVERY_EVENT)
    batch_sizes: ClassVar[Mapping[str, int]] = dict.fromkeys(kinds, OBJECTS_PER_CALL)
    rate_limits: ClassVar[tuple[Endpoint, ...]] = ENDPOINTS
    idempotency: ClassVar[Mapping[str, Idempotency]] = {RECOVERY_EVENT: Idempotency.NONE}
    nulls: ClassVar[Nulls] = Nulls.CLEAR
    visibility_lag: ClassVar[timedelta] = VISIBILITY_LAG

    def __init__(self, connection: Connection, store: OperationalStore, timing: Timing | None = None) -> None:
        headers = {"Authorization": f"Bearer {connection.token}"}
        self._http: Transport = Transport(connection, headers, ENDPOINTS, timing)
        self._identities = IdentityBook(store, self.name)
        self._prefix = connection.options.get("customer_prefix", "")

    def vendor_ids(self, rows: Sequence[DesiredRow], now: datetime) -> dict[str, str]:
        """External ids: the customer's id without `ROOMTONE_BRAZE_CUSTOMER_PREFIX`, for the users that exist."""
        known = self._identities.resolve(rows, now, self._existing, by=self._external_id)
        return {row.subject_id: known[row.customer_id] for row in rows if row.customer_id in known}

    def subjects_of(self, vendor_ids: Iterable[str]) -> dict[str, str]:
        return self._identities.customers_of(vendor_ids)

    def send(self, kind: str, batch: Sequence[Intent], now: datetime) -> list[Outcome]:
        held = self._export(intent.vendor_id for intent in batch)
        outcomes = self._identities.gone([intent for intent in batch if intent.vendor_id not in held])
        present = [intent for intent in batch if intent.vendor_id in held]
        if kind == RECOVERY_EVENT:
            return outcomes + self._send_events(present, held)
        # "customers should only pass deltas": every attribute that is passed counts as a data point.
        changes = {intent.intent_id: _changes(intent, held[intent.vendor_id]) for intent in present}
        as_wanted = [intent for intent in present if not changes[intent.intent_id]]
        outcomes += [Outcome(intent.intent_id, Answer.ACCEPTED, "was so already") for intent in as_wanted]
        rest = [intent for intent in present if changes[intent.intent_id]]
        return outcomes + send_in_halves(
            rest,
            lambda part: self._track("attributes", part, [_user(i, changes[i.intent_id], now) for i in part]),
        )

    def look_up(self, kind: str, intents: Sequence[Intent]) -> set[str]:
        held = self._export(intent.vendor_id for intent in intents)
        is_there = _has_event if kind == RECOVERY_EVENT else lambda intent, user: not _changes(intent, user)
        return {
            intent.intent_id
            for intent in intents
            if intent.vendor_id in held and is_there(intent, held[intent.vendor_id])
        }

    def read_state(self, kind: str, vendor_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Custom attributes by external id; a user that Braze does not have is left out."""
        if kind != PROFILE_PROPERTIES:
            return {}
        return {user_id: _in_our_words(user) for user_id, user in self._export(vendor_ids).items()}

    def consenting(self, channel: str, vendor_ids: Sequence[str]) -> set[str] | None:
        """Users who are subscribed to e-mail there. Consent to text messages is not in what can be exported."""
        if channel != "email":
            return None
        held = self._export(vendor_ids, ("external_id", "email_subscribe"))
        return {user_id for user_id, user in held.items() if user.get("email_subscribe") in _SUBSCRIBED}

    def probe(self) -> list[str]:
        self._export(["roomtone-probe"])
        remaining, limit = (self._http.headers.get(f"x-ratelimit-{name}", "?") for name in ("remaining", "limit"))
        said = [f"users.export.ids is granted; {remaining} of {limit} reads are left in this window"]
        # An object without a user is refused after the permission was checked, and names nobody.
        try:
            self._http.call("POST", "/users/track", body={"attributes": []}, is_repeatable=False)
        except RoomtoneError as error:
            if "answered 400" not in error.value:
                raise
        return [*said, "users.track is granted"]

    def _external_id(self, row: DesiredRow) -> str | None:
        if row.customer_id is None or not row.customer_id.startswith(self._prefix):
            return None
        return row.customer_id.removeprefix(self._prefix)

    def _existing(self, external_ids: Sequence[str]) -> dict[str, str]:
        return {external_id: external_id for external_id in self._export(external_ids)}

    def _export(
        self, external_ids: Iterable[str], wanted: Sequence[str] = ("external_id", "custom_attributes", "custom_events")
    ) -> dict[str, Mapping[str, Any]]:
        """The fields wanted by external id; a user that Braze does not have is left out."""
        found: dict[str, Mapping[str, Any]] = {}
        for part in _parts(sorted(set(external_ids))):
            body = {"external_ids": part, "fields_to_export": list(wanted)}
            answer = self._http.call("POST", "/users/export/ids", body=body)
            found |= {user["external_id"]: user for user in answer["users"] if user.get("external_id")}
        return found

    def _send_events(self, batch: Sequence[Intent], held: Mapping[str, Mapping[str, Any]]) -> list[Outcome]:
        there = [intent for intent in batch if _has_event(intent, held[intent.vendor_id])]
        fresh = [intent for intent in batch if intent not in there]
        return [Outcome(intent.intent_id, Answer.ACCEPTED, "was there already") for intent in there] + send_in_halves(
            fresh, lambda part: self._track("events", part, [_event(intent) for intent in part])
        )

    def _track(self, what: str, batch: Sequence[Intent], objects: list[dict[str, Any]]) -> list[Outcome]:
        """One call. "success" with errors: each names the place of an object that was dropped; the rest was taken."""
        answer = self._http.call("POST", "/users/track", body={what: objects}, is_repeatable=what == "attributes")
        errors = [error for error in answer.get("errors") or [] if isinstance(error, dict)]
        failed = {
            error["index"]: self._http.redacted(str(error.get("type") or error.get("message") or "no reason given"))
            for error in errors
            if error.get("input_array", what) == what and isinstance(error.get("index"), int)
        }
        outcomes = []
        for place, intent in enumerate(batch):
            if place in failed:
                outcomes.append(Outcome(intent.intent_id, Answer.REJECTED, failed[place]))
            elif len(errors) > len(failed):
                outcomes.append(Outcome(intent.intent_id, Answer.UNKNOWN, "an error that names no object"))
            else:
                outcomes.append(Outcome(intent.intent_id, Answer.ACCEPTED))
        return outcomes


def _changes(intent: Intent, user: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted attributes that the user does not have so. One that is missing there is null."""
    attributes = user.get("custom_attributes") or {}
    return {name: value for name, value in intent.payload.items() if not _is_same(attributes.get(name), value)}


def _in_our_words(user: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as a payload would write them: an empty reason is left out of an export, and times are reworded."""
    attributes = {"roomtone_reason": ""} | dict(user.get("custom_attributes") or {})
    until = attributes.get("roomtone_pause_until")
    instant = _instant(until) if isinstance(until, str) else None
    return attributes | ({} if instant is None else {"roomtone_pause_until": rfc3339(instant)})


def _is_same(held: Any, wanted: Any) -> bool:
    # "if a field is missing from the object it should be assumed to be null, false, or empty"; yet a pause is never
    # left absent. Times come back in the vendor's own writing.
    if isinstance(held, str) and isinstance(wanted, str) and held != wanted:
        return _instant(held) is not None and _instant(held) == _instant(wanted)
    return (type(held) is type(wanted) and bool(held == wanted)) or (held is None and wanted == "")


def _user(intent: Intent, changes: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    address = {"external_id": intent.vendor_id, "_update_existing_only": True}
    return address | dict(changes) | {"roomtone_synced_at": rfc3339(now)}


def _event(intent: Intent) -> dict[str, Any]:
    return {
        "external_id": intent.vendor_id,
        "_update_existing_only": True,
        "name": metric_name(str(intent.payload["kind"])),
        "time": event_time(intent).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "properties": dict(intent.payload),
    }


def event_time(intent: Intent) -> datetime:
    """When the trigger fell due, with milliseconds that are the trigger's own.

    An export shows of a user's events the first time and the last of each name and no more, so the time is what an
    event is known by.
    """
    due = datetime.fromisoformat(str(intent.payload["due_at"])).astimezone(UTC).replace(microsecond=0)
    return due + timedelta(milliseconds=int.from_bytes(hashlib.sha256(intent.subject_id.encode()).digest()[:4]) % 1000)


def _has_event(intent: Intent, user: Mapping[str, Any]) -> bool:
    """Whether the event is the first or the last of its name, or lies between them and so cannot be told apart.

    In that case it counts as there: an apology that is missing is better than one that comes twice.
    """
    name, at = metric_name(str(intent.payload["kind"])), event_time(intent)
    for event in user.get("custom_events") or []:
        if event["name"] == name:
            first, last = _instant(event["first"]), _instant(event["last"])
            return first is not None and last is not None and first <= at <= last
    return False


def _instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), IDS_PER_EXPORT):
        yield ids[start : start + IDS_PER_EXPORT]
