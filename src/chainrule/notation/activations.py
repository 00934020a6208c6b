"""Which lines of a program are an activation A = g(Z), and which factors of its backward lines are g'(Z)."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.notation.lines import expanded, only_value
from chainrule.notation.numbers import is_slope
from chainrule.program.derivative import differentiate
from chainrule.program.equation import Equation, Program
from chainrule.program.op import Elementwise
from chainrule.program.scalar import ZERO, Expression, Variable, is_zero
from chainrule.program.walk import is_over_arrays, replace, variables


@dataclass(frozen=True)
class Activated:
    """A = formula(z)."""

    z: str
    """The symbol's name."""
    formula: Expression
    """In which it is called z."""
    inner: tuple[Equation, ...]
    """The activation's other equations."""

    @property
    def vector(self) -> bool:
        """Whether an element depends on the sample's others."""
        return is_over_arrays(self.formula)

    @property
    def derivative(self) -> Expression:
        """g' of an element-wise g."""
        return differentiate(self.formula, "z")


class Activations:
    """The activations of a program by the name of their value."""

    def __init__(self, program: Program) -> None:
        made_by = {e.target.name: e for e in program.forward}
        self.gradient_of = program.gradient_of
        self.by_value: dict[str, Activated] = {}
        for a, z_symbol in program.activations:
            equation, z = made_by.get(a.name), z_symbol.name
            if equation is None or not isinstance(equation.op, Elementwise) or only_value(equation, made_by) != z:
                continue
            group: list[Equation] = []
            formula = expanded(equation.op.expression, made_by, group)
            self.by_value[equation.target.name] = Activated(
                z, replace(formula, {Variable(z): Variable("z")}), tuple(group)
            )

    def of(self, name: str) -> Activated | None:
        """How the symbol is made, if it is an activation's value."""
        return self.by_value.get(name)

    @property
    def several(self) -> bool:
        """Whether there is more than one element-wise activation."""
        return len({a.formula for a in self.by_value.values() if not a.vector}) > 1

    def slope(self, equation: Equation) -> tuple[str, Expression] | None:
        """(A, factor) where the equation is dZ = dA · factor and the factor is g'(Z), as numbers show."""
        target, op = equation.target, equation.op
        if target.role != "gradient" or not isinstance(op, Elementwise):
            return None
        for a, activation in self.by_value.items():
            if activation.vector or a not in self.gradient_of or target != self.gradient_of.get(activation.z):
                continue
            da = self.gradient_of[a].name
            if da not in variables(op.expression):
                continue
            factor = differentiate(op.expression, da)
            if not set(variables(factor)) <= {a, activation.z}:
                continue
            if not is_zero(replace(op.expression, {Variable(da): ZERO})):  # not dA times something, and nothing else
                continue
            formula = replace(activation.formula, {Variable("z"): Variable(activation.z)})
            if is_slope(factor, formula, activation.z, a):
                return a, factor
        return None
