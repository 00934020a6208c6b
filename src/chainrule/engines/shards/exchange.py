"""The sum over the shards, where these are computed by several workers: what is sent, and who adds what.

What a shard comes to is one vector of N numbers.  Each worker adds up one part of all vectors, in the fixed order of
`order.py`, and hands the result to the others: with k nodes one of w workers sends (k + 1) N (w - 1) / w numbers, which
for one node is what any such sum must send.  Short vectors go to everybody at once: one way instead of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from chainrule.engines.base import Array
from chainrule.engines.shards.order import Node, total

SHORT = 16_384
"""Bytes of a vector up to which all of it goes to everybody."""


class Workers(Protocol):
    """Those who train together: what a sum over the shards needs of them."""

    rank: int
    """Which of them this is, from 0."""
    size: int
    """How many there are."""

    def exchange(self, sent: Mapping[int, Array], received: Mapping[int, Array]) -> None:
        """Sends arrays to others and fills arrays from others, by their ranks; all do it at the same time."""


class Summing:
    """Adds vectors of so many numbers: sums up to a place, the largest from there on."""

    def __init__(
        self,
        workers: Workers,
        length: int,
        sums: int,
        dtype: np.dtype[np.generic],
        result: Array | None = None,
    ) -> None:
        self.workers, self.length, self.sums, self.dtype = workers, length, sums, dtype
        self._result = np.empty(length, dtype) if result is None else result
        self._buffers: dict[tuple[int, int, int], Array] = {}

    def add(self, a: Array, b: Array, offset: int = 0) -> Array:
        """a becomes a + b; offset: where in a vector they begin."""
        k = min(max(self.sums - offset, 0), len(a))
        a[:k] += b[:k]
        if k < len(a):
            np.maximum(a[k:], b[k:], out=a[k:])
        return a

    def over_all(self, own: Mapping[Node, Array], nodes: Sequence[Sequence[Node]], shards: int) -> Array:
        """The sum over all shards; own: the vectors of this worker's nodes, which it may overwrite; nodes: everybody's.

        The result is good until the next one is asked for, and in the array that was given for it.
        """
        w = self.workers
        if w.size == 1 or self.length * self.dtype.itemsize <= SHORT:
            whole = self._part(own, nodes, shards, [(0, self.length)] * w.size)
            if not np.shares_memory(whole, self._result):
                self._result[:] = whole
            return self._result
        bounds = [(r * self.length // w.size, (r + 1) * self.length // w.size) for r in range(w.size)]
        first, end = bounds[w.rank]
        mine = self._part(own, nodes, shards, bounds)
        self._result[first:end] = mine
        others = {r: self._result[slice(*bounds[r])] for r in range(w.size) if r != w.rank}
        w.exchange(dict.fromkeys(others, mine), others)
        return self._result

    def _part(
        self,
        own: Mapping[Node, Array],
        nodes: Sequence[Sequence[Node]],
        shards: int,
        bounds: Sequence[tuple[int, int]],
    ) -> Array:
        """This worker's part of the sum, bounds[rank], from everybody's nodes."""
        w = self.workers
        first, end = bounds[w.rank]
        sent = {r: _joined([own[node][slice(*bounds[r])] for node in nodes[w.rank]]) for r in range(w.size)}
        received = {r: self._buffer(r, len(nodes[r]), end - first) for r in range(w.size) if r != w.rank and nodes[r]}
        w.exchange({r: sent[r] for r in range(w.size) if r != w.rank and nodes[w.rank]}, received)
        parts = {node: own[node][first:end] for node in nodes[w.rank]}
        for r, array in received.items():
            parts |= dict(zip(nodes[r], array.reshape(len(nodes[r]), end - first), strict=True))
        return total(parts, shards, lambda a, b: self.add(a, b, first))

    def _buffer(self, rank: int, nodes: int, length: int) -> Array:
        key = (rank, nodes, length)
        if key not in self._buffers:
            self._buffers[key] = np.empty(nodes * length, self.dtype)
        return self._buffers[key]


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0)
