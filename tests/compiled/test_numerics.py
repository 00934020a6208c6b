"""Where numbers are extreme, both engines say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def pair(*arguments: Any, **options: Any) -> tuple[cr.Network, cr.Network]:
    """The network on both engines, with the same numbers."""
    reference = cr.Network(*arguments, engine="reference", **options)
    compiled = cr.Network(*arguments, engine="compiled", **options)
    return reference, compiled


def agree(a: Any, b: Any, tolerance: float, scale: float = 0.0) -> None:
    """Equal where not finite; elsewhere near, relative to the largest number or to `scale`."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape
    assert np.array_equal(np.isnan(a), np.isnan(b))
    assert np.array_equal(a[np.isinf(a)], b[np.isinf(a)])
    inside = np.isfinite(a)
    scale = max(scale, float(np.abs(a[inside]).max(initial=0)))
    np.testing.assert_allclose(b[inside], a[inside], rtol=tolerance, atol=tolerance * scale)


def same_everywhere(nets: tuple[cr.Network, cr.Network], X: Any, y: Any, tolerance: float, **options: Any) -> None:
    for rows in (X, X[:1]):
        agree(*(net.predict(rows) for net in nets), tolerance)
    agree(*(net.cost(X, y, **options) for net in nets), tolerance)
    same_gradients(nets, X, y, tolerance, **options)


def same_gradients(nets: tuple[cr.Network, cr.Network], X: Any, y: Any, tolerance: float, **options: Any) -> None:
    a, b = (net.gradients(X, y, **options) for net in nets)
    largest = max(float(np.abs(g[np.isfinite(g)]).max(initial=0)) for g in a.values())
    for name in a:
        agree(a[name], b[name], 10 * tolerance, largest)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("last", ["softmax", "log_softmax"])
def test_logits_of_ten_thousand(last: str, dtype: str) -> None:
    nets = pair(3, [cr.Dense(3, last)], "cross_entropy", dtype=dtype)
    for net in nets:
        net.parameters["W1"][...] = np.diag([1e4, -1e4, 1.0])
    X = np.array([[1, 1, 0], [-1, 1, 1], [0, 0, 0], [1, -1, 1e4], [1e-4, 1e-4, 1]])
    for y in (np.array([0, 1, 2, 0, 1]), np.array([1, 1, 1, 1, 1])):
        same_everywhere(nets, X, y, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("last", "loss"), [("sigmoid", "binary_cross_entropy"), ("softplus", "poisson")])
def test_far_out(last: str, loss: str, dtype: str) -> None:
    nets = pair(1, [cr.Dense(1, last)], loss, dtype=dtype)
    for net in nets:
        net.parameters["W1"][...] = 1
    X = np.array([[0.0], [-0.0], [1e-30], [-1e-30], [20], [-20], [90], [-90], [800], [-800], [1e4], [-1e4]])
    for y in (np.zeros(12), np.ones(12)):
        same_everywhere(nets, X, y, TOLERANCE[dtype])


FORMULAS = [
    "z ** 3",
    "z ** -1",
    "abs(z) ** 0.5",
    "abs(z) ** 1.7",
    "2 ** z",
    "(1 + z ** 2) ** z",
    "(z >= 0.5) * 2 - (z != 1) + (z == 1) - (z <= -1) + (z < 0) * z",
    "where(z, 1 / z, 0)",
    "max(max(z, 0), -z)",
    "min(max(z, -1), 1)",
    "max(z, z)",
    "sign(z) + abs(z)",
    "log(z)",
    "sqrt(z)",
    "log1p(expm1(z))",
    "z / 3 + 0.1",
    "1e30 * z * 1e-30",
    "exp(min(z, 3)) * erf(z) - tanh(z) / (2 + z ** 2)",
    "sum(z) / (max(z) - min(z) + 1)",
    "z * mean(abs(z)) + max(z)",
    "1.5",
]


@pytest.mark.parametrize(
    ("formula", "dtype"),
    [
        pytest.param(formula, dtype, marks=[pytest.mark.long] if dtype == "float64" and number % 3 else [])
        for number, formula in enumerate(FORMULAS)
        for dtype in ("float32", "float64")
    ],
)
def test_formulas(formula: str, dtype: str) -> None:
    nets = pair(8, [cr.Dense(8, cr.Activation(formula))], "squared_error", dtype=dtype)
    for net in nets:
        net.parameters["W1"][...] = np.eye(8)
    values = [0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -2.0, 1e-3, 7.25, -6.5, 0.1, 10.0, 0.3, -0.7, 4.0]
    X = np.array(values).reshape(2, 8)
    same_gradients(nets, X, np.zeros((2, 8)), TOLERANCE[dtype])
    rows = X[: 1 + FORMULAS.index(formula) % 2]  # a single one takes another way
    agree(*(net.predict(rows) for net in nets), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["yhat ** y", "abs(yhat) ** y", "(yhat ** 2) ** (y / 2)"])
def test_powers_of_anything(loss: str, dtype: str) -> None:
    nets = pair(1, [cr.Dense(1)], cr.Loss(loss), dtype=dtype)
    for net in nets:
        net.parameters["W1"][...] = 1
    bases = np.array([-3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 1e3])
    exponents = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 0.5, 2.5])
    X, y = (a.reshape(-1, 1) for a in np.meshgrid(bases, exponents))
    for x, exponent in zip(X, y, strict=True):
        found = [net.cost(x[None], exponent[None]) for net in nets]
        assert np.isnan(found[0]) == np.isnan(found[1]), (x, exponent, found)
        agree(found[0], found[1], TOLERANCE[dtype])


def test_ties_share_alike() -> None:
    nets = pair(3, [cr.Dense(5, cr.Activation("z - max(z)")), cr.Dense(2)], cr.Cost("max(yhat) + max(y)"))
    for net in nets:
        net.parameters["W1"][...] = 1  # all five alike
    X = np.repeat(np.arange(6.0).reshape(2, 3), 3, axis=0)
    same_everywhere(nets, X, np.zeros((6, 2)), 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_0_and_l1_at_0(dtype: str) -> None:
    nets = pair(3, [cr.Dense(4, "relu"), cr.Dense(2, "softmax")], "cross_entropy", dtype=dtype, l1=0.5, l2=0.1)
    for net in nets:
        net.parameters["W1"][::2] = 0
        net.parameters["W2"][...] = -0.0
    X = np.random.default_rng(0).normal(size=(37, 3))
    w = np.zeros(37)
    w[[3, 35]] = 1.0, 1e-20
    same_everywhere(nets, X, np.arange(37) % 2, TOLERANCE[dtype], sample_weight=w)


@pytest.mark.parametrize("samples", [1, 2, 15, 16, 17, 31, 33, 255, 257, 513])
@pytest.mark.parametrize("training", [False, True])
def test_norms_of_any_number_of_samples(samples: int, training: bool) -> None:
    nets = pair(1, [cr.BatchNorm(), cr.Dense(1, "tanh"), cr.LayerNorm(), cr.Dense(3), cr.BatchNorm(), cr.Dense(1)],
                "squared_error", dtype="float64", seed=1)  # fmt: skip
    rng = np.random.default_rng(samples)
    X, y = rng.normal(size=(samples, 1)), rng.normal(size=(samples, 1))
    a, b = (net.gradients(X, y, training=training) for net in nets)
    largest = max(float(np.abs(g).max()) for g in a.values())
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=1e-9, atol=1e-10 * largest, err_msg=name)
    agree(nets[0].predict(X), nets[1].predict(X), 1e-12)


def test_a_vocabulary_of_one_and_columns_of_one() -> None:
    nets = pair(1, [cr.Embedding(1, 1), cr.Dense(1, "tanh"), cr.Dense(1)], "squared_error", dtype="float64")
    X, y = np.zeros((19, 1), int), np.linspace(-1, 1, 19)
    same_everywhere(nets, X, y, 1e-12)
    for net in nets:
        net.fit(X, y, epochs=3, batch_size=4, verbose=False)
    for name in nets[0].parameters:
        agree(nets[0].parameters[name], nets[1].parameters[name], 1e-10)


def test_an_embedding_of_many_samples() -> None:
    nets = pair(2, [cr.Embedding(5, 3), cr.Dense(6, "tanh"), cr.Dense(2)], "squared_error", dtype="float64")
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 5, (5000, 2)), rng.normal(size=(5000, 2))
    same_everywhere(nets, X, y, 1e-12)
    for net in nets:
        net.fit(X, y, epochs=1, batch_size=5000, optimizer=cr.SGD(0.1), verbose=False)
    agree(nets[0].parameters["E"], nets[1].parameters["E"], 1e-11)


@pytest.mark.parametrize("samples", [60_000, 250_001])
def test_the_cost_of_many_samples_in_float32(samples: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(samples, 5)).astype(np.float32)
    y = rng.normal(size=(samples, 1)).astype(np.float32)
    layers = [cr.Dense(6, "tanh"), cr.Dense(1)]
    truth = cr.Network(5, layers, "squared_error", dtype="float64", engine="reference", l2=0.1)
    net = cr.Network(5, layers, "squared_error", engine="compiled", l2=0.1)
    for name, array in net.parameters.items():
        truth.parameters[name][...] = array
    exact, found = truth.cost(X, y), net.cost(X, y)
    print(f"relative error of the cost of {samples} samples: {abs(found - exact) / exact:.1e}")
    assert found == pytest.approx(exact, rel=1e-5)
    a, b = truth.gradients(X, y), net.gradients(X, y)
    for name in ("W1", "b1", "W2", "b2"):
        agree(a[name], b[name], 2e-4)


def test_a_norm_over_many_parameters_in_float32() -> None:
    layers = [cr.Dense(1000, "tanh"), cr.Dense(1)]
    nets = [cr.Network(1000, layers, "squared_error", l2=1.0, l1=0.5, dtype=d, engine=e) for d, e in
            (("float64", "reference"), ("float32", "compiled"))]  # fmt: skip
    for name, array in nets[1].parameters.items():
        nets[0].parameters[name][...] = array
    X, y = np.zeros((2, 1000)), np.zeros(2)
    exact, found = (net.cost(X, y) for net in nets)
    print(f"relative error of the penalties on a million weights: {abs(found - exact) / exact:.1e}")
    assert found == pytest.approx(exact, rel=2e-5)


@pytest.mark.parametrize(
    "cost",
    [
        "sum((yhat - mean(yhat)) ** 2)",
        "mean((yhat - mean(yhat, 'rows')) * y)",
        "sum(exp(yhat - max(yhat)))",
        "sum(mean(yhat - y, 'rows') ** 2)",
        "max(yhat) - sum(y) / m",
    ],
)
@pytest.mark.parametrize("samples", [40, 2500])
def test_costs_with_a_sum_within_a_sum(cost: str, samples: int) -> None:
    nets = pair(4, [cr.Dense(3, "tanh")], cr.Cost(cost), dtype="float64")
    rng = np.random.default_rng(samples)
    X, y = rng.normal(size=(samples, 4)), rng.normal(size=(samples, 3))
    same_everywhere(nets, X, y, 1e-11)
    for net in nets:
        net.fit(X, y, epochs=2, batch_size=samples, optimizer=cr.SGD(0.01), verbose=False)
    agree(nets[0].parameters["W1"], nets[1].parameters["W1"], 1e-10)
