"""Samples for the engines: rows contiguous in the network's dtype; sparse ones made dense a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from chainrule.engines.pinned import pinned

Array = NDArray[Any]

WHOLE = 2**28
"""Bytes up to which sparse samples are made dense once and for all."""
PART = 2**26
"""Bytes of dense rows at a time beyond that."""


class Samples:
    """X (m, n), dense or sparse, as dense rows.

    parts(order, batch_size): pieces of an epoch, each some whole batches; a single one where X is dense or small.
    """

    def __init__(self, X: Any, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.shape: tuple[int, int] = X.shape
        self._sparse: Any = None
        self.dense: Array | None = None
        if sparse.issparse(X):
            if self._bytes(self.shape[0]) <= WHOLE:
                self.dense = np.ascontiguousarray(X.astype(dtype, copy=False).toarray(), dtype)
            else:
                self._sparse = X.tocsr()
        else:
            self.dense = pinned(np.ascontiguousarray(X, dtype))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def content(self) -> dict[str, Array]:
        """The arrays that hold the samples, to know them again by."""
        if self.dense is not None:
            return {"X": self.dense}
        return {"values": self._sparse.data, "columns": self._sparse.indices, "rows": self._sparse.indptr}

    def rows(self, index: Any = slice(None)) -> Array:
        """These rows, dense."""
        if self.dense is not None:
            rows: Array = self.dense[index]
            return rows
        return np.ascontiguousarray(self._sparse[index].astype(self.dtype).toarray(), self.dtype)

    def parts(
        self, order: NDArray[np.int64], batch_size: int
    ) -> Iterator[tuple[Array, NDArray[np.int64] | None, NDArray[np.int64]]]:
        """(rows, which samples they are: None for all, the order within the rows), piece by piece of the epoch."""
        if self.dense is not None:
            yield self.dense, None, order
            return
        most = self.most(batch_size)
        for start in range(0, max(1, len(order) - 1), most):
            chosen = order[start : start + most] if len(order) - start - most > 1 else order[start:]
            yield self.rows(chosen), chosen, np.arange(len(chosen), dtype=np.int64)

    def chunks(self) -> Iterator[tuple[slice, Array]]:
        """Consecutive rows; all at once where they are dense already."""
        if self.dense is not None:
            yield slice(0, len(self)), self.dense
            return
        most = self.most(1)
        for start in range(0, len(self), most):
            piece = slice(start, min(start + most, len(self)))
            yield piece, self.rows(piece)

    def most(self, batch_size: int) -> int:
        """Rows of a part: whole batches."""
        return max(1, PART // max(1, self._bytes(batch_size))) * batch_size

    def _bytes(self, rows: int) -> int:
        return rows * self.shape[1] * self.dtype.itemsize
