"""The gradient check: a directional derivative by central differences of fourth order, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

TOLERANCE = 1e-7


def slope_along(cost: Callable[[], float], array: np.ndarray, direction: np.ndarray, step: float = 2e-4) -> float:
    """d cost / dt at t = 0 of array + t · direction; the array is moved in place and put back."""
    before = array.copy()
    found = {}
    try:
        for k in (-2, -1, 1, 2):
            array[...] = before + k * step * direction
            found[k] = cost()
    finally:
        array[...] = before
    return (8 * (found[1] - found[-1]) - (found[2] - found[-2])) / (12 * step)


def disagreement(
    cost: Callable[[], float], array: np.ndarray, gradient: np.ndarray, step: float = 2e-4, *, seed: int = 0
) -> float:
    """The relative error of `gradient` along one random direction of unit length.

    It is relative to the slope, but never to less than a thousandth of ‖gradient‖ (a direction may happen to be level)
    or than what rounding of the cost leaves.
    """
    direction = np.random.default_rng(seed).normal(size=array.shape)
    direction /= np.linalg.norm(direction)
    numeric = slope_along(cost, array, direction, step)
    analytic = float((gradient * direction).sum())
    rounding = 1e-4 * (1 + abs(cost()))
    return abs(numeric - analytic) / max(abs(numeric), abs(analytic), 1e-3 * float(np.linalg.norm(gradient)), rounding)
