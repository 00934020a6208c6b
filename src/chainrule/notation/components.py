"""Lines as formulas over components: indices, sums over them, Kronecker deltas.

Letters: a sample is i; a column of the line's own array is j (a node of the layer), a row of a weight matrix is k (a
node of the layer before); what a sum runs over gets the next letter that is free.  An operand that repeats along an
axis does not bear its letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from chainrule.notation.activations import Activated, Activations
from chainrule.notation.beside import in_groups, over_groups, over_shards, side_by_side
from chainrule.notation.jacobian import Jacobian, jacobian
from chainrule.notation.lines import FAMILIAR, STABLE, USUAL, Line, ends_of, expanded, uncut
from chainrule.notation.names import Names
from chainrule.notation.tables import Notation
from chainrule.notation.tree import Apply, Call, Delta, Fold, Leaf, Math, Number, Phrase, Relation
from chainrule.notation.typeset import TIMES, Atom, Frac, Look, Row, Scripts, joined, row
from chainrule.program.equation import Equation, Program
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
from chainrule.program.scalar import Apply as Applied
from chainrule.program.scalar import Constant, Expression, Reduction, Variable, is_zero
from chainrule.program.symbol import BATCH, STORED, Shape, Symbol, broadcast
from chainrule.program.text import lookup_text, lookup_words, number
from chainrule.program.walk import replace as exchange
from chainrule.program.walk import variables

NODES, SAMPLES = "kjpqruv", "ist"


@dataclass(frozen=True)
class Place:
    """Where an element stands."""

    column: str = "j"
    """The letter of its column; "" where there is none."""
    row: str = "i"
    """The letter of its row; "" where there is none."""

    def free(self, letters: str) -> str:
        """The first letter that is not taken."""
        return next(x for x in letters if x not in (self.column, self.row))


class Components:
    """The formulas of one program in components."""

    def __init__(self, program: Program, notation: Notation) -> None:
        self.program = program
        self.notation = notation
        self.names = Names(program, notation)
        self.symbols = program.symbols
        self.activations = Activations(program)
        self.inside: Mapping[str, Equation] = {}
        self.shown: frozenset[str] = frozenset()
        """The symbols that lines of their own define."""

    # --- a line ------------------------------------------------------------------------------------------------

    def inputs(self, x: Symbol) -> Relation:
        """a⁽⁰⁾ = x"""
        letters = self._letters(x, Place())
        return Relation(self.names.leaf(x, letters), (self.names.alias(x, "x", letters),))

    def output(self, prediction: Symbol) -> Relation:
        """ŷ = a of the last layer"""
        letters = self._letters(prediction, Place())
        return Relation(self.names.alias(prediction, "y", letters, hat=True), (self.names.leaf(prediction, letters),))

    def relations(self, line: Line) -> list[Relation]:
        """The line's formulas: its own last, before it what it refers to."""
        self.inside = {e.target.name: e for e in line.inside}
        target = line.target
        place = self._place(line.equation)
        own = self.names.leaf(target, self._letters(target, place))
        sign = ":=" if target.role in STORED else "="
        if line.jacobian is not None:
            return self._through_jacobian(line, own, place)
        sides = [self._right(line.equation, place)]
        before: list[Relation] = []
        if line.equation.rule in USUAL and target.role == "loss":
            sides.insert(0, self._said(USUAL[line.equation.rule], target, place))
            if line.equation.rule in STABLE and uncut(line):
                sides[1] = self._said(STABLE[line.equation.rule], target, place)
        activation = self.activations.of(target.name)
        if activation is not None and line.section == "forward":
            sides = self._activated(line, sides, place)
        slope = self.activations.slope(line.equation)
        if slope is not None:
            through, factor = slope
            value = self.activations.of(through)
            assert value is not None
            z = self.symbols[value.z]
            look = self.names.function(self.symbols[through], labelled=True, slope=True)
            call = Call(look, (self.names.leaf(z, self._letters(z, place)),), value.derivative, array=False)
            before.append(Relation(call, (self._expression(factor, place),)))
            entry = self._entry(self.symbols[through], z, place)
            da = self.program.gradient_of[through]
            at_p = self.names.leaf(da, ("p", place.row))
            general = Fold("sum", "p", Apply("mul", (at_p, entry)))
            before.append(Relation(entry, (Apply("mul", (Delta("p", place.column), call)),)))
            own_side = Apply("mul", (self.names.leaf(da, self._letters(da, place)), call))
            sides = [general, own_side]
        return [*before, Relation(own, tuple(sides), sign)]

    def _entry(self, a: Symbol, z: Symbol, place: Place) -> Leaf:
        """∂a_p/∂z_j as one sign."""
        top = self.names.leaf(a, ("p", place.row)).look
        bottom = self.names.leaf(z, (place.column, place.row)).look
        look = Frac(Row((Atom("∂"), top)), Row((Atom("∂"), bottom)))
        return Leaf(f"entry of {a.name} by {z.name}", look, False, ("p", place.column, place.row), False, True)

    def _through_jacobian(self, line: Line, own: Leaf, place: Place) -> list[Relation]:
        """∂J/∂z_j = Σ_p ∂J/∂a_p ∂a_p/∂z_j, after the entries ∂a_p/∂z_j."""
        assert line.jacobian is not None
        a = self.symbols[line.jacobian]
        activation = self.activations.of(a.name)
        assert activation is not None
        z = self.symbols[activation.z]
        entry = self._entry(a, z, place)
        derivatives = jacobian(activation, a.name, self._shown(activation))
        at_p = self.names.leaf(self.program.gradient_of[a.name], ("p", place.row))
        general = Fold("sum", "p", Apply("mul", (at_p, entry)))
        return [Relation(entry, (self._jacobian(derivatives, place),)), Relation(own, (general,))]

    def _shown(self, activation: Activated) -> dict[Expression, Expression]:
        """Inner values that have a line of their own: their formulas in z, and their names."""
        made_by = {e.target.name: e for e in activation.inner}
        shown: dict[Expression, Expression] = {}
        for name in made_by:
            if name in self.shown:
                formula = expanded(Variable(name), made_by, [])
                shown[exchange(formula, {Variable(activation.z): Variable("z")})] = Variable(name)
        return shown

    def _jacobian(self, derivatives: Jacobian, place: Place) -> Math:
        p = Place("p", place.row)
        total: Math | None = None
        if not is_zero(derivatives.local):
            local = self._expression(derivatives.local, p)
            delta = Delta("p", place.column)
            total = delta if local == Number(1.0) else Apply("mul", (local, delta))
        for at_p, at_j in derivatives.terms:
            left, right = self._expression(at_p, p), self._expression(at_j, place)
            negative = isinstance(left, Apply) and left.function == "neg"
            if negative:
                assert isinstance(left, Apply)
                left = left.arguments[0]
            part: Math = right if left == Number(1.0) else left if right == Number(1.0) else Apply("mul", (left, right))
            if total is None:
                total = Apply("neg", (part,)) if negative else part
            else:
                total = Apply("sub" if negative else "add", (total, part))
        return Number(0.0) if total is None else total

    def _activated(self, line: Line, sides: list[Math], place: Place) -> list[Math]:
        """g_j(z_1, ..., z_n) or g(z_j), then what g is."""
        activation = self.activations.of(line.target.name)
        assert activation is not None
        z = self.symbols[activation.z]
        letter = place.column if activation.vector else ""
        look = self.names.function(line.target, labelled=True, letter=letter)
        if not activation.vector:
            own = self.names.leaf(z, self._letters(z, place))
            return [Call(look, (own,), activation.formula, array=False), *sides]
        width = str(z.shape[1])
        ends = [self.names.leaf(z, (k, place.row)).look for k in ("1", width)]
        dots = Atom("…")
        inside = joined([ends[0], dots, ends[1]] if width != "1" else [ends[0]], ",")
        every = Leaf(z.name, inside, False, (place.column, place.row))
        calls: list[Math] = [Call(look, (every,), activation.formula, array=False, over=(place.column, "p"))]
        if line.named is not None:
            word = Scripts(Atom(line.named.replace("_", " "), "word"), Atom(place.column))
            column = self.names.leaf(z, (":", place.row)).look
            whole = Leaf(z.name, column, False, (place.column, place.row))
            calls.append(Call(word, (whole,), FAMILIAR[line.named], array=False, over=(place.column, "p")))
        return [*calls, *sides]

    def _said(self, said: Expression, loss: Symbol, place: Place) -> Math:
        """The loss as texts write it, in the a, z and y of this network."""
        y, a = ends_of(self.program, loss)
        z = next((z for value, z in self.program.activations if value == a), a)
        bound: dict[Expression, Expression] = {
            Variable("a"): Variable(a.name),
            Variable("z"): Variable(z.name),
            Variable("y"): Variable(y.name),
        }
        return self._expression(exchange(said, bound), place)

    # --- letters -----------------------------------------------------------------------------------------------

    def _place(self, equation: Equation) -> Place:
        """The letters of the line's own element."""
        op, target = equation.op, equation.target
        if self._letters(target, Place()) == ("i",):
            return Place("", "i")
        weights = isinstance(op, MatMul) and op.transpose_right and not equation.operands[1].batched
        if weights and target.batched and BATCH not in target.shape[1:]:
            return Place("k", "i")  # back through the weights: to a node k of the layer before
        return _place_in(target.shape)

    def _letters(self, symbol: Symbol, place: Place) -> tuple[str, ...]:
        shape = symbol.shape
        if len(shape) < 2:
            return (place.column or "1",) if shape else ()
        if symbol.batched and shape[1] == 1 and self._row(symbol):
            return (place.row,)
        return (place.column or "1", place.row)

    def _row(self, symbol: Symbol) -> bool:
        """Whether an (m, 1) array is one number a sample, and not a layer of one node."""
        if symbol.how == "gradient":
            return self._row(symbol.of[0])
        return symbol.role in ("inner", "loss", "weight")

    # --- operations --------------------------------------------------------------------------------------------

    def _right(self, equation: Equation, place: Place) -> Math:
        op, operands = equation.op, equation.operands
        match op:
            case MatMul(transpose_left, transpose_right):
                return self._product(operands, transpose_left, transpose_right, place)
            case Elementwise(expression):
                return self._expression(expression, place)
            case Reduce(kind, over, expression):
                return self._reduced(kind, over, expression, place)
            case AtRows(expression):
                of = self._expression(expression, place)
                words = Row((Atom(", in rows ", "text"), self.names.leaf(operands[1]).look,
                             Atom(f"{lookup_text(op)}{lookup_words(op)}", "text")))  # fmt: skip
                return Phrase(
                    equation.target.name, words, array=False, letters=self._letters(equation.target, place), of=of
                )
            case (
                Gather()
                | ScatterAdd()
                | Mask()
                | OneHot()
                | Beside()
                | Columns()
                | GroupedMatMul()
                | Repeat()
                | ReduceGroups()
                | OverShards()
            ):
                return Phrase(equation.target.name, self._phrase(equation, place), False,
                              self._letters(equation.target, place))  # fmt: skip
            case _:
                assert_never(op)

    def _product(self, operands: tuple[Symbol, ...], left: bool, right: bool, place: Place) -> Math:
        """Σ over the inner dimension, the weights or the gradient first; left, right: which side stands transposed."""
        a, b = operands
        inner = place.free(SAMPLES if a.shape[0 if left else 1] == BATCH else NODES)
        first = self._variable(a, Place(place.row, inner) if left else Place(inner, place.row))
        second = self._variable(b, Place(inner, place.column) if right else Place(place.column, inner))
        factors = (first, second) if right and not left else (second, first)
        return Fold("sum", inner, Apply("mul", factors))

    def _reduced(self, kind: str, over: str, e: Expression, place: Place) -> Math:
        shape = self._shape(e)
        if over == "rows":
            inner = Place(place.column, place.free(SAMPLES if shape[0] == BATCH else NODES))
            return Fold(kind, inner.row, self._expression(e, inner))
        if over == "columns":
            nodes = "j" if place.column == "" else NODES[2:]
            inner = Place(place.free(SAMPLES if shape[1:] == (BATCH,) else nodes), place.row)
            return Fold(kind, inner.column, self._expression(e, inner))
        inner = _place_in(shape)
        used = {x for n in variables(e) for x in self._letters(self.symbols[n], inner)}
        letters = ",".join(x for x in (inner.column, inner.row) if x in used)
        body = self._expression(e, inner)
        return Fold(kind, letters, body) if letters else body  # of one element: the element itself

    def _shape(self, e: Expression) -> Shape:
        """The shape of an expression; a reduction in it, which is of one sample, has a number for each."""
        if isinstance(e, Variable):
            return self.symbols[e.name].shape
        if isinstance(e, Reduction):
            shape = self._shape(e.argument)
            return shape[1:] if e.over == "rows" else (*shape[:-1], 1)
        parts = [self._shape(a) for a in e.arguments] if isinstance(e, Applied) else []
        whole = broadcast(parts)
        assert whole is not None, f"the operands of {e} do not fit"
        return whole

    def _phrase(self, equation: Equation, place: Place) -> Look:
        looks = [self.names.leaf(s).look for s in equation.operands]
        sample, node = Atom(place.row), Atom(place.column)
        match equation.op:
            case Gather():
                entry = (Atom("entry ", "text"), node, Atom(" of the rows of ", "text"), looks[0])
                how = f"{lookup_text(equation.op)}{lookup_words(equation.op, 'side by side')}"
                return Row((*entry, Atom(" at ", "text"), Scripts(looks[1], sample), Atom(how, "text")))
            case ScatterAdd():
                how = f"{lookup_text(equation.op)}{lookup_words(equation.op)}"
                return Row((looks[0], Atom(" added into rows ", "text"), looks[1], Atom(how, "text")))
            case Mask(rate, _, _):
                kept: Look = (
                    Row((Atom("1 − "), looks[2])) if rate is None else Atom(number(round(1 - rate, 12)), "number")
                )
                return Row((Atom("1 with probability ", "text"), kept, Atom(", else 0", "text")))
            case Beside():
                return Scripts(side_by_side(equation.op, equation.operands, looks, "|"), joined([node, sample], ","))
            case GroupedMatMul(_, transpose_left, transpose_right):
                turned = zip(looks, (transpose_left, transpose_right), strict=True)
                factors = [Scripts(x, None, Atom("ᵀ")) if turn else x for x, turn in turned]
                whole = in_groups(equation.op, row(factors[0], TIMES, factors[1]))
                return Scripts(whole, joined([node, sample], ","))
            case Repeat() | ReduceGroups():
                return Scripts(over_groups(equation.op, looks[0], columns=False), joined([node, sample], ","))
            case OverShards(kind):
                letters = joined([Atom(x) for x in (place.column, place.row) if x], ",")
                return over_shards(kind, Scripts(looks[0], letters) if equation.target.shape else looks[0])
            case Columns(start):
                shifted = joined([node, Atom(str(start), "number")], "+") if start else node
                return Scripts(looks[0], joined([shifted, sample], ","))
        label = Scripts(looks[0], sample)
        return Scripts(Atom("δ"), joined([node, label], ","))

    # --- expressions -------------------------------------------------------------------------------------------

    def _variable(self, symbol: Symbol, place: Place) -> Math:
        if symbol.name in self.inside:
            return self._right(self.inside[symbol.name], place)
        return self.names.leaf(symbol, self._letters(symbol, place))

    def _expression(self, e: Expression, place: Place) -> Math:
        if isinstance(e, Constant):
            return Number(e.value)
        if isinstance(e, Variable):
            return self._variable(self.symbols[e.name], place)
        if isinstance(e, Reduction):
            return self._reduced(e.kind, "columns" if e.over == "all" else e.over, e.argument, place)
        assert isinstance(e, Applied)
        return Apply(e.function, tuple(self._expression(a, place) for a in e.arguments))


def _place_in(shape: Shape) -> Place:
    """The letters of an element of an array of that shape."""
    row = "" if len(shape) < 2 else "i" if shape[0] == BATCH else "k"
    column = "" if not shape else "j" if shape[-1] != BATCH else "s" if row == "i" else "i"
    return Place(column, row)
