"""What the cells of a column say: nothing, a number and in which way of writing, or a text.

All judgement about cells is here; files, frames, features and targets are read by it alike.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, shown
from chainrule.files.fields import Maybe, Object, Text

_SIGNS = ("", "?", "#N/A", "#N/A N/A", "#NA", "#NV", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!",
          "#SPILL!", "#CALC!", "<NA>", "<NaN>", "NaN", "nan", "NAN", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN",
          "-1.#QNAN", "NaT", "\\N", "(null)", "(NULL)")  # fmt: skip
_WORDS = ("NA", "na", "N/A", "n/a", "N.A.", "n.a.", "None", "none", "NONE", "null", "Null", "NULL", "nil", "Nil",
          "NIL", "missing", "Missing", "MISSING", "undefined", "-", "--", "---", "\u2013", "\u2014", ".", "..",
          "...")  # fmt: skip

MISSING_SIGNS = frozenset(_SIGNS)
"""What spreadsheets, R, pandas, NumPy and databases write where there is no value, and nobody else writes at all."""
MISSING_WORDS = frozenset(_WORDS)
"""What says "no value" among numbers and features, but may as well be the name of a class (NA: North America)."""
MISSING = MISSING_SIGNS | MISSING_WORDS

FEW_NUMBERS = 20
"""Up to so many different numbers beside texts may be categories ("0", "1", "2", "3+")."""
SURE_DIGITS = 15
"""So many digits of a whole number every float64 keeps."""

_OTHER_MARKS = str.maketrans({"\u2212": "-", "\u2019": "'", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2007": " "})
_UNIT = re.compile(r"([-+]?) ?([$€£¥₹₩₽₺₪]?) ?([-+]?)(.*?) ?([$€£¥₹₩₽₺₪%]?)", re.DOTALL)
_SAMPLE = 1000
_PLAIN_BYTES = b"0123456789+-.eE\n"
_CODE = re.compile(rf"0\d+|\d+E\d+|[+-]?\d{{{SURE_DIGITS + 1},}}", re.ASCII)
_CODES = re.compile(rf"^(?:{_CODE.pattern})$", re.ASCII | re.MULTILINE)
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?(?:[T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})(?: .*)?"
    r"|\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?[AaPp][Mm])?|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4}.*",
    re.ASCII,
)
_INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})


@dataclass(frozen=True)
class Style:
    """One way of writing numbers."""

    decimal: str = "."
    """What stands before the fraction."""
    group: str = ""
    """What stands between thousands, if anything."""
    unit: str = ""
    """The currency or percent sign that every number has, if any."""

    def __str__(self) -> str:
        names = {".": "a point", ",": "a comma", " ": "a space", "'": "an apostrophe"}
        grouped = f" and {names[self.group]} between thousands" if self.group else ""
        return f"a decimal {names[self.decimal][2:]}{grouped}{f' and {self.unit}' if self.unit else ''}"

    def number(self, cell: str) -> float:
        """The number that a cell is, for one that is written so."""
        if cell.lower() in _INFINITE:
            return float(cell)
        sign, _, body = _parts(cell)
        digits = body.replace(self.group, "") if self.group else body
        return float(sign + digits.replace(self.decimal, "."))


class CodedCells(Sequence[str]):
    """The cells of a column, each different one kept once; reads as the list of them, and is judged much faster."""

    codes: NDArray[np.int64]
    """(m,) which of `words` is a row's."""
    words: tuple[str, ...]
    """The different cells, all of which occur, in the order of their first appearance; "" is a missing one."""

    def __init__(self, codes: NDArray[np.int64], words: Sequence[str]) -> None:
        """words: any texts, some of them perhaps the same or in no row."""
        place: dict[str, int] = {}
        merged = np.array([place.setdefault(word, len(place)) for word in words], dtype=np.int64)
        codes = merged[codes] if len(words) else codes
        first = np.full(len(place), len(codes), dtype=np.int64)
        first[codes[::-1]] = np.arange(len(codes))[::-1]  # of several writes to a place the last stays
        order = np.argsort(first, kind="stable")[: int((first < len(codes)).sum())]
        rank = np.full(len(place), -1, dtype=np.int64)
        rank[order] = np.arange(len(order))
        distinct = list(place)
        self.codes, self.words = rank[codes] if len(codes) else codes, tuple(distinct[k] for k in order.tolist())

    @classmethod
    def of(cls, cells: Sequence[str]) -> CodedCells:
        """Of texts one by one."""
        place: dict[str, int] = {}
        codes = np.fromiter((place.setdefault(cell, len(place)) for cell in cells), np.int64, len(cells))
        return cls(codes, tuple(place))

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[str]:
        return map(self.words.__getitem__, self.codes.tolist())

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self.words[code] for code in self.codes[row].tolist()]
        return self.words[self.codes[row]]

    def __contains__(self, cell: object) -> bool:
        return cell in self.words

    def take(self, rows: NDArray[np.int64]) -> CodedCells:
        """These rows."""
        return type(self)(self.codes[rows], self.words)


class TruthCells(CodedCells):
    """The cells of a column that says itself that it holds truth values: True and False."""


@dataclass(frozen=True, eq=False)
class PlainCells(Sequence[str]):
    """The cells of a column of plain numbers, none of them a code, both as numbers and as they stand in their file."""

    values: NDArray[np.float64]
    """(m,); NaN where the cell says that there is none."""
    texts: Any
    """(m,), as pyarrow keeps them."""

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self.values), _SAMPLE):
            yield from self.texts.slice(start, _SAMPLE).to_pylist()

    def __getitem__(self, row: Any) -> Any:
        return self.texts[row].to_pylist() if isinstance(row, slice) else self.texts[int(row)].as_py()

    def __contains__(self, cell: object) -> bool:
        return isinstance(cell, str) and bool(self.texts.index(cell).as_py() >= 0)

    def take(self, rows: NDArray[np.int64]) -> PlainCells:
        """These rows."""
        return PlainCells(self.values[rows], self.texts.take(rows))


PLAIN = Style()
STYLE = Maybe(Object(dict.fromkeys(("decimal", "group", "unit"), Text(longest=1))))
"""What a file may say of a style."""


def _pattern(decimal: str, group: str) -> re.Pattern[str]:
    point = re.escape(decimal)
    if not group:
        return re.compile(rf"(?:\d+(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?", re.ASCII)
    mark = re.escape(group)
    # Few people mark the thousands of a number of four digits where a space does it; with a comma or point all do.
    short = r"\d{1,4}" if group in " '" else r"\d{1,3}"
    indian = rf"|[1-9]\d?(?:{mark}\d\d)+{mark}\d{{3}}" if group == "," else ""
    return re.compile(rf"(?:[1-9]\d{{0,2}}(?:{mark}\d{{3}})+{indian}|{short})(?:{point}\d*)?", re.ASCII)


_PATTERNS = {
    (decimal, group): _pattern(decimal, group)
    for group, decimal in itertools.product(("", ",", ".", " ", "'"), (".", ","))
    if decimal != group
}
"""From plain to rare: of two readings that give the same numbers, the first."""


@dataclass(frozen=True)
class Numbers:
    """A column of numbers, and how they were written."""

    values: NDArray[np.float64]
    """(m,); NaN where there is none."""
    style: Style = PLAIN
    """The way of all of them."""

    def take(self, rows: NDArray[np.int64]) -> Numbers:
        """These rows."""
        return Numbers(self.values[rows], self.style)


@dataclass(frozen=True)
class Texts:
    """A column of texts."""

    codes: NDArray[np.int64]
    """(m,) which of `words` is a row's; -1 where there is none."""
    words: tuple[str, ...]
    """The different texts."""

    def take(self, rows: NDArray[np.int64]) -> Texts:
        """These rows."""
        return Texts(self.codes[rows], self.words)


@dataclass(frozen=True)
class Verdict:
    """What a column is."""

    kind: Literal["number", "text", "empty"]
    """What its cells are."""
    styles: tuple[Style, ...] = ()
    """The ways that numbers may be written in; where they are two, the cells alone cannot tell which."""
    because: str = ""
    """Why numbers are read as texts: "codes" where they are rather names (007, 1E2, ids too long for a float), "ways"
    where each cell is a number, but not all are written alike, "mixed" where most cells are numbers and some are not,
    "dates"; else ""."""
    others: tuple[str, ...] = ()
    """The cells that are no numbers of the commonest style, where there are some, in the order of their first
    appearance."""
    numbers: int = 0
    """How many different cells are of that style."""


def count(cells: Iterable[str]) -> dict[str, int]:
    """How often each text occurs, in the order of first appearance."""
    if isinstance(cells, CodedCells):
        return dict(zip(cells.words, np.bincount(cells.codes, minlength=len(cells.words)).tolist(), strict=True))
    from collections import Counter

    return dict(Counter(cells))


def different_cells(cells: Iterable[str]) -> Iterable[str]:
    """Each text once, in the order of first appearance."""
    return cells.words if isinstance(cells, CodedCells) else dict.fromkeys(cells)


def judge(counts: Mapping[str, int]) -> Verdict:
    """What a column of these different cells is; cells of `MISSING` do not count."""
    present = [cell for cell in counts if cell not in MISSING]
    if not present:
        return Verdict("empty")
    if len(present) > 2 * _SAMPLE:
        # What a part of the cells clearly is, all of them may be: asked at the speed of one regular expression.
        likely = judge(dict.fromkeys(present[:_SAMPLE], 1))
        if len(likely.styles) == 1 and likely.kind == "number" and _all_fit(present, likely.styles[0]):
            return Verdict("number", likely.styles, numbers=len(present))
    read = {cell: _parts(cell) for cell in present}
    styles = _styles(read)
    fitting = {style: [cell for cell, parts in read.items() if _fits(cell, parts, style)] for style in styles}
    whole = [style for style in styles if len(fitting[style]) == len(present)]
    if whole:
        if whole[0] == PLAIN and any(map(_CODE.fullmatch, present)):
            return Verdict("text", because="codes", numbers=len(present))
        return Verdict("number", tuple(_readings(whole, present)), numbers=len(present))
    if all(map(_DATE.fullmatch, present)):
        return Verdict("text", because="dates", others=tuple(present))
    rows = {style: sum(counts[cell] for cell in cells) for style, cells in fitting.items()}
    best = max(styles, key=rows.__getitem__)
    numbers = dict.fromkeys(fitting[best])
    others = tuple(cell for cell in present if cell not in numbers)
    if len(set().union(*fitting.values())) == len(present):
        return Verdict("text", (best,), "ways", others, len(numbers))
    mixed = 2 * rows[best] > sum(counts[cell] for cell in present)
    return Verdict("text", (best,), "mixed" if mixed else "", others, len(numbers))


def _styles(read: Mapping[str, tuple[str, str, str]]) -> list[Style]:
    """The styles in which one of the cells might be a number, from plain to rare; PLAIN always."""
    signs = set("".join(body for _, _, body in read.values()))
    units = sorted({unit for _, unit, _ in read.values()} | {""})
    marks = [(d, g) for d, g in _PATTERNS if (not g or g in signs) and (d == "." or g == "." or d in signs)]
    return [Style(decimal, group, unit) for unit in units for decimal, group in marks]


def fits(cell: str, style: Style) -> bool:
    """Whether a cell is a number of that style."""
    return _fits(cell, _parts(cell), style)


def _fits(cell: str, parts: tuple[str, str, str], style: Style) -> bool:
    if cell.lower() in _INFINITE:
        return style == PLAIN
    _, unit, body = parts
    return unit == style.unit and _PATTERNS[style.decimal, style.group].fullmatch(body) is not None


def settle(verdict: Verdict, comma: bool | None) -> Style | None:
    """Which of a column's styles it is, where the cells alone cannot tell: 1,234 and 1.234.

    comma: whether the fraction stands behind a comma in the rest of the file; None where that is not known: then a
    point is a decimal point, and of a comma nobody knows (None).
    """
    if len(verdict.styles) == 1:
        return verdict.styles[0]
    if comma is None:
        return PLAIN if PLAIN in verdict.styles else None
    return next((style for style in verdict.styles if (style.decimal == ",") == comma), None)


def _all_fit(cells: Sequence[str], style: Style) -> bool:
    """Whether all are numbers of a style without a unit, and none is a code of plain digits."""
    text = "\n".join(cells)
    if style.unit or (style == PLAIN and _has_codes(text, max(map(len, cells), default=0))):
        return False
    body = _PATTERNS[style.decimal, style.group].pattern
    return re.fullmatch(rf"(?>[-+]?(?:{body})\n)*+", text.translate(_OTHER_MARKS) + "\n", re.ASCII) is not None


def is_number(cell: str) -> bool:
    """Whether a cell is a number as computers write it: 12, -0.5, 1e-3; not 12_3, 1,5 nor nan."""
    return fits(cell, PLAIN)


def is_code(cell: str) -> bool:
    """Whether digits are rather a name than a number: 007, 1E2, whole numbers with more digits than a float keeps."""
    return _CODE.fullmatch(cell) is not None


def _parts(cell: str) -> tuple[str, str, str]:
    """(sign, currency or percent sign, the rest)"""
    if cell.isascii() and "$" not in cell and "%" not in cell:
        return (cell[0], "", cell[1:]) if cell[:1] in ("-", "+") else ("", "", cell)
    match = _UNIT.fullmatch(cell.translate(_OTHER_MARKS))
    if match is None:
        return "", "", cell
    sign, before, inner, body, after = match.groups()
    if (before and after) or (sign and inner):
        return "", "", cell
    return sign or inner, before or after, body


def _readings(whole: list[Style], present: Sequence[str]) -> Iterable[Style]:
    """Of the styles that all cells fit, those that read different numbers out of them."""
    seen: set[tuple[float, ...]] = set()
    for style in whole:
        values = tuple(style.number(cell) for cell in present)
        if values not in seen:
            seen.add(values)
            yield style


def plain_numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """The numbers of a column where all cells are plain ones and none is a code: the usual case, at C's speed."""
    if isinstance(cells, CodedCells):
        values = plain_numbers(cells.words)
        return None if values is None else values[cells.codes]
    text = "\n".join(cells)
    if not text.isascii() or text.encode().translate(None, _PLAIN_BYTES):
        return None
    if _has_codes(text, max(map(len, cells), default=0)):
        return None
    try:
        return np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return None


def _has_codes(text: str, longest: int) -> bool:
    """Whether one of the lines is a code (see `is_code`); each kind is looked for in the quickest way."""
    if re.search(r"\n0\d+(?=\n)", f"\n{text}\n", re.ASCII):
        return True
    return ("E" in text or longest > SURE_DIGITS) and _CODES.search(text) is not None


def as_numbers(cells: Sequence[str], style: Style) -> NDArray[np.float64]:
    """The cells as numbers of that style; NaN where a cell is missing or no such number."""
    if isinstance(cells, CodedCells):
        return as_numbers(cells.words, style)[cells.codes]
    different = dict.fromkeys(cells)
    if len(different) > _SAMPLE and MISSING.isdisjoint(different) and _all_fit(cells, style):
        text = "\n".join(cells).translate(_OTHER_MARKS).replace(style.group, "").replace(style.decimal, ".")
        return np.fromiter(map(float, text.split("\n")), np.float64, len(cells))
    value = {cell: style.number(cell) if cell not in MISSING and fits(cell, style) else np.nan for cell in different}
    return np.fromiter(map(value.__getitem__, cells), np.float64, len(cells))


def as_texts(cells: Sequence[str]) -> Texts:
    """The cells as texts; what is missing has no code.

    Among codes of two capital letters NA is one of them, not a missing value: Namibia, North America.
    """
    if isinstance(cells, CodedCells):
        once = as_texts(cells.words)
        return Texts(once.codes[cells.codes], once.words)
    different = dict.fromkeys(cells)
    words = [cell for cell in different if cell not in MISSING]
    if "NA" in different and words and all(len(word) == 2 and word.isalpha() and word.isupper() for word in words):
        words.append("NA")
    code = dict.fromkeys(different, -1) | {word: k for k, word in enumerate(words)}
    return Texts(np.fromiter(map(code.__getitem__, cells), np.int64, len(cells)), tuple(words))


def written(style: Mapping[str, Any] | None) -> Style:
    """A style, of what STYLE read; None is plain.  Raises DataError for what is none."""
    if style is None:
        return PLAIN
    read = Style(**style)
    if (read.decimal, read.group) not in _PATTERNS:
        raise DataError(f"There is no such way of writing numbers: {shown(style)}.")
    return read
