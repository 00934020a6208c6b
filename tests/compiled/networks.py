"""A dozen networks that between them use every part of the compiled engine, with data to fit them to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import chainrule as cr


@dataclass(frozen=True)
class Fitting:
    """A network and how it is fitted.  targets: values | labels | binary.  zeros: the share of the data that is 0."""

    name: str
    inputs: int
    layers: Callable[[], list[Any]]
    loss: Any
    targets: str
    samples: int
    batch_size: int
    optimizer: cr.Optimizer = field(default_factory=lambda: cr.Adam(0.01))
    dtype: str = "float32"
    weighted: bool = False
    zeros: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def network(self, engine: str = "compiled") -> cr.Network:
        """The network as it is made."""
        options: dict[str, Any] = {**self.options, "dtype": self.dtype, "engine": engine}
        return cr.Network(self.inputs, self.layers(), self.loss, seed=5, **options)

    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """X, y and the weights, or None."""
        rng = np.random.default_rng(8)
        layers, m = self.layers(), self.samples
        n = next(layer.units for layer in reversed(layers) if isinstance(layer, cr.Dense))
        first = layers[0]
        X = (
            rng.integers(0, first.vocabulary, (m, self.inputs))
            if isinstance(first, cr.Embedding)
            else rng.normal(size=(m, self.inputs)).astype(self.dtype)
        )
        if self.zeros:
            X *= rng.random(X.shape) >= self.zeros
        y = {
            "values": lambda: rng.normal(size=(m, n)).astype(self.dtype),
            "labels": lambda: rng.integers(0, n, m),
            "binary": lambda: rng.integers(0, 2, (m, n)).astype(self.dtype),
        }[self.targets]()
        return X, y, rng.uniform(0.1, 2, m).astype(self.dtype) if self.weighted else None

    def fit(self, net: cr.Network, *, epochs: int = 2, threads: int | None = None) -> dict[str, np.ndarray]:
        """Fits it; returns copies of its numbers, and its costs."""
        X, y, w = self.data()
        history = net.fit(
            X,
            y,
            epochs=epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            sample_weight=w,
            threads=threads,
            verbose=False,
        )
        arrays = {name: array.copy() for name, array in (net.parameters | net.state).items()}
        return arrays | {"costs": np.array([record.cost for record in history])}


def _classes(*widths: int, activation: str = "relu") -> Callable[[], list[Any]]:
    return lambda: [*(cr.Dense(n, activation) for n in widths[:-1]), cr.Dense(widths[-1], "softmax")]


FITTINGS = [
    Fitting("sigmoid, 40-33-10", 40, _classes(33, 10, activation="sigmoid"), "cross_entropy", "labels", 333, 32,
            cr.SGD(0.1)),
    Fitting("wide", 130, _classes(257, 10), "cross_entropy", "labels", 200, 64, cr.SGD(0.05, momentum=0.9)),
    Fitting("one column", 9, lambda: [cr.Dense(20, "tanh"), cr.Dense(1)], "squared_error", "values", 150, 40,
            dtype="float64"),
    Fitting("a single sample a step", 5, lambda: [cr.Dense(8, "gelu"), cr.Dense(2)], "huber", "values", 30, 1),
    Fitting("chunks", 12, _classes(30, 7), "cross_entropy", "labels", 3000, 1300),
    Fitting("chunks, one column", 6, lambda: [cr.Dense(16, "silu"), cr.Dense(1, "sigmoid")], "binary_cross_entropy",
            "binary", 2500, 2500, cr.AdamW(0.01)),
    Fitting("chunks, dropout", 10, lambda: [cr.Dense(24, "relu"), cr.Dropout(0.3), cr.Dense(3, "softmax")],
            "cross_entropy", "labels", 1500, 700),
    Fitting("chunks, embedding", 4, lambda: [cr.Embedding(11, 5), cr.Dense(20, "tanh"), cr.Dense(11, "softmax")],
            "cross_entropy", "labels", 1600, 900, options={"l2": 0.01}),
    Fitting("embedding", 3, lambda: [cr.Embedding(27, 10), cr.Dense(50, "tanh"), cr.Dense(27, "softmax")],
            "cross_entropy", "labels", 300, 32),
    Fitting("dropout", 30, lambda: [cr.Dropout(0.2), cr.Dense(40, "relu"), cr.Dropout(0.5), cr.Dense(5, "softmax")],
            "cross_entropy", "labels", 220, 50),
    Fitting("batch norm", 20, lambda: [cr.Dense(30), cr.BatchNorm("relu"), cr.Dense(18), cr.BatchNorm("tanh"),
            cr.Dense(4)], "squared_error", "values", 260, 60),
    Fitting("batch norm, a large batch", 7, lambda: [cr.BatchNorm(), cr.Dense(17, "elu"), cr.BatchNorm(),
            cr.Dense(2)], "squared_error", "values", 1400, 1000, dtype="float64"),
    Fitting("layer norm, weights, clipping", 16, lambda: [cr.Dense(32), cr.LayerNorm("gelu"), cr.Dense(3, "softmax")],
            "cross_entropy", "labels", 180, 45, cr.RMSProp(0.003, clip_norm=0.5), weighted=True),
    Fitting("own cost", 8, lambda: [cr.Dense(12, "softplus"), cr.Dense(6)],
            cr.Cost("1 - sum(yhat * y) / sqrt(sum(yhat ** 2) * sum(y ** 2))"), "values", 120, 50, dtype="float64"),
    Fitting("zeros", 70, _classes(50, 10), "cross_entropy", "labels", 300, 64, zeros=0.96),
    Fitting("zeros, chunks", 290, _classes(70, 4), "cross_entropy", "labels", 900, 600, dtype="float64", zeros=0.97),
]  # fmt: skip
