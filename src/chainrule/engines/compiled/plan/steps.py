"""The steps of a batch: stages in order, and between them what the threads must agree on.

    Run        a stage, its work shared among the threads
    Meet       a barrier: nobody goes on before all have come
    KeepCost   J is noted, and whether the run may go on: it may not if J is not finite, or a stop was asked for
    Ask        whether a stop was asked for since
    Look       leave, all together, if the run may not go on: before anything that outlives the batch is overwritten
    HandOut    a result by sample, to the caller's array
    Chunks     steps for one chunk of the samples after the other; a thread runs whole groups of chunks by itself
    AddUp      the sums of all groups of chunks are added up, group after group

A barrier stands where a stage touches what another thread may still be writing or reading: not between stages that the
same thread runs alone.  What takes over the place of a value that is no longer needed counts as that value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chainrule.engines.compiled.plan.memory import Memory
from chainrule.engines.compiled.plan.stages import Fusion, Stage
from chainrule.program.equation import Equation
from chainrule.program.symbol import STORED, Symbol


@dataclass(frozen=True)
class Run:
    """A stage."""

    number: int
    """Its place in the order, from 1."""
    stage: Stage
    """What is run."""
    skipped: bool = False
    """Whether it is passed over once a stop was asked for."""


@dataclass(frozen=True)
class Meet:
    """A barrier."""


@dataclass(frozen=True)
class KeepCost:
    """The cost is noted."""

    objective: Symbol
    """J."""


@dataclass(frozen=True)
class Ask:
    """The question whether to stop."""


@dataclass(frozen=True)
class Look:
    """The end of the run, if it is to end."""


@dataclass(frozen=True)
class HandOut:
    """A result by sample."""

    symbol: Symbol
    """The result."""


@dataclass(frozen=True)
class Chunks:
    """The samples' part of a batch, in chunks."""

    steps: tuple[Run | HandOut, ...]
    """The steps for a chunk."""
    sums: tuple[Equation, ...]
    """What grows from chunk to chunk."""


@dataclass(frozen=True)
class AddUp:
    """The sums of the groups of chunks become one."""

    sums: tuple[Equation, ...]
    """What has grown."""


Step = Run | Meet | KeepCost | Ask | Look | HandOut | Chunks | AddUp


def steps_of(fusion: Fusion, memory: Memory) -> tuple[Step, ...]:
    """The steps of a batch."""
    order = _Order(fusion, memory)
    if fusion.chunked:
        order.in_chunks()
    else:
        order.stages(fusion.stages)
        order.hand_out()
    order.meet()
    return tuple(order.steps)


def runs(steps: Iterable[Step]) -> list[Run]:
    """The stages in the order in which they run."""
    chosen: list[Run] = []
    for step in steps:
        if isinstance(step, Chunks):
            chosen += runs(step.steps)
        elif isinstance(step, Run):
            chosen.append(step)
    return chosen


HALT = "halt"
"""The word that says whether the run may go on: read and written like a value."""


class _Order:
    def __init__(self, fusion: Fusion, memory: Memory) -> None:
        self.fusion = fusion
        self.memory = memory
        self.steps: list[Step] = []
        self.number = 0
        self.read: tuple[set[str], set[str]] = set(), set()
        """Since the last barrier: by the whole team, by the one thread that some stages have for themselves."""
        self.written: tuple[set[str], set[str]] = set(), set()
        """The same."""

    def run(self, stage: Stage, *, skipped: bool = False) -> Run:
        self.number += 1
        return Run(self.number, stage, skipped)

    def stages(self, stages: Iterable[Stage]) -> None:
        """Stages on the whole team."""
        recipe, objective = self.fusion.recipe, self.fusion.program.objective
        # A stop may wait for the end of a small batch; of a large one the rest is passed over.
        impatient = recipe.training and recipe.large
        looked = False
        for stage in stages:
            overwrites = any(e.target.role in STORED for e in stage.all())
            if overwrites and recipe.training and not looked:
                self.look(impatient)
                looked = True
            self.touch(self.fusion.touched(stage.reads()), stage.writes(), stage.alone)
            self.steps.append(self.run(stage, skipped=impatient and not (self.fusion.chunked or looked)))
            if objective is not None and recipe.training and objective.name in stage.writes():
                self.steps.append(KeepCost(objective))
                self.written[True].add(HALT)

    def look(self, impatient: bool) -> None:
        """Before the first stage that overwrites what outlives the batch."""
        if impatient:  # who passed something over since the cost was kept has seen the stop by now
            self.meet()
            self.steps.append(Ask())
            self.written[True].add(HALT)
        self.touch({HALT}, set())
        self.steps.append(Look())

    def hand_out(self) -> None:
        """The results, on the whole team."""
        for symbol in self.memory.outputs:
            self.touch({symbol.name}, set())
            self.steps.append(HandOut(symbol))

    def touch(self, reads: set[str], writes: set[str], alone: bool = False) -> None:
        """A barrier where one is needed."""
        others = (False,) if alone else (False, True)
        written = set().union(*(self.written[k] for k in others))
        busy = written.union(*(self.read[k] for k in others))
        if (reads & written) or any(self.memory.share(name, other) for name in writes for other in busy):
            self.meet()
        self.read[alone].update(reads)
        self.written[alone].update(writes)

    def meet(self) -> None:
        """A barrier."""
        self.steps.append(Meet())
        self.read, self.written = (set(), set()), (set(), set())

    def in_chunks(self) -> None:
        """Stages of the samples for each chunk, the others before and after; sums grow in between."""
        inner, before, after = self.split()
        self.stages(before)
        self.meet()
        sums = {e.target.name: e for s in inner for e in s.all() if e.target.name in self.memory.fixed}
        results = [HandOut(symbol) for symbol in self.memory.outputs]
        self.steps.append(Chunks((*(self.run(stage) for stage in inner), *results), tuple(sums.values())))
        self.meet()
        self.steps.append(AddUp(tuple(sums.values())))
        self.meet()
        self.stages(after)

    def split(self) -> tuple[list[Stage], list[Stage], list[Stage]]:
        """Stages of the samples; those without, before and after them."""
        fusion = self.fusion
        inner = [s for s in fusion.stages if fusion.of_samples(s)]
        before: list[Stage] = []
        after: list[Stage] = []
        later = set().union(*(s.writes() for s in inner))
        for stage in fusion.stages:
            if fusion.of_samples(stage):
                continue
            stored = any(e.target.role in STORED for e in stage.all())
            late = bool(stage.reads() & later) or stored
            (after if late else before).append(stage)
            if late:
                later |= stage.writes()
        return inner, before, after
