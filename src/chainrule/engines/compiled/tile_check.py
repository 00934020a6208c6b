"""Whether matrix tiles do what they have to: one small product, before a process has its first plan with tiles.

The processor that runs this may be the first of its kind to do so.  Where the product is wrong, vectors take all.
"""

from __future__ import annotations

import ctypes
import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.compiled import pack
from chainrule.engines.compiled.kernels.inner import TileProducts
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.llvm import jit, tiles
from chainrule.engines.llvm.emit import Module

ROWS, PANELS, PARTS = 19, 3, 2
"""Of the product: rows of a whole tile and some of another, panels of the depth, parts of each number."""
NAME = "chainrule_tile_trial"
Words = NDArray[np.uint32]
Way = Callable[[Words, Words, NDArray[np.float32]], None]
"""Adds the product of packed words to sums: left (panels, rows, parts, words), right (lines, parts, lanes)."""


def usable(layout: PanelLayout) -> bool:
    """Whether the system lets this process have tiles, and they are right; asked and tried once, wrong said once."""
    return tiles.permitted() and right(layout)


@functools.cache
def right(layout: PanelLayout) -> bool:
    """Whether the machine's own tiles are; warns where they are not."""
    if holds(layout, by_code(layout)):
        return True
    warnings.warn(
        "The matrix tiles of this processor do not multiply as they have to; products are taken by vectors. "
        "Please report the processor's name.",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def holds(layout: PanelLayout, way: Way) -> bool:
    """Whether a product of small whole numbers, exact in any order, comes out as it has to."""
    kernel, depth = TileProducts(layout, PARTS), PANELS * layout.panel
    left, right, start = (
        (np.arange(math.prod(shape)) ** 2 % 19 - 9).astype(np.float32).reshape(shape)
        for shape in ((PARTS, ROWS, depth), (PARTS, depth, layout.panel), (ROWS, layout.panel))
    )
    meant = start + left[1] @ right[0] + left[0] @ right[1] + left[0] @ right[0]
    words = _words(left).reshape(PARTS, ROWS, PANELS, kernel.span).transpose(2, 1, 0, 3)
    lines = _words(right.swapaxes(1, 2)).transpose(2, 0, 1)
    sums = _aligned(start)
    way(_aligned(words), _aligned(lines), sums)
    return bool(np.array_equal(sums, meant))


def trial(layout: PanelLayout) -> Module:
    """The function that takes the product."""
    module, kernel = Module(layout.target), TileProducts(layout, PARTS)
    f = module.function(NAME, ["ptr", "ptr", "ptr"])
    left, right, sums = f.args
    registers = tiles.Tiles(f, layout.target.tiles == "emulated")
    kernel.configure(registers, ROWS)
    kernel.exchange(registers, sums, ROWS, layout.vectors, out=False)
    kernel.run(
        registers, scalars=left, vectors=right, jump=ROWS * kernel.row, lines=PANELS * kernel.span,
        rows=ROWS, width=layout.vectors,
    )  # fmt: skip
    kernel.exchange(registers, sums, ROWS, layout.vectors, out=True)
    registers.release()
    f.ret()
    return module


def by_code(layout: PanelLayout) -> Way:
    """The product by machine code of the layout's target."""
    code = jit.load(layout.target, layout.dtype, NAME, lambda: trial(layout))
    function = code.function(NAME, *[ctypes.c_void_p] * 3)

    def way(left: Words, right: Words, sums: NDArray[np.float32]) -> None:
        function(left.ctypes.data, right.ctypes.data, sums.ctypes.data)

    return way


def _words(numbers: NDArray[np.float32]) -> Words:
    """Two neighbours along the last axis in a word, the first in its lower half."""
    halves = np.ascontiguousarray(numbers).view(np.uint32) >> 16
    return (halves[..., ::2] | halves[..., 1::2] << 16).astype(np.uint32)


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    made = pack.aligned(array.size, array.dtype).reshape(array.shape)
    made[...] = array
    return made
