"""One thing that the workers of a cluster do together, each with partitions of its own; the first has the result."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.dask.cluster import LostError, cancel, faults_of, wait
from chainrule.dask.meeting import ClusterGroup, group_of, meeting
from chainrule.dask.rows import Piece, Pieces
from chainrule.errors import GroupError

Work = Callable[..., Any]
"""Of a group, a worker's own pieces, and what was given beside: at the first worker the result."""
AFTER = 5.0
"""Seconds beyond the time limit of a group that what its workers say is waited for, once one has failed."""

STARTING = 3600.0
"""Seconds that workers wait for each other's rows; the client notices meanwhile who is lost."""


def together(client: Any, held: Pieces, most: int, timeout: float, work: Work, *given: Any) -> Any:
    """What `work` gives at the first of at most so many workers, who form a group.

    Raises GroupError where a worker is lost or they cannot meet, and what `work` raises.
    """
    with meeting(client, min(most, len(held.futures)), held.order, timeout) as met:
        ends = [
            client.submit(_work, met.name, work, own, *given, workers=[address], pure=False, retries=0)
            for address, own in zip(met.addresses, held.of_each(len(met.addresses)), strict=True)
        ]
        try:
            wait(client, ends, met.addresses, done=lambda _: bool(faults_of(ends)))
            if faults_of(ends):  # those who wait for it will say so; what it was itself says more
                wait(client, ends, met.addresses, until=time.monotonic() + timeout + AFTER)
                faults = faults_of(ends)
                raise next((fault for fault in faults if not isinstance(fault, GroupError)), faults[0])
            result, noticed = ends[0].result()
        except LostError as fault:
            raise GroupError(f"{fault} Fit again, with those that are left.") from None
        finally:
            cancel(client, ends)
    for kind, message in noticed:
        warnings.warn(message, kind, stacklevel=4)
    return result


def _work(name: str, work: Work, own: Sequence[Piece], *given: Any) -> tuple[Any, list[tuple[type[Warning], str]]]:
    """A worker's part, and what it was warned of, which is for the user."""
    group: ClusterGroup = group_of(name)
    try:
        usual, group.timeout = group.timeout, STARTING
        group.barrier()  # all have their rows: they were fetched before this was called
        group.timeout = usual
        with warnings.catch_warnings(record=True) as noticed:
            warnings.simplefilter("always", UserWarning)
            result = work(group, own, *given)
    except BaseException:
        group.close()
        raise
    told: list[tuple[type[Warning], str]] = [
        (one.category, str(one.message)) for one in noticed if issubclass(one.category, UserWarning)
    ]
    return (result, told) if group.rank == 0 else (None, [])
