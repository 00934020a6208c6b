"""What the cells of a column say: nothing, numbers and in which way of writing, or texts."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.cells import (
    MISSING,
    PLAIN,
    Style,
    as_numbers,
    as_texts,
    count,
    is_number,
    judge,
    plain_numbers,
    settle,
)


def style(decimal: str = ".", group: str = "", unit: str = "") -> Style:
    return Style(decimal, group, unit)


ONE_WAY: list[tuple[list[str], Style, list[float]]] = [
    (["1", "-2.5", "+3", "1e-3", ".5", "5."], PLAIN, [1, -2.5, 3, 0.001, 0.5, 5]),
    (["20,5", "21", "-0,125"], style(","), [20.5, 21, -0.125]),
    (["1.234,5", "12"], style(",", "."), [1234.5, 12]),
    (["1.234.567", "950"], style(",", "."), [1234567, 950]),
    (["1,234.5", "12"], style(".", ","), [1234.5, 12]),
    (["12,34,567", "1,234"], style(".", ","), [1234567, 1234]),
    (["1 234,5", "3"], style(",", " "), [1234.5, 3]),
    (["1\u202f234,5", "3"], style(",", " "), [1234.5, 3]),
    (["12 345", "1234"], style(".", " "), [12345, 1234]),
    (["1'234.5", "1\u2019234"], style(".", "'"), [1234.5, 1234]),
    (["$1,234.50", "-$3", "$-4"], style(".", ",", "$"), [1234.5, -3, -4]),
    (["12,50 €", "3 €"], style(",", "", "€"), [12.5, 3]),
    (["5%", "6.5 %"], style(".", "", "%"), [5, 6.5]),
    (["\u22121.5", "2"], PLAIN, [-1.5, 2]),
]


@pytest.mark.parametrize(("cells", "how", "numbers"), ONE_WAY, ids=lambda v: str(v)[:30])
def test_numbers_that_can_be_read_in_one_way(cells: list[str], how: Style, numbers: list[float]) -> None:
    verdict = judge(count(cells))
    assert verdict.kind == "number" and verdict.styles == (how,)
    np.testing.assert_array_equal(as_numbers([*cells, "NA"], how), [*numbers, math.nan])


def test_numbers_that_can_be_read_in_two_ways() -> None:
    comma = judge(count(["1,234", "950"]))
    assert settle(comma, None) is None
    assert settle(comma, True) == style(",") and settle(comma, False) == style(".", ",")
    point = judge(count(["1.234", "12.345"]))
    assert settle(point, None) == settle(point, False) == PLAIN and settle(point, True) == style(",", ".")


@pytest.mark.parametrize(
    ("cells", "because"),
    [
        (["007", "8"], "codes"),
        (["1E2", "3"], "codes"),
        (["1582218195625938945", "3"], "codes"),
        (["1,5", "1.5"], "ways"),
        (["1,234", "1234"] * 2 + ["2.5"], "ways"),
        (["$5", "€5"], "ways"),
        (["1", "2", "x"], "mixed"),
        (["12_3", "4", "5"], "mixed"),
        (["1", "x", "y"], ""),
        (["2024-01-05", "2023-12-01"], "dates"),
        (["05.01.2024", "1.12.2023"], "dates"),
        (["12:30", "07:45:10"], "dates"),
        (["\u0661\u0662", "x"], ""),
        (["Rome", "Oslo"], ""),
        (["0x1F", "1/2"], ""),
    ],
)
def test_texts(cells: list[str], because: str) -> None:
    verdict = judge(count(cells))
    assert (verdict.kind, verdict.because) == ("text", because)


@pytest.mark.parametrize("word", sorted(MISSING))
def test_every_word_for_a_missing_value(word: str) -> None:
    cells = ["1.5", word, "2"]
    assert judge(count(cells)).kind == "number" and plain_numbers(cells) is None
    np.testing.assert_array_equal(as_numbers(cells, PLAIN), [1.5, math.nan, 2])
    assert judge(count([word])).kind == "empty"
    assert as_texts(["Rome", word]).codes.tolist() == [0, -1]


def test_every_word_for_a_missing_value_is_documented() -> None:
    text = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    named = {
        word.lower() for word in re.findall(r"`([^`\n]+)`", text[text.index("**Missing**") : text.index("**Numbers**")])
    }
    silent = {"", "#N/A N/A", "-1.#IND", "-1.#QNAN", "-NaN", "<NaN>"}  # in other words of the list
    assert {word.lower() for word in MISSING - silent} <= named


def test_na_among_codes_of_two_letters_is_one_of_them() -> None:
    assert as_texts(["EU", "NA", "AS"]).words == ("EU", "AS", "NA")
    assert as_texts(["EU", "NA", "Asia"]).words == ("EU", "Asia")
    assert as_texts(["Na", "Cl"]).words == ("Na", "Cl")  # sodium


def test_words_that_python_takes_for_numbers() -> None:
    for cell in ("1_000", "nan", "\u0661", "1,5", "", " ", "0x1", "1e", "e5", "--5", "1 2"):
        assert not is_number(cell)
    for cell in ("1", "-1.5e-07", "inf", "1e400"):
        assert is_number(cell)


def written(value: float, how: Style, fraction: int) -> str:
    """A number as people of some country write it."""
    text = f"{abs(value):,.{fraction}f}" if how.group else f"{abs(value):.{fraction}f}"
    text = text.replace(",", "\0").replace(".", how.decimal).replace("\0", how.group)
    return ("-" if value < 0 else "") + (f"{text} {how.unit}" if how.unit else text)


ways = st.sampled_from(
    [Style(d, g, u) for d in ".," for g in ("", ".", ",", " ", "'") if g != d for u in ("", "€", "%")]
)


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=30), ways, st.integers(1, 2), st.booleans())
def test_what_is_written_in_one_way_is_read_in_that_way(
    numbers: list[int], how: Style, fraction: int, more: bool
) -> None:
    """With one or two digits behind the point there is no doubt, whatever stands between the thousands."""
    values = [number / 10**fraction for number in numbers]
    cells = [written(value, how, fraction) for value in values] * (100 if more else 1)
    verdict = judge(count(cells))
    assert verdict.kind == "number"
    chosen = settle(verdict, how.decimal == ",")
    assert chosen is not None
    read = as_numbers(cells, chosen)
    np.testing.assert_array_equal(read, [float(f"{v:.{fraction}f}") for v in values] * (100 if more else 1))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_what_python_prints_is_read_back_the_same(numbers: list[float]) -> None:
    cells = [repr(number) for number in numbers]
    values = plain_numbers(cells)
    assert values is not None
    np.testing.assert_array_equal(values, numbers)
    np.testing.assert_array_equal(as_numbers(cells, PLAIN), numbers)


@given(st.lists(st.text(alphabet="0123456789.,' -+eE_$%xNa\u00a0", max_size=8), min_size=1, max_size=40))
def test_quick_and_slow_ways_agree(cells: list[str]) -> None:
    cells = [cell.strip() for cell in cells]
    quick, verdict = plain_numbers(cells), judge(count(cells))
    if quick is not None:
        assert verdict.kind == "number" and PLAIN in verdict.styles
        np.testing.assert_array_equal(as_numbers(cells, PLAIN), quick)
    if verdict.kind == "number":
        many = [f"{cell}" for cell in cells] * 50
        for how in verdict.styles:
            np.testing.assert_array_equal(as_numbers(many, how), np.tile(as_numbers(cells, how), 50))
            assert not np.isnan(as_numbers([cell for cell in cells if cell not in MISSING], how)).any()


def test_many_cells_are_judged_as_few_are() -> None:
    values = (1e5 * np.random.default_rng(0).normal(size=5000)).round(2)
    for how in (PLAIN, style(","), style(",", "."), style(".", ","), style(".", " ")):
        cells = [written(value, how, 2) for value in values.tolist()]
        assert judge(count(cells)).styles == (how,)
        np.testing.assert_array_equal(as_numbers(cells, how), values)
        assert judge(count([*cells, "12_3"])).because == "mixed"
    assert judge(count([*map(str, range(5000)), "007"])).because == "codes"
