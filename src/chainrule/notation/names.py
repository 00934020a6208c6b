"""How a notation writes a program's symbols: Z1 as Z⁽¹⁾, Z^[1], z₁ or z_{j,i}^[1]; dZ1 as ∂J/∂Z⁽¹⁾, Δ^[1] or G⁽¹⁾."""

from __future__ import annotations

import re

from chainrule.notation.tables import GradientStyle, Kind, Notation
from chainrule.notation.tree import Leaf
from chainrule.notation.typeset import Atom, Fenced, Frac, Hat, Look, Row, Scripts, joined
from chainrule.program.equation import Program
from chainrule.program.symbol import BATCH, Symbol

_NAME = re.compile(r"^([A-Za-z]+?(?:_[a-z]+)*)(\d+[a-z]?)?(_\d+)?$")
_ALWAYS = {"gamma": "γ", "beta": "β", "lambda": "λ", "ell": "ℓ"}
_PREFIXED = ("norm1_", "norm2_", "n_", "sum_d")
_ACTING = ("W", "b")


class Names:
    """The looks of one program's symbols in one notation."""

    def __init__(self, program: Program, notation: Notation) -> None:
        self.notation = notation
        self.symbols = program.symbols
        x = self.symbols.get("X")
        self.tokens = x is not None and x.integers
        self._parameters = {s.name for s in program.parameters}

    # --- what kind of array it is ------------------------------------------------------------------------------

    def kind(self, symbol: Symbol) -> Kind:
        """The kind, by which a notation decides what stands transposed."""
        if symbol.shape == ():
            return "scalar"
        if symbol.batched:
            gradient = symbol.role == "gradient" or symbol.name.startswith("sum_d")
            return "data gradient" if gradient and len(symbol.shape) == 2 else "data"
        if len(symbol.shape) == 1:
            return "vector"
        return "table" if symbol.name.lstrip("d").split("_")[-1] == "E" else "weights"

    def flipped(self, symbol: Symbol) -> bool:
        """Whether the notation's array is the transpose of the program's."""
        return not symbol.integers and self.kind(symbol) in self.notation.flipped

    # --- looks -------------------------------------------------------------------------------------------------

    def leaf(self, symbol: Symbol, letters: tuple[str, ...] = ()) -> Leaf:
        """The symbol as a formula, with its indices in components."""
        look, compound = self._look(symbol, letters)
        array = symbol.shape != () and not self.notation.components
        return Leaf(symbol.name, look, array, letters, self.flipped(symbol), compound)

    def alias(self, symbol: Symbol, letter: str, letters: tuple[str, ...] = (), *, hat: bool = False) -> Leaf:
        """The symbol under another letter: X for A⁽⁰⁾, Ŷ for the last A."""
        base: Look = Hat(Atom(letter)) if hat else Atom(letter)
        look = _scripts(base, _indices(letters), None) if letters else base
        return Leaf(symbol.name, look, not self.notation.components, letters, self.flipped(symbol))

    def change(self, symbol: Symbol) -> Leaf:
        """dW = -(rate) ∂E/∂W, what an update adds."""
        look = Row((Atom("d"), self._look(symbol, ())[0]))
        return Leaf(f"change of {symbol.name}", look, symbol.shape != (), (), self.flipped(symbol))

    def function(self, symbol: Symbol, *, labelled: bool, slope: bool = False, letter: str = "") -> Look:
        """g^[l], or its slope g^[l]′; letter: its component."""
        n = self.notation
        base: Look = Atom(n.function or "g")
        label = self._label(symbol.name) if labelled else None
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
        name, n = symbol.name, self.notation
        if name.startswith("t_") and name[2:] in self.symbols:  # a tangent, in Pearlmutter's letter
            return Row((Atom("R"), Fenced("{", self._look(self.symbols[name[2:]], letters)[0], "}"))), False
        if name == BATCH:
            return Atom(n.size), False
        if symbol.role == "rate":
            return Atom(n.rate), False
        if symbol.role == "cost":
            return Atom(n.cost), False
        if name == "L" and symbol.role == "loss":
            return _scripts(Atom(n.loss), _indices(letters), None), False
        if symbol.role == "slot":
            slot, of = name.split("_", 1)
            return Scripts(Atom(slot), self._look(self.symbols[of], letters)[0]), False
        if symbol.role == "gradient" and name[1:] in self.symbols:
            return self._gradient(self.symbols[name[1:]], letters)
        for prefix in _PREFIXED:
            if name.startswith(prefix) and name[len(prefix) :] in self.symbols:
                inner = self._look(self.symbols[name[len(prefix) :]], ())[0]
                word = Atom({"n_": "count", "sum_d": "sum"}.get(prefix, "norm"), "word")
                return Scripts(word, inner), False
        return self._plain(symbol, letters), False

    def _plain(self, symbol: Symbol, letters: tuple[str, ...]) -> Look:
        found = _NAME.match(symbol.name)
        if found is None:
            return _scripts(Atom(symbol.name, "word"), _indices(letters), None)
        base, number, extra = found.groups()
        if base == "X" and not self.tokens and number is None:
            base, number = "A", "0"
        elif base == "X" and number == "0":
            base = "A"
        label = self._label_of(base, number, symbol)
        look = self._base(base, extra, symbol)
        sub: Look | None = _indices(letters)
        sup: Look | None = None
        if label is not None and self.notation.lowered:
            sub = label
        elif label is not None:
            sup = label
        return _scripts(look, sub, sup)

    def _base(self, base: str, extra: str | None, symbol: Symbol) -> Look:
        letter = self.notation.letters.get(base, _ALWAYS.get(base, base))
        if base == "Y" and symbol.role in ("inner", "target"):
            letter = self.notation.onehot
        if base == "A_n":
            return Hat(Atom(self.notation.letters.get("A", "A")))
        if base == "E" and symbol.role != "parameter":
            letter = base.lower() if self.notation.components else base
        if base == "Ys":
            return Scripts(Atom(self.notation.letters.get("Y", "Y")), Atom("s"))
        if base == "step_size":
            return Scripts(Atom(self.notation.rate), Atom(self.notation.letters.get("t", "t")))
        if len(letter) == 1:
            return Atom(letter) if not extra else Scripts(Atom(letter), Atom(extra[1:], "number"))
        words = {"mean": "mean", "var": "var"}.get(base, base.replace("_", " ") if symbol.shape == () else base)
        if base.startswith(("sum_", "max_")) and symbol.shape != ():
            head, tail = base.split("_", 1)
            below: dict[str, Look] = {"mu": Atom("μ"), "var": Scripts(Atom("σ"), None, Atom("2", "number"))}
            return Scripts(Atom(head, "word"), below.get(tail, Atom(tail)))
        if base.startswith("sum_") or extra:
            words = base.split("_")[0] + (extra or "").replace("_", "")
        return Atom(words, "word")

    def _label(self, name: str) -> Look | None:
        found = _NAME.match(name)
        return None if found is None else self._label_of(found.group(1), found.group(2), self.symbols[name])

    def _label_of(self, base: str, number: str | None, symbol: Symbol) -> Look | None:
        if number is None:
            return None
        if self.notation.acting and base in _ACTING and number.isdecimal():
            number = str(int(number) - 1)
        left, _, right = self.notation.label.partition("{}")
        inside = Atom(number, "number")
        return Fenced(left, inside, right) if left else inside

    def _gradient(self, of: Symbol, letters: tuple[str, ...]) -> tuple[Look, bool]:
        n = self.notation
        known = _NAME.match(of.name)
        z = known is not None and known.group(1) == "Z"
        which = 2 if of.name in self._parameters else 0 if z else 1
        style: GradientStyle = n.gradients[which]
        inner = self._look(of, letters)[0]
        cost = Atom(n.cost)
        if style == "named":
            label = self._label(of.name)
            return Scripts(Atom(n.error), None, label), False
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
