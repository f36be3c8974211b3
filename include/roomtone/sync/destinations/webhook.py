"""Any receiver of webhooks: one signed POST for each intent, in the form of the Standard Webhooks specification.

The id of a message is that of its intent, so that a receiver that has seen it drops it. A person is named by the
customer's id alone; e-mail addresses never travel.
"""

import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from binascii import Error as BadBase64Error
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from roomtone.errors import RoomtoneError
from roomtone.settings import Connection
from roomtone.sync.desired import KINDS, PROFILE_PROPERTIES, DesiredRow, rfc3339
from roomtone.sync.destinations.base import Answer, Destination, Idempotency, Nulls, Outcome
from roomtone.sync.plan import Intent
from roomtone.sync.transport import (
    Endpoint,
    Timing,
    Transport,
    VendorBusyError,
    VendorRefusedError,
    VendorUnansweredError,
    VendorUnreachableError,
)

SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins, not one


class Webhook(Destination):
    name: ClassVar[str] = "webhook"
    kinds: ClassVar[tuple[str, ...]] = KINDS
    batch_sizes: ClassVar[Mapping[str, int]] = dict.fromkeys(KINDS, 50)
    idempotency: ClassVar[Mapping[str, Idempotency]] = dict.fromkeys(KINDS, Idempotency.DEDUPLICATED)
    nulls: ClassVar[Nulls] = Nulls.STORED
    can_read_back: ClassVar[bool] = False
    # The receiver is asked nothing: whom it knows is its own business, so no two subjects share a record.
    shares_records: ClassVar[bool] = True

    def __init__(self, connection: Connection, timing: Timing | None = None) -> None:
        self._key = _key(connection.token)
        address = urlsplit(connection.url)
        if address.scheme not in ("https", "http") or address.query:
            raise RoomtoneError(
                "ROOMTONE_WEBHOOK_URL", connection.url.split("?")[0], "give https://HOST/PATH without a query"
            )
        self._path = address.path or "/"
        rate = _rate(connection)
        base = connection.url.removesuffix(address.path)
        endpoint = Endpoint("POST", self._path, rate, rate * 60)
        server = Connection(connection.name, base, connection.token)
        self._http: Transport = Transport(server, {}, (endpoint,), timing)
        self._accepted: set[str] = set()

    def vendor_ids(self, rows: Sequence[DesiredRow], now: datetime) -> dict[str, str]:  # noqa: ARG002 - the interface is wider than this destination
        return {row.subject_id: row.subject_id for row in rows}

    def send(self, kind: str, batch: Sequence[Intent], now: datetime) -> list[Outcome]:  # noqa: ARG002 - the interface is wider than this destination
        outcomes = [self._deliver(intent, now) for intent in batch]
        self._accepted |= {outcome.intent_id for outcome in outcomes if outcome.answer is Answer.ACCEPTED}
        return outcomes

    def look_up(self, kind: str, intents: Sequence[Intent]) -> set[str]:  # noqa: ARG002 - the interface is wider than this destination
        """What this process was given a yes for; the rest is delivered once more under its id."""
        return {intent.intent_id for intent in intents if intent.intent_id in self._accepted}

    def probe(self) -> list[str]:
        """The secret can sign; nothing is delivered, because a receiver takes every delivery for a fact."""
        return [f"the secret has {len(self._key)} bytes and signs; no delivery was tried"]

    def _deliver(self, intent: Intent, now: datetime) -> Outcome:
        content = json.dumps(_message(intent, now), ensure_ascii=False).encode()
        headers = signed(self._key, intent.intent_id, int(time.time()), content)
        try:
            self._http.call("POST", self._path, body=content, headers=headers)
        except VendorRefusedError as refusal:
            if refusal.status == 410:
                raise VendorUnreachableError(
                    "webhook receiver", "answered 410: it wants no more", "take webhook out of ROOMTONE_DESTINATIONS"
                ) from refusal
            return Outcome(intent.intent_id, Answer.REJECTED, f"{refusal.status} {refusal.words}")
        except VendorBusyError as error:
            return Outcome(intent.intent_id, Answer.DEFERRED, error.value)
        except VendorUnansweredError as error:
            return Outcome(intent.intent_id, Answer.UNKNOWN, error.value)
        return Outcome(intent.intent_id, Answer.ACCEPTED)


def signed(key: bytes, message_id: str, timestamp: int, content: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, in Base64 after its version."""
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + content, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }


def _message(intent: Intent, now: datetime) -> dict[str, Any]:
    data = {"subject_id": intent.subject_id, **intent.payload}
    if intent.kind == PROFILE_PROPERTIES:
        data |= {"customer_id": intent.subject_id, "roomtone_synced_at": rfc3339(now)}
    return {"type": f"roomtone.{intent.kind}", "timestamp": rfc3339(intent.as_of), "data": data}


def _key(token: str) -> bytes:
    try:
        key = b64decode(token.removeprefix(SECRET_PREFIX), validate=True)
    except (BadBase64Error, ValueError):
        key = b""
    # "between 24 bytes (192 bits) and 64 bytes (512 bits)"
    if not 24 <= len(key) <= 64:
        raise RoomtoneError(
            "ROOMTONE_WEBHOOK_TOKEN",
            "is no signing secret",
            f"give {SECRET_PREFIX} followed by 24 to 64 random bytes in Base64, the same as at the receiver",
        )
    return key


def _rate(connection: Connection) -> float:
    text = connection.options.get("calls_per_second") or "10"
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1000:
        raise RoomtoneError(
            "ROOMTONE_WEBHOOK_CALLS_PER_SECOND", f"{text!r} is no rate", "give a number above 0, at most 1000"
        )
    return rate
