"""Targets as estimators are handed them: numbers of one column or several, classes of one; each fault with its row."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from chainrule.data.columns import joined
from chainrule.errors import DataError, expected, shorten, shown
from chainrule.estimators.tables import target_cells
from chainrule.tabular.frame import has_columns, read_frame

Array = NDArray[Any]


def numbers_of(y: Any, m: int) -> Array:
    """Finite numbers of m rows: (m,) as they came in one column without a name, else (m, targets).

    y: a series, an array, a list, or a data frame with a column for each target.
    Raises DataError, which names the first row (and the columns) without such a number.
    """
    _check_is_one(y)
    values = _of_frame(y) if has_columns(y) else _of_array(target_cells(y))
    if values.ndim > 2 or not values.shape or not values.size:
        raise DataError(expected("y", "numbers, (samples,) or (samples, targets)", f"an array {values.shape}"))
    if len(values) != m:
        raise DataError(f"X has {m} rows, but y has {len(values)}.")
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row = int(wrong[0][0])
        place = f"row {row}" + (f", column {int(wrong[0][1])}" if values.ndim == 2 else "")
        if np.isnan(values[tuple(wrong[0])]):
            raise DataError(f"Input y contains NaN: there is no value in {place}. Leave such rows out.")
        raise DataError(f"Input y contains infinity or a value too large for {values.dtype!r}: in {place}.")
    return values


def classes_of(y: Any, m: int) -> Array:
    """The classes of m rows, (m,), as they are: texts, numbers or truth values.

    Raises DataError for rows without one, for several columns, and for numbers that are no classes.
    """
    _check_is_one(y)
    y = target_cells(y)
    if hasattr(y, "__array__") and not hasattr(y, "shape"):
        y = np.asarray(y)  # what only turns into an array may refuse NumPy's functions
    columns = np.shape(y)[1] if len(np.shape(y)) == 2 else 1
    if columns > 1:
        raise DataError(
            f"y must be one column of classes. Got {columns} columns; fit one classifier for each, as "
            "sklearn.multioutput.MultiOutputClassifier does."
        )
    values = np.asarray(y) if len(np.shape(y)) == 1 else np.empty(0)
    if values.dtype.kind == "f" and len(rows := np.flatnonzero(~np.isfinite(values))):
        what = "NaN" if np.isnan(values[rows[0]]) else f"infinity or a value too large for {values.dtype!r}"
        raise DataError(f"Input y contains {what}: in row {rows[0]}. Leave such rows out.")
    try:
        with np.errstate(invalid="ignore"):  # of numbers beyond whole ones
            check_classification_targets(y)
        classes = np.asarray(column_or_1d(y, warn=True))
    except ValueError as fault:
        raise DataError(f"{fault}{' TabularRegressor predicts numbers.' * (values.dtype.kind == 'f')}") from None
    if len(classes) != m:
        raise DataError(f"X has {m} rows, but y has {len(classes)}.")
    return classes


def _check_is_one(y: Any) -> None:
    """Raises DataError for what is no column at all."""
    if isinstance(y, str | bytes | Set) or not (hasattr(y, "__len__") or hasattr(y, "__array__")):
        raise DataError(expected("y", "a value for each row: a column, an array or a list", y))


def _of_frame(y: Any) -> Array:
    """A column for each target."""
    frame = read_frame(y, "y")
    columns, faults = [], []
    for name in frame.names:
        try:
            if frame.kind(name) in ("text", "time") and not frame.is_truth(name):
                faults.append(f"The column {name!r} holds {frame.first(name)}, which is no number.")
                continue
            columns.append(frame.numbers(name))
        except DataError as fault:
            faults.append(str(fault).rstrip(".") + ".")
            continue
        if len(rows := np.flatnonzero(np.isnan(columns[-1]))):
            faults.append(f"The column {name!r} has no value in {frame.place(int(rows[0]))}.")
    if faults:
        raise DataError(shorten(f"y: {joined(faults)}"))
    return np.stack(columns, axis=1)


def _of_array(y: Any) -> Array:
    """Numbers, and texts that are some."""
    array = np.asarray(y)
    if array.dtype.kind in "iufb":
        return array.astype(np.float64)
    for place, cell in np.ndenumerate(array):
        try:
            float(cell)
        except (TypeError, ValueError, OverflowError):
            what = " TabularClassifier predicts classes." if isinstance(cell, str) else ""
            raise DataError(
                f"y must hold numbers. Got {shown(cell)} in row {place[0] if place else 0}.{what}"
            ) from None
    return np.asarray(array.astype(np.float64))
