"""What networks on a table are given: numbers, flags, categories; and what a network has to know of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class InputShape:
    """What the inputs made of a table are, so that a network can be described without the data."""

    numbers: tuple[str, ...]
    """The columns of numbers, by name; a column of dates becomes several."""
    edges: tuple[tuple[float, ...], ...]
    """Of each number the edges of its pieces, increasing, in the units of the inputs: quantiles of the training data,
    fewer where few values are distinct."""
    flags: tuple[str, ...]
    """The columns of -1 and 1, by name: categories of two levels, and gaps of columns that have some."""
    categories: tuple[str, ...]
    """The columns of categories, by name."""
    counts: tuple[int, ...]
    """Of each column of categories, how many there are; the first, 0, stands for what training did not hold."""


@dataclass(frozen=True)
class TableInputs:
    """The inputs made of m rows of a table."""

    numbers: np.ndarray
    """(m, n) float32: scaled, smoothly clipped, gaps filled."""
    flags: np.ndarray
    """(m, b) float32: -1 or 1; 0 where it is not known."""
    categories: np.ndarray
    """(m, c) int32: 0 ≤ category < count of its column."""

    @property
    def rows(self) -> int:
        """m"""
        return len(self.numbers)

    def of(self, rows: np.ndarray | slice) -> TableInputs:
        """The inputs of these rows, in this order."""
        return TableInputs(self.numbers[rows], self.flags[rows], self.categories[rows])
