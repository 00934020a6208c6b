"""Large files of delimited text: read by pyarrow they hold the same cells as read without it, whatever those are."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.data import arrow_text
from chainrule.data.cells import CodedCells, PlainCells
from chainrule.data.columns import Survey
from chainrule.data.delimited import read_table

pytest.importorskip("pyarrow")

CELLS = ["1", "-2.5", "0.25", "1e5", "1E5", "007", "00", "0", "0.0", "-0", "+3", ".5", "5.", "1234567890123456", "inf",
         "nan", "NA", "", "-", "x", "a b", " 7", "8 ", "é", "e\u0301", "\u00a0", "1,5", "1.234", "1 000", "0x10", "1_0",
         "1e400", "5e-324", "nAn", "True", "E", '"q"', "2020-01-31", "\u2009", "1\x1c"]  # fmt: skip


def read(path: Path, monkeypatch: pytest.MonkeyPatch, large: float) -> Any:
    """The table or the refusal; from so many bytes on by pyarrow."""
    with monkeypatch.context() as patch:
        patch.setattr(arrow_text, "LARGE", large)
        try:
            return read_table(path)
        except cr.DataError as fault:
            return str(fault)


def judged(survey: Survey, name: str) -> Any:
    verdict = survey.verdict(name)
    texts = survey.texts(name)
    try:
        numbers = survey.numbers(name)
    except cr.DataError as fault:
        return verdict, str(fault), texts.words, texts.codes.tolist()
    if numbers is None:
        return verdict, None, texts.words, texts.codes.tolist()
    return verdict, numbers.values.tobytes(), numbers.style, texts.words, texts.codes.tolist()


def same(content: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    path = folder / "table.csv"
    path.write_bytes(content)
    plain, large = (read(path, monkeypatch, at) for at in (np.inf, 0))
    if isinstance(plain, str):
        assert large == plain
        return None
    assert list(large.columns) == list(plain.columns) and large.notes == plain.notes
    np.testing.assert_array_equal(large.lines, plain.lines)
    for name, cells in plain.columns.items():
        there = large.columns[name]
        if isinstance(there, CodedCells):
            assert list(there) == list(map(str.strip, cells))
        assert list(there) == cells and there[len(cells) - 1] == cells[-1] and there[:2] == cells[:2]
        assert all(cell in there for cell in cells[:3]) and "never" not in there
    surveys = [Survey(table) for table in (plain, large)]
    assert surveys[0].comma == surveys[1].comma and surveys[0].doubtful == surveys[1].doubtful
    for name in plain.columns:
        assert judged(surveys[0], name) == judged(surveys[1], name)
    rows = np.arange(len(plain))[::-2]
    for name, cells in plain.take(rows).columns.items():
        assert list(large.take(rows).columns[name]) == cells
    return large


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Files of delimited text, some of them bad."""
    width, m = draw(st.integers(1, 4)), draw(st.integers(0, 8))
    delimiter, end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    kinds = [draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=4)) for _ in range(width)]
    rows = [[f"c{k}" for k in range(width)], *([draw(st.sampled_from(kind)) for kind in kinds] for _ in range(m))]
    lines = [delimiter.join(row) for row in rows]
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(["", delimiter, " ", "a" + 5 * delimiter])))
    return (end.join(lines) + draw(st.sampled_from(["", end]))).encode()


def hostile(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        same(content, Path(folder), monkeypatch)


@given(texts())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_same_cells_either_way(content: bytes) -> None:
    hostile(content)


@pytest.mark.long
@given(texts())
@settings(max_examples=5000, deadline=None)
def test_the_same_cells_either_way_at_length(content: bytes) -> None:
    hostile(content)


def test_plain_columns_are_numbers_and_others_each_text_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["n,g,t,code", *(f"{k / 8},{k if k % 3 else 'NA'},{'ab'[k % 2]},{k:03d}" for k in range(40))]
    table = same("\n".join(lines).encode(), tmp_path, monkeypatch)
    assert [type(cells) for cells in table.columns.values()] == [PlainCells, PlainCells, CodedCells, CodedCells]
    assert table.columns["t"].words == ("a", "b")
