"""The tangent rule over equations: how every value moves when some of them are moved (forward mode).

Equations are walked from the first to the last.  t_T, the change of T, is what its operands' changes make of it:

    T = L R              t_T = t_L R + L t_R
    T = e(a, b, ...)     t_T = Σ ∂e/∂a t_a
    T = Σ e(a, ...)      t_T = Σ over the same axes of Σ ∂e/∂a t_a
    T = max e(a, ...)    as the sum, where e is the largest, shared evenly among equals
    T = rows of E at X   t_T = rows of t_E at X
    T = D added up at X  t_T = t_D added up at X
    T = [A | B | ...]    t_T = [t_A | t_B | ...], 0 for what does not move
    T = columns of A     t_T = the columns of t_A
    T_k = A_k W_k        t_T_k = t_A_k W_k + A_k t_W_k, for each group k
    T = A k times, or the sum of A's groups: the same of t_A

The tangents of the backward equations are the Hessian times a vector: H v = d/dε ∇J(θ + ε v), forward over reverse.
Source: Pearlmutter 1994 (the R operator).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import assert_never

from chainrule.errors import ProgramError
from chainrule.program.builder import Builder
from chainrule.program.derivative import Derivatives
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
    OverShards,
    Reduce,
    ReduceGroups,
    Repeat,
    ScatterAdd,
)
from chainrule.program.scalar import ONE, ZERO, Apply, Expression, Variable, apply, is_zero, where
from chainrule.program.symbol import Symbol, broadcast, product_of
from chainrule.program.verify import verify
from chainrule.program.walk import replace as exchange
from chainrule.program.walk import sum_of
from chainrule.rules.chain import ties

Passes = Callable[[Equation, Symbol], bool]
"""Whether a change of the operand counts in this equation."""

_RULE = "tangent"


def tangent(program: Program, moved: Iterable[Symbol], passes: Passes = lambda equation, operand: True) -> Program:
    """The program with the tangent of every equation that a moved symbol reaches; the update is left out.

    moved: given symbols S; their changes t_S are given as well.  passes: where a change is not to be followed, False.
    The gradients of the result are the pairs (S, t_dS): for all equations of a derivation, H v.  A gradient that
    nothing reaches has the tangent 0.
    """
    builder = Builder(given=list(program.given), scope={s.name: s for s in program.given})
    tangents: dict[str, Symbol] = {}
    for symbol in moved:
        tangents[symbol.name] = builder.give(symbol.said("tangent", "input"))
    sections: dict[str, tuple[Equation, ...]] = {}
    for name, equations in program.sections():
        if name == "update":
            continue
        start = len(builder.equations)
        for equation in equations:
            builder.add(equation)
            builder.layer = equation.layer
            moving = {s.name: tangents[s.name] for s in equation.operands if s.name in tangents and passes(equation, s)}
            change = _tangent(builder, equation, moving)
            if change is not None:
                tangents[equation.target.name] = change
        sections[name] = tuple(builder.equations[start:])
    start = len(builder.equations)
    pairs = []
    for symbol, gradient in program.gradients:
        if gradient.name not in tangents:
            tangents[gradient.name] = builder.write(gradient.tangent, ZERO, rule=_RULE, shape=gradient.shape)
        pairs.append((symbol, tangents[gradient.name]))
    sections["backward"] += tuple(builder.equations[start:])
    return verify(
        replace(
            program,
            given=tuple(builder.given),
            forward=sections["forward"],
            cost=sections["cost"],
            backward=sections["backward"],
            update=(),
            gradients=tuple(pairs),
        )
    )


def gauss_newton(program: Program, moved: Iterable[Symbol]) -> Program:
    """As `tangent`, without the curvature of the network itself: Jᵀ H_L J v, and the penalties' own Hessian.

    J is the Jacobian of the output that the backward equations start from (Z of the last layer where a canonical pair
    says the gradient by it, else Ŷ), H_L the Hessian of the cost by that output.
    """
    moved = list(moved)
    start = program.gradient_of.get(program.prediction.name)
    if start is None:
        start = next(e.target for e in program.backward if e.target.role == "gradient")
    names = [e.target.name for e in program.backward]
    after = set(names[names.index(start.name) + 1 :])
    ends = {g.name for _, g in program.gradients}
    linear = {e.target.name for e in program.backward}

    def passes(equation: Equation, operand: Symbol) -> bool:
        if equation.target.name not in after:
            return True
        own = equation.target.name in ends and isinstance(equation.op, Elementwise)
        return operand.name in linear or (own and operand.role == "parameter")

    return tangent(program, moved, passes)


def _tangent(builder: Builder, equation: Equation, moving: dict[str, Symbol]) -> Symbol | None:
    """The equation's tangent, written down; None if it does not move."""
    if not moving:
        return None
    target, op = equation.target, equation.op
    through = (equation.target,)
    match op:
        case MatMul() | GroupedMatMul():
            return _product(builder, equation, op, moving, through)
        case Elementwise(expression):
            value = _change(expression, target, moving)
            if is_zero(value):
                return None
            return builder.write(target.tangent, value, rule=_RULE, through=through, shape=target.shape)
        case Reduce(kind, over, expression):
            value = _change(expression, None, moving)
            if is_zero(value):
                return None
            if kind == "max":
                largest = apply("eq", expression, Variable(target.name))
                count = target.tangent.said("count")
                equals = builder.reduce(count, Reduce("sum", over, largest), rule="ties", through=through)
                value = where(largest, ONE, ZERO) * value / Variable(equals.name)
            full = shape_of(expression, builder.scope)
            if broadcast([shape_of(value, builder.scope), full]) != shape_of(value, builder.scope):
                wide = builder.write(target.said("wide"), value, rule=_RULE, through=through, shape=full)
                value = Variable(wide.name)
            return builder.reduce(target.tangent, Reduce("sum", over, value), rule=_RULE, through=through)
        case Gather() | ScatterAdd():
            values, tokens = equation.operands
            moved = moving.get(values.name)
            if moved is None:
                return None
            return builder.apply(target.tangent, op, (moved, tokens), rule=_RULE, through=through)
        case Beside(starts, width):
            pairs = [(k, moving[s.name]) for k, s in zip(starts, equation.operands, strict=True) if s.name in moving]
            beside = Beside(tuple(k for k, _ in pairs), width)
            return builder.apply(target.tangent, beside, tuple(s for _, s in pairs), rule=_RULE, through=through)
        case ReduceGroups("max"):
            return _largest(builder, equation, op, moving, through)
        case Columns() | Repeat() | ReduceGroups():
            return builder.apply(target.tangent, op, tuple(moving.values()), rule=_RULE, through=through)
        case AtRows():
            raise ProgramError(f"No tangent goes through {equation}: it is a step of an update.")
        case OverShards():
            raise ProgramError(f"No tangent goes through {equation}: take that of the program without shards.")
        case Mask() | OneHot():
            return None
        case _:
            assert_never(op)


def _product(
    builder: Builder,
    equation: Equation,
    op: MatMul | GroupedMatMul,
    moving: dict[str, Symbol],
    through: tuple[Symbol, ...],
) -> Symbol | None:
    """t_T = t_L R + L t_R"""
    left, right = equation.operands
    pairs = []
    if left.name in moving:
        pairs.append((moving[left.name], right))
    if right.name in moving:
        pairs.append((left, moving[right.name]))
    draft = equation.target.tangent
    if len(pairs) == 1:
        return builder.apply(draft, op, pairs[0], rule=_RULE, through=through)
    parts = [builder.apply(product_of(a, b), op, (a, b), rule=_RULE, through=through) for a, b in pairs]
    total = Variable(parts[0].name) + Variable(parts[1].name)
    return builder.write(draft, total, rule=_RULE, through=through)


def _largest(
    builder: Builder, equation: Equation, op: ReduceGroups, moving: dict[str, Symbol], through: tuple[Symbol, ...]
) -> Symbol:
    """The change of what is largest, shared evenly among equals."""
    (origin,), draft = equation.operands, equation.target.tangent
    back = Repeat(int(origin.shape[1]) // op.groups if op.within else op.groups, op.within)
    largest, count = ties(builder, equation, op, back, draft)
    chosen = Variable(largest.name) * Variable(moving[origin.name].name)
    parts = builder.write(draft.said("whole"), chosen, rule=_RULE, through=through)
    summed = builder.apply(draft.said("sum"), replace(op, kind="sum"), (parts,), rule=_RULE, through=through)
    return builder.write(draft, Variable(summed.name) / Variable(count.name), rule=_RULE, through=through)


def _change(expression: Expression, target: Symbol | None, moving: dict[str, Symbol]) -> Expression:
    """Σ ∂e/∂a t_a; where e itself appears in its slope, the target says it."""
    known: dict[Expression, Expression] = {}
    if target is not None and isinstance(expression, Apply):
        known[expression] = Variable(target.name)
    derivatives = Derivatives(expression)
    return sum_of([exchange(derivatives.by(name), known) * Variable(moved.name) for name, moved in moving.items()])
