"""A table's columns, whatever they come in: pandas, polars, pyarrow, NumPy, lists, dictionaries, files of text.

How they are asked is a library's work (narwhals); what a text says (a number, nothing, a date) is judged as for files,
in `data.cells` and `data.columns`, so that a frame and the CSV file of it give the same.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from numpy.typing import NDArray

from chainrule.data.cells import FEW_NUMBERS, CodedCells, Style, Texts, TruthCells, Verdict, as_texts, different_cells
from chainrule.data.columns import Survey, joined, no_numbers, some, texts_of
from chainrule.data.table import Cells, Table
from chainrule.errors import DataError, expected, shorten, shown
from chainrule.tabular.contents import Content, Declared, Times, of_array, of_series
from chainrule.tabular.files import STANDARD_INPUT, read_file
from chainrule.tabular.times import First, Moments, first_of, parse

Array = NDArray[Any]
Kind = Literal["number", "text", "time", "empty"]
TRUTH = frozenset({"true", "false"})
"""What truth values print as, in small letters."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The columns of a table; each can be asked for as numbers, texts or times."""

    table: Table
    """Texts and numbers."""
    times: Mapping[str, Moments] = field(default_factory=dict)
    """Columns that say themselves that they hold dates or times, (m,) datetime64[us]."""
    declared: frozenset[str] = frozenset()
    """Those of the table's columns that say themselves that they hold categories."""
    ordered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of those of them whose categories have an order, all categories, in that order."""
    names: tuple[str, ...] = ()
    """Of all columns, in order."""
    named: bool = True
    """Whether the names are the data's own; an array has none."""
    whole: Frame | None = field(default=None, repr=False)
    """What these are some rows of: its columns say what theirs are."""

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
        if self.whole is not None:
            return self.whole.kind(name)
        if name in self.times:
            return "time"
        if name in self.declared:
            return "text"
        verdict = self.survey.verdict(name)
        if verdict.because == "dates" and self.parsed(name) is not None:
            return "time"
        if verdict.because == "ways" or (verdict.because == "mixed" and verdict.numbers > FEW_NUMBERS):
            raise DataError(no_numbers(self.survey, name, verdict))
        return verdict.kind

    def numbers(self, name: str, style: Style | None = None) -> NDArray[np.float64]:
        """A column as numbers, NaN where there is none; True is 1.  Raises DataError where a cell is none."""
        if name in self.times:
            raise DataError(
                f"{self.first(name)} in the column {name!r} is a time; the data that were fitted had numbers."
            )
        if style is None and self.whole is not None and self.kind(name) == "number":
            style = self.whole.style(name)
        numbers = self.survey.numbers(name, style)
        if numbers is not None:
            return numbers.values
        texts = self.texts(name)
        if self.is_truth(name):
            return np.array([*(float(word.lower() == "true") for word in texts.words), np.nan])[texts.codes]
        verdict: Verdict = self.survey.verdict(name)
        if not verdict.others:
            raise DataError(
                f"{self.first(name)} in the column {name!r} is a text; the data that were fitted had numbers."
            )
        raise DataError(no_numbers(self.survey, name, verdict))

    def is_truth(self, name: str) -> bool:
        """Whether all texts of a column are truth values."""
        return name not in self.times and {word.lower() for word in self.texts(name).words} <= TRUTH

    def says_truth(self, name: str) -> bool:
        """Whether a column says itself that it holds truth values."""
        return isinstance(self.table.columns.get(name), TruthCells)

    def first(self, name: str, words: Sequence[str] = ()) -> str:
        """The first cell of a column that is one of these words, or holds something, and where: "'x' (row 7)"."""
        texts = self.texts(name)
        wanted = [k for k, word in enumerate(texts.words) if not words or word in words]
        row = int(np.flatnonzero(np.isin(texts.codes, wanted))[0]) if wanted else 0
        return f"{shown(texts.words[texts.codes[row]] if wanted else '')} ({self.place(row)})"

    def style(self, name: str) -> Style:
        """How a column of numbers is written."""
        if self.whole is not None:
            return self.whole.style(name)
        numbers = self.survey.numbers(name)
        assert numbers is not None
        return numbers.style

    def texts(self, name: str) -> Texts:
        """A column as texts; numbers as they print."""
        if name in self.times:
            return as_texts(self.cells(name))
        cells = self.table.columns[name]
        return as_texts(_coded_numbers(cells) if isinstance(cells, np.ndarray) else cells)

    def coded(self, name: str) -> CodedCells:
        """A column as it prints, each different cell once; what is missing too, by whatever word."""
        cells = self.table.columns.get(name)
        if isinstance(cells, np.ndarray):
            return _coded_numbers(cells)
        return cells if isinstance(cells, CodedCells) else CodedCells.of(self.cells(name))

    def cells(self, name: str) -> Sequence[str]:
        """A column as it prints, row by row; "" where there is nothing."""
        if name in self.times:
            return ["" if value == "NaT" else value for value in self.times[name].astype(str).tolist()]
        return texts_of(self.table.columns[name])

    def time(self, name: str, first: First = "") -> Moments:
        """A column as dates and times; first: as in `parse`, for what may be either.  Raises DataError where a cell is
        none."""
        values = self.times[name] if name in self.times else self.parsed(name, first)
        if values is None:
            words = () if isinstance(self.table.columns[name], np.ndarray) else self.texts(name).words
            wrong = [word for word in words if parse([word], first or self.order(name)) is None]
            raise DataError(
                f"{self.first(name, wrong[:1])} in the column {name!r} is no date or time; the data that were fitted "
                "had dates or times."
            )
        return values

    def order(self, name: str) -> First:
        """Whether the day or the month stands first in the dates of a column, where it shows."""
        if self.whole is not None:
            return self.whole.order(name)
        cells = self.table.columns.get(name, ())
        return "" if isinstance(cells, np.ndarray) else first_of(different_cells(cells))

    def parsed(self, name: str, first: First = "") -> Moments | None:
        """The dates that the texts of a column are; None where one is none, or nobody could tell which."""
        cells, first = self.table.columns[name], first or self.order(name)
        if isinstance(cells, np.ndarray):
            return np.full(len(cells), "NaT", "datetime64[us]") if np.isnan(cells).all() else None
        if not isinstance(cells, CodedCells):
            return parse(cells, first)
        once = parse(cells.words, first)
        return None if once is None else once[cells.codes]

    def dated(self, name: str) -> bool:
        """Whether the texts of a column look like dates, in whatever order."""
        if self.whole is not None:
            return self.whole.dated(name)
        return name not in self.times and self.survey.verdict(name).because == "dates"

    def beside(self, names: Sequence[str]) -> Array:
        """These columns beside each other, (m, columns): numbers where all are, else each cell as it is."""
        columns: list[Array] = []
        for name in names:
            if name not in self.names:  # that nothing was learned from
                columns.append(np.full(len(self), np.nan))
            elif name in self.times:
                columns.append(self.times[name].astype(object))
            elif self.kind(name) in ("number", "empty"):
                columns.append(self.numbers(name))
            else:
                texts = self.texts(name)
                columns.append(np.array([*texts.words, None], dtype=object)[texts.codes])
        kind = np.float64 if all(column.dtype.kind == "f" for column in columns) else object
        return np.stack([column.astype(kind) for column in columns], axis=1)

    def renamed(self, names: tuple[str, ...]) -> Frame:
        """The same columns under other names, in order."""
        new = dict(zip(self.names, names, strict=True))
        table = dataclasses.replace(self.table, columns={new[n]: cells for n, cells in self.table.columns.items()})
        times = {new[n]: column for n, column in self.times.items()}
        ordered = {new[n]: levels for n, levels in self.ordered.items()}
        declared = frozenset(new[n] for n in self.declared)
        whole = None if self.whole is None else self.whole.renamed(names)
        return Frame(table, times, declared, ordered, names, named=False, whole=whole)

    def take(self, rows: NDArray[np.int64]) -> Frame:
        """The given rows, in the given order."""
        times = {name: values[rows] for name, values in self.times.items()}
        whole = self if self.whole is None else self.whole
        return Frame(self.table.take(rows), times, self.declared, self.ordered, self.names, self.named, whole)

    def without(self, names: Collection[str]) -> Frame:
        """The other columns."""
        table = dataclasses.replace(
            self.table, columns={name: cells for name, cells in self.table.columns.items() if name not in names}
        )
        times = {name: values for name, values in self.times.items() if name not in names}
        kept = tuple(name for name in self.names if name not in names)
        ordered = {name: levels for name, levels in self.ordered.items() if name not in names}
        return Frame(table, times, self.declared - set(names), ordered, kept, self.named, self.whole)

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return self.table.place(row)


def read_frame(data: Any, source: str = "X", *, header: bool = True) -> Frame:
    """The columns of a data frame (pandas, polars, pyarrow), an array (m, n), lists of rows, a dictionary of columns, a
    table, or the file of that path.

    header: whether a file's first line names the columns.
    Raises DataError for what is none of these, an empty table, names that are there twice, and cells that are neither
    numbers, texts, truth values nor times, all in one message.
    """
    if isinstance(data, Frame):
        return data
    if isinstance(data, str | os.PathLike):
        source = "standard input" if str(data) == STANDARD_INPUT else str(data)
        data = read_file(data, header)
    if isinstance(data, Table):
        return Frame(data, names=tuple(data.columns))
    if isinstance(data, Mapping):
        if data and all(isinstance(cell, str) or not hasattr(cell, "__len__") for cell in data.values()):
            raise DataError(f"{source}: is one row, a cell under each name. Put rows in a list: [row].")
        columns = {str(name): _column(values) for name, values in data.items()}
        return _frame(source, list(columns.items()), of_array)
    if hasattr(data, "collect") and hasattr(data, "collect_schema"):
        raise DataError(f"{source}: is a lazy frame; collect it first.")
    data = _as_arrow(data)
    try:
        frame = nw.from_native(data, eager_only=True, pass_through=True)
    except DuplicateError:
        names = [str(name) for name in getattr(data, "column_names", data.columns)]
        raise DataError(twice(source, names)) from None
    if isinstance(frame, nw.DataFrame):
        given = zip(map(str, frame.columns), frame.iter_columns(), strict=True)
        return _frame(source, list(given), of_series)
    return _of_rows(data, source)


def has_columns(data: Any) -> bool:
    """Whether data are a data frame, a lazy one too, a table or the path of one; else they are rows of numbers."""
    if isinstance(data, Frame | Table | str | os.PathLike | Mapping) or _are_records(data):
        return True
    if isinstance(data, np.ndarray):
        return data.dtype.names is not None
    try:
        return isinstance(nw.from_native(_as_arrow(data), pass_through=True), nw.DataFrame | nw.LazyFrame)
    except DuplicateError:  # which `read_frame` says
        return True


def filled(data: Any) -> Any:
    """Of a masked array the array, NaN where it is masked; anything else as it is."""
    if not isinstance(data, np.ma.MaskedArray):
        return data
    kind: Any = np.float64 if data.dtype.kind in "biuf" else object
    whole: Array = np.array(data.data, dtype=kind)
    whole[np.ma.getmaskarray(data)] = np.nan
    return whole


def _as_arrow(data: Any) -> Any:
    """A record batch of pyarrow's as a table; anything else as it is."""
    if hasattr(data, "to_struct_array") and not hasattr(data, "unify_dictionaries"):
        return import_module("pyarrow").Table.from_batches([data])
    return data


def _are_records(data: Any) -> bool:
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(row, Mapping) for row in data)


def _of_rows(data: Any, source: str) -> Frame:
    """An array, or lists of rows."""
    if _are_records(data):
        names = list(dict.fromkeys(name for row in data for name in row))
        return read_frame({name: _objects([row.get(name) for row in data]) for name in names}, source)
    try:
        array = np.asarray(filled(data))
    except ValueError:
        raise DataError(expected(source, "a table: rows of the same length", "rows of different lengths")) from None
    if array.dtype.names is not None and array.ndim == 1:
        return _frame(source, [(name, array[name]) for name in array.dtype.names], of_array)
    if array.dtype.kind == "U" and isinstance(data, list):  # numbers beside texts are all texts to NumPy
        array = np.asarray(data, dtype=object)
    if array.ndim != 2 or 0 in array.shape:
        got = array.shape if array.ndim else type(data).__name__
        raise DataError(expected(source, "a table: a data frame, or an array (samples, features)", got))
    return _frame(source, [(f"x{k}", array[:, k]) for k in range(array.shape[1])], of_array, named=False)


def _column(values: Any) -> Array:
    """A column of a dictionary, (m,)."""
    if isinstance(values, np.ndarray):
        return values
    cells = list(values)
    plain = all(isinstance(cell, int | float | np.number) and not isinstance(cell, bool) for cell in cells)
    return np.asarray(cells) if plain else _objects(cells)


def _objects(values: list[Any]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _frame(source: str, columns: list[tuple[str, Any]], read: Callable[[Any], Content], *, named: bool = True) -> Frame:
    """A frame of columns that are read one by one; all faults in one message."""
    names = tuple(name for name, _ in columns)
    if len(set(names)) < len(names):
        raise DataError(twice(source, names))
    kept: dict[str, Cells] = {}
    times: dict[str, Moments] = {}
    declared: set[str] = set()
    ordered: dict[str, tuple[str, ...]] = {}
    faults: list[str] = []
    if flat := [name for name, column in columns if isinstance(column, np.ndarray) and column.ndim != 1]:
        raise DataError(f"{source}: {some(flat)}: a column is one value a row.")
    lengths = {len(column) for _, column in columns}
    if lengths <= {0}:
        raise DataError(f"{source}: is empty.")
    if len(lengths) > 1:
        raise DataError(f"{source}: its columns differ in length.")
    for name, column in columns:
        try:
            content = read(column)
        except DataError as fault:
            faults.append(f"The column {name!r} {fault}.")
            continue
        if isinstance(content, Times):
            times[name] = content.values
        elif isinstance(content, Declared):
            declared.add(name)
            if content.order:
                ordered[name] = content.order
            kept[name] = content.cells
        else:
            kept[name] = content
    if faults:
        raise DataError(shorten(f"{source}: {joined(faults)} Leave such columns out, or make them numbers or texts."))
    (m,) = lengths
    table = Table(source, kept, np.arange(m, dtype=np.int64))
    return Frame(table, times, frozenset(declared), ordered, names, named)


def twice(source: str, names: Sequence[str]) -> str:
    """What is wrong with columns of which some have the same name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"{source} has {some(twice)} more than once among its columns. Name each once."


def _coded_numbers(values: Array) -> CodedCells:
    """Numbers as they print, each different one once."""
    different, codes = np.unique(values, return_inverse=True)
    return CodedCells(codes.astype(np.int64), texts_of(different))
