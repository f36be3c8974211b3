"""Consent that was taken back at the platform after the pass: the offer keeps still, and nothing else does."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from conftest import Sandbox
from roomtone.settings import Settings, load_settings
from roomtone.stores.operational import OperationalStore
from roomtone.sync import sync
from roomtone.sync.destinations import destination_class, open_destination

from .conftest import Mart, Person, Witness
from .place import Place


@pytest.fixture
def settings(place: Place) -> Settings:
    return load_settings(place.environ())


def withdraw(brand: Sandbox, person: Person, channel: str = "email") -> None:
    """The person unsubscribes by themselves, in the platform's own pages."""
    brand.client.post("/hand-edit", json={"profile_id": person.profile_id, "withdraw": channel}).raise_for_status()


def events(witness: Witness) -> set[str]:
    return {entry["unique_id"] for entry in witness.entries("event_received")}


@pytest.mark.parametrize("name", ["klaviyo", "braze"])
def test_an_offer_does_not_go_out_on_consent_that_was_withdrawn(
    *, name: str, brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    now = brand.now()
    withdrawn, other = people(2)
    mart.owe(withdrawn, f"offer-withdrawn-{name}", now, kind="discount_code", hours=24)
    mart.owe(withdrawn, f"apology-{name}", now)
    mart.owe(other, f"offer-{name}", now, kind="discount_code", hours=24)
    current = mart.commit(now)
    withdraw(brand, withdrawn)
    report = sync(mart.settings, current, name)
    brand.advance(1)
    assert events(witness) == {f"apology-{name}", f"offer-{name}"}
    assert "held 1 recovery_event: no consent to it at the platform" in report.notes
    # It is neither forgotten nor sent by a later sync; it ends with its own time.
    assert sync(mart.settings, mart.commit(brand.now()), name).total.skipped == 1
    late = brand.advance(timedelta(hours=24).total_seconds())
    assert sync(mart.settings, mart.commit(late), name).total.planned == 0
    assert f"offer-withdrawn-{name}" not in events(witness)


@pytest.mark.parametrize("name", ["klaviyo", "braze"])
def test_only_offers_are_asked_about(
    *, name: str, brand: Sandbox, mart: Mart, person: Person, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause of tier 3 and an apology wait for no answer about consent."""
    asked: list[list[str]] = []
    declared = destination_class(name)
    honest = declared.consenting

    def noted(self: Any, channel: str, vendor_ids: list[str]) -> set[str] | None:
        asked.append(vendor_ids)
        return honest(self, channel, vendor_ids)

    monkeypatch.setattr(declared, "consenting", noted)
    now = brand.now()
    mart.pause(person, now + timedelta(days=14), tier=3)
    mart.owe(person, f"apology-alone-{name}", now)
    sync(mart.settings, mart.commit(now), name)
    assert asked == []
    mart.owe(person, f"offer-alone-{name}", now, kind="free_shipping", hours=24)
    sync(mart.settings, mart.commit(now), name)
    assert [len(vendor_ids) for vendor_ids in asked] == [1]


@pytest.mark.parametrize(("name", "by_text"), [("klaviyo", True), ("braze", False), ("customerio", False)])
def test_consent_is_told_by_channel_or_not_at_all(
    *, name: str, by_text: bool, brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]]
) -> None:
    withdrawn, other = people(2)
    withdraw(brand, withdrawn)
    withdraw(brand, other, "sms")
    ids = [
        str(person.profile_id) if name == "klaviyo" else person.customer_id.removeprefix("shop-")
        for person in (withdrawn, other)
    ]
    store = OperationalStore(mart.settings)
    target = open_destination(mart.settings, store, name, 1)
    by_email, by_sms = target.consenting("email", ids), target.consenting("sms", ids)
    target.close()
    store.close()
    assert by_email == (None if name == "customerio" else {ids[1]})
    assert (by_sms is not None) is by_text
    assert by_sms is None or ids[1] not in by_sms
