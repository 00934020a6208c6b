"""Constraints that follow an update, and penalties by parameter: they hold, they are kept, and all faults are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.notation import FORMATS, notation_names
from problems import table

CONSTRAINTS: dict[str, Any] = {
    "W1": [cr.MaxNorm(0.8), cr.Monotone([1, 0, -1, 1])],
    "W2": [cr.UnitNorm(), cr.NonNegative()],
    "W": cr.NonNegative(),
    "b1": cr.NonNegative(),
}


def network(engine: str = "reference", **options: Any) -> cr.Network:
    layers = [cr.Dense(37, "tanh"), cr.Dense(5, "tanh"), cr.Dense(3, "softmax")]
    settings: dict[str, Any] = {"dtype": "float64", "constraints": CONSTRAINTS, **options}
    return cr.Network(4, layers, "cross_entropy", engine=engine, **settings)


def hold(net: cr.Network) -> None:
    p = net.parameters
    assert (p["W1"][[0, 3]] >= 0).all() and (p["W1"][2] <= 0).all() and (p["W1"][1] < 0).any() and p["W1"].any()
    assert np.linalg.norm(p["W1"], axis=0).max() <= 0.8 + 1e-12
    np.testing.assert_allclose(np.linalg.norm(p["W2"], axis=0), 1)
    assert (p["W2"] >= 0).all() and (p["W3"] >= 0).all() and (p["b1"] >= 0).all()


@pytest.mark.parametrize(
    ("optimizer", "batch_size"),
    [
        (cr.SGD(0.5), 8),
        (cr.Adam(0.05), 600),
        *(pytest.param(o, size, marks=pytest.mark.long) for o in (cr.Adafactor(), cr.Muon()) for size in (8, 600)),
    ],
)
def test_they_hold_from_the_first_weights_on(optimizer: cr.Optimizer, batch_size: int) -> None:
    X, y = table(650)
    nets = [network("reference"), network("compiled")]
    for net in nets:
        hold(net)
        net.fit(X, y, epochs=3, batch_size=batch_size, optimizer=optimizer, verbose=False)
        hold(net)
    for name, expected in nets[0].parameters.items():
        np.testing.assert_allclose(nets[1].parameters[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)


def test_of_a_table_the_rows_are_units(engine: str) -> None:
    X = np.random.default_rng(0).integers(0, 6, (40, 2))
    layers = [cr.Embedding(6, 3), cr.Dense(4, "softmax")]
    net = cr.Network(2, layers, "cross_entropy", constraints={"E": cr.MaxNorm(0.5)}, engine=engine, dtype="float64")
    net.fit(X, X[:, 0] % 4, epochs=5, optimizer=cr.SGD(1.0), verbose=False)
    lengths = np.linalg.norm(net.parameters["E"], axis=1)
    assert lengths.max() <= 0.5 + 1e-12 and (lengths > 0.499).any()


def test_a_network_rises_in_a_column(engine: str) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(80, 2))
    constraints = {"W1": cr.Monotone([1, 0]), "W2": cr.NonNegative()}
    net = cr.Network(2, [cr.Dense(6, "tanh"), cr.Dense(1)], "squared_error", constraints=constraints, engine=engine)
    net.fit(X, -X[:, :1] + X[:, 1:], epochs=20, optimizer=cr.Adam(0.03), verbose=False)
    assert (net.predict(X + np.array([0.5, 0])) >= net.predict(X) - 1e-6).all()


def test_they_are_saved_and_written(tmp_path: Path) -> None:
    net = network(l2=0.1, penalties={"W1": 0.5, "b": 2})
    net.save(tmp_path / "net.safetensors")
    again = cr.Network.load(tmp_path / "net.safetensors")
    assert again.spec == net.spec and b'"network 2' in (tmp_path / "net.safetensors").read_bytes().replace(b"\\", b"")
    np.testing.assert_array_equal(again.state["sign_W1"].ravel(), [1, 0, -1, 1])
    program = net.derive(optimizer=cr.Adam(0.1), targets="labels")
    assert cr.Program.from_json(program.to_json()) == program
    for notation in notation_names():
        for form in FORMATS:
            assert net.show(notation, form, optimizer=cr.Adam(0.1), why=True)
    text = net.show(optimizer=cr.SGD(0.1), why=True)
    assert "W⁽³⁾ := max(W⁽³⁾ − α ∂𝓛/∂W⁽³⁾, 0)" in text and "unit norm: each unit's weights" in text
    plain = cr.Network(4, [cr.Dense(2)], "squared_error")
    plain.save(tmp_path / "plain.safetensors")
    assert "penalties" not in plain.spec.to_dict()
    assert b"network 1" in (tmp_path / "plain.safetensors").read_bytes()


def test_penalties_by_parameter(engine: str) -> None:
    """λ₂/(2m) Σ factor · ‖W‖², of biases too where they are named."""
    X, y = table(20)
    factors = {"W1": 0.5, "W2": 0.0, "W3": 1.0, "b1": 2.0, "b2": 0.0, "b3": 0.0}
    options = {"l1": 0.2, "l2": 0.6, "penalties": {"W1": 0.5, "W2": 0, "b1": 2}}
    nets = [network(engine, constraints=None, **more) for more in ({}, options)]
    for net in nets:
        net.parameters["b1"][:] = np.linspace(-1, 1, 37)
    plain, penalised = (net.gradients(X, y) for net in nets)
    p = nets[0].parameters
    for name, factor in factors.items():
        more = factor * (0.2 * np.sign(p[name]) + 0.6 * p[name]) / 20
        np.testing.assert_allclose(penalised[name], plain[name] + more, rtol=1e-9, atol=1e-14, err_msg=name)
    whole = sum(f * (0.2 * np.abs(p[n]).sum() + 0.3 * (p[n] ** 2).sum()) for n, f in factors.items())
    assert nets[1].cost(X, y) == pytest.approx(nets[0].cost(X, y) + whole / 20, rel=1e-12)
    value, gradients = nets[1].penalty()
    assert value == pytest.approx(whole) and set(gradients) == {"W1", "W3", "b1"}
    assert nets[1].check(X, y)
    lines = nets[1].show("row").splitlines()
    assert any("0.5 ‖W⁽¹⁾‖² + 2 ‖b⁽¹⁾‖² + ‖W⁽³⁾‖²" in line for line in lines)
    assert any(line.strip().startswith("∂𝓛/∂W⁽¹⁾ =") and "(0.5 λ₂/m) W⁽¹⁾" in line for line in lines)


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(cr.SpecError) as caught:
        cr.Network(
            5,
            [cr.Dense(3, "tanh"), cr.Dense(1)],
            "squared_error",
            l1=-1,
            penalties={"Q": 1, "W1": -1},
            constraints={
                "W1": [cr.Monotone([1, 0]), cr.UnitNorm(), cr.MaxNorm(0.5)],
                "W2": [cr.Monotone([1, -1, 0]), cr.NonNegative(), cr.NonNegative()],
                "b1": cr.MaxNorm(3),
                "w": cr.NonNegative(),
                "b": 3,
            },
        )
    said = str(caught.value)
    for fault in (
        "l1 must be", "penalties['W1'] must be", "constraints['b'] must be a constraint", "Did you mean 'W'",
        "Monotone has 2 signs, and W1 has 5 rows", "MaxNorm(0.5) cannot hold beside UnitNorm",
        "NonNegative is given twice", "NonNegative leaves row 1 nothing but 0",
        "MaxNorm is of matrices, and b1 has the shape (3,)",
    ):  # fmt: skip
        assert fault in said, said
    with pytest.raises(cr.SpecError, match="penalties are factors of l1 and l2, and both are 0"):
        cr.Network(2, [cr.Dense(1)], "squared_error", penalties={"b": 1})
    for wrong in ([2], [], "up", [True]):
        with pytest.raises(cr.SpecError, match="signs must be a sequence of 1, -1 and 0"):
            cr.Monotone(wrong)  # type: ignore[arg-type]
    with pytest.raises(cr.SpecError, match="limit must be above 0"):
        cr.MaxNorm(0)
