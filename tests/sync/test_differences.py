"""Only differences leave, judged by the brand's own log."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from conftest import Sandbox
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore
from roomtone.sync import sync

from .conftest import KLAVIYO, Mart, Person, Witness


def properties(brand: Sandbox, person: Person) -> dict:
    answer = brand.client.get(f"/klaviyo/api/profiles/{person.profile_id}", headers=KLAVIYO).json()
    return {k: v for k, v in answer["data"]["attributes"]["properties"].items() if k.startswith("roomtone_")}


def test_a_pause_reaches_the_profile_with_its_own_end(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14), tier=2, scopes=("sales", "discount"))
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    held = properties(brand, person)
    until = (now + timedelta(days=14)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert held.pop("roomtone_synced_at") >= now.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert held == {
        "roomtone_pause_sales": True,
        "roomtone_pause_upsell": False,
        "roomtone_pause_recommendation": False,
        "roomtone_pause_sms": False,
        "roomtone_pause_discount": True,
        "roomtone_pause_celebration": False,
        "roomtone_pause_review_request": False,
        "roomtone_tier": 2,
        "roomtone_reason": "open_negative_ticket",
        "roomtone_pause_until": until,
    }
    assert (report.total.planned, report.total.done, report.total.in_doubt) == (1, 1, 0)
    assert [entry["profile_id"] for entry in witness.entries("profile_updated")] == [person.profile_id]


def test_the_same_again_sends_nothing(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    now = brand.now()
    first, second = people(2)
    mart.pause(first, now + timedelta(days=14))
    mart.pause(second, now + timedelta(days=14))
    mart.owe(first, "trigger-same-again", now)
    current = mart.commit(now)
    sync(mart.settings, current, "klaviyo")
    assert len(witness.writes()) == 3
    witness.forward()
    same_pass = sync(mart.settings, current, "klaviyo")
    next_pass = sync(mart.settings, mart.commit(now), "klaviyo")
    assert witness.writes() == []
    assert same_pass.total.planned == next_pass.total.planned == 0
    assert next_pass.kinds["profile_properties"].unchanged == 2
    mart.calm(second)
    sync(mart.settings, mart.commit(now), "klaviyo")
    assert [entry["profile_id"] for entry in witness.entries("profile_updated")] == [second.profile_id]


def test_there_and_back_again_are_three_effects(brand: Sandbox, mart: Mart, person: Person, witness: Witness) -> None:
    now = brand.now()
    for days in (14, 7, 14):
        mart.pause(person, now + timedelta(days=days))
        sync(mart.settings, mart.commit(now), "klaviyo")
    ends = [entry["changed"]["roomtone_pause_until"][1][:10] for entry in witness.entries("profile_updated")]
    assert ends == [f"{now + timedelta(days=days):%Y-%m-%d}" for days in (14, 7, 14)]


def test_the_end_of_a_pause_clears_the_date(brand: Sandbox, mart: Mart, person: Person, witness: Witness) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    sync(mart.settings, mart.commit(now), "klaviyo")
    mart.calm(person)
    sync(mart.settings, mart.commit(now), "klaviyo")
    held = properties(brand, person)
    assert "roomtone_pause_until" not in held or held["roomtone_pause_until"] is None
    assert held["roomtone_pause_sales"] is False
    assert held["roomtone_tier"] == 0


def test_a_row_that_vanishes_from_the_mart_ends_the_pause(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    sync(mart.settings, mart.commit(now), "klaviyo")
    mart.profiles.clear()
    sync(mart.settings, mart.commit(now), "klaviyo")
    assert properties(brand, person)["roomtone_pause_sales"] is False


def test_an_unknown_profile_is_skipped_and_asked_for_again_later(
    brand: Sandbox, mart: Mart, stranger: Person, witness: Witness
) -> None:
    now = brand.now()
    mart.pause(stranger, now + timedelta(days=14))
    mart.owe(stranger, "trigger-stranger", now, hours=48)
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert (report.total.planned, report.total.skipped) == (0, 2)
    assert witness.writes() == []
    asked = len(witness.entries("request"))
    assert asked >= 1
    sync(mart.settings, mart.commit(brand.now()), "klaviyo")
    assert len(witness.entries("request")) == asked
    later = brand.advance(3600)
    sync(mart.settings, mart.commit(later), "klaviyo")
    assert len(witness.entries("request")) > asked
    assert witness.writes() == []


def test_many_changes_go_as_one_job_and_tier_3_by_itself(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    now = brand.now()
    chosen = people(14)
    for index, person in enumerate(chosen):
        mart.pause(person, now + timedelta(days=14), tier=3 if index == 5 else 1)
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert report.total.done == 14
    writes = [(entry["method"], entry["path"].rsplit("/", 1)[-1]) for entry in witness.writes()]
    assert writes == [("PATCH", chosen[5].profile_id), ("POST", "profile-bulk-import-jobs")]
    assert all(properties(brand, person)["roomtone_pause_sales"] is True for person in chosen)


def test_a_pass_that_is_not_confirmed_is_refused(brand: Sandbox, mart: Mart, person: Person, witness: Witness) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    with pytest.raises(RoomtoneError, match="not been confirmed"):
        sync(mart.settings, mart.commit(now, is_valid=False), "klaviyo")
    older = mart.commit(now)
    mart.commit(now)
    with pytest.raises(RoomtoneError, match="tables of pass 3"):
        sync(mart.settings, older, "klaviyo")
    assert witness.entries("request") == []


def test_an_unknown_destination_is_named(settings: Settings, mart: Mart, brand: Sandbox) -> None:
    with pytest.raises(RoomtoneError, match="'mailchimp' is unknown; use one of files, csv, parquet"):
        sync(settings, mart.commit(brand.now()), "mailchimp")


def test_two_rows_about_one_customer_stop_the_sync(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    current = mart.commit(now)
    with warehouse.connect(mart.settings) as connection:
        connection.execute(
            "insert into activations.sync_profile_properties select * from activations.sync_profile_properties"
        )
    with pytest.raises(RoomtoneError, match=f"two rows about {person.customer_id}"):
        sync(mart.settings, current, "klaviyo")
    assert witness.entries("request") == []


def test_of_two_customers_with_one_profile_the_quieter_speaks(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    now = brand.now()
    twin = replace(person, customer_id="zendesk-twin", email=person.email.upper())
    mart.calm(person)
    mart.pause(twin, now + timedelta(days=14))
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert (report.total.done, report.total.skipped) == (1, 1)
    assert properties(brand, person)["roomtone_pause_sales"] is True
    witness.forward()
    for _ in range(2):
        sync(mart.settings, mart.commit(now), "klaviyo")
    assert witness.writes() == []
    mart.calm(twin)
    sync(mart.settings, mart.commit(now), "klaviyo")
    assert properties(brand, person)["roomtone_pause_sales"] is False


def test_each_run_is_recorded(brand: Sandbox, mart: Mart, person: Person, stranger: Person, witness: Witness) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    mart.pause(stranger, now + timedelta(days=14))
    sync(mart.settings, mart.commit(now), "klaviyo")
    store = OperationalStore(mart.settings)
    with store.begin() as connection:
        row = connection.exec_driver_sql(
            "select destination, total_rows, successful_rows, failed_rows, skipped_rows, finished_at is not null"
            " from sync_runs"
        ).one()
    store.close()
    assert tuple(row) == ("klaviyo", 2, 1, 0, 1, 1)
