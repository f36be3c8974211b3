"""Routing at Request Tracker: the same cases against the sandbox's server and a real RT 5 where one is installed."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import Sandbox
from roomtone.sandbox import request_tracker_api
from roomtone.settings import Settings, load_settings
from roomtone.sync import sync, transport

from .conftest import Mart

RT_SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
RT_DATABASE = Path("/var/lib/dbconfig-common/sqlite3/request-tracker5/rtdb")
RT_LIBRARY = Path("/usr/share/request-tracker5/lib")

_SITE = """
Set($rtname, 'rt.example.com');
Set($Organization, 'rt.example.com');
Set($WebDomain, '127.0.0.1');
Set($WebPort, {port});
Set($WebBaseURL, 'http://127.0.0.1:{port}');
Set($WebPath, '');
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '{folder}/rtdb');
Set($LogToSTDERR, 'error');
Set($LogToSyslog, undef);
Set($MailCommand, 'testfile');
1;
"""
# RT has no call for putting a custom field on every queue.
_TAG_FIELD = """
use RT -init;
my $field = RT::CustomField->new(RT->SystemUser);
$field->Create(Name => 'Tags', Type => 'FreeformMultiple', MaxValues => 0, LookupType => 'RT::Queue-RT::Ticket');
$field->AddToObject(RT::Queue->new(RT->SystemUser));
"""


@dataclass
class Desk:
    """A Request Tracker: `agent` are the headers of somebody who works there."""

    url: str
    agent: dict[str, str]
    auth: tuple[str, str] | None
    environ: dict[str, str]
    tickets: list[str]

    def ticket(self, number: str) -> dict[str, Any]:
        answer = httpx.get(self._at(number), headers=self.agent, auth=self.auth, timeout=60).raise_for_status()
        return answer.json()

    def tags(self, number: str) -> list[str]:
        fields = {field["name"]: field["values"] for field in self.ticket(number)["CustomFields"]}
        return sorted(fields["Tags"])

    def queue(self, number: str) -> str:
        queues = httpx.get(
            f"{self.url}/REST/2.0/queues/all",
            params={"fields": "Name"},
            headers=self.agent,
            auth=self.auth,
            timeout=60,
        ).json()["items"]
        names = {queue["id"]: queue["Name"] for queue in queues}
        return names[self.ticket(number)["Queue"]["id"]]

    def save(self, number: str, **changes: Any) -> None:
        """An agent saves something of hers."""
        httpx.put(self._at(number), json=changes, headers=self.agent, auth=self.auth, timeout=60).raise_for_status()

    def _at(self, number: str) -> str:
        return f"{self.url}/REST/2.0/ticket/{number}"


@pytest.fixture(scope="module")
def real_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if not (RT_SERVER.exists() and RT_DATABASE.exists()):
        pytest.skip("SKIPPED: no Request Tracker 5 (request-tracker5, rt5-db-sqlite) is installed here")
    folder = tmp_path_factory.mktemp("rt")
    (folder / "conf.d").mkdir()
    shutil.copy(RT_DATABASE, folder / "rtdb")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "RT_SiteConfig.pm").write_text(_SITE.format(port=port, folder=folder))
    environ = os.environ | {
        "RT_SITE_CONFIG": str(folder / "RT_SiteConfig.pm"),
        "RT_SITE_CONFIG_DIR": str(folder / "conf.d"),
    }
    subprocess.run(["perl", f"-I{RT_LIBRARY}", "-e", _TAG_FIELD], env=environ, check=True, timeout=120)
    command = [str(RT_SERVER), "--server", "Starlet", "--host", "127.0.0.1", "--port", str(port), "--max-workers=1"]
    with (folder / "rt.log").open("w") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    url, auth = f"http://127.0.0.1:{port}", ("root", "password")
    try:
        _wait_for(f"{url}/REST/2.0/rt", auth)
        httpx.post(f"{url}/REST/2.0/queue", json={"Name": "Escalations"}, auth=auth, timeout=60).raise_for_status()
        tickets = []
        for number in range(4):
            facts = {"Queue": "General", "Subject": f"ticket {number}", "Requestor": "maya@example.com"}
            made = httpx.post(f"{url}/REST/2.0/ticket", json=facts, auth=auth, timeout=60).raise_for_status()
            tickets.append(made.json()["id"])
        options = {
            "ROOMTONE_REQUEST_TRACKER_URL": url,
            "ROOMTONE_REQUEST_TRACKER_USER": auth[0],
            "ROOMTONE_REQUEST_TRACKER_TOKEN": auth[1],
        }
        yield Desk(url, {}, auth, options, tickets)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait_for(url: str, auth: tuple[str, str]) -> None:
    for _ in range(240):
        try:
            if httpx.get(url, auth=auth, timeout=10).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.25)
    raise AssertionError(f"{url} did not come up")


@pytest.fixture(scope="module")
def sandbox_desk(brand: Sandbox) -> Desk:
    link = f"{brand.url}/zendesk/api/v2/incremental/tickets/cursor.json?start_time=1"
    tickets = httpx.get(link, headers={"Authorization": "Bearer sandbox-zendesk"}, timeout=60).json()["tickets"]
    url = f"{brand.url}/request_tracker"
    options = {"ROOMTONE_REQUEST_TRACKER_URL": url, "ROOMTONE_REQUEST_TRACKER_TOKEN": "sandbox-request-tracker"}
    numbers = [str(ticket["id"]) for ticket in tickets[-4:]]
    return Desk(url, {"Authorization": request_tracker_api.AGENT}, None, options, numbers)


@pytest.fixture(params=["sandbox", pytest.param("real", marks=pytest.mark.peers)])
def desk(request: pytest.FixtureRequest) -> Desk:
    return request.getfixturevalue(f"{request.param}_desk")


@pytest.fixture
def settings(desk: Desk, tmp_path: Path) -> Settings:
    return load_settings({"ROOMTONE_HOME": str(tmp_path / "home"), **desk.environ})


def route(mart: Mart, number: str, priority: str, queue: str, tier: int) -> Any:
    mart.route(int(number), priority, queue, tier, source="request_tracker")
    return sync(mart.settings, mart.commit(datetime.now(UTC)), "request_tracker")


def test_a_ticket_gets_priority_queue_and_tags_and_keeps_all_else(desk: Desk, mart: Mart) -> None:
    number = desk.tickets[0]
    before = desk.ticket(number)
    desk.save(number, CustomFields={"Tags": ["vip", "roomtone_tier_1"]})
    assert route(mart, number, "urgent", "escalations", 2).total.done == 1
    after = desk.ticket(number)
    assert (after["Priority"], desk.queue(number)) == ("100", "Escalations")
    assert desk.tags(number) == ["roomtone_tier_2", "vip"]
    assert [after[name] for name in ("Status", "Subject")] == [before[name] for name in ("Status", "Subject")]
    again = route(mart, number, "urgent", "escalations", 2)
    assert (again.total.planned, again.total.unchanged) == (0, 1)


def test_a_stale_write_is_refused_and_planned_again(desk: Desk, mart: Mart) -> None:
    """An agent saves between our reading and our writing: she wins, and ours is made again for what she left."""
    number, statuses = desk.tickets[1], []

    def meddle(request: httpx.Request, response: httpx.Response) -> None:
        if request.method == "PUT":
            statuses.append(response.status_code)
        elif request.url.path.endswith(f"/ticket/{number}") and not statuses and not meddled:
            meddled.append(True)
            desk.save(number, CustomFields={"Tags": ["phoned"]}, Priority=10)

    meddled: list[bool] = []
    transport.exchange_hooks.append(meddle)
    try:
        assert route(mart, number, "high", "escalations", 3).total.done == 1
    finally:
        transport.exchange_hooks.remove(meddle)
    assert statuses == [412, 200]
    assert desk.tags(number) == ["phoned", "roomtone_tier_3"]
    assert desk.ticket(number)["Priority"] == "75"


def test_a_queue_that_does_not_exist_leaves_the_ticket_where_it_is(desk: Desk, mart: Mart) -> None:
    number = desk.tickets[2]
    assert route(mart, number, "low", "no_such_queue", 0).total.done == 1
    assert (desk.queue(number), desk.ticket(number)["Priority"]) == ("General", "0")


def test_a_ticket_that_is_gone_is_told(desk: Desk, mart: Mart) -> None:
    report = route(mart, "99999999", "low", "escalations", 0)
    assert report.total.rejected == 1
    assert report.notes == ("rejected 1 ticket_routing: 404 Not Found",)
