"""10,000 customer turns of real human conversations through the whole path, as the `files` source."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from roomtone.settings import load_settings
from roomtone.stores import raw

TURNS = 10_000
FIRST_AT = datetime(2026, 2, 1, 6, tzinfo=UTC)


def _shown(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module")
def conversations(data_dir: Path) -> pd.DataFrame:
    """Whole conversations, in order, until they hold TURNS customer turns."""
    frame = pd.read_parquet(data_dir / "multidogo" / "multidogo_train_dev.parquet")
    turns = frame[(frame["level"] == "turn") & frame["turn"].notna()].copy()
    turns["turn"] = turns["turn"].astype(int)
    turns = turns.sort_values(["conversation_id", "turn"], kind="stable").drop_duplicates(["conversation_id", "turn"])
    return turns.head(TURNS)


@pytest.fixture(scope="module")
def brand(conversations: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The conversations as a folder of the `files` source: one ticket and customer each, with made-up times."""
    folder = tmp_path_factory.mktemp("conversations") / "brand"
    rows: dict[str, list[dict]] = {"customers": [], "tickets": [], "messages": []}
    for number, (conversation, turns) in enumerate(conversations.groupby("conversation_id", sort=False)):
        began = FIRST_AT + timedelta(minutes=7 * number)
        ended = began + timedelta(minutes=len(turns) + 30)
        at = _shown(began)
        rows["customers"].append(
            {
                "id": f"c-{number}",
                "email": f"customer{number}@example.com",
                "email_marketing_consent": True,
                "sms_marketing_consent": False,
                "created_at": at,
                "updated_at": at,
            }
        )
        ticket = {"id": f"t-{conversation}", "customer_id": f"c-{number}", "channel": "chat", "created_at": at}
        rows["tickets"].append(ticket | {"status": "open", "updated_at": at})
        # A third of the tickets stays open.
        if number % 3:
            rows["tickets"].append(ticket | {"status": "solved", "updated_at": _shown(ended)})
        for minute, turn in enumerate(turns.itertuples()):
            written = _shown(began + timedelta(minutes=minute))
            rows["messages"].append(
                {
                    "id": f"m-{conversation}-{turn.turn}",
                    "ticket_id": ticket["id"],
                    "author": "customer",
                    "body": turn.text,
                    "is_public": True,
                    "created_at": written,
                    "updated_at": written,
                }
            )
    for stream, records in rows.items():
        (folder / stream).mkdir(parents=True)
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / stream / "all.jsonl").write_text(lines)
    return folder


@pytest.fixture(scope="module")
def run(brand: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict, Path]:
    """Two runs by the command line with the same instant: both reports, and the home."""
    home = tmp_path_factory.mktemp("home")
    environ = {**os.environ, "ROOMTONE_HOME": str(home), "ROOMTONE_FILES_DIR": str(brand)}
    reports = []
    for _ in range(2):
        command = [sys.executable, "-m", "roomtone.cli", "run", "--as-of", "2026-03-01T00:00:00Z", "--json"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout))
    return reports[0], reports[1], home


@pytest.mark.data
def test_every_turn_is_landed_and_scored_or_quarantined_and_none_twice(
    conversations: pd.DataFrame, run: tuple[dict, dict, Path]
) -> None:
    first, _, home = run
    settings = load_settings({"ROOMTONE_HOME": str(home)})
    quarantined = {row["location"] for row in raw.quarantined(settings).to_pylist()}
    with duckdb.connect(str(home / "published" / "marts.duckdb"), read_only=True) as marts:
        count, distinct = marts.execute(
            "select count(*), count(distinct message_id) from fct_message_scores"
        ).fetchone()
    assert count == distinct
    assert distinct + len(quarantined) == len(conversations) == TURNS
    assert first["messages_scored"] == distinct
    assert first["is_valid"] is True
    print(  # the figures that the README quotes
        f"\n{TURNS} turns: scored {first['messages_per_second']:,.0f} messages/s, "
        f"whole run {sum(first['seconds'].values()):.1f} s, peak memory {first['peak_memory_mib']:,.0f} MiB"
    )


@pytest.mark.data
def test_the_marts_hold_together(run: tuple[dict, dict, Path]) -> None:
    with duckdb.connect(str(run[2] / "published" / "marts.duckdb"), read_only=True) as marts:
        wrong = marts.execute(
            """
            select count(*) from fct_suppressions as mine join fct_suppressions as other
                on other.customer_id = mine.customer_id
                and other.scope = mine.scope
                and other.valid_from > mine.valid_from
                and other.valid_from < coalesce(mine.valid_to, timestamp '9999-01-01')
            """
        ).fetchone()
        assert wrong == (0,)
        paused, causes = marts.execute(
            "select (select count(distinct customer_id) from fct_suppressions),"
            " (select count(*) from fct_suppression_causes)"
        ).fetchone()
        customers = marts.execute("select count(*) from dim_customers").fetchone()[0]
    # Most of these conversations are calm errands; a brand that falls silent over them would be mute.
    assert 0 < paused < customers / 2
    assert causes >= paused


@pytest.mark.data
def test_the_same_again_changes_nothing(run: tuple[dict, dict, Path]) -> None:
    _, second, home = run
    assert second["messages_scored"] == 0
    with duckdb.connect(str(home / "published" / "marts.duckdb"), read_only=True) as marts:
        assert marts.execute("select count(*) from fct_message_scores").fetchone() == (TURNS,)
    sent = list((home / "sent").rglob("*.jsonl"))
    assert len({path.read_text() for path in sent}) == len(sent)
