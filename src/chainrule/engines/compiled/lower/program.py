"""From a plan to a module: the loop over batches, the steps of a batch, a function for each stage.

    training   batch after batch: the cost is kept, and looked at before anything is overwritten
    a call     one batch of any size: results by sample handed out

A batch whose samples do not depend on each other may be cut in chunks of `Recipe.chunk` samples, so that its values
stay in the cache: sums over the samples then grow from chunk to chunk, and what needs them comes after the last.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace

from chainrule.engines.compiled.lower import elementwise, packing, plain, rows, samples
from chainrule.engines.compiled.lower.frame import Frame, Part, place_of
from chainrule.engines.compiled.lower.product_stage import product
from chainrule.engines.compiled.lower.repeated import Likeness, Likenesses
from chainrule.engines.compiled.plan import Plan
from chainrule.engines.compiled.plan.memory import FOUR, GROUPS, RUN, Word, size_of
from chainrule.engines.compiled.plan.stages import (
    Arrange,
    Flat,
    Load,
    Lookup,
    Masks,
    Nonzero,
    Pack,
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
from chainrule.engines.compiled.plan.steps import AddUp, Ask, Chunks, HandOut, KeepCost, Look, Meet, Run, Step
from chainrule.engines.llvm import subnormal, team
from chainrule.engines.llvm.emit import Function, Int, Module, Value
from chainrule.program.equation import Equation
from chainrule.program.op import Reduce
from chainrule.program.symbol import Symbol

_EMIT: dict[type[Stage], Callable[..., None]] = {
    Load: samples.load,
    Nonzero: samples.nonzero,
    Pack: packing.pack,
    Lookup: samples.lookup,
    Scatter: samples.scatter,
    Pieces: rows.pieces,
    RowUpdates: rows.row_updates,
    Masks: elementwise.masks,
    Arrange: elementwise.arrange,
    PerSample: elementwise.per_sample,
    Sums: elementwise.sums,
    Flat: elementwise.flat,
    Scalars: elementwise.scalars,
    Plain: plain.plain,
    Product: product,
}
"""From each kind of stage to its code."""


def lower(plan: Plan) -> Module:
    """The module of a plan: its function `RUN`(arguments, thread, team), and a function a stage."""
    module = Module(plan.memory.layout.target)
    f = module.function("batches", ["ptr", "i64", "i64"], internal=True)
    arguments, tid, count = f.args
    frame = Frame.enter(f, plan, arguments, Part(tid, count), {**plan.memory.stored, **plan.memory.fixed})
    _Lowering(f, plan, frame.words).run(frame)
    subnormal.entry(module, RUN, f)
    return module


class _Lowering:
    def __init__(self, f: Function, plan: Plan, words: dict[int, Value]) -> None:
        self.f = f
        self.plan = plan
        self.words = words
        self.leave = f.new_label("leave")
        self.likenesses = Likenesses(plan)

    def run(self, frame: Frame) -> None:
        f, words = self.f, self.words

        def batch(number: Int, within: Int) -> None:
            start = f.mul(within, words[Word.BATCH])
            whole = f.imin(words[Word.BATCH], f.sub(words[Word.SAMPLES], start))
            step = f.add(f.mul(number, words[Word.STEPS]), within)
            base = f.add(f.mul(number, words[Word.STRIDE]), start)
            part = replace(frame.part, step=step, base=base, m=whole, whole=whole)
            self._steps(replace(frame, part=part), self.plan.steps)

        for factor in self.plan.prepared:
            self._run(frame, Run(0, Pack([], factor)))
        if self.plan.prepared:
            self._steps(frame, [Meet()])
        f.loop(0, words[Word.PASSES], lambda number: f.loop(0, words[Word.STEPS], lambda within: batch(number, within)))
        f.branch(self.leave)
        f.label(self.leave)
        f.ret()

    def _steps(self, frame: Frame, steps: Iterable[Step]) -> None:
        for step in steps:
            match step:
                case Run():
                    self._run(frame, step)
                case HandOut():
                    self._call(frame, {step.symbol.name}, functools.partial(samples.hand_out, symbol=step.symbol))
                case Meet():
                    team.meet(self.f, self.words[Word.BARRIER], self.f.value(frame.part.team), self.words[Word.YIELD])
                case KeepCost():
                    self._keep_cost(frame, step.objective)
                case Ask():
                    frame.alone(lambda: self.f.if_(self.f.icmp("ne", self._stop(), 0), lambda: self._give_up(frame)))
                case Look():
                    self._look()
                case Chunks():
                    self._in_chunks(frame, step)
                case AddUp():
                    self._add_up(frame, step.sums)

    # --- a stage as a function ------------------------------------------------------------------------------------

    def _run(self, frame: Frame, step: Run) -> None:
        stage = step.stage
        emit = functools.partial(_EMIT[type(stage)], stage=stage)
        likeness = self.likenesses.of(stage)
        if likeness is None:
            call = functools.partial(self._call, frame, stage.reads() | stage.writes(), emit)
        else:
            call = functools.partial(self._call_repeated, frame, likeness, emit)
        if step.skipped:
            self._unless_stopped(call)
        else:
            call()

    def _call(self, frame: Frame, names: set[str], emit: Callable[[Frame], None]) -> None:
        """Emits the code into a function of its own, and a call of it.

        Small functions compile faster than one large one, and hold fewer addresses at a time.
        """
        moving = frame.part.moving()
        f, arguments, part, _ = self._stage_function(frame, 0)
        emit(Frame.enter(f, self.plan, arguments, part, self.plan.touched(names), frame.grown))
        f.ret()
        self.f.call(f, frame.arguments, *moving.values())

    def _call_repeated(self, frame: Frame, likeness: Likeness, emit: Callable[[Frame], None]) -> None:
        """A call of the one function for all stages of a likeness, with the places of this one's values."""
        shared, moving = self.f.module.shared, frame.part.moving()
        at = {name: place for name in likeness.names if (place := place_of(name, self.plan.memory)) is not None}
        fixed = {name: x for name, x in vars(frame.part).items() if name not in moving}
        grown = tuple(name in frame.grown for name in likeness.names)
        key = ("stage", likeness, tuple(fixed.items()), tuple(moving), grown)
        if key not in shared:
            f, arguments, part, received = self._stage_function(frame, len(at))
            places = dict(zip(at, received, strict=True))
            emit(Frame.enter(f, self.plan, arguments, part, at, frame.grown, places))
            f.ret()
            shared[key] = f
        self.f.call(shared[key], frame.arguments, *moving.values(), *at.values())

    def _stage_function(self, frame: Frame, places: int) -> tuple[Function, Value, Part, list[Value]]:
        """A function for a stage, the arguments' record and the part of the work in it, and so many places."""
        moving, module = frame.part.moving(), self.f.module
        types = ["ptr", *(x.type for x in moving.values()), *["i64"] * places]
        f = module.function(f"stage{len(module.functions)}", types, internal=True)
        arguments, *received = f.args
        part = replace(frame.part, **dict(zip(moving, received[: len(moving)], strict=True)))
        return f, arguments, part, received[len(moving) :]

    # --- chunks --------------------------------------------------------------------------------------------------

    def _in_chunks(self, frame: Frame, step: Chunks) -> None:
        """Chunks form at most GROUPS groups, whatever the team; a thread runs whole groups by itself, in its own space,
        each with its own sums, and these are added up in the order of the groups: the same bits for any team.
        """
        f, words, part = self.f, self.words, frame.part
        size = self.plan.recipe.chunk
        chunks, groups = self._groups(frame)
        grown = frozenset(e.target.name for e in step.sums)
        real = self.plan.memory.layout.real
        workspace = f.at(words[Word.WORKSPACE], f.mul(f.value(part.tid), words[Word.WORKSPACE_SIZE]), type=real)

        def group(g: Int) -> None:
            sums = f.at(words[Word.FIXED], f.mul(f.value(g), words[Word.FIXED_SIZE]), type=real)
            if self.plan.recipe.in_fours:
                from_, to = f.mul(g, FOUR), f.imin(f.mul(f.add(g, 1), FOUR), chunks)
            else:
                from_, to = (f.udiv(f.mul(f.add(g, k), chunks), groups) for k in (0, 1))

            def chunk(number: Int) -> None:
                first = f.mul(number, size)
                own = replace(
                    part,
                    tid=0,
                    team=1,
                    first=f.icmp("eq", number, from_),
                    base=f.add(part.base, first),
                    m=f.imin(f.sub(part.whole, first), size),
                    workspace=workspace,
                    sums=sums,
                )
                self._steps(replace(frame, part=own, grown=grown), step.steps)

            f.loop(from_, to, lambda number: self._unless_stopped(lambda: chunk(number)))

        f.loop(*frame.share(groups), group)

    def _groups(self, frame: Frame) -> tuple[Int, Int]:
        """How many chunks the batch has, and how many groups of them."""
        f, size = self.f, self.plan.recipe.chunk
        chunks = f.udiv(f.add(frame.part.whole, size - 1), size)
        if self.plan.recipe.in_fours:
            return chunks, f.udiv(f.add(chunks, FOUR - 1), FOUR)
        return chunks, f.imin(chunks, GROUPS)

    def _add_up(self, frame: Frame, sums: Iterable[Equation]) -> None:
        """The sums of all groups into those of the first, group after group, or in pairs."""
        if self.plan.recipe.in_fours:
            return self._add_up_pairs(frame, sums)
        f, layout = self.f, self.plan.memory.layout
        size = layout.lanes * layout.itemsize
        _, groups = self._groups(frame)
        for equation in sums:
            target = equation.target
            take = elementwise.combine(f, equation.op.kind if isinstance(equation.op, Reduce) else "sum")
            count = -(-size_of(target, self.plan.kinds[target.name], layout) // layout.lanes)

            def vector(i: Int, target: Symbol = target, take: Callable[[Value, Value], Value] = take) -> None:
                at = f.at(frame.addresses[target.name], (i, layout.lanes), type=layout.real)

                def more(g: Int, acc: Value) -> Value:
                    other = f.at(at, f.mul(f.value(g), self.words[Word.FIXED_SIZE]), type=layout.real)
                    return take(acc, f.load(layout.vector, other, align=size))

                total = f.loop(1, groups, more, [f.load(layout.vector, at, align=size)])[0]
                f.store(total, at, align=size)

            f.loop(*frame.share(count), vector)

    def _add_up_pairs(self, frame: Frame, sums: Iterable[Equation]) -> None:
        """The sums of up to four groups into those of the first: (s0 + s1) + (s2 + s3), as far as there are."""
        f, layout = self.f, self.plan.memory.layout
        size = layout.lanes * layout.itemsize
        _, groups = self._groups(frame)

        def of(count: int) -> None:
            for equation in sums:
                target = equation.target
                take = elementwise.combine(f, equation.op.kind if isinstance(equation.op, Reduce) else "sum")
                vectors = -(-size_of(target, self.plan.kinds[target.name], layout) // layout.lanes)

                def vector(i: Int, target: Symbol = target, take: Callable[[Value, Value], Value] = take) -> None:
                    at = f.at(frame.addresses[target.name], (i, layout.lanes), type=layout.real)
                    places = [at]
                    for _ in range(1, count):
                        places.append(f.at(places[-1], self.words[Word.FIXED_SIZE], type=layout.real))
                    parts = [f.load(layout.vector, place, align=size) for place in places]
                    while len(parts) > 1:
                        pairs = [parts[k : k + 2] for k in range(0, len(parts), 2)]
                        parts = [take(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
                    f.store(parts[0], at, align=size)

                f.loop(*frame.share(vectors), vector)

        for count in range(2, FOUR + 1):
            f.if_(f.icmp("eq", f.value(groups), count), functools.partial(of, count))

    # --- the cost, and stopping ----------------------------------------------------------------------------------

    def _unless_stopped(self, body: Callable[[], object]) -> None:
        """A body that is passed over once a stop was asked for: nothing is overwritten then (see `_look`).

        A stop is never taken back: whoever passes something over, thread 0 will see why.
        """
        if self.plan.recipe.training:
            self.f.if_(self.f.icmp("eq", self._stop(), 0), body)
        else:
            body()

    def _stop(self) -> Value:
        return self.f.emit("i32", f"load volatile i32, ptr {self.words[Word.STOP].text}, align 4")

    def _keep_cost(self, frame: Frame, objective: Symbol) -> None:
        """Thread 0 notes J, and whether to go on: 1 if J is not finite, 2 if a stop was asked for."""
        f, words, real = self.f, self.words, self.plan.memory.layout.real
        step = frame.part.step

        def body() -> None:
            cost = f.load(real, frame.addresses[objective.name])
            wide = cost if real == "double" else f.convert("fpext", cost, "double")
            f.store(wide, f.at(words[Word.COSTS], step, type="double"))
            finite = f.fcmp("oeq", f.fsub(cost, cost), 0.0)  # inf - inf and NaN are not 0
            stop = f.icmp("ne", self._stop(), 0)
            done = f.select(stop, f.value(step), f.add(step, 1))
            f.store(f.value(done), words[Word.DONE])
            halt = f.select(stop, f.constant("i32", 2), f.select(finite, f.constant("i32", 0), f.constant("i32", 1)))
            f.store(halt, words[Word.HALT])

        frame.alone(body)

    def _look(self) -> None:
        """All threads read the same word after a barrier, and leave together."""
        f = self.f
        halt = f.load("i32", self.words[Word.HALT])
        on = f.new_label("on")
        f.cbranch(f.icmp("ne", halt, 0), self.leave, on)
        f.label(on)

    def _give_up(self, frame: Frame) -> None:
        """This step does not count."""
        f, words = self.f, self.words
        f.store(f.value(frame.part.step), words[Word.DONE])
        f.store(f.constant("i32", 2), words[Word.HALT])
