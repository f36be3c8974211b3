"""`roomtone run` on the files source and destination: the story, the command line, idempotence, rebuild."""

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from end_to_end.brands import T0, at, message, story, ticket, write
from roomtone.pipeline import run_once
from roomtone.settings import Settings, load_settings

ALL_SCOPES = {"sales", "upsell", "recommendation", "sms", "discount", "celebration", "review_request"}


@pytest.fixture
def brand(tmp_path: Path) -> Path:
    return story(tmp_path / "brand")


@pytest.fixture
def settings(brand: Path, tmp_path: Path) -> Settings:
    return load_settings({"ROOMTONE_HOME": str(tmp_path / "home"), "ROOMTONE_FILES_DIR": str(brand)})


def marts(settings: Settings, sql: str) -> list[tuple]:
    with duckdb.connect(str(settings.published_dir / "marts.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def sent(settings: Settings) -> list[dict]:
    files = sorted(settings.sent_dir.rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def run(settings: Settings, hours: float):
    report = run_once(settings, T0 + timedelta(hours=hours))
    assert report.failures == []
    assert report.is_valid
    return report


def test_the_story(settings: Settings, brand: Path) -> None:
    run(settings, 0.02)
    paused = marts(settings, "select customer_id, scope from sync_suppression_segment")
    assert {scope for customer, scope in paused if customer == "maya"} == ALL_SCOPES
    assert "sales" not in {scope for customer, scope in paused if customer == "tom"}
    assert "ana" not in {customer for customer, _ in paused}
    triggers = marts(settings, "select customer_id, kind, status from fct_recovery_triggers where kind = 'apology'")
    assert triggers == [("maya", "apology", "due")]
    routing = dict(marts(settings, "select ticket_id, queue from sync_ticket_routing"))
    assert "escal" in routing["t-maya"]
    assert "escal" not in routing["t-tom"] + routing["t-ana"]

    first = sent(settings)
    again = run(settings, 0.02)
    assert again.messages_scored == 0
    assert sent(settings) == first

    write(
        brand,
        {
            "tickets": [ticket("t-maya", "maya", "solved", 26, opened=0, order_id="o1")],
            "shipments": [
                {
                    "id": "s1",
                    "order_id": "o1",
                    "shipped_at": at(-200),
                    "promised_at": at(-30),
                    "last_scan_at": at(20),
                    "delivered_at": at(25),
                    "updated_at": at(25),
                }
            ],
        },
        name="later",
    )
    run(settings, 30)
    assert {row[0] for row in marts(settings, "select customer_id from sync_suppression_segment")} >= {"maya"}
    run(settings, 50.5)
    paused = marts(settings, "select customer_id from sync_suppression_segment where scope = 'sales'")
    assert ("maya",) not in paused
    offers = marts(
        settings,
        "select customer_id, kind, status from fct_recovery_triggers"
        " where message_class = 'marketing' and status = 'due'",
    )
    assert offers == [("maya", "discount_code", "due")]
    run(settings, 51)
    delivered = [row for row in sent(settings) if row.get("kind") == "recovery_event"]
    assert len({json.dumps(row, sort_keys=True) for row in delivered}) == len(delivered)


def test_the_end_of_a_pause_is_exact_to_the_second(settings: Settings, brand: Path) -> None:
    write(brand, {"tickets": [ticket("t-maya", "maya", "solved", 26, opened=0, order_id="o1")]}, name="later")
    run(settings, 100)
    [(started, ended, reason)] = marts(
        settings,
        "select started_at, ended_at, end_reason from fct_suppression_causes"
        " where ticket_id = 't-maya' and tier >= 2 and scopes like '%sales%'",
    )
    assert started == T0.replace(tzinfo=None)
    assert ended == (T0 + timedelta(hours=26 + 24)).replace(tzinfo=None)
    assert reason


def test_arrival_order_and_repetition_change_nothing(settings: Settings, tmp_path: Path, brand: Path) -> None:
    run(settings, 1)
    other = tmp_path / "shuffled"
    for file in brand.rglob("*.jsonl"):
        lines = file.read_text().splitlines()
        target = other / file.parent.name
        target.mkdir(parents=True)
        for number, line in enumerate(reversed(lines)):
            (target / f"{9 - number}.jsonl").write_text(f"{line}\n{line}\n")
    shuffled = load_settings({"ROOMTONE_HOME": str(tmp_path / "other"), "ROOMTONE_FILES_DIR": str(other)})
    run(shuffled, 1)
    for table in (
        "fct_suppressions",
        "fct_suppression_causes",
        "fct_recovery_triggers",
        "fct_tickets",
        "sync_profile_properties",
    ):
        query = f"select * from {table} order by all"
        assert marts(settings, query) == marts(shuffled, query), table


def test_a_rebuilt_warehouse_gives_the_same_marts(settings: Settings) -> None:
    from roomtone.rebuild import rebuild_warehouse
    from roomtone.stores.operational import OperationalStore
    from roomtone.sync.publish import publish

    run(settings, 1)
    tables = [row[0] for row in marts(settings, "select table_name from duckdb_tables() order by 1")]
    assert len(tables) > 10
    before = {table: marts(settings, f'select * from "{table}" order by all') for table in tables}
    rebuild_warehouse(settings)
    store = OperationalStore(settings)
    publish(settings, store.find_pass(1))
    for table in tables:
        if table != "roomtone_publication":
            assert marts(settings, f'select * from "{table}" order by all') == before[table], table


def test_a_late_message_changes_history_from_its_own_time_on(settings: Settings, brand: Path) -> None:
    run(settings, 0.5)
    late = message(
        "m-tom-2", "t-tom", "This is a disgrace. I am furious, you have ruined my wedding day. Answer me!", -1.5
    )
    write(brand, {"messages": [late]}, name="late")
    run(settings, 1)
    rows = marts(settings, "select valid_from from fct_suppressions where customer_id = 'tom' and scope = 'sales'")
    assert rows == [(datetime.fromisoformat(at(-1.5)).replace(tzinfo=None),)]


def test_the_command_line_tells_and_explains(settings: Settings, brand: Path) -> None:
    environ = {"ROOMTONE_HOME": str(settings.home), "ROOMTONE_FILES_DIR": str(brand), "PATH": "/usr/bin:/bin"}

    def roomtone(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "roomtone.cli", *words], env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    report = json.loads(roomtone("run", "--as-of", at(0.1), "--json"))
    assert report["is_valid"]
    assert report["messages_scored"] == 3
    explanation = roomtone("why", "maya")
    assert "open_negative_ticket" in explanation
    assert "m-maya" in explanation
    assert "nothing is paused" in roomtone("why", "ana")
    assert (
        roomtone("why", "nobody", code=1)
        == "roomtone: customer: nobody is not in dim_customers; check the id in published/marts.duckdb\n"
    )
    assert "until" in roomtone("pause", "ana", "--reason", "asked for quiet by phone", "--hours", "5")
    assert roomtone("pause", "ana", "--reason", "x", "--hours", "1000", code=1).count("\n") == 1
    assert "rules are valid" in roomtone("policies", "check")
    assert roomtone("run", "--as-of", "yesterday", code=1).startswith("roomtone: --as-of: ")


def test_a_person_s_release_and_pause_win(settings: Settings) -> None:
    from roomtone.policies.overrides import Override, record
    from roomtone.stores.operational import OperationalStore

    store = OperationalStore(settings)
    now = T0 + timedelta(hours=1)
    record(store, Override.decided("release", "maya", "spoke on the phone", "ana", (), now, timedelta(hours=10)))
    record(store, Override.decided("pause", "ana", "bereavement", "ana", ("sales",), now, timedelta(hours=10)))
    run(settings, 2)
    quiet = marts(
        settings, "select customer_id, scope from sync_suppression_segment where customer_id in ('maya', 'ana')"
    )
    assert quiet == [("ana", "sales")]
