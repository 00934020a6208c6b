"""Parameters of formulas: of a layer, an activation or a loss; each with its shape and its first value."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from chainrule.calls import constructor
from chainrule.describe import initialisers
from chainrule.describe.settings import keep, plain, refuse
from chainrule.errors import FormulaError, expected, is_number, shorten
from chainrule.program.builder import Fill, Initial
from chainrule.program.parse import Functions, formula, known_functions, source
from chainrule.program.scalar import Expression, Product, Reduction, Transposed, Variable, children
from chainrule.program.symbol import BATCH, Shape, broadcast, shape_text
from chainrule.program.walk import parts, variables

FEATURES = "n"
"""In the shape of a parameter: as many as the features that come in."""
_CONSTANTS = ("pi", "e")
_LONGEST = 40
"""Characters of a parameter's name."""


@constructor
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

    @property
    def initial(self) -> Initial | None:
        """How its first value comes about; None where the place decides."""
        return self.weights if self.value is None else Fill(self.value)

    def over(self, below: int) -> tuple[int, ...]:
        """Its shape where so many features come in."""
        return tuple(below if size == FEATURES else int(size) for size in self.shape)


Given = str | Expression | Callable[..., object]
Named = tuple[tuple[str, Parameter], ...]
"""The parameters of a formula by name, in their order."""


def declared(
    given: Mapping[str, Parameter] | None,
    named: Mapping[str, Parameter],
    taken: Iterable[str],
    faults: list[str],
    *,
    sizes: tuple[str, ...] | None = None,
) -> dict[str, Parameter]:
    """The parameters, of a mapping and each by its name; what is wrong with them is added to the faults.

    taken: what the formula calls something else.  sizes: a parameter is a number, or of one of these; None for any.
    """
    if not (given is None or isinstance(given, Mapping)):
        faults.append(expected("parameters", "a dict of names and Parameters, or each by its name", given))
        given = None
    given = given or {}
    faults += [f"{letter} is declared twice: in parameters, and by its name." for letter in given if letter in named]
    several = {**given, **named}
    for letter, parameter in several.items():
        faults += _misnamed(letter, (*taken, *_CONSTANTS))
        if not isinstance(parameter, Parameter):
            faults.append(expected(letter, "a Parameter, such as cr.Parameter('n', value=1)", parameter))
        elif sizes is not None and parameter.shape and not (len(parameter.shape) == 1 and parameter.shape[0] in sizes):
            allowed = "a number, cr.Parameter(value=1), or one of each feature, cr.Parameter('n', value=1)"
            faults.append(expected(letter, allowed, f"the shape {parameter.shape}"))
    return several


def formula_over(
    given: Given,
    names: tuple[str, ...],
    several: Iterable[str],
    *,
    products: bool = False,
    more: Functions | None = None,
) -> Expression:
    """The formula over these names, of which `several` are declared for it and must be used.

    more: functions that text may call beside the known ones.  Raises FormulaError.
    """
    own = list(several)
    written = formula(_by_name(given, names) if own else given, names, products=products, more=more)
    unused = [letter for letter in own if letter not in variables(written)]
    if unused:
        raise FormulaError(f"{', '.join(unused)} is declared and not used in {short(written)}.")
    return written


def _misnamed(letter: object, taken: Iterable[str]) -> list[str]:
    """What is wrong with the name of a parameter."""
    if not isinstance(letter, str) or not letter.isidentifier() or len(letter) > _LONGEST:
        return [expected("A parameter's name", "a word (letters, digits, _) that a formula can use", letter)]
    if letter in taken or letter in known_functions():
        return [f"a parameter cannot be called {letter}: the formula means something else by it."]
    return []


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


def shape_in(e: Expression, given: Mapping[str, Shape], what: str) -> Shape:
    """Of a formula whose variables have these shapes; what: how a message calls it.

    Raises FormulaError where its parts do not fit.
    """
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
                        f"In the product {short(part)}, the columns of the first must be the rows of the second, and "
                        f"samples must not mix. Got {sides}."
                    )
                shapes[part] = (under[0][0], under[1][1])
            case Reduction():
                if part.over == "rows":
                    raise FormulaError(f"{short(part)} runs over the rows: {what} is of one sample.")
                shapes[part] = (under[0][0], 1) if len(under[0]) == 2 else ()
            case _:
                shape = broadcast(under)
                if shape is None:
                    told = " and ".join(shape_text(s) for s in under)
                    raise FormulaError(f"In {short(part)}, the shapes {told} do not fit.")
                shapes[part] = shape
    return shapes[e]


def short(e: Expression) -> str:
    """The formula as text, cut where it is long."""
    return shorten(source(e), 100)
