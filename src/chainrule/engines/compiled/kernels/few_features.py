"""The product over the samples, dW = A' dZ, where one of its sides is so narrow that turning dZ round would not pay.

Vectors run along the samples of both operands: a block of rows x COLUMNS sums, each a vector, grows over all samples,
and is summed across its lanes at the end.  No lane is padding, and nothing is packed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.kernels.tile import Epilogue, Tile, fold
from chainrule.engines.llvm.emit import Function, Int, Value

COLUMNS = 4
"""Output features of a block."""
NARROW = 8
"""Input features up to which packing dZ for them takes longer than the sums across the lanes."""


def suits(layout: PanelLayout, k: int, n: int) -> bool:
    """Whether a product of k input features and n output features over many samples is done so."""
    wasted = -n % layout.lanes  # padding of the last vector, were output features along the lanes
    return layout.lanes >= 2 * COLUMNS and n > 1 and (k <= NARROW or (n < layout.panel and 3 * wasted >= n))


@dataclass(frozen=True)
class FewFeatures:
    """One product under emission, for a single thread."""

    f: Function
    """The function."""
    layout: PanelLayout
    """How values lie."""
    values: Value
    """A (m, k), in lane panels."""
    slopes: Value
    """dZ (m, n), in lane panels."""
    scratch: Value
    """Room for a row of blocks."""
    k: int
    """Input features."""
    n: int
    """Output features."""
    m: Int
    """Samples."""
    epilogue: Epilogue
    """Called once for each tile."""
    bias_epilogue: Callable[[Int, list[Value]], None] | None
    """Called with the sums of dZ, once for each feature panel; None where nobody asks for them."""
    start: Callable[[Int, int, int], list[Value]]
    """From a tile's offset, rows and vectors: what its sums are added to."""

    @property
    def rows(self) -> int:
        """Input features of a whole block: as many sums as lanes."""
        return self.layout.lanes // COLUMNS

    def run(self) -> None:
        """Feature panels one after the other."""
        f, layout = self.f, self.layout
        full, rest = divmod(self.n, layout.panel)
        f.loop(0, full, lambda panel: self._panel(panel, layout.panel))
        if rest:
            self._panel(full, rest)

    def _panel(self, panel: Int, features: int) -> None:
        """A feature panel: blocks of rows; with the first of them the bias."""
        f = self.f
        first = min(self.rows, self.k)
        blocks, rest = divmod(self.k - first, self.rows)
        self._block(panel, features, 0, first, bias=self.bias_epilogue is not None)
        f.loop(0, blocks, lambda b: self._block(panel, features, f.add(f.mul(b, self.rows), first), self.rows))
        if rest:
            self._block(panel, features, self.k - rest, rest)

    def _block(self, panel: Int, features: int, i: Int, rows: int, *, bias: bool = False) -> None:
        """Some rows of a feature panel: its columns go to the scratch, and from there into a tile."""
        f, layout = self.f, self.layout
        whole, rest = divmod(features, COLUMNS)
        room = f.at(self.scratch, (rows + 1) * layout.panel + layout.lanes, type=layout.real)

        def columns(c: Int, count: int) -> None:
            j = f.add(f.mul(panel, layout.panel), f.mul(c, COLUMNS))
            sums, totals = self._sums(i, rows, j, count, bias)
            f.store(sums, f.at(self.scratch, (c, rows * COLUMNS), type=layout.real))
            if totals is not None:
                f.store(totals, f.at(room, (c, COLUMNS), type=layout.real))

        f.loop(0, whole, lambda c: columns(c, COLUMNS))
        if rest:
            columns(whole, rest)
        width = 1 if features <= layout.lanes else layout.vectors
        offset = f.mul(f.add(f.mul(panel, self.k), i), layout.panel)
        acc = [self._row(r, rows, v, features) for r in range(rows) for v in range(width)]
        acc = [f.fadd(a, b) for a, b in zip(self.start(offset, rows, width), acc, strict=True)]
        self.epilogue(Tile(i, rows, panel, fold(acc, width), offset))
        if bias and self.bias_epilogue is not None:
            self.bias_epilogue(panel, [self._gathered(room, v, features, COLUMNS, 0) for v in range(width)])

    def _row(self, r: int, rows: int, v: int, features: int) -> Value:
        """The v-th vector of a row of sums."""
        return self._gathered(self.scratch, v, features, rows * COLUMNS, r * COLUMNS)

    def _gathered(self, at: Value, v: int, features: int, stride: int, first: int) -> Value:
        """A vector of sums, COLUMNS neighbours of which stand together every `stride`; 0 past the last feature."""
        f, layout = self.f, self.layout
        some = layout.lanes // COLUMNS
        part = f"<{COLUMNS} x {layout.real}>"
        parts = [
            f.load(part, at, c * stride + first) if c * COLUMNS < features else f.constant(part, 0.0)
            for c in range(v * some, (v + 1) * some)
        ]
        return f.joined(parts)

    def _sums(self, i: Int, rows: int, j: Int, count: int, bias: bool) -> tuple[Value, Value | None]:
        """Σ over the samples of A(., i + r) dZ(., j + c), in lane r COLUMNS + c; with bias, of dZ(., j + c) too."""
        f, layout, NR = self.f, self.layout, self.layout.panel
        zero = f.constant(layout.vector, 0.0)
        size = layout.lanes * layout.itemsize

        def lane_panel(q: Int, *so_far: Value, whole: bool = True) -> list[Value]:
            out = list(so_far)
            left = f.sub(f.value(self.m), f.mul(q, NR))
            values = f.at(self.values, (q, self.k * NR), (i, NR), type=layout.real)
            slopes = f.at(self.slopes, (q, self.n * NR), (j, NR), type=layout.real)
            for v in range(layout.vectors):
                lines = [f.load(layout.vector, slopes, c * NR + v * layout.lanes, size) for c in range(count)]
                if not whole:
                    mask = f.lane_mask(left, layout.lanes, first=v * layout.lanes)
                    lines = [f.select(mask, line, zero) for line in lines]
                for r in range(rows):
                    a = f.load(layout.vector, values, r * NR + v * layout.lanes, size)
                    for c, line in enumerate(lines):
                        out[r * count + c] = f.fma(a, line, out[r * count + c])
                for c, line in enumerate(lines if bias else ()):
                    out[rows * count + c] = f.fadd(out[rows * count + c], line)
            return out

        whole = f.udiv(self.m, NR)
        found = f.loop(0, whole, lane_panel, [zero] * (rows + bias) * count)
        ends = f.icmp("ne", f.value(f.mul(whole, NR)), self.m)
        found = f.if_(ends, lambda: lane_panel(whole, *found, whole=False), lambda: found, results=len(found))
        lines = [found[r * count : (r + 1) * count] + [zero] * (COLUMNS - count) for r in range(rows + bias)]
        sums = across(f, layout, [x for line in lines[:rows] for x in line])
        return sums, across(f, layout, lines[rows]) if bias else None


def across(f: Function, layout: PanelLayout, terms: list[Value]) -> Value:
    """A vector with the sums of up to as many vectors as lanes, the k-th in lane k; 0 in lanes past the last."""
    lanes = layout.lanes
    levels = _levels(lanes, max(1, 16 // layout.itemsize))
    where = [[number] * lanes for number in range(lanes)]
    for low, _ in levels:
        where = [[[*x, *y][pick] for pick in low] for x, y in zip(where[::2], where[1::2], strict=True)]
    sums = [f.constant(layout.vector, 0.0)] * lanes
    for term, number in zip(terms, where[0], strict=False):
        sums[number] = term
    for low, high in levels:
        pairs = zip(sums[::2], sums[1::2], strict=True)
        sums = [f.fadd(f.shuffle(x, y, low), f.shuffle(x, y, high)) for x, y in pairs]
    return sums[0]


def _levels(lanes: int, quad: int) -> list[tuple[list[int], list[int]]]:
    """Picks from two vectors x and y, level by level: the lower halves of the blocks that are still to be added up, and
    the upper ones.  Blocks within 16 bytes (`quad` lanes) stay there, which every vector unit does in one instruction.
    """
    levels, block = [], lanes
    while block > 1:
        half, span = block // 2, lanes if block > quad else quad
        low = [
            vector * lanes + start + place + lane
            for start in range(0, lanes, span)
            for vector in (0, 1)
            for place in range(0, span, block)
            for lane in range(half)
        ]
        levels.append((low, [pick + half for pick in low]))
        block = half
    return levels
