"""`roomtone why`: what holds, by which rule, on what evidence, what ends it, and why nothing is paused."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from end_to_end.brands import MILD, QUESTION, T0, UPSET, at, customer, message, ticket, write
from roomtone.cli import app
from roomtone.pipeline import run_once
from roomtone.policies.overrides import Override, record
from roomtone.policies.schema import load_policies
from roomtone.policies.why import explain, shortfall
from roomtone.score.risk import RULE_VERSION
from roomtone.settings import PROJECT_ROOT, Settings, load_settings
from roomtone.stores import published
from roomtone.stores.operational import OperationalStore

PEOPLE = {"maya": UPSET, "tom": MILD, "ana": QUESTION, "past": UPSET, "freed": UPSET}


def brand(folder: Path) -> Path:
    solved = [ticket("t-past", "past", "solved", 2, opened=0)]
    return write(
        folder,
        {
            "customers": [customer(name) for name in (*PEOPLE, "silent")]
            + [customer("shop-7", email=" Maya@example.com", created_at=at(-100))],
            "tickets": [ticket(f"t-{name}", name, "new", 0) for name in PEOPLE] + solved,
            "messages": [message(f"m-{name}", f"t-{name}", text, 0) for name, text in PEOPLE.items()],
        },
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("why")
    made = load_settings(
        {"ROOMTONE_HOME": str(folder / "home"), "ROOMTONE_FILES_DIR": str(brand(folder / "brand"))},
    )
    store = OperationalStore(made)
    record(
        store,
        Override.decided("release", "freed", "called her", "lead", (), T0 + timedelta(hours=20), timedelta(hours=72)),
    )
    store.close()
    assert run_once(made, T0 + timedelta(hours=48)).failures == []
    return made


@pytest.fixture
def why(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ROOMTONE_HOME", str(settings.home))

    def ask(*words: str) -> Result:
        return CliRunner().invoke(app, ["why", *words])

    return ask


def test_an_upset_customer_is_explained_to_the_end(why) -> None:
    text = why("maya").stdout
    assert "maya at 2026-03-04 09:00:00 UTC: negative (tier 2, negative) since 2026-03-02 09:00:00 UTC" in text
    assert "paused by open_negative_ticket version 1 (ticket t-maya) since 2026-03-02 09:00:00 UTC" in text
    assert "quiet: celebration, discount, recommendation, review_request, sales, sms, upsell" in text
    assert (
        "ends on 2026-03-16 09:00:00 UTC, if nothing more is heard; sooner: 24 hours after its ticket is solved" in text
    )
    assert "or 12 hours after a positive message (at 0.80 or more)" in text
    assert "decided: sentiment_negative, confidence_reached, ticket_live (decision " in text
    assert "evidence: message m-maya read as negative, confidence 0.9" in text
    assert "characters " in text
    assert "churn risk now: 0.0" in text
    assert f"by {RULE_VERSION}, on mood alone until it is weighed; value at risk 0.00" in text
    assert "\nin effect at files, as of 20" in text


def test_the_span_of_the_evidence_is_in_the_message(why) -> None:
    (cause, *_) = json.loads(why("maya", "--json").stdout)["causes"]
    for reason in json.loads(cause["top_reasons"]):
        start, end = reason["span"]
        assert UPSET[start:end].lower().split()[0].strip(".,!") in reason["reason"]


def test_the_answer_is_the_same_every_time_and_its_decisions_are_taken_again(why) -> None:
    first = json.loads(why("maya", "--json").stdout)
    assert first == json.loads(why("maya", "--json").stdout)
    assert [cause["action"] for cause in first["causes"]] == ["pause"] * len(first["causes"])
    assert {cause["policy_id"] for cause in first["causes"]} == {"open_negative_ticket", "mild_complaint"}
    assert all(len(cause["inputs_hash"]) == 32 for cause in first["causes"])
    assert {scope["scope"] for scope in first["suppressions"]} >= {"sales", "sms"}


def test_a_calm_customer_is_told_why_not(why) -> None:
    text = why("ana").stdout
    assert "calm (tier 0, calm)" in text
    assert "nothing is paused" in text
    assert "message m-ana of 2026-03-02 09:00:00 UTC: " in text
    assert "which starts no pause" in text or "asks for 0.60" in text
    assert "no message and no other fact ever asked for a pause" in why("silent").stdout


def test_the_past_is_explained_as_of_then(why) -> None:
    after = why("past").stdout
    assert "nothing is paused" in after
    assert (
        "the last pause, by open_negative_ticket version 1 (ticket t-past), ended on 2026-03-03 11:00:00 UTC: resolved"
        in after
    )
    before = why("past", "--at", at(1)).stdout
    assert "paused by open_negative_ticket" in before
    assert "since the matter is settled and the cool-off is over then" in before
    assert "in effect" not in before, "what a destination held then is not kept"


def test_a_persons_release_is_named(why) -> None:
    text = why("freed").stdout
    assert "release by lead since 2026-03-03 05:00:00 UTC until 2026-03-06T05:00:00Z: celebration, discount" in text
    assert "nothing is paused" in text
    assert "read as negative at 0.9" in text
    assert "which started mild_complaint; it is over, or a person lifted it" in text


def test_a_vendors_id_leads_to_the_person(why) -> None:
    assert json.loads(why("shop-7", "--json").stdout) == json.loads(why("maya", "--json").stdout)


@pytest.mark.parametrize("command", ["pause", "release"])
def test_nobody_who_is_not_known_is_paused_or_released(command: str, why) -> None:
    result = CliRunner().invoke(app, [command, "mayaa", "--reason", "called"])
    assert result.exit_code == 1
    assert str(result.exception).startswith("customer: mayaa is not in dim_customers; check the id")


def test_an_unknown_customer_is_one_line(why) -> None:
    result = why("nobody")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert str(result.exception) == ("customer: nobody is not in dim_customers; check the id in published/marts.duckdb")


def test_every_published_decision_of_the_brand_comes_out_again(settings: Settings) -> None:
    from roomtone.policies.execute import execute

    rows = published.query(settings, "select action, reason_codes, inputs from fct_decisions")
    assert len(rows) > len(PEOPLE)
    for row in rows:
        found = execute(row["inputs"])
        assert (found.action, found.reason_codes) == (row["action"], row["reason_codes"])


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"is_abstained": True}, "the model was not sure enough to say anything"),
        ({"is_ticket_live": False}, "read as negative at 0.70, on a ticket that was not live"),
        ({"confidence": 0.55}, "read as negative at 0.55; mild_complaint asks for 0.60"),
        ({"sentiment": "positive"}, "read as positive at 0.70, which starts no pause"),
    ],
)
def test_what_a_message_lacks(message: dict, told: str) -> None:
    scored = {"is_abstained": False, "is_ticket_live": True, "sentiment": "negative", "confidence": 0.7}
    rules = load_policies(PROJECT_ROOT / "include" / "policies").suppression
    assert shortfall(scored | message, rules) == told


def test_the_default_instant_is_that_of_the_last_pass(settings: Settings) -> None:
    assert explain(settings, "maya").at == T0 + timedelta(hours=48)


def test_unassigned_tickets_are_shared_among_those_on_duty(why, settings: Settings) -> None:
    def assign(*words: str) -> Result:
        return CliRunner().invoke(app, ["assign", *words])

    told = json.loads(assign("--agent", "ana", "--agent", "ben", "--json").stdout)
    live = [row["ticket_id"] for row in published.query(settings, "select ticket_id from fct_tickets where is_live")]
    assert set(told["agents"]) == set(live)
    # One severe enough to weigh 3 on each side, the calm ones where less lies.
    assert told["agents"]["t-maya"] != told["agents"]["t-freed"] or told["max_to_mean"] < 1.4
    assert sum(told["loads"].values()) >= len(live)
    assert "load then: ana " in assign("--agent", "ana").stdout
    nobody = assign()
    assert nobody.exit_code == 1
    assert str(nobody.exception) == "agents: nobody has a live ticket; name who is on duty: --agent ANA --agent BEN"
