"""What is Customer.io's own: errors by place, ids of events, dates as numbers, and what can be done without reading."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from conftest import Sandbox
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.sync import sync
from roomtone.sync.destinations.customerio import ITEM_BYTES, event_ulid

from .conformance_table import customerio_profile
from .conftest import Mart, Person, Witness
from .place import Place


@pytest.fixture
def settings(place: Place) -> Settings:
    return load_settings(place.environ())


@pytest.fixture
def without_reading(place: Place) -> Settings:
    environ = place.environ()
    del environ["ROOMTONE_CUSTOMERIO_APP_KEY"]
    return load_settings(environ)


def test_without_reading_attributes_go_out_and_nobody_is_made(
    *, brand: Sandbox, without_reading: Settings, person: Person, stranger: Person, place: Place, witness: Witness
) -> None:
    mart = Mart(without_reading)
    for somebody in (person, stranger):
        mart.pause(somebody, brand.now() + timedelta(days=14))
    mart.owe(person, "trigger-unread", brand.now())
    report = sync(without_reading, mart.commit(brand.now()), "customerio")
    # "If no person matches the identifiers, the request does nothing", and it does not say so.
    assert (report.kinds["profile_properties"].done, report.kinds["recovery_event"].skipped) == (2, 1)
    assert customerio_profile(place, person.customer_id)["roomtone_pause_sales"] is True
    assert customerio_profile(place, stranger.customer_id) is None
    assert witness.entries("event_received") == []


def test_dates_are_seconds_that_conditions_can_compare(
    *, brand: Sandbox, mart: Mart, person: Person, place: Place, witness: Witness
) -> None:
    until = brand.now() + timedelta(days=14)
    mart.pause(person, until)
    sync(mart.settings, mart.commit(brand.now()), "customerio")
    assert customerio_profile(place, person.customer_id)["roomtone_pause_until"] == int(until.timestamp())


def test_an_item_that_is_too_long_does_not_leave(
    *, brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    mart.pause(person, brand.now() + timedelta(days=14))
    mart.profiles[person.customer_id]["roomtone_reason"] = "x" * ITEM_BYTES
    report = sync(mart.settings, mart.commit(brand.now()), "customerio")
    assert "where Customer.io takes 32000 of one request" in report.notes[0]
    assert [entry["path"] for entry in witness.writes()] == ["/v1/customers/attributes"] * 2


def test_a_batch_of_long_rows_is_cut_below_the_limit(
    *, brand: Sandbox, mart: Mart, people: object, witness: Witness
) -> None:
    for person in people(40):
        mart.pause(person, brand.now() + timedelta(days=14))
        mart.profiles[person.customer_id]["roomtone_reason"] = "x" * 20_000
    report = sync(mart.settings, mart.commit(brand.now()), "customerio")
    assert (report.total.done, report.total.rejected) == (40, 0)
    assert [e["status"] for e in witness.writes() if e["path"] == "/api/v2/batch"] == [200, 200, 200]


def test_the_id_of_an_event_is_a_ulid_of_its_trigger() -> None:
    due = datetime(2026, 3, 2, 9, tzinfo=UTC)
    first = event_ulid("trigger-1", due)
    assert first == event_ulid("trigger-1", due) != event_ulid("trigger-2", due)
    assert len(first) == 26
    # Its time stands first, so that ids sort by it.
    assert first < event_ulid("trigger-1", due + timedelta(milliseconds=1))
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    milliseconds = sum(digits.index(letter) * 32 ** (9 - place) for place, letter in enumerate(first[:10]))
    assert milliseconds == int(due.timestamp() * 1000)


def test_a_missing_site_id_names_the_variable(place: Place, mart: Mart, brand: Sandbox) -> None:
    environ = place.environ()
    del environ["ROOMTONE_CUSTOMERIO_SITE_ID"]
    settings = load_settings(environ)
    with pytest.raises(RoomtoneError, match="ROOMTONE_CUSTOMERIO_SITE_ID: is not set; copy the Site ID"):
        sync(settings, mart.commit(brand.now()), "customerio")


def test_a_repeated_id_is_dropped_by_the_server(brand: Sandbox, person: Person, witness: Witness) -> None:
    """The witness of the deduplication above: the server really goes by the id."""
    item = {
        "type": "person",
        "identifiers": {"id": person.customer_id.removeprefix("shop-")},
        "action": "event",
        "id": event_ulid("trigger-twice", brand.now()),
        "name": "Roomtone Apology Due",
        "attributes": {"trigger_id": "trigger-twice"},
    }
    for _ in range(2):
        httpx.post(
            f"{brand.url}/customerio/api/v2/batch",
            json={"batch": [item]},
            auth=("sandbox-site", "sandbox-customerio"),
            timeout=60,
        ).raise_for_status()
    assert [entry["is_duplicate"] for entry in witness.entries("event_received")] == [False, True]
