"""A look as LaTeX: only commands that KaTeX, MathJax and matplotlib's mathtext all know."""

from __future__ import annotations

import re

from chainrule.notation.typeset import Atom, Big, Fenced, Frac, Hat, Look, Named, Root, Row, Scripts, bare

_SIGNS = {
    "σ": r"\sigma", "δ": r"\delta", "Δ": r"\Delta", "∇": r"\nabla", "∂": r"\partial", "λ": r"\lambda",
    "α": r"\alpha", "η": r"\eta", "γ": r"\gamma", "β": r"\beta", "μ": r"\mu", "ε": r"\epsilon", "π": r"\pi",
    "ρ": r"\rho", "ν": r"\nu",
    "ℓ": r"\ell", "𝓛": r"\mathcal{L}", "⊙": r"\odot", "Σ": r"\sum", "≤": r"\leq", "≥": r"\geq", "≠": r"\neq",
    "·": r"\cdot", "×": r"\times", "τ": r"\tau",
    "−": "-", "ᵀ": r"\top", "′": r"\prime", "‖": r"\Vert", "|": r"\vert", "{": r"\{", "}": r"\}", "…": r"\ldots",
    "∞": r"\infty", "∈": r"\in", ":=": ":=", "↦": r"\mapsto",
}  # fmt: skip
_FUNCTIONS = frozenset({"exp", "log", "tanh", "max", "min", "sin", "cos"})
COMMANDS = frozenset({*(w for v in _SIGNS.values() for w in re.findall(r"\\[a-zA-Z]+", v)),
                      r"\frac", r"\sqrt", r"\hat", r"\mathrm", r"\left", r"\right", r"\;", r"\,",
                      *("\\" + f for f in _FUNCTIONS)})  # fmt: skip
"""Every command that may appear."""


def text(look: Look) -> str:
    """The look in LaTeX's mathematics, without dollars."""
    return re.sub(r" +", " ", _latex(look)).strip()


def prose(words: str) -> str:
    """Words between formulas: what LaTeX reads as a command is escaped, and signs stand between dollars."""
    said = re.sub(r"[_%&#$]", r"\\\g<0>", words)
    said = re.sub(r"(\w) (≠|≤|≥) (\w)", lambda m: f"${m[1]} {_SIGNS[m[2]]} {m[3]}$", said)
    return "".join(f"${_SIGNS[c]}$" if ord(c) > 127 and c in _SIGNS else c for c in said)


def _latex(look: Look) -> str:
    match look:
        case Atom(letters, "number"):
            return _number(letters)
        case Atom(letters, "infix"):
            return f" {_SIGNS.get(letters, letters)} "
        case Atom(letters, "prefix"):
            return _SIGNS.get(letters, letters)
        case Atom(_, "times"):
            return r" \, "
        case Atom(letters, "comma"):
            return f"{letters} "
        case Atom(letters, "word" | "text") if letters not in _SIGNS:
            if letters in _FUNCTIONS:
                return f"\\{letters} "
            return r"\mathrm{" + letters.replace(" ", r"\;").replace("_", r"\_") + "}"
        case Atom(letters, _):
            return "".join(_SIGNS.get(c, c) + " " * (c in _SIGNS) for c in letters)
        case Row(items):
            return "".join(_latex(item) for item in items)
        case Scripts(base, sub, sup):
            low = "" if sub is None else f"_{{{text(sub)}}}"
            high = "" if sup is None else f"^{{{text(sup)}}}"
            return f"{_base(base)}{low}{high}"
        case Frac(top, bottom):
            return rf"\frac{{{text(top)}}}{{{text(bottom)}}}"
        case Root(inside):
            return rf"\sqrt{{{text(inside)}}}"
        case Hat(base):
            return rf"\hat{{{text(base)}}}"
        case Fenced(left, Atom(letters, "number"), right):  # a label keeps its size
            return f"{_SIGNS.get(left, left)}{letters}{_SIGNS.get(right, right)}"
        case Fenced(left, inside, right):
            return rf"\left{_SIGNS.get(left, left)} {text(inside)} \right{_SIGNS.get(right, right)}"
        case Big(sign, below, body):
            head = _SIGNS.get(sign, rf"\{sign}")
            return f"{head}{'' if below is None else f'_{{{text(below)}}}'} {_latex(body)}"
        case Named(_, inside):
            return _latex(inside)


def _number(letters: str) -> str:
    """1e-05 as 10 to the -5."""
    if "e" not in letters:
        return letters
    digits, exponent = letters.split("e")
    power = f"10^{{{int(exponent)}}}"
    return power if digits == "1" else rf"{digits} \times {power}"


def _base(base: Look) -> str:
    """The base of a script: in braces where it is more than a letter."""
    inside = text(base)
    if isinstance(bare(base), Fenced | Hat) or len(inside) == 1:
        return inside
    return f"{{{inside}}}"
