"""Big tables of which only the rows are touched that tokens name: what a fit or a call does with them costs these rows.

A session takes a row from the array that it was lent when a batch is first to name it, says which rows have changed
since it was last asked, and remembers what rows were at a mark.  Which rows those are says the data, before a call:
whatever else a token may turn into meanwhile names a row as well, and is nobody's loss but his who changed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.base import Array, Values
from chainrule.program.equation import Program
from chainrule.program.op import AtRows, Gather
from chainrule.program.symbol import STORED, Symbol

LARGE = 1 << 18
"""Numbers in a table from which on its rows are looked after one by one; smaller ones are copied in next to no time."""
SHARE = 24
"""More than one in so many rows are as good as all: rows that lie anywhere cost as much as so many that follow."""
Rows = NDArray[np.int64]


class Lookup(NamedTuple):
    """How tokens name rows."""

    tokens: str
    """The name of what holds them."""
    column: int | None
    """The one column that is read; None for all."""
    starts: tuple[int, ...]
    """The first row of each column's own part of the table; () where all share it."""

    @classmethod
    def of(cls, op: Gather | AtRows, tokens: Symbol) -> Lookup:
        """That of an operation; the row of the padding token counts as named."""
        return cls(tokens.name, op.column, op.starts)


def touched_by_rows(program: Program, wanted: Iterable[str] = ()) -> dict[str, tuple[Lookup, ...]]:
    """The big stored tables that no equation reads or overwrites but in rows that tokens name, and their lookups."""
    lookups: dict[str, list[Lookup]] = {}
    elsewhere = set(wanted)
    for e in program.equations:
        if isinstance(e.op, Gather):
            lookups.setdefault(e.operands[0].name, []).append(Lookup.of(e.op, e.operands[1]))
        elif isinstance(e.op, AtRows):
            for s in (e.target, *e.operands):
                lookups.setdefault(s.name, []).append(Lookup.of(e.op, e.operands[1]))
        else:
            elsewhere |= {s.name for s in (e.target, *e.operands)}
    big = {s.name for s in program.symbols.values() if s.role in STORED and len(s.shape) == 2 and _size(s) >= LARGE}
    return {name: tuple(dict.fromkeys(some)) for name, some in lookups.items() if name in big - elsewhere}


def _size(symbol: Symbol) -> int:
    return int(symbol.shape[0]) * int(symbol.shape[1])


class Tables:
    """Those of a session, by name."""

    def __init__(self, tables: Mapping[str, TableRows]) -> None:
        self.tables = tables
        self._many: dict[tuple[Lookup, ...], int] = {}
        """By lookups: so many samples have named as good as all rows."""

    def meet(self, data: Values, order: Rows) -> None:
        """What these samples name is about to be read and to change."""
        met: dict[tuple[Lookup, ...], Rows | None] = {}
        for table in self.tables.values():
            lookups = table.lookups
            if lookups not in met:
                many = self._many.get(lookups)
                whole = many is not None and len(order) >= many
                met[lookups] = None if whole else named(lookups, data, order, len(table.memory))
                if met[lookups] is None and not whole:
                    self._many[lookups] = len(order)
            table.meet(met[lookups])


def named(lookups: Iterable[Lookup], data: Values, order: Rows | None, count: int) -> Rows | None:
    """The rows of a table of so many that samples name, each once; None for as good as all."""
    limit, flags, several = count // SHARE, np.zeros(0, np.bool_), []
    for lookup in lookups:
        tokens = np.asarray(data[lookup.tokens])
        samples = range(len(tokens)) if order is None or len(order) == len(tokens) else order
        step = max(1, 4 * limit // max(1, tokens.shape[1]))  # so many may tell that it is as good as all
        for first in range(0, len(samples), step):
            some = samples[first : first + step]
            part = tokens[some.start : some.stop] if isinstance(some, range) else tokens[some]
            part = part if lookup.column is None else part[:, lookup.column]
            part = part + np.array(lookup.starts, np.int64) if lookup.starts else part
            rows = np.minimum(part.astype(np.int64).view(np.uint64), np.uint64(count - 1)).view(
                np.int64
            )  # as code does
            several.append(rows.reshape(-1))
            if sum(map(len, several)) > limit:
                flags = flags if flags.size else np.zeros(count, np.bool_)
                for rows in several:
                    flags[rows] = True
                several = []
                if np.count_nonzero(flags) > limit:
                    return None
    if not flags.size:
        rows = np.unique(np.concatenate(several)) if several else np.zeros(0, np.int64)
    else:
        for rows in several:
            flags[rows] = True
        rows = np.flatnonzero(flags)
    return rows if len(rows) <= limit else None


class RowSet:
    """Some rows of a table.  An interrupt leaves too many rather than too few."""

    def __init__(self, count: int) -> None:
        self.count, self.whole = count, False
        self._flags = np.zeros(count, np.bool_)
        self._parts: list[Rows] = []

    def new(self, rows: Rows) -> Rows:
        """Those that are not among them yet."""
        return rows[:0] if self.whole else rows[~self._flags[rows]]

    def add(self, rows: Rows | None) -> None:
        """These as well; None for all."""
        if rows is None:
            self.whole = True
        elif len(fresh := self.new(rows)):
            self._parts.append(fresh)
            self._flags[fresh] = True

    def clear(self) -> None:
        """None any more."""
        if self.whole:
            self._flags[:] = False
        for rows in self._parts:
            self._flags[rows] = False
        self._parts, self.whole = [], False

    @property
    def rows(self) -> Rows | None:
        """Them; None for as good as all."""
        some = self.whole or sum(map(len, self._parts)) > self.count // SHARE
        return None if some else np.concatenate([np.zeros(0, np.int64), *self._parts])

    def __bool__(self) -> bool:
        return self.whole or bool(self._parts)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which are not among them."""
        return ~self._flags


class TableRows:
    """A table of a session."""

    def __init__(self, lookups: tuple[Lookup, ...], memory: Array) -> None:
        self.lookups, self.memory = lookups, memory
        """memory: (v, d), where machine code has it."""
        self.lender: Array | None = None
        """Where rows are that are not here yet."""
        count = len(memory)
        self.here, self.changed, self.kept = RowSet(count), RowSet(count), RowSet(count)
        """The rows that have come; those that may have changed since `changed` was cleared; those kept for the mark."""
        self._marked = False
        self._all = np.zeros((0, 0), memory.dtype)
        self._before: list[tuple[Rows | None, Array]] = []

    def lend(self, array: Array) -> None:
        """All rows are this array's, which stays as it is until they are taken."""
        self.here.clear()
        self.lender = array

    def write(self, array: Array) -> None:
        """All rows are these."""
        if self._marked:
            self.complete()
            self.keep(None)
        self.changed.add(None)
        self.memory[...] = array
        self.lender = None

    def complete(self) -> None:
        """Takes all rows that have not come."""
        if self.lender is None:
            return
        if self.here:
            np.copyto(self.memory, self.lender, where=self.here.missing[:, None])
        else:
            np.copyto(self.memory, self.lender)
        self.lender = None

    def meet(self, rows: Rows | None) -> None:
        """These are about to be read and to change."""
        if rows is None:
            self.complete()
        elif self.lender is not None:
            fresh = self.here.new(rows)
            self.memory[fresh] = self.lender[fresh]
            self.here.add(fresh)
        self.keep(rows)
        self.changed.add(rows)

    # --- a mark ------------------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """What rows are from now on is remembered as they change."""
        self._before = []
        self.kept.clear()
        self._marked = True

    def keep(self, rows: Rows | None) -> None:
        """Remembers what these were, if they are to be come back to."""
        if not self._marked or self.kept.whole:
            return
        if rows is None:
            if not self._all.size:
                self._all = np.empty_like(self.memory)
            np.copyto(self._all, self.memory)
            self._before.append((None, self._all))
            self.kept.add(None)
        elif len(fresh := self.kept.new(rows)):
            self._before.append((fresh, self.memory[fresh]))
            self.kept.add(fresh)

    def rewind(self) -> None:
        """All rows as they were at the mark."""
        for rows, values in reversed(self._before):
            self.memory[slice(None) if rows is None else rows] = values
            self.changed.add(rows)

    def finite(self) -> bool:
        """Whether the rows that may have changed since the mark are finite; all of them without one."""
        if not self._marked:
            self.complete()
        rows = self.kept.rows if self._marked else None
        numbers = self.memory if rows is None else self.memory[rows]
        with np.errstate(all="ignore"):  # a sum may overflow, and only sends one to look closer
            return bool(np.isfinite(numbers.sum())) or bool(np.isfinite(numbers).all())
