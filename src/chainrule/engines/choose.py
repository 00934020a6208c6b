"""Which engine a fit or a call is worth, by its shapes alone, so that the choice is the same every time."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engines.base import Engine
from chainrule.engines.reference import ReferenceEngine
from chainrule.program.equation import Program
from chainrule.program.op import MatMul
from chainrule.program.symbol import BATCH

COMPILING = 0.3
"""Seconds that compiling may cost, cold."""
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


class Engines:
    """The engines of one network, each made when it is first needed.

    name: "auto", "compiled" or "reference".  With "auto" a fit is compiled unless the reference engine would be done
    before compiling is; a call (predict, cost, gradients) is run by the engine of the last fit, and before any fit by
    the same rule.
    """

    def __init__(self, name: str, dtype: np.dtype[Any]) -> None:
        self.name = name
        self.dtype = dtype
        self.fitted: str | None = None
        self._made: dict[str, Engine] = {}

    def for_fit(self, program: Program, samples: int, epochs: int, batch_size: int) -> Engine:
        """The engine for a fit; also for the calls after it."""
        name = self.name
        if name == "auto":
            steps = epochs * -(-samples // batch_size)
            name = "compiled" if steps * seconds(program, min(batch_size, samples)) > COMPILING else "reference"
        self.fitted = name
        return self.named(name)

    def for_call(self, program: Program, samples: int) -> Engine:
        """The engine for a single call."""
        name = self.name
        if name == "auto":
            name = self.fitted or ("compiled" if seconds(program, samples) > COMPILING else "reference")
        return self.named(name)

    def named(self, name: str) -> Engine:
        """The engine of that name, the same one every time."""
        if name not in self._made:
            if name == "compiled":
                from chainrule.engines.compiled.engine import CompiledEngine  # llvmlite takes its time to load

                self._made[name] = CompiledEngine(self.dtype)
            else:
                self._made[name] = ReferenceEngine(self.dtype)
        return self._made[name]
