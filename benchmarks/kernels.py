"""How near the compiled engine's building blocks come to what one core can do.

    python benchmarks/kernels.py [--dtype float32] [--quick]

Prints, for each product, the share of the measured ceiling of fused multiply-adds that it reaches, and for each
elementary function the nanoseconds (and the ceiling's cycles) for one vector.  The ceiling is read between the repeats,
the time is the processor's (not the wall clock's), and the median of the ratios is shown: a machine that changes its
clock or has other work moves it little.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.engines.compiled import pack
from chainrule.engines.compiled.kernels.batch_product import batch_product, batch_scratch
from chainrule.engines.compiled.kernels.feature_product import feature_product
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.kernels.tile import Tile, store_tile
from chainrule.engines.llvm import jit, target, vecmath
from chainrule.engines.llvm.emit import Function, Module, Value

SIZES = [
    (32, 784, 256), (128, 784, 256), (256, 1024, 1024), (256, 784, 1024), (32, 30, 200), (32, 200, 27),
    (32, 256, 10), (32, 32, 32), (32, 8, 32), (32, 32, 1),
]  # fmt: skip
FUNCTIONS: dict[str, Callable[[Function, Value], Value]] = {
    "tanh": vecmath.tanh, "sigmoid": vecmath.sigmoid, "exp": vecmath.exp, "expm1": vecmath.expm1, "log": vecmath.log,
    "log1p": vecmath.log1p, "softplus": vecmath.softplus, "erf": vecmath.erf,
    "power 0.5": lambda f, x: vecmath.power(f, x, 0.5), "power 1/3": lambda f, x: vecmath.power(f, x, 1 / 3),
}  # fmt: skip
P, L = ctypes.c_void_p, ctypes.c_int64


def ceiling(layout: PanelLayout) -> Callable[[], float]:
    """Runs chains of multiply-adds that touch no memory; returns multiply-add instructions a second."""
    chains, turns = 12, 100_000
    module = Module(layout.target)
    f = module.function("peak", ["i64", layout.real], layout.real)
    s = f.splat(f.args[1], layout.lanes)
    sums = [f.fadd(s, float(i)) for i in range(chains)]
    out = f.loop(0, f.args[0], lambda i, *a: [f.fma(x, s, s) for x in a], sums)
    total = out[0]
    for x in out[1:]:
        total = f.fadd(total, x)
    f.ret(f.reduce(f.fadd, total))
    scalar = ctypes.c_float if layout.dtype == "float32" else ctypes.c_double
    peak = jit.compile_module(module).function("peak", L, scalar, returns=scalar)

    def read() -> float:
        start = time.thread_time()
        peak(turns, 0.5)
        return turns * chains / (time.thread_time() - start)

    return read


def seconds(call: Callable[[], None], least: float) -> float:
    """Time of one call, repeated until `least` seconds have passed."""
    count = 1
    while True:
        start = time.thread_time()
        for _ in range(count):
            call()
        spent = time.thread_time() - start
        if spent >= least:
            return spent / count
        count = max(count * 2, int(count * least / max(spent, 1e-9) * 1.1))


def products(layout: PanelLayout, k: int, n: int) -> tuple[jit.Code, float]:
    """forward, backward, batch (in-place update) and row, each repeated inside `times` times; seconds to compile."""
    module, real = Module(layout.target), layout.real
    start = time.thread_time()
    for name, backward in (("forward", False), ("backward", True)):
        f = module.function(name, ["ptr", "ptr", "ptr", "i64", "i64"])
        times = f.args[4]

        def once(_: Any, f: Function = f, backward: bool = backward) -> None:
            weight, values, out, m, _ = f.args
            feature_product(
                f, layout, weight=weight, values=values, out=out, k=k, n=n, m=m, backward=backward,
                epilogue=lambda t: store_tile(f, layout, out, t),
            )  # fmt: skip

        f.loop(0, times, once)
        f.ret()
    g = module.function("batch", ["ptr", "ptr", "ptr", "ptr", "i64", "i64"])
    weight, values, slopes, scratch, m, times = g.args
    rate = g.constant(layout.vector, -1e-9)

    def descend(t: Tile) -> None:
        at = g.at(weight, t.offset, type=real)
        for r in range(t.rows):
            for v, x in enumerate(t.acc[r]):
                here = r * layout.panel + v * layout.lanes
                g.store(g.fma(x, rate, g.load(layout.vector, at, here)), at, here)

    g.loop(
        0,
        times,
        lambda _: batch_product(
            g, layout, values=values, slopes=slopes, scratch=scratch, out=weight, k=k, n=n, m=m, epilogue=descend
        ),
    )
    g.ret()
    code = jit.compile_module(module)
    return code, time.thread_time() - start


def measure(layout: PanelLayout, repeats: int, least: float) -> None:
    """Print the table of products."""
    peak = ceiling(layout)
    speed = statistics.median(peak() for _ in range(9)) * layout.lanes * 2 / 1e9
    print(
        f"{layout.target.cpu}, {layout.dtype}: {speed:.0f} GFLOP/s of multiply-adds on one core; share of it reached:"
    )
    print(f"{'m, k, n':>16} {'forward':>9} {'backward':>9} {'batch':>9} {'compile s':>9}")
    for m, k, n in SIZES:
        print(f"{f'{m}, {k}, {n}':>16} {measure_size(layout, peak, m, k, n, repeats, least)}", flush=True)


def measure_size(
    layout: PanelLayout, peak: Callable[[], float], m: int, k: int, n: int, repeats: int, least: float
) -> str:
    """One line of the table."""
    rng = np.random.default_rng(0)
    code, compile_time = products(layout, k, n)
    W = pack.weight_to_panels(layout, rng.standard_normal((k, n)))
    A, D = (pack.batch_to_panels(layout, rng.standard_normal((m, x))) for x in (k, n))
    Z, B = (pack.aligned(layout.batch_size(m, x), layout.dtype) for x in (n, k))
    scratch = pack.aligned(batch_scratch(layout, m), layout.dtype)
    inner = max(1, int(1e8 / (m * k * n)))
    forward, backward = (code.function(name, P, P, P, L, L) for name in ("forward", "backward"))
    batch = code.function("batch", P, P, P, P, L, L)
    w, a, d, zz, b, s = (v.ctypes.data for v in (W, A, D, Z, B, scratch))
    calls: list[Callable[[], None]] = [
        lambda: forward(w, a, zz, m, inner),
        lambda: backward(w, d, b, m, inner),
        lambda: batch(w, a, d, s, m, inner),
    ]
    shares: list[list[float]] = [[], [], []]
    for _ in range(repeats):
        for call, kept in zip(calls, shares, strict=True):
            before = peak()
            spent = seconds(call, least) / inner
            kept.append(m * k * n / layout.lanes / spent / (before + peak()) * 2)
    return " ".join(f"{statistics.median(v):9.1%}" for v in shares) + f" {compile_time:9.3f}"


def functions(layout: PanelLayout, repeats: int, least: float) -> None:
    """Print the table of elementary functions."""
    peak = ceiling(layout)
    count = 256 * layout.lanes
    x = pack.aligned(count, layout.dtype)
    x[:] = abs(np.random.default_rng(0).standard_normal(count)) + 0.1
    y = pack.aligned(count, layout.dtype)
    print(
        f"\n{'function':>16} {'cycles/vector':>14} {'ns/element':>11}   ({layout.lanes} lanes, 2 multiply-adds a cycle)"
    )
    for name, make in FUNCTIONS.items():
        apply = elementwise(layout, make)
        source, to, times = x.ctypes.data, y.ctypes.data, 50
        cycles, nanoseconds = [], []
        for _ in range(repeats):
            call = functools.partial(apply, source, to, count, times)
            spent = seconds(call, least) / times
            cycles.append(spent * peak() / 2 / (count / layout.lanes))
            nanoseconds.append(spent / count * 1e9)
        print(f"{name:>16} {statistics.median(cycles):14.1f} {statistics.median(nanoseconds):11.3f}", flush=True)


def elementwise(layout: PanelLayout, make: Callable[[Function, Value], Value]) -> Any:
    """The function over an array, two vectors a turn, the whole `times` times."""
    module = Module(layout.target)
    f = module.function("apply", ["ptr", "ptr", "i64", "i64"])
    source, to, count, times = f.args

    def body(i: Value) -> None:
        for there in (0, layout.lanes):
            value = f.load(layout.vector, f.at(source, i, type=layout.real), there)
            f.store(make(f, value), f.at(to, i, type=layout.real), there)

    f.loop(0, times, lambda _: f.loop(0, count, body, step=2 * layout.lanes))
    f.ret()
    return jit.compile_module(module).function("apply", P, P, L, L)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--only", choices=["products", "functions"])
    parser.add_argument("--target", default="host", help="host, x86-64-v2 or x86-64-v3")
    choice = parser.parse_args()
    layout = PanelLayout(target.named(choice.target), choice.dtype)
    repeats, least = (5, 0.01) if choice.quick else (15, 0.02)
    if choice.only != "functions":
        measure(layout, repeats, least)
    if choice.only != "products":
        functions(layout, repeats, least)


if __name__ == "__main__":
    main()
