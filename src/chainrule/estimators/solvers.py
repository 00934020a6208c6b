"""scikit-learn's solvers as update rules, so that they compile, and what they carry from epoch to epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.optimizers import Optimizer, UpdateRule, update_rule
from chainrule.describe.schedules import RunningSchedule, Schedule, as_schedule
from chainrule.train.schedules import settings_of
from chainrule.train.state import OptimizerState


@dataclass(frozen=True, kw_only=True)
class VelocitySGD(Optimizer):
    """v ← μ v - lr g, w ← w + v; with Nesterov's step w ← w + μ v - lr g.  scikit-learn's "sgd".

    Another form than `SGD`: here a change of the learning rate does not rescale the velocity that is there.
    """

    momentum: float = 0.9
    """μ"""
    nesterov: bool = True
    """Whether the step looks ahead along the velocity."""

    def rule(self) -> UpdateRule:
        """The formulas."""
        if self.momentum == 0:
            return update_rule((), (("w", "w - lr * g"),))
        step = f"w + ({self.momentum} * V - lr * g)" if self.nesterov else "w + V"
        return update_rule((), (("V", f"{self.momentum} * V - lr * g"), ("w", step)))


@dataclass(frozen=True, kw_only=True)
class PlainAdam(Optimizer):
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← w - lr √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε).

    scikit-learn's "adam", and the paper's last remark of section 2: ε is added to the root of the uncorrected v, where
    `Adam` adds it to the corrected one.  Source: Kingma, Ba 2015.
    """

    beta1: float = 0.9
    """β₁"""
    beta2: float = 0.999
    """β₂"""
    epsilon: float = 1e-8
    """ε"""

    def rule(self) -> UpdateRule:
        """The formulas."""
        return update_rule(
            (("step_size", f"lr * sqrt(1 - {self.beta2} ** t) / (1 - {self.beta1} ** t)"),),
            (
                ("M", f"{self.beta1} * M + {1 - self.beta1!r} * g"),
                ("V", f"{self.beta2} * V + {1 - self.beta2!r} * g ** 2"),
                ("w", f"w - step_size * M / (sqrt(V) + {self.epsilon})"),
            ),
        )


class Solver:
    """An optimizer at work: what it carries from call to call, and the learning rate that scikit-learn's rules led to.

    It is the schedule of its fits (`RunningSchedule`).  mode: "constant", "invscaling" or "adaptive" (as there),
    "schedule" for one of chainrule's optimizers.  steps, epochs: of the fit.  seen: samples trained on before it.
    """

    def __init__(
        self, optimizer: Optimizer, mode: str, power_t: float, *, steps: int, epochs: int, seen: int = 0
    ) -> None:
        self.optimizer = optimizer
        self.mode = mode
        self.power_t = power_t
        self.carried = OptimizerState()
        self.seen = seen
        self.samples = 0
        """Of an epoch, which `observe` counts as seen."""
        self._schedule: RunningSchedule | None = None
        given = optimizer.learning_rate
        if mode == "schedule" or not isinstance(given, int | float):
            assert isinstance(given, int | float | Schedule)
            self.mode = "schedule"
            self._schedule = as_schedule(given).start(steps, steps * epochs)
            self.learning_rate = float(self._schedule.rates(0, 1)[0])
        else:
            self.learning_rate = float(given)
        self._first = self.learning_rate
        self.settings = settings_of(optimizer.columns(), steps, steps * epochs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As it was pickled.  Version 0.1.0 kept slots and steps itself, and the estimator alone the samples seen."""
        if "slots" in state:
            kept = {name: value for name, value in state.items() if name not in ("slots", "taken")}
            state = {**kept, "carried": OptimizerState(state["slots"], state["taken"]), "seen": 0, "samples": 0}
        vars(self).update({"settings": (), **state})

    def rates(self, first_step: int, count: int) -> NDArray[np.float64]:
        """The learning rates of the next steps."""
        if self._schedule is None:
            return np.full(count, self.learning_rate)
        rates = np.asarray(self._schedule.rates(first_step, count), np.float64)
        self.learning_rate = float(rates[-1])
        return rates

    def observe(self, cost: float) -> None:
        """invscaling: η / (samples seen + 1)^power_t from the next epoch on; a schedule is told the cost."""
        self.seen += self.samples
        if self.mode == "invscaling":
            self.learning_rate = self._first / (self.seen + 1) ** self.power_t
        elif self._schedule is not None:
            self._schedule.observe(cost)

    def state(self) -> dict[str, Any]:
        """The learning rate, the samples seen, and what the schedule remembers."""
        schedule = None if self._schedule is None else self._schedule.state()
        return {"learning_rate": self.learning_rate, "seen": self.seen, "schedule": schedule}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        self.learning_rate, self.seen = state["learning_rate"], state["seen"]
        if self._schedule is not None:
            self._schedule.restore(state["schedule"])

    def settles(self) -> str:
        """What follows when nothing improved for long: "" to stop, else what was done to go on (adaptive: η / 5)."""
        if self.mode != "adaptive" or self.learning_rate <= 1e-6:
            return ""
        self.learning_rate /= 5.0
        return f"Setting learning rate to {self.learning_rate:f}"


def solver_of(owner: Any, steps: int) -> Solver:
    """The optimizer that an estimator's parameters describe, at its beginning.  steps: of an epoch."""
    rate, clip = float(owner.learning_rate_init), None if owner.clip_norm is None else float(owner.clip_norm)
    mode = "constant"
    optimizer: Optimizer
    if owner.optimizer is not None:
        mode, optimizer = "schedule", owner.optimizer
        if clip is not None:
            optimizer = replace(optimizer, clip_norm=clip)
    elif owner.solver == "sgd":
        mode = owner.learning_rate
        momentum, nesterov = float(owner.momentum), bool(owner.nesterovs_momentum)
        optimizer = VelocitySGD(rate, clip_norm=clip, momentum=momentum, nesterov=nesterov)
    else:
        beta1, beta2, epsilon = float(owner.beta_1), float(owner.beta_2), float(owner.epsilon)
        optimizer = PlainAdam(rate, clip_norm=clip, beta1=beta1, beta2=beta2, epsilon=epsilon)
    return Solver(optimizer, mode, float(owner.power_t), steps=steps, epochs=int(owner.max_iter), seen=int(owner.t_))
