"""Local steps, then an average: another algorithm than the sums over shards, with less to send.

Worker r of w takes the r-th part of each batch and steps by its gradient alone; after every k-th step of the fit, and
at the end of each call, everybody goes on from the average of what is stored, moments and statistics too.  The
result depends on the number of workers and on k, not on what they communicate by.

What a session hands out, and the steps that it counts, are as of the last average.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.base import Array, Epoch, EpochResult, Session, Values
from chainrule.engines.shards.exchange import Summing, Workers
from chainrule.engines.shards.held import Held
from chainrule.engines.shards.order import Node


class LocalSteps(Held):
    """inner: the session of this worker's own steps.  added: whether J adds up the losses of a batch."""

    def __init__(self, inner: Session, workers: Workers, every: int, dtype: np.dtype[Any], *, added: bool) -> None:
        self.inner, self.workers, self.every, self.dtype, self.added = inner, workers, every, dtype, added
        known = inner.read()
        self._places: dict[str, slice] = {}
        end = 0
        for name, array in known.items():
            self._places[name] = slice(end, end + array.size)
            end += array.size
        self._shapes = {name: array.shape for name, array in known.items()}
        self._size = end
        length = end + 2 * every + 1
        self._summing = Summing(workers, length, length, dtype)
        self._nodes = [[Node(rank, rank + 1)] for rank in range(workers.size)]
        self._now: tuple[dict[str, Array], tuple[float, ...]] = (known, ())
        """Beside what is stored the costs of the steps of the epoch, as of the last average."""

    @property
    def last(self) -> EpochResult:
        """The steps up to the last average."""
        return EpochResult(np.array(self._now[1], np.float64))

    def epoch(self, epoch: Epoch, stop: Callable[[], bool] | None = None) -> EpochResult:
        """Step after step; worker 0 is asked whether to stop at each average."""
        self._now = (self._now[0], ())
        self.calls += 1
        self.inner.write(self._now[0])  # a call that was interrupted may have left steps of its own
        first = 0
        while first < epoch.steps:
            step = epoch.first_step + first
            count = min(epoch.steps - first, self.every - (step - 1) % self.every)
            own = np.zeros((2, self.every))
            for k in range(count):
                own[:, k] = self._step(epoch.part(first + k, 1))
            ends = stop is not None and self.workers.rank == 0 and stop()
            if self._average(own, count, ends) or not np.isfinite(self._now[1]).all():
                break
            first += count
        return self.last

    def _step(self, part: Epoch) -> tuple[float, float]:
        """This worker's own step: its cost by the number of its samples, and that number."""
        rank, size = self.workers.rank, self.workers.size
        rows: NDArray[np.int64] = part.order[rank * len(part.order) // size : (rank + 1) * len(part.order) // size]
        if not len(rows):
            return 0.0, 0.0
        costs = self.inner.epoch(replace(part, order=rows, batch_size=len(rows), seed=(part.seed + rank) % 2**64)).costs
        return float(costs[0]) * (1 if self.added else len(rows)), float(len(rows))

    def _average(self, own: NDArray[np.float64], count: int, ends: bool) -> bool:
        """Everybody has the average of all; whether worker 0 is to stop."""
        vector = np.zeros(self._size + 2 * self.every + 1, self.dtype)
        for name, array in self.inner.read().items():
            vector[self._places[name]] = array.reshape(-1)
        vector[self._size : -1] = own.reshape(-1)
        vector[-1] = ends
        with np.errstate(all="ignore"):  # what diverges is looked at when its cost is
            own_node = {self._nodes[self.workers.rank][0]: vector}
            total = self._summing.over_all(own_node, self._nodes, self.workers.size)
            mean = total[: self._size] / self.dtype.type(self.workers.size)
        sums, samples = total[self._size : -1].astype(np.float64).reshape(2, self.every)[:, :count]
        costs = sums if self.added else sums / samples
        stored = {name: mean[place].reshape(self._shapes[name]) for name, place in self._places.items()}
        self.inner.write(stored)
        self._now = (stored, (*self._now[1], *costs.tolist()))
        return bool(total[-1])

    def run(self, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """As the inner session."""
        return self.inner.run(given, wanted)

    def close(self) -> None:
        """Lets go of both."""
        super().close()
        self.inner.close()
