"""Numbers split into bfloat16 parts, and the words that two of them make: how the operands of `inner.Dots` are packed.

    x₁ = bf16(x), x₂ = bf16(x - x₁), ...      bf16: to the nearest, halves to even; above 3.39e38 to infinity

Beside an infinite part the others are 0: infinite minus infinite would make NaN of every product with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainrule.engines.compiled.kernels.inner import UPPER, Dots
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.llvm.emit import Function, Int, Value, lanes_of


def rounded(f: Function, x: Value) -> Value:
    """bf16(x) as bits, whose lower halves are 0."""
    bits = f.convert("bitcast", x, "i32")
    odd = f.bits("and", f.bits("lshr", bits, 16), 1)
    near = f.add(f.add(bits, odd), 0x7FFF)
    # x + x: a NaN that is quiet, of which something is left when its lower half is cut off.
    others = f.convert("bitcast", f.fadd(x, x), "i32")
    return f.bits("and", f.select(f.fcmp("ord", x, x), near, others), UPPER)


def split(f: Function, x: Value, parts: int, scaled: bool = False) -> list[Value]:
    """The parts of x as bits, whose lower halves are 0; scaled: each 256 times as large as the one before has it."""
    found: list[Value] = []
    for _ in range(parts):
        if found:
            before = f.convert("bitcast", found[-1], "float")
            finite = f.fcmp("olt", f.fabs(before), f.constant(x.type, math.inf))
            x = f.select(finite, f.fsub(x, before), f.constant(x.type, 0.0))
            x = f.fmul(x, 256.0) if scaled else x
        found.append(rounded(f, x))
    return found


def words_of(f: Function, kernel: Dots, low: Value, high: Value) -> list[Value]:
    """The words of each part: of `low` in the lower half, of `high` in the upper."""
    if kernel.converts:
        both, lanes = _converted(f, low, high), lanes_of(low.type)
        return [_as_words(f, f.shuffle(both, both, [x for k in range(lanes) for x in (k, lanes + k)]))]
    pairs = zip(*(split(f, x, kernel.parts, kernel.scaled) for x in (low, high)), strict=True)
    return [f.bits("or", f.bits("lshr", a, 16), b) for a, b in pairs]


def neighbours(f: Function, kernel: Dots, a: Value, b: Value) -> list[Value]:
    """The words of each part of the neighbouring lanes of a and b, one after the other."""
    if kernel.converts:
        return [_as_words(f, _converted(f, a, b))]
    even, odd = (f.shuffle(a, b, range(first, 2 * lanes_of(a.type), 2)) for first in (0, 1))
    return words_of(f, kernel, even, odd)


def neighbours_of_one(f: Function, kernel: Dots, x: Value) -> list[Value]:
    """The words of each part of the neighbouring lanes of one vector, half as many."""
    if kernel.converts:
        name, to = "llvm.x86.avx512bf16.cvtneps2bf16.512", "<16 x bfloat>"
        f.declarations.setdefault(name, f"declare {to} @{name}({x.type})")
        both = f.emit(to, f"call {to} @{name}({x})")
        return [f.emit("<8 x i32>", f"bitcast {both} to <8 x i32>")]
    even, odd = (f.shuffle(x, x, range(first, lanes_of(x.type), 2)) for first in (0, 1))
    return words_of(f, kernel, even, odd)


def _converted(f: Function, low: Value, high: Value) -> Value:
    """Two vectors rounded to bfloat16 by one instruction, the lanes of `low` before those of `high`."""
    name, to = "llvm.x86.avx512bf16.cvtne2ps2bf16.512", "<32 x bfloat>"
    f.declarations.setdefault(name, f"declare {to} @{name}({low.type}, {low.type})")
    return f.emit(to, f"call {to} @{name}({high}, {low})")


def _as_words(f: Function, x: Value) -> Value:
    return f.emit("<16 x i32>", f"bitcast {x} to <16 x i32>")


def pack_lines(f: Function, kernel: Dots, *, values: Value, to: Value, n: int, groups: int, lo: Int, hi: Int) -> None:
    """The streamed form of lane panels [lo, hi) of a batch value: two neighbouring features make a word.

    The features are those of so many groups of n side by side; each group begins a line of its own.
    """
    real, there = kernel.layout.real, kernel.stored_lines(n)

    def group(g: Int) -> None:
        target = f.at(to, (g, there * kernel.line), type=real)
        pack_pairs(f, kernel, rows=f.at(values, (g, n * kernel.layout.panel), type=real), to=target, count=n)
        pad_lines(f, kernel, to=target, n=n)

    f.loop(f.mul(lo, groups), f.mul(hi, groups), group)


def pack_pairs(f: Function, kernel: Dots, *, rows: Value, to: Value, count: int) -> None:
    """So many rows, NR scalars each, to lines of words of two neighbouring ones; the last may be alone."""
    layout = kernel.layout
    NR, real = layout.panel, layout.real

    def pair(q: Int, *, single: bool = False) -> None:
        low = load_row(f, layout, f.at(rows, (q, 2 * NR), type=real))
        high = [] if single else load_row(f, layout, f.at(rows, (q, 2 * NR), NR, type=real))
        store_pair(f, kernel, low, high, f.at(to, (q, kernel.line), type=real))

    f.loop(0, count // 2, pair)
    if count % 2:
        pair(count // 2, single=True)


def pad_lines(f: Function, kernel: Dots, *, to: Value, n: int) -> None:
    """Zeros in the lines past those of n features, as far as there is room."""
    layout, lines = kernel.layout, -(-n // kernel.steps)
    blank = f.constant(layout.vector, 0.0)
    rest = f.at(to, lines * kernel.line, type=layout.real)
    count = (kernel.stored_lines(n) - lines) * kernel.line // layout.lanes
    f.loop(0, count, lambda v: f.store(blank, f.at(rest, (v, layout.lanes), type=layout.real)))


def pack_rows_of_lanes(
    f: Function, kernel: Dots, *, values: Value, to: Value, lo: Int, hi: Int, there: Int | None = None
) -> None:
    """The broadcast form, with the lanes of a panel as the depth, of the rows [lo, hi) of all panels, one after the
    other: neighbouring lanes make a word.  there: lanes from which on words are 0.
    """
    layout = kernel.layout
    NR, real = layout.panel, layout.real

    def row(r: Int) -> None:
        vectors = load_row(f, layout, f.at(values, (r, NR), type=real))
        if there is not None:
            vectors = first_lanes(f, layout, vectors, there)
        store_neighbours(f, kernel, vectors, f.at(to, (r, kernel.row), type=real))

    f.loop(lo, hi, row)


def pack_pairs_of_rows(
    f: Function, kernel: Dots, *, weight: Value, to: Value, k: int, groups: int, lo: Int, hi: Int
) -> None:
    """The words of weights as they lie, two neighbouring rows in a word, for the panels [lo, hi) of their columns.

    The rows are those of so many groups of k below each other; each group begins a line of its own.
    """
    NR, real, lines = kernel.layout.panel, kernel.layout.real, kernel.lines(k)

    def group(g: Int) -> None:
        """Of all groups of all panels, one after the other."""
        source = f.at(weight, (g, k * NR), type=real)
        pack_pairs(f, kernel, rows=source, to=f.at(to, (g, lines * kernel.line), type=real), count=k)

    f.loop(f.mul(lo, groups), f.mul(hi, groups), group)


def first_lanes(f: Function, layout: PanelLayout, row: Sequence[Value], there: Int) -> list[Value]:
    """A row of which so many lanes are there, the others 0: what an update leaves in them may be anything."""
    lanes = layout.lanes
    masks = [f.lane_mask(f.value(there), lanes, first=v * lanes) for v in range(len(row))]
    return [f.select(mask, x, f.constant(layout.vector, 0.0)) for mask, x in zip(masks, row, strict=True)]


def load_row(f: Function, layout: PanelLayout, at: Value) -> list[Value]:
    """The vectors of a panel's row."""
    lanes = layout.lanes
    return [f.load(layout.vector, at, v * lanes, lanes * layout.itemsize) for v in range(layout.vectors)]


def store_pair(f: Function, kernel: Dots, low: Sequence[Value], high: Sequence[Value], to: Value) -> None:
    """A line of the words of two rows, vector by vector; `high` is empty where there is no second."""
    layout = kernel.layout
    for v, x in enumerate(low):
        y = high[v] if high else f.constant(layout.vector, 0.0)
        for part, words in enumerate(words_of(f, kernel, x, y)):
            f.store(words, to, part * layout.panel + v * layout.lanes, layout.lanes * layout.itemsize)


def store_neighbours(f: Function, kernel: Dots, row: Sequence[Value], to: Value) -> None:
    """The words of a row's neighbouring lanes; vectors that are left out at its end are 0."""
    layout = kernel.layout
    vectors = [*row, *[f.constant(layout.vector, 0.0)] * (layout.vectors - len(row))]
    for part, words in enumerate(neighbours(f, kernel, *vectors)):
        f.store(words, to, part * kernel.span, layout.lanes * layout.itemsize)


def pack_turned(
    f: Function, kernel: Dots, *, weight: Value, to: Value, k: int, n: int, groups: int, lo: Int, hi: Int
) -> None:
    """The broadcast form of weights (k, n), those of the groups below each other, with the rows as the depth.

    [lo, hi): which of the panels of the depth, those of all groups counted one after the other.
    """
    layout = kernel.layout
    NR, lanes, real = layout.panel, layout.lanes, layout.real
    size, below = lanes * layout.itemsize, groups * k
    zero = f.constant(layout.vector, 0.0)

    def block(source: Value, target: Value, rows: int, count: int) -> None:
        """`count` columns, of which the first `rows` rows are there."""
        vectors = [f.load(layout.vector, source, r * NR, size) if r < rows else zero for r in range(NR)]
        words = [words_of(f, kernel, vectors[r], vectors[r + 1]) for r in range(0, NR, 2)]
        for part in range(kernel.parts):
            for c, column in enumerate(f.transpose([w[part] for w in words])[:count]):
                f.store(column, target, c * kernel.row + part * kernel.span, size)

    def panel(number: Int, p: Int, g: Int, rows: int) -> None:
        """A panel of the depth, the p-th of its group."""
        source = f.at(weight, (f.add(f.mul(g, k), f.mul(p, NR)), NR), type=real)
        target = f.at(to, (number, n * kernel.row), type=real)

        def columns(b: Int, count: int = lanes) -> None:
            j = f.mul(b, lanes)
            place = f.udiv(b, layout.vectors)
            inside = f.mul(f.sub(b, f.mul(place, layout.vectors)), lanes)
            from_ = f.at(source, (place, below * NR), inside, type=real)
            block(from_, f.at(target, (j, kernel.row), type=real), rows, count)

        f.loop(0, n // lanes, columns)
        if n % lanes:
            columns(n // lanes, n % lanes)

    full, rest = divmod(k, NR)

    def one(number: Int) -> None:
        g = f.udiv(number, layout.panels(k))
        p = f.sub(number, f.mul(g, layout.panels(k)))
        if not rest:
            panel(number, p, g, NR)
        elif not full:
            panel(number, p, g, rest)
        else:
            last = f.icmp("eq", f.value(p), full)
            f.if_(last, lambda: panel(number, p, g, rest), lambda: panel(number, p, g, NR))

    f.loop(lo, hi, one)
