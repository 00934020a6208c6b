"""Workers who are each given rows of their own: as many blocks of rows as a batch has shards, a shard of each block.

The rows of all workers, one after the other, are cut into blocks; shard k of every batch has rows of block k, in an
order of that block's own.  So a worker needs the blocks of its own shards alone, and what comes of it depends on the
rows and their order, not on who had which.  At the beginning workers hand each other the rows at their edges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.base import sample_count
from chainrule.engines.shards.order import of_worker, shard_count, shard_size
from chainrule.errors import SpecError
from chainrule.train.checkpoint import digest_of

if TYPE_CHECKING:
    from chainrule.group.base import Group

Array = NDArray[Any]
Order = NDArray[np.int64]


@dataclass(frozen=True)
class Allotment:
    """Which rows are whose: the blocks of so many rows, for batches of so many samples."""

    rows: int
    """Of all workers."""
    batch_size: int
    """Samples a step."""

    @property
    def shares(self) -> Order:
        """Rows of each block in a whole batch."""
        size = shard_size(self.batch_size)
        firsts = np.arange(shard_count(self.batch_size, size)) * size
        return np.minimum(size, self.batch_size - firsts).astype(np.int64)

    @property
    def whole(self) -> int:
        """Whole batches of an epoch."""
        return self.rows // self.batch_size

    @property
    def starts(self) -> Order:
        """The first row of each block, and the end of the last."""
        left = self.rows - self.whole * self.batch_size
        before = np.cumsum(self.shares) - self.shares
        rest = np.clip(left - before, 0, self.shares)
        return np.concatenate([[0], np.cumsum(self.whole * self.shares + rest)]).astype(np.int64)

    def of(self, rank: int, workers: int) -> tuple[int, int]:
        """The rows of one worker: the first, and the one after the last."""
        own, starts = of_worker(rank, workers, len(self.shares)), self.starts
        return int(starts[own.start]), int(starts[own.stop])


class AllottedOrders:
    """Block k has in epoch e the order `default_rng((seed, fit, 2, e, k)).permutation(its rows)`."""

    def __init__(self, seeds: tuple[int, int], blocks: Allotment, shuffle: bool) -> None:
        self.seeds, self.blocks, self.shuffle = seeds, blocks, shuffle

    def draw(self, epoch: int) -> Order:
        """All rows, batch after batch."""
        starts, shares, whole = self.blocks.starts, self.blocks.shares, self.blocks.whole
        batches, rest = [], []
        for k, share in enumerate(shares):
            n = int(starts[k + 1] - starts[k])
            order = np.arange(n, dtype=np.int64)
            if self.shuffle:
                order = np.random.default_rng((*self.seeds, 2, epoch, k)).permutation(n)
            batches.append((starts[k] + order[: whole * share]).reshape(whole, share))
            rest.append(starts[k] + order[whole * share :])
        return np.concatenate([np.concatenate(batches, axis=1).reshape(-1), *rest])

    def state(self) -> dict[str, Any]:
        """Nothing: the order follows from the seeds."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class OwnRows:
    """The rows of this worker's blocks, out of those of all.  weights: of all rows, where samples have some."""

    def __init__(self, data: Mapping[str, Array], samples: int, weights: Array | None) -> None:
        self.data, self.samples, self._weights = data, samples, weights

    def parts(self, order: Order, batch_size: int, skip: int = 0) -> Iterator[tuple[Mapping[str, Array], Order]]:
        """All of it."""
        yield self.data, order

    def weight_sums(self, order: Order, places: Order) -> NDArray[np.float64] | None:
        """Of all rows."""
        if self._weights is None:
            return None
        return np.add.reduceat(self._weights[order].reshape(-1).astype(np.float64), places)


@dataclass(frozen=True)
class Dealt:
    """What a worker has after rows were handed over."""

    data: dict[str, Array]
    """The rows of its blocks, by symbol."""
    blocks: Allotment
    """All blocks."""
    first: int
    """The number of its first row, among those of all."""
    digest: str
    """Of the rows of all workers."""
    weights: Array | None
    """Of all rows."""

    def source(self) -> OwnRows:
        """Where a fit has its samples from."""
        return OwnRows(self.data, self.blocks.rows, self.weights)

    def orders(self, seeds: tuple[int, int], shuffle: bool) -> AllottedOrders:
        """And in which order."""
        return AllottedOrders(seeds, self.blocks, shuffle)


def deal(workers: Group, data: Mapping[str, Array], batch_size: int, least: int) -> Dealt:
    """Rows are handed over, so that each worker has those of its blocks.

    least: the fewest samples of a batch.  Raises SpecError for a last batch of fewer.
    """
    counts = workers.gather_values(sample_count(data))
    total = sum(counts)
    blocks = Allotment(total, min(batch_size, total))
    if 0 < total % blocks.batch_size < least:
        raise SpecError(
            f"The last batch of an epoch would have {total % blocks.batch_size} of {total:,} samples, and batch "
            f"normalisation needs {least}: use another batch_size."
        )
    begins = np.concatenate([[0], np.cumsum(counts)])
    wanted = [blocks.of(rank, workers.size) for rank in range(workers.size)]
    own = {name: hand_over(workers, array, begins, wanted) for name, array in data.items()}
    first, _ = wanted[workers.rank]
    starts = blocks.starts
    mine = of_worker(workers.rank, workers.size, len(blocks.shares))
    digests = [
        digest_of({name: array[starts[k] - first : starts[k + 1] - first] for name, array in own.items()}) for k in mine
    ]
    everybodys = [digest for each in workers.gather_values(digests) for digest in each]
    weights = np.concatenate(workers.gather_values(own["w"])) if "w" in own else None
    digest = hashlib.sha256("".join(everybodys).encode()).hexdigest()
    return Dealt(own, blocks, first, digest, weights)


def hand_over(workers: Group, array: Array, begins: Order, wanted: list[tuple[int, int]]) -> Array:
    """The rows that this worker wants, out of those that all have: those of worker r from begins[r] on.

    wanted: the first row of each worker, and the one after its last.
    """
    here = (int(begins[workers.rank]), int(begins[workers.rank + 1]))
    first, end = wanted[workers.rank]
    result = np.empty((end - first, *array.shape[1:]), array.dtype)
    sent, received = {}, {}
    for rank in range(workers.size):
        a, b = max(here[0], wanted[rank][0]), min(here[1], wanted[rank][1])
        if a < b and rank != workers.rank:
            sent[rank] = np.ascontiguousarray(array[a - here[0] : b - here[0]])
        a, b = max(first, int(begins[rank])), min(end, int(begins[rank + 1]))
        if a < b and rank != workers.rank:
            received[rank] = result[a - first : b - first]
        elif a < b:
            result[a - first : b - first] = array[a - here[0] : b - here[0]]
    workers.exchange(sent, received)
    return result
