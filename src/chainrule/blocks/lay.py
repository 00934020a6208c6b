"""Data laid out: read once, brought to the network's dtype, dealt out to blocks on the disk.

What is small enough to be held as a whole is not written at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.blocks.scatter import Scatter
from chainrule.blocks.stored import Draft, Kind, Stored, kinds_of
from chainrule.errors import DataError

Array = NDArray[Any]
Rows = Mapping[str, Array]
SPAN = 32
"""Blocks of a window."""
DEALT = 8
"""The part of the memory that is dealt out at a time."""


def laid_out(
    blocks: Iterable[Rows],
    rows: int | None,
    *,
    what: str,
    memory: int,
    shuffle: bool,
    place: Path,
    keep: str | None,
    told: Callable[[], Mapping[str, Any]],
    whole: bool = False,
    always: bool = False,
    say: Callable[[str], None] | None = None,
) -> dict[str, Array] | Stored:
    """The data as arrays where they fit in the memory, else laid out on the disk.

    blocks: rows by symbol.  rows: how many there are; None where that is not known.  what: the data, for messages.
    memory: bytes that are held at a time.  shuffle: whether rows are dealt out, else they lie as they come.  place,
    keep: as of `Draft`.  told: what else is to be kept, asked at the end.  whole: whether what does not fit is refused.
    always: whether also what fits is laid out.  say: is told how much is laid out, and where.
    Raises DataError for data without rows, for more or fewer than there should be, and as `Draft`.
    """
    stream = iter(blocks)
    first: list[Rows] = []
    held = count = 0
    for block in stream:
        first.append(block)
        held += sum(array.nbytes for array in block.values())
        count += _length(block)
        if always or held > memory or (rows is not None and count and held / count * rows > memory):
            break
    else:
        if not count:
            raise DataError(f"{what} is empty: at least one sample is needed.")
        _check_count(what, rows, count)
        return {name: np.concatenate([block[name] for block in first]) for name in first[0]}
    if whole:
        raise DataError(f"{what} must fit into memory, {memory:,} bytes of it. Take fewer rows, or raise `memory`.")
    kinds = kinds_of(first[0])
    row = sum(kind.bytes for kind in kinds.values())
    block_rows = max(1, memory // 2 // SPAN // max(row, 1))
    if always and rows is not None:
        block_rows = max(1, min(block_rows, rows // (2 * SPAN)))
    dealt = max(1, memory // DEALT // max(row, 1))
    if say is not None:
        size = "" if rows is None else f", {rows:,} rows that take {rows * row / 1e9:,.2f} GB there"
        say(f"{what} is laid out in {place}{size}")
    every = chain(_taken(first), stream)
    if rows is None:
        spool = _in_order(every, kinds, None, what, place, None, block_rows, {} if shuffle else told)
        if not shuffle and keep is None:
            return spool
        try:
            return _laid(spool.all_of(dealt), kinds, spool.rows, what, shuffle, place, keep, block_rows, dealt, told)
        finally:
            spool.close()
    return _laid(every, kinds, rows, what, shuffle, place, keep, block_rows, dealt, told)


def _laid(
    blocks: Iterable[Rows],
    kinds: Mapping[str, Kind],
    rows: int,
    what: str,
    shuffle: bool,
    place: Path,
    keep: str | None,
    block: int,
    dealt: int,
    told: Any,
) -> Stored:
    if not shuffle:
        return _in_order(blocks, kinds, rows, what, place, keep, block, told)
    draft, scatter = Draft(place, keep, kinds, rows), Scatter(rows, block)

    def deal(some: Rows) -> None:
        order, pieces = scatter.deal(_length(some))
        for name, array in some.items():
            mixed = np.take(array, order, axis=0)
            for begin, end, at in pieces:
                draft.write(name, at, mixed[begin:end])

    count = 0
    try:
        # One thread reads while another deals out; both leave the interpreter free most of the time.
        with ThreadPoolExecutor(1, "chainrule blocks") as pool:
            running: Future[None] | None = None
            for some in _regrouped(blocks, kinds, dealt):
                count += _length(some)
                if running is not None:
                    running.result()
                if count > rows:
                    break
                running = pool.submit(deal, some)
            if running is not None:
                running.result()
        _check_count(what, rows, count)
        return draft.finish(rows, block, told())
    except BaseException:
        draft.give_up()
        raise


def _in_order(
    blocks: Iterable[Rows],
    kinds: Mapping[str, Kind],
    rows: int | None,
    what: str,
    place: Path,
    keep: str | None,
    block: int,
    told: Any,
) -> Stored:
    draft, count = Draft(place, keep, kinds, rows), 0
    try:
        for some in blocks:
            _check_kinds(what, kinds, some)
            for name, array in some.items():
                draft.write(name, count, np.ascontiguousarray(array))
            count += _length(some)
        _check_count(what, rows, count)
        return draft.finish(count, block, told() if callable(told) else told)
    except BaseException:
        draft.give_up()
        raise


def _regrouped(blocks: Iterable[Rows], kinds: Mapping[str, Kind], rows: int) -> Iterator[dict[str, Array]]:
    """The same rows, so many at a time; the arrays are new ones."""
    empty = {name: np.empty((rows, *kind.shape), kind.dtype) for name, kind in kinds.items()}
    some, filled = empty, 0
    for block in blocks:
        _check_kinds("the data", kinds, block)
        first, length = 0, _length(block)
        while first < length:
            if filled == rows:
                yield some
                some, filled = {name: np.empty_like(array) for name, array in empty.items()}, 0
            count = min(rows - filled, length - first)
            for name, array in block.items():
                some[name][filled : filled + count] = array[first : first + count]
            first, filled = first + count, filled + count
    if filled:
        yield {name: array[:filled] for name, array in some.items()}


def _check_kinds(what: str, kinds: Mapping[str, Kind], block: Rows) -> None:
    if kinds_of(block) != kinds:
        raise DataError(f"{what}: its blocks are of several kinds: {_said(kinds)}, then {_said(kinds_of(block))}.")


def _said(kinds: Mapping[str, Kind]) -> str:
    return ", ".join(f"{name} {kind.dtype} {list(kind.shape)}" for name, kind in kinds.items())


def _check_count(what: str, rows: int | None, count: int) -> None:
    if rows is not None and count != rows:
        at_least = "more" if count > rows else f"{count:,}"
        raise DataError(f"{what} should have {rows:,} rows, and {at_least} came: it was changed while it was read.")


def _length(block: Rows) -> int:
    return len(next(iter(block.values())))


def _taken(blocks: list[Rows]) -> Iterator[Rows]:
    """Each, and it is not held any longer."""
    blocks.reverse()
    while blocks:
        yield blocks.pop()
