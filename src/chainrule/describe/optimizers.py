"""Optimizers: update rules as scalar formulas over w (the weight), g (its gradient), slots, lr, t (the step, from 1).

An optimizer is data: `shared` scalars computed once a step, then `steps`, each overwriting a slot or w, in this order.
Slots start at 0 and are named SLOT_PARAMETER (`M_W1`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from numbers import Real
from typing import ClassVar, Protocol, runtime_checkable

from chainrule.errors import SpecError, expected, is_number, unknown_name
from chainrule.program.parse import formula
from chainrule.program.scalar import Expression


@runtime_checkable
class ScheduleLike(Protocol):
    """A learning rate that changes from step to step (see chainrule.train.schedules)."""

    def to_dict(self) -> Mapping[str, object]:
        """Its settings."""


@dataclass(frozen=True)
class UpdateRule:
    """An optimizer's step, as formulas."""

    shared: tuple[tuple[str, Expression], ...]
    """(name, formula in lr and t): what all parameters share."""
    steps: tuple[tuple[str, Expression], ...]
    """(slot or "w", formula in w, g, slots, shared, lr, t), in order."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of what is remembered between steps."""
        return tuple(name for name, _ in self.steps if name != "w")


def update_rule(shared: Sequence[tuple[str, str]], steps: Sequence[tuple[str, str]]) -> UpdateRule:
    """The rule from its formulas as texts: shared scalars in lr and t; steps in w, g, slots, shared, lr and t."""
    return _parsed(tuple(shared), tuple(steps))


@lru_cache(maxsize=256)
def _parsed(shared: tuple[tuple[str, str], ...], steps: tuple[tuple[str, str], ...]) -> UpdateRule:
    names = ["lr", "t"]
    made_shared = []
    for name, text in shared:
        made_shared.append((name, formula(text, names)))
        names.append(name)
    names += ["w", "g", *(name for name, _ in steps if name != "w")]
    return UpdateRule(tuple(made_shared), tuple((name, formula(text, names)) for name, text in steps))


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The base of all optimizers.  Raises SpecError, all faults at once."""

    learning_rate: float | ScheduleLike = field(default=0.01, kw_only=False)
    """A positive number or a schedule."""
    clip_norm: float | None = None
    """Where given, all gradients are scaled by min(1, clip_norm / (‖g‖ + 1e-6)), ‖g‖ the norm over all parameters
    together, of any finite size."""

    reason: ClassVar[str] = ""
    """What its steps do, for people."""
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {}

    def __post_init__(self) -> None:
        faults = []
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Real) and not isinstance(value, int | float):
                object.__setattr__(self, item.name, float(value))  # NumPy's numbers as Python's
        rate = self.learning_rate
        if isinstance(rate, int | float) and not isinstance(rate, bool):
            if not (is_number(rate) and rate > 0):
                faults.append(expected("learning_rate", "a finite number above 0", rate))
        elif not isinstance(rate, ScheduleLike):
            faults.append(expected("learning_rate", "a number or a schedule", rate))
        if self.clip_norm is not None and not (is_number(self.clip_norm) and self.clip_norm > 0):
            faults.append(expected("clip_norm", "None or above 0", self.clip_norm))
        for name, (low, high, words) in self._ranges.items():
            value = getattr(self, name)
            if not (is_number(value) and low <= value < high):
                faults.append(expected(name, words, value))
        if faults:
            raise SpecError([f"{type(self).__name__}: {fault}" for fault in faults])

    def rule(self) -> UpdateRule:
        """The formulas."""
        raise TypeError(f"{type(self).__name__} does not say its update rule: define rule().")

    def to_dict(self) -> dict[str, object]:
        """The settings, ready for JSON."""
        result: dict[str, object] = {"type": type(self).__name__}
        for item in fields(self):
            value = getattr(self, item.name)
            result[item.name] = value.to_dict() if isinstance(value, ScheduleLike) else value
        return result


def _rest(share: float) -> float:
    """1 - share, as a person would write it (0.1 for 0.9)."""
    from decimal import Decimal  # slow to load, and not every network is trained

    return float(1 - Decimal(repr(float(share))))


_FRACTION = (0.0, 1.0, "at least 0 and less than 1")
_NOT_NEGATIVE = (0.0, math.inf, "at least 0")


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Gradient descent: w ← w - lr g; with momentum μ: v ← μ v + g, w ← w - lr v; Nesterov: w ← w - lr (g + μ v)."""

    momentum: float = 0.0
    """μ, from 0 up to and without 1."""
    nesterov: bool = False
    """Whether the step looks ahead along the velocity."""

    reason = "gradient descent: a step against the gradient"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {"momentum": _FRACTION}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise SpecError("SGD: nesterov=True needs a momentum above 0, for example momentum=0.9.")

    def rule(self) -> UpdateRule:
        """The formulas."""
        if self.momentum == 0:
            return update_rule([], [("w", "w - lr * g")])
        step = f"w - lr * (g + {self.momentum} * V)" if self.nesterov else "w - lr * V"
        return update_rule([], [("V", f"{self.momentum} * V + g"), ("w", step)])


@dataclass(frozen=True, kw_only=True)
class Adagrad(Optimizer):
    """s ← s + g², w ← w - lr g / (√s + ε).  Source: Duchi et al. 2011."""

    epsilon: float = 1e-10
    """ε"""

    reason = "Adagrad: steps divided by the root of the summed squares of the gradients"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {"epsilon": _NOT_NEGATIVE}

    def rule(self) -> UpdateRule:
        """The formulas."""
        return update_rule([], [("S", "S + g ** 2"), ("w", f"w - lr * g / (sqrt(S) + {self.epsilon})")])


@dataclass(frozen=True, kw_only=True)
class RMSProp(Optimizer):
    """s ← ρ s + (1 - ρ) g², w ← w - lr g / (√s + ε); with momentum on that step.  Source: Tieleman, Hinton 2012."""

    decay: float = 0.99
    """ρ"""
    momentum: float = 0.0
    """μ of the step; 0 for none."""
    epsilon: float = 1e-8
    """ε"""

    reason = "RMSProp: steps divided by the root of the running mean of squared gradients"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "decay": _FRACTION,
        "momentum": _FRACTION,
        "epsilon": _NOT_NEGATIVE,
    }

    def rule(self) -> UpdateRule:
        """The formulas."""
        mean = ("S", f"{self.decay} * S + {_rest(self.decay)} * g ** 2")
        step = f"g / (sqrt(S) + {self.epsilon})"
        if self.momentum == 0:
            return update_rule([], [mean, ("w", f"w - lr * {step}")])
        return update_rule([], [mean, ("V", f"{self.momentum} * V + {step}"), ("w", "w - lr * V")])


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← w - lr m̂ / (√v̂ + ε), m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).

    Source: Kingma, Ba 2015.
    """

    learning_rate: float | ScheduleLike = field(default=0.001, kw_only=False)
    """A positive number or a schedule."""
    beta1: float = 0.9
    """β₁"""
    beta2: float = 0.999
    """β₂"""
    epsilon: float = 1e-8
    """ε"""

    reason = "Adam: running means of the gradient and of its square, both corrected for their start at 0"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "beta1": _FRACTION,
        "beta2": _FRACTION,
        "epsilon": _NOT_NEGATIVE,
    }

    def _decayed(self) -> str:
        return "w"

    def rule(self) -> UpdateRule:
        """The formulas; what depends on t alone is computed once a step."""
        shared = [("step_size", f"lr / (1 - {self.beta1} ** t)"), ("root", f"1 / sqrt(1 - {self.beta2} ** t)")]
        return update_rule(
            shared,
            [
                ("M", f"{self.beta1} * M + {_rest(self.beta1)} * g"),
                ("V", f"{self.beta2} * V + {_rest(self.beta2)} * g ** 2"),
                ("w", f"{self._decayed()} - step_size * M / (sqrt(V) * root + {self.epsilon})"),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled decay: w ← (1 - lr λ) w - lr m̂ / (√v̂ + ε).  Source: Loshchilov, Hutter 2019."""

    weight_decay: float = 0.01
    """λ"""

    reason = "AdamW: Adam, with the weights themselves shrunk a little"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {**Adam._ranges, "weight_decay": _NOT_NEGATIVE}

    def _decayed(self) -> str:
        return f"(w - lr * {self.weight_decay} * w)" if self.weight_decay else "w"


OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
}


def as_optimizer(given: str | Optimizer | None) -> Optimizer:
    """The optimizer as it is; that of the name with its own settings; Adam for None.  Raises SpecError."""
    if given is None:
        return Adam()
    if isinstance(given, Optimizer):
        return given
    if isinstance(given, str):
        if given not in OPTIMIZERS:
            raise SpecError(unknown_name("optimizer", given, OPTIMIZERS))
        return OPTIMIZERS[given]()
    hint = f"Call it: {given.__name__}(...)." if isinstance(given, type) and issubclass(given, Optimizer) else ""
    raise SpecError(expected("optimizer", "a name or an Optimizer such as cr.Adam(1e-3)", given, hint))


def rule_of(optimizer: Optimizer | None) -> object:
    """What a program has of its optimizer: the same for any learning rate, which is given to it step by step."""
    if isinstance(optimizer, Optimizer):
        return type(optimizer).__name__, optimizer.rule(), optimizer.clip_norm
    return optimizer
