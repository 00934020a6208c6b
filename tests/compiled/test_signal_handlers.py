"""A handler of signals may use a network while it is being used: both calls give what they give alone."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="timers that send signals are POSIX's"),
    pytest.mark.usefixtures("many_processors"),
]

HAMMER = """
    import signal, sys, time
    import numpy as np
    import chainrule as cr

    folder = sys.argv[1]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(700, 20)).astype(np.float32)
    y = rng.integers(0, 4, 700)
    row = X[:1]

    def network():
        return cr.Network(20, [cr.Dense(32, "tanh"), cr.Dense(4, "softmax")], "cross_entropy", engine="compiled")

    def hammered(interrupted, handle, calls, seconds=(1e-4, 2e-3)):
        '''Calls `interrupted` until the timer has struck so often, `handle` at every stroke.'''
        hits = 0

        def handler(number, frame):
            nonlocal hits
            handle()
            hits += 1

        def strike():
            signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(*seconds)))

        signal.signal(signal.SIGALRM, handler)
        while hits < calls:
            before = hits
            strike()
            while hits == before:
                interrupted()
        return hits

    def same(found, truth):
        assert found.tobytes() == truth.tobytes()
"""


def run(program: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HAMMER) + textwrap.dedent(program), str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("interrupted", ["row", "rows", "gradients"])
def test_it_predicts_while_the_network_computes(interrupted: str, tmp_path: Path) -> None:
    run(
        f"""
        net = network()
        one, all, gradients = net.predict(row), net.predict(X), net.gradients(X, y)
        calls = {{
            "row": lambda: same(net.predict(row), one),
            "rows": lambda: same(net.predict(X), all),
            "gradients": lambda: [same(g, gradients[k]) for k, g in net.gradients(X, y).items()],
        }}

        def handle():
            same(net.predict(X[5:6]), fifth)
            same(net.predict(X), all)

        fifth = net.predict(X[5:6])
        hammered(calls[{interrupted!r}], handle, 60)
        print("done")
        """,
        tmp_path,
    )


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.long), 3])
def test_it_uses_a_network_that_is_being_fitted(threads: int, tmp_path: Path) -> None:
    run(
        f"""
        def fit(net):
            net.fit(X, y, epochs=6, batch_size=100, threads={threads}, verbose=False, callbacks=[cr.Callback()])
            return net

        truth = fit(network())
        twin, other = network(), network()

        def handle():
            for name, array in [*net.parameters.items()]:
                twin.parameters[name] = array
            same(net.predict(row), twin.predict(row))
            same(net.predict(X), twin.predict(X))
            same(other.predict(X), untrained)
            net.save(folder + "/net.safetensors")

        def interrupted():
            global net
            net = network()
            fit(net)
            for name, array in truth.parameters.items():
                same(net.parameters[name], array)

        net, untrained = network(), other.predict(X)
        hammered(interrupted, handle, 20, (1e-4, 2e-2))
        for name, array in cr.Network.load(folder + "/net.safetensors").parameters.items():
            same(array, twin.parameters[name])
        print("done")
        """,
        tmp_path,
    )


def test_it_trains_another_network_with_a_team(tmp_path: Path) -> None:
    run(
        """
        def fit():
            net = network()
            net.fit(X, y, epochs=2, batch_size=100, threads=2, verbose=False)
            return net.parameters["W1"]

        truth = fit()
        hammered(lambda: same(fit(), truth), lambda: same(fit(), truth), 12, (1e-4, 2e-2))
        print("done")
        """,
        tmp_path,
    )


def test_estimators_and_character_models(tmp_path: Path) -> None:
    run(
        """
        from chainrule.language import CharacterModel

        classifier = cr.MLPClassifier((12,), max_iter=3, engine="compiled", random_state=0, tol=0, n_iter_no_change=99)
        with __import__("warnings").catch_warnings(action="ignore"):
            classifier.fit(X, y)
        model = CharacterModel(context=3, hidden=(8,), engine="compiled")
        model.fit(["anna", "otto", "emma"], epochs=2, verbose=False)
        truth, few, names = classifier.predict_proba(X), classifier.predict(row), model.sample(3, seed=1)

        def use():
            same(classifier.predict_proba(X), truth)
            same(classifier.predict(row), few)
            assert model.sample(3, seed=1) == names
            model.save(folder + "/model.safetensors")

        hammered(use, use, 12)
        assert CharacterModel.load(folder + "/model.safetensors").sample(3, seed=1) == names
        print("done")
        """,
        tmp_path,
    )


@pytest.mark.long
def test_reports(tmp_path: Path) -> None:
    run(
        """
        net = network()
        text = net.report(folder + "/report.html", X[:40], y[:40]).read_bytes()

        def write():
            assert net.report(folder + "/report.html", X[:40], y[:40]).read_bytes() == text

        hammered(write, write, 1, (1e-3, 0.5))
        print("done")
        """,
        tmp_path,
    )


def test_the_first_call_may_be_interrupted(tmp_path: Path) -> None:
    """While modules are loaded and machine code is made."""
    run(
        """
        truth = None

        def interrupted():
            global net
            net = network()
            net.predict(row)
            net.predict(X)

        def handle():
            global truth
            found = np.concatenate([net.predict(row), net.predict(X)])
            truth = found if truth is None else truth
            same(found, truth)

        net = network()
        hammered(interrupted, handle, 15, (1e-3, 5e-2))
        print("done")
        """,
        tmp_path,
    )
