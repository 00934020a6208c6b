"""A session of the compiled engine: the stored arrays stay packed from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from chainrule.engines.base import Array, Epoch, EpochResult, Session, Values
from chainrule.engines.compiled import pack
from chainrule.engines.compiled.call import Call
from chainrule.engines.compiled.plan.kinds import kinds_of, members_of
from chainrule.engines.compiled.plan.memory import stored_places
from chainrule.engines.compiled.plan.recipe import Recipe, chunk_for
from chainrule.program.equation import Program

if TYPE_CHECKING:
    from chainrule.engines.compiled.engine import CompiledEngine

SINGLE = 512
"""Samples up to which a batch is run as one piece, its weights updated in the tiles of their gradients; where members
share a matrix, rows that they make of the samples."""


class CompiledSession(Session):
    """Parameters, slots and statistics in one buffer, as the program's machine code has them (`stored_places`)."""

    def __init__(self, engine: CompiledEngine, program: Program, stored: Values) -> None:
        self.engine, self.program = engine, program
        self.shapes = {s.name: tuple(int(d) for d in s.shape) for s in program.stored}
        self.kinds = kinds_of(program)
        self.places, size = stored_places(program, self.kinds, engine.layout)
        self.packed = pack.aligned(size, engine.dtype)
        self._as_marked = pack.aligned(0, engine.dtype)
        self._call: Call | None = None
        self._running: Call | None = None
        """The call of the last epoch; None before machine code began."""
        missing = [s.name for s in program.stored if s.role != "slot" and s.name not in stored]
        assert not missing, f"nothing is given for {', '.join(missing)}"
        self.write(stored)

    @property
    def last(self) -> EpochResult:
        """What machine code says it has done."""
        return EpochResult(np.zeros(0) if self._running is None else self._running.costs_done)

    def epoch(self, epoch: Epoch, stop: Callable[[], bool] | None = None) -> EpochResult:
        """One call of machine code."""
        self._running = None
        self.calls += 1
        engine, program = self.engine, self.program
        nonzero = engine.nonzero(program, epoch.data)
        large = epoch.batch_size * members_of(program) > SINGLE
        chunk = chunk_for(program, engine.layout.panel)
        unit = engine.unit(program, Recipe(training=True, large=large, nonzero=nonzero, chunk=chunk))
        batch = min(epoch.batch_size, len(epoch.order))
        threads = engine.threads(unit, batch, epoch.threads)
        if self._call is None or not self._call.serves(unit, batch, threads):
            assert unit.memory.stored == self.places
            self._call = Call(engine, unit, batch, threads)
        self._call.forget()
        self._running = self._call
        costs = self._call.run(
            self.packed,
            epoch.data,
            epoch.order,
            epoch.batch_size,
            {s.name: epoch.rate(s.name) for s in program.given if s.role == "rate"},
            first_step=epoch.first_step,
            seed=epoch.seed,
            stop=stop,
        )
        return EpochResult(costs)

    def run(self, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """The wanted symbols' values; an update writes into a copy."""
        packed = pack.aligned(self.packed.size, self.engine.dtype)
        packed[:] = self.packed
        return self.engine.run_packed(self.program, packed, given, wanted)

    def read(self, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Unpacks into new arrays."""
        chosen = self.places if names is None else names
        arrays = {name: np.empty(self.shapes[name], self.engine.dtype) for name in chosen}
        self.read_into(arrays)
        return arrays

    def read_into(self, arrays: Mapping[str, Array]) -> None:
        """Unpacks into these arrays."""
        for name, array in arrays.items():
            if name in self.places:
                pack.take(self.engine.layout, self.kinds[name], self.packed[self.places[name] :], array)

    def write(self, arrays: Values) -> None:
        """Packs these arrays."""
        for name, array in arrays.items():
            if name in self.places:
                values = np.asarray(array, self.engine.dtype)
                assert values.shape == self.shapes[name], f"{name} must have the shape {self.shapes[name]}"
                pack.put(self.engine.layout, self.kinds[name], values, self.packed[self.places[name] :])

    def finite(self, names: Iterable[str]) -> bool:
        """Whether what is stored under these names is finite."""
        wanted = set(names)
        chosen = [name for name in self.places if name in wanted]
        if not chosen:
            return True
        first, last = self.places[chosen[0]], self.places[chosen[-1]]
        end = min((place for place in self.places.values() if place > last), default=self.packed.size)
        with np.errstate(all="ignore"):  # a sum may overflow, or meet inf - inf, and only sends one to look closer
            total = self.packed[first:end].sum()
        return bool(np.isfinite(total)) or super().finite(chosen)

    def mark(self) -> None:
        """Copies the buffer."""
        if not self._as_marked.size:
            self._as_marked = np.empty_like(self.packed)
        np.copyto(self._as_marked, self.packed)

    def rewind(self) -> None:
        """Copies it back."""
        np.copyto(self.packed, self._as_marked)

    def close(self) -> None:
        """Lets go of the memory."""
        self._call = None
