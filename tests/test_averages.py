"""Averages of weights: an equation of the update, put into the network when the fit has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from problems import table


class Weights(cr.Callback):
    """All arrays after each step."""

    every = 1
    at: int | None = None

    def __init__(self) -> None:
        self.seen: list[dict[str, np.ndarray]] = []

    def on_batches_end(self, fit: cr.FitState) -> None:
        arrays = {**fit.network.parameters, **fit.network.state}
        self.seen.append({name: array.copy() for name, array in arrays.items()})
        if fit.step == self.at:
            raise KeyboardInterrupt


def network(engine: str = "reference") -> cr.Network:
    layers = [cr.Dense(9, "tanh"), cr.BatchNorm("relu"), cr.Dense(3, "softmax")]
    return cr.Network(4, layers, "cross_entropy", dtype="float64", engine=engine)


def fit(net: cr.Network, optimizer: cr.Optimizer, **options: Any) -> Any:
    X, y = table(48)
    return net.fit(X, y, **{"epochs": 4, "batch_size": 8, "optimizer": optimizer, "verbose": False, **options})


EXPONENTIAL = cr.Adam(0.05, average=0.8)
LAST = cr.SGD(0.1, average=cr.LastAverage(epochs=1.5), rates={"b2": 0})


@pytest.mark.parametrize("optimizer", [EXPONENTIAL, LAST], ids=["exponential", "last"])
def test_the_network_has_the_average_at_the_end(optimizer: cr.Optimizer, engine: str) -> None:
    net, weights = network(engine), Weights()
    fit(net, optimizer, callbacks=[weights])
    assert len(weights.seen) == 24
    age = np.arange(23, -1, -1)
    share = 0.8**age if optimizer is EXPONENTIAL else (age < 9).astype(float)
    share /= share.sum()
    plain = network(engine)
    fit(plain, type(optimizer)(**{**vars(optimizer), "average": None}))
    for name, array in {**net.parameters, **net.state}.items():
        own = np.array([seen[name] for seen in weights.seen])
        np.testing.assert_allclose(array, np.tensordot(share, own, 1), rtol=1e-12, atol=1e-14, err_msg=name)
        np.testing.assert_array_equal(own[-1], {**plain.parameters, **plain.state}[name], err_msg=name)


def test_an_epoch_in_pieces_has_its_numbers_in_order() -> None:
    """One sample over joins the last batch, which is a piece of its own."""
    X, y = table(49)
    net, weights = network(), Weights()
    with pytest.warns(cr.DataWarning, match="leave one over"):
        net.fit(X, y, epochs=1, batch_size=8, optimizer=EXPONENTIAL, verbose=False, callbacks=[weights])
    share = 0.8 ** np.arange(5, -1, -1)
    own = np.array([seen["W1"] for seen in weights.seen])
    np.testing.assert_allclose(net.parameters["W1"], np.tensordot(share / share.sum(), own, 1), rtol=1e-12)


def test_it_is_an_equation_of_the_update() -> None:
    program = network().derive(optimizer=EXPONENTIAL, targets="labels")
    means = [str(e).split("   ")[0] for e in program.update if e.target.how == "mean"]
    assert "mean_W1 := mean_W1 + share (W1 - mean_W1)" in means and len(means) == 8
    assert cr.Program.from_json(program.to_json()) == program
    assert "share" in network().show(optimizer=EXPONENTIAL) and network().show("numpy", optimizer=LAST)
    X, y = table(10)
    assert float(network().trace(X, y, optimizer=EXPONENTIAL)["share"]) == 1.0


def test_a_fit_that_goes_on_goes_on_from_the_weights_of_the_last_step() -> None:
    whole, parts = network(), network()
    fit(whole, EXPONENTIAL)
    fit(parts, EXPONENTIAL, epochs=1)
    fit(parts, EXPONENTIAL, epochs=3, continue_=True)
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(parts.parameters[name], array, err_msg=name)
    changed = network()
    fit(changed, EXPONENTIAL, epochs=1)
    changed.parameters["W1"][...] = 0  # what somebody has written since counts
    weights = Weights()
    fit(changed, cr.Adam(1e-12, average=0.8), epochs=1, continue_=True, callbacks=[weights])
    assert np.abs(weights.seen[0]["W1"]).max() < 1e-6


@pytest.mark.parametrize("step", [7, 24])
def test_checkpoints_hold_them(step: int, tmp_path: Path) -> None:
    whole, net, again = network(), network(), network()
    fit(whole, EXPONENTIAL)
    weights = Weights()
    weights.at = step
    with pytest.raises(KeyboardInterrupt):
        fit(net, EXPONENTIAL, callbacks=[weights], checkpoint=tmp_path)
    for name, array in net.parameters.items():  # interrupted: those of its last step
        np.testing.assert_array_equal(array, weights.seen[-1][name])
    fit(again, EXPONENTIAL, callbacks=[Weights()], checkpoint=tmp_path, resume=True)
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], array, err_msg=name)


def test_estimators_predict_by_the_average() -> None:
    X, y = table(60)
    options: dict[str, Any] = {"hidden_layer_sizes": (5,), "random_state": 0, "batch_size": 20, "shuffle": False}
    one = cr.MLPClassifier(optimizer=cr.Adam(0.05, average=0.7), max_iter=3, **options)
    with pytest.warns(Warning, match="Maximum iterations"):
        one.fit(X, y)
    plain = cr.MLPClassifier(optimizer=cr.Adam(0.05), max_iter=3, **options)
    with pytest.warns(Warning, match="Maximum iterations"):
        plain.fit(X, y)
    assert not np.array_equal(one.coefs_[0], plain.coefs_[0])
    np.testing.assert_allclose(one.coefs_[0], plain.coefs_[0], atol=0.3)
    assert one.loss_curve_ == plain.loss_curve_


def test_what_cannot_be_is_refused() -> None:
    for wrong in (0.0, 1.0, 5, "last", True):
        with pytest.raises(cr.SpecError, match="Adam: average must be None, a number above 0 and below 1"):
            cr.Adam(average=wrong)  # type: ignore[arg-type]
    for options in ({}, {"epochs": 1, "steps": 3}, {"steps": -1}):
        with pytest.raises(cr.SpecError, match="left out where"):
            cr.LastAverage(**options)  # type: ignore[arg-type]
    with pytest.raises(cr.SpecError, match="decay"):
        cr.ExponentialAverage(1.0)
