"""A look as MathML Core, which browsers draw by themselves."""

from __future__ import annotations

from html import escape

from chainrule.notation.typeset import Atom, Big, Fenced, Frac, Hat, Look, Root, Row, Scripts


def text(look: Look, *, display: bool = True) -> str:
    """A whole <math> element."""
    block = ' display="block"' if display else ""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{block}>{_mathml(look)}</math>'


def _mathml(look: Look) -> str:
    match look:
        case Atom(letters, "number"):
            return _number(letters)
        case Atom(letters, "infix"):
            return f"<mo>{escape(letters)}</mo>"
        case Atom(letters, "prefix"):
            return f'<mo form="prefix">{escape(letters)}</mo>'
        case Atom(_, "times"):
            return '<mspace width="0.17em"></mspace>'
        case Atom(letters, "comma"):
            return f'<mo separator="true">{escape(letters)}</mo>'
        case Atom(letters, "text"):
            return f"<mtext>{escape(letters)}</mtext>".replace(" ", "&#160;")
        case Atom(letters, "word"):
            return f'<mi mathvariant="normal">{escape(letters)}</mi>'
        case Atom("ᵀ", _):
            return '<mi mathvariant="normal">⊤</mi>'
        case Atom(letters, _):
            return f"<mi>{escape(letters)}</mi>"
        case Row(items):
            return f"<mrow>{''.join(_mathml(item) for item in items)}</mrow>"
        case Scripts(base, None, None):
            return _mathml(base)
        case Scripts(base, sub, None) if sub is not None:
            return f"<msub>{_mathml(base)}{_mathml(sub)}</msub>"
        case Scripts(base, None, sup) if sup is not None:
            return f"<msup>{_mathml(base)}{_mathml(sup)}</msup>"
        case Scripts(base, sub, sup):
            assert sub is not None and sup is not None
            return f"<msubsup>{_mathml(base)}{_mathml(sub)}{_mathml(sup)}</msubsup>"
        case Frac(top, bottom):
            return f"<mfrac>{_mathml(top)}{_mathml(bottom)}</mfrac>"
        case Root(inside):
            return f"<msqrt>{_mathml(inside)}</msqrt>"
        case Hat(base):
            return f'<mover accent="true">{_mathml(base)}<mo stretchy="false">^</mo></mover>'
        case Fenced(left, inside, right):
            size = ' stretchy="false"' if isinstance(inside, Atom) else ""
            opening = f'<mo form="prefix" fence="true"{size}>{escape(left)}</mo>'
            closing = f'<mo form="postfix" fence="true"{size}>{escape(right)}</mo>'
            return f"<mrow>{opening}{_mathml(inside)}{closing}</mrow>"
        case Big(sign, below, body):
            head = "<mo>∑</mo>" if sign == "Σ" else f"<mo>{escape(sign)}</mo>"
            if below is not None:
                head = f"<munder>{head}{_mathml(below)}</munder>"
            return f"<mrow>{head}{_mathml(body)}</mrow>"


def _number(letters: str) -> str:
    if "e" not in letters:
        return f"<mn>{escape(letters)}</mn>"
    digits, exponent = letters.split("e")
    power = f"<msup><mn>10</mn><mn>{escape(str(int(exponent)))}</mn></msup>"
    return power if digits == "1" else f"<mrow><mn>{digits}</mn><mo>×</mo>{power}</mrow>"
