"""The team of threads: everyone takes part, barriers hold, forks and several callers are safe, Ctrl-C gets through."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.llvm import jit, target, team
from chainrule.engines.llvm.emit import Module, Value


@functools.cache
def relay() -> jit.Code:
    """args: barrier line, yield, rounds, flag, slots: each round every slot becomes its neighbour's value plus one."""
    module = Module(target.host())
    f = module.function("relay", ["ptr", "i64", "i64"])
    args, tid, size = f.args
    give_way = f.load("ptr", f.at(args, 8, type="i64"))
    rounds = f.load("i64", f.at(args, 9, type="i64"))
    slots = f.at(args, 16, type="i64")
    mine = f.at(slots, tid, type="i64")
    neighbour = f.at(slots, f.urem(f.add(tid, 1), size), type="i64")

    def turn(_: Value) -> None:
        seen = f.load("i64", neighbour)
        team.meet(f, args, size, give_way)
        f.store(f.add(seen, 1), mine)
        team.meet(f, args, size, give_way)

    f.loop(0, rounds, turn)
    f.ret()
    g = module.function("until", ["ptr", "i64", "i64"])
    head, done = g.new_label("head"), g.new_label("out")
    g.branch(head)
    g.label(head)
    flag = g.emit("i64", f"load atomic i64, ptr {g.at(g.args[0], 10, type='i64').text} monotonic, align 8")
    g.cbranch(g.icmp("eq", flag, 0), head, done)
    g.label(done)
    g.ret()
    return jit.compile_module(module)


def play(size: int, rounds: int) -> list[int]:
    room = np.zeros(16 + size, np.int64)
    room[8], room[9] = team.yield_address(), rounds
    team.run(relay().address("relay"), room.ctypes.data, size)
    return [int(x) for x in room[16:]]


@pytest.mark.parametrize(
    "size", [1, 2, pytest.param(3, marks=pytest.mark.long), pytest.param(5, marks=pytest.mark.long)]
)
def test_barriers_keep_step(size: int) -> None:
    for _ in range(20):
        assert play(size, 50) == [50] * size


def test_more_threads_than_cores_get_through() -> None:
    assert play(4 * (os.cpu_count() or 1), 100) == [100] * (4 * (os.cpu_count() or 1))


def test_several_callers_at_once() -> None:
    results: list[list[int]] = []
    callers = [threading.Thread(target=lambda: results.append(play(2, 300))) for _ in range(4)]
    for c in callers:
        c.start()
    for c in callers:
        c.join(60)
    assert results == [[300, 300]] * 4


def _child(queue: multiprocessing.SimpleQueue[list[int]]) -> None:
    queue.put(play(3, 40))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_child_has_its_own_team() -> None:
    assert play(3, 10) == [10] * 3
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_child, args=(queue,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child only runs a team of its own
        child.start()
    assert queue.get() == [40] * 3
    child.join(30)
    assert child.exitcode == 0
    assert play(3, 10) == [10] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_child_predicts_while_the_parents_threads_do() -> None:
    net = cr.Network(200, [cr.Dense(200, "relu"), cr.Dense(3)], "squared_error", engine="compiled")
    X = np.ones((1, 200), np.float32)
    truth, over = net.predict(X), threading.Event()

    def hammer() -> None:
        while not over.is_set():
            net.predict(X)

    thread = threading.Thread(target=hammer)
    thread.start()
    context = multiprocessing.get_context("fork")
    try:
        for _ in range(5):
            child = context.Process(target=lambda: os._exit(int(net.predict(X).tobytes() != truth.tobytes())))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tried here
                child.start()
            child.join(20)
            if child.exitcode is None:
                child.kill()
            assert child.exitcode == 0
    finally:
        over.set()
        thread.join()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("size", [1, 3])
def test_interrupt_stops_the_team(size: int) -> None:
    room = np.zeros(32, np.int64)

    def stop() -> None:
        room[10] = 1

    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        team.run(relay().address("until"), room.ctypes.data, size, on_interrupt=stop)
    timer.join()
    assert time.monotonic() - began < 30
    assert play(size, 5) == [5] * size


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not say where threads run")
def test_two_of_a_team_do_not_begin_on_one_processor() -> None:
    may = os.sched_getaffinity(0)
    if len(may) < 2:
        pytest.skip("one processor")
    found: list[tuple[list[int], set[int]]] = []

    def begin(here: int) -> None:
        os.sched_setaffinity(0, {here})
        places: list[int] = []
        team.step_aside(places)  # the first, who stays
        os.sched_setaffinity(0, may)
        team.step_aside(places)
        found.append((places, os.sched_getaffinity(0)))

    for here in sorted(may)[:2]:
        thread = threading.Thread(target=begin, args=(here,))
        thread.start()
        thread.join(60)
        places, allowed = found[-1]
        assert places[0] == here and len(set(places)) == 2 and allowed == may
    assert os.sched_getaffinity(0) == may
