"""Files of delimited text (CSV, TSV) as spreadsheets, databases and programs write them, read into tables.

Which encoding, which delimiter, whether the first line is a header, which columns and rows are none: decided here and
nowhere else.  What the cells mean is decided in `cells`.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chainrule.data.arrow_text import large_columns
from chainrule.data.cells import MISSING, is_number
from chainrule.data.records import even_blocks, gathered, named, record_blocks, records, trimmed
from chainrule.data.table import Cells, Table
from chainrule.errors import DataError
from chainrule.files import open_binary

DELIMITERS = ",;\t|"

_OTHER_FILES = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "an empty zip archive",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Excel workbook (.xls)",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow (Feather) file",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip file within a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"RDX": "a file of R's save",
    b"{\\rtf": "a document (RTF)",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself (git lfs pull fetches it)",
}
"""What files that are no text begin with, and what they are."""
_MARKUP = re.compile(rb"\s*<(?:!doctype|html|\?xml|table)", re.IGNORECASE)
_JSON = re.compile(rb"\s*(?:\[\s*)?\{\s*\"")
_BYTE_ORDER = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_SEPARATOR = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)

_SAMPLE = 50
"""Records by which the delimiter is chosen."""


def read_table(path: str | os.PathLike[str], header: bool = True, *, raw: bytes | None = None) -> Table:
    """Read delimited text: UTF-8, or UTF-16 with a byte order mark; plain or gzip.

    The delimiter (comma, semicolon, tab or bar) is the one that Excel's first line "sep=;" names, else the one by which
    the lines agree.  header: whether the first line names the columns; else they are "1", "2", ....
    raw: the file's bytes, where they have been read.
    Left out: empty lines, rows without any value at the end, columns without a name and without any value (of trailing
    delimiters), and a first column without a name that only counts the rows (as pandas writes it).
    Raises DataError for a file that is empty or not text, whose header is missing, names a column twice or not at all,
    or that has a row of another length than the header (with its line).
    """
    name = str(Path(path))
    raw = _utf8(path, raw)
    stream = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", newline="")
    first = stream.readline()
    separator = _SEPARATOR.fullmatch(first.rstrip("\r\n"))
    if separator is None:
        stream.seek(0)
    skipped = 0 if separator is None else 1
    start = stream.tell()

    def records_by(delimiter: str) -> Iterator[tuple[int, list[str]]]:
        stream.seek(start)
        return records(stream, delimiter, name, skipped)

    delimiter = _delimiter(records_by, first) if separator is None else separator[1]
    body = records_by(delimiter)
    line, names = next(body, (0, []))
    if not names:
        raise DataError(f"{name}: the file is empty.")
    large = large_columns(raw, delimiter, len(names)) if header and line == 1 else None
    if header:
        blocks = even_blocks(raw, delimiter, len(names)) if line == 1 and large is None else None
    else:
        body = itertools.chain([(line, names)], body)
        names, blocks = [str(number) for number in range(1, len(names) + 1)], None
    names = [cell.strip() for cell in names]
    columns: Sequence[Sequence[str]]
    if large is not None:
        columns, lines = large, np.arange(2, len(large[0]) + 2)
    else:
        columns, lines = gathered(record_blocks(body, names, name) if blocks is None else blocks, len(names))
    if not len(lines):
        raise DataError(f"{name}: there are no rows below the header.")
    if header:
        _check_header(names, columns, delimiter, name)
    return _without_the_rest(name, names, columns, lines, delimiter)


def _utf8(path: str | os.PathLike[str], raw: bytes | None = None) -> bytes:
    """The text of a file as UTF-8 without a byte order mark, composed, so that what prints the same is the same."""
    if raw is None:
        with open_binary(path) as stream:
            raw = stream.read()
    raw = raw.rstrip(b"\x1a")  # the end of a text to DOS
    refuse_other_files(raw, path)
    if raw.isascii():
        text = None
    else:
        encoding = next((code for mark, code in _BYTE_ORDER.items() if raw.startswith(mark)), "utf-8-sig")
        try:
            text = raw.decode(encoding).lstrip("\ufeff")
        except UnicodeDecodeError as error:
            if encoding != "utf-8-sig":
                raise DataError(f"{path}: begins as {encoding.upper()} text and is none ({error.reason}).") from None
            line = raw.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{path}: line {line} is not UTF-8 text (byte 0x{raw[error.start]:02x}). Save the file as UTF-8 "
                "(Excel: 'CSV UTF-8')."
            ) from None
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
        raw = text.encode()
    if not raw or raw.isspace():
        raise DataError(f"{path}: the file is empty.")
    if (zero := raw.find(b"\0")) >= 0:
        what = "UTF-16 text without a byte order mark" if 4 * raw.count(0) > len(raw) else "not text"
        line = raw.count(b"\n", 0, zero) + 1
        raise DataError(f"{path}: line {line} holds a zero byte; the file is {what}. Save it as UTF-8.")
    return raw


def refuse_other_files(raw: bytes, path: str | os.PathLike[str]) -> None:
    """Raises DataError for what begins as a file of another kind."""
    kind = next((kind for magic, kind in _OTHER_FILES.items() if raw.startswith(magic)), None)
    if kind == "a zip archive":
        if b"xl/" in raw or b"[Content_Types].xml" in raw[:4096]:
            kind = "an Excel workbook (.xlsx)"
        elif b"mimetypeapplication/vnd.oasis" in raw[:200]:
            kind = "an OpenDocument spreadsheet (.ods)"
        elif b".npy" in raw[:100]:
            kind = "a NumPy archive (.npz)"
    if kind is None and raw[257:262] == b"ustar":
        kind = "a tar archive"
    if kind is None and _MARKUP.match(raw):
        kind = "a web page or XML"
    if kind is None and _JSON.match(raw):
        kind = "JSON"
    if kind is not None:
        whatever = "" if f"({Path(path).suffix.lower()})" in kind else ", whatever its name says"
        raise DataError(f"{path}: is {kind}{whatever}. Save the table as CSV (UTF-8).")


def _delimiter(records_by: Callable[[str], Iterator[tuple[int, list[str]]]], first: str) -> str:
    """The delimiter by which the first records have as many cells as the header, more than one.

    Where several do: the one that leaves the fewest of the others in the cells, then the one that makes most cells.
    Where none does: one by which all lines have a single cell, if the header has no mark; else the commonest in the
    header, so that the line that does not agree is named.
    """
    best: tuple[float, float] | None = None
    chosen = single = ""
    for delimiter in DELIMITERS:
        try:
            sample = [cells for _, cells in itertools.islice(records_by(delimiter), _SAMPLE) if cells != [""]]
        except DataError:
            continue
        if all(len(cells) == 1 for cells in sample) and not any(mark in first for mark in DELIMITERS):
            single = single or delimiter
        width = len(named(sample[0])) if sample else 0
        if width < 2 or any(not width <= len(trimmed(cells, width)) <= len(sample[0]) for cells in sample):
            continue
        # Commas may well stand in cells, as decimal commas do.
        foreign = sum(other in cell for cells in sample for cell in cells for other in DELIMITERS[1:])
        rank = (foreign / len(sample), -len(sample[0]))
        if best is None or rank < best:
            best, chosen = rank, delimiter
    if chosen or single:
        return chosen or single
    outside = re.sub(r'"[^"]*"', "", first.splitlines()[0] if first.strip() else first)
    return max(DELIMITERS, key=outside.count)


def _check_header(names: list[str], columns: Sequence[Sequence[str]], delimiter: str, path: str) -> None:
    shown = delimiter.join(names)[:60]
    advice = "Add column names, or say that there are none: header=False (--no-header)."
    if all(map(is_number, names)) and not (len(names) > 2 and names == list(map(str, range(len(names))))):
        raise DataError(f"{path}: there is no header; the first line is {shown!r}. {advice}")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}: the header names {_some(twice)} more than once. Name each column once; or is the first line "
            f"({shown!r}) no header? {advice}"
        )
    if _looks_like_data(names, columns):
        raise DataError(
            f"{path}: the first line, {shown!r}, looks like the rows below it and not like a header. {advice}"
        )


def _looks_like_data(names: list[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether names are cells: measured numbers above numbers, or texts that their own columns hold, all or with such.

    Whole numbers may name columns (years, pixels), and one name may be one of its column's values (spam).
    """
    texts = [k for k, name in enumerate(names) if name and not is_number(name)]
    repeated = [k for k in texts if names[k] in columns[k]]
    numbers = [
        k
        for k, name in enumerate(names)
        if is_number(name) and all(is_number(cell) or cell in MISSING for cell in columns[k][:_SAMPLE])
    ]
    measured = [k for k in numbers if not names[k].isdecimal()]
    if len(numbers) + len(repeated) < len([name for name in names if name]) / 2:
        return False
    return bool(measured) or bool(numbers and repeated) or (len(repeated) == len(texts) >= 2)


def _without_the_rest(
    path: str, names: list[str], columns: Sequence[Sequence[str]], lines: NDArray[np.int64], delimiter: str
) -> Table:
    """The table of the columns that have a name; one without that holds something is refused."""
    notes = []
    if names[0] in ("", "Unnamed: 0") and _counts_rows(columns[0]):
        notes.append("the first column, which has no name and only counts the rows, is left out")
    elif not names[0] and _names_rows(columns[0]):
        notes.append("the first column, which has no name and another value in every row, is left out")
    if notes:
        names, columns = names[1:], columns[1:]
    nameless = [k for k, name in enumerate(names) if not name]
    filled = [k for k in nameless if any(columns[k])]
    if filled:
        raise DataError(
            f"{path}: column {filled[0] + 1 + len(notes)} has no name in the header. Name it, or leave it out of the "
            "file (in pandas, to_csv(index=False) writes no index)."
        )
    if len(names) == 1 and _spaced(names[0], columns[0]):
        raise DataError(
            f"{path}: the cells seem to be separated by spaces. Separate them by commas, semicolons, tabs or bars."
        )
    kept: dict[str, Cells] = {name: cells for name, cells in zip(names, columns, strict=True) if name}
    if not kept:
        raise DataError(f"{path}: there are no columns.")
    return Table(path, kept, lines, delimiter, tuple(notes))


def _spaced(name: str, cells: Sequence[str]) -> bool:
    """Whether a single column is several, with spaces between them."""
    width = len(name.split())
    return width > 1 and all(len(cell.split()) == width for cell in cells)


def _counts_rows(column: Sequence[str]) -> bool:
    return any(list(column) == [str(row) for row in range(start, start + len(column))] for start in (0, 1))


def _names_rows(column: Sequence[str]) -> bool:
    """Whether cells are what a data frame's index is: all different, and no measured numbers."""
    cells = list(column)
    return len(set(cells)) == len(cells) and all(cell and (cell.isdecimal() or not is_number(cell)) for cell in cells)


def _some(names: Sequence[str]) -> str:
    """Names for a message: not more than a few."""
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
