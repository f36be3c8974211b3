"""The features of a message, one function for training and scoring.

Rows in, rows out; no state but the weight table.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from roomtone.score import lexicon, tokens
from roomtone.score.keys import run_starts
from roomtone.score.phrases import Phrases, phrases
from roomtone.score.tokens import Encoded, Floats, Positions

Doubles = npt.NDArray[np.float64]

HEAD_NAMES = (
    "linear_negative",
    "linear_neutral",
    "linear_positive",
    "linear_frustration",
    "linear_gratitude",
    "linear_confusion",
    "linear_support",
    "static_negative",
    "static_neutral",
    "static_positive",
    "linear_curiosity",
)
"""The word table's linear heads: mood and cues by words; messages to a shop told from general talk, so that trees may
trust words differently; mood by word vectors, folded into one weight a word; curiosity, a mark of forum comments.
"""

LINEAR_NAMES = (*HEAD_NAMES, "sentence_negative", "sentence_positive")
"""Linear scores of the message and extremes over its sentences; out of fold where a row was trained on."""

SURFACE_NAMES = (
    "valence_positive",
    "valence_negative",
    "valence_compound",
    "valence_max",
    "valence_min",
    "valence_mean",
    "valence_after_contrast",
    "valence_mixed",
    "sentence_min",
    "sentence_max",
    "sentence_last",
    "emoji_valence",
    "negated_positive",
    "negated_negative",
    "negators",
    "exclaims",
    "questions",
    "ends_asking",
    "asking_sentences",
    "ellipses",
    "caps_words",
    "elongated",
    "words_log",
    "first_person",
    "second_person",
    "polite",
    "persistent",
    "thanks",
    "apology",
    "praise",
    "confused",
    "problem",
    "swearing",
    "durations",
    *(f"phrase_{category}" for category in lexicon.PHRASES),
)
FEATURE_NAMES = LINEAR_NAMES + SURFACE_NAMES
"""The columns of the trees, in order. A model with another list is refused."""

_BOOST = 0.3
_CAPS_BOOST = 0.7
_NEGATION_FACTOR = -0.74
_COMPOUND_ALPHA = 15.0
_DECIMALS = 4


@dataclass(frozen=True)
class Surface:
    """Surface features (messages x `SURFACE_NAMES`), and what reasons and abstaining need: phrases found, words of
    each message.
    """

    values: Floats
    phrases: Phrases
    words: npt.NDArray[np.int64]


def surface(batch: Encoded) -> Surface:
    """Surface and lexicon features of a batch; valence in context follows VADER's rules in outline (Hutto and
    Gilbert 2014).
    """
    size, message, kind = batch.size, batch.message, batch.kind
    # Most tokens are words that no list holds: each count runs over those that one does, or that are no words.
    listed = np.flatnonzero(batch.flags != 0)
    flags, listed_message = batch.flags[listed], message[listed]
    plain = ~batch.negated[listed]
    other = np.flatnonzero(kind != tokens.WORD)
    other_kind, other_message = kind[other], message[other]

    def count(rows: Positions) -> Doubles:
        return np.asarray(np.bincount(rows, minlength=size), np.float64)

    def total(rows: Positions, values: Floats) -> Doubles:
        return np.asarray(np.bincount(rows, weights=values, minlength=size), np.float64)

    def has(bit: int) -> Doubles:
        return count(listed_message[(flags & bit) > 0])

    def has_plain(bit: int) -> Doubles:
        return count(listed_message[((flags & bit) > 0) & plain])

    def has_kind(sort: int) -> Doubles:
        return count(other_message[other_kind == sort])

    words = count(message) - count(other_message)
    caps = has(tokens.CAPS)
    carriers = np.flatnonzero(batch.valence != 0)
    valence = _valence(batch, carriers, shouts=caps < 0.8 * words)
    owners = message[carriers]
    positive, negative = total(owners, np.maximum(valence, 0)), total(owners, np.minimum(valence, 0))
    sums = total(owners, valence)
    colours = valence != 0
    highest, lowest = np.zeros(size), np.zeros(size)
    np.maximum.at(highest, owners, valence)
    np.minimum.at(lowest, owners, valence)

    contrast = np.full(size, len(message))
    turning = listed[(flags & tokens.CONTRAST) > 0]
    contrast[message[turning]] = turning  # the last one wins
    after = np.where(carriers > contrast[owners], valence, 0).astype(np.float32)

    opens = run_starts(batch.sentence)
    sentence_min, sentence_max, sentence_last = _sentence_colours(batch, opens, carriers, valence)
    ends_asking = np.zeros(size)
    lasts = np.append(run_starts(message)[1:], len(message))[: len(message)] - 1
    ends_asking[message[lasts]] = kind[lasts] == tokens.ASK
    asks = opens[(kind[opens] == tokens.WORD) & ((batch.flags[opens] & tokens.ASKING) > 0)]
    amounts = listed[(flags & tokens.QUANTITY) > 0]
    amounts = amounts[amounts + 1 < len(message)]
    durations = amounts[((batch.flags[amounts + 1] & tokens.UNIT) > 0) & (message[amounts + 1] == message[amounts])]

    emojis = carriers[kind[carriers] == tokens.EMOJI]
    turned = batch.negated[carriers]
    share = 1.0 / np.maximum(words, 5.0)
    marked = phrases(batch)
    columns: list[Doubles] = [
        positive,
        negative,
        sums / np.sqrt(sums * sums + _COMPOUND_ALPHA),
        highest,
        lowest,
        sums / np.maximum(count(owners[colours]), 1.0),
        total(owners, after),
        np.minimum(positive, -negative),
        sentence_min,
        sentence_max,
        sentence_last,
        total(message[emojis], batch.valence[emojis]),
        count(owners[turned & (batch.valence[carriers] > 0)]),
        count(owners[turned & (batch.valence[carriers] < 0)]),
        has(tokens.NEGATOR) * share,
        np.minimum(has_kind(tokens.EXCLAIM), 6.0),
        np.minimum(has_kind(tokens.ASK), 6.0),
        ends_asking,
        np.minimum(count(message[asks]), 6.0),
        np.minimum(has_kind(tokens.ELLIPSIS), 6.0),
        caps * share,
        np.minimum(has(tokens.ELONGATED), 6.0),
        np.log1p(words),
        has(tokens.FIRST) * share,
        has(tokens.SECOND) * share,
        np.minimum(has(tokens.POLITE), 4.0),
        np.minimum(has(tokens.PERSISTENT), 4.0),
        np.minimum(has_plain(tokens.THANKS), 4.0),
        np.minimum(has(tokens.APOLOGY), 4.0),
        np.minimum(has_plain(tokens.PRAISE), 4.0),
        np.minimum(has(tokens.CONFUSED), 4.0),
        np.minimum(has_plain(tokens.PROBLEM), 6.0),
        np.minimum(has(tokens.SWEARING), 4.0),
        np.minimum(count(message[durations]), 4.0),
    ]
    for number in range(len(lexicon.PHRASES)):
        chosen = marked.category == number
        columns.append(np.minimum(total(marked.message[chosen], marked.weight[chosen]), 8.0))
    values = np.empty((len(columns), size), np.float32)
    for row, column in enumerate(columns):
        values[row] = column
    return Surface(values.T, marked, words.astype(np.int64))


def _sentence_colours(
    batch: Encoded, opens: Positions, carriers: Positions, valence: Floats
) -> tuple[Doubles, Doubles, Doubles]:
    """Lowest, highest and last sum of valence over the sentences of each message that hold words, 0 without any."""
    sentences = int(batch.sentence[-1]) + 1 if len(opens) else 0
    sums = np.bincount(batch.sentence[carriers], weights=valence, minlength=sentences)
    has_words = np.zeros(sentences, np.bool_)
    has_words[batch.sentence[batch.kind == tokens.WORD]] = True
    owners = np.zeros(sentences, np.int64)
    owners[batch.sentence[opens]] = batch.message[opens]
    sums, owners = sums[has_words], owners[has_words]
    lowest, highest, last = np.full(batch.size, np.inf), np.full(batch.size, -np.inf), np.zeros(batch.size)
    np.minimum.at(lowest, owners, sums)
    np.maximum.at(highest, owners, sums)
    last[owners] = sums
    return np.where(np.isfinite(lowest), lowest, 0.0), np.where(np.isfinite(highest), highest, 0.0), last


def _valence(batch: Encoded, carriers: Positions, shouts: npt.NDArray[np.bool_]) -> Floats:
    """Valence in context of the tokens `carriers`: boosted by the word before or by capitals among small letters,
    turned by negation. `shouts` marks messages in which capitals mean something.
    """
    plain = batch.valence[carriers]
    before = np.maximum(carriers - 1, 0)
    adjacent = (carriers > 0) & (batch.sentence[before] == batch.sentence[carriers])
    flags = np.where(adjacent, batch.flags[before], 0)
    boosts = ((flags & tokens.BOOSTER) > 0).astype(np.float32) - ((flags & tokens.DAMPENER) > 0)
    shouting = shouts[batch.message[carriers]] & ((batch.flags[carriers] & tokens.CAPS) > 0)
    strength = np.abs(plain) + boosts * _BOOST + np.where(shouting, _CAPS_BOOST, 0)
    signed = np.sign(plain) * np.maximum(strength, 0.1)
    return np.asarray(np.where(batch.negated[carriers], signed * _NEGATION_FACTOR, signed), np.float32)


def matrix(linear: npt.NDArray[np.floating], values: Floats) -> Doubles:
    """Columns `FEATURE_NAMES`, rounded so that the last bits of a machine's arithmetic cannot move a message across
    a split.
    """
    rows = np.empty((linear.shape[1] + values.shape[1], len(values)))
    rows[: linear.shape[1]] = linear.T
    rows[linear.shape[1] :] = values.T
    return np.round(rows, _DECIMALS, out=rows).T
