"""Two processes with one core each beside one process with two, and a group of one beside no group.

    python benchmarks/group.py              over gloo: starts the second process itself
    mpiexec -n 2 python benchmarks/group.py over MPI

784-1024-1024-10, batches of 2,048 samples, SGD.  Both ways take turns in the same processes; a way's time is the median
of its turns.  `--processor-time` measures the group of one by processor time, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule.engines.shards.alone import Alone
from chainrule.group.base import Group
from chainrule.group.started import joined, started_by

LAYERS = [cr.Dense(1024, "relu"), cr.Dense(1024, "relu"), cr.Dense(10, "softmax")]


class One(Alone, Group):
    """A group of one."""


def data(samples: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((samples, 784), dtype=np.float32), rng.integers(0, 10, samples)


class Clock(cr.Callback):
    """The seconds of each epoch's steps."""

    looks = writes = False

    def __init__(self, now: object) -> None:
        self.now, self.times, self._began = now, list[float](), 0.0

    def on_epoch_begin(self, fit: cr.FitState) -> None:
        self._began = self.now()  # type: ignore[operator]

    def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
        self.times.append(self.now() - self._began)  # type: ignore[operator]


def seconds(X: np.ndarray, y: np.ndarray, batch: int, threads: int, group: Group | None, now: object) -> float:
    """Of an epoch: the second, as the first may compile."""
    net = cr.Network(784, LAYERS, loss="cross_entropy", engine="compiled")
    clock = Clock(now)
    options = {"epochs": 2, "batch_size": batch, "threads": threads, "verbose": False, "callbacks": [clock]}
    net.fit(X, y, optimizer=cr.SGD(0.01), group=group, **options)  # type: ignore[arg-type]
    return clock.times[1]


def two_processes(group: Group, batch: int, turns: int) -> None:
    """Rank 0 prints the ratio of the rates."""
    X, y = data(4 * batch)
    ratios, alone, together = [], [], []
    for _ in range(turns):
        group.barrier()
        if group.rank == 0:
            alone.append(seconds(X, y, batch, 2, None, time.perf_counter))
        group.barrier()
        together.append(seconds(X, y, batch, 1, group, time.perf_counter))
        if group.rank == 0:
            ratios.append(alone[-1] / together[-1])
    if group.rank == 0:
        rate = len(X) / statistics.median(together)
        print(
            f"two processes, {type(group).__name__}: {rate:,.0f} samples/s, {statistics.median(ratios):.3f} of one "
            f"process with two threads ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def group_of_one(batch: int, turns: int) -> None:
    """The ratio of the times with and without the group, one thread, by processor time."""
    X, y = data(4 * batch)
    ratios = []
    for _ in range(turns):
        without, with_ = (seconds(X, y, batch, 1, group, time.process_time) for group in (None, One()))
        ratios.append(with_ / without)
    print(f"group of one, batch {batch:,}: {statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})")


@contextlib.contextmanager
def two(file: str | None) -> Iterator[Group]:
    """The group of two: MPI's, or gloo's that meets by a file."""
    if file is None:
        with joined(300) as group:
            assert group is not None
            yield group
        return
    from torch import distributed

    name, rank = file.rsplit(":", 1)
    distributed.init_process_group("gloo", init_method=f"file://{name}", rank=int(rank), world_size=2)
    yield cr.as_group(distributed.group.WORLD, 300)
    distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", choices=["one", "two"])
    parser.add_argument("--meet", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if started_by() or options.meet:
        with two(options.meet) as group:
            two_processes(group, options.batch, options.turns)
        return
    if options.only != "two":
        group_of_one(options.batch, options.turns)
    if options.only != "one":
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, __file__, "--batch", str(options.batch), "--turns", str(options.turns), "--meet"]
            workers = [subprocess.Popen([*words, f"{Path(folder) / 'meeting'}:{rank}"]) for rank in range(2)]
            sys.exit(max(worker.wait() for worker in workers))


if __name__ == "__main__":
    main()
