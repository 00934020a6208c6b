"""CharacterModel: learning, scoring, keeping."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.describe.layers import BatchNorm, Dense, Dropout, LayerNorm
from chainrule.describe.optimizers import SGD, Adam
from chainrule.errors import DataError, SpecError
from chainrule.language import PRESETS, CharacterModel, Preset, Vocabulary, load_names, preset, split_names
from chainrule.network import Network

REAL = Path(__file__).parents[3] / "shared" / "data" / "names.txt"
needs_real_data = pytest.mark.skipif(not REAL.is_file(), reason="the file ../shared/data/names.txt is not here")
NAMES = ["ana", "anna", "hanna", "jana", "nana", "johan", "jon", "joan", "hal", "alan", "lana", "noah"] * 5


@pytest.fixture(scope="module")
def learned() -> CharacterModel:
    model = CharacterModel(3, 8, (32,), seed=1)
    return model.fit(NAMES, validation=NAMES[:12], epochs=30, batch_size=8, optimizer=Adam(0.01), verbose=False)


class TestLearning:
    def test_it_spells(self, learned: CharacterModel) -> None:
        assert learned.score(NAMES).per_character < 0.75 < learned.score(["nnn", "aaj"]).per_character
        drawn = learned.sample(200, seed=0)
        assert sum(name in NAMES for name in drawn) > 120 and len(set(drawn)) > 12
        assert set("".join(drawn)) <= set("ahjlno")

    def test_the_history(self, learned: CharacterModel) -> None:
        assert learned.history is not None and len(learned.history) == 30
        assert learned.history[-1].validation_cost == pytest.approx(learned.score(NAMES[:12]).per_character, rel=1e-5)

    def test_the_classic_by_default(self) -> None:
        model = CharacterModel(seed=0).fit(["emma", "ava"], epochs=2, verbose=False)
        assert model.embedding_.shape == (5, 10)
        assert [a.shape for name, a in model.network.parameters.items() if name[0] == "W"] == [(30, 200), (200, 5)]
        assert model.history is not None and model.history.column("learning_rate").tolist() == pytest.approx(
            [0.1, 0.01]
        )

    def test_a_calm_softmax(self) -> None:
        vocabulary = Vocabulary(tuple("abcdefg"))
        calm, wild = (CharacterModel(vocabulary=vocabulary, calm=calm) for calm in (True, False))
        assert calm.score(["abc"]).per_character == pytest.approx(math.log(8), abs=0.2)
        assert np.ptp(calm.next_probabilities(["ab"])) < 0.2 * np.ptp(wild.next_probabilities(["ab"]))

    def test_a_second_fit_goes_on(self) -> None:
        model = CharacterModel(2, 4, (8,)).fit(NAMES, epochs=2, verbose=False)
        before = model.network
        model.fit(NAMES, epochs=2, optimizer=SGD(0.01), verbose=False)
        assert model.network is before and model.history is not None and len(model.history) == 2
        with pytest.raises(DataError, match="Unknown characters 'z', 'e'"):
            model.fit(["zoe"], epochs=1)

    def test_characters_of_the_validation_are_known(self) -> None:
        model = CharacterModel(2, 4, (8,)).fit(["ab"], validation=["xy"], epochs=1, verbose=False)
        assert model.vocabulary.characters == tuple("abxy")

    def test_the_layers(self) -> None:
        def kinds(**settings: Any) -> list[type]:
            model = CharacterModel(2, 4, (8, 6), "gelu", vocabulary=Vocabulary(("a", "b")), **settings)
            return [type(layer) for layer in model.network.spec.layers[1:]]

        assert kinds() == [Dense] * 3
        assert kinds(normalisation="layer", dropout=0.5) == [Dense, LayerNorm, Dropout] * 2 + [Dense]
        assert kinds(normalisation="batch") == [Dense, BatchNorm] * 2 + [Dense]
        assert kinds(embedding_dropout=0.5) == [Dropout, Dense, Dense, Dense]

    def test_no_step_towards_a_single_character(self) -> None:
        """9 windows in batches of 8: the ninth is not a batch of its own, its cost would not be a mean of 8."""
        model = CharacterModel(2, 3, (4,), dtype="float64").fit(["abba", "abb"], epochs=1, batch_size=8, verbose=False)
        assert model.network.history is not None
        X, y = model.windows(["abba", "abb"])
        assert len(y) == 9
        other = CharacterModel(2, 3, (4,), dtype="float64", vocabulary=model.vocabulary)
        filled = np.r_[np.arange(9), np.arange(7)]
        other.network.fit(X[filled], y[filled], epochs=1, batch_size=8, optimizer=SGD(0.1), verbose=False)
        np.testing.assert_array_equal(model.embedding_, other.embedding_)

    def test_averaged_weights(self) -> None:
        def embedding(**settings: Any) -> np.ndarray:
            model = CharacterModel(2, 3, (4,), dtype="float64")
            return model.fit(NAMES, optimizer=SGD(0.1), verbose=False, **settings).embedding_

        np.testing.assert_allclose(
            embedding(epochs=3, average=2), (embedding(epochs=2) + embedding(epochs=3)) / 2, rtol=1e-12
        )

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"context": 0}, "context must be a positive whole number. Got 0"),
            ({"context": 2.5}, "context must be a positive whole number"),
            ({"embedding": 0}, "embedding must be a positive whole number"),
            ({"hidden": (0,)}, "units must be a positive whole number"),
            ({"hidden": 200}, "hidden must be the widths"),
            ({"activation": "tan"}, "Did you mean 'tanh'"),
            ({"dropout": 1.0}, "rate must be at least 0 and less than 1"),
            ({"normalisation": "group"}, "normalisation must be 'layer', 'batch' or None"),
            ({"dtype": "int8"}, "dtype must be"),
            ({"seed": -1}, "seed must be"),
            ({"vocabulary": "abc"}, "vocabulary must be a Vocabulary"),
            ({"context": 0, "embedding": 0, "hidden": 3}, "(?s)context must.*embedding must.*hidden must"),
        ],
    )
    def test_settings_that_cannot_be(self, settings: dict[str, Any], words: str) -> None:
        with pytest.raises(SpecError, match=words):
            CharacterModel(**settings)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"names": []}, "no names to learn from"),
            ({"names": ["ab"], "validation": []}, "no names to validate on"),
            ({"names": ["aaa"]}, "single character 'a'"),
            ({"names": "abc"}, r"write \[name\]"),
            ({"names": 3}, "Names must be a list of texts. Got 3"),
            ({"names": ["ab"], "epochs": 0}, "epochs must be"),
            ({"names": ["ab"], "batch_size": 0}, "batch_size must be"),
            ({"names": ["ab"], "epochs": 2, "average": 3}, "average must be a whole number from 0 to the 2 epochs"),
        ],
    )
    def test_fits_that_cannot_be(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises((DataError, SpecError), match=words):
            CharacterModel(2, 3, (4,)).fit(**arguments)

    def test_nothing_learned_yet(self) -> None:
        model = CharacterModel()
        for use in (lambda: model.sample(), lambda: model.score(["a"]), lambda: model.embedding_):
            with pytest.raises(DataError, match=r"call fit\(names\) first"):
                use()
        assert "nothing learned yet" in repr(model)


class TestKnowing:
    def test_the_next_character(self, learned: CharacterModel) -> None:
        P = learned.predict_next("jo")
        assert sum(P.values()) == pytest.approx(1, abs=1e-5) and len(P) == 7
        assert set(list(P)[:3]) == {"h", "n", "a"} and list(P.values()) == sorted(P.values(), reverse=True)
        assert learned.predict_next("noah")[""] > 0.8
        rows = learned.next_probabilities(["jo", "", "hannaxn"], unknown="a")
        assert rows.shape == (3, 7) and rows[0, 0] == pytest.approx(P[""], abs=1e-6)
        assert rows[2] == pytest.approx(learned.next_probabilities(["aan"])[0], rel=1e-4)

    def test_the_score_is_the_product_of_the_next(self, learned: CharacterModel) -> None:
        names = ["jana", "", "haj"]
        found = learned.score(names)
        for name, nats, length in zip(names, found.per_name, found.lengths, strict=True):
            steps = [*name, ""]
            expected = -sum(math.log(learned.predict_next(name[:k])[step]) for k, step in enumerate(steps))
            assert nats == pytest.approx(expected, rel=1e-5) and length == len(steps)
        assert found.per_character == pytest.approx(found.per_name.sum() / 10)

    def test_large_ones_in_parts(self, learned: CharacterModel) -> None:
        one = learned.score(NAMES)
        many = learned.score(NAMES * 100)
        np.testing.assert_allclose(many.per_name, np.tile(one.per_name, 100), rtol=1e-5)

    def test_unknown_characters(self, learned: CharacterModel) -> None:
        with pytest.raises(DataError, match="Unknown characters 'b', 'e'"):
            learned.score(["ana", "bea"])
        assert learned.score(["bna"], unknown="a").per_name == pytest.approx(learned.score(["ana"]).per_name)
        with pytest.raises(DataError, match="Unknown character '!'"):
            learned.predict_next("!")
        with pytest.raises(DataError, match="no names to score"):
            learned.score([])


class TestKeeping:
    def test_the_same_bits(self, learned: CharacterModel, tmp_path: Path) -> None:
        first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
        learned.save(first)
        loaded = CharacterModel.load(first)
        loaded.save(second)
        assert first.read_bytes() == second.read_bytes()
        assert loaded.vocabulary == learned.vocabulary and loaded.context == 3
        for name, array in learned.network.parameters.items():
            np.testing.assert_array_equal(loaded.network.parameters[name], array)
        assert loaded.sample(20, seed=5) == CharacterModel.load(second).sample(20, seed=5)
        np.testing.assert_allclose(loaded.score(NAMES).per_name, learned.score(NAMES).per_name, rtol=1e-5)

    def test_running_statistics_and_any_unicode(self, tmp_path: Path) -> None:
        model = CharacterModel(2, 3, (4,), normalisation="batch", dtype="float64")
        model.fit(["żółć", "李四", "😀", '"\\'], epochs=2, verbose=False).save(tmp_path / "m")
        loaded = CharacterModel.load(tmp_path / "m")
        assert loaded.vocabulary == model.vocabulary and loaded.network.dtype == np.float64
        assert loaded.score(["李ż"]).per_character == pytest.approx(model.score(["李ż"]).per_character, rel=1e-12)
        np.testing.assert_array_equal(loaded.network.state["mean1"], model.network.state["mean1"])

    def test_it_goes_on_learning(self, learned: CharacterModel, tmp_path: Path) -> None:
        learned.save(tmp_path / "m")
        loaded = CharacterModel.load(tmp_path / "m")
        loaded.fit(NAMES, epochs=1, optimizer=Adam(1e-4), verbose=False)
        assert loaded.score(NAMES).per_character < 0.8

    def test_files_that_are_none(self, tmp_path: Path) -> None:
        Network(2, [Dense(3, "softmax")], "cross_entropy").save(tmp_path / "plain")
        (tmp_path / "text").write_text("no model at all")
        (tmp_path / "empty").write_bytes(b"")
        for name, words in [
            ("plain", "not a character model: it holds no vocabulary"),
            ("text", "not a network saved by chainrule"),
            ("empty", "not a network saved by chainrule"),
            ("absent", "cannot be read"),
            (".", "is a folder"),
        ]:
            with pytest.raises(DataError, match=words) as refusal:
                CharacterModel.load(tmp_path / name)
            assert "\n" not in str(refusal.value)


class TestPresets:
    def test_they_can_be_built(self) -> None:
        assert set(PRESETS) == {"classic", "quick", "best"}
        for chosen in PRESETS.values():
            model = chosen.model(vocabulary=Vocabulary(("a", "b")))
            assert model.context == chosen.context and chosen.epochs >= chosen.average

    def test_an_unknown_one(self) -> None:
        with pytest.raises(SpecError, match="Did you mean 'classic'"):
            preset("clasic")

    def test_one_of_ones_own(self) -> None:
        mine = Preset("small", context=2, embedding=3, hidden=(4,), epochs=2)
        assert len(mine.fit(mine.model(), NAMES, verbose=False).history or ()) == 2

    def test_quick_on_the_embedded_names(self) -> None:
        train, dev, _ = split_names(load_names())
        chosen = preset("quick")
        model = chosen.fit(chosen.model(), train, validation=dev, verbose=False)
        assert model.score(dev).per_character < 2.6

    @needs_real_data
    @pytest.mark.long
    @pytest.mark.parametrize(("name", "cost"), [("classic", 2.12), ("quick", 2.06), ("best", 1.95)])
    def test_what_they_reach(self, name: str, cost: float) -> None:
        train, dev, _ = split_names(load_names(REAL))
        chosen = preset(name)
        assert chosen.fit(chosen.model(), train, verbose=False).score(dev).per_character <= cost
