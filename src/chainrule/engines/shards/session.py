"""A session whose batches are cut into shards: each worker computes its own, and all come to the same parameters.

    for each step, for each round: the worker's own shards ─▶ their sums ─▶ the sum over all shards of the batch
                   then, everywhere alike: the cost, the update

What is stored is the same at every worker, bit by bit: it follows from sums that are.  Whether to stop is worker 0's to
say, and goes with the sums, so that all stop before the same step.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.base import Array, Engine, Epoch, EpochResult, Session, Values
from chainrule.engines.shards.exchange import Summing, Workers
from chainrule.engines.shards.held import Held
from chainrule.engines.shards.order import Node, grown, nodes_of, of_worker, shard_count, shard_size
from chainrule.engines.shards.split import SAMPLES, Round, Split
from chainrule.program.equation import Program
from chainrule.program.symbol import BATCH, STORED, Symbol


@dataclass(frozen=True)
class Batch:
    """A step of an epoch."""

    epoch: Epoch
    """What it is of: its first step is this one."""
    order: NDArray[np.int64]
    """Its samples."""
    size: int
    """Samples of each shard but the last."""
    first_row: int = 0
    """The number of the first row that this worker has, where it has not all of them."""

    @property
    def shards(self) -> int:
        """How many it is cut into."""
        return shard_count(len(self.order), self.size)

    def rows(self, node: Node) -> NDArray[np.int64]:
        """The samples of a run of shards."""
        end = len(self.order) if node.end == self.shards else node.end * self.size
        rows = self.order[node.first * self.size : end]
        return rows - self.first_row if self.first_row else rows

    def numbers(self) -> dict[str, float | int]:
        """What is given for the step, by name."""
        first = {name: values[0] for name, values in self.epoch.settings.items()}
        return {**first, "lr": self.epoch.rates[0], "t": self.epoch.first_step, SAMPLES.name: float(len(self.order))}

    def seed(self, shard: int) -> int:
        """Of a shard's masks: they are counted from its own first sample."""
        return int(np.random.SeedSequence([self.epoch.seed, shard]).generate_state(1, np.uint64)[0])


class ShardedSession(Session):
    """Trains by shards.  Engines say how a run of them is computed, and how what is stored is updated."""

    def __init__(self, split: Split, workers: Workers, dtype: np.dtype[Any]) -> None:
        self.split, self.workers, self.dtype = split, workers, dtype
        self._summing = [
            Summing(workers, *self.length(k), dtype, self.place_of_total(k)) for k in range(len(split.rounds))
        ]
        self._costs: list[float] = []
        self.first_row = 0
        """The number of the first row that this worker has, where it has not all of them."""
        self.leaves: Sequence[int] = ()
        """Processors that are left to other workers."""

    # --- what engines say ------------------------------------------------------------------------------------------

    @abstractmethod
    def length(self, number: int) -> tuple[int, int]:
        """Of the vectors of a round: how many numbers, and how many of them are added up; of the rest the largest."""

    def place_of_total(self, number: int) -> Array | None:
        """Where the sums of a round are to be, if anywhere."""
        return None

    @abstractmethod
    def begin(self, batch: Batch) -> None:
        """A batch begins."""

    @abstractmethod
    def vector(self, number: int, batch: Batch, node: Node) -> Array:
        """What a run of shards comes to in a round: one number after the other, with a last one to spare."""

    @abstractmethod
    def know(self, number: int, total: Array) -> None:
        """The sums over all shards in that round."""

    @abstractmethod
    def update(self, batch: Batch) -> None:
        """Overwrites what is stored, from the sums; nothing, where J is not finite."""

    @property
    @abstractmethod
    def updated(self) -> EpochResult:
        """J, as soon as the update of the batch has been done."""

    # --- what follows ----------------------------------------------------------------------------------------------

    @property
    def last(self) -> EpochResult:
        """The steps so far."""
        return EpochResult(np.array([*self._costs, *self.updated.costs], np.float64))

    def epoch(self, epoch: Epoch, stop: Callable[[], bool] | None = None) -> EpochResult:
        """Step after step, until one is not finite, or worker 0 is told to stop."""
        self._start()
        self.calls += 1
        size = shard_size(epoch.batch_size)
        whole = shard_count(epoch.batch_size, size)
        own = [of_worker(rank, self.workers.size, whole) for rank in range(self.workers.size)]
        for k in range(epoch.steps):
            part = epoch.part(k, 1)
            batch = Batch(part, part.order, size, self.first_row)
            self.begin(batch)
            nodes = [nodes_of(shards, batch.shards) for shards in own]
            if not self._sums(batch, nodes, stop is not None and self.workers.rank == 0 and stop()):
                break
            self.update(batch)
            (cost,) = self.updated.costs
            self._forget(float(cost))
            if not math.isfinite(cost):
                break
        return self.last

    def _sums(self, batch: Batch, nodes: Sequence[Sequence[Node]], stop: bool) -> bool:
        """All rounds of a batch; False where the fit is to stop before it."""
        for number, summing in enumerate(self._summing):
            own = {node: self.vector(number, batch, node) for node in nodes[self.workers.rank]}
            for vector in own.values():
                vector[-1] = stop
            total = summing.over_all(own, nodes, batch.shards)
            if total[-1]:
                return False
            self.know(number, total)
        return True

    def _start(self) -> None:
        """An epoch begins, none of whose steps is done."""
        self._costs = []

    @abstractmethod
    def _forget(self, cost: float) -> None:
        """The update of a batch is over: its cost joins the others."""

    def run(self, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """Not of a program in parts: whoever looks at a step runs the whole program by the engine."""
        raise NotImplementedError("a program in shards is trained by `epoch` alone")


class PlainShards(Held, ShardedSession):
    """By the calls that every engine has: programs are run, and their values handed over as arrays."""

    def __init__(self, engine: Engine, split: Split, stored: Values, workers: Workers, dtype: np.dtype[Any]) -> None:
        super().__init__(split, workers, dtype)
        self.engine = engine
        arrays = {s.name: np.zeros([int(d) for d in s.shape], dtype) for s in split.stored()}
        arrays |= {name: np.array(stored[name], dtype) for name in arrays.keys() & stored.keys()}
        self._now: tuple[dict[str, Array], EpochResult] = (arrays, _NOTHING)
        """Beside what is stored the cost of the batch's update."""
        self._kept: dict[tuple[int, str], Array] = {}
        self._totals = {s.name: np.zeros([int(d) for d in s.shape], dtype) for s in split.totals.values()}

    def length(self, number: int) -> tuple[int, int]:
        """The numbers of all T_k, and one more."""
        one = self.split.rounds[number]
        sums, largest = (sum(_size(s) for s in symbols) for symbols in (one.sums, one.largest))
        return sums + largest + 1, sums

    def begin(self, batch: Batch) -> None:
        """Nothing is kept of another one."""
        self._kept = {}

    def vector(self, number: int, batch: Batch, node: Node) -> Array:
        """Shard after shard."""
        each = [self._of_shard(self.split.rounds[number], batch, k) for k in range(node.first, node.end)]
        return grown(each, self._summing[number].add)

    def _of_shard(self, one: Round, batch: Batch, shard: int) -> Array:
        rows = batch.rows(Node(shard, shard + 1))
        given: dict[str, Any] = {name: np.ascontiguousarray(a[rows]) for name, a in batch.epoch.data.items()}
        given |= {name: kept for (k, name), kept in self._kept.items() if k == shard}
        given["seed"] = batch.seed(shard)
        values = self._run(one.program, batch, given, len(rows), (*one.ends, *one.kept))
        self._kept |= {(shard, s.name): values[s.name] for s in one.kept}
        return np.concatenate([*(values[s.name].reshape(-1) for s in one.ends), np.zeros(1, self.dtype)])

    def _run(
        self, program: Program, batch: Batch, given: dict[str, Any], samples: int, wanted: tuple[Symbol, ...]
    ) -> dict[str, Array]:
        known: dict[str, Any] = {**self._now[0], **self._totals, **batch.numbers(), **given}
        read = {s.name: known[s.name] for s in program.given}
        return self.engine.run(program, {**read, BATCH: self.dtype.type(samples)}, tuple(s.name for s in wanted))

    def know(self, number: int, total: Array) -> None:
        """Cut up again."""
        end = 0
        for s in self.split.rounds[number].ends:
            first, end = end, end + _size(s)
            shape = [int(d) for d in s.shape]
            self._totals[self.split.totals[s.name].name] = total[first:end].reshape(shape).copy()

    def update(self, batch: Batch) -> None:
        """A run of the update, whose values take the place of what is stored."""
        program = self.split.update
        assert program.objective is not None
        changed = dict.fromkeys(e.target for e in program.update if e.target.role in STORED)
        values = self._run(program, batch, {}, 1, (*changed, program.objective))
        cost = np.array([values.pop(program.objective.name)], np.float64)
        stored = self._now[0] | ({n: np.array(v) for n, v in values.items()} if np.isfinite(cost).all() else {})
        self._now = (stored, EpochResult(cost))

    @property
    def updated(self) -> EpochResult:
        """What belongs to what is stored."""
        return self._now[1]

    def _forget(self, cost: float) -> None:
        self._costs, self._now = [*self._costs, cost], (self._now[0], _NOTHING)


_NOTHING = EpochResult(np.zeros(0))


def _size(symbol: Symbol) -> int:
    return math.prod(int(d) for d in symbol.shape)
