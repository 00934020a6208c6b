"""The canonical pairs: a last activation and a loss that are taken together, value and gradient in terms of Z."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from chainrule.describe.losses import TINY
from chainrule.program.parse import parse
from chainrule.program.scalar import Expression


@dataclass(frozen=True)
class CanonicalPair:
    """A named rule: with this activation last and this loss, value and gradient are said in terms of Z_L.

    The values keep their digits where the long way loses them: where a underflows or rounds to 1, and where the z of a
    sample are alike and large.
    """

    name: str
    """The two, as a text says them."""
    value: Expression | None
    """L of one sample in z, a and y (None: the loss's own formula)."""
    slope: Expression
    """∂L/∂z in z, a and y; sums run over the sample's outputs."""
    reason: str = ""
    """Why the two go together, for people."""
    written: Expression | None = None
    """L in a and y as texts write it, where `value` is another way to compute it."""
    stable: Expression | None = None
    """`value` without the steps that only keep digits, where they are many."""


_SCOPE = ("z", "a", "y")
_SHIFTED = "exp(z - stop(max(z)))"
_REST = f"sum({_SHIFTED} * (z < max(z)))"
"""Σ exp(z - max z) without the largest, whose 1 would swallow the digits of a small rest."""
_LOG_SUM = f"log1p(where(sum({_SHIFTED}) < 1.5, {_REST}, sum({_SHIFTED}) - 1))"
"""log Σ exp(z - max z): log1p of all but one; from 1.5 on (as where several are the largest) the difference is safe."""
_FAR = -20.0
"""Left of it softplus(z) = u - u²/2 + ... with u = exp(z) is said by two terms: what follows is below u² < 5e-18."""


@functools.cache
def canonical_pairs() -> Mapping[tuple[str, str], CanonicalPair]:
    """By last activation and loss.  Their formulas are read when they are asked for first."""
    # -Σ y log a = Σ y log Σ exp(z - max z) - Σ y (z - max z), and Σ y = 1 for a row of probabilities
    cross_entropy = parse(f"{_LOG_SUM} - sum(y * (z - max(z)))", _SCOPE)
    poisson = parse("sum(a - y * log(a))", _SCOPE)
    return {
        ("softmax", "cross_entropy"): CanonicalPair(
            "softmax with cross entropy",
            cross_entropy,
            parse("a - y", _SCOPE),
            "softmax with cross entropy, taken together: log Σ exp is computed without overflow",
            parse("-sum(y * log(a))", _SCOPE),
            parse("log(sum(exp(z - max(z)))) - sum(y * (z - max(z)))", _SCOPE),
        ),
        ("log_softmax", "cross_entropy"): CanonicalPair(
            "log-softmax with cross entropy",
            cross_entropy,
            parse("exp(a) - y", _SCOPE),
            "log-softmax with cross entropy, taken together",
            parse("-sum(y * a)", _SCOPE),
        ),
        ("sigmoid", "binary_cross_entropy"): CanonicalPair(
            "sigmoid with binary cross entropy",
            # log(1 + exp z) - y z, with what cancels taken out: softplus(z) = max(z, 0) + softplus(-|z|)
            parse("softplus(-abs(z)) + where(z > 0, (1 - y) * z, -(y * z))", _SCOPE),
            parse("a - y", _SCOPE),
            "sigmoid with binary cross entropy, taken together",
            parse("-sum(y * log(a) + (1 - y) * log(1 - a))", _SCOPE),
            parse("sum(softplus(z) - y * z)", _SCOPE),
        ),
        ("softplus", "poisson"): CanonicalPair(
            "softplus with Poisson",
            # log softplus(z) = z - u/2 + ..., softplus'(z) / softplus(z) = 1 - u/2 + ...: none ends where u underflows
            parse(f"a - y * where(z < {_FAR}, z - 0.5 * exp(z), log(max(a, {TINY})))", _SCOPE),
            parse(f"sigmoid(z) - y * where(z < {_FAR}, 1 - 0.5 * exp(z), sigmoid(z) / max(a, {TINY}))", _SCOPE),
            "softplus with the Poisson loss, taken together: log and slope go on where exp(z) is 0",
            poisson,
        ),
        ("sigmoid", "poisson"): CanonicalPair(
            "sigmoid with Poisson",
            # log a = -softplus(-z), and (1 - y/a) a (1 - a) = (a - y) (1 - a)
            parse("a + y * softplus(-z)", _SCOPE),
            parse("(a - y) * sigmoid(-z)", _SCOPE),
            "sigmoid with the Poisson loss, taken together",
            poisson,
        ),
        ("softmax", "poisson"): CanonicalPair(
            "softmax with Poisson",
            # Σ a = 1, and Σ y may be any
            parse(f"1 + sum(y) * {_LOG_SUM} - sum(y * (z - max(z)))", _SCOPE),
            parse("a * sum(y) - y", _SCOPE),
            "softmax with the Poisson loss, taken together",
            poisson,
            parse("1 + sum(y) * log(sum(exp(z - max(z)))) - sum(y * (z - max(z)))", _SCOPE),
        ),
        ("identity", "squared_error"): CanonicalPair(
            "identity with squared error",
            None,
            parse("2 * (a - y)", _SCOPE),
            "squared error of the last layer's values",
        ),
    }


OF_LOG_PROBABILITIES = parse("-(y * yhat)", ("yhat", "y"))
"""cross_entropy where the last layer gives log-probabilities (log_softmax)."""
