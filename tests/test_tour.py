"""A tour of chainrule, to be read from the top: describe, look, check, train, predict, keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chainrule as cr


@pytest.fixture(scope="module")
def spirals() -> tuple[np.ndarray, np.ndarray]:
    """Two classes of points in the plane, each wound around the other: no straight line parts them."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    radius = rng.uniform(0.3, 2, 400)
    angle = 2.5 * radius + np.pi * y
    X = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.03, (400, 2))
    return X, y


def described(engine: str) -> cr.Network:
    """First you say what you want: two inputs, two hidden layers, two classes."""
    layers = [cr.Dense(32, "tanh"), cr.Dense(16, "relu"), cr.Dense(2, "softmax")]
    return cr.Network(inputs=2, layers=layers, loss="cross_entropy", dtype="float64", seed=0, engine=engine)  # type: ignore[arg-type]


def test_look_at_the_derivation(engine: str) -> None:
    """chainrule derives the forward and backward propagation as equations; print them, with their shapes."""
    printed = " ".join(str(described(engine).program).split())
    for line in (
        "Z1 = X W1 + b1 (m, 32)",
        "A1 = tanh(Z1) (m, 32)",
        "dZ3 = (A3 - Y) / m (m, 2)",
        "dW3 = A2ᵀ dZ3 (16, 2)",
        "dA2 = dZ3 W3ᵀ (m, 16)",
        "dZ1 = dA1 (1 - A1²) (m, 32)",
    ):
        assert line in printed


def test_check_a_gradient(engine: str, spirals: tuple[np.ndarray, np.ndarray]) -> None:
    """A gradient says how the cost J changes as a weight does; so change a weight a little, and see."""
    net, (X, y) = described(engine), spirals
    slope = net.gradients(X, y)["W2"][3, 5]
    weight = net.parameters["W2"][3:4, 5:6]  # a view: writing to it writes to the network
    weight += 1e-5
    above = net.cost(X, y)
    weight -= 2e-5
    below = net.cost(X, y)
    assert (above - below) / 2e-5 == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_train_predict_and_keep(engine: str, spirals: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """Training repeats the four sections for batch after batch: forward, cost, backward, update."""
    net, (X, y) = described(engine), spirals
    train, test = slice(0, 300), slice(300, 400)
    history = net.fit(X[train], y[train], epochs=150, optimizer=cr.Adam(0.01), validation_data=(X[test], y[test]))
    assert history[-1].cost < 0.2 * history[0].cost
    assert history[-1].validation_metric is not None and history[-1].validation_metric > 0.95

    probabilities = net.predict(X[test])
    assert probabilities.shape == (100, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == y[test]).mean() > 0.95

    net.save(tmp_path / "spirals.safetensors")
    again = cr.Network.load(tmp_path / "spirals.safetensors", engine=engine)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.predict(X), net.predict(X))


def test_bring_your_own_mathematics(engine: str) -> None:
    """Any formula will do: its derivative is derived, simplified, and runs wherever the others run."""
    bump = cr.Activation("exp(-z ** 2)")
    careful = cr.Loss("log(1 + (yhat - y) ** 2)")
    net = cr.Network(1, [cr.Dense(20, bump), cr.Dense(1)], careful, dtype="float64", engine=engine)  # type: ignore[arg-type]
    printed = " ".join(str(net.program).split())
    assert "A1 = exp(-Z1²) (m, 20)" in printed and "dZ1 = -2 dA1 A1 Z1 (m, 20)" in printed
    X = np.linspace(-3, 3, 200)[:, None]
    before = net.cost(X, np.sin(X))
    net.fit(X, np.sin(X), epochs=60, optimizer=cr.Adam(0.02), verbose=False)
    assert net.cost(X, np.sin(X)) < 0.05 * before
