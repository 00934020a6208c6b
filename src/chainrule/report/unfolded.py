"""The steps of gradients, from the chain rule to the line, that unfold under an equation of the page."""

from __future__ import annotations

from typing import Any

from chainrule.notation import MATHEMATICAL
from chainrule.notation.steps import StepView, remark, step_views
from chainrule.program.equation import Program
from chainrule.report.words import prose
from chainrule.rules.steps import steps

MOST = 260_000
"""Characters of all steps together."""


def unfolded(program: Program) -> dict[str, Any]:
    """{"texts": [...], "steps": {notation: {gradient: [[formula, reason], ...]}}, "remarks": {notation: ...}}, formulas
    and reasons by their places in the texts.

    Of the gradient by each weight matrix, the last layer first, in every notation; so many as the page has room for.
    (A bias goes the same way.)  Lines that gradients share are there once.
    """
    texts: dict[str, int] = {}
    told: dict[str, dict[str, list[list[int]]]] = {name: {} for name in MATHEMATICAL}
    remarks: dict[str, str] = {}
    length = 0
    for symbol, gradient in reversed(program.gradients):
        if symbol.role != "parameter" or len(symbol.shape) != 2:
            continue
        worked = steps(program, gradient.name)
        said = {name: [_line(view) for view in step_views(worked, name)] for name in MATHEMATICAL}
        length += sum(map(len, {text for lines in said.values() for line in lines for text in line} - texts.keys()))
        if length > MOST:
            break
        remarks |= {name: remark(worked, name) for name in MATHEMATICAL}
        for name, lines in said.items():
            told[name][gradient.name] = [[texts.setdefault(text, len(texts)) for text in line] for line in lines]
    return {"texts": list(texts), "steps": told, "remarks": remarks}


def _line(view: StepView) -> tuple[str, str]:
    return view.mathml, prose(" ".join(filter(None, (view.why, view.dimensions))))
