"""The plan: which equations share a loop nest, in which order, and what must be kept in memory.

    program -> stages

A stage is one loop nest, shared among the threads; between stages that depend on each other stands a barrier.

    Load       the batch's rows of the data, gathered through the order, transposed to lane panels
    Census     where in data of many zeros there is something else, for the products that pass over the zeros
    Product    one matrix product and every element-wise equation that can follow it in its tile: bias and activation,
               slope, penalty and the optimizer's update (so a weight's gradient need not be stored)
    Lanes      element-wise equations and sums over features, all for the samples in the lanes (softmax, losses, norms)
    Sums       reductions over the samples
    Flat       element-wise equations and reductions over parameters
    Scalars    element-wise equations over scalars
    Lookup, Scatter, Masks    embeddings and dropout

Equations move only past others that neither write what they touch nor read what they write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from chainrule.engines.base import rate_scalars
from chainrule.program.equation import Equation, Program
from chainrule.program.op import Elementwise, Gather, Mask, MatMul, OneHot, Reduce, ScatterAdd
from chainrule.program.scalar import Variable
from chainrule.program.symbol import BATCH, STORED, Symbol

Kind = Literal["batch", "weight", "table", "vector", "scalar", "tokens"]
"""batch (m, n): lane panels.  weight (k, n): feature panels.  table (v, d): plain rows.  vector (n,), scalar ()."""
LISTED = 32
"""Features from which on, of the data and of the layer, it pays to list what is not zero."""


@dataclass
class Stage:
    """One loop nest: its equations in order."""

    equations: list[Equation]

    def reads(self) -> set[str]:
        """Names of what it reads from memory."""
        made = {e.target.name for e in self.equations}
        stored = {e.target.name for e in self.equations if e.target.role in STORED}
        return {s.name for e in self.equations for s in e.operands if s.name not in made or s.name in stored}

    def writes(self) -> set[str]:
        """Names of what it computes."""
        return {e.target.name for e in self.equations}


@dataclass
class Load(Stage):
    """Rows of the data under `symbols`."""

    symbols: list[Symbol] = field(default_factory=list)

    def writes(self) -> set[str]:
        """The gathered symbols."""
        return {s.name for s in self.symbols}


@dataclass
class Census(Stage):
    """The lists of what is not zero in the data `symbol`, under their names, each for one form of product."""

    symbol: Symbol
    lists: dict[str, Literal["forward", "batch"]] = field(default_factory=dict)

    def reads(self) -> set[str]:
        """The data."""
        return {self.symbol.name}

    def writes(self) -> set[str]:
        """The lists."""
        return set(self.lists)


@dataclass
class Product(Stage):
    """The product `equations[0]` and what follows it in its tile; `bias`: equations over the column sums of dZ.

    listed: the name of the list of what is not zero in its first operand; None where it takes all.
    """

    form: Literal["forward", "backward", "batch"] = "forward"
    bias: list[Equation] = field(default_factory=list)
    listed: str | None = None

    def reads(self) -> set[str]:
        """Names of what it reads from memory."""
        return super().reads() | Stage(self.bias).reads() | ({self.listed} if self.listed else set())

    def writes(self) -> set[str]:
        """Names of what it computes."""
        return super().writes() | Stage(self.bias).writes()


class Lanes(Stage):
    """Row-wise equations over samples."""


class Sums(Stage):
    """One reduction over the samples."""


class Flat(Stage):
    """Equations over parameters of one kind and shape."""


class Scalars(Stage):
    """Equations over scalars."""


class Lookup(Stage):
    """Rows of an embedding."""


class Scatter(Stage):
    """Gradients added into the rows of an embedding."""


class Masks(Stage):
    """Random bits."""


@dataclass(frozen=True)
class Plan:
    """The stages in order.

    kinds: how each symbol lies in memory.  kept: symbols that need memory.  labels: one-hot symbols, which are compared
    on the fly instead of stored, by name, with their label symbol.  rates: scalars computed outside, once a step.
    loads: data symbols.  couples: whether samples of a batch depend on each other, so that it cannot be cut in chunks.
    lists: the lists of what is not zero, by name, with the form of product that reads them and the data's features.
    """

    program: Program
    stages: tuple[Stage, ...]
    kinds: dict[str, Kind]
    kept: frozenset[str]
    labels: dict[str, Symbol]
    rates: tuple[Equation, ...]
    loads: tuple[Symbol, ...]
    couples: bool
    lists: dict[str, tuple[Literal["forward", "batch"], int]]


def plan(program: Program, wanted: Iterable[str] = (), *, fuse_updates: bool = True, pass_zeros: bool = False) -> Plan:
    """The plan of a program whose `wanted` symbols must be in memory at the end.

    fuse_updates: whether a weight may be updated in the tile of its gradient's product (not when a batch is run in
    chunks, whose gradients are added up first).  pass_zeros: whether products of the data pass over its zeros.
    """
    return _Planner(program, frozenset(wanted), fuse_updates, pass_zeros).run()


def kinds_of(program: Program) -> dict[str, Kind]:
    """How each symbol lies in memory; parameters of an embedding are tables, as is all that meets them."""
    kinds: dict[str, Kind] = {}
    tables = set()
    for equation in program.equations:
        if isinstance(equation.op, Gather):
            tables.add(equation.operands[0].name)
        elif isinstance(equation.op, ScatterAdd):
            tables.add(equation.target.name)
    for _ in range(2):  # a slot may meet its table only after the table's gradient did
        for equation in program.equations:
            matrices = [s for s in (equation.target, *equation.operands) if len(s.shape) == 2 and not s.batched]
            if isinstance(equation.op, Elementwise) and any(s.name in tables for s in matrices):
                tables |= {s.name for s in matrices}
    for name, symbol in program.symbols.items():
        if symbol.integers and len(symbol.shape) == 2:
            kinds[name] = "tokens"
        elif symbol.batched:
            kinds[name] = "batch"
        elif len(symbol.shape) == 2:
            kinds[name] = "table" if name in tables else "weight"
        else:
            kinds[name] = "vector" if symbol.shape else "scalar"
    return kinds


class _Planner:
    def __init__(self, program: Program, wanted: frozenset[str], fuse_updates: bool, pass_zeros: bool) -> None:
        self.program = program
        self.wanted = wanted
        self.fuse_updates = fuse_updates
        self.pass_zeros = pass_zeros
        self.kinds = kinds_of(program)
        self.rates = rate_scalars(program)
        hoisted = {id(e) for e in self.rates}
        self.labels: dict[str, Symbol] = {}
        self.pending: list[Equation] = []
        for equation in program.equations:
            if isinstance(equation.op, OneHot):
                self.labels[equation.target.name] = equation.operands[0]
            elif id(equation) not in hoisted:
                self.pending.append(equation)
        self.available = {s.name for s in program.given} | {e.target.name for e in self.rates} | set(self.labels)
        self.stages: list[Stage] = []

    def run(self) -> Plan:
        loads = self._loads()
        while self.pending:
            self._take(self._next())
        lists = self._census(loads) if self.pass_zeros else {}
        kept = self._kept(loads)
        return Plan(
            self.program,
            tuple(self.stages),
            self.kinds,
            kept,
            self.labels,
            self.rates,
            loads,
            self._couples(),
            lists,
        )

    def _loads(self) -> tuple[Symbol, ...]:
        """Data that equations read element by element; tokens are read where they are looked up."""
        read = {s.name for e in self.pending for s in e.operands}
        read |= {label.name for name, label in self.labels.items() if name in read}  # one-hot rows: their labels
        loads = tuple(s for s in self.program.given if s.name in read and self.kinds[s.name] == "batch")
        if loads:
            self.stages.append(Load([], list(loads)))
        return loads

    def _census(self, loads: tuple[Symbol, ...]) -> dict[str, tuple[Literal["forward", "batch"], int]]:
        """Products of the data read lists of what is not zero; the lists are made when the data are loaded."""
        lists: dict[str, tuple[Literal["forward", "batch"], int]] = {}
        for symbol in loads:
            census = Census([], symbol)
            for stage in self.stages:
                if isinstance(stage, Product) and stage.form != "backward" and _listed(stage.equations[0], symbol):
                    stage.listed = f"nonzero {symbol.name} {stage.form}"
                    census.lists[stage.listed] = stage.form
                    lists[stage.listed] = (stage.form, int(symbol.shape[1]))
            if census.lists:
                self.stages.insert(1, census)
        return lists

    # --- the order -----------------------------------------------------------------------------------------------

    def _ready(self) -> list[Equation]:
        """Equations that may run now, before the pending ones above them.

        What they read is there, and neither of two overwrites what the other reads or writes.
        """
        ready = []
        wrote: set[str] = set()
        read: set[str] = set()
        for equation in self.pending:
            target, operands = equation.target, [s.name for s in equation.operands]
            stored = target.role in STORED
            free = wrote.isdisjoint((target.name, *operands)) and not (stored and target.name in read)
            if free and self.available.issuperset(operands):
                ready.append(equation)
            if stored:
                wrote.add(target.name)
            read.update(operands)
        return ready

    def _next(self) -> Equation:
        ready = self._ready()
        assert ready, f"no equation can run: {self.pending[0]}"
        last = self.stages[-1] if self.stages else None
        if isinstance(last, Lanes):  # what can join the loops over the samples in the lanes goes on there
            for equation in ready:
                if self._class(equation) is Lanes:
                    return equation
        for equation in ready:
            if not (self._is_batch_product(equation) and self._waits(equation)) and not self._comes_along(equation):
                return equation
        return next((e for e in ready if not self._comes_along(e)), ready[0])

    def _comes_along(self, equation: Equation) -> bool:
        """Whether these are the column sums of a dZ whose product is still to come, and makes them on its way."""
        return any(_column_sums(equation, p.operands[1]) for p in self.pending if self._is_batch_product(p))

    def _is_batch_product(self, equation: Equation) -> bool:
        return isinstance(equation.op, MatMul) and equation.op.transpose_left

    def _waits(self, product: Equation) -> bool:
        """Whether a product that could update its weight in place should let others read that weight first."""
        if not self.fuse_updates:
            return False
        grown = {product.target.name}
        for equation in self.pending:
            if isinstance(equation.op, Elementwise) and any(s.name in grown for s in equation.operands):
                grown.add(equation.target.name)
        readers = [e for e in self.pending if isinstance(e.op, MatMul | Gather)]
        return any(s.name in grown and s.role in STORED for e in readers for s in e.operands)

    # --- the stages ----------------------------------------------------------------------------------------------

    def _class(self, equation: Equation) -> type[Stage]:
        op, target = equation.op, equation.target
        match op:
            case MatMul():
                return Product
            case Gather():
                return Lookup
            case ScatterAdd():
                return Scatter
            case Mask():
                return Masks
            case Reduce():
                if not any(s.batched for s in equation.operands):
                    return Flat
                return Lanes if op.over == "columns" else Sums
            case _:
                if target.batched:
                    return Lanes
                return Flat if target.shape else Scalars

    def _take(self, equation: Equation) -> None:
        kind = self._class(equation)
        self._remove(equation)
        last = self.stages[-1] if self.stages else None
        if kind is Product:
            self._product(equation)
        elif kind in (Lanes, Scalars) and type(last) is kind:
            assert last is not None
            last.equations.append(equation)
        elif kind is Flat and isinstance(last, Flat) and self._same_flat(last, equation):
            last.equations.append(equation)
        else:
            self.stages.append(kind([equation]))

    def _remove(self, equation: Equation) -> None:
        self.pending = [e for e in self.pending if e is not equation]
        self.available.add(equation.target.name)

    def _flat_domain(self, equation: Equation) -> tuple[object, ...]:
        """The kind and shape that a flat stage runs over."""
        wide = [s for s in (equation.target, *equation.operands) if s.shape]
        matrix = max(wide, key=lambda s: len(s.shape))
        return self.kinds[matrix.name], matrix.shape

    def _same_flat(self, stage: Flat, equation: Equation) -> bool:
        made = {e.target.name for e in stage.equations if isinstance(e.op, Reduce)}
        if any(s.name in made for s in equation.operands):
            return False
        return self._flat_domain(stage.equations[0]) == self._flat_domain(equation)

    def _product(self, equation: Equation) -> None:
        """The product, and every equation that can follow in its tile."""
        op = equation.op
        assert isinstance(op, MatMul)
        form: Literal["forward", "backward", "batch"] = (
            "batch" if op.transpose_left else "backward" if op.transpose_right else "forward"
        )
        stage = Product([equation], form)
        self.stages.append(stage)
        if form != "batch" or self.fuse_updates:
            self._follow(stage.equations, equation.target)
        if form == "batch":
            self._bias(stage, equation)

    def _follow(self, chain: list[Equation], head: Symbol) -> None:
        """Absorbs element-wise equations of the head's shape and kind, as long as one fits."""
        inside = {head.name}
        found = True
        while found:
            found = False
            for equation in self.pending:
                fits = (
                    isinstance(equation.op, Elementwise)
                    and equation.target.shape == head.shape
                    and self.kinds[equation.target.name] == self.kinds[head.name]
                    and any(s.name in inside for s in equation.operands)
                )
                if fits and self._with_masks(equation) and any(e is equation for e in self._ready()):
                    chain.append(equation)
                    inside.add(equation.target.name)
                    self._remove(equation)
                    found = True
                    break

    def _with_masks(self, equation: Equation) -> bool:
        """Draws the masks that the equation needs before the product; always possible, they depend on counters only."""
        for operand in equation.operands:
            for pending in self.pending:
                if pending.target == operand and isinstance(pending.op, Mask):
                    self._remove(pending)
                    self.stages.insert(len(self.stages) - 1, Masks([pending]))
        return True

    def _bias(self, stage: Product, product: Equation) -> None:
        """Takes the column sums of the product's dZ, and the update of the bias, along."""
        slopes = product.operands[1]
        for equation in self.pending:
            if _column_sums(equation, slopes):
                stage.bias.append(equation)
                self._remove(equation)
                if self.fuse_updates:
                    self._follow(stage.bias, equation.target)
                return

    # --- memory --------------------------------------------------------------------------------------------------

    def _kept(self, loads: tuple[Symbol, ...]) -> frozenset[str]:
        """What is read by another stage, stored, or wanted."""
        kept = {s.name for s in loads} | set(self.wanted)
        for stage in self.stages:
            kept |= stage.reads()
            kept |= {e.target.name for e in stage.equations if e.target.role in STORED}
            if isinstance(stage, Product):
                kept |= {e.target.name for e in stage.bias if e.target.role in STORED}
            if isinstance(stage, Sums | Scalars | Scatter | Masks | Lookup):
                kept |= stage.writes()
            kept |= {e.target.name for e in stage.equations if isinstance(e.op, Reduce) and not e.target.batched}
            if isinstance(stage, Lanes):
                for _, equations in loops_of(stage):
                    made = {e.target.name for e in equations}
                    kept |= {s.name for e in equations for s in e.operands if s.name not in made and _wide(s)}
        used = kept | {s.name for e in self.program.equations for s in e.operands}
        kept |= {label.name for name, label in self.labels.items() if name in used}
        return frozenset(kept - set(self.labels) - {BATCH})

    def _couples(self) -> bool:
        """Whether a value of the samples, or what is summed over them, depends on another reduction over them."""
        over_samples: set[str] = set()
        for equation in self.program.equations:
            reads = any(s.name in over_samples for s in equation.operands)
            by_sample = any(s.batched for s in (equation.target, *equation.operands))
            if reads and by_sample:
                return True
            if reads or (by_sample and not equation.target.batched):
                over_samples.add(equation.target.name)
        return False


def _listed(product: Equation, data: Symbol) -> bool:
    """Whether the product is of these data, and both are wide enough for a list to be worth its while."""
    other = product.operands[1]
    return product.operands[0] == data and int(data.shape[1]) >= LISTED and int(other.shape[1]) >= LISTED


def _column_sums(equation: Equation, slopes: Symbol) -> bool:
    """Whether the equation is the plain sum over the samples of dZ: the gradient of a bias."""
    return equation.op == Reduce("sum", "rows", Variable(slopes.name))


def loops_of(stage: Lanes) -> list[tuple[int, list[Equation]]]:
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


def width_of(equation: Equation) -> int:
    """The features that an equation over samples runs over."""
    widths = [s.shape[1] for s in (equation.target, *equation.operands) if s.batched and len(s.shape) == 2]
    widths += [s.shape[0] for s in equation.operands if len(s.shape) == 1 and not s.batched]
    return max(int(w) for w in widths)


def _wide(symbol: Symbol) -> bool:
    """A batch value that does not fit in registers."""
    return symbol.batched and len(symbol.shape) == 2 and symbol.shape[1] != 1
