"""The command with runs that are there: predictions in every format, lists of runs, words for programs."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from chainrule.cli import main
from chainrule.cli.columns import Columns
from chainrule.tabular.frame import read_frame

X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)


def call(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two runs of the same data, one of other data, and no run beside them."""
    place = tmp_path_factory.mktemp("work")
    np.savez(place / "t.npz", X=X, y=(X[:, 0] > 0).astype(int))
    np.savez(place / "n.npz", X=X, y=X[:, 0] * 3.0)
    (place / "runs" / "empty").mkdir(parents=True)
    quick = ("-q", "-H", 4, "--engine", "reference")
    for name, data, more in (("a", "t", ("-e", 2)), ("b", "t", ("-e", 3, "-r", 0.01)), ("c", "n", ("-e", 2))):
        assert call("train", place / f"{data}.npz", *quick, *more, "-o", place / "runs" / name)[0] == 0
    return place


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_predictions_in_the_format_that_the_name_says(suffix: str) -> None:
    """What is read back is what was predicted, to the last digit."""
    expected = [json.loads(line) for line in call("predict", "runs/a", "t.npz", "--json", "-q")[1].splitlines()]
    out = f"p{suffix}"
    code, said, err = call("predict", "runs/a", "t.npz", "-o", out)
    assert code == 0 and said == f"60 predictions in {out}\n" and err.startswith("60 samples, accuracy")
    frame = read_frame(out)
    assert frame.names == ("prediction", "0", "1") == tuple(expected[0])
    for name in ("0", "1"):
        numbers = np.array([float(cell) for cell in frame.cells(name)], np.float32)
        np.testing.assert_array_equal(numbers, np.array([row[name] for row in expected], np.float32))
    code, _, err = call("predict", "runs/a", "t.npz", "-o", out)
    assert code == 2 and "is there already. Choose another name, or overwrite it with --force." in err
    assert call("predict", "runs/a", "t.npz", "-o", out, "-f", "-q") == (0, "", "")


def test_predictions_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the end of its name must say the format: .csv" in call("predict", "runs/a", "t.npz", "-o", "p.xlsx")[2]
    assert "with --out give the file a name that ends in .jsonl" in call("predict", "runs/a", "t.npz", "-jo", "p")[2]
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert "pip install pyarrow" in call("predict", "runs/a", "t.npz", "-o", "q.parquet")[2]


def test_columns_of_one_name_and_numbers_that_are_none() -> None:
    columns = Columns(("y", "y", "y_2"), (["a"], np.array([np.nan]), np.array([0.1], np.float32)))
    assert columns.delimited() == "y,y,y_2\na,nan,0.1\n"
    assert json.loads(columns.lines()) == {"y": "a", "y_2": None, "y_2_2": 0.1}


def test_runs_are_listed_and_compared() -> None:
    code, out, _ = call("runs")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0 and lines[0] == ["run", "data", "test", "epochs", "loss", "learning_rate"]
    assert [line[:2] for line in lines[1:]] == [["runs/a", "t"], ["runs/b", "t"], ["runs/c", "n"]]
    assert lines[1][2] == "accuracy" and lines[3][2] == "error" and lines[2][-1] == "0.01"
    compared = json.loads(call("runs", "runs/a", "runs/b", "--json")[1])
    assert [run["options"]["learning_rate"] for run in compared] == [None, 0.01] and "accuracy" in compared[0]["test"]
    assert "empty: holds no run" in call("runs", "runs/empty")[2] and "no such folder" in call("runs", "nothing")[2]


def test_a_run_that_is_none_is_found() -> None:
    assert "Did you mean runs/a? Give" in call("info", "runs/aa")[2]
    assert "holds no model.safetensors. It holds runs: give one of them, as runs/a." in call("info", "runs")[2]
    assert "is one of a run's files. Give its folder, runs/a." in call("info", "runs/a/settings.json")[2]
    assert "t.npz: is data by its name, and no model." in call("predict", "t.npz", "runs/a")[2]
    assert "FOLDER" in call("runs", "-h")[1] and "FOLDER]..." not in call("runs", "-h")[1]


def test_words_for_programs() -> None:
    evaluated = json.loads(call("evaluate", "runs/a", "t.npz", "-j")[1])
    assert call("evaluate", "runs/a", "t.npz", "-q")[1] == f"accuracy {evaluated['metrics']['accuracy']:.4f}\n"
    told = json.loads(call("info", "runs/a", "--json")[1])
    assert call("info", "runs/a", "-q")[1] == f"accuracy {told['result']['test accuracy']:.4f}\n"
