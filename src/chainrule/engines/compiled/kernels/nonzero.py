"""Passing over zeros: in data such as images, counts or one-hot columns most terms of a product are 0 times something.

A product takes a step of its depth for a whole register tile at once, so a step can be left out where all that the tile
would broadcast or stream at it is 0.  Where it is not, is listed once a batch, and all tiles read the lists:

    forward    Z = X W     for each lane panel of samples and each block of the depth: the features that any of the
                           panel's samples has
    batch      dW = X' dZ  for each tile of features: the samples that have any of the tile's features

Left out is only what adds 0: the sums are those of the whole product, in the same order.  A weight that is not finite
shows only where its feature is not 0 (a whole product has 0 · ∞ = NaN); a fit looks at all weights at an epoch's end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.engines.compiled.kernels.inner import Dots, Kernel, kernel_for
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.kernels.tile import Segment, Steps, depth_block, row_segments
from chainrule.engines.llvm.emit import Function, Int, Value

INDEX = "i32"
"""LLVM's type of an entry."""
INDEX_BYTES = 4
ENTRIES = 2**32 - 1
"""The largest entry."""
PER_LINE = 64 // INDEX_BYTES
"""Entries in a cache line: where a run of lists begins."""
NARROWEST = 32
"""Features from which on, of the data and of the layer, lists pay."""
STEP = 1.2
"""What a listed step costs, beside one of the plain product."""
SHARE = 0.85
"""The share of the plain product's time below which lists are made."""
LOOKED_AT = 128
"""Samples that stand for all when it is decided."""


@dataclass(frozen=True)
class NonzeroLists:
    """Where the lists for one form of product of X (m, k) lie, counted in entries from their beginning.

    forward: for each lane panel the counts of its blocks, then as many entries as features, a block's from its first
    feature on.  batch: the counts of all tiles, then for each tile as many entries as the workspace has lanes.
    """

    layout: PanelLayout
    """How X lies."""
    form: str
    """The form of product that reads them: forward or batch."""
    k: int
    """Features of X."""
    parts: int = 0
    """Of each number: then what is listed are lines of words of X as it is packed, two steps each."""

    @cached_property
    def kernel(self) -> Kernel:
        """What the product adds up."""
        kernel = kernel_for(self.layout, self.parts)
        assert self.parts == 0 or (isinstance(kernel, Dots) and not kernel.turned)
        return kernel

    @property
    def lines(self) -> int:
        """Of the depth of a forward product."""
        return self.kernel.lines(self.k)

    @property
    def block(self) -> int:
        """Lines of a depth block."""
        return depth_block(self.layout, self.lines, self.kernel.line)

    @property
    def blocks(self) -> int:
        """Depth blocks, each with a list of its own."""
        return -(-self.lines // self.block)

    @property
    def segments(self) -> list[Segment]:
        """The features as tiles of a batch product."""
        vectors = self.layout.vectors
        return row_segments(self.layout, self.k, vectors, self.kernel.tile_rows(vectors), self.kernel.steps)

    @property
    def tiles(self) -> int:
        """Tiles of features."""
        return sum(s.count for s in self.segments)

    @property
    def samples(self) -> int:
        """Entries that the samples of a lane panel may make."""
        return self.layout.panel // self.kernel.steps

    @property
    def head(self) -> int:
        """Entries before the first list: the counts."""
        count = self.blocks if self.form == "forward" else self.tiles
        return -(-count // PER_LINE) * PER_LINE

    @property
    def stride(self) -> int:
        """forward: entries from one panel's lists to the next one's."""
        return self.head + -(-self.lines // PER_LINE) * PER_LINE

    @property
    def units(self) -> int:
        """The space that they need in a workspace, in features of a batch value."""
        entries = self.stride if self.form == "forward" else self.head + self.tiles * self.samples
        return -(-entries * INDEX_BYTES // (self.layout.panel * self.layout.itemsize))

    def of_panel(self, f: Function, lists: Value, panel: Int, block: Int) -> tuple[Value, Value]:
        """(address of the count, address of the entries): of a lane panel's features in a depth block."""
        start = f.at(lists, (panel, self.stride), type=INDEX)
        return f.at(start, block, type=INDEX), f.at(start, (block, self.block), self.head, type=INDEX)

    def of_tile(self, f: Function, lists: Value, tile: Int, panels: Int) -> tuple[Value, Value]:
        """(address of the count, address of the entries): of a tile's samples, `panels` those of the workspace."""
        room = f.mul(f.value(panels), self.samples)
        return f.at(lists, tile, type=INDEX), f.at(lists, f.mul(room, tile), self.head, type=INDEX)


@dataclass(frozen=True)
class PlacedLists:
    """Lists in memory."""

    lists: NonzeroLists
    """How they lie."""
    address: Value
    """Where they begin."""
    room: Int
    """The lane panels of samples that there is room for; only those of a batch product have it."""

    def panel_steps(self, f: Function, panel: Int, block: Int) -> Steps:
        """What a lane panel takes of a depth block in a forward product."""
        count, entries = self.lists.of_panel(f, self.address, panel, block)
        total = f.convert("zext", f.load(INDEX, count), "i64")
        return Steps(total, entries, lambda entry: (entry, entry))

    def tile_steps(self, f: Function, tile: Int) -> Steps:
        """The samples that a tile of features takes in a batch product."""
        k, each, kernel = self.lists.k, self.lists.samples, self.lists.kernel
        row = kernel.row if isinstance(kernel, Dots) else each
        count, entries = self.lists.of_tile(f, self.address, tile, self.room)

        def places(sample: Value) -> tuple[Value, Value]:
            lane = f.bits("and", sample, each - 1)
            panel = f.bits("lshr", sample, each.bit_length() - 1)
            return f.mul(sample, kernel.line), f.add(f.mul(panel, k * row), lane)

        return Steps(f.convert("zext", f.load(INDEX, count), "i64"), entries, places)


def nonzero_of_panels(f: Function, placed: PlacedLists, *, values: Value, lo: Int, hi: Int) -> None:
    """Lists the features of the lane panels [lo, hi) of X that are not 0 for all: entries p NR.

    Of packed X, in lines, it lists those lines: a number that is not 0 has a first part that is not 0.
    """
    lists, to = placed.lists, placed.address
    layout, kernel = lists.layout, lists.kernel
    there = kernel.stored_lines(lists.k) if isinstance(kernel, Dots) else lists.k

    def block_of(panel: Int, block: Int) -> None:
        count, entries = lists.of_panel(f, to, panel, block)
        first = f.mul(block, lists.block)
        line = f.at(values, (panel, there * kernel.line), type=layout.real)

        def feature(p: Int, filled: Value) -> list[Value]:
            step = f.mul(p, kernel.line)
            f.store(f.convert("trunc", f.value(step), INDEX), f.at(entries, filled, type=INDEX))
            bits = [_bits(f, layout, [f.at(line, step, type=layout.real)], v) for v in range(layout.vectors)]
            some = f.convert("zext", f.icmp("ne", _joined(f, layout, bits), 0), "i64")
            return [f.value(f.add(filled, some))]

        end = f.imin(f.add(first, lists.block), lists.lines)
        (filled,) = f.loop(first, end, feature, [f.constant("i64", 0)], unguarded=True)
        f.store(f.convert("trunc", filled, INDEX), count)

    f.loop(lo, hi, lambda panel: f.loop(0, lists.blocks, lambda b: block_of(panel, b)))


def nonzero_of_tiles(f: Function, placed: PlacedLists, *, values: Value, m: Int, lo: Int, hi: Int) -> None:
    """Lists for the tiles [lo, hi) of features the samples of X that have any: entries are the samples' numbers.

    Of packed X, in lanes, it lists pairs of samples.
    """
    lists, to, room = placed.lists, placed.address, placed.room
    layout, k, NR, each = lists.layout, lists.k, lists.layout.panel, lists.samples
    row = lists.kernel.row if isinstance(lists.kernel, Dots) else NR
    panels = f.udiv(f.add(f.value(m), NR - 1), NR)

    def tile(number: Int, first: Int, height: int) -> None:
        count, entries = lists.of_tile(f, to, number, room)

        def lane_panel(q: Int, filled: Value) -> list[Value]:
            start = f.at(values, (q, k * row), (first, row), type=layout.real)
            rows = [f.at(start, r * row, type=layout.real) for r in range(height)]
            some = _joined(f, layout, [_bits(f, layout, rows, v) for v in range(each // layout.lanes)])
            sample = f.convert("trunc", f.value(f.mul(q, each)), INDEX)
            for lane in range(each):
                f.store(f.add(sample, lane), f.at(entries, filled, type=INDEX))
                one = f.bits("and", f.bits("lshr", some, lane), 1)
                filled = f.value(f.add(filled, f.convert("zext", one, "i64")))
            return [filled]

        (filled,) = f.loop(0, panels, lane_panel, [f.constant("i64", 0)])
        f.store(f.convert("trunc", filled, INDEX), count)

    at = 0
    for s in lists.segments:

        def one(t: Int, row: int = s.row, height: int = s.height, at: int = at) -> None:
            tile(t, f.add(row, f.mul(f.sub(t, at), height)), height)

        f.loop(f.imax(lo, at), f.imin(hi, at + s.count), one)
        at += s.count


def _bits(f: Function, layout: PanelLayout, lines: list[Value], v: int) -> Value:
    """Which lanes of the v-th vectors at `lines` hold anything but 0, one bit each, as i32."""
    lanes, size = layout.lanes, layout.lanes * layout.itemsize
    type = f"<{lanes} x i{8 * layout.itemsize}>"
    some: Any = None
    for line in lines:
        vector = f.load(type, line, v * lanes, size)
        some = vector if some is None else f.bits("or", some, vector)
    mask = f.icmp("ne", some, 0)
    packed = f.emit(f"i{lanes}", f"bitcast {mask.type} {mask.text} to i{lanes}")
    return packed if lanes == 32 else f.convert("zext", packed, "i32")


def _joined(f: Function, layout: PanelLayout, bits: list[Value]) -> Value:
    """The bits of all vectors of a panel's row."""
    all_of_them = bits[0]
    for v, more in enumerate(bits[1:], 1):
        all_of_them = f.bits("or", all_of_them, f.bits("shl", more, v * layout.lanes))
    return all_of_them


def pays(*widths: int) -> bool:
    """Whether a product of data with a layer, of these many features, is wide enough for lists to pay."""
    return min(widths) >= NARROWEST


def worthwhile(layout: PanelLayout, X: npt.NDArray[Any], training: bool, parts: int = 0) -> bool:
    """Whether products of these data are faster by lists, judged from some of the samples.

    What is left of the steps of forward products, and in training of the batch product too, decides.  parts: of the
    products.
    """
    NR, kernel = layout.panel, kernel_for(layout, parts)
    steps = kernel.steps
    if len(X) < 2 * NR or max(len(X), X.shape[1] * NR) > ENTRIES:
        return False
    some = X[:: max(1, len(X) // LOOKED_AT)][:LOOKED_AT] != 0
    some = some[: len(some) // NR * NR]
    if np.count_nonzero(some) > SHARE * some.size:
        return False
    panels = some.reshape(-1, NR, some.shape[1]).any(axis=1)
    if steps == 2:
        panels = np.pad(panels, ((0, 0), (0, panels.shape[1] % 2))).reshape(len(panels), -1, 2).any(axis=2)
        some = some[::2] | some[1::2]
    left = [panels.mean()]
    if training:
        rows = kernel.tile_rows(layout.vectors)
        tiles = some[:, ::rows].copy()
        for r in range(1, rows):
            more = some[:, r::rows]
            tiles[:, : more.shape[1]] |= more
        left.append(tiles.mean())
    return bool(STEP * np.mean(left) < SHARE)
