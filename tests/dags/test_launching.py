"""The pieces of the launcher: environment, secrets, ports, and processes that are ended alone."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from roomtone.airflow import launcher, processes
from roomtone.airflow.environment import FIXED, OF_AN_INSTANCE, airflow_environment, load_secrets, settings_environment
from roomtone.airflow.preload import preload_scheduler
from roomtone.errors import RoomtoneError
from roomtone.settings import load_settings

# Starts a child that starts another session, writes both pids, and ignores being asked to end.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("ready", os.getpid(), child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def bystander() -> Iterator[psutil.Process]:
    """A process of somebody else."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def start(folder: Path, code: str) -> processes.Started:
    return processes.start("thing", [sys.executable, "-c", code], dict(os.environ), folder, folder / "thing.log")


def test_settings_travel_through_the_environment(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "ROOMTONE_HOME": str(tmp_path),
            "ROOMTONE_SOURCES": "zendesk,shop",
            "ROOMTONE_FILES_DIR": str(tmp_path / "in"),
            "ROOMTONE_EXTRACT_SCHEDULE": "",
            "ROOMTONE_CLOCK_URL": "http://127.0.0.1:9/clock",
            "ROOMTONE_ZENDESK_URL": "http://127.0.0.1:9/zendesk",
            "ROOMTONE_ZENDESK_TOKEN": "secret",
            "ROOMTONE_ZENDESK_ORDER_FIELD_ID": "9001",
        }
    )
    assert load_settings(settings_environment(settings)) == settings


def test_the_environment_is_this_instance_s_alone(tmp_path: Path) -> None:
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path)})
    inherited = {
        "PATH": "/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW_CONN_OTHER": "http://other",
        "ROOMTONE_SHOP_URL": "http://other",
        "NO_PROXY": "intra.example",
    }
    environ = airflow_environment(settings, 8123, load_secrets(tmp_path), inherited, {"EXTRA": "1", "PATH": "/opt"})
    assert environ["PATH"] == "/opt"
    assert environ["EXTRA"] == "1"
    assert environ["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8123/execution/"
    assert environ["NO_PROXY"] == "intra.example,127.0.0.1,localhost"
    assert not {"PYTHONDONTWRITEBYTECODE", "AIRFLOW_CONN_OTHER", "ROOMTONE_SHOP_URL"} & environ.keys()
    assert {name for name in environ if name.startswith("AIRFLOW")} == {
        name for name in (*FIXED, *OF_AN_INSTANCE) if name.startswith("AIRFLOW")
    }


def test_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    made = load_secrets(tmp_path)
    assert load_secrets(tmp_path) == made
    assert len(made.jwt_secret.encode()) >= 64
    assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0
    assert load_secrets(tmp_path / "other") != made
    assert made.admin_password not in repr(AttributeError(tmp_path))
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(RoomtoneError, match=r"secrets\.json is damaged"):
        load_secrets(tmp_path)


def test_a_taken_port_gives_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert processes.free_port(port) != port
    assert processes.free_port(port) == port


def test_stop_ends_the_whole_family_and_nobody_else(tmp_path: Path, bystander: psutil.Process) -> None:
    started = start(tmp_path, STUBBORN)
    line = processes.wait_for_line(started, "ready", 20).split()
    family = [int(line[1]), int(line[2])]
    assert started.is_alive()
    before = time.monotonic()
    processes.stop([started], grace_seconds=0.5)
    assert time.monotonic() - before < 10
    assert not started.is_alive()
    for pid in family:
        with suppress(psutil.NoSuchProcess):
            assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert bystander.is_running()


def test_a_recycled_pid_is_left_alone(tmp_path: Path, bystander: psutil.Process) -> None:
    stranger = processes.Started("airflow", bystander.pid, bystander.create_time() - 3600, "")
    processes.record(tmp_path, "airflow", [stranger])
    assert not stranger.is_alive()
    assert launcher.stop_all(tmp_path) == []
    assert bystander.is_running()
    assert processes.recorded(tmp_path) == {}


def test_what_is_recorded_is_refused_twice_and_ended_from_anywhere(tmp_path: Path) -> None:
    started = start(tmp_path, "print('ready', flush=True); import time; time.sleep(600)")
    processes.wait_for_line(started, "ready", 20)
    processes.record(tmp_path / "run", "sandbox", [started])
    with pytest.raises(RoomtoneError, match=rf"sandbox: already runs \(pid {started.pid}\)"):
        launcher.refuse_second(tmp_path / "run")
    assert launcher.stop_all(tmp_path / "run") == ["thing"]
    launcher.refuse_second(tmp_path / "run")
    assert launcher.stop_all(tmp_path / "run") == []


def test_a_process_that_dies_at_its_start_is_told_at_once(tmp_path: Path) -> None:
    started = start(tmp_path, "raise SystemExit('no such luck')")
    before = time.monotonic()
    with pytest.raises(RoomtoneError, match=r"thing: ended while starting; read .*thing\.log"):
        processes.wait_for_line(started, "ready", 60)
    assert time.monotonic() - before < 30
    assert "no such luck" in (tmp_path / "thing.log").read_text()


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "airflow.json").write_text("{")
    with pytest.raises(RoomtoneError, match=r"airflow\.json: is damaged"):
        processes.recorded(tmp_path)


def test_the_preload_is_the_scheduler_s_alone() -> None:
    assert preload_scheduler(["airflow", "api-server"]) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_came_too_early_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """`up` interrupted while it starts ends the sandbox it has already started."""
    environ = dict(os.environ) | {"ROOMTONE_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "roomtone.airflow.launcher", "up"],
        env=environ,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert "sandbox" in process.stdout.readline()
        deadline = time.monotonic() + 30
        while not (found := processes.recorded(tmp_path / "run")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert found
    assert not any(started.is_alive() for group in found.values() for started in group)
    assert processes.recorded(tmp_path / "run") == {}
