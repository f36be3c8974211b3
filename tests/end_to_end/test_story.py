"""The story of the birthday gift, counted from the sandbox's own log: in Airflow, and in one process."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from conftest import Sandbox
from roomtone.airflow.instance import start_airflow
from roomtone.airflow.webhooks import PREFIX
from roomtone.pipeline import run_once
from roomtone.sandbox.player import Brand, Told, instant, play
from roomtone.settings import PROJECT_ROOT, Settings, load_settings
from roomtone.status import examine
from roomtone.stores import raw
from roomtone.transform.lineage_page import write_docs

ESCALATIONS = 2
WEBHOOK_SECRET = "story-secret-story-secret-story"


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


def check_example_queries(settings: Settings) -> None:
    """Each of docs/queries runs as it stands, with the same answer from the database as from Parquet, and not empty."""
    paths = sorted((PROJECT_ROOT / "docs" / "queries").glob("*.sql"))
    assert len(paths) >= 8
    with (
        duckdb.connect(str(settings.published_dir / "marts.duckdb"), read_only=True) as database,
        duckdb.connect() as parquet,
    ):
        for file in (settings.published_dir / "parquet").resolve().glob("*.parquet"):
            parquet.execute(f"create view \"{file.stem}\" as select * from read_parquet('{file}')")
        for path in paths:
            answer = database.execute(path.read_text()).fetchall()
            assert answer, f"{path.name} shows nothing"
            assert parquet.execute(path.read_text()).fetchall() == answer, path.name


def test_the_story_in_one_process(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = sandbox.settings(tmp_path / "home")
    brand = Brand(sandbox.url)

    def walk() -> None:
        assert run_once(settings, sandbox.now()).failures == []

    check_story(play(brand, walk), brand)
    check_example_queries(settings)
    lineage = write_docs(settings).read_text()
    assert "model.roomtone.fct_suppressions" in lineage


@pytest.mark.airflow
def test_the_story_in_airflow(start_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    """By webhook and by poll at once: whatever comes twice counts once."""
    sandbox = start_sandbox(customers=120)
    environ = sandbox.environ(tmp_path / "home") | {
        "ROOMTONE_SOURCES": "zendesk,klaviyo,shop,webhook",
        "ROOMTONE_ZENDESK_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "ROOMTONE_EXTRACT_SCHEDULE": "",
    }
    settings = load_settings(environ)
    brand = Brand(sandbox.url)
    airflow = start_airflow(settings)
    try:
        assert airflow.import_errors() == []
        # Half of the deliveries come twice, a third of them late.
        wanted = {
            "url": f"{airflow.url}{PREFIX}/zendesk",
            "secret": WEBHOOK_SECRET,
            "twice_share": 0.5,
            "late_share": 0.3,
        }
        brand.post("/webhooks", wanted)

        def walk() -> None:
            runs = airflow.walk("extract")
            assert {run.dag_id for run in runs} >= {"extract", "react", "publish"}
            assert {run.state for run in runs} == {"success"}, runs

        def step(text: str) -> None:
            # From here on the poll alone tells: what webhooks no longer bring arrives all the same.
            if text.startswith("a day later"):
                brand.post("/webhooks", {})

        check_story(play(brand, walk, step), brand)
    finally:
        airflow.stop()
    assert (settings.published_dir / "marts.duckdb").is_file()
    told = brand.get("/webhooks")
    assert told["delivered"] > told["events"] > 5, "some came twice"
    assert told["given_up"] == 0
    pushed, polled = (ids_of_messages(settings, source) for source in ("webhook", "zendesk"))
    assert pushed
    assert pushed < polled
    status = examine(settings, datetime.now(UTC))
    assert {beat.subject for beat in status.heartbeats if beat.stage == "extract" and not beat.failure} == {
        "zendesk", "klaviyo", "shop", "webhook",
    }  # fmt: skip


def ids_of_messages(settings: Settings, source: str) -> set[str]:
    """Ids of the messages in the raw store by the source that brought them."""
    schema = pa.schema([("id", pa.string())])
    files = [file for load in raw.completed_loads(settings, source) for file in load.files.get("messages", ())]
    return {key for file in files for key in raw.read_table(file, schema)["id"].to_pylist()}
