"""The examples run, and what they print shows that the networks learned."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"


@pytest.fixture
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the example that the test is for."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, request.param, raising=False)
    return importlib.import_module(request.param)


def of(name: str) -> pytest.MarkDecorator:
    """Says which example a test is for."""
    return pytest.mark.parametrize("example", [name], indirect=True)


def numbers(text: str, pattern: str) -> list[float]:
    """The groups of the pattern's one match, as numbers."""
    found = re.search(pattern, text)
    assert found is not None, f"{pattern!r} is not in:\n{text}"
    return [float(group) for group in found.groups()]


@of("digits")
def test_digits(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=15)
    out = capsys.readouterr().out
    assert "dZ2 = (A2 - Y) / m" in out and "dZ1 = dA1 A1 (1 - A1)" in out
    (accuracy,) = numbers(out, r"which digit: .* accuracy (\S+)")
    assert accuracy > 0.9
    accuracy, always_no = numbers(out, r"is it an 8: .* accuracy (\S+) \(always saying no: (\S+)\)")
    assert accuracy > always_no + 0.02


@of("regularised")
def test_regularised(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=40)
    out = capsys.readouterr().out
    assert "+ 0.5 (norm2_W1 + norm2_W2 + norm2_W3 + norm2_W4) / m" in out
    assert "dW2 = A1ᵀ dZ2 + W2 / m" in out and not re.search(r"db\d = .*[bW]\d / m", out)
    table = [[float(cell) for cell in line.split()] for line in out.split("accuracy\n")[1].splitlines()]
    strengths, costs, penalties, squares, test_costs, accuracies = np.array(table).T
    assert list(strengths) == [0, 0.1, 1] and penalties[0] == 0
    np.testing.assert_allclose(penalties, strengths / (2 * 398) * squares, atol=1e-4)
    assert (np.diff(squares) < 0).all() and (np.diff(costs) > 0).all()
    assert accuracies.min() > 0.94 and test_costs.max() < 0.2


@of("least_squares")
def test_least_squares(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(steps=300)
    out = capsys.readouterr().out
    assert "dZ2 = 2 (Z2 - Y)" in out and "W1 := W1 - lr dW1" in out and "b1" not in out
    for name in ("W1", "W2"):
        (apart,) = numbers(out, rf"{name}: 331 single .* relative difference (\S+)")
        assert apart < 1e-12
    (before,) = numbers(out, r"E before: (\S+) ")
    (after,) = numbers(out, r"E after 300 steps: (\S+),")
    assert after < before / 3
    test, mean_alone = numbers(out, r"test error (\S+) each \(the mean alone: (\S+)\)")
    assert test < 0.7 * mean_alone


@of("general")
def test_general(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=60)
    out = capsys.readouterr().out
    (apart,) = numbers(out, r"beside db1: (\S+) apart")
    assert apart < 1e-9
    before, after, accuracy = numbers(out, r"test cost (\S+) before, (\S+) after; test accuracy (\S+)")
    assert after < before / 3 and accuracy > 0.9


@of("residual")
def test_residual(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=8, blocks=4, width=24)
    out = capsys.readouterr().out
    assert "one block: U3 = Z1 + Z3" in out
    chain, residual = (numbers(out, rf"{name}: .* accuracy (\S+)")[0] for name in ("chain", "residual"))
    assert residual > 0.9 and residual > chain


@of("two_outputs")
def test_two_outputs(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=80)
    out = capsys.readouterr().out
    assert "J = (S_grower + 0.5 S_alcohol) / m + 0.05" in out and "every gradient agrees" in out
    accuracy, r2 = numbers(out, r"grower: accuracy (\S+); alcohol: R² (\S+)")
    assert accuracy > 0.85 and r2 > 0.3


@of("predicted_variance")
def test_predicted_variance(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=60)
    out = capsys.readouterr().out
    assert "dZ3 = exp(-Z2) (Z3 - Y) / m" in out and "every gradient agrees" in out
    (left,), (right,) = (numbers(out, rf"x {x}: .* deviation (\S+) ") for x in ("-0.8", "0.8"))
    assert left < 0.15 and 0.33 < right < 0.5


@of("own_layer")
def test_own_layer(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=40)
    out = capsys.readouterr().out
    assert "da1 = Σ dF1 (tanh(s1 Z1) - Z1)   over i" in out and "every gradient agrees" in out
    low, high, before, after = numbers(out, r"a from (\S+) to (\S+); test error (\S+) before, (\S+) after")
    assert low < 0.4 < 0.6 < high and after < 0.8 < before


@of("tied_autoencoder")
def test_tied_autoencoder(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=15)
    out = capsys.readouterr().out
    assert "dW1 = Xᵀ dZ1 + dZ2ᵀ A1" in out
    tied, error = numbers(out, r"tied: (\d+) parameters, test error (\S+)")
    apart, _ = numbers(out, r"apart: (\d+) parameters, test error (\S+)")
    assert apart - tied == 8 * 64 and error < 0.22


@of("table")
def test_table(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=40)
    out = capsys.readouterr().out
    assert "X_kindsE_2 = rows of E_2 at X_kinds[column 1]" in out
    error, mean = numbers(out, r"test error (\S+), that of the mean (\S+)")
    assert error < 0.85 * mean


@of("ensemble")
def test_ensemble(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(epochs=40, seeds=2)
    out = capsys.readouterr().out
    assert "P2 = (R2 W2 in each of 16 groups)" in out
    alone, together = (numbers(out, rf"{name}: .* test error (\S+) ±")[0] for name in ("one network", "16 members"))
    assert together < alone < 1


@of("names")
def test_names(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main()
    out = capsys.readouterr().out
    assert "dZ2 = A2 - Y " in out and "dE = dX0 added into rows X" in out
    assert numbers(out, r"(\d+) names") == [len(set(example.NAMES))] and len(example.NAMES) >= 200
    any_letter, by_frequency, network = numbers(out, r"letter (\S+), by frequency (\S+), this network (\S+)")
    assert network < by_frequency - 0.2 and by_frequency < any_letter
    (new,) = re.findall("new names: (.*)", out)
    assert len(set(new.split(", "))) > 5


@of("names")
def test_names_from_a_file(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "names.txt").write_text("\n".join(["anna", "hannah", "joanna", "susanna", "marianna"] * 20))
    example.main(str(tmp_path / "names.txt"), epochs=10)
    any_letter, _, network = numbers(capsys.readouterr().out, r"letter (\S+), by frequency (\S+), this network (\S+)")
    assert network < any_letter / 2


# Those for scikit-learn are run by tests/estimators/test_scripts.py, with both imports.
OURS = [path for path in sorted(EXAMPLES.glob("*.py")) if not path.stem.startswith("sklearn_")]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_each_has_a_test_and_says_how_to_run_it(path: Path) -> None:
    assert f'@of("{path.stem}")' in Path(__file__).read_text(encoding="utf-8")
    assert f"python examples/{path.name}" in path.read_text(encoding="utf-8")


def test_one_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "general.py"], capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "test accuracy 0.9" in done.stdout.splitlines()[-1]


@pytest.mark.long
@pytest.mark.skipif(not MNIST.is_dir(), reason="the folder ../shared/data/mnist is not here")
@of("digits")
def test_digits_of_mnist(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(str(MNIST), epochs=8)
    out = capsys.readouterr().out
    (accuracy,) = numbers(out, r"which digit: .* accuracy (\S+)")
    assert accuracy > 0.975
    (accuracy,) = numbers(out, r"is it an 8: .* accuracy (\S+) ")
    assert accuracy > 0.99
