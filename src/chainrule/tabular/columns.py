"""What is learned of each column of a table, and what a network is given of it: numbers, flags, categories.

    number      (x - median) / (75 % - 25 % quantile), then z / √(1 + (z/3)²): the middle as it is, the far ends at 3;
                missing: 0, and a flag that says so if training lacked any
    category    two levels: a flag; more: a number for each level, by text; what training did not have is 0
    order       the place of a category in its order, as a number
    time        its position, as a number, and where it goes round within the year, the week and the day, by sin and cos

Sources: Holzmüller et al. 2024 (RealMLP) for the scaling.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import PLAIN, SURE_DIGITS, Style, Texts
from chainrule.tabular.frame import TRUTH, Frame
from chainrule.tabular.times import First

Array = NDArray[Any]
PIECES = 16
"""Of a number, at most."""
ROWS_A_PIECE = 20
"""Training rows that a piece has at least."""
MOST_LEVELS = 1000
"""Levels of a category that are told apart, the commonest."""
NAMES_OF_ROWS = re.compile(r"(?i:(?:^|[\W_])(?:id|idx|index|key|uuid|guid|row|nr|no|number))$|[a-z]I[dD]$")
"""How columns are called that tell rows apart.  Another one that counts rows may say something: a day, a place."""
FEW_LEVELS = 50
"""Up to so many are all told apart; of more only those that occur `OFTEN`."""
OFTEN = 3
DENSE = 0.25
"""Whole numbers that are all different count something if they fill this part of their range: by chance some of so many
would be the same."""
_FAR = 3.0
_HUGE = float(np.finfo(np.float64).max)
_TRUE_OR_FALSE = {"1": "true", "0": "false"}
_DAY = 86_400_000_000
CYCLES = {"year": 365.2425 * _DAY, "week": 7.0 * _DAY, "day": 1.0 * _DAY}
"""What a time goes round in, by the microseconds of once around."""


@dataclass(frozen=True)
class Scaling:
    """Numbers brought to about the same size, whatever their unit and however far their ends are."""

    median: float
    """Of the training data."""
    scale: float
    """Their 75 % less their 25 % quantile; half the range where that is 0."""

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Scaling | None:
        """Of numbers without gaps, finite or not; None where all are the same."""
        if not len(values) or values.min() == values.max():
            return None
        finite = values[np.isfinite(values)]
        if not len(finite):  # infinities of both signs
            return cls(0.0, 1.0)
        unit = 4.0 if np.abs(finite).max() > _HUGE / 4 else 1.0  # between quantiles lie differences, which may overflow
        low, median, high = (unit * float(q) for q in np.quantile(finite / unit, [0.25, 0.5, 0.75]))
        with np.errstate(over="ignore"):
            scale = high - low or float(finite.max()) / 2 - float(finite.min()) / 2 or 1.0
        return cls(median, min(scale, _HUGE))

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """z / √(1 + (z/3)²) of z = (x - median) / scale; 0 where there is none."""
        with np.errstate(over="ignore", invalid="ignore"):
            z = np.clip((values - self.median) / self.scale, -1e6, 1e6)
        squeezed = z / np.sqrt(1 + np.square(z / _FAR))
        return np.where(np.isnan(values), 0.0, squeezed).astype(np.float32)


def edges_of(values: NDArray[np.float32]) -> tuple[float, ...]:
    """The edges of the pieces that hold about as many of the values each, increasing; at least two."""
    pieces = int(np.clip(len(values) // ROWS_A_PIECE, 1, PIECES))
    different = np.unique(values)
    if len(different) <= pieces:
        chosen = different
    else:
        chosen = np.unique(np.quantile(values, np.linspace(0, 1, pieces + 1)).astype(np.float32))
    edges = [float(e) for e in chosen]
    return tuple(edges) if len(edges) > 1 else (edges[0], edges[0] + 1.0)


@dataclass(frozen=True)
class Parts:
    """What a network is given of a column, for m rows."""

    numbers: Sequence[NDArray[np.float32]] = ()
    """Each (m,)."""
    flags: Sequence[NDArray[np.float32]] = ()
    """Each (m,), -1, 0 or 1."""
    categories: Sequence[NDArray[np.int32]] = ()
    """Each (m,)."""
    unseen: int = 0
    """In how many rows there is a category that training did not have."""
    gaps: int = 0
    """In how many rows there is no value, where training never lacked one."""


class _Learned:
    """What a column becomes, unless it says otherwise: nothing of a kind, but a flag where training lacked values."""

    name: str
    gaps: bool

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the numbers that it becomes."""
        return ()

    @property
    def pieces(self) -> tuple[tuple[float, ...], ...]:
        """Their edges."""
        return ()

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of its flags."""
        return (f"{self.name} is missing",) if self.gaps else ()

    @property
    def counts(self) -> tuple[int, ...]:
        """Levels of the categories that it becomes."""
        return ()

    def _of(self, numbers: Sequence[NDArray[np.float32]], missing: NDArray[np.bool_]) -> Parts:
        """Those numbers, with the flag of what is missing, or the count of it where training never lacked one."""
        flags = [np.where(missing, 1, -1).astype(np.float32)] if self.gaps else []
        return Parts(numbers, flags, gaps=0 if self.gaps else int(missing.sum()))


@dataclass(frozen=True)
class NumberColumn(_Learned):
    """A column of numbers."""

    tag: ClassVar[str] = "number"
    name: str
    """Of the column."""
    scaling: Scaling
    """To the inputs' size."""
    edges: tuple[float, ...]
    """Of its pieces, in the inputs' units."""
    gaps: bool
    """Whether training lacked some values; a flag says then where."""
    style: Style = PLAIN
    """How the training data wrote its numbers."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the numbers that it becomes."""
        return (self.name,)

    @property
    def pieces(self) -> tuple[tuple[float, ...], ...]:
        """Their edges."""
        return (self.edges,)

    def parts(self, frame: Frame) -> Parts:
        """Raises DataError for cells that are no numbers."""
        values = frame.numbers(self.name, self.style)
        return self._of([self.scaling.apply(values)], np.isnan(values))


@dataclass(frozen=True)
class CategoryColumn(_Learned):
    """A column of categories."""

    tag: ClassVar[str] = "category"
    name: str
    """Of the column."""
    levels: tuple[str, ...]
    """By text."""
    gaps: bool
    """Whether training lacked some values; that is a level then, the last."""
    rest: bool = False
    """Whether training had more levels, too rare to be told apart: they are as those that it did not have."""

    @property
    def flagged(self) -> bool:
        """Whether it is a flag: two levels."""
        return len(self.levels) == 2 and not self.gaps and not self.rest

    @property
    def flags(self) -> tuple[str, ...]:
        """Its name, of two levels."""
        return (self.name,) if self.flagged else ()

    @property
    def counts(self) -> tuple[int, ...]:
        """One more than its levels: 0 is what training did not have."""
        return () if self.flagged else (len(self.levels) + self.gaps + 1,)

    def parts(self, frame: Frame) -> Parts:
        """A level's number counts from 1."""
        texts = frame.texts(self.name)
        missing = len(self.levels) + 1 if self.gaps else 0
        table = np.array([*self._places(texts.words), missing], dtype=np.int32)
        codes = table[texts.codes]  # -1, no value, is the last
        gone = texts.codes < 0
        gaps = 0 if self.gaps else int(gone.sum())
        unseen = 0 if self.rest else int(((codes == 0) & ~gone).sum())
        if self.flagged:
            return Parts((), [np.array([0, -1, 1], np.float32)[codes]], unseen=unseen, gaps=gaps)
        return Parts((), (), [codes], unseen, gaps)

    def _places(self, words: Sequence[str]) -> list[int]:
        place = {level: k + 1 for k, level in enumerate(self.levels)}
        if {level.lower() for level in self.levels} == TRUTH:  # some write TRUE, some 1
            place = {level.lower(): k for level, k in place.items()}
            return [place.get(_TRUE_OR_FALSE.get(word, word.lower()), 0) for word in words]
        return [place.get(word, 0) for word in words]


@dataclass(frozen=True)
class OrderColumn(_Learned):
    """A column of categories that have an order: a number, their rank."""

    tag: ClassVar[str] = "order"
    name: str
    """Of the column."""
    levels: tuple[str, ...]
    """By text, from the lowest to the highest; also those that training had in no row."""
    scaling: Scaling
    """Of their ranks, from 0."""
    edges: tuple[float, ...]
    """Of the pieces of the ranks."""
    gaps: bool
    """Whether training lacked some values."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Its rank."""
        return (self.name,)

    @property
    def pieces(self) -> tuple[tuple[float, ...], ...]:
        """Their edges."""
        return (self.edges,)

    def parts(self, frame: Frame) -> Parts:
        """A text that is none of the categories is like a missing one."""
        ranks = ranks_of(frame.texts(self.name), self.levels)
        parts = self._of([self.scaling.apply(ranks)], np.isnan(ranks))
        unseen = int((np.isnan(ranks) & (frame.texts(self.name).codes >= 0)).sum())
        return replace(parts, unseen=unseen, gaps=max(parts.gaps - unseen, 0))


@dataclass(frozen=True)
class TimeColumn(_Learned):
    """A column of dates or times."""

    tag: ClassVar[str] = "time"
    name: str
    """Of the column."""
    scaling: Scaling
    """Of its position, in microseconds from 1970."""
    edges: tuple[float, ...]
    """Of the pieces of its position."""
    cycles: tuple[str, ...]
    """Those that it goes around in: year, week, day."""
    gaps: bool
    """Whether training lacked some values."""
    first: First = ""
    """What stood first in dates such as 31/1/2024, where training showed it."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Its position, and sin and cos of each cycle."""
        return (self.name, *(f"{self.name}, {part} of the {c}" for c in self.cycles for part in ("sin", "cos")))

    @property
    def pieces(self) -> tuple[tuple[float, ...], ...]:
        """Their edges."""
        return (self.edges, *((-1.0, -0.5, 0.0, 0.5, 1.0) for _ in self.cycles for _ in range(2)))

    def parts(self, frame: Frame) -> Parts:
        """Raises DataError for cells that are no dates or times."""
        values = frame.time(self.name, self.first)
        missing = np.isnat(values)
        moments = microseconds(values)
        numbers = [self.scaling.apply(moments)]
        for cycle in self.cycles:
            turn = 2 * np.pi * np.where(missing, 0, moments) / CYCLES[cycle]
            numbers += [np.where(missing, 0, part(turn)).astype(np.float32) for part in (np.sin, np.cos)]
        return self._of(numbers, missing)


Column = NumberColumn | CategoryColumn | OrderColumn | TimeColumn


def ranks_of(texts: Texts, levels: Sequence[str]) -> NDArray[np.float64]:
    """The place of each row's text among the levels, from 0; NaN where it is none of them."""
    place = {level: float(k) for k, level in enumerate(levels)}
    return np.array([*(place.get(word, np.nan) for word in texts.words), np.nan])[texts.codes]


def microseconds(values: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """From 1970; NaN where there is none."""
    return np.where(np.isnat(values), np.nan, values.astype("datetime64[us]").astype(np.int64).astype(np.float64))


def learn_number(frame: Frame, name: str) -> NumberColumn | str:
    """The column, or why there is nothing in it to learn from."""
    values = frame.numbers(name)
    there = values[~np.isnan(values)]
    gaps = len(there) < len(values)
    if not len(there):
        return "empty"
    scaling = Scaling.of(there)
    if scaling is None:
        if not gaps:
            return "constant"
        scaling = Scaling(float(np.clip(there[0], -_HUGE, _HUGE)), 1.0)
    if len(there) > FEW_LEVELS and not gaps and NAMES_OF_ROWS.search(name) and counts_rows(there):
        return "identifier"
    return NumberColumn(name, scaling, edges_of(scaling.apply(there)), gaps, frame.style(name))


def learn_category(frame: Frame, name: str, *, chosen: bool) -> CategoryColumn | NumberColumn | str:
    """The column, or why there is nothing in it to learn from; chosen: whether the user says that it is one.

    Long whole numbers that only a clock tells apart are numbers.
    """
    texts = frame.texts(name)
    there = texts.codes >= 0
    counts = np.bincount(texts.codes[there], minlength=len(texts.words))
    words = [(word, int(n)) for word, n in zip(texts.words, counts, strict=True) if n]
    gaps = bool(not there.all())
    if not words:
        return "empty"
    if len(words) == 1 and not gaps:
        return "constant"
    if len(words) > FEW_LEVELS and not chosen and 2 * len(words) > there.sum():
        if frame.dated(name):
            return "dates"
        if _count_time([word for word, _ in words]):
            return learn_number(frame, name)
        return "identifier" if len(words) == there.sum() else "texts"
    return category_of(name, words, gaps)


def category_of(name: str, words: Sequence[tuple[str, int]], gaps: bool) -> CategoryColumn | str:
    """The column of these words, of which there are so many each; "texts" where all of many are rare."""
    rest = False
    if len(words) > FEW_LEVELS:
        often = sorted(((w, n) for w, n in words if n >= OFTEN), key=lambda pair: (-pair[1], pair[0]))[:MOST_LEVELS]
        if not often:
            return "texts"
        rest, words = len(often) < len(words), often
    return CategoryColumn(name, tuple(sorted(word for word, _ in words)), gaps, rest)


def learn_order(frame: Frame, name: str) -> OrderColumn | CategoryColumn | NumberColumn | str:
    """The column, or why there is nothing in it to learn from.

    Of two categories the order says nothing, and of more than there are pieces a number says less than an embedding.
    """
    levels = frame.ordered[name]
    ranks = ranks_of(frame.texts(name), levels)
    there = ranks[~np.isnan(ranks)]
    scaling = Scaling.of(there)
    if scaling is None or not 2 < len(np.unique(there)) <= PIECES + 1:
        return learn_category(frame, name, chosen=True)
    return OrderColumn(name, levels, scaling, edges_of(scaling.apply(there)), len(there) < len(ranks))


def learn_time(frame: Frame, name: str) -> TimeColumn | str:
    """The column, or why there is nothing in it to learn from."""
    values = frame.time(name)
    missing = np.isnat(values)
    moments = microseconds(values[~missing])
    if not len(moments):
        return "empty"
    scaling = Scaling.of(moments)
    if scaling is None:
        return "constant"
    span = float(moments.max() - moments.min())
    whole_days = bool((moments % _DAY == 0).all())
    long = {"year": 0.25, "week": 1.0, "day": 0.25}
    cycles = [c for c, turn in CYCLES.items() if span >= long[c] * turn and not (c == "day" and whole_days)]
    if "week" in cycles and whole_days and bool((moments % CYCLES["week"] == moments[0] % CYCLES["week"]).all()):
        cycles.remove("week")
    edges = edges_of(scaling.apply(moments))
    return TimeColumn(name, scaling, edges, tuple(cycles), bool(missing.any()), frame.order(name))


def _count_time(words: Sequence[str]) -> bool:
    """Whether whole numbers, too long for a float, lie close together, as the microseconds of some years do."""
    if not all(word.isdigit() and word.isascii() and word[0] != "0" for word in words):
        return False
    low, high = min(map(int, words)), max(map(int, words))
    return (
        high >= 10**SURE_DIGITS and 2 * (high - low) < high and len({float(int(word)) for word in words}) > FEW_LEVELS
    )


def counts_rows(values: NDArray[np.float64]) -> bool:
    """Whether whole numbers, all different, only count the rows, in whatever order."""
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high) and high - low < len(values) / DENSE):
        return False
    return bool((values == np.floor(values)).all()) and len(np.unique(values)) == len(values)
