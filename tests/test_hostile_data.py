"""Whatever comes in: the right answer, or an error that says where; and nothing of the caller's changes."""

from __future__ import annotations

import contextlib
import copy
import datetime
import decimal
import fractions
import gzip
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.data import Dataset, load
from chainrule.data.readers import read_new
from chainrule.errors import ChainruleError, DataWarning

settings.register_profile("data", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
data_settings = settings(settings.get_profile("data"), max_examples=150)
many = settings(settings.get_profile("data"), max_examples=5000)

CELLS = st.one_of(
    st.sampled_from(
        ["", "NA", "#N/A", "None", "-", "?", "nan", "inf", "1e999", "007", "1E2", "12_3", "1,5", "1.234", "1,234",
         "1 234", "$5", "5%", "True", "FALSE", "2024-01-05", "12:30", "1582218195625938945", '"', "''", '"a', 'a"b',
         "=1+1", '"a ""b"" c"', "x" * 300, "\x00", "\u00e9", "e\u0301", "\ufeff", "\u2028", "\u0661", "<b>", "\\N",
         "-0", "0x1f", " ", "\t", "sep=;", "1;2", "a|b"]
    ),
    st.integers(-5, 5).map(str),
    st.floats().map(repr),
    st.text(max_size=6),
)  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Tables with something wrong, most of them."""
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    width = draw(st.integers(1, 4))
    kinds = [draw(st.sampled_from([CELLS, st.integers(0, 3).map(str), st.sampled_from("uv")])) for _ in range(width)]
    header = [draw(st.one_of(st.just(f"c{k}"), CELLS)) for k in range(width)]
    rows = draw(st.lists(st.tuples(*kinds), min_size=0, max_size=12)) * draw(st.sampled_from([1, 1, 7]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r", delimiter + "\n"]))
    text = draw(st.sampled_from(["", "", "sep=;\n", "\n", "\ufeff"]))
    text += "".join(delimiter.join(cells) + end for cells in [header, *rows])
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1", "utf-8-sig"]))
    raw = text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        raw = gzip.compress(raw)
    for place, byte in draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2)):
        raw = raw[:place] + bytes([byte]) + raw[place:]
    return raw


def sound(error: ChainruleError, *names: str) -> None:
    """One line, not long, that says of what it speaks."""
    text = str(error)
    assert "\n" not in text and "\r" not in text and len(text) <= 1000 and any(name in text for name in names), text


def check_file(folder: Path, content: bytes) -> None:
    path = folder / "t.csv"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            data = load(path)
        except ChainruleError as error:
            sound(error, "t.csv", "The target", "The data")
            return
        assert isinstance(data, Dataset) and np.isfinite(data.X).all() and len(data.X) == len(data.y)
        assert data.X.shape[1] == len(data.feature_names) and path.read_bytes() == content
        if data.target_names is not None:
            assert set(data.y.tolist()) == set(range(len(data.target_names)))
        # The same file as new data: the same numbers, and nothing that differs.
        new = read_new(path, data.encoder, data.target)
        np.testing.assert_array_equal(new.X, data.X)
        assert new.y is not None and np.array_equal(new.y, data.y) and new.judged.all()
        assert not [note for note in new.notes if "training data" in note], new.notes


@data_settings
@given(content=files())
def test_files(tmp_path: Path, content: bytes) -> None:
    check_file(tmp_path, content)


@pytest.mark.long
@many
@given(content=files())
def test_many_files(tmp_path: Path, content: bytes) -> None:
    check_file(tmp_path, content)


@data_settings
@given(st.binary(max_size=200))
@example(b"PK\x03\x04")
@example(b"\xff\xfe\x00")
def test_bytes(tmp_path: Path, content: bytes) -> None:
    check_file(tmp_path, content)


@data_settings
@given(content=files(), other=files())
def test_files_that_do_not_belong_together(tmp_path: Path, content: bytes, other: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    (tmp_path / "other.csv").write_bytes(other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            data = load(tmp_path / "t.csv")
        except ChainruleError:
            return
        try:
            new = read_new(tmp_path / "other.csv", data.encoder, data.target)
        except ChainruleError as error:
            sound(error, "other.csv")
        else:
            assert new.X.shape[1] == data.X.shape[1] and np.isfinite(new.X).all()


class Odd:
    """An object that answers nothing."""


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(max_magnitude=10),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.decimals(),
    st.fractions(),
    st.dates(),
    st.timedeltas(),
    st.builds(Odd),
    st.sampled_from([np.float32(1.5), np.int8(3), np.datetime64("2020-01-01"), np.bool_(True), 10**400, float("nan")]),
    st.lists(st.integers(0, 1), max_size=2),
    st.dictionaries(st.integers(0, 1), st.integers(0, 1), max_size=1),
)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """What somebody may hand over for X."""
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return draw(VALUES)
    if kind == 1:
        return [[draw(VALUES) for _ in range(columns)] for _ in range(rows)]
    if kind == 2:
        cells = np.empty((rows, columns), dtype=object)
        for place in np.ndindex(cells.shape):
            cells[place] = draw(VALUES)
        return cells
    dtype = draw(st.sampled_from(["f2", "f4", "f8", ">f8", "i1", "u8", "?", "c16", "U3", "S2", "M8[D]", "m8[s]", "V4",
                                  np.longdouble, [("a", "f8"), ("b", "i4")]]))  # fmt: skip
    shape = draw(st.sampled_from([(), (3,), (rows, 3), (rows, columns), (1, rows, 3)]))
    array = np.zeros(shape, dtype)
    if kind == 3 and array.dtype.kind == "f" and array.size:
        array.flat[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e300]))
    if kind == 4:
        return np.ma.masked_array(array, mask=draw(st.booleans())) if array.dtype.kind in "fiu" else array
    if kind == 5:
        return array.T
    return array[::-1] if shape else array


NET = cr.Network(3, [cr.Dense(2, "softmax")], "cross_entropy", engine="reference")
TOKENS = cr.Network(3, [cr.Embedding(4, 2), cr.Dense(1)], "squared_error", engine="reference")


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    return repr(a) == repr(b)


@data_settings
@given(X=arrays(), y=arrays())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arrays(X: Any, y: Any) -> None:
    before = copy.deepcopy((X, y)) if not _has_odd(X) and not _has_odd(y) else None
    for net in (NET, TOKENS):
        for call in (
            lambda n=net: n.predict(X),
            lambda n=net: n.cost(np.zeros((2, 3), int), y),
            lambda n=net: n.cost(X, y, sample_weight=y),
        ):
            try:
                found = call()
            except ChainruleError as error:
                sound(error, "X", "y", "sample_weight")
            else:
                assert np.isfinite(np.asarray(found)).all()
    if before is not None:
        assert same(X, before[0]) and same(y, before[1])


def _has_odd(value: Any) -> bool:
    return "Odd" in repr(value) or (isinstance(value, np.ndarray) and value.dtype == object)


@data_settings
@given(y=st.lists(VALUES, min_size=6, max_size=6))
@example(y=[False, False, False, False, 2**1500, np.float32(1.5)])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.filterwarnings("ignore")
def test_targets_of_estimators(name: str, y: list[Any]) -> None:
    """As scikit-learn: a ValueError, if anything."""
    with contextlib.suppress(ValueError):
        getattr(cr, name)(hidden_layer_sizes=(2,), max_iter=1, engine="reference").fit(np.eye(6), y)


FRAME_CELLS = st.one_of(
    st.lists(VALUES, min_size=6, max_size=6),
    st.lists(st.one_of(st.none(), st.floats(-9, 9)), min_size=6, max_size=6),
    st.lists(st.sampled_from(["u", "v"]), min_size=6, max_size=6),
    st.lists(st.integers(0, 1), min_size=6, max_size=6),
    st.lists(CELLS, min_size=6, max_size=6),
)


@data_settings
@given(columns=st.dictionaries(st.one_of(st.sampled_from("abcy"), st.text(max_size=3)), FRAME_CELLS, max_size=4))
@pytest.mark.filterwarnings("ignore")
def test_frames(columns: dict[str, list[Any]]) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    before = frame.copy(deep=True)
    try:
        data = load(frame)
    except ChainruleError as error:
        sound(error, "frame", "The target", "The data")
    else:
        assert np.isfinite(data.X).all() and len(data.X) == len(data.y) == 6
    for call in (
        lambda: NET.predict(frame),
        lambda: cr.MLPClassifier((2,), max_iter=1, engine="reference").fit(frame, [0, 1] * 3).predict(frame),
    ):
        with contextlib.suppress(ValueError):
            call()
    assert all(a is b or a == b or a != a for x, z in zip(frame.items(), before.items(), strict=True)
               for a, b in zip(x[1], z[1], strict=True) if np.ndim(a) == 0)  # fmt: skip


def test_numbers_of_other_kinds() -> None:
    """What is a number to Python is one here, whatever its class."""
    X = [[decimal.Decimal("1.5"), fractions.Fraction(1, 2), True]]
    np.testing.assert_array_equal(NET.predict(X), NET.predict([[1.5, 0.5, 1.0]]))
    for wrong, words in (
        ([[datetime.date(2020, 1, 1), 1, 2]], "dates or times"),
        ([["1.5", 1, 2]], "encode text columns first"),
        ([[None, "x", 2]], "none at"),
        ([[b"1", 1, 2]], "texts"),
    ):
        with pytest.raises(cr.DataError, match=words):
            NET.predict(wrong)
