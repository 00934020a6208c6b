"""The same bits: from run to run, for any number of threads, and from a network that has done other things before."""

from __future__ import annotations

import numpy as np
import pytest
from networks import FITTINGS, Fitting

from problems import in_turn

pytestmark = pytest.mark.usefixtures("many_processors")
THREADS = (1, 2, 3, 5)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


@pytest.mark.parametrize("fitting", in_turn(FITTINGS, 0, every=2))
def test_same_bits_for_any_number_of_threads(fitting: Fitting) -> None:
    net = fitting.network()
    start = {name: array.copy() for name, array in (net.parameters | net.state).items()}
    runs = []
    for threads in (*THREADS, 1):
        for name, array in (net.parameters | net.state).items():
            array[...] = start[name]
        net._fits = 0  # the order of the samples and the masks follow from the seed and the number of the fit
        runs.append(fitting.fit(net, threads=threads))
    for run in runs[1:]:
        assert same(run, runs[0])


def test_same_bits_from_run_to_run_and_whatever_was_done_before() -> None:
    fitting = FITTINGS[0]
    first, second = fitting.network(), fitting.network()
    X, y, _ = fitting.data()
    second.predict(X)
    second.gradients(X[:3], y[:3])
    second.cost(X, y)
    assert same(fitting.fit(first), fitting.fit(second))
    assert first.predict(X).tobytes() == second.predict(X).tobytes()


@pytest.mark.parametrize("fitting", FITTINGS[:2], ids=str)
def test_calls_have_the_same_bits_whatever_the_order(fitting: Fitting) -> None:
    net = fitting.network()
    X, y, _ = fitting.data()
    before = net.predict(X), net.gradients(X, y), net.cost(X, y), net.predict(X[:1])
    net.predict(X[:7])
    after = net.predict(X), net.gradients(X, y), net.cost(X, y), net.predict(X[:1])
    assert before[0].tobytes() == after[0].tobytes() and before[3].tobytes() == after[3].tobytes()
    assert all(before[1][k].tobytes() == after[1][k].tobytes() for k in before[1]) and before[2] == after[2]
