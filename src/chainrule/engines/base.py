"""What an engine is: something that runs programs.  Network talks to this protocol and to nothing below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.program.equation import Equation, Program
from chainrule.program.op import Elementwise

Array = NDArray[Any]
Values = Mapping[str, Array]


@dataclass(frozen=True)
class Epoch:
    """One pass over the samples.

    data: the batched given symbols ("X", "Y" or "y", "w"), all samples.  order: indices of samples, int64.  batch_size:
    samples a step; the last batch may be smaller.  rates: the learning rate of each step.  first_step: t of the first
    step, from 1.  seed: of the dropout masks.  threads: how many to use at most (None: the engine's choice).
    ends: whether this is all of an epoch, or the last part of one that is run in parts; between them nobody looks at
    the optimizer's slots, and an engine may keep them to itself.  kept: where it does, shared by the parts.
    unwritten: nobody has overwritten the stored arrays since the part before.
    """

    data: Values
    order: NDArray[np.int64]
    batch_size: int
    rates: NDArray[np.float64]
    first_step: int
    seed: int
    threads: int | None = None
    ends: bool = True
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    unwritten: bool = False

    @property
    def steps(self) -> int:
        """Batches in the epoch."""
        return -(-len(self.order) // self.batch_size)

    def part(self, first: int, count: int, *, unwritten: bool = False) -> Epoch:
        """The steps first, ..., first + count - 1 (from 0) of this epoch: parts in order make the same steps."""
        return replace(
            self,
            order=self.order[first * self.batch_size : (first + count) * self.batch_size],
            rates=self.rates[first : first + count],
            first_step=self.first_step + first,
            ends=self.ends and first + count >= self.steps,
            unwritten=unwritten,
        )


@dataclass(frozen=True)
class EpochResult:
    """costs: J of each step that was done, before its update; fewer than the epoch's steps if it was stopped.

    A cost that is not finite ends the epoch; the step that showed it has not changed the parameters.
    """

    costs: NDArray[np.float64]


class OneRow(Protocol):
    """Ŷ of one sample, quickly: call(X) for an X of the shape, or None where the ordinary way has to look at X."""

    shape: tuple[int, int]
    call: Callable[[Array], Array | None]


class Engine(Protocol):
    """Runs programs.  Everything handed over was validated before; nothing here validates again."""

    name: str

    def run(self, program: Program, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """The wanted symbols' values, the given symbols' values being `given` (batched ones share their m)."""

    def one_row(self, program: Program, stored: Mapping[str, Array]) -> OneRow | None:
        """A fast way for single samples through a forward program over these very arrays, if the engine has one."""

    def epoch(
        self, program: Program, stored: Mapping[str, Array], epoch: Epoch, stop: Callable[[], bool] | None = None
    ) -> EpochResult:
        """Trains one epoch, overwriting the stored arrays (parameters, slots, statistics) in place.

        stop is asked now and then between steps; True ends the epoch early.
        """


def rate_scalars(program: Program) -> tuple[Equation, ...]:
    """The equations of scalars that depend on rates and counters alone (Adam's bias corrections).

    They are computed once a step in float64, whatever the data's dtype, and rounded then.
    """
    names = {s.name for s in program.given if s.role in ("rate", "counter")}
    found = []
    for equation in program.equations:
        scalar = isinstance(equation.op, Elementwise) and equation.target.shape == ()
        if scalar and equation.operands and all(s.name in names for s in equation.operands):
            names.add(equation.target.name)
            found.append(equation)
    return tuple(found)
