"""What the guardrails hold at send time, as rows and against the sandbox."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Sandbox
from roomtone import pipeline
from roomtone.policies.guardrails import Guardrails
from roomtone.policies.schema import load_policies
from roomtone.policies.versions import policies_in_force
from roomtone.settings import load_settings
from roomtone.stores.ledger import note_source_read
from roomtone.stores.operational import OperationalStore
from roomtone.sync import holds as kept
from roomtone.sync import sync
from roomtone.sync.audit import audit_store
from roomtone.sync.desired import PROFILE_PROPERTIES, RECOVERY_EVENT, calm_profile, fingerprint
from roomtone.sync.guardrails import (
    DEGRADED,
    ROLLED_BACK,
    STALE,
    TOO_MANY_OFFERS,
    TOO_MANY_PAUSES,
    TOO_MANY_VANISHED,
    UNCONFIRMED,
    Situation,
    holds,
    pause_limit,
    told,
)
from roomtone.sync.plan import Intent

from .conftest import Mart, Person, Witness

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
PAUSED = calm_profile() | {"roomtone_pause_sales": True, "roomtone_pause_until": "2026-03-16T09:00:00Z"}
SITUATION = Situation(NOW, NOW, 1000, 1000, False, 0, {}, frozenset())


@pytest.fixture(scope="module")
def rules() -> Guardrails:
    """The shipped guardrails: half a percent and more than 50 customers, 20 % and more than 5, 100 offers, one hour."""
    return load_policies(load_settings({}).policies_dir).guardrails


def intent(subject: str, payload: dict[str, Any], kind: str = PROFILE_PROPERTIES, attempts: int = 0) -> Intent:
    digest = fingerprint(payload)
    return Intent(f"i-{subject}", "klaviyo", kind, subject, f"P{subject}", digest, payload, 1, NOW, attempts=attempts)


def paused(count: int) -> list[Intent]:
    return [intent(str(number), PAUSED) for number in range(count)]


def test_a_mass_of_new_pauses_is_held_and_a_few_are_not(rules: Guardrails) -> None:
    assert holds(rules, SITUATION, paused(50)) == {}
    assert set(holds(rules, SITUATION, paused(51)).values()) == {TOO_MANY_PAUSES}
    assert holds(rules, replace(SITUATION, count_customers=20_000), paused(51)) == {}
    assert holds(rules, SITUATION, paused(51), is_released=True) == {}
    assert holds(rules, replace(SITUATION, is_first=True), paused(51)) == {}
    renewed = replace(SITUATION, held_payloads={str(number): PAUSED for number in range(51)})
    assert holds(rules, renewed, paused(51)) == {}


def test_a_brand_that_is_used_to_more_may_pause_more(rules: Guardrails) -> None:
    used_to = replace(SITUATION, newly_paused_before=(0, 20, 30, 400))
    assert pause_limit(rules, used_to) == 125, "five times the median of 25"
    assert holds(rules, used_to, paused(125)) == {}
    assert set(holds(rules, used_to, paused(126)).values()) == {TOO_MANY_PAUSES}
    quiet = replace(SITUATION, newly_paused_before=(0, 0, 0, 0, 900))
    assert pause_limit(rules, quiet) == 50
    assert pause_limit(rules, replace(quiet, count_customers=100_000)) == 500


def test_a_pass_without_its_model_fires_no_offers_and_still_apologises_and_pauses(rules: Guardrails) -> None:
    offer = intent("o", {"message_class": "marketing"}, RECOVERY_EVENT)
    apology = intent("a", {"message_class": "service"}, RECOVERY_EVENT)
    degraded = replace(SITUATION, is_degraded=True)
    assert holds(rules, degraded, [offer, apology, *paused(1)]) == {"i-o": DEGRADED}
    assert holds(rules, degraded, [offer], is_released=True) == {"i-o": DEGRADED}


def test_nothing_leaves_on_a_pass_that_is_not_confirmed_any_more(rules: Guardrails) -> None:
    unconfirmed = replace(SITUATION, is_confirmed=False)
    assert holds(rules, unconfirmed, paused(2), is_released=True) == {"i-0": UNCONFIRMED, "i-1": UNCONFIRMED}


def test_a_rollback_holds_all_until_it_is_released(rules: Guardrails) -> None:
    back = replace(SITUATION, is_rolled_back=True)
    assert set(holds(rules, back, paused(2)).values()) == {ROLLED_BACK}
    assert holds(rules, replace(back, released=frozenset({ROLLED_BACK})), paused(2)) == {}


def test_a_release_lets_go_only_its_own_reason(rules: Guardrails) -> None:
    offers = [intent(f"o{n}", {"message_class": "marketing"}, RECOVERY_EVENT) for n in range(2)]
    situation = replace(SITUATION, offers_today=100, released=frozenset({TOO_MANY_PAUSES}))
    assert holds(rules, situation, [*paused(60), *offers]) == {"i-o0": TOO_MANY_OFFERS, "i-o1": TOO_MANY_OFFERS}


def test_a_mass_of_vanished_rows_is_held(rules: Guardrails) -> None:
    gone = [intent(str(number), calm_profile()) for number in range(300)]
    everybody = frozenset(i.subject_id for i in gone)
    situation = replace(SITUATION, held_payloads=dict.fromkeys(everybody, PAUSED))
    assert set(holds(rules, replace(situation, vanished=everybody), gone).values()) == {TOO_MANY_VANISHED}
    assert holds(rules, replace(situation, vanished=frozenset(sorted(everybody)[:200])), gone) == {}
    assert holds(rules, situation, gone) == {}


@pytest.mark.parametrize(
    ("payload", "is_held"),
    [
        (calm_profile(), True),
        (PAUSED | {"roomtone_pause_until": "2026-03-10T09:00:00Z"}, True),
        (PAUSED | {"roomtone_pause_until": "2026-03-20T09:00:00Z"}, False),
        (PAUSED | {"roomtone_pause_upsell": True}, False),
    ],
)
def test_stale_data_never_ends_a_pause_early(payload: dict[str, Any], is_held: bool, rules: Guardrails) -> None:
    late = replace(SITUATION, now=NOW + timedelta(minutes=61), held_payloads={"a": PAUSED})
    assert holds(rules, late, [intent("a", payload)]) == ({"i-a": STALE} if is_held else {})
    assert holds(rules, late, [intent("a", payload)], is_released=True) == ({"i-a": STALE} if is_held else {})
    assert holds(rules, replace(late, now=NOW + timedelta(minutes=59)), [intent("a", payload)]) == {}


def test_offers_end_with_the_day_s_budget_and_service_mail_does_not(rules: Guardrails) -> None:
    offers = [intent(f"o{n}", {"message_class": "marketing"}, RECOVERY_EVENT) for n in range(3)]
    service = [intent("s", {"message_class": "service"}, RECOVERY_EVENT)]
    situation = replace(SITUATION, offers_today=98)
    assert holds(rules, situation, offers + service) == {"i-o2": TOO_MANY_OFFERS}
    tried = intent("t", {"message_class": "marketing"}, RECOVERY_EVENT, attempts=1)
    assert holds(rules, replace(SITUATION, offers_today=100), [tried]) == {}


def test_a_report_counts_the_reasons() -> None:
    assert told("recovery_event", {"a": STALE, "b": TOO_MANY_PAUSES, "c": STALE}) == (
        "held 2 recovery_event: data is stale",
        "held 1 recovery_event: too many customers newly paused",
    )


def hold_from_the_third_pause_on(mart: Mart, tmp_path: Path) -> None:
    """Lower the limit on newly paused customers to two."""
    folder = tmp_path / "policies"
    shutil.copytree(mart.settings.policies_dir, folder)
    rules = (folder / "guardrails.yml").read_text()
    (folder / "guardrails.yml").write_text(rules.replace("floor_customers: 50", "floor_customers: 2", 1))
    mart.settings = replace(mart.settings, policies_dir=folder)


def test_a_held_mass_leaves_on_release(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness, tmp_path: Path
) -> None:
    hold_from_the_third_pause_on(mart, tmp_path)
    now = brand.now()
    known, *others = people(4)
    mart.calm(known)
    sync(mart.settings, mart.commit(now), "klaviyo")
    witness.forward()
    for person in others:
        mart.pause(person, now + timedelta(days=14))
    held = sync(mart.settings, mart.commit(now), "klaviyo")
    assert held.notes == ("held 3 profile_properties: too many customers newly paused",)
    assert witness.writes() == []
    released = sync(mart.settings, mart.commit(now), "klaviyo", release_holds=True)
    assert released.total.done == 3


def test_a_history_that_arrives_in_parts_is_no_mass_change(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], tmp_path: Path
) -> None:
    """A helpdesk's exports take a few calls a minute, and the first passes of a large brand know a part each."""
    hold_from_the_third_pause_on(mart, tmp_path)
    now = brand.now()

    def a_pass(minute: int, count: int, unfinished: str = "", source: str = "zendesk") -> tuple[str, ...]:
        at = now + timedelta(minutes=minute)
        pipeline.note_read(mart.settings, source, at, unfinished)
        for person in people(count):
            mart.pause(person, now + timedelta(days=14))
        return sync(mart.settings, mart.commit(at), "klaviyo").notes

    assert a_pass(0, 1, "its patience ended") == ()
    assert a_pass(1, 3, "its patience ended") == ()
    assert a_pass(2, 3) == ()
    mass = ("held 3 profile_properties: too many customers newly paused",)
    assert a_pass(3, 3) == mass
    # Another source that begins later lets nothing more pass.
    assert a_pass(4, 0, "its patience ended", source="shop") == mass


def test_a_hold_is_kept_and_released_with_one_command(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], tmp_path: Path
) -> None:
    hold_from_the_third_pause_on(mart, tmp_path)
    now = brand.now()
    known, *others = people(4)
    mart.calm(known)
    sync(mart.settings, mart.commit(now), "klaviyo")
    for person in others:
        mart.pause(person, now + timedelta(days=14))
    sync(mart.settings, mart.commit(now), "klaviyo")
    store = OperationalStore(mart.settings)
    [hold] = kept.open_holds(store, "klaviyo")
    assert (hold.count, hold.reason) == (3, TOO_MANY_PAUSES)
    assert hold.told().endswith("look at them, then `roomtone sync release klaviyo`")
    kept.release(store, "klaviyo", "somebody", now)
    assert sync(mart.settings, mart.commit(now), "klaviyo").total.done == 3
    assert kept.open_holds(store, "klaviyo") == []
    rules_in_force = policies_in_force(store, now).guardrails
    assert audit_store(store, rules_in_force) == []
    store.close()


def test_a_source_that_is_silent_makes_a_new_pass_stale(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    now = brand.now()
    mart.owe(person, "trigger-silent-source", now, hours=24)
    current = mart.commit(now)
    store = OperationalStore(mart.settings)
    note_source_read(store, "zendesk", now - timedelta(hours=2))
    note_source_read(store, "klaviyo", now)
    held = sync(mart.settings, current, "klaviyo")
    assert held.notes == ("held 1 recovery_event: data is stale",)
    note_source_read(store, "zendesk", now)
    assert sync(mart.settings, mart.commit(now), "klaviyo").total.done == 1
    store.close()


def test_the_kill_switch_stops_every_destination(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness, tmp_path: Path
) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(mart.settings.policies_dir, folder)
    mart.settings = replace(mart.settings, policies_dir=folder)
    now = brand.now()
    mart.commit(now)
    head, switch = (folder / "guardrails.yml").read_text().split("- id: kill_switch")
    on = switch.replace("version: 1", "version: 2").replace("is_on: false", "is_on: true")
    (folder / "guardrails.yml").write_text(f"{head}- id: kill_switch{on}")
    mart.pause(person, now + timedelta(days=14))
    mart.owe(person, "trigger-stopped", now)
    current = mart.commit(brand.now())
    for destination in ("klaviyo", "files"):
        report = sync(mart.settings, current, destination, release_holds=True)
        assert report.notes == (
            "held 1 profile_properties: kill switch is on",
            "held 1 recovery_event: kill switch is on",
        )
    assert witness.writes() == []
    assert list(mart.settings.sent_dir.rglob("*.jsonl")) == []
    off = on.replace("version: 2", "version: 3").replace("is_on: true", "is_on: false")
    (folder / "guardrails.yml").write_text(f"{head}- id: kill_switch{off}")
    assert sync(mart.settings, mart.commit(brand.now()), "klaviyo").total.done == 2
