"""Every decision, taken again from its stored inputs, comes to the same action for the same reasons."""

import json
from collections import Counter

import pytest

from roomtone.errors import RoomtoneError
from roomtone.policies.execute import execute, inputs_hash
from roomtone.settings import Settings, load_settings
from transform.histories import History, Row, build, query, write
from transform.random_lives import AS_OF, make

COUNT = 400


def owe(history: History) -> None:
    """Recovery rules of every kind, with limits tight enough to be met."""
    offer = {"message_class": "marketing", "requires_fact": True, "consent": "email", "offer": "10 % off"}
    history.recovery("sorry", "apology", "cause_started", min_tier=2, expires_after_hours=2.0, budget_per_month=30)
    history.recovery("code", "discount_code", "ticket_resolved", min_tier=1, cooldown_days=20.0, **offer)
    history.recovery("stall", "free_shipping", "shipment_stalled", wait_hours=24.0, budget_per_day=1, **offer)
    history.recovery("note", "personal_note", "severe_state", message_class="human", min_tier=3)
    history.recovery("back", "welcome_back", "suppression_ended", min_tier=2, expires_after_hours=48.0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path_factory.mktemp("again"))})
    history = make(5, COUNT)
    owe(history)
    write(settings, history, AS_OF)
    build(settings)
    return settings


@pytest.fixture(scope="module")
def decisions(built: Settings) -> list[Row]:
    return query(built, "select * from marts.fct_decisions")


def test_every_decision_comes_to_the_same_action_again(decisions: list[Row]) -> None:
    different = [
        (row["action"], row["reason_codes"], found, row["inputs"])
        for row in decisions
        if (found := execute(row["inputs"])) != (type(found)(row["action"], row["reason_codes"]))
    ]
    assert different == []
    actions = Counter(row["action"] for row in decisions)
    assert actions.keys() == {"pause", "release", "recover", "withhold"}
    assert min(actions.values()) > 20
    reasons = {row["reason_codes"].rpartition(",")[2] for row in decisions if row["action"] == "withhold"}
    assert reasons >= {"allowance_used", "monthly_budget_spent", "no_verified_fact", "was_upset_already"}, reasons


def test_the_hash_is_of_the_inputs_and_of_nothing_else(decisions: list[Row]) -> None:
    assert all(row["inputs_hash"] == inputs_hash(row["inputs"]) for row in decisions)
    assert len({row["inputs_hash"] for row in decisions}) == len(decisions)


def test_every_active_pause_and_trigger_joins_to_one_decision(built: Settings, decisions: list[Row]) -> None:
    causes, triggers, overrides = (
        Counter(row[key] for row in decisions if row[key] and (key != "cause_id" or row["action"] == "pause"))
        for key in ("cause_id", "trigger_id", "override_id")
    )
    for row in query(built, "select cause_ids, override_ids from marts.fct_suppressions where valid_to is null"):
        names = [*filter(None, row["cause_ids"].split(",")), *filter(None, row["override_ids"].split(","))]
        assert names
        assert all(causes[name] + overrides[name] == 1 for name in names)
    for row in query(built, "select trigger_id from marts.fct_recovery_triggers"):
        assert triggers[row["trigger_id"]] == 1
    assert all(json.loads(row["evidence"]) for row in decisions)


@pytest.mark.parametrize(
    ("change", "action"),
    [
        ({"confidence": 0.79}, "none"),
        ({"sentiment": "neutral"}, "none"),
        ({"is_abstained": True}, "none"),
        ({"is_ticket_live": False}, "none"),
        ({"start_min_confidence": 0.95}, "none"),
        ({"confidence": 0.99}, "pause"),
    ],
)
def test_other_inputs_come_to_another_action(decisions: list[Row], change: Row, action: str) -> None:
    row = next(
        row for row in decisions if row["policy_id"] == "upset" and json.loads(row["inputs"])["confidence"] == 0.9
    )
    assert execute(json.dumps(json.loads(row["inputs"]) | change)).action == action


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"decision": "guess"}', '{"decision": "pause"}', "null"])
def test_inputs_that_nobody_stored_are_one_line(text: str) -> None:
    with pytest.raises(RoomtoneError, match="fct_decisions: inputs cannot be read") as caught:
        execute(text)
    assert "\n" not in str(caught.value)
