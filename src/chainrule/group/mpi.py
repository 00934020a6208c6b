"""A communicator of mpi4py: started by mpiexec or by a cluster's scheduler."""

from __future__ import annotations

import atexit
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import GroupError
from chainrule.group.base import TIMEOUT, Array, Group

BUSY, PATIENT = 0.002, 0.0005
"""Seconds for which a wait asks again at once, and between two questions after that."""
LONG, RARELY = 0.2, 0.01
"""Seconds after which a wait is a long one, and between two questions then."""
SAYING = 1.0
"""Seconds that the others have to say that they have lost one as well."""
_TAG = 7
_LONGEST = 2**30
"""Bytes of a message, whose length MPI counts in 31 bits."""


class MPIGroup(Group):
    """The workers of a communicator; errors of MPI are raised, not the end of the process."""

    def __init__(self, communicator: Any, timeout: float = TIMEOUT) -> None:
        from mpi4py import MPI

        self._MPI = MPI
        self._communicator = communicator.Dup()  # messages of others on the same one are not mistaken for ours
        self._communicator.Set_errhandler(MPI.ERRORS_RETURN)
        self.rank, self.size = self._communicator.Get_rank(), self._communicator.Get_size()
        self.timeout = timeout
        self._lost = False

    def exchange(self, sent: Mapping[int, Array], received: Mapping[int, Array]) -> None:
        """By messages between two."""
        if not sent and not received:
            return
        MPI, waiting = self._MPI, []
        ends: list[Any] = []
        try:
            for rank, array in received.items():
                waiting += [self._communicator.Irecv([part, MPI.BYTE], rank, _TAG) for part in _parts(array)]
            for rank, array in sent.items():
                waiting += [self._communicator.Isend([part, MPI.BYTE], rank, _TAG) for part in _parts(array)]
            began = time.monotonic()
            while not MPI.Request.Testall(waiting, ends):
                passed = time.monotonic() - began
                if passed > self.timeout:
                    raise self.lost(f"one of the others has sent nothing for {self.timeout:g} seconds")
                if passed > BUSY:
                    time.sleep(PATIENT if passed < LONG else RARELY)
        except MPI.Exception as fault:
            raise self.lost(f"MPI says {self._said(fault, ends)}") from None

    def _said(self, fault: Any, ends: list[Any]) -> str:
        """In a line; where a fault only says that one of several messages has one, of that one."""
        MPI, code = self._MPI, fault.Get_error_code()
        if fault.Get_error_class() == MPI.ERR_IN_STATUS:
            codes = (end.Get_error() for end in ends)
            code = next((c for c in codes if MPI.Get_error_class(c) not in (MPI.SUCCESS, MPI.ERR_PENDING)), code)
        return " ".join(str(MPI.Get_error_string(code)).split())

    def lost(self, why: str) -> GroupError:
        """The error that a worker was lost.

        MPI's own end of a process waits for all the others, and would wait for ever: whoever has lost one ends them all
        when it ends itself.
        """
        if not self._lost:
            atexit.register(self._end_all)
        self._lost = True
        return super().lost(why)

    def _end_all(self) -> None:
        """Also those who would wait for ever; the others have had the time to say what they know."""
        time.sleep(SAYING)
        self._communicator.Abort(1)


def _parts(array: Array) -> list[Array]:
    """The array's own memory, in pieces of a message each."""
    assert array.flags.c_contiguous
    whole = array.reshape(-1).view(np.uint8)
    return [whole[k : k + _LONGEST] for k in range(0, max(len(whole), 1), _LONGEST)]
