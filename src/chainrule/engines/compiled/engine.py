"""The compiled engine: programs as machine code made for exactly this network, called through one checked record."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.engines.base import Array, Epoch, EpochResult, Values
from chainrule.engines.compiled import pack
from chainrule.engines.compiled.kernels import nonzero
from chainrule.engines.compiled.kernels.batch_product import batch_scratch
from chainrule.engines.compiled.plan import Plan, Recipe, plan
from chainrule.engines.compiled.plan.memory import GROUPS, RUN, Memory, Word
from chainrule.engines.cost import operations
from chainrule.engines.llvm import jit, target, team
from chainrule.engines.llvm.target import Layout, Target
from chainrule.engines.processors import allowed, present
from chainrule.engines.reference import Evaluate, evaluator
from chainrule.program.equation import Program
from chainrule.program.op import Elementwise, MatMul
from chainrule.program.symbol import BATCH

if TYPE_CHECKING:
    from chainrule.engines.compiled.row_predictor import RowPredictor
    from chainrule.engines.llvm.emit import Module

SINGLE = 512
"""Samples up to which a batch is run as one piece, its weights updated in the tiles of their gradients."""


POLL = 0.005
"""Seconds between two questions whether to stop."""
BETWEEN_BARRIERS = 1_000_000
"""Operations of one thread between two barriers that make a barrier worth its while (about 10 microseconds)."""
PER_SAMPLE = 20
"""Operations that stand for one equation's work on one sample, beside the products."""


@dataclass
class _Unit:
    """One program compiled for one way of running it."""

    program: Program
    plan: Plan
    code: jit.Code
    address: int
    work: dict[int, int] = field(default_factory=dict)

    @property
    def memory(self) -> Memory:
        """Where its values lie."""
        return self.plan.memory

    @cached_property
    def rates(self) -> list[tuple[str, Evaluate]]:
        """What follows from rates and counters alone, in float64: names and functions."""
        found = []
        for equation in self.plan.rates:
            assert isinstance(equation.op, Elementwise)
            found.append((equation.target.name, evaluator(equation.op.expression, np.dtype(np.float64))))
        return found

    def operations(self, batch: int) -> int:
        """Operations of a batch of so many samples, beside those of products a few for each equation."""
        if batch not in self.work:
            self.work[batch] = operations(self.program, batch) + batch * len(self.program.equations) * PER_SAMPLE
        return self.work[batch]


class CompiledEngine:
    """Compiles each program once (or finds it in the cache on disk) and calls its machine code.

    machine: what code is made for; the machine that it runs on, unless a lesser one is to be tried out.
    """

    name = "compiled"

    def __init__(self, dtype: np.dtype[Any], machine: Target | None = None) -> None:
        self.dtype = dtype
        self.layout: Layout = (machine or target.host()).layout(dtype.name)
        self._units: dict[object, _Unit] = {}
        self._looked_at: dict[int, tuple[Program, weakref.ref[Array], bool]] = {}
        self._idle: list[Array] = []

    # --- compiling -----------------------------------------------------------------------------------------------

    def _unit(self, program: Program, recipe: Recipe) -> _Unit:
        """The program compiled to be run so; or found."""
        key = (id(program), recipe)
        unit = self._units.get(key)
        if unit is not None and unit.program is program:
            return unit
        steps = plan(program, recipe, self.layout)

        def build() -> Module:
            from chainrule.engines.compiled.lower.program import lower  # not loaded for what is in the cache

            return lower(steps)

        about = jit.About("train" if recipe.training else "call", steps.__str__)
        code = jit.load(self.layout.target, self.dtype.name, recipe.key(program), build, about)
        unit = self._units[key] = _Unit(program, steps, code, code.address(RUN))
        return unit

    def _nonzero(self, program: Program, data: Values) -> bool:
        """Whether the products of the input would gain by passing over its zeros: one look at the same array."""
        given = next((s.name for s in program.given if s.role == "input"), None)
        if given is None or given not in data:
            return False
        X = np.asarray(data[given])
        known = self._looked_at.get(id(program))
        if known is not None and known[0] is program and known[1]() is X:
            return known[2]
        gains = self._gains(program, X)
        self._looked_at[id(program)] = (program, weakref.ref(X), gains)
        return gains

    def _gains(self, program: Program, X: Array) -> bool:
        products = [e for e in program.equations if isinstance(e.op, MatMul) and e.operands[0].role == "input"]
        if not any(nonzero.pays(*(int(s.shape[1]) for s in e.operands)) for e in products):
            return False
        trains = any(e.op.transpose_left for e in products if isinstance(e.op, MatMul))
        return nonzero.worthwhile(self.layout, X, trains)

    def borrow(self, size: int) -> Array:
        """A workspace of at least that size that nobody else is using."""
        try:
            found = self._idle.pop()  # one step for the interpreter: two threads never get the same
        except IndexError:
            found = pack.aligned(0, self.dtype)
        return found if found.size >= size else pack.aligned(size, self.dtype)

    def give_back(self, workspace: Array) -> None:
        """Keeps a workspace for the next call."""
        if len(self._idle) < 2:
            self._idle.append(workspace)

    # --- running -------------------------------------------------------------------------------------------------

    def run(self, program: Program, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """The wanted symbols' values."""
        recipe = Recipe(wanted, large=True, nonzero=self._nonzero(program, given))
        unit = self._unit(program, recipe)
        # Counted in the data: the m of a float32 program is rounded above 2**24.
        batched = (np.shape(given[s.name])[0] for s in unit.memory.data)
        samples = next(batched, int(given[BATCH]))
        symbols = program.symbols
        stored = pack.aligned(unit.memory.stored_size, self.dtype)
        self._pack(unit, given, stored)
        shapes = {s.name: (samples, *(int(d) for d in s.shape[1:])) for s in unit.memory.outputs}
        results = {name: pack.zeros(shape, self.dtype) for name, shape in shapes.items()}
        threads = threads_for(unit, samples, 1, None)
        call = _Call(self, unit, samples, samples, threads, {k: np.asarray(v) for k, v in given.items()}, results)
        call.words[Word.STORED] = stored.ctypes.data
        call.words[Word.SEED] = _word(int(given.get("seed", 0)))
        call.words[Word.FIRST_STEP] = _word(int(given.get("t", 1)))
        call.rates(np.zeros(1), int(given.get("t", 1)))
        order = np.arange(samples, dtype=np.int64)
        call.words[Word.ORDER] = order.ctypes.data
        team.run(unit.address, call.words.ctypes.data, threads)
        call.done_with()
        for name in wanted:
            if name not in results:
                results[name] = np.empty([int(d) for d in symbols[name].shape], self.dtype)
                self._unpack(unit, call.fixed, unit.memory.fixed[name], name, results[name])
        return {name: results[name] for name in wanted}

    def one_row(self, program: Program, stored: Mapping[str, Array]) -> RowPredictor | None:
        """Single samples, straight from the network's own arrays."""
        from chainrule.engines.compiled.row_predictor import RowPredictor, supports

        forward = plan(program, Recipe((program.prediction.name,)), self.layout)
        return RowPredictor(forward, self.layout, self.dtype, dict(stored)) if supports(forward) else None

    def epoch(
        self, program: Program, stored: Mapping[str, Array], epoch: Epoch, stop: Callable[[], bool] | None = None
    ) -> EpochResult:
        """Trains one epoch; parameters, slots and statistics are overwritten in place when it ends."""
        large = epoch.batch_size > SINGLE
        unit = self._unit(program, Recipe(training=True, large=large, nonzero=self._nonzero(program, epoch.data)))
        slots = {s.name for s in program.given if s.role == "slot"}
        # Within an epoch that is run in parts the slots stay as they were packed.
        going_on: Array | None = epoch.kept.pop("packed", None)
        packed = pack.aligned(unit.memory.stored_size, self.dtype) if going_on is None else going_on
        self._pack(unit, stored, packed, () if going_on is None else stored if epoch.unwritten else slots)
        if not epoch.ends:
            epoch.kept["packed"] = packed
        batch = min(epoch.batch_size, len(epoch.order))
        threads = threads_for(unit, batch, epoch.steps, epoch.threads)
        call = _Call(self, unit, len(epoch.order), epoch.batch_size, threads, dict(epoch.data), {})
        call.words[Word.STORED] = packed.ctypes.data
        call.words[Word.ORDER] = epoch.order.ctypes.data
        call.words[Word.SEED] = _word(epoch.seed)
        call.words[Word.FIRST_STEP] = epoch.first_step
        call.rates(epoch.rates, epoch.first_step)

        def interrupted() -> None:
            call.stop[0] = 1

        try:
            with _watching(stop, call.stop):
                team.run(unit.address, call.words.ctypes.data, threads, interrupted)
            call.done_with()
        finally:
            for name, array in stored.items():
                if name in unit.memory.stored and (epoch.ends or name not in slots):
                    self._unpack(unit, packed, unit.memory.stored[name], name, array)
        return EpochResult(call.costs[: int(call.done[0])].copy())

    def _pack(self, unit: _Unit, values: Values, into: Array, but: Collection[str] = ()) -> None:
        for name, offset in unit.memory.stored.items():
            if name not in but:
                pack.put(self.layout, unit.memory.kinds[name], np.asarray(values[name]), into[offset:])

    def _unpack(self, unit: _Unit, buffer: Array, offset: int, name: str, into: Array) -> None:
        pack.take(self.layout, unit.memory.kinds[name], buffer[offset:], into)


class _Call:
    """The arguments' record of one call, and everything that it points to."""

    def __init__(
        self,
        engine: CompiledEngine,
        unit: _Unit,
        samples: int,
        batch: int,
        threads: int,
        data: Mapping[str, Array],
        results: Values,
    ) -> None:
        layout, dtype = engine.layout, engine.dtype
        self.engine, self.unit = engine, unit
        self.words = pack.zeros(unit.memory.words, np.int64)
        steps = -(-samples // batch)
        longest = min(batch, samples, unit.plan.recipe.chunk) if unit.plan.chunked else min(batch, samples)
        panels = layout.panels(longest)
        self.costs = pack.zeros(steps, np.float64)
        self.done = pack.zeros(1, np.int64)
        self.stop = pack.zeros(1, np.int32)
        self.halt = pack.zeros(1, np.int32)
        self.barrier = pack.aligned(8, np.int64)
        own = threads if unit.plan.chunked else 1  # workspaces; one is shared by the team where a batch is one piece
        groups = min(GROUPS, -(-min(batch, samples) // unit.plan.recipe.chunk)) if unit.plan.chunked else 1
        self.fixed = pack.aligned(unit.memory.fixed_size * groups, dtype)
        workspace_size = unit.memory.batch_units * layout.panel * panels
        self.workspace = engine.borrow(workspace_size * own)
        scratch_size = batch_scratch(layout, longest)
        self.scratch = pack.aligned(scratch_size * threads, dtype)
        self._keep = [*data.values(), *results.values()]
        w = self.words
        w[Word.SAMPLES], w[Word.BATCH], w[Word.STEPS], w[Word.PANELS] = samples, batch, steps, panels
        w[Word.FIXED_SIZE], w[Word.WORKSPACE_SIZE] = unit.memory.fixed_size, workspace_size
        w[Word.SCRATCH_SIZE] = scratch_size
        for word, array in (
            (Word.COSTS, self.costs),
            (Word.DONE, self.done),
            (Word.STOP, self.stop),
            (Word.HALT, self.halt),
            (Word.BARRIER, self.barrier),
            (Word.FIXED, self.fixed),
            (Word.WORKSPACE, self.workspace),
            (Word.SCRATCH, self.scratch),
        ):
            w[word] = array.ctypes.data
        w[Word.YIELD] = team.yield_address()
        for k, symbol in enumerate(unit.memory.data):
            w[Word.DATA + k] = data[symbol.name].ctypes.data
        for k, symbol in enumerate(unit.memory.outputs):
            w[Word.DATA + len(unit.memory.data) + k] = results[symbol.name].ctypes.data

    def done_with(self) -> None:
        """Gives the workspace back, for the next call."""
        self.engine.give_back(self.workspace)

    def rates(self, rates: Array, first_step: int) -> None:
        """The table of each step's rates and what follows from rates and counters alone, computed in float64."""
        program = self.unit.program
        values: dict[str, Any] = {"lr": rates, "t": np.arange(first_step, first_step + len(rates), dtype=np.float64)}
        columns = [values[s.name] for s in program.given if s.role == "rate"]
        with np.errstate(all="ignore"):
            for name, value in self.unit.rates:
                values[name] = value(values)
                columns.append(values[name])
        table = pack.zeros((len(rates), max(1, len(columns))), self.engine.dtype)
        for k, column in enumerate(columns):
            table[:, k] = column
        self.table = table
        self.words[Word.RATES] = table.ctypes.data


@contextlib.contextmanager
def _watching(stop: Callable[[], bool] | None, flag: Array) -> Iterator[None]:
    """Asks `stop` every few milliseconds, on a thread of its own, and raises the flag that machine code reads."""
    if stop is None:
        yield
        return
    over = threading.Event()

    def watch() -> None:  # a flag once raised stays up: others may have acted on it
        while not flag[0] and not over.wait(POLL):
            if stop():
                flag[0] = 1

    if stop():
        flag[0] = 1
    thread = threading.Thread(target=watch, daemon=True, name="chainrule stop")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _word(value: int) -> int:
    """An unsigned 64-bit number as the signed one with the same bits."""
    return ctypes.c_int64(value).value


def threads_for(unit: _Unit, batch: int, steps: int, asked: int | None) -> int:
    """How many threads a call is worth: what was asked for, else by the arithmetic between two barriers.

    A batch in chunks needs two barriers, and as many threads as there are groups of chunks at most; a batch in one
    piece needs one between most of its stages.  More threads than processors would only wait for each other: what is
    asked for beyond those there are is not used.
    """
    if asked is not None:
        return max(1, min(asked, present()))
    work = unit.operations(batch)
    if unit.plan.chunked:
        worth = min(GROUPS, -(-batch // unit.plan.recipe.chunk), int(work // BETWEEN_BARRIERS))
    else:
        between = work / max(2, len(unit.plan.stages) - 2)
        worth = int(between // BETWEEN_BARRIERS) + 1 if between >= BETWEEN_BARRIERS else 1
    return max(1, min(worth, allowed(), 64)) if worth > 1 else 1
