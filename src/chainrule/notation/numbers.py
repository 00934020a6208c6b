"""A scalar expression at numbers: what says whether a factor is the slope of an activation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from chainrule.program.derivative import differentiate
from chainrule.program.scalar import Apply, Constant, Expression, Variable

_MEANING: Mapping[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "neg": lambda a: -a,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "tanh": math.tanh,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
    "softplus": lambda a: math.log1p(math.exp(a)),
    "sqrt": math.sqrt,
    "erf": math.erf,
    "erfc": math.erfc,
    "sin": math.sin,
    "cos": math.cos,
    "abs": abs,
    "sign": lambda a: float((a > 0) - (a < 0)),
    "minimum": min,
    "maximum": max,
    "where": lambda c, a, b: a if c else b,
    "lt": lambda a, b: float(a < b),
    "le": lambda a, b: float(a <= b),
    "gt": lambda a, b: float(a > b),
    "ge": lambda a, b: float(a >= b),
    "eq": lambda a, b: float(a == b),
    "ne": lambda a, b: float(a != b),
    "stop": lambda a: a,
}
POINTS = (-2.3, -0.71, 0.37, 1.9)


def evaluate(e: Expression, values: Mapping[str, float]) -> float:
    """The expression's value.  Raises ArithmeticError or ValueError where it has none."""
    if isinstance(e, Constant):
        return e.value
    if isinstance(e, Variable):
        return values[e.name]
    assert isinstance(e, Apply)
    if e.function == "where":  # the branch that is not taken may have no value
        return evaluate(e.arguments[1 if evaluate(e.arguments[0], values) else 2], values)
    return float(_MEANING[e.function](*(evaluate(a, values) for a in e.arguments)))


def is_slope(factor: Expression, of: Expression, z: str, a: str) -> bool:
    """Whether the factor, in z and a = of(z), is the derivative of `of`, at a few points."""
    slope = differentiate(of, z)
    compared = 0
    for x in POINTS:
        try:
            at = {z: x, a: evaluate(of, {z: x})}
            here, there = evaluate(factor, at), evaluate(slope, at)
        except (ArithmeticError, ValueError):
            continue
        if not math.isclose(here, there, rel_tol=1e-7, abs_tol=1e-9):
            return False
        compared += 1
    return compared > 0
