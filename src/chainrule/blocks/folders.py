"""Folders of NumPy's files as a supply of blocks: archives with X and y, or pairs X*.npy and y*.npy."""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from chainrule.blocks.supply import Block, identities
from chainrule.errors import DataError
from chainrule.files.disk import describe_os_error

Array = NDArray[Any]
LETTERS = ("X", "y", "w")
ARCHIVE, ARRAY = ".npz", ".npy"


class Part(NamedTuple):
    """One array in a file."""

    path: Path
    member: str
    """Of an archive; "" for a file of its own."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Folder:
    """Files in the order of their names, each read a piece at a time."""

    names: tuple[str, ...] | None = None

    def __init__(self, path: Path, bare: bool = False) -> None:
        self.what = str(path)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        archives = [file for file in files if file.suffix.lower() == ARCHIVE]
        arrays = [file for file in files if file.suffix.lower() == ARRAY]
        if archives and arrays:
            raise DataError(f"{path}: holds archives (.npz) and arrays (.npy); keep those of one kind there.")
        self.parts = [_of_archive(file, bare) for file in archives] or _pairs(path, arrays, bare)
        for X, *others in self.parts:
            for part in others:
                if part.shape[:1] != X.shape[:1]:
                    what = part.member or part.path.name
                    raise DataError(f"{part.path}: {what} has {part.shape[0]:,} rows, and X has {X.shape[0]:,}.")
        if len({len(parts) for parts in self.parts}) > 1:
            raise DataError(f"{path}: some of the files have weights (w), and some have none.")
        self.rows: int | None = sum(parts[0].shape[0] for parts in self.parts)
        self.identity: Any = self._stat()

    def blocks(self, size: int, dtype: np.dtype[Any] | None) -> Iterator[Block]:
        """Pieces of the files."""
        for parts in self.parts:
            X = parts[0]
            rows = max(1, size // max(1, X.dtype.itemsize * int(np.prod(X.shape[1:]))))
            with contextlib.ExitStack() as stack:
                readers = [stack.enter_context(_opened(part)) for part in parts]
                for first in range(0, X.shape[0], rows):
                    count = min(rows, X.shape[0] - first)
                    yield Block(*(_rows(reader, part, count) for reader, part in zip(readers, parts, strict=True)))

    def unchanged(self) -> bool:
        """Whether sizes and times are the same."""
        return bool(self._stat() == self.identity)

    def _stat(self) -> list[list[Any]]:
        return identities(part.path for parts in self.parts for part in parts)


def mapped(path: str | os.PathLike[str]) -> Array:
    """The array of a file, memory-mapped.  Raises DataError."""
    with _said(path):
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array


def _of_archive(path: Path, bare: bool) -> list[Part]:
    """X, y and perhaps w of an archive."""
    with _said(path), zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        members = {letter: f"{letter}.npy" for letter in LETTERS}
        members["y"] = "y.npy" if "y.npy" in names else "Y.npy"
        absent = [letter for letter in ("X" if bare else "Xy") if members[letter] not in names]
        if absent:
            there = ", ".join(sorted(name.removesuffix(".npy") for name in names)) or "nothing"
            raise DataError(f"{path}: there is no array {absent[0]!r} in the archive. There is: {there}.")
        found = []
        for letter in LETTERS:
            if members[letter] in names:
                with archive.open(members[letter]) as stream:
                    found.append(Part(path, members[letter], *_header(stream, path)))
        return found


def _pairs(folder: Path, files: Sequence[Path], bare: bool) -> list[list[Part]]:
    """X-1.npy with y-1.npy, and with w-1.npy if there is one, and so on."""
    by_end: dict[str, dict[str, Path]] = {}
    for file in files:
        letter = "y" if file.stem[:1] == "Y" else file.stem[:1]
        if letter in LETTERS:
            by_end.setdefault(file.stem[1:], {})[letter] = file
    pairs = []
    for end, found in sorted(by_end.items()):
        absent = [letter for letter in ("X" if bare else "Xy") if letter not in found]
        if absent:
            raise DataError(f"{folder}: there is no {absent[0]}{end}.npy beside {next(iter(found.values())).name}.")
        parts = []
        for letter in LETTERS:
            if letter in found:
                with _said(found[letter]), open(found[letter], "rb") as stream:
                    parts.append(Part(found[letter], "", *_header(stream, found[letter])))
        pairs.append(parts)
    if not pairs:
        raise DataError(
            f"{folder}: there are no blocks in it. A folder of blocks holds archives (.npz) with X and y, arrays "
            "X*.npy and y*.npy, or Parquet files."
        )
    return pairs


def _header(stream: Any, path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise DataError(f"{path}: holds Python objects; save plain numbers.")
    if not shape or (fortran and len(shape) > 1):
        what = "a number alone" if not shape else "its columns one after the other"
        raise DataError(f"{path}: holds {what}; save rows, np.save(path, np.ascontiguousarray(X)).")
    return shape, dtype


@contextlib.contextmanager
def _opened(part: Part) -> Iterator[Any]:
    """A stream that stands at the first row."""
    with _said(part.path), contextlib.ExitStack() as stack:
        if part.member:
            archive = stack.enter_context(zipfile.ZipFile(part.path))
            stream: Any = stack.enter_context(archive.open(part.member))
        else:
            stream = stack.enter_context(open(part.path, "rb"))
        _header(stream, part.path)
        yield stream


def _rows(stream: Any, part: Part, count: int) -> Array:
    rows = np.empty((count, *part.shape[1:]), part.dtype)
    memory, got = rows.reshape(-1).view(np.uint8).data, 0
    while got < len(memory) and (some := stream.readinto(memory[got:])):
        got += some
    if got < len(memory):
        raise DataError(f"{part.path}: is cut short: there are fewer rows than its header says.")
    return rows


@contextlib.contextmanager
def _said(path: str | os.PathLike[str]) -> Iterator[None]:
    """What is wrong with a file as a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {describe_os_error(error)}.") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, NotImplementedError) as error:
        raise DataError(f"{path}: is no sound file of NumPy's: {error}.") from None
