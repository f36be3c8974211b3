"""The vendor has a bad day: busy, broken before and after the effect, cut off, or somebody else."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from conftest import Sandbox
from roomtone.clock import parse_instant
from roomtone.errors import RoomtoneError
from roomtone.settings import Connection, Settings, load_settings
from roomtone.stores.operational import OperationalStore
from roomtone.sync import delivery, gate, sync, transport

from .conftest import Mart, Person, Witness
from .faulty_proxy import Fault, FaultyVendor, faulty_vendor


@pytest.fixture
def vendor(brand: Sandbox) -> Iterator[FaultyVendor]:
    with faulty_vendor(brand.url) as vendor:
        yield vendor


@pytest.fixture
def settings(brand: Sandbox, vendor: FaultyVendor, tmp_path: Path) -> Settings:
    environ = brand.environ(tmp_path / "home") | {
        "ROOMTONE_KLAVIYO_URL": f"{vendor.url}/klaviyo",
        "ROOMTONE_ZENDESK_URL": f"{vendor.url}/zendesk",
    }
    return load_settings(environ)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "_READ_BACK_WAITS_SECONDS", (0.0, 0.05))


def recorded(witness: Witness) -> Counter[str]:
    return Counter(e["unique_id"] for e in witness.entries("event_received") if not e["is_duplicate"])


@pytest.mark.parametrize("kind", ["429", "500_before", "500_after", "503_before", "cut_after"])
def test_a_pause_and_an_event_arrive_once_through(
    *, kind: str, brand: Sandbox, mart: Mart, person: Person, vendor: FaultyVendor, witness: Witness
) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    mart.owe(person, f"trigger-{kind}", now)
    vendor.faults = [
        Fault("PATCH", "/profiles/", kind, times=2),
        Fault("POST", "/events", kind, times=2),
        Fault("GET", "/api/profiles?", kind),
        Fault("GET", "/events", kind),
    ]
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert (report.total.done, report.total.in_doubt) == (2, 0)
    assert all(fault.times == 0 for fault in vendor.faults)
    assert recorded(witness) == Counter([f"trigger-{kind}"])
    assert vendor.count("POST", "/events") == 3


def test_retry_after_is_obeyed(
    *,
    brand: Sandbox,
    mart: Mart,
    person: Person,
    vendor: FaultyVendor,
    witness: Witness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(transport.Transport, "sleep", lambda self, seconds: slept.append(seconds))
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    vendor.faults = [Fault("PATCH", "/profiles/", "429", retry_after="7")]
    sync(mart.settings, mart.commit(now), "klaviyo")
    assert slept == [7.0]


def test_many_events_leave_together_right_after_their_profiles_were_looked_for(
    brand: Sandbox, mart: Mart, person: Person, vendor: FaultyVendor, witness: Witness
) -> None:
    now = brand.now()
    triggers = [f"trigger-together-{number}" for number in range(45)]
    for trigger in triggers:
        mart.owe(person, trigger, now)
    vendor.faults = [Fault("POST", "/events", "429", retry_after="7")]
    counts = sync(mart.settings, mart.commit(now), "klaviyo").total
    # The last of them may not be visible yet.
    assert counts.done + counts.in_doubt == 45
    assert recorded(witness) == Counter(triggers)
    first, last = (edge(n for n, (method, _, _) in enumerate(vendor.seen) if method == "POST") for edge in (min, max))
    sent = [method for method, _, _ in vendor.seen[first - 1 : last + 1]]
    together = [len(list(calls)) for method, calls in groupby(sent) if method == "POST"]
    assert sent[0] == "GET"
    assert sent.count("GET") == len(together), "a look for the profiles before each turn, and nothing else between"
    assert together == [25, 20, 1]
    # Nothing more leaves in the seven seconds after the answer; the rest of that turn was under way already.
    at = [parse_instant(entry["at"]) for entry in witness.entries("event_received")]
    assert max(later - earlier for earlier, later in pairwise(at)) > timedelta(seconds=5)


def test_what_stays_in_doubt_is_looked_up_and_not_sent_again(
    brand: Sandbox, mart: Mart, person: Person, vendor: FaultyVendor, witness: Witness
) -> None:
    now = brand.now()
    mart.owe(person, "trigger-doubt", now)
    # Every answer is lost, yet the first request had its effect; reading back fails as well.
    vendor.faults = [
        Fault("POST", "/events", "500_after", times=transport.TRIES),
        Fault("GET", "/events", "500_before", times=99),
    ]
    with pytest.raises(RoomtoneError):
        sync(mart.settings, mart.commit(now), "klaviyo")
    assert recorded(witness) == Counter(["trigger-doubt"])
    vendor.faults = []
    vendor.seen = []
    report = sync(mart.settings, mart.commit(brand.now()), "klaviyo")
    assert report.total.done == 1
    assert vendor.count("POST", "/events") == 0
    assert recorded(witness) == Counter(["trigger-doubt"])


def test_an_event_that_never_arrived_is_sent_again_under_its_id(
    brand: Sandbox, mart: Mart, person: Person, vendor: FaultyVendor, witness: Witness
) -> None:
    now = brand.now()
    mart.owe(person, "trigger-lost", now)
    vendor.faults = [Fault("POST", "/events", "500_before", times=99)]
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert report.total.in_doubt == 1
    assert vendor.count("POST", "/events") <= transport.TRIES + 3
    vendor.faults = []
    assert recorded(witness) == Counter()
    assert sync(mart.settings, mart.commit(brand.now()), "klaviyo").total.done == 1
    assert recorded(witness) == Counter(["trigger-lost"])


def test_a_return_to_the_old_state_is_sent_while_the_new_one_is_in_doubt(
    brand: Sandbox, mart: Mart, person: Person, vendor: FaultyVendor, witness: Witness
) -> None:
    now = brand.now()
    mart.calm(person)
    sync(mart.settings, mart.commit(now), "klaviyo")
    mart.pause(person, now + timedelta(days=14))
    vendor.faults = [
        Fault("PATCH", "/profiles/", "cut_after", times=99),
        Fault("GET", "/api/profiles?", "500_before", times=99),
    ]
    with pytest.raises(RoomtoneError):
        sync(mart.settings, mart.commit(now), "klaviyo")
    vendor.faults = []
    mart.calm(person)
    sync(mart.settings, mart.commit(now), "klaviyo")
    states = [
        e["changed"]["roomtone_pause_sales"][1]
        for e in witness.entries("profile_updated")
        if "roomtone_pause_sales" in e["changed"]
    ]
    assert states == [False, True, False]


def test_a_refusal_is_kept_in_the_vendor_s_words_and_spoils_nothing_else(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], vendor: FaultyVendor, witness: Witness
) -> None:
    now = brand.now()
    first, second = people(2)
    mart.pause(first, now + timedelta(days=14))
    mart.pause(second, now + timedelta(days=14))
    vendor.faults = [Fault("PATCH", f"/profiles/{first.profile_id}", "400")]
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert (report.total.done, report.total.rejected) == (1, 1)
    assert report.notes == ("rejected 1 profile_properties: 400 Bad Request",)
    # Not again at once, but again after a while.
    assert sync(mart.settings, mart.commit(brand.now()), "klaviyo").total.skipped == 1
    assert sync(mart.settings, mart.commit(brand.advance(3700)), "klaviyo").total.done == 1


def test_one_bad_row_does_not_spoil_a_job(
    *, brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], vendor: FaultyVendor, witness: Witness
) -> None:
    now = brand.now()
    for person in people(12):
        mart.pause(person, now + timedelta(days=14))
    # The whole is refused, then the first half, then its first three rows, then the first row.
    vendor.faults = [Fault("POST", "bulk-import", "400", times=4)]
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert (report.total.done, report.total.rejected) == (11, 1)


@pytest.mark.parametrize(
    ("kind", "words"), [("401", "check ROOMTONE_KLAVIYO_TOKEN"), ("html", "not JSON"), ("redirect", "a redirect")]
)
def test_the_wrong_door_stops_the_sync_at_once(
    *,
    kind: str,
    words: str,
    brand: Sandbox,
    mart: Mart,
    people: Callable[[int], list[Person]],
    vendor: FaultyVendor,
    witness: Witness,
) -> None:
    now = brand.now()
    for person in people(3):
        mart.pause(person, now + timedelta(days=14))
    vendor.faults = [Fault("PATCH", "/profiles/", kind, times=99)]
    with pytest.raises(RoomtoneError, match=words) as raised:
        sync(mart.settings, mart.commit(now), "klaviyo")
    assert "\n" not in str(raised.value)
    assert vendor.count("PATCH", "/profiles/") == 1


def test_a_vendor_that_is_down_is_named(mart: Mart, brand: Sandbox, person: Person) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    nowhere = Connection("klaviyo", "http://127.0.0.1:9", "token-of-nobody")
    settings = replace(mart.settings, connections=mart.settings.connections | {"klaviyo": nowhere})
    with pytest.raises(RoomtoneError, match=r"klaviyo GET /api/accounts: .*refused.*; check the address"):
        sync(settings, mart.commit(now), "klaviyo")


def test_no_log_line_holds_a_credential_or_an_address(
    *,
    brand: Sandbox,
    mart: Mart,
    person: Person,
    vendor: FaultyVendor,
    witness: Witness,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    vendor.faults = [Fault("GET", "/api/profiles?", "429"), Fault("PATCH", "/profiles/", "400")]
    sync(mart.settings, mart.commit(now), "klaviyo")
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith(("roomtone", "httpx", "httpcore")))
    assert "GET /api/profiles: 429 on try 1" in ours
    assert "sandbox-klaviyo" not in ours
    assert person.email.split("@")[0] not in ours


def test_a_profile_that_is_gone_is_forgotten_and_not_made_again(
    brand: Sandbox, mart: Mart, person: Person, vendor: FaultyVendor, witness: Witness
) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    vendor.faults = [Fault("PATCH", "/profiles/", "404")]
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert report.notes == ("rejected 1 profile_properties: not on the platform any more",)
    assert {method for method, _, _ in vendor.seen} == {"GET", "PATCH"}
    vendor.seen = []
    later = brand.advance(3700)
    assert sync(mart.settings, mart.commit(later), "klaviyo").total.done == 1
    assert "email" in vendor.seen[0][1], "the profile is asked for by e-mail again"


def test_two_syncs_of_one_destination_never_work_at_once(
    brand: Sandbox, mart: Mart, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_WAIT_SECONDS", 0.2)
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    current = mart.commit(now)
    store = OperationalStore(mart.settings)
    with (
        gate.one_sync(store, "klaviyo", 30),
        pytest.raises(RoomtoneError, match=r"sync-klaviyo: .* is held by another run"),
    ):
        sync(mart.settings, current, "klaviyo")
    assert sync(mart.settings, current, "klaviyo").total.done == 1


def test_a_platform_that_shows_changes_a_minute_late_is_not_kept_from_showing_one(
    brand: Sandbox, mart: Mart, person: Person, vendor: FaultyVendor
) -> None:
    """Each change of a record hides it anew there, so that one set every few seconds would never be seen."""
    brand.client.post("/faults", json={"seed": 2, "rates": {"lag_seconds": 60.0}}).raise_for_status()
    try:
        now = brand.now()
        mart.pause(person, now + timedelta(days=14))
        current = mart.commit(now)
        for _ in range(30):
            if sync(mart.settings, current, "klaviyo").total.in_doubt == 0:
                break
            brand.advance(5)
        else:
            pytest.fail("the pause was never seen there")
    finally:
        brand.client.post("/faults", json={"seed": 2, "rates": {}}).raise_for_status()
    assert (brand.now() - now).total_seconds() > 30, "the platform was quicker than the test is about"
    assert 2 <= vendor.count("PATCH", "/profiles/") <= 7
