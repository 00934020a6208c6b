"""Scalar expressions over NumPy's arrays: each function of the language, and an expression as a function of values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.engines.base import Array
from chainrule.engines.flushing import flushing
from chainrule.program.scalar import Apply, Constant, Expression, Reduction, Variable, children
from chainrule.program.walk import parts, variables

Evaluate = Callable[[dict[str, Any]], Any]
"""From the values so far to an equation's value."""
Functions = Mapping[str, Callable[..., Any]]
"""How each function of the language is computed."""


def _sigmoid(x: Array) -> Array:
    # exp of what is not positive never overflows; e / (1 + e) keeps its relative accuracy far to the left
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, e) / (1 + e))


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _erf(x: Array) -> Array:
    try:
        from scipy.special import erf  # only own formulas and gelu need it; SciPy is slow to import
    except ImportError:
        return _one_by_one(math.erf, x)
    return np.asarray(erf(x))


def _erfc(x: Array) -> Array:
    try:
        from scipy.special import erfc
    except ImportError:
        return _one_by_one(math.erfc, x)
    return np.asarray(erfc(x))


def _one_by_one(function: Callable[[float], float], x: Array) -> Array:
    """Where SciPy is not installed: Python's own function, slowly."""
    return np.asarray(np.frompyfunc(function, 1, 1)(x)).astype(np.asarray(x).dtype)


def _number(compare: np.ufunc) -> Callable[..., Array]:
    """A comparison as 1 or 0 in its operands' type."""
    return lambda a, b: compare(a, b).astype(np.result_type(a, b))


SCALAR: Functions = {
    "add": np.add,
    "sub": np.subtract,
    "neg": np.negative,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "sqrt": np.sqrt,
    "erf": _erf,
    "erfc": _erfc,
    "sin": np.sin,
    "cos": np.cos,
    "abs": np.abs,
    "sign": np.sign,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "lt": _number(np.less),
    "le": _number(np.less_equal),
    "gt": _number(np.greater),
    "ge": _number(np.greater_equal),
    "eq": _number(np.equal),
    "ne": _number(np.not_equal),
    "stop": lambda a: a,
}
"""From each scalar function to NumPy's."""

FLUSHING: Functions = {name: flushing(function) for name, function in SCALAR.items()}
"""The same functions with 0 for results that are subnormal."""

_DEEP = 50
"""Levels of an expression that are computed by functions which call each other."""


def evaluator(expression: Expression, dtype: np.dtype[Any], functions: Functions = SCALAR) -> Evaluate:
    """The expression as a function of named values, computed in the dtype by these functions.

    What it uses several times is computed once.
    """
    order = parts(expression)
    uses = Counter(a for e in order for a in children(e))
    depths: dict[Expression, int] = {}
    keys: dict[Expression, str] = {}
    steps: list[tuple[str, Evaluate]] = []
    for e in order:
        depths[e] = 1 + max((0 if a in keys else depths[a] for a in children(e)), default=0)
        if e != expression and isinstance(e, Apply) and (uses[e] > 1 or depths[e] > _DEEP):
            key = f"{len(steps)} of the parts"  # no symbol is called so
            steps.append((key, _evaluator(e, dtype, functions, keys)))
            keys[e] = key
    whole = _evaluator(expression, dtype, functions, keys)
    if not steps:
        return whole
    names = variables(expression)

    def value(v: dict[str, Any]) -> Any:
        own = {name: v[name] for name in names}
        for key, part in steps:
            own[key] = part(own)
        return whole(own)

    return value


def _evaluator(
    expression: Expression, dtype: np.dtype[Any], functions: Functions, keys: Mapping[Expression, str]
) -> Evaluate:
    """The expression as a function of named values; keys: of parts whose values are among these."""
    if expression in keys:
        key = keys[expression]
        return lambda v: v[key]
    if isinstance(expression, Constant):
        value = dtype.type(expression.value)
        return lambda v: value
    if isinstance(expression, Variable):
        name = expression.name
        return lambda v: v[name]
    assert not isinstance(expression, Reduction)
    assert isinstance(expression, Apply)
    if expression.function == "pow" and expression.arguments[1] == Constant(2.0):
        base, square = _evaluator(expression.arguments[0], dtype, functions, keys), functions["mul"]
        if functions is SCALAR:
            return lambda v: np.square(base(v))
        return lambda v: square(x := base(v), x)
    function = functions[expression.function]
    arguments = [_evaluator(a, dtype, functions, keys) for a in expression.arguments]
    if len(arguments) == 1:
        one = arguments[0]
        return lambda v: function(one(v))
    if len(arguments) == 2:
        left, right = arguments
        return lambda v: function(left(v), right(v))
    return lambda v: function(*(a(v) for a in arguments))
