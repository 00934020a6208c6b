"""Where everything lies: one place that the lowering (which emits addresses) and the engine (which fills them) share.

stored     parameters, slots and statistics, in the order of the program, at fixed offsets
fixed      other values without samples: gradients, sums, scalars, at fixed offsets
batch      values of the samples, u·NR·P elements in for unit u and a workspace of P lane panels; units are reused
           when the stages that need them are over
arguments  a record of 64-bit words that a call hands over
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from chainrule.engines.compiled.plan.stages import Kind, Lookup, Plan, Scatter
from chainrule.engines.compiled.plan.zeros import Lists
from chainrule.engines.llvm.target import Layout
from chainrule.program.symbol import STORED, Symbol

ENTRY = "chainrule_run"
"""The function of a module that a call enters."""
CHUNK = 256
"""Samples a chunk: the working set of a few hundred features stays in the second-level cache."""
GROUPS = 8
"""At most so many groups of chunks, each with sums of its own: the most threads that a batch in chunks can use."""
LINE = 64
"""Bytes of a cache line, to which every array is aligned."""


class Word(IntEnum):
    """The arguments' record, a word each: addresses unless said otherwise.

    ORDER: int64 indices of samples.  SAMPLES, BATCH, STEPS: counts.  RATES: [steps][rates].  COSTS: float64 [steps].
    DONE: int64, the steps that were done.  STOP: int32, set from outside to stop between batches.  HALT: int32.
    BARRIER: int64 words.  YIELD: a function that gives the processor away.  PANELS: lane panels of the workspace.
    SCRATCH: for each thread, SCRATCH_SIZE elements apart.  FIXED, WORKSPACE: where a batch is run in chunks, one for
    each group of chunks, and one for each thread, FIXED_SIZE and WORKSPACE_SIZE elements apart.
    """

    ORDER = 0
    SAMPLES = 1
    BATCH = 2
    STEPS = 3
    RATES = 4
    COSTS = 5
    DONE = 6
    STOP = 7
    HALT = 8
    BARRIER = 9
    YIELD = 10
    PANELS = 11
    SCRATCH = 12
    SCRATCH_SIZE = 13
    STORED = 14
    FIXED = 15
    WORKSPACE = 16
    SEED = 17
    FIRST_STEP = 18
    FIXED_SIZE = 19
    WORKSPACE_SIZE = 20
    DATA = 21
    """The first of the data's addresses, in the order of `Memory.data`; results by sample follow."""


@dataclass(frozen=True)
class Memory:
    """Offsets by name, in elements; batch units by name, and how many; sizes."""

    kinds: dict[str, Kind]
    stored: dict[str, int]
    stored_size: int
    fixed: dict[str, int]
    fixed_size: int
    batch: dict[str, int]
    batch_units: int
    data: tuple[Symbol, ...]
    outputs: tuple[Symbol, ...]
    widths: dict[str, int]

    @property
    def words(self) -> int:
        """Words in the arguments' record."""
        return Word.DATA + len(self.data) + len(self.outputs)

    @cached_property
    def sharing(self) -> dict[str, set[str]]:
        """By name of a batch value, those that have a unit in common with it, at other times."""
        spans = [(name, at, at + self.widths[name]) for name, at in self.batch.items()]
        return {a: {b for b, c, d in spans if c < last and first < d} for a, first, last in spans}


def size_of(symbol: Symbol, kind: Kind, layout: Layout) -> int:
    """Elements of a value without samples, whole cache lines."""
    shape = [int(d) for d in symbol.shape]
    match kind:
        case "weight":
            return layout.weight_size(shape[0], shape[1])
        case "table":
            return layout.padded(shape[0] * shape[1])
        case "vector":
            return layout.padded(shape[0])
        case _:
            return 1


def width(symbol: Symbol) -> int:
    """Features of a batch value; labels and weights have one."""
    return int(symbol.shape[1]) if len(symbol.shape) == 2 else 1


def memory(plan: Plan, layout: Layout, outputs: tuple[Symbol, ...] = ()) -> Memory:
    """The places of everything that the plan keeps.  outputs: batch values to be handed out row by row."""
    line = LINE // layout.itemsize
    symbols = plan.program.symbols
    stored: dict[str, int] = {}
    fixed: dict[str, int] = {}
    sizes = {"stored": 0, "fixed": 0}
    for name, symbol in symbols.items():
        kind = plan.kinds[name]
        if symbol.role in STORED:
            where, table = "stored", stored
        elif name in plan.kept and kind not in ("batch", "tokens") and symbol.role not in ("rate", "counter"):
            where, table = "fixed", fixed
        else:
            continue
        table[name] = sizes[where]
        sizes[where] += -(-size_of(symbol, kind, layout) // line) * line
    widths = {n: width(symbols[n]) for n in plan.kept if n in symbols and plan.kinds[n] == "batch"}
    widths |= {name: Lists(layout, *lists).units for name, lists in plan.lists.items()}
    units, count = _units(plan, widths, {s.name for s in outputs})
    tokens = [e.operands[1] for s in plan.stages if isinstance(s, Lookup | Scatter) for e in s.equations]
    data = tuple(dict.fromkeys([*plan.loads, *tokens]))
    return Memory(plan.kinds, stored, sizes["stored"], fixed, sizes["fixed"], units, count, data, outputs, widths)


def _units(plan: Plan, widths: dict[str, int], outputs: set[str]) -> tuple[dict[str, int], int]:
    """Units for the batch values and lists of these widths, by the stages in which they live: first fit."""
    spans: dict[str, tuple[int, int]] = {}
    for position, stage in enumerate(plan.stages):
        touched = stage.reads() | stage.writes()
        touched |= {label.name for hot, label in plan.labels.items() if hot in touched}
        for name in touched:
            first, _ = spans.get(name, (position, position))
            spans[name] = (first, position)
    end = len(plan.stages)
    placed: list[tuple[int, int, int, int]] = []  # (first unit, past unit, first stage, last stage)
    units: dict[str, int] = {}
    top = 0
    for name in sorted(widths, key=lambda n: (spans.get(n, (0, end)), n)):
        first, last = spans.get(name, (0, end))
        if name in outputs:
            last = end
        n = widths[name]
        busy = sorted((a, b) for a, b, s, e in placed if s <= last and first <= e)
        at = 0
        for a, b in busy:
            if at + n <= a:
                break
            at = max(at, b)
        units[name] = at
        placed.append((at, at + n, first, last))
        top = max(top, at + n)
    return units, top
