"""`roomtone train`: the stacked mood model from the open sets, the project's messages and, if given, a brand's labels.

Linear heads over negation-marked words are scored out of fold; LightGBM learns on those scores and the surface
features; vector scaling on out-of-fold trees makes its probabilities honest. The same seed and data give the same
bytes.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from roomtone.score import artefact, data, features, heads, linear, service, tokens, variation
from roomtone.score.data import CUE_HEADS, CUE_MARKS, INTENTS, SENTIMENTS, Source
from roomtone.score.features import FEATURE_NAMES, HEAD_NAMES, Doubles
from roomtone.score.text import clean_body
from roomtone.score.tokens import Floats, Hashes
from roomtone.score.weights import WordTable

FOLDS = 3
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

_CHUNK = 10_000
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
ROUNDS = 90


@dataclass
class Corpus:
    """All training rows, encoded once. `sentiment` and `intent` hold class numbers, -1 where a row has none."""

    texts: list[str]
    source: npt.NDArray[np.object_]
    sentiment: npt.NDArray[np.int64]
    urgency: npt.NDArray[np.int64]
    intent: npt.NDArray[np.int64]
    cues: npt.NDArray[np.int64]  # rows x CUE_MARKS, -1 unknown
    surface: Floats
    key: Hashes
    row: npt.NDArray[np.int64]
    sentence: npt.NDArray[np.int64]
    fold: npt.NDArray[np.int64]
    weak: npt.NDArray[np.int64]  # class numbers of weak labels, -1 where there is none or the text shows feeling
    repeats: npt.NDArray[np.int64]


def corpus(sources: list[Source], seed: int) -> Corpus:
    """Cleans and encodes the sources; texts of one group share a fold."""
    texts: list[str] = []
    names: list[str] = []
    groups: list[str] = []
    repeats: list[int] = []
    marks: dict[str, list[int]] = {"sentiment": [], "urgency": [], "intent": [], "weak": []}
    cue_rows: list[list[int]] = []
    orders = {"sentiment": SENTIMENTS, "urgency": data.URGENCIES, "intent": INTENTS, "weak": SENTIMENTS}
    for source in sources:
        texts += [clean_body(text) for text in source.texts]
        names += [source.name] * len(source.texts)
        groups += [group or text for group, text in zip(source.groups, source.texts, strict=True)]
        repeats += source.repeats
        for mark, order in orders.items():
            marks[mark] += [order.index(value) if value else -1 for value in getattr(source, mark)]
        cue_rows += [
            [-1] * len(CUE_MARKS) if cues is None else [int(name in cues) for name in CUE_MARKS] for cues in source.cues
        ]
    table = tokens.TypeTable()
    surfaces, keys, rows, sentences = [], [], [], []
    count_sentences = 0
    for start in range(0, len(texts), _CHUNK):
        batch = tokens.encode(texts[start : start + _CHUNK], table)
        surfaces.append(features.surface(batch).values)
        grams = tokens.grams(batch)
        keys.append(grams.key)
        rows.append(grams.message.astype(np.int64) + start)
        sentences.append(batch.sentence[grams.first].astype(np.int64) + count_sentences)
        count_sentences += int(batch.sentence.max(initial=0)) + 1
    surface = np.concatenate(surfaces)
    return Corpus(
        texts=texts,
        source=np.array(names, dtype=object),
        sentiment=np.array(marks["sentiment"]),
        urgency=np.array(marks["urgency"]),
        intent=np.array(marks["intent"]),
        cues=np.array(cue_rows).reshape(-1, len(CUE_MARKS)),
        surface=surface,
        key=np.concatenate(keys),
        row=np.concatenate(rows),
        sentence=np.concatenate(sentences),
        fold=np.array([zlib.crc32(f"{seed}:{group.lower()}".encode("utf-8", "replace")) % FOLDS for group in groups]),
        weak=np.where(service.feeling(texts, surface), -1, np.array(marks["weak"])),
        repeats=np.array(repeats),
    )


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
class Fitted:
    """Everything that goes into the artefact, and the out-of-fold answers that the card reports."""

    words: WordTable
    intents: WordTable
    trees: str
    heads: heads.Heads
    pool: Corpus
    fold: npt.NDArray[np.int64]
    general: tuple[str, ...]
    weight: Doubles
    weak_weight: Doubles
    probability: Doubles
    cue_probability: Doubles


def fit(sources: list[Source], seed: int, progress: Callable[[str], None] = lambda _: None) -> Fitted:
    """Trains all heads. Rows without a mark for a head are left out of it."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # One thread: on a busy machine the solvers' threads wait for one another many times longer than they work.
    with threadpool_limits(limits=1):
        return _fit(sources, seed, progress)


def _fit(sources: list[Source], seed: int, progress: Callable[[str], None]) -> Fitted:
    progress("reading texts")
    pool = corpus(sources, seed)
    masses = {name: mass for name, mass in MASSES.items() if (pool.source == name).any()}
    weight = source_weights(pool, masses, EVEN)
    polar = weight > 0
    cued = pool.cues[:, 0] >= 0

    progress("linear heads")
    words, scores, weak_weight = _word_heads(pool, weight, cued, seed)

    progress("trees")
    columns = features.matrix(scores, pool.surface)
    used = polar | (weak_weight > 0)
    target = np.where(polar, pool.sentiment, pool.weak)
    booster, raw = _stack(columns[used], target[used], (weight + weak_weight)[used], source_folds(pool)[used], seed)
    # Weak rows teach the trees but not the calibration: the declared prior holds for judged rows.
    weight = source_weights(pool, masses, PRIOR)
    scaling = heads.fit_vector_scaling(raw[polar[used]], pool.sentiment[polar], weight[polar])
    probability = np.full((len(pool.texts), 3), np.nan)
    probability[used] = scaling.apply(raw)

    progress("cues, urgency, intents")
    cue_heads, cue_probability = _cue_heads(pool, columns, cued, seed)
    urgent = pool.urgency >= 0
    urgency = heads.fit_logistic(columns[urgent], pool.urgency[urgent], heads.URGENCY_FEATURES, strength=0.3, seed=seed)
    intents = _intents(pool)
    return Fitted(
        words,
        intents,
        booster,
        heads.Heads(scaling, cue_heads, urgency, dict(PRIOR)),
        pool,
        source_folds(pool),
        tuple(name for name in SOURCE_FOLDS if name in masses),
        weight,
        weak_weight,
        probability,
        cue_probability,
    )


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
    in so many and one form of each of the project's messages, for trials. Raises RoomtoneError when a data set is
    missing or the labels cannot be used.
    """
    sources = open_sources(data_dir, seed)
    if sample > 1:
        sources = [source.every(1 + variation.VARIANTS if source.name == "project" else sample) for source in sources]
    if labels is not None:
        sources.append(data.brand_labels(labels))
    fitted = fit(sources, seed, progress)
    progress("writing the model")
    return artefact.write(fitted, output, seed, service.turns(data_dir, held_out=True)[::sample])
