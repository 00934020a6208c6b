"""The rows that a cluster holds: partitions of X, y and weights side by side, where they are, and whose they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import dask
import dask.array
import numpy as np

from chainrule.dask.cluster import faults_of, wait
from chainrule.errors import DataError, expected, unknown_name

_SAME = "X and y (and sample_weight) must have partitions of the same rows."


class Piece(NamedTuple):
    """The rows of a partition, in memory: arrays, or pandas' frames and series."""

    X: Any
    y: Any
    w: Any


@dataclass(frozen=True)
class Pieces:
    """All partitions that have rows, computed, in their order."""

    futures: tuple[Any, ...]
    """Of a `Piece` each."""
    rows: tuple[int, ...]
    """How many each has."""
    where: dict[str, float]
    """Of each worker that holds some the mean of their numbers."""

    @property
    def total(self) -> int:
        """Rows of all."""
        return sum(self.rows)

    def order(self, addresses: Sequence[str]) -> list[str]:
        """Workers, those first who hold the first partitions, so that few of them move; those who hold none last."""
        return sorted(addresses, key=lambda address: (self.where.get(address, float("inf")), address))

    def of_each(self, size: int) -> list[list[Any]]:
        """The partitions of each of so many workers: neighbours, one at least, about as many rows as the others'."""
        owned: list[list[Any]] = []
        first = passed = 0
        for rank in range(size):
            end = first + 1
            passed += self.rows[first]
            last = len(self.rows) - (size - rank - 1)
            while end < last and (passed + self.rows[end] / 2) * size <= self.total * (rank + 1):
                passed += self.rows[end]
                end += 1
            end = last if rank == size - 1 else end
            owned.append(list(self.futures[first:end]))
            first = end
        return owned


def pieces(client: Any, X: Any, y: Any, sample_weight: Any) -> Pieces:
    """The partitions, computed where the cluster has them or will.

    y: a collection like X, or of a data frame the names of its columns.  Raises DataError for what are no partitions of
    the same rows, and what computing them raises.
    """
    if y is None:
        raise DataError("There are no targets: name their column, or give y.")
    X, y = named_apart(X, y)
    columns = [_partitions(one, name) for one, name in ((X, "X"), (y, "y"), (sample_weight, "sample_weight"))]
    if len({len(parts) for parts in columns if parts}) > 1:
        counts = ", ".join(str(len(parts)) for parts in columns if parts)
        raise DataError(f"{_SAME} Got {counts} partitions: rechunk the arrays, or repartition the frames, alike.")
    nothing = [None] * len(columns[0])
    delayed = dask.delayed(_piece)
    each = [delayed(k, *parts) for k, parts in enumerate(zip(*(c or nothing for c in columns), strict=True))]
    futures = client.compute(each)
    counts = client.map(_rows, futures, pure=False)
    wait(client, counts, None)
    for fault in faults_of(counts):
        raise fault
    rows = client.gather(counts)
    if not sum(rows):
        raise DataError("X has no rows: at least one sample is needed.")
    full = [(future, n) for future, n in zip(futures, rows, strict=True) if n]
    placed: dict[str, list[int]] = {}
    held = client.who_has([future for future, _ in full])
    for number, (future, _) in enumerate(full):
        for address in held.get(future.key, ()):
            placed.setdefault(address, []).append(number)
    where = {address: float(np.mean(numbers)) for address, numbers in placed.items()}
    return Pieces(tuple(future for future, _ in full), tuple(n for _, n in full), where)


def named_apart(X: Any, y: Any) -> tuple[Any, Any]:
    """(X, y), where y is the name of a column of X, or a list of names, the others and these.  Raises DataError."""
    names = [y] if isinstance(y, str) else y
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        return X, y
    if not is_frame(X):
        raise DataError(f"y names columns, and X is no Dask data frame. Got {type(X).__name__}.")
    for name in names:
        if name not in X.columns:
            raise DataError(f"y: {unknown_name('column', name, map(str, X.columns))}")
    return X[[name for name in X.columns if name not in names]], X[y if isinstance(y, str) else list(names)]


def is_frame(given: Any) -> bool:
    """Whether it is a Dask data frame or series."""
    return dask.is_dask_collection(given) and hasattr(given, "to_delayed") and hasattr(given, "map_partitions")


def _partitions(given: Any, name: str) -> list[Any]:
    """Its partitions, to be computed; none of what is not given."""
    if given is None:
        return []
    if isinstance(given, dask.array.Array):
        if given.dtype.kind == "O" and name != "y":
            raise DataError(
                f"{name} must be a Dask array of numbers. Got one of objects: a data frame may hold texts and gaps."
            )
        if given.ndim not in (1, 2) or (name == "X" and given.ndim == 1):
            raise DataError(expected(name, "(samples, features)" if name == "X" else "(samples,)", given.shape))
        whole = given.rechunk({1: -1}) if given.ndim == 2 else given
        return list(whole.to_delayed().reshape(-1))
    if is_frame(given) and (name != "X" or given.ndim == 2):
        # As it is: of a file that is read, Dask puts several partitions into one where few of its columns are wanted.
        return list(given.to_delayed(optimize_graph=False))
    kinds = "a Dask array or data frame" if name == "X" else "a Dask array, data frame or series"
    raise DataError(expected(name, kinds, type(given)))


# --- what workers do --------------------------------------------------------------------------------------------------


def _piece(number: int, X: Any, y: Any, w: Any) -> Piece:
    """Raises DataError where they are not as long as each other."""
    if len({len(each) for each in (X, y, w) if each is not None}) > 1:
        counts = ", ".join(str(len(each)) for each in (X, y, w) if each is not None)
        raise DataError(f"{_SAME} Got {counts} rows in partition {number}.")
    return Piece(X, y, w)


def _rows(piece: Piece) -> int:
    return len(piece.X)


def joined(parts: Sequence[Any]) -> Any:
    """The rows of some partitions, one after the other; None of what is not given."""
    if not parts or parts[0] is None:
        return None
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import pandas

    whole = pandas.concat(list(parts))
    return whole.to_numpy() if whole.ndim == 1 else whole


def columns_of(own: Sequence[Piece], of: Callable[[Sequence[Any]], Any] = joined) -> tuple[Any, Any, Any]:
    """(X, y, weights) of some pieces, each joined."""
    X, y, w = (of([piece[k] for piece in own]) for k in range(3))
    return X, y, w
