"""What a prediction rests on: how much worse it is without a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from chainrule.tabular.inputs import TableInputs
from chainrule.tabular.preparation import Places


def by_permutation(
    loss: Callable[[TableInputs], float],
    inputs: TableInputs,
    places: Mapping[str, Places],
    repeats: int,
    seed: int,
) -> dict[str, float]:
    """By how much the loss of rows rises, on average, where one column's values are mixed between them.

    All that a column becomes (its number, its flag, its category) is mixed together.
    Source: Breiman 2001 (Random forests), for any model.
    """
    rng = np.random.default_rng([seed, 11])
    before = loss(inputs)
    rises = {}
    for name, place in places.items():
        each = []
        for _ in range(repeats):
            order = rng.permutation(inputs.rows)
            numbers, flags, categories = inputs.numbers.copy(), inputs.flags.copy(), inputs.categories.copy()
            numbers[:, place.numbers] = numbers[order, place.numbers]
            flags[:, place.flags] = flags[order, place.flags]
            categories[:, place.categories] = categories[order, place.categories]
            each.append(loss(TableInputs(numbers, flags, categories)) - before)
        rises[name] = float(np.mean(each))
    return rises
