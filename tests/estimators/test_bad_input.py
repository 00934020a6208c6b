"""Bad input: scikit-learn's checks are the measure, and each new parameter has an answer of the same form."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import neural_network as theirs
from sklearn.datasets import load_iris, make_multilabel_classification

import chainrule as cr

X, Y = load_iris(return_X_y=True)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def message(call: Any) -> str:
    with pytest.raises((ValueError, TypeError, AttributeError)) as caught:
        call()
    return str(caught.value)


NEW: list[tuple[str, Any, str]] = [
    ("activation", "rleu", "a str among"),
    ("activation", ["relu", "tanh"], "a single value or one for each of the 1 hidden layers"),
    ("activation", ["rleu"], "made of names"),
    ("dropout", 1.0, r"a float in the range \[0.0, 1.0\)"),
    ("dropout", -0.1, r"a float in the range \[0.0, 1.0\)"),
    ("dropout", [0.1, 0.2], "a single value or one for each of the 1 hidden layers"),
    ("dropout", [1.5], r"a rate in the range \[0.0, 1.0\)"),
    ("dropout", ["much"], r"a rate in the range \[0.0, 1.0\)"),
    ("normalisation", "group", "a str among"),
    ("optimizer", "adam", "an instance of 'chainrule.describe.update.Optimizer' or None"),
    ("loss", "log_los", "a str among"),
    ("l1", -1, r"a float in the range \[0.0, inf\)"),
    ("clip_norm", 0, r"a float in the range \(0.0, inf\) or None"),
    ("scoring", "acuracy", "a str among"),
    ("restore_best_weights", "no", "an instance of 'bool'"),
    ("callbacks", 3, "an array-like or None"),
    ("callbacks", [print], "a list of instances of chainrule.Callback or None"),
    ("time_limit", 0, r"a float in the range \(0.0, inf\) or None"),
    ("threads", 0, r"an int in the range \[1, inf\) or None"),
    ("engine", "fast", "a str among"),
    ("dtype", "float16", "a str among"),
    ("dtype", int, "'float32', 'float64' or None"),
    ("hidden_layer_sizes", (5.5,), "whole numbers"),
]
OF_CLASSES: list[tuple[str, Any, str]] = [
    ("class_weight", "even", "a str among {'balanced'}"),
    ("class_weight", [1, 2], "a dict of a finite weight"),
    ("class_weight", [{}, {}], "'balanced' or a dict of a finite weight"),
    ("class_weight", {0: "much"}, "a dict of a finite weight of at least 0"),
    ("class_weight", {0: -1.0}, "a dict of a finite weight of at least 0"),
    ("label_smoothing", 1.0, r"a float in the range \[0.0, 1.0\)"),
]


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize(("parameter", "value", "allowed"), NEW, ids=lambda v: repr(v)[:20])
def test_new_parameters(name: str, parameter: str, value: Any, allowed: str) -> None:
    model = getattr(cr, name)(hidden_layer_sizes=(4,)).set_params(**{parameter: value})
    found = message(lambda: model.fit(X, Y))
    pattern = rf"The '{parameter}' parameter of {name} must be .*{allowed}.*\. Got {re.escape(repr(value))} instead\."
    assert re.fullmatch(pattern, found, re.DOTALL), found


@pytest.mark.parametrize(("parameter", "value", "allowed"), OF_CLASSES, ids=lambda v: repr(v)[:20])
def test_new_parameters_of_the_classifier(parameter: str, value: Any, allowed: str) -> None:
    test_new_parameters("MLPClassifier", parameter, value, allowed)


def test_weights_of_classes_of_several_outputs() -> None:
    several = np.stack([Y, Y % 2], axis=1)
    for given in ({0: 1.0}, [{0: 1.0}], [{0: 1.0}, 2]):
        found = message(lambda g=given: cr.MLPClassifier((4,), class_weight=g).fit(X, several))
        assert "or a list of these, one for each of the 2 outputs. Got" in found
    weighted = [{0: 1.0, 1: 2.0, 2: 1.0}, "balanced"]
    assert cr.MLPClassifier((4,), class_weight=weighted, max_iter=2).fit(X, several).n_outputs_ == 5


BOTH: dict[str, Any] = {
    "hidden layers": lambda m: m.MLPClassifier(hidden_layer_sizes=(5, 0)).fit(X, Y),
    "alpha": lambda m: m.MLPClassifier(alpha=-1).fit(X, Y),
    "solver": lambda m: m.MLPRegressor(solver="newton").fit(X, Y),
    "NaN": lambda m: m.MLPClassifier().fit(np.where(X > 5, np.nan, X), Y),
    "no classes": lambda m: m.MLPClassifier().partial_fit(X, Y),
    "unknown class": lambda m: m.MLPClassifier().partial_fit(X, Y, classes=[0, 1]),
    "other classes": lambda m: m.MLPClassifier().partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X, Y, classes=[0, 1]),
    "warm start": lambda m: m.MLPClassifier(warm_start=True, max_iter=2).fit(X, Y).fit(X, Y > 0),
    "continuous": lambda m: m.MLPClassifier().fit(X, X[:, 0]),
    "lengths": lambda m: m.MLPRegressor().fit(X, Y[:9]),
    "text": lambda m: m.MLPRegressor().fit(X, np.array(["a"] * 150, dtype=object)),
    "width": lambda m: m.MLPRegressor(max_iter=2).fit(X, Y).predict(X[:, :2]),
    "width of one": lambda m: m.MLPClassifier(max_iter=2).fit(X, Y).predict_proba(X[:1, :2]),
    "one dimension": lambda m: m.MLPClassifier(max_iter=2).fit(X, Y).predict(X[0]),
    "NaN in one row": lambda m: m.MLPClassifier(max_iter=2).fit(X, Y).predict(np.full((1, 4), np.nan)),
    "infinite rows": lambda m: m.MLPRegressor(max_iter=2).fit(X, Y).predict(np.full((9, 4), np.inf)),
    "not fitted": lambda m: m.MLPClassifier().predict(X),
    "no partial_fit": lambda m: m.MLPClassifier(solver="lbfgs").partial_fit(X, Y),
    "small validation": lambda m: m.MLPRegressor(early_stopping=True).fit(X[:2], Y[:2]),
    "rare class": lambda m: m.MLPClassifier(early_stopping=True).fit(X[:4], [0, 0, 0, 1]),
    "weights": lambda m: m.MLPClassifier().fit(X, Y, sample_weight=[1, 2]),
    "batch size": lambda m: m.MLPClassifier(batch_size=0).fit(X, Y),
}


def comparable(text: str) -> str:
    """Sets are printed in any order; and what we allow besides is no difference."""
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("case", BOTH)
def test_as_theirs(case: str) -> None:
    expected = comparable(message(lambda: BOTH[case](theirs)))
    found = comparable(message(lambda: BOTH[case](cr)).split("\nMLPClassifier is for numbers")[0])
    if "a str among" in expected:
        expected, found = expected.split("{")[0], found.split("{")[0]
    assert found == expected


def test_a_batch_size_above_the_samples_warns() -> None:
    for module in (theirs, cr):
        with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger than sample size"):
            module.MLPClassifier(batch_size=999, max_iter=1).fit(X, Y)


def test_what_does_not_go_together() -> None:
    for options, words in (
        ({"solver": "lbfgs", "dropout": 0.1}, "dropout does not go with solver='lbfgs'"),
        ({"solver": "lbfgs", "dropout": [0.1]}, "dropout does not go with solver='lbfgs'"),
        ({"solver": "lbfgs", "normalisation": "batch"}, "no running means"),
        ({"loss": "hinge", "label_smoothing": 0.1}, "label_smoothing does not go with the loss hinge"),
    ):
        assert words in message(lambda o=options: cr.MLPClassifier((4,), **o).fit(X, Y))
    several, labels = make_multilabel_classification(40, 4, random_state=0)
    assert "of one class a sample" in message(lambda: cr.MLPClassifier(loss="cross_entropy").fit(several, labels))
    cost = cr.Cost("mean((yhat - y) ** 2)")
    assert "do not go with a Cost" in message(lambda: cr.MLPRegressor(loss=cost).fit(X, Y, sample_weight=np.ones(150)))


def test_targets_out_of_range() -> None:
    assert "y must be at least 0 for poisson" in message(lambda: cr.MLPRegressor(loss="poisson").fit(X, Y - 1.0))
    assert "between 0 and 1" in message(lambda: cr.MLPRegressor(loss="binary_cross_entropy").fit(X, Y))


def test_validation_data() -> None:
    for given, words in (
        ((X,), "validation_data must be (X, y) or (X, y, sample_weight)"),
        ((X[:, :2], Y), "X has 2 features, but MLPClassifier is expecting 4 features"),
        ((X, Y + 1), "`y` has classes not in `self.classes_`"),
        ((X, Y[:3]), "inconsistent numbers of samples"),
    ):
        assert words in message(lambda v=given: cr.MLPClassifier((4,), max_iter=2).fit(X, Y, validation_data=v))


def test_a_fit_that_diverges() -> None:
    with pytest.warns(Warning, match="has diverged"), pytest.raises(ValueError, match="non-finite parameter weights"):
        cr.MLPRegressor(solver="sgd", learning_rate_init=1e6, max_iter=50).fit(X, Y)


@pytest.mark.parametrize(
    ("name", "tables"), [("MLPClassifier", "TabularClassifier"), ("MLPRegressor", "TabularRegressor")]
)
def test_texts_and_gaps_are_for_the_estimators_of_tables(name: str, tables: str) -> None:
    texts, gaps = np.array([["a", 1.0]] * 9, dtype=object), np.array([[1.0, np.nan]] * 9)
    fitted = getattr(cr, name)(max_iter=1).fit(X[:9, :2], [0, 1, 0] * 3)
    for given in (texts, gaps, texts.tolist(), [[None, 1.0]] * 9):
        for call in (getattr(cr, name)().fit, lambda given, _: fitted.predict(given)):
            said = message(lambda call=call, given=given: call(given, [0, 1, 0] * 3))
            assert f"{name} is for numbers without gaps; chainrule's {tables} takes texts" in said
            assert "could not convert string" in said or "Input X contains NaN" in said
    frame = pd.DataFrame({"day": [f"{k} of May" for k in range(60)], "n": 1.5})
    assert tables in message(lambda: getattr(cr, name)().fit(frame, [0, 1, 0] * 20))
    assert tables in message(lambda: fitted.predict(frame))
    assert tables not in message(lambda: getattr(cr, name)().fit(X, np.full(len(X), np.nan)))
