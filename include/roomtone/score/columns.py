"""Arrow columns from numpy arrays and strings.

`pyarrow.array`, and its functions where they are given plain strings, do the same and import pandas to find out what it
is, which doubles the time that `roomtone score` takes to start.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_TYPES = {"int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64()}


def numbers(values: npt.NDArray[np.generic]) -> pa.Array:
    """A column of 32- or 64-bit whole numbers or doubles."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(_TYPES[values.dtype.name], len(values), [None, pa.py_buffer(values)])


def flags(values: npt.NDArray[np.bool_]) -> pa.Array:
    """A column of true and false."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def joined(*parts: pa.Array | str) -> pa.StringArray:
    """The parts of each row, one after another; a string stands in every row."""
    return pc.binary_join_element_wise(*(_scalar(part) if isinstance(part, str) else part for part in (*parts, "")))


def joined_lists(lists: pa.ListArray, between: str) -> pa.StringArray:
    """The strings of each list, with `between` between them."""
    return pc.binary_join(lists, _scalar(between))


def texts_of(values: npt.NDArray[np.int64]) -> pa.StringArray:
    """Whole numbers as decimal text."""
    return pc.cast(numbers(values), pa.string())


@cache
def _scalar(text: str) -> pa.StringScalar:
    return strings([text])[0]


def strings(values: Sequence[str | None]) -> pa.StringArray:
    """A column of strings, None for null."""
    if None in values:
        is_there = np.array([value is not None for value in values], np.bool_)
        return _strings([value or "" for value in values], _bits(is_there), int((~is_there).sum()))
    return _strings(values, None, 0)


def _strings(values: Sequence[str | None], validity: pa.Buffer | None, count_null: int) -> pa.StringArray:
    encoded = [value.encode() for value in values if value is not None]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    data = pa.py_buffer(b"".join(encoded))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), data, validity, count_null)


def _bits(values: npt.NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
