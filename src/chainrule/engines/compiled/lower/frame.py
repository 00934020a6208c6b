"""Frame: what every stage finds at hand while its code is emitted: addresses, counts, and where a variable is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from chainrule.engines.compiled.kernels.feature_product import share
from chainrule.engines.compiled.kernels.nonzero import NonzeroLists
from chainrule.engines.compiled.plan.memory import Memory, Word, width
from chainrule.engines.compiled.plan.stages import Plan
from chainrule.engines.llvm.emit import Function, Int, Value
from chainrule.engines.llvm.expression import Evaluator
from chainrule.engines.llvm.target import Layout
from chainrule.program.equation import Equation
from chainrule.program.symbol import BATCH, STORED

NUMBERS = frozenset(
    {
        Word.SAMPLES, Word.BATCH, Word.STEPS, Word.PANELS, Word.SCRATCH_SIZE, Word.SEED, Word.FIRST_STEP,
        Word.FIXED_SIZE, Word.WORKSPACE_SIZE,
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
    count: int


@dataclass
class Frame:
    """The function under construction and everything that stages share.

    tid, team: this thread and how many there are.  base: the first sample of this batch in the order; m: its samples
    (of the chunk, where a batch is run in chunks); whole: of the batch.  first: an i1 value, whether this is the
    batch's first chunk, or True.  step: the number of the batch.  workspace, scratch: this thread's own.  sums: where
    the sums of this group of chunks lie, those of `grown`.
    """

    f: Function
    layout: Layout
    plan: Plan
    memory: Memory
    words: dict[int, Value] = field(default_factory=dict)
    addresses: dict[str, Value] = field(default_factory=dict)
    tid: Int = 0
    team: Int = 1
    base: Int = 0
    m: Int = 0
    whole: Int = 0
    first: Value | bool = True
    step: Int = 0
    arguments: Value | None = None
    workspace: Value | None = None
    sums: Value | None = None
    scratch: Value | None = None
    grown: frozenset[str] = frozenset()

    # --- addresses -----------------------------------------------------------------------------------------------

    def enter(self, arguments: Value, names: Iterable[str]) -> None:
        """Loads the arguments and computes the addresses of what is named, in the entry block."""
        f, memory, real = self.f, self.memory, self.layout.real
        self.arguments = arguments
        for word in range(memory.words):
            type = "i64" if word in NUMBERS else "ptr"
            self.words[word] = f.load(type, f.at(arguments, word, type="i64"))
        workspace = self.words[Word.WORKSPACE] if self.workspace is None else self.workspace
        for name in sorted(names):  # the same code in every process
            if name in memory.stored:
                self.addresses[name] = f.at(self.words[Word.STORED], memory.stored[name], type=real)
            elif name in memory.fixed:
                base = self.words[Word.FIXED] if self.sums is None or name not in self.grown else self.sums
                self.addresses[name] = f.at(base, memory.fixed[name], type=real)
            elif name in memory.batch:
                unit = memory.batch[name] * self.layout.panel
                self.addresses[name] = f.at(workspace, (self.words[Word.PANELS], unit), type=real)
        if self.scratch is None:
            offset = f.mul(f.value(self.tid), self.words[Word.SCRATCH_SIZE])
            self.scratch = f.at(self.words[Word.SCRATCH], offset, type=real)

    def data(self, name: str) -> Value:
        """The address of given data, all samples, as the user's array has it."""
        position = [s.name for s in self.memory.data].index(name)
        return self.words[Word.DATA + position]

    def output(self, name: str) -> Value:
        """The address where a result by sample goes."""
        position = [s.name for s in self.memory.outputs].index(name)
        return self.words[Word.DATA + len(self.memory.data) + position]

    def lists(self, name: str) -> tuple[NonzeroLists, Value]:
        """How lists of what is not zero lie, and where."""
        return NonzeroLists(self.layout, *self.plan.lists[name]), self.addresses[name]

    # --- counts --------------------------------------------------------------------------------------------------

    @property
    def panels(self) -> Int:
        """Lane panels of this batch."""
        NR = self.layout.panel
        count: Int = self.f.udiv(self.f.add(self.m, NR - 1), NR)
        return count

    def share(self, count: Int) -> tuple[Int, Int]:
        """This thread's part of `count` units."""
        return share(self.f, count, self.tid, self.team)

    def alone(self, body: Callable[[], object]) -> None:
        """Emits what only thread 0 does."""
        if isinstance(self.tid, int):
            body()
        else:
            self.f.if_(self.f.icmp("eq", self.tid, 0), body)

    # --- variables -----------------------------------------------------------------------------------------------

    def scalar(self, name: str) -> Value:
        """A scalar of the program: m, a rate of this step, or a number in memory."""
        f, real = self.f, self.layout.real
        if name == BATCH:
            return f.convert("sitofp", f.value(self.whole), real)
        rates = self.rate_names()
        if name in rates:
            row = f.at(self.words[Word.RATES], (f.value(self.step), len(rates)), rates.index(name), type=real)
            return f.load(real, row)
        return f.load(real, self.addresses[name])

    def rate_names(self) -> list[str]:
        """The columns of the table of rates: given rates, then what follows from rates and counters alone."""
        given = [s.name for s in self.plan.program.given if s.role == "rate"]
        return given + [e.target.name for e in self.plan.rates]

    def splats(self, equations: Sequence[Equation]) -> dict[str, Value]:
        """The scalars that the equations read, in every lane of a panel row; emitted before their loops.

        What the equations themselves compute is left out.
        """
        made = {e.target.name for e in equations}
        names = dict.fromkeys(
            s.name
            for e in equations
            for s in e.operands
            if s.shape == () and s.name not in made and s.role not in STORED
        )
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
        left = f.sub(f.value(self.m), f.mul(panel, NR))
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
        self, panel: Int, feature: Int, lanes: Lanes, splats: dict[str, Value], known: dict[str, Value]
    ) -> Evaluator:
        """Evaluates expressions for lanes of samples at one feature.

        splats: scalars, as scalars.  known: values that are in registers already.
        """
        f, layout, type = self.f, self.layout, self.type_of(lanes)

        def leaf(name: str) -> Value:
            if name in known:
                return known[name]
            if name in splats:
                return f.splat(splats[name], lanes.count)
            if self.plan.kinds[name] == "vector":
                return f.broadcast(f.at(self.addresses[name], feature, type=layout.real), type)
            return self.load_batch(name, panel, feature, lanes)

        return Evaluator(f, type, leaf)
