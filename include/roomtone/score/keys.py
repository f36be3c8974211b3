"""Where a 64-bit key stands, asked for a whole batch at once; where runs of equal numbers begin."""

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int32]
Positions = npt.NDArray[np.int64]

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_LEAST_BITS = 10


class KeyTable:
    """Numbers distinct keys 0, 1, 2 … in the order in which they were added.

    Open addressing with linear probing (Knuth, volume 3, 6.4), at most half full.
    """

    def __init__(self, keys: Hashes | None = None) -> None:
        self._count = 0
        self._reserve(_LEAST_BITS)
        if keys is not None:
            self.add(keys)

    def __len__(self) -> int:
        return self._count

    def _reserve(self, bits: int) -> None:
        self._bits = bits
        self._slot_keys = np.zeros(1 << bits, np.uint64)
        self._slot_rows = np.full(1 << bits, -1, np.int32)

    def _home(self, keys: Hashes) -> Positions:
        return np.asarray((keys * _SPREAD) >> np.uint64(64 - self._bits)).view(np.int64)

    def find(self, keys: Hashes) -> Integers:
        """Number of each key, -1 for one that was never added."""
        slots = self._home(keys)
        rows = self._slot_rows[slots]
        open_rows = np.flatnonzero((self._slot_keys[slots] != keys) & (rows >= 0))
        rest, slots = keys[open_rows], slots[open_rows]
        while len(open_rows):
            slots = (slots + 1) & ((1 << self._bits) - 1)
            found = self._slot_rows[slots]
            rows[open_rows] = found
            on = np.flatnonzero((self._slot_keys[slots] != rest) & (found >= 0))
            open_rows, rest, slots = open_rows[on], rest[on], slots[on]
        return rows

    def add(self, keys: Hashes) -> None:
        """Numbers `keys`, which are distinct and new."""
        count = self._count + len(keys)
        bits = (2 * count).bit_length()
        rows = np.arange(self._count, count, dtype=np.int32)
        if bits > self._bits:
            used = np.flatnonzero(self._slot_rows >= 0)
            keys = np.concatenate([self._slot_keys[used], keys])
            rows = np.concatenate([self._slot_rows[used], rows])
            self._reserve(bits)
        self._count = count
        slots = self._home(keys)
        while len(keys):
            free = self._slot_rows[slots] < 0
            self._slot_rows[slots[free]] = rows[free]
            placed = self._slot_rows[slots] == rows
            self._slot_keys[slots[placed]] = keys[placed]
            keys, rows, slots = keys[~placed], rows[~placed], (slots[~placed] + 1) & ((1 << self._bits) - 1)


def run_starts(values: npt.NDArray[np.integer]) -> Positions:
    """Index of the first element of each run of equal `values`."""
    starts = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=starts[1:])
    return np.flatnonzero(starts)


def distinct(values: Hashes | Positions) -> tuple[Positions, Positions]:
    """Index of the first of each of the distinct `values`, in order of value; and, for each value, which of these it
    is.

    numpy.unique does the same, and imports numpy.ma.
    """
    order = values.argsort(kind="stable")
    starts = run_starts(values[order])
    number = np.zeros(len(values), np.int64)
    number[starts] = 1
    which = np.empty(len(values), np.int64)
    which[order] = np.cumsum(number) - 1
    return order[starts], which


def union(first: Hashes, second: Hashes) -> Hashes:
    """The distinct keys of both, in order."""
    both = np.sort(np.concatenate([first, second]))
    return both[run_starts(both)]
