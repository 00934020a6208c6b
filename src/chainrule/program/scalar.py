"""Scalar expressions, and the scalar functions, each with its derivative.

    expression ::= constant                                   3.5
                 | variable                                   z
                 | function(expression, ...)                  exp(z), a * b, where(z > 0, z, 0)
                 | reduction(kind, over, expression)          sum of a whole row, column or array (only in formulas)
                 | product(expression, expression)            x @ W, x @ W.T, of matrices (only in formulas of layers)

An expression is data: it is differentiated (derivative.py), printed by the notations, evaluated by the reference engine
and turned into vector code by the compiled engine.  A comparison has the value 1 or 0.  Expressions simplify themselves
as they are built, so that a derivative reads as a person would write it.  Parts may be shared: an expression is a
graph, and who goes through one meets each part once (walk.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Literal, NoReturn

from chainrule.errors import FormulaError, shown

ReductionKind = Literal["sum", "max", "mean"]
Over = Literal["rows", "columns", "all"]


class Expression:
    """The base of all expressions; arithmetic and comparisons build new ones.

    `==` compares structure; the formula a = b is written `eq(a, b)`.
    """

    __array_ufunc__ = None  # NumPy's functions must not take a formula for an array of one object

    def __array__(self, *args: object, **options: object) -> NoReturn:
        raise FormulaError("A formula is not an array: use chainrule.functions (sum, mean, exp, ...), not NumPy's.")

    def __add__(self, other: Operand) -> Expression:
        return add(self, as_expression(other))

    def __radd__(self, other: Operand) -> Expression:
        return add(as_expression(other), self)

    def __sub__(self, other: Operand) -> Expression:
        return subtract(self, as_expression(other))

    def __rsub__(self, other: Operand) -> Expression:
        return subtract(as_expression(other), self)

    def __mul__(self, other: Operand) -> Expression:
        return multiply(self, as_expression(other))

    def __rmul__(self, other: Operand) -> Expression:
        return multiply(as_expression(other), self)

    def __truediv__(self, other: Operand) -> Expression:
        return divide(self, as_expression(other))

    def __rtruediv__(self, other: Operand) -> Expression:
        return divide(as_expression(other), self)

    def __pow__(self, other: Operand) -> Expression:
        return power(self, as_expression(other))

    def __rpow__(self, other: Operand) -> Expression:
        return power(as_expression(other), self)

    def __matmul__(self, other: Expression) -> Expression:
        return product(self, other)

    @property
    def T(self) -> Expression:
        """The transpose, as a side of a product."""
        return Transposed(self)

    def __neg__(self) -> Expression:
        return negative(self)

    def __pos__(self) -> Expression:
        return self

    def __abs__(self) -> Expression:
        return apply("abs", self)

    def __lt__(self, other: Operand) -> Expression:
        return apply("lt", self, as_expression(other))

    def __le__(self, other: Operand) -> Expression:
        return apply("le", self, as_expression(other))

    def __gt__(self, other: Operand) -> Expression:
        return apply("gt", self, as_expression(other))

    def __ge__(self, other: Operand) -> Expression:
        return apply("ge", self, as_expression(other))

    def __bool__(self) -> bool:
        raise FormulaError("A formula has no truth value: write where(condition, a, b) instead of Python's if/and/or.")


@dataclass(frozen=True, eq=True)
class Constant(Expression):
    """A number; 0 and -0 are two."""

    value: float
    """The number."""

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Constant):
            return NotImplemented
        signs = math.copysign(1, self.value), math.copysign(1, other.value)
        return (self.value,) == (other.value,) and signs[0] == signs[1]  # as members: a NaN is itself


@dataclass(frozen=True, eq=True)
class Variable(Expression):
    """A name that stands for a scalar, or for every element of an array."""

    name: str
    """A symbol's, or a formula's letter."""


@dataclass(frozen=True, eq=True)
class Apply(Expression):
    """A function of `FUNCTIONS` applied to its arguments."""

    function: str
    """Its name in `FUNCTIONS`."""
    arguments: tuple[Expression, ...]
    """As many as it takes."""

    def __post_init__(self) -> None:
        # Known from the start, and each argument knows its own: however deep, a hash is one step.
        object.__setattr__(self, "_hash", hash((self.function, self.arguments)))

    def __repr__(self) -> str:
        return _graph(self)

    def __hash__(self) -> int:
        return self._hash  # type: ignore[attr-defined,no-any-return]

    def __eq__(self, other: object) -> bool:
        return same(self, other)

    def __reduce__(self) -> tuple[object, ...]:
        return Apply, (self.function, self.arguments)  # without the hash: another process hashes text differently


@dataclass(frozen=True, eq=True)
class Reduction(Expression):
    """The sum, mean or largest of `argument` over the rows (samples), the columns (features) or all elements."""

    kind: ReductionKind
    """Which of the three."""
    over: Over
    """Which of the three."""
    argument: Expression
    """What is added up or compared."""

    def __repr__(self) -> str:
        return _graph(self)

    def __hash__(self) -> int:
        return hash((self.kind, self.over, self.argument))

    def __eq__(self, other: object) -> bool:
        return same(self, other)


@dataclass(frozen=True, eq=True)
class Transposed(Expression):
    """The transpose of a matrix; a side of a product."""

    argument: Expression
    """Which matrix."""

    def __repr__(self) -> str:
        return _graph(self)

    def __hash__(self) -> int:
        return hash(("transposed", self.argument))

    def __eq__(self, other: object) -> bool:
        return same(self, other)


@dataclass(frozen=True, eq=True)
class Product(Expression):
    """The product of two matrices."""

    left: Expression
    """The first."""
    right: Expression
    """The second."""

    def __repr__(self) -> str:
        return _graph(self)

    def __hash__(self) -> int:
        return hash(("product", self.left, self.right))

    def __eq__(self, other: object) -> bool:
        return same(self, other)


Inner = Apply | Reduction | Transposed | Product
"""Expressions that have others under them."""


def children(e: Expression) -> tuple[Expression, ...]:
    """The expressions right under this one."""
    match e:
        case Apply():
            return e.arguments
        case Reduction() | Transposed():
            return (e.argument,)
        case Product():
            return (e.left, e.right)
        case _:
            return ()


def with_children(e: Expression, under: tuple[Expression, ...]) -> Expression:
    """The expression with others right under it, simplified."""
    match e:
        case Apply():
            return apply(e.function, *under)
        case Reduction():
            return Reduction(e.kind, e.over, *under)
        case Transposed():
            return Transposed(*under)
        case Product():
            return Product(*under)
        case _:
            return e


def same(a: object, b: object) -> bool:
    """Whether two expressions have the same structure; parts that are shared are compared once."""
    pairs, compared = [(a, b)], set()
    while pairs:
        x, y = pairs.pop()
        if x is y:
            continue
        if isinstance(x, Apply) and isinstance(y, Apply):
            if hash(x) != hash(y) or x.function != y.function or len(x.arguments) != len(y.arguments):
                return False
            if (id(x), id(y)) not in compared:
                compared.add((id(x), id(y)))
                pairs += zip(x.arguments, y.arguments, strict=True)
        elif isinstance(x, Inner) and isinstance(y, Inner):
            if type(x) is not type(y) or _own(x) != _own(y):
                return False
            pairs += zip(children(x), children(y), strict=True)
        elif isinstance(x, Inner) or x != y:
            return False
    return True


def _graph(e: Expression) -> str:
    """The expression, part by part, each once: what is numbered is used by its number."""
    numbers: dict[Expression, str] = {}
    lines: list[str] = []
    waiting = [e]
    while waiting:
        part = waiting[-1]
        assert isinstance(part, Inner)
        under = children(part)
        before = [x for x in under if isinstance(x, Inner) and x not in numbers]
        if before and part not in numbers:
            waiting += reversed(before)
            continue
        waiting.pop()
        if part not in numbers:
            numbers[part] = f"#{len(numbers)}"
            lines.append(f"{numbers[part]} = {_own(part)}({', '.join(numbers.get(x) or repr(x) for x in under)})")
    return f"<{'; '.join(lines)}>"


def _own(e: Inner) -> str:
    """What it does to the expressions under it."""
    match e:
        case Apply():
            return e.function
        case Reduction():
            return f"{e.kind} over {e.over}"
        case _:
            return type(e).__name__.lower()


def product(left: Expression, right: Expression) -> Expression:
    """left @ right.  Raises FormulaError where a side is no expression."""
    for side in (left, right):
        if not isinstance(side, Expression):
            raise FormulaError(f"A product @ is of two matrices of the formula. Got {shown(side)}.")
    return Product(left, right)


Operand = Expression | float | int
ZERO, ONE, TWO = Constant(0.0), Constant(1.0), Constant(2.0)


def as_expression(value: object) -> Expression:
    """A number as a constant; an expression as it is.  Raises FormulaError for anything else."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, bool) or type(value).__name__ == "bool":
        raise FormulaError("A formula cannot hold True or False. To compare formulas write eq(a, b) or ne(a, b).")
    if isinstance(value, Real):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return Constant(number)
        raise FormulaError(f"A formula's numbers must be finite. Got {shown(value)} instead.")
    raise FormulaError(f"A formula is made of numbers and expressions. Got {type(value).__name__} instead.")


# --- building, with simplification -------------------------------------------------------------------------------


def _is(e: Expression, value: float) -> bool:
    return isinstance(e, Constant) and e.value == value


def is_zero(e: Expression) -> bool:
    """Whether it is the number 0 or -0."""
    return _is(e, 0)


def _is_negative(e: Expression) -> bool:
    return isinstance(e, Apply) and e.function == "neg"


def _arguments(e: Expression, function: str) -> tuple[Expression, ...] | None:
    return e.arguments if isinstance(e, Apply) and e.function == function else None


def add(a: Expression, b: Expression) -> Expression:
    """a + b"""
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(a.value + b.value)
    if _is(a, 0):
        return b
    if _is(b, 0):
        return a
    if _is_negative(b):
        return subtract(a, b.arguments[0])  # type: ignore[attr-defined]
    if _is_negative(a):
        return subtract(b, a.arguments[0])  # type: ignore[attr-defined]
    if isinstance(b, Constant) and b.value < 0:
        return subtract(a, Constant(-b.value))
    return Apply("add", (a, b))


def subtract(a: Expression, b: Expression) -> Expression:
    """a - b"""
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(a.value - b.value)
    if _is(b, 0):
        return a
    if _is(a, 0):
        return negative(b)
    if a == b:
        return ZERO
    if _is_negative(b):
        return add(a, b.arguments[0])  # type: ignore[attr-defined]
    if isinstance(b, Constant) and b.value < 0:
        return add(a, Constant(-b.value))
    if (terms := _arguments(a, "add")) is not None and b in terms:  # (u + v) - v
        return terms[1] if terms[0] == b else terms[0]
    return Apply("sub", (a, b))


def negative(a: Expression) -> Expression:
    """-a"""
    if isinstance(a, Constant):
        return Constant(-a.value)
    if _is_negative(a):
        return a.arguments[0]  # type: ignore[attr-defined,no-any-return]
    if (terms := _arguments(a, "sub")) is not None:
        return subtract(terms[1], terms[0])
    return Apply("neg", (a,))


def multiply(a: Expression, b: Expression) -> Expression:
    """a * b"""
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(a.value * b.value)
    if isinstance(b, Constant):
        a, b = b, a
    if _is(a, 0):
        return ZERO
    if _is(a, 1):
        return b
    if _is(a, -1):
        return negative(b)
    if _is_negative(a):
        return negative(multiply(a.arguments[0], b))  # type: ignore[attr-defined]
    if _is_negative(b):
        positive: Expression = b.arguments[0]  # type: ignore[attr-defined]
        return multiply(Constant(-a.value), positive) if isinstance(a, Constant) else negative(multiply(a, positive))
    if isinstance(a, Constant) and (factors := _arguments(b, "mul")) and isinstance(factors[0], Constant):
        return multiply(Constant(a.value * factors[0].value), factors[1])
    for x, y in ((a, b), (b, a)):
        if y == Apply("sign", (x,)):
            return apply("abs", x)
        if (parts := _arguments(y, "div")) is not None:
            return divide(multiply(x, parts[0]) if y is b else multiply(parts[0], x), parts[1])
        if (factors := _arguments(y, "mul")) is not None and isinstance(factors[0], Constant):
            return multiply(factors[0], multiply(x, factors[1]) if y is b else multiply(factors[1], x))
        if (parts := _arguments(y, "where")) is not None and all(isinstance(p, Constant) for p in parts[1:]):
            # A mask times a value is a choice: where(c, 1, 0) * x = where(c, x, 0), and inf * 0 never arises.
            return where(parts[0], multiply(parts[1], x), multiply(parts[2], x))
    if a == b:
        return power(a, TWO)
    return Apply("mul", (a, b))


def divide(a: Expression, b: Expression) -> Expression:
    """a / b"""
    if isinstance(a, Constant) and isinstance(b, Constant) and b.value != 0:
        return Constant(a.value / b.value)
    if _is(a, 0):
        return ZERO
    if _is(b, 1):
        return a
    if a == b:
        return ONE
    if _is_negative(a):
        return negative(divide(a.arguments[0], b))  # type: ignore[attr-defined]
    if _is_negative(b):
        return negative(divide(a, b.arguments[0]))  # type: ignore[attr-defined]
    if (parts := _arguments(a, "div")) is not None:
        return divide(parts[0], multiply(parts[1], b))
    # c x / d = (c/d) x and c x / (d y) = (c/d) x / y for numbers c, d
    if (factors := _arguments(a, "mul")) is not None and isinstance(factors[0], Constant):
        if isinstance(b, Constant) and b.value != 0:
            return multiply(Constant(factors[0].value / b.value), factors[1])
        if (others := _arguments(b, "mul")) is not None and isinstance(others[0], Constant) and others[0].value != 0:
            return divide(multiply(Constant(factors[0].value / others[0].value), factors[1]), others[1])
    return Apply("div", (a, b))


def power(a: Expression, b: Expression) -> Expression:
    """a ** b"""
    if isinstance(a, Constant) and isinstance(b, Constant):
        try:
            value = a.value**b.value
        except (ZeroDivisionError, OverflowError):
            value = complex(0, 1)
        if isinstance(value, float):
            return Constant(value)
    if _is(b, 0):
        return ONE
    if _is(b, 1):
        return a
    if _is(b, 0.5):
        return apply("sqrt", a)
    if _is(b, 2) and (root := _arguments(a, "sqrt")) is not None:
        return root[0]
    return Apply("pow", (a, b))


def where(condition: Operand, a: Operand, b: Operand) -> Expression:
    """a where the condition holds (is not 0), else b"""
    condition, a, b = as_expression(condition), as_expression(a), as_expression(b)
    if a == b or (is_zero(a) and is_zero(b)):
        return a
    if isinstance(condition, Constant):
        return a if condition.value else b
    return Apply("where", (condition, a, b))


_BUILDERS: dict[str, Callable[..., Expression]] = {
    "add": add,
    "sub": subtract,
    "neg": negative,
    "mul": multiply,
    "div": divide,
    "pow": power,
    "where": where,
}


def apply(function: str, *arguments: Operand) -> Expression:
    """The function applied to its arguments, simplified where that is safe."""
    expressions = tuple(as_expression(a) for a in arguments)
    if function in _BUILDERS:
        return _BUILDERS[function](*expressions)
    if function not in FUNCTIONS or FUNCTIONS[function].arity != len(expressions):
        raise FormulaError(f"{function} does not take {len(expressions)} argument(s).")
    return Apply(function, expressions)


# --- the functions, each with its derivative ----------------------------------------------------------------------


@dataclass(frozen=True)
class Function:
    """A scalar function."""

    arity: int
    """How many arguments it takes."""
    meaning: str
    """In words, the arguments called a, b, c."""
    derivative: Callable[[tuple[Expression, ...], Expression], tuple[Expression, ...]] | None
    """Its partial derivative by each argument, of (arguments, value): `value` is the function's own, so that d tanh = 1
    - tanh² can be said with what is at hand.  None where it is constant almost everywhere."""


def _compare(meaning: str) -> Function:
    return Function(2, meaning, None)


FUNCTIONS: Mapping[str, Function] = {
    "add": Function(2, "a + b", lambda x, f: (ONE, ONE)),
    "sub": Function(2, "a - b", lambda x, f: (ONE, Constant(-1.0))),
    "neg": Function(1, "-a", lambda x, f: (Constant(-1.0),)),
    "mul": Function(2, "a b", lambda x, f: (x[1], x[0])),
    "div": Function(2, "a / b", lambda x, f: (ONE / x[1], -(f / x[1]))),
    "pow": Function(2, "a to the b", lambda x, f: (x[1] * x[0] ** (x[1] - 1), f * apply("log", x[0]))),
    "exp": Function(1, "e to the a", lambda x, f: (f,)),
    "expm1": Function(1, "e to the a, minus 1", lambda x, f: (f + 1,)),
    "log": Function(1, "natural logarithm", lambda x, f: (ONE / x[0],)),
    "log1p": Function(1, "log(1 + a)", lambda x, f: (ONE / (1 + x[0]),)),
    "tanh": Function(1, "hyperbolic tangent", lambda x, f: (1 - f**2,)),
    "sigmoid": Function(1, "1 / (1 + exp(-a))", lambda x, f: (f * (1 - f),)),
    "softplus": Function(1, "log(1 + exp(a))", lambda x, f: (apply("sigmoid", x[0]),)),
    "sqrt": Function(1, "square root", lambda x, f: (0.5 / f,)),
    "erf": Function(1, "error function", lambda x, f: (1.1283791670955126 * apply("exp", -(x[0] ** 2)),)),
    "erfc": Function(1, "1 - erf(a)", lambda x, f: (-1.1283791670955126 * apply("exp", -(x[0] ** 2)),)),
    "sin": Function(1, "sine", lambda x, f: (apply("cos", x[0]),)),
    "cos": Function(1, "cosine", lambda x, f: (-apply("sin", x[0]),)),
    "abs": Function(1, "absolute value", lambda x, f: (apply("sign", x[0]),)),
    "sign": Function(1, "-1, 0 or 1", None),
    "minimum": Function(2, "the smaller", lambda x, f: (where(x[0] < x[1], 1, 0), where(x[0] < x[1], 0, 1))),
    "maximum": Function(2, "the larger", lambda x, f: (where(x[0] > x[1], 1, 0), where(x[0] > x[1], 0, 1))),
    "where": Function(3, "b if a is not 0, else c", lambda x, f: (ZERO, where(x[0], 1, 0), where(x[0], 0, 1))),
    "lt": _compare("a < b"),
    "le": _compare("a <= b"),
    "gt": _compare("a > b"),
    "ge": _compare("a >= b"),
    "eq": _compare("a = b"),
    "ne": _compare("a != b"),
    "stop": Function(1, "a, taken as a constant by the derivative", None),
}
