"""A call of machine code: the record of its arguments, and the memory that it points to."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.base import Array, Values
from chainrule.engines.compiled import pack
from chainrule.engines.compiled.kernels.batch_product import batch_scratch
from chainrule.engines.compiled.plan.kinds import members_of
from chainrule.engines.compiled.plan.memory import FOUR, GROUPS, Word
from chainrule.engines.llvm import team

if TYPE_CHECKING:
    from chainrule.engines.compiled.engine import CompiledEngine, Unit

POLL = 0.005
"""Seconds between two questions whether to stop."""
AT_ONCE = 10_000_000
"""Operations up to which the caller runs the code itself: a millisecond or some, in which Ctrl-C is not heard.  What
takes longer is handed to another thread, which costs some 50 microseconds."""
PER_NUMBER = 20
"""Operations that stand for a stored number's update."""


class Call:
    """The memory for calls of one program with batches of so many samples on so many threads, one call at a time.

    The memory is used again from call to call, as it is from step to step within one: a step reads nothing there that
    it has not written.
    """

    def __init__(self, engine: CompiledEngine, unit: Unit, batch: int, threads: int) -> None:
        layout, dtype, memory = engine.layout, engine.dtype, unit.memory
        self.engine, self.unit, self.batch, self.threads = engine, unit, batch, threads
        self.leaves: Sequence[int] = ()
        """Processors that are left to others."""
        self.words = pack.zeros(memory.words, np.int64)
        chunk = unit.plan.recipe.chunk
        longest = min(batch, chunk) if unit.plan.chunked else batch
        panels = layout.panels(longest)
        self.done = pack.zeros(1, np.int64)
        self.stop = pack.zeros(1, np.int32)
        self.halt = pack.zeros(1, np.int32)
        self.barrier = pack.aligned(8, np.int64)
        most = FOUR if unit.plan.recipe.in_fours else GROUPS
        groups = min(most, -(-batch // chunk)) if unit.plan.chunked else 1
        self.fixed = pack.aligned(memory.fixed_size * groups, dtype)
        workspace = memory.copies(threads) * layout.panel * panels
        # One is shared by the team where a batch is one piece.
        self.workspace_size = workspace * (threads if unit.plan.chunked else 1)
        scratch = batch_scratch(layout, longest, members_of(unit.plan.program), unit.plan.program.parts)
        self.scratch = pack.aligned(scratch * threads, dtype)
        self.packed = pack.aligned(memory.packed_size, dtype)
        self.pieces = pack.aligned(memory.pieces_width * batch, dtype)
        # Whatever they are at first: a row's first place counts only where its token stands.
        self.places = pack.zeros(memory.rows, np.int64)
        self.costs = self.table = pack.zeros(0, np.float64)
        rates = [s.name for s in unit.program.given if s.role == "rate"]
        self.columns = {name: k for k, name in enumerate([*rates, *(name for name, _ in unit.rates)])}
        """The columns of the table of rates, by name."""
        self.words[Word.PANELS], self.words[Word.YIELD] = panels, team.yield_address()
        self.words[Word.FIXED_SIZE], self.words[Word.WORKSPACE_SIZE] = memory.fixed_size, workspace
        self.words[Word.SCRATCH_SIZE] = scratch
        for word, array in (
            (Word.DONE, self.done),
            (Word.STOP, self.stop),
            (Word.HALT, self.halt),
            (Word.BARRIER, self.barrier),
            (Word.FIXED, self.fixed),
            (Word.SCRATCH, self.scratch),
            (Word.PACKED, self.packed),
            (Word.PIECES, self.pieces),
            (Word.PLACES, self.places),
        ):
            self.words[word] = array.ctypes.data

    def serves(self, unit: Unit, batch: int, threads: int) -> bool:
        """Whether it is for calls of that kind."""
        return unit is self.unit and batch == self.batch and threads == self.threads

    def run(
        self,
        stored: Array,
        data: Values,
        order: NDArray[np.int64],
        batch_size: int,
        rates: Mapping[str, Array],
        *,
        first_step: int,
        seed: int,
        results: Values | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> NDArray[np.float64]:
        """Runs the batches of the order over packed stored arrays; the costs of the steps that were done.

        order: (samples,), or (passes, samples), which may be one row many times.
        rates: of each step, by the symbol's name, float64.  results: arrays for values by sample.  stop: asked now and
        then; True ends the call between two steps.
        """
        w, memory = self.words, self.unit.memory
        samples, passes = order.shape[-1], 1 if order.ndim == 1 else len(order)
        steps = -(-samples // batch_size) * passes
        # New ones for each call: what a call has done is read off them at any time, also when it was interrupted.
        self.costs, self.done = pack.zeros(steps, np.float64), pack.zeros(1, np.int64)
        self.stop[0] = self.halt[0] = 0
        self.barrier[:] = 0
        w[Word.STORED], w[Word.ORDER] = stored.ctypes.data, order.ctypes.data
        w[Word.SAMPLES], w[Word.BATCH], w[Word.STEPS] = samples, batch_size, steps // passes
        w[Word.PASSES], w[Word.STRIDE] = passes, 0 if order.ndim == 1 else order.strides[0] // order.itemsize
        w[Word.SEED], w[Word.FIRST_STEP] = _word(seed), first_step
        w[Word.COSTS], w[Word.DONE] = self.costs.ctypes.data, self.done.ctypes.data
        self._fill_rates(rates, steps, first_step)
        keep = []  # alive until the code is done with them
        for k, symbol in enumerate((*memory.data, *memory.outputs)):
            keep.append(data[symbol.name] if k < len(memory.data) else (results or {})[symbol.name])
            w[Word.DATA + k] = keep[-1].ctypes.data
        workspace = self.engine.borrow(self.workspace_size)
        w[Word.WORKSPACE] = workspace.ctypes.data
        with _watching(stop, self.stop):
            at_once = self.threads == 1 and stop is None and self._work(steps) <= AT_ONCE
            interrupt = None if at_once else self._interrupt
            team.run(self.unit.address, w.ctypes.data, self.threads, interrupt, self.leaves)
        self.engine.give_back(workspace)
        return self.costs_done

    def _work(self, steps: int) -> int:
        """Operations of so many steps, counting some for each number that is stored."""
        return steps * (self.unit.operations(self.batch) + self.unit.memory.stored_size * PER_NUMBER)

    def forget(self) -> None:
        """Nothing is done of the call that comes."""
        self.costs, self.done = pack.zeros(0, np.float64), pack.zeros(1, np.int64)

    @property
    def costs_done(self) -> NDArray[np.float64]:
        """The costs of the steps that the last call has done."""
        done = int(self.done[0])
        return self.costs[:done].copy()

    def rate(self, name: str) -> Array:
        """A scalar of the table, in the only step of the last call."""
        return np.asarray(self.table[0, self.columns[name]])

    def _interrupt(self) -> None:
        self.stop[0] = 1

    def _fill_rates(self, rates: Mapping[str, Array], steps: int, first_step: int) -> None:
        """The table of each step's rates and what follows from rates and counters alone, computed in float64."""
        values: dict[str, Any] = {**rates, "t": np.arange(first_step, first_step + steps, dtype=np.float64)}
        with np.errstate(all="ignore"):
            for name, value in self.unit.rates:
                values[name] = value(values)
        self.table = pack.zeros((steps, max(1, len(self.columns))), self.engine.dtype)
        for name, k in self.columns.items():
            self.table[:, k] = values[name]
        self.words[Word.RATES] = self.table.ctypes.data


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
