"""The story of the birthday gift, counted from the sandbox's own log: in Airflow, and in one process."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from conftest import Sandbox
from roomtone.airflow.instance import start_airflow
from roomtone.pipeline import run_once
from roomtone.sandbox.player import Brand, Told, instant, play
from roomtone.settings import load_settings

ESCALATIONS = 2


def check_story(told: Told, brand: Brand) -> None:
    """Every sentence of the story, as the witness log has it."""
    sale_at = told.t0 + timedelta(minutes=3)

    # Scored negative and urgent, her ticket goes to the escalation queue before anything else happens to it.
    first = told.routed[0]["changed"]
    assert first["group_id"][1] == ESCALATIONS
    assert first["priority"][1] == "urgent"

    # Paused before the campaign that was scheduled three minutes later; it skips her, the shipping notice does not.
    assert instant(told.paused[0]["at"]) < sale_at
    assert told.paused[0]["changed"]["roomtone_pause_until"][1] is not None
    assert told.sale["maya"]["outcome"] == "skipped"
    assert [notice["outcome"] for notice in told.shipping_notices] == ["sent"]

    # One apology, once.
    assert len(told.events_of("apology")) == 1
    assert instant(told.events_of("apology")[0]["at"]) < sale_at

    # A mild complaint and a plain question still get the campaign.
    assert told.sale["tom"]["outcome"] == "sent"
    assert told.sale["ana"]["outcome"] == "sent"

    # After the ticket is solved and the cool-off is over: released, one goodwill offer, once, and mail again.
    solved_at = told.t0 + timedelta(hours=26)
    assert len(told.paused) == len(told.released) == 1
    assert instant(told.released[0]["at"]) >= solved_at + timedelta(hours=24)
    offers = told.events_of("discount_code") + told.events_of("free_shipping")
    assert len(offers) == 1
    assert instant(offers[0]["at"]) >= solved_at + timedelta(hours=24)
    assert told.arrivals["maya"]["outcome"] == "sent"

    # Everything a second time changes nothing; nothing undocumented or near consent was ever asked.
    assert told.changes_when_repeated == []
    assert told.violations == []
    stored = Counter(event["unique_id"] for event in brand.log(kind="event_received") if not event["is_duplicate"])
    assert max(stored.values()) == 1


def test_the_story_in_one_process(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = sandbox.settings(tmp_path / "home")
    brand = Brand(sandbox.url)

    def walk() -> None:
        assert run_once(settings, sandbox.now()).failures == []

    check_story(play(brand, walk), brand)


@pytest.mark.airflow
def test_the_story_in_airflow(start_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    sandbox = start_sandbox(customers=120)
    settings = load_settings({**sandbox.environ(tmp_path / "home"), "ROOMTONE_EXTRACT_SCHEDULE": ""})
    brand = Brand(sandbox.url)
    airflow = start_airflow(settings)
    try:
        assert airflow.import_errors() == []

        def walk() -> None:
            runs = airflow.walk("extract")
            assert {run.dag_id for run in runs} >= {"extract", "react", "publish"}
            assert {run.state for run in runs} == {"success"}, runs

        check_story(play(brand, walk), brand)
    finally:
        airflow.stop()
    assert (settings.published_dir / "marts.duckdb").is_file()
