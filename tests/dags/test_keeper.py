"""What is started again, and when: by signs alone, and with a real process."""

import sys
import time
from pathlib import Path
from threading import Thread

import psutil
import pytest

from roomtone.airflow.keeper import Keeper, Pulse, heartbeat
from roomtone.airflow.processes import free_port

# Each start leaves a line; signs of life are shown for half a second only.
HANGING = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with (folder / "starts").open("a") as file:
    file.write("started\\n")
until = time.monotonic() + 0.5
while time.monotonic() < until:
    (folder / "sign").write_text(str(time.monotonic()))
    time.sleep(0.05)
time.sleep(600)
"""


def quick(now: float) -> Pulse:
    return Pulse(now, still_seconds=1.0, starting_seconds=20.0)


def shown(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


def starts(folder: Path) -> int:
    return len((shown(folder / "starts") or "").splitlines())


def test_a_sign_that_stays_the_same_for_a_minute_is_none() -> None:
    pulse = Pulse(0.0)
    assert not pulse.is_still("10:00:00", 5.0)
    assert not pulse.is_still("10:00:05", 10.0)
    assert not pulse.is_still("10:00:05", 69.0)
    assert pulse.is_still("10:00:05", 70.0)


def test_a_clock_that_is_set_is_no_matter() -> None:
    pulse = Pulse(0.0)
    for second, sign in enumerate(("11:00:00", "10:00:01", "10:00:02", "09:00:03")):
        assert not pulse.is_still(sign, 55.0 * second)


def test_what_was_just_started_has_two_minutes_though_the_sign_of_the_one_before_is_still_shown() -> None:
    pulse = Pulse(0.0)
    assert not pulse.is_still("10:00:00", 5.0)
    assert not pulse.is_still("10:00:00", 119.0)
    assert pulse.is_still("10:00:00", 120.0)


def test_nothing_is_known_while_the_api_does_not_answer() -> None:
    pulse = Pulse(0.0)
    assert not pulse.is_still("10:00:00", 5.0)
    assert not pulse.is_still("10:00:05", 10.0)
    assert not pulse.is_still(None, 500.0)
    assert not pulse.is_still("10:00:05", 559.0)
    assert pulse.is_still("10:00:05", 560.0)


def test_no_answer_is_a_sign_of_the_api_server_alone() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert heartbeat("api-server", nowhere) == ""
    assert heartbeat("scheduler", nowhere) is None


def test_what_lives_on_without_a_sign_is_ended_and_started_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alerts: list[str] = []
    command = [sys.executable, "-c", HANGING, str(tmp_path)]
    keeper = Keeper("thing", command, lambda: shown(tmp_path / "sign"), quick, alerts.append)
    thread = Thread(target=keeper.keep, kwargs={"look_seconds": 0.1, "proven_seconds": 0.0})
    thread.start()
    deadline = time.monotonic() + 60
    while starts(tmp_path) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    [child] = [child for child in psutil.Process().children() if str(tmp_path) in child.cmdline()]
    keeper.end()
    thread.join(30)
    assert not thread.is_alive()
    assert starts(tmp_path) == 2
    assert not child.is_running()
    [alert] = alerts
    assert alert.startswith("thing stood still and was ended after ")
    assert f"roomtone keeper: {alert}; it is started again" in capfd.readouterr().err


def test_what_dies_is_started_again_and_what_cannot_start_is_not(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'starts')!r}, 'a').write('started\\n'); raise SystemExit(3)"
    command = [sys.executable, "-c", code]
    assert Keeper("thing", command, lambda: None).keep(0.1) == 3
    assert starts(tmp_path) == 1
    keeper = Keeper("thing", command, lambda: None)
    thread = Thread(target=keeper.keep, kwargs={"look_seconds": 0.1, "proven_seconds": 0.0})
    thread.start()
    deadline = time.monotonic() + 60
    while starts(tmp_path) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    keeper.end()
    thread.join(30)
    assert starts(tmp_path) >= 3
