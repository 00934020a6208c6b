"""In which order rows on the disk are trained on: a function of (seed, epoch, step), whatever came before.

Rows lie in blocks, block k having the rows k R, ..., (k + 1) R - 1.  An epoch permutes the blocks, cuts them into
windows of some blocks each, and permutes the rows of each window; its sequence is the windows' rows one after the
other, and batch s the rows s B, ..., (s + 1) B - 1 of that sequence.  So a window is all that must be in memory at a
time, and any step of any epoch can be found without going through those before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class BlockOrder:
    """The order of the rows in each epoch."""

    seeds: tuple[int, int]
    """Of the network, and the number of the fit."""
    rows: int
    """m"""
    block: int
    """R: rows of a block; the last has what is left."""
    span: int
    """Blocks of a window; the last has what is left."""
    shuffle: bool = True
    """False for the order on the disk."""

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.rows // self.block)

    @property
    def windows(self) -> int:
        """How many windows an epoch has."""
        return -(-self.blocks // self.span)

    def blocks_of(self, epoch: int) -> Numbers:
        """The blocks in their order in an epoch, counted from 1."""
        if not self.shuffle:
            return np.arange(self.blocks, dtype=np.int64)
        return np.random.default_rng((*self.seeds, 2, epoch)).permutation(self.blocks)

    def sizes(self, blocks: Numbers) -> Numbers:
        """The rows of each of these blocks."""
        return np.minimum(self.block, self.rows - blocks * self.block)

    def within(self, epoch: int, window: int, rows: int) -> Numbers:
        """The order of a window's rows, which lie block by block in the order of the epoch."""
        if not self.shuffle:
            return np.arange(rows, dtype=np.int64)
        # From 1: a 0 at the end of a seed is as good as none.
        return np.random.default_rng((*self.seeds, 2, epoch, window + 1)).permutation(rows)

    def window(self, epoch: int, window: int) -> Numbers:
        """The rows of a window, by their places on the disk, in the order in which they are trained on."""
        blocks = self.blocks_of(epoch)[window * self.span : (window + 1) * self.span]
        each = [np.arange(b * self.block, b * self.block + n) for b, n in zip(blocks, self.sizes(blocks), strict=True)]
        rows = np.concatenate(each)
        return rows[self.within(epoch, window, len(rows))]

    def batch(self, epoch: int, step: int, batch_size: int) -> Numbers:
        """The rows of a batch, counted from 0 within its epoch."""
        ends = np.cumsum(self.window_sizes(epoch))
        first, last = step * batch_size, min((step + 1) * batch_size, self.rows)
        begin, end = np.searchsorted(ends, [first, last - 1], side="right")
        rows = np.concatenate([self.window(epoch, int(w)) for w in range(begin, end + 1)])
        before = int(ends[begin - 1]) if begin else 0
        return rows[first - before : last - before]

    def window_sizes(self, epoch: int) -> Numbers:
        """The rows of each window of an epoch."""
        sizes = self.sizes(self.blocks_of(epoch))
        return np.add.reduceat(sizes, np.arange(0, len(sizes), self.span))
