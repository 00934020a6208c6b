"""Batches in shards, by machine code: what is stored and what shards come to stay as machine code has them.

shards    a call for a run of them: a shard is a chunk, four of them are a group, and groups are added up in pairs
update    a session of the update's program, in whose buffer the sums over all shards stand beside the parameters
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from chainrule.engines.base import Array, Epoch, EpochResult, Values
from chainrule.engines.compiled.call import Call
from chainrule.engines.compiled.plan.kinds import kinds_of
from chainrule.engines.compiled.plan.memory import FOUR, size_of, stored_places
from chainrule.engines.compiled.plan.recipe import CHUNK, Recipe, chunk_for
from chainrule.engines.compiled.session import CompiledSession
from chainrule.engines.shards.exchange import Workers
from chainrule.engines.shards.order import Node, grown
from chainrule.engines.shards.session import Batch, ShardedSession
from chainrule.engines.shards.split import SAMPLES, Split
from chainrule.program.op import Mask

if TYPE_CHECKING:
    from chainrule.engines.compiled.engine import CompiledEngine

MOST = 4 * CHUNK
"""Samples of a shard up to which it is one chunk, though it be larger than others are: its sums are made once."""
SPARE = 16
"""Numbers after the last sum, of which the last one says whether to stop: a cache line."""
_ONE = np.zeros(1, np.int64)
"""The order of a batch without samples."""


def supports(engine: CompiledEngine, split: Split) -> bool:
    """Whether shards and update can share one buffer: one round, and everything lies alike in both programs.

    What rows are looked up in does not: where rows are looked up it is a table, and a weight where it is updated.
    """
    if len(split.rounds) != 1:
        return False
    shard, update = split.rounds[0].program, split.update
    of_shard, of_update = kinds_of(shard), kinds_of(update)
    if stored_places(shard, of_shard, engine.layout) != stored_places(update, of_update, engine.layout):
        return False
    if any(of_shard[s.name] != of_update[s.name] for s in update.stored):
        return False
    return all(of_shard[name] == of_update[total.name] for name, total in split.totals.items())


class CompiledShards(ShardedSession):
    """One call for a run of shards, one for the update."""

    def __init__(self, engine: CompiledEngine, split: Split, stored: Values, workers: Workers) -> None:
        self.engine = engine
        (self._round,) = split.rounds
        zeros = {s.name: np.zeros([int(d) for d in s.shape], engine.dtype) for s in split.totals.values()}
        self.inner = CompiledSession(engine, split.update, {**stored, **zeros}, spare=SPARE)
        kinds = self.inner.kinds
        totals = [split.totals[s.name] for s in self._round.ends]
        self._first = min(self.inner.places[s.name] for s in totals)
        sizes = {s.name: size_of(s, kinds[s.name], engine.layout) for s in totals}
        self._spans = {
            s.name: (self.inner.places[total.name] - self._first, sizes[total.name])
            for s, total in zip(self._round.ends, totals, strict=True)
        }
        """Where each T_k begins in a vector, and how many numbers it has."""
        largest = [self._spans[s.name][0] for s in self._round.largest]
        self._length = self.inner.packed.size - self._first
        self._added = min(largest, default=self._length - SPARE)
        super().__init__(split, workers, engine.dtype)
        self._used = 0
        self._masked = any(isinstance(e.op, Mask) for e in self._round.program.equations)
        self._call: Call | None = None
        self._vectors: dict[int, Array] = {}
        self._so_far: tuple[int, tuple[float, ...]] = (0, ())
        """Calls of the inner session before the epoch, and the costs of its steps: both at once."""

    def length(self, number: int) -> tuple[int, int]:
        """The end of the buffer, from the first sum on."""
        return self._length, self._added

    def place_of_total(self, number: int) -> Array:
        """That end."""
        return self.inner.packed[self._first :]

    def begin(self, batch: Batch) -> None:
        """The vectors may be used again; the first is where the sum of a single one has to be anyway."""
        self._used = 0
        self._vectors[0] = self.place_of_total(0)

    # --- the shards ------------------------------------------------------------------------------------------------

    def vector(self, number: int, batch: Batch, node: Node) -> Array:
        """In one call; shard by shard where each has masks of its own, or is larger than a chunk."""
        if batch.size <= MOST and not self._masked:
            return self._of(batch, node)
        each = [self._of(batch, Node(k, k + 1)) for k in range(node.first, node.end)]
        return grown(each, self._summing[number].add)

    def _of(self, batch: Batch, node: Node) -> Array:
        engine, program, epoch = self.engine, self._round.program, batch.epoch
        rows = batch.rows(node)
        chunk, fours = (batch.size, True) if batch.size <= MOST else (chunk_for(program, engine.layout.panel), False)
        names = tuple(s.name for s in self._round.ends)
        nonzero = engine.nonzero(program, epoch.data)
        unit = engine.unit(program, Recipe(names, large=True, nonzero=nonzero, chunk=chunk, in_fours=fours))
        most = max(len(rows), batch.size)
        threads = min(engine.threads(unit, len(rows), epoch.threads), FOUR)
        if self._call is None or self._call.batch < most or not self._call.serves(unit, self._call.batch, threads):
            self._call = Call(engine, unit, most, threads)
            self._call.leaves = self.leaves
        numbers = batch.numbers()
        self._call.run(
            self.inner.packed,
            epoch.data,
            rows,
            len(rows),
            {s.name: np.full(1, numbers[s.name]) for s in program.given if s.role == "rate"},
            first_step=epoch.first_step,
            seed=batch.seed(node.first) if self._masked else epoch.seed,
        )
        vector = self._vector()
        for name, (at, count) in self._spans.items():
            place = unit.memory.fixed[name]
            vector[at : at + count] = self._call.fixed[place : place + count]
        return vector

    def _vector(self) -> Array:
        """One that nobody uses."""
        if self._used not in self._vectors:
            self._vectors[self._used] = np.zeros(self._length, self.dtype)
        self._used += 1
        return self._vectors[self._used - 1]

    # --- the update ------------------------------------------------------------------------------------------------

    def know(self, number: int, total: Array) -> None:
        """They are where the update reads them."""

    def update(self, batch: Batch) -> None:
        """One call."""
        epoch = batch.epoch
        settings = {**epoch.settings, SAMPLES.name: np.full(1, float(len(batch.order)))}
        self.inner.epoch(Epoch({}, _ONE, 1, epoch.rates, epoch.first_step, epoch.seed, epoch.threads, settings))

    @property
    def updated(self) -> EpochResult:
        """What machine code says it has done since the steps that are counted."""
        before, costs = self._so_far
        return EpochResult(np.zeros(0)) if self.inner.calls == before + len(costs) else self.inner.last

    @property
    def last(self) -> EpochResult:
        """The steps so far."""
        return EpochResult(np.array([*self._so_far[1], *self.updated.costs], np.float64))

    def _start(self) -> None:
        self._so_far = (self.inner.calls, ())

    def _forget(self, cost: float) -> None:
        before, costs = self._so_far
        self._so_far = (before, (*costs, cost))

    # --- what is stored --------------------------------------------------------------------------------------------

    def read(self, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Unpacks into new arrays."""
        return self.inner.read([s.name for s in self.split.stored()] if names is None else names)

    def read_into(self, arrays: Mapping[str, Array], rows: Mapping[str, Array] | None = None) -> None:
        """Unpacks into these arrays."""
        self.inner.read_into(arrays, rows)

    def write(self, arrays: Values) -> None:
        """Packs these arrays."""
        self.inner.write(arrays)

    def finite(self, names: Iterable[str]) -> bool:
        """As the inner session."""
        return self.inner.finite(names)

    def mark(self) -> None:
        """Copies the buffer."""
        self.inner.mark()

    def rewind(self) -> None:
        """Copies it back."""
        self.inner.rewind()

    def close(self) -> None:
        """Lets go of the memory."""
        super().close()
        self._call = None
        self._vectors = {}
        self.inner.close()
