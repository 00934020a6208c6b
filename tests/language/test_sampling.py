"""Sampling, against the exact distribution of tiny models."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chisquare

from chainrule.errors import DataError
from chainrule.language import CharacterModel, Vocabulary
from chainrule.language.sampling import draw, weights

LONGEST = 4


@pytest.fixture(scope="module")
def tiny() -> CharacterModel:
    """Three characters, a context of two, weights as they were drawn: far from uniform, and never trained."""
    return CharacterModel(2, 3, (5,), vocabulary=Vocabulary(("a", "b", "c")), calm=False, seed=4)


def exact(
    model: CharacterModel, prefix: str = "", temperature: float = 1.0, top_k: int | None = None
) -> dict[str, float]:
    """The probability of every name of up to LONGEST characters, by multiplying along each."""

    def following(text: str) -> dict[str, float]:
        P = model.predict_next(text)
        if text == "":
            P[""] = 0.0
        best = sorted(P, key=lambda symbol: -P[symbol])[:top_k]
        raised = {symbol: P[symbol] ** (1 / temperature) for symbol in best}
        return {symbol: value / sum(raised.values()) for symbol, value in raised.items()}

    found: dict[str, float] = {}
    for length in range(LONGEST - len(prefix) + 1):
        for letters in itertools.product("abc", repeat=length):
            p, text = 1.0, prefix
            for letter in letters:
                p *= following(text).get(letter, 0.0)
                text += letter
            found[text] = p * (following(text).get("", 0.0) if len(text) < LONGEST else 1.0)
    return {text: p for text, p in found.items() if p > 0}


@pytest.mark.parametrize(
    ("prefix", "temperature", "top_k"),
    [("", 1.0, None), ("", 0.5, None), ("", 2.0, None), ("b", 1.0, None), ("", 1.0, 2), ("ca", 0.7, 3), ("", 1.0, 99)],
)
def test_the_exact_distribution(tiny: CharacterModel, prefix: str, temperature: float, top_k: int | None) -> None:
    probabilities = exact(tiny, prefix, temperature, top_k)
    assert sum(probabilities.values()) == pytest.approx(1)
    n = 40_000
    drawn = tiny.sample(n, prefix=prefix, temperature=temperature, top_k=top_k, seed=1, longest=LONGEST)
    counts = Counter(drawn)
    assert set(counts) <= set(probabilities)
    # What is expected fewer than five times is taken together: the chi-square distribution needs that.
    frequent = [text for text, p in probabilities.items() if n * p >= 5]
    observed = [counts[text] for text in frequent]
    wanted = [n * probabilities[text] for text in frequent]
    rest = n - sum(wanted)
    if rest > 1e-6:
        observed, wanted = [*observed, n - sum(observed)], [*wanted, rest]
    assert len(observed) > 5 and chisquare(observed, wanted).pvalue > 0.01


def test_a_wrong_distribution_is_told(tiny: CharacterModel) -> None:
    """The check above can fail: a little warmer is noticed."""
    probabilities = exact(tiny)
    counts = Counter(tiny.sample(40_000, temperature=1.1, seed=1, longest=LONGEST))
    frequent = [text for text, p in probabilities.items() if 40_000 * p >= 5]
    observed = np.array([counts[text] for text in frequent], float)
    wanted = np.array([probabilities[text] for text in frequent])
    assert chisquare(observed, wanted / wanted.sum() * observed.sum()).pvalue < 1e-6


def test_the_seed(tiny: CharacterModel) -> None:
    assert tiny.sample(50, seed=3) == tiny.sample(50, seed=3) != tiny.sample(50, seed=4)
    assert tiny.sample(50) != tiny.sample(50)


def test_every_name_begins_with_the_prefix(tiny: CharacterModel) -> None:
    drawn = tiny.sample(200, prefix="abcab", seed=0)
    assert all(name.startswith("abcab") for name in drawn) and len(set(map(len, drawn))) > 3
    assert tiny.sample(3, prefix="abcab", longest=2) == ["abcab"] * 3
    assert all(1 <= len(name) <= 3 for name in tiny.sample(500, longest=3, seed=0))


def test_names_of_any_length() -> None:
    """None ends: the end has next to no probability."""
    model = CharacterModel(2, 3, (), vocabulary=Vocabulary(tuple("ab")))
    model.network.parameters["b1"][:] = [-90, 0, 0]
    for longest in (1, 31, 32, 33, 64, 65, 200):
        drawn = model.sample(20, longest=longest, seed=0)
        assert {len(name) for name in drawn} == {longest} and all(set(name) <= set("ab") for name in drawn)
    assert {name[:40] for name in drawn} == {name[:40] for name in model.sample(20, longest=40, seed=0)}


def test_shared_contexts_are_predicted_once(tiny: CharacterModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    predict = tiny.network.predict

    def counted(X: NDArray[np.int64]) -> NDArray[np.float32]:
        sizes.append(len(X))
        assert len(np.unique(X, axis=0)) == len(X)
        return predict(X)

    monkeypatch.setattr(tiny.network, "predict", counted)
    assert len(tiny.sample(5_000, seed=0)) == 5_000
    assert sizes[:3] == [1, 3, 9] and max(sizes) == 9


def test_a_long_context() -> None:
    """Too many contexts for a number each: they are predicted as they are."""
    model = CharacterModel(40, 2, (3,), vocabulary=Vocabulary(tuple("abcdefgh")))
    drawn = model.sample(100, seed=0, longest=60)
    assert len(set(drawn)) > 80 and max(map(len, drawn)) > 30


class TestWeights:
    P = np.array([[0.5, 0.25, 0.25, 0.0], [0.1, 0.2, 0.3, 0.4]])

    def test_temperature(self) -> None:
        np.testing.assert_allclose(weights(self.P), self.P / self.P.max(axis=1, keepdims=True))
        np.testing.assert_allclose(weights(self.P, 0.5)[0], [1, 0.25, 0.25, 0])
        np.testing.assert_allclose(weights(self.P, 1e-300), [[1, 0, 0, 0], [0, 0, 0, 1]])
        np.testing.assert_allclose(weights(self.P, 1e300), [[1, 1, 1, 0], [1, 1, 1, 1]])

    def test_top_k(self) -> None:
        np.testing.assert_array_equal(weights(self.P, 1, 2) > 0, [[1, 1, 0, 0], [0, 0, 1, 1]])
        np.testing.assert_array_equal(weights(self.P, 1, 9) > 0, self.P > 0)

    def test_what_has_no_weight_is_never_drawn(self) -> None:
        class Largest:
            def random(self, n: int) -> NDArray[np.float64]:
                return np.full(n, 1 - 2**-53)

        cumulative = np.array([[0.0, 0.1, 0.1], [0.0, 3.0, 3.0], [1e-300, 1e-300, 1e-300]])
        assert draw(cumulative, Largest()).tolist() == [1, 1, 0]  # type: ignore[arg-type]
        assert draw(cumulative[:2], np.random.default_rng(0)).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": 0}, "number of samples must be a positive whole number. Got 0"),
        ({"n": 2.0}, "number of samples"),
        ({"temperature": 0}, "temperature must be a finite number above 0. Got 0"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": 0}, "top_k must be"),
        ({"longest": 0}, "greatest length must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 1.5}, "seed must be"),
        ({"prefix": "xa"}, "Unknown character 'x'"),
        ({"prefix": 3}, "must be a text. Got 3"),
    ],
)
def test_what_it_refuses(tiny: CharacterModel, settings: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        tiny.sample(**settings)  # type: ignore[arg-type]


def test_an_unknown_prefix_may_be_mapped(tiny: CharacterModel) -> None:
    assert all(name.startswith("ab") for name in tiny.sample(20, prefix="aß", unknown="b", seed=0))
