"""Which step of learning a brand's messages have earned: each one only if it wins on labels that it did not see."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from roomtone.score import adapter, card, label_shift
from roomtone.score.adapter import Texts
from roomtone.score.brand import STEPS, TREE_NAMES, Brand, centred_logs, naming_weights
from roomtone.score.brand_files import Labels
from roomtone.score.data import SENTIMENTS
from roomtone.score.features import FEATURE_NAMES, Doubles
from roomtone.score.heads import VectorScaling
from roomtone.score.label_shift import Classes, Shift
from roomtone.score.model import Model
from roomtone.score.trees import Trees

LEAST_LABELS = {"scaling": 50, "words": 200, "trees": 500}
"""Labels from which a step is tried."""

MOST_DRIFT = 0.10
"""Unlabelled messages overrule the labels' class shares when a class differs by more: then the labels were picked."""

CURVE = (100, 500, 2_000, 10_000)
PRECISION = 0.9

_RESAMPLES = 200
_LEAST_WORDS = 1_000
_TREE_BYTES, _LARGE_TREE_BYTES = 250_000, 800_000
_TOLD = (("macro-F1", "macro_f1"), ("log loss", "log_loss"), ("calibration error", "calibration_error"))
_AS_IT_IS = VectorScaling(1.0, (0.0,) * len(SENTIMENTS))


@dataclass(frozen=True)
class Learned:
    """A brand's part and what is told of it. `lines` say in words what was done and why."""

    brand: Brand
    trees_text: str | None
    count_labels: int
    count_unlabelled: int
    shift: Shift
    steps: dict[str, dict[str, float]]
    curve: dict[int, dict[str, float]]
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Evidence:
    """A brand's labels as the model sees them, with a fold each, its other messages, and how many words may be kept."""

    labelled: Texts
    target: Classes
    weight: Doubles
    fold: Classes
    others: Texts | None
    most_words: int
    is_large: bool
    seed: int

    @property
    def shares(self) -> Doubles:
        """The labels' own class shares."""
        return _own_shares(self.target, self.weight)


@dataclass(frozen=True)
class _Rung:
    """A step tried: its scores and probabilities of the labels, out of fold, the shares it assumes and the declared."""

    step: str
    scores: Doubles
    chances: Doubles
    prior: Doubles
    declared: Doubles
    trees: str | None = None
    raw: Doubles | None = None

    @property
    def weights(self) -> Doubles:
        return naming_weights(self.step, self.declared, self.prior)


def learn(
    model: Model,
    labels: Labels | None,
    unlabelled: list[str] | None,
    seed: int,
    progress: Callable[[str], None] = lambda _: None,
    *,
    room: int = 1_000_000,
) -> Learned:
    """What `labels` and `unlabelled` messages of one brand teach the cold start of `model`, in `room` bytes.

    The same messages, model and seed give the same answer.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        lines: list[str] = []
        progress("reading messages")
        others = _read(model, unlabelled or [], "unlabelled messages", lines)
        labelled = _read(model, labels.texts if labels else [], "labelled messages", lines)
        brand, shift = _cold_start(model, others, seed, lines)
        if unlabelled:
            lines.append(_shift_line(shift, "declared"))
        learned = Learned(brand, None, 0, len(unlabelled or []), shift, {}, {}, lines)
        if labelled is None or labels is None:
            return learned
        target = np.array([SENTIMENTS.index(name) for name in labels.sentiments])[labelled.is_read]
        weight = np.array(labels.weights)[labelled.is_read]
        labelled = labelled.chosen(np.flatnonzero(labelled.is_read))
        if len(target) < LEAST_LABELS["scaling"] or len(np.unique(target)) < 2:
            lines.append(f"{len(target)} labels that can be used are too few: the cold start stays")
            return replace(learned, count_labels=len(target))
        # Many labels feed large trees, where the folder has room for them and for words.
        is_large = len(target) > adapter.MANY_LABELS and room >= 2 * _LARGE_TREE_BYTES
        kept = room - (_LARGE_TREE_BYTES if is_large else _TREE_BYTES)
        evidence = _Evidence(
            labelled,
            target,
            weight,
            adapter.folds(target, seed),
            others,
            max(kept // adapter.GRAM_BYTES, 0),
            is_large,
            seed,
        )
        return _climb(learned, evidence, progress)


def figures(target: Classes, chances: Doubles, weights: Doubles) -> dict[str, float]:
    """macro-F1 of the classes named by `weights`, log loss, calibration error of the largest probability, recall of
    negative at precision `PRECISION`.
    """
    named = label_shift.named(chances, weights)
    return {
        "macro_f1": card.macro_f1(target, named),
        "log_loss": float(_losses(chances, target).mean()),
        "calibration_error": card.calibration(target, chances)[0],
        "recall_negative": recall_at_precision(target == 0, chances[:, 0], PRECISION),
    }


def _losses(chances: Doubles, target: Classes) -> Doubles:
    return np.asarray(-np.log(np.maximum(chances[np.arange(len(target)), target], 1e-12)))


def recall_at_precision(is_class: Any, score: Doubles, precision: float) -> float:
    """Largest share of the class above a cut of `score` that keeps `precision`; 0 where no cut does."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(is_class[order])
    good = np.flatnonzero(hits / np.arange(1, len(order) + 1) >= precision)
    return float(hits[good[-1]] / max(int(is_class.sum()), 1)) if len(good) else 0.0


def _read(model: Model, texts: list[str], what: str, lines: list[str]) -> Texts | None:
    """`texts` as the model sees them, None where it reads none; says how many are in another language."""
    if not texts:
        return None
    encoded = adapter.encode(model, texts)
    unread = int((~encoded.is_read).sum())
    if unread:
        lines.append(f"{unread} of {len(texts)} {what} are not English: they teach nothing and stay abstained from")
    return encoded if unread < len(texts) else None


def _cold_start(model: Model, others: Texts | None, seed: int, lines: list[str]) -> tuple[Brand, Shift]:
    declared = np.array([model.heads.prior[name] for name in SENTIMENTS])
    if others is None:
        shift = label_shift.estimate(np.zeros((0, len(SENTIMENTS))), declared, None, seed)
        return Brand(STEPS[0], _AS_IT_IS, declared, shift.prior), shift
    service = 1 / (1 + np.exp(-others.columns[others.is_read, FEATURE_NAMES.index("linear_support")]))
    is_service = service.mean() >= label_shift.LEAST_SERVICE
    shift = label_shift.estimate(
        others.cold[others.is_read],
        declared,
        model.manifest.get("calibration_error"),
        seed,
        free=label_shift.ALL if is_service else label_shift.POLAR,
    )
    if shift.is_applied and not is_service:
        lines.append(
            f"the messages read like general talk (service language {service.mean():.2f}, below"
            f" {label_shift.LEAST_SERVICE}): neutral keeps its declared share"
        )
    return Brand(STEPS[0], _AS_IT_IS, declared, shift.prior), shift


def _climb(learned: Learned, evidence: _Evidence, progress: Callable[[str], None]) -> Learned:
    """Tries the steps one after the other and keeps the last that won."""
    lines = learned.lines
    rungs = {rung.step: rung for rung in _rungs(learned.brand, evidence, lines, progress)}
    steps = {step: figures(evidence.target, rung.chances, rung.weights) for step, rung in rungs.items()}
    best = rungs[_best(rungs, steps, evidence, lines)]
    brand, shift = learned.brand, learned.shift
    if best.step != STEPS[0]:
        brand = _fitted(best, evidence)
        if evidence.others is not None:
            brand, shift = _against_inbox(brand, evidence, steps[best.step]["calibration_error"], lines)
    progress("the learning curve")
    return replace(
        learned,
        brand=brand,
        trees_text=best.trees,
        count_labels=len(evidence.target),
        shift=shift,
        steps=steps,
        curve=_curve(evidence),
    )


def _rungs(brand: Brand, evidence: _Evidence, lines: list[str], progress: Callable[[str], None]) -> Iterator[_Rung]:
    labelled, target, weight, fold = evidence.labelled, evidence.target, evidence.weight, evidence.fold
    cold = centred_logs(labelled.cold)
    own, declared = evidence.shares, brand.declared
    yield _Rung(STEPS[0], cold, label_shift.move(labelled.cold, declared, brand.prior), brand.prior, declared)
    yield _Rung("scaling", cold, adapter.cross_scaled(cold, target, weight, fold), own, declared)
    if len(target) < LEAST_LABELS["words"]:
        return
    if evidence.most_words < _LEAST_WORDS:
        lines.append(f"the cold start leaves room for {evidence.most_words} words, too few: no adapter was tried")
        return
    progress("the brand's words")
    words = adapter.out_of_fold_words(_vocabulary(evidence), labelled, target, weight, fold)
    by_words = adapter.cross_scaled(words, target, weight, fold)
    yield _Rung("words", words, by_words, own, declared)
    if len(target) < LEAST_LABELS["trees"]:
        return
    progress("the brand's trees")
    trees, raw = adapter.fit_trees(
        labelled, words, target, weight=weight, fold=fold, seed=evidence.seed, is_large=evidence.is_large
    )
    both = (by_words + adapter.cross_scaled(raw, target, weight, fold)) / 2
    yield _Rung("trees", words, both, own, declared, trees, raw)


def _vocabulary(evidence: _Evidence) -> adapter.Vocabulary:
    return adapter.vocabulary(evidence.labelled, evidence.others, evidence.most_words)


def _error_of_difference(old: _Rung, new: _Rung, evidence: _Evidence) -> float:
    """Standard error of the difference of two steps' macro-F1, by resampling the labels."""
    chance = np.random.default_rng(evidence.seed)
    answers = [label_shift.named(rung.chances, rung.weights) for rung in (old, new)]
    differences = []
    for _ in range(_RESAMPLES):
        rows = chance.integers(0, len(evidence.target), len(evidence.target))
        first, second = (card.macro_f1(evidence.target[rows], answer[rows]) for answer in answers)
        differences.append(second - first)
    return float(np.std(differences))


def _fitted(best: _Rung, evidence: _Evidence) -> Brand:
    """The brand's part of the step that won, fitted on all labels."""
    target, weight = evidence.target, evidence.weight
    fitted = None
    if best.step in ("words", "trees"):
        fitted = adapter.fit_words(_vocabulary(evidence), evidence.labelled, target, weight)
    return Brand(
        step=best.step,
        scaling=adapter.fit_scaling(best.scores, target, weight),
        declared=evidence.shares,
        prior=evidence.shares,
        adapter=fitted,
        trees=Trees(best.trees, len(TREE_NAMES)) if best.trees is not None else None,
        tree_scaling=adapter.fit_scaling(best.raw, target, weight) if best.raw is not None else None,
    )


def _best(rungs: dict[str, _Rung], steps: dict[str, dict[str, float]], evidence: _Evidence, lines: list[str]) -> str:
    """The last step that beat the one standing before it: a log loss that is smaller by more than chance explains (one
    standard error of the difference), and a macro-F1 that is not smaller by more than that.
    """
    best = STEPS[0]
    for step in list(steps)[1:]:
        new, old = steps[step], steps[best]
        error = _error_of_difference(rungs[best], rungs[step], evidence)
        gain = _losses(rungs[best].chances, evidence.target) - _losses(rungs[step].chances, evidence.target)
        is_likelier = gain.mean() > gain.std() / np.sqrt(len(gain))
        wins = is_likelier and new["macro_f1"] > old["macro_f1"] - error
        told = ", ".join(f"{name} {old[key]:.3f} -> {new[key]:.3f}" for name, key in _TOLD)
        lines.append(f"{step} against {best}, on labels it did not see: {told}: {'taken' if wins else 'refused'}")
        best = step if wins else best
    return best


def _against_inbox(brand: Brand, evidence: _Evidence, error: float, lines: list[str]) -> tuple[Brand, Shift]:
    """The brand at the unlabelled messages' shares where they contradict the labels', else as it is."""
    others = evidence.others
    if others is None:
        return brand, Shift(brand.declared, 0, float("nan"), "no unlabelled messages")
    others = others.chosen(np.flatnonzero(others.is_read))
    chances = brand.calibrated(others.cold, others.columns, others.grams())
    shift = label_shift.estimate(
        chances, brand.declared, error, evidence.seed, pull=label_shift.OWN_SHARE, free=label_shift.ALL
    )
    drift = float(np.abs(shift.prior - brand.declared).max())
    if not shift.is_applied or drift <= MOST_DRIFT:
        lines.append(f"class shares are the labels' own: {_shares(brand.declared)}")
        return brand, Shift(brand.declared, shift.count, shift.spread, shift.refusal or "the labels' shares hold")
    lines.append(_shift_line(shift, "labels'"))
    return replace(brand, prior=shift.prior), shift


def _curve(evidence: _Evidence) -> dict[int, dict[str, float]]:
    """Figures on one fold of what so many of the other labels give: scaling, and words from their least number on."""
    inside = np.random.default_rng(evidence.seed).permutation(np.flatnonzero(evidence.fold != 0))
    outside = np.flatnonzero(evidence.fold == 0)
    held = evidence.labelled.chosen(outside)
    curve = {}
    for size in (*(size for size in CURVE if size < len(inside)), len(inside)):
        rows = inside[:size]
        target, weight = evidence.target[rows], evidence.weight[rows]
        part = replace(
            evidence,
            labelled=evidence.labelled.chosen(rows),
            target=target,
            weight=weight,
            fold=adapter.folds(target, evidence.seed),
        )
        scores, new = centred_logs(part.labelled.cold), centred_logs(held.cold)
        if size >= LEAST_LABELS["words"] and evidence.most_words >= _LEAST_WORDS:
            known = _vocabulary(part)
            scores = adapter.out_of_fold_words(known, part.labelled, target, weight, part.fold)
            new = adapter.word_scores(adapter.fit_words(known, part.labelled, target, weight), held)
        scaled = adapter.fit_scaling(scores, target, weight).apply(new)
        curve[size] = figures(evidence.target[outside], scaled, label_shift.naming_weights(part.shares))
    return curve


def _own_shares(target: Classes, weight: Doubles) -> Doubles:
    counts = np.bincount(target, weights=weight, minlength=len(SENTIMENTS)) + 1.0
    return label_shift.bounded(counts / counts.sum())


def _shift_line(shift: Shift, whose: str) -> str:
    if not shift.is_applied:
        return f"class shares stay the {whose} ones: {shift.refusal}"
    return f"class shares from {shift.count} unlabelled messages, not the {whose} ones: {_shares(shift.prior)}"


def _shares(prior: Doubles) -> str:
    return ", ".join(f"{name} {share:.2f}" for name, share in zip(SENTIMENTS, prior, strict=True))
