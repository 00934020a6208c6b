"""The training loop, for networks and estimators alike: epochs, rates, pauses, hooks.  The steps are the engine's.

    fit begins
      for each epoch: order, rates ─▶ part by part, up to the next pause: session.epoch ─▶ hooks of the pause
                      cost ─▶ validation ─▶ the judge ─▶ a record ─▶ hooks of the epoch
    fit ends

The engine's session owns the parameters and slots while the fit runs.  The network's arrays are brought up to date, all
at once (`Network.overwrite`), when somebody looks: before each hook of a callback that `looks`, before a validation,
when a callback asks (`fit.refresh`), and at the end, however it comes.  What a callback that `writes` may have changed
is handed to the session before the next step.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.schedules import RunningSchedule
from chainrule.engines.base import Engine, Epoch, Session
from chainrule.engines.pinned import pinned
from chainrule.errors import DataError, DataWarning, DivergedError
from chainrule.program.equation import Program
from chainrule.train.batches import epoch_cost, pieces, starts
from chainrule.train.callbacks import Callback
from chainrule.train.history import EpochRecord, History
from chainrule.train.policies import Judge, Orders, SeededOrders, Source, Validation
from chainrule.train.position import Position, recall, remembered, restore_history
from chainrule.train.schedules import Setting, rates_of
from chainrule.train.signals import Terminated, terminable
from chainrule.train.state import FitState, OptimizerState, Trainable, do_nothing, read_only
from chainrule.train.together import may_run_together, together, worth

if TYPE_CHECKING:  # slow to load, and most fits ask for none
    from chainrule.engines.shards.split import Split
    from chainrule.group.base import Group
    from chainrule.train.checkpoint import Checkpoints

Array = NDArray[Any]


@dataclass
class Fit:
    """One fit, to be run: everything was checked."""

    network: Trainable
    """What is trained; its arrays are overwritten in place."""
    engine: Engine
    """What runs the steps."""
    program: Program
    """A training step's equations."""
    source: Source
    """Where the samples come from."""
    orders: Orders
    """The order of the samples in each epoch."""
    schedule: RunningSchedule
    """The learning rates."""
    judge: Judge
    """What is made of each epoch."""
    epochs: int
    """How many, unless something ends the fit before."""
    batch_size: int
    """Samples a step; the last batch of an epoch may be smaller, or larger by what is too few for a batch."""
    mask_seed: int
    """Of the dropout masks."""
    callbacks: tuple[Callback, ...] = ()
    """What is told of it, in this order; of its end in the reverse one."""
    history: History = field(default_factory=History)
    """Each epoch's record is added to it."""
    data: Mapping[str, Array] = field(default_factory=dict)
    """The training data as callbacks may look at them."""
    check: Callable[[Any, Any], Mapping[str, Array]] | None = None
    """Other data under the same symbols' names, for callbacks."""
    threads: int | None = None
    """How many at most; None for the engine's choice."""
    time_limit: float | None = None
    """Seconds after which the fit ends, between two batches."""
    least_batch: int = 1
    """The fewest samples of a batch; what is left over at an epoch's end and fewer joins the batch before."""
    added: bool = False
    """Whether J adds up the losses of a batch (reduction="sum"), and so the epoch's cost its batches' J."""
    whole_first_epoch: bool = False
    """Whether the first epoch is done whatever the time limit."""
    optimizer_state: OptimizerState | None = None
    """The slots and steps to begin with, and those to end with; None to begin anew and forget them."""
    checkpoints: Checkpoints | None = None
    """Where the fit is written down as it goes."""
    resumed: tuple[Mapping[str, Array], Mapping[str, Any]] | None = None
    """What an interrupted fit has left to go on from: the network's arrays, and its state."""
    settings: tuple[Setting, ...] = ()
    """What else is given for each step."""
    workers: Group | None = None
    """Those who run it together; None for one who runs it alone."""
    shards: Split | None = None
    """The parts of the program that these run; None where each takes steps of its own."""
    leaves: tuple[int, ...] = ()
    """Processors on which other workers compute."""
    first_row: int = 0
    """The number of the first row that this worker has, where it has not all of them."""
    sync_every: int | None = None
    """Steps of their own after which workers go on from their average."""
    first_epoch: int = 1
    """The number of the first epoch; above 1 where epochs of fits before are counted on."""

    def run(self) -> History:
        """All epochs; hooks are told of the end whatever happens.

        Raises DivergedError (see `Judge.raises`), SpecError for a schedule whose rates are none, DataError where a
        checkpoint cannot be written, and what hooks raise.
        """
        places = starts(self.source.samples, self.batch_size, self.least_batch)
        if (over := self.source.samples - int(places[-1])) > self.batch_size:
            warnings.warn(
                f"{self.source.samples:,} samples in batches of {self.batch_size:,} leave one over, and batch "
                f"normalisation needs two: the last batch of each epoch has {over:,} samples.",
                DataWarning,
                stacklevel=3,
            )
        state = FitState(
            network=self.network,
            epochs=self.epochs,
            steps_per_epoch=len(places),
            samples=self.source.samples,
            batch_size=self.batch_size,
            history=self.history,
            has_validation=self.judge.validates,
            engine=self.engine,
            program=self.program,
            data={name: read_only(pinned(array)) for name, array in self.data.items()},
            mask_seed=self.mask_seed,
            check=self.check,
            resumed=self.resumed is not None,
            settings={s.name: float(s.schedule.rates(0, 1)[0]) for s in self.settings},
            worker=0 if self.workers is None else self.workers.rank,
            workers=1 if self.workers is None else self.workers.size,
        )
        if self.resumed is not None:
            restore_history(self.history, self.resumed[1])
        begun: list[Callback] = []
        try:
            with terminable():
                for callback in self.callbacks:
                    begun.append(callback)
                    callback.on_fit_begin(state)
                self._train(state)
        except (KeyboardInterrupt, Terminated) as end:
            self.history.stopped = "interrupted" if isinstance(end, KeyboardInterrupt) else "terminated"
            raise
        finally:
            if state.stop_reason is not None:
                self.history.stopped = state.stop_reason
            with contextlib.ExitStack() as all_of_them:  # one that fails does not keep the others from their end
                all_of_them.callback(self.orders.close)
                for callback in reversed(begun):
                    all_of_them.callback(callback.on_fit_end, state)
        return self.history

    def _train(self, state: FitState) -> None:
        """Everything between the first hook and the last."""
        carried = self.optimizer_state or OptimizerState()
        handed_out = {**self.network.parameters, **self.network.state}
        arrays = {name: array.view() for name, array in handed_out.items()}
        averages = {s.of[0].name: s.name for s in self.program.stored if s.role == "slot" and s.how == "mean"}
        stored = {**carried.slots, **arrays}
        if all(np.array_equal(arrays[name], stored.get(averages.get(name, ""), ())) for name in carried.own):
            stored |= carried.own  # the averages are still where the last fit has put them
        # Who writes into the network's arrays must not find that a session has yet to read them.
        lent = () if any(callback.writes for callback in self.callbacks) else tuple(stored)
        with self._open(stored, lent) as session:
            if isinstance(self.orders, SeededOrders):
                self.orders.permute = session.permute
            run = _Run(self, state, session, arrays, carried.step)
            state.refresh = run.refresh
            ended = False
            try:
                if self.resumed is not None:
                    run.resume(*self.resumed)
                run.epochs()
                ended = True
            except (KeyboardInterrupt, Terminated):
                try:
                    run.write_down()
                except DataError as fault:  # the interrupt is what the caller waits for
                    warnings.warn(f"No checkpoint was written: {fault}", RuntimeWarning, stacklevel=2)
                raise
            finally:
                run.behind = True
                run.refresh()
                state.refresh = do_nothing
                if self.optimizer_state is not None:
                    slots = [s.name for s in self.program.stored if s.role == "slot"]
                    carried.slots, carried.step, carried.own = session.leave(slots), run.step, {}
                if averages and ended and run.step:
                    carried.own = {name: arrays[name].copy() for name in averages}
                    for name, mean in session.read(averages.values()).items():
                        arrays[self.program.symbols[name].of[0].name][...] = mean

    def _open(self, stored: Mapping[str, Array], lent: tuple[str, ...]) -> Session:
        """The session that takes the steps: of a group, each worker's own."""
        if self.workers is None:
            return self.engine.open(self.program, stored, lent)
        from chainrule.engines.shards.local import LocalSteps  # what only a group needs
        from chainrule.engines.shards.open import open_shards

        dtype = next(iter(self.network.parameters.values())).dtype
        if self.shards is None:
            inner = self.engine.open(self.program, stored)
            return LocalSteps(inner, self.workers, self.sync_every or 1, dtype, added=self.added)
        session = open_shards(self.engine, self.shards, stored, self.workers, dtype)
        session.first_row, session.leaves = self.first_row, self.leaves
        return session


class _Run:
    """A fit at work.

    arrays: the network's own.  step: steps taken before it.  Of the state, which callbacks may write to, nothing is
    read but why to stop.
    """

    def __init__(self, fit: Fit, state: FitState, session: Session, arrays: dict[str, Array], step: int) -> None:
        self.fit, self.state, self.session, self.arrays = fit, state, session, arrays
        self.step = state.step = step
        self.places = starts(fit.source.samples, fit.batch_size, fit.least_batch)
        """Where the batches of an epoch begin."""
        self.steps = len(self.places)
        self.dtype = next(iter(arrays.values())).dtype
        self.began = time.monotonic()
        self.behind = False
        """Whether the network's arrays are older than the session's."""
        self.touched = False
        """Whether somebody may have written into the network's arrays since the session has them."""
        self.position = Position(epoch=fit.first_epoch)
        """Where the fit stands, as of the last moment at which all that remembers something agreed."""
        self.remembered: Mapping[str, Any] = {}
        """What they remembered then; nothing where no checkpoints are asked for."""
        self.may_run_together = session.several_passes and may_run_together(fit)
        """Whether several epochs may be one call."""

    def epochs(self) -> None:
        """All epochs, unless something ends the fit before."""
        fit, state = self.fit, self.state
        last = fit.first_epoch + fit.epochs - 1
        while self.position.epoch <= last and state.stop_reason is None:
            number, begun = self.position.epoch, self.position.begun
            if not begun and self._together(number, last - number + 1):
                continue
            state.epoch = number - fit.first_epoch + 1
            if not begun:
                self._agree(Position(number))
                self._save_if_due(number - 1)
                self._tell(lambda callback: callback.on_epoch_begin(state))
            if not self._epoch(number):
                break
            self.position = Position(number + 1)
            late = self._late(number)
            ends = state.stop_reason is None and number < last and late is not None and late()
            if self._as_first(ends):
                break
        self._agree(Position(self.position.epoch))
        if fit.checkpoints is not None:
            self.write_down()

    # --- checkpoints -----------------------------------------------------------------------------------------------

    def resume(self, stored: Mapping[str, Array], saved: Mapping[str, Any]) -> None:
        """Goes on where the fit stood that left these."""
        self.session.write({**stored, **saved["slots"]})
        self.behind, self.step = True, saved["step"]
        self.state.step = self.step
        self.position = Position.of(saved["position"])
        self.state.stop_reason = saved["stop_reason"]
        recall(self.fit, saved["remembered"])
        self.refresh()
        self.remembered = remembered(self.fit)

    def _agree(self, position: Position) -> None:
        """Nothing is half done: what is remembered now belongs to this position."""
        self._write()
        if self.fit.checkpoints is not None:
            self.remembered = remembered(self.fit)
        self.position = position

    def _save_if_due(self, epochs: int) -> None:
        checkpoints = self.fit.checkpoints
        if checkpoints is not None and epochs >= self.fit.first_epoch and checkpoints.due(epochs):
            self.write_down()

    def write_down(self) -> None:
        """Writes a checkpoint, if they are asked for: the steps so far, and what was remembered at its position."""
        fit, position = self.fit, self.position
        if fit.checkpoints is None:
            return
        costs, taken = position.costs, position.taken
        if position.call is not None and self.session.calls == position.call:
            more = self.session.last.costs
            costs, taken = np.concatenate([costs, more]), taken + len(more)
        stored = self.session.read()
        step = self.step_at_epoch + taken if position.begun else self.step
        history = fit.history.to_dicts()[: self.remembered["records"]]
        value = None
        if not position.begun and history:
            last = history[-1]
            value = last["cost"] if last["validation_cost"] is None else last["validation_cost"]
        fit.checkpoints.save(
            {name: array for name, array in stored.items() if name in self.arrays},
            {
                "slots": {name: array for name, array in stored.items() if name not in self.arrays},
                "step": step,
                "position": position._replace(costs=costs, taken=taken, call=None).saved(),
                "history": history,
                "stopped": fit.history.stopped,
                "stop_reason": None if position.begun else self.state.stop_reason,
                "remembered": self.remembered,
            },
            step=step,
            value=value,
        )

    @property
    def step_at_epoch(self) -> int:
        """Steps taken before the epoch that is under way."""
        return self.position.step_before

    # --- the network's arrays and the session's --------------------------------------------------------------------

    def refresh(self) -> None:
        """Brings the network's arrays up to date."""
        if self.behind:
            rows = self.session.changes()
            self.fit.network.overwrite(lambda arrays: self.session.read_into(arrays, rows), rows)
            self.session.settled()
            self.behind = False

    def _tell(self, hook: Callable[[Callback], None], callbacks: tuple[Callback, ...] | None = None) -> None:
        """Calls a hook of all callbacks, or of these."""
        for callback in self.fit.callbacks if callbacks is None else callbacks:
            if callback.looks or callback.writes:  # who writes some of them must not undo the steps of the others
                self.refresh()
            self.touched |= callback.writes
            hook(callback)

    # --- an epoch --------------------------------------------------------------------------------------------------

    def _epoch(self, number: int) -> bool:
        """An epoch, or the rest of one, and all that follows from it; False if there was no time for a batch of it."""
        fit, state, before = self.fit, self.state, self.position.step_before if self.position.begun else self.step
        order = fit.orders.draw(number)
        rates = rates_of(fit.schedule, before, self.steps, self.dtype)
        settings = {s.name: s.numbers(before, self.steps, self.dtype) for s in fit.settings}
        if not self.position.begun:
            self._agree(Position(number, begun=True, step_before=before))
        if fit.judge.raises:
            self.session.mark()
        costs, seconds = self._steps(order, rates, settings, self._late(number))
        if fit.judge.raises:
            self._check(costs, number)
        if not len(costs):
            return False
        cost = self._cost(costs, order)
        state.learning_rate = rate = float(rates[len(costs) - 1])
        if fit.judge.looks:
            self.refresh()
        record = self._record(cost, rate, fit.judge.validate(cost), seconds)
        fit.history.append(record)
        if (reason := fit.judge.ends(record)) is not None:
            state.request_stop(reason)
        for schedule in (fit.schedule, *(setting.schedule for setting in fit.settings)):
            schedule.observe(cost if record.validation_cost is None else record.validation_cost)
        self._tell(lambda callback: callback.on_epoch_end(state, record))
        return True

    def _together(self, number: int, left: int) -> bool:
        """Runs several epochs in one call, where that is worth while; False if the next is to be run by itself."""
        fit, before = self.fit, self.step
        count = 0
        if self.may_run_together and number > fit.first_epoch:
            count = worth(fit, number, fit.history[-1].seconds, left)
        if count < 2 or (epoch := together(fit, number, count, before, self.steps, self.dtype)) is None:
            return False
        calls, costs, trouble = self.session.calls, np.zeros(0), None
        records = len(fit.history)
        self.session.mark()
        self.behind = True
        start = time.perf_counter()
        try:
            costs = self.session.epoch(epoch).costs
        except (KeyboardInterrupt, Terminated) as end:
            trouble = end
            if self.session.calls > calls:
                costs = self.session.last.costs
        seconds = time.perf_counter() - start
        if trouble is None and not (np.isfinite(costs).all() and self.session.finite(self.arrays)):
            # In which epoch it was, and what was before it, is found out one by one.
            self.may_run_together = False
            self.session.rewind()
            return False
        recorded = False
        while not recorded:
            try:
                self._passed(epoch, costs, number, before, records, seconds)
                recorded = True
            except (KeyboardInterrupt, Terminated) as end:  # what was done is to be in the history
                trouble = end
        if trouble is not None:
            raise trouble
        return True

    def _passed(
        self, epoch: Epoch, costs: NDArray[np.float64], number: int, before: int, records: int, seconds: float
    ) -> None:
        """Records the passes that were done, from epoch `number` on, and where the fit stands.

        before, records: steps and records before them.  Left by an exception, it may be called again.
        """
        fit, state, done = self.fit, self.state, len(costs)
        whole = costs[: done - done % self.steps].reshape(-1, self.steps)
        each, rates = seconds * self.steps / max(1, done), epoch.rates.reshape(-1, self.steps)
        for k in range(len(fit.history) - records, len(whole)):
            cost = self._cost(whole[k], epoch.order[k])
            fit.history.append(self._record(cost, float(rates[k, -1]), Validation(), each))
        self.step = state.step = before + done
        state.epoch = number - fit.first_epoch + len(whole) + (done < epoch.steps)
        if done:
            state.learning_rate = float(epoch.rates[done - 1])
            state.settings = {name: float(numbers[done - 1]) for name, numbers in epoch.settings.items()}
        self.position = Position(number + len(whole))

    def _as_first(self, value: bool) -> bool:
        """The same at all workers, as is why to stop: worker 0's, who alone looks at the clock."""
        workers, state = self.fit.workers, self.state
        if workers is None or workers.size == 1:
            return value
        value, state.stop_reason = workers.broadcast_value((value, state.stop_reason))
        return value

    def _write(self) -> None:
        """Hands the session what callbacks may have written."""
        if self.touched:
            self.refresh()
            self.session.write(self.arrays)
            self.touched = False

    def _steps(
        self,
        order: Any,
        rates: NDArray[np.float64],
        settings: Mapping[str, NDArray[np.float64]],
        late: Callable[[], bool] | None,
    ) -> tuple[NDArray[np.float64], float]:
        """The costs of an epoch's steps and the seconds they took, with a pause wherever a callback asks for one."""
        fit, state = self.fit, self.state
        checkpoints = fit.checkpoints if fit.checkpoints is not None and fit.checkpoints.every.epochs is None else None
        stop = late if checkpoints is None else lambda: checkpoints.due_now() or (late is not None and late())
        seconds, done = self.position.seconds, 0
        if self.position.pending:
            self._pause([fit.callbacks[k] for k in self.position.pending])
        for data, within, batch_size in self._pieces(order):
            steps = -(-len(within) // batch_size)
            part = Epoch(
                data=data,
                order=within,
                batch_size=batch_size,
                rates=rates[done : done + steps],
                first_step=self.position.step_before + done + 1,
                seed=fit.mask_seed,
                threads=fit.threads,
                settings={name: numbers[done : done + steps] for name, numbers in settings.items()},
            )
            while (first := self.position.taken - done) < steps:
                stops = [(callback, callback.next_stop(self.step)) for callback in fit.callbacks]
                nearest = min((at for _, at in stops if at is not None), default=self.step + steps)
                count = min(steps - first, max(1, nearest - self.step))
                self._write()
                start = time.perf_counter()
                self.behind = True
                self.position = self.position._replace(call=self.session.calls + 1, pending=())
                some = self.session.epoch(part.part(first, count), stop).costs
                seconds += time.perf_counter() - start
                taken, costs = self.position.taken + len(some), np.concatenate([self.position.costs, some])
                self.position = self.position._replace(taken=taken, costs=costs, call=None, seconds=seconds)
                self.step += len(some)
                state.step = self.step
                if not np.isfinite(some).all():
                    return costs, seconds
                due = checkpoints is not None and checkpoints.due_now()
                if len(some) < count:
                    due = self._as_first(due)
                if due and checkpoints is not None:
                    self.write_down()
                if not due and len(some) < count:
                    return costs, seconds
                if len(some):
                    last = first + len(some) - 1
                    state.settings = {name: float(numbers[last]) for name, numbers in part.settings.items()}
                    state.learning_rate = float(part.rates[first + len(some) - 1])
                called = [callback for callback, at in stops if at == self.step]
                if called and len(some) == count:
                    self._pause(called)
            done += steps
        return self.position.costs, seconds

    def _pieces(self, order: Any) -> Iterator[tuple[Mapping[str, Array], NDArray[np.int64], int]]:
        """(data, the order within them, the batch size), piece by piece of the epoch."""
        fit = self.fit
        for data, within in fit.source.parts(order, fit.batch_size, self.position.taken):
            for piece, batch_size in pieces(within, fit.batch_size, fit.least_batch):
                yield data, piece, batch_size

    def _pause(self, called: list[Callback]) -> None:
        """The hooks of a pause; left by an exception, they are called again where a fit goes on from there."""
        pending = tuple(k for k, callback in enumerate(self.fit.callbacks) if callback in called)
        self.position = self.position._replace(pending=pending)
        self._tell(lambda callback: callback.on_batches_end(self.state), tuple(called))
        self._agree(self.position._replace(pending=()))

    def _late(self, number: int) -> Callable[[], bool] | None:
        """Whether the time limit has passed; asked between batches.  None where nobody need ask."""
        limit = self.fit.time_limit
        if limit is None or (number == self.fit.first_epoch and self.fit.whole_first_epoch):
            return None

        def late() -> bool:
            if time.monotonic() - self.began < limit:
                return False
            self.state.request_stop(f"the time limit of {limit:g} s was reached")
            return True

        return late

    def _check(self, costs: NDArray[np.float64], number: int) -> None:
        """Raises DivergedError, everything as before the epoch, if a cost or a parameter is not finite."""
        finite = bool(np.isfinite(costs).all())
        if finite and self.session.finite(self.arrays):
            return
        self.session.rewind()
        self.behind, self.touched = True, False
        batch = len(costs) if finite else int(np.argmin(np.isfinite(costs))) + 1
        what = "the parameters are no longer finite" if finite else f"the cost is {costs[batch - 1]:g}"
        raise DivergedError(
            f"Training diverged in epoch {number}, batch {batch}: {what}. The parameters from before this epoch were "
            f"kept. Try a smaller learning rate, clip_norm=1.0, or standardised inputs.",
            epoch=number,
            batch=batch,
        )

    def _cost(self, costs: NDArray[np.float64], order: Any) -> float:
        """An epoch's."""
        fit = self.fit
        sums = fit.source.weight_sums(order, self.places) if len(costs) > 1 else None
        return epoch_cost(costs, self.places, fit.source.samples, sums, added=fit.added)

    def _record(self, cost: float, rate: float, validation: Validation, seconds: float) -> EpochRecord:
        return EpochRecord(
            epoch=len(self.fit.history) + 1,
            cost=cost,
            validation_cost=validation.cost,
            metric_name=validation.metric_name,
            validation_metric=validation.metric,
            learning_rate=rate,
            seconds=seconds,
            samples_per_second=self.fit.source.samples / seconds if seconds > 0 else math.inf,
        )
