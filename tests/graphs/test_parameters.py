"""Parameters in activations: against PyTorch, through files, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(9, 4)), RNG.normal(size=(9, 2))


def prelu() -> cr.Activation:
    return cr.Activation("max(z, 0) + a * min(z, 0)", name="prelu", a=cr.Parameter("n", value=0.25))


def test_a_parametric_relu_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the second opinion, is not installed (the extra `oracle`)")
    net = cr.Network(4, [cr.Dense(5, prelu()), cr.Dense(2)], "squared_error", dtype="float64", engine="reference")
    net.parameters["a1"][...] = RNG.normal(size=5)
    p = {name: torch.tensor(array, requires_grad=True) for name, array in net.parameters.items()}
    hidden = torch.nn.functional.prelu(torch.tensor(X) @ p["W1"] + p["b1"], p["a1"])
    J = ((hidden @ p["W2"] + p["b2"] - torch.tensor(Y)) ** 2).sum(1).mean()
    J.backward()
    assert net.cost(X, Y) == pytest.approx(J.item(), rel=1e-12)
    gradients = net.gradients(X, Y)
    for name, value in p.items():
        np.testing.assert_allclose(gradients[name], value.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_each_layer_has_its_own() -> None:
    net = cr.Network(4, [cr.Dense(5, prelu()), cr.LayerNorm(prelu()), cr.Dense(2, prelu())], "squared_error")
    assert {n: a.shape for n, a in net.parameters.items() if n[0] == "a"} == {"a1": (5,), "a1_2": (5,), "a2": (2,)}
    assert all((net.parameters[name] == 0.25).all() for name in ("a1", "a1_2", "a2"))
    assert [str(e) for e in net.program.backward if e.target.name == "da2"] == [
        "da2 = Σ dA2 min(Z2, 0)   over i   (2,)"
    ]


def test_rates_by_name_hold_one_still() -> None:
    net = cr.Network(4, [cr.Dense(5, prelu()), cr.Dense(2, prelu())], "squared_error", engine="reference")
    net.fit(X, Y, epochs=1, optimizer=cr.Adam(0.1, rates={"a1": 0.0}), verbose=False)
    assert (net.parameters["a1"] == 0.25).all() and (net.parameters["a2"] != 0.25).all()


def test_through_a_file(tmp_path: Path) -> None:
    net = cr.Network(4, [cr.Dense(5, prelu()), cr.Dense(2)], "squared_error", engine="reference", dtype="float64")
    net.save(tmp_path / "parametric.safetensors")
    read = cr.Network.load(tmp_path / "parametric.safetensors", engine="reference")
    assert read.spec == net.spec == pickle.loads(pickle.dumps(net.spec))
    assert read.predict(X).tobytes() == net.predict(X).tobytes()
    assert b'"format": "network 2"' in (tmp_path / "parametric.safetensors").read_bytes().replace(b"\\", b"")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: cr.Activation("max(z, 0) + a * min(z, 0)"), "Unknown name 'a'"),
        (lambda: cr.Activation("z * 2", a=cr.Parameter()), "a is declared and not used in (2.0 * z)"),
        (lambda: cr.Activation("z * a", {"a": cr.Parameter()}, a=cr.Parameter()), "a is declared twice"),
        (lambda: cr.Activation("z * exp", {"exp": cr.Parameter()}), "a parameter cannot be called exp"),
        (lambda: cr.Activation("z", {"z": cr.Parameter()}), "a parameter cannot be called z"),
        (lambda: cr.Activation("z * a", a=0.25), "a must be a Parameter"),  # type: ignore[arg-type]
        (lambda: cr.Activation("z * a", a=cr.Parameter(3)), "a must be a number, cr.Parameter(value=1), or one of"),
        (lambda: cr.Activation("z * a", a=cr.Parameter(), slope="1"), "slope goes with an activation without"),
        (lambda: cr.Activation(lambda z, b: z * b, a=cr.Parameter()), "The function must take z, a. It takes z, b."),
    ],
)
def test_what_is_refused(made: Callable[[], object], said: str) -> None:
    with pytest.raises(cr.SpecError) as fault:
        made()
    assert said in str(fault.value) and "\n" not in str(fault.value)
