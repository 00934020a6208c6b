"""Reading data: what each reader makes of sound files, and the one clear line for each damaged one."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import (
    Dataset,
    load,
    load_digits,
    load_features,
    load_mnist,
    read_csv,
    read_idx,
    read_names,
    read_npz,
    read_table,
)
from chainrule.errors import DataError
from tables import PEOPLE, refuses, write

REAL = Path(__file__).parents[2] / "shared" / "data"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the folder ../shared/data is not here")


class TestCsv:
    def test_numbers_texts_and_missing_values(self, tmp_path: Path) -> None:
        data = read_csv(write(tmp_path / "people.csv", PEOPLE))
        assert data.task == "classification" and data.target_names == ("high", "low") and data.name == "people"
        names = ("age", "city=Oslo", "city=Rome", "city=(missing)", "size", "size is missing")
        assert data.feature_names == names
        expected = [[30, 0, 1, 0, 1.5, 0], [40, 1, 0, 0, 2.5, 0], [50, 0, 1, 0, 1.5, 1], [20, 0, 0, 1, 0.5, 0]]
        np.testing.assert_array_equal(data.X, expected)
        np.testing.assert_array_equal(data.y, [1, 0, 1, 0])
        np.testing.assert_array_equal(data.measured, [True, False, False, False, True, False])

    def test_target_by_name_and_ignored_columns(self, tmp_path: Path) -> None:
        data = read_csv(write(tmp_path / "people.csv", PEOPLE), target="age", ignore=["income", "size"])
        assert data.task == "regression" and data.target_names is None
        np.testing.assert_array_equal(data.y, [30, 40, 50, 20])
        assert data.feature_names == ("city=Oslo", "city=Rome", "city=(missing)")

    @pytest.mark.parametrize("delimiter", [";", "\t", "|"])
    def test_other_delimiters_byte_order_mark_and_gzip(self, tmp_path: Path, delimiter: str) -> None:
        plain = read_csv(write(tmp_path / "plain.csv", PEOPLE))
        other = b"\xef\xbb\xbf" + PEOPLE.replace(",", delimiter).replace("\n", "\r\n").encode()
        data = read_csv(write(tmp_path / "other.csv.gz", gzip.compress(other)))
        np.testing.assert_array_equal(data.X, plain.X)
        assert data.feature_names == plain.feature_names and data.name == "other"

    def test_quotes_and_empty_lines(self, tmp_path: Path) -> None:
        table = read_table(write(tmp_path / "t.csv", 'a,b\n"x, y","say ""hi"""\n\n"two\nlines",z\n'))
        assert table.columns == {"a": ["x, y", "two\nlines"], "b": ['say "hi"', "z"]}
        assert table.lines.tolist() == [2, 5]

    def test_row_numbers_of_pandas_are_left_out(self, tmp_path: Path) -> None:
        table = read_table(write(tmp_path / "t.csv", ",a,b\n0,5,x\n1,6,y\n"))
        assert list(table.columns) == ["a", "b"]

    def test_an_empty_column_is_left_out(self, tmp_path: Path) -> None:
        data = read_csv(write(tmp_path / "t.csv", "a,nothing,y\n1,,u\n2,NA,v\n"))
        assert data.feature_names == ("a",)

    def test_few_mixed_values_are_categories(self, tmp_path: Path) -> None:
        rows = "".join(f"{value},{row % 2}\n" for row, value in enumerate(["0", "1", "2", "3+"] * 5))
        data = read_csv(write(tmp_path / "t.csv", "dependents,y\n" + rows))
        assert data.feature_names == tuple(f"dependents={value}" for value in ("0", "1", "2", "3+"))

    @pytest.mark.parametrize(
        ("values", "task", "names"),
        [
            (["no", "yes"] * 3, "classification", ("no", "yes")),
            (["1", "0"] * 3, "classification", ("0", "1")),
            (["1.0", "0.0"] * 3, "classification", ("0.0", "1.0")),
            (["10", "9", "2"] * 5, "classification", ("2", "9", "10")),
            (["10", "9", "2"] * 2, "regression", None),
            (["1.5", "2.5"] * 3, "regression", None),
            ([str(i) for i in range(21)] * 10, "regression", None),
        ],
    )
    def test_task_follows_the_values(
        self, tmp_path: Path, values: list[str], task: str, names: tuple[str, ...] | None
    ) -> None:
        text = "x,y\n" + "".join(f"{row},{value}\n" for row, value in enumerate(values))
        data = read_csv(write(tmp_path / "t.csv", text))
        assert data.task == task and data.target_names == names

    def test_task_can_be_forced(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "x,y\n1,0\n2,1\n3,0\n4,1.5\n")
        assert read_csv(path).task == "regression"
        forced = read_csv(path, task="classification")
        assert forced.target_names == ("0", "1", "1.5")
        np.testing.assert_array_equal(forced.y, [0, 1, 0, 2])
        assert read_csv(write(tmp_path / "u.csv", "x,y\n1,0\n2,1\n"), task="regression").y.dtype == np.float64

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("", ("empty",)),
            ("\n \n", ("empty",)),
            ("1,2\n3,4\n", ("no header", "1,2")),
            ("a,b\n", ("no rows",)),
            ("a,b\n1,2\n3\n", ("line 3", "1 cells", "2")),
            ("a,b\n1,2\n\n3,4,5\n", ("line 4", "3 cells")),
            ("a,a\n1,2\n", ("'a'", "more than once")),
            ("a,,b\n1,2,3\n", ("column 2", "no name")),
            ('a,b\n1,"2\n', ("not CSV",)),
            (b"a,b\n1,\xff\n", ("line 2", "UTF-8")),
            (b"a,b\n1,\x00\n", ("line 2", "zero byte")),
            ("a,y\n1,u\n2,\n", ("line 3", "target is missing")),
            ("a,y\n1,u\n2,u\n", ("'u' in every row",)),
            ("a,y\n1,2.5\n2,inf\n", ("line 3", "not finite")),
            ("a,y\n1,u\ninf,v\n", ("line 3", "'inf'", "'a'", "not finite")),
            ("y\nu\nv\n", ("no column to learn from",)),
            ("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(60)) + "12O,1\n", ("line 62", "'12O'", "not a number")),
            ("a,y\n" + "".join(f"id{i},{i % 2}\n" for i in range(60)), ("'a'", "60 different texts", "Leave it out")),
            ("a,y\n" + "".join(f"{i},name{i}\n" for i in range(60)), ("'y'", "60 different values")),
        ],
    )
    def test_damaged_files(self, tmp_path: Path, content: str | bytes, words: tuple[str, ...]) -> None:
        path = write(tmp_path / "bad.csv", content)
        with pytest.RaisesExc(DataError, check=lambda e: "\n" not in str(e) and all(w in str(e) for w in words)):
            read_csv(path)

    def test_wrong_choices(self, tmp_path: Path) -> None:
        path = write(tmp_path / "people.csv", PEOPLE)
        with refuses(path, "Unknown column 'incom'", "Did you mean 'income'"):
            read_csv(path, target="incom")
        with refuses(path, "Unknown column 'town'"):
            read_csv(path, ignore=["town"])
        with refuses(path, "both"):
            read_csv(path, target="age", ignore="age")
        with refuses(path, "line 2", "'income'", "must be a number", "'low'"):
            read_csv(path, task="regression")
        with pytest.raises(DataError, match=r"Unknown task 'classify'. Did you mean 'classification'"):
            read_csv(path, task="classify")

    def test_unreadable(self, tmp_path: Path) -> None:
        with refuses(tmp_path / "none.csv", "no such file"):
            read_csv(tmp_path / "none.csv")
        (tmp_path / "folder.csv").mkdir()
        with refuses(tmp_path / "folder.csv", "is a folder"):
            read_csv(tmp_path / "folder.csv")
        whole = gzip.compress(PEOPLE.encode() * 100)
        with refuses(tmp_path / "cut.csv.gz", "cut short"):
            read_csv(write(tmp_path / "cut.csv.gz", whole[:-20]))
        with refuses(tmp_path / "bad.csv.gz", "damaged"):
            read_csv(write(tmp_path / "bad.csv.gz", whole[:10] + b"\xff" * 20 + whole[30:]))


def idx(array: np.ndarray, code: int) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


class TestIdx:
    @pytest.mark.parametrize(("code", "dtype"), [(8, "u1"), (9, "i1"), (11, "i2"), (12, "i4"), (13, "f4"), (14, "f8")])
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_every_type(self, tmp_path: Path, code: int, dtype: str, suffix: str) -> None:
        array = np.arange(-5, 19).reshape(2, 3, 4).astype(dtype)
        raw = idx(array, code)
        read = read_idx(write(tmp_path / f"a{suffix}", gzip.compress(raw) if suffix else raw))
        np.testing.assert_array_equal(read, array)
        assert read.dtype == np.dtype(dtype) and read.dtype.isnative

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "empty"),
            (b"\0\0", "header is cut short"),
            (b"\0\0\x08\x03\0\0\0\1", "header is cut short"),
            (b"PK\x03\x04 and more", "50 4b 03 04"),
            (b"\0\0\x07\x01\0\0\0\1a", "no IDX file"),
            (b"\0\0\x08\x00", "no IDX file"),
            (idx(np.zeros(5, "u1"), 8)[:-1], "(5,), 5 bytes of values; the file has 4"),
            (idx(np.zeros(5, "u1"), 8) + b"x", "5 bytes of values; the file has more"),
            (b"\0\0\x08\x04" + b"\xff" * 16 + b"abc", "the file has 3"),
            (gzip.compress(idx(np.arange(2000, dtype="i4"), 12))[:-30], "cut short"),
        ],
    )
    def test_damaged_files(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = write(tmp_path / "bad-ubyte", content)
        with refuses(path, words):
            read_idx(path)


def mnist_files(folder: Path, images: int = 12, labels: int = 12, parts: tuple[str, ...] = ("train", "t10k")) -> Path:
    folder.mkdir(exist_ok=True)
    pixels = np.arange(images * 6, dtype="u1").reshape(images, 2, 3)
    for part in parts:
        write(folder / f"{part}-images-idx3-ubyte.gz", gzip.compress(idx(pixels, 8)))
        write(folder / f"{part}-labels.idx1-ubyte", idx((np.arange(labels) % 4).astype("u1"), 8))
    return folder


class TestMnist:
    def test_four_files(self, tmp_path: Path) -> None:
        data = load_mnist(mnist_files(tmp_path / "mini"))
        assert data.name == "mini" and data.target_names == ("0", "1", "2", "3")
        assert data.X.shape == (12, 6) and data.X.dtype == np.float32 and data.X_test is not None
        np.testing.assert_allclose(data.X[1, 0], 6 / 255)
        assert not data.measured.any()
        with pytest.raises(DataError, match="test part of its own"):
            data.split()

    def test_without_a_test_part(self, tmp_path: Path) -> None:
        data = load(mnist_files(tmp_path / "mini", parts=("train",)))
        assert data.X_test is None
        X, y = load_features(tmp_path / "mini", None, data.target)
        np.testing.assert_array_equal(X, data.X)
        np.testing.assert_array_equal(y, data.y)

    def test_faults(self, tmp_path: Path) -> None:
        with refuses(tmp_path / "none", "no such folder"):
            load_mnist(tmp_path / "none")
        with refuses(tmp_path, "training part lacks train-images-idx3-ubyte and train-labels-idx1-ubyte"):
            load(tmp_path)
        with refuses(tmp_path / "a", "12 images", "11 labels"):
            load(mnist_files(tmp_path / "a", labels=11))
        folder = mnist_files(tmp_path / "b")
        (folder / "t10k-labels.idx1-ubyte").unlink()
        with refuses(folder, "test part lacks t10k-labels-idx1-ubyte"):
            load(folder)
        folder = mnist_files(tmp_path / "c")
        write(folder / "t10k-labels.idx1-ubyte", idx(np.full(12, 7, "u1"), 8))
        with refuses(folder, "go to 7", "only to 3"):
            load(folder)
        write(folder / "train-labels.idx1-ubyte", idx(np.zeros((12, 2), "u1"), 8))
        with refuses(folder / "train-labels.idx1-ubyte", "(12, 2)"):
            load(folder)


class TestNpz:
    def save(self, path: Path, **arrays: object) -> Path:
        np.savez(path, **arrays)  # type: ignore[arg-type]
        return path

    def test_numbers(self, tmp_path: Path) -> None:
        X = np.random.default_rng(0).normal(size=(30, 4))
        data = read_npz(self.save(tmp_path / "a.npz", X=X, y=X[:, 0] * 2, X_test=X[:5], y_test=X[:5, 1]))
        assert data.task == "regression" and data.measured.all() and data.X.dtype == np.float64
        np.testing.assert_array_equal(data.X, X)
        assert data.y_test is not None and data.y_test.shape == (5,)

    def test_pixels_under_the_names_of_keras(self, tmp_path: Path) -> None:
        pixels = np.full((10, 4, 4), 255, np.uint8)
        labels = np.array([3, 7] * 5, np.uint8)
        path = self.save(tmp_path / "a.npz", x_train=pixels, y_train=labels, x_test=pixels[:2], y_test=labels[:2])
        data = load(path)
        assert data.X.shape == (10, 16) and data.X.dtype == np.float32 and data.X.max() == 1
        assert data.target_names == ("3", "7") and data.y.tolist() == [0, 1] * 5 and not data.measured.any()

    def test_several_numbers_a_sample(self, tmp_path: Path) -> None:
        data = read_npz(self.save(tmp_path / "a.npz", X=np.ones((6, 2)), y=np.ones((6, 3))))
        assert data.task == "regression" and data.y.shape == (6, 3)

    @pytest.mark.parametrize("labels", [["b", "a"] * 3, [True, False] * 3, [[1], [0]] * 3])
    def test_labels_of_other_types(self, tmp_path: Path, labels: list[object]) -> None:
        data = read_npz(self.save(tmp_path / "a.npz", X=np.ones((6, 2)), y=np.array(labels)))
        assert data.task == "classification" and data.y.tolist() == [1, 0] * 3

    def test_features_alone(self, tmp_path: Path) -> None:
        path = self.save(tmp_path / "a.npz", X=np.ones((6, 2)))
        X, y = load_features(path, None)
        assert X.shape == (6, 2) and y is None

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"X": np.ones((3, 2))}, "no array 'y'"),
            ({"Z": np.ones((3, 2))}, "no array 'X' nor 'y'"),
            ({"X": np.ones((3, 2)), "y": np.array([1, 2])}, "3 samples, but 2 targets"),
            ({"X": np.ones(3), "y": np.ones(3)}, "samples in rows"),
            ({"X": np.ones((0, 3)), "y": np.ones(0)}, "not empty"),
            ({"X": np.array([["a"]]), "y": np.ones(1)}, "must hold numbers"),
            ({"X": np.array([[1.0], [np.inf]]), "y": np.array([0, 1])}, "Got inf at [1, 0]"),
            ({"X": np.ones((2, 1)), "y": np.array([0.5, np.nan])}, "y[1]"),
            ({"X": np.ones((2, 1)), "y": np.array([[0.5, np.nan], [1, 1]])}, "y[0]"),
            ({"X": np.ones((2, 1)), "y": np.array([object(), 1])}, "Python objects"),
            ({"X": np.ones((2, 1)), "y": np.array([0, 1]), "X_test": np.ones((2, 1))}, "no array 'y_test'"),
            ({"X": np.ones((2, 1)), "y": np.array([0, 1]), "X_test": np.ones((1, 1)), "y_test": np.array([2])}, "'2'"),
            ({"X": np.ones((2, 1)), "y": np.array([0, 1]), "X_test": np.ones((1, 3)), "y_test": np.array([1])}, "1)"),
        ],
    )
    def test_damaged_archives(self, tmp_path: Path, arrays: dict[str, object], words: str) -> None:
        path = self.save(tmp_path / "a.npz", **arrays)
        with pytest.RaisesExc(DataError, check=lambda error: words in str(error) and "\n" not in str(error)):
            read_npz(path)

    def test_damaged_files(self, tmp_path: Path) -> None:
        whole = self.save(tmp_path / "a.npz", X=np.ones((50, 2)), y=np.ones(50)).read_bytes()
        for content in (b"", b"no archive", whole[:200], whole[:100] + b"\xff" * 50 + whole[150:]):
            path = write(tmp_path / "bad.npz", content)
            with refuses(path):
                read_npz(path)
        with refuses(write(tmp_path / "bad.npz", b"no archive"), "is no NumPy archive"):
            read_npz(tmp_path / "bad.npz")
        np.save(tmp_path / "one.npy", np.ones(3))
        path = write(tmp_path / "one.npz", (tmp_path / "one.npy").read_bytes())
        with refuses(path, "single array"):
            read_npz(path)


class TestNames:
    def test_one_a_line(self, tmp_path: Path) -> None:
        assert read_names(write(tmp_path / "n.txt", "\ufeffemma\r\n\n olivia \nzoë")) == ("emma", "olivia", "zoë")

    @pytest.mark.parametrize(
        ("content", "words"), [(b"", "no names"), (b"a\nb\x07c\n", "line 2"), (b"a\n\xfe\n", "line 2 is not UTF-8")]
    )
    def test_damaged_files(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = write(tmp_path / "n.txt", content)
        with refuses(path, words):
            read_names(path)


class TestLoad:
    def test_digits(self) -> None:
        data = load("digits")
        assert isinstance(data, Dataset) and data.X.shape == (1797, 64) and data.X.dtype == np.float32
        assert (data.X.min(), data.X.max()) == (0, 1) and data.target_names == tuple("0123456789")
        np.testing.assert_array_equal(data.y, load_digits().y)
        parts = data.split()
        assert len(parts.X) == 1438 and "1,438 samples + 359 to test" in repr(parts)

    def test_faults(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="digit: there is no such file or folder"):
            load("digit")
        path = write(tmp_path / "a.xlsx", "x")
        with refuses(path, "Use a .csv"):
            load(path)
        with pytest.raises(DataError, match="only a table has columns"):
            load("digits", target="y")
        with pytest.raises(DataError, match="only be classification"):
            load("digits", task="regression")
        table = write(tmp_path / "people.csv", PEOPLE)
        with refuses(table, "not trained on one"):
            load_features(table, None)
        with pytest.raises(DataError, match="trained on a table"):
            load_features("digits", read_csv(table).encoder)


@needs_real_data
class TestRealData:
    def test_adult(self) -> None:
        data = load(REAL / "adult.csv")
        assert (
            len(data.X) == 32561
            and data.target_names == ("<=50K", ">50K")
            and "workclass=(missing)" in data.feature_names
        )
        assert data.y.sum() == 7841

    def test_housing(self) -> None:
        data = load(REAL / "housing.csv", target="median_house_value")
        assert data.task == "regression" and len(data.y) == 20640
        assert data.X[:, data.feature_names.index("total_bedrooms is missing")].sum() == 207

    def test_mnist(self) -> None:
        data = load(REAL / "mnist")
        assert data.X.shape == (60000, 784) and data.X_test is not None and data.X_test.shape == (10000, 784)
        assert data.y[:5].tolist() == [5, 0, 4, 1, 9]

    def test_names(self) -> None:
        assert read_names(REAL / "names.txt")[:2] == ("emma", "olivia")
