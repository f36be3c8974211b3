"""The policy files: the contract's example, the shipped rules, and every refusal with file, line, rule and key."""

import shutil
from pathlib import Path

import pytest

from roomtone.contract import SCOPES
from roomtone.errors import RoomtoneError
from roomtone.policies.rules import missing_whys
from roomtone.policies.schema import Policies, load_policies
from roomtone.policies.suppression import MessageStart
from roomtone.settings import PROJECT_ROOT

SHIPPED = PROJECT_ROOT / "include" / "policies"

# Contract section 5, letter by letter.
CONTRACT_EXAMPLE = """\
- id: open_negative_ticket
  version: 1
  owner: CX lead
  why: no discounts during disputes
  start: {sentiment: negative, min_confidence: 0.80}    # tested on every customer message of a live ticket
  tier: 2
  pause: [sales, upsell, recommendation, sms, discount, celebration, review_request]
  relief: {sentiment: positive, min_confidence: 0.80, after_hours: 12}   # optional
  end: {cool_off_hours: 24, max_days: 14}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped policies."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "policies"))


@pytest.fixture(scope="module")
def shipped() -> Policies:
    return load_policies(SHIPPED)


def edited(folder: Path, family: str, old: str, new: str, count: int = 1) -> Path:
    path = folder / f"{family}.yml"
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new, count))
    return folder


def refusal(folder: Path) -> RoomtoneError:
    with pytest.raises(RoomtoneError) as caught:
        load_policies(folder)
    assert "\n" not in str(caught.value)
    return caught.value


def suppression(folder: Path, text: str) -> Path:
    (folder / "suppression.yml").write_text(text)
    return folder


def test_the_contracts_example_loads_as_it_stands(folder: Path) -> None:
    (rule,) = load_policies(suppression(folder, CONTRACT_EXAMPLE)).suppression
    assert (rule.id, rule.version, rule.owner, rule.tier) == ("open_negative_ticket", 1, "CX lead", 2)
    assert rule.start == MessageStart(sentiment="negative", min_confidence=0.8)
    assert rule.pause == SCOPES
    assert rule.relief is not None
    assert rule.relief.after_hours == 12
    assert (rule.end.cool_off_hours, rule.end.max_days) == (24, 14)


@pytest.mark.parametrize(
    "start",
    [
        "{fact: shipment_stalled, days: 5}",
        "{fact: shipment_late, days: 2}",
        "{fact: repeat_contact, count: 3, days: 7}",
        "{fact: threat}",
        "{fact: marked_spam}",
        "{fact: refund}",
    ],
)
def test_every_fact_of_the_contract_can_start_a_rule(folder: Path, start: str) -> None:
    text = CONTRACT_EXAMPLE.replace("{sentiment: negative, min_confidence: 0.80}", start, 1)
    text = "\n".join(line for line in text.splitlines() if "relief" not in line)
    (rule,) = load_policies(suppression(folder, text)).suppression
    assert rule.start.model_dump() == {
        key.strip(): value if key.strip() == "fact" else float(value)
        for key, value in (pair.replace(" ", "").split(":") for pair in start.strip("{}").split(","))
    }


def test_the_pause_is_kept_in_the_contracts_order(folder: Path) -> None:
    text = CONTRACT_EXAMPLE.replace("[sales, upsell,", "[upsell, sales,")
    assert load_policies(suppression(folder, text)).suppression[0].pause == SCOPES


def test_every_shipped_number_has_its_reason(shipped: Policies) -> None:
    assert [gap for rules in shipped.families.values() for gap in missing_whys(rules)] == []


def test_the_shipped_rules_give_the_story(shipped: Policies) -> None:
    rules = {rule.id: rule for rule in shipped.suppression}
    everything, mild, stalled = rules["open_negative_ticket"], rules["mild_complaint"], rules["shipment_stalled"]
    assert (everything.tier, everything.pause, everything.end.cool_off_hours) == (2, SCOPES, 24)
    assert (mild.tier, mild.pause) == (1, ("discount", "celebration"))
    assert (stalled.tier, stalled.start.model_dump()["days"]) == (1, 5)
    assert stalled.pause == ("upsell", "recommendation", "celebration", "review_request")
    owed = {rule.kind: rule for rule in shipped.recovery if rule.is_enabled}
    assert "welcome_back" not in owed
    apology, code, shipping = owed["apology"], owed["discount_code"], owed["free_shipping"]
    assert (apology.message_class, apology.trigger.event, apology.trigger.min_tier) == ("service", "cause_started", 2)
    assert (apology.wait_hours, apology.expires_after_hours) == (0, 2)
    assert (code.message_class, code.trigger.event, code.consent) == ("marketing", "ticket_resolved", "email")
    assert code.trigger.requires_fact
    assert (code.wait_hours, code.budget.per_customer) == (0, 1)
    assert (shipping.trigger.event, shipping.wait_hours, shipping.budget.per_customer) == ("shipment_stalled", 24, 1)
    # Expired before the ticket, solved a day after the stall is found, has cooled off for another: one offer is left.
    assert shipping.wait_hours + shipping.expires_after_hours < 26 + everything.end.cool_off_hours
    urgent = next(
        queue for queue in shipped.routing.queues if queue.min_tier <= 2 and queue.min_urgency in (None, "high")
    )
    assert (urgent.queue, urgent.priority) == ("escalations", "urgent")


def test_no_shipped_rule_of_tier_3_starts_by_a_score_and_none_of_tier_1_pauses_all(shipped: Policies) -> None:
    for rule in shipped.suppression:
        assert rule.tier < 3 or not isinstance(rule.start, MessageStart)
        assert rule.tier > 1 or len(rule.pause) < len(SCOPES)


SUPPRESSION_REFUSALS = {
    "misspelt key": ("max_days: 14", "max_dayz: 14", ("line 9", "end.max_dayz", "did you mean max_days?")),
    "misspelt start": ("min_confidence: 0.80}  ", "min_confidenc: 0.80}  ", ("start.min_confidenc", "min_confidence?")),
    "misspelt top key": ("owner:", "owners:", ("line 3", "rule open_negative_ticket", "did you mean owner?")),
    "missing key": ("  tier: 2\n", "", ("line 1", "tier: is missing")),
    "unknown scope": ("[sales,", "[sale,", ("pause.1", "'sale'", "did you mean sales?")),
    "transactional scope": ("[sales,", "[transactional,", ("pause.1", "'transactional'", "choose from sales")),
    "scope twice": ("[sales,", "[sales, sales,", ("pause", "sales", "once")),
    "empty pause": (
        "sales, upsell, recommendation, sms, discount, celebration, review_request",
        "",
        ("pause: is empty", "name at least one"),
    ),
    "confidence over 1": (
        "min_confidence: 0.80}  ",
        "min_confidence: 80}  ",
        ("start.min_confidence: 80", "less than or"),
    ),
    "not a number": ("min_confidence: 0.80}  ", "min_confidence: .nan}  ", ("start.min_confidence: nan", "finite")),
    "number as text": ("max_days: 14", 'max_days: "14"', ("end.max_days: '14'", "number")),
    "over the cap": ("max_days: 14", "max_days: 31", ("end.max_days: 31", "30")),
    "cool-off longer than the cap": (
        "cool_off_hours: 24",
        "cool_off_hours: 400",
        ("end.cool_off_hours: 400", "max_days"),
    ),
    "tier 3 by a score": ("tier: 2", "tier: 3", ("tier: 3", "never reaches tier 3")),
    "blackout in tier 1": ("tier: 2", "tier: 1", ("pause: all seven scopes", "full blackout")),
    "tier 4": ("tier: 2", "tier: 4", ("tier: 4", "3")),
    "positive start": ("{sentiment: negative", "{sentiment: positive", ("start.sentiment: 'positive'", "negative")),
    "relief by what starts": ("{sentiment: positive", "{sentiment: negative", ("relief.sentiment: 'negative'",)),
    "unknown fact": (
        "{sentiment: negative, min_confidence: 0.80}",
        "{fact: treat}",
        ("start.fact: 'treat'", "threat?"),
    ),
    "fact without days": (
        "{sentiment: negative, min_confidence: 0.80}",
        "{fact: shipment_stalled}",
        ("start.days: is missing",),
    ),
    "fact with a stranger's key": (
        "{sentiment: negative, min_confidence: 0.80}",
        "{fact: threat, days: 3}",
        ("start.days: is not a key here; choose from fact",),
    ),
    "relief without a ticket": (
        "{sentiment: negative, min_confidence: 0.80}",
        "{fact: marked_spam}",
        ("relief", "marked_spam", "leave relief out"),
    ),
    "expression instead of a mapping": (
        "{sentiment: negative, min_confidence: 0.80}",
        "sentiment == 'negative'",
        ("start", "is not what belongs here"),
    ),
    "no version": ("  version: 1\n", "", ("version: is missing",)),
    "version 0": ("version: 1", "version: 0", ("version: 0",)),
    "version true": ("version: 1", "version: true", ("version: True",)),
    "empty why": ("why: no discounts during disputes", "why:", ("line 4", "why: None")),
    "id with spaces": ("id: open_negative_ticket", "id: open negative", ("id: 'open negative'", "lower-case letters")),
    "why of two lines": ("why: no discounts during disputes", 'why: "one\\n\\ntwo"', ("why: ", "write one line")),
    "why for a number that is not there": (
        "  tier: 2\n",
        "  tier: 2\n  whys: {end.max_day: two weeks}\n",
        ("whys.end.max_day", "did you mean whys.end.max_days?"),
    ),
    "key twice": ("  tier: 2\n", "  tier: 2\n  tier: 1\n", ("line 7", "key tier is given twice")),
    "no list": ("- id: open_negative_ticket\n", "  id: open_negative_ticket\n", ("is not a list of rules", "- id:")),
    "broken YAML": ("{sentiment: negative,", "{sentiment: negative", ("line 5", "mend it")),
    "two documents": ("  tier: 2\n", "---\ntier: 2\n", ("suppression.yml, line",)),
    "a tag that would run code": ("tier: 2", "tier: !!python/object/apply:os.getpid []", ("line 6",)),
}


@pytest.mark.parametrize("case", SUPPRESSION_REFUSALS, ids=str)
def test_a_wrong_suppression_rule_is_refused_by_name(folder: Path, case: str) -> None:
    old, new, told = SUPPRESSION_REFUSALS[case]
    assert old in CONTRACT_EXAMPLE
    text = str(refusal(suppression(folder, CONTRACT_EXAMPLE.replace(old, new, 1))))
    assert text.startswith("suppression.yml")
    for part in told:
        assert part in text


def test_the_first_of_several_mistakes_is_told_and_the_rest_counted(folder: Path) -> None:
    text = (
        CONTRACT_EXAMPLE.replace("tier: 2", "tier: 9")
        .replace("max_days: 14", "max_days: 99")
        .replace("version: 1", "version: x")
    )
    told = str(refusal(suppression(folder, text)))
    assert "line 2" in told
    assert "(2 more after it)" in told


RECOVERY_REFUSALS = {
    "offer by words alone": (
        "min_tier: 1, requires_fact: true",
        "min_tier: 1",
        ("requires_fact", "words alone never pay"),
    ),
    "offer without consent": ("consent: email", "consent: none", ("consent: none", "needs consent")),
    "marketing without an offer": ("  offer: 10 % off the next order\n", "", ("offer: is missing",)),
    "offer in a service message": (
        "consent: none\n",
        "consent: none\n  offer: 5 off\n",
        ("offer: 5 off", "is marketing"),
    ),
    "coupon on a bad mood": (
        "event: ticket_resolved",
        "event: cause_started",
        ("trigger.event", "owed on ticket_resolved"),
    ),
    "coupon disguised as service": ("message_class: marketing", "message_class: service", ("message_class: service",)),
    "note by a machine": ("message_class: human", "message_class: service", ("message_class: service", "class human")),
    "day over month": (
        "per_day: 200, per_month: 2000",
        "per_day: 200, per_month: 100",
        ("budget.per_day: 200", "per_month"),
    ),
    "day over the guardrail": (
        "per_day: 50, per_month",
        "per_day: 101, per_month",
        ("budget.per_day", "guardrail offers_a_day"),
    ),
    "no budget": ("per_customer: 1, ", "", ("budget.per_customer: is missing",)),
    "unknown kind": ("kind: apology", "kind: apologies", ("kind: 'apologies'", "did you mean apology?")),
    "tier of a parcel": (
        "shipment_stalled, ",
        "shipment_stalled, min_tier: 2, ",
        ("trigger.min_tier: 2", "leave it out"),
    ),
    "never expires": ("expires_after_hours: 2\n", "expires_after_hours: 0\n", ("expires_after_hours: 0",)),
}


@pytest.mark.parametrize("case", RECOVERY_REFUSALS, ids=str)
def test_a_wrong_recovery_rule_is_refused_by_name(folder: Path, case: str) -> None:
    old, new, told = RECOVERY_REFUSALS[case]
    text = str(refusal(edited(folder, "recovery", old, new)))
    assert text.startswith("recovery.yml, line ")
    for part in told:
        assert part in text


ROUTING_REFUSALS = {
    "no last queue": (
        "{queue: support, priority: normal",
        "{queue: support, min_tier: 1, priority: normal",
        ("takes every",),
    ),
    "unreachable queue": ("queue: escalations, min_tier: 3,", "queue: escalations,", ("queues", "move it to the end")),
    "unknown priority": ("priority: urgent", "priority: asap", ("queues.1.priority: 'asap'", "choose from low")),
    "severe waits longest": ("severe: 1}", "severe: 48}", ("sla_hours: 24, 12, 4, 48", "never waits longer")),
    "mood without weight": ("tier: 45", "tier: 0", ("weights.tier: 0",)),
    "misspelt weight": ("urgency: 25", "urgncy: 25", ("weights.urgncy", "did you mean urgency?")),
}


@pytest.mark.parametrize("case", ROUTING_REFUSALS, ids=str)
def test_a_wrong_routing_rule_is_refused_by_name(folder: Path, case: str) -> None:
    old, new, told = ROUTING_REFUSALS[case]
    text = str(refusal(edited(folder, "routing", old, new)))
    assert text.startswith("routing.yml, line ")
    for part in told:
        assert part in text


GUARDRAIL_REFUSALS = {
    "unknown guard": ("guard: offers", "guard: ofers", ("guard: 'ofers'", "did you mean offers?")),
    "no guard named": ("  guard: offers\n", "", ("rule offers_a_day, guard: is missing",)),
    "guard twice": ("guard: vanished", "guard: newly_paused", ("newly_paused stands there twice",)),
    "share over 1": ("max_share: 0.005", "max_share: 5", ("max_share: 5",)),
    "switch as text": ("is_on: false", "is_on: 'no'", ("is_on: 'no'",)),
    "switch without position": ("  is_on: false\n", "", ("rule kill_switch, is_on: is missing",)),
}


@pytest.mark.parametrize("case", GUARDRAIL_REFUSALS, ids=str)
def test_a_wrong_guardrail_is_refused_by_name(folder: Path, case: str) -> None:
    old, new, told = GUARDRAIL_REFUSALS[case]
    text = str(refusal(edited(folder, "guardrails", old, new)))
    assert text.startswith("guardrails.yml, line ")
    for part in told:
        assert part in text


def test_a_guard_that_was_taken_out_is_missed(folder: Path) -> None:
    path = folder / "guardrails.yml"
    path.write_text(path.read_text().split("- id: kill_switch")[0])
    assert "has no guard kill_switch" in str(refusal(folder))


def test_an_id_is_taken_once_across_all_files(folder: Path) -> None:
    told = str(refusal(edited(folder, "recovery", "id: welcome_back", "id: threat")))
    assert "recovery.yml" in told
    assert "rule threat, id: threat is already the id of a rule in suppression.yml" in told


def test_two_rules_that_start_alike_are_refused(folder: Path) -> None:
    told = str(refusal(edited(folder, "suppression", "min_confidence: 0.60", "min_confidence: 0.80")))
    assert "starts exactly as" in told


def test_stronger_evidence_may_not_lead_to_a_lower_tier(folder: Path) -> None:
    told = str(refusal(edited(folder, "suppression", "min_confidence: 0.60", "min_confidence: 0.95")))
    assert "rule mild_complaint: asks for more than open_negative_ticket and leads to tier 1 instead of 2" in told


def test_a_disabled_rule_contradicts_nothing(folder: Path) -> None:
    edited(folder, "suppression", "min_confidence: 0.60", "min_confidence: 0.95")
    edited(folder, "suppression", "  why: a small annoyance", "  enabled: false\n  why: a small annoyance")
    assert not next(rule for rule in load_policies(folder).suppression if rule.id == "mild_complaint").is_enabled


def test_the_same_thing_is_not_owed_by_two_rules(folder: Path) -> None:
    path = folder / "recovery.yml"
    first = path.read_text().split("- id: ")[1]
    path.write_text(path.read_text() + "\n- id: " + first.replace("apology_at_once", "second_apology"))
    assert "owes apology on cause_started as apology_at_once does" in str(refusal(folder))


@pytest.mark.parametrize("family", ["suppression", "recovery", "routing", "guardrails"])
def test_a_missing_file_is_named(folder: Path, family: str) -> None:
    (folder / f"{family}.yml").unlink()
    assert f"{family}.yml: does not exist; put it there, or point ROOMTONE_POLICIES" in str(refusal(folder))


def test_a_file_that_is_no_text_is_named(folder: Path) -> None:
    (folder / "routing.yml").write_bytes(b"\xff\xfe\x00")
    assert "routing.yml: is not UTF-8" in str(refusal(folder))


def test_an_enormous_file_is_refused(folder: Path) -> None:
    (folder / "routing.yml").write_text("# " + "x" * 1_100_000)
    assert "is larger than" in str(refusal(folder))


def test_a_brand_may_do_without_suppression_and_recovery_rules(folder: Path) -> None:
    (folder / "suppression.yml").write_text("[]\n")
    (folder / "recovery.yml").write_text("[]\n")
    loaded = load_policies(folder)
    assert loaded.suppression == loaded.recovery == ()


@pytest.mark.parametrize("family", ["suppression", "recovery", "routing", "guardrails"])
def test_an_empty_file_is_refused(folder: Path, family: str) -> None:
    (folder / f"{family}.yml").write_text("# nothing\n")
    assert "is not a list of rules" in str(refusal(folder))


def test_routing_without_a_rule_is_refused(folder: Path) -> None:
    (folder / "routing.yml").write_text("[]\n")
    assert "holds no rule" in str(refusal(folder))
