"""Opening and replacing files: one clear message for each way in which that fails.

Reading accepts plain and gzip files by their content, not by their name.  Writing goes to a neighbour file first and is
moved into place when complete, so that an interrupted or failed write never leaves half a file, nor takes the old one.
Each function loads the libraries that it needs: every network imports this module, and most touch no file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from chainrule.errors import DataError, SpecError, shorten

if TYPE_CHECKING:
    from pathlib import Path

_GZIP_MAGIC = b"\x1f\x8b"
PART = ".part"
"""How the name of a file ends that is not yet complete."""


def describe_os_error(error: OSError) -> str:
    """The operating system's reason in words, without number and path: "permission denied"."""
    return (error.strerror or str(error) or type(error).__name__).lower()


@contextlib.contextmanager
def open_binary(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """The bytes of a plain or gzip file, for reading.

    Raises DataError where the file is missing, a folder, unreadable, or its compressed data are damaged or cut short
    (also when that is noticed only while the caller reads).
    """
    import gzip
    import zlib
    from pathlib import Path

    path = Path(path)
    try:
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(open(path, "rb"))
            magic = raw.read(2)
            raw.seek(0)
            yield cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=raw))) if magic == _GZIP_MAGIC else raw
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, not a file.") from None
    except EOFError:
        raise DataError(f"{path}: the compressed file is cut short. Fetch it again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the compressed data are damaged ({error}). Fetch the file again.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {describe_os_error(error)}.") from None


def read_text(path: str | os.PathLike[str]) -> str:
    """The whole of a UTF-8 text file (plain or gzip; a byte order mark is dropped).

    Raises DataError where it cannot be read or is not UTF-8, naming the line.
    """
    with open_binary(path) as stream:
        raw = stream.read()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line} is not UTF-8 text (byte 0x{raw[error.start]:02x}). Save the file as UTF-8."
        ) from None


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """What is wrong with what a file says becomes a DataError that names the file, in at most 500 characters."""
    try:
        yield
    except (DataError, SpecError) as fault:
        text = str(fault)
        raise DataError(shorten(text if text.startswith(str(path)) else f"{path}: {text}")) from None


def replace_file(path: str | os.PathLike[str], write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour, then move it onto `path` in one step that outlives a power cut.

    Raises DataError where the folder or the file cannot be written; what was at `path` is then still there.
    """
    from pathlib import Path

    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / hidden_name(path.name, PART)
        # Made here, so that nobody's file is taken for it; with the rights of any other file.
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        write(temporary)
        sync(temporary)
        temporary.replace(path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {describe_os_error(error)}.") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def printable(name: str | os.PathLike[str]) -> str:
    """A file's name as UTF-8 can say it: a byte that is none is shown as its number (gr\\udcf6sse)."""
    return os.fspath(name).encode("utf-8", "backslashreplace").decode()


def replace_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 onto `path` in one step (see `replace_file`); what UTF-8 cannot say is escaped."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))

    replace_file(path, write)


def sync(path: str | os.PathLike[str]) -> None:
    """Have a file's content on the disk, not only in the system's memory.  Raises OSError, a full disk's among them."""
    # For writing, as Windows wants it; nothing is written.
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Have a folder's names on the disk, where the system knows such a thing."""
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        # Some file systems (of networks, of other systems) know no such thing; the file itself is safe by then.
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def hidden_name(name: str, ending: str) -> str:
    """A name for what is not complete yet, beside `name`: hidden, and nobody else's."""
    # The start of a name is enough to tell whose part it is; all of a long one would be too long.
    return f".{name[:40]}.{os.urandom(6).hex()}{ending}"
