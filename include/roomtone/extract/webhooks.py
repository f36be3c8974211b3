"""Whether a webhook is genuine: one verifier over a table of the senders' signature schemes.

The signature is checked over the bytes as they came, before anything reads them. Sources: the vendors' developer pages
(Zendesk, Intercom, Klaviyo) and the Standard Webhooks specification for the generic sender.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from roomtone.stores.inbox import Delivery

REPLAY_WINDOW = timedelta(minutes=5)
MAXIMUM_BODY_BYTES = 1024 * 1024
# Signatures that one request may carry, as it does while its sender changes the secret.
_MAXIMUM_SIGNATURES = 5
_STANDARD_SECRET = "whsec_"  # noqa: S105 - the prefix of a secret, not one

Part = Literal["id", "timestamp", "body"]


@dataclass(frozen=True)
class Scheme:
    """How a sender signs. `content` is what the signature covers, its parts joined by `separator`."""

    signature_header: str
    digest: Literal["sha1", "sha256"]
    encoding: Literal["hex", "base64"]
    content: tuple[Part, ...]
    separator: bytes = b""
    prefix: str = ""
    timestamp_header: str = ""
    delivery_header: str = ""

    @property
    def is_delivery_signed(self) -> bool:
        return "id" in self.content


SCHEMES: Mapping[str, Scheme] = {
    "zendesk": Scheme(
        "x-zendesk-webhook-signature",
        "sha256",
        "base64",
        ("timestamp", "body"),
        timestamp_header="x-zendesk-webhook-signature-timestamp",
        delivery_header="x-zendesk-webhook-invocation-id",
    ),
    # Signs no time: a replay is known by its content.
    "intercom": Scheme("x-hub-signature", "sha1", "hex", ("body",), prefix="sha1="),
    "klaviyo": Scheme(
        "klaviyo-signature", "sha256", "hex", ("body", "timestamp"), timestamp_header="klaviyo-timestamp"
    ),
    "generic": Scheme(
        "webhook-signature",
        "sha256",
        "base64",
        ("id", "timestamp", "body"),
        separator=b".",
        prefix="v1,",
        timestamp_header="webhook-timestamp",
        delivery_header="webhook-id",
    ),
}


class ForgedError(Exception):
    """A request that is not, or not any more, to be believed. Its text is for the log, never for the sender."""


def verify(
    sender: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], received_at: datetime
) -> Delivery:
    """The delivery of a genuine request; `headers` have lower-case names, `secrets` are all that are in force.

    Raises ForgedError. Every secret is tried against every signature, whichever fits, so that the time says nothing.
    """
    scheme = SCHEMES[sender]
    stamp = headers.get(scheme.timestamp_header, "") if scheme.timestamp_header else ""
    delivery_id = headers.get(scheme.delivery_header, "") if scheme.delivery_header else ""
    if scheme.timestamp_header and not stamp:
        raise ForgedError(f"{scheme.timestamp_header} is missing")
    if scheme.is_delivery_signed and not delivery_id:
        raise ForgedError(f"{scheme.delivery_header} is missing")
    parts = {"id": _bytes(delivery_id), "timestamp": _bytes(stamp), "body": body}
    content = scheme.separator.join(parts[part] for part in scheme.content)
    given = [text.encode() for text in _signatures(scheme, headers.get(scheme.signature_header, ""))]
    expected = [_sign(scheme, secret, content) for secret in secrets]
    matches = [hmac.compare_digest(one, other) for one in expected for other in given]
    if not any(matches):
        raise ForgedError("no signature fits")
    if scheme.timestamp_header and abs(received_at - _instant(stamp)) > REPLAY_WINDOW:
        raise ForgedError("its timestamp is outside the window")
    return Delivery(sender, delivery_id[:200] or None, content, body, received_at)


def sign(sender: str, secret: str, body: bytes, timestamp: str = "", delivery_id: str = "") -> dict[str, str]:
    """The headers with which `sender` signs a body: what `verify` accepts."""
    scheme = SCHEMES[sender]
    parts = {"id": _bytes(delivery_id), "timestamp": _bytes(timestamp), "body": body}
    content = scheme.separator.join(parts[part] for part in scheme.content)
    headers = {scheme.signature_header: scheme.prefix + _sign(scheme, secret, content).decode()}
    if scheme.timestamp_header:
        headers[scheme.timestamp_header] = timestamp
    if scheme.delivery_header:
        headers[scheme.delivery_header] = delivery_id
    return headers


class RateLimit:
    """A token bucket: `per_second` on average, `burst` at once. Not for several threads."""

    def __init__(self, per_second: float, burst: float, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._now = per_second, burst, now
        self._tokens, self._at = burst, now()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        at = self._now()
        self._tokens = min(self._burst, self._tokens + (at - self._at) * self._per_second)
        self._at = at
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _signatures(scheme: Scheme, header: str) -> list[str]:
    entries = header.split(" ")[:_MAXIMUM_SIGNATURES]
    return [entry.removeprefix(scheme.prefix) for entry in entries if entry.startswith(scheme.prefix)]


def _sign(scheme: Scheme, secret: str, content: bytes) -> bytes:
    made = hmac.new(_key(secret), content, getattr(hashlib, scheme.digest)).digest()
    return made.hex().encode() if scheme.encoding == "hex" else base64.b64encode(made)


def _key(secret: str) -> bytes:
    """The key of a secret; one of Standard Webhooks is base64 behind its prefix."""
    if secret.startswith(_STANDARD_SECRET):
        return base64.b64decode(secret.removeprefix(_STANDARD_SECRET))
    return secret.encode()


def _bytes(header: str) -> bytes:
    # Headers arrive as Latin-1; what was signed are their bytes.
    return header.encode("latin-1", "replace")


def _instant(stamp: str) -> datetime:
    """A signed timestamp, in seconds since the epoch or as RFC 3339."""
    try:
        if stamp.isascii() and stamp.isdigit():
            return datetime.fromtimestamp(int(stamp), UTC)
        found = datetime.fromisoformat(stamp)
    except (ValueError, OverflowError, OSError):
        raise ForgedError("its timestamp cannot be read") from None
    if found.tzinfo is None:
        raise ForgedError("its timestamp has no offset")
    return found
