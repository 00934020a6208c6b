"""Tables as a supply of blocks: Parquet files and folders of them, data sets of pyarrow, lazy frames."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.blocks.stored import usual_place
from chainrule.blocks.supply import Block, identities
from chainrule.errors import DataError, MissingDependencyError, expected, shown, unknown_name
from chainrule.files.disk import describe_os_error, hidden_name

Array = NDArray[Any]
PARQUET = (".parquet", ".pq")
MOST = 1 << 16
"""Rows of a batch: what is decoded at a time."""
TILE = 4_096
"""Rows that columns are laid beside each other at a time: they stay in the processor's cache."""


class Batches(Protocol):
    """Where batches of Arrow's come from."""

    what: str
    rows: int
    schema: Any
    identity: Any

    def read(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        """All rows of these columns as pyarrow.RecordBatch, at most so many rows each."""

    def unchanged(self) -> bool:
        """Whether the data are as they were."""


class Files:
    """Parquet files, one after the other."""

    def __init__(self, paths: Sequence[Path], what: str) -> None:
        self.paths, self.what = paths, what
        self._parquet = arrow("parquet", what)
        self.identity: Any = self._stat()
        self.rows, self.schema = 0, None
        for path in paths:
            with self._open(path) as file:
                self.rows += file.metadata.num_rows
                schema = file.schema_arrow
                if self.schema is None:
                    self.schema = schema
                elif not schema.equals(self.schema):
                    raise DataError(f"{path}: its columns are others than those of {paths[0]}.")

    def read(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        """Row group after row group."""
        for path in self.paths:
            with self._open(path) as file, _said(path):
                yield from file.iter_batches(batch_size=rows, columns=list(columns))

    def unchanged(self) -> bool:
        """Whether sizes and times are the same."""
        return bool(self._stat() == self.identity)

    def _open(self, path: Path) -> Any:
        with _said(path):
            return self._parquet.ParquetFile(path, pre_buffer=False)

    def _stat(self) -> list[list[Any]]:
        return identities(self.paths)


class Dataset:
    """A data set of pyarrow."""

    identity = None
    what = "the data set"

    def __init__(self, dataset: Any) -> None:
        self.dataset, self.schema = dataset, dataset.schema
        with _said(self.what):
            self.rows = dataset.count_rows()

    def read(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        """As its scanner gives them; little is read ahead, as that takes memory."""
        with _said(self.what):
            yield from self.dataset.to_batches(
                columns=list(columns), batch_size=rows, batch_readahead=1, fragment_readahead=1
            )

    def unchanged(self) -> bool:
        """Nothing tells."""
        return True


class Sunk(Files):
    """A lazy frame, written to a Parquet file whose name is gone as soon as it is open."""

    def __init__(self, lazy: Any) -> None:
        what = "the lazy frame"
        arrow("parquet", what)
        place = usual_place()
        place.mkdir(parents=True, exist_ok=True)
        path = place / hidden_name("lazy", ".parquet")
        try:
            lazy.sink_parquet(path)
            self._file: Any = open(path, "rb")  # noqa: SIM115 - closed with this
            self._named = None
            try:
                path.unlink()
            except OSError:  # of Windows: an open file keeps its name
                self._named = path
        except OSError as error:
            raise DataError(f"{place}: the lazy frame cannot be written there: {describe_os_error(error)}.") from None
        except Exception as fault:  # whatever the library raises for a query that fails
            raise DataError(f"{what} cannot be collected: {_first_line(fault)}") from None
        finally:
            if not hasattr(self, "_file"):
                path.unlink(missing_ok=True)
        super().__init__([path], what)
        self.identity = None

    def unchanged(self) -> bool:
        """It is its own."""
        return True

    def _open(self, path: Path) -> Any:
        return self._parquet.ParquetFile(self._file, pre_buffer=False)

    def _stat(self) -> list[Any]:
        return []

    def __del__(self) -> None:
        if file := getattr(self, "_file", None):
            file.close()
        if named := getattr(self, "_named", None):
            with contextlib.suppress(OSError):
                named.unlink()


class Table:
    """Columns of a table as X, y and w.

    y, w: names of columns; several targets stand beside each other.  columns: those of X, in order; None for all
    others.  bare: whether there need not be targets.
    """

    def __init__(self, batches: Batches, y: Any, w: Any, columns: Sequence[str] | None, bare: bool = False) -> None:
        self.batches, self.what = batches, batches.what
        self.rows: int | None = batches.rows
        known = list(batches.schema.names)
        self.targets = tuple([y] if isinstance(y, str) else y or ())
        self.weight = w
        faults = [expected("y", "the name of a column, or several", y)] if not self.targets and not bare else []
        if w is not None and not isinstance(w, str):
            faults.append(expected("sample_weight", "the name of a column", w))
        given = [*self.targets, *([w] if isinstance(w, str) else []), *(columns or ())]
        faults += [unknown_name("column", str(name), known) for name in given if name not in known]
        if twice := sorted({name for name in known if known.count(name) > 1}):
            faults.append(f"The column {twice[0]!r} is there twice.")
        if faults:
            raise DataError(f"{self.what}: {' '.join(faults)}")
        beside = {*self.targets, w}
        self.names: tuple[str, ...] | None = tuple(columns or (name for name in known if name not in beside))
        self.identity = None if batches.identity is None else [batches.identity, self.targets, w, self.names]

    def blocks(self, size: int, dtype: np.dtype[Any] | None) -> Iterator[Block]:
        """Batch after batch, columns beside each other."""
        assert self.names is not None
        self._check_numbers(self.names)
        wanted = list(dict.fromkeys([*self.names, *self.targets, *([self.weight] if self.weight else [])]))
        rows = int(np.clip(size // (8 * len(wanted)), 1, MOST))
        first = 0
        for batch in self.batches.read(wanted, rows):
            if not batch.num_rows:
                continue
            columns = {name: self._values(batch.column(k), name, first) for k, name in enumerate(batch.schema.names)}
            first += batch.num_rows
            X = _beside([columns[name] for name in self.names], dtype)
            y = [columns[name] for name in self.targets]
            targets = None if not y else y[0] if len(y) == 1 else _beside(y, None)
            yield Block(X, targets, columns[self.weight] if self.weight else None)

    def unchanged(self) -> bool:
        """Whether the data are as they were."""
        return self.batches.unchanged()

    def _values(self, column: Any, name: str, first: int) -> Array:
        """The numbers of a column, of rows from `first` on.  Raises DataError where some are missing."""
        if column.null_count:
            row = first + int(column.is_null().index(True).as_py())
            raise DataError(
                f"{self.what}: the column {name!r} has no value in row {row:,}; remove or impute missing values."
            )
        values: Array = column.to_numpy(zero_copy_only=False)
        decimal = arrow("types", self.what).is_decimal(column.type)
        return values.astype(np.float64) if decimal else values

    def _check_numbers(self, names: Sequence[str]) -> None:
        """Raises DataError for columns that are not of numbers, all in one message."""
        types = arrow("types", self.what)
        are = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
        schema = self.batches.schema
        wrong = [n for n in names if not any(is_one(schema.field(n).type) for is_one in are)]
        if wrong:
            told = ", ".join(f"{name!r} ({schema.field(name).type})" for name in wrong[:5])
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise DataError(
                f"{self.what}: X must hold numbers, and the columns {told}{more} do not. Name those to be used, "
                "cr.Blocks(..., columns=[...]), or take TabularClassifier or TabularRegressor, which take all kinds."
            )


def table_of(source: Any, y: Any, w: Any, columns: Sequence[str] | None, bare: bool = False) -> Table:
    """Of a Parquet file, a folder of such, a data set of pyarrow or a lazy frame.  Raises DataError."""
    return Table(batches_of(source), y, w, columns, bare)


def batches_of(source: Any) -> Batches:
    """The same, before it is said what the columns are."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        paths = sorted(p for p in path.rglob("*") if p.suffix.lower() in PARQUET) if path.is_dir() else [path]
        if not paths:
            raise DataError(f"X: there is no Parquet file in the folder {shown(str(path))}.")
        return Files(paths, str(path))
    if hasattr(source, "count_rows"):
        return Dataset(source)
    narwhals = import_module("narwhals")
    lazy = narwhals.from_native(source, pass_through=True)
    assert isinstance(lazy, narwhals.LazyFrame)
    return Sunk(lazy)


def arrow(module: str, what: str) -> Any:
    """A module of pyarrow.  Raises MissingDependencyError."""
    try:
        return import_module(f"pyarrow.{module}")
    except ImportError:
        raise MissingDependencyError(f"{what}: needs pyarrow: pip install pyarrow") from None


@contextlib.contextmanager
def _said(what: object) -> Iterator[None]:
    """What pyarrow raises as a DataError with the name."""
    exceptions = import_module("pyarrow").ArrowException
    try:
        yield
    except DataError:
        raise
    except (exceptions, OSError, ValueError) as fault:
        raise DataError(f"{what}: cannot be read: {_first_line(fault)}") from None


def _first_line(fault: BaseException) -> str:
    return (str(fault).splitlines() or [repr(fault)])[0]


def _beside(columns: Sequence[Array], dtype: np.dtype[Any] | None) -> Array:
    """Columns (m,) as a matrix (m, n) of the dtype; without one whole numbers stay whole."""
    common = np.result_type(*columns) if dtype is None else dtype
    matrix = np.empty((len(columns[0]), len(columns)), common)
    with np.errstate(over="ignore"):  # what does not fit becomes inf, and is named as such
        for first in range(0, len(matrix), TILE):
            tile = matrix[first : first + TILE]
            for k, column in enumerate(columns):
                tile[:, k] = column[first : first + TILE]
    return matrix
