"""The systems of the five texts, and one network with everything, with data for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr

_OWN = "exp(z - max(z)) / sum(exp(z - max(z)))"


@dataclass(frozen=True)
class System:
    """A network, its optimizer, and whether the derivation is the long one."""

    network: Callable[[], cr.Network]
    optimizer: cr.Optimizer
    targets: str = "values"
    canonical: bool = True

    @property
    def program(self) -> cr.Program:
        """The derivation with its update."""
        targets: Any = "labels" if self.targets == "labels" else "values"
        return self.network().derive(optimizer=self.optimizer, targets=targets, canonical=self.canonical)

    def data(self, samples: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """X and y."""
        rng = np.random.default_rng(0)
        spec = self.network().spec
        first = spec.layers[0]
        X: np.ndarray = (
            rng.integers(0, first.vocabulary, (samples, spec.inputs))
            if isinstance(first, cr.Embedding)
            else rng.normal(size=(samples, spec.inputs))
        )
        y = {
            "labels": lambda: rng.integers(0, spec.outputs, samples),
            "binary": lambda: rng.integers(0, 2, (samples, spec.outputs)),
            "values": lambda: rng.normal(size=(samples, spec.outputs)),
        }[self.targets]()
        return X, y


def _net(inputs: int, layers: list[Any], loss: Any, **options: Any) -> Callable[[], cr.Network]:
    def make() -> cr.Network:
        net = cr.Network(inputs, layers, loss, dtype="float64", engine="reference", **options)
        rng = np.random.default_rng(11)
        for array in net.parameters.values():
            array += 0.2 * rng.normal(size=array.shape)
        return net

    return make


_DIGITS = _net(784, [cr.Dense(256, "sigmoid"), cr.Dense(10, "softmax")], "cross_entropy")
SYSTEMS: dict[str, System] = {
    "digits": System(_DIGITS, cr.SGD(0.05), "labels"),
    "digits_long": System(_DIGITS, cr.SGD(0.05), "labels", canonical=False),
    "eight": System(
        _net(784, [cr.Dense(256, "sigmoid"), cr.Dense(1, "sigmoid")], "binary_cross_entropy"), cr.SGD(0.05), "binary"
    ),
    "regularised": System(
        _net(4, [cr.Dense(6, "tanh"), cr.Dense(5, "relu"), cr.Dense(2)], "squared_error", l2=0.7), cr.SGD(0.1)
    ),
    "least_squares": System(
        _net(
            4,
            [cr.Dense(6, "sigmoid", bias=False), cr.Dense(5, "sigmoid", bias=False), cr.Dense(3, bias=False)],
            "squared_error",
            reduction="sum",
        ),
        cr.SGD(0.001),
    ),
    "names": System(
        _net(
            3,
            [cr.Embedding(27, 10), cr.Dense(64, "tanh"), cr.Dense(27, "softmax")],
            "cross_entropy",
            reduction="sum",
        ),
        cr.SGD(0.1),
        "labels",
    ),
    "general": System(
        _net(
            3,
            [cr.Dense(5, cr.Activation("tanh(z) * sigmoid(sum(z))")), cr.Dense(4, cr.Activation(_OWN))],
            cr.Cost("1 - sum(yhat * y) / sqrt(sum(yhat ** 2) * sum(y ** 2))"),
        ),
        cr.SGD(0.1),
    ),
    "everything": System(
        _net(
            3,
            [
                cr.Dense(5),
                cr.BatchNorm("relu"),
                cr.Dropout(0.2),
                cr.Dense(4),
                cr.LayerNorm("gelu"),
                cr.Dense(3, "softmax"),
            ],
            cr.cross_entropy(0.1),
            l1=0.1,
            l2=0.2,
        ),
        cr.AdamW(0.01, clip_norm=1.0),
        "labels",
    ),
}
