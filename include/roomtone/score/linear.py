"""Linear heads over words, for training: the corpus as a sparse matrix, logistic regressions on it, and their scores
of rows they were not fitted on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from roomtone.score import static
from roomtone.score.corpus import Corpus
from roomtone.score.features import Doubles
from roomtone.score.tokens import Floats, Hashes, Integers
from roomtone.score.weights import Found, WordTable

_TOLERANCE = 0.02
_PASSES = 200


@dataclass
class Vocabulary:
    """Sorted keys with idf; the corpus as a sparse matrix over them (rows of unit length) and as found grams with
    their sentences.
    """

    keys: Hashes
    idf: Floats
    matrix: Any
    found: Found
    sentence: Integers


def vocabulary(pool: Corpus, rows: npt.NDArray[np.bool_], size: int, least: int) -> Vocabulary:
    """The `size` grams that most messages among `rows` hold, at least `least` each."""
    from scipy.sparse import csr_matrix

    unique, inverse = np.unique(pool.key, return_inverse=True)
    pair, where = np.unique(pool.row * len(unique) + inverse, return_index=True)
    row, column = pair // len(unique), pair % len(unique)
    frequency = np.bincount(column[rows[row]], minlength=len(unique))
    chosen = np.sort(np.lexsort((unique, -frequency))[:size])
    chosen = chosen[frequency[chosen] >= least]
    idf = (np.log((1 + rows.sum()) / (1 + frequency[chosen])) + 1).astype(np.float16).astype(np.float32)
    place = np.full(len(unique), -1)
    place[chosen] = np.arange(len(chosen))
    known = place[column] >= 0
    row, column, sentence = row[known], place[column[known]], pool.sentence[where[known]].astype(np.int32)
    values = idf[column].astype(np.float64)
    norm = np.sqrt(np.bincount(row, weights=values * values, minlength=len(pool.texts)))
    matrix = csr_matrix((values / norm[row], (row, column)), shape=(len(pool.texts), len(chosen)))
    messages, rows_found = row.astype(np.int32), column.astype(np.int32)
    found = Found(messages, rows_found, messages, messages)
    return Vocabulary(unique[chosen], idf, matrix, found, sentence)


def logistic(
    matrix: Any, target: npt.NDArray[np.int64], weight: Doubles | None, strength: float, seed: int
) -> tuple[Doubles, Doubles]:
    """Weights (columns x classes) and biases of one logistic regression a class against the rest; one column for two
    classes.

    Coordinate descent on the dual (Yu et al. 2011): on sparse rows a few times faster than a quasi-Newton solver.
    """
    from sklearn.linear_model import LogisticRegression

    classes = int(target.max()) + 1
    columns, biases = [], []
    for number in (1,) if classes <= 2 else range(classes):
        fitted = LogisticRegression(
            C=strength, solver="liblinear", dual=True, tol=_TOLERANCE, max_iter=_PASSES, random_state=seed
        ).fit(matrix, target == number, sample_weight=weight)
        columns.append(fitted.coef_[0])
        biases.append(float(fitted.intercept_[0]))
    return np.column_stack(columns), np.array(biases)


def multinomial(
    matrix: Any, target: npt.NDArray[np.int64], weight: Doubles | None, strength: float
) -> tuple[Doubles, Doubles]:
    """Weights (columns x classes) and biases of one logistic regression over all classes."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=strength, max_iter=400, tol=1e-3).fit(matrix, target, sample_weight=weight)
    return fitted.coef_.T.copy(), fitted.intercept_.copy()


@dataclass
class Head:
    """A fitted head: scores of all rows (those it was trained on without their fold), and weights (grams x classes)
    and biases fitted on all marked rows.
    """

    scores: Doubles
    weights: Doubles
    bias: Doubles


def word_head(
    pool: Corpus,
    known: Vocabulary,
    target: npt.NDArray[np.int64],
    weight: Doubles,
    fold: npt.NDArray[np.int64],
    *,
    strength: float,
    seed: int,
) -> Head:
    """A head over words. With three classes the sentence extremes follow the scores."""

    def fitted(rows: npt.NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
        return logistic(known.matrix[rows], target[rows], weight[rows], strength, seed)

    return _out_of_fold(pool, known, fitted, (target >= 0) & (weight > 0), fold, with_extremes=target.max() > 1)


def static_head(
    pool: Corpus,
    known: Vocabulary,
    target: npt.NDArray[np.int64],
    weight: Doubles,
    fold: npt.NDArray[np.int64],
    *,
    strength: float,
) -> Head:
    """A head over the sum of a message's word vectors, folded into one weight a word."""
    vectors = static.vectors(known.keys).astype(np.float64)
    projected = known.matrix @ vectors
    spread = projected.std(axis=0)  # the solver needs columns of one scale
    spread[spread == 0] = 1.0
    projected, vectors = projected / spread, vectors / spread

    def fitted(rows: npt.NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
        coefficients, bias = multinomial(projected[rows], target[rows], weight[rows], strength)
        return vectors @ coefficients, bias

    return _out_of_fold(pool, known, fitted, (target >= 0) & (weight > 0), fold, with_extremes=False)


def _out_of_fold(
    pool: Corpus,
    known: Vocabulary,
    fitted: Any,
    used: npt.NDArray[np.bool_],
    fold: npt.NDArray[np.int64],
    *,
    with_extremes: bool,
) -> Head:
    def scored(weights: Doubles, bias: Doubles) -> Doubles:
        table = WordTable(known.keys, known.idf, (weights * known.idf[:, None]).astype(np.float32), (), bias)
        scores = table.scores(known.found, len(pool.texts))
        if not with_extremes:
            return scores
        return np.column_stack([scores, table.sentence_extremes(known.found, known.sentence, len(pool.texts))])

    weights, bias = fitted(used)
    scores = scored(weights, bias)
    for number in np.unique(fold[used]).tolist():
        outside = fold == number
        scores[outside] = scored(*fitted(used & ~outside))[outside]
    return Head(scores, weights, bias)
