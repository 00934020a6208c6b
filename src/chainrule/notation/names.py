"""How a notation writes a program's symbols: Z1 as Z⁽¹⁾, Z^[1], z₁ or z_{j,i}^[1]; dZ1 as ∂J/∂Z⁽¹⁾, Δ^[1] or G⁽¹⁾."""

from __future__ import annotations

from dataclasses import replace

from chainrule.notation.tables import ArrayKind, GradientStyle, Notation
from chainrule.notation.tree import Leaf
from chainrule.notation.typeset import Atom, AtomKind, Fenced, Frac, Hat, Look, Named, Row, Scripts, joined
from chainrule.program.equation import Program
from chainrule.program.op import Gather
from chainrule.program.symbol import BATCH, Label, Symbol

_ALWAYS = {"gamma": "γ", "beta": "β", "lambda": "λ", "ell": "ℓ", "rho": "ρ", "mu": "μ"}
_WORDS = {"norm1": "norm", "norm2": "norm", "largest": "max", "count": "count", "ones": "1", "gradient sum": "sum"}
"""How what is said of a symbol is written, that symbol below."""
_ON_THE_WAY = {"step": "U", "gram": "G", "next": "N", "norm": "ν", "squared": "Q", "sign": "σ", "mean": "mean"}
"""The letters of what an optimizer computes on its way, the parameter below."""
_BELOW: dict[str, Look] = {"mu": Atom("μ"), "var": Scripts(Atom("σ"), None, Atom("2", "number"))}
_ACTING = ("W", "b")
"""The letters of what acts on the layer before."""


class Names:
    """The looks of one program's symbols in one notation."""

    def __init__(self, program: Program, notation: Notation) -> None:
        self.notation = notation
        self.symbols = program.symbols
        self.inputs = next((s for s in program.given if s.role == "input" and not s.mark), None)
        """The only input, which is A⁽⁰⁾; several have names."""
        taken = {s.layer for s in program.symbols.values() if s.letter == "A" and not s.of and not s.mark}
        self.embedded: dict[Symbol, Label] = {}
        """What embeddings give is an A as well: of its own number, or 1b where A⁽¹⁾ is another value."""
        for symbol in program.symbols.values():
            label = symbol.layer
            if symbol.letter == "X" and label is not None and not symbol.of:
                while label in taken:
                    label = Label(label.number, label.repeat + 1)
                taken.add(label)
                self.embedded[symbol] = label
        self.tables = frozenset(e.operands[0] for e in program.equations if isinstance(e.op, Gather))
        """What tokens are looked up in."""
        """Y as the loss reads it: given, one-hot, or smoothed."""

    # --- what kind of array it is ------------------------------------------------------------------------------

    def kind(self, symbol: Symbol) -> ArrayKind:
        """The kind, by which a notation decides what stands transposed."""
        if symbol.shape == ():
            return "scalar"
        if symbol.batched:
            gradient = symbol.role == "gradient" or symbol.how == "gradient sum"
            return "data gradient" if gradient and len(symbol.shape) == 2 else "data"
        if len(symbol.shape) == 1:
            return "vector"
        return "table" if symbol.root in self.tables else "weights"

    def flipped(self, symbol: Symbol) -> bool:
        """Whether the notation's array is the transpose of the program's."""
        return not symbol.integers and self.kind(symbol) in self.notation.flipped

    # --- looks -------------------------------------------------------------------------------------------------

    def leaf(self, symbol: Symbol, letters: tuple[str, ...] = ()) -> Leaf:
        """The symbol as a formula, with its indices in components."""
        look, compound = self._look(symbol, letters)
        array = symbol.shape != () and not self.notation.components
        flipped = self.flipped(symbol)
        return Leaf(symbol.name, Named(symbol.name, look, flipped), array, letters, flipped, compound)

    def alias(self, symbol: Symbol, letter: str, letters: tuple[str, ...] = (), *, hat: bool = False) -> Leaf:
        """The symbol under another letter: X for A⁽⁰⁾, Ŷ for the last A."""
        base: Look = Hat(Atom(letter)) if hat else Atom(letter)
        look = _scripts(base, _indices(letters), None) if letters else base
        flipped = self.flipped(symbol)
        named = Named(symbol.name, look, flipped)
        return Leaf(symbol.name, named, not self.notation.components, letters, flipped)

    def change(self, symbol: Symbol) -> Leaf:
        """dW = -(rate) ∂E/∂W, what an update adds."""
        look = Row((Atom("d"), self._look(symbol, ())[0]))
        return Leaf(f"change of {symbol.name}", look, symbol.shape != (), (), self.flipped(symbol))

    def function(self, symbol: Symbol, *, labelled: bool, slope: bool = False, letter: str = "") -> Look:
        """g^[l], or its slope g^[l]′; letter: its component."""
        n = self.notation
        base: Look = Atom(n.function or "g")
        label = self._label(symbol) if labelled else None
        sub: Look | None = _indices((letter,)) if letter else None
        sup: Look | None = None
        if label is not None and n.lowered:
            sub = label
        elif label is not None:
            sup = label
        if slope:
            prime = Atom("′")
            sup = prime if sup is None else Row((sup, prime))
        return _scripts(base, sub, sup)

    def _look(self, symbol: Symbol, letters: tuple[str, ...]) -> tuple[Look, bool]:
        n, how = self.notation, symbol.how
        if how == "tangent":  # in Pearlmutter's letter
            return Row((Atom("R"), Fenced("{", self._look(symbol.of[0], letters)[0], "}"))), False
        if symbol.role == "size" and symbol.letter == BATCH:
            return Atom(n.size), False
        if symbol.role == "rate" and symbol.letter == "lr":
            return Scripts(Atom(n.rate), Atom(symbol.mark, "word")) if symbol.mark else Atom(n.rate), False
        if symbol.role == "cost":
            return Atom(n.cost), False
        if symbol.role == "loss" and symbol.batched:
            output = Atom(symbol.mark, "word") if symbol.mark else None
            return _scripts(Atom(n.loss), _indices(letters), output), False
        if how == "slot":
            return Scripts(Atom(symbol.letter), self._look(symbol.of[0], letters)[0]), False
        if how in _ON_THE_WAY:
            copy = None if symbol.copy == 1 else Fenced("(", Atom(str(symbol.copy), "number"), ")")
            return Scripts(Atom(_ON_THE_WAY[how]), self._look(symbol.of[0], letters)[0], copy), False
        if how == "gradient" and symbol.role == "gradient":
            return self._gradient(symbol.of[0], letters)
        if how in _WORDS:
            return Scripts(Atom(_WORDS[how], "word"), self._look(symbol.of[0], ())[0]), False
        if how == "smoothed":
            base = Scripts(Atom(n.letters.get(symbol.letter, symbol.letter)), Atom("s"))
            return _scripts(base, _indices(letters), None), False
        if how:
            return _scripts(Atom(symbol.name, "word"), _indices(letters), None), False
        return self._plain(symbol, letters), False

    def _plain(self, symbol: Symbol, letters: tuple[str, ...]) -> Look:
        if symbol == self.inputs and not symbol.integers:
            symbol = Symbol("A", symbol.shape, layer=Label(0))
        elif symbol in self.embedded:
            symbol = replace(symbol, letter="A", layer=self.embedded[symbol])
        label, look = self._label(symbol), self._base(symbol)
        sub: Look | None = _indices(letters)
        sup: Look | None = None
        if label is not None and self.notation.lowered:
            sub = label
        elif label is not None:
            sup = label
        return _scripts(look, sub, sup)

    def _base(self, symbol: Symbol) -> Look:
        n = self.notation
        letter = n.letters.get(symbol.letter, _ALWAYS.get(symbol.letter, symbol.letter))
        copy = "" if symbol.copy == 1 else str(symbol.copy)
        if symbol.letter == "A" and symbol.mark:
            return Hat(Atom(letter))
        if symbol.letter == "Y" and symbol.role in ("inner", "target"):
            letter = n.onehot
        if symbol.letter == "E" and symbol.role != "parameter":
            letter = symbol.letter.lower() if n.components else symbol.letter
        if symbol.letter == "step_size":
            return Scripts(Atom(n.rate), Atom(n.letters.get("t", "t") + copy))
        if len(letter) == 1:
            below = symbol.mark or copy
            # An input's own name is a word; "numbers" is no number with an exponent.
            kind: AtomKind = "word" if len(symbol.mark) > 1 else "number"
            return Scripts(Atom(letter), Atom(below, kind)) if below else Atom(letter)
        if symbol.mark and symbol.shape != ():
            return Scripts(Atom(letter, "word"), _BELOW.get(symbol.mark, Atom(symbol.mark)))
        words = symbol.letter.replace("_", " ") if symbol.shape == () else symbol.letter
        return Atom(words + copy, "word")

    def _label(self, symbol: Symbol) -> Look | None:
        label = symbol.layer
        if label is None:
            return None
        if self.notation.acting and symbol.letter in _ACTING and label.repeat == 1:
            label = Label(label.number - 1)
        before, after = self.notation.label
        inside = Atom(str(label), "number")
        return Fenced(before, inside, after) if before else inside

    def _gradient(self, of: Symbol, letters: tuple[str, ...]) -> tuple[Look, bool]:
        n = self.notation
        which = 2 if of.role == "parameter" else 0 if of.letter == "Z" and not of.how else 1
        style: GradientStyle = n.gradients[which]
        inner = self._look(of, letters)[0]
        cost = Atom(n.cost)
        if style == "named":
            return Scripts(Atom(n.error), None, self._label(of)), False
        if style == "nabla":
            return Row((Scripts(Atom("∇"), inner), cost)), True
        if style == "jacobian":
            return Row((Atom("J"), Fenced("(", cost, ")"), Fenced("(", inner, ")"))), False
        return Frac(Row((Atom("∂"), cost)), Row((Atom("∂"), inner))), True


def _indices(letters: tuple[str, ...]) -> Look | None:
    return joined([Atom(x) for x in letters], ",") if letters else None


def _scripts(base: Look, sub: Look | None, sup: Look | None) -> Look:
    if sub is None and sup is None:
        return base
    if isinstance(base, Scripts):  # a letter with a script of its own: both below
        below = joined([x for x in (base.sub, sub) if x is not None], ",") if base.sub or sub else None
        return Scripts(base.base, below, sup if base.sup is None else base.sup)
    return Scripts(base, sub, sup)
