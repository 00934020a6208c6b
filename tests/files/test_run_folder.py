"""A run's folder: replaced as one thing, refused where its files are of two runs, kept where none can be written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule import Network
from chainrule.cli import main
from chainrule.files.folder import PENDING
from chainrule.runs.folder import Settings
from chainrule.train.history import History

FILES = ["history.csv", "history.json", "model.safetensors", "settings.json"]
OPTIONS = ("--hidden", "4", "--epochs", "2", "--engine", "reference")


def table(path: Path, scale: int) -> Path:
    every = 11 if scale == 1 else 7
    lines = (f"{(i % 37) * scale},{(i % every) * scale},{'yes' if i % 37 > 18 else 'no'}" for i in range(80))
    path.write_text("\n".join(["a,b,y", *lines]))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained run, and beside it the tables a.csv (its own) and b.csv (of another scale)."""
    monkeypatch.chdir(tmp_path)
    table(Path("b.csv"), 1000)
    assert main(["train", str(table(Path("a.csv"), 1)), "--out", "run", *OPTIONS]) == 0
    return tmp_path / "run"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


KILLED = """
import os, sys
import chainrule.runs.folder as runs
real = runs.Settings.save
def killed(*given):
    if "{when}" == "after":
        real(*given)
    os.kill(os.getpid(), 9)
runs.Settings.save = killed
from chainrule.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_it_is_saved_it_leaves_the_old_run(run: Path, when: str) -> None:
    before = content(run)
    command = [sys.executable, "-c", KILLED.format(when=when), "train", "b.csv", "--out", "run", "--force", *OPTIONS]
    done = subprocess.run(command, capture_output=True, timeout=100)
    assert done.returncode == -9
    assert {name: text for name, text in content(run).items() if name in FILES} == before
    assert main(["predict", "run", "a.csv"]) == 0
    assert main(["train", "b.csv", "--out", "run", "--force", *OPTIONS]) == 0
    assert sorted(os.listdir(run)) == FILES and content(run)["model.safetensors"] != before["model.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_training_that_was_killed_goes_on_in_its_folder(run: Path) -> None:
    """Its log alone is no run, and asks for no --force."""
    killed = "from chainrule.train.callbacks import CSVLog; import os; end = CSVLog.on_epoch_end; "
    killed += "CSVLog.on_epoch_end = lambda s, f, r: (end(s, f, r), r.epoch == 3 and os.kill(os.getpid(), 9)); "
    killed += "import sys; from chainrule.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", "a.csv", "--out", "new", "--checkpoint", "kept", "--hidden", "4", "--epochs", "5"]
    assert subprocess.run([sys.executable, "-c", killed, *words], capture_output=True, timeout=100).returncode == -9
    assert os.listdir("new") == ["history.csv"]
    assert main([*words, "--resume"]) == 0
    assert sorted(os.listdir("new")) == FILES and len(History.load_json("new/history.json")) == 5


def test_what_is_the_users_own_stays(run: Path) -> None:
    (run / "notes.txt").write_text("mine")
    (run / "report.html").write_text("of the old run")
    assert main(["train", "b.csv", "--out", "run", "--force", *OPTIONS]) == 0
    assert sorted(os.listdir(run)) == sorted([*FILES, "notes.txt"])


HOSTILE: dict[str, tuple[tuple[str | int, ...], str, str]] = {
    "nested deep": (("target",), "[" * 100_000 + "]" * 100_000, "nested more than 32 levels deep"),
    "many digits": (("target",), "9" * 10_000, "a whole number of 10,000 digits"),
    "a scale beyond every float": (
        ("standardizer", "scale", 0),
        "1" * 400,
        "json: standardizer: This is not a standardizer as chainrule saves it: scale[0] must",
    ),
    "a scale of 0": (("standardizer", "scale", 0), "0", "scale[0] must be a finite number, above 0. Got 0 instead."),
    "a class that is a number": (("target", "names", 1), "5", ": names[1] must be a text. Got 5 instead."),
    "a target's name that is a list": (("target", "name"), "[[1]]", ": name must be a text. Got [[1]] instead."),
    "half of a pair": (("target", "names", 0), '"\\ud800"', "half of a surrogate pair"),
    "not a number": (("encoder", "columns", 0, "median"), "NaN", "holds NaN"),
    "a kind of column": (("encoder", "columns", 0, "kind"), '"date"', "Unknown kind of column 'date'"),
    "another width": (("standardizer", "mean"), "[0]", "1 means, but 2 scales"),
    "a class too many": (("target", "names"), '["a", "b", "c"]', "holds 3 classes, but the network beside it has 2"),
    "no columns": (("encoder", "columns"), "[]", ": columns: holds 0 members"),
}


@pytest.mark.parametrize(("place", "text", "words"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_settings_are_one_line(
    run: Path, place: tuple[str | int, ...], text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = json.loads((run / "settings.json").read_text())
    part = saved
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = "@"
    (run / "settings.json").write_text(json.dumps(saved).replace('"@"', text))
    capsys.readouterr()
    assert main(["predict", "run", "a.csv"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and len(told) <= 520 and "run/settings.json" in told and words in told, told


@pytest.mark.parametrize("swapped", ["model.safetensors", "settings.json"])
def test_files_of_two_runs_are_refused(run: Path, swapped: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "b.csv", "--out", "other", *OPTIONS]) == 0
    shutil.copy(Path("other") / swapped, run / swapped)
    for words in (["predict", "run"], ["predict", "run/model.safetensors"]):
        capsys.readouterr()
        assert main([*words, "b.csv"]) == 2
        assert "is not the model that settings.json was written with" in capsys.readouterr().err


def test_a_model_saved_over_it_is_another_model(run: Path) -> None:
    net = Network.load(run / "model.safetensors")
    net.save(run / "model.safetensors")
    assert main(["predict", "run", "a.csv"]) == 0  # the very same
    net.parameters["b1"][:] += 1
    net.save(run / "model.safetensors")
    assert main(["predict", "run", "a.csv"]) == 2


def test_a_run_of_a_version_without_digests_is_read(run: Path) -> None:
    saved = json.loads((run / "settings.json").read_text())
    del saved["model"]
    (run / "settings.json").write_text(json.dumps(saved))
    assert main(["predict", "run", "a.csv"]) == 0 and Settings.load(run / "settings.json").model is None


def test_a_later_version_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps(saved | {"format": 2}))
    assert main(["predict", "run", "a.csv"]) == 2
    assert "was saved by a newer chainrule (the settings of a run of format 2" in capsys.readouterr().err


def test_a_replacement_left_half_done_is_finished_by_the_next_reader(run: Path) -> None:
    assert main(["train", "b.csv", "--out", "other", *OPTIONS]) == 0
    new = content(Path("other"))
    Path("other").rename(run / PENDING)
    assert main(["predict", "run", "b.csv"]) == 0
    assert content(run) == new and sorted(os.listdir(run)) == FILES


def test_a_full_disk_leaves_the_old_run(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, written = content(run), Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if len(data) > 1000:
            written(path, data[:100])
            raise OSError(28, "No space left on device")
        return written(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert main(["train", "b.csv", "--out", "run", "--force", *OPTIONS]) == 2
    assert "no space left on device" in capsys.readouterr().err
    # The log of the training is all that there is of it.
    assert {name: text for name, text in content(run).items() if name in FILES} == before
    assert sorted(os.listdir(run)) == sorted([*FILES, "history.csv.part"])
    assert main(["predict", "run", "a.csv"]) == 0
    assert sorted(os.listdir(run.parent)) == ["a.csv", "b.csv", "run"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="who is root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_trained(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(run)
    run.chmod(0o500)
    try:
        assert main(["train", "b.csv", "--out", "run", "--force", *OPTIONS]) == 2
        assert "permission denied" in capsys.readouterr().err
        assert main(["predict", "run", "a.csv"]) == 0
    finally:
        run.chmod(0o700)
    assert content(run) == before
