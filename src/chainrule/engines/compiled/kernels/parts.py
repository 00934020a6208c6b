"""Numbers split into bfloat16 parts, and the words that two of them make: how the operands of `inner.Dots` are packed.

    x₁ = bf16(x), x₂ = bf16(x - x₁), ...      bf16: to the nearest, halves to even; above 3.39e38 to infinity

Beside an infinite part the others are 0: infinite minus infinite would make NaN of every product with it.
"""

from __future__ import annotations

import math

from chainrule.engines.compiled.kernels.inner import UPPER, Dots
from chainrule.engines.llvm.emit import Function, Int, Value, lanes_of


def rounded(f: Function, x: Value) -> Value:
    """bf16(x) as bits, whose lower halves are 0."""
    bits = f.convert("bitcast", x, "i32")
    odd = f.bits("and", f.bits("lshr", bits, 16), 1)
    near = f.add(f.add(bits, odd), 0x7FFF)
    # x + x: a NaN that is quiet, of which something is left when its lower half is cut off.
    others = f.convert("bitcast", f.fadd(x, x), "i32")
    return f.bits("and", f.select(f.fcmp("ord", x, x), near, others), UPPER)


def split(f: Function, x: Value, parts: int) -> list[Value]:
    """The parts of x as bits, whose lower halves are 0."""
    found: list[Value] = []
    for _ in range(parts):
        if found:
            before = f.convert("bitcast", found[-1], "float")
            finite = f.fcmp("olt", f.fabs(before), f.constant(x.type, math.inf))
            x = f.select(finite, f.fsub(x, before), f.constant(x.type, 0.0))
        found.append(rounded(f, x))
    return found


def words_of(f: Function, kernel: Dots, low: Value, high: Value) -> list[Value]:
    """The words of each part: of `low` in the lower half, of `high` in the upper."""
    if kernel.converts:
        both, lanes = _converted(f, low, high), lanes_of(low.type)
        return [_as_words(f, f.shuffle(both, both, [x for k in range(lanes) for x in (k, lanes + k)]))]
    pairs = zip(split(f, low, kernel.parts), split(f, high, kernel.parts), strict=True)
    return [f.bits("or", f.bits("lshr", a, 16), b) for a, b in pairs]


def neighbours(f: Function, kernel: Dots, a: Value, b: Value) -> list[Value]:
    """The words of each part of the neighbouring lanes of a and b, one after the other."""
    if kernel.converts:
        return [_as_words(f, _converted(f, a, b))]
    even, odd = (f.shuffle(a, b, range(first, 2 * lanes_of(a.type), 2)) for first in (0, 1))
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
    layout = kernel.layout
    NR, lanes, real = layout.panel, layout.lanes, layout.real
    size, lines, there = lanes * layout.itemsize, -(-n // kernel.steps), kernel.stored_lines(n)

    def group(g: Int) -> None:
        source = f.at(values, (g, n * NR), type=real)
        target = f.at(to, (g, there * kernel.line), type=real)

        def line(q: Int, *, single: bool = False) -> None:
            for v in range(layout.vectors):
                here = f.at(source, (q, 2 * NR), v * lanes, type=real)
                low = f.load(layout.vector, here, 0, size)
                high = f.constant(layout.vector, 0.0) if single else f.load(layout.vector, here, NR, size)
                there = f.at(target, (q, kernel.line), v * lanes, type=real)
                for part, words in enumerate(words_of(f, kernel, low, high)):
                    f.store(words, there, part * NR, size)

        f.loop(0, n // 2, line)
        if n % 2:
            line(n // 2, single=True)
        blank = f.constant(layout.vector, 0.0)
        rest = f.at(target, lines * kernel.line, type=real)
        f.loop(0, (there - lines) * kernel.line // lanes, lambda v: f.store(blank, f.at(rest, (v, lanes), type=real)))

    f.loop(f.mul(lo, groups), f.mul(hi, groups), group)


def pack_rows_of_lanes(f: Function, kernel: Dots, *, values: Value, to: Value, lo: Int, hi: Int) -> None:
    """The broadcast form, with the lanes of a panel as the depth, of the rows [lo, hi) of all panels, one after the
    other: neighbouring lanes make a word.
    """
    layout = kernel.layout
    NR, lanes, real = layout.panel, layout.lanes, layout.real
    size = lanes * layout.itemsize

    def row(r: Int) -> None:
        source, target = f.at(values, (r, NR), type=real), f.at(to, (r, kernel.row), type=real)
        vectors = [f.load(layout.vector, source, v * lanes, size) for v in range(layout.vectors)]
        for part, words in enumerate(neighbours(f, kernel, *vectors)):
            f.store(words, target, part * kernel.span, size)

    f.loop(lo, hi, row)


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
