"""Formula: a layer that is written down, with parameters in it; its derivative by each of them is derived.

    Formula("s * x", s=Parameter("n", value=1))                                a scale of each feature
    Formula("where(x > 0, x, a * x)", a=Parameter(value=0.25))                  PReLU
    Formula("cos(2 * pi * (x @ w + b))", w=Parameter("n", 16, weights=0.1), b=Parameter(16))

The value that comes in is x (m, n).  Reductions run over one sample's features; a product x @ W takes matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from chainrule.calls import constructor
from chainrule.describe.activations import as_functions
from chainrule.describe.layers import Layer, Place, declare
from chainrule.describe.parameters import Given, Named, Parameter, declared, formula_over, shape_in, short
from chainrule.describe.settings import keep, refuse
from chainrule.errors import FormulaError, shorten
from chainrule.program.builder import Builder
from chainrule.program.parse import source
from chainrule.program.scalar import Expression, Product
from chainrule.program.symbol import BATCH, Shape, Symbol, shape_text
from chainrule.program.walk import walk


@constructor
@dataclass(frozen=True, init=False)
class Formula(Layer):
    """F = f(x, parameters): a layer of one's own, from text or a Python function of x and the parameters' names.

        Formula("x + a * (tanh(x) - x)", a=Parameter("n", value=1))
        Formula(lambda x, W: functions.relu(x @ W) ** 2, W=Parameter("n", 64))

    x (m, n) is the value that comes in; sum, mean, max and min run over a sample's features; @ and .T are products
    and transposes of matrices.  Text may call activations by their names: "x + a * (mish(x) - x)".
    Raises SpecError with all faults; FormulaError for what is no formula.
    """

    family = "formula"
    reasons: ClassVar[Mapping[str, str]] = {"formula": "a layer written as a formula"}

    expression: Expression
    """f, in x and the names of the parameters."""
    parameters: Named
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
        several = declared(parameters, named, ("x", "name", "T"), faults)
        refuse(self, faults)
        written = formula_over(expression, ("x", *several), several, products=True, more=as_functions())
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
        return f"{short(self.expression)} must give values of each sample, (m, k). It gives {shape_text(shape)}."

    def width(self, below: int) -> int:
        """The columns of f."""
        try:
            return int(self._shape(below)[1])
        except (FormulaError, IndexError):  # which `misfit` says
            return below

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """F = f(x, parameters)   (m, k)"""
        width = int(below.shape[1])
        bind = {"x": below, **declare(write, self.parameters, width, place)}
        draft = Symbol("F", layer=place.label)
        rest = write.lower(self.expression, bind, draft, rule="formula", over_columns_only=True)
        return write.write(draft, rest, rule="formula", shape=(BATCH, self.width(width)))

    def _shape(self, below: int) -> Shape:
        """Of the whole formula.  Raises FormulaError where its parts do not fit."""
        given: dict[str, Shape] = {letter: parameter.over(below) for letter, parameter in self.parameters}
        return shape_in(self.expression, {"x": (BATCH, below), **given}, "a layer's formula")
