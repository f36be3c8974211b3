"""The risk head: the chance that a promotion sent now ends in an unsubscribe or a spam complaint within a week.

Until a brand has outcomes enough, a rule with declared coefficients answers; then LightGBM learns from the brand's own
sends, and takes over only if it tells outcomes of customers it has not seen better than the rule. Silence, the slow
kind of leaving, takes months to be seen and is not an outcome here.
"""

import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from roomtone.errors import RoomtoneError
from roomtone.score.risk_features import FEATURES, Doubles
from roomtone.score.trees import Trees

OUTCOME_DAYS = 7
"""An unsubscribe or a complaint counts for a send when it comes within so many days of it."""

LEAST_OUTCOMES = 60
"""Sends that ended badly, below which nothing is learned."""

RULE_VERSION = "risk-rule-1"
BASE_LOG_ODDS = -5.3
RULE: dict[str, float] = {
    "tone_worst_14d": 2.4,
    "threat_30d": 1.0,
    "open_tickets": 0.5,
    "late_shipments": 0.4,
    "contacts_7d": 0.15,
    "promotions_7d": 0.10,
}
"""Log odds added for each unit of a feature: a judgement, not a measurement. A calm customer starts at half a per cent;
a furious message of these days raises that to about five, an open ticket and a late parcel to over ten.
"""

FILE, TREES = "risk.json", "risk_trees.txt"
_FOLDS = 5
_ROUNDS = 80
_PARAMETERS = {
    "objective": "binary",
    "num_leaves": 7,
    "learning_rate": 0.05,
    "feature_fraction": 0.7,
    "min_data_in_leaf": 50,
    "lambda_l2": 5.0,
    "use_missing": False,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def by_rule(columns: Doubles) -> Doubles:
    """Chances of the declared rule, for a matrix with the columns `FEATURES`."""
    odds = np.full(len(columns), BASE_LOG_ODDS)
    for name, weight in RULE.items():
        odds += weight * np.minimum(columns[:, FEATURES.index(name)], 5.0)
    return _logistic(odds)


@dataclass(frozen=True)
class RiskHead:
    """Chances from features. Without trees it is the rule; `scale` and `bias` calibrate the trees' log odds."""

    version: str
    trees: Trees | None = None
    trees_text: str = ""
    scale: float = 1.0
    bias: float = 0.0

    def apply(self, columns: Doubles) -> Doubles:
        """The chance for each row of a matrix with the columns `FEATURES`."""
        if self.trees is None:
            return by_rule(columns)
        return _logistic(self.scale * self.trees.predict(np.round(columns, 4))[:, 0] + self.bias)

    def save(self, folder: Path) -> None:
        """Writes a learned head as JSON and text, with the SHA-256 of its trees."""
        value = {
            "version": self.version,
            "features": list(FEATURES),
            "scale": round(self.scale, 6),
            "bias": round(self.bias, 6),
            "sha256": hashlib.sha256(self.trees_text.encode()).hexdigest(),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / TREES).write_text(self.trees_text, encoding="utf-8")
            (folder / FILE).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise RoomtoneError(
                "risk head", f"{folder} cannot be written ({error.strerror})", "choose another --output"
            ) from error

    @classmethod
    def load(cls, folder: Path) -> "RiskHead":
        """The learned head in `folder`, the rule where there is none. Raises RoomtoneError for a damaged one."""
        if not (folder / FILE).exists():
            return cls(RULE_VERSION)
        try:
            value = json.loads((folder / FILE).read_text(encoding="utf-8"))
            text = (folder / TREES).read_text(encoding="utf-8")
            is_whole = hashlib.sha256(text.encode()).hexdigest() == value["sha256"]
            if is_whole and value["features"] == list(FEATURES):
                scale, bias = float(value["scale"]), float(value["bias"])
                return cls(value["version"], Trees(text, len(FEATURES)), text, scale, bias)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _refusal(folder) from error
        raise _refusal(folder)


def _refusal(folder: Path) -> RoomtoneError:
    return RoomtoneError(
        "risk head", f"{folder} is damaged or of another version", "train it again or remove the folder"
    )


@dataclass(frozen=True)
class Learned:
    """The head that won, log losses out of fold of both, and in a line why."""

    head: RiskHead
    count_sends: int
    count_outcomes: int
    loss_rule: float
    loss_trees: float
    line: str


def too_few(outcome: npt.NDArray[np.bool_]) -> bool:
    """Whether the outcomes of sends, true for a bad one, teach nothing."""
    return int(outcome.sum()) < LEAST_OUTCOMES or bool(outcome.all())


def learn(columns: Doubles, outcome: npt.NDArray[np.bool_], customers: list[str], seed: int = 7) -> Learned:
    """The rule, or trees learned from sends and their outcomes where they win on customers they have not seen by more
    than a standard error.

    `columns` are features as of each send (sends x `FEATURES`). The same rows and seed give the same head.
    """
    bad = int(outcome.sum())
    rule = RiskHead(RULE_VERSION)
    if too_few(outcome):
        line = f"{bad} of {len(outcome)} sends ended badly, fewer than {LEAST_OUTCOMES}: the declared rule stays"
        return Learned(rule, len(outcome), bad, float("nan"), float("nan"), line)
    fold = np.array([zlib.crc32(f"{seed}:{customer}".encode()) % _FOLDS for customer in customers])
    columns = np.round(columns, 4)
    raw = np.zeros(len(outcome))
    for number in range(_FOLDS):
        outside = fold == number
        if outside.any():
            booster = _boosted(columns[~outside], outcome[~outside], seed)
            raw[outside] = booster.predict(columns[outside], raw_score=True, num_threads=1)
    # The rule is calibrated too: its order is what it claims, its level differs between brands.
    losses = [_losses(outcome, _cross_scaled(odds, outcome, fold)) for odds in (_log_odds(by_rule(columns)), raw)]
    loss_rule, loss_trees = (float(loss.mean()) for loss in losses)
    gain = losses[0] - losses[1]
    wins = bool(gain.mean() > gain.std() / np.sqrt(len(gain)))
    told = f"log loss on customers not seen: rule {loss_rule:.4f}, trees {loss_trees:.4f}"
    line = f"{told}: {'the trees take over' if wins else 'the declared rule stays'}"
    if not wins:
        return Learned(rule, len(outcome), bad, loss_rule, loss_trees, line)
    text = _boosted(columns, outcome, seed).model_to_string()
    scale, bias = _scaling(raw, outcome)
    version = f"risk-trees-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    head = RiskHead(version, Trees(text, len(FEATURES)), text, scale, bias)
    return Learned(head, len(outcome), bad, loss_rule, loss_trees, line)


def log_loss(outcome: npt.NDArray[np.bool_], chances: Doubles) -> float:
    """Mean negative log likelihood."""
    return float(_losses(outcome, chances).mean())


def _losses(outcome: npt.NDArray[np.bool_], chances: Doubles) -> Doubles:
    kept = np.clip(chances, 1e-9, 1 - 1e-9)
    return np.asarray(-np.where(outcome, np.log(kept), np.log(1 - kept)))


def _boosted(columns: Doubles, outcome: npt.NDArray[np.bool_], seed: int) -> Any:
    import lightgbm

    data = lightgbm.Dataset(columns, outcome.astype(np.int64), feature_name=list(FEATURES))
    return lightgbm.train({**_PARAMETERS, "seed": seed}, data, num_boost_round=_ROUNDS)


def _cross_scaled(odds: Doubles, outcome: npt.NDArray[np.bool_], fold: npt.NDArray[np.int64]) -> Doubles:
    chances = np.zeros(len(odds))
    for number in range(_FOLDS):
        outside = fold == number
        scale, bias = _scaling(odds[~outside], outcome[~outside])
        chances[outside] = _logistic(scale * odds[outside] + bias)
    return chances


def _scaling(odds: Doubles, outcome: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Platt's scaling of log odds (1999), with his softened targets."""
    from scipy.optimize import minimize

    good, bad = int((~outcome).sum()), int(outcome.sum())
    target = np.where(outcome, (bad + 1) / (bad + 2), 1 / (good + 2))

    def loss(point: Doubles) -> float:
        chances = np.clip(_logistic(point[0] * odds + point[1]), 1e-12, 1 - 1e-12)
        return float(-(target * np.log(chances) + (1 - target) * np.log(1 - chances)).mean())

    found = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B").x
    return float(found[0]), float(found[1])


def _logistic(odds: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-odds)))


def _log_odds(chances: Doubles) -> Doubles:
    return np.asarray(np.log(chances / (1 - chances)))
