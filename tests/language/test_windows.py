"""Vocabulary and windows, against plain loops."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.data import read_names
from chainrule.errors import DataError
from chainrule.language import Vocabulary, load_names, split_names, windows

REAL = Path(__file__).parents[3] / "shared" / "data" / "names.txt"
needs_real_data = pytest.mark.skipif(not REAL.is_file(), reason="the file ../shared/data/names.txt is not here")


def plain_windows(names: list[str], vocabulary: Vocabulary, context: int) -> tuple[list[list[int]], list[int]]:
    """The windows by a loop over every character."""
    X, y = [], []
    for name in names:
        before = [0] * context
        for character in [*name, ""]:
            token = vocabulary.symbols.index(character)
            X.append(before)
            y.append(token)
            before = [*before[1:], token]
    return X, y


class TestWindows:
    @given(st.lists(st.text("abcé", max_size=6), max_size=8), st.integers(1, 7))
    @settings(max_examples=60, deadline=None)
    def test_against_a_plain_loop(self, names: list[str], context: int) -> None:
        vocabulary = Vocabulary(("a", "b", "c", "é"))
        X, y = windows(*vocabulary.encode(names), context)
        expected_X, expected_y = plain_windows(names, vocabulary, context)
        assert X.tolist() == expected_X and y.tolist() == expected_y
        assert X.shape == (len(y), context) and X.dtype == y.dtype == np.int64 and X.flags.c_contiguous

    @needs_real_data
    def test_the_real_names(self) -> None:
        names = list(read_names(REAL))
        vocabulary = Vocabulary.from_names(names)
        assert windows(*vocabulary.encode(names), 3)[0].shape == (228_146, 3)
        some = random.Random(0).sample(names, 300)
        X, y = windows(*vocabulary.encode(some), 5)
        assert (X.tolist(), y.tolist()) == plain_windows(some, vocabulary, 5)


class TestSplit:
    def test_the_canonical_one(self) -> None:
        names = [f"name{n}" for n in range(25)]
        shuffled = list(names)
        random.Random(42).shuffle(shuffled)
        assert split_names(names) == (shuffled[:20], shuffled[20:22], shuffled[22:])

    @needs_real_data
    def test_of_the_real_names(self) -> None:
        parts = split_names(read_names(REAL))
        assert [len(part) for part in parts] == [25_626, 3_203, 3_204] and parts[0][:2] == ["yuheng", "diondre"]

    def test_too_few(self) -> None:
        with pytest.raises(DataError, match=r"At least 10 names are needed.* Got 9"):
            split_names(["a"] * 9)


class TestVocabulary:
    def test_tokens(self) -> None:
        vocabulary = Vocabulary.from_names(["zoë", "李", "ab"])
        assert vocabulary.characters == ("a", "b", "o", "z", "ë", "李") and len(vocabulary) == 7
        tokens, lengths = vocabulary.encode(["zoë", "", "李"])
        assert tokens.tolist() == [4, 3, 5, 6] and lengths.tolist() == [3, 0, 1]
        assert vocabulary.decode(tokens) == "zoë李"

    def test_any_order_of_characters(self) -> None:
        vocabulary = Vocabulary(("c", "a", "b"))
        assert vocabulary.encode(["abc"])[0].tolist() == [2, 3, 1]

    def test_accents_however_they_were_typed(self) -> None:
        composed, decomposed = "jos\u00e9", "jose\u0301"
        vocabulary = Vocabulary.from_names([decomposed])
        assert vocabulary.characters == ("j", "o", "s", "\u00e9")
        assert vocabulary.encode([composed])[0].tolist() == vocabulary.encode([decomposed])[0].tolist()
        assert vocabulary.encode([decomposed])[1].tolist() == [4]

    def test_a_name_that_begins_with_an_accent(self) -> None:
        """It does not fall on the last character of the name before."""
        vocabulary = Vocabulary.from_names(["ae", "\u0301b"])
        assert vocabulary.characters == ("a", "b", "e", "\u0301")
        assert vocabulary.encode(["\u0301b"])[0].tolist() == [4, 2]

    def test_beyond_sixteen_bits(self) -> None:
        vocabulary = Vocabulary.from_names(["😀a", "𝒳"])
        assert vocabulary.decode(vocabulary.encode(["𝒳😀"])[0]) == "𝒳😀"

    def test_unknown_characters_are_named(self) -> None:
        vocabulary = Vocabulary(("a", "b"))
        with pytest.raises(DataError, match=r"Unknown characters 'ß', '9': .* It knows ab"):
            vocabulary.encode(["aß", "9ß"])
        with pytest.raises(DataError, match=r"Unknown character 'z': "):
            vocabulary.encode(["z"])
        with pytest.raises(DataError, match=r"'h' and 3 more: "):
            Vocabulary(("y", "z")).encode(["abcdefghijk"])

    def test_unknown_characters_are_mapped_if_asked(self) -> None:
        vocabulary = Vocabulary(("a", "b"))
        assert vocabulary.encode(["aßb"], unknown="b")[0].tolist() == [1, 2, 2]
        assert Vocabulary(("a", "é")).encode(["b"], unknown="e\u0301")[0].tolist() == [2]
        with pytest.raises(DataError, match=r"must be a known one. Got 'ß'"):
            vocabulary.encode(["ß"], unknown="ß")

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            (["aaa", "a"], "the single character 'a'"),
            ([], "no characters"),
            (["", ""], "no characters"),
            ("abc", r"write \[name\]"),
            (["a", 3], "must be a text. Got 3"),
            (["a", None], "must be a text. Got None"),
        ],
    )
    def test_what_it_refuses(self, names: list[str], words: str) -> None:
        with pytest.raises(DataError, match=words):
            Vocabulary.from_names(names)

    @pytest.mark.parametrize(
        ("characters", "words"),
        [
            (("ab", "c"), "Got 'ab'"),
            (("a", "a"), "'a' twice"),
            (("\u0301", "e"), None),
            (("a", "\ud800"), "single characters"),
        ],
    )
    def test_characters_that_are_none(self, characters: tuple[str, ...], words: str | None) -> None:
        if words is None:
            assert len(Vocabulary(characters)) == 3
            return
        with pytest.raises(DataError, match=words):
            Vocabulary(characters)

    def test_tokens_out_of_range(self) -> None:
        with pytest.raises(DataError, match="Tokens go from 0 to 2"):
            Vocabulary(("a", "b")).decode([3])


class TestFiles:
    def test_accents_are_composed(self, tmp_path: Path) -> None:
        (tmp_path / "n.txt").write_text("jose\u0301\n\nana\n", encoding="utf-8")
        assert load_names(tmp_path / "n.txt") == ("jos\u00e9", "ana")

    def test_what_is_written_anywhere(self, tmp_path: Path) -> None:
        """Joiners in Persian names and emoji, wide spaces, a byte order mark, the ends of lines of Windows."""
        names = ("علی\u200cرضا", "👩\u200d💻", "saint\u3000paul", "new\u00a0york", "l'aquila")
        (tmp_path / "n.txt").write_bytes("\r\n".join(["\ufeff" + names[0], " ", *names[1:]]).encode())
        assert load_names(tmp_path / "n.txt") == names

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "there are no names in the file"),
            (b"\n  \n", "there are no names in the file"),
            (b"anna\n" + b"x" * 10_001 + b"\n", "line 2 has 10,001 characters; a name has at most 10,000"),
            (b"anna\nbj\xf8rn\n", "line 2 is not UTF-8"),
            (b"an\x00na\n", "line 1 holds the control character"),
        ],
    )
    def test_what_it_refuses(self, tmp_path: Path, content: bytes, words: str) -> None:
        (tmp_path / "n.txt").write_bytes(content)
        with pytest.raises(DataError, match=words) as refusal:
            load_names(tmp_path / "n.txt")
        assert str(refusal.value).startswith(f"{tmp_path / 'n.txt'}: ") and "\n" not in str(refusal.value)


class TestEmbeddedNames:
    def test_what_comes_with_the_package(self) -> None:
        names = load_names()
        assert len(names) >= 1_500 and len(set(names)) == len(names) and list(names) == sorted(names)
        assert set("éøłñ") < set("".join(names))
        assert all(name == name.lower() and 2 <= len(name) <= 16 for name in names)
        assert {"emma", "łukasz", "øystein", "begoña", "siobhán", "nguyên", "yūko", "thabo"} <= set(names)
