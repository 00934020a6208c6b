"""A fit with everything that must be remembered, as a function and as a process of its own that can be killed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr

SAMPLES = 500


def data() -> tuple[np.ndarray, np.ndarray]:
    """X (m, 12) and labels."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(SAMPLES, 12)).astype(np.float32), rng.integers(0, 3, SAMPLES)


def network(engine: str = "compiled") -> cr.Network:
    """With statistics and random masks."""
    layers = [cr.Dense(16), cr.BatchNorm("relu"), cr.Dropout(0.2), cr.Dense(3, "softmax")]
    return cr.Network(12, layers, "cross_entropy", engine=engine, seed=3)


def fit(net: cr.Network, callbacks: Iterable[cr.Callback] = (), *, epochs: int = 6, **options: Any) -> str:
    """Fits it; the digest of all its numbers and costs."""
    X, y = data()
    history = net.fit(
        X,
        y,
        epochs=epochs,
        batch_size=32,
        optimizer=cr.Adam(cr.OnPlateau(0.02, patience=1)),
        validation_data=(X[:50], y[:50]),
        callbacks=[cr.EarlyStopping(5), cr.LearningRateLog(), *callbacks],
        verbose=False,
        **options,
    )
    return digest(net, history)


def digest(net: cr.Network, history: cr.History) -> str:
    """Of parameters, statistics and costs, to the bit."""
    found = hashlib.sha256()
    for name, array in (net.parameters | net.state).items():
        found.update(name.encode() + array.tobytes())
    columns = ("cost", "validation_cost", "learning_rate")
    found.update(repr([[getattr(record, c) for c in columns] for record in history]).encode())
    return found.hexdigest()


class Slow(cr.Callback):
    """Takes its time, so that a process can be killed at any place."""

    every = 3
    writes = False

    def on_batches_end(self, fit: cr.FitState) -> None:
        """A few milliseconds."""
        import time

        time.sleep(0.004)


if __name__ == "__main__":
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    print(fit(network(), [Slow()], epochs=40, checkpoint=folder, every="0.02s", resume=True, threads=threads))
