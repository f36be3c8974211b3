"""`roomtone train`: the stacked mood model from the open sets, the project's messages and, if given, a brand's labels.

Linear heads over negation-marked words are scored out of fold; LightGBM learns on those scores and the surface
features; vector scaling on out-of-fold trees makes its probabilities honest. The same seed and data give the same
bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from roomtone.score import anchors, artefact, card, data, features, heads, linear, service, variation
from roomtone.score.corpus import Corpus, corpus
from roomtone.score.data import CUE_HEADS, CUE_MARKS, INTENTS, SENTIMENTS, Source
from roomtone.score.features import FEATURE_NAMES, HEAD_NAMES, Doubles
from roomtone.score.weights import WordTable

SOURCE_FOLDS = {"semeval_sentiment": 0, "vader_tweets": 1, "vader_amazon": 1, "vader_movie": 1, "goemotions": 2}
"""Folds of the general sources, each whole, so that the trees learn what a word's weight is worth on texts unlike those
it was learned from. Service texts stand in all folds.
"""

VOCABULARY = 80_000
LEAST_MESSAGES = 4
INTENT_VOCABULARY = 9_000
PRIOR = {"negative": 0.35, "neutral": 0.45, "positive": 0.20}
"""Shares of the three classes in a support inbox that the calibrated probabilities assume (a declared judgement, not
a measurement).
"""

EVEN = dict.fromkeys(SENTIMENTS, 1 / 3)
"""Shares at which heads and trees learn: a class that the prior makes rare must not be learned worse."""

MASSES = {
    "semeval_sentiment": 1.0,
    "vader_tweets": 0.5,
    "vader_amazon": 0.5,
    "vader_movie": 0.4,
    "goemotions": 0.4,
    "project": 1.0,
    "brand": 2.0,
}
"""Total weight of each source in training; inside a source the classes are weighted to `EVEN`."""

CALIBRATION = {
    "semeval_sentiment": 1.0,
    "vader_tweets": 1.0,
    "vader_amazon": 0.5,
    "vader_movie": 0.05,
    "goemotions": 0.2,
    "project": 1.0,
    "brand": 2.0,
}
"""The same for calibration: a stated confidence must hold for short messages to or about a company; film reviews and
forum talk with noisy labels hardly count.
"""

SUPPORT_SOURCES = ("project", "brand")
WEAK_MASSES = {
    "multidogo": 0.20,
    "bitext_customer_support": 0.02,
    "banking77": 0.01,
    "nlupp": 0.01,
    "clinc150": 0.01,
}
"""Total weight of the weakly labelled service language of each source, on the scale of `MASSES`."""

MOST_FRUSTRATION = 0.5
"""Weak rows at or above this out-of-fold probability of frustration are left out."""

_TREES = {
    "objective": "multiclass",
    "num_class": 3,
    "num_leaves": 15,
    "learning_rate": 0.06,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "min_data_in_leaf": 30,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
ROUNDS = 70


def source_folds(pool: Corpus) -> npt.NDArray[np.int64]:
    """The fold of each row for the mood heads: `SOURCE_FOLDS`, else that of its group."""
    fold = pool.fold.copy()
    for name, number in SOURCE_FOLDS.items():
        fold[pool.source == name] = number
    return fold


def source_weights(pool: Corpus, masses: dict[str, float], share: dict[str, float]) -> Doubles:
    """Row weights: each source weighs its mass, its classes stand in `share`; the mean weight of a used row is 1."""
    weight: Doubles = np.zeros(len(pool.texts))
    shares = np.array([share[name] for name in SENTIMENTS])
    for name, mass in masses.items():
        for number in range(len(SENTIMENTS)):
            chosen = (pool.source == name) & (pool.sentiment == number)
            if chosen.any():
                weight[chosen] = mass * shares[number] / chosen.sum()
    return np.asarray(weight / weight[weight > 0].mean())


def weak_weights(pool: Corpus, rows: npt.NDArray[np.bool_], unit: float) -> Doubles:
    """Weights of the weak `rows`: each source weighs its mass times `unit`, a text the root of its repeats."""
    weight: Doubles = np.zeros(len(pool.texts))
    for name, mass in WEAK_MASSES.items():
        chosen = rows & (pool.source == name)
        if chosen.any():
            share = np.sqrt(pool.repeats[chosen])
            weight[chosen] = mass * unit * share / share.sum()
    return weight


@dataclass
class Mood:
    """The fitted sentiment part: tables, trees and scaling, and what they were fitted on.

    `columns` and `probability` hold answers without the row's own fold; `weight` is that of judged rows at `PRIOR`.
    """

    pool: Corpus
    words: WordTable
    trees: str
    scaling: heads.VectorScaling
    columns: Doubles
    fold: npt.NDArray[np.int64]
    weight: Doubles
    weak_weight: Doubles
    probability: Doubles


@dataclass
class Fitted:
    """Everything that goes into the artefact, and the out-of-fold answers that the card reports."""

    words: WordTable
    intents: WordTable
    trees: str
    heads: heads.Heads
    pool: Corpus
    fold: npt.NDArray[np.int64]
    weight: Doubles
    weak_weight: Doubles
    probability: Doubles
    cue_probability: Doubles

    @property
    def general(self) -> tuple[str, ...]:
        """The general sources it was trained on, each in one fold."""
        return tuple(name for name in SOURCE_FOLDS if (self.pool.source == name).any())


def fit(sources: list[Source], seed: int, progress: Callable[[str], None] = lambda _: None) -> Fitted:
    """Trains all heads. Rows without a mark for a head are left out of it."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # One thread: on a busy machine the solvers' threads wait for one another many times longer than they work.
    with threadpool_limits(limits=1):
        mood = fit_mood(sources, seed, progress)
        progress("cues, urgency, intents")
        pool = mood.pool
        cue_heads, cue_probability = _cue_heads(pool, mood.columns, pool.cues[:, 0] >= 0, seed)
        urgent = pool.urgency >= 0
        urgency = heads.fit_logistic(
            mood.columns[urgent],
            pool.urgency[urgent],
            heads.URGENCY_FEATURES,
            strength=0.3,
            seed=seed,
            has_even_classes=True,
        )
        return Fitted(
            mood.words,
            _intents(pool),
            mood.trees,
            heads.Heads(mood.scaling, cue_heads, urgency, dict(PRIOR)),
            pool,
            mood.fold,
            mood.weight,
            mood.weak_weight,
            mood.probability,
            cue_probability,
        )


def fit_mood(sources: list[Source], seed: int, progress: Callable[[str], None] = lambda _: None) -> Mood:
    """Trains the sentiment part alone: word table, trees, calibration."""
    progress("reading texts")
    pool = corpus(sources, seed)
    present = set(pool.source.tolist())
    weight = source_weights(pool, {name: mass for name, mass in MASSES.items() if name in present}, EVEN)
    polar = weight > 0

    progress("linear heads")
    words, scores, weak_weight = _word_heads(pool, weight, pool.cues[:, 0] >= 0, seed)

    progress("trees")
    columns = features.matrix(scores, pool.surface)
    fold = source_folds(pool)
    used = polar | (weak_weight > 0)
    target = np.where(polar, pool.sentiment, pool.weak)
    booster, raw = _stack(columns[used], target[used], (weight + weak_weight)[used], fold[used], seed)
    # Weak rows teach the trees but not the calibration: the declared prior holds for judged rows.
    weight = source_weights(pool, {name: mass for name, mass in CALIBRATION.items() if name in present}, PRIOR)
    scaling = heads.fit_vector_scaling(raw[polar[used]], pool.sentiment[polar], weight[polar])
    probability = np.full((len(pool.texts), 3), np.nan)
    probability[used] = scaling.apply(raw)
    return Mood(pool, words, booster, scaling, columns, fold, weight, weak_weight, probability)


def _word_heads(
    pool: Corpus, weight: Doubles, cued: npt.NDArray[np.bool_], seed: int
) -> tuple[WordTable, Doubles, Doubles]:
    """The word table of all linear heads, their scores in the columns `LINEAR_NAMES`, those of rows they were trained
    on without their fold, and the weights of the weak rows that show no frustration.
    """
    polar = weight > 0
    weak = (pool.weak >= 0) & ~polar
    known = linear.vocabulary(pool, polar | cued | weak, VOCABULARY, LEAST_MESSAGES)

    cues = []
    for column in range(len(CUE_MARKS)):
        marks = pool.cues[:, column]
        known_marks = (marks >= 0).astype(np.float64)
        cues.append(linear.word_head(pool, known, marks, known_marks, pool.fold, strength=4.0, seed=seed))
    frustration = 1 / (1 + np.exp(-cues[CUE_HEADS.index("frustration")].scores[:, 0]))
    quiet = weak & (frustration < MOST_FRUSTRATION)

    unit = weight.sum() / sum(MASSES.get(name, 0.0) for name in sorted(set(pool.source.tolist())))
    weak_weight = weak_weights(pool, quiet, unit)
    target = np.where(quiet, pool.weak, pool.sentiment)
    fold = source_folds(pool)
    mood = linear.word_head(pool, known, target, weight + weak_weight, fold, strength=1.0, seed=seed)
    static = linear.static_head(pool, known, target, weight + weak_weight, fold, strength=1.0)

    own, plain = np.isin(pool.source, SUPPORT_SOURCES), np.isin(pool.source, tuple(WEAK_MASSES))
    side = np.where(own, 0.5 / max(int(own.sum()), 1), np.where(plain, 0.5 / max(int(plain.sum()), 1), 0.0))
    general = ~own & ~plain
    side[general] = 1.0 / max(int(general.sum()), 1)
    support = linear.word_head(
        pool, known, (own | plain).astype(np.int64), side / side.mean(), pool.fold, strength=1.0, seed=seed
    )

    fits = [mood, *cues[: len(CUE_HEADS)], support, static, *cues[len(CUE_HEADS) :]]
    classes = len(SENTIMENTS)
    scores = [mood.scores[:, :classes], *(fit.scores for fit in fits[1:]), mood.scores[:, classes:]]
    weights = np.column_stack([fit.weights for fit in fits]) * known.idf[:, None]
    bias = np.concatenate([fit.bias for fit in fits])
    words = WordTable(known.keys, known.idf, weights.astype(np.float32), HEAD_NAMES, bias).rounded()
    return words, np.column_stack(scores), weak_weight


def _stack(
    columns: Doubles, target: npt.NDArray[np.int64], weight: Doubles, fold: npt.NDArray[np.int64], seed: int
) -> tuple[str, Doubles]:
    """The booster trained on all rows, as text, and raw out-of-fold scores."""
    import lightgbm

    def boosted(chosen: npt.NDArray[np.bool_]) -> Any:
        rows = lightgbm.Dataset(
            columns[chosen], target[chosen], weight=weight[chosen], feature_name=list(FEATURE_NAMES)
        )
        return lightgbm.train({**_TREES, "seed": seed}, rows, num_boost_round=ROUNDS)

    raw = np.zeros((len(target), len(SENTIMENTS)))
    for number in np.unique(fold).tolist():
        outside = fold == number
        raw[outside] = boosted(~outside).predict(columns[outside], raw_score=True, num_threads=1)
    return boosted(np.ones(len(target), np.bool_)).model_to_string(), raw


def _cue_heads(
    pool: Corpus, columns: Doubles, cued: npt.NDArray[np.bool_], seed: int
) -> tuple[dict[str, heads.Logistic], Doubles]:
    """The cue heads, and their probabilities of the marked rows, each without its fold."""
    found: dict[str, heads.Logistic] = {}
    probability = np.full((len(pool.texts), len(CUE_HEADS)), np.nan)
    for column, name in enumerate(CUE_HEADS):
        marks = pool.cues[:, column]
        for number in np.unique(pool.fold[cued]).tolist():
            inside, outside = cued & (pool.fold != number), cued & (pool.fold == number)
            head = heads.fit_logistic(columns[inside], marks[inside], heads.CUE_FEATURES, strength=0.3, seed=seed)
            probability[outside, column] = head.apply(columns[outside])[:, 1]
        found[name] = heads.fit_logistic(columns[cued], marks[cued], heads.CUE_FEATURES, strength=0.3, seed=seed)
    return found, probability


def _intents(pool: Corpus) -> WordTable:
    marked = pool.intent >= 0
    known = linear.vocabulary(pool, marked, INTENT_VOCABULARY, 3)
    weight = np.zeros(len(pool.texts))
    for number in range(len(INTENTS)):
        for is_project in (True, False):
            chosen = (pool.intent == number) & ((pool.source == "project") == is_project)
            if chosen.any():  # a class of thousands of templates must not drown one of forty messages
                weight[chosen] = (1.5 if is_project else 1.0) / chosen.sum() ** 0.75
    weight /= weight[marked].mean()
    coefficients, bias = linear.multinomial(known.matrix[marked], pool.intent[marked], weight[marked], 3.0)
    return WordTable(
        known.keys, known.idf, (coefficients * known.idf[:, None]).astype(np.float32), INTENTS, bias
    ).rounded()


def open_sources(data_dir: Path, seed: int) -> list[Source]:
    """The sources of the shipped recipe."""
    return [
        data.semeval(data_dir),
        data.vader(data_dir, "tweets"),
        data.vader(data_dir, "amazon"),
        data.vader(data_dir, "movie"),
        data.goemotions(data_dir, "train", "dev"),
        data.bitext(data_dir),
        service.multidogo(data_dir),
        service.banking77(data_dir),
        service.nlupp(data_dir),
        data.clinc(data_dir).every(3),
        variation.varied(data.project_messages(), seed),
    ]


def train(
    data_dir: Path,
    output: Path,
    seed: int = 7,
    labels: Path | None = None,
    *,
    sample: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> str:
    """Trains, writes the model folder `output` and returns the model version.

    `labels` is a JSON Lines file of a brand's own labels (`id`, `text`, `sentiment`); `sample` keeps one open row
    in so many and one form of each of the project's messages, for trials. Raises RoomtoneError when a data set or
    a package of the development group is missing or the labels cannot be used.
    """
    anchors.require()
    sources = open_sources(data_dir, seed)
    if sample > 1:
        sources = [source.every(1 + variation.VARIANTS if source.name == "project" else sample) for source in sources]
    if labels is not None:
        sources.append(data.brand_labels(labels))
    fitted = fit(sources, seed, progress)
    progress("writing the model")
    calm = service.turns(data_dir, held_out=True)[::sample]
    return artefact.write(fitted, output, seed, calm, card.transfer(fitted, seed))
