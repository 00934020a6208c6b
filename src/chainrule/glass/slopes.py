"""What finite differences say of a program: the slope of its cost by any symbol, given or made on the way.

A value made on the way is moved by running the program with it given: whatever its equation says is set aside, and all
that reads it follows.  Central differences of fourth order, in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.reference import ReferenceEngine
from chainrule.program.equation import Program
from chainrule.program.symbol import Symbol

Array = NDArray[Any]
STEPS = (2e-4, 2e-5, 2e-6)
"""A step that crosses a kink (relu's, say) is wrong, and a small one is rough: the best of the three counts."""


class Slopes:
    """The cost of a program near given values.

    values: every given symbol's and every made symbol's value, in float64.
    """

    def __init__(self, program: Program, given: Mapping[str, Any]) -> None:
        assert program.objective is not None
        self.objective = program.objective
        self.program = program.pruned([*(s for s in (program.objective,))], update=False)
        self.given = dict(given)
        self.engine = ReferenceEngine(np.dtype(np.float64))
        self._tails: dict[str, Program] = {}
        names = tuple(dict.fromkeys(e.target.name for e in self.program.equations))
        self.values: dict[str, Any] = dict(self.given)
        self.values |= self.engine.run(self.program, self.given, names)
        self.cost = float(self.values[self.objective.name])

    def _tail(self, symbol: Symbol) -> Program:
        """What comes after the symbol: the equations that its value reaches."""
        if symbol.name not in self._tails:
            reached = {symbol.name}
            kept = []
            for equation in self.program.equations:
                if equation.target.name != symbol.name and any(s.name in reached for s in equation.operands):
                    reached.add(equation.target.name)
                    kept.append(equation)
            self._tails[symbol.name] = Program(self.program.given, tuple(kept), self.objective)
        return self._tails[symbol.name]

    def cost_with(self, symbol: Symbol, array: Array) -> float:
        """J with the symbol's value replaced."""
        tail = self._tail(symbol)
        if not any(e.target == self.objective for e in tail.forward):
            return self.cost
        values = self.engine.run(tail, {**self.values, symbol.name: array}, (self.objective.name,))
        return float(values[self.objective.name])

    def along(self, symbol: Symbol, direction: Array, step: float) -> float:
        """dJ/dε of the symbol moved by ε times the direction."""
        at = np.asarray(self.values[symbol.name], np.float64)
        cost = {k: self.cost_with(symbol, at + k * step * direction) for k in (-2, -1, 1, 2)}
        return (8 * (cost[1] - cost[-1]) - (cost[2] - cost[-2])) / (12 * step)

    def nearest(self, symbol: Symbol, direction: Array, near: float) -> float:
        """The slope along a direction: of the steps' answers the one nearest to `near`; one that is close will do."""
        best = np.inf
        for step in STEPS:
            answer = self.along(symbol, direction, step)
            best = answer if abs(answer - near) < abs(best - near) else best
            if abs(best - near) <= 1e-8 * abs(near) + self.rounding() * 1e-3:
                return float(best)
        agrees = abs(best - near) <= 1e-6 * max(abs(best), abs(near))
        return float(best) if agrees or not self._has_a_corner(symbol, direction) else near

    def _has_a_corner(self, symbol: Symbol, direction: Array) -> bool:
        """Whether the cost has a corner at the very value: there is no slope to compare with (relu's at 0, say).

        A corner has two slopes, which differ as much however small the step is; of a smooth cost they come together.
        """
        at = np.asarray(self.values[symbol.name], np.float64)
        sides = []
        for step in STEPS[-2:]:
            # (4 J(h) - J(2h) - 3 J(0)) / 2h: of second order, from one side
            cost = {k: self.cost_with(symbol, at + k * step * direction) for k in (-2, -1, 1, 2)}
            right = (4 * cost[1] - cost[2] - 3 * self.cost) / (2 * step)
            left = (3 * self.cost - 4 * cost[-1] + cost[-2]) / (2 * step)
            sides.append((left, right))
        gap = sides[1][1] - sides[1][0]
        same = max(abs(a - b) for a, b in zip(*sides, strict=True))
        noise = 1e-3 * max(abs(value) for value in sides[1]) + 1e-3 * self.rounding() / STEPS[-1]
        return abs(gap) > 100 * same and abs(gap) > noise

    def entries(self, symbol: Symbol, places: Array, near: Array) -> Array:
        """dJ/dT at some of its elements (flat indices): of the steps' answers the one nearest to `near`."""
        at = np.asarray(self.values[symbol.name], np.float64)
        slopes = np.empty(len(places))
        for k, place in enumerate(places):
            direction = np.zeros(at.size)
            direction[place] = 1
            slopes[k] = self.nearest(symbol, direction.reshape(at.shape), float(near[k]))
        return slopes

    def rounding(self) -> float:
        """What rounding of the cost alone may leave in a slope."""
        return 1e-9 * (1 + abs(self.cost))
