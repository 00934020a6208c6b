"""What is to be predicted: classes or numbers, and which of the two a column of values is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from chainrule.data.table import is_missing
from chainrule.errors import DataError, expected, unknown_name

Task = Literal["classification", "regression"]
TASKS = ("classification", "regression")

# Whole numbers are classes when they are no more than this many and each occurs, on average, this often.
FEW_CLASSES = 20
SAMPLES_PER_CLASS = 5
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

    name: the target column's, if it has one.
    names: of the classes, in order: numbers by size, texts by alphabet; None for regression.
    """

    task: Task
    names: tuple[str, ...] | None = None
    name: str | None = None

    @classmethod
    def fit(cls, values: Values, where: Where, task: str | None = None, name: str | None = None) -> TargetEncoder:
        """Learn the task (unless given) and the names of the classes.

        values: texts, or an array of numbers, truth values or texts; shape (m,), or (m, outputs) for regression.
        where: says where the value of a row stands, for messages ("data.csv, line 7").
        A text is a class.  Whole numbers are classes when they are few (at most 20 different ones, each 5 times or
        more, or just two).  Everything else is a number to predict.
        Raises DataError for a missing or non-finite value, fewer than two classes, or more than can be learned.
        """
        check_task(task)
        array = _as_array(values)
        if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "biuf":
            if task == "classification":
                raise DataError(expected("The labels of a classification", "one a sample", array.shape))
            return cls("regression", None, name)
        numbers = _as_numbers(array)
        _check_present(array, numbers, where)
        if task == "regression" or (task is None and not _is_classes(array, numbers)):
            _check_numbers(array, numbers, where, name)
            return cls("regression", None, name)
        different = np.unique(array) if numbers is None else np.unique(numbers)
        names = tuple(dict.fromkeys(_label(value) for value in different))
        what = f"The target{f' {name!r}' if name else ''}"
        if len(names) < 2:
            raise DataError(f"{what} is {names[0]!r} in every row; there is nothing to tell apart.")
        if len(names) > MOST_CLASSES or (len(names) > FEW_CLASSES and 2 * len(names) > array.size):
            hint = "Choose another target, or task='regression' for numbers."
            raise DataError(
                f"{what} has {len(names)} different values in {array.size} rows; these are no classes. {hint}"
            )
        return cls("classification", names, name)

    def encode(self, values: Values, where: Where) -> NDArray[Any]:
        """Class numbers, int64 and shape (m,); for regression float64 and shape (m,) or (m, outputs).

        Raises DataError for a class that was not there when the names were learned, and for values that are no numbers.
        """
        array = _as_array(values)
        if self.names is None and array.ndim == 2 and array.dtype.kind in "biuf":
            rows = array.astype(np.float64)
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if len(bad):
                raise DataError(f"{where(int(bad[0]))}: the target is not finite ({rows[bad[0]]}).")
            return rows
        numbers = _as_numbers(array)
        _check_present(array, numbers, where)
        if self.names is None:
            return _check_numbers(array, numbers, where, self.name)
        different, which = np.unique(array if numbers is None else numbers, return_inverse=True)
        position = {label: code for code, label in enumerate(self.names)}
        codes = np.array([position.get(_label(value), -1) for value in different], dtype=np.int64)[which.reshape(-1)]
        if codes.min(initial=0) < 0:
            row = int(np.flatnonzero(codes < 0)[0])
            raise DataError(f"{where(row)}: {unknown_name('class', _label(array[row]), self.names)}")
        return codes

    def decode(self, codes: NDArray[Any]) -> list[str]:
        """The names of class numbers."""
        if self.names is None:
            raise DataError("A regression has no classes to name.")
        return [self.names[code] for code in codes]

    def to_dict(self) -> dict[str, Any]:
        """The encoder as JSON can hold it."""
        return {"task": self.task, "names": None if self.names is None else list(self.names), "name": self.name}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> TargetEncoder:
        """What `to_dict` wrote.  Raises DataError for anything else."""
        try:
            task, names, name = saved["task"], saved["names"], saved["name"]
        except (KeyError, TypeError) as error:
            raise DataError(f"This is not a target as chainrule saves it ({error!r}).") from None
        if task not in TASKS or (task == "classification") != isinstance(names, list):
            raise DataError("This is not a target as chainrule saves it.")
        return cls(cast(Task, task), None if names is None else tuple(names), name)


def _as_array(values: Values) -> NDArray[Any]:
    if not isinstance(values, np.ndarray) and max(map(len, values), default=0) > LONGEST_NAME:
        raise DataError(f"The target holds texts of more than {LONGEST_NAME} characters; these are no classes.")
    array = values if isinstance(values, np.ndarray) else np.array(values, dtype=np.str_)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.dtype.kind not in "biuf"):
        raise DataError(expected("The targets", "one value a sample", f"shape {array.shape}"))
    if array.dtype.kind not in "biufU":
        raise DataError(expected("The targets", "numbers or texts", f"dtype {array.dtype}"))
    if array.size == 0:
        raise DataError("There are no targets: the data are empty.")
    return array


def _as_numbers(array: NDArray[Any]) -> NDArray[np.float64] | None:
    """The values as numbers if all of them are, else None."""
    if array.dtype.kind == "U":
        try:
            return array.astype(np.float64)
        except ValueError:
            return None
    return array.astype(np.float64)


def _check_present(array: NDArray[Any], numbers: NDArray[np.float64] | None, where: Where) -> None:
    absent = np.array([is_missing(value) for value in array.tolist()]) if numbers is None else ~np.isfinite(numbers)
    if absent.any():
        row = int(np.flatnonzero(absent)[0])
        raise DataError(
            f"{where(row)}: the target is missing or not finite ({str(array[row])!r}). Leave such rows out of the file."
        )


def _check_numbers(
    array: NDArray[Any], numbers: NDArray[np.float64] | None, where: Where, name: str | None
) -> NDArray[np.float64]:
    if numbers is not None:
        return numbers
    for row, value in enumerate(array.tolist()):
        try:
            float(value)
        except ValueError:
            what = f"the target {name!r}" if name else "the target"
            raise DataError(f"{where(row)}: {what} of a regression must be a number. Got {value!r} instead.") from None
    raise AssertionError("every value is a number, and yet not all of them together are")


def _is_classes(array: NDArray[Any], numbers: NDArray[np.float64] | None) -> bool:
    if numbers is None or array.dtype.kind == "b":
        return True
    different = len(np.unique(numbers))
    few = different <= 2 or (different <= FEW_CLASSES and different * SAMPLES_PER_CLASS <= numbers.size)
    return few and bool((numbers == np.floor(numbers)).all())


def _label(value: Any) -> str:
    """One spelling for one class: 1, 1.0 and "1.0" are all "1"."""
    try:
        number = float(value)
    except ValueError:
        return str(value)
    return str(int(number)) if number.is_integer() else repr(number)
