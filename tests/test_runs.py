"""Runs taken back into Python: predictions, metrics beside a baseline, reports, and what is wrong with a folder."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss, mean_absolute_error, r2_score, roc_auc_score

import chainrule as cr
from chainrule.cli import main
from chainrule.metrics import area, of_classes, of_numbers, over_folds

WORDS = ["--engine", "reference", "--hidden", "8", "--epochs", "12"]


def write(path: Path, header: str, rows: list[tuple[Any, ...]]) -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def people(m: int, seed: int) -> list[tuple[Any, ...]]:
    """Age, job, pay, and whether somebody moves."""
    rng = np.random.default_rng(seed)
    ages, jobs = rng.integers(20, 60, m), rng.choice(["cook", "nurse", "pilot"], m)
    pay = 2.0 * ages + 30 * (jobs == "pilot") + rng.normal(size=m)
    return [(a, j, f"{p:.2f}", "yes" if p > 90 else "no") for a, j, p in zip(ages, jobs, pay, strict=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of each kind: `moves` (two classes, of a table), `pay` (a number), `digits` (ten classes, no table)."""
    place = tmp_path_factory.mktemp("runs")
    before = Path.cwd()
    os.chdir(place)
    try:
        write(place / "people.csv", "age,job,pay,moves", people(200, 0))
        write(place / "new.csv", "age,job,pay,moves", people(90, 1))
        write(place / "turned.csv", "job,age", [(job, age) for age, job, _, _ in people(90, 1)])
        for name, words in (
            ("moves", ["people.csv", "--ignore", "pay"]),
            ("pay", ["people.csv", "--target", "pay", "--ignore", "moves"]),
            ("digits", ["digits", "--hidden", "4"]),
        ):
            assert main(["train", *words[:1], "--out", name, *WORDS, *words[1:]]) == 0
    finally:
        os.chdir(before)
    return place


def test_it_predicts_as_the_command_does(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(folder / "new.csv")
    for name in ("moves", "pay"):
        run = cr.load_run(folder / name)
        assert main(["predict", str(folder / name), str(folder / "new.csv")]) == 0
        lines = [line.split(",") for line in capsys.readouterr().out.splitlines()[1:]]
        found = run.predict(folder / "new.csv")
        np.testing.assert_array_equal(found, run.predict(frame))
        assert [str(value) for value in found] == [line[0] for line in lines]
        if run.classes is not None:
            shares = run.predict_proba(frame)
            assert [[str(value) for value in row] for row in shares] == [line[1:] for line in lines]
            assert run.classes == ("no", "yes") and run.feature_names == ("age", "job") and run.target == "moves"
    with pytest.warns(cr.DataWarning, match="another order"):
        np.testing.assert_array_equal(cr.load_run(folder / "pay").predict(folder / "turned.csv"), found)
    assert cr.load_run(folder / "pay").options["epochs"] == 12 and len(cr.load_run(folder / "pay").history) == 12


def test_metrics_are_scikit_learns(folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(folder / "new.csv")
    run = cr.load_run(folder / "moves")
    evaluation, p, truth = run.evaluate(frame), run.predict_proba(frame), frame["moves"].to_numpy()
    found = evaluation.metrics
    assert found["accuracy"] == pytest.approx((run.predict(frame) == truth).mean())
    assert found["balanced accuracy"] == pytest.approx(balanced_accuracy_score(truth, run.predict(frame)))
    assert found["log-loss"] == pytest.approx(log_loss(truth == "yes", p[:, 1].astype(np.float64)), rel=1e-5)
    assert found["AUC"] == pytest.approx(roc_auc_score(truth == "yes", p[:, 1]))
    assert evaluation.baseline["accuracy"] == max(np.mean(truth == "yes"), np.mean(truth == "no"))
    assert run.evaluate(frame.drop(columns="moves"), truth).metrics == found

    numbers = cr.load_run(folder / "pay")
    truth, predicted = frame["pay"].to_numpy(), numbers.predict(frame)
    found = numbers.evaluate(frame).metrics
    assert found["RMSE"] == pytest.approx(math.sqrt(np.mean((truth - predicted) ** 2)))
    assert found["MAE"] == pytest.approx(mean_absolute_error(truth, predicted))
    assert found["R²"] == pytest.approx(r2_score(truth, predicted))
    assert numbers.evaluate(frame).baseline["RMSE"] == pytest.approx(truth.std())


def test_several_classes_and_arrays(folder: Path) -> None:
    data = cr.data.load("digits")
    run = cr.load_run(folder / "digits", engine="reference")
    p, y = run.predict_proba(data.X), data.y
    assert list(run.predict(data.X[:5])) == [run.classes[k] for k in p[:5].argmax(axis=1)]
    found = run.evaluate(data.X, y).metrics
    rows = p.astype(np.float64)
    assert found["AUC"] == pytest.approx(
        roc_auc_score(y, rows / rows.sum(1, keepdims=True), multi_class="ovr"), abs=1e-6
    )
    assert run.evaluate("digits").metrics["accuracy"] == found["accuracy"]


def test_deviations_are_those_of_drawing_again() -> None:
    """± is what the first metric scatters by over samples drawn anew from the same people."""
    rng, zeros = np.random.default_rng(0), np.zeros(400, int)
    for draw in (
        lambda: of_classes(rng.binomial(1, 0.3, 400), None, zeros, ("a", "b")),
        lambda: of_numbers(rng.normal(size=400), zeros),
    ):
        drawn = [draw() for _ in range(600)]
        scatter = np.std([evaluation.metrics[evaluation.main] for evaluation in drawn])
        assert scatter == pytest.approx(np.mean([evaluation.deviation for evaluation in drawn]), rel=0.1)
    alone = of_numbers(np.ones(1), np.zeros(1))
    assert math.isnan(alone.deviation) and "±" not in str(alone)


def test_better_than_a_prediction_that_looks_at_nothing() -> None:
    y = np.array([0, 0, 0, 1])
    sure = np.array([[0.9, 0.1]] * 3 + [[0.4, 0.6]])
    assert (
        of_classes(y, sure, y, ("a", "b")).is_better() and not of_classes(y * 0, sure[::-1], y, ("a", "b")).is_better()
    )
    assert not of_classes(y * 0, None, y, ("a", "b")).is_better()
    worse, better = of_numbers(y - 1e6, y), of_numbers(4e4 * y + 9e3, 4e4 * y)
    assert better.is_better() and not worse.is_better()
    assert str(better).startswith("RMSE 9000.0000 ± 0.0000 on 4 samples") and "± 0 on" in str(worse)
    assert over_folds([worse, better]).startswith("RMSE 504,500 ± 700,743, MAE 504,500 ± 700,743")
    assert over_folds([worse, better]).splitlines()[1].startswith("always the mean: RMSE ")


def test_ties_count_half() -> None:
    rng = np.random.default_rng(3)
    scores, positive = rng.integers(0, 5, 60), rng.random(60) < 0.4
    assert area(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert area(np.zeros(9), np.arange(9) < 4) == 0.5


def test_the_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder / "moves"), str(folder / "new.csv")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("accuracy 0.") and " on 90 samples, balanced accuracy 0." in first and "AUC" in first
    assert second.startswith("always the most frequent class 'yes': accuracy 0.")
    assert main(["evaluate", str(folder / "pay"), str(folder / "new.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 90
    assert main(["info", str(folder / "moves")]) == 0
    out = capsys.readouterr().out
    assert "predicts: moves" in out and "columns: 2: age, job" in out and "epochs: 12" in out and "dense relu" in out
    assert main(["info", str(folder / "moves"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["widths"][1] == 8


def test_what_differs_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(30, "baker", "no"), (50, "cook", "perhaps"), (40, "pilot", ""), (55, "nurse", "yes")]
    odd = write(tmp_path / "odd.csv", "age,job,moves", rows)
    run = cr.load_run(folder / "moves")
    with pytest.warns(cr.DataWarning, match="baker"):
        evaluation = run.evaluate(odd)
    assert evaluation.samples == 2  # one has no target, one a class that was not there
    assert main(["evaluate", str(folder / "moves"), str(odd)]) == 0
    captured = capsys.readouterr()
    assert "baker" in captured.err and "perhaps" in captured.err and "on 2 samples" in captured.out


def test_bad_input(folder: Path, tmp_path: Path) -> None:
    run, digits = cr.load_run(folder / "moves"), cr.load_run(folder / "digits")
    alone = write(tmp_path / "alone.csv", "age,job", [(30, "cook")])
    other = write(tmp_path / "other.csv", "age,job,moves", [(30, "cook", "perhaps")])
    shutil.copytree(folder / "moves", tmp_path / "bare")
    (tmp_path / "bare" / "settings.json").unlink()
    for call, words in (
        (lambda: cr.load_run(tmp_path), "no model.safetensors"),
        (lambda: cr.load_run(tmp_path / "nothing"), "there is no such model"),
        (lambda: cr.load_run(tmp_path / "bare"), r"cr\.Network\.load"),
        (lambda: run.predict(np.zeros((2, 4))), "trained on a table"),
        (lambda: digits.predict(np.zeros((2, 4))), r"\(samples, 64\)"),
        (lambda: digits.predict(np.zeros(64)), r"\(samples, 64\)"),
        (lambda: run.evaluate(alone), "there is no target 'moves'"),
        (lambda: run.report(alone), "no targets"),
        (lambda: run.evaluate(alone, ["no", "yes"]), "1 samples, but 2 targets"),
        (lambda: cr.load_run(folder / "pay").predict_proba(alone), "not probabilities"),
    ):
        with pytest.raises(cr.DataError, match=words):
            call()
    with pytest.warns(cr.DataWarning, match="perhaps"), pytest.raises(cr.DataError, match="none of the classes"):
        run.evaluate(other)


def test_a_report_of_a_finished_run(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="the page needs the extra `report`")
    run = cr.load_run(folder / "moves")
    page = run.report(folder / "new.csv", tmp_path / "page.html")
    assert "yes" in page.read_text(encoding="utf-8")


def test_the_test_part_is_not_drawn_as_data_are() -> None:
    """Data whose first numbers are those of default_rng(seed): the test part holds small and large ones."""
    x = np.random.default_rng(0).random(400)
    _, left_out, _, _ = cr.data.split(x[:, None], x, test=100)
    assert 0.4 < left_out.mean() < 0.6 and left_out.max() > 0.9


def test_runs_of_before_have_the_test_part_that_they_had(folder: Path, tmp_path: Path) -> None:
    """Those whose settings say nothing of the draw were divided by the first; one that is not known is named."""
    data = cr.data.load(folder / "people.csv", ignore=["pay"])
    for given, draw in ((2, 2), (None, 1)):
        shutil.copytree(folder / "moves", tmp_path / str(draw))
        settings = tmp_path / str(draw) / "settings.json"
        saved = json.loads(settings.read_text(encoding="utf-8"))
        assert saved["data"].pop("draw") == 2
        saved["data"] |= {"source": str(folder / "people.csv")} | ({} if given is None else {"draw": given})
        settings.write_text(json.dumps(saved), encoding="utf-8")
        np.testing.assert_array_equal(cr.load_run(settings.parent).test_part()[0], data.split(draw=draw).X_test)
    saved["data"]["draw"] = 3
    settings.write_text(json.dumps(saved), encoding="utf-8")
    with pytest.raises(cr.DataError, match="'draw' must be 1 or 2"):
        cr.load_run(settings.parent).test_part()
