"""The products of forward and backward propagation.

forward    Z  (m, n) = A W        rows are output features, vectors run along the samples
backward   dA (m, k) = dZ W'      rows are input features, vectors run along the samples
batch      dW (k, n) = A' dZ      rows are input features, vectors run along output features
row        z  (n,)   = x W        one sample; vectors run along output features
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.engines.compiled.kernels.batch_product import batch_product, batch_scratch
from chainrule.engines.compiled.kernels.nonzero import INDEX, NonzeroLists
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.kernels.tile import (
    UNROLL,
    Epilogue,
    Operands,
    Segment,
    Steps,
    Tile,
    accumulate_nonzero,
    accumulate_tile,
    depth_block,
    fold,
    load_rows,
    panel_segments,
    row_segments,
    share,
    store_tile,
    ways_of,
)
from chainrule.engines.llvm.emit import Function, Int, Value

__all__ = [
    "Epilogue",
    "Tile",
    "batch_product",
    "batch_scratch",
    "feature_product",
    "row_predict",
    "share",
    "store_tile",
]


@dataclass(frozen=True)
class _Depth:
    """One depth block of a feature product, the index-th: steps [first, first + whole) and the tail."""

    index: Int
    first: Int
    whole: Int
    tail: int
    begins: Value | bool
    ends: Value | bool


def _depth_blocks(f: Function, layout: PanelLayout, depth: int, body: Callable[[_Depth], None]) -> int:
    """Run `body` for each block of the depth."""
    size = depth_block(layout, depth)
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
    nonzero: tuple[NonzeroLists, Value] | None = None,
    tid: Int = 0,
    team: Int = 1,
) -> None:
    """Forward Z (m, n) = A (m, k) W (k, n), or backward dA (m, k) = dZ (m, n) W'; the result in lane panels.

    weight: W in feature panels; values: A or dZ in lane panels; out: the place of the result, which also holds partial
    sums.  The epilogue is called once for each tile and must store what is wanted (`store_tile` stores it to `out`).
    rolled: the sums are stored to `out` first, and the epilogue is called, in a loop over the rows, with tiles of one
    row: smaller code for a long epilogue.  nonzero: the lists of what is not 0 in A, and their address, for a forward
    product that passes over the rest.  The result has the same bits for any team.
    """
    NR, real, nv = layout.panel, layout.real, layout.vectors
    depth, rows = (n, k) if backward else (k, n)
    segments = (row_segments if backward else panel_segments)(layout, rows, nv)
    units = sum(s.count for s in segments)
    together = 4 if backward else 1  # units that reuse a block of `values` from the level 1 cache
    zero = f.constant(layout.vector, 0.0)

    def tile(size: int, i: Int, panel: Value, d: _Depth) -> None:
        offset = f.mul(f.add(f.mul(panel, rows), i), NR)
        at = f.at(out, offset, type=real)
        if d.begins is True:
            start = [zero] * (size * nv)
        else:
            assert isinstance(d.begins, Value)
            start = f.if_(
                d.begins,
                lambda: [zero] * (size * nv),
                lambda: load_rows(f, layout, at, size, nv),
                results=size * nv,
            )
        plain = nonzero is None or ways_of(layout, size, nv) > 1  # partial sums would be others
        first = d.first if plain else 0  # entries count from the beginning
        vectors = f.at(values, (panel, depth * NR), (first, NR), type=real)
        if backward:
            scalars = f.at(weight, (first, k), (i, NR), type=real)
            operands = Operands(vectors, scalars, row=NR, jump=k * NR)
        else:
            unit = f.udiv(i, NR)
            inside = f.sub(i, f.mul(unit, NR))
            scalars = f.at(weight, (unit, k * NR), inside, (first, NR), type=real)
            operands = Operands(vectors, scalars, row=1, jump=0)
        if plain:
            tail_if = d.ends if isinstance(d.ends, Value) else None
            acc = accumulate_tile(f, layout, size, nv, start, operands, d.whole, d.tail, tail_if)
        else:
            acc = accumulate_nonzero(f, layout, size, nv, start, operands, steps_of(panel, d))
        done = Tile(i, size, panel, fold(acc, nv), offset)
        if rolled:
            store_tile(f, layout, out, done)
        elif isinstance(d.ends, Value):
            f.if_(d.ends, lambda: epilogue(done), lambda: store_tile(f, layout, out, done))
        else:
            epilogue(done)

    def steps_of(panel: Value, d: _Depth) -> Steps:
        assert nonzero is not None
        lists, address = nonzero
        count, entries = lists.of_panel(f, address, panel, d.index)
        total = f.convert("zext", f.load(INDEX, count), "i64")
        return Steps(total, entries, lambda entry: (entry, entry))

    def finish(row: Int, height: Int, panel: Value) -> None:
        def one(r: Int) -> None:
            i = f.add(row, r)
            offset = f.mul(f.add(f.mul(panel, rows), i), NR)
            row_sums = load_rows(f, layout, f.at(out, offset, type=real), 1, nv)
            epilogue(Tile(i, 1, panel, fold(row_sums, nv), offset))

        f.loop(0, height, one)

    def unit_tiles(s: Segment, row: Int, panel: Value, d: _Depth) -> None:
        at = 0
        for size in sorted(set(s.tiles), reverse=True):
            count = s.tiles.count(size)
            begin = at
            f.loop(0, count, lambda t, b=begin, z=size: tile(z, f.add(f.add(row, b), f.mul(t, z)), panel, d))
            at += size * count
        if rolled and d.ends is True:
            finish(row, s.height, panel)
        elif rolled:
            assert isinstance(d.ends, Value)
            f.if_(d.ends, lambda: finish(row, s.height, panel))

    def rectangle(d: _Depth, lane0: Int, first: Int, end: Int, left: Int, right: Int) -> None:
        base = 0
        for s in segments:
            u0, u1 = f.imax(first, base), f.imin(end, base + s.count)

            def group(g: Int, s: Segment = s, u1: Int = u1, base: int = base) -> None:
                stop = f.imin(f.add(g, together), u1) if together > 1 else f.add(g, 1)

                def lane(panel: Value) -> None:
                    if together == 1:
                        unit_tiles(s, f.add(s.row, f.mul(f.sub(g, base), s.height)), panel, d)
                    else:
                        f.loop(
                            g,
                            stop,
                            lambda u: unit_tiles(s, f.add(s.row, f.mul(f.sub(u, base), s.height)), panel, d),
                        )

                f.loop(f.add(lane0, left), f.add(lane0, right), lane)

            f.loop(u0, u1, group, step=together)
            base += s.count

    panels = f.udiv(f.add(m, NR - 1), NR)
    chunk = max(1, layout.target.l2 // 2 // (min(depth, 256) * NR * layout.itemsize))

    def lanes_chunk(lane0: Int) -> None:
        width = f.imin(f.sub(panels, lane0), chunk)
        _depth_blocks(
            f,
            layout,
            depth,
            lambda d: _rectangles(f, units, width, tid, team, lambda *r: rectangle(d, lane0, *r)),
        )

    f.loop(0, panels, lanes_chunk, step=chunk)


def row_predict(
    f: Function,
    layout: PanelLayout,
    *,
    weight: Value,
    x: Value,
    k: int,
    n: int,
    epilogue: Callable[[Int, list[Value]], None],
    tid: Int = 0,
    team: Int = 1,
) -> None:
    """z (n,) = x (k,) W, for one sample, x contiguous; epilogue(feature panel, its vectors of z).  W is read once."""
    NR, real, nv = layout.panel, layout.real, layout.vectors
    size = layout.lanes * layout.itemsize
    panels = layout.panels(n)
    together = max(1, min(panels, layout.chains // nv))
    zero = f.constant(layout.vector, 0.0)

    def group(panel: Int, width: int) -> None:
        lines = f.at(weight, (panel, k * NR), type=real)
        ways = ways_of(layout, width, nv)
        count = width * nv

        def steps(p: Int, acc: Sequence[Value], turns: int) -> list[Value]:
            out = list(acc)
            line, scalar = f.at(lines, (p, NR), type=real), f.at(x, p, type=real)
            for u in range(turns):
                s = f.broadcast(scalar, layout.vector, u)
                for w in range(width):
                    for v in range(nv):
                        a = (u % ways) * count + w * nv + v
                        out[a] = f.fma(
                            s, f.load(layout.vector, line, (w * k + u) * NR + v * layout.lanes, size), out[a]
                        )
            return out

        acc = [zero] * (count * ways)
        tail = k % UNROLL
        acc = f.loop(0, k - tail, lambda p, *a: steps(p, a, UNROLL), acc, step=UNROLL)
        acc = steps(k - tail, acc, tail)
        for way in range(1, ways):
            acc[:count] = [f.fadd(t, a) for t, a in zip(acc[:count], acc[way * count :], strict=False)]
        for w in range(width):
            epilogue(f.add(panel, w), acc[w * nv : w * nv + nv])

    groups, rest = divmod(panels, together)
    lo, hi = share(f, groups + bool(rest), tid, team)
    f.loop(lo, f.imin(hi, groups), lambda g: group(f.mul(g, together), together))
    if rest and isinstance(hi, int):
        group(groups * together, rest)
    elif rest:
        mine = f.bits("and", f.icmp("sle", lo, groups), f.icmp("sgt", hi, groups))
        f.if_(mine, lambda: group(groups * together, rest))
