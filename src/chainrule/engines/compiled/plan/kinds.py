"""How each symbol of a program lies in memory."""

from __future__ import annotations

from typing import Literal

from chainrule.program.equation import Program
from chainrule.program.op import Elementwise, Gather, ScatterAdd

Kind = Literal["batch", "weight", "table", "vector", "scalar", "tokens"]
"""batch (m, n): lane panels.  weight (k, n): feature panels.  table (v, d): plain rows.  vector (n,), scalar ()."""


def kinds_of(program: Program) -> dict[str, Kind]:
    """How each symbol lies in memory; parameters of an embedding are tables, as is all that meets them."""
    kinds: dict[str, Kind] = {}
    tables = set()
    for equation in program.equations:
        if isinstance(equation.op, Gather):
            tables.add(equation.operands[0].name)
        elif isinstance(equation.op, ScatterAdd):
            tables.add(equation.target.name)
    for _ in range(2):  # a slot may meet its table only after the table's gradient did
        for equation in program.equations:
            matrices = [s for s in (equation.target, *equation.operands) if len(s.shape) == 2 and not s.batched]
            if isinstance(equation.op, Elementwise) and any(s.name in tables for s in matrices):
                tables |= {s.name for s in matrices}
    for name, symbol in program.symbols.items():
        if symbol.integers and len(symbol.shape) == 2:
            kinds[name] = "tokens"
        elif symbol.batched:
            kinds[name] = "batch"
        elif len(symbol.shape) == 2:
            kinds[name] = "table" if name in tables else "weight"
        else:
            kinds[name] = "vector" if symbol.shape else "scalar"
    return kinds
