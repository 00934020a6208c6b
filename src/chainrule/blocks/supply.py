"""Where rows come from, block by block: arrays in files, callables, iterators."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, expected
from chainrule.files.disk import describe_os_error

Array = NDArray[Any]


class Block(NamedTuple):
    """Some rows, as a user would hand them to `Network.fit`."""

    X: Any
    y: Any = None
    w: Any = None


class Supply(Protocol):
    """Data that are read block by block."""

    what: str
    """What they are, for messages."""
    rows: int | None
    """How many rows there are; None where only reading tells."""
    names: tuple[str, ...] | None
    """Of the inputs' columns, where they have some."""
    identity: Any
    """Plain values that change whenever the data may have; None where nothing tells."""

    def blocks(self, size: int, dtype: np.dtype[Any] | None) -> Iterator[Block]:
        """All rows in their order, about so many bytes at a time where the data can be cut.

        dtype: what X will be brought to, for those who have to make an array of it anyway; None for whole numbers.
        Raises DataError.
        """

    def unchanged(self) -> bool:
        """Whether the data are those that they were when this was made."""


class Arrays:
    """Arrays of which some are in files: X (m, n) or a dict of such, y, w."""

    names: tuple[str, ...] | None = None

    def __init__(self, X: Any, y: Any, w: Any) -> None:
        self.X, self.y, self.w = X, y, w
        self.what = "X"
        parts = [*(X.values() if isinstance(X, Mapping) else [X])]
        self.rows: int | None = len(parts[0])
        others = [part for part in (*parts, *(y.values() if isinstance(y, Mapping) else [y]), w) if part is not None]
        lengths = {len(part) for part in others}
        if len(lengths) > 1:
            raise DataError(
                f"All arrays must have one row per sample. Got rows: {', '.join(map(str, sorted(lengths)))}."
            )
        self._mapped = [part for part in others if isinstance(part, np.memmap)]
        self._row = max(1, sum(_bytes(part) for part in parts) // max(1, self.rows or 1))
        self.identity = [_identity(part) for part in others] if len(self._mapped) == len(others) else None

    def blocks(self, size: int, dtype: np.dtype[Any] | None) -> Iterator[Block]:
        """Slices; pages that were read are let go of again."""
        assert self.rows is not None
        count = max(1, size // self._row)
        for first in range(0, self.rows, count):
            some = slice(first, first + count)
            yield Block(_cut(self.X, some), _cut(self.y, some), _cut(self.w, some))
            for part in self._mapped:
                _let_go(part)

    def unchanged(self) -> bool:
        """Whether the files are as they were."""
        return self.identity is None or [_identity(part) for part in self._mapped] == self.identity


class Stream:
    """Blocks that a callable or an iterator gives: (X, y), (X, y, w), or of prediction X alone."""

    rows: int | None = None
    names: tuple[str, ...] | None = None
    identity = None

    def __init__(self, given: Callable[[], Iterable[Any]] | Iterator[Any], bare: bool = False) -> None:
        self.given, self.bare = given, bare
        self.what = "the stream of blocks"
        self._begun = False

    def blocks(self, size: int, dtype: np.dtype[Any] | None) -> Iterator[Block]:
        """As they come."""
        if not callable(self.given):
            if self._begun:
                raise DataError(
                    "The blocks of an iterator come once, and these have come. Give a function that makes the "
                    "iterator, or cr.Blocks(iterator), which keeps them."
                )
            self._begun = True
        blocks = self.given() if callable(self.given) else self.given
        if not isinstance(blocks, Iterable):
            raise DataError(expected("What X() returns", "an iterable of blocks (X, y)", type(blocks)))
        for block in blocks:
            if isinstance(block, tuple | list) and len(block) in (2, 3):
                yield Block(*block)
            elif self.bare:
                yield Block(block)
            else:
                raise DataError(expected("Each block", "(X, y) or (X, y, sample_weight)", type(block)))

    def unchanged(self) -> bool:
        """Nothing tells."""
        return True


def _cut(part: Any, some: slice) -> Any:
    if isinstance(part, Mapping):
        return {name: array[some] for name, array in part.items()}
    return None if part is None else part[some]


def _bytes(part: Any) -> int:
    return int(getattr(part, "nbytes", 0)) or np.asarray(part).nbytes


def _root(part: Array) -> Any:
    """The array that has the mapping."""
    root: Any = part
    while isinstance(root.base, np.ndarray):
        root = root.base
    return root


def identities(paths: Iterable[Path]) -> list[list[Any]]:
    """Of each file once its name, size and time: by these it is known again.  Raises DataError."""
    known: list[list[Any]] = []
    for path in dict.fromkeys(paths):
        try:
            about = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {describe_os_error(error)}.") from None
        known.append([str(path.resolve()), about.st_size, about.st_mtime_ns])
    return known


def _identity(part: Any) -> Any:
    """The file of a memory-mapped array, as it is now, and which part of it the array is."""
    root = _root(part)
    name = getattr(part, "filename", None)
    if name is None:
        return None
    try:
        about = os.stat(name)
    except OSError:
        return [str(name), None]
    at = part.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return [str(name), about.st_size, about.st_mtime_ns, root.offset, at, part.dtype.str, part.shape, part.strides]


def _let_go(part: Array) -> None:
    """The pages of a mapping that only reads need not stay: the system has them, or reads them again."""
    root = _root(part)
    mapping = getattr(root, "_mmap", None)
    if mapping is not None and getattr(root, "mode", "c") in ("r", "r+") and hasattr(mapping, "madvise"):
        with contextlib.suppress(OSError, ValueError):
            mapping.madvise(mmap.MADV_DONTNEED)
