"""The small interface of a destination: what it takes, how much at once, and what a repeated call means there."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

from roomtone.sync.desired import RECOVERY_EVENT, DesiredRow, canonical
from roomtone.sync.plan import Intent
from roomtone.sync.transport import Endpoint, Transport


class Answer(StrEnum):
    """What became of one intent that was sent."""

    ACCEPTED = "accepted"  # the destination took it; reading it back is still to come
    REJECTED = "rejected"  # it said no, and nothing happened there
    UNKNOWN = "unknown"  # it may have happened or not
    DEFERRED = "deferred"  # nothing happened, and it may be sent again
    GONE = "gone"  # the record is not there any more: nothing happened, and the customer is to be looked for again


class Idempotency(StrEnum):
    """What a second call with the same content does."""

    STATE = "state"  # it sets what is set already
    DEDUPLICATED = "deduplicated"  # the destination knows the id of the first and drops it
    NONE = "none"  # it is a second effect


class Nulls(StrEnum):
    """What a null in a payload does to the value that the destination holds."""

    CLEAR = "clear"
    KEEP = "keep"
    STORED = "stored"  # it is written down like any other value


class Removal(StrEnum):
    """How a subject stops being in a state."""

    BY_VALUE = "by_value"  # its properties say so; the record stays
    WHOLE_FILE = "whole_file"  # it is missing from the next complete file
    NEVER = "never"


@dataclass(frozen=True)
class Outcome:
    """The answer about one intent, with the destination's words where it said any."""

    intent_id: str
    answer: Answer
    words: str = ""


@dataclass(frozen=True)
class PromotionalSend:
    """A live campaign or flow and the profile properties that leave somebody out of it.

    `excluded_by` is None where the destination does not tell.
    """

    send_id: str
    kind: str
    name: str
    channel: str
    scope: str | None
    excluded_by: frozenset[str] | None


class Destination(ABC):
    """A place that is brought to the desired state, and what it declares of itself.

    `kinds` in the order in which they are sent. `batch_sizes` and `batch_bytes` bound one `send`. `rate_limits` are the
    only calls that leave, each with its limit. `can_create_profiles` is False everywhere so far: a person whom the
    platform does not have is skipped. `idempotency` per kind: what is not named sets a state, and an event that is not
    named is a new effect each time, so that one in doubt is not sent again before it would be visible twice over.
    `visibility_lag`: an effect that was accepted can be read back after that long. `can_read_back` is False where
    nothing can be asked; there, accepted is the end. `reaches_people` is False for a destination that only writes down
    what would be sent: for it, now is the pass's own instant. `shares_records` is True where many subjects go into one
    record of the destination.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    batch_sizes: ClassVar[Mapping[str, int]]
    batch_bytes: ClassVar[int] = 4_000_000
    rate_limits: ClassVar[tuple[Endpoint, ...]] = ()
    can_create_profiles: ClassVar[bool] = False
    idempotency: ClassVar[Mapping[str, Idempotency]] = {}
    nulls: ClassVar[Nulls] = Nulls.CLEAR
    removal: ClassVar[Removal] = Removal.BY_VALUE
    visibility_lag: ClassVar[timedelta] = timedelta(seconds=60)
    can_read_back: ClassVar[bool] = True
    reaches_people: ClassVar[bool] = True
    shares_records: ClassVar[bool] = False

    _http: Transport | None = None

    def repeats(self, kind: str) -> Idempotency:
        """What sending the same intent of a kind twice does here."""
        return self.idempotency.get(kind, Idempotency.NONE if kind == RECOVERY_EVENT else Idempotency.STATE)

    def fence(self, check: Callable[[], None], epoch: int) -> None:
        """Has `check` called immediately before a call leaves; it raises where this sync may not send.

        `epoch` is told with each call, so that a vendor's log shows under which lease it was made.
        """
        if self._http is not None:
            self._http.check = check
            self._http.epoch = epoch

    def remember_calls(self, ages: Mapping[str, Sequence[float]]) -> None:
        """Counts the calls of the sync before this one towards the vendor's limits; see `Transport.ages`."""
        if self._http is not None:
            self._http.remember(ages)

    def call_ages(self) -> dict[str, list[float]]:
        """What the next sync has to remember."""
        return {} if self._http is None else self._http.ages()

    def clock_skew(self, now: datetime) -> float | None:
        """Seconds that the clock which says `now` is ahead of the destination's; None where that is not known."""
        return None if self._http is None else self._http.clock_skew(now)

    def account(self) -> str | None:
        """The account that the credential opens, as the destination names it; None where it cannot be asked."""
        return None

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

    def read_state(self, kind: str, vendor_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:  # noqa: ARG002 - for those that can be asked
        """What the destination holds per record, under the names of a payload; records that it lacks are left out."""
        return {}

    def consenting(self, channel: str, vendor_ids: Sequence[str]) -> set[str] | None:  # noqa: ARG002 - for those that can be asked
        """The records whose consent to marketing on a channel (email, sms) the destination holds at this moment.

        None where it cannot be asked: there the consent that the pass knew of is all there is.
        """
        return None

    def probe(self) -> list[str]:
        """What the credential may do, a sentence each, asked without a change; RoomtoneError for a refused one."""
        return []

    def promotional_sends(self) -> list[PromotionalSend]:
        """The campaigns and flows that are live or scheduled; empty where they cannot be asked for."""
        return []

    def created_records(self, now: datetime) -> list[str]:  # noqa: ARG002 - for those that can be asked
        """Records that a call of roomtone has made against the rule; empty where that cannot happen or be seen."""
        return []

    def close(self) -> None:
        """Ends connections."""
        if self._http is not None:
            self._http.close()

    def weight(self, intent: Intent) -> int:
        """How many bytes an intent takes in a call, at most."""
        return len(canonical(intent.payload).encode()) + 200

    def batches(self, kind: str, intents: Iterable[Intent]) -> Iterator[list[Intent]]:
        """Cuts intents into batches by count and by bytes of payload."""
        batch: list[Intent] = []
        size = 0
        for intent in intents:
            weight = self.weight(intent)
            if batch and (len(batch) >= self.batch_sizes[kind] or size + weight > self.batch_bytes):
                yield batch
                batch, size = [], 0
            batch.append(intent)
            size += weight
        if batch:
            yield batch
