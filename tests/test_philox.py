"""The counted random bits behind dropout: Random123's known answers, and masks as a network draws them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.philox import random_words

KNOWN = [
    # counter, key, words: philox4x32-10 of Random123's kat_vectors
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox 4x32-10 of one counter, in Python's whole numbers, after Salmon et al. 2011."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_plain_form_gives_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    assert philox(counter, key) == words


def test_the_first_known_answer_directly() -> None:
    assert random_words(0, 0, 0, 1, 4).tolist() == [list(KNOWN[0][2])]


@pytest.mark.parametrize(
    ("seed", "step", "stream", "rows", "columns"),
    [(0, 1, 0, 3, 5), (2**64 - 1, 2**32 - 1, 2, 2, 8), (0x0123456789ABCDEF, 77, 1, 5, 1), (12345, 2**20, 0, 4, 9)],
)
def test_words_are_counted_by_row_block_step_and_stream(
    seed: int, step: int, stream: int, rows: int, columns: int
) -> None:
    words = random_words(seed, step, stream, rows, columns)
    assert words.shape == (rows, columns)
    key = (seed % 2**32, seed >> 32)
    for i in range(rows):
        for j in range(columns):
            assert words[i, j] == philox((i, j // 4, step, stream), key)[j % 4]


def masks(rate: float, *, engine: str, step: int = 1, seed: int = 0, m: int = 400, n: int = 50) -> np.ndarray:
    """The factors 0 or 1 / (1 - rate) of an input dropout, read off the gradient of Σ D."""
    net = cr.Network(n, [cr.Dropout(rate), cr.Dense(n, bias=False)], cr.Cost("sum(yhat)"), dtype="float64", seed=seed,
                     engine=engine)  # fmt: skip
    net.parameters["W1"][...] = np.eye(n)
    return net.gradients(np.ones((m, n)), np.zeros((m, n)), training=True, step=step)["X"]


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
def test_the_share_kept_is_one_minus_the_rate(rate: float, engine: str) -> None:
    factors = masks(rate, engine=engine)
    assert set(np.unique(factors)) == {0.0, 1 / (1 - rate)}
    deviation = math.sqrt(rate * (1 - rate) / factors.size)
    assert abs((factors > 0).mean() - (1 - rate)) < 4 * deviation
    for axis in (0, 1):  # no row and no column is favoured
        shares = (factors > 0).mean(axis=axis)
        assert np.abs(shares - (1 - rate)).max() < 6 * math.sqrt(rate * (1 - rate) / factors.shape[axis])


def test_a_mask_belongs_to_its_step_seed_row_and_layer(engine: str) -> None:
    first = masks(0.5, engine=engine)
    np.testing.assert_array_equal(masks(0.5, engine=engine), first)
    np.testing.assert_array_equal(masks(0.5, engine=engine, m=7), first[:7])
    for other in (masks(0.5, engine=engine, step=2), masks(0.5, engine=engine, seed=1)):
        assert 0.45 < (other != first).mean() < 0.55
    net = cr.Network(40, [cr.Dropout(0.5), cr.Dropout(0.5), cr.Dense(1, bias=False)], cr.Cost("sum(yhat)"),
                     dtype="float64", engine=engine)  # fmt: skip
    net.parameters["W1"][...] = 1
    both = net.gradients(np.ones((500, 40)), np.zeros(500), training=True)["X"]
    assert abs((both > 0).mean() - 0.25) < 0.02, "two dropouts drew the same mask"
