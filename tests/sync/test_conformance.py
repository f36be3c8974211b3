"""What every destination must do, whoever is behind it: one table, one line for each, the same questions to all."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import Sandbox
from roomtone.sandbox import braze_api, customerio_api, marketing_api, request_tracker_api, webhook_receiver
from roomtone.settings import Settings, load_settings
from roomtone.stores.operational import OperationalStore
from roomtone.sync import run, sync, transport
from roomtone.sync.desired import KINDS, PROFILE_PROPERTIES, RECOVERY_EVENT, TICKET_ROUTING
from roomtone.sync.destinations import NAMES, destination_class, open_destination
from roomtone.sync.destinations.base import Answer
from roomtone.sync.destinations.file_formats import FORMATS
from roomtone.sync.destinations.semantics import Idempotency, Nulls
from roomtone.sync.plan import Intent

from .conftest import KLAVIYO, Mart, Person, Witness
from .sftp_server import PASSWORD, SftpServer, sftp_server

BRAZE = {"Authorization": "Bearer sandbox-braze"}
ZENDESK = {"Authorization": "Bearer sandbox-zendesk"}
RT = {"Authorization": request_tracker_api.AGENT}
EVENT_NAMES = {"apology": "Roomtone Apology Due"}


@dataclass
class Place:
    """Everything that the destinations are connected to."""

    brand: Sandbox
    sftp: SftpServer
    home: Path

    def environ(self) -> dict[str, str]:
        url = self.brand.url
        return self.brand.environ(self.home) | {
            "ROOMTONE_BRAZE_URL": f"{url}/braze",
            "ROOMTONE_BRAZE_TOKEN": "sandbox-braze",
            "ROOMTONE_BRAZE_CUSTOMER_PREFIX": "shop-",
            "ROOMTONE_CUSTOMERIO_URL": f"{url}/customerio",
            "ROOMTONE_CUSTOMERIO_TOKEN": customerio_api.TRACK_KEY,
            "ROOMTONE_CUSTOMERIO_SITE_ID": customerio_api.SITE_ID,
            "ROOMTONE_CUSTOMERIO_APP_URL": f"{url}/customerio",
            "ROOMTONE_CUSTOMERIO_APP_KEY": customerio_api.APP_KEY,
            "ROOMTONE_CUSTOMERIO_CUSTOMER_PREFIX": "shop-",
            "ROOMTONE_WEBHOOK_URL": f"{url}/webhook{webhook_receiver.PATH}",
            "ROOMTONE_WEBHOOK_TOKEN": webhook_receiver.SECRET,
            "ROOMTONE_WEBHOOK_CALLS_PER_SECOND": "40",
            "ROOMTONE_REQUEST_TRACKER_URL": f"{url}/request_tracker",
            "ROOMTONE_REQUEST_TRACKER_TOKEN": "sandbox-request-tracker",
            "ROOMTONE_SFTP_URL": self.sftp.url,
            "ROOMTONE_SFTP_TOKEN": PASSWORD,
            "ROOMTONE_SFTP_HOST_KEY": self.sftp.pinned,
            "ROOMTONE_SFTP_FORMAT": "csv",
        }

    def rows(self, kind: str, subject: str, content: Iterator[tuple[str, bytes]]) -> list[dict[str, Any]]:
        """The rows about a subject in files given as (ending, content), oldest first."""
        read = [row for ending, text in content for row in FORMATS[ending].read(kind, text).values()]
        return [
            row | row.get("payload", {}) if isinstance(row.get("payload"), dict) else row
            for row in read
            if row["subject_id"] == subject
        ]


@dataclass(frozen=True)
class Case:
    """What is expected of one destination.

    `profile` and `ticket` read what it holds of a person or ticket under a payload's names, `events` counts a trigger.
    `absent` is what a null becomes. `skips_unknown`: it can tell that it does not have somebody. `vendor_limits`: the
    calls a second and a minute that its server enforces, for every call that the client may make.
    """

    kinds: tuple[str, ...]
    nulls: Nulls
    events: Idempotency | None = None
    profile: Callable[[Place, str], dict[str, Any] | None] | None = None
    ticket: Callable[[Place, str], dict[str, Any]] | None = None
    count_events: Callable[[Place, str, str], int] | None = None
    can_read_back: bool = True
    skips_unknown: bool = True
    writes_of: str = ""
    vendor_limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    source: str = ""


def klaviyo_profile(place: Place, customer_id: str) -> dict[str, Any] | None:
    params = {"filter": f'equals(external_id,"{customer_id.removeprefix("shop-")}")'}
    found = httpx.get(f"{place.brand.url}/klaviyo/api/profiles", params=params, headers=KLAVIYO).json()["data"]
    return found[0]["attributes"]["properties"] if found else None


def braze_user(place: Place, customer_id: str) -> dict[str, Any] | None:
    body = {"external_ids": [customer_id.removeprefix("shop-")]}
    users = httpx.post(f"{place.brand.url}/braze/users/export/ids", json=body, headers=BRAZE).json()["users"]
    return users[0] if users else None


def braze_profile(place: Place, customer_id: str) -> dict[str, Any] | None:
    user = braze_user(place, customer_id)
    return None if user is None else user.get("custom_attributes", {})


def customerio_profile(place: Place, customer_id: str) -> dict[str, Any] | None:
    headers = {"Authorization": f"Bearer {customerio_api.APP_KEY}"}
    body = {"ids": [customer_id.removeprefix("shop-")]}
    answer = httpx.post(f"{place.brand.url}/customerio/v1/customers/attributes", json=body, headers=headers).json()
    if not answer["customers"]:
        return None
    # What is kept as text, in the words of a payload.
    held = answer["customers"][0]["customer"]["attributes"]
    words: dict[str, Any] = {"true": True, "false": False}
    return {name: words.get(text, int(text) if text.isdecimal() else text) for name, text in held.items()}


def zendesk_ticket(place: Place, number: str) -> dict[str, Any]:
    ticket = httpx.get(f"{place.brand.url}/zendesk/api/v2/tickets/{number}", headers=ZENDESK).json()["ticket"]
    names = {1: "support", 2: "escalations", 3: "vip"}
    ours = [tag for tag in ticket["tags"] if tag.startswith("roomtone_")]
    return {"priority": ticket["priority"], "queue": names.get(ticket["group_id"]), "tags": ours}


def rt_ticket(place: Place, number: str) -> dict[str, Any]:
    ticket = httpx.get(f"{place.brand.url}/request_tracker/REST/2.0/ticket/{number}", headers=RT).json()
    names = {"100": "urgent", "75": "high", "50": "normal", "0": "low"}
    queue = request_tracker_api.QUEUES[ticket["Queue"]["id"]].lower()
    tags = ticket["CustomFields"][0]["values"]
    return {"priority": names[ticket["Priority"]], "queue": queue, "tags": tags}


def logged_events(api: str | None) -> Callable[[Place, str, str], int]:
    def count(place: Place, trigger_id: str, customer_id: str) -> int:
        entries = place.brand.log("event_received")
        mine = [e for e in entries if e["unique_id"] == trigger_id and e.get("api") == api and not e["is_duplicate"]]
        return len(mine)

    return count


def delivered(place: Place, kind: str, subject: str) -> list[dict[str, Any]]:
    entries = [e for e in place.brand.log("delivery_received") if not e["is_duplicate"]]
    bodies = [e["body"] for e in entries if e["body"]["type"] == f"roomtone.{kind}"]
    return [body["data"] for body in bodies if body["data"]["subject_id"] == subject]


def webhook_case() -> dict[str, Any]:
    return {
        "profile": lambda place, customer_id: (delivered(place, PROFILE_PROPERTIES, customer_id) or [None])[-1],
        "ticket": lambda place, number: delivered(place, TICKET_ROUTING, f"webhook-{number}")[-1],
        "count_events": lambda place, trigger_id, _: len(delivered(place, RECOVERY_EVENT, trigger_id)),
    }


def files_of(place: Place, kind: str, ending: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    return ((ending, path.read_bytes()) for path in sorted((folder / kind).glob(f"*.{ending}")))


def file_case(ending: str, folder: Callable[[Place], Path]) -> dict[str, Any]:
    def last(place: Place, kind: str, subject: str) -> list[dict[str, Any]]:
        return place.rows(kind, subject, files_of(place, kind, ending, folder(place)))

    def ticket(place: Place, number: str) -> dict[str, Any]:
        row = last(place, TICKET_ROUTING, f"files-{number}")[-1]
        tags = row["tags"] if isinstance(row["tags"], list) else row["tags"].split(",")
        return row | {"tags": tags}

    return {
        "profile": lambda place, customer_id: (last(place, PROFILE_PROPERTIES, customer_id) or [None])[-1],
        "ticket": ticket,
        "count_events": lambda place, trigger_id, _: len(last(place, RECOVERY_EVENT, trigger_id)),
        "skips_unknown": False,
        "source": "files",
    }


def per_second(calls: float, seconds: float = 1) -> tuple[float, float]:
    return calls / seconds, calls / seconds * 60


def sent(place: Place) -> Path:
    return place.home / "sent"


CASES: dict[str, Case] = {
    "files": Case(KINDS, Nulls.STORED, Idempotency.DEDUPLICATED, **file_case("jsonl", sent)),
    "csv": Case(KINDS, Nulls.STORED, Idempotency.DEDUPLICATED, **file_case("csv", sent)),
    "parquet": Case(KINDS, Nulls.STORED, Idempotency.DEDUPLICATED, **file_case("parquet", sent)),
    "sftp": Case(
        KINDS, Nulls.STORED, Idempotency.DEDUPLICATED, **file_case("csv", lambda place: place.sftp.folder / "in")
    ),
    "klaviyo": Case(
        (PROFILE_PROPERTIES, RECOVERY_EVENT),
        Nulls.CLEAR,
        Idempotency.DEDUPLICATED,
        profile=klaviyo_profile,
        count_events=logged_events(None),
        vendor_limits={key.split("{")[0]: limit for key, limit in marketing_api.RATE_LIMITS.items()},
    ),
    "braze": Case(
        (PROFILE_PROPERTIES, RECOVERY_EVENT),
        Nulls.CLEAR,
        Idempotency.NONE,
        profile=braze_profile,
        count_events=logged_events("braze"),
        writes_of="/users/track",
        vendor_limits={
            "POST /users/track": per_second(braze_api.TRACK_CALLS, braze_api.TRACK_SECONDS),
            "POST /users/export/ids": (math.inf, braze_api.EXPORT_CALLS),
        },
    ),
    "customerio": Case(
        (PROFILE_PROPERTIES, RECOVERY_EVENT),
        Nulls.CLEAR,
        Idempotency.DEDUPLICATED,
        profile=customerio_profile,
        count_events=logged_events("customerio"),
        can_read_back=False,
        writes_of="/api/v2/batch",
        vendor_limits={
            "POST /api/v2/batch": per_second(customerio_api.TRACK_CALLS),
            "GET /api/v1/accounts/region": per_second(customerio_api.TRACK_CALLS),
            "POST /v1/customers/attributes": per_second(customerio_api.APP_CALLS),
        },
    ),
    "webhook": Case(
        KINDS,
        Nulls.STORED,
        Idempotency.DEDUPLICATED,
        **webhook_case(),
        can_read_back=False,
        skips_unknown=False,
        source="webhook",
    ),
    "zendesk": Case((TICKET_ROUTING,), Nulls.KEEP, ticket=zendesk_ticket, source="zendesk"),
    "request_tracker": Case((TICKET_ROUTING,), Nulls.KEEP, ticket=rt_ticket, source="request_tracker"),
}
of_people = [name for name, case in CASES.items() if case.profile]
of_tickets = [name for name, case in CASES.items() if case.ticket]
of_events = [name for name, case in CASES.items() if case.count_events]


@pytest.fixture(scope="module")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    with sftp_server(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture
def place(brand: Sandbox, sftp: SftpServer, tmp_path: Path) -> Place:
    return Place(brand, sftp, tmp_path / "home")


@pytest.fixture
def settings(place: Place) -> Settings:
    return load_settings(place.environ())


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(run, "_READ_BACK_WAITS_SECONDS", (0.0, 0.3, 0.5))


@pytest.fixture
def numbers(all_tickets: Iterator[dict[str, Any]]) -> Iterator[str]:
    return (str(ticket["id"]) for ticket in all_tickets)


def bring(mart: Mart, brand: Sandbox, name: str) -> Any:
    return sync(mart.settings, mart.commit(brand.now()), name)


def test_every_destination_is_in_the_table() -> None:
    assert set(CASES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_declares_what_is_expected_of_it(name: str) -> None:
    declared, case = destination_class(name), CASES[name]
    assert (declared.name, declared.kinds) == (name, case.kinds)
    assert set(declared.batch_sizes) == set(case.kinds)
    assert declared.can_create_profiles is False


@pytest.mark.parametrize("name", of_people)
def test_a_pause_arrives_with_its_end_and_only_once(
    *, name: str, brand: Sandbox, mart: Mart, person: Person, place: Place, witness: Witness
) -> None:
    until = brand.now() + timedelta(days=14)
    mart.pause(person, until, scopes=("sales", "sms"))
    report = bring(mart, brand, name)
    assert (report.total.planned, report.total.done, report.total.in_doubt) == (1, 1, 0)
    held = CASES[name].profile(place, person.customer_id)
    assert held is not None
    assert (held["roomtone_pause_sales"], held["roomtone_pause_discount"], held["roomtone_tier"]) == (True, False, 2)
    end = held["roomtone_pause_until"]
    assert end in (until.strftime("%Y-%m-%dT%H:%M:%SZ"), int(until.timestamp()))
    assert "roomtone_synced_at" in held
    again = bring(mart, brand, name)
    assert (again.total.planned, again.total.unchanged) == (0, 1)


@pytest.mark.parametrize("name", of_people)
def test_the_end_of_a_pause_does_to_the_date_what_is_declared(
    *, name: str, brand: Sandbox, mart: Mart, person: Person, place: Place, witness: Witness
) -> None:
    mart.pause(person, brand.now() + timedelta(days=14))
    bring(mart, brand, name)
    mart.calm(person)
    assert bring(mart, brand, name).total.done == 1
    held = CASES[name].profile(place, person.customer_id)
    assert held is not None
    assert held["roomtone_pause_sales"] is False
    is_there = "roomtone_pause_until" in held
    assert is_there is (CASES[name].nulls is Nulls.STORED)
    assert held.get("roomtone_pause_until") is None


@pytest.mark.parametrize("name", of_people)
def test_a_row_that_vanishes_ends_the_pause(
    *, name: str, brand: Sandbox, mart: Mart, person: Person, place: Place, witness: Witness
) -> None:
    mart.pause(person, brand.now() + timedelta(days=14))
    bring(mart, brand, name)
    mart.profiles.clear()
    assert bring(mart, brand, name).total.done == 1
    held = CASES[name].profile(place, person.customer_id)
    assert held is not None
    assert held["roomtone_pause_sales"] is False


@pytest.mark.parametrize("name", of_people)
def test_a_stranger_is_never_made(
    *, name: str, brand: Sandbox, mart: Mart, stranger: Person, place: Place, witness: Witness
) -> None:
    mart.pause(stranger, brand.now() + timedelta(days=14))
    mart.owe(stranger, f"trigger-stranger-{name}", brand.now())
    report = bring(mart, brand, name)
    if CASES[name].skips_unknown:
        assert (report.total.planned, report.total.skipped) == (0, 2)
        assert "skipped 1 profile_properties: not on the platform" in report.notes
        assert CASES[name].profile(place, stranger.customer_id) is None
    assert witness.entries("violation") == []


@pytest.mark.parametrize("name", of_events)
def test_an_event_arrives_once_whatever_is_repeated(
    *, name: str, brand: Sandbox, mart: Mart, person: Person, place: Place, witness: Witness
) -> None:
    """Sent, read back, planned again, and handed to the destination once more as after a crash."""
    case, trigger_id = CASES[name], f"trigger-once-{name}"
    mart.owe(person, trigger_id, brand.now())
    current = mart.commit(brand.now())
    report = sync(mart.settings, current, name)
    assert (report.total.planned, report.total.done) == (1, 1)
    assert bring(mart, brand, name).total.planned == 0
    store = OperationalStore(mart.settings)
    target = open_destination(mart.settings, store, name, 1)
    try:
        row = next(r for r in _desired(mart, RECOVERY_EVENT) if r.subject_id == trigger_id)
        vendor_id = target.vendor_ids([row], brand.now())[trigger_id]
        intent = Intent(
            intent_id=f"{name}:{trigger_id}",
            destination=name,
            kind=RECOVERY_EVENT,
            subject_id=trigger_id,
            vendor_id=vendor_id,
            fingerprint=row.fingerprint,
            payload=row.payload,
            pass_sequence=current.sequence,
            as_of=current.as_of,
            attempts=2,
            sent_at=brand.now(),
        )
        [outcome] = target.send(RECOVERY_EVENT, [intent], brand.now())
    finally:
        target.close()
        store.close()
    assert outcome.answer is Answer.ACCEPTED
    assert case.count_events(place, trigger_id, person.customer_id) == 1


def _desired(mart: Mart, kind: str) -> list[Any]:
    from roomtone.stores import warehouse
    from roomtone.sync.desired import read_desired

    with warehouse.connect(mart.settings) as connection:
        return read_desired(connection, [kind])[kind]


@pytest.mark.parametrize("name", of_tickets)
def test_a_ticket_is_routed_and_a_null_does_what_is_declared(
    *, name: str, brand: Sandbox, mart: Mart, numbers: Iterator[str], place: Place, witness: Witness
) -> None:
    case, number = CASES[name], next(numbers)
    mart.route(int(number), "urgent", "escalations", 2, source=case.source)
    assert bring(mart, brand, name).total.done == 1
    held = case.ticket(place, number)
    assert (held["priority"], held["queue"], held["tags"]) == ("urgent", "escalations", ["roomtone_tier_2"])
    mart.tickets[f"{case.source}-{number}"]["priority"] = None
    mart.tickets[f"{case.source}-{number}"]["tags"] = "roomtone_tier_0"
    assert bring(mart, brand, name).total.done == 1
    held = case.ticket(place, number)
    assert held["priority"] == (None if case.nulls is Nulls.STORED else "urgent")
    assert held["tags"] == ["roomtone_tier_0"]
