"""A brand of its own, marts written by hand, and passes that validation has confirmed."""

import atexit
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from conftest import Sandbox, look_through
from exchanges import Exchanges
from roomtone.contract import SCOPES
from roomtone.policies.publish import publish
from roomtone.settings import PROJECT_ROOT, Settings, load_settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.sync import accounts, reconcile, rollback, run
from roomtone.sync.transport import Timing

from .place import Place
from .sftp_server import SftpServer, sftp_server

ACCOUNT = "RtSbx1"
KLAVIYO = {"Authorization": "Klaviyo-API-Key sandbox-klaviyo", "revision": "2026-07-15"}
TABLES = {
    "activations.sync_suppression_segment": "customer_id varchar, scope varchar, since_at timestamp,"
    " until_at timestamp",
    "activations.sync_profile_properties": "customer_id varchar, email varchar, phone varchar, "
    + ", ".join(f"roomtone_pause_{scope} boolean" for scope in SCOPES)
    + ", roomtone_tier integer, roomtone_reason varchar, roomtone_pause_until timestamp",
    "activations.sync_ticket_routing": "ticket_id varchar, source varchar, priority varchar, queue varchar,"
    " tags varchar",
    "activations.sync_recovery_events": "trigger_id varchar, customer_id varchar, email varchar, kind varchar, "
    "message_class varchar, due_at timestamp, expires_at timestamp, payload varchar",
    "marts.dim_customers": "customer_id varchar",
    "marts.dim_customer_states": "customer_id varchar, state varchar, tier integer",
}


@cache
def store_with_policies() -> Path:
    """An operational store as it is before the first pass; to make it takes longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="roomtone-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings = load_settings({"ROOMTONE_HOME": str(folder)})
    store = OperationalStore(settings)
    publish(settings, store, datetime(2026, 1, 1, tzinfo=UTC))
    store.close()
    return folder / "operational.db"


@dataclass(frozen=True)
class Person:
    customer_id: str
    email: str
    profile_id: str | None
    has_consent: bool = True


@dataclass
class Mart:
    """The activation tables as a pass left them: changed by hand, then written by `commit`."""

    settings: Settings
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    tickets: dict[str, dict[str, Any]] = field(default_factory=dict)
    customers: int = 400
    published: str = ""

    def pause(self, person: Person, until: datetime, tier: int = 2, scopes: tuple[str, ...] = SCOPES) -> None:
        self.profiles[person.customer_id] = {
            "customer_id": person.customer_id,
            "email": person.email,
            "phone": None,
            **{f"roomtone_pause_{scope}": scope in scopes for scope in SCOPES},
            "roomtone_tier": tier,
            "roomtone_reason": "open_negative_ticket",
            "roomtone_pause_until": until.astimezone(UTC).replace(tzinfo=None),
        }

    def calm(self, person: Person) -> None:
        self.pause(person, datetime(2026, 1, 1, tzinfo=UTC), 0, ())
        self.profiles[person.customer_id] |= {"roomtone_reason": None, "roomtone_pause_until": None}

    def owe(self, person: Person, trigger_id: str, due_at: datetime, kind: str = "apology", hours: float = 2) -> None:
        due = due_at.astimezone(UTC).replace(tzinfo=None)
        self.events[trigger_id] = {
            "trigger_id": trigger_id,
            "customer_id": person.customer_id,
            "email": person.email,
            "kind": kind,
            "message_class": "service" if kind == "apology" else "marketing",
            "due_at": due,
            "expires_at": due + timedelta(hours=hours),
            "payload": '{"cause_id": "cause-1", "body": "what she wrote", "tier": 2}',
        }

    def route(self, ticket_id: int, priority: str, queue: str, tier: int, source: str = "zendesk") -> None:
        key = f"{source}-{ticket_id}"
        tags = f"roomtone_tier_{tier}"
        self.tickets[key] = {"ticket_id": key, "source": source, "priority": priority, "queue": queue, "tags": tags}

    def commit(self, as_of: datetime, is_valid: bool = True) -> Pass:
        """A new pass over these tables."""
        database = self.settings.home / "operational.db"
        guardrails = (self.settings.policies_dir / "guardrails.yml").read_text()
        if not database.exists() and self.settings.policies_dir == load_settings().policies_dir:
            database.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(store_with_policies(), database)
            self.published = guardrails
        store = OperationalStore(self.settings)
        if guardrails != self.published:
            publish(self.settings, store, as_of)
            self.published = guardrails
        current = store.begin_pass(as_of)
        rows = {
            "activations.sync_profile_properties": list(self.profiles.values()),
            "activations.sync_recovery_events": list(self.events.values()),
            "activations.sync_ticket_routing": list(self.tickets.values()),
        }
        with warehouse.connect(self.settings) as connection:
            for schema in ("raw", "marts", "activations"):
                connection.execute(f"create schema if not exists {schema}")
            for table, columns in TABLES.items():
                connection.execute(f"create or replace table {table} ({columns})")
                for row in rows.get(table, []):
                    marks = ", ".join("?" for _ in row)
                    connection.execute(f"insert into {table} ({', '.join(row)}) values ({marks})", list(row.values()))
            connection.execute("insert into marts.dim_customers select range from range(?)", [self.customers])
            connection.execute("create or replace table raw.current_pass (pass_sequence bigint, as_of timestamp)")
            moment = as_of.astimezone(UTC).replace(tzinfo=None)
            connection.execute("insert into raw.current_pass values (?, ?)", [current.sequence, moment])
        store.mark_pass(current, "validated", is_valid=is_valid)
        # The vendor lets itself be asked for its account once a second; test_accounts.py does without this.
        if "klaviyo" in self.settings.connections:
            accounts.keep(store, self.settings.connection("klaviyo"), ACCOUNT, as_of)
        store.close()
        return current


@pytest.fixture(scope="module")
def brand(tmp_path_factory: pytest.TempPathFactory, exchanges: Exchanges) -> Iterator[Sandbox]:
    """One brand for all tests here; each takes people and tickets of its own and reads the log from where it began."""
    command = [sys.executable, "-m", "roomtone.sandbox", "serve", "--port", "0", "--customers", "200"]
    specs = load_settings().specs_dir
    if specs.is_dir():
        command += ["--specs", str(specs)]
    errors = (tmp_path_factory.mktemp("brand") / "sandbox.log").open("w")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=PROJECT_ROOT)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("sandbox ready "), f"the sandbox did not start: {line!r}; see {errors.name}"
    brand = Sandbox(line.split()[-1], process)
    yield brand
    assert look_through(brand), "the sandbox no longer answers: the calls that the tests made went unread"
    process.terminate()
    process.wait(timeout=20)


def on_the_platform(brand: Sandbox) -> list[Person]:
    """Everybody whom the platform has."""
    found = []
    link = f"{brand.url}/klaviyo/api/profiles?page%5Bsize%5D=100&additional-fields%5Bprofile%5D=subscriptions"
    while link:
        page = brand.client.get(link, headers=KLAVIYO).json()
        for profile in page["data"]:
            facts = profile["attributes"]
            customer_id = f"shop-{facts['external_id'] or profile['id']}"
            consent = facts["subscriptions"]["email"]["marketing"]["can_receive_email_marketing"]
            found.append(Person(customer_id, facts["email"], profile["id"], consent))
        link = page["links"].get("next")
    return found


@pytest.fixture(scope="module")
def everybody(brand: Sandbox) -> Iterator[Person]:
    """People whom the platform has and may send offers to, each given out once.

    Those whose shop id it does not know come last.
    """
    found = [person for person in on_the_platform(brand)[::-1] if person.has_consent]
    return iter(sorted(found, key=lambda person: not person.customer_id.removeprefix("shop-").isdecimal()))


@pytest.fixture(scope="module")
def all_tickets(brand: Sandbox) -> Iterator[dict[str, Any]]:
    headers = {"Authorization": "Bearer sandbox-zendesk"}
    page = brand.client.get("/zendesk/api/v2/incremental/tickets/cursor.json?start_time=1", headers=headers).json()
    return iter([ticket for ticket in page["tickets"] if ticket["status"] in {"new", "open", "pending"}])


@pytest.fixture
def people(everybody: Iterator[Person]) -> Callable[[int], list[Person]]:
    return lambda count: [next(everybody) for _ in range(count)]


@pytest.fixture
def person(everybody: Iterator[Person]) -> Person:
    return next(everybody)


@pytest.fixture
def stranger() -> Person:
    """A customer whom the platform never had."""
    return Person("shop-999999", "nobody.999999@example.com", None)


@pytest.fixture(autouse=True)
def waits_pass_by_the_brand_s_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sync waits for, a vendor's limit or a queue of its own, is over as soon as the brand's clock says so."""
    if "brand" not in request.fixturenames:
        return
    brand: Sandbox = request.getfixturevalue("brand")
    waited = 0.0

    def sleep(seconds: float) -> None:
        nonlocal waited
        waited += seconds
        brand.advance(seconds)

    for module in (run, reconcile, rollback):
        monkeypatch.setattr(module, "Timing", lambda: Timing(sleep, lambda: time.monotonic() + waited))


@pytest.fixture
def settings(brand: Sandbox, tmp_path: Path) -> Settings:
    return brand.settings(tmp_path / "home")


@pytest.fixture(scope="module")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    with sftp_server(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture
def place(brand: Sandbox, sftp: SftpServer, tmp_path: Path) -> Place:
    return Place(brand, sftp, tmp_path / "home")


@pytest.fixture
def mart(settings: Settings) -> Mart:
    return Mart(settings)


@dataclass
class Witness:
    """What the brand's own log says since the test began."""

    brand: Sandbox
    start: int

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        return [entry for entry in self.brand.log(after=self.start) if not kinds or entry["kind"] in kinds]

    def writes(self) -> list[dict[str, Any]]:
        """Requests that could change anything."""
        return [
            entry for entry in self.entries("request") if entry["method"] != "GET" and "/clock" not in entry["path"]
        ]

    def forward(self) -> None:
        self.start = self.brand.get("/log", after=self.start)["last"]


@pytest.fixture
def witness(brand: Sandbox) -> Iterator[Witness]:
    seen = Witness(brand, brand.get("/log", after=0)["last"])
    began = seen.start
    yield seen
    seen.start = began
    assert seen.entries("violation") == [], "the vendor's contract or somebody's consent was touched"
