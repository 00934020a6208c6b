"""Data frames (pandas, polars and their like) without importing any: their columns' names, and what the columns hold.

A frame is what has `columns` and two dimensions; nothing else is asked of it than NumPy would ask.
"""

from __future__ import annotations

import datetime
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, DataWarning, shown


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
    if present and all(is_number(value) for value in present):
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


def matrix(data: Any, known: tuple[str, ...] | None = None) -> NDArray[Any]:
    """A frame's columns of numbers side by side, (m, n); of texts, dates and the like nothing can be made.

    known: the names of the columns that are wanted, in order; they are found by name where the frame has names.  What
    else the frame has is left out, with a DataWarning.
    Raises DataError for columns that are not there or hold no numbers, and for missing values among whole numbers and
    truth values (NaN among others is a number to NumPy).
    """
    own = names(data)
    positions = list(range(len(data.columns)))
    if known is not None and own is not None:
        if absent := [name for name in known if name not in own]:
            raise DataError(
                f"X lacks the column{'s' if len(absent) > 1 else ''} {_some(absent)} of the data that were fitted. "
                f"There are: {_some(list(own), 20)}."
            )
        if unused := [name for name in own if name not in known]:
            warnings.warn(
                f"X has columns that the data that were fitted had not, and they are not used: {_some(unused)}.",
                DataWarning,
                stacklevel=3,
            )
        positions = [own.index(name) for name in known]
    whole = np.asarray(data)
    if whole.dtype.kind in "biufc" and whole.ndim == 2:
        return whole if positions == list(range(whole.shape[1])) else whole[:, positions]
    columns = [_numbers(column(data, k), str(list(data.columns)[k])) for k in positions]
    return np.stack(columns, axis=1) if columns else np.empty((len(data), 0))


def _numbers(cells: NDArray[Any] | list[Any], name: str) -> NDArray[Any]:
    """A column's cells as numbers; truth values are 0 and 1.  Raises DataError where they are none."""
    if isinstance(cells, np.ndarray):
        return cells
    row, value = next(((k, v) for k, v in enumerate(cells) if not isinstance(v, bool | np.bool_)), (0, True))
    if value is True:
        return np.array(cells, dtype=np.int64)
    if value is None:
        raise DataError(
            f"X must hold numbers. The column {name!r} has no value in row {row}; remove or impute missing values."
        )
    raise DataError(
        f"X must hold numbers. The column {name!r} holds {kind(value)} ({shown(value)} in row {row}); encode it, as "
        "cr.data.from_frame does, or leave it out."
    )


def kind(value: object) -> str:
    """What a cell is, in a word or two: "a text", "a date or time", "a list"."""
    if isinstance(value, str | bytes):
        return "texts"
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta | np.datetime64 | np.timedelta64):
        return "dates or times"
    return f"cells of the type {type(value).__name__}"


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def is_missing(value: object) -> bool:
    """Whether a frame's cell is no value: None, NaN, pandas' NA and NaT."""
    if value is None:
        return True
    if isinstance(value, str | bytes | int):
        return False
    try:
        return bool(value != value)
    except ArithmeticError:  # a Decimal that is a signalling NaN
        return True
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
    if hasattr(value, "__len__") or hasattr(value, "__next__") or isinstance(value, complex | np.complexfloating):
        raise DataError(f"holds a {type(value).__name__} in a cell ({str(value)[:40]})")
    return str(value)


def is_number(value: object) -> bool:
    """Whether a cell is a number and no truth value; decimals too, which Python does not count among real numbers."""
    return (isinstance(value, numbers.Real) or type(value).__name__ == "Decimal") and not isinstance(
        value, bool | np.bool_
    )
