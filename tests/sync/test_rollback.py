"""A run taken back: exactly the values of before, held until a person lets the sync go on."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from conftest import Sandbox
from roomtone.errors import RoomtoneError
from roomtone.stores.operational import OperationalStore
from roomtone.sync import holds, sync
from roomtone.sync.rollback import rollback

from .conftest import Mart, Person, Witness
from .test_differences import properties


def test_a_rollback_restores_exactly_what_was_there_and_holds_the_sync(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    now = brand.now()
    first, second, untouched = people(3)
    mart.pause(first, now + timedelta(days=7), scopes=("sales",))
    mart.pause(untouched, now + timedelta(days=7))
    sync(mart.settings, mart.commit(now), "klaviyo")
    before = {p.customer_id: properties(brand, p) for p in (first, second, untouched)}
    mart.calm(first)
    mart.pause(second, now + timedelta(days=14))
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert properties(brand, second)["roomtone_pause_sales"] is True

    done = rollback(mart.settings, report.sync_run_id)

    assert (done.restored, done.unfinished, done.changed_since) == (2, 0, 0)
    for person in (first, untouched):
        held = properties(brand, person)
        assert held.pop("roomtone_synced_at")
        assert held == {k: v for k, v in before[person.customer_id].items() if k != "roomtone_synced_at"}
    # Nothing had ever been written to this one: all is cleared but the time of the last write.
    assert set(properties(brand, second)) <= {"roomtone_synced_at"}

    witness.forward()
    again = sync(mart.settings, mart.commit(now), "klaviyo")
    assert witness.writes() == []
    assert again.notes == ("held 2 profile_properties: rolled back",)
    store = OperationalStore(mart.settings)
    [released] = holds.release(store, "klaviyo", "somebody", now)
    store.close()
    assert released.reason == "rolled back"
    assert sync(mart.settings, mart.commit(now), "klaviyo").total.done == 2
    assert properties(brand, second)["roomtone_pause_sales"] is True


def test_what_a_later_run_changed_is_left_and_events_are_counted(brand: Sandbox, mart: Mart, person: Person) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=7))
    mart.owe(person, "trigger-rollback", now)
    first = sync(mart.settings, mart.commit(now), "klaviyo")
    mart.pause(person, now + timedelta(days=9))
    sync(mart.settings, mart.commit(now), "klaviyo")
    done = rollback(mart.settings, first.sync_run_id)
    assert (done.restored, done.changed_since, done.events) == (0, 1, 1)
    assert properties(brand, person)["roomtone_pause_until"] == (now + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    with pytest.raises(RoomtoneError, match="was rolled back at"):
        rollback(mart.settings, first.sync_run_id)


def test_an_unknown_run_is_named(mart: Mart, brand: Sandbox) -> None:
    mart.commit(brand.now())
    with pytest.raises(RoomtoneError, match="sync run: 4711 is not known"):
        rollback(mart.settings, 4711)
