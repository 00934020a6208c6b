"""First weights: what their measurement prints."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FILE = Path(__file__).parents[1] / "benchmarks" / "first_weights.py"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_of_first_weights", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_measurement(tmp_path: Path, capsys: pytest.CaptureFixture[str], benchmark: ModuleType) -> None:
    """A table of numbers and the digits, from three starts; read again it prints the same."""
    x = np.random.default_rng(0).normal(size=(60, 2))
    rows = "\n".join(f"{a},{b},{a - b * b}" for a, b in x)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "own.csv").write_text(f"a,b,target\n{rows}\n")
    record = tmp_path / "trainings.jsonl"
    words = ["--rows", "60", "--epochs", "2", "--depths", "1,2", "--activations", "sigmoid", "--rates", "0.01"]
    words += ["--data", str(tmp_path), "--initialisers", "orthogonal,scikit-learn,pytorch", "--json", str(record)]
    trainings = benchmark.main(words)
    printed = capsys.readouterr().out
    assert len(trainings) == 2 * 3 * 4 and {t.problem for t in trainings} == {"own", "digits"}
    assert all(np.isfinite(t.error) and t.error > 0 for t in trainings)
    assert "| all depths | orthogonal | scikit-learn | pytorch |" in printed and printed.count("| sigmoid |") == 3
    assert benchmark.main(["--read", str(record)]) == trainings
    assert capsys.readouterr().out.strip() == printed.strip().rsplit("\n", 1)[0].strip()
    with pytest.raises(SystemExit, match=r"no problem mine .* there are digits, own"):
        benchmark.main(["--data", str(tmp_path), "--problems", "mine"])


def test_ratios_are_of_the_same_training(benchmark: ModuleType) -> None:
    def training(initialiser: str, seed: int, error: float) -> object:
        return benchmark.Training("own", "relu", 1, 32, initialiser, 0.01, seed, error)

    pairs = [("he_normal", 0, 0.5), ("he_normal", 1, 4.0), ("orthogonal", 0, 1.0), ("orthogonal", 1, 0.5)]
    assert "| relu | 0.500 50 % |" in benchmark.tables([training(*pair) for pair in pairs])
