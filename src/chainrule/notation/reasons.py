"""Why a line holds: the rule that wrote it, in words, and the line that it goes back through."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.describe.canonical import canonical_pairs
from chainrule.describe.combine import KINDS
from chainrule.describe.constraints import CONSTRAINTS
from chainrule.describe.optimizers import OPTIMIZERS
from chainrule.program.equation import Equation, Program

RULES: Mapping[str, str] = {
    **{rule: text for kind in KINDS.values() for rule, text in kind.reasons.items()},
    **{kind.__name__: kind.reason for kind in OPTIMIZERS.values()},
    **{kind.__name__: kind.reason for kind in CONSTRAINTS.values()},
    **{pair.name: pair.reason for pair in canonical_pairs().values()},
    "one-hot": "a label as a row of zeros with a 1 in its place",
    "label smoothing": "label smoothing: a share of each label is spread evenly over the classes",
    "sum of the losses": "the losses of all samples added up",
    "sum of weights": "the weights of all samples added up",
    "penalty": "penalty: the size of the weights",
    "cost": "the cost: what is minimised",
    "slope": "chain rule: the gradient by the result times the slope of the result",
    "product rule": "product rule: of a product T = P Q, with dT the gradient by T, it is dP = dT Qᵀ and dQ = Pᵀ dT",
    "parts of a whole": "side by side: each part gets its own columns of the gradient",
    "part of a whole": "some columns: their gradient in its place, and 0 beside it",
    "lookup rule": "lookup: each row of the table gathers the gradients of the places it was used at",
    "sum over what repeats": "what is used for every row or column gets the sum of their gradients",
    "sum of the parts": "used in several places: their gradients add up",
    "ties": "how many values share the maximum: they share its gradient",
    "clipping": "clipping: the squared size of a gradient",
    "clipping by the global norm": "clipping: all gradients are shortened alike where together they are too long",
    "running statistics": "running mean: a part of the old value and a part of this batch's",
    "average": "average: a share of the newest values, the rest of those before",
    "rows of the batch": "only the rows that the batch names: the gradient of the others is 0, which leaves them as "
    "they are",
    "rows of the batch, lazily": "only the rows that the batch names, lazily: the others keep their values and what is "
    "remembered of them, which the optimizer would change otherwise",
    "tangent": "tangent: each operand's change times the slope by it, added up",
}
"""What each rule's name stands for; of layers, optimizers and canonical pairs where they are described."""

_OTHERS: Mapping[str, str] = {"forward": "layer", "cost": "loss", "backward": "rule", "update": "update rule"}
"""By section, what a rule that is not in the table is."""


class Reasons:
    """Why the lines of one program hold."""

    def __init__(self, program: Program) -> None:
        made_by = {e.target: e.rule for e in program.forward}
        self._activations = {made_by[a] for a, _ in program.activations if a in made_by}

    def reason(self, section: str, equation: Equation, texts: Mapping[str, str]) -> str:
        """Why the equation holds.  texts: the lines so far, by the name of every symbol they define."""
        said = self._said(section, equation.rule)
        through = list(dict.fromkeys(texts.get(s.name, s.name) for s in equation.through))
        return f"{said}; through {' and '.join(through)}" if through else said

    def _said(self, section: str, rule: str) -> str:
        if not rule or rule in RULES:
            return RULES.get(rule, "")
        activation = section == "forward" and rule in self._activations
        return f"{'activation' if activation else _OTHERS[section]}: {rule}"
