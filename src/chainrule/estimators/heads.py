"""Heads: which last activation and which loss belong to a task, and scikit-learn's losses as formulas.

L(ŷ, y) of one sample with K outputs, J the (weighted) mean over samples:

    squared_error   1/(2K) Σ_k (ŷ_k - y_k)²                    identity
    poisson         Σ_k y_k log(y_k / ŷ_k) - y_k + ŷ_k         exp
    log_loss        -log ŷ_y                                   softmax
                    -Σ_k y_k log ŷ_k + (1 - y_k) log(1 - ŷ_k)  logistic: two classes (K = 1), several labels
                    -Σ_g log softmax_g(ẑ)_y                    several outputs g, each with classes of its own
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.activations import ACTIVATIONS, Activation
from chainrule.describe.losses import LOSSES, TINY, Cost, Loss, cross_entropy, loss, replace_loss

Array = NDArray[Any]
TargetType = Literal["binary", "multiclass", "multilabel-indicator", "multiclass-multioutput"]
GivenLoss = str | Loss | Cost | Callable[..., object]

EXP = Activation("exp(z)", name="exp", slope="a")
_NAMES = {"sigmoid": "logistic"}
"""chainrule's names of activations that scikit-learn calls something else."""


@dataclass(frozen=True)
class Head:
    """The end of a network: its outputs, last activation and loss."""

    outputs: int
    """Units of the last layer."""
    activation: Activation
    """Of the last layer."""
    loss: Loss | Cost
    """What is minimised."""
    name: str
    """The activation as scikit-learn calls it."""
    labels: bool = False
    """Whether targets are integers, not rows."""
    low: float = 0.0
    """What stands for no in a row."""
    high: float = 1.0
    """What stands for yes."""
    clipped: bool = False
    """Whether the value of the loss is of clipped probabilities."""

    @property
    def threshold(self) -> float:
        """Above it an output means yes."""
        return (self.low + self.high) / 2 if self.activation.identity else 0.5


def named(activation: Activation) -> str:
    """The activation's name in `out_activation_`."""
    return _NAMES.get(activation.name, activation.name)


def _head(outputs: int, activation: str, made: Loss | Cost, **options: Any) -> Head:
    return Head(outputs, ACTIVATIONS[activation], made, named(ACTIVATIONS[activation]), **options)


def half_squared_error(outputs: int) -> Loss:
    """1/(2K) Σ_k (ŷ_k - y_k)²"""
    return Loss(f"{0.5 / outputs!r} * (yhat - y) ** 2", name="squared_error")


HALF_POISSON_DEVIANCE = Loss(
    f"where(y > 0, y * log(max(y, {TINY}) / max(yhat, {TINY})), 0) - y + yhat",
    name="poisson",
    kind="counts",
    between=(0.0, float("inf")),
)


def for_regression(given: GivenLoss, outputs: int) -> Head:
    """The head of a regressor; an own loss is of a linear output."""
    if given == "squared_error":
        return _head(outputs, "identity", half_squared_error(outputs))
    if given == "poisson":
        return Head(outputs, EXP, HALF_POISSON_DEVIANCE, "exp")
    made = loss(given)
    return _head(outputs, made.natural if isinstance(made, Loss) else "identity", made)


def for_classification(given: GivenLoss, kind: TargetType, counts: Sequence[int], smoothing: float) -> Head:
    """The head of a classifier whose outputs have so many classes each (for several labels: one count, of labels).

    Raises ValueError: a loss that cannot be of such targets.
    """
    if kind == "multiclass-multioutput":
        if given != "log_loss":
            raise ValueError("Several outputs with several classes each go with loss='log_loss' only.")
        return Head(sum(counts), ACTIVATIONS["identity"], grouped_cross_entropy(counts), "softmax")
    outputs = 1 if kind == "binary" else counts[0]
    if given == "log_loss":
        if kind == "multiclass":
            return _head(outputs, "softmax", cross_entropy(smoothing), labels=True, clipped=smoothing == 0)
        return _head(outputs, "sigmoid", LOSSES["binary_cross_entropy"], clipped=smoothing == 0)
    made = loss(given)
    if isinstance(made, Loss) and made.kind == "signs":
        if smoothing:
            raise ValueError(f"label_smoothing does not go with the loss {made.name}, whose targets are -1 and 1.")
        return _head(outputs, made.natural, made, low=made.low)
    preferred = ("softmax", "sigmoid") if kind == "multiclass" else ("sigmoid", "softmax")
    activation = _first(made.fits if isinstance(made, Loss) else None, preferred)
    if activation == "softmax" and kind == "multilabel-indicator":
        raise ValueError(f"The loss {made.name} is of one class a sample, not of several labels.")
    if activation == "softmax" and kind == "binary":
        outputs = 2
    if isinstance(made, Loss) and made.classes and smoothing:
        made = replace_loss(made, smoothing=smoothing)
    return _head(outputs, activation, made, labels=made.classes)


def _first(fits: frozenset[str] | None, preferred: Sequence[str]) -> str:
    """The first of the activations that the loss is meant for."""
    return next((a for a in preferred if fits is None or a in fits), preferred[0])


# --- several outputs with several classes each -------------------------------------------------------------------


def grouped_cross_entropy(counts: Sequence[int]) -> Loss:
    """Σ_g (log Σ_{j in g} exp ẑ_j - ẑ_y), the outputs of all groups side by side and linear.

    A formula knows no column numbers, so the targets say which group a column is of: 2g + 1 for the class that is
    true, 2g for the others (`grouped_targets`).
    """
    terms = []
    for g in range(len(counts)):
        inside = f"((y >= {2 * g}) * (y < {2 * g + 2}))"
        largest = f"stop(max(where({inside} > 0, yhat, -1e30)))"
        # Outside of the group the exponent is 0, so that exp never overflows there.
        shifted = f"{inside} * exp(where({inside} > 0, yhat - {largest}, 0))"
        chosen = f"sum({inside} * (y - {2 * g}) * (yhat - {largest}))"
        terms.append(f"log(sum({shifted})) - {chosen}")
    return Loss(" + ".join(terms), name="grouped_cross_entropy")


def grouped_targets(codes: NDArray[np.int64], counts: Sequence[int]) -> Array:
    """(m, q) codes of classes as the rows that `grouped_cross_entropy` reads, (m, Σ counts)."""
    parts = [2.0 * g + (codes[:, g, None] == np.arange(n)) for g, n in enumerate(counts)]
    return np.hstack(parts)


def grouped_softmax(z: Array, counts: Sequence[int]) -> list[Array]:
    """The probabilities of each output's classes."""
    result, start = [], 0
    for n in counts:
        part = z[:, start : start + n]
        e = np.exp(part - part.max(axis=1, keepdims=True))
        result.append(e / e.sum(axis=1, keepdims=True))
        start += n
    return result
