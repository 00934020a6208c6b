"""What a fit works on: samples with their targets and weights, and those held out, with their scores."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.losses import Targets
from chainrule.estimators.arrays import Samples
from chainrule.network import Network

Array = NDArray[Any]


@dataclass
class Task:
    """Samples, their targets and their weights, ready for the engine."""

    samples: Samples
    """X (m, n)."""
    targets: Array
    """Labels (m,) or rows (m, K)."""
    weights: Array | None
    """(m, 1), or None."""

    @property
    def kind(self) -> Targets:
        """Whether the targets are labels."""
        return "labels" if self.targets.dtype == np.int64 else "values"

    def whole(self) -> dict[str, Array]:
        """The engine's data of all samples, for hooks that look at them; nothing where they are sparse and many."""
        rows = self.samples.dense
        return {} if rows is None else self.given(rows, None)

    def given(self, rows: Array, chosen: NDArray[np.int64] | slice | None) -> dict[str, Array]:
        """The engine's data: these rows of X, and the targets and weights of the chosen samples (None: of all)."""
        data = {"X": rows, "y" if self.kind == "labels" else "Y": self.targets}
        if self.weights is not None:
            data["w"] = self.weights
        if chosen is None:
            return data
        return {k: v if k == "X" else np.ascontiguousarray(v[chosen]) for k, v in data.items()}


@dataclass
class Held:
    """Samples held out of training."""

    task: Task
    """As the engine takes them."""
    X: Any
    """As scorers want them; None where other workers have some of them."""
    y: Any
    """In the user's own labels."""
    weights: Array | None
    """(m,), or None."""

    def content(self) -> list[Array]:
        """The arrays that hold them, to know them again by."""
        return [*self.task.samples.content.values(), self.task.targets]

    def evaluate(self, net: Network) -> tuple[Array, float]:
        """Ŷ and J: Σ_i w_i L_i / Σ w_i plus the penalties once."""
        predictions, costs = [], PartCosts(net)
        for piece, rows in self.task.samples.chunks():
            w = None if self.weights is None else self.weights[piece]
            size = float(len(rows) if w is None else w.sum())
            if size == 0:
                predictions.append(net.predict(rows))
                continue
            prediction, cost = net.predict_and_cost(rows, self.task.targets[piece], sample_weight=w)
            predictions.append(prediction)
            costs.add(size, cost)
        return np.concatenate(predictions), costs.mean()


class PartCosts:
    """J of samples that come in C parts, of s_c samples (or weights) each: (Σ s_c J_c - (C - 1) P) / Σ s_c.

    Each part's J holds the penalty P / s_c, of which there is to be one.  Gradients are added up in the same way.
    """

    def __init__(self, net: Network) -> None:
        self.net = net
        self.size = self.cost = 0.0
        self.parts = 0
        self.gradients: dict[str, Array] = {}

    def add(self, size: float, cost: float, gradients: Mapping[str, Array] | None = None) -> None:
        """A part's J, and its gradient by each parameter where it is asked for."""
        self.parts += 1
        self.size += size
        self.cost += size * cost
        for name, gradient in (gradients or {}).items():
            so_far = self.gradients.get(name)
            self.gradients[name] = size * gradient if so_far is None else so_far + size * gradient

    def mean(self) -> float:
        """J; `gradients` are its own from here on.  NaN where there was no part."""
        if not self.parts:
            return math.nan
        if self.parts > 1:
            penalty, slopes = self.net.penalty()
            self.cost -= (self.parts - 1) * penalty
            for name in slopes.keys() & self.gradients.keys():
                self.gradients[name] = self.gradients[name] - (self.parts - 1) * slopes[name]
        self.gradients = {name: gradient / self.size for name, gradient in self.gradients.items()}
        return self.cost / self.size


def scored(owner: Any, scorer: Callable[..., Any], held: Held, prediction: Array) -> float:
    """A scorer's value on the samples held out; they are arrays without names, so names are not asked for.

    prediction: Ŷ of these, which is all that there is where other workers have some of the samples.
    """
    nameless = copy.copy(owner)
    for name in ("feature_names_in_", "encoder_"):
        vars(nameless).pop(name, None)
    if held.X is None:
        vars(nameless)["_forward"] = lambda X: prediction
        held = replace(held, X=np.empty((len(prediction), 0)))
    if held.weights is None:
        return float(scorer(nameless, held.X, held.y))
    return float(scorer(nameless, held.X, held.y, sample_weight=held.weights))
