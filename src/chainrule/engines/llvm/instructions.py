"""The instructions of LLVM IR that compute, load and store: each method prints one after those printed before.

Python numbers stand for constants and take the type of the other operand; arithmetic on Python integers is done here
and emits nothing, so that sizes known at compile time cost nothing at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.engines.llvm.target import Target
from chainrule.engines.llvm.value import (
    Int,
    Operand,
    Value,
    bytes_of,
    element_of,
    lanes_of,
    like,
    literal,
    suffix,
)

# Permissions given to LLVM to change floating point results.  None: what is fused or reordered is written so by hand,
# and the same bits come out whatever the tiling.
FAST_MATH = ""


class Instructions:
    """Text that grows: lines of one function, and the declarations that they need."""

    def __init__(self, target: Target, declarations: dict[str, str]) -> None:
        self.target = target
        self.declarations = declarations
        self.lines: list[str] = []
        self.block = "entry"
        self._next = 0

    def emit(self, type: str, instruction: str) -> Value:
        """Append an instruction that makes a value of `type`."""
        self._next += 1
        name = f"%v{self._next}"
        self.lines.append(f"  {name} = {instruction}")
        return Value(type, name)

    def line(self, instruction: str) -> None:
        """Append an instruction that makes no value."""
        self.lines.append("  " + instruction)

    def label(self, name: str) -> None:
        """Start the basic block `name`."""
        self.lines.append(f"{name}:")
        self.block = name

    def new_label(self, hint: str) -> str:
        """A fresh name for a basic block."""
        self._next += 1
        return f"{hint}{self._next}"

    @staticmethod
    def constant(type: str, number: float) -> Value:
        """The number as a value of `type`."""
        return Value(type, literal(type, number))

    def value(self, x: Operand, type: str = "i64") -> Value:
        """x as a Value: a Python number becomes a constant of `type`."""
        return x if isinstance(x, Value) else Value(type, literal(type, x))

    def _pair(self, a: Operand, b: Operand) -> tuple[str, str, str]:
        if isinstance(a, Value):
            return a.type, a.text, b.text if isinstance(b, Value) else literal(a.type, b)
        if isinstance(b, Value):
            return b.type, literal(b.type, a), b.text
        return ("i64" if isinstance(a, int) and isinstance(b, int) else "double"), literal("i64", a), literal("i64", b)

    def _binary(self, op: str, a: Operand, b: Operand) -> Value:
        type, x, y = self._pair(a, b)
        return self.emit(type, f"{op} {type} {x}, {y}")

    # ---- integers
    def add(self, a: Int, b: Int) -> Any:
        """a + b"""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if isinstance(b, int) and b == 0:
            return a
        if isinstance(a, int) and a == 0:
            return b
        return self._binary("add", a, b)

    def sub(self, a: Int, b: Int) -> Any:
        """a - b"""
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if isinstance(b, int) and b == 0 else self._binary("sub", a, b)

    def mul(self, a: Int, b: Int) -> Any:
        """a * b"""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if isinstance(a, int):
            a, b = b, a
        if isinstance(b, int) and b in (0, 1):
            return a if b else 0
        return self._binary("mul", a, b)

    def udiv(self, a: Int, b: Int) -> Any:
        """a // b, for a >= 0"""
        if isinstance(a, int) and isinstance(b, int):
            return a // b
        return a if isinstance(b, int) and b == 1 else self._binary("udiv", a, b)

    def urem(self, a: Int, b: Int) -> Any:
        """a % b, for a >= 0"""
        if isinstance(a, int) and isinstance(b, int):
            return a % b
        return self._binary("urem", a, b)

    def imin(self, a: Int, b: Int) -> Any:
        """The smaller of two signed integers."""
        return min(a, b) if isinstance(a, int) and isinstance(b, int) else self.intrinsic("smin", a, b)

    def imax(self, a: Int, b: Int) -> Any:
        """The larger of two signed integers."""
        return max(a, b) if isinstance(a, int) and isinstance(b, int) else self.intrinsic("smax", a, b)

    def bits(self, op: str, a: Operand, b: Operand) -> Value:
        """Bitwise and shift instructions: "and", "or", "xor", "shl", "lshr", "ashr"."""
        return self._binary(op, a, b)

    def icmp(self, relation: str, a: Operand, b: Operand) -> Value:
        """Compare integers: "eq", "ne", "slt", "sle", "sgt", "sge", "ult", ..."""
        type, x, y = self._pair(a, b)
        return self.emit(like(type, "i1"), f"icmp {relation} {type} {x}, {y}")

    def convert(self, op: str, x: Value, element: str) -> Value:
        """Change the element type: "sext", "zext", "trunc", "sitofp", "fptosi", "fpext", "fptrunc", "bitcast", ..."""
        to = like(x.type, element)
        return self.emit(to, f"{op} {x.type} {x.text} to {to}")

    # ---- floating point
    def fadd(self, a: Operand, b: Operand) -> Value:
        """a + b"""
        return self._binary("fadd" + FAST_MATH, a, b)

    def fsub(self, a: Operand, b: Operand) -> Value:
        """a - b"""
        return self._binary("fsub" + FAST_MATH, a, b)

    def fmul(self, a: Operand, b: Operand) -> Value:
        """a * b"""
        return self._binary("fmul" + FAST_MATH, a, b)

    def fdiv(self, a: Operand, b: Operand) -> Value:
        """a / b"""
        return self._binary("fdiv" + FAST_MATH, a, b)

    def fneg(self, a: Value) -> Value:
        """-a"""
        return self.emit(a.type, f"fneg {a.type} {a.text}")

    def fma(self, a: Operand, b: Operand, c: Operand) -> Value:
        """a * b + c, rounded once where the target can, twice where it cannot."""
        if self.target.fma:
            return self.intrinsic("fma", a, b, c)
        return self.fadd(self.fmul(a, b), c)

    def fcmp(self, relation: str, a: Operand, b: Operand) -> Value:
        """Compare floats: "oeq", "olt", "ole", "ogt", "oge", "une", "uno", ..."""
        type, x, y = self._pair(a, b)
        return self.emit(like(type, "i1"), f"fcmp {relation} {type} {x}, {y}")

    def fmax(self, a: Operand, b: Operand) -> Value:
        """The larger; NaN if either is, as numpy.maximum has it.  One instruction where one operand is a number."""
        return self._extreme("ogt", a, b)

    def fmin(self, a: Operand, b: Operand) -> Value:
        """The smaller; NaN if either is, as numpy.minimum has it.  One instruction where one operand is a number."""
        return self._extreme("olt", a, b)

    def _extreme(self, relation: str, a: Operand, b: Operand) -> Value:
        # The machine's instruction is `a rel b ? a : b`, which hands on b when either is NaN.
        if not isinstance(b, Value):
            a, b = b, a
        chosen = self.select(self.fcmp(relation, a, b), a, b)
        return self.select(self.fcmp("uno", a, a), a, chosen) if isinstance(a, Value) else chosen

    def select(self, condition: Value, a: Operand, b: Operand) -> Value:
        """a where the condition holds, else b"""
        type, x, y = self._pair(a, b)
        return self.emit(type, f"select {condition.type} {condition.text}, {type} {x}, {type} {y}")

    def sqrt(self, x: Value) -> Value:
        """The square root, correctly rounded."""
        return self.intrinsic("sqrt", x)

    def fabs(self, x: Value) -> Value:
        """|x|"""
        return self.intrinsic("fabs", x)

    def intrinsic(self, name: str, *operands: Operand, returns: str | None = None) -> Value:
        """Call llvm.<name>.<type> on operands of one type; the result has that type unless `returns` says otherwise."""
        type = next(x.type for x in operands if isinstance(x, Value))
        texts = [f"{type} {x.text if isinstance(x, Value) else literal(type, x)}" for x in operands]
        full = f"llvm.{name}.{suffix(type)}"
        back = returns or type
        if full not in self.declarations:
            self.declarations[full] = f"declare {back} @{full}({', '.join([type] * len(operands))})"
        return self.emit(back, f"call {back} @{full}({', '.join(texts)})")

    # ---- memory
    def at(self, pointer: Value, *terms: Int | tuple[Int, int], type: str) -> Value:
        """pointer + the sum of the terms, counted in elements of `type`; a term is an index or (index, stride)."""
        fixed = 0
        moving: Any = None
        for term in terms:
            index, stride = term if isinstance(term, tuple) else (term, 1)
            if isinstance(index, int):
                fixed += index * stride
            else:
                scaled = self.mul(index, stride)
                moving = scaled if moving is None else self.add(moving, scaled)
        if isinstance(moving, Value):
            pointer = self.emit("ptr", f"getelementptr {type}, ptr {pointer.text}, {moving.type} {moving.text}")
        if fixed:
            pointer = self.emit("ptr", f"getelementptr {type}, ptr {pointer.text}, i64 {fixed}")
        return pointer

    def load(self, type: str, pointer: Value, offset: int = 0, align: int = 0) -> Value:
        """Load from `pointer` + `offset` elements; aligned to one element unless `align` (bytes) says more."""
        element = element_of(type)
        if offset:
            pointer = self.emit("ptr", f"getelementptr {element}, ptr {pointer.text}, i64 {offset}")
        return self.emit(type, f"load {type}, ptr {pointer.text}, align {align or self._bytes(element)}")

    def _bytes(self, element: str) -> int:
        return self.target.pointer_bytes if element == "ptr" else bytes_of(element)

    def store(self, x: Value, pointer: Value, offset: int = 0, align: int = 0) -> None:
        """Store at `pointer` + `offset` elements; aligned as in `load`."""
        element = element_of(x.type)
        if offset:
            pointer = self.emit("ptr", f"getelementptr {element}, ptr {pointer.text}, i64 {offset}")
        self.line(f"store {x.type} {x.text}, ptr {pointer.text}, align {align or self._bytes(element)}")

    def prefetch(self, pointer: Value, write: bool = False, locality: int = 3) -> None:
        """Ask for the cache line at `pointer`; locality 3: all levels, 2: from level 2 outwards."""
        self.declarations.setdefault(
            "llvm.prefetch.p0", "declare void @llvm.prefetch.p0(ptr, i32 immarg, i32 immarg, i32 immarg)"
        )
        self.line(f"call void @llvm.prefetch.p0(ptr {pointer.text}, i32 {int(write)}, i32 {locality}, i32 1)")

    def alloca(self, type: str, count: int, align: int = 64) -> Value:
        """Scratch on the stack; call it before any loop."""
        return self.emit("ptr", f"alloca [{count} x {type}], align {align}")

    # ---- vectors
    def splat(self, x: Value, lanes: int) -> Value:
        """x in every lane."""
        if lanes == 1:
            return x
        type = f"<{lanes} x {x.type}>"
        first = self.emit(type, f"insertelement {type} poison, {x.type} {x.text}, i64 0")
        return self.emit(type, f"shufflevector {type} {first.text}, {type} poison, <{lanes} x i32> zeroinitializer")

    def broadcast(self, pointer: Value, type: str, offset: int = 0) -> Value:
        """The scalar at `pointer` + `offset` in every lane of `type`."""
        return self.splat(self.load(element_of(type), pointer, offset), lanes_of(type))

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """The chosen lanes of a (numbered from 0) and b (numbered on)."""
        picks = ", ".join(f"i32 {i}" for i in lanes)
        to = f"<{len(lanes)} x {element_of(a.type)}>"
        text = f"shufflevector {a.type} {a.text}, {b.type} {b.text}, <{len(lanes)} x i32> <{picks}>"
        return self.emit(to, text)

    def extract(self, x: Value, lane: Int) -> Value:
        """One lane of a vector."""
        if lanes_of(x.type) == 1 and x.type[0] != "<":
            return x
        text = f"extractelement {x.type} {x.text}, i64 {lane.text if isinstance(lane, Value) else lane}"
        return self.emit(element_of(x.type), text)

    def iota(self, lanes: int, element: str = "i32") -> Value:
        """0, 1, 2, ... in the lanes."""
        if lanes == 1:
            return self.constant(element, 0)
        return Value(f"<{lanes} x {element}>", "<" + ", ".join(f"{element} {i}" for i in range(lanes)) + ">")

    def lane_mask(self, count: Int, lanes: int, first: int = 0) -> Value:
        """True in lane l where first + l < count."""
        count = self.value(count)
        narrow = self.emit("i32", f"trunc i64 {count.text} to i32") if count.type == "i64" else count
        if lanes == 1:
            return self.icmp("slt", self.constant("i32", first), narrow)
        numbers = Value(f"<{lanes} x i32>", "<" + ", ".join(f"i32 {first + i}" for i in range(lanes)) + ">")
        return self.icmp("slt", numbers, self.splat(narrow, lanes))

    def transpose(self, rows: Sequence[Value]) -> list[Value]:
        """A block of as many vectors as lanes: result[i] lane j is rows[j] lane i.  log2 rounds of shuffles.

        The rows may be shorter, of a power of two of lanes: there are as many results then, as long as there are rows.
        Blocks of 16 bytes change places first; inside them lanes are interleaved, which every vector unit can do in one
        instruction.
        """
        count, height = len(rows), lanes_of(rows[0].type)
        # Short rows that are `height` apart stand in one vector, and are turned side by side.
        out = [self.joined(rows[r::height]) for r in range(height)]
        fours = height >= 4 and bytes_of(element_of(rows[0].type)) == 4
        step = height // 2
        while step >= (4 if fours else 1):
            low = [count + c - step if c & step else c for c in range(count)]
            high = [count + c if c & step else c + step for c in range(count)]
            for r in range(height):
                if not r & step:
                    a, b = out[r], out[r + step]
                    out[r], out[r + step] = self.shuffle(a, b, low), self.shuffle(a, b, high)
            step //= 2
        if fours:
            blocks = range(0, count, 4)
            singles = [x for b in blocks for x in (b, count + b, b + 1, count + b + 1)]
            pairs = [x for b in blocks for x in (b, b + 1, count + b, count + b + 1)]
            for r in range(0, height, 4):
                a, b, c, d = out[r : r + 4]
                ab, cd = self.shuffle(a, b, singles), self.shuffle(c, d, singles)
                out[r], out[r + 1] = self.shuffle(ab, cd, pairs), self.shuffle(ab, cd, [x + 2 for x in pairs])
                ab, cd = (self.shuffle(x, y, [z + 2 for z in singles]) for x, y in ((a, b), (c, d)))
                out[r + 2], out[r + 3] = self.shuffle(ab, cd, pairs), self.shuffle(ab, cd, [x + 2 for x in pairs])
        return out

    def joined(self, parts: Sequence[Value]) -> Value:
        """A power of two of vectors, one after the other in one."""
        out = list(parts)
        while len(out) > 1:
            out = [self.shuffle(a, b, range(2 * lanes_of(a.type))) for a, b in zip(out[::2], out[1::2], strict=True)]
        return out[0]

    def reduce(self, op: Callable[[Value, Value], Value], x: Value) -> Value:
        """Combine the lanes of x pairwise, halves first: a fixed order.  `op` is for instance f.fadd."""
        lanes = lanes_of(x.type)
        while lanes > 1:
            half = lanes // 2
            x = op(self.shuffle(x, x, range(half)), self.shuffle(x, x, range(half, lanes)))
            lanes = half
        return self.extract(x, 0)
