"""Values side by side, and some columns of one, as they are written."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.notation.typeset import Atom, Fenced, Look, Row
from chainrule.program.op import Beside, GroupedMatMul, ReduceGroups, Repeat
from chainrule.program.symbol import Symbol
from chainrule.program.text import grouped, laid_out, reduced, repeated


def side_by_side(op: Beside, operands: tuple[Symbol, ...], looks: Sequence[Look], between: str) -> Row:
    """[A | B]"""
    parts: list[Look] = []
    for k in laid_out(op, operands):
        parts += [Atom(f" {between} ", "text"), Atom("0", "number") if k is None else looks[k]]
    return Row((Atom("[", "text"), *parts[1:], Atom("]", "text")))


def in_groups(op: GroupedMatMul, product: Look) -> Fenced:
    """(A W in 3 groups)"""
    return Fenced("(", Row((product, Atom(f" {grouped(op)}", "text"))), ")")


def over_groups(op: Repeat | ReduceGroups, look: Look, *, columns: bool) -> Look:
    """(A 3 times side by side), (sum of the 3 groups of A); columns: whether a feature is a row here."""
    said = repeated(op, "{}") if isinstance(op, Repeat) else f"{reduced(op)} {{}}"
    if columns:
        said = said.replace("each column", "each row").replace("side by side", "one below the other")
    before, after = said.split("{}")
    return Fenced("(", Row((Atom(before, "text"), look, Atom(after, "text"))), ")")


def over_shards(kind: str, look: Look) -> Look:
    """T_k, added up over the shards"""
    words = "added up" if kind == "sum" else "the largest"
    return Row((look, Atom(f", {words} over the shards", "text")))


def span(start: int, count: int) -> str:
    """Columns as a text counts them, from 1: "1 to 32"."""
    return f"{start + 1}" if count == 1 else f"{start + 1} to {start + count}"
