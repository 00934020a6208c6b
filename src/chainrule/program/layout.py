"""ParameterLayout: where each stored symbol lies in one flat buffer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from chainrule.program.symbol import Symbol

ALIGNMENT = 64
"""Bytes; one cache line, and the widest vector."""


@dataclass(frozen=True)
class Extent:
    """Where an array lies; its rows are contiguous."""

    offset: int
    """In elements."""
    shape: tuple[int, ...]
    """As the symbol's."""

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class ParameterLayout:
    """Where arrays lie in one flat buffer; each starts on a cache line, rows are contiguous."""

    extents: Mapping[str, Extent]
    """By name."""
    size: int
    """Of the buffer, in elements."""

    @classmethod
    def of(cls, symbols: Iterable[Symbol], itemsize: int) -> ParameterLayout:
        """The symbols in their order, each aligned."""
        unit = ALIGNMENT // itemsize
        extents: dict[str, Extent] = {}
        offset = 0
        for symbol in symbols:
            shape = tuple(int(d) for d in symbol.shape)
            extents[symbol.name] = Extent(offset, shape)
            offset += -(-extents[symbol.name].size // unit) * unit
        return cls(extents, offset)

    def allocate(self, dtype: DTypeLike) -> NDArray[np.floating]:
        """A zeroed flat buffer of this layout, aligned to a cache line."""
        return aligned_zeros(self.size, dtype)

    def views(self, buffer: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
        """A writable view of each array by name."""
        return {name: buffer[s.offset : s.offset + s.size].reshape(s.shape) for name, s in self.extents.items()}

    def places(
        self, rows: Mapping[str, NDArray[np.int64]]
    ) -> tuple[NDArray[np.int64], dict[str, tuple[slice, tuple[int, ...]]]]:
        """(where in the buffer the elements of all arrays lie, of some only of these rows; of each its part of that
        and the part's shape)."""
        places, parts, end = [], {}, 0
        for name, extent in self.extents.items():
            if name in rows:
                _, columns = extent.shape
                shape: tuple[int, ...] = (len(rows[name]), columns)
                here = (extent.offset + columns * rows[name][:, None] + np.arange(columns)).reshape(-1)
            else:
                shape, here = extent.shape, np.arange(extent.offset, extent.offset + extent.size)
            places.append(here)
            parts[name] = slice(end, end + len(here)), shape
            end += len(here)
        return np.concatenate(places), parts


def aligned_zeros(size: int, dtype: DTypeLike) -> NDArray[np.floating]:
    """A flat array of zeros that starts on a cache line; a line past its end may be read as well."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(size + 2 * ALIGNMENT // itemsize, dtype)
    start = (-raw.ctypes.data % ALIGNMENT) // itemsize
    return raw[start : start + size]
