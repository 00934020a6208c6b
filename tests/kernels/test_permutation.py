"""Permutations by machine code: NumPy's own, number for number."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.llvm import permutation as module
from chainrule.engines.llvm.permutation import FEWEST, permute


def made(seed: int, count: int) -> np.ndarray:
    out = np.full(count, -1, np.int64)
    permute(np.random.default_rng((seed, 1)), out)
    return out


@pytest.mark.parametrize("count", [FEWEST - 1, FEWEST, FEWEST + 1, 16_384, 16_385, 40_000, 65_536, 65_537])
def test_the_same_as_numpy(count: int) -> None:
    for seed in range(4):
        theirs = np.random.default_rng((seed, 1)).permutation(count)
        np.testing.assert_array_equal(made(seed, count), theirs)


def test_of_few_numbers_and_of_few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the words that were drawn do not suffice, and more are drawn."""
    shuffled = module._shuffled()
    assert shuffled is not None
    for words in (module._words, lambda place: 3):
        monkeypatch.setattr(module, "_words", words)
        for count in (0, 1, 2, 3, 4, 5, 31, 32, 33, 1000):
            theirs = np.random.default_rng(count).permutation(count)
            ours = np.full(count, -1, np.int64)
            shuffled(np.random.default_rng(count), ours)
            np.testing.assert_array_equal(ours, theirs)


def test_numpy_is_asked_where_it_makes_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Shuffled, "__call__", lambda self, generator, out: out.fill(0))
    module._shuffled.cache_clear()
    try:
        np.testing.assert_array_equal(made(3, FEWEST), np.random.default_rng((3, 1)).permutation(FEWEST))
    finally:
        module._shuffled.cache_clear()


def test_both_engines_take_the_same_orders() -> None:
    """Epochs whose orders are drawn ahead, several at a time, or by machine code: those of the reference engine."""
    X = np.random.default_rng(0).normal(size=(FEWEST, 2)).astype(np.float32)
    y = (X[:, 0] > X[:, 1]).astype(np.int64)
    ends = []
    for engine in ("reference", "compiled"):
        net = cr.Network(2, [cr.Dense(2, "softmax")], "cross_entropy", seed=1, engine=engine)
        history = net.fit(X, y, epochs=5, batch_size=1000, optimizer=cr.SGD(0.5), verbose=False)
        ends.append([r.cost for r in history])
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)
