"""A sync killed at each named point and started again: each event once, each profile right, nothing left to do."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from conftest import Sandbox
from roomtone.policies.versions import policies_in_force
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.sync import checkpoints, sync
from roomtone.sync.audit import audit_platform, audit_store, audit_warehouse
from roomtone.sync.publish import publish

from .conftest import Mart, Person, Witness
from .test_differences import properties

SYNC_POINTS = (
    "lease_claimed",
    "planned",
    "intents_written",
    "claimed",
    "call_answered",
    "sent",
    "answer_recorded",
    "read_back",
    "finished_intents",
    "run_recorded",
)
JOB_POINTS = ("job_handed_in",)
ONCE = {"lease_claimed", "run_recorded"}
PUBLISH_POINTS = ("marts_built", "database_swapped", "parquet_swapped")


def killed(point: str, nth: int, work: Callable[[], object]) -> bool:
    """Runs `work` in a child that dies by SIGKILL when it reaches `point` for the nth time; whether it got there."""
    child = os.fork()
    if child == 0:
        left = nth

        def stop(name: str) -> None:
            nonlocal left
            left -= name == point
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoints.on_reached = stop
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def unfinished(settings: Settings) -> int:
    store = OperationalStore(settings)
    with store.begin() as connection:
        query = "select count(*) from intents where status in ('pending', 'sending', 'sent')"
        count = connection.exec_driver_sql(query).scalar_one()
    store.close()
    return count


def violations(mart: Mart, paused: dict[Person, tuple[str, ...]], witness: Witness) -> list[str]:
    """Every invariant that can be asked: of the store, of the warehouse, and of the platform itself."""
    store = OperationalStore(mart.settings)
    rules = policies_in_force(store, witness.brand.now()).guardrails
    with warehouse.connect(mart.settings) as connection:
        found = audit_store(store, rules) + audit_warehouse(connection, store)
    store.close()
    wanted = {
        str(person.profile_id): {f"roomtone_pause_{scope}": True for scope in scopes}
        for person, scopes in paused.items()
    }
    shown = {str(person.profile_id): properties(witness.brand, person) for person in paused}
    return found + audit_platform(wanted, shown, witness.entries())


def test_every_named_point_is_killed_at() -> None:
    assert set(SYNC_POINTS) | set(JOB_POINTS) | set(PUBLISH_POINTS) == set(checkpoints.NAMES)


# Profiles come first, then events: the second time a point is reached is in the events.
@pytest.mark.parametrize(
    ("point", "nth"), [(point, nth) for point in SYNC_POINTS for nth in (1, 2) if nth == 1 or point not in ONCE]
)
def test_klaviyo_is_right_after_a_kill_at(
    *, point: str, nth: int, brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    now = brand.now()
    first, second = people(2)
    mart.pause(first, now + timedelta(days=14))
    mart.pause(second, now + timedelta(days=14), scopes=("sales",))
    triggers = [f"trigger-{point}-{nth}-{number}" for number in (1, 2)]
    mart.owe(first, triggers[0], now)
    mart.owe(second, triggers[1], now, kind="discount_code", hours=24)
    current = mart.commit(now)
    assert killed(point, nth, lambda: sync(mart.settings, current, "klaviyo"))
    sync(mart.settings, current, "klaviyo")
    assert unfinished(mart.settings) == 0
    recorded = Counter(e["unique_id"] for e in witness.entries("event_received") if not e["is_duplicate"])
    assert recorded == Counter(triggers)
    changes = {
        e["profile_id"]: e["changed"] for e in witness.entries("profile_updated") if "roomtone_tier" in e["changed"]
    }
    assert changes.keys() == {first.profile_id, second.profile_id}
    assert violations(mart, {first: ("sales", "sms"), second: ("sales",)}, witness) == []
    witness.forward()
    sync(mart.settings, mart.commit(now), "klaviyo")
    assert witness.writes() == []


@pytest.mark.parametrize("point", JOB_POINTS)
def test_a_lost_job_is_looked_up_by_its_effect_after_a_kill_at(
    point: str, brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    """The number of the job died with the process; what it was to do is read back, and done again where it is not."""
    now = brand.now()
    chosen = people(12)
    for person in chosen:
        mart.pause(person, now + timedelta(days=14))
    current = mart.commit(now)
    assert killed(point, 1, lambda: sync(mart.settings, current, "klaviyo"))
    brand.advance(10)
    sync(mart.settings, current, "klaviyo")
    assert unfinished(mart.settings) == 0
    paused = {e["profile_id"] for e in witness.entries("profile_updated") if "roomtone_tier" in e["changed"]}
    assert paused == {person.profile_id for person in chosen}


# What concerns a file is its being written and its being noted; the other points are the same for every destination.
@pytest.mark.parametrize("point", ["claimed", "sent", "answer_recorded"])
def test_no_line_is_written_twice_after_a_kill_at(point: str, mart: Mart, person: Person, brand: Sandbox) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    mart.owe(person, "trigger-files", now)
    current = mart.commit(now)
    assert killed(point, 1, lambda: sync(mart.settings, current, "files"))
    sync(mart.settings, current, "files")
    lines = [line for file in mart.settings.sent_dir.rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(lines) == 2
    assert [path for path in mart.settings.sent_dir.rglob(".*") if path.is_file()] == []
    assert unfinished(mart.settings) == 0


@pytest.mark.parametrize("point", PUBLISH_POINTS)
def test_the_publication_is_whole_after_a_kill_at(point: str, mart: Mart, brand: Sandbox) -> None:
    from .test_publish import publication

    first = mart.commit(brand.now())
    publish(mart.settings, first)
    second: Pass = mart.commit(brand.now())
    assert killed(point, 1, lambda: publish(mart.settings, second))
    database, parquet = publication(mart.settings)
    swapped = PUBLISH_POINTS.index(point)
    assert database == (second.sequence if swapped >= 1 else first.sequence)
    assert parquet == (second.sequence if swapped >= 2 else first.sequence)
    publish(mart.settings, second)
    assert publication(mart.settings) == (second.sequence, second.sequence)
    assert list(mart.settings.published_dir.glob(".draft*")) == []
