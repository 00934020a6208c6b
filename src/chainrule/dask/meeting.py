"""Workers of a cluster become a group over gloo: they meet, do one thing together, and part.

Who is asked to come may be gone, and its process not be missed yet: until all have met, those who live then are asked
again.  From there on the group is these, and a worker that is lost is told.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import distributed

from chainrule.dask.cluster import LostError, cancel, faults_of, gloo_of_torch, wait, workers_of
from chainrule.errors import GroupError
from chainrule.group.base import Array
from chainrule.group.torch_group import TorchGroup

MEETING = 60.0
"""Seconds within which a group must have met: a worker that has just been started loads much first."""
JOINING = 20.0
"""Seconds that those who are there take to connect with each other, at most."""
_numbers = itertools.count()


@dataclass(frozen=True)
class Met:
    """A group that has met, as the client sees it."""

    name: str
    """By which its workers know it."""
    addresses: tuple[str, ...]
    """Of its workers, by rank."""


@contextlib.contextmanager
def meeting(client: Any, most: int, order: Callable[[Sequence[str]], Sequence[str]], timeout: float) -> Iterator[Met]:
    """A group of at most so many workers of the cluster, for a while.

    order: those to be taken first are to stand first, and have the first ranks.  timeout: seconds after which one that
    sends nothing counts as lost.  Raises GroupError where they cannot meet.
    """
    until = time.monotonic() + max(timeout, MEETING)
    why = ""
    while True:
        name = f"{client.id}-{next(_numbers)}"
        addresses = tuple(order(workers_of(client))[:most])
        try:
            try:
                well = bool(addresses) and _meet(client, name, addresses, timeout, until)
            except (LostError, GroupError) as fault:
                well, why = False, str(fault)
            if well:
                yield Met(name, addresses)
                return
        finally:
            _part(client, name, addresses)
        if time.monotonic() > until:
            raise GroupError(f"The workers of the cluster could not meet. {why or 'They were busy.'}")
        time.sleep(0.1)


def _meet(client: Any, name: str, addresses: Sequence[str], timeout: float, until: float) -> bool:
    """Whether they have met before that; raises LostError, GroupError."""
    # All must have time for it before one waits for another; and what they need is loaded.
    if not _on_each(client, [(_is_there,)] * len(addresses), addresses, until):
        return False
    (opened,) = _submitted(client, [(_open, name)], addresses[:1])
    if not wait(client, [opened], addresses, until=time.monotonic() + JOINING) or faults_of([opened]):
        raise GroupError(f"{addresses[0]} cannot be reached.")
    calls = [(_join, name, rank, len(addresses), opened.result(), timeout) for rank in range(len(addresses))]
    return _on_each(client, calls, addresses, time.monotonic() + 2 * JOINING)


def _on_each(client: Any, calls: Sequence[tuple[Any, ...]], addresses: Sequence[str], until: float) -> bool:
    """Whether each of these workers has done its call before that."""
    ends = _submitted(client, calls, addresses)
    try:
        well = wait(client, ends, addresses, until=until, done=lambda _: bool(faults_of(ends)))
        for fault in faults_of(ends):
            raise fault if isinstance(fault, GroupError) else GroupError(str(fault))
        return well
    finally:
        cancel(client, ends)


def _submitted(client: Any, calls: Sequence[tuple[Any, ...]], addresses: Sequence[str]) -> list[Any]:
    """A task for each of these workers."""
    return [
        client.submit(*call, workers=[address], pure=False, retries=0)
        for call, address in zip(calls, addresses, strict=True)
    ]


def _part(client: Any, name: str, addresses: Sequence[str]) -> None:
    """The group is no more, whatever its workers are doing."""
    with contextlib.suppress(GroupError):
        for _ in range(2):  # a connection to a worker that was started anew may be the old one's, once
            there = [address for address in addresses if address in workers_of(client)]
            if not there:
                return
            # On their event loops: their threads may be waiting for each other.
            ends = client.run(leave, name, workers=there, on_error="return")
            addresses = [address for address, end in ends.items() if isinstance(end, Exception)]


# --- what workers do --------------------------------------------------------------------------------------------------

_places: dict[str, Any] = {}
"""Where groups meet that this process is the first worker of, by their names."""
_groups: dict[str, ClusterGroup] = {}
"""The groups that this process takes part in."""


class ClusterGroup(TorchGroup):
    """One that the client can end, at the next message."""

    ended = False
    """Whether the client waits no longer."""

    def exchange(self, sent: Mapping[int, Array], received: Mapping[int, Array]) -> None:
        """As of every group."""
        if self.ended:
            self.close()
            raise GroupError("The client has given up the fit.")
        super().exchange(sent, received)

    def close(self) -> None:
        """Ends the connections, so that those who wait for this worker wait no longer."""
        self.ended, self._group = True, None


def group_of(name: str) -> ClusterGroup:
    """The group of that name, at one of its workers.  Raises GroupError where it is no more."""
    if name not in _groups:
        raise GroupError("The group has parted: a worker was lost.")
    return _groups[name]


def _is_there() -> None:
    """That this can be called says it."""


def _open(name: str) -> tuple[str, int]:
    """Opens the place where a group meets, on the worker that this runs on; its host and port."""
    host = urlsplit(distributed.get_worker().address).hostname or "127.0.0.1"
    wait_for = timedelta(seconds=JOINING)
    store = gloo_of_torch().TCPStore(host, 0, None, True, timeout=wait_for, wait_for_workers=False)
    _places[name] = store
    return host, store.port


def _join(name: str, rank: int, size: int, place: tuple[str, int], timeout: float) -> None:
    wait_for = timedelta(seconds=JOINING)
    try:
        store = gloo_of_torch().TCPStore(*place, None, False, timeout=wait_for)
        _groups[name] = ClusterGroup(gloo_of_torch().ProcessGroupGloo(store, rank, size, wait_for), timeout)
    except RuntimeError as fault:
        raise GroupError(f"Worker {rank} of {size} has not met the others: {str(fault).splitlines()[0]}") from None


def leave(name: str) -> None:
    """Lets go of the group of that name."""
    group = _groups.pop(name, None)
    if group is not None:
        group.ended = True
    _places.pop(name, None)
