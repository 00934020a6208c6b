"""Data frames (pandas, polars and their like) without importing any: their columns' names, and what the columns hold.

A frame is what has `columns` and two dimensions; nothing else is asked of it than NumPy would ask.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError


def is_frame(data: object) -> bool:
    """Whether this is a data frame: two dimensions and columns."""
    if type(data) is np.ndarray or not hasattr(data, "columns") or not hasattr(data, "__len__"):
        return False
    shape = getattr(data, "shape", ())
    return isinstance(shape, tuple) and len(shape) == 2 and len(data.columns) == shape[1]


def names(data: object) -> tuple[str, ...] | None:
    """The names of a frame's columns; None for what is no frame, or where not all are texts, or one is there twice."""
    if not is_frame(data):
        return None
    columns = list(data.columns)  # type: ignore[attr-defined]
    if not columns or not all(isinstance(name, str) for name in columns) or len(set(columns)) < len(columns):
        return None
    return tuple(columns)


def column(data: Any, position: int) -> NDArray[Any] | list[Any]:
    """A column as an array of numbers (float64 with NaN where some are missing; whole ones as they are), else a list.

    In the list None is a missing value.
    """
    if hasattr(data, "iloc"):
        series = data.iloc[:, position]
    elif hasattr(data, "to_series"):
        series = data.to_series(position)
    else:
        series = data[list(data.columns)[position]]
    return cells(series)


def cells(series: Any) -> NDArray[Any] | list[Any]:
    """The same of a single column (a Series, an array, a list)."""
    dtype = getattr(series, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
        return np.asarray(series)
    objects = series.to_list() if hasattr(series, "to_list") else np.asarray(series, dtype=object).tolist()
    objects = [None if is_missing(value) else value for value in objects]
    present = [value for value in objects if value is not None]
    if present and all(_is_real(value) for value in present):
        if len(present) == len(objects) and all(isinstance(value, numbers.Integral) for value in present):
            whole = [int(value) for value in present]
            for kind in (np.int64, np.uint64):
                if np.iinfo(kind).min <= min(whole) and max(whole) <= np.iinfo(kind).max:
                    return np.array(whole, dtype=kind)
        try:
            return np.array([np.nan if value is None else float(value) for value in objects])
        except OverflowError:
            raise DataError("holds a whole number beyond 1.8e308") from None
    return objects


def is_missing(value: object) -> bool:
    """Whether a frame's cell is no value: None, NaN, pandas' NA and NaT."""
    if value is None:
        return True
    if isinstance(value, str | bytes | int):
        return False
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        # pandas' NA says of itself that it cannot tell; an array of several values says so too.
        return type(value).__name__ == "NAType"


def texts(objects: Sequence[Any]) -> list[str]:
    """The cells of a column that is not of numbers, as a file would have them; "" for a missing one.

    Raises DataError for cells that are lists, arrays or mappings, and for bytes that are no UTF-8.
    """
    return [_text(value) for value in objects]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes):
        try:
            return value.decode().strip()
        except UnicodeDecodeError:
            raise DataError(f"holds bytes that are no UTF-8 text ({value[:20]!r})") from None
    if hasattr(value, "__len__") or hasattr(value, "__next__"):
        raise DataError(f"holds a {type(value).__name__} in a cell ({str(value)[:40]})")
    return str(value)


def _is_real(value: object) -> bool:
    """A number that is no truth value; of decimals too, which Python does not count among its real numbers."""
    return (isinstance(value, numbers.Real) or type(value).__name__ == "Decimal") and not isinstance(
        value, bool | np.bool_
    )
