"""Landing under bad conditions: no room, no right, a second run, stores that were lost or replaced."""

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from extract.desk import AS_OF, Desk, in_child, message
from roomtone.errors import RoomtoneError
from roomtone.extract import StreamCount, extract
from roomtone.extract.landing import held, working_folder
from roomtone.settings import load_settings
from roomtone.stores import raw

NOBODY = 65534


def _settings(home: Path, folder: Path) -> Desk:
    return Desk(load_settings({"ROOMTONE_HOME": str(home), "ROOMTONE_FILES_DIR": str(folder)}), folder)


def _failure(desk: Desk, said: str) -> str:
    """The line of the RoomtoneError that a child ended with."""
    assert said.startswith("roomtone.errors.RoomtoneError: "), said
    line = said.removeprefix("roomtone.errors.RoomtoneError: ").strip()
    assert "\n" not in line
    assert "Where is order" not in line
    assert not desk.rows("messages")
    return line


def test_the_cursor_comes_back_from_the_raw_store(desk: Desk) -> None:
    desk.write("messages/a.jsonl", [message(n) for n in range(5)])
    desk.extract()
    shutil.rmtree(working_folder(desk.settings))
    assert desk.extract().streams == {}
    desk.write("messages/a.jsonl", [message(5)], mode="ab")
    shutil.rmtree(working_folder(desk.settings))
    assert desk.extract().streams["messages"] == StreamCount(read=1, landed=1)


def test_a_lost_raw_store_is_filled_again(desk: Desk) -> None:
    desk.write("messages/a.jsonl", [message(n) for n in range(5)])
    desk.extract()
    shutil.rmtree(desk.settings.raw_dir)
    assert desk.extract().streams["messages"] == StreamCount(read=5, landed=5)
    assert desk.extract().streams == {}


def test_a_lost_operational_store_is_indexed_again(desk: Desk) -> None:
    path = desk.write("messages/a.jsonl", [message(n) for n in range(5)] + [b"{"])
    desk.extract()
    for file in desk.settings.home.glob("operational.db*"):
        file.unlink()
    os.utime(path, (1, 1))
    path.write_bytes(b"\n" + path.read_bytes())
    report = desk.extract()
    assert len(report.recovered) == 1
    # The broken line has moved by one, which makes it another line.
    assert report.streams["messages"] == StreamCount(read=6, duplicate=5, quarantined=1)


def test_a_second_run_waits_and_then_says_so(desk: Desk) -> None:
    desk.write("messages/a.jsonl", [message(1)])
    with (
        held(desk.settings, "files"),
        pytest.raises(RoomtoneError, match=r"source files: .* is held by another run"),
        held(desk.settings, "files", wait_seconds=0.2),
    ):
        pass
    assert desk.extract().total.landed == 1


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of two megabytes; skips loudly where none can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="roomtone-small-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        folder.rmdir()
        pytest.skip("SKIPPED: no file system can be mounted here, so a full disk was only tried by a file size limit")
    yield folder
    # Lazily: the failure that the test holds on to keeps the file open that could not be written.
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_is_told_and_the_next_run_goes_on(small_disk: Path, tmp_path: Path) -> None:
    desk = _settings(small_disk / "home", tmp_path / "input")
    desk.write("messages/a.jsonl", [message(1)])
    desk.extract()
    desk.write("messages/b.jsonl", [message(n, body=os.urandom(1500).hex()) for n in range(2, 2000)])
    with pytest.raises(RoomtoneError, match=r"No space left on device|disk is full|disk I/O error") as failure:
        desk.extract()
    assert "\n" not in str(failure.value)
    assert len(desk.rows("messages")) == 1
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    desk.extract()
    assert set(desk.landed("messages").values()) == {1}
    assert len(desk.landed("messages")) == 1999
    assert desk.extract().streams == {}


def test_a_file_that_may_not_grow_is_told_and_the_next_run_goes_on(desk: Desk) -> None:
    desk.write("messages/a.jsonl", [message(n, body=os.urandom(1500).hex()) for n in range(2000)])

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        extract(desk.settings, "files", AS_OF)

    _, said = in_child(limited)
    assert "File too large" in _failure(desk, said)
    assert desk.extract().streams["messages"] == StreamCount(read=2000, landed=2000)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="roomtone-open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: only root can give its rights away")
def test_without_the_right_to_write_or_read_the_folder_is_named(open_folder: Path) -> None:
    desk = _settings(open_folder / "home", open_folder / "input")
    path = desk.write("messages/a.jsonl", [message(1)])
    desk.write("messages/b.jsonl", [message(2)])

    def as_nobody() -> None:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        report = extract(desk.settings, "files", AS_OF)
        assert report.streams["messages"] == StreamCount(read=2, landed=1, quarantined=1)

    _, said = in_child(as_nobody)
    assert "Permission denied" in _failure(desk, said)
    desk.settings.home.mkdir()
    os.chown(desk.settings.home, NOBODY, NOBODY)
    (desk.folder / "messages").chmod(0o700)
    _, said = in_child(as_nobody)
    assert "input/messages cannot be listed (Permission denied)" in _failure(desk, said)
    (desk.folder / "messages").chmod(0o755)
    path.chmod(0o600)
    assert in_child(as_nobody) == (0, "")
    assert [entry["location"] for entry in desk.quarantine()] == ["messages/a.jsonl"]
    path.chmod(0o644)
    assert desk.extract().streams["messages"] == StreamCount(read=1, landed=1)


def test_damaged_bookkeeping_of_dlt_is_named_with_what_to_do(desk: Desk) -> None:
    desk.write("messages/a.jsonl", [message(1)])
    desk.extract()
    (working_folder(desk.settings) / "roomtone_files" / "state.json").write_text('{"cursors": ')
    with pytest.raises(RoomtoneError, match=r"delete .*/extract, which is made anew") as failure:
        desk.extract()
    assert "\n" not in str(failure.value)
    shutil.rmtree(working_folder(desk.settings))
    assert desk.extract().streams == {}


def test_a_damaged_landed_file_is_named(desk: Desk) -> None:
    desk.write("messages/a.jsonl", [message(1)])
    desk.extract()
    (load,) = raw.completed_loads(desk.settings)
    load.files["messages"][0].write_bytes(b"PAR1")
    for file in desk.settings.home.glob("operational.db*"):
        file.unlink()
    with pytest.raises(RoomtoneError, match="restore it from a backup"):
        desk.extract()


def test_dlt_reads_nothing_but_our_settings_and_tells_nobody(desk: Desk, tmp_path: Path) -> None:
    desk.write("messages/a.jsonl", [message(1)])

    def surrounded() -> None:
        os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"] = str(tmp_path / "elsewhere")
        os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "true"
        (tmp_path / ".dlt").mkdir()
        (tmp_path / ".dlt" / "config.toml").write_text('[runtime]\nlog_level = "DEBUG"\n')
        os.chdir(tmp_path)
        extract(desk.settings, "files", AS_OF)
        from dlt.common.runtime import anon_tracker

        assert anon_tracker._ANON_TRACKER_ENDPOINT is None

    assert in_child(surrounded) == (0, "")
    assert len(desk.rows("messages")) == 1
    assert not (tmp_path / "elsewhere").exists()
    assert not list(desk.settings.home.rglob("*.pickle"))
