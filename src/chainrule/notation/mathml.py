"""A look as MathML Core, which browsers draw by themselves."""

from __future__ import annotations

from html import escape

from chainrule.notation.typeset import Atom, Big, Fenced, Frac, Hat, Look, Named, Root, Row, Scripts, bare


def text(look: Look, *, display: bool = True, symbols: bool = False) -> str:
    """A whole <math> element.  symbols: what stands for a symbol of the program has its name, `data-symbol`."""
    block = ' display="block"' if display else ""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{block}>{_mathml(look, symbols)}</math>'


def _mathml(look: Look, symbols: bool) -> str:
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
            return f"<mrow>{''.join(_mathml(item, symbols) for item in items)}</mrow>"
        case Scripts(base, None, None):
            return _mathml(base, symbols)
        case Scripts(base, sub, None) if sub is not None:
            return f"<msub>{_mathml(base, symbols)}{_mathml(sub, symbols)}</msub>"
        case Scripts(base, None, sup) if sup is not None:
            return f"<msup>{_mathml(base, symbols)}{_mathml(sup, symbols)}</msup>"
        case Scripts(base, sub, sup):
            assert sub is not None and sup is not None
            return f"<msubsup>{_mathml(base, symbols)}{_mathml(sub, symbols)}{_mathml(sup, symbols)}</msubsup>"
        case Frac(top, bottom):
            return f"<mfrac>{_mathml(top, symbols)}{_mathml(bottom, symbols)}</mfrac>"
        case Root(inside):
            return f"<msqrt>{_mathml(inside, symbols)}</msqrt>"
        case Hat(base):
            return f'<mover accent="true">{_mathml(base, symbols)}<mo stretchy="false">^</mo></mover>'
        case Fenced(left, inside, right):
            size = ' stretchy="false"' if isinstance(bare(inside), Atom) else ""
            opening = f'<mo form="prefix" fence="true"{size}>{escape(left)}</mo>'
            closing = f'<mo form="postfix" fence="true"{size}>{escape(right)}</mo>'
            return f"<mrow>{opening}{_mathml(inside, symbols)}{closing}</mrow>"
        case Big(sign, below, body):
            head = "<mo>∑</mo>" if sign == "Σ" else f"<mo>{escape(sign)}</mo>"
            if below is not None:
                head = f"<munder>{head}{_mathml(below, symbols)}</munder>"
            return f"<mrow>{head}{_mathml(body, symbols)}</mrow>"
        case Named(symbol, inside):
            written = _mathml(inside, symbols)
            return f'<mrow data-symbol="{escape(symbol)}">{written}</mrow>' if symbols else written


def _number(letters: str) -> str:
    if "e" not in letters:
        return f"<mn>{escape(letters)}</mn>"
    digits, exponent = letters.split("e")
    sign = str(int(exponent)).replace("-", "−")
    power = f"<msup><mn>10</mn><mn>{sign}</mn></msup>"
    return power if digits == "1" else f"<mrow><mn>{digits}</mn><mo>×</mo>{power}</mrow>"
