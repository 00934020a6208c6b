"""A process group of torch.distributed (gloo): started by torchrun, Ray Train, Spark's TorchDistributor, or by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np

from chainrule.errors import GroupError
from chainrule.group.base import TIMEOUT, Array, Group


class TorchGroup(Group):
    """The workers of a process group whose arrays are on the processor.  Raises GroupError for one of another kind."""

    def __init__(self, process_group: Any, timeout: float = TIMEOUT) -> None:
        import torch
        from torch import distributed

        self._torch, self._distributed, self._group = torch, distributed, process_group
        backend = str(distributed.get_backend(process_group))
        if "gloo" not in backend:
            raise GroupError(
                f"The process group has the backend {backend}, and the arrays to be sent are on the processor: make it "
                "with torch.distributed.init_process_group('gloo')."
            )
        self.rank, self.size = distributed.get_rank(process_group), distributed.get_world_size(process_group)
        if self.rank < 0:
            raise GroupError("This process is not one of the process group's.")
        self.timeout = timeout
        self._ranks = distributed.get_process_group_ranks(process_group)

    def exchange(self, sent: Mapping[int, Array], received: Mapping[int, Array]) -> None:
        """By messages without a collective's order of sums."""
        if not sent and not received:
            return
        works: list[tuple[int, Any]] = []
        rank = -1
        try:
            for rank, array in received.items():
                works.append((rank, self._distributed.irecv(self._bytes(array), self._ranks[rank], self._group)))
            for rank, array in sent.items():
                works.append((rank, self._distributed.isend(self._bytes(array), self._ranks[rank], self._group)))
            for rank, work in works:  # noqa: B007 - the fault is of the one that is waited for
                work.wait(timedelta(seconds=self.timeout))
        except RuntimeError as fault:
            raise self.lost(_said(fault, rank, self.timeout)) from None

    def _bytes(self, array: Array) -> Any:
        """The array's own memory."""
        assert array.flags.c_contiguous
        return self._torch.from_numpy(array.reshape(-1).view(np.uint8))


def _said(fault: RuntimeError, rank: int, timeout: float) -> str:
    """What gloo says, in a line."""
    text = str(fault)
    if "Timed out" in text or "timeout" in text.lower():
        return f"worker {rank} has sent nothing for {timeout:g} seconds"
    return f"the connection to worker {rank} has ended"
