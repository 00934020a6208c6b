"""Sums of many terms keep float32's digits: products, softmax, norms, batches; short ones have the bits they had."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr

DEEP = 300_000


def error(found: Any, exact: Any) -> float:
    return float(np.abs(np.asarray(found, np.float64) / np.asarray(exact, np.float64) - 1).max())


@pytest.mark.parametrize("outputs", [1, 3, 40, 100])
@pytest.mark.parametrize("kind", ["alike", "random"])
def test_a_product_over_very_many_inputs(kind: str, outputs: int, engine: str) -> None:
    k = DEEP if outputs <= 3 else 40_000
    rng = np.random.default_rng(0)
    X = np.ones((5, k), np.float32) if kind == "alike" else rng.random((5, k), np.float32)
    W = np.full((k, outputs), 0.1, np.float32) if kind == "alike" else rng.random((k, outputs), np.float32)
    net = cr.Network(k, [cr.Dense(outputs)], "squared_error", engine=engine)
    net.parameters["W1"] = W
    exact = X.astype(np.float64) @ W.astype(np.float64)
    assert error(net.predict(X), exact) < 2e-5
    for _ in range(2):
        assert error(net.predict(X[:1]), exact[:1]) < 2e-5
    X[:, rng.random(k) < 0.97] = 0  # mostly zeros take another way
    exact = X.astype(np.float64) @ W.astype(np.float64)
    assert error(net.predict(X), exact) < 2e-5


@pytest.mark.parametrize("last", ["softmax", "log_softmax"])
@pytest.mark.parametrize("classes", [10_000, 100_000])
def test_softmax_over_very_many_classes_adds_up_to_1(classes: int, last: str, engine: str) -> None:
    b = np.random.default_rng(1).normal(size=classes).astype(np.float32)
    net = cr.Network(1, [cr.Dense(classes, last)], "cross_entropy", engine=engine)
    net.parameters["W1"][...] = 0
    X, label = np.zeros((17, 1)), 5
    for values in (b, np.zeros_like(b), np.where(np.arange(classes) % 3 == 0, 2.3, b).astype(np.float32)):
        net.parameters["b1"] = values
        for rows in (X, X[:1]):
            found = net.predict(rows).astype(np.float64)
            total = found.sum(1) if last == "softmax" else np.exp(found).sum(1)
            assert np.abs(total - 1).max() < 1e-6
        wide = values.astype(np.float64)
        exact = math.log(np.exp(wide).sum()) - wide[label]
        assert net.cost(X, np.full(17, label)) == pytest.approx(exact, rel=1e-6)


def test_a_norm_of_very_many_weights_alike(engine: str) -> None:
    net = cr.Network(1000, [cr.Dense(1000)], "squared_error", engine=engine, l2=1.0)
    net.parameters["W1"][...] = 0.1
    exact = 1e6 * float(np.float32(0.1)) ** 2 / 4
    assert net.cost(np.zeros((2, 1000)), np.zeros((2, 1000))) == pytest.approx(exact, rel=5e-6)


@pytest.mark.parametrize("hidden", [2, 40])
@pytest.mark.parametrize("kind", ["alike", "random"])
def test_the_gradients_of_a_batch_of_very_many(kind: str, hidden: int, engine: str) -> None:
    X = np.full((DEEP, 3), 0.7, np.float32)
    if kind == "random":
        X = np.random.default_rng(0).random((DEEP, 3), np.float32)
    y = np.zeros(DEEP)
    layers = [cr.Dense(hidden, "tanh"), cr.Dense(1)]
    net = cr.Network(3, layers, "squared_error", engine=engine)
    exact = cr.Network(3, layers, "squared_error", engine="compiled", dtype="float64")
    for name, array in net.parameters.items():
        array[...] = 0.3 if name.startswith("W") else 0.2
        exact.parameters[name] = array
    assert net.cost(X, y) == pytest.approx(exact.cost(X, y), rel=1e-5)
    a, b = net.gradients(X, y), exact.gradients(X, y)
    for name in net.parameters:
        assert error(a[name], b[name]) < 3e-5, name


@pytest.mark.parametrize(
    ("width", "dtype"),
    [
        pytest.param(width, dtype, marks=[] if width in often else [pytest.mark.long])
        for width in (4096, 4097, 4099, 4159, 8192, 8193, 12_345)
        for dtype, often in (("float32", (4096, 4097, 4159, 8193, 12_345)), ("float64", (4097,)))
    ],
)
def test_no_term_is_left_out_and_none_is_taken_twice(width: int, dtype: str) -> None:
    """Ones and powers of two add up exactly, in any order."""
    net = cr.Network(width, [cr.Dense(1)], "squared_error", dtype=dtype, engine="compiled", l2=2.0)
    net.parameters["W1"][...] = 1
    X = np.zeros((3, width))
    X[0] = 1
    X[1, :: width // 7] = 4
    X[2, -3:] = 1
    for rows in (X, X[1:2]):
        np.testing.assert_array_equal(net.predict(rows)[:, 0], rows.sum(1))
    assert net.cost(np.zeros((2, width)), np.zeros(2)) == width / 2
    summed = cr.Activation("sum(exp(min(z, 0))) + max(z)")
    other = cr.Network(1, [cr.Dense(width, summed)], "squared_error", dtype=dtype, engine="compiled")
    other.parameters["W1"][...] = 0
    other.parameters["b1"][-1] = 1
    for m in (1, 5):
        np.testing.assert_array_equal(other.predict(np.zeros((m, 1))), width + 1)
    wide = cr.Network(width, [cr.Dense(100)], "squared_error", dtype=dtype, engine="compiled")
    wide.parameters["W1"][...] = 1
    for rows in (X, X[:1], X[2:]):
        np.testing.assert_array_equal(wide.predict(rows), np.repeat(rows.sum(1)[:, None], 100, 1))


def test_bits_of_long_sums_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3000, 5000)).astype(np.float32), rng.normal(size=(3000, 2))
    fitted = []
    for threads in (1, 2):
        net = cr.Network(5000, [cr.Dense(20, "tanh"), cr.Dense(2)], "squared_error", engine="compiled", seed=1)
        net.fit(X, y, epochs=1, batch_size=1500, threads=threads, verbose=False)
        fitted.append({k: v.copy() for k, v in net.parameters.items()})
    for name, array in fitted[0].items():
        np.testing.assert_array_equal(fitted[1][name], array)
