"""Tables as they stand in a file: columns of texts, before anything has been learned from them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chainrule.errors import DataError, unknown_name
from chainrule.files import read_text

# What spreadsheets, R and pandas write where there is no value (compared in lower case).
MISSING = frozenset({"", "?", "na", "n/a", "nan", "null"})

_DELIMITERS = ",;\t|"


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no value: empty, ?, NA, N/A, NaN or null."""
    return text in MISSING or text.lower() in MISSING


def is_number(text: str) -> bool:
    """Whether a cell is a number, as Python writes them."""
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, eq=False)
class Table:
    """The cells of a CSV file, stripped of the spaces around them.

    columns: name -> the texts of all rows, in the file's order.  lines: where in the file each row ends.
    """

    path: str
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def __repr__(self) -> str:
        return f"Table({self.path!r}, {len(self)} rows, columns {', '.join(self.columns)})"

    def where(self, row: int) -> str:
        """Where a row stands, for messages: "data.csv, line 7"."""
        return f"{self.path}, line {self.lines[row]}"

    def column(self, name: str) -> list[str]:
        """The texts of a column.  Raises DataError, with the nearest name, where there is none."""
        if name not in self.columns:
            raise DataError(f"{self.path}: {unknown_name('column', name, self.columns)}")
        return self.columns[name]

    def take(self, rows: Sequence[int]) -> Table:
        """The given rows, in the given order."""
        columns = {name: [cells[row] for row in rows] for name, cells in self.columns.items()}
        return Table(self.path, columns, [self.lines[row] for row in rows])


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a CSV file with a header (plain or gzip; separated by comma, semicolon, tab or bar, as the header is).

    Empty lines are skipped.  A first column without a name that only counts the rows (as pandas writes it) is left out.
    Raises DataError for a file that is empty or not text, has no header, names a column twice or not at all, or has a
    row of another length than the header (with its line).
    """
    text = read_text(path)
    if not text.strip():
        raise DataError(f"{path}: the file is empty.")
    if "\0" in text:
        raise DataError(
            f"{path}: line {text.count(chr(10), 0, text.index(chr(0))) + 1} holds a zero byte; is it a CSV file?"
        )
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            if len(cells) > 1 or (cells and cells[0].strip()):
                rows.append(cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num} is not CSV ({error}).") from None
    header = [name.strip() for name in rows[0]]
    body, lines = rows[1:], lines[1:]
    if all(is_number(name) for name in header):
        raise DataError(
            f"{path}: there is no header; the first line is {delimiter.join(header)[:60]!r}. Add column names."
        )
    if not body:
        raise DataError(f"{path}: there are no rows below the header.")
    for cells, line in zip(body, lines, strict=True):
        if len(cells) != len(header):
            raise DataError(f"{path}: line {line} has {len(cells)} cells, the header has {len(header)}.")
    texts = [[cell.strip() for cell in column] for column in zip(*body, strict=True)]
    if header[0] == "" and _counts_rows(texts[0]):
        header, texts = header[1:], texts[1:]
    _check_header(path, header)
    return Table(str(Path(path)), dict(zip(header, texts, strict=True)), lines)


def _check_header(path: str | os.PathLike[str], header: list[str]) -> None:
    if not header:
        raise DataError(f"{path}: there are no columns.")
    if "" in header:
        raise DataError(f"{path}: column {header.index('') + 1} has no name in the header.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}: the header names {', '.join(map(repr, twice))} more than once.")


def _counts_rows(column: list[str]) -> bool:
    return any(column == [str(row) for row in range(start, start + len(column))] for start in (0, 1))
