"""What is to be predicted: classes or numbers, and which of the two a column of values is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import (
    FEW_NUMBERS,
    MISSING,
    MISSING_SIGNS,
    MISSING_WORDS,
    PLAIN,
    STYLE,
    Style,
    Verdict,
    as_numbers,
    count,
    fits,
    is_number,
    judge,
    settle,
    written,
)
from chainrule.data.columns import label, some
from chainrule.errors import DataError, expected, unknown_name
from chainrule.files import fields
from chainrule.files.fields import Listed, Maybe, Object, Text

Task = Literal["classification", "regression"]
TASKS = ("classification", "regression")

FEW_CLASSES = 20
SAMPLES_PER_CLASS = 5
"""Whole numbers are classes when they are no more than the first, and each occurs on average as often as the second."""
MOST_CLASSES = 1000
LONGEST_NAME = 200

Values = Sequence[str] | NDArray[Any]
Where = Callable[[int], str]


def check_task(task: str | None) -> None:
    """Raise DataError for a task that does not exist; None leaves the choice to the data."""
    if task is not None and task not in TASKS:
        raise DataError(unknown_name("task", str(task), TASKS))


@dataclass(frozen=True)
class TargetEncoder:
    """Turns target values into what a network learns, and back.

    A class is a text: what prints the same is the same class and nothing else is, 7, 007 and 7.0 are three.
    """

    task: Task
    """Classification or regression."""
    names: tuple[str, ...] | None = None
    """Of the classes, in order: numbers by size, texts by alphabet; None for regression."""
    name: str | None = None
    """The target column's, if it has one."""
    style: Style = PLAIN
    """How the training data wrote the numbers of a regression, for new ones that can be read in two ways."""

    @classmethod
    def fit(
        cls,
        values: Values,
        where: Where,
        task: str | None = None,
        name: str | None = None,
        comma: bool | None = None,
    ) -> TargetEncoder:
        """Learn the task (unless given) and the names of the classes.

        values: texts, or an array of numbers, truth values or texts; shape (m,), or (m, outputs) for regression.
        where: says where the value of a row stands, for messages ("data.csv, line 7").
        comma: whether the rest of the table writes decimal commas, where that is known.
        A text is a class.  Whole numbers are classes when they are few (at most 20 different ones, each 5 times or
        more, or just two).  Everything else is a number to predict.
        Raises DataError for a missing or non-finite value, fewer than two classes, or more than can be learned.
        """
        check_task(task)
        if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind in "biuf":
            if task == "classification":
                raise DataError(expected("The labels of a classification", "one a sample", values.shape))
            return cls("regression", None, name)
        what = f"The target{f' {name!r}' if name else ''}"
        column = _column(values)
        if isinstance(column, np.ndarray):
            _check_finite(column, where)
            if task == "regression" or (task is None and not is_classes(column, len(np.unique(column)))):
                return cls("regression", None, name)
            names = tuple(label(value) for value in np.unique(column).tolist())
            return cls("classification", _checked_names(names, what, len(column), ""), name)
        counts = count(column)
        verdict = judge(counts)
        classes = task == "classification" or (task is None and _are_classes(column, verdict, len(counts)))
        _check_present(column, MISSING_SIGNS if verdict.kind == "text" and not verdict.because else MISSING, where)
        if not classes or (task is None and _is_damaged(verdict)):
            return cls("regression", None, name, _style(column, verdict, where, what, comma))
        names = tuple(sorted(counts, key=_by_size if all(map(is_number, counts)) else None))
        return cls("classification", _checked_names(names, what, len(column), _why(verdict)), name)

    def encode(self, values: Values, where: Where, comma: bool | None = None) -> NDArray[Any]:
        """Class numbers, int64 and shape (m,); for regression float64 and shape (m,) or (m, outputs).

        Raises DataError for a class that was not there when the names were learned, for values that are no numbers, and
        for missing ones.
        """
        if self.names is None and isinstance(values, np.ndarray) and values.ndim == 2 and values.dtype.kind in "biuf":
            rows = values.astype(np.float64)
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if len(bad):
                raise DataError(f"{where(int(bad[0]))}: the target is not finite ({rows[bad[0]]}).")
            return rows
        column = _column(values)
        if isinstance(column, np.ndarray):
            _check_finite(column, where)
        else:
            _check_present(column, MISSING - set(self.names or ()), where)
        if self.names is None:
            return self._numbers(column, where, comma)
        codes, words = self._codes(column)
        if codes.min(initial=0) < 0:
            row = int(np.flatnonzero(codes < 0)[0])
            raise DataError(f"{where(row)}: {unknown_name('class', words[row], self.names)}")
        return codes

    def compare(self, values: Values, where: Where) -> tuple[NDArray[Any], NDArray[np.bool_], tuple[str, ...]]:
        """(targets of new data, which rows have one, what is odd about them): for scores, nothing is refused.

        The targets are as `encode` gives them, but -1 for a class that the training data did not have.
        """
        if self.names is None and isinstance(values, np.ndarray) and values.ndim == 2 and values.dtype.kind in "biuf":
            rows = values.astype(np.float64)
            finite = np.isfinite(rows.sum(axis=1))
            return rows, finite, ()
        column = _column(values)
        notes: list[str] = []
        if self.names is None:
            if isinstance(column, np.ndarray):
                numbers = column.astype(np.float64)
            else:
                try:
                    numbers = self._numbers(column, where, None, missing=True)
                except DataError as fault:
                    return np.zeros(len(column)), np.zeros(len(column), dtype=bool), (f"no score: {str(fault)[:-1]}",)
            return numbers, np.isfinite(numbers), ()
        codes, words = self._codes(column)
        present = np.array([word not in MISSING or word in self.names for word in words], dtype=bool)
        unseen = present & (codes < 0)
        if unseen.any():
            different = some(list(dict.fromkeys(word for word, new in zip(words, unseen, strict=True) if new)))
            many = int(unseen.sum())
            notes.append(
                f"{many:,} row{'' if many == 1 else 's'} of classes that the training data did not have ({different})"
            )
        return codes, present, tuple(notes)

    def _codes(self, column: list[str] | NDArray[Any]) -> tuple[NDArray[np.int64], list[str]]:
        """(the class number of each row, or -1; how each value prints)"""
        assert self.names is not None
        if isinstance(column, np.ndarray):
            different, which = np.unique(column, return_inverse=True)
            words = np.array([label(value) for value in different.tolist()], dtype=object)[which].tolist()
        else:
            words = column
        position = {name: code for code, name in enumerate(self.names)}
        code = {word: position.get(word, -1) for word in dict.fromkeys(words)}
        return np.fromiter(map(code.__getitem__, words), np.int64, len(words)), words

    def _numbers(
        self, column: list[str] | NDArray[Any], where: Where, comma: bool | None, missing: bool = False
    ) -> NDArray[np.float64]:
        if isinstance(column, np.ndarray):
            return column.astype(np.float64)
        counts = count(column)
        if all(cell in MISSING or fits(cell, self.style) for cell in counts):
            style = self.style
        else:
            style = _style(column, judge(counts), where, f"The target{f' {self.name!r}' if self.name else ''}", comma)
        numbers = as_numbers(column, style)
        bad = np.flatnonzero(np.isinf(numbers) if missing else ~np.isfinite(numbers))
        if len(bad):
            raise DataError(f"{where(int(bad[0]))}: the target is not finite ({column[int(bad[0])]!r}).")
        return numbers

    @property
    def doubts(self) -> tuple[str, ...]:
        """What may surprise about the classes' names: a few words each."""
        if self.names is None:
            return ()
        notes = [f"{some(words)} is read as the name of a class" for words in [self._missing_words()] if words]
        by_value: dict[Decimal, list[str]] = {}
        for name in self.names:
            if is_number(name):
                by_value.setdefault(Decimal(name), []).append(name)
        notes += [
            f"{some(alike)} are different classes, as they print" for alike in by_value.values() if len(alike) > 1
        ]
        return tuple(notes)

    def _missing_words(self) -> list[str]:
        return [name for name in self.names or () if name in MISSING_WORDS]

    def decode(self, codes: NDArray[Any]) -> list[str]:
        """The names of class numbers."""
        if self.names is None:
            raise DataError("A regression has no classes to name.")
        return [self.names[code] for code in codes]

    def to_dict(self) -> dict[str, Any]:
        """The encoder as JSON can hold it."""
        names = None if self.names is None else list(self.names)
        style = {} if self.style == PLAIN else {"style": asdict(self.style)}
        return {"task": self.task, "names": names, "name": self.name, **style}

    @classmethod
    def from_dict(cls, saved: object) -> TargetEncoder:
        """What `to_dict` wrote.  Raises DataError for anything else."""
        said = fields.part(_SAVED, saved, "a target")
        names = said["names"]
        if (said["task"] == "classification") != (names is not None):
            raise DataError(
                "This is not a target as chainrule saves it: only the classes of a classification have names."
            )
        if names is not None and len(set(names)) < len(names):
            raise DataError("This is not a target as chainrule saves it: two classes have the same name.")
        return cls(said["task"], names, said["name"], written(said["style"]))


_SAVED = Object(
    {
        "task": Text(TASKS, what="task"),
        "names": Maybe(Listed(Text(), 2)),
        "name": Maybe(Text()),
        "style": STYLE,
    },
    absent={"style": None},
)


def _column(values: Values) -> list[str] | NDArray[Any]:
    """The values as texts, or as an array of numbers or truth values (m,).  Raises DataError for anything else."""
    if not isinstance(values, np.ndarray):
        column: list[str] | NDArray[Any] = list(values)
    else:
        array = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
        if array.ndim != 1:
            raise DataError(expected("The targets", "one value a sample", f"shape {values.shape}"))
        if array.dtype.kind not in "biufU":
            raise DataError(expected("The targets", "numbers or texts", f"dtype {array.dtype}"))
        column = [cell.strip() for cell in array.tolist()] if array.dtype.kind == "U" else array
    if len(column) == 0:
        raise DataError("There are no targets: the data are empty.")
    return column


def _check_finite(column: NDArray[Any], where: Where) -> None:
    bad = np.flatnonzero(~np.isfinite(column))
    if len(bad):
        row = int(bad[0])
        raise DataError(_missing(where(row), str(column[row])))


def _check_present(cells: list[str], missing: frozenset[str], where: Where) -> None:
    row = next((row for row, cell in enumerate(cells) if cell in missing), None)
    if row is not None:
        raise DataError(_missing(where(row), cells[row]))


def _missing(where: str, cell: str) -> str:
    return f"{where}: the target is missing or not finite ({cell!r}). Leave such rows out of the data."


def is_classes(values: NDArray[Any], different: int) -> bool:
    """Whether numbers are classes: whole ones, and few."""
    if values.dtype.kind == "b":
        return True
    few = different <= 2 or (different <= FEW_CLASSES and different * SAMPLES_PER_CLASS <= len(values))
    return few and bool((values == np.floor(values)).all())


def _are_classes(cells: list[str], verdict: Verdict, different: int) -> bool:
    """Whether texts are classes: those that are no numbers, and few whole numbers."""
    if verdict.kind != "number":
        return True
    return any(is_classes(as_numbers(cells, style), different) for style in verdict.styles)


def _is_damaged(verdict: Verdict) -> bool:
    """Whether these are numbers to predict, but for cells that are none or are written otherwise."""
    return verdict.because == "ways" or (verdict.because == "mixed" and verdict.numbers > FEW_NUMBERS)


def _style(cells: list[str], verdict: Verdict, where: Where, what: str, comma: bool | None) -> Style:
    """How the numbers of a regression are written.  Raises DataError where they are none, or nobody could tell."""
    if verdict.because == "codes":
        return PLAIN
    if verdict.kind != "number":
        row = next((row for row, cell in enumerate(cells) if cell in set(verdict.others)), 0)
        alike = "" if verdict.because != "ways" else f", written as the others ({verdict.styles[0]})"
        what = what[0].lower() + what[1:]
        raise DataError(f"{where(row)}: {what} of a regression must be a number{alike}. Got {cells[row]!r} instead.")
    style = settle(verdict, comma)
    if style is None:
        row = next(row for row, cell in enumerate(cells) if "," in cell)
        raise DataError(
            f"{where(row)}: {cells[row]!r} may have a decimal comma or one between thousands, and the other targets "
            "fit both. Write numbers with a decimal point and nothing between thousands."
        )
    return style


def _by_size(name: str) -> tuple[float, str]:
    return float(name), name


def _checked_names(names: tuple[str, ...], what: str, rows: int, why: str) -> tuple[str, ...]:
    """The names of classes, if there are two or more, they repeat, and none is a whole story.  Raises DataError."""
    if len(names) < 2:
        raise DataError(f"{what} is {names[0]!r} in every row; there is nothing to tell apart.")
    if len(names) > MOST_CLASSES or (len(names) > FEW_CLASSES and 2 * len(names) > rows):
        raise DataError(
            f"{what} has {len(names)} different values in {rows} rows{why}; these are no classes. Choose another "
            "target, or task='regression' for numbers."
        )
    if (longest := max(map(len, names))) > LONGEST_NAME:
        raise DataError(
            f"{what} holds a text of {longest:,} characters, and a class's name has at most {LONGEST_NAME}."
        )
    return names


def _why(verdict: Verdict) -> str:
    if verdict.because == "dates":
        return ", which look like dates or times"
    if verdict.because == "codes":
        return ", codes rather than numbers"
    return ""
