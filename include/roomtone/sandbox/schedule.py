"""What will happen, in order of time."""

import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import count

Action = Callable[[datetime], None]


class Schedule:
    """Happenings by (time, order of planning). An action gets its own planned time."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, Action]] = []
        self._order = count()

    def add(self, at: datetime, action: Action) -> None:
        heapq.heappush(self._heap, (at, next(self._order), action))

    def next_at(self) -> datetime | None:
        return self._heap[0][0] if self._heap else None

    def run_until(self, until: datetime) -> int:
        """Runs everything due at or before `until`, also what the actions add; returns how many ran."""
        ran = 0
        while self._heap and self._heap[0][0] <= until:
            at, _, action = heapq.heappop(self._heap)
            action(at)
            ran += 1
        return ran
