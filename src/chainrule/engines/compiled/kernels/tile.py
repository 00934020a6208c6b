"""The register tile that every product is made of, and how rows are cut into tiles and shared among threads.

acc[r][v] = sum_p S(r, p) * V(p)[v]: scalars S of one operand are broadcast, vectors V of the other stream past, and
`rows` x `vectors` sums stay in registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.engines.compiled.kernels.inner import Kernel, MultiplyAdd
from chainrule.engines.compiled.kernels.long_sums import DEEP
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.llvm.emit import Function, Int, Value

UNROLL = 4
DEPTH_BYTES_PER_L1 = 1 / 2
"""Bytes of the streamed operand that one depth block may keep in the level 1 cache."""


@dataclass(frozen=True)
class Tile:
    """A finished register tile, as an epilogue sees it."""

    i: Int
    """Its first row, counted in the whole result where it is of groups or members."""
    rows: int
    """How many rows it has."""
    panel: Int
    """Its lane panel (feature products) or feature panel (batch product)."""
    acc: tuple[tuple[Value, ...], ...]
    """acc[r][v]: the sums, a vector each."""
    offset: Int
    """Of its first scalar in any buffer laid out as the product's result, in elements; row r at offset + r NR."""


Epilogue = Callable[[Tile], None]


@dataclass(frozen=True)
class Group:
    """Which of the groups of features, that stand side by side, a product is of."""

    count: int = 1
    """How many there are."""
    number: Int = 0
    """Which one it is; its weights stand below those of the groups before it."""


WHOLE = Group()
"""The only one."""


@dataclass(frozen=True)
class Segment:
    """A run of units of equal height."""

    row: int
    """The first row."""
    count: int
    """How many units there are."""
    height: int
    """Rows of each."""
    tiles: tuple[int, ...]
    """The heights of the tiles that each is cut into."""


def fold(acc: Sequence[Value], width: int) -> tuple[tuple[Value, ...], ...]:
    """A flat list of sums as rows of `width` vectors."""
    return tuple(tuple(acc[x : x + width]) for x in range(0, len(acc), width))


def balanced(rows: int, most: int, steps: int = 1) -> tuple[int, ...]:
    """Rows cut into as few tiles of at most `most` as possible, their sizes at most one apart, larger first.

    steps: rows that are not parted: all tiles but the last are of so many or a multiple.
    """
    if rows <= 0:
        return ()
    if steps > 1:
        whole = [steps * size for size in balanced(-(-rows // steps), max(most // steps, 1))]
        return (*whole[:-1], whole[-1] - (sum(whole) - rows))
    count = -(-rows // most)
    small, larger = divmod(rows, count)
    return (small + 1,) * larger + (small,) * (count - larger)


def panel_segments(layout: PanelLayout, n: int, vectors: int, most: int | None = None) -> list[Segment]:
    """Rows = features of a weight, a unit = one of its panels: a 64-byte line is used up by neighbouring tiles.

    most: the most rows of a tile, where it is not that of the multiply-add.
    """
    NR, most = layout.panel, layout.tile_rows(vectors) if most is None else most
    full, rest = divmod(n, NR)
    out = []
    if full:
        out.append(Segment(0, full, NR, balanced(NR, most)))
    if rest:
        out.append(Segment(full * NR, 1, rest, balanced(rest, most)))
    return out


def row_segments(layout: PanelLayout, k: int, vectors: int, most: int | None = None, steps: int = 1) -> list[Segment]:
    """Rows = input features, a unit = one tile.  most: as in `panel_segments`; steps: as in `balanced`."""
    sizes = balanced(k, layout.tile_rows(vectors) if most is None else most, steps)
    out, row = [], 0
    for size in sorted(set(sizes), reverse=True):
        count = sizes.count(size)
        out.append(Segment(row, count, size, (size,)))
        row += size * count
    return out


def depth_block(layout: PanelLayout, depth: int, line: int | None = None) -> int:
    """Lines of a depth block of a feature product, a multiple of the panel where there are several; the last has fewer.

    A block of the streamed operand stays in the level 1 cache, or fills it where there are very many.
    line: scalars of a line, where it is not one step of numbers as they are.
    """
    NR = layout.panel
    twice = 1 + (depth > DEEP)
    most = twice * max(NR, int(layout.target.l1 * DEPTH_BYTES_PER_L1) // ((line or NR) * layout.itemsize))
    blocks = -(-depth // most)
    if blocks == 1:
        return depth
    size = layout.padded(-(-depth // blocks))
    while 0 < depth % size < UNROLL:  # the last block has at least one whole turn, which its loop takes unasked
        size += NR
    return size


def share(f: Function, count: Int, tid: Int, team: Int) -> tuple[Int, Int]:
    """The range [lo, hi) of `count` units that thread `tid` of `team` works on."""
    if team == 1:
        return 0, count
    return f.udiv(f.mul(count, tid), team), f.udiv(f.mul(count, f.add(tid, 1)), team)


def ways_of(layout: PanelLayout, rows: int, vectors: int) -> int:
    """Partial sums over the depth for tiles too small to keep the arithmetic units busy."""
    ways = 1
    while rows * vectors * ways < layout.chains and ways < UNROLL:
        ways *= 2
    return ways


@dataclass(frozen=True)
class Operands:
    """Where one tile finds its operands, at the first step of a depth block."""

    vectors: Value
    """V, its lines as far apart as the kernel has them."""
    scalars: Value
    """S(0, .), for the first row of the tile."""
    row: int
    """S(r + 1, .) lies so many scalars after S(r, .)."""
    jump: int
    """Along the depth the scalars are a line apart (0), or neighbours inside panels that begin `jump` apart."""
    span: int = 0
    """The neighbours inside a panel; 0 for NR."""
    apart: int = 0
    """A part of a scalar lies so many after the part before."""
    ahead: int = 0
    """Scalars that are asked for so many elements before they are read; 0: not at all."""


def accumulate_tile(
    f: Function,
    layout: PanelLayout,
    rows: int,
    width: int,
    start: Sequence[Value],
    operands: Operands,
    whole: Int,
    tail: int = 0,
    tail_if: Value | None = None,
    kernel: Kernel | None = None,
    meanwhile: Callable[[Int], None] | None = None,
) -> list[Value]:
    """acc[r*width + v] = start + sum_p S(r, p) * V(p)[v], p upwards.

    The depth is `whole` lines, a multiple of UNROLL, and `tail` further ones, these only where tail_if holds.
    kernel: what is multiplied and added up; numbers as they are, if it is not said.  meanwhile: emits what is done
    beside, once every UNROLL lines, from the number of the first of them.
    """
    NR, real = layout.panel, layout.real
    kernel = MultiplyAdd(layout) if kernel is None else kernel
    ways, count = ways_of(layout, rows, width), rows * width
    jump, span = operands.jump, operands.span or NR

    def steps(p: Int, scalars: Value, acc: Sequence[Value], turns: int) -> list[Value]:
        out = list(acc)
        lines = f.at(operands.vectors, (p, kernel.line), type=real)
        for u in range(turns):
            line = kernel.streamed(f, lines, u * kernel.line, width)
            along = u if jump else u * kernel.line
            if operands.ahead:
                f.prefetch(f.at(scalars, along + operands.ahead, type=real), locality=3)
            for r in range(rows):
                s = kernel.broadcast(f, scalars, r * operands.row + along, operands.apart)
                for v in range(width):
                    x = (u % ways) * count + r * width + v
                    out[x] = kernel.add(f, s, line[v], out[x])
        return out

    def turn(p: Int, *carried: Value) -> list[Value]:
        if meanwhile is not None:
            meanwhile(p)
        if not jump:
            return steps(p, f.at(operands.scalars, (p, kernel.line), type=real), carried, UNROLL)
        *acc, scalars = carried
        out = steps(p, scalars, acc, UNROLL)
        if isinstance(p, int):
            return [*out, f.at(scalars, UNROLL if (p + UNROLL) % span else jump - span + UNROLL, type=real)]
        # The step that ends a panel goes on at the beginning of the next.
        ends = f.icmp("eq", f.bits("and", p, span - UNROLL), span - UNROLL)
        on = f.select(ends, f.constant("i64", jump - span + UNROLL), UNROLL)
        return [*out, f.at(scalars, on, type=real)]

    acc = [*start, *[f.constant(layout.vector, 0.0)] * (count * (ways - 1))]
    if jump:
        *acc, after = f.loop(0, whole, turn, [*acc, operands.scalars], step=UNROLL, unguarded=True)
    else:
        acc = f.loop(0, whole, turn, acc, step=UNROLL, unguarded=True)
        after = f.at(operands.scalars, (whole, kernel.line), type=real) if tail else operands.scalars
    if tail and tail_if is not None:
        whole_acc = acc
        acc = f.if_(tail_if, lambda: steps(whole, after, whole_acc, tail), lambda: whole_acc, results=len(acc))
    elif tail:
        acc = steps(whole, after, acc, tail)
    for way in range(1, ways):
        acc[:count] = [f.fadd(t, a) for t, a in zip(acc[:count], acc[way * count :], strict=False)]
    return list(acc[:count])


@dataclass(frozen=True)
class Steps:
    """The steps that a tile takes of a product that passes over zeros."""

    count: Value
    """How many (i64)."""
    entries: Value
    """The address of as many entries (i32)."""
    places: Callable[[Value], tuple[Value, Value]]
    """From an entry to the offsets of the line of vectors and of the first scalar."""


def accumulate_nonzero(
    f: Function,
    layout: PanelLayout,
    rows: int,
    width: int,
    start: Sequence[Value],
    operands: Operands,
    taken: Steps,
    kernel: Kernel,
) -> list[Value]:
    """acc[r*width + v] = start + sum of S(r, p) * V(p)[v] over the listed lines p, in their order."""
    real = layout.real

    def steps(e: Int, acc: Sequence[Value], turns: int) -> list[Value]:
        out = list(acc)
        for u in range(turns):
            entry = f.convert("zext", f.load("i32", f.at(taken.entries, e, type="i32"), u), "i64")
            line_at, scalars_at = taken.places(entry)
            lines = f.at(operands.vectors, line_at, type=real)
            scalars = f.at(operands.scalars, scalars_at, type=real)
            line = kernel.streamed(f, lines, 0, width)
            for r in range(rows):
                s = kernel.broadcast(f, scalars, r * operands.row, operands.apart)
                for v in range(width):
                    x = r * width + v
                    out[x] = kernel.add(f, s, line[v], out[x])
        return out

    pairs = f.bits("and", taken.count, -2)
    acc = f.loop(0, pairs, lambda e, *a: steps(e, a, 2), list(start), step=2)
    odd = f.icmp("ne", pairs, taken.count)
    return f.if_(odd, lambda: steps(pairs, acc, 1), lambda: acc, results=len(acc))


def load_rows(f: Function, layout: PanelLayout, at: Value, rows: int, width: int) -> list[Value]:
    """The vectors of `rows` consecutive rows, NR apart, flat."""
    size = layout.lanes * layout.itemsize
    return [
        f.load(layout.vector, at, r * layout.panel + v * layout.lanes, size) for r in range(rows) for v in range(width)
    ]


def not_finite(f: Function, layout: PanelLayout, at: Value, rows: int, width: int) -> Value:
    """Whether one of the numbers in `rows` rows, NR apart, is infinite or none."""
    blank = f.constant(layout.vector, 0.0)

    def row(r: Int, *seen: Value) -> list[Value]:
        line = load_rows(f, layout, f.at(at, (r, layout.panel), type=layout.real), 1, width)
        return [f.fadd(s, f.fsub(x, x)) for s, x in zip(seen, line, strict=True)]  # x - x is 0, or none

    total, *others = f.loop(0, rows, row, [blank] * width)
    for other in others:
        total = f.fadd(total, other)
    return f.fcmp("uno", f.reduce(f.fadd, total), 0.0)


def store_tile(f: Function, layout: PanelLayout, buffer: Value, tile: Tile) -> None:
    """Store the sums of a tile to its place in a buffer laid out as the product's result."""
    at = f.at(buffer, tile.offset, type=layout.real)
    for r, row in enumerate(tile.acc):
        for v, x in enumerate(row):
            f.store(x, at, r * layout.panel + v * layout.lanes, layout.lanes * layout.itemsize)
