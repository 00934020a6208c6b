"""Equations without samples that fit in no tile and no run over one shape.

Products of parameters in all forms, also of groups, sums and maxima over rows or columns, shapes that repeat in one
another: line by line where all lies in feature panels (`wide.py`), else number by number, right rather than fast.
"""

from __future__ import annotations

from collections.abc import Callable

from chainrule.engines.compiled.lower import wide
from chainrule.engines.compiled.lower.elementwise import combine, identity
from chainrule.engines.compiled.lower.frame import Frame
from chainrule.engines.compiled.plan.stages import Plain
from chainrule.engines.llvm.emit import Int, Value
from chainrule.engines.llvm.expression import Evaluator
from chainrule.program.equation import Equation
from chainrule.program.op import Elementwise, GroupedMatMul, MatMul, Reduce
from chainrule.program.symbol import Shape, Symbol, broadcast


def plain(frame: Frame, stage: Plain) -> None:
    """The rows of the target are shared among the threads, of a vector the columns."""
    f = frame.f
    (equation,) = stage.equations
    if wide.fits(frame, equation):
        wide.wide(frame, equation)
        return
    rows, columns = _sides(equation.target.shape)

    def number(i: Int, j: Int) -> None:
        f.store(_number(frame, equation, i, j), _place(frame, equation.target, i, j))

    if not equation.target.shape:
        frame.alone(lambda: number(0, 0))
    elif rows == 1:
        f.loop(*frame.share(columns), lambda j: number(0, j))
    else:
        f.loop(*frame.share(rows), lambda i: f.loop(0, columns, lambda j: number(i, j)))


def _number(frame: Frame, equation: Equation, i: Int, j: Int) -> Value:
    """The target's number in row i and column j."""
    op = equation.op
    if isinstance(op, MatMul):
        return _product(frame, equation, i, j)
    if isinstance(op, GroupedMatMul):
        return _grouped(frame, equation, i, j)
    assert isinstance(op, Elementwise | Reduce)
    operands = {s.name: s for s in equation.operands}

    def at(i: Int, j: Int) -> Value:
        return Evaluator(frame.f, frame.layout.real, lambda name: _read(frame, operands[name], i, j))(op.expression)

    return at(i, j) if isinstance(op, Elementwise) else _reduced(frame, equation, at, i, j)


def _product(frame: Frame, equation: Equation, i: Int, j: Int) -> Value:
    f, op = frame.f, equation.op
    assert isinstance(op, MatMul)
    left, right = equation.operands
    depth = _sides(left.shape)[0 if op.transpose_left else 1]

    def step(p: Int, acc: Value) -> Value:
        a = _read(frame, left, *((p, i) if op.transpose_left else (i, p)))
        b = _read(frame, right, *((j, p) if op.transpose_right else (p, j)))
        return f.fma(a, b, acc)

    return f.loop(0, depth, step, [f.constant(frame.layout.real, 0.0)])[0]


def _grouped(frame: Frame, equation: Equation, i: Int, j: Int) -> Value:
    """The number of one group's product; of a shared matrix's gradient the sum of all groups' products."""
    f, op = frame.f, equation.op
    assert isinstance(op, GroupedMatMul)
    left, right = equation.operands
    rows, across = _sides(left.shape)
    a, groups = across // op.groups, op.groups
    zero = f.constant(frame.layout.real, 0.0)
    if op.transpose_left:
        b = _sides(right.shape)[1] // groups

        def of_group(k: Int, i: Int, total: Value) -> Value:
            def step(p: Int, total: Value) -> Value:
                one = _read(frame, left, p, f.add(f.mul(k, a), i))
                return f.fma(one, _read(frame, right, p, f.add(f.mul(k, b), j)), total)

            return f.loop(0, rows, step, [total])[0]

        if op.shared:
            return f.loop(0, groups, lambda k, total: of_group(k, i, total), [zero])[0]
        group = f.udiv(i, a)
        return of_group(group, f.sub(i, f.mul(group, a)), zero)
    width = _sides(equation.target.shape)[1] // groups
    group = f.udiv(j, width)
    column = f.sub(j, f.mul(group, width))
    first: Int = 0 if op.shared else f.mul(group, width if op.transpose_right else a)

    def term(p: Int, total: Value) -> Value:
        row, other = (column, p) if op.transpose_right else (p, column)
        one = _read(frame, left, i, f.add(f.mul(group, a), p))
        return f.fma(one, _read(frame, right, f.add(first, row), other), total)

    return f.loop(0, a, term, [zero])[0]


def _reduced(frame: Frame, equation: Equation, at: Callable[[Int, Int], Value], i: Int, j: Int) -> Value:
    """The sum or maximum of row i, of column j, or of all."""
    f, op = frame.f, equation.op
    assert isinstance(op, Reduce)
    shape = broadcast([s.shape for s in equation.operands])
    assert shape is not None
    rows, columns = _sides(shape)
    take, start = combine(f, op.kind), f.constant(frame.layout.real, identity(op.kind))

    def row(i: Int, acc: Value) -> Value:
        return f.loop(0, columns, lambda j, acc: take(acc, at(i, j)), [acc])[0]

    if op.over == "columns":
        return row(i, start)
    if op.over == "rows":
        return f.loop(0, rows, lambda i, acc: take(acc, at(i, j)), [start])[0]
    return f.loop(0, rows, row, [start])[0]


def _read(frame: Frame, symbol: Symbol, i: Int, j: Int) -> Value:
    """An operand's number at row i and column j of a common shape: what has one row or column repeats."""
    if not symbol.shape:
        return frame.scalar(symbol.name)
    rows, columns = _sides(symbol.shape)
    place = _place(frame, symbol, 0 if rows == 1 else i, 0 if columns == 1 else j)
    return frame.f.load(frame.layout.real, place)


def _place(frame: Frame, symbol: Symbol, i: Int, j: Int) -> Value:
    """The address of the number in row i and column j."""
    f, layout = frame.f, frame.layout
    start, (rows, columns) = frame.addresses[symbol.name], _sides(symbol.shape)
    match frame.plan.kinds[symbol.name]:
        case "weight":
            panel = f.udiv(j, layout.panel)
            lane = f.sub(j, f.mul(panel, layout.panel))
            return f.at(start, (panel, rows * layout.panel), (i, layout.panel), lane, type=layout.real)
        case "table":
            return f.at(start, (i, columns), j, type=layout.real)
        case _:
            return f.at(start, j, type=layout.real)


def _sides(shape: Shape) -> tuple[int, int]:
    """Rows and columns; a vector is a row, and so is a scalar."""
    rows, columns = ([1, 1] + [int(d) for d in shape])[-2:]
    return rows, columns
