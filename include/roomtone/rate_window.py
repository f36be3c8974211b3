"""A vendor's published limit: so many calls in any window of so many seconds, one process after the other."""

from collections import deque
from collections.abc import Iterable


class RateWindow:
    """At most `most` calls in any `seconds`, as the vendor counts them. Times are of one monotonic clock, in seconds.

    The vendor counts a call somewhere between its start and its answer. So a call takes its place when it starts and
    gives it back `seconds` after its answer: however long each was under way, no window there ever holds more.
    """

    def __init__(self, per_unit: float, unit_seconds: float) -> None:
        self.most = max(1, int(per_unit))
        self.seconds = unit_seconds * self.most / per_unit
        self._under_way = 0
        self._answered: deque[float] = deque()

    def wait_seconds(self, now: float, count: int = 1) -> float:
        """How long until `count` more calls may start; 0 also where only answers can tell."""
        while self._answered and now - self._answered[0] >= self.seconds:
            self._answered.popleft()
        lacking = self._under_way + len(self._answered) + min(count, self.most) - self.most
        if lacking <= 0 or not self._answered:
            return 0.0
        return self._answered[min(lacking, len(self._answered)) - 1] + self.seconds - now

    def start(self, count: int = 1) -> None:
        self._under_way += count

    def end(self, now: float | None) -> None:
        """A call has been answered or will not be; None for one that was not made after all."""
        self._under_way -= 1
        if now is not None:
            self._answered.append(now)

    def remember(self, ages: Iterable[float], now: float) -> None:
        """Counts calls of an earlier process too, answered so many seconds ago; before any of this one's."""
        self._answered.extend(sorted(now - age for age in ages))

    def ages(self, now: float) -> list[float]:
        """Seconds since each call that still counts was answered."""
        return [round(now - at, 2) for at in self._answered if now - at < self.seconds]
