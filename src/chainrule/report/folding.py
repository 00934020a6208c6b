"""Which lines of a derivation say again what others said of another parameter, or of another layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.notation import EquationView
from chainrule.program.equation import Equation, Program
from chainrule.program.op import AtRows, Elementwise, Op, Reduce
from chainrule.program.scalar import Expression, Variable
from chainrule.program.symbol import Symbol
from chainrule.program.walk import replace

Sign = tuple[tuple[Op, tuple[str, ...]], ...]
"""What a group of lines says, whatever its own symbols are called."""
LEAST = {"update": 2}
"""Lines that are worth to be folded, by section; in the others `MANY`."""
MANY = 6


@dataclass(frozen=True)
class Fold:
    """Lines that follow each other and repeat earlier ones."""

    lines: range
    """Their places."""
    of: tuple[Symbol, ...]
    """The parameters that they are about (update), or a value of each layer (forward and backward)."""


def folds(views: Sequence[EquationView], program: Program) -> list[Fold]:
    """All of a derivation: in the update, of each parameter; in the other sections, of each layer."""
    equations = {(section, e.target.name): e for section, part in program.sections() for e in part}
    seen: set[tuple[str, Sign]] = set()
    folded: list[Fold] = []
    for lines, mine in _groups(views, equations):
        section = views[lines[0]].section
        said = (section, _sign(mine))
        if said not in seen or not mine:
            seen.add(said)
            continue
        of = _of(section, mine)
        last = folded[-1] if folded else None
        if last is not None and last.lines.stop == lines.start and views[last.lines[0]].section == section:
            folded[-1] = Fold(range(last.lines.start, lines.stop), (*last.of, of))
        else:
            folded.append(Fold(lines, (of,)))
    return [fold for fold in folded if len(fold.lines) >= LEAST.get(views[fold.lines[0]].section, MANY)]


def _groups(
    views: Sequence[EquationView], equations: dict[tuple[str, str], Equation]
) -> list[tuple[range, list[Equation]]]:
    """Runs of lines about one parameter or layer; a line that only says what a sign means goes with the next."""
    groups: list[tuple[range, list[Equation], object]] = []
    start = 0
    for k, view in enumerate(views):
        mine = [equations[view.section, name] for name in view.targets if (view.section, name) in equations]
        if not view.targets or not mine:
            if view.operands:  # Ŷ = A, A = X: of no group
                groups.append((range(start, k + 1), [], None))
                start = k + 1
            continue
        key = (view.section, _key(view.section, mine))
        if key[1] is None and groups and groups[-1][0].stop == start:  # the mean at a parameter is of its layer
            key = groups[-1][2] if isinstance(groups[-1][2], tuple) and groups[-1][2][0] == view.section else key
        if groups and groups[-1][2] == key and groups[-1][0].stop == start:
            before, theirs, _ = groups[-1]
            groups[-1] = (range(before.start, k + 1), [*theirs, *mine], key)
        else:
            groups.append((range(start, k + 1), mine, key))
        start = k + 1
    return [(lines, mine) for lines, mine, _ in groups]


def _key(section: str, equations: list[Equation]) -> object:
    """What a line is about: a parameter, or the place of a layer."""
    if section == "update":
        return equations[-1].target.root
    return next((e.layer for e in reversed(equations) if e.layer is not None), None)


def _of(section: str, equations: list[Equation]) -> Symbol:
    target = equations[0].target
    return target.root if section == "update" else target


def _sign(equations: list[Equation]) -> Sign:
    """The operations and how they hang together: symbols of the group by their order, those of no layer by name."""
    order: dict[str, str] = {}

    def sign(symbol: Symbol) -> str:
        own = symbol.layer is not None or symbol.root.layer is not None or symbol.root.role == "input"
        return order.setdefault(symbol.name, f"{len(order)}" if own else symbol.name)

    said = []
    for equation in equations:
        operands = {symbol.name: sign(symbol) for symbol in equation.operands}
        op = equation.op
        if isinstance(op, Elementwise | Reduce | AtRows):
            signs: dict[Expression, Expression] = {Variable(n): Variable(number) for n, number in operands.items()}
            op = dataclasses.replace(op, expression=replace(op.expression, signs))
        said.append((op, (*operands.values(), sign(equation.target))))
    return tuple(said)
