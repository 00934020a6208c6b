"""What is learned of a table's columns, once, and what networks are given of any table with those columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.data.columns import joined, some
from chainrule.errors import DataError, expected, shorten, unknown_name
from chainrule.tabular.columns import Column, learn_category, learn_number, learn_order, learn_time
from chainrule.tabular.frame import Frame
from chainrule.tabular.inputs import InputShape, TableInputs

REASONS = {
    "empty": "hold nothing",
    "constant": "are the same in all rows",
    "identifier": "tell every row apart and so say nothing about another one",
    "texts": "hold too many different texts to be categories",
    "dates": "look like dates of which nobody could tell the day from the month; write the year first (2024-01-31)",
}
"""Why a column is left out, and the words for it."""


@dataclass(frozen=True, repr=False)
class Novelty:
    """What in new data training did not have; false where that is nothing."""

    unseen: tuple[tuple[str, int], ...] = ()
    """Columns with categories that were not there, and in how many rows."""
    gaps: tuple[tuple[str, int], ...] = ()
    """Columns without a value in some rows, where training never lacked one, and in how many."""
    extra: tuple[str, ...] = ()
    """Columns that training did not have."""

    def __str__(self) -> str:
        parts = [f"{name!r}: {n:,} row{'' if n == 1 else 's'} of unseen categories" for name, n in self.unseen]
        parts += [f"{name!r}: {n:,} row{'' if n == 1 else 's'} without a value" for name, n in self.gaps]
        if self.extra:
            parts.append(f"not used: {some(self.extra)}")
        return "; ".join(parts) or "nothing that training did not have"

    def __repr__(self) -> str:
        return f"Novelty({self})"

    def __bool__(self) -> bool:
        return bool(self.unseen or self.gaps or self.extra)


@dataclass(frozen=True)
class Places:
    """Where the parts of a column stand among the inputs."""

    numbers: slice
    """Among the numbers."""
    flags: slice
    """Among the flags."""
    categories: slice
    """Among the categories."""


@dataclass(frozen=True)
class Preparation:
    """The columns that were learned from, and how they become inputs."""

    columns: tuple[Column, ...]
    """In the table's order."""
    names: tuple[str, ...]
    """All columns of the table that was learned from, also those that are left out."""
    named: bool
    """Whether they are the data's own; of arrays the columns are matched by place."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Columns that nothing is learned from, and why: empty, constant, identifier, texts, dates."""

    @property
    def shape(self) -> InputShape:
        """What networks have to know of the inputs."""
        return InputShape(
            numbers=tuple(name for c in self.columns for name in c.numbers),
            edges=tuple(edges for c in self.columns for edges in c.pieces),
            flags=tuple(name for c in self.columns for name in c.flags),
            categories=tuple(c.name for c in self.columns if c.counts),
            counts=tuple(n for c in self.columns for n in c.counts),
        )

    @property
    def places(self) -> dict[str, Places]:
        """Where each column's parts stand among the inputs."""
        places: dict[str, Places] = {}
        n = b = c = 0
        for column in self.columns:
            ends = n + len(column.numbers), b + len(column.flags), c + len(column.counts)
            places[column.name] = Places(slice(n, ends[0]), slice(b, ends[1]), slice(c, ends[2]))
            n, b, c = ends
        return places

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, a line for each kind."""
        return self._told(REASONS)

    @property
    def lost(self) -> tuple[str, ...]:
        """Those of the notes that tell of columns which do hold something."""
        return self._told(("identifier", "texts", "dates"))

    def _told(self, reasons: Iterable[str]) -> tuple[str, ...]:
        lines = []
        for why in reasons:
            names = [name for name, reason in self.left_out if reason == why]
            if names:
                lines.append(f"left out, as they {REASONS[why]}: {some(names)}")
        return tuple(lines)

    def inputs(self, frame: Frame) -> tuple[TableInputs, Novelty]:
        """The inputs of a table's rows, and what is new in them.

        Raises DataError for columns that are not there, and cells that are not as in training; all in one message.
        """
        frame, absent = self._matched(frame)
        faults: list[str] = []
        numbers: list[Any] = []
        flags: list[Any] = []
        categories: list[Any] = []
        unseen: list[tuple[str, int]] = []
        gaps: list[tuple[str, int]] = []
        for column in self.columns:
            if column.name in absent:
                continue
            try:
                parts = column.parts(frame)
            except DataError as fault:
                faults.append(str(fault).rstrip(".") + ".")
                continue
            numbers += parts.numbers
            flags += parts.flags
            categories += parts.categories
            unseen += [(column.name, parts.unseen)] if parts.unseen else []
            gaps += [(column.name, parts.gaps)] if parts.gaps else []
        if absent:
            also = f" Also: {joined(faults)}" if faults else ""
            raise DataError(
                f"{frame.source} lacks the column{'s' if len(absent) > 1 else ''} {some(absent)} of the data that were "
                f"fitted. There are: {some(frame.names)}.{also}"
            )
        if faults:
            raise DataError(shorten(f"{frame.source}: {joined(faults)}"))
        m = len(frame)
        inputs = TableInputs(_beside(numbers, m, np.float32), _beside(flags, m, np.float32),
                             _beside(categories, m, np.int32))  # fmt: skip
        extra = tuple(name for name in frame.names if name not in self.names) if self.named and frame.named else ()
        return inputs, Novelty(tuple(unseen), tuple(gaps), extra)

    def _matched(self, frame: Frame) -> tuple[Frame, list[str]]:
        """The frame with the names that were learned, and those that it lacks."""
        if frame.named and self.named:
            return frame, [c.name for c in self.columns if c.name not in frame.names]
        if len(frame.names) != len(self.names):
            raise DataError(expected(frame.source, f"a table of {len(self.names)} columns", f"{len(frame.names)}"))
        return frame.renamed(self.names), []


def learn(frame: Frame, categorical_features: Any = "from_dtype") -> Preparation:
    """What there is to learn of each column.

    categorical_features: "from_dtype" for those that hold texts, truth values or declared categories; or names, places
    or a mask of the columns that are categories, whatever they hold.
    Raises DataError with all faults of the table; and for categorical_features that are not
    there.
    """
    chosen = chosen_categories(frame, categorical_features)
    columns: list[Column] = []
    left_out: list[tuple[str, str]] = []
    faults: list[str] = []
    for name in frame.names:
        try:
            kind = "text" if name in chosen else frame.kind(name)
            if kind == "time":
                learned: Column | str = learn_time(frame, name)
            elif name in frame.ordered and name not in chosen:
                learned = learn_order(frame, name)
            elif kind == "text":
                learned = learn_category(frame, name, chosen=name in chosen or name in frame.declared)
            else:
                learned = learn_number(frame, name)
        except DataError as fault:
            faults.append(str(fault).rstrip(".") + ".")
            continue
        if isinstance(learned, str):
            left_out.append((name, learned))
        else:
            columns.append(learned)
    if faults:
        raise DataError(shorten(f"{frame.source}: {joined(faults)}"))
    return Preparation(tuple(columns), frame.names, frame.named, tuple(left_out))


def chosen_categories(frame: Frame, given: Any) -> frozenset[str]:
    """The columns that are said to be categories."""
    if given is None or (isinstance(given, str) and given == "from_dtype"):
        return frozenset()
    if not isinstance(given, str | Iterable):
        raise DataError(expected("categorical_features", '"from_dtype", names, places or a mask', given))
    items = [given] if isinstance(given, str) else list(given)
    if all(isinstance(item, bool | np.bool_) for item in items) and items:
        if len(items) != len(frame.names):
            raise DataError(expected("categorical_features", f"a mask of {len(frame.names)} columns", len(items)))
        return frozenset(name for name, is_one in zip(frame.names, items, strict=True) if is_one)
    names = []
    for item in items:
        if isinstance(item, int | np.integer) and not isinstance(item, bool):
            if not -len(frame.names) <= item < len(frame.names):
                raise DataError(expected("categorical_features", f"places below {len(frame.names)}", int(item)))
            names.append(frame.names[item])
        elif item in frame.names:
            names.append(str(item))
        else:
            raise DataError(f"categorical_features: {unknown_name('column', str(item), frame.names)}")
    return frozenset(names)


def _beside(columns: Iterable[Any], m: int, dtype: Any) -> Any:
    """Columns (m,) as a matrix (m, n), n = 0 as well."""
    listed = list(columns)
    return np.stack(listed, axis=1).astype(dtype, copy=False) if listed else np.zeros((m, 0), dtype)
