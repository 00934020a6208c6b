"""What an estimator shows of its training (loss_curve_, best_loss_, ...), and goes by from call to call."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from chainrule.train.state import Snapshot


@dataclass
class Curves:
    """A training as it is written down."""

    losses: list[float] = field(default_factory=list)
    """Of the training samples, after each epoch: loss_curve_."""
    held_losses: list[float] | None = None
    """Of the samples held out: validation_loss_curve_; None where there are none."""
    scores: list[float] | None = None
    """Of the samples held out, as early stopping goes by: validation_scores_; None where nobody asks."""
    best_loss: float | None = math.inf
    """The lowest of the losses: best_loss_; None with early stopping."""
    best_score: float | None = None
    """The highest of the scores: best_validation_score_; None where there are none."""
    waited: int = 0
    """Epochs in a row without an improvement of more than tol: _no_improvement_count."""
    best: Snapshot | None = None
    """The weights of the best epoch, where they are to come back."""

    @classmethod
    def empty(cls, early_stopping: bool) -> Curves:
        """Those of a training that has not begun."""
        if early_stopping:
            return cls(scores=[], best_loss=None, best_score=-math.inf)
        return cls()

    @classmethod
    def of(cls, owner: Any) -> Curves:
        """Those of the calls before, which grow in place; empty where another solver or a caller has set none."""
        kept, empty = vars(owner), cls.empty(owner.early_stopping)
        return cls(
            kept.get("loss_curve_", empty.losses),
            kept.get("validation_loss_curve_", empty.held_losses),
            kept.get("validation_scores_", empty.scores),
            kept.get("best_loss_", empty.best_loss),
            kept.get("best_validation_score_", empty.best_score),
            kept.get("_no_improvement_count", empty.waited),
            kept.get("_best", empty.best),
        )

    def onto(self, owner: Any) -> None:
        """As an estimator's attributes."""
        owner.loss_curve_ = self.losses
        owner.validation_loss_curve_ = self.held_losses
        owner.validation_scores_ = self.scores
        owner.best_loss_ = self.best_loss
        owner.best_validation_score_ = self.best_score
        owner._no_improvement_count = self.waited
        owner._best = self.best
        if self.losses:
            owner.loss_ = self.losses[-1]
