"""The process that one contender works in, on the processors and with the threads that the runner gave it.

    python -m chainrule.bench.worker --place MODULE:CLASS --processors 0,1

It reads commands from standard input and answers each with one line on standard output, both JSON.  While it waits it
uses no processor.  Commands ("do"):

prepare  workload, part, least → {seconds, cost, repeats, about}: makes the problem and the contender and lets it do its
         work once, compiling what it compiles.  A repetition is `repeats` epochs (or calls), about `least` seconds.
time     → {wall, processor}: seconds of one repetition divided by `repeats`; processor: of the whole process.
ceiling  → {gflops, bfloat16}: of one core; 0 where it has nothing for bfloat16 products.
quit

An answer {"error": text} says what went wrong.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from chainrule.bench.contenders import Contender

ROWS = 64
"""Samples that one-sample predictions go round; those of many samples have one array of them."""


class Worker:
    """One contender's answers."""

    def __init__(self, place: str, threads: int) -> None:
        self.place = place
        self.threads = threads
        self.contender: Contender | None = None
        self.work: Callable[[int], float] | None = None
        self.repeats = 1
        self.ceiling: Callable[[], float] | None = None
        self.narrow: Callable[[], float] | None = None

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to one command."""
        if message["do"] == "prepare":
            return self.prepare(message["workload"], message["part"], message["least"])
        if message["do"] == "time":
            return self.time()
        if message["do"] == "ceiling":
            from chainrule.bench.ceiling import ceiling, narrow_ceiling

            self.ceiling = self.ceiling or ceiling()
            self.narrow = self.narrow or narrow_ceiling()
            return {"gflops": self.ceiling(), "bfloat16": self.narrow()}
        raise ValueError(f"no such command: {message['do']}")

    def prepare(self, name: str, part: float, least: float) -> dict[str, Any]:
        """See above."""
        from chainrule.bench.contenders import load
        from chainrule.bench.workloads import WORKLOADS, problem

        self.contender = self.work = None
        gc.collect()
        workload = WORKLOADS[name].shortened(part)
        given = problem(workload)
        start = time.perf_counter()
        self.contender = contender = load(self.place)(given, self.threads)
        if workload.predict:
            rows = _rows(workload.sizes[0], workload.batch_size)
            self.work = _calls(contender, rows)
            self.work(1)
            cost = float(contender.predict(rows[0]).reshape(-1)[0])
        else:
            self.work = contender.train
            cost = contender.train(1)
        first = time.perf_counter() - start
        self.repeats = 1
        spent = self.time()["wall"]
        while spent * self.repeats < least:
            # Not more than ten times as many at once: the first may have been slow.
            self.repeats = max(self.repeats + 1, min(self.repeats * 10, int(least / max(spent, 1e-9)) + 1))
            spent = self.time()["wall"]
        return {"seconds": first, "cost": cost, "repeats": self.repeats, "about": contender.about()}

    def time(self) -> dict[str, Any]:
        """See above.  From the first weights each time: every repetition does the same work."""
        assert self.contender is not None and self.work is not None
        self.contender.reset()
        gc.collect()
        gc.disable()
        try:
            wall, processor = time.perf_counter(), time.process_time()
            self.work(self.repeats)
            processor = time.process_time() - processor
            wall = time.perf_counter() - wall
        finally:
            gc.enable()
        return {"wall": wall / self.repeats, "processor": processor / self.repeats}


def _rows(features: int, samples: int) -> list[Any]:
    import numpy as np

    rng = np.random.default_rng(2)
    return [rng.standard_normal((samples, features), np.float32) for _ in range(ROWS if samples == 1 else 1)]


def _calls(contender: Contender, rows: list[Any]) -> Callable[[int], float]:
    """Predictions, so many."""

    def work(count: int) -> float:
        predict = contender.predict
        for start in range(0, count, len(rows)):
            for x in rows[: count - start]:
                predict(x)
        return 0.0

    return work


def serve(worker: Worker, commands: TextIO, answers: TextIO) -> None:
    """Answers until it is told to quit or nobody is there to ask."""
    for line in commands:
        message = json.loads(line)
        if message["do"] == "quit":
            return
        try:
            answer = worker.answer(message)
        except Exception as error:
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--place", required=True)
    parser.add_argument("--processors", required=True)
    options = parser.parse_args()
    processors = [int(word) for word in options.processors.split(",")]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, processors)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # What a library prints must not come between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(Worker(options.place, len(processors)), sys.stdin, answers)


if __name__ == "__main__":
    main()
