"""An epoch of rows on the disk, window by window; the next one is read while machine code works on one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.blocks.lay import SPAN
from chainrule.blocks.order import BlockOrder
from chainrule.blocks.stored import Stored

Array = NDArray[Any]
Places = NDArray[np.int64]
LEAST = 2
"""Rows of a part at least, where there are as many: of one alone some layers learn nothing."""


class Closed(Protocol):
    """What has something to give back."""

    def close(self) -> None:
        """Gives it back."""


class Windows:
    """The samples of a fit and their order: a `Source` and the `Orders` of it in one (train/policies.py)."""

    def __init__(self, stored: Stored, order: BlockOrder, own: Closed | None = None) -> None:
        self.stored, self.order, self.samples, self._own = stored, order, stored.rows, own
        self._pool: ThreadPoolExecutor | None = None

    @classmethod
    def of(cls, stored: Stored, seeds: tuple[int, int], shuffle: bool, own: Closed | None = None) -> Windows:
        """Of laid out rows.  own: what is closed at the end."""
        return cls(stored, BlockOrder(seeds, stored.rows, stored.block, SPAN, shuffle), own)

    # --- in which order --------------------------------------------------------------------------------------------

    def draw(self, epoch: int) -> int:
        """The epoch's number: its order follows from it, window by window."""
        return epoch

    def state(self) -> dict[str, Any]:
        """Nothing: the order follows from the seeds."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Waits for what is being read."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        if self._own is not None:
            self._own.close()

    # --- the samples -----------------------------------------------------------------------------------------------

    def parts(self, epoch: int, batch_size: int, skip: int = 0) -> Iterator[tuple[Mapping[str, Array], Places]]:
        """(a window's rows by symbol, their order), window by window, whole batches each but the last.

        The rows that make no whole batch stand before those of the next window.  Of the first `skip` batches nothing
        is read, and the parts that have none but these come without data.
        Raises DataError where the disk cannot be read.
        """
        blocks = self.order.blocks_of(epoch)
        sizes = self.order.sizes(blocks)
        spans = [slice(w * self.order.span, (w + 1) * self.order.span) for w in range(self.order.windows)]
        rows = [int(sizes[span].sum()) for span in spans]
        over = self._over(rows, batch_size)
        room = max(rows) + batch_size + LEAST
        buffers = [
            {n: np.empty((room, *kind.shape), kind.dtype) for n, kind in self.stored.kinds.items()} for _ in range(2)
        ]
        head = batch_size + LEAST

        def load(window: int) -> Places:
            each = zip(blocks[spans[window]].tolist(), sizes[spans[window]].tolist(), strict=True)
            into = {name: buffer[head : head + rows[window]] for name, buffer in buffers[window % 2].items()}
            self.stored.gather([(block * self.order.block, size) for block, size in each], into)
            return self.order.within(epoch, window, rows[window])

        counts = np.diff(over, prepend=0) * -1 + rows
        needed = self._first_needed(np.cumsum(counts), rows, over, skip * batch_size)
        pool = self._pool = self._pool or ThreadPoolExecutor(1, "chainrule window")
        ahead: Future[Places] | None = None
        carried = 0
        kept: Places | None = None
        """Where the rows that are carried lie in the buffer of the window before this one."""
        for window, n in enumerate(rows):
            count = int(counts[window])
            if window < needed:
                if count:
                    yield {}, np.arange(count, dtype=np.int64)
                carried = over[window]
                continue
            within = (ahead or pool.submit(load, window)).result()
            here, before = buffers[window % 2], buffers[1 - window % 2]
            if carried and kept is not None:
                for name, buffer in here.items():
                    buffer[head - carried : head] = before[name][kept]
            order = np.concatenate([np.arange(carried, dtype=np.int64), carried + within])
            kept = head - carried + order[count:]
            ahead = pool.submit(load, window + 1) if window + 1 < len(rows) else None
            if count:
                yield {name: buffer[head - carried : head + n] for name, buffer in here.items()}, order[:count]
            carried = over[window]

    def weight_sums(self, epoch: int, places: Places) -> NDArray[np.float64] | None:
        """The sum of the weights of each batch; None where all count the same.  Raises DataError."""
        if "w" not in self.stored.kinds:
            return None
        kind, order, sums = self.stored.kinds["w"], self.order, np.zeros(len(places))
        done = 0
        for window in range(order.windows):
            rows = order.blocks_of(epoch)[window * order.span : (window + 1) * order.span]
            sizes = order.sizes(rows)
            weights = np.empty((int(sizes.sum()), *kind.shape), kind.dtype)
            each = zip(rows.tolist(), sizes.tolist(), strict=True)
            self.stored.gather([(block * order.block, size) for block, size in each], {"w": weights})
            mixed = weights.reshape(-1).astype(np.float64)[order.within(epoch, window, len(weights))]
            of = np.searchsorted(places, np.arange(done, done + len(mixed)), side="right") - 1
            sums += np.bincount(of, weights=mixed, minlength=len(places))
            done += len(mixed)
        return sums

    @staticmethod
    def _first_needed(ends: Places, rows: list[int], over: list[int], done: int) -> int:
        """The first window that is read where so many rows of the epoch have been trained on."""
        window = int(np.searchsorted(ends, done, side="right"))
        if window >= len(rows):
            return len(rows)
        carried = over[window - 1] if window else 0
        while carried > 0:  # these rows come from the windows before
            window -= 1
            carried -= rows[window]
        return window

    def _over(self, rows: list[int], batch_size: int) -> list[int]:
        """The rows of each window that are left for the next one."""
        over: list[int] = []
        carried, left = 0, self.samples
        for n in rows:
            left -= n
            carried = (carried + n) % batch_size if left else 0
            if left and carried + left < LEAST:  # a batch more, so that the last part is not a row alone
                carried += batch_size
            over.append(carried)
        return over
