"""The two layouts of memory, batch values and weights, from and to ordinary arrays (NumPy), and the packing pass.

A batch value (m, n): element (i, j) at [i // NR][j][i % NR]: samples run along the lanes.
A weight (k, n): element (p, j) at [j // NR][p][j % NR]: output features run along the lanes, the padding is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.engines.llvm.emit import Function, Int, Value
from chainrule.engines.llvm.target import Layout

Array = npt.NDArray[Any]


def aligned(size: int, dtype: npt.DTypeLike) -> Array:
    """A zeroed one-dimensional array that begins on a 64-byte line."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size * item].view(dtype)


def zeros(shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array of zeros that need not begin on a line.  Machine code writes to these and to `aligned` alone."""
    return np.zeros(shape, dtype)


def batch_to_panels(layout: Layout, X: Array) -> Array:
    """A batch value (m, n) in lane panels; the lanes past m repeat the last sample."""
    m, n = X.shape
    panels = layout.panels(m)
    padded = np.concatenate([X, np.repeat(X[-1:], panels * layout.panel - m, axis=0)])
    flat = aligned(layout.batch_size(m, n), layout.dtype)
    flat[:] = padded.reshape(panels, layout.panel, n).transpose(0, 2, 1).ravel()
    return flat


def batch_from_panels(layout: Layout, flat: Array, m: int, n: int) -> Array:
    """The (m, n) array held in lane panels, as a copy."""
    stored = flat[: layout.batch_size(m, n)].reshape(-1, n, layout.panel)
    return np.ascontiguousarray(stored.transpose(0, 2, 1).reshape(-1, n)[:m])


def weight_to_panels(layout: Layout, W: Array) -> Array:
    """A weight (k, n) in feature panels; the features past n are 0."""
    k, n = W.shape
    panels = layout.panels(n)
    padded = np.zeros((k, panels * layout.panel), dtype=layout.dtype)
    padded[:, :n] = W
    flat = aligned(layout.weight_size(k, n), layout.dtype)
    flat[:] = padded.reshape(k, panels, layout.panel).transpose(1, 0, 2).ravel()
    return flat


def weight_from_panels(layout: Layout, flat: Array, k: int, n: int) -> Array:
    """The (k, n) array held in feature panels, as a copy."""
    stored = flat[: layout.weight_size(k, n)].reshape(-1, k, layout.panel)
    return np.ascontiguousarray(stored.transpose(1, 0, 2).reshape(k, -1)[:, :n])


def pack_rows(
    f: Function,
    layout: Layout,
    *,
    values: Value,
    scratch: Value,
    n: int,
    panel: Int,
    features: int,
    m: Value,
    sums: bool = True,
) -> list[Value]:
    """Turn one feature panel of a batch value round: scratch[p][l] = D(sample p, feature panel*NR + l).

    values: D (m, n) in lane panels; features: how many of the panel's NR features exist; scratch: [m padded][NR].
    Samples past m and features past `features` become 0 (only the vectors that hold features are written).
    Returns the sums over the samples (unless not wanted), one vector for each vector of features: the gradient of a
    bias, in a fixed order.
    """
    lanes, NR = layout.lanes, layout.panel
    blocks = -(-features // lanes)
    zero = f.constant(layout.vector, 0.0)
    width = layout.itemsize * lanes
    first = f.at(values, (panel, NR * NR), type=layout.real)

    def lane_panel(q: Value, *so_far: Value) -> list[Value]:
        source = f.at(first, (q, n * NR), type=layout.real)
        target = f.at(scratch, (q, NR * NR), type=layout.real)
        left = f.sub(m, f.mul(q, NR))

        def half(h: Int, *carried: Value) -> list[Value]:
            out = list(carried)
            mask = f.lane_mask(f.sub(left, f.mul(h, lanes)), lanes)
            for block in range(blocks):
                rows = []
                for r in range(lanes):
                    j = block * lanes + r
                    if j < features:
                        at = f.at(source, (h, lanes), type=layout.real)
                        rows.append(f.select(mask, f.load(layout.vector, at, j * NR, width), zero))
                    else:
                        rows.append(zero)
                turned = f.transpose(rows)
                if sums:
                    out[block] = f.fadd(out[block], tree_sum(f, turned))
                to = f.at(target, (h, lanes * NR), type=layout.real)
                for r, x in enumerate(turned):
                    f.store(x, to, r * NR + block * lanes, width)
            return out

        return f.loop(0, layout.vectors, half, so_far)

    panels = f.udiv(f.add(m, NR - 1), NR)
    return f.loop(0, panels, lane_panel, [zero] * blocks if sums else [])


def tree_sum(f: Function, terms: list[Value]) -> Value:
    """The sum of a power of two of terms, in pairs: a short chain, and a fixed order."""
    while len(terms) > 1:
        terms = [f.fadd(a, b) for a, b in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]
