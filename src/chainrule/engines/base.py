"""What an engine is: something that runs programs, and opens sessions in which they train.

Network talks to these protocols and to nothing below them.  Everything handed over was validated before; nothing here
validates again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.program.equation import Equation, Program
from chainrule.program.op import Elementwise

Array = NDArray[Any]
Values = Mapping[str, Array]


def sample_count(data: Values) -> int:
    """m: how many samples there are of the batched given symbols ("X", "Y" or "y", "w")."""
    return len(next(iter(data.values())))


@dataclass(frozen=True)
class Epoch:
    """One pass over the samples, or over a part of them; for a session that takes them, several passes."""

    data: Values
    """The batched given symbols ("X", "Y" or "y", "w"), all samples."""
    order: NDArray[np.int64]
    """The samples' indices, in the order in which batches are cut from them; (passes, samples) of several passes."""
    batch_size: int
    """Samples a step; the last batch of a pass may be smaller."""
    rates: NDArray[np.float64]
    """The learning rate of each step, shape (steps,)."""
    first_step: int
    """t of the first step, from 1."""
    seed: int
    """Of the dropout masks."""
    threads: int | None = None
    """How many to use at most; None for the engine's choice."""
    settings: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Other numbers of each step, each of shape (steps,), by the names of the given rates that they are."""

    def rate(self, name: str) -> NDArray[np.float64]:
        """The numbers of each step of a given rate."""
        return self.rates if name == "lr" else self.settings[name]

    @property
    def steps(self) -> int:
        """Batches in the epoch."""
        return self.passes * -(-int(self.order.shape[-1]) // self.batch_size)

    @property
    def passes(self) -> int:
        """How often the samples are gone through."""
        return 1 if self.order.ndim == 1 else len(self.order)

    def part(self, first: int, count: int) -> Epoch:
        """The steps first, ..., first + count - 1 (from 0) of this pass: parts in order make the same steps."""
        if first == 0 and count >= self.steps:
            return self
        return replace(
            self,
            order=self.order[first * self.batch_size : (first + count) * self.batch_size],
            rates=self.rates[first : first + count],
            first_step=self.first_step + first,
            settings={name: values[first : first + count] for name, values in self.settings.items()},
        )


@dataclass(frozen=True)
class EpochResult:
    """What an epoch gave."""

    costs: NDArray[np.float64]
    """J of each step that was done, before its update; fewer than the epoch's steps if it was stopped.

    A cost that is not finite ends the epoch; the step that showed it has changed nothing.
    """


class OneRow(Protocol):
    """Ŷ of one sample, quickly: call(X) for an X of the shape, or None where the ordinary way has to look at X."""

    shape: tuple[int, int]
    call: Callable[[Array], Array | None]


class Session(ABC):
    """A program at work on stored arrays of its own: parameters, the optimizer's slots, statistics.

    The session holds them in its own form from `Engine.open` to `close`.  It shares no memory with its caller: what
    `open` and `write` are given is copied (of what `open` is lent, when it is needed), what `read` hands out is the
    caller's.  So the caller's arrays are as of the last `read`, and what is done to them reaches the session by `write`
    alone.  Any method may be called between two
    calls of `epoch`, that is between any two batches (see `Epoch.part`); never two of them at the same time.
    """

    several_passes: bool = False
    """Whether an epoch may be several passes."""
    calls: int = 0
    """Calls of `epoch` that have begun: a call counts itself as soon as `last` is about it."""

    @abstractmethod
    def epoch(self, epoch: Epoch, stop: Callable[[], bool] | None = None) -> EpochResult:
        """Trains one epoch.  stop is asked now and then between steps; True ends the epoch early.

        If it raises (KeyboardInterrupt), the stored arrays are as of the last step that was done, and `last` says
        which that was.
        """

    @property
    @abstractmethod
    def last(self) -> EpochResult:
        """What the last call of `epoch` has done, also where it was left by an exception."""

    @abstractmethod
    def run(self, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """As `Engine.run` of this program on the session's arrays: `given` is what is not stored.  It changes none."""

    @abstractmethod
    def read(self, names: Iterable[str] | None = None) -> dict[str, Array]:
        """New arrays with what is stored under these names (None: all that is stored), as ordinary arrays."""

    @abstractmethod
    def read_into(self, arrays: Mapping[str, Array], rows: Mapping[str, Array] | None = None) -> None:
        """Overwrites these arrays with what is stored under their names; a name that is not stored is passed by.

        rows: by name, those of `changes` that an array is of.
        """

    def leave(self, names: Iterable[str]) -> dict[str, Array]:
        """As `read`, before `close`: what is handed out may be the session's own memory."""
        return self.read(names)

    def changes(self) -> dict[str, Array]:
        """By name the rows of tables that may have changed since `settled`; of all else everything may have."""
        return {}

    def settled(self) -> None:
        """Whoever asked for `changes` has them."""
        return

    @abstractmethod
    def write(self, arrays: Values) -> None:
        """These are what is stored under their names from now on; a name that is not stored is passed by."""

    def finite(self, names: Iterable[str]) -> bool:
        """Whether what is stored under these names is finite; at least what has changed since `mark`."""
        return all(np.isfinite(array).all() for array in self.read(names).values())

    def permute(self, generator: np.random.Generator, out: NDArray[np.int64]) -> None:
        """Writes what `generator.permutation(len(out))` is, an epoch's order; the generator is not used again."""
        out[...] = generator.permutation(len(out))

    def mark(self) -> None:
        """Remembers everything stored, as it is now."""
        self._marked = self.read()

    def rewind(self) -> None:
        """Back to the last `mark`."""
        self.write(self._marked)

    def close(self) -> None:
        """Gives back what the session holds; nothing else may be called after it."""
        self._marked = {}

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Engine(Protocol):
    """Runs programs."""

    name: str

    def run(self, program: Program, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """The wanted symbols' values, the given symbols' values being `given` (batched ones share their m).

        Where the program has an update, `given` says the rates and counters too ("lr", "t", "seed"), and a stored
        symbol that is wanted has its new value: one step, without overwriting anything.
        """

    def one_row(self, program: Program, stored: Mapping[str, Array]) -> OneRow | None:
        """A fast way for single samples through a forward program over these very arrays, if the engine has one."""

    def open(self, program: Program, stored: Values, lent: Collection[str] = ()) -> Session:
        """A session of a training program that begins with these arrays; slots that are not among them are 0.

        lent: names of those that nobody writes to while the session lives, but with what it has read from there.
        """


def rate_scalars(program: Program) -> tuple[Equation, ...]:
    """The equations of scalars that depend on rates and counters alone (Adam's bias corrections).

    They are computed once a step in float64, whatever the data's dtype, and rounded then.
    """
    names = {s.name for s in program.given if s.role in ("rate", "counter")}
    scalars = []
    for equation in program.equations:
        scalar = isinstance(equation.op, Elementwise) and equation.target.shape == ()
        if scalar and equation.operands and all(s.name in names for s in equation.operands):
            names.add(equation.target.name)
            scalars.append(equation)
    return tuple(scalars)
