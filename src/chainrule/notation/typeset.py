"""Look: what stands on the page, before a format is chosen.

    look ::= Atom(text, kind)                     a letter, word, number or sign
           | Row(looks)                           side by side
           | Scripts(base, sub, sup)              W₁, Z⁽²⁾, Aᵀ
           | Frac(top, bottom) | Root(inside) | Hat(base)
           | Fenced(left, inside, right)          brackets
           | Big(sign, below, body)               Σ or max with an index under it

unicode.py, latex.py and mathml.py turn a look into text; nothing else knows about formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["letter", "word", "number", "infix", "prefix", "times", "comma", "text"]


@dataclass(frozen=True)
class Atom:
    """letter: a variable (italic); word: a name of several letters (upright); infix, prefix: + and - with their
    spacing; times: the product that is not written; text: prose inside a formula.
    """

    text: str
    kind: Kind = "letter"


@dataclass(frozen=True)
class Row:
    """Looks side by side."""

    items: tuple[Look, ...]


@dataclass(frozen=True)
class Scripts:
    """A base with something below it, above it, or both."""

    base: Look
    sub: Look | None = None
    sup: Look | None = None


@dataclass(frozen=True)
class Frac:
    """top / bottom; in a line of text, bracketed already where that is needed."""

    top: Look
    bottom: Look


@dataclass(frozen=True)
class Root:
    """A square root."""

    inside: Look


@dataclass(frozen=True)
class Hat:
    """A letter with a hat."""

    base: Look


@dataclass(frozen=True)
class Fenced:
    """Brackets of any kind around something."""

    left: str
    inside: Look
    right: str


@dataclass(frozen=True)
class Big:
    """Σ_i body, max_j body."""

    sign: str
    below: Look | None
    body: Look


Look = Atom | Row | Scripts | Frac | Root | Hat | Fenced | Big

TIMES = Atom("", "times")


def row(*items: Look | str) -> Row:
    """Looks side by side; a string is an infix sign."""
    return Row(tuple(Atom(x, "infix") if isinstance(x, str) else x for x in items))


def joined(items: list[Look], sign: str) -> Look:
    """Looks with commas between them."""
    parts: list[Look] = []
    for item in items:
        parts += [Atom(sign, "comma"), item] if parts else [item]
    return Row(tuple(parts))
