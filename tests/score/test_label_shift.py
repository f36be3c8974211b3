"""Label-shift correction: it finds planted shares, stays within its bounds, and refuses where it would guess."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomtone.score import card, data, label_shift, learning
from roomtone.score.heads import softmax
from roomtone.score.model import Model

DECLARED = np.array([0.35, 0.45, 0.20])


def inbox(shares: tuple[float, float, float], count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """True classes of an inbox with `shares`, and probabilities that are calibrated at `DECLARED`."""
    chance = np.random.default_rng(seed)
    target = chance.choice(3, count, p=shares)
    evidence = chance.normal(size=(count, 3))
    evidence[np.arange(count), target] += 2.0
    # Unit normals, the class's own moved by 2: its log likelihood ratio is 2 x the value, up to what all share.
    return target, softmax(2.0 * evidence + np.log(DECLARED))


@pytest.mark.parametrize("shares", [(0.65, 0.20, 0.15), (1 / 3, 1 / 3, 1 / 3), (0.12, 0.75, 0.13)])
def test_planted_shares_are_approached_and_the_answers_are_no_worse(shares: tuple[float, float, float]) -> None:
    target, chances = inbox(shares, 4000)
    shift = label_shift.estimate(chances, DECLARED, 0.01, seed=7)
    assert shift.is_applied
    assert shift.prior[1] == pytest.approx(DECLARED[1])
    told, declared, true = (np.log(prior[0] / prior[2]) for prior in (shift.prior, DECLARED, shares))
    assert abs(told - true) < 0.8 * abs(declared - true)
    moved = label_shift.move(chances, DECLARED, shift.prior)
    named = label_shift.named(moved, label_shift.naming_weights(shift.prior, DECLARED))
    assert card.macro_f1(target, named) >= card.macro_f1(target, chances.argmax(axis=1)) - 0.01
    rows = np.arange(len(target))
    assert np.log(moved[rows, target]).mean() > np.log(chances[rows, target]).mean()


def test_a_border_of_neutral_that_lies_elsewhere_is_not_taken_for_a_share() -> None:
    """The model finds too little neutral: that tells nothing of how negative and positive stand to one another."""
    _, chances = inbox((0.35, 0.45, 0.20), 4000)
    told = label_shift.move(chances, np.ones(3), np.array([1.0, 0.3, 1.0]))
    shift = label_shift.estimate(told, DECLARED, 0.01, seed=7)
    assert shift.is_applied
    assert shift.prior == pytest.approx(DECLARED, abs=0.02)


def test_neutral_moves_too_where_its_border_is_known() -> None:
    _, chances = inbox((0.12, 0.75, 0.13), 4000)
    shift = label_shift.estimate(chances, DECLARED, 0.01, seed=7, free=label_shift.ALL)
    assert 0.55 < shift.prior[1] < 0.75
    assert shift.prior[0] < 0.25


def test_messages_to_a_shop_are_told_from_general_talk(model: Model) -> None:
    questions = [text for text, name in _project() if name == "neutral"]
    asked = learning.learn(model, None, questions, seed=3)
    assert asked.brand.prior[1] > 0.50
    talk = [f"{mood} film number {number}, saw it on Friday" for number in range(200) for mood in ("Lovely", "Awful")]
    talked = learning.learn(model, None, talk, seed=3)
    assert talked.shift.is_applied
    assert talked.brand.prior[1] == pytest.approx(0.45, abs=0.001)
    assert any("like general talk" in line for line in talked.lines)


def _project() -> list[tuple[str, str | None]]:
    source = data.project_messages()
    return list(zip(source.texts, source.sentiment, strict=True))


def test_without_the_pull_of_the_declared_shares_the_planted_ones_are_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_shift, "LEAST_MESSAGES", 0)
    target, chances = inbox((0.65, 0.20, 0.15), 20_000)
    found = label_shift.shares(chances, DECLARED, pull=0.0)
    assert found == pytest.approx([0.65, 0.20, 0.15], abs=0.015)
    assert card.calibration(target, label_shift.move(chances, DECLARED, found))[0] <= 0.01


def test_a_model_that_is_not_calibrated_is_not_corrected() -> None:
    _, chances = inbox((0.65, 0.20, 0.15), 4000)
    for error, told in ((0.08, "0.080"), (None, "unknown")):
        shift = label_shift.estimate(chances, DECLARED, error, seed=7)
        assert not shift.is_applied
        assert told in shift.refusal
        assert shift.prior is DECLARED


def test_few_messages_leave_the_declared_shares() -> None:
    _, chances = inbox((0.65, 0.20, 0.15), 3)
    shift = label_shift.estimate(chances, DECLARED, 0.01, seed=7)
    assert shift.refusal == "3 messages are fewer than 300"
    assert label_shift.estimate(np.zeros((0, 3)), DECLARED, 0.01, seed=7).count == 0


def test_an_estimate_that_two_halves_do_not_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, chances = inbox((0.65, 0.20, 0.15), 400)
    monkeypatch.setattr(label_shift, "MOST_SPREAD", 0.0)
    shift = label_shift.estimate(chances, DECLARED, 0.01, seed=7)
    assert "two halves" in shift.refusal
    assert shift.spread > 0


def test_the_same_seed_gives_the_same_estimate() -> None:
    _, chances = inbox((0.5, 0.3, 0.2), 1000)
    first, second = (label_shift.estimate(chances, DECLARED, 0.01, seed=3) for _ in range(2))
    assert first.prior.tolist() == second.prior.tolist()
    assert first.spread == second.spread


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda values: sum(values) > 0.01))
@settings(max_examples=200, deadline=None)
def test_bounded_shares_are_shares(values: list[float]) -> None:
    bounded = label_shift.bounded(np.array(values) / sum(values))
    assert bounded.sum() == pytest.approx(1)
    assert bounded.min() >= label_shift.SMALLEST - 1e-6
    assert bounded.max() <= label_shift.LARGEST + 0.05 + 1e-6


@given(st.lists(st.floats(0.05, 0.85), min_size=3, max_size=3), st.integers(0, 2), st.floats(0.8, 1.0), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_class_of_eight_tenths_is_always_the_one_named(
    values: list[float], sure: int, chance: float, is_taught: bool
) -> None:
    prior = label_shift.bounded(np.array(values) / sum(values))
    weights = label_shift.naming_weights(prior, None if is_taught else DECLARED)
    for other in {0, 1, 2} - {sure}:
        chances = np.zeros((1, 3))
        chances[0, sure], chances[0, other] = chance, 1 - chance
        assert label_shift.named(chances, weights).tolist() == [sure]


def test_shares_that_did_not_move_name_the_likeliest_class() -> None:
    assert label_shift.naming_weights(DECLARED, DECLARED).tolist() == [1.0, 1.0, 1.0]


def test_the_shipped_model_states_the_error_that_the_gate_asks_for(model: Model) -> None:
    """Without it no brand's shares are ever estimated; the card names it, the manifest has to hold it."""
    assert model.manifest["calibration_error"] < label_shift.MOST_SOURCE_ERROR
