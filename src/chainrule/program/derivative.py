"""The derivative of a scalar expression: the chain rule itself."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.errors import FormulaError
from chainrule.program.scalar import (
    FUNCTIONS,
    ONE,
    ZERO,
    Apply,
    Expression,
    Product,
    Reduction,
    Transposed,
    Variable,
    is_zero,
    where,
)
from chainrule.program.walk import parts


class Derivatives:
    """The derivatives of one expression by its variables: df(g)/dx = Σ_k f'_k(g) dg_k/dx.

    Raises FormulaError for a reduction or a product, whose derivative is not a scalar expression (the rules lower it
    first).
    """

    def __init__(self, expression: Expression) -> None:
        self.expression = expression
        self.order: dict[Expression, int] = {}
        """Every part that a derivative may go through, after those under it."""
        self.above: dict[Expression, list[Expression]] = {}
        """The parts that a part is an argument of."""
        for e in parts(expression, _passing):
            if isinstance(e, Reduction | Product | Transposed):
                raise FormulaError("What is over whole arrays is differentiated by the rules, not as a scalar.")
            self.order[e] = len(self.order)
            for argument in _passing(e):
                self.above.setdefault(argument, []).append(e)

    def by(self, variable: str) -> Expression:
        """The derivative by the variable; only what the variable is a part of is looked at."""
        start: Expression = Variable(variable)
        if start not in self.order:
            return ZERO
        touched, waiting = {start}, [start]
        while waiting:
            for e in self.above.get(waiting.pop(), ()):
                if e not in touched:
                    touched.add(e)
                    waiting.append(e)
        slopes: dict[Expression, Expression] = {start: ONE}
        for e in sorted(touched - {start}, key=self.order.__getitem__):
            slopes[e] = _chain(e, slopes)
        return slopes.get(self.expression, ZERO)


def differentiate(expression: Expression, variable: str) -> Expression:
    """The derivative of the expression by the variable (see `Derivatives`)."""
    return Derivatives(expression).by(variable)


def _passing(e: Expression) -> tuple[Expression, ...]:
    """The arguments that a derivative goes through."""
    if not isinstance(e, Apply) or FUNCTIONS[e.function].derivative is None:
        return ()
    return e.arguments[1:] if e.function == "where" else e.arguments


def _chain(e: Expression, slopes: Mapping[Expression, Expression]) -> Expression:
    """Σ_k f'_k(g) dg_k/dx; slopes: dg_k/dx, where it is not 0."""
    assert isinstance(e, Apply)
    inner = [slopes.get(a, ZERO) for a in e.arguments]
    if e.function == "where":  # each branch by itself: a factor 0 would meet the inf of the branch not taken
        return where(e.arguments[0], inner[1], inner[2])
    rule = FUNCTIONS[e.function].derivative
    if all(is_zero(d) for d in inner) or rule is None:
        return ZERO
    outer = rule(e.arguments, e)
    total: Expression = ZERO
    for k, d in enumerate(inner):
        if not is_zero(d):
            total = total + outer[k] * d
    return total
