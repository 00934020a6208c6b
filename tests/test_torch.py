"""Against PyTorch's autograd and optimizers in float64: random networks, ten steps of every optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.describe.activations import ACTIVATIONS
from chainrule.describe.losses import LOSSES

torch = pytest.importorskip("torch", reason="PyTorch, the second opinion, is not installed (the extra `oracle`)")
F = torch.nn.functional
torch.set_num_threads(1)  # small arrays: threads would only wait for each other

Tensor = Any

TORCH_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.01),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": lambda z: F.softplus(z, threshold=700),
    "softsign": F.softsign,
    "hard_sigmoid": lambda z: torch.clamp(z / 6 + 0.5, 0, 1),  # F.hardsigmoid's slope is a 1/6 in single precision
    "softmax": lambda z: torch.softmax(z, 1),
    "log_softmax": lambda z: torch.log_softmax(z, 1),
}
HIDDEN = sorted(TORCH_ACTIVATIONS)


def _smoothed(y: Tensor, n: int, smoothing: float) -> Tensor:
    rows = F.one_hot(y, n).double() if y.ndim == 1 else y
    return rows * (1 - smoothing) + smoothing / n


def each_loss(name: str, yhat: Tensor, y: Tensor) -> Tensor:
    """L of each sample (m,)."""
    match name:
        case "squared_error":
            return F.mse_loss(yhat, y, reduction="none").sum(1)
        case "absolute_error":
            return F.l1_loss(yhat, y, reduction="none").sum(1)
        case "huber":
            return F.huber_loss(yhat, y, reduction="none").sum(1)
        case "binary_cross_entropy":
            return F.binary_cross_entropy(yhat, y, reduction="none").sum(1)
        case "poisson":
            return F.poisson_nll_loss(yhat, y, log_input=False, eps=0.0, reduction="none").sum(1)
        case "hinge":
            return torch.relu(1 - y * yhat).sum(1)
        case "quantile":
            return torch.maximum(0.5 * (y - yhat), -0.5 * (y - yhat)).sum(1)
    raise AssertionError(name)


@dataclass(frozen=True)
class Case:
    """A random network, its data, and everything that goes into the cost."""

    seed: int

    def make(self, engine: str) -> tuple[cr.Network, np.ndarray, np.ndarray, np.ndarray | None]:
        rng = np.random.default_rng(self.seed)
        loss = sorted(LOSSES)[self.seed % len(LOSSES)]
        outputs = int(rng.integers(2 if loss == "cross_entropy" else 1, 12))
        m = int(rng.integers(2, 40))
        last, y = {
            "squared_error": (str(rng.choice(HIDDEN)), rng.normal(size=(m, outputs))),
            "absolute_error": ("identity", rng.normal(size=(m, outputs))),
            "huber": ("identity", 2 * rng.normal(size=(m, outputs))),
            "binary_cross_entropy": ("sigmoid", rng.uniform(size=(m, outputs)).round(int(rng.integers(0, 2)))),
            "cross_entropy": (str(rng.choice(["softmax", "log_softmax"])), rng.integers(0, outputs, m)),
            "poisson": ("softplus", rng.poisson(2.0, (m, outputs)).astype(float)),
            "hinge": ("identity", rng.choice([-1.0, 1.0], (m, outputs))),
            "quantile": ("identity", rng.normal(size=(m, outputs))),
        }[loss]
        if loss == "cross_entropy" and rng.random() < 0.3:
            y = rng.dirichlet(np.ones(outputs), m)
        layers: list[Any] = []
        inputs = int(rng.integers(1, 12))
        if rng.random() < 0.25:
            layers.append(cr.Embedding(int(rng.integers(2, 9)), int(rng.integers(1, 5))))
            X = rng.integers(0, layers[0].vocabulary, (m, inputs))
        else:
            X = rng.normal(size=(m, inputs))
        for depth in range(int(rng.integers(0, 4))):
            g = HIDDEN[(self.seed + depth) % len(HIDDEN)]
            norm = rng.choice(["none", "none", "layer", "batch"])
            layers.append(cr.Dense(int(rng.integers(1, 41)), g if norm == "none" else "identity",
                                   bias=bool(rng.random() < 0.8)))  # fmt: skip
            if norm != "none":
                layers.append((cr.LayerNorm if norm == "layer" else cr.BatchNorm)(g, epsilon=1e-3))
        layers.append(cr.Dense(outputs, last))
        given = cr.cross_entropy(0.1) if loss == "cross_entropy" and rng.random() < 0.5 else loss
        options: dict[str, Any] = {"l1": float(rng.choice([0.0, 0.1])), "l2": float(rng.choice([0.0, 0.3]))}
        options["penalty_per"] = str(rng.choice(["sample", "weight"]))
        options["reduction"] = str(rng.choice(["mean", "sum"]))
        net = cr.Network(inputs, layers, given, dtype="float64", seed=self.seed, engine=engine, **options)
        for array in net.parameters.values():
            array += 0.2 * rng.normal(size=array.shape)
        return net, X, y, rng.uniform(0, 2, m) if rng.random() < 0.4 else None


def predicted(spec: cr.NetworkSpec, p: dict[str, Tensor], X: Tensor) -> Tensor:
    """Ŷ in training, by PyTorch's functions."""
    value, number, norms = X, 0, 0
    for layer in spec.layers:
        if isinstance(layer, cr.Embedding):
            value = F.embedding(X, p["E"]).reshape(len(X), -1)
        elif isinstance(layer, cr.Dense):
            number, norms = number + 1, 0
            value = value @ p[f"W{number}"] + (p[f"b{number}"] if layer.bias else 0)
        else:
            gamma, beta = p[f"gamma{number}" + " b"[norms].strip()], p[f"beta{number}" + " b"[norms].strip()]
            norms += 1
            if isinstance(layer, cr.LayerNorm):
                value = F.layer_norm(value, gamma.shape, gamma, beta, layer.epsilon)
            else:
                value = F.batch_norm(value, None, None, gamma, beta, True, 0.0, layer.epsilon)
        if not isinstance(layer, cr.Embedding):
            value = TORCH_ACTIVATIONS[layer.activation.name](value)
    return value


def cost(spec: cr.NetworkSpec, p: dict[str, Tensor], X: Tensor, y: Tensor, w: Tensor | None) -> Tensor:
    """J in training, by PyTorch's functions."""
    yhat = predicted(spec, p, X)
    if spec.loss.name.startswith("cross_entropy"):
        logs = yhat if spec.last_activation.name == "log_softmax" else torch.log(yhat)
        losses = -(_smoothed(y, spec.outputs, spec.loss.smoothing) * logs).sum(1)
    else:
        losses = each_loss(spec.loss.name, yhat, y.reshape(yhat.shape))
    w = torch.ones(len(X), dtype=torch.float64) if w is None else w
    count = w.sum() if spec.reduction == "mean" and spec.penalty_per == "weight" else len(X)
    total = (w * losses).sum() / (w.sum() if spec.reduction == "mean" else 1)
    weights = [v for k, v in p.items() if k.startswith("W")]
    return total + sum(spec.l1 * v.abs().sum() + spec.l2 / 2 * (v**2).sum() for v in weights) / count


def tensors(net: cr.Network) -> dict[str, Tensor]:
    return {k: torch.tensor(v, requires_grad=True) for k, v in net.parameters.items()}


def test_every_activation_is_compared() -> None:
    assert set(TORCH_ACTIVATIONS) == set(ACTIVATIONS)


@pytest.mark.parametrize(
    ("seed", "engine"), [*((seed, "reference") for seed in range(24)), *((seed, "compiled") for seed in range(6))]
)
def test_gradients_of_random_networks(seed: int, engine: str) -> None:
    net, X, y, w = Case(seed).make(engine)
    p = tensors(net)
    x = torch.tensor(X, requires_grad=not net.spec.tokens)
    J = cost(net.spec, p, x, torch.tensor(y), None if w is None else torch.tensor(w))
    J.backward()
    assert net.cost(X, y, sample_weight=w, training=True) == pytest.approx(J.item(), rel=1e-10)
    found = net.gradients(X, y, sample_weight=w, training=True)
    expected = {**p, **({} if net.spec.tokens else {"X": x})}
    assert set(found) == set(expected)
    largest = max(float(t.grad.abs().max()) for t in expected.values())
    for name, tensor in expected.items():
        # What cancels exactly (b before batch normalisation) is only rounding: measured by the largest gradient.
        size = max(float(tensor.grad.abs().max()), 1e-3 * largest)
        np.testing.assert_allclose(found[name], tensor.grad.numpy(), rtol=1e-10, atol=1e-10 * size, err_msg=name)


@pytest.mark.long
@pytest.mark.parametrize("seed", [*range(6, 96), *range(1000, 1600)])
def test_gradients_of_many_more_random_networks(seed: int, engine: str) -> None:
    test_gradients_of_random_networks(seed, engine)


class Lion:
    """As its authors have published it (google/automl, lion_pytorch.py)."""

    def __init__(self, p: list[Tensor], lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        self.p, self.lr, self.betas, self.weight_decay = p, lr, betas, weight_decay
        self.means = [torch.zeros_like(x) for x in p]

    def zero_grad(self) -> None:
        for x in self.p:
            x.grad = None

    @torch.no_grad()
    def step(self) -> None:
        for x, mean in zip(self.p, self.means, strict=True):
            x.mul_(1 - self.lr * self.weight_decay)
            update = mean.clone().mul_(self.betas[0]).add(x.grad, alpha=1 - self.betas[0]).sign_()
            x.add_(update, alpha=-self.lr)
            mean.mul_(self.betas[1]).add_(x.grad, alpha=1 - self.betas[1])


class Muon:
    """torch.optim.Muon for the first two matrices, which PyTorch has transposed, AdamW for the rest."""

    def __init__(self, p: list[Tensor], adamw: float, **settings: Any) -> None:
        matrices = [x for x in p if x.ndim == 2]
        self.matrices = matrices[:2]
        self.transposed = [torch.nn.Parameter(x.detach().T.clone()) for x in self.matrices]
        hidden = {id(x) for x in self.matrices}
        self.inner = torch.optim.Muon(self.transposed, **settings)
        self.rest = torch.optim.AdamW([x for x in p if id(x) not in hidden], adamw)

    def zero_grad(self) -> None:
        self.rest.zero_grad()
        for x in self.matrices:
            x.grad = None

    def step(self) -> None:
        for x, turned in zip(self.matrices, self.transposed, strict=True):
            turned.grad = x.grad.T.clone()
        self.inner.step()
        self.rest.step()
        with torch.no_grad():
            for x, turned in zip(self.matrices, self.transposed, strict=True):
                x.copy_(turned.T)


@pytest.fixture
def all_in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyTorch's Muon makes its products in bfloat16, and its NAdam keeps a number in the default type."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


OPTIMIZERS: dict[str, tuple[cr.Optimizer, Callable[[list[Tensor]], Any]]] = {
    "sgd": (cr.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (cr.SGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    "nesterov": (
        cr.SGD(0.05, momentum=0.8, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, nesterov=True),
    ),
    "adagrad": (cr.Adagrad(0.1), lambda p: torch.optim.Adagrad(p, 0.1)),
    "rmsprop": (cr.RMSProp(0.01), lambda p: torch.optim.RMSprop(p, 0.01)),
    "rmsprop, momentum": (
        cr.RMSProp(0.01, decay=0.9, momentum=0.7),
        lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9, momentum=0.7),
    ),
    "adam": (cr.Adam(0.02), lambda p: torch.optim.Adam(p, 0.02)),
    "adam, betas": (
        cr.Adam(0.02, beta1=0.0, beta2=0.5, epsilon=1e-3),
        lambda p: torch.optim.Adam(p, 0.02, betas=(0.0, 0.5), eps=1e-3),
    ),
    "adamw": (cr.AdamW(0.02, weight_decay=0.1), lambda p: torch.optim.AdamW(p, 0.02, weight_decay=0.1)),
    "amsgrad": (
        cr.AdamW(0.02, beta2=0.5, amsgrad=True),
        lambda p: torch.optim.AdamW(p, 0.02, betas=(0.9, 0.5), amsgrad=True),
    ),
    "adamw, groups": (
        cr.AdamW(0.02, weight_decay=0.1, rates={"b": 0.5, "gamma": 2}, decays={"W": 2, "b": 0, "W2": 3}),
        lambda p: torch.optim.AdamW(
            [
                {"params": [p[0], p[6]], "weight_decay": 0.2},
                {"params": [p[1], p[5], p[7]], "lr": 0.01, "weight_decay": 0.0},
                {"params": [p[2]], "lr": 0.04},
                {"params": [p[3]]},
                {"params": [p[4]], "weight_decay": 0.3},
            ],
            0.02,
            weight_decay=0.1,
        ),
    ),
    "nadam": (cr.NAdam(0.02, momentum_decay=0.1), lambda p: torch.optim.NAdam(p, 0.02, momentum_decay=0.1)),
    "lion": (cr.Lion(0.003, weight_decay=0.2), lambda p: Lion(p, 0.003, (0.9, 0.99), 0.2)),
    "adafactor": (
        cr.Adafactor(0.3, epsilon1=1e-6, weight_decay=0.1),
        lambda p: torch.optim.Adafactor(p, 0.3, eps=(1e-6, 1e-3), weight_decay=0.1),
    ),
    "muon": (
        cr.Muon(0.02, weight_decay=0.1, others=cr.AdamW(0.01)),
        lambda p: Muon(p, 0.01, lr=0.02, weight_decay=0.1),
    ),
    "muon, as adam": (
        cr.Muon(0.02, momentum=0.8, nesterov=False, steps=3, scale="adam", others=cr.AdamW(0.01)),
        lambda p: Muon(
            p, 0.01, lr=0.02, weight_decay=0.0, momentum=0.8, nesterov=False, ns_steps=3, adjust_lr_fn="match_rms_adamw"
        ),
    ),
    "adamw, no decay": (cr.AdamW(0.02, weight_decay=0.0), lambda p: torch.optim.AdamW(p, 0.02, weight_decay=0.0)),
}


@pytest.mark.parametrize(
    ("name", "clip", "engine"),
    [
        pytest.param(
            name,
            clip,
            engine,
            marks=[pytest.mark.long] if far and (seldom or clip == 100.0) and (clip or number % 2) else [],
        )
        for number, name in enumerate(OPTIMIZERS)
        for clip in (None, 0.05, 100.0)
        for engine in ("reference", "compiled")
        for far in [clip == 100.0 or name not in ("sgd", "adam", "muon")]
        for seldom in [engine == "compiled"]
    ],
)
@pytest.mark.usefixtures("all_in_float64")
def test_ten_steps_of_every_optimizer(name: str, clip: float | None, engine: str) -> None:
    ours, make = OPTIMIZERS[name]
    ours = type(ours)(**{**vars(ours), "clip_norm": clip})
    rng = np.random.default_rng(4)
    X, y, w = rng.normal(size=(77, 5)), rng.integers(0, 3, 77), rng.uniform(0.1, 2, 77)  # the tenth batch has 5
    layers = [cr.Dense(7, "tanh"), cr.BatchNorm("relu"), cr.Dense(4, "gelu"), cr.Dense(3, "softmax")]
    net = cr.Network(5, layers, "cross_entropy", l2=0.1, dtype="float64", seed=2, engine=engine)
    p = tensors(net)
    theirs = make(list(p.values()))
    costs = []
    for start in range(0, 77, 8):
        part = slice(start, start + 8)
        theirs.zero_grad()
        J = cost(net.spec, p, torch.tensor(X[part]), torch.tensor(y[part]), torch.tensor(w[part]))
        J.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(list(p.values()), clip)
        theirs.step()
        costs.append(J.item())
    before = {k: v.copy() for k, v in net.parameters.items()}
    history = net.fit(X, y, epochs=1, batch_size=8, optimizer=ours, shuffle=False, sample_weight=w, verbose=False)
    sums = [w[start : start + 8].sum() for start in range(0, 77, 8)]
    assert history[0].cost == pytest.approx(np.average(costs, weights=sums), rel=1e-10)
    for key, tensor in p.items():
        assert not np.array_equal(net.parameters[key], before[key]), f"{key} did not move"
        if key == "b1":  # before batch norm its gradient is rounding alone, which Adam and its like make steps of
            continue
        np.testing.assert_allclose(net.parameters[key], tensor.detach().numpy(), rtol=1e-9, atol=1e-9, err_msg=key)


def test_members_train_as_in_pytorch() -> None:
    rng = np.random.default_rng(0)
    net = cr.Network(3, cr.batch_ensemble(4, [5, 6], 2, "tanh"), "squared_error", dtype="float64", engine="reference")
    X, Y = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    for array in net.parameters.values():
        array += 0.2 * rng.normal(size=array.shape)
    p = {name: torch.tensor(array, requires_grad=True) for name, array in net.parameters.items()}

    def cost() -> Any:
        a = torch.tensor(X)[:, None].expand(-1, 4, -1)
        for k in (1, 2):
            r, s, b = (p[f"{x}{k}"].reshape(4, -1) for x in "rsb")
            a = torch.tanh((a * r) @ p[f"W{k}"] * s + b)
        z = torch.einsum("mka,kab->mkb", a, p["W3"].reshape(4, 6, 2)) + p["b3"].reshape(4, 2)
        return ((z - torch.tensor(Y)[:, None]) ** 2).sum(-1).mean()

    optimizer = torch.optim.Adam(p.values(), lr=0.01)
    for _ in range(10):
        optimizer.zero_grad()
        cost().backward()
        optimizer.step()
    net.fit(X, Y, epochs=10, batch_size=9, optimizer=cr.Adam(0.01), shuffle=False)
    for name, array in net.parameters.items():
        np.testing.assert_allclose(array, p[name].detach().numpy(), atol=1e-9)


def test_adafactor_takes_each_groups_matrix_by_itself() -> None:
    """As of an array (g, a, b) in PyTorch."""
    rng, g = np.random.default_rng(0), 3
    layers = [cr.GroupedDense(2, "tanh", groups=g), cr.Dense(1)]
    net = cr.Network(3 * g, layers, "squared_error", dtype="float64", engine="reference")
    X, Y = rng.normal(size=(9, 3 * g)), rng.normal(size=(9, 1))
    p = {name: torch.tensor(array, requires_grad=True) for name, array in net.parameters.items()}
    p["W1"] = p["W1"].detach().reshape(g, 3, 2).requires_grad_()
    optimizer = torch.optim.Adafactor(p.values(), lr=0.1)
    for _ in range(10):
        optimizer.zero_grad()
        z = torch.einsum("mka,kab->mkb", torch.tensor(X).reshape(9, g, 3), p["W1"]).reshape(9, -1) + p["b1"]
        (((torch.tanh(z) @ p["W2"] + p["b2"] - torch.tensor(Y)) ** 2).sum() / 9).backward()
        optimizer.step()
    rule = cr.Adafactor(0.1, average=cr.LastAverage(steps=1))
    net.fit(X, Y, epochs=10, batch_size=9, optimizer=rule, shuffle=False, verbose=False)
    for name, array in net.parameters.items():
        np.testing.assert_allclose(array, p[name].detach().numpy().reshape(array.shape), atol=1e-9, err_msg=name)


def test_lazy_adam_is_pytorchs_sparse_adam(engine: str) -> None:
    """But for where ε stands, which is next to nothing in both here."""
    layers = [cr.Embedding(30, 4, sparse=True), cr.Dense(1)]
    net = cr.Network(2, layers, "squared_error", dtype="float64", engine=engine)
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 30, (24, 2)), rng.normal(size=(24, 1))
    E = torch.nn.Embedding(30, 4, sparse=True, dtype=torch.float64)
    E.weight.data[:] = torch.from_numpy(net.parameters["E"].copy())
    dense = [torch.from_numpy(net.parameters[n].copy()).requires_grad_() for n in ("W1", "b1")]
    rules = [torch.optim.SparseAdam(E.parameters(), lr=0.02, eps=1e-30), torch.optim.Adam(dense, lr=0.02, eps=1e-30)]
    for start in range(0, 24, 4):
        prediction = E(torch.from_numpy(X[start : start + 4])).reshape(4, -1) @ dense[0] + dense[1]
        loss = ((prediction - torch.from_numpy(y[start : start + 4])) ** 2).sum() / 4
        for rule in rules:
            rule.zero_grad()
        loss.backward()
        for rule in rules:
            rule.step()
    net.fit(X, y, epochs=1, batch_size=4, shuffle=False, optimizer=cr.Adam(0.02, epsilon=1e-30), verbose=False)
    np.testing.assert_allclose(net.parameters["E"], E.weight.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(net.parameters["W1"], dense[0].detach().numpy(), rtol=1e-9, atol=1e-12)
