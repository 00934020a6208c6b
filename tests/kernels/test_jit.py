"""The cache on disk: used, private, and never trusted with anything damaged or foreign."""

from __future__ import annotations

import ctypes
import os
import stat
import tracemalloc
from pathlib import Path

import pytest

from chainrule.engines.llvm import cache, jit, target
from chainrule.engines.llvm.emit import Module


class Builder:
    """Emits a function that returns a number, and counts how often it was asked to."""

    def __init__(self, number: int) -> None:
        self.number, self.calls = number, 0

    def __call__(self) -> Module:
        self.calls += 1
        module = Module(target.host())
        f = module.function("answer", [], "i64")
        f.ret(f.constant("i64", self.number))
        return module


def answer(builder: Builder, key: str = "k", dtype: str = "float32") -> int:
    code = jit.load(target.host(), dtype, key, builder)
    return int(code.function("answer", returns=ctypes.c_int64)())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "code"))
    monkeypatch.delenv("CHAINRULE_CACHE", raising=False)
    return tmp_path / "code"


def test_second_load_comes_from_disk(place: Path) -> None:
    builder = Builder(7)
    assert [answer(builder), answer(builder)] == [7, 7]
    assert builder.calls == 1
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert answer(Builder(8), "other") == 8 and answer(Builder(9), dtype="float64") == 9
    assert len(list(place.iterdir())) == 3


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "renamed", "noise"])
def test_damaged_entry_is_rebuilt(place: Path, how: str) -> None:
    answer(Builder(7))
    answer(Builder(8), "other")
    names = [cache.entry_name(target.host(), "float32", k) for k in ("k", "other")]
    entry, other = (place / f"{name}.o" for name in names)
    content = entry.read_bytes()
    damaged = {
        "cut": content[:-5],
        "flipped": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        "empty": b"",
        "renamed": other.read_bytes(),
        "noise": os.urandom(500),
    }[how]
    entry.write_bytes(damaged)
    builder = Builder(7)
    assert answer(builder) == 7 and builder.calls == 1
    assert entry.read_bytes() == content
    assert answer(builder) == 7 and builder.calls == 1


def test_an_entry_that_grew_to_gigabytes_is_not_read(place: Path) -> None:
    answer(Builder(7))
    (entry,) = place.iterdir()
    os.truncate(entry, 1 << 30)  # a hole: it takes no place on the disk, but would in memory
    builder = Builder(7)
    tracemalloc.start()
    try:
        assert answer(builder) == 7 and builder.calls == 1
        assert tracemalloc.get_traced_memory()[1] < 1 << 27
    finally:
        tracemalloc.stop()
    assert entry.stat().st_size < 1 << 20


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_folder_that_others_may_write_is_ignored(place: Path, mode: int) -> None:
    answer(Builder(7))
    place.chmod(mode)
    builder = Builder(9)
    assert answer(builder) == 9 and answer(Builder(1), "new") == 1
    assert builder.calls == 1 and len(list(place.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_foreign_entries_are_ignored(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(Builder(7))
    (entry,) = place.iterdir()
    entry.chmod(0o666)
    assert answer(Builder(9)) == 9
    entry.unlink(missing_ok=True)
    answer(Builder(7))
    real = place.parent / "real.o"
    entry.rename(real)
    entry.symlink_to(real)
    assert answer(Builder(5)) == 5
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    assert answer(Builder(3)) == 3


def test_cache_can_be_turned_off(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", "0")
    assert answer(Builder(1)) == 1 and answer(Builder(2)) == 2
    assert not place.exists()


def test_folder_that_cannot_be_made_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "file" / "code"))
    assert answer(Builder(4)) == 4


def test_old_entries_go(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "ENTRIES", 4)
    for i in range(6):
        answer(Builder(i), f"key {i}")
    assert len(list(place.iterdir())) <= 4


def test_drafts_of_processes_that_were_killed_go(place: Path) -> None:
    answer(Builder(1))
    old, new = place / ".new-old", place / ".new-young"
    for draft in (old, new):
        draft.write_bytes(b"half an entry")
    os.utime(old, (1e9, 1e9))
    answer(Builder(2), "other")
    assert not old.exists() and new.exists()


def test_who_has_no_home_has_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CHAINRULE_CACHE_DIR", "CHAINRULE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *names, **options: "~/.cache/chainrule")
    assert answer(Builder(3)) == 3
    assert not list(tmp_path.iterdir())


def test_broken_ir_raises() -> None:
    module = Module(target.host())
    f = module.function("broken", ["i64"])
    f.line("ret i64 %nothing")
    with pytest.raises(RuntimeError):
        jit.compile_module(module)


def test_unknown_function_raises() -> None:
    with pytest.raises(LookupError, match="no function 'nothing'"):
        jit.compile_module(Builder(1)()).address("nothing")
