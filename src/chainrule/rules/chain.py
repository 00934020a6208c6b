"""The chain rule over equations: from the forward equations to the backward ones.

Equations are walked from the last to the first.  dT, the gradient of the cost by T, is the sum of what each equation
that uses T contributes:

    T = L R              dL = dT Rᵀ,  dR = Lᵀ dT
    T = e(a, b, ...)     da = dT ∂e/∂a, summed over the axes on which a repeats (a bias: over the rows)
    T = Σ e(a, ...)      da = dT ∂e/∂a
    T = max e(a, ...)    da = dT ∂e/∂a where e is the largest, shared evenly among equals
    T = rows of E at X   dE = dT added into rows X

A gradient becomes an equation of its own where a textbook names it (dZ, dA, dW, ...) or an operation needs it; in
between, expressions are composed and simplified.
"""

from __future__ import annotations

from chainrule.program.equation import Equation, operands_of, shape_of
from chainrule.program.op import Elementwise, Gather, MatMul, Reduce, ScatterAdd
from chainrule.program.scalar import (
    ONE,
    ZERO,
    Apply,
    Constant,
    Expression,
    Over,
    Variable,
    apply,
    differentiate,
    replace,
    walk,
    where,
)
from chainrule.program.symbol import Symbol
from chainrule.rules.builder import Builder

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
        self.origins: dict[str, list[str]] = {}
        self.gradients: dict[str, Symbol] = {}
        active = {s.name for s in wanted}
        for equation in self.equations:
            if any(s.name in active for s, _ in self._ways(equation)):
                active.add(equation.target.name)
        self.active = active
        self.users: dict[str, int] = {}
        live = {cost.name}
        for equation in reversed(self.equations):
            if equation.target.name in live and equation.target.name in active:
                for symbol in {s.name for s, _ in self._ways(equation)} & active:
                    live.add(symbol)
                    self.users[symbol] = self.users.get(symbol, 0) + 1

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
        """The operands that a gradient flows to, with ∂T/∂S where a named rule states it."""
        if equation.target.name in self.builder.partials:
            return list(self.builder.partials[equation.target.name])
        return [(s, None) for s in dict.fromkeys(equation.operands) if not s.integers]

    def _through(self, equation: Equation) -> None:
        target, op, through = equation.target, equation.op, str(equation)
        ways = [(s, partial) for s, partial in self._ways(equation) if s.name in self.active]
        slope = self._total(target.name)
        needs_symbol = isinstance(op, MatMul | Gather)
        several = len(ways) > 1 and sum(1 for _ in walk(slope)) > _SMALL
        if not (needs_symbol and isinstance(slope, Variable)) and (target.role == "value" or needs_symbol or several):
            slope = self._settle(target)
        if isinstance(op, Reduce) and op.kind == "max" and ways and slope != ZERO:
            largest = apply("eq", op.expression, Variable(target.name))
            equals = self.builder.reduce(f"n_{target}", Reduce("sum", op.over, largest), rule="ties", through=through)
            slope = slope * where(largest, ONE, ZERO) / Variable(equals.name)
        for symbol, partial in sorted(ways, key=lambda way: way[0].role != "parameter"):  # dW before dA
            if partial is not None:
                self._pass(symbol, slope * partial, target, through)
            elif isinstance(op, Elementwise):
                known: dict[Expression, Expression] = {}
                if isinstance(op.expression, Apply):
                    known[op.expression] = Variable(target.name)
                self._pass(symbol, slope * replace(differentiate(op.expression, symbol.name), known), target, through)
            elif isinstance(op, Reduce):
                self._pass(symbol, slope * differentiate(op.expression, symbol.name), target, through, over=op)
            elif isinstance(op, MatMul):
                assert isinstance(slope, Variable)
                self._product(equation, symbol, self.builder.scope[slope.name], through)
            elif isinstance(op, Gather):
                assert isinstance(slope, Variable)
                rows = symbol.shape[0]
                assert isinstance(rows, int)
                made = self._apply(
                    symbol, ScatterAdd(rows), (self.builder.scope[slope.name], equation.operands[1]), through
                )
                self._receive(symbol, Variable(made.name), through)

    def _product(self, equation: Equation, symbol: Symbol, slope: Symbol, through: str) -> None:
        left, right = equation.operands
        if symbol == right:
            made = self._apply(symbol, MatMul(transpose_left=True), (left, slope), through)
        else:
            made = self._apply(symbol, MatMul(transpose_right=True), (slope, right), through)
        self._receive(symbol, Variable(made.name), through)

    def _apply(self, symbol: Symbol, op: MatMul | ScatterAdd, operands: tuple[Symbol, ...], through: str) -> Symbol:
        rule = "product rule" if isinstance(op, MatMul) else "lookup rule"
        if self.users.get(symbol.name) == 1:
            return self.builder.apply(f"d{symbol.name}", op, operands, "gradient", rule=rule, through=through)
        name = "".join(o.name for o in operands)
        return self.builder.apply(name, op, operands, "temporary", rule=rule, through=through)

    def _pass(self, symbol: Symbol, term: Expression, target: Symbol, through: str, over: Reduce | None = None) -> None:
        """Adds the term to d(symbol), summed over the axes on which the symbol repeats in the equation."""
        builder = self.builder
        full = target.shape
        if over is not None:
            full = shape_of(over.expression, builder.scope)
        if symbol.shape == full or term == ZERO:
            self._receive(symbol, term, through)
            return
        shape = shape_of(term, builder.scope)
        own = (1,) * (len(full) - len(shape)) + shape
        wide = (1,) * (len(full) - len(symbol.shape)) + symbol.shape
        axes = []
        for axis, (mine, its, size) in enumerate(zip(own, wide, full, strict=True)):
            if its == 1 and size != 1:
                if mine == 1:
                    term = builder.size(size) * term  # the same number on the whole axis
                else:
                    axes.append(axis)
        if axes:
            over_all = symbol.shape == () or (len(symbol.shape) == 1 and own[-1] != symbol.shape[0])
            kind: Over = "all" if over_all or len(shape) < 2 else "rows" if axes == [0] else "columns"
            op = Reduce("sum", kind, term)
            whole = op.shape(operands_of(term, builder.scope)) == symbol.shape
            single = self.users.get(symbol.name) == 1 and whole
            made = builder.reduce(
                f"d{symbol.name}" if whole else f"sum_d{symbol.name}",
                op,
                "gradient" if single else "inner",
                rule="sum over what repeats",
                through=through,
            )
            term = Variable(made.name)
        self._receive(symbol, term, through)

    # --- adding up ---------------------------------------------------------------------------------------------

    def _receive(self, symbol: Symbol, term: Expression, through: str) -> None:
        self.terms.setdefault(symbol.name, []).append(term)
        self.origins.setdefault(symbol.name, []).append(through)
        given = symbol.role in ("parameter", "input")
        if given and len(self.terms[symbol.name]) == self.users.get(symbol.name):
            self._settle(symbol)

    def _total(self, name: str) -> Expression:
        total: Expression = ZERO
        for term in reversed(self.terms.get(name, [])):
            total = total + term
        return total

    def _settle(self, symbol: Symbol) -> Variable:
        """d(symbol) as a symbol of its own."""
        total = self._total(symbol.name)
        if isinstance(total, Variable) and self.builder.scope[total.name].shape == symbol.shape:
            made = self.builder.scope[total.name]
            if made.role == "gradient" and made.name == f"d{symbol.name}":
                self.gradients[symbol.name] = made
                return total
        origins = list(dict.fromkeys(reversed(self.origins.get(symbol.name, []))))
        rule = "sum of the parts" if len(origins) > 1 else "slope"
        through = "\n".join(origins)
        made = self.builder.write(f"d{symbol.name}", total, "gradient", rule=rule, through=through, shape=symbol.shape)
        self.gradients[symbol.name] = made
        self.terms[symbol.name] = [Variable(made.name)]
        return Variable(made.name)
