"""Workers that are processes, over gloo and MPI."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def gloo(size: int, tasks: list[tuple[str, dict[str, Any]]], folder: Path, timeout: float = 120) -> list[Any]:
    """What each worker of a gloo group says of these tasks; None of one that did not come to an end."""
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
    try:
        ends = [worker.communicate(timeout=timeout) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    return [json.loads(said.splitlines()[-1]) if said.strip() else trouble for said, trouble in ends]


def alone(tasks: list[dict[str, Any]]) -> list[str]:
    """The same fits by a group of one."""
    return [together(1, lambda group, task=task: group_worker.fit(group, **task))[0] for task in tasks]


@needs_torch
def test_two_processes_over_gloo(tmp_path: Path) -> None:
    """The bits of one worker, with both engines and two optimizers; and what they say where they do not fit."""
    ends = gloo(2, [*(("fit", task) for task in FITS), ("differing", {})], tmp_path)
    expected = alone(FITS)
    for end in ends:
        assert end[:-1] == expected
        assert end[-1].startswith("The 2 workers do not train the same. They differ in the data: ")
