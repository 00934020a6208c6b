"""A fit within a fit of the same object is refused; whoever looks meanwhile finds weights of one moment."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.language import CharacterModel
from chainrule.train import state
from chainrule.train.callbacks import Callback

X = np.random.default_rng(0).normal(size=(40, 4))
Y = np.arange(40) % 3
NAMES = ["anna", "otto", "emma", "hannah"]


def network(**settings: Any) -> cr.Network:
    layers = [cr.Dense(6), cr.BatchNorm("tanh"), cr.Dense(3, "softmax")]
    return cr.Network(4, layers, "cross_entropy", engine="reference", **settings)


class Meanwhile(Callback):
    """Does something at the end of the first epoch, and keeps what is raised."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action
        self.faults: list[str] = []

    def on_epoch_end(self, fit: state.FitState, record: cr.EpochRecord) -> None:
        if record.epoch == 1:
            try:
                self.action()
            except cr.SpecError as fault:
                self.faults.append(str(fault))


def of_network(callback: Callback | None) -> tuple[object, Callable[[], object]]:
    net, callbacks = network(), [] if callback is None else [callback]
    return net, lambda: net.fit(X, Y, epochs=2, verbose=False, callbacks=callbacks)


def of_estimator(callback: Callback | None, name: str = "fit", **settings: Any) -> tuple[object, Callable[[], object]]:
    shared = {"max_iter": 2, "tol": 0, "n_iter_no_change": 99, "callbacks": None if callback is None else [callback]}
    estimator = cr.MLPRegressor("squared_error", (3,), engine="reference", **shared, **settings)
    return estimator, lambda: getattr(estimator, name)(X, Y)


def of_classifier(callback: Callback | None) -> tuple[object, Callable[[], object]]:
    callbacks = None if callback is None else [callback]
    estimator = cr.MLPClassifier((3,), engine="reference", callbacks=callbacks)
    return estimator, lambda: estimator.partial_fit(X, Y, classes=[0, 1, 2])


def of_character_model(callback: Callback | None) -> tuple[object, Callable[[], object]]:
    model, callbacks = (
        CharacterModel(context=2, hidden=(4,), engine="reference"),
        [] if callback is None else [callback],
    )
    return model, lambda: model.fit(NAMES, epochs=2, verbose=False, callbacks=callbacks)


KINDS = [of_network, of_estimator, lambda c: of_estimator(c, "partial_fit"), of_classifier, of_character_model]
IDS = ["network", "regressor", "regressor's partial_fit", "classifier's partial_fit", "character model"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("elsewhere", [False, True], ids=["in a callback", "on another thread"])
@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_fit_within_a_fit_is_refused(kind: Callable[..., Any], elsewhere: bool) -> None:
    def again() -> None:
        fit()

    def on_another_thread() -> None:
        thread = threading.Thread(target=Meanwhile.on_epoch_end, args=(inner, None, first))
        thread.start()
        thread.join()

    inner, first = Meanwhile(again), cr.EpochRecord(1, 0.0, learning_rate=0.1, samples_per_second=1.0, seconds=1.0)
    outer = Meanwhile(on_another_thread) if elsewhere else inner
    owner, fit = kind(outer)
    fit()
    assert (
        len(inner.faults) == 1
        and "is being fitted: another fit of it begins when that one has ended" in inner.faults[0]
    )
    fit()  # the first has ended, and the next may begin
    assert not hasattr(owner, "_being_fitted")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_network_of_an_estimator_that_is_being_fitted(solver: str) -> None:
    faults = []

    def score(estimator: cr.MLPRegressor, X: Any, y: Any) -> float:
        with pytest.raises(cr.SpecError, match="This network is being fitted"):
            estimator.network_.fit(X, y, epochs=1, verbose=False)
        faults.append(1)
        return 0.0

    held = (X, Y.astype(float))
    cr.MLPRegressor(
        "squared_error", (3,), solver=solver, max_iter=2, scoring=score, dtype="float64", engine="reference"
    ).fit(X, Y, validation_data=held)
    assert faults


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", KINDS, ids=IDS)
@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_a_copy_made_meanwhile_may_be_fitted(kind: Callable[..., Any], twin_of: Callable[[Any], Any]) -> None:
    twins: list[Any] = []
    meanwhile = Meanwhile(lambda: twins.append(twin_of(owner)))
    owner, fit = kind(meanwhile)
    fit()
    (twin,) = twins
    assert not hasattr(twin, "_being_fitted")


def test_a_fit_that_raises_is_no_longer_under_way() -> None:
    net = network()
    with pytest.raises(cr.DataError):
        net.fit(X[:, :2], Y, epochs=1)
    with pytest.raises(ZeroDivisionError):
        net.fit(X, Y, epochs=1, verbose=False, callbacks=[Meanwhile(lambda: 1 / 0)])
    net.fit(X, Y, epochs=1, verbose=False)
    assert pickle.loads(pickle.dumps(net)).predict(X).tobytes() == net.predict(X).tobytes()


# --- whoever looks meanwhile ---------------------------------------------------------------------------------------


def at_every_line(action: Callable[[], object], look: Callable[[], None]) -> None:
    """Does it, and looks before every line of what writes weights: wherever a signal's handler might."""
    files = ("network.py", "train/loop.py", "train/state.py", "train/callbacks.py")
    places = tuple(os.path.join("chainrule", *file.split("/")) for file in (*files, "estimators/base.py"))

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not (frame.f_code.co_filename.endswith(places) or frame.f_code.co_name == "read_into"):
            return None
        if event == "line":
            look()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)


class After(Callback):
    """The predictions after each epoch."""

    def __init__(self, predict: Callable[[], bytes]) -> None:
        self.predict = predict
        self.predictions: list[bytes] = []

    def on_epoch_end(self, fit: state.FitState, record: cr.EpochRecord) -> None:
        self.predictions.append(self.predict())


@pytest.mark.parametrize("ending", ["best weights", "mean weights"])
def test_predictions_meanwhile_are_those_of_one_moment(ending: str) -> None:
    net = network()
    row = X[:2]
    seen, after = set(), After(lambda: net.predict(row).tobytes())
    best = cr.EarlyStopping(monitor="validation_cost", restore_best=True)
    callbacks = [after, best if ending == "best weights" else cr.WeightAverage(2)]
    first = net.predict(row).tobytes()
    at_every_line(
        lambda: net.fit(
            X[:8], Y[:8], epochs=2, batch_size=8, optimizer=cr.SGD(0.5), verbose=False, callbacks=callbacks,
            validation_data=(X[8:12], Y[8:12]),
        ),
        lambda: seen.add(net.predict(row).tobytes()),
    )  # fmt: skip
    assert len({first, *after.predictions}) == 3
    assert seen == {first, *after.predictions, net.predict(row).tobytes()}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("again", ["fit", "more layers"])
def test_an_estimator_that_is_fitted_anew(again: str) -> None:
    """Its network and its lists of weights are replaced as one thing."""
    estimator = cr.MLPRegressor("squared_error", (3,), max_iter=2, random_state=0, engine="reference", batch_size=40)
    estimator.fit(X, Y)
    twin = cr.MLPRegressor("squared_error", (3,), max_iter=2, random_state=1, engine="reference", batch_size=40)
    estimator.random_state = 1
    if again == "more layers":
        estimator.hidden_layer_sizes = twin.hidden_layer_sizes = (3, 2)
    twin.fit(X, Y)
    at_every_line(lambda: estimator.fit(X, Y), lambda: estimator.predict(X[:2]))
    for ours, theirs in zip(estimator.coefs_, twin.coefs_, strict=True):
        assert ours.tobytes() == theirs.tobytes()
