"""Fits what stands on the cold start: scaling, an adapter of the brand's words, small trees; each out of fold as well.

The adapter is a softmax regression whose weights are drawn towards the cold start's answer instead of towards
ignorance (maximum a posteriori adaptation, Chelba and Acero 2004): with few labels it says what the cold start says.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from roomtone.score import brand, tokens
from roomtone.score.data import SENTIMENTS
from roomtone.score.features import Doubles
from roomtone.score.heads import VectorScaling, fit_vector_scaling, softmax
from roomtone.score.label_shift import Classes
from roomtone.score.model import Model
from roomtone.score.text import clean_body
from roomtone.score.tokens import Floats, Grams, Hashes
from roomtone.score.weights import WordTable

FOLDS = 5
VOCABULARY = 12_000
GRAM_BYTES = 25
"""What one gram costs in the model folder (`WordTable.to_text`)."""

LEAST_TEXTS = 2
"""A gram counts when so many labelled texts hold it."""

WORD_PENALTY, DENSE_PENALTY, COLD_PENALTY, BIAS_PENALTY = 2.0, 300.0, 10.0, 0.1
"""L2 penalties of the weights of words, of standardised columns, of the cold start's answer and of the biases.

They were chosen among a few by transfer between the open sets, and not for each brand.
"""

MANY_LABELS = 10_000
_CHUNK = 10_000
_TREES = {
    "objective": "multiclass",
    "num_class": len(SENTIMENTS),
    "learning_rate": 0.05,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "min_data_in_leaf": 20,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_SIZES = {False: (7, 60), True: (15, 120)}  # leaves and rounds, by whether the trees are large

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """Messages as the model sees them: the cold start's probabilities, its columns, distinct grams of each message.

    `is_read` is False for messages that the model abstains from because of their language.
    """

    cold: Doubles
    columns: Doubles
    key: Hashes
    row: Rows
    is_read: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.cold)

    def grams(self) -> Grams:
        """Grams as the word tables read them; no token stands behind them."""
        return Grams(self.key, self.row, self.row, self.row)

    def chosen(self, rows: Rows) -> "Texts":
        """The messages `rows`, in that order."""
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        kept = np.flatnonzero(place[self.row] >= 0)
        kept = kept[np.argsort(place[self.row[kept]], kind="stable")]
        return Texts(
            self.cold[rows],
            self.columns[rows],
            self.key[kept],
            place[self.row[kept]].astype(np.int64),
            self.is_read[rows],
        )


def encode(model: Model, texts: list[str]) -> Texts:
    """`texts` (raw bodies) through the model's cold start."""
    table = tokens.TypeTable()
    cold, columns, keys, rows, read = [], [], [], [], []
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        cleaned = [clean_body(text) for text in chunk]
        chances, is_read = model.cold_start(chunk)
        cold.append(chances)
        read.append(is_read)
        columns.append(model.columns(cleaned))
        grams = tokens.grams(tokens.encode(cleaned, table))
        # A gram that a message repeats counts once.
        order = np.lexsort((grams.key, grams.message))
        key, message = grams.key[order], grams.message[order].astype(np.int64)
        first = np.ones(len(key), np.bool_)
        first[1:] = (key[1:] != key[:-1]) | (message[1:] != message[:-1])
        keys.append(key[first])
        rows.append(message[first] + start)
    return Texts(
        np.concatenate(cold), np.concatenate(columns), np.concatenate(keys), np.concatenate(rows), np.concatenate(read)
    )


def folds(target: Classes, seed: int) -> Classes:
    """A fold for each row, the classes spread evenly over `FOLDS`."""
    order = np.random.default_rng(seed).permutation(len(target))
    order = order[np.argsort(target[order], kind="stable")]
    fold = np.zeros(len(target), np.int64)
    fold[order] = np.arange(len(target)) % FOLDS
    return fold


def fit_scaling(scores: Doubles, target: Classes, weight: Doubles) -> VectorScaling:
    """Vector scaling of `scores`, with one pseudo-message of no evidence for each class: a class that no label names is
    rare, not impossible.
    """
    classes = len(SENTIMENTS)
    return fit_vector_scaling(
        np.vstack([scores, np.zeros((classes, classes))]),
        np.concatenate([target, np.arange(classes)]),
        np.append(weight, np.ones(classes)),
    )


def cross_scaled(scores: Doubles, target: Classes, weight: Doubles, fold: Classes) -> Doubles:
    """Probabilities of `scores`, each fold scaled by the others."""
    chances = np.zeros_like(scores)
    for number in range(FOLDS):
        inside = fold != number
        chances[~inside] = fit_scaling(scores[inside], target[inside], weight[inside]).apply(scores[~inside])
    return chances


@dataclass(frozen=True)
class Vocabulary:
    """Grams of a brand's labelled texts, sorted, with idf over all of its texts."""

    keys: Hashes
    idf: Floats

    def table(self, weights: Doubles, bias: Doubles) -> WordTable:
        """The word table of `weights` (grams x 3, of the unit vector's entries), as it reads back from disk."""
        scaled = (weights * self.idf[:, None]).astype(np.float32)
        return WordTable(self.keys, self.idf, scaled, brand.WORD_HEADS, bias).rounded()


def vocabulary(labelled: Texts, others: Texts | None, most: int) -> Vocabulary:
    """The grams that most labelled texts hold, at most `VOCABULARY` and `most`, each in `LEAST_TEXTS` of them."""
    keys, counts = np.unique(labelled.key, return_counts=True)
    chosen = np.sort(np.lexsort((keys, -counts))[: min(VOCABULARY, most)])
    chosen = chosen[counts[chosen] >= LEAST_TEXTS]
    keys, counts, total = keys[chosen], counts[chosen].astype(np.float64), len(labelled)
    if others is not None and len(keys):
        place = np.searchsorted(keys, others.key).clip(max=len(keys) - 1)
        counts += np.bincount(place[keys[place] == others.key], minlength=len(keys))
        total += len(others)
    idf = np.log((1 + total) / (1 + counts)) + 1
    return Vocabulary(keys, idf.astype(np.float16).astype(np.float32))


def fit_words(known: Vocabulary, labelled: Texts, target: Classes, weight: Doubles) -> brand.Adapter:
    """The adapter on `labelled` (of `target` classes, each with its `weight`)."""
    from scipy import sparse
    from scipy.optimize import minimize

    cold = brand.centred_logs(labelled.cold)
    size, classes = cold.shape
    plain = np.column_stack([labelled.columns, cold])
    mean, spread = plain.mean(axis=0), plain.std(axis=0)
    mean[-classes:], spread[-classes:] = 0.0, 1.0
    spread = np.where(spread > 0, spread, 1.0)
    matrix = sparse.hstack([_matrix(known, labelled), (plain - mean) / spread, np.ones((size, 1))]).tocsr()
    count_words, count_dense = len(known.keys), labelled.columns.shape[1]
    penalty = np.concatenate(
        [
            np.full(count_words, WORD_PENALTY),
            np.full(count_dense, DENSE_PENALTY),
            np.full(classes, COLD_PENALTY),
            [BIAS_PENALTY],
        ]
    )[:, None]
    wanted = np.eye(classes)[target]

    def loss(point: Doubles) -> tuple[float, Doubles]:
        weights = point.reshape(-1, classes)
        chances = softmax(cold + matrix @ weights)
        value = -(weight * np.log(np.maximum(chances[np.arange(size), target], 1e-12))).sum()
        gradient = matrix.T @ (weight[:, None] * (chances - wanted)) + penalty * weights
        return float(value + 0.5 * (penalty * weights * weights).sum()), np.asarray(gradient).ravel()

    start = np.zeros(matrix.shape[1] * classes)
    weights = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x.reshape(-1, classes)
    dense = weights[count_words:-1] / spread[:, None]
    return brand.Adapter(known.table(weights[:count_words], weights[-1] - mean @ dense), dense)


def _matrix(known: Vocabulary, texts: Texts) -> Any:
    """Texts x grams, rows of unit length."""
    from scipy.sparse import csr_matrix

    if not len(known.keys):
        return csr_matrix((len(texts), 0))
    place = np.searchsorted(known.keys, texts.key).clip(max=len(known.keys) - 1)
    hit = known.keys[place] == texts.key
    row, column = texts.row[hit], place[hit]
    values = known.idf[column].astype(np.float64)
    norm = np.sqrt(np.bincount(row, weights=values * values, minlength=len(texts)))
    return csr_matrix((values / norm[row], (row, column)), shape=(len(texts), len(known.keys)))


def word_scores(adapter: brand.Adapter, texts: Texts) -> Doubles:
    """The adapter's scores, as the runtime makes them."""
    return adapter.scores(brand.centred_logs(texts.cold), texts.columns, texts.grams())


def out_of_fold_words(known: Vocabulary, labelled: Texts, target: Classes, weight: Doubles, fold: Classes) -> Doubles:
    """The adapter's scores of each fold, fitted on the others."""
    scores = np.zeros((len(labelled), len(SENTIMENTS)))
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        adapter = fit_words(known, labelled.chosen(inside), target[inside], weight[inside])
        scores[outside] = word_scores(adapter, labelled.chosen(outside))
    return scores


def fit_trees(
    labelled: Texts, words: Doubles, target: Classes, *, weight: Doubles, fold: Classes, seed: int, is_large: bool
) -> tuple[str, Doubles]:
    """Trees over the adapter's out-of-fold scores `words`, as text, and their raw out-of-fold scores."""
    import lightgbm

    columns = brand.tree_columns(brand.centred_logs(labelled.cold), words, labelled.columns)
    leaves, rounds = _SIZES[is_large]

    def boosted(inside: npt.NDArray[np.bool_]) -> Any:
        data = lightgbm.Dataset(
            columns[inside], target[inside], weight=weight[inside], feature_name=list(brand.TREE_NAMES)
        )
        return lightgbm.train({**_TREES, "num_leaves": leaves, "seed": seed}, data, num_boost_round=rounds)

    raw = np.zeros((len(target), len(SENTIMENTS)))
    for number in range(FOLDS):
        outside = fold == number
        raw[outside] = boosted(~outside).predict(columns[outside], raw_score=True, num_threads=1)
    return boosted(np.ones(len(target), np.bool_)).model_to_string(), raw
