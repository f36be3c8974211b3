"""What a comparison counts, against counting by hand: random lives decided by two sets of policies in one warehouse."""

import dataclasses
import itertools
from collections import Counter, defaultdict
from datetime import UTC, timedelta

import pytest

from roomtone.policies.schema import load_policies
from roomtone.replay.comparison import CANDIDATE, CURRENT, Comparison, keep_current
from roomtone.replay.difference import Hours, Owed, Pauses, Sends
from roomtone.settings import PROJECT_ROOT, Settings, load_settings
from roomtone.stores import warehouse
from transform.histories import SCOPES, History, Row, at, build, query, write
from transform.random_lives import AS_OF, RELIEF, make

COUNT = 120
SINCE = 1000.0
HALF_HOUR = timedelta(minutes=30)


def other_policies(history: History) -> None:
    """Stricter about tone, slower to let go, and threats do not matter."""
    for name in ("suppression_policies", "suppression_policy_scopes"):
        history.tables[name] = [row for row in history.tables[name] if row["policy_id"] not in {"upset", "threat"}]
    history.policy("upset", {"sentiment": "negative", "min_confidence": 0.9}, SCOPES, cool_off_hours=48.0, **RELIEF)
    history.policy("calm", {"sentiment": "neutral", "min_confidence": 0.5}, SCOPES, max_days=30.0)


def campaigns(history: History) -> None:
    for name, scope, channel in (("sale", "sales", "email"), ("text", "sales", "sms"), ("letter", None, "email")):
        history._version("campaigns", at(0), id=name, name=name, kind="campaign", channel=channel, scope=scope)
    for number, (name, hour) in enumerate(itertools.product(("sale", "text", "letter"), range(900, 1500, 60))):
        for customer in range(0, COUNT, 3):
            history._version(
                "marketing_events",
                at(hour),
                id=f"send-{number}-{customer}",
                customer_id=f"c{customer}",
                campaign_id=name,
                type="delivered",
            )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path_factory.mktemp("comparison"))})
    history = make(7, COUNT)
    campaigns(history)
    history.recovery("sorry", "apology", "cause_started", min_tier=2, expires_after_hours=2.0)
    models = ("run", "--select", "+fct_suppressions", "+fct_recovery_triggers", "+dim_customers")
    write(settings, history, AS_OF)
    build(settings, *models)
    with warehouse.connect(settings) as connection:
        keep_current(connection)
    other_policies(history)
    write(settings, history, AS_OF)
    build(settings, *models)
    return settings


def rows(settings: Settings, table: str) -> tuple[list[Row], list[Row]]:
    return query(settings, f"select * from {CURRENT}.{table}"), query(settings, f"select * from {CANDIDATE}.{table}")


@dataclasses.dataclass(frozen=True)
class Counted:
    pauses: dict[int, Pauses]
    hours: dict[str, Hours]
    sends: Sends
    owed: dict[str, Owed]
    breaches: tuple[str, ...]


@pytest.fixture(scope="module")
def counted(both: Settings) -> Counted:
    shipped = load_policies(PROJECT_ROOT / "include" / "policies")
    tight = shipped.guardrails.newly_paused.model_copy(update={"floor_customers": 1})
    with warehouse.connect(both) as connection:
        found = Comparison(connection, at(SINCE).replace(tzinfo=UTC), at(AS_OF).replace(tzinfo=UTC))
        return Counted(
            found.pauses(),
            found.hours(),
            found.sends(),
            found.owed(shipped.recovery, shipped.recovery),
            found.breaches(dataclasses.replace(shipped.guardrails, newly_paused=tight)),
        )


def test_pauses_by_tier(both: Settings, counted: Counted) -> None:
    sides = [
        [row for row in side if row["started_at"] < at(AS_OF) and row["planned_end_at"] > at(SINCE)]
        for side in rows(both, "fct_suppression_causes")
    ]
    assert counted.pauses == by_hand(*sides)


def by_hand(current: list[Row], candidate: list[Row]) -> dict[int, Pauses]:
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    befallen: dict[int, set[str]] = defaultdict(set)
    for mine, yours, alone in ((current, candidate, "removed"), (candidate, current, "added")):
        for row in mine:
            counts[row["tier"]]["current" if alone == "removed" else "candidate"] += 1
            pairs = [
                other
                for other in yours
                if (other["policy_id"], other["subject_id"]) == (row["policy_id"], row["subject_id"])
                and other["started_at"] < row["planned_end_at"]
                and row["started_at"] < other["planned_end_at"]
            ]
            parts = ("started_at", "planned_end_at", "scopes", "tier")
            if any(all(other[part] == row[part] for part in parts) for other in pairs):
                continue
            befallen[row["tier"]].add(row["customer_id"])
            if not pairs:
                counts[row["tier"]][alone] += 1
            elif alone == "added":
                counts[row["tier"]]["changed"] += 1
    return {tier: Pauses(**counts[tier], customers=len(befallen[tier])) for tier in (1, 2, 3)}


def test_hours_by_scope(both: Settings, counted: Counted) -> None:
    # All that happens happens at a half hour, so that counting half hours is exact.
    paused: list[set[tuple[str, str, int]]] = [
        {
            (row["customer_id"], row["scope"], slot)
            for row in side
            for slot in range(
                int((max(row["valid_from"], at(SINCE)) - at(0)) / HALF_HOUR),
                int((min(row["planned_end_at"], at(AS_OF)) - at(0)) / HALF_HOUR),
            )
        }
        for side in rows(both, "fct_suppressions")
    ]
    current, candidate = paused
    for scope in SCOPES:
        sizes = [
            sum(1 for slot in slots if slot[1] == scope) / 2
            for slots in (current, candidate, candidate - current, current - candidate)
        ]
        assert counted.hours[scope] == Hours(*(pytest.approx(size, abs=1e-3) for size in sizes)), scope
        assert sizes[2] > 0


def test_sends(both: Settings, counted: Counted) -> None:
    found = counted.sends
    reach = {"sale": {"sales"}, "text": {"sales", "sms"}, "letter": set(SCOPES) - {"sms"}}
    now, then = rows(both, "fct_suppressions")
    people = {row["id"]: row["customer_id"] for row in query(both, "select id, customer_id from raw.marketing_events")}
    total, stopped, released = 0, set(), set()
    for event in query(both, "select * from raw.marketing_events where type = 'delivered'"):
        if not at(SINCE) <= event["occurred_at"] < at(AS_OF):
            continue
        total += 1
        meets = [
            any(
                row["customer_id"] == event["customer_id"]
                and row["scope"] in reach[event["campaign_id"]]
                and row["valid_from"] <= event["occurred_at"] < row["planned_end_at"]
                for row in side
            )
            for side in (now, then)
        ]
        if meets == [False, True]:
            stopped.add(event["id"])
        elif meets == [True, False]:
            released.add(event["id"])
    assert (found.total, found.stopped, found.released) == (total, len(stopped), len(released))
    assert found.stopped_customers == len({people[name] for name in stopped})
    assert found.released_customers == len({people[name] for name in released})
    assert found.stopped
    assert found.released


def test_what_is_owed_and_what_the_guardrails_would_hold(both: Settings, counted: Counted) -> None:
    owed, breaches = counted.owed, counted.breaches
    sides = [
        {
            row["trigger_id"]: row["customer_id"]
            for row in side
            if row["status"] in {"due", "expired"} and at(SINCE) <= row["due_at"] < at(AS_OF)
        }
        for side in rows(both, "fct_recovery_triggers")
    ]
    current, candidate = sides
    either = current.keys() ^ candidate.keys()
    assert owed["apology"] == Owed(
        len(current),
        len(candidate),
        len(candidate.keys() - current.keys()),
        len(current.keys() - candidate.keys()),
        len({(current | candidate)[name] for name in either}),
    )
    assert owed["apology"].added
    assert owed["discount_code"] == Owed()
    newly = [
        {row["customer_id"] for row in side if row["valid_from"] <= at(AS_OF) < row["planned_end_at"]}
        for side in rows(both, "fct_suppressions")
    ]
    count = len(newly[1] - newly[0])
    (breach,) = breaches
    assert "no_mass_pause holds more than 1 newly paused customers in one run" in breach
    assert f"would pause {count} of {COUNT}" in breach
