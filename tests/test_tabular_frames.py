"""Tables as they come: every kind of frame reads alike, what is learned of each column, what is refused and told."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import sys
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.tabular.frame import read_frame
from chainrule.tabular.inputs import TableInputs
from chainrule.tabular.kept import preparation_from_dict, preparation_to_dict
from chainrule.tabular.preparation import Preparation, learn

DAY = datetime.datetime(2024, 1, 31)


def people(m: int = 120, seed: int = 0) -> dict[str, list[Any]]:
    """Columns of each kind, with gaps."""
    rng = np.random.default_rng(seed)
    gaps = rng.random((m, 3)) < 0.1

    def some(k: int, values: Any) -> list[Any]:
        return [None if gap else value for gap, value in zip(gaps[:, k], values, strict=True)]

    return {
        "age": rng.integers(18, 80, m).tolist(),
        "pay": some(0, np.exp(rng.normal(8, 2, m)).tolist()),
        "job": some(1, rng.choice(["cook", "nurse", "pilot"], m).tolist()),
        "member": (rng.random(m) < 0.3).tolist(),
        "town": rng.choice(["Rome", "Oslo"], m).tolist(),
        "since": some(2, [DAY + datetime.timedelta(hours=h) for h in rng.integers(0, 20_000, m).tolist()]),
        "always": [7] * m,
        "nothing": [None] * m,
        "number": list(range(100, 100 + m)),
        "note": [f"text {k} {rng.integers(1e9)}" for k in range(m)],
    }  # fmt: skip


def ways(columns: dict[str, list[Any]], folder: Path) -> dict[str, Any]:
    """The same table as everything that it may come in."""
    frame = pd.DataFrame(columns)
    frame.to_csv(folder / "table.csv", index=False)
    frame.to_json(folder / "table.jsonl", orient="records", lines=True, date_format="iso", double_precision=15)
    pq.write_table(pa.table(columns), folder / "table.parquet")
    feather.write_feather(pa.table(columns), folder / "table.feather")
    return {
        "pandas": frame,
        "pandas, nullable": frame.convert_dtypes(),
        "pandas, another index": frame.set_index(pd.Index(np.arange(len(frame))[::-1] * 3, name="age")),
        "polars": pl.DataFrame(columns),
        "pyarrow": pa.table(columns),
        "dictionary": columns,
        "records": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        "csv": folder / "table.csv",
        "parquet": folder / "table.parquet",
        "feather": folder / "table.feather",
        "json lines": folder / "table.jsonl",
    }


def arrays(inputs: TableInputs) -> tuple[bytes, bytes, bytes]:
    return inputs.numbers.tobytes(), inputs.flags.tobytes(), inputs.categories.tobytes()


def test_all_kinds_of_frames_give_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    tables, others = ways(people(), tmp_path), ways(people(30, seed=1), tmp_path / "new")
    answers = set()
    for name, table in tables.items():
        preparation = learn(read_frame(table))
        saved = json.loads(json.dumps(preparation_to_dict(preparation)))
        assert preparation_from_dict(saved) == preparation
        new = others if name == "csv" else {name: others[name], "csv": others["csv"]}
        again = [arrays(preparation.inputs(read_frame(t))[0]) for t in new.values()]
        assert len(set(again)) == 1, name
        answers.add((json.dumps(saved), again[0], arrays(preparation.inputs(read_frame(table))[0])))
    assert len(answers) == 1


def test_what_is_learned_of_each_column() -> None:
    columns = people()
    preparation = learn(read_frame(columns))
    shape = preparation.shape
    inputs, novelty = preparation.inputs(read_frame(columns))
    cycles = [f"since, {part} of the {cycle}" for cycle in ("year", "week", "day") for part in ("sin", "cos")]
    assert shape.numbers == ("age", "pay", "since", *cycles) and shape.categories == ("job",) and shape.counts == (5,)
    assert shape.flags == ("pay is missing", "member", "town", "since is missing") and not novelty
    assert dict(preparation.left_out) == {
        "always": "constant", "nothing": "empty", "number": "identifier", "note": "identifier",
    }  # fmt: skip
    assert len(preparation.notes) == 3 and "'note'" in " ".join(preparation.notes)
    assert np.isfinite(inputs.numbers).all() and np.abs(inputs.numbers).max() <= 3
    assert set(np.unique(inputs.flags)) == {-1, 1} and set(np.unique(inputs.categories)) == {1, 2, 3, 4}
    age = np.array(columns["age"], float)
    z = (age - np.median(age)) / np.subtract(*np.quantile(age, [0.75, 0.25]))
    np.testing.assert_allclose(inputs.numbers[:, 0], z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)
    for values, edges in zip(inputs.numbers.T, shape.edges, strict=True):
        assert len(edges) >= 2 and (np.diff(edges) > 0).all() and edges[0] <= values.min() + 1
    assert preparation.places["since"].numbers == slice(2, 9) and preparation.places["town"].flags == slice(2, 3)


def test_new_data_by_name_and_what_is_new_in_them() -> None:
    preparation = learn(read_frame(people()))
    new = people(20, seed=2)
    expected = arrays(preparation.inputs(read_frame(new))[0])
    turned = {name: new[name] for name in reversed(new)} | {"more": [1] * 20}
    inputs, novelty = preparation.inputs(read_frame(turned))
    assert arrays(inputs) == expected and novelty.extra == ("more",)
    new["job"][3] = "baker"
    new["age"][:2] = [None, None]
    inputs, novelty = preparation.inputs(read_frame(new))
    assert novelty.unseen == (("job", 1),) and novelty.gaps == (("age", 2),) and inputs.categories[3, 0] == 0
    assert inputs.numbers[0, 0] == 0 and "unseen" in str(novelty) and "without a value" in str(novelty)
    ordered = pd.Categorical(new["job"], categories=["pilot", "baker", "nurse", "cook"])
    assert arrays(preparation.inputs(read_frame(pd.DataFrame(new).assign(job=ordered)))[0]) == arrays(inputs)


def test_categories_by_choice() -> None:
    X = np.column_stack([np.arange(90) % 4, np.arange(90) / 7])
    assert learn(read_frame(X)).shape.counts == ()
    for chosen in ([0], [True, False], ["x0"], (np.int64(-2),)):
        assert learn(read_frame(X), chosen).shape.counts == (5,)
    frame = pd.DataFrame({"k": pd.Categorical([3, 1, 2] * 20), "v": np.arange(60.0) % 7})
    assert learn(read_frame(frame)).shape.categories == ("k",)
    for wrong, words in ((["y"], "unknown column|no column|'y'"), ([5], "below 2"), ([True], "mask of 2")):
        with pytest.raises(cr.DataError, match=words):
            learn(read_frame(X), wrong)


def test_many_levels() -> None:
    rng = np.random.default_rng(0)
    codes = [f"c{k}" for k in rng.zipf(1.3, 4000) % 900]
    column = learn(read_frame({"code": codes, "v": rng.normal(size=4000).tolist()}))
    (count,) = column.shape.counts
    often = sum(codes.count(c) >= 3 for c in set(codes))
    inputs, novelty = column.inputs(read_frame({"code": codes, "v": [0.0] * 4000}))
    assert count == often + 1 and 0 < (inputs.categories == 0).mean() < 0.5 and not novelty.unseen


def test_extreme_numbers() -> None:
    rng = np.random.default_rng(0)
    huge = rng.normal(size=200) * 3e307
    columns = {"huge": huge, "tiny": rng.normal(size=200) * 1e-310, "heavy": np.exp(rng.normal(0, 40, 200)),
               "infinite": np.where(np.arange(200) % 50, rng.normal(size=200), np.inf),
               "rare": np.where(np.arange(200) % 100, 0.0, 5.0)}  # fmt: skip
    preparation = learn(read_frame(columns))
    numbers = preparation.inputs(read_frame(columns))[0].numbers
    assert preparation.shape.numbers == tuple(columns) and np.isfinite(numbers).all() and np.abs(numbers).max() <= 3
    assert (np.ptp(numbers, axis=0) > 0.5).all()


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content, words in (
        ("a.parquet", b"no", "cannot be read"), ("a.feather", b"no", "cannot be read"), ("b.parquet", None, "no such"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "line 2, must be an object"), ("b.jsonl", b'{"a": 1}\n{"a"', "line 2"),
        ("c.jsonl", b"\n", "no rows"), ("c.csv", b"a,b\n1\n", "line 2"),
    ):  # fmt: skip
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(cr.DataError, match=words):
            read_frame(tmp_path / name)
    (tmp_path / "few.jsonl").write_text('{"a": 1}\n\n{"b": "x"}\n{"a": 3, "b": null}\n')
    few = read_frame(tmp_path / "few.jsonl")
    np.testing.assert_array_equal(few.numbers("a"), [1, np.nan, 3])
    assert few.texts("b").codes.tolist() == [-1, 0, -1] and few.texts("b").words == ("x",)
    table, parquet, feather = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), io.BytesIO(), io.BytesIO()
    table.to_parquet(parquet), table.to_feather(feather)
    for raw in (
        parquet.getvalue(),
        feather.getvalue(),
        b"a;b\n1;x\n2;y\n",
        gzip.compress(b"a,b\n1,x\n2,y\n"),
        b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n',
    ):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
        assert read_frame("-").numbers("a").tolist() == [1, 2]


def test_less_usual_tables_and_columns() -> None:
    z, thirds = [0, 1, 2] * 20, ["u", "v", None] * 20
    arrow = pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
    same = [
        pd.DataFrame({"a": pd.Series(thirds).astype(arrow), "z": pd.arrays.SparseArray(z)}),
        pa.RecordBatch.from_pydict({"a": thirds, "z": z}),
        pa.table({"a": pa.chunked_array([pa.array(thirds[:7]), [], thirds[7:]]).dictionary_encode(), "z": z}),
        pl.DataFrame({"a": pl.Series(thirds, dtype=pl.Enum(["x", "v", "u"])), "z": pl.Series(z, dtype=pl.UInt8)}),
        pd.DataFrame({"a": [None if t is None else t.encode() for t in thirds], "z": [Decimal(k) for k in z]}),
        np.array(list(zip([t or "" for t in thirds], z, strict=True)), dtype=[("a", "U1"), ("z", "f2")]),
    ]
    first = learn(read_frame(same[0]))
    assert first.shape.categories == ("a",) and first.shape.counts == (4,) and first.shape.numbers == ("z",)
    for table in same[1:]:
        assert learn(read_frame(table)) == first
        assert arrays(first.inputs(read_frame(table))[0]) == arrays(first.inputs(read_frame(same[0]))[0])
    masked = np.ma.masked_array(np.arange(6.0).reshape(3, 2) % 4, mask=[[0, 1], [0, 0], [1, 0]])
    np.testing.assert_array_equal(read_frame(masked).numbers("x0"), [0, 2, np.nan])
    clock = [datetime.time(k % 24, k % 60) for k in range(60)]
    learned = learn(read_frame({"t": [f"{t.hour}:{t.minute:02d}" for t in clock]}))
    assert learned == learn(read_frame({"t": clock})) and learned.shape.numbers[1:] == (
        "t, sin of the day", "t, cos of the day",
    )  # fmt: skip
    zoned = [datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.UTC) + datetime.timedelta(hours=k) for k in range(60)]
    texts = [f"{t.astimezone(datetime.timezone(datetime.timedelta(hours=2))):%Y-%m-%d %H:%M:%S%z}" for t in zoned]
    assert learn(read_frame({"t": texts})) == learn(read_frame(pl.DataFrame({"t": zoned})))


def test_what_a_column_was_in_training_it_is_in_new_data() -> None:
    truth = learn(read_frame({"b": [True, False] * 9, "n": list(np.arange(18) / 7)}))
    flags = truth.inputs(read_frame({"b": [1, 0, None], "n": ["1", "0.5", None]}))
    assert flags[0].flags.tolist() == [[1], [-1], [0]] and flags[1].gaps == (("b", 1), ("n", 1))
    for written in (["TRUE", "false", ""], pd.Categorical(["true", "False", None])):
        assert truth.inputs(read_frame(pd.DataFrame({"b": written, "n": 0.0})))[0].flags.tolist() == [[1], [-1], [0]]
    words = pd.DataFrame({"b": True, "n": pd.Categorical(["0.25", "1"])})
    assert arrays(truth.inputs(read_frame(words))[0]) == arrays(
        truth.inputs(read_frame({"b": [True] * 2, "n": [0.25, 1]}))[0]
    )
    moments = learn(read_frame({"t": [DAY + datetime.timedelta(days=k) for k in range(50)]}))
    for refused in (["today"] * 2, ["2024-02-30", "2024-02-01"], [1.0, 2.0]):
        with pytest.raises(cr.DataError, match="is no date or time"):
            moments.inputs(read_frame({"t": refused}))


def test_dates_as_people_write_them() -> None:
    days = [DAY + datetime.timedelta(days=3 * k) for k in range(80)]
    plain = learn(read_frame({"d": days}))
    for written in (
        "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M:%S", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y",
        "%d/%m/%Y %H:%M", "%d %b %Y", "%d-%B-%Y",
    ):  # fmt: skip
        learned = learn(read_frame({"d": [f"{day:{written}}" for day in days]}))
        (column,) = learned.columns
        assert replace(column, first="") == plain.columns[0]  # type: ignore[type-var]
        some = {"d": [f"{day:{written}}" for day in days[1:4]]}  # in February: nobody could tell
        assert arrays(learned.inputs(read_frame(some))[0]) == arrays(plain.inputs(read_frame({"d": days[1:4]}))[0])
        assert preparation_from_dict(json.loads(json.dumps(preparation_to_dict(learned)))) == learned
    early = [f"{k % 12 + 1:02}/{k % 11 + 1:02}/{1950 + k}" for k in range(60)]
    doubtful = learn(read_frame({"d": early, "v": list(range(60))}))
    assert doubtful.left_out[0] == ("d", "dates") and "year first" in doubtful.notes[0]
    for written in (["13/01/2024", "01/13/2024"], ["31/02/2024"] * 2, ["1 Foo 2024"] * 2):
        assert read_frame({"d": written}).parsed("d") is None
    with pytest.raises(cr.DataError, match=r"'01/31/2024' .row 1. in the column 'd' is no date"):
        learn(read_frame({"d": [f"{day:%d/%m/%Y}" for day in days]})).inputs(
            read_frame({"d": ["02/02/2024", "01/31/2024"]})
        )


def test_categories_that_have_an_order() -> None:
    sizes = ["small", "middle", "large", "huge"]
    cells = [*(["small", "large", None, "middle"] * 15), "small"]
    kinds = [
        pd.Series(pd.Categorical(cells, categories=sizes, ordered=True)), pl.Series(cells, dtype=pl.Enum(sizes)),
        pd.Series(pd.Categorical(cells, categories=sizes, ordered=True)).astype(str).replace("nan", None),
    ]  # fmt: skip
    first, second, unordered = (learn(read_frame(k.to_frame("size"))) for k in (*kinds[:2], kinds[2]))
    parts = [kinds[0][:30], kinds[0][30:]]
    arrow = pa.concat_tables([pa.Table.from_pandas(part.to_frame("size"), preserve_index=False) for part in parts])
    assert learn(read_frame(arrow)) == first
    assert first == second and first.shape.numbers == ("size",) and first.shape.flags == ("size is missing",)
    assert unordered.shape.categories == ("size",) and not unordered.shape.numbers
    new = [None, "small", "middle", "large", "huge", "tiny"]
    inputs, novelty = first.inputs(read_frame({"size": new}))
    ranks = inputs.numbers[:, 0]
    assert (np.diff(ranks[1:5]) > 0).all() and ranks[5] == ranks[0] == 0 and novelty.unseen == (("size", 1),)
    turned = pd.Categorical(new, categories=["tiny", *sizes[::-1]], ordered=True)
    assert arrays(first.inputs(read_frame(pd.DataFrame({"size": turned})))[0]) == arrays(inputs)
    assert preparation_from_dict(json.loads(json.dumps(preparation_to_dict(first)))) == first
    assert learn(read_frame(kinds[0].to_frame("size")), ["size"]).shape.categories == ("size",)
    two = pd.DataFrame({"size": pd.Categorical(["a", "b"] * 9, categories=["b", "a"], ordered=True)})
    assert learn(read_frame(two)).shape.flags == ("size",)


def test_identifiers_in_whatever_order() -> None:
    rng = np.random.default_rng(0)
    part = rng.permutation(1000)[:700] + 5000.0
    left = learn(read_frame({"id": part, "v": rng.normal(size=700), "often": rng.integers(0, 900, 700)}))
    assert left.left_out == (("id", "identifier"),)
    assert len(learn(read_frame({"v": rng.integers(0, 10**6, 700)})).columns) == 1


def test_faults_come_together() -> None:
    bad = {"a": [1, 2, [3]], "b": [1j, 2, 3], "c": [1.0, 2.0, 3.0]}
    with pytest.raises(cr.DataError) as caught:
        read_frame(bad)
    assert "'a'" in str(caught.value) and "'b'" in str(caught.value)
    damaged = {"x": [*map(str, range(30)), "oops"], "y": [*(f"{k}.5" for k in range(30)), "?!"], "z": list(range(31))}
    with pytest.raises(cr.DataError, match=r"'oops' .row 30.*'x'.*'y'"):
        learn(read_frame(damaged))
    preparation = learn(read_frame(people()))
    lacking = {name: cells for name, cells in people(5, 1).items() if name not in ("age", "town")}
    with pytest.raises(cr.DataError, match="lacks the columns 'age', 'town'"):
        preparation.inputs(read_frame(lacking))
    wrong = people(5, 1) | {"age": ["x", "y", "z", "u", "v"], "since": ["soon"] * 5}
    with pytest.raises(cr.DataError, match=r"'age'.*'since'"):
        preparation.inputs(read_frame(wrong))
    for data, words in (
        (np.zeros(3), "a table"), (np.zeros((3, 0)), "a table"), (pl.DataFrame({"a": [1]}).lazy(), "collect it"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than once"), ({"a": [1], "b": [1, 2]}, "differ in length"),
    ):  # fmt: skip
        with pytest.raises(cr.DataError, match=words):
            read_frame(data)


def test_what_is_no_preparation_is_not_read() -> None:
    good = json.loads(json.dumps(preparation_to_dict(learn(read_frame(people())))))
    for change in (
        lambda d: d["columns"][0].update(kind="picture"),
        lambda d: d["columns"][0].update(edges=[1.0, 0.0]),
        lambda d: d["columns"][0]["scaling"].update(scale=0.0),
        lambda d: d["columns"][0].update(name="other"),
        lambda d: d["names"].append("age"),
        lambda d: d.pop("named"),
        lambda d: d["left_out"][0].update(why="bored"),
    ):
        damaged = json.loads(json.dumps(good))
        change(damaged)
        with pytest.raises(cr.DataError):
            preparation_from_dict(damaged)


CELLS = {
    "floats": st.floats(allow_nan=True, allow_infinity=True) | st.none(),
    "small": st.integers(-3, 3) | st.none(),
    "whole": st.integers(1 - 10**15, 10**15 - 1),
    "long": st.integers(-(10**18), 10**18),
    "digits": st.sampled_from(["1", "2", " 3", "2.5", "NA"]) | st.none(),
    "codes": st.sampled_from(["007", "01", "12", "NA", "FR", "e\u0301", "(missing)"]) | st.none(),
    "dates": st.dates(datetime.date(1700, 1, 1), datetime.date(2200, 1, 1)) | st.none(),
    "clock": st.times() | st.none(),
    "texts": st.sampled_from(["a", "b", "c d", "É", "x,y", 'say "so"']) | st.none(),
    "truth": st.booleans() | st.none(),
    "times": st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)) | st.none(),
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Columns, as hostile as their kinds allow, beside one without gaps, as files end before empty rows."""
    m = draw(st.integers(1, 25))
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))
    names = draw(st.permutations(["a", "b b", "ç", "col", "none", "x0"]))
    columns: dict[str, list[Any]] = {"full": [float(k * 7 % 5) for k in range(m)]}
    return columns | {n: draw(st.lists(CELLS[k], min_size=m, max_size=m)) for n, k in zip(names, kinds, strict=False)}


def outcome(table: Any, new: Any) -> Any:
    """What is learned and made of new data, or that it is refused."""
    try:
        preparation = learn(read_frame(table))
        return preparation, arrays(preparation.inputs(read_frame(new))[0])
    except cr.DataError:
        return "refused"


def hostile(columns: dict[str, list[Any]], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(next(iter(columns.values()))))
    frame = pd.DataFrame(columns)
    before = frame.copy(deep=True)
    first = outcome(frame, frame)
    text = io.StringIO()
    frame.to_csv(text, index=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
        others = {
            "nullable": outcome(frame.convert_dtypes(), path), "polars": outcome(pl.DataFrame(columns), frame),
            "pyarrow": outcome(pa.table(columns), columns), "csv": outcome(path, pl.DataFrame(columns)),
            "index": outcome(frame.set_index(pd.Index([0] * len(frame))), pa.table(columns)),
        }  # fmt: skip
    assert all(other == first for other in others.values()), {name: other[0] for name, other in others.items()}
    pd.testing.assert_frame_equal(frame, before)
    if first == "refused":
        return
    preparation: Preparation = first[0]
    inputs = preparation.inputs(read_frame(frame))[0]
    assert np.isfinite(inputs.numbers).all() and np.abs(inputs.numbers).max(initial=0) <= 3
    assert all(
        (c >= 0).all() and (c < n).all() for c, n in zip(inputs.categories.T, preparation.shape.counts, strict=True)
    )
    mixed = preparation.inputs(read_frame(frame.iloc[order]))[0]
    assert arrays(mixed) == arrays(inputs.of(order))
    assert preparation_from_dict(json.loads(json.dumps(preparation_to_dict(preparation)))) == preparation


QUICK = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@given(tables(), st.integers(0, 99))
@QUICK
def test_hostile_frames(columns: dict[str, list[Any]], seed: int) -> None:
    hostile(columns, seed)


@pytest.mark.long
@given(tables(), st.integers(0, 99))
@settings(QUICK, max_examples=1000, derandomize=False)
def test_many_hostile_frames(columns: dict[str, list[Any]], seed: int) -> None:
    hostile(columns, seed)
