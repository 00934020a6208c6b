"""The files of a folder are all old or all new, at whatever instant the process that replaces them is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.errors import DataError
from chainrule.files import folder as folders
from chainrule.files.folder import member, replace_files, settle

OWNED = ("model", "settings", "report", "log")
OLD = {"model": "old", "settings": "old", "report": "old"}
NEW = {"model": "new", "settings": "new", "log": "new"}


def content(folder: Path) -> dict[str, str]:
    return {name: member(folder, name).read_text() for name in OWNED if member(folder, name).is_file()}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.fixture(params=["exchanged", "handed over"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the old files, by either way of replacing them."""
    if request.param == "handed over":
        monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    (tmp_path / "run").mkdir()
    fill(tmp_path / "run", OLD)
    return tmp_path / "run"


def test_the_files_are_replaced_and_nothing_is_left(run: Path) -> None:
    replace_files(run, OWNED, lambda draft: fill(draft, NEW))
    assert content(run) == NEW and sorted(os.listdir(run)) == sorted(NEW)
    assert os.listdir(run.parent) == ["run"]


def test_what_is_not_owned_stays(run: Path) -> None:
    (run / "notes").mkdir()
    (run / "notes" / "mine.txt").write_text("mine")
    replace_files(run, OWNED, lambda draft: fill(draft, NEW))
    assert content(run) == NEW and sorted(os.listdir(run)) == sorted([*NEW, "notes"])
    assert (run / "notes" / "mine.txt").read_text() == "mine"


def test_a_folder_that_is_not_there_is_made(run: Path) -> None:
    replace_files(run / "a" / "b", OWNED, lambda draft: fill(draft, NEW))
    assert content(run / "a" / "b") == NEW


def test_where_somebody_stands_the_folder_itself_remains(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    before = run.stat().st_ino
    replace_files(Path("."), OWNED, lambda draft: fill(draft, NEW))
    assert content(run) == NEW and run.stat().st_ino == before


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_behind_a_link(run: Path) -> None:
    (run.parent / "link").symlink_to(run)
    replace_files(run.parent / "link", OWNED, lambda draft: fill(draft, NEW))
    assert (run.parent / "link").is_symlink() and content(run) == NEW


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_files(run: Path, fault: BaseException) -> None:
    def write(draft: Path) -> None:
        fill(draft, {"model": "new"})
        raise fault

    with pytest.raises((DataError, KeyboardInterrupt)) as told:
        replace_files(run, OWNED, write)
    assert not isinstance(fault, OSError) or "cannot be written: no space left on device" in str(told.value)
    assert content(run) == OLD and os.listdir(run.parent) == ["run"] and sorted(os.listdir(run)) == sorted(OLD)


KILLED = """
import os, sys, pathlib
from chainrule.files import folder as folders
OWNED, run, exchanged = ("model", "settings", "report", "log"), pathlib.Path(sys.argv[1]), sys.argv[2] == "exchanged"
if not exchanged:
    folders._exchange = lambda one, other: False
def fill(draft, word, names):
    for name in names:
        (draft / name).write_text(word)
def attempt(last):
    # Killed just before the last-th thing that Python asks of the file system.
    count, watched = 0, True
    def hook(event, arguments):
        nonlocal count
        if watched and event.startswith(("os.", "open", "shutil.", "ctypes.", "pathlib.")):
            count += 1
            if count == last:
                os.kill(os.getpid(), 9)
    sys.addaudithook(hook)
    folders.replace_files(run, OWNED, lambda draft: fill(draft, "new", ("model", "settings", "log")))
    watched = False
states, last = set(), 0
while True:
    last += 1
    if run.exists():
        folders.shutil.rmtree(run)
    run.mkdir()
    fill(run, "old", ("model", "settings", "report"))
    child = os.fork()
    if child == 0:
        attempt(last)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    for settled in (False, True):
        if settled:
            folders.settle(run, OWNED)
        files = {n: folders.member(run, n).read_text() for n in OWNED if folders.member(run, n).is_file()}
        old, new = dict.fromkeys(("model", "settings"), "old"), dict.fromkeys(("model", "settings", "log"), "new")
        files.pop("report", None) if files.get("model") == "old" else None
        assert files in (old, new), (last, settled, files)
    states.add((status == 0, files["model"]))
    if exchanged:  # not even somebody who knows nothing of drafts sees a mix
        assert {p.read_text() for p in run.iterdir()} in ({"old"}, {"new"}), last
    assert not (run / folders.PENDING).exists() and not (run / folders.MOVING).exists()
    if status == 0:
        break
print(last, sorted(states))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process for each instant")
@pytest.mark.parametrize("way", ["exchanged", "handed over"])
def test_killed_before_every_call_of_the_file_system(tmp_path: Path, way: str) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run"), way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    points, states = done.stdout.split(" ", 1)
    assert int(points) > 15
    # Killed early it is the old run, killed late or not at all the new one.
    assert states.strip() == "[(False, 'new'), (False, 'old'), (True, 'new')]"


def test_drafts_of_the_killed_are_removed_in_time(run: Path) -> None:
    abandoned, live = run.parent / ".run.aa.draft", run.parent / ".run.bb.draft"
    for place in (abandoned, live):
        place.mkdir()
    os.utime(abandoned, (1, 1))
    replace_files(run, OWNED, lambda draft: fill(draft, NEW))
    assert not abandoned.exists() and live.exists()


def test_settling_is_for_nobody_who_has_nothing_to_settle(run: Path) -> None:
    settle(run, OWNED)
    assert content(run) == OLD
    (run / folders.PENDING).write_text("a file of that name")
    settle(run, OWNED)
    assert content(run) == OLD
