"""A vendor's published limit, kept by waiting."""

from collections.abc import Sequence


class Pace:
    """At most `calls` in any `seconds`, as a vendor's published limit says."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._calls = calls
        self._seconds = seconds
        self._made: list[float] = []

    def wait_seconds(self, now: float) -> float:
        """How long to wait before the next call; `now` on a monotonic clock."""
        self._made = [at for at in self._made if now - at < self._seconds]
        return 0.0 if len(self._made) < self._calls else self._made[0] + self._seconds - now

    def count(self, now: float) -> None:
        self._made.append(now)

    def remember(self, ages: Sequence[float], now: float) -> None:
        """Count calls of an earlier run too, made so many seconds ago."""
        self._made = sorted([*(now - age for age in ages), *self._made])

    def ages(self, now: float) -> list[float]:
        """Seconds since each call that still counts."""
        return [round(now - at, 2) for at in self._made if now - at < self._seconds]
