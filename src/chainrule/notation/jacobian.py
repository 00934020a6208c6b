"""The Jacobian of a vector-valued activation, entry by entry, by the chain rule over its equations.

∂a_p/∂z_j = δ_{p,j} local(p) + Σ_t left_t(p) right_t(j): an element's own part, and what it feels through the sums and
maxima of the whole sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chainrule.describe.activations import ACTIVATIONS
from chainrule.notation.activations import Activated
from chainrule.notation.lines import familiar_name
from chainrule.program.derivative import differentiate
from chainrule.program.parse import parse
from chainrule.program.scalar import (
    ONE,
    ZERO,
    Apply,
    Expression,
    Reduction,
    Variable,
    apply,
    children,
    divide,
    is_zero,
    multiply,
    where,
)
from chainrule.program.walk import replace

Terms = tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True)
class Jacobian:
    """An activation's Jacobian, as expressions over symbols."""

    local: Expression
    """What an element feels of itself."""
    terms: Terms
    """What it feels through sums and maxima."""


def jacobian(activation: Activated, a: str, shown: Mapping[Expression, Expression]) -> Jacobian:
    """The entries ∂a_p/∂z_j of an activation with the value a.  shown: parts of its formula that have a name."""
    name = familiar_name(activation.formula)
    entries = None if name is None else ACTIVATIONS[name].entries
    if entries is not None:
        local, terms = entries

        def bound(text: str) -> Expression:
            return replace(parse(text, ("a",)), {Variable("a"): Variable(a)})

        return Jacobian(bound(local), tuple((bound(x), bound(y)) for x, y in terms))
    return derived(activation, shown)


def derived(activation: Activated, shown: Mapping[Expression, Expression]) -> Jacobian:
    """The entries by the chain rule, whatever the activation is."""
    local, terms = _entry(activation.formula)

    def bound(e: Expression) -> Expression:
        return replace(replace(e, shown), {Variable("z"): Variable(activation.z)})

    return Jacobian(bound(local), tuple((bound(x), bound(y)) for x, y in terms))


def _entry(e: Expression) -> tuple[Expression, Terms]:
    """The derivative of e at p by z at j: its local part, and (at p, at j) products."""
    folds: dict[Expression, Variable] = {}

    def outside(x: Expression) -> Expression:
        if isinstance(x, Reduction):
            return folds.setdefault(x, Variable(f"fold {len(folds)}"))
        if isinstance(x, Apply):
            return replace(x, {c: outside(c) for c in children(x)})
        return x

    shell = outside(e)
    back: dict[Expression, Expression] = {v: k for k, v in folds.items()}
    local = replace(differentiate(shell, "z"), back)
    terms: list[tuple[Expression, Expression]] = []
    for fold, sign in folds.items():
        slope = replace(differentiate(shell, sign.name), back)
        if is_zero(slope):
            continue
        assert isinstance(fold, Reduction)
        own, inner = _fold(fold)
        if not is_zero(own):
            terms.append((slope, own))
        terms += [(multiply(slope, at_p), at_j) for at_p, at_j in inner]
    return local, tuple(terms)


def _fold(fold: Reduction) -> tuple[Expression, Terms]:
    """The derivative of a sum, mean or maximum over the sample by z at j: (at j, terms whose first part has no place).

    Raises KeyError for a mean, which programs do not hold.
    """
    local, terms = _entry(fold.argument)
    weight: Expression = ONE
    if fold.kind == "max":
        largest = apply("eq", fold.argument, fold)
        weight = divide(where(largest, ONE, ZERO), Reduction("sum", "columns", largest))
    own = multiply(weight, local) if weight != ONE else local
    inner = tuple((Reduction("sum", "columns", multiply(weight, at_p)), at_j) for at_p, at_j in terms)
    return own, inner
