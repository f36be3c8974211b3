"""Publishes the marts of a validated pass for BI: one DuckDB file and one folder of Parquet, each swapped in whole.

Readers never see a half-written state: everything is built under another name on the same file system, made durable and
renamed. Whoever has the old file open keeps reading the old state; who opens it again sees the new one.

Building takes a while on a large brand, and the next pass needs the warehouse: where passes follow one another it is
built from a copy of the warehouse's file, which takes a moment.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import duckdb

from roomtone.contract import CONTRACT_VERSION
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.sync import checkpoints, gate
from roomtone.sync.whole_files import sync_file, sync_folder

_SCHEMAS = ("marts", "activations")
_PUBLICATION = "roomtone_publication"
# BI joins and counts by customer_id; addresses stay in the warehouse, for the sync to find people at a platform.
_PERSONAL_COLUMNS = frozenset({"email", "phone"})
# Older folders stay for readers that listed the files before the swap and open them after it.
_KEPT_FOLDERS = 2
_DRAFTS, _COPIES = ".draft-*", ".copy-*"


@dataclass(frozen=True)
class PublishReport:
    """What was published: rows per table, where, and how long it took."""

    pass_sequence: int
    tables: dict[str, int]
    database: str
    parquet: str
    seconds: float


def take_copy(settings: Settings, current: Pass) -> None:
    """Copies the warehouse for `publish`, which then leaves it alone. Raises RoomtoneError as `publish` does."""
    store = OperationalStore(settings)
    try:
        gate.require_valid(store, current)
        with gate.one_at_a_time(settings, "publish"), _writing(settings):
            settings.published_dir.mkdir(parents=True, exist_ok=True)
            _clear(settings.published_dir, _COPIES)
            copy = _copy(settings, current)
            warehouse.copy(settings, copy, lambda connection: gate.require_tables_of(connection, current))
    finally:
        store.close()


# With five times as much, publishing ten million sends takes as long.
_MEMORY_LIMIT = "512MiB"


def publish(settings: Settings, current: Pass) -> PublishReport:
    """Publishes the tables of the schemas marts and activations as `marts.duckdb` and `parquet/<table>.parquet`.

    Both also hold `roomtone_publication` (pass_sequence, as_of, contract_version); e-mail addresses and phone numbers
    are left out. Raises RoomtoneError for a pass that validation has not confirmed, for a warehouse that another pass
    has taken, and for a disk that does not take it; what was published before then stays as it is.
    """
    started = time.monotonic()
    store = OperationalStore(settings)
    try:
        gate.require_valid(store, current)
        with gate.one_at_a_time(settings, "publish"), _writing(settings):
            tables = _publish(settings, current)
        store.mark_pass(current, "published")
    finally:
        store.close()
    database, link = _database(settings), _link(settings)
    return PublishReport(current.sequence, tables, str(database), str(link), round(time.monotonic() - started, 3))


@contextmanager
def _writing(settings: Settings) -> Iterator[None]:
    try:
        yield
    except (OSError, duckdb.Error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RoomtoneError(
            "published marts",
            f"{settings.published_dir} cannot be written ({reason})",
            "free the disk or choose a ROOMTONE_HOME you may write to; what was published before is untouched",
        ) from error


def _publish(settings: Settings, current: Pass) -> dict[str, int]:
    folder = settings.published_dir
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder, _DRAFTS)
    draft = folder / f".draft-{current.pass_id}.duckdb"
    parquet = folder / f".draft-{current.pass_id}-parquet"
    parquet.mkdir()
    try:
        copy = _copy(settings, current)
        with warehouse.opened(copy) if copy.is_file() else warehouse.connect(settings) as connection:
            gate.require_tables_of(connection, current)
            # On two cores the other one, and most of the memory, are left to the next pass.
            connection.execute(f"set threads = 1; set memory_limit = '{_MEMORY_LIMIT}'")
            tables = _build(connection, current, draft, parquet)
        for file in sorted(parquet.iterdir()):
            sync_file(file)
        sync_folder(parquet)
        sync_file(draft)
        checkpoints.reached("marts_built")
        _swap_database(draft, _database(settings))
        checkpoints.reached("database_swapped")
        _swap_folder(parquet, _link(settings), current)
        checkpoints.reached("parquet_swapped")
    finally:
        _clear(folder, _DRAFTS)
    _clear(folder, _COPIES)
    _drop_old_folders(folder, _link(settings))
    return tables


def _build(connection: duckdb.DuckDBPyConnection, current: Pass, draft: Path, parquet: Path) -> dict[str, int]:
    """Copies the tables into a new database and into Parquet; returns the rows per table."""
    tables = _columns(connection)
    connection.execute(f"attach {_text(str(draft))} as published")
    counts = {}
    try:
        connection.execute(
            f"create table published.main.{_PUBLICATION} as "
            "select ?::bigint as pass_sequence, ?::timestamp as as_of, ?::integer as contract_version",
            [current.sequence, current.as_of.astimezone(UTC).replace(tzinfo=None), CONTRACT_VERSION],
        )
        for (schema, table), columns in tables.items():
            # Names come from the warehouse's own catalogue, and are quoted.
            chosen = f"select {', '.join(map(_name, columns))} from {_name(schema)}.{_name(table)}"  # noqa: S608
            connection.execute(f"create table published.main.{_name(table)} as {chosen}")
        for table in (*(name for _, name in tables), _PUBLICATION):
            published = f"published.main.{_name(table)}"
            row = connection.execute(f"select count(*) from {published}").fetchone()  # noqa: S608 - quoted
            counts[table] = int(row[0]) if row else 0
            target = _text(str(parquet / f"{table}.parquet"))
            connection.execute(f"copy {published} to {target} (format parquet, compression zstd)")
        connection.execute("checkpoint published")
    finally:
        connection.execute("detach published")
    return counts


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], list[str]]:
    """The columns to publish of each (schema, table): all but those that reach a person."""
    rows = connection.execute(
        "select table_schema, table_name, column_name from information_schema.columns"
        " where table_schema in (?, ?) order by table_name, table_schema, ordinal_position",
        list(_SCHEMAS),
    ).fetchall()
    tables: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in rows:
        kept = tables.setdefault((schema, table), [])
        if column not in _PERSONAL_COLUMNS:
            kept.append(column)
    names = [table for _, table in tables]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise RoomtoneError("published marts", f"two tables are called {min(doubled)}", "rename one of the models")
    return tables


def _swap_database(draft: Path, target: Path) -> None:
    # A reader that opened the published file for writing may have left a log; beside the new file nobody could open it.
    target.with_name(target.name + ".wal").unlink(missing_ok=True)
    draft.replace(target)
    sync_folder(target.parent)


def _swap_folder(draft: Path, link: Path, current: Pass) -> None:
    if link.exists() and not link.is_symlink():
        raise RoomtoneError(
            "published marts", f"{link} is not the link that roomtone made", "move it away, then run again"
        )
    final = link.with_name(f"parquet-{current.pass_id}-{time.time_ns()}")
    draft.rename(final)
    pointer = link.with_name(".draft-link")
    pointer.unlink(missing_ok=True)
    pointer.symlink_to(final.name, target_is_directory=True)
    pointer.replace(link)
    sync_folder(link.parent)


def _drop_old_folders(folder: Path, link: Path) -> None:
    shown = str(link.readlink())
    old = sorted(
        (path for path in folder.glob("parquet-pass-*") if path.name != shown), key=lambda path: path.stat().st_mtime
    )
    for path in old[:-_KEPT_FOLDERS]:
        shutil.rmtree(path, ignore_errors=True)


def _clear(folder: Path, pattern: str) -> None:
    """Removes what an earlier run that was killed, or this one that failed, left unfinished, and copies after use."""
    for path in folder.glob(pattern):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _copy(settings: Settings, current: Pass) -> Path:
    return settings.published_dir / f".copy-{current.pass_id}.duckdb"


def _database(settings: Settings) -> Path:
    return settings.published_dir / "marts.duckdb"


def _link(settings: Settings) -> Path:
    return settings.published_dir / "parquet"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
