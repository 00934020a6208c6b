"""The reference engine against a loop written by hand in NumPy: one epoch of MNIST, 784-256-10, batch 32, float32.

    python benchmarks/reference_engine.py [--folder ../shared/data/mnist] [--samples 32000] [--repeats 5]

Both run the same network on the same data, turn by turn; the medians and their ratio are printed.  Without MNIST's
files in the folder, random data of the same shape are used: the arithmetic does not depend on what the pixels show.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule.data.idx import load_mnist

INPUTS, HIDDEN, OUTPUTS, BATCH, RATE = 784, 256, 10, 32, np.float32(0.1)


def data(folder: Path, samples: int) -> tuple[np.ndarray, np.ndarray, str]:
    """X (m, 784) float32, y (m,) and where they come from."""
    if any(folder.glob("train-images*")):
        mnist = load_mnist(folder)
        X, y = np.asarray(mnist.X[:samples], np.float32), np.asarray(mnist.y[:samples], np.int64)
        return np.ascontiguousarray(X), y, "MNIST"
    rng = np.random.default_rng(0)
    return rng.standard_normal((samples, INPUTS), np.float32), rng.integers(0, OUTPUTS, samples), "random data"


def by_hand(X: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """An epoch as a person who knows NumPy would write it for speed: every array allocated once, written in place."""
    rng = np.random.default_rng(1)
    W1 = rng.standard_normal((INPUTS, HIDDEN), np.float32) * np.float32(INPUTS**-0.5)
    W2 = rng.standard_normal((HIDDEN, OUTPUTS), np.float32) * np.float32(HIDDEN**-0.5)
    b1, b2 = np.zeros(HIDDEN, np.float32), np.zeros(OUTPUTS, np.float32)
    A1, D1, T1 = (np.empty((BATCH, HIDDEN), np.float32) for _ in range(3))
    Z2, D2 = (np.empty((BATCH, OUTPUTS), np.float32) for _ in range(2))
    dW1, dW2, db1, db2 = (np.empty_like(w) for w in (W1, W2, b1, b2))
    rows, ones, rate = np.arange(BATCH), np.ones(BATCH, np.float32), RATE / np.float32(BATCH)

    def step(x: np.ndarray, labels: np.ndarray) -> None:
        np.matmul(x, W1, out=A1)
        np.add(A1, b1, out=A1)
        np.negative(A1, out=A1)
        np.exp(A1, out=A1)
        np.add(A1, 1, out=A1)
        np.reciprocal(A1, out=A1)
        np.matmul(A1, W2, out=Z2)
        np.add(Z2, b2, out=Z2)
        np.subtract(Z2, Z2.max(1, keepdims=True), out=Z2)
        np.exp(Z2, out=D2)
        np.divide(D2, D2.sum(1, keepdims=True), out=D2)
        D2[rows, labels] -= 1
        np.matmul(A1.T, D2, out=dW2)
        np.matmul(ones, D2, out=db2)
        np.matmul(D2, W2.T, out=D1)
        np.subtract(1, A1, out=T1)
        np.multiply(T1, A1, out=T1)
        np.multiply(D1, T1, out=D1)
        np.matmul(x.T, D1, out=dW1)
        np.matmul(ones, D1, out=db1)
        for weight, gradient in ((W1, dW1), (b1, db1), (W2, dW2), (b2, db2)):
            np.multiply(gradient, rate, out=gradient)
            np.subtract(weight, gradient, out=weight)

    def epoch() -> None:
        order = np.random.default_rng(2).permutation(len(X))
        for start in range(0, len(X) - BATCH + 1, BATCH):
            index = order[start : start + BATCH]
            step(X[index], y[index])

    return epoch


def derived(X: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """The same epoch, its program derived and run by the reference engine."""
    layers = [cr.Dense(HIDDEN, "sigmoid"), cr.Dense(OUTPUTS, "softmax")]
    net = cr.Network(INPUTS, layers, "cross_entropy", engine="reference")
    return lambda: net.fit(X, y, epochs=1, batch_size=BATCH, optimizer=cr.SGD(float(RATE)), verbose=False) and None


def seconds(run: Callable[[], None]) -> float:
    """One run by the clock."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("../shared/data/mnist"), help="where MNIST's IDX files are")
    parser.add_argument("--samples", type=int, default=32000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    X, y, source = data(options.folder, options.samples)
    runs = {"by hand": by_hand(X, y), "reference engine": derived(X, y)}
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.repeats):
        for name, run in runs.items():
            times[name].append(seconds(run))
    print(f"one epoch of {len(X):,} samples ({source}), {INPUTS}-{HIDDEN}-{OUTPUTS}, batch {BATCH}, float32")
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:18} {median:8.3f} s   {len(X) / median:12,.0f} samples/s   (from {min(found):.3f} s)")
    ratios = [b / a for a, b in zip(*times.values(), strict=True)]
    print(f"ratio {statistics.median(ratios):.2f}   (at most 4 is wanted)")


if __name__ == "__main__":
    main()
