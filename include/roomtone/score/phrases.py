"""Marker phrases of support language, found in a whole batch of tokens."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from roomtone.score import lexicon
from roomtone.score.keys import Hashes, Integers
from roomtone.score.tokens import MULTIPLIER, OPENER, Encoded, Floats, key_of, split


@cache
def _phrase_table() -> tuple[tuple[Hashes, Integers, Floats], ...]:
    """For phrases of 1, 2, 3 and 4 words: sorted keys, category number, weight."""
    entries: list[list[tuple[int, int, float]]] = [[], [], [], []]
    for number, phrases in enumerate(lexicon.PHRASES.values()):
        for phrase, weight in phrases.items():
            words = split(phrase)
            key = np.zeros(1, np.uint64)
            for word in words:
                value = key_of(lexicon.normalise(word))
                key = key * MULTIPLIER + np.uint64(value)
            entries[len(words) - 1].append((int(key[0]), number, weight))
    tables = []
    for rows in entries:
        rows.sort()
        tables.append(
            (
                np.array([row[0] for row in rows], np.uint64),
                np.array([row[1] for row in rows], np.int32),
                np.array([row[2] for row in rows], np.float32),
            )
        )
    return tuple(tables)


@dataclass(frozen=True)
class Phrases:
    """Marker phrases found: category (row of `lexicon.PHRASES`), weight, message, first and last token."""

    category: Integers
    weight: Floats
    message: Integers
    first: Integers
    last: Integers


def phrases(batch: Encoded) -> Phrases:
    """Marker phrases whose first word no negation covers."""
    unit = np.flatnonzero(batch.word)
    opens = np.flatnonzero(((batch.flags[unit] & OPENER) > 0) & ~batch.negated[unit])
    found: list[tuple[Integers, Floats, Integers, Integers]] = []
    rolling = np.zeros(len(opens), np.uint64)
    for length, (keys, categories, weights) in enumerate(_phrase_table()):
        on = opens + length < len(unit)
        opens, rolling = opens[on], rolling[on]
        first, last = unit[opens], unit[opens + length]
        on = batch.sentence[first] == batch.sentence[last]
        opens, first, last = opens[on], first[on], last[on]
        rolling = rolling[on] * MULTIPLIER + batch.word[last]
        place = np.minimum(np.searchsorted(keys, rolling), len(keys) - 1)
        hit = np.flatnonzero(keys[place] == rolling)
        found.append((categories[place[hit]], weights[place[hit]], first[hit], last[hit]))
    category, weight, first, last = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Phrases(category, weight, batch.message[first], first, last)
