"""Losses: L(ŷ, y) of one sample; Cost: any f(Ŷ, Y) of the whole batch; and the canonical pairs.

A loss formula is element-wise in ŷ and y and summed over the outputs, or reduces over them itself.  The cost adds up
the samples: J = (1/m) Σ_i L_i, Σ_i L_i with reduction="sum", or Σ w_i L_i / Σ w_i with sample weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from chainrule.errors import SpecError, expected, is_number, unknown_name
from chainrule.program.parse import formula, parse, source
from chainrule.program.scalar import Expression

TINY = 1e-37
"""The least probability whose logarithm is taken: near the smallest normal float32, so that log never meets 0."""

Targets = Literal["values", "labels"]


@dataclass(frozen=True, init=False)
class Loss:
    """L(ŷ, y) of one sample, from text or a callable over expressions in yhat and y.

        Loss("(yhat - y) ** 2")                         summed over the outputs
        Loss("sqrt(sum((yhat - y) ** 2) + 1e-12)")      reduces over the outputs itself
        Loss(lambda yhat, y: functions.log(1 + (yhat - y) ** 2))

    classes: whether y may be an integer label, standing for a one-hot row.  fits: the activations of the last layer
    that it is meant for (None: any; an own activation always may).  smoothing: the share ε of a label that is spread
    evenly, Y ← (1 - ε) Y + ε/n.  between: the least and largest y allowed.  cap: where given, a canonical pair reports
    at most this for a term, while its slope stays that of the loss itself: scikit-learn's clipped probabilities.
    """

    expression: Expression
    name: str
    classes: bool = False
    fits: frozenset[str] | None = None
    smoothing: float = 0.0
    between: tuple[float, float] | None = None
    cap: float | None = None

    def __init__(
        self,
        given: str | Expression | Callable[..., object],
        *,
        name: str | None = None,
        classes: bool = False,
        fits: frozenset[str] | None = None,
        between: tuple[float, float] | None = None,
    ) -> None:
        expression = formula(given, ("yhat", "y"))
        object.__setattr__(self, "expression", expression)
        object.__setattr__(self, "name", name or (given if isinstance(given, str) else source(expression)))
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "fits", fits)
        object.__setattr__(self, "smoothing", 0.0)
        object.__setattr__(self, "between", between)
        object.__setattr__(self, "cap", None)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, init=False)
class Cost:
    """f(Ŷ, Y) of the whole batch, a scalar: J itself.  Reductions over rows, columns and all are allowed.

        Cost("sum((yhat - y) ** 2)")
        Cost("1 - sum(yhat * y) / sqrt(sum(yhat ** 2) * sum(y ** 2))")

    m, the batch's size, may be used.  Sample weights are refused: f says itself how samples count.
    """

    expression: Expression
    name: str

    def __init__(self, given: str | Expression | Callable[..., object], *, name: str | None = None) -> None:
        names = ("yhat", "y", "m") if isinstance(given, str | Expression) else ("yhat", "y")
        expression = formula(given, names)
        object.__setattr__(self, "expression", expression)
        object.__setattr__(self, "name", name or (given if isinstance(given, str) else source(expression)))

    def __str__(self) -> str:
        return self.name


def huber(delta: float = 1.0) -> Loss:
    """e²/2 for |e| ≤ δ, else δ (|e| - δ/2), with e = ŷ - y.  Source: Huber 1964."""
    if not (is_number(delta) and delta > 0):
        raise SpecError(expected("The delta of huber", "a finite number above 0", delta))
    text = f"where(abs(yhat - y) <= {delta}, 0.5 * (yhat - y) ** 2, {delta} * (abs(yhat - y) - {delta / 2}))"
    return Loss(text, name="huber" if delta == 1 else f"huber({delta})")


def quantile(level: float = 0.5) -> Loss:
    """max(q e, (q - 1) e), with e = y - ŷ: least where a share q of the samples lies below ŷ.  Source: Koenker 1978."""
    if not (is_number(level) and 0 < level < 1):
        raise SpecError(expected("The quantile's level", "between 0 and 1", level))
    text = f"max({level} * (y - yhat), ({level} - 1) * (y - yhat))"
    return Loss(text, name="quantile" if level == 0.5 else f"quantile({level})")


def cross_entropy(label_smoothing: float = 0.0) -> Loss:
    """-Σ_j y_j log ŷ_j over classes; y a label or a row of probabilities; labels smoothed by ε."""
    if not (is_number(label_smoothing) and 0 <= label_smoothing < 1):
        raise SpecError(expected("label_smoothing", "at least 0 and less than 1", label_smoothing))
    made = LOSSES["cross_entropy"]
    if label_smoothing == 0:
        return made
    return replace_loss(made, smoothing=label_smoothing, name=f"cross_entropy({label_smoothing})")


def replace_loss(loss: Loss, **changes: object) -> Loss:
    """The loss with some fields changed."""
    made = object.__new__(Loss)
    for name in ("expression", "name", "classes", "fits", "smoothing", "between", "cap"):
        object.__setattr__(made, name, changes.get(name, getattr(loss, name)))
    return made


_PROBABILITIES = frozenset({"softmax", "log_softmax"})
_ALL = (
    Loss("(yhat - y) ** 2", name="squared_error"),
    Loss("abs(yhat - y)", name="absolute_error"),
    huber(),
    Loss(
        f"-(y * log(max(yhat, {TINY})) + (1 - y) * log(max(1 - yhat, {TINY})))",
        name="binary_cross_entropy",
        fits=frozenset({"sigmoid", "hard_sigmoid"}),
        between=(0.0, 1.0),
    ),
    Loss(f"-(y * log(max(yhat, {TINY})))", name="cross_entropy", classes=True, fits=_PROBABILITIES, between=(0.0, 1.0)),
    Loss(
        f"yhat - y * log(max(yhat, {TINY}))",
        name="poisson",
        fits=frozenset({"softplus", "sigmoid", "softmax"}),
        between=(0.0, float("inf")),
    ),
    Loss("max(1 - y * yhat, 0)", name="hinge", between=(-1.0, 1.0)),
    quantile(),
)
LOSSES: Mapping[str, Loss] = {loss.name: loss for loss in _ALL}


def loss(given: str | Loss | Cost | Callable[..., object]) -> Loss | Cost:
    """The loss of that name, from a callable of (yhat, y), or as it is.  Raises SpecError with the nearest name."""
    if isinstance(given, Loss | Cost):
        return given
    if callable(given):
        return Loss(given)
    if not isinstance(given, str):
        raise SpecError(expected("The loss", "a name, a Loss, a Cost or a callable of (yhat, y)", given))
    if given not in LOSSES:
        raise SpecError(unknown_name("loss", given, LOSSES) + ' Your own: Loss("...") or Cost("...").')
    return LOSSES[given]


@dataclass(frozen=True)
class CanonicalPair:
    """A named rule: with this activation last and this loss, value and gradient are said in terms of Z_L.

    value: L of one sample in z, a and y, safe where a underflows (None: the loss's own formula).
    slope: ∂L/∂z in a and y.
    """

    name: str
    value: Expression | None
    slope: Expression


_SCOPE = ("z", "a", "y")
CANONICAL: Mapping[tuple[str, str], CanonicalPair] = {
    ("softmax", "cross_entropy"): CanonicalPair(
        "softmax with cross entropy",
        # L = -Σ y log a = (max z + log Σ exp(z - max z)) Σ y - Σ y z, and Σ y = 1 for a row of probabilities
        parse("max(z) + log(sum(exp(z - stop(max(z))))) - sum(y * z)", _SCOPE),
        parse("a - y", _SCOPE),
    ),
    ("log_softmax", "cross_entropy"): CanonicalPair(
        "log-softmax with cross entropy", parse("-(y * a)", _SCOPE), parse("exp(a) - y", _SCOPE)
    ),
    ("sigmoid", "binary_cross_entropy"): CanonicalPair(
        "sigmoid with binary cross entropy", parse("softplus(z) - y * z", _SCOPE), parse("a - y", _SCOPE)
    ),
    ("identity", "squared_error"): CanonicalPair("identity with squared error", None, parse("2 * (a - y)", _SCOPE)),
}

OF_LOG_PROBABILITIES = parse("-(y * yhat)", ("yhat", "y"))
"""cross_entropy where the last layer gives log-probabilities (log_softmax)."""
