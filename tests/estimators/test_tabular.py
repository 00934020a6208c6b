"""TabularClassifier, TabularRegressor, the doors to them: the contract, kept as folders, the command, wrong input."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.inspection import partial_dependence
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_pinball_loss, r2_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import chainrule as cr

BOTH = pytest.mark.parametrize("name", ["TabularClassifier", "TabularRegressor"])
QUICK: dict[str, Any] = {"preset": "fast", "random_state": 0, "engine": "reference"}
WEIGHTS = "a row with the weight 2 is one row to the parts that are held out and to batches, two rows are two"


def people(m: int = 240, seed: int = 0) -> pd.DataFrame:
    """Numbers, texts, dates and gaps; `pay` follows from age and job, `rich` from pay."""
    rng = np.random.default_rng(seed)
    age, job = rng.integers(18, 80, m), rng.choice(["cook", "nurse", "pilot"], m)
    frame = pd.DataFrame({"age": age.astype(float), "job": job, "id": [f"p{k}" for k in range(m)]})
    frame["since"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, m), "D")
    frame.loc[rng.random(m) < 0.1, "age"] = np.nan
    frame["pay"] = 30.0 * age + 900 * (job == "pilot") + rng.normal(0, 40, m)
    frame["rich"] = np.where(frame["pay"] > 1900, "yes", "no")
    return frame


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    """One of each, of the same people."""
    frame = people()
    X = frame[["age", "job", "id", "since"]]
    with pytest.warns(cr.DataWarning, match="'id'"):
        return {
            "TabularClassifier": cr.TabularClassifier(ensemble=2, **QUICK).fit(X, frame["rich"]),
            "TabularRegressor": cr.TabularRegressor(ensemble=2, **QUICK).fit(X, frame["pay"]),
        }


@pytest.mark.long
@BOTH
def test_check_estimator(name: str) -> None:
    estimator = getattr(cr, name)("fast", ensemble=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {"check_sample_weight_equivalence_on_dense_data": WEIGHTS}
        found = check_estimator(estimator, on_skip=None, expected_failed_checks=expected)
    assert sum(r["status"] == "passed" for r in found) > 50


@BOTH
def test_it_learns_and_says_what_it_left_out(name: str, fitted: dict[str, Any]) -> None:
    model, new = fitted[name], people(150, seed=1)
    target = {"TabularClassifier": "rich", "TabularRegressor": "pay"}[name]
    assert model.score(new, new[target]) > 0.8 and model.target_ == target and len(model.networks_) == 2
    assert list(model.feature_names_in_) == ["age", "job", "id", "since"] and "'id'" in model.notes_[0]
    importances = dict(zip(model.feature_names_in_, model.feature_importances_, strict=True))
    assert importances["age"] > importances["job"] > importances["since"] - 0.02 and importances["id"] == 0
    assert sum(importances.values()) == pytest.approx(1)
    assert model.importances(new, new[target])["age"] > 0 and model.spread(new).max() > 0
    evaluation = model.evaluate(new)
    assert evaluation.samples == 150 and evaluation.metrics == model.evaluate(new, new[target]).metrics
    assert evaluation.main == {"rich": "accuracy", "pay": "RMSE"}[target]
    assert evaluation.metrics[evaluation.main] != evaluation.baseline[evaluation.main]


@BOTH
def test_the_same_predictions_from_every_kind_of_frame(name: str, fitted: dict[str, Any], tmp_path: Path) -> None:
    model, new = fitted[name], people(40, seed=2)
    expected = model.predict(new)
    new.to_csv(tmp_path / "new.csv", index=False)
    ways = [new[new.columns[::-1]], pl.from_pandas(new), pl.from_pandas(new).to_arrow(), tmp_path / "new.csv"]
    for way in ways:
        np.testing.assert_array_equal(model.predict(way), expected)


@BOTH
def test_the_same_seed_is_the_same_model(name: str) -> None:
    frame = people(80)
    y = frame["rich" if name == "TabularClassifier" else "pay"]
    one, two = (getattr(cr, name)(ensemble=1, **QUICK).fit(frame[["age", "job"]], y) for _ in range(2))
    np.testing.assert_array_equal(one.predict(frame), two.predict(frame))
    assert not hasattr(clone(one), "preparation_")


@BOTH
def test_kept_as_a_folder_it_predicts_the_same_bits(name: str, fitted: dict[str, Any], tmp_path: Path) -> None:
    model, new = fitted[name], people(50, seed=3)
    model.save(tmp_path / "run")
    again: Any = cr.load_run(tmp_path / "run", engine="reference")
    assert type(again) is type(model) and again.target_ == model.target_ and again.notes_ == model.notes_
    for of in ("predict", "spread", *(["predict_proba"] if name == "TabularClassifier" else [])):
        np.testing.assert_array_equal(getattr(again, of)(new), getattr(model, of)(new))
    np.testing.assert_array_equal(again.feature_importances_, model.feature_importances_)
    assert again.evaluate(new).to_dict() == model.evaluate(new).to_dict()
    assert {k: v for k, v in again.get_params().items() if k != "engine"} == {
        k: v for k, v in model.get_params().items() if k != "engine"
    }
    for damage in ("member-1.safetensors", "seen.npz", "table.json"):
        shutil.copytree(tmp_path / "run", tmp_path / damage)
        path = tmp_path / damage / damage
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(cr.DataError):
            cr.load_run(tmp_path / damage)
    said = json.loads((tmp_path / "run" / "table.json").read_text(encoding="utf-8"))
    for key in ("kind", "preparation", "members", "constant", "trained"):
        (tmp_path / "run" / "table.json").write_text(json.dumps({**said, key: 7}), encoding="utf-8")
        with pytest.raises(cr.DataError):
            cr.load_run(tmp_path / "run")


class Column:
    """What turns into an array, and refuses NumPy's functions."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.values.astype(dtype or self.values.dtype)

    def __array_function__(self, *asked: Any) -> Any:
        raise TypeError("no function of NumPy takes this")


@BOTH
def test_targets_that_only_turn_into_an_array(name: str) -> None:
    frame = people(40)
    X, y = frame[["age", "job"]], (frame["rich"] == "yes").to_numpy().astype(int)
    one, other = (getattr(cr, name)(ensemble=1, **QUICK).fit(X, target) for target in (y, Column(y)))
    assert (one.predict(X) == other.predict(X)).all()


def test_targets_of_every_kind() -> None:
    frame = people(40)
    X = frame[["age", "job"]]
    for labels in ([True, False], [3, 7], np.array(["a", "b"], dtype=object)):
        y = np.array(labels)[(frame["rich"] == "yes").astype(int)]
        model = cr.TabularClassifier(ensemble=1, **QUICK).fit(X, y)
        assert model.predict(X).dtype == y.dtype and set(model.predict(X)) <= set(labels)
        assert model.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(40))
    several = cr.TabularRegressor(ensemble=1, **QUICK).fit(X, frame[["pay", "pay"]].to_numpy() * [1, 1e-9])
    assert several.predict(X).shape == (40, 2)
    assert set(several.evaluate(X, several.predict(X)).each) == {"target 1", "target 2"}
    wrong = several.predict(X) * [1, -1]  # each over its variance: the small unit counts as much as the large
    assert several._loss(wrong, several.predict(X)) > 0.5
    of_levels = cr.TabularRegressor(quantiles=(0.1, 0.5, 0.9), ensemble=1, **QUICK).fit(X, frame["pay"])
    levels = of_levels.predict(X)
    assert of_levels.score(X, frame["pay"]) == pytest.approx(r2_score(frame["pay"], levels[:, 1]))
    said = of_levels.evaluate(frame)
    loss = np.mean([mean_pinball_loss(frame["pay"], levels[:, k], alpha=q) for k, q in enumerate((0.1, 0.5, 0.9))])
    assert said.metrics["quantile loss"] == pytest.approx(loss) and said.baseline["quantile loss"] > loss
    within = (levels[:, 0] <= frame["pay"]) & (frame["pay"] <= levels[:, 2])
    assert said.metrics["share within 0.1 to 0.9"] == within.mean()
    assert levels.shape == (40, 3) and (np.diff(levels, axis=1) >= 0).all()
    counts = cr.TabularRegressor(loss="poisson", ensemble=1, **QUICK).fit(X, np.arange(40) % 5)
    assert (counts.predict(X) >= 0).all()


def test_predictions_rise_where_they_must(tmp_path: Path) -> None:
    """Also against the data: pay falls in age here."""
    frame = people(60)
    X = frame[["age", "job", "since"]].assign(pay=-frame["pay"])
    for cst in ({"age": 1}, [1, 0, 0]):
        model = cr.TabularRegressor(ensemble=1, monotonic_cst=cst, **QUICK).fit(X[["age", "job", "since"]], X["pay"])
    model.save(tmp_path / "run")
    grid = X.iloc[[3] * 50].assign(age=np.linspace(0, 120, 50))
    for one in (model, cr.load_run(tmp_path / "run")):
        assert (np.diff(one.predict(grid)) >= 0).all()
    for wrong, words in (
        ({"job": 1}, "not of numbers"),
        ({"aeg": 1}, "age"),
        ({"age": 2}, "-1, 0 or 1"),
        ([1], "3 col"),
    ):
        with pytest.raises(cr.DataError, match=words):
            cr.TabularRegressor(monotonic_cst=wrong, **QUICK).fit(X[["age", "job", "since"]], X["pay"])


def test_a_time_limit_that_is_too_short_is_told() -> None:
    frame = people(2000)  # which no machine learns within the least time that a member has
    with pytest.warns(ConvergenceWarning, match="the time limit ended the training early"):
        cr.TabularRegressor(time_limit=1e-6, ensemble=1, **QUICK).fit(frame[["age", "job"]], frame["pay"])


def test_nothing_to_learn_from_is_the_mean() -> None:
    X, y = pd.DataFrame({"a": [1] * 6, "b": [None] * 6}), [1.0, 2, 3, 4, 5, 6]
    model = cr.TabularRegressor(**QUICK).fit(X, y)
    assert (model.predict(X) == 3.5).all() and (model.spread(X) == 0).all() and len(model.notes_) == 2
    classes = cr.TabularClassifier(**QUICK).fit(X, ["x", "x", "x", "x", "y", "y"])
    np.testing.assert_allclose(classes.predict_proba(X), [[2 / 3, 1 / 3]] * 6)


@BOTH
def test_a_fit_that_fails_leaves_what_was_fitted(name: str) -> None:
    frame = people(40)
    y = frame["rich" if name == "TabularClassifier" else "pay"]
    model = getattr(cr, name)(ensemble=1, **QUICK).fit(frame[["age", "job"]], y)
    before = model.predict(frame)
    for X, targets in ((frame[["age", "since", "job"]], y[:-1]), (frame[["age"]].assign(z=[[1]] * 40), y[::-1])):
        with pytest.raises(ValueError):
            model.fit(X, targets)
        np.testing.assert_array_equal(model.predict(frame), before)


def test_it_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    frame = people(30)
    cr.TabularRegressor(ensemble=2, verbose=True, **QUICK).fit(frame[["age"]], frame["pay"])
    assert "epoch" in capsys.readouterr().err


def test_a_table_as_numbers_for_other_models(fitted: dict[str, Any]) -> None:
    model, new = fitted["TabularRegressor"], people(20, seed=6).set_index(pd.Index(range(20, 40)))
    columns = model.get_feature_names_out()
    assert columns[:2].tolist() == ["age", "since"] and {"age is missing", "job, 0", "job, 1"} <= set(columns)
    array = model.transform(new)
    assert array.shape == (20, len(columns)) and array.dtype == np.float64
    jobs = array[:, [k for k, name in enumerate(columns) if name.startswith("job")]]
    assert len(np.unique(jobs, axis=0)) == new["job"].nunique() == 3
    try:
        frame = model.set_output(transform="pandas").transform(new)
    finally:
        model.set_output(transform="default")
    assert list(frame.columns) == list(columns) and list(frame.index) == list(new.index)
    np.testing.assert_array_equal(frame.to_numpy(), array)
    linear = make_pipeline(clone(model).set_params(ensemble=1), Ridge()).fit(new[["age", "job"]], new["pay"])
    assert linear.score(new, new["pay"]) > 0.5


def test_with_scikit_learns_tools(fitted: dict[str, Any]) -> None:
    frame = people(90)
    model = cr.TabularRegressor(ensemble=1, **QUICK)
    assert len(cross_val_score(model, frame[["age", "job"]], frame["pay"], cv=2)) == 2
    X = frame[["age", "job", "id", "since"]]
    found = partial_dependence(
        fitted["TabularRegressor"], X.assign(age=X["age"].fillna(40)), ["age"], grid_resolution=5
    )
    assert (np.diff(found["average"][0]) > 0).all()
    by_job = partial_dependence(fitted["TabularRegressor"], X, ["job"], categorical_features=["job"])
    assert by_job["grid_values"][0][by_job["average"][0].argmax()] == "pilot"


def test_fit_table(tmp_path: Path) -> None:
    people(60).to_csv(tmp_path / "people.csv", index=False)
    for data in (tmp_path / "people.csv",):
        model = cr.fit_table(data, "pay", ignore=("rich", "id"), ensemble=1, **QUICK)
        assert isinstance(model, cr.TabularRegressor) and list(model.feature_names_in_) == ["age", "job", "since"]
    frame = people(60)
    frame["rich"] = np.where(np.arange(len(frame)) == 4, None, frame["rich"] == "yes")
    with pytest.warns(cr.DataWarning, match=r"1 row without a value of 'rich' left out \(the first is row 4\)"):
        model = cr.fit_table(frame[["age", "job", "rich"]], "rich", ensemble=1, **QUICK)
    assert set(model.predict(frame)) == {False, True} and model.predict(frame).dtype == bool
    with pytest.warns(cr.DataWarning, match=r"'twice' gives the target away.*\(ignore='twice'\)"):
        cr.fit_table(frame[["age", "pay"]].assign(twice=2 * frame["pay"]), "pay", ensemble=1, **QUICK)
    frame = pd.DataFrame({"x": np.arange(60) % 7, "y": np.arange(60) % 3})
    assert isinstance(cr.fit_table(frame, "y", ensemble=1, **QUICK), cr.TabularClassifier)
    assert isinstance(cr.fit_table(frame, "y", task="regression", ensemble=1, **QUICK), cr.TabularRegressor)


def test_bad_input(fitted: dict[str, Any]) -> None:
    frame, model = people(30), fitted["TabularClassifier"]
    for call, error, words in (
        (lambda: cr.TabularClassifier().predict(frame), NotFittedError, "not fitted"),
        (lambda: model.predict(frame[["age"]]), cr.DataError, "lacks the columns 'job', 'since'"),
        (lambda: model.predict(frame.assign(age="old")), cr.DataError, "'age'"),
        (lambda: model.predict(np.zeros((2, 3))), ValueError, "3 features|expecting 4|4 columns"),
        (lambda: model.evaluate(frame[["age", "job", "id", "since"]]), cr.DataError, "no target 'rich'"),
        (lambda: model.evaluate(frame, ["perhaps"] * 30), cr.DataError, "perhaps"),
        (lambda: cr.TabularClassifier("slow").fit(frame, frame["rich"]), ValueError, "preset"),
        (lambda: cr.TabularClassifier(class_weight={"maybe": 2}).fit(frame, frame["rich"]), ValueError, "maybe"),
        (lambda: cr.TabularRegressor(ensemble=0).fit(frame, frame["pay"]), ValueError, "ensemble"),
        (lambda: cr.TabularRegressor().fit(frame, frame["pay"].tolist()[1:]), ValueError, "30 rows"),
        (lambda: cr.TabularRegressor().fit(frame, frame["rich"]), ValueError, "y"),
        (lambda: cr.TabularRegressor().fit(sparse.dok_array((3, 3)), [1.0, 2, 3]), TypeError, "Sparse"),
        (lambda: cr.fit_table(frame, "wealth"), cr.DataError, "wealth"),
        (lambda: cr.fit_table(frame.assign(rich=None), "rich"), cr.DataError, "no value in any row"),
        (lambda: cr.fit_table(frame, frame["rich"]), cr.DataError, r"fit_table\(data, 'rich'\)"),
        (lambda: model.predict(frame.iloc[0].to_dict()), cr.DataError, r"\[row\]"),
        (lambda: cr.fit_table(frame, "pay", ignore="pay"), cr.DataError, "cannot both"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with pytest.raises(error, match=words):
                call()
