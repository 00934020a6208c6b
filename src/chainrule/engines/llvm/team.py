"""A persistent team of threads that runs one native function together, and the barrier between its steps.

The function is void(ptr args, i64 tid, i64 team).  Threads sleep on a lock between calls; inside a call they meet at
barriers in machine code.  A call borrows an idle crew or makes one, so several Python threads may call at once; a
forked child begins with no crew.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.engines.llvm.emit import Function, Int, Module, Value

NATIVE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
# A few microseconds.  Giving way costs little where no other thread wants the core, and much is won where one does.
SPINS = 150


class _Worker:
    """A daemon thread parked on a lock, for one call at a time.

    An exception of a signal handler may strike between any two steps of the caller.  So each call has a ticket: giving
    the same one twice does nothing, and the end of a call is read from the ticket, the locks only wake the sleeper.
    """

    def __init__(self) -> None:
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._given: tuple[object, Any, int, int, int, list[int]] | None = None
        self._finished: object = None
        threading.Thread(target=self._serve, daemon=True, name="chainrule").start()

    def _serve(self) -> None:
        while True:
            self._go.acquire()
            given = self._given
            if given is None or given[0] is self._finished:
                continue
            ticket, native, args, tid, team, places = given
            step_aside(places)
            native(args, tid, team)
            self._finished = ticket
            with contextlib.suppress(RuntimeError):
                self._done.release()

    def start(self, ticket: object, native: Any, args: int, tid: int, team: int, places: list[int]) -> None:
        self._given = (ticket, native, args, tid, team, places)
        with contextlib.suppress(RuntimeError):
            self._go.release()

    def wait(self, ticket: object, seconds: float = -1) -> bool:
        if self._finished is not ticket:
            self._done.acquire(timeout=seconds)
        return self._finished is ticket


def step_aside(places: list[int]) -> None:
    """Moves this thread to another processor if this one is among `places`; then adds where it is to them.

    The system wakes a thread where it slept last, or where the one is that wakes it: two of a team, or of processes
    that wait for each other, may begin on one processor, the other idle, and stay for tens of milliseconds.  Where it
    may run afterwards is as before.  Linux only; a refusal changes nothing.
    """
    here = _processor()
    if here is None:
        return
    place = here()
    if place in places:
        may = os.sched_getaffinity(0)
        others = may.difference(places)
        if others:
            with contextlib.suppress(OSError):
                try:
                    os.sched_setaffinity(0, others)
                    place = here()
                finally:
                    os.sched_setaffinity(0, may)
    places.append(place)


@functools.cache
def _processor() -> Callable[[], int] | None:
    """The system's function that says which processor this thread runs on; None where there is none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        function: Callable[[], int] = ctypes.PyDLL(None).sched_getcpu
    except (AttributeError, OSError):
        return None
    return function


_idle: list[list[_Worker]] = []
"""Crews that nobody uses.  A list without a lock: to take from it and to add to it is one step for the interpreter
each, and a handler of signals that calls may strike at any time."""
_inside: dict[object, Callable[[], None] | None] = {}
_leaving = False
PATIENCE = 5.0  # seconds that the end of the process waits for native code on daemon threads


def _forget() -> None:
    """In a forked child the threads are gone."""
    _idle.clear()
    _inside.clear()


class inside:  # noqa: N801 - reads as a word of the language
    """While it lasts the process does not end: what native code reads and writes must outlive it.

    stop: asks the code to come back soon.  On a daemon thread of a process that is ending nothing begins any more.
    """

    def __init__(self, stop: Callable[[], None] | None = None) -> None:
        self._stop = stop

    def __enter__(self) -> None:
        if _leaving and threading.current_thread() is not threading.main_thread():
            threading.Event().wait()
        _inside[self] = self._stop

    def __exit__(self, *trouble: object) -> None:
        _inside.pop(self, None)


@atexit.register
def _leave() -> None:
    """Waits for those inside, daemon threads all of them, but not for ever."""
    global _leaving
    _leaving = True
    until = time.monotonic() + PATIENCE
    while _inside and time.monotonic() < until:
        for stop in list(_inside.values()):
            if stop is not None:
                stop()
        time.sleep(0.001)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run(
    address: int,
    args: int,
    team: int = 1,
    on_interrupt: Callable[[], None] | None = None,
    leaves: Sequence[int] = (),
) -> None:
    """Call the native function at `address` as threads 0 .. team-1 at once; return when all have returned.

    With on_interrupt, all run on other threads while the caller waits and stays open to Ctrl-C: then on_interrupt is
    called (to raise a flag that the function reads), the team is waited for, and KeyboardInterrupt goes on.  However
    the call ends, no thread is left inside.  Without it the caller is thread 0; but the main thread lends no hand to a
    larger team, because a signal handler's exception could keep it from a barrier where the others wait.

    leaves: processors that are left to other processes, where there are others.
    """
    with inside(on_interrupt):
        _run(NATIVE(address), args, team, on_interrupt, leaves)


def _run(native: Any, args: int, team: int, on_interrupt: Callable[[], None] | None, leaves: Sequence[int]) -> None:
    if on_interrupt is None and (team == 1 or threading.current_thread() is not threading.main_thread()):
        first = 1
    else:
        first = 0
    if team == first:
        native(args, 0, 1)
        return
    try:
        crew = _idle.pop()
    except IndexError:
        crew = []
    while len(crew) < team - first:
        crew.append(_Worker())
    workers, ticket = crew[: team - first], object()
    places = list(leaves)
    if first:
        step_aside(places)
    trouble: BaseException | None = None
    started = False
    while not started:
        try:
            # Once one thread is in, all must go in: the barriers count on them.
            for tid, worker in enumerate(workers, first):
                worker.start(ticket, native, args, tid, team, places)
            started = True
        except BaseException as error:
            trouble = error
    if first:
        native(args, 0, team)
    for worker in workers:
        finished = False
        while not finished:
            try:
                if trouble is not None and on_interrupt is not None:
                    on_interrupt()
                finished = worker.wait(ticket, 0.1 if trouble is not None else -1)
            except BaseException as error:
                trouble = error
    _idle.append(crew)
    if trouble is not None:
        raise trouble


@functools.cache
def yield_address() -> int:
    """The address of the system's function that gives the processor to another thread."""
    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def barrier(module: Module) -> Function:
    """The function void barrier(ptr state, i64 team, ptr yield): returns when all of the team have called it.

    state: 64 bytes of their own, an i64 that is 0 before the team starts and only counts upwards: the wait is over when
    the count reaches the next multiple of `team`.  Waits by spinning a little, then by giving way (`yield_address`).
    """
    if "barrier" in module.shared:
        return module.shared["barrier"]
    f = module.function("chainrule_barrier", ["ptr", "i64", "ptr"], internal=True)
    module.shared["barrier"] = f
    state, team, give_way = f.args
    old = f.emit("i64", f"atomicrmw add ptr {state.text}, i64 1 acq_rel")
    goal = f.mul(f.add(f.udiv(old, team), 1), team)
    before, spin, wait, done = f.block, f.new_label("spin"), f.new_label("wait"), f.new_label("done")
    again, nap = f.new_label("again"), f.new_label("nap")
    f.branch(spin)
    f.label(spin)
    turns = Value("i64", "%turns")
    f.lines.append(f"  %turns = phi i64 [ 0, %{before} ], [ %more, %{again} ]")
    count = f.emit("i64", f"load atomic i64, ptr {state.text} acquire, align 8")
    f.cbranch(f.icmp("sge", count, goal), done, wait)
    f.label(wait)
    _pause(f)
    f.lines.append("  %more = add i64 %turns, 1")
    f.cbranch(f.icmp("sgt", turns, SPINS), nap, again)
    f.label(nap)
    f.line(f"call i32 {give_way.text}()")
    f.branch(again)
    f.label(again)
    f.branch(spin)
    f.label(done)
    f.ret()
    return f


def meet(f: Function, state: Value, team: Int, give_way: Value) -> None:
    """Emit a barrier; nothing for a team of one known now."""
    if not (isinstance(team, int) and team == 1):
        f.call(barrier(f.module), state, team, give_way)


def _pause(f: Function) -> None:
    """Tell the core that this is a waiting loop."""
    architecture = f.module.target.architecture
    if architecture in ("x86_64", "i686"):
        f.module.declarations["llvm.x86.sse2.pause"] = "declare void @llvm.x86.sse2.pause()"
        f.line("call void @llvm.x86.sse2.pause()")
    elif architecture == "aarch64":
        f.module.declarations["llvm.aarch64.hint"] = "declare void @llvm.aarch64.hint(i32)"
        f.line("call void @llvm.aarch64.hint(i32 1)")
