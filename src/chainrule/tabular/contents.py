"""What a column holds, whichever library keeps it: numbers, texts each kept once, or times."""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from chainrule import frames
from chainrule.data.cells import SURE_DIGITS, CodedCells, TruthCells
from chainrule.data.columns import label
from chainrule.errors import DataError, shown
from chainrule.tabular.times import Moments, naive

Array = NDArray[Any]
_MICROSECONDS = 1e6
"""Of a second."""


@dataclass(frozen=True)
class Times:
    """A column of dates or times."""

    values: Moments
    """(m,) datetime64[us], in UTC where a zone was given; NaT where there is none."""


@dataclass(frozen=True)
class Declared:
    """A column of categories, as the frame itself says."""

    cells: CodedCells
    """(m,)"""
    order: tuple[str, ...] = ()
    """All categories, where the frame says that they have an order."""


Content = NDArray[np.float64] | CodedCells | Times | Declared


def of_series(series: nw.Series[Any]) -> Content:
    """A column of a data frame.  Raises DataError, of which the column is the subject."""
    dtype = series.dtype
    if dtype.is_integer() and _beyond(series.min(), series.max()):
        return _of_codes(series.to_list())
    if dtype.is_numeric():
        return np.array(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
    if dtype == nw.Boolean:
        return _truth(np.asarray(series.cast(nw.Float64).to_numpy(), dtype=np.float64))
    if dtype in (nw.Categorical, nw.Enum):
        order = tuple(_composed([_printed(word) for word in _in_order(series)]))
        return Declared(_coded(series), order if len(set(order)) == len(order) else ())
    if dtype == nw.String:
        return _coded(series)
    if dtype in (nw.Datetime, nw.Date):
        moments = series.dt.timestamp("us")
        gaps = moments.is_null().to_numpy()
        values = np.array(
            moments.fill_null(0).to_numpy(), dtype=np.float64 if moments.dtype == nw.Float64 else np.int64
        )
        return Times(np.where(gaps, np.datetime64("NaT", "us"), values.astype("datetime64[us]")))
    if dtype == nw.Duration:
        return np.array(series.dt.total_microseconds().cast(nw.Float64).to_numpy(), np.float64) / _MICROSECONDS
    return of_objects(series.to_list())


def _in_order(series: nw.Series[Any]) -> list[Any]:
    """The categories of a column that says that they have an order, in it."""
    if isinstance(series.dtype, nw.Enum):
        return list(series.dtype.categories)
    native = series.to_native()
    if not getattr(getattr(native, "type", None), "ordered", False) or not native.num_chunks:
        return []
    categories: list[Any] = native.unify_dictionaries().chunk(0).dictionary.to_pylist()  # of pyarrow
    return categories


def of_array(column: Array) -> Content:
    """A column of an array.  Raises DataError, of which the column is the subject."""
    kind = column.dtype.kind
    if kind in "iu" and len(column) and _beyond(column.min(), column.max()):
        return _of_codes(column.tolist())
    if kind in "iuf":
        return column.astype(np.float64)
    if kind == "b":
        return _truth(column.astype(np.float64))
    if kind == "M":
        return Times(column.astype("datetime64[us]"))
    if kind == "m":
        seconds = column.astype("timedelta64[us]").astype(np.float64) / _MICROSECONDS
        return np.where(np.isnat(column), np.nan, seconds)
    if kind == "c":
        raise DataError("holds complex numbers")
    if kind == "V":
        raise DataError("holds records")
    return of_objects(column.tolist())


def of_objects(cells: list[Any]) -> Content:
    """A column of Python's objects.  Raises DataError, of which the column is the subject."""
    objects = np.empty(len(cells), dtype=object)
    objects[:] = cells
    present = [cell for cell in cells if not frames.is_missing(cell)]
    whole = bool(present) and all(isinstance(cell, Integral) and not isinstance(cell, bool) for cell in present)
    if whole and _beyond(min(present), max(present)):
        return _of_codes(cells)
    numbers = frames.cells(objects)
    if isinstance(numbers, np.ndarray):
        return numbers.astype(np.float64)
    present = [cell for cell in numbers if cell is not None]
    if present and all(isinstance(cell, bool | np.bool_) for cell in present):
        return _truth(np.array([np.nan if cell is None else float(cell) for cell in numbers]))
    if present and all(isinstance(cell, datetime.timedelta | np.timedelta64) for cell in present):
        lengths = np.array([np.timedelta64("NaT") if cell is None else cell for cell in numbers], "timedelta64[us]")
        return of_array(lengths)
    if present and all(isinstance(cell, datetime.date | datetime.time | np.datetime64) for cell in present):
        try:
            return Times(np.array([naive(cell) for cell in numbers], dtype="datetime64[us]"))
        except (ValueError, OverflowError):
            raise DataError(f"holds dates that are out of range ({shown(present[0])})") from None
    words: list[str] = []
    for row, cell in enumerate(numbers):
        try:
            words.append(_printed(cell))
        except DataError as fault:
            raise DataError(f"{fault} in row {row:,}") from None
    return CodedCells.of(_composed(words))


def _beyond(low: Any, high: Any) -> bool:
    """Whether whole numbers between these are as long as codes: not every float64 keeps them, and files read texts."""
    return not frames.is_missing(low) and max(-int(low), int(high)) >= 10**SURE_DIGITS


def _of_codes(cells: Sequence[Any]) -> CodedCells:
    """Whole numbers with all their digits."""
    return CodedCells.of(["" if frames.is_missing(cell) else str(int(cell)) for cell in cells])


def _truth(values: NDArray[np.float64]) -> TruthCells:
    """1 is True, NaN is missing."""
    return TruthCells(np.where(np.isnan(values), 2, values != 0).astype(np.int64), ("False", "True", ""))


def _coded(series: nw.Series[Any]) -> CodedCells:
    """The texts of a column, as the library itself keeps them where it keeps each once."""
    native: Any = series.to_native()
    library: Any = series.implementation.to_native_namespace()
    categories = series.dtype in (nw.Categorical, nw.Enum)
    if series.implementation.is_pandas():
        if isinstance(native.dtype, library.CategoricalDtype):
            codes, words = native.cat.codes, native.cat.categories
        else:
            codes, words = library.factorize(native)
        codes, words = np.asarray(codes, dtype=np.int64), words.tolist()
    elif series.implementation.is_polars():
        # Its codes count the texts of the whole process, or those of an Enum.
        coded = native if categories else native.cast(library.Categorical)
        once = coded.unique().drop_nulls()
        words = once.cast(library.String).to_list()
        marks = once.to_physical().to_numpy().astype(np.int64)
        place = np.zeros(int(marks.max(initial=-1)) + 1, dtype=np.int64)
        place[marks] = np.arange(len(marks))
        gaps = coded.is_null().to_numpy()
        physical = coded.to_physical().fill_null(int(marks[0]) if len(marks) else 0).to_numpy().astype(np.int64)
        codes = np.where(gaps, -1, place[physical] if len(marks) else -1)
    elif series.implementation.is_pyarrow():
        coded = (native if categories else native.dictionary_encode()).unify_dictionaries().combine_chunks()
        if hasattr(coded, "chunks"):  # what newer ones keep in chunks, empty ones too
            coded = coded.chunk(0)
        codes = coded.indices.cast(library.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        words = coded.dictionary.to_pylist()
    else:
        return CodedCells.of(_composed([_printed(cell) for cell in series.to_list()]))
    return CodedCells(np.asarray(codes, np.int64), (*_composed([_printed(word) for word in words]), ""))


def _printed(cell: Any) -> str:
    """A cell as a file would have it; "" for a missing one."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, Mapping | Sequence | np.ndarray) and not isinstance(cell, bytes):
        raise DataError(f"holds lists, arrays or mappings, such as {shown(cell)}")
    if frames.is_missing(cell):
        return ""
    if frames.is_number(cell):
        return label(cell)
    return frames.texts([cell])[0]


def _composed(words: list[str]) -> list[str]:
    """What prints the same is the same."""
    return [word if word.isascii() else unicodedata.normalize("NFC", word) for word in words]
