"""What a program costs: the arithmetic of its products, and about how long the reference engine takes."""

from __future__ import annotations

from chainrule.program.equation import Program
from chainrule.program.op import MatMul
from chainrule.program.symbol import BATCH

PER_EQUATION = 5e-6
"""Seconds that the reference engine spends on an equation of a small batch, whatever its size."""
PER_OPERATION = 4e-11
"""Seconds per arithmetic operation of a product there."""
PER_ELEMENT = 2e-9
"""Seconds per element of an element-wise equation there."""


def operations(program: Program, samples: int) -> int:
    """Multiplications and additions of all products for a batch of so many samples."""
    total = 0
    for equation in program.equations:
        if isinstance(equation.op, MatMul):
            rows, columns = equation.target.shape
            left = equation.operands[0].shape
            inner = left[0] if equation.op.transpose_left else left[1]
            product = 2
            for size in (rows, columns, inner):
                product *= samples if size == BATCH else int(size)
            total += product
    return total


def seconds(program: Program, samples: int) -> float:
    """About how long the reference engine takes for one batch."""
    elements = 0
    for equation in program.equations:
        if not isinstance(equation.op, MatMul):
            wide = max((s.shape for s in (equation.target, *equation.operands)), key=len)
            count = 1
            for size in wide:
                count *= samples if size == BATCH else int(size)
            elements += count
    return len(program.equations) * PER_EQUATION + operations(program, samples) * PER_OPERATION + elements * PER_ELEMENT
