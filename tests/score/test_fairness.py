"""Manners, names and dialects: the same facts earn the same offers, and a name changes next to nothing."""

import pytest

from roomtone.score import fairness
from roomtone.score.model import Model


def test_a_name_hardly_ever_changes_the_answer(model: Model) -> None:
    found = {group: counts for group, counts in fairness.flips(model).items() if group.startswith("names")}
    assert set(found) == {f"names {group}" for group in fairness.NAMES}
    for group, (changed, count) in found.items():
        assert count == 24, group
        assert changed <= 2, group


def test_flips_of_every_dialect_are_told(model: Model) -> None:
    found = {group: counts for group, counts in fairness.flips(model).items() if group.startswith("dialect")}
    assert {group.split()[1] for group in found} == {"scots", "african_american", "indian", "learner"}
    card = fairness.section(model)
    for group, (changed, count) in found.items():
        assert f"| {group} | {changed} of {count} |" in card


def test_flips_are_counted(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    monkeypatch.setattr(fairness, "NAMES", {"rude": ("you idiots, this is terrible", "Chris")})
    changed, count = fairness.flips(model)["names rude"]
    assert count == 16
    assert changed >= 2
