"""What each column adds to a prediction, and importances on rows held out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

import chainrule as cr
from chainrule.tabular import base
from chainrule.tabular.members import parts_of
from chainrule.tabular.recipe import recipe_for

QUICK: dict[str, Any] = {"preset": "fast", "random_state": 0, "engine": "reference"}


def table(m: int = 90, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"n": rng.normal(size=m), "same": 1, "c": rng.choice(list("uvw"), m), "b": rng.random(m) < 0.5}
    )
    frame["d"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, m), "D")
    frame.loc[::11, "n"] = np.nan
    return frame


@contextmanager
def shaped(**changes: Any) -> Iterator[None]:
    with patch.object(base, "recipe_for", lambda *given: replace(recipe_for(*given), **changes)):
        yield


X = table()
PAY = 100 * X["n"].fillna(0) + 80 * (X["c"] == "u") + np.arange(len(X)) % 3
KINDS: dict[str, tuple[Any, Any]] = {
    "values": (cr.TabularRegressor(**QUICK), PAY),
    "two classes": (cr.TabularClassifier(**QUICK), PAY > 20),
    "three classes": (cr.TabularClassifier(**QUICK), np.digitize(PAY, [-40, 60])),
    "targets": (cr.TabularRegressor(**QUICK), np.stack([PAY, -1e-6 * PAY], axis=1)),
    "quantiles": (cr.TabularRegressor(quantiles=(0.1, 0.5, 0.9), **QUICK), PAY),
    "counts": (cr.TabularRegressor(loss="poisson", **QUICK), np.maximum(PAY, 0).round()),
    "rising": (cr.TabularRegressor(monotonic_cst={"n": 1}, **QUICK), PAY),
    "rising classes": (cr.TabularClassifier(monotonic_cst={"n": 1}, **QUICK), PAY > 20),
    "classes in turn": (cr.TabularClassifier(**QUICK | {"preset": "default"}), np.digitize(PAY, [-40, 60])),
}

RARE = ("targets", "counts", "rising", "two classes")


def said(model: Any, rows: Any) -> Any:
    return model.predict_proba(rows) if hasattr(model, "classes_") else model.predict(rows)


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.long) if k in RARE else k for k in KINDS])
def test_they_add_up_to_the_prediction(kind: str, tmp_path: Path) -> None:
    model, y = KINDS[kind]
    with shaped(members=2, epochs=2, hidden=(6,)):
        model.fit(X, y)
    new = table(8, seed=1).assign(c=["u", "x"] * 4)
    added, predicted = model.contributions(new), said(model, new)
    assert added.values.shape == (8, 5, *predicted.shape[1:]) and added.base_values.shape == predicted.shape
    size = np.abs(predicted).max()
    np.testing.assert_allclose(added.values.sum(axis=1) + added.base_values, predicted, rtol=0, atol=1e-9 * size)
    assert (
        added.rest <= 5e-3 and (added.values[:, 1] == 0).all() and added.feature_names == ("n", "same", "c", "b", "d")
    )
    one = model.contributions(new, base=X.iloc[3:4])
    assert np.abs(one.base_values - said(model, X.iloc[3:4])).max() <= 1e-5 * size
    three = ("0", "1", "2")
    names = {"two classes": ("False", "True"), "three classes": three, "classes in turn": three}
    names["quantiles"] = ("0.1", "0.5", "0.9")
    assert added.output_names == names.get(kind, ("False", "True") if "classes" in kind else None)
    model.save(tmp_path / "run")
    again: Any = cr.load_run(tmp_path / "run", engine="reference")
    np.testing.assert_array_equal(said(again, new), predicted)
    np.testing.assert_array_equal(again.contributions(new).values, added.values)


def test_of_a_linear_network_they_are_its_terms() -> None:
    """Without hidden layers f is linear in its inputs: φ = w s (x - b), of numbers, pieces, flags and tables' rows."""
    with shaped(members=1, epochs=3, hidden=(), activation="identity", clip=False):
        model = cr.TabularRegressor(**QUICK).fit(X, PAY)
    new = table(7, seed=2)
    added = model.contributions(new, base=X.iloc[:9])
    (network,), trained, preparation = model.networks_, model.trained_, model.preparation_
    parameters = network.parameters
    tables = [name for name in parameters if name.startswith("E")]
    w = parameters["s0"] * parameters[next(name for name in parameters if name.startswith("W"))][:, 0]

    def inputs(rows: pd.DataFrame) -> np.ndarray:
        given = trained.given(0, preparation.inputs(base.read_frame(rows))[0])
        looked_up = [parameters[name][given["categories"][:, k]] for k, name in enumerate(tables)]
        return np.concatenate([given["numbers"], given["pieces"], given["flags"], *looked_up], axis=1)

    terms = trained.units.scale[0] * w * (inputs(new) - inputs(X.iloc[:9]).mean(axis=0))
    rows = parameters[tables[0]].shape[1]
    np.testing.assert_allclose(added.values[:, 2], terms[:, -rows:].sum(axis=1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(added.values.sum(axis=1), terms.sum(axis=1), rtol=1e-4, atol=1e-3)
    flags = trained.given(0, preparation.inputs(base.read_frame(new))[0])["flags"].shape[1]
    assert preparation.shape.flags == ("n is missing", "b") and flags == 2
    np.testing.assert_allclose(added.values[:, 3], terms[:, -rows - 1], rtol=1e-4, atol=1e-4)
    assert added.importances["n"] > added.importances["b"] and list(added.importances) == list(added.feature_names)


def test_their_form_is_that_of_shap() -> None:
    with shaped(members=1, epochs=1, hidden=(4,)):
        model = cr.TabularRegressor(**QUICK).fit(X, PAY)
    added = model.contributions(X)
    assert added.data.shape == (90, 5) and added.data.dtype == object and added.data[0, 2] == X["c"][0]
    assert model.contributions(X.assign(c="u", b=1, d=None)).data[:, 0].tolist()[1] == X["n"][1]
    part = added[3:5]
    assert len(part) == 2 and part.values.shape == (2, 5) and part.base_values.shape == (2,)
    assert added[4].values.shape == (5,) and np.ndim(added[4].base_values) == 0
    nothing = (
        cr.TabularRegressor(**QUICK).fit(pd.DataFrame({"a": [1] * 6}), np.arange(6.0)).contributions({"a": [1, 2]})
    )
    assert nothing.values.tolist() == [[0.0], [0.0]] and nothing.base_values.tolist() == [2.5, 2.5]


def test_importances_are_told_by_rows_held_out(tmp_path: Path) -> None:
    with shaped(members=3, epochs=2, hidden=(6,)):
        model = cr.TabularRegressor(**QUICK).fit(X, PAY)
    seen, trained = model._seen, model.trained_
    part = parts_of(PAY.to_numpy(float), trained.recipe.parts, model._seed, trained.aim)
    assert (
        len(seen.targets) == (part < 3).sum() and np.bincount(seen.members).tolist() == np.bincount(part)[:3].tolist()
    )
    np.testing.assert_array_equal(seen.targets[:, 0], PAY[part < 3])
    alone = [replace(trained, networks=(network,)).predict(seen.inputs) for network in trained.networks]
    predicted = seen.predicted(trained, seen.inputs)
    for k in range(3):
        np.testing.assert_array_equal(predicted[seen.members == k], alone[k][seen.members == k])
    model.save(tmp_path / "run")
    again: Any = cr.load_run(tmp_path / "run", engine="reference")
    np.testing.assert_array_equal(again.feature_importances_, model.feature_importances_)
    np.testing.assert_array_equal(again.contributions(X[:4]).values, model.contributions(X[:4]).values)
