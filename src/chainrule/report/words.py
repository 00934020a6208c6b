"""Sentences of the page: what each section of a derivation is, and plain text with its formulas typeset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from chainrule.describe.optimizers import Optimizer
from chainrule.notation import MATHEMATICAL, EquationView, mathml
from chainrule.notation.reasons import RULES, Reasons
from chainrule.notation.tree import Relation, Typesetter
from chainrule.program.equation import Program
from chainrule.report.markup import Html

_RAISED = re.compile(r"\^(\([^()]*\)|\[[^\[\]]*\]|[A-Za-z0-9]+)")
_LOWERED = re.compile(r"(?<=[A-Za-z∇])_([A-Za-z0-9]+)")
_LINE = re.compile("\0(\\d+)\0")


def sections(optimizer: Optimizer | None) -> Mapping[str, str]:
    """What each section does, a sentence each."""
    rule = "" if optimizer is None else RULES.get(type(optimizer).__name__, "")
    how = f" {rule[0].upper()}{rule[1:]}." if rule else ""
    return {
        "forward": "From the inputs to the prediction, layer after layer.",
        "cost": "How wrong the predictions are, as one number: what training makes small.",
        "backward": "The chain rule, from the cost back to the first layer: each line is the gradient of the cost by "
        "one quantity, and uses those above it.",
        "update": f"What a step of training does with the gradients.{how}",
    }


def prose(text: str) -> Html:
    """Plain text as HTML, what is raised or lowered in it typeset: Z^[l], ∇_A J."""
    return Html(_LOWERED.sub(r"<sub>\1</sub>", _RAISED.sub(r"<sup>\1</sup>", escape(text))))


class Explained:
    """Why the lines of a derivation hold, as HTML: the lines that they go back through are formulas there."""

    def __init__(self, notation: str, program: Program) -> None:
        self._table = MATHEMATICAL.get(notation)
        self._equations = {(section, e.target.name): e for section, part in program.sections() for e in part}
        self._reasons = Reasons(program)
        self._lines: list[Html] = []
        self._places: dict[str, str] = {}

    def line(self, view: EquationView) -> Html:
        """Of the next line."""
        equation = self._equations.get((view.section, view.targets[-1])) if view.targets else None
        if equation is None:
            return prose(view.why)
        said = self._reasons.reason(view.section, equation, self._places)
        self._places.update(dict.fromkeys(view.targets, f"\0{len(self._lines)}\0"))
        self._lines.append(self._short(view))
        pieces = _LINE.split(said)
        return Html("".join(self._lines[int(p)] if k % 2 else prose(p) for k, p in enumerate(pieces)))

    def _short(self, view: EquationView) -> Html:
        """The line without what else it is equal to."""
        if self._table is None or view.relation is None:
            return Html(f"<code>{escape(view.unicode.splitlines()[0])}</code>")
        own = Relation(view.relation.target, view.relation.sides[:1], view.relation.sign)
        look = Typesetter(linear=False, sigmoid=self._table.sigmoid).relation(own)
        return Html(mathml.text(look, display=False))
