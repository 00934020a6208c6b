"""Hostile frames and targets through fit and predict: the right answer, or one sentence that names the column."""

from __future__ import annotations

import datetime
import decimal
import fractions
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.multioutput import MultiOutputClassifier

import chainrule as cr
from chainrule.tabular import base
from chainrule.tabular.recipe import recipe_for

NAN, DAY = np.nan, datetime.date(2020, 1, 1)
ODD = type("Odd", (), {"__repr__": lambda self: "Odd()"})()


def arrow(kind: Any) -> pd.ArrowDtype:
    return pd.ArrowDtype(kind)


OBJECTS: dict[str, list[Any]] = {
    "numbers as texts": [1, "1", 2.0, "two"], "every gap": [1, 2.5, None, pd.NA, NAN, pd.NaT], "truth": [True, 2, 0.5],
    "truth and gaps": [True, False, None, pd.NA], "truth and texts": [True, "True", "yes"], "too long": [10**400, 1],
    "long": [2**70, -(2**70), None], "dates and texts": [DAY, "2020-01-01", None],
    "early": [DAY, datetime.date(1, 1, 1)],
    "clock": [datetime.time(1), datetime.time(2)], "lengths": [datetime.timedelta(1), None],
    "bytes": [b"a", b"\xff\xfe"],
    "with a zone": [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)],
    "decimals": [decimal.Decimal("1.1"), decimal.Decimal("NaN"), decimal.Decimal("-Infinity"), None],
    "fractions": [fractions.Fraction(1, 3), 1], "lists": [[1], [2]], "mappings": [{"a": 1}, None], "sets": [{1}, None],
    "arrays": [np.ones(2), None], "one value": [np.array(1.0), np.array(2.0)], "tuples": [(1,), (2, 3)],
    "odd": [ODD, None],
    "functions": [len, max], "types": [int, str], "ranges": [range(3), None],
    "NumPy": [np.float32(1.5), np.bool_(True)],
    "complex": [1j, 2], "ids": [uuid.UUID(int=1), uuid.UUID(int=2)], "far": [np.datetime64(2**61, "Y"), DAY],
    "moments": [np.datetime64("2020"), np.datetime64("NaT"), pd.Timestamp("2021"), None],
    "periods": [pd.Period("2020")],
    "intervals": [pd.Interval(0, 1), pd.Interval(1, 2)], "surrogates": ["\ud800", "a"], "same gap": [None],
    "inf": [np.inf],
    "texts": ["a,b", 'q"q', "n\nn", " sp ", "\x00", "é", "e\u0301", "\u200b", "𝒳"], "units": ["$1", "€2", "3 %"],
    "gaps in words": ["NA", "nan", "", "?", "None", "null", "-", "x"], "ways": ["1", "2", "1,5", "1.5"],
    "long texts": ["x" * 100_000, "y"], "no dates": ["2020-01-01", "2020-13-01"],
    "doubtful": ["01/02/2020", "31/12/2020"],
    "no clock": ["25:00", "1:00"], "no numbers": ["0x10", "1_000", "٣", "½", "∞", "inf", "-inf", "Infinity"],
}  # fmt: skip
"""Values of columns of objects."""
TYPED: dict[str, tuple[list[Any], Any]] = {
    **{kind: ([0, 1, np.iinfo(kind).min, np.iinfo(kind).max], kind) for kind in ("int8", "int64", "uint64")},
    **{kind: ([0, 1, np.finfo(kind).min, np.finfo(kind).max], kind) for kind in ("float16", "float32", "float64")},
    "huge": ([1.7e308, -1.7e308, 5e-324], "float64"), "infinities": ([np.inf, -np.inf, NAN, 1], "float64"),
    "Int64": ([1, 2, None], "Int64"), "boolean": ([True, False, None], "boolean"),
    "string": (["a", "b", None], "string"),
    "complex128": ([1j, 2], "complex128"),
    "arrow decimals": ([decimal.Decimal("1.5"), None], arrow(pa.decimal128(9, 2))),
    "arrow dates": ([DAY, None], arrow(pa.date32())), "arrow lists": ([[1], None], arrow(pa.list_(pa.int32()))),
    "arrow clock": ([datetime.time(1, 2), datetime.time(3)], arrow(pa.time64("us"))),
    "arrow null": ([None], arrow(pa.null())),
    "arrow lengths": ([datetime.timedelta(1), None], arrow(pa.duration("us"))),
    "seconds": (["0001-01-01", "NaT"], "M8[s]"),
    "lengths64": ([1, 2], "m8[s]"), "months": (["2020-01", "2020-02"], "period[M]"),
    "sparse": ([0.0, 1.0], "Sparse[float]"),
    "categories": (["a", "b", None], pd.CategoricalDtype(["b", "c", "a"])), "no category": ([None], "category"),
    "numbers by name": ([3, 1, None], pd.CategoricalDtype([3, 2, 1])),
    "times by name": ([pd.Timestamp("2020"), None], "category"),
    "order": (["low", "mid", "high", None], pd.CategoricalDtype(["low", "mid", "high"], ordered=True)),
    "mixed": ([1, "1", "x"], "category"),
}  # fmt: skip
"""Values of columns of a dtype."""
NAMES: tuple[Callable[[int], list[Any]], ...] = (
    lambda k: [f"c{i}" for i in range(k)], lambda k: list(range(k)), lambda k: [("a", i) for i in range(k)],
    lambda k: [" " * i for i in range(k)], lambda k: [1.5 + i for i in range(k)], lambda k: ["a"] * k,
    lambda k: [f"x{k - i}" for i in range(k)], lambda k: ["%s{}" + "'\"\n" * i for i in range(k)],
    lambda k: [0, "0", 2][:k],
)  # fmt: skip
INDICES: tuple[Callable[[int], pd.Index], ...] = (
    lambda m: pd.RangeIndex(m), lambda m: pd.Index([0] * m), lambda m: pd.date_range("2020", periods=m, name="c0"),
    lambda m: pd.MultiIndex.from_arrays([list(range(m)), ["x"] * m], names=["c0", "c1"]), lambda m: pd.Index([NAN] * m),
)  # fmt: skip


def column(kind: str, m: int, rng: np.random.Generator) -> pd.Series:
    values, dtype = TYPED[kind] if kind in TYPED else (OBJECTS[kind], object)
    picked = [values[int(k)] for k in rng.integers(0, len(values), m)]
    return pd.Series(pd.array(picked, dtype) if isinstance(dtype, str) and dtype[0] in "Mm" else picked, dtype=dtype)


@contextmanager
def tiny() -> Iterator[None]:
    """Fits of an epoch: what a frame becomes is tried here, not what is learned of it."""

    def recipe(*given: Any, **named: Any) -> Any:
        return replace(recipe_for(*given, **named), members=1, epochs=1, hidden=(4,))

    with patch.object(base, "recipe_for", recipe), warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.DataWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield


def said(model: Any, X: Any) -> np.ndarray:
    return np.asarray(model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X))


def estimator(number: int, m: int) -> tuple[Any, Any]:
    if number % 2:
        return cr.TabularRegressor("fast", random_state=0, engine="reference"), np.arange(m) % 7 / 3
    return cr.TabularClassifier("fast", random_state=0, engine="reference"), np.array(["u", "v"])[np.arange(m) % 2]


def names_one(fault: cr.DataError, names: list[Any]) -> None:
    assert any(repr(str(name)) in str(fault) for name in names), str(fault)


def hostile(kinds: list[str], m: int, names: int, index: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.concat([*(column(kind, m, rng) for kind in kinds), pd.Series(rng.integers(0, 9, m) / 7)], axis=1)
    own = NAMES[names](len(kinds))
    frame.columns = pd.Index([*own, "sound"], tupleize_cols=False)
    frame.index = INDICES[index](m)
    before = frame.copy(deep=True)
    model, y = estimator(seed, m)
    try:
        model.fit(frame, y)
    except cr.DataError as fault:
        names_one(fault, own)
        assert not hasattr(model, "preparation_")
        return
    finally:
        pd.testing.assert_frame_equal(frame, before)
    first = said(model, frame)
    assert len(first) == m and np.isfinite(first).all()
    order = rng.permutation(m)
    np.testing.assert_allclose(said(model, frame.iloc[order]), first[order], rtol=1e-5, atol=1e-6)
    if len(set(map(str, own))) == len(own):
        np.testing.assert_array_equal(said(model, frame.iloc[:, ::-1]), first)
    turned = [frame.iloc[:, k] for k in range(len(own) + 1)]  # the same categories in another order
    for k, values in enumerate(turned):
        if isinstance(values.dtype, pd.CategoricalDtype):
            turned[k] = values.cat.reorder_categories(values.cat.categories[::-1], ordered=not values.cat.ordered)
    np.testing.assert_array_equal(said(model, pd.concat(turned, axis=1)), first)
    new = pd.concat([*(column(str(kind), m, rng) for kind in rng.choice([*OBJECTS, *TYPED], len(kinds)))], axis=1)
    new.columns, new.index = frame.columns[:-1], frame.index
    try:
        other = said(model, new.assign(sound=frame["sound"].to_numpy()))
        assert len(other) == m and np.isfinite(other).all()
    except cr.DataError as fault:
        names_one(fault, own)
    np.testing.assert_array_equal(said(model, frame), first)
    pd.testing.assert_frame_equal(frame, before)


SHAPES: tuple[st.SearchStrategy[Any], ...] = (
    st.lists(st.sampled_from(sorted([*OBJECTS, *TYPED])), min_size=1, max_size=3), st.sampled_from([1, 2, 3, 8, 60]),
    st.integers(0, len(NAMES) - 1), st.integers(0, len(INDICES) - 1), st.integers(0, 2**31),
)  # fmt: skip
QUICK = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@given(*SHAPES)
@QUICK
def test_hostile_frames(kinds: list[str], m: int, names: int, index: int, seed: int) -> None:
    with tiny():
        hostile(kinds, m, names, index, seed)


@pytest.mark.long
@given(*SHAPES)
@settings(QUICK, max_examples=1500, derandomize=False)
def test_many_hostile_frames(kinds: list[str], m: int, names: int, index: int, seed: int) -> None:
    with tiny():
        hostile(kinds, m, names, index, seed)


PLAIN: dict[str, list[Any]] = {
    "floats": [1.5, -2.25, 1e300, None], "whole": [3, 4, 5], "long": [10**17 + 1, 10**17 + 2, 7],
    "truth": [True, False, None],
    "texts": ["a", "É", 'say "so"', None],
    "days": [datetime.datetime(2020, 1, 5), datetime.datetime(2021, 3, 7, 8), None],
    "codes": ["007", "7", None], "nothing": [None], "same": ["x"],
}  # fmt: skip


def alike(kinds: list[str], m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = {kind: [PLAIN[kind][int(k)] for k in rng.integers(0, len(PLAIN[kind]), m)] for kind in kinds}
    columns["sound"] = (rng.integers(0, 9, m) / 7).tolist()
    frame = pd.DataFrame(columns)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        frame.to_csv(path, index=False)
        ways: list[Any] = [frame, pl.DataFrame(columns), pa.table(columns), path, frame.convert_dtypes(), columns]
        answers = set()
        for k in rng.permutation(len(ways))[:3].tolist() if m > 20 else range(len(ways)):
            model, y = estimator(seed, m)
            model.fit(ways[k], y)
            answers |= {said(model, way).tobytes() for way in (ways[k], ways[k - 1])}
    assert len(answers) == 1


SOME = (
    st.lists(st.sampled_from(sorted(PLAIN)), min_size=1, max_size=4, unique=True),
    st.sampled_from([2, 9, 70]),
    st.integers(0, 99),
)


@given(*SOME)
@settings(QUICK, max_examples=2)
def test_the_same_bits_of_every_kind_of_table(kinds: list[str], m: int, seed: int) -> None:
    with tiny():
        alike(kinds, m, seed)


@pytest.mark.long
@given(*SOME)
@settings(QUICK, max_examples=200, derandomize=False)
def test_the_same_bits_of_many_tables(kinds: list[str], m: int, seed: int) -> None:
    with tiny():
        alike(kinds, m, seed)


def test_every_fault_in_one_message_with_its_first_row() -> None:
    X = pd.DataFrame({"n": [1.5, 2.5, 3.5] * 8, "t": pd.date_range("2020", periods=24), "w": ["a", "b", "c"] * 8})
    model, y = estimator(1, 24)
    with tiny():
        with pytest.raises(cr.DataError, match=r"'a'.*\[1\] in row 2.*'b'.*\{5\}.*in row 1"):
            model.fit({"a": [1, 2, [1]] * 8, "b": ["x", {5}, None] * 8}, y)
        model.fit(X, y)
    with pytest.raises(cr.DataError, match=r"lacks the column 'w'.*'ten' \(row 1\).*'n'.*'soon' \(row 2\).*'t'"):
        model.predict({"n": ["1", "ten"] * 12, "t": [None, "2020-01-01", "soon"] * 8})


class NotAnArray:
    """What NumPy makes an array of, and nothing else knows."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([1, 2] * 6, dtype)


TARGETS: dict[str, tuple[Any, str, str]] = {
    "a gap": (["a", "b", None] * 4, "no value in row 2", "no value in row 2"),
    "NaN": ([1.0, 2.0, NAN] * 4, "NaN.*row 2", "NaN.*row 2"),
    "infinity": ([1.0, 2.0, np.inf] * 4, "infinity.*row 2", "infinity.*row 2"),
    "null": (pl.Series([1.5, None, 2.0] * 4), "row 1", "row 1"),
    "two and a gap": (pd.DataFrame({"y": [1.5] * 12, "z": pd.array([1, None] * 6, "Int64")}), "2 col", "'z'.*row 1"),
    "two with texts": (pa.table({"y": [1.5, 2] * 6, "z": ["3", "b"] * 6}), "2 columns", "'z'.*'3' .row 0."),
    "dates": (pd.Series(pd.date_range("2020", periods=12)), "row 0", "row 0"),
    "mixed": ([1, "a"] * 6, "row 0", "row 0"),
    "texts": (["a", "b"] * 6, "", "'a' in row 0. TabularClassifier"),
    "numbers": ([0.5, 1.5] * 6, "TabularRegressor", ""),
    "few": ([1, 2], "X has 12 rows, but y has 2", "X has 12 rows, but y has 2"),
    "a text": ("abcdefghijkl", "each row", "each row"),
    "a number": (3, "each row", "each row"), "a set": (set(range(12)), "each row", "each row"),
    "three axes": (np.zeros((12, 1, 1)), "label type", "12, 1, 1"), "huge": ([1.7e308, -1.7e308] * 6, "continuous", ""),
    "long": ([2**60, 2**60 + 1] * 6, "", ""), "alone": (["a"] * 12, "", "'a' in row 0"),
    "others": (NotAnArray(), "", ""),
    "arrow": (pa.chunked_array([[1, 2] * 6]), "", ""),
}  # fmt: skip
"""Targets, and what TabularClassifier and TabularRegressor say of them, "" where they are taken."""


def test_hostile_targets() -> None:
    X = pd.DataFrame({"a": np.arange(12) % 5 / 3, "b": list("abc") * 4})
    for what, (y, *words) in TARGETS.items():
        for number, match in enumerate(words):
            model, _ = estimator(number, 12)
            with tiny():
                if match:
                    with pytest.raises(cr.DataError, match=match):
                        model.fit(X, y)
                else:
                    assert np.isfinite(said(model.fit(X, y), X)).all(), what
                    assert what == "huge" or model.evaluate(X, y).samples == 12


def test_one_class_alone_and_several_columns_of_classes() -> None:
    X = pd.DataFrame({"a": np.arange(12) % 5 / 3})
    with tiny():
        alone = estimator(0, 12)[0].fit(X, ["only"] * 12)
        assert (alone.predict(X) == "only").all() and alone.predict_proba(X).tolist() == [[1.0]] * 12
        several = MultiOutputClassifier(estimator(0, 12)[0]).fit(X, np.array([["u", "x"], ["v", "y"]] * 6))
        assert several.predict(X).shape == (12, 2)
