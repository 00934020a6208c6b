"""Equations over parameters of several shapes, vector by vector: products of matrices, sums of their rows and columns,
and formulas in which a row or a column repeats.  What lies in feature panels is read line by line.

    T = L R, Lᵀ R       columns of T along the lanes, a tile of rows at a time; a number of L in every lane
    T = L Rᵀ            columns of L and R along the lanes; the lanes are added up at the end
    T = e, Σ e, max e   columns of the common shape (k, n) along the lanes
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.engines.compiled.kernels.long_sums import accumulated
from chainrule.engines.compiled.lower.elementwise import combine, identity
from chainrule.engines.compiled.lower.frame import Frame
from chainrule.engines.llvm.emit import Int, Value
from chainrule.engines.llvm.expression import Evaluator
from chainrule.program.equation import Equation
from chainrule.program.op import Elementwise, GroupedMatMul, MatMul, Reduce
from chainrule.program.symbol import Symbol, broadcast

SIDE = 4
"""Rows and columns of a tile of L Rᵀ."""


def fits(frame: Frame, equation: Equation) -> bool:
    """Whether all of it lies in feature panels, or is a row or a number."""
    symbols = (equation.target, *equation.operands)
    if any(frame.plan.kinds[s.name] not in ("weight", "vector", "scalar") for s in symbols):
        return False
    if isinstance(equation.op, GroupedMatMul):
        return False
    if isinstance(equation.op, MatMul):
        return not (equation.op.transpose_left and equation.op.transpose_right)
    shape = _common(equation) if isinstance(equation.op, Reduce) else equation.target.shape
    return shape is not None and len(shape) == 2


def wide(frame: Frame, equation: Equation) -> None:
    """Emits the equation; its work is shared among the threads."""
    match equation.op:
        case MatMul(transpose_right=True):
            _across(frame, equation)
        case MatMul():
            _along(frame, equation)
        case Elementwise():
            _formula(frame, equation)
        case _:
            _reduced(frame, equation)


def _common(equation: Equation) -> tuple[int | str, ...] | None:
    return broadcast([s.shape for s in equation.operands if s.shape])


def _sides(symbol: Symbol) -> tuple[int, int]:
    rows, columns = symbol.shape
    return int(rows), int(columns)


# --- products --------------------------------------------------------------------------------------------------------


def _along(frame: Frame, equation: Equation) -> None:
    """T[i] = Σ_p L[i, p] R[p], whole lines of R at a time."""
    f, layout, op = frame.f, frame.layout, equation.op
    assert isinstance(op, MatMul)
    left, right = equation.operands
    (rows, columns), (depth, _) = _sides(equation.target), _sides(right)
    turned, P, lanes = op.transpose_left, layout.panel, layout.lanes
    tall = _sides(left)[0]
    tile = min(layout.tile_rows(layout.vectors), rows)
    blocks, size = -(-rows // tile), lanes * layout.itemsize
    places = {name: frame.addresses[name] for name in (left.name, right.name, equation.target.name)}

    def unit(number: Int) -> None:
        panel = f.udiv(number, blocks)
        first = f.imin(f.mul(f.sub(number, f.mul(panel, blocks)), tile), rows - tile)  # the last one overlaps
        begin = f.at(places[right.name], (panel, depth * P), type=layout.real)

        at = [f.at(places[left.name], (first, P), r * P, type=layout.real) for r in range(1 if not turned else 0)]
        for r in range(tile if turned else 0):
            row = f.add(first, r)
            across = f.udiv(row, P)
            at.append(f.at(places[left.name], (across, (tall - 1) * P), row, type=layout.real))

        def line(p: Int, numbers: list[Value], sums: Sequence[Value]) -> list[Value]:
            """The sums with line p of R, of which each row takes its number."""
            start = f.at(begin, (p, P), type=layout.real)
            vectors = [f.load(layout.vector, start, v * lanes, size) for v in range(layout.vectors)]
            pairs = [(number, vector) for number in numbers for vector in vectors]
            return [f.fma(*pair, total) for pair, total in zip(pairs, sums, strict=True)]

        def down(p: Int, *sums: Value) -> list[Value]:
            """L[p, first + r] of Lᵀ."""
            return line(p, [f.broadcast(f.at(x, (p, P), type=layout.real), layout.vector) for x in at], sums)

        def along(across: Int, *sums: Value, count: int = P) -> list[Value]:
            """L[first + r, p] for the p in a panel."""
            there = f.at(at[0], (across, tall * P), type=layout.real)

            def lane(k: Int, *sums: Value) -> list[Value]:
                here = f.at(there, k, type=layout.real)
                numbers = [f.broadcast(here, layout.vector, r * P) for r in range(tile)]
                return line(f.add(f.mul(across, P), k), numbers, sums)

            return f.loop(0, count, lane, sums)

        zeros, adds = [f.constant(layout.vector, 0.0)] * (tile * layout.vectors), [f.fadd] * (tile * layout.vectors)
        if turned:
            sums = accumulated(f, depth, down, zeros, adds)
        else:
            sums = accumulated(f, depth // P, along, zeros, adds, lanes=P)
            sums = along(depth // P, *sums, count=depth % P) if depth % P else sums
        out = f.at(places[equation.target.name], (panel, rows * P), (first, P), type=layout.real)
        for r in range(tile):
            for v in range(layout.vectors):
                f.store(sums[r * layout.vectors + v], out, r * P + v * lanes, size)

    f.loop(*frame.share(layout.panels(columns) * blocks), unit)


def _across(frame: Frame, equation: Equation) -> None:
    """T[i, j] = Σ_p L[i, p] R[j, p], a few rows of each at a time."""
    f, layout, op = frame.f, frame.layout, equation.op
    assert isinstance(op, MatMul)
    left, right = equation.operands
    (rows, columns), (_, depth) = _sides(equation.target), _sides(right)
    P, lanes, size = layout.panel, layout.lanes, layout.lanes * layout.itemsize
    high, broad = min(SIDE, rows), min(SIDE, columns)
    blocks, full = -(-columns // broad), depth // P
    places = {name: frame.addresses[name] for name in (left.name, right.name, equation.target.name)}

    def unit(number: Int) -> None:
        block = f.udiv(number, blocks)
        i = f.imin(f.mul(block, high), rows - high)
        j = f.imin(f.mul(f.sub(number, f.mul(block, blocks)), broad), columns - broad)

        def step(panel: Int, *sums: Value, last: int = P) -> list[Value]:
            """last: how many columns of the panel there are."""
            out = list(sums)
            for v in range(layout.vectors):
                if v * lanes >= last:
                    break
                lines = []
                for name, first, count, tall in ((left.name, i, high, rows), (right.name, j, broad, columns)):
                    at = f.at(places[name], (panel, tall * P), (first, P), type=layout.real)
                    lines.append([f.load(layout.vector, at, r * P + v * lanes, size) for r in range(count)])
                if v * lanes + lanes > last:
                    inside = f.lane_mask(last - v * lanes, lanes)
                    nothing = f.constant(layout.vector, 0.0)
                    lines = [[f.select(inside, x, nothing) for x in part] for part in lines]
                for r, a in enumerate(lines[0]):
                    for s, b in enumerate(lines[1]):
                        out[r * broad + s] = f.fma(a, b, out[r * broad + s])
            return out

        zeros = [f.constant(layout.vector, 0.0)] * (high * broad)
        sums = accumulated(f, full, step, zeros, [f.fadd] * len(zeros), lanes=P)
        if depth % P:
            sums = step(full, *sums, last=depth % P)
        for r in range(high):
            for s in range(broad):
                column = f.add(j, s)
                panel = f.udiv(column, P)
                lane = f.sub(column, f.mul(panel, P))
                at = f.at(places[equation.target.name], (panel, rows * P), (f.add(i, r), P), lane, type=layout.real)
                f.store(f.reduce(f.fadd, sums[r * broad + s]), at)

    f.loop(*frame.share(-(-rows // high) * blocks), unit)


# --- formulas and reductions -----------------------------------------------------------------------------------------


def _reader(frame: Frame, equation: Equation, panel: Int, row: Int, v: int) -> Evaluator:
    """Evaluates expressions for a vector of columns of one row; what has one row or column repeats."""
    f, layout, P = frame.f, frame.layout, frame.layout.panel
    operands = {s.name: s for s in equation.operands}
    size = layout.lanes * layout.itemsize

    def leaf(name: str) -> Value:
        symbol = operands[name]
        if not symbol.shape:
            return f.splat(frame.scalar(name), layout.lanes)
        start = frame.addresses[name]
        if symbol.shape == (1,):  # one number for all columns
            return f.broadcast(f.at(start, 0, type=layout.real), layout.vector)
        if len(symbol.shape) == 1:
            return f.load(layout.vector, f.at(start, (panel, P), v * layout.lanes, type=layout.real), align=size)
        rows, columns = _sides(symbol)
        i: Int = 0 if rows == 1 else row
        if columns == 1:
            return f.broadcast(f.at(start, (i, P), type=layout.real), layout.vector)
        at = f.at(start, (panel, rows * P), (i, P), v * layout.lanes, type=layout.real)
        return f.load(layout.vector, at, align=size)

    return Evaluator(f, layout.vector, leaf)


def _formula(frame: Frame, equation: Equation) -> None:
    """T = e, row by row."""
    f, layout, op, P = frame.f, frame.layout, equation.op, frame.layout.panel
    assert isinstance(op, Elementwise)
    rows, columns = _sides(equation.target)
    panels, size = layout.panels(columns), layout.lanes * layout.itemsize

    def line(panel: Int, row: Int) -> None:
        for v in range(layout.vectors):
            value = _reader(frame, equation, panel, row, v)(op.expression)
            at = f.at(frame.addresses[equation.target.name], (panel, rows * P), (row, P), type=layout.real)
            f.store(value, at, v * layout.lanes, size)

    f.loop(*frame.share(rows), lambda row: f.loop(0, panels, lambda panel: line(panel, row)))


def _reduced(frame: Frame, equation: Equation) -> None:
    """Σ e or max e over the rows, a panel of columns at a time; the columns, row by row; all, on one thread."""
    f, layout, op, P = frame.f, frame.layout, equation.op, frame.layout.panel
    assert isinstance(op, Reduce)
    common = _common(equation)
    assert common is not None
    rows, columns = (int(d) for d in common)
    take, start = combine(f, op.kind), f.constant(layout.vector, identity(op.kind))
    empty = [start] * layout.vectors
    out, size = frame.addresses[equation.target.name], layout.lanes * layout.itemsize

    def over_rows(panel: Int) -> None:
        def body(row: Int, *sums: Value) -> list[Value]:
            return [take(s, _reader(frame, equation, panel, row, v)(op.expression)) for v, s in enumerate(sums)]

        sums = accumulated(f, rows, body, empty, [take] * layout.vectors)
        for v, total in enumerate(sums):
            f.store(total, f.at(out, (panel, P), v * layout.lanes, type=layout.real), align=size)

    def along(row: Int, *sums: Value) -> list[Value]:
        """The columns of a row, into these."""
        full = columns // P

        def body(panel: Int, *sums: Value) -> list[Value]:
            return [take(s, _reader(frame, equation, panel, row, v)(op.expression)) for v, s in enumerate(sums)]

        row_sums = accumulated(f, full, body, empty, [take] * layout.vectors, lanes=P)
        out = [take(a, b) for a, b in zip(sums, row_sums, strict=True)]
        for v in range(layout.vectors):
            left = columns - full * P - v * layout.lanes
            if left > 0:
                value = _reader(frame, equation, full, row, v)(op.expression)
                value = f.select(f.lane_mask(left, layout.lanes), value, start) if left < layout.lanes else value
                out[v] = take(out[v], value)
        return out

    def finish(sums: list[Value], at: Value) -> None:
        total = sums[0]
        for other in sums[1:]:
            total = take(total, other)
        f.store(f.reduce(take, total), at)

    def over_columns(row: Int) -> None:
        finish(along(row, *empty), f.at(out, (row, P), type=layout.real))

    def over_all() -> None:
        finish(accumulated(f, rows, along, empty, [take] * layout.vectors, lanes=columns), out)

    if op.over == "rows":
        f.loop(*frame.share(layout.panels(columns)), over_rows)
    elif op.over == "columns":
        f.loop(*frame.share(rows), over_columns)
    else:
        frame.alone(over_all)
