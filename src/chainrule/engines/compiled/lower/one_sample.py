"""One sample: the forward pass with features along the lanes, straight from the network's own arrays.

A product is a matrix times a vector, z = Σ_p x_p W[p, :], bound by reading W once; nothing is packed first.  Vectors
are read past the end of a row, never past the buffer's: their spare lanes are computed along and left out of every
reduction.
"""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.engines.compiled.kernels.long_sums import LONG, accumulated
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.lower.elementwise import combine, identity, stretches
from chainrule.engines.compiled.plan import Plan
from chainrule.engines.compiled.plan.memory import ROW
from chainrule.engines.compiled.plan.stages import Arrange, Lookup, PerSample, Product, Stage, loops_of
from chainrule.engines.llvm import subnormal
from chainrule.engines.llvm.emit import Function, Int, Module, Value
from chainrule.engines.llvm.expression import Evaluator
from chainrule.program.equation import Equation
from chainrule.program.op import Elementwise, Gather, Reduce
from chainrule.program.symbol import BATCH, STORED, Symbol

TOGETHER = 8
"""Vectors of z that stay in registers; a wider z is streamed through the first-level cache."""
ROWS = 4
"""Rows of W that are read side by side."""
AHEAD = 2 * ROWS
"""Rows of W by which they are asked for before they are read: what lies beyond the second-level cache is on its way."""
MOST_NONZERO = 8192
"""Elements of x of which those that are not 0 are listed, on the stack."""
BLOCK = 512
"""Rows of W that make a partial sum of z, where W has very many."""
PIECE = 1024
"""Vectors of such partial sums, on the stack."""
LAYERS = 4
"""Products whose code is one function, where there are more."""


class _Row:
    """The lowering of one plan: every value is a contiguous row in the workspace."""

    def __init__(self, f: Function, layout: PanelLayout, plan: Plan, offsets: dict[str, int]) -> None:
        self.f, self.layout, self.plan = f, layout, plan
        self.symbols = plan.program.symbols
        stored, workspace, source = f.args
        real = layout.real
        self.at = {
            name: f.at(stored if self.symbols[name].role in STORED else workspace, offset, type=real)
            for name, offset in offsets.items()
        }
        self.source = source
        for symbol in plan.program.given:
            if symbol.role == "input" and not symbol.integers:
                self.at[symbol.name] = source
        self.numbers: dict[str, Value] = {BATCH: f.constant(real, 1.0)}

    # --- rows ----------------------------------------------------------------------------------------------------

    def vectors(self, width: int) -> int:
        """Vectors that hold so many features."""
        return -(-width // self.layout.lanes)

    def evaluator(self, index: Int, registers: dict[str, Value]) -> Evaluator:
        """Evaluates at the index-th vector of a row."""
        f, layout = self.f, self.layout

        def leaf(name: str) -> Value:
            if name in registers:
                return registers[name]
            if name in self.numbers:
                return f.splat(self.numbers[name], layout.lanes)
            symbol = self.symbols[name]
            if symbol.shape == () or symbol.shape[-1] == 1:
                return f.broadcast(self.at[name], layout.vector)
            return f.load(layout.vector, f.at(self.at[name], (index, layout.lanes), type=layout.real))

        return Evaluator(f, layout.vector, leaf)

    def write(self, symbol: Symbol, index: Int, value: Value) -> None:
        """Stores the index-th vector of a row, if the value has a place."""
        if symbol.name in self.at:
            self.f.store(value, self.f.at(self.at[symbol.name], (index, self.layout.lanes), type=self.layout.real))

    # --- stages --------------------------------------------------------------------------------------------------

    def run(self, stages: Iterable[Stage]) -> None:
        """Emits the code of these stages."""
        for stage in stages:
            if isinstance(stage, Product):
                self.product(stage)
            elif isinstance(stage, Lookup):
                self.lookup(stage.equations[0])
            elif isinstance(stage, Arrange):
                for equation in stage.equations:
                    self.arrange(equation)
            elif isinstance(stage, PerSample):
                for width, equations in loops_of(stage):
                    self.loop(width, equations)
            else:
                for equation in stage.equations:
                    shape = equation.target.shape
                    self.loop(int(shape[0]) if shape else 1, [equation])

    def product(self, stage: Product) -> None:
        """z = x W, then the equations that follow, vector by vector."""
        first, *chain = stage.equations
        values, weight = first.operands
        k, n = (int(d) for d in weight.shape)
        x, w = self.at[values.name], self.at[weight.name]

        def finish(index: Int, z: Value) -> None:
            evaluate = self.evaluator(index, {})
            evaluate.set(first.target.name, z)
            self.write(first.target, index, z)
            for e in chain:
                assert isinstance(e.op, Elementwise)
                value = evaluate(e.op.expression)
                evaluate.set(e.target.name, value)
                self.write(e.target, index, value)

        count = self.vectors(n)
        if count <= TOGETHER:
            for index, z in enumerate(self.narrow(x, w, k, n, count)):
                finish(index, z)
            return
        place = self.at[first.target.name] if first.target.name in self.at else self.at[chain[-1].target.name]
        self.wide(x, w, k, n, count, place)
        real, lanes = self.layout.real, self.layout.lanes
        f = self.f
        f.loop(0, count, lambda i: finish(i, f.load(self.layout.vector, f.at(place, (i, lanes), type=real))))

    def narrow(self, x: Value, w: Value, k: int, n: int, count: int) -> list[Value]:
        """All of z in registers, in as many partial sums as keep the arithmetic units busy."""
        f, layout = self.f, self.layout
        ways = 1
        while ways * count < TOGETHER and ways < ROWS:
            ways *= 2

        def steps(p: Int, acc: list[Value], turns: int) -> list[Value]:
            out = list(acc)
            line, scalar = f.at(w, (p, n), type=layout.real), f.at(x, p, type=layout.real)
            for u in range(turns):
                s = f.broadcast(scalar, layout.vector, u)
                for v in range(count):
                    a = (u % ways) * count + v
                    out[a] = f.fma(s, f.load(layout.vector, line, u * n + v * layout.lanes), out[a])
            return out

        whole = k - k % ROWS
        acc = [f.constant(layout.vector, 0.0)] * (count * ways)
        takes = [f.fadd] * len(acc)
        acc = accumulated(f, whole, lambda p, *a: steps(p, list(a), ROWS), acc, takes, step=ROWS)
        acc = steps(whole, acc, k - whole)
        for way in range(1, ways):
            acc[:count] = [f.fadd(a, b) for a, b in zip(acc[:count], acc[way * count :], strict=False)]
        return acc[:count]

    def wide(self, x: Value, w: Value, k: int, n: int, count: int, place: Value) -> None:
        """z grows in the cache while rows of W stream past, a few at a time; those where x is 0 are passed over."""
        f, layout = self.f, self.layout
        listed, terms = self.nonzero(x, k) if k <= MOST_NONZERO else (None, f.constant("i64", k))

        def row_of(entry: Int) -> Int:
            if listed is None:
                return entry
            return f.convert("zext", f.load("i32", f.at(listed, entry, type="i32")), "i64")

        def rows(first: Int, turns: int, into: Value, left: Int, right: Int) -> None:
            scalars, lines, later = [], [], []
            for u in range(turns):
                p = row_of(f.add(first, u))
                scalars.append(f.broadcast(f.at(x, p, type=layout.real), layout.vector))
                lines.append(f.at(w, (p, n), type=layout.real))
                if turns == ROWS:
                    later.append(f.at(w, (row_of(f.add(first, AHEAD + u)), n), type=layout.real))

            def column(i: Int, wide: int) -> None:
                to, size = f.at(into, (f.sub(i, left), layout.lanes), type=layout.real), layout.lanes
                for line in later:
                    f.prefetch(f.at(line, (i, size), type=layout.real), locality=3)
                for v in range(wide):
                    z = f.load(layout.vector, to, v * size)
                    for s, line in zip(scalars, lines, strict=True):
                        z = f.fma(s, f.load(layout.vector, f.at(line, (i, size), type=layout.real), v * size), z)
                    f.store(z, to, v * size)

            per_line = max(1, 64 // (layout.lanes * layout.itemsize))
            wide = f.sub(right, left)
            lined = f.sub(right, wide % per_line if isinstance(wide, int) else f.urem(wide, per_line))
            f.loop(left, lined, lambda i: column(i, per_line), step=per_line)
            f.loop(lined, right, lambda i: column(i, 1))

        def at(base: Value, i: Int) -> Value:
            return f.at(base, (i, layout.lanes), type=layout.real)

        def clear(base: Value, vectors: Int) -> None:
            f.loop(0, vectors, lambda i: f.store(f.constant(layout.vector, 0.0), at(base, i)))

        def terms_of(first: Int, last: Int, into: Value, left: Int, right: Int) -> None:
            whole = f.add(first, f.bits("and", f.value(f.sub(last, first)), -ROWS))
            f.loop(first, whole, lambda e: rows(e, ROWS, into, left, right), step=ROWS)
            f.loop(whole, last, lambda e: rows(e, 1, into, left, right))

        clear(place, count)
        if k <= LONG:
            terms_of(0, terms, place, 0, count)
            return
        partial = f.alloca(layout.vector, PIECE)

        def piece(left: Int) -> None:
            right = f.imin(f.add(left, PIECE), count)

            def add(i: Int) -> None:
                so_far, more = f.load(layout.vector, at(place, i)), f.load(layout.vector, at(partial, f.sub(i, left)))
                f.store(f.fadd(so_far, more), at(place, i))

            def block(first: Int) -> None:
                clear(partial, f.sub(right, left))
                terms_of(first, f.imin(f.add(first, BLOCK), terms), partial, left, right)
                f.loop(left, right, add)

            f.loop(0, terms, block, step=BLOCK)

        f.loop(0, count, piece, step=PIECE)

    def nonzero(self, x: Value, k: int) -> tuple[Value, Value]:
        """(address of the numbers of the elements of x that are not 0, i32; how many)."""
        f, real = self.f, self.layout.real
        entries = f.alloca("i32", k + AHEAD)

        def element(p: Int, filled: Value) -> list[Value]:
            f.store(f.convert("trunc", f.value(p), "i32"), f.at(entries, filled, type="i32"))
            some = f.fcmp("une", f.load(real, f.at(x, p, type=real)), 0.0)
            return [f.value(f.add(filled, f.convert("zext", some, "i64")))]

        (filled,) = f.loop(0, k, element, [f.constant("i64", 0)])
        for past in range(AHEAD):  # rows that are asked for and never read
            f.store(f.constant("i32", 0), f.at(entries, f.add(filled, past), type="i32"))
        return entries, filled

    def lookup(self, equation: Equation) -> None:
        """Rows of the embedding, side by side."""
        f, layout = self.f, self.layout
        op, (table, tokens) = equation.op, equation.operands
        assert isinstance(op, Gather)
        d, out = int(table.shape[1]), self.at[equation.target.name]

        def place(p: Int, column: Int, start: int = 0, *, grow: bool = False) -> None:
            token = f.load("i64", f.at(self.source, column, type="i64"))
            row = f.at(self.at[table.name], (f.value(f.add(token, start)), d), type=layout.real)
            to = f.at(out, (p, d), type=layout.real)
            meant = None if op.padding is None else f.icmp("ne", token, f.constant("i64", op.padding))

            def entry(e: Int) -> None:
                at = f.at(to, e, type=layout.real)
                value = f.load(layout.real, f.at(row, e, type=layout.real))
                if meant is not None:
                    value = f.select(meant, value, f.constant(layout.real, 0.0))
                f.store(f.fadd(f.load(layout.real, at), value) if grow else value, at)

            f.loop(0, d, entry)

        if op.starts:
            for p, start in enumerate(op.starts):
                place(0, p, start, grow=p > 0)
        elif op.column is not None:
            place(0, op.column)
        else:
            f.loop(0, op.places(tokens), lambda p: place(p, p))

    def arrange(self, equation: Equation) -> None:
        """Numbers of other rows to their places in this one."""
        f, real = self.f, self.layout.real
        for stretch in stretches(equation):
            to = f.at(self.at[equation.target.name], stretch.to, type=real)
            source = None if stretch.source is None else f.at(self.at[stretch.source.name], stretch.start, type=real)

            def number(i: Int, to: Value = to, source: Value | None = source) -> None:
                value = f.constant(real, 0.0) if source is None else f.load(real, f.at(source, i, type=real))
                f.store(value, f.at(to, i, type=real))

            f.loop(0, stretch.count, number)

    def loop(self, width: int, equations: list[Equation]) -> None:
        """Equations over one row; the spare lanes of the last vector stay out of reductions."""
        f, layout = self.f, self.layout
        reduced = [e for e in equations if isinstance(e.op, Reduce)]
        count = self.vectors(width)
        start = [f.constant(layout.vector, identity(e.op.kind)) for e in reduced]  # type: ignore[union-attr]

        def body(index: Int, *acc: Value) -> list[Value]:
            evaluate = self.evaluator(index, {})
            out = list(acc)
            for e in equations:
                assert isinstance(e.op, Elementwise | Reduce)
                value = evaluate(e.op.expression)
                if isinstance(e.op, Elementwise):
                    evaluate.set(e.target.name, value)
                    self.write(e.target, index, value)
                    continue
                if width == 1:  # its own sum and maximum, which the next equation may read
                    evaluate.set(e.target.name, value)
                if width % layout.lanes:
                    left = f.value(f.sub(width, f.mul(index, layout.lanes)))
                    outside = f.constant(layout.vector, identity(e.op.kind))
                    value = f.select(f.lane_mask(left, layout.lanes), value, outside)
                k = reduced.index(e)
                out[k] = combine(f, e.op.kind)(out[k], value)
            return out

        takes = [combine(f, e.op.kind) for e in reduced]  # type: ignore[union-attr]
        sums = (
            accumulated(f, count, body, start, takes, lanes=layout.lanes) if reduced else f.loop(0, count, body, start)
        )
        for e, total in zip(reduced, sums, strict=True):
            assert isinstance(e.op, Reduce)
            self.numbers[e.target.name] = f.reduce(combine(f, e.op.kind), total)


def _sound(f: Function, layout: PanelLayout, inputs: int, counts: list[int]) -> Value:
    """Whether all numbers are finite, or all tokens of a column below its count."""
    source, zero = f.args[2], f.constant(layout.vector, 0.0)

    def number(i: Int, acc: Value) -> list[Value]:
        return [f.fma(f.load(layout.vector, f.at(source, (i, layout.lanes), type=layout.real)), zero, acc)]

    if counts:
        wrong = f.constant("i64", 0)
        for count in sorted(set(counts)):  # columns of one table in one loop
            columns = [p for p, n in enumerate(counts) if n == count]
            runs = [(p, p + 1) for p in columns] if len(columns) < inputs else [(0, inputs)]

            def token(p: Int, wrong: Value, count: int = count) -> list[Value]:
                outside = f.icmp("uge", f.load("i64", f.at(source, p, type="i64")), f.constant("i64", count))
                return [f.value(f.add(wrong, f.convert("zext", outside, "i64")))]

            for first, end in runs:
                (wrong,) = f.loop(first, end, token, [wrong])
        return f.icmp("eq", wrong, 0)
    return f.fcmp("oeq", f.reduce(f.fadd, f.loop(0, -(-inputs // layout.lanes), number, [zero])[0]), 0.0)


def _counts(plan: Plan, tokens: Symbol) -> list[int]:
    """How many tokens there are in each column: rows of the tables that they are looked up in."""
    counts = [0] * int(tokens.shape[1])
    for equation in (e for s in plan.stages if isinstance(s, Lookup) for e in s.equations):
        op, rows = equation.op, int(equation.operands[0].shape[0])
        assert isinstance(op, Gather)
        ends = [*op.starts[1:], rows]
        for p in range(len(counts)):
            if op.column in (None, p):
                own = ends[p] - op.starts[p] if op.starts else rows
                counts[p] = min(own, counts[p] or own)
    return counts


def pieces(plan: Plan) -> list[list[Stage]]:
    """The stages, of many layers in several pieces: each is a function, and so none takes long to compile.

    Sums of a row stay in registers, so no cut comes between one and what reads it.
    """
    last = {operand: k for k, stage in enumerate(plan.stages) for e in stage.equations for operand in e.operands}
    cut: list[list[Stage]] = [[]]
    products, read = 0, -1  # in the last piece; the last stage that reads a sum made so far
    for k, stage in enumerate(plan.stages):
        if isinstance(stage, Product):
            if products == LAYERS and read < k:
                cut.append([])
                products = 0
            products += 1
        cut[-1].append(stage)
        read = max([read, *(last.get(e.target, -1) for e in stage.equations if isinstance(e.op, Reduce))])
    return cut


def lower_row(plan: Plan, layout: PanelLayout, offsets: dict[str, int]) -> Module:
    """i64 row(stored, workspace, x): 1, or 0 for an x that the checked door has to see."""
    module = Module(layout.target)
    given = next(s for s in plan.program.given if s.role == "input")
    f = module.function("one_sample", ["ptr", "ptr", "ptr"], "i64", internal=True)
    counts = _counts(plan, given) if given.integers else []
    good, bad = f.new_label("good"), f.new_label("bad")
    f.cbranch(_sound(f, layout, int(given.shape[1]), counts), good, bad)
    f.label(bad)
    f.ret(f.constant("i64", 0))
    f.label(good)
    cut = pieces(plan)
    for k, stages in enumerate(cut):
        if len(cut) == 1:
            _Row(f, layout, plan, offsets).run(stages)
            continue
        part = module.function(f"layers{k}", ["ptr", "ptr", "ptr"], internal=True)
        _Row(part, layout, plan, offsets).run(stages)
        part.ret()
        f.call(part, *f.args)
    f.ret(f.constant("i64", 1))
    subnormal.entry(module, ROW, f)
    return module
