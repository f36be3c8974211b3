"""Customer.io: pauses as attributes of people, recovery triggers as events, both through the Track API's batch.

The Track API shows nothing and never says that it does not know somebody. With a key of the App API people are looked
up first and read back; without one attributes go out with `_update`, which makes nobody, its yes has to do, and events
stay at home, because an event makes the person whom it names. Nothing here suppresses, deletes or unsubscribes.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from roomtone.errors import RoomtoneError
from roomtone.settings import Connection
from roomtone.stores.operational import OperationalStore
from roomtone.sync.desired import PROFILE_PROPERTIES, RECOVERY_EVENT, DesiredRow
from roomtone.sync.destinations.base import Answer, Destination, Idempotency, Nulls, Outcome
from roomtone.sync.destinations.batch_calls import send_in_halves
from roomtone.sync.destinations.klaviyo import metric_name
from roomtone.sync.identities import IdentityBook
from roomtone.sync.plan import Intent
from roomtone.sync.transport import Endpoint, Timing, Transport

TRACK_ENDPOINTS = (
    # "a rate limit of 1000 requests per second"; "consistently exceeding it may lead to throttling or dropped data".
    # Repeatable: attributes are set, and each event carries an id of which only the first is recorded.
    Endpoint("POST", "/api/v2/batch", 500, 30_000),
    Endpoint("GET", "/api/v1/accounts/region", 1, 60),
)
# "Your request is over the 10-per-second limit."
APP_ENDPOINTS = (Endpoint("POST", "/v1/customers/attributes", 10, 600),)

# "Your batch request must be smaller than 500kb. Each of the requests within the batch must also be 32kb or smaller."
BATCH_BYTES = 500_000
ITEM_BYTES = 32_000
# As many people as one question to the App API may name.
PEOPLE_PER_LOOK = 100
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DATES = frozenset({"roomtone_pause_until"})


class CustomerIo(Destination):
    name: ClassVar[str] = "customerio"
    kinds: ClassVar[tuple[str, ...]] = (PROFILE_PROPERTIES, RECOVERY_EVENT)
    batch_sizes: ClassVar[Mapping[str, int]] = dict.fromkeys(kinds, 400)
    # Room for what an item holds beside its payload.
    batch_bytes: ClassVar[int] = 300_000
    rate_limits: ClassVar[tuple[Endpoint, ...]] = TRACK_ENDPOINTS + APP_ENDPOINTS
    idempotency: ClassVar[Mapping[str, Idempotency]] = {RECOVERY_EVENT: Idempotency.DEDUPLICATED}
    nulls: ClassVar[Nulls] = Nulls.CLEAR
    # Not alike for every account: it takes a key of the App API.
    can_read_back: bool = True  # type: ignore[misc]

    def __init__(self, connection: Connection, store: OperationalStore, timing: Timing | None = None) -> None:
        site_id = connection.options.get("site_id", "")
        if not site_id:
            raise RoomtoneError(
                "ROOMTONE_CUSTOMERIO_SITE_ID", "is not set", "copy the Site ID beside the Track API key into it"
            )
        secret = b64encode(f"{site_id}:{connection.token}".encode()).decode()
        headers = {"Authorization": f"Basic {secret}"}
        self._http: Transport = Transport(connection, headers, TRACK_ENDPOINTS, timing)
        self._app = _app_api(connection, timing)
        self.can_read_back = self._app is not None
        self._prefix = connection.options.get("customer_prefix", "")
        self._identities = IdentityBook(store, self.name)
        self._accepted: set[str] = set()

    def remember_calls(self, ages: Mapping[str, Sequence[float]]) -> None:
        for http in self._clients():
            http.remember(ages)

    def call_ages(self) -> dict[str, list[float]]:
        return {counted: ages for http in self._clients() for counted, ages in http.ages().items()}

    def _clients(self) -> list[Transport]:
        return [self._http] if self._app is None else [self._http, self._app]

    def close(self) -> None:
        self._http.close()
        if self._app is not None:
            self._app.close()

    def vendor_ids(self, rows: Sequence[DesiredRow], now: datetime) -> dict[str, str]:
        """The customer's id without `ROOMTONE_CUSTOMERIO_CUSTOMER_PREFIX`; with an App API key only of known people."""
        if self._app is None:
            ids = {row.subject_id: self._person_id(row) for row in rows if row.kind != RECOVERY_EVENT}
            return {subject: person_id for subject, person_id in ids.items() if person_id}
        known = self._identities.resolve(rows, now, self._existing, by=self._person_id)
        return {row.subject_id: known[row.customer_id] for row in rows if row.customer_id in known}

    def subjects_of(self, vendor_ids: Iterable[str]) -> dict[str, str]:
        return self._identities.customers_of(vendor_ids)

    def send(self, kind: str, batch: Sequence[Intent], now: datetime) -> list[Outcome]:
        outcomes: list[Outcome] = []
        present = list(batch)
        if self._app is not None:
            held = self._people(intent.vendor_id for intent in batch)
            outcomes = self._identities.gone([intent for intent in batch if intent.vendor_id not in held])
            present = [intent for intent in batch if intent.vendor_id in held]
        items = {i.intent_id: _event(i) if kind == RECOVERY_EVENT else _person(i, now) for i in present}
        sizes = {intent_id: len(json.dumps(item).encode()) for intent_id, item in items.items()}
        for intent in present:
            if sizes[intent.intent_id] > ITEM_BYTES:
                words = f"{sizes[intent.intent_id]} bytes, where Customer.io takes {ITEM_BYTES} of one request"
                outcomes.append(Outcome(intent.intent_id, Answer.REJECTED, words))
        fitting = [intent for intent in present if sizes[intent.intent_id] <= ITEM_BYTES]
        outcomes += send_in_halves(fitting, lambda part: self._post(part, items))
        self._accepted |= {outcome.intent_id for outcome in outcomes if outcome.answer is Answer.ACCEPTED}
        return outcomes

    def look_up(self, kind: str, intents: Sequence[Intent]) -> set[str]:
        """Read back through the App API, else what this process was given a yes for: the rest is sent once more."""
        if self._app is None or kind == RECOVERY_EVENT:
            return {intent.intent_id for intent in intents if intent.intent_id in self._accepted}
        held = self._people(intent.vendor_id for intent in intents)
        return {
            intent.intent_id
            for intent in intents
            if intent.vendor_id in held and _is_held(_attributes(intent), held[intent.vendor_id])
        }

    def read_state(self, kind: str, vendor_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Attributes by id under a payload's names and types; people whom Customer.io does not have are left out."""
        if kind != PROFILE_PROPERTIES or self._app is None:
            return {}
        return {person_id: _in_our_words(held) for person_id, held in self._people(vendor_ids).items()}

    def probe(self) -> list[str]:
        """Workspace and region of the key, and whether people can be read; RoomtoneError for a refused one."""
        facts = self._http.call("GET", "/api/v1/accounts/region")
        said = [f"the key is for workspace {facts['environment_id']} in region {facts['region']} ({facts['url']})"]
        if self._app is None:
            return [*said, "no ROOMTONE_CUSTOMERIO_APP_KEY: nothing is read back, and no event is sent"]
        self._people(["roomtone-probe"])
        return [*said, "the App API key reads people"]

    def account(self) -> str | None:
        """The workspace of the key, as Customer.io numbers them."""
        return str(self._http.call("GET", "/api/v1/accounts/region")["environment_id"])

    def _person_id(self, row: DesiredRow) -> str | None:
        if row.customer_id is None or not row.customer_id.startswith(self._prefix):
            return None
        return row.customer_id.removeprefix(self._prefix)

    def _existing(self, person_ids: Sequence[str]) -> dict[str, str]:
        return {person_id: person_id for person_id in self._people(person_ids)}

    def _people(self, person_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Attributes by id, of the people whom Customer.io has."""
        assert self._app is not None
        wanted = sorted(set(person_ids))
        found: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(wanted), PEOPLE_PER_LOOK):
            body = {"ids": wanted[start : start + PEOPLE_PER_LOOK]}
            answer = self._app.call("POST", "/v1/customers/attributes", body=body)
            people = [entry.get("customer", entry) for entry in answer["customers"]]
            found |= {str(person["id"]): person.get("attributes") or {} for person in people}
        return found

    def _post(self, batch: Sequence[Intent], items: Mapping[str, Any]) -> list[Outcome]:
        """One call, or two where it would be too long. 207: the errors name the items that were dropped."""
        body = {"batch": [items[intent.intent_id] for intent in batch]}
        if len(batch) > 1 and len(json.dumps(body).encode()) >= BATCH_BYTES:
            middle = len(batch) // 2
            return self._post(batch[:middle], items) + self._post(batch[middle:], items)
        answer = self._http.call("POST", "/api/v2/batch", body=body) or {}
        failed: dict[int, str] = {}
        for error in answer.get("errors") or []:
            words = ": ".join(str(error[part]) for part in ("reason", "field", "message") if error.get(part))
            failed[int(error["batch_index"])] = self._http.redacted(words)
        return [
            Outcome(intent.intent_id, Answer.REJECTED, failed[place])
            if place in failed
            else Outcome(intent.intent_id, Answer.ACCEPTED)
            for place, intent in enumerate(batch)
        ]


def _app_api(connection: Connection, timing: Timing | None) -> Transport | None:
    key = connection.options.get("app_key")
    if not key:
        return None
    default = connection.url.replace("://track", "://api", 1)
    other = Connection(connection.name, (connection.options.get("app_url") or default).rstrip("/"), key)
    return Transport(other, {"Authorization": f"Bearer {key}"}, APP_ENDPOINTS, timing)


def _person(intent: Intent, now: datetime) -> dict[str, Any]:
    attributes = _attributes(intent) | {"roomtone_synced_at": int(now.timestamp()), "_update": True}
    return {
        "type": "person",
        "identifiers": {"id": intent.vendor_id},
        "action": "identify",
        "attributes": attributes,
    }


def _attributes(intent: Intent) -> dict[str, Any]:
    """The payload in Customer.io's terms: dates as Unix seconds, which its conditions compare; empty clears."""
    return {name: _value(name, value) for name, value in intent.payload.items()}


def _value(name: str, value: Any) -> Any:
    if value is None:
        return ""
    if name in _DATES:
        return int(datetime.fromisoformat(str(value)).timestamp())
    return value


def _is_held(wanted: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
    """Attributes come back as text: "true", "2"; an empty one is gone."""
    return all(_text(held.get(name)) == _text(value) for name, value in wanted.items())


def _in_our_words(held: Mapping[str, str]) -> dict[str, Any]:
    """Attributes as a payload would write them: they are kept as text, an empty one not at all, dates as seconds."""
    words: dict[str, Any] = {"true": True, "false": False}
    found: dict[str, Any] = {"roomtone_reason": ""} | {name: words.get(text, text) for name, text in held.items()}
    if str(found.get("roomtone_tier", "")).isdecimal():
        found["roomtone_tier"] = int(found["roomtone_tier"])
    for name in _DATES & found.keys():
        if str(found[name]).isdecimal():
            found[name] = datetime.fromtimestamp(int(found[name]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _event(intent: Intent) -> dict[str, Any]:
    return {
        "type": "person",
        "identifiers": {"id": intent.vendor_id},
        "action": "event",
        "id": event_ulid(intent.subject_id, datetime.fromisoformat(str(intent.payload["due_at"]))),
        "name": metric_name(str(intent.payload["kind"])),
        "timestamp": int(datetime.fromisoformat(str(intent.payload["due_at"])).timestamp()),
        "attributes": dict(intent.payload),
    }


def event_ulid(trigger_id: str, due_at: datetime) -> str:
    """The ULID by which Customer.io knows a trigger again: its due time in milliseconds, then 80 bits of its id."""
    bits = int(due_at.timestamp() * 1000) << 80 | int.from_bytes(hashlib.sha256(trigger_id.encode()).digest()[:10])
    return "".join(_CROCKFORD[bits >> shift & 31] for shift in range(125, -1, -5))
