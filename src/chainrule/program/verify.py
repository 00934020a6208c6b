"""verify: the laws of a program, always run on what a pass made or changed.

Every symbol is assigned once and before it is used; a symbol's name means one symbol; shapes agree by the operation's
own rule; only the update overwrites, and only what is stored, once each.  All faults are collected and shown with
their neighbours.
"""

from __future__ import annotations

from chainrule.errors import ProgramError
from chainrule.program.equation import Equation, Program
from chainrule.program.op import Elementwise
from chainrule.program.symbol import GIVEN, STORED, Shape, Symbol, broadcast, shape_text


def verify(program: Program, *, pruned: bool = False) -> Program:
    """The program itself, if it keeps the laws.  Raises ProgramError with every fault and its place.

    pruned: whether the prediction may be missing, as where nobody asked for it (`Program.pruned`).
    """
    faults: list[str] = []
    defined: dict[str, Symbol] = {}
    for symbol in program.given:
        if symbol.role not in GIVEN:
            faults.append(f"{symbol.name} has the role {symbol.role!r}, which is not given from outside")
        if symbol.name in defined:
            faults.append(f"{symbol.name} is given twice")
        defined[symbol.name] = symbol
    overwritten: set[str] = set()
    for section, equations in program.sections():
        for position, equation in enumerate(equations):
            wrong = _faults(section, equation, defined, overwritten)
            if wrong:
                near = [f"   {'>' if k == position else ' '} {equations[k]}" for k in _near(position, len(equations))]
                faults.append("\n".join([f"{section} {position + 1}: {'; '.join(wrong)}", *near]))
            defined.setdefault(equation.target.name, equation.target)
            if equation.target.role in STORED:
                overwritten.add(equation.target.name)
    ends = [s for pair in program.gradients for s in pair]
    if not pruned or program.prediction.name in defined:
        ends.append(program.prediction)
    if program.objective is not None:
        ends.append(program.objective)
        if program.objective.shape != ():
            faults.append(f"the cost {program.objective.name} must be a scalar, not {program.objective.shape}")
    faults += [f"{s.name} is promised and never assigned" for s in ends if defined.get(s.name) != s]
    faults += [
        f"{g.name} has not the shape of {s.name}: {shape_text(g.shape)} for {shape_text(s.shape)}"
        for s, g in program.gradients
        if s.shape != g.shape
    ]
    if faults:
        raise ProgramError("The program breaks its laws:\n" + "\n".join(faults))
    return program


def _near(position: int, count: int) -> range:
    return range(max(0, position - 2), min(count, position + 3))


def _faults(section: str, equation: Equation, defined: dict[str, Symbol], overwritten: set[str]) -> list[str]:
    faults = []
    for operand in equation.operands:
        if operand.name not in defined:
            faults.append(f"{operand.name} is used before it is assigned")
        elif defined[operand.name] != operand:
            faults.append(f"{operand.name} means two symbols: {defined[operand.name]!r} and {operand!r}")
    target = equation.target
    if target.role in STORED:
        if section != "update":
            faults.append(f"{target.name} is stored, and only the update may overwrite it")
        elif target.name not in defined:
            faults.append(f"{target.name} is stored but not given")
        elif defined[target.name] != target:
            faults.append(f"{target.name} means two symbols: {defined[target.name]!r} and {target!r}")
        elif target.name in overwritten:
            faults.append(f"{target.name} is overwritten twice")
    elif target.name in defined:
        faults.append(f"{target.name} is assigned twice")
    shape = equation.op.shape(equation.operands)
    if shape is None:
        shapes = ", ".join(f"{s.name} {shape_text(s.shape)}" for s in equation.operands)
        faults.append(f"{type(equation.op).__name__} cannot take {shapes or 'nothing'}")
    elif shape != target.shape and not _repeats(equation, shape):
        faults.append(f"expected the shape {shape_text(shape)}, got {shape_text(target.shape)} for {target.name}")
    return faults


def _repeats(equation: Equation, shape: Shape) -> bool:
    """Whether a smaller element-wise value may repeat to fill its target."""
    return isinstance(equation.op, Elementwise) and broadcast([shape, equation.target.shape]) == equation.target.shape
