"""The columns of a table, judged: which are numbers and in which way of writing, which are texts, which are neither.

What is odd is said: a fault (all of them in one DataError) where the data cannot be taken as they are, a note where
they can be taken in a way that not everybody would expect.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import (
    FEW_NUMBERS,
    MISSING,
    PLAIN,
    CodedCells,
    Numbers,
    PlainCells,
    Style,
    Texts,
    Verdict,
    as_numbers,
    as_texts,
    count,
    different_cells,
    fits,
    is_code,
    judge,
    plain_numbers,
    settle,
)
from chainrule.data.table import Cells, Table
from chainrule.errors import DataError, shorten

MOST_CATEGORIES = 1000
FEW_CATEGORIES = 50
"""Texts with more different values than the first are no categories; nor are those beyond the second that differ in
more than half of the rows."""

_THOUSANDS = Style(",", ".")
_NO_ACCIDENT = 0.1
"""From this part of the rows on, texts among few numbers are categories to everybody (children: 0, 1, 2, 3+)."""

_LONG = 60
_SHOWN = 5
"""Columns, or cells, that one message names."""


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a table as numbers and texts, without those that hold nothing."""

    source: str
    """The table's name."""
    rows: int
    """How many."""
    named: dict[str, Numbers | Texts]
    """The columns, in the table's order."""
    notes: tuple[str, ...] = field(default=(), repr=False)
    """What was taken in a way that not everybody would expect, a sentence each."""

    def __len__(self) -> int:
        return self.rows

    def take(self, rows: NDArray[np.int64]) -> Columns:
        """The given rows, in the given order."""
        return Columns(self.source, len(rows), {k: v.take(rows) for k, v in self.named.items()}, self.notes)


class Survey:
    """A table, and what is found out about its columns, once and together.

    comma: whether the fraction of a number stands behind a comma in this table, as columns show that leave no doubt;
    None where there is no telling.  doubtful: columns whose points may stand between thousands: 950, 1.250, 12.500
    between semicolons, where nothing in the table says otherwise.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._plain: dict[str, NDArray[np.float64]] = {}
        self._verdicts: dict[str, Verdict] = {}
        for name, cells in table.columns.items():
            if isinstance(cells, np.ndarray):
                continue
            values = _plain(cells)
            if values is not None:
                self._plain[name] = values
            else:
                self._verdicts[name] = judge(count(cells))
        self.comma = self._decimal_comma()
        self.doubtful = set()
        if table.delimiter == ";" and self.comma is None:
            self.doubtful = {name for name in self._plain if _may_be_thousands(table.columns[name])}
        if self.comma and any(v.kind == "number" for v in self._verdicts.values()):
            # 1.234 among decimal commas: what looks plain may be thousands.
            for name in [name for name in self._plain if _all_thousands(table.columns[name])]:
                del self._plain[name]
                self._verdicts[name] = judge(count(table.columns[name]))

    def _decimal_comma(self) -> bool | None:
        sure = {
            style.decimal
            for verdict in self._verdicts.values()
            if verdict.kind == "number" and len(verdict.styles) == 1
            for style in verdict.styles
            if style.decimal == "," or style.group
        }
        if len(sure) == 1:
            return sure == {","}
        if not sure and any(_has_fractions(self.table.columns[name]) for name in self._plain):
            return False
        return None

    def numbers(self, name: str, prior: Style | None = None) -> Numbers | None:
        """A column as numbers, if all of its cells are; written as `prior` where that is possible.

        Raises DataError (without the table's name) where nobody could tell what the numbers are.
        """
        cells = self.table.columns[name]
        if isinstance(cells, np.ndarray):
            return Numbers(cells.astype(np.float64))
        if prior is not None and prior != PLAIN and _all_of(cells, prior):
            return Numbers(as_numbers(cells, prior), prior)
        if name in self.doubtful and prior is None:
            raise DataError(self.doubt(name))
        if name in self._plain:
            return Numbers(self._plain[name])
        verdict = self._verdicts[name]
        if verdict.kind == "empty":
            return Numbers(np.full(len(cells), np.nan))
        if verdict.kind != "number":
            if verdict.because == "codes":
                return Numbers(as_numbers(cells, PLAIN))
            return None
        style = settle(verdict, self.comma)
        if style is None and prior is not None and prior in verdict.styles:
            style = prior
        if style is None:
            style = self._by_delimiter(verdict, cells)
        if style is None:
            row, cell = next((r, c) for r, c in enumerate(cells) if "," in c)
            low, high = sorted(read.number(cell) for read in verdict.styles)
            raise DataError(
                f"{cell!r} ({self.table.place(row)}) in the column {name!r} is {low:g} if that is a decimal comma and "
                f"{high:g} if it is one between thousands, and the other cells fit both. Write numbers with a decimal "
                "point and nothing between thousands."
            )
        return Numbers(as_numbers(cells, style), style)

    def doubt(self, name: str) -> str:
        """The sentence that says what may be thousands."""
        row, cell = next((r, c) for r, c in enumerate(texts_of(self.table.columns[name])) if "." in c)
        return (
            f"{cell!r} ({self.table.place(row)}) in the column {name!r} may have a decimal point or one between "
            "thousands, and the other cells fit both. Write numbers with a decimal point and nothing between thousands."
        )

    def _by_delimiter(self, verdict: Verdict, cells: Sequence[str]) -> Style | None:
        """Semicolons stand between cells where commas stand in numbers, and quoted commas between thousands."""
        if self.table.delimiter == ";" and all("," in cell for cell in different_cells(cells) if cell not in MISSING):
            return settle(verdict, True)
        if self.table.delimiter == ",":
            return settle(verdict, False)
        return None

    def verdict(self, name: str) -> Verdict:
        """What the column is; of a frame's numbers and of plain ones: numbers."""
        if name in self._verdicts:
            return self._verdicts[name]
        return Verdict("number", (PLAIN,))

    def texts(self, name: str) -> Texts:
        """A column as texts; numbers of a frame as they print."""
        return as_texts(texts_of(self.table.columns[name]))

    def where(self, name: str, cells: Collection[str]) -> str:
        """Where these cells of a column stand, each once: "'x' (line 7), 'y' (line 12) and 3 more"."""
        column = texts_of(self.table.columns[name])
        wanted = set(cells)
        rows = [row for row, cell in enumerate(column) if cell in wanted]
        first = {column[row]: row for row in reversed(rows)}
        listed = sorted(first.items(), key=lambda item: item[1])[:_SHOWN]
        shown = ", ".join(f"{shortened(cell)!r} ({self.table.place(row)})" for cell, row in listed)
        more = len(rows) - len(listed)
        return shown + (f" and {more:,} more" if more else "")


def judge_columns(survey: Survey, left_out: Iterable[str] = ()) -> Columns:
    """Every column but those left out as what it is.

    A column that is numbers but for a few cells is a damaged column of numbers, unless it has few different numbers
    and so may be categories ("0", "1", "2", "3+").  Codes (007, 1E2, whole numbers too long for a float) are texts,
    unless they are too many to be categories and no two of them are the same number.
    Raises DataError with all faults: cells that are no numbers, numbers nobody could tell, texts that are no
    categories.
    """
    table = survey.table
    skipped = set(left_out)
    named: dict[str, Numbers | Texts] = {}
    faults: list[str] = []
    notes = list(table.notes)
    too_many: dict[str, str] = {}
    for name in table.columns:
        if name in skipped:
            continue
        verdict = survey.verdict(name)
        if verdict.kind == "empty" or len(table) == 0:
            continue
        try:
            numbers = survey.numbers(name) if verdict.kind == "number" else None
        except DataError as fault:
            faults.append(str(fault))
            continue
        if numbers is not None:
            if sentence := infinite(survey, name, numbers):
                faults.append(sentence)
            if not np.isnan(numbers.values).all():
                named[name] = numbers
            continue
        if verdict.because == "ways" or (verdict.because == "mixed" and verdict.numbers > FEW_NUMBERS):
            faults.append(no_numbers(survey, name, verdict))
            continue
        texts = survey.texts(name)
        if _are_categories(texts):
            named[name] = texts
            notes += _note(survey, name, verdict, texts)
        elif verdict.because == "codes" and (numbers := survey.numbers(name)) and _as_many(numbers, texts):
            named[name] = numbers
            notes.append(
                f"the column {name!r} holds {len(texts.words)} different codes such as {_code(texts)!r}, too many to "
                "be categories, and is read as numbers"
            )
        else:
            too_many[name] = _why(verdict, texts)
    if too_many:
        faults.append(_no_categories(too_many))
    if faults:
        raise DataError(shorten(f"{table.path}: {joined(faults)}"))
    return Columns(table.path, len(table), named, tuple(notes))


def no_numbers(survey: Survey, name: str, verdict: Verdict) -> str:
    """The sentence that names the cells of a column that are not numbers as the others are."""
    where = survey.where(name, verdict.others)
    if verdict.because == "ways":
        first = next(cell for cell in texts_of(survey.table.columns[name]) if fits(cell, verdict.styles[0]))
        return (
            f"The numbers of the column {name!r} are not written alike: {first!r} has {verdict.styles[0]}, but there "
            f"is {where}."
        )
    return f"{where} in the column {name!r} {'are' if ', ' in where else 'is'} not a number."


def infinite(survey: Survey, name: str, numbers: Numbers) -> str:
    """The sentence that names the first infinity of a column; "" where there is none."""
    rows = np.flatnonzero(np.isinf(numbers.values))
    if not len(rows):
        return ""
    cell = texts_of(survey.table.columns[name])[int(rows[0])]
    return f"{cell!r} ({survey.table.place(int(rows[0]))}) in the column {name!r} is not finite."


def shortened(text: str) -> str:
    """A name or cell for a message."""
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def joined(sentences: Sequence[str]) -> str:
    """Sentences for one message: not more than a few."""
    more = f" And {len(sentences) - _SHOWN} more." if len(sentences) > _SHOWN else ""
    return " ".join(sentences[:_SHOWN]) + more


def some(names: Sequence[str], shown: int = _SHOWN) -> str:
    """Names for a message: not more than a few, none of them long."""
    listed = ", ".join(repr(shortened(name)) for name in names[:shown])
    return listed + (f" and {len(names) - shown:,} more" if len(names) > shown else "")


def _are_categories(texts: Texts) -> bool:
    different = len(texts.words)
    if different <= FEW_CATEGORIES:
        return True
    return different <= MOST_CATEGORIES and 2 * different <= int((texts.codes >= 0).sum())


def _as_many(numbers: Numbers, texts: Texts) -> bool:
    """Whether different codes are different numbers."""
    return len(np.unique(numbers.values[texts.codes >= 0])) == len(texts.words)


def _code(texts: Texts) -> str:
    return next(word for word in texts.words if is_code(word))


def _note(survey: Survey, name: str, verdict: Verdict, texts: Texts) -> list[str]:
    read = f"is read as {len(texts.words)} categories"
    if verdict.because == "mixed":
        odd = np.isin(texts.codes, [k for k, word in enumerate(texts.words) if word in set(verdict.others)])
        if odd.mean() >= _NO_ACCIDENT:
            return []
        where = survey.where(name, verdict.others)
        return [f"{where} in the column {name!r} {'are' if ', ' in where else 'is'} not a number; the column {read}"]
    if verdict.because == "dates":
        return [f"the column {name!r} looks like dates or times ({texts.words[0]!r}) and {read}"]
    # Codes of one width, as of a post office, are codes to everybody.
    if verdict.because == "codes" and len(set(map(len, texts.words))) > 1:
        return [f"the column {name!r} {read}, as {_code(texts)!r} is a code and not a number"]
    return []


def _why(verdict: Verdict, texts: Texts) -> str:
    different = f"{len(texts.words)} different texts in {len(texts.codes)} rows"
    if verdict.because == "dates":
        return f"{different}, which look like dates or times ({texts.words[0]!r})"
    if verdict.because == "codes":
        return f"{different}, codes such as {_code(texts)!r}"
    if verdict.numbers:
        return f"{different}, some of them numbers with {verdict.styles[0]}"
    if all(any(map(str.isdigit, word)) and not any(map(str.isalpha, word)) for word in texts.words):
        return f"{different}, which look like numbers ({shortened(texts.words[0])!r}) written in no way that is known"
    return different


def _no_categories(columns: Mapping[str, str]) -> str:
    named = [f"{shortened(name)!r} ({why})" for name, why in list(columns.items())[:_SHOWN]]
    more = f" and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else ""
    options = " ".join(f"--ignore {shlex.quote(name)}" for name in list(columns)[:_SHOWN])
    one = len(columns) == 1
    return (
        f"The column{'' if one else 's'} {', '.join(named)}{more} {'is' if one else 'are'} no categories. Leave "
        f"{'it' if one else 'them'} out: ignore={list(columns)[:_SHOWN]!r} ({options})."
    )


def texts_of(cells: Cells) -> Sequence[str]:
    """Cells as texts; whole numbers of a frame print without a point, and a missing one is ""."""
    if not isinstance(cells, np.ndarray):
        return cells
    return ["" if value != value else label(value) for value in cells.tolist()]


def label(value: Any) -> str:
    """How a value prints; a whole number without a point, however it is kept."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _plain(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """The numbers of a column where all that is not missing is a plain number, and something is."""
    if isinstance(cells, PlainCells):
        return cells.values
    if isinstance(cells, CodedCells):
        once = _plain(cells.words)
        return None if once is None else once[cells.codes]
    values = plain_numbers(cells)
    if values is not None:
        return values
    present = [cell not in MISSING for cell in cells]
    there = plain_numbers(list(itertools.compress(cells, present)))
    if there is None or not len(there):
        return None
    values = np.full(len(cells), np.nan)
    values[present] = there
    return values


def _all_of(cells: Sequence[str], style: Style) -> bool:
    return all(fits(cell, style) for cell in different_cells(cells) if cell not in MISSING)


def _has_fractions(cells: Cells) -> bool:
    """Whether a column of plain numbers shows that its point is a decimal point."""
    return any("." in cell and not fits(cell, _THOUSANDS) for cell in itertools.islice(cells, 1000))


def _may_be_thousands(cells: Cells) -> bool:
    """Whether some of the numbers have a point, always three digits before the end, and some smaller ones have none."""
    pointed = [("." in cell, cell) for cell in different_cells(cells) if cell not in MISSING]
    some_of_each = {has for has, _ in pointed} == {True, False}
    return some_of_each and all(fits(cell, _THOUSANDS) for _, cell in pointed)


def _all_thousands(cells: Cells) -> bool:
    assert not isinstance(cells, np.ndarray)
    return any("." in cell for cell in different_cells(cells)) and _all_of(cells, _THOUSANDS)
