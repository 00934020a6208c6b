"""How long it takes to begin: importing, compiling cold and from the cache, the first epoch of the digits.

Each figure comes from processes of their own, the median of some.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from chainrule.bench.process import environment, processors
from chainrule.bench.results import Startup
from chainrule.bench.workloads import Workload

LOAD = "import time; start = time.perf_counter(); import chainrule; print(time.perf_counter() - start, flush=True)"
"""A program that says how long the import took."""
DIGITS = """
import chainrule as cr
from chainrule.data import load_digits

digits = load_digits()
layers = [cr.Dense(256, "relu"), cr.Dense(10, "softmax")]
net = cr.Network(inputs=64, layers=layers, loss="cross_entropy", engine="compiled")
net.fit(digits.X / 16, digits.y, epochs=1, batch_size=32, verbose=False)
print(0, flush=True)
"""
"""A program that trains one epoch with Adam and then says so."""


def measure(workloads: Sequence[Workload], repeats: int) -> Startup:
    """All of it, cold and cached in turn."""
    found = Startup()
    with tempfile.TemporaryDirectory(prefix="chainrule-bench-") as folder:
        loads: list[float] = []
        digits: dict[bool, list[float]] = {True: [], False: []}
        compiled: dict[tuple[str, bool], list[float]] = {}
        training = [w for w in workloads if not w.predict]
        _run(folder, True, "digits")  # fills the cache, and the system's with our files
        for workload in training:
            _run(folder, True, "compile", workload.name)
        for _ in range(repeats):
            loads.append(_run(folder, True, "load")[1])
            for cached in (False, True):
                digits[cached].append(_run(folder, cached, "digits")[0])
                for workload in training:
                    spent = _run(folder, cached, "compile", workload.name)[1]
                    compiled.setdefault((workload.name, cached), []).append(spent)
    found.load = statistics.median(loads)
    found.digits_cold, found.digits_cached = (statistics.median(digits[cached]) for cached in (False, True))
    for workload in training:
        found.compile_cold[workload.name] = statistics.median(compiled[workload.name, False])
        found.compile_cached[workload.name] = statistics.median(compiled[workload.name, True])
    return found


def _run(folder: str, cached: bool, *words: str) -> tuple[float, float]:
    """Seconds from the start of the process to its answer, and the answer."""
    env = environment(len(processors()))
    env.pop("CHAINRULE_CACHE", None)
    if cached:
        env["CHAINRULE_CACHE_DIR"] = os.path.join(folder, "code")
    else:
        env["CHAINRULE_CACHE"] = "0"
    if words[0] == "compile":
        code = f"from chainrule.bench.startup import compiling; print(compiling({words[1]!r}), flush=True)"
    else:
        code = DIGITS if words[0] == "digits" else LOAD
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        spent = time.perf_counter() - start
    if not line:
        raise RuntimeError(f"measuring '{' '.join(words)}' failed with code {process.returncode}")
    return spent, float(json.loads(line))


def compiling(name: str) -> float:
    """Seconds by which the first fit of one batch is longer than the second; LLVM itself is loaded before."""
    import llvmlite.binding  # noqa: F401

    from chainrule.bench.contenders.product import Product
    from chainrule.bench.workloads import WORKLOADS, problem

    product = Product(problem(WORKLOADS[name].shortened(0.0)), len(processors()))
    spent = []
    for _ in range(2):
        start = time.perf_counter()
        product.train(1)
        spent.append(time.perf_counter() - start)
    return spent[0] - spent[1]
