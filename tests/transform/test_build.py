"""How the project is run: where dbt writes, what it leaves open, what a failure says, what a second run changes."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.transform import build as building
from roomtone.transform import transform
from roomtone.transform.touched import open_scope
from transform.histories import SCOPES, History, at, current_pass, fingerprints, query, write

TICKETS, LEFT = "marts.fct_tickets", "not the 1 that the last pass left"
ANOTHER_MODEL = """
    insert into raw.loads values ('scores', 'new', null);
    insert into raw.message_scores
    select * replace ('model-2' as model_version, scored_at + interval 1 hour as scored_at, 'new' as load_id)
    from raw.message_scores
"""


def begin(settings: Settings, as_of: float) -> Pass:
    store = OperationalStore(settings)
    try:
        return store.begin_pass(current_pass(as_of).as_of)
    finally:
        store.close()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings({"ROOMTONE_HOME": str(tmp_path_factory.mktemp("build") / "home with blank")})


@pytest.fixture(scope="module")
def first(settings: Settings) -> building.TransformReport:
    history = History()
    history.customer("maya", "maya@example.com")
    history.ticket("ticket", "maya", (10, "new"))
    history.message("ticket", 10)
    write(settings, history, 20)
    return transform(settings, begin(settings, 20))


def test_the_report_counts_nodes_and_rows(first: building.TransformReport) -> None:
    assert first.nodes > 60
    assert first.rows["dim_customers"] == 1
    assert set(first.rows) >= {"fct_suppressions", "fct_decisions", "sync_profile_properties", "sync_recovery_events"}


def test_the_same_pass_again_gives_the_same_marts_and_runs_less(
    settings: Settings, first: building.TransformReport
) -> None:
    before = fingerprints(settings)
    again = transform(settings, begin(settings, 20))
    assert fingerprints(settings) == before
    assert again.nodes < first.nodes, "the views are still those of the project"
    assert again.rows == first.rows
    assert (first.whole_because, again.whole_because) == ("no finished pass to go on from", "")


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize(
    ("breakage", "hour", "edited", "reason"),
    [
        ("select 1", 21, "", ""),
        ("delete from raw.last_pass", 21, "", "no finished pass to go on from"),
        ("select 1", 19, "", "the last pass was as of 2026-03-02T20:00:00Z, later than this one"),
        ("select 1", 21, "project", "the dbt project changed"),
        ("select 1", 21, "policies", "the policies changed"),
        ("delete from marts.fct_tickets", 21, "", f"{TICKETS} holds 0 rows, {LEFT}"),
        ("drop table marts.fct_tickets", 21, "", f"{TICKETS} holds no rows, {LEFT}"),
        (ANOTHER_MODEL, 21, "", "model model-2 came into force"),
    ],
)
def test_a_pass_says_why_it_computes_everybody(
    settings: Settings, breakage: str, hour: float, edited: str, reason: str
) -> None:
    with warehouse.connect(settings) as connection:
        kept = connection.execute("select project_hash, policies_hash from raw.last_pass").fetchone()
        assert kept is not None
        project = kept[0] + edited if edited == "project" else kept[0]
        policies = kept[1] + edited if edited == "policies" else kept[1]
        connection.begin()
        connection.execute(breakage)
        scope = open_scope(connection, current_pass(hour, 9), project, lambda since: policies)
        connection.rollback()
    assert scope.whole_because == reason
    assert scope.is_whole == bool(reason)


def test_another_process_can_open_the_warehouse_right_after(
    settings: Settings, first: building.TransformReport
) -> None:
    program = (
        "import duckdb, sys\n"
        "connection = duckdb.connect(sys.argv[1])\n"
        "print(connection.execute('select count(*) from marts.dim_customers').fetchall())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(settings.warehouse_path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[(1,)]", 0), done.stderr


def test_nothing_is_written_into_the_checkout(settings: Settings, first: building.TransformReport) -> None:
    assert not [name for name in ("target", "logs", "dbt_packages", ".user.yml") if (settings.dbt_dir / name).exists()]
    assert (settings.home / "dbt" / "target" / "partial_parse.msgpack").exists()


def test_a_failing_node_is_named_and_the_warehouse_is_free(
    settings: Settings, first: building.TransformReport, tmp_path: Path
) -> None:
    broken = dataclasses.replace(settings, dbt_dir=tmp_path / "dbt_project")
    shutil.copytree(settings.dbt_dir, broken.dbt_dir)
    model = broken.dbt_dir / "models" / "marts" / "dim_customers.sql"
    model.write_text(model.read_text().replace("orders_count", "no_such_column"))
    with pytest.raises(RoomtoneError, match=r"dbt model dim_customers: .*; see ") as failure:
        transform(broken, begin(broken, 20))
    assert "\n" not in str(failure.value)
    assert query(settings, "select 1 as free") == [{"free": 1}]


def test_a_missing_project_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(RoomtoneError, match=r"dbt project: .*nowhere holds no dbt_project\.yml"):
        transform(dataclasses.replace(settings, dbt_dir=tmp_path / "nowhere"), begin(settings, 20))


def test_unit_tests_and_data_tests_of_the_project_pass(settings: Settings) -> None:
    history = History()
    history.policy("upset", {"sentiment": "negative", "min_confidence": 0.8}, SCOPES)
    history.customer("maya", "maya@example.com")
    history.ticket("ticket", "maya", (10, "new"))
    history.message("ticket", 10)
    write(settings, history, 20)
    with warehouse.held(settings) as path:
        assert building.run_dbt(settings, path, ["build"]) > 100
    assert query(settings, "select started_at from marts.fct_suppression_causes") == [{"started_at": at(10)}]
