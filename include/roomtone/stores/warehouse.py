"""The warehouse: the only module that opens the embedded one's file, and the way to one on PostgreSQL.

DuckDB lets one process in at a time and refuses the next at once; worse, opening the file by any other way inside the
process that holds it silently drops its lock. So a sidecar `flock` with waiting guards the file, and nothing else
touches the path.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores.locks import exclusive
from roomtone.stores.postgres import PostgresSession

WAIT_SECONDS = 120.0
# Of one process on the warehouse; past it DuckDB works on disk, beside the file.
MEMORY_LIMIT = "1GiB"
_POLL_SECONDS = 0.05


class Session(Protocol):
    """What loading and transform ask of either engine; parameters are `?`."""

    def execute(self, query: str, parameters: Sequence[object] = ..., /) -> Any: ...
    def executemany(self, query: str, rows: Sequence[Sequence[object]], /) -> Any: ...
    def begin(self) -> Any: ...
    def commit(self) -> Any: ...
    def rollback(self) -> Any: ...


def is_embedded(settings: Settings) -> bool:
    """False where ROOMTONE_WAREHOUSE_URL names a PostgreSQL database."""
    return not settings.warehouse_url.startswith("postgresql")


@contextmanager
def session(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> Iterator[Session]:
    """An exclusive connection to the warehouse, whichever engine it is on."""
    if is_embedded(settings):
        with connect(settings, wait_seconds) as connection:
            yield connection
        return
    with held(settings, wait_seconds):
        opened = PostgresSession(settings.warehouse_url)
        try:
            yield opened
        finally:
            opened.close()


def insert(connection: Session, table: str, rows: pa.Table) -> None:
    """Append Arrow rows to a table that has their columns, in their order."""
    if isinstance(connection, duckdb.DuckDBPyConnection):
        connection.from_arrow(rows).insert_into(table)
    else:
        assert isinstance(connection, PostgresSession)
        connection.insert(table, rows)


@contextmanager
def held(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> Iterator[Path]:
    """Hold the warehouse for this process without opening it (dbt opens it by itself). Yields the file's path.

    One on PostgreSQL is held for this ROOMTONE_HOME, by a file that is never made. Raises RoomtoneError when another
    process keeps it longer than `wait_seconds`.
    """
    path = settings.warehouse_path if is_embedded(settings) else settings.home / "warehouse.postgresql"
    if path in _kept:
        _kept[path].close()
        yield path
        return
    with exclusive(path.with_name(path.name + ".lock"), "warehouse", wait_seconds):
        yield path


@contextmanager
def connect(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> Iterator[duckdb.DuckDBPyConnection]:
    """An exclusive connection to the warehouse; closed, and the file free again, when the block ends."""
    if kept := _kept.get(settings.warehouse_path):
        with kept.another(wait_seconds) as connection:
            yield connection
        return
    with held(settings, wait_seconds) as path, opened(path, wait_seconds) as connection:
        yield connection


class _Kept:
    """One file that this process holds, opened once for all connections until it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = ExitStack()
        self._database: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def another(self, wait_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with temporary tables of its own."""
        if self._database is None:
            self._database = self._opened.enter_context(opened(self._path, wait_seconds))
        with beside(self._database) as connection:
            yield connection

    def close(self) -> None:
        """Leave the file to somebody else in this process; the next connection opens it again."""
        self._database = None
        self._opened.close()


_kept: dict[Path, _Kept] = {}


@contextmanager
def kept_open(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the embedded warehouse for several stages in this process, which then open its file once together.

    A large file takes a moment to open and to close, and a pass would do so eight times. Other processes wait until the
    block ends. Not for several threads.
    """
    if not is_embedded(settings) or settings.warehouse_path in _kept:
        yield
        return
    with held(settings, wait_seconds) as path:
        _kept[path] = _Kept(path)
        try:
            yield
        finally:
            _kept.pop(path).close()


@contextmanager
def opened(path: Path, wait_seconds: float = WAIT_SECONDS) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a file that the caller holds, or has for itself."""
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
        connection.execute("set enable_progress_bar = false")
        connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        yield connection
    finally:
        connection.close()


@contextmanager
def beside(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Another connection to the same database, with temporary tables of its own."""
    with connection.cursor() as other:
        other.execute("set timezone = 'UTC'")
        other.execute("set enable_progress_bar = false")
        yield other


def copy(settings: Settings, target: Path, check: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
    """Copy the embedded warehouse's file to `target`, as it is when `check` has looked at it; `check` may raise."""
    with held(settings) as path:
        with opened(path) as connection:
            check(connection)
        shutil.copyfile(path, target)


@contextmanager
def in_memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own that no file stands behind, on one thread: SQL over Arrow tables."""
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        yield connection


def set_aside(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> None:
    """Move the file, and its log beside it, out of the way; the next connection begins an empty warehouse."""
    with held(settings, wait_seconds) as path:
        for file in (path, path.with_name(path.name + ".wal")):
            if file.exists():
                file.replace(file.with_name(file.name + ".before-rebuild"))
