"""The DAG files: thin, documented, tagged, retried, and chained by assets from raw records to published marts."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roomtone.settings import PROJECT_ROOT

DAG_IDS = ("extract", "publish", "react", "reconcile", "risk")
FILES = sorted((PROJECT_ROOT / "dags").glob("*.py"))
HEADINGS = ("### What it does", "### Reads and writes", "### When it fails")
VERBS = ("extract", "score", "transform", "validate", "sync")


def test_airflow_reads_every_file(bag: dict[str, Any]) -> None:
    assert bag["errors"] == {}
    assert tuple(sorted(bag["dags"])) == DAG_IDS
    assert tuple(path.stem for path in FILES) == DAG_IDS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_are_thin(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 80
    modules = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    allowed = {"typing", "airflow.sdk", "roomtone.airflow", "roomtone.airflow.defaults"}
    assert modules <= allowed
    code = text.replace(ast.get_docstring(ast.parse(text), clean=False) or "", "")
    assert not re.search(r"\b(select|insert|update|delete|merge)\b.*\b(from|into|set)\b", code, re.IGNORECASE)


def test_reading_them_is_quick_and_loads_nothing_heavy(bag: dict[str, Any]) -> None:
    # Every task reads its file again. Measured: 0.1 s; the bound leaves room for a busy machine.
    assert bag["seconds"] < 3.0
    assert bag["heavy"] == []


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_each_has_its_page_its_tags_and_its_runbook(bag: dict[str, Any], dag_id: str) -> None:
    dag = bag["dags"][dag_id]
    places = [dag["doc_md"].find(heading) for heading in HEADINGS]
    assert -1 not in places
    assert places == sorted(places)
    kinds = [tag.split("/") for tag in dag["tags"]]
    assert {value for kind, value in kinds if kind == "path"} <= set(VERBS)
    assert [value for kind, value in kinds if kind == "impact"] in (["tier-1"], ["tier-2"], ["tier-3"])
    assert {kind for kind, _ in kinds} == {"path", "impact"}
    runbook = (PROJECT_ROOT / "docs" / "runbooks" / f"{dag_id}.md").read_text()
    assert f"docs/runbooks/{dag_id}.md" in dag["doc_md"]
    for task in dag["tasks"]:
        name = re.sub(r"_(zendesk|klaviyo|shop)$", "_", task)
        assert f"`{name}" in runbook, f"{dag_id}'s runbook does not tell of {task}"


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_each_runs_once_at_a_time_and_tries_again(bag: dict[str, Any], dag_id: str) -> None:
    dag = bag["dags"][dag_id]
    assert dag["max_active_runs"] == 1
    assert dag["catchup"] is False
    assert all(task["retries"] >= 2 and task["has_timeout"] for task in dag["tasks"].values())


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_no_task_tells_its_counts_one_by_one(bag: dict[str, Any], dag_id: str) -> None:
    """Airflow makes an XCom, a call of its API, of each entry of a dictionary, unless it is told not to."""
    assert not [name for name, task in bag["dags"][dag_id]["tasks"].items() if task["is_told_in_pieces"]]


def test_what_writes_or_copies_the_warehouse_takes_turns(bag: dict[str, Any]) -> None:
    tasks = {name: task for dag in bag["dags"].values() for name, task in dag["tasks"].items()}
    assert {name for name, task in tasks.items() if task["pool"] == "warehouse"} == {"decide", "copy"}
    # A report goes before the next pass replaces what it tells of, and the first destination before the second.
    assert tasks["copy"]["priority_weight"] > tasks["decide"]["priority_weight"]
    assert tasks["sync_klaviyo"]["priority_weight"] > tasks["sync_zendesk"]["priority_weight"]


def test_the_assets_chain_the_dags(bag: dict[str, Any]) -> None:
    dags = bag["dags"]
    outlets = {
        dag_id: {asset for task in dag["tasks"].values() for asset in task["outlets"]} for dag_id, dag in dags.items()
    }
    assert outlets == {
        "extract": {"raw"},
        "react": {"marts_due", "backlog_left"},
        "publish": set(),
        "reconcile": set(),
        "risk": set(),
    }
    assert {dag_id: dag["woken_by"] for dag_id, dag in dags.items()} == {
        "extract": [],
        "react": ["inbox", "raw"],
        "publish": ["validated"],
        "reconcile": [],
        "risk": [],
    }


def test_react_walks_the_path(bag: dict[str, Any]) -> None:
    dag = bag["dags"]["react"]
    assert dag["tasks"]["decide"]["downstream"] == ["sync_klaviyo", "sync_zendesk"]
    # The task runs the other stages in the order of the path, and each only after the one before has succeeded.
    text = (PROJECT_ROOT / "dags" / "react.py").read_text()
    stages = ("extract_webhooks(", "begin_and_score(", "transform_pass(", "validate_pass(", "sync_pass(")
    places = [text.find(f"stages.{stage}") for stage in stages]
    assert -1 not in places
    assert places == sorted(places)
    assert {tag for tag in dag["tags"] if tag.startswith("path/")} == {f"path/{verb}" for verb in VERBS}


def test_extract_has_a_task_for_each_source_and_reports_once(bag: dict[str, Any]) -> None:
    dag = bag["dags"]["extract"]
    sources = {name for name in dag["tasks"] if name.startswith("extract_")}
    assert sources == {"extract_zendesk", "extract_klaviyo", "extract_shop"}
    assert all(dag["tasks"][name]["downstream"] == ["landed"] for name in sources)
    # A teardown runs after failures too and does not hide them: the run's state is that of the sources.
    assert dag["tasks"]["landed"]["is_teardown"] is True
    assert dag["schedule"] == "* * * * *"


def test_without_a_schedule_extract_waits_for_a_hand(describe: Callable[..., dict[str, Any]]) -> None:
    dag = describe(ROOMTONE_EXTRACT_SCHEDULE="")["dags"]["extract"]
    assert dag["schedule"] is None
    assert set(dag["tasks"]) == {"extract_files", "landed"}


def test_webhooks_come_by_themselves_and_late_runs_are_told(describe: Callable[..., dict[str, Any]]) -> None:
    dags = describe(ROOMTONE_SOURCES="zendesk,webhook")["dags"]
    assert set(dags["extract"]["tasks"]) == {"extract_zendesk", "landed"}
    late_after = {dag_id: dag["late_after"] for dag_id, dag in dags.items() if dag["late_after"]}
    assert late_after == {"extract": 120, "react": 60}
