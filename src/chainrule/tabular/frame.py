"""A table's columns, whatever they come in: pandas, polars, pyarrow, NumPy, lists, dictionaries, files of text.

How they are asked is a library's work (narwhals); what a text says (a number, nothing, a date) is judged as for files,
in `data.cells` and `data.columns`, so that a frame and the CSV file of it give the same.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from chainrule import frames
from chainrule.data.cells import FEW_NUMBERS, MISSING, Style, Texts, Verdict, as_texts
from chainrule.data.columns import Survey, joined, no_numbers
from chainrule.data.delimited import read_table
from chainrule.data.table import Table
from chainrule.errors import DataError, expected, shown

Array = NDArray[Any]
Kind = Literal["number", "text", "time", "empty"]
_MICROSECONDS = 1e6
_ZONE = re.compile(r":\d\d.*(?:Z|[+-]\d\d:?\d\d)$", re.ASCII)


@dataclass(frozen=True)
class Times:
    """A column of dates or times."""

    values: NDArray[np.datetime64]
    """(m,) datetime64[us], in UTC where a zone was given; NaT where there is none."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The columns of a table; each can be asked for as numbers, texts or times."""

    table: Table
    """Texts and numbers."""
    times: Mapping[str, Times] = field(default_factory=dict)
    """Columns that say themselves that they hold dates or times."""
    declared: Mapping[str, Texts] = field(default_factory=dict)
    """Columns that say themselves that they hold categories."""
    names: tuple[str, ...] = ()
    """Of all columns, in order."""
    named: bool = True
    """Whether the names are the data's own; an array has none."""

    @property
    def source(self) -> str:
        """The table's name, for messages."""
        return self.table.path

    def __len__(self) -> int:
        return len(self.table)

    @functools.cached_property
    def survey(self) -> Survey:
        """What the texts are."""
        return Survey(self.table)

    def kind(self, name: str) -> Kind:
        """What a column is.  Raises DataError for numbers of which some are none."""
        if name in self.times:
            return "time"
        if name in self.declared:
            return "text"
        verdict = self.survey.verdict(name)
        if verdict.because == "dates" and self.parsed(name) is not None:
            return "time"
        if verdict.because == "ways" or (verdict.because == "mixed" and _damaged(verdict)):
            raise DataError(no_numbers(self.survey, name, verdict))
        return verdict.kind

    def numbers(self, name: str, style: Style | None = None) -> NDArray[np.float64]:
        """A column as numbers, NaN where there is none.  Raises DataError where a cell is none."""
        if name in self.declared or name in self.times:
            what = "dates or times" if name in self.times else "categories"
            raise DataError(f"the column {name!r} holds {what}, and numbers in the data that were fitted.")
        numbers = self.survey.numbers(name, style)
        if numbers is None:
            verdict = self.survey.verdict(name)
            raise DataError(no_numbers(self.survey, name, verdict))
        return numbers.values

    def style(self, name: str) -> Style:
        """How a column of numbers is written."""
        numbers = self.survey.numbers(name)
        assert numbers is not None
        return numbers.style

    def texts(self, name: str) -> Texts:
        """A column as texts; numbers as they print."""
        if name in self.declared:
            return self.declared[name]
        if name in self.times:
            return as_texts(["" if value == "NaT" else value for value in self.times[name].values.astype(str).tolist()])
        return self.survey.texts(name)

    def time(self, name: str) -> NDArray[np.datetime64]:
        """A column as dates and times.  Raises DataError where a cell is none."""
        if name in self.times:
            return self.times[name].values
        values = None if name in self.declared else self.parsed(name)
        if values is None:
            raise DataError(f"the column {name!r} holds no dates or times, as the data that were fitted do.")
        return values

    def parsed(self, name: str) -> NDArray[np.datetime64] | None:
        """The dates that the texts of a column are, year first as ISO 8601 has it; None where one is no such date."""
        cells = self.table.columns[name]
        if isinstance(cells, np.ndarray):
            return (
                None if not np.isnan(cells.astype(np.float64)).all() else np.full(len(cells), "NaT", "datetime64[us]")
            )
        try:
            if any(map(_ZONE.search, cells)):
                moments = [None if cell in MISSING else datetime.datetime.fromisoformat(cell) for cell in cells]
                return np.array([_naive(moment) for moment in moments], dtype="datetime64[us]")
            plain = ["NaT" if cell in MISSING else cell for cell in cells]
            values: NDArray[np.datetime64] = np.array(plain, dtype="datetime64[us]")
        except (ValueError, OverflowError):
            return None
        return values

    def renamed(self, names: tuple[str, ...]) -> Frame:
        """The same columns under other names, in order."""
        new = dict(zip(self.names, names, strict=True))
        table = dataclasses.replace(self.table, columns={new[n]: cells for n, cells in self.table.columns.items()})
        times = {new[n]: column for n, column in self.times.items()}
        declared = {new[n]: column for n, column in self.declared.items()}
        return Frame(table, times, declared, names, named=False)

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return self.table.place(row)


def _damaged(verdict: Verdict) -> bool:
    return verdict.numbers > FEW_NUMBERS


def read_frame(data: Any, source: str = "X") -> Frame:
    """The columns of a data frame (pandas, polars, pyarrow), an array (m, n), lists of rows, a dictionary of columns, a
    table, or the file of that path.

    Raises DataError for what is none of these, an empty table, names that are there twice, and cells that are neither
    numbers, texts, truth values nor times, all in one message.
    """
    if isinstance(data, Frame):
        return data
    if isinstance(data, str | os.PathLike):
        data = read_table(data)
    if isinstance(data, Table):
        return Frame(data, names=tuple(data.columns))
    if isinstance(data, Mapping):
        return _frame(source, {str(name): _column(values) for name, values in data.items()}, _of_array)
    if hasattr(data, "collect") and hasattr(data, "collect_schema"):
        raise DataError(f"{source}: is a lazy frame; collect it first.")
    _refuse_twice(list(map(str, getattr(data, "columns", ()))) if frames.is_frame(data) else [], source)
    frame = nw.from_native(data, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        return _of_frame(frame, source)
    return _of_rows(data, source)


def _of_rows(data: Any, source: str) -> Frame:
    """An array, or lists of rows."""
    if isinstance(data, Sequence) and data and all(isinstance(row, Mapping) for row in data):
        names = list(dict.fromkeys(name for row in data for name in row))
        return read_frame({name: _objects([row.get(name) for row in data]) for name in names}, source)
    array = np.asarray(data)
    if array.dtype.kind == "U" and isinstance(data, list):  # numbers beside texts are all texts to NumPy
        array = np.asarray(data, dtype=object)
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(expected(source, "a table: a data frame, or an array (samples, features)", array.shape))
    names = [f"x{k}" for k in range(array.shape[1])]
    columns = {name: array[:, k] for k, name in enumerate(names)}
    return _frame(source, columns, _of_array, named=False)


def _column(values: Any) -> Array:
    """One column of a dictionary of columns."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return values
    cells = list(values)
    plain = all(isinstance(cell, int | float | np.number) and not isinstance(cell, bool) for cell in cells)
    return np.asarray(cells) if plain else _objects(cells)


def _objects(values: list[Any]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _refuse_twice(names: list[str], source: str) -> None:
    if twice := sorted({repr(name) for name in names if names.count(name) > 1}):
        raise DataError(f"{source} has {', '.join(twice[:5])} more than once among its columns. Name each once.")


def _of_frame(frame: nw.DataFrame[Any], source: str) -> Frame:
    names = [str(name) for name in frame.columns]
    _refuse_twice(names, source)
    series = {name: frame[given] for name, given in zip(names, frame.columns, strict=True)}
    return _frame(source, series, _of_series)


Read = Callable[[Any], "Array | list[str] | Texts | Times"]


def _frame(source: str, columns: Mapping[str, Any], read: Read, *, named: bool = True) -> Frame:
    """A frame of columns that are read one by one; all faults in one message."""
    kept: dict[str, Any] = {}
    times: dict[str, Times] = {}
    declared: dict[str, Texts] = {}
    faults: list[str] = []
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise DataError(f"{source}: is empty." if lengths <= {0} else f"{source}: its columns differ in length.")
    for name, column in columns.items():
        try:
            content = read(column)
        except DataError as fault:
            faults.append(f"The column {name!r} {fault}.")
            continue
        if isinstance(content, Times):
            times[name] = content
        elif isinstance(content, Texts):
            declared[name] = content
        else:
            kept[name] = content
    if faults:
        raise DataError(f"{source}: {joined(faults)} Leave such columns out, or make them numbers or texts.")
    (m,) = lengths
    table = Table(source, kept, np.arange(m, dtype=np.int64))
    return Frame(table, times, declared, tuple(columns), named)


def _of_series(series: nw.Series[Any]) -> Array | list[str] | Texts | Times:
    """A column of a data frame.  Raises DataError, of which the column is the subject."""
    dtype = series.dtype
    if dtype.is_numeric():
        return np.asarray(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
    if dtype == nw.Boolean:
        return _truth(series.to_list())
    if dtype in (nw.Categorical, nw.Enum):
        return as_texts(_stripped(series.cast(nw.String).to_list()))
    if dtype == nw.String:
        return _stripped(series.to_list())
    if dtype in (nw.Datetime, nw.Date):
        moments = np.asarray(series.dt.timestamp("us").cast(nw.Float64).to_numpy(), dtype=np.float64)
        return _times(moments)
    if dtype == nw.Duration:
        return np.asarray(series.dt.total_microseconds().cast(nw.Float64).to_numpy(), np.float64) / _MICROSECONDS
    return _of_objects(series.to_list())


def _of_array(column: Array) -> Array | list[str] | Texts | Times:
    """A column of an array."""
    kind = column.dtype.kind
    if kind in "iuf":
        return column.astype(np.float64)
    if kind == "b":
        return _truth(column.tolist())
    if kind == "M":
        return Times(column.astype("datetime64[us]"))
    if kind == "m":
        seconds = column.astype("timedelta64[us]").astype(np.float64) / _MICROSECONDS
        return np.where(np.isnat(column), np.nan, seconds)
    if kind == "c":
        raise DataError("holds complex numbers")
    return _of_objects(column.tolist())


def _of_objects(cells: list[Any]) -> Array | list[str] | Texts | Times:
    """A column of Python's objects."""
    numbers = frames.cells(_objects(cells))
    if isinstance(numbers, np.ndarray):
        return numbers.astype(np.float64)
    present = [cell for cell in numbers if cell is not None]
    if present and all(isinstance(cell, bool | np.bool_) for cell in present):
        return _truth(cells)
    if present and all(isinstance(cell, datetime.time) for cell in present):
        return np.array([np.nan if t is None else _seconds(t) for t in numbers])
    if present and all(isinstance(cell, datetime.date | np.datetime64) for cell in present):
        try:
            return Times(np.array([_naive(cell) for cell in numbers], dtype="datetime64[us]"))
        except (ValueError, OverflowError):
            raise DataError(f"holds dates that are out of range ({shown(present[0])})") from None
    if any(isinstance(cell, Mapping | Sequence | np.ndarray) and not isinstance(cell, str | bytes) for cell in present):
        raise DataError("holds lists, arrays or mappings")
    return _stripped(frames.texts(numbers))


def _seconds(t: datetime.time) -> float:
    return t.hour * 3600 + t.minute * 60 + t.second + t.microsecond / _MICROSECONDS


def _naive(cell: Any) -> Any:
    """A date or time in UTC, without a zone."""
    if cell is None:
        return np.datetime64("NaT", "us")
    if isinstance(cell, datetime.datetime) and cell.tzinfo is not None:
        return np.datetime64(cell.astimezone(datetime.UTC).replace(tzinfo=None), "us")
    return np.datetime64(cell, "us")


def _times(moments: NDArray[np.float64]) -> Times:
    there = ~np.isnan(moments)
    values = np.full(len(moments), "NaT", dtype="datetime64[us]")
    values[there] = moments[there].astype(np.int64).view("datetime64[us]")
    return Times(values)


def _truth(cells: Sequence[Any]) -> list[str]:
    return ["" if frames.is_missing(cell) else "True" if cell else "False" for cell in cells]


def _stripped(cells: Sequence[Any]) -> list[str]:
    return [cell.strip() if isinstance(cell, str) else "" for cell in cells]
