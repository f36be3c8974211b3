"""Fixtures that several areas share: settings in a folder of their own, and the sandbox brand as a separate process."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import httpx
import pytest

from exchanges import Exchanges, recorded_exchanges
from roomtone.clock import parse_instant
from roomtone.settings import PROJECT_ROOT, Settings, load_settings

SANDBOX_START = "2026-03-02T09:00:00Z"


def pytest_report_header() -> list[str]:
    """Say loudly which optional inputs are absent: what needs them is skipped."""
    settings = load_settings()
    lines = []
    for variable, folder in (("ROOMTONE_DATA", settings.data_dir), ("ROOMTONE_SPECS", settings.specs_dir)):
        state = "found" if folder.is_dir() else "ABSENT: every test that reads it is SKIPPED"
        lines.append(f"{variable}: {state}")
    return lines


@pytest.fixture(scope="session")
def exchanges() -> Iterator[Exchanges]:
    """Every HTTP exchange of this process, each checked against its vendor's specification."""
    folder = load_settings().specs_dir
    with recorded_exchanges(folder if folder.is_dir() else None) as seen:
        yield seen


@pytest.fixture(autouse=True)
def every_exchange_fits(request: pytest.FixtureRequest, exchanges: Exchanges) -> Iterator[None]:
    """No test may send a vendor what its specification does not have, unless breaking it is what the test is about."""
    before = len(exchanges.findings)
    yield
    if request.node.get_closest_marker("off_spec") is None:
        assert exchanges.findings[before:] == []


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Default settings in an empty home."""
    return load_settings({"ROOMTONE_HOME": str(tmp_path / "home")})


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of open data sets; skips loudly where it is absent."""
    folder = load_settings().data_dir
    if not folder.is_dir():
        pytest.skip("SKIPPED: ROOMTONE_DATA is absent, so nothing was checked on open data")
    return folder


@cache
def _client(url: str, _: int) -> httpx.Client:
    """The client of one process: two that shared a connection after a fork would read each other's answers."""
    return httpx.Client(base_url=url, timeout=120, trust_env=False, verify=False)


@dataclass
class Sandbox:
    """A running sandbox brand, asked over one kept connection: a new client for each question costs more than it."""

    url: str
    process: subprocess.Popen[str]

    @property
    def client(self) -> httpx.Client:
        return _client(self.url, os.getpid())

    def get(self, path: str, **params: object) -> dict:
        return self.client.get(path, params=params).raise_for_status().json()

    def now(self) -> datetime:
        return parse_instant(self.get("/clock")["now"])

    def advance_to(self, instant: datetime) -> datetime:
        return self._move({"now": instant.isoformat()})

    def advance(self, seconds: float) -> datetime:
        return self._move({"advance_seconds": seconds})

    def _move(self, clock: dict[str, object]) -> datetime:
        return parse_instant(self.client.post("/clock", json=clock).raise_for_status().json()["now"])

    def log(self, kind: str | None = None, after: int = 0) -> list[dict]:
        entries: list[dict] = []
        while True:
            page = self.get("/log", after=after, **({"kind": kind} if kind else {}))
            entries += page["entries"]
            if not page["entries"]:
                return entries
            after = page["entries"][-1]["seq"]

    def environ(self, home: Path) -> dict[str, str]:
        """The environment of a roomtone that runs against this brand."""
        return {
            "ROOMTONE_HOME": str(home),
            "ROOMTONE_SOURCES": "zendesk,klaviyo,shop",
            "ROOMTONE_DESTINATIONS": "klaviyo,zendesk",
            "ROOMTONE_CLOCK_URL": f"{self.url}/clock",
            "ROOMTONE_ZENDESK_URL": f"{self.url}/zendesk",
            "ROOMTONE_ZENDESK_TOKEN": "sandbox-zendesk",
            "ROOMTONE_ZENDESK_ORDER_FIELD_ID": "9001",
            "ROOMTONE_ZENDESK_BOT_USER_IDS": "900",
            "ROOMTONE_KLAVIYO_URL": f"{self.url}/klaviyo",
            "ROOMTONE_KLAVIYO_TOKEN": "sandbox-klaviyo",
            "ROOMTONE_SHOP_URL": f"{self.url}/shop",
            "ROOMTONE_SHOP_TOKEN": "sandbox-shop",
        }

    def settings(self, home: Path) -> Settings:
        return load_settings(self.environ(home))


# What reached any sandbox of this test run under roomtone's own name and could have changed consent.
near_consent: list[str] = []
NEAR_CONSENT = re.compile(r"subscription|suppression|consent|data-privacy|/lists|profile-import$|profile-merge")


def look_through(sandbox: Sandbox) -> bool:
    """Reads a sandbox's log before it ends and keeps the calls near consent; False if it no longer answers."""
    try:
        requests = sandbox.log("request")
    except httpx.HTTPError:
        return False
    ours = [entry for entry in requests if entry.get("agent", "").startswith("roomtone")]
    near_consent.extend(
        f"{e['method']} {e['path']}" for e in ours if e["method"] != "GET" and NEAR_CONSENT.search(e["path"])
    )
    return True


@pytest.fixture(scope="session", autouse=True)
def no_call_near_consent() -> Iterator[None]:
    """Holds for the whole suite, whatever a single test looks at."""
    yield
    assert near_consent == []


@pytest.fixture
def start_sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Starts sandbox brands on free ports; each is ended with the test.

    What other processes asked one of them was checked there, against the specifications.
    """
    started: list[subprocess.Popen[str]] = []
    served: list[Sandbox] = []

    def start(customers: int = 60, seed: int = 7, start: str = SANDBOX_START) -> Sandbox:
        command = [sys.executable, "-m", "roomtone.sandbox", "serve", "--port", "0", "--seed", str(seed)]
        command += ["--customers", str(customers), "--start", start]
        specs = load_settings().specs_dir
        if specs.is_dir():
            command += ["--specs", str(specs)]
        errors = (tmp_path / f"sandbox-{len(started)}.log").open("w")
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=PROJECT_ROOT, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("sandbox ready "), f"the sandbox did not start: {line!r}; see {errors.name}"
        served.append(Sandbox(line.split()[-1], process))
        return served[-1]

    yield start
    findings = [finding for brand in served for finding in _findings_at(brand.url)]
    for brand in served:
        look_through(brand)
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
    if request.node.get_closest_marker("off_spec") is None:
        assert findings == []


def _findings_at(url: str) -> list[dict]:
    try:
        entries = httpx.get(f"{url}/log", params={"kind": "violation"}, timeout=20).json()["entries"]
    except httpx.TransportError:
        # The test ended this one itself.
        return []
    return [entry for entry in entries if entry["what"] == "specification"]


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A small sandbox brand, ten minutes before the story begins."""
    return start_sandbox()
