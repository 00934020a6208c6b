"""An estimator that several workers fit together: all of them have all rows, or each has rows of its own.

What is decided from targets and weights (classes, their weights, which rows are held out) is decided from those of all
rows, which every worker is told; inputs stay with who has them, but for the rows at the edges of the workers' blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight

from chainrule.engines.shards.order import SHARDS, of_worker
from chainrule.errors import DataError
from chainrule.estimators.arrays import Samples
from chainrule.estimators.stochastic import Given, clipped
from chainrule.estimators.task import Held, PartCosts, Task
from chainrule.group.base import Group
from chainrule.network import Network
from chainrule.train.batches import least_batch
from chainrule.train.checkpoint import digest_of
from chainrule.train.own_rows import deal, hand_over

Array = NDArray[Any]
Rows = NDArray[np.int64]


def check(owner: Any, workers: Group) -> None:
    """Raises ValueError for parameters that a group cannot have."""
    if owner.solver == "lbfgs" and owner.optimizer is None:
        raise ValueError(
            "A group trains by batches, whose parts its workers compute, and solver='lbfgs' has none. Use "
            "solver='adam' or 'sgd', or an optimizer."
        )
    named = owner.scoring is None or isinstance(owner.scoring, str)
    if workers.own_rows and owner.early_stopping and not named:
        raise ValueError(
            "scoring must be None or a name where workers have rows of their own: nobody has all samples that are held "
            f"out, to call {owner.scoring!r} with."
        )


def shared_random(given: Any, workers: Group) -> np.random.RandomState:
    """The same random numbers at all workers: those of worker 0's random_state."""
    seed = given if isinstance(given, int | np.integer) else check_random_state(given).randint(2**31 - 1)
    return np.random.RandomState(workers.broadcast_value(int(seed)))


@dataclass(frozen=True)
class Everybody:
    """What is known of the rows of all workers."""

    y: Any
    """Targets, as they were given."""
    weights: Array | None
    """sample_weight, where there are some."""
    first: int
    """The number of this worker's first row among them."""
    end: int
    """The one after its last."""

    @property
    def own(self) -> slice:
        """This worker's rows."""
        return slice(self.first, self.end)

    @classmethod
    def alone(cls, y: Any, weights: Array | None) -> Everybody:
        """Of one who has all rows."""
        return cls(y, weights, 0, y.shape[0])

    @classmethod
    def of(cls, workers: Group, owner: Any, X: Any, y: Any, weights: Array | None) -> Everybody:
        """Of workers with rows of their own, checked.  Raises GroupError where their columns differ."""
        texts = "numbers" if sparse.issparse(y) or y.dtype.kind in "biuf" else "texts"
        workers.same(
            {
                "the columns of X": f"{X.shape[1]} of {X.dtype}",
                "the names of the columns": str(list(getattr(owner, "feature_names_in_", ()))),
                "the targets": f"{'sparse ' * sparse.issparse(y)}{texts} × {y.shape[1:]}",
                "the weights of the samples": "none" if weights is None else "some",
            }
        )
        counts = workers.gather_values(y.shape[0])
        first = sum(counts[: workers.rank])
        all_weights = None if weights is None else np.concatenate(workers.gather_values(weights))
        return cls(_gathered(workers, y), all_weights, first, first + y.shape[0])


def _gathered(workers: Group, y: Any) -> Any:
    """The targets of all rows."""
    if sparse.issparse(y):
        return sparse.vstack(workers.gather_values(y.tocsr()), format="csr")
    if y.ndim > 1 or y.dtype.kind in "biuf":
        return np.concatenate(workers.gather_values(y))
    words, codes = np.unique(y, return_inverse=True)  # each text is sent once
    each = workers.gather_values((words, codes.astype(np.int32)))
    return np.concatenate([words[codes] for words, codes in each])


def own_weights(given: Any, X: Any) -> Array:
    """sample_weight of a worker's own rows, checked; those of others may count where none of these does."""
    weights = np.asarray(given)
    if weights.shape == (X.shape[0],) and weights.dtype.kind in "biuf" and not weights.any():
        return np.zeros(len(weights), X.dtype)
    checked: Array = _check_sample_weight(given, X)
    return checked


# --- rows that are trained on, and rows that are held out -----------------------------------------------------------


def dealt(owner: Any, workers: Group, net: Network, task: Task, out: Rows, everybody: Everybody) -> Given:
    """What a worker trains on, whose own rows are those of `task`: all but those held out, handed over.

    out: the numbers of the rows that are held out, rising.  Raises SpecError as `deal`.
    """
    left = everybody.y.shape[0] - len(out)
    kept = np.ones(everybody.end - everybody.first, bool)
    kept[out[np.searchsorted(out, everybody.first) : np.searchsorted(out, everybody.end)] - everybody.first] = False
    here = np.flatnonzero(kept)
    data = task.given(task.samples.rows(here), here)
    rows = deal(workers, data, clipped(owner.batch_size, left), least_batch(net.spec))
    seed = int(owner._random_state.randint(2**31 - 1))
    return Given(
        source=rows.source(),
        orders=rows.orders((seed, 1), bool(owner.shuffle)),
        samples=rows.blocks.rows,
        kind=task.kind,
        weighted=task.weights is not None,
        shown=rows.data,
        content=lambda: rows.digest,
        first_row=rows.first,
    )


@dataclass
class HeldByAll(Held):
    """Samples held out, of which each worker has some blocks: their number and bounds do not depend on the workers."""

    workers: Group
    """Those who have them."""
    blocks: Sequence[slice]
    """This worker's, within its own."""
    digest: str
    """Of all blocks."""

    def content(self) -> list[Array]:
        """The digest of all blocks."""
        return [np.frombuffer(self.digest.encode(), np.uint8)]

    def evaluate(self, net: Network) -> tuple[Array, float]:
        """Ŷ and J of all: each worker predicts its own blocks."""
        told = []
        for block in self.blocks:
            rows, w = self.task.samples.rows(block), None
            if self.task.weights is not None:
                w = self.task.weights[block][:, 0]
            size = float(len(rows) if w is None else w.sum())
            if size == 0:
                told.append((size, net.predict(rows), 0.0))
            else:
                told.append((size, *net.predict_and_cost(rows, self.task.targets[block], sample_weight=w)))
        everybodys = [one for each in self.workers.gather_values(told) for one in each]
        costs = PartCosts(net)
        for size, _, cost in everybodys:
            if size:
                costs.add(size, cost)
        return np.concatenate([prediction for _, prediction, _ in everybodys]), costs.mean()


def held_by_all(owner: Any, workers: Group, net: Network, task: Task, out: Rows, everybody: Everybody) -> HeldByAll:
    """The samples with the numbers `out`, rising, dealt out; task: this worker's own rows."""
    begins = np.searchsorted(out, [*workers.gather_values(everybody.first), everybody.y.shape[0]])
    bounds = np.arange(SHARDS + 1) * len(out) // SHARDS
    each = [of_worker(rank, workers.size, SHARDS) for rank in range(workers.size)]
    wanted = [(int(bounds[shards.start]), int(bounds[shards.stop])) for shards in each]
    here = out[begins[workers.rank] : begins[workers.rank + 1]] - everybody.first
    given = task.given(task.samples.rows(here), here)
    own = {name: hand_over(workers, array, begins, wanted) for name, array in given.items()}
    first, _ = wanted[workers.rank]
    blocks = [slice(int(bounds[k]) - first, int(bounds[k + 1]) - first) for k in each[workers.rank]]
    blocks = [block for block in blocks if block.start < block.stop]
    digests = [digest_of({name: array[block] for name, array in own.items()}) for block in blocks]
    everybodys = "".join(digest for told in workers.gather_values(digests) for digest in told)
    weights = np.concatenate(workers.gather_values(own["w"]))[:, 0] if "w" in own else None
    part = Task(Samples(own["X"], net.dtype), own["y" if task.kind == "labels" else "Y"], own.get("w"))
    digest = hashlib.sha256(everybodys.encode()).hexdigest()
    return HeldByAll(part, None, everybody.y[out], weights, workers, blocks, digest)


def check_encoded(owner: Any, workers: Group | None) -> None:
    """Raises DataError where inputs are learned from a frame of which each worker has other rows."""
    if workers is not None and workers.own_rows and "encoder_" in vars(owner):
        raise DataError(
            "X must hold numbers without gaps where workers have rows of their own: how texts and gaps become numbers "
            "would be learned from these rows alone."
        )
