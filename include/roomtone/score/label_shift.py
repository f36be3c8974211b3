"""Class shares of an inbox from messages that nobody labelled, and probabilities moved to them.

Expectation maximisation after Saerens, Latinne and Decaestecker (2002, "Adjusting the outputs of a classifier to new a
priori probabilities"), with the declared shares as pseudo-messages. It assumes that a class is worded alike everywhere
and only its share differs, and it turns a badly calibrated model's errors into wrong shares: hence the gate.

Where neutral ends is drawn differently from one set of messages to the next, and without labels such a border cannot
be told from a share. It is known for messages to a shop, which the model was taught; in an inbox that reads otherwise
only the two polar classes are weighed against each other, and neutral keeps its declared share.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

LEAST_MESSAGES = 300
"""Below so many messages the declared shares stay."""

PRIOR_SHARE = 0.6
"""The declared shares count as so many messages for each message read, and never as fewer than `LEAST_MESSAGES`. Of
0, 0.15, 0.3, 0.6 and 1 it had the smallest log loss over six open sources held out of training, at three shares each.
"""

OWN_SHARE = 0.3
"""The same for a model that the brand's own labels have calibrated: its errors are known in this very inbox."""

LEAST_SERVICE = 0.4
"""Mean chance of being a message to a shop from which an inbox counts as service language. General sets held out of
training have 0.06 to 0.22, service sets 0.71 to 0.97.
"""

ALL = np.array([True, True, True])
POLAR = np.array([True, False, True])
"""Classes whose shares are estimated: in service language, and elsewhere."""

SMALLEST, LARGEST = 0.05, 0.85
"""Bounds of an estimated class share."""

MOST_SOURCE_ERROR = 0.05
"""A model with a larger calibration error out of fold is not corrected."""

MOST_SPREAD = 0.10
"""Two random halves of the messages may differ by so much in a class's share."""

_STEPS = 500
_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Shift:
    """Shares of the classes to assume. `refusal` says why they are the declared ones, and is empty where they were
    estimated.

    `spread` is the largest difference between the estimates of two halves, NaN where none was made.
    """

    prior: Doubles
    count: int
    spread: float
    refusal: str

    @property
    def is_applied(self) -> bool:
        return not self.refusal


def estimate(
    chances: Doubles,
    declared: Doubles,
    source_error: float | None,
    seed: int,
    *,
    pull: float = PRIOR_SHARE,
    free: npt.NDArray[np.bool_] = POLAR,
) -> Shift:
    """The shares behind `chances` (messages x classes, calibrated at the shares `declared`), if the gate lets them by.

    `source_error` is the model's expected calibration error out of fold, None where it is not known; `pull` and `free`
    are those of `shares`.
    """
    count = len(chances)
    if count < LEAST_MESSAGES:
        return Shift(declared, count, float("nan"), f"{count} messages are fewer than {LEAST_MESSAGES}")
    if source_error is None or source_error >= MOST_SOURCE_ERROR:
        told = "unknown" if source_error is None else f"{source_error:.3f}"
        refusal = f"the model's calibration error is {told}, not below {MOST_SOURCE_ERROR}"
        return Shift(declared, count, float("nan"), refusal)

    def found(rows: Classes) -> Doubles:
        return shares(chances[rows], declared, pull, free)

    order = np.random.default_rng(seed).permutation(count)
    halves = [found(half) for half in np.array_split(order, 2)]
    spread = float(np.abs(halves[0] - halves[1]).max())
    if spread > MOST_SPREAD:
        refusal = f"two halves of the messages differ by {spread:.2f} in a class's share, more than {MOST_SPREAD}"
        return Shift(declared, count, spread, refusal)
    return Shift(bounded(found(order)), count, spread, "")


def shares(chances: Doubles, declared: Doubles, pull: float, free: npt.NDArray[np.bool_] = ALL) -> Doubles:
    """Class shares of highest posterior probability, the `declared` ones counting as `pull` pseudo-messages for each
    message. Classes that are not `free` keep their declared share.
    """
    count = len(chances)
    extra = max(pull * count, float(LEAST_MESSAGES))
    found = declared.copy()
    for _ in range(_STEPS):
        weights = (move(chances, declared, found).sum(axis=0) + extra * declared)[free]
        following = declared.copy()
        following[free] = declared[free].sum() * weights / weights.sum()
        change = float(np.abs(following - found).max())
        found = following
        if change < _TOLERANCE:
            break
    return found


def move(chances: Doubles, declared: Doubles, found: Doubles) -> Doubles:
    """`chances` at the shares `declared`, as they stand at the shares `found`."""
    moved = chances * (found / declared)
    return np.asarray(moved / moved.sum(axis=1, keepdims=True))


def bounded(found: Doubles) -> Doubles:
    """Shares within `SMALLEST` and `LARGEST` that sum to 1: what a bound takes or gives is spread over the others."""
    held = np.clip(found, SMALLEST, LARGEST)
    for _ in range(len(found)):
        free = (held > SMALLEST) & (held < LARGEST)
        if not free.any() or abs(held.sum() - 1) < _TOLERANCE:
            break
        held[free] *= (1 - held[~free].sum()) / held[free].sum()
        held = np.clip(held, SMALLEST, LARGEST)
    return np.asarray(held / held.sum())


def naming_weights(prior: Doubles, declared: Doubles | None = None) -> Doubles:
    """Weights by which a class is named: 1 / sqrt(share), bounded, the commonest class 1.

    By probability alone a rare class is hardly ever named; by probability over share it is named too often. Half-way
    was best or close to it on every open source at every share of classes tried. With `declared` it is the root of
    what the share has grown by: the border between classes follows a share that was only estimated half of the way,
    and lies where it lay without the estimate when nothing moved. The bound keeps a class of probability 0.8 or more
    the one that is named.
    """
    grown = prior if declared is None else prior / declared
    return np.asarray(np.minimum(np.sqrt(grown.max() / grown), _MOST_WEIGHT))


_MOST_WEIGHT = 3.9


def named(chances: Doubles, weights: Doubles) -> Classes:
    """Number of the class that each message is given."""
    return np.asarray((chances * weights).argmax(axis=1), np.int64)
