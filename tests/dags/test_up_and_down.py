"""`up` and `down` as a person uses them, with everything they start."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest

from roomtone.airflow import keeper, processes
from roomtone.settings import load_settings
from roomtone.stores.heartbeats import alerts_since
from roomtone.stores.operational import OperationalStore

LAUNCHER = [sys.executable, "-m", "roomtone.airflow.launcher"]

Launch = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Runs the launcher in a home of its own; whatever is left over is ended with the test."""
    environ = dict(os.environ) | {"ROOMTONE_HOME": str(tmp_path)}

    def run(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        command = [*LAUNCHER, *arguments]
        return subprocess.run(
            command, env=environ | changes, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )

    yield run
    run("down")


def listening(started: list[processes.Started]) -> set[str]:
    """Addresses on which these processes and their children accept connections."""
    found = set()
    for process in started:
        leader = psutil.Process(process.pid)
        for member in (leader, *leader.children(recursive=True)):
            found |= {c.laddr.ip for c in member.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return found


@pytest.mark.airflow
def test_up_shows_where_to_look_and_down_ends_it_all(tmp_path: Path, launch: Launch) -> None:
    output, began_at = tmp_path / "up.log", datetime.now(UTC)
    with output.open("w") as log:
        environ = dict(os.environ) | {"ROOMTONE_HOME": str(tmp_path)}
        up = subprocess.Popen(
            [*LAUNCHER, "up"], env=environ, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + 240
    while "  stop " not in output.read_text() and up.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    shown = output.read_text()
    found = re.search(r"Airflow +(http://127\.0\.0\.1:\d+)  user (\S+)  password (\S+)", shown)
    assert found, shown
    url, user, password = found.groups()

    # The user and password shown are the way in, and the only one.
    assert httpx.get(f"{url}/api/v2/dags").status_code == 401
    assert httpx.get(f"{url}/roomtone/quiet").status_code == 401
    token = httpx.post(f"{url}/auth/token", json={"username": user, "password": password}).json()["access_token"]
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"})
    assert client.get("/roomtone/quiet").status_code == 200
    assert client.get("/api/v2/importErrors").json()["total_entries"] == 0
    dags = {dag["dag_id"]: dag["is_paused"] for dag in client.get("/api/v2/dags").json()["dags"]}
    assert dags == {"extract": False, "react": False, "publish": False, "reconcile": False, "risk": False}
    assert client.get("/api/v2/pools/warehouse").json()["slots"] == 1
    plugins = client.get("/api/v2/plugins").json()["plugins"]
    assert [plugin["name"] for plugin in plugins if plugin["name"].startswith("roomtone")] == ["roomtone"]

    # The brand is alive, and what runs can be reached from this machine only.
    sandbox = re.search(r"sandbox +(http://127\.0\.0\.1:\d+)/log", shown)
    assert sandbox
    assert "now" in httpx.get(f"{sandbox[1]}/clock").json()
    started = [process for group in processes.recorded(tmp_path / "run").values() for process in group]
    assert {process.name for process in started} == {
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer",
        "sandbox",
    }
    assert listening(started) == {"127.0.0.1"}
    for name in ("scheduler", "dag-processor", "triggerer"):
        assert datetime.fromisoformat(keeper.heartbeat(name, url) or "")
    assert float(keeper.heartbeat("api-server", url) or "")
    # What dies is started again.
    kept = next(process for process in started if process.name == "triggerer")
    [component] = psutil.Process(kept.pid).children()
    component.kill()
    component.wait()
    deadline = time.monotonic() + 60
    while not psutil.Process(kept.pid).children() and time.monotonic() < deadline:
        time.sleep(0.2)
    home = re.search(r"home +(\S+)", shown)
    assert home
    store = OperationalStore(load_settings({"ROOMTONE_HOME": home[1]}))
    while not (alerts := alerts_since(store, began_at)) and time.monotonic() < deadline:
        time.sleep(0.2)
    store.close()
    assert [alert.kind for alert in alerts] == ["restarted"]
    assert " triggerer ended with -9 after " in alerts[0].subject

    refused = launch("up")
    assert refused.returncode == 1
    assert re.fullmatch(r"roomtone: \S+: already runs \(pid \d+\); stop it with `make down`\n", refused.stderr)

    errors = launch("airflow", "dags", "list-import-errors", ROOMTONE_HOME=home[1])
    assert errors.returncode == 0, errors.stderr
    assert errors.stdout.strip().endswith("No data found")

    ended = launch("down")
    assert ended.returncode == 0
    assert "scheduler" in ended.stdout
    assert "sandbox" in ended.stdout
    assert up.wait(timeout=60) == 0
    assert "stopped from another shell" in output.read_text()
    assert not any(process.is_alive() for process in started)
    assert launch("down").stdout == "nothing of roomtone runs here\n"


def test_a_home_that_cannot_be_written_is_one_line(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for command in ("up", "start"):
        done = launch(command, ROOMTONE_HOME=str(tmp_path / "file"))
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("roomtone: ROOMTONE_HOME: ")


def test_airflow_s_own_commands_want_a_home_that_was_started(launch: Launch, tmp_path: Path) -> None:
    done = launch("airflow", "dags", "list")
    assert done.returncode == 1
    assert "holds no Airflow" in done.stderr
    assert not (tmp_path / "airflow").exists()
