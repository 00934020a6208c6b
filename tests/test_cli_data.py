"""Data as they come, at the command: what it says of them, and what it writes."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule.cli import main
from chainrule.network import Network


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Chainrule:
    """Runs the command here; its code, what it printed and what it said on standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: object, code: int = 0) -> tuple[str, str]:
        self.capsys.readouterr()
        got = main([str(word) for word in words])
        out, err = self.capsys.readouterr()
        assert got == code, err
        return out, err

    def refuses(self, *words: object) -> str:
        out, err = self(*words, code=2)
        assert out == "" and len(err.splitlines()) == 1 and err.startswith("chainrule: ")
        return err


@pytest.fixture
def chainrule(capsys: pytest.CaptureFixture[str]) -> Chainrule:
    return Chainrule(capsys)


def table(rows: int = 60, name: str = "t.csv") -> None:
    lines = (f"{k},{['Rome', 'Oslo'][k % 2]},{k % 3 == 0},{'uv'[k % 2]}\n" for k in range(rows))
    Path(name).write_text("a,city,ok,y\n" + "".join(lines))


SMALL = ("--epochs", 2, "--hidden", 4)


def test_labels_are_written_as_they_were(chainrule: Chainrule) -> None:
    labels = ["00501", "501", "01010", "1E2", "12_3", "1582218195625938945"]
    Path("t.csv").write_text("x,zip\n" + "".join(f"{k % 6}.{k:03},{labels[k % 6]}\n" for k in range(240)))
    chainrule("train", "t.csv", "--epochs", 60, "--learning-rate", 0.01, "--hidden", 16, "--out", "m")
    out, _ = chainrule("predict", "m", "t.csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert set(rows[0][1:]) == set(labels) and {row[0] for row in rows[1:]} <= set(labels)


def test_what_differs_from_the_training_data_is_one_line(chainrule: Chainrule) -> None:
    table()
    chainrule("train", "t.csv", "--out", "m", *SMALL)
    out, err = chainrule("predict", "m", "t.csv")
    assert len(err.splitlines()) == 1 and err.startswith("60 samples, accuracy ")
    Path("new.csv").write_text("ok,city,a,more\nTRUE,MOON,1,1\nTrue,,,1\n")
    out, err = chainrule("predict", "m", "new.csv")
    assert len(out.splitlines()) == 3 and len(err.splitlines()) == 1
    for words in ("'MOON'", "without 'a'", "without 'city'", "another order", "not used", "'more'"):
        assert words in err
    assert "'ok'" not in err  # TRUE is True
    Path("new.csv").write_text("a,city\n1,Rome\n")
    assert "lacks the column 'ok'" in chainrule.refuses("predict", "m", "new.csv")


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["", ""], ""),
        (["u", ""], "1 of 2 samples, accuracy"),
        (["w", "u"], "1 row of classes that the training data did not have ('w')"),
    ],
)
def test_targets_that_are_empty_or_new(chainrule: Chainrule, targets: list[str], said: str) -> None:
    table()
    chainrule("train", "t.csv", "--out", "m", *SMALL)
    Path("new.csv").write_text("a,city,ok,y\n" + "".join(f"{k},Rome,True,{y}\n" for k, y in enumerate(targets)))
    out, err = chainrule("predict", "m", "new.csv")
    assert len(out.splitlines()) == 3 and said in err and (said or err == "")


def test_an_archive_with_a_new_class(chainrule: Chainrule) -> None:
    np.savez("t.npz", X=np.arange(60.0)[:, None], y=np.arange(60) % 2)
    chainrule("train", "t.npz", "--out", "m", *SMALL)
    np.savez("n.npz", X=np.arange(4.0)[:, None], y=np.array([0, 1, 2, 1]))
    out, err = chainrule("predict", "m", "n.npz")
    assert len(out.splitlines()) == 5 and "classes that the training data did not have ('2')" in err


def test_numbers_have_all_their_digits(chainrule: Chainrule) -> None:
    Path("t.csv").write_text("x,when\n" + "".join(f"{k},{1700000000 + 40 * k}\n" for k in range(300)))
    chainrule("train", "t.csv", "--out", "m", "--hidden", 16)
    out, err = chainrule("predict", "m", "t.csv")
    predicted = np.array([float(line) for line in out.split()[1:]])
    assert len(set(predicted.tolist())) == 300
    error = np.sqrt(np.mean((predicted - 1700000000 - 40 * np.arange(300)) ** 2))
    assert float(err.split()[-1]) == pytest.approx(error, rel=1e-4)


def test_probabilities_have_all_their_digits(chainrule: Chainrule) -> None:
    np.savez("t.npz", X=np.linspace(-3, 3, 80)[:, None], y=np.arange(80) // 40)
    chainrule("train", "t.npz", "--out", "m", "--hidden", 8, "--epochs", 5)
    out, _ = chainrule("predict", "m", "t.npz")
    settings = json.loads(Path("m/settings.json").read_text())["standardizer"]
    X = (np.linspace(-3, 3, 80)[:, None] - settings["mean"]) / settings["scale"]
    written = np.array([line.split(",")[1:] for line in out.split()[1:]], dtype=np.float32)
    np.testing.assert_array_equal(written, Network.load("m/model.safetensors").predict(X))


def test_a_validation_error_in_the_targets_own_units(chainrule: Chainrule) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    rows = (f"{a:.4f},{50000 * a + 2e5 + e:.0f}\n" for a, e in zip(x, rng.normal(0, 5000, 400), strict=True))
    Path("t.csv").write_text("x,price\n" + "".join(rows))
    out, _ = chainrule("train", "t.csv", "--out", "m", "--hidden", 16, "--learning-rate", 0.01)
    validation, mean, test = (
        float(re.search(pattern, out)[1].replace(",", ""))  # type: ignore[index]
        for pattern in (r"validation error ([\d.]+)", r"the mean .*: RMSE ([\d,]+)", r"test error ([\d.]+)")
    )
    assert 3000 < test < 8000 and 3000 < validation < 8000 and mean > 30000
    share = float(re.search(r"R² (0\.\d+)", out)[1])  # type: ignore[index]
    assert share == pytest.approx(1 - (test / mean) ** 2, abs=0.01)
    out, _ = chainrule("train", "t.csv", "--out", "n", "--hidden", 16, "--early-stopping", 2, "--learning-rate", 0.05)
    assert re.search(r"the best, epoch \d+, is kept, validation error \d{4}", out)


def test_one_target(chainrule: Chainrule) -> None:
    table()
    err = chainrule.refuses("train", "t.csv", "--target", "y", "--target", "ok", *SMALL)
    assert "--target was given 2 times ('y', 'ok')" in err and "--ignore" in err
    assert not Path("runs").exists()


def test_without_a_header(chainrule: Chainrule) -> None:
    rows = "".join(f"{5 + k / 10:.1f},{k % 7},{['setosa', 'virginica'][k % 2]}\n" for k in range(60))
    Path("t.csv").write_text(rows)
    assert "--no-header" in chainrule.refuses("train", "t.csv")
    out, _ = chainrule("train", "t.csv", "--no-header", "--target", 3, "--out", "m", *SMALL)
    assert "2 features, 2 classes (3)" in out
    out, err = chainrule("predict", "m", "t.csv")
    assert len(out.splitlines()) == 61 and err.startswith("60 samples")


def test_what_is_odd_is_told(chainrule: Chainrule) -> None:
    cells = [str(k % 5) for k in range(60)]
    cells[42] = "x"
    Path("t.csv").write_text(",a,y\n" + "".join(f"{k},{cell},{'uv'[k % 2]}\n" for k, cell in enumerate(cells)))
    _, err = chainrule("train", "t.csv", "--out", "m", *SMALL)
    assert len(err.splitlines()) == 1 and "only counts the rows" in err and "'x' (line 44)" in err
    _, err = chainrule("derive", "m", "--with-numbers", "t.csv")
    assert "only counts the rows" in err


def test_where_predictions_go(chainrule: Chainrule) -> None:
    table()
    chainrule("train", "t.csv", "--out", "m", *SMALL)
    for name in ("p", "p.npz"):
        assert "must say the format: .csv" in chainrule.refuses("predict", "m", "t.csv", "--out", name)
    chainrule("predict", "m", "t.csv", "--out", "p.tsv")
    assert Path("p.tsv").read_text().splitlines()[0] == "y\tu\tv"
    assert "give that too" in chainrule.refuses("predict", "m", "t.csv", "--force")


def test_predictions_are_utf8_whatever_the_locale(chainrule: Chainrule) -> None:
    Path("t.csv").write_text("x,city\n" + "".join(f"{k},{['Łódź', 'Kraków'][k % 2]}\n" for k in range(60)), "utf-8")
    chainrule("train", "t.csv", "--out", "m", *SMALL)
    code = "import sys; from chainrule.cli import main; sys.exit(main(['predict', 'm', 't.csv']))"
    for encoding in ("cp1252", "ascii", "utf-16"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        assert done.stdout.decode().splitlines()[0] == "city,Kraków,Łódź"


@pytest.mark.skipif(sys.platform != "linux", reason="such names are Linux's")
def test_names_of_files_that_are_not_utf8(chainrule: Chainrule) -> None:
    table()
    name = os.fsdecode(b"gr\xf6\xdfe.csv")
    os.rename("t.csv", name)
    chainrule("train", name, *SMALL)
    run = os.fsdecode(b"runs/gr\xf6\xdfe")
    assert sorted(os.listdir(run)) == ["history.csv", "history.json", "model.safetensors", "settings.json"]
    saved = json.loads(Path(run, "settings.json").read_text(encoding="utf-8"))
    assert saved["data"]["name"] == "gr\\udcf6\\udcdfe"
    chainrule("predict", run, name, "--out", os.fsdecode(b"\xe9.csv"))
    assert "no such file" in chainrule.refuses("predict", run, os.fsdecode(b"\xe9x.csv"))
