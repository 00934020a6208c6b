"""Predictions as columns with names, and as text or files: CSV, JSON lines, Parquet, Feather."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import DataError, MissingDependencyError
from chainrule.files import replace_file, replace_text

DELIMITERS = {".csv": ",", ".txt": ",", ".tsv": "\t"}
"""The ends of names of text with a line for each sample, and what stands between its cells."""
LINES = (".jsonl", ".ndjson")
ARROW = {".parquet": "write_table", ".pq": "write_table", ".feather": "write_feather", ".arrow": "write_feather"}
"""Of pyarrow's files, and what writes them."""
SUFFIXES = (*DELIMITERS, *LINES, *ARROW)


@dataclass(frozen=True)
class Columns:
    """Columns of as many values each; NumPy's numbers keep their type, everything else is text."""

    names: tuple[str, ...]
    """In their order."""
    values: tuple[Sequence[Any], ...]
    """Of each."""

    @property
    def distinct(self) -> tuple[str, ...]:
        """The names, each another: a class may be called as the target is."""
        names: list[str] = []
        for name in self.names:
            number = 2
            while (one := name if number == 2 and name not in names else f"{name}_{number}") in names:
                number += 1
            names.append(one)
        return tuple(names)

    def beside(self, others: Columns) -> Columns:
        """These, and then others of as many values."""
        return Columns(self.names + others.names, self.values + others.values)

    def delimited(self, delimiter: str = ",") -> str:
        """A header, and a line for each sample; numbers with as many digits as read back as the same of their type."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(self.names)
        writer.writerows(zip(*(map(str, column) for column in self.values), strict=True))
        return text.getvalue()

    def lines(self) -> str:
        """An object for each sample, a line each; what is no finite number is null."""
        names = self.distinct
        rows = zip(*(map(_plain, column) for column in self.values), strict=True)
        return "".join(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)

    def write(self, path: Path) -> None:
        """Writes the file in the format that its name says, as a whole or not at all.

        Raises DataError where it cannot be written; MissingDependencyError without pyarrow for its formats.
        """
        suffix = path.suffix.lower()
        if suffix in DELIMITERS:
            replace_text(path, self.delimited(DELIMITERS[suffix]))
        elif suffix in LINES:
            replace_text(path, self.lines())
        else:
            arrow = _arrow(path)
            table = arrow.table(dict(zip(self.distinct, map(_array, self.values), strict=True)))
            module = import_module("pyarrow.parquet" if ARROW[suffix] == "write_table" else "pyarrow.feather")
            replace_file(path, lambda draft: getattr(module, ARROW[suffix])(table, str(draft)))


def check_file(path: Path) -> None:
    """Raises DataError for a name whose end says no format, MissingDependencyError where what writes it is missing."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: the end of its name must say the format: {', '.join(SUFFIXES)}.")
    if suffix in ARROW:
        _arrow(path)


def _arrow(path: Path) -> Any:
    try:
        return import_module("pyarrow")
    except ImportError:
        raise MissingDependencyError(f"{path}: needs pyarrow: pip install pyarrow") from None


def _array(column: Sequence[Any]) -> Any:
    numbers = isinstance(column, np.ndarray) and column.dtype.kind in "fiub"
    return column if numbers else [None if value is None else str(value) for value in column]


def _plain(value: Any) -> Any:
    """As JSON has it: a number with the digits that read back as the same of its type."""
    if isinstance(value, np.floating):
        return float(str(value)) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value if value is None else str(value)


def of_numbers(names: Iterable[str], numbers: Any) -> Columns:
    """A column of numbers for each name; numbers (m, n)."""
    columns: list[Any] = [np.ascontiguousarray(numbers[:, k]) for k in range(numbers.shape[1])]
    return Columns(tuple(names), tuple(columns))
