"""Scalar expressions as vector code: one table from the language's functions to instructions.

Sums of products contract to fused multiply-adds where they stand next to each other; nothing else is reordered, so the
same expression gives the same bits wherever it is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chainrule.engines.llvm import vecmath
from chainrule.engines.llvm.emit import Function, Value, element_of
from chainrule.program.scalar import Apply, Constant, Expression, Variable, walk

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

COSTLY = frozenset({"exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "erf", "erfc", "pow", "div", "sqrt"})


def costly(expression: Expression) -> bool:
    """Whether its code is so long that it belongs in a loop of its own, not in every tile."""
    return any(isinstance(e, Apply) and e.function in COSTLY - {"div", "sqrt"} for e in walk(expression))


class Evaluator:
    """Evaluates expressions at one place of a loop nest; parts that were computed there already are used again."""

    def __init__(self, f: Function, type: str, leaf: Leaf) -> None:
        self.f = f
        self.type = type
        self.leaf = leaf
        self._known: dict[Expression, Value] = {}

    def set(self, name: str, value: Value) -> None:
        """A variable's value from here on (it was just computed, or overwritten)."""
        self._known = {e: v for e, v in self._known.items() if not any(x == Variable(name) for x in walk(e))}
        self._known[Variable(name)] = value

    def __call__(self, e: Expression) -> Value:
        """The vector of the expression."""
        if isinstance(e, Constant):
            return self.f.constant(self.type, e.value)
        if e not in self._known:
            self._known[e] = self.leaf(e.name) if isinstance(e, Variable) else self._apply(e)
        return self._known[e]

    def _apply(self, e: Expression) -> Value:
        assert isinstance(e, Apply)
        f, name, x = self.f, e.function, e.arguments
        if name in ("add", "sub"):
            contracted = self._contract(name, *x)
            if contracted is not None:
                return contracted
        if name == "where":
            return f.select(self._condition(x[0]), self(x[1]), self(x[2]))
        if name in _COMPARE:
            return f.select(self._condition(e), f.constant(self.type, 1.0), f.constant(self.type, 0.0))
        if name == "pow":
            return self._power(*x)
        if name == "div" and isinstance(x[1], Constant) and _exact_inverse(x[1].value):
            return f.fmul(self(x[0]), f.constant(self.type, 1 / x[1].value))
        if name in ("maximum", "minimum"):
            # a number as the second operand is one instruction, and lets NaN through
            a, b = (x[1], x[0]) if isinstance(x[0], Constant) else x
            if isinstance(b, Constant):
                return (f.fmax if name == "maximum" else f.fmin)(self(a), b.value)
        if len(x) == 1:
            return UNARY[name](f, self(x[0]))
        return BINARY[name](f, self(x[0]), self(x[1]))

    def _contract(self, name: str, a: Expression, b: Expression) -> Value | None:
        """a b + c, c + a b, a b - c and c - a b as one fused operation."""
        f = self.f
        product, other, first = (b, a, False) if _product(b) else (a, b, True)
        if not _product(product) or product in self._known:
            return None
        assert isinstance(product, Apply)
        left, right = product.arguments if product.function == "mul" else (product.arguments[0],) * 2
        x, y, c = self(left), self(right), self(other)
        if name == "add":
            return f.fma(x, y, c)
        return f.fma(x, y, f.fneg(c)) if first else f.fma(f.fneg(x), y, c)

    def _condition(self, e: Expression) -> Value:
        f = self.f
        if isinstance(e, Apply) and e.function in _COMPARE:
            return f.fcmp(_COMPARE[e.function], self(e.arguments[0]), self(e.arguments[1]))
        return f.fcmp("une", self(e), 0.0)

    def _power(self, base: Expression, exponent: Expression) -> Value:
        if isinstance(exponent, Constant):
            return vecmath.power(self.f, self(base), exponent.value)
        f, double = self.f, "double"
        x, y = self(base), self(exponent)
        if element_of(self.type) == double:
            return vecmath.power_of(f, x, y)
        wide = vecmath.power_of(f, f.convert("fpext", x, double), f.convert("fpext", y, double))
        return f.convert("fptrunc", wide, element_of(self.type))


def _product(e: Expression) -> bool:
    return isinstance(e, Apply) and (e.function == "mul" or (e.function == "pow" and e.arguments[1] == Constant(2.0)))


def _exact_inverse(value: float) -> bool:
    """Whether x / value and x * (1 / value) are the same number: value is a power of two."""
    mantissa = abs(value).hex().partition("p")[0] if value else ""
    return mantissa == "0x1.0000000000000"
