"""What a step costs where tokens are looked up in tables of 10⁴, 10⁵ and 10⁶ rows: that of its rows, not the table's.

    python benchmarks/embeddings.py [--rows 10000 100000 1000000] [--batch 256] [--steps 4000]

Prints microseconds a step of Embedding(rows, 16, sparse=True) over two tokens, then Dense 32-1, in float32 on one
thread, with SGD and with (lazy) Adam; the time of an epoch of many steps less that of a short one, so that what is done
once an epoch does not count, and the median of several.  `dense` is the same network without sparse=True.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

import chainrule as cr


def microseconds(
    rows: int, optimizer: cr.Optimizer, batch: int, steps: int, *, sparse: bool
) -> tuple[float, float, float]:
    """(a step, what an epoch takes beside its steps, a fit of ten steps), in microseconds."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, rows, (steps * batch, 2))
    y = rng.normal(size=(steps * batch, 1)).astype(np.float32)
    layers = [cr.Embedding(rows, 16, sparse=sparse), cr.Dense(32, "relu"), cr.Dense(1)]
    net = cr.Network(2, layers, "squared_error", seed=0, engine="compiled")
    few = max(1, steps // 10) * batch

    def fit(samples: int) -> float:
        begin = time.perf_counter()
        net.fit(X[:samples], y[:samples], epochs=1, batch_size=batch, optimizer=optimizer, threads=1, verbose=False)
        return time.perf_counter() - begin

    fit(few), fit(len(X))
    pairs = [(fit(few), fit(len(X))) for _ in range(5)]
    step = statistics.median((long - short) / (steps - few // batch) for short, long in pairs)
    rest = statistics.median(short - step * (few // batch) for short, _ in pairs)
    short = statistics.median(fit(10 * batch) for _ in range(5))
    return 1e6 * step, 1e6 * rest, 1e6 * short


def main() -> None:
    """Prints a line for each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4000)
    options = parser.parse_args()
    beside = f"{'a fit beside its steps':>22}   {'of ten steps':>12}"
    print(f"{'rows':>9}  {'optimizer':9}  {'sparse':>10}  {'dense':>10}   {beside}")
    for rows in options.rows:
        for optimizer in (cr.SGD(0.01), cr.Adam(0.001)):
            step, rest, short = microseconds(rows, optimizer, options.batch, options.steps, sparse=True)
            few = max(10, min(options.steps, 20_000_000 // rows))
            dense, _, _ = microseconds(rows, optimizer, options.batch, few, sparse=False)
            name = type(optimizer).__name__
            times = f"{step:7.1f} µs  {dense:7.1f} µs   {rest / 1000:19.1f} ms   {short / 1000:9.1f} ms"
            print(f"{rows:9,}  {name:9}  {times}", flush=True)


if __name__ == "__main__":
    main()
