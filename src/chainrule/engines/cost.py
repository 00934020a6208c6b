"""What a program costs: the arithmetic of its products, and about how long the reference engine takes."""

from __future__ import annotations

from chainrule.program.equation import Equation, Program
from chainrule.program.op import GroupedMatMul, MatMul
from chainrule.program.precision import pairs
from chainrule.program.symbol import BATCH, Shape

PER_EQUATION = 5e-6
"""Seconds that the reference engine spends on an equation of a small batch, whatever its size."""
PER_OPERATION = 4e-11
"""Seconds per arithmetic operation of a product there."""
PER_ELEMENT = 2e-9
"""Seconds per element of an element-wise equation there."""
PER_PART = 2
"""Element-wise equations that splitting a number costs as much as, for each of its parts."""


def operations(program: Program, samples: int) -> int:
    """Multiplications and additions of all products for a batch of so many samples."""
    total = 0
    for equation in program.equations:
        if isinstance(equation.op, GroupedMatMul):
            total += _grouped(equation, equation.op, samples)
        elif isinstance(equation.op, MatMul):
            rows, columns = equation.target.shape
            left = equation.operands[0].shape
            inner = left[0] if equation.op.transpose_left else left[1]
            product = 2
            for size in (rows, columns, inner):
                product *= samples if size == BATCH else int(size)
            total += product
    return total


def _grouped(equation: Equation, op: GroupedMatMul, samples: int) -> int:
    """Those of a product of groups: rows x groups x a x b."""
    left, right = (s.shape for s in equation.operands)
    rows, columns = (samples if d == BATCH else int(d) for d in left)
    return 2 * rows * columns * (int(right[1]) // op.groups if op.transpose_left else _other(op, right))


def _other(op: GroupedMatMul, weights: Shape) -> int:
    """The columns of a group of the result."""
    a, b = (int(d) for d in weights)
    return (a if op.shared else a // op.groups) if op.transpose_right else b


def seconds(program: Program, samples: int) -> float:
    """About how long the reference engine takes for one batch."""
    elements = 0
    for equation in program.equations:
        if isinstance(equation.op, MatMul | GroupedMatMul):
            for symbol in equation.operands:
                rows, columns = (samples if size == BATCH else int(size) for size in symbol.shape)
                elements += PER_PART * equation.op.parts * rows * columns
        else:
            wide = max((s.shape for s in (equation.target, *equation.operands)), key=len)
            count = 1
            for size in wide:
                count *= samples if size == BATCH else int(size)
            elements += count
    products = operations(program, samples) * max(1, len(pairs(program.parts)))
    return len(program.equations) * PER_EQUATION + products * PER_OPERATION + elements * PER_ELEMENT
