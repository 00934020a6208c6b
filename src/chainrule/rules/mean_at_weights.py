"""1/D at the parameters: the same derivation with the mean taken where their gradients are formed.

Every gradient on the way is multiplied by D, the divisor of the cost (m for a mean), and the gradients of the
parameters are divided by it:  dZ' = D dZ,  dW = (1/D) Aᵀ dZ'.  So a row of dZ' is one sample's own gradient.

The result is a program like any other, verified again: the reference engine runs it, and a test holds its gradients to
the original's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chainrule.program.equation import Equation, Program, elementwise, operands_of
from chainrule.program.op import Elementwise, Reduce
from chainrule.program.scalar import ONE, Apply, Expression, Variable, apply, children, divide, is_zero, multiply
from chainrule.program.symbol import Symbol
from chainrule.program.verify import verify
from chainrule.program.walk import parts
from chainrule.program.walk import replace as exchange


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
    touched: dict[Expression, bool] = {}
    for x in parts(e):
        touched[x] = x.name in scaled if isinstance(x, Variable) else any(touched[a] for a in children(x))

    def through(x: Expression) -> tuple[Expression, ...]:
        """The arguments that D goes to."""
        return _takes(x, touched) if isinstance(x, Apply) and touched[x] else ()

    times: dict[Expression, Expression] = {}
    for x in parts(e, through):
        if not touched[x]:
            times[x] = _cancelled(x, by)
        elif isinstance(x, Variable):
            times[x] = x
        elif to := through(x):
            assert isinstance(x, Apply)
            times[x] = apply(x.function, *(times[a] if a in to else a for a in x.arguments))
        else:
            times[x] = multiply(by, exchange(x, {Variable(n): divide(Variable(n), by) for n in scaled}))
    return times[e]


def _takes(e: Apply, touched: Mapping[Expression, bool]) -> tuple[Expression, ...]:
    """The arguments to be multiplied by D, for e to be: all of a sum, one factor, what is divided, both branches."""
    a, has = e.arguments, [touched[x] for x in e.arguments]
    match e.function:
        case "add" | "sub" | "neg":
            return a
        case "where" if not has[0]:
            return a[1:]
        case "mul" if has.count(True) == 1:
            return (a[has.index(True)],)
        case "div" if not has[1]:
            return a[:1]
    return ()


def _cancelled(e: Expression, by: Expression) -> Expression:
    """D e, without a D that divides already."""
    divided: dict[Expression, bool] = {}
    for x in parts(e):
        divided[x] = _divides(x, by, divided)

    def through(x: Expression) -> tuple[Expression, ...]:
        """The arguments that D goes to, to be cancelled there."""
        if not isinstance(x, Apply) or not divided[x] or (x.function == "div" and _factor(x.arguments[1], by)):
            return ()
        if x.function in ("mul", "div"):
            return next((a,) for a in x.arguments if divided[a])
        return x.arguments

    times: dict[Expression, Expression] = {}
    for x in parts(e, through):
        if to := through(x):
            assert isinstance(x, Apply)
            k = x.arguments.index(to[0])  # of a product, one factor alone
            several = len(to) > 1 or x.function == "neg"
            times[x] = apply(x.function, *(times[a] if several or n == k else a for n, a in enumerate(x.arguments)))
        elif isinstance(x, Apply) and divided[x]:
            times[x] = divide(x.arguments[0], _rest(x.arguments[1], by))
        else:
            times[x] = multiply(by, x)
    return times[e]


def _divides(e: Expression, by: Expression, divided: Mapping[Expression, bool]) -> bool:
    """Whether D can be cancelled in e; divided: whether it can in what is under e."""
    if not isinstance(e, Apply):
        return is_zero(e)
    a = [divided[x] for x in e.arguments]
    if e.function == "div":
        return _factor(e.arguments[1], by) or a[0]
    return any(a) if e.function == "mul" else e.function in ("add", "sub", "neg") and all(a)


def _factor(e: Expression, by: Expression) -> bool:
    """Whether e is D, or D times something."""
    return e == by or (isinstance(e, Apply) and e.function == "mul" and by in e.arguments)


def _rest(e: Expression, by: Expression) -> Expression:
    """e / D, of what D is a factor of."""
    if e == by:
        return ONE
    assert isinstance(e, Apply)
    return e.arguments[0] if e.arguments[1] == by else e.arguments[1]
