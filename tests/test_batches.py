"""How batches are cut and their costs added up; weights and gradients of any size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataWarning


def table(m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, 4))
    return X, X[:, 0] - 2 * X[:, 1] + 0.1 * rng.normal(size=m)


class Steps(cr.Callback):
    """Counts the batches of a fit."""

    taken = 0

    def on_epoch_end(self, state: Any, record: Any) -> None:
        self.taken = state.step
        self.asked = state.steps_per_epoch


# --- the epoch's cost ------------------------------------------------------------------------------------------------


def still(net: cr.Network, X: Any, y: Any, batch_size: int = 8, **options: Any) -> float:
    """The cost that an epoch tells whose steps hardly move."""
    history = net.fit(X, y, epochs=1, batch_size=batch_size, optimizer=cr.SGD(1e-14), verbose=False, **options)
    return history[0].cost


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("m", [64, 61])
def test_the_epochs_cost_weighs_batches_by_their_weights(m: int, shuffle: bool, engine: str) -> None:
    X, y = table(m)
    net = cr.Network(4, [cr.Dense(5, "tanh"), cr.Dense(1)], "squared_error", dtype="float64", engine=engine)
    w = np.zeros(m)
    w[[0, 3, 4, m - 1]] = 1.0, 0.5, 7.0, 3.0
    found = still(net, X, y, sample_weight=w, shuffle=shuffle)
    assert found == pytest.approx(net.cost(X, y, sample_weight=w), rel=1e-9)
    assert still(net, X, y, shuffle=shuffle) == pytest.approx(net.cost(X, y), rel=1e-9)


def test_the_epochs_cost_of_a_sum_is_the_sum(engine: str) -> None:
    X, y = table(61)
    net = cr.Network(4, [cr.Dense(1)], "squared_error", reduction="sum", dtype="float64", engine=engine)
    assert still(net, X, y) == pytest.approx(net.cost(X, y), rel=1e-9)
    w = np.linspace(0, 3, 61)
    assert still(net, X, y, sample_weight=w) == pytest.approx(net.cost(X, y, sample_weight=w), rel=1e-9)


# --- a last batch of one under batch normalisation -------------------------------------------------------------------


@pytest.mark.parametrize(("m", "sizes"), [(17, [8, 9]), (9, [9]), (16, [8, 8]), (18, [8, 8, 2]), (8, [8])])
def test_a_single_sample_joins_the_batch_before(m: int, sizes: list[int], engine: str) -> None:
    X, y = table(m)
    net = cr.Network(4, [cr.Dense(5), cr.BatchNorm("tanh"), cr.Dense(1)], "squared_error", dtype="float64",
                     engine=engine)  # fmt: skip
    steps = Steps()
    options: dict[str, Any] = {"epochs": 2, "batch_size": 8, "optimizer": cr.SGD(0.1), "callbacks": [steps]}
    if sum(sizes[:-1]) + 8 < m and sizes[-1] > 8:
        with pytest.warns(DataWarning, match=f"leave one over.*the last batch of each epoch has {sizes[-1]} samples"):
            history = net.fit(X, y, shuffle=False, verbose=False, **options)
    else:
        history = net.fit(X, y, shuffle=False, verbose=False, **options)
    assert steps.taken == 2 * len(sizes) and steps.asked == len(sizes) and len(history) == 2
    by_hand = cr.Network(4, net.spec.layers, "squared_error", dtype="float64", engine="reference")
    costs = []
    for _ in range(2):
        start = 0
        costs = []
        for size in sizes:
            rows = slice(start, start + size)
            costs.append(by_hand.fit(X[rows], y[rows], epochs=1, batch_size=size, shuffle=False, verbose=False,
                                     optimizer=cr.SGD(0.1))[0].cost)  # fmt: skip
            start += size
    for name, array in by_hand.parameters.items():
        np.testing.assert_allclose(net.parameters[name], array, rtol=1e-8, atol=1e-10, err_msg=name)
    for name, array in by_hand.state.items():
        np.testing.assert_allclose(net.state[name], array, rtol=1e-8, atol=1e-10, err_msg=name)
    assert history[-1].cost == pytest.approx(np.average(costs, weights=sizes), rel=1e-9)


def test_other_networks_keep_their_last_batch_of_one(engine: str) -> None:
    X, y = table(17)
    net = cr.Network(4, [cr.Dense(5), cr.LayerNorm("tanh"), cr.Dense(1)], "squared_error", engine=engine)
    steps = Steps()
    net.fit(X, y, epochs=1, batch_size=8, verbose=False, callbacks=[steps])
    assert steps.taken == 3


def test_batch_normalisation_is_not_trained_on_single_samples() -> None:
    X, y = table(20)
    net = cr.Network(4, [cr.Dense(5), cr.BatchNorm("tanh"), cr.Dense(1)], "squared_error")
    for m, size in ((20, 1), (1, 8)):
        with pytest.raises(cr.SpecError, match=r"batches of at least 2 samples.*Got (batch_size=1|1 sample);"):
            net.fit(X[:m], y[:m], epochs=1, batch_size=size, verbose=False)
    with pytest.raises(ValueError, match="batches of at least 2 samples"):
        cr.MLPRegressor(hidden_layer_sizes=(5,), normalisation="batch", batch_size=1).fit(X, y)
    model = cr.MLPRegressor(hidden_layer_sizes=(5,), normalisation="batch", batch_size=19)
    with pytest.warns(DataWarning, match="leave one over"):
        model.partial_fit(X, y)
    assert net.predict(X[:1]).shape == (1, 1)


def test_sparse_parts_hold_no_single_sample() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    from chainrule.estimators import arrays

    X = sparse.csr_matrix(np.eye(25, 4))
    samples = arrays.Samples(X, np.dtype("float64"))
    order = np.arange(25, dtype=np.int64)
    for batch in (1, 2, 4, 8, 24, 25):
        old, arrays.PART = arrays.PART, 4 * 8 * batch  # a batch a part
        try:
            pieces = [which for _, which, _ in samples.parts(order, batch)]
        finally:
            arrays.PART = old
        if pieces[0] is not None:
            assert np.concatenate(pieces).tolist() == order.tolist()
            assert all(len(p) > 1 for p in pieces)


# --- sizes near the ends of the range --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [2.0**-500, 2.0**-140, 2.0**100, 2.0**127, 2.0**1000])
def test_weights_of_any_size(size: float, dtype: str, engine: str) -> None:
    X, y = table(40)
    w = np.random.default_rng(1).uniform(0.1, 1, 40)
    net = cr.Network(4, [cr.Dense(3, "tanh"), cr.Dense(1)], "squared_error", l2=0.1, dtype=dtype, engine=engine)
    a, b = net.gradients(X, y, sample_weight=w), net.gradients(X, y, sample_weight=w * size)
    assert net.cost(X, y, sample_weight=w * size) == pytest.approx(net.cost(X, y, sample_weight=w), rel=1e-6)
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=1e-4, atol=1e-6)


def test_weights_beyond_the_range_are_told() -> None:
    X, y = table(40)
    for options in ({"penalty_per": "weight", "l2": 0.1}, {"reduction": "sum"}):
        net = cr.Network(4, [cr.Dense(1)], "squared_error", **options)
        for size in (3e38, 1e-40):
            with pytest.raises(cr.DataError, match="within the range of float32"):
                net.cost(X, y, sample_weight=np.full(40, size))


@pytest.mark.parametrize("weights", [{0: 0, 1: 0}, [{0: 0, 1: 0}] * 2])
def test_class_weights_that_leave_nothing_are_refused(weights: Any) -> None:
    X, y = table(40)
    labels = (y > 0).astype(int)
    if isinstance(weights, list):
        labels = np.column_stack([labels, 1 - labels])
    with pytest.raises(ValueError, match="leaves every sample with the weight 0"):
        cr.MLPClassifier((3,), class_weight=weights).fit(X, labels)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("large", [1e-3, 1.0, 1e10, 1e14, 1e17])
def test_clipping_gradients_of_any_size(large: float, dtype: str, engine: str) -> None:
    rng = np.random.default_rng(2)
    X, y = large * rng.normal(size=(30, 3)), large * rng.normal(size=30)
    net = cr.Network(3, [cr.Dense(4), cr.Dense(1)], "squared_error", dtype=dtype, engine=engine)
    exact = cr.Network(3, net.spec.layers, "squared_error", dtype="float64", engine="reference")
    for name, array in net.parameters.items():
        exact.parameters[name][...] = array
    g = exact.gradients(X, y)
    norm = math.sqrt(sum(float((g[k] ** 2).sum()) for k in net.parameters))
    before = {k: v.astype(np.float64) for k, v in net.parameters.items()}
    net.fit(X, y, epochs=1, batch_size=30, optimizer=cr.SGD(1.0, clip_norm=2.0), shuffle=False, verbose=False)
    for name, array in net.parameters.items():
        step = before[name] - array
        np.testing.assert_allclose(step, g[name] * min(1, 2 / (norm + 1e-6)), rtol=1e-3, atol=2e-6, err_msg=name)


# --- the same call ---------------------------------------------------------------------------------------------------


def test_one_row_has_the_same_bits_however_it_is_held(engine: str) -> None:
    net = cr.Network(7, [cr.Dense(33, "tanh"), cr.Dense(3, "softmax")], "cross_entropy", engine=engine)
    row = np.random.default_rng(0).normal(size=(1, 7)).astype(np.float32)
    held = [row.tolist(), row, row.astype(np.float64), np.asfortranarray(row), tuple(map(tuple, row)), row.tolist()]
    first = net.predict(held[0])
    for _ in range(2):
        for X in held:
            np.testing.assert_array_equal(net.predict(X), first)
