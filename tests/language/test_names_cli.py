"""`chainrule names`, from its words to its files, its last line and its exit code."""

from __future__ import annotations

import builtins
import csv
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chainrule.cli import main
from chainrule.describe.layers import Dense
from chainrule.language import CharacterModel, load_names, split_names
from chainrule.network import Network
from chainrule.train.callbacks import CSVLog
from chainrule.train.history import EpochRecord, History
from chainrule.train.state import FitState

FEW = ["anna", "hanna", "jana", "nana", "johan", "jon", "joan", "hal", "alan", "lana", "noah", "jonah"] * 4
RUN_FILES = ["history.csv", "history.json", "model.safetensors", "settings.json"]
PNG = b"\x89PNG\r\n"


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        return self.out.splitlines()[-1]


Command = Callable[..., Result]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `chainrule names` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    Path("few.txt").write_text("\n".join(FEW), encoding="utf-8")

    def call(*words: object) -> Result:
        capsys.readouterr()
        code = main(["names", *map(str, words)])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def trained(names: Command) -> Command:
    """The same, with a model in runs/few."""
    assert names("train", "few.txt", "--epochs", 3, "--hidden", 16).code == 0
    return names


def refused(result: Result, *words: str) -> None:
    """Exit code 2 and one line on standard error, which holds the words."""
    assert result.code == 2, result
    assert len(result.err.splitlines()) == 1 and result.err.startswith("chainrule: ")
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


class TestTrain:
    def test_a_file(self, names: Command) -> None:
        result = names("train", "few.txt", "--epochs", 4)
        assert result.code == 0 and result.err == ""
        assert result.out.startswith("few: 48 names of 6 characters; 38 to train, 5 for dev, 5 for test\n")
        assert re.search(r"^4 epochs in \d+\.\d s, cost ", result.out, re.M)
        assert re.search(r"^of 1,000 invented names \d+\.\d% are new \(not in the file\)$", result.out, re.M)
        assert "saved in runs/few\n" in result.out and sorted(os.listdir("runs/few")) == RUN_FILES
        found = re.fullmatch(r"train cost (\d\.\d{4}), dev cost (\d\.\d{4}) nats per character", result.last)
        assert found
        model = CharacterModel.load("runs/few/model.safetensors")
        train, dev, _ = split_names(load_names("few.txt"))
        for printed, part in zip(found.groups(), (train, dev), strict=True):
            assert float(printed) == pytest.approx(model.score(part).per_character, abs=1e-4)
        settings = json.loads(Path("runs/few/settings.json").read_text(encoding="utf-8"))
        assert settings["options"]["epochs"] == settings["result"]["epochs"] == 4
        assert settings["result"]["dev cost"] == pytest.approx(float(found[2]), abs=1e-4)
        assert settings["data"]["characters"] == "ahjlno" and settings["data"]["dev"] == 5
        invented = model.sample(1000, seed=0)
        new = sum(name not in FEW for name in invented) / 1000
        assert settings["result"]["new samples"] == new and f"{new:.1%} are new" in result.out
        assert len(History.load_json("runs/few/history.json")) == 4

    def test_without_a_file(self, names: Command) -> None:
        result = names("train", "--epochs", 1, "--preset", "quick", "--hidden", 32)
        assert result.code == 0 and result.out.startswith("given-names: 6,8") and Path("runs/given-names").is_dir()

    def test_the_options(self, names: Command) -> None:
        words = "--context 2 --embedding 5 --hidden 12,8 --activation relu --dropout 0.1 --normalisation layer"
        more = "--optimizer adam --learning-rate 0.01 --schedule cosine --epochs 3 --batch-size 16 --average 2"
        assert names("train", "few.txt", *words.split(), *more.split(), "--dtype", "float64", "--out", "mine").code == 0
        network = Network.load("mine/model.safetensors")
        assert network.spec.inputs == 2 and network.dtype.name == "float64"
        assert [layer.units for layer in network.spec.layers if isinstance(layer, Dense)] == [12, 8, 7]
        assert [type(layer).__name__ for layer in network.spec.layers][:4] == [
            "Embedding", "Dense", "LayerNorm", "Dropout",
        ]  # fmt: skip
        rates = History.load_json("mine/history.json").column("learning_rate")
        assert 0.01 > rates[0] > rates[1] > rates[2] > 0

    def test_the_rate_alone_keeps_the_schedule(self, names: Command) -> None:
        assert names("train", "few.txt", "--learning-rate", 0.5, "--epochs", 20, "--hidden", 4).code == 0
        rates = History.load_json("runs/few/history.json").column("learning_rate")
        assert rates[0] == 0.5 and rates[-1] == pytest.approx(0.05)

    def test_the_same_seed_gives_the_same_result(self, names: Command) -> None:
        words = ("train", "few.txt", "--epochs", 2, "--hidden", 8, "--dropout", 0.2)
        files = []
        for number, seed in enumerate((5, 5, 6)):
            assert names(*words, "--seed", seed, "--out", f"run{number}").code == 0
            files.append(Path(f"run{number}/model.safetensors").read_bytes())
        assert files[0] == files[1] != files[2]

    def test_no_run_is_overwritten_unasked(self, trained: Command) -> None:
        words = ("train", "few.txt", "--epochs", 1, "--hidden", 4)
        refused(trained(*words, "--out", "runs/few"), "runs/few: holds a run already", "--force")
        assert trained(*words, "--out", "runs/few", "--force").code == 0
        assert trained(*words).code == 0 and sorted(os.listdir("runs")) == ["few", "few-2"]

    def test_an_interrupt_keeps_what_was_learned(self, names: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        end = CSVLog.on_epoch_end

        def interrupted(self: CSVLog, fit: FitState, record: EpochRecord) -> None:
            end(self, fit, record)
            if record.epoch == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(CSVLog, "on_epoch_end", interrupted)
        result = names("train", "few.txt", "--hidden", 8)
        assert result.code == 130
        assert result.err == "chainrule: interrupted; what was learned until then is in runs/few\n"
        assert "2 epochs in" in result.out and "stopped: interrupted" in result.out and "dev cost" in result.last
        assert CharacterModel.load("runs/few/model.safetensors").sample(3, seed=0)

    def test_an_interrupt_in_the_first_epoch(self, names: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        """What its steps have learned is kept; there is no learning curve yet."""
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")

        def interrupted(*given: Any, **named: Any) -> Any:
            raise KeyboardInterrupt

        # What validates after the epoch's steps.
        monkeypatch.setattr(Network, "evaluate", interrupted)
        result = names("train", "few.txt", "--hidden", 8)
        assert result.code == 130 and "\n0 epochs in" in result.out and "stopped: interrupted" in result.out
        drawn = names("plot", "runs/few")
        assert drawn.code == 0 and "next-character.png" in drawn.out and "learning-curve" not in drawn.out

    def test_an_interrupt_before_the_first_step(self, names: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*given: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(CSVLog, "on_epoch_begin", interrupted)
        result = names("train", "few.txt", "--hidden", 8)
        assert result.code == 130 and result.err == "chainrule: interrupted\n" and os.listdir("runs") == []

    def test_a_divergence(self, names: Command) -> None:
        result = names("train", "few.txt", "--learning-rate", 1e30, "--activation", "relu", "--epochs", 5)
        refused(result, "Training diverged in epoch 1", "smaller learning rate")
        assert not Path("runs/few").exists()

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", ["bad.txt: there are no names in the file"]),
            (b"aaa\n" * 20, ["the single character 'a'"]),
            (b"anna\n" * 5, ["At least 10 names are needed", "Got 5"]),
            (b"anna\n" + b"x" * 10_001, ["bad.txt: line 2 has 10,001 characters"]),
            (b"anna\nbj\xf8rn\n", ["bad.txt: line 2 is not UTF-8", "0xf8"]),
            (b"PK\x03\x04\x00\n", ["bad.txt: line 1 holds the control character"]),
            (None, ["bad.txt: there is no such file"]),
        ],
    )
    def test_bad_files(self, names: Command, content: bytes | None, words: Sequence[str]) -> None:
        if content is not None:
            Path("bad.txt").write_bytes(content)
        refused(names("train", "bad.txt"), *words)
        assert not Path("runs").exists()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("--preset clasic", "Did you mean 'classic'"),
            ("--context 0", "--context must be at least 1. Got 0"),
            ("--embedding -1", "--embedding must be at least 1"),
            ("--hidden 12,x", "--hidden must be positive whole numbers"),
            ("--activation tan", "Did you mean 'tanh'"),
            ("--normalisation group", "--normalisation must be layer, batch or none"),
            ("--dropout 1", "--dropout must be at least 0 and less than 1"),
            ("--optimizer adm", "Did you mean 'adam'"),
            ("--schedule cosin", "Did you mean 'cosine'"),
            ("--learning-rate -1", "--learning-rate must be a finite number above 0"),
            ("--epochs 0", "--epochs must be at least 1"),
            ("--batch-size 0", "--batch-size must be at least 1"),
            ("--average -1", "--average must be at least 0"),
            ("--seed -1", "--seed must be at least 0"),
            ("--threads 0", "--threads must be at least 1"),
            ("--dtype int8", "dtype must be"),
            ("--engine gpu", "engine must be"),
            ("--force", "--force overwrites the run in the folder of --out"),
            ("--out few.txt", "few.txt: is a file; --out needs a folder"),
        ],
    )
    def test_bad_options(self, names: Command, words: str, message: str) -> None:
        refused(names("train", "few.txt", *words.split()), message)
        assert not Path("runs").exists()


class TestSample:
    def test_as_many_as_asked(self, trained: Command) -> None:
        result = trained("sample", "runs/few")
        assert result.code == 0 and result.err == "" and len(result.out.splitlines()) == 20
        result = trained("sample", "runs/few/model.safetensors", "-n", 5, "--prefix", "jo", "--temperature", 0.8)
        assert len(result.out.splitlines()) == 5 and all(x.startswith("jo") for x in result.out.splitlines())
        result = trained("sample", "runs/few", "-n", 30, "--top-k", 1, "--longest", 4)
        assert len(set(result.out.splitlines())) == 1 and len(result.last) <= 4

    def test_the_seed(self, trained: Command) -> None:
        words = ("sample", "runs/few", "--seed", 7)
        assert trained(*words).out == trained(*words).out != trained("sample", "runs/few", "--seed", 8).out

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("runs/few --prefix jöx", "Unknown characters 'ö', 'x'"),
            ("runs/few --temperature 0", "The temperature must be a finite number above 0. Got 0.0"),
            ("runs/few --temperature -1", "The temperature"),
            ("runs/few --temperature nan", "The temperature"),
            ("runs/few -n 0", "The number of samples must be a positive whole number"),
            ("runs/few --top-k 0", "top_k must be"),
            ("runs/few --seed -1", "The seed must be"),
            ("runs/few --unknown xy --prefix ö", "must be a known one. Got 'xy'"),
            ("few.txt", "few.txt is not a network saved by chainrule"),
            ("runs", "the folder holds no model.safetensors"),
            ("absent", "there is no such model"),
            ("plain.safetensors", "is a network, but not a character model"),
        ],
    )
    def test_what_it_refuses(self, trained: Command, words: str, message: str) -> None:
        Network(2, [Dense(3, "softmax")], "cross_entropy").save("plain.safetensors")
        refused(trained("sample", *words.split()), message)

    def test_an_unknown_prefix_may_be_mapped(self, trained: Command) -> None:
        assert trained("sample", "runs/few", "-n", 1, "--prefix", "hö", "--unknown", "o").out.startswith("ho")


class TestScore:
    def test_the_last_line(self, trained: Command) -> None:
        result = trained("score", "runs/few", "few.txt")
        model = CharacterModel.load("runs/few/model.safetensors")
        cost = model.score(FEW).per_character
        assert result.code == 0 and result.err == "" and result.last == f"cost {cost:.4f} nats per character"
        assert result.out.startswith(f"48 names, {sum(map(len, FEW)) + 48} characters with the ends of names\n")
        assert "\nmost expected: " in result.out and "\nleast expected: " in result.out

    def test_each_name(self, trained: Command) -> None:
        Path("two.txt").write_text("joan\nnoah")
        lines = trained("score", "runs/few", "two.txt", "--each").out.splitlines()
        model = CharacterModel.load("runs/few/model.safetensors")
        rows = list(csv.DictReader(lines[:3]))
        assert [row["name"] for row in rows] == ["joan", "noah"] and len(lines) == 5
        for row, nats in zip(rows, model.score(["joan", "noah"]).per_name, strict=True):
            assert float(row["nats"]) == pytest.approx(nats, abs=1e-3)
            assert float(row["nats per character"]) == pytest.approx(nats / 5, abs=1e-3)

    def test_the_parts(self, trained: Command) -> None:
        model = CharacterModel.load("runs/few/model.safetensors")
        for part, some in zip(("train", "dev", "test"), split_names(FEW), strict=True):
            cost = model.score(some).per_character
            assert trained("score", "runs/few", "few.txt", "--part", part).last.startswith(f"cost {cost:.4f}")

    def test_what_it_refuses(self, trained: Command) -> None:
        refused(trained("score", "runs/few"), "Unknown characters", "more: the model was trained without")
        assert trained("score", "runs/few", "--unknown", "a").code == 0
        refused(trained("score", "runs/few", "few.txt", "--part", "tset"), "Did you mean 'test'")
        refused(trained("score", "few.txt", "few.txt"), "few.txt is not a network saved by chainrule")
        refused(trained("score", "runs/few", "absent.txt"), "there is no such file")
        Path("empty.txt").write_text("")
        refused(trained("score", "runs/few", "empty.txt"), "there are no names in the file")

    def test_predict_sends_here(self, trained: Command, capsys: pytest.CaptureFixture[str]) -> None:
        capsys.readouterr()
        code = main(["predict", "runs/few", "digits"])
        refused(Result(code, *capsys.readouterr()), "is a character model", "chainrule names score")


class TestPlot:
    def test_the_pictures(self, trained: Command) -> None:
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")
        result = trained("plot", "runs/few")
        drawn = ["embedding.png", "learning-curve.png", "next-character.png"]
        assert result.code == 0 and result.out.splitlines() == [f"drawn: runs/few/{name}" for name in drawn]
        assert all(Path("runs/few", name).read_bytes().startswith(PNG) for name in drawn)
        assert trained("plot", "runs/few/model.safetensors", "--out", "new", "--prefix", "jo", "--prefix", "").code == 0
        assert sorted(os.listdir("new")) == drawn
        refused(trained("plot", "runs/few", "--prefix", "ö"), "Unknown character 'ö'")
        refused(trained("plot", "few.txt"), "few.txt is not a network saved by chainrule")

    def test_without_matplotlib(self, trained: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = builtins.__import__

        def missing(name: str, globals: Mapping[str, object] | None = None, *others: Any) -> Any:
            if name.startswith("matplotlib"):
                raise ImportError(name)
            return plain(name, globals, *others)

        monkeypatch.setattr(builtins, "__import__", missing)
        refused(trained("plot", "runs/few"), "Pictures need matplotlib", "pip install 'chainrule[plot]'")


def test_a_run_is_told_and_reported(
    trained: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`info` and `report`, of the names left for the test or of others; `evaluate` says which command it is."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    from chainrule.report import pictures

    monkeypatch.setattr(pictures, "_png", lambda figure: "")
    capsys.readouterr()
    assert main(["info", "runs/few"]) == 0
    told = capsys.readouterr().out
    assert "predicts: the next character\n" in told and "characters: ahjlno\n" in told and "dense softmax" in told
    assert main(["info", "runs/few", "--json"]) == 0 and json.loads(capsys.readouterr().out)["data"] == "few"
    assert main(["report", "runs/few", "--notation", "index"]) == 0
    page = Path("runs/few/report.html").read_text(encoding="utf-8")
    _, _, test = split_names(load_names("few.txt"))
    samples = sum(len(name) + 1 for name in test)
    assert f"on {samples} test samples" in page and ">end<" in page
    Path("others.txt").write_text("hanna\njohn\n", encoding="utf-8")
    assert main(["report", "runs/few", "others.txt", "-o", "others.html"]) == 0
    assert "on 11 samples" in Path("others.html").read_text(encoding="utf-8")
    Path("few.txt").write_text("\n".join(FEW[:20]), encoding="utf-8")
    capsys.readouterr()
    assert main(["report", "runs/few"]) == 2
    assert "is not what it was trained on any more; give a file of names" in capsys.readouterr().err
    assert main(["evaluate", "runs/few", "few.txt"]) == 2
    assert "'chainrule names score runs/few FILE' says what names cost" in capsys.readouterr().err


def test_the_help_names_everything(names: Command) -> None:
    result = names("--help")
    assert result.code == 0 and all(word in result.out for word in ("train", "sample", "score", "plot"))
