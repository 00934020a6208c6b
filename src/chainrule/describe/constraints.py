"""Constraints: what a parameter is brought back to after each step, as equations, and before the first one.

    max-norm       W[:, j] := W[:, j] min(1, c / ‖W[:, j]‖)          of each unit j; of a table, of each row;
                                                                 of matrices below each other, of each one's units
    unit norm      W[:, j] := W[:, j] / ‖W[:, j]‖
    non-negative   W := max(W, 0)
    monotone       W[i, :] := max(W[i, :], 0), min(W[i, :], 0) or W[i, :], by the sign of column i of what comes in

What is said of signs comes before what is said of norms, which it leaves as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from chainrule.calls import constructor
from chainrule.describe.settings import of_parameters, plain, positive, refuse
from chainrule.errors import expected
from chainrule.program.builder import Builder, Values
from chainrule.program.op import Gather, GroupedMatMul, Reduce
from chainrule.program.scalar import Constant, Expression, Over, Variable, apply
from chainrule.program.symbol import Symbol, shape_text

_TINY = 1e-12
"""A unit whose weights are no longer than that is left as it is."""


@dataclass(frozen=True)
class Constraint:
    """The base of all constraints."""

    reason: ClassVar[str] = ""
    """What it does, for people."""
    late: ClassVar[bool] = False
    """Whether it is of norms, and so comes after what is of signs."""
    matrices: ClassVar[bool] = False
    """Whether it is of matrices alone."""

    def misfit(self, parameter: Symbol) -> str | None:
        """Why it cannot hold for this parameter; None if it can."""
        if self.matrices and len(parameter.shape) != 2:
            shape = shape_text(parameter.shape)
            return f"{type(self).__name__} is of matrices, and {parameter.name} has the shape {shape}"
        return None

    def declare(self, write: Builder, parameter: Symbol) -> None:
        """Declares what it needs beside the parameter; nothing."""

    def equations(self, write: Builder, parameter: Symbol, value: Expression) -> Expression:
        """The parameter's new value, of the value that the step has come to."""
        raise TypeError(f"{type(self).__name__} does not say what it does: define equations(write, parameter, value).")


@constructor
@dataclass(frozen=True)
class NonNegative(Constraint):
    """No weight is below 0."""

    reason = "non-negative: what falls below 0 is 0"

    def equations(self, write: Builder, parameter: Symbol, value: Expression) -> Expression:
        """max(W, 0)"""
        return apply("maximum", value, Constant(0.0))


@constructor
@dataclass(frozen=True)
class Monotone(Constraint):
    """The weights of what comes in by column i have the sign of signs[i]: not below 0 for 1, not above for -1.

    For a network that rises (or falls) in a column, all weights that follow are to be `NonNegative`, and the
    activations monotone.  Raises SpecError.
    """

    reason = "monotone: the weights of a column have its sign, or are 0"
    matrices = True

    signs: tuple[int, ...]
    """1, -1, or 0 for a column without a constraint; one for each row of W."""

    def __init__(self, signs: Sequence[int]) -> None:
        given = tuple(plain(s) for s in signs) if isinstance(signs, Iterable) else ()
        object.__setattr__(self, "signs", given)
        wrong = not given or any(s not in (-1, 0, 1) or isinstance(s, bool) for s in given)
        refuse(self, [expected("signs", "a sequence of 1, -1 and 0", signs)] if wrong else [])

    def misfit(self, parameter: Symbol) -> str | None:
        """Signs are as many as W has rows."""
        fault = super().misfit(parameter)
        if fault is None and len(self.signs) != parameter.shape[0]:
            fault = f"Monotone has {len(self.signs)} signs, and {parameter.name} has {parameter.shape[0]} rows"
        return fault

    def declare(self, write: Builder, parameter: Symbol) -> None:
        """The signs (k, 1), kept beside the weights."""
        numbers = Values(tuple(float(s) for s in self.signs))
        write.statistic(parameter.said("sign"), (len(self.signs), 1), numbers)

    def equations(self, write: Builder, parameter: Symbol, value: Expression) -> Expression:
        """max(W, 0), min(W, 0) or W, row by row."""
        sign, zero = Variable(parameter.said("sign").name), Constant(0.0)
        down = apply("where", apply("lt", sign, zero), apply("minimum", value, zero), value)
        return apply("where", apply("gt", sign, zero), apply("maximum", value, zero), down)


class _OfNorms(Constraint):
    late = True
    matrices = True

    def brought(self, w: Expression, norm: Expression) -> Expression:
        """A weight, of a unit with this norm, as it is to be."""
        raise NotImplementedError

    def equations(self, write: Builder, parameter: Symbol, value: Expression) -> Expression:
        """The units' norms, and what each weight becomes by that of its own: ‖W[:, j]‖; of a table ‖W[i, :]‖; of
        matrices W_k below each other ‖W_k[:, j]‖."""
        rule = type(self).__name__
        w = Variable(write.write(parameter.said("next"), value, rule=rule).name)
        groups = write.groups_of(parameter)
        if groups > 1:
            return self.brought(w, self._of_groups(write, parameter, w, groups))
        table = any(isinstance(e.op, Gather) and e.operands[0] == parameter for e in write.equations)
        over: Over = "columns" if table else "rows"
        squares = write.reduce(parameter.said("squares"), Reduce("sum", over, w**2), rule=rule)
        return self.brought(w, Variable(self._norm(write, parameter, squares).name))

    def _norm(self, write: Builder, parameter: Symbol, squares: Symbol) -> Symbol:
        """√ of the sums of squares, never 0."""
        norm = apply("maximum", apply("sqrt", Variable(squares.name)), Constant(_TINY))
        return write.write(parameter.said("norm"), norm, rule=type(self).__name__)

    def _of_groups(self, write: Builder, parameter: Symbol, w: Variable, groups: int) -> Expression:
        """‖W_k[:, j]‖ in each row of each W_k: a row of ones, as many as W has rows, adds up what stands in a column of
        one matrix, and brings a number of each unit back to all of its rows."""
        rule, rows = type(self).__name__, parameter.shape[0]
        ones = write.write(parameter.said("ones"), Constant(1.0), rule=rule, shape=(1, rows))
        each = write.write(parameter.said("squared"), w**2, rule=rule)
        squares = write.apply(parameter.said("squares"), GroupedMatMul(groups), (ones, each), rule=rule)
        norms = self._norm(write, parameter, squares)
        back = GroupedMatMul(groups, transpose_left=True)
        return Variable(write.apply(parameter.said("wide"), back, (ones, norms), rule=rule).name)


@constructor
@dataclass(frozen=True)
class MaxNorm(_OfNorms):
    """The weights of a unit are no longer than the limit: the column of W that makes it, a table's row.

    Raises SpecError.  Source: Srivastava et al. 2014.
    """

    reason = "max-norm: a unit whose weights are too long gets them shortened"

    limit: float
    """c"""

    def __post_init__(self) -> None:
        faults: list[str] = []
        object.__setattr__(self, "limit", plain(self.limit))
        positive("limit", self.limit, faults)
        refuse(self, faults)

    def brought(self, w: Expression, norm: Expression) -> Expression:
        """W min(1, c / ‖W[:, j]‖)"""
        return w * apply("minimum", Constant(1.0), Constant(float(self.limit)) / norm)


@constructor
@dataclass(frozen=True)
class UnitNorm(_OfNorms):
    """The weights of a unit have the length 1: the column of W that makes it, a table's row."""

    reason = "unit norm: each unit's weights are divided by their length"

    def brought(self, w: Expression, norm: Expression) -> Expression:
        """W / ‖W[:, j]‖"""
        return w / norm


CONSTRAINTS: Mapping[str, type[Constraint]] = {c.__name__: c for c in (MaxNorm, UnitNorm, NonNegative, Monotone)}
"""By the name that a saved network calls them."""

Pairs = tuple[tuple[str, tuple[Constraint, ...]], ...]
"""By the name of a parameter or the letter of several."""


def pairs_of(given: Any, faults: list[str]) -> Pairs:
    """The constraints by parameter, each a tuple, as pairs."""
    if not isinstance(given, Mapping | tuple):
        faults.append(expected("constraints", "a mapping such as {'W1': cr.MaxNorm(3)}", given))
        return ()
    pairs = []
    for name, some in given.items() if isinstance(given, Mapping) else given:
        several = (some,) if isinstance(some, Constraint) else tuple(some) if isinstance(some, list | tuple) else ()
        if not isinstance(name, str) or not name:
            faults.append(expected("A name in constraints", "that of a parameter, or a letter", name))
        if not several or not all(isinstance(c, Constraint) for c in several):
            faults.append(expected(f"constraints[{name!r}]", "a constraint such as cr.MaxNorm(3), or several", some))
            continue
        pairs.append((name, tuple(sorted(several, key=lambda c: c.late))))
    return tuple(pairs)


def constraints_of(given: Pairs, parameters: Iterable[Symbol], faults: list[str]) -> dict[str, tuple[Constraint, ...]]:
    """The constraints of each parameter by its name; faults: names that are not there, what cannot hold."""
    known = list(parameters)
    chosen = of_parameters("constraints", given, known, faults)
    for parameter in known:
        several = chosen.get(parameter.name, ())
        faults += [f"constraints: {fault}." for c in several if (fault := c.misfit(parameter)) is not None]
        faults += [f"constraints of {parameter.name}: {fault}" for fault in _contradictions(several)]
    return chosen


def _contradictions(several: tuple[Constraint, ...]) -> list[str]:
    kinds = [type(c) for c in several]
    faults = [f"{kind.__name__} is given twice." for kind in dict.fromkeys(kinds) if kinds.count(kind) > 1]
    shortest = min((c.limit for c in several if isinstance(c, MaxNorm)), default=1.0)
    if UnitNorm in kinds and MaxNorm in kinds:
        why = "cannot hold" if shortest < 1 else "says nothing"
        faults.append(f"MaxNorm({shortest:g}) {why} beside UnitNorm, by which every norm is 1.")
    falling = [i for c in several if isinstance(c, Monotone) for i, sign in enumerate(c.signs) if sign == -1]
    if NonNegative in kinds and falling:
        faults.append(f"NonNegative leaves row {falling[0]} nothing but 0, which Monotone wants below it.")
    return faults
