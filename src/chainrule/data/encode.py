"""From a table's columns to a matrix of numbers, and the same again for new data.

What is learned (medians, categories, ways of writing) is learned from the training rows and kept, so that a saved model
reads a new table exactly as it read the first; where the new one differs, it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import PLAIN, STYLE, Numbers, Style, Texts, written
from chainrule.data.columns import Columns, Survey, infinite, joined, no_numbers, some
from chainrule.data.table import Table
from chainrule.errors import DataError, shorten
from chainrule.files import fields
from chainrule.files.fields import Flag, Listed, Number, Object, Tagged, Text

NO_VALUE = "(missing)"
"""What a text column's own category for "no value" is called."""

_TRUTH = ({"true"}, {"false"}, {"true", "false"})


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers; a missing one becomes the training data's median."""

    name: str
    """Of the column."""
    median: float
    """Of the training data's numbers."""
    indicator: bool
    """Whether a second column says 1 where the value was missing (it does if any was in the training data)."""
    style: Style = PLAIN
    """How the training data wrote its numbers, for new cells that can be read in two ways."""


@dataclass(frozen=True)
class TextColumn:
    """A column of texts, one-hot: a column for each category, 1 where it is the row's, else 0.

    An unseen category, or a missing value that the training data never missed, is 0 in all of them.  Where categories
    are True and False, TRUE and false are the same.
    """

    name: str
    """Of the column."""
    categories: tuple[str, ...]
    """By alphabet; last, where the training data miss some, "(missing)"."""

    def place(self, words: Iterable[str]) -> list[int]:
        """Which category each of the words is; -1 for one that the training data did not have."""
        position = {category: k for k, category in enumerate(self.categories)}
        if {category.lower() for category in self.categories if category != NO_VALUE} in _TRUTH:
            position = {category.lower(): k for category, k in position.items()}
            return [position.get(word.lower(), -1) for word in words]
        return [position.get(word, -1) for word in words]


@dataclass(frozen=True)
class TableEncoder:
    """The rows of a table as a matrix: numbers with missing ones filled in, texts one-hot."""

    columns: tuple[NumberColumn | TextColumn, ...]
    """In the table's order, without those that held nothing."""
    ignored: tuple[str, ...] = ()
    """Columns that were left out on purpose."""
    header: bool = True
    """Whether the first line of the file named the columns."""

    @classmethod
    def fit(cls, columns: Columns, ignored: Iterable[str] = (), header: bool = True) -> TableEncoder:
        """Learn medians and categories.  Raises DataError where there is no column to learn from."""
        learned: list[NumberColumn | TextColumn] = []
        for name, column in columns.named.items():
            if isinstance(column, Numbers):
                present = column.values[~np.isnan(column.values)]
                median = float(np.median(present)) if len(present) else 0.0
                learned.append(NumberColumn(name, median, len(present) < len(columns), column.style))
            else:
                there = np.bincount(column.codes[column.codes >= 0], minlength=len(column.words)) > 0
                categories = sorted(word for word, seen in zip(column.words, there, strict=True) if seen)
                gaps = [NO_VALUE] if (column.codes < 0).any() else []
                learned.append(TextColumn(name, (*categories, *gaps)))
        if not learned:
            raise DataError(f"{columns.source}: there is no column to learn from beside the target.")
        return cls(tuple(learned), tuple(ignored), header)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each column of the matrix: "age", "age is missing", "sex=Female", ..."""
        names: list[str] = []
        for column in self.columns:
            if isinstance(column, NumberColumn):
                names += [column.name, f"{column.name} is missing"] if column.indicator else [column.name]
            else:
                names += [f"{column.name}={category}" for category in column.categories]
        return tuple(names)

    @property
    def sources(self) -> tuple[str, ...]:
        """For each column of the matrix, the name of the table's column that it was made of."""
        names: list[str] = []
        for column in self.columns:
            parts = 1 + column.indicator if isinstance(column, NumberColumn) else len(column.categories)
            names += [column.name] * parts
        return tuple(names)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Which columns of the matrix are numbers in units of their own; the others are 0 or 1."""
        flags: list[bool] = []
        for column in self.columns:
            if isinstance(column, NumberColumn):
                flags += [True, False] if column.indicator else [True]
            else:
                flags += [False] * len(column.categories)
        return np.array(flags, dtype=bool)

    def matrix(self, columns: Columns) -> NDArray[np.float64]:
        """The matrix (m, n) of columns that hold what the encoder knows of them; one that is not there is missing."""
        X = np.zeros((len(columns), len(self.feature_names)))
        at = 0
        for column in self.columns:
            cells = columns.named.get(column.name)
            if isinstance(column, NumberColumn):
                values = cells.values if isinstance(cells, Numbers) else np.full(len(columns), np.nan)
                missing = np.isnan(values)
                X[:, at] = np.where(missing, column.median, values)
                if column.indicator:
                    X[:, at + 1] = missing
                at += 1 + column.indicator
                continue
            words, codes = (cells.words, cells.codes) if isinstance(cells, Texts) else ((), np.full(len(columns), -1))
            places = np.array(column.place((*words, NO_VALUE)))[codes]
            seen = np.flatnonzero(places >= 0)
            X[seen, at + places[seen]] = 1.0
            at += len(column.categories)
        return X

    def transform(self, table: Table) -> NDArray[np.float64]:
        """The matrix of a table's rows, shape (m, n); the table's columns may stand in any order.

        Raises DataError for columns that are missing (all at once), and for texts and infinities where numbers belong.
        """
        return self.matrix(self.read(table)[0])

    def read(self, table: Table, target: str | None = None) -> tuple[Columns, tuple[str, ...]]:
        """(a table's columns as the training data had them, what differs from these: a few words each).

        Told are categories that were not there, values missing where none was, columns in another order, columns that
        are not used.  target: a column that is no feature.  Raises DataError as `transform`.
        """
        names = [column.name for column in self.columns]
        absent = [name for name in names if name not in table.columns]
        if absent:
            what = f"column{'s' if len(absent) > 1 else ''} {some(absent)}"
            raise DataError(shorten(f"{table.path}: lacks the {what}. There are: {', '.join(table.columns)}."))
        survey = Survey(Table(table.path, {name: table.columns[name] for name in names}, table.lines, table.delimiter))
        named: dict[str, Numbers | Texts] = {}
        faults: list[str] = []
        notes: list[str] = list(table.notes)
        for column in self.columns:
            try:
                cells = _read(survey, column)
            except DataError as fault:
                faults.append(str(fault))
                continue
            named[column.name] = cells
            notes += _differences(column, cells)
        if faults:
            raise DataError(shorten(f"{table.path}: {joined(faults)}"))
        if [name for name in table.columns if name in named] != names:
            notes.append("the columns stand in another order and are matched by name")
        unused = [name for name in table.columns if name not in {*names, *self.ignored, target}]
        if unused := [name for name in unused if _holds_something(table, name)]:
            notes.append(f"not used, as the training data did not have it: {some(unused)}")
        return Columns(table.path, len(table), named), tuple(notes)

    def to_dict(self) -> dict[str, Any]:
        """The encoder as JSON can hold it."""
        kinds = {NumberColumn: "number", TextColumn: "text"}
        columns = [{"kind": kinds[type(column)], **asdict(column)} for column in self.columns]
        return {"columns": columns, "ignored": list(self.ignored), "header": self.header}

    @classmethod
    def from_dict(cls, saved: object) -> TableEncoder:
        """What `to_dict` wrote.  Raises DataError for anything else."""
        said = fields.part(_SAVED, saved, "a table encoder")
        return cls(tuple(_column(kind, column) for kind, column in said["columns"]), said["ignored"], said["header"])


_NAME = Text()
_COLUMNS = {
    "number": Object({"name": _NAME, "median": Number(), "indicator": Flag(), "style": STYLE}, absent={"style": None}),
    "text": Object({"name": _NAME, "categories": Listed(_NAME)}),
}
_SAVED = Object(
    {"columns": Listed(Tagged("kind", _COLUMNS, "kind of column"), 1), "ignored": Listed(_NAME), "header": Flag()},
    absent={"ignored": (), "header": True},
)


def _column(kind: str, said: Mapping[str, Any]) -> NumberColumn | TextColumn:
    if kind == "text":
        return TextColumn(**said)
    return NumberColumn(said["name"], said["median"], said["indicator"], written(said["style"]))


def _read(survey: Survey, column: NumberColumn | TextColumn) -> Numbers | Texts:
    """A column of new data as what it was in training.  Raises DataError, without the table's name."""
    if isinstance(column, TextColumn):
        return survey.texts(column.name)
    numbers = survey.numbers(column.name, column.style)
    if numbers is None:
        raise DataError(no_numbers(survey, column.name, survey.verdict(column.name)))
    if fault := infinite(survey, column.name, numbers):
        raise DataError(fault)
    return numbers


def _differences(column: NumberColumn | TextColumn, cells: Numbers | Texts) -> list[str]:
    """What a column of new data has that the training data had not, and what becomes of it."""
    if isinstance(column, NumberColumn) or isinstance(cells, Numbers):
        assert isinstance(column, NumberColumn) and isinstance(cells, Numbers)
        gaps = 0 if column.indicator else int(np.isnan(cells.values).sum())
        return [f"{_rows(gaps)} without {column.name!r}, which the training data never lacked"] if gaps else []
    notes = []
    unseen = [k for k, place in enumerate(column.place(cells.words)) if place < 0]
    if unseen:
        rows = int(np.isin(cells.codes, unseen).sum())
        words = some([cells.words[k] for k in unseen])
        notes.append(f"{_rows(rows)} with categories of {column.name!r} that the training data did not have ({words})")
    gaps = 0 if NO_VALUE in column.categories else int((cells.codes < 0).sum())
    if gaps:
        notes.append(f"{_rows(gaps)} without {column.name!r}, which the training data never lacked")
    return notes


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _holds_something(table: Table, name: str) -> bool:
    return Survey(Table(table.path, {name: table.columns[name]}, table.lines)).verdict(name).kind != "empty"
