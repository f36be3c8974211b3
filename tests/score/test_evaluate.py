from pathlib import Path

import numpy as np
import pytest

from roomtone.score import card
from roomtone.score.evaluate import evaluate
from roomtone.score.model import Model


@pytest.mark.data
def test_the_shipped_model_on_sets_it_never_saw(model: Model, data_dir: Path) -> None:
    figures = evaluate(model, data_dir)
    assert figures["model_version"] == model.version
    for name, row in figures["sets"].items():
        assert row["n"] > 1000, name
        assert row["auc_negative"] > 0.65, name
        assert 0 < row["lexicon_rule_macro_f1"] < 1
    assert figures["cues"]["gratitude"]["f1"] > 0.85
    assert figures["cues"]["frustration"]["f1"] > 0.45


def test_calibration_error_of_a_known_case() -> None:
    chances = np.array([[0.9, 0.1, 0.0]] * 10)
    target = np.array([0] * 6 + [1] * 4)
    error, bins = card.calibration(target, chances)
    assert error == pytest.approx(0.3)
    assert bins == [(pytest.approx(0.9), pytest.approx(0.6), pytest.approx(1.0))]


def test_macro_f1_of_a_known_case() -> None:
    target, answer = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 0, 2, 2])
    assert card.macro_f1(target, answer) == pytest.approx((0.8 + 2 / 3 + 1) / 3)
    assert card.report(target, np.eye(3)[answer])["recall_neutral"] == 0.5
