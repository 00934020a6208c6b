"""Far out: activations, losses and weights that must stay finite; and where weights begin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.describe.activations import ACTIVATIONS
from chainrule.describe.initialisers import DRAWN as INITIALISERS
from chainrule.describe.initialisers import draw
from chainrule.describe.losses import LOSSES
from problems import classifier, table

RNG = np.random.default_rng


# --- extremes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("size", [0.0, 1.0, 100.0, 1e4])
def test_activations_are_finite_far_out_in_single_precision(name: str, size: float, engine: str) -> None:
    net = cr.Network(4, [cr.Dense(4, name, bias=False)], cr.Cost("sum(yhat * y)"), dtype="float32", engine=engine)
    net.parameters["W1"][...] = np.eye(4)
    X = size * np.array([[1, -1, 0.5, -0.5], [-1, -1, -1, -1], [1, 1, 1, 1]])
    y = RNG(0).normal(size=(3, 4))
    assert np.isfinite(net.predict(X)).all()
    assert np.isfinite(net.gradients(X, y)["X"]).all()


@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_finite_at_extremes(name: str, canonical: bool, engine: str) -> None:
    last = {"binary_cross_entropy": "sigmoid", "cross_entropy": "softmax", "poisson": "softplus"}.get(name, "identity")
    net = cr.Network(3, [cr.Dense(3, last, bias=False)], name, dtype="float32", engine=engine)
    derive = net.derive
    net.derive = lambda **choices: derive(**choices, canonical=canonical)  # type: ignore[method-assign]
    net.parameters["W1"][...] = np.eye(3)
    for size in (1e4, -1e4, 200.0, -200.0):
        X, y = size * np.eye(3), np.eye(3)[::-1].copy()
        if name == "hinge":
            y = 2 * y - 1
        assert math.isfinite(net.cost(X, y)), size
        assert all(np.isfinite(g).all() for g in net.gradients(X, y).values()), size


def test_the_canonical_pair_keeps_its_accuracy_where_probabilities_vanish(engine: str) -> None:
    net = cr.Network(2, [cr.Dense(2, "softmax", bias=False)], "cross_entropy", dtype="float32", engine=engine)
    net.parameters["W1"][...] = np.eye(2)
    assert net.cost([[1000.0, 0.0]], [1]) == pytest.approx(1000.0)
    np.testing.assert_allclose(net.gradients([[1000.0, 0.0]], [1])["X"], [[1.0, -1.0]])


def test_huge_and_tiny_weights(engine: str) -> None:
    X, y = table()
    for scale in (1e-30, 1e4):
        net = classifier(engine, dtype="float32")
        for array in net.parameters.values():
            array *= np.float32(scale)
        assert math.isfinite(net.cost(X, y)) and all(np.isfinite(g).all() for g in net.gradients(X, y).values())


def test_batch_norm_of_a_single_sample(engine: str) -> None:
    net = cr.Network(3, [cr.Dense(4), cr.BatchNorm("relu"), cr.Dense(1)], "squared_error", engine=engine)
    found = net.gradients([[1.0, 2, 3]], [1.0], training=True)
    assert all(np.isfinite(g).all() for g in found.values()) and np.isfinite(net.predict([[1.0, 2, 3]])).all()
    with pytest.raises(cr.SpecError, match="at least 2 samples"):
        net.fit([[1.0, 2, 3]], [1.0], epochs=3, verbose=False)


# --- initial weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [*INITIALISERS, 0.3])
def test_initialisers_have_their_moments(how: Any) -> None:
    a, b = (30, 20) if how == "orthogonal" else (300, 200)
    W = draw(how, (a, b), RNG(0))
    assert W.shape == (a, b)
    if how == "zeros":
        assert not W.any()
        return
    if how == "orthogonal":
        np.testing.assert_allclose(W.T @ W, np.eye(b), atol=1e-12)
        np.testing.assert_allclose(draw(how, (b, a), RNG(0)) @ draw(how, (b, a), RNG(0)).T, np.eye(b), atol=1e-12)
        return
    variance = {"glorot": 2 / (a + b), "he": 2 / a, "lecun": 1 / a}.get(str(how).split("_")[0], 0.09)
    assert abs(W.mean()) < 4 * math.sqrt(variance / W.size)
    assert W.var() == pytest.approx(variance, rel=0.03)
    if str(how).endswith("uniform"):
        assert np.abs(W).max() <= math.sqrt(3 * variance)
    else:
        assert np.abs(W).max() > 3 * math.sqrt(variance)
