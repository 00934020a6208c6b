"""The steps of gradients, from the chain rule to the line, that unfold under an equation of the page."""

from __future__ import annotations

from typing import Any

from chainrule.notation import MATHEMATICAL
from chainrule.program.equation import Program
from chainrule.report.words import prose

MOST = 260_000
"""Characters of all steps together."""


def unfolded(program: Program) -> dict[str, Any]:
    """{"texts": [...], "steps": {notation: {gradient: [[formula, reason], ...]}}}, both by their places in the texts.

    Of each parameter's gradient, weights first and the last layer first, in every notation; so many as the page has
    room for.  Lines that gradients share are there once.
    """
    texts: dict[str, int] = {}
    steps: dict[str, dict[str, list[list[int]]]] = {name: {} for name in MATHEMATICAL}
    pairs = [(s, g) for s, g in reversed(program.gradients) if s.role == "parameter"]
    length = 0
    for _, gradient in sorted(pairs, key=lambda pair: -len(pair[0].shape)):
        views = {name: program.steps(gradient.name, name).views for name in MATHEMATICAL}
        said = {
            n: [(v.mathml, prose(" ".join(filter(None, (v.why, v.dimensions))))) for v in vs] for n, vs in views.items()
        }
        new = {text for lines in said.values() for line in lines for text in line} - texts.keys()
        length += sum(map(len, new))
        if length > MOST:
            break
        for name, lines in said.items():
            steps[name][gradient.name] = [[texts.setdefault(text, len(texts)) for text in line] for line in lines]
    return {"texts": list(texts), "steps": steps}
