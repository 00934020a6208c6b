"""The code of the stages that are not products: over samples, over parameters, over scalars."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from chainrule.engines.compiled.kernels.long_sums import accumulated
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.lower.frame import Frame
from chainrule.engines.compiled.lower.packing import pack_panel
from chainrule.engines.compiled.plan.kinds import width_of
from chainrule.engines.compiled.plan.memory import Word, size_of
from chainrule.engines.compiled.plan.stages import Arrange, Flat, Masks, PerSample, Scalars, Sums, loops_of
from chainrule.engines.llvm import philox
from chainrule.engines.llvm.emit import Function, Int, Module, Value
from chainrule.engines.llvm.expression import Evaluator
from chainrule.program.equation import Equation
from chainrule.program.op import Beside, Columns, Elementwise, Mask, Reduce, ReduceGroups, Repeat
from chainrule.program.symbol import STORED, Symbol


def combine(f: Function, kind: str) -> Callable[[Value, Value], Value]:
    """How a reduction takes in one more value."""
    return f.fadd if kind == "sum" else f.fmax


def identity(kind: str) -> float:
    """What a reduction begins with."""
    return 0.0 if kind == "sum" else -math.inf


@dataclass(frozen=True)
class Stretch:
    """Columns that stand together in a value that is laid out of others."""

    source: Symbol | None
    """Where they come from; None for zeros."""
    start: int
    """The first of them there."""
    to: int
    """The first of them here."""
    count: int
    """How many."""


def stretches(equation: Equation) -> list[Stretch]:
    """The pieces of T, in the order of its columns."""
    op = equation.op
    if isinstance(op, Columns):
        return [Stretch(equation.operands[0], op.start, 0, op.count)]
    assert isinstance(op, Beside)
    found, end = [], 0
    for gap, source in zip(op.gaps(equation.operands), [*equation.operands, None], strict=True):
        if gap:
            found.append(Stretch(None, 0, end, gap))
            end += gap
        if source is not None:
            count = int(source.shape[1])
            found.append(Stretch(source, 0, end, count))
            end += count
    return found


def per_sample(frame: Frame, stage: PerSample) -> None:
    """Element-wise equations and reductions over features, a lane panel at a time."""
    f, plan, row = frame.f, frame.plan, frame.row
    splats = frame.splats(stage.equations)
    lo, hi = frame.share(frame.panels)

    def panel_body(panel: Int) -> None:
        registers: dict[str, Value] = {}  # one number a sample, in registers
        for width, equations in loops_of(stage):
            reduced = [e for e in equations if isinstance(e.op, Reduce)] if width > 1 else []
            start = [f.constant(frame.type_of(row), identity(e.op.kind)) for e in reduced]  # type: ignore[union-attr]

            def body(
                feature: Int, *sums: Value, equations: list[Equation] = equations, reduced: list[Equation] = reduced
            ) -> list[Value]:
                out = list(sums)
                evaluate = frame.at_sample(panel, feature, row, splats, registers)
                for e in equations:
                    assert isinstance(e.op, Elementwise | Reduce)
                    value = evaluate(e.op.expression)
                    if e in reduced:
                        k = reduced.index(e)
                        out[k] = combine(f, e.op.kind)(out[k], value)  # type: ignore[union-attr]
                        continue
                    evaluate.set(e.target.name, value)
                    if e.target.shape[1] == 1:
                        registers[e.target.name] = value
                    if e.target.name in plan.kept:
                        frame.store_batch(value, e.target.name, panel, feature, row)
                return out

            takes = [combine(f, e.op.kind) for e in reduced]  # type: ignore[union-attr]
            sums = accumulated(f, width, body, start, takes) if reduced else f.loop(0, width, body, start)
            for e, total in zip(reduced, sums, strict=True):
                registers[e.target.name] = total
                if e.target.name in plan.kept:
                    frame.store_batch(total, e.target.name, panel, 0, row)
        pack_panel(frame, stage.packs, panel)

    f.loop(lo, hi, panel_body)


def arrange(frame: Frame, stage: Arrange) -> None:
    """Columns of values of the samples to their places in another; a row of lanes is a column of a panel."""
    f, row = frame.f, frame.row

    def panel_body(panel: Int) -> None:
        for e in stage.equations:
            if isinstance(e.op, Repeat | ReduceGroups):
                _in_groups(frame, e, panel)
                continue
            for stretch in stretches(e):
                to, count = stretch.to, stretch.count

                def column(j: Int, e: Equation = e, stretch: Stretch = stretch) -> None:
                    if stretch.source is None:
                        value = f.constant(frame.type_of(row), 0.0)
                    else:
                        value = frame.load_batch(stretch.source.name, panel, f.add(j, stretch.start - stretch.to), row)
                    frame.store_batch(value, e.target.name, panel, j, row)

                f.loop(to, to + count, column)
        pack_panel(frame, stage.packs, panel)

    f.loop(*frame.share(frame.panels), panel_body)


def _in_groups(frame: Frame, equation: Equation, panel: Int) -> None:
    """A value several times, or groups of its columns added up or compared; a row of lanes is a column of a panel."""
    f, row, op = frame.f, frame.row, equation.op
    (source,), target = equation.operands, equation.target
    assert isinstance(op, Repeat | ReduceGroups)
    many, few = (target, source) if isinstance(op, Repeat) else (source, target)
    width = int(few.shape[1])
    times = int(many.shape[1]) // width

    def place(j: Int, k: Int) -> Int:
        """Among the many columns, the k-th that goes with the j-th of the few."""
        column: Int = f.add(f.mul(j, times), k) if op.within else f.add(f.mul(k, width), j)
        return column

    def column(j: Int) -> None:
        if isinstance(op, Repeat):
            value = frame.load_batch(source.name, panel, j, row)
            f.loop(0, times, lambda k: frame.store_batch(value, target.name, panel, place(j, k), row))
            return
        take = combine(f, op.kind)

        def more(k: Int, acc: Value) -> Value:
            return take(acc, frame.load_batch(source.name, panel, place(j, k), row))

        first = frame.load_batch(source.name, panel, place(j, 0), row)
        frame.store_batch(f.loop(1, times, more, [first])[0], target.name, panel, j, row)

    f.loop(0, width, column)


def sums(frame: Frame, stage: Sums) -> None:
    """One reduction over the samples: of each feature, or of everything; lanes that are no samples are left out."""
    f, layout = frame.f, frame.layout
    equation = stage.equations[0]
    op = equation.op
    assert isinstance(op, Reduce)
    splats = frame.splats(stage.equations)
    row = frame.row
    take, empty = combine(f, op.kind), f.constant(frame.type_of(row), identity(op.kind))
    out = frame.addresses[equation.target.name]

    def over_samples(feature: Int, start: Value) -> Value:
        def panel_body(panel: Int, acc: Value) -> Value:
            value = frame.at_sample(panel, feature, row, splats, {})(op.expression)
            return take(acc, f.select(frame.lane_mask(panel, row), value, empty))

        return f.loop(0, frame.panels, panel_body, [start])[0]

    def finish(total: Value, at: Value) -> None:
        value = f.reduce(take, total)
        f.store(value if frame.part.first is True else _added(frame, value, at, take), at)

    width = width_of(equation)
    if op.over == "rows":
        lo, hi = frame.share(width)
        f.loop(lo, hi, lambda j: finish(over_samples(j, empty), f.at(out, j, type=layout.real)))
    else:
        frame.alone(lambda: finish(f.loop(0, width, over_samples, [empty])[0], out))


def _added(frame: Frame, value: Value, at: Value, take: Callable[[Value, Value], Value]) -> Value:
    """The value, together with what earlier chunks of the batch left."""
    f = frame.f
    assert isinstance(frame.part.first, Value)
    before = f.load(value.type, at)
    both = take(before, value)
    return f.select(frame.part.first, value, both)


def masks(frame: Frame, stage: Masks) -> None:
    """Dropout masks: 1 or 0 for each sample and feature; four features share a random counter."""
    for equation in stage.equations:
        _masks(frame, equation)


def _masks(frame: Frame, equation: Equation) -> None:
    f, op, words = frame.f, equation.op, frame.words
    assert isinstance(op, Mask)
    step = f.add(words[Word.FIRST_STEP], frame.part.step)
    counter = f.convert("trunc", f.value(step), "i32")
    draw = _draw(f.module, frame.layout, op.columns, op.rate)
    given = [f.value(philox.least(f, frame.scalar(equation.operands[2].name)), "i32")] if op.rate is None else []
    place = frame.addresses[equation.target.name]
    f.call(draw, place, words[Word.SEED], counter, op.stream, frame.before, *frame.share(frame.panels), *given)


def _draw(module: Module, layout: PanelLayout, columns: int, rate: float | None) -> Function:
    """The function void draw(ptr mask, i64 seed, i32 step, i32 stream, i64 first, i64 lo, i64 hi), made once.

    rate: None where the least word that keeps a value is one more argument, an i32.

    It fills the lane panels lo, ..., hi - 1 of a mask, whose first sample is number `first` of the batch.  Ten rounds
    of Philox are much to compile: masks of the same width and rate share them.
    """
    key = ("masks", columns, rate)
    if key in module.shared:
        return module.shared[key]
    types = ["ptr", "i64", "i32", "i32", "i64", "i64", "i64"]
    types += ["i32"] if rate is None else []
    f = module.shared[key] = module.function(f"masks{len(module.shared)}", types, internal=True)
    mask, seed, counter, stream, before, lo, hi, *given = f.args
    least = given[0] if rate is None else philox.least(f, rate)
    low, high = f.convert("trunc", seed, "i32"), f.convert("trunc", f.bits("lshr", seed, 32), "i32")
    keys = philox.round_keys(f, low, high, layout.lanes)

    def panel_body(panel: Int) -> None:
        def block_body(block: Int, count: int) -> None:
            for v in range(layout.vectors):
                start = f.add(f.add(before, f.mul(panel, layout.panel)), v * layout.lanes)
                row = f.convert("trunc", f.value(start), "i32")
                sample = f.bits("add", f.splat(row, layout.lanes), f.iota(layout.lanes))
                number = f.convert("trunc", f.value(block), "i32")
                words = philox.words(f, keys, (sample, number, counter, stream))
                for k in range(count):
                    value = f.select(
                        philox.keep(f, words[k], least), f.constant(layout.vector, 1.0), f.constant(layout.vector, 0.0)
                    )
                    line = f.add(f.mul(panel, columns), f.add(f.mul(block, 4), k))
                    address = f.at(mask, (line, layout.panel), v * layout.lanes, type=layout.real)
                    f.store(value, address, align=layout.lanes * layout.itemsize)

        full, rest = divmod(columns, 4)
        f.loop(0, full, lambda b: block_body(b, 4))
        if rest:
            block_body(full, rest)

    f.loop(lo, hi, panel_body)
    f.ret()
    return f


def flat(frame: Frame, stage: Flat) -> None:
    """Equations over parameters of one kind and shape, vector by vector; reductions on one thread, in one order."""
    f, layout, plan = frame.f, frame.layout, frame.plan
    wide = max((s for e in stage.equations for s in (e.target, *e.operands) if s.shape), key=lambda s: len(s.shape))
    count = -(-size_of(wide, plan.kinds[wide.name], layout) // layout.lanes)
    reduced = [e for e in stage.equations if isinstance(e.op, Reduce)]
    splats = frame.splats(stage.equations)

    def at(index: Int) -> Evaluator:
        def leaf(name: str) -> Value:
            if name in splats:
                return f.splat(splats[name], layout.lanes)
            return f.load(layout.vector, _vector_at(frame, name, index), align=layout.lanes * layout.itemsize)

        return Evaluator(f, layout.vector, leaf)

    def write(evaluate: Evaluator, index: Int) -> None:
        for e in stage.equations:
            if isinstance(e.op, Elementwise):
                value = evaluate(e.op.expression)
                evaluate.set(e.target.name, value)
                if e.target.name in plan.kept or e.target.role in STORED:
                    address = _vector_at(frame, e.target.name, index)
                    f.store(value, address, align=layout.lanes * layout.itemsize)

    if not reduced:
        lo, hi = frame.share(count)
        f.loop(lo, hi, lambda i: write(at(i), i))
        return

    def serial() -> None:
        start = [f.constant(layout.vector, identity(e.op.kind)) for e in reduced]  # type: ignore[union-attr]

        def body(i: Int, *acc: Value) -> list[Value]:
            evaluate = at(i)
            write(evaluate, i)
            result = []
            for e, a in zip(reduced, acc, strict=True):
                assert isinstance(e.op, Reduce)
                value = evaluate(e.op.expression)
                inside = _inside(frame, wide.name, i)
                if inside is not None:
                    value = f.select(inside, value, f.constant(layout.vector, identity(e.op.kind)))
                result.append(combine(f, e.op.kind)(a, value))
            return result

        takes = [combine(f, e.op.kind) for e in reduced]  # type: ignore[union-attr]
        for e, total in zip(reduced, accumulated(f, count, body, start, takes), strict=True):
            assert isinstance(e.op, Reduce)
            f.store(f.reduce(combine(f, e.op.kind), total), frame.addresses[e.target.name])

    frame.alone(serial)


def _vector_at(frame: Frame, name: str, index: Int) -> Value:
    return frame.f.at(frame.addresses[name], (index, frame.layout.lanes), type=frame.layout.real)


def _inside(frame: Frame, name: str, index: Int) -> Value | None:
    """Which lanes of a parameter's vector are not padding; None if all are."""
    f, layout = frame.f, frame.layout
    symbol, kind = frame.plan.program.symbols[name], frame.plan.kinds[name]
    shape = [int(d) for d in symbol.shape]
    if kind == "weight":
        k, n = shape
        if n % layout.panel == 0:
            return None
        panel = f.udiv(index, k * layout.vectors)
        column = f.add(f.mul(panel, layout.panel), f.mul(f.urem(index, layout.vectors), layout.lanes))
        return f.lane_mask(f.value(f.sub(n, column)), layout.lanes)
    total = math.prod(shape)
    if total % layout.panel == 0:
        return None
    return f.lane_mask(f.value(f.sub(total, f.mul(index, layout.lanes))), layout.lanes)


def scalars(frame: Frame, stage: Scalars) -> None:
    """Equations over scalars, on one thread."""
    f, layout = frame.f, frame.layout

    def body() -> None:
        numbers: dict[str, Value] = {}

        def leaf(name: str) -> Value:
            return numbers[name] if name in numbers else frame.scalar(name)

        evaluate = Evaluator(f, layout.real, leaf)
        for e in stage.equations:
            assert isinstance(e.op, Elementwise)
            numbers[e.target.name] = evaluate(e.op.expression)
            evaluate.set(e.target.name, numbers[e.target.name])
            f.store(numbers[e.target.name], frame.addresses[e.target.name])

    frame.alone(body)
