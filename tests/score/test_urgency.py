"""The urgency set: hand-written, balanced, apart from training; the shipped head beats always answering one class."""

from collections import Counter

from roomtone.score import checks
from roomtone.score.data import URGENCIES
from roomtone.score.model import Model


def test_there_are_three_hundred_messages_a_third_of_each_urgency() -> None:
    messages = checks.urgency_messages()
    assert len(messages) == len({text for text, _ in messages}) >= 300
    assert set(Counter(urgency for _, urgency in messages)) == set(URGENCIES)
    assert min(Counter(urgency for _, urgency in messages).values()) >= 100


def test_the_shipped_head_is_better_than_one_answer_for_all(model: Model) -> None:
    figures = checks.urgency_figures(model)
    assert figures["accuracy"] > 0.5
    assert figures["macro_f1"] > 1 / 6
    assert figures["recall_low"] + figures["recall_normal"] > 1.0
