"""A worker's process from the runner's side: its environment, its commands and its answers."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

LEFT_OUT = ("OPENBLAS_CORETYPE", "MKL_DEBUG_CPU_TYPE", "MKL_CBWR", "XLA_FLAGS")
"""Variables that workers do not inherit: each may hold a library to slower kernels than the machine has."""
ONE_CORE_OF_XLA = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
PATIENCE = 600.0
"""Seconds to wait for one answer."""


class WorkerFailedError(Exception):
    """A worker said what went wrong, or is gone."""


def processors() -> list[int]:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def environment(threads: int, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with what the libraries read about threads set to so many."""
    variables = {k: v for k, v in (os.environ if base is None else base).items() if k not in LEFT_OUT}
    for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR"):
        variables[f"{name}_NUM_THREADS"] = str(threads)
    if threads == 1:
        variables["XLA_FLAGS"] = ONE_CORE_OF_XLA
    variables.update(JAX_PLATFORMS="cpu", TF_CPP_MIN_LOG_LEVEL="3", PYTHONWARNINGS="ignore")
    return variables


class WorkerProcess:
    """A running worker."""

    def __init__(self, place: str, threads: int) -> None:
        self.threads = threads
        chosen = ",".join(str(number) for number in processors()[:threads])
        words = [sys.executable, "-m", "chainrule.bench.worker", "--place", place, "--processors", chosen]
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            env=environment(threads),
        )

    def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """The answer to a command.  Raises WorkerFailedError."""
        self.send(do, **details)
        return self.receive()

    def send(self, do: str, **details: Any) -> None:
        """A command whose answer is received later.  Raises WorkerFailedError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **details}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise WorkerFailedError(self._last_words()) from None

    def receive(self) -> dict[str, Any]:
        """The answer to the command sent before.  Raises WorkerFailedError."""
        out = self._process.stdout
        assert out is not None
        if sys.platform != "win32" and not select.select([out], [], [], PATIENCE)[0]:
            self._process.kill()
            raise WorkerFailedError(f"no answer in {PATIENCE:.0f} s")
        line = out.readline()
        if not line:
            raise WorkerFailedError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerFailedError(str(answer["error"]))
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().strip().splitlines()
        return lines[-1][:300] if lines else f"its process ended with code {code}"

    def close(self) -> None:
        """Ends the process."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()  # it reads the end of its commands
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._said.close()


def close_all(workers: Sequence[WorkerProcess]) -> None:
    """Ends the processes."""
    for worker in workers:
        worker.close()
