"""Runs the dbt project over the warehouse, in this process, for one pass."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores import loading, warehouse
from roomtone.stores.operational import OperationalStore, Pass

# What readers and destinations use; the layers below are working tables.
PUBLIC_SCHEMAS = ("marts", "activations")

_THREADS = 2


@dataclass(frozen=True)
class TransformReport:
    """What one transform did: how many dbt nodes (models and tests) ran, in how many seconds, and the rows of each public table."""

    pass_sequence: int
    nodes: int
    seconds: float
    rows: dict[str, int]


def transform(settings: Settings, current: Pass) -> TransformReport:
    """Compute every mart and activation table for `current.as_of`; the same pass again gives the same tables.

    Raises RoomtoneError naming the dbt node that failed. The tables are then those of the nodes that succeeded, so `sync` must
    not act on them: it acts only on a pass that `validate` has passed.
    """
    begun = time.monotonic()
    store = OperationalStore(settings)
    try:
        _bring_in(settings, store, current)
        with warehouse.held(settings) as path:
            nodes = run_dbt(settings, path, ["build", "--exclude-resource-type", "unit_test"])
        rows = _count_rows(settings, current)
        store.mark_pass(current, "transformed")
    finally:
        store.close()
    return TransformReport(current.sequence, nodes, time.monotonic() - begun, rows)


def run_dbt(settings: Settings, path: Path, arguments: Sequence[str]) -> int:
    """Run one dbt command on the warehouse at `path`, which the caller holds; returns how many nodes ran.

    No connection of dbt's is left open afterwards. Raises RoomtoneError naming the first node that failed.
    """
    # Heavy to import: seconds that only a process which transforms should pay.
    from dbt.cli.main import dbtRunner

    folder = _working_folder(settings, path)
    command = [
        *arguments,
        *("--project-dir", str(settings.dbt_dir)),
        *("--profiles-dir", str(folder)),
        *("--target-path", str(folder / "target")),
        *("--log-path", str(settings.logs_dir / "dbt")),
        *("--log-level-file", "info", "--quiet", "--no-print", "--no-use-colors", "--no-version-check"),
        "--no-send-anonymous-usage-stats",
    ]
    with _closed_afterwards():
        answer = dbtRunner().invoke(command)
    if answer.exception is not None:
        raise RoomtoneError(
            f"dbt {arguments[0]}", _first_lines(str(answer.exception)), f"see {settings.logs_dir / 'dbt' / 'dbt.log'}"
        ) from answer.exception
    results = list(getattr(answer.result, "results", []))
    for result in results:
        if str(result.status) in {"error", "fail", "runtime error"}:
            raise RoomtoneError(
                f"dbt {result.node.resource_type} {result.node.name}",
                _first_lines(result.message or str(result.status)),
                f"see {settings.logs_dir / 'dbt' / 'dbt.log'} and {result.node.original_file_path}",
            )
    if not answer.success:
        raise RoomtoneError(f"dbt {arguments[0]}", "did not succeed", f"see {settings.logs_dir / 'dbt' / 'dbt.log'}")
    return len(results)


def _bring_in(settings: Settings, store: OperationalStore, current: Pass) -> None:
    """The copies of the operational store into the `raw` schema; what has landed is there since it was scored."""
    from roomtone.transform.mirror import mirror

    with warehouse.connect(settings) as connection:
        loading.ensure_raw_tables(connection)
        mirror(settings, connection, store, current)


def _working_folder(settings: Settings, path: Path) -> Path:
    """Folder of dbt's own files (profile, parsed project, compiled SQL), outside the checkout."""
    folder = settings.home / "dbt"
    profile = {
        "roomtone": {
            "target": "duckdb",
            "outputs": {"duckdb": {"type": "duckdb", "path": str(path), "schema": "main", "threads": _THREADS}},
        }
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # JSON is YAML. Written only when it changes: dbt keeps its parsed project while the profile stays the same.
        text = json.dumps(profile, indent=2) + "\n"
        file = folder / "profiles.yml"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    except OSError as error:
        raise RoomtoneError(
            "ROOMTONE_HOME", f"{folder} cannot be written ({error.strerror})", "free the disk or choose a folder you may write to"
        ) from error
    return folder


@contextmanager
def _closed_afterwards() -> Iterator[None]:
    """dbt-duckdb keeps its database open for the next command of the process; the next opener must find the file free."""
    try:
        yield
    finally:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.adapters.factory import reset_adapters

        reset_adapters()
        environment: Any = DuckDBConnectionManager._ENV
        if environment is not None:
            environment.close()
        DuckDBConnectionManager.close_all_connections()


def _count_rows(settings: Settings, current: Pass) -> dict[str, int]:
    with warehouse.connect(settings) as connection:
        sequence = connection.execute("select pass_sequence from raw.current_pass").fetchone()
        if sequence is None or int(sequence[0]) != current.sequence:
            raise RoomtoneError(
                f"pass {current.sequence}", "another pass was transformed at the same time", "let one run end before the next begins"
            )
        names = connection.execute(
            "select schema_name, table_name from duckdb_tables() where list_contains(?, schema_name) order by all",
            [list(PUBLIC_SCHEMAS)],
        ).fetchall()
        # Schema and table names come from the catalogue of our own project.
        counted = {name: connection.execute(f'select count(*) from "{schema}"."{name}"').fetchone() for schema, name in names}
    return {name: int(row[0]) if row else 0 for name, row in counted.items()}


def _first_lines(message: str) -> str:
    return " ".join(message.split())[:400]
