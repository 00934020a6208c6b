"""Look: what stands on the page, before a format is chosen.

    look ::= Atom(text, kind)                     a letter, word, number or sign
           | Row(looks)                           side by side
           | Scripts(base, sub, sup)              W₁, Z⁽²⁾, Aᵀ
           | Frac(top, bottom) | Root(inside) | Hat(base)
           | Fenced(left, inside, right)          brackets
           | Big(sign, below, body)               Σ or max with an index under it
           | Named(symbol, inside)                what stands for a symbol of the program

unicode.py, latex.py and mathml.py turn a look into text; nothing else knows about formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AtomKind = Literal["letter", "word", "number", "infix", "prefix", "times", "comma", "text"]


@dataclass(frozen=True)
class Atom:
    """What is not taken apart."""

    text: str
    """What is written."""
    kind: AtomKind = "letter"
    """letter: a variable (italic); word: a name of several letters (upright); infix, prefix: + and - with their
    spacing; times: the product that is not written; text: prose inside a formula."""


@dataclass(frozen=True)
class Row:
    """Looks side by side."""

    items: tuple[Look, ...]
    """From left to right."""


@dataclass(frozen=True)
class Scripts:
    """A base with something below it, above it, or both."""

    base: Look
    """What they belong to."""
    sub: Look | None = None
    """Below, if anything."""
    sup: Look | None = None
    """Above, if anything."""


@dataclass(frozen=True)
class Frac:
    """top / bottom; in a line of text, bracketed already where that is needed."""

    top: Look
    """What is divided."""
    bottom: Look
    """By what."""


@dataclass(frozen=True)
class Root:
    """A square root."""

    inside: Look
    """What the root is of."""


@dataclass(frozen=True)
class Hat:
    """A letter with a hat."""

    base: Look
    """The letter."""


@dataclass(frozen=True)
class Fenced:
    """Brackets of any kind around something."""

    left: str
    """The bracket before."""
    inside: Look
    """What stands between."""
    right: str
    """The bracket after."""


@dataclass(frozen=True)
class Big:
    """Σ_i body, max_j body."""

    sign: str
    """Σ or max."""
    below: Look | None
    """What it runs over, if that is said."""
    body: Look
    """What it is of."""


@dataclass(frozen=True)
class Named:
    """What stands for a symbol: no format shows it, but what points at a symbol finds it by this."""

    symbol: str
    """Its name in the program."""
    inside: Look
    """How it is written."""
    flipped: bool = False
    """Whether it stands for the transpose of the program's array."""


Look = Atom | Row | Scripts | Frac | Root | Hat | Fenced | Big | Named

TIMES = Atom("", "times")
MATRIX_TIMES = Atom("×", "times")
"""The product of two matrices: written as nothing, too, but a picture of its factors has the sign."""


def bare(look: Look) -> Look:
    """The look itself, whatever it stands for."""
    return look.inside if isinstance(look, Named) else look


def row(*items: Look | str) -> Row:
    """Looks side by side; a string is an infix sign."""
    return Row(tuple(Atom(x, "infix") if isinstance(x, str) else x for x in items))


def joined(items: list[Look], sign: str) -> Look:
    """Looks with commas between them."""
    parts: list[Look] = []
    for item in items:
        parts += [Atom(sign, "comma"), item] if parts else [item]
    return Row(tuple(parts))
