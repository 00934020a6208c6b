"""The training loop: epochs, orders, rates, validation, hooks.  The steps themselves are the engine's."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.base import Engine, Epoch
from chainrule.errors import DivergedError, SpecError, expected
from chainrule.program.equation import Program
from chainrule.train.callbacks import Callback
from chainrule.train.history import EpochRecord, History
from chainrule.train.schedules import RunningSchedule, Schedule
from chainrule.train.state import FitState, Trainable

Array = NDArray[Any]
MANY = 10_000
"""Samples from which on the next epoch's order is drawn while an epoch runs: a thread costs as much as so many do."""


class Evaluable(Trainable, Protocol):
    """What the loop needs of a network: its arrays, and its cost on the validation data."""

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> tuple[float, str, float]:
        """(J, the metric's name, its value)."""


@dataclass
class Fit:
    """One call of `Network.fit`: everything was checked; `stored` are the network's own arrays, written in place."""

    network: Evaluable
    engine: Engine
    program: Program
    stored: dict[str, Array]
    data: Mapping[str, Array]
    epochs: int
    batch_size: int
    schedule: Schedule
    shuffle: bool
    seeds: tuple[int, int]
    validation: tuple[Any, ...] | None
    callbacks: tuple[Callback, ...]
    threads: int | None
    time_limit: float | None = None
    check: Callable[[Any, Any], Mapping[str, Array]] | None = None
    history: History = field(default_factory=History)
    began: float = 0.0

    def run(self) -> History:
        """All epochs; hooks are told of the end whatever happens."""
        self.began = time.monotonic()
        samples = len(self.data["X"])
        steps = -(-samples // self.batch_size)
        state = FitState(
            network=self.network,
            epochs=self.epochs,
            steps_per_epoch=steps,
            samples=samples,
            batch_size=self.batch_size,
            history=self.history,
            has_validation=self.validation is not None,
            engine=self.engine,
            program=self.program,
            data=self.data,
            mask_seed=int(np.random.SeedSequence([*self.seeds, 1]).generate_state(1, np.uint64)[0]),
            check=self.check,
        )
        schedule = self.schedule.start(steps, steps * self.epochs)
        stored = self._slots()
        begun: list[Callback] = []
        try:
            for callback in self.callbacks:
                begun.append(callback)
                callback.on_fit_begin(state)
            self._epochs(state, schedule, stored)
        except KeyboardInterrupt:
            self.history.stopped = "interrupted"
            raise
        finally:
            if state.stop_reason is not None:
                self.history.stopped = state.stop_reason
            with contextlib.ExitStack() as all_of_them:  # one that fails does not keep the others from their end
                for callback in reversed(begun):
                    all_of_them.callback(callback.on_fit_end, state)
        return self.history

    def _slots(self) -> dict[str, Array]:
        """The network's arrays and fresh optimizer slots."""
        stored = dict(self.stored)
        like = next(iter(self.stored.values()))
        for symbol in self.program.stored:
            if symbol.role == "slot":
                stored[symbol.name] = np.zeros([int(d) for d in symbol.shape], like.dtype)
        return stored

    def _epochs(self, state: FitState, schedule: RunningSchedule, stored: dict[str, Array]) -> None:
        with contextlib.closing(_orders(self.seeds, state.samples, self.epochs, self.shuffle)) as orders:
            self._each_epoch(state, schedule, stored, orders)

    def _each_epoch(
        self,
        state: FitState,
        schedule: RunningSchedule,
        stored: dict[str, Array],
        orders: Iterator[NDArray[np.int64]],
    ) -> None:
        kept: dict[str, Any] = {}  # the engine's own: the slots in its form, which nobody else looks at during a fit
        for number, order in enumerate(orders, 1):
            state.epoch = number
            for callback in self.callbacks:
                callback.on_epoch_begin(state)
            before = {name: array.copy() for name, array in self.stored.items()}
            epoch = Epoch(
                data=self.data,
                order=order,
                batch_size=self.batch_size,
                rates=_rates(schedule, state, next(iter(self.stored.values())).dtype),
                first_step=state.step + 1,
                seed=state.mask_seed,
                threads=self.threads,
                ends=False,
                kept=kept,
            )
            costs, seconds = self._steps(state, epoch, stored)
            self._check(costs, number, before)
            if not len(costs):  # out of time before the epoch's first batch
                break
            record = self._record(number, costs, epoch, seconds)
            state.learning_rate = record.learning_rate
            self.history.append(record)
            schedule.observe(record.cost if record.validation_cost is None else record.validation_cost)
            for callback in self.callbacks:
                callback.on_epoch_end(state, record)
            if state.stop_reason is not None:
                break

    def _late(self, state: FitState) -> Callable[[], bool] | None:
        """Whether the time limit has passed; asked between batches."""
        if self.time_limit is None:
            return None
        limit, began = self.time_limit, self.began

        def late() -> bool:
            if time.monotonic() - began < limit:
                return False
            state.request_stop(f"the time limit of {limit:g} s was reached")
            return True

        return late

    def _steps(self, state: FitState, epoch: Epoch, stored: dict[str, Array]) -> tuple[NDArray[np.float64], float]:
        """The costs of an epoch's steps and the seconds they took, with a pause wherever a callback asks for one."""
        costs: list[NDArray[np.float64]] = []
        done, seconds, unwritten = 0, 0.0, False
        while done < epoch.steps:
            stops = [(callback, callback.next_stop(state.step)) for callback in self.callbacks]
            nearest = min((stop for _, stop in stops if stop is not None), default=state.step + epoch.steps)
            count = min(epoch.steps - done, max(1, nearest - state.step))
            start = time.perf_counter()
            part = epoch.part(done, count, unwritten=unwritten)
            found = self.engine.epoch(self.program, stored, part, self._late(state)).costs
            seconds += time.perf_counter() - start
            costs.append(found)
            done += count
            state.step += len(found)
            if len(found) < count or not np.isfinite(found).all():
                break
            state.learning_rate = float(epoch.rates[done - 1])
            called = [callback for callback, stop in stops if stop == state.step]
            for callback in called:
                callback.on_batches_end(state)
            unwritten = not any(callback.writes for callback in called)
        return np.concatenate(costs), seconds

    def _check(self, costs: NDArray[np.float64], number: int, before: Mapping[str, Array]) -> None:
        """Raises DivergedError, the parameters from before the epoch restored, if a cost is not finite."""
        finite = bool(np.isfinite(costs).all())
        with np.errstate(all="ignore"):  # a sum may overflow, or meet inf - inf, and only sends one to look closer
            if finite and all(np.isfinite(a.sum()) or np.isfinite(a).all() for a in self.stored.values()):
                return
        for name, array in self.stored.items():
            array[...] = before[name]
        batch = len(costs) if finite else int(np.argmin(np.isfinite(costs))) + 1
        what = "the parameters are no longer finite" if finite else f"the cost is {costs[batch - 1]:g}"
        raise DivergedError(
            f"Training diverged in epoch {number}, batch {batch}: {what}. The parameters from before this epoch were "
            f"kept. Try a smaller learning rate, clip_norm=1.0, or standardised inputs.",
            epoch=number,
            batch=batch,
        )

    def _record(self, number: int, costs: NDArray[np.float64], epoch: Epoch, seconds: float) -> EpochRecord:
        sizes = np.full(len(costs), epoch.batch_size, np.float64)
        if len(costs) == epoch.steps:
            sizes[-1] = len(epoch.order) - epoch.batch_size * (epoch.steps - 1)
        found = (None, None, None)
        if self.validation is not None:
            X, y, *w = self.validation
            found = self.network.evaluate(X, y, sample_weight=w[0] if w else None)  # type: ignore[assignment]
        return EpochRecord(
            epoch=number,
            cost=float(np.average(costs, weights=sizes)) if len(costs) else math.nan,
            validation_cost=found[0],
            metric_name=found[1],
            validation_metric=found[2],
            learning_rate=float(epoch.rates[len(costs) - 1]),
            seconds=seconds,
            samples_per_second=len(epoch.order) / seconds if seconds > 0 else math.inf,
        )


def _orders(
    seeds: tuple[int, int], samples: int, epochs: int, shuffle: bool
) -> Generator[NDArray[np.int64], None, None]:
    """The order of the samples in each epoch; of many samples the next is drawn while machine code runs."""
    rng = np.random.default_rng(seeds)
    if not shuffle:
        yield from [np.arange(samples, dtype=np.int64)] * epochs
        return
    drawn = [rng.permutation(samples)]
    for left in range(epochs - 1, -1, -1):
        order = drawn.pop()
        beside = threading.Thread(target=lambda: drawn.append(rng.permutation(samples)), name="chainrule order")
        if left and samples >= MANY:
            beside.start()
            try:
                yield order
            finally:
                beside.join()
        else:
            yield order
            if left:
                drawn.append(rng.permutation(samples))


def _rates(schedule: RunningSchedule, state: FitState, dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """The learning rate of each step of the epoch, finite in the dtype too; an own schedule may say anything.

    Raises SpecError.
    """
    rates = np.asarray(schedule.rates(state.step, state.steps_per_epoch), np.float64)
    if rates.shape != (state.steps_per_epoch,):
        raise SpecError(expected("The schedule's rates", f"of shape ({state.steps_per_epoch},)", rates.shape))
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(~((rates > 0) & (rates <= np.finfo(dtype).max)))
    if wrong.size:
        where = f"step {state.step + int(wrong[0]) + 1}"
        allowed = f"a finite number above 0 in {dtype}"
        raise SpecError(expected(f"The learning rate of {where}", allowed, float(rates[wrong[0]])))
    return rates
