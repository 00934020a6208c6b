"""What Python code may do to arrays while they are in use: the right answer or a clear error, and never a crash.

Each runs in a process of its own, which a step beside an array would end.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

BEGIN = """
    import sys, threading, time, warnings
    import numpy as np
    import chainrule as cr

    warnings.simplefilter("ignore", DeprecationWarning)  # NumPy's, of attributes that can be set
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 20)).astype(np.float32)
    y = rng.integers(0, 4, 600)
    tokens = rng.integers(0, 7, (600, 3))

    def network():
        layers = [cr.Dense(12, "tanh"), cr.BatchNorm(), cr.Dense(4, "softmax")]
        return cr.Network(20, layers, "cross_entropy", engine=engine)

    def embedded():
        layers = [cr.Embedding(7, 5), cr.Dense(12, "tanh"), cr.Dense(4, "softmax")]
        return cr.Network(3, layers, "cross_entropy", engine=engine)

    def fit(net, do=lambda fit: None, X=X, y=y, batch=False, **options):
        class Does(cr.Callback):
            def next_stop(self, step):
                return step + 5 if batch else None

            def on_batches_end(self, fit):
                do(fit)

            def on_epoch_end(self, fit, record):
                do(fit)

        net.fit(X, y, epochs=4, batch_size=50, callbacks=[Does()], verbose=False, **options)
        return {k: v.copy() for k, v in {**net.parameters, **net.state}.items()}

    def same(a, b):
        assert a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)

    def refused(do):
        try:
            do()
        except (ValueError, AttributeError, TypeError, BufferError):
            return
        raise AssertionError("it was not refused")

    ATTRIBUTES = {
        "shape": lambda a: setattr(a, "shape", (a.size,)),
        "dtype": lambda a: setattr(a, "dtype", np.uint8),
        "strides": lambda a: setattr(a, "strides", (0,) * a.ndim),
    }
"""

CASES = {
    "the data that a callback is shown are replaced": """
        def do(fit):
            if len(fit.data["X"]) > 1:
                refused(lambda: fit.data["X"].fill(1))
            fit.data = {"X": np.zeros((1, 1), np.float32), "y": np.full(10**6, 10**9)}
            fit.samples, fit.batch_size, fit.program, fit.engine, fit.network = 10**9, 10**9, None, None, None

        same(fit(network(), do), fit(network()))
    """,
    "the data that a callback is shown are emptied": """
        def do(fit):
            if isinstance(fit.data, dict):
                fit.data.clear()

        same(fit(network(), do), fit(network()))
    """,
    "attributes of the data that a callback is shown": """
        truth = fit(network())
        for change in ATTRIBUTES.values():
            def do(fit):
                for array in (fit.data["X"], fit.data["y"], fit.data["X"].base, fit.data["y"].base):
                    if isinstance(array, np.ndarray):
                        change(array)

            same(fit(network(), do), truth)
    """,
    "attributes of the user's data": """
        truth, few = fit(network()), fit(embedded(), X=tokens)
        for change in ATTRIBUTES.values():
            a, b, c = X.copy(), y.copy(), tokens.copy()

            def do(fit):
                for array in now:
                    change(array)

            now = (a, b)
            same(fit(network(), do, a, b), truth)
            now = (c,)
            same(fit(embedded(), do, c, y), few)
    """,
    "the user's data are resized": """
        truth = fit(network())
        a, b = X.copy(), y.copy()

        def do(fit):
            for array in (a, b):
                refused(lambda: array.resize(1, refcheck=False))

        same(fit(network(), do, a, b), truth)
        del do
        a.resize((1, 20), refcheck=False)  # afterwards they are the user's own again
        assert a.shape == (1, 20)
    """,
    "the memory of a network is resized": """
        net = network()
        net.predict(X[:1])
        truth = net.predict(X[:1])

        def below(array):
            while array is not None:
                if isinstance(array, np.ndarray) and array.flags.owndata:
                    return array
                array = array.base if isinstance(array, np.ndarray) else getattr(array, "array", None)

        refused(lambda: net.parameters["W1"].resize(1, refcheck=False))
        owner = below(net.parameters["W1"])
        refused(lambda: owner.resize(1, refcheck=False))
        assert net.predict(X[:1]).tobytes() == truth.tobytes()
    """,
    "attributes of parameters and statistics": """
        truth = fit(network())
        for change in ATTRIBUTES.values():
            net = network()
            net.predict(X[:1])
            before = [net.predict(X[:1]), net.predict(X)]

            def do(fit):
                for arrays in (fit.network.parameters, fit.network.state, net.parameters, net.state):
                    for array in arrays.values():
                        if array.ndim > 1 or change is not ATTRIBUTES["shape"]:
                            change(array)

            do(cr.FitState(net, 1, 1, 1, 1))
            assert [a.tobytes() for a in before] == [net.predict(X[:1]).tobytes(), net.predict(X).tobytes()]
            assert net.parameters["W1"].shape == (20, 12)
            same(fit(net, do), truth)
    """,
    "parameters of another shape, or not finite": """
        net = network()
        for values in (np.zeros((3, 3)), np.full((20, 12), np.nan), None, "W"):
            try:
                net.parameters["W1"] = values
            except cr.DataError:
                continue
            raise AssertionError(values)
        assert np.isfinite(net.predict(X)).all()
    """,
    "a callback trains, predicts and saves": """
        truth = fit(network())
        net = network()

        def do(fit):
            assert np.isfinite(net.predict(X)).all() and np.isfinite(net.predict(X[:1])).all()
            net.gradients(X, y)
            other = network()
            other.fit(X, y, epochs=1, verbose=False)

        same(fit(net, do), truth)
    """,
    "a callback trains the network that is being trained": """
        net = network()

        def do(fit):
            net.fit(X, y, epochs=1, verbose=False)

        try:
            fit(net, do)
        except cr.SpecError as fault:
            assert "being fitted" in str(fault), fault
        else:
            raise AssertionError("it was not refused")
        fit(net)
    """,
    "tokens and labels change while a fit runs": """
        over = threading.Event()
        a, b = np.tile(tokens, (50, 1)), np.tile(y, 50)

        def spoil():
            noise = np.random.default_rng(1)
            while not over.is_set():
                a[...] = noise.integers(-(2**62), 2**62, a.shape)
                b[...] = noise.integers(-(2**62), 2**62, b.shape)

        thread = threading.Thread(target=spoil)
        thread.start()
        try:
            for threads in (1, 2):
                try:
                    embedded().fit(a, b, epochs=5, verbose=False, threads=threads)
                except (cr.DataError, cr.DivergedError):
                    pass
        finally:
            over.set()
            thread.join()
        net = embedded()
        clean = tokens.copy()
        fit(net, lambda fit: clean.fill(-5), clean, batch=True)
    """,
    "attributes of a fitted estimator": """
        classifier = cr.MLPClassifier((12,), max_iter=3, engine=engine, random_state=0)
        warnings.simplefilter("ignore")
        classifier.fit(X, y)
        classifier.predict(X[:1])
        for values in (np.zeros((3, 3)), np.full((20, 12), "a"), None, 3):
            classifier.coefs_[0] = values
            for use in (classifier.predict, classifier.predict_proba, lambda X: classifier.partial_fit(X, y)):
                try:
                    use(X)
                except (ValueError, TypeError):
                    pass
        classifier.fit(X, y)
        assert np.isfinite(classifier.predict_proba(X)).all()
    """,
}


PROCESSES = 4


@pytest.mark.parametrize("first", range(PROCESSES))
def test_from_inside(first: int) -> None:
    """Each case on each engine, some of them in one process: starting takes longer than a case."""
    names = list(CASES)[first::PROCESSES]
    cases = {name: textwrap.dedent(BEGIN) + textwrap.dedent(CASES[name]) for name in names}
    program = f"""
import warnings
for name, case in {cases!r}.items():
    for engine in ("reference", "compiled"):
        with warnings.catch_warnings():
            exec(case, {{"engine": engine}})
        print(name, engine, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    right = [f"{name} {engine}" for name in names for engine in ("reference", "compiled")]
    assert (done.returncode, done.stdout.splitlines()) == (0, right), done.stderr
