"""A worker of a group of processes: prints [its rank, what it comes to], a line of JSON for each task it is given.

    python group_worker.py gloo FILE RANK SIZE TASKS        a process of a gloo group that meets by that file
    mpiexec -n 2 python group_worker.py mpi - - - TASKS     a process of MPI's

TASKS is JSON: [[name of a function below, its arguments by name], ...].
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import numpy as np

import chainrule as cr

SAMPLES, FEATURES = 400, 6


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(SAMPLES, FEATURES)).astype(np.float32), rng.integers(0, 3, SAMPLES)


def digest(net: cr.Network) -> str:
    """Of all its bits."""
    arrays = {**net.parameters, **net.state}
    return hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()[:16]


def fit(group: Any, engine: str = "reference", optimizer: str = "adam", wide: int = 16, **options: Any) -> str:
    """A digest of the network after a fit."""
    layers = [cr.Dense(wide, "relu"), cr.Dropout(0.1), cr.Dense(3, "softmax")]
    net = cr.Network(FEATURES, layers, loss="cross_entropy", engine=engine)
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 128, "optimizer": optimizer, "verbose": False}
    net.fit(*data(), **{**settings, **options}, group=group)
    return digest(net)


def differing(group: Any) -> str:
    """What workers are told whose data differ."""
    X, y = data()
    X[0, 0] += cr.as_group(group).rank
    try:
        cr.Network(FEATURES, [cr.Dense(3, "softmax")], loss="cross_entropy").fit(X, y, epochs=1, group=group)
    except cr.GroupError as fault:
        return str(fault)
    return "nothing"


def killed(group: Any, rank: int, after: float, timeout: float, by: str = "SIGKILL", **options: Any) -> str:
    """What a worker is told when another one is killed, or stopped."""
    group = cr.as_group(group, timeout)
    if group.rank == rank:
        threading.Timer(after, os.kill, (os.getpid(), getattr(signal, by))).start()
    began = time.monotonic()
    try:
        fit(group, **{"epochs": 1_000_000, **options})
    except cr.GroupError as fault:
        return f"{time.monotonic() - began:.1f} {fault}"
    return "nothing"


def misfitting(group: Any) -> str:
    """What worker 0 is told, who is sent more than it takes."""
    group = cr.as_group(group)
    other, longer = 1 - group.rank, np.zeros(100)
    try:
        group.exchange({other: longer}, {other: np.zeros(1) if group.rank == 0 else longer})
    except cr.GroupError as fault:
        return str(fault)
    return "nothing"


TASKS = {"fit": fit, "differing": differing, "killed": killed, "misfitting": misfitting}


def main() -> None:
    kind, file, rank, size, tasks = sys.argv[1:]
    if kind == "gloo":
        from torch import distributed

        distributed.init_process_group(
            "gloo", init_method=f"file://{file}", rank=int(rank), world_size=int(size), timeout=timedelta(seconds=30)
        )
        group: Any = distributed.group.WORLD
    else:
        from mpi4py import MPI

        group = MPI.COMM_WORLD
    for name, options in json.loads(tasks):
        said = TASKS[name](group, **options)
        print(json.dumps([group.rank if kind == "mpi" else int(rank), said]), flush=True)


if __name__ == "__main__":
    main()
