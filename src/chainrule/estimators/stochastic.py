"""Training by mini-batches: scikit-learn's order, rates and stopping as policies of the training loop."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from chainrule.describe.layers import Dropout
from chainrule.describe.losses import Targets
from chainrule.display import in_notebook
from chainrule.estimators import parameters
from chainrule.estimators.curves import Curves
from chainrule.estimators.solvers import Solver
from chainrule.estimators.task import Held, Task
from chainrule.group.base import Group
from chainrule.network import Network
from chainrule.train.batches import least_batch
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import Asked
from chainrule.train.history import EpochRecord, History
from chainrule.train.loop import Fit
from chainrule.train.network_checkpoints import checkpoints_of
from chainrule.train.policies import Judge, Order, Orders, Source, Validation
from chainrule.train.progress import Progress
from chainrule.train.state import Snapshot
from chainrule.train.workers import agreed, begin_alike, begun, check_shards, compare, in_shards, shared_out

Array = NDArray[Any]


class ChosenSamples:
    """A task's samples, or some of them, as the loop takes them: sparse ones made dense a part at a time."""

    def __init__(self, task: Task, chosen: NDArray[np.int64]) -> None:
        self.task, self.samples = task, len(chosen)
        self._chosen = None if len(chosen) == len(task.samples) else chosen

    def parts(self, order: Order, batch_size: int, skip: int = 0) -> Iterator[tuple[Mapping[str, Array], Order]]:
        """(data, the order within them)."""
        order = order if self._chosen is None else self._chosen[order]
        for rows, which, within in self.task.samples.parts(order, batch_size):
            yield self.task.given(rows, which), within

    def weight_sums(self, order: Order, places: Order) -> NDArray[np.float64] | None:
        """None: scikit-learn's curve counts each batch by its samples, whatever they weigh."""
        return None


@dataclass
class Given:
    """What a fit trains on."""

    source: Source
    """Where the loop has its samples from."""
    orders: Orders
    """In which order."""
    samples: int
    """How many."""
    kind: Targets
    """What the targets are."""
    weighted: bool
    """Whether samples have weights."""
    shown: Mapping[str, Array]
    """What callbacks may look at."""
    content: Callable[[], Mapping[str, Array] | str]
    """By which a checkpoint knows the data again."""
    first_row: int = 0
    """The number of the first row, where other workers have those before."""

    @classmethod
    def of(cls, task: Task, chosen: NDArray[np.int64], random: np.random.RandomState, shuffle: bool) -> Given:
        """The chosen samples of a task, in scikit-learn's order."""

        def content() -> dict[str, Array]:
            weights = {} if task.weights is None else {"w": task.weights}
            return {**task.samples.content, "y": task.targets, "chosen": chosen, **weights}

        orders = ShuffledAgain(random, len(chosen), shuffle)
        source = ChosenSamples(task, chosen)
        return cls(source, orders, len(chosen), task.kind, task.weights is not None, task.whole(), content)


class ShuffledAgain:
    """scikit-learn's orders: each epoch's is the one before, shuffled by the estimator's stream of random numbers."""

    def __init__(self, random: np.random.RandomState, samples: int, shuffle: bool) -> None:
        self.random, self.shuffle = random, shuffle
        self.order: Order = np.arange(samples, dtype=np.int64)
        self.epoch = 0

    def draw(self, epoch: int) -> Order:
        """The order of the next epoch."""
        if epoch > self.epoch and self.shuffle:
            turn = np.arange(len(self.order))
            self.random.shuffle(turn)
            self.order = self.order[turn]
        self.epoch = epoch
        return self.order

    def state(self) -> dict[str, Any]:
        """The order, its epoch, and where the random numbers are."""
        return {"order": self.order, "epoch": self.epoch, "random": self.random.get_state(legacy=False)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        self.order, self.epoch = state["order"], state["epoch"]
        self.random.set_state(state["random"])

    def close(self) -> None:
        """Nothing is under way."""


@dataclass
class JudgedByScikitLearn(Judge):
    """Counts epochs without an improvement of more than tol, and keeps the best weights."""

    network: Network
    """What is trained."""
    solver: Solver
    """Its rates: "adaptive" lowers them before it gives up."""
    curves: Curves
    """What is written down."""
    score: Callable[[], tuple[float, float]] | None
    """(the score that early stopping goes by, J) of the samples held out; None where there are none."""
    score_name: str
    """What that score is called."""
    early_stopping: bool
    """Whether the score is what counts, else the loss."""
    tol: float
    """What an improvement must exceed."""
    patience: int
    """Epochs without one that end the fit if they are exceeded (n_iter_no_change)."""
    keeps_best: bool
    """Whether the weights of the best epoch are kept."""
    lines: bool
    """Whether to print scikit-learn's lines."""
    epochs: int = 0
    """Epochs so far in this call."""

    raises = False

    def __post_init__(self) -> None:
        self.validates = self.score is not None
        self.looks = self.validates or self.keeps_best

    def validate(self, cost: float) -> Validation:
        """The score and J of the samples held out."""
        self.epochs += 1
        self.curves.losses.append(cost)
        if self.lines:
            print(f"Iteration {self.epochs}, loss = {cost:.8f}")
        if self.score is None:
            return Validation()
        score, held_cost = self.score() if math.isfinite(cost) else (math.nan, math.nan)
        curves = self.curves
        if curves.held_losses is not None:
            curves.held_losses.append(held_cost)
        if curves.scores is not None:
            curves.scores.append(score)
        if self.lines:
            print(f"Validation score: {score:f}")
        return Validation(held_cost, self.score_name, score)

    def ends(self, record: EpochRecord) -> str | None:
        """Whether this was the last epoch, and why."""
        if self._improves(record.cost, record.validation_metric) and self.keeps_best:
            assert self.curves.best is not None
            self.curves.best.update(self.network)
        if not math.isfinite(record.cost):
            warnings.warn(
                f"The loss is {record.cost:g} in iteration {self.epochs}: the training has diverged and was stopped. "
                "Try a smaller learning_rate_init, clip_norm=1.0, or standardised inputs.",
                ConvergenceWarning,
                stacklevel=2,
            )
            return f"the loss is {record.cost:g}"
        if self.curves.waited <= self.patience:
            return None
        what = "Validation score" if self.early_stopping else "Training loss"
        message = f"{what} did not improve more than tol={self.tol:f} for {self.patience} consecutive epochs."
        going_on = self.solver.settles()
        if self.lines:
            ending = "Learning rate too small. Stopping." if self.solver.mode == "adaptive" else "Stopping."
            print(f"{message} {going_on or ending}")
        if not going_on:
            return message
        self.curves.waited = 0
        return None

    def state(self) -> dict[str, Any]:
        """The curves so far and the best weights."""
        c = self.curves
        return {
            "epochs": self.epochs,
            "losses": [*c.losses],
            "held_losses": None if c.held_losses is None else [*c.held_losses],
            "scores": None if c.scores is None else [*c.scores],
            "best_loss": c.best_loss,
            "best_score": c.best_score,
            "waited": c.waited,
            "weights": None if c.best is None else c.best.arrays(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        c = self.curves
        self.epochs, c.losses[:] = state["epochs"], state["losses"]
        c.held_losses, c.scores = state["held_losses"], state["scores"]
        c.best_loss, c.best_score, c.waited = state["best_loss"], state["best_score"], state["waited"]
        c.best = None if state["weights"] is None else Snapshot.of(state["weights"])

    def _improves(self, loss: float, score: float | None) -> bool:
        """Whether the epoch is the best so far; counts those that are not better by tol."""
        curves, improved = self.curves, False
        if self.early_stopping:
            assert score is not None and curves.best_score is not None
            curves.waited = curves.waited + 1 if score < curves.best_score + self.tol else 0
            if score > curves.best_score:
                curves.best_score, improved = score, True
            return improved
        best = math.inf if curves.best_loss is None else curves.best_loss  # None after early stopping
        curves.waited = curves.waited + 1 if loss > best - self.tol else 0
        if loss < best:
            curves.best_loss, improved = loss, True
        if score is not None and (curves.best_score is None or score > curves.best_score):
            curves.best_score = score
        return improved


@dataclass(frozen=True)
class StochasticSettings:
    """The parameters of an estimator that this loop goes by, under scikit-learn's names."""

    max_iter: int
    """Epochs of a fit at most."""
    batch_size: int
    """Samples a batch, no more than there are."""
    shuffle: bool
    """Whether every epoch has an order of its own."""
    early_stopping: bool
    """Whether the score of samples held out decides about the end."""
    tol: float
    """What an improvement must exceed."""
    n_iter_no_change: int
    """Epochs without one that end the fit if they are exceeded."""
    restore_best: bool
    """Whether the weights of the best epoch come back at the end."""
    verbose: bool
    """Whether epochs are printed."""
    callbacks: tuple[Callback, ...]
    """The user's."""
    time_limit: float | None
    """Seconds, or None."""
    threads: int | None
    """At most; None for as many as are worth it."""
    incremental: bool
    """One epoch, as a part of a longer training (partial_fit)."""

    @classmethod
    def of(cls, owner: Any, samples: int, incremental: bool) -> StochasticSettings:
        """Those of an estimator that is fitted to so many samples, its batches clipped with scikit-learn's warning."""
        best = owner.restore_best_weights
        return cls(
            max_iter=int(owner.max_iter),
            batch_size=batch_size_of(owner.batch_size, samples),
            shuffle=bool(owner.shuffle),
            early_stopping=bool(owner.early_stopping),
            tol=float(owner.tol),
            n_iter_no_change=owner.n_iter_no_change,
            restore_best=bool(owner.early_stopping if best == "auto" else best),
            verbose=bool(owner.verbose),
            callbacks=tuple(parameters.callbacks(owner)),
            time_limit=None if owner.time_limit is None else float(owner.time_limit),
            threads=None if owner.threads is None else int(owner.threads),
            incremental=incremental,
        )


def batch_size_of(given: Any, samples: int) -> int:
    """batch_size, clipped to the samples with scikit-learn's warning."""
    if given != "auto" and given > samples:
        message = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
        warnings.warn(message, stacklevel=2)
    return clipped(given, samples)


def clipped(given: Any, samples: int) -> int:
    """batch_size, no more than there are samples."""
    return min(200, samples) if given == "auto" else int(np.clip(given, 1, samples))


def fit_stochastic(
    net: Network,
    given: Given,
    held: Held | None,
    solver: Solver,
    random: np.random.RandomState,
    settings: StochasticSettings,
    curves: Curves,
    score: Callable[[Held], tuple[float, float]],
    score_name: str,
    check: Callable[[Any, Any], Mapping[str, Array]],
    asked: Asked | None = None,
    workers: Group | None = None,
) -> str | None:
    """One call of fit or partial_fit; why it ended before max_iter, or None.

    given: the samples to train on.  held: what is scored after each epoch, or None.  solver,
    curves: where the calls before have led to; they and the network are what this one changes, however it ends.
    random: scikit-learn's stream of random numbers.  score: (what early stopping goes by, J) of samples held out.
    check: for callbacks that bring data of their own.  asked: for checkpoints.  workers: those who fit together.
    """
    s, samples = settings, given.samples
    epochs = 1 if s.incremental else s.max_iter
    first = workers is None or workers.rank == 0
    with agreed(workers):
        program = net.training_program(solver.optimizer, targets=given.kind, weighted=given.weighted)
        shards = in_shards(program, workers, None)
        engine = net.engines.for_fit(program, samples, s.max_iter, s.batch_size)
    masks = any(isinstance(layer, Dropout) for layer in net.spec.layers)
    seed = int(random.randint(2**31 - 1)) if masks else 0
    threads = s.threads
    leaves: tuple[int, ...] = ()
    others = [] if held is None else held.content()
    same: dict[str, Any] = {"optimizer": solver.optimizer.to_dict(), "batch size": s.batch_size, "shuffle": s.shuffle}
    same |= {"early stopping": [s.early_stopping, s.tol, s.n_iter_no_change, s.restore_best], "masks": seed}
    if workers is not None:
        told = {"epochs": epochs, "rates": solver.state(), "so far": len(curves.losses), "score": score_name}
        told["checkpoint"] = None if asked is None else [asked.every, asked.resume]
        compare(workers, engine, program, given.content(), others, same | told)
        check_shards(workers, s.batch_size)
        threads, leaves = shared_out(workers, threads)
        begin_alike(workers, net, 0)
    if not s.incremental or net.history is None:
        net.history = History()
    net.history.stopped = None
    solver.samples = samples
    lines = s.verbose and first and (s.incremental or not (sys.stdout.isatty() or in_notebook()))
    bar = [Progress(True, stream=None if in_notebook() else sys.stdout)] if s.verbose and first and not lines else []
    if s.restore_best and curves.best is None:
        curves.best = Snapshot(net)
    judge = JudgedByScikitLearn(
        network=net,
        solver=solver,
        curves=curves,
        score=None if held is None else lambda: score(held),
        score_name=score_name,
        early_stopping=s.early_stopping,
        tol=s.tol,
        patience=s.n_iter_no_change,
        keeps_best=s.restore_best,
        lines=lines,
    )
    checkpoints, resumed = None, None
    if asked is not None:
        if workers is not None:
            same["sums over the samples"] = "in shards"
        origin = {"seed": net.seed, "fit": 1}
        checkpoints = checkpoints_of(asked, net.spec, net.dtype, origin, given.content(), others, same)
        resumed = begun(workers, checkpoints, asked.resume)
        checkpoints = checkpoints if first else None
    fit = Fit(
        network=net,
        engine=engine,
        program=program,
        source=given.source,
        orders=given.orders,
        schedule=solver,
        settings=solver.settings,
        judge=judge,
        epochs=epochs,
        batch_size=s.batch_size,
        mask_seed=seed,
        callbacks=(*s.callbacks, *bar),
        history=net.history,
        data=given.shown,
        check=check,
        least_batch=least_batch(net.spec),
        threads=threads,
        time_limit=s.time_limit,
        whole_first_epoch=True,
        optimizer_state=solver.carried,
        checkpoints=checkpoints,
        resumed=resumed,
        workers=workers,
        shards=shards,
        leaves=leaves,
        first_row=given.first_row,
    )
    try:
        fit.run()
    except KeyboardInterrupt:
        if workers is not None:  # the others are elsewhere
            raise
        warnings.warn("Training interrupted by user.", stacklevel=2)
    stopped = net.history.stopped
    if stopped is None and not s.incremental:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({s.max_iter}) reached and the optimization hasn't converged "
            "yet.",
            ConvergenceWarning,
            stacklevel=2,
        )
    if s.restore_best and (stopped or not s.incremental):
        assert curves.best is not None
        curves.best.restore(net)
    return stopped
