"""chainrule.plot: each picture is drawn in both themes, says what it shows, and refuses what it cannot show."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError, MissingDependencyError, SpecError
from chainrule.report.heat import heat, strides

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def digits() -> dict[str, Any]:
    data = cr.data.load("digits").split(0.2)
    net = cr.Network(64, [cr.Dense(24, "relu"), cr.Dense(10, "softmax")], "cross_entropy", engine="reference")
    monitor = cr.Monitor(every=10)
    X, y = data.X, data.y
    history = net.fit(X, y, epochs=3, callbacks=[monitor], validation_data=(data.X_test, data.y_test), verbose=False)
    return {"net": net, "X": data.X_test, "y": data.y_test, "history": history, "monitor": monitor}


@pytest.fixture(scope="module")
def plane() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    y = (X[:, 0] > 0).astype(int)
    net = cr.Network(2, [cr.Dense(5, "tanh"), cr.Dense(2, "softmax")], "cross_entropy")
    net.fit(X, y, epochs=5, verbose=False)
    return {"net": net, "X": X, "y": y}


PICTURES: dict[str, Callable[..., Any]] = {
    "learning_curves": lambda d, **o: cr.plot.learning_curves(d["history"], **o),
    "gradient_flow": lambda d, **o: cr.plot.gradient_flow(d["monitor"], **o),
    "activation_histograms": lambda d, **o: cr.plot.activation_histograms(d["net"], d["X"], **o),
    "weights": lambda d, **o: cr.plot.weights(d["net"], **o),
    "confusion_matrix": lambda d, **o: cr.plot.confusion_matrix(d["net"], d["X"], d["y"], **o),
    "worst_mistakes": lambda d, **o: cr.plot.worst_mistakes(d["net"], d["X"], d["y"], **o),
    "network": lambda d, **o: cr.plot.network(d["net"], **o),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_figure_with_something_on_it(digits: dict[str, Any], name: str, theme: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = PICTURES[name](digits, theme=theme)
    assert isinstance(figure, Figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    paper = pixels[0, 0]
    assert (paper > 200).all() if theme == "light" else (paper < 60).all()
    assert (np.abs(pixels.astype(int) - paper).sum(axis=2) > 60).mean() > 0.005


def test_nothing_is_shown_or_kept(digits: dict[str, Any]) -> None:
    import sys

    for draw in PICTURES.values():
        draw(digits)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_confusions_are_counted(digits: dict[str, Any]) -> None:
    net, X, y = digits["net"], digits["X"], digits["y"]
    figure = cr.plot.confusion_matrix(net, X, y)
    counted = sum(int(text.get_text().replace(",", "")) for text in figure.axes[0].texts)
    assert counted == len(y)
    right = np.mean(net.predict(X).argmax(axis=1) == y)
    assert figure.axes[0].get_title(loc="left") == f"{right:.2%} of {len(y):,} right"


def test_the_worst_mistakes_are_mistakes_the_surest_first(digits: dict[str, Any]) -> None:
    net, X, y = digits["net"], digits["X"], digits["y"]
    p = net.predict(X)
    wrong = np.flatnonzero(p.argmax(axis=1) != y)
    worst = wrong[np.argsort(-p.max(axis=1)[wrong], kind="stable")]
    said = [text.get_text() for text in cr.plot.worst_mistakes(net, X, y, most=4).axes[0].texts]
    assert said == [f"took {p[k].argmax()} ({p[k].max():.0%})\nis {y[k]}" for k in worst[:4]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_decision_regions(plane: dict[str, Any], theme: str) -> None:
    figure = cr.plot.decision_regions(plane["net"], plane["X"], plane["y"], names=["left", "right"], theme=theme)
    figure.canvas.draw()
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["left", "right"]
    net = cr.Network(2, [cr.Dense(4, "tanh"), cr.Dense(1)], "squared_error")
    cr.plot.decision_regions(net, plane["X"], plane["X"][:, 0], theme=theme).canvas.draw()
    net = cr.Network(2, [cr.Dense(1, "sigmoid")], "binary_cross_entropy")
    cr.plot.decision_regions(net, plane["X"], plane["y"], theme=theme).canvas.draw()


def test_faults(digits: dict[str, Any], plane: dict[str, Any]) -> None:
    net, X, y = digits["net"], digits["X"], digits["y"]
    number = cr.Network(4, [cr.Dense(1)], "squared_error")
    tokens = cr.Network(2, [cr.Embedding(5, 2), cr.Dense(2, "softmax")], "cross_entropy")
    for fault, call in (
        ("Unknown theme 'drak'. Did you mean 'dark'?", lambda: cr.plot.network(net, theme="drak")),
        ("shape must be (height, width) of 64 inputs", lambda: cr.plot.weights(net, shape=(7, 9))),
        ("2 inputs are no square image", lambda: cr.plot.weights(plane["net"])),
        ("must be 2 numbers", lambda: cr.plot.decision_regions(net, X, y)),
        ("does not predict classes", lambda: cr.plot.confusion_matrix(number, np.ones((3, 4)), np.ones(3))),
        ("names must be the names of 10 classes", lambda: cr.plot.confusion_matrix(net, X, y, names=["a"])),
        ("need a first layer that reads numbers", lambda: cr.plot.weights(tokens)),
    ):
        with pytest.raises(SpecError) as caught:
            call()
        assert fault in str(caught.value) and "\n" not in str(caught.value)
    for fault, call in (
        ("X must have 64 columns", lambda: cr.plot.activation_histograms(net, X[:, :9])),
        ("no epochs to show", lambda: cr.plot.learning_curves(cr.History())),
        ("no records to show", lambda: cr.plot.gradient_flow(cr.Monitor())),
    ):
        with pytest.raises(DataError, match=fault):
            call()


def test_without_matplotlib_it_says_what_to_install(digits: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name=name)
        return real(name, *others, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"pip install chainrule\[report\]"):
        cr.plot.network(digits["net"])


def test_heat_maps_keep_the_numbers() -> None:
    import base64

    array = np.array([[-1.0, 0.0], [0.5, 1.0]])
    told = heat(array)
    data = np.frombuffer(base64.b64decode(told["data"]), np.uint8)
    values = told["low"] + data * (told["high"] - told["low"]) / 255
    assert np.abs(values.reshape(2, 2) - array).max() < 0.01
    assert (told["min"], told["max"], told["mean"], told["zeros"]) == (-1, 1, 0.125, 0.25)
    assert heat(np.array(3.0))["mean"] == 3 and heat(np.zeros((4, 3)))["zeros"] == 1
    assert heat(np.array([np.nan, np.inf, 2.0]))["max"] == 2
    rows, columns = strides((5000, 3000), 50_000)
    assert -(-5000 // rows) * -(-3000 // columns) <= 50_000
