"""The records of delimited text and their cells as columns: by the rules of quoting, or at once where there is none."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError

Block = tuple[Sequence[int], list[Sequence[str]]]
"""Some rows: the lines where they end, and the cells of each column."""

_ROWS = 4096
"""Of a block."""
_SHARED = 1000
"""Up to so many different texts of a column are kept once for all rows that have them."""


def records(stream: Iterable[str], delimiter: str, path: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """(the line where it ends, its cells) of each record; empty lines are none.  Raises DataError for bad quoting."""
    reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=delimiter != " ", strict=True)
    begins = skipped + 1
    try:
        for cells in reader:
            begins = reader.line_num + skipped + 1
            if cells and (len(cells) > 1 or cells[0].strip() or cells == [""]):
                yield reader.line_num + skipped, cells
    except csv.Error as error:
        ends = reader.line_num + skipped
        where = f"line {begins}" if ends == begins else f"lines {begins} to {ends}"
        raise DataError(
            f'{path}: {where} {"is" if ends == begins else "are"} not CSV ({error}). Is there a quote (") that is not '
            "closed? Inside quotes it is written twice."
        ) from None


def record_blocks(rows: Iterator[tuple[int, list[str]]], names: list[str], path: str) -> Iterator[Block]:
    """The records below the header, in blocks; each has as many cells as there are names.

    Names and cells that are empty at the end of the lines (of trailing delimiters) do not count.
    Raises DataError for a record with more or less cells, with its line.
    """
    width, least = len(names), len(named(names))
    while some := list(itertools.islice(rows, _ROWS)):
        lines: list[int] = []
        block: list[list[str]] = []
        for line, cells in some:
            if len(cells) != width:
                if cells == [""]:
                    continue  # a line of "" alone
                cells = trimmed(cells, width)
                if least <= len(cells) < width:
                    cells = cells + [""] * (width - len(cells))
                if len(cells) != width:
                    raise DataError(f"{path}: line {line} has {len(cells)} cells, the header has {width}.")
            lines.append(line)
            block.append(cells)
        if block:
            yield lines, list(zip(*block, strict=True))


def even_blocks(raw: bytes, delimiter: str, width: int) -> Iterator[Block] | None:
    """The same where nothing is quoted and each line has as many cells as the first: a third of the time.

    None where that is not so.
    """
    if b'"' in raw or width == 1 or not delimiter.isascii():
        return None
    raw = raw.replace(b"\r\n", b"\n")
    if b"\r" in raw:
        return None
    raw = raw if raw.endswith(b"\n") else raw + b"\n"
    text = np.frombuffer(raw, np.uint8)
    marks = np.flatnonzero((text == ord(delimiter)) | (text == ord("\n")))
    if (text[marks[width - 1 :: width]] != ord("\n")).any():
        return None
    ends = marks[width - 1 :: width]
    if len(ends) != np.count_nonzero(text == ord("\n")):
        return None
    return _even(raw, delimiter, width, ends)


def _even(raw: bytes, delimiter: str, width: int, ends: NDArray[np.int64]) -> Iterator[Block]:
    for first in range(1, len(ends), _ROWS):
        last = min(first + _ROWS, len(ends))
        block = raw[ends[first - 1] + 1 : ends[last - 1]].decode()
        cells = block.replace("\n", delimiter).split(delimiter)
        yield range(first + 1, last + 1), [cells[k::width] for k in range(width)]


def gathered(blocks: Iterable[Block], width: int) -> tuple[list[list[str]], NDArray[np.int64]]:
    """(the cells of each column, without the spaces around them; the rows' lines), without empty rows at the end."""
    parts: list[list[tuple[str, ...]]] = [[] for _ in range(width)]
    shared: list[dict[str, str] | None] = [{} for _ in range(width)]
    lines: list[Sequence[int]] = []
    for numbers, columns in blocks:
        lines.append(numbers)
        for k, column in enumerate(columns):
            cells = tuple(map(str.strip, column))
            keep = shared[k]
            if keep is not None:
                cells = tuple(map(keep.setdefault, cells, cells))
                if len(keep) > _SHARED:
                    shared[k] = None
            # Tuples of texts are nothing that the garbage collector looks at again; a growing list is, all of it.
            parts[k].append(cells)
    whole = [list(itertools.chain.from_iterable(part)) for part in parts]
    ended = np.fromiter(itertools.chain.from_iterable(lines), np.int64)
    last = len(ended)
    while width > 1 and last and not any(column[last - 1] for column in whole):
        last -= 1
    return [column[:last] if last < len(column) else column for column in whole], ended[:last]


def named(names: Sequence[str]) -> list[str]:
    """A header without the empty names at its end."""
    last = max((k for k, name in enumerate(names) if name.strip()), default=-1)
    return list(names[: last + 1])


def trimmed(cells: list[str], width: int) -> list[str]:
    """A row without the empty cells beyond a width."""
    return cells[:width] if len(cells) > width and not "".join(cells[width:]).strip() else cells
