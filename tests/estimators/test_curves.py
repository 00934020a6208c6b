"""Same seed, same curve: against scikit-learn itself, on the same data, in float64."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network as theirs
from sklearn.datasets import load_digits, make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning

import chainrule as cr

Data = tuple[np.ndarray, np.ndarray]
RTOL = 1e-6


def _digits() -> Data:
    X, y = load_digits(return_X_y=True)
    return X[:500], y[:500]


def _two_classes() -> Data:
    X, y = make_classification(300, 12, n_informative=6, random_state=1)
    return X, np.array(["no", "yes"])[y]


def _labels() -> Data:
    X, y = make_multilabel_classification(230, 10, n_classes=4, random_state=2)
    return X, y


def _numbers() -> Data:
    X, y = make_regression(250, 8, noise=3.0, random_state=3)
    return X, y / y.std()


def _counts() -> Data:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(260, 6))
    return X, rng.poisson(np.exp(0.5 * X[:, 0] + 0.2)).astype(float)


CLASSES = {"digits": _digits, "two classes": _two_classes, "labels": _labels}
VALUES = {"numbers": _numbers, "counts": _counts}
SOLVERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adam, settings": {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6, "learning_rate_init": 0.01},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "sgd, invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.05, "power_t": 0.4},
    "sgd, adaptive": {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.05},
    "sgd, plain momentum": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.7},
    "sgd, no momentum": {"solver": "sgd", "momentum": 0.0},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "early stopping": {"early_stopping": True, "validation_fraction": 0.2},
    "in order": {"shuffle": False},
    "alpha": {"alpha": 3.0},
    "batches of 32": {"batch_size": 32},
    "tanh, two layers": {"activation": "tanh", "hidden_layer_sizes": (12, 9)},
    "logistic": {"activation": "logistic"},
    "identity": {"activation": "identity"},
    "no hidden layer": {"hidden_layer_sizes": ()},
}


def fitted(estimator: Any, X: Any, y: Any, **fit: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y, **fit)


def same(a: Any, b: Any, curve: bool = True) -> None:
    """Theirs and ours: the curve, and everything that follows from it."""
    if curve:
        np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=RTOL)
        assert b.t_ == a.t_
        if a.best_loss_ is None:
            np.testing.assert_allclose(b.validation_scores_, a.validation_scores_, rtol=RTOL)
            assert b.best_loss_ is None and b.best_validation_score_ == pytest.approx(a.best_validation_score_)
        else:
            assert b.best_loss_ == pytest.approx(a.best_loss_, rel=RTOL) and b.validation_scores_ is None
    assert (b.n_iter_, b.n_layers_, b.n_outputs_) == (a.n_iter_, a.n_layers_, a.n_outputs_)
    assert b.out_activation_ == a.out_activation_
    assert b.loss_ == pytest.approx(a.loss_, rel=RTOL)
    for x, y in zip([*a.coefs_, *a.intercepts_], [*b.coefs_, *b.intercepts_], strict=True):
        np.testing.assert_allclose(y, x, rtol=1e-6, atol=1e-9)


def pair(kind: str, task: str, engine: str, **settings: Any) -> None:
    name = f"MLP{kind}"
    options = {"max_iter": 20, "random_state": 5, "hidden_layer_sizes": (16,), **settings}
    X, y = {**CLASSES, **VALUES}[task]()
    if task == "counts":
        options["loss"] = "poisson"
    a = fitted(getattr(theirs, name)(**options), X, y)
    b = fitted(getattr(cr, name)(engine=engine, **options), X, y)
    same(a, b)
    np.testing.assert_allclose(b._forward(X), a._forward_pass_fast(X), rtol=1e-6, atol=1e-9)
    assert np.array_equal(np.asarray(a.predict(X)).shape, np.asarray(b.predict(X)).shape)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", [*CLASSES, *VALUES])
def test_every_solver(task: str, solver: str) -> None:
    pair("Classifier" if task in CLASSES else "Regressor", task, "reference", **SOLVERS[solver])


@pytest.mark.parametrize(
    ("task", "solver"),
    [
        pytest.param(task, solver, marks=[pytest.mark.long] if (number + turn) % 3 else [])
        for number, task in enumerate([*CLASSES, *VALUES])
        for turn, solver in enumerate(["adam", "sgd", "sgd, invscaling"])
    ],
)
def test_every_solver_compiled(task: str, solver: str) -> None:
    pair("Classifier" if task in CLASSES else "Regressor", task, "compiled", **SOLVERS[solver])


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("task", ["digits", pytest.param("two classes", marks=pytest.mark.long), "numbers"])
def test_every_option(task: str, option: str) -> None:
    pair("Classifier" if task in CLASSES else "Regressor", task, "reference", **OPTIONS[option])


def test_the_default_classifier_on_digits() -> None:
    X, y = load_digits(return_X_y=True)
    a = fitted(theirs.MLPClassifier(max_iter=20, random_state=0), X, y)
    b = fitted(cr.MLPClassifier(max_iter=20, random_state=0), X, y)
    same(a, b)
    assert a.score(X, y) == b.score(X, y)


@pytest.mark.parametrize("task", [*CLASSES, *VALUES])
@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_lbfgs(task: str, engine: str) -> None:
    X, y = {**CLASSES, **VALUES}[task]()
    name = "MLPClassifier" if task in CLASSES else "MLPRegressor"
    options: dict[str, Any] = {"solver": "lbfgs", "max_iter": 20, "random_state": 5, "hidden_layer_sizes": (16,)}
    if task == "counts":
        options["loss"] = "poisson"
    a = fitted(getattr(theirs, name)(**options), X, y)
    b = fitted(getattr(cr, name)(engine=engine, **options), X, y)
    same(a, b, curve=False)
    assert not hasattr(b, "loss_curve_") and b.t_ == a.t_ == 0


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task", ["digits", "two classes", "labels", "numbers"])
def test_sample_weights(task: str, solver: str) -> None:
    X, y = {**CLASSES, **VALUES}[task]()
    w = np.random.default_rng(0).uniform(0, 2, len(X))
    name = "MLPClassifier" if task in CLASSES else "MLPRegressor"
    options: dict[str, Any] = {"solver": solver, "max_iter": 20, "random_state": 5, "hidden_layer_sizes": (16,)}
    options |= {"alpha": 1.0, "early_stopping": solver == "adam"}
    a = fitted(getattr(theirs, name)(**options), X, y, sample_weight=w)
    b = fitted(getattr(cr, name)(engine="reference", **options), X, y, sample_weight=w)
    same(a, b, curve=solver != "lbfgs")


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit(solver: str) -> None:
    X, y = _digits()
    options: dict[str, Any] = {"solver": solver, "random_state": 1, "learning_rate": "invscaling"}
    a, b = theirs.MLPClassifier(**options), cr.MLPClassifier(engine="reference", **options)
    for k in range(6):
        part = slice(60 * k, 60 * k + 150)
        for estimator in (a, b):
            estimator.partial_fit(X[part], y[part], classes=np.arange(10) if k == 0 else None)
    same(a, b)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_warm_start(solver: str) -> None:
    X, y = _digits()
    options: dict[str, Any] = {"solver": solver, "random_state": 1, "warm_start": True, "max_iter": 4}
    a, b = theirs.MLPClassifier(**options), cr.MLPClassifier(engine="reference", **options)
    for _ in range(3):
        fitted(a, X, y), fitted(b, X, y)
    same(a, b, curve=solver != "lbfgs")


def test_a_fit_that_converges_stops_where_theirs_does() -> None:
    X, y = _two_classes()
    options: dict[str, Any] = {"random_state": 3, "tol": 0.01, "learning_rate_init": 0.01, "n_iter_no_change": 3}
    a, b = theirs.MLPClassifier(**options).fit(X, y), cr.MLPClassifier(engine="reference", **options).fit(X, y)
    assert b.n_iter_ == a.n_iter_ < 200 and b._no_improvement_count == a._no_improvement_count
    np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=RTOL)


def test_a_random_state_is_consumed_alike() -> None:
    X, y = _two_classes()
    a, b = np.random.RandomState(7), np.random.RandomState(7)
    fitted(theirs.MLPClassifier(random_state=a, max_iter=3), X, y)
    fitted(cr.MLPClassifier(random_state=b, max_iter=3, engine="reference"), X, y)
    assert a.randint(10**9) == b.randint(10**9)


@pytest.mark.parametrize("outputs", [2, 3])
def test_several_outputs_follow_the_cost(outputs: int) -> None:
    """Their gradient is K times that of their cost, so ours with K times the rate and alpha / K is their fit."""
    X, y = make_regression(120, 6, n_targets=outputs, random_state=0)
    y = y / y.std(axis=0)
    options: dict[str, Any] = {"solver": "sgd", "max_iter": 20, "random_state": 0, "hidden_layer_sizes": (8,)}
    a = fitted(theirs.MLPRegressor(learning_rate_init=0.01, alpha=0.3, **options), X, y)
    b = fitted(cr.MLPRegressor(learning_rate_init=0.01 * outputs, alpha=0.3 / outputs, **options), X, y)
    for x, z in zip([*a.coefs_, *a.intercepts_], [*b.coefs_, *b.intercepts_], strict=True):
        np.testing.assert_allclose(z, x, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_gradient_is_the_costs(outputs: int) -> None:
    """Along one random direction, by central differences; theirs fails this for three outputs."""
    X, y = make_regression(40, 5, n_targets=outputs, random_state=0)
    b = fitted(cr.MLPRegressor(hidden_layer_sizes=(6,), activation="tanh", max_iter=1, random_state=0), X, y / 100)
    net, Y = b.network_, (y / 100).reshape(40, -1)
    _, gradients = net.cost_and_gradients(X, Y)
    rng, h = np.random.default_rng(1), 1e-6
    direction = {k: rng.normal(size=v.shape) for k, v in net.parameters.items()}
    costs = []
    for sign in (1, -2):
        for name, array in net.parameters.items():
            array += sign * h * direction[name]
        costs.append(net.cost(X, Y))
    slope = sum(float((gradients[k] * direction[k]).sum()) for k in direction)
    assert (costs[0] - costs[1]) / (2 * h) == pytest.approx(slope, rel=1e-6)
