"""The ceiling: how many multiply-adds one core can do when they wait for nothing."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

from chainrule.engines.llvm import jit, target
from chainrule.engines.llvm.emit import Module

TURNS = 200_000


def ceiling() -> Callable[[], float]:
    """Compiles chains of float32 multiply-adds on registers; a call runs them and returns GFLOP/s (an addition and a
    multiplication each) by the processor's time.

    x ← x s + s in 12 independent vectors: more than latency times units of any processor so far (4 cycles, two units).
    """
    layout = target.RealType(target.host(), "float32")
    chains = 12 if layout.target.registers > 12 else 6
    module = Module(layout.target)
    f = module.function("peak", ["i64", layout.real], layout.real)
    s = f.splat(f.args[1], layout.lanes)
    sums = [f.fadd(s, float(number)) for number in range(chains)]
    partial = f.loop(0, f.args[0], lambda _, *now: [f.fma(x, s, s) for x in now], sums)
    total = partial[0]
    for x in partial[1:]:
        total = f.fadd(total, x)
    f.ret(f.reduce(f.fadd, total))
    peak = jit.compile_module(module).function("peak", ctypes.c_int64, ctypes.c_float, returns=ctypes.c_float)
    operations = TURNS * chains * layout.lanes * 2

    def read() -> float:
        start = time.thread_time()
        peak(TURNS, 0.5)
        return operations / (time.thread_time() - start) / 1e9

    return read
