"""More than gradients, against PyTorch's autograd in float64 (without it, against finite differences of gradients)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.program import verify
from chainrule.rules.tangent import tangent
from problems import PROBLEMS

BY_NAME = {p.name: p for p in PROBLEMS}
LIST = [p for p in PROBLEMS if not isinstance(p.loss, cr.Cost)]


def direction(net: cr.Network, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=a.shape) for k, a in net.parameters.items()}


def close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    assert set(found) == set(expected)
    largest = max(float(np.abs(a).max(initial=0)) for a in expected.values())
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance * largest, err_msg=name)


# --- without PyTorch -----------------------------------------------------------------------------------------------


def differenced(net: cr.Network, v: dict[str, np.ndarray], data: Any, step: float = 1e-5) -> dict[str, np.ndarray]:
    """(∇J(θ + ε v) - ∇J(θ - ε v)) / 2ε"""
    X, y, w = data
    ends = []
    for sign in (1, -1):
        for name, array in net.parameters.items():
            array += sign * step * v[name]
        ends.append(net.gradients(X, y, sample_weight=w, training=True))
        for name, array in net.parameters.items():
            array -= sign * step * v[name]
    return {name: (ends[0][name] - ends[1][name]) / (2 * step) for name in v}


@pytest.mark.parametrize("problem", PROBLEMS[::2], ids=str)
def test_hessian_products_are_differences_of_gradients(problem: Any) -> None:
    net, data = problem.network("reference"), problem.data()
    v = direction(net)
    found = net.hessian_vector(data[0], data[1], v, sample_weight=data[2], training=True)
    expected = differenced(net, v, data)
    size = max(max(float(np.abs(a).max(initial=0)) for a in expected.values()), 1e-2)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6 * size, err_msg=name)


@pytest.mark.parametrize("problem", LIST[::2], ids=str)
def test_each_samples_gradient_is_the_gradient_of_that_sample(problem: Any) -> None:
    """One at a time through a network of the same parameters, without penalties and with the sum of the losses."""
    net, (X, y, w) = problem.network("reference"), problem.data()
    alone = cr.Network(problem.inputs, net.spec.layers, net.spec.loss, reduction="sum", dtype="float64")
    for name, array in {**alone.parameters, **alone.state}.items():
        array[...] = {**net.parameters, **net.state}[name]
    each = net.per_example_gradients(X, y, sample_weight=w)
    norms = net.gradient_norms(X, y, sample_weight=w)
    variance = net.gradient_variance(X, y, sample_weight=w)
    assert set(each) == set(net.parameters) == set(variance) and set(norms) == {*each, "all"}
    for i in range(len(y)):
        weight = None if w is None else w[i : i + 1]
        single = {k: a[i : i + 1] for k, a in X.items()} if isinstance(X, dict) else X[i : i + 1]
        one = alone.gradients(single, y[i : i + 1], sample_weight=weight)
        for name in each:
            np.testing.assert_allclose(each[name][i], one[name], rtol=1e-9, atol=1e-12, err_msg=name)
    squares = np.zeros(len(y))
    for name, gradients in each.items():
        own = np.sqrt(np.square(gradients).reshape(len(y), -1).sum(axis=1))
        squares += own**2
        np.testing.assert_allclose(norms[name], own, rtol=1e-9, atol=1e-12)
        size = float(np.abs(gradients).max(initial=0)) ** 2
        np.testing.assert_allclose(variance[name], gradients.var(axis=0), rtol=1e-9, atol=1e-12 * size + 1e-300)
    np.testing.assert_allclose(norms["all"], np.sqrt(squares), rtol=1e-9, atol=1e-12)


def test_norms_and_variances_over_several_chunks_of_lookups() -> None:
    net = cr.Network(4, [cr.Embedding(5, 3), cr.Dense(2)], "squared_error", dtype="float64")
    rng = np.random.default_rng(2)
    X, y = rng.integers(0, 5, (150, 4)), rng.normal(size=(150, 2))
    each = net.per_example_gradients(X, y)["E"]
    assert each.shape == (150, 5, 3)
    np.testing.assert_allclose(net.gradient_norms(X, y)["E"], np.linalg.norm(each.reshape(150, -1), axis=1))
    np.testing.assert_allclose(net.gradient_variance(X, y)["E"], each.var(axis=0), rtol=1e-9)


@pytest.mark.parametrize("name", ["batch norm", "layer norm", "softmax, probabilities", "deep", "row minimum", "wide",
                                  "own softmax, hidden", "hidden gelu", "own activation, constant"])  # fmt: skip
def test_jacobians_by_differences(name: str) -> None:
    problem = BY_NAME[name]
    net, X = problem.network("reference"), problem.data()[0]
    found = net.jacobian(X)
    assert found.shape == (len(X), net.spec.outputs, net.spec.inputs)
    for k in range(net.spec.inputs):
        step = np.zeros_like(X)
        step[:, k] = 1e-6
        expected = (net.predict(X + step) - net.predict(X - step)) / 2e-6
        np.testing.assert_allclose(found[:, :, k], expected, rtol=1e-5, atol=1e-8)


def two_in_two_out(hidden: int) -> cr.Network:
    """Numbers beside numbers and tokens; an output kept before the last."""
    layers = [
        cr.Branches([cr.Take("a")], [cr.Take("b")], [cr.Take("kinds"), cr.Embedding([3, 4], 2)]),
        cr.Dense(hidden, "tanh"),
        cr.Branches([cr.Dense(3, "softmax"), cr.Keep("kind")], [cr.Dense(2), cr.Keep("size")]),
        cr.Keep("both"),
    ]
    losses = {"kind": "cross_entropy", "size": "squared_error", "both": "absolute_error"}
    return cr.Network({"a": 2, "b": 1, "kinds": [3, 4]}, layers, losses, dtype="float64", engine="reference")


@pytest.mark.parametrize("output", ["kind", "size"])
def test_jacobians_of_several_inputs_and_outputs(output: str) -> None:
    """Backward from two outputs, and forward from each of three columns where there are three."""
    net = two_in_two_out(4)
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(5, 2)), "b": rng.normal(size=(5, 1)), "kinds": rng.integers(0, 3, (5, 2))}
    several = net.jacobian(X, output=output)
    assert set(several) == {"a", "b"}
    for name, found in several.items():
        assert found.shape == (5, {"kind": 3, "size": 2}[output], X[name].shape[1])
        for k in range(found.shape[2]):
            step = np.zeros_like(X[name])
            step[:, k] = 1e-6
            ends = [net.predict({**X, name: X[name] + sign * step})[output] for sign in (1, -1)]
            np.testing.assert_allclose(found[:, :, k], (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-8)
    with pytest.raises(cr.SpecError, match=r"several outputs: say of which, output='kind' \(kind, size, both\)"):
        net.jacobian(X)
    with pytest.raises(cr.SpecError, match=r"Unknown output 'sise'\. Did you mean 'size'"):
        net.jacobian(X, output="sise")
    alone = cr.Network(2, [cr.Dense(1)], "squared_error", dtype="float64")
    with pytest.raises(cr.SpecError, match="one output, which has no name"):
        alone.jacobian(X["a"], output="size")


def test_a_jacobian_where_more_comes_out_than_in() -> None:
    net = cr.Network({"a": 2, "b": 1}, [cr.Take("a"), cr.Keep("x"), cr.Branches([cr.Take("x")], [cr.Take("b")]),
                                        cr.Dense(7, "tanh")], "squared_error", dtype="float64")  # fmt: skip
    rng = np.random.default_rng(1)
    X = {"a": rng.normal(size=(4, 2)), "b": rng.normal(size=(4, 1))}
    W, Z = net.parameters["W1"], np.hstack([X["a"], X["b"]]) @ net.parameters["W1"] + net.parameters["b1"]
    expected = (1 - np.tanh(Z) ** 2)[:, :, None] * W.T
    np.testing.assert_allclose(net.jacobian(X)["a"], expected[:, :, :2], rtol=1e-12)
    np.testing.assert_allclose(net.jacobian(X)["b"], expected[:, :, 2:], rtol=1e-12)


def test_a_tangent_program_is_a_program() -> None:
    net = BY_NAME["batch norm, l2"].network("reference")
    program = net.program
    moving = verify(tangent(program, program.parameters))
    assert {g.name for _, g in moving.gradients} == {f"t_d{s}" for s in [*program.parameters, "X"]}
    assert all(e.rule in ("tangent", "ties") for e in moving.equations if e.target.name.startswith("t_"))
    assert "t_dW1 = " in str(moving)


def test_what_cannot_be_is_refused() -> None:
    cost = BY_NAME["own cost"].network("reference")
    X, y, _ = BY_NAME["own cost"].data()
    for method in (cost.per_example_gradients, cost.gradient_norms, cost.gradient_variance):
        with pytest.raises(cr.SpecError, match="needs a loss of each sample"):
            method(X, y)
    tokens = BY_NAME["embedding"]
    with pytest.raises(cr.DataError, match="tokens are not numbers"):
        tokens.network("reference").jacobian(tokens.data()[0])
    net = BY_NAME["l2"].network("reference")
    X, y, _ = BY_NAME["l2"].data()
    with pytest.raises(cr.DataError, match=r"Unknown parameter 'W9'\. Did you mean 'W"):
        net.hessian_vector(X, y, {"W9": np.ones((4, 5))})
    with pytest.raises(cr.DataError, match=r"v\['W1'\] must be numbers of shape \(4, 5\)"):
        net.gauss_newton_vector(X, y, {"W1": np.ones((5, 4))})
    with pytest.raises(cr.DataError, match=r"v\['W1'\] must be finite"):
        net.hessian_vector(X, y, {"W1": np.full((4, 5), np.nan)})
    with pytest.raises(cr.DataError, match="a dictionary"):
        net.hessian_vector(X, y, [1.0])  # type: ignore[arg-type]


def test_what_is_left_out_of_v_does_not_move() -> None:
    net = BY_NAME["l2"].network("reference")
    X, y, _ = BY_NAME["l2"].data()
    v = direction(net)
    whole = net.hessian_vector(X, y, v)
    parts = [net.hessian_vector(X, y, {name: v[name]}) for name in v]
    for name in whole:
        np.testing.assert_allclose(sum(p[name] for p in parts), whole[name], rtol=1e-10, atol=1e-12)


# --- against PyTorch -----------------------------------------------------------------------------------------------

SUITE = ["hidden tanh", "hidden gelu", "hidden softmax", "deep", "wide", "l1, l2, sum", "batch norm", "layer norm",
         "two norms in a row", "embedding", "smoothed labels", "squared error of a softmax", "no biases",
         "binary_cross_entropy, 3 outputs, mean, weighted", "poisson, 3 outputs, mean, weighted",
         "log-softmax, labels"]  # fmt: skip


def torch_case(name: str) -> tuple[Any, ...]:
    """(torch, test_torch's functions, network, data, tensors)"""
    torch = pytest.importorskip("torch", reason="PyTorch, the second opinion, is not installed (the extra `oracle`)")
    import test_torch

    problem = BY_NAME[name]
    net = problem.network("reference")
    X, y, w = problem.data()
    y = y if problem.targets == "labels" else y.astype(float)
    return torch, test_torch, net, (X, y, w)


@pytest.mark.parametrize("name", SUITE)
def test_hessian_products_against_autograd(name: str) -> None:
    torch, functions, net, (X, y, w) = torch_case(name)
    names = list(net.parameters)
    x, target = torch.tensor(X), torch.tensor(y)
    weight = None if w is None else torch.tensor(w)

    def J(*values: Any) -> Any:
        return functions.cost(net.spec, dict(zip(names, values, strict=True)), x, target, weight)

    v = direction(net)
    point = tuple(torch.tensor(net.parameters[k]) for k in names)
    _, expected = torch.autograd.functional.hvp(J, point, tuple(torch.tensor(v[k]) for k in names))
    found = net.hessian_vector(X, y, v, sample_weight=w, training=True)
    close(found, {k: e.numpy() for k, e in zip(names, expected, strict=True)}, 1e-9)


@pytest.mark.parametrize("name", ["hidden tanh", "deep", "l2", "no biases", "hidden gelu", "layer norm"])
def test_gauss_newton_products_against_autograd(name: str) -> None:
    """G v = Jᵀ H_L (J v) with PyTorch's Jacobians, plus the penalty's λ/m v."""
    torch, functions, net, (X, y, w) = torch_case(name)
    names = list(net.parameters)
    x, target = torch.tensor(X), torch.tensor(y)
    each = np.ones(len(X)) if w is None else w

    def outputs(*values: Any) -> Any:
        return functions.predicted(net.spec, dict(zip(names, values, strict=True)), x)

    v = direction(net)
    point = tuple(torch.tensor(net.parameters[k]) for k in names)
    yhat, moved = torch.autograd.functional.jvp(outputs, point, tuple(torch.tensor(v[k]) for k in names))

    def L(out: Any) -> Any:
        return (torch.tensor(each / each.sum()) * functions.each_loss(net.spec.loss.name, out, target)).sum()

    _, curved = torch.autograd.functional.hvp(L, yhat, moved)
    _, expected = torch.autograd.functional.vjp(outputs, point, curved)
    penalty = {k: net.spec.l2 / len(X) * v[k] if k.startswith("W") else 0.0 for k in names}
    found = net.gauss_newton_vector(X, y, v, sample_weight=w, training=True)
    close(found, {k: e.numpy() + penalty[k] for k, e in zip(names, expected, strict=True)}, 1e-9)


def test_gauss_newton_of_softmax_is_the_fisher_matrix() -> None:
    """With softmax and cross entropy: G = E over samples and classes drawn from the prediction of g gᵀ."""
    net = BY_NAME["wide"].network("reference")
    X, y, _ = BY_NAME["wide"].data()
    v = direction(net)
    probabilities = net.predict(X)
    expected = {k: np.zeros_like(a) for k, a in v.items()}
    for label in range(net.spec.outputs):
        each = net.per_example_gradients(X, np.full(len(X), label))
        along = sum((g * v[k]).reshape(len(X), -1).sum(axis=1) for k, g in each.items())
        for k, g in each.items():
            expected[k] += np.tensordot(probabilities[:, label] * along, g, axes=1) / len(X)
    close(net.gauss_newton_vector(X, y, v), expected, 1e-9)


@pytest.mark.parametrize(
    "name", ["hidden tanh", "deep", "wide", "hidden softmax", "layer norm", "softmax, probabilities"]
)
def test_jacobians_against_autograd(name: str) -> None:
    torch, functions, net, (X, _, _) = torch_case(name)
    p = {k: torch.tensor(a) for k, a in net.parameters.items()}

    def outputs(x: Any) -> Any:
        return functions.predicted(net.spec, p, x).sum(0)  # samples do not mix

    expected = torch.autograd.functional.jacobian(outputs, torch.tensor(X)).permute(1, 0, 2).numpy()
    np.testing.assert_allclose(net.jacobian(X), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["hidden gelu", "deep", "embedding", "wide", "layer norm",
                                  "binary_cross_entropy, 3 outputs, mean, weighted"])  # fmt: skip
def test_each_samples_gradient_against_autograd(name: str) -> None:
    torch, functions, net, (X, y, w) = torch_case(name)
    each = net.per_example_gradients(X, y, sample_weight=w)
    for i in range(len(X)):
        p = functions.tensors(net)
        one = cr.NetworkSpec(net.spec.inputs, net.spec.layers, net.spec.loss, reduction="sum")
        weight = None if w is None else torch.tensor(w[i : i + 1])
        functions.cost(one, p, torch.tensor(X[i : i + 1]), torch.tensor(y[i : i + 1]), weight).backward()
        close({k: g[i] for k, g in each.items()}, {k: t.grad.numpy() for k, t in p.items()}, 1e-9)
