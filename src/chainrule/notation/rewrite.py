"""The strengths of the penalties under a name:  0.35 Σ W² / m  becomes  λ Σ W² / (2m).

The result is a program like any other, verified again; the reference engine runs it.
"""

from __future__ import annotations

from dataclasses import replace

from chainrule.program.equation import Equation, Program, operands_of
from chainrule.program.op import Elementwise
from chainrule.program.scalar import ONE, TWO, Apply, Constant, Expression, Variable, apply, divide, multiply
from chainrule.program.symbol import BATCH, How, Symbol
from chainrule.program.verify import verify
from chainrule.program.walk import replace as exchange
from chainrule.program.walk import variables, walk


def named_penalties(program: Program) -> tuple[Program, dict[str, float]]:
    """The program with λ, λ₁, λ₂ for the strengths of the penalties, and their values by symbol name."""
    objective = next((e for e in program.cost if e.target == program.objective), None)
    if objective is None or not isinstance(objective.op, Elementwise):
        return program, {}
    found: dict[str, tuple[float, Expression]] = {}
    for part in walk(objective.op.expression):
        factor = _per_sample(part)
        if factor is not None:
            kinds = {program.symbols[n].how for n in variables(factor[1])}
            if kinds == {"norm1"} or kinds == {"norm2"}:
                found[kinds.pop()] = (factor[0], part)
    if not found:
        return program, {}
    marks = {"norm1": "1", "norm2": "2" if len(found) == 2 else ""}
    m = Variable(BATCH)
    values: dict[str, float] = {}
    strengths: list[Symbol] = []
    by: dict[Expression, Expression] = {}
    for kind, (strength, part) in found.items():
        how: How = "norm1" if kind == "norm1" else "norm2"
        strengths.append(Symbol("lambda", (), "size", mark=marks[kind]))
        name = strengths[-1].name
        values[name] = strength if kind == "norm1" else 2 * strength
        inner = _per_sample(part)
        assert inner is not None
        below = m if kind == "norm1" else TWO * m
        by[part] = divide(multiply(Variable(name), inner[1]), below)
        parts = _factors(inner[1])
        for symbol in program.parameters:
            w = Variable(symbol.name)
            share = parts.get(symbol.said(how).name, 1.0)
            slope: Expression = apply("sign", w) if kind == "norm1" else w
            for moved in (slope, Variable(symbol.tangent.name)):
                numbers = divide(multiply(Constant(values[name] * share), moved), m)
                by[numbers] = divide(multiply(Constant(share), multiply(Variable(name), moved)), m)
    given = (*program.given, *strengths)
    scope = {**program.symbols, **{s.name: s for s in given}}
    ends = {g.name for _, g in program.gradients} | {g.name for g in program.gradient_of.values() if g.of[0].penalised}

    def renamed(equation: Equation) -> Equation:
        if not isinstance(equation.op, Elementwise):
            return equation
        if equation.target != program.objective and equation.target.name not in ends:
            return equation
        expression = exchange(equation.op.expression, by)
        return replace(equation, op=Elementwise(expression), operands=operands_of(expression, scope))

    changed = replace(
        program,
        given=given,
        cost=tuple(renamed(e) for e in program.cost),
        backward=tuple(renamed(e) for e in program.backward),
    )
    return verify(changed), values


def _factors(total: Expression) -> dict[str, float]:
    """The factor of each norm in a sum of them, by name."""
    factors: dict[str, float] = {}
    for part in walk(total):
        if isinstance(part, Variable):
            factors.setdefault(part.name, 1.0)
        elif isinstance(part, Apply) and part.function == "mul" and isinstance(part.arguments[0], Constant):
            factors.update(dict.fromkeys(variables(part), part.arguments[0].value))
    return factors


def _per_sample(e: Expression) -> tuple[float, Expression] | None:
    """(c, x) of c x / m."""
    if not (isinstance(e, Apply) and e.function == "div" and e.arguments[1] == Variable(BATCH)):
        return None
    top = e.arguments[0]
    if isinstance(top, Apply) and top.function == "mul" and isinstance(top.arguments[0], Constant):
        return top.arguments[0].value, top.arguments[1]
    return ONE.value, top
