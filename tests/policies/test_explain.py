"""The policies in plain English: the generated page, the editors' schemas, and examples whose dates are right."""

import json
from datetime import timedelta
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from roomtone.contract import SCOPES
from roomtone.policies.explain import generated, render, render_rule, write_docs
from roomtone.policies.rules import leaves
from roomtone.policies.schema import FAMILIES, Policies, json_schemas, load_policies
from roomtone.policies.sentences import MONDAY, duration, example, example_end, what
from roomtone.settings import PROJECT_ROOT

SHIPPED = PROJECT_ROOT / "include" / "policies"
HEADINGS = ("#### What", "#### Example", "#### Why", "#### How to change")


@pytest.fixture(scope="module")
def shipped() -> Policies:
    return load_policies(SHIPPED)


def test_the_generated_files_are_current(shipped: Policies) -> None:
    for path, text in generated(shipped).items():
        written = (PROJECT_ROOT / path).read_text(encoding="utf-8")
        assert written == text, f"{path} is stale: run `roomtone policies docs`"


def test_writing_the_files_again_brings_them_back(tmp_path: Path, shipped: Policies) -> None:
    (tmp_path / "include" / "policies").mkdir(parents=True)
    for family in FAMILIES:
        (tmp_path / "include" / "policies" / f"{family}.yml").write_text((SHIPPED / f"{family}.yml").read_text())
    written = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in write_docs(tmp_path)}
    assert written == generated(shipped)


def test_every_rule_stands_under_its_four_headings_with_every_reason(shipped: Policies) -> None:
    page = render(shipped)
    for family, rules in shipped.families.items():
        for rule in rules:
            text = render_rule(family, rule)
            assert text in page
            assert [line for line in text.splitlines() if line.startswith("####")] == list(HEADINGS)
            for key, reason in rule.whys.items():
                assert f"`{key}: {dict(leaves(rule))[key]:g}`: {reason}" in text
            assert f"set `version: {rule.version + 1}`" in text


def test_every_number_says_what_turning_it_up_does(shipped: Policies) -> None:
    for family, rules in shipped.families.items():
        for rule in rules:
            changes = render_rule(family, rule).split("#### How to change")[1]
            assert [key for key in rule.arguable if f"- `{key}`: higher " not in changes] == []


def test_the_page_names_a_missing_reason(shipped: Policies) -> None:
    rule = shipped.suppression[0].model_copy(update={"whys": {}})
    assert "`end.max_days: 14`: no reason is written down yet" in render_rule("suppression", rule)


def test_a_rule_says_its_numbers(shipped: Policies) -> None:
    text = what(shipped.suppression[0])
    assert "negative with a confidence of at least 0.80" in text
    assert "ends 24 hours after the ticket stops being live" in text
    assert "at the latest 14 days after the latest evidence" in text
    assert "12 hours after a later message on the ticket that reads positive" in text
    assert "every promotional sending waits" in text
    mild = what(shipped.suppression[1])
    assert "these wait: discount, celebration; sales, upsell, recommendation, sms, review request go on" in mild


def test_the_examples_dates_follow_from_the_numbers(shipped: Policies) -> None:
    negative = shipped.suppression[0]
    # Solved 30 hours later, and 24 hours of cool-off.
    assert example_end(negative) == MONDAY + timedelta(hours=54)
    assert "so the pause ends on Wednesday 4 March 16:00" in example(negative)
    assert "it would end on Monday 16 March 10:00" in example(negative)
    short = negative.model_copy(update={"end": negative.end.model_copy(update={"max_days": 2.0})})
    assert example_end(short) == MONDAY + timedelta(days=2)
    spam = next(rule for rule in shipped.suppression if rule.id == "marked_spam")
    assert example_end(spam) == MONDAY + timedelta(hours=336)


def test_a_disabled_rule_says_so(shipped: Policies) -> None:
    welcome = next(rule for rule in shipped.recovery if rule.kind == "welcome_back")
    assert what(welcome).startswith("Switched off: it decides nothing.")
    assert example(welcome).startswith("If it were switched on")


def test_the_kill_switch_says_its_position(shipped: Policies) -> None:
    switch = shipped.guardrails.kill_switch
    assert what(switch).startswith("It is off.")
    assert what(switch.model_copy(update={"is_on": True})).startswith("It is on: nothing leaves")


@pytest.mark.parametrize(
    ("hours", "said"),
    [(0, "0 hours"), (1, "1 hour"), (24, "24 hours"), (36, "36 hours"), (48, "2 days"), (336, "14 days")],
)
def test_durations_are_said_as_people_say_them(hours: float, said: str) -> None:
    assert duration(hours) == said


@pytest.mark.parametrize("family", FAMILIES)
def test_the_editors_schema_takes_the_shipped_file_and_refuses_a_misspelt_key(family: str) -> None:
    validator = jsonschema_rs.validator_for(json_schemas()[family])
    rules = yaml.safe_load((SHIPPED / f"{family}.yml").read_text())
    assert [str(error) for error in validator.iter_errors(rules)] == []
    rules[0]["ownr"] = rules[0].pop("owner")
    assert not validator.is_valid(rules)
    head = (SHIPPED / f"{family}.yml").read_text().splitlines()[0]
    assert head == f"# yaml-language-server: $schema=schema/{family}.json"


def test_the_editors_schema_knows_the_scopes() -> None:
    text = json.dumps(json_schemas()["suppression"])
    assert all(f'"{scope}"' in text for scope in SCOPES)
