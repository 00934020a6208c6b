"""The reduction of data-parallel training, put into a program: a batch is cut into shards of its samples.

What is added up over the samples of a batch is added up over each shard k, and then over the shards:

    dW = Aᵀ dZ      becomes      dW_k = Aᵀ dZ  of the shard's samples,   dW = Σ dW_k over the shards k

and so is a maximum.  All else stays as it is: equations of samples hold for those of any shard, and what has no samples
follows from the whole batch, m among it.  So where shards are computed, by whom, and by how many, is no part of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chainrule.errors import SpecError
from chainrule.program.equation import Equation, Program
from chainrule.program.op import AtRows, GroupedMatMul, MatMul, OverShards, Reduce, ScatterAdd
from chainrule.program.symbol import BATCH
from chainrule.program.verify import verify
from chainrule.rules.mean_at_weights import mean_at_weights

RULE = "sum over the shards"


def over_shards(program: Program) -> Program:
    """The program with a sum (or maximum) over the shards wherever one over the samples stands.

    Where samples have weights, 1/Σw is taken where the gradients of the parameters are formed (`mean_at_weights`), so
    that a shard can go all the way back before it knows the weights of the others.
    Raises SpecError for what cannot be cut: a product of samples by samples, updates of the rows that a batch names.
    """
    if any(s.role == "weight" for s in program.given):
        program = mean_at_weights(program)
    faults = [fault for e in program.equations if (fault := _fault(e)) is not None]
    if faults:
        raise SpecError([f"This program cannot be run in shards of a batch: {fault}" for fault in faults])
    sections: dict[str, Any] = {
        name: tuple(x for e in equations for x in _cut(e)) for name, equations in program.sections()
    }
    return verify(replace(program, **sections), pruned=True)


def _cut(equation: Equation) -> tuple[Equation, ...]:
    """An equation that adds up samples becomes two: for a shard, and over the shards."""
    target, op = equation.target, equation.op
    if target.batched or not any(s.batched for s in equation.operands):
        return (equation,)
    assert isinstance(op, MatMul | GroupedMatMul | Reduce | ScatterAdd), f"nothing is added up in {equation}"
    of_shard = target.said("shard")
    kind = op.kind if isinstance(op, Reduce) else "sum"
    total = replace(equation, op=OverShards(kind), operands=(of_shard,), rule=RULE, through=())
    return replace(equation, target=of_shard), total


def _fault(equation: Equation) -> str | None:
    if isinstance(equation.op, AtRows):
        return (
            f"the update of {equation.target} is of the rows that a batch names alone, and every worker would have to "
            "know the tokens of all. Make it Embedding(..., sparse=False)."
        )
    for symbol in (equation.target, *equation.operands):
        if BATCH in symbol.shape[1:]:
            return f"{symbol} in {equation} has samples in its columns, and a shard does not know those of the others."
    return None
