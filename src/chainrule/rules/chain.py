"""The chain rule over equations: from the forward equations to the backward ones.

Equations are walked from the last to the first.  dT, the gradient of the cost by T, is the sum of what each equation
that uses T contributes:

    T = L R              dL = dT Rᵀ,  dR = Lᵀ dT; where L or R stands transposed, the transposes of these
    T = e(a, b, ...)     da = dT ∂e/∂a, summed over the axes on which a repeats (a bias: over the rows)
    T = Σ e(a, ...)      da = dT ∂e/∂a
    T = max e(a, ...)    da = dT ∂e/∂a where e is the largest, shared evenly among equals
    T = rows of E at X   dE = dT added into rows X
    T = D added up at X  dD = rows of dT at X
    T = [A | B | ...]    dA = the columns of dT that are A's
    T = columns of A     dA = dT in these columns, 0 in the others
    T_k = A_k W_k        dA_k = dT_k W_kᵀ, dW_k = A_kᵀ dT_k, for each group k; of shared weights the sum of these
    T = A k times        dA = Σ of the k groups of dT
    T = Σ of A's groups  dA = dT for each group; of their maximum, where the largest is, shared evenly among equals

A gradient becomes an equation of its own where a textbook names it (dZ, dA, dW, ...) or an operation needs it; in
between, expressions are composed and simplified.
"""

from __future__ import annotations

import dataclasses
from typing import assert_never

from chainrule.errors import ProgramError
from chainrule.program.builder import Builder
from chainrule.program.derivative import Derivatives
from chainrule.program.equation import Equation, operands_of, shape_of
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
from chainrule.program.scalar import ONE, ZERO, Apply, Constant, Expression, Over, Variable, apply, is_zero, where
from chainrule.program.symbol import BATCH, How, Symbol
from chainrule.program.walk import larger_than, replace, sum_of

_SMALL = 3
"""Nodes; a gradient this small is written again rather than stored."""


def backward(builder: Builder, cost: Symbol, wanted: list[Symbol]) -> list[tuple[Symbol, Symbol]]:
    """Appends the backward equations to the builder; returns (symbol, gradient) for each wanted symbol.

    A wanted symbol that the cost does not depend on has the gradient 0.
    """
    return _Chain(builder, cost, wanted).run()


class _Chain:
    def __init__(self, builder: Builder, cost: Symbol, wanted: list[Symbol]) -> None:
        self.builder = builder
        self.equations = list(builder.equations)
        self.wanted = wanted
        self.terms: dict[str, list[Expression]] = {cost.name: [Constant(1.0)]}
        self.origins: dict[str, list[Symbol]] = {}
        self.gradients: dict[str, Symbol] = {}
        active = {s.name for s in wanted}
        for equation in self.equations:
            if any(s.name in active for s, _ in self._ways(equation)):
                active.add(equation.target.name)
        self.active = active
        self.users: dict[str, int] = {}
        """By symbol, how many contributions its gradient gets."""
        live = {cost.name}
        for equation in reversed(self.equations):
            if equation.target.name in live and equation.target.name in active:
                for symbol, _ in self._ways(equation):
                    if symbol.name in active:
                        live.add(symbol.name)
                        self.users[symbol.name] = self.users.get(symbol.name, 0) + 1

    def run(self) -> list[tuple[Symbol, Symbol]]:
        for equation in reversed(self.equations):
            if equation.target.name in self.terms and equation.target.name in self.active:
                self._through(equation)
        for symbol in self.wanted:
            if symbol.name not in self.gradients:
                self._settle(symbol)
        return [(s, self.gradients[s.name]) for s in self.wanted]

    # --- what an equation passes on ----------------------------------------------------------------------------

    def _ways(self, equation: Equation) -> list[tuple[Symbol, Expression | None]]:
        """The operands that a gradient flows to, with ∂T/∂S where a named rule states it.

        Both sides of a product and all that is laid side by side, also where they are the same symbol; an expression's
        variables once each.
        """
        if equation.target.name in self.builder.partials:
            return list(self.builder.partials[equation.target.name])
        both = isinstance(equation.op, MatMul | GroupedMatMul | Beside)
        several = equation.operands if both else dict.fromkeys(equation.operands)
        return [(s, None) for s in several if not s.integers]

    def _through(self, equation: Equation) -> None:
        target, op, through = equation.target, equation.op, (equation.target,)
        self.builder.layer = equation.layer
        ways = [(s, partial) for s, partial in self._ways(equation) if s.name in self.active]
        slope = self._total(target.name)
        needs_symbol = not isinstance(op, Elementwise | Reduce)
        by_symbol = needs_symbol and not isinstance(op, Mask | OneHot | AtRows | OverShards)
        if by_symbol and is_zero(slope) and target.role != "value":
            for symbol, _ in ways:  # what never changes the cost passes nothing on, and needs no name for it
                self._receive(symbol, ZERO, through)
            return
        several = len(ways) > 1 and larger_than(slope, _SMALL)
        whole = isinstance(slope, Variable) and self.builder.scope[slope.name].shape == target.shape
        if not (needs_symbol and whole) and (target.role == "value" or needs_symbol or several):
            slope = self._settle(target)
        if equation.target.name in self.builder.partials:
            for symbol, partial in _parameters_first(ways):
                assert partial is not None
                self._pass(symbol, slope * partial, target, through)
            return
        match op:
            case MatMul():
                self._product(equation, op, self._symbol(slope), through)
            case Elementwise(expression):
                same: dict[Expression, Expression] = {}
                if isinstance(expression, Apply):
                    same[expression] = Variable(target.name)
                derivatives = Derivatives(expression)
                for symbol, _ in _parameters_first(ways):
                    partial = replace(derivatives.by(symbol.name), same)
                    self._pass(symbol, slope * partial, target, through)
            case Reduce():
                self._reduction(equation, op, slope, [s for s, _ in _parameters_first(ways)], through)
            case Gather():
                table, tokens = equation.operands
                rows = table.shape[0]
                assert isinstance(rows, int)
                self._apply(table, op.turned(rows), (self._symbol(slope), tokens), "lookup rule", through)
            case ScatterAdd():
                pieces, tokens = equation.operands
                self._apply(pieces, op.turned(), (self._symbol(slope), tokens), "lookup rule", through)
            case Beside(starts):
                gradient = self._symbol(slope)
                for start, symbol in zip(starts, equation.operands, strict=True):
                    if symbol.name in self.active:
                        part = Columns(start, int(symbol.shape[1]))
                        self._apply(symbol, part, (gradient,), "parts of a whole", through)
            case Columns(start):
                (origin,) = equation.operands
                place = Beside((start,), int(origin.shape[1]))
                self._apply(origin, place, (self._symbol(slope),), "part of a whole", through)
            case GroupedMatMul():
                self._grouped(equation, op, self._symbol(slope), through)
            case Repeat(times, within):
                (origin,) = equation.operands
                summed = ReduceGroups("sum", int(origin.shape[1]) if within else times, within)
                self._apply(origin, summed, (self._symbol(slope),), "sum over what repeats", through)
            case ReduceGroups():
                self._reduced_groups(equation, op, self._symbol(slope), through)
            case Mask() | OneHot() | AtRows() | OverShards():
                raise ProgramError(f"Nothing can be differentiated through {equation}: it has no slope.")
            case _:
                assert_never(op)

    def _symbol(self, slope: Expression) -> Symbol:
        assert isinstance(slope, Variable)
        return self.builder.scope[slope.name]

    def _reduction(
        self, equation: Equation, op: Reduce, slope: Expression, ways: list[Symbol], through: tuple[Symbol, ...]
    ) -> None:
        if op.kind == "max" and ways and not is_zero(slope):
            largest = apply("eq", op.expression, Variable(equation.target.name))
            count = equation.target.said("count")
            equals = self.builder.reduce(count, Reduce("sum", op.over, largest), rule="ties", through=through)
            slope = slope * where(largest, ONE, ZERO) / Variable(equals.name)
        derivatives = Derivatives(op.expression)
        for symbol in ways:
            self._pass(symbol, slope * derivatives.by(symbol.name), equation.target, through, over=op)

    def _product(self, equation: Equation, op: MatMul, slope: Symbol, through: tuple[Symbol, ...]) -> None:
        """For T = L R, dL = dT Rᵀ and dR = Lᵀ dT; of a side that stands transposed, the transpose of that."""
        left, right = equation.operands
        turned_left, turned_right = op.transpose_left, op.transpose_right
        by_right = (MatMul(False, not turned_right), (slope, right))
        if turned_left:  # (dT Rᵀ)ᵀ = R dTᵀ
            by_right = (MatMul(turned_right, True), (right, slope))
        by_left = (MatMul(not turned_left, False), (left, slope))
        if turned_right:  # (Lᵀ dT)ᵀ = dTᵀ L
            by_left = (MatMul(True, turned_left), (slope, left))
        sides = [(s, way) for s, way in ((left, by_right), (right, by_left)) if s.name in self.active]
        for symbol, (product, operands) in sorted(sides, key=lambda side: side[0].role != "parameter"):
            self._apply(symbol, product, operands, "product rule", through)

    def _grouped(self, equation: Equation, op: GroupedMatMul, slope: Symbol, through: tuple[Symbol, ...]) -> None:
        """As `_product`, for each group: A W, dZ Wᵀ and Aᵀ dZ are made of each other."""
        left, right = equation.operands
        forward = dataclasses.replace(op, transpose_left=False, transpose_right=False)
        backward = dataclasses.replace(forward, transpose_right=True)
        weights = dataclasses.replace(forward, transpose_left=True)
        if op.transpose_left:  # T = Aᵀ dZ
            by_left, by_right = (backward, (right, slope)), (forward, (left, slope))
        elif op.transpose_right:  # T = dZ Wᵀ
            by_left, by_right = (forward, (slope, right)), (weights, (slope, left))
        else:  # T = A W
            by_left, by_right = (backward, (slope, right)), (weights, (left, slope))
        sides = [(s, way) for s, way in ((left, by_left), (right, by_right)) if s.name in self.active]
        for symbol, (product, operands) in sorted(sides, key=lambda side: side[0].role != "parameter"):
            self._apply(symbol, product, operands, "product rule", through)

    def _reduced_groups(self, equation: Equation, op: ReduceGroups, slope: Symbol, through: tuple[Symbol, ...]) -> None:
        """Of a sum, dT for each that was added up; of a maximum, where the largest is, shared evenly among equals."""
        (origin,), target, builder = equation.operands, equation.target, self.builder
        back = Repeat(int(origin.shape[1]) // op.groups if op.within else op.groups, op.within)
        if op.kind == "sum":
            self._apply(origin, back, (slope,), "the same for each", through)
            return
        largest, count = ties(builder, equation, op, back, target)
        share = builder.write(
            target.said("wide"), Variable(slope.name) / Variable(count.name), rule="ties", through=through
        )
        beside = builder.apply(target.said("wide"), back, (share,), rule="ties", through=through)
        self._receive(origin, Variable(beside.name) * Variable(largest.name), through)

    def _apply(
        self, symbol: Symbol, op: Op, operands: tuple[Symbol, ...], rule: str, through: tuple[Symbol, ...]
    ) -> None:
        """The contribution op(operands) to d(symbol): the gradient itself where it is the only one."""
        draft = symbol.gradient
        if self.users.get(symbol.name) != 1:
            how: How = "product" if len(operands) > 1 else "part"
            draft = Symbol("", (), "temporary", of=operands, how=how, layer=symbol.layer)
        part = self.builder.apply(draft, op, operands, rule=rule, through=through)
        self._receive(symbol, Variable(part.name), through)

    def _pass(
        self, symbol: Symbol, term: Expression, target: Symbol, through: tuple[Symbol, ...], over: Reduce | None = None
    ) -> None:
        """Adds the term to d(symbol), summed over the axes on which the symbol repeats in the equation."""
        builder = self.builder
        full = target.shape
        if over is not None:
            full = shape_of(over.expression, builder.scope)
        if symbol.shape == full or is_zero(term):
            self._receive(symbol, term, through)
            return
        shape = shape_of(term, builder.scope)
        if symbol.role == "parameter" and full[:1] == (BATCH,) and shape[:1] != (BATCH,):
            # the same for every sample, and all the same each sample's own part
            shape = (BATCH, *(shape[-1:] or (1,)))
            draft = symbol.said("part", "gradient")
            part = builder.write(draft, term, rule="slope", through=through, shape=shape)
            term = Variable(part.name)
        own = (1,) * (len(full) - len(shape)) + shape
        wide = (1,) * (len(full) - len(symbol.shape)) + symbol.shape
        axes = []
        for axis, (mine, its, size) in enumerate(zip(own, wide, full, strict=True)):
            if its == 1 and size != 1:
                if mine == 1:
                    term = builder.size(size) * term  # the same number on the whole axis
                else:
                    axes.append(axis)
        if not axes and len(shape) > len(symbol.shape):
            axes.append(0)  # an axis of one element, which the symbol does not have
        if axes:
            over_all = symbol.shape == () or len(axes) > 1 or (len(symbol.shape) == 1 and own[-1] != symbol.shape[0])
            kind: Over = "all" if over_all or len(shape) < 2 else "rows" if axes == [0] else "columns"
            op = Reduce("sum", kind, term)
            whole = op.shape(operands_of(term, builder.scope)) == symbol.shape
            single = self.users.get(symbol.name) == 1 and whole
            draft = symbol.said("gradient" if whole else "gradient sum", "gradient" if single else "inner")
            part = builder.reduce(draft, op, rule="sum over what repeats", through=through)
            term = Variable(part.name)
        self._receive(symbol, term, through)

    # --- adding up ---------------------------------------------------------------------------------------------

    def _receive(self, symbol: Symbol, term: Expression, through: tuple[Symbol, ...]) -> None:
        self.terms.setdefault(symbol.name, []).append(term)
        self.origins.setdefault(symbol.name, []).extend(through)
        given = symbol.role in ("parameter", "input")
        if given and len(self.terms[symbol.name]) == self.users.get(symbol.name):
            self._settle(symbol)

    def _total(self, name: str) -> Expression:
        return sum_of(self.terms.get(name, [])[::-1])

    def _settle(self, symbol: Symbol) -> Variable:
        """d(symbol) as a symbol of its own."""
        slope = self._total(symbol.name)
        if isinstance(slope, Variable):
            gradient = self.builder.scope[slope.name]
            own = gradient.role == "gradient" and gradient.is_gradient_of(symbol)
            if own and gradient.shape == symbol.shape:
                self.gradients[symbol.name] = gradient
                return slope
        origins = list(dict.fromkeys(reversed(self.origins.get(symbol.name, []))))
        rule = "sum of the parts" if len(origins) > 1 else "slope"
        gradient = self.builder.write(symbol.gradient, slope, rule=rule, through=tuple(origins), shape=symbol.shape)
        self.gradients[symbol.name] = gradient
        self.terms[symbol.name] = [Variable(gradient.name)]
        return Variable(gradient.name)


def ties(builder: Builder, equation: Equation, op: ReduceGroups, back: Repeat, of: Symbol) -> tuple[Symbol, Symbol]:
    """Of a maximum over groups: 1 where the largest is, and how many are equal; of: what these are called after."""
    (origin,), target = equation.operands, equation.target
    again = builder.apply(of.said("wide"), back, (target,), rule="ties", through=(target,))
    is_largest = apply("eq", Variable(origin.name), Variable(again.name))
    largest = builder.write(of.said("largest"), is_largest, rule="ties", through=(target,))
    counted = dataclasses.replace(op, kind="sum")
    return largest, builder.apply(of.said("count"), counted, (largest,), rule="ties", through=(target,))


def _parameters_first(
    ways: list[tuple[Symbol, Expression | None]],
) -> list[tuple[Symbol, Expression | None]]:
    """dW before dA."""
    return sorted(ways, key=lambda way: way[0].role != "parameter")
