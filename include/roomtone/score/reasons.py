"""Why a message got its score: the known words that weighed most, and the marker phrases, with their place in the
raw text.
"""

from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from roomtone.score import lexicon, tokens
from roomtone.score.columns import flags, joined, joined_lists, numbers, strings, texts_of
from roomtone.score.data import SENTIMENTS
from roomtone.score.keys import Integers, run_starts
from roomtone.score.phrases import Phrases
from roomtone.score.tokens import Encoded, Mask, Positions
from roomtone.score.weights import Found, WordTable

MOST = 3
_CANDIDATES = 6
_LEAST_WEIGHT = 0.05
_GAP = 24
_CATEGORIES = tuple(lexicon.PHRASES)
_URGENT = [_CATEGORIES.index(name) for name in ("urgent", "occasion", "near")]
_THREAT = _CATEGORIES.index("threat")
_THREAT_LABEL, _URGENT_LABEL = range(len(SENTIMENTS), len(SENTIMENTS) + 2)
_OPENINGS = strings([f'{{"reason": "{label}: ' for label in (*SENTIMENTS, "threat", "urgent")])
_THOUSANDTHS = strings([f'.{value:03d}, "span": [' for value in range(1000)])
# Where the bits of a sort key lie: message, weight from high to low, place in the message.
_PLACE_BITS, _WEIGHT_BITS = 16, 31
_HEAVIEST = (1 << _WEIGHT_BITS) - 1

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Reasons:
    """Reasons in order of message and rank: row of `_OPENINGS`, weight, first and last token."""

    message: Positions
    label: Positions
    weight: Doubles
    first: Positions
    last: Positions


def top_reasons(
    batch: Encoded,
    raw: list[str],
    places: Positions,
    table: WordTable,
    found: Found,
    *,
    named: Integers,
    phrases: Phrases,
    is_urgent: Mask,
    is_threat: Mask,
    silent: Mask,
) -> pa.Array:
    """JSON text for each message: at most `MOST` of {"reason", "weight", "span"}, the span being [start, end) in
    the raw text.

    A word's weight is its share of the linear score of the named sentiment over the mean of the three; a phrase's
    weight is its own. `places` tells where the cleaned text begins in the raw one; where it does not stand there as
    such (-1), the words are looked for, and a span that the raw text does not show covers the whole text. Silent
    (abstained) messages get none.
    """
    size = batch.size
    slots = 2 + _CANDIDATES
    weight = np.zeros((slots, size))
    first = np.zeros((slots, size), np.int64)
    last = np.full((slots, size), -1, np.int64)
    for slot, (mask, rank) in enumerate(_phrase_ranks(phrases, is_urgent, is_threat)):
        rows = _best(phrases, mask & ~silent[phrases.message], rank)
        owner = phrases.message[rows]
        weight[slot, owner] = phrases.weight[rows]
        first[slot, owner], last[slot, owner] = phrases.first[rows], phrases.last[rows]
    owner, place, rows, share = _heaviest_words(batch, table, found, named, silent)
    spot = (2 + place, owner)
    weight[spot], first[spot], last[spot] = share, found.first[rows], found.last[rows]
    label = np.empty((slots, size), np.int64)
    label[0], label[1], label[2:] = _THREAT_LABEL, _URGENT_LABEL, named
    told, message = _chosen(first, last)
    at = (told, message)
    chosen = _Reasons(message, label[at], weight[at], first[at], last[at])
    return _texts(batch, raw, places, chosen)


def _phrase_ranks(phrases: Phrases, is_urgent: Mask, is_threat: Mask) -> list[tuple[Mask, Positions]]:
    """For threats and for urgency: which phrases tell it, and which kinds of phrase tell it better."""
    rank = np.full(len(_CATEGORIES), -1)
    rank[_URGENT] = np.arange(len(_URGENT))
    ranks = rank[phrases.category]
    return [
        (is_threat[phrases.message] & (phrases.category == _THREAT), ranks),
        (is_urgent[phrases.message] & (ranks >= 0), ranks),
    ]


def _best(phrases: Phrases, mask: Mask, rank: Positions) -> Positions:
    """The phrase of each message among those of `mask`: the heaviest, then the first in rank, then in the text."""
    rows = np.flatnonzero(mask)
    order = rows[np.lexsort((phrases.first[rows], rank[rows], -phrases.weight[rows], phrases.message[rows]))]
    return order[run_starts(phrases.message[order])]


def _heaviest_words(
    batch: Encoded, table: WordTable, found: Found, named: Integers, silent: Mask
) -> tuple[Positions, Positions, Positions, Doubles]:
    """The `_CANDIDATES` heaviest grams of each message: message, rank from 0, row of `found`, weight."""
    lift = table.lift.take(found.row * table.lift.shape[1] + named[found.message])
    heavy = np.flatnonzero(lift > 0)
    message = found.message[heavy]
    weight = lift[heavy] / table.norms(found, batch.size)[message]
    on = (weight > _LEAST_WEIGHT) & ~silent[message]
    heavy, weight = heavy[on], weight[on]
    first = found.first[heavy]
    is_function_word = (first == found.last[heavy]) & ((batch.languages[first] & 1) > 0)
    heavy, weight = heavy[~is_function_word], weight[~is_function_word]
    message = found.message[heavy]
    begins = np.searchsorted(message, np.arange(batch.size))
    downwards = _HEAVIEST - weight.astype(np.float32).view(np.int32)
    keys = (message << _WEIGHT_BITS | downwards) << _PLACE_BITS | (np.arange(len(heavy)) - begins[message])
    keys.sort(kind="stable")
    message = keys >> (_WEIGHT_BITS + _PLACE_BITS)
    starts = run_starts(message)
    place = np.arange(len(keys)) - np.repeat(starts, np.diff(starts, append=len(keys)))
    kept = np.flatnonzero(place < _CANDIDATES)
    message = message[kept]
    rows = begins[message] + (keys[kept] & ((1 << _PLACE_BITS) - 1))
    return message, place[kept], heavy[rows], weight[rows]


def _chosen(first: Positions, last: Positions) -> tuple[Positions, Positions]:
    """Slot and message of what is told, in order of message: of the candidates in turn (slots x messages, last -1 for
    none) those that share no token with one told before, at most `MOST`. Phrases, in the first two slots, always are.
    """
    told = np.zeros(first.shape, np.bool_)
    count = np.zeros(first.shape[1], np.int64)
    for slot in range(len(first)):
        free = (last[slot] >= 0) & (count < MOST)
        for before in range(slot if slot >= 2 else 0):
            free &= ~(told[before] & (first[slot] <= last[before]) & (last[slot] >= first[before]))
        told[slot] = free
        count += free
    message, slots = np.nonzero(told.T)
    return slots, message


def _texts(batch: Encoded, raw: list[str], places: Positions, chosen: _Reasons) -> pa.Array:
    starts, ends = _spans(batch, raw, places, chosen)
    millis = np.rint(chosen.weight * 1000).astype(np.int64)
    rows = joined(
        _OPENINGS.take(numbers(chosen.label)),
        _shown(batch, chosen),
        '", "weight": ',
        texts_of(millis // 1000),
        _THOUSANDTHS.take(numbers(millis % 1000)),
        texts_of(starts),
        ", ",
        texts_of(ends),
        "]}",
    )
    offsets = np.searchsorted(chosen.message, np.arange(batch.size + 1)).astype(np.int32)
    lists = pa.ListArray.from_arrays(numbers(offsets), rows)
    return joined("[", joined_lists(lists, ", "), "]")


def _shown(batch: Encoded, chosen: _Reasons) -> pa.Array:
    """The words of each reason in small letters, as they stand inside a JSON string; signs between words left out."""
    first, last = batch.ids[chosen.first], batch.ids[chosen.last]
    shown_rows = np.flatnonzero(_marked(len(batch.surfaces), first, last))
    words = strings([_shown_word(batch.surfaces[row]) for row in shown_rows.tolist()])
    position = np.zeros(len(batch.surfaces), np.int32)
    position[shown_rows] = np.arange(len(shown_rows))
    singles = words.take(numbers(position[first]))
    pairs = joined(singles, " ", words.take(numbers(position[last])))
    shown = pc.if_else(flags(chosen.first == chosen.last), singles, pairs)
    # Phrases of three and four words, and words with something between them.
    longer = np.flatnonzero(chosen.last - chosen.first > 1)
    if len(longer):
        mask = _marked(len(first), longer)
        texts = [
            _quoted(" ".join(word.lower() for word in (words[0], *filter(_is_word, words[1:-1]), words[-1])))
            for words in (_words(batch, chosen, row) for row in longer.tolist())
        ]
        shown = pc.replace_with_mask(shown, flags(mask), strings(texts))
    return shown


def _words(batch: Encoded, chosen: _Reasons, row: int) -> list[str]:
    return [batch.surfaces[type_row] for type_row in batch.ids[chosen.first[row] : chosen.last[row] + 1].tolist()]


def _is_word(token: str) -> bool:
    return token[0].isalnum()


@lru_cache(maxsize=50_000)
def _shown_word(surface: str) -> str:
    return _quoted(surface.lower())


def _quoted(text: str) -> str:
    return encode_basestring(text)[1:-1]


def _marked(size: int, *rows: npt.NDArray[np.integer]) -> Mask:
    mask = np.zeros(size, np.bool_)
    for part in rows:
        mask[part] = True
    return mask


def _spans(batch: Encoded, raw: list[str], places: Positions, chosen: _Reasons) -> tuple[Positions, Positions]:
    place = places[chosen.message]
    starts = place + batch.start[chosen.first]
    ends = place + batch.start[chosen.last] + batch.types.length[batch.ids[chosen.last]]
    for row in np.flatnonzero(place < 0).tolist():
        starts[row], ends[row] = locate(raw[chosen.message[row]], _words(batch, chosen, row))
    return starts, ends


def locate(text: str, words: list[str]) -> tuple[int, int]:
    """[start, end) of the first place where `words` follow one another in `text`; the whole text when there is none."""
    start = text.find(words[0])
    while start >= 0:
        end = start + len(words[0])
        opens = start == 0 or not (text[start - 1].isalnum() and words[0][0].isalnum())
        for word in words[1:]:
            following = text.find(word, end, end + _GAP + len(word))
            if following < 0:
                opens = False
                break
            end = following + len(word)
        if opens and (end >= len(text) or not (text[end].isalnum() and words[-1][-1].isalnum())):
            return start, end
        start = text.find(words[0], start + 1)
    return 0, len(text)


def known_words(batch: Encoded, table: WordTable, rarest_idf: float) -> Mask:
    """Marks tokens whose plain word the table knows as a frequent one."""
    types = np.flatnonzero(_marked(len(batch.surfaces), batch.ids) & (batch.types.kind == tokens.WORD))
    rows = table.place(batch.types.gram[types])
    idf = table.idf[rows]
    frequent = _marked(len(batch.surfaces), types[(rows >= 0) & (idf > 0) & (idf <= rarest_idf)])
    return np.asarray(frequent[batch.ids])
