"""An extraction killed at each of its steps: the next one ends where one without a kill would have ended."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient
from dlt.extract.extract import Extract
from dlt.pipeline.pipeline import Pipeline

from extract.desk import AS_OF, Desk, in_child, message
from roomtone.extract import extract
from roomtone.extract import intake as intake_module
from roomtone.extract.index import VersionIndex
from roomtone.extract.intake import Intake
from roomtone.extract.landing import working_folder
from roomtone.settings import load_settings
from roomtone.stores import raw
from roomtone.stores.operational import OperationalStore, landed_versions

ROWS = 30


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after(owner: Any, name: str) -> Callable[[], None]:
    def patch() -> None:
        original = getattr(owner, name)

        def then_die(*arguments: Any, **named: Any) -> None:
            original(*arguments, **named)
            _die()

        setattr(owner, name, then_die)

    return patch


def _die_instead(owner: Any, name: str) -> Callable[[], None]:
    return lambda: setattr(owner, name, _die)


def _die_with_half_a_record() -> None:
    def write_half(client: Any, load_id: str) -> None:
        folder = client.pathlib.join(client.dataset_path, client.schema.loads_table_name)
        with open(f"{folder}/{client.schema.name}__{load_id}.jsonl", "w") as handle:  # noqa: PTH123 - dlt's own path
            handle.write('{"load_id": "17')
        _die()

    FilesystemClient._store_load = write_half


def _die_at_the_second_batch() -> None:
    intake_module.BATCH_ROWS = 10
    original, calls = Intake._land, []

    def land(self: Intake, stream: str) -> Any:
        calls.append(stream)
        if len(calls) == 2:
            _die()
        return original(self, stream)

    Intake._land = land  # type: ignore[method-assign]


# In the order in which an extraction comes past them.
KILLS: dict[str, Callable[[], None]] = {
    "while reading": _die_at_the_second_batch,
    "before the package is whole": _die_instead(Extract, "commit_packages"),
    "after the package is whole": _die_after(Extract, "commit_packages"),
    "before normalizing": _die_instead(Pipeline, "normalize"),
    "before loading": _die_instead(Pipeline, "load"),
    "after the files are copied": _die_instead(FilesystemClient, "complete_load"),
    "after the cursors are written": _die_instead(FilesystemClient, "_store_load"),
    "while the record is written": _die_with_half_a_record,
    "after the record is written": _die_after(FilesystemClient, "_store_load"),
    "after loading": _die_after(Pipeline, "load"),
    "before indexing": _die_instead(VersionIndex, "_index"),
    "while indexing": _die_after(VersionIndex, "_insert_versions"),
    "after indexing": _die_after(VersionIndex, "_index"),
}


@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_extraction_loses_nothing_and_lands_nothing_twice(desk: Desk, tmp_path: Path, kill: str) -> None:
    desk.write("messages/a.jsonl", [message(0), b"{first"])
    desk.extract()
    desk.write("messages/a.jsonl", [*(message(n) for n in range(1, ROWS)), message(1), b"{broken"], mode="ab")

    def killed() -> None:
        KILLS[kill]()
        extract(desk.settings, "files", AS_OF)

    status, said = in_child(killed)
    assert os.WIFSIGNALED(status), f"the extraction never came past that point {said}"

    without = tmp_path / "without the working folder"
    shutil.copytree(desk.settings.home, without)
    environ = {"ROOMTONE_HOME": str(without), "ROOMTONE_FILES_DIR": str(desk.folder)}
    other = Desk(load_settings(environ), desk.folder)
    shutil.rmtree(working_folder(other.settings))

    for survivor in (desk, other):
        report = survivor.extract()
        if report.recovered:
            assert report.total.read == 0, "what was packed is read again"
        assert set(survivor.landed("messages").values()) == {1}
        assert {record_id for record_id, _ in survivor.landed("messages")} == {f"m{n}" for n in range(ROWS)}
        refused = sorted(entry["location"] for entry in survivor.quarantine())
        assert refused == ["messages/a.jsonl:2", "messages/a.jsonl:33"]
        assert survivor.extract().total.read == 0, "the cursor is behind"
        _check_index(survivor)
        _check_runs(survivor)
        copies = list(working_folder(survivor.settings).rglob("*.parquet"))
        assert not copies, "customer data lies about in the working folder"


def _check_index(desk: Desk) -> None:
    store = OperationalStore(desk.settings)
    try:
        with store.begin() as connection:
            query = sa.select(landed_versions.c.record_id, landed_versions.c.record_hash)
            indexed = {tuple(row) for row in connection.execute(query.where(landed_versions.c.stream == "messages"))}
    finally:
        store.close()
    assert indexed == set(desk.landed("messages"))


def _check_runs(desk: Desk) -> None:
    """Every load has its counts, and what they say has landed is what lies there."""
    by_load = {run["load_id"]: run for run in desk.runs() if run["count_landed"] or run["count_quarantined"]}
    loads = raw.completed_loads(desk.settings)
    assert set(by_load) == {load.load_id for load in loads if load.files or load.quarantine}
    for run in by_load.values():
        assert run["count_read"] == run["count_landed"] + run["count_duplicate"] + run["count_quarantined"]
    assert sum(run["count_landed"] for run in by_load.values()) == ROWS
    assert sum(run["count_quarantined"] for run in by_load.values()) == 2
