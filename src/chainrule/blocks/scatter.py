"""Where each row goes when data are laid out: into blocks that are random samples of all rows, in one pass.

A row's block is drawn without replacement from the places that are left, so that every way of dividing the rows among
the blocks is equally likely; data sorted by their labels lie as data in any other order.  What is drawn depends on the
number of rows and on how many are dealt at a time, never on how they came.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
MOST = 1_000_000_000
"""Rows that NumPy draws from without replacement; of more, blocks are drawn with it, as long as they have room."""


class Scatter:
    """Deals rows out to the blocks."""

    def __init__(self, rows: int, block: int) -> None:
        self.random = np.random.default_rng((rows, block))
        first = np.arange(0, rows, block, dtype=np.int64)
        self.next = first
        """The place on the disk of the next row of each block."""
        self.left = np.minimum(block, rows - first)
        """Rows that each block still takes."""

    def deal(self, count: int) -> tuple[Numbers, list[tuple[int, int, int]]]:
        """(an order of the next `count` rows, pieces of it: begin, end, the place on the disk of the first)."""
        counts = self._counts(count)
        order = self.random.permutation(count)
        pieces = list(self._pieces(counts))
        self.next = self.next + counts
        self.left = self.left - counts
        return order, pieces

    def _pieces(self, counts: Numbers) -> Iterator[tuple[int, int, int]]:
        begin = 0
        for block in np.flatnonzero(counts):
            end = begin + int(counts[block])
            yield begin, end, int(self.next[block])
            begin = end

    def _counts(self, count: int) -> Numbers:
        """How many of the next rows each block gets."""
        if self.left.sum() < MOST:
            return self.random.multivariate_hypergeometric(self.left, count, method="marginals").astype(np.int64)
        counts = np.zeros_like(self.left)
        while missing := count - int(counts.sum()):
            room = self.left - counts
            counts += np.minimum(self.random.multinomial(missing, room / room.sum()), room)
        return counts
