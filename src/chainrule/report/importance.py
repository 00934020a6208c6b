"""What a network's predictions rest on: how much its cost rises where a column's values are mixed between the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.network import Network

Array = NDArray[Any]
ROWS = 1000
"""That are mixed, evenly taken."""
REPEATS = 3
MOST = 120
"""Columns up to which this is done: each costs predictions of all rows."""


def by_column(net: Network, X: Array, y: Any, columns: Sequence[str]) -> dict[str, float]:
    """The rise of the cost by column.

    X (m, n): what the network reads.  y: its targets, as `net.predict_and_cost` takes them.  columns: n names, the same
    for all features that one column became (its categories, say), which are mixed together.
    Source: Breiman 2001 (Random forests), for any model.
    """
    rng = np.random.default_rng(0)
    before = net.predict_and_cost(X, y)[1]
    rises = {}
    for name in dict.fromkeys(columns):
        mine = [k for k, column in enumerate(columns) if column == name]
        costs = []
        for _ in range(REPEATS):
            mixed = X.copy()
            mixed[:, mine] = X[rng.permutation(len(X))][:, mine]
            costs.append(net.predict_and_cost(mixed, y)[1])
        rises[name] = float(np.mean(costs)) - before
    return rises
