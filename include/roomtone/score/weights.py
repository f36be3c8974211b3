"""The word table: for each known uni- or bigram its idf and its weight in every linear head, at sorted 64-bit
hashed keys.
"""

import binascii
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from roomtone.score.keys import Hashes, Integers, KeyTable, distinct, run_starts
from roomtone.score.tokens import Floats, Grams, Positions

_FIRST_COLUMNS = ("key", "idf")


@dataclass(frozen=True)
class Found:
    """Known grams of a batch, each once a message, in order of message: message, table row, first and last token."""

    message: Positions
    row: Positions
    first: Positions
    last: Positions


@dataclass(frozen=True)
class WordTable:
    """`weights` (rows x heads) already hold idf.

    A head's score is the sum of its weights over the message's known grams, over the message's norm, plus the bias.
    """

    keys: Hashes
    idf: Floats
    weights: Floats
    heads: tuple[str, ...]
    bias: npt.NDArray[np.float64]

    @cached_property
    def lift(self) -> Floats:
        """What each gram adds to each of the first three heads (the sentiments) over their mean."""
        sentiments = self.weights[:, :3]
        return np.asarray(sentiments - sentiments.mean(axis=1, keepdims=True), np.float32)

    @cached_property
    def _places(self) -> KeyTable:
        return KeyTable(self.keys)

    @cached_property
    def _gaps(self) -> Floats:
        """Negative and positive over neutral."""
        return np.ascontiguousarray(self.weights[:, [0, 2]] - self.weights[:, [1]])

    @cached_property
    def _squares(self) -> npt.NDArray[np.float64]:
        return np.square(self.idf, dtype=np.float64)

    def place(self, keys: Hashes) -> Integers:
        """Row of each key, -1 where the table does not hold it."""
        return self._places.find(keys)

    def find(self, grams: Grams) -> Found:
        """Known grams of a batch; a gram that a message repeats counts once."""
        place = self.place(grams.key)
        hit = np.flatnonzero(place >= 0)
        row = place[hit].astype(np.int64)
        once, _ = distinct(grams.message[hit] * len(self.keys) + row)
        chosen = hit[once]
        return Found(grams.message[chosen], row[once], grams.first[chosen], grams.last[chosen])

    def norms(self, found: Found, size: int) -> npt.NDArray[np.float64]:
        """Euclidean norm of each message's idf vector; 1 where nothing is known."""
        squares = _sums(self._squares.take(found.row), found.message, size)
        return np.sqrt(np.where(squares > 0, squares, 1.0))

    def scores(self, found: Found, size: int) -> npt.NDArray[np.float64]:
        """Scores of all heads, messages x heads."""
        row, message = found.row, found.message
        known = np.flatnonzero(self.idf.take(row) > 0)
        if 2 * len(known) < len(row):
            row, message = row.take(known), message.take(known)
        return _sums(self.weights.take(row, axis=0), message, size) / self.norms(found, size)[:, None] + self.bias

    def sentence_extremes(
        self, found: Found, sentence: npt.NDArray[np.signedinteger], size: int
    ) -> npt.NDArray[np.float64]:
        """Highest (negative - neutral) and (positive - neutral) linear score of a message's sentences, messages x 2.

        A complaint in one line of a long, polite letter shows here. `sentence` is the sentence of each found gram,
        the heads' first three are negative, neutral and positive.
        """
        base = self.bias[[0, 2]] - self.bias[1]
        highest = np.tile(base, (size, 1))
        if not len(found.row):
            return highest
        count = int(sentence.max()) + 1
        squares = np.bincount(sentence, weights=self._squares.take(found.row), minlength=count)
        present = np.flatnonzero(squares > 0)
        owner = np.zeros(count, np.int64)
        owner[sentence] = found.message
        gaps = self._gaps.take(found.row, axis=0)
        for column in range(2):
            sums = np.bincount(sentence, weights=gaps[:, column], minlength=count)
            scores = sums[present] / np.sqrt(squares[present]) + base[column]
            extremes = np.full(size, -np.inf)
            np.maximum.at(extremes, owner[present], scores)
            highest[:, column] = np.where(np.isfinite(extremes), extremes, base[column])
        return highest

    def over(self, keys: Hashes) -> "WordTable":
        """The same table with a row for each of `keys`, sorted and holding its own; those it did not hold weigh
        nothing. Tables over the same keys share one search of a batch.
        """
        rows = np.searchsorted(keys, self.keys)
        idf = np.zeros(len(keys), np.float32)
        weights = np.zeros((len(keys), len(self.heads)), np.float32)
        idf[rows], weights[rows] = self.idf, self.weights
        return WordTable(keys, idf, weights, self.heads, self.bias)

    def to_text(self) -> bytes:
        """The table as ASCII text: a line with the column names, then a line for each row, in order of key.

        A row is base64 of its `_layout`. Half precision: a weight needs three digits.
        """
        layout = _layout(len(self.heads))
        rows = np.zeros(len(self.keys), layout)
        rows["key"], rows["idf"], rows["weights"] = self.keys, self.idf, self.weights
        packed, width = rows.tobytes(), layout.itemsize
        lines = [" ".join((*_FIRST_COLUMNS, *self.heads)).encode("ascii") + b"\n"]
        lines += [binascii.b2a_base64(packed[start : start + width]) for start in range(0, len(packed), width)]
        return b"".join(lines)

    @classmethod
    def from_text(cls, data: bytes, bias: npt.NDArray[np.float64], heads: tuple[str, ...]) -> "WordTable":
        """The table from `to_text`'s bytes; raises ValueError when it has not exactly `heads`, in order, with a bias
        each, or holds half a row.
        """
        title, _, body = data.partition(b"\n")
        if title.decode("ascii").split(" ") != [*_FIRST_COLUMNS, *heads] or bias.shape != (len(heads),):
            raise ValueError("the word table has other heads")
        rows = np.frombuffer(binascii.a2b_base64(body), _layout(len(heads)))
        if not (np.isfinite(rows["idf"]).all() and np.isfinite(rows["weights"]).all()):
            raise ValueError("a weight is not a number")
        return cls(
            rows["key"].astype(np.uint64),
            rows["idf"].astype(np.float32),
            rows["weights"].astype(np.float32),
            heads,
            bias,
        )

    def rounded(self) -> "WordTable":
        """As it reads back from disk, so that training and scoring see the same numbers."""
        return WordTable.from_text(self.to_text(), self.bias, self.heads)


def _sums(values: npt.NDArray[np.floating], message: Positions, size: int) -> npt.NDArray[np.float64]:
    """Sums of `values` over each message; `message` is in order."""
    sums = np.zeros((size, *values.shape[1:]))
    if len(values):
        starts = run_starts(message)
        sums[message[starts]] = np.add.reduceat(values, starts, axis=0)
    return sums


def _layout(heads: int) -> np.dtype[np.void]:
    """A row on disk, little-endian: key, idf, weights, and zeros up to a multiple of three bytes, so that base64 lines
    need no padding and all of them decode at once.
    """
    return np.dtype(
        {
            "names": ["key", "idf", "weights"],
            "formats": ["<u8", "<f2", ("<f2", (heads,))],
            "offsets": [0, 8, 10],
            "itemsize": -(-(10 + 2 * heads) // 3) * 3,
        }
    )
