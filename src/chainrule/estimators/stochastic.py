"""Training by mini-batches: scikit-learn's loop (orders, rates, stopping) around one engine call an epoch."""

from __future__ import annotations

import contextlib
import math
import sys
import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from chainrule.describe.layers import Dropout
from chainrule.engines.base import Epoch
from chainrule.estimators import parameters
from chainrule.estimators.solvers import Solver
from chainrule.estimators.task import Held, Task
from chainrule.network import Network
from chainrule.train.callbacks import Callback
from chainrule.train.history import EpochRecord, History
from chainrule.train.progress import Progress
from chainrule.train.state import FitState, Snapshot

Array = NDArray[Any]


def batch_size_of(owner: Any, samples: int) -> int:
    """batch_size, clipped to the samples with scikit-learn's warning."""
    if owner.batch_size == "auto":
        return min(200, samples)
    if owner.batch_size > samples:
        message = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
        warnings.warn(message, stacklevel=2)
    return int(np.clip(owner.batch_size, 1, samples))


class StochasticFit:
    """One call of fit or partial_fit.

    chosen: the samples to train on (those not held out).  held: what is scored after each epoch, or None.
    random: scikit-learn's stream of random numbers: one shuffle of the samples an epoch.
    """

    def __init__(
        self,
        owner: Any,
        net: Network,
        task: Task,
        chosen: NDArray[np.int64],
        held: Held | None,
        random: np.random.RandomState,
        *,
        incremental: bool,
    ) -> None:
        self.owner, self.net, self.task, self.chosen, self.held = owner, net, task, chosen, held
        self.random, self.incremental = random, incremental
        self.batch_size = batch_size_of(owner, len(chosen))
        self.steps = -(-len(chosen) // self.batch_size)
        self.epochs = 1 if incremental else int(owner.max_iter)
        solver = None if not incremental else getattr(owner, "_optimizer", None)
        self.solver: Solver = solver or owner._make_solver(self.steps)
        owner._optimizer = self.solver
        self.program = net.training_program(self.solver.optimizer, targets=task.kind, weighted=task.weights is not None)
        self.engine = net.engines.for_fit(self.program, len(chosen), int(owner.max_iter), self.batch_size)
        masks = any(isinstance(layer, Dropout) for layer in net.spec.layers)
        self.seed = int(random.randint(2**31 - 1)) if masks else 0
        self.threads = None if owner.threads is None else int(owner.threads)
        self.deadline = math.inf if owner.time_limit is None else time.perf_counter() + owner.time_limit
        early = owner.early_stopping
        self.restore = early if owner.restore_best_weights == "auto" else bool(owner.restore_best_weights)
        self.lines = bool(owner.verbose) and (incremental or not sys.stdout.isatty())

    def run(self) -> None:
        """All epochs, the hooks, and the best weights if they are asked for."""
        owner = self.owner
        if not self.incremental or self.net.history is None:
            self.net.history = History()
        history = self.net.history
        state = FitState(
            network=self.net,
            epochs=self.epochs,
            steps_per_epoch=self.steps,
            samples=len(self.chosen),
            batch_size=self.batch_size,
            history=history,
            has_validation=self.held is not None,
            engine=self.engine,
            program=self.program,
            data=self.task.whole(),
            mask_seed=self.seed,
        )
        bar = [Progress(True, stream=sys.stdout)] if owner.verbose and not self.lines else []
        hooks: tuple[Callback, ...] = (*parameters.callbacks(owner), *bar)
        if self.restore and getattr(owner, "_best", None) is None:
            owner._best = Snapshot(self.net)
        begun: list[Callback] = []
        owner.n_iter_ = 0
        owner.stopped_ = None
        try:
            for hook in hooks:
                begun.append(hook)
                hook.on_fit_begin(state)
            self._epochs(state, hooks)
        except KeyboardInterrupt:
            owner.stopped_ = "interrupted"
            warnings.warn("Training interrupted by user.", stacklevel=2)
        finally:
            history.stopped = owner.stopped_
            with contextlib.ExitStack() as all_of_them:
                for hook in reversed(begun):
                    all_of_them.callback(hook.on_fit_end, state)
        if self.restore and (not self.incremental or owner.stopped_):
            owner._best.restore(self.net)

    def _epochs(self, state: FitState, hooks: tuple[Callback, ...]) -> None:
        owner, samples = self.owner, len(self.chosen)
        arrays = {**self.net.parameters, **self.net.state}
        stored = self.solver.stored(self.program, arrays)
        order = np.arange(samples, dtype=np.int64)
        whole = samples == len(self.task.samples)
        for number in range(1, self.epochs + 1):
            state.epoch = number
            for hook in hooks:
                hook.on_epoch_begin(state)
            if owner.shuffle:
                turn = np.arange(samples)
                self.random.shuffle(turn)
                order = order[turn]
            start = time.perf_counter()
            rates = self.solver.rates(self.steps)
            costs = self._epoch(stored, order if whole else self.chosen[order], rates)
            seconds = time.perf_counter() - start
            if not len(costs):  # the time was up before the first batch
                owner.stopped_ = self._time_is_up()
                break
            sizes = np.full(len(costs), self.batch_size, np.float64)
            if len(costs) == self.steps:
                sizes[-1] = samples - self.batch_size * (self.steps - 1)
            loss = float(costs @ sizes / sizes.sum())
            owner.n_iter_ += 1
            owner.loss_ = loss
            owner.t_ += samples
            owner.loss_curve_.append(loss)
            if self.lines:
                print(f"Iteration {owner.n_iter_}, loss = {loss:.8f}")
            score, held_cost = self._validate(math.isfinite(loss))
            self._judge(loss, score)
            self.solver.epoch_ends(owner.t_, loss if held_cost is None else held_cost)
            state.step = self.solver.taken
            state.learning_rate = float(rates[max(0, len(costs) - 1)])
            record = EpochRecord(
                epoch=number if not self.incremental else len(state.history) + 1,
                cost=loss,
                validation_cost=held_cost,
                metric_name=None if score is None else owner._score_name(),
                validation_metric=score,
                learning_rate=state.learning_rate,
                seconds=seconds,
                samples_per_second=samples / seconds if seconds > 0 else math.inf,
            )
            state.history.append(record)
            for hook in hooks:
                hook.on_epoch_end(state, record)
            if self._ends(state, loss, number):
                break

    def _epoch(self, stored: dict[str, Array], order: NDArray[np.int64], rates: NDArray[np.float64]) -> Array:
        """One pass over the samples, one engine call (several where sparse samples do not fit); J of each step."""
        costs: list[Array] = []
        done = 0
        for rows, chosen, within in self.task.samples.parts(order, self.batch_size):
            steps = -(-len(within) // self.batch_size)
            epoch = Epoch(
                data=self.task.given(rows, chosen),
                order=within,
                batch_size=self.batch_size,
                rates=rates[done : done + steps],
                first_step=self.solver.taken + 1,
                seed=self.seed,
                threads=self.threads,
            )
            stop = None if math.isinf(self.deadline) or self.owner.n_iter_ == 0 else self._late
            found = self.engine.epoch(self.program, stored, epoch, stop).costs
            costs.append(found)
            self.solver.taken += len(found)
            done += steps
            if len(found) < steps or not np.isfinite(found[-1]):
                break
        return np.concatenate(costs)

    def _late(self) -> bool:
        """Whether the time is up; it is asked from the second epoch on, so that there is always one."""
        return time.perf_counter() > self.deadline

    def _time_is_up(self) -> str:
        return f"the time limit of {self.owner.time_limit:g} s was reached"

    def _validate(self, finite: bool) -> tuple[float | None, float | None]:
        """(the score that early stopping goes by, J) of the samples held out."""
        if self.held is None:
            return None, None
        score, cost = self.owner._score_held(self.held) if finite else (math.nan, math.nan)
        self.owner.validation_loss_curve_.append(cost)
        if self.owner.early_stopping or self.owner.validation_scores_ is not None:
            self.owner.validation_scores_.append(score)
        if self.lines:
            print(f"Validation score: {score:f}")
        return score, cost

    def _judge(self, loss: float, score: float | None) -> None:
        """Counts epochs without an improvement of more than tol, and keeps the best weights."""
        owner = self.owner
        improved = False
        if owner.early_stopping:
            assert score is not None
            owner._no_improvement_count = (
                owner._no_improvement_count + 1 if score < owner.best_validation_score_ + owner.tol else 0
            )
            if score > owner.best_validation_score_:
                owner.best_validation_score_, improved = score, True
        else:
            best = math.inf if owner.best_loss_ is None else owner.best_loss_  # None after early stopping
            owner._no_improvement_count = owner._no_improvement_count + 1 if loss > best - owner.tol else 0
            improved = loss < best
            if improved:
                owner.best_loss_ = loss
            if score is not None and (owner.best_validation_score_ is None or score > owner.best_validation_score_):
                owner.best_validation_score_ = score
        if improved and self.restore:
            owner._best.update(self.net)

    def _ends(self, state: FitState, loss: float, number: int) -> bool:
        """Whether this was the last epoch, and why."""
        owner = self.owner
        if not math.isfinite(loss):
            owner.stopped_ = f"the loss is {loss:g}"
            warnings.warn(
                f"The loss is {loss:g} in iteration {number}: the training has diverged and was stopped. Try a smaller "
                "learning_rate_init, clip_norm=1.0, or standardised inputs.",
                ConvergenceWarning,
                stacklevel=2,
            )
            return True
        if owner._no_improvement_count > owner.n_iter_no_change:
            what = "Validation score" if owner.early_stopping else "Training loss"
            message = (
                f"{what} did not improve more than tol={owner.tol:f} for {owner.n_iter_no_change} consecutive epochs."
            )
            going_on = self.solver.settles()
            if self.lines:
                ending = "Learning rate too small. Stopping." if self.solver.mode == "adaptive" else "Stopping."
                print(f"{message} {going_on or ending}")
            if not going_on:
                owner.stopped_ = message
                return True
            owner._no_improvement_count = 0
        if state.stop_reason is not None:
            owner.stopped_ = state.stop_reason
            return True
        if self._late():
            owner.stopped_ = self._time_is_up()
            return True
        if not self.incremental and number == owner.max_iter:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({owner.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return False
