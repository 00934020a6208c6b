"""Compiled code kept on disk between runs: private to the user, checked, written atomically.

An entry is  MAGIC, the entry's name, the checksum of the code, the code.  What is not exactly so is as if it were not
there; no fault of the cache is ever an error.  CHAINRULE_CACHE_DIR moves it, CHAINRULE_CACHE=0 turns it off.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
import time
from pathlib import Path

from chainrule.engines.llvm.target import Target
from chainrule.version import VERSION

DRAFT = ".new-"
MAGIC = b"chainrule object 1\n"
ENTRIES = 512  # beyond these, the older half goes
LARGEST = 1 << 26  # bytes of an entry: machine code has some megabytes; more is no entry, and is not read
ABANDONED = 3600.0  # seconds after which a draft is nobody's any more


def folder() -> Path | None:
    """Where the entries are, or None when the cache is off."""
    if os.environ.get("CHAINRULE_CACHE", "1").strip().lower() in ("0", "off", "no", "false"):
        return None
    chosen = os.environ.get("CHAINRULE_CACHE_DIR")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_dir

    place = Path(user_cache_dir("chainrule", appauthor=False))
    return place / "code" if place.is_absolute() else None  # who has no home has no cache either


def entry_name(target: Target, dtype: str, key: str | bytes) -> str:
    """A name that differs whenever the machine code could: by program, dtype, processor and versions."""
    text = key if isinstance(key, bytes) else key.encode()
    digest = hashlib.sha256()
    sizes = f"{target.vector_bytes}/{target.registers}/{target.fma}/{target.l1}/{target.l2}/{target.tiles}"
    for part in (_versions(), dtype, target.triple, target.cpu, target.features, sizes):
        digest.update(part.encode() + b"\0")
    digest.update(text)
    return digest.hexdigest()


@functools.cache
def _versions() -> str:
    import llvmlite
    from llvmlite import binding as llvm

    names = [VERSION, llvmlite.__version__, ".".join(map(str, llvm.llvm_version_info))]
    # A checkout that is being worked on keeps its version: let a changed emitter (or what its plan asks) count as well.
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        about = source.stat()
        names.append(f"{source.name}:{about.st_size}:{about.st_mtime_ns}")
    return " ".join(names)


def _private(about: os.stat_result) -> bool:
    """Owned by this user and writable by nobody else."""
    if not hasattr(os, "getuid"):
        return True
    return about.st_uid == os.getuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _trusted(place: Path) -> bool:
    try:
        about = os.lstat(place)
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and _private(about)


def read(name: str) -> bytes | None:
    """The code stored under `name`, or None."""
    place = folder()
    if place is None or not _trusted(place):
        return None
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(place / f"{name}.o", flags), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or not _private(about) or about.st_size > LARGEST:
                return None
            content = file.read(LARGEST)
    except OSError:
        return None
    head = MAGIC + bytes.fromhex(name)
    if not content.startswith(head) or len(content) < len(head) + 32:
        return None
    code = content[len(head) + 32 :]
    return code if hashlib.sha256(code).digest() == content[len(head) : len(head) + 32] else None


def write(name: str, code: bytes) -> None:
    """Store the code under `name`, whole or not at all."""
    place = folder()
    if place is None or len(code) > LARGEST - 200:
        return
    with contextlib.suppress(OSError):
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                place.mkdir(mode=0o700)
        if not _trusted(place):
            return
        import tempfile  # slow to load, and most runs only read

        handle, draft = tempfile.mkstemp(prefix=DRAFT, dir=place)  # readable and writable by the user alone
        try:
            with open(handle, "wb") as file:
                file.write(MAGIC + bytes.fromhex(name) + hashlib.sha256(code).digest() + code)
            os.replace(draft, place / f"{name}.o")
        except BaseException:
            os.unlink(draft)
            raise
        _prune(place)


def _prune(place: Path) -> None:
    """Removes old entries where there are too many, and what a process that was killed left unfinished."""
    entries = []
    with os.scandir(place) as listed:
        for entry in listed:
            with contextlib.suppress(OSError):  # another process may prune as well
                if entry.name.endswith(".o"):
                    entries.append((entry.stat().st_mtime_ns, entry.path))
                elif entry.name.startswith(DRAFT) and time.time() - entry.stat().st_mtime > ABANDONED:
                    os.unlink(entry.path)
    if len(entries) > ENTRIES:
        for _, path in sorted(entries)[: len(entries) // 2]:
            with contextlib.suppress(OSError):
                os.unlink(path)
