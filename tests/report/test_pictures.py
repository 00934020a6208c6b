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


@pytest.mark.parametrize(
    ("name", "theme"), [(name, ("light", "dark")[number % 2]) for number, name in enumerate(PICTURES)]
)
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
    assert said == [f"said {p[k].argmax()} ({p[k].max():.0%})\nis {y[k]}" for k in worst[:4]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_decision_regions(plane: dict[str, Any], theme: str) -> None:
    figure = cr.plot.decision_regions(plane["net"], plane["X"], plane["y"], names=["left", "right"], theme=theme)
    figure.canvas.draw()
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["left", "right"]
    net = cr.Network(2, [cr.Dense(4, "tanh"), cr.Dense(1)], "squared_error")
    named = cr.plot.decision_regions(net, plane["X"], plane["X"][:, 0], columns=["age", "height"], theme=theme)
    named.canvas.draw()
    assert (named.axes[0].get_xlabel(), named.axes[0].get_ylabel()) == ("age", "height")
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
    with pytest.raises(MissingDependencyError, match=r"pip install 'chainrule\[report\]'"):
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


def boxes(figure: Any) -> list[tuple[str, Any]]:
    """Every text that is seen, and where it stands."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    texts = [*figure.texts, *(t for axes in figure.axes for t in (*axes.texts, axes.title, axes._left_title))]
    return [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text().strip() and t.get_visible()]


@pytest.fixture(scope="module")
def wide() -> tuple[cr.Network, np.ndarray, np.ndarray]:
    """Long names everywhere: of activations, of parameters' shapes, of classes."""
    own = cr.Activation("exp(z - max(z)) / sum(exp(z - max(z)))", name="softmax_by_another_name")
    layers = [cr.Dense(1024, "log_softmax"), cr.LayerNorm("hard_sigmoid"), cr.Dense(1000, own), cr.Dense(3, "softmax")]
    net = cr.Network(9, layers, "cross_entropy", engine="reference")
    rng = np.random.default_rng(0)
    return net, rng.normal(size=(40, 9)), rng.integers(0, 3, 40)


@pytest.mark.parametrize("name", ["network", "worst_mistakes"])
def test_no_text_touches_another_or_the_edge(wide: tuple[cr.Network, np.ndarray, np.ndarray], name: str) -> None:
    net, X, y = wide
    names = ["Iris setosa", "versicolor", "virginica of the Iris family"]
    figure = cr.plot.network(net) if name == "network" else cr.plot.worst_mistakes(net, X, y, names=names)
    found = boxes(figure)
    assert len(found) > 8
    for k, (text, box) in enumerate(found):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y0 >= figure.bbox.y0, text
        assert not [other for other, there in found[:k] if box.overlaps(there)], text


def test_what_is_said_stands_above_the_bars(plane: dict[str, Any]) -> None:
    """Where the values are saturated, the highest bars are the outermost."""
    figure = cr.plot.activation_histograms(plane["net"], 50 * plane["X"])
    said = [box for text, box in boxes(figure) if text.startswith("mean")]
    bars = [patch.get_window_extent() for axes in figure.axes for patch in axes.patches]
    assert len(said) == 2 and len(bars) == 80
    assert not [box for box in said for bar in bars if box.overlaps(bar)]


def test_ticks_are_plain_numbers(digits: dict[str, Any]) -> None:
    once = cr.plot.learning_curves(cr.History(list(digits["history"])[:1]))
    once.canvas.draw()
    assert [t.get_text() for t in once.axes[0].get_xticklabels()] == ["1"]
    for few in (digits["monitor"], _nearly_still()):
        figure = cr.plot.gradient_flow(few)
        figure.canvas.draw()
        left = figure.axes[0]
        low, high = left.get_ylim()
        seen = [float(t.get_text()) for t in left.get_yticklabels() if low <= t.get_position()[1] <= high]
        assert len(seen) >= 2


def _nearly_still() -> cr.Monitor:
    """A monitor whose gradients hardly change."""
    monitor = cr.Monitor(every=1)
    net = cr.Network(3, [cr.Dense(1)], "squared_error", engine="reference")
    X = np.random.default_rng(0).normal(size=(64, 3))
    net.fit(X, X[:, 0], epochs=1, optimizer=cr.SGD(1e-5), callbacks=[monitor], verbose=False)
    return monitor


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_counts_stand_out_from_their_cells(theme: str) -> None:
    from matplotlib.colors import to_rgb

    net = cr.Network(2, [cr.Dense(1, "sigmoid")], "binary_cross_entropy", engine="reference")
    X = np.random.default_rng(0).normal(size=(200, 2))
    figure = cr.plot.confusion_matrix(net, X, (X[:, 0] > 0).astype(int), theme=theme)
    (image,) = figure.axes[0].images

    def light(colour: Any) -> float:
        c = np.array(to_rgb(colour))
        return float(np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722] + 0.05)

    table = image.get_array()
    for text in figure.axes[0].texts:
        j, i = text.get_position()
        pair = sorted([light(text.get_color()), light(image.cmap(float(table[int(i), int(j)])))])
        assert pair[1] / pair[0] > 4, text.get_text()
