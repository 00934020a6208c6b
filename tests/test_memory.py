"""What calls take beside their results: batches are run in chunks, and values go when nothing needs them any more."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr

MEGABYTE = 2**20
ROWS, INPUTS, WIDTH = 20_000, 20, 256
LAYER = ROWS * WIDTH * 4
"""Bytes of the values of a hidden layer for all samples."""


def taken(call: Callable[[], object]) -> int:
    """Bytes at the most during the call, its results among them; what is made only once is there before."""
    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(ROWS, INPUTS)).astype(np.float32), rng.integers(0, 4, ROWS)


@pytest.fixture(scope="module")
def compiled() -> cr.Network:
    layers = [cr.Dense(WIDTH, "tanh"), cr.Dense(WIDTH, "relu"), cr.Dense(4, "softmax")]
    return cr.Network(INPUTS, layers, "cross_entropy", engine="compiled")


CALLS: dict[str, tuple[Callable[..., object], int]] = {
    "predict": (lambda net, X, y: net.predict(X), ROWS * 4 * 4),
    "cost": (lambda net, X, y: net.cost(X, y), 0),
    "evaluate": (lambda net, X, y: net.evaluate(X, y), ROWS * (4 * 4 + 8)),
    "gradients": (lambda net, X, y: net.gradients(X, y), ROWS * INPUTS * 4),
    "cost_and_gradients": (lambda net, X, y: net.cost_and_gradients(X, y), 0),
}
"""Calls, and the bytes of their results that there are for each sample."""


@pytest.mark.parametrize("call", CALLS)
def test_the_compiled_engine_takes_a_few_megabytes_beside_the_results(
    call: str, compiled: cr.Network, data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_PROCESSORS", "2")  # each thread has a place for the values of its chunk
    run, results = CALLS[call]
    assert taken(lambda: run(compiled, *data)) < results + 4 * MEGABYTE < LAYER


@pytest.mark.parametrize("call", ["predict", "cost"])
def test_the_reference_engine_lets_go_of_values_after_their_last_use(
    call: str, data: tuple[np.ndarray, np.ndarray]
) -> None:
    layers = [*(cr.Dense(WIDTH, "tanh") for _ in range(10)), cr.Dense(4, "softmax")]
    net = cr.Network(INPUTS, layers, "cross_entropy", engine="reference")
    X, y = data[0][:2000], data[1][:2000]
    assert taken(lambda: CALLS[call][0](net, X, y)) < 4 * LAYER / 10 + MEGABYTE


def test_and_of_what_a_step_of_training_has_used(data: tuple[np.ndarray, np.ndarray]) -> None:
    layers = [*(cr.Dense(WIDTH, "tanh") for _ in range(8)), cr.Dense(4, "softmax")]
    net = cr.Network(INPUTS, layers, "cross_entropy", engine="reference")
    X, y = data[0][:2000], data[1][:2000]
    weights = 9 * WIDTH * WIDTH * 4
    needed = taken(lambda: net.fit(X, y, epochs=1, batch_size=2000, optimizer="sgd", verbose=False))
    assert needed < (8 + 5) * LAYER / 10 + 4 * weights
