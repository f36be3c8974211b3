"""The small interface of a destination: what it takes, how much at once, and what a repeated call means there."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from roomtone.sync.desired import DesiredRow, canonical
from roomtone.sync.plan import Intent


class Answer(StrEnum):
    """What became of one intent that was sent."""

    ACCEPTED = "accepted"  # the destination took it; reading it back is still to come
    REJECTED = "rejected"  # it said no, and nothing happened there
    UNKNOWN = "unknown"  # it may have happened or not
    DEFERRED = "deferred"  # nothing happened, and it may be sent again


@dataclass(frozen=True)
class Outcome:
    """The answer about one intent, with the destination's words where it said any."""

    intent_id: str
    answer: Answer
    words: str = ""


class Destination(ABC):
    """A place that is brought to the desired state.

    `kinds` in the order in which they are sent. `batch_sizes` and `batch_bytes` bound one `send`. `can_create_profiles`
    is False everywhere so far: a person whom the platform does not have is skipped. `reaches_people` is False for a
    destination that only writes down what would be sent: for it, now is the pass's own instant. `shares_records` is
    True where many subjects go into one record of the destination.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    batch_sizes: ClassVar[Mapping[str, int]]
    batch_bytes: ClassVar[int] = 4_000_000
    can_create_profiles: ClassVar[bool] = False
    reaches_people: ClassVar[bool] = True
    shares_records: ClassVar[bool] = False

    def takes(self, row: DesiredRow) -> bool:
        """Whether a row is meant for this destination at all."""
        return row.kind in self.kinds

    @abstractmethod
    def vendor_ids(self, rows: Sequence[DesiredRow], now: datetime) -> dict[str, str]:
        """The destination's own record for each subject; a subject that it does not have is left out."""

    def subjects_of(self, vendor_ids: Iterable[str]) -> dict[str, str]:  # noqa: ARG002 - for those that know
        """Every subject that is known to be one of these records, with its record: two people may share a profile."""
        return {}

    @abstractmethod
    def send(self, kind: str, batch: Sequence[Intent], now: datetime) -> list[Outcome]:
        """Sends one batch of one kind and says of each intent what became of it.

        Raises RoomtoneError where nothing can be sent at all; what was in the batch is looked up by the next sync.
        """

    @abstractmethod
    def look_up(self, kind: str, intents: Sequence[Intent]) -> set[str]:
        """Ids of the intents whose effect can be seen at the destination now."""

    def close(self) -> None:  # noqa: B027 - a destination without connections has nothing to end
        """Ends connections."""

    def batches(self, kind: str, intents: Iterable[Intent]) -> Iterator[list[Intent]]:
        """Cuts intents into batches by count and by bytes of payload."""
        batch: list[Intent] = []
        size = 0
        for intent in intents:
            weight = len(canonical(intent.payload)) + 200
            if batch and (len(batch) >= self.batch_sizes[kind] or size + weight > self.batch_bytes):
                yield batch
                batch, size = [], 0
            batch.append(intent)
            size += weight
        if batch:
            yield batch
