"""The raw store: what counts as complete, and score files that are there whole or not at all."""

import os
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extract.desk import Desk, in_child, message
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores import raw

SCORES = pa.table({"message_id": ["m1"], "p_negative": [0.9]})


def test_loads_come_in_the_order_in_which_they_were_begun(desk: Desk) -> None:
    for number in range(3):
        desk.write(f"messages/{number}.jsonl", [message(number)])
        desk.write(f"tickets/{number}.jsonl", [b"{"])
        desk.extract()
    loads = raw.completed_loads(desk.settings)
    assert [load.source for load in loads] == ["files"] * 3
    landed = [raw.read_table(load.files["messages"][0], pa.schema([("id", pa.string())])) for load in loads]
    assert [table["id"][0].as_py() for table in landed] == ["m0", "m1", "m2"]
    assert [load.load_id for load in loads] == sorted((load.load_id for load in loads), key=float)
    assert [entry["location"] for entry in desk.quarantine()] == [f"tickets/{number}.jsonl:1" for number in range(3)]


def test_a_load_without_its_record_does_not_count(desk: Desk) -> None:
    desk.write("messages/a.jsonl", [message(1)])
    desk.extract()
    (record,) = (desk.settings.raw_dir / "files" / raw.LOADS).iterdir()
    for content in ("", '{"load_id": "1'):
        record.write_text(content)
        assert raw.completed_loads(desk.settings) == []
    record.unlink()
    assert raw.completed_loads(desk.settings) == []


def test_an_empty_store_has_no_loads_no_scores_and_no_quarantine(settings: Settings) -> None:
    assert raw.completed_loads(settings) == []
    assert raw.score_files(settings) == []
    assert raw.quarantined(settings).num_rows == 0


def test_scores_are_kept_by_name_and_replaced_whole(settings: Settings) -> None:
    file = raw.write_scores(settings, "pass-00000001", SCORES)
    assert pq.read_table(file).equals(SCORES)
    raw.write_scores(settings, "pass-00000001", SCORES.slice(0, 0))
    assert raw.score_files(settings) == [file]
    assert pq.read_table(file).num_rows == 0
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_killed_writer_leaves_no_score_file(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed() -> None:
        monkeypatch.setattr(raw, "sync_to_disk", lambda _: os.kill(os.getpid(), signal.SIGKILL))
        raw.write_scores(settings, "pass-00000001", SCORES)

    status, _ = in_child(killed)
    assert os.WIFSIGNALED(status)
    assert raw.score_files(settings) == []


@pytest.mark.parametrize("name", ["", "../escape", "a/b", "a b", "x" * 200, "pass\n"])
def test_a_name_cannot_leave_the_folder(settings: Settings, name: str) -> None:
    with pytest.raises(RoomtoneError, match="use letters, digits"):
        raw.write_scores(settings, name, SCORES)


def test_a_store_that_cannot_be_written_is_named(settings: Settings) -> None:
    settings.home.mkdir()
    settings.raw_dir.write_text("in the way")
    with pytest.raises(RoomtoneError, match=r"raw store: .* cannot be written"):
        raw.write_scores(settings, "pass-00000001", SCORES)
