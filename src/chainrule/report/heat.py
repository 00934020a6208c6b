"""Arrays for heat maps: thinned out, in 256 steps, as text."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
CELLS = 50_000
"""Elements of one array that are kept at most: what a screen can show."""
BYTES = 2_600_000
"""Of all arrays of a report together, before base64 makes four of three."""
SHARE = 0.995
"""Of the values, by size, that the colours tell apart; larger ones have the last colour."""


class Heats:
    """The arrays of a report, each stored once however many lines show it."""

    def __init__(self, cells: int = CELLS) -> None:
        self.cells = cells
        self.arrays: list[dict[str, Any]] = []
        self._known: dict[tuple[tuple[int, ...], bytes], int] = {}

    def add(self, array: Array) -> int:
        """The array's number in `arrays`."""
        key = (array.shape, np.ascontiguousarray(array).tobytes())
        if key not in self._known:
            self._known[key] = len(self.arrays)
            self.arrays.append(heat(array, self.cells))
        return self._known[key]


def heat(array: Array, cells: int = CELLS) -> dict[str, Any]:
    """An array as plain data: shape, min, max, mean, std, zeros; its elements as bytes in base64.

    Byte b stands for low + b (high - low) / 255, where low = -high if there are negative values, else 0 (or the least
    value, if all are far from 0).  Of large arrays every rows-th row and columns-th column is kept.
    """
    values = np.asarray(array, np.float64)
    grid = values.reshape(-1, 1) if values.ndim == 0 else values.reshape(1, -1) if values.ndim == 1 else values
    finite = values[np.isfinite(values)]
    about: dict[str, Any] = {"shape": list(values.shape)}
    if finite.size:
        about |= {
            "min": _short(finite.min()), "max": _short(finite.max()), "mean": _short(finite.mean()),
            "std": _short(finite.std()), "zeros": round(float(np.mean(values == 0)), 4),
        }  # fmt: skip
    rows, columns = strides(grid.shape, cells)
    kept = grid[::rows, ::columns]
    low, high = scale(finite)
    kept = np.clip(np.nan_to_num(kept, posinf=high, neginf=low), low, high)
    steps = np.rint((kept - low) / (high - low) * 255).astype(np.uint8)
    about |= {"rows": kept.shape[0], "columns": kept.shape[1], "every": [rows, columns]}
    about |= {"low": _short(low), "high": _short(high), "data": base64.b64encode(steps.tobytes()).decode("ascii")}
    return about


def strides(shape: tuple[int, ...], cells: int) -> tuple[int, int]:
    """Which rows and columns are kept: at most `cells` elements, no more than 256 either way where that suffices."""
    rows, columns = (max(1, -(-n // 256)) for n in shape)
    while -(-shape[0] // rows) * -(-shape[1] // columns) > cells:
        if shape[0] / rows >= shape[1] / columns:
            rows += 1
        else:
            columns += 1
    return rows, columns


def scale(finite: Array) -> tuple[float, float]:
    """(low, high) of the colours: as wide as all but the very largest values."""
    if not finite.size:
        return 0.0, 1.0
    size = float(np.quantile(np.abs(finite), SHARE)) or float(np.abs(finite).max())
    if finite.min() < 0:
        return (-size, size) if size else (-1.0, 1.0)
    low = float(finite.min())
    low = low if low > 0.5 * size else 0.0
    return (low, size) if size > low else (low, low + 1.0)


def _short(value: float) -> float | str:
    """Five digits; what is no number as a text."""
    number = float(value)
    return float(f"{number:.5g}") if math.isfinite(number) else str(number)
