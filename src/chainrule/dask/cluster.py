"""What is asked of a cluster: who its workers are, and tasks whose end is waited for while those who do them live."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import distributed
from torch import distributed as gloo

from chainrule.errors import GroupError, SpecError

POLL = 0.5
"""Seconds after which the cluster is asked again who is there."""

RESTARTED = 10.0
"""Seconds within which a worker that was lost is there again, if it is to come."""


class LostError(Exception):
    """A worker whose task was waited for is not there any more."""

    def __init__(self, address: str) -> None:
        super().__init__(f"The cluster has lost the worker {address}.")


def client_of(given: Any) -> Any:
    """The client, or the one that is current.  Raises GroupError where there is none or it is closed, SpecError for
    another thing."""
    if given is None:
        try:
            given = distributed.default_client()
        except ValueError:
            raise GroupError("There is no cluster: make a distributed.Client, or give one as client=.") from None
    if not isinstance(given, distributed.Client) or given.asynchronous:
        raise SpecError(f"client must be a distributed.Client that is not asynchronous. Got {given!r} instead.")
    _check_open(given)
    return given


def _check_open(client: Any) -> None:
    """Raises GroupError for a client that is closed."""
    if client.status != "running":
        raise GroupError(f"The client is {client.status}: make a new distributed.Client, or give one as client=.")


def workers_of(client: Any) -> list[str]:
    """The addresses of the workers that the scheduler knows now.  Raises GroupError where it cannot be reached, or the
    client is closed."""
    _check_open(client)
    # Not scheduler_info: what the client keeps for it is overwritten every two seconds, and lacks the workers then.
    try:
        return sorted(client.nthreads())
    except (OSError, RuntimeError, distributed.CancelledError) as fault:
        raise GroupError(f"The scheduler of the cluster cannot be reached: {fault}") from None


def some_worker(client: Any, timeout: float) -> None:
    """Raises GroupError where the cluster has no workers, and none comes within the timeout or ten seconds."""
    until = time.monotonic() + min(timeout, RESTARTED)
    while not workers_of(client):
        if time.monotonic() < until:
            time.sleep(POLL)
            continue
        raise GroupError("The cluster has no workers: start some (client.cluster.scale(2), dask worker ...).")


def wait(
    client: Any,
    ends: Sequence[Any],
    addresses: Collection[str] | None,
    *,
    until: float | None = None,
    done: Callable[[Sequence[Any]], bool] = lambda left: False,
) -> bool:
    """Waits until all tasks have ended, one way or another; whether they have before `until`, by `time.monotonic`.

    addresses: the workers that must be there meanwhile, else LostError; None where any may do the tasks, and GroupError
    follows where there is none for a minute.  done: of the tasks that are left, whether they need not be waited for.
    Raises GroupError where the client is closed meanwhile.
    """
    alone = 0.0
    while left := [end for end in ends if not end.done()]:
        if done(left):
            return True
        if until is not None and time.monotonic() > until:
            return False
        known = workers_of(client)
        for address in addresses or ():
            if address not in known:
                raise LostError(address)
        alone = 0.0 if known else alone or time.monotonic()
        if alone and addresses is None and time.monotonic() > alone + 60:
            raise GroupError("The cluster has lost all its workers.")
        with contextlib.suppress(TimeoutError, distributed.CancelledError), client.as_current():
            distributed.wait(left, timeout=POLL, return_when="FIRST_COMPLETED")
    _check_open(client)
    return True


def cancel(client: Any, ends: Sequence[Any]) -> None:
    """The tasks need not be done any more; a client that is closed has cancelled its own."""
    if client.status == "running":
        client.cancel(ends, force=True)


def faults_of(ends: Sequence[Any]) -> list[BaseException]:
    """What the tasks that have ended raised."""
    return [fault for fault in (end.exception() for end in ends if end.done()) if fault is not None]


def gloo_of_torch() -> Any:
    """torch.distributed"""
    return gloo
