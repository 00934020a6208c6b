"""The steps of a gradient, as data: from the chain rule's factors to the line of the program.

    step ::= left = right, why
    side ::= Value(symbol) | Chain(∂J/∂A, ∂A/∂Z, ...) | Slope(∂A/∂Z, e) | Multiplied(∂Z/∂W, A) | Line(equation)
           | Substituted(expression) | Through(expression, ∂A/∂Z)

Nothing is written for a kind of layer: the chain is the way of a symbol to J through the forward equations, a factor's
value the derivative of its equation, a line the program's own.  Where a factor cannot be broken down (a normalisation,
a lookup), its line and the rule that wrote it stand alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from chainrule.describe.canonical import canonical_pairs
from chainrule.errors import SpecError, unknown_name
from chainrule.program.builder import Builder
from chainrule.program.derivative import differentiate
from chainrule.program.equation import Equation, Program
from chainrule.program.op import Elementwise, MatMul, OneHot, Reduce
from chainrule.program.scalar import Apply, Constant, Expression, Variable, multiply
from chainrule.program.symbol import Symbol
from chainrule.program.walk import replace as exchange
from chainrule.program.walk import variables
from chainrule.rules.chain import backward

_NORMS = ("norm1", "norm2")
"""What the penalties make of a weight."""


@dataclass(frozen=True)
class Factor:
    """∂of/∂by, an entry for each element of the one by each of the other: directly, through nothing with a name of its
    own; of J, through everything."""

    of: Symbol
    """What is differentiated."""
    by: Symbol
    """By what."""


@dataclass(frozen=True)
class Value:
    """A symbol's value."""

    symbol: Symbol
    """Whose."""


@dataclass(frozen=True)
class Chain:
    """A product of factors, as the chain rule has it; several of them are added up."""

    ways: tuple[tuple[Factor, ...], ...]
    """A product for each way to J, from J on."""


@dataclass(frozen=True)
class Slope:
    """∂T/∂S of T = e(S, ...), element by element: δ ∂e/∂S."""

    factor: Factor
    """∂T/∂S"""
    expression: Expression
    """∂e/∂S"""


@dataclass(frozen=True)
class Multiplied:
    """∂T/∂S of a product T = L R: the other side, and a δ."""

    factor: Factor
    """∂T/∂S"""
    product: Equation
    """L R"""

    @property
    def left(self) -> bool:
        """Whether S is L."""
        return self.product.operands[0] == self.factor.by

    @property
    def other(self) -> Symbol:
        """The side that S is not."""
        return self.product.operands[1 if self.left else 0]


@dataclass(frozen=True)
class Jacobian:
    """∂A/∂Z of an activation whose elements depend on the whole sample."""

    factor: Factor
    """∂A/∂Z"""


@dataclass(frozen=True)
class Line:
    """The right side of an equation of the program, or of its long form."""

    equation: Equation
    """Whose right side is meant."""
    long: bool = False
    """Whether it is of the long form, without the short forms of known pairs."""


@dataclass(frozen=True)
class Substituted:
    """An expression in which what was found before stands instead of its name."""

    expression: Expression
    """Over symbols of the program."""


@dataclass(frozen=True)
class Through:
    """Σ_p e_p ∂a_p/∂z_j: a gradient, written out, through a Jacobian."""

    expression: Expression
    """The gradient by A, written out."""
    factor: Factor
    """∂A/∂Z"""


Side = Value | Chain | Slope | Multiplied | Jacobian | Line | Substituted | Through


@dataclass(frozen=True)
class Step:
    """left = right, and why."""

    left: Side
    """What was reached before, or is looked at."""
    right: Side
    """What it is equal to."""
    why: str
    """The rule, in words: a format whose {0}, {1}, ... are the symbols that it speaks of."""
    about: tuple[Symbol, ...] = ()
    """Those symbols."""
    rule: str = ""
    """The rule that wrote the line, if one did."""


@dataclass(frozen=True)
class Steps:
    """How one gradient comes about."""

    program: Program
    """Whose gradient it is."""
    long: Program
    """The same without the short forms of known pairs."""
    gradient: Symbol
    """The gradient."""
    steps: tuple[Step, ...]
    """In order; the last one's right side is the program's own line."""


def steps(program: Program, name: str) -> Steps:
    """The steps of the gradient of that name, dW1 or dZ1 say.  Raises SpecError with the gradients that there are."""
    if not program.gradients or program.objective is None:
        raise SpecError("The program has no gradients; derive one with a loss.")
    symbols = program.symbols
    pairs = {g.name: (s, g) for s, g in program.gradients}
    pairs |= {g.name: (symbols[s], g) for s, g in program.gradient_of.items() if s in symbols}
    if name not in pairs:
        raise SpecError(unknown_name("gradient", str(name), tuple(pairs)))
    of, gradient = pairs[name]
    return _Writer(program, of, gradient).run()


def has_a_name(symbol: Symbol) -> bool:
    """Whether a chain goes through it: texts name it, and what is between such is passed over."""
    return symbol.role in ("value", "cost") or symbol.how in _NORMS


def long_form(program: Program) -> Program:
    """The program with each loss as texts write it and no short form of a known pair: dA before dZ of the last layer.

    The program itself where no pair is used.
    """
    written = {p.name: p.written for p in canonical_pairs().values() if p.written is not None}
    used = [e for e in program.cost if e.rule in written and e.target.role == "loss"]
    if len({e.target.name for e in program.cost if e.target.role == "loss" and e.target.batched}) != len(used):
        return program
    if len(used) != 1 or program.objective is None or not program.activations:
        return program
    made_by = {e.target.name: e for e in program.cost}
    one = used[0]
    y = _targets(one, made_by)
    # The value that the loss compares belongs to the z that its short form is said in.
    reached = _below(one, made_by)
    a = next((a for a, z in program.activations if a.name in reached or z.name in reached), None)
    if y is None or a is None or not isinstance(one.op, Elementwise | Reduce):
        return program
    builder = Builder(parts=program.parts)
    for symbol in program.given:
        builder.give(symbol)
    builder.equations += program.forward
    builder.activations += program.activations
    builder.scope |= {e.target.name: e.target for e in program.forward}
    needed = _below(one, made_by)
    targets = {y.name} | (_below(made_by[y.name], made_by) if y.name in made_by else set())
    users = {s.name for e in program.cost if e.target.name not in needed and e != one for s in e.operands}
    for equation in program.cost:
        if equation.target == one.target:
            said = written[one.rule]
            assert said is not None
            whole = builder.lower(said, {"a": a, "y": y, "z": a}, Symbol("ell"), rule=one.rule, over_columns_only=True)
            if builder.scope and Elementwise(whole).shape(tuple(builder.scope[n] for n in variables(whole))) != (
                one.target.shape
            ):
                if not isinstance(one.op, Reduce):
                    return program
                equation = replace(one, op=Reduce("sum", "columns", whole), operands=_operands(whole, builder.scope))
            else:
                equation = replace(one, op=Elementwise(whole), operands=_operands(whole, builder.scope))
        elif equation.target.name in needed and equation.target.name not in targets | users:
            continue  # of the short form alone
        builder.equations.append(equation)
        builder.scope[equation.target.name] = equation.target
    end = len(builder.equations)
    gradients = backward(builder, program.objective, [s for s, _ in program.gradients])
    return replace(
        program,
        cost=tuple(builder.equations[len(program.forward) : end]),
        backward=tuple(builder.equations[end:]),
        gradients=tuple(gradients),
        update=(),
    )


def _operands(e: Expression, scope: dict[str, Symbol]) -> tuple[Symbol, ...]:
    return tuple(scope[n] for n in variables(e))


def _below(equation: Equation, made_by: dict[str, Equation]) -> set[str]:
    """All that the equation reads, and what that is made of."""
    met: set[str] = set()
    waiting = [s.name for s in equation.operands]
    while waiting:
        name = waiting.pop()
        if name not in met:
            met.add(name)
            waiting += [s.name for s in made_by[name].operands] if name in made_by else []
    return met


def _targets(loss: Equation, made_by: dict[str, Equation]) -> Symbol | None:
    """Y as the loss reads it: given, one-hot or smoothed."""
    waiting, met = list(loss.operands), set[str]()
    while waiting:
        symbol = waiting.pop(0)
        equation = made_by.get(symbol.name)
        if symbol.role == "target" or symbol.how == "smoothed" or (equation and isinstance(equation.op, OneHot)):
            return symbol
        if equation is not None and symbol.name not in met:
            met.add(symbol.name)
            waiting += equation.operands
    return None


class _Writer:
    def __init__(self, program: Program, of: Symbol, gradient: Symbol) -> None:
        assert program.objective is not None
        self.program, self.of, self.gradient, self.cost = program, of, gradient, program.objective
        self.long = long_form(program)
        self.made_by = {e.target.name: e for e in (*self.long.forward, *self.long.cost)}
        self.users: dict[str, list[Equation]] = {}
        for equation in self.made_by.values():
            for symbol in dict.fromkeys(equation.operands):
                self.users.setdefault(symbol.name, []).append(equation)
        self.backward = {e.target.name: e for e in self.long.backward}
        self.own = {e.target.name: e for e in self.program.backward}
        self.gradients = self.long.gradient_of
        self.forms: dict[str, Expression] = {}
        """The gradients written out so far, where they are expressions."""
        self.there: set[str | Factor] = set()
        self.steps: list[Step] = []

    def run(self) -> Steps:
        ways = self._ways(self.of)
        own = self.own.get(self.gradient.name)
        if not ways and own is not None:
            why = "{0} does not depend on {1}"
            only = Step(Value(self.gradient), Line(own), why, (self.cost, self.of))
            return Steps(self.program, self.long, self.gradient, (only,))
        first = Chain(tuple((*reversed(way),) for way in ways))
        nodes = tuple(dict.fromkeys(f.of for way in ways for f in way if f.of != self.cost))
        through = ", ".join(f"{{{k}}}" for k in range(2, len(nodes) + 2))
        why = "chain rule: {0} acts on {1}" + (f" through {through}" if nodes else "")
        self.steps.append(Step(Value(self.gradient), first, why, (self.of, self.cost, *nodes)))
        for way in ways:
            for factor in reversed(way[1:]):
                if factor.by.how in _NORMS:
                    self._value(factor)
                self._gradient(factor)
        if self.of.batched and len(ways) == 1 and self.gradient.name in self.backward:
            return self._of_a_value(ways[0])
        for way in ways:
            self._value(way[0])
        short = tuple((*((Factor(self.cost, w[0].of),) if w[0].of != self.cost else ()), w[0]) for w in ways)
        if len(ways[0]) > 2 or len(ways) > 1:
            self.steps.append(
                Step(Value(self.gradient), Chain(short), "the factors before the last are one gradient, found above")
            )
        if own is None:
            return Steps(self.program, self.long, self.gradient, tuple(self.steps))
        self._inner(own, self.own, long=False)
        gathered = not self.of.batched and len(ways) == 1 and self._local(ways[0][0]) is not None
        why = "gathered over the samples" if gathered else ""
        self.steps.append(Step(Value(self.gradient), Line(own), why, (), _rule(own, self.own)))
        return Steps(self.program, self.long, self.gradient, tuple(self.steps))

    def _of_a_value(self, way: tuple[Factor, ...]) -> Steps:
        """The last gradient of a chain is reached as those before it are; what the first step has said is left out."""
        first, count = self.steps[0], len(self.steps)
        self._gradient(way[0])
        said = [s for s in self.steps[count:] if (s.left, s.right) != (first.left, first.right)]
        before = self.steps[1 if len(way) == 1 else 0 : count]  # dZ = dZ is no step
        return Steps(self.program, self.long, self.gradient, (*before, *said))

    # --- the way to J ------------------------------------------------------------------------------------------

    def _next(self, symbol: Symbol) -> list[Symbol]:
        """The symbols with a name in texts that are computed from it directly, those of no name passed over."""
        ends: dict[str, Symbol] = {}
        waiting, met = [symbol], {symbol.name}
        while waiting:
            for equation in self.users.get(waiting.pop().name, ()):
                target = equation.target
                if target.name in met:
                    continue
                met.add(target.name)
                if has_a_name(target):
                    ends[target.name] = target
                else:
                    waiting.append(target)
        return [s for s in ends.values() if s == self.cost or self._reaches(s)]

    def _reaches(self, symbol: Symbol) -> bool:
        """Whether J depends on it."""
        return symbol.name in _below(self.made_by[self.cost.name], self.made_by)

    def _ways(self, symbol: Symbol) -> list[tuple[Factor, ...]]:
        """The ways to J, from the symbol on; a way ends in ∂J/∂T where T itself is used in several places."""
        ways = []
        for node in self._next(symbol):
            way = [Factor(node, symbol)]
            while node != self.cost:
                after = self._next(node)
                if len(after) != 1:
                    way.append(Factor(self.cost, node))
                    break
                way.append(Factor(after[0], node))
                node = after[0]
            ways.append(tuple(way))
        return ways

    # --- factors -----------------------------------------------------------------------------------------------

    def _local(self, factor: Factor) -> Side | None:
        """What the factor is, if it can be said: from the equation of `of`, with those that have no name written in."""
        a, z = factor.of, factor.by
        equation = self.made_by[a.name]
        if a.how in _NORMS and isinstance(equation.op, Reduce):
            return Slope(factor, differentiate(equation.op.expression, z.name))
        if a.role == "cost" and z.how not in _NORMS:
            return None
        if _plain(equation) and equation.operands.count(z) == 1:
            return Multiplied(factor, equation)
        if not isinstance(equation.op, Elementwise):
            return None
        if z in equation.operands and not self._hidden(equation, z):
            slope = differentiate(equation.op.expression, z.name)
            if isinstance(equation.op.expression, Apply):
                slope = exchange(slope, {equation.op.expression: Variable(a.name)})
            partial = self._stated(a, z)
            return Slope(factor, slope if partial is None else partial)
        if (a, z) in self.long.activations:
            return Jacobian(factor)
        for symbol in equation.operands:
            inner = self.made_by.get(symbol.name)
            if inner is not None and _plain(inner) and inner.operands.count(z) == 1:
                same = differentiate(equation.op.expression, symbol.name) == Constant(1.0)
                alone = sum(z.name in _below(self.made_by[s.name], self.made_by) | {s.name} for s in equation.operands
                            if s.name in self.made_by) == 1  # fmt: skip
                if same and alone and symbol.role == "temporary":
                    return Multiplied(factor, inner)
        return None

    def _hidden(self, equation: Equation, z: Symbol) -> bool:
        """Whether the equation reads z through other symbols of no name as well."""
        inner = [s for s in equation.operands if s != z and s.name in self.made_by and s.role not in ("value", "mask")]
        return any(z.name in _below(self.made_by[s.name], self.made_by) for s in inner)

    def _stated(self, a: Symbol, z: Symbol) -> Expression | None:
        """The slope in terms of a, where the program's backward line has it: dZ = dA · slope."""
        da, dz = self.gradients.get(a.name), self.gradients.get(z.name)
        line = None if dz is None else self.own.get(dz.name, self.backward.get(dz.name))
        if da is None or line is None or not isinstance(line.op, Elementwise):
            return None
        slope = differentiate(line.op.expression, da.name)
        rest = exchange(line.op.expression, {Variable(da.name): Constant(0.0)})
        fits = da.name not in variables(slope) and rest == Constant(0.0) and set(variables(slope)) <= {a.name, z.name}
        return slope if fits and variables(slope) else None

    def _value(self, factor: Factor) -> None:
        """∂T/∂S = what its equation makes of it."""
        local = self._local(factor)
        if local is None or factor in self.there:
            return
        self.there.add(factor)
        why = {Multiplied: "product: {0} is linear in {1}", Jacobian: "each element depends on the whole sample"}.get(
            type(local), "derivative of {0} by {1}" + (", element by element" if factor.of.shape else "")
        )
        self.steps.append(Step(Chain(((factor,),)), local, why, (factor.of, factor.by)))

    # --- gradients on the way ----------------------------------------------------------------------------------

    def _gradient(self, factor: Factor) -> None:
        """∂J/∂S from ∂J/∂T and ∂T/∂S, down to the program's line."""
        gradient = self.gradients.get(factor.by.name)
        if gradient is None or gradient.name in self.there or gradient.name not in self.backward:
            return
        line = self.backward[gradient.name]
        self.there.add(gradient.name)
        if factor.of == self.cost:
            self._inner(line, self.backward, long=True)
            left: Side = Value(gradient)
            total = len(self._next(factor.by)) == 1
            why = "derivative of the cost" if total else "used in several places: the gradients of all add up"
            self.steps.append(Step(left, Line(line, long=True), why))
            if isinstance(line.op, Elementwise) and all(s.name not in self.backward for s in line.operands):
                self.forms[gradient.name] = line.op.expression
            self._short(gradient)
            return
        self._value(factor)
        left = Value(gradient)
        self.steps.append(Step(left, Chain(((Factor(self.cost, factor.of), factor),)), "chain rule"))
        local, above = self._local(factor), self.gradients.get(factor.of.name)
        form = None if above is None else self.forms.get(above.name)
        if isinstance(local, Jacobian):
            if form is not None:
                self.steps.append(Step(left, Through(form, factor), "what was found, put in"))
            elif above is not None:
                self.steps.append(Step(left, Through(Variable(above.name), factor), "summed over the sample"))
        elif isinstance(local, Slope) and isinstance(line.op, Elementwise) and form is not None:
            written = multiply(form, local.expression)
            self.steps.append(Step(left, Substituted(written), "what was found, put in"))
        if isinstance(local, Jacobian) or form is not None:
            short = self.own.get(gradient.name)
            if not isinstance(local, Jacobian) and (short is None or short.op == line.op):
                self._said(gradient, line, self.backward, long=True)
            self._short(gradient, simplified=form is not None)
        elif (own := self.own.get(gradient.name)) is not None:
            self._said(gradient, own, self.own, long=False)
        else:
            self._said(gradient, line, self.backward, long=True)

    def _said(self, gradient: Symbol, line: Equation, lines: dict[str, Equation], *, long: bool) -> None:
        """gradient = the line, after those that it reads."""
        self._inner(line, lines, long=long)
        rule = _rule(line, lines)
        put_in = rule == "slope"  # the rule has been said, of the line before
        why = "what was found, put in" if put_in else ""
        self.steps.append(Step(Value(gradient), Line(line, long), why, (), "" if put_in else rule))

    def _short(self, gradient: Symbol, *, simplified: bool = True) -> None:
        """The program's own line, where the long form has another."""
        own, line = self.own.get(gradient.name), self.backward[gradient.name]
        if own is None or (own.op == line.op and own.operands == line.operands):
            return
        self._inner(own, self.own, long=False)
        rule = "" if simplified else _rule(own, self.own)
        self.steps.append(Step(Value(gradient), Line(own), "simplified" if simplified else "", (), rule))

    def _inner(self, line: Equation, lines: dict[str, Equation], *, long: bool) -> None:
        """First the lines of what the line reads that have no step yet, those that are written in place left out."""
        for symbol in line.operands:
            equation = lines.get(symbol.name)
            if equation is None or symbol.name in self.there:
                continue
            if symbol.role == "temporary":  # written in place
                self._inner(equation, lines, long=long)
                continue
            if isinstance(equation.op, Reduce | MatMul) and symbol.role == "inner":
                users = [e for e in lines.values() if symbol in e.operands]
                if len(users) == 1 and isinstance(users[0].op, Elementwise | Reduce):
                    self._inner(equation, lines, long=long)
                    continue
            self.there.add(symbol.name)
            self._inner(equation, lines, long=long)
            of_cost = symbol.how == "gradient" and self._next(symbol.of[0]) == [self.cost]
            why, rule = ("derivative of the cost", "") if of_cost else ("", _rule(equation, lines))
            self.steps.append(Step(Value(symbol), Line(equation, long), why, (), rule))


def _plain(equation: Equation) -> bool:
    """Whether it is L R with neither side transposed."""
    op = equation.op
    return isinstance(op, MatMul) and not (op.transpose_left or op.transpose_right)


def _rule(equation: Equation, lines: dict[str, Equation]) -> str:
    """The rule that wrote a line: its own, or of the product in it."""
    for symbol in equation.operands:
        inner = lines.get(symbol.name)
        if inner is not None and isinstance(inner.op, MatMul) and symbol.role in ("temporary", "inner"):
            return inner.rule
    return equation.rule
