"""Random graphs: gradients to PyTorch's, the compiled engine to the reference, files to the bit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_graphs import Graph

import chainrule as cr
from chainrule.engines.table import ENGINES

NORMAL, LONG = 3, 1022
TRAINED, TRAINED_LONG = 2, 10
SECOND_OPINIONS = 16
"""PyTorch's, of the reference engine; of the compiled one as many as are NORMAL."""


def near(a: np.ndarray, b: np.ndarray, tolerance: float, what: str) -> None:
    scale = max(1.0, float(np.abs(b).max(initial=0.0)))
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=what)


@pytest.mark.parametrize("seed", range(NORMAL))
def test_both_engines(seed: int, tmp_path: Path) -> None:
    """Costs, gradients and two epochs; whole and in chunks; one row; after a round trip through a file."""
    graph = Graph(seed)
    X, y, w = graph.data()
    nets = {engine: graph.network(engine) for engine in ("reference", "compiled")}
    answers = []
    for net in nets.values():
        gradients = net.gradients(X, y, sample_weight=w, training=True)
        one = {name: array[:1] for name, array in X.items()} if isinstance(X, dict) else X[:1]
        answers.append({"cost": np.array(net.cost(X, y, sample_weight=w)), "one row": net.predict(one), **gradients})
    for name, value in answers[0].items():
        near(answers[1][name], value, 1e-11, name)
    for net in nets.values():
        net.fit(X, y, sample_weight=w, epochs=2, batch_size=8, optimizer="adam", verbose=False)
    for name, value in nets["reference"].parameters.items():
        near(nets["compiled"].parameters[name], value, 1e-7, name)
    nets["compiled"].save(tmp_path / "net.safetensors")
    read = cr.Network.load(tmp_path / "net.safetensors", engine="compiled")
    assert read.spec == nets["compiled"].spec
    assert read.predict(X).tobytes() == nets["compiled"].predict(X).tobytes()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(NORMAL, NORMAL + LONG))
def test_both_engines_on_many_more(seed: int, tmp_path: Path) -> None:
    test_both_engines(seed, tmp_path)


@pytest.mark.parametrize("seed", range(TRAINED))
def test_chunks_and_threads(seed: int) -> None:
    """Large batches are run in chunks; the bits do not depend on the number of threads."""
    graph = Graph(seed, dtype="float32")
    X, y, _ = graph.data(1300)
    ends = []
    for engine, threads in (("compiled", 1), ("compiled", 2), ("reference", 1)):
        net = graph.network(engine)
        net.fit(X, y, epochs=1, batch_size=700, optimizer=cr.SGD(1e-3), threads=threads, verbose=False)
        ends.append(net.parameters)
    for name, value in ends[0].items():
        assert value.tobytes() == ends[1][name].tobytes(), name
        near(value, ends[2][name], 2e-4, name)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(TRAINED, TRAINED + TRAINED_LONG))
def test_chunks_and_threads_of_more(seed: int) -> None:
    test_chunks_and_threads(seed)


@pytest.mark.parametrize(
    ("seed", "engine"),
    [
        pytest.param(100 + k, engine, marks=[pytest.mark.long] if engine == "compiled" and k >= NORMAL else [])
        for k in range(SECOND_OPINIONS)
        for engine in ENGINES
    ],
)
def test_gradients_against_pytorch(seed: int, engine: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the second opinion, is not installed (the extra `oracle`)")
    graph = Graph(seed, smooth=True)
    net = graph.network(engine)
    X, y, w = graph.data()
    p = {name: torch.tensor(array, requires_grad=True) for name, array in net.parameters.items()}
    given = {"": X} if not isinstance(X, dict) else X
    x = {n: torch.tensor(a, requires_grad=a.dtype.kind == "f") for n, a in given.items()}
    yhat = _Torch(torch, graph, p, x).value()
    weight = torch.tensor(w)
    penalties = sum(0.05 * (v**2).sum() for name, v in p.items() if name.startswith(("W", "U", "V"))) / len(y)
    J = (weight * ((yhat - torch.tensor(y)) ** 2).sum(1)).sum() / weight.sum() + penalties
    J.backward()
    assert net.cost(X, y, sample_weight=w, training=True) == pytest.approx(J.item(), rel=1e-10)
    found = net.gradients(X, y, sample_weight=w, training=True)
    wanted = dict(p) | {f"X_{n}" if n else "X": t for n, t in x.items() if t.requires_grad}
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        expected = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
        near(found[name], expected, 1e-10, name)


class _Torch:
    """The layers by PyTorch's functions, read off the description by itself."""

    def __init__(self, torch: Any, graph: Graph, p: dict[str, Any], x: dict[str, Any]) -> None:
        self.torch, self.graph, self.p, self.names = torch, graph, p, dict(x)
        self.number = 0
        self.norms: Counter[int] = Counter()
        self.formulas: Counter[int] = Counter()

    def value(self) -> Any:
        return self.sequence(self.graph.layers, self.names.get(""))

    def sequence(self, layers: Any, value: Any) -> Any:
        for layer in layers:
            value = self.layer(layer, value)
        return value

    def formula(self, layer: cr.Formula, x: Any) -> Any:
        """The formula as Python's own, over tensors; its parameters by the names that no other has taken."""
        self.number += layer.numbered
        self.formulas[self.number] += 1
        label = f"{self.number}{' bcdefghijklm'[self.formulas[self.number] - 1].strip()}"
        names = {letter: self.p[f"{letter}{label}"] for letter, _ in layer.parameters}
        functions = {
            "tanh": self.torch.tanh,
            "sigmoid": self.torch.sigmoid,
            "mean": lambda v: v.mean(1, keepdim=True),
            "max": lambda v: v.amax(1, keepdim=True),
        }
        return eval(layer.name, {"x": x, **names, **functions})

    def groups(self, layer: Any, value: Any) -> Any:
        """A dense layer of each group, or a shared one of each member; activations over the features of each."""
        self.number += 1
        n, shared = self.number, isinstance(layer, cr.SharedDense)
        g = layer.members if shared else layer.groups
        a, W, b = value.reshape(len(value), g, -1), self.p[f"W{n}"], self.p[f"b{n}"].reshape(g, -1)
        if shared:
            r, s = (self.p[f"{x}{n}"].reshape(g, -1) for x in "rs")
            z = (a * r) @ W * s + b
        else:
            z = self.torch.einsum("mga,gab->mgb", a, W.reshape(g, -1, layer.units)) + b
        name = layer.activation.name
        own = {"identity": lambda z: z, "softmax": lambda z: self.torch.softmax(z, 2)}
        bent = own[name](z) if name in own else getattr(self.torch.nn.functional, name)(z)
        return bent.reshape(len(value), -1)

    def layer(self, layer: Any, value: Any) -> Any:
        torch, F = self.torch, self.torch.nn.functional
        match layer:
            case cr.Keep(name):
                self.names[name] = value
                return value
            case cr.Take(name):
                return self.names[name]
            case cr.Residual():
                return value + self.sequence(layer.layers, value)
            case cr.Branches():
                parts = [self.sequence(part, value) for part in layer.parts]
                if layer.join == "beside":
                    return torch.cat(parts, 1)
                return sum(parts[1:], parts[0]) if layer.join == "add" else parts[0] * parts[1]
            case cr.Formula():
                return self.formula(layer, value)
            case cr.GroupedDense() | cr.SharedDense():
                return self.groups(layer, value)
            case cr.Embedding():
                name = f"E{self.number}" if self.number else "E"
                if name not in self.p:  # a softmax beside it has taken the name
                    name += "_2"
                return F.embedding(value, self.p[name]).reshape(len(value), -1)
            case cr.Dense():
                self.number += 1
                tied = layer.weights if isinstance(layer.weights, cr.Tied) else None
                W = self.p[f"W{self.number}" if tied is None else tied.name]
                W = W.T if tied is not None and tied.transposed else W
                value = value @ W + (self.p[f"b{self.number}"] if layer.bias else 0)
            case _:
                self.norms[self.number] += 1
                label = f"{self.number}{' bcdefghijklm'[self.norms[self.number] - 1].strip()}"
                gamma, beta = self.p[f"gamma{label}"], self.p[f"beta{label}"]
                if isinstance(layer, cr.LayerNorm):
                    value = F.layer_norm(value, gamma.shape, gamma, beta, layer.epsilon)
                else:
                    value = F.batch_norm(value, None, None, gamma, beta, True, 0.0, layer.epsilon)
        name = layer.activation.name
        own = {"identity": lambda z: z, "softmax": lambda z: torch.softmax(z, 1)}
        return own[name](value) if name in own else getattr(F, name)(value)
