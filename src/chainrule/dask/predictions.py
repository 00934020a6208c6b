"""Predictions that are made where the rows are, when somebody asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import dask
import dask.array
import numpy as np
from numpy.typing import NDArray

from chainrule.dask.rows import is_frame
from chainrule.data.columns import some
from chainrule.errors import DataError, expected

Array = NDArray[Any]


class Kind(NamedTuple):
    """What a prediction of some rows is."""

    dtype: np.dtype[Any]
    """Of its numbers or classes."""
    columns: Sequence[str] | None = None
    """The names of its columns; None of a single value for each row."""

    def of_arrays(self, rows: Any) -> dict[str, Any]:
        """How Dask is told of an array with these chunks of rows."""
        if self.columns is None:
            return {"drop_axis": 1, "dtype": self.dtype, "meta": np.empty(0, self.dtype)}
        meta = np.empty((0, 0), self.dtype)
        return {"chunks": (rows, (len(self.columns),)), "dtype": self.dtype, "meta": meta}

    def as_pandas(self, values: Array, index: Any) -> Any:
        """A series or a data frame."""
        import pandas

        if self.columns is None:
            return pandas.Series(values, index=index, name="prediction", dtype=self._cells())
        return pandas.DataFrame(values, index=index, columns=list(self.columns)).astype(self._cells())

    def empty(self) -> Array:
        """Of no rows."""
        return np.empty(0 if self.columns is None else (0, len(self.columns)), self.dtype)

    def _cells(self) -> Any:
        """Of texts pandas chooses the dtype itself, and by those that are there: of none it takes another."""
        return object if self.dtype.kind in "OUS" else self.dtype


def lazily(local: Any, method: str, X: Any, kind: Kind) -> Any:
    """What a fitted estimator's method gives of X: a Dask array of an array, a series or data frame of a frame.

    The estimator is in the graph once.  Raises DataError for columns that do not fit, and what is no Dask collection.
    """
    check_columns(local, X)
    once = dask.delayed(local, traverse=False)
    if isinstance(X, dask.array.Array):
        whole = X.rechunk({1: -1})
        told = kind.of_arrays(whole.chunks[0])
        return dask.array.map_blocks(_of_block, whole, local=once, method=method, kind=kind, **told)
    nothing = _index(X)
    return X.map_partitions(_of_part, once, method, kind, meta=kind.as_pandas(kind.empty(), nothing))


def check_columns(local: Any, X: Any) -> None:
    """Raises DataError where X has not the columns that an estimator was fitted to, or is no Dask collection."""
    wanted = getattr(local, "feature_names_in_", None)
    if isinstance(X, dask.array.Array):
        if X.ndim != 2 or X.shape[1] != local.n_features_in_:
            raise DataError(expected("X", f"an array (samples, {local.n_features_in_})", X.shape))
        return
    if not is_frame(X) or not hasattr(X, "columns"):
        raise DataError(expected("X", "a Dask array or data frame", type(X)))
    if wanted is None:
        if len(X.columns) != local.n_features_in_:
            raise DataError(expected("X", f"a table of {local.n_features_in_} columns", len(X.columns)))
        return
    there = [str(name) for name in X.columns]
    needed = [c.name for c in local.preparation_.columns] if hasattr(local, "preparation_") else list(wanted)
    if absent := [name for name in needed if name not in there]:
        raise DataError(
            f"X lacks the column{'s' if len(absent) > 1 else ''} {some(absent)} of the data that were fitted. There "
            f"are: {some(there)}."
        )


def _index(X: Any) -> Any:
    return X._meta.index


# --- what workers do --------------------------------------------------------------------------------------------------


def _of_block(X: Array, *, local: Any, method: str, kind: Kind) -> Array:
    return np.asarray(getattr(local, method)(X), kind.dtype) if len(X) else kind.empty()


def _of_part(X: Any, local: Any, method: str, kind: Kind) -> Any:
    """Of what is fitted to named columns these alone."""
    names = getattr(local, "feature_names_in_", None)
    if names is not None and not hasattr(local, "preparation_"):
        X = X[list(names)]
    return kind.as_pandas(np.asarray(getattr(local, method)(X)) if len(X) else kind.empty(), X.index)
