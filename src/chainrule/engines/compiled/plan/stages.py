"""Stages: which equations share a loop nest, in which order, and what must be kept in memory.

A stage is one loop nest, shared among the threads; between stages that depend on each other stands a barrier.

    Load       the batch's rows of the data, gathered through the order, transposed to lane panels
    Nonzero    lists of what is not zero in the data, for the products that pass over the zeros
    Pack       a factor's bfloat16 parts as a product of parts reads them, where the stage that makes it does not pack
    Product    one matrix product and every element-wise equation that can follow it in its tile: bias and activation,
               slope, penalty and the optimizer's update (so a weight's gradient need not be stored)
    PerSample  element-wise equations and reductions over features, all for the samples in the lanes (softmax, losses)
    Sums       a reduction over the samples
    Flat       element-wise equations and reductions over parameters
    Scalars    element-wise equations over scalars
    Plain      an equation without samples that fits nowhere else: products of parameters, sums of rows
    Arrange    values of the samples laid side by side, or some of their columns
    Lookup, Scatter, Masks    embeddings and dropout
    Pieces     what a table's gradient is added up of, a row for each token, where an update is for these rows alone
    RowUpdates the rows' gradients added up, and element-wise equations over the rows that tokens name

Equations move only past others that neither write what they touch nor read what they write.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from chainrule.engines.compiled.kernels.inner import Dots
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan.kinds import Form, Kind, width_of
from chainrule.engines.compiled.plan.recipe import Recipe
from chainrule.program.equation import Equation, Program
from chainrule.program.op import Reduce
from chainrule.program.symbol import STORED, Symbol

Packed = Literal["lines", "lanes", "rows", "turned"]
"""How a factor is packed: the neighbours in a word stand along the features of a batch value, along the lanes of a
panel, or along the rows of a weight, which lies as ever or is turned round (see `kernels/parts.py`)."""


@dataclass(frozen=True)
class Packing:
    """A factor of products of parts, as it is packed."""

    symbol: Symbol
    """The factor."""
    form: Packed
    """Along what neighbours make a word."""
    parts: int
    """Of each number."""
    groups: int = 1
    """The groups of features, or of rows, that each begin anew."""

    @property
    def name(self) -> str:
        """Of the packed factor."""
        return f"{self.symbol.name} in {self.form}" + (f" of {self.groups} groups" if self.groups > 1 else "")

    def units(self, layout: PanelLayout) -> int:
        """Of a batch value: the space that it needs in a workspace, in features."""
        width = int(self.symbol.shape[1])
        if self.form == "lines":
            return self.groups * Dots(layout, self.parts).stored_lines(width // self.groups) * self.parts
        return -(-width * self.parts // 2)

    def size(self, layout: PanelLayout) -> int:
        """Of a weight: the scalars that it needs."""
        rows, columns = (int(d) for d in self.symbol.shape)
        words = layout.panel // 2 * self.parts
        if self.form == "lanes":
            return layout.panels(columns) * rows * words
        if self.form == "rows":
            return layout.panels(columns) * self.groups * -(-rows // self.groups // 2) * layout.panel * self.parts
        return self.groups * layout.panels(rows // self.groups) * columns * words


@dataclass
class Stage:
    """One loop nest."""

    equations: list[Equation]
    """Its equations in order."""
    packs: list[Packing] = field(default_factory=list, kw_only=True)
    """What it makes and packs at once, for the products of parts that read it."""

    @property
    def alone(self) -> bool:
        """Whether one thread does all of it, the same for all such stages: they need no barrier between them."""
        return False

    def all(self) -> list[Equation]:
        """Every equation that it computes."""
        return self.equations

    def reads(self) -> set[str]:
        """Names of what it reads from memory."""
        own = {e.target.name for e in self.equations}
        stored = {e.target.name for e in self.equations if e.target.role in STORED}
        return {s.name for e in self.equations for s in e.operands if s.name not in own or s.name in stored}

    def writes(self) -> set[str]:
        """Names of what it computes."""
        return {e.target.name for e in self.all()} | {p.name for p in self.packs}

    def keeps(self) -> set[str]:
        """Names of what it cannot do without a place for, whether or not another stage reads it."""
        stored = {e.target.name for e in self.all() if e.target.role in STORED}
        stored |= {p.symbol.name for p in self.packs}
        return stored | {e.target.name for e in self.equations if isinstance(e.op, Reduce) and not e.target.batched}


@dataclass
class Load(Stage):
    """Rows of the data."""

    symbols: list[Symbol] = field(default_factory=list)
    """The data that are gathered."""

    def writes(self) -> set[str]:
        """The gathered symbols."""
        return {s.name for s in self.symbols} | {p.name for p in self.packs}

    def keeps(self) -> set[str]:
        """What is not packed on its way: who else reads the rest will say so."""
        return {s.name for s in self.symbols} - {p.symbol.name for p in self.packs}


@dataclass
class Nonzero(Stage):
    """Lists of what is not zero in data, each for one form of product."""

    symbol: Symbol
    """The data."""
    lists: dict[str, Form] = field(default_factory=dict)
    """The form of product that reads a list, by the list's name."""
    factors: dict[str, str] = field(default_factory=dict)
    """What a list is made of, by its name: the data, or the data as that product reads them packed."""

    def reads(self) -> set[str]:
        """The data."""
        return set(self.factors.values())

    def writes(self) -> set[str]:
        """The lists."""
        return set(self.lists)


@dataclass
class Pack(Stage):
    """The bfloat16 parts of a factor."""

    packing: Packing
    """What is packed, and how."""

    def reads(self) -> set[str]:
        """The factor."""
        return {self.packing.symbol.name}

    def writes(self) -> set[str]:
        """The packed factor."""
        return {self.packing.name}


@dataclass
class Product(Stage):
    """The product `equations[0]` and what follows it in its tile."""

    form: Form = "forward"
    """Which of the three products it is."""
    bias: list[Equation] = field(default_factory=list)
    """In a batch product: equations over the column sums of dZ, these first."""
    nonzero: str | None = None
    """The name of the list of what is not zero in the first operand; None where it takes all."""
    packed: dict[str, Packing] = field(default_factory=dict)
    """In a product of parts: by name, the factors that it reads packed."""

    def all(self) -> list[Equation]:
        """Those of the tile, then those of the bias."""
        return [*self.equations, *self.bias]

    def reads(self) -> set[str]:
        """Names of what it reads from memory."""
        reads = super().reads() | Stage(self.bias).reads() | ({self.nonzero} if self.nonzero else set())
        if not self.packed:
            return reads
        if any(p.parts == 3 for p in self.packed.values()):  # and as they are, where a sum is not finite
            return reads | set(self.packed)
        others = Stage([*self.equations[1:], *self.bias]).reads()
        return (reads - {p.symbol.name for p in self.packed.values()} - others) | (others & reads) | set(self.packed)

    def factor(self, symbol: Symbol) -> str:
        """The name of what the product reads a factor from."""
        return next((name for name, packing in self.packed.items() if packing.symbol == symbol), symbol.name)


class PerSample(Stage):
    """Row-wise equations over samples."""

    def keeps(self) -> set[str]:
        """Also what passes from one of its loops over the features to the next and does not fit in registers."""
        between = set()
        for _, equations in loops_of(self):
            own = {e.target.name for e in equations}
            between |= {s.name for e in equations for s in e.operands if s.name not in own and wide(s)}
        return super().keeps() | between


class Stored(Stage):
    """A stage that stores all that it computes."""

    def keeps(self) -> set[str]:
        """All of it."""
        return self.writes()


class Sums(Stored):
    """One reduction over the samples."""

    @property
    def alone(self) -> bool:
        """If it is one number."""
        return any(isinstance(e.op, Reduce) and e.op.over != "rows" for e in self.equations)


class Flat(Stage):
    """Equations over parameters of one kind and shape."""

    @property
    def alone(self) -> bool:
        """If anything is added up: in one order."""
        return any(isinstance(e.op, Reduce) for e in self.equations)


class Plain(Stored):
    """One equation without samples, number by number."""


class Scalars(Stored):
    """Equations over scalars."""

    @property
    def alone(self) -> bool:
        """They are few."""
        return True


class Arrange(Stored):
    """One value of the samples laid out of columns of others."""


class Lookup(Stored):
    """Rows of an embedding."""


class Scatter(Stored):
    """Gradients added into the rows of an embedding."""

    @property
    def alone(self) -> bool:
        """Samples in order."""
        return True


class Pieces(Stored):
    """A table's gradient, kept as the pieces that belong to its rows: none of the table's size is made."""


class RowUpdates(Stage):
    """Equations over the rows of tables that the same tokens name."""

    def reads(self) -> set[str]:
        """Names of what it reads from memory, beside the tokens, which lie in the user's own array."""
        return super().reads() - {e.operands[1].name for e in self.equations}


class Masks(Stored):
    """Random bits."""


@dataclass(frozen=True)
class Fusion:
    """The stages of a program in order, and what follows from them."""

    program: Program
    """What is planned."""
    recipe: Recipe
    """How it is run."""
    stages: tuple[Stage, ...]
    """The loop nests in order."""
    kinds: dict[str, Kind]
    """How each symbol lies in memory, by name."""
    kept: frozenset[str]
    """Names of the symbols that need memory."""
    labels: dict[str, Symbol]
    """One-hot symbols, by name, with their label symbol: they are compared on the fly instead of stored."""
    rates: tuple[Equation, ...]
    """Scalars computed outside, once a step."""
    loads: tuple[Symbol, ...]
    """Data symbols that are gathered."""
    couples: bool
    """Whether samples of a batch depend on each other, so that it cannot be cut in chunks."""
    lists: dict[str, tuple[Form, int, int]]
    """The lists of what is not zero, by name: the form of product that reads them, the data's features, its parts."""
    prepared: tuple[Packing, ...]
    """Weights that are packed once before the first batch, and then by whoever updates them."""

    @cached_property
    def packings(self) -> dict[str, Packing]:
        """The factors that are packed, by name."""
        packed = {s.packing.name: s.packing for s in self.stages if isinstance(s, Pack)}
        return packed | {p.name: p for s in self.stages for p in s.packs}

    @property
    def chunked(self) -> bool:
        """Whether a batch is run in chunks."""
        return self.recipe.large and not self.couples

    @cached_property
    def pieces(self) -> dict[str, Equation]:
        """Gradients of tables that are kept in pieces, by name, and the equations that add them up."""
        return {e.target.name: e for s in self.stages if isinstance(s, Pieces) for e in s.equations}

    @cached_property
    def outputs(self) -> tuple[Symbol, ...]:
        """Values of the samples that are handed out row by row."""
        symbols = self.program.symbols
        return tuple(symbols[name] for name in self.recipe.wanted if symbols[name].batched)

    def touched(self, names: set[str]) -> set[str]:
        """The names and, for one-hot symbols, the labels that stand for them."""
        return names | {label.name for hot, label in self.labels.items() if hot in names}

    def of_samples(self, stage: Stage) -> bool:
        """Whether a stage touches values of the samples."""
        symbols = self.program.symbols
        names = {self.packings[n].symbol.name if n in self.packings else n for n in stage.reads() | stage.writes()}
        return any(name in self.lists or symbols[name].batched for name in names)


def loops_of(stage: PerSample) -> list[tuple[int, list[Equation]]]:
    """The stage's loops over features, (width, equations) each: as few as possible.

    An equation joins the loop before it if their widths agree and it needs no reduction of that loop; what is one
    number a sample has the width 1.
    """
    loops: list[tuple[int, list[Equation]]] = []
    for equation in stage.equations:
        width = width_of(equation)
        if loops and loops[-1][0] == width:
            reduced = {e.target.name for e in loops[-1][1] if isinstance(e.op, Reduce)}
            if width == 1 or not any(s.name in reduced for s in equation.operands):
                loops[-1][1].append(equation)
                continue
        loops.append((width, [equation]))
    return loops


def wide(symbol: Symbol) -> bool:
    """Whether it is a batch value that does not fit in registers."""
    return symbol.batched and len(symbol.shape) == 2 and symbol.shape[1] != 1
