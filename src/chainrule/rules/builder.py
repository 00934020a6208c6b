"""Builder: equations as they are written down, and formulas over arrays lowered to equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chainrule.errors import FormulaError
from chainrule.program.equation import Equation, elementwise, operands_of, reduction, shape_of
from chainrule.program.op import Elementwise, Op, Reduce
from chainrule.program.parse import source
from chainrule.program.scalar import (
    ONE,
    Apply,
    Constant,
    Expression,
    Reduction,
    Variable,
    children,
    replace,
    variables,
    walk,
)
from chainrule.program.symbol import BATCH, Role, Shape, Symbol

Partials = tuple[tuple[Symbol, Expression], ...]
"""∂T/∂S for each operand S of a named rule: expressions over symbols that exist when T does."""

_CHEAP = frozenset({"add", "sub", "neg", "mul", "abs", "sign", "stop", "where", "maximum", "minimum"})


@dataclass
class Builder:
    """The derivation in the making: what is given, the equations so far, and the named rules for their derivatives.

    partials: target name -> its partial derivatives, where a named rule replaces `differentiate` (the slope of a
    sigmoid in terms of its own value; a canonical pair).  statistics: running values and their updates.
    """

    given: list[Symbol] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    scope: dict[str, Symbol] = field(default_factory=dict)
    partials: dict[str, Partials] = field(default_factory=dict)
    statistics: list[tuple[Symbol, Expression]] = field(default_factory=list)

    def give(self, name: str, shape: Shape, role: Role, *, integers: bool = False) -> Symbol:
        """A symbol that comes from outside; the same one when asked for again."""
        symbol = Symbol(name, shape, role, integers)
        if name not in self.scope:
            self.scope[name] = symbol
            self.given.append(symbol)
        assert self.scope[name] == symbol, f"{name} is given in two ways"
        return symbol

    def fresh(self, name: str) -> str:
        """The name, or with _2, _3, ... when it is taken."""
        candidate, count = name, 1
        while candidate in self.scope:
            count += 1
            candidate = f"{name}_{count}"
        return candidate

    def add(self, equation: Equation) -> Symbol:
        """Writes the equation down and returns its target."""
        self.equations.append(equation)
        self.scope.setdefault(equation.target.name, equation.target)
        return equation.target

    def apply(
        self, name: str, op: Op, operands: tuple[Symbol, ...], role: Role = "value", *, rule: str, through: str = ""
    ) -> Symbol:
        """name = op(operands), its shape by the operation's own rule."""
        shape = op.shape(operands)
        assert shape is not None, f"{op} does not take {operands}"
        return self.add(Equation(Symbol(self.fresh(name), shape, role), op, operands, rule, through))

    def write(
        self,
        name: str,
        expression: Expression,
        role: Role = "value",
        *,
        rule: str,
        through: str = "",
        shape: Shape | None = None,
    ) -> Symbol:
        """name = expression, element by element (of its operands' common shape, or repeated to the given one)."""
        own = shape_of(expression, self.scope)
        target = Symbol(self.fresh(name), own if shape is None else shape, role)
        return self.add(elementwise(target, expression, self.scope, rule, through))

    def reduce(self, name: str, op: Reduce, role: Role = "inner", *, rule: str, through: str = "") -> Symbol:
        """name = Σ or max of an expression."""
        shape = op.shape(operands_of(op.expression, self.scope))
        assert shape is not None, f"{op} does not fit"
        return self.add(reduction(Symbol(self.fresh(name), shape, role), op, self.scope, rule, through))

    # --- formulas with reductions ------------------------------------------------------------------------------

    def lower(
        self, formula: Expression, bind: Mapping[str, Symbol], label: str, *, rule: str, over_columns_only: bool = False
    ) -> Expression:
        """Writes equations for the formula's reductions; returns what remains, a scalar expression over symbols.

        bind: the formula's variables.  label: ends the names of inner symbols (`sum2`).  over_columns_only: the formula
        is of one sample, so "all" means its columns.  A costly part that several equations share gets its own symbol
        (the exponentials of a softmax).  Raises FormulaError: rows are reduced where the formula is of one sample.
        """
        expression = replace(formula, {Variable(k): Variable(s.name) for k, s in bind.items()})
        shared = _shared(expression)

        def lowered(e: Expression) -> Expression:
            if isinstance(e, Reduction):
                over = e.over
                if over_columns_only:
                    if over == "rows":
                        raise FormulaError(f"A formula of one sample cannot reduce over rows ({rule}): use Cost(...).")
                    over = "columns"
                inner = lowered(e.argument)
                shape = shape_of(inner, self.scope)
                if e.kind == "sum" and not variables(inner):
                    raise FormulaError(f"A sum needs something to run over. Got the constant {source(inner)} ({rule}).")
                if shape == () or (len(shape) == 1 and over == "rows"):
                    return inner  # a scalar is its own sum, mean and maximum, and so is a row in itself
                if len(shape) == 1:
                    over = "all"
                if e.kind == "mean":
                    total = self._reduced(Reduce("sum", over, inner), label, rule)
                    return Variable(total.name) / self._count(shape, over)
                return Variable(self._reduced(Reduce(e.kind, over, inner), label, rule).name)
            result = _rebuild(e, tuple(lowered(c) for c in children(e)))
            for equation in self.equations:  # what is there already is not computed again
                same = isinstance(result, Apply) and equation.op == Elementwise(result)
                if same and equation.target.shape == shape_of(result, self.scope):
                    return Variable(equation.target.name)
            return Variable(self.write(f"E{label}", result, "inner", rule=rule).name) if e in shared else result

        return lowered(expression)

    def _reduced(self, op: Reduce, label: str, rule: str) -> Symbol:
        for equation in self.equations:
            if equation.op == op:
                return equation.target
        return self.reduce(f"{op.kind}{label}", op, rule=rule)

    def _count(self, shape: Shape, over: str) -> Expression:
        """The number of elements that a mean is over."""
        axes = shape if over == "all" else shape[:1] if over == "rows" else shape[1:]
        count: Expression = ONE
        for dimension in axes:
            count = count * self.size(dimension)
        return count

    def size(self, dimension: int | str) -> Expression:
        """A dimension as a number: m is given, others are constants."""
        if dimension == BATCH:
            return Variable(self.give(BATCH, (), "size").name)
        return Constant(float(dimension))


def _rebuild(e: Expression, parts: tuple[Expression, ...]) -> Expression:
    return replace(e, dict(zip(children(e), parts, strict=True))) if isinstance(e, Apply) else e


def _shared(expression: Expression) -> set[Expression]:
    """Arguments of reductions that are costly and appear outside of their reduction as well."""
    arguments = {
        e.argument
        for e in walk(expression)
        if isinstance(e, Reduction) and any(isinstance(x, Apply) and x.function not in _CHEAP for x in walk(e.argument))
    }
    return {a for a in arguments if sum(x == a for x in walk(expression)) > 1}
