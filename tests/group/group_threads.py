"""A group of workers that are threads of this process: what they do together, without starting processes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from chainrule.group.base import Array, Group


class Threads(Group):
    """One of them; what is sent is copied into a queue."""

    timeout = 10.0

    def __init__(self, rank: int, queues: list[list[queue.Queue[Array]]]) -> None:
        self.rank, self.size, self.queues = rank, len(queues), queues
        self.sent_bytes = self.messages = 0

    def exchange(self, sent: Mapping[int, Array], received: Mapping[int, Array]) -> None:
        for rank, array in sent.items():
            self.sent_bytes += array.nbytes
            self.messages += 1
            self.queues[self.rank][rank].put(array.copy())
        for rank, array in received.items():
            try:
                came = self.queues[rank][self.rank].get(timeout=self.timeout)
            except queue.Empty:
                raise self.lost(f"worker {rank} has sent nothing for {self.timeout:g} seconds") from None
            assert (came.shape, came.dtype) == (array.shape, array.dtype)
            array[...] = came


def together(workers: int, work: Callable[[Threads], Any]) -> list[Any]:
    """What each of so many workers returns, or the exception that it ends with, by rank."""
    queues: list[list[queue.Queue[Array]]] = [[queue.Queue() for _ in range(workers)] for _ in range(workers)]
    ends: list[Any] = [None] * workers

    def one(rank: int) -> None:
        try:
            ends[rank] = work(Threads(rank, queues))
        except Exception as fault:
            ends[rank] = fault

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends
