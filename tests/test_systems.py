"""The five systems of the textbooks: the derived program held to the formulas, written out by hand in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.reference import ReferenceEngine

Array = np.ndarray


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def shaken(net: cr.Network, scale: float = 0.3) -> cr.Network:
    """Every parameter moved, so that no bias is 0."""
    rng = np.random.default_rng(11)
    for array in net.parameters.values():
        array += scale * rng.normal(size=array.shape)
    return net


def values(net: cr.Network, data: dict[str, Array], *names: str) -> dict[str, Array]:
    """Symbols of the derivation by name, run on the data by the definition of what a program means."""
    program = net.program
    given: dict[str, Any] = {**net.parameters, **data, "m": np.float64(len(data["X"]))}
    return ReferenceEngine(np.dtype(np.float64)).run(program, given, names)


def same(found: dict[str, Array], expected: dict[str, Array]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-11, atol=1e-13, err_msg=name)


def test_names(engine: str) -> None:
    """Tokens -> rows of E side by side -> tanh layers -> softmax; cross entropy; gradients summed over the batch."""
    v, d, c, m = 27, 4, 3, 20
    layers = [cr.Embedding(v, d), cr.Dense(15, "tanh"), cr.Dense(9, "tanh"), cr.Dense(v, "softmax")]
    net = shaken(cr.Network(c, layers, "cross_entropy", reduction="sum", dtype="float64", engine=engine))
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, v, (m, c)), rng.integers(0, v, m)
    p = net.parameters
    A0 = np.concatenate([p["E"][X[:, k]] for k in range(c)], axis=1)
    A1 = np.tanh(A0 @ p["W1"] + p["b1"])
    A2 = np.tanh(A1 @ p["W2"] + p["b2"])
    A3 = softmax(A2 @ p["W3"] + p["b3"])
    assert net.cost(X, y) == pytest.approx(-np.log(A3[np.arange(m), y]).sum(), rel=1e-12)
    dZ3 = A3 - np.eye(v)[y]
    dZ2 = dZ3 @ p["W3"].T * (1 - A2**2)
    dZ1 = dZ2 @ p["W2"].T * (1 - A1**2)
    dA0 = dZ1 @ p["W1"].T
    dE = np.zeros((v, d))
    for i in range(m):
        for k in range(c):
            dE[X[i, k]] += dA0[i, k * d : (k + 1) * d]
    expected = {"E": dE}
    for layer, below, dZ in ((1, A0, dZ1), (2, A1, dZ2), (3, A2, dZ3)):
        expected |= {f"W{layer}": below.T @ dZ, f"b{layer}": dZ.sum(axis=0)}
    same(net.gradients(X, y), expected)


def test_regularised(engine: str) -> None:
    """J = (1/m) Σ L + λ/(2m) Σ ‖W‖² in column notation, an activation of its own per layer."""
    lam, m = 0.7, 13
    names = ["tanh", "sigmoid", "relu", "identity"]
    g: list[Callable[[Array], Array]] = [np.tanh, sigmoid, lambda z: np.maximum(z, 0), lambda z: z]
    slope: list[Callable[[Array], Array]] = [
        lambda z: 1 - np.tanh(z) ** 2,
        lambda z: sigmoid(z) * (1 - sigmoid(z)),
        lambda z: (z > 0).astype(float),
        np.ones_like,
    ]
    layers = [cr.Dense(n, name) for n, name in zip((6, 5, 7, 2), names, strict=True)]
    net = shaken(cr.Network(4, layers, "squared_error", l2=lam, dtype="float64", engine=engine))
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(4, m)), rng.normal(size=(2, m))  # columns are samples
    W = [net.parameters[f"W{k}"].T for k in range(1, 5)]
    b = [net.parameters[f"b{k}"][:, None] for k in range(1, 5)]
    A, Z = [X], []
    for k in range(4):
        Z.append(W[k] @ A[k] + b[k])
        A.append(g[k](Z[k]))
    J = ((A[4] - Y) ** 2).sum() / m + lam / (2 * m) * sum((w**2).sum() for w in W)
    assert net.cost(X.T, Y.T) == pytest.approx(J, rel=1e-12)
    dA, expected = 2 * (A[4] - Y), {}
    for k in reversed(range(4)):
        dZ = dA * slope[k](Z[k])
        expected[f"W{k + 1}"] = (dZ @ A[k].T / m + lam / m * W[k]).T
        expected[f"b{k + 1}"] = dZ.sum(axis=1) / m
        dA = W[k].T @ dZ
    same(net.gradients(X.T, Y.T), {**expected, "X": dA.T / m})


def least_squares(engine: str) -> tuple[cr.Network, Array, Array]:
    layers = [cr.Dense(6, "sigmoid", bias=False), cr.Dense(5, "sigmoid", bias=False), cr.Dense(3, bias=False)]
    net = cr.Network(4, layers, "squared_error", reduction="sum", dtype="float64", seed=4, engine=engine)
    rng = np.random.default_rng(2)
    return net, rng.normal(size=(17, 4)), rng.normal(size=(17, 3))


def single(net: cr.Network, x: Array, y: Array) -> dict[str, Array]:
    """∂E/∂W of one sample: a_0 = x, z_{i+1} = W_i a_i, a_i = σ(z_i), E = Σ (y - z_n)²."""
    W = [net.parameters[f"W{k}"].T for k in (1, 2, 3)]
    a1 = sigmoid(W[0] @ x)
    a2 = sigmoid(W[1] @ a1)
    delta3 = -2 * (y - W[2] @ a2)
    delta2 = W[2].T @ delta3 * a2 * (1 - a2)
    delta1 = W[1].T @ delta2 * a1 * (1 - a1)
    return {"W1": np.outer(delta1, x).T, "W2": np.outer(delta2, a1).T, "W3": np.outer(delta3, a2).T}


def test_least_squares_gradients_of_single_samples_add_up(engine: str) -> None:
    net, X, Y = least_squares(engine)
    batch = net.gradients(X, Y)
    by_hand = [single(net, x, y) for x, y in zip(X, Y, strict=True)]
    by_program = [net.gradients(x[None, :], y[None, :]) for x, y in zip(X, Y, strict=True)]
    for name in ("W1", "W2", "W3"):
        np.testing.assert_allclose(batch[name], sum(g[name] for g in by_hand), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(batch[name], sum(g[name] for g in by_program), rtol=1e-11, atol=1e-12)
    assert net.cost(X, Y) == pytest.approx(((net.predict(X) - Y) ** 2).sum(), rel=1e-12)


def test_least_squares_one_step_over_all_samples(engine: str) -> None:
    net, X, Y = least_squares(engine)
    eta = 1e-3
    expected = {
        name: W - eta * sum(single(net, x, y)[name] for x, y in zip(X, Y, strict=True))
        for name, W in net.parameters.items()
    }
    net.fit(X, Y, epochs=1, batch_size=len(X), optimizer=cr.SGD(eta), verbose=False)
    same(net.parameters, expected)


def test_digits(engine: str) -> None:
    """784-256-10, sigmoid and softmax: dZ2 = (A2 - Y)/m, dW2 = A1ᵀ dZ2, ..., dW1 = Xᵀ dZ1."""
    m = 16
    layers = [cr.Dense(256, "sigmoid"), cr.Dense(10, "softmax")]
    net = shaken(cr.Network(784, layers, "cross_entropy", dtype="float64", engine=engine), 0.05)
    rng = np.random.default_rng(3)
    X, y = rng.uniform(size=(m, 784)), rng.integers(0, 10, m)
    p, Y = net.parameters, np.eye(10)[y]
    A1 = sigmoid(X @ p["W1"] + p["b1"])
    A2 = softmax(A1 @ p["W2"] + p["b2"])
    dZ2 = (A2 - Y) / m
    dA1 = dZ2 @ p["W2"].T
    dZ1 = dA1 * A1 * (1 - A1)
    np.testing.assert_allclose(values(net, {"X": X, "y": y}, "dZ2")["dZ2"], dZ2, rtol=1e-11, atol=1e-15)
    same(
        net.gradients(X, y),
        {
            "W1": X.T @ dZ1,
            "b1": dZ1.sum(axis=0),
            "W2": A1.T @ dZ2,
            "b2": dZ2.sum(axis=0),
            "X": dZ1 @ p["W1"].T,
        },
    )
    J, metric, accuracy = net.evaluate(X, y)
    assert pytest.approx(-np.log(A2[np.arange(m), y]).mean(), rel=1e-12) == J
    assert (metric, accuracy) == ("accuracy", pytest.approx((A2.argmax(axis=1) == y).mean()))


def test_is_it_an_eight(engine: str) -> None:
    """784-256-1, sigmoid: J = -(1/m) Σ y log a + (1 - y) log(1 - a), dZ2 = (A2 - Y)/m."""
    m = 16
    layers = [cr.Dense(256, "sigmoid"), cr.Dense(1, "sigmoid")]
    net = shaken(cr.Network(784, layers, "binary_cross_entropy", dtype="float64", engine=engine), 0.05)
    rng = np.random.default_rng(3)
    X, y = rng.uniform(size=(m, 784)), rng.integers(0, 2, m)
    p, Y = net.parameters, y[:, None]
    A1 = sigmoid(X @ p["W1"] + p["b1"])
    A2 = sigmoid(A1 @ p["W2"] + p["b2"])
    dZ2 = (A2 - Y) / m
    dZ1 = dZ2 @ p["W2"].T * A1 * (1 - A1)
    np.testing.assert_allclose(values(net, {"X": X, "Y": Y}, "dZ2")["dZ2"], dZ2, rtol=1e-11, atol=1e-15)
    found = net.gradients(X, y)
    same(
        {k: v for k, v in found.items() if k != "X"},
        {"W1": X.T @ dZ1, "b1": dZ1.sum(axis=0), "W2": A1.T @ dZ2, "b2": dZ2.sum(axis=0)},
    )
    J, metric, accuracy = net.evaluate(X, y)
    assert pytest.approx(-(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)).mean(), rel=1e-12) == J
    assert (metric, accuracy) == ("accuracy", pytest.approx(((A2 > 0.5) == Y).mean()))


def jacobian(g: Callable[[Array], Array], z: Array) -> Array:
    """∂g_a/∂z_b of one sample by central differences."""
    columns = []
    for b in range(len(z)):
        step = np.zeros_like(z)
        step[b] = 1e-3
        f = [g((z + k * step)[None, :])[0] for k in (-2, -1, 1, 2)]
        columns.append((8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * 1e-3))
    return np.stack(columns, axis=1)


VECTOR: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "softmax": ("exp(z - max(z)) / sum(exp(z - max(z)))", softmax),
    "of unit length": (
        "z / sqrt(sum(z ** 2) + 0.1)",
        lambda z: z / np.sqrt((z**2).sum(axis=1, keepdims=True) + 0.1),
    ),
    "standardised": (
        "(z - mean(z)) / sqrt(mean((z - mean(z)) ** 2) + 0.01)",
        lambda z: (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 0.01),
    ),
    "gated by the sum": ("tanh(z) * sigmoid(sum(z))", lambda z: np.tanh(z) * sigmoid(z.sum(axis=1, keepdims=True))),
}


@pytest.mark.parametrize("name", VECTOR)
def test_general_a_full_jacobian_per_sample(name: str, engine: str) -> None:
    """dz_i = J_g(z_i)ᵀ da_i for an activation of the whole vector, seed ∂f/∂Ŷ, down to dX."""
    formula, g = VECTOR[name]
    f = cr.Cost("1 - sum(yhat * y) / sqrt(sum(yhat ** 2) * sum(y ** 2))")
    layers = [cr.Dense(5, cr.Activation(formula)), cr.Dense(4, cr.Activation(formula))]
    net = shaken(cr.Network(3, layers, f, dtype="float64", engine=engine))
    rng = np.random.default_rng(6)
    X, Y, p = rng.normal(size=(6, 3)), rng.normal(size=(6, 4)), net.parameters
    Z1 = X @ p["W1"] + p["b1"]
    A1 = g(Z1)
    Z2 = A1 @ p["W2"] + p["b2"]
    A2 = g(Z2)
    np.testing.assert_allclose(net.predict(X), A2, rtol=1e-12)
    yy, dot, sizes = (Y**2).sum(), (A2 * Y).sum(), (A2**2).sum()
    assert net.cost(X, Y) == pytest.approx(1 - dot / np.sqrt(sizes * yy), rel=1e-12)
    dA2 = -Y / np.sqrt(sizes * yy) + dot * A2 / (np.sqrt(yy) * sizes**1.5)
    dZ2 = np.stack([jacobian(g, z).T @ da for z, da in zip(Z2, dA2, strict=True)])
    dA1 = dZ2 @ p["W2"].T
    dZ1 = np.stack([jacobian(g, z).T @ da for z, da in zip(Z1, dA1, strict=True)])
    expected = {
        "W1": X.T @ dZ1,
        "b1": dZ1.sum(axis=0),
        "W2": A1.T @ dZ2,
        "b2": dZ2.sum(axis=0),
        "X": dZ1 @ p["W1"].T,
    }
    for key, gradient in net.gradients(X, Y).items():
        np.testing.assert_allclose(gradient, expected[key], rtol=1e-7, atol=1e-10, err_msg=key)
    found = values(net, {"X": X, "Y": Y}, "dA2", "dZ2", "dZ1")
    np.testing.assert_allclose(found["dA2"], dA2, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(found["dZ2"], dZ2, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(found["dZ1"], dZ1, rtol=1e-7, atol=1e-10)
