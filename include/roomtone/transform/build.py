"""Runs the dbt project over the warehouse, in this process, for one pass."""

import hashlib
import json
import logging
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
from roomtone.stores.postgres import connection_arguments
from roomtone.transform import statements
from roomtone.transform.touched import Scope, close_scope, kept_counts, open_scope

log = logging.getLogger(__name__)

# What readers and destinations use; the layers below are working tables.
PUBLIC_SCHEMAS = ("marts", "activations")

_THREADS = 2

# What a pass over everybody needs of ten million sends; with three fifths of it some of its joins do not fit.
_WHOLE_MEMORY_LIMIT = "2560MiB"

# What a pass over the touched customers leaves out: tests of the working tables, and the views, both of which change
# only with the project. On PostgreSQL the views go with the tables that they read, and are made again.
_LEFT_OUT = {
    True: ("--exclude", "config.materialized:view", "resource_type:test,path:models/intermediate"),
    False: ("--exclude", "resource_type:test,path:models/intermediate"),
}


@dataclass(frozen=True)
class TransformReport:
    """What one transform did: `nodes` counts dbt models and tests that ran, `rows` is by public table.

    `whole_because` says why everybody was computed; it is empty where only the `count_touched` customers were, counted
    under every id that they have.
    """

    pass_sequence: int
    nodes: int
    seconds: float
    rows: dict[str, int]
    whole_because: str
    count_touched: int


def transform(settings: Settings, current: Pass) -> TransformReport:
    """Compute every mart and activation table for `current.as_of`; the same pass again gives the same tables.

    Raises RoomtoneError naming the dbt node that failed. The tables are then those of the nodes that succeeded, so
    `sync` must not act on them: it acts only on a pass that `validate` has passed.
    """
    begun = time.monotonic()
    project = _project_hash(settings)
    store = OperationalStore(settings)
    try:
        scope = _bring_in(settings, store, current, project)
        nodes = _compute(settings, project, is_whole=scope.is_whole)
        rows = _finish(settings, current, project, scope)
        store.mark_pass(current, "transformed")
    finally:
        store.close()
    if scope.is_whole:
        log.info("%s computed everybody: %s", current.pass_id, scope.whole_because)
    return TransformReport(
        current.sequence, nodes, time.monotonic() - begun, rows, scope.whole_because, scope.count_customers
    )


def _compute(settings: Settings, project: str, *, is_whole: bool) -> int:
    """Build the tables of everybody or of the touched; returns how many nodes ran."""
    is_embedded = warehouse.is_embedded(settings)
    folder = settings.home / "dbt"
    if is_embedded and not is_whole and (known := statements.kept(folder, project)):
        with warehouse.connect(settings) as connection:
            connection.execute("set preserve_insertion_order = false")
            return statements.send(connection, known)
    with warehouse.held(settings) as path:
        command = ["build", "--exclude-resource-type", "unit_test"]
        if is_whole:
            return run_dbt(settings, path, command)
        results = _dbt_results(settings, path, [*command, *_LEFT_OUT[is_embedded]], is_whole=False)
    if is_embedded:
        statements.keep(folder, project, results)
    return len(results)


def run_dbt(settings: Settings, path: Path, arguments: Sequence[str], *, is_whole: bool = True) -> int:
    """Run one dbt command on the warehouse at `path`, which the caller holds; returns how many nodes ran.

    Everybody's rows are computed, or those of the touched customers alone (`touched.open_scope`, which must have run).
    No connection of dbt's is left open afterwards. Raises RoomtoneError naming the first node that failed.
    """
    return len(_dbt_results(settings, path, arguments, is_whole=is_whole))


def _dbt_results(settings: Settings, path: Path, arguments: Sequence[str], *, is_whole: bool) -> list[Any]:
    # Heavy to import: seconds that only a process which transforms should pay.
    from dbt.cli.main import dbtRunner

    folder = _working_folder(settings, path)
    command = [
        *arguments,
        *(("--full-refresh",) if is_whole and arguments[0] in {"build", "run"} else ()),
        *("--project-dir", str(settings.dbt_dir)),
        *("--profiles-dir", str(folder)),
        *("--target-path", str(folder / "target")),
        *("--log-path", str(settings.logs_dir / "dbt")),
        *("--log-level", "none", "--log-level-file", "info", "--no-print", "--no-use-colors"),
        *("--no-version-check", "--no-send-anonymous-usage-stats", "--no-write-json"),
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
    return results


def _bring_in(settings: Settings, store: OperationalStore, current: Pass, project: str) -> Scope:
    """Copy the operational store into the `raw` schema, and find out whom the pass touches."""
    from roomtone.transform.mirror import mirror

    with warehouse.session(settings) as connection:
        loading.ensure_raw_tables(connection)
        return open_scope(
            connection, current, project, lambda since: mirror(settings, connection, store, current, since)
        )


def _project_hash(settings: Settings) -> str:
    """Hash of every file that makes the dbt project, and of where each is."""
    if not (settings.dbt_dir / "dbt_project.yml").is_file():
        raise RoomtoneError(
            "dbt project", f"{settings.dbt_dir} holds no dbt_project.yml", "run roomtone from its checkout"
        )
    digest = hashlib.sha256()
    sources = [settings.dbt_dir / "dbt_project.yml"]
    for folder in ("models", "macros", "tests"):
        sources += sorted(path for path in (settings.dbt_dir / folder).rglob("*") if path.suffix in {".sql", ".yml"})
    for file in sources:
        digest.update(f"{file.relative_to(settings.dbt_dir)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _working_folder(settings: Settings, path: Path) -> Path:
    """Folder of dbt's own files (profile, parsed project, compiled SQL), outside the checkout."""
    folder = settings.home / "dbt"
    output = _duckdb_output(path) if warehouse.is_embedded(settings) else _postgres_output(settings)
    profile = {"roomtone": {"target": output["type"], "outputs": {output["type"]: output | {"threads": _THREADS}}}}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # JSON is YAML. Written only when it changes: dbt keeps its parsed project while the profile stays the same.
        text = json.dumps(profile, indent=2) + "\n"
        file = folder / "profiles.yml"
        if not file.exists() or file.read_text() != text:
            # It may hold the password of the warehouse.
            file.touch(mode=0o600)
            file.write_text(text)
    except OSError as error:
        raise RoomtoneError(
            "ROOMTONE_HOME",
            f"{folder} cannot be written ({error.strerror})",
            "free the disk or choose a folder you may write to",
        ) from error
    return folder


def _duckdb_output(path: Path) -> dict[str, Any]:
    # Rows have no order in a table, and keeping the one they came in costs memory.
    options = {"memory_limit": _WHOLE_MEMORY_LIMIT, "preserve_insertion_order": False}
    quiet = {"enable_progress_bar": False}
    return {"type": "duckdb", "path": str(path), "schema": "main", "config_options": options, "settings": quiet}


def _postgres_output(settings: Settings) -> dict[str, Any]:
    given = connection_arguments(settings.warehouse_url)
    return {"type": "postgres", "schema": "main", "host": "localhost", "port": 5432, "password": ""} | given


@contextmanager
def _closed_afterwards() -> Iterator[None]:
    """dbt-duckdb keeps its database open for the process's next command; the next opener must find the file free."""
    try:
        yield
    finally:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.adapters.factory import cleanup_connections, reset_adapters

        cleanup_connections()
        reset_adapters()
        environment: Any = DuckDBConnectionManager._ENV  # noqa: SLF001 -- the only handle on what it keeps open
        if environment is not None:
            environment.close()
        DuckDBConnectionManager.close_all_connections()


def _finish(settings: Settings, current: Pass, project: str, scope: Scope) -> dict[str, int]:
    """Remember what the pass left, and count the rows of the public tables."""
    with warehouse.session(settings) as connection:
        sequence = connection.execute("select pass_sequence from raw.current_pass").fetchone()
        if sequence is None or int(sequence[0]) != current.sequence:
            raise RoomtoneError(
                f"pass {current.sequence}",
                "another pass was transformed at the same time",
                "let one run end before the next begins",
            )
        close_scope(connection, current, project, scope)
        return {
            name.rpartition(".")[2]: count
            for name, count in kept_counts(connection).items()
            if name.startswith(PUBLIC_SCHEMAS)
        }


def _first_lines(message: str) -> str:
    return " ".join(message.split())[:400]
