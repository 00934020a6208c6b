"""What an inner loop adds up: the seam between how a product is cut into tiles and how a tile's sums are made.

A kernel says how many steps of the depth stand in a line of its operands, how the operands are packed, how many rows
its tile has, and how a line is added to the sums.  Cutting, threads, epilogues and blocks of the depth are the same for
all.

    MultiplyAdd    numbers as they are: a line is one step, acc + s v
    Dots           numbers split into bfloat16 parts, two neighbours of the depth in a 32-bit word: a line is two steps,
                   acc + s_hi v_hi + s_lo v_lo, for each pair of parts that counts (`program/precision.py`)
    TileProducts   the same words, by the matrix tiles of the processor: 2 x 2 tiles of sums, 16 lines at a time
    WholeProducts  three parts by tiles, small products by themselves: as near to the numbers' product as MultiplyAdd
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.llvm.emit import Function, Int, Value
from chainrule.engines.llvm.target import Target
from chainrule.engines.llvm.tiles import ROWS, Tiles
from chainrule.engines.llvm.value import like
from chainrule.program.precision import pairs

UPPER = -(1 << 16)
"""The upper half of a 32-bit word: a bfloat16 number, and the float32 number that it is."""


@dataclass(frozen=True)
class Kernel:
    """What is multiplied and added up in a register tile."""

    layout: PanelLayout
    """How values of the dtype lie."""

    @property
    def way(self) -> str:
        """What it is done by, in a word."""
        return "multiply-adds"

    @property
    def steps(self) -> int:
        """Steps of the depth in a line."""
        return 1

    @property
    def line(self) -> int:
        """Scalars from one line of the streamed operand to the next."""
        return self.layout.panel

    def lines(self, depth: int) -> int:
        """The lines of so many steps."""
        return -(-depth // self.steps)

    def tile_rows(self, vectors: int) -> int:
        """The most rows of a register tile so many vectors wide."""
        raise NotImplementedError

    def streamed(self, f: Function, at: Value, offset: int, width: int) -> list[tuple[Value, ...]]:
        """A line's vectors, made ready to be multiplied."""
        raise NotImplementedError

    def broadcast(self, f: Function, at: Value, offset: int, apart: int = 0) -> tuple[Value, ...]:
        """What is multiplied with a line, in every lane.  apart: from a number's part to its next."""
        raise NotImplementedError

    def add(self, f: Function, scalars: Sequence[Value], line: Sequence[Value], acc: Value) -> Value:
        """acc and the products of a line."""
        raise NotImplementedError


@dataclass(frozen=True)
class MultiplyAdd(Kernel):
    """Numbers as they are, multiplied and added with one rounding."""

    def tile_rows(self, vectors: int) -> int:
        """As many as the registers hold."""
        return self.layout.tile_rows(vectors)

    def streamed(self, f: Function, at: Value, offset: int, width: int) -> list[tuple[Value, ...]]:
        """A vector for each."""
        lanes = self.layout.lanes
        return [
            (f.load(self.layout.vector, at, offset + v * lanes, lanes * self.layout.itemsize),) for v in range(width)
        ]

    def broadcast(self, f: Function, at: Value, offset: int, apart: int = 0) -> tuple[Value, ...]:
        """The number."""
        return (f.broadcast(at, self.layout.vector, offset),)

    def add(self, f: Function, scalars: Sequence[Value], line: Sequence[Value], acc: Value) -> Value:
        """acc + s v"""
        return f.fma(scalars[0], line[0], acc)


@dataclass(frozen=True)
class Dots(Kernel):
    """float32 numbers as sums of bfloat16 parts, products of which are exact and added up in float32.

    A word holds a number's part in its lower half, and that of the next number along the depth in its upper half:

        streamed     (depth, lanes)  word (q, l) of part b at [q][b][l]: a line is NR words for each part
        broadcast    (rows, depth)   word (r, q) of part a at [q // (NR/2)][r][a][q % (NR/2)]: panels of NR steps
        weights of a forward product, unless `turned`: word (r, q) of part a at [r // NR][q][a][r % NR], as they lie

    All ways take the words in the same order, and the products in a word the upper first: the same bits.
    """

    parts: int = 1
    """Of each number."""
    dots: bool = False
    """Whether the processor has an instruction for it (AVX512-BF16); else each product is a multiply-add."""

    @property
    def way(self) -> str:
        """What it is done by, in a word."""
        return "dots" if self.dots else "vectors"

    @property
    def turned(self) -> bool:
        """Whether the weights of a forward product are turned round to be broadcast, their depth inside."""
        return False

    @property
    def converts(self) -> bool:
        """Whether the processor rounds numbers to one part by itself."""
        return self.parts == 1 and has_dots(self.layout.target)

    @property
    def scaled(self) -> bool:
        """Whether each part is 256 times as large as it is, the one after it 256 times that, and so on."""
        return False

    def stored_lines(self, depth: int) -> int:
        """The lines that there is room for, 0 where the depth has ended: where there are tiles, whole ones."""
        lines = self.lines(depth)
        return -(-lines // self.span) * self.span if self.layout.target.tiles else lines

    def __post_init__(self) -> None:
        assert self.layout.dtype == "float32", "bfloat16 numbers are parts of float32 numbers"

    @property
    def steps(self) -> int:
        """Two numbers in a word."""
        return 2

    @property
    def line(self) -> int:
        """A word for each lane and part."""
        return self.layout.panel * self.parts

    @property
    def span(self) -> int:
        """Words of a row in a panel of the depth, for each part."""
        return self.layout.panel // 2

    @property
    def row(self) -> int:
        """Words from one row of the broadcast operand to the next."""
        return self.span * self.parts

    @cached_property
    def words(self) -> str:
        """LLVM's type of a vector of words."""
        return like(self.layout.vector, "i32")

    def tile_rows(self, vectors: int) -> int:
        """As many as the registers hold beside a line and what is broadcast."""
        held, broadcast = (1, 1) if self.dots else (2, 2)
        spare = self.layout.target.registers - held * vectors * self.parts - broadcast - 1
        most = max(1, min(spare // vectors, 14))
        return most if most < 2 else most // 2 * 2

    def streamed(self, f: Function, at: Value, offset: int, width: int) -> list[tuple[Value, ...]]:
        """The words of each part; without the instruction their upper and lower numbers."""
        lanes, found = self.layout.lanes, []
        for v in range(width):
            places = [offset + b * self.layout.panel + v * lanes for b in range(self.parts)]
            found.append(self._ready(f, [f.load(self.words, at, place, lanes * 4) for place in places]))
        return found

    def broadcast(self, f: Function, at: Value, offset: int, apart: int = 0) -> tuple[Value, ...]:
        """The words of each part, in every lane."""
        return self._ready(f, [f.broadcast(at, self.words, offset + a * apart) for a in range(self.parts)])

    def _ready(self, f: Function, words: Sequence[Value]) -> tuple[Value, ...]:
        if self.dots:
            return tuple(words)
        halves = [(f.bits("and", x, UPPER), f.bits("shl", x, 16)) for x in words]
        return tuple(f.convert("bitcast", x, "float") for both in halves for x in both)

    def add(self, f: Function, scalars: Sequence[Value], line: Sequence[Value], acc: Value) -> Value:
        """acc and the products of the parts, those of the smallest parts first."""
        for a, b in pairs(self.parts):
            if self.dots:
                acc = dot(f, acc, scalars[a], line[b])
            else:
                for half in (0, 1):
                    acc = f.fma(scalars[2 * a + half], line[2 * b + half], acc)
        return acc


def dot(f: Function, acc: Value, a: Value, b: Value) -> Value:
    """acc + the products of the upper and of the lower numbers of two vectors of words, by one instruction."""
    name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * int(acc.type[1 : acc.type.index(' ')])}"
    f.declarations.setdefault(name, f"declare {acc.type} @{name}({acc.type}, {a.type}, {b.type})")
    return f.emit(acc.type, f"call {acc.type} @{name}({acc}, {a}, {b})")


@dataclass(frozen=True)
class TileProducts(Dots):
    """The words of `Dots`, by matrix tiles: up to 32 rows x 32 lanes of sums at once, 32 steps of the depth at a time.

    The sums are made in another order (`llvm/tiles.py`), and so have other bits than those of the other ways.
    """

    @property
    def way(self) -> str:
        """What it is done by, in a word."""
        return "tiles"

    @property
    def turned(self) -> bool:
        """A tile takes rows of the depth."""
        return True

    def lines(self, depth: int) -> int:
        """Those of whole tiles."""
        return self.stored_lines(depth)

    def stored_lines(self, depth: int) -> int:
        """The same."""
        return -(-depth // self.layout.panel) * self.span

    def tile_rows(self, vectors: int) -> int:
        """Two tiles below each other."""
        return 2 * ROWS

    def run(
        self, tiles: Tiles, *, scalars: Value, vectors: Value, jump: int, lines: Int, rows: int, width: int
    ) -> None:
        """Adds the products of so many lines to the sums in the tiles 0 to 3 (row by row), which are configured.

        scalars, vectors: at the first line.  jump: scalars from a panel of the depth to the next.
        """
        f = tiles.f
        heights = [h for h in (min(rows, ROWS), rows - ROWS) if h > 0]

        def panel(number: Int) -> None:
            left = f.at(scalars, (number, jump), type="float")
            right = f.at(vectors, (number, self.span * self.line), type="float")
            for a, b in pairs(self.parts):
                for r in range(len(heights)):
                    at = f.at(left, r * ROWS * self.row + a * self.span, type="float")
                    tiles.load(4 + r, at, 4 * self.row)
                for v in range(width):
                    at = f.at(right, b * self.layout.panel + v * self.layout.lanes, type="float")
                    tiles.load(6 + v, at, 4 * self.line)
                for r in range(len(heights)):
                    for v in range(width):
                        tiles.multiply(2 * r + v, 4 + r, 6 + v)

        f.loop(0, f.udiv(lines, self.span), panel)

    def product(
        self, tiles: Tiles, at: Value, *, scalars: Value, vectors: Value, jump: int, lines: Int, rows: int, width: int,
        more: Value | bool = False,
    ) -> None:  # fmt: skip
        """The products of so many lines to rows NR apart, or added to what is there where there is `more`."""
        self.configure(tiles, rows)
        if isinstance(more, Value):
            tiles.f.if_(more, lambda: self.exchange(tiles, at, rows, width, out=False))
        elif more:
            self.exchange(tiles, at, rows, width, out=False)
        self.run(tiles, scalars=scalars, vectors=vectors, jump=jump, lines=lines, rows=rows, width=width)
        self.exchange(tiles, at, rows, width, out=True)

    def configure(self, tiles: Tiles, rows: int) -> None:
        """Tiles for so many rows; the sums become 0."""
        first, second = min(rows, ROWS), max(rows - ROWS, 0)
        tiles.configure([first, first, second or ROWS, second or ROWS, first, second or ROWS, ROWS, ROWS])

    def exchange(self, tiles: Tiles, at: Value, rows: int, width: int, *, out: bool) -> None:
        """Brings the sums to or from rows NR apart."""
        lanes, NR = self.layout.lanes, self.layout.panel
        for r in range(1 + (rows > ROWS)):
            for v in range(width):
                place = tiles.f.at(at, r * ROWS * NR + v * lanes, type="float")
                (tiles.store if out else tiles.load)(2 * r + v, place, 4 * NR)


@dataclass(frozen=True)
class WholeProducts(TileProducts):
    """The six products of three parts, which are all that float32 numbers have, with float32's own error.

        L R = S₀ + 2⁻⁸ (S₁ + 2⁻⁸ S₂)      S₀ = L₁R₁, S₁ = L₂R₁ + L₁R₂, S₂ = L₃R₁ + L₂R₂ + L₁R₃

    Small products have sums of their own, so that large ones do not round them; of up to `STRETCH` lines, the totals of
    which are added up.  L₂ is bf16(2⁸ (L - L₁)), L₃ as much more: no part is nearer to the least float32 number than
    its number is.  One tile's height of rows at a time: three times two tiles of sums, one for each side.
    """

    parts: int = 3
    """Of each number: all that it has."""

    @property
    def way(self) -> str:
        """What it is done by, in a word."""
        return "whole tiles"

    @property
    def scaled(self) -> bool:
        """They are."""
        return True

    def product(
        self, tiles: Tiles, at: Value, *, scalars: Value, vectors: Value, jump: int, lines: Int, rows: int, width: int,
        more: Value | bool = False,
    ) -> None:  # fmt: skip
        """The products of so many lines to rows NR apart, or added to what is there where there is `more`."""
        f, layout, lanes, NR = tiles.f, self.layout, self.layout.lanes, self.layout.panel
        sums = f.place("float", self.parts * ROWS * NR)
        heights = [h for h in (min(rows, ROWS), rows - ROWS) if h > 0]
        if more is not True:
            blank = f.constant(layout.vector, 0.0)

            def clear_row(r: Int) -> None:
                for v in range(width):
                    f.store(blank, f.at(at, (r, NR), v * lanes, type="float"))

            def clear() -> None:
                f.loop(0, rows, clear_row)

            if isinstance(more, Value):
                f.if_(f.bits("xor", more, 1), clear)
            else:
                clear()

        def stretch(first: Int) -> None:
            panels = f.udiv(f.imin(f.sub(lines, first), STRETCH), self.span)
            left = f.at(scalars, (f.udiv(first, self.span), jump), type="float")
            right = f.at(vectors, (first, self.line), type="float")
            for r, height in enumerate(heights):
                rows_at = f.at(left, r * ROWS * self.row, type="float")
                self._height(tiles, sums, rows_at, right, jump=jump, panels=panels, height=height, width=width)
                self._total(f, sums, f.at(at, r * ROWS * NR, type="float"), height, width)

        f.loop(0, lines, stretch, step=STRETCH)

    def _height(
        self, tiles: Tiles, sums: Value, left: Value, right: Value, *, jump: int, panels: Int, height: int, width: int
    ) -> None:
        """S₀, S₁, S₂ of a tile's height of rows."""
        f, lanes, NR = tiles.f, self.layout.lanes, self.layout.panel
        tiles.configure([height] * 7 + [ROWS])  # all 0

        def panel(number: Int) -> None:
            for a in range(self.parts):
                tiles.load(6, f.at(left, (number, jump), a * self.span, type="float"), 4 * self.row)
                for b in range(self.parts - a):
                    for v in range(width):
                        place = f.at(right, (number, self.span * self.line), b * NR + v * lanes, type="float")
                        tiles.load(7, place, 4 * self.line)
                        tiles.multiply(2 * (a + b) + v, 6, 7)

        f.loop(0, panels, panel)
        for c in range(self.parts):
            for v in range(width):
                tiles.store(2 * c + v, f.at(sums, c * ROWS * NR + v * lanes, type="float"), 4 * NR)

    def _total(self, f: Function, sums: Value, to: Value, height: int, width: int) -> None:
        """Adds S₀ + 2⁻⁸ (S₁ + 2⁻⁸ S₂)."""
        layout, lanes, NR, size = self.layout, self.layout.lanes, self.layout.panel, 4 * self.layout.lanes
        scale = f.constant(layout.vector, 2.0**-8)

        def row(r: Int) -> None:
            for v in range(width):
                first = f.at(sums, (r, NR), v * lanes, type="float")
                total = f.load(layout.vector, first, 2 * ROWS * NR, size)
                for c in (1, 0):
                    total = f.fma(total, scale, f.load(layout.vector, first, c * ROWS * NR, size))
                place = f.at(to, (r, NR), v * lanes, type="float")
                f.store(f.fadd(f.load(layout.vector, place, 0, size), total), place, 0, size)

        f.loop(0, height, row)


STRETCH = 256
"""Lines whose products have sums from 0: fewer roundings of large sums, and the passes over these cost some 5 %."""


def kernel_for(layout: PanelLayout, parts: int, rows: int | None = None) -> Kernel:
    """The inner loop of products of so many parts (0: of numbers as they are) on the layout's processor.

    rows: of the result; None where it is how factors are packed that counts, which all ways share.  The way is that of
    the least cycles by a count that looks at nothing but shapes and the processor.
    """
    if parts == 0:
        return MultiplyAdd(layout)
    target = layout.target
    if target.tiles and parts == 3:
        return WholeProducts(layout)
    if target.tiles and rows is not None and rows >= FEWEST:
        return TileProducts(layout, parts)
    return Dots(layout, parts, has_dots(target))


def has_dots(target: Target) -> bool:
    """Whether a processor has instructions for pairs of bfloat16 numbers in its vectors."""
    return "avx512bf16" in target.on and target.vector_bytes == 64


FEWEST = 4
"""Rows from which on tiles are worth it.  Up to 16 rows cost a tile product for each vector, 16 cycles, for 32 steps of
the depth, by dots 16 cycles for each row; from 4 rows on what surrounds the products is paid for too."""
