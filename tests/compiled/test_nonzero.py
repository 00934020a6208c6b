"""Data of many zeros: products that pass over them find what whole products find, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from networks import FITTINGS, Fitting

import chainrule as cr
from chainrule.engines.compiled.kernels import nonzero
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.llvm import target

pytestmark = pytest.mark.usefixtures("many_processors")
HOLLOW = [fitting for fitting in FITTINGS if fitting.zeros]
TILES = [
    Fitting("a tile of one row", 40, lambda: [cr.Dense(33, "tanh"), cr.Dense(2)], "squared_error", "values", 130, 48),
    Fitting("a panel and a bit", 37, lambda: [cr.Dense(43, "tanh"), cr.Dense(2)], "squared_error", "values", 99, 99),
    Fitting("three depth blocks", 700, lambda: [cr.Dense(36, "relu"), cr.Dense(2)], "squared_error", "values", 90, 17),
    Fitting("layers as wide as the data", 35, lambda: [cr.Dense(35, "relu"), cr.Dense(35)], "huber", "values", 70, 9),
]  # fmt: skip


def answers(fitting: Fitting, X: np.ndarray, y: np.ndarray, threads: int) -> dict[str, np.ndarray]:
    """Everything that a network says of the data, before and after it was fitted to them."""
    net = fitting.network()
    found = {"before": net.predict(X), "cost": np.array(net.cost(X, y))}
    net.fit(X, y, epochs=2, batch_size=fitting.batch_size, optimizer=fitting.optimizer, threads=threads, verbose=False)
    gradients = {f"d{name}": value for name, value in net.gradients(X, y).items()}
    return found | net.parameters | gradients | {"after": net.predict(X)}


def hollow(fitting: Fitting, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The data with so many zeros; some samples and features have nothing else."""
    X, y, _ = fitting.data()
    rng = np.random.default_rng(12)
    X = X * (rng.random(X.shape) >= share)
    X[rng.random(len(X)) < 0.2] = 0
    X[:, rng.random(X.shape[1]) < 0.2] = 0
    return X.astype(fitting.dtype), y


@pytest.mark.parametrize(
    "share", [pytest.param(0.5, marks=pytest.mark.long), pytest.param(0.97, marks=pytest.mark.long), 1.0]
)
@pytest.mark.parametrize(
    ("fitting", "dtype"),
    [
        pytest.param(fitting, dtype, marks=[pytest.mark.long] if (dtype == "float64" and number) or number % 2 else [])
        for number, fitting in enumerate(TILES)
        for dtype in ("float32", "float64")
    ],
    ids=str,
)
def test_same_bits_as_whole_products(
    fitting: Fitting, dtype: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = Fitting(**{**vars(fitting), "dtype": dtype})
    X, y = hollow(fitting, share)
    runs = []
    for passing in (False, True):
        monkeypatch.setattr(nonzero, "worthwhile", lambda *given, passing=passing: passing)
        runs.append(answers(fitting, X, y, 1 + passing))
    for name, value in runs[0].items():
        assert value.tobytes() == runs[1][name].tobytes(), name


@pytest.mark.parametrize("precision", ["medium", pytest.param("high", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "fitting", [pytest.param(f, marks=[] if n == 1 else [pytest.mark.long]) for n, f in enumerate(TILES)], ids=str
)
def test_same_bits_in_parts(fitting: Fitting, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is passed over there are pairs of features, which may be odd in number, and of samples."""
    test_same_bits_as_whole_products(
        Fitting(**{**vars(fitting), "options": {"precision": precision}}), "float32", 0.8, monkeypatch
    )


@pytest.mark.parametrize(
    "fitting", [pytest.param(f, marks=[pytest.mark.long] if n % 2 else []) for n, f in enumerate(HOLLOW)], ids=str
)
def test_lists_are_used_and_right(fitting: Fitting, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, _ = fitting.data()
    assert nonzero.worthwhile(PanelLayout(target.host(), fitting.dtype), X, True)
    found = answers(fitting, X, y, 1)
    monkeypatch.setattr(nonzero, "worthwhile", lambda *given: False)
    for name, value in answers(fitting, X, y, 1).items():
        assert value.tobytes() == found[name].tobytes(), name


@pytest.mark.parametrize("where", ["a feature that is 0 everywhere", "a feature that is not"])
def test_a_weight_that_is_not_finite_ends_the_fit(where: str) -> None:
    fitting = HOLLOW[0]
    X, y, _ = fitting.data()
    X[:, 5] = 0 if where == "a feature that is 0 everywhere" else 1
    assert nonzero.worthwhile(PanelLayout(target.host(), fitting.dtype), X, True)
    for engine in ("compiled", "reference"):
        net = fitting.network(engine)
        net.parameters["W1"][5, 7] = np.inf
        with pytest.raises(cr.DivergedError) as caught:
            net.fit(X, y, epochs=2, batch_size=fitting.batch_size, optimizer=fitting.optimizer, verbose=False)
        assert caught.value.epoch == 1


def test_when_lists_are_worth_their_while() -> None:
    layout, rng = PanelLayout(target.host(), "float32"), np.random.default_rng(3)
    dense = rng.normal(size=(1000, 100)).astype(np.float32)
    columns = dense * (rng.random(100) < 0.3)
    for training in (True, False):
        assert not nonzero.worthwhile(layout, dense, training)
        assert nonzero.worthwhile(layout, columns, training)
        assert not nonzero.worthwhile(layout, columns[:3], training)
        assert nonzero.worthwhile(layout, np.zeros_like(dense), training)
    # A half of zeros, spread evenly, leaves hardly a step without anything.
    assert not nonzero.worthwhile(layout, dense * (rng.random(dense.shape) < 0.5), True)


@pytest.mark.parametrize("share", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("inputs", [1, 5, 64, 301])
def test_one_sample(inputs: int, share: float) -> None:
    rng = np.random.default_rng(inputs)
    layers = [cr.Dense(100, "relu"), cr.Dense(90, "relu"), cr.Dense(3, "softmax")]
    compiled, reference = (
        cr.Network(inputs, layers, "cross_entropy", seed=1, dtype="float64", engine=name)
        for name in ("compiled", "reference")
    )
    X = rng.normal(size=(6, inputs)) * (rng.random((6, inputs)) >= share)
    for x in X:
        np.testing.assert_allclose(compiled.predict(x[None]), reference.predict(x[None]), rtol=1e-12, atol=1e-14)


def test_nothing_that_is_not_finite_gets_past_one_sample() -> None:
    net = cr.Network(80, [cr.Dense(100, "relu"), cr.Dense(3)], "squared_error", engine="compiled")
    X = np.zeros((1, 80))
    net.predict(X)
    X[0, 70] = np.nan
    with pytest.raises(cr.DataError, match="finite"):
        net.predict(X)


def test_the_same_data_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(nonzero, "worthwhile", lambda layout, X, *more: looked.append(X.ctypes.data) or False)
    net = cr.Network(40, [cr.Dense(40, "relu"), cr.Dense(2)], "squared_error", engine="compiled")
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(64, 40)).astype(np.float32) for _ in range(2))
    for X in (first, second):
        net.fit(X, X[:, :2], epochs=3, batch_size=16, verbose=False)
    assert looked == [first.ctypes.data, second.ctypes.data]
