"""The rules of contract section 5 as a table: what happened, and the causes and pauses that follow, to the second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from roomtone.settings import Settings, load_settings
from transform.histories import SCOPES, History, at, build, hours, query, write

AS_OF = 2000.0
Happened = Callable[[History, str], None]
# (policy, version, start, end, why it ended)
Cause = tuple[str, int, float, float, str]
RELIEF = {"relief_sentiment": "positive", "relief_min_confidence": 0.8, "relief_after_hours": 12.0}


def publish(history: History) -> None:
    history.policy("upset", {"sentiment": "negative", "min_confidence": 0.8}, SCOPES, **RELIEF)
    history.policy(
        "stalled",
        {"fact": "shipment_stalled", "days": 5},
        ("upsell", "celebration"),
        tier=1,
        cool_off_hours=12.0,
        max_days=10.0,
    )
    history.policy(
        "late", {"fact": "shipment_late", "days": 2}, ("upsell",), tier=1, cool_off_hours=12.0, max_days=10.0
    )
    history.policy("threat", {"fact": "threat"}, ("sales", "sms"), tier=3)
    history.policy("repeat", {"fact": "repeat_contact", "count": 4, "days": 7}, ("review_request",), max_days=7.0)
    history.policy("spam", {"fact": "marked_spam"}, ("sales",), cool_off_hours=240.0, max_days=30.0)
    history.policy("refund", {"fact": "refund"}, ("celebration",), tier=1, cool_off_hours=48.0)
    # Only its scenarios have neutral messages. From hour 100 on it asks for more confidence and cools off longer.
    history.policy(
        "versioned",
        {"sentiment": "neutral", "min_confidence": 0.5},
        ("sms",),
        applies_to=100,
        cool_off_hours=10.0,
        max_days=2.0,
    )
    history.policy(
        "versioned",
        {"sentiment": "neutral", "min_confidence": 0.9},
        ("sms",),
        2,
        applies_from=100,
        cool_off_hours=20.0,
        max_days=4.0,
    )


def solved(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"))
    history.message(f"{c}-t", 10)


def closed_after_solved(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"), (50, "closed"))
    history.message(f"{c}-t", 10)


def reopened_within_cool_off(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"), (63, "open"), (100, "solved"))
    history.message(f"{c}-t", 10)


def reopened_at_the_end(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"), (64, "open"), (100, "solved"))
    history.message(f"{c}-t", 10)


def written_again_after_reopening(history: History, c: str) -> None:
    reopened_at_the_end(history, c)
    history.message(f"{c}-t", 70)


def written_while_solved(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"))
    history.message(f"{c}-t", 50)


def written_at_the_end(history: History, c: str) -> None:
    # Touching, not overlapping: at its end a cause is over, and the message begins another.
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"), (64, "open"), (90, "solved"))
    history.message(f"{c}-t", 10)
    history.message(f"{c}-t", 64)


def merged(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (30, f"merged:{c}-u"))
    history.ticket(f"{c}-u", c, (12, "new"), (80, "solved"))
    history.message(f"{c}-t", 10)


def merged_into_a_solved_one(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (30, f"merged:{c}-u"))
    history.ticket(f"{c}-u", c, (5, "new"), (20, "solved"))
    history.message(f"{c}-t", 10)


def merged_twice(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (30, f"merged:{c}-u"))
    history.ticket(f"{c}-u", c, (12, "new"), (50, f"merged:{c}-v"))
    history.ticket(f"{c}-v", c, (13, "new"), (90, "solved"))
    history.message(f"{c}-t", 10)


def merged_into_itself(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (30, f"merged:{c}-t"))
    history.message(f"{c}-t", 10)


def merged_in_a_ring(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (30, f"merged:{c}-u"))
    history.ticket(f"{c}-u", c, (12, "new"), (30, f"merged:{c}-t"))
    history.message(f"{c}-t", 10)


def merged_into_the_unknown(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (30, "merged:nobody-knows"))
    history.message(f"{c}-t", 10)


def merged_then_deleted(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (30, f"merged:{c}-u"))
    history.ticket(f"{c}-u", c, (12, "new"), (45, "deleted"))
    history.message(f"{c}-t", 10)


def deleted(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (30, "deleted"))
    history.message(f"{c}-t", 10)


def deleted_in_cool_off(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (30, "solved"), (35, "deleted"))
    history.message(f"{c}-t", 10)


def deleted_then_restored(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (30, "deleted"), (31, "open"), (60, "solved"))
    history.message(f"{c}-t", 10)


def relieved(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (200, "solved"))
    history.message(f"{c}-t", 10)
    history.message(f"{c}-t", 20, "positive")


def relief_too_weak(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (100, "solved"))
    history.message(f"{c}-t", 10)
    history.message(f"{c}-t", 20, "positive", 0.79)


def relief_taken_back(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (100, "solved"))
    history.message(f"{c}-t", 10)
    history.message(f"{c}-t", 20, "positive")
    history.message(f"{c}-t", 31)


def relief_taken_back_too_late(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (100, "solved"))
    history.message(f"{c}-t", 10)
    history.message(f"{c}-t", 20, "positive")
    history.message(f"{c}-t", 32)


def expired(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"))
    history.message(f"{c}-t", 10)


def evidence_moves_the_expiry(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"))
    history.message(f"{c}-t", 10)
    history.message(f"{c}-t", 300)


def too_unsure(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"))
    history.message(f"{c}-t", 10, confidence=0.79)


def just_sure_enough(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"))
    history.message(f"{c}-t", 10, confidence=0.80)


def abstained(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"))
    history.message(f"{c}-t", 10, is_abstained=True, cues='{"threat": 0.9}')


def edited_to_calm(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"))
    history.message(f"{c}-t", 10, message_id=f"{c}-m")
    history.message(f"{c}-t", 10, "positive", edited=11, message_id=f"{c}-m")


def edited_to_angry(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"))
    history.message(f"{c}-t", 10, "positive", message_id=f"{c}-m")
    history.message(f"{c}-t", 10, edited=11, message_id=f"{c}-m")


def edited_after_the_pass(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"))
    history.message(f"{c}-t", 10, message_id=f"{c}-m")
    history.message(f"{c}-t", 10, "positive", edited=AS_OF + 1, message_id=f"{c}-m")


def dated_in_the_future(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (AS_OF + 5, "solved"))
    history.message(f"{c}-t", AS_OF + 1)


def first_version_came_late(history: History, c: str) -> None:
    # The source shows only the state of hour 12; the message of hour 10 is on a ticket that existed.
    history.ticket(f"{c}-t", c, (12, "open"), (40, "solved"), created=10)
    history.message(f"{c}-t", 10)


def written_by_a_clock_an_hour_behind(history: History, c: str) -> None:
    # By its own time the message came before the ticket, on which it was not yet live.
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"))
    history.message(f"{c}-t", 9)


def solved_while_the_clocks_change(history: History, c: str) -> None:
    # In the night of 29 March, when Europe's clocks jump at 01:00 UTC, hour 649: a day is 24 hours all the same.
    history.ticket(f"{c}-t", c, (648, "new"), (649, "solved"))
    history.message(f"{c}-t", 648.5)


def told_in_two_ways(history: History, c: str) -> None:
    # Two records with one id and one instant that disagree: one of them counts, the same in any order of arrival.
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"))
    history.ticket(f"{c}-t", c, (10, "new"), (40, "closed"), subject="again")
    history.message(f"{c}-t", 10)


def lasting(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (AS_OF - 100, "new"))
    history.message(f"{c}-t", AS_OF - 100)


def cooling_off(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (AS_OF - 100, "new"), (AS_OF - 5, "solved"))
    history.message(f"{c}-t", AS_OF - 100)


def ends_with_the_pass(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (AS_OF - 100, "new"), (AS_OF - 24, "solved"))
    history.message(f"{c}-t", AS_OF - 100)


def several_tickets(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"))
    history.ticket(f"{c}-u", c, (30, "new"), (100, "solved"))
    history.message(f"{c}-t", 10)
    history.message(f"{c}-u", 35)


def released(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (100, "solved"))
    history.message(f"{c}-t", 10)
    history.override(c, "release", 20, 50)


def released_then_angry_again(history: History, c: str) -> None:
    released(history, c)
    history.message(f"{c}-t", 30)


def released_in_one_scope(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (100, "solved"))
    history.message(f"{c}-t", 10)
    history.override(c, "release", 20, 50, ("sales",))


def paused_by_a_person(history: History, c: str) -> None:
    history.override(c, "pause", 20, 50, ("sales",))


def paused_after_a_release(history: History, c: str) -> None:
    history.override(c, "release", 10, 100, ("sales",))
    history.override(c, "pause", 20, 50, ("sales",))


def threatened(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (40, "solved"))
    history.message(f"{c}-t", 10, "positive", 0.5, cues='{"threat": 0.7}')


def wrote_often(history: History, c: str) -> None:
    # Half an hour after the first, the second message goes on with the same contact.
    history.ticket(f"{c}-t", c, (10, "new"), (250, "solved"))
    for hour in (10, 10.5, 40, 41.5, 60):
        history.message(f"{c}-t", hour, "negative", 0.5)


def thanked_often(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (10, "new"), (250, "solved"))
    for hour in (10, 20, 40, 50, 60):
        history.message(f"{c}-t", hour, "positive", 0.9)


def stalled(history: History, c: str) -> None:
    history.shipment(f"{c}-s", c, 10, 20, 200)


def stalled_and_lost(history: History, c: str) -> None:
    history.shipment(f"{c}-s", c, 10, 20)


def scanned_in_time(history: History, c: str) -> None:
    history.shipment(f"{c}-s", c, 10, 20, 140, delivered=150)


def late(history: History, c: str) -> None:
    history.shipment(f"{c}-s", c, 10, 100, 200, promised=50, delivered=210)


def marked_spam(history: History, c: str) -> None:
    history.marketing_event(c, 10, "marked_spam")
    history.marketing_event(c, 100, "marked_spam")


def refunded(history: History, c: str) -> None:
    history.order(f"{c}-o", c, 10)
    history.order(f"{c}-o", c, 30, refunded=20)


def version_kept(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (80, "new"), (200, "solved"))
    history.message(f"{c}-t", 80, "neutral", 0.6)
    # Version 2 would not count this one and version 1 is no longer in force; but the cause began under version 1.
    history.message(f"{c}-t", 120, "neutral", 0.6)


def version_changed(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (20, "new"), (300, "solved"))
    history.message(f"{c}-t", 20, "neutral", 0.6)
    history.message(f"{c}-t", 110, "neutral", 0.6)
    history.message(f"{c}-t", 150, "neutral", 0.95)


def version_waits_for_the_cause(history: History, c: str) -> None:
    history.ticket(f"{c}-t", c, (80, "new"), (400, "solved"))
    history.message(f"{c}-t", 80, "neutral", 0.95)
    history.message(f"{c}-t", 120, "neutral", 0.95)
    history.message(f"{c}-t", 170, "neutral", 0.95)


SCENARIOS: list[tuple[Happened, list[Cause]]] = [
    (solved, [("upset", 1, 10, 64, "resolved")]),
    (closed_after_solved, [("upset", 1, 10, 64, "resolved")]),
    (reopened_within_cool_off, [("upset", 1, 10, 124, "resolved")]),
    (reopened_at_the_end, [("upset", 1, 10, 64, "resolved")]),
    (written_again_after_reopening, [("upset", 1, 10, 64, "resolved"), ("upset", 1, 70, 124, "resolved")]),
    (written_while_solved, []),
    (written_at_the_end, [("upset", 1, 10, 64, "resolved"), ("upset", 1, 64, 114, "resolved")]),
    (merged, [("upset", 1, 10, 104, "resolved")]),
    (merged_into_a_solved_one, [("upset", 1, 10, 54, "resolved")]),
    (merged_twice, [("upset", 1, 10, 114, "resolved")]),
    (merged_into_itself, [("upset", 1, 10, 54, "resolved")]),
    (merged_in_a_ring, [("upset", 1, 10, 54, "resolved")]),
    (merged_into_the_unknown, [("upset", 1, 10, 54, "resolved")]),
    (merged_then_deleted, [("upset", 1, 10, 45, "deleted")]),
    (deleted, [("upset", 1, 10, 30, "deleted")]),
    (deleted_in_cool_off, [("upset", 1, 10, 35, "deleted")]),
    (deleted_then_restored, [("upset", 1, 10, 30, "deleted")]),
    (relieved, [("upset", 1, 10, 32, "relieved")]),
    (relief_too_weak, [("upset", 1, 10, 124, "resolved")]),
    (relief_taken_back, [("upset", 1, 10, 124, "resolved")]),
    (relief_taken_back_too_late, [("upset", 1, 10, 32, "relieved"), ("upset", 1, 32, 124, "resolved")]),
    (expired, [("upset", 1, 10, 346, "expired")]),
    (evidence_moves_the_expiry, [("upset", 1, 10, 636, "expired")]),
    (too_unsure, []),
    (just_sure_enough, [("upset", 1, 10, 64, "resolved")]),
    (abstained, []),
    (edited_to_calm, []),
    (edited_to_angry, [("upset", 1, 10, 64, "resolved")]),
    (edited_after_the_pass, [("upset", 1, 10, 64, "resolved")]),
    (dated_in_the_future, []),
    (first_version_came_late, [("upset", 1, 10, 64, "resolved")]),
    (written_by_a_clock_an_hour_behind, []),
    (solved_while_the_clocks_change, [("upset", 1, 648.5, 673, "resolved")]),
    (told_in_two_ways, [("upset", 1, 10, 64, "resolved")]),
    (lasting, [("upset", 1, AS_OF - 100, AS_OF + 236, "expired")]),
    (cooling_off, [("upset", 1, AS_OF - 100, AS_OF + 19, "resolved")]),
    (ends_with_the_pass, [("upset", 1, AS_OF - 100, AS_OF, "resolved")]),
    (several_tickets, [("upset", 1, 10, 64, "resolved"), ("upset", 1, 35, 124, "resolved")]),
    (released, [("upset", 1, 10, 20, "released")]),
    (released_then_angry_again, [("upset", 1, 10, 20, "released"), ("upset", 1, 30, 124, "resolved")]),
    (released_in_one_scope, [("upset", 1, 10, 124, "resolved")]),
    (paused_by_a_person, []),
    (paused_after_a_release, []),
    (threatened, [("threat", 1, 10, 64, "resolved")]),
    (wrote_often, [("repeat", 1, 60, 228, "expired")]),
    (thanked_often, []),
    (stalled, [("stalled", 1, 140, 212, "resolved"), ("stalled", 1, 320, 560, "expired")]),
    (stalled_and_lost, [("stalled", 1, 140, 380, "expired")]),
    (scanned_in_time, []),
    (late, [("late", 1, 98, 222, "resolved")]),
    (marked_spam, [("spam", 1, 10, 340, "resolved")]),
    (refunded, [("refund", 1, 30, 78, "resolved")]),
    (version_kept, [("versioned", 1, 80, 168, "expired")]),
    (version_changed, [("versioned", 1, 20, 68, "expired"), ("versioned", 2, 150, 246, "expired")]),
    (version_waits_for_the_cause, [("versioned", 1, 80, 168, "expired"), ("versioned", 2, 170, 266, "expired")]),
]

# Where the pauses are more than the causes' own scopes and intervals: scope -> intervals.
PAUSES: list[tuple[Happened, str, list[tuple[float, float]]]] = [
    (written_at_the_end, "sales", [(10, 114)]),
    (several_tickets, "sms", [(10, 124)]),
    (released, "sales", [(10, 20)]),
    (released_then_angry_again, "sales", [(10, 20), (50, 124)]),
    (released_in_one_scope, "sales", [(10, 20), (50, 124)]),
    (released_in_one_scope, "sms", [(10, 124)]),
    (paused_by_a_person, "sales", [(20, 50)]),
    (paused_by_a_person, "sms", []),
    (paused_after_a_release, "sales", [(20, 50)]),
    (stalled, "upsell", [(140, 212), (320, 560)]),
    (stalled, "sales", []),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("rules")
    settings = load_settings({"ROOMTONE_HOME": str(home)})
    history = History()
    publish(history)
    for happened, _ in SCENARIOS:
        history.customer(happened.__name__)
        happened(history, happened.__name__)
    write(settings, history, AS_OF)
    build(settings)
    return settings


@pytest.fixture(scope="module")
def causes(built: Settings) -> dict[str, list[Cause]]:
    found: dict[str, list[Cause]] = {}
    for row in query(built, "select * from marts.fct_suppression_causes order by started_at, policy_id"):
        end = hours(row["planned_end_at"])
        cause = (row["policy_id"], row["policy_version"], hours(row["started_at"]), end, row["planned_end_reason"])
        found.setdefault(row["customer_id"], []).append(cause)
        is_over = end <= AS_OF
        assert row["ended_at"] == (row["planned_end_at"] if is_over else None)
        assert row["end_reason"] == (row["planned_end_reason"] if is_over else None)
    return found


@pytest.mark.parametrize(("happened", "expected"), SCENARIOS, ids=[happened.__name__ for happened, _ in SCENARIOS])
def test_causes(happened: Happened, expected: list[Cause], causes: dict[str, list[Cause]]) -> None:
    assert causes.get(happened.__name__, []) == expected


@pytest.mark.parametrize(
    ("happened", "scope", "expected"), PAUSES, ids=[f"{happened.__name__}-{scope}" for happened, scope, _ in PAUSES]
)
def test_pauses(happened: Happened, scope: str, expected: list[tuple[float, float]], built: Settings) -> None:
    rows = query(
        built,
        "select valid_from, planned_end_at from marts.fct_suppressions"
        f" where customer_id = '{happened.__name__}' and scope = '{scope}' order by valid_from",
    )
    assert [(hours(row["valid_from"]), hours(row["planned_end_at"])) for row in rows] == expected


def test_what_lasts_is_open_and_has_a_planned_end(built: Settings) -> None:
    rows = query(built, "select * from marts.fct_suppressions where valid_to is null")
    assert {row["customer_id"] for row in rows} == {"lasting", "cooling_off"}
    assert all(row["planned_end_at"] > at(AS_OF) for row in rows)
    segment = query(built, "select * from activations.sync_suppression_segment")
    assert {(row["customer_id"], row["scope"], row["until_at"]) for row in segment} == {
        (row["customer_id"], row["scope"], row["planned_end_at"]) for row in rows
    }


def test_every_cause_and_override_has_one_decision(built: Settings) -> None:
    causes = {row["cause_id"] for row in query(built, "select cause_id from marts.fct_suppression_causes")}
    decided = query(
        built,
        "select * from marts.fct_decisions where action = 'pause' and cause_id is not null",
    )
    assert {row["cause_id"] for row in decided} == causes
    assert len(decided) == len(causes)
    assert len({row["decision_id"] for row in decided}) == len(decided)


def test_everybody_ever_paused_has_profile_properties(built: Settings) -> None:
    properties = {row["customer_id"]: row for row in query(built, "select * from activations.sync_profile_properties")}
    ever = {row["customer_id"] for row in query(built, "select distinct customer_id from marts.fct_suppressions")}
    assert set(properties) == ever
    assert all(isinstance(properties[name][f"roomtone_pause_{scope}"], bool) for name in ever for scope in SCOPES)
    assert properties["lasting"]["roomtone_pause_sales"] is True
    assert properties["lasting"]["roomtone_pause_until"] == at(AS_OF + 236)
    assert properties["lasting"]["roomtone_reason"] == "upset"
    assert properties["solved"]["roomtone_pause_sales"] is False
    assert properties["solved"]["roomtone_pause_until"] is None
    # A pause that ends in the instant of the pass is over.
    assert properties["ends_with_the_pass"]["roomtone_pause_sales"] is False
