"""Small heads on the features: calibration of the trees, cues, urgency. Plain numbers, stored as JSON."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from roomtone.score.features import FEATURE_NAMES, SURFACE_NAMES, Doubles

CUE_FEATURES = (
    "linear_frustration",
    "linear_gratitude",
    "linear_confusion",
    "linear_curiosity",
    *SURFACE_NAMES,
)
URGENCY_FEATURES = (
    "exclaims",
    "persistent",
    "durations",
    "problem",
    "asking_sentences",
    "phrase_urgent",
    "phrase_near",
    "phrase_occasion",
    "phrase_calm",
    "phrase_waiting",
    "thanks",
    "praise",
)


def softmax(values: Doubles) -> Doubles:
    """Rows that sum to 1."""
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def at_even_shares(chances: Doubles, prior: dict[str, float]) -> Doubles:
    """Probabilities of three classes that assume `prior`, turned to three equally frequent classes (Bayes' rule)."""
    even = chances / np.array(list(prior.values()))
    return np.asarray(even / even.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class VectorScaling:
    """softmax(scale * raw + bias): one temperature and a bias for each class (Guo et al. 2017, restricted)."""

    scale: float
    bias: tuple[float, ...]

    def apply(self, raw: Doubles) -> Doubles:
        return softmax(self.scale * raw + np.array(self.bias))


def fit_vector_scaling(raw: Doubles, target: npt.NDArray[np.int64], weight: Doubles) -> VectorScaling:
    """The scaling that minimises the weighted log loss of out-of-fold scores."""
    from scipy.optimize import minimize

    rows = np.arange(len(target))
    share = weight / weight.sum()

    def loss(point: Doubles) -> float:
        chances = softmax(point[0] * raw + np.append(point[1:], 0.0))
        return float(-(share * np.log(np.maximum(chances[rows, target], 1e-12))).sum())

    found = minimize(loss, np.array([1.0] + [0.0] * (raw.shape[1] - 1)), method="L-BFGS-B").x
    return VectorScaling(float(found[0]), (*(float(value) for value in found[1:]), 0.0))


@dataclass(frozen=True)
class Logistic:
    """A logistic regression over named features, standardisation already folded into weights and biases (classes x
    features).
    """

    features: tuple[str, ...]
    weights: Doubles
    bias: Doubles

    def apply(self, columns: Doubles) -> Doubles:
        """Probabilities, rows x classes, from a matrix with the columns `FEATURE_NAMES`."""
        chosen = columns[:, [FEATURE_NAMES.index(name) for name in self.features]]
        return softmax(chosen @ self.weights.T + self.bias)

    def to_json(self) -> dict[str, Any]:
        return {
            "features": list(self.features),
            "weights": np.round(self.weights, 6).tolist(),
            "bias": np.round(self.bias, 6).tolist(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Logistic":
        return cls(
            tuple(value["features"]), np.array(value["weights"], np.float64), np.array(value["bias"], np.float64)
        )


def fit_logistic(
    columns: Doubles,
    target: npt.NDArray[np.int64],
    names: tuple[str, ...],
    strength: float,
    seed: int,
    *,
    has_even_classes: bool = False,
) -> Logistic:
    """Logistic regression over `names`, fitted on standardised columns, weights turned back to raw columns.

    `has_even_classes` weighs the classes as if they were equally frequent: where rows were written, not drawn, their
    shares say nothing.
    """
    from sklearn.linear_model import LogisticRegression

    chosen = columns[:, [FEATURE_NAMES.index(name) for name in names]]
    mean, spread = chosen.mean(axis=0), chosen.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    class_weight = "balanced" if has_even_classes else None
    fitted = LogisticRegression(C=strength, max_iter=1000, random_state=seed, class_weight=class_weight).fit(
        (chosen - mean) / spread, target
    )
    weights = fitted.coef_ / spread
    bias = fitted.intercept_ - weights @ mean
    if len(bias) == 1:
        weights, bias = np.vstack([np.zeros_like(weights), weights]), np.array([0.0, bias[0]])
    return Logistic(names, weights, bias)


@dataclass(frozen=True)
class Heads:
    """All small heads of a model, and the class shares (`prior`) its probabilities assume."""

    scaling: VectorScaling
    cues: dict[str, Logistic]
    urgency: Logistic
    prior: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "scaling": {
                "scale": round(self.scaling.scale, 6),
                "bias": [round(value, 6) for value in self.scaling.bias],
            },
            "cues": {name: head.to_json() for name, head in self.cues.items()},
            "urgency": self.urgency.to_json(),
            "prior": self.prior,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Heads":
        scaling = VectorScaling(float(value["scaling"]["scale"]), tuple(value["scaling"]["bias"]))
        cues = {name: Logistic.from_json(head) for name, head in value["cues"].items()}
        return cls(scaling, cues, Logistic.from_json(value["urgency"]), dict(value["prior"]))
