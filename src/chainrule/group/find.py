"""The group that a user hands over, as it is."""

from __future__ import annotations

from chainrule.errors import SpecError, expected
from chainrule.group.base import TIMEOUT, Group


def as_group(given: object, timeout: float = TIMEOUT) -> Group:
    """A communicator of mpi4py, a process group of torch.distributed, or a `Group` as it is.

    timeout: seconds after which a worker that sends nothing counts as lost.
    Raises SpecError for what is nothing of these, GroupError for a process group that is not gloo's.
    """
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
