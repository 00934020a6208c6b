"""How many processors a call may use: those there are for this process, shared with the workers of a parallel search.

Threads that wait for each other at barriers gain nothing beyond the processors that run them, and lose much: so what
there is is asked of the system (affinity), of the container (the quotas of control groups), and of the environment.
CHAINRULE_PROCESSORS=n says it in their place, where they are wrong, or where a test wants more threads than processors.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path


def allowed() -> int:
    """Processors for this call by default: those there are, at most OMP_NUM_THREADS where it is set.

    Inside a worker of joblib or multiprocessing the processors are shared out already: one, unless OMP_NUM_THREADS says
    how many (joblib sets it for its processes).
    """
    most = _whole(os.environ.get("OMP_NUM_THREADS", ""))
    # Looked up, not imported: a process that multiprocessing started has loaded it, and loading it takes its time.
    started = sys.modules.get("multiprocessing.process")
    if started is not None and started.parent_process() is not None:
        return min(most or 1, present())
    if (parallel := sys.modules.get("joblib.parallel")) is not None and (
        getattr(parallel.get_active_backend()[0], "nesting_level", False)
    ):
        return 1
    return present() if most is None else min(most, present())


def present() -> int:
    """Processors there are for this process: CHAINRULE_PROCESSORS, else those it may run on, within its quota.

    No call uses more threads, whatever it asks for.
    """
    if (said := _whole(os.environ.get("CHAINRULE_PROCESSORS", ""))) is not None:
        return said
    count = getattr(os, "process_cpu_count", None)  # Python 3.13: the affinity, or what -X cpu_count says
    if count is not None:
        processors = count() or 1
    else:
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota()
    return processors if limit is None else min(processors, limit)


@functools.cache
def quota(root: str = "/") -> int | None:
    """Whole processors whose time the control groups of this process may use, at least 1; None without a limit.

    The least of all groups from the process's own up to where they are mounted: `cpu.max` (version 2), or
    `cpu.cfs_quota_us` and `cpu.cfs_period_us` (version 1).  Rounded down: a thread without its processor would hold up
    all others at the next barrier.  Read once a process.  root: where /proc and the mounts lie.
    Source: the kernel's admin-guide/cgroup-v2 and sched-bwc; cgroups(7), cgroup_namespaces(7), proc(5).
    """
    limits = [limit for folder in _groups(root) if (limit := _limit(folder)) is not None]
    return max(1, min(limits)) if limits else None


def _whole(text: str) -> int | None:
    """A positive whole number of a few digits, or None."""
    text = text.strip()
    return (int(text) or None) if text.isascii() and text.isdigit() and len(text) < 5 else None


def _limit(folder: Path) -> int | None:
    """The whole processors of one group: quota // period; None where it says none."""
    words = _read(folder / "cpu.max").split()
    if not words:
        words = _read(folder / "cpu.cfs_quota_us").split() + _read(folder / "cpu.cfs_period_us").split()
    if len(words) != 2 or not all(re.fullmatch("[0-9]{1,18}", word) for word in words):
        return None  # "max", -1, or nothing
    share, period = map(int, words)
    return share // period if share and period else None


def _groups(root: str) -> Iterator[Path]:
    """The folders of the groups that may limit the processor: this process's, and those above it that are mounted."""
    mounts = list(_mounts(root))
    for line in _read(Path(root, "proc/self/cgroup")).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version = 2 if number == "0" and not controllers else 1
        if version == 1 and "cpu" not in controllers.split(","):
            continue
        here = [(top, point) for kind, top, point in mounts if kind == version]
        around = [(top, point) for top, point in here if _below(path, top) is not None]
        # In a container a mount may show the process's own group under a name that the process does not know.
        for top, point in around or here:
            names = [name for name in (_below(path, top) or "").split("/") if name]
            if ".." not in names:  # else the group lies outside what this namespace sees
                folder = Path(root, point.lstrip("/"))
                yield folder
                for name in names:
                    folder = folder / name
                    yield folder


def _mounts(root: str) -> Iterator[tuple[int, str, str]]:
    """(version, the group that is mounted, where) of each mount of control groups with the controller of processors."""
    for line in _read(Path(root, "proc/self/mountinfo")).splitlines():
        fields = line.split(" ")
        if "-" not in fields[6:]:
            continue
        top, point = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field) for field in fields[3:5])
        kind, _, options = [*fields[fields.index("-", 6) + 1 :], "", "", ""][:3]
        if kind == "cgroup2":
            yield 2, top, point
        elif kind == "cgroup" and "cpu" in options.split(","):
            yield 1, top, point


def _below(path: str, top: str) -> str | None:
    """The rest of a path below another one, "" at it, None elsewhere."""
    top = top.rstrip("/")
    return path[len(top) :] if path == top or path.startswith(f"{top}/") else None


def _read(path: Path) -> str:
    """The text of a file; "" where it cannot be read."""
    try:
        return os.fsdecode(path.read_bytes())
    except OSError:
        return ""
