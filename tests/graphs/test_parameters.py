"""Parameters in activations and losses, losses of several values: against PyTorch, through files, what is refused."""

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


GAUSSIAN = "0.5 * log_variance + 0.5 * (yhat - y) ** 2 * exp(-log_variance)"


def predicting(loss: cr.Loss, variances: int = 2, **options: object) -> cr.Network:
    layers = [
        *(cr.Dense(5, "tanh"), cr.Keep("shared"), cr.Dense(variances), cr.Keep("log_variance")),
        *(cr.Take("shared"), cr.Dense(2)),
    ]
    return cr.Network(4, layers, loss, dtype="float64", engine="reference", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("variances", [1, 2])
def test_a_gaussian_likelihood_is_that_of_pytorch(variances: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the second opinion, is not installed (the extra `oracle`)")
    net = predicting(cr.Loss(GAUSSIAN, values=("log_variance",)), variances)
    p = {name: torch.tensor(array, requires_grad=True) for name, array in net.parameters.items()}
    shared = torch.tanh(torch.tensor(X) @ p["W1"] + p["b1"])
    log_variance = (shared @ p["W2"] + p["b2"]).expand(9, 2)
    mean = shared @ p["W3"] + p["b3"]
    each = torch.nn.functional.gaussian_nll_loss(mean, torch.tensor(Y), log_variance.exp(), reduction="none", eps=1e-30)
    J = each.sum(1).mean()
    J.backward()
    assert net.cost(X, Y) == pytest.approx(J.item(), rel=1e-12)
    gradients = net.gradients(X, Y)
    for name, value in p.items():
        np.testing.assert_allclose(gradients[name], value.grad.numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(net.predict(X), mean.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(
        net.kept(X)["log_variance"], log_variance[:, :variances].detach().numpy(), rtol=1e-12, atol=1e-14
    )


def test_a_temperature_is_learned_and_counted() -> None:
    tempered = cr.Loss(
        "log(sum(exp(T * (yhat - max(yhat))))) - sum(T * y * (yhat - max(yhat)))",
        kind="classes",
        T=cr.Parameter(value=1),
    )
    net = cr.Network(4, [cr.Dense(3)], tempered, dtype="float64", engine="reference", seed=0)
    labels = RNG.integers(0, 3, 9)
    usual = cr.Network(4, [cr.Dense(3, "softmax")], "cross_entropy", dtype="float64", engine="reference", seed=0)
    assert net.cost(X, labels) == pytest.approx(usual.cost(X, labels), rel=1e-12)
    assert net.check(X, labels)
    net.fit(X, labels, epochs=2, optimizer=cr.AdamW(0.1, decays={"T": 0.5}), verbose=False)
    assert net.parameters["T1"] != 1 and "loss" in net.summary().splitlines()[-2] and net.summary().count(" 1\n") == 1


def test_what_every_sample_has_alike_is_each_ones_own_part() -> None:
    net = predicting(cr.Loss(GAUSSIAN + " + q", values=("log_variance",), q=cr.Parameter(value=1)))
    parts, gradients = net.per_example_gradients(X, Y), net.gradients(X, Y)
    assert gradients["q3"] == 2 and (parts["q3"] == 2).all()
    for name in parts:
        np.testing.assert_allclose(parts[name].mean(axis=0), gradients[name], rtol=1e-10, atol=1e-14)


def test_members_have_values_of_their_own_or_one() -> None:
    def net(own: bool) -> cr.Network:
        layers: list[cr.Layer] = [cr.Members(3), cr.GroupedDense(1, "tanh", groups=3), cr.Keep("shared")]
        heads = [cr.GroupedDense(2, groups=3), cr.MeanOfMembers(3)] if own else [cr.Dense(2)]
        layers += [*heads, cr.Keep("log_variance"), cr.Take("shared"), cr.GroupedDense(2, groups=3)]
        loss = cr.Loss(GAUSSIAN, values=("log_variance",))
        return cr.Network(4, [*layers, cr.MeanOfMembers(3)], loss, dtype="float64", engine="reference")

    for own in (True, False):
        assert net(own).check(X[:3], Y[:3])
    assert any(str(e).startswith("log_variance_k") for e in net(False).program.cost)


def test_a_loss_through_a_file_and_a_pickle(tmp_path: Path) -> None:
    loss = cr.Loss(GAUSSIAN + " * s", values=("log_variance",), s=cr.Parameter("n", value=2))
    net = predicting(loss)
    net.fit(X, Y, epochs=1, verbose=False)
    net.save(tmp_path / "loss.safetensors")
    read = cr.Network.load(tmp_path / "loss.safetensors", engine="reference")
    assert read.spec == net.spec == pickle.loads(pickle.dumps(net.spec))
    assert read.cost(X, Y) == net.cost(X, Y)
    several = cr.NetworkSpec(
        4, [cr.Dense(2), cr.Keep("log_variance"), cr.Keep("m")], {"m": (cr.Loss(GAUSSIAN, values=("log_variance",)), 2)}
    )
    assert cr.NetworkSpec.from_dict(several.to_dict()) == several


def test_a_gauss_newton_product_is_of_one_output() -> None:
    with pytest.raises(cr.SpecError, match="needs a loss of one output alone"):
        predicting(cr.Loss(GAUSSIAN, values=("log_variance",))).gauss_newton_vector(X, Y, {})


def test_they_are_called_the_same_in_every_derivation() -> None:
    dropped = cr.Formula("R * x + D", R=cr.Parameter("n", value=1), D=cr.Parameter())
    loss = cr.Loss("A * abs(yhat - y)", A=cr.Parameter(value=1))
    net = cr.Network(4, [cr.Dense(3), cr.Dropout(0.5), dropped, cr.Dense(2)], loss, engine="reference")
    assert list(net.parameters) == ["W1", "b1", "R1_2", "D1_2", "W2", "b2", "A2_2"]
    assert net.predict(X).shape == (9, 2)
    for canonical in (True, False):
        assert [s.name for s in net.derive(canonical=canonical).parameters] == list(net.parameters)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: cr.Loss(GAUSSIAN), "Unknown name 'log_variance'"),
        (lambda: cr.Loss("(yhat - y) ** 2", values=("v",)), "v is declared and not used in"),
        (lambda: cr.Loss(GAUSSIAN, values="log_variance"), "values must be a tuple of names"),
        (lambda: cr.Loss("v + v", values=("v", "v")), "v is twice in values"),
        (lambda: cr.Loss("y", values=("y",)), "a value cannot be called y"),
        (lambda: cr.Loss("v + y", values=("v",), v=cr.Parameter()), "a parameter cannot be called v"),
        (lambda: cr.Loss("s * (yhat - y)", s=cr.Parameter(3)), "s must be a number, cr.Parameter(value=1), or one of"),
        (lambda: cr.Loss("yhat - y", kidn=cr.Parameter()), "kidn is declared and not used"),
        (lambda: predicting(cr.Loss("v * (yhat - y)", values=("v",))), "loss uses 'v', which is not kept."),
        (lambda: predicting(cr.Loss(GAUSSIAN, values=("log_variance",)), 3), "the shapes (m, 2) and (m, 3) do not fit"),
        (lambda: predicting(cr.Loss("sum(shared, 'rows') + yhat", values=("shared",))), "a loss is of one sample"),
        (lambda: predicting(cr.Loss("s * 2", s=cr.Parameter("n"))), "s * 2 must give (m, 2) or (m, 1). It gives (2,)."),
        (
            lambda: cr.NetworkSpec({"a": 2}, [cr.Take("a"), cr.Dense(2)], cr.Loss("a + yhat - y", values=("a",))),
            "loss uses 'a', which is an input. Keep it as a value: cr.Take('a'), cr.Keep('another_name').",
        ),
    ],
)
def test_what_is_refused_of_losses(made: Callable[[], object], said: str) -> None:
    with pytest.raises(cr.SpecError) as fault:
        made()
    assert said in str(fault.value) and "\n" not in str(fault.value)
