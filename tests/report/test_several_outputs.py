"""Reports and pictures of networks with several inputs and outputs: each output by its name, inputs by theirs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import Page, told

import chainrule as cr
from chainrule.errors import DataError, SpecError
from chainrule.report import pictures

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    X = {"numbers": rng.normal(size=(60, 3)), "kinds": rng.integers(0, 4, (60, 1))}
    y = {"kind": X["kinds"][:, 0] % 3, "size": np.stack([X["numbers"][:, 0], X["numbers"].sum(axis=1)], axis=1)}
    layers = [
        cr.Branches([cr.Take("numbers")], [cr.Take("kinds"), cr.Embedding(dimension=2)]),
        cr.Residual(cr.Dense(5, "tanh")), cr.Keep("shared"), cr.Dense(3, "softmax"), cr.Keep("kind"),
        cr.Take("shared"), cr.Dense(2), cr.Keep("size"),
    ]  # fmt: skip
    losses = {"kind": "cross_entropy", "size": ("squared_error", 0.5)}
    net = cr.Network({"numbers": 3, "kinds": [4]}, layers, losses, dtype="float64", engine="reference")
    monitor = cr.Monitor(every=2, X={k: v[:20] for k, v in X.items()}, y={k: v[:20] for k, v in y.items()})
    net.fit(X, y, epochs=2, callbacks=[monitor], validation_data=(X, y), verbose=False)
    return {"net": net, "X": X, "y": y, "monitor": monitor}


def test_the_report_says_each_output_by_its_name(
    fitted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_png", lambda figure: "")  # rendering is what takes time
    net, X, y = fitted["net"], fitted["X"], fitted["y"]
    path = net.report(tmp_path / "r.html", X, y, monitor=fitted["monitor"], names={"kind": ["a", "b", "c"]})
    text = path.read_text(encoding="utf-8")
    assert Page(text).open == []
    p = net.predict(X)
    right, error = np.mean(p["kind"].argmax(axis=1) == y["kind"]), np.sqrt(np.square(p["size"] - y["size"]).mean())
    for what, value in (
        ("kind: accuracy on 60 samples", f"{100 * right:.1f} %"),
        ("size: RMSE on 60", f"{error:.2f} ±"),
    ):
        assert re.search(rf"<strong[^>]*>{re.escape(value)}[^<]*</strong> {what}", text), what
    for name, value in (
        ("inputs kinds", "1 tokens"),
        ("loss kind", "cross_entropy"),
        ("loss size", "0.5 squared_error"),
    ):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    titles = re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", text)
    for title in ("kind: which class was taken for which", "size: predicted over true", "kind: calibration",
                  "The network, a box for each value, lines to where it is used"):  # fmt: skip
        assert title in titles
    charts = {chart["title"]: [line["name"] for line in chart["series"]] for chart in told(text)["curves"]}
    assert charts["Cost"] == ["training", "validation"] and charts["Cost of each output, of the samples watched"] == [
        "kind", "size"
    ]  # fmt: skip
    assert "every gradient agrees" in text.lower()


def test_the_monitor_tells_each_outputs_cost(fitted: dict[str, Any]) -> None:
    monitor, net = fitted["monitor"], fitted["net"]
    assert monitor.outputs == ("kind", "size")
    np.testing.assert_allclose(monitor.column("cost"), monitor.column("kind.cost") + 0.5 * monitor.column("size.cost"))
    few = ({k: v[:20] for k, v in fitted[part].items()} for part in ("X", "y"))
    X, y = few
    error = np.square(net.predict(X)["size"] - y["size"]).sum(axis=1).mean()
    weighted = cr.Monitor(every=100, X=X, y=y)
    again = net.__class__.from_spec(net.spec, dtype="float64", engine="reference")
    again.overwrite(lambda arrays: [np.copyto(arrays[k], v) for k, v in net.parameters.items()] and None)
    w = np.full(60, 3.0)
    again.fit(fitted["X"], fitted["y"], sample_weight=w, epochs=1, callbacks=[weighted], verbose=False)
    assert weighted.records[0]["size.cost"] == pytest.approx(error)


def test_pictures_of_one_output(fitted: dict[str, Any]) -> None:
    net, X, y = fitted["net"], fitted["X"], fitted["y"]
    figure = cr.plot.confusion_matrix(net, X, y, output="kind")
    assert sum(int(text.get_text()) for text in figure.axes[0].texts) == 60
    right = np.mean(net.predict(X)["kind"].argmax(axis=1) == y["kind"])
    assert figure.axes[0].get_title(loc="left") == f"kind: {right:.2%} of 60 right"
    figure = cr.plot.numbers_beside_truth(net, X, y, output="size", theme="dark")
    drawn = np.concatenate([dots.get_offsets() for dots in figure.axes[0].collections])
    p = net.predict(X)["size"]
    np.testing.assert_allclose(drawn, np.concatenate([np.stack([y["size"][:, k], p[:, k]], 1) for k in range(2)]))
    for fault, kind, call in (
        ("This network has several outputs: say output=, one of 'kind', 'size'.", SpecError,
         lambda: cr.plot.confusion_matrix(net, X, y)),
        ("Unknown output 'kin'. Did you mean 'kind'?", SpecError,
         lambda: cr.plot.confusion_matrix(net, X, y, output="kin")),
        ("does not predict classes", SpecError, lambda: cr.plot.confusion_matrix(net, X, y, output="size")),
        ("is of classes; see confusion_matrix", SpecError,
         lambda: cr.plot.numbers_beside_truth(net, X, y, output="kind")),
        ("y lacks 'size'.", DataError, lambda: net.report("r.html", X, {"kind": y["kind"]})),
        ("names must be a dict", SpecError, lambda: net.report("r.html", X, y, names=["a", "b", "c"])),
        ("names['kind'] must be the names of 3 classes", SpecError,
         lambda: net.report("r.html", X, y, names={"kind": ["a"]})),
        ("Unknown output of classes 'size'", SpecError, lambda: net.report("r.html", X, y, names={"size": ["a"]})),
    ):  # fmt: skip
        with pytest.raises(kind) as caught:
            call()
        assert fault in str(caught.value) and "\n" not in str(caught.value)


def test_learning_curves_and_words(fitted: dict[str, Any]) -> None:
    net = fitted["net"]
    assert len(cr.plot.learning_curves(net.history).axes) == 1
    assert repr(net).startswith("Network(numbers 3, kinds 1 → kind 3, size 2 (3 layers), loss=")
    assert repr(cr.Network(3, [cr.Dense(2)], "squared_error")).startswith("Network(3-2, loss=")


def test_the_summary_tells_what_each_output_is_judged_by(fitted: dict[str, Any]) -> None:
    assert fitted["net"].summary().splitlines()[-3:] == [
        "output kind               (m, 3)          cross_entropy",
        "output size               (m, 2)          0.5 squared_error",
        "68 parameters, float64",
    ]
