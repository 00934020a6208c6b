"""The group that a process was started in: by mpiexec, or by torchrun and those who set what it sets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta

from chainrule.errors import GroupError, MissingDependencyError, shorten
from chainrule.group.base import TIMEOUT, Group

MPI_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS")
"""What MPI's launchers say of how many processes there are."""


def started_by() -> str | None:
    """What has started this process as one of several: "mpiexec", "torchrun", or None."""
    if any(_number(name) > 1 for name in MPI_SIZES):
        return "mpiexec"
    return "torchrun" if "RANK" in os.environ and "MASTER_ADDR" in os.environ and _number("WORLD_SIZE") > 1 else None


@contextlib.contextmanager
def joined(timeout: float = TIMEOUT) -> Iterator[Group | None]:
    """The group that this process is one of; None for a process by itself.

    Raises MissingDependencyError without mpi4py or PyTorch, GroupError where the others cannot be met.
    """
    by = started_by()
    if by is None:
        yield None
    elif by == "mpiexec":
        try:
            from mpi4py import MPI
        except ImportError:
            raise MissingDependencyError(_missing(by, "mpi4py", "mpi")) from None
        from chainrule.group.mpi import MPIGroup

        yield MPIGroup(MPI.COMM_WORLD, timeout)
    else:
        try:
            from torch import distributed
        except ImportError:
            raise MissingDependencyError(_missing(by, "PyTorch", "torch")) from None
        from chainrule.group.torch_group import TorchGroup

        try:
            distributed.init_process_group("gloo", timeout=timedelta(seconds=timeout))
        except (RuntimeError, ValueError) as fault:
            place = f"{os.environ['MASTER_ADDR']}:{os.environ.get('MASTER_PORT', '')}"
            first = str(fault).splitlines()[0]
            raise GroupError(shorten(f"The other workers cannot be met at {place}: {first}")) from None
        try:
            yield TorchGroup(distributed.group.WORLD, timeout)
        finally:
            distributed.destroy_process_group()


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else 0


def _missing(by: str, package: str, extra: str) -> str:
    what = f"This process is one of several that {by} has started, and {package} is not installed"
    return f"{what}: pip install 'chainrule[{extra}]'"
