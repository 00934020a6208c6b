"""Numbers keep their digits: stable losses, tails of activations; both engines, both dtypes.

The right values come from Python's own floats (math, float64) or from fractions of them, never from an engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr

DTYPES = ["float32", "float64"]
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def through(last: str, loss: Any, engine: str, dtype: str, outputs: int = 1) -> cr.Network:
    """A network whose Z is its X."""
    net = cr.Network(outputs, [cr.Dense(outputs, last)], loss, engine=engine, dtype=dtype)
    net.parameters["W1"][...] = np.eye(outputs)
    return net


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", ["softmax", "log_softmax"])
@pytest.mark.parametrize("common", [0.0, 1e3, -1e5, 1e8, -3e30])
def test_the_cost_does_not_depend_on_what_is_common_to_all_logits(
    common: float, last: str, engine: str, dtype: str
) -> None:
    net = through(last, "cross_entropy", engine, dtype, 3)
    assert net.cost([[common] * 3], [1]) == pytest.approx(math.log(3), rel=4 * EPS[dtype])
    assert net.cost([[common, common, common - abs(common) - 1e9]], [0]) == pytest.approx(
        math.log(2), rel=4 * EPS[dtype]
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", ["softmax", "log_softmax"])
@pytest.mark.parametrize("margin", [0.1, 1.0, 5.0, 17.0, 30.0, 60.0])
def test_small_cross_entropies_keep_their_digits(margin: float, last: str, engine: str, dtype: str) -> None:
    net = through(last, "cross_entropy", engine, dtype, 3)
    for shift in (0.0, 4.0, -2.0):
        z = np.array([shift, shift - margin, shift - 2 * margin], dtype)
        rest = sum(math.exp(float(z[k]) - float(z[0])) for k in (1, 2))
        assert net.cost(z[None], [0]) == pytest.approx(math.log1p(rest), rel=20 * EPS[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_where_several_are_the_largest(engine: str, dtype: str) -> None:
    net = through("softmax", "cross_entropy", engine, dtype, 4)
    Z = [[2.0, 2.0, -40.0, 2.0], [0.0, 0.0, -1.0, -1.0]]
    assert net.cost(Z[:1], [3]) == pytest.approx(math.log(3), rel=4 * EPS[dtype])
    assert net.cost(Z[1:], [2]) == pytest.approx(1 + math.log(2 + 2 / math.e), rel=4 * EPS[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_probabilities_as_targets(smoothing: float, engine: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    Z, Y = 5 * rng.normal(size=(40, 6)), rng.dirichlet(np.ones(6), 40)
    net = through("softmax", cr.cross_entropy(smoothing), engine, dtype, 6)
    logs = Z - Z.max(1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(1, keepdims=True))
    smoothed = (1 - smoothing) * Y + smoothing / 6
    assert net.cost(Z, Y) == pytest.approx(-(smoothed * logs).sum(1).mean(), rel=20 * EPS[dtype])
    thirds = np.full((1, 6), 0.1666)  # rounded probabilities add up to 0.9996: they stand for sixths
    assert net.cost(Z[:1], thirds) == pytest.approx(-logs[0].mean(), rel=20 * EPS[dtype])
    slope = net.gradients(Z[:1], thirds)["X"][0]
    np.testing.assert_allclose(slope, np.exp(logs[0]) - 1 / 6, atol=4 * EPS[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("z", [0.0, 1e-3, 0.5, -0.5, 3.0, -3.0, 20.0, -20.0, 60.0, -60.0, 1e8, -1e8])
def test_binary_cross_entropy_keeps_its_digits(z: float, engine: str, dtype: str) -> None:
    net = through("sigmoid", "binary_cross_entropy", engine, dtype)
    z = float(np.dtype(dtype).type(z))
    small = math.log1p(math.exp(-abs(z)))
    for y in (0.0, 1.0, 0.25):
        exact = small + ((1 - y) * z if z > 0 else -y * z)
        assert net.cost([[z]], [y]) == pytest.approx(exact, rel=8 * EPS[dtype], abs=0)


POISSON: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    # log a and its slope, by z
    "softplus": (
        lambda z: math.log(math.log1p(math.exp(z))) if z > -700 else z,
        lambda z: 1 / (1 + math.exp(-z)) / math.log1p(math.exp(z)) if z > -700 else 1.0,
    ),
    "sigmoid": (
        lambda z: -math.log1p(math.exp(-z)) if z > -700 else z,
        lambda z: 1 / (1 + math.exp(z)),
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", POISSON)
@pytest.mark.parametrize(
    "z", [-1e4, -800.0, -104.0, -90.0, -40.0, -20.5, -20.0, -19.5, -5.0, -0.5, 0.0, 0.7, 4.0, 30.0]
)
def test_poisson_recovers_from_far_out(z: float, last: str, engine: str, dtype: str) -> None:
    net = through(last, "poisson", engine, dtype)
    z = float(np.dtype(dtype).type(z))
    value = math.log1p(math.exp(z)) if last == "softplus" else 1 / (1 + math.exp(-z)) if z > -700 else 0.0
    log, slope = (f(z) for f in POISSON[last])
    own = 1 / (1 + math.exp(-z)) if z > -700 else 0.0
    if last == "sigmoid":
        own *= 1 / (1 + math.exp(z))
    for y in (0.0, 1.0, 7.0):
        scale = value + y * abs(log)
        assert net.cost([[z]], [y]) == pytest.approx(value - y * log, abs=10 * EPS[dtype] * scale + 1e-37)
        found = float(net.gradients([[z]], [y])["X"][0, 0])
        assert found == pytest.approx(own - y * slope, abs=10 * EPS[dtype] * (own + y * slope) + 1e-37)


def test_poisson_far_out_learns_again(engine: str) -> None:
    net = through("softplus", "poisson", engine, "float32")
    net.parameters["W1"][...] = 0.0
    net.parameters["b1"][...] = -200.0
    net.fit(np.zeros((8, 1)), np.full(8, 3.0), epochs=400, batch_size=8, optimizer=cr.SGD(0.5), verbose=False)
    assert net.predict([[0.0]])[0, 0] == pytest.approx(3.0, rel=1e-3)


def test_poisson_of_shares(engine: str) -> None:
    net = through("softmax", "poisson", engine, "float32", 3)
    z, y = np.array([[-200.0, 0.0, 1.0]]), np.array([[2.0, 0.0, 1.0]])
    logs = z[0] - 1 - math.log(1 + math.exp(-1))
    assert net.cost(z, y) == pytest.approx(1 - (y[0] * logs).sum(), rel=1e-6)
    np.testing.assert_allclose(net.gradients(z, y)["X"][0], 3 * np.exp(logs) - y[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("last", "loss"),
    [("softplus", "poisson"), ("sigmoid", "poisson"), ("softmax", "poisson"), ("log_softmax", "cross_entropy")],
)
def test_pairs_are_the_long_way(last: str, loss: str) -> None:
    rng = np.random.default_rng(1)
    net = cr.Network(5, [cr.Dense(4, "tanh"), cr.Dense(3, last)], loss, dtype="float64", engine="reference")
    X = rng.normal(size=(20, 5))
    Y = rng.dirichlet(np.ones(3), 20) if loss == "cross_entropy" else rng.poisson(2.0, (20, 3)).astype(float)
    report = net.check(X, Y)
    long = net.check(X, Y, canonical=False)
    assert report and long
    assert report.cost == pytest.approx(long.cost, rel=1e-13)


# --- activations -----------------------------------------------------------------------------------------------------


def _gelu(z: float) -> tuple[float, float]:
    share = 0.5 * math.erfc(-z / math.sqrt(2))
    return z * share, share + z * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def _gelu_tanh(z: float) -> tuple[float, float]:
    c = 2 * math.sqrt(2 / math.pi)
    share = _sigmoid(c * (z + 0.044715 * z**3))
    other = _sigmoid(-c * (z + 0.044715 * z**3))
    return z * share, share + z * share * other * c * (1 + 3 * 0.044715 * z * z)


def _silu(z: float) -> tuple[float, float]:
    share = _sigmoid(z)
    return z * share, share + z * share * _sigmoid(-z)


def _softplus(z: float) -> tuple[float, float]:
    return math.log1p(math.exp(z)), _sigmoid(z)


def _mish(z: float) -> tuple[float, float]:
    t = math.tanh(math.log1p(math.exp(z)))
    return z * t, t + z * (1 - t * t) * _sigmoid(z)


TAILS = {"gelu": _gelu, "gelu_tanh": _gelu_tanh, "silu": _silu, "softplus": _softplus, "mish": _mish}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TAILS)
def test_tails_of_activations(name: str, engine: str, dtype: str) -> None:
    """Relative to the exact value, within what the rounding of z² in an exponent costs: a few eps z²."""
    points = np.array([-12.0, -9.0, -7.5, -6.0, -5.0, -4.0, -3.0, -1.7, -0.3, -1e-3, 1e-3, 0.4, 2.0, 9.0], dtype)
    if name == "gelu_tanh":
        points = points[points > -9]  # below, the value itself is below every normal float32
    net = through(name, cr.Loss("yhat + 0 * y"), engine, dtype)
    values = net.predict(points[:, None])[:, 0]
    slopes = net.gradients(points[:, None], np.zeros(len(points)))["X"][:, 0] * len(points)
    for z, value, slope in zip(points.tolist(), values.tolist(), slopes.tolist(), strict=True):
        exact, steep = TAILS[name](z)
        bound = 4 * EPS[dtype] * (1 + z * z)
        assert value == pytest.approx(exact, rel=bound), z
        assert slope == pytest.approx(steep, rel=4 * bound), z
