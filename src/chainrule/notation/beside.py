"""Values side by side, and some columns of one, as they are written."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.notation.typeset import Atom, Look, Row
from chainrule.program.op import Beside
from chainrule.program.symbol import Symbol
from chainrule.program.text import laid_out


def side_by_side(op: Beside, operands: tuple[Symbol, ...], looks: Sequence[Look], between: str) -> Row:
    """[A | B]"""
    parts: list[Look] = []
    for k in laid_out(op, operands):
        parts += [Atom(f" {between} ", "text"), Atom("0", "number") if k is None else looks[k]]
    return Row((Atom("[", "text"), *parts[1:], Atom("]", "text")))


def span(start: int, count: int) -> str:
    """Columns as a text counts them, from 1: "1 to 32"."""
    return f"{start + 1}" if count == 1 else f"{start + 1} to {start + count}"
