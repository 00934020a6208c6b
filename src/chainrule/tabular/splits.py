"""Rows to learn from and rows to test on: by chance, by group or by time; once, or fold by fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chainrule.data.dataset import DRAW, drawing, split_rows
from chainrule.errors import DataError
from chainrule.tabular.members import parts_of
from chainrule.tabular.recipe import Aim
from chainrule.tabular.roles import WithTarget

Rows = NDArray[np.int64]
Split = tuple[Rows, Rows]
"""The rows to learn from, and those to test on."""


def split(table: WithTarget, part: float, seed: int, draw: int = DRAW) -> Split:
    """One split: `part` of the rows to test on.

    Of groups about so many rows, none of a group on both sides; by time the last, none as early as one that is learned
    from; else by chance, with its share of every class.  draw: as of `Dataset.split`.
    Raises DataError where one side would be empty.
    """
    m = len(table.features)
    if table.times is not None:
        order = np.sort(table.times)
        return _by_time(table.times, float(order[m - max(1, round(part * m))]))
    if table.groups is not None:
        return _sides(_of_groups(table.groups, part, seed, draw))
    codes = np.unique(table.y, return_inverse=True)[1] if table.is_classes else None
    return split_rows(m, part, seed, codes, draw)


def folds(table: WithTarget, count: int, seed: int) -> list[Split]:
    """`count` splits, each row tested once: with its share of every class, or of small and large; groups together.

    By time each fold is learned from all rows before it; the first part is never tested.
    Raises DataError for fewer rows, groups or times than that takes.
    """
    if table.times is not None:
        order = np.sort(table.times)
        bounds = [float(order[round(k * len(order) / (count + 1))]) for k in range(1, count + 1)]
        if len(set(bounds)) < count or bounds[0] == order[0]:
            raise DataError(f"{table.features.source}: there are too few different times for {count} folds.")
        ends = [*bounds[1:], np.inf]
        return [
            (np.flatnonzero(table.times < low), np.flatnonzero((table.times >= low) & (table.times < high)))
            for low, high in zip(bounds, ends, strict=True)
        ]
    members = len(table.features) if table.groups is None else len(np.unique(table.groups))
    if members < count:
        what = "rows" if table.groups is None else "groups"
        raise DataError(f"{table.features.source}: {members} {what} are too few for {count} folds.")
    if table.is_classes:
        targets, aim = np.unique(table.y, return_inverse=True)[1], Aim("classes", 2)
    else:
        targets, aim = table.y.reshape(members if table.groups is None else len(table.y), -1)[:, 0], Aim("values")
    part = parts_of(targets, count, seed, aim, table.groups)
    return [_sides(part == k) for k in range(count)]


def _by_time(times: NDArray[np.float64], start: float) -> Split:
    if start == times.min():  # all of the last part, and more, are of one time
        later = times[times > start]
        if not len(later):
            raise DataError("The rows are all of one time, so that none is after another.")
        start = float(later.min())
    return _sides(times >= start)


def _of_groups(groups: Rows, part: float, seed: int, draw: int) -> NDArray[np.bool_]:
    """Whether each row is of a group that is held out: drawn groups, about so many rows, at least one."""
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise DataError("The rows are all of one group, which cannot be divided.")
    order = np.argsort(drawing(seed, draw).random(len(sizes)), kind="stable")
    reached = np.abs(np.cumsum(sizes[order])[:-1] - part * len(groups))
    held = np.zeros(len(sizes), dtype=bool)
    held[order[: int(reached.argmin()) + 1]] = True
    return held[numbers]


def _sides(held: NDArray[np.bool_]) -> Split:
    return np.flatnonzero(~held), np.flatnonzero(held)
