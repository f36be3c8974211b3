"""One process at a time: a lock on a file beside the thing it guards, freed with the process however it ends."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from roomtone.errors import RoomtoneError

_POLL_SECONDS = 0.05


@contextmanager
def exclusive(path: Path, thing: str, wait_seconds: float) -> Iterator[None]:
    """Hold the lock file `path` while the block runs.

    `thing` names what is guarded in the RoomtoneError that is raised when the file cannot be made or another process
    keeps it longer than `wait_seconds`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RoomtoneError(
            thing,
            f"{path} cannot be made ({error.strerror})",
            "free the disk or choose a ROOMTONE_HOME you may write to",
        ) from error
    try:
        _lock(descriptor, path, thing, wait_seconds)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, thing: str, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
                raise
            if time.monotonic() > deadline:
                raise RoomtoneError(
                    thing,
                    f"{path} is held by another run for over {wait_seconds:g} s",
                    "wait for it or end it, then run again",
                ) from None
            time.sleep(_POLL_SECONDS)
