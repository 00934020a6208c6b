"""A process group of torch.distributed (gloo): started by torchrun, Ray Train, Spark's TorchDistributor, or by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np

from chainrule.errors import GroupError
from chainrule.group.base import TIMEOUT, Array, Group

_TAG = 7


class TorchGroup(Group):
    """The workers of a process group whose arrays are on the processor.  Raises GroupError for one of another kind."""

    def __init__(self, process_group: Any, timeout: float = TIMEOUT) -> None:
        import torch

        self._torch, self._group = torch, process_group
        backend = str(process_group.name())
        if backend not in ("gloo", "custom", "undefined"):
            raise GroupError(
                f"The process group has the backend {backend}, and the arrays to be sent are on the processor: make it "
                "with torch.distributed.init_process_group('gloo')."
            )
        self.rank, self.size = process_group.rank(), process_group.size()
        if self.rank < 0:
            raise GroupError("This process is not one of the process group's.")
        self.timeout = timeout

    def exchange(self, sent: Mapping[int, Array], received: Mapping[int, Array]) -> None:
        """By messages without a collective's order of sums."""
        if not sent and not received:
            return
        works: list[tuple[int, Any]] = []
        rank = -1
        try:
            for rank, array in received.items():
                works.append((rank, self._group.recv([self._bytes(array)], rank, _TAG)))
            for rank, array in sent.items():
                works.append((rank, self._group.send([self._bytes(array)], rank, _TAG)))
            for rank, work in works:  # noqa: B007 - the fault is of the one that is waited for
                work.wait(timedelta(seconds=self.timeout))
        except RuntimeError as fault:
            raise self.lost(_said(fault, rank, self.timeout)) from None

    def _bytes(self, array: Array) -> Any:
        """The array's own memory; of one that cannot be written, which PyTorch does not take, that of a copy."""
        assert array.flags.c_contiguous
        array = array if array.flags.writeable else array.copy()
        return self._torch.from_numpy(array.reshape(-1).view(np.uint8))


def _said(fault: RuntimeError, rank: int, timeout: float) -> str:
    """What gloo says, in a line."""
    text = str(fault)
    if "Timed out" in text or "timeout" in text.lower():
        return f"worker {rank} has sent nothing for {timeout:g} seconds"
    return f"the connection to worker {rank} has ended"
