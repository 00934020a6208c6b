"""The plan of a program: stages, where everything lies, and the steps of a batch.  `print(plan)` shows it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan.listing import listing
from chainrule.engines.compiled.plan.memory import Memory, memory
from chainrule.engines.compiled.plan.planner import fuse
from chainrule.engines.compiled.plan.recipe import Recipe
from chainrule.engines.compiled.plan.stages import Fusion
from chainrule.engines.compiled.plan.steps import Step, steps_of
from chainrule.engines.compiled.plan.verify import verify
from chainrule.engines.compiled.plan.whole_tiles import by_tiles
from chainrule.program.equation import Equation, Program
from chainrule.program.op import Elementwise, OverShards
from chainrule.program.scalar import Variable
from chainrule.program.symbol import Symbol

__all__ = ["Plan", "Recipe", "plan"]


@dataclass(frozen=True)
class Plan(Fusion):
    """What is lowered: nothing that decides about the machine code is left open here."""

    memory: Memory
    """Where everything lies."""
    steps: tuple[Step, ...]
    """What a batch does, in order."""

    def __str__(self) -> str:
        return listing(self, self.memory, self.steps)


def plan(program: Program, recipe: Recipe, layout: PanelLayout) -> Plan:
    """The plan of a program, run as the recipe says.  Raises ProgramError where an equation cannot be placed.

    What nobody reads, wants or stores is left out: a stage that keeps nothing would have no place to write to.
    """
    program = by_tiles(_of_one_shard(program.pruned(_asked_for(program, recipe))), recipe, layout)
    fusion = fuse(program, recipe, layout)
    places = memory(fusion, layout)
    steps = steps_of(fusion, places)
    verify(fusion, places, steps)
    fused: dict[str, Any] = {field.name: getattr(fusion, field.name) for field in fields(fusion)}
    return Plan(**fused, memory=places, steps=steps)


def _of_one_shard(program: Program) -> Program:
    """The program with T = T_k in the place of sums over the shards: a batch is one shard to machine code."""
    if not any(isinstance(e.op, OverShards) for e in program.equations):
        return program

    def alone(e: Equation) -> Equation:
        if not isinstance(e.op, OverShards):
            return e
        return replace(e, op=Elementwise(Variable(e.operands[0].name)))

    sections: dict[str, Any] = {name: tuple(map(alone, equations)) for name, equations in program.sections()}
    return replace(program, **sections)


def _asked_for(program: Program, recipe: Recipe) -> list[Symbol]:
    """What is wanted of a run, and the cost where training looks at it."""
    names = {*recipe.wanted}
    if recipe.training and program.objective is not None:
        names.add(program.objective.name)
    return [symbol for name, symbol in program.symbols.items() if name in names]
