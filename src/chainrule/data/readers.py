"""Every source of data by its name: the embedded digits, a folder, a file."""

from __future__ import annotations

import gzip
import os
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from chainrule.data.dataset import Dataset, Source
from chainrule.data.encode import TableEncoder, column_kinds
from chainrule.data.idx import images_to_rows, load_mnist, read_idx
from chainrule.data.standardize import check_finite
from chainrule.data.table import read_table
from chainrule.data.targets import TargetEncoder, Where, check_task
from chainrule.errors import DataError
from chainrule.files import open_binary, read_text

TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

# The names under which archives hold their arrays: ours first, then those of Keras's mnist.npz.
_NAMES = {"X": ("X", "x", "x_train"), "y": ("y", "Y", "y_train")}
_TEST_NAMES = {"X_test": ("X_test", "x_test"), "y_test": ("y_test", "Y_test")}

# Unicode's categories of what is no part of a name.  Joiners (Cf), which Persian names and emoji hold, and spaces of
# other widths (Zs) are.
_CONTROLS = ("Cc", "Zl", "Zp")


def load_digits() -> Dataset:
    """The 1,797 handwritten digits that come with scikit-learn: 8 × 8 pixels scaled to 0..1, 10 classes.

    X: (1797, 64) float32.  Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI (1998).
    """
    pixels, labels = _digits()
    X = (pixels / 16).astype(np.float32)
    names = tuple(f"pixel {row},{column}" for row in range(8) for column in range(8))
    classes = TargetEncoder("classification", tuple(str(digit) for digit in range(10)))
    return Dataset(X, labels.astype(np.int64), names, classes, "digits")


def _digits() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The pixels (1797, 64) and labels, from scikit-learn's own file: importing it takes longer than learning them."""
    found = find_spec("sklearn")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            with gzip.open(path, "rb") as file:
                text = np.frombuffer(b"," + file.read().strip() + b",", np.uint8)
            # Numbers of one or two digits, all at once: a tenth of the time of one after the other.
            zero = ord("0")
            ends = np.flatnonzero(text < zero)[1:]
            tens, ones = (text[ends - back].astype(np.float64) - zero for back in (2, 1))
            table = (10 * np.maximum(tens, 0) + ones).reshape(-1, 65)
            return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits as read  # where the file lies elsewhere

    bunch = read()
    return bunch.data, bunch.target


def read_csv(
    path: str | os.PathLike[str], target: str | None = None, task: str | None = None, ignore: Iterable[str] = ()
) -> Dataset:
    """A CSV file with a header (see `read_table`, `TableEncoder` and `TargetEncoder` for what becomes of its cells).

    target: the column to predict; by default the last.  task: "classification" or "regression"; by default as the
    target's values are.  ignore: columns to leave out.
    X: (m, n) float64, missing numbers filled with the column's median, texts one-hot; not standardised.
    Raises DataError for a file that is damaged, a column that is not there, or a target that does not fit the task.
    """
    check_task(task)
    left_out = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    table = read_table(path)
    for name in left_out:
        table.column(name)
    if target is None:
        named = [name for name in table.columns if name not in left_out]
        if not named:
            raise DataError(f"{path}: no column is left to predict.")
        target = named[-1]
    values = table.column(target)
    if target in left_out:
        raise DataError(f"{path}: the column {target!r} cannot both be the target and be left out.")
    classes = TargetEncoder.fit(values, table.where, task, target)
    y = classes.encode(values, table.where)
    kinds = column_kinds(table, (*left_out, target))
    encoder = TableEncoder.fit(table, kinds)
    return Dataset(
        encoder.transform(table),
        y,
        encoder.feature_names,
        classes,
        _stem(path),
        measured=encoder.measured,
        encoder=encoder,
        source=Source(table, kinds),
    )


def read_npz(path: str | os.PathLike[str], task: str | None = None) -> Dataset:
    """A NumPy archive with the arrays X and y, and perhaps X_test and y_test (or x_train, y_train, x_test, y_test).

    X: (m, n); arrays of higher rank are laid out as rows.  Unsigned bytes are taken for pixels and scaled to 0..1,
    float32; other numbers stay as they are.  y: see `TargetEncoder`.
    Raises DataError for a file that is damaged, lacks an array, or holds what is not numbers.
    """
    check_task(task)
    arrays = _read_archive(path)
    X, values = _pick(arrays, _NAMES, path)
    rows, pixels = _to_rows(X, path)
    where = _row_of(path)
    target = TargetEncoder.fit(values, where, task)
    X_test, y_test = None, None
    if any(name in arrays for names in _TEST_NAMES.values() for name in names):
        test, test_values = _pick(arrays, _TEST_NAMES, path)
        X_test, y_test = _to_rows(test, path)[0], target.encode(test_values, where)
    names = tuple(f"x{i}" for i in range(rows.shape[1]))
    measured = np.full(len(names), not pixels)
    return Dataset(rows, target.encode(values, where), names, target, _stem(path), X_test, y_test, measured)


def read_names(path: str | os.PathLike[str], longest: int | None = None) -> tuple[str, ...]:
    """The names in a text file, one a line, without the spaces around them; empty lines are skipped.

    longest: how many characters a name may have.
    Raises DataError for a file that is empty, not UTF-8, or holds control characters or a line too long (with the
    line).
    """
    names: list[str] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        name = line.strip()
        odd = "" if name.isprintable() else next((c for c in name if unicodedata.category(c) in _CONTROLS), "")
        if odd:
            raise DataError(f"{path}: line {number} holds the control character {odd!r}; is it a text file?")
        if longest is not None and len(name) > longest:
            raise DataError(
                f"{path}: line {number} has {len(name):,} characters; a name has at most {longest:,}. Is there one a "
                "line?"
            )
        if name:
            names.append(name)
    if not names:
        raise DataError(f"{path}: there are no names in the file.")
    return tuple(names)


def load(
    source: str | os.PathLike[str], target: str | None = None, task: str | None = None, ignore: Iterable[str] = ()
) -> Dataset:
    """The data set of a name: "digits", a folder with MNIST's files, a .csv, .tsv (also .gz) or .npz file.

    target, ignore: for tables only.  Raises DataError as the readers do, and for a source of another kind.
    """
    check_task(task)
    ignore = tuple(ignore)
    path = Path(source)
    if is_table(source):
        return read_csv(source, target, task, ignore)
    if target is not None or ignore:
        raise DataError(f"{source}: only a table has columns; a target or columns to leave out cannot be chosen here.")
    if str(source) == "digits" or path.is_dir():
        if task == "regression":
            raise DataError(f"{source}: its targets are classes; the task can only be classification.")
        return load_digits() if str(source) == "digits" else load_mnist(path)
    if path.suffix.lower() == ".npz":
        return read_npz(path, task)
    _refuse(source)


def load_features(
    source: str | os.PathLike[str], encoder: TableEncoder | None, target: TargetEncoder | None = None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(X, y) of new data for a trained model: read as `load` reads, but with what was learned in training.

    encoder: of the training data, where they were a table.  target: to encode y by; y is None where the source has
    none (or without a target).  A source with a test part gives that; an IDX file of images alone is fine too.
    Raises DataError as the readers do, and where the data are of another kind than those of the training.
    """
    path = Path(source)
    if is_table(source):
        if encoder is None:
            raise DataError(f"{source}: is a table, but the model was not trained on one.")
        table = read_table(source)
        X = encoder.transform(table)
        if target is None or target.name not in table.columns:
            return X, None
        return X, target.encode(table.columns[target.name], table.where)
    if encoder is not None:
        raise DataError(f"{source}: the model was trained on a table; it needs a .csv file with the same columns.")
    if path.suffix.lower() == ".npz":
        arrays = _read_archive(path)
        names = {"X": (*_TEST_NAMES["X_test"], *_NAMES["X"]), "y": (*_TEST_NAMES["y_test"], *_NAMES["y"])}
        if not any(name in arrays for name in names["y"]):
            X, values = _pick(arrays, {"X": names["X"]}, path)[0], None
        else:
            X, values = _pick(arrays, names, path)
        rows = _to_rows(X, path)[0]
        if values is None or target is None:
            return rows, None
        if len(values) != len(rows):
            raise DataError(f"{path}: there are {len(rows)} samples, but {len(values)} targets.")
        return rows, target.encode(values, _row_of(path))
    if str(source) == "digits" or path.is_dir():
        data = load(source)
        X_new, y = (data.X, data.y) if data.X_test is None else (data.X_test, data.y_test)
        return X_new, y
    if "ubyte" in path.name:
        return images_to_rows(read_idx(path), path), None
    _refuse(source)


def is_table(source: str | os.PathLike[str]) -> bool:
    """Whether the name is that of a table."""
    return str(source).lower().endswith(TABLE_SUFFIXES)


def _refuse(source: str | os.PathLike[str]) -> NoReturn:
    if not Path(source).exists():
        raise DataError(f"{source}: there is no such file or folder (and the only embedded data set is 'digits').")
    kinds = "a .csv, .tsv (also .gz) or .npz file, a folder with MNIST's files, or 'digits'"
    raise DataError(f"{source}: is no kind of data that can be read. Use {kinds}.")


def _stem(path: str | os.PathLike[str]) -> str:
    name = Path(path).name
    return name.removesuffix(".gz").rsplit(".", 1)[0] or name


def _row_of(path: str | os.PathLike[str]) -> Where:
    return lambda row: f"{path}, y[{row}]"


def _read_archive(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    try:
        with open_binary(path) as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise DataError(f"{path}: holds a single array; save X and y together with np.savez.")
            with archive:
                return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, NotImplementedError) as error:
        if isinstance(error, DataError):
            raise
        if "pickle" in str(error):  # what is neither an archive nor an array is taken for a pickle
            objects = "holds arrays of Python objects; save plain numbers"
            what = objects if zipfile.is_zipfile(path) else "is no NumPy archive (.npz)"
            raise DataError(f"{path}: {what}.") from None
        raise DataError(f"{path}: is no sound NumPy archive (.npz): {error}.") from None


def _pick(
    arrays: Mapping[str, NDArray[Any]], wanted: Mapping[str, tuple[str, ...]], path: str | os.PathLike[str]
) -> list[Any]:
    found = [next((arrays[name] for name in names if name in arrays), None) for names in wanted.values()]
    absent = [name for name, array in zip(wanted, found, strict=True) if array is None]
    if absent:
        there = ", ".join(arrays) or "nothing"
        raise DataError(
            f"{path}: there is no array {' nor '.join(map(repr, absent))} in the archive. There is: {there}."
        )
    return found


def _to_rows(X: NDArray[Any], path: str | os.PathLike[str]) -> tuple[NDArray[Any], bool]:
    """(X as (m, n) numbers, whether they were pixels)."""
    if X.dtype.kind not in "biuf":
        raise DataError(f"{path}: X must hold numbers. Got dtype {X.dtype} instead.")
    if X.ndim < 2 or X.size == 0:
        raise DataError(f"{path}: X must be samples in rows, (m, n), and not empty. Got shape {X.shape} instead.")
    if X.dtype == np.uint8:
        return images_to_rows(X, path), True
    rows = X.reshape(len(X), -1)
    rows = rows.astype(np.float32 if X.dtype in (np.float16, np.float32) else np.float64)
    check_finite(rows, f"{path}: X")
    return rows, False
