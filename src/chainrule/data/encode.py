"""From a table's texts to a matrix of numbers, and the same again for new data.

What is learned (medians, categories) is learned from the training rows and kept, so that a saved model reads a new file
exactly as it read the first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.data.table import Table, is_missing, is_number
from chainrule.errors import DataError

Kind = Literal["number", "text", "empty"]

# Texts with more different values than this are no categories; nor are those that differ in more than half of the rows.
MOST_CATEGORIES = 1000
FEW_CATEGORIES = 50

# What a text column's own category for "no value" is called.
NO_VALUE = "(missing)"


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers; a missing one becomes the training data's median.

    indicator: whether a second column says 1 where the value was missing (it does if any was in the training data).
    """

    name: str
    median: float
    indicator: bool


@dataclass(frozen=True)
class TextColumn:
    """A column of texts, one-hot: a column for each category, 1 where it is the row's, else 0.

    categories: by alphabet; last, where the training data miss some, "(missing)".
    An unseen category, or a missing value that the training data never missed, is 0 in all of them.
    """

    name: str
    categories: tuple[str, ...]


def column_kinds(table: Table, ignore: Iterable[str] = ()) -> dict[str, Kind]:
    """What each column holds: "number" where every value is one, "text", or "empty" where there is none.

    A column in which most values are numbers and a few are not is a damaged number column (DataError with the line),
    unless its values are few and so may be categories ("0", "1", "2", "3+").  Raises DataError also for a column to
    ignore that is not there, and for texts that are no categories.
    """
    left_out = set(ignore)
    for name in left_out:
        table.column(name)
    return {name: _kind(table, name) for name in table.columns if name not in left_out}


def _kind(table: Table, name: str) -> Kind:
    cells = table.columns[name]
    present = [(row, cell) for row, cell in enumerate(cells) if not is_missing(cell)]
    if not present:
        return "empty"
    other = [row for row, cell in present if not is_number(cell)]
    if not other:
        return "number"
    different = len({cell for _, cell in present})
    if different <= FEW_CATEGORIES:
        return "text"
    if 2 * len(other) < len(present):
        raise DataError(_not_a_number(table, name, other[0]))
    if different > MOST_CATEGORIES or 2 * different > len(present):
        raise DataError(
            f"{table.path}: the column {name!r} has {different} different texts in {len(table)} rows; these are no "
            "categories. Leave it out (ignore)."
        )
    return "text"


@dataclass(frozen=True)
class TableEncoder:
    """The rows of a table as a matrix: numbers with missing ones filled in, texts one-hot.

    columns: in the table's order.  A column that is empty in the whole file is left out.
    """

    columns: tuple[NumberColumn | TextColumn, ...]

    @classmethod
    def fit(cls, table: Table, kinds: Mapping[str, Kind] | None = None, ignore: Iterable[str] = ()) -> TableEncoder:
        """Learn medians and categories from a table's rows.

        kinds: what the columns hold, where the table is a part of a larger one (see `column_kinds`).
        ignore: columns to leave out (the target).
        Raises DataError where nothing is left to learn from, and as `column_kinds`.
        """
        columns: list[NumberColumn | TextColumn] = []
        for name, kind in (column_kinds(table, ignore) if kinds is None else kinds).items():
            if kind == "number":
                values = _numbers(table, name)
                present = values[~np.isnan(values)]
                median = float(np.median(present)) if len(present) else 0.0
                columns.append(NumberColumn(name, median, indicator=len(present) < len(values)))
            elif kind == "text":
                cells = table.columns[name]
                categories = sorted({cell for cell in cells if not is_missing(cell)})
                columns.append(TextColumn(name, (*categories, *([NO_VALUE] if any(map(is_missing, cells)) else []))))
        if not columns:
            raise DataError(f"{table.path}: there is no column to learn from beside the target.")
        return cls(tuple(columns))

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
    def measured(self) -> NDArray[np.bool_]:
        """Which columns of the matrix are numbers in units of their own; the others are 0 or 1."""
        flags: list[bool] = []
        for column in self.columns:
            if isinstance(column, NumberColumn):
                flags += [True, False] if column.indicator else [True]
            else:
                flags += [False] * len(column.categories)
        return np.array(flags, dtype=bool)

    def transform(self, table: Table) -> NDArray[np.float64]:
        """The matrix of a table's rows, shape (m, n); the table's columns may stand in any order.

        Raises DataError for columns that are missing (all at once), and for a text or an infinity where numbers belong.
        """
        absent = [column.name for column in self.columns if column.name not in table.columns]
        if absent:
            what = f"column{'s' if len(absent) > 1 else ''} {', '.join(map(repr, absent))}"
            raise DataError(f"{table.path}: lacks the {what}. There are: {', '.join(table.columns)}.")
        X = np.zeros((len(table), len(self.feature_names)))
        at = 0
        for column in self.columns:
            if isinstance(column, NumberColumn):
                values = _numbers(table, column.name)
                missing = np.isnan(values)
                X[:, at] = np.where(missing, column.median, values)
                at += 1
                if column.indicator:
                    X[:, at] = missing
                    at += 1
                continue
            position = {category: at + offset for offset, category in enumerate(column.categories)}
            cells = [NO_VALUE if is_missing(cell) else cell for cell in table.columns[column.name]]
            places = np.array([position.get(cell, -1) for cell in cells])
            known = np.flatnonzero(places >= 0)
            X[known, places[known]] = 1.0
            at += len(column.categories)
        return X

    def to_dict(self) -> dict[str, Any]:
        """The encoder as JSON can hold it."""
        kinds = {NumberColumn: "number", TextColumn: "text"}
        return {"columns": [{"kind": kinds[type(column)], **asdict(column)} for column in self.columns]}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> TableEncoder:
        """What `to_dict` wrote.  Raises DataError for anything else."""
        try:
            return cls(tuple(_column_from_dict(column) for column in saved["columns"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"This is not a table encoder as chainrule saves it ({error!r}).") from None


def _column_from_dict(saved: Mapping[str, Any]) -> NumberColumn | TextColumn:
    if saved["kind"] == "text":
        return TextColumn(str(saved["name"]), tuple(str(category) for category in saved["categories"]))
    if saved["kind"] != "number":
        raise ValueError(f"unknown kind {saved['kind']!r}")
    return NumberColumn(str(saved["name"]), float(saved["median"]), bool(saved["indicator"]))


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    """The numbers of a column, NaN where missing.  Raises DataError, with the line, for a text or an infinity."""
    cells = table.columns[name]
    try:
        # The usual case, at C speed.  NaN is one of the words for a missing value.
        values = np.array([float(cell) for cell in cells])
    except ValueError:
        values = np.array([_number_or_nan(table, name, row, cell) for row, cell in enumerate(cells)])
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        row = int(infinite[0])
        raise DataError(f"{table.where(row)}: {cells[row]!r} in the column {name!r} is not finite.")
    return values


def _number_or_nan(table: Table, name: str, row: int, cell: str) -> float:
    if is_missing(cell):
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise DataError(_not_a_number(table, name, row)) from None


def _not_a_number(table: Table, name: str, row: int) -> str:
    return f"{table.where(row)}: {table.columns[name][row]!r} in the column {name!r} is not a number."
