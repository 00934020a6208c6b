"""The ceilings: how many multiply-adds one core can do when they wait for nothing; of bfloat16 numbers as well."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

from chainrule.engines.compiled.kernels.inner import Dots, TileProducts, dot, kernel_for
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.llvm import jit, target, tiles
from chainrule.engines.llvm.emit import Function, Module, Value

TURNS = 200_000


def ceiling() -> Callable[[], float]:
    """Compiles chains of float32 multiply-adds on registers; a call runs them and returns GFLOP/s (an addition and a
    multiplication each) by the processor's time.

    x ← x s + s in 12 independent vectors: more than latency times units of any processor so far (4 cycles, two units).
    """
    return _reading(target.RealType(target.host(), "float32"), lambda f, s, x: f.fma(x, s, s), 1)


def narrow_ceiling() -> Callable[[], float]:
    """The same of bfloat16 products added up in float32, by the processor's instruction for pairs of them or by its
    matrix tiles; 0 where it has neither."""
    layout = PanelLayout(target.host(), "float32")
    kernel = kernel_for(layout, 1, rows=2 * tiles.ROWS)
    if isinstance(kernel, TileProducts) and tiles.permitted():
        return _reading_tiles(layout)
    kernel = kernel_for(layout, 1)
    if not (isinstance(kernel, Dots) and kernel.dots):
        return lambda: 0.0

    def step(f: Function, s: Value, x: Value) -> Value:
        words = f.convert("bitcast", s, "i32")
        return dot(f, x, words, words)

    return _reading(layout, step, 2)


def _reading(
    layout: target.RealType, step: Callable[[Function, Value, Value], Value], products: int
) -> Callable[[], float]:
    """x ← step(s, x) in independent vectors, so many multiply-adds in a lane each."""
    chains = 12 * products if layout.target.registers > 12 else 6
    module = Module(layout.target)
    f = module.function("peak", ["i64", layout.real], layout.real)
    s = f.splat(f.args[1], layout.lanes)
    sums = [f.fadd(s, float(number)) for number in range(chains)]
    partial = f.loop(0, f.args[0], lambda _, *now: [step(f, s, x) for x in now], sums)
    total = partial[0]
    for x in partial[1:]:
        total = f.fadd(total, x)
    f.ret(f.reduce(f.fadd, total))
    peak = jit.compile_module(module).function("peak", ctypes.c_int64, ctypes.c_float, returns=ctypes.c_float)
    operations = TURNS * chains * layout.lanes * 2 * products

    def read() -> float:
        start = time.thread_time()
        peak(TURNS, 0.5)
        return operations / (time.thread_time() - start) / 1e9

    return read


def _reading_tiles(layout: PanelLayout) -> Callable[[], float]:
    """Products of tiles that are there already, four sums in turn."""
    module = Module(layout.target)
    f = module.function("peak", ["i64"])
    unit = tiles.Tiles(f)
    unit.configure([tiles.ROWS] * tiles.TILES)

    def turn(_: object) -> None:
        for c in range(4):
            unit.multiply(c, 4 + c // 2, 6 + c % 2)

    f.loop(0, f.args[0], turn)
    unit.release()
    f.ret()
    peak = jit.compile_module(module).function("peak", ctypes.c_int64)
    operations = TURNS * 4 * tiles.ROWS * tiles.WORDS * 2 * 2 * tiles.WORDS

    def read() -> float:
        start = time.thread_time()
        peak(TURNS)
        return operations / (time.thread_time() - start) / 1e9

    return read
