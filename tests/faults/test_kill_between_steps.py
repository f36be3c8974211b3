"""A run killed between any two steps and started again ends in the same state as one that was not."""

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from conftest import Sandbox
from end_to_end.brands import T0, at, story
from roomtone.clock import parse_instant
from roomtone.pipeline import run_once
from roomtone.settings import Settings, load_settings

STAGES = ("extract", "score", "transform", "validate", "sync", "publish")

# The stage that is about to begin is told to the progress callback: dying there is dying between two steps.
KILLED_RUN = """
import os, signal, sys
from roomtone.clock import parse_instant
from roomtone.pipeline import run_once
from roomtone.settings import load_settings

def progress(stage):
    if stage == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

run_once(load_settings(), parse_instant(sys.argv[1]), progress)
"""


def killed_run(environ: dict[str, str], instant: str, stage: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, instant, stage],
        env={**os.environ, **environ},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]


def published(settings: Settings) -> dict[str, list[tuple]]:
    with duckdb.connect(str(settings.published_dir / "marts.duckdb"), read_only=True) as connection:
        names = [row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()]
        names.remove("roomtone_publication")
        return {name: connection.execute(f'select * from "{name}" order by all').fetchall() for name in names}


@pytest.fixture(scope="module")
def brand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return story(tmp_path_factory.mktemp("brand"))


@pytest.fixture(scope="module")
def undisturbed(brand: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple]]:
    home = tmp_path_factory.mktemp("undisturbed")
    settings = load_settings({"ROOMTONE_HOME": str(home), "ROOMTONE_FILES_DIR": str(brand)})
    assert run_once(settings, T0 + timedelta(hours=1)).failures == []
    return published(settings)


def test_the_marts_are_the_same_after_a_kill_before_each_step(
    brand: Path, tmp_path: Path, undisturbed: dict[str, list[tuple]]
) -> None:
    """Each kill meets what the one before it left, and one run after the last gives what no kill would have changed."""
    environ = {"ROOMTONE_HOME": str(tmp_path / "home"), "ROOMTONE_FILES_DIR": str(brand)}
    for stage in STAGES:
        killed_run(environ, at(1), stage)
    settings = load_settings(environ)
    assert run_once(settings, T0 + timedelta(hours=1)).failures == []
    assert published(settings) == undisturbed


def test_the_platform_is_the_same_after_kills_around_the_sync(sandbox: Sandbox, tmp_path: Path) -> None:
    """Kills inside a sync, at each of its named points, are in tests/sync."""
    environ = sandbox.environ(tmp_path / "home")
    settings = load_settings(environ)
    sandbox.advance_to(parse_instant(sandbox.get("/story")["t0"]) + timedelta(seconds=62))
    for stage in ("validate", "sync", "publish"):
        killed_run(environ, sandbox.now().isoformat(), stage)
    assert run_once(settings, sandbox.now()).failures == []
    events = [entry for entry in sandbox.log("event_received") if not entry["is_duplicate"]]
    assert events
    assert max(Counter(entry["unique_id"] for entry in events).values()) == 1
    assert not sandbox.log("violation")
    seen = sandbox.get("/log")["last"]
    assert run_once(settings, sandbox.now()).failures == []
    changes = [entry["kind"] for entry in sandbox.log(after=seen)]
    assert not {"profile_updated", "event_received", "ticket_updated"} & set(changes)
