"""What the playbooks tell a marketer to type exists under that very name."""

import re
from pathlib import Path

import pytest

from roomtone.contract import RECOVERY_KINDS
from roomtone.settings import PROJECT_ROOT
from roomtone.sync.desired import PAUSES
from roomtone.sync.destinations import NAMES
from roomtone.sync.destinations.klaviyo import metric_name

PAGES = sorted((PROJECT_ROOT / "docs" / "playbooks").glob("*.md"))
PROPERTIES = {*PAUSES, "roomtone_tier", "roomtone_reason", "roomtone_pause_until", "roomtone_synced_at"}
TAGS = {"roomtone_", *(f"roomtone_tier_{tier}" for tier in range(4))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_are_those_that_are_sent(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"\broomtone_[a-z_]*\d?", text)) - {"roomtone_pause_"}
    assert named <= PROPERTIES | TAGS
    variables = set(re.findall(r"\bROOMTONE_[A-Z_]+[A-Z]\b", text))
    known = (PROJECT_ROOT / ".env.example").read_text()
    assert [name for name in sorted(variables) if f"{name}=" not in known] == []


def test_there_is_a_page_for_each_platform_that_a_person_sets_up() -> None:
    assert {page.stem for page in PAGES} == {"klaviyo", "braze", "customerio", "zendesk"} <= set(NAMES)


def test_the_events_are_named_as_they_arrive() -> None:
    text = " ".join((PROJECT_ROOT / "docs" / "playbooks" / "klaviyo.md").read_text().split())
    assert [kind for kind in RECOVERY_KINDS if f"`{metric_name(kind)}`" not in text] == []


@pytest.mark.parametrize("page", PAGES[:3], ids=lambda page: page.stem)
def test_each_says_how_to_try_it_and_how_to_go_back(page: Path) -> None:
    text = page.read_text()
    wanted = ("roomtone doctor", "roomtone pause", "roomtone release", "kill switch", "30 days")
    assert [words for words in wanted if words not in text] == []
