"""What is too large to be written: a formula that uses its parts again doubles with each use."""

from __future__ import annotations

from chainrule.errors import FormulaError
from chainrule.program.equation import Program
from chainrule.program.op import AtRows, Elementwise, Reduce
from chainrule.program.scalar import Variable
from chainrule.program.text import LARGEST
from chainrule.program.walk import occurrences


def writable(program: Program) -> Program:
    """The program itself.  Raises FormulaError if an equation, written out, has more than LARGEST parts.

    Counted with it are the inner values that may be written in its place: those of an activation, and sums.
    """
    forward = {e.target.name for e in program.forward}
    inner: dict[str, int] = {}
    for equation in program.equations:
        target, op = equation.target, equation.op
        if not isinstance(op, Elementwise | Reduce | AtRows):
            continue
        counts = occurrences(op.expression).items()
        size = sum(n * (inner.get(x.name, 1) if isinstance(x, Variable) else 1) for x, n in counts)
        if size > LARGEST:
            raise FormulaError(
                f"The equation of {target.name} has {_count(size)} parts when it is written out; {LARGEST:,} are the "
                "most that are written. It uses its own parts again: make a formula that does so shorter, or see "
                "what it is made of in program.equations."
            )
        if target.role == "inner" and (target.name in forward or isinstance(op, Reduce)):
            inner[target.name] = size
    return program


def _count(size: int) -> str:
    return f"{size:,}" if size < 10**12 else "more than 1,000,000,000,000"
