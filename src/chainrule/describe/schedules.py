"""Schedules: the learning rate, or another setting, of every step of a fit, as a formula over the step's number.

In the formulas t is the number of the step, from 0 over the whole fit; n the steps in an epoch; T the steps of the fit;
η the schedule's `rate`.  A schedule is a frozen description (it can be compared, printed and written as JSON).  What
changes while training runs lives in the object that `start` returns, so one schedule serves any number of fits:

    running = schedule.start(steps_per_epoch, total_steps)
    running.rates(first_step, count)     # before the steps run
    running.observe(cost)                # after every epoch; only OnPlateau listens
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.calls import constructor
from chainrule.errors import SpecError, expected, unknown_name

Rates = NDArray[np.float64]

# A rate stays positive also in float32, however long a decay goes on.
_SMALLEST_RATE = float(np.finfo(np.float32).tiny)


class RunningSchedule(Protocol):
    """A schedule within one fit."""

    def rates(self, first_step: int, count: int) -> Rates:
        """The learning rates of the steps first_step, ..., first_step + count - 1 (from 0)."""

    def observe(self, cost: float) -> None:
        """Tell the cost after an epoch: of the validation data where there are any."""

    def state(self) -> dict[str, Any]:
        """What it remembers beside the number of the step, as plain values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""


@dataclass(frozen=True)
class Schedule(ABC):
    """The base of every schedule; a subclass gives its fields, their checks and `_formula`.

    Raises SpecError with every fault of the fields at once.
    """

    kinds: ClassVar[dict[str, type[Schedule]]]

    def __post_init__(self) -> None:
        faults: list[str] = []
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            whole = field.type == "int"
            if isinstance(given, bool | np.bool_) or not isinstance(given, Integral if whole else Real):
                kind = "an integer" if whole else "a number"
                faults.append(expected(f"The '{field.name}' of {type(self).__name__}", kind, given))
            else:
                # Plain numbers, so that what came as a NumPy scalar can be written as JSON.
                object.__setattr__(self, field.name, (int if whole else float)(getattr(self, field.name)))
        if not faults:
            faults = [
                expected(f"The '{name}' of {type(self).__name__}", allowed, getattr(self, name))
                for name, allowed, holds in self._conditions()
                if not holds
            ]
        if faults:
            raise SpecError(faults)

    @abstractmethod
    def _conditions(self) -> list[tuple[str, str, bool]]:
        """(field, what is allowed, whether it holds) for every field."""

    @abstractmethod
    def _formula(self, step: Rates, steps_per_epoch: int, total_steps: int) -> Rates:
        """The rates at the given steps."""

    def rates(self, first_step: int, count: int, steps_per_epoch: int, total_steps: int) -> Rates:
        """The learning rates of `count` steps from `first_step` on (from 0); shape (count,).

        Raises SpecError unless first_step and count are at least 0, and the other two at least 1.
        """
        sizes = {"first_step": (first_step, 0), "count": (count, 0)}
        sizes |= {"steps_per_epoch": (steps_per_epoch, 1), "total_steps": (total_steps, 1)}
        faults = [
            expected(f"'{name}'", f"an integer of at least {least}", given)
            for name, (given, least) in sizes.items()
            if not isinstance(given, Integral) or given < least
        ]
        if faults:
            raise SpecError(faults)
        step = np.arange(first_step, first_step + count, dtype=np.float64)
        return np.maximum(self._formula(step, int(steps_per_epoch), int(total_steps)), _SMALLEST_RATE)

    def start(self, steps_per_epoch: int, total_steps: int) -> RunningSchedule:
        """The schedule at the beginning of a fit."""
        return Fixed(self, steps_per_epoch, total_steps)

    def to_dict(self) -> dict[str, Any]:
        """The schedule as JSON can hold it: {"kind": "StepDecay", "rate": 0.1, ...}."""
        return {"kind": type(self).__name__, **dataclasses.asdict(self)}


class Fixed:
    """A schedule that depends on the step alone."""

    def __init__(self, schedule: Schedule, steps_per_epoch: int, total_steps: int) -> None:
        self._schedule = schedule
        self._steps_per_epoch = steps_per_epoch
        self._total_steps = total_steps

    def rates(self, first_step: int, count: int) -> Rates:
        return self._schedule.rates(first_step, count, self._steps_per_epoch, self._total_steps)

    def observe(self, cost: float) -> None:
        """Nothing: the formula does not ask for the cost."""

    def state(self) -> dict[str, Any]:
        """Nothing: the rates follow from the step."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing."""


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _fraction(value: float) -> bool:
    return 0 < value <= 1


POSITIVE = "a finite number above 0"
"""What a learning rate is."""


@constructor
@dataclass(frozen=True)
class Constant(Schedule):
    """η at every step."""

    rate: float
    """η"""

    def _conditions(self) -> list[tuple[str, str, bool]]:
        return [("rate", POSITIVE, _positive(self.rate))]

    def _formula(self, step: Rates, steps_per_epoch: int, total_steps: int) -> Rates:
        return np.full_like(step, self.rate)


@constructor
@dataclass(frozen=True)
class StepDecay(Schedule):
    """η · factor^⌊e / every⌋ in epoch e = ⌊t / n⌋, from 0; `every` counts epochs."""

    rate: float
    """η"""
    every: int
    """Epochs between two steps."""
    factor: float = 0.1
    """Of each step."""

    def _conditions(self) -> list[tuple[str, str, bool]]:
        return [
            ("rate", POSITIVE, _positive(self.rate)),
            ("every", "an integer of at least 1 (epochs)", self.every >= 1),
            ("factor", "above 0 and at most 1", _fraction(self.factor)),
        ]

    def _formula(self, step: Rates, steps_per_epoch: int, total_steps: int) -> Rates:
        return self.rate * self.factor ** np.floor(np.floor(step / steps_per_epoch) / self.every)


@constructor
@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """η · decay^(t / n): smoothly, times `decay` in an epoch."""

    rate: float
    """η"""
    decay: float
    """Of an epoch."""

    def _conditions(self) -> list[tuple[str, str, bool]]:
        return [
            ("rate", POSITIVE, _positive(self.rate)),
            ("decay", "above 0 and at most 1", _fraction(self.decay)),
        ]

    def _formula(self, step: Rates, steps_per_epoch: int, total_steps: int) -> Rates:
        return self.rate * self.decay ** (step / steps_per_epoch)


@constructor
@dataclass(frozen=True)
class Cosine(Schedule):
    """Linear warm-up to η over the first `warmup` epochs (w = warmup · n steps), then half a cosine wave down.

    η (t + 1) / w                                               while t < w
    final + (η - final) / 2 · (1 + cos(π (t - w) / (T - w)))    afterwards

    Source: Loshchilov and Hutter, SGDR (2017), one cycle; the warm-up from Goyal et al. (2017).
    """

    rate: float
    """η"""
    warmup: float = 0.0
    """Epochs, also parts of one."""
    final: float = 0.0
    """The rate that would be reached at step T."""

    def _conditions(self) -> list[tuple[str, str, bool]]:
        return [
            ("rate", POSITIVE, _positive(self.rate)),
            ("warmup", "a finite number of epochs, 0 or more", math.isfinite(self.warmup) and self.warmup >= 0),
            ("final", f"from 0 to the rate, {self.rate}", 0 <= self.final <= self.rate),
        ]

    def _formula(self, step: Rates, steps_per_epoch: int, total_steps: int) -> Rates:
        warm = round(self.warmup * steps_per_epoch)
        way = np.clip((step - warm) / max(total_steps - warm, 1), 0.0, 1.0)
        wave = self.final + (self.rate - self.final) / 2 * (1 + np.cos(np.pi * way))
        return np.where(step < warm, self.rate * (step + 1) / max(warm, 1), wave)


@constructor
@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from η / divide_start to η over the first `rise` of all steps, then down to η / divide_start / divide_end.

    Both ways are half a cosine wave: a + (b - a) / 2 · (1 - cos(π s)), s from 0 to 1 along the way; the peak is at step
    rise · T - 1, the end at step T - 1.  The momentum stays as it is.
    Source: Smith and Topin, Super-Convergence (2018), with the defaults of PyTorch's OneCycleLR.
    """

    rate: float
    """η"""
    rise: float = 0.3
    """The part of all steps that goes up."""
    divide_start: float = 25.0
    """η over the first rate."""
    divide_end: float = 1e4
    """The first rate over the last."""

    def _conditions(self) -> list[tuple[str, str, bool]]:
        return [
            ("rate", POSITIVE, _positive(self.rate)),
            ("rise", "above 0 and below 1 (a part of all steps)", 0 < self.rise < 1),
            ("divide_start", "a finite number, 1 or more", math.isfinite(self.divide_start) and self.divide_start >= 1),
            ("divide_end", "a finite number, 1 or more", math.isfinite(self.divide_end) and self.divide_end >= 1),
        ]

    def _formula(self, step: Rates, steps_per_epoch: int, total_steps: int) -> Rates:
        peak = max(self.rise * total_steps - 1, 0.0)
        first = self.rate / self.divide_start
        last = first / self.divide_end
        up = np.clip(step / max(peak, 1e-12), 0.0, 1.0)
        down = np.clip((step - peak) / max(total_steps - 1 - peak, 1e-12), 0.0, 1.0)
        rising = first + (self.rate - first) / 2 * (1 - np.cos(np.pi * up))
        falling = self.rate + (last - self.rate) / 2 * (1 - np.cos(np.pi * down))
        return np.where(step < peak, rising, falling)


@constructor
@dataclass(frozen=True)
class InverseScaling(Schedule):
    """η / (t + 1)^power; t counts steps."""

    rate: float
    """η"""
    power: float = 0.5
    """Of t + 1."""

    def _conditions(self) -> list[tuple[str, str, bool]]:
        return [
            ("rate", POSITIVE, _positive(self.rate)),
            ("power", "a finite number, 0 or more", math.isfinite(self.power) and self.power >= 0),
        ]

    def _formula(self, step: Rates, steps_per_epoch: int, total_steps: int) -> Rates:
        return self.rate / (step + 1) ** self.power


@constructor
@dataclass(frozen=True)
class OnPlateau(Schedule):
    """η, multiplied by `factor` whenever the cost has not improved for more than `patience` epochs in a row.

    An epoch improves when its cost is below best - threshold · |best|; a cost that is not finite never improves.
    After a reduction the count starts anew.
    """

    rate: float
    """η"""
    factor: float = 0.1
    """Of each reduction."""
    patience: int = 10
    """Epochs without an improvement that are borne."""
    minimum: float = 0.0
    """No rate below it."""
    threshold: float = 1e-4
    """The part of |best| that an improvement must exceed."""
    cooldown: int = 0
    """Epochs after a reduction that do not count."""

    def _conditions(self) -> list[tuple[str, str, bool]]:
        return [
            ("rate", POSITIVE, _positive(self.rate)),
            ("factor", "above 0 and below 1", 0 < self.factor < 1),
            ("patience", "an integer of at least 0 (epochs)", self.patience >= 0),
            ("cooldown", "an integer of at least 0 (epochs)", self.cooldown >= 0),
            ("minimum", f"from 0 to the rate, {self.rate}", 0 <= self.minimum <= self.rate),
            ("threshold", "a finite number, 0 or more", math.isfinite(self.threshold) and self.threshold >= 0),
        ]

    def _formula(self, step: Rates, steps_per_epoch: int, total_steps: int) -> Rates:
        """The rate before any cost is known."""
        return np.full_like(step, self.rate)

    def start(self, steps_per_epoch: int, total_steps: int) -> RunningSchedule:
        """The schedule at the beginning of a fit: the full rate, nothing observed."""
        return _Plateau(self)


class _Plateau:
    """OnPlateau within one fit: the rate now, the best cost, and the epochs since."""

    _cooling = 0
    """Epochs to come that do not count; of pickles of version 0.1.0, which knew of none."""

    def __init__(self, spec: OnPlateau) -> None:
        self._spec = spec
        self._rate = spec.rate
        self._best = math.inf
        self._waited = 0
        self._cooling = 0

    def rates(self, first_step: int, count: int) -> Rates:
        return np.full(count, max(self._rate, _SMALLEST_RATE))

    def observe(self, cost: float) -> None:
        spec = self._spec
        # inf - inf would be no number: the first finite cost is the best so far.
        limit = self._best - spec.threshold * abs(self._best) if math.isfinite(self._best) else math.inf
        if math.isfinite(cost) and cost < limit:
            self._best = cost
            self._waited = 0
        elif not self._cooling:
            self._waited += 1
        self._cooling = max(0, self._cooling - 1)
        if self._waited > spec.patience:
            self._rate = max(self._rate * spec.factor, spec.minimum)
            self._waited, self._cooling = 0, spec.cooldown

    def state(self) -> dict[str, Any]:
        """The rate, the best cost, the epochs since, and those that are not counted yet."""
        return {"rate": self._rate, "best": self._best, "waited": self._waited, "cooling": self._cooling}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        self._rate, self._best = state["rate"], state["best"]
        self._waited, self._cooling = state["waited"], state["cooling"]


Schedule.kinds = {
    kind.__name__: kind for kind in (Constant, StepDecay, ExponentialDecay, Cosine, OneCycle, InverseScaling, OnPlateau)
}
SCHEDULES: Mapping[str, type[Constant] | type[Cosine] | type[OneCycle]] = {
    "constant": Constant,
    "cosine": Cosine,
    "one-cycle": OneCycle,
}
"""Those that the command has, by their names there."""


class Column(NamedTuple):
    """A number that is given for each step, beside the learning rate."""

    value: Any
    """The number of every step, or the schedule."""
    low: float = 5e-324
    """The least that it may be."""
    high: float = math.inf
    """What it must stay below."""
    words: str = "a finite number above 0"
    """The same in words."""


def schedule_from_dict(saved: Mapping[str, Any]) -> Schedule:
    """The schedule that `to_dict` wrote.  Raises SpecError for an unknown kind, an unknown or missing field."""
    name = saved.get("kind")
    if not isinstance(name, str) or name not in Schedule.kinds:
        raise SpecError(unknown_name("schedule", str(name), Schedule.kinds))
    kind = Schedule.kinds[name]
    given = {key: value for key, value in saved.items() if key != "kind"}
    fields = dataclasses.fields(kind)
    faults = [
        unknown_name(f"field of {name}", key, [field.name for field in fields])
        for key in given
        if key not in {field.name for field in fields}
    ]
    faults += [
        f"{name} needs the field {field.name!r}."
        for field in fields
        if field.name not in given and field.default is dataclasses.MISSING
    ]
    if faults:
        raise SpecError(faults)
    return kind(**given)


def as_schedule(learning_rate: object) -> Schedule:
    """A schedule as it is; a number as `Constant`.  Raises SpecError for anything else, or a rate that cannot be."""
    if isinstance(learning_rate, Schedule):
        return learning_rate
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, Real) or not _positive(float(learning_rate)):
        raise SpecError(expected("The learning rate", f"{POSITIVE}, or a schedule", learning_rate))
    return Constant(float(learning_rate))
