"""1/D at the parameters: the same derivation with the mean taken where their gradients are formed.

Every gradient on the way is multiplied by D, the divisor of the cost (m for a mean), and the gradients of the
parameters are divided by it:  dZ' = D dZ,  dW = (1/D) Aᵀ dZ'.  So a row of dZ' is one sample's own gradient.

The result is a program like any other, verified again: the reference engine runs it, and a test holds its gradients to
the original's.
"""

from __future__ import annotations

from dataclasses import replace

from chainrule.program.equation import Equation, Program, elementwise, operands_of
from chainrule.program.op import Elementwise, Reduce
from chainrule.program.scalar import Apply, Constant, Expression, Variable, apply, divide, multiply, variables
from chainrule.program.scalar import replace as exchange
from chainrule.program.symbol import Symbol
from chainrule.program.verify import verify


def mean_at_weights(program: Program) -> Program:
    """The program with 1/D where the gradients of the parameters are formed; itself where there is no D.

    A gradient dT that is no parameter's stands for D dT afterwards, dX as well.
    """
    by = program.divisor
    if by is None or not program.backward:
        return program
    ends = {g.name for s, g in program.gradients if s.role == "parameter"}
    scaled: set[str] = set()
    for equation in program.backward:
        carries = equation.target.role == "gradient" or any(s.name in scaled for s in equation.operands)
        if carries and equation.target.name not in ends:
            scaled.add(equation.target.name)
    scope = dict(program.symbols)
    backward: list[Equation] = []
    for equation in program.backward:
        if equation.target.name in ends:
            backward += _divided(equation, by, scaled, scope)
        elif equation.target.name in scaled:
            backward.append(_with(equation, by, scaled, scope))
        else:
            backward.append(equation)
    gradients = tuple((s, g) for s, g in program.gradients if s.role == "parameter")
    return verify(replace(program, backward=tuple(backward), gradients=gradients))


def _with(equation: Equation, by: Expression, scaled: set[str], scope: dict[str, Symbol]) -> Equation:
    """The equation of D dT, its operands being D dS."""
    op = equation.op
    if not isinstance(op, Elementwise | Reduce):
        return equation  # linear in the one gradient it reads
    expression = _times(op.expression, by, scaled)
    return replace(equation, op=replace(op, expression=expression), operands=operands_of(expression, scope))


def _divided(equation: Equation, by: Expression, scaled: set[str], scope: dict[str, Symbol]) -> list[Equation]:
    """The equations of a parameter's gradient, from operands D dS."""
    target, op = equation.target, equation.op
    if isinstance(op, Elementwise):
        expression = exchange(op.expression, {Variable(n): divide(Variable(n), by) for n in scaled})
        return [elementwise(target, expression, scope, equation.rule, equation.through)]
    whole = target.said("whole", "temporary")
    scope[whole.name] = whole
    inner = _with(replace(equation, target=whole), by, scaled, scope)
    mean = elementwise(target, divide(Variable(whole.name), by), scope, equation.rule, equation.through)
    return [inner, mean]


def _times(e: Expression, by: Expression, scaled: set[str]) -> Expression:
    """D e, where the variables in `scaled` hold D times their value already."""
    inside = [n in scaled for n in variables(e)]
    if not any(inside):
        return _cancelled(e, by)
    if isinstance(e, Variable):
        return e
    assert isinstance(e, Apply)
    has = [any(n in scaled for n in variables(a)) for a in e.arguments]
    match e.function:
        case "add" | "sub" | "neg":
            return apply(e.function, *(_times(a, by, scaled) for a in e.arguments))
        case "where" if not has[0]:
            return apply("where", e.arguments[0], *(_times(a, by, scaled) for a in e.arguments[1:]))
        case "mul" if has.count(True) == 1:
            return apply("mul", *(_times(a, by, scaled) if h else a for a, h in zip(e.arguments, has, strict=True)))
        case "div" if not has[1]:
            return divide(_times(e.arguments[0], by, scaled), e.arguments[1])
    return multiply(by, exchange(e, {Variable(n): divide(Variable(n), by) for n in scaled}))


def _cancelled(e: Expression, by: Expression) -> Expression:
    """D e, without a D that divides already."""
    if isinstance(e, Apply):
        a = e.arguments
        match e.function:
            case "div" if a[1] == by:
                return a[0]
            case "div" if isinstance(a[1], Apply) and a[1].function == "mul" and by in a[1].arguments:
                other = a[1].arguments[0] if a[1].arguments[1] == by else a[1].arguments[1]
                return divide(a[0], other)
            case "div" if _divides(a[0], by):
                return divide(_cancelled(a[0], by), a[1])
            case "mul" if _divides(a[0], by) or _divides(a[1], by):
                k = 0 if _divides(a[0], by) else 1
                return apply("mul", *(_cancelled(x, by) if n == k else x for n, x in enumerate(a)))
            case "add" | "sub" | "neg" if all(_divides(x, by) for x in a):
                return apply(e.function, *(_cancelled(x, by) for x in a))
    return multiply(by, e)


def _divides(e: Expression, by: Expression) -> bool:
    """Whether D can be cancelled in e."""
    if not isinstance(e, Apply):
        return e == Constant(0.0)
    a = e.arguments
    if e.function == "div":
        below = a[1].arguments if isinstance(a[1], Apply) and a[1].function == "mul" else (a[1],)
        return by in below or _divides(a[0], by)
    if e.function == "mul":
        return _divides(a[0], by) or _divides(a[1], by)
    return e.function in ("add", "sub", "neg") and all(_divides(x, by) for x in a)
