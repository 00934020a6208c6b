"""Where everything lies: one place that the lowering (which emits addresses) and the engine (which fills them) share.

stored     parameters, slots and statistics, in the order of the program, at fixed offsets
fixed      other values without samples: gradients, sums, scalars, at fixed offsets
packed     weights as products of parts read them, at fixed offsets
batch      values of the samples, u·NR·P elements in for unit u and a workspace of P lane panels; units are reused
           when the stages that need them are over
arguments  a record of 64-bit words that a call hands over
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from chainrule.engines.compiled.kernels.nonzero import NonzeroLists
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan.kinds import Kind
from chainrule.engines.compiled.plan.stages import Fusion, Load, Lookup, Pieces, RowUpdates, Scatter
from chainrule.program.equation import Program
from chainrule.program.symbol import STORED, Symbol

RUN = "chainrule_run"
"""The function that runs batches, in its module."""
ROW = "chainrule_row"
"""The function that predicts one sample, in its module."""
GROUPS = 8
"""At most so many groups of chunks, each with sums of its own: the most threads that a batch in chunks can use."""
FOUR = 4
"""Chunks of a group, and groups at most, where a recipe says `in_fours`."""
LINE = 64
"""Bytes of a cache line, to which every array is aligned."""


class Word(IntEnum):
    """The arguments' record, a word each: addresses unless said otherwise.

    ORDER: int64 indices of samples, those of each of PASSES passes STRIDE after those of the one before.  SAMPLES,
    BATCH, STEPS: counts, of a pass.  RATES: [steps][rates].  COSTS: float64 [steps].  DONE: int64, the steps that were
    done.  STOP: int32, set from outside to stop between batches.  HALT: int32.
    BARRIER: int64 words.  YIELD: a function that gives the processor away.  PANELS: lane panels of the workspace.
    PACKED: weights as products of parts read them.  SCRATCH: for each thread, SCRATCH_SIZE elements apart.
    FIXED, WORKSPACE: where a batch is run in chunks, one for each group of chunks, and one for each thread, FIXED_SIZE
    and WORKSPACE_SIZE elements apart.
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
    PIECES = 21
    PLACES = 22
    PACKED = 23
    PASSES = 24
    STRIDE = 25
    DATA = 26
    """The first of the data's addresses, in the order of `Memory.data`; results by sample follow."""


@dataclass(frozen=True)
class Memory:
    """Where everything of a plan lies."""

    layout: PanelLayout
    """How values of the dtype lie on the processor."""
    kinds: dict[str, Kind]
    """How each symbol lies, by name."""
    stored: dict[str, int]
    """Offsets of parameters, slots and statistics, in elements, by name."""
    stored_size: int
    """Elements that these take."""
    fixed: dict[str, int]
    """Offsets of other values without samples, in elements, by name."""
    fixed_size: int
    """Elements that these take."""
    batch: dict[str, int]
    """The first unit of each value of the samples and each list, by name."""
    batch_units: int
    """Units that these take: a unit is a feature of all samples."""
    own_units: int
    """The first of them, of the batch's data: a team of two has them twice, each thread its own (see `copies`)."""
    spans: dict[str, tuple[int, int]]
    """The numbers of the first and the last stage that a value of the samples lives in, by name."""
    data: tuple[Symbol, ...]
    """The user's arrays, in the order of their addresses in the record."""
    outputs: tuple[Symbol, ...]
    """Results by sample, in the order of their addresses in the record."""
    widths: dict[str, int]
    """Units of each value of the samples and each list, by name."""
    pieces: dict[str, int]
    """Where the pieces of a table's gradient begin in a sample's row of pieces, in elements, by name."""
    pieces_width: int
    """Elements of a sample's row of pieces."""
    first_places: dict[str, int]
    """By table that is updated row by row, where it begins among the numbers of each row's first place in a batch."""
    rows: int
    """How many such numbers there are."""
    packed: dict[str, int]
    """Offsets of weights that are packed for products of parts, in elements, by name."""
    packed_size: int
    """Elements that these take."""

    @property
    def words(self) -> int:
        """Words in the arguments' record."""
        return Word.DATA + len(self.data) + len(self.outputs)

    def owned(self, name: str) -> bool:
        """Whether it is data of the batch, of which each of two threads has a copy."""
        return self.batch.get(name, self.own_units) < self.own_units

    def copies(self, threads: int) -> int:
        """Units of a workspace for so many threads.

        The copy of the second of two begins where the workspace ends for others.  To load the data once more costs each
        thread as long as to load a half into lines that the other has read, and to read the other's half later.
        """
        return self.batch_units + (self.own_units if threads == 2 else 0)

    def share(self, name: str, other: str) -> bool:
        """Whether these are one value, or values of the samples with a unit in common, at other times."""
        if name == other or name not in self.batch or other not in self.batch:
            return name == other
        a, b = self.batch[name], self.batch[other]
        return a < b + self.widths[other] and b < a + self.widths[name]


def size_of(symbol: Symbol, kind: Kind, layout: PanelLayout) -> int:
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


def stored_places(program: Program, kinds: Mapping[str, Kind], layout: PanelLayout) -> tuple[dict[str, int], int]:
    """Offsets of parameters, slots and statistics, and the elements they take: the same for every plan of a program."""
    return _places({name: s for name, s in program.symbols.items() if s.role in STORED}, kinds, layout)


def _places(
    symbols: Mapping[str, Symbol], kinds: Mapping[str, Kind], layout: PanelLayout
) -> tuple[dict[str, int], int]:
    """Offsets of values without samples, one after the other, each at the beginning of a cache line; and their end."""
    line, places, end = LINE // layout.itemsize, {}, 0
    for name, symbol in symbols.items():
        places[name] = end
        end += -(-size_of(symbol, kinds[name], layout) // line) * line
    return places, end


def memory(fusion: Fusion, layout: PanelLayout) -> Memory:
    """The places of everything that the plan keeps."""
    symbols = fusion.program.symbols
    stored, stored_size = stored_places(fusion.program, fusion.kinds, layout)
    elsewhere = ("rate", "counter", *STORED)
    here = fusion.kept - fusion.pieces.keys()
    kept = [s for s in symbols.values() if s.name in here and s.role not in elsewhere]
    single = {
        s.name: s for s in kept if fusion.kinds[s.name] not in ("batch", "tokens") and s.name not in fusion.pieces
    }
    fixed, fixed_size = _places(single, fusion.kinds, layout)
    widths = {n: width(symbols[n]) for n in fusion.kept if n in symbols and fusion.kinds[n] == "batch"}
    widths |= {name: NonzeroLists(layout, *lists).units for name, lists in fusion.lists.items()}
    widths |= {name: p.units(layout) for name, p in fusion.packings.items() if p.symbol.batched}
    spans = _spans(fusion, widths)
    loaded = set() if fusion.chunked else set().union(*(s.writes() for s in fusion.stages if isinstance(s, Load)))
    end = len(fusion.stages)
    own, own_units = _units(widths, {name: (0, end) for name in spans if name in loaded})
    others, count = _units(widths, {name: span for name, span in spans.items() if name not in loaded})
    units = own | {name: own_units + at for name, at in others.items()}
    count += own_units
    packed, packed_size = _laid(
        {
            name: -(-packing.size(layout) * layout.itemsize // LINE) * LINE // layout.itemsize
            for name, packing in fusion.packings.items()
            if not packing.symbol.batched
        }
    )
    tokens = [e.operands[1] for s in fusion.stages if isinstance(s, _OF_TOKENS) for e in s.equations]
    data = tuple(dict.fromkeys([*fusion.loads, *tokens]))
    pieces, pieces_width = _laid({n: int(e.operands[0].shape[1]) for n, e in fusion.pieces.items()})
    updates = [s.equations[0].target for s in fusion.stages if isinstance(s, RowUpdates)]
    first_places, rows = _laid({table.name: int(table.shape[0]) for table in updates})
    return Memory(
        layout,
        fusion.kinds,
        stored,
        stored_size,
        fixed,
        fixed_size,
        units,
        count,
        own_units,
        spans,
        data,
        fusion.outputs,
        widths,
        pieces,
        pieces_width,
        first_places,
        rows,
        packed,
        packed_size,
    )


_OF_TOKENS = (Lookup, Scatter, Pieces, RowUpdates)


def _laid(sizes: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Offsets one after the other, and their end."""
    places, end = {}, 0
    for name, size in sizes.items():
        places[name], end = end, end + size
    return places, end


def _spans(fusion: Fusion, names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The first and the last stage that each batch value or list lives in; a result lives to the end.  In the order in
    which they get their places."""
    spans: dict[str, tuple[int, int]] = {}
    for position, stage in enumerate(fusion.stages):
        for name in fusion.touched(stage.reads() | stage.writes()):
            first, _ = spans.get(name, (position, position))
            spans[name] = (first, position)
    end = len(fusion.stages)
    late = {s.name for s in fusion.outputs}
    touched = sorted((*spans.get(name, (0, end)), name) for name in names)
    return {name: (first, end if name in late else last) for first, last, name in touched}


def _units(widths: dict[str, int], spans: dict[str, tuple[int, int]]) -> tuple[dict[str, int], int]:
    """Units for the batch values and lists of these widths, by the stages in which they live: first fit; how many."""
    placed: list[tuple[int, int, int]] = []  # (first unit, past unit, last stage)
    units: dict[str, int] = {}
    top = 0
    for name, (first, last) in spans.items():
        n = widths[name]
        placed = [place for place in placed if place[2] >= first]  # who is over by now is over for all that follow
        busy = sorted((a, b) for a, b, _ in placed)
        at = 0
        for a, b in busy:
            if at + n <= a:
                break
            at = max(at, b)
        units[name] = at
        placed.append((at, at + n, last))
        top = max(top, at + n)
    return units, top
