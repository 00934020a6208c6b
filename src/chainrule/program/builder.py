"""Builder: equations as they are written down, and formulas over arrays lowered to equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import NamedTuple

from chainrule.errors import FormulaError
from chainrule.program.equation import Equation, operands_of, shape_of
from chainrule.program.op import AtRows, Elementwise, Gather, GroupedMatMul, MatMul, Op, Reduce, ReduceGroups, Repeat
from chainrule.program.parse import source
from chainrule.program.scalar import (
    ONE,
    Apply,
    Constant,
    Expression,
    Product,
    Reduction,
    Transposed,
    Variable,
    apply,
)
from chainrule.program.symbol import BATCH, GIVEN, Shape, Symbol, shape_text
from chainrule.program.walk import occurrences, replace, variables, walk

Partials = tuple[tuple[Symbol, Expression], ...]
"""∂T/∂S for each operand S of a named rule: expressions over symbols that exist when T does."""


class Fill(NamedTuple):
    """A first value that every element has."""

    value: float
    """The number."""


class Values(NamedTuple):
    """First values that are given, row after row."""

    numbers: tuple[float, ...]
    """As many as there are elements."""


class InGroups(NamedTuple):
    """Matrices below each other, each with first values of its own."""

    each: Initial
    """How each is drawn."""
    groups: int
    """How many there are."""


Initial = str | float | Fill | Values | InGroups
"""The name of an initialiser, s for N(0, s²), the same number everywhere, the numbers themselves, or matrices that are
drawn one by one."""
SIZE = Symbol(BATCH, (), "size")
"""m, the batch's size."""
_CHEAP = frozenset({"add", "sub", "neg", "mul", "abs", "sign", "stop", "where", "maximum", "minimum"})


@dataclass
class Builder:
    """The derivation in the making.

    A symbol is handed over as a draft: what it is, without its shape, which the equation gives it, and without a copy
    number, which it gets where its name is taken.
    """

    given: list[Symbol] = field(default_factory=list)
    """What comes from outside."""
    equations: list[Equation] = field(default_factory=list)
    """What was written down so far, in order."""
    scope: dict[str, Symbol] = field(default_factory=dict)
    """Every symbol by name."""
    partials: dict[str, Partials] = field(default_factory=dict)
    """By target, its partial derivatives where a named rule replaces `differentiate`: the slope of a sigmoid in terms
    of its own value, a canonical pair."""
    sparse: dict[str, tuple[Symbol, Gather]] = field(default_factory=dict)
    """By parameter, the tokens and the lookup that name the rows that an update is for; none of it for all rows."""
    zero_rows: dict[str, int] = field(default_factory=dict)
    """By parameter, the row that is 0 at first, and stays so as nothing reads it."""
    statistics: list[tuple[Symbol, Expression]] = field(default_factory=list)
    """Running values and what overwrites them."""
    initials: dict[str, Initial] = field(default_factory=dict)
    """The first value of each parameter and statistic, in the order in which they were declared."""
    activations: list[tuple[Symbol, Symbol]] = field(default_factory=list)
    """(A, Z) of each activation A = g(Z); (Z, Z) where it is the identity and Z itself goes on."""
    in_groups: list[tuple[Symbol, Symbol]] = field(default_factory=list)
    """(A, Z) of each activation that is taken over the features of a group, group by group."""
    parts: int = 0
    """Of products with values of the samples (see `precision.py`)."""
    layer: int | None = None
    """The place of the layer whose equations are being written."""
    _reserved: set[str] = field(default_factory=set, repr=False)
    """Names that another derivation of the same network writes, and this one does not."""
    _copies: dict[str, int] = field(default_factory=dict, repr=False)
    """By a name that is taken, the copy number to try next."""
    _targets: dict[Op, list[Symbol]] = field(default_factory=dict, repr=False)
    """What the first `_looked_through` equations define, by their operations."""
    _looked_through: int = field(default=0, repr=False)

    def give(self, symbol: Symbol) -> Symbol:
        """A symbol that comes from outside; the same one when asked for again."""
        name = symbol.name
        if name not in self.scope:
            self.scope[name] = symbol
            self.given.append(symbol)
        assert self.scope[name] == symbol, f"{name} is given in two ways"
        return symbol

    def parameter(self, draft: Symbol, shape: Shape, initial: Initial = "zeros") -> Symbol:
        """A parameter of the network: trained; `initial` is its first value (see `describe.initialisers`)."""
        symbol = self.give(self._unlike_inner(changed(draft, shape=shape, role="parameter")))
        self.initials[symbol.name] = initial
        return symbol

    def statistic(self, draft: Symbol, shape: Shape, initial: Initial = "zeros") -> Symbol:
        """A running value, kept beside the parameters and not trained."""
        symbol = self.give(self._unlike_inner(changed(draft, shape=shape, role="statistic")))
        self.initials[symbol.name] = initial
        return symbol

    def _unlike_inner(self, symbol: Symbol) -> Symbol:
        """The symbol, with a copy number where its name is that of a value: of a softmax beside an embedding, say."""
        there = self.scope.get(symbol.name)
        return symbol if there is None or there.role in GIVEN else self.fresh(symbol, symbol.shape)

    def fresh(self, draft: Symbol, shape: Shape) -> Symbol:
        """The draft in that shape, with copy number 2, 3, ... where its name is taken."""
        symbol = changed(draft, shape=shape)
        first = symbol.name
        if first in self.scope or first in self._reserved:
            symbol = changed(symbol, copy=self._copies.get(first, symbol.copy + 1))
            while symbol.name in self.scope:
                symbol = changed(symbol, copy=symbol.copy + 1)
            self._copies[first] = symbol.copy + 1  # names are never free again
        return symbol

    def reserve(self, *drafts: Symbol) -> None:
        """Takes names that are written in training alone, say, so that parameters are called the same without them."""
        self._reserved.update(draft.name for draft in drafts)

    def existing(self, op: Op, shape: Shape | None = None) -> Symbol | None:
        """The first target of an equation with that operation, of that shape if one is given."""
        for equation in self.equations[self._looked_through :]:
            self._targets.setdefault(equation.op, []).append(equation.target)
        self._looked_through = len(self.equations)
        return next((s for s in self._targets.get(op, ()) if shape is None or s.shape == shape), None)

    def groups_of(self, parameter: Symbol) -> int:
        """How many matrices, each with units of its own, stand below each other in a parameter."""
        products = (e for e in self.equations if isinstance(e.op, GroupedMatMul) and e.operands[1] == parameter)
        return max((e.op.groups for e in products if isinstance(e.op, GroupedMatMul) and not e.op.shared), default=1)

    def add(self, equation: Equation) -> Symbol:
        """Writes the equation down and returns its target."""
        self.equations.append(equation)
        self.scope.setdefault(equation.target.name, equation.target)
        return equation.target

    def apply(
        self, draft: Symbol, op: Op, operands: tuple[Symbol, ...], *, rule: str, through: tuple[Symbol, ...] = ()
    ) -> Symbol:
        """draft = op(operands), its shape by the operation's own rule."""
        if self.parts and isinstance(op, MatMul | GroupedMatMul) and any(s.batched for s in operands):
            op = changed(op, parts=self.parts)
        shape = op.shape(operands)
        assert shape is not None, f"{op} does not take {operands}"
        return self.add(Equation(self.fresh(draft, shape), op, operands, rule, through, self.layer))

    def write(
        self,
        draft: Symbol,
        expression: Expression,
        *,
        rule: str,
        through: tuple[Symbol, ...] = (),
        shape: Shape | None = None,
    ) -> Symbol:
        """draft = expression, element by element (of its operands' common shape, or repeated to the given one)."""
        target = self.fresh(draft, shape_of(expression, self.scope) if shape is None else shape)
        op, operands = Elementwise(expression), operands_of(expression, self.scope)
        return self.add(Equation(target, op, operands, rule, through, self.layer))

    def reduce(self, draft: Symbol, op: Reduce, *, rule: str, through: tuple[Symbol, ...] = ()) -> Symbol:
        """draft = Σ or max of an expression."""
        operands = operands_of(op.expression, self.scope)
        shape = op.shape(operands)
        assert shape is not None, f"{op} does not fit"
        return self.add(Equation(self.fresh(draft, shape), op, operands, rule, through, self.layer))

    def overwrite(
        self,
        stored: Symbol,
        value: Expression,
        *,
        rule: str,
        tokens: Symbol | None = None,
        lookup: Gather | None = None,
    ) -> None:
        """stored := value, in the update; with tokens, in the rows that they name in such a lookup."""
        op: Op = Elementwise(value)
        operands = operands_of(value, self.scope)
        if tokens is not None and lookup is not None:
            op = AtRows(value, column=lookup.column, starts=lookup.starts, padding=lookup.padding)
            operands = (stored, tokens, *(s for s in operands if s != stored))
        self.equations.append(Equation(stored, op, operands, rule, (), self.layer))

    def activate(
        self,
        formula: Expression,
        slope: Expression | None,
        z: Symbol,
        draft: Symbol,
        *,
        rule: str,
        groups: int = 1,
        parameters: Mapping[str, Symbol] | None = None,
    ) -> Symbol:
        """A = g(Z), element by element or over each row where the formula in z reduces; slope: g' in a and z.

        Inner symbols bear the draft's layer and mark.  groups: those of Z, over each of which the formula reduces.
        parameters: of the formula, which then has no slope of its own.
        """
        rest = self.lower(
            formula, {"z": z, **(parameters or {})}, draft, rule=rule, over_columns_only=True, groups=groups
        )
        a = self.write(draft, rest, rule=rule, shape=z.shape)
        if slope is not None:
            bound = replace(slope, {Variable("a"): Variable(a.name), Variable("z"): Variable(z.name)})
            self.partials[a.name] = ((z, bound),)
        in_groups = groups > 1 and any(isinstance(e, Reduction) for e in walk(formula))
        (self.in_groups if in_groups else self.activations).append((a, z))
        return a

    # --- formulas with reductions ------------------------------------------------------------------------------

    def lower(
        self,
        formula: Expression,
        bind: Mapping[str, Symbol],
        beside: Symbol,
        *,
        rule: str,
        over_columns_only: bool = False,
        groups: int = 1,
    ) -> Expression:
        """Writes equations for the formula's reductions and products; returns what remains, a scalar expression.

        bind: the formula's variables.  beside: inner symbols bear its layer and mark (`sum2`).  over_columns_only: the
        formula is of one sample, so "all" means its columns.  A costly part that several equations share gets its own
        symbol (the exponentials of a softmax).  groups: so many groups of columns stand side by side, and the formula
        is of one of them; what is reduced over a group stands in each column of it.  Raises FormulaError: rows are
        reduced in a formula of one sample, or shapes do not fit.
        """
        expression = replace(formula, {Variable(k): Variable(s.name) for k, s in bind.items()})
        shared = _shared(expression)

        def lower_one(e: Expression) -> Expression:
            if isinstance(e, Reduction):
                over = e.over
                if over_columns_only:
                    if over == "rows":
                        raise FormulaError(f"A formula of one sample cannot reduce over rows ({rule}): use Cost(...).")
                    over = "columns"
                inner = lowered(e.argument)
                shape = shape_of(inner, self.scope)
                if groups > 1 and len(shape) == 2:
                    return self._over_groups(e, inner, groups, beside, rule)
                if e.kind == "sum" and not variables(inner):
                    raise FormulaError(f"A sum needs something to run over. Got the constant {source(inner)} ({rule}).")
                if shape == () or (len(shape) == 1 and over == "rows"):
                    return inner  # a scalar is its own sum, mean and maximum, and so is a row in itself
                if len(shape) == 1:
                    over = "all"
                if e.kind == "mean":
                    total = self._reduced(Reduce("sum", over, inner), beside, rule)
                    return Variable(total.name) / self._count(shape, over)
                return Variable(self._reduced(Reduce(e.kind, over, inner), beside, rule).name)
            if isinstance(e, Product):
                return Variable(self._product(e, lowered, beside, rule).name)
            if isinstance(e, Transposed):
                raise FormulaError(f"A transpose (.T) is a side of a product. Got {source(e)} by itself ({rule}).")
            if not isinstance(e, Apply):
                return e
            result = apply(e.function, *(lowered(a) for a in e.arguments))
            if isinstance(result, Apply):  # what is there already is not computed again
                there = self.existing(Elementwise(result), shape_of(result, self.scope))
                if there is not None:
                    return Variable(there.name)
            return Variable(self.write(_inner("E", beside), result, rule=rule).name) if e in shared else result

        results: dict[Expression, Expression] = {}

        def lowered(e: Expression) -> Expression:
            if e not in results:
                results[e] = lower_one(e)
            return results[e]

        return lowered(expression)

    def _product(self, e: Product, lowered: Callable[[Expression], Expression], beside: Symbol, rule: str) -> Symbol:
        """T = L R for the two sides, of which each is written down before where it is no symbol."""
        sides: list[Symbol] = []
        for side in (e.left, e.right):
            value = lowered(side.argument if isinstance(side, Transposed) else side)
            if not isinstance(value, Variable):
                value = Variable(self.write(_inner("E", beside), value, rule=rule).name)
            sides.append(self.scope[value.name])
        left, right = sides
        op = MatMul(isinstance(e.left, Transposed), isinstance(e.right, Transposed))
        if op.shape((left, right)) is None:
            shapes = " @ ".join(
                shape_text(s.shape[::-1] if turned else s.shape)
                for s, turned in ((left, op.transpose_left), (right, op.transpose_right))
            )
            raise FormulaError(f"In a product, the columns of the first are the rows of the second. Got {shapes}.")
        draft = Symbol("P", (), "temporary", layer=beside.layer)
        return self.apply(draft, op, (left, right), rule=rule)

    def _reduced(self, op: Reduce, beside: Symbol, rule: str) -> Symbol:
        there = self.existing(op)
        return self.reduce(_inner(op.kind, beside), op, rule=rule) if there is None else there

    def _over_groups(self, e: Reduction, inner: Expression, groups: int, beside: Symbol, rule: str) -> Expression:
        """Σ, mean or max over the columns of each group, in each of these columns."""
        if isinstance(inner, Variable):
            value = self.scope[inner.name]
        else:
            value = self.existing(Elementwise(inner)) or self.write(_inner("E", beside), inner, rule=rule)
        width = int(value.shape[1]) // groups
        kind = "max" if e.kind == "max" else "sum"
        each = self._once(_inner(kind, beside), ReduceGroups(kind, groups, within=True), value, rule)
        wide = self._once(_inner(kind, beside), Repeat(width, within=True), each, rule)
        return Variable(wide.name) / width if e.kind == "mean" else Variable(wide.name)

    def _once(self, draft: Symbol, op: Op, operand: Symbol, rule: str) -> Symbol:
        """What the operation makes of the operand, if it is there already; else it is written down."""
        there = (e.target for e in self.equations if e.op == op and e.operands == (operand,))
        return next(there, None) or self.apply(draft, op, (operand,), rule=rule)

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
            return Variable(self.give(SIZE).name)
        return Constant(float(dimension))


def _inner(letter: str, beside: Symbol) -> Symbol:
    return Symbol(letter, (), "inner", layer=beside.layer, mark=beside.mark)


def _shared(expression: Expression) -> set[Expression]:
    """Arguments of reductions that are costly and appear outside of their reduction as well."""
    counts = occurrences(expression)
    reduced = {e.argument for e in counts if isinstance(e, Reduction)}
    return {a for a in reduced if counts[a] > 1 and any(_costly(x) for x in walk(a))}


def _costly(e: Expression) -> bool:
    return isinstance(e, Apply) and e.function not in _CHEAP
