"""From text or a Python callable to an expression: the one place where users' formulas come in.

The text is parsed with Python's own grammar, and only arithmetic, comparisons, numbers, names and the functions listed
by `known_functions()` are accepted: nothing of it is ever executed.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count as counter
from types import SimpleNamespace

from chainrule.errors import FormulaError, shown, unknown_name
from chainrule.program.scalar import (
    FUNCTIONS,
    Apply,
    Constant,
    Expression,
    Operand,
    Over,
    Product,
    Reduction,
    Transposed,
    Variable,
    apply,
    as_expression,
    children,
    product,
)
from chainrule.program.walk import parts, variables, walk

_BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}
_COMPARE = {ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne"}
_OVER: dict[object, Over] = {"rows": "rows", "columns": "columns", "all": "all", 0: "rows", 1: "columns", None: "all"}

DEEPEST = 100
"""Levels of an expression; the walks over it are recursive."""
LONGEST = 100_000
"""Characters of a formula, and of an expression written out: what a file says of it."""


def _over(value: object, function: str) -> Over:
    axis = value.value if isinstance(value, Constant) else value
    if isinstance(axis, Expression) or axis not in _OVER:
        got = _quoted(source(value))[1:-1] if isinstance(value, Expression) else shown(value)
        raise FormulaError(f"{function}(...) is over 'rows', 'columns' or 'all'. Got {got} instead.")
    return _OVER[axis]


def reduction_sum(x: Operand, over: object = "all") -> Expression:
    """The sum over the rows (samples), the columns (features) or all elements."""
    return Reduction("sum", _over(over, "sum"), as_expression(x))


def reduction_mean(x: Operand, over: object = "all") -> Expression:
    """The mean; the count is taken from the shape when the formula is lowered."""
    return Reduction("mean", _over(over, "mean"), as_expression(x))


def maximum(x: Operand, y: object = "all") -> Expression:
    """max(x, y): the larger of two; max(x) or max(x, "columns"): the largest over an array."""
    if isinstance(y, str) or y is None:
        return Reduction("max", _over(y, "max"), as_expression(x))
    return apply("maximum", x, as_expression(y))


def minimum(x: Operand, y: object = "all") -> Expression:
    """min(x, y): the smaller of two; min(x): the smallest over an array."""
    if isinstance(y, str) or y is None:
        return -Reduction("max", _over(y, "min"), -as_expression(x))
    return apply("minimum", x, as_expression(y))


def _unary(name: str) -> Callable[[Operand], Expression]:
    def build(x: Operand) -> Expression:
        return apply(name, x)

    build.__name__ = name
    build.__doc__ = f"{name}(x), element by element."
    return build


_FUNCTIONS: dict[str, Callable[..., Expression]] = {
    **{name: _unary(name) for name, f in FUNCTIONS.items() if f.arity == 1 and name != "neg"},
    "where": lambda c, a, b: apply("where", c, a, b),
    "max": maximum,
    "min": minimum,
    "maximum": lambda a, b: apply("maximum", a, b),
    "minimum": lambda a, b: apply("minimum", a, b),
    "sum": reduction_sum,
    "mean": reduction_mean,
    "square": lambda x: as_expression(x) ** 2,
    "relu": lambda x: apply("maximum", x, 0),
    "clip": lambda x, low, high: apply("minimum", apply("maximum", x, low), high),
    "eq": lambda a, b: apply("eq", a, b),
    "ne": lambda a, b: apply("ne", a, b),
    "pow": lambda a, b: apply("pow", a, b),
    "tan": lambda x: apply("sin", x) / apply("cos", x),
    # e^x - e^-x keeps no digits near 0
    "sinh": lambda x: (apply("expm1", x) - apply("expm1", -as_expression(x))) / 2,
    "cosh": lambda x: (apply("exp", x) + apply("exp", -as_expression(x))) / 2,
}

_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def source(e: Expression) -> str:
    """The expression as text that `parse` reads back to the same expression.

    Each use of a part is written out; where that is longer than LONGEST, parts that are used again get a name at their
    first use: (part1 := z * sigmoid(z)).  Raises FormulaError where that is too long as well.
    """
    lengths: dict[Expression, int] = {}
    for x in (order := parts(e)):
        lengths[x] = len(_written(x, lambda _: "")) + sum(lengths[a] for a in children(x))
    uses = Counter(a for x in order for a in children(x)) if lengths[e] > LONGEST else {}
    shared = {x for x, count in uses.items() if count > 1 and children(x)}
    names: dict[Expression, str] = {}
    taken = set(variables(e))

    def text(x: Expression) -> str:
        if x in names:
            return names[x]
        written = _written(x, text)  # parts that stand before this one have got their names
        if len(written) > LONGEST:
            raise FormulaError(f"Written out, the formula has more than {LONGEST:,} characters.")
        if x not in shared:
            return written
        names[x] = next(name for k in counter(1) if (name := f"part{k}") not in taken)
        taken.add(names[x])
        bracketed = written.startswith("(") and not isinstance(x, Reduction)  # Python's parser counts brackets
        return f"({names[x]} := {written[1:-1] if bracketed else written})"

    return text(e)


def _written(e: Expression, text: Callable[[Expression], str]) -> str:
    if isinstance(e, Constant):
        return repr(e.value) if math.copysign(1, e.value) > 0 else f"({e.value!r})"
    if isinstance(e, Variable):
        return e.name
    if isinstance(e, Reduction):
        return f"{e.kind}({text(e.argument)}, {e.over!r})"
    if isinstance(e, Transposed):
        return f"{text(e.argument)}.T" if isinstance(e.argument, Variable) else f"({text(e.argument)}).T"
    if isinstance(e, Product):
        return f"({text(e.left)} @ {text(e.right)})"
    assert isinstance(e, Apply)
    arguments = [text(a) for a in e.arguments]
    if e.function in _SIGNS:
        return f"({arguments[0]} {_SIGNS[e.function]} {arguments[1]})"
    return f"(-{arguments[0]})" if e.function == "neg" else f"{e.function}({', '.join(arguments)})"


functions = SimpleNamespace(**_FUNCTIONS)
"""The functions for formulas written as Python callables: `functions.exp(z)`, `functions.where(z > 0, z, 0)`, ..."""


def known_functions() -> tuple[str, ...]:
    """The names that a formula may call."""
    return tuple(_FUNCTIONS)


def _quoted(text: str) -> str:
    """A formula in a message, cut where it is long."""
    return repr(text if len(text) <= 150 else f"{text[:150]} ...")


Functions = Mapping[str, Callable[..., Expression]]
"""By the names that a formula calls them by."""


def parse(
    text: str,
    names: Sequence[str],
    *,
    products: bool = False,
    more: Functions | None = None,
) -> Expression:
    """The expression that the text says, over the given variable names; (part := ...) names a part that is used again.

    products: whether there may be products of matrices, x @ W and x @ W.T.  more: functions beside the known ones.
    Raises FormulaError: it does not parse, a name or function is unknown, or a construct is not arithmetic.
    """
    if len(text) > LONGEST:
        raise FormulaError(f"The formula {_quoted(text)} has {len(text):,} characters; {LONGEST:,} are the most.")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:
        reason = getattr(fault, "msg", str(fault))
        raise FormulaError(f"The formula {_quoted(text)} does not parse: {reason}.") from None
    constants = {"pi": math.pi, "e": math.e}
    functions = {**(more or {}), **_FUNCTIONS}
    named: dict[str, Expression] = {}

    def build(node: ast.expr) -> Expression:
        match node:
            case ast.Constant(value=bool()):
                pass
            case ast.Constant(value=int() | float() as value):
                return as_expression(value)
            case ast.Name(id=name) if name in names:
                return Variable(name)
            case ast.Name(id=name) if name in constants:
                return Constant(constants[name])
            case ast.Name(id=name) if name in named:
                return named[name]
            case ast.Name(id=name):
                raise FormulaError(f"In the formula {_quoted(text)}: {unknown_name('name', name, names)}")
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                if name in names or name in constants or name in named:
                    raise FormulaError(f"In the formula {_quoted(text)}: the name {name!r} is taken; choose another.")
                named[name] = build(value)
                return named[name]
            case ast.BinOp(left, op, right) if type(op) in _BINARY:
                return apply(_BINARY[type(op)], build(left), build(right))
            case ast.BinOp(left, ast.MatMult(), right) if products:
                return product(build(left), build(right))
            case ast.Attribute(value=value, attr="T") if products:
                return Transposed(build(value))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -build(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return build(operand)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
                return apply(_COMPARE[type(op)], build(left), build(right))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
                return call(name, arguments, keywords)
            case _:
                pass
        signs = "+ - * / ** @ .T" if products else "+ - * / **"
        raise FormulaError(
            f"The formula {_quoted(text)} may hold numbers, {', '.join(names)}, {signs} comparisons and calls. "
            f"Got {_quoted(ast.unparse(node))} instead.{_hint(node)}"
        )

    def call(name: str, arguments: list[ast.expr], keywords: list[ast.keyword]) -> Expression:
        if name not in functions:
            raise FormulaError(f"In the formula {_quoted(text)}: {unknown_name('function', name, functions)}")
        values: list[object] = [
            a.value if isinstance(a, ast.Constant) and isinstance(a.value, str) else build(a) for a in arguments
        ]
        options = {k.arg: k.value.value for k in keywords if k.arg == "over" and isinstance(k.value, ast.Constant)}
        if len(options) != len(keywords):
            raise FormulaError(
                f"In the formula {_quoted(text)}: only over=... can be named, in sum, mean, max and min."
            )
        try:
            return functions[name](*values, *options.values())
        except TypeError:
            raise FormulaError(
                f"In the formula {_quoted(text)}: {name} does not take {len(values)} argument(s)."
            ) from None

    try:
        result = _shallow(build(tree.body))
    except RecursionError:
        raise FormulaError(_TOO_DEEP) from None
    # Few functions use their argument twice: what is written out is a few times as long as what was read, or shared.
    return _writable(result) if len(text) > LONGEST // 20 else result


def _hint(node: ast.expr) -> str:
    """What to write instead of a construct that other languages have."""
    match node:
        case ast.BinOp(left, ast.BitXor(), right):
            return f" A power is written {ast.unparse(left)} ** {ast.unparse(right)}."
        case ast.Call(func=ast.Attribute(attr=name)) if name in _FUNCTIONS:
            return f" Write {name}(...) alone."
        case ast.IfExp(test, body, orelse):
            return f" Write where({ast.unparse(test)}, {ast.unparse(body)}, {ast.unparse(orelse)})."
        case _:
            return ""


_TOO_DEEP = f"The formula is nested more than {DEEPEST} levels deep (a sum of n terms has n levels)."


def _shallow(e: Expression) -> Expression:
    """The expression itself, if it is not too deep for the walks and its numbers stayed finite as they were folded."""
    level: Sequence[Expression] = [e]
    for _ in range(DEEPEST):
        for x in level:
            if isinstance(x, Constant) and not math.isfinite(x.value):
                raise FormulaError(f"A formula's numbers must be finite. Got {x.value} from numbers worked out.")
        level = list(dict.fromkeys(c for x in level for c in children(x)))
        if not level:
            return e
    raise FormulaError(_TOO_DEEP)


def _writable(e: Expression) -> Expression:
    """The expression itself, if a file can say it."""
    source(e)
    return e


def _takes(given: Callable[..., object], count: int) -> bool:
    """Whether the callable can be called with so many arguments; built-in ones that do not say are believed to."""
    try:
        inspect.signature(given).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def formula(
    given: str | Expression | Callable[..., object],
    names: Sequence[str],
    *,
    products: bool = False,
    more: Functions | None = None,
) -> Expression:
    """An expression from text, from a callable over expressions (called once, with one variable per name), or as it is.

    products: whether there may be products of matrices.  more: functions that text may call beside the known ones.
    Raises FormulaError: the source cannot be understood, or uses
    other variables than `names`.
    """
    if isinstance(given, Expression):
        result = given
    elif isinstance(given, str):
        return parse(given, names, products=products, more=more)
    elif callable(given):
        variables_ = [Variable(n) for n in names]
        if not _takes(given, len(names)):
            raise FormulaError(
                f"The callable must take {len(names)} argument(s): {', '.join(names)}. Got one that does not."
            )
        try:
            result = _writable(_shallow(as_expression(given(*variables_))))
        except RecursionError:
            raise FormulaError(_TOO_DEEP) from None
        except (TypeError, AttributeError) as fault:
            raise FormulaError(
                f"The callable could not be traced: {fault}. Use operators and chainrule.functions "
                f"({', '.join(known_functions())}), not NumPy's or math's functions."
            ) from None
    else:
        raise FormulaError(f"A formula is text, a callable or an expression. Got {type(given).__name__} instead.")
    if not products and any(isinstance(e, Product | Transposed) for e in walk(result)):
        raise FormulaError("A product of matrices (@) belongs in the formula of a layer: cr.Formula(...).")
    if extra := [v for v in variables(result) if v not in names]:
        raise FormulaError(f"A formula here is over {', '.join(names)}. Got the variable {extra[0]!r} as well.")
    return result
