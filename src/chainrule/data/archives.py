"""NumPy archives (.npz) as data sets: X and y, and perhaps a test part."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.dataset import Dataset
from chainrule.data.idx import image_of, images_to_rows
from chainrule.data.standardize import check_finite
from chainrule.data.targets import TargetEncoder, Where, check_task
from chainrule.errors import DataError
from chainrule.files import open_binary

# The names under which archives hold their arrays: ours first, then those of Keras's mnist.npz.
_NAMES = {"X": ("X", "x", "x_train"), "y": ("y", "Y", "y_train")}
_TEST_NAMES = {"X_test": ("X_test", "x_test"), "y_test": ("y_test", "Y_test")}


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
    where = row_of(path)
    target = TargetEncoder.fit(values, where, task)
    X_test, y_test = None, None
    if any(name in arrays for names in _TEST_NAMES.values() for name in names):
        test, test_values = _pick(arrays, _TEST_NAMES, path)
        X_test, y_test = _to_rows(test, path)[0], target.encode(test_values, where)
    names = tuple(f"x{i}" for i in range(rows.shape[1]))
    measured = np.full(len(names), not pixels)
    image = image_of(X) if pixels else None
    return Dataset(rows, target.encode(values, where), names, target, stem(path), X_test, y_test, measured, image=image)


def read_new_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(X, the targets as they stand there or None) of an archive for a trained model: its test part, if it has one.

    Raises DataError as `read_npz`.
    """
    arrays = _read_archive(path)
    names = {"X": (*_TEST_NAMES["X_test"], *_NAMES["X"]), "y": (*_TEST_NAMES["y_test"], *_NAMES["y"])}
    if any(name in arrays for name in names["y"]):
        X, values = _pick(arrays, names, path)
    else:
        X, values = _pick(arrays, {"X": names["X"]}, path)[0], None
    return _to_rows(X, path)[0], values


def stem(path: str | os.PathLike[str]) -> str:
    """The name of a data set, from its file's: without folders and endings."""
    name = Path(path).name
    return name.removesuffix(".gz").rsplit(".", 1)[0] or name


def row_of(path: str | os.PathLike[str]) -> Where:
    """Where a target of an archive stands, for messages."""
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
    chosen = [next((arrays[name] for name in names if name in arrays), None) for names in wanted.values()]
    absent = [name for name, array in zip(wanted, chosen, strict=True) if array is None]
    if absent:
        there = ", ".join(arrays) or "nothing"
        raise DataError(
            f"{path}: there is no array {' nor '.join(map(repr, absent))} in the archive. There is: {there}."
        )
    return chosen


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
