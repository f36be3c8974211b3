"""The brand as a process: it starts quickly, answers fast, and tells the story when the clock is moved."""

import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest


@pytest.fixture(scope="module")
def served(serving: Any) -> Any:
    with serving("--customers", "400") as running:
        yield running


def test_it_is_up_within_seconds(served: Any) -> None:
    assert served.seconds_to_start < 10, "three on a machine that has nothing else to do"


def test_the_clock_runs_by_itself_and_never_goes_back(served: Any) -> None:
    first = datetime.fromisoformat(served.get("/clock")["now"])
    time.sleep(0.2)
    second = datetime.fromisoformat(served.get("/clock")["now"])
    assert timedelta(seconds=0.1) < second - first < timedelta(seconds=30)
    back = httpx.post(f"{served.url}/clock", json={"now": "2026-03-01T00:00:00Z"}, trust_env=False)
    assert back.status_code == 400
    for body in ("{}", "[]", "no", '{"now": "yesterday"}', '{"advance_seconds": -5}'):
        assert httpx.post(f"{served.url}/clock", content=body, trust_env=False).status_code == 400, body


def test_the_clock_of_a_machine_may_be_wrong(served: Any) -> None:
    def ahead() -> float:
        shown, true = (datetime.fromisoformat(served.get(path)["now"]) for path in ("/machine-clock", "/clock"))
        return (shown - true).total_seconds()

    for seconds in (3600, -3600, 0):
        httpx.post(f"{served.url}/machine-clock", json={"ahead_seconds": seconds}, trust_env=False).raise_for_status()
        assert seconds - 2 < ahead() <= seconds
    for body in ("{}", "[]", "no", '{"ahead_seconds": "much"}'):
        assert httpx.post(f"{served.url}/machine-clock", content=body, trust_env=False).status_code == 400, body


def test_it_answers_hundreds_of_calls_a_second(served: Any) -> None:
    with served.client("zendesk") as client:
        began = time.monotonic()
        for _ in range(200):
            client.get("/api/v2/groups.json").raise_for_status()
        assert time.monotonic() - began < 4, "well below one second on a machine that has nothing else to do"


def test_the_story_runs_by_the_clock(serving: Any) -> None:
    """Without roomtone: Maya writes, gets the sale all the same, and everything comes at its planted time."""
    with serving("--customers", "60") as served:
        story = served.get("/story")
        times = {name: datetime.fromisoformat(text) for name, text in story["times"].items()}
        t0 = times["maya_writes"]
        served.move(t0 - timedelta(seconds=30))
        assert served.get("/story")["people"]["maya"]["ticket_id"] is None
        served.move(t0 + timedelta(minutes=6))
        story = served.get("/story")
        ticket = story["people"]["maya"]["ticket_id"]
        log = served.get("/log")["entries"]
        written = [e for e in log if e["kind"] == "message_written" and e["ticket_id"] == ticket]
        assert [(e["customer"], e["at"]) for e in written] == [("1001", story["times"]["maya_writes"])]
        sends = [e for e in log if e["kind"] == "campaign_send"]
        sale = {e["customer"]: e for e in sends if e["campaign_id"] == story["campaigns"]["sale"]["id"]}
        assert {sale[person]["outcome"] for person in ("1001", "1002", "1003")} == {"sent"}
        assert sale["1001"]["at"] == story["times"]["sale_sent"]
        notice = [e for e in sends if e["campaign_id"] == story["shipping_flow_id"] and e["customer"] == "1001"]
        assert [(e["at"], e["scope"]) for e in notice] == [(story["times"]["shipping_notice"], "transactional")]

        served.move(times["ticket_closed"] + timedelta(minutes=1))
        log = served.get("/log")["entries"]
        statuses = [(e["status"], e["at"]) for e in log if e["kind"] == "ticket_status" and e["ticket_id"] == ticket]
        named = {"new": "maya_writes", "pending": "agent_answers", "solved": "ticket_solved", "closed": "ticket_closed"}
        assert statuses == [(status, story["times"][name]) for status, name in named.items()]
        scans = [e["at"] for e in log if e["kind"] == "shipment_scan" and str(e["shipment_id"]) == story["shipment_id"]]
        assert scans == [story["times"]["parcel_scanned"], story["times"]["parcel_delivered"]]
        arrivals = [e for e in log if e.get("campaign_id") == story["campaigns"]["arrivals"]["id"]]
        assert arrivals
        assert {e["at"] for e in arrivals} == {story["times"]["arrivals_sent"]}
        assert [e["seq"] for e in log] == list(range(1, len(log) + 1))
        at = [e["at"] for e in log]
        assert at == sorted(at)
        assert served.get("/log", after=log[-1]["seq"])["entries"] == []
        truth = {row["message_id"]: row for row in served.get("/truth")["messages"]}
        planted = truth[written[0]["message_id"]]
        assert (planted["sentiment"], planted["urgency"], planted["intent"]) == ("negative", "high", "late_delivery")


def test_happenings_come_without_any_request(serving: Any) -> None:
    with serving("--customers", "10") as served:
        t0 = datetime.fromisoformat(served.get("/story")["t0"])
        served.move(t0 - timedelta(seconds=1))
        time.sleep(2.2)
        entries = served.get("/log", kind="message_written")["entries"]
        assert any(e["customer"] == "1001" for e in entries)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "{taken}"], "take another"),
        (["--port", "0", "--history-days", "3"], "--history-days: 3"),
        (["--port", "0", "--customers", "1"], "--customers: 1"),
        (["--port", "0", "--specs", "/nowhere"], "--specs: /nowhere"),
        (["--port", "0", "--start", "2026-03-02"], "UTC offset"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(options: list[str], said: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        filled = [option.format(taken=taken.getsockname()[1]) for option in options]
        command = [sys.executable, "-m", "roomtone.sandbox", "serve", *filled]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
