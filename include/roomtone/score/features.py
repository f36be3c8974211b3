"""The features of a message, one function for training and scoring.

Rows in, rows out; no state but the weight table.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from roomtone.score import lexicon, tokens
from roomtone.score.tokens import Encoded, Floats, Phrases

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
    """Surface features (messages x `SURFACE_NAMES`), and what reasons need: token valence in context and phrases
    found.
    """

    values: Floats
    valence: Floats
    phrases: Phrases
    words: npt.NDArray[np.int64]


def surface(batch: Encoded) -> Surface:
    """Surface and lexicon features of a batch; valence in context follows VADER's rules in outline (Hutto and
    Gilbert 2014).
    """
    size, message = batch.size, batch.message
    flags, kind = batch.flags, batch.kind
    is_word = kind == tokens.WORD

    def count(mask: npt.NDArray[np.bool_]) -> Doubles:
        return np.asarray(np.bincount(message[mask], minlength=size)[:size], np.float64)

    def total(values: Floats) -> Doubles:
        return np.asarray(np.bincount(message, weights=values, minlength=size)[:size], np.float64)

    def has(bit: int) -> npt.NDArray[np.bool_]:
        return (flags & bit) > 0

    words = count(is_word)
    caps = has(tokens.CAPS)
    valence = _valence(batch, shouting=(count(caps) < 0.8 * words)[message] & caps)
    positive, negative = np.maximum(valence, 0), np.minimum(valence, 0)
    sums = total(valence)
    carriers = valence != 0
    highest, lowest = np.zeros(size), np.zeros(size)
    np.maximum.at(highest, message[carriers], valence[carriers])
    np.minimum.at(lowest, message[carriers], valence[carriers])

    position = np.arange(len(message))
    contrast = np.full(size, len(message))
    turning = has(tokens.CONTRAST)
    contrast[message[turning]] = position[turning]  # the last one wins
    after = np.where(position > contrast[message], valence, 0)

    sentences = int(batch.sentence[-1]) + 1 if len(message) else 0
    by_sentence = np.bincount(batch.sentence, weights=valence, minlength=sentences)
    owner = np.zeros(sentences, np.int64)
    owner[batch.sentence] = message
    with_words = np.bincount(batch.sentence[is_word], minlength=sentences) > 0
    sentence_min, sentence_max, sentence_last = np.full(size, np.inf), np.full(size, -np.inf), np.zeros(size)
    np.minimum.at(sentence_min, owner[with_words], by_sentence[with_words])
    np.maximum.at(sentence_max, owner[with_words], by_sentence[with_words])
    sentence_last[owner[with_words]] = by_sentence[with_words]

    ends_asking = np.zeros(size)
    ends_asking[message] = kind == tokens.ASK  # the last token wins
    opens = np.ones(len(message), np.bool_)
    opens[1:] = batch.sentence[1:] != batch.sentence[:-1]
    first_words = opens & is_word
    duration = np.zeros(len(message), np.bool_)
    duration[1:] = has(tokens.QUANTITY)[:-1] & has(tokens.UNIT)[1:] & (message[1:] == message[:-1])

    plain = ~batch.negated
    share = 1.0 / np.maximum(words, 5.0)
    marked = tokens.phrases(batch)
    columns: list[Doubles] = [
        total(positive),
        total(negative),
        sums / np.sqrt(sums * sums + _COMPOUND_ALPHA),
        highest,
        lowest,
        sums / np.maximum(count(carriers), 1.0),
        total(after.astype(np.float32)),
        np.minimum(total(positive), -total(negative)),
        np.where(np.isfinite(sentence_min), sentence_min, 0.0),
        np.where(np.isfinite(sentence_max), sentence_max, 0.0),
        sentence_last,
        total(np.where(kind == tokens.EMOJI, batch.valence, 0).astype(np.float32)),
        count(batch.negated & (batch.valence > 0)),
        count(batch.negated & (batch.valence < 0)),
        count(has(tokens.NEGATOR)) * share,
        np.minimum(count(kind == tokens.EXCLAIM), 6.0),
        np.minimum(count(kind == tokens.ASK), 6.0),
        ends_asking,
        np.minimum(count(first_words & has(tokens.ASKING)), 6.0),
        np.minimum(count(kind == tokens.ELLIPSIS), 6.0),
        count(caps) * share,
        np.minimum(count(has(tokens.ELONGATED)), 6.0),
        np.log1p(words),
        count(has(tokens.FIRST)) * share,
        count(has(tokens.SECOND)) * share,
        np.minimum(count(has(tokens.POLITE)), 4.0),
        np.minimum(count(has(tokens.PERSISTENT)), 4.0),
        np.minimum(count(has(tokens.THANKS) & plain), 4.0),
        np.minimum(count(has(tokens.APOLOGY)), 4.0),
        np.minimum(count(has(tokens.PRAISE) & plain), 4.0),
        np.minimum(count(has(tokens.CONFUSED)), 4.0),
        np.minimum(count(has(tokens.PROBLEM) & plain), 6.0),
        np.minimum(count(has(tokens.SWEARING)), 4.0),
        np.minimum(count(duration), 4.0),
    ]
    for number in range(len(lexicon.PHRASES)):
        chosen = marked.category == number
        weights = np.bincount(marked.message[chosen], weights=marked.weight[chosen], minlength=size)[:size]
        columns.append(np.minimum(weights, 8.0))
    return Surface(np.column_stack(columns).astype(np.float32), valence, marked, words.astype(np.int64))


def _valence(batch: Encoded, shouting: npt.NDArray[np.bool_]) -> Floats:
    """Valence of each token in context: boosted by the word before or by capitals among small letters, turned by
    negation.
    """
    plain = batch.valence
    before = np.zeros(len(plain), np.float32)
    if len(plain) > 1:
        adjacent = batch.sentence[1:] == batch.sentence[:-1]
        boosts = ((batch.flags & tokens.BOOSTER) > 0)[:-1].astype(np.float32) - ((batch.flags & tokens.DAMPENER) > 0)[
            :-1
        ]
        before[1:] = np.where(adjacent, boosts * _BOOST, 0)
    strength = np.abs(plain) + before + np.where(shouting, _CAPS_BOOST, 0)
    signed = np.where(plain != 0, np.sign(plain) * np.maximum(strength, 0.1), 0)
    return np.where(batch.negated, signed * _NEGATION_FACTOR, signed).astype(np.float32)


def matrix(linear: npt.NDArray[np.floating], values: Floats) -> Doubles:
    """Columns `FEATURE_NAMES`, rounded so that the last bits of a machine's arithmetic cannot move a message across
    a split.
    """
    return np.asarray(np.round(np.column_stack([linear, values]).astype(np.float64), _DECIMALS), np.float64)
