"""check(gradients=...): what was written by hand is judged, and what is wrong with it is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError, SpecError

M = 5
RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(M, 2)), np.array([0.0, 1, 1, 0, 1])
Values = dict[str, np.ndarray]


def network(dtype: str = "float64") -> cr.Network:
    layers = [cr.Dense(3, "tanh"), cr.Dense(1, "sigmoid")]
    return cr.Network(2, layers, "binary_cross_entropy", l2=0.1, dtype=dtype, engine="reference")


def by_hand(net: cr.Network) -> Values:
    """The gradients as a text has them, and what they are made of."""
    W1, b1, W2, b2 = net.parameters.values()
    A1 = np.tanh(X @ W1 + b1)
    A2 = 1 / (1 + np.exp(-(A1 @ W2 + b2)))
    dZ2 = (A2 - Y[:, None]) / M
    dA1 = dZ2 @ W2.T
    dZ1 = dA1 * (1 - A1**2)
    return {
        "W1": X.T @ dZ1 + 0.1 / M * W1, "b1": dZ1.sum(axis=0), "W2": A1.T @ dZ2 + 0.1 / M * W2, "b2": dZ2.sum(axis=0),
        "dZ1": dZ1, "dA1": dA1, "dZ2": dZ2,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_right_is_right(dtype: str) -> None:
    net = network(dtype)
    mine = {name: value.astype(dtype) for name, value in by_hand(net).items()}
    report = net.check(X, Y, gradients=mine)
    assert report and len(report.gradients) == len(mine) and not report.faults
    as_texts_have_them = {"db1": mine["b1"][None, :], "dZ2": mine["dZ2"].ravel(), "dW2": mine["W2"]}
    assert net.check(X, Y, gradients=as_texts_have_them)


MISTAKES: dict[str, tuple[str, Callable[[Values], Any], str]] = {
    "no 1/m": ("dZ2", lambda v: v["dZ2"] * M, "too large by a factor of m = 5: a factor of 1/m is missing"),
    "a mean for a sum": ("b1", lambda v: v["dZ1"].mean(axis=0), "too small by a factor of m = 5"),
    "a sign": ("dA1", lambda v: -v["dA1"], "the sign is wrong"),
    "2": ("W1", lambda v: 2 * v["W1"], "too large by a factor of 2"),
    "transposed": ("W1", lambda v: v["W1"].T, "it is right, but stands transposed"),
    "a row of it transposed": ("W2", lambda v: v["W2"].T, "it is right, but stands transposed"),
    "another shape": ("W1", lambda v: v["W1"][:1], "has the shape (1, 3), W1 has (2, 3)"),
    "no penalty": ("W1", lambda v: X.T @ v["dZ1"], "a missing term: 0.02 W1 (= 0.1 W1 / m)"),
    "no slope": ("W1", lambda v: X.T @ v["dA1"], "no element is right, and they are off by no common factor"),
    "an element": ("W1", lambda v: v["W1"] + np.eye(2, 3, 1)[:, :] * [[0, 1, 0], [0, 0, 0]], "the first at [0, 1]"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_wrong_is_said(mistake: str) -> None:
    name, wrong, said = MISTAKES[mistake]
    net = network()
    mine = by_hand(net)
    report = net.check(X, Y, gradients=mine | {name: wrong(mine)})
    gradient = name if name.startswith("d") else f"d{name}"
    assert [f.target for f in report.faults] == [gradient] and said in str(report)
    assert [g.name for g in report.gradients if not g.ok] == [gradient]


def test_a_square_one_that_is_transposed_and_one_too_large_to_look_at_each() -> None:
    net = cr.Network(40, [cr.Dense(40, "tanh"), cr.Dense(1)], "squared_error", dtype="float64", engine="reference")
    Z, y = RNG.normal(size=(6, 40)), RNG.normal(size=(6, 1))
    W1 = net.gradients(Z, y)["W1"]
    assert net.check(Z, y, gradients={"W1": W1}).gradients[0].kind == "directional"
    assert "it stands transposed" in str(net.check(Z, y, gradients={"W1": W1.T}))


def test_what_cannot_be_checked_is_refused() -> None:
    net = network()
    for wrong, kind, said in [
        ({"W9": np.ones(3)}, SpecError, "Unknown gradient 'W9'"),
        ({}, SpecError, "There is no gradient to check"),
        ({"W1": "text"}, DataError, "must be an array of numbers. Got str"),
        ({"W1": np.full((2, 3), np.nan)}, DataError, "must be finite. It has 6 that are not"),
    ]:
        with pytest.raises(kind, match=said):
            net.check(X, Y, gradients=wrong)
    with pytest.raises(SpecError, match="Either a program"):
        net.check(X, Y, program=net.program, gradients={"W1": np.ones((2, 3))})
