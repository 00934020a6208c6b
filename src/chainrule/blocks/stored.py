"""Rows on the disk: an array for each symbol, in files without names, or in a folder that is kept.

Files without names are the system's own way to leave nothing behind: whatever becomes of the process, they are gone
with it.  What is kept is made beside and renamed when it is complete:

    folder/<digest>/about.json        what it is of: rows, rows of a block, what else whoever wrote it has to know
    folder/<digest>/X.npy, Y.npy      each array, as `numpy.load` reads it
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError
from chainrule.files import strict_json
from chainrule.files.disk import describe_os_error, hidden_name, sync, sync_folder

Array = NDArray[Any]
FORMAT = 1
ABOUT = "about.json"
DRAFT = ".draft"
ABANDONED = 24 * 3600.0
"""Seconds after which a draft in which nothing was written is nobody's any more."""
HASHED = 1 << 24
"""Bytes that are read at a time for the digest."""
RESERVE = 1 << 26
"""Bytes of the disk that are left free."""


class Kind(NamedTuple):
    """Of an array of rows."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """Of a row."""

    @property
    def bytes(self) -> int:
        """Of a row."""
        return self.dtype.itemsize * int(np.prod(self.shape))


def kinds_of(data: Mapping[str, Array]) -> dict[str, Kind]:
    """Of some rows' arrays."""
    return {name: Kind(array.dtype, array.shape[1:]) for name, array in data.items()}


def usual_place() -> Path:
    """The folder for files without names: CHAINRULE_CACHE_DIR, else the user's own for such files."""
    from platformdirs import user_cache_dir

    place = Path(os.environ.get("CHAINRULE_CACHE_DIR") or user_cache_dir("chainrule", appauthor=False))
    return place / "blocks" if place.is_absolute() else Path(tempfile.gettempdir())


@dataclass(eq=False)
class Stored:
    """Rows that lie on the disk."""

    files: Mapping[str, Any]
    """Of each symbol, open."""
    kinds: Mapping[str, Kind]
    """Of each symbol."""
    starts: Mapping[str, int]
    """Where its rows begin in its file."""
    rows: int
    """m"""
    block: int
    """Rows of a block."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What else whoever wrote them has to know."""
    place: str = ""
    """Where they are, for messages."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._digest: str | None = None
        self._of: tuple[Stored, ...] = ()
        """Whose files these are."""
        self.close = weakref.finalize(self, _close, tuple(self.files.values()))

    @property
    def bytes(self) -> int:
        """On the disk."""
        return self.rows * sum(kind.bytes for kind in self.kinds.values())

    def read(self, name: str, first: int, into: Array) -> None:
        """Reads the rows from `first` on into an array (rows, ...) of their kind.  Raises DataError."""
        if not into.size:
            return
        kind, file = self.kinds[name], self.files[name]
        memory = into.reshape(-1).view(np.uint8).data
        try:
            with self._lock:
                file.seek(self.starts[name] + first * kind.bytes)
                got = 0
                while got < len(memory) and (some := file.readinto(memory[got:])):
                    got += some
        except (OSError, ValueError) as error:
            reason = describe_os_error(error) if isinstance(error, OSError) else "it has been closed"
            raise DataError(f"{self.place}: the rows laid out there cannot be read: {reason}.") from None
        if got < len(memory):
            raise DataError(f"{self.place}: the rows laid out there became fewer while they were read.")

    def gather(self, pieces: Sequence[tuple[int, int]], into: Mapping[str, Array]) -> None:
        """Reads pieces (the first row, how many), one below the other, into arrays by symbol.  Raises DataError."""
        at = 0
        for first, count in pieces:
            for name, array in into.items():
                self.read(name, first, array[at : at + count])
            at += count

    def beside(self, other: Stored) -> Stored:
        """These rows with the other's arrays beside, in the place of those of the same names.

        Closed, the other is.
        """
        both = Stored(
            {**self.files, **other.files},
            {**self.kinds, **other.kinds},
            {**self.starts, **other.starts},
            self.rows,
            self.block,
            self.told,
            self.place,
        )
        both.close.detach()
        both._lock, both.close = self._lock, other.close
        both._of = (self, other)
        return both

    def only(self, names: Collection[str]) -> Stored:
        """These arrays alone; closed with this."""
        some = Stored(
            {name: self.files[name] for name in names},
            {name: self.kinds[name] for name in names},
            {name: self.starts[name] for name in names},
            self.rows,
            self.block,
            self.told,
            self.place,
        )
        some.close.detach()
        some._lock, some._of = self._lock, (self,)
        return some

    def digest(self) -> str:
        """SHA-256 of the rows as they lie; read when it is first asked for."""
        if self._digest is None:
            sha = hashlib.sha256(repr(sorted(self.kinds.items())).encode())
            for name, kind in sorted(self.kinds.items()):
                some = np.empty((min(self.rows, max(1, HASHED // max(kind.bytes, 1))), *kind.shape), kind.dtype)
                for first in range(0, self.rows, len(some)):
                    part = some[: self.rows - first]
                    self.read(name, first, part)
                    sha.update(part.reshape(-1).view(np.uint8).data)
            self._digest = sha.hexdigest()
        return self._digest

    def all_of(self, rows: int) -> Iterator[dict[str, Array]]:
        """All rows in their order, so many at a time."""
        for first in range(0, self.rows, rows):
            count = min(rows, self.rows - first)
            some = {name: np.empty((count, *kind.shape), kind.dtype) for name, kind in self.kinds.items()}
            for name, array in some.items():
                self.read(name, first, array)
            yield some


class Draft:
    """Rows that are being written.

    place: the folder.  keep: the name under which they are kept there; None for files without names.
    rows: how many there will be; None where that is not known (only of files without names).
    Raises DataError where there is no room.
    """

    def __init__(self, place: Path, keep: str | None, kinds: Mapping[str, Kind], rows: int | None) -> None:
        self.place, self.keep, self.kinds, self.rows = place, keep, kinds, rows
        self.files: dict[str, Any] = {}
        self.starts: dict[str, int] = {}
        self.draft: Path | None = None
        try:
            place.mkdir(parents=True, exist_ok=True)
            if keep is not None:
                _sweep(place)
                self.draft = place / hidden_name(keep, DRAFT)
                self.draft.mkdir()
            self._check_room()
            for name, kind in kinds.items():
                self._open(name, kind)
        except OSError as error:
            self.give_up()
            raise self._fault(error) from None
        except BaseException:
            self.give_up()
            raise

    def _check_room(self) -> None:
        if self.rows is None:
            return
        needed = self.rows * sum(kind.bytes for kind in self.kinds.values())
        free = shutil.disk_usage(self.place).free
        if needed + RESERVE > free:
            raise DataError(
                f"{self.place}: the data take {needed / 1e9:,.2f} GB there once they are laid out, and "
                f"{free / 1e9:,.2f} GB are free. Make room, or name another folder: cr.Blocks(..., cache=folder)."
            )

    def _open(self, name: str, kind: Kind) -> None:
        if self.draft is None:
            file: Any = tempfile.TemporaryFile(dir=self.place, buffering=0)  # noqa: SIM115 - closed with the rows
        else:
            file = open(self.draft / f"{name}.npy", "x+b", buffering=0)  # noqa: SIM115
        self.files[name] = file
        if self.draft is not None:
            shape = (self.rows, *kind.shape)
            header = {"descr": np.lib.format.dtype_to_descr(kind.dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
        self.starts[name] = file.tell()
        if self.rows is not None and hasattr(os, "posix_fallocate") and self.rows * kind.bytes:
            # Says at once that there is no room, and lays the file out in one piece.
            try:
                os.posix_fallocate(file.fileno(), 0, self.starts[name] + self.rows * kind.bytes)
            except OSError as error:  # not every file system can
                if error.errno == errno.ENOSPC:
                    raise

    def write(self, name: str, first: int, rows: Array) -> None:
        """Writes these rows from the place `first` on.  Raises DataError for a full disk and the like."""
        file, memory = self.files[name], rows.reshape(-1).view(np.uint8).data
        try:
            file.seek(self.starts[name] + first * self.kinds[name].bytes)
            written = 0
            while written < len(memory):
                written += file.write(memory[written:])
        except OSError as error:
            raise self._fault(error) from None

    def finish(self, rows: int, block: int, told: Mapping[str, Any]) -> Stored:
        """The rows, complete."""
        try:
            if self.draft is not None and self.keep is not None:
                about = {"format": FORMAT, "rows": rows, "block": block, "told": dict(told)}
                about["arrays"] = {name: [kind.dtype.name, list(kind.shape)] for name, kind in self.kinds.items()}
                (self.draft / ABOUT).write_text(strict_json.dumps(about), encoding="utf-8")
                self._close()
                for name in os.listdir(self.draft):
                    sync(self.draft / name)
                sync_folder(self.draft)
                with contextlib.suppress(OSError):  # somebody else was quicker: theirs are the same
                    self.draft.rename(self.place / self.keep)
                sync_folder(self.place)
                stored = opened(self.place, self.keep)
                if stored is None:
                    raise DataError(f"{self.place / self.keep} holds something else than laid out rows.")
                return stored
            return Stored(dict(self.files), self.kinds, self.starts, rows, block, dict(told), str(self.place))
        except OSError as error:
            raise self._fault(error) from None
        finally:
            if self.draft is not None:
                shutil.rmtree(self.draft, ignore_errors=True)

    def give_up(self) -> None:
        """Nothing of it stays."""
        self._close()
        if self.draft is not None:
            shutil.rmtree(self.draft, ignore_errors=True)

    def _close(self) -> None:
        _close(tuple(self.files.values()))
        self.files = {}

    def _fault(self, error: OSError) -> DataError:
        return DataError(
            f"{self.place}: the data cannot be laid out there: {describe_os_error(error)}. Make room, or name another "
            "folder: cr.Blocks(..., cache=folder)."
        )


def opened(place: Path, name: str) -> Stored | None:
    """The rows that are kept there under that name; None where there are none, or something else."""
    folder = place / name
    files: dict[str, Any] = {}
    try:
        about = strict_json.loads((folder / ABOUT).read_bytes(), str(folder / ABOUT))
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            return None
        rows, block = int(about["rows"]), int(about["block"])
        kinds = {str(n): Kind(np.dtype(dtype), tuple(shape)) for n, (dtype, shape) in about["arrays"].items()}
        starts = {}
        for symbol, kind in kinds.items():
            files[symbol] = file = open(folder / f"{symbol}.npy", "rb", buffering=0)  # noqa: SIM115
            np.lib.format.read_magic(file)
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
            starts[symbol] = file.tell()
            whole = starts[symbol] + rows * kind.bytes == os.fstat(file.fileno()).st_size
            if fortran or not whole or (shape, dtype) != ((rows, *kind.shape), kind.dtype):
                raise ValueError(symbol)
        return Stored(files, kinds, starts, rows, block, about["told"], str(folder))
    except (OSError, DataError, ValueError, TypeError, KeyError, AttributeError):
        _close(tuple(files.values()))
        return None


def _close(files: tuple[Any, ...]) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            file.close()


def _sweep(place: Path) -> None:
    """Removes the drafts of processes that were killed."""
    for entry in os.listdir(place):
        if entry.startswith(".") and entry.endswith(DRAFT):
            with contextlib.suppress(OSError, ValueError):
                newest = max(f.stat().st_mtime for f in (place / entry, *(place / entry).iterdir()))
                if time.time() - newest > ABANDONED:
                    shutil.rmtree(place / entry, ignore_errors=True)
