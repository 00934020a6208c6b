"""Starts the workers and takes them through the rounds."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chainrule.bench.contenders import PRODUCT, Entry
from chainrule.bench.process import WorkerFailedError, WorkerProcess, close_all, processors
from chainrule.bench.results import Clock, Results, Series, Trial
from chainrule.bench.workloads import Workload

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to run."""

    workloads: tuple[Workload, ...]
    """In order."""
    contenders: tuple[Entry, ...]
    """In order."""
    threads: tuple[int, ...]
    """The numbers of threads."""
    rounds: int = 7
    """How often everything is measured."""
    part: float = 1.0
    """Of each workload's samples."""
    least: float = 0.5
    """Seconds of one measurement, about."""
    clock: Clock = "wall"
    """Which time is measured."""


@dataclass
class _Running:
    """A contender's process at one thread setting."""

    entry: Entry
    threads: int
    process: WorkerProcess


def run(plan: Plan, say: Say) -> Results:
    """Every workload in turn; say: is told what is being done."""
    results = Results(machine(), plan.clock, plan.threads, plan.rounds)
    before = load_average()
    running: list[_Running] = []
    ceiling = WorkerProcess("chainrule.bench.contenders.product:Product", 1)
    try:
        for entry in plan.contenders:
            reason = entry.missing()
            if reason:
                results.skipped.append(f"{entry.title}: {reason}")
                continue
            running += [_Running(entry, threads, WorkerProcess(entry.place, threads)) for threads in plan.threads]
        for workload in plan.workloads:
            results.trials.append(_trial(workload, plan, running, ceiling, results, say))
    finally:
        close_all([*(r.process for r in running), ceiling])
    results.load = (before, load_average())
    return results


def _trial(
    workload: Workload, plan: Plan, running: list[_Running], ceiling: WorkerProcess, results: Results, say: Say
) -> Trial:
    """One workload: everyone prepares, then every round asks everyone once, each time beginning with another."""
    trial = Trial(workload.shortened(plan.part))
    ready: list[tuple[_Running, Series]] = []
    for worker in running:
        reason = worker.entry.unable(workload)
        if workload.predict and workload.batch_size == 1 and worker.threads != min(plan.threads):
            continue  # one sample is no work for two
        if reason:
            line = f"{worker.entry.title} {reason} ({workload.name})"
            if line not in results.skipped:
                results.skipped.append(line)
            continue
        say(f"{workload.name}: {worker.entry.title} gets ready, {_threads(worker.threads)}")
        series = Series(worker.entry.name, worker.threads)
        try:
            answer = worker.process.ask("prepare", workload=workload.name, part=plan.part, least=plan.least)
        except WorkerFailedError as error:
            _gone(worker, workload, error, results)
            continue
        series.first, series.cost, series.repeats = answer["seconds"], answer["cost"], answer["repeats"]
        if answer["about"] not in results.libraries:
            results.libraries.append(answer["about"])
        ready.append((worker, series))
    for number in range(plan.rounds):
        say(f"{workload.name}: round {number + 1} of {plan.rounds}")
        read = ceiling.ask("ceiling")
        trial.ceilings.append(float(read["gflops"]))
        if read["bfloat16"]:
            trial.narrow.append(float(read["bfloat16"]))
        first = number % max(1, len(ready))
        for worker, series in ready[first:] + ready[:first]:
            try:
                answer = worker.process.ask("time")
            except WorkerFailedError as error:
                _gone(worker, workload, error, results)
                ready = [pair for pair in ready if pair[1] is not series]
                continue
            series.wall.append(answer["wall"])
            series.processor.append(answer["processor"])
    trial.series = [series for _, series in ready]
    disagreement = trial.disagreement()
    if disagreement:
        results.warnings.append(disagreement)
    return trial


def _gone(worker: _Running, workload: Workload, error: Exception, results: Results) -> None:
    """Notes that a contender failed and gives it a new process, for the next workload.

    Raises WorkerFailedError when it is the product.
    """
    if worker.entry.name == PRODUCT:
        raise error
    results.skipped.append(f"{worker.entry.title}, {_threads(worker.threads)}, failed at {workload.name}: {error}")
    worker.process.close()
    worker.process = WorkerProcess(worker.entry.place, worker.threads)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def load_average() -> float:
    """Processes that ran or wanted to, the mean of the last minute; 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def machine() -> str:
    """The processor, how many of it, and the system."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    count = len(processors())
    return (
        f"{name}, {count} processor{'s' if count > 1 else ''}, {platform.system()}, Python {platform.python_version()}"
    )


def settings(words: Sequence[str]) -> tuple[int, ...]:
    """Thread counts from words, "all" for every processor; in order, each once.  Raises ValueError."""
    most = len(processors())
    counts: list[int] = []
    for word in words:
        count = most if word == "all" else int(word)
        if not 1 <= count <= most:
            raise ValueError(word)
        if count not in counts:
            counts.append(count)
    return tuple(sorted(counts))
