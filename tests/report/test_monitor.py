"""Monitor: what it records is what the network does, and watching changes nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError, SpecError
from chainrule.train.loop import FitState


def data(m: int = 203, n: int = 8, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(m, n))
    return X, rng.integers(0, classes, m)


def network(engine: str = "reference", hidden: str = "relu", **options: Any) -> cr.Network:
    return cr.Network(8, [cr.Dense(6, hidden), cr.Dense(3, "softmax")], "cross_entropy", engine=engine, **options)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("batch_size", [16, 600])
def test_watching_changes_no_bit(engine: str, batch_size: int) -> None:
    """Pauses between batches, dropout, running means, a schedule and slots included."""
    X, y = data(703)
    found = []
    for callbacks in ([], [cr.Monitor(every=7)], [cr.Monitor(every=1), cr.Monitor(every=10)]):
        layers = [cr.Dense(9, "relu"), cr.Dropout(0.2), cr.BatchNorm("tanh"), cr.Dense(3, "softmax")]
        net = cr.Network(8, layers, "cross_entropy", engine=engine)
        optimizer = cr.Adam(cr.Cosine(0.01))
        history = net.fit(
            X, y, epochs=3, batch_size=batch_size, optimizer=optimizer, callbacks=callbacks, verbose=False
        )
        found.append({**net.parameters, **net.state, "costs": history.column("cost")})
    for other in found[1:]:
        for name, array in found[0].items():
            assert array.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_what_is_recorded_is_what_the_network_does(engine: str) -> None:
    X, y = data()
    probe, truth = X[50:90], y[50:90]
    net = network(engine, dtype="float64")
    monitor = cr.Monitor(every=1, X=probe, y=truth)
    seen: list[dict[str, Any]] = []

    class Look(cr.Callback):
        every = 1

        def on_fit_begin(self, fit: FitState) -> None:
            self.on_batches_end(fit)

        def on_batches_end(self, fit: FitState) -> None:
            kept = {name: array.copy() for name, array in net.parameters.items()}
            seen.append({"cost": net.cost(probe, truth), "parameters": kept, **net.gradients(probe, truth)})

    net.fit(X, y, epochs=2, batch_size=20, callbacks=[Look(), monitor], verbose=False)
    assert len(monitor.records) == len(seen) == 1 + 2 * 11
    assert monitor.column("step").tolist() == list(range(23))
    assert [record["epoch"] for record in monitor.records[:13]] == [0, *[1] * 11, 2]
    for record, truly in zip(monitor.records, seen, strict=True):
        assert record["cost"] == pytest.approx(truly["cost"], rel=1e-9)
        for name in ("W1", "b1", "W2", "b2"):
            assert record[f"{name}.gradient"] == pytest.approx(np.linalg.norm(truly[name]), rel=1e-9)
            assert record[f"{name}.norm"] == pytest.approx(np.linalg.norm(truly["parameters"][name]), rel=1e-9)
        p = truly["parameters"]
        z = probe @ p["W1"] + p["b1"]
        a = np.maximum(z, 0)
        assert record["A1.mean"] == pytest.approx(a.mean(), rel=1e-9)
        assert record["A1.std"] == pytest.approx(a.std(), rel=1e-6)
        assert record["A1.saturated"] == pytest.approx((z <= 0).mean())
        assert record["A1.dead"] == pytest.approx((z <= 0).all(axis=0).mean())
        assert record["A2.mean"] == pytest.approx(1 / 3, rel=1e-6)
        assert "A2.dead" not in record
    for before, after, record in zip(seen, seen[1:], monitor.records[1:], strict=False):
        W, V = before["parameters"]["W1"], after["parameters"]["W1"]
        assert record["W1.update"] == pytest.approx(np.linalg.norm(V - W) / np.linalg.norm(W), rel=1e-9)


def test_saturated_and_dead_units() -> None:
    X, y = data()
    net = network(hidden="tanh")
    net.parameters["W1"][:, 0] = 0
    net.parameters["b1"][0] = 9  # tanh is flat there: the unit is dead
    monitor = cr.Monitor(every=1000)
    net.fit(X, y, epochs=1, callbacks=[monitor], verbose=False)
    first = monitor.records[0]
    assert first["A1.dead"] == pytest.approx(1 / 6) and first["A1.saturated"] >= first["A1.dead"]
    assert len(monitor.records) == 1 and "W1.update" not in first


def test_columns() -> None:
    X, y = data()
    net = network()
    monitor = cr.Monitor(every=2)
    net.fit(X, y, epochs=1, batch_size=32, callbacks=[monitor], verbose=False)
    assert monitor.column("step").tolist() == [0, 2, 4, 6]
    update = monitor.column("W1.update")
    assert math.isnan(update[0]) and (update[1:] > 0).all()
    assert monitor.layers == ("A1", "A2") and monitor.parameters == ("W1", "b1", "W2", "b2")
    with pytest.raises(DataError, match=r"Unknown column of a Monitor 'W1.updates'. Did you mean 'W1.update'"):
        monitor.column("W1.updates")
    assert repr(monitor) == "Monitor(every=2, 4 records)"
    net.fit(X, y, epochs=1, callbacks=[monitor], verbose=False)
    assert len(monitor.records) == 4  # a second fit starts anew


def test_other_networks() -> None:
    rng = np.random.default_rng(1)
    tokens, y = rng.integers(0, 7, (60, 3)), rng.integers(0, 7, 60)
    net = cr.Network(3, [cr.Embedding(7, 2), cr.Dense(5, "tanh"), cr.Dense(7, "softmax")], "cross_entropy")
    monitor = cr.Monitor(every=1)
    net.fit(tokens, y, epochs=1, callbacks=[monitor], verbose=False, sample_weight=rng.uniform(1, 2, 60))
    assert "E.gradient" in monitor.names and "A1.dead" in monitor.names
    net = cr.Network(4, [cr.Dense(3), cr.LayerNorm("relu"), cr.Dense(1)], "squared_error")
    net.fit(rng.normal(size=(60, 4)), rng.normal(size=60), epochs=1, callbacks=[monitor], verbose=False)
    assert monitor.layers == ("Z1", "A_n1", "Z2")
    assert (monitor.column("A_n1.saturated") > 0).any()


def test_bad_input_is_told_before_training() -> None:
    X, y = data()
    with pytest.raises(SpecError) as caught:
        cr.Monitor(every=0, X=X)
    assert len(caught.value.faults) == 2 and "needs X and y together" in str(caught.value)
    net = network()
    before = net.parameters["W1"].copy()
    for monitor, message in (
        (cr.Monitor(X=X[:, :5], y=y), "X must have 8 columns"),
        (cr.Monitor(X=X, y=y[:9]), "y must have one entry per sample"),
        (cr.Monitor(X=X, y=np.eye(3)[y]), r"must be labels \(m,\), like the y of the fit"),
    ):
        with pytest.raises(DataError, match=message):
            net.fit(X, y, epochs=1, callbacks=[monitor], verbose=False)
    assert (net.parameters["W1"] == before).all()
    with pytest.raises(SpecError, match="Monitor watches the fits of a Network"):
        cr.Monitor().on_fit_begin(FitState(net, 1, 1, 1, 1))


def test_a_callback_may_pause_where_it_likes() -> None:
    """next_stop names steps; `every` is the simple way."""
    X, y = data()
    seen: list[int] = []

    class At(cr.Callback):
        def next_stop(self, step: int) -> int | None:
            return next((s for s in (3, 4, 9) if s > step), None)

        def on_batches_end(self, fit: FitState) -> None:
            seen.append(fit.step)

    network().fit(X, y, epochs=2, batch_size=32, callbacks=[At()], verbose=False)
    assert seen == [3, 4, 9]


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_callback_may_write_what_it_likes(engine: str) -> None:
    """Weights that are overwritten in a pause are those of the next step, with a monitor beside it and without."""
    X, y = data()
    found = []

    class Clip(cr.Callback):
        every = 2

        def on_batches_end(self, fit: FitState) -> None:
            for array in fit.network.parameters.values():
                np.clip(array, -0.05, 0.05, out=array)

    for callbacks in ([Clip()], [Clip(), cr.Monitor(every=1)], [cr.Monitor(every=2), Clip()]):
        net = network(engine, dtype="float64")
        net.fit(X, y, epochs=2, batch_size=20, optimizer=cr.SGD(1e-9), callbacks=callbacks, verbose=False)
        assert max(np.abs(array).max() for array in net.parameters.values()) < 0.051
        found.append(net.parameters["W1"].tobytes())
    assert len(set(found)) == 1


def test_snapshots_are_the_weights_from_first_to_last() -> None:
    X, y = data()
    net, monitor = network(), cr.Monitor(every=1)
    first = {name: array.copy() for name, array in net.parameters.items()}
    net.fit(X, y, epochs=6, batch_size=20, callbacks=[monitor], verbose=False)
    steps = [step for step, _ in monitor.snapshots]
    assert len(monitor.records) == 67 and steps == list(range(0, 67, 4))  # at most 24, evenly apart
    for step, arrays in monitor.snapshots[::8]:
        assert arrays.keys() == first.keys()
        for name in ("W1", "W2"):
            norm = float(np.linalg.norm(arrays[name]))
            assert norm == pytest.approx(monitor.records[step][f"{name}.norm"], rel=1e-6)
    assert all(np.array_equal(first[n], monitor.snapshots[0][1][n]) for n in first)
