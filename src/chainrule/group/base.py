"""A group of workers: the one thing that it must be able to do, and what follows from that.

An implementation sends and receives arrays between two workers at a time (`exchange`), within a time limit.  Sums,
broadcasts and barriers are made of it here, so that every group does them in the same order, to the same bits.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ChainruleError, GroupError

Array = NDArray[Any]
T = TypeVar("T")
TIMEOUT = 30.0
"""Seconds that one worker waits for another."""


class Group(ABC):
    """Those who train together; all call the same methods in the same order.  Raises GroupError where one is lost."""

    rank: int
    """Which worker this is, from 0."""
    size: int
    """How many there are."""
    own_rows: bool = False
    """Whether each worker is given rows of its own, and not all of them."""
    timeout: float = TIMEOUT
    """Seconds after which a worker that has sent nothing counts as lost."""

    @abstractmethod
    def exchange(self, sent: Mapping[int, Array], received: Mapping[int, Array]) -> None:
        """Sends arrays to other workers and fills arrays with what others send, by their ranks.

        What one sends is what the other receives, in dtype and length; all arrays are one stretch of memory each.
        Raises GroupError: another worker is gone, or has sent nothing within `timeout`.
        """

    def gather(self, array: Array) -> list[Array]:
        """Everybody's array, by rank; all of one dtype and shape."""
        arrays = [np.ascontiguousarray(array) if r == self.rank else np.empty_like(array) for r in range(self.size)]
        others = [r for r in range(self.size) if r != self.rank]
        self.exchange(dict.fromkeys(others, arrays[self.rank]), {r: arrays[r] for r in others})
        return arrays

    def sum(self, array: Array) -> Array:
        """The sum of everybody's array, in the order of the ranks."""
        first, *others = self.gather(array)
        total = first.copy()
        for one in others:
            total += one
        return total

    def broadcast(self, array: Array) -> Array:
        """Worker 0's array; all have given one of that dtype and shape."""
        if self.rank == 0:
            own = np.ascontiguousarray(array)
            self.exchange(dict.fromkeys(range(1, self.size), own), {})
            return own
        filled = np.empty_like(array, order="C")
        self.exchange({}, {0: filled})
        return filled

    def barrier(self) -> None:
        """Nobody goes on before all have come."""
        self.gather(np.zeros(1, np.uint8))

    # --- of values that are no arrays ------------------------------------------------------------------------------

    def gather_values(self, value: T) -> list[T]:
        """Everybody's value, by rank."""
        if self.size == 1:
            return [value]
        own = _packed(value)
        lengths = [int(n[0]) for n in self.gather(np.array([own.size], np.int64))]
        texts = [own if r == self.rank else np.empty(n, np.uint8) for r, n in enumerate(lengths)]
        others = [r for r in range(self.size) if r != self.rank]
        self.exchange(dict.fromkeys(others, own), {r: texts[r] for r in others})
        return [value if r == self.rank else _unpacked(text) for r, text in enumerate(texts)]

    def broadcast_value(self, value: T) -> T:
        """Worker 0's value."""
        if self.size == 1:
            return value
        own = _packed(value) if self.rank == 0 else np.empty(0, np.uint8)
        length = int(self.broadcast(np.array([own.size], np.int64))[0])
        text = self.broadcast(own if self.rank == 0 else np.empty(length, np.uint8))
        return value if self.rank == 0 else _unpacked(text)

    def at_first(self, call: Callable[[], T]) -> T:
        """What the call gives, or raises, at worker 0, which alone makes it."""
        result: tuple[T | None, Exception | None] = (None, None)
        if self.rank == 0:
            try:
                result = (call(), None)
            except (ChainruleError, OSError) as fault:
                result = (None, fault)
        value, error = self.broadcast_value(result)
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def all_well(self, fault: Exception | None) -> None:
        """Raises where one has a fault: his own at his place, and elsewhere what he says, with his number."""
        faults = self.gather_values(None if fault is None else str(fault))
        if fault is not None:
            raise fault
        told = [(rank, text) for rank, text in enumerate(faults) if text is not None]
        if told:
            rank, text = told[0]
            raise GroupError(f"Worker {rank} of {self.size} cannot take part: {text}")

    def same(self, what: Mapping[str, str]) -> None:
        """Raises GroupError where workers differ in what must be the same: in words, and as a text."""
        told = self.gather_values(dict(what))
        lines = []
        for name in what:
            texts = [one.get(name, "nothing") for one in told]
            if len(set(texts)) > 1:
                other = next(rank for rank, text in enumerate(texts) if text != texts[0])
                lines.append(f"{name}: {texts[0]} at worker 0, {texts[other]} at worker {other}")
        if lines:
            raise GroupError(f"The {self.size} workers do not train the same. They differ in " + "; in ".join(lines))

    def lost(self, why: str) -> GroupError:
        """The error that a worker was lost."""
        return GroupError(
            f"Worker {self.rank} of {self.size} has lost another one: {why}. Start all of them again; with "
            "checkpoint=... and resume=True (--checkpoint, --resume) the fit goes on where the last checkpoint was "
            "written, also with another number of workers."
        )


def _packed(value: object) -> Array:
    """As bytes: workers run the same code and trust each other."""
    return np.frombuffer(bytearray(pickle.dumps(value)), np.uint8)


def _unpacked(text: Array) -> Any:
    return pickle.loads(text.tobytes())
