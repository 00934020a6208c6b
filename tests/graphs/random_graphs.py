"""Random graphs: combinators in combinators, several inputs, values kept and taken, weights used twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import chainrule as cr

ACTIVATIONS = ["tanh", "sigmoid", "relu", "gelu", "silu", "softplus", "identity", "softmax"]


OWN: list[tuple[Callable[[], cr.Formula], int | None]] = [
    (lambda: cr.Formula("q * x + v", q=cr.Parameter("n", value=1), v=cr.Parameter()), None),
    (lambda: cr.Formula("x + a * (tanh(x) - x)", a=cr.Parameter("n", value=0.5)), None),
    (lambda: cr.Formula("tanh(x @ U) @ V.T - mean(x)", U=cr.Parameter("n", 3), V=cr.Parameter("n", 3)), None),
    (lambda: cr.Formula("sigmoid(x @ U + c) * max(x)", U=cr.Parameter("n", 4), c=cr.Parameter(4)), 4),
]
"""Layers of one's own, and how many features leave each; None for as many as come in."""


@dataclass
class Graph:
    """A network and data for it.  smooth: without dropout, for those who draw no bits of ours."""

    seed: int
    smooth: bool = False
    dtype: str = "float64"
    inputs: Any = field(init=False)
    layers: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.kept: dict[str, int] = {}
        self.weights: dict[str, tuple[int, int]] = {}
        self.dense = 0
        width = int(self.rng.integers(1, 9))
        if self.rng.random() < 0.4:
            self.inputs = {
                "numbers": width,
                "kinds": [int(n) for n in self.rng.integers(1, 6, self.rng.integers(1, 4))],
            }
            begin, width = self.two_inputs(width)
        else:
            self.inputs, begin = width, []
        layers, width = self.sequence(width, 0)
        end = self.add_dense(width, int(self.rng.integers(1, 6)))
        self.layers = [*begin, *layers, end]
        self.outputs = end.units

    def two_inputs(self, numbers: int) -> tuple[list[Any], int]:
        tokens = self.inputs["kinds"]
        dimension = int(self.rng.integers(1, 4))
        first, width = self.sequence(numbers, 2) if self.rng.random() < 0.5 else ([], numbers)
        embedded = [cr.Take("kinds"), cr.Embedding(max(tokens), dimension)]
        return [cr.Branches([cr.Take("numbers"), *first], embedded)], width + dimension * len(tokens)

    def sequence(self, width: int, depth: int) -> tuple[list[Any], int]:
        layers: list[Any] = []
        for _ in range(int(self.rng.integers(1, 4 if depth else 6))):
            layer, width = self.layer(width, depth)
            layers.append(layer)
        return layers, width

    def layer(self, width: int, depth: int) -> tuple[Any, int]:
        rng = self.rng
        kinds = ["dense", "dense", "layer norm", "batch norm", "keep", "formula", "groups"]
        kinds += ["dropout"] * (not self.smooth)
        if depth < 3:
            kinds += ["residual", "beside", "add", "multiply", "take"]
        match rng.choice(kinds):
            case "dense":
                layer = self.add_dense(width, int(rng.integers(1, 12)))
                return layer, layer.units
            case "layer norm":
                return cr.LayerNorm(str(rng.choice(ACTIVATIONS)), epsilon=0.1), width
            case "batch norm":
                return cr.BatchNorm(str(rng.choice(ACTIVATIONS)), epsilon=0.1), width
            case "dropout":
                return cr.Dropout(0.3), width
            case "formula":
                made, inner = OWN[int(rng.integers(len(OWN)))]
                layer = made()
                self.dense += layer.numbered
                return layer, width if inner is None else inner
            case "groups":
                self.dense += 1
                g, units = str(rng.choice(ACTIVATIONS)), int(rng.integers(1, 5))
                groups = int(rng.choice([n for n in (1, 2, 3, 4) if width % n == 0]))
                one = [cr.GroupedDense(units, g, groups=groups), cr.SharedDense(units, g, members=groups)]
                return one[int(rng.integers(2))], groups * units
            case "keep":
                name = f"h{len(self.kept)}"
                self.kept[name] = width
                return cr.Keep(name), width
            case "residual":
                layers, inner = self.sequence(width, depth + 1)
                return cr.Residual(*layers, self.add_dense(inner, width)), width
            case "take" if self.kept:
                name = str(rng.choice(sorted(self.kept)))
                taken = [cr.Take(name), self.add_dense(self.kept[name], int(rng.integers(1, 6)))]
                return cr.Branches([], taken), width + taken[-1].units
            case "beside":
                parts = [self.sequence(width, depth + 1) if rng.random() < 0.7 else ([], width) for _ in range(3)]
                return cr.Branches(*(layers for layers, _ in parts)), sum(n for _, n in parts)
            case "add" | "multiply" as join:
                layers, inner = self.sequence(width, depth + 1)
                other = self.add_dense(width, inner)
                return cr.Branches(layers, [other], join=str(join)), inner
        return cr.Keep(f"k{rng.integers(1 << 62)}"), width

    def add_dense(self, below: int, units: int) -> cr.Dense:
        """A dense layer, now and then with the weights of one before."""
        self.dense += 1
        g, bias = str(self.rng.choice(ACTIVATIONS)), bool(self.rng.random() < 0.7)
        tied: cr.Tied | None = None
        if self.rng.random() < 0.3:
            forms = [(n, s[1], False) for n, s in self.weights.items() if s[0] == below]
            forms += [(n, s[0], True) for n, s in self.weights.items() if s[1] == below]
            forms = [form for form in forms if form[1] == units]
            if forms:
                name, units, transposed = forms[int(self.rng.integers(len(forms)))]
                tied = cr.Tied(name, transposed)
        if tied is None:
            self.weights[f"W{self.dense}"] = (below, units)
        return cr.Dense(units, g, bias=bias, weights=tied)

    def network(self, engine: str) -> cr.Network:
        net = cr.Network(
            self.inputs, self.layers, "squared_error", l2=0.1, dtype=self.dtype, seed=self.seed, engine=engine
        )
        rng = np.random.default_rng(self.seed + 1)
        for array in net.parameters.values():
            array += 0.1 * rng.normal(size=array.shape)
        return net

    def data(self, m: int = 19) -> tuple[Any, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(self.seed + 2)
        y, w = rng.normal(size=(m, self.outputs)), rng.uniform(0.2, 2, m)
        if isinstance(self.inputs, int):
            return rng.normal(size=(m, self.inputs)), y, w
        kinds = self.inputs["kinds"]
        return (
            {"numbers": rng.normal(size=(m, self.inputs["numbers"])), "kinds": rng.integers(0, kinds, (m, len(kinds)))},
            y,
            w,
        )
