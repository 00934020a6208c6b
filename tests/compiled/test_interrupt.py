"""Ctrl-C in the middle of a long epoch: soon back, with finite numbers; and leaving while threads still train."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.base import Epoch
from chainrule.engines.compiled.engine import CompiledEngine
from chainrule.train.policies import MANY

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="SIGINT to one process is POSIX's"),
    pytest.mark.usefixtures("many_processors"),
]

AT_MOST = 2.0
"""Seconds; a fifth of one is the aim, but a busy machine may take its time."""

FIT = """
    import sys, threading, time
    import numpy as np
    import chainrule as cr

    threads, samples, batch, width = (int(x) for x in sys.argv[1:5])
    rng = np.random.default_rng(0)
    X = rng.normal(size=(samples, 64)).astype(np.float32)
    y = rng.integers(0, 10, samples)
    net = cr.Network(64, [cr.Dense(width, "tanh"), cr.Dense(10, "softmax")], "cross_entropy", engine="compiled")
    net.fit(X[:batch], y[:batch], epochs=1, batch_size=batch, threads=threads, verbose=False)
    first = net.parameters["W1"].copy()

    class Ready(cr.Callback):
        def on_epoch_begin(self, fit):
            print("ready", flush=True)

    try:
        net.fit(X, y, epochs=1000, batch_size=batch, threads=threads, verbose=False, callbacks=[Ready()])
    except KeyboardInterrupt:
        print("back", time.monotonic(), flush=True)
    else:
        sys.exit("not interrupted")
    assert all(np.isfinite(a).all() for a in net.parameters.values())
    assert (net.parameters["W1"] != first).any() or batch == samples, "nothing was learnt before the interrupt"
    assert net.history.stopped == "interrupted"
    assert np.isfinite(net.predict(X[:5])).all()
    net.fit(X[:batch], y[:batch], epochs=1, batch_size=batch, threads=threads, verbose=False)
    assert all(np.isfinite(a).all() for a in net.parameters.values())
    print("usable")
"""


def interrupted(*arguments: int) -> float:
    """Seconds from the signal until the caller has its KeyboardInterrupt."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(FIT), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        try:
            line = child.stdout.readline()
            assert line.strip() == "ready", child.stderr.read()
            time.sleep(0.3)
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            said, errors = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 0, errors
    lines = said.splitlines()
    assert lines[-1] == "usable", errors
    back = next(line for line in lines if line.startswith("back"))  # after as many "ready" as there were epochs
    return float(back.split()[1]) - sent


@pytest.mark.parametrize(
    ("samples", "batch", "width", "threads"),
    [
        pytest.param(400_000, 32, 256, 2, id="batches-2"),
        pytest.param(400_000, 32, 256, 1, id="batches-1", marks=pytest.mark.long),
        pytest.param(100_000, 100_000, 512, 1, id="one huge batch-1"),
        pytest.param(100_000, 100_000, 512, 2, id="one huge batch-2", marks=pytest.mark.long),
    ],
)
def test_interrupt(threads: int, samples: int, batch: int, width: int, record_property: pytest.RecordProperty) -> None:
    seconds = interrupted(threads, samples, batch, width)
    record_property("seconds", seconds)
    print(f"back after {seconds:.3f} s")
    assert seconds < AT_MOST


def test_interrupt_while_the_next_order_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that was made and not yet started is nothing to wait for."""
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "chainrule order":
            raise KeyboardInterrupt
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    X = np.zeros((MANY, 1), np.float32)
    net = cr.Network(1, [cr.Dense(1)], "squared_error", engine="compiled")
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, X, epochs=2, batch_size=MANY, verbose=False)
    assert net.history is not None and net.history.stopped == "interrupted"
    assert np.isfinite(net.predict(X[:3])).all()


def test_leaving_while_threads_train() -> None:
    program = """
        import threading, time
        import numpy as np
        import chainrule as cr

        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(300_000, 32)).astype(np.float32), rng.integers(0, 10, 300_000)

        def train():
            net = cr.Network(32, [cr.Dense(64, "relu"), cr.Dense(10, "softmax")], "cross_entropy", engine="compiled")
            net.fit(X, y, epochs=1000, threads=2, verbose=False)

        for _ in range(2):
            threading.Thread(target=train, daemon=True).start()
        time.sleep(1.5)
        print("bye")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "bye", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_after_use() -> None:
    program = """
        import os, sys, warnings
        import numpy as np
        import chainrule as cr

        warnings.simplefilter("ignore", DeprecationWarning)  # fork with other threads: what is tested here
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(500, 12)).astype(np.float32), rng.integers(0, 4, 500)
        net = cr.Network(12, [cr.Dense(64, "relu"), cr.Dense(4, "softmax")], "cross_entropy", engine="compiled")
        net.fit(X, y, epochs=2, threads=2, verbose=False)
        net.predict(X[:1])
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                net.predict(X[:1])
                net.fit(X, y, epochs=3, threads=2, verbose=False)
                other = cr.Network(12, [cr.Dense(4, "softmax")], "cross_entropy", engine="compiled")
                other.fit(X, y, epochs=1, threads=2, verbose=False)
                os._exit(0 if np.isfinite(net.predict(X)).all() else 3)
            children.append(child)
        net.fit(X, y, epochs=2, threads=2, verbose=False)
        sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("batch_size", [32, 4096])
def test_an_epoch_ends_early_when_its_engine_is_told_to(batch_size: int) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400_000, 64)).astype(np.float32), rng.integers(0, 10, 400_000)
    net = cr.Network(64, [cr.Dense(256, "tanh"), cr.Dense(10, "softmax")], "cross_entropy", engine="compiled")
    program = net.training_program(cr.SGD(0.01), targets="labels")
    steps = -(-len(X) // batch_size)
    epoch = Epoch(
        data={"X": X, "y": y},
        order=np.arange(len(X)),
        batch_size=batch_size,
        rates=np.full(steps, 0.01),
        first_step=1,
        seed=0,
    )
    with CompiledEngine(np.dtype(np.float32)).open(program, net.parameters) as session:
        session.epoch(epoch.part(0, 1))
        start = time.monotonic()
        result = session.epoch(epoch, lambda: time.monotonic() > start + 0.1)
        assert time.monotonic() < start + AT_MOST
        assert 0 <= len(result.costs) < steps and np.isfinite(result.costs).all()
        assert session.finite(net.parameters)


# --- while machine code is made ------------------------------------------------------------------------------------

COMPILING = """
    import sys, threading
    import numpy as np
    import chainrule as cr
    from chainrule.engines.llvm import jit

    layers = [cr.Dense(30 + k, ("tanh", "softplus", "sigmoid")[k % 3]) for k in range(60)]
    net = cr.Network(64, [*layers, cr.Dense(10, "softmax")], "cross_entropy", engine="compiled")
    X, y = np.ones((2000, 64), np.float32), np.zeros(2000, int)
    emit = jit.object_code

    def announced(module):
        print("compiling", flush=True)
        emit(module)
        print("compiled", flush=True)
        threading.Event().wait()

    jit.object_code = announced

    def use():
        {use}
"""
"""A network whose code takes long to make: no two layers are the same.  It never comes to an end."""

USES = {
    "fit": "net.fit(X, y, epochs=1, verbose=False)",
    "predict": "net.predict(X)",
    "one row": "net.predict(X[:1])",
}


def compiling(program: str, number: int, use: str = "fit") -> tuple[float, int, str, str]:
    """Seconds from the signal to the end of a process that compiles, its exit code, and what it has said."""
    source = textwrap.dedent(COMPILING).replace("{use}", USES[use]) + textwrap.dedent(program)
    with subprocess.Popen(
        [sys.executable, "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CHAINRULE_CACHE": "0"},
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        try:
            assert child.stdout.readline().strip() == "compiling", child.stderr.read()
            time.sleep(0.3)
            sent = time.monotonic()
            child.send_signal(number)
            said, errors = child.communicate(timeout=60)
            return time.monotonic() - sent, child.returncode, said, errors
        finally:
            child.kill()


@pytest.mark.parametrize("use", ["fit", pytest.param("predict", marks=pytest.mark.long), "one row"])
def test_interrupt_while_compiling(use: str) -> None:
    program = """
        try:
            use()
        except KeyboardInterrupt:
            print("back", flush=True)
    """
    seconds, code, said, errors = compiling(program, signal.SIGINT, use)
    print(f"ended after {seconds:.2f} s")
    assert (code, said, errors) == (0, "back\n", "")
    assert seconds < AT_MOST


def test_terminated_while_compiling() -> None:
    seconds, code, said, errors = compiling("use()", signal.SIGTERM)
    assert (code, said, errors) == (143, "", "")
    assert seconds < AT_MOST


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_the_process_ends_while_another_thread_compiles(number: int) -> None:
    """A thread within LLVM as the process ends: it is not waited for to the end, and nothing crashes."""
    program = """
        import signal, time

        def end(number, frame):
            sys.exit(3)

        signal.signal(signal.SIGINT, end)
        signal.signal(signal.SIGTERM, end)
        threading.Thread(target=use, daemon=True).start()
        time.sleep(60)
    """
    seconds, code, said, errors = compiling(program, number)
    assert (code, said, errors) == (3, "", "")
    assert seconds < AT_MOST
