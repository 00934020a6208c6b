"""The files of a folder that belong together, replaced as one thing: all old ones or all new ones, whenever one looks.

They are written into a draft first, and put on the disk.  Then, if the folder holds nothing else and the system can do
it (Linux and macOS, most file systems), draft and folder change names in one step.

Where that cannot be (the folder holds the user's own files as well, is a mount, is where the user stands; Windows),
the draft is made within the folder and handed over in steps, each of which a reader can go on from:

1. the draft is renamed to PENDING: from here on the new files are what the folder holds
2. files of the old ones that the new ones do not have are removed; PENDING is renamed to MOVING
3. each file is moved to its place, and the empty MOVING removed

A process that is killed before 1 leaves the old files; later, what is left to do is done by whoever reads or writes the
folder next (`settle`).  Who may not write there reads the new files where they are (`member`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from chainrule.errors import DataError
from chainrule.files.disk import describe_os_error, hidden_name, sync, sync_folder

DRAFT = ".draft"
"""How the name of a draft ends."""
PENDING, MOVING = ".chainrule-new", ".chainrule-moving"
ABANDONED = 3600.0
"""Seconds after which a draft is nobody's any more; writing one takes seconds."""


def replace_files(folder: Path, owned: Collection[str], write: Callable[[Path], object]) -> None:
    """Let `write` fill an empty draft folder with files; they take the place of those that `owned` names, as one.

    owned: the names of all files that may belong together; those that the draft does not have are removed.  Whatever
    else the folder holds stays.
    Raises DataError where something cannot be written; the old files are then still there, untouched.
    """
    folder = Path(os.path.realpath(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        settle(folder, owned)
        if not (_may_be_exchanged(folder, owned) and _exchange_with_draft(folder, write)):
            _hand_over(folder, owned, write)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {describe_os_error(error)}.") from None


def settle(folder: Path, owned: Collection[str]) -> None:
    """Do what a process that was killed while it replaced the files has left to do.

    Raises OSError where there is something to do that must not be done (a folder that cannot be written).
    """
    pending, moving = folder / PENDING, folder / MOVING
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # nothing to do, or somebody else does it
        new = set(os.listdir(pending))
        # Seen there after it was listed: nobody had begun to move its files, so that the list is whole.
        if pending.is_dir():
            for name in set(owned) - new:
                (folder / name).unlink(missing_ok=True)
            pending.replace(moving)
            sync_folder(folder)
    if moving.is_dir():
        for name in owned:
            with contextlib.suppress(FileNotFoundError):
                (moving / name).replace(folder / name)
        sync_folder(folder)
        shutil.rmtree(moving, ignore_errors=True)


def member(folder: Path, name: str) -> Path:
    """Where a file of the folder is, which need not exist; also when a replacement was left half done."""
    if (folder / PENDING).is_dir():
        return folder / PENDING / name
    moved = folder / MOVING / name
    return moved if moved.is_file() else folder / name


def _may_be_exchanged(folder: Path, owned: Collection[str]) -> bool:
    """Whether the folder is all its files' own, and nobody stands in it."""
    here = Path(os.path.realpath(os.getcwd()))
    alone = all(entry in owned for entry in os.listdir(folder))
    return alone and folder not in (here, *here.parents) and os.access(folder.parent, os.W_OK)


def _exchange_with_draft(folder: Path, write: Callable[[Path], object]) -> bool:
    """Whether it was possible: a draft beside the folder, and one step."""
    _sweep(folder.parent, folder.name)
    draft = folder.parent / hidden_name(folder.name, DRAFT)
    draft.mkdir()
    try:
        shutil.copymode(folder, draft)
        _fill(draft, write)
        if not _exchange(draft, folder):
            return False
        sync_folder(folder.parent)
        return True
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # the old files, or a draft that failed


def _hand_over(folder: Path, owned: Collection[str], write: Callable[[Path], object]) -> None:
    _sweep(folder, folder.name)
    draft = folder / hidden_name(folder.name, DRAFT)
    draft.mkdir()
    try:
        _fill(draft, write)
        draft.rename(folder / PENDING)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(folder)
    settle(folder, owned)


def _fill(draft: Path, write: Callable[[Path], object]) -> None:
    write(draft)
    for name in os.listdir(draft):
        sync(draft / name)
    sync_folder(draft)


def _sweep(place: Path, name: str) -> None:
    """Removes the drafts of processes that were killed."""
    begin = f".{name[:40]}."
    for entry in os.listdir(place):
        if entry.startswith(begin) and entry.endswith(DRAFT):
            with contextlib.suppress(OSError):
                if time.time() - (place / entry).stat().st_mtime > ABANDONED:
                    shutil.rmtree(place / entry, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Whether the two, which exist, have changed names, in one step of the system; False where it cannot."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform.startswith("linux"):
            here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
            return bool(library.renameat2(here, names[0], here, names[1], exchange) == 0)
        if sys.platform == "darwin":
            swap = 2  # RENAME_SWAP
            return bool(library.renamex_np(*names, swap) == 0)
    except (AttributeError, OSError, TypeError):  # an older system's library; Windows has none of that name
        pass
    return False
