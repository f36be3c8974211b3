"""`roomtone policies check`: all that is wrong at once, by name, and what may stand but is probably not meant."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from roomtone.cli import app
from roomtone.policies.schema import checked_policies, load_policies, warnings
from roomtone.settings import PROJECT_ROOT

SHIPPED = PROJECT_ROOT / "include" / "policies"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped policies."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "policies"))


def edit(folder: Path, family: str, *changes: tuple[str, str]) -> None:
    path = folder / f"{family}.yml"
    text = path.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text)


def without(path: Path, *parts: str) -> str:
    return "".join(line for line in path.read_text().splitlines(True) if not any(part in line for part in parts))


def told(folder: Path) -> list[str]:
    policies, problems = checked_policies(folder)
    assert (policies is None) == bool(problems)
    return [str(problem) for problem in problems]


def test_the_shipped_policies_have_nothing_wrong_and_nothing_doubtful() -> None:
    policies, problems = checked_policies(SHIPPED)
    assert problems == []
    assert policies is not None
    assert warnings(policies) == []


def test_all_that_is_wrong_is_told_at_once(folder: Path) -> None:
    edit(
        folder,
        "suppression",
        ("tier: 2", "tier: 9"),
        ("max_days: 7", "max_days: 31"),
        ("pause: [upsell, cele", "pauze: [upsell, cele"),
    )
    edit(folder, "recovery", ("id: welcome_back", "id: apology_at_once"))
    edit(folder, "routing", ("weights:", "wights:"))
    (folder / "guardrails.yml").unlink()
    lines = told(folder)
    for part in (
        "tier: 9",
        "end.max_days: 31",
        "pauze: is not a key here; did you mean pause?",
        "apology_at_once is already the id of a rule in recovery.yml",
        "wights: is not a key here; did you mean weights?",
        "guardrails.yml: does not exist",
    ):
        assert [line for line in lines if part in line], part
    assert all(line.count("\n") == 0 for line in lines)


def test_every_contradiction_is_told(folder: Path) -> None:
    edit(
        folder,
        "suppression",
        ("min_confidence: 0.60", "min_confidence: 0.95"),
        ("count: 3, days: 7}", "count: 3, days: 7}"),
    )
    path = folder / "suppression.yml"
    path.write_text(
        path.read_text() + "\n- id: " + path.read_text().split("- id: ")[8].replace("marked_spam", "spam_again", 1)
    )
    lines = told(folder)
    assert len(lines) == 2
    assert "rule mild_complaint: asks for more than open_negative_ticket and leads to tier 1 instead of 2" in lines[0]
    assert "rule spam_again: starts exactly as marked_spam does" in lines[1]
    with pytest.raises(Exception, match=r"\(1 more after it\)"):
        load_policies(folder)


def test_a_queue_that_an_earlier_one_empties_is_refused(folder: Path) -> None:
    edit(folder, "routing", ("min_tier: 3, priority: urgent", "min_tier: 2, priority: urgent"))
    lines = told(folder)
    assert len(lines) == 2
    assert "rule ticket_priority: queue 2, escalations, gets no ticket: queue 1, escalations, takes all" in lines[0]
    assert "put the narrower queue first" in lines[0]


def test_queues_by_intent_cover_only_their_own(folder: Path) -> None:
    one = '    - {queue: returns, intents: [refund, return], priority: normal, why: "money"}\n'
    other = '    - {queue: money, intents: [refund], priority: high, why: "money"}\n'
    anchor = "    - {queue: support, min_tier: 1"
    edit(folder, "routing", (anchor, other + one + anchor))
    assert told(folder) == []
    edit(folder, "routing", (other + one, one + other))
    assert "money, gets no ticket" in told(folder)[0]


def test_what_is_probably_not_meant_is_warned_of(folder: Path) -> None:
    suppression, recovery = folder / "suppression.yml", folder / "recovery.yml"
    suppression.write_text(without(suppression, "    start.min_confidence: at most about"))
    recovery.write_text(without(recovery, "offer_value: 6", "    offer_value: a tenth"))
    edit(folder, "suppression", ("  start: {fact: threat}\n", "  enabled: false\n  start: {fact: threat}\n"))
    never = "trigger.min_tier 3 is never reached, no rule leads to more than 2; lower it, or add a rule"
    assert warnings(load_policies(folder)) == [
        "open_negative_ticket: start.min_confidence: has no reason; write one under whys",
        f"priority_handling_confirmed: {never}",
        f"note_from_a_person: {never}",
        (
            "goodwill_after_resolution: offer_value is missing;"
            " set it, so that `roomtone simulate` can say what the offers cost"
        ),
    ]


def test_a_rule_that_adds_nothing_is_warned_of(folder: Path) -> None:
    text = (folder / "suppression.yml").read_text()
    more = text.split("- id: ")[3].replace("shipment_stalled\n", "stalled_longer\n", 1).replace("days: 5}", "days: 8}")
    (folder / "suppression.yml").write_text(text + "\n- id: " + more)
    assert warnings(load_policies(folder)) == [
        "stalled_longer: pauses nothing that shipment_stalled does not pause already; let it pause more, or take it out"
    ]


def test_the_command_prints_every_line_and_ends_with_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(folder, "suppression", ("tier: 2", "tier: 9"), ("max_days: 7", "max_days: 31"))
    monkeypatch.setenv("ROOMTONE_POLICIES", str(folder))
    result = CliRunner().invoke(app, ["policies", "check"])
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr.startswith("roomtone: ")
    assert "2 things are wrong; mend what each line above names" in result.stderr


def test_an_offers_value_stands_beside_an_offer_only(folder: Path) -> None:
    edit(folder, "recovery", ("consent: none\n", "consent: none\n  offer_value: 5\n"))
    assert "offer_value: 5.0; a message with an offer is marketing" in told(folder)[0]
