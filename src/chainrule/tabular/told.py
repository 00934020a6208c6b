"""What a table was found to hold, a line for each kind of column; and what in it may not be meant so, a line each."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import MISSING, PLAIN
from chainrule.network import Network
from chainrule.tabular.columns import (
    FEW_LEVELS,
    NAMES_OF_ROWS,
    CategoryColumn,
    Column,
    NumberColumn,
    OrderColumn,
    TimeColumn,
    counts_rows,
    microseconds,
)
from chainrule.tabular.frame import Frame
from chainrule.tabular.members import Trained
from chainrule.tabular.preparation import Preparation

Array = NDArray[Any]
SHOWN = 8
"""Columns that a line names."""
_ROWS = 4_000
"""Rows that a column is tried on at most, whether it gives the target away."""
_ENOUGH = 60
"""Rows that it takes at least."""
_SURE = 0.99
"""A column gives classes away from this accuracy on."""
_OF_USUAL = 0.05
"""And if its errors are no more than this part of those of always saying the most frequent class."""
_SURE_R2 = 0.995
"""A column gives numbers away from this R² on."""


def kinds(preparation: Preparation, frame: Frame) -> list[str]:
    """A line for each kind of column, and one for gaps, of the table that the preparation was learned from."""
    lines = kinds_alone(preparation)
    gaps = [(c.name, float(_missing(frame, c).mean())) for c in preparation.columns if c.gaps]
    if gaps:
        shares = [f"{name} ({_percent(share)})" for name, share in sorted(gaps, key=lambda pair: -pair[1])]
        lines.append(f"gaps: {_listed(shares)}")
    return [*lines, *(note for note in preparation.notes if note not in preparation.lost)]


def kinds_alone(preparation: Preparation) -> list[str]:
    """A line for each kind of column."""
    numbers = [c for c in preparation.columns if isinstance(c, NumberColumn)]
    categories = [c for c in preparation.columns if isinstance(c, CategoryColumn)]
    several = [f"{c.name} ({len(c.levels):,}{' and rare ones' if c.rest else ''})" for c in categories if not c.flagged]
    lines = []
    for what, names in (
        ("number", [c.name for c in numbers]),
        ("category", several),
        ("category in an order", [c.name for c in preparation.columns if isinstance(c, OrderColumn)]),
        ("column of two values", [c.name for c in categories if c.flagged]),
        ("date or time", [c.name for c in preparation.columns if isinstance(c, TimeColumn)]),
    ):
        if names:
            lines.append(f"{_plural(what, len(names))}: {_listed(names)}")
    return lines


def held_out(trained: Trained | None) -> tuple[str, float] | None:
    """How good members are on rows that they held out: ("log-loss", 0.35), or ("error", 12.3) in the target's unit.

    None where it is not known, or in no unit: of several targets, counts and quantiles.
    """
    if trained is None or math.isnan(trained.held_out):
        return None
    if trained.aim.kind == "classes":
        return "log-loss", trained.held_out
    if trained.aim.kind == "values" and len(trained.units.scale) == 1:
        return "error", trained.held_out * trained.units.scale[0]
    return None


def size_of(networks: Sequence[Network]) -> str:
    """ "4 networks, 71,204 parameters"."""
    size = sum(array.size for network in networks for array in network.parameters.values())
    return f"{len(networks)} network{'' if len(networks) == 1 else 's'}, {size:,} parameters"


def doubts(preparation: Preparation, frame: Frame, y: Array, is_classes: bool) -> list[str]:
    """What may not be meant as it was taken, a sentence each: columns that are left out though they hold something,
    ways of writing numbers, dates kept as texts, numbers that are rather names, columns that give the target away.
    """
    notes = list(preparation.lost)
    for column in preparation.columns:
        if isinstance(column, NumberColumn):
            if column.style != PLAIN:
                example = next(cell for cell in frame.table.columns[column.name] if cell not in MISSING)
                notes.append(f"the column {column.name!r} is read as numbers with {column.style} ({example!r})")
            values = frame.numbers(column.name, column.style)
            known = values[~np.isnan(values)]
            if NAMES_OF_ROWS.search(column.name) and _all_different(values):
                notes.append(
                    f"the column {column.name!r} is another whole number in every row; if that is a name and no "
                    f"quantity, --id or --ignore leaves it out"
                )
            elif len(known) > FEW_LEVELS and counts_rows(known):
                notes.append(
                    f"the column {column.name!r} counts the rows; if that is all, --id or --ignore leaves it out"
                )
        if isinstance(column, TimeColumn) and column.first:
            example = next(cell for cell in frame.cells(column.name) if cell not in MISSING)
            notes.append(f"the column {column.name!r} is read as dates with the {column.first} first ({example!r})")
        if isinstance(column, CategoryColumn) and frame.dated(column.name):
            notes.append(
                f"the column {column.name!r} looks like dates ({column.levels[0]!r}) of which nobody could tell the "
                "day from the month, and is read as categories; write the year first (2024-01-31)"
            )
    return [*notes, *giveaways(preparation, frame, y, is_classes)]


def giveaways(preparation: Preparation, frame: Frame, y: Array, is_classes: bool, *, command: bool = True) -> list[str]:
    """A sentence for each column that predicts the target nearly perfectly by itself.

    command: whether it is told at the command, which leaves a column out by an option, or in Python.  It is tried on
    rows: half of them say what the column's nearest value means for the others.
    """
    m = len(frame)
    if m < _ENOUGH or y.ndim > 1:
        return []
    rows = np.random.default_rng(0).permutation(m)[:_ROWS]
    learned, tried = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    targets = np.unique(y, return_inverse=True)[1] if is_classes else np.asarray(y, np.float64)
    notes = []
    for column in preparation.columns:
        values = _values(frame, column)
        predicted = _nearest(values[learned], targets[learned], values[tried], is_classes)
        if is_classes:
            usual = float((targets[tried] != np.bincount(targets[learned]).argmax()).mean())
            wrong = float((predicted != targets[tried]).mean())
            if usual > 0 and wrong <= min(1 - _SURE, _OF_USUAL * usual):
                how = f"{100 * (1 - wrong):.1f} % of rows rightly"
            else:
                continue
        else:
            spread = float(np.var(targets[tried]))
            share = 1 - float(np.square(predicted - targets[tried]).mean()) / spread if spread > 0 else 0.0
            if share < _SURE_R2:
                continue
            how = f"with R² {share:.4f}"
        option = f"--ignore {shlex.quote(column.name)}" if command else f"ignore={column.name!r}"
        notes.append(
            f"the column {column.name!r} gives the target away: by itself it predicts {how}; if it is not known "
            f"before the target is, leave it out ({option})"
        )
    return notes


def _nearest(values: Array, targets: Array, new: Array, is_classes: bool) -> Array:
    """What the rows of the nearest value say: the target of one of them, of numbers in between, or the mean."""
    known = ~np.isnan(values)
    if not known.any():
        return np.full(len(new), -1)
    different, place = np.unique(values[known], return_inverse=True)
    counts = np.bincount(place)
    if not is_classes:
        means = np.bincount(place, weights=targets[known]) / counts
        return np.where(np.isnan(new), targets.mean(), np.interp(new, different, means))
    first = np.empty(len(different), targets.dtype)
    first[place] = targets[known]
    right = np.clip(np.searchsorted(different, new), 0, len(different) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.where(np.abs(different[left] - new) < np.abs(different[right] - new), left, right)
    return np.where(np.isnan(new), -1, first[nearer])


def _values(frame: Frame, column: Column) -> NDArray[np.float64]:
    """A column as numbers: of categories, those of their levels."""
    if isinstance(column, NumberColumn):
        return np.clip(frame.numbers(column.name, column.style), -1e300, 1e300)
    if isinstance(column, TimeColumn):
        return microseconds(frame.time(column.name))
    return frame.texts(column.name).codes.astype(np.float64)


def _missing(frame: Frame, column: Column) -> NDArray[np.bool_]:
    if isinstance(column, CategoryColumn | OrderColumn):
        return frame.texts(column.name).codes < 0
    if isinstance(column, TimeColumn):
        return np.isnat(frame.time(column.name))
    return np.isnan(frame.numbers(column.name, column.style))


def _all_different(values: NDArray[np.float64]) -> bool:
    return bool(len(values) >= _ENOUGH and (values == np.floor(values)).all()) and len(np.unique(values)) == len(values)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def _plural(what: str, count: int) -> str:
    if count == 1:
        return f"1 {what}"
    head, _, rest = what.partition(" ")
    plural = {"category": "categories", "date": "dates"}.get(head, f"{head}s")
    return f"{count:,} {plural}{' ' + rest.replace('time', 'times') if rest else ''}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
