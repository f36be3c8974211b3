"""What is Braze's own: only deltas cost data points, places name errors, and an event is never sent twice blindly."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import Sandbox
from roomtone.errors import RoomtoneError
from roomtone.settings import Connection, Settings, load_settings
from roomtone.stores.operational import OperationalStore
from roomtone.sync import delivery, sync
from roomtone.sync.desired import PROFILE_PROPERTIES, RECOVERY_EVENT, DesiredRow
from roomtone.sync.destinations.base import Answer
from roomtone.sync.destinations.braze import ENDPOINTS, VISIBILITY_LAG, Braze
from roomtone.sync.plan import Intent
from roomtone.sync.transport import Timing, Transport, VendorUnansweredError

from .conftest import Mart, Person, Witness
from .place import Place

KEY = {"Authorization": "Bearer sandbox-braze"}


@pytest.fixture
def settings(place: Place) -> Settings:
    return load_settings(place.environ())


def test_only_what_differs_is_passed(brand: Sandbox, mart: Mart, person: Person, witness: Witness) -> None:
    """The vendor counts every attribute that is passed, changed or not."""
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    sync(mart.settings, mart.commit(now), "braze")
    mart.pause(person, now + timedelta(days=14), tier=3)
    sync(mart.settings, mart.commit(now), "braze")
    first, second = (set(entry["changed"]) for entry in witness.entries("profile_updated"))
    assert first >= {"roomtone_pause_sales", "roomtone_tier", "roomtone_pause_until"}
    assert second <= {"roomtone_tier", "roomtone_synced_at"}


def owed(brand: Sandbox, person: Person, trigger_id: str, **facts: Any) -> Intent:
    due = brand.now() - timedelta(minutes=1)
    payload = {"trigger_id": trigger_id, "kind": "apology", "due_at": due.isoformat(), "tier": 2}
    return Intent(
        intent_id=f"braze:{trigger_id}",
        destination="braze",
        kind=RECOVERY_EVENT,
        subject_id=trigger_id,
        vendor_id=person.customer_id.removeprefix("shop-"),
        fingerprint=trigger_id,
        payload=payload,
        pass_sequence=1,
        as_of=brand.now(),
        **facts,
    )


@pytest.fixture
def braze(settings: Settings) -> Any:
    store = OperationalStore(settings)
    target = Braze(settings.connection("braze"), store)
    yield target
    target.close()
    store.close()


def test_an_event_in_doubt_waits_until_it_can_have_arrived(
    *, brand: Sandbox, mart: Mart, person: Person, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor takes what it was given twice for two."""

    def lost(*_: object) -> None:
        raise VendorUnansweredError("braze POST /users/track", "timed out", "the next sync looks it up")

    monkeypatch.setattr(delivery, "_READ_BACK_WAITS_SECONDS", (0.0,))
    mart.owe(person, "trigger-tried", brand.now())
    with monkeypatch.context() as broken:
        broken.setattr(Braze, "_track", lost)
        assert sync(mart.settings, mart.commit(brand.now()), "braze").total.in_doubt == 1
    too_early = brand.advance((2 * VISIBILITY_LAG).total_seconds() - 30)
    assert sync(mart.settings, mart.commit(too_early), "braze").total.in_doubt == 1
    assert witness.entries("event_received") == []
    # The brand's clock goes on by itself: a slow machine sees the event in the sync that sends it already.
    syncs = [sync(mart.settings, mart.commit(brand.advance(seconds)), "braze") for seconds in (60, 1)]
    assert sum(report.total.done for report in syncs) == 1
    assert [entry["unique_id"] for entry in witness.entries("event_received")] == ["trigger-tried"]


def test_an_event_that_is_there_is_not_sent_again(
    brand: Sandbox, braze: Braze, person: Person, witness: Witness
) -> None:
    intent = owed(brand, person, "trigger-there")
    [outcome] = braze.send(RECOVERY_EVENT, [intent], brand.now())
    assert outcome.answer is Answer.ACCEPTED
    brand.advance(1)
    assert braze.look_up(RECOVERY_EVENT, [intent]) == {intent.intent_id}
    [outcome] = braze.send(RECOVERY_EVENT, [intent], brand.now())
    assert (outcome.answer, outcome.words) == (Answer.ACCEPTED, "was there already")
    assert [entry["unique_id"] for entry in witness.entries("event_received")] == ["trigger-there"]


def test_two_triggers_of_one_kind_are_told_apart(
    brand: Sandbox, braze: Braze, person: Person, witness: Witness
) -> None:
    first, second = owed(brand, person, "trigger-a"), owed(brand, person, "trigger-b")
    braze.send(RECOVERY_EVENT, [first], brand.now())
    brand.advance(1)
    assert braze.look_up(RECOVERY_EVENT, [first, second]) == {first.intent_id}


def test_a_place_in_a_list_of_errors_is_the_row_s(
    brand: Sandbox, braze: Braze, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    intents = [owed(brand, person, f"trigger-place-{n}") for n, person in enumerate(people(3))]
    intents[1] = replace(intents[1], payload={**intents[1].payload, "note": "x" * 60_000})
    outcomes = {o.intent_id: o for o in braze.send(RECOVERY_EVENT, intents, brand.now())}
    answers = [outcomes[intent.intent_id].answer for intent in intents]
    assert answers == [Answer.ACCEPTED, Answer.REJECTED, Answer.ACCEPTED]
    assert outcomes[intents[1].intent_id].words == "'properties' is larger than 50 KB"


def test_an_attribute_whose_type_somebody_changed_is_told(
    start_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    brand = start_sandbox(customers=20)
    url, user = f"{brand.url}/braze", {"external_id": "1001", "_update_existing_only": True, "roomtone_tier": "two"}
    httpx.post(f"{url}/users/track", json={"attributes": [user]}, headers=KEY, timeout=60).raise_for_status()
    mart = Mart(
        load_settings(
            {
                "ROOMTONE_HOME": str(tmp_path / "home"),
                "ROOMTONE_CLOCK_URL": f"{brand.url}/clock",
                "ROOMTONE_BRAZE_URL": url,
                "ROOMTONE_BRAZE_TOKEN": "sandbox-braze",
            }
        )
    )
    mart.pause(Person("1002", "x@example.com", None), brand.now() + timedelta(days=14))
    report = sync(mart.settings, mart.commit(brand.now()), "braze")
    assert report.notes == ("rejected 1 profile_properties: 'roomtone_tier' is a str, not a int",)


def test_a_key_that_may_only_read_says_what_it_lacks(
    brand: Sandbox, place: Place, person: Person, witness: Witness
) -> None:
    settings = load_settings(place.environ() | {"ROOMTONE_BRAZE_TOKEN": "sandbox-braze-reader"})
    mart = Mart(settings)
    mart.pause(person, brand.now() + timedelta(days=14))
    with pytest.raises(RoomtoneError) as raised:
        sync(settings, mart.commit(brand.now()), "braze")
    assert str(raised.value) == (
        "braze POST /users/track: answered 401 (Error authenticating credentials: the key lacks users.track); "
        "check ROOMTONE_BRAZE_TOKEN and its scopes"
    )
    assert witness.entries("profile_updated") == []


def test_a_customer_of_another_source_is_not_asked_for(settings: Settings, witness: Witness) -> None:
    store = OperationalStore(settings)
    target = Braze(settings.connection("braze"), store)
    rows = [DesiredRow(PROFILE_PROPERTIES, "files-1", {}, "files-1", "x@example.com")]
    assert target.vendor_ids(rows, datetime.now(UTC)) == {}
    target.close()
    store.close()
    assert witness.entries("request") == []


def test_the_reset_of_the_window_is_waited_for() -> None:
    """Braze gives no Retry-After: the second at which its window ends, by the clock of its Date header."""
    answers = [
        httpx.Response(429, headers={"x-ratelimit-reset": "1772442010", "date": "Mon, 02 Mar 2026 09:00:00 GMT"}),
        httpx.Response(201, json={"message": "success", "users": []}),
    ]
    slept: list[float] = []
    client = Transport(
        Connection("braze", "https://rest.example.com", "a-long-key"), {}, ENDPOINTS, Timing(slept.append)
    )
    client._client = httpx.Client(transport=httpx.MockTransport(lambda request: answers.pop(0)))
    client.call("POST", "/users/export/ids", body={"external_ids": ["1"]})
    assert slept == [10.0]
