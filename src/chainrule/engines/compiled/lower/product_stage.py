"""The code of a product stage: the product, and in its tile the equations that follow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.engines.compiled.kernels.batch_product import batch_product
from chainrule.engines.compiled.kernels.feature_product import feature_product
from chainrule.engines.compiled.kernels.inner import Kernel, WholeProducts, kernel_for
from chainrule.engines.compiled.kernels.tile import WHOLE, Group, Tile
from chainrule.engines.compiled.lower.frame import Frame, Lanes
from chainrule.engines.compiled.lower.packing import pack_rows_of, pack_weights
from chainrule.engines.compiled.plan.kinds import rows_of
from chainrule.engines.compiled.plan.memory import width
from chainrule.engines.compiled.plan.stages import Product
from chainrule.engines.llvm.emit import Int, Value
from chainrule.engines.llvm.expression import Evaluator, costly
from chainrule.program.equation import Equation
from chainrule.program.op import Elementwise, GroupedMatMul, MatMul
from chainrule.program.scalar import Variable
from chainrule.program.symbol import STORED


def product(frame: Frame, stage: Product) -> None:
    """Emits the stage."""
    if stage.form == "batch":
        _batch(frame, stage)
    else:
        _feature(frame, stage)


def _feature(frame: Frame, stage: Product) -> None:
    """Z = A W or dA = dZ Wᵀ, samples along the lanes; the tile's rows are features."""
    f, layout, plan = frame.f, frame.layout, frame.plan
    first, *chain = stage.equations
    values, weight = first.operands
    groups, members = _groups(first)
    k, n = int(weight.shape[0]) // groups, int(weight.shape[1])
    splats = frame.splats(chain)
    kept = [e.target.name for e in stage.equations if e.target.name in plan.kept]
    size = layout.lanes * layout.itemsize
    rolled = any(costly(e.op.expression) for e in chain if isinstance(e.op, Elementwise))
    out = frame.addresses[kept[-1]]

    def finish(tile: Tile, at: Strip, product: Value, numbers: dict[tuple[str, int], Value]) -> None:
        """The equations at some rows of the tile."""
        evaluate = Evaluator(f, at.type(frame), _near(frame, tile, at, splats, numbers))
        evaluate.set(first.target.name, product)
        for e in stage.equations:
            if isinstance(e.op, Elementwise):
                evaluate.set(e.target.name, evaluate(e.op.expression))
        for name in kept:
            address = f.at(frame.addresses[name], tile.offset, type=layout.real)
            f.store(evaluate(Variable(name)), address, at.first(frame), size)

    def epilogue(tile: Tile) -> None:
        if rolled:  # the rows lie in `out`, and are taken at once
            rows = Strip(0, tile.rows, frame.row)
            product = f.load(rows.type(frame), f.at(out, tile.offset, type=layout.real), 0, size)
            finish(tile, rows, product, {})
            return
        numbers: dict[tuple[str, int], Value] = {}
        for r in range(tile.rows):
            for v in range(layout.vectors):
                finish(tile, Strip(r, 1, frame.vector(v)), tile.acc[r][v], numbers)

    kernel = _kernel(frame, first)

    def of_group(group: Group) -> None:
        feature_product(
            f,
            layout,
            weight=frame.addresses[stage.factor(weight)],
            values=frame.addresses[stage.factor(values)],
            out=out,
            k=k,
            n=n,
            m=frame.part.m,
            epilogue=epilogue,
            backward=stage.form == "backward",
            rolled=rolled,
            nonzero=None if stage.nonzero is None else frame.lists(stage.nonzero),
            group=group,
            members=members,
            kernel=kernel,
            plain=(frame.addresses[weight.name], frame.addresses[values.name]) if _whole(kernel) else None,
            finished=(lambda tile: pack_rows_of(frame, stage.packs, tile)) if stage.packs else None,
            tid=frame.part.tid,
            team=frame.part.team,
        )

    _each(frame, groups, of_group)


def _whole(kernel: Kernel) -> bool:
    return isinstance(kernel, WholeProducts)


def _kernel(frame: Frame, product: Equation) -> Kernel:
    """What its inner loop adds up."""
    assert isinstance(product.op, MatMul | GroupedMatMul)
    return kernel_for(frame.layout, product.op.parts, rows_of(product))


def _groups(product: Equation) -> tuple[int, int]:
    """The groups with a matrix each, and those that share one: one of the two is 1."""
    if not isinstance(product.op, GroupedMatMul):
        return 1, 1
    return (1, product.op.groups) if product.op.shared else (product.op.groups, 1)


def _each(frame: Frame, groups: int, product: Callable[[Group], None]) -> None:
    """The product of each group, in a loop."""
    if groups == 1:
        product(WHOLE)
    else:
        frame.f.loop(0, groups, lambda number: product(Group(groups, number)))


@dataclass(frozen=True)
class Strip:
    """Rows of a tile that are computed at once: whole ones, or some lanes of one."""

    row: int
    """The first."""
    rows: int
    """How many."""
    lanes: Lanes
    """Of each."""

    def type(self, frame: Frame) -> str:
        """Of all of them in one vector."""
        return frame.type_of(Lanes(0, self.rows * self.lanes.count))

    def first(self, frame: Frame) -> int:
        """Elements from the beginning of the tile to that of the strip."""
        return self.row * frame.layout.panel + self.lanes.first


def _near(
    frame: Frame, tile: Tile, at: Strip, splats: dict[str, Value], numbers: dict[tuple[str, int], Value]
) -> Callable[[str], Value]:
    """What a name stands for in a strip of a tile: what lies like the tile is read by the tile's own offset, and each
    feature's number once for all vectors."""
    f, layout = frame.f, frame.layout
    rows = range(at.row, at.row + at.rows)

    def leaf(name: str) -> Value:
        if name in splats:
            return f.splat(splats[name], at.rows * at.lanes.count)
        kind, symbol = frame.plan.kinds[name], frame.plan.program.symbols[name]
        if kind == "vector":
            for r in rows:
                if (name, r) not in numbers:
                    numbers[name, r] = f.load(layout.real, f.at(frame.addresses[name], tile.i, type=layout.real), r)
            return f.joined([f.splat(numbers[name, r], at.lanes.count) for r in rows])
        if name not in frame.plan.labels and width(symbol) != 1:
            address = f.at(frame.addresses[name], tile.offset, type=layout.real)
            return f.load(at.type(frame), address, at.first(frame), layout.lanes * layout.itemsize)
        return f.joined([frame.load_batch(name, tile.panel, f.add(tile.i, r), at.lanes) for r in rows])

    return leaf


def _batch(frame: Frame, stage: Product) -> None:
    """dW = Aᵀ dZ, output features along the lanes; the update of W and of the bias on the way."""
    f, layout, plan = frame.f, frame.layout, frame.plan
    first, *chain = stage.equations
    values, slopes = first.operands
    groups, members = _groups(first)
    k, n = (int(s.shape[1]) // groups // members for s in (values, slopes))
    splats = frame.splats([*chain, *stage.bias])
    out = first.target.name
    chunked = frame.part.first is not True

    def run(equations: list[Equation], head: str, value: Value, offset: Value | Int, more: int) -> Evaluator:
        """The equations at one vector of a parameter, `offset` + `more` elements in."""
        size = layout.lanes * layout.itemsize

        def at(name: str) -> Value:
            return f.at(frame.addresses[name], offset, type=layout.real)

        def leaf(name: str) -> Value:
            if name in splats:
                return f.splat(splats[name], layout.lanes)
            return f.load(layout.vector, at(name), more, size)

        evaluate = Evaluator(f, layout.vector, leaf)
        evaluate.set(head, value)
        if head in plan.kept:
            f.store(value, at(head), more, size)
        for e in equations:
            assert isinstance(e.op, Elementwise)
            result = evaluate(e.op.expression)
            evaluate.set(e.target.name, result)
            if e.target.name in plan.kept or e.target.role in STORED:
                f.store(result, at(e.target.name), more, size)
        return evaluate

    def epilogue(tile: Tile, group: Group) -> None:
        done = [
            [run(chain, out, x, tile.offset, r * layout.panel + v * layout.lanes) for v, x in enumerate(row)]
            for r, row in enumerate(tile.acc)
        ]
        for packing in stage.packs:
            new = Variable(packing.symbol.name)
            pack_weights(frame, packing, tile, [[evaluate(new) for evaluate in row] for row in done], group)

    def bias(panel: Int, sums: list[Value]) -> None:
        head, *rest = stage.bias
        offset = f.mul(panel, layout.panel)
        for v, value in enumerate(sums):
            total = value
            if chunked:
                address = f.at(frame.addresses[head.target.name], offset, type=layout.real)
                before = f.load(layout.vector, address, v * layout.lanes)
                assert isinstance(frame.part.first, Value)
                total = f.select(frame.part.first, value, f.fadd(before, value))
            run(rest, head.target.name, total, offset, v * layout.lanes)

    # Without an update the sums of earlier chunks are where this one begins.
    accumulate: bool | Value = False
    if chunked:
        assert isinstance(frame.part.first, Value)
        accumulate = f.bits("xor", frame.part.first, f.constant("i1", 1))
    assert frame.part.scratch is not None
    # Some place of the product's layout, for its address only: what is there is not read.
    place = out if out in frame.addresses else next(e.target.name for e in chain if e.target.name in frame.addresses)
    scratch = frame.part.scratch
    touched: list[Value] = []
    if frame.memory.stored_size * layout.itemsize > layout.target.l2:  # else it is near enough
        read = [s.name for e in chain for s in e.operands if s.shape == first.target.shape]
        touched = [frame.addresses[name] for name in dict.fromkeys(read) if name in frame.addresses]

    kernel = _kernel(frame, first)

    def of_group(group: Group) -> None:
        batch_product(
            f,
            layout,
            values=frame.addresses[stage.factor(values)],
            slopes=frame.addresses[slopes.name],
            scratch=scratch,
            out=frame.addresses[place],
            k=k,
            n=n,
            m=frame.part.m,
            epilogue=lambda tile: epilogue(tile, group),
            bias_epilogue=bias if stage.bias else None,
            accumulate=accumulate,
            nonzero=None if stage.nonzero is None else frame.lists(stage.nonzero),
            group=group,
            members=members,
            kernel=kernel,
            touched=touched,
            many=chunked,
            plain=frame.addresses[values.name] if _whole(kernel) else None,
            tid=frame.part.tid,
            team=frame.part.team,
        )

    _each(frame, groups, of_group)
