"""The mathematics of one line: what is said, before its look; and the one layout of it.

    math ::= Number | Leaf(symbol) | Transpose(math) | Product(math, math)          a product of matrices
           | Apply(scalar function, maths)                                          element by element
           | Fold(Σ or max, over, math) | Call(g, maths, its formula) | Diagonal(math)
           | Delta(j, p) | Phrase(words)                                            lookups, masks, one-hot rows

Every node still has a value: a test evaluates each line and holds it to the engine's numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from chainrule.notation.typeset import (
    MATRIX_TIMES,
    TIMES,
    Atom,
    Big,
    Fenced,
    Frac,
    Look,
    Root,
    Row,
    Scripts,
    bare,
    joined,
    row,
)
from chainrule.program.scalar import Expression
from chainrule.program.text import ATOM, PRECEDENCE, number

SUM, TERM, FACTOR = PRECEDENCE["add"], PRECEDENCE["mul"], PRECEDENCE["neg"]
CONSTANTS: Mapping[float, Look] = {
    3.141592653589793: Atom("π"),
    6.283185307179586: Row((Atom("2", "number"), Atom("π"))),
    1.4142135623730951: Root(Atom("2", "number")),
    1.1283791670955126: Row((Atom("2", "number"), Atom("/", "letter"), Root(Atom("π")))),
    0.7978845608028654: Root(Row((Atom("2", "number"), Atom("/", "letter"), Atom("π")))),
    0.7978845608028653: Root(Row((Atom("2", "number"), Atom("/", "letter"), Atom("π")))),
}
"""Numbers that have a name."""


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float
    """As the program has it."""
    array = False


@dataclass(frozen=True)
class Leaf:
    """A symbol of the program."""

    name: str
    """The symbol's."""
    look: Look
    """How it is written."""
    array: bool = False
    """Whether it has more than one element."""
    letters: tuple[str, ...] = ()
    """Its indices, in components."""
    flipped: bool = False
    """Whether it stands for the transpose of the program's array."""
    compound: bool = False
    """Whether its look needs brackets before a script (a quotient)."""


@dataclass(frozen=True)
class Transpose:
    """insideᵀ"""

    inside: Math
    """What is transposed."""
    array = True


@dataclass(frozen=True)
class Product:
    """left right, a product of matrices."""

    left: Math
    """The first factor."""
    right: Math
    """The second."""
    array = True


@dataclass(frozen=True)
class Apply:
    """A scalar function, element by element."""

    function: str
    """Its name in the program."""
    arguments: tuple[Math, ...]
    """What it is of."""

    @property
    def array(self) -> bool:
        """Whether it has more than one element."""
        return any(a.array for a in self.arguments)


@dataclass(frozen=True)
class Fold:
    """Σ or max of body."""

    kind: str
    """"sum" or "max"."""
    letter: str
    """The index that it runs over."""
    body: Math
    """What is added up or compared."""
    axis: int | None = None
    """Of the body as it stands; None: all."""
    array: bool = False
    """Whether the result has more than one element."""


@dataclass(frozen=True)
class Call:
    """look(arguments): a named function."""

    look: Look
    """Of its name."""
    arguments: tuple[Math, ...]
    """What it is of."""
    meaning: Expression = field(compare=False)
    """Its formula, the first argument called z."""
    array: bool = True
    """Whether the result has more than one element."""
    over: tuple[str, str] = ("", "")
    """Components: (the letter of the result, the letter the formula's reductions run over)."""


@dataclass(frozen=True)
class Diagonal:
    """rows diag(inside): each sample's row of `rows` times the diagonal matrix of that sample's column of `inside`."""

    rows: Math
    """What is multiplied."""
    inside: Math
    """What stands on the diagonal."""
    array = True


@dataclass(frozen=True)
class Delta:
    """1 where the two indices are equal, else 0 (Kronecker)."""

    left: str
    """An index."""
    right: str
    """Another."""
    array = False


@dataclass(frozen=True)
class Phrase:
    """What is said in words."""

    name: str
    """The symbol of the program whose equation it says."""
    look: Look
    """The words."""
    array: bool = True
    """Whether the value has more than one element."""
    letters: tuple[str, ...] = ()
    """Its indices, in components."""
    flipped: bool = False
    """Whether it stands for the transpose of the program's array."""
    of: Math | None = None
    """What stands before the words, if anything does."""


Math = Number | Leaf | Transpose | Product | Apply | Fold | Call | Diagonal | Delta | Phrase


@dataclass(frozen=True)
class Relation:
    """target = sides[0] = sides[1] ..."""

    target: Math
    """What is defined."""
    sides: tuple[Math, ...]
    """What it is equal to, from the shortest on."""
    sign: str = "="
    """`:=` where a stored value is overwritten."""


_INFIX = {"add": "+", "sub": "−", "lt": "<", "le": "≤", "gt": ">", "ge": "≥", "eq": "=", "ne": "≠"}
_COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
_WORDS = {"minimum": "min", "maximum": "max"}
_BY: Mapping[str, Callable[[Math], Math]] = {
    "log1p": lambda x: Apply("log", (Apply("add", (Number(1.0), x)),)),
    "expm1": lambda x: Apply("sub", (Apply("exp", (x,)), Number(1.0))),
    "softplus": lambda x: Apply("log", (Apply("add", (Number(1.0), Apply("exp", (x,)))),)),
    "stop": lambda x: x,
}
"""Functions that are written by others: what their names stand for."""


class Typesetter:
    """From mathematics to a look.  linear: for one line of text, where a quotient needs brackets of its own."""

    def __init__(self, *, linear: bool, sigmoid: str = "σ") -> None:
        self.linear = linear
        self.sigmoid = sigmoid

    def relation(self, said: Relation) -> Look:
        """The whole line."""
        parts: list[Look] = [self._math(said.target)[0]]
        for side in said.sides:
            parts += [Atom(said.sign, "infix"), self._math(side)[0]]
        return Row(tuple(parts))

    def look(self, m: Math) -> Look:
        """The look of a formula by itself."""
        return self._math(m)[0]

    def _math(self, m: Math) -> tuple[Look, int]:
        match m:
            case Number(value):
                return self._number(value)
            case Leaf():
                return m.look, ATOM
            case Phrase(_, look):
                whole = look if m.of is None else Row((self.look(m.of), look))
                return whole, ATOM if isinstance(whole, Fenced) else SUM
            case Delta(left, right):
                return Scripts(Atom("δ"), joined([Atom(left), Atom(right)], ",")), ATOM
            case Transpose(inside):
                return Scripts(self._base(inside), None, Atom("ᵀ")), ATOM
            case Product(left, right):
                return row(self._factor(left, matrix=True), MATRIX_TIMES, self._factor(right, matrix=True)), TERM
            case Diagonal(rows, inside):
                diagonal = Row((Atom("diag", "word"), Fenced("(", self._math(inside)[0], ")")))
                return row(self._factor(rows, matrix=True), MATRIX_TIMES, diagonal), TERM
            case Call(look, arguments):
                return Row((look, Fenced("(", joined([self._math(a)[0] for a in arguments], ","), ")"))), ATOM
            case Fold():
                return self._fold(m)
            case Apply():
                return self._apply(m)

    def _number(self, value: float) -> tuple[Look, int]:
        if value < 0:
            return Row((Atom("−", "prefix"), self._number(-value)[0])), SUM
        if value not in CONSTANTS and len(number(value)) > 8:  # a third is not 0.3333333333333333
            near = Fraction(value).limit_denominator(1000)
            if near.denominator > 1 and math.isclose(near, value, rel_tol=1e-15):
                parts = Atom(str(near.numerator), "number"), Atom(str(near.denominator), "number")
                return Frac(*parts), PRECEDENCE["div"] if self.linear else FACTOR
        return CONSTANTS.get(value, Atom(number(value), "number")), ATOM

    def _at_least(self, m: Math, level: int) -> Look:
        look, its = self._math(m)
        return look if its >= level else Fenced("(", look, ")")

    def _factor(self, m: Math, *, matrix: bool = False, last: bool = False) -> Look:
        """m as a factor: in brackets where a sum, or where a product of the other kind would be misread."""
        other = isinstance(m, Product | Diagonal) if not matrix else isinstance(m, Apply) and m.function == "mul"
        quotient = self.linear and isinstance(m, Apply) and m.function == "div"
        if other or quotient or (isinstance(m, Fold) and not last):
            look, level = self._math(m)
            return look if level == ATOM else Fenced("(", look, ")")
        return self._at_least(m, TERM)

    def _base(self, m: Math) -> Look:
        """m as the base of a script: in brackets unless it is one letter without a raised label."""
        look, level = self._math(m)
        form = bare(look)
        single = isinstance(form, Atom | Fenced) or (isinstance(form, Scripts) and form.sup is None)
        if isinstance(form, Root) or (level == ATOM and single and not (isinstance(m, Leaf) and m.compound)):
            return look
        return Fenced("(", look, ")")

    def _fold(self, m: Fold) -> tuple[Look, int]:
        body = m.body
        if m.kind == "sum" and m.axis is None and not m.letter and isinstance(body, Apply):
            inner = self._math(body.arguments[0])[0]
            if body.function == "pow" and body.arguments[1] == Number(2.0):
                return Scripts(Fenced("‖", inner, "‖"), None, Atom("2", "number")), ATOM
            if body.function == "abs":
                return Scripts(Fenced("‖", inner, "‖"), Atom("1", "number")), ATOM
        below = joined([Atom(x) for x in m.letter.split(",")], ",") if m.letter else None
        sign = "Σ" if m.kind == "sum" else m.kind
        return Big(sign, below, self._at_least(body, TERM)), TERM

    # --- element by element ------------------------------------------------------------------------------------

    def _apply(self, m: Apply) -> tuple[Look, int]:
        f, arguments = m.function, m.arguments
        if f in _BY:
            return self._math(_BY[f](arguments[0]))
        if f in _COMPARISONS:
            return Fenced("[", self._condition(m), "]"), ATOM
        if f in ("add", "sub"):
            level = PRECEDENCE[f]
            right = self._at_least(arguments[1], level if f == "add" else level + 1)
            if f == "add" and self._math(arguments[1])[1] == SUM and _negative(arguments[1]):
                right = Fenced("(", self._math(arguments[1])[0], ")")
            return row(self._at_least(arguments[0], level), _INFIX[f], right), level
        if f == "neg":
            return Row((Atom("−", "prefix"), self._at_least(arguments[0], TERM))), SUM
        if f in ("mul", "div"):
            return self._product(m)
        if f == "pow":
            exponent = self._math(arguments[1])[0]
            return Scripts(self._base(arguments[0]), None, exponent), PRECEDENCE["pow"]
        if f == "sqrt":
            return Root(self._math(arguments[0])[0]), ATOM
        if f == "abs":
            return Fenced("|", self._math(arguments[0])[0], "|"), ATOM
        if f == "where":
            return self._where(*arguments)
        name = Atom(self.sigmoid, "letter" if len(self.sigmoid) == 1 else "word") if f == "sigmoid" else None
        inside = joined([self._math(a)[0] for a in arguments], ",")
        return Row((name or Atom(_WORDS.get(f, f), "word"), Fenced("(", inside, ")"))), ATOM

    def _condition(self, m: Math) -> Look:
        """A condition without the brackets that make it 1 or 0."""
        if isinstance(m, Transpose) and isinstance(m.inside, Apply) and m.inside.function in _COMPARISONS:
            return Scripts(Fenced("(", self._condition(m.inside), ")"), None, Atom("ᵀ"))
        if not (isinstance(m, Apply) and m.function in _COMPARISONS):
            return self._math(m)[0]
        left, right = m.arguments
        level = PRECEDENCE[m.function]
        return row(self._at_least(left, level), _INFIX[m.function], self._at_least(right, level + 1))

    def _where(self, condition: Math, then: Math, otherwise: Math) -> tuple[Look, int]:
        """x where the condition holds: x ⊙ [condition] if the rest is 0."""
        compared = condition.inside if isinstance(condition, Transpose) else condition
        one_or_zero = isinstance(compared, Apply) and compared.function in _COMPARISONS
        bracket = self._math(condition)[0] if one_or_zero else Fenced("[", self._math(condition)[0], "]")
        if otherwise == Number(0.0):
            if then == Number(1.0):
                return bracket, ATOM
            sign: Look = Atom("⊙", "infix") if then.array and condition.array else TIMES
            return Row((self._factor(then), sign, bracket)), TERM
        parts = [self._math(then)[0], Atom(" if ", "text"), self._condition(condition), Atom(", else ", "text")]
        return Fenced("{", Row((*parts, self._math(otherwise)[0])), "}"), ATOM

    def _product(self, m: Apply) -> tuple[Look, int]:
        """Numbers and single values first, as one quotient; then the arrays, with ⊙ between them."""
        if m.function == "div" and m.arguments[1].array:
            if self.linear:
                top = self._at_least(m.arguments[0], TERM)
                return row(top, "/", self._base_or_factor(m.arguments[1])), PRECEDENCE["div"]
            return Frac(self._math(m.arguments[0])[0], self._math(m.arguments[1])[0]), FACTOR
        tops, bottoms = _parts(m)
        beside = bool(bottoms) and not any(_indexed(x) for b in bottoms for x in _nodes(b))
        # Without a quotient the factors keep their order.
        small = [x for x in tops if not x.array and bottoms and not _large(x) and not (beside and _indexed(x))]
        large = [x for x in tops if not x.array and x not in small]
        arrays = [x for x in tops if x.array]
        if bottoms and not small and len(large) == 1 and not arrays and _simple_quotient(large[0], bottoms):
            small, large = large, []
        single = len(small) + len(large) + len(arrays) == 1
        parts: list[Look] = []
        if bottoms:
            quotient = self._quotient(small, bottoms)
            alone = not large and not arrays
            if self.linear and not alone:
                quotient = Fenced("(", quotient, ")")
            parts.append(quotient)
            if alone:
                return quotient, PRECEDENCE["div"] if self.linear else FACTOR
        else:
            parts += [self._factor(x) for x in small]
        parts += [self._factor(x, last=x is large[-1] and not arrays) for x in large]
        looks: list[Look] = []
        for part in parts:
            looks += [TIMES, part] if looks else [part]
        single = len(arrays) == 1
        for k, x in enumerate(arrays):
            part = self._at_least(x, TERM) if single and not isinstance(x, Fold) else self._factor(x, last=single)
            if looks:
                looks.append(TIMES if k == 0 else Atom("⊙", "infix"))
            looks.append(part)
        return Row(tuple(looks)), TERM

    def _quotient(self, tops: list[Math], bottoms: list[Math]) -> Look:
        def times(factors: list[Math]) -> Look:
            if not factors:
                return Atom("1", "number")
            if len(factors) == 1:
                look, level = self._math(factors[0])
                return look if level >= FACTOR or not self.linear else Fenced("(", look, ")")
            looks = [self._factor(x) for x in factors]
            inner = Row(tuple(x for k, part in enumerate(looks) for x in ((TIMES, part) if k else (part,))))
            return inner

        top, bottom = times(tops), times(bottoms)
        if self.linear and len(bottoms) > 1:
            bottom = Fenced("(", bottom, ")")
        return Frac(top, bottom)

    def _base_or_factor(self, m: Math) -> Look:
        look, level = self._math(m)
        return look if level >= FACTOR else Fenced("(", look, ")")


def _parts(m: Math) -> tuple[list[Math], list[Math]]:
    """The factors above and below the line of nested products and quotients by single values."""
    if isinstance(m, Apply) and m.function == "mul":
        (a, b), (c, d) = _parts(m.arguments[0]), _parts(m.arguments[1])
        return a + c, b + d
    if isinstance(m, Apply) and m.function == "div" and not m.arguments[1].array:
        (a, b), (c, d) = _parts(m.arguments[0]), _parts(m.arguments[1])
        return [x for x in a if x != Number(1.0)] + d, b + c
    return [m], []


def _large(m: Math) -> bool:
    """Sums stand beside a quotient, not in it."""
    return isinstance(m, Fold) or (isinstance(m, Apply) and m.function in ("add", "sub", "where"))


def _nodes(m: Math) -> list[Math]:
    """The formula and those in it."""
    match m:
        case Apply(_, arguments) | Call(_, arguments):
            inner = list(arguments)
        case Transpose(inside) | Fold(_, _, inside):
            inner = [inside]
        case Product(a, b) | Diagonal(a, b):
            inner = [a, b]
        case _:
            inner = []
    return [m, *(x for i in inner for x in _nodes(i))]


def _simple_quotient(top: Math, bottoms: list[Math]) -> bool:
    """Whether (a + b) / c reads better as one quotient: where the divisor is more than a number or a count."""
    return not isinstance(top, Fold) and not all(isinstance(x, Number | Leaf) and not _indexed(x) for x in bottoms)


def _indexed(m: Math) -> bool:
    return isinstance(m, Leaf) and bool(m.letters)


def _negative(m: Math) -> bool:
    return (isinstance(m, Number) and m.value < 0) or (isinstance(m, Apply) and m.function == "neg")
