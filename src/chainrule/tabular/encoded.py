"""A table as numbers alone, for other models: numbers and flags as networks are given them, categories as they learned.

A category becomes the row of the first member's embedding.
Source: Guo, Berkhahn 2016 (Entity embeddings of categorical variables).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.program.op import Gather
from chainrule.tabular.inputs import InputShape, TableInputs
from chainrule.tabular.members import Trained


def encoded(trained: Trained, inputs: TableInputs) -> NDArray[np.float64]:
    """(m, columns)"""
    rows = [table[inputs.categories[:, column]] for column, table in _tables(trained)]
    return np.concatenate([inputs.numbers, inputs.flags, *rows], axis=1, dtype=np.float64)


def names_of(trained: Trained, shape: InputShape) -> list[str]:
    """Of the columns: those of numbers and flags, then for each category "job, 0", "job, 1", ..."""
    rows = [f"{shape.categories[column]}, {k}" for column, table in _tables(trained) for k in range(table.shape[1])]
    return [*shape.numbers, *shape.flags, *rows]


def _tables(trained: Trained) -> list[tuple[int, NDArray[Any]]]:
    """The column of categories that each table of the first member is of, and its rows."""
    network = trained.networks[0]
    lookups = [e for e in network.derive(mode="inference").forward if isinstance(e.op, Gather)]
    return [(e.op.column or 0, network.parameters[e.operands[0].name]) for e in lookups if isinstance(e.op, Gather)]
