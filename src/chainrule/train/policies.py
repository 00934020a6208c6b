"""What a fit leaves to its caller: where the samples come from, in which order, and what is made of an epoch.

The loop (loop.py) is the same for networks and estimators; these say what differs.  Each keeps what it must remember
from epoch to epoch, and hands it out as plain values and arrays (`state`), to go on from there later (`restore`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.base import sample_count
from chainrule.train.history import EpochRecord

Array = NDArray[Any]
Order = NDArray[np.int64]
MANY = 10_000
"""Samples from which on the next epoch's order is drawn while an epoch runs: a thread costs as much as so many do."""


# --- where the samples come from -------------------------------------------------------------------------------------


class Source(Protocol):
    """The training data.

    What an order is, is between the source and the `Orders` that draw it: rows, or how to find them.
    """

    samples: int
    """How many are trained on, each once an epoch."""

    def parts(self, order: Any, batch_size: int, skip: int = 0) -> Iterator[tuple[Mapping[str, Array], Order]]:
        """(data by symbol, the order within these data), part by part of an epoch; each but the last whole batches.

        A single sample is never a part of its own, unless it is the only one.
        skip: batches at the front of which nothing is needed; a part that has no others may come without data.
        """

    def weight_sums(self, order: Any, places: Order) -> NDArray[np.float64] | None:
        """The sum of the samples' weights in each batch, which begin at these places; None where all count the same."""


class Whole:
    """Data that are there as a whole."""

    def __init__(self, data: Mapping[str, Array]) -> None:
        self.data = dict(data)
        self.samples = sample_count(self.data)

    def parts(self, order: Order, batch_size: int, skip: int = 0) -> Iterator[tuple[Mapping[str, Array], Order]]:
        """All of it."""
        yield self.data, order

    def weight_sums(self, order: Order, places: Order) -> NDArray[np.float64] | None:
        """Of the data's "w"."""
        weights = self.data.get("w")
        return None if weights is None else np.add.reduceat(weights[order].reshape(-1).astype(np.float64), places)


# --- in which order --------------------------------------------------------------------------------------------------


class Orders(Protocol):
    """The order of the samples in each epoch."""

    def draw(self, epoch: int) -> Any:
        """The order of an epoch, counted from 1; asked again for the same epoch, the same one."""

    def state(self) -> dict[str, Any]:
        """What is to be remembered, beside the number of the epoch."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""

    def close(self) -> None:
        """Nothing more will be drawn."""


def permute(generator: np.random.Generator, out: Order) -> None:
    """Writes a permutation of 0, ..., as many as there is place for."""
    out[...] = generator.permutation(len(out))


class SeededOrders:
    """Epoch e has the order `default_rng((seed, fit, 2, e)).permutation(samples)`, whatever came before.

    seeds: (seed of the network, number of the fit).  shuffle: False for the order of the data.
    """

    def __init__(self, seeds: tuple[int, int], samples: int, epochs: int, shuffle: bool) -> None:
        self.seeds, self.samples, self.epochs = seeds, samples, epochs
        self.permute: Callable[[np.random.Generator, Order], None] = permute
        """Writes a permutation: NumPy's, made by it or by what makes the same sooner."""
        self._ahead: tuple[int, Order] = (0, np.empty((0, samples), np.int64))
        """The first epoch of those whose orders were drawn ahead, and these."""
        self._drawing = (0, 0)
        """The first of those that are being drawn, or were drawn last, and how many."""
        self._thread: threading.Thread | None = None
        self._unshuffled: Order | None = None if shuffle else np.arange(samples, dtype=np.int64)

    @property
    def same(self) -> bool:
        """Whether every epoch has the order of the data."""
        return self._unshuffled is not None

    @property
    def ahead(self) -> bool:
        """Whether the next orders are drawn while an epoch runs."""
        return not self.same and self.samples >= MANY

    def draw(self, epoch: int) -> Order:
        """The order of the epoch; of many samples the next is drawn meanwhile: machine code leaves Python free."""
        order: Order = self.draw_several(epoch, 1)[0]
        return order

    def drawn(self, first: int) -> int:
        """How many orders from this epoch's on are being drawn, or there already."""
        return self._drawing[1] if self._drawing[0] == first else 0

    def draw_several(self, first: int, count: int) -> Order:
        """The orders of the epochs first, ..., first + count - 1, a row each; of many samples those of as many more are
        drawn meanwhile.
        """
        if self._unshuffled is not None:
            return np.broadcast_to(self._unshuffled, (count, self.samples))  # one row, which stays in the caches
        self.close()
        begins, rows = self._ahead
        drawn = rows[first - begins :][:count] if first >= begins else rows[:0]
        if len(drawn) < count:
            drawn = np.concatenate([drawn, self._permutations(first + len(drawn), count - len(drawn))])
        after = min(count, self.epochs - first - count + 1)
        if after > 0 and self.ahead:
            self._drawing = (first + count, after)
            self._thread = threading.Thread(target=self._draw_ahead, args=self._drawing, name="chainrule order")
            self._thread.start()
        return drawn

    def state(self) -> dict[str, Any]:
        """Nothing: the order follows from the seeds."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Waits for the order that is being drawn."""
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(RuntimeError):  # an interrupt struck before it was started: it draws nothing
                thread.join()

    def _draw_ahead(self, first: int, count: int) -> None:
        self._ahead = first, self._permutations(first, count)

    def _permutations(self, first: int, count: int) -> Order:
        rows = np.empty((count, self.samples), np.int64)
        for k, row in enumerate(rows):
            self.permute(np.random.default_rng((*self.seeds, 2, first + k)), row)
        return rows


# --- what is made of an epoch ----------------------------------------------------------------------------------------


class Validation(NamedTuple):
    """What an epoch came to on samples that are not trained on; None where there are none."""

    cost: float | None = None
    metric_name: str | None = None
    metric: float | None = None


class Judge:
    """What is made of an epoch's cost.  This one validates nothing, and never ends a fit."""

    validates: bool = False
    """Whether there are samples held out."""
    looks: bool = False
    """Whether `validate` and `ends` read the network's arrays."""
    raises: bool = True
    """Whether a cost or a parameter that is not finite is a DivergedError, with the parameters from before the epoch;
    else the cost ends the epoch, and the judge says what follows."""

    def validate(self, cost: float) -> Validation:
        """After an epoch whose training cost is J."""
        return Validation()

    def ends(self, record: EpochRecord) -> str | None:
        """Why this was the last epoch; None to go on."""
        return None

    def state(self) -> dict[str, Any]:
        """What is to be remembered."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""


class Evaluable(Protocol):
    """What has a cost and a metric on data: a Network."""

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> tuple[float, str, float]:
        """(J, the metric's name, its value)."""


class Validating(Judge):
    """Evaluates the network on (X, y) or (X, y, weights) after every epoch."""

    validates = looks = True

    def __init__(self, network: Evaluable, held_out: tuple[Any, ...]) -> None:
        self.network, self.held_out = network, held_out

    def validate(self, cost: float) -> Validation:
        """J and the metric of the samples held out."""
        X, y, *weights = self.held_out
        return Validation(*self.network.evaluate(X, y, sample_weight=weights[0] if weights else None))
