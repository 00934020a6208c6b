"""Which products of float32 numbers as they are matrix tiles take, as the six products of three parts.

The result is as near to the numbers' product as that of multiply-adds (`kernels/inner.py`, `WholeProducts`), so nobody
has to ask for it.  Whether it is faster follows from a count of cycles, for an m x n product over k:

    multiply-adds    m n k / 32          two units of sixteen lanes
    tiles            m n k / 60          six products of 512 a cycle, and what waits for the second level cache
    packing          1 for each number of a factor, as often as it is packed

of the three products of a layer together: 3 m n k (1/32 - 1/60) > 1.5 (2 k n + 4 m (k + n)), half as much again for
what is not counted.  No processor with tiles was timed for it.
"""

from __future__ import annotations

from dataclasses import replace

from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan.recipe import Recipe
from chainrule.program.equation import Equation, Program
from chainrule.program.op import MatMul

WON = 3 * (1 / 32 - 1 / 60)
PACKING = 1.5
"""Cycles for each number that is packed, with what is not counted."""
PARTS = 3


def pays(m: int, k: int, n: int) -> bool:
    """Whether the products of a layer of k inputs and n units with m samples are faster so."""
    return WON * m * k * n > PACKING * (2 * k * n + 4 * m * (k + n))


def takes(equation: Equation, recipe: Recipe) -> bool:
    """Whether tiles take a product."""
    op = equation.op
    if not isinstance(op, MatMul) or op.parts or not any(s.batched for s in equation.operands):
        return False
    if recipe.nonzero and any(s.role == "input" for s in equation.operands):
        return False  # it may pass over zeros
    weight = next((s for s in (*equation.operands, equation.target) if not s.batched), None)
    if weight is None or len(weight.shape) != 2:
        return False
    return pays(recipe.tiles, *(int(d) for d in weight.shape))


def by_tiles(program: Program, recipe: Recipe, layout: PanelLayout) -> Program:
    """The program in which products that tiles take are of three parts."""
    if not (recipe.tiles and layout.target.tiles and layout.dtype == "float32"):
        return program

    def changed(e: Equation) -> Equation:
        if not takes(e, recipe):
            return e
        assert isinstance(e.op, MatMul)
        return replace(e, op=replace(e.op, parts=PARTS))

    forward, cost, backward, update = (tuple(map(changed, equations)) for _, equations in program.sections())
    return replace(program, forward=forward, cost=cost, backward=backward, update=update)
