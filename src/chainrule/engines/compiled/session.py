"""A session of the compiled engine: the stored arrays stay packed from epoch to epoch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.base import Array, Epoch, EpochResult, Session, Values
from chainrule.engines.compiled import pack
from chainrule.engines.compiled.call import Call
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan.kinds import Kind, kinds_of, members_of
from chainrule.engines.compiled.plan.memory import stored_places
from chainrule.engines.compiled.plan.recipe import Recipe, batches, chunk_for
from chainrule.engines.compiled.table_rows import TableRows, Tables, touched_by_rows
from chainrule.engines.llvm.permutation import permute
from chainrule.engines.recent import Recent
from chainrule.program.equation import Program

if TYPE_CHECKING:
    from chainrule.engines.compiled.engine import CompiledEngine

SINGLE = 512
"""Samples up to which a batch is run as one piece, its weights updated in the tiles of their gradients; where members
share a matrix, rows that they make of the samples."""


@dataclass(frozen=True)
class _Stored:
    """How what a program stores lies in a session's buffer; by name."""

    kinds: dict[str, Kind]
    """How each symbol lies."""
    shapes: dict[str, tuple[int, ...]]
    """Of what is stored."""
    places: dict[str, int]
    """Where it begins."""
    size: int
    """Of the buffer."""


@functools.cache
def _stored_of_late(layout: PanelLayout) -> Recent[str, _Stored]:
    """Of the programs of which a session was opened last, by their digests."""
    return Recent()


def _stored_of(program: Program, layout: PanelLayout) -> _Stored:
    recent = _stored_of_late(layout)
    if (known := recent.get(program.digest)) is not None:
        return known
    kinds = kinds_of(program)
    shapes = {s.name: tuple(int(d) for d in s.shape) for s in program.stored}
    return recent.keep(program.digest, _Stored(kinds, shapes, *stored_places(program, kinds, layout)))


class CompiledSession(Session):
    """Parameters, slots and statistics in one buffer, as the program's machine code has them (`stored_places`).

    Of big tables that only rows are touched of, these rows are what things cost (`table_rows`).
    """

    several_passes = True

    def __init__(
        self, engine: CompiledEngine, program: Program, stored: Values, lent: Collection[str] = (), spare: int = 0
    ) -> None:
        self.engine, self.program = engine, program
        known = _stored_of(program, engine.layout)
        self.shapes, self.kinds, self.places = known.shapes, known.kinds, known.places
        self.packed = pack.aligned(known.size + spare, engine.dtype)
        self.packed[known.size :] = 0
        self._as_marked = pack.aligned(0, engine.dtype)
        self._call: Call | None = None
        self._running: Call | None = None
        """The call of the last epoch; None before machine code began."""
        missing = [s.name for s in program.stored if s.role != "slot" and s.name not in stored]
        assert not missing, f"nothing is given for {', '.join(missing)}"
        self.tables = {
            name: TableRows(lookups, self._table(name))
            for name, lookups in touched_by_rows(program).items()
            if self.kinds[name] == "table"
        }
        self._meeting = Tables(self.tables)
        for name in lent:
            if name in self.tables and name in stored:
                self.tables[name].lend(stored[name])
        self.write({name: array for name, array in stored.items() if name not in lent or name not in self.tables})
        self._spans = self._between(self.tables)

    def _table(self, name: str) -> Array:
        """A table where machine code has it."""
        rows, columns = self.shapes[name]
        return self.packed[self.places[name] :][: rows * columns].reshape(rows, columns)

    def _between(self, tables: Collection[str], names: Collection[str] | None = None) -> list[slice]:
        """The parts of the buffer that hold what is stored (under these names alone), and none of these tables."""
        ends = [*list(self.places.values())[1:], self.packed.size]
        spans: list[slice] = []
        for (name, first), end in zip(self.places.items(), ends, strict=True):
            if name in tables or (names is not None and name not in names):
                continue
            if spans and spans[-1].stop == first:
                spans[-1] = slice(spans[-1].start, end)
            else:
                spans.append(slice(first, end))
        return spans

    @property
    def last(self) -> EpochResult:
        """What machine code says it has done."""
        return EpochResult(np.zeros(0) if self._running is None else self._running.costs_done)

    def epoch(self, epoch: Epoch, stop: Callable[[], bool] | None = None) -> EpochResult:
        """One call of machine code."""
        self._running = None
        self.calls += 1
        engine, program = self.engine, self.program
        self._meeting.meet(epoch.data, epoch.order if epoch.order.ndim == 1 else epoch.order[0])
        nonzero = engine.nonzero(program, epoch.data)
        large = epoch.batch_size * members_of(program) > SINGLE
        chunk = chunk_for(program, engine.layout.panel)
        batch = min(epoch.batch_size, epoch.order.shape[-1])
        tiles = batches(batch, engine.layout)
        unit = engine.unit(program, Recipe(training=True, large=large, nonzero=nonzero, chunk=chunk, tiles=tiles))
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
        self._complete(self.tables)
        packed = pack.aligned(self.packed.size, self.engine.dtype)
        packed[:] = self.packed
        return self.engine.run_packed(self.program, packed, given, wanted)

    def read(self, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Unpacks into new arrays."""
        chosen = self.places if names is None else names
        arrays = {name: np.empty(self.shapes[name], self.engine.dtype) for name in chosen}
        self.read_into(arrays)
        return arrays

    def leave(self, names: Iterable[str]) -> dict[str, Array]:
        """Tables where they are, the others unpacked."""
        chosen = list(names)
        tables = [name for name in chosen if name in self.tables]
        self._complete(tables)
        return self.read(set(chosen).difference(tables)) | {name: self.tables[name].memory for name in tables}

    def _complete(self, names: Iterable[str]) -> None:
        """All rows of these are in the buffer."""
        for name in names:
            if name in self.tables:
                self.tables[name].complete()

    def changes(self) -> dict[str, Array]:
        """The rows of tables of which little has changed."""
        some = {name: table.changed.rows for name, table in self.tables.items()}
        return {name: rows for name, rows in some.items() if rows is not None}

    def settled(self) -> None:
        """Nothing has changed since."""
        for table in self.tables.values():
            table.changed.clear()

    def read_into(self, arrays: Mapping[str, Array], rows: Mapping[str, Array] | None = None) -> None:
        """Unpacks into these arrays."""
        some = rows or {}
        self._complete(set(arrays).difference(some))
        for name, array in arrays.items():
            if name in some:
                array[...] = self.tables[name].memory[some[name]]
            elif name in self.places:
                pack.take(self.engine.layout, self.kinds[name], self.packed[self.places[name] :], array)

    def write(self, arrays: Values) -> None:
        """Packs these arrays."""
        for name, array in arrays.items():
            if name in self.places:
                values = np.asarray(array, self.engine.dtype)
                assert values.shape == self.shapes[name], f"{name} must have the shape {self.shapes[name]}"
                if name in self.tables:
                    self.tables[name].write(values)
                    continue
                pack.put(self.engine.layout, self.kinds[name], values, self.packed[self.places[name] :])

    def finite(self, names: Iterable[str]) -> bool:
        """Whether what is stored under these names is finite."""
        wanted = set(names)
        if not all(table.finite() for name, table in self.tables.items() if name in wanted):
            return False
        chosen = [name for name in self.places if name in wanted and name not in self.tables]
        with np.errstate(all="ignore"):  # a sum may overflow, or meet inf - inf, and only sends one to look closer
            total = sum(self.packed[span].sum() for span in self._between((), chosen))
        return bool(np.isfinite(total)) or super().finite(chosen)

    def permute(self, generator: np.random.Generator, out: NDArray[np.int64]) -> None:
        """The same, of many numbers by machine code."""
        permute(generator, out)

    def mark(self) -> None:
        """Copies the buffer, but for tables."""
        if not self._as_marked.size:
            self._as_marked = np.empty_like(self.packed)
        for span in self._spans:
            np.copyto(self._as_marked[span], self.packed[span])
        for table in self.tables.values():
            table.mark()

    def rewind(self) -> None:
        """Copies it back."""
        for span in self._spans:
            np.copyto(self.packed[span], self._as_marked[span])
        for table in self.tables.values():
            table.rewind()

    def close(self) -> None:
        """Lets go of the memory."""
        self._call = None
