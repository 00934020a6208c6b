"""What is told of an estimator in the place of its first network, whose derivation the page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chainrule.report.judged import Outcome
from chainrule.train.history import History


@dataclass(frozen=True)
class Whole:
    """An estimator of several networks that predict together."""

    outcomes: Sequence[Outcome]
    """What they predict, beside the truth."""
    importances: Mapping[str, float]
    """How much the loss rises by column."""
    loss: str
    """Which loss."""
    histories: Sequence[History]
    """Of each member; empty ones where none is known."""
    parameters: int
    """Of all members together."""
