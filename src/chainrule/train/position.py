"""Where a fit stands, and what those remember that take part in it: what a checkpoint is made of and gone on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError
from chainrule.train.history import EpochRecord, History

if TYPE_CHECKING:
    from chainrule.train.loop import Fit


class Position(NamedTuple):
    """A place in a fit."""

    epoch: int
    """The epoch that is under way, or the next one."""
    begun: bool = False
    """Whether it is under way: its first hooks have been called."""
    step_before: int = 0
    """Steps taken before the epoch that is under way."""
    taken: int = 0
    """Steps of it."""
    costs: NDArray[np.float64] = np.zeros(0)
    """J of each of these."""
    seconds: float = 0.0
    """That they took."""
    pending: tuple[int, ...] = ()
    """The places of callbacks whose hook of a pause was being called."""
    call: int | None = None
    """The session's call that takes further steps, by its number; None between two calls."""

    def saved(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "epoch": self.epoch,
            "begun": self.begun,
            "step_before": self.step_before,
            "taken": self.taken,
            "costs": self.costs,
            "seconds": self.seconds,
            "pending": list(self.pending),
        }

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Position:
        """From plain values."""
        return cls(**{**saved, "pending": tuple(saved["pending"])})


def remembered(fit: Fit) -> dict[str, Any]:
    """What everyone remembers, as of now: copies."""
    return {
        "records": len(fit.history),
        "schedule": fit.schedule.state(),
        "settings": {setting.name: setting.schedule.state() for setting in fit.settings},
        "judge": fit.judge.state(),
        "orders": fit.orders.state(),
        "callbacks": [[type(callback).__name__, callback.state()] for callback in fit.callbacks],
    }


def recall(fit: Fit, saved: Mapping[str, Any]) -> None:
    """Everyone goes on from there.  Raises DataError where the callbacks are others."""
    names = [name for name, _ in saved["callbacks"]]
    own = [type(callback).__name__ for callback in fit.callbacks]
    if names != own:
        raise DataError(
            f"The checkpoint was written by a fit with the callbacks {', '.join(names) or 'none'}; this one has "
            f"{', '.join(own) or 'none'}. A fit goes on with the same."
        )
    fit.schedule.restore(saved["schedule"])
    for setting in fit.settings:
        setting.schedule.restore(saved["settings"][setting.name])
    fit.judge.restore(saved["judge"])
    fit.orders.restore(saved["orders"])
    for callback, (_, state) in zip(fit.callbacks, saved["callbacks"], strict=True):
        callback.restore(state)


def restore_history(history: History, saved: Mapping[str, Any]) -> None:
    """The records so far."""
    for record in saved["history"]:
        history.append(EpochRecord(**record))
