"""Data frames of pandas and polars: read as files are, matched by name, and left as they were."""

from __future__ import annotations

import datetime
import decimal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import frames
from chainrule.data import from_frame, load, load_features, read_csv
from chainrule.errors import DataError, DataWarning

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

RNG = np.random.default_rng
ROWS = 120


def people(kind: Any = pd) -> Any:
    """Texts, categories, truth values, whole numbers with gaps, and a target that follows from them."""
    rng = RNG(0)
    age, city = rng.normal(size=ROWS), rng.choice(["Oslo", "Rome", "Kyiv"], ROWS)
    columns = {
        "age": age,
        "city": city,
        "ok": rng.random(ROWS) > 0.5,
        "children": [None if k % 7 == 0 else k % 5 for k in range(ROWS)],
        "y": np.where((age > 0) ^ (city == "Rome"), "u", "v"),
    }
    if kind is pl:
        return pl.DataFrame({name: list(cells) for name, cells in columns.items()})
    frame = pd.DataFrame(columns)
    frame["city"] = frame["city"].astype("category")
    frame["children"] = frame["children"].astype("Int64")
    return frame


NAMES = (
    "age", "city=Kyiv", "city=Oslo", "city=Rome", "ok=False", "ok=True", "children", "children is missing",
)  # fmt: skip


@pytest.mark.parametrize("kind", [pd, pl])
def test_a_frame_is_read_as_its_file_is(kind: Any, tmp_path: Path) -> None:
    frame = people(kind)
    data = load(frame)
    assert data.feature_names == NAMES and data.target_names == ("u", "v") and data.name == "frame"
    people(pd).to_csv(tmp_path / "people.csv", index=False)
    file = read_csv(tmp_path / "people.csv")
    np.testing.assert_array_equal(data.X, file.X)
    np.testing.assert_array_equal(data.y, file.y)
    X, y = load_features(frame, file.encoder, file.target)
    np.testing.assert_array_equal(X, file.X)
    assert y is not None and np.array_equal(y, file.y)


COLUMNS: dict[str, tuple[Any, list[str], list[Any] | None]] = {
    "floats with gaps": (pd.Series([1.5, None, 2.5] * 4), ["a", "a is missing"], [2.0, 1.0]),
    "Float64": (pd.Series([1.5, None, 2.5] * 4, dtype="Float64"), ["a", "a is missing"], None),
    "Int64": (pd.Series([1, None, 3] * 4, dtype="Int64"), ["a", "a is missing"], None),
    "int8": (pd.Series([1, 2, 3] * 4, dtype="int8"), ["a"], None),
    "uint64": (pd.Series([2**64 - 1, 2, 3] * 4, dtype="uint64"), ["a"], None),
    "float32": (pd.Series([0.5, 2, 3] * 4, dtype="float32"), ["a"], None),
    "bool": (pd.Series([True, False, True] * 4), ["a=False", "a=True"], [1.0, 0.0]),
    "boolean": (pd.Series([True, None, False] * 4, dtype="boolean"), ["a=False", "a=True", "a=(missing)"], None),
    "object of numbers": (pd.Series([1, 2.5, None] * 4, dtype=object), ["a", "a is missing"], None),
    "decimals": (pd.Series([decimal.Decimal("1.5"), 2] * 6, dtype=object), ["a"], None),
    "texts": (pd.Series(["x", None, "z"] * 4), ["a=x", "a=z", "a=(missing)"], None),
    "strings": (pd.Series(["x", None, "z"] * 4, dtype="string"), ["a=x", "a=z", "a=(missing)"], None),
    "mixed": (pd.Series(["x", 1, 2.5] * 4, dtype=object), ["a=1", "a=2.5", "a=x"], None),
    "texts of numbers": (pd.Series(["1,5", "2", "3"] * 4), ["a"], None),
    "codes": (pd.Series(["007", "008", "009"] * 4), ["a=007", "a=008", "a=009"], None),
    "categories": (pd.Series(["x", None, "z"] * 4, dtype="category"), ["a=x", "a=z", "a=(missing)"], None),
    "categories of numbers": (pd.Series([3, 5, 7] * 4, dtype="category"), ["a"], None),
    "bytes": (pd.Series([b"x", b"z"] * 6), ["a=x", "a=z"], None),
    "sparse": (pd.Series(pd.arrays.SparseArray([0.0, 1.0, 0.0] * 4)), ["a"], None),
    "NaT": (pd.Series([1.5, pd.NaT, 2] * 4, dtype=object), ["a", "a is missing"], None),
    "polars decimals": (pl.Series([decimal.Decimal("1.5"), None] * 6), ["a", "a is missing"], None),
    "polars enum": (pl.Series(["x", "z"] * 6, dtype=pl.Enum(["x", "z"])), ["a=x", "a=z"], None),
    "polars booleans": (pl.Series([True, None] * 6), ["a=True", "a=(missing)"], None),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_every_kind_of_column(name: str) -> None:
    series, names, _second = COLUMNS[name]
    y = ["u", "v"] * 6
    if isinstance(series, pl.Series):
        frame = pl.DataFrame({"a": series, "y": y})
    else:
        frame = pd.DataFrame({"a": series, "y": y}).set_axis([f"row {k}" for k in range(12)])
    if name == "codes":
        data = from_frame(frame)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if name == "mixed" else "error")
            data = from_frame(frame)
    assert list(data.feature_names) == names and np.isfinite(data.X).all()


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([[1], [2, 3]], "'a' holds a list in a cell"),
        ([{"x": 1}, {}], "'a' holds a dict in a cell"),
        ([b"\xff", b"x"], "'a' holds bytes that are no UTF-8"),
        ([10**400, 1], "'a' holds a whole number beyond 1.8e308"),
        ([np.inf, 1], "'inf' (row 0) in the column 'a' is not finite"),
        (["x1", "7"] + [str(k) for k in range(40)], "'x1' (row 0) in the column 'a' is not a number"),
        ([f"id{k}" for k in range(60)], "'a' (60 different texts in 60 rows) is no categories"),
        ([pd.Timestamp(2020, 1, 1) + pd.Timedelta(days=k) for k in range(60)], "look like dates or times"),
        ([1 + 2j, 3], "'a' holds"),
    ],
)
def test_columns_that_cannot_be_read(column: list[Any], words: str) -> None:
    frame = pd.DataFrame({"a": pd.Series(column, dtype=object), "y": ["u", "v"] * (len(column) // 2)})
    with pytest.raises(DataError) as caught:
        from_frame(frame)
    assert words in str(caught.value) and len(str(caught.value)) <= 500


def test_frames_that_cannot_be_read() -> None:
    twice = pd.DataFrame(np.ones((4, 3)), columns=["a", "a", "y"])
    with pytest.raises(DataError, match="has 'a' more than once among its columns"):
        from_frame(twice)
    for empty in (pd.DataFrame(), pd.DataFrame({"a": [], "y": []}), pl.DataFrame()):
        with pytest.raises(DataError, match="The frame is empty"):
            from_frame(empty)
    with pytest.raises(DataError, match="must be a data frame"):
        from_frame(np.ones((3, 2)))
    with pytest.raises(DataError, match=r"Unknown column 'z'"):
        load(people(), target="z")


class TestTargets:
    @pytest.mark.parametrize(
        ("cells", "names"),
        [
            (pd.Series([0, 1] * 60), ("0", "1")),
            (
                pd.Series([1582218195625938945, 1582218195625938946] * 60),
                ("1582218195625938945", "1582218195625938946"),
            ),
            (pd.Series([2**64 - 1, 2**64 - 2] * 60, dtype="uint64"), ("18446744073709551614", "18446744073709551615")),
            (pd.Series([0.0, 1.0] * 60), ("0", "1")),
            (pd.Series([True, False] * 60), ("False", "True")),
            (pd.Series(["007", "7"] * 60), ("007", "7")),
            (pd.Series(["b", "a"] * 60, dtype="category"), ("a", "b")),
            (pd.Series([3, 5] * 60, dtype="Int64"), ("3", "5")),
        ],
    )
    def test_classes(self, cells: Any, names: tuple[str, ...]) -> None:
        frame = people().assign(y=cells)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if "007" in names else "error")
            data = load(frame)
        assert sorted(data.target_names or ()) == sorted(names)
        assert data.target.decode(data.y)[:2] == [names_of(cells[k]) for k in range(2)]

    def test_missing(self) -> None:
        for cells in (
            pd.Series([None, "u", "v"] * 40),
            pd.Series([None, 1.5, 2] * 40),
            pd.Series([None, 1] * 60, dtype="Int64"),
        ):
            with pytest.raises(DataError, match="row 0: the target is missing"):
                load(people().assign(y=cells))


def names_of(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) else str(value)


class TestNetwork:
    """Columns are matched by the names that the network was fitted with."""

    @pytest.fixture
    def fitted(self) -> tuple[cr.Network, Any]:
        frame = pd.DataFrame(RNG(0).normal(size=(90, 3)), columns=list("abc"))
        net = cr.Network(3, [cr.Dense(1)], "squared_error", dtype="float64")
        net.fit(frame, 3 * frame["a"] - frame["c"], epochs=3, verbose=False)
        return net, frame

    def test_by_name(self, fitted: tuple[cr.Network, Any], tmp_path: Path) -> None:
        net, frame = fitted
        y = 3 * frame["a"] - frame["c"]
        expected, turned = net.predict(frame), frame[["c", "b", "a"]]
        net.save(tmp_path / "net.safetensors")
        loaded = cr.Network.load(tmp_path / "net.safetensors")
        assert net.feature_names == loaded.feature_names == ("a", "b", "c")
        for network in (net, loaded):
            np.testing.assert_array_equal(network.predict(turned), expected)
            np.testing.assert_array_equal(network.predict(pl.from_pandas(turned)), expected)
            np.testing.assert_array_equal(network.predict(frame.to_numpy()), expected)
            assert network.cost(turned, y) == network.cost(frame, y)
            np.testing.assert_array_equal(network.value("Z1", turned), network.value("Z1", frame))
            np.testing.assert_array_equal(network.jacobian(turned), network.jacobian(frame))
        np.testing.assert_array_equal(net.predict(turned.iloc[:1]), expected[:1])

    def test_absent_and_more(self, fitted: tuple[cr.Network, Any]) -> None:
        net, frame = fitted
        with pytest.raises(DataError, match=r"X lacks the columns 'a', 'c' .* There are: 'b', 'd'"):
            net.predict(frame[["b"]].assign(d=1))
        with pytest.warns(DataWarning, match="not used: 'd'"):
            np.testing.assert_array_equal(net.predict(frame.assign(d="x")), net.predict(frame))

    def test_what_was_fitted_last_counts(self, fitted: tuple[cr.Network, Any]) -> None:
        net, frame = fitted
        y = frame["a"].to_numpy()
        renamed = frame.rename(columns={"a": "x"})
        net.fit(renamed, y, epochs=1, validation_data=(renamed[["c", "b", "x"]], y), verbose=False)
        assert net.feature_names == ("x", "b", "c") and net.history is not None
        with pytest.raises(DataError, match="validation_data: X lacks the column 'x'"):
            net.fit(renamed, y, epochs=1, validation_data=(frame, y), verbose=False)
        net.fit(frame.to_numpy(), y, epochs=1, verbose=False)
        assert net.feature_names is None
        net.predict(frame)

    def test_frames_without_names(self, fitted: tuple[cr.Network, Any]) -> None:
        net, frame = fitted
        numbered, twice = frame.set_axis(range(3), axis=1), frame.set_axis(["a", "a", "b"], axis=1)
        for other in (numbered, twice):
            np.testing.assert_array_equal(net.predict(other), net.predict(frame))

    def test_kinds_of_columns(self, fitted: tuple[cr.Network, Any]) -> None:
        net, frame = fitted
        whole = frame.round().astype(int)
        for other in (
            whole,
            whole.astype("Int64"),
            whole.astype(object),
            whole.astype("category"),
            whole.convert_dtypes(),
        ):
            np.testing.assert_array_equal(net.predict(other), net.predict(whole.to_numpy()))
        np.testing.assert_array_equal(net.predict(frame > 0), net.predict((frame > 0).to_numpy()))

    @pytest.mark.parametrize(
        ("column", "words"),
        [
            (["x"] * 90, "The column 'b' holds texts ('x' in row 0)"),
            ([datetime.date(2020, 1, 1)] * 90, "The column 'b' holds dates or times"),
            ([[1]] * 90, "The column 'b' holds cells of the type list"),
            (pd.Series([1, None] * 45, dtype="Int64"), r"X must be finite. Got nan at \[1, 1\]"),
            (pd.Series([True, None] * 45, dtype="boolean"), "The column 'b' has no value in row 1"),
        ],
    )
    def test_columns_that_are_no_numbers(self, fitted: tuple[cr.Network, Any], column: Any, words: str) -> None:
        net, frame = fitted
        with pytest.raises(
            DataError, match=words.replace("(", r"\(").replace(")", r"\)") if "\\" not in words else words
        ):
            net.predict(frame.assign(b=column))

    def test_targets(self, fitted: tuple[cr.Network, Any]) -> None:
        net, frame = fitted
        y = pd.Series(range(90))
        for same in (y, y.astype("Int64"), y.astype(object), y.to_frame(), pl.Series(range(90))):
            assert net.cost(frame, same) == net.cost(frame, y.to_numpy())
        for wrong, words in ((y.astype("Int64").where(y > 0), "finite|missing"), (y.astype(str), "texts")):
            with pytest.raises(DataError, match=words):
                net.cost(frame, wrong)


def test_standardizing_is_by_name() -> None:
    frame = pd.DataFrame(RNG(0).normal(5, 3, (50, 3)), columns=list("abc")) * [1, 10, 100]
    standardizer = cr.data.Standardizer.fit(frame)
    expected = standardizer.transform(frame)
    again = cr.data.Standardizer.from_dict(standardizer.to_dict())
    assert again.names == ("a", "b", "c")
    for known in (standardizer, again):
        np.testing.assert_array_equal(known.transform(frame[["c", "a", "b"]]), expected)
        np.testing.assert_array_equal(known.transform(frame.to_numpy()), expected)
    with pytest.raises(DataError, match="X lacks the column 'b'"):
        standardizer.transform(frame[["a", "c"]])
    with pytest.raises(DataError, match="The column 'a' holds texts"):
        cr.data.Standardizer.fit(frame.assign(a="x"))


class TestEstimators:
    @pytest.mark.parametrize("kind", [pd, pl])
    def test_texts_and_gaps(self, kind: Any) -> None:
        frame = people(kind)
        X = frame.drop(columns="y") if kind is pd else frame.drop("y")
        y = frame["y"]
        model = cr.MLPClassifier((8,), max_iter=30, learning_rate_init=0.02, random_state=0, early_stopping=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y, validation_data=(X, y))
        assert model.encoder_.feature_names == NAMES and model.score(X, y) > 0.7
        other = people(pl if kind is pd else pd)[list(X.columns)]
        np.testing.assert_array_equal(model.predict_proba(other), model.predict_proba(X))
        with pytest.warns(DataWarning, match="in another order"):
            np.testing.assert_array_equal(model.predict(X[list(X.columns)[::-1]]), model.predict(X))
        with pytest.warns(DataWarning, match="'MOON'"):
            model.predict(people().assign(city="MOON")[list(X.columns)])
        with pytest.raises(DataError, match="lacks the column 'age'"):
            model.predict(X[["city", "ok", "children"]])
        with pytest.raises(DataError, match="must be a data frame"):
            model.predict(np.ones((3, 8)))
        assert model.transform(X).shape == (ROWS, 8)

    def test_gaps_alone(self) -> None:
        X = pd.DataFrame({"a": [1.0, None, 3.0, 5.0] * 10, "b": range(40)})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = cr.MLPClassifier((4,), max_iter=2).fit(X, [0, 1] * 20)
        assert model.encoder_.feature_names == ("a", "a is missing", "b") and len(model.predict(X)) == 40

    def test_numbers_alone_are_as_ever(self) -> None:
        X = pd.DataFrame(RNG(0).normal(size=(60, 2)), columns=["a", "b"])
        y = X["a"] > 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            named, plain = (cr.MLPClassifier((4,), max_iter=5, random_state=0).fit(x, y) for x in (X, X.to_numpy()))
        assert not hasattr(named, "encoder_") and list(named.feature_names_in_) == ["a", "b"]
        np.testing.assert_array_equal(named.predict_proba(X), plain.predict_proba(X.to_numpy()))
        with pytest.raises(DataError, match="The column 'a' holds texts"):
            named.predict(X.assign(a="x"))
        with pytest.raises(ValueError, match="NaN"):
            named.predict(X.where(X > 0))

    def test_fitted_again_to_numbers(self) -> None:
        frame = people()
        model = cr.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(frame.drop(columns="y"), frame["age"])
            assert hasattr(model, "encoder_")
            model.fit(frame[["age"]], frame["age"])
        assert not hasattr(model, "encoder_") and model.predict(frame[["age"]]).shape == (ROWS,)

    @pytest.mark.parametrize(
        ("y", "words"),
        [
            (pd.Series(["u", None] * 60), "y has no value in row 1"),
            ([None, "u"] * 60, "y has no value in row 0"),
            (pd.Series(["u", None] * 60, dtype="string"), "y has no value in row 1"),
            (pd.Series([True, None] * 60, dtype="boolean"), "y has no value in row 1"),
            (pd.Series([1, None] * 60, dtype="Int64"), "NaN"),
            (pd.Series([pd.Timestamp(2020, 1, 1)] * 120), "y must hold texts or numbers"),
            (["u", 1] * 60, "beside texts"),
        ],
    )
    @pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
    def test_targets_that_cannot_be(self, name: str, y: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            getattr(cr, name)(max_iter=2).fit(people()[["age"]], y)


def test_nothing_is_changed() -> None:
    for kind in (pd, pl):
        frame, before = people(kind), people(kind)
        load(frame)
        model = cr.MLPClassifier((4,), max_iter=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(frame[["age", "city", "children"]], frame["y"]).predict(frame[["age", "city", "children"]])
        assert frame.equals(before)


def test_what_is_no_frame() -> None:
    for thing in (np.ones((2, 2)), [[1]], None, "text", {"a": [1]}, pd.Series([1]), pl.Series([1])):
        assert not frames.is_frame(thing) and frames.names(thing) is None
    assert frames.names(pd.DataFrame({"a": [1], 2: [3]})) is None
    assert frames.names(pl.DataFrame({"a": [1], "b": [3]})) == ("a", "b")
