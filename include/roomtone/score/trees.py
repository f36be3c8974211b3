"""LightGBM trees for scoring, read from LightGBM's text format and walked by whole batches.

LightGBM's own library loads a damaged model by killing the process, or hangs, or reads another number without a word;
its Python package costs seconds to import; and it walks row by row. Here a bad file is a ValueError, and each split is
decided once for 64 rows at a time: a row is one bit of a word, a node the set of rows that reach it (in outline the
QuickScorer of Lucchese et al. 2015, by columns). The answers are LightGBM's but for the order in
which doubles are summed.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from roomtone.errors import RoomtoneError
from roomtone.score.features import Doubles

_ROWS = 1024
"""Rows walked at a time: what they need then stays in a core's cache."""

_ROUNDS = 16
"""Rounds (or pairs of rounds) of trees summed at a time, for the same reason."""

_MOST_LEAVES = 256
_NUMERICAL = 2
"""decision_type of a split by `value <= threshold` on a column without missing values."""

Indices = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class _Tree:
    feature: Indices
    threshold: Doubles
    left: Indices
    right: Indices
    leaves: Doubles


_NOTHING = np.zeros(0, np.int64)
_NO_TREE = _Tree(_NOTHING, np.zeros(0), _NOTHING, _NOTHING, np.zeros(1))


class Trees:
    """Trees of a model text. `predict` gives raw scores, rows x classes.

    Raises ValueError for a text that does not describe whole trees, RoomtoneError for one with other columns.
    """

    def __init__(self, text: str, columns: int) -> None:
        head, *blocks = text.partition("\nend of trees")[0].split("\nTree=")
        facts = _facts(head)
        self.columns = int(facts["max_feature_idx"]) + 1
        self.classes = int(facts["num_tree_per_iteration"])
        if self.columns != columns:
            raise RoomtoneError(
                "model", f"its trees have {self.columns} columns, not {columns}", "train again with this version"
            )
        if "\nend of trees" not in text or len(blocks) != len(facts["tree_sizes"].split()):
            raise ValueError("trees are missing")
        if self.classes < 1 or not blocks or len(blocks) % self.classes:
            raise ValueError("the number of trees is not a multiple of the number of classes")
        trees = [_tree(block, self.columns) for block in blocks]
        self._plan(trees + [_NO_TREE] * (-len(trees) % (2 * self.classes)))

    def _plan(self, trees: list[_Tree]) -> None:
        """Lays the trees out as tables, one column each.

        A node's rows lie in a slot: slot 0 all rows, slots 2k + 1 and 2k + 2 those that go left and right at split k,
        the last slot none, where shorter trees point.
        """
        count, splits = len(trees), max(len(tree.feature) for tree in trees)
        empty = 2 * splits + 1
        leaves = max(len(tree.leaves) for tree in trees)
        self._planes = max(1, (leaves - 1).bit_length())
        conditions = sorted({pair for tree in trees for pair in zip(tree.feature, tree.threshold, strict=True)})
        row_of = {pair: row for row, pair in enumerate(conditions)}
        features = np.array([feature for feature, _ in conditions], np.int64)
        self._thresholds = np.array([threshold for _, threshold in conditions], np.float64)[:, None]
        edges = np.flatnonzero(np.diff(features, prepend=-1, append=self.columns))
        self._spans = [(int(features[at]), int(at), int(end)) for at, end in pairwise(edges)]
        parent = np.full((splits, count), empty, np.int64)
        condition = np.zeros((splits, count), np.int64)
        leaf_slot = np.full((leaves, count), empty, np.int64)
        values = np.zeros((count, 1 << self._planes), np.float64)
        for number, tree in enumerate(trees):
            slots = np.zeros(len(tree.feature), np.int64)
            values[number, : len(tree.leaves)] = tree.leaves
            if not len(tree.feature):
                leaf_slot[0, number] = 0
            for split, children in enumerate(zip(tree.left.tolist(), tree.right.tolist(), strict=True)):
                parent[split, number] = slots[split]
                condition[split, number] = row_of[tree.feature[split], tree.threshold[split]]
                for side, child in enumerate(children, start=1):
                    if child >= 0:
                        slots[child] = 2 * split + side
                    else:
                        leaf_slot[~child, number] = 2 * split + side
        self._parent = parent * count + np.arange(count)
        self._condition = condition
        self._leaf_slot = leaf_slot * count + np.arange(count)
        self._slots = empty + 1
        self._is_paired = self._planes <= 4
        if self._is_paired:
            pairs = values.reshape(-1, 2, self.classes, 1 << self._planes)
            values = (pairs[:, 0, :, None, :] + pairs[:, 1, :, :, None]).reshape(-1, 1 << 2 * self._planes)
        self._values = values.ravel()
        self._offsets = (np.arange(len(values)) * values.shape[1])[:, None]

    def predict(self, values: Doubles) -> Doubles:
        """Raw scores on one thread."""
        result = np.zeros((len(values), self.classes), np.float64)
        for start in range(0, len(values), _ROWS):
            part = np.asarray(values[start : start + _ROWS], np.float64)
            result[start : start + _ROWS] = self._leaf_sums(self._leaf_codes(part))
        return result

    def _conditions(self, values: Doubles) -> Bits:
        """For each distinct split the rows that go left, as bits: conditions x words of 64 rows."""
        rows = -(-len(values) // 64) * 64
        columns = np.zeros((self.columns, rows))
        columns[:, : len(values)] = values.T
        packed = np.empty((len(self._thresholds), rows // 8), np.uint8)
        for feature, start, end in self._spans:
            packed[start:end] = np.packbits(columns[feature] <= self._thresholds[start:end], axis=1, bitorder="little")
        return packed.view(np.uint64)

    def _leaf_codes(self, values: Doubles) -> npt.NDArray[np.uint8]:
        """Number of the leaf that each row reaches in each tree, trees x rows."""
        conditions = self._conditions(values)
        count, words = self._parent.shape[1], conditions.shape[1]
        reached = np.zeros((self._slots, count, words), np.uint64)
        reached[0] = ~np.uint64(0)
        flat = reached.reshape(-1, words)
        for split, (parents, rows) in enumerate(zip(self._parent, self._condition, strict=True)):
            at = flat.take(parents, axis=0)
            left = np.bitwise_and(at, conditions.take(rows, axis=0), out=reached[2 * split + 1])
            np.bitwise_xor(at, left, out=reached[2 * split + 2])
        planes = np.zeros((self._planes, count, words), np.uint64)
        for leaf, slots in enumerate(self._leaf_slot):
            here = flat.take(slots, axis=0)
            for plane in range(self._planes):
                if leaf >> plane & 1:
                    planes[plane] |= here
        codes = np.zeros((count, words * 64), np.uint8)
        for plane in range(self._planes):
            bits = np.unpackbits(planes[plane].view(np.uint8), axis=1, bitorder="little")
            codes |= bits << plane
        return codes[:, : len(values)]

    def _leaf_sums(self, codes: npt.NDArray[np.uint8]) -> Doubles:
        """Sums of leaf values, rows x classes; two trees of a class are looked up as one where a byte holds both."""
        rows = codes.shape[1]
        if self._is_paired:
            pairs = codes.reshape(-1, 2, self.classes, rows)
            codes = np.asarray(pairs[:, 0] | pairs[:, 1] << self._planes, np.uint8).reshape(-1, rows)
        sums = np.zeros((self.classes, rows))
        step = _ROUNDS * self.classes
        for start in range(0, len(codes), step):
            leaves = codes[start : start + step] + self._offsets[start : start + step]
            sums += self._values.take(leaves).reshape(-1, self.classes, rows).sum(axis=0)
        return sums.T


def _facts(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _integers(text: str) -> Indices:
    return np.array([int(value) for value in text.split()], np.int64)


def _tree(block: str, columns: int) -> _Tree:
    """One tree, checked: splits are numbered from the root down, and each split and leaf hangs under one parent."""
    facts = _facts(block)
    count = int(facts["num_leaves"])
    leaves = np.array([float(value) for value in facts["leaf_value"].split()])
    if not 1 <= count <= _MOST_LEAVES or len(leaves) != count or not np.isfinite(leaves).all():
        raise ValueError("a tree's leaves do not fit")
    if count == 1:
        return _Tree(_NOTHING, np.zeros(0), _NOTHING, _NOTHING, leaves)
    feature = _integers(facts["split_feature"])
    threshold = np.array([float(value) for value in facts["threshold"].split()])
    left, right = (_integers(facts[name]) for name in ("left_child", "right_child"))
    kinds = _integers(facts["decision_type"])
    if {len(part) for part in (feature, threshold, left, right, kinds)} != {count - 1}:
        raise ValueError("a tree's splits do not fit its leaves")
    if (kinds != _NUMERICAL).any() or not np.isfinite(threshold).all():
        raise ValueError("a tree splits by other than a threshold")
    if feature.min() < 0 or feature.max() >= columns:
        raise ValueError("a tree splits a column that is not there")
    children = np.sort(np.concatenate([left, right]))
    expected = np.concatenate([np.arange(-count, 0), np.arange(1, count - 1)])
    place = np.arange(count - 1)
    if (children != expected).any() or ((left >= 0) & (left <= place) | (right >= 0) & (right <= place)).any():
        raise ValueError("a tree's branches do not fit together")
    return _Tree(feature, threshold, left, right, leaves)
