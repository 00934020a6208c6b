"""Several outputs, each with a loss of its own: against PyTorch, in both engines, in every notation, in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_executed import given, wrong

import chainrule as cr
from chainrule.notation import MATHEMATICAL, notation_names

LOSSES: dict[str, Any] = {
    "kind": cr.cross_entropy(0.1),
    "size": ("squared_error", 0.3),
    "code": (cr.Loss("abs(yhat - y) ** 3"), 0.5),
}


def network(engine: str = "reference", **options: Any) -> cr.Network:
    parts = [[cr.Dense(3, "softmax"), cr.Keep("kind")], [cr.Dense(2), cr.Keep("size"), cr.Dense(3, "sigmoid")]]
    layers = [cr.Dense(5, "tanh"), cr.Keep("code"), cr.Branches(*parts, join="multiply"), cr.Dense(2), cr.Keep("end")]
    losses = {**LOSSES, "end": cr.Loss("log(1 + (yhat - y) ** 2)")}
    return cr.Network(4, layers, losses, dtype="float64", engine=engine, **options)


def data(m: int = 11) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(3)
    y = {"kind": rng.integers(0, 3, m), "size": rng.normal(size=(m, 2)), "code": rng.normal(size=(m, 5)),
         "end": rng.normal(size=(m, 2))}  # fmt: skip
    return rng.normal(size=(m, 4)), y, rng.uniform(0.2, 2, m)


@pytest.mark.parametrize("canonical", [True, False])
def test_gradients_are_slopes(canonical: bool) -> None:
    X, y, w = data()
    report = network(l2=0.1).check(X, y, sample_weight=w, canonical=canonical)
    assert report, str(report)
    assert not report.faults


def test_against_pytorch(engine: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the second opinion, is not installed (the extra `oracle`)")
    net, (X, y, w) = network(engine, l2=0.1), data()
    p = {name: torch.tensor(array, requires_grad=True) for name, array in net.parameters.items()}
    t = {name: torch.tensor(array) for name, array in y.items()}
    x, weight, F = torch.tensor(X), torch.tensor(w), torch.nn.functional
    code = torch.tanh(x @ p["W1"] + p["b1"])
    kind, size = code @ p["W2"] + p["b2"], code @ p["W3"] + p["b3"]
    end = (torch.softmax(kind, 1) * torch.sigmoid(size @ p["W4"] + p["b4"])) @ p["W5"] + p["b5"]
    each = F.cross_entropy(kind, t["kind"], label_smoothing=0.1, reduction="none")
    each = each + 0.3 * ((size - t["size"]) ** 2).sum(1) + 0.5 * ((code - t["code"]).abs() ** 3).sum(1)
    each = each + torch.log(1 + (end - t["end"]) ** 2).sum(1)
    J = (weight * each).sum() / weight.sum() + 0.05 * sum((p[f"W{k}"] ** 2).sum() for k in range(1, 6)) / len(X)
    J.backward()
    assert net.cost(X, y, sample_weight=w) == pytest.approx(J.item(), rel=1e-11)
    gradients = net.gradients(X, y, sample_weight=w)
    for name, tensor in p.items():
        np.testing.assert_allclose(gradients[name], tensor.grad.numpy(), rtol=1e-10, atol=1e-13, err_msg=name)


def test_they_are_trained_and_predicted_by_name(engine: str, tmp_path: Path) -> None:
    net, (X, y, w) = network(engine), data(40)
    before = net.cost(X, y)
    history = net.fit(X, y, sample_weight=w, epochs=60, optimizer=cr.Adam(0.02), validation_data=(X, y), verbose=False)
    assert net.cost(X, y) < 0.8 * before and history[-1].validation_cost == pytest.approx(net.cost(X, y))
    predictions, cost = net.predict_and_cost(X, y)
    assert cost == pytest.approx(net.cost(X, y)) and net.evaluate(X, y) == pytest.approx((cost, "cost", cost))
    assert {name: p.shape for name, p in predictions.items()} == {
        "kind": (40, 3), "size": (40, 2), "code": (40, 5), "end": (40, 2)
    }  # fmt: skip
    np.testing.assert_array_equal(predictions["size"], net.value("Z3", X))
    net.save(tmp_path / "net.safetensors")
    read = cr.Network.load(tmp_path / "net.safetensors", engine=engine)
    assert read.spec == net.spec
    for name, prediction in read.predict(X).items():
        assert prediction.tobytes() == net.predict(X)[name].tobytes()
    one = net.predict(X[:1])
    np.testing.assert_allclose(one["end"], predictions["end"][:1], rtol=1e-12)


@pytest.mark.parametrize("notation", MATHEMATICAL)
@pytest.mark.parametrize("kinds", ["values", ("labels", "values", "values", "values")])
def test_every_line_is_true(notation: str, kinds: Any) -> None:
    net, (X, y, w) = network(l2=0.2), data(5)
    if kinds == "values":
        y["kind"] = np.eye(3)[y["kind"]]
    program = net.derive(optimizer=cr.SGD(0.1), targets=kinds, weighted=True)
    assert wrong(program, given(net, program, X, y, w), notation) == []


def test_they_are_written_in_every_notation() -> None:
    net = network()
    for notation in notation_names():
        assert "kind" in net.show(notation) and net.show(notation, "latex").isascii()


X = np.ones((2, 3))
BOTH = {"h": "huber", "end": "huber"}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: _with({}), "loss is empty"),
        (lambda: _with({"h": "huber", "end": "nope"}), "loss['end']: Unknown loss 'nope'"),
        (lambda: _with({"h": "huber"}), "The last value has no loss"),
        (
            lambda: _with({"g": "huber", "end": "huber"}),
            "loss['g']: Unknown value 'g'. Known: end, h. Name it where it is made",
        ),
        (lambda: _with({"h": ("huber", -1), "end": "huber"}), "The factor of loss['h'] must be"),
        (lambda: _with({"h": cr.Cost("sum(yhat * y)"), "end": "huber"}), "loss['h'] must be a loss of each sample"),
        (lambda: _with({"h": "cross_entropy", "end": "huber"}), "loss['h']: The loss cross_entropy does not fit"),
        (lambda: _with(BOTH).cost(X, np.ones(2)), "y must be a dict of h, end"),
        (lambda: _with(BOTH).cost(X, {"h": np.ones((2, 4)), "en": 1}), "y lacks 'end'. Unknown output 'en'. Did you"),
        (lambda: _with(BOTH).cost(X, {"h": np.ones((2, 5)), "end": [1, 2]}), "y['h'] must be of shape (2, 4)"),
    ],
)
def test_what_is_refused(made: Callable[[], object], said: str) -> None:
    with pytest.raises(cr.ChainruleError) as caught:
        made()
    assert said in str(caught.value)


def _with(losses: dict[str, Any]) -> cr.Network:
    return cr.Network(3, [cr.Dense(4, "tanh"), cr.Keep("h"), cr.Dense(1), cr.Keep("end")], losses)
