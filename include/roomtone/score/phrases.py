"""Marker phrases of support language, found in a whole batch of tokens."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from roomtone.score import lexicon
from roomtone.score.keys import Integers, KeyTable
from roomtone.score.tokens import MULTIPLIER, OPENER, Encoded, Floats, Positions, key_of, split


@dataclass(frozen=True)
class _Beginnings:
    """The first words of phrases: where each stands, and the phrase that it is (category -1 for none yet)."""

    places: KeyTable
    category: Integers
    weight: Floats


@cache
def _beginnings() -> tuple[_Beginnings, ...]:
    """The beginnings of 1, 2, 3 and 4 words. A phrase of two categories counts for the first."""
    found: list[dict[int, tuple[int, float]]] = []
    for number, phrases in enumerate(lexicon.PHRASES.values()):
        for phrase, weight in phrases.items():
            words = split(phrase)
            key = np.zeros(1, np.uint64)
            for length, word in enumerate(words, start=1):
                if len(found) < length:
                    found.append({})
                key = key * MULTIPLIER + np.uint64(key_of(lexicon.normalise(word)))
                known = found[length - 1].setdefault(int(key[0]), (-1, 0.0))
                if length == len(words) and known[0] < 0:
                    found[length - 1][int(key[0])] = (number, weight)
    return tuple(
        _Beginnings(
            KeyTable(np.array(list(rows), np.uint64)),
            np.array([category for category, _ in rows.values()], np.int32),
            np.array([weight for _, weight in rows.values()], np.float32),
        )
        for rows in found
    )


@dataclass(frozen=True)
class Phrases:
    """Marker phrases found: category (row of `lexicon.PHRASES`), weight, message, first and last token."""

    category: Integers
    weight: Floats
    message: Positions
    first: Positions
    last: Positions


def phrases(batch: Encoded) -> Phrases:
    """Marker phrases whose first word no negation covers."""
    unit = np.flatnonzero(batch.word != 0)
    opens = np.flatnonzero(((batch.flags[unit] & OPENER) > 0) & ~batch.negated[unit])
    found: list[tuple[Integers, Floats, Positions, Positions]] = []
    rolling = np.zeros(len(opens), np.uint64)
    for length, beginnings in enumerate(_beginnings()):
        on = opens + length < len(unit)
        opens, rolling = opens[on], rolling[on]
        first, last = unit[opens], unit[opens + length]
        rolling = rolling * MULTIPLIER + batch.word[last]
        place = beginnings.places.find(rolling)
        on = (place >= 0) & (batch.sentence[first] == batch.sentence[last])
        opens, rolling, place, first, last = opens[on], rolling[on], place[on], first[on], last[on]
        category = beginnings.category[place]
        whole = np.flatnonzero(category >= 0)
        found.append((category[whole], beginnings.weight[place[whole]], first[whole], last[whole]))
    category, weight, first, last = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Phrases(category, weight, batch.message[first], first, last)
