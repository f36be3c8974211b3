"""Recovery triggers as events: once, in time, and only while they are owed."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from conftest import Sandbox
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores.operational import OperationalStore, vendor_identities
from roomtone.sync import sync
from roomtone.sync.destinations.klaviyo import Klaviyo, metric_name
from roomtone.sync.reconcile import reconcile

from .conftest import Mart, Person, Witness


def status_of(settings: Settings, trigger_id: str) -> str:
    store = OperationalStore(settings)
    with store.begin() as connection:
        query = "select status from intents where kind = 'recovery_event' and subject_id = ?"
        status: str = connection.exec_driver_sql(query, (trigger_id,)).scalar_one()
    store.close()
    return status


def test_an_event_is_named_by_its_kind_and_says_no_word_of_the_customer(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    now = brand.now()
    mart.owe(person, "trigger-named", now)
    sync(mart.settings, mart.commit(now), "klaviyo")
    [event] = witness.entries("event_received")
    assert event["metric"] == "Roomtone Apology Due"
    assert event["unique_id"] == "trigger-named"
    assert event["profile_id"] == person.profile_id
    sent = {k: v for k, v in event["properties"].items() if not k.startswith("$")}
    assert sent.keys() == {
        "cause_id",
        "tier",
        "trigger_id",
        "customer_id",
        "kind",
        "message_class",
        "due_at",
        "expires_at",
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [("free_shipping", "Roomtone Free Shipping Due"), ("priority_confirmation", "Roomtone Priority Confirmation Due")],
)
def test_metric_names(kind: str, name: str) -> None:
    assert metric_name(kind) == name


def test_an_expired_trigger_is_never_sent(brand: Sandbox, mart: Mart, person: Person, witness: Witness) -> None:
    now = brand.now()
    mart.owe(person, "trigger-late", now - timedelta(hours=3), hours=2)
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert (report.total.done, report.total.skipped) == (0, 1)
    assert witness.entries("event_received") == []
    assert status_of(mart.settings, "trigger-late") == "expired"
    sync(mart.settings, mart.commit(now), "klaviyo")
    assert witness.entries("event_received") == []


def test_a_trigger_that_is_cancelled_before_it_left_is_not_sent(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    """The intent was written by a sync that could not send: the platform was unknown to it."""
    now = brand.now()
    mart.owe(person, "trigger-cancelled", now, hours=24)
    stale = mart.commit(now - timedelta(hours=5))
    sync(mart.settings, stale, "klaviyo")
    assert status_of(mart.settings, "trigger-cancelled") == "pending"
    mart.events.clear()
    sync(mart.settings, mart.commit(brand.now()), "klaviyo")
    assert witness.entries("event_received") == []
    assert status_of(mart.settings, "trigger-cancelled") == "superseded"


def test_stale_data_neither_starts_an_event_nor_ends_a_pause_but_still_pauses(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    first, second = people(2)
    now = brand.now()
    mart.pause(first, now + timedelta(days=14))
    mart.calm(second)
    sync(mart.settings, mart.commit(now), "klaviyo")
    witness.forward()
    mart.calm(first)
    mart.pause(second, now + timedelta(days=14))
    mart.owe(first, "trigger-stale", now, hours=24)
    report = sync(mart.settings, mart.commit(now - timedelta(hours=5)), "klaviyo")
    assert [entry["profile_id"] for entry in witness.entries("profile_updated")] == [second.profile_id]
    assert witness.entries("event_received") == []
    assert report.notes == ("held 1 profile_properties: data is stale", "held 1 recovery_event: data is stale")
    fresh = sync(mart.settings, mart.commit(brand.now()), "klaviyo")
    assert fresh.total.done == 2
    assert [entry["unique_id"] for entry in witness.entries("event_received")] == ["trigger-stale"]


def test_a_payload_that_is_no_json_object_is_named(brand: Sandbox, mart: Mart, person: Person) -> None:
    now = brand.now()
    mart.owe(person, "trigger-broken", now)
    mart.events["trigger-broken"]["payload"] = "[1]"
    with pytest.raises(RoomtoneError, match="of trigger trigger-broken is not a JSON object"):
        sync(mart.settings, mart.commit(now), "klaviyo")


def test_an_event_to_a_record_that_was_merged_away_under_it_is_found_and_sent_to_the_customer(
    brand: Sandbox, mart: Mart, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform makes a profile of the old id, which has no address: the event has reached nobody."""
    before = brand.get("/log", after=0)["last"]

    def told(kind: str, fact: str) -> list[object]:
        return [entry[fact] for entry in brand.get("/log", after=before, kind=kind)["entries"]]

    now = brand.now()
    gone = f"01GONE{person.profile_id}"
    mart.owe(person, "trigger-merged", now, hours=24)
    current = mart.commit(now)
    store = OperationalStore(mart.settings)
    with store.begin() as connection:
        row = {"destination": "klaviyo", "customer_id": person.customer_id, "vendor_id": gone, "looked_up_at": now}
        connection.execute(vendor_identities.insert().values(row))
    store.close()
    with monkeypatch.context() as between:
        # The profile was there when it was looked for.
        between.setattr(Klaviyo, "_present", lambda self, batch: (list(batch), []))
        assert sync(mart.settings, current, "klaviyo").total.in_doubt == 1
    assert told("event_received", "profile_id") == [None]
    assert told("violation", "what") == ["profile_created"]

    found = reconcile(mart.settings, "klaviyo")
    assert found.created == 1
    assert f"record {gone} has an event and no address: delete it there" in found.notes

    for _ in range(3):
        brand.advance(130)
        sync(mart.settings, mart.commit(brand.now()), "klaviyo")
    assert told("event_received", "profile_id") == [None, person.profile_id]
    assert status_of(mart.settings, "trigger-merged") == "done"
