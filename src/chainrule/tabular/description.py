"""The network of a member, in the library's own language: what stands in the recipe, for these inputs and this aim.

numbers, and the pieces that they lie in | flags | rows of categories
    side by side ─ scale ─ (dense ─ activation ─ dropout) ... ─ outputs
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.describe.columns import Piecewise
from chainrule.describe.combine import Branches, Keep, Take
from chainrule.describe.embedding import Embedding
from chainrule.describe.formula import Formula
from chainrule.describe.layers import Dense, Dropout, Layer
from chainrule.describe.losses import Losses, cross_entropy, quantile
from chainrule.describe.network import GivenLoss
from chainrule.describe.optimizers import AdamW
from chainrule.describe.parameters import Parameter
from chainrule.describe.schedules import Cosine, OneCycle
from chainrule.errors import SpecError
from chainrule.network import Network
from chainrule.tabular.inputs import InputShape, TableInputs
from chainrule.tabular.recipe import Aim, Recipe

_PARAMETRIC = {
    "selu": "x + a * (1.0507009873554805 * where(x > 0, x, 1.6732632423543772 * (exp(min(x, 0)) - 1)) - x)",
    "mish": "x + a * (x * tanh(softplus(x)) - x)",
    "silu": "x + a * (x * sigmoid(x) - x)",
    "relu": "x + a * (max(x, 0) - x)",
}
_FIRST = {"selu": "lecun_normal", "mish": "he_normal", "silu": "he_normal", "relu": "he_normal"}


def describe(shape: InputShape, aim: Aim, recipe: Recipe, *, seed: int = 0, engine: str = "auto") -> Network:
    """A member with its first weights.  Raises SpecError where there is nothing to learn from."""
    inputs: dict[str, Any] = {}
    beside: list[list[Layer]] = []
    if shape.numbers:
        inputs["numbers"] = len(shape.numbers)
        beside.append([Take("numbers")])
        if recipe.pieces:
            beside.append([Take("numbers"), Piecewise(recipe.pieces, _pieces(shape, recipe.most_pieces))])
    if shape.flags:
        inputs["flags"] = len(shape.flags)
        beside.append([Take("flags")])
    if shape.categories:
        inputs["categories"] = list(shape.counts)
        beside.append([Take("categories"), Embedding(list(shape.counts), _dimensions(shape.counts, recipe.embedding))])
    if not inputs:
        raise SpecError("The table has no column to learn from.")
    layers: list[Any] = [Branches(*beside)]
    if recipe.scale:
        layers.append(Formula("s * x", s=Parameter("n", value=1)))
    for units in recipe.hidden:
        if recipe.parametric:
            layers.append(Dense(units, weights=_FIRST[recipe.activation]))
            layers.append(Formula(_PARAMETRIC[recipe.activation], a=Parameter("n", value=1), name=recipe.activation))
        else:
            layers.append(Dense(units, recipe.activation))
        if recipe.dropout:
            layers.append(Dropout(Cosine(recipe.dropout)))
    ends, loss = _ends(aim, recipe)
    return Network(inputs, [*layers, *ends], loss, seed=seed, engine=engine)


def optimizer(network: Network, recipe: Recipe) -> AdamW:
    """AdamW with the recipe's schedules and factors, for those of its parameters that the network has."""
    letters = {symbol.letter for symbol in network.spec.parameters}
    plain = {symbol.letter for symbol in network.spec.parameters if not symbol.penalised}
    return AdamW(
        OneCycle(recipe.rate, rise=recipe.rise),
        weight_decay=Cosine(recipe.decay) if recipe.decay else 0.0,
        beta2=recipe.beta2,
        rates={letter: factor for letter, factor in recipe.rates if letter in letters},
        decays=dict.fromkeys(sorted(plain), 0.0),
    )


def arrays(inputs: TableInputs) -> dict[str, Any]:
    """The inputs by the names that the network has for them."""
    by_name = {"numbers": inputs.numbers, "flags": inputs.flags, "categories": inputs.categories}
    return {name: values for name, values in by_name.items() if values.shape[1]}


def _ends(aim: Aim, recipe: Recipe) -> tuple[list[Any], GivenLoss]:
    """The last layers, and the loss."""
    match aim.kind:
        case "classes":
            smoothing = Cosine(recipe.smoothing) if recipe.smoothing else 0.0
            return [Dense(aim.outputs, "softmax")], cross_entropy(smoothing)
        case "counts":
            return [Dense(aim.outputs, "softplus")], "poisson"
        case "quantiles":
            names = [f"q{k}" for k in range(len(aim.levels))]
            levels = zip(names, aim.levels, strict=True)
            each = [[Take("hidden"), Dense(1), Keep(q)] for q in names]
            return [Keep("hidden"), *each], Losses({q: quantile(x) for q, x in levels})
        case _:
            return [Dense(aim.outputs, aim.of_sample.natural)], aim.of_sample


def _pieces(shape: InputShape, most: int) -> list[list[float]]:
    """Edges, as many for each number: of those that have fewer, pieces follow behind the last that no value reaches."""
    chosen = []
    for edges in shape.edges:
        few = edges
        if len(edges) > most + 1:
            few = tuple(edges[k] for k in np.linspace(0, len(edges) - 1, most + 1).round().astype(int))
        chosen.append(few)
    longest = max(len(edges) for edges in chosen)
    return [[*edges, *(edges[-1] + 1.0 + k for k in range(longest - len(edges)))] for edges in chosen]


def _dimensions(counts: tuple[int, ...], most: int) -> list[int]:
    """Of a column's rows: half of its levels, at most so many."""
    return [max(1, min(most, n // 2)) for n in counts]
