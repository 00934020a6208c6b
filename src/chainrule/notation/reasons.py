"""Why a line holds: the rule that wrote it, in words, and the line that it goes back through."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.program.equation import Equation, Program

RULES: Mapping[str, str] = {
    "dense": "dense layer: the values below times the weights, plus the bias",
    "dense without bias": "dense layer without a bias: the values below times the weights",
    "embedding": "embedding: each token stands for a row of the table",
    "dropout": "dropout: which values stay, drawn anew in every step",
    "inverted dropout": "dropout: what stays is divided by the part that stays, so that the mean is unchanged",
    "layer normalisation": "layer normalisation: mean 0 and variance 1 over each sample's features, then γ and β",
    "batch normalisation": "batch normalisation: mean 0 and variance 1 over the batch, then γ and β",
    "one-hot": "a label as a row of zeros with a 1 in its place",
    "label smoothing": "label smoothing: a share of each label is spread evenly over the classes",
    "sum of the losses": "the losses of all samples added up",
    "sum of weights": "the weights of all samples added up",
    "penalty": "penalty: the size of the weights",
    "cost": "the cost: what is minimised",
    "slope": "chain rule: the gradient by the result times the slope of the result",
    "product rule": "product rule: for T = L R it is dL = dT Rᵀ and dR = Lᵀ dT",
    "lookup rule": "lookup: each row of the table gathers the gradients of the places it was used at",
    "sum over what repeats": "what is used for every row or column gets the sum of their gradients",
    "sum of the parts": "used in several places: their gradients add up",
    "ties": "how many values share the maximum: they share its gradient",
    "clipping": "clipping: the squared size of a gradient",
    "clipping by the global norm": "clipping: all gradients are shortened alike where together they are too long",
    "running statistics": "running mean: a part of the old value and a part of this batch's",
    "SGD": "gradient descent: a step against the gradient",
    "Adagrad": "Adagrad: steps divided by the root of the summed squares of the gradients",
    "RMSProp": "RMSProp: steps divided by the root of the running mean of squared gradients",
    "Adam": "Adam: running means of the gradient and of its square, both corrected for their start at 0",
    "AdamW": "AdamW: Adam, with the weights themselves shrunk a little",
    "softmax with cross entropy": "softmax with cross entropy, taken together: log Σ exp is computed without overflow",
    "log-softmax with cross entropy": "log-softmax with cross entropy, taken together",
    "sigmoid with binary cross entropy": "sigmoid with binary cross entropy, taken together",
    "softplus with Poisson": "softplus with the Poisson loss, taken together: log and slope go on where exp(z) is 0",
    "sigmoid with Poisson": "sigmoid with the Poisson loss, taken together",
    "softmax with Poisson": "softmax with the Poisson loss, taken together",
    "identity with squared error": "squared error of the last layer's values",
    "tangent": "tangent: each operand's change times the slope by it, added up",
}
"""What each rule's name stands for."""

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
        names = [part.split(" ", 1)[0] for part in equation.through.split("\n") if part]
        through = list(dict.fromkeys(texts.get(name, name) for name in names))
        return f"{said}; through {' and '.join(through)}" if through else said

    def _said(self, section: str, rule: str) -> str:
        if not rule or rule in RULES:
            return RULES.get(rule, "")
        activation = section == "forward" and rule in self._activations
        return f"{'activation' if activation else _OTHERS[section]}: {rule}"
