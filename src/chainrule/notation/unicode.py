"""A look as one line of Unicode text."""

from __future__ import annotations

import unicodedata

from chainrule.notation.typeset import Atom, Big, Fenced, Frac, Hat, Look, Named, Root, Row, Scripts, bare

_SUPERSCRIPT = dict(zip("0123456789()+-ᵀ′n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁽⁾⁺⁻ᵀ′ⁿ", strict=True))
_SUBSCRIPT = dict(zip("0123456789()+-", "₀₁₂₃₄₅₆₇₈₉₍₎₊₋", strict=True))


def text(look: Look) -> str:
    """The look in one line."""
    match look:
        case Atom(letters, "infix"):
            return f" {letters} "
        case Atom(_, "times"):
            return " "
        case Atom(letters, "comma"):
            return f"{letters} "
        case Atom(letters, _):
            return letters
        case Row(items):
            return "".join(text(item) for item in items)
        case Scripts(base, sub, sup):
            return text(base) + _script(sub, _SUBSCRIPT, "_") + _script(sup, _SUPERSCRIPT, "^")
        case Frac(top, bottom):
            return f"{text(top)}/{text(bottom)}"
        case Root(inside):
            return f"√{text(inside)}" if isinstance(bare(inside), Atom) else f"√({text(inside)})"
        case Hat(base):
            return unicodedata.normalize("NFC", text(base) + "\u0302")
        case Fenced(left, inside, right):
            return f"{left}{text(inside)}{right}"
        case Big(sign, below, body):
            return f"{sign}{_script(below, _SUBSCRIPT, '_')} {text(body)}"
        case Named(_, inside):
            return text(inside)


def _script(look: Look | None, letters: dict[str, str], sign: str) -> str:
    """A script in small letters where Unicode has them all; else after _ or ^, in braces where it is long."""
    if look is None:
        return ""
    plain = text(look).replace(", ", ",")
    if all(c in letters for c in plain):
        return "".join(letters[c] for c in plain)
    bracketed = plain.startswith("[") and plain.endswith("]") and plain.count("]") == 1
    if bracketed and len(plain) > 3 and plain[-2] in "ᵀ²":
        bracketed = False
    if plain[0] == "[" and plain.count("]") == 1 and not bracketed:  # a label with a transpose or a prime after it
        label, rest = plain.split("]")
        return f"{sign}{label}]{''.join(letters.get(c, c) for c in rest)}"
    return f"{sign}{plain}" if len(plain) == 1 or bracketed else f"{sign}{{{plain}}}"
