"""How long it takes to begin: importing, compiling cold and from the cache, the first epoch of the digits.

Each figure comes from processes of their own, the median of some.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from chainrule.bench.process import environment, processors
from chainrule.bench.results import Clock, Startup
from chainrule.bench.workloads import Workload

LOAD = """
import sys, time
now = time.process_time if sys.argv[1] == "processor" else time.perf_counter
start = now()
import chainrule
print(now() - start, flush=True)
"""
"""A program that says how long the import took."""
COMPILE = """
import sys
from chainrule.bench.startup import compiling

print(compiling(sys.argv[2], sys.argv[1]), flush=True)
"""
"""A program that says how long compiling a workload took."""
DIGITS = """
import time
import chainrule as cr
from chainrule.data import load_digits

digits = load_digits()
layers = [cr.Dense(256, "relu"), cr.Dense(10, "softmax")]
net = cr.Network(inputs=64, layers=layers, loss="cross_entropy", engine="compiled")
net.fit(digits.X / 16, digits.y, epochs=1, batch_size=32, verbose=False)
print(time.process_time(), flush=True)
"""
"""A program that trains one epoch with Adam and then says for how long it has run on the processor."""


def measure(workloads: Sequence[Workload], repeats: int, clock: Clock = "wall") -> Startup:
    """All of it, cold and cached in turn."""

    def run(program: str, cached: bool, *words: str) -> float:
        return _run(program, folder, cached, clock, *words)

    startup = Startup()
    with tempfile.TemporaryDirectory(prefix="chainrule-bench-") as folder:
        loads: list[float] = []
        digits: dict[bool, list[float]] = {True: [], False: []}
        compiled: dict[tuple[str, bool], list[float]] = {}
        training = [w for w in workloads if not w.predict]
        run(DIGITS, True)  # fills the cache, and the system's with our files
        for workload in training:
            run(COMPILE, True, workload.name)
        for _ in range(repeats):
            loads.append(run(LOAD, True))
            for cached in (False, True):
                digits[cached].append(run(DIGITS, cached))
                for workload in training:
                    spent = run(COMPILE, cached, workload.name)
                    compiled.setdefault((workload.name, cached), []).append(spent)
    startup.load = statistics.median(loads)
    startup.digits_cold, startup.digits_cached = (statistics.median(digits[cached]) for cached in (False, True))
    for workload in training:
        startup.compile_cold[workload.name] = statistics.median(compiled[workload.name, False])
        startup.compile_cached[workload.name] = statistics.median(compiled[workload.name, True])
    return startup


def _run(program: str, folder: str, cached: bool, clock: Clock, *words: str) -> float:
    """The program's answer; for DIGITS by wall time, the seconds from the start of its process to the answer."""
    env = environment(len(processors()))
    env.pop("CHAINRULE_CACHE", None)
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode; here the first run writes it
    if cached:
        env["CHAINRULE_CACHE_DIR"] = os.path.join(folder, "code")
    else:
        env["CHAINRULE_CACHE"] = "0"
    command = [sys.executable, "-c", program, clock, *words]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        spent = time.perf_counter() - start
    if not line:
        raise RuntimeError(f"a new process failed with code {process.returncode}: {' '.join([clock, *words])}")
    return spent if program is DIGITS and clock == "wall" else float(line)


def compiling(name: str, clock: str) -> float:
    """In the process that is measured: seconds by which the first fit of four batches is longer than the second.

    LLVM itself is loaded before.
    """
    import llvmlite.binding  # noqa: F401

    from chainrule.bench.contenders.product import Product
    from chainrule.bench.workloads import WORKLOADS, problem

    now = time.process_time if clock == "processor" else time.perf_counter
    product = Product(problem(WORKLOADS[name].shortened(0.0)), len(processors()))
    spent = []
    for _ in range(2):
        start = now()
        product.train(1)
        spent.append(now() - start)
    return spent[0] - spent[1]
