"""Standardising: every column to mean 0 and standard deviation 1, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import frames
from chainrule.errors import DataError, expected
from chainrule.files import fields
from chainrule.files.fields import Listed, Maybe, Number, Object, Text

# A column whose spread is this small beside its mean differs by rounding alone; dividing by it would make noise large.
_RELATIVE_SPREAD = 1e-12


@dataclass(frozen=True, eq=False)
class Standardizer:
    """(x - mean) / scale, column by column; learned from training data, applied to any."""

    mean: NDArray[np.float64]
    """(n,)."""
    scale: NDArray[np.float64]
    """(n,) the standard deviation (of the population, 1/m); 1 where a column is constant."""
    names: tuple[str, ...] | None = None
    """Of the columns, where they were learned from a data frame: frames are matched by them."""

    @classmethod
    def fit(cls, X: ArrayLike, columns: ArrayLike | None = None) -> Standardizer:
        """Learn from X, shape (m, n).

        columns: shape (n,), truth values; where false, the column stays as it is (one-hot columns, say).
        Raises DataError unless X is a finite matrix with at least one row, whose squares can be summed.
        """
        names = frames.names(X)
        rows = _matrix(X, names)
        if len(rows) == 0:
            raise DataError("The data to standardise by has no rows.")
        with np.errstate(over="ignore", invalid="ignore"):
            mean = rows.mean(axis=0)
            scale = rows.std(axis=0)
        if len(wild := np.flatnonzero(~np.isfinite(scale))):
            largest = np.abs(rows[:, wild[0]]).max()
            raise DataError(f"Column {wild[0]} cannot be standardised: its numbers go up to {largest:g}.")
        scale[scale <= _RELATIVE_SPREAD * np.abs(mean)] = 1.0
        if columns is not None:
            chosen = np.asarray(columns, dtype=bool)
            if chosen.shape != mean.shape:
                raise DataError(expected("'columns'", f"a truth value for each of {len(mean)} columns", chosen.shape))
            mean[~chosen] = 0.0
            scale[~chosen] = 1.0
        return cls(mean, scale, names)

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """(X - mean) / scale; shape (m, n).  Raises DataError for another width or a value that is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            standard = (self._checked(X) - self.mean) / self.scale
        check_finite(standard, "The standardised data")
        return standard

    def inverse(self, X: ArrayLike) -> NDArray[np.float64]:
        """X · scale + mean: back to the data's own units; shape (m, n)."""
        return self._checked(X) * self.scale + self.mean

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON can hold them."""
        names = {} if self.names is None else {"names": list(self.names)}
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist(), **names}

    @classmethod
    def from_dict(cls, saved: object) -> Standardizer:
        """What `to_dict` wrote.  Raises DataError for anything else."""
        said = fields.part(_SAVED, saved, "a standardizer")
        mean, scale = (np.array(said[name], dtype=np.float64) for name in ("mean", "scale"))
        if mean.shape != scale.shape:
            raise DataError(
                f"This is not a standardizer as chainrule saves it: {len(mean)} means, but {len(scale)} scales."
            )
        if said["names"] is not None and len(set(said["names"])) != len(mean):
            raise DataError(f"This is not a standardizer as chainrule saves it: {len(mean)} columns need a name each.")
        return cls(mean, scale, said["names"])

    def _checked(self, X: ArrayLike) -> NDArray[np.float64]:
        rows = _matrix(X, self.names)
        if rows.shape[1] != len(self.mean):
            raise DataError(expected("The data to standardise", f"{len(self.mean)} columns wide", rows.shape[1]))
        return rows


_SAVED = Object(
    {"mean": Listed(Number(), 1), "scale": Listed(Number(above=0), 1), "names": Maybe(Listed(Text(), 1))},
    absent={"names": None},
)


def _matrix(X: ArrayLike, names: tuple[str, ...] | None) -> NDArray[np.float64]:
    if frames.is_frame(X):
        X = frames.matrix(X, names)
    try:
        rows = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(expected("The data to standardise", "numbers", type(X).__name__)) from None
    if rows.ndim != 2:
        raise DataError(expected("The data to standardise", "a matrix (samples, columns)", rows.shape))
    check_finite(rows, "The data to standardise")
    return rows


def check_finite(values: NDArray[Any], what: str) -> None:
    """Raise DataError naming the first value that is NaN or infinite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        at = ", ".join(str(i) for i in place)
        raise DataError(f"{what} must be finite. Got {values[place]} at [{at}] instead.")
