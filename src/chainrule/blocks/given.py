"""Blocks: data that are read block by block, and how they are held; named by a user, or made by `fit`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.calls import constructor
from chainrule.errors import DataError, SpecError, expected

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
        A memory-mapped array (m, n), or a dict of arrays; a function that returns an iterable of blocks (X, y) or
        (X, y, sample_weight), or an iterator of them.
    y
        The targets, where X does not bring them.
    sample_weight
        (m,): how much each sample counts, where X does not bring it.
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
        memory: int = MEMORY,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(memory, int | np.integer) or isinstance(memory, bool) or memory < LEAST_MEMORY:
            raise SpecError(expected("memory", f"a whole number of bytes, at least {LEAST_MEMORY:,}", memory))
        if cache is not None and not isinstance(cache, str | os.PathLike):
            raise SpecError(expected("cache", "a folder, or None", cache))
        self.memory = int(memory)
        self.cache = cache
        self.supply: Supply = _supply(X, y, sample_weight)
        self._held: dict[str, dict[str, Array] | Stored] = {}

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
    ) -> dict[str, Array] | Stored:
        """The data by symbol as `convert` makes them: arrays, or rows on the disk; read when they are first asked for.

        key: what the conversion depends on.  told: what else is to be known of them, asked after the last block; of
        rows on the disk it is `Stored.told`.  Raises DataError, with the block's place where one does not fit.
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
                self.converted(convert),
                self.supply.rows,
                what=self.supply.what,
                memory=self.memory,
                shuffle=shuffle,
                place=place,
                keep=name if keeps else None,
                told=lambda: {**told(), **self._check_unchanged()},
            )
        else:
            made = kept
        self._held[name] = made
        return made

    def converted(self, convert: Callable[[Block], Mapping[str, Array]]) -> Iterator[Mapping[str, Array]]:
        """Each block as `convert` makes it.  Raises DataError, with the block's place."""
        first = 0
        for number, block in enumerate(self.supply.blocks(self.memory // READ), 1):
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


def as_blocks(X: Any, y: Any = None, sample_weight: Any = None) -> Blocks | None:
    """The blocks that X is or gives; None for arrays and frames in memory.  Raises DataError, SpecError."""
    if type(X) is np.ndarray:
        return None
    if isinstance(X, Blocks):
        if y is not None or sample_weight is not None:
            raise SpecError("Blocks bring their targets and weights: cr.Blocks(X, y, sample_weight).")
        return X
    if _is_mapped(X) or ((callable(X) or hasattr(X, "__next__")) and y is None and not hasattr(X, "__array__")):
        return Blocks(X, y, sample_weight, memory=MEMORY)
    return None


def _is_mapped(X: Any) -> bool:
    """Whether some of it is a memory-mapped array that is not to be held as a whole."""
    parts = list(X.values()) if isinstance(X, dict) else [X]
    mapped = [part for part in parts if isinstance(part, np.memmap)]
    return bool(mapped) and sum(part.nbytes for part in mapped) > MEMORY


def _supply(X: Any, y: Any, w: Any) -> Supply:
    from chainrule.blocks.supply import Arrays, Stream

    if isinstance(X, np.ndarray | dict):
        if y is None:
            raise DataError("Blocks of arrays need y: the targets, one for each sample.")
        return Arrays(X, y, w)
    if callable(X) or hasattr(X, "__next__"):
        if y is not None or w is not None:
            raise DataError("Each block brings its targets: a function or an iterator gives (X, y) or (X, y, w).")
        return Stream(X)
    raise DataError(
        expected("X", "a memory-mapped array, a function that returns blocks (X, y), or an iterator of them", type(X))
    )
