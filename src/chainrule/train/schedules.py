"""The numbers of each step of a fit, as schedules say them; and where version 0.1.0 had the schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.describe import schedules
from chainrule.describe.schedules import POSITIVE, Column, Rates, RunningSchedule, as_schedule
from chainrule.errors import SpecError, expected


def __getattr__(name: str) -> Any:
    """A schedule under its place in version 0.1.0: pickles of it, and imports."""
    return getattr(schedules, name)


def rates_of(schedule: RunningSchedule, step: int, steps: int, dtype: np.dtype[Any]) -> Rates:
    """The learning rate of each step of an epoch, finite in the dtype too; an own schedule may say anything.

    Raises SpecError.
    """
    return _checked(schedule.rates(step, steps), step, steps, "The learning rate", (5e-324, math.inf, POSITIVE), dtype)


@dataclass(frozen=True)
class Setting:
    """A number of each step beside the learning rate, within one fit."""

    name: str
    """Its symbol's."""
    schedule: RunningSchedule
    """What says it."""
    limits: tuple[float, float, str]
    """The least that it may be, what it must stay below, and both in words."""

    def numbers(self, step: int, steps: int, dtype: np.dtype[Any]) -> Rates:
        """Of each step of an epoch.  Raises SpecError."""
        return _checked(self.schedule.rates(step, steps), step, steps, self.name, self.limits, dtype)


def settings_of(columns: Mapping[str, Column], steps_per_epoch: int, total_steps: int) -> tuple[Setting, ...]:
    """The settings of a fit that go by a schedule, at its beginning (see `Optimizer.columns`)."""
    return tuple(
        Setting(name, as_schedule(c.value).start(steps_per_epoch, total_steps), (c.low, c.high, c.words))
        for name, c in columns.items()
    )


def numbers_at(columns: Mapping[str, Column], step: int) -> dict[str, float]:
    """The settings of one step, from 1, as in a fit of that many steps and one more."""
    return {name: float(as_schedule(c.value).start(1, step + 1).rates(step - 1, 1)[0]) for name, c in columns.items()}


def _checked(
    given: Rates, step: int, steps: int, what: str, limits: tuple[float, float, str], dtype: np.dtype[Any]
) -> Rates:
    """One number a step, within the limits and what the dtype holds.  Raises SpecError."""
    low, high, words = limits
    rates = np.asarray(given, np.float64)
    if rates.shape != (steps,):
        raise SpecError(expected("The schedule's rates", f"of shape ({steps},)", rates.shape))
    largest = np.finfo(dtype).max
    fine = (rates >= low) & (rates < high) & (rates <= largest)  # what is no number is none of these
    if not fine.all():
        wrong = int(np.flatnonzero(~fine)[0])
        raise SpecError(expected(f"{what} of step {step + wrong + 1}", f"{words} in {dtype}", float(rates[wrong])))
    return rates
