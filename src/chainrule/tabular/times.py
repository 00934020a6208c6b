"""Dates and times: what texts say of them, and what Python's objects are."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import MISSING

Moments = NDArray[np.datetime64]

_ISO = re.compile(
    r"\d{4}([-/])\d{2}(?:\1\d{2})?(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?: ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?",
    re.ASCII,
)
_REST = r"(?:[T ](\d{1,2}:\d{2}.*))?"
_DOTTED = re.compile(rf"(\d{{1,2}})\.(\d{{1,2}})\.(\d{{4}}){_REST}", re.ASCII)
"""With points the day comes first, everywhere."""
_SLASHED = re.compile(rf"(\d{{1,2}})([-/])(\d{{1,2}})\2(\d{{4}}){_REST}", re.ASCII)
"""Of these the day comes first to some, the month to others."""
_NAMED = re.compile(rf"(\d{{1,2}})[- ]([A-Za-z]{{3,9}})[- ](\d{{4}}){_REST}", re.ASCII)
_SHORT = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_REST}", re.ASCII)
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december")  # fmt: skip
First = Literal["", "day", "month"]
"""What stands first in dates such as 31/1/2024; "" where a column has none, or nobody could tell."""
FIRSTS: tuple[First, ...] = get_args(First)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?", re.ASCII)


def first_of(cells: Iterable[str]) -> First:
    """Whether the day or the month stands first: where one of two numbers exceeds 12 somewhere, and never the other."""
    days = months = False
    for cell in cells:
        if match := _SLASHED.fullmatch(cell):
            days, months = days or int(match[1]) > 12, months or int(match[3]) > 12
    return "" if days == months else "day" if days else "month"


def parse(cells: Sequence[str], first: First = "") -> Moments | None:
    """The dates and times that texts are, (m,) datetime64[us], NaT for a missing one; None where one is neither.

    Dates have the year first, as ISO 8601 has it, or points and the day first (31.1.2024), or the month's English name
    (31 Jan 2024), with a time or without; first says what 31/1/2024 and 1/31/2024 are.  Where they name a zone they
    become UTC.  Times of the day alone become those of 1970-01-01.
    """
    written = ["NaT" if cell in MISSING else _year_first(cell, first) for cell in cells]
    present = [cell for cell in written if cell != "NaT"]
    zoned = False
    try:
        if present and all(map(_CLOCK.fullmatch, present)):
            written = [cell if cell == "NaT" else f"1970-01-01T{cell.rjust(len(cell) + (cell[1] == ':'), '0')}"
                       for cell in written]  # fmt: skip
        else:
            for cell in present:
                match = _ISO.fullmatch(cell)
                if match is None:
                    return None
                zoned = zoned or match[2] is not None
            written = [cell.replace("/", "-") for cell in written]
        if zoned:
            return np.array([_in_utc(cell) for cell in written], dtype="datetime64[us]")
        moments: Moments = np.array(written, dtype="datetime64[us]")
    except (ValueError, OverflowError):  # the 30th of February
        return None
    return moments


def _year_first(cell: str, first: First) -> str:
    """A date as ISO 8601 has it; what is none, or nobody could tell, as it is."""
    if match := _SHORT.fullmatch(cell):
        year, _, month, day, rest = match.groups()
    elif match := _DOTTED.fullmatch(cell):
        day, month, year, rest = match.groups()
    elif first and (match := _SLASHED.fullmatch(cell)):
        one, _, other, year, rest = match.groups()
        day, month = (one, other) if first == "day" else (other, one)
    elif match := _NAMED.fullmatch(cell):
        day, name, year, rest = match.groups()
        places = [k for k, known in enumerate(_MONTHS, 1) if name.lower() in (known, known[:3])]
        month = str(places[0]) if places else name
    else:
        return cell
    clock = "" if rest is None else f" {rest.rjust(len(rest) + (rest[1] == ':'), '0')}"
    return f"{year}-{month:0>2}-{day:0>2}{clock}"


def _in_utc(cell: str) -> np.datetime64:
    return naive(
        None if cell == "NaT" else datetime.datetime.fromisoformat(cell.replace(" UTC", "Z").replace(" +", "+"))
    )


def naive(value: Any) -> np.datetime64:
    """A date or time of Python's or NumPy's without a zone: in UTC where it has one.  None is NaT.

    Raises ValueError or OverflowError for what microseconds from 1970 cannot be."""
    if value is None:
        return np.datetime64("NaT", "us")
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    if isinstance(value, datetime.time):
        value = datetime.datetime.combine(datetime.date(1970, 1, 1), value.replace(tzinfo=None))
    if hasattr(value, "to_datetime64"):  # pandas' keeps nanoseconds, of which its datetime warns
        value = value.to_datetime64()
    return np.datetime64(value, "us")
