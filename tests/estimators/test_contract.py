"""The contract beyond the numbers: scikit-learn's checks, its tools around our estimators, containers, keeping."""

from __future__ import annotations

import inspect
import io
import pickle
import subprocess
import sys
import warnings
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn import neural_network as theirs
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import chainrule as cr
from chainrule.engines import processors
from chainrule.estimators import arrays

X, Y = load_iris(return_X_y=True)
QUIET = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
pytestmark = QUIET
BOTH = pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])


def small(name: str = "MLPClassifier", **options: Any) -> Any:
    return getattr(cr, name)(**{"hidden_layer_sizes": (8,), "max_iter": 12, "random_state": 0, **options})


@pytest.mark.parametrize("name", ["MLPClassifier", pytest.param("MLPRegressor", marks=pytest.mark.long)])
def test_check_estimator(name: str) -> None:
    """No expected failures; a check is skipped only where it does not apply here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(getattr(cr, name)(max_iter=30), on_skip=None)
    assert {r["status"] for r in found} <= {"passed", "skipped"} and not any(r["expected_to_fail"] for r in found)
    assert sum(r["status"] == "passed" for r in found) > 60


@pytest.mark.long
@BOTH
@pytest.mark.parametrize(
    "options",
    [{"solver": "lbfgs"}, {"engine": "compiled"}, {"normalisation": "layer"}],
    ids=str,
)
def test_check_estimator_otherwise(name: str, options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(getattr(cr, name)(max_iter=30, **options), on_skip=None)


@BOTH
def test_the_signature_is_theirs_and_more(name: str) -> None:
    mine = list(inspect.signature(getattr(cr, name)).parameters.values())
    first = list(inspect.signature(getattr(theirs, name)).parameters.values())
    assert [(p.name, p.default, p.kind) for p in mine[: len(first)]] == [(p.name, p.default, p.kind) for p in first]
    assert all(p.kind is p.KEYWORD_ONLY for p in mine[len(first) :])


@BOTH
def test_the_attributes_and_methods_are_theirs_and_more(name: str) -> None:
    for options in ({}, {"early_stopping": True}, {"solver": "lbfgs"}):
        a = getattr(theirs, name)(max_iter=5, random_state=0, **options).fit(X, Y)
        b = getattr(cr, name)(max_iter=5, random_state=0, **options).fit(X, Y)
        public = [k for k in dir(a) if not k.startswith("_") and hasattr(a, k)]
        # Their regressor offers partial_fit with lbfgs as well (its condition is never called), and runs all of it.
        assert [k for k in public if not hasattr(b, k)] == (
            ["partial_fit"] if "partial_fit" in public and not hasattr(b, "partial_fit") else []
        )
        for attribute in (k for k in public if k.endswith("_")):
            assert isinstance(getattr(a, attribute), type(getattr(b, attribute))), attribute
    for method in ("fit", "partial_fit", "predict", "score"):
        first = list(inspect.signature(getattr(getattr(theirs, name)(), method)).parameters)
        assert list(inspect.signature(getattr(getattr(cr, name)(), method)).parameters)[: len(first)] == first


def test_kinds() -> None:
    assert is_classifier(cr.MLPClassifier()) and is_regressor(cr.MLPRegressor())
    assert cr.MLPClassifier()._check_solver() and not hasattr(cr.MLPClassifier(solver="lbfgs"), "partial_fit")
    assert repr(cr.MLPClassifier(dropout=0.5)) == "MLPClassifier(dropout=0.5)"


def test_importing_chainrule_does_not_load_scikit_learn() -> None:
    code = "import sys, chainrule; assert 'sklearn' not in sys.modules; chainrule.MLPClassifier; import sklearn"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {"MLPClassifier", "MLPRegressor"} <= set(dir(cr)) & set(cr.__all__)
    with pytest.raises(AttributeError, match="MLPTransformer"):
        cr.MLPTransformer  # noqa: B018


# --- tools -----------------------------------------------------------------------------------------------------------


def test_pipeline_grid_search_and_cross_validation() -> None:
    model = make_pipeline(StandardScaler(), small(max_iter=40, learning_rate_init=0.05))
    assert cross_val_score(model, X, Y, cv=3).mean() > 0.9
    search = GridSearchCV(model, {"mlpclassifier__alpha": [1e-4, 100.0], "mlpclassifier__dropout": [0.0, 0.1]}, cv=2)
    search.fit(X, Y)
    assert search.best_params_["mlpclassifier__alpha"] == 1e-4
    assert cross_val_predict(model, X, Y, cv=3, method="predict_proba").shape == (150, 3)
    assert permutation_importance(model.fit(X, Y), X, Y, n_repeats=2, random_state=0).importances_mean.max() > 0.1


def test_in_other_processes() -> None:
    """n_jobs=2 gives the same scores; each worker is left with one thread."""
    search = GridSearchCV(small(max_iter=5), {"alpha": [1e-4, 1.0]}, cv=2, n_jobs=2).fit(X, Y)
    alone = GridSearchCV(small(max_iter=5), {"alpha": [1e-4, 1.0]}, cv=2).fit(X, Y)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(processors.allowed)() for _ in range(3)) == [1, 1, 1]
    inside = joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(processors.allowed)() for _ in range(3))
    assert inside == [1, 1, 1]


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    free = processors.allowed()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert free >= 1 and processors.allowed() == 1
    monkeypatch.setenv("CHAINRULE_PROCESSORS", "2")
    np.testing.assert_array_equal(
        small(engine="compiled", threads=2).fit(X, Y).coefs_[0], small(engine="compiled", threads=1).fit(X, Y).coefs_[0]
    )


@BOTH
def test_clone_pickle_and_joblib(name: str, tmp_path: Any) -> None:
    model = small(name, optimizer=cr.Adam(0.01), activation=[cr.Activation("z * sigmoid(z)")]).fit(X, Y)
    copied = clone(model)
    assert copied.get_params()["optimizer"] == model.optimizer and not hasattr(copied, "coefs_")
    joblib.dump(model, tmp_path / "model.joblib")
    for other in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert other.coefs_[0] is other._bound().parameters["W1"] or np.shares_memory(
            other.coefs_[0], other.network_.parameters["W1"]
        )
        first, second = other.partial_fit(X, Y), pickle.loads(pickle.dumps(model)).partial_fit(X, Y)
        np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])


@BOTH
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "sgd", "learning_rate": "adaptive"},
        {"optimizer": cr.Adam(cr.OnPlateau(0.01, patience=0))},
        {"optimizer": cr.SGD(cr.Cosine(0.01), momentum=0.9)},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "adam",
)
def test_partial_fit_goes_on_where_a_pickle_of_version_0_1_0_stood(name: str, options: dict[str, Any]) -> None:
    """Its solver kept slots and steps itself, did not count samples, and its schedules knew of no cooling down."""
    model = small(name, **options).fit(X, Y)
    old = pickle.loads(pickle.dumps(model))
    said = dict(vars(old._optimizer))
    carried = said.pop("carried")
    del said["seen"], said["samples"]
    said |= {"slots": carried.slots, "taken": carried.step}
    if hasattr(said["_schedule"], "_cooling"):
        del said["_schedule"]._cooling
    old._optimizer = object.__new__(type(old._optimizer))
    old._optimizer.__setstate__(said)
    for estimator in (model, old):
        for _ in range(3):
            estimator.partial_fit(X, Y)
    assert old.t_ == model.t_ > 0
    np.testing.assert_array_equal(old.coefs_[0], model.coefs_[0])


def test_what_is_written_into_coefs_counts() -> None:
    model = small().fit(X, Y)
    before = model.predict_proba(X)
    model.coefs_[0][...] = 0
    assert np.ptp(model.predict_proba(X), axis=0).max() < 1e-12
    model.coefs_[0] = np.ones((4, 8))
    assert not np.allclose(model.predict_proba(X), before)
    np.testing.assert_array_equal(model.network_.parameters["W1"], 1)


def test_wrapped_by_others() -> None:
    y = np.stack([Y, (Y == 1).astype(int)], axis=1)
    assert MultiOutputClassifier(small()).fit(X, y).predict(X).shape == (150, 2)


# --- containers ------------------------------------------------------------------------------------------------------


def test_names_and_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    model = small(hidden_layer_sizes=(5, 3), early_stopping=True).fit(frame, Y)
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    model.set_output(transform="pandas")
    hidden = model.transform(frame)
    assert list(hidden.columns) == ["mlpclassifier0", "mlpclassifier1", "mlpclassifier2"]
    assert list(model.transform(frame, layer=0).columns) == [f"mlpclassifier_h1_{k}" for k in range(5)]
    chained = make_pipeline(StandardScaler(), small()).set_output(transform="pandas")
    assert chained.fit(frame, Y).predict(frame).shape == (150,)


def test_set_output_polars() -> None:
    polars = pytest.importorskip("polars")
    hidden = small().fit(X, Y).set_output(transform="polars").transform(X)
    assert isinstance(hidden, polars.DataFrame) and hidden.shape == (150, 8)


@pytest.mark.parametrize(
    ("form", "container"),
    [
        ("csr", "matrix"),
        ("csc", "array"),
        pytest.param("csr", "array", marks=pytest.mark.long),
        pytest.param("csc", "matrix", marks=pytest.mark.long),
    ],
)
@BOTH
def test_sparse_is_dense(name: str, form: str, container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits; also where sparse samples are too many to be made dense at once."""
    dense = np.where(np.random.default_rng(0).random(X.shape) < 0.5, 0, X)
    held = getattr(sparse, f"{form}_{container}")(dense)
    for options in ({"batch_size": 16}, {"solver": "lbfgs"}, {"early_stopping": True, "batch_size": 16}):
        expected = small(name, engine="reference", **options).fit(dense, Y)
        with monkeypatch.context() as patch:
            for whole in (2**28, 0):
                patch.setattr(arrays, "WHOLE", whole)
                patch.setattr(arrays, "PART", 16 * 4 * 8 * 3)
                found = small(name, engine="reference", **options).fit(held, Y)
                np.testing.assert_allclose(found.coefs_[0], expected.coefs_[0], rtol=1e-6, atol=1e-9)
                np.testing.assert_allclose(found.transform(held), expected.transform(dense), rtol=1e-6, atol=1e-9)
                np.testing.assert_array_equal(found.predict(held), found.predict(dense))


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_float32_stays_float32(name: str, solver: str, engine: str) -> None:
    model = small(name, solver=solver, engine=engine).fit(X.astype(np.float32), Y)
    assert {a.dtype for a in [*model.coefs_, *model.intercepts_]} == {np.dtype(np.float32)}
    assert model.network_.dtype == np.float32 and model.transform(X.astype(np.float32)).dtype == np.float32
    if name == "MLPRegressor":
        assert model.predict(X.astype(np.float32)).dtype == np.float32
    assert small(name, solver=solver).fit(X, Y).coefs_[0].dtype == np.float64


def test_lists_and_integers() -> None:
    a = small().fit(X.tolist(), Y.tolist())
    np.testing.assert_array_equal(a.predict(X.tolist()), small().fit(X, Y).predict(X))
    assert small().fit(np.round(X).astype(int), Y).coefs_[0].dtype == np.float64


# --- metadata --------------------------------------------------------------------------------------------------------


def test_metadata_routing() -> None:
    w = np.random.default_rng(0).uniform(0.1, 2, len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        model = small().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        routed = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        scaled = StandardScaler().fit_transform(X)
        expected = small().fit(scaled, Y, sample_weight=w)
        np.testing.assert_array_equal(routed.fit(X, Y, sample_weight=w)[-1].coefs_[0], expected.coefs_[0])
        scores = cross_val_score(routed, X, Y, params={"sample_weight": w}, cv=2)
        assert scores.shape == (2,)
        held = small().set_fit_request(validation_data=True)
        fitted = make_pipeline(StandardScaler(), held).fit(X, Y, validation_data=(scaled, Y))
        assert len(fitted[-1].validation_loss_curve_) == fitted[-1].n_iter_
        assert cr.MLPClassifier().set_partial_fit_request(classes=True)


def test_unfitted() -> None:
    for call in ("predict", "predict_proba", "transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(small(), call)(X)


def test_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    """The same lines as theirs."""
    data = make_classification(60, random_state=0)
    for module in (theirs, cr):
        for options in ({}, {"early_stopping": True}, {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0}):
            options |= {"max_iter": 14, "random_state": 0, "verbose": True}
            module.MLPClassifier(**options).fit(*data)
        if module is theirs:
            expected = capsys.readouterr().out
    assert capsys.readouterr().out == expected and "Validation score" in expected and "Setting learning" in expected


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    small(verbose=True).fit(X, Y)
    assert "epoch 12/12" in terminal.getvalue() and "Iteration" not in terminal.getvalue()


def test_convergence_warning() -> None:
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(12\) reached"):
        small().fit(X, Y)
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        small(solver="lbfgs", max_iter=2).fit(X, Y)


def test_regression_shapes() -> None:
    for outputs in (1, 2):
        Xr, yr = make_regression(60, 4, n_targets=outputs, random_state=0)
        assert small("MLPRegressor").fit(Xr, yr).predict(Xr).shape == yr.shape
