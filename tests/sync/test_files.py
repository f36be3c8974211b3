"""The `files` destination: what would be sent, one file per kind and sync run that has anything."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.sync import sync

from .conftest import Mart, Person

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
ANA = Person("ana", "ana@example.com", None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"ROOMTONE_HOME": str(tmp_path / "home")})


def files(settings: Settings) -> dict[str, list[dict]]:
    found = sorted(path for path in settings.sent_dir.rglob("*") if path.is_file())
    return {
        str(p.relative_to(settings.sent_dir)): [json.loads(line) for line in p.read_text().splitlines()] for p in found
    }


def test_each_kind_has_a_file_that_says_what_would_be_sent(mart: Mart) -> None:
    mart.pause(ANA, AS_OF + timedelta(days=14), scopes=("sales",))
    mart.owe(ANA, "trigger-1", AS_OF)
    mart.route(7, "urgent", "escalations", 2, source="files")
    report = sync(mart.settings, mart.commit(AS_OF), "files")
    assert report.total.done == 3
    written = files(mart.settings)
    assert list(written) == [
        f"{kind}/sync-00000001.jsonl" for kind in ("profile_properties", "recovery_event", "ticket_routing")
    ]
    [profile] = written["profile_properties/sync-00000001.jsonl"]
    assert profile["subject_id"] == "ana"
    assert profile["as_of"] == profile["payload"]["roomtone_synced_at"] == "2026-03-02T09:00:00Z"
    assert profile["payload"]["roomtone_pause_sales"] is True
    assert profile["payload"]["roomtone_pause_upsell"] is False
    [event] = written["recovery_event/sync-00000001.jsonl"]
    assert (event["subject_id"], event["payload"]["kind"]) == ("trigger-1", "apology")
    assert "ana@example.com" not in json.dumps(written)


def test_all_rows_of_a_run_stand_in_one_file(mart: Mart) -> None:
    for number in range(30):
        mart.pause(Person(f"c{number:02}", "same@example.com", None), AS_OF + timedelta(days=14))
        mart.route(number, "normal", "support", 1, source="files")
    assert sync(mart.settings, mart.commit(AS_OF), "files").total.done == 60
    written = files(mart.settings)
    assert {line["subject_id"] for line in written["profile_properties/sync-00000001.jsonl"]} == set(mart.profiles)
    assert {line["subject_id"] for line in written["ticket_routing/sync-00000001.jsonl"]} == set(mart.tickets)


def test_nothing_changed_writes_no_file(mart: Mart) -> None:
    mart.pause(ANA, AS_OF + timedelta(days=14))
    sync(mart.settings, mart.commit(AS_OF), "files")
    before = files(mart.settings)
    sync(mart.settings, mart.commit(AS_OF + timedelta(minutes=1)), "files")
    assert files(mart.settings) == before
    mart.calm(ANA)
    sync(mart.settings, mart.commit(AS_OF + timedelta(minutes=2)), "files")
    assert list(files(mart.settings)) == [
        "profile_properties/sync-00000001.jsonl",
        "profile_properties/sync-00000003.jsonl",
    ]


def test_a_folder_that_cannot_be_written_is_named_and_later_continued(mart: Mart) -> None:
    mart.pause(ANA, AS_OF + timedelta(days=14))
    current = mart.commit(AS_OF)
    mart.settings.sent_dir.write_text("a file stands where the folder should be")
    with pytest.raises(RoomtoneError, match=r"files destination: .*cannot be written"):
        sync(mart.settings, current, "files")
    mart.settings.sent_dir.unlink()
    assert sync(mart.settings, current, "files").total.done == 1
    assert len(files(mart.settings)) == 1


def test_a_pause_without_an_end_never_leaves(mart: Mart) -> None:
    mart.pause(ANA, AS_OF + timedelta(days=14))
    mart.profiles["ana"]["roomtone_pause_until"] = None
    with pytest.raises(RoomtoneError, match="no pause leaves without its own end"):
        sync(mart.settings, mart.commit(AS_OF), "files")
    assert files(mart.settings) == {}


def test_a_warehouse_without_activations_says_what_to_do(settings: Settings, mart: Mart) -> None:
    from roomtone.stores import warehouse

    current = mart.commit(AS_OF)
    with warehouse.connect(settings) as connection:
        connection.execute("drop table activations.sync_recovery_events")
    with pytest.raises(RoomtoneError, match=r"activations for recovery_event: .*; run `roomtone run`"):
        sync(settings, current, "files")
