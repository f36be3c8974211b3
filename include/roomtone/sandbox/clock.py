"""The one clock of the brand: it runs in real time, can be put forward, and never goes back."""

import time
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """Sandbox time = the instant it was last put to + real time elapsed since then.

    With `call_seconds` it stands still instead, and each call on a vendor takes that long: how fast the machine is does
    not matter to what is measured.
    """

    def __init__(self, start: datetime, call_seconds: float | None = None) -> None:
        self._anchor = start
        self._anchored = time.monotonic()
        self._call_seconds = call_seconds

    def now(self) -> datetime:
        if self._call_seconds is not None:
            return self._anchor
        return self._anchor + timedelta(seconds=time.monotonic() - self._anchored)

    def note_call(self) -> None:
        """A vendor is called."""
        if self._call_seconds is not None:
            self._anchor += timedelta(seconds=self._call_seconds)

    def put_forward(self, to: datetime) -> None:
        """Sets the clock; raises ValueError if `to` lies behind it."""
        now = self.now()
        if to < now:
            raise ValueError(f"the clock shows {rfc3339(now)} and never goes back to {rfc3339(to)}")
        self._anchor = to
        self._anchored = time.monotonic()


def rfc3339(instant: datetime) -> str:
    """UTC text with milliseconds and `Z`, as `2026-03-02T09:00:00.000Z`."""
    text = instant.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def whole_seconds(instant: datetime) -> str:
    """UTC text to the second, as Zendesk writes it: `2026-03-02T09:00:00Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def offset_text(instant: datetime) -> str:
    """UTC text to the second with a numeric offset, as Klaviyo writes it: `2026-03-02T09:00:00+00:00`."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")


def parse(text: str) -> datetime:
    """An RFC 3339 timestamp as aware UTC; raises ValueError without an offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return instant.astimezone(UTC)
