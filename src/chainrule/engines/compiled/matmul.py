"""The products of forward and backward propagation, on one register tile.

Every product is acc[r][v] = sum_p S(r, p) * V(p)[v]: scalars S of one operand are broadcast, vectors V of the other
stream past, and `rows` x `vectors` sums stay in registers.

    forward    Z  (m, n) = A W        S = W, rows are output features; vectors run along the samples
    backward   dA (m, k) = dZ W'      S = W, rows are input features; vectors run along the samples
    batch      dW (k, n) = A' dZ      S = A, rows are input features; vectors run along output features
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.engines.compiled.emit import Function, Int, Value
from chainrule.engines.compiled.pack import pack_rows
from chainrule.engines.compiled.target import Layout

# Bytes of the streamed operand that one depth block may keep in the level 1 cache.
DEPTH_BYTES_PER_L1 = 3 / 8
UNROLL = 4


@dataclass(frozen=True)
class Tile:
    """A finished register tile, as an epilogue sees it.

    i: its first row; rows: how many; panel: its lane panel (feature products) or feature panel (batch product);
    acc[r][v]: the sums, a vector each; offset: of its first scalar in any buffer laid out as the product's result,
    in elements; row r follows at offset + r*NR.
    """

    i: Int
    rows: int
    panel: Int
    acc: tuple[tuple[Value, ...], ...]
    offset: Int


Epilogue = Callable[[Tile], None]


@dataclass(frozen=True)
class Segment:
    """A run of `count` units from row `row`, each `height` rows cut into `tiles`."""

    row: int
    count: int
    height: int
    tiles: tuple[int, ...]


def _fold(acc: Sequence[Value], width: int) -> tuple[tuple[Value, ...], ...]:
    return tuple(tuple(acc[x : x + width]) for x in range(0, len(acc), width))


def balanced(rows: int, most: int) -> tuple[int, ...]:
    """Rows cut into as few tiles of at most `most` as possible, their sizes at most one apart, larger first."""
    if rows <= 0:
        return ()
    count = -(-rows // most)
    small, larger = divmod(rows, count)
    return (small + 1,) * larger + (small,) * (count - larger)


def _panel_segments(layout: Layout, n: int, vectors: int) -> list[Segment]:
    """Rows = features of a weight, a unit = one of its panels: a 64-byte line is used up by neighbouring tiles."""
    NR, most = layout.panel, layout.tile_rows(vectors)
    full, rest = divmod(n, NR)
    out = []
    if full:
        out.append(Segment(0, full, NR, balanced(NR, most)))
    if rest:
        out.append(Segment(full * NR, 1, rest, balanced(rest, most)))
    return out


def _row_segments(layout: Layout, k: int, vectors: int) -> list[Segment]:
    """Rows = input features, a unit = one tile."""
    sizes = balanced(k, layout.tile_rows(vectors))
    out, row = [], 0
    for size in sorted(set(sizes), reverse=True):
        count = sizes.count(size)
        out.append(Segment(row, count, size, (size,)))
        row += size * count
    return out


def share(f: Function, count: Int, tid: Int, team: Int) -> tuple[Int, Int]:
    """The range [lo, hi) of `count` units that thread `tid` of `team` works on."""
    if team == 1:
        return 0, count
    return f.udiv(f.mul(count, tid), team), f.udiv(f.mul(count, f.add(tid, 1)), team)


def _ways(layout: Layout, rows: int, vectors: int) -> int:
    """Partial sums over the depth for tiles too small to keep the arithmetic units busy."""
    ways = 1
    while rows * vectors * ways < layout.chains and ways < UNROLL:
        ways *= 2
    return ways


@dataclass(frozen=True)
class _Operands:
    """Where one tile finds its operands, at the first step of a depth block.

    vectors: V, its rows NR apart.  scalars: S(0, .); S(r, .) lies `row` scalars further.  Along the depth the scalars
    are NR apart (jump = 0), or neighbours inside panels of NR that begin `jump` apart.
    """

    vectors: Value
    scalars: Value
    row: int
    jump: int
    ahead: int = 0


def _micro(
    f: Function,
    layout: Layout,
    rows: int,
    width: int,
    start: Sequence[Value],
    operands: _Operands,
    whole: Int,
    tail: int = 0,
    tail_if: Value | None = None,
) -> list[Value]:
    """acc[r*width + v] = start + sum_p S(r, p) * V(p)[v], p upwards.

    The depth is `whole`, a multiple of UNROLL, and `tail` further steps, these only where tail_if holds.
    """
    NR, real = layout.panel, layout.real
    size = layout.lanes * layout.itemsize
    ways, count = _ways(layout, rows, width), rows * width
    jump = operands.jump

    def steps(p: Int, scalars: Value, acc: Sequence[Value], turns: int) -> list[Value]:
        out = list(acc)
        lines = f.at(operands.vectors, (p, NR), type=real)
        for u in range(turns):
            line = [f.load(layout.vector, lines, u * NR + v * layout.lanes, size) for v in range(width)]
            along = u if jump else u * NR
            if operands.ahead:
                f.prefetch(f.at(scalars, along + operands.ahead, type=real), locality=3)
            for r in range(rows):
                s = f.broadcast(scalars, layout.vector, r * operands.row + along)
                for v in range(width):
                    x = (u % ways) * count + r * width + v
                    out[x] = f.fma(s, line[v], out[x])
        return out

    def turn(p: Int, *carried: Value) -> list[Value]:
        if not jump:
            return steps(p, f.at(operands.scalars, (p, NR), type=real), carried, UNROLL)
        *acc, scalars = carried
        out = steps(p, scalars, acc, UNROLL)
        if isinstance(p, int):
            return [*out, f.at(scalars, UNROLL if (p + UNROLL) % NR else jump - NR + UNROLL, type=real)]
        # The step that ends a panel goes on at the beginning of the next.
        ends = f.icmp("eq", f.bits("and", p, NR - UNROLL), NR - UNROLL)
        on = f.select(ends, f.constant("i64", jump - NR + UNROLL), UNROLL)
        return [*out, f.at(scalars, on, type=real)]

    acc = [*start, *[f.constant(layout.vector, 0.0)] * (count * (ways - 1))]
    if jump:
        *acc, after = f.loop(0, whole, turn, [*acc, operands.scalars], step=UNROLL, unguarded=True)
    else:
        acc = f.loop(0, whole, turn, acc, step=UNROLL, unguarded=True)
        after = f.at(operands.scalars, (whole, NR), type=real) if tail else operands.scalars
    if tail and tail_if is not None:
        whole_acc = acc
        acc = f.if_(tail_if, lambda: steps(whole, after, whole_acc, tail), lambda: whole_acc, results=len(acc))
    elif tail:
        acc = steps(whole, after, acc, tail)
    for way in range(1, ways):
        acc[:count] = [f.fadd(t, a) for t, a in zip(acc[:count], acc[way * count :], strict=False)]
    return list(acc[:count])


@dataclass(frozen=True)
class _Depth:
    """One depth block of a feature product: steps [first, first + whole) and the tail, in block `index` of `count`."""

    first: Int
    whole: Int
    tail: int
    begins: Value | bool
    ends: Value | bool


def _depth_blocks(f: Function, layout: Layout, depth: int, body: Callable[[_Depth], None]) -> int:
    """Run `body` for each block of the depth; a block of the streamed operand stays in the level 1 cache."""
    NR = layout.panel
    most = max(NR, int(layout.target.l1 * DEPTH_BYTES_PER_L1) // (NR * layout.itemsize))
    blocks = -(-depth // most)
    size = layout.padded(-(-depth // blocks))
    blocks = -(-depth // size)
    tail = depth % UNROLL
    if blocks == 1:
        body(_Depth(0, depth - tail, tail, True, True))
        return depth
    final = depth - size * (blocks - 1)

    def block(index: Value) -> None:
        ends = f.icmp("eq", index, blocks - 1)
        whole = f.select(ends, f.constant("i64", final - tail), size)
        body(_Depth(f.mul(index, size), whole, tail, f.icmp("eq", index, 0), ends))

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
    layout: Layout,
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
    tid: Int = 0,
    team: Int = 1,
) -> None:
    """Forward Z (m, n) = A (m, k) W (k, n), or backward dA (m, k) = dZ (m, n) W'; the result in lane panels.

    weight: W in feature panels; values: A or dZ in lane panels; out: the place of the result, which also holds partial
    sums.  The epilogue is called once for each tile and must store what is wanted (`store_tile` stores it to `out`).
    rolled: the sums are stored to `out` first, and the epilogue is called, in a loop over the rows, with tiles of one
    row: smaller code for a long epilogue.  The result has the same bits for any team.
    """
    NR, real, nv = layout.panel, layout.real, layout.vectors
    depth, rows = (n, k) if backward else (k, n)
    segments = (_row_segments if backward else _panel_segments)(layout, rows, nv)
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
        vectors = f.at(values, (panel, depth * NR), (d.first, NR), type=real)
        if backward:
            scalars = f.at(weight, (d.first, k), (i, NR), type=real)
            operands = _Operands(vectors, scalars, row=NR, jump=k * NR)
        else:
            unit = f.udiv(i, NR)
            inside = f.sub(i, f.mul(unit, NR))
            scalars = f.at(weight, (unit, k * NR), inside, (d.first, NR), type=real)
            operands = _Operands(vectors, scalars, row=1, jump=0)
        tail_if = d.ends if isinstance(d.ends, Value) else None
        acc = _micro(f, layout, size, nv, start, operands, d.whole, d.tail, tail_if)
        done = Tile(i, size, panel, _fold(acc, nv), offset)
        if rolled:
            store_tile(f, layout, out, done)
        elif isinstance(d.ends, Value):
            f.if_(d.ends, lambda: epilogue(done), lambda: store_tile(f, layout, out, done))
        else:
            epilogue(done)

    def finish(row: Int, height: Int, panel: Value) -> None:
        def one(r: Int) -> None:
            i = f.add(row, r)
            offset = f.mul(f.add(f.mul(panel, rows), i), NR)
            row_sums = load_rows(f, layout, f.at(out, offset, type=real), 1, nv)
            epilogue(Tile(i, 1, panel, _fold(row_sums, nv), offset))

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


def batch_product(
    f: Function,
    layout: Layout,
    *,
    values: Value,
    slopes: Value,
    scratch: Value,
    out: Value,
    k: int,
    n: int,
    m: Int,
    epilogue: Epilogue,
    bias_epilogue: Callable[[Int, list[Value]], None] | None = None,
    accumulate: bool | Value = False,
    tid: Int = 0,
    team: Int = 1,
) -> None:
    """dW (k, n) = A' dZ, summed over the m samples; the result in feature panels.

    values: A (m, k), slopes: dZ (m, n), in lane panels; scratch: `batch_scratch` scalars for each thread, its own;
    out: where sums begin if `accumulate` (a bool, or an i1 value read at run time) holds; else they begin at 0.
    The epilogue is called once for each tile (of one or two vectors a row): it may store, or update weights in place.
    bias_epilogue(feature panel, vectors): the sums of dZ over the samples, once for each panel.
    """
    NR, real = layout.panel, layout.real
    full, rest = divmod(n, NR)
    narrow = 1 if 0 < rest <= layout.lanes else layout.vectors
    # (first panel, panels, features in each, vectors wide)
    parts = [(0, full, NR, layout.vectors)] if full else []
    if rest:
        parts.append((full, 1, rest, narrow))
    plans = [(*part, _row_segments(layout, k, part[3])) for part in parts]
    units = sum(count * sum(s.count for s in segments) for _, count, _, _, segments in plans)
    lo, hi = share(f, units, tid, team)
    samples = f.value(m)
    whole = f.mul(f.udiv(f.add(m, UNROLL - 1), UNROLL), UNROLL)

    def tile(size: int, width: int, i: Int, panel: Int) -> None:
        offset = f.mul(f.add(f.mul(panel, k), i), NR)
        at = f.at(out, offset, type=real)
        blank = [f.constant(layout.vector, 0.0)] * (size * width)
        if isinstance(accumulate, Value):
            start = f.if_(
                accumulate, lambda: load_rows(f, layout, at, size, width), lambda: blank, results=size * width
            )
        else:
            start = load_rows(f, layout, at, size, width) if accumulate else blank
        operands = _Operands(scratch, f.at(values, (i, NR), type=real), row=NR, jump=k * NR)
        acc = _micro(f, layout, size, width, start, operands, whole)
        epilogue(Tile(i, size, panel, _fold(acc, width), offset))

    base = 0
    for first, count, features, width, segments in plans:
        tiles = sum(s.count for s in segments)

        def one_panel(
            index: Int,
            base: int = base,
            first: int = first,
            features: int = features,
            width: int = width,
            segments: list[Segment] = segments,
            tiles: int = tiles,
        ) -> None:
            panel = f.add(first, index)
            origin = f.add(base, f.mul(index, tiles))
            t0, t1 = f.imax(f.sub(lo, origin), 0), f.imin(f.sub(hi, origin), tiles)
            sums = pack_rows(f, layout, values=slopes, scratch=scratch, n=n, panel=panel, features=features, m=samples)
            if bias_epilogue is not None and isinstance(t0, int):
                bias_epilogue(panel, sums)
            elif bias_epilogue is not None:
                f.if_(f.icmp("eq", t0, 0), lambda: bias_epilogue(panel, sums))
            at = 0
            for s in segments:
                u0, u1 = f.imax(t0, at), f.imin(t1, at + s.count)
                f.loop(
                    u0,
                    u1,
                    lambda u, s=s, at=at: tile(s.height, width, f.add(s.row, f.mul(f.sub(u, at), s.height)), panel),
                )
                at += s.count

        p0 = f.udiv(f.imax(f.sub(lo, base), 0), tiles)
        p1 = f.imin(f.udiv(f.add(f.imax(f.sub(hi, base), 0), tiles - 1), tiles), count)
        f.loop(p0, p1, one_panel)
        base += count * tiles


def batch_scratch(layout: Layout, m: int) -> int:
    """Scalars of scratch that one thread needs for batch_product with up to m samples."""
    return layout.padded(m) * layout.panel


def row_predict(
    f: Function,
    layout: Layout,
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
        ways = _ways(layout, width, nv)
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


def load_rows(f: Function, layout: Layout, at: Value, rows: int, width: int) -> list[Value]:
    """The vectors of `rows` consecutive rows, NR apart, flat."""
    size = layout.lanes * layout.itemsize
    return [
        f.load(layout.vector, at, r * layout.panel + v * layout.lanes, size) for r in range(rows) for v in range(width)
    ]


def store_tile(f: Function, layout: Layout, buffer: Value, tile: Tile) -> None:
    """Store the sums of a tile to its place in a buffer laid out as the product's result."""
    at = f.at(buffer, tile.offset, type=layout.real)
    for r, row in enumerate(tile.acc):
        for v, x in enumerate(row):
            f.store(x, at, r * layout.panel + v * layout.lanes, layout.lanes * layout.itemsize)
