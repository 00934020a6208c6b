"""What a fit works on: samples with their targets and weights, and those held out, with their scores."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.losses import Targets
from chainrule.estimators.arrays import Samples
from chainrule.network import Network

Array = NDArray[Any]


@dataclass
class Task:
    """Samples X (m, n), targets (labels (m,) or rows (m, K)) and weights (m, 1) or None, ready for the engine."""

    samples: Samples
    targets: Array
    weights: Array | None

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
    """Samples held out of training.  X and y as scorers want them, y in the user's own labels; weights (m,) or None."""

    task: Task
    X: Any
    y: Any
    weights: Array | None

    def evaluate(self, net: Network) -> tuple[Array, float]:
        """Ŷ and J: Σ_i w_i L_i / Σ w_i plus the penalties once."""
        predictions, total, count = [], 0.0, 0.0
        once, _ = penalty(net)
        for piece, rows in self.task.samples.chunks():
            w = None if self.weights is None else self.weights[piece]
            size = float(len(rows) if w is None else w.sum())
            if size == 0:
                predictions.append(net.predict(rows))
                continue
            found, cost = net.predict_and_cost(rows, self.task.targets[piece], sample_weight=w)
            predictions.append(found)
            total += size * cost - once
            count += size
        return np.concatenate(predictions), (total + once) / count if count else float("nan")


def penalty(net: Network) -> tuple[float, dict[str, Array]]:
    """P = λ₁ Σ|W| + λ₂/2 Σ W², and its gradient by each parameter that it counts."""
    l1, l2 = net.spec.l1, net.spec.l2
    total, slopes = 0.0, {}
    for name, W in net.parameters.items() if l1 or l2 else ():
        if name.startswith("W"):
            flat = W.ravel().astype(np.float64, copy=False)
            total += l1 * float(np.abs(flat).sum()) + l2 / 2 * float(flat @ flat)
            slopes[name] = l1 * np.sign(W) + l2 * W
    return total, slopes


def scored(owner: Any, scorer: Callable[..., Any], held: Held) -> float:
    """A scorer's value on the samples held out; they are arrays without names, so names are not asked for."""
    nameless = copy.copy(owner)
    vars(nameless).pop("feature_names_in_", None)
    if held.weights is None:
        return float(scorer(nameless, held.X, held.y))
    return float(scorer(nameless, held.X, held.y, sample_weight=held.weights))
