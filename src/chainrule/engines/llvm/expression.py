"""Scalar expressions as vector code: one table from the language's functions to instructions.

Sums of products contract to fused multiply-adds where they stand next to each other; nothing else is reordered, so the
same expression gives the same bits wherever it is evaluated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chainrule.engines.llvm import vecmath, waves
from chainrule.engines.llvm.emit import Function, Value, element_of
from chainrule.program.scalar import Apply, Constant, Expression, Variable, children
from chainrule.program.walk import parts, walk

Leaf = Callable[[str], Value]
"""From a variable's name to its vector."""


def _sign(f: Function, x: Value) -> Value:
    one = f.intrinsic("copysign", f.constant(x.type, 1.0), x)
    return f.select(f.fcmp("one", x, 0.0), one, f.fadd(x, 0.0))  # 0 loses its sign, as NumPy has it; NaN stays


def _unary() -> Mapping[str, Callable[[Function, Value], Value]]:
    return {
        "neg": lambda f, x: f.fneg(x),
        "exp": vecmath.exp,
        "expm1": vecmath.expm1,
        "log": vecmath.log,
        "log1p": vecmath.log1p,
        "tanh": vecmath.tanh,
        "sigmoid": vecmath.sigmoid,
        "softplus": vecmath.softplus,
        "sqrt": lambda f, x: f.sqrt(x),
        "erf": vecmath.erf,
        "erfc": vecmath.erfc,
        "sin": waves.sin,
        "cos": waves.cos,
        "abs": lambda f, x: f.fabs(x),
        "sign": _sign,
        "stop": lambda f, x: x,
    }


_COMPARE = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
UNARY = _unary()
BINARY: Mapping[str, Callable[[Function, Value, Value], Value]] = {
    "add": lambda f, a, b: f.fadd(a, b),
    "sub": lambda f, a, b: f.fsub(a, b),
    "mul": lambda f, a, b: f.fmul(a, b),
    "div": lambda f, a, b: f.fdiv(a, b),
    "maximum": lambda f, a, b: f.fmax(a, b),
    "minimum": lambda f, a, b: f.fmin(a, b),
}

COSTLY = frozenset(
    {"exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "erf", "erfc", "sin", "cos", "pow", "div", "sqrt"}
)


def costly(expression: Expression) -> bool:
    """Whether its code is so long that it belongs in a loop of its own, not in every tile."""
    return any(isinstance(e, Apply) and e.function in COSTLY - {"div", "sqrt"} for e in walk(expression))


@dataclass(frozen=True)
class _Code:
    """How one function of an expression is computed: from the values of these arguments."""

    arguments: tuple[Expression, ...]
    emit: Callable[..., Value]


class Evaluator:
    """Evaluates expressions at one place of a loop nest; parts that were computed there already are used again."""

    def __init__(self, f: Function, type: str, leaf: Leaf) -> None:
        self.f = f
        self.type = type
        self.leaf = leaf
        self._known: dict[Expression, Value] = {}
        self._read: dict[Expression, frozenset[str]] = {}

    def set(self, name: str, value: Value) -> None:
        """A variable's value from here on (it was just computed, or overwritten)."""
        self._known = {e: v for e, v in self._known.items() if name not in self._names(e)}
        self._known[Variable(name)] = value

    def _names(self, e: Expression) -> frozenset[str]:
        """The names of the expression's variables."""
        if e not in self._read:
            for part in parts(e, lambda x: tuple(a for a in children(x) if a not in self._read)):
                own = {part.name} if isinstance(part, Variable) else ()
                self._read[part] = frozenset(own).union(*(self._read[a] for a in children(part)))
        return self._read[e]

    def __call__(self, e: Expression) -> Value:
        """The vector of the expression."""
        waiting: list[tuple[Expression, _Code | None]] = [(e, None)]
        while waiting:
            part, code = waiting.pop()
            if code is not None:
                self._known[part] = code.emit(*(self._value(a) for a in code.arguments))
            elif isinstance(part, Constant) or part in self._known:
                pass
            elif isinstance(part, Variable):
                self._known[part] = self.leaf(part.name)
            else:
                code = self._code(part)
                waiting.append((part, code))
                waiting += [(a, None) for a in reversed(code.arguments)]
        return self._value(e)

    def _value(self, e: Expression) -> Value:
        """The vector of a constant, or of what is known."""
        return self.f.constant(self.type, e.value) if isinstance(e, Constant) else self._known[e]

    def _code(self, e: Expression) -> _Code:
        assert isinstance(e, Apply)
        f, name, x = self.f, e.function, e.arguments
        if name in ("add", "sub"):
            contracted = self._contract(name, *x)
            if contracted is not None:
                return contracted
        if name == "where":
            condition = self._condition(x[0])
            k = len(condition.arguments)
            return _Code((*condition.arguments, *x[1:]), lambda *v: f.select(condition.emit(*v[:k]), v[k], v[k + 1]))
        if name in _COMPARE:
            condition = self._condition(e)
            one, zero = f.constant(self.type, 1.0), f.constant(self.type, 0.0)
            return _Code(condition.arguments, lambda *v: f.select(condition.emit(*v), one, zero))
        if name == "pow":
            return self._power(*x)
        if name == "div" and isinstance(x[1], Constant) and _exact_inverse(x[1].value):
            inverse = f.constant(self.type, 1 / x[1].value)
            return _Code(x[:1], lambda a: f.fmul(a, inverse))
        if name in ("maximum", "minimum"):
            # a number as the second operand is one instruction, and lets NaN through
            a, b = (x[1], x[0]) if isinstance(x[0], Constant) else x
            if isinstance(b, Constant):
                extreme, bound = f.fmax if name == "maximum" else f.fmin, b.value
                return _Code((a,), lambda v: extreme(v, bound))
        if len(x) == 1:
            return _Code(x, functools.partial(UNARY[name], f))
        return _Code(x, functools.partial(BINARY[name], f))

    def _contract(self, name: str, a: Expression, b: Expression) -> _Code | None:
        """a b + c, c + a b, a b - c and c - a b as one fused operation."""
        f = self.f
        product, other, first = (b, a, False) if _product(b) else (a, b, True)
        if not _product(product) or product in self._known:
            return None
        assert isinstance(product, Apply)
        left, right = product.arguments if product.function == "mul" else (product.arguments[0],) * 2
        if name == "add":
            return _Code((left, right, other), f.fma)
        if first:
            return _Code((left, right, other), lambda x, y, c: f.fma(x, y, f.fneg(c)))
        return _Code((left, right, other), lambda x, y, c: f.fma(f.fneg(x), y, c))

    def _condition(self, e: Expression) -> _Code:
        f = self.f
        if isinstance(e, Apply) and e.function in _COMPARE:
            relation = _COMPARE[e.function]
            return _Code(e.arguments, lambda a, b: f.fcmp(relation, a, b))
        return _Code((e,), lambda a: f.fcmp("une", a, 0.0))

    def _power(self, base: Expression, exponent: Expression) -> _Code:
        f = self.f
        if isinstance(exponent, Constant):
            number = exponent.value
            return _Code((base,), lambda x: vecmath.power(f, x, number))

        def power(x: Value, y: Value) -> Value:
            double = "double"
            if element_of(self.type) == double:
                return vecmath.power_of(f, x, y)
            wide = vecmath.power_of(f, f.convert("fpext", x, double), f.convert("fpext", y, double))
            return f.convert("fptrunc", wide, element_of(self.type))

        return _Code((base, exponent), power)


def _product(e: Expression) -> bool:
    return isinstance(e, Apply) and (e.function == "mul" or (e.function == "pow" and e.arguments[1] == Constant(2.0)))


def _exact_inverse(value: float) -> bool:
    """Whether x / value and x * (1 / value) are the same number: value is a power of two."""
    mantissa = abs(value).hex().partition("p")[0] if value else ""
    return mantissa == "0x1.0000000000000"
