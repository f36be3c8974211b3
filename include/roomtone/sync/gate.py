"""What must be true before anything leaves: a validated pass, tables of that very pass, and no other sync at work."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores.locks import exclusive
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.sync.lease import Lease, leased

_WAIT_SECONDS = 60.0


def require_valid(store: OperationalStore, current: Pass) -> None:
    """Raises RoomtoneError unless validation has confirmed the pass: a missing, failed and crashed one are the same."""
    if not store.pass_is_valid(current):
        raise RoomtoneError(
            current.pass_id, "has not been confirmed by validation", "see `roomtone doctor`, repair, and run again"
        )


def require_tables_of(connection: duckdb.DuckDBPyConnection, current: Pass) -> None:
    """Raises RoomtoneError unless the warehouse's tables were built by this pass."""
    try:
        [row] = connection.execute("select max(pass_sequence), count(*) from raw.current_pass").fetchall()
    except duckdb.Error as error:
        raise RoomtoneError("warehouse", "holds no pass yet", "run `roomtone run`") from error
    if row != (current.sequence, 1):
        raise RoomtoneError(
            current.pass_id, f"the warehouse holds the tables of pass {row[0]}", "run again for a new pass"
        )


@contextmanager
def one_at_a_time(settings: Settings, name: str) -> Iterator[None]:
    """Holds the lock `name` of this home; freed by the end of the block or of the process, however it ends."""
    with exclusive(settings.home / f"{name}.lock", name, _WAIT_SECONDS):
        yield


@contextmanager
def one_sync(store: OperationalStore, destination: str, lease_seconds: float) -> Iterator[Lease]:
    """Holds the lease of a destination: also two machines with one operational store never send at once."""
    with leased(store, destination, _WAIT_SECONDS, lease_seconds) as lease:
        yield lease
