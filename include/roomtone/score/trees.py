"""LightGBM trees for scoring, through LightGBM's C interface: importing the Python package costs seconds that
scoring does not need.

The text format has no checksum and a damaged file can kill the process, so only text whose SHA-256 the manifest
names may come here.
"""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from roomtone.errors import RoomtoneError
from roomtone.score.features import Doubles

_FLOAT64 = 1  # C_API_DTYPE_FLOAT64
_RAW_SCORE = 1  # C_API_PREDICT_RAW_SCORE


@cache
def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("lightgbm")
    for folder in (spec.submodule_search_locations if spec else None) or []:
        for path in sorted(Path(folder).glob("**/lib_lightgbm.*")) + sorted(Path(folder).glob("**/lightgbm.dll")):
            library = ctypes.CDLL(str(path))
            library.LGBM_GetLastError.restype = ctypes.c_char_p
            return library
    raise RoomtoneError("lightgbm", "its shared library cannot be found", "install roomtone's dependencies again")


class Trees:
    """A loaded booster. `predict` gives raw scores, rows x classes."""

    def __init__(self, text: str, columns: int) -> None:
        self._handle = ctypes.c_void_p()
        rounds = ctypes.c_int()
        self._call(
            "LGBM_BoosterLoadModelFromString",
            ctypes.c_char_p(text.encode()),
            ctypes.byref(rounds),
            ctypes.byref(self._handle),
        )
        found, classes = ctypes.c_int(), ctypes.c_int()
        self._call("LGBM_BoosterGetNumFeature", self._handle, ctypes.byref(found))
        self._call("LGBM_BoosterGetNumClasses", self._handle, ctypes.byref(classes))
        self.columns, self.classes = found.value, classes.value
        if self.columns != columns:
            raise RoomtoneError(
                "model", f"its trees have {self.columns} columns, not {columns}", "train again with this version"
            )

    def predict(self, values: Doubles) -> Doubles:
        """Raw scores on one thread."""
        rows = np.ascontiguousarray(values, dtype=np.float64)
        result = np.zeros((len(rows), self.classes), np.float64)
        if not len(rows):
            return result
        written = ctypes.c_int64()
        self._call(
            "LGBM_BoosterPredictForMat",
            self._handle,
            rows.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int(_FLOAT64),
            ctypes.c_int32(rows.shape[0]),
            ctypes.c_int32(rows.shape[1]),
            ctypes.c_int(1),
            ctypes.c_int(_RAW_SCORE),
            ctypes.c_int(0),
            ctypes.c_int(-1),
            ctypes.c_char_p(b"num_threads=1"),
            ctypes.byref(written),
            result.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
        )
        return result

    def _call(self, name: str, *arguments: object) -> None:
        library = _library()
        if getattr(library, name)(*arguments) != 0:
            raise RoomtoneError(
                "model",
                f"LightGBM refused it ({library.LGBM_GetLastError().decode('utf-8', 'replace')[:200]})",
                "train again",
            )

    def __del__(self) -> None:
        if self._handle:
            _library().LGBM_BoosterFree(self._handle)
            self._handle = ctypes.c_void_p()
