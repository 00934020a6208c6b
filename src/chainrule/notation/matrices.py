"""Lines as formulas over matrices, their orientation by the notation's table.

A kind of array that a notation writes transposed stands for the transpose of the program's array: T = L R of the
program is then Tᵀ = Rᵀ Lᵀ, and an element-wise value takes the orientation of its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from chainrule.notation.activations import Activations
from chainrule.notation.beside import in_groups, over_groups, over_shards, side_by_side, span
from chainrule.notation.lines import FAMILIAR, STABLE, USUAL, Line, ends_of, uncut
from chainrule.notation.names import Names
from chainrule.notation.tables import Notation
from chainrule.notation.tree import (
    Apply,
    Call,
    Diagonal,
    Fold,
    Leaf,
    Math,
    Number,
    Phrase,
    Product,
    Relation,
    Transpose,
)
from chainrule.notation.typeset import MATRIX_TIMES, Atom, Look, Row, Scripts, row
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
    Op,
    OverShards,
    Reduce,
    ReduceGroups,
    Repeat,
    ScatterAdd,
)
from chainrule.program.scalar import Apply as Applied
from chainrule.program.scalar import Constant, Expression, Reduction, Variable
from chainrule.program.symbol import STORED, Symbol
from chainrule.program.text import lookup_text, lookup_words, number
from chainrule.program.walk import replace as exchange
from chainrule.program.walk import variables

_PUT_TOGETHER = (Beside, Columns, Repeat, ReduceGroups)
"""Operations that put values together, or take them apart, column by column."""


class Matrices:
    """The formulas of one program in one notation."""

    def __init__(self, program: Program, notation: Notation) -> None:
        self.program = program
        self.notation = notation
        self.names = Names(program, notation)
        self.symbols = program.symbols
        self.activations = Activations(program)
        self.inside: Mapping[str, Equation] = {}

    # --- a line ------------------------------------------------------------------------------------------------

    def inputs(self, x: Symbol) -> Relation:
        """A⁽⁰⁾ = X"""
        return Relation(self.names.leaf(x), (self.names.alias(x, self.notation.letters.get("X", "X")),))

    def output(self, prediction: Symbol) -> Relation:
        """Ŷ = A of the last layer"""
        y = self.notation.letters.get("Y", "Y")
        return Relation(self.names.alias(prediction, y, hat=True), (self.names.leaf(prediction),))

    def relations(self, line: Line) -> list[Relation]:
        """The line's formulas: its own last, before it what it refers to."""
        self.inside = {e.target.name: e for e in line.inside}
        target, want = line.target, self.names.flipped(line.target)
        self.want = want
        own = self.names.leaf(target)
        sign = ":=" if target.role in STORED else "="
        if self.notation.step and target.role == "parameter" and (step := self._step(line, own, want)):
            return step
        sides = [self._right(line.equation, want)]
        before: list[Relation] = []
        if line.equation.rule in USUAL and target.role == "loss":
            sides.insert(0, self._said(USUAL[line.equation.rule], target, want))
            if line.equation.rule in STABLE and uncut(line):
                sides[1] = self._said(STABLE[line.equation.rule], target, want)
        activation = self.activations.of(target.name)
        if activation is not None and line.section == "forward":
            sides = self._activated(line, sides, want)
        slope = self.activations.slope(line.equation)
        if slope is not None and self.notation.function is not None:
            through, factor = slope
            value = self.activations.of(through)
            assert value is not None
            z = self.symbols[value.z]
            look = self.names.function(self.symbols[through], labelled=self._labelled(), slope=True)
            natural = self.names.flipped(z)
            call = Call(look, (self.names.leaf(z),), value.derivative, over=("", ""))
            before.append(Relation(call, (self._expression(factor, natural),)))
            sides = [self._times_slope(self.program.gradient_of[through], call, natural, want)]
        return [*before, Relation(own, tuple(sides), sign)]

    def _times_slope(self, gradient: Symbol, call: Math, natural: bool, want: bool) -> Math:
        rows = self._expression(Variable(gradient.name), want)
        if natural != want:
            return Diagonal(rows, call) if self.notation.diagonal else Apply("mul", (rows, Transpose(call)))
        return Apply("mul", (rows, call))

    def _activated(self, line: Line, sides: list[Math], want: bool) -> list[Math]:
        """g(Z), then what g is."""
        activation = self.activations.of(line.target.name)
        assert activation is not None
        z = self.names.leaf(self.symbols[activation.z])
        calls: list[Math] = []
        own_letter = self.notation.function is not None and not (activation.vector and not self._labelled())
        if own_letter:
            look = self.names.function(line.target, labelled=self._labelled())
            calls.append(Call(look, (z,), activation.formula))
        if line.named is not None:
            calls.append(Call(Atom(line.named.replace("_", " "), "word"), (z,), FAMILIAR[line.named]))
            if own_letter:
                return calls
        return [*calls, *sides]

    def _labelled(self) -> bool:
        """Whether the letter of an activation carries its layer: always for g, for σ only if there are several."""
        return self.notation.labelled or self.activations.several

    def _said(self, said: Expression, loss: Symbol, want: bool) -> Math:
        """The loss as texts write it, in the a, z and y of this network."""
        y, a = ends_of(self.program, loss)
        z = next((z for value, z in self.program.activations if value == a), a)
        bound: dict[Expression, Expression] = {
            Variable("a"): Variable(a.name),
            Variable("z"): Variable(z.name),
            Variable("y"): Variable(y.name),
        }
        return self._expression(exchange(said, bound), want)

    def _step(self, line: Line, own: Leaf, want: bool) -> list[Relation] | None:
        """W := W + dW after dW = -(rate) ∂E/∂W."""
        op = line.equation.op
        e = op.expression if isinstance(op, Elementwise) else None
        if not (isinstance(e, Applied) and e.function == "sub" and e.arguments[0] == Variable(line.target.name)):
            return None
        change = self.names.change(line.target)
        by = Apply("neg", (self._expression(e.arguments[1], want),))
        return [Relation(change, (by,)), Relation(own, (Apply("add", (own, change)),), ":=")]

    # --- operations --------------------------------------------------------------------------------------------

    def _right(self, equation: Equation, want: bool) -> Math:
        op: Op = equation.op
        operands = equation.operands
        match op:
            case MatMul(transpose_left, transpose_right):
                left = self._matrix(operands[0], transpose_left != want)
                right = self._matrix(operands[1], transpose_right != want)
                return Product(right, left) if want else Product(left, right)
            case Elementwise(expression):
                return self._expression(expression, want)
            case Reduce(kind, over, expression):
                return self._reduced(kind, over, expression, want)
            case AtRows(expression):
                of = self._expression(expression, want)
                line = "columns" if "data" in self.notation.flipped else "rows"
                words = Row((Atom(f", in {line} ", "text"), self.names.leaf(operands[1]).look,
                             Atom(f"{lookup_text(op)}{lookup_words(op)}", "text")))  # fmt: skip
                return Phrase(equation.target.name, words, flipped=self.names.flipped(equation.target), of=of)
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
                own = self._said_in(equation)
                phrase = Phrase(equation.target.name, self._phrase(equation, own), flipped=own)
                return phrase if own == want else Transpose(phrase)
            case _:
                assert_never(op)

    def _matrix(self, symbol: Symbol, transposed: bool) -> Math:
        if symbol.name in self.inside:
            return self._right(self.inside[symbol.name], transposed)
        leaf = self.names.leaf(symbol)
        return Transpose(leaf) if leaf.flipped != transposed else leaf

    def _said_in(self, equation: Equation) -> bool:
        """The orientation of what is said in words: of its operands where these are put together, or one is cut."""
        put_together = isinstance(equation.op, _PUT_TOGETHER)
        return self.names.flipped(equation.operands[0] if put_together else equation.target)

    def _phrase(self, equation: Equation, own: bool) -> Look:
        columns = own if isinstance(equation.op, _PUT_TOGETHER) else "data" in self.notation.flipped
        line = "columns" if columns else "rows"
        looks = [self.names.leaf(s).look for s in equation.operands]
        match equation.op:
            case Gather():
                beside = "one below the other" if columns else "side by side"
                how = f"{lookup_text(equation.op)}{lookup_words(equation.op, beside)}"
                return Row((Atom(f"{line} of ", "text"), looks[0], Atom(" at ", "text"), looks[1], Atom(how, "text")))
            case ScatterAdd():
                how = f"{lookup_text(equation.op)}{lookup_words(equation.op)}"
                return Row((looks[0], Atom(f" added into {line} ", "text"), looks[1], Atom(how, "text")))
            case Mask(rate, _, _):
                kept: Look = (
                    Row((Atom("1 − "), looks[2])) if rate is None else Atom(number(round(1 - rate, 12)), "number")
                )
                return Row((Atom("1 with probability ", "text"), kept, Atom(", else 0", "text")))
            case Beside():
                return side_by_side(equation.op, equation.operands, looks, ";" if columns else "|")
            case GroupedMatMul():
                return in_groups(equation.op, self._product_look(equation, equation.op, own))
            case Repeat() | ReduceGroups():
                return over_groups(equation.op, looks[0], columns=columns)
            case OverShards(kind):
                return over_shards(kind, looks[0])
            case Columns(start, count):
                return Row((looks[0], Atom(f"[{'rows' if columns else 'columns'} {span(start, count)}]", "text")))
        return Row((Atom(f"one-hot {line} of ", "text"), looks[0]))

    def _product_look(self, equation: Equation, op: GroupedMatMul, want: bool) -> Look:
        """The factors in the order and orientation of this notation."""
        factors: list[Look] = []
        for symbol, turned in zip(equation.operands, (op.transpose_left, op.transpose_right), strict=True):
            leaf = self.names.leaf(symbol)
            turn = leaf.flipped != (turned != want)
            factors.append(Scripts(leaf.look, None, Atom("ᵀ")) if turn else leaf.look)
        first, second = reversed(factors) if want else factors
        return row(first, MATRIX_TIMES, second)

    def _reduced(self, kind: str, over: str, e: Expression, want: bool) -> Math:
        """Σ or max; the body in the orientation that gives the wanted one."""
        symbols = [self.symbols[n] for n in variables(e) if n in self.symbols]
        wide = [s for s in symbols if len(s.shape) == 2]
        if over == "all":
            natural = self._natural(e)
            norm = isinstance(e, Applied) and (e.function == "abs" or e.arguments[1:] == (Constant(2.0),))
            single = all(s.shape in ((), ("m", 1)) for s in symbols)
            vector = not wide
            body = self._expression(e, natural)
            return Fold(kind, "" if norm and not single else "i" if single else "j" if vector else "i,j", body)
        body = self._expression(e, want)
        samples = over == "rows"
        return Fold(kind, "i" if samples else "j", body, axis=0 if samples != want else 1, array=True)

    # --- expressions -------------------------------------------------------------------------------------------

    def _oriented(self, e: Expression) -> set[bool]:
        """The orientations of the arrays in an expression (rows of an embedding of one size as well)."""
        orientations: set[bool] = set()
        for name in variables(e):
            if name in self.inside:
                orientations |= self._inner_oriented(self.inside[name])
            elif self.symbols[name].shape not in ((), (1,)):
                orientations.add(self.names.flipped(self.symbols[name]))
        return orientations

    def _inner_oriented(self, equation: Equation) -> set[bool]:
        if isinstance(equation.op, Elementwise):
            return self._oriented(equation.op.expression)
        if equation.target.shape in ((), (1,)):
            return set()
        in_words = not isinstance(equation.op, MatMul | Reduce)
        return {self._said_in(equation) if in_words else self.names.flipped(equation.target)}

    def _natural(self, e: Expression) -> bool:
        orientations = self._oriented(e)
        return orientations.pop() if len(orientations) == 1 else self.want

    def _expression(self, e: Expression, want: bool) -> Math:
        if isinstance(e, Constant):
            return Number(e.value)
        if isinstance(e, Variable):
            if e.name in self.inside:
                return self._right(self.inside[e.name], want)
            leaf = self.names.leaf(self.symbols[e.name])
            return Transpose(leaf) if leaf.array and leaf.flipped != want else leaf
        if isinstance(e, Reduction):
            return self._reduced(e.kind, "columns" if e.over == "all" else e.over, e.argument, want)
        assert isinstance(e, Applied)
        apart = e.function in ("mul", "div", "neg") and any(not self._oriented(a) for a in e.arguments)
        single = e.function == "neg" or apart
        if self._oriented(e) == {not want} and not single and not any(n in self.inside for n in variables(e)):
            return Transpose(self._expression(e, not want))
        return Apply(e.function, tuple(self._expression(a, want) for a in e.arguments))
