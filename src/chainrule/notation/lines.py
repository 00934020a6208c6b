"""Lines: which equations of a program are written as one.

A product before its bias and a sum before its division are written in place.  A familiar function of several equations
(softmax) is one line where nothing else needs its inner values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chainrule.describe.activations import ACTIVATIONS
from chainrule.describe.canonical import canonical_pairs
from chainrule.program.equation import Equation, Program
from chainrule.program.op import (
    Beside,
    Columns,
    Elementwise,
    GroupedMatMul,
    MatMul,
    OneHot,
    Reduce,
    ReduceGroups,
    Repeat,
)
from chainrule.program.scalar import Apply, Expression, Reduction, Variable, children
from chainrule.program.symbol import Symbol
from chainrule.program.walk import occurrences, replace


def ends_of(program: Program, loss: Symbol) -> tuple[Symbol, Symbol]:
    """(Y, Ŷ) of a loss of each sample: the targets and the value that it compares."""
    defined = {e.target.name: e for e in (*program.forward, *program.cost)}
    targets: list[Symbol] = []
    values: list[Symbol] = []
    waiting, met = [loss], {loss.name}
    while waiting:
        symbol = waiting.pop(0)
        equation = defined.get(symbol.name)
        if symbol.role == "target" or symbol.how == "smoothed" or (equation and isinstance(equation.op, OneHot)):
            targets.append(symbol)
        elif symbol.role == "value":
            values.append(symbol)
        elif equation is not None:
            waiting += [s for s in equation.operands if s.name not in met]
            met |= {s.name for s in equation.operands}
    value = next((a for a, z in program.activations if z in values), values[0] if values else program.prediction)
    return targets[0], value


FAMILIAR: Mapping[str, Expression] = {a.name: a.expression for a in ACTIVATIONS.values() if a.entries is not None}
"""Functions of a whole row with a name of their own."""

USUAL: Mapping[str, Expression] = {p.name: p.written for p in canonical_pairs().values() if p.written is not None}
"""The loss as texts write it, where a canonical pair computes it another way; the first member of its line."""

STABLE: Mapping[str, Expression] = {p.name: p.stable for p in canonical_pairs().values() if p.stable is not None}
"""The form that is computed, without the steps that only keep digits (the 1 among the exponentials is added last)."""


@dataclass(frozen=True)
class Line:
    """One line: its own equation, and those written inside it."""

    section: str
    """Of the program."""
    equation: Equation
    """Its own."""
    inside: tuple[Equation, ...] = ()
    """Those that are written in place."""
    named: str | None = None
    """A familiar function that it is."""
    jacobian: str | None = None
    """The activation's value A where the line is dZ from dA through the Jacobian of a vector-valued activation, in
    components."""

    @property
    def target(self) -> Symbol:
        """What the line defines."""
        return self.equation.target

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of all program symbols that the line defines, its own last."""
        return (*(e.target.name for e in self.inside), self.equation.target.name)

    @property
    def operands(self) -> tuple[str, ...]:
        """The names of the symbols that it reads."""
        own = set(self.targets) if self.equation.target.role not in ("parameter", "slot", "statistic") else set()
        inner = {e.target.name for e in self.inside}
        names = [s.name for e in (*self.inside, self.equation) for s in e.operands]
        return tuple(dict.fromkeys(n for n in names if n not in inner and n not in own))


def uncut(line: Line) -> bool:
    """Whether the line's loss is a canonical pair's own value, not one that is reported up to a cap only."""
    op = line.equation.op
    return not (
        isinstance(op, Elementwise) and isinstance(op.expression, Apply) and op.expression.function == "minimum"
    )


_SMALL = (MatMul, Reduce, Beside, Columns, GroupedMatMul, Repeat, ReduceGroups)
"""Operations whose value may be written where it is used."""


def lines(program: Program, *, jacobians: bool = False) -> list[Line]:
    """The lines of a program, in order; jacobians: whether dZ of a vector-valued activation is one line."""
    given = {s.name for s in program.given}
    made_by = {e.target.name: e for e in program.equations if e.target.name not in given}
    section_of = {id(e): name for name, equations in program.sections() for e in equations}
    users: dict[str, list[Equation]] = {}
    for equation in program.equations:
        for symbol in dict.fromkeys(equation.operands):
            users.setdefault(symbol.name, []).append(equation)
    through = _through_jacobians(program, made_by, users) if jacobians else {}
    inside_jacobians = {id(e) for _, group in through.values() for e in group}
    named = _familiar(program, made_by, users, inside_jacobians | {id(made_by[z]) for z in through})
    hidden = {e.target.name: e for group, _ in named.values() for e in group}
    within: dict[str, Equation] = {}
    for name, equation in made_by.items():
        mine = users.get(name, [])
        role = equation.target.role
        small = isinstance(equation.op, _SMALL) and role in ("temporary", "inner", "loss")
        small = small or (isinstance(equation.op, Elementwise) and role == "temporary" and not _repeats(equation))
        small = small and name != program.prediction.name
        if name not in hidden and small and len(mine) == 1 and not _of_a_sample(equation) and _open(mine[0], name):
            same = section_of[id(mine[0])] == section_of[id(equation)]
            if same or equation.target.role == "temporary":
                within[name] = equation
    written = {**within, **hidden}
    result: list[Line] = []
    for section, equations in program.sections():
        for equation in equations:
            name = equation.target.name
            stored = equation.target.role in ("parameter", "slot", "statistic")
            if not stored and (name in written or id(equation) in inside_jacobians):
                continue
            inside = through[name][1] if name in through else _inside(equation, written)
            known = named[name][1] if name in named else None
            result.append(Line(section, equation, tuple(inside), known, through[name][0] if name in through else None))
    return result


def _through_jacobians(
    program: Program, made_by: Mapping[str, Equation], users: Mapping[str, list[Equation]]
) -> dict[str, tuple[str, list[Equation]]]:
    """dZ -> (A, the equations between dA and dZ) for every vector-valued activation whose dA is there."""
    gradient_of, pairs = program.gradient_of, {}
    for a, z in program.activations:
        equation = made_by.get(a.name)
        if equation is None or only_value(equation, made_by) != z.name or not {a.name, z.name} <= gradient_of.keys():
            continue
        group: list[Equation] = []
        if isinstance(equation.op, Elementwise):
            expanded(equation.op.expression, made_by, group)
        da, dz = gradient_of[a.name].name, gradient_of[z.name].name
        inner = {e.target for e in group}
        end = made_by[dz]
        between = [e for e in program.backward if e.target.of and e.target.of[0] in inner]
        names = {e.target.name for e in between}
        closed = all(u in between or u is end for n in names for u in users.get(n, []))
        allowed = names | {da, a.name, z.name, *(s.name for s in inner)}
        if between and closed and all(s.name in allowed for s in end.operands):
            pairs[dz] = (a.name, between)
    return pairs


def _repeats(equation: Equation) -> bool:
    """Whether the value is repeated to fill its target: in a sum it counts more often than its formula would."""
    return equation.op.shape(equation.operands) != equation.target.shape


def _of_a_sample(equation: Equation) -> bool:
    """Whether it is L, the loss of each sample: it has a line of its own."""
    return equation.target.role == "loss" and equation.target.batched


def _open(user: Equation, name: str) -> bool:
    """Whether a value may be written in place there: in an expression, and only once."""
    if not isinstance(user.op, Elementwise | Reduce):
        return False
    return occurrences(user.op.expression).get(Variable(name), 0) == 1


def _inside(equation: Equation, written: Mapping[str, Equation]) -> list[Equation]:
    """The equations written inside this one, in the order of the program."""
    within: list[Equation] = []
    for symbol in dict.fromkeys(equation.operands):
        if symbol.name in written and written[symbol.name] is not equation:
            one = written[symbol.name]
            within += [e for e in (*_inside(one, written), one) if e not in within]
    return within


def _familiar(
    program: Program, made_by: Mapping[str, Equation], users: Mapping[str, list[Equation]], covered: set[int]
) -> dict[str, tuple[list[Equation], str]]:
    """target -> (its inner equations, the name of the function), where nobody else needs the inner values.

    covered: equations that are not shown, and so need nothing.
    """
    named = {}
    for equation in program.forward:
        z = only_value(equation, made_by)
        if not isinstance(equation.op, Elementwise) or z is None:
            continue
        group: list[Equation] = []
        formula = expanded(equation.op.expression, made_by, group)
        formula = replace(formula, {Variable(z): Variable("z")})
        name = familiar_name(formula)
        if name is None:
            continue
        own = {id(e) for e in group} | {id(equation)} | covered
        outside = [u for e in group for u in users.get(e.target.name, []) if id(u) not in own]
        if all(u.rule in USUAL for u in outside):
            named[equation.target.name] = (group, name)
    return named


def only_value(equation: Equation, made_by: Mapping[str, Equation]) -> str | None:
    """The one value that an activation's equations start from."""
    seen: set[str] = set()

    def visit(one: Equation) -> None:
        for symbol in one.operands:
            if symbol.role == "inner" and symbol.name in made_by:
                visit(made_by[symbol.name])
            else:
                seen.add(symbol.name)

    if equation.target.role == "value" and equation.target.batched:
        visit(equation)
    return seen.pop() if len(seen) == 1 else None


def expanded(e: Expression, made_by: Mapping[str, Equation], group: list[Equation]) -> Expression:
    """The expression with inner symbols replaced by what they are; their equations are added to the group."""
    if isinstance(e, Variable):
        inner = made_by.get(e.name)
        if inner is None or inner.target.role != "inner" or not isinstance(inner.op, Elementwise | Reduce):
            return e
        under = expanded(inner.op.expression, made_by, group)
        if inner not in group:
            group.append(inner)
        if isinstance(inner.op, Reduce):
            return Reduction(inner.op.kind, inner.op.over, under)  # type: ignore[arg-type]
        return under
    parts = {c: expanded(c, made_by, group) for c in children(e)}
    return replace(e, parts) if isinstance(e, Apply) else e


def familiar_name(formula: Expression) -> str | None:
    """The name of a formula in z that is a familiar one (what is stopped has its value all the same)."""
    plain = _plain(formula)
    return next((name for name, known in _OF_COLUMNS.items() if known == plain), None)


def _plain(e: Expression) -> Expression:
    """The formula without its stops."""
    if isinstance(e, Apply) and e.function == "stop":
        return _plain(e.arguments[0])
    inner = {c: _plain(c) for c in children(e)}
    if isinstance(e, Reduction):
        return Reduction(e.kind, e.over, inner[e.argument])
    return replace(e, inner) if isinstance(e, Apply) else e


def by_columns(e: Expression) -> Expression:
    """A formula of one sample: its reductions run over the columns."""
    inner = {c: by_columns(c) for c in children(e)}
    if isinstance(e, Reduction):
        return Reduction(e.kind, "columns", inner[e.argument])
    return replace(e, inner) if isinstance(e, Apply) else e


_OF_COLUMNS: Mapping[str, Expression] = {name: _plain(by_columns(known)) for name, known in FAMILIAR.items()}
"""The familiar functions as a program has them."""
