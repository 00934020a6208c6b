"""The network of a member, in the library's own language: what stands in the recipe, for these inputs and this aim.

numbers | the pieces that they lie in, or waves of them | flags | rows of categories
    side by side ─ scale ─ (dense ─ activation ─ dropout) ... ─ outputs

A piece between two edges is min(max((x - e) / (e' - e), 0), 1) - 1/2: a layer over all pieces of a number is any
function of it that is linear between the edges; waves of learned lengths make a smooth one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.describe.activations import ACTIVATIONS, Activation
from chainrule.describe.columns import Periodic
from chainrule.describe.combine import Branches, Keep, Take
from chainrule.describe.constraints import Constraint, Monotone, NonNegative
from chainrule.describe.embedding import Embedding
from chainrule.describe.formula import Formula
from chainrule.describe.layers import Dense, Dropout, GivenActivation, Layer
from chainrule.describe.losses import Losses, cross_entropy, quantile
from chainrule.describe.network import GivenLoss
from chainrule.describe.optimizers import AdamW
from chainrule.describe.parameters import Parameter
from chainrule.describe.schedules import Cosine, OneCycle
from chainrule.errors import SpecError, expected, unknown_name
from chainrule.network import Network
from chainrule.program.scalar import Variable
from chainrule.tabular.inputs import InputShape, TableInputs
from chainrule.tabular.recipe import Aim, Recipe

_OF_WAVES = 4
"""What the dense layer of a column makes of its waves."""
_RISING = "selu"
"""An activation that rises everywhere."""


def describe(
    shape: InputShape,
    aim: Aim,
    recipe: Recipe,
    *,
    rising: Mapping[str, int] | None = None,
    seed: int = 0,
    engine: str = "auto",
) -> Network:
    """A member with its first weights.

    rising: numbers by name that every prediction rises in (1) or falls in (-1), whatever the others are; of two classes
    the probability of the second.  Their way to the prediction has non-negative weights and rising activations alone;
    all other columns have a second one that is free.
    Raises SpecError where there is nothing to learn from, and for what cannot rise.
    """
    signs = dict(rising or {})
    free = _without(shape, signs)
    inputs, beside = _sources(free, recipe)
    if signs:
        inputs["rising"] = sum(_width(shape, recipe, name) for name in _rising(shape, aim, signs))
        return _rising_network(inputs, beside, aim, recipe, seed, engine)
    if not inputs:
        raise SpecError("The table has no column to learn from.")
    ends, loss = _ends(aim, recipe)
    layers = [*_joined(beside, recipe), *_hidden(recipe), *ends]
    return Network(inputs, layers, loss, seed=seed, engine=engine)


def _sources(shape: InputShape, recipe: Recipe) -> tuple[dict[str, Any], list[list[Layer]]]:
    """The inputs by name, and what is made of each."""
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
    if shape.numbers and recipe.waves:
        beside.append([Take("numbers"), Periodic(_OF_WAVES, frequencies=recipe.waves)])
    return inputs, beside


def _joined(beside: list[list[Layer]], recipe: Recipe) -> list[Any]:
    """Side by side, each feature with its learned scale."""
    return [Branches(*beside), *([Formula("s * x", s=Parameter("n", value=1))] if recipe.scale else [])]


def _hidden(recipe: Recipe) -> list[Any]:
    """The hidden layers."""
    layers: list[Any] = []
    for units in recipe.hidden:
        layers.append(Dense(units, _some_of(recipe.activation) if recipe.parametric else recipe.activation))
        if recipe.dropout:
            layers.append(Dropout(Cosine(recipe.dropout)))
    return layers


def _some_of(name: str) -> Activation:
    """z + a (g(z) - z): each unit learns how much of the activation it takes."""
    usual, z = ACTIVATIONS[name], Variable("z")
    taken = z + Variable("a") * (usual.expression - z)
    return Activation(taken, a=Parameter("n", value=1), name=name, initialiser=usual.initialiser)


def _rising_network(
    inputs: dict[str, Any], beside: list[list[Layer]], aim: Aim, recipe: Recipe, seed: int, engine: str
) -> Network:
    """Two ways, added: one of non-negative weights, which all columns enter, and one for the free columns."""
    held: list[Dense] = []

    def not_falling(units: int, below: int, name: GivenActivation = "identity") -> Dense:
        held.append(Dense(units, name, weights=1.0 / below))
        return held[-1]

    first, *others = recipe.hidden
    enters: list[Any] = [[Take("rising"), not_falling(first, inputs["rising"])]]
    if beside:
        enters.append([*_joined(beside, recipe), Dense(first, bias=False)])
    way: list[Any] = [Branches(*enters, join="add"), Formula(f"{_RISING}(x)", name=_RISING)]
    below = first
    for units in others:
        way.append(not_falling(units, below, _RISING))
        below = units
    ways: list[Any] = [way]
    if beside:
        ways.append([*_joined(beside, recipe), *_hidden(recipe)])
    signs = [1] * below + [0] * (recipe.hidden[-1] if beside else 0)
    end, loss = {"classes": ("sigmoid", "binary_cross_entropy"), "counts": ("softplus", "poisson")}.get(
        aim.kind, (aim.of_sample.natural, aim.of_sample)
    )
    last = Dense(1 if aim.kind == "classes" else aim.outputs, end)
    layers = [Branches(*ways), last]
    free = Network(inputs, layers, loss, seed=seed, engine=engine)
    constraints: dict[str, Constraint] = {}
    for node in free.spec.graph.nodes:
        weights = [s.name for s in free.spec.parameters if s.penalised and s.layer == node.label]
        if any(node.layer is layer for layer in held):
            constraints |= dict.fromkeys(weights, NonNegative())
        elif node.layer is last:
            constraints |= dict.fromkeys(weights, Monotone(signs))
    return Network(inputs, layers, loss, constraints=constraints, seed=seed, engine=engine)


def _rising(shape: InputShape, aim: Aim, signs: Mapping[str, int]) -> list[str]:
    """The numbers that are to rise or fall, in their order.  Raises SpecError for what cannot."""
    faults = [unknown_name("number", name, shape.numbers) for name in signs if name not in shape.numbers]
    faults += [
        expected(f"The direction of {name}", "1 or -1", sign) for name, sign in signs.items() if sign not in (1, -1)
    ]
    if aim.kind == "quantiles" or (aim.kind == "classes" and aim.outputs > 2):
        faults.append("what rises or falls is for numbers, counts and two classes.")
    if faults:
        raise SpecError(faults)
    return [name for name in shape.numbers if name in signs]


def _width(shape: InputShape, recipe: Recipe, name: str) -> int:
    """A number and its pieces."""
    column = shape.numbers.index(name)
    return 1 + sum(len(edges) - 1 for k, edges in _pieces(shape, recipe) if k == column)


def _without(shape: InputShape, names: Mapping[str, int]) -> InputShape:
    """The shape of what is free."""
    kept = [k for k, name in enumerate(shape.numbers) if name not in names]
    return replace(shape, numbers=tuple(shape.numbers[k] for k in kept), edges=tuple(shape.edges[k] for k in kept))


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


def arrays(
    inputs: TableInputs, shape: InputShape, recipe: Recipe, rising: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The inputs by the names that the network has for them, with the pieces of the numbers."""
    signs = dict(rising or {})
    free = [k for k, name in enumerate(shape.numbers) if name not in signs]
    by_name = {"numbers": inputs.numbers[:, free], "flags": inputs.flags, "categories": inputs.categories}
    by_name["pieces"] = _ways(inputs.numbers[:, free], _pieces(_without(shape, signs), recipe))
    given = {name: values for name, values in by_name.items() if values.shape[1]}
    if signs:
        columns = []
        for k, name in enumerate(shape.numbers):
            if name in signs:
                own = [(0, edges) for column, edges in _pieces(shape, recipe) if column == k]
                values = inputs.numbers[:, k : k + 1]
                columns += [signs[name] * values, signs[name] * _ways(values, own)]
        given["rising"] = np.concatenate(columns, axis=1)
    return given


def _ways(numbers: Any, several: list[tuple[int, tuple[float, ...]]]) -> Any:
    """How far numbers (m, n) are on their way through each of their pieces, less 1/2: (m, pieces)."""
    ways = np.empty((len(numbers), sum(len(edges) - 1 for _, edges in several)), np.float32)
    start = 0
    for column, edges in several:
        e = np.array(edges, np.float32)
        way = (numbers[:, column, None] - e[:-1]) / (e[1:] - e[:-1])
        ways[:, start : start + len(e) - 1] = np.clip(way, 0, 1) - np.float32(0.5)
        start += len(e) - 1
    return ways


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
