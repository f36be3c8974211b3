"""`roomtone evaluate`: what a model reaches on sets it was not trained on, and what its recipe reaches on sources
held out of it.

Anchors stand in the same tables: a lexicon rule (the sum of valences in context, cut at +-0.05 as VADER's authors do)
beside the shipped model, the baselines of `anchors` beside the recipe, trained on the same rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roomtone.score import anchors, card, data, features, service, tokens
from roomtone.score.data import CUE_HEADS, SENTIMENTS, Source
from roomtone.score.features import Doubles
from roomtone.score.heads import at_even_shares
from roomtone.score.model import Model
from roomtone.score.text import clean_body

_COMPOUND = features.SURFACE_NAMES.index("valence_compound")


def evaluate(model: Model, data_dir: Path) -> dict[str, Any]:
    """Figures of `model` on open sets that the shipped recipe does not train on; anchors beside them.

    `sets` maps a set to `card.report` figures of the model and the macro-F1 of the lexicon rule; `cues` holds F1 on
    GoEmotions' official test split at the cut that was best out of fold in training; `service_turns` are those of
    `service.measure` on held-out conversations. Raises RoomtoneError when a set is missing.
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


def against_anchors(model: Model, held: Source, kept: list[Source], seed: int = 7) -> dict[str, dict[str, float]]:
    """`model`, trained on `kept`, judged on all rows of `held`, beside the baselines of `anchors` trained on the same.

    The model's answer is the class that is likeliest when all three are equally frequent, as nobody knows the shares of
    a set never seen; `assumed_prior` holds the same figures at the declared inbox prior. Figures: macro-F1, macro
    recall, for the model also AUC of negative and calibration error.
    """
    target, texts = _marked(held)
    columns = model.columns([clean_body(text) for text in texts])
    chances = model.heads.scaling.apply(model.trees.predict(columns))
    marked = [_marked(source) for source in kept]
    known, labels = [text for _, part in marked for text in part], np.concatenate([part for part, _ in marked])
    return {
        "stack": _row(target, at_even_shares(chances, model.heads.prior)),
        "assumed_prior": _row(target, chances),
    } | {
        name: {"macro_f1": card.macro_f1(target, answer), "macro_recall": card.macro_recall(target, answer)}
        for name, answer in anchors.answers(known, labels, texts, seed).items()
    }


def probabilities(model: Model, texts: list[str]) -> Doubles:
    """Sentiment probabilities of raw texts, messages x 3."""
    scored = model.score(pa.table({"id": [str(row) for row in range(len(texts))], "text": texts}))
    return np.column_stack([scored[f"p_{name}"].to_numpy() for name in SENTIMENTS])


def _unseen(data_dir: Path) -> dict[str, Source]:
    return {
        "goemotions_test": data.goemotions(data_dir, "test"),
        "vader_news": data.vader(data_dir, "nyt"),
    }


def _marked(source: Source) -> tuple[npt.NDArray[np.int64], list[str]]:
    rows = [row for row, mark in enumerate(source.sentiment) if mark is not None]
    target = np.array([SENTIMENTS.index(str(source.sentiment[row])) for row in rows])
    return target, [source.texts[row] for row in rows]


def _rule(texts: list[str]) -> npt.NDArray[np.int64]:
    table = tokens.TypeTable()
    compound = features.surface(tokens.encode([clean_body(text) for text in texts], table)).values[:, _COMPOUND]
    return np.where(compound <= -anchors.CUT, 0, np.where(compound >= anchors.CUT, 2, 1))


def _row(target: npt.NDArray[np.int64], chances: Doubles) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    figures = card.report(target, chances)
    return {
        "macro_f1": figures["macro_f1"],
        "macro_recall": card.macro_recall(target, chances.argmax(axis=1)),
        "auc_negative": float(roc_auc_score(target == 0, chances[:, 0])),
        "calibration_error": figures["calibration_error"],
    }


def _cue_figures(model: Model, data_dir: Path) -> dict[str, dict[str, float]]:
    source = data.goemotions(data_dir, "test")
    columns = model.columns([clean_body(text) for text in source.texts])
    figures: dict[str, dict[str, float]] = {}
    for name in CUE_HEADS:
        cut = float(model.manifest["cue_cuts"][name])
        target = np.array([name in (cues or ()) for cues in source.cues])
        answer = model.heads.cues[name].apply(columns)[:, 1] >= cut
        figures[name] = {"n": float(target.sum()), "cut": cut, "f1": card.class_f1(target, answer)}
    return figures
