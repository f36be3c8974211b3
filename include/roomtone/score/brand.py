"""What a brand's own messages add to a model: shares of its classes, and an adapter on the cold start's answers.

Everything is a few numbers on top of the columns and grams that the model has made anyway: a table of the brand's
words, a small linear map, and in its last step small trees.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roomtone.score import label_shift
from roomtone.score.data import SENTIMENTS
from roomtone.score.features import FEATURE_NAMES, Doubles
from roomtone.score.heads import VectorScaling
from roomtone.score.label_shift import Classes
from roomtone.score.tokens import Grams
from roomtone.score.trees import Trees
from roomtone.score.weights import WordTable

FILE, WORDS, TREES = "brand.json", "brand_words.txt", "brand_trees.txt"
WORD_HEADS = tuple(f"brand_{name}" for name in SENTIMENTS)
STEPS = ("cold start", "scaling", "words", "trees")
"""What may stand on the cold start, each step on top of the one before it."""

TREE_NAMES = (*(f"cold_{name}" for name in SENTIMENTS), *(f"words_{name}" for name in SENTIMENTS), *FEATURE_NAMES)
"""Columns of the brand's trees."""

_LEAST_CHANCE = 1e-6


def naming_weights(step: str, declared: Doubles, prior: Doubles) -> Doubles:
    """Weights by which a class is named: those of `label_shift`, after the shares where labels told them, after what
    they have grown by where they were only estimated.
    """
    return label_shift.naming_weights(prior, declared if step == STEPS[0] else None)


def centred_logs(chances: Doubles) -> Doubles:
    """Log probabilities whose row means are 0."""
    logs = np.log(np.maximum(chances, _LEAST_CHANCE))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def tree_columns(cold: Doubles, words: Doubles, columns: Doubles) -> Doubles:
    """Matrix with the columns `TREE_NAMES`, rounded so that the last bits of a machine's arithmetic decide nothing."""
    return np.asarray(np.round(np.column_stack([cold, words, columns]), 4))


@dataclass(frozen=True)
class Adapter:
    """Scores (messages x 3) of the brand's words and a linear map of the model's columns, beside the cold start's.

    `dense` has a row for each of `FEATURE_NAMES` and then for each of the cold start's centred log probabilities.
    """

    words: WordTable
    dense: Doubles

    def scores(self, cold: Doubles, columns: Doubles, grams: Grams) -> Doubles:
        own = self.words.scores(self.words.find(grams), len(cold))
        return np.asarray(cold + own + np.column_stack([columns, cold]) @ self.dense)


@dataclass(frozen=True)
class Brand:
    """A brand's part of a model. `scaling` calibrates the scores of its step, `declared` are the shares it was
    calibrated at, `prior` those of the inbox.

    In the step `trees`, `tree_scaling` calibrates the trees and the answer is the mean of both.
    """

    step: str
    scaling: VectorScaling
    declared: Doubles
    prior: Doubles
    adapter: Adapter | None = None
    trees: Trees | None = None
    tree_scaling: VectorScaling | None = None
    weights: Doubles = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", naming_weights(self.step, self.declared, self.prior))

    def chances(self, cold_chances: Doubles, columns: Doubles, grams: Grams) -> Doubles:
        """Probabilities (messages x 3) from the cold start's, the model's columns and the grams of a batch."""
        if self._is_cold_start:
            return cold_chances
        return label_shift.move(self.calibrated(cold_chances, columns, grams), self.declared, self.prior)

    @property
    def _is_cold_start(self) -> bool:
        """Whether nothing was learned: the way through logarithms and back would move the last bits."""
        is_plain = self.scaling == VectorScaling(1.0, (0.0,) * len(self.declared))
        return self.adapter is None and self.trees is None and is_plain and np.array_equal(self.prior, self.declared)

    def calibrated(self, cold_chances: Doubles, columns: Doubles, grams: Grams) -> Doubles:
        """As `chances`, at the shares `declared`."""
        scores = cold = centred_logs(cold_chances)
        if self.adapter is not None:
            scores = self.adapter.scores(cold, columns, grams)
        chances = self.scaling.apply(scores)
        if self.trees is not None and self.tree_scaling is not None:
            raw = self.trees.predict(tree_columns(cold, scores, columns))
            chances = (chances + self.tree_scaling.apply(raw)) / 2
        return chances

    def named(self, chances: Doubles) -> Classes:
        """Number of the class that each message is given (see `naming_weights`)."""
        return label_shift.named(chances, self.weights)

    def to_json(self) -> dict[str, Any]:
        """The numbers of `FILE`; words and trees have files of their own."""
        value: dict[str, Any] = {
            "step": self.step,
            "scaling": _scaling_json(self.scaling),
            "declared": np.round(self.declared, 6).tolist(),
            "prior": np.round(self.prior, 6).tolist(),
        }
        if self.adapter is not None:
            value["dense"] = np.round(self.adapter.dense, 6).tolist()
            value["words_bias"] = np.round(self.adapter.words.bias, 6).tolist()
        if self.tree_scaling is not None:
            value["tree_scaling"] = _scaling_json(self.tree_scaling)
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any], words: bytes | None, trees: bytes | None) -> "Brand":
        """The brand of `to_json`'s numbers and the contents of its other files; raises ValueError, KeyError or
        TypeError where they do not fit together.
        """
        adapter = None
        if words is not None:
            dense = np.array(value["dense"], np.float64)
            if dense.shape != (len(FEATURE_NAMES) + len(SENTIMENTS), len(SENTIMENTS)):
                raise ValueError("the brand's linear map has another shape")
            bias = np.array(value["words_bias"], np.float64)
            adapter = Adapter(WordTable.from_text(words, bias, WORD_HEADS), dense)
        declared, prior = (np.array(value[name], np.float64) for name in ("declared", "prior"))
        if value["step"] not in STEPS or declared.shape != (len(SENTIMENTS),) or prior.shape != declared.shape:
            raise ValueError("the brand's step or shares are not this version's")
        return cls(
            step=value["step"],
            scaling=_scaling(value["scaling"]),
            declared=declared / declared.sum(),
            prior=prior / prior.sum(),
            adapter=adapter,
            trees=Trees(trees.decode(), len(TREE_NAMES)) if trees is not None else None,
            tree_scaling=_scaling(value["tree_scaling"]) if trees is not None else None,
        )


def _scaling_json(scaling: VectorScaling) -> dict[str, Any]:
    return {"scale": round(scaling.scale, 6), "bias": [round(value, 6) for value in scaling.bias]}


def _scaling(value: dict[str, Any]) -> VectorScaling:
    return VectorScaling(float(value["scale"]), tuple(float(entry) for entry in value["bias"]))
