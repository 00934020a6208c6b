"""JSON within limits, and fields by their kind: the value or a DataError, and nothing else."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from chainrule.errors import DataError, SpecError, expected, shorten, shown, unknown_name
from chainrule.files import reading
from chainrule.files import strict_json as sj
from chainrule.files.fields import (
    AnyValue,
    Either,
    Flag,
    Kind,
    Listed,
    Maybe,
    Number,
    Object,
    Tagged,
    Text,
    Whole,
    check_format,
)

SOUND = ['{"a": [1, -2.5, "\\u00e9\\ud83d\\ude00", null, true]}', "[]", '"[[[[{"', "1e-400", " 7 ", "-0.0"]


@pytest.mark.parametrize("text", SOUND)
def test_what_is_sound_is_read_as_json_reads_it(text: str) -> None:
    assert sj.loads(text, "f") == json.loads(text) == sj.loads(text.encode(), "f")
    assert sj.loads(sj.dumps(json.loads(text), readable=True), "f") == json.loads(text)


HOSTILE = {
    "deep lists": ("[" * 100_000 + "]" * 100_000, "more than 32 levels"),
    "deep objects": ('{"a":' * 5_000 + "1" + "}" * 5_000, "more than 32 levels"),
    "deep and never closed": ("[" * 5_000, "more than 32 levels"),
    "a million digits": ('{"a": ' + "9" * 1_000_000 + "}", "1,000,000 digits"),
    "a negative one": ("-" + "9" * 5_000, "digits"),
    "beyond every float": ("[1e999]", "beyond every float"),
    "a float of many digits": ("9" * 5_000 + ".5", "beyond every float"),
    "NaN": ("[NaN]", "NaN"),
    "infinity": ('{"a": -Infinity}', "-Infinity"),
    "a key twice": ('{"a": 1, "b": 2, "a": 3}', "'a' twice"),
    "half of a pair": ('["\\ud800"]', "surrogate"),
    "half of a pair in a key": ('{"x": {"\\uDEAD": 1}}', "surrogate"),
    "no JSON": ("{'a': 1}", "line 1, column 2"),
    "nothing": ("", "is not JSON"),
    "more than one": ("1 2", "is not JSON"),
    "a raw line break": ('"a\nb"', "is not JSON"),
    "many values": ("[" + "[]," * 3_000_000 + "1]", "more than"),
    "not UTF-8": (b'"\xff"', "UTF-8"),
    "half a pair in UTF-8": (b'"\xed\xa0\x80"', "UTF-8"),
}


@pytest.mark.parametrize(("text", "words"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_hostile_is_refused_in_few_words(text: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as told:
        sj.loads(text, "a/f.json")
    assert str(told.value).startswith("a/f.json: ") and len(str(told.value)) < 300


def test_no_more_is_read_than_may_be(tmp_path: Path) -> None:
    bomb, long = tmp_path / "bomb.json", tmp_path / "long.json"
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        file.write(b" " * 3_000_000)
    long.write_bytes(b"[" + b" " * 3_000_000 + b"]")
    for path in (bomb, long):
        with pytest.raises(DataError, match=r"1,000 are the most"):
            sj.read(path, AnyValue(), "a list", 1, longest=1000)
    assert sj.read(long, AnyValue(), "a list", 1) == []


def test_a_file_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    path, kind = tmp_path / "f.json", Object({"a": Whole(1)}, others=True)
    for text, words in (
        ("{", "f.json: is not a list that chainrule saved: is not JSON: "),
        ('{"a": 0}', "f.json: is not a list that chainrule saved: a must be a whole number, 1 or more. Got 0 instead."),
        ('{"format": 8}', "f.json: was saved by a newer chainrule (a list of format 8; this one reads up to 7)."),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=re.escape(words)):
            sj.read(path, kind, "a list", 7)
    path.write_text('{"format": 7, "a": 3}')
    assert sj.read(path, kind, "a list", 7) == {"a": 3}
    with pytest.raises(DataError, match="no such file"):
        sj.read(tmp_path / "none.json", kind, "a list", 7)
    with pytest.raises(DataError, match="folder"):
        sj.read(tmp_path, kind, "a list", 7)


RIGHT: list[tuple[Kind, object, object]] = [
    (Whole(1, 5), 5, 5),
    (Number(above=0), 3, 3.0),
    (Number(words=True), "-inf", float("-inf")),
    (Text(("a", "b")), "a", "a"),
    (Flag(), False, False),
    (Maybe(Flag()), None, None),
    (Listed(Whole(0), 1, 2), [0, 1], (0, 1)),
    (AnyValue(), [{}], [{}]),
    (Object({"a": Whole(0), "b": Flag()}, absent={"b": True}), {"a": 1}, {"a": 1, "b": True}),
    (Object({"a": Whole(0)}, others=True), {"a": 1, "z": []}, {"a": 1}),
    (Tagged("type", {"X": Object({"n": Whole(0)})}, "layer"), {"n": 2, "type": "X"}, ("X", {"n": 2})),
    (Either(Text(), Flag()), "t", "t"),
    (Either(Text(), Flag()), True, True),
]


@pytest.mark.parametrize(("kind", "value", "result"), RIGHT)
def test_a_field_of_the_right_kind(kind: Kind, value: object, result: object) -> None:
    found = kind.read(value, "f.json: a")
    assert found == result and type(found) is type(result)


WRONG: list[tuple[Kind, object, str]] = [
    (Whole(1), 0, r"f.json: a must be a whole number, 1 or more. Got 0"),
    (Whole(1, 5), 6, "1 to 5"),
    (Whole(1), True, "Got True"),
    (Whole(1), 1.0, "Got 1.0"),
    (Whole(1), "1", "Got '1'"),
    (Number(least=0, below=1), 1.0, "at least 0 and below 1"),
    (Number(), 10**400, "about 401 digits"),
    (Number(), "nan", "a finite number"),
    (Number(), float("nan"), "a finite number"),
    (Number(), True, "a finite number"),
    (Text(), [1], "a text"),
    (Text(("relu", "tanh"), what="activation"), "rleu", "Unknown activation 'rleu'. Did you mean 'relu'"),
    (Text(longest=3), "abcd", "3 are the most"),
    (Flag(), 1, "true or false"),
    (Listed(Whole(0)), {"a": 1}, "a list"),
    (Listed(Whole(0)), [1, -1], r"a\[1\] must be"),
    (Listed(Whole(0), 1, 2), [], "1 to 2"),
    (Object({"a": Whole(0)}), [], "an object"),
    (Object({"a": Whole(0)}), {}, "lacks 'a'"),
    (Object({"a": Whole(0)}), {"a": 1, "b": 1}, "Unknown field 'b'"),
    (Object({"b": Whole(0)}), {"b": -1}, r"f.json: a.b must be"),
    (Tagged("type", {"X": AnyValue()}, "layer"), {"type": [1]}, "a text"),
    (Tagged("type", {"X": AnyValue()}, "layer"), {}, "lacks 'type'"),
    (Tagged("type", {"X": AnyValue()}, "layer"), 1, "an object"),
]


@pytest.mark.parametrize(("kind", "value", "words"), WRONG)
def test_a_field_of_the_wrong_kind(kind: Kind, value: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        kind.read(value, "f.json: a")


def test_a_file_from_a_later_version_says_so() -> None:
    assert check_format(2, "f", 2, "a run") == 2
    with pytest.raises(DataError, match=r"saved by a newer chainrule \(a run of format 3; this one reads up to 2\)"):
        check_format(3, "f", 2, "a run")
    with pytest.raises(DataError, match="format must be"):
        check_format("1", "f", 2, "a run")


MONSTERS: list[Any] = [
    "x" * 10**6,
    10**100_000,
    [[[[[[[[0]]]]]]]] * 1000,
    {str(k): k for k in range(1000)},
    b"y" * 10**5,
]


@pytest.mark.parametrize("value", MONSTERS, ids=[type(v).__name__ for v in MONSTERS])
def test_messages_stay_short_whatever_came(value: Any) -> None:
    assert len(shown(value)) <= 210
    assert len(expected("units", "a positive whole number", value)) < 300
    if isinstance(value, str):
        assert len(unknown_name("layer", value, ["Dense"])) < 300


def test_what_is_shown_of_short_values_is_what_python_writes() -> None:
    for value in (1, -3.5, "text", None, True, [1, 2], (3,), {"a": 1}, {2}, b"z", float("nan")):
        assert shown(value) == repr(value)


def test_reading_names_the_file_and_keeps_to_500_characters() -> None:
    with pytest.raises(DataError, match=r"^m: first") as told, reading("m"):
        raise SpecError(["first", *["fault"] * 1000])
    assert len(str(told.value)) == 500
    with pytest.raises(DataError, match=r"^m: already named$"), reading("m"):
        raise DataError("m: already named")
    assert shorten("short") == "short"
