"""How many processors there are: affinity, quotas of control groups in trees of files, the environment; and threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines import processors

V2 = "32 23 0:28 {top} {at} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 23 0:30 {top} {at} rw,nosuid shared:11 master:3 - cgroup cgroup rw,cpu,cpuacct"
OTHER = "34 23 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset"


def machine(root: Path, group: str, mounts: list[str], files: dict[str, str]) -> int | None:
    """The quota on a machine with these lines in /proc and these files."""
    lines = ["22 1 8:1 / / rw - ext4 /dev/sda1 rw", *mounts]
    for name, text in {"proc/self/cgroup": group, "proc/self/mountinfo": "\n".join(lines) + "\n", **files}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return processors.quota(str(root))


def v1(folder: str, quota: int, period: int = 100000) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("limit", "whole"),
    [
        ("200000 100000", 2),
        ("max 100000", None),
        ("50000 100000", 1),  # half a processor is one thread
        ("399999 100000", 3),  # the fourth thread would hold up the others
        ("3000 1000", 3),
        ("12800000 100000", 128),
        ("", None),
        ("words", None),
        ("100000 0", None),
        ("0 100000", None),
        ("-1 100000", None),
        ("²00000 100000", None),
    ],
)
def test_a_container_with_its_own_namespace(tmp_path: Path, limit: str, whole: int | None) -> None:
    mounts = [V2.format(top="/", at="/sys/fs/cgroup")]
    assert machine(tmp_path, "0::/\n", mounts, {"sys/fs/cgroup/cpu.max": limit + "\n"}) == whole


@pytest.mark.parametrize("tightest", ["", "/user.slice", "/user.slice/app.slice", "/user.slice/app.slice/run.scope"])
def test_the_tightest_group_on_the_way_up(tmp_path: Path, tightest: str) -> None:
    at = "sys/fs/cgroup"
    files = {f"{at}/user.slice/cpu.max": "900000 100000", f"{at}/user.slice/app.slice/cpu.max": "max 100000"}
    files |= {f"{at}{tightest}/cpu.max": "300000 100000", f"{at}/aside/cpu.max": "100000 100000"}
    group = "0::/user.slice/app.slice/run.scope\n"
    assert machine(tmp_path, group, [V2.format(top="/", at="/sys/fs/cgroup")], files) == 3


def test_a_group_that_is_gone_has_its_parents(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/a/cpu.max": "200000 100000"}
    assert machine(tmp_path, "0::/a/b (deleted)\n", [V2.format(top="/", at="/sys/fs/cgroup")], files) == 2


def test_version_1_with_the_groups_of_the_machine(tmp_path: Path) -> None:
    at = "sys/fs/cgroup/cpu,cpuacct"
    files = {**v1(at, -1), **v1(f"{at}/docker", 400000), **v1(f"{at}/docker/c1", 250000, 50000)}
    group = "5:cpuset:/docker/c1\n4:cpu,cpuacct:/docker/c1\n1:name=systemd:/docker/c1\n0::/system.slice\n"
    assert machine(tmp_path, group, [OTHER, V1.format(top="/", at=f"/{at}")], files) == 4


@pytest.mark.parametrize("top", ["/docker/c1", "/kubepods/pod1/c2"])
def test_version_1_in_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path, top: str) -> None:
    at = "sys/fs/cgroup/cpu,cpuacct"
    mounts = [OTHER, V1.format(top=top, at=f"/{at}")]
    assert machine(tmp_path, "4:cpu,cpuacct:/docker/c1\n", mounts, v1(at, 200000)) == 2


def test_another_containers_group_mounted_beside_does_not_count(tmp_path: Path) -> None:
    mounts = [V2.format(top="/c2", at="/others"), V2.format(top="/c1", at="/sys/fs/cgroup")]
    files = {"others/cpu.max": "100000 100000", "sys/fs/cgroup/cpu.max": "300000 100000"}
    assert machine(tmp_path, "0::/c1\n", mounts, files) == 3


def test_both_versions_at_once(tmp_path: Path) -> None:
    mounts = [V1.format(top="/", at="/sys/fs/cgroup/cpu"), V2.format(top="/", at="/sys/fs/cgroup/unified")]
    files = {**v1("sys/fs/cgroup/cpu/a", 300000), "sys/fs/cgroup/unified/cgroup.procs": "1\n"}
    assert machine(tmp_path, "1:cpu:/a\n0::/a\n", mounts, files) == 3


def test_a_group_outside_the_namespace(tmp_path: Path) -> None:
    mounts = [V2.format(top="/", at="/sys/fs/cgroup")]
    files = {"sys/fs/cgroup/cpu.max": "100000 100000", "sys/fs/b/cpu.max": "100000 100000"}
    assert machine(tmp_path, "0::/../b\n", mounts, files) is None


def test_a_mount_from_above_the_namespace(tmp_path: Path) -> None:
    mounts = [V2.format(top="/..", at="/sys/fs/cgroup")]
    assert machine(tmp_path, "0::/\n", mounts, {"sys/fs/cgroup/cpu.max": "200000 100000"}) == 2


def test_a_mount_with_a_space_in_its_name(tmp_path: Path) -> None:
    mounts = [V2.format(top="/a\\040b", at="/the\\040groups")]
    assert machine(tmp_path, "0::/a b/c\n", mounts, {"the groups/c/cpu.max": "200000 100000"}) == 2


@pytest.mark.parametrize("group", ["", "no colons", "0::/\n", "::::\n\n4:cpu:/a", "\x00\n0::\n"])
@pytest.mark.parametrize("mount", ["", "a b c", "- - - - - - - - -", V1, V2.replace(" {top} {at}", ""), V2])
def test_strange_files_are_no_limit(tmp_path: Path, group: str, mount: str) -> None:
    assert machine(tmp_path, group, [mount.format(top="/", at="/nowhere")], {}) is None


def test_no_control_groups(tmp_path: Path) -> None:
    assert processors.quota(str(tmp_path)) is None


def test_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quota, or the affinity where that is less; CHAINRULE_PROCESSORS in their place; OMP_NUM_THREADS at most."""
    for name in ("CHAINRULE_PROCESSORS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 6, raising=False)
    for limit, there in ((None, 6), (4, 4), (8, 6)):
        monkeypatch.setattr(processors, "quota", lambda limit=limit: limit)
        assert processors.present() == processors.allowed() == there
    for most, there in (("3", 3), ("9", 6), ("0", 6), ("many", 6)):
        monkeypatch.setenv("OMP_NUM_THREADS", most)
        assert (processors.present(), processors.allowed()) == (6, there)
    monkeypatch.delenv("OMP_NUM_THREADS")
    for said, there in (("12", 12), ("1", 1), (" 7 ", 7), ("0", 6), ("-3", 6), ("two", 6), ("٣", 6), ("", 6)):
        monkeypatch.setenv("CHAINRULE_PROCESSORS", said)
        assert processors.present() == processors.allowed() == there


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process to a processor")
@pytest.mark.parametrize(("said", "threads"), [("", 1), ("3", 3)])
def test_threads_beyond_the_processors_are_not_started(said: str, threads: int) -> None:
    code = """
        import os, threading
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        import numpy as np, chainrule as cr
        net = cr.Network(4, [cr.Dense(8, "tanh"), cr.Dense(1)], "squared_error", seed=0, engine="compiled")
        net.fit(np.ones((9999, 4)), np.ones((9999, 1)), epochs=1, threads=16, verbose=False)
        print(sum(thread.name == "chainrule" for thread in threading.enumerate()))
    """
    env = {**os.environ, "CHAINRULE_PROCESSORS": said}
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == (str(threads), "")


def test_an_explicit_number_is_not_held_to_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """threads= is the caller's own word, OMP_NUM_THREADS the default's; the numbers are the same."""
    X, y = np.random.default_rng(0).normal(size=(64, 4)), np.ones((64, 1))
    nets = [cr.Network(4, [cr.Dense(8, "tanh"), cr.Dense(1)], "squared_error", seed=0) for _ in range(2)]
    monkeypatch.setenv("CHAINRULE_PROCESSORS", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for net, threads in zip(nets, (3, None), strict=True):
        net.fit(X, y, epochs=2, threads=threads, verbose=False)
    assert nets[0].parameters["W1"].tobytes() == nets[1].parameters["W1"].tobytes()
