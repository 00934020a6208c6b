"""Formula: a layer that is written down, with parameters in it; its derivative by each of them is derived.

    Formula("s * x", s=Parameter("n", value=1))                                a scale of each feature
    Formula("where(x > 0, x, a * x)", a=Parameter(value=0.25))                  PReLU
    Formula("cos(2 * pi * (x @ w + b))", w=Parameter("n", 16, weights=0.1), b=Parameter(16))

The value that comes in is x (m, n).  Reductions run over one sample's features; a product x @ W takes matrices.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from chainrule.describe import initialisers
from chainrule.describe.layers import Layer, Place
from chainrule.describe.settings import keep, plain, refuse
from chainrule.errors import FormulaError, expected, is_number, shorten
from chainrule.program.builder import Builder, Fill
from chainrule.program.parse import formula, known_functions, source
from chainrule.program.scalar import Expression, Product, Reduction, Transposed, Variable, children
from chainrule.program.symbol import BATCH, Shape, Symbol, broadcast, shape_text
from chainrule.program.walk import parts, variables, walk

FEATURES = "n"
"""In the shape of a parameter: as many as the features that come in."""
_CONSTANTS = ("pi", "e")
_LONGEST = 40
"""Characters of a parameter's name."""


@dataclass(frozen=True, init=False)
class Parameter:
    """A parameter of a formula: its shape, and its first value.

        Parameter(value=1)                                 a number
        Parameter("n")                                     one for each feature that comes in, 0 at first
        Parameter("n", 8, weights="glorot_uniform")        a matrix, drawn

    Raises SpecError.
    """

    shape: tuple[int | str, ...]
    """() | (n,) | (n, k); "n" stands for the features that come in."""
    value: float | None
    """Of every element at first; None where it is drawn."""
    weights: str | float | None
    """An initialiser's name, or s for N(0, s²), as in Dense; glorot_uniform for a matrix that names none."""
    penalised: bool
    """Whether the penalties of the cost apply to it: to a matrix, unless it says otherwise."""

    def __init__(
        self,
        *shape: int | str,
        value: float | None = None,
        weights: str | float | None = None,
        penalised: bool | None = None,
    ) -> None:
        faults: list[str] = []
        matrix = len(shape) == 2
        if value is None and weights is None:
            value, weights = (None, "glorot_uniform") if matrix else (0.0, None)
        keep(self, value=value, weights=weights, penalised=matrix if penalised is None else bool(penalised))
        object.__setattr__(self, "shape", tuple(plain(size) for size in shape))
        if len(shape) > 2:
            faults.append(expected("its shape", "at most two sizes, such as Parameter('n', 8)", shape))
        for size in self.shape:
            whole = isinstance(size, int) and not isinstance(size, bool) and size >= 1
            if not whole and size != FEATURES:
                faults.append(expected("a size", "a positive whole number, or 'n' for the features coming in", size))
        if value is not None and not is_number(value):
            faults.append(expected("value", "a finite number", value))
        if value is not None and weights is not None:
            faults.append("it has a value and an initialiser (weights). Give one of them.")
        initialisers.check(self.weights, faults)
        if isinstance(weights, str) and not matrix and weights not in ("zeros", "ones"):
            faults.append(f"the initialiser {weights} is for matrices. Give a value, or s for N(0, s²).")
        refuse(self, faults)

    def over(self, below: int) -> tuple[int, ...]:
        """Its shape where so many features come in."""
        return tuple(below if size == FEATURES else int(size) for size in self.shape)


Given = str | Expression | Callable[..., object]


@dataclass(frozen=True, init=False)
class Formula(Layer):
    """F = f(x, parameters): a layer of one's own, from text or a Python function of x and the parameters' names.

        Formula("x + a * (tanh(x) - x)", a=Parameter("n", value=1))
        Formula(lambda x, W: functions.relu(x @ W) ** 2, W=Parameter("n", 64))

    x (m, n) is the value that comes in; sum, mean, max and min run over a sample's features; @ and .T are products
    and transposes of matrices.  Raises SpecError with all faults; FormulaError for what is no formula.
    """

    family = "formula"
    reasons: ClassVar[Mapping[str, str]] = {"formula": "a layer written as a formula"}

    expression: Expression
    """f, in x and the names of the parameters."""
    parameters: tuple[tuple[str, Parameter], ...]
    """By name, in their order."""
    name: str
    """Shown in the summary."""

    def __init__(
        self,
        expression: Given,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        name: str | None = None,
        **named: Parameter,
    ) -> None:
        faults: list[str] = []
        several = {**_checked(parameters, faults), **named}
        for letter, parameter in several.items():
            faults += _misnamed(letter)
            if not isinstance(parameter, Parameter):
                faults.append(expected(letter, "a Parameter, such as cr.Parameter('n', value=1)", parameter))
        refuse(self, faults)
        written = formula(_by_name(expression, ("x", *several)), ("x", *several), products=True)
        unused = [letter for letter in several if letter not in variables(written)]
        if unused:
            faults.append(f"{', '.join(unused)} is declared and not used in {_short(written)}.")
        refuse(self, faults)
        keep(self, expression=written, parameters=tuple(several.items()))
        object.__setattr__(self, "name", name or (expression if isinstance(expression, str) else source(written)))

    @property
    def numbered(self) -> bool:  # type: ignore[override]
        """Where it holds a product of matrices."""
        return any(isinstance(e, Product) for e in walk(self.expression))

    @property
    def words(self) -> str:
        """formula s * x"""
        return f"formula {shorten(self.name, 60)}"

    def misfit(self, widths: Sequence[int]) -> str | None:
        """What is wrong with the formula where so many features come in."""
        try:
            shape = self._shape(widths[0])
        except FormulaError as fault:
            return str(fault)
        if len(shape) == 2 and shape[0] == BATCH:
            return None
        return f"{_short(self.expression)} must give values of each sample, (m, k). It gives {shape_text(shape)}."

    def width(self, below: int) -> int:
        """The columns of f."""
        try:
            return int(self._shape(below)[1])
        except (FormulaError, IndexError):  # which `misfit` says
            return below

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """F = f(x, parameters)   (m, k)"""
        width = int(below.shape[1])
        bind = {"x": below}
        for letter, parameter in self.parameters:
            shape = parameter.over(width)
            drawn = Fill(parameter.value) if parameter.value is not None else parameter.weights
            draft = write.fresh(Symbol(letter, layer=place.label, penalised=parameter.penalised), shape)
            bind[letter] = write.parameter(draft, shape, place.initialiser(drawn))
        draft = Symbol("F", layer=place.label)
        rest = write.lower(self.expression, bind, draft, rule="formula", over_columns_only=True)
        return write.write(draft, rest, rule="formula", shape=(BATCH, self.width(width)))

    def _shape(self, below: int) -> Shape:
        """Of the whole formula.  Raises FormulaError where its parts do not fit."""
        given: dict[str, Shape] = {letter: parameter.over(below) for letter, parameter in self.parameters}
        return _shape_of(self.expression, {"x": (BATCH, below), **given})


def _checked(given: object, faults: list[str]) -> Mapping[str, Parameter]:
    if given is None or isinstance(given, Mapping):
        return {} if given is None else given
    faults.append(expected("parameters", "a dict of names and Parameters, or each by its name", given))
    return {}


def _misnamed(letter: object) -> list[str]:
    """What is wrong with the name of a parameter."""
    if not isinstance(letter, str) or not letter.isidentifier() or len(letter) > _LONGEST:
        return [expected("A parameter's name", "a word (letters, digits, _) that a formula can use", letter)]
    taken = letter in ("x", "name", "T", *_CONSTANTS) or letter in known_functions()
    return [f"a parameter cannot be called {letter}: the formula means something else by it."] if taken else []


def _by_name(given: Given, names: tuple[str, ...]) -> Given:
    """A Python function called with its arguments' names, in whatever order it has them."""
    if isinstance(given, str | Expression) or not callable(given):
        return given
    try:
        own = tuple(inspect.signature(given).parameters)
    except (TypeError, ValueError):
        return given
    if set(own) != set(names):
        raise FormulaError(f"The function must take {', '.join(names)}. It takes {', '.join(own) or 'nothing'}.")
    return lambda *values: given(**dict(zip(names, values, strict=True)))


def _shape_of(e: Expression, given: Mapping[str, Shape]) -> Shape:
    shapes: dict[Expression, Shape] = {}
    for part in parts(e):
        under = [shapes[c] for c in children(part)]
        match part:
            case Variable():
                shapes[part] = given[part.name]
            case Transposed():
                shapes[part] = under[0][::-1]
            case Product():
                fits = [len(s) for s in under] == [2, 2] and under[0][1] == under[1][0]
                if not fits or BATCH in (under[0][1], under[1][1]):
                    sides = " @ ".join(shape_text(s) for s in under)
                    raise FormulaError(
                        f"In the product {_short(part)}, the columns of the first must be the rows of the second, and "
                        f"samples must not mix. Got {sides}."
                    )
                shapes[part] = (under[0][0], under[1][1])
            case Reduction():
                if part.over == "rows":
                    raise FormulaError(f"{_short(part)} runs over the rows: a layer's formula is of one sample.")
                shapes[part] = (under[0][0], 1) if len(under[0]) == 2 else ()
            case _:
                shape = broadcast(under)
                if shape is None:
                    told = " and ".join(shape_text(s) for s in under)
                    raise FormulaError(f"In {_short(part)}, the shapes {told} do not fit.")
                shapes[part] = shape
    return shapes[e]


def _short(e: Expression) -> str:
    return shorten(source(e), 100)
