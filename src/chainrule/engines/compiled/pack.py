"""The two layouts of memory, batch values and weights, from and to ordinary arrays (NumPy), and the packing pass.

A batch value (m, n): element (i, j) at [i // NR][j][i % NR]: samples run along the lanes.
A weight (k, n): element (p, j) at [j // NR][p][j % NR]: output features run along the lanes, the padding is 0.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan.kinds import Kind

Array = npt.NDArray[Any]


def aligned(size: int, dtype: npt.DTypeLike) -> Array:
    """A zeroed one-dimensional array that begins on a 64-byte line."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size * item].view(dtype)


def seldom(size: int, dtype: npt.DTypeLike) -> Array:
    """The same for memory of which little is ever touched: in small pages, each there when it is first needed."""
    bytes = np.frombuffer(mmap.mmap(-1, size * np.dtype(dtype).itemsize + 64), np.uint8)
    return bytes[: size * np.dtype(dtype).itemsize].view(dtype)


def zeros(shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array of zeros that need not begin on a line.  Machine code writes to these and to `aligned` alone."""
    return np.zeros(shape, dtype)


def put(layout: PanelLayout, kind: Kind, array: Array, into: Array) -> None:
    """An ordinary array into memory of its kind; what pads a weight is left as it is (0 in fresh memory)."""
    if kind != "weight":
        into[: array.size] = array.reshape(-1)
        return
    n = array.shape[1]
    panels, full = _panels(layout, into, array.shape), n // layout.panel
    if full:
        whole = array[:, : full * layout.panel]
        panels[:full] = whole.reshape(-1, full, layout.panel).transpose(1, 0, 2)
    if n % layout.panel:
        panels[full, :, : n % layout.panel] = array[:, full * layout.panel :]


def take(layout: PanelLayout, kind: Kind, memory: Array, into: Array) -> None:
    """The other way: from memory of its kind into an ordinary array."""
    if kind != "weight":
        into[...] = memory[: into.size].reshape(into.shape)
        return
    n = into.shape[1]
    panels, full = _panels(layout, memory, into.shape), n // layout.panel
    if full:  # an axis cut in two is a view
        into[:, : full * layout.panel].reshape(-1, full, layout.panel)[...] = panels[:full].transpose(1, 0, 2)
    if n % layout.panel:
        into[:, full * layout.panel :] = panels[full, :, : n % layout.panel]


def _panels(layout: PanelLayout, memory: Array, shape: tuple[int, ...]) -> Array:
    """The memory of a weight (k, n) as [feature panel][p][NR]."""
    k, n = shape
    return memory[: layout.weight_size(k, n)].reshape(layout.panels(n), k, layout.panel)


def batch_to_panels(layout: PanelLayout, X: Array) -> Array:
    """A batch value (m, n) in lane panels; the lanes past m repeat the last sample."""
    m, n = X.shape
    panels = layout.panels(m)
    padded = np.concatenate([X, np.repeat(X[-1:], panels * layout.panel - m, axis=0)])
    flat = aligned(layout.batch_size(m, n), layout.dtype)
    flat[:] = padded.reshape(panels, layout.panel, n).transpose(0, 2, 1).ravel()
    return flat


def batch_from_panels(layout: PanelLayout, flat: Array, m: int, n: int) -> Array:
    """The (m, n) array held in lane panels, as a copy."""
    stored = flat[: layout.batch_size(m, n)].reshape(-1, n, layout.panel)
    return np.ascontiguousarray(stored.transpose(0, 2, 1).reshape(-1, n)[:m])


def weight_to_panels(layout: PanelLayout, W: Array) -> Array:
    """A weight (k, n) in feature panels; the features past n are 0."""
    flat = aligned(layout.weight_size(*W.shape), layout.dtype)
    put(layout, "weight", W, flat)
    return flat


def weight_from_panels(layout: PanelLayout, flat: Array, k: int, n: int) -> Array:
    """The (k, n) array held in feature panels, as a copy."""
    W = np.empty((k, n), layout.dtype)
    take(layout, "weight", flat, W)
    return W
