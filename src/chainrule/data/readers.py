"""Every source of data by its name: the embedded digits, a folder, a file."""

from __future__ import annotations

import gzip
import os
import unicodedata
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from chainrule import frames
from chainrule.data.archives import read_new_npz, read_npz, row_of, stem
from chainrule.data.columns import Survey, joined, judge_columns
from chainrule.data.dataset import Dataset
from chainrule.data.delimited import read_table, refuse_other_files
from chainrule.data.encode import TableEncoder
from chainrule.data.idx import images_to_rows, load_mnist, read_idx
from chainrule.data.table import Table, frame_table
from chainrule.data.targets import TargetEncoder, Task, Values, Where, check_task
from chainrule.errors import DataError, DataWarning, expected, unknown_name
from chainrule.files import open_binary, read_text

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_OF_THE_RECIPE = (".parquet", ".pq", ".feather", ".arrow", ".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
"""Tables that are read elsewhere."""
_BEGINNING = 1 << 20
"""Bytes of a file that say what it is."""

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
    return Dataset(X, labels.astype(np.int64), names, classes, "digits", image=(8, 8))


def _digits() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The pixels (1797, 64) and labels, from scikit-learn's own file: importing it takes longer than learning them."""
    package = find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
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
    path: str | os.PathLike[str],
    target: str | None = None,
    task: str | None = None,
    ignore: str | Iterable[str] = (),
    header: bool = True,
) -> Dataset:
    """A CSV file as a data set.

    X is (m, n) float64, missing numbers filled with the column's median, texts one-hot; not standardised.  Parameters
    and errors as of `load`.
    """
    return _warned(_csv(path, target, task, ignore, header))


def from_frame(
    frame: IntoDataFrame, target: str | None = None, task: str | None = None, ignore: str | Iterable[str] = ()
) -> Dataset:
    """A data frame (pandas, polars): its columns of numbers, texts, categories and truth values, as those of a file.

    X as of `read_csv`, parameters as of `load`.

    Raises
    ------
    DataError
        For what is no frame, columns without names or with the same name, cells that are neither numbers nor texts, and
        as `load`.
    """
    return _warned(_dataset(frame_table(frame), "frame", target, task, _names(ignore), header=True))


def _csv(
    path: str | os.PathLike[str], target: str | None, task: str | None, ignore: str | Iterable[str], header: bool
) -> Dataset:
    check_task(task)
    return _dataset(read_table(path, header), stem(path), target, task, _names(ignore), header)


def _dataset(
    table: Table, name: str, target: str | None, task: str | None, ignored: tuple[str, ...], header: bool
) -> Dataset:
    """The data set of a table."""
    check_task(task)
    left_out = _left_out(table, ignored)
    if target is None:
        named = [column for column in table.columns if column not in left_out]
        if not named:
            raise DataError(f"{table.path}: no column is left to predict.")
        target = named[-1]
    table.column(target)
    if target in left_out:
        raise DataError(f"{table.path}: the column {target!r} cannot both be the target and be left out.")
    survey = Survey(table)
    values = table.columns[target]
    if target in survey.doubtful and task != "classification":
        raise DataError(f"{table.path}: {survey.doubt(target)}")
    classes = TargetEncoder.fit(values, table.where, task, target, survey.comma)
    y = classes.encode(values, table.where, survey.comma)
    columns = judge_columns(survey, (*left_out, target))
    encoder = TableEncoder.fit(columns, left_out, header)
    notes = (*columns.notes, *(f"the target {target!r}: {doubt}" for doubt in _doubts(survey, classes, target)))
    return Dataset(
        encoder.matrix(columns),
        y,
        encoder.feature_names,
        classes,
        name,
        measured=encoder.measured,
        encoder=encoder,
        notes=notes,
        columns=columns,
    )


def _doubts(survey: Survey, classes: TargetEncoder, target: str) -> list[str]:
    verdict = survey.verdict(target)
    mixed = classes.names is not None and verdict.because == "mixed"
    return [*classes.doubts, *([f"{survey.where(target, verdict.others)} among numbers"] if mixed else [])]


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _left_out(table: Table, ignored: tuple[str, ...]) -> tuple[str, ...]:
    """The columns to leave out."""
    names = names_of(ignored, table.columns)
    faults = [unknown_name("column", name, table.columns) for name in names if name not in table.columns]
    if faults:
        raise DataError(f"{table.path}: {joined(faults)}")
    return names


def names_of(given: Iterable[str], columns: Collection[str]) -> tuple[str, ...]:
    """The columns that are meant; "a,b" is two of them where there is none of that name."""
    names: list[str] = []
    for name in given:
        names += [name] if name in columns else [part.strip() for part in name.split(",")]
    return tuple(dict.fromkeys(names))


def _warned(data: Dataset) -> Dataset:
    """The data, after their notes have been given as a warning."""
    if data.notes:
        warnings.warn(f"{data.name}: {'; '.join(data.notes)}.", DataWarning, stacklevel=3)
    return data


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
    source: str | os.PathLike[str] | IntoDataFrame,
    target: str | None = None,
    task: Task | None = None,
    ignore: str | Iterable[str] = (),
    header: bool = True,
) -> Dataset:
    """The data set of a name, of a file or of a data frame.

    What not everybody would expect stands in `Dataset.notes`, and in a DataWarning.

    Parameters
    ----------
    source
        "digits", a folder with MNIST's files, a .csv, .tsv (also .gz) or .npz file; or a frame of pandas or polars.
    target
        Of a table, the column to predict; by default the last.
    task
        "classification" or "regression"; by default as the target's values are.
    ignore
        Of a table, columns to leave out.
    header
        Of a file, whether the first line names the columns; else they are "1", "2", ...

    Raises
    ------
    DataError
        For a file that is damaged or of another kind, a column that is not there, a target that does not fit.
    """
    return _warned(read(source, target, task, ignore, header))


def read(
    source: Any,
    target: str | None = None,
    task: str | None = None,
    ignore: str | Iterable[str] = (),
    header: bool = True,
) -> Dataset:
    """As `load`, but its notes are no warnings: for a caller who tells them in another way."""
    check_task(task)
    if frames.is_frame(source):
        return _dataset(frame_table(source), "frame", target, task, _names(ignore), header=True)
    path = _path(source)
    if is_table(path):
        return _csv(path, target, task, ignore, header)
    other = path.is_file() and path.suffix.lower() != ".npz" and "ubyte" not in path.name
    if other and not str(path).lower().endswith(_OF_THE_RECIPE):
        with open_binary(path) as stream:
            refuse_other_files(stream.read(_BEGINNING), path)
    if other:
        _refuse(path)
    if target is not None or _names(ignore) or not header:
        raise DataError(f"{source}: only a table has columns; a target or columns to leave out cannot be chosen here.")
    if str(source) == "digits" or path.is_dir():
        if task == "regression":
            raise DataError(f"{source}: its targets are classes; the task can only be classification.")
        return load_digits() if str(source) == "digits" else load_mnist(path)
    if path.suffix.lower() == ".npz":
        return read_npz(path, task)
    _refuse(path)


def load_features(
    source: Any, encoder: TableEncoder | None, target: TargetEncoder | None = None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(X, y) of new data for a trained model: read as `load` reads, but with what was learned in training.

    encoder: of the training data, where they were a table.  target: to encode y by; y is None where the source has
    none (or without a target).  A source with a test part gives that; an IDX file of images alone is fine too.
    Where a table differs from the training data's (other categories, missing values, other columns) is a DataWarning.
    Raises DataError as the readers do, and where the data are of another kind than those of the training.
    """
    new = read_new(source, encoder, target, strict=True)
    if new.notes:
        warnings.warn(f"{new.name}: {'; '.join(new.notes)}.", DataWarning, stacklevel=2)
    return new.X, new.y


@dataclass(frozen=True, eq=False)
class NewData:
    """New data for a trained model."""

    name: str
    """The source's."""
    X: NDArray[Any]
    """(m, n)."""
    y: NDArray[Any] | None
    """The targets of the rows `judged`, as the training data's; -1 for a class that these did not have; None where
    there are none."""
    judged: NDArray[np.bool_]
    """(m,) which rows have a target."""
    notes: tuple[str, ...] = ()
    """What differs from the training data, a few words each."""


def read_new(source: Any, encoder: TableEncoder | None, target: TargetEncoder | None, strict: bool = False) -> NewData:
    """New data for a trained model (see `load_features`); unless strict, missing and new targets are no fault."""
    framed = frames.is_frame(source)
    path = Path() if framed else _path(source)
    if framed or is_table(path):
        if encoder is None:
            raise DataError(f"{path if not framed else 'The frame'}: is a table, but the model was not trained on one.")
        table = frame_table(source) if framed else read_table(path, encoder.header)
        name = None if target is None else target.name
        columns, notes = encoder.read(table, name)
        X = encoder.matrix(columns)
        if target is None or name not in table.columns:
            return NewData(table.path, X, None, np.zeros(len(X), dtype=bool), notes)
        return _with_targets(table.path, X, table.columns[name], table.where, target, notes, strict)
    if encoder is not None:
        raise DataError(f"{source}: the model was trained on a table; it needs a .csv file with the same columns.")
    X, values = _arrays_of(path)
    if values is None or target is None:
        return NewData(str(path), X, None, np.zeros(len(X), dtype=bool))
    if len(values) != len(X):
        raise DataError(f"{path}: there are {len(X)} samples, but {len(values)} targets.")
    return _with_targets(str(path), X, values, row_of(path), target, (), strict)


def _with_targets(
    name: str,
    X: NDArray[Any],
    values: Values,
    where: Where,
    target: TargetEncoder,
    notes: tuple[str, ...],
    strict: bool,
) -> NewData:
    if strict:
        return NewData(name, X, target.encode(values, where), np.ones(len(X), dtype=bool), notes)
    y, judged, odd = target.compare(values, where)
    return NewData(name, X, y[judged] if judged.any() else None, judged, (*notes, *odd))


def _arrays_of(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(X, the targets as they stand there) of new data that are no table."""
    if path.suffix.lower() == ".npz":
        return read_new_npz(path)
    if str(path) == "digits" or path.is_dir():
        data = load_digits() if str(path) == "digits" else load_mnist(path)
        return (data.X, data.y) if data.X_test is None or data.y_test is None else (data.X_test, data.y_test)
    if "ubyte" in path.name:
        return images_to_rows(read_idx(path), path), None
    _refuse(path)


def _path(source: Any) -> Path:
    try:
        return Path(source)
    except TypeError:
        raise DataError(
            expected("The data", "a path, 'digits' or a data frame", type(source).__name__, "Arrays go to fit itself.")
        ) from None


def is_table(source: str | os.PathLike[str]) -> bool:
    """Whether the name is that of a table."""
    return str(source).lower().endswith(TABLE_SUFFIXES)


def _refuse(source: str | os.PathLike[str]) -> NoReturn:
    if not Path(source).exists():
        raise DataError(f"{source}: there is no such file or folder (and the only embedded data set is 'digits').")
    kinds = (
        "a .csv, .tsv (also .gz) or .npz file, a folder with MNIST's files, or 'digits'; .parquet, .feather and .jsonl "
        "with fit_table and the recipe for tables"
    )
    raise DataError(f"{source}: cannot be read: it is none of the kinds of data that are known. Use {kinds}.")
