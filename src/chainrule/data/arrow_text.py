"""Large files of plain delimited text, read by pyarrow where it is installed: the same cells in a tenth of the time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import MISSING, SURE_DIGITS, CodedCells, PlainCells, is_code

LARGE = 1 << 20
"""Bytes from which on it is worth pyarrow's import."""


def large_columns(raw: bytes, delimiter: str, width: int) -> list[CodedCells | PlainCells] | None:
    """The cells of UTF-8 text below its first line, by column, without the spaces around them.

    None where pyarrow is not installed, and for all that is not as plain as can be: quotes, empty lines, lines of
    another length, an empty last row.
    """
    if len(raw) < LARGE or width < 2 or not delimiter.isascii() or b'"' in raw:
        return None
    if b"\r" in raw and raw.count(b"\r") != raw.count(b"\r\n"):
        return None
    try:
        pa, csv = import_module("pyarrow"), import_module("pyarrow.csv")
    except ImportError:
        return None
    names = [str(k) for k in range(width)]
    try:
        table = csv.read_csv(
            pa.BufferReader(raw),
            read_options=csv.ReadOptions(column_names=names, skip_rows=1, block_size=1 << 22),
            parse_options=csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[], strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:  # a line of another length: which one, the other reader says
        return None
    if not len(table) or len(table) != raw.count(b"\n") - raw.endswith(b"\n"):
        return None
    if not any(table.column(k)[-1].as_py().strip() for k in range(width)):
        return None
    capital = b"E" in raw

    def cells(k: int) -> CodedCells | PlainCells:
        texts = table.column(k)
        values = _plain(texts, capital)
        return _coded(texts) if values is None else PlainCells(values, texts)

    with ThreadPoolExecutor(pa.cpu_count()) as threads:  # they run beside each other: both libraries let go of Python
        return list(threads.map(cells, range(width)))


def _plain(texts: Any, capital: bool) -> NDArray[np.float64] | None:
    """The numbers that all cells but the missing ones are; None where one is no plain number, or is a code.

    capital: whether there may be an E in a cell.
    """
    pa, compute = import_module("pyarrow"), import_module("pyarrow.compute")
    gaps = None
    try:
        numbers = compute.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        gaps = compute.is_in(texts, value_set=pa.array(sorted(MISSING)))
        try:
            numbers = compute.cast(compute.if_else(gaps, None, texts), pa.float64())
        except pa.ArrowInvalid:
            return None
    values = _array(numbers)
    missing = np.isnan(values)
    if missing.all() or np.isinf(values).any():
        return None
    if gaps is None and missing.any():
        gaps = compute.is_in(texts, value_set=pa.array(sorted(MISSING)))
    if gaps is not None and not np.array_equal(missing, _array(gaps)):
        return None
    return None if _has_codes(texts, values, capital, pa, compute) else values


def _has_codes(texts: Any, values: NDArray[np.float64], capital: bool, pa: Any, compute: Any) -> bool:
    """Whether one of the cells is rather a name (see `cells.is_code`): asked of those alone that may be."""
    long = _array(compute.binary_length(texts))
    suspects = (long > SURE_DIGITS) & (values == np.floor(values))
    zeros = ((values >= 1) | (values == 0)) & (long > 1)  # 007, 00; not 0.7, 0
    if zeros.any():
        suspects |= zeros & _array(compute.starts_with(texts, "0"))
    if capital:
        suspects |= _array(compute.match_substring(texts, "E"))
    rows = np.flatnonzero(suspects)
    return any(map(is_code, texts.take(pa.array(rows)).to_pylist())) if len(rows) else False


def _array(chunked: Any) -> NDArray[Any]:
    return np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunked.chunks])


def _coded(texts: Any) -> CodedCells:
    coded = texts.dictionary_encode().unify_dictionaries()
    codes = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in coded.chunks]
    words = list(map(str.strip, coded.chunk(0).dictionary.to_pylist()))
    return CodedCells(np.concatenate(codes).astype(np.int64), words)
