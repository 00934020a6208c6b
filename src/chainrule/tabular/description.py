"""The network of a member, in the library's own language: what stands in the recipe, for these inputs and this aim.

numbers | the pieces that they lie in | flags | rows of categories
    side by side ─ scale ─ (dense ─ activation ─ dropout) ... ─ outputs

A piece between two edges is min(max((x - e) / (e' - e), 0), 1) - 1/2: a layer over all pieces of a number is any
function of it that is linear between the edges.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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
    if pieces := sum(len(edges) - 1 for _, edges in _pieces(shape, recipe)):
        inputs["pieces"] = pieces
        beside.append([Take("pieces")])
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


def arrays(inputs: TableInputs, shape: InputShape, recipe: Recipe) -> dict[str, Any]:
    """The inputs by the names that the network has for them, with the pieces of the numbers."""
    by_name = {"numbers": inputs.numbers, "flags": inputs.flags, "categories": inputs.categories}
    given = {name: values for name, values in by_name.items() if values.shape[1]}
    if several := _pieces(shape, recipe):
        ways = np.empty((inputs.rows, sum(len(edges) - 1 for _, edges in several)), np.float32)
        start = 0
        for column, edges in several:
            e = np.array(edges, np.float32)
            way = (inputs.numbers[:, column, None] - e[:-1]) / (e[1:] - e[:-1])
            ways[:, start : start + len(e) - 1] = np.clip(way, 0, 1) - np.float32(0.5)
            start += len(e) - 1
        given["pieces"] = ways
    return given


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


def _pieces(shape: InputShape, recipe: Recipe) -> list[tuple[int, tuple[float, ...]]]:
    """The numbers that lie in two pieces or more, with their edges: some of them where there are too many."""
    chosen = []
    for column, edges in enumerate(shape.edges if recipe.pieces else ()):
        few = edges
        if len(edges) > recipe.pieces + 1:
            few = tuple(edges[k] for k in np.linspace(0, len(edges) - 1, recipe.pieces + 1).round().astype(int))
        if len(few) > 2:
            chosen.append((column, few))
    return chosen


def _dimensions(counts: tuple[int, ...], most: int) -> list[int]:
    """Of a column's rows: half of its levels, at most so many."""
    return [max(1, min(most, n // 2)) for n in counts]
