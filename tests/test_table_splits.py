"""Rows to learn from and to test on by chance, group and time; and what is told of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.tabular.frame import read_frame
from chainrule.tabular.preparation import learn
from chainrule.tabular.roles import Roles, WithTarget, apart
from chainrule.tabular.splits import folds, split
from chainrule.tabular.told import doubts, kinds

M = 200


def table(roles: Roles, **columns: Any) -> WithTarget:
    rng = np.random.default_rng(0)
    usual = {"x": rng.normal(size=M), "g": np.arange(M) % 13, "t": rng.permutation(M) // 3, "y": np.arange(M) % 4 // 3}
    return apart(
        read_frame(usual | columns), Roles(roles.targets or ("y",), roles.ignore, group=roles.group, time=roles.time)
    )


@pytest.mark.parametrize("roles", [Roles(), Roles(group="g"), Roles(time="t")], ids=["chance", "group", "time"])
def test_splits(roles: Roles) -> None:
    data = table(roles)
    once, several = split(data, 0.25, 1), folds(data, 4, 1)
    for rows, held in (once, *several):
        assert len(rows) and len(held) and not set(rows) & set(held)
        if data.groups is not None:
            assert not set(data.groups[rows]) & set(data.groups[held])
        elif data.times is not None:
            assert data.times[rows].max() < data.times[held].min()
        else:
            assert len(rows) + len(held) == M and data.y[held].mean() == pytest.approx(0.25, abs=0.02)
    assert len(once[0]) + len(once[1]) == M and len(once[1]) == pytest.approx(50, abs=8)
    tested = np.concatenate([held for _, held in several])
    assert len(set(tested)) == len(tested) == (M if data.times is None else pytest.approx(160, abs=4))


def test_splits_that_cannot_be() -> None:
    for data, call, words in (
        (table(Roles(group="g"), g=np.ones(M)), split, "all of one group"),
        (table(Roles(time="t"), t=np.ones(M)), split, "all of one time"),
        (table(Roles(time="t"), t=np.arange(M) // 150), folds, "too few different times"),
        (table(Roles(group="g")), folds, "13 groups are too few for 20 folds"),
    ):
        with pytest.raises(cr.DataError, match=words):
            call(data, 0.25 if call is split else 20, 0)  # type: ignore[operator]


def test_groups_are_no_features_and_times_are_unless_they_are_left_out() -> None:
    assert table(Roles(group="g")).features.names == ("x", "t")
    assert "t" in table(Roles(time="t")).features.names
    assert table(Roles(time="t", ignore=("t",))).features.names == ("x", "g")


def test_words_of_a_target_are_names_of_classes() -> None:
    words = np.array(["None", "some", "all"])[np.arange(M) % 3]
    data = table(Roles(), y=list(words))
    assert list(data.y) == list(words) and data.notes == ("the target 'y': 'None' is read as the name of a class",)
    numbers = table(Roles(), y=[f"{k % 50},5" for k in range(M)])
    assert not numbers.is_classes and "'y' is read as numbers with a decimal comma" in numbers.notes[0]
    marks = table(Roles(), y=np.arange(M) % 6)
    assert marks.is_classes and "its 6 whole numbers are classes; --task regression" in marks.notes[0]
    mixed = table(Roles(), y=["3+" if k == 7 else str(k % 3) for k in range(M)])
    assert mixed.is_classes and "'3+' (row 7) among numbers" in mixed.notes[0]


def test_rows_without_a_target_are_left_out_and_told() -> None:
    for y, kept in (
        ([None if k in (3, 5) else "u" if k % 2 else "v" for k in range(M)], ["v", "u", "v", "v"]),
        ([np.nan if k in (3, 5) else 0.5 * k for k in range(M)], [0, 0.5, 1, 2]),
    ):
        data = table(Roles(group="g", time="t"), y=y)
        assert data.rows is not None and list(data.rows) == [k for k in range(M) if k not in (3, 5)]
        assert list(data.y[:4]) == kept and len(data.y) == len(data.features) == len(data.groups) == len(data.times)
        assert data.notes == ("2 rows without a value of 'y' left out (the first is row 3)",)
    two = table(Roles(("x", "t")), x=np.where(np.arange(M) == 7, np.nan, 1.5 + np.arange(M)))
    assert len(two.y) == M - 1 and "'x' left out" in two.notes[0]
    with pytest.raises(cr.DataError, match="'y' has no value in any row"):
        table(Roles(), y=[None] * M)


def test_truth_values_are_classes_as_they_are() -> None:
    truth = np.arange(M) % 3 == 0
    assert table(Roles(), y=truth).y.dtype == bool and (table(Roles(), y=truth).y == truth).all()
    gaps = table(Roles(), y=[None if k == 4 else bool(k % 3) for k in range(M)])
    assert gaps.y.dtype == bool and len(gaps.y) == M - 1
    assert set(table(Roles(), y=truth.astype(str)).y) == {"False", "True"}


def test_all_faults_of_columns_come_in_one_message() -> None:
    columns = {"x": np.arange(M), "g": np.where(np.arange(M) % 9, 1.5, np.nan), "z": ["a"] * M}
    with pytest.raises(cr.DataError) as fault:
        apart(read_frame(columns), Roles(("z",), group="g"))
    assert all(words in str(fault.value) for words in ("'g' has no value in row 0, row 9", "'z' is 'a' in all rows"))


def told(target: Any, is_classes: bool, **columns: Any) -> tuple[list[str], list[str]]:
    frame = read_frame(columns)
    preparation = learn(frame)
    return kinds(preparation, frame), doubts(preparation, frame, np.asarray(target), is_classes)


def test_what_is_told_of_a_table() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, M)
    lines, notes = told(
        y,
        True,
        x=rng.normal(size=M),
        price=[f"${v:,}.00" for v in rng.integers(100, 99_999, M)],
        part=[f"{v:.1f}".replace(".", ",") for v in rng.normal(size=M)],
        when=[f"{1 + k % 12:02}/03/2024" for k in range(M)],
        day=[f"{1 + k % 12:02}/{1 + k // 12 % 12:02}/{2000 + k // 144}" for k in range(M)],
        shown=[f"{1 + k % 28}.{1 + k % 12}.2024" for k in range(M)],
        us=[f"{1 + k % 12:02}/{1 + k % 28:02}/2024" for k in range(M)],
        key=[f"k{k}" for k in range(M)],
        order_id=rng.permutation(M) * 977 + 10**6,
        side=["left" if v else "right" for v in y],
        word=rng.choice(["a", "b", ""], M),
        same=["q"] * M,
    )
    assert [line.partition(":")[0] for line in lines] == [
        "4 numbers",
        "2 categories",
        "1 column of two values",
        "2 dates or times",
        "gaps",
        "left out, as they are the same in all rows",
    ]
    assert "word (2)" in lines[1] and "when (12)" in lines[1]
    wanted = (
        "'key'",
        "look like dates",
        "'price' is read as numbers with a decimal point and a comma between thousands and $ ('$",
        "'part' is read as numbers with a decimal comma",
        "'when' looks like dates ('01/03/2024')",
        "'us' is read as dates with the month first ('01/01/2024')",
        "'order_id' is another",
        "'side' gives the target away: by itself it predicts 100.0 %",
    )
    assert len(notes) == len(wanted)
    for note, words in zip(notes, wanted, strict=True):
        assert words in note, (note, words)


def test_rows_of_a_table_are_read_as_all_of_it_is() -> None:
    """Where the odd cell is not among the rows, too: its column is what it is in the whole table."""
    columns = {
        "a": [f"{k % 3}" if k else "3+" for k in range(M)],
        "b": [f"{k % 50},5" if k else "1,234" for k in range(M)],
    }
    frame = read_frame(columns)
    some = frame.take(np.arange(1, 60)).without(("y",)).take(np.arange(9))
    assert (some.kind("a"), some.kind("b")) == ("text", "number") == (frame.kind("a"), frame.kind("b"))
    assert some.numbers("b")[0] == 1.5 and some.style("b") == frame.style("b")
    assert learn(some).columns[0].counts


def test_columns_that_give_numbers_away() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=M), rng.normal(size=M)
    notes = told(np.exp(x), False, near=x + 1e-4 * noise, far=x + noise, word=np.where(x > 0, "a", "b"))[1]
    assert len(notes) == 1 and "'near' gives the target away: by itself it predicts with R² 0.99" in notes[0]
