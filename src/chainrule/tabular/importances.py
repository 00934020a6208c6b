"""What a prediction rests on: how much worse it is without a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.tabular.inputs import TableInputs
from chainrule.tabular.members import Trained, parts_of
from chainrule.tabular.preparation import Places

Array = NDArray[Any]
MOST = 2000
"""Rows that importances are told by."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Rows of the training that importances are told by: where some were held out, those."""

    inputs: TableInputs
    """Of m rows."""
    targets: Array
    """Theirs, as they were trained with."""
    members: NDArray[np.int32]
    """(m,) which member did not learn from the row; -1 where all did."""

    @classmethod
    def of(cls, inputs: TableInputs, targets: Array, groups: Array | None, trained: Trained | None, seed: int) -> Seen:
        """Of the whole training data, as `train` was given them."""
        m = inputs.rows
        members = np.full(m, -1, np.int32)
        if trained is not None:
            first = targets[:, 0] if targets.ndim > 1 else targets
            part = parts_of(first, trained.recipe.parts, seed, trained.aim, groups)
            held = part < len(trained.networks)
            members = np.where(held & (np.bincount(part, minlength=trained.recipe.parts)[part] < m), part, -1)
        order = np.random.default_rng(seed).permutation(m)
        rows = np.sort(order[np.argsort(members[order] < 0, kind="stable")][:MOST])
        if (members[rows] >= 0).any():
            rows = rows[members[rows] >= 0]
        return cls(inputs.of(rows), targets[rows], members[rows].astype(np.int32))

    def predicted(self, trained: Trained, inputs: TableInputs) -> Array:
        """What is said of these rows by those that did not learn from them, where there are such."""
        if (self.members < 0).any():
            return trained.predict(inputs)
        return trained.of_members(inputs, self.members)


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
