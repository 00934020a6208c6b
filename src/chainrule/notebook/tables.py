"""The forms of what was fitted to a table: the model, and what each column adds to its predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.metrics import shown
from chainrule.notebook.elements import table
from chainrule.report.markup import Html, tag
from chainrule.tabular.base import BaseTabular
from chainrule.tabular.contributions import Contributions
from chainrule.tabular.told import held_out, kinds_alone, size_of

ROWS = 5
"""Predictions that are shown beside each other."""
NAMES = 8
"""Classes that are named."""


def facts(model: BaseTabular) -> list[Html]:
    """What a fitted model predicts, from which columns, and how good it is on rows held out."""
    classes = [str(name) for name in getattr(model, "classes_", ())]
    more = ", ..." if len(classes) > NAMES else ""
    told = held_out(model.trained_)
    rows = [
        ("predicts", ", ".join(model.targets_)),
        (f"{len(classes)} classes", ", ".join(classes[:NAMES]) + more),
        *(("from" if k == 0 else "", line) for k, line in enumerate(kinds_alone(model.preparation_))),
        *(("", note) for note in model.notes_),
        ("by", size_of(model.networks_)),
        ("on rows held out", "" if told is None else f"{told[0]} {shown(told[1])}"),
    ]
    return [table(("", ""), [row for row in rows if row[1]])]


def contributions(added: Contributions) -> tuple[str, list[Html]]:
    """A column for each of the first predictions, a row for each of the table's columns, the largest first."""
    single = added.data.ndim == 1
    values = np.asarray(added.values[None] if single else added.values)
    bases = np.asarray([added.base_values] if single else added.base_values)
    data = added.data[None] if single else added.data
    what = ""
    if values.ndim == 3:  # of the probabilities of two classes the second, of others the first
        k = 1 if values.shape[2] == 2 and np.allclose(bases.sum(axis=1), 1) else 0
        values, bases = values[:, :, k], bases[:, k]
        what = f" to {added.output_names[k]!r}" if added.output_names else ""
    rows = range(min(ROWS, len(values)))
    order = np.argsort(-np.abs(values).mean(axis=0), kind="stable")
    lines = [("base", *(shown(float(bases[r])) for r in rows))]
    lines += [
        (added.feature_names[c], *(f"{_signed(float(values[r, c]))}  ({_cell(data[r, c])})" for r in rows))
        for c in order
    ]
    lines.append(("predicted", *(shown(float(bases[r] + values[r].sum())) for r in rows)))
    left = len(values) - len(rows)
    note = [tag("p", f"{left:,} more rows are in .values", class_="says")] if left else []
    numbers = range(1, len(rows) + 1)
    header = ("", *(f"row {r}" for r in rows))
    return f"What each column adds{what}", [table(header, lines, numbers=numbers), *note]


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{shown(abs(value))}"


def _cell(value: Any) -> str:
    text = f"{value:.7g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:23]}…"
