"""The helpdesk's webhooks: signed as the vendor signs, at least once, and never lost while the receiver is away."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from roomtone.extract.webhooks import verify
from sandbox.conftest import Brand

SECRET = "a-secret-of-the-helpdesk"


class Receiver:
    """Keeps what comes; answers with `status`."""

    def __init__(self) -> None:
        self.kept: list[tuple[dict[str, str], bytes]] = []
        self.status = 202
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status == 202:
                    receiver.kept.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.fixture(scope="module")
def served(serving: Any) -> Any:
    with serving("--customers", "60") as running:
        yield running


def write(served: Any, count: int) -> list[dict[str, Any]]:
    answer = httpx.post(f"{served.url}/messages", json={"count": count, "upset_share": 1.0}, trust_env=False)
    return answer.raise_for_status().json()["messages"]


def settle(served: Any, seconds: float = 30.0) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (told := served.get("/webhooks"))["waiting"] and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    return served.get("/webhooks") if not told["waiting"] else told


def subscribe(served: Any, receiver: Receiver, **shares: float) -> None:
    wanted = {"url": receiver.url, "secret": SECRET, **shares}
    httpx.post(f"{served.url}/webhooks", json=wanted, trust_env=False).raise_for_status()


def test_each_message_is_told_signed_and_at_least_once(served: Any, receiver: Receiver) -> None:
    subscribe(served, receiver, twice_share=0.5, late_share=0.3)
    written = write(served, 20)
    settle(served)
    kinds: Counter[str] = Counter()
    heard: Counter[str] = Counter()
    for headers, body in receiver.kept:
        delivery = verify("zendesk", headers, body, (SECRET,), datetime.now(UTC))
        event = json.loads(body)
        kinds[event["type"].rpartition(":")[2]] += 1
        heard[delivery.delivery_id or ""] += 1
        assert event["detail"]["status"] == "NEW"
        assert "custom_fields" not in event["detail"]
    comments = [json.loads(body) for _, body in receiver.kept if b"comment_added" in body]
    heard_of = {row["event"]["comment"]["id"] for row in comments}
    # Its customers also write by themselves, while a slow machine looks on.
    in_the_log = {str(entry["message_id"]) for entry in served.get("/log", kind="message_written")["entries"]}
    assert {str(row["message_id"]) for row in written} <= heard_of <= in_the_log
    assert kinds["ticket.created"] >= 20
    assert max(heard.values()) == 2, "some came twice"
    order = [int(json.loads(body)["detail"]["id"]) for _, body in receiver.kept]
    assert order != sorted(order), "some came late"


def test_what_was_not_acknowledged_comes_again(served: Any, receiver: Receiver) -> None:
    subscribe(served, receiver)
    receiver.status = 503
    written = {str(row["ticket_id"]) for row in write(served, 3)}
    time.sleep(1.0)
    assert receiver.kept == []
    receiver.status = 202
    told = settle(served)
    assert told["waiting"] == 0
    events = [json.loads(body) for _, body in receiver.kept]
    assert len({event["id"] for event in events if event["detail"]["id"] in written}) == 6
    assert told["refused"] >= 6


def test_controls_that_make_no_sense_are_refused(served: Any) -> None:
    for path, body in (("/webhooks", {"nowhere": 1}), ("/messages", {}), ("/messages", {"count": "many"})):
        assert httpx.post(f"{served.url}{path}", json=body, trust_env=False).status_code == 400, path
    httpx.post(f"{served.url}/webhooks", json={}, trust_env=False).raise_for_status()
    assert served.get("/webhooks")["waiting"] == 0


def test_many_tickets_and_people_in_one_call(brand: Brand) -> None:
    tickets = list(brand.world.helpdesk.tickets)[:3]
    reply = brand.ask("zendesk", "GET", "/api/v2/tickets/show_many.json", ids=",".join(map(str, [*tickets, 1])))
    assert [row["id"] for row in reply.body["tickets"]] == tickets
    people = [brand.world.helpdesk.tickets[key].customer.helpdesk_id for key in tickets]
    reply = brand.ask("zendesk", "GET", "/api/v2/users/show_many.json", ids=",".join(map(str, [*people, 901])))
    assert {row["id"] for row in reply.body["users"]} == {*people, 901}
    for ids in ("", "a,b", ",".join(str(n) for n in range(1, 102))):
        assert brand.ask("zendesk", "GET", "/api/v2/tickets/show_many.json", ids=ids).status == 400, ids
