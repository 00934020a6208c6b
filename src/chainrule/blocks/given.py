"""Blocks: data that are read block by block, and how they are held; named by a user, or made by `fit`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.calls import constructor
from chainrule.errors import DataError, SpecError, expected, shorten, shown

if TYPE_CHECKING:
    from chainrule.blocks.stored import Stored
    from chainrule.blocks.supply import Block, Supply

Array = NDArray[Any]
MEMORY = 1 << 28
"""Bytes of data that are held at a time."""
LEAST_MEMORY = 1 << 12
READ = 16
"""The part of the memory that is read at a time."""


@constructor
class Blocks:
    """Data that may be larger than memory, for `fit` and `predict` in the place of X and y.

        blocks = cr.Blocks(np.load("X.npy", mmap_mode="r"), np.load("y.npy", mmap_mode="r"))
        net.fit(blocks, epochs=10)

    `fit` makes one by itself of what it is given; by hand it says how much memory is used, and where the data are laid
    out.  Data of at most `memory` bytes, in the network's dtype, are held as a whole, and trained on to the same bits
    as arrays.  Others are read once and laid out on the disk in random order; each epoch then goes through them window
    by window.  The result depends on `memory`, and on nothing else about how the data come.

    Parameters
    ----------
    X
        A memory-mapped array (m, n), or a dict of arrays; a folder of archives (.npz) with X and y, or of arrays
        X*.npy and y*.npy; a Parquet file, a folder of them, a data set of pyarrow, or a lazy frame (polars, and what
        else narwhals calls lazy); a function that returns an iterable of blocks (X, y) or (X, y, sample_weight), or an
        iterator of them.
    y
        The targets, where X does not bring them; of a table the name of their column, or several.
    sample_weight
        (m,): how much each sample counts, where X does not bring it; of a table the name of the column.
    columns
        Of a table those that are X, in order; None for all that are neither targets nor weights.
    memory
        Bytes of data that are held at a time; beside them a fit needs what the network and the libraries take.
    cache
        A folder in which the data stay laid out, for other processes too: they are known again by the files' names,
        sizes and times.  Without one they are laid out in the user's folder for such files, in files without names,
        which are gone with this object or the process.

    Raises
    ------
    DataError
        For what is none of these.
    """

    def __init__(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        columns: Sequence[str] | None = None,
        memory: int = MEMORY,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(memory, int | np.integer) or isinstance(memory, bool) or memory < LEAST_MEMORY:
            raise SpecError(expected("memory", f"a whole number of bytes, at least {LEAST_MEMORY:,}", memory))
        if cache is not None and not isinstance(cache, str | os.PathLike):
            raise SpecError(expected("cache", "a folder, or None", cache))
        self._setup(_supply(X, y, sample_weight, columns), int(memory), cache)

    def _setup(self, supply: Supply, memory: int, cache: str | os.PathLike[str] | None) -> None:
        self.memory, self.cache, self.supply = memory, cache, supply
        self._held: dict[str, dict[str, Array] | Stored] = {}

    @classmethod
    def of(cls, supply: Supply, memory: int | None = None) -> Blocks:
        """Of a supply that was made before."""
        blocks = Blocks.__new__(Blocks)
        blocks._setup(supply, MEMORY if memory is None else memory, None)
        return blocks

    def __repr__(self) -> str:
        rows = "" if self.supply.rows is None else f", {self.supply.rows:,} rows"
        return f"Blocks({self.supply.what}{rows}, memory={self.memory:,})"

    def __enter__(self) -> Blocks:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives back the disk that the data take (what `cache` keeps stays)."""
        held, self._held = self._held, {}
        for rows in held.values():
            if not isinstance(rows, dict):
                rows.close()

    def held(
        self,
        convert: Callable[[Block], Mapping[str, Array]],
        key: str,
        *,
        shuffle: bool,
        told: Callable[[], Mapping[str, Any]],
        dtype: np.dtype[Any] | None = None,
        whole: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> dict[str, Array] | Stored:
        """The data by symbol as `convert` makes them: arrays, or rows on the disk; read when they are first asked for.

        key: what the conversion depends on.  dtype: of X, as of `Supply.blocks`.  told: what else is to be known of
        them, asked after the last block; of rows on the disk it is `Stored.told`.  whole: whether what does not fit
        into memory is refused.  say: is told how much is laid out, and where.
        Raises DataError, with the block's place where one does not fit.
        """
        from hashlib import sha256  # slow to load, as the others, and most fits are of arrays
        from pathlib import Path

        from chainrule.blocks.lay import laid_out
        from chainrule.blocks.stored import opened, usual_place

        name = sha256(repr((key, shuffle, self.memory, self.supply.identity)).encode()).hexdigest()[:32]
        if name in self._held:
            return self._held[name]
        place = usual_place() if self.cache is None else Path(self.cache)
        keeps = self.cache is not None and self.supply.identity is not None
        kept = opened(place, name) if keeps else None
        if kept is None:
            self._check_unchanged()
            made = laid_out(
                self.converted(convert, dtype),
                self.supply.rows,
                what=self.supply.what,
                memory=self.memory,
                shuffle=shuffle,
                place=place,
                keep=name if keeps else None,
                told=lambda: {**told(), **self._check_unchanged()},
                whole=whole,
                say=say,
            )
        else:
            made = kept
        self._held[name] = made
        return made

    def converted(
        self, convert: Callable[[Block], Mapping[str, Array]], dtype: np.dtype[Any] | None = None
    ) -> Iterator[Mapping[str, Array]]:
        """Each block as `convert` makes it.  Raises DataError, with the block's place."""
        first = 0
        for number, block in enumerate(self.supply.blocks(self.memory // READ, dtype), 1):
            try:
                data = convert(block)
            except DataError as fault:
                raise DataError(f"Block {number} of {self.supply.what} (from row {first:,}): {fault}") from None
            yield data
            first += len(next(iter(data.values())))

    def _check_unchanged(self) -> dict[str, Any]:
        if not self.supply.unchanged():
            raise DataError(f"{self.supply.what} was changed while it was read. Read it again.")
        return {}


def as_blocks(X: Any, y: Any = None, sample_weight: Any = None, columns: Sequence[str] | None = None) -> Blocks | None:
    """The blocks that X is or gives; None for arrays and frames in memory.  Raises DataError, SpecError.

    columns: of a table, those that are X; None for all but targets and weights.
    """
    if type(X) is np.ndarray:
        return None
    if isinstance(X, Blocks):
        if y is not None or sample_weight is not None:
            raise SpecError("Blocks bring their targets and weights: cr.Blocks(X, y, sample_weight).")
        return X
    streams = (callable(X) or hasattr(X, "__next__")) and y is None and not hasattr(X, "__array__")
    if streams or _is_mapped(X) or _is_path(X) or is_lazy(X):
        table = columns if _is_table(X) else None
        return Blocks(X, y, sample_weight, columns=table, memory=MEMORY)
    return None


def as_inputs(X: Any, columns: Sequence[str] | None = None) -> Blocks | None:
    """The same of data without targets; those that bring some are taken too."""
    if type(X) is np.ndarray or isinstance(X, Blocks):
        return X if isinstance(X, Blocks) else None
    streams = (callable(X) or hasattr(X, "__next__")) and not hasattr(X, "__array__")
    if streams or _is_mapped(X) or _is_path(X) or is_lazy(X):
        return Blocks.of(_supply(X, None, None, columns if _is_table(X) else None, bare=True))
    return None


def _is_path(X: Any) -> bool:
    return isinstance(X, os.PathLike) or (isinstance(X, str) and X != "")


def _is_table(X: Any) -> bool:
    """Whether columns are found by name in it."""
    return not _ends(X) & {".npy", ".npz"} if _is_path(X) else is_lazy(X)


def _ends(path: str | os.PathLike[str]) -> set[str]:
    """How the name of a file ends, or those of the files in a folder.  Raises DataError where there is neither."""
    from pathlib import Path

    place = Path(path)
    try:
        return {file.suffix.lower() for file in (place.iterdir() if place.is_dir() else [place]) if file.exists()}
    except (OSError, ValueError) as error:  # of names with a 0 in them
        raise DataError(f"X: {shown(str(path))} cannot be read: {shorten(str(error))}.") from None


def is_lazy(X: Any) -> bool:
    """Whether X is a data set of pyarrow, or a frame that is not computed yet: polars', DuckDB's, Dask's, ..."""
    if hasattr(X, "count_rows") and hasattr(X, "to_batches"):
        return True
    if type(X).__module__.split(".")[0] not in _LAZY:
        return False
    from importlib import import_module

    narwhals = import_module("narwhals")
    return isinstance(narwhals.from_native(X, pass_through=True), narwhals.LazyFrame)


_LAZY = {"narwhals", "polars", "duckdb", "dask", "dask_expr", "ibis", "pyspark", "sqlframe"}
"""Libraries that have lazy frames."""


def _is_mapped(X: Any) -> bool:
    """Whether some of it is a memory-mapped array that is not to be held as a whole."""
    parts = list(X.values()) if isinstance(X, dict) else [X]
    mapped = [part for part in parts if isinstance(part, np.memmap)]
    return bool(mapped) and sum(part.nbytes for part in mapped) > MEMORY


def _supply(X: Any, y: Any, w: Any, columns: Sequence[str] | None, *, bare: bool = False) -> Supply:
    """bare: whether there need not be targets."""
    path = _is_path(X)
    if path and (given := _of_path(X, y, w, columns, bare)) is not None:
        return given
    if path or is_lazy(X):
        from chainrule.blocks.tables import table_of

        return table_of(X, y, w, columns, bare)
    if columns is not None:
        raise SpecError("columns are named of a table, and X is none.")
    from chainrule.blocks.supply import Arrays, Stream

    if isinstance(X, np.ndarray | dict):
        if y is None and not bare:
            raise DataError("Blocks of arrays need y: the targets, one for each sample.")
        return Arrays(X, y, w)
    if callable(X) or hasattr(X, "__next__"):
        if y is not None or w is not None:
            raise DataError("Each block brings its targets: a function or an iterator gives (X, y) or (X, y, w).")
        return Stream(X, bare)
    raise DataError(
        expected(
            "X",
            "a memory-mapped array, a path, a data set of pyarrow, a lazy frame, a function that returns blocks "
            "(X, y), or an iterator of them",
            type(X),
        )
    )


def _of_path(X: Any, y: Any, w: Any, columns: Sequence[str] | None, bare: bool) -> Supply | None:
    """What is no table: arrays in files, or a folder of them.  Raises DataError for what is neither."""
    from pathlib import Path

    from chainrule.blocks.folders import ARCHIVE, ARRAY, Folder, mapped
    from chainrule.blocks.supply import Arrays
    from chainrule.blocks.tables import PARQUET

    path = Path(X)
    ends = _ends(path)
    if not ends and not path.is_dir():
        raise DataError(f"X: there is no file or folder {shown(str(path))}.")
    if ends <= set(PARQUET) or (path.is_dir() and not ends & {ARCHIVE, ARRAY}):
        return None
    if columns is not None:
        raise SpecError(f"columns are named of a table, and {path} is none.")
    if path.suffix.lower() == ARRAY:
        if y is None and not bare:
            raise DataError(f"{path}: needs y: the targets, y.npy or an array.")
        return Arrays(*(mapped(a) if isinstance(a, str | os.PathLike) else a for a in (path, y, w)))
    if not path.is_dir() and path.suffix.lower() != ARCHIVE:
        allowed = "a Parquet file (.parquet), an archive (.npz), an array (.npy) or a folder of these"
        raise DataError(expected(f"X: {path}", allowed, path.suffix or "a name without an ending"))
    if y is not None or w is not None:
        raise DataError(f"{path}: brings its targets and weights itself, as y and w. Leave those of the call out.")
    return Folder(path, bare)
