"""Fixtures: a world of its own, calls on its APIs in this process, and the served brand as a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from roomtone.sandbox.helpdesk_api import HelpdeskApi
from roomtone.sandbox.marketing_api import MarketingApi
from roomtone.sandbox.shop_api import ShopApi
from roomtone.sandbox.web import Call, Reply
from roomtone.sandbox.world import Plan, World

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HEADERS = {
    "zendesk": {"authorization": "Bearer sandbox-zendesk"},
    "klaviyo": {"authorization": "Klaviyo-API-Key sandbox-klaviyo", "revision": "2026-07-15"},
    "shop": {"authorization": "Bearer sandbox-shop"},
}


class Brand:
    """A world whose time the test holds, with its APIs called in this process."""

    def __init__(self, seed: int = 7, customers: int = 120) -> None:
        self.world = World(Plan(START, seed=seed, customers=customers))
        marketing = MarketingApi(seed, self.world.marketing, self.world.witness, self.world.schedule)
        self._apis: dict[str, HelpdeskApi | MarketingApi | ShopApi] = {
            "zendesk": HelpdeskApi(self.world.helpdesk, self.world.witness),
            "klaviyo": marketing,
            "shop": ShopApi(self.world.shop),
        }

    def ask(
        self,
        vendor: str,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        **params: str | int,
    ) -> Reply:
        content = b"" if body is None else json.dumps(body).encode()
        query = urlencode({name.replace("__", "[", 1) + "]" if "__" in name else name: v for name, v in params.items()})
        given = HEADERS[vendor] if headers is None else headers
        reply, _ = self._apis[vendor].answer(Call(method, path, query, given, content, "http://brand", self.world.at))
        return reply

    def wait(self, **duration: float) -> None:
        self.world.advance(self.world.at + timedelta(**duration))

    def log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.world.witness.after(0, frozenset({kind}))["entries"]
        return entries


@pytest.fixture
def brand() -> Brand:
    return Brand()


@pytest.fixture
def make_brand() -> Callable[..., Brand]:
    return Brand


@dataclass
class Served:
    """The brand as a process: its address and a client for each vendor."""

    url: str
    seconds_to_start: float

    def client(self, vendor: str) -> httpx.Client:
        base = self.url if vendor == "shop" else f"{self.url}/{vendor}"
        return httpx.Client(base_url=base, headers=HEADERS[vendor], timeout=30, trust_env=False)

    def get(self, path: str, **params: str | int) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(self.url + path, params=params, timeout=30, trust_env=False).json()
        return answer

    def move(self, to: datetime) -> None:
        httpx.post(f"{self.url}/clock", json={"now": to.isoformat()}, timeout=60, trust_env=False).raise_for_status()


@contextmanager
def _serving(*options: str) -> Iterator[Served]:
    began = time.monotonic()
    command = [sys.executable, "-m", "roomtone.sandbox", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("sandbox ready http://127.0.0.1:"), line
        yield Served(line.removeprefix("sandbox ready "), time.monotonic() - began)
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """`with serving("--seed", "3") as served:` starts the brand and ends it."""
    return _serving
