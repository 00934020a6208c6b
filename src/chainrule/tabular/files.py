"""Files of tables: delimited text, Parquet, Feather (Arrow) and JSON lines, by the ends of their names."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

from chainrule.data.delimited import read_table
from chainrule.data.readers import TABLE_SUFFIXES
from chainrule.errors import DataError, MissingDependencyError, expected
from chainrule.files import open_binary
from chainrule.files.strict_json import loads

ARROW_SUFFIXES = (".parquet", ".pq", ".feather", ".arrow")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
STANDARD_INPUT = "-"


def is_table_file(source: str) -> bool:
    """Whether the name is that of a table, in whatever format."""
    ends = (*TABLE_SUFFIXES, *ARROW_SUFFIXES, *JSON_SUFFIXES)
    return source == STANDARD_INPUT or source.lower().endswith(ends)


def read_file(path: str | os.PathLike[str], header: bool = True) -> Any:
    """The table of a file: a `Table` of delimited text, a pyarrow table, or a dictionary of columns.

    .parquet, .pq, .feather, .arrow: through pyarrow, or polars; .jsonl, .ndjson (.gz): an object a line; anything else
    is delimited text (see `read_table`, header: as there).  "-" is standard input, in the format that it begins as.
    Raises DataError for a file that is not there, damaged, or has no rows; MissingDependencyError where neither library
    is installed.
    """
    name = str(path).lower()
    if name == STANDARD_INPUT:
        raw = sys.stdin.buffer.read()
        try:
            raw = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"standard input: the compressed data are damaged ({error}).") from None
        for magic, parquet in ((b"PAR1", True), (b"ARROW1", False)):
            if raw.startswith(magic):
                return _of_arrow(io.BytesIO(raw), "standard input", parquet)
        if raw.lstrip().startswith(b"{"):
            return _of_lines(raw, "standard input")
        return read_table("standard input", header, raw=raw)
    if name.endswith(JSON_SUFFIXES):
        with open_binary(path) as stream:
            return _of_lines(stream.read(), str(path))
    if name.endswith(ARROW_SUFFIXES):
        with open_binary(path):
            pass  # says what is wrong where it cannot be read
        return _of_arrow(Path(path), str(path), Path(path).suffix.lower() in (".parquet", ".pq"))
    return read_table(path, header)


def _of_arrow(source: Path | io.BytesIO, name: str, parquet: bool) -> Any:
    """The table of a Parquet or Feather file, or of its bytes."""
    try:
        library, reader = import_module("pyarrow.parquet" if parquet else "pyarrow.feather"), "read_table"
        faults: tuple[type[Exception], ...] = (import_module("pyarrow").ArrowException, OSError, ValueError)
    except ImportError:
        try:
            library, reader = import_module("polars"), "read_parquet" if parquet else "read_ipc"
        except ImportError:
            raise MissingDependencyError(f"{name}: needs pyarrow (or polars): pip install pyarrow") from None
        faults = (library.exceptions.PolarsError, OSError, ValueError)
    try:
        return getattr(library, reader)(source)
    except faults as error:
        raise DataError(f"{name}: cannot be read: {str(error).splitlines()[0]}") from None


def _of_lines(raw: bytes, name: str) -> dict[str, list[Any]]:
    """The columns of objects, one a line; a name that a line lacks is missing there.  Raises DataError."""
    columns: dict[str, list[Any]] = {}
    rows = 0
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        row = loads(line, f"{name}, line {number}", infinite=True)
        if not isinstance(row, dict):
            raise DataError(expected(f"{name}, line {number},", "an object", row))
        for key, value in row.items():
            column = columns.setdefault(key, [])
            column.extend([None] * (rows - len(column)))
            column.append(value)
        rows += 1
    if not rows:
        raise DataError(f"{name}: there are no rows.")
    for column in columns.values():
        column.extend([None] * (rows - len(column)))
    return columns
