"""Epochs that are one call of the engine: where an epoch is short, what surrounds it takes longer than its steps.

They run together where nobody looks at the network, or decides anything, between them.  The steps are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.describe.schedules import Fixed
from chainrule.engines.base import Epoch
from chainrule.errors import SpecError
from chainrule.train.policies import Judge, SeededOrders, Whole
from chainrule.train.schedules import rates_of

if TYPE_CHECKING:
    from chainrule.train.loop import Fit

SECONDS = 0.2
"""That epochs in one call take, about."""
MOST = 1000
"""Epochs in one call: the rest of their surroundings is little then."""
NUMBERS = 1 << 18
"""Samples in the orders of one call."""


def may_run_together(fit: Fit) -> bool:
    """Whether nothing happens between two epochs of a fit that has begun."""
    schedules = (fit.schedule, *(setting.schedule for setting in fit.settings))
    return (
        type(fit.judge) is Judge
        and type(fit.source) is Whole
        and type(fit.orders) is SeededOrders
        and all(isinstance(schedule, Fixed) for schedule in schedules)
        and all(callback.idle for callback in fit.callbacks)
        and fit.checkpoints is None
        and fit.workers is None
        and fit.time_limit is None
        and not 0 < fit.source.samples % fit.batch_size < fit.least_batch  # the last batch would be a piece of its own
    )


def worth(fit: Fit, number: int, seconds: float, left: int) -> int:
    """How many epochs to run in one call from `number` on, of those that are left, an epoch taking so many seconds."""
    assert isinstance(fit.orders, SeededOrders)
    if (drawn := fit.orders.drawn(number)) > 1:
        return min(drawn, left)
    most = MOST if fit.orders.same else min(MOST, NUMBERS // fit.source.samples)
    return min(most, left, int(SECONDS / max(seconds, 1e-9)))


def together(fit: Fit, first: int, count: int, step: int, steps: int, dtype: np.dtype[Any]) -> Epoch | None:
    """The epochs first, ..., first + count - 1 as passes of one.

    step: steps taken before; steps: of an epoch.  None where a schedule's rates are none: the epoch is to say so.
    """
    assert isinstance(fit.source, Whole) and isinstance(fit.orders, SeededOrders)
    try:
        rates = rates_of(fit.schedule, step, count * steps, dtype)
        settings = {s.name: s.numbers(step, count * steps, dtype) for s in fit.settings}
    except SpecError:
        return None
    return Epoch(
        data=fit.source.data,
        order=fit.orders.draw_several(first, count),
        batch_size=fit.batch_size,
        rates=rates,
        first_step=step + 1,
        seed=fit.mask_seed,
        threads=fit.threads,
        settings=settings,
    )
