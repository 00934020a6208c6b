"""chainrule derive with notations, reasons and numbers; chainrule check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.notation import notation_names

SMALL = ("--inputs", "4", "--hidden", "3", "--outputs", "2")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(w) for w in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    rows = [f"{a:.3f},{b:.3f},{c:.3f},{a - b:.3f}" for a, b, c in X]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["a,b,c,target", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("notation", notation_names())
def test_derive_in_every_notation(command: Any, notation: str) -> None:
    code, out, _ = command("derive", *SMALL, "--notation", notation, "--why")
    assert code == 0 and len(out.splitlines()) > 20


def test_derive_formats(command: Any) -> None:
    assert r"\frac{\partial \mathcal{L}}{\partial Z^{(2)}}" in command("derive", *SMALL, "--format", "latex")[1]
    assert "## Backward" in command("derive", *SMALL, "--format", "markdown", "--notation", "batch")[1]
    assert "<math" in command("derive", *SMALL, "--format", "mathml")[1]
    assert "(1/m) (A⁽²⁾ − Y)" in command("derive", *SMALL, "--mean-at", "cost")[1]


def test_derive_with_numbers(command: Any, table: Path) -> None:
    options = ("--hidden", "3", "--l2", "0.5", "--notation", "column", "--samples", "6")
    code, out, _ = command("derive", *options, "--with-numbers", table)
    assert code == 0 and out.startswith("m = 6\nλ = 0.5\ngradients by Z and A are those of the sum")
    lines = out.splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("    ∂J/∂W^[1] = "))
    assert lines[at + 1].startswith("        mean ") and "norm" in lines[at + 1]
    at = next(k for k, line in enumerate(lines) if line.startswith("    J = "))
    assert float(lines[at + 1]) > 0


def test_derive_and_check_a_saved_network(
    command: Any, tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert command("train", table, "--epochs", "1", "--hidden", "4", "--out", run)[0] == 0
    code, out, _ = command("derive", run, "--notation", "layer")
    assert code == 0 and "z₁ = W₀ a₀ + b₀" in out and "(4, 3)" in out
    code, out, _ = command("derive", run, "--with-numbers", table)
    assert code == 0 and "m = 8" in out
    code, out, _ = command("check", run, table)
    assert code == 0 and out.startswith("every gradient agrees")
    monkeypatch.chdir(tmp_path)  # a run may have its data's name
    assert command("train", "digits", "--epochs", "1", "--hidden", "4", "--out", "digits")[0] == 0
    code, out, _ = command("check", "digits", "digits")
    assert code == 0 and "dX    (8, 64)" in out
    code, out, _ = command("check", run / "model.safetensors")
    assert code == 0 and "dW2" in out


def test_check_of_options_and_of_data(command: Any, table: Path) -> None:
    code, out, _ = command("check", *SMALL, "--activation", "gelu", "--l2", "0.1", "--long")
    assert code == 0 and "dW1   (4, 3)" in out
    code, out, _ = command("check", table, "--hidden", "5", "--activation", "tanh")
    assert code == 0 and "dW1   (3, 5)" in out
    for loss, last in (("binary_cross_entropy", "sigmoid"), ("hinge", "identity"), ("poisson", "softplus")):
        assert command("check", *SMALL, "--loss", loss, "--output-activation", last)[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("derive", "--notation", "colunm"), "Unknown notation 'colunm'. Did you mean 'column'? Known: batch, column"),
        (("derive", "--format", "tex"), "Unknown format 'tex'."),
        (("derive", "--mean-at", "top"), "Known: cost, weights."),
        (("derive", "--with-numbers", "nowhere.csv"), "nowhere.csv: there is no such file"),
        (("derive", "--with-numbers", "digits", "--format", "latex"), "--with-numbers goes with the format unicode"),
        (("derive", "--with-numbers", "digits", "--long"), "neither --weighted nor --long"),
        (("derive", "--with-numbers", "digits", "--inputs", "5"), "--inputs must be 64 for the data digits"),
        (("check", "digits", "--outputs", "3"), "--outputs must be 10 for the data digits, or left out. Got 3"),
        (("derive", "nowhere.safetensors"), "there is no such model"),
        (("check", "nowhere"), "nowhere: there is no such file or folder"),
        (("check", "a.csv", "b.csv"), "at most one MODEL and one DATA"),
        (("check", "--samples", "0"), "--samples must be at least 1"),
        (("check", "--hidden", "x"), "--hidden must be positive whole numbers"),
    ],
)
def test_bad_input_is_one_clear_line(command: Any, words: tuple[str, ...], said: str) -> None:
    code, out, err = command(*words)
    assert code == 2 and out == "" and said in err and len(err.splitlines()) == 1


def test_a_wrong_gradient_is_exit_code_1(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = cr.Activation("tanh(z)", slope="1 - a")
    monkeypatch.setitem(cr.describe.activations.ACTIVATIONS, "tanh", wrong)  # type: ignore[attr-defined]
    code, out, _ = command("check", *SMALL, "--activation", "tanh")
    assert code == 1 and "WRONG" in out and "dZ1" in out
