"""Frame: what every stage finds at hand while its code is emitted: addresses, counts, and where a variable is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from chainrule.engines.compiled.kernels.nonzero import NonzeroLists, PlacedLists
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.kernels.tile import share
from chainrule.engines.compiled.plan import Plan
from chainrule.engines.compiled.plan.memory import Memory, Word, width
from chainrule.engines.llvm.emit import Function, Int, Value
from chainrule.engines.llvm.expression import Evaluator
from chainrule.program.equation import Equation
from chainrule.program.symbol import BATCH

NUMBERS = frozenset(
    {
        Word.SAMPLES, Word.BATCH, Word.STEPS, Word.PANELS, Word.SCRATCH_SIZE, Word.SEED, Word.FIRST_STEP,
        Word.FIXED_SIZE, Word.WORKSPACE_SIZE, Word.PASSES, Word.STRIDE,
    }
)  # fmt: skip
"""Words that are numbers; the others are addresses."""


@dataclass(frozen=True)
class Lanes:
    """A run of lanes in the rows of a panel.

    Element-wise code takes a whole row at a time: the code generator splits it into vectors instruction by instruction,
    so that their chains of dependent instructions run side by side.
    """

    first: int
    """Where the run begins."""
    count: int
    """How many lanes."""


@dataclass(frozen=True)
class Part:
    """Which part of the work it is about: of the team's, and of the batch."""

    tid: Int
    """This thread."""
    team: Int
    """How many threads there are."""
    step: Int = 0
    """The number of the batch."""
    base: Int = 0
    """The first sample of the batch (of the chunk, where it is run in chunks), counted in the order."""
    m: Int = 0
    """Samples of the batch (of the chunk)."""
    whole: Int = 0
    """Samples of the batch."""
    first: Value | bool = True
    """Whether this is the batch's first chunk of its group: an i1 value, or True."""
    workspace: Value | None = None
    """The workspace of a thread of its own, where chunks are run; else the team's."""
    sums: Value | None = None
    """Where the sums of this group of chunks lie, those of `Frame.grown`."""
    scratch: Value | None = None
    """This thread's scratch."""

    def moving(self) -> dict[str, Value]:
        """What is known at run time only, by name."""
        return {name: x for name, x in vars(self).items() if isinstance(x, Value)}


def rate_names(plan: Plan) -> list[str]:
    """The columns of the table of rates: given rates, then what follows from rates and counters alone."""
    given = [s.name for s in plan.program.given if s.role == "rate"]
    return given + [e.target.name for e in plan.rates]


def place_of(name: str, memory: Memory) -> int | None:
    """Where a value lies, in elements: in its buffer, or of a workspace of one lane panel; None if nowhere."""
    if name in memory.batch:
        return memory.batch[name] * memory.layout.panel
    return next((p[name] for p in (memory.stored, memory.fixed, memory.packed) if name in p), None)


@dataclass(frozen=True)
class Frame:
    """The function under construction and everything that stages share."""

    f: Function
    """The function."""
    plan: Plan
    """What is lowered."""
    arguments: Value
    """The address of the arguments' record."""
    part: Part
    """Which part of the work its code does."""
    words: dict[int, Value]
    """The arguments, by their place in the record."""
    addresses: dict[str, Value]
    """Where values lie, by name."""
    grown: frozenset[str] = frozenset()
    """Names of the sums that grow from chunk to chunk."""

    @classmethod
    def enter(
        cls,
        f: Function,
        plan: Plan,
        arguments: Value,
        part: Part,
        names: Iterable[str],
        grown: frozenset[str] = frozenset(),
        places: Mapping[str, Int] | None = None,
    ) -> Frame:
        """Loads the arguments and computes the addresses of what is named, in the entry block.

        places: those of the named values, where they are not the plan's (see `place_of`).
        """
        memory, real = plan.memory, plan.memory.layout.real
        words, addresses = {}, {}
        for word in range(memory.words):
            type = "i64" if word in NUMBERS else "ptr"
            words[word] = f.load(type, f.at(arguments, word, type="i64"))
        workspace = words[Word.WORKSPACE] if part.workspace is None else part.workspace
        names = set(names)
        copy: Int = 0
        if any(memory.owned(name) for name in names):
            second = f.bits("and", f.icmp("eq", f.value(part.team), 2), f.icmp("eq", f.value(part.tid), 1))
            copy = f.select(second, f.constant("i64", memory.batch_units * memory.layout.panel), 0)
        for name in sorted(names):  # the same code in every process
            place = place_of(name, memory) if places is None else places.get(name)
            if place is None:
                continue
            if name in memory.stored:
                addresses[name] = f.at(words[Word.STORED], place, type=real)
            elif name in memory.packed:
                addresses[name] = f.at(words[Word.PACKED], place, type=real)
            elif name in memory.fixed:
                base = words[Word.FIXED] if part.sums is None or name not in grown else part.sums
                addresses[name] = f.at(base, place, type=real)
            else:
                place = f.add(place, copy) if memory.owned(name) else place
                addresses[name] = f.at(workspace, f.mul(words[Word.PANELS], place), type=real)
        if part.scratch is None:
            offset = f.mul(f.value(part.tid), words[Word.SCRATCH_SIZE])
            part = replace(part, scratch=f.at(words[Word.SCRATCH], offset, type=real))
        return cls(f, plan, arguments, part, words, addresses, grown)

    @property
    def memory(self) -> Memory:
        """Where everything lies."""
        return self.plan.memory

    @property
    def layout(self) -> PanelLayout:
        """How values lie on the processor."""
        return self.plan.memory.layout

    # --- addresses -----------------------------------------------------------------------------------------------

    def data(self, name: str) -> Value:
        """The address of given data, all samples, as the user's array has it."""
        position = [s.name for s in self.memory.data].index(name)
        return self.words[Word.DATA + position]

    def output(self, name: str) -> Value:
        """The address where a result by sample goes."""
        position = [s.name for s in self.memory.outputs].index(name)
        return self.words[Word.DATA + len(self.memory.data) + position]

    def lists(self, name: str) -> PlacedLists:
        """Lists of what is not zero."""
        lists = NonzeroLists(self.layout, *self.plan.lists[name])
        return PlacedLists(lists, self.addresses[name], self.words[Word.PANELS])

    @property
    def before(self) -> Int:
        """Samples of the batch in chunks before this one."""
        f, words, step = self.f, self.words, self.part.step
        passed = f.udiv(step, words[Word.STEPS])
        within = f.mul(f.sub(step, f.mul(passed, words[Word.STEPS])), words[Word.BATCH])
        begins = f.add(f.mul(passed, words[Word.STRIDE]), within)
        count: Int = f.sub(self.part.base, begins)
        return count

    # --- counts --------------------------------------------------------------------------------------------------

    @property
    def panels(self) -> Int:
        """Lane panels of this batch."""
        NR = self.layout.panel
        count: Int = self.f.udiv(self.f.add(self.part.m, NR - 1), NR)
        return count

    def share(self, count: Int) -> tuple[Int, Int]:
        """This thread's part of `count` units."""
        return share(self.f, count, self.part.tid, self.part.team)

    def share_data(self, count: Int) -> tuple[Int, Int]:
        """The same of the data: each of two threads loads all of it, for itself."""
        lo, hi = self.share(count)
        if not self.memory.own_units:
            return lo, hi
        f = self.f
        both = f.icmp("eq", f.value(self.part.team), 2)
        return f.select(both, f.constant("i64", 0), lo), f.select(both, f.value(count), hi)

    def alone(self, body: Callable[[], object]) -> None:
        """Emits what only thread 0 does."""
        if isinstance(self.part.tid, int):
            body()
        else:
            self.f.if_(self.f.icmp("eq", self.part.tid, 0), body)

    # --- variables -----------------------------------------------------------------------------------------------

    def scalar(self, name: str) -> Value:
        """A scalar of the program: m, a rate of this step, or a number in memory."""
        f, real = self.f, self.layout.real
        if name == BATCH:
            return f.convert("sitofp", f.value(self.part.whole), real)
        rates = rate_names(self.plan)
        if name in rates:
            row = f.at(self.words[Word.RATES], (f.value(self.part.step), len(rates)), rates.index(name), type=real)
            return f.load(real, row)
        return f.load(real, self.addresses[name])

    def splats(self, equations: Sequence[Equation]) -> dict[str, Value]:
        """The scalars that the equations read, in every lane of a panel row; emitted before their loops.

        What the equations themselves compute is left out.
        """
        computed = {e.target.name for e in equations}
        names = dict.fromkeys(s.name for e in equations for s in e.operands if s.shape == () and s.name not in computed)
        return {name: self.scalar(name) for name in names}

    @property
    def row(self) -> Lanes:
        """A whole row of a lane panel."""
        return Lanes(0, self.layout.panel)

    def vector(self, v: int) -> Lanes:
        """The v-th vector of a row of a lane panel."""
        return Lanes(v * self.layout.lanes, self.layout.lanes)

    def type_of(self, lanes: Lanes) -> str:
        """The type of so many lanes."""
        return f"<{lanes.count} x {self.layout.real}>"

    def lane_mask(self, panel: Int, lanes: Lanes) -> Value:
        """Which lanes in a lane panel are samples."""
        f, NR = self.f, self.layout.panel
        left = f.sub(f.value(self.part.m), f.mul(panel, NR))
        return f.lane_mask(f.value(left), lanes.count, lanes.first)

    def _place(self, name: str, panel: Int, feature: Int, lanes: Lanes) -> Value:
        n = width(self.plan.program.symbols[name])
        where = panel if n == 1 else self.f.add(self.f.mul(panel, n), feature)
        return self.f.at(self.addresses[name], (where, self.layout.panel), lanes.first, type=self.layout.real)

    def load_batch(self, name: str, panel: Int, feature: Int, lanes: Lanes) -> Value:
        """Lanes of a batch value, or of one-hot rows, which are compared with their labels."""
        f, layout, type = self.f, self.layout, self.type_of(lanes)
        if name in self.plan.labels:
            label = self.load_batch(self.plan.labels[name].name, panel, 0, lanes)
            number: Value | float = float(feature) if isinstance(feature, int) else 0.0
            if not isinstance(feature, int):
                number = f.splat(f.convert("sitofp", feature, layout.real), lanes.count)
            return f.select(f.fcmp("oeq", label, number), f.constant(type, 1.0), f.constant(type, 0.0))
        address = self._place(name, panel, feature, lanes)
        return f.load(type, address, align=layout.lanes * layout.itemsize)

    def store_batch(self, value: Value, name: str, panel: Int, feature: Int, lanes: Lanes) -> None:
        """Stores lanes of a batch value."""
        address = self._place(name, panel, feature, lanes)
        self.f.store(value, address, align=self.layout.lanes * self.layout.itemsize)

    def at_sample(
        self, panel: Int, feature: Int, lanes: Lanes, splats: dict[str, Value], registers: dict[str, Value]
    ) -> Evaluator:
        """Evaluates expressions for lanes of samples at one feature.

        splats: scalars, as scalars.  registers: values that are in registers already.
        """
        f, layout, type = self.f, self.layout, self.type_of(lanes)

        def leaf(name: str) -> Value:
            if name in registers:
                return registers[name]
            if name in splats:
                return f.splat(splats[name], lanes.count)
            if self.plan.kinds[name] == "vector":
                return f.broadcast(f.at(self.addresses[name], feature, type=layout.real), type)
            return self.load_batch(name, panel, feature, lanes)

        return Evaluator(f, type, leaf)
