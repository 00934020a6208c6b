"""The planner: from a program and a recipe to stages."""

from __future__ import annotations

from chainrule.engines.base import rate_scalars
from chainrule.engines.compiled.kernels.inner import Dots, kernel_for
from chainrule.engines.compiled.kernels.nonzero import pays
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan.kinds import Form, check_kinds, form_of, in_one_shape, kinds_of, rows_of
from chainrule.engines.compiled.plan.pending import Pending
from chainrule.engines.compiled.plan.recipe import Recipe
from chainrule.engines.compiled.plan.stages import (
    Arrange,
    Flat,
    Fusion,
    Load,
    Lookup,
    Masks,
    Nonzero,
    Pack,
    Packing,
    PerSample,
    Pieces,
    Plain,
    Product,
    RowUpdates,
    Scalars,
    Scatter,
    Stage,
    Sums,
)
from chainrule.program.equation import Equation, Program
from chainrule.program.op import (
    AtRows,
    Beside,
    Columns,
    Elementwise,
    Gather,
    GroupedMatMul,
    Mask,
    MatMul,
    OneHot,
    Reduce,
    ReduceGroups,
    Repeat,
    ScatterAdd,
)
from chainrule.program.scalar import Variable
from chainrule.program.symbol import BATCH, STORED, Symbol


def fuse(program: Program, recipe: Recipe, layout: PanelLayout) -> Fusion:
    """The stages of a program that is run as the recipe says; what the recipe wants is in memory at the end."""
    return _Planner(program, recipe, layout).run()


class _Planner:
    def __init__(self, program: Program, recipe: Recipe, layout: PanelLayout) -> None:
        self.program = program
        self.recipe = recipe
        self.layout = layout
        # A weight may be updated in the tile of its gradient's product, unless chunks' gradients are added up first.
        self.fuse_updates = not recipe.large
        self.kinds = kinds_of(program)
        check_kinds(program, self.kinds)
        self.rates = rate_scalars(program)
        hoisted = {id(e) for e in self.rates}
        self.labels: dict[str, Symbol] = {}
        equations: list[Equation] = []
        for equation in program.equations:
            if isinstance(equation.op, OneHot):
                self.labels[equation.target.name] = equation.operands[0]
            elif id(equation) not in hoisted:
                equations.append(equation)
        outside = [*(s.name for s in program.given), *(e.target.name for e in self.rates), *self.labels]
        self.pending = Pending(equations, outside)
        self.classes = {id(e): self._class(e) for e in equations}
        products = [e for e in equations if isinstance(e.op, MatMul | GroupedMatMul)]
        self.products = {id(e): e for e in products if form_of(e, self.kinds) == "batch"}
        self.by_slopes: dict[str, list[Equation]] = {}
        for product in self.products.values():
            if isinstance(product.op, GroupedMatMul):
                continue
            self.by_slopes.setdefault(product.operands[1].name, []).append(product)
        self.stages: list[Stage] = []

    def run(self) -> Fusion:
        loads = self._loads()
        while self.pending:
            self._take(self._next())
        prepared = self._pack_where_made()
        lists = self._nonzero(loads) if self.recipe.nonzero else {}
        kept = self._kept(loads)
        return Fusion(
            self.program,
            self.recipe,
            tuple(self.stages),
            self.kinds,
            kept,
            self.labels,
            self.rates,
            loads,
            self._couples(),
            lists,
            prepared,
        )

    def _loads(self) -> tuple[Symbol, ...]:
        """Data that equations read element by element; tokens are read where they are looked up."""
        read = {s.name for e in self.pending for s in e.operands}
        read |= {label.name for name, label in self.labels.items() if name in read}  # one-hot rows: their labels
        loads = tuple(s for s in self.program.given if s.name in read and self.kinds[s.name] == "batch")
        if loads:
            self.stages.append(Load([], list(loads)))
        return loads

    def _nonzero(self, loads: tuple[Symbol, ...]) -> dict[str, tuple[Form, int, int]]:
        """Products of the data read lists of what is not zero; the lists are made when the data are loaded."""
        lists: dict[str, tuple[Form, int, int]] = {}
        for symbol in loads:
            nonzero = Nonzero([], symbol)
            for stage in self.stages:
                if not isinstance(stage, Product) or stage.form == "backward":
                    continue
                product = stage.equations[0]
                if _takes_lists(product, symbol, self.layout):
                    assert isinstance(product.op, MatMul)
                    name = stage.nonzero = f"nonzero {symbol.name} {stage.form}"
                    nonzero.lists[name] = stage.form
                    nonzero.factors[name] = stage.factor(symbol)
                    lists[name] = (stage.form, int(symbol.shape[1]), product.op.parts)
            if nonzero.lists:
                there = [k for k, stage in enumerate(self.stages) if stage.writes() & nonzero.reads()]
                self.stages.insert(max(there) + 1, nonzero)
        return lists

    # --- the order -----------------------------------------------------------------------------------------------

    def _next(self) -> Equation:
        """The next equation to run, of those that may."""
        last = self.stages[-1] if self.stages else None
        if isinstance(last, PerSample):  # what can join the loops over the samples in the lanes goes on there
            for equation in self.pending.ready():
                if self.classes[id(equation)] is PerSample:
                    return equation
        behind: Equation | None = None
        for equation in self.pending.ready():
            if self._comes_along(equation):
                continue
            if not self._waits(equation):
                return equation
            behind = behind or equation
        chosen = behind or next(self.pending.ready(), None)
        assert chosen is not None, f"no equation can run: {next(iter(self.pending))}"
        return chosen

    def _comes_along(self, equation: Equation) -> bool:
        """Whether these are the column sums of a dZ whose product is still to come, and makes them on its way."""
        if not isinstance(equation.op, Reduce) or len(equation.operands) != 1:
            return False
        (slopes,) = equation.operands
        later = any(product in self.pending for product in self.by_slopes.get(slopes.name, ()))
        return later and _column_sums(equation, slopes)

    def _waits(self, equation: Equation) -> bool:
        """Whether a product that could update its weight in place should let others read that weight first."""
        if id(equation) not in self.products or not self.fuse_updates:
            return False
        grown, new = {equation.target.name}, [equation.target.name]
        while new:
            equations = [e for e in self.pending.readers(new) if isinstance(e.op, Elementwise)]
            new = [e.target.name for e in equations if e.target.name not in grown]
            grown.update(new)
        stored = [name for name in grown if self.program.symbols[name].role in STORED]
        return any(isinstance(e.op, MatMul | GroupedMatMul | Gather) for e in self.pending.readers(stored))

    # --- the stages ----------------------------------------------------------------------------------------------

    def _class(self, equation: Equation) -> type[Stage]:
        op, target = equation.op, equation.target
        match op:
            case Gather():
                return Lookup
            case ScatterAdd():
                return Pieces if self._in_pieces(equation) else Scatter
            case AtRows():
                return RowUpdates
            case Mask():
                return Masks
            case Beside() | Columns() | Repeat() | ReduceGroups():
                return Arrange
            case MatMul() | GroupedMatMul() if any(s.batched for s in equation.operands):
                return Product
            case Reduce() if any(s.batched for s in equation.operands):
                return PerSample if op.over == "columns" else Sums
            case Reduce():
                return Flat if op.over == "all" and in_one_shape(equation, self.kinds) else Plain
            case Elementwise() if target.batched:
                return PerSample
            case Elementwise() if not target.shape:
                return Scalars
            case Elementwise() if in_one_shape(equation, self.kinds):
                return Flat
            case _:
                return Plain

    def _in_pieces(self, equation: Equation) -> bool:
        """Whether nothing needs the gradient of a table but updates of the rows that its own tokens name."""
        op, tokens = equation.op, equation.operands[1]
        assert isinstance(op, ScatterAdd)
        if equation.target.name in self.recipe.wanted or op.starts:
            return False
        readers = [e for e in self.program.equations if equation.target in e.operands]
        return all(
            isinstance(e.op, AtRows)
            and e.operands[1] == tokens
            and (e.op.column, e.op.starts, e.op.padding) == (op.column, op.starts, op.padding)
            for e in readers
        )

    def _same_rows(self, stage: RowUpdates, equation: Equation) -> bool:
        """Whether an update is for the rows of a stage, and of tables of the same shape."""
        first = stage.equations[0]
        one, other = (
            (e.target.root, e.target.shape, e.operands[1], e.op.column, e.op.starts, e.op.padding)
            for e in (first, equation)
            if isinstance(e.op, AtRows)
        )
        return one == other

    def _take(self, equation: Equation) -> None:
        kind = self.classes[id(equation)]
        self.pending.remove(equation)
        last = self.stages[-1] if self.stages else None
        if kind is Product:
            self._product(equation)
        elif kind in (PerSample, Scalars) and type(last) is kind and _overwrites(last) == _overwrites(kind([equation])):
            assert last is not None  # what overwrites is left out where the cost may not go on: it stands by itself
            last.equations.append(equation)
        elif (kind is RowUpdates and isinstance(last, RowUpdates) and self._same_rows(last, equation)) or (
            kind is Flat and isinstance(last, Flat) and self._same_flat(last, equation)
        ):
            last.equations.append(equation)
        else:
            self.stages.append(kind([equation]))

    def _flat_domain(self, equation: Equation) -> tuple[object, ...]:
        """The kind and shape that a flat stage runs over."""
        wide = [s for s in (equation.target, *equation.operands) if s.shape]
        matrix = max(wide, key=lambda s: len(s.shape))
        return self.kinds[matrix.name], matrix.shape

    def _same_flat(self, stage: Flat, equation: Equation) -> bool:
        reduced = {e.target.name for e in stage.equations if isinstance(e.op, Reduce)}
        if any(s.name in reduced for s in equation.operands):
            return False
        return self._flat_domain(stage.equations[0]) == self._flat_domain(equation)

    def _product(self, equation: Equation) -> None:
        """The product, and every equation that can follow in its tile."""
        form = form_of(equation, self.kinds)
        assert form is not None, f"no form of product: {equation}"
        stage = Product([equation], form)
        for packing in packings(equation, form, self.layout):
            stage.packed[packing.name] = packing
            self._pack(packing)
        self.stages.append(stage)
        if form != "batch" or self.fuse_updates:
            self._follow(stage.equations, equation.target)
        if form == "batch" and isinstance(equation.op, MatMul):
            self._bias(stage, equation)

    def _pack(self, packing: Packing) -> None:
        """Packs a factor, unless it lies so already."""
        for stage in reversed(self.stages):
            if isinstance(stage, Pack) and stage.packing == packing:
                return
            if packing.symbol.role in STORED and packing.symbol.name in stage.writes():
                break
        self.stages.append(Pack([], packing))

    def _pack_where_made(self) -> tuple[Packing, ...]:
        """Has factors packed by the stages that make them, if these can, instead of by stages of their own.

        Returns the weights of which this is so: their update packs them for the next batch.
        """
        prepared: dict[Packing, None] = {}
        left: list[Stage] = []
        for stage in self.stages:
            if isinstance(stage, Pack):
                packing = stage.packing
                maker = next((s for s in self.stages if packing.symbol.name in s.writes()), None)
                if maker is not None and self._packs_too(maker, packing):
                    if packing not in maker.packs:
                        maker.packs.append(packing)
                    if packing.symbol.role in STORED:
                        prepared[packing] = None
                    continue
            left.append(stage)
        self.stages = left
        return tuple(prepared)

    def _packs_too(self, maker: Stage, packing: Packing) -> bool:
        """Whether a stage can pack what it makes: what makes a word must be in one thread's hands."""
        columns = int(packing.symbol.shape[1])
        match maker:
            case Load():
                in_pairs = packing.form == "lines" and (columns % 2 or packing.groups > 1)
                return columns >= self.layout.lanes and not in_pairs
            case PerSample() | Arrange() | Lookup():
                return True
            case Product(form="batch"):
                product = maker.equations[0]
                assert isinstance(product.op, MatMul | GroupedMatMul)
                if not self.fuse_updates or all(e.target != packing.symbol for e in maker.equations):
                    return False
                kernel = kernel_for(self.layout, product.op.parts, rows_of(product))
                by_row = packing.form == "lanes"
                return by_row or (packing.form == "rows" and isinstance(kernel, Dots) and not kernel.turned)
            case Product():
                product = maker.equations[0]
                assert isinstance(product.op, MatMul | GroupedMatMul)
                alone = isinstance(product.op, MatMul) or rows_of(product) % 2 == 0
                return product.op.parts > 0 and (packing.form == "lanes" or (packing.groups == 1 and alone))
            case _:
                return False

    def _follow(self, chain: list[Equation], head: Symbol) -> None:
        """Absorbs element-wise equations of the head's shape and kind, as long as one fits."""
        inside = {head.name}
        while (equation := self._next_in_tile(head, inside)) is not None:
            chain.append(equation)
            inside.add(equation.target.name)
            self.pending.remove(equation)

    def _next_in_tile(self, head: Symbol, inside: set[str]) -> Equation | None:
        """The first equation that can run in a tile of the head, next to what is inside already."""
        for equation in self.pending.readers(inside):
            fits = (
                isinstance(equation.op, Elementwise)
                and equation.target.shape == head.shape
                and self.kinds[equation.target.name] == self.kinds[head.name]
                and (head.batched or in_one_shape(equation, self.kinds))
            )
            if fits:
                self._draw_masks(equation)
                if self.pending.is_ready(equation):
                    return equation
        return None

    def _draw_masks(self, equation: Equation) -> None:
        """Draws the masks that the equation needs before the product; always possible, they depend on counters only."""
        for operand in equation.operands:
            mask = self.pending.maker(operand.name)
            if mask is not None and isinstance(mask.op, Mask):
                self.pending.remove(mask)
                self.stages.insert(len(self.stages) - 1, Masks([mask]))

    def _bias(self, stage: Product, product: Equation) -> None:
        """Takes the column sums of the product's dZ, and the update of the bias, along."""
        slopes = product.operands[1]
        for equation in self.pending.readers([slopes.name]):
            if _column_sums(equation, slopes):
                stage.bias.append(equation)
                self.pending.remove(equation)
                if self.fuse_updates:
                    self._follow(stage.bias, equation.target)
                return

    # --- memory --------------------------------------------------------------------------------------------------

    def _kept(self, loads: tuple[Symbol, ...]) -> frozenset[str]:
        """What is read by another stage, stored, or wanted."""
        kept = set(self.recipe.wanted)
        for stage in self.stages:
            kept |= stage.reads() | stage.keeps()
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


def _overwrites(stage: Stage | None) -> bool:
    """Whether a stage overwrites what outlives the batch."""
    return stage is not None and any(e.target.role in STORED for e in stage.equations)


def _takes_lists(product: Equation, data: Symbol, layout: PanelLayout) -> bool:
    """Whether the product is of these data, and both are wide enough for a list to be worth its while."""
    if not isinstance(product.op, MatMul):
        return False
    kernel = kernel_for(layout, product.op.parts, rows_of(product))
    if isinstance(kernel, Dots) and kernel.turned:
        return False
    return product.operands[0] == data and pays(*(int(s.shape[1]) for s in product.operands))


def packings(product: Equation, form: Form, layout: PanelLayout) -> list[Packing]:
    """How a product of parts reads its factors; the slopes of a batch product it packs on its way."""
    op = product.op
    assert isinstance(op, MatMul | GroupedMatMul)
    if not op.parts:
        return []
    values, weight = product.operands
    groups = op.groups if isinstance(op, GroupedMatMul) else 1
    own = 1 if isinstance(op, GroupedMatMul) and op.shared else groups
    if form == "batch":
        return [Packing(values, "lanes", op.parts)]
    if form == "forward":
        kernel = kernel_for(layout, op.parts, rows_of(product))
        below = Packing(weight, "turned" if isinstance(kernel, Dots) and kernel.turned else "rows", op.parts, own)
    else:
        below = Packing(weight, "lanes", op.parts)
    return [Packing(values, "lines", op.parts, groups), below]


def _column_sums(equation: Equation, slopes: Symbol) -> bool:
    """Whether the equation is the plain sum over the samples of dZ: the gradient of a bias."""
    return equation.op == Reduce("sum", "rows", Variable(slopes.name))
