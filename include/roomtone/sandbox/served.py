"""A brand served as a process of its own, for trials that need one: its log, its clock and its faults over HTTP."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from roomtone.clock import parse_instant
from roomtone.errors import RoomtoneError
from roomtone.sandbox.marketing_api import AUTHORIZATION, REVISION
from roomtone.settings import PROJECT_ROOT, Settings, load_settings

_KLAVIYO = {"Authorization": AUTHORIZATION, "revision": REVISION}


@dataclass(frozen=True)
class Served:
    """A running brand."""

    url: str

    def now(self) -> datetime:
        return parse_instant(self._get("/clock")["now"])

    def advance(self, seconds: float) -> None:
        self._post("/clock", {"advance_seconds": seconds})

    def fail(self, seed: int, **rates: float) -> None:
        """What goes wrong from now on; no rates at all: nothing any more."""
        self._post("/faults", {"seed": seed, "rates": rates})

    def log(self, *kinds: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._get("/log", kind=",".join(kinds))["entries"]
        return entries

    def profiles(self) -> dict[str, dict[str, Any]]:
        """The attributes of every profile by its id, as the platform's own API shows them."""
        found: dict[str, dict[str, Any]] = {}
        link: str | None = f"{self.url}/klaviyo/api/profiles?page[size]=100"
        while link:
            answer = _client(os.getpid()).get(link, headers=_KLAVIYO)
            if answer.status_code == 429:
                self.advance(float(answer.headers["retry-after"]))
                continue
            page = answer.raise_for_status().json()
            found |= {row["id"]: row["attributes"] for row in page["data"]}
            link = page["links"].get("next")
        return found

    def settings(self, home: Path) -> Settings:
        """A roomtone that syncs to this brand's platform, by its clock."""
        return load_settings(
            {
                "ROOMTONE_HOME": str(home),
                "ROOMTONE_DESTINATIONS": "klaviyo",
                "ROOMTONE_CLOCK_URL": f"{self.url}/clock",
                "ROOMTONE_KLAVIYO_URL": f"{self.url}/klaviyo",
                "ROOMTONE_KLAVIYO_TOKEN": AUTHORIZATION.split()[-1],
            }
        )

    def _get(self, path: str, **params: str) -> dict[str, Any]:
        answer = _client(os.getpid()).get(f"{self.url}{path}", params=params).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _post(self, path: str, body: dict[str, Any]) -> None:
        _client(os.getpid()).post(f"{self.url}{path}", json=body).raise_for_status()


@cache
def _client(_: int) -> httpx.Client:
    """The client of one process; a brand is on this machine, so that no certificate has to be read for it."""
    return httpx.Client(timeout=120, trust_env=False, verify=False)  # noqa: S501 - plain HTTP to this machine


@contextmanager
def served(
    customers: int, seed: int = 7, silent_profiles: int = 0, call_seconds: float | None = None
) -> Iterator[Served]:
    """Serves a brand for the length of a block; with `call_seconds` by a clock of calls and waits alone."""
    command = [sys.executable, "-m", "roomtone.sandbox", "serve", "--port", "0", "--seed", str(seed)]
    command += ["--customers", str(customers), "--history-days", "11"]
    command += ["--silent-profiles", str(silent_profiles)]
    command += ["--call-seconds", str(call_seconds)] if call_seconds is not None else []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=PROJECT_ROOT, start_new_session=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("sandbox ready "):
            raise RoomtoneError("sandbox", f"did not start with {customers} customers", "run its command by hand")
        yield Served(line.split()[-1])
    finally:
        process.terminate()
        process.wait(timeout=20)
