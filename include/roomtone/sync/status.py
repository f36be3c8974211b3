"""How the destinations stand: the last runs, what is held, what was laid aside, what people changed there."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from roomtone.settings import Settings
from roomtone.stores.ledger import drifts, promotional_sends
from roomtone.stores.operational import OperationalStore, intents, sync_runs
from roomtone.sync.holds import Hold, open_holds
from roomtone.sync.outbox import OPEN
from roomtone.sync.reconcile import BY_HAND

_RUNS = 10


@dataclass(frozen=True)
class RunLine:
    """One sync run in counts."""

    sync_run_id: int
    destination: str
    pass_sequence: int
    started_at: datetime
    is_complete: bool
    successful_rows: int
    failed_rows: int
    skipped_rows: int
    rolled_back_at: datetime | None


@dataclass(frozen=True)
class SyncStatus:
    """`dead`: intents laid aside after too many tries. `unscoped`: a line for each live send that leaves nobody out."""

    runs: list[RunLine]
    holds: list[Hold]
    waiting: dict[str, int]
    dead: dict[str, int]
    changed_by_hand: dict[str, int]
    unscoped: list[str]

    def as_text(self) -> str:
        """Lines for a person, the newest run first."""
        lines = []
        for run in self.runs:
            end = "complete" if run.is_complete else "broken off"
            end = "rolled back" if run.rolled_back_at else end
            counts = f"{run.successful_rows} brought over, {run.failed_rows} failed, {run.skipped_rows} left alone"
            lines.append(f"run {run.sync_run_id} {run.destination} pass {run.pass_sequence}: {counts}; {end}")
        lines += [hold.told() for hold in self.holds]
        lines += [f"{name}: {count} wait to be sent or seen" for name, count in sorted(self.waiting.items())]
        lines += [f"{name}: {count} laid aside after too many tries" for name, count in sorted(self.dead.items())]
        lines += [f"{name}: {count} records changed by hand" for name, count in sorted(self.changed_by_hand.items())]
        return "\n".join([*lines, *self.unscoped]) or "nothing was synced yet"


def status(settings: Settings) -> SyncStatus:
    """Reads the status from the operational store; asks no destination."""
    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            newest = sa.select(sync_runs).order_by(sync_runs.c.sync_run_id.desc()).limit(_RUNS)
            runs = [_run(facts) for facts in connection.execute(newest).mappings()]
            waiting = _counted(connection, intents.c.destination, intents.c.status.in_(OPEN))
            dead = _counted(connection, intents.c.destination, intents.c.status == "dead")
            by_hand = _counted(connection, drifts.c.destination, drifts.c.verdict == BY_HAND)
            lacking = sa.select(promotional_sends).where(promotional_sends.c.lacks != "")
            unscoped = [
                f"{row.destination} {row.kind} {row.send_id} lacks {row.lacks}: paused customers receive it"
                for row in connection.execute(lacking)
            ]
        return SyncStatus(runs, open_holds(store), waiting, dead, by_hand, unscoped)
    finally:
        store.close()


def _run(facts: sa.RowMapping) -> RunLine:
    return RunLine(
        sync_run_id=facts["sync_run_id"],
        destination=facts["destination"],
        pass_sequence=facts["pass_sequence"],
        started_at=facts["started_at"],
        is_complete=bool(facts["is_complete"]),
        successful_rows=facts["successful_rows"],
        failed_rows=facts["failed_rows"],
        skipped_rows=facts["skipped_rows"],
        rolled_back_at=facts["rolled_back_at"],
    )


def _counted(connection: sa.Connection, by: sa.Column[str], condition: sa.ColumnElement[bool]) -> dict[str, int]:
    query = sa.select(by, sa.func.count()).where(condition).group_by(by)
    return {str(name): int(count) for name, count in connection.execute(query).tuples()}
