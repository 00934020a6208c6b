"""What the pictures show; how they look is for eyes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import DataError
from chainrule.language import CharacterModel, Vocabulary
from chainrule.language.plots import label, plot_embedding, plot_learning_curve, plot_next, project
from chainrule.train.history import EpochRecord, History

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def size(path: Path) -> tuple[int, int]:
    """Width and height of a .png picture."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n")
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


class TestProjection:
    def test_it_keeps_a_plane(self) -> None:
        rng = np.random.default_rng(0)
        plane = rng.normal(size=(9, 2))
        E = plane @ rng.normal(size=(2, 5)) + 3
        places, share = project(E)
        assert share == pytest.approx(1)
        between = np.linalg.norm(E[:, None] - E[None], axis=2)
        np.testing.assert_allclose(np.linalg.norm(places[:, None] - places[None], axis=2), between, atol=1e-12)

    def test_the_greatest_variance_first(self) -> None:
        E = np.diag([5.0, 3.0, 1.0])
        places, share = project(np.vstack([E, -E]))
        assert share == pytest.approx(34 / 35) and np.ptp(places[:, 0]) == pytest.approx(10)

    def test_few_features(self) -> None:
        assert project(np.ones((4, 1)))[1] == 1 and project(np.arange(4.0)[:, None])[0].shape == (4, 2)


class TestPictures:
    def test_all_of_a_model(self, tmp_path: Path) -> None:
        model = CharacterModel(2, 4, (5,), vocabulary=Vocabulary(tuple("abcé李")))
        assert plot_embedding(model, tmp_path / "e.png") == tmp_path / "e.png"
        plot_next(model, tmp_path / "n.png", ["", "ab", "c"])
        plot_next(model, tmp_path / "new" / "n.png")
        history = History([EpochRecord(1, 3.0, validation_cost=3.1), EpochRecord(2, 2.5, validation_cost=2.7)])
        plot_learning_curve(history, tmp_path / "c.png")
        plot_learning_curve(History([EpochRecord(1, 3.0)]), tmp_path / "one.png")
        for name in ("e.png", "n.png", "new/n.png", "c.png", "one.png"):
            width, height = size(tmp_path / name)
            assert width > 500 and height > 300

    def test_every_character_can_be_seen(self, tmp_path: Path) -> None:
        shown = {"": "end", "a": "a", "李": "李", " ": "␣", "\u3000": "3000", "\u200c": "200C", "\u093c": "◌\u093c"}
        assert {symbol: label(symbol) for symbol in shown} == shown

    def test_text_is_not_a_formula(self, tmp_path: Path) -> None:
        model = CharacterModel(2, 4, (5,), vocabulary=Vocabulary(tuple("ab$^{\\")))
        assert size(plot_next(model, tmp_path / "n.png", ["$$", "$\\a{$", "^"]))[1] > 300

    def test_of_many_characters_those_that_matter(self, tmp_path: Path) -> None:
        model = CharacterModel(2, 4, (5,), vocabulary=Vocabulary(tuple(map(chr, range(0x400, 0x4B0)))))
        plot_next(model, tmp_path / "n.png", ["", "АБ"])
        assert size(tmp_path / "n.png")[0] < 2500

    def test_what_they_refuse(self, tmp_path: Path) -> None:
        model = CharacterModel(2, 4, (5,), vocabulary=Vocabulary(tuple("ab")))
        with pytest.raises(DataError, match="Unknown character 'c'"):
            plot_next(model, tmp_path / "n.png", ["c"])
        with pytest.raises(DataError, match="no prefixes"):
            plot_next(model, tmp_path / "n.png", [])
        with pytest.raises(DataError, match="no epochs"):
            plot_learning_curve(History(), tmp_path / "c.png")
        (tmp_path / "file").write_text("")
        with pytest.raises(DataError, match="cannot be written"):
            plot_embedding(model, tmp_path / "file" / "e.png")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
