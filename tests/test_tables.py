"""Tables as they come: what is read as what, what is told, and the one clear line for what cannot be told."""

from __future__ import annotations

import gzip
import io
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import Dataset, TableEncoder, TargetEncoder, load, load_features, read_table
from chainrule.data.readers import read_new
from chainrule.errors import DataError, DataWarning
from tables import refuses, write


def column(cells: Iterable[str], delimiter: str = ",", name: str = "a") -> str:
    """A table of one feature and a target of u and v."""
    return f"{name}{delimiter}y\n" + "".join(f"{cell}{delimiter}{'uv'[k % 2]}\n" for k, cell in enumerate(cells))


def targets(cells: Iterable[str], delimiter: str = ",") -> str:
    """A table of one feature, 0, 1, 2, ..., and these targets."""
    return f"a{delimiter}y\n" + "".join(f"{k}{delimiter}{cell}\n" for k, cell in enumerate(cells))


def read(path: Path, content: str | bytes, **options: object) -> Dataset:
    """Without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load(write(path, content), **options)


def told(path: Path, content: str | bytes, *words: str, **options: object) -> Dataset:
    """With one warning, which holds these words."""
    with pytest.warns(DataWarning) as caught:
        data = load(write(path, content), **options)
    assert len(caught) == 1
    for word in words:
        assert word in str(caught[0].message)
    return data


class TestCodesAndClasses:
    """Only what prints the same is the same."""

    @pytest.mark.parametrize(
        "names",
        [
            ("1582218195625938945", "1582218195625938946", "1582218195626938947"),
            ("00501", "01010", "10000"),
            ("12_3", "1_23", "x"),
            ("EU", "NA", "ZZ"),
            ("False", "True"),
            ("1.0", "2.0"),
            ("1,0", "2,0"),
            ("<=50K", ">50K"),
            ("-1", "0", "1"),
        ],
    )
    def test_classes_are_what_the_file_has(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        cells = [f'"{name}"' for name in names] * 10
        if "NA" in names:
            data = told(tmp_path / "t.csv", targets(cells), "'y'", "'NA' is read as the name of a class")
        else:
            data = read(tmp_path / "t.csv", targets(cells))
        assert data.task == "classification" and set(data.target_names or ()) == set(names)
        assert data.target.decode(data.y) == list(names) * 10

    def test_classes_that_are_the_same_number(self, tmp_path: Path) -> None:
        for names in (("1", "1.0", "0"), ("100", "1E2", "1e2"), ("7", "007", "8")):
            data = told(tmp_path / "t.csv", targets(list(names) * 10), "are different classes", task="classification")
            assert set(data.target_names or ()) == set(names)

    @pytest.mark.parametrize("word", ["None", "n/a", "null", "-", "missing"])
    def test_words_that_may_be_classes(self, tmp_path: Path, word: str) -> None:
        data = told(tmp_path / "t.csv", targets([word, "mild", "bad"] * 5), f"'{word}' is read as the name of a class")
        assert word in (data.target_names or ())

    @pytest.mark.parametrize("sign", ["", "?", "#N/A", "<NA>", "NaN"])
    def test_signs_that_are_no_classes(self, tmp_path: Path, sign: str) -> None:
        with refuses(tmp_path / "t.csv", "line 4", "the target is missing"):
            load(write(tmp_path / "t.csv", targets(["mild", "bad", sign] * 5)))

    def test_codes_among_features(self, tmp_path: Path) -> None:
        data = read(tmp_path / "t.csv", column(["00501", "01010", "10000"] * 5))
        assert data.feature_names == ("a=00501", "a=01010", "a=10000")
        data = told(
            tmp_path / "t.csv", column(["7", "007", "010"] * 5), "'a' is read as 3 categories", "'007' is a code"
        )
        assert data.feature_names == ("a=007", "a=010", "a=7")
        ids = [f"15822181956259389{k:02}" for k in range(60)]
        with refuses(tmp_path / "t.csv", "60 different texts in 60 rows", "codes", ids[0], "Leave it out"):
            load(write(tmp_path / "t.csv", column(ids)))
        data = told(tmp_path / "t.csv", column(f"{k:05}" for k in range(60)), "60 different codes", "read as numbers")
        assert data.feature_names == ("a",)


class TestNumbers:
    @pytest.mark.parametrize(
        ("cells", "delimiter", "first"),
        [
            ([f"{k / 10:.1f}".replace(".", ",") for k in range(5, 99)], ";", 0.5),
            ([f"{k * 7 + 1000:,}".replace(",", ".") + ",5" for k in range(99)], ";", 1000.5),
            ([f'"{k * 7 + 1000:,}"' for k in range(99)], ",", 1000),
            ([f'"{k * 70 + 30:,}"' for k in range(99)], ",", 30),
            ([f"{k * 7 + 1000:,}" for k in range(99)], ";", 1.0),
            ([f"{k * 7 + 1000:,}".replace(",", " ") for k in range(99)], ",", 1000),
            ([f"${k + 1000}" for k in range(99)], ",", 1000),
            ([f"{k + 1} %" for k in range(99)], ",", 1),
        ],
    )
    def test_ways_of_writing(self, tmp_path: Path, cells: list[str], delimiter: str, first: float) -> None:
        data = read(tmp_path / "t.csv", column(cells, delimiter))
        assert data.feature_names == ("a",) and data.X[0, 0] == first

    def test_what_other_columns_say(self, tmp_path: Path) -> None:
        rows = "".join(f"{k * 37 + 1000:,}".replace(",", ".") + f";{k},5;{'uv'[k % 2]}\n" for k in range(60))
        assert read(tmp_path / "t.csv", "a;b;y\n" + rows).X[:2].tolist() == [[1000, 0.5], [1037, 1.5]]
        rows = "".join(f"{k * 37 + 1000:,}\t{k}.5\t{'uv'[k % 2]}\n" for k in range(60))
        assert read(tmp_path / "t.csv", "a\tb\ty\n" + rows).X[:2].tolist() == [[1000, 0.5], [1037, 1.5]]

    def test_nobody_could_tell(self, tmp_path: Path) -> None:
        thousands = [f"{k * 70:,}" for k in range(60)]
        with refuses(tmp_path / "t.csv", "line 17", "'1,050'", "'a'", "1.05", "1050", "decimal comma"):
            load(write(tmp_path / "t.csv", column(thousands, "\t")))
        for table in (column, targets):
            with refuses(tmp_path / "t.csv", "line 17", "'1.050'", "decimal point or one between thousands"):
                load(write(tmp_path / "t.csv", table([cell.replace(",", ".") for cell in thousands], ";")))
        with refuses(tmp_path / "t.csv", "line 17", "decimal comma or one between thousands"):
            load(write(tmp_path / "t.csv", targets(thousands, "\t")))
        assert read(tmp_path / "t.csv", column([f"{k / 8:.3f}" for k in range(60)], ";")).X[1, 0] == 0.125

    def test_targets(self, tmp_path: Path) -> None:
        cells = [f"{k / 10:.1f}".replace(".", ",") for k in range(200)]
        data = read(tmp_path / "t.csv", targets(cells, ";"))
        assert data.task == "regression" and data.y[3] == 0.3
        with refuses(tmp_path / "t.csv", "line 9", "'y'", "written as the others (a decimal comma)", "'3.5'"):
            load(write(tmp_path / "t.csv", targets([*cells[:7], "3.5", *cells], ";")))
        with refuses(tmp_path / "t.csv", "line 9", "'y'", "must be a number", "'abc'"):
            load(write(tmp_path / "t.csv", targets([*map(str, range(7)), "abc", *map(str, range(60))])))
        with refuses(tmp_path / "t.csv", "line 9", "missing", "'NA'"):
            load(write(tmp_path / "t.csv", targets([*map(str, range(7)), "NA", *map(str, range(60))])))

    def test_not_written_alike(self, tmp_path: Path) -> None:
        with refuses(tmp_path / "t.csv", "'a'", "not written alike", "'1.5' has a decimal point", "'1,5' (line 2)"):
            load(write(tmp_path / "t.csv", column(["1,5", "1.5"] * 20, ";")))


class TestOneBadCell:
    @pytest.mark.parametrize("word", ["-", "#N/A", "None", "<NA>", "", "?", "n/a", ".", "#DIV/0!", "\\N", "\u2014"])
    def test_a_missing_value(self, tmp_path: Path, word: str) -> None:
        ages = [str(20 + k % 40) for k in range(200)]
        ages[77] = word
        data = read(tmp_path / "t.csv", column(ages))
        assert data.feature_names == ("a", "a is missing") and data.X[77].tolist() == [np.median(data.X[:, 0]), 1]

    @pytest.mark.parametrize("cell", ["unknown", "3O", "12_3", "1..5"])
    def test_among_numbers(self, tmp_path: Path, cell: str) -> None:
        ages = [str(20 + k % 40) for k in range(200)]
        ages[77] = cell
        with refuses(tmp_path / "t.csv", f"'{cell}' (line 79)", "'a'", "is not a number"):
            load(write(tmp_path / "t.csv", column(ages)))

    def test_among_few_numbers_it_is_a_category_and_told(self, tmp_path: Path) -> None:
        cells = [str(k % 5) for k in range(100)]
        cells[42] = "x"
        data = told(tmp_path / "t.csv", column(cells), "'x' (line 44)", "'a'", "6 categories")
        assert len(data.feature_names) == 6
        told(tmp_path / "t.csv", targets(cells), "'y'", "'x' (line 44) among numbers")

    def test_all_bad_columns_at_once(self, tmp_path: Path) -> None:
        rows = "".join(f"n{k},m{k},{k if k != 50 else 'x'},{'uv'[k % 2]}\n" for k in range(300))
        words = (
            "'x' (line 52)",
            "'a' (300 different",
            "'b' (300 different",
            "ignore=['a', 'b']",
            "--ignore a --ignore b",
        )
        with refuses(tmp_path / "t.csv", *words):
            load(write(tmp_path / "t.csv", "a,b,c,y\n" + rows))
        assert read(tmp_path / "t.csv", "a,b,c,y\n" + rows.replace("x", "5"), ignore=["a,b"]).feature_names == ("c",)

    def test_dates_are_told(self, tmp_path: Path) -> None:
        data = told(tmp_path / "t.csv", column(f"2024-01-0{k + 1}" for k in range(8)), "'a' looks like dates")
        assert len(data.feature_names) == 8
        with refuses(tmp_path / "t.csv", "'a'", "look like dates or times", "Leave it out"):
            load(write(tmp_path / "t.csv", column(f"{k % 28 + 1}.{k % 12 + 1}.{1950 + k}" for k in range(60))))


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "names"),
        [
            ('"income, net";y\n5;u\n6;v\n', ["income, net", "y"]),
            ("Price (EUR, incl. VAT, net);y\n5;u\n6;v\n", ["Price (EUR, incl. VAT, net)", "y"]),
            ('"a, b, c";"size";y\n5;6;u\n', ["a, b, c", "size", "y"]),
            ("a;b;y\n1,5;2,5;u\n", ["a", "b", "y"]),
            ("x,m;y,s\n5;2,5\n5;3,5\n", ["x,m", "y,s"]),
            ("x,m;y,s\n1,5;2,5\n", ["x,m", "y,s"]),
            ("sep=;\r\na;b;y\r\n5;6;u\r\n", ["a", "b", "y"]),
            ("sep=\t\na\ty\n5\tu\n", ["a", "y"]),
            ("a,b,y,\n5,6,u,\n", ["a", "b", "y"]),
            ("a;b;y;;\n5;6;u;;\n;;;;\n;;;;\n", ["a", "b", "y"]),
            ("a,b,y\n5,6,u,\n", ["a", "b", "y"]),
            ("a,b,y,\n5,6,u\n", ["a", "b", "y"]),
            ("a,y\r5,u\r6,v\r", ["a", "y"]),
            ("\ufeff\ufeffa,y\n5,u\n", ["a", "y"]),
            ("a,y\n5,u\n\x1a", ["a", "y"]),
            ("\n\na,y\n\n5,u\n\n", ["a", "y"]),
            ("0,1,2\n5,6,u\n", ["0", "1", "2"]),
            ("2001,2002,y\n5,6,u\n", ["2001", "2002", "y"]),
            ("len,spam\n5,spam\n6,ham\n", ["len", "spam"]),
            ('y\n""\n""\nu\n', ["y"]),
        ],
    )
    def test_delimiters_and_headers(self, tmp_path: Path, content: str, names: list[str]) -> None:
        table = read_table(write(tmp_path / "t.csv", content))
        assert list(table.columns) == names
        assert table.columns[names[0]][0] in ("5", "1,5", "")
        if "\n;;;;" in content:
            assert len(table) == 1

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
    def test_encodings(self, tmp_path: Path, encoding: str) -> None:
        text = ("\ufeff" if encoding == "utf-16-le" else "") + targets(["Łódź", "Kraków"] * 3, "\t")
        assert read(tmp_path / "t.csv", text.encode(encoding)).target_names == ("Kraków", "Łódź")
        assert read(tmp_path / "t.csv", gzip.compress(text.encode(encoding))).target_names == ("Kraków", "Łódź")

    def test_what_prints_the_same_is_the_same(self, tmp_path: Path) -> None:
        assert read(tmp_path / "t.csv", column(["e\u0301", "\u00e9", "x"] * 5)).feature_names == ("a=x", "a=\u00e9")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"PAR1....", "Parquet"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....", "old Excel workbook"),
            (b"SQLite format 3\0", "SQLite"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b'[{"a": 1}]', "JSON"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"BZh9", "bzip2"),
            (gzip.compress(gzip.compress(b"a,y\n1,u\n", mtime=0), mtime=0), "gzip file within a gzip file"),
            ("a,y\n1,u\n".encode("utf-16-le"), "UTF-16 text without a byte order mark"),
            (b"\xff\xfea", "UTF-16"),
            ("a,y\n1,\u00e9\n".encode("latin-1"), "not UTF-8 text (byte 0xe9). Save the file as UTF-8"),
            (b"a b y\n1 2 u\n3 4 v\n", "separated by spaces"),
            (b'a,y\n1,u\n2,"v\n3,u\n', "lines 3 to 4 are not CSV"),
            (b'a,y\n1,u\n"x \\"q\\" z",v\n', "line 3 is not CSV"),
            (b"5.1,3.5,setosa\n4.9,3.0,setosa\n4.7,3.2,virginica\n", "looks like the rows below it"),
            (b"39, State-gov, <=50K\n50, Private, >50K\n38, State-gov, <=50K\n", "looks like the rows below it"),
            (b"p,x,s\ne,x,y\np,b,s\n", "--no-header"),
            (b"a,a,y\n1,2,u\n", "more than once"),
            (b"a,,y\n1,2,u\n3,4,v\n", "column 2 has no name"),
            (b"\x1a", "empty"),
        ],
    )
    def test_what_is_no_table(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = tmp_path / "t.csv"
        for raw in (content, gzip.compress(content)):
            with refuses(path, words):
                load(write(path, raw))

    def test_archives(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        for member, words in (("t.csv", "a zip archive"), ("xl/workbook.xml", "an Excel workbook (.xlsx)")):
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w") as archive:
                archive.writestr(member, "a,y\n1,u\n")
            with refuses(path, words, "Save the table as CSV"):
                load(write(path, content.getvalue()))
            for target in (None, "y"):  # under its own name, with the options of a table too
                with refuses(tmp_path / "t.xlsx", f"is {words}", "Save the table as CSV"):
                    load(write(tmp_path / "t.xlsx", content.getvalue()), target)
        np.savez(tmp_path / "a.npz", X=np.ones((3, 2)))
        with refuses(path, "a NumPy archive (.npz)"):
            load(write(path, (tmp_path / "a.npz").read_bytes()))

    def test_without_a_header(self, tmp_path: Path) -> None:
        rows = "".join(f"{5 + k / 10:.1f},{k},{['setosa', 'virginica'][k % 2]}\n" for k in range(20))
        data = read(tmp_path / "t.csv", rows, header=False)
        assert data.feature_names == ("1", "2") and data.target.name == "3" and len(data.X) == 20
        assert data.encoder is not None and TableEncoder.from_dict(data.encoder.to_dict()) == data.encoder
        X, y = load_features(tmp_path / "t.csv", data.encoder, data.target)
        np.testing.assert_array_equal(X, data.X)
        np.testing.assert_array_equal(y, data.y)

    def test_what_counts_the_rows_is_left_out_and_told(self, tmp_path: Path) -> None:
        for name in ("", "Unnamed: 0"):
            data = told(
                tmp_path / "t.csv", f"{name},a,y\n0,5,u\n1,6,v\n2,7,u\n", "first column", "only counts the rows"
            )
            assert data.feature_names == ("a",)
        for cells in (["7", "3", "12"], ["x", "y", "z"]):  # the index of some rows of a frame, mixed
            rows = "".join(f"{cell},{k},{'uv'[k % 2]}\n" for k, cell in enumerate(cells))
            assert told(tmp_path / "t.csv", ",a,y\n" + rows, "another value in every row").feature_names == ("a",)
        for cells in (["7", "7", "12"], ["0.5", "1.5", "2.5"]):
            rows = "".join(f"{cell},{k},{'uv'[k % 2]}\n" for k, cell in enumerate(cells))
            with refuses(tmp_path / "t.csv", "column 1 has no name", "index=False"):
                read(tmp_path / "t.csv", ",a,y\n" + rows)


class TestNewData:
    """What a trained model is told of data that differ."""

    @pytest.fixture
    def trained(self, tmp_path: Path) -> Dataset:
        rows = "".join(f"{k},5,{['Rome', 'Oslo'][k % 2]},{k % 3 == 0},{'uv'[k % 2]}\n" for k in range(60))
        return read(tmp_path / "t.csv", "a,id,city,ok,y\n" + rows, ignore="id")

    def notes(self, data: Dataset, path: Path, content: str) -> tuple[np.ndarray, str]:
        new = read_new(write(path, content), data.encoder, data.target)
        return new.X, "; ".join(new.notes)

    def test_what_differs(self, tmp_path: Path, trained: Dataset) -> None:
        path = tmp_path / "new.csv"
        same, notes = self.notes(trained, path, "a,id,city,ok\n1,5,Rome,True\n")
        assert notes == "" and trained.feature_names == ("a", "city=Oslo", "city=Rome", "ok=False", "ok=True")
        assert same.tolist() == [[1, 0, 1, 0, 1]]
        X, notes = self.notes(trained, path, "ok,extra,city,a\nTRUE,1,Rome,1\nfalse,1,MOON,\n,,,2\n")
        assert X.tolist() == [[1, 0, 1, 0, 1], [29.5, 0, 0, 1, 0], [2, 0, 0, 0, 0]]
        for words in (
            "1 row without 'a'",
            "1 row with categories of 'city' that the training data did not have ('MOON')",
            "1 row without 'city'",
            "1 row without 'ok'",
            "another order",
            "not used, as the training data did not have it: 'extra'",
        ):
            assert words in notes
        with refuses(path, "lacks the columns 'city', 'ok'"):
            self.notes(trained, path, "a\n1\n")

    def test_targets_that_are_empty_or_new(self, tmp_path: Path, trained: Dataset) -> None:
        path = tmp_path / "new.csv"
        for content, judged, y, words in (
            ("a,city,ok,y\n1,Rome,True,\n2,Rome,True,\n", [False, False], None, ""),
            ("a,city,ok,y\n1,Rome,True,u\n2,Rome,True,\n", [True, False], [0], ""),
            ("a,city,ok,y\n1,Rome,True,w\n2,Rome,True,v\n", [True, True], [-1, 1], "1 row of classes that"),
        ):
            new = read_new(write(path, content), trained.encoder, trained.target)
            assert new.judged.tolist() == judged and (None if new.y is None else new.y.tolist()) == y
            assert words in "; ".join(new.notes)

    def test_targets_of_a_regression(self, tmp_path: Path) -> None:
        data = read(tmp_path / "t.csv", targets([f"{k / 10}" for k in range(100)]))
        new = read_new(write(tmp_path / "n.csv", "a,y\n1,2.5\n2,\n3,4\n"), data.encoder, data.target)
        assert new.judged.tolist() == [True, False, True] and new.y is not None and new.y.tolist() == [2.5, 4]
        new = read_new(write(tmp_path / "n.csv", "a,y\n1,2.5\n2,abc\n"), data.encoder, data.target)
        assert new.y is None and "no score: " in new.notes[0] and "line 3" in new.notes[0] and "'abc'" in new.notes[0]

    def test_ways_of_writing(self, tmp_path: Path) -> None:
        """New data are read as they are written; where that is open, as the training data were."""
        rows = [f"{k * 7 + 1000:,}".replace(",", ".") + ",5" for k in range(60)]
        data = read(tmp_path / "t.csv", column(rows, ";"))
        assert data.encoder is not None
        encoder = TableEncoder.from_dict(data.encoder.to_dict())
        for content, number in (("a\n1.234\n", 1234), ("a\n1234.5\n", 1234.5), ("a\n12,5\n", 12.5), ("a\n7\n", 7)):
            assert load_features(write(tmp_path / "n.csv", content), encoder)[0].tolist() == [[number]]
        target = read(tmp_path / "t.csv", targets(rows, ";")).target
        assert TargetEncoder.from_dict(target.to_dict()) == target
        assert target.encode(["1.234"], str).tolist() == [1234]

    def test_one_bad_cell(self, tmp_path: Path, trained: Dataset) -> None:
        with refuses(tmp_path / "new.csv", "'old' (line 3)", "'a'", "is not a number"):
            self.notes(trained, tmp_path / "new.csv", "a,city,ok\n1,Rome,True\nold,Rome,True\n")
        with refuses(tmp_path / "new.csv", "'inf' (line 2)", "'a'", "not finite"):
            self.notes(trained, tmp_path / "new.csv", "a,city,ok\ninf,Rome,True\n")


def test_paths_and_other_things(tmp_path: Path) -> None:
    for thing in (3, None, np.ones((3, 2)), [1, 2]):
        with pytest.raises(DataError, match="must be a path, 'digits' or a data frame"):
            load(thing)
