"""Averages of weights over the steps of a fit: the share of the newest weights, as a formula over the step's number.

    Ā ← Ā + s (W - Ā)        after each step; at the end of the fit the network has Ā

t is the number of the step, from 0; n the steps in an epoch; T the steps of the fit, as for schedules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from chainrule.calls import constructor
from chainrule.describe.schedules import Column, Rates, Schedule
from chainrule.errors import is_number


@constructor
@dataclass(frozen=True)
class ExponentialAverage(Schedule):
    """s = (1 - β) / (1 - β^(t+1)): weights of k steps ago count β^k, and all of them together 1, from the first on.

    Raises SpecError.  Source: Polyak, Juditsky 1992; corrected for its start as Adam's means are.
    """

    decay: float
    """β, above 0 and below 1."""

    def _conditions(self) -> list[tuple[str, str, bool]]:
        return [("decay", "above 0 and below 1", is_number(self.decay) and 0 < self.decay < 1)]

    def _formula(self, step: Rates, steps_per_epoch: int, total_steps: int) -> Rates:
        return (1 - self.decay) / -np.expm1((step + 1) * math.log(self.decay))


@constructor
@dataclass(frozen=True)
class LastAverage(Schedule):
    """s = 1 before the last k steps, then 1, 1/2, 1/3, …: the mean over the weights after each of the last k steps.

    A fit that ends before these steps keeps its last weights.  Raises SpecError unless one of both is given.
    Source: Izmailov et al. 2018.
    """

    epochs: float = 0.0
    """k / n, also parts of epochs."""
    steps: int = 0
    """k"""

    def _conditions(self) -> list[tuple[str, str, bool]]:
        one = (self.epochs > 0) != (self.steps > 0)
        return [
            ("epochs", "a number above 0, or left out where steps are given", self.epochs >= 0 and one),
            ("steps", "a whole number above 0, or left out where epochs are given", self.steps >= 0 and one),
        ]

    def _formula(self, step: Rates, steps_per_epoch: int, total_steps: int) -> Rates:
        count = self.steps or max(1, round(self.epochs * steps_per_epoch))
        return 1 / np.maximum(1, step + 1 - max(0, total_steps - count))


def column(average: float | Schedule) -> Column:
    """The share of each step: of a number β, of the exponential average."""
    schedule = average if isinstance(average, Schedule) else ExponentialAverage(average)
    return Column(schedule, 0.0, math.nextafter(1.0, 2.0), "from 0 to 1")
