"""Every activation, loss and normalisation against its textbook's formula, a number at a time, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.describe.activations import ACTIVATIONS
from chainrule.describe.losses import LOSSES
from chainrule.engines.base import Epoch, Session

Row = list[float]

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # of Klambauer et al. 2017


def _softplus(z: float) -> float:
    return math.log(1 + math.exp(z))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def _elu(z: float, alpha: float) -> float:
    return z if z > 0 else alpha * (math.exp(z) - 1)


SCALAR: dict[Any, Callable[[float], float]] = {
    "identity": lambda z: z,
    "sigmoid": _sigmoid,
    "tanh": math.tanh,
    "relu": lambda z: max(z, 0.0),
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    cr.leaky_relu(0.2): lambda z: z if z > 0 else 0.2 * z,
    "elu": lambda z: _elu(z, 1),
    cr.elu(0.7): lambda z: _elu(z, 0.7),
    "selu": lambda z: SCALE * _elu(z, ALPHA),
    "gelu": lambda z: z * (1 + math.erf(z / math.sqrt(2))) / 2,
    "gelu_tanh": lambda z: z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2,
    "silu": lambda z: z * _sigmoid(z),
    "mish": lambda z: z * math.tanh(_softplus(z)),
    "softplus": _softplus,
    "softsign": lambda z: z / (1 + abs(z)),
    "hard_sigmoid": lambda z: min(max(z / 6 + 1 / 2, 0.0), 1.0),
}
VECTOR: dict[str, Callable[[Row], Row]] = {
    "softmax": lambda z: [math.exp(x) / sum(math.exp(v) for v in z) for x in z],
    "log_softmax": lambda z: [x - math.log(sum(math.exp(v) for v in z)) for x in z],
}
Z = [[-5.0, -1.5, -0.25], [0.75, 2.0, 4.5], [0.1, -0.1, 3.0]]


def _direct(last: Any, loss: Any = "squared_error", engine: str = "reference") -> cr.Network:
    """A network whose Z is its X."""
    net = cr.Network(3, [cr.Dense(3, last, bias=False)], loss, dtype="float64", engine=engine)  # type: ignore[arg-type]
    net.parameters["W1"] = np.eye(3)
    return net


def test_no_formula_is_left_out() -> None:
    assert {name for name in SCALAR if isinstance(name, str)} | VECTOR.keys() == ACTIVATIONS.keys()
    assert {name for name, *_ in LOSS} >= LOSSES.keys()


@pytest.mark.parametrize("given", SCALAR, ids=str)
def test_activations(given: Any) -> None:
    g = SCALAR[given]
    np.testing.assert_allclose(_direct(given).predict(Z), [[g(z) for z in row] for row in Z], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", VECTOR)
def test_activations_of_the_whole_vector(name: str) -> None:
    np.testing.assert_allclose(_direct(name).predict(Z), [VECTOR[name](row) for row in Z], rtol=1e-12)


P = [[0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]]  # what the last layer makes of log P, or of itself
LOG_P = np.log(P)
LOGITS = np.log(P) - np.log1p(-np.array(P))
VALUES = [[0.1, 0.9, -0.4], [3.0, 0.6, 0.2], [0.25, -2.0, 0.5]]
SIGNS = [[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]]
COUNTS = [[0.0, 3.0, 1.0], [2.0, 0.0, 0.0], [1.0, 1.0, 5.0]]
EXPM1 = np.log(np.expm1(P))  # softplus brings these to P


def _huber(e: float, delta: float) -> float:
    return e * e / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2)


def _quantile(y: float, p: float, level: float) -> float:
    return level * (y - p) if y > p else (1 - level) * (p - y)


LOSS: list[tuple[str, Any, str, Any, list[Row], Callable[[float, float], float]]] = [
    # name, loss, the last activation, its Z, y, and what one output p costs where y was wanted
    ("squared_error", "squared_error", "identity", P, VALUES, lambda p, y: (p - y) ** 2),
    ("absolute_error", "absolute_error", "identity", P, VALUES, lambda p, y: abs(p - y)),
    ("huber", "huber", "identity", P, VALUES, lambda p, y: _huber(p - y, 1)),
    ("huber(0.3)", cr.huber(0.3), "identity", P, VALUES, lambda p, y: _huber(p - y, 0.3)),
    ("quantile", "quantile", "identity", P, VALUES, lambda p, y: _quantile(y, p, 0.5)),
    ("quantile(0.9)", cr.quantile(0.9), "identity", P, VALUES, lambda p, y: _quantile(y, p, 0.9)),
    ("hinge", "hinge", "identity", P, SIGNS, lambda p, y: max(0.0, 1 - y * p)),
    ("poisson", "poisson", "softplus", EXPM1, COUNTS, lambda p, y: p - y * math.log(p)),
    ("binary_cross_entropy", "binary_cross_entropy", "sigmoid", LOGITS, P[::-1],
     lambda p, y: -y * math.log(p) - (1 - y) * math.log(1 - p)),
    ("cross_entropy", "cross_entropy", "softmax", LOG_P, P[::-1], lambda p, y: -y * math.log(p)),
    ("cross_entropy, log", "cross_entropy", "log_softmax", LOG_P, P[::-1], lambda p, y: -y * math.log(p)),
    ("cross_entropy(0.1)", cr.cross_entropy(0.1), "softmax", LOG_P, P[::-1],
     lambda p, y: -(0.9 * y + 0.1 / 3) * math.log(p)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "loss", "last", "X", "y", "each"), LOSS, ids=[case[0] for case in LOSS])
def test_losses(name: str, loss: Any, last: str, X: Any, y: list[Row], each: Callable[[float, float], float]) -> None:
    """Summed over the outputs; their mean over the samples, weighted or not, or their sum."""
    rows = [sum(each(p, wanted) for p, wanted in zip(*pair, strict=True)) for pair in zip(P, y, strict=True)]
    w = [0.5, 2.0, 1.0]
    net = _direct(last, loss)
    assert net.cost(X, y) == pytest.approx(sum(rows) / 3, rel=1e-12)
    assert net.cost(X, y, sample_weight=w) == pytest.approx(float(np.dot(w, rows)) / 3.5, rel=1e-12)
    whole = cr.Network(3, net.spec.layers, loss, reduction="sum", dtype="float64")
    whole.parameters["W1"] = np.eye(3)
    assert whole.cost(X, y) == pytest.approx(sum(rows), rel=1e-12)


@pytest.mark.parametrize("kind", ["layer", "batch", "running"])
def test_normalisations(kind: str, engine: str) -> None:
    """γ (a - μ) / √(σ² + ε) + β: over a sample's features, over the batch, by the running means."""
    layer = cr.LayerNorm(epsilon=0.3) if kind == "layer" else cr.BatchNorm(epsilon=0.3)
    net = cr.Network(3, [layer, cr.Dense(3, bias=False)], cr.Cost("sum(yhat * y)"), dtype="float64", engine=engine)  # type: ignore[arg-type]
    net.parameters.update(W1=np.eye(3), gamma0=[2.0, -1.0, 0.5], beta0=[0.1, 0.2, 0.3])
    A = np.array(Z)
    if kind == "running":
        net.state.update(mean0=[0.5, -0.5, 1.0], var0=[4.0, 0.25, 1.0])
        mean, var = np.array(net.state["mean0"]), np.array(net.state["var0"])
    else:
        axis = 1 if kind == "layer" else 0
        mean, var = (
            A.mean(axis=axis, keepdims=True),
            ((A - A.mean(axis=axis, keepdims=True)) ** 2).mean(axis=axis, keepdims=True),
        )
    expected = np.array([2.0, -1.0, 0.5]) * (A - mean) / np.sqrt(var + 0.3) + np.array([0.1, 0.2, 0.3])
    if kind != "batch":
        np.testing.assert_allclose(net.predict(A), expected, rtol=1e-12)
    y = np.arange(9.0).reshape(3, 3)
    assert net.cost(A, y, training=kind != "running") == pytest.approx(float((expected * y).sum()), rel=1e-12)


def test_rates_are_worked_out_in_double_precision(engine: str) -> None:
    """Adam's first step is the learning rate itself: 1 - 0.999 in single precision would be 5e-5 off."""
    net = cr.Network(1, [cr.Dense(1, bias=False)], cr.Cost("sum(yhat)"), dtype="float32", engine=engine)  # type: ignore[arg-type]
    net.parameters["W1"] = [[0.0]]
    net.fit([[3.0]], [0.0], epochs=1, optimizer=cr.Adam(0.25, epsilon=0), verbose=False)
    assert net.parameters["W1"][0, 0] == pytest.approx(-0.25, rel=1e-6)


def test_every_step_has_its_own_rate(engine: str) -> None:
    """J = Σ w x: each step takes the rate of the step times its own x."""
    net = cr.Network(1, [cr.Dense(1, bias=False)], cr.Cost("sum(yhat)"), dtype="float64", engine=engine)  # type: ignore[arg-type]
    net.parameters["W1"] = [[0.0]]
    schedule, X = cr.InverseScaling(0.5), np.array([[1.0], [10.0], [100.0]])
    net.fit(X, [0.0] * 3, epochs=2, batch_size=1, shuffle=False, optimizer=cr.SGD(schedule), verbose=False)
    rates = [0.5 / math.sqrt(t + 1) for t in range(6)]
    assert net.parameters["W1"][0, 0] == pytest.approx(-float(np.dot(rates, [1, 10, 100] * 2)), rel=1e-12)


def test_a_cost_that_is_not_finite_ends_the_epoch_with_nothing_overwritten(engine: str) -> None:
    net = cr.Network(1, [cr.Dense(1)], "squared_error", dtype="float32", engine=engine)  # type: ignore[arg-type]
    program = net.training_program(cr.SGD(1e-3))
    X = np.array([[1.0], [2.0], [1e30], [1.0]], np.float32)
    order = np.arange(4)

    def epoch(session: Session, count: int) -> np.ndarray:
        data = {"X": X, "Y": np.zeros_like(X)}
        return session.epoch(Epoch(data, order[:count], 1, np.full(count, 1e-3), first_step=1, seed=0)).costs

    whole, part = (net.engines.named(engine).open(program, net.parameters) for _ in range(2))
    costs = epoch(whole, 4)
    assert len(costs) == 3 and np.isfinite(costs[:2]).all() and not np.isfinite(costs[2])
    np.testing.assert_array_equal(costs[:2], epoch(part, 2))
    after = part.read()
    assert all(np.array_equal(array, after[name]) for name, array in whole.read().items())
