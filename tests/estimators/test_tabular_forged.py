"""Folders of fitted estimators that somebody changed: each is refused by chainrule, or predicts as it says."""

from __future__ import annotations

import copy
import io
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError
from chainrule.tabular import base
from chainrule.tabular.recipe import recipe_for

OTHERS: tuple[Any, ...] = (
    None, True, -1, 0, 2, 10**30, 0.5, 1e300, "", "x", "sigmoid", [], [1], ["a"], [[0, 1]], {}, {"a": 1}, [None], "nan",
)  # fmt: skip
NEW = pd.DataFrame({"n": [0.5, None], "c": ["u", "w"], "b": [True, False], "d": ["2020-02-01", "2021-03-04"]})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each kind, as small as can be."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"n": rng.normal(size=60), "c": rng.choice(list("uvw"), 60), "b": rng.random(60) < 0.5})
    X["d"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, 60), "D")
    X.loc[::9, "n"] = np.nan
    y = X["n"].fillna(0) + (X["c"] == "u")
    options: dict[str, Any] = {"random_state": 0, "engine": "reference"}
    models = {
        "classes": (cr.TabularClassifier("fast", **options), np.where(y > 0.5, "yes", "no")),
        "values": (cr.TabularRegressor("fast", monotonic_cst={"n": 1}, **options), y),
        "quantiles": (cr.TabularRegressor("fast", quantiles=(0.1, 0.9), **options), y),
    }
    place = tmp_path_factory.mktemp("runs")
    small = {"members": 2, "epochs": 1, "hidden": (3,)}
    with patch.object(base, "recipe_for", lambda *given: replace(recipe_for(*given), **small)):
        for name, (model, targets) in models.items():
            model.fit(X, targets).save(place / name)
    return {name: place / name for name in models}


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything within."""
    yield way
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, part in items:
        yield from places(part, (*way, key))


def forged(said: dict[str, Any], way: tuple[Any, ...], new: Any, what: str) -> dict[str, Any]:
    """With one thing changed, gone, or another one beside it."""
    said = copy.deepcopy(said)
    holder: Any = said
    for key in way[:-1]:
        holder = holder[key]
    if what == "gone":
        del holder[way[-1]]
    elif what == "twice" and isinstance(holder, list):
        holder.append(holder[way[-1]])
    else:
        holder[way[-1]] = new
    return said


def try_it(folder: Path, said: dict[str, Any], all_of_it: bool = True) -> str:
    """ "refused", or what it predicts is sound."""
    (folder / "table.json").write_text(json.dumps(said), encoding="utf-8")
    try:
        model: Any = cr.load_run(folder, engine="reference")
        assert len(model.predict(NEW)) == 2
        if not all_of_it:
            return "sound"
        assert len(model.spread(NEW)) == 2 and len(model.contributions(NEW).values) == 2
        assert len(model.feature_importances_) == len(model.preparation_.names) and model.novelty(NEW) is not None
        model.evaluate(NEW, model.predict(NEW) if not getattr(model, "quantiles", None) else [0.5, 1.0])
    except ChainruleError:
        return "refused"
    return "sound"


def check(runs: dict[str, Path], folder: Path, count: int, seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    outcomes = {"refused": 0, "sound": 0}
    for name, run in runs.items():
        shutil.copytree(run, folder / name)
        good = json.loads((run / "table.json").read_text(encoding="utf-8"))
        assert try_it(folder / name, good, count > 50) == "sound"
        ways = [way for way in places(good) if way]
        trained = [way for way in ways if way[0] == "trained"]
        for _ in range(count):
            way = rng.choice(rng.choice([ways, trained]))
            what = rng.choice(["gone", "twice", *["other"] * 6])
            outcomes[try_it(folder / name, forged(good, way, rng.choice(OTHERS), what), count > 50)] += 1
    return outcomes


def test_forged_files(runs: dict[str, Path], tmp_path: Path) -> None:
    outcomes = check(runs, tmp_path, 8, 0)
    assert outcomes["refused"] > 10


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_many_forged_files(runs: dict[str, Path], tmp_path: Path, seed: int) -> None:
    outcomes = check(runs, tmp_path, 400, seed + 1)
    assert outcomes["refused"] > 700


def test_what_does_not_belong_together(runs: dict[str, Path], tmp_path: Path) -> None:
    said = {name: json.loads((run / "table.json").read_text(encoding="utf-8")) for name, run in runs.items()}
    for name, changes, words in (
        ("classes", {"trained": said["values"]["trained"]}, "predicts"),
        ("values", {"preparation": {**said["values"]["preparation"], "columns": []}}, "shape"),
        ("values", {"trained": {**said["values"]["trained"], "epochs": ["many"]}}, "epochs"),
        ("values", {"features": ["n", "c", "b", "e"]}, "features"),
        ("classes", {"constant": [0.5]}, "constant"),
        ("classes", {"classes": {"dtype": "text", "values": ["yes", "no"]}}, "in order"),
        ("quantiles", {"parameters": {"quantiles": [0.2, 0.8]}}, "this estimator"),
    ):
        folder = tmp_path / f"{name} {words}"
        shutil.copytree(runs[name], folder)
        (folder / "table.json").write_text(json.dumps({**said[name], **changes}), encoding="utf-8")
        with pytest.raises(cr.DataError, match=words):
            cr.load_run(folder)


def test_rows_that_are_not_of_the_run(runs: dict[str, Path], tmp_path: Path) -> None:
    with np.load(runs["classes"] / "seen.npz") as held:
        good = dict(held)
    for name, change in (
        ("numbers", lambda a: a[:, 1:]), ("categories", lambda a: a + 9), ("targets", lambda a: a + 2),
        ("members", lambda a: a + 7), ("numbers", lambda a: a * np.nan), ("flags", lambda a: a[1:]),
        ("targets", lambda a: a.astype("U3")),
    ):  # fmt: skip
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(runs["classes"], folder)
        content = io.BytesIO()
        np.savez(content, **{**good, name: change(good[name])})
        (folder / "seen.npz").write_bytes(content.getvalue())
        with pytest.raises(cr.DataError, match="rows of this run"):
            cr.load_run(folder)
