"""Several workers end with the network that one ends with: the same bits, whatever the network and their number."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr

sys.path.append(str(Path(__file__).parent))
from group_threads import together

SAMPLES, FEATURES, CLASSES = 310, 9, 4
RNG = np.random.default_rng(3)
X = RNG.normal(size=(SAMPLES, FEATURES)).astype(np.float32)
Y = RNG.integers(0, CLASSES, SAMPLES)
WEIGHTS = RNG.random(SAMPLES).astype(np.float32)
OPTIMIZERS = {"sgd": cr.SGD(0.1, momentum=0.9), "adam": cr.Adam(0.01)}
NETWORKS: dict[str, list[Any]] = {
    "plain": [cr.Dense(7, "relu"), cr.Dense(CLASSES, "softmax")],
    "dropout": [cr.Dense(7, "relu"), cr.Dropout(0.3), cr.Dense(CLASSES, "softmax")],
    "batch normalisation": [cr.Dense(7, bias=False), cr.BatchNorm(), cr.Dense(CLASSES, "softmax")],
}


def fitted(group: Any, layers: list[Any], engine: str, seed: int = 5, **options: Any) -> dict[str, np.ndarray]:
    """The parameters, state and costs after a fit."""
    net = cr.Network(FEATURES, layers, loss="cross_entropy", l2=0.01, seed=seed, engine=engine)
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 128, "optimizer": OPTIMIZERS["adam"], "verbose": False}
    history = net.fit(X, Y, **{**settings, **options}, group=group)
    costs = [value for record in history for value in (record.cost, record.validation_cost or 0.0)]
    return {**net.parameters, **net.state, "costs": np.array(costs)}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Exception) or isinstance(other, Exception):
        raise AssertionError(f"{one!r}\n{other!r}")
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("network", NETWORKS)
def test_any_number_of_workers_gives_the_same_bits(network: str, engine: str) -> None:
    options = {"optimizer": cr.Adam(0.01, clip_norm=0.5), "validation_data": (X[:50], Y[:50])}
    ends = [
        end
        for workers in (1, 2, 3, 4)
        for end in together(workers, lambda group: fitted(group, NETWORKS[network], engine, **options))
    ]
    assert all(same(ends[0], end) for end in ends[1:])


@pytest.mark.long
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [100, 300, 512])
def test_many_numbers_of_workers(network: str, engine: str, optimizer: str, weighted: bool, batch_size: int) -> None:
    options = {"optimizer": OPTIMIZERS[optimizer], "batch_size": batch_size}
    options["sample_weight"] = WEIGHTS if weighted else None
    most = min(batch_size, SAMPLES) // 32
    ends = [
        end
        for workers in sorted({1, 2, 3, most // 2 + 1, most})
        for end in together(workers, lambda group: fitted(group, NETWORKS[network], engine, **options))
    ]
    assert all(same(ends[0], end) for end in ends[1:])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("network", ["plain", "batch normalisation"])
def test_it_is_the_fit_without_a_group_but_for_rounding(network: str, weighted: bool) -> None:
    """The same batches in the same order; only their sums are added up in another one."""
    options = {"sample_weight": WEIGHTS if weighted else None, "optimizer": OPTIMIZERS["sgd"]}
    alone = fitted(None, NETWORKS[network], "reference", **options)
    (shared,) = together(1, lambda group: fitted(group, NETWORKS[network], "reference", **options))
    for name, expected in alone.items():
        np.testing.assert_allclose(shared[name], expected, rtol=2e-4, atol=2e-5, err_msg=name)


def test_first_weights_are_those_of_worker_0() -> None:
    ends = together(2, lambda group: fitted(group, NETWORKS["plain"], "reference", seed=group.rank))
    assert same(*ends)
    assert same(ends[0], together(1, lambda group: fitted(group, NETWORKS["plain"], "reference", seed=0))[0])
