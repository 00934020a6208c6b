"""What each sample adds to the gradient, as equations: norms and second moments without a loop over samples.

A parameter's gradient is a sum over the batch, and one sample's part of it, g_i, is:

    dW = Aᵀ dZ           g_i = a_i dz_iᵀ      ‖g_i‖² = ‖a_i‖² ‖dz_i‖²     Σ_i g_i² = (A²)ᵀ dZ²
    db = Σ_i e_i         g_i = e_i            ‖g_i‖² = Σ_j e_ij²          Σ_i g_i² = Σ_i e_i²
    dc = Σ_i Σ_j e_ij    g_i = Σ_j e_ij       ‖g_i‖² = g_i²               Σ_i g_i² = Σ_i (Σ_j e_ij)²
    dW_k = A_kᵀ dZ_k     g_i = a_ik dz_ikᵀ for each group, or their sum: not an equation of this language, as with
    dE = D added up      a token that a sample holds twice adds up within g_i: not an element-wise matter, and so
                         not an equation of this language; it is computed from the traced values

Source: Goodfellow 2015 (norms), Dangel et al. 2020 (second moments).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from chainrule.errors import SpecError
from chainrule.program.builder import Builder
from chainrule.program.derivative import differentiate
from chainrule.program.equation import Equation, Program, shape_of
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
    Op,
    OverShards,
    Reduce,
    ReduceGroups,
    Repeat,
    ScatterAdd,
)
from chainrule.program.scalar import ONE, TWO, Expression, Variable, power
from chainrule.program.symbol import Symbol
from chainrule.program.verify import verify

_RULE = "one sample's part"


def parts(program: Program) -> dict[str, tuple[Equation, ...]]:
    """For each parameter the equations that add up samples on the way to its gradient.

    Their sum, divided by the divisor of the cost where the program divides there, is the gradient without what no
    sample has a part in (penalties).  Raises SpecError where samples are mixed in another way.
    """
    making = {e.target.name: e for e in program.backward}
    slopes = [ONE] if program.divisor is None else [ONE, ONE / program.divisor]
    sums = {}
    for symbol, gradient in program.gradients:
        if symbol.role == "parameter":
            sums[symbol.name] = tuple(_sums(making[gradient.name], making, slopes, symbol))
    return sums


def _sums(
    equation: Equation, making: Mapping[str, Equation], slopes: Sequence[Expression], of: Symbol
) -> list[Equation]:
    if _adds_up_samples(equation):
        return [equation]
    sums: list[Equation] = []
    if isinstance(equation.op, Elementwise):
        for part in equation.operands:
            if part.name in making:
                if differentiate(equation.op.expression, part.name) not in slopes:
                    break
                sums += _sums(making[part.name], making, slopes, of)
        else:
            if not any(s.batched for s in equation.operands):
                return sums
    raise SpecError(f"The gradient of {of} does not add up over the samples: {equation}.")


def _adds_up_samples(equation: Equation) -> bool:
    op: Op = equation.op
    match op:
        case MatMul(transpose_left, transpose_right):
            return transpose_left and not transpose_right and all(s.batched for s in equation.operands)
        case Reduce(kind, over):
            return kind == "sum" and over != "columns" and any(s.batched for s in equation.operands)
        case ScatterAdd():
            return True
        case GroupedMatMul(_, transpose_left):
            return transpose_left and all(s.batched for s in equation.operands)
        case Elementwise() | Gather() | AtRows() | Mask() | OneHot() | Beside() | Columns():
            return False
        case Repeat() | ReduceGroups() | OverShards():
            return False
        case _:
            assert_never(op)


def squared_norms(program: Program) -> tuple[Program, dict[str, Symbol]]:
    """The program with ‖g_i‖² (m, 1) of each parameter, except those with lookups or groups; and its symbol."""
    builder, made = _open(program), {}
    for name, sums in parts(program).items():
        if any(isinstance(e.op, ScatterAdd | GroupedMatMul) for e in sums) or len(sums) != 1:
            continue
        made[name] = _norm(builder, sums[0])
    return _closed(program, builder), made


def _norm(builder: Builder, equation: Equation) -> Symbol:
    draft = equation.target.said("norm2")
    if isinstance(equation.op, MatMul):
        factors = [Variable(_square(builder, s).name) for s in equation.operands]
        return builder.write(draft, factors[0] * factors[1], rule=_RULE, through=(equation.target,))
    squared = power(_of_each(builder, equation), TWO)
    return builder.reduce(draft, Reduce("sum", "columns", squared), rule=_RULE, through=(equation.target,))


def _of_each(builder: Builder, equation: Equation) -> Expression:
    """e of g_i = e_i; where everything is added up, each sample's own sum first."""
    assert isinstance(equation.op, Reduce)
    expression, over = equation.op.expression, equation.op.over
    if over == "rows" or shape_of(expression, builder.scope)[1:] == (1,):
        return expression
    each = Reduce("sum", "columns", expression)
    there = builder.existing(each)
    return Variable((there or builder.reduce(equation.target.said("sum"), each, rule=_RULE)).name)


def _square(builder: Builder, symbol: Symbol) -> Symbol:
    """Σ_j of the squares of a sample's values (m, 1), written once."""
    op = Reduce("sum", "columns", power(Variable(symbol.name), TWO))
    return builder.existing(op) or builder.reduce(symbol.said("squares"), op, rule=_RULE)


def second_moments(program: Program) -> tuple[Program, dict[str, Symbol]]:
    """The program with Σ_i g_i² of each parameter, in its shape, except those with lookups or groups."""
    builder, made = _open(program), {}
    squares: dict[str, Symbol] = {}

    def squared(symbol: Symbol) -> Symbol:
        if symbol.name not in squares:
            value = power(Variable(symbol.name), TWO)
            squares[symbol.name] = builder.write(symbol.said("squared"), value, rule=_RULE)
        return squares[symbol.name]

    for name, sums in parts(program).items():
        if any(isinstance(e.op, ScatterAdd | GroupedMatMul) for e in sums) or len(sums) != 1:
            continue
        equation, op = sums[0], sums[0].op
        draft = equation.target.said("moment")
        if isinstance(op, MatMul):
            left, right = (squared(s) for s in equation.operands)
            made[name] = builder.apply(draft, op, (left, right), rule=_RULE, through=(equation.target,))
        else:
            assert isinstance(op, Reduce)
            value = power(_of_each(builder, equation), TWO)
            made[name] = builder.reduce(draft, Reduce("sum", op.over, value), rule=_RULE, through=(equation.target,))
    return _closed(program, builder), made


def _open(program: Program) -> Builder:
    return Builder(given=list(program.given), scope=dict(program.symbols))


def _closed(program: Program, builder: Builder) -> Program:
    return verify(replace(program, backward=(*program.backward, *builder.equations), update=()))
