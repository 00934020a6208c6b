"""The options of the command: all that Network and fit take, help that can be read, completion, defaults."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import chainrule as cr
from chainrule.cli import COMPLETING, main
from chainrule.cli.app import app
from chainrule.cli.choices import activation_of, loss_of, make_optimizer, output_activation, parts_of
from chainrule.cli.help import written
from chainrule.cli.options import SHORT
from chainrule.cli.scores import waiting
from chainrule.cli.train_options import default_epochs
from chainrule.train.history import History

COMMAND: Any = typer.main.get_command(app)
COMMANDS = {(name,): one for name, one in COMMAND.commands.items()} | {
    ("names", name): one for name, one in COMMAND.commands["names"].commands.items()
}
QUICK = ("-e", 2, "-H", 8, "--engine", "reference")


def call(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# --- words to objects ------------------------------------------------------------------------------------------------


def test_activations_and_losses_by_name_number_and_formula() -> None:
    assert parts_of("relu,max(z, 0), tanh") == ["relu", "max(z, 0)", "tanh"]
    assert activation_of("relu").name == "relu" and activation_of("swish").name == "silu"
    assert activation_of("z*sigmoid(z)").expression == activation_of("silu").expression
    assert loss_of("quantile:0.9").name == "quantile(0.9)" and loss_of("huber:2").name == "huber(2.0)"
    assert loss_of("abs(yhat-y)").kind == "values" and loss_of("cross_entropy", 0.1).smoothing == 0.1
    assert output_activation("-y*log(yhat)", "classification") == "softmax"
    assert output_activation("abs(yhat-y)", "regression") == "identity"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: activation_of("sigmiod"), "Did you mean 'sigmoid'? Known: elu"),
        (lambda: activation_of("hardtanh"), "Write 'clip(z, -1, 1)'."),
        (lambda: activation_of("relu2"), "Your own: a formula in z, 'z*sigmoid(z)' say."),
        (lambda: activation_of("z*"), "does not parse"),
        (lambda: loss_of("mse"), "Write 'squared_error'."),
        (lambda: loss_of("logcosh"), "write your own: 'abs(yhat - y) + softplus"),
        (lambda: loss_of("quantile:x"), "The number of quantile must be a number"),
        (lambda: loss_of("hinge:2"), "must be a loss with a number, quantile:0.9 or huber:0.9"),
        (lambda: loss_of("hinge", 0.1), "--label-smoothing goes with cross_entropy. The loss is hinge."),
        (lambda: output_activation("quantile:0.9", "classification"), "does not fit a target of classes"),
        (lambda: make_optimizer("adam", None, momentum=0.9), "--momentum: adam has none. sgd, rmsprop, muon have."),
        (lambda: make_optimizer("sgd", None, weight_decay=0.1), "--l2 adds a penalty"),
        (lambda: make_optimizer("sgd", None, momentum=1.0), "momentum must be"),
    ],
)
def test_words_that_cannot_be(make: Any, says: str) -> None:
    with pytest.raises(cr.SpecError) as caught:
        make()
    assert says in str(caught.value)


def test_optimizers_with_their_settings() -> None:
    assert make_optimizer("sgd", 0.1, momentum=0.9, clip_norm=2.0) == cr.SGD(0.1, momentum=0.9, clip_norm=2.0)
    assert make_optimizer("adamw", None, "cosine", weight_decay=0.1) == cr.AdamW(cr.Cosine(0.001), weight_decay=0.1)


# --- train -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_folder")
def test_every_option_reaches_the_network_and_its_training() -> None:
    words = ("-a", "z*sigmoid(z)", "--normalisation", "layer", "--label-smoothing", 0.1, "--l1", 0.01, "-O", "sgd")
    more = ("--momentum", 0.9, "--clip-norm", 1, "--class-weight", "balanced", "--time-limit", 100, "-p", 1, "-j")
    code, out, err = call("train", "digits", *QUICK, *words, *more)
    told = json.loads(out)
    assert code == 0 and err == "" and told["run"] == str(Path("runs/digits")) and told["test"]["samples"] == 359
    assert told["test accuracy"] == told["test"]["metrics"]["accuracy"] and told["best epoch"] in (1, 2)
    run = cr.load_run("runs/digits")
    assert isinstance(run.network.spec.layers[1], cr.LayerNorm) and run.network.spec.l1 == 0.01
    assert run.network.spec.loss.name == "cross_entropy(0.1)" and run.options["momentum"] == 0.9


@pytest.mark.usefixtures("in_folder")
def test_the_best_epoch_is_kept_and_quiet_is_a_line() -> None:
    X = np.linspace(-2, 2, 60)[:, None]
    y = np.sin(3 * X[:, 0]) + np.random.default_rng(0).normal(size=60)
    np.savez("t.npz", X=X, y=y)
    words = ("train", "t.npz", "-H", "8", "-r", 0.3, "--engine", "reference", "-e", 30, "--validation", 0.3, "-L")
    code, out, _ = call(*words, "quantile:0.9", "--out", "a", "-q")
    history = History.load_json("a/history.json")
    best = json.loads(Path("a/settings.json").read_text())["result"]["best epoch"]
    assert code == 0 and len(out.splitlines()) == 1 and out.startswith("test error")
    assert best == history.best().epoch < len(history) == 30
    out = call(*words, "abs(yhat-y)**1.5", "--out", "b")[1]
    best = History.load_json("b/history.json").best().epoch
    assert f"the best, epoch {best}, is kept, validation error" in out and "always the mean" in out


@pytest.mark.usefixtures("in_folder")
def test_a_cost_that_means_nothing_says_so() -> None:
    np.savez("t.npz", X=np.linspace(-2, 2, 40)[:, None], y=np.arange(40) % 2)
    code, _, err = call("train", "t.npz", *QUICK, "--learning-rate", 1e10)
    assert code == 0 and "such a training means nothing. Lower --learning-rate (1e+10)" in err
    assert call("train", "t.npz", *QUICK)[2] == ""


def test_a_word_while_something_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal alone, and gone when it is over."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with waiting("reading t.csv"):
        assert stream.getvalue() == ""
    monkeypatch.setattr(stream, "isatty", lambda: True)
    with waiting("reading t.csv", False):
        assert stream.getvalue() == ""
    with waiting("reading t.csv"):
        assert stream.getvalue() == "reading t.csv ...\r"
    assert stream.getvalue().endswith("\x1b[K")


def test_small_data_are_gone_through_more_often() -> None:
    assert default_epochs(108, 32) == 500 and default_epochs(1_294, 32) == 49
    assert (
        default_epochs(15_000, 32) == 40 and default_epochs(10**6, 32) == 10 and default_epochs(15_000, 10**6) == 2000
    )


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 100])
def test_help_can_be_read(width: int) -> None:
    """However narrow: no line is cut, an example in each, and no type of Python."""
    for path, command in COMMANDS.items():
        name = " ".join(("chainrule", *path))
        context = command.make_context(name, [], resilient_parsing=True, **SHORT)
        text = written(command, context, width)
        assert text.startswith(f"Usage: {name} [OPTIONS]") and "  -h, --help" in text
        assert not [noise for noise in ("<bool>", "<str>", "list[", "TEXT", "INTEGER") if noise in text], name
        assert "\n  chainrule " in text or path == ("names",), name
        longest = max(len(word) for word in text.split())
        assert max(map(len, text.splitlines())) <= max(width, 60, longest + 6), name


def test_examples_are_calls_that_there_are() -> None:
    for path, command in COMMANDS.items():
        for line in (command.epilog or "").strip().splitlines():
            words = shlex.split(line)
            assert words[: 1 + len(path)] == ["chainrule", *path], line
            command.make_context("chainrule", words[1 + len(path) :]).close()


def test_short_options_and_help_words() -> None:
    assert call("-h")[1] == call("--help")[1] == call("help")[1]
    assert call("train", "-h")[1] == call("help", "train")[1]
    code, out, _ = call("derive", "--inputs", 2, "-H", 3, "--outputs", 2, "-a", "z*sigmoid(z)", "-n", "column", "-w")
    assert code == 0 and "σ(Z" in out
    assert "0.9 V_W1 + dW1" in call("derive", "--inputs", 2, "-H", 3, "--outputs", 2, "--momentum", 0.9)[1]
    assert call("derive", "--lr", 0.1)[2] == "chainrule: There is no option --lr. Try 'chainrule derive --help'.\n"
    assert "[OPTIONS] [FOLDER ...]\n" in call("runs", "-h")[1] and "  FOLDER ..." in call("runs", "-h")[1]
    assert "--momentum goes with --optimizer NAME" in call("derive", "-O", "none", "--momentum", 0.9)[2]


def test_completion(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    monkeypatch.setenv(COMPLETING, "complete_bash")
    for words, offered in (
        ("train --activation re", "relu"),
        ("derive --loss hu", "huber"),
        ("tra", "train"),
        ("derive -F la", "latex"),
        ("derive --mean-at w", "weights"),
        ("derive -n ja", "javascript"),
    ):
        monkeypatch.setenv("COMP_WORDS", f"chainrule {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
        with pytest.raises(SystemExit):
            main([])
        assert offered in capsys.readouterr().out.split()
