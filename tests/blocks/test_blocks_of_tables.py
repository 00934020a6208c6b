"""TabularClassifier and TabularRegressor fitted to tables that are read part by part."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.blocks.test_fit import place  # noqa: F401
from typer.testing import CliRunner

import chainrule as cr
from chainrule.cli.app import app
from chainrule.cli.train_large import is_large
from chainrule.tabular.stream import Part
from chainrule.tabular.survey import Moments, Sample

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

SMALL = 1 << 17
"""Bytes of data that are held: fewer than the table has."""
M = 5_000
FEATURES = ["age", "pay", "job", "rare", "row", "since", "ok"]


def table() -> Any:
    """Numbers, gaps, categories, dates, an identifier; sorted by the class."""
    rng = np.random.default_rng(0)
    age, job = rng.integers(18, 90, M), rng.choice(["a", "b", "c", "d"], M)
    score = (age - 50) / 10 + 3.0 * (job == "a") + rng.logistic(size=M)
    frame = pl.DataFrame(
        {
            "age": age,
            "pay": np.where(rng.random(M) < 0.1, np.nan, rng.lognormal(10, 1, M)),
            "job": job,
            "rare": np.where(np.arange(M) == 77, "x", "y"),
            "row": np.arange(M),
            "since": np.datetime64("2020-01-01") + rng.integers(0, 1000, M).astype("timedelta64[D]"),
            "ok": rng.random(M) < 0.5,
            "y": np.where(score > 1, "yes", "no"),
            "v": score,
        }
    ).sort("y")
    return frame.with_columns(job=pl.when(pl.col("job") == "d").then(None).otherwise(pl.col("job")))


def saved(folder: Path) -> Path:
    table().write_parquet(folder / "t.parquet", row_group_size=2000)
    return folder / "t.parquet"


def fitted(kind: Any, *given: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.DataWarning)
        return kind("fast", random_state=0, **options).fit(*given)


@pytest.fixture(scope="module")
def whole() -> Any:
    """Of the frame, in memory."""
    frame = table()
    return fitted(cr.TabularClassifier, frame.select(FEATURES), frame["y"])


def test_a_small_table_is_fitted_as_a_frame(whole: Any) -> None:
    frame = table()
    model = fitted(cr.TabularClassifier, cr.Blocks(frame.lazy(), "y", columns=FEATURES))
    assert np.array_equal(model.predict_proba(frame), whole.predict_proba(frame))
    assert model.targets_ == ("y",)


@pytest.mark.parametrize(
    "how", ["file", *(pytest.param(how, marks=pytest.mark.long) for how in ("function", "iterator"))]
)
def test_a_large_one_is_learned_as_well(how: str, tmp_path: Path, whole: Any, place: Path) -> None:  # noqa: F811
    frame = table()

    def blocks() -> Any:
        for first in range(0, M, 1500):
            some = frame[first : first + 1500]
            yield some.select(FEATURES), some["y"]

    if how == "file":
        given = cr.Blocks(saved(tmp_path), "y", columns=FEATURES, memory=SMALL)
    else:
        given = cr.Blocks(blocks if how == "function" else blocks(), memory=SMALL)
    model = fitted(cr.TabularClassifier, given)
    assert model.classes_.tolist() == ["no", "yes"] and model.feature_names_in_.tolist() == FEATURES
    assert dict(model.preparation_.left_out) == {"row": "identifier"}
    rare, job = (next(c for c in model.preparation_.columns if c.name == name) for name in ("rare", "job"))
    assert rare.levels == ("x", "y"), "one row of all, which no sample need have"
    assert job.levels == ("a", "b", "c") and job.gaps
    assert next(c for c in model.preparation_.columns if c.name == "pay").gaps
    one, other = (m.evaluate(frame.select(FEATURES), frame["y"]).metrics["log-loss"] for m in (whole, model))
    assert other == pytest.approx(one, rel=0.1)
    assert model.trained_.held_out == pytest.approx(whole.trained_.held_out, rel=0.2)
    assert model.importances(frame.select(FEATURES), frame["y"])["age"] > 0.1
    assert model.feature_importances_[0] > 0.5
    assert not place.exists() or list(place.iterdir()) == []
    if how == "file":
        assert np.array_equal(model.predict(saved(tmp_path)), model.predict(frame))
        assert str(model.evaluate(cr.Blocks(tmp_path / "t.parquet", "y"))) == str(
            model.evaluate(frame.select(FEATURES), frame["y"])
        )
        model.save(tmp_path / "run")
        assert np.array_equal(cr.load_run(tmp_path / "run").predict(frame), model.predict(frame))


@pytest.mark.long
def test_regression_weights_and_gaps_among_targets(tmp_path: Path) -> None:
    frame = table().with_columns(v=pl.when(pl.col("row") % 100 == 3).then(None).otherwise(pl.col("v")))
    frame = frame.with_columns(w=(pl.col("row") % 3).cast(pl.Float64))
    frame.write_parquet(tmp_path / "t.parquet")
    blocks = cr.Blocks(tmp_path / "t.parquet", "v", "w", columns=FEATURES, memory=SMALL)
    with pytest.warns(cr.DataWarning) as told:
        model = cr.TabularRegressor("fast", random_state=0).fit(blocks)
    assert any("50 rows are left out, as there is no target" in str(warning.message) for warning in told)
    there = frame.drop_nulls("v")
    units = model.trained_.units
    v, w = there["v"].to_numpy(), there["w"].to_numpy()
    assert units.offset[0] == pytest.approx(np.average(v, weights=w))
    assert units.scale[0] == pytest.approx(np.sqrt(np.average(np.square(v - units.offset[0]), weights=w)))
    assert model.score(there.select(FEATURES), there["v"]) > 0.6


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(cr.DataError, match="Unknown column 'z'"):
        cr.TabularClassifier().fit(path, "z")
    with pytest.raises(ValueError, match="groups are of tables in memory"):
        cr.TabularClassifier().fit(path, "y", groups=np.arange(M))
    with pytest.raises(ValueError, match="requires y"):
        cr.TabularClassifier().fit(table())


def test_the_sample_is_the_same_whatever_parts_rows_come_in() -> None:
    rows = pa.table({"x": np.arange(5000)})
    found = []
    for size in (5000, 333, 1):
        sample = Sample(100, seed=3)
        for first in range(0, 5000, size):
            sample.add(Part(first, rows.slice(first, size), np.arange(first, min(first + size, 5000)), None))
        taken, targets = sample.settled()
        assert taken["x"].to_pylist() == targets.tolist() and len(targets) == 100
        found.append(sorted(targets.tolist()))
    assert found[0] == found[1] == found[2]
    assert 2000 < np.mean(found[0]) < 3000 and np.max(np.diff([0, *found[0], 5000])) < 500


def test_moments_of_parts_are_those_of_all() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(1e6, 3, (1000, 2)), rng.random(1000)
    moments = Moments()
    for first in range(0, 1000, 77):
        moments.add(values[first : first + 77], weights[first : first + 77])
    mean = np.average(values, axis=0, weights=weights)
    assert np.allclose(moments.mean, mean, rtol=1e-12)
    assert np.allclose(moments.squares / moments.weight, np.average(np.square(values - mean), axis=0, weights=weights))
    assert np.array_equal(moments.low, values.min(0)) and np.array_equal(moments.high, values.max(0))


def large_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file that the command takes for a large one."""
    path = folder / "t.parquet"
    table().select([*FEATURES, "v", "y"]).write_parquet(path, row_group_size=1000)
    monkeypatch.setattr("chainrule.cli.train_large.LARGE", 1)
    monkeypatch.setattr("chainrule.cli.train_large.TESTED", 400)
    monkeypatch.setattr("chainrule.blocks.given.MEMORY", SMALL)
    return str(path)


def run(*arguments: str) -> str:
    """What the command prints."""
    done = CliRunner().invoke(app, ["train", *arguments, "--preset", "fast"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.long
def test_the_command_trains_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(large_file(tmp_path, monkeypatch), "--out", str(tmp_path / "run"), "--ignore", "v")
    assert "7 columns, 2 classes (y); 4,5" in said and "what follows is of a sample of 4,5" in said
    assert "numbers: age, pay" in said and "test accuracy 0.8" in said
    model = cr.load_run(tmp_path / "run")
    assert model.beside_ == ("v",) and 300 < model.record_["data"]["test"] < 500
    assert model.record_["data"]["test"] + model.record_["data"]["training"] == M


def test_what_the_command_does_with_tables_in_memory_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = large_file(tmp_path, monkeypatch)
    with pytest.raises(cr.SpecError, match="--cv, --group: of tables that are held in memory"):
        run(path, "--cv", "3", "--group", "job")
    monkeypatch.setattr("chainrule.cli.train_large.LARGE", 1 << 30)
    assert not is_large(path) and not is_large(str(tmp_path)) and not is_large("absent.parquet")
