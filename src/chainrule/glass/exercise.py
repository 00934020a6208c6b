"""Exercises: the steps of a gradient with right sides to be found, and what a learner's answer is worth by its numbers.

An answer may keep to the program's convention, samples as rows, or to that of the notation in which the sheet is
printed: `A1.T @ dZ2` for the one is `dZ2 @ A1.T` for samples as columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.display import Displayed
from chainrule.errors import FormulaError, SpecError, expected, shown
from chainrule.glass.stepwise import SAMPLES, Numbers, agree, evaluate, random_values
from chainrule.notation.names import Names
from chainrule.notation.steps import Worked
from chainrule.notation.tables import MATHEMATICAL
from chainrule.program.parse import parse
from chainrule.program.scalar import Expression
from chainrule.program.symbol import Symbol
from chainrule.program.walk import variables
from chainrule.rules.steps import Line, Step, Substituted, Value

Array = NDArray[Any]
_SIGNS = {"ᵀ": ".T", "⊙": "*", "−": "-", "·": "*", "²": "**2"}
"""What derivations write, and formulas."""
_BATCHES = 3
"""Random ones that an answer is tried on."""
HOW = "@ is the product of matrices, * that of elements, A1.T a transpose."
"""How an answer is written."""


@dataclass(frozen=True)
class Answer:
    """What an answer is worth."""

    right: bool
    """Whether it has the line's value on every batch that was tried."""
    message: str
    """What is wrong with it, or that nothing is."""

    def __bool__(self) -> bool:
        return self.right


class Exercise(Displayed):
    """The steps of a gradient with some right sides hidden, which formulas are to be found for.

    An answer is a formula in the names of the program: `X.T @ dZ1`, `(A2 - Y) / m`, `sum(dZ1, "rows")`, with samples as
    rows or as the notation has them.  It is right where its numbers are the line's, whatever it looks like; gradients
    that are found at this step or later are no part of it.
    """

    def __init__(self, shown: Worked, hidden: Sequence[int] | None = None) -> None:
        said = shown.steps
        self.said = said
        self.notation = shown.notation
        """In which it is printed."""
        able = [k for k, step in enumerate(said.steps) if _answerable(step)]
        self.hidden = tuple(k + 1 for k in able) if hidden is None else tuple(hidden)
        """The numbers, from 1, of the steps whose right side is hidden."""
        unable = [k for k in self.hidden if k - 1 not in able]
        if unable:
            named = ", ".join(str(k + 1) for k in able)
            raise SpecError(f"Steps that are formulas may be hidden: {named}. Got {', '.join(map(str, unable))}.")

    @property
    def sheet(self) -> Worked:
        """The steps as they are printed, without what is to be found."""
        return Worked(self.said, self.notation, self.hidden)

    def show(self, format: str = "unicode") -> str:
        """The sheet as text: unicode, latex, markdown or mathml.  Raises SpecError for another format."""
        return self.sheet.show(format)

    def __str__(self) -> str:
        return self.show()

    def __repr__(self) -> str:
        return f"Exercise({self.said.gradient.name}: {len(self.hidden)} of {len(self.said.steps)} steps hidden)"

    def _repr_markdown_(self) -> str:
        return self.show("markdown")

    def answer(self, step: int, text: str) -> Answer:
        """Whether the formula has the value of the hidden right side of that step, counted from 1.

        Raises SpecError where that step is not hidden.
        """
        if step not in self.hidden:
            raise SpecError(expected("step", f"one of {', '.join(map(str, self.hidden))}", step))
        own = self.said.program.symbols | self.said.long.symbols
        names = [n for n in own if not own[n].integers]
        try:
            formula = parse(_plain(text), names, products=True)
        except FormulaError as fault:
            how = f" {HOW}" if "does not parse" in str(fault) else ""
            return Answer(False, f"{fault}{how}")
        if early := [n for n in variables(formula) if n in self._later(step)]:
            return Answer(False, f"{early[0]} is what is to be found, or comes later: write it with what stands above.")
        table = MATHEMATICAL[self.notation]
        naming = Names(self.said.long, table)
        turned = {n for n, s in own.items() if naming.flipped(s)}
        answers = [self._judged(formula, text, step, set())]
        if turned and not answers[0]:
            answers.append(self._judged(formula, text, step, turned))
        return next((a for a in answers if a), answers[0])

    def _later(self, step: int) -> set[str]:
        """The gradients whose line is this step's or a later one's."""
        lefts = [(k, s.left.symbol.name) for k, s in enumerate(self.said.steps, 1) if isinstance(s.left, Value)]
        return {name for k, name in lefts if k >= step}

    def _judged(self, formula: Expression, text: str, step: int, turned: set[str]) -> Answer:
        """What it is worth where the arrays of these names stand transposed."""
        line = self.said.steps[step - 1]
        assert isinstance(line.left, Value)
        across = line.left.symbol.name in turned
        for seed in range(1, _BATCHES + 1):
            numbers = Numbers(self.said, random_values(self.said.program, seed))
            wanted = numbers.side(line.right)
            try:
                value = evaluate(formula, _turned({**numbers.long, **numbers.own}, turned))
            except ValueError:
                return Answer(False, f"The shapes in {shown(text)} do not fit together.")
            value = _upright(value, line.left.symbol) if across else value
            if value.shape != wanted.shape and (value.size > 1 or value.shape != ()):
                return Answer(False, f"It has the shape {value.shape}, the line {wanted.shape}, for {SAMPLES} samples.")
            if value.shape != wanted.shape:
                return Answer(False, f"It is one number; the line has the shape {wanted.shape} for {SAMPLES} samples.")
            if not agree(wanted, value):
                return Answer(False, "Its numbers are not those of the line.")
        return Answer(True, "Right.")


def _turned(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """The values, those of these names transposed; a vector is a column."""
    return {n: np.atleast_2d(v).T if n in names and np.ndim(v) else v for n, v in values.items()}


def _upright(value: Array, symbol: Symbol) -> Array:
    """A value that stands transposed, as the program has it."""
    return value.T.reshape(-1) if len(symbol.shape) == 1 and value.ndim == 2 and 1 in value.shape else value.T


def _plain(text: str) -> str:
    """The signs of a derivation as a formula has them."""
    return re.sub("|".join(_SIGNS), lambda sign: _SIGNS[sign[0]], text.strip())


def _answerable(step: Step) -> bool:
    return isinstance(step.left, Value) and isinstance(step.right, Line | Substituted)
