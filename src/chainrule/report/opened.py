"""An opened equation: its operands as pictures where the line has them, its operators and brackets between them.

The picture is read off the look that the line itself is typeset from, so that the two cannot differ:

    node ::= "+"                                      a sign
           | {"of": name, "flipped": ...}             the array of a symbol, transposed where it is flipped; of
                                                      the result "after", what has overwritten it
           | {"math": MathML}                         what holds no symbol
           | {"row": nodes} | {"in": [left, node, right]} | {"over": [top, bottom]} | {"root": node}
           | {"script": node, "math": MathML}         a power, or the transpose of more than one symbol
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.glass.trace import Trace
from chainrule.notation import MATHEMATICAL, EquationView, mathml
from chainrule.notation.names import Names
from chainrule.notation.tables import ROW
from chainrule.notation.tree import Leaf, Relation, Typesetter
from chainrule.notation.typeset import (
    MATRIX_TIMES,
    TIMES,
    Atom,
    Big,
    Fenced,
    Frac,
    Hat,
    Look,
    Named,
    Root,
    Row,
    Scripts,
)
from chainrule.program.equation import Program
from chainrule.report.heat import Heats

Array = NDArray[Any]
Node = str | dict[str, Any]
_TRANSPOSED = Atom("ᵀ")


class Opened:
    """The lines of one notation with the arrays behind them."""

    def __init__(self, notation: str, program: Program, trace: Trace, heats: Heats | None) -> None:
        self.code = notation not in MATHEMATICAL
        self.table = MATHEMATICAL.get(notation, ROW)
        self.names = Names(program, self.table)
        self.program, self.trace, self.heats = program, trace, heats
        self._after: set[str] = set()
        """What lines so far have overwritten."""
        self.symbols: dict[str, dict[str, Any]] = {}
        """By name: how it is written, its shape; where the page does not compute it, the number of its array, and of
        that after the step if it is stored."""

    def line(self, view: EquationView) -> dict[str, Any]:
        """One line: its texts; the picture of its right side; what it defines, reads, and reads `after` its update."""
        line: dict[str, Any] = {
            "section": view.section, "mathml": view.mathml, "latex": view.latex, "text": view.unicode,
            "shape": view.shape, "why": view.why,
        }  # fmt: skip
        setter = Typesetter(linear=False, sigmoid=self.table.sigmoid)
        reads = list(view.operands)
        if view.relation is not None and not self.code:
            line["mathml"] = mathml.text(setter.relation(view.relation), symbols=True)
            reads += [name for side in view.relation.sides for name in symbols(setter.look(side))]
        target = view.targets[-1] if view.targets else None
        if target is None and view.operands:  # Ŷ = A, A = X: one array under two names
            target = view.operands[-1]
        if target is None or not self._known(target):
            return line
        line["targets"], line["reads"] = view.targets, [n for n in dict.fromkeys(reads) if self._known(n)]
        leaf = view.relation.target if view.relation is not None else None
        line["result"] = _array(target, isinstance(leaf, Leaf) and leaf.flipped)
        if after := [name for name in line["reads"] if name in self._after]:
            line["after"] = after
        if view.section == "update" and target in self.trace.updated:
            line["result"]["after"] = True
            self._after.add(target)
        if view.targets and view.relation is not None:
            line["picture"] = {"row": _items(min_pictures(view.relation, setter))}
        return line

    def _known(self, name: str) -> bool:
        """Whether there is an array of that name, which is then kept."""
        if name in self.symbols:
            return True
        if name not in self.trace and name not in self.trace.updated:
            return False
        symbol = self.program.symbols[name]
        about: dict[str, Any] = {"mathml": self.written(name), "samples": symbol.batched}
        arrays = {"array": self.trace.get(name), "after": self.trace.updated.get(name)}
        there = {which: np.asarray(array) for which, array in arrays.items() if array is not None}
        about["shape"] = list(next(iter(there.values())).shape)
        if self.heats is not None:
            about |= {which: self.heats.add(array) for which, array in there.items()}
        self.symbols[name] = about
        return True

    def written(self, name: str) -> str:
        """A symbol as the notation has it, as HTML."""
        if self.code:
            return f"<code>{name}</code>"
        return mathml.text(self.names.leaf(self.program.symbols[name]).look, display=False, symbols=True)


def min_pictures(relation: Relation, setter: Typesetter) -> Look:
    """That side of the line which needs the fewest pictures, of equals the last: tanh(Z), not g(Z)."""
    looks = [setter.look(side) for side in relation.sides]
    counts = [sum(1 for _ in symbols(look)) for look in looks]
    return looks[max(k for k, n in enumerate(counts) if n == min(counts))]


def symbols(look: Look) -> Iterator[str]:
    """The names of the symbols in a look, from left to right."""
    match look:
        case Named(symbol):
            yield symbol
        case Row(items):
            for item in items:
                yield from symbols(item)
        case Atom():
            pass
        case Scripts(base, sub, sup):
            for part in (base, sub, sup):
                yield from symbols(part) if part is not None else ()
        case Frac(top, bottom):
            yield from symbols(top)
            yield from symbols(bottom)
        case Root(inside) | Hat(inside) | Fenced(_, inside, _):
            yield from symbols(inside)
        case Big(_, below, body):
            yield from symbols(below) if below is not None else ()
            yield from symbols(body)


def picture(look: Look) -> Node:
    """The look with pictures in the place of its symbols."""
    match look:
        case Named(symbol, _, flipped):
            return _array(symbol, flipped)
        case Scripts(Named(symbol, _, flipped), None, sup) | Scripts(
            Fenced(_, Named(symbol, _, flipped), _), None, sup
        ) if sup == _TRANSPOSED:
            return {**_array(symbol, not flipped), "math": mathml.text(look, display=False, symbols=True)}
        case Atom(_, "infix" | "prefix" | "comma"):
            return look.text
        case _ if look == MATRIX_TIMES:
            return look.text
        case _ if look == TIMES:
            return "·"
        case _ if next(symbols(look), None) is None:
            return {"math": mathml.text(look, display=False)}
        case Row():
            return {"row": _items(look)}
        case Fenced(left, inside, right):
            return {"in": [left, picture(inside), right]}
        case Frac(top, bottom):
            return {"over": [picture(top), picture(bottom)]}
        case Root(inside) | Hat(inside):
            return {"root": picture(inside)}
        case Scripts(base, None, sup) if sup is not None:
            inside = base.inside if isinstance(base, Fenced) and base.left == "(" else base
            inside = inside if isinstance(inside, Named) else base
            return {"script": picture(inside), "math": mathml.text(sup, display=False)}
        case Scripts(base, _, _):
            return picture(base)
        case Big(sign, below, body):
            head = mathml.text(Big(sign, below, Row(())), display=False)
            return {"row": [{"math": head}, *_items(body)]}
        case _:
            return {"math": mathml.text(look, display=False)}


def _items(look: Look) -> list[Node]:
    if not isinstance(look, Row) or next(symbols(look), None) is None:
        return [picture(look)]
    return [node for item in look.items for node in _items(item)]


def _array(symbol: str, flipped: bool) -> dict[str, Any]:
    return {"of": symbol, "flipped": True} if flipped else {"of": symbol}
