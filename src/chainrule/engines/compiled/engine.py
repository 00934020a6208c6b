"""The compiled engine: programs as machine code made for exactly this network, called through one checked record."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.engines.base import Array, Session, Values
from chainrule.engines.compiled import pack, tile_check
from chainrule.engines.compiled.call import Call
from chainrule.engines.compiled.kernels import nonzero
from chainrule.engines.compiled.kernels.inner import kernel_for
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan import Plan, Recipe, plan
from chainrule.engines.compiled.plan.memory import GROUPS, RUN, Memory
from chainrule.engines.compiled.plan.recipe import batches, chunk_for
from chainrule.engines.compiled.plan.steps import Meet
from chainrule.engines.compiled.plan.whole_tiles import takes
from chainrule.engines.compiled.session import CompiledSession
from chainrule.engines.compiled.table_rows import Lookup, named, touched_by_rows
from chainrule.engines.cost import operations
from chainrule.engines.llvm import cache, dump, jit, target
from chainrule.engines.llvm.target import Target
from chainrule.engines.processors import allowed, present
from chainrule.engines.recent import Recent
from chainrule.engines.scalars import Evaluate, evaluator
from chainrule.program.equation import Program
from chainrule.program.op import Elementwise, MatMul
from chainrule.program.precision import pairs
from chainrule.program.symbol import BATCH

if TYPE_CHECKING:
    from chainrule.engines.compiled.row_predictor import RowPredictor
    from chainrule.engines.llvm.emit import Module
    from chainrule.engines.shards.exchange import Workers
    from chainrule.engines.shards.session import ShardedSession
    from chainrule.engines.shards.split import Split

BETWEEN_BARRIERS = 1_000_000
"""Operations of one thread between two barriers that make a barrier worth its while (about 10 microseconds)."""
EFFORT = {"dots": 0.5, "vectors": 2.0, "whole tiles": 0.09}
"""Multiply-adds that a product of two bfloat16 numbers takes as long as, by the way that it is taken."""
FEW = 1000
"""Rows of a table up to which small pages of memory, each there when needed, cost less than large ones."""
PER_SAMPLE = 20
"""Operations that stand for one equation's work on one sample, beside the products."""


@dataclass
class Unit:
    """One program compiled for one way of running it."""

    program: Program
    """What is run."""
    plan: Plan
    """Its stages, and where its values lie."""
    code: jit.Code
    """Its machine code."""
    address: int
    """Where that begins."""
    work: dict[int, int] = field(default_factory=dict)
    """Operations of a batch, by the batch's size."""

    @property
    def memory(self) -> Memory:
        """Where its values lie."""
        return self.plan.memory

    @cached_property
    def rates(self) -> list[tuple[str, Evaluate]]:
        """What follows from rates and counters alone, in float64: names and functions."""
        functions = []
        for equation in self.plan.rates:
            assert isinstance(equation.op, Elementwise)
            functions.append((equation.target.name, evaluator(equation.op.expression, np.dtype(np.float64))))
        return functions

    @cached_property
    def by_rows(self) -> dict[str, tuple[Lookup, ...]]:
        """Big tables that only rows are read of, and their lookups."""
        tables = touched_by_rows(self.program, self.plan.recipe.wanted)
        return {name: lookups for name, lookups in tables.items() if self.memory.kinds[name] == "table"}

    def operations(self, batch: int) -> int:
        """Operations of a batch of so many samples, beside those of products a few for each equation.

        Those of products of parts count as the multiply-adds that would take as long.
        """
        if batch not in self.work:
            products = int(operations(self.program, batch) * self._effort)
            self.work[batch] = products + batch * len(self.program.equations) * PER_SAMPLE
        return self.work[batch]

    @cached_property
    def _effort(self) -> float:
        """What an operation of a product costs, beside a multiply-add of numbers as they are."""
        parts = self.program.parts
        return len(pairs(parts)) * EFFORT[kernel_for(self.memory.layout, parts).way] if parts else 1.0

    @cached_property
    def barriers(self) -> int:
        """How often the threads wait for each other in a batch."""
        return sum(isinstance(step, Meet) for step in self.plan.steps)


@functools.cache
def _compiled_of_late(machine: Target, dtype: np.dtype[Any], place: Path | None) -> Recent[tuple[str, Recipe], Unit]:
    """What was compiled of late, by the program's digest and its recipe: all networks of a dtype share it.

    place: of the cache on disk, which may be moved.
    """
    return Recent()


class CompiledEngine:
    """Compiles each program once (or finds it in the cache on disk) and calls its machine code.

    machine: what code is made for; the machine that it runs on, unless a lesser one is to be tried out.
    """

    name = "compiled"

    def __init__(self, dtype: np.dtype[Any], machine: Target | None = None) -> None:
        self.dtype = dtype
        self.layout = PanelLayout(machine or target.host(), dtype.name)
        shared = dump.folder() is None  # what is to be read is written for each
        self._units = _compiled_of_late(self.layout.target, dtype, cache.folder()) if shared else Recent()
        self._looked_at: Recent[str, tuple[weakref.ref[Array], bool]] = Recent()
        """By the program's digest: the data it was last given, and whether it gains by passing over their zeros."""
        self._idle: list[Array] = []

    # --- compiling -----------------------------------------------------------------------------------------------

    def unit(self, program: Program, recipe: Recipe) -> Unit:
        """The program compiled to be run so; or found."""
        if program.parts and self.dtype != np.float32:  # parts are of float32 numbers
            program = program.of_parts(0)
        if self.layout.target.tiles == "instructions" and self._refused(program, recipe):
            self.layout = replace(self.layout, target=replace(self.layout.target, tiles=""))
        key = (program.digest, recipe)
        unit = self._units.get(key)
        if unit is not None:
            return unit
        steps = plan(program, recipe, self.layout)

        def build() -> Module:
            from chainrule.engines.compiled.lower.program import lower  # not loaded for what is in the cache

            return lower(steps)

        about = jit.About("train" if recipe.training else "call", steps.__str__)
        code = jit.load(self.layout.target, self.dtype.name, recipe.key(program), build, about)
        return self._units.keep(key, Unit(program, steps, code, code.address(RUN)))

    def _refused(self, program: Program, recipe: Recipe) -> bool:
        """Whether the program would take tiles, and they may not be used."""
        wanted = program.parts > 0 or any(takes(e, recipe) for e in program.equations)
        return wanted and not tile_check.usable(self.layout)

    def nonzero(self, program: Program, data: Values) -> bool:
        """Whether the products of the input would gain by passing over its zeros: one look at the same array."""
        given = next((s.name for s in program.given if s.role == "input"), None)
        if given is None or given not in data or (program.parts and self.layout.target.tiles):
            return False
        X = np.asarray(data[given])
        before = self._looked_at.get(program.digest)
        if before is not None and before[0]() is X:
            return before[1]
        gains = self._gains(program, X)
        self._looked_at.keep(program.digest, (weakref.ref(X), gains))
        return gains

    def _gains(self, program: Program, X: Array) -> bool:
        products = [e for e in program.equations if isinstance(e.op, MatMul) and e.operands[0].role == "input"]
        if not any(nonzero.pays(*(int(s.shape[1]) for s in e.operands)) for e in products):
            return False
        trains = any(e.op.transpose_left for e in products if isinstance(e.op, MatMul))
        parts = program.parts if self.dtype == np.float32 else 0
        return nonzero.worthwhile(self.layout, X, trains, parts)

    def borrow(self, size: int) -> Array:
        """A workspace of at least that size that nobody else is using."""
        try:
            workspace = self._idle.pop()  # one step for the interpreter: two threads never get the same
        except IndexError:
            workspace = pack.aligned(0, self.dtype)
        return workspace if workspace.size >= size else pack.aligned(size, self.dtype)

    def give_back(self, workspace: Array) -> None:
        """Keeps a workspace for the next call."""
        if len(self._idle) < 2:
            self._idle.append(workspace)

    # --- running -------------------------------------------------------------------------------------------------

    def run(self, program: Program, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """The wanted symbols' values."""
        unit = self.unit(program, self._call_of(program, given, wanted))
        some = {name: named(lookups, given, None, len(given[name])) for name, lookups in unit.by_rows.items()}
        few = bool(some) and all(rows is not None and len(rows) < FEW for rows in some.values())
        packed = (pack.seldom if few else pack.aligned)(unit.memory.stored_size, self.dtype)
        for name, place in unit.memory.stored.items():
            array, rows = np.asarray(given[name]), some.get(name)
            if rows is None:
                pack.put(self.layout, unit.memory.kinds[name], array, packed[place:])
            else:
                packed[place : place + array.size].reshape(array.shape)[rows] = array[rows]
        return self._run(unit, packed, given)

    def run_packed(self, program: Program, packed: Array, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """The same over stored arrays that are packed already; an update writes there."""
        return self._run(self.unit(program, self._call_of(program, given, wanted)), packed, given)

    def _call_of(self, program: Program, given: Values, wanted: tuple[str, ...]) -> Recipe:
        """How a call is run."""
        chunk = chunk_for(program, self.layout.panel)
        tiles = batches(int(given.get(BATCH, 0)), self.layout)
        return Recipe(wanted, large=True, nonzero=self.nonzero(program, given), chunk=chunk, tiles=tiles)

    def _run(self, unit: Unit, packed: Array, given: Values) -> dict[str, Array]:
        # Counted in the data: the m of a float32 program is rounded above 2**24.
        memory, symbols, wanted = unit.memory, unit.program.symbols, unit.plan.recipe.wanted
        batched = (np.shape(given[s.name])[0] for s in memory.data)
        samples = next(batched, int(given[BATCH]))
        by_sample = {s.name: pack.zeros((samples, *(int(d) for d in s.shape[1:])), self.dtype) for s in memory.outputs}
        call = Call(self, unit, samples, self.threads(unit, samples, None))
        call.run(
            packed,
            {s.name: np.asarray(given[s.name]) for s in memory.data},
            np.arange(samples, dtype=np.int64),
            samples,
            {s.name: np.full(1, given[s.name]) for s in unit.program.given if s.role == "rate"},
            first_step=int(given.get("t", 1)),
            seed=int(given.get("seed", 0)),
            results=by_sample,
        )
        results = {}
        for name in wanted:
            if name in by_sample:
                results[name] = by_sample[name]
            elif name in memory.stored or name in memory.fixed:
                there, place = (packed, memory.stored) if name in memory.stored else (call.fixed, memory.fixed)
                results[name] = np.empty([int(d) for d in symbols[name].shape], self.dtype)
                pack.take(self.layout, memory.kinds[name], there[place[name] :], results[name])
            else:
                results[name] = call.rate(name) if name in call.columns else np.asarray(given[name])
        return results

    def one_row(self, program: Program, stored: Mapping[str, Array]) -> RowPredictor | None:
        """Single samples, straight from the network's own arrays."""
        from chainrule.engines.compiled.row_predictor import RowPredictor, supports

        forward = plan(program, Recipe((program.prediction.name,)), self.layout)
        return RowPredictor(forward, self.layout, self.dtype, dict(stored)) if supports(forward) else None

    def open(self, program: Program, stored: Values, lent: Collection[str] = ()) -> Session:
        """A session that begins with these arrays."""
        return CompiledSession(self, program, stored, lent)

    def open_shards(self, split: Split, stored: Values, workers: Workers) -> ShardedSession | None:
        """A session by shards that begins with these arrays; None where their programs do not share a buffer."""
        from chainrule.engines.compiled.shards import CompiledShards, supports  # what only a group needs

        return CompiledShards(self, split, stored, workers) if supports(self, split) else None

    def threads(self, unit: Unit, batch: int, asked: int | None) -> int:
        """How many threads a call is worth: what was asked for, else by the arithmetic between two barriers.

        A batch in chunks needs two barriers, and as many threads as there are groups of chunks at most; a batch in one
        piece waits at each of its plan's.  More threads than processors would only wait for each other: what
        is asked for beyond those there are is not used.
        """
        if asked is not None:
            return max(1, min(asked, present()))
        work = unit.operations(batch)
        if unit.plan.chunked:
            worth = min(GROUPS, -(-batch // unit.plan.recipe.chunk), int(work // BETWEEN_BARRIERS))
        else:
            between = work / max(2, unit.barriers)
            worth = int(between // BETWEEN_BARRIERS) + 1 if between >= BETWEEN_BARRIERS else 1
        return max(1, min(worth, allowed(), 64)) if worth > 1 else 1
