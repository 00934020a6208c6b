"""Workers that are processes, over gloo and MPI."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
import group_worker
from group_threads import together

SCRIPT = Path(group_worker.__file__)
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
FITS = [
    {"engine": engine, "optimizer": optimizer} for engine in ("reference", "compiled") for optimizer in ("sgd", "adam")
]


def mpiexec() -> str | None:
    """The command, if it and mpi4py are there."""
    beside = Path(sys.executable).with_name("mpiexec")
    command = str(beside) if beside.exists() else shutil.which("mpiexec")
    return command if importlib.util.find_spec("mpi4py") is not None else None


needs_mpi = pytest.mark.skipif(mpiexec() is None, reason="mpi4py or mpiexec is not installed")


def gloo(
    size: int, tasks: list[tuple[str, dict[str, Any]]], folder: Path, timeout: float = 120, stuck: int | None = None
) -> list[list[Any]]:
    """What each worker of a gloo group says of these tasks, as far as it comes; one that is stuck is killed."""
    file = folder / "meeting"
    command = [sys.executable, str(SCRIPT), "gloo", str(file)]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(size), json.dumps(tasks)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        for rank in range(size)
    ]
    ends: dict[int, tuple[str, str]] = {}
    try:
        for rank, worker in enumerate(workers):
            if rank != stuck:
                ends[rank] = worker.communicate(timeout=timeout)
    finally:
        for worker in workers:
            worker.kill()
        ends |= {rank: worker.communicate() for rank, worker in enumerate(workers) if rank not in ends}
    assert not any("Traceback" in trouble for _, trouble in ends.values()), ends
    return [[json.loads(line)[1] for line in ends[rank][0].splitlines()] for rank in range(size)]


def alone(tasks: list[dict[str, Any]]) -> list[str]:
    """The same fits by a group of one."""
    return [together(1, lambda group, task=task: group_worker.fit(group, **task))[0] for task in tasks]


@needs_torch
def test_two_processes_over_gloo(tmp_path: Path) -> None:
    """The bits of one worker, with both engines and two optimizers; what they say where they do not fit; and what one
    says of the other that is killed."""
    tasks = [*(("fit", task) for task in FITS), ("differing", {})]
    ends = gloo(2, [*tasks, ("killed", {"rank": 1, "after": 0.3, "timeout": 5})], tmp_path)
    expected = alone(FITS)
    for end in ends:
        assert end[:4] == expected
        assert end[4].startswith("The 2 workers do not train the same. They differ in the data: ")
    assert len(ends[0]) == 6 and len(ends[1]) == 5
    seconds, _, said = ends[0][5].partition(" ")
    assert float(seconds) < 8
    assert said.startswith("Worker 0 of 2 has lost another one: the connection to worker 1 has ended. Start all")


def mpi(size: int, tasks: list[tuple[str, dict[str, Any]]], timeout: float = 120) -> tuple[list[Any], str]:
    """What the workers of an MPI world say of these tasks, those that came to an end; and their troubles."""
    command = [str(mpiexec()), "-n", str(size), sys.executable, str(SCRIPT), "mpi", "-", "-", "-", json.dumps(tasks)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=os.environ)
    ends: list[list[Any]] = [[] for _ in range(size)]
    said = process.stdout.replace("\n", "")  # which mpiexec may put anywhere
    while said.startswith("["):
        (rank, value), end = json.JSONDecoder().raw_decode(said)
        ends[rank].append(value)
        said = said[end:]
    return ends, process.stderr


@needs_mpi
def test_two_processes_over_mpi() -> None:
    ends, trouble = mpi(2, [*(("fit", task) for task in FITS), ("differing", {}), ("misfitting", {})])
    expected = alone(FITS)
    for end in ends:
        assert len(end) == 6, trouble
        assert end[:-2] == expected
        assert end[-2].startswith("The 2 workers do not train the same. They differ in the data: ")
    assert "MPI says Message truncated" in ends[0][-1] and ends[1][-1] == "nothing"


@pytest.mark.long
@needs_torch
@pytest.mark.parametrize("size", [1, 3])
def test_other_numbers_of_processes_over_gloo(size: int, tmp_path: Path) -> None:
    expected = alone(FITS)
    assert gloo(size, [("fit", task) for task in FITS], tmp_path) == [expected] * size


@pytest.mark.long
@needs_mpi
@pytest.mark.parametrize("size", [1, 3])
def test_other_numbers_of_processes_over_mpi(size: int) -> None:
    ends, trouble = mpi(size, [("fit", task) for task in FITS])
    assert ends == [alone(FITS)] * size, trouble


@pytest.mark.long
@needs_torch
@pytest.mark.skipif(os.name == "nt", reason="SIGSTOP is of POSIX")
def test_a_worker_that_says_nothing_over_gloo(tmp_path: Path) -> None:
    """Its connection stays: the others wait for the timeout."""
    stopped = {"rank": 1, "after": 0.5, "timeout": 5, "by": "SIGSTOP"}
    ends = gloo(3, [("killed", stopped)], tmp_path, timeout=60, stuck=1)
    said = [end[0].partition(" ") for end in (ends[0], ends[2])]
    assert all(5 < float(seconds) < 20 and text.startswith("Worker") for seconds, _, text in said)
    assert any("worker 1 has sent nothing for 5 seconds" in text for _, _, text in said)


@pytest.mark.long
@needs_torch
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")
@pytest.mark.parametrize("seed", range(20))
def test_twenty_kills(seed: int, tmp_path: Path) -> None:
    """At a random instant, of either worker; other workers go on, to the bits of a fit that was not disturbed."""
    rng, folder = np.random.default_rng(seed), tmp_path / "checkpoints"
    options = {"epochs": 300, "checkpoint": str(folder)}
    rank = int(rng.integers(2))
    ends = gloo(2, [("killed", {"rank": rank, "after": rng.uniform(0, 2), "timeout": 5, **options})], tmp_path)
    assert all("has lost another one" in said for said in ends[1 - rank] if said != "nothing")
    again = together(3 - 2 * (seed % 2), lambda group: group_worker.fit(group, **options, resume=True))
    assert again == alone([{"epochs": 300}]) * len(again)


@needs_mpi
def test_a_worker_that_is_killed_over_mpi() -> None:
    """mpiexec ends the others with it."""
    ends, trouble = mpi(3, [("killed", {"rank": 1, "after": 0.5, "timeout": 5})], timeout=20)
    assert "KILLED BY SIGNAL: 9" in trouble or all(said.startswith("Worker") for end in ends for said in end)


@pytest.mark.long
@needs_mpi
def test_a_worker_that_says_nothing_over_mpi() -> None:
    """The others wait for the timeout, and end all of them."""
    stopped = {"rank": 1, "after": 0.5, "timeout": 5, "by": "SIGSTOP"}
    ends, _ = mpi(3, [("killed", stopped)], timeout=40)
    assert "has lost another one: one of the others has sent nothing for 5 seconds" in ends[0][0] + ends[2][0]


# --- the command -----------------------------------------------------------------------------------------------------

TRAIN = ["-m", "chainrule", "train", "digits", "--hidden", "16", "--epochs", "2"]


def command(starter: list[str], folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What is printed, and the exit code."""
    return subprocess.run(
        [*starter, *TRAIN, *options], capture_output=True, text=True, timeout=120, cwd=folder, env=os.environ
    )


def trains_as_one_process_with_a_group_would(starter: list[str], folder: Path) -> None:
    """One run, of one network; what is wrong is said by each, and nothing is left."""
    done = command(starter, folder, "--batch-size", "128")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1 and [p.name for p in (folder / "runs").iterdir()] == ["digits"]
    wrong = command(starter, folder, "--batch-size", "32")
    assert wrong.returncode != 0 and wrong.stderr.count("some would have nothing to do") == 2
    assert [p.name for p in (folder / "runs").iterdir()] == ["digits"]


@needs_mpi
def test_the_command_under_mpiexec(tmp_path: Path) -> None:
    trains_as_one_process_with_a_group_would([str(mpiexec()), "-n", "2", sys.executable], tmp_path)


@pytest.mark.long
@needs_torch
def test_the_command_under_torchrun(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    trains_as_one_process_with_a_group_would(torchrun, tmp_path)


def learns_a_table(starter: list[str], folder: Path) -> None:
    """One run, with the networks of one process; what is wrong is said by each, and nothing is left."""
    rows = "".join(f"{k % 7},{k % 3},{'yes' if k % 7 > 3 else 'no'}\n" for k in range(60))
    (folder / "table.csv").write_text(f"a,b,c\n{rows}")
    words = ["-m", "chainrule", "train", "table.csv", "--engine", "reference"]

    def run(starter: list[str], *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*starter, *words, *options], capture_output=True, text=True, timeout=120, cwd=folder, env=os.environ
        )

    done, one = run(starter), run([sys.executable], "--out", "runs/one")
    assert done.returncode == one.returncode == 0, done.stderr
    assert done.stdout.replace("runs/table", "runs/one") == one.stdout
    for k in range(4):
        member = f"member-{k}.safetensors"
        assert (folder / "runs/table" / member).read_bytes() == (folder / "runs/one" / member).read_bytes()
    wrong = run(starter, "--preset", "fast", "--out", "runs/wrong")
    assert wrong.returncode != 0 and wrong.stderr.count("The recipe has 1 network, and there are 2 workers") >= 1
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["one", "table"]


@needs_mpi
def test_the_recipe_for_tables_under_mpiexec(tmp_path: Path) -> None:
    learns_a_table([str(mpiexec()), "-n", "2", sys.executable], tmp_path)


@pytest.mark.long
@needs_torch
def test_the_recipe_for_tables_under_torchrun(tmp_path: Path) -> None:
    learns_a_table([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"], tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is not None, reason="mpi4py is installed")
def test_without_mpi4py_the_extra_is_named(tmp_path: Path) -> None:
    environment = {**os.environ, "PMI_SIZE": "2"}
    done = subprocess.run(
        [sys.executable, *TRAIN], capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment
    )
    assert done.returncode == 2 and "mpi4py is not installed: pip install 'chainrule[mpi]'" in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("dask") is not None, reason="Dask is installed")
def test_without_dask_the_extra_is_named() -> None:
    with pytest.raises(ImportError, match=r"chainrule.dask needs .*: pip install 'chainrule\[dask\]'"):
        importlib.import_module("chainrule.dask")
