"""Workers who each do something of their own for as long as it takes: who is through waits for the others.

A worker that sends nothing within the group's timeout counts as lost, and one that trains by itself sends nothing.  So
while it works a thread of it tells the others, several times within that, that it is alive; where one fails, is
interrupted or lost, those who are still at work learn of it at the next pause of their fit.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from chainrule.errors import ChainruleError, GroupError
from chainrule.group.base import Group
from chainrule.train.callbacks import Callback
from chainrule.train.history import EpochRecord
from chainrule.train.progress import Pace
from chainrule.train.signals import Terminated
from chainrule.train.state import FitState

T = TypeVar("T")
OFTEN = 6
"""How often within the timeout a worker says that it is alive."""
_BUSY, _THROUGH, _STOPPED, _FAILED = range(4)


class _ElsewhereError(GroupError):
    """Another worker has failed, who says why."""


class Pulse(Callback):
    """What a worker tells the others while it works, and hears from them; as a callback it ends a fit for them."""

    looks = writes = False

    def __init__(self, workers: Group) -> None:
        self.lost: GroupError | None = None
        """Who of the others is gone."""
        self.stopping = False
        """Whether one was interrupted, and all are to end with what they have."""
        self.failed = False
        """Whether one has failed, and there is nothing to be had."""
        self._workers, self._state, self._over = workers, _BUSY, threading.Event()
        self._pace = Pace()
        self._thread = threading.Thread(target=self._beat, name="chainrule alive", daemon=True)
        self._thread.start()

    def stop_all(self) -> None:
        """This worker was interrupted: the others end their fits, and keep what they have."""
        self.stopping = True

    def through(self, *, failed: bool = False) -> None:
        """This worker's work is over; waits for that of the others."""
        self._state = _FAILED if failed else _STOPPED if self.stopping else _THROUGH
        self._over.set()
        while self._thread.is_alive():
            self._thread.join(0.2)

    def _beat(self) -> None:
        workers = self._workers
        try:
            while True:
                self._over.wait(workers.timeout / OFTEN)
                told = {int(state[0]) for state in workers.gather(np.array([self._state], np.uint8))}
                self.stopping, self.failed = self.stopping or _STOPPED in told, self.failed or _FAILED in told
                if _BUSY not in told:
                    return
        except GroupError as fault:
            self.lost = fault

    # --- within a fit ----------------------------------------------------------------------------------------------

    def next_stop(self, step: int) -> int | None:
        """A look at the others about every half second."""
        return step + self._pace.steps

    def on_batches_end(self, fit: FitState) -> None:
        self._pace.stopped()
        self._listen(fit)

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        self._listen(fit)

    def _listen(self, fit: FitState) -> None:
        if self.lost is not None:
            raise self.lost
        if self.failed:
            raise _ElsewhereError("Another worker has failed.")
        if self.stopping:
            fit.request_stop("another worker was interrupted")


@contextlib.contextmanager
def alive(workers: Group | None, ended: list[BaseException] | None = None) -> Iterator[Pulse | None]:
    """What every worker does at its own pace; where one has a fault, all of them raise.

    ended: gets an interrupt that comes while this worker waits for the others, which then end; None: it is raised.
    Raises GroupError where another worker has a fault, is interrupted or lost.
    """
    if workers is None:
        yield None
        return
    fault: BaseException | None = None
    pulse = Pulse(workers)
    try:
        yield pulse
    except BaseException as error:
        fault = error
    try:
        pulse.through(failed=fault is not None)
    except (KeyboardInterrupt, Terminated) as interrupt:
        pulse.stop_all()
        fault = fault or (interrupt if ended is None else None)
        pulse.through(failed=fault is not None)
        if fault is None and ended is not None:
            ended.append(interrupt)
    if pulse.lost is not None:
        raise pulse.lost if fault is None else fault
    own = None if fault is None or isinstance(fault, _ElsewhereError) else fault
    told = workers.gather_values((fault is not None, None if own is None else _said(own)))
    if own is not None:
        raise own
    for rank, (failed, text) in enumerate(told):
        if failed and text is not None:
            raise GroupError(f"Worker {rank} of {workers.size} cannot go on: {text}")
    if fault is not None:
        raise fault


def side_by_side(workers: Group, work: Callable[[Pulse], T], ended: list[BaseException] | None = None) -> list[T]:
    """What each worker's own work gives, by rank; ended, and what is raised: as of `alive`."""
    with alive(workers, ended) as pulse:
        assert pulse is not None
        value = work(pulse)
    return workers.gather_values(value)


def _said(fault: BaseException) -> str:
    if isinstance(fault, KeyboardInterrupt | Terminated):
        return "it was interrupted."
    return str(fault) if isinstance(fault, ChainruleError | ValueError) else f"{type(fault).__name__}: {fault}"
