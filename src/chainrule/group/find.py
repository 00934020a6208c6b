"""The group that a user hands over, as it is."""

from __future__ import annotations

from chainrule.errors import SpecError, expected
from chainrule.group.base import TIMEOUT, Group


def as_group(given: object, timeout: float = TIMEOUT, *, own_rows: bool = False) -> Group:
    """A communicator of mpi4py, a process group of torch.distributed, or a `Group` as it is.

    timeout: seconds after which a worker that sends nothing counts as lost.  own_rows: whether each worker is given
    rows of its own, those of the others following on them in the order of the ranks, and not all of them.
    Raises SpecError for what is nothing of these, GroupError for a process group that is not gloo's.
    """
    group = _group(given, timeout)
    group.own_rows = own_rows or group.own_rows
    return group


def _group(given: object, timeout: float) -> Group:
    if isinstance(given, Group):
        return given
    kinds = {kind.__module__.partition(".")[0] for kind in type(given).__mro__}
    if "mpi4py" in kinds and hasattr(given, "Get_rank"):
        from chainrule.group.mpi import MPIGroup

        return MPIGroup(given, timeout)
    if "torch" in kinds and hasattr(given, "rank"):
        from chainrule.group.torch_group import TorchGroup

        return TorchGroup(given, timeout)
    allowed = (
        "a communicator of mpi4py (MPI.COMM_WORLD), or a process group of torch.distributed "
        "(torch.distributed.group.WORLD after init_process_group('gloo'))"
    )
    raise SpecError(expected("group", allowed, given))
