"""Tables as they come: named columns of texts (from a file) or of texts and numbers (from a data frame)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import frames
from chainrule.data.cells import CodedCells, PlainCells
from chainrule.errors import DataError, expected, unknown_name

Cells = Sequence[str] | NDArray[Any]
"""A column: texts without the spaces around them, or numbers of a frame (NaN where there is none)."""


@dataclass(frozen=True, eq=False)
class Table:
    """The cells of a table, before anything has been learned from them."""

    path: str
    """Where it came from, for messages."""
    columns: dict[str, Cells]
    """Name -> the cells of all rows, in order."""
    lines: NDArray[np.int64]
    """Where in the file each row ends, counted from 1; of a frame the rows, counted from 0."""
    delimiter: str = ""
    """Between a file's cells; "" of a frame."""
    notes: tuple[str, ...] = field(default=(), repr=False)
    """What was left out or taken for something else in reading, a sentence each, without its full stop."""

    def __len__(self) -> int:
        return len(self.lines)

    def __repr__(self) -> str:
        return f"Table({self.path!r}, {len(self)} rows, columns {', '.join(self.columns)})"

    def where(self, row: int) -> str:
        """Where a row stands, for messages: "data.csv, line 7", "the frame, row 5"."""
        return f"{self.path}, {self.place(row)}"

    def place(self, row: int) -> str:
        """The same without the table's name."""
        return f"{'line' if self.delimiter else 'row'} {self.lines[row]}"

    def column(self, name: str) -> Cells:
        """The cells of a column.  Raises DataError, with the nearest name, where there is none."""
        if name not in self.columns:
            raise DataError(f"{self.path}: {unknown_name('column', name, self.columns)}")
        return self.columns[name]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Table:
        """The given rows, in the given order."""
        index = np.asarray(rows, dtype=np.int64)
        columns = {name: _taken(cells, index) for name, cells in self.columns.items()}
        return Table(self.path, columns, self.lines[index], self.delimiter, self.notes)


def _taken(cells: Cells, rows: NDArray[np.int64]) -> Cells:
    if isinstance(cells, CodedCells | PlainCells):
        return cells.take(rows)
    return cells[rows] if isinstance(cells, np.ndarray) else [cells[row] for row in rows.tolist()]


def frame_table(frame: Any) -> Table:
    """The table that a data frame is.  Raises DataError as `from_frame`."""
    if not frames.is_frame(frame):
        raise DataError(expected("The data", "a data frame (pandas, polars)", type(frame).__name__))
    names = [str(name) for name in frame.columns]
    if not names or len(frame) == 0:
        raise DataError("The frame is empty.")
    if twice := sorted({repr(name) for name in names if names.count(name) > 1}):
        raise DataError(f"The frame has {', '.join(twice[:5])} more than once among its columns. Name each once.")
    columns: dict[str, Cells] = {}
    for position, name in enumerate(names):
        try:
            cells = frames.column(frame, position)
            columns[name] = cells if isinstance(cells, np.ndarray) else frames.texts(cells)
        except DataError as fault:
            raise DataError(f"The frame: the column {name!r} {fault}. Leave it out, or make it numbers.") from None
    return Table("The frame", columns, np.arange(len(frame), dtype=np.int64))
