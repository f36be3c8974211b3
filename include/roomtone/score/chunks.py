"""What stands between two spaces, and the tokens that each such chunk was found to hold."""

import os

import numpy as np

from roomtone.score.keys import Hashes, Integers, KeyTable, Positions

_HALF = np.uint64(32)
_LONG = np.uint64(1 << 63)
_LOW_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)


class ChunkTable:
    """Distinct chunks, numbered as they came: how many tokens each holds and where they lie in `tokens`, rows of a
    table of tokens, and `offsets`, the character of the chunk at which each token begins.
    """

    def __init__(self) -> None:
        # Nobody can choose a text whose chunks take the place of another customer's: the salt is drawn at each start.
        self._salt = np.uint64(int.from_bytes(os.urandom(8), "little") | 1)
        self._rows = KeyTable()
        self.starts, self.counts, self.tokens, self.offsets = (np.zeros(0, np.int64) for _ in range(4))

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, keys: Hashes) -> Integers:
        """Row of each chunk, -1 for one that was never added."""
        return self._rows.find(keys)

    def add(self, keys: Hashes, counts: Positions, tokens: Positions, offsets: Positions) -> None:
        """Adds distinct new chunks, with their tokens one after another."""
        self._rows.add(keys)
        self.starts = np.concatenate([self.starts, len(self.tokens) + np.cumsum(counts) - counts])
        self.counts = np.concatenate([self.counts, counts])
        self.tokens = np.concatenate([self.tokens, tokens])
        self.offsets = np.concatenate([self.offsets, offsets])

    def keys_of(self, text: bytes, starts: Positions, ends: Positions) -> Hashes:
        """A key for each chunk text[start:end], which ends in its space or line feed: its bytes themselves up to eight
        of them, a salted 63-bit hash for longer ones.

        The two kinds cannot meet: the eighth byte of a short chunk is its space, its line feed, or nothing.
        """
        windows: Hashes = np.ndarray((len(text) + 1,), "<u8", buffer=text + bytes(8), strides=(1,))
        lengths = ends - starts
        keys: Hashes = windows[starts] & _LOW_BYTES[np.minimum(lengths, 8)]
        rows = np.flatnonzero(lengths > 8)
        at, left, key = starts[rows], lengths[rows], keys[rows]
        while len(rows):
            key = (key ^ (key >> _HALF)) * self._salt
            at, left = at + 8, left - 8
            key ^= windows[at] & _LOW_BYTES[np.minimum(left, 8)]
            done = left <= 8
            mixed = key[done] * self._salt
            keys[rows[done]] = (mixed ^ (mixed >> _HALF)) | _LONG
            rows, at, left, key = rows[~done], at[~done], left[~done], key[~done]
        return keys
