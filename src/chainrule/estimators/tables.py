"""Data frames for the estimators: one with texts or missing values becomes a matrix."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils.validation import validate_data

from chainrule import frames
from chainrule.data.columns import Survey, judge_columns
from chainrule.data.encode import TableEncoder
from chainrule.data.standardize import Standardizer
from chainrule.data.table import frame_table
from chainrule.errors import DataError, DataWarning, shown


class TableInput:
    """The part of the estimators that knows frames.

    encoder_, standardizer_: how a frame that is not numbers alone becomes X; only where one was fitted to.
    """

    encoder_: TableEncoder
    standardizer_: Standardizer

    def _from_frame(self, X: Any, *, reset: bool = False) -> Any:
        """X as it is, or the matrix of a frame with texts or gaps: one-hot, medians, indicators, numbers standardised.

        reset: learn that from this frame.  Where it was learned, columns are matched by name, and what differs from the
        frame that was fitted to is a DataWarning.
        Raises DataError for what is neither numbers nor categories, and as `TableEncoder`.
        """
        state = vars(self)
        if reset:
            state.pop("encoder_", None)
            state.pop("standardizer_", None)
        if "encoder_" not in state:
            if not (type(X) is not np.ndarray and frames.is_frame(X)):
                return X
            texts, gaps = _contents(X)
            try:
                if not reset:
                    if texts:
                        frames.matrix(X)  # says which column is none of numbers
                    return X
                return self._learn(X) if texts or gaps else X
            except DataError as fault:
                raise DataError(f"{fault} {_of_tables(self)}") from None
        if not frames.is_frame(X):
            raise DataError(
                f"X must be a data frame, as {type(self).__name__} was fitted to one with texts or missing values. Got "
                f"{type(X).__name__} instead."
            )
        table = frame_table(X)
        columns, notes = self.encoder_.read(table)
        if notes:
            warnings.warn(f"X: {'; '.join(notes)}.", DataWarning, stacklevel=4)
        return self.standardizer_.transform(self.encoder_.matrix(columns))

    def _learn(self, X: Any) -> NDArray[np.float64]:
        table = frame_table(X)
        columns = judge_columns(Survey(table))
        if columns.notes:
            warnings.warn(f"X: {'; '.join(columns.notes)}.", DataWarning, stacklevel=5)
        self.encoder_ = TableEncoder.fit(columns)
        matrix = self.encoder_.matrix(columns)
        self.standardizer_ = Standardizer.fit(matrix, self.encoder_.measured)
        return self.standardizer_.transform(matrix)


def validated(estimator: BaseEstimator, X: Any, *targets: Any, **options: Any) -> Any:
    """What scikit-learn's validate_data gives; of texts and gaps it says who takes them.  Raises ValueError as it."""
    try:
        return validate_data(estimator, X, *targets, **options)
    except ValueError as fault:
        said = str(fault)
        texts = "could not convert string" in said and np.asarray(X).dtype.kind in "OUST"
        if not texts and not said.startswith("Input X contains NaN"):
            raise
        raise DataError(f"{said}\n{_of_tables(estimator)}") from None


def _of_tables(estimator: object) -> str:
    """Who takes what this estimator does not."""
    tables = "TabularClassifier" if is_classifier(estimator) else "TabularRegressor"
    return (
        f"{type(estimator).__name__} is for numbers without gaps; chainrule's {tables} takes texts, dates and missing "
        "values as they are."
    )


def _contents(X: Any) -> tuple[bool, bool]:
    """(whether a column of a frame is not of numbers, whether a number is missing)"""
    texts = gaps = False
    for position in range(len(X.columns)):
        cells = frames.column(X, position)
        if isinstance(cells, np.ndarray):
            gaps = gaps or (cells.dtype.kind == "f" and bool(np.isnan(cells).any()))
        else:
            texts = texts or not all(isinstance(cell, bool | np.bool_) for cell in cells)
    return texts, gaps


def target_cells(y: Any) -> Any:
    """y as scikit-learn takes it: of a Series of a kind that NumPy has not, the array.

    Raises DataError where some of y is missing, neither texts nor numbers, or some of it one and some the other.
    """
    array: NDArray[Any] | None
    if isinstance(y, list | tuple):
        if all(isinstance(cell, int | float | np.number | np.bool_) for cell in y):
            _check_size(y)
            return y
        if any(map(np.ndim, y)):
            return y
        array = np.fromiter(y, dtype=object, count=len(y))
    elif isinstance(y, np.ndarray):
        array = y if y.dtype.kind in "OmM" else None
    else:
        array = np.asarray(y, dtype=object) if hasattr(y, "to_numpy") and hasattr(y, "dtype") else None
    if array is None or array.ndim != 1:
        return y
    try:
        cells = frames.cells(y if hasattr(y, "to_numpy") else array)
    except DataError as fault:
        raise DataError(f"y {fault}. Write such numbers as texts.") from None
    if isinstance(cells, np.ndarray):
        return cells
    if None in cells:
        raise DataError(f"y has no value in row {cells.index(None)}. Leave such rows out.")
    texts = [isinstance(cell, str) for cell in cells]
    if all(texts) or all(isinstance(cell, bool | np.bool_) for cell in cells):
        return np.array(cells, dtype=object if any(texts) else None)
    row = texts.index(False)
    beside = f" beside texts ({cells[texts.index(True)]!r})" if any(texts) else ""
    raise DataError(f"y must hold texts or numbers. Got {shown(cells[row])} in row {row}{beside}.")


def _check_size(y: Sequence[Any]) -> None:
    """Raises DataError for a whole number that no float is: it cannot be compared with one."""
    for row, cell in enumerate(y):
        if isinstance(cell, int) and abs(cell) > sys.float_info.max:
            raise DataError(
                f"y must hold numbers up to {sys.float_info.max:.0e}, or texts. Got {shown(cell)} in row {row}."
            )
