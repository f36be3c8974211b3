"""What must be true before anything leaves: a validated pass, tables of that very pass, and no other sync at work."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores.operational import OperationalStore, Pass

_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.1


def require_valid(store: OperationalStore, current: Pass) -> None:
    """Raises RoomtoneError unless validation has confirmed the pass: a missing, failed and crashed one are the same."""
    if not store.pass_is_valid(current):
        raise RoomtoneError(
            current.pass_id, "has not been confirmed by validation", "see `roomtone doctor`, repair, and run again"
        )


def require_tables_of(connection: duckdb.DuckDBPyConnection, current: Pass) -> None:
    """Raises RoomtoneError unless the warehouse's tables were built by this pass."""
    try:
        row = connection.execute("select max(pass_sequence), count(*) from raw.current_pass").fetchone()
    except duckdb.Error as error:
        raise RoomtoneError("warehouse", "holds no pass yet", "run `roomtone run`") from error
    if row != (current.sequence, 1):
        raise RoomtoneError(
            current.pass_id, f"the warehouse holds the tables of pass {row and row[0]}", "run again for a new pass"
        )


@contextmanager
def one_at_a_time(settings: Settings, name: str) -> Iterator[None]:
    """Holds the lock `name` of this home; freed by the end of the block or of the process, however it ends."""
    path = settings.home / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RoomtoneError(
            "ROOMTONE_HOME", f"{path} cannot be made ({error.strerror})", "choose a folder you may write to"
        ) from error
    deadline = time.monotonic() + _WAIT_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
                    raise
                if time.monotonic() > deadline:
                    raise RoomtoneError(
                        name, f"is at work elsewhere for over {_WAIT_SECONDS:.0f} s", "wait for it, then run again"
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)
