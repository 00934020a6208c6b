"""What is learned of a table in one pass: a sample of its rows, its categories, its gaps, its targets.

The sample is a uniform one, the rows with the smallest of the random numbers that follow from the rows' own: a quantile
of it has a rank that is off by 0.5/√n at most, one standard deviation, where n rows are sampled.  Categories, gaps and
what is said of the targets are those of all rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.blocks.tables import arrow
from chainrule.errors import DataError
from chainrule.tabular.columns import DENSE, NAMES_OF_ROWS, CategoryColumn, Column, NumberColumn, category_of
from chainrule.tabular.frame import Frame, read_frame
from chainrule.tabular.members import Units
from chainrule.tabular.preparation import Preparation
from chainrule.tabular.recipe import Aim
from chainrule.tabular.stream import Part, chosen_at_random

Array = NDArray[Any]
SAMPLED = 200_000
"""Rows of the sample at most."""
DIFFERENT = 100_000
"""Different texts of a column that are counted; of one that has more the sample tells."""


class Sample:
    """Some rows, uniformly chosen, whatever parts they come in.

    of: how many there are in all, where that is known: few more than are wanted are kept then from the first part on.
    """

    def __init__(self, rows: int, seed: int, of: int | None = None) -> None:
        self.rows, self.seed = rows, seed
        self.keys: list[NDArray[np.uint64]] = []
        self.tables: list[Any] = []
        self.targets: list[Array] = []
        likely = 1.0 if of is None else (rows + 8 * rows**0.5) / max(of, 1)
        self.below = np.uint64(2**64 - 1 if likely >= 1 else int(likely * 2.0**64))

    def merge(self, other: Sample) -> None:
        """Takes what another one has of the rows that follow."""
        self.keys += other.keys
        self.tables += other.tables
        self.targets += other.targets
        if sum(map(len, self.keys)) > 2 * self.rows:
            self._settle()

    def add(self, part: Part) -> None:
        """Looks at some rows."""
        pa = arrow("lib", "the table")
        keys = chosen_at_random(part.first, len(part.X), self.seed)
        keep = keys <= self.below
        if keep.any():
            self.keys.append(keys[keep])
            self.tables.append(part.X.filter(pa.array(keep)))
            assert part.y is not None
            self.targets.append(part.y[keep])
        if sum(map(len, self.keys)) > 2 * self.rows:
            self._settle()

    def _settle(self) -> None:
        pa = arrow("lib", "the table")
        keys = np.concatenate(self.keys)
        try:
            table = pa.concat_tables(self.tables, promote_options="permissive")
        except pa.ArrowException as fault:
            raise DataError(
                f"X: a column has another type in some rows than in others: {fault}. Make it numbers or texts in all."
            ) from None
        targets = np.concatenate(self.targets)
        if len(keys) > self.rows:
            chosen = np.sort(np.argpartition(keys, self.rows)[: self.rows])
            keys, table, targets = keys[chosen], table.take(pa.array(chosen)).combine_chunks(), targets[chosen]
            self.below = keys.max()
        self.keys, self.tables, self.targets = [keys], [table], [targets]

    def settled(self) -> tuple[Any, Array]:
        """(pyarrow.Table, targets).  Raises DataError where parts have columns of types that have none in common."""
        self._settle()
        return self.tables[0], self.targets[0]


class Survey:
    """What all rows say."""

    def __init__(self, seed: int, sampled: int, chosen: Collection[str], of: int | None = None) -> None:
        self.sample = Sample(sampled, seed, of)
        self.chosen = chosen
        """Columns that a user says are categories, whatever they hold."""
        self.rows = 0
        self.missing: Counter[str] = Counter()
        self.words: dict[str, Counter[Any] | None] = {}
        """How often each different cell of a column is there; None where there are too many."""
        self.ends: dict[str, tuple[int, int]] = {}
        """Of whole numbers the smallest and the largest."""
        self.weight = 0.0

    def add(self, part: Part) -> None:
        """Looks at some rows."""
        compute, types = arrow("compute", "the table"), arrow("types", "the table")
        self.rows += len(part.X)
        self.weight += len(part.X) if part.w is None else float(part.w.sum())
        self.sample.add(part)
        for name, column in zip(part.X.column_names, part.X.columns, strict=True):
            self.missing[name] += column.null_count
            if types.is_integer(column.type) and column.null_count < len(column):
                ends = compute.min_max(column).as_py()
                low, high = self.ends.get(name, (ends["min"], ends["max"]))
                self.ends[name] = min(low, ends["min"]), max(high, ends["max"])
            if types.is_floating(column.type):
                self.missing[name] += compute.sum(compute.is_nan(column)).as_py() or 0
            counted = name in self.chosen or not (types.is_floating(column.type) or types.is_integer(column.type))
            if counted and (so_far := self.words.setdefault(name, Counter())) is not None:
                if types.is_dictionary(column.type):
                    column = column.cast(column.type.value_type)
                for pair in compute.value_counts(column.drop_null()).to_pylist():
                    so_far[pair["values"]] += pair["counts"]
                if len(so_far) > DIFFERENT:
                    self.words[name] = None

    def merge(self, other: Survey) -> None:
        """Takes what another one has found in the rows that follow."""
        self.rows += other.rows
        self.weight += other.weight
        self.sample.merge(other.sample)
        self.missing += other.missing
        for name, (low, high) in other.ends.items():
            own = self.ends.get(name, (low, high))
            self.ends[name] = min(own[0], low), max(own[1], high)
        for name, theirs in other.words.items():
            so_far = self.words.setdefault(name, Counter())
            if so_far is None or theirs is None or len(so_far.keys() | theirs.keys()) > DIFFERENT:
                self.words[name] = None
            else:
                so_far.update(theirs)

    def exact(self, preparation: Preparation, frame: Frame) -> Preparation:
        """What was learned of the sample, a frame, with what all rows say of categories, gaps and identifiers."""
        learned = {column.name: column for column in preparation.columns}
        left_out = dict(preparation.left_out)
        columns: list[Column] = []
        for name in preparation.names:
            column, counts = learned.get(name), self.words.get(name)
            gaps = self.missing[name] > 0 or (column is not None and column.gaps)
            if counts and (isinstance(column, CategoryColumn) or left_out.get(name) in ("constant", "empty")):
                words = self._words(name, counts)
                exact = category_of(name, words, gaps) if len(words) > 1 or (words and gaps) else None
                column = exact if isinstance(exact, CategoryColumn) else column
            if isinstance(column, NumberColumn) and not gaps and self._counts_rows(name, frame):
                column, left_out[name] = None, "identifier"
            if column is not None:
                columns.append(replace(column, gaps=gaps))
        known = {column.name for column in columns}
        out = tuple((name, left_out[name]) for name in preparation.names if name in left_out and name not in known)
        return replace(preparation, columns=tuple(columns), left_out=out)

    def _counts_rows(self, name: str, frame: Frame) -> bool:
        """Whether whole numbers, all different in the sample, lie in a range that has room for little more."""
        if name not in self.ends or not NAMES_OF_ROWS.search(name):
            return False
        low, high = self.ends[name]
        values = frame.numbers(name)
        return high - low < self.rows / DENSE and len(np.unique(values)) == len(values)

    def _words(self, name: str, counts: Counter[Any]) -> list[tuple[str, int]]:
        """As frames say the cells, each with how often it is there."""
        cells = list(counts)
        texts = read_frame({name: np.array(cells, dtype=object)}).texts(name)
        found: Counter[str] = Counter()
        for cell, code in zip(cells, texts.codes.tolist(), strict=True):
            if code >= 0:
                found[texts.words[code]] += counts[cell]
        return list(found.items())


class Moments:
    """Mean, deviation and range of targets, part by part (Chan, Golub, LeVeque 1983)."""

    def __init__(self) -> None:
        self.weight = 0.0
        self.mean: Any = 0.0
        self.squares: Any = 0.0
        self.low: Any = np.inf
        self.high: Any = -np.inf

    def add(self, values: Array, weights: Array | None) -> None:
        """values (m, targets)."""
        w = np.ones(len(values)) if weights is None else weights
        if not w.sum() > 0:
            return
        mean = np.average(values, axis=0, weights=w)
        squares = (w[:, None] * np.square(values - mean)).sum(axis=0)
        total, between = self.weight + float(w.sum()), mean - self.mean
        self.squares = self.squares + squares + np.square(between) * self.weight * float(w.sum()) / total
        self.mean = self.mean + between * float(w.sum()) / total
        self.weight = total
        self.low, self.high = np.minimum(self.low, values.min(axis=0)), np.maximum(self.high, values.max(axis=0))

    def units(self, aim: Aim) -> Units:
        """As `Units.of` all rows."""
        mean, spread = np.asarray(self.mean, float), np.sqrt(self.squares / self.weight)
        if aim.kind == "counts":
            mean, spread = np.zeros_like(mean), mean
        spread = np.where((spread > 0) & np.isfinite(spread), spread, 1.0)
        return Units(*(tuple(float(v) for v in each) for each in (mean, spread, self.low, self.high)))
