"""Who writes rudely gets no more and no less than who writes politely: offers hang on facts and on a closed ticket.

Each pair of hand-written messages goes through a whole pass with the shipped model and the shipped policies.
"""

from pathlib import Path

import pytest

from roomtone.sandbox import mood_judgement
from roomtone.score import fairness
from roomtone.settings import load_settings


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory, shipped: Path) -> set[str]:
    settings = load_settings({"ROOMTONE_MODEL": str(shipped)})
    return mood_judgement.offered_customers(settings, tmp_path_factory.mktemp("fair"))


def test_manners_change_no_offer(offered: set[str]) -> None:
    count = len(fairness.manners())
    assert count >= 10
    assert {name for name in offered if "-fact-" in name} == {
        f"{manner}-fact-{number}" for manner in mood_judgement.MANNERS for number in range(count)
    }


def test_nobody_is_paid_for_anger_alone(offered: set[str]) -> None:
    assert not [name for name in offered if "-nothing-" in name]
