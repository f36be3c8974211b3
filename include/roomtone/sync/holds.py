"""What guardrails hold at a destination, kept until a person releases it or its reason has gone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.stores.ledger import holds
from roomtone.stores.operational import OperationalStore
from roomtone.sync.guardrails import RELEASABLE, ROLLED_BACK

_OPEN = holds.c.ended_at.is_(None)


@dataclass(frozen=True)
class Hold:
    """`count` intents of a `kind` that may not leave for `reason`; `released_by` once a person has let them go."""

    hold_id: int
    destination: str
    kind: str
    reason: str
    count: int
    held_at: datetime
    released_by: str | None

    @property
    def is_releasable(self) -> bool:
        return self.reason in RELEASABLE

    def told(self) -> str:
        """One line with what to do about it."""
        line = f"{self.destination} holds {self.count} {self.kind} since {self.held_at.isoformat()}: {self.reason}"
        if self.released_by:
            return f"{line}; released by {self.released_by} for the next sync"
        return f"{line}; look at them, then `roomtone sync release {self.destination}`" if self.is_releasable else line


def open_holds(store: OperationalStore, destination: str | None = None) -> list[Hold]:
    """What is held now, the oldest first."""
    query = sa.select(holds).where(_OPEN).order_by(holds.c.hold_id)
    if destination is not None:
        query = query.where(holds.c.destination == destination)
    with store.begin() as connection:
        return [
            Hold(r.hold_id, r.destination, r.kind, r.reason, r.count_held, r.held_at, r.released_by)
            for r in connection.execute(query)
        ]


def released_reasons(store: OperationalStore, destination: str, kind: str) -> frozenset[str]:
    """The reasons that a person has let go for the next sync of a kind."""
    return frozenset(
        hold.reason for hold in open_holds(store, destination) if hold.kind == kind and hold.released_by is not None
    )


def note(
    store: OperationalStore,
    destination: str,
    kind: str,
    held: Mapping[str, str],
    *,
    sync_run_id: int,
    now: datetime,
) -> None:
    """Brings the holds of a kind to what one sync held; a reason that held nothing any more has ended."""
    counts = Counter(held.values())
    with store.begin() as connection:
        for hold in connection.execute(
            sa.select(holds).where(_OPEN, holds.c.destination == destination, holds.c.kind == kind)
        ).all():
            if hold.reason == ROLLED_BACK and hold.released_at is None:
                counts.pop(hold.reason, None)
                continue
            # A release lets go once: what is held again for the same reason is held anew.
            is_same = hold.reason in counts and hold.released_at is None
            values: dict[str, object] = {"count_held": counts.pop(hold.reason)} if is_same else {"ended_at": now}
            connection.execute(holds.update().where(holds.c.hold_id == hold.hold_id).values(values))
        for reason, count in counts.items():
            connection.execute(holds.insert().values(_row(destination, (kind, reason, count), sync_run_id, now)))


def hold_all(store: OperationalStore, destination: str, kinds: Iterable[str], sync_run_id: int, now: datetime) -> None:
    """Holds everything for a destination until a person lets it go: a run was rolled back."""
    with store.begin() as connection:
        for kind in kinds:
            connection.execute(holds.insert().values(_row(destination, (kind, ROLLED_BACK, 0), sync_run_id, now)))


def release(store: OperationalStore, destination: str, actor: str, now: datetime) -> list[Hold]:
    """Lets go, for the next sync, what is held at a destination for its number; raises RoomtoneError if nothing is."""
    chosen = [hold for hold in open_holds(store, destination) if hold.is_releasable and hold.released_by is None]
    if not chosen:
        raise RoomtoneError(
            f"release {destination}", "nothing is held there that a person could let go", "see `roomtone sync status`"
        )
    with store.begin() as connection:
        connection.execute(
            holds.update()
            .where(holds.c.hold_id.in_([hold.hold_id for hold in chosen]))
            .values(released_at=now, released_by=actor)
        )
    return chosen


def _row(destination: str, held: tuple[str, str, int], sync_run_id: int, now: datetime) -> dict[str, object]:
    kind, reason, count = held
    return {
        "destination": destination,
        "kind": kind,
        "reason": reason,
        "count_held": count,
        "sync_run_id": sync_run_id,
        "held_at": now,
    }
