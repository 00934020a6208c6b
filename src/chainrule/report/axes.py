"""Which axis of an array stands for the network's inputs, so that a reading can say the column's name."""

from __future__ import annotations

from chainrule.program.equation import Program
from chainrule.program.op import MatMul


def input_axes(program: Program) -> dict[str, int]:
    """By symbol: 1 of the inputs (m, n) and what follows from them, 0 of the weights (n, k) that they meet first."""
    weights = {
        equation.operands[1]
        for equation in program.forward
        if isinstance(equation.op, MatMul) and equation.operands[0].role == "input"
    }
    axes = {}
    for name, symbol in program.symbols.items():
        if len(symbol.shape) != 2 or symbol.integers:
            continue
        if symbol.root in weights and symbol.shape == symbol.root.shape:
            axes[name] = 0
        elif symbol.root.role == "input" and symbol.shape == symbol.root.shape:
            axes[name] = 1
    return axes
