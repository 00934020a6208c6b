"""The steps of a gradient as the texts write them, in any notation and format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chainrule.display import Displayed
from chainrule.errors import SpecError
from chainrule.notation import latex, mathml, unicode
from chainrule.notation.components import Components, Place
from chainrule.notation.jacobian import jacobian
from chainrule.notation.lines import Line as Grouped
from chainrule.notation.lines import lines
from chainrule.notation.matrices import Matrices
from chainrule.notation.reasons import RULES
from chainrule.notation.tables import INDEX, MATHEMATICAL, SCRIPT, SOURCE, Notation
from chainrule.notation.tree import Apply, Call, Delta, Fold, Math, Number, Typesetter
from chainrule.notation.typeset import TIMES, Atom, Big, Fenced, Frac, Look, Row, Scripts, joined, row
from chainrule.notation.views import check_format, check_notation
from chainrule.program.equation import Equation, Program
from chainrule.program.op import Reduce
from chainrule.program.scalar import Expression
from chainrule.program.symbol import BATCH, Symbol
from chainrule.rules.steps import (
    Chain,
    Factor,
    Jacobian,
    Line,
    Multiplied,
    Side,
    Slope,
    Step,
    Steps,
    Substituted,
    Through,
    Value,
    steps,
)

_NORMS = ("norm1", "norm2")
HIDDEN = "?"
"""What stands for a right side that is to be found."""
WHERE_THE_MEAN_IS = (
    "1/m stands in the gradient by the last layer here; the derivation has it in the gradients by the parameters"
)
"""What the steps say in a notation whose derivation has it elsewhere."""


@dataclass(frozen=True)
class StepView:
    """One step in one notation."""

    number: int
    """Of the step, from 1; several lines may belong to one."""
    goes_on: bool
    """Whether its left side is that of the line before, and not written again."""
    unicode: str
    """The line as text."""
    latex: str
    """The line as LaTeX."""
    mathml: str
    """The line as MathML."""
    dimensions: str
    """Of each factor of a product for one sample, where the notation lays derivatives out as matrices."""
    why: str
    """The rule, in words."""
    why_latex: str
    """The same as LaTeX's text, its symbols between dollars."""


@dataclass(frozen=True)
class Worked(Displayed):
    """The steps of a gradient in a notation: `print` them, or go through `views`."""

    steps: Steps
    """The steps as data."""
    notation: str
    """In which they are written."""
    hidden: tuple[int, ...] = ()
    """The numbers of the steps whose right side is left out."""

    @property
    def views(self) -> list[StepView]:
        """The lines."""
        return step_views(self.steps, self.notation, hidden=self.hidden)

    @property
    def remark(self) -> str:
        """What a reader of the derivation in the same notation must know of the steps; "" for nothing."""
        return remark(self.steps, self.notation)

    def show(self, format: str = "unicode") -> str:
        """The lines as text: unicode, latex, markdown or mathml."""
        return show_steps(self.steps, self.notation, format, hidden=self.hidden)

    def __str__(self) -> str:
        return self.show()

    def __repr__(self) -> str:
        return f"Worked({self.steps.gradient.name}: {len(self.steps.steps)} steps, {self.notation})"

    def _repr_markdown_(self) -> str:
        return self.show("markdown")


def worked(program: Program, gradient: str, notation: str = "row") -> Worked:
    """The steps of that gradient in the notation.  Raises SpecError with the known gradients and notations."""
    check_steps_notation(notation)
    return Worked(steps(program, gradient), notation)


def check_steps_notation(notation: str) -> None:
    """Raises SpecError for a notation that is not known, or is code."""
    check_notation(notation, (SCRIPT,))
    if notation in (SOURCE, SCRIPT):
        raise SpecError(
            f"Steps are mathematics; the notation {notation} is code. Choose one of {', '.join(MATHEMATICAL)}."
        )


def remark(said: Steps, notation: str) -> str:
    """Where 1/m stands, if the derivation in this notation has it elsewhere than the steps; else ""."""
    elsewhere = MATHEMATICAL[notation].mean == "weights" and said.program.divisor is not None
    return WHERE_THE_MEAN_IS if elsewhere else ""


def step_views(said: Steps, notation: str = "row", *, hidden: Sequence[int] = ()) -> list[StepView]:
    """The steps' lines in the notation, those of the hidden numbers without their right sides.

    Raises SpecError for a notation that is not known, or is code.
    """
    check_steps_notation(notation)
    writer = _Writer(said, MATHEMATICAL[notation])
    views: list[StepView] = []
    before: Side | None = None
    for number, step in enumerate(said.steps, 1):
        for right, why in writer.rights(step, number in hidden):
            views.append(writer.view(number, step, right, why, goes_on=step.left == before))
            before = step.left
    return views


def show_steps(said: Steps, notation: str = "row", format: str = "unicode", *, hidden: Sequence[int] = ()) -> str:
    """The steps as text, each line with its number and its reason.

    notation: row, column, index, layer, batch.  format: unicode, latex, markdown, mathml.  hidden: the numbers of the
    steps whose right side is left out.  Raises SpecError with what is known.
    """
    check_format(format)
    views, first = step_views(said, notation, hidden=hidden), remark(said, notation)
    if format == "unicode":
        width = min(max((len(v.unicode) for v in views), default=0), 64)
        out = [first] if first else []
        for k, v in enumerate(views):
            again = k > 0 and views[k - 1].number == v.number
            place = "" if again else f"{v.number}."
            told = "  ".join(x for x in (v.dimensions, v.why) if x)
            out.append(f"{place:>4}  {v.unicode:<{width}}   {told}".rstrip())
        return "\n".join(out)
    if format == "mathml":
        told = f"<p>{first}</p>\n" if first else ""
        made = "".join(f"<div>{v.mathml}<p>{v.number}. {_escaped(v.why)}</p></div>\n" for v in views)
        return f'<section class="steps">\n{told}{made}</section>\n'
    blocks = [first] if first else []
    for v in views:
        line = f"\n\\[ {v.latex} \\]" if format == "latex" else f"\n\n$${v.latex}$$"
        blocks.append(f"{v.number}. {v.why_latex}{line}")
    return "\n\n".join(blocks) + "\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


Right = Math | Look


class _Writer:
    """The looks of one gradient's steps."""

    def __init__(self, said: Steps, table: Notation) -> None:
        self.said, self.table = said, table
        small = replace(table, components=True, onehot="y", diagonal=False)
        small = replace(small, letters={**INDEX.letters, "A": table.letters.get("A", "A").lower()})
        if table.lowered:  # the indices stand below
            small = replace(small, lowered=False, label=("(", ")"))
        self.small = table if table.components else small
        """The notation of components, where a matrix does not say it."""
        kind = Components if table.components else Matrices
        self.own, self.long = kind(said.program, table), kind(said.long, table)
        self.parts = Components(said.long, self.small)
        self.names = self.long.names
        self.grouped = {id(w): _by_target(p) for w, p in ((self.own, said.program), (self.long, said.long))}
        self.mixed = any(isinstance(e.op, Reduce) and e.op.over == "rows" for e in said.long.forward)
        self.locals = {s.left.ways[0][0]: s.right for s in said.steps if isinstance(s.left, Chain)}

    def view(self, number: int, step: Step, right: Right, why: str, *, goes_on: bool) -> StepView:
        """A line; a left side that was written is not written again."""
        texts = []
        for linear in (True, False):
            setter = Typesetter(linear=linear, sigmoid=self.table.sigmoid)
            left: Look = Atom("") if goes_on else self._set(setter, self._left(step))
            texts.append(Row((left, Atom("=", "infix"), self._set(setter, right))))
        shape = self._dimensions(step.right) if isinstance(step.right, Chain) and not isinstance(right, Atom) else ""
        line = unicode.text(texts[0])
        return StepView(
            number, goes_on, f"    {line.lstrip()}" if goes_on else line,
            latex.text(texts[1]), mathml.text(texts[1]), shape,
            self.reason(step, why), self.reason(step, why, tex=True),
        )  # fmt: skip

    @staticmethod
    def _set(setter: Typesetter, said: Right) -> Look:
        if isinstance(said, Atom | Row | Frac | Big | Fenced) or not hasattr(said, "array"):
            return said
        return setter.look(said)  # type: ignore[arg-type]

    def reason(self, step: Step, why: str, *, tex: bool = False) -> str:
        """The reason with the symbols as this notation writes them, and the rule that wrote the line.

        tex: as LaTeX's text.
        """
        rule = ""
        if why == step.why:
            rule, _, _ = RULES.get(step.rule, step.rule).partition(":")
        looks = [self.names.leaf(s).look if s.how not in _NORMS else self._norm(s) for s in step.about]
        texts = [f"${latex.text(look)}$" if tex else unicode.text(look) for look in looks]
        words = [latex.prose(x) if tex else x for x in (why, rule) if x]
        return "; ".join(x.format(*texts) if k == 0 and why else x for k, x in enumerate(words))

    def _norm(self, symbol: Symbol) -> Look:
        """‖W‖² or ‖W‖₁"""
        inner = Fenced("‖", self.names.leaf(symbol.of[0]).look, "‖")
        two = symbol.how == "norm2"
        script = Atom("2" if two else "1", "number")
        return Scripts(inner, None if two else script, script if two else None)

    def rights(self, step: Step, hidden: bool) -> list[tuple[Right, str]]:
        """The right sides of a step, from the first on, each with its reason."""
        if hidden:
            return [(Atom(HIDDEN, "text"), step.why)]
        match step.right:
            case Value(symbol):
                return [(self._leaf(symbol), step.why)]
            case Chain(ways):
                first: tuple[Right, str] = (self._chain(ways, step), step.why)
                return [first, *self._put_in(step)]
            case Slope(factor, expression):
                return [(self._slope(factor, expression), step.why)]
            case Multiplied():
                return [(self._multiplied(step.right), step.why)]
            case Jacobian(factor):
                return [(self._jacobian(factor), step.why)]
            case Line(equation, long):
                return [(self._line(self.long if long else self.own, equation), step.why)]
            case Substituted(expression):
                return [(self._substituted(expression, step.left), step.why)]
            case Through(expression, factor):
                body = Apply("mul", (self.parts._expression(expression, Place("p", "i")), self._jacobian(factor)))
                return [(Fold("sum", "p", body), step.why)]

    # --- single parts ------------------------------------------------------------------------------------------

    def _letters(self, symbol: Symbol, place: Place) -> tuple[str, ...]:
        return self.parts._letters(symbol, place) if self.table.components else ()

    def _place(self, symbol: Symbol) -> Place:
        """The letters of an element of a gradient's symbol, as its line has them."""
        writer = self.long if isinstance(self.long, Components) else self.parts
        for program in (self.said.program, self.said.long):
            for equation in program.backward:
                if equation.target == symbol:
                    return writer._place(equation)
        return Place()

    def _leaf(self, symbol: Symbol) -> Math:
        return self.names.leaf(symbol, self._letters(symbol, self._place(symbol)))

    def _left(self, step: Step) -> Right:
        match step.left:
            case Value(symbol):
                if isinstance(step.right, Through):
                    return self.parts.names.leaf(symbol, self.parts._letters(symbol, Place("j", "i")))
                return self._leaf(symbol)
            case Chain(ways):
                factor = ways[0][0]
                if isinstance(step.right, Jacobian):
                    return self.parts._entry(factor.of, factor.by, Place("j", "i"))
                top, bottom = self._places(factor)
                return self._fraction(factor, top, bottom)
        raise AssertionError(step.left)

    def _places(self, factor: Factor) -> tuple[Place, Place]:
        """Where T and S stand in ∂T/∂S."""
        local = self.locals.get(factor)
        if isinstance(local, Multiplied):
            return Place("p", "i"), Place("k", "i") if local.left else Place("j", "k")
        row = "i" if factor.by.batched else "k" if len(factor.by.shape) == 2 else ""
        return Place("p", "i"), Place("j", row)

    def _fraction(self, factor: Factor, top: Place, bottom: Place) -> Look:
        """∂T/∂S"""
        looks = []
        for symbol, place in ((factor.of, top), (factor.by, bottom)):
            plain = self.names.leaf(symbol, self._letters(symbol, place)).look
            plain = self._norm(symbol) if symbol.how in _NORMS else plain
            looks.append(Row((Atom("∂"), plain)))
        return Frac(looks[0], looks[1])

    def _line(self, writer: Matrices | Components, equation: Equation) -> Math:
        group = self.grouped[id(writer)].get(equation.target.name)
        if group is None:
            group = Grouped("backward", equation)
        sides = writer.relations(group)[-1].sides
        return sides[-1]

    def _substituted(self, e: Expression, left: Side) -> Math:
        assert isinstance(left, Value)
        self.long.inside = {}
        if isinstance(self.long, Components):
            return self.long._expression(e, self._place(left.symbol))
        self.long.want = self.names.flipped(left.symbol)
        return self.long._expression(e, self.long.want)

    def _slope(self, factor: Factor, e: Expression) -> Right:
        self.long.inside = {}
        if isinstance(self.long, Components):
            if factor.of.shape == ():
                return self.long._expression(e, self._places(factor)[1])
            value = self.long._expression(e, Place("j", "i"))
            delta = Delta("p", "j")
            return delta if value == Number(1.0) else Apply("mul", (delta, value))
        self.long.want = self.names.flipped(factor.of)
        value = self.long._expression(e, self.long.want)
        activation = self.long.activations.of(factor.of.name)
        setter = Typesetter(linear=True, sigmoid=self.table.sigmoid)
        if self.table.function is not None and activation is not None and activation.z == factor.by.name:
            look = self.names.function(factor.of, labelled=self.long._labelled(), slope=True)
            call = Call(look, (self.names.leaf(factor.by),), activation.derivative, over=("", ""))
            whole = [setter.look(call), setter.look(value)]
            if self.table.diagonal:
                whole = [Row((Atom("diag", "word"), Fenced("(", x, ")"))) for x in whole]
            return row(whole[0], "=", whole[1])
        return value

    def _multiplied(self, side: Multiplied) -> Math:
        if not isinstance(self.long, Components):
            return self.names.leaf(side.other)
        if side.left:
            return self.names.leaf(side.other, self._letters(side.other, Place("p", "k")))
        other = self.names.leaf(side.other, self._letters(side.other, Place("k", "i")))
        return Apply("mul", (Delta("p", "j"), other))

    def _jacobian(self, factor: Factor) -> Math:
        """∂a_p/∂z_j, in components whatever the notation."""
        activation = self.parts.activations.of(factor.of.name)
        if activation is None:
            return self.parts._entry(factor.of, factor.by, Place("j", "i"))
        self.parts.inside = {}
        return self.parts._jacobian(jacobian(activation, factor.of.name, {}), Place("j", "i"))

    # --- products of factors -----------------------------------------------------------------------------------

    def _chain(self, ways: tuple[tuple[Factor, ...], ...], step: Step) -> Look:
        terms = [self._way(way, step) for way in ways]
        looks: list[Look] = []
        for term in terms:
            looks += [Atom("+", "infix"), term] if looks else [term]
        return Row(tuple(looks))

    def _way(self, way: tuple[Factor, ...], step: Step) -> Look:
        """∂J/∂A · ∂A/∂Z · ..., in components with the sums over what stands between."""
        ends = self._end(step)
        if not self.table.components:
            looks = [self._fraction(f, ends, ends) for f in way]
            return _between(looks, Atom("·", "infix"))
        places, sums = self._along(way, ends)
        looks = [self._fraction(f, a, b) for f, a, b in zip(way, places, places[1:], strict=False)]
        whole = _between(looks, TIMES)
        return Big("Σ", joined([Atom(x) for x in sums], ","), whole) if sums else whole

    def _end(self, step: Step) -> Place:
        return self._place(step.left.symbol) if isinstance(step.left, Value) else Place()

    def _along(self, way: tuple[Factor, ...], end: Place) -> tuple[list[Place], list[str]]:
        """The places from J to the end, and the letters that are summed over."""
        nodes = [f.of for f in way[1:]]  # between J and the end, from J on
        places: list[Place] = []
        sums: list[str] = []
        samples: set[str] = set()
        taken = (end.row, end.column)
        free = [x for x in "pqruv" if x not in taken]
        rows = iter([x for x in "ist" if x not in taken] + [f"s{k}" for k in range(len(nodes))])
        sample = end.row if way[-1].by.batched else next(rows)
        for k, (node, factor) in enumerate(zip(reversed(nodes), reversed(way), strict=False)):
            if self.mixed and factor not in self.locals and factor.by.batched:
                sample = next(rows)  # a normalisation: each sample acts on all
            samples.add(sample)
            row = sample if node.batched else ""
            column = "" if node.shape == () else free[k] if k < len(free) else f"p{k}"
            places.insert(0, Place(column, row))
            sums += [x for x in self._letters(node, places[0]) if x not in sums and x not in taken]
        return [Place(), *places, end], sorted(sums, key=lambda x: x not in samples)

    def _put_in(self, step: Step) -> list[tuple[Right, str]]:
        """In components: the factor's value in the sum, where a δ says which terms vanish."""
        assert isinstance(step.right, Chain)
        ways = step.right.ways
        if not isinstance(self.long, Components) or len(ways) != 1 or len(ways[0]) != 2:
            return []
        of = self.said.long.gradient_of.get(ways[0][1].of.name)
        local = self.locals.get(ways[0][1])
        if of is None or not isinstance(local, Slope | Multiplied) or (isinstance(local, Multiplied) and local.left):
            return []
        value = self._multiplied(local) if isinstance(local, Multiplied) else self._slope(ways[0][1], local.expression)
        assert not isinstance(value, Row)
        at_p = self.names.leaf(of, self._letters(of, Place("p", "i")))
        letters = "p" if ways[0][1].by.batched else "i,p"
        body = Apply("mul", (at_p, value))  # type: ignore[arg-type]
        return [(Fold("sum", letters, body), "the terms with p ≠ j vanish, for δ is 0 there")]

    def _dimensions(self, side: Chain) -> str:
        """In numerator layout, for one sample: 1 × 3 · 3 × 4."""
        if not self.table.diagonal:
            return ""
        return " + ".join(" · ".join(f"({_width(f.of)} × {_width(f.by)})" for f in way) for way in side.ways)


def _width(symbol: Symbol) -> str:
    """How many elements a sample has of it; of weights, in the orientation that acts on columns."""
    sizes = [str(d) for d in symbol.shape if d != BATCH]
    return "1" if not sizes else sizes[0] if len(sizes) == 1 else f"({' × '.join(sizes[::-1])})"


def _between(looks: list[Look], sign: Look) -> Look:
    parts: list[Look] = []
    for look in looks:
        parts += [sign, look] if parts else [look]
    return Row(tuple(parts))


def _by_target(program: Program) -> dict[str, Grouped]:
    return {line.target.name: line for line in lines(program) if line.section == "backward"}
