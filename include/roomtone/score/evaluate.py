"""`roomtone evaluate`: what a model reaches on sets it was not trained on, and what its recipe reaches on sources
held out of it.

Two anchors stand in the same tables: a lexicon rule (the sum of valences in context, cut at +-0.05 as VADER's
authors do) and TF-IDF with logistic regression, trained on the same rows as the recipe.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roomtone.score import card, data, features, service, tokens, train
from roomtone.score.data import CUE_HEADS, SENTIMENTS, Source
from roomtone.score.features import Doubles
from roomtone.score.model import Model
from roomtone.score.text import clean_body

_RULE_CUT = 0.05
_COMPOUND = features.SURFACE_NAMES.index("valence_compound")
HELD_OUT = ("semeval_sentiment", "vader_tweets", "vader_amazon")


def evaluate(model: Model, data_dir: Path) -> dict[str, Any]:
    """Figures of `model` on open sets that the shipped recipe does not train on; anchors beside them.

    `sets` maps a set to `card.report` figures of the model and the macro-F1 of the lexicon rule; `cues` holds F1 on
    GoEmotions' test split at the cut that is best on its development split; `service_turns` are those of
    `service.measure` on held-out conversations. Raises RoomtoneError when a set is
    missing.
    """
    sets: dict[str, Any] = {}
    for name, source in _unseen(data_dir).items():
        target, texts = _marked(source)
        chances = probabilities(model, texts)
        sets[name] = _row(target, chances) | card.report(target, chances)
        sets[name]["lexicon_rule_macro_f1"] = card.macro_f1(target, _rule(texts))
    return {
        "model_version": model.version,
        "sets": sets,
        "cues": _cue_figures(model, data_dir),
        "service_turns": service.measure(model, service.turns(data_dir, held_out=True)),
    }


def transfer(data_dir: Path, seed: int = 7, sample: int = 4) -> dict[str, Any]:
    """For each of `HELD_OUT`: the recipe trained without it, judged on it, beside both anchors.

    One row in `sample` of every open set is used. Figures: macro-F1, macro recall, AUC of negative, calibration error.
    The stack's probabilities assume the inbox prior, which none of these sets has: AUC and macro recall compare more
    fairly than macro-F1.
    """
    sources = {
        source.name: source if source.name == "project" else source.every(sample)
        for source in train.open_sources(data_dir, seed)
    }
    results: dict[str, Any] = {}
    for held in HELD_OUT:
        kept = [source for name, source in sources.items() if name != held]
        fitted = train.fit(kept, seed)
        target, texts = _marked(sources[held])
        chances = _stacked(fitted, texts)
        results[held] = {
            "n": len(target),
            "stack": _row(target, chances),
            "tfidf_lr": _row(target, _tfidf(kept, texts, seed)),
            "lexicon_rule": {"macro_f1": card.macro_f1(target, _rule(texts))},
        }
    return results


def probabilities(model: Model, texts: list[str]) -> Doubles:
    """Sentiment probabilities of raw texts, messages x 3."""
    scored = model.score(pa.table({"id": [str(row) for row in range(len(texts))], "text": texts}))
    return np.column_stack([scored[f"p_{name}"].to_numpy() for name in SENTIMENTS])


def _unseen(data_dir: Path) -> dict[str, Source]:
    return {
        "goemotions_test": data.goemotions(data_dir, "test"),
        "vader_movies": data.vader(data_dir, "movie"),
        "vader_news": data.vader(data_dir, "nyt"),
    }


def _marked(source: Source) -> tuple[npt.NDArray[np.int64], list[str]]:
    rows = [row for row, mark in enumerate(source.sentiment) if mark is not None]
    target = np.array([SENTIMENTS.index(str(source.sentiment[row])) for row in rows])
    return target, [source.texts[row] for row in rows]


def _rule(texts: list[str]) -> npt.NDArray[np.int64]:
    table = tokens.TypeTable()
    compound = features.surface(tokens.encode([clean_body(text) for text in texts], table)).values[:, _COMPOUND]
    return np.where(compound <= -_RULE_CUT, 0, np.where(compound >= _RULE_CUT, 2, 1))


def _stacked(fitted: train.Fitted, texts: list[str]) -> Doubles:
    from roomtone.score.trees import Trees

    batch = tokens.encode([clean_body(text) for text in texts], tokens.TypeTable())
    found = fitted.words.find(tokens.grams(batch))
    extremes = fitted.words.sentence_extremes(found, batch.sentence[found.first], batch.size)
    columns = features.matrix(
        np.column_stack([fitted.words.scores(found, batch.size), extremes]), features.surface(batch).values
    )
    return fitted.heads.scaling.apply(Trees(fitted.trees, columns.shape[1]).predict(columns))


def _tfidf(kept: list[Source], texts: list[str], seed: int) -> Doubles:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    known: list[str] = []
    targets: list[npt.NDArray[np.int64]] = []
    for source in kept:
        target, marked = _marked(source)
        known += marked
        targets.append(target)
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    fitted = LogisticRegression(C=2.0, max_iter=200, class_weight="balanced", random_state=seed)
    fitted.fit(words.fit_transform(known), np.concatenate(targets))
    return np.asarray(fitted.predict_proba(words.transform(texts)))


def _row(target: npt.NDArray[np.int64], chances: Doubles) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    figures = card.report(target, chances)
    recall = float(np.mean([figures[f"recall_{name}"] for name in SENTIMENTS]))
    return {
        "macro_f1": figures["macro_f1"],
        "macro_recall": recall,
        "auc_negative": float(roc_auc_score(target == 0, chances[:, 0])),
        "calibration_error": figures["calibration_error"],
    }


def _cue_figures(model: Model, data_dir: Path) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    splits = {}
    for split in ("dev", "test"):
        source = data.goemotions(data_dir, split)
        columns = model.columns([clean_body(text) for text in source.texts])
        splits[split] = columns, [cues or frozenset() for cues in source.cues]
    for name in CUE_HEADS:
        chances, targets = {}, {}
        for split, (columns, cues) in splits.items():
            chances[split] = model.heads.cues[name].apply(columns)[:, 1]
            targets[split] = np.array([name in marks for marks in cues])
        cuts = [float(value) for value in np.arange(0.1, 0.9, 0.02)]
        cut = max((card.class_f1(targets["dev"], chances["dev"] >= value), value) for value in cuts)[1]
        figures[name] = {
            "n": float(targets["test"].sum()),
            "cut": cut,
            "f1": card.class_f1(targets["test"], chances["test"] >= cut),
        }
    return figures
