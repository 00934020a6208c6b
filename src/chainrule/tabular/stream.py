"""A table that is read part by part, whatever it comes in: parts are tables of pyarrow, with targets and weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from numpy.typing import NDArray

from chainrule.blocks import Blocks, as_blocks, as_inputs
from chainrule.blocks.given import is_lazy
from chainrule.blocks.tables import MOST, PARQUET, Table, arrow
from chainrule.errors import DataError
from chainrule.tabular.frame import twice

Array = NDArray[Any]


class Part(NamedTuple):
    """Some rows."""

    first: int
    """The number of the first row."""
    X: Any
    """pyarrow.Table."""
    y: Array | None
    """(m,) or (m, targets): numbers, truth values or texts; None of rows without targets."""
    w: Array | None
    """(m,)"""


def streamed(X: Any, y: Any, sample_weight: Any) -> Blocks | None:
    """The blocks of a table that is to be read part by part; None for what is read as a whole.

    These are blocks, lazy frames, data sets of pyarrow, functions and iterators of blocks, and Parquet files and
    folders whose targets are named.  Raises DataError, SpecError.
    """
    named = y is None or isinstance(y, str) or (isinstance(y, list | tuple) and all(isinstance(n, str) for n in y))
    if isinstance(X, Blocks) or (is_lazy(X) and named):
        return as_blocks(X, y, sample_weight)
    if isinstance(X, str | os.PathLike):
        wanted = y is not None and named and is_parquet(X)
        return as_blocks(X, y, sample_weight) if wanted else None
    if y is None and not hasattr(X, "__array__") and (callable(X) or hasattr(X, "__next__")):
        return as_blocks(X, y, sample_weight)
    return None


def without_targets(X: Any, columns: list[str]) -> Blocks | None:
    """The same of a table to be predicted."""
    if isinstance(X, Blocks) or is_lazy(X) or (isinstance(X, str | os.PathLike) and is_parquet(X)):
        return as_inputs(X, columns)
    streams = not hasattr(X, "__array__") and (callable(X) or hasattr(X, "__next__"))
    return as_inputs(X) if streams else None


def is_parquet(path: str | os.PathLike[str]) -> bool:
    """Whether it is a Parquet file or a folder."""
    return Path(path).suffix.lower() in PARQUET or (str(path) != "" and Path(path).is_dir())


class Rest(Blocks):
    """Blocks without a share of their rows, chosen at random by the seed, which are tested on."""

    def __init__(self, blocks: Blocks, share: float, seed: int) -> None:
        self.share, self.seed = share, seed
        self._setup(blocks.supply, blocks.memory, blocks.cache)


def tested(first: int, count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Whether each of these rows is one that is tested on."""
    return np.asarray(chosen_at_random(first, count, seed) < np.uint64(int(share * 2.0**64)))


def parts(blocks: Blocks) -> Iterator[Part]:
    """All rows, part by part; of `Rest` the rows that are not tested on.  Raises DataError."""
    first = 0
    for X, y, w in _raw(blocks):
        count = len(X)
        if count:
            part = Part(first, X, y, w)
            if isinstance(blocks, Rest):
                part = filtered(part, ~tested(first, count, blocks.share, blocks.seed))
            yield part
        first += count
    if not blocks.supply.unchanged():
        raise DataError(f"{blocks.supply.what} was changed while it was read. Read it again.")


def _raw(blocks: Blocks) -> Iterator[tuple[Any, Array | None, Array | None]]:
    supply = blocks.supply
    pa = arrow("lib", supply.what)
    if isinstance(supply, Table):
        assert supply.names is not None
        wanted = [*supply.names, *supply.targets, *([supply.weight] if supply.weight else [])]
        size = sum(_width(supply.batches.schema.field(name).type) for name in wanted)
        rows = int(np.clip(blocks.memory // 16 // max(size, 1), 1, MOST))
        for batch in supply.batches.read(list(dict.fromkeys(wanted)), rows):
            table = pa.Table.from_batches([batch])
            columns = [cells(table.column(name)) for name in supply.targets]
            w = None if supply.weight is None else np.asarray(cells(table.column(supply.weight)), np.float64)
            y = None if not columns else columns[0] if len(columns) == 1 else np.stack(columns, 1)
            yield table.select(list(supply.names)), y, w
        return
    for block in supply.blocks(blocks.memory // 16, None):
        X = as_arrow(block.X, supply.what)
        y = None if block.y is None else _targets(block.y)
        w = None if block.w is None else np.asarray(block.w, np.float64)
        if y is not None and len(y) != len(X):
            raise DataError(f"{supply.what}: X has {len(X)} rows in a block, and y has {len(y)}.")
        yield X, y, w


def _width(kind: Any) -> int:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:  # of texts
        return 32


def as_arrow(X: Any, what: str) -> Any:
    """A frame, or an array (m, n), as a table of pyarrow.  Raises DataError."""
    pa = arrow("lib", what)
    if isinstance(X, pa.Table):
        return X
    if isinstance(X, pa.RecordBatch):
        return pa.Table.from_batches([X])
    try:
        frame = nw.from_native(X, eager_only=True, pass_through=True)
    except DuplicateError:
        raise DataError(twice(what, list(map(str, X.columns)))) from None
    if isinstance(frame, nw.DataFrame):
        try:
            return nw.maybe_reset_index(frame).to_arrow()  # pandas' index is no column
        except pa.ArrowException as fault:
            raise DataError(_mixed(frame, what, fault)) from None
    array = np.asarray(X)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise DataError(f"{what}: each block must be a data frame, or numbers (m, n). Got {type(X).__name__}.")
    return pa.table({f"x{k}": np.ascontiguousarray(array[:, k]) for k in range(array.shape[1])})


def _mixed(frame: nw.DataFrame[Any], what: str, fault: Exception) -> str:
    """Which column of a frame pyarrow has no type for, and why."""
    for column in frame.iter_columns():
        try:
            column.to_arrow()
        except type(fault) as own:
            return (
                f"{what}: The column {column.name!r} holds what has no type in common: {own.args[0]}. Make its cells "
                "all numbers or all texts, or leave it out."
            )
    return f"{what} is no table to pyarrow: {fault}"


def _targets(y: Any) -> Array:
    """The column, or columns, of a block."""
    if hasattr(y, "to_arrow"):
        given = y.to_arrow()
        if hasattr(given, "column_names"):
            return np.stack([cells(column) for column in given.columns], 1)
        return cells(given)
    if hasattr(y, "to_pylist"):
        return cells(y)
    array = np.asarray(y)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def cells(column: Any) -> Array:
    """A column of pyarrow's as an array; missing values are NaN, or None among others than numbers."""
    types = arrow("types", "the table")
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_decimal(column.type):
        column = column.cast("double")
    if types.is_integer(column.type) or types.is_floating(column.type):
        return np.asarray(column.to_numpy())
    values = column.to_pylist()
    plain = types.is_boolean(column.type) and column.null_count == 0
    return np.array(values, dtype=bool if plain else object)


def filtered(part: Part, keep: NDArray[np.bool_]) -> Part:
    """The rows that are kept."""
    if keep.all():
        return part
    pa = arrow("lib", "the table")
    X = part.X.filter(pa.array(keep))
    return Part(part.first, X, None if part.y is None else part.y[keep], None if part.w is None else part.w[keep])


def chosen_at_random(first: int, count: int, seed: int) -> NDArray[np.uint64]:
    """A random number for each of these rows, which follows from its number and the seed alone.

    The output function of SplitMix64 (Steele, Lea, Flood 2014).
    """
    with np.errstate(over="ignore"):
        z = np.arange(first, first + count, dtype=np.uint64) + np.uint64(1)
        z = (z + np.uint64(seed) * np.uint64(0xD1342543DE82EF95)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
