"""The webhooks over HTTP: closed without a signature, kept before they are answered, and nothing kept is lost."""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from roomtone.airflow import pages, webhooks
from roomtone.airflow.processes import free_port
from roomtone.extract.webhooks import MAXIMUM_BODY_BYTES, SCHEMES, sign
from roomtone.settings import Settings, load_settings
from roomtone.stores.operational import OperationalStore, inbox

SECRET = "0123456789abcdef0123456789abcdef"
SENDERS = sorted(SCHEMES)
BODY = b'{"type": "messages", "data": []}'


def signed(sender: str, body: bytes = BODY, delivery_id: str = "d-1", stamp: float | None = None) -> dict[str, str]:
    return sign(sender, SECRET, body, str(int(time.time() if stamp is None else stamp)), delivery_id)


def rows(store: OperationalStore) -> list[Any]:
    with store.begin() as connection:
        return list(connection.execute(sa.select(inbox).order_by(inbox.c.inbox_id)))


class Served:
    """The webhooks in this process, with what they called."""

    def __init__(self, settings: Settings, *senders: str) -> None:
        self.store = OperationalStore(settings)
        self.calls: list[float] = []
        self.senders = set(senders)
        outer = FastAPI()
        made = webhooks.make_app(
            self.store,
            lambda sender: (SECRET,) if sender in self.senders else (),
            lambda: self.calls.append(time.time()),
        )
        outer.mount(webhooks.PREFIX, made)
        outer.mount(pages.PREFIX, pages.app)
        self.client = TestClient(outer)

    def post(self, sender: str, body: bytes = BODY, headers: dict[str, str] | None = None) -> httpx.Response:
        found = signed(sender, body) if headers is None else headers
        return self.client.post(f"{webhooks.PREFIX}/{sender}", content=body, headers=found)


@pytest.fixture
def served(settings: Settings) -> Served:
    return Served(settings, *SENDERS)


@pytest.mark.parametrize("sender", SENDERS)
def test_a_signed_request_is_kept_as_it_came(served: Served, sender: str) -> None:
    body = b'{ "odd" :  "spacing",\n"caf\\u00e9": "\xc3\xa9"}'
    assert served.post(sender, body).status_code == 202
    [row] = rows(served.store)
    assert (row.sender, row.body) == (sender, body)


@pytest.mark.parametrize("sender", SENDERS)
def test_forgeries_replays_and_old_stamps_over_http(served: Served, sender: str) -> None:
    headers = signed(sender)
    scheme = SCHEMES[sender]
    for number in range(100):
        forged = bytes([BODY[number % len(BODY)] ^ 1])
        body = BODY[: number % len(BODY)] + forged + BODY[number % len(BODY) + 1 :]
        assert served.post(sender, body, headers).status_code == 401
    assert served.post(sender, BODY, {}).status_code == 401
    if scheme.timestamp_header:
        for stamp in (time.time() - 303, time.time() + 303):
            assert served.post(sender, BODY, signed(sender, stamp=stamp)).status_code == 401
    assert rows(served.store) == []
    assert {served.post(sender, BODY, headers).status_code for _ in range(100)} == {202}
    assert len(rows(served.store)) == 1


def test_what_is_too_large_is_refused_unread(served: Served) -> None:
    large = b"x" * (MAXIMUM_BODY_BYTES + 1)
    assert served.post("generic", large).status_code == 413
    assert served.post("generic", large[:-1]).status_code == 202

    def parts() -> Iterator[bytes]:
        # Without a length beforehand; the limit holds for what comes.
        for _ in range(40):
            yield b"x" * 100_000

    address = f"{webhooks.PREFIX}/generic"
    assert served.client.post(address, content=parts(), headers=signed("generic")).status_code == 413
    assert len(rows(served.store)) == 1


def test_too_many_are_asked_to_come_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_REQUESTS_A_SECOND", 0.001)
    monkeypatch.setattr(webhooks, "_REQUESTS_AT_ONCE", 3.0)
    served = Served(settings, "generic", "klaviyo")
    answers = [served.post("generic", headers=signed("generic", delivery_id=f"d{n}")) for n in range(5)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert answers[-1].headers["retry-after"] == "1"
    assert served.post("klaviyo").status_code == 202, "one sender's flood is not another's"


def test_who_is_not_expected_is_told_nothing(settings: Settings) -> None:
    served = Served(settings, "zendesk")
    assert served.post("zendesk").status_code == 202
    unknown, without_secret = served.post("generic", headers={}), served.post("generic")
    stranger = served.client.post(f"{webhooks.PREFIX}/somebody", content=BODY)
    assert unknown.status_code == without_secret.status_code == stranger.status_code == 404
    assert unknown.json() == without_secret.json() == stranger.json()


def test_a_secret_of_either_kind_opens_and_only_when_webhooks_are_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    from roomtone.airflow.connections import webhook_secrets

    monkeypatch.setenv("ROOMTONE_SOURCES", "webhook,zendesk")
    monkeypatch.setenv("ROOMTONE_ZENDESK_WEBHOOK_SECRET", "new, old")
    monkeypatch.setenv(
        "AIRFLOW_CONN_ROOMTONE_GENERIC", '{"conn_type": "http", "extra": {"webhook_secret": "whsec_aaaa"}}'
    )
    assert webhook_secrets("zendesk") == ("new", "old")
    assert webhook_secrets("generic") == ("whsec_aaaa",)
    monkeypatch.setenv("ROOMTONE_SOURCES", "zendesk")
    assert webhook_secrets("zendesk") == ()


def test_many_deliveries_make_few_calls(served: Served) -> None:
    for number in range(40):
        assert served.post("generic", headers=signed("generic", delivery_id=f"d{number}")).status_code == 202
    deadline = time.monotonic() + 5
    while not served.calls and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    assert len(served.calls) == 1, "nobody has answered the first call yet"


def test_every_route_asks_for_a_login_or_a_signature(served: Served) -> None:
    """Whatever the plugin mounts: without either, no route answers with success, and none is new without a look."""
    paths = {
        f"{prefix}{route.path}": sorted(route.methods)
        for prefix, made in ((webhooks.PREFIX, served.client.app.routes[-2].app), (pages.PREFIX, pages._application()))
        for route in made.routes
    }
    assert paths == {
        "/roomtone/webhooks/{sender}": ["POST"],
        "/roomtone/quiet": ["GET"],
        "/roomtone/quiet.css": ["GET"],
    }
    for path, methods in paths.items():
        for sender in SENDERS:
            for method in methods:
                answer = served.client.request(method, path.replace("{sender}", sender), content=b"{}")
                assert answer.status_code == 401, (method, path)
    for path in ("docs", "redoc", "openapi.json", "", "zendesk"):
        assert served.client.get(f"{webhooks.PREFIX}/{path}").status_code in {401, 404, 405}
    assert rows(served.store) == []


Serve = Callable[[], tuple[str, "subprocess.Popen[bytes]"]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts real servers over one home; each is ended with the test."""
    started: list[subprocess.Popen[bytes]] = []
    environ = os.environ | {
        "ROOMTONE_HOME": str(tmp_path / "home"),
        "ROOMTONE_GENERIC_WEBHOOK_SECRET": SECRET,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
    }

    def start() -> tuple[str, subprocess.Popen[bytes]]:
        port = free_port()
        command = [sys.executable, str(Path(__file__).with_name("serve_webhooks.py")), str(port)]
        process = subprocess.Popen(command, env=environ, cwd=tmp_path)
        started.append(process)
        url = f"http://127.0.0.1:{port}{webhooks.PREFIX}/generic"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.post(url, content=b"{}", trust_env=False)
            except httpx.TransportError:
                assert process.poll() is None, "the server ended while starting"
                time.sleep(0.05)
            else:
                break
        return url, process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(serve: Serve, tmp_path: Path) -> None:
    """Fifty senders at a time, `kill -9` in the middle, three times; then every 202 has its row, and each once."""
    acknowledged: list[str] = []
    seconds: list[float] = []
    store = OperationalStore(load_settings({"ROOMTONE_HOME": str(tmp_path / "home")}))
    for round_ in range(3):
        url, process = serve()
        is_over = threading.Event()

        def send(sender: int, url: str = url, round_: int = round_, is_over: threading.Event = is_over) -> None:
            with httpx.Client(trust_env=False, timeout=10) as client:
                for number in range(1000):
                    key = f"{round_}-{sender}-{number}"
                    body = json.dumps({"type": "messages", "data": [key]}).encode()
                    begun = time.perf_counter()
                    try:
                        answer = client.post(url, content=body, headers=signed("generic", body, key))
                    except httpx.TransportError:
                        return
                    if answer.status_code == 202:
                        seconds.append(time.perf_counter() - begun)
                        acknowledged.append(key)
                    if is_over.is_set():
                        return

        senders = [threading.Thread(target=send, args=(number,)) for number in range(50)]
        for thread in senders:
            thread.start()
        time.sleep(1.5)
        os.kill(process.pid, signal.SIGKILL)
        is_over.set()
        for thread in senders:
            thread.join()
    found = [row.delivery_id for row in rows(store)]
    assert len(acknowledged) > 100
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    print(
        f"{len(acknowledged)} kept, median {statistics.median(seconds) * 1000:.0f} ms with 50 senders in this process"
    )
