"""The command, from its words to its files, its last line and its exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.data import load_digits
from chainrule.engines.base import Epoch, EpochResult
from chainrule.engines.reference import _ReferenceSession
from chainrule.network import Network
from chainrule.train.callbacks import CSVLog
from chainrule.train.history import History

REAL = Path(__file__).parents[2] / "shared" / "data"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the folder ../shared/data is not here")

RUN_FILES = ["history.csv", "history.json", "model.safetensors", "settings.json"]


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        return self.out.splitlines()[-1]


Command = Callable[..., Result]


def long(*values: str) -> list[Any]:
    """Cases of the long mode."""
    return [pytest.param(value, marks=pytest.mark.long) for value in values]


@pytest.fixture
def chainrule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return call


def refused(result: Result, *words: str) -> None:
    """Exit code 2 and one line on standard error, which holds the words."""
    assert result.code == 2, result
    assert len(result.err.splitlines()) == 1 and result.err.startswith("chainrule: ")
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


def table(path: Path, rows: int = 400) -> Path:
    """y = "yes" where a + (b is "up") > 0.5; some cells of `a` are missing."""
    rng = np.random.default_rng(0)
    lines = ["a,b,n,y"]
    for number in range(rows):
        a, b = rng.normal(), rng.choice(["up", "down"])
        answer = "yes" if a + (b == "up") > 0.5 else "no"
        lines.append(f"{'' if number % 50 == 0 else round(a, 4)},{b},{1000 + 100 * a:.3f},{answer}")
    path.write_text("\n".join(lines) + "\n")
    return path


class TestTrain:
    def test_digits_by_default(self, chainrule: Command) -> None:
        result = chainrule("train", "digits")
        assert result.code == 0 and result.err == ""
        word, measure, value = result.last.split()
        assert (word, measure) == ("test", "accuracy") and float(value) >= 0.97
        assert result.out.startswith(
            "digits: 64 features, 10 classes; 1,294 samples to train, 144 to validate, 359 to test"
        )
        run = Path("runs/digits")
        assert sorted(os.listdir(run)) == RUN_FILES
        settings = json.loads((run / "settings.json").read_text())
        assert settings["options"]["seed"] == 0 and settings["result"]["test accuracy"] == pytest.approx(
            float(value), abs=1e-4
        )
        assert {"chainrule", "numpy", "python"} <= set(settings["versions"])
        history = History.load_json(run / "history.json")
        with open(run / "history.csv") as stream:
            assert [float(row["cost"]) for row in csv.DictReader(stream)] == history.column("cost").tolist()
        assert len(history) == settings["options"]["epochs"] == settings["result"]["epochs"]

    def test_the_model_is_the_network(self, chainrule: Command) -> None:
        result = chainrule("train", "digits", "--epochs", 2, "--hidden", "16,8", "--activation", "tanh,relu")
        network = Network.load("runs/digits/model.safetensors")
        assert [view.shape for name, view in network.parameters.items() if name[0] == "W"] == [
            (64, 16),
            (16, 8),
            (8, 10),
        ]
        parts = load_digits().split()
        assert parts.X_test is not None
        accuracy = np.mean(network.predict(parts.X_test).argmax(axis=1) == parts.y_test)
        assert result.last == f"test accuracy {accuracy:.4f}"

    def test_the_same_seed_gives_the_same_result(self, chainrule: Command) -> None:
        words = ("train", "digits", "--epochs", 2, "--dropout", 0.2)
        outs = [chainrule(*words, "--seed", seed, "--out", f"run{n}") for n, seed in enumerate((5, 5, 6))]
        weights = [Network.load(f"run{n}/model.safetensors").parameters["W1"] for n in range(3)]
        np.testing.assert_array_equal(weights[0], weights[1])
        assert outs[0].last == outs[1].last and not np.array_equal(weights[0], weights[2])

    def test_runs_are_numbered(self, chainrule: Command) -> None:
        for _ in range(3):
            assert chainrule("train", "digits", "--epochs", 1).code == 0
        assert sorted(os.listdir("runs")) == ["digits", "digits-2", "digits-3"]

    def test_no_run_is_overwritten_unasked(self, chainrule: Command) -> None:
        assert chainrule("train", "digits", "--epochs", 1, "--out", "mine").code == 0
        before = Path("mine/model.safetensors").read_bytes()
        refused(chainrule("train", "digits", "--epochs", 2, "--out", "mine"), "mine: holds a run already", "--force")
        assert Path("mine/model.safetensors").read_bytes() == before
        assert chainrule("train", "digits", "--epochs", 2, "--out", "mine", "--force").code == 0
        assert len(History.load_json("mine/history.json")) == 2
        assert not Path("runs").exists()

    def test_early_stopping_keeps_the_best(self, chainrule: Command) -> None:
        rate = ("--learning-rate", 0.03)
        result = chainrule("train", "digits", "--early-stopping", 2, "--epochs", 60, "--hidden", 32, *rate)
        history = History.load_json("runs/digits/history.json")
        assert history.stopped == "the validation cost has not improved for 2 epochs" and len(history) < 60
        assert f"the best, epoch {history.best().epoch}, is kept" in result.out

    def test_a_table_of_classes(self, chainrule: Command) -> None:
        result = chainrule("train", table(Path("t.csv")), "--ignore", "n", "--epochs", 60, "--hidden", 16)
        assert result.code == 0 and float(result.last.split()[-1]) > 0.9
        settings = json.loads(Path("runs/t/settings.json").read_text())
        assert settings["data"]["features"] == ["a", "a is missing", "b=down", "b=up"]
        assert settings["target"] == {"task": "classification", "names": ["no", "yes"], "name": "y"}

    @pytest.mark.parametrize("loss", ["hinge", "squared_error", *long("binary_cross_entropy", "cross_entropy")])
    def test_every_loss_for_classes(self, chainrule: Command, loss: str) -> None:
        words = ("--ignore", "n", "--epochs", 40, "--hidden", 16, "--learning-rate", 0.01)
        result = chainrule("train", table(Path("t.csv")), "--loss", loss, *words)
        assert result.code == 0 and float(result.last.split()[-1]) > 0.9
        told = chainrule("predict", "runs/t", "t.csv")
        assert told.code == 0 and float(told.err.split()[-1]) > 0.9

    @pytest.mark.parametrize("loss", ["quantile", *long("squared_error", "absolute_error", "huber")])
    def test_a_regression_tells_the_error_in_its_own_units(self, chainrule: Command, loss: str) -> None:
        words = ("--target", "n", "--ignore", "y", "--epochs", 60, "--hidden", 16, "--learning-rate", 0.01)
        result = chainrule("train", table(Path("t.csv"), 600), "--loss", loss, *words)
        assert result.code == 0 and result.last.startswith("test error ")
        # n is 1000 + 100 a: guessing the mean would be wrong by 100; rows without an `a` cannot be told.
        assert 0 < float(result.last.split()[-1]) < 40
        settings = json.loads(Path("runs/t/settings.json").read_text())
        assert settings["target_standardizer"]["mean"][0] == pytest.approx(1000, abs=20)

    def test_counts_and_several_outputs(self, chainrule: Command) -> None:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(300, 3))
        np.savez("counts.npz", X=X, y=rng.poisson(np.exp(X[:, 0]) * 10).astype(float) + 0.0)
        result = chainrule("train", "counts.npz", "--loss", "poisson", "--task", "regression", "--epochs", 30)
        assert result.code == 0 and result.last.startswith("test error")
        np.savez("several.npz", X=X, y=X @ rng.normal(size=(3, 2)))
        result = chainrule("train", "several.npz", "--epochs", 60)
        assert result.code == 0 and float(result.last.split()[-1]) < 0.3
        assert chainrule("predict", "runs/several", "several.npz").out.splitlines()[0] == "prediction0,prediction1"

    def test_without_validation_and_with_a_schedule(self, chainrule: Command) -> None:
        words = ("--validation", 0, "--schedule", "one-cycle", "--optimizer", "sgd", "--learning-rate", 0.1)
        result = chainrule("train", "digits", "--epochs", 4, *words)
        assert result.code == 0 and "to validate" not in result.out
        rates = History.load_json("runs/digits/history.json").column("learning_rate")
        assert rates[-1] < rates[0] <= 0.1 and len(rates) == 4

    def test_progress_goes_to_standard_error(self, chainrule: Command) -> None:
        result = chainrule("train", "digits", "--epochs", 2, "--progress")
        assert [line.split()[1] for line in result.err.splitlines()] == ["1/2", "2/2"]
        assert result.last.startswith("test accuracy")

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["digit"], "digit: there is no such file"),
            ([], "chainrule train needs DATA: A table"),
            (["digits", "--epoch", "3"], "no option --epoch. Did you mean --epochs? Try 'chainrule train --help'."),
            (["digits", "--lr", "3"], "no option --lr. Did you mean --learning-rate?"),
            (["digits", "--epochs", "three"], "--epochs must be a whole number. Got 'three' instead. Try"),
            (["digits", "--epochs"], "--epochs needs a value, N: Times through"),
            (["digits", "--report=3"], "--report takes no value"),
            (["digits", "more"], "takes no further word: more."),
            (["digits", "--epochs", "0"], "--epochs must be at least 1. Got 0"),
            (["digits", "--batch-size", "-1"], "--batch-size must be at least 1"),
            (["digits", "--early-stopping", "0"], "--early-stopping must be at least 1"),
            (["digits", "--threads", "0"], "--threads must be at least 1"),
            (["digits", "--seed", "-1"], "--seed must be at least 0"),
            (["digits", "--learning-rate", "0"], "--learning-rate must be a finite number above 0"),
            (["digits", "--learning-rate", "nan"], "--learning-rate must be a finite number above 0"),
            (["digits", "--l2", "-1"], "--l2 must be a finite number"),
            (["digits", "--dropout", "1"], "--dropout must be at least 0 and less than 1"),
            (["digits", "--validation", "1"], "--validation must be 0 or more and below 1"),
            (["digits", "--test", "0"], "--test must be above 0 and below 1"),
            (["digits", "--hidden", "64,big"], "--hidden must be positive whole numbers"),
            (["digits", "--hidden", "64,0"], "--hidden must be positive whole numbers"),
            (["digits", "--hidden", "9" * 20], "more than any memory holds"),
            (["digits", "--activation", "rellu"], "Did you mean 'relu'"),
            (["digits", "--activation", "relu,tanh"], "--activation must be one name, or one for each of the 1"),
            (["digits", "--optimizer", "adm"], "Unknown optimizer 'adm'. Did you mean 'adam'"),
            (["digits", "--schedule", "cosin"], "Unknown schedule 'cosin'. Did you mean 'cosine'"),
            (["digits", "--loss", "cross_entrop"], "Did you mean 'cross_entropy'"),
            (["digits", "--loss", "poisson"], "does not fit a target of classes"),
            (["digits", "--dtype", "float16"], "float16"),
            (["digits", "--engine", "gpu"], "engine"),
            (["digits", "--target", "y"], "only a table has columns"),
            (["digits", "--force"], "--out"),
            (["digits", "--learning-rate", "1e30", "--optimizer", "sgd"], "diverged"),
        ],
    )
    def test_faults_of_the_call(self, chainrule: Command, words: Sequence[str], message: str) -> None:
        refused(chainrule("train", *words), message)
        assert not os.path.exists("runs") or os.listdir("runs") == []

    def test_several_faults_are_told_at_once(self, chainrule: Command) -> None:
        refused(chainrule("train", "digits", "--epochs", 0, "--l2", "-1"), "--epochs", "--l2")

    def test_faults_of_the_data(self, chainrule: Command) -> None:
        Path("bad.csv").write_text("a,y\n1,u\n2\n")
        refused(chainrule("train", "bad.csv"), "bad.csv: line 3 has 1 cells")
        refused(chainrule("train", table(Path("t.csv")), "--target", "z"), "Unknown column 'z'")
        refused(chainrule("train", "t.csv", "--target", "n", "--loss", "cross_entropy"), "target of numbers")
        np.savez("minus.npz", X=np.ones((20, 1)), y=-np.arange(20.0))
        refused(chainrule("train", "minus.npz", "--loss", "poisson"))
        assert not os.path.exists("runs") or os.listdir("runs") == []

    def test_a_folder_that_cannot_be(self, chainrule: Command) -> None:
        Path("file").write_text("x")
        refused(chainrule("train", "digits", "--out", "file"), "file: is a file")
        refused(chainrule("train", "digits", "--out", "file/run"), "the run's folder cannot be made")

    def test_a_divergence_keeps_what_was_learned_before(self, chainrule: Command) -> None:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(200, 2))
        np.savez("d.npz", X=X, y=X[:, 0])
        words = ("--optimizer", "sgd", "--hidden", "none", "--epochs", 200, "--learning-rate", 1.6)
        refused(chainrule("train", "d.npz", *words), "diverged in epoch")
        history = History.load_json("runs/d/history.json")
        assert sorted(os.listdir("runs/d")) == RUN_FILES and 0 < len(history) < 200
        assert all(np.isfinite(view).all() for view in Network.load("runs/d/model.safetensors").parameters.values())


class TestInterrupt:
    @pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
    def test_keeps_what_was_learned(self, tmp_path: Path) -> None:
        words = ["train", "digits", "--epochs", "100000", "--out", "run"]
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from chainrule.cli import main; sys.exit(main())", *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        log = tmp_path / "run" / "history.csv"
        try:
            deadline = time.monotonic() + 25
            while not (log.exists() and log.read_text().count("\n") > 3) and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 130
        assert err.splitlines() == ["chainrule: interrupted; what was learned until then is in run"]
        assert out.splitlines()[-1].startswith("test accuracy ")
        history = History.load_json(tmp_path / "run" / "history.json")
        assert history.stopped == "interrupted" and len(history) >= 3
        assert main(["predict", str(tmp_path / "run"), "digits", "--out", str(tmp_path / "p.csv")]) == 0

    def test_in_the_first_epoch(self, chainrule: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        """What its steps have learned is kept, though no epoch was."""

        def pressed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("chainrule.train.callbacks.CSVLog.on_epoch_end", pressed)
        result = chainrule("train", "digits", "--out", "run")
        assert result.code == 130 and "stopped: interrupted" in result.out
        assert History.load_json("run/history.json").stopped == "interrupted"

    @pytest.mark.parametrize("old", [False, True])
    def test_within_the_first_epoch(self, chainrule: Command, monkeypatch: pytest.MonkeyPatch, old: bool) -> None:
        """What some steps have learned is kept, but takes no trained run's place."""
        if old:
            assert chainrule("train", "digits", "--out", "run", "--epochs", 1).code == 0
        before = {path.name: path.read_bytes() for path in Path("run").glob("*")}
        whole = _ReferenceSession.epoch

        def pressed(session: _ReferenceSession, epoch: Epoch, stop: Any = None) -> EpochResult:
            whole(session, epoch.part(0, 3), stop)
            raise KeyboardInterrupt

        monkeypatch.setattr(_ReferenceSession, "epoch", pressed)
        words = ["train", "digits", "--out", "run", "--engine", "reference", *(["--force"] if old else [])]
        result = chainrule(*words)
        kept = {path.name: path.read_bytes() for path in Path("run").glob("*")}
        assert result.code == 130 and (kept == before) is old and "model.safetensors" in kept
        assert ("what was learned until then" in result.err) is not old

    def test_of_what_was_to_take_a_runs_place(self, chainrule: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        """It lies beside the run that was trained."""
        assert chainrule("train", "digits", "--out", "run", "--epochs", 1).code == 0
        before = {path.name: path.read_bytes() for path in Path("run").glob("*")}
        usual, epochs = CSVLog.on_epoch_end, []

        def pressed(self: CSVLog, *told: Any) -> None:
            epochs.append(usual(self, *told))
            if len(epochs) == 2:
                raise KeyboardInterrupt

        for place in ("run-interrupted", "run-interrupted-2"):
            with monkeypatch.context() as patch:
                patch.setattr(CSVLog, "on_epoch_end", pressed)
                result = chainrule("train", "digits", "--out", "run", "--force")
            said = f"interrupted; what was learned until then is in {place}; run is as it was"
            assert result.code == 130 and said in result.err and f"saved in {place}" in result.out
            assert {path.name: path.read_bytes() for path in Path("run").glob("*")} == before
            assert len(History.load_json(f"{place}/history.json")) == 2
            assert chainrule("predict", place, "digits", "--out", f"{place}.csv").code == 0
            epochs.clear()

    @pytest.mark.parametrize("old", [False, True])
    def test_before_the_first_step(self, chainrule: Command, monkeypatch: pytest.MonkeyPatch, old: bool) -> None:
        """Nothing was learned: no untrained network is saved, and none takes the place of a trained one."""

        def pressed(*_: object) -> None:
            raise KeyboardInterrupt

        if old:
            assert chainrule("train", "digits", "--out", "run", "--epochs", 1).code == 0
        before = {path.name: path.read_bytes() for path in Path("run").glob("*")}
        monkeypatch.setattr("chainrule.train.callbacks.CSVLog.on_epoch_begin", pressed)
        result = chainrule("train", "digits", "--out", "run", *(["--force"] if old else []))
        assert result.code == 130 and result.err == "chainrule: interrupted\n"
        assert {path.name: path.read_bytes() for path in Path("run").glob("*")} == before
        assert Path("run").exists() is old

    def test_before_anything(self, chainrule: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        def pressed(*_: object) -> None:
            raise KeyboardInterrupt

        for place in ("typer.main.get_command", "chainrule.cli.train.read"):  # making the command, reading the data
            with monkeypatch.context() as patch:
                patch.setattr(place, pressed)
                assert chainrule("train", "digits") == Result(130, "", "chainrule: interrupted\n")


class TestPredict:
    @pytest.fixture
    def run(self, chainrule: Command) -> Path:
        assert chainrule("train", table(Path("t.csv")), "--ignore", "n", "--epochs", 3, "--out", "run").code == 0
        return Path("run")

    def test_new_rows(self, chainrule: Command, run: Path) -> None:
        Path("new.csv").write_text("b,a,more\nup,2.5,1\ndown,-2.5,1\nsideways,,1\n")
        result = chainrule("predict", run, "new.csv")
        rows = list(csv.DictReader(result.out.splitlines()))
        assert result.code == 0 and list(rows[0]) == ["y", "no", "yes"]
        assert len(result.err.splitlines()) == 1 and result.err.startswith("chainrule: new.csv: 1 row with categories")
        for words in ("'b'", "'sideways'", "another order", "not used", "'more'"):
            assert words in result.err
        assert [row["y"] for row in rows[:2]] == ["yes", "no"] and len(rows) == 3
        for row in rows:
            assert float(row["no"]) + float(row["yes"]) == pytest.approx(1, abs=1e-5)

    def test_tells_the_accuracy_where_it_can(self, chainrule: Command, run: Path) -> None:
        result = chainrule("predict", run / "model.safetensors", "t.csv", "--no-probabilities", "--out", "p.csv")
        predicted = Path("p.csv").read_text().split()
        truth = [line.rsplit(",", 1)[1] for line in Path("t.csv").read_text().split()]
        right = np.mean([a == b for a, b in zip(predicted[1:], truth[1:], strict=True)])
        assert predicted[0] == "y" and result.err == f"400 samples, accuracy {right:.4f}\n"
        assert result.out == "400 predictions in p.csv\n"

    def test_numbers_in_their_own_units(self, chainrule: Command) -> None:
        chainrule("train", table(Path("t.csv")), "--target", "n", "--epochs", 20, "--out", "run")
        result = chainrule("predict", "run", "t.csv")
        numbers = [float(line) for line in result.out.split()[1:]]
        truth = [float(line.split(",")[2]) for line in Path("t.csv").read_text().split()[1:]]
        assert result.out.startswith("n\n") and abs(np.mean(numbers) - 1000) < 20
        error = np.sqrt(np.mean(np.square(np.array(numbers) - truth)))
        assert float(result.err.split()[-1]) == pytest.approx(error, rel=1e-4)

    def test_a_network_without_settings(self, chainrule: Command) -> None:
        chainrule("train", "digits", "--epochs", 1, "--out", "run")
        expected = chainrule("predict", "run", "digits")
        Path("run/settings.json").unlink()
        assert chainrule("predict", "run/model.safetensors", "digits") == expected

    def test_faults(self, chainrule: Command, run: Path) -> None:
        refused(chainrule("predict", "nothing", "t.csv"), "nothing: there is no such model")
        refused(chainrule("predict", ".", "t.csv"), "holds no model.safetensors")
        refused(chainrule("predict", "t.csv", "t.csv"), "t.csv")
        refused(chainrule("predict", run, "none.csv"), "none.csv: there is no such file")
        refused(chainrule("predict", run, "digits"), "trained on a table")
        Path("new.csv").write_text("a\n1\n")
        refused(chainrule("predict", run, "new.csv"), "lacks the column 'b'")
        refused(chainrule("predict", run, "t.csv", "--out", "t.csv/x.csv"), "cannot be written")
        model = run / "model.safetensors"
        model.write_bytes(model.read_bytes()[:200])
        refused(chainrule("predict", run, "t.csv"), "model.safetensors")

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}'])
    def test_damaged_settings(self, chainrule: Command, run: Path, text: str) -> None:
        (run / "settings.json").write_text(text)
        refused(chainrule("predict", run, "t.csv"), "settings.json")

    def test_another_width(self, chainrule: Command) -> None:
        chainrule("train", "digits", "--epochs", 1, "--out", "run")
        np.savez("wide.npz", X=np.ones((3, 65)))
        refused(chainrule("predict", "run", "wide.npz"), "65 features", "64")


class TestDerive:
    def test_prints_the_program(self, chainrule: Command) -> None:
        result = chainrule("derive", "--inputs", 3, "--hidden", 4, "--outputs", 2)
        assert result.code == 0
        for equation in ("Z1 = X W1 + b1", "dZ2 = (A2 - Y) / m", "dW2 = A1ᵀ dZ2", "dX = dZ1 W1ᵀ", "W1 := W1 - lr dW1"):
            assert equation in result.out

    def test_options_change_it(self, chainrule: Command) -> None:
        plain = chainrule("derive").out
        words = [["--long"], ["--weighted"], ["--l2", 0.1], ["--l1", 0.1], ["--dropout", 0.5], ["--optimizer", "adam"]]
        words += [["--reduction", "sum"], ["--loss", "squared_error"], ["--hidden", "none"], ["--activation", "tanh"]]
        words += [["--loss", "squared_error", "--output-activation", "tanh"]]
        programs = [chainrule("derive", *more) for more in words]
        assert {result.code for result in programs} == {0}
        assert len({plain, *(result.out for result in programs)}) == len(words) + 1
        assert ":=" in plain and ":=" not in chainrule("derive", "--optimizer", "none").out

    def test_plan(self, chainrule: Command) -> None:
        """The stages of a step of training, or of a call for J and its gradients."""
        step = chainrule("derive", "--plan").out
        assert (
            step.startswith("training, batches whole") and "XW1 = X W1; Z1, A1" in step and "leave if to stop" in step
        )
        call = chainrule("derive", "--plan", "--optimizer", "none").out
        assert call.startswith("a call for J, dW1, db1, dW2, db2, dX") and "for each chunk" in call

    def test_json(self, chainrule: Command, tmp_path: Path) -> None:
        """The equations as data, of options or of a saved network: what `derive` prints is read back from it."""
        text = chainrule("derive", "--json", "--optimizer", "adam").out
        assert str(cr.Program.from_json(text)) + "\n" == chainrule("derive", "--optimizer", "adam").out
        net = cr.Network(3, [cr.Dense(2, "tanh")], "squared_error", engine="reference")
        net.save(tmp_path / "net.safetensors")
        saved = chainrule("derive", str(tmp_path / "net.safetensors"), "--json", "--optimizer", "none").out
        assert cr.Program.from_json(saved) == net.derive()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--inputs", "0"], "inputs must be"),
            (["--outputs", "1"], "at least 2 outputs"),
            (["--loss", "hing"], "Did you mean 'hinge'"),
            (["--optimizer", "sdg"], "Did you mean 'sgd'"),
            (["--output-activation", "tanh"], "does not fit"),
            (["--reduction", "max"], "reduction"),
            (["--l2", "nan"], "l2"),
            (["--plan", "--notation", "column"], "--plan goes with no notation"),
            (["--plan", "--with-numbers", "digits"], "--plan does not go with --with-numbers"),
            (["--json", "--with-numbers", "digits"], "--json does not go with --with-numbers"),
            (["--json", "--plan"], "--plan does not go with --json"),
            (["--json", "--why"], "--json goes with no notation"),
        ],
    )
    def test_faults(self, chainrule: Command, words: Sequence[str], message: str) -> None:
        refused(chainrule("derive", *words), message)


class TestCommand:
    def test_help_and_version(self, chainrule: Command) -> None:
        assert chainrule("--version").out.startswith("chainrule 0.")
        shown = chainrule("--help")
        assert shown.code == 0 and all(word in shown.out for word in ("train", "predict", "derive"))
        assert "root of the mean squared error" in " ".join(chainrule("train", "--help").out.split())

    def test_nothing_to_do(self, chainrule: Command) -> None:
        result = chainrule()
        assert result.code == 2 and "train" in result.out + result.err
        refused(chainrule("trian"), "Unknown command 'trian'. Did you mean 'train'?", "Try 'chainrule --help'.")
        refused(chainrule("names", "trian"), "Unknown command 'trian'.", "Try 'chainrule names --help'.")

    def test_a_reader_that_goes_away(self) -> None:
        code = "import sys; from chainrule.cli import main; sys.exit(main(['derive', '--hidden', '9,' * 200 + '9']))"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(20) == 141

    def test_a_terminal_without_greek(self) -> None:
        code = "import sys; from chainrule.cli import main; sys.exit(main(['derive']))"
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and "dW2 = A1? dZ2" in done.stdout and done.stderr == ""

    def test_a_fault_of_our_own_is_one_line(self, chainrule: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(self: Network) -> str:
            raise RuntimeError("something\nunforeseen")

        monkeypatch.setattr(Network, "summary", broken)
        result = chainrule("train", "digits")
        assert result.code == 1 and "RuntimeError: something unforeseen" in result.err
        assert len(result.err.splitlines()) == 1
        monkeypatch.setenv("CHAINRULE_TRACEBACK", "1")
        with pytest.raises(RuntimeError):
            chainrule("train", "digits")

    def test_starting_is_light(self) -> None:
        code = "import chainrule, chainrule.cli, sys; print(*sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert not {"sklearn", "scipy", "rich", "typer", "llvmlite", "torch"} & set(loaded)


@needs_real_data
class TestRealData:
    def test_adult(self, chainrule: Command) -> None:
        result = chainrule("train", REAL / "adult.csv", "--epochs", 2, "--hidden", 32, "--batch-size", 128)
        assert result.code == 0 and float(result.last.split()[-1]) > 0.82

    def test_housing(self, chainrule: Command) -> None:
        words = ("--target", "median_house_value", "--epochs", 4, "--batch-size", 64, "--learning-rate", 0.003)
        result = chainrule("train", REAL / "housing.csv", *words)
        assert result.code == 0 and float(result.last.split()[-1]) < 70_000


def test_a_fault_is_written_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of processes that were started together do not run into each other."""
    written: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stderr", Stream())
    assert main(["train", "missing.csv"]) == 2
    assert written == ["chainrule: missing.csv: there is no such file.\n"]
