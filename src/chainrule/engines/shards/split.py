"""A program with sums over the shards, taken apart at these sums: what a shard does, and what follows for all.

    rounds    equations of samples, run for each shard by whoever has it; a round ends where a sum over the shards is
              needed before samples can go on (a batch's mean, say): most networks have one
    update    what has no samples: the cost, the gradients, the update, from the sums over the shards

Each part is a program like any other.  In it the sums over the shards are stored, beside the parameters; m is given,
for a shard does not see the batch; what samples know from rounds before is given as data are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from chainrule.program.equation import Equation, Program, operands_of
from chainrule.program.op import AtRows, Elementwise, Mask, OneHot, OverShards, Reduce
from chainrule.program.scalar import Variable
from chainrule.program.symbol import BATCH, STORED, Symbol
from chainrule.program.verify import verify
from chainrule.program.walk import replace as exchange

SAMPLES = Symbol(BATCH, (), "rate", mark="all")
"""m, of the whole batch."""


@dataclass(frozen=True)
class Round:
    """What is computed of a shard between two sums over the shards."""

    program: Program
    """Its equations."""
    sums: tuple[Symbol, ...]
    """T_k, which are added up."""
    largest: tuple[Symbol, ...]
    """T_k, of which the largest is taken."""
    kept: tuple[Symbol, ...]
    """Values of the samples that later rounds read."""

    @property
    def ends(self) -> tuple[Symbol, ...]:
        """All T_k: those that are added up first."""
        return self.sums + self.largest


@dataclass(frozen=True)
class Split:
    """A program in parts."""

    rounds: tuple[Round, ...]
    """Of the shards, in order."""
    update: Program
    """What follows from the sums of all."""
    totals: dict[str, Symbol]
    """T, as it is stored in the parts, by the name of its T_k: those that are added up before those of maxima."""

    def stored(self) -> tuple[Symbol, ...]:
        """What outlives a step: what is stored in the parts, but for the sums over the shards."""
        own = {s.name for s in self.totals.values()}
        return tuple(s for s in self.update.stored if s.name not in own)


def split(program: Program) -> Split:
    """The parts of a program that `rules.shards.over_shards` has made."""
    level = _levels(program)
    over = [e for e in program.equations if isinstance(e.op, OverShards)]
    over.sort(key=lambda e: isinstance(e.op, OverShards) and e.op.kind == "max")
    totals = {e.operands[0].name: replace(e.target, role="slot") for e in over}
    kinds = {e.operands[0].name: e.op.kind for e in over if isinstance(e.op, OverShards)}
    stored = (*program.stored, *totals.values())
    others = tuple(s for s in program.given if s.role not in STORED and s.name != BATCH)
    given = (*stored, *others, SAMPLES)
    last = max((level[name] for name in kinds), default=0)
    by_shard = [e for e in program.equations if not isinstance(e.op, OverShards) and e.target.role not in STORED]
    rounds = []
    for r in range(last + 1):
        ends = {name: kind for name, kind in kinds.items() if level[name] == r}
        here = [e for e in by_shard if not _is_of(e, range(r), level)]
        later = [e for e in by_shard if _is_of(e, range(r + 1, last + 1), level)]
        read = {s.name for e in later for s in e.operands}
        kept = [e.target for e in here if _is_of(e, range(r, r + 1), level) and e.target.name in read]
        before = [replace(e.target, role="input") for e in by_shard if _is_of(e, range(r), level)]
        wanted = [program.symbols[name] for name in ends] + kept
        whole = _written(program, here, (*given, *before))
        rounds.append(
            Round(
                verify(whole.pruned([whole.symbols[s.name] for s in wanted], update=False), pruned=True),
                tuple(program.symbols[name] for name, kind in ends.items() if kind == "sum"),
                tuple(program.symbols[name] for name, kind in ends.items() if kind == "max"),
                tuple(kept),
            )
        )
    rest = [e for e in program.equations if not isinstance(e.op, OverShards) and not _of_samples(e)]
    whole = _written(program, rest, given)
    wanted = [program.objective] if program.objective is not None else []
    return Split(tuple(rounds), verify(whole.pruned(wanted), pruned=True), totals)


def _of_samples(equation: Equation) -> bool:
    return any(s.batched for s in (equation.target, *equation.operands))


def _is_of(equation: Equation, rounds: range, level: dict[str, int]) -> bool:
    """Whether it makes a value of the samples in these rounds, and no other round had better make it anew."""
    target = equation.target
    return target.batched and level[target.name] in rounds and not isinstance(equation.op, OneHot | Mask)


def _levels(program: Program) -> dict[str, int]:
    """By name of a symbol how many sums over the shards come before it, one after the other."""
    level = {s.name: 0 for s in program.given}
    for e in program.equations:
        before = max((level[s.name] for s in e.operands), default=0)
        if e.target.role not in STORED:
            level[e.target.name] = before + isinstance(e.op, OverShards)
    return level


def _written(program: Program, equations: Iterable[Equation], given: tuple[Symbol, ...]) -> Program:
    """These equations of the program, over what is given to them."""
    scope = {s.name: s for s in given}
    chosen = {id(e) for e in equations}

    def over(e: Equation) -> Equation:
        op = e.op
        if isinstance(op, Elementwise | Reduce | AtRows) and any(s.name == BATCH for s in e.operands):
            expression = exchange(op.expression, {Variable(BATCH): Variable(SAMPLES.name)})
            own = {s.name: s for s in (*e.operands, SAMPLES)}
            op = replace(op, expression=expression)
            e = replace(e, op=op, operands=operands_of(expression, own))
        return replace(e, operands=tuple(scope.get(s.name, s) for s in e.operands))

    sections: dict[str, Any] = {
        name: tuple(over(e) for e in each if id(e) in chosen) for name, each in program.sections()
    }
    made = {e.target.name for each in sections.values() for e in each}
    objective = program.objective if program.objective is not None and program.objective.name in made else None
    prediction = scope.get(program.prediction.name, program.prediction)  # a round before may have made it
    parts: dict[str, Any] = {"given": given, "prediction": prediction, "objective": objective, **sections}
    return replace(program, gradients=(), outputs=(), activations=(), divisor=None, **parts)
