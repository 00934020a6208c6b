"""What each sample adds to the gradient, as equations: norms and second moments without a loop over samples.

A parameter's gradient is a sum over the batch, and one sample's part of it, g_i, is:

    dW = Aᵀ dZ           g_i = a_i dz_iᵀ      ‖g_i‖² = ‖a_i‖² ‖dz_i‖²     Σ_i g_i² = (A²)ᵀ dZ²
    db = Σ_i e_i         g_i = e_i            ‖g_i‖² = Σ_j e_ij²          Σ_i g_i² = Σ_i e_i²
    dE = D added up      a token that a sample holds twice adds up within g_i: not an element-wise matter, and so
                         not an equation of this language; it is computed from the traced values

Source: Goodfellow 2015 (norms), Dangel et al. 2020 (second moments).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chainrule.errors import SpecError
from chainrule.program.builder import Builder
from chainrule.program.equation import Equation, Program
from chainrule.program.op import Elementwise, MatMul, Reduce, ScatterAdd
from chainrule.program.scalar import TWO, Expression, Variable, power
from chainrule.program.symbol import Symbol
from chainrule.program.verify import verify

_RULE = "one sample's part"


def parts(program: Program) -> dict[str, tuple[Equation, ...]]:
    """For each parameter the equations that add up samples on the way to its gradient.

    Raises SpecError where samples are mixed in another way.
    """
    made_by = {e.target.name: e for e in program.backward}
    found = {}
    for symbol, gradient in program.gradients:
        if symbol.role == "parameter":
            found[symbol.name] = tuple(_sums(made_by[gradient.name], made_by, symbol))
    return found


def _sums(equation: Equation, made_by: Mapping[str, Equation], of: Symbol) -> list[Equation]:
    op = equation.op
    adds = (isinstance(op, MatMul) and op.transpose_left and all(s.batched for s in equation.operands)) or (
        isinstance(op, Reduce) and op.kind == "sum" and any(s.batched for s in equation.operands)
    )
    if adds or isinstance(op, ScatterAdd):
        return [equation]
    if isinstance(op, Elementwise):
        inner = [made_by[s.name] for s in equation.operands if s.name in made_by]
        return [x for e in inner for x in _sums(e, made_by, of)]
    raise SpecError(f"The gradient of {of} does not add up over the samples: {equation}.")


def squared_norms(program: Program) -> tuple[Program, dict[str, Symbol]]:
    """The program with ‖g_i‖² (m, 1) of each parameter, except those with lookups; and its symbol by parameter."""
    builder, made = _open(program), {}
    for name, sums in parts(program).items():
        if any(isinstance(e.op, ScatterAdd) for e in sums) or len(sums) != 1:
            continue
        made[name] = _norm(builder, sums[0])
    return _closed(program, builder), made


def _norm(builder: Builder, equation: Equation) -> Symbol:
    draft = equation.target.said("norm2")
    if isinstance(equation.op, MatMul):
        factors = [Variable(_square(builder, s).name) for s in equation.operands]
        return builder.write(draft, factors[0] * factors[1], rule=_RULE, through=str(equation))
    assert isinstance(equation.op, Reduce)
    squared = power(equation.op.expression, TWO)
    return builder.reduce(draft, Reduce("sum", "columns", squared), rule=_RULE, through=str(equation))


def _square(builder: Builder, symbol: Symbol) -> Symbol:
    """Σ_j of the squares of a sample's values (m, 1), written once."""
    op = Reduce("sum", "columns", power(Variable(symbol.name), TWO))
    for equation in builder.equations:
        if equation.op == op:
            return equation.target
    return builder.reduce(symbol.said("squares"), op, rule=_RULE)


def second_moments(program: Program) -> tuple[Program, dict[str, Symbol]]:
    """The program with Σ_i g_i² of each parameter, in its shape, except those with lookups."""
    builder, made = _open(program), {}
    squares: dict[str, Symbol] = {}

    def squared(symbol: Symbol) -> Symbol:
        if symbol.name not in squares:
            value = power(Variable(symbol.name), TWO)
            squares[symbol.name] = builder.write(symbol.said("squared"), value, rule=_RULE)
        return squares[symbol.name]

    for name, sums in parts(program).items():
        if any(isinstance(e.op, ScatterAdd) for e in sums) or len(sums) != 1:
            continue
        equation, op = sums[0], sums[0].op
        draft = equation.target.said("moment")
        if isinstance(op, MatMul):
            left, right = (squared(s) for s in equation.operands)
            made[name] = builder.apply(draft, op, (left, right), rule=_RULE, through=str(equation))
        else:
            assert isinstance(op, Reduce)
            value: Expression = power(op.expression, TWO)
            made[name] = builder.reduce(draft, Reduce("sum", op.over, value), rule=_RULE, through=str(equation))
    return _closed(program, builder), made


def _open(program: Program) -> Builder:
    return Builder(given=list(program.given), scope=dict(program.symbols))


def _closed(program: Program, builder: Builder) -> Program:
    return verify(replace(program, backward=(*program.backward, *builder.equations), update=()))
