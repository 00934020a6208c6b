"""From a plan to a module: the loop over batches, the loop over chunks, barriers where stages depend on each other.

    epoch      for each batch: stages; the cost is kept, and looked at before anything is overwritten
    call       one batch of any size: stages, results by sample handed out

A batch whose samples do not depend on each other may be cut in chunks of `Recipe.chunk` samples, so that its values
stay in the cache: sums over the samples then grow from chunk to chunk, and what needs them comes after the last.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from chainrule.engines.compiled.lower import elementwise as stages
from chainrule.engines.compiled.lower import samples
from chainrule.engines.compiled.lower.frame import Frame
from chainrule.engines.compiled.lower.product_stage import product
from chainrule.engines.compiled.plan.memory import GROUPS, RUN, Memory, Word, size_of
from chainrule.engines.compiled.plan.stages import (
    Flat,
    Load,
    Lookup,
    Masks,
    Nonzero,
    PerSample,
    Plan,
    Product,
    Scalars,
    Scatter,
    Stage,
    Sums,
)
from chainrule.engines.llvm import team
from chainrule.engines.llvm.emit import Function, Int, Module, Value
from chainrule.program.equation import Equation
from chainrule.program.op import Reduce
from chainrule.program.symbol import STORED, Symbol

_EMIT: dict[type[Stage], Callable[..., None]] = {
    Load: samples.load,
    Nonzero: samples.nonzero,
    Lookup: samples.lookup,
    Scatter: samples.scatter,
    Masks: stages.masks,
    PerSample: stages.per_sample,
    Sums: stages.sums,
    Flat: stages.flat,
    Scalars: stages.scalars,
    Product: product,
}
"""From each kind of stage to its code."""


def lower(plan: Plan, memory: Memory) -> Module:
    """The module of a plan whose values lie so: its function `RUN`(arguments, thread, team); a function a stage."""
    module = Module(memory.layout.target)
    f = module.function(RUN, ["ptr", "i64", "i64"])
    arguments, tid, count = f.args
    frame = Frame(f, memory.layout, plan, memory, tid=tid, team=count)
    frame.enter(arguments, {**memory.stored, **memory.fixed})
    _Lowering(frame).run()
    return module


class _Lowering:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.f: Function = frame.f
        recipe = frame.plan.recipe
        self.chunked = frame.plan.chunked
        self.chunk = recipe.chunk
        self.training = recipe.training
        # Whether a stop may wait for the end of a batch; else the rest of the batch is passed over.
        self.patient = not (recipe.training and recipe.large)
        self.read: set[str] = set()
        self.written: set[str] = set()
        self.leave = self.f.new_label("leave")

    def run(self) -> None:
        f, frame = self.f, self.frame
        words = frame.words

        def batch(step: Int) -> None:
            frame.step = step
            start = f.mul(step, words[Word.BATCH])
            frame.whole = f.imin(words[Word.BATCH], f.sub(words[Word.SAMPLES], start))
            if self.chunked:
                self._in_chunks(start)
            else:
                frame.base, frame.m = start, frame.whole
                self._stages(frame.plan.stages)
                self._hand_out()
            self._barrier()

        f.loop(0, words[Word.STEPS], batch)
        f.branch(self.leave)
        f.label(self.leave)
        f.ret()

    # --- a stage as a function ------------------------------------------------------------------------------------

    def _call(self, names: set[str], emit: Callable[[Frame], None]) -> None:
        """Emits the code into a function of its own, and a call of it.

        Small functions compile faster than one large one, and hold fewer addresses at a time.
        """
        outer = self.frame
        state: dict[str, Any] = {
            "tid": outer.tid,
            "team": outer.team,
            "step": outer.step,
            "base": outer.base,
            "m": outer.m,
        }
        state |= {"whole": outer.whole, "first": outer.first, "workspace": outer.workspace, "sums": outer.sums}
        state["scratch"] = outer.scratch
        moving = {name: x for name, x in state.items() if isinstance(x, Value)}
        number = len(outer.f.module.functions)
        f = outer.f.module.function(f"stage{number}", ["ptr", *(x.type for x in moving.values())], internal=True)
        given = {**state, **dict(zip(moving, f.args[1:], strict=True))}
        inner = Frame(f, outer.layout, outer.plan, outer.memory, grown=outer.grown, **given)
        inner.enter(f.args[0], outer.plan.touched(names))
        emit(inner)
        f.ret()
        assert outer.arguments is not None
        outer.f.call(f, outer.arguments, *moving.values())

    def _in_chunks(self, start: Int) -> None:
        """Stages with samples for each chunk, then the others once.

        Chunks form at most GROUPS groups, whatever the team; a thread runs whole groups by itself, in its own space,
        each with its own sums, and these are added up in the order of the groups: the same bits for any team.
        """
        f, frame = self.f, self.frame
        inner, before, after = self._split()
        self._stages(before)
        self._barrier()
        chunks = f.udiv(f.add(frame.whole, self.chunk - 1), self.chunk)
        groups = f.imin(chunks, GROUPS)
        made = {e.target.name: e for s in inner for e in s.all()}
        grown = {name: e for name, e in made.items() if name in frame.memory.fixed}
        frame.grown = frozenset(grown)
        team_of = (frame.tid, frame.team)
        real, words = frame.layout.real, frame.words
        workspace = f.at(words[Word.WORKSPACE], f.mul(f.value(frame.tid), words[Word.WORKSPACE_SIZE]), type=real)

        def group(g: Int) -> None:
            frame.sums = f.at(words[Word.FIXED], f.mul(f.value(g), words[Word.FIXED_SIZE]), type=real)
            frame.workspace = workspace
            frame.tid, frame.team = 0, 1
            from_, to = (f.udiv(f.mul(f.add(g, k), chunks), groups) for k in (0, 1))

            def chunk(number: Int) -> None:
                first = f.mul(number, self.chunk)
                frame.first = f.icmp("eq", number, from_)
                frame.base = f.add(start, first)
                frame.m = f.imin(f.sub(frame.whole, first), self.chunk)
                self._stages(inner)
                self._hand_out()

            f.loop(from_, to, lambda number: self._unless_stopped(lambda: chunk(number)))
            frame.tid, frame.team = team_of
            frame.sums = frame.workspace = None

        f.loop(*frame.share(groups), group)
        frame.first, frame.base, frame.m = True, start, frame.whole
        self._barrier()
        self._add_up(list(grown.values()), groups)
        self._stages(after)

    def _split(self) -> tuple[list[Stage], list[Stage], list[Stage]]:
        """Stages of the samples; those without, before and after them."""
        plan = self.frame.plan
        inner = [s for s in plan.stages if plan.of_samples(s)]
        before: list[Stage] = []
        after: list[Stage] = []
        made = set().union(*(s.writes() for s in inner))
        for stage in plan.stages:
            if plan.of_samples(stage):
                continue
            stored = any(plan.program.symbols[n].role in STORED for n in stage.writes())
            late = bool(stage.reads() & made) or stored
            (after if late else before).append(stage)
            if late:
                made |= stage.writes()
        return inner, before, after

    def _add_up(self, equations: list[Equation], groups: Int) -> None:
        """The sums of all groups into those of the first, group after group."""
        f, frame = self.f, self.frame
        layout = frame.layout
        size = layout.lanes * layout.itemsize
        for equation in equations:
            target = equation.target
            take = stages.combine(f, equation.op.kind if isinstance(equation.op, Reduce) else "sum")
            count = -(-size_of(target, frame.plan.kinds[target.name], layout) // layout.lanes)

            def vector(i: Int, target: Symbol = target, take: Callable[[Value, Value], Value] = take) -> None:
                at = f.at(frame.addresses[target.name], (i, layout.lanes), type=layout.real)

                def more(g: Int, acc: Value) -> Value:
                    other = f.at(at, f.mul(f.value(g), frame.words[Word.FIXED_SIZE]), type=layout.real)
                    return take(acc, f.load(layout.vector, other, align=size))

                total = f.loop(1, groups, more, [f.load(layout.vector, at, align=size)])[0]
                f.store(total, at, align=size)

            f.loop(*frame.share(count), vector)
        self._barrier()

    def _hand_out(self) -> None:
        for symbol in self.frame.memory.outputs:
            self._order({symbol.name}, set())
            self._call({symbol.name}, functools.partial(samples.hand_out, symbol=symbol))

    # --- stages in order -----------------------------------------------------------------------------------------

    def _stages(self, chosen: tuple[Stage, ...] | list[Stage]) -> None:
        objective = self.frame.plan.program.objective
        looked = False
        for stage in chosen:
            overwrites = any(e.target.role in STORED for e in stage.all())
            if overwrites and self.training and not looked:
                self._halt_if_asked()
                looked = True
            self._order(self.frame.plan.touched(stage.reads()), stage.writes())
            names, emit = stage.reads() | stage.writes(), functools.partial(_EMIT[type(stage)], stage=stage)
            if self.chunked or looked:
                self._call(names, emit)
            else:
                self._unless_stopped(functools.partial(self._call, names, emit))
            if objective is not None and self.training and objective.name in stage.writes():
                self._keep_cost(objective)

    def _order(self, reads: set[str], writes: set[str]) -> None:
        """A barrier if the next stage touches what another thread may still be writing or reading.

        What takes over the place of a value that is no longer needed counts as that value.
        """
        sharing = self.frame.memory.sharing
        touched = writes.union(*(sharing[n] for n in writes if n in sharing))
        if self.frame.team == 1:  # a known team of one has nobody to wait for
            return
        if (reads & self.written) or (touched & (self.read | self.written)):
            self._barrier()
        self.read |= reads
        self.written |= writes

    def _barrier(self) -> None:
        words = self.frame.words
        team.meet(self.f, words[Word.BARRIER], self.frame.f.value(self.frame.team), words[Word.YIELD])
        self.read, self.written = set(), set()

    # --- the cost, and stopping ----------------------------------------------------------------------------------

    def _unless_stopped(self, body: Callable[[], object]) -> None:
        """What may be left out once a stop was asked for: nothing is overwritten then (see _halt_if_asked).

        A stop is never taken back: whoever passes something over, thread 0 will see why.
        """
        if self.patient:
            body()
        else:
            self.f.if_(self.f.icmp("eq", self._stop(), 0), body)

    def _stop(self) -> Value:
        return self.f.emit("i32", f"load volatile i32, ptr {self.frame.words[Word.STOP].text}, align 4")

    def _keep_cost(self, objective: Symbol) -> None:
        """Thread 0 notes J, and whether to go on: 1 if J is not finite, 2 if a stop was asked for."""
        f, frame = self.f, self.frame
        words, real = frame.words, frame.layout.real

        def body() -> None:
            cost = f.load(real, frame.addresses[objective.name])
            wide = cost if real == "double" else f.convert("fpext", cost, "double")
            f.store(wide, f.at(words[Word.COSTS], frame.step, type="double"))
            finite = f.fcmp("oeq", f.fsub(cost, cost), 0.0)  # inf - inf and NaN are not 0
            stop = f.icmp("ne", self._stop(), 0)
            done = f.select(stop, f.value(frame.step), f.add(frame.step, 1))
            f.store(f.value(done), words[Word.DONE])
            halt = f.select(stop, f.constant("i32", 2), f.select(finite, f.constant("i32", 0), f.constant("i32", 1)))
            f.store(halt, words[Word.HALT])

        frame.alone(body)
        self.written.add("halt")

    def _halt_if_asked(self) -> None:
        """All threads read the same word after a barrier, and leave together."""
        f, words = self.f, self.frame.words
        if not self.patient:  # who passed something over since the cost was kept has seen the stop by now
            self._barrier()
            self.frame.alone(lambda: f.if_(f.icmp("ne", self._stop(), 0), self._give_up))
            self.written.add("halt")
        self._order({"halt"}, set())
        halt = f.load("i32", words[Word.HALT])
        on = f.new_label("on")
        f.cbranch(f.icmp("ne", halt, 0), self.leave, on)
        f.label(on)

    def _give_up(self) -> None:
        """This step does not count."""
        f, words = self.f, self.frame.words
        f.store(f.value(self.frame.step), words[Word.DONE])
        f.store(f.constant("i32", 2), words[Word.HALT])
