"""The statements that dbt sends in a pass over the touched customers, kept and sent again without dbt.

They are the same in every such pass: whom it touches, and as of when, stands in tables. What dbt adds to sending them
(reading its project, asking the catalogue, a connection and a log line for each node) takes several times longer than
the statements do. So dbt runs in a whole pass and in the first pass over the touched after the project has changed;
from then on the statements of that pass are sent, each after those that it reads from, two at a time as under dbt, and
its tests are asked what they ask there.
"""

import json
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb

from roomtone.errors import RoomtoneError
from roomtone.stores import warehouse

_FILE = "touched_statements.json"
# Another shape of the file is not read.
_FORMAT = 2
# Most statements are too short for the engine to divide one among two cores.
_AT_A_TIME = 2


@dataclass(frozen=True)
class Statement:
    """What one dbt node sends: the statements of a model, or the query of a test, whose rows are failures. `after` are
    the names of those that it reads from.
    """

    kind: str
    name: str
    file: str
    sql: str
    after: tuple[str, ...] = ()


def keep(folder: Path, key: str, results: Iterable[Any]) -> None:
    """Keep what the nodes of a dbt run have sent, under `key`, for `kept`. `results` are dbt's, in order of their end.

    Nothing is kept when a node is of a kind that these statements cannot stand for.
    """
    (folder / _FILE).unlink(missing_ok=True)
    nodes = [result.node for result in results if not _sends_nothing(result.node)]
    names = {node.unique_id: node.name for node in nodes}
    found = []
    for node in nodes:
        statement = _statement(node, tuple(names[read] for read in node.depends_on.nodes if read in names))
        if statement is None:
            return
        found.append(asdict(statement))
    content = {"format": _FORMAT, "key": key, "statements": found}
    building = folder / f".{_FILE}"
    building.write_text(json.dumps(content, indent=1))
    building.replace(folder / _FILE)


def kept(folder: Path, key: str) -> list[Statement]:
    """What was kept under `key`; empty where nothing was, or under another key."""
    try:
        content = json.loads((folder / _FILE).read_text())
        if content["format"] != _FORMAT or content["key"] != key:
            return []
        return [Statement(**entry | {"after": tuple(entry["after"])}) for entry in content["statements"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def send(connection: duckdb.DuckDBPyConnection, statements: Sequence[Statement]) -> int:
    """Send `statements`, each after those that it reads from, a model in a transaction of its own; returns how many
    they were.

    They see nothing that `connection` has not committed. Raises RoomtoneError naming the first node that failed; no
    other begins then.
    """
    waiting = {statement.name: statement for statement in statements}
    order = TopologicalSorter({statement.name: statement.after for statement in statements})
    order.prepare()
    ready: deque[str] = deque()
    running: dict[Future[None], tuple[str, duckdb.DuckDBPyConnection]] = {}
    with ExitStack() as opened, ThreadPoolExecutor(_AT_A_TIME) as pool:
        idle = [opened.enter_context(warehouse.beside(connection)) for _ in range(_AT_A_TIME)]
        while order.is_active():
            ready.extend(order.get_ready())
            while ready and idle:
                name, free = ready.popleft(), idle.pop()
                running[pool.submit(_send, free, waiting[name])] = (name, free)
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                ended.result()
                name, free = running.pop(ended)
                idle.append(free)
                order.done(name)
    return len(statements)


def _send(connection: duckdb.DuckDBPyConnection, statement: Statement) -> None:
    try:
        if statement.kind == "model":
            connection.begin()
            connection.execute(statement.sql)
            connection.commit()
        else:
            _ask(connection, statement)
    except duckdb.Error as error:
        raise RoomtoneError(
            f"dbt {statement.kind} {statement.name}", " ".join(str(error).split())[:400], f"see {statement.file}"
        ) from error


def _ask(connection: duckdb.DuckDBPyConnection, test: Statement) -> None:
    row = connection.execute(f"select count(*) from ({test.sql}) as failures").fetchone()  # noqa: S608 - dbt's own text
    if row is None or row[0]:
        failures = row[0] if row else "no answer"
        results = "result" if failures == 1 else "results"
        raise RoomtoneError(
            f"dbt test {test.name}", f"Got {failures} {results}, configured to fail if != 0", f"see {test.file}"
        )


def _sends_nothing(node: Any) -> bool:
    """Whether a node is a description, or a hook that has nothing to do in such a pass."""
    return node.resource_type == "exposure" or (
        node.resource_type == "operation" and not (node.compiled_code or "").strip()
    )


def _statement(node: Any, after: tuple[str, ...]) -> Statement | None:
    if node.resource_type == "model":
        sent = Path(node.build_path) if node.build_path else None
        if sent is None or not sent.is_file() or node.config.materialized not in {"computed", "kept", "remembered"}:
            return None
        return Statement("model", node.name, node.original_file_path, sent.read_text(), after)
    is_plain = (
        node.resource_type == "test"
        and str(node.config.severity).lower() == "error"
        and node.config.error_if == "!= 0"
        and node.config.fail_calc == "count(*)"
        and node.config.limit is None
    )
    return Statement("test", node.name, node.original_file_path, node.compiled_code, after) if is_plain else None
