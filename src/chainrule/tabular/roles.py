"""What the columns of a whole table are beside features: what is predicted, names of rows, groups, times, or nothing.

All faults of what was said about them come in one message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import MISSING, MISSING_SIGNS, MISSING_WORDS, PLAIN
from chainrule.data.columns import joined, label, some
from chainrule.data.readers import names_of
from chainrule.data.targets import check_task, is_classes
from chainrule.errors import DataError, shorten, unknown_name
from chainrule.tabular.classifier import TabularClassifier
from chainrule.tabular.frame import Frame
from chainrule.tabular.regressor import TabularRegressor

Array = NDArray[Any]
_EXACT = 2.0**53
"""Whole numbers below are exact."""
_MANY = 0.5
"""Classes, over rows, from which on it is said that there are many."""
_SEVERAL = 5
"""Whole numbers, from which on it is said that they are classes."""


@dataclass(frozen=True)
class Roles:
    """The columns that are said to be something, by name; "a,b" is two columns where there is none of that name."""

    targets: tuple[str, ...] = ()
    """What is predicted; () for the last column that is nothing else.  Several are numbers, and learned together."""
    ignore: tuple[str, ...] = ()
    """Left out."""
    id: str | None = None
    """What a row is called: kept beside its prediction, and no feature."""
    group: str | None = None
    """Rows that belong together, a patient's say: never divided between training and test, and no feature."""
    time: str | None = None
    """When a row was: training is before the test.  A feature too, unless it is left out as well."""


@dataclass(frozen=True, eq=False)
class WithTarget:
    """A table apart from what is to be predicted of it."""

    features: Frame
    """What it is predicted from."""
    y: Any
    """(m,) classes, or numbers (m,), several targets (m, targets)."""
    targets: tuple[str, ...]
    """The names of their columns."""
    beside: tuple[str, ...]
    """The columns that are neither: left out, the id, the group."""
    is_classes: bool
    """Whether it is classes."""
    groups: NDArray[np.int64] | None = None
    """(m,) the number of each row's group."""
    times: NDArray[np.float64] | None = None
    """(m,) when each row was, in whatever unit."""
    rows: NDArray[np.int64] | None = None
    """Which rows of the whole table these are, where some without a target are left out; else None: all."""
    notes: tuple[str, ...] = ()
    """What not everybody would expect of how targets are read, a sentence each."""

    def estimator(self, **options: Any) -> TabularClassifier | TabularRegressor:
        """One that fits the target, not yet fitted."""
        return TabularClassifier(**options) if self.is_classes else TabularRegressor(**options)


def apart(frame: Frame, roles: Roles, task: str | None = None) -> WithTarget:
    """The table with its columns told apart.

    task: "classification" or "regression"; None to judge by the target.  Rows without a target are left out, which a
    note says.
    Raises DataError with all faults: columns that are not there or two things at once; a target without any value;
    groups or times without one in some rows; a target that is the same in all rows; classes among several targets.
    """
    check_task(task)
    roles, faults = _named(frame, roles)
    rows: NDArray[np.int64] | None = None
    gaps: list[str] = []
    if not faults:
        frame, rows, gaps = _with_targets(frame, roles.targets, task)
        y, kind, faults = _targets(frame, roles.targets, task)
        groups, times = _groups(frame, roles.group, faults), _times(frame, roles.time, faults)
        others = {*roles.ignore, roles.id, roles.group}
        beside = tuple(name for name in frame.names if name in others)
        features = frame.without((*roles.targets, *beside))
        if not features.names:
            faults.append("there is no column to learn from beside the target.")
    if faults:
        raise DataError(shorten(f"{frame.source}: {joined(faults)}"))
    notes = (*gaps, *(note for name in roles.targets for note in _told(frame, name, kind, chosen=task is not None)))
    return WithTarget(features, y, roles.targets, beside, kind == "classes", groups, times, rows, notes)


def _with_targets(
    frame: Frame, names: Sequence[str], task: str | None
) -> tuple[Frame, NDArray[np.int64] | None, list[str]]:
    """The rows that have a value of every target, which these are where some have none, and a note on the others.

    Where a target has no value at all, or cannot be judged, the frame as it is.
    """
    try:
        missing = {name: _missing(frame, name, task) for name in names}
    except DataError:  # which `_target` says
        return frame, None, []
    without = np.any(list(missing.values()), axis=0)
    if not without.any() or without.all():
        return frame, None, []
    rows = np.flatnonzero(~without)
    first = frame.place(int(np.argmax(without)))
    lacking = some([name for name, of in missing.items() if of.any()])
    many = f"{len(frame) - len(rows):,} row{'s' if len(frame) - len(rows) > 1 else ''}"
    return frame.take(rows), rows, [f"{many} without a value of {lacking} left out (the first is {first})"]


def _missing(frame: Frame, name: str, task: str | None) -> NDArray[np.bool_]:
    """(m,) whether a row has no value of the target.  Raises DataError."""
    kind = frame.kind(name) if task != "classification" else "text"
    if kind == "time" or (kind == "text" and task != "regression"):
        cells = frame.coded(name)
        signs = MISSING_SIGNS if _are_words(frame, name) else MISSING
        return np.array([word in signs for word in cells.words], bool)[cells.codes]
    return np.isnan(frame.numbers(name))


def _named(frame: Frame, roles: Roles) -> tuple[Roles, list[str]]:
    """The roles with each column by its name, and what is wrong with them."""
    ignore, targets = names_of(roles.ignore, frame.names), names_of(roles.targets, frame.names)
    beside = {*ignore, roles.id, roles.group, roles.time}
    left = [name for name in frame.names if name not in beside]
    by_default = not targets
    if by_default and left:
        targets = (left[-1],)
    singles = {"id": roles.id, "group": roles.group, "time": roles.time}
    named = [*targets, *ignore, *(name for name in singles.values() if name is not None)]
    faults = [unknown_name("column", name, frame.names) for name in dict.fromkeys(named) if name not in frame.names]
    if by_default and not left:
        faults.append("no column is left to predict.")
    faults += [f"the column {name!r} cannot both be the target and be left out." for name in targets if name in ignore]
    for what, name in singles.items():
        if name is not None and name in targets:
            faults.append(f"the column {name!r} cannot both be the target and the {what}.")
    if roles.id is not None and roles.id == roles.time:
        faults.append(f"the column {roles.id!r} cannot both be the id and the time.")
    return Roles(targets, ignore, roles.id, roles.group, roles.time), faults


def _targets(frame: Frame, names: Sequence[str], task: str | None) -> tuple[Any, str, list[str]]:
    """The targets, "classes" or "numbers", and what is wrong with them."""
    faults: list[str] = []
    columns: list[Any] = []
    kinds: list[str] = []
    for name in names:
        try:
            values, kind = _target(frame, name, task)
        except DataError as fault:
            faults.append(str(fault))
            continue
        columns.append(values)
        kinds.append(kind)
    if faults or len(names) == 1:
        return (columns[0], kinds[0], faults) if columns else (None, "", faults)
    classes = [name for name, kind in zip(names, kinds, strict=True) if kind == "classes"]
    if classes:
        numbers = " Where they are numbers to you, --task regression (task=) says so." * (task is None)
        faults.append(
            f"several targets are learned together where all of them are numbers, but {some(classes)} "
            f"{'are' if len(classes) > 1 else 'is'} classes. Predict one, and leave out the others, which would be "
            f"features that give the answer away.{numbers}"
        )
        return None, "", faults
    return np.stack(columns, axis=1), "numbers", faults


def _target(frame: Frame, name: str, task: str | None) -> tuple[Any, str]:
    """A target, and whether it is "classes" or "numbers".  Raises DataError."""
    kind = frame.kind(name) if task != "classification" else "text"
    if kind == "time":
        raise DataError(f"the target {name!r} holds dates or times; make numbers or classes of them.")
    if kind == "text" and task != "regression":
        cells = frame.coded(name)
        if _missing(frame, name, task).all():
            raise DataError(f"the target {name!r} has no value in any row.")
        if len(cells.words) == 1:
            raise DataError(_same(name, cells.words[0]))
        words: list[Any] = [word == "True" for word in cells.words] if frame.says_truth(name) else list(cells.words)
        return np.array(words, dtype=bool if frame.says_truth(name) else object)[cells.codes], "classes"
    values = frame.numbers(name)
    if np.isnan(values).all():
        raise DataError(f"the target {name!r} has no value in any row.")
    if rows := np.flatnonzero(~np.isfinite(values)).tolist():
        raise DataError(f"the target {name!r} is not finite in {_places(frame, rows)}.")
    different, place = np.unique(values, return_inverse=True)
    if len(different) == 1:
        raise DataError(_same(name, label(float(different[0]))))
    if task is None and is_classes(values, len(different)):
        huge = np.abs(different).max() >= _EXACT
        names = np.array([label(float(value)) for value in different], dtype=object) if huge else different
        return (names if huge else names.astype(np.int64))[place], "classes"
    return values, "numbers"


def _are_words(frame: Frame, name: str) -> bool:
    """Whether no cell is a number or a date, so that words such as NA and None may be names of classes as well."""
    if name in frame.times:
        return False
    verdict = frame.survey.verdict(name)
    return verdict.kind == "text" and not verdict.because


def _told(frame: Frame, name: str, kind: str, *, chosen: bool) -> list[str]:
    """What not everybody would expect of how a target is read, a sentence each.  chosen: whether the task was said."""
    if name in frame.times:
        return []
    what = f"the target {name!r}"
    if kind == "numbers":
        style = frame.style(name) if frame.survey.numbers(name) is not None else PLAIN
        return [f"{what} is read as numbers with {style}"] if style != PLAIN else []
    verdict = frame.survey.verdict(name)
    classes = len(frame.coded(name).words)
    words = [word for word in frame.coded(name).words if word in MISSING_WORDS]
    notes = [f"{what}: {some(words)} is read as the name of a class"] if words else []
    if classes > 2 and classes >= _MANY * len(frame):
        notes.append(f"{what} has {classes:,} classes in {len(frame):,} rows; is it the right column?")
    if verdict.kind == "number" and classes > _SEVERAL and not chosen:
        notes.append(f"{what}: its {classes} whole numbers are classes; --task regression (task=) predicts a number")
    if verdict.because == "mixed":
        notes.append(f"{what}: {frame.survey.where(name, verdict.others)} among numbers, so that it is read as classes")
    return notes


def _same(name: str, value: str) -> str:
    return f"the target {name!r} is {value!r} in all rows, so that there is nothing to learn. Is it the right column?"


def _groups(frame: Frame, name: str | None, faults: list[str]) -> NDArray[np.int64] | None:
    if name is None:
        return None
    codes = frame.texts(name).codes
    try:
        _check_present(frame, f"the group {name!r}", codes < 0)
    except DataError as fault:
        faults.append(str(fault))
    return codes


def _times(frame: Frame, name: str | None, faults: list[str]) -> NDArray[np.float64] | None:
    """Dates, times, or numbers that rise with time."""
    if name is None:
        return None
    try:
        if frame.kind(name) == "time":
            moments = frame.time(name)
            values = np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))
        elif frame.kind(name) == "number":
            values = frame.numbers(name)
        else:
            why = "dates with the day or month first" if frame.dated(name) else "texts"
            raise DataError(
                f"the time {name!r} holds {why}, of which nobody can tell the order; write the year first (2024-01-31)."
            )
        _check_present(frame, f"the time {name!r}", np.isnan(values))
    except DataError as fault:
        faults.append(str(fault))
        return None
    return values


def _check_present(frame: Frame, what: str, missing: Any) -> None:
    rows = np.flatnonzero(missing).tolist()
    if rows:
        raise DataError(f"{what} has no value in {_places(frame, rows)}. Leave such rows out.")


def _places(frame: Frame, rows: list[int]) -> str:
    return some([frame.place(row) for row in rows]).replace("'", "")
