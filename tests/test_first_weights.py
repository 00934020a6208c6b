"""First weights: what is taken where nothing is said, what it is worth, and what the measurement of it prints."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.describe.activations import ACTIVATIONS

FILE = Path(__file__).parents[1] / "benchmarks" / "first_weights.py"
RECTIFIED = {"relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "mish"}
HE, GLOROT = 2 / 200, 2 / 500
"""Variances of 200 inputs and 300 outputs."""


def test_the_default_of_each_activation() -> None:
    own = {"selu": "lecun_normal"} | dict.fromkeys(("sigmoid", "hard_sigmoid", "softplus"), "he_normal")
    expected = dict.fromkeys(ACTIVATIONS, "glorot_uniform") | dict.fromkeys(RECTIFIED, "rectified") | own
    assert {name: g.initialiser for name, g in ACTIVATIONS.items()} == expected


def variance(weights: np.ndarray) -> Any:
    return pytest.approx(float(weights.var()), rel=0.03)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([cr.Dense(300, "relu")], GLOROT),
        ([cr.Dense(300, cr.leaky_relu(0.2))], GLOROT),
        ([cr.Dense(300, "selu")], 1 / 200),
        ([cr.Dense(300, "tanh")], GLOROT),
        ([cr.Dense(300, "sigmoid")], HE),
        ([cr.Dense(300), cr.BatchNorm("relu")], GLOROT),
        ([cr.Dropout(0.5), cr.Dense(300, "relu")], GLOROT),
        ([cr.Dense(300, "relu", weights="rectified")], GLOROT),
        ([cr.Dense(300, "relu", weights="he_normal")], HE),
        ([cr.Dense(300, cr.Activation("max(z, 0)", initialiser="he_normal"))], HE),
        ([cr.Dense(300, cr.Activation("max(z, 0)", initialiser="rectified"))], GLOROT),
        ([cr.Dense(300, weights=0.5)], 0.25),
    ],
)
def test_where_data_come_in(layers: list[Any], expected: float) -> None:
    net = cr.Network(200, [*layers, cr.Dense(1)], "squared_error", dtype="float64", seed=0)
    assert variance(net.parameters["W1"]) == expected
    assert not net.parameters["b1"].any()


@pytest.mark.parametrize(
    ("before", "layer", "expected"),
    [
        ([cr.Dense(200, "relu")], [cr.Dense(300, "relu")], HE),
        ([cr.Dense(200, "tanh")], [cr.Dense(300, "relu", weights="rectified")], HE),
        ([cr.Dense(200), cr.LayerNorm("gelu")], [cr.Dense(300), cr.Dropout(0.5), cr.LayerNorm("gelu")], HE),
        ([cr.Dense(200, "relu")], [cr.Dense(300)], GLOROT),
        ([cr.Dense(200, "relu")], [cr.Dense(300, "softmax")], GLOROT),
        ([cr.Dense(200)], [cr.Dense(300, "relu")], GLOROT),  # without an activation it is data still
    ],
)
def test_where_the_values_of_an_activation_come_in(before: list[Any], layer: list[Any], expected: float) -> None:
    net = cr.Network(20, [*before, *layer, cr.Dense(1)], "squared_error", dtype="float64", seed=0)
    assert variance(net.parameters["W2"]) == expected


def test_tokens_are_data() -> None:
    net = cr.Network(4, [cr.Embedding(9, 50), cr.Dense(300, "relu"), cr.Dense(1)], "squared_error", seed=0)
    assert variance(net.parameters["W1"]) == GLOROT


def test_a_network_made_again_begins_alike(tmp_path: Path) -> None:
    own = cr.Activation("max(z, 0) + 0.1 * z", name="own", initialiser="rectified")
    net = cr.Network(9, [cr.Dense(8, own), cr.Dense(7, own), cr.Dense(1)], "squared_error", seed=4)
    net.save(tmp_path / "net.safetensors")
    again = cr.Network.from_spec(cr.Network.load(tmp_path / "net.safetensors").spec, seed=4)
    assert all(again.parameters[name].tobytes() == array.tobytes() for name, array in net.parameters.items())


def test_a_small_table_is_learned_better_than_with_he() -> None:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(2500, 6))
    y = 2 * X[:, :1] + np.sin(2 * X[:, 1:2]) + X[:, 2:3] * X[:, 3:4] + 0.1 * rng.normal(size=(2500, 1))
    y /= y.std()

    def error(weights: str | None, seed: int) -> float:
        net = cr.Network(6, [cr.Dense(256, "relu", weights=weights), cr.Dense(1)], "squared_error", seed=seed)
        net.fit(X[:1500], y[:1500], epochs=20, batch_size=32, verbose=False)
        return net.evaluate(X[1500:], y[1500:])[2]

    assert sum(error(None, seed) for seed in range(2)) < 0.75 * sum(error("he_normal", seed) for seed in range(2))


@pytest.mark.parametrize("activation", sorted(RECTIFIED))
def test_deep_networks_pass_their_inputs_on(activation: str) -> None:
    """Through 16 layers the spread of what comes out stays in sight; with glorot_uniform all the way it does not."""

    def spread(weights: str | None) -> float:
        layers = [cr.Dense(64, activation, weights=weights) for _ in range(16)]
        net = cr.Network(64, [*layers, cr.Dense(1, weights=0.125)], "squared_error", seed=1, dtype="float64")
        return float(net.predict(np.random.default_rng(2).normal(size=(200, 64))).std())

    assert spread(None) > 10 * spread("glorot_uniform")
    assert spread(None) > 0.1 * spread("he_normal")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_of_first_weights", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
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
