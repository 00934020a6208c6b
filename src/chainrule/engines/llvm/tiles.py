"""Matrix tiles of a processor (AMX), as instructions; and what they mean, as vector code for any machine.

A tile is a register of 16 rows of 64 bytes.  C += A B takes rows of 32 bfloat16 numbers of A, pairs of rows of as many
of B beside each other in words, and adds up in float32: the even ones and the odd ones of the 32 by themselves, each
multiply-add rounded once, then both together to C.  Subnormal numbers are 0 throughout, whatever the core is set to.

The tiles belong to a thread, and lose what is in them when they are configured or released.  A process asks the
operating system for them (`permitted`): it has to save them when threads take turns, and may refuse.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Sequence

from chainrule.engines.llvm.emit import Function, Int, Value

ROWS, WORDS = 16, 16
"""Of a tile; a word is 32 bits."""
TILES = 8
"""How many there are."""
_ARCH_PRCTL, _REQUEST, _TILE_DATA = 158, 0x1023, 18


@functools.cache
def permitted() -> bool:
    """Whether this process may use tiles: asked once.  Refused is what the system does not know, or cannot save."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return int(ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST, _TILE_DATA)) == 0
    except (AttributeError, OSError):
        return False


class Tiles:
    """The tiles in a function under construction.

    emulated: by vector code on the function's stack, as the instructions' description has it.
    """

    def __init__(self, f: Function, emulated: bool = False) -> None:
        self.f, self.emulated = f, emulated
        self._rows: list[int] = [ROWS] * TILES
        self._memory = f.place("float", TILES * ROWS * WORDS) if emulated else None

    def configure(self, rows: Sequence[int]) -> None:
        """So many rows for each tile; all become 0."""
        self._rows = list(rows)
        if self.emulated:
            for tile in range(len(rows)):
                self.zero(tile)
            return
        record = [0] * 64
        record[0] = 1  # the only palette
        for tile, count in enumerate(rows):
            record[16 + 2 * tile], record[48 + tile] = 4 * WORDS, count
        table = self.f.module.table(f"tiles_{'_'.join(map(str, rows))}", "i8", record)
        self._call("ldtilecfg", "ptr", table.text)

    def zero(self, tile: int) -> None:
        """All 0."""
        if self.emulated:
            f = self.f
            blank = f.constant(f"<{WORDS} x float>", 0.0)
            f.loop(0, self._rows[tile], lambda r: f.store(blank, self._row(tile, r)))
        else:
            self._call("tilezero", "i8 immarg", str(tile))

    def load(self, tile: int, at: Value, stride: int) -> None:
        """Its rows, `stride` bytes apart."""
        if self.emulated:
            self._copy(tile, at, stride, out=False)
        else:
            self._call("tileloadd64", "i8 immarg, ptr, i64", f"{tile}, {at.text}, {stride}")

    def store(self, tile: int, at: Value, stride: int) -> None:
        """Its rows, `stride` bytes apart."""
        if self.emulated:
            self._copy(tile, at, stride, out=True)
        else:
            self._call("tilestored64", "i8 immarg, ptr, i64", f"{tile}, {at.text}, {stride}")

    def multiply(self, c: int, a: int, b: int) -> None:
        """C += A B"""
        if not self.emulated:
            self._call("tdpbf16ps", "i8 immarg, i8 immarg, i8 immarg", f"{c}, {a}, {b}")
            return
        f, vector = self.f, f"<{WORDS} x float>"
        words = f"<{WORDS} x i32>"

        def halves(x: Value) -> list[Value]:
            return [f.convert("bitcast", y, "float") for y in (f.bits("shl", x, 16), f.bits("and", x, -(1 << 16)))]

        def row(r: Int) -> None:
            def pair(q: Int, even: Value, odd: Value) -> list[Value]:
                left = halves(f.broadcast(f.at(self._row(a, r), q, type="float"), words))
                right = halves(f.load(words, self._row(b, q)))
                return [f.fma(x, y, t) for x, y, t in zip(left, right, (even, odd), strict=True)]

            blank = f.constant(vector, 0.0)
            even, odd = f.loop(0, self._rows[b], pair, [blank, blank])
            total = f.fadd(f.load(vector, self._row(c, r)), f.fadd(even, odd))
            f.store(total, self._row(c, r))

        f.loop(0, self._rows[c], row)

    def release(self) -> None:
        """Nothing of them is to be saved any more."""
        if not self.emulated:
            self._call("tilerelease", "", "")

    def _row(self, tile: int, row: Int) -> Value:
        assert self._memory is not None
        return self.f.at(self._memory, (row, WORDS), tile * ROWS * WORDS, type="float")

    def _copy(self, tile: int, at: Value, stride: int, *, out: bool) -> None:
        f, vector = self.f, f"<{WORDS} x float>"

        def row(r: Int) -> None:
            there, here = f.at(at, (r, stride), type="i8"), self._row(tile, r)
            source, target = (here, there) if out else (there, here)
            f.store(f.load(vector, source), target)

        f.loop(0, self._rows[tile], row)

    def _call(self, name: str, types: str, operands: str) -> None:
        full = f"llvm.x86.{name}"
        self.f.declarations.setdefault(full, f"declare void @{full}({types})")
        kinds = [kind.split()[0] for kind in types.split(", ")] if types else []
        texts = zip(kinds, operands.split(", "), strict=True) if kinds else ()
        self.f.line(f"call void @{full}({', '.join(f'{kind} {text}' for kind, text in texts)})")
