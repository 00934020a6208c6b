"""The products with a weight, of forward and backward propagation; that over the samples is in batch_product.py.

forward    Z  (m, n) = A W        rows are output features, vectors run along the samples
backward   dA (m, k) = dZ W'      rows are input features, vectors run along the samples
batch      dW (k, n) = A' dZ      rows are input features, vectors run along output features
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from chainrule.engines.compiled.kernels.inner import Dots, Kernel, MultiplyAdd, TileProducts, WholeProducts
from chainrule.engines.compiled.kernels.long_sums import LONG
from chainrule.engines.compiled.kernels.nonzero import PlacedLists
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.kernels.tile import (
    UNROLL,
    WHOLE,
    Epilogue,
    Group,
    Operands,
    Segment,
    Tile,
    accumulate_nonzero,
    accumulate_tile,
    depth_block,
    fold,
    load_rows,
    not_finite,
    panel_segments,
    row_segments,
    share,
    store_tile,
    ways_of,
)
from chainrule.engines.llvm.emit import Function, Int, Value
from chainrule.engines.llvm.tiles import Tiles

PAIR = 2
"""Rows that a long epilogue takes at a time, where there are registers for them: chains of dependent instructions that
run side by side."""


@dataclass(frozen=True)
class _Depth:
    """One block of the depth."""

    index: Int
    """Its number."""
    first: Int
    """Its first line."""
    whole: Int
    """Its lines, a multiple of UNROLL, without the tail."""
    tail: int
    """Lines left over at the end of the depth."""
    begins: Value | bool
    """Whether it is the first block."""
    ends: Value | bool
    """Whether it is the last, which has the tail."""


def _depth_blocks(f: Function, kernel: Kernel, depth: int, body: Callable[[_Depth], None]) -> int:
    """Run `body` for each block of the depth, which is counted in lines."""
    # Whole products have stretches of their own.
    size = depth if isinstance(kernel, WholeProducts) else depth_block(kernel.layout, depth, kernel.line)
    blocks = -(-depth // size)
    tail = depth % UNROLL
    if blocks == 1:
        body(_Depth(0, 0, depth - tail, tail, True, True))
        return depth
    final = depth - size * (blocks - 1)

    def block(index: Value) -> None:
        ends = f.icmp("eq", index, blocks - 1)
        whole = f.select(ends, f.constant("i64", final - tail), size)
        body(_Depth(index, f.mul(index, size), whole, tail, f.icmp("eq", index, 0), ends))

    f.loop(0, blocks, block)
    return size


def _rectangles(
    f: Function, units: int, width: Int, tid: Int, team: Int, body: Callable[[Int, Int, Int, Int], None]
) -> None:
    """Share a grid of units x width, unit-major, among the team: body(first unit, end unit, first column, end column).

    A contiguous range of the grid is a piece of one unit, then whole units, then a piece of another.
    """
    if isinstance(team, int) and team == 1:
        body(0, units, 0, width)
        return
    lo, hi = share(f, f.mul(width, units), tid, team)
    u0, u1 = f.udiv(lo, width), f.udiv(hi, width)
    a, b = f.value(f.urem(lo, width)), f.urem(hi, width)
    same = f.icmp("eq", f.value(u0), u1)
    begins = f.bits("or", f.icmp("ne", a, 0), same)
    after = f.add(u0, f.convert("zext", begins, "i64"))
    first_end = f.select(same, b, width)
    inside = f.add(u0, f.convert("zext", f.icmp("ne", a, 0), "i64"))
    last = f.bits("and", f.icmp("ne", b, 0), f.icmp("ne", f.value(u0), u1))
    last_end = f.add(u1, f.convert("zext", last, "i64"))

    def piece(r: Value) -> None:
        head, middle = f.icmp("eq", r, 0), f.icmp("eq", r, 1)

        def pick(x: Int, y: Int, z: Int) -> Value:
            return f.select(head, f.value(x), f.select(middle, f.value(y), f.value(z)))

        body(pick(u0, inside, u1), pick(after, u1, last_end), pick(a, 0, 0), pick(first_end, width, b))

    f.loop(0, 3, piece)


def feature_product(
    f: Function,
    layout: PanelLayout,
    *,
    weight: Value,
    values: Value,
    out: Value,
    k: int,
    n: int,
    m: Int,
    epilogue: Epilogue,
    backward: bool = False,
    rolled: bool = False,
    nonzero: PlacedLists | None = None,
    group: Group = WHOLE,
    members: int = 1,
    kernel: Kernel | None = None,
    finished: Epilogue | None = None,
    plain: tuple[Value, Value] | None = None,
    tid: Int = 0,
    team: Int = 1,
) -> None:
    """Forward Z (m, n) = A (m, k) W (k, n), or backward dA (m, k) = dZ (m, n) W'; the result in lane panels.

    weight: W in feature panels; values: A or dZ in lane panels; out: the place of the result, which also holds partial
    sums.  The epilogue is called once for each tile and must store what is wanted (`store_tile` stores it to `out`).
    rolled: the sums are stored to `out` first, and the epilogue is called, in a loop over the rows, with tiles of one
    row or two: smaller code for a long epilogue.  nonzero: the lists of what is not 0 in A, for a forward product that
    passes over the rest.  group: k and n are those of one of the groups side by side in A and Z, below each other in W.
    members: A and Z hold so many groups side by side, and W is that of each: a lane panel is then so many panels of one
    product.  kernel: what is multiplied and added up; `weight` and `values` are packed as it has them.  finished: is
    called with rows that the epilogue is done with, without their sums: a panel of features, or those of a tile, an
    even number of them but for the last of a group.  plain: the weight and the values as they are, which
    `WholeProducts` takes anew where a sum is not finite.  The result has the same bits for any team.
    """
    kernel = MultiplyAdd(layout) if kernel is None else kernel
    tiles = Tiles(f, layout.target.tiles == "emulated") if isinstance(kernel, TileProducts) else None
    rolled = rolled or tiles is not None
    product = _Feature(
        f, layout, kernel, weight, values, out, k, n, epilogue, backward, rolled, nonzero, group, members, tiles,
        finished, plain,
    )  # fmt: skip
    product.run(m, tid, team)
    if tiles is not None:
        tiles.release()


@dataclass(frozen=True)
class _Feature:
    """One forward or backward product under emission.

    From the outside in: chunks of lane panels that stay in the level 2 cache, blocks of the depth, rectangles of units
    and lane panels (a thread's share), groups of units, lane panels, the tiles of a unit.
    """

    f: Function
    layout: PanelLayout
    kernel: Kernel
    weight: Value
    values: Value
    out: Value
    k: int
    n: int
    epilogue: Epilogue
    backward: bool
    rolled: bool
    nonzero: PlacedLists | None
    group: Group
    members: int
    tiles: Tiles | None = None
    finished: Epilogue | None = None
    plain: tuple[Value, Value] | None = None

    @property
    def depth(self) -> int:
        """What is summed over: the features of `values`."""
        return self.n if self.backward else self.k

    @property
    def lines(self) -> int:
        """The same in lines of the kernel's operands."""
        return self.kernel.lines(self.depth)

    @property
    def rows(self) -> int:
        """The features of the result."""
        return self.k if self.backward else self.n

    @property
    def segments(self) -> list[Segment]:
        """How the rows are cut into tiles."""
        layout, vectors, most = self.layout, self.layout.vectors, self.kernel.tile_rows(self.layout.vectors)
        if self.backward:
            return row_segments(layout, self.rows, vectors, most, self.kernel.steps)
        return panel_segments(layout, self.rows, vectors, most)

    @property
    def together(self) -> int:
        """Units that reuse a block of `values` from the level 1 cache."""
        return 4 if self.backward else 1

    def run(self, m: Int, tid: Int, team: Int) -> None:
        """The whole product: a chunk of lane panels after the other."""
        f, layout, NR = self.f, self.layout, self.layout.panel
        units = sum(s.count for s in self.segments)
        panels = f.mul(f.udiv(f.add(m, NR - 1), NR), self.members)
        chunk = max(1, layout.target.l2 // 2 // (min(self.lines, 256) * self.kernel.line * layout.itemsize))

        def lanes_chunk(lane0: Int) -> None:
            width = f.imin(f.sub(panels, lane0), chunk)

            def block(d: _Depth) -> None:
                _rectangles(f, units, width, tid, team, lambda *r: self._rectangle(d, lane0, *r))

            _depth_blocks(f, self.kernel, self.lines, block)

        f.loop(0, panels, lanes_chunk, step=chunk)

    def _rectangle(self, d: _Depth, lane0: Int, first: Int, end: Int, left: Int, right: Int) -> None:
        """The units [first, end) of the lane panels lane0 + [left, right)."""
        f, together = self.f, self.together
        base = 0
        for s in self.segments:
            u0, u1 = f.imax(first, base), f.imin(end, base + s.count)

            def group(g: Int, s: Segment = s, u1: Int = u1, base: int = base) -> None:
                stop = f.imin(f.add(g, together), u1) if together > 1 else f.add(g, 1)

                def unit(u: Int, panel: Value) -> None:
                    self._unit(s, f.add(s.row, f.mul(f.sub(u, base), s.height)), panel, d)

                def lane(panel: Value) -> None:
                    if together == 1:
                        unit(g, panel)
                    else:
                        f.loop(g, stop, lambda u: unit(u, panel))

                f.loop(f.add(lane0, left), f.add(lane0, right), lane)

            f.loop(u0, u1, group, step=together)
            base += s.count

    def _unit(self, s: Segment, row: Int, panel: Value, d: _Depth) -> None:
        """The tiles of a unit whose first row is `row`, those of one size in a loop."""
        f, at = self.f, 0
        for size in sorted(set(s.tiles), reverse=True):
            count = s.tiles.count(size)

            def tile(t: Int, size: int = size, at: int = at) -> None:
                self._tile(size, f.add(f.add(row, at), f.mul(t, size)), panel, d)

            f.loop(0, count, tile)
            at += size * count
        if isinstance(self.kernel, WholeProducts):
            self._if_ends(d, lambda: self._mend(row, s.height, panel))
        if self.rolled:
            self._if_ends(d, lambda: self._finish(row, s.height, panel))
        if self.finished is not None:
            done = self.finished
            self._if_ends(d, lambda: done(self._placed(row, s.height, panel, [], self._offset(row, panel))))

    def _tile(self, size: int, i: Int, panel: Value, d: _Depth) -> None:
        """A tile of `size` rows from the i-th on, through one block of the depth."""
        f, layout, nv = self.f, self.layout, self.layout.vectors
        offset = self._offset(i, panel)
        if self.tiles is not None:
            self._by_tiles(self.tiles, size, i, panel, d, offset)
            return
        start, before = self._start(size, offset, d), None
        if self.depth > LONG:  # the sums of a block begin at 0, and those of the blocks before are added
            start, before = [f.constant(layout.vector, 0.0)] * (size * nv), start
        listed = self.nonzero is not None and ways_of(layout, size, nv) == 1  # partial sums would be others
        operands = self._operands(i, panel, 0 if listed else d.first)  # entries count from the beginning
        if listed:
            assert self.nonzero is not None
            steps = self.nonzero.panel_steps(f, panel, d.index)
            acc = accumulate_nonzero(f, layout, size, nv, start, operands, steps, self.kernel)
        else:
            tail_if = d.ends if isinstance(d.ends, Value) else None
            acc = accumulate_tile(f, layout, size, nv, start, operands, d.whole, d.tail, tail_if, self.kernel)
        if before is not None:
            acc = [f.fadd(a, b) for a, b in zip(before, acc, strict=True)]
        tile = self._placed(i, size, panel, acc, offset)
        if self.rolled:
            store_tile(f, layout, self.out, tile)
        else:
            self._if_ends(d, lambda: self.epilogue(tile), lambda: store_tile(f, layout, self.out, tile))

    def _by_tiles(self, tiles: Tiles, size: int, i: Int, panel: Value, d: _Depth, offset: Value) -> None:
        """The same by matrix tiles: the sums go to `out`."""
        f, kernel, nv = self.f, self.kernel, self.layout.vectors
        assert isinstance(kernel, TileProducts)
        place = f.at(self.out, offset, type=self.layout.real)
        operands = self._operands(i, panel, d.first)
        kernel.product(
            tiles, place, scalars=operands.scalars, vectors=operands.vectors, jump=operands.jump, lines=d.whole,
            rows=size, width=nv, more=f.bits("xor", d.begins, 1) if isinstance(d.begins, Value) else not d.begins,
        )  # fmt: skip

    def _mend(self, row: Int, height: int, panel: Value) -> None:
        """Takes rows whose sums lie in `out` from the numbers as they are, where not all sums are finite.

        Infinite numbers, and those near it, have no parts that say what they are: ∞ · 0 and ∞ - ∞ would come of them.
        """
        f, layout, nv = self.f, self.layout, self.layout.vectors
        assert self.plain is not None
        weight, values = self.plain
        plain = replace(self, kernel=MultiplyAdd(layout), weight=weight, values=values, tiles=None)
        whole = self.depth // UNROLL * UNROLL

        some = min(height, layout.chains // nv)  # as many as take the depth in one go, as larger tiles do

        def tile(r: Int) -> None:
            i = f.add(row, f.imin(r, height - some))
            offset, blank = self._offset(i, panel), [f.constant(layout.vector, 0.0)] * (some * nv)
            operands = plain._operands(i, panel, 0)
            acc = accumulate_tile(f, layout, some, nv, blank, operands, whole, self.depth - whole)
            store_tile(f, layout, self.out, self._placed(i, some, panel, acc, offset))

        place = f.at(self.out, self._offset(row, panel), type=layout.real)
        f.if_(not_finite(f, layout, place, height, nv), lambda: f.loop(0, height, tile, step=some))

    def _finish(self, row: Int, height: int, panel: Value) -> None:
        """The epilogue for rows whose sums lie in `out`, one pair after the other."""
        f, layout, nv = self.f, self.layout, self.layout.vectors
        together = min(PAIR if layout.target.registers > 16 else 1, height)

        def some(r: Int, count: int = together) -> None:
            i = f.add(row, r)
            offset = self._offset(i, panel)
            sums = load_rows(f, layout, f.at(self.out, offset, type=layout.real), count, nv)
            self.epilogue(self._placed(i, count, panel, sums, offset))

        whole = height // together * together
        f.loop(0, whole, some, step=together)
        if whole < height:
            some(whole, height - whole)

    def _placed(self, i: Int, size: int, panel: Value, acc: list[Value], offset: Value) -> Tile:
        """The tile, its first row and its lane panel counted in the whole result."""
        f, number = self.f, self.group.number
        if self.members > 1:
            whole = f.udiv(panel, self.members)
            number, panel = f.sub(panel, f.mul(whole, self.members)), f.value(whole)
        return Tile(f.add(i, f.mul(number, self.rows)), size, panel, fold(acc, self.layout.vectors), offset)

    def _if_ends(self, d: _Depth, then: Callable[[], object], otherwise: Callable[[], object] | None = None) -> None:
        """What is done after the last block of the depth, and after the others."""
        if isinstance(d.ends, Value):
            self.f.if_(d.ends, then, otherwise)
        else:
            then()

    def _offset(self, i: Int, panel: Value) -> Value:
        """Of a row in the result."""
        f, NR = self.f, self.layout.panel
        group = f.add(f.mul(panel, self.group.count), self.group.number)
        offset: Value = f.mul(f.add(f.mul(group, self.rows), i), NR)
        return offset

    def _start(self, size: int, offset: Value, d: _Depth) -> list[Value]:
        """What the sums of a tile begin with: 0 in the first block of the depth, else what `out` holds."""
        f, layout, nv = self.f, self.layout, self.layout.vectors
        at = f.at(self.out, offset, type=layout.real)
        blank = [f.constant(layout.vector, 0.0)] * (size * nv)
        if d.begins is True:
            return blank
        assert isinstance(d.begins, Value)
        return f.if_(d.begins, lambda: blank, lambda: load_rows(f, layout, at, size, nv), results=size * nv)

    def _operands(self, i: Int, panel: Value, first: Int) -> Operands:
        """Where a tile whose first row is the i-th finds its operands, from the first step on."""
        f, NR, real = self.f, self.layout.panel, self.layout.real
        group, below = self.group, self.group.count * self.k  # rows of the weight that stand below each other
        before = f.add(f.mul(panel, group.count), group.number)
        kernel = self.kernel
        there = kernel.stored_lines(self.depth) if isinstance(kernel, Dots) else self.lines
        vectors = f.at(self.values, (before, there * kernel.line), (first, kernel.line), type=real)
        mine = f.mul(group.number, self.k)
        if isinstance(kernel, Dots) and not self.backward and not kernel.turned:
            lines, unit = self.lines, f.udiv(i, NR)
            inside = f.sub(i, f.mul(unit, NR))
            line = f.add(f.mul(group.number, lines), first)
            scalars = f.at(
                self.weight, (unit, group.count * lines * kernel.line), inside, (line, kernel.line), type=real
            )
            return Operands(vectors, scalars, row=1, jump=0, apart=NR)
        if isinstance(kernel, Dots):
            # Backward, the rows of all groups stand in each panel of the depth; forward, each group has its panels.
            rows = below if self.backward else self.n
            row = f.add(mine, i) if self.backward else i
            panels = 0 if self.backward else f.mul(group.number, self.layout.panels(self.k))
            panel = f.add(panels, f.udiv(first, kernel.span))
            scalars = f.at(self.weight, (panel, rows * kernel.row), (row, kernel.row), type=real)
            return Operands(
                vectors, scalars, row=kernel.row, jump=rows * kernel.row, span=kernel.span, apart=kernel.span
            )
        if self.backward:
            scalars = f.at(self.weight, (first, below), (f.add(mine, i), NR), type=real)
            return Operands(vectors, scalars, row=NR, jump=below * NR)
        unit = f.udiv(i, NR)
        inside = f.sub(i, f.mul(unit, NR))
        scalars = f.at(self.weight, (unit, below * NR), inside, (f.add(mine, first), NR), type=real)
        return Operands(vectors, scalars, row=1, jump=0)
