"""Where the shards of a batch begin, and the fixed order in which what they come to is added up.

A batch has 16 shards where each has 256 samples or more, else 8, of 32 samples at least; all are of one size but the
last, a multiple of 32, in the order of the batch.  Sums over the shards are those of four neighbours, one after the
other, and then of pairs:

    ((s0 + s1) + s2) + s3     and     (q0 + q1) + (q2 + q3)

A node is a run of shards whose sum this order needs by itself.  Each worker makes the longest nodes of its own shards,
so that two workers hand over one sum each, and any number of workers come to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

SHARDS = 16
"""Shards of a batch, at most."""
WHOLE = 256
"""Samples of a shard from which on there are so many: a chunk of machine code, which then makes no more sums than
without shards."""
FEWER = 8
"""Shards of a smaller batch, at most."""
LEAST = 32
"""Samples of a shard, at least, and what its size is a multiple of: whole panels of machine code."""
FOUR = 4
"""Neighbours that are added up one after the other."""

T = TypeVar("T")


class Node(NamedTuple):
    """A run of shards."""

    first: int
    """Its first one, from 0."""
    end: int
    """The one after its last."""


def shard_size(batch_size: int) -> int:
    """Samples of each shard but the last, of a fit with so many samples a step."""
    most = SHARDS if batch_size >= SHARDS * WHOLE else FEWER
    return LEAST * max(1, -(-batch_size // (most * LEAST)))


def shard_count(samples: int, size: int) -> int:
    """Shards of a batch of so many samples; the last takes what would be beyond the sixteenth."""
    return min(SHARDS, -(-samples // size))


def of_worker(rank: int, workers: int, shards: int) -> range:
    """The shards of one worker, of as many as a whole batch has: neighbours, as evenly as can be."""
    return range(rank * shards // workers, (rank + 1) * shards // workers)


def nodes_of(own: range, shards: int) -> list[Node]:
    """The longest nodes that make up a worker's own shards."""
    return _cover(0, SHARDS, own.start, min(own.stop, shards), shards)


def _cover(first: int, end: int, own: int, stop: int, shards: int) -> list[Node]:
    """The nodes of [own, stop) within [first, end), of which only those before `shards` exist."""
    end_here = min(end, shards)
    if own >= end_here or stop <= first or own >= stop:
        return []
    if own <= first and stop >= end_here:
        return [Node(first, end_here)]
    if end - first > FOUR:
        middle = (first + end) // 2
        return _cover(first, middle, own, stop, shards) + _cover(middle, end, own, stop, shards)
    begin, last = max(own, first), min(stop, end_here)
    if begin == first:  # the beginning of a sum of four
        return [Node(begin, last)]
    return [Node(k, k + 1) for k in range(begin, last)]


def total(parts: Mapping[Node, T], shards: int, add: Callable[[T, T], T]) -> T:
    """The sum over all shards of a batch, from the nodes of all workers, in the fixed order."""
    return _sum(0, SHARDS, parts, {node.first: node for node in parts}, shards, add)


def _sum(
    first: int, end: int, parts: Mapping[Node, T], at: Mapping[int, Node], shards: int, add: Callable[[T, T], T]
) -> T:
    node = at[first]
    if node.end >= min(end, shards):
        return parts[node]
    if end - first > FOUR:
        middle = (first + end) // 2
        left = _sum(first, middle, parts, at, shards, add)
        return add(left, _sum(middle, end, parts, at, shards, add)) if middle < shards else left
    result = parts[node]
    for k in range(node.end, min(end, shards)):
        result = add(result, parts[at[k]])
    return result


def grown(values: Sequence[T], add: Callable[[T, T], T]) -> T:
    """The sum of the shards of a node, from what each comes to."""
    fours = [values[k : k + FOUR] for k in range(0, len(values), FOUR)]
    sums = []
    for four in fours:
        result = four[0]
        for value in four[1:]:
            result = add(result, value)
        sums.append(result)
    while len(sums) > 1:
        pairs = [sums[k : k + 2] for k in range(0, len(sums), 2)]
        sums = [add(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return sums[0]
