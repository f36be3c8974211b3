"""The embedded warehouse: the only module that opens its file.

DuckDB lets one process in at a time and refuses the next at once; worse, opening the file by any other way inside the
process that holds it silently drops its lock. So a sidecar `flock` with waiting guards the file, and nothing else
touches the path.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores.locks import exclusive

WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.05


@contextmanager
def held(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> Iterator[Path]:
    """Hold the warehouse for this process without opening it (dbt opens it by itself). Yields the file's path.

    Raises RoomtoneError when another process keeps it longer than `wait_seconds`.
    """
    path = settings.warehouse_path
    with exclusive(path.with_name(path.name + ".lock"), "warehouse", wait_seconds):
        yield path


@contextmanager
def connect(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> Iterator[duckdb.DuckDBPyConnection]:
    """An exclusive connection to the warehouse; closed, and the file free again, when the block ends."""
    with held(settings, wait_seconds) as path:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                connection = duckdb.connect(str(path))
                break
            except duckdb.IOException as error:
                # Somebody holds the file without the sidecar lock: a BI tool on the working file, say.
                if "lock" not in str(error).lower() or time.monotonic() > deadline:
                    raise RoomtoneError(
                        "warehouse",
                        f"{path} cannot be opened ({str(error).splitlines()[0]})",
                        "close what holds it and point BI at published/marts.duckdb; "
                        "if it is damaged run `roomtone rebuild`",
                    ) from error
                time.sleep(_POLL_SECONDS)
        try:
            connection.execute("set timezone = 'UTC'")
            yield connection
        finally:
            connection.close()


def set_aside(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> None:
    """Move the file, and its log beside it, out of the way; the next connection begins an empty warehouse."""
    with held(settings, wait_seconds) as path:
        for file in (path, path.with_name(path.name + ".wal")):
            if file.exists():
                file.replace(file.with_name(file.name + ".before-rebuild"))
