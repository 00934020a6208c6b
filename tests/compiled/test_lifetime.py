"""Networks that live together: several threads at once, copies, pickles, and memory that is given back."""

from __future__ import annotations

import copy
import gc
import io
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from networks import FITTINGS, Fitting

import chainrule as cr

pytestmark = pytest.mark.usefixtures("many_processors")


def together(*jobs: Callable[[], object]) -> None:
    """Runs the jobs at the same time; the first exception of any is raised."""
    faults: list[BaseException] = []
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        try:
            start.wait()
            job()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def test_two_networks_train_at_once() -> None:
    one, two = FITTINGS[0], FITTINGS[5]
    alone = [fitting.fit(fitting.network(), threads=2) for fitting in (one, two)]
    found: dict[str, dict[str, np.ndarray]] = {}
    together(
        *(lambda f=f, k=k: found.update({f"{f}{k}": f.fit(f.network(), threads=2)}) for f in (one, two) for k in (1, 2))  # type: ignore[misc]
    )
    for fitting, truth in zip((one, two), alone, strict=True):
        for k in (1, 2):
            for name, array in truth.items():
                assert found[f"{fitting}{k}"][name].tobytes() == array.tobytes()


@pytest.mark.parametrize("fitting", [FITTINGS[0], FITTINGS[7], FITTINGS[12]], ids=str)
def test_one_network_is_called_from_four_threads(fitting: Fitting) -> None:
    net = fitting.network()
    X, y, w = fitting.data()
    sizes = [1, 7, 100, len(X)]
    truth = {m: net.predict(X[-m:]) for m in sizes}
    gradients = net.gradients(X, y, sample_weight=w)
    cost = net.cost(X, y, sample_weight=w)

    def call(m: int) -> None:
        for _ in range(40):
            assert net.predict(X[-m:]).tobytes() == truth[m].tobytes()
            assert net.cost(X, y, sample_weight=w) == cost
            found = net.gradients(X, y, sample_weight=w)
            assert all(found[k].tobytes() == gradients[k].tobytes() for k in gradients)

    together(*(lambda m=m: call(m) for m in sizes))  # type: ignore[misc]


def test_first_calls_from_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", "0")  # all of them compile
    fitting = FITTINGS[0]
    truth = fitting.network().predict(fitting.data()[0])
    net = fitting.network()
    X, y, _ = fitting.data()

    def call(k: int) -> None:
        assert net.predict(X).tobytes() == truth.tobytes()
        assert np.isfinite(net.predict(X[:1])).all() and np.isfinite(net.cost(X, y))

    together(*(lambda k=k: call(k) for k in range(4)))  # type: ignore[misc]


def test_predicting_while_it_trains_touches_nothing() -> None:
    fitting = FITTINGS[0]
    truth = fitting.fit(fitting.network(), epochs=30, threads=1)
    net = fitting.network()
    X, _, _ = fitting.data()
    over = threading.Event()
    found: dict[str, np.ndarray] = {}

    def train() -> None:
        found.update(fitting.fit(net, epochs=30, threads=1))
        over.set()

    def predict() -> None:
        while not over.is_set():
            assert np.isfinite(net.predict(X)).all()
            assert np.isfinite(net.predict(X[:1])).all()

    together(train, predict, predict)
    assert all(found[k].tobytes() == truth[k].tobytes() for k in truth)


# --- copies ------------------------------------------------------------------------------------------------------


def through_joblib(net: cr.Network) -> cr.Network:
    buffer = io.BytesIO()
    joblib.dump(net, buffer)
    buffer.seek(0)
    return joblib.load(buffer)  # type: ignore[no-any-return]


COPIES: dict[str, Callable[[cr.Network], cr.Network]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
    "joblib": through_joblib,
}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("fitting", [FITTINGS[0], FITTINGS[10], FITTINGS[13]], ids=str)
def test_a_copy_goes_on_by_itself(name: str, fitting: Fitting) -> None:
    net = fitting.network()
    fitting.fit(net)
    X, _, _ = fitting.data()
    net.predict(X[:1])
    other = COPIES[name](net)
    assert other.predict(X).tobytes() == net.predict(X).tobytes()
    assert other.predict(X[:1]).tobytes() == net.predict(X[:1]).tobytes()
    before = {k: v.copy() for k, v in net.parameters.items()}
    again = fitting.fit(other)
    assert all(net.parameters[k].tobytes() == before[k].tobytes() for k in before)
    assert all(array.tobytes() == again[k].tobytes() for k, array in fitting.fit(net).items())


def test_a_pickle_in_another_process(tmp_path: Path) -> None:
    net = cr.Network(4, [cr.Dense(5, cr.Activation("z * sigmoid(2 * z)")), cr.Dense(2)], cr.Loss("(yhat - y) ** 4"),
                     engine="compiled")  # fmt: skip
    X = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    (tmp_path / "net").write_bytes(pickle.dumps(net))
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "truth.npy", net.predict(X))
    program = """
        import pickle, sys
        import numpy as np
        net, X, truth = pickle.load(open("net", "rb")), np.load("X.npy"), np.load("truth.npy")
        assert net.predict(X).tobytes() == truth.tobytes()
        net.fit(X, truth, epochs=1, verbose=False)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, check=True, timeout=60)


# --- memory --------------------------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes that the process holds in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


def peak_of(action: Callable[[], object]) -> int:
    """The most bytes that Python and NumPy held during the action, beyond what they held before."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def digits() -> tuple[cr.Network, np.ndarray, np.ndarray]:
    """A network that has been fitted, and data much larger than it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20_000, 200)).astype(np.float32), rng.integers(0, 4, 20_000)
    net = cr.Network(200, [cr.Dense(8, "relu"), cr.Dense(4, "softmax")], "cross_entropy", engine="compiled")
    net.fit(X[:100], y[:100], epochs=1, verbose=False)
    net.evaluate(X[:100], y[:100])
    return net, X, y


def test_data_of_the_right_kind_is_not_copied(digits: tuple[cr.Network, np.ndarray, np.ndarray]) -> None:
    net, X, y = digits
    assert np.shares_memory(net._data(X, y)[0]["X"], X) and np.shares_memory(net._data(X, y)[0]["y"], y)
    used = peak_of(lambda: net.fit(X, y, epochs=2, batch_size=100, verbose=False))
    assert used < X.nbytes / 10
    assert peak_of(lambda: net.predict(X)) < X.nbytes / 5


def test_other_data_are_copied_once(digits: tuple[cr.Network, np.ndarray, np.ndarray]) -> None:
    net, X, y = digits
    wide = X.astype(np.float64)
    used = peak_of(lambda: net.fit(wide, y, epochs=2, batch_size=100, verbose=False))
    assert X.nbytes <= used < X.nbytes * 1.1


@needs_proc
def test_no_growth_over_epochs(digits: tuple[cr.Network, np.ndarray, np.ndarray]) -> None:
    net, X, y = digits
    grown = []
    for _ in range(4):
        gc.collect()
        before = resident()
        net.fit(X, y, epochs=60, batch_size=100, verbose=False)
        grown.append(resident() - before)
    print(f"grown by {[f'{size / 1024:.0f} kB' for size in grown]} in fits of 60 epochs")
    # What the system's allocator keeps for later comes once; one order of the samples more an epoch would be 9.6 MB.
    assert min(grown) < 2 << 20


@needs_proc
def test_no_growth_over_fits_and_calls(digits: tuple[cr.Network, np.ndarray, np.ndarray]) -> None:
    net, X, y = digits

    def some(count: int) -> None:
        for k in range(count):
            net.fit(X[:500], y[:500], epochs=1, optimizer=cr.SGD(0.01), verbose=False)
            net.predict(X[: 1 + k % 300])
            net.gradients(X[: 1 + k % 300], y[: 1 + k % 300])

    some(20)
    gc.collect()
    before = resident()
    some(200)
    gc.collect()
    grown = resident() - before
    print(f"grown by {grown / 1024:.0f} kB over 200 fits")
    assert grown < 4 << 20


@needs_proc
def test_networks_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", "1")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 20)).astype(np.float32), rng.integers(0, 3, 64)

    def some(count: int) -> None:
        for k in range(count):
            net = cr.Network(20, [cr.Dense(16, "tanh"), cr.Dense(3, "softmax")], "cross_entropy", engine="compiled")
            net.fit(X, y, epochs=1, optimizer=cr.SGD(0.01 + k * 1e-5), verbose=False)
            net.predict(X)
            net.predict(X[:1])

    some(10)
    gc.collect()
    before = resident()
    some(60)
    gc.collect()
    grown = resident() - before
    print(f"grown by {grown / 60 / 1024:.0f} kB a network")
    assert grown < 60 * 100 << 10
