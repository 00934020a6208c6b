"""Dropout and label smoothing by schedule, as the learning rate is: numbers of each step, data of the epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.philox import random_words
from chainrule.notation import FORMATS, notation_names
from problems import table

RATE = cr.Cosine(0.8, final=0.1)
SMOOTHING = cr.StepDecay(0.4, every=1, factor=0.5)


def network(engine: str = "reference", dtype: str = "float64", **options: Any) -> cr.Network:
    layers = [cr.Dense(9, "tanh"), cr.Dropout(RATE), cr.Dense(3, "softmax")]
    return cr.Network(4, layers, cr.cross_entropy(SMOOTHING), dtype=dtype, engine=engine, **options)


@pytest.mark.parametrize("batch_size", [8, pytest.param(600, marks=pytest.mark.long)])
@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.long)])
def test_both_engines_train_alike(batch_size: int, dtype: str) -> None:
    X, y = table(650)
    nets = [network(engine, dtype) for engine in ("reference", "compiled")]
    for net in nets:
        net.fit(X, y, epochs=2, batch_size=batch_size, optimizer=cr.SGD(0.1), verbose=False)
    for name, expected in nets[0].parameters.items():
        tolerance = 1e-9 if dtype == "float64" else 1e-4
        np.testing.assert_allclose(nets[1].parameters[name], expected, rtol=tolerance, atol=tolerance, err_msg=name)


def test_a_fit_is_steps_with_constants_of_their_own() -> None:
    """Step by step on twins whose dropout and smoothing are numbers."""
    X, y = table(24)
    net, seen = network(), []

    class Watch(cr.Callback):
        def next_stop(self, step: int) -> int:
            return step + 1

        def on_batches_end(self, fit: cr.FitState) -> None:
            seen.append(dict(fit.settings))

    before = {name: array.copy() for name, array in net.parameters.items()}
    net.fit(X, y, epochs=3, batch_size=8, optimizer=cr.SGD(0.1), shuffle=False, verbose=False, callbacks=[Watch()])
    rates, shares = RATE.rates(0, 9, 3, 9), SMOOTHING.rates(0, 9, 3, 9)
    assert [list(s.values()) for s in seen] == [[a, b] for a, b in zip(rates, shares, strict=True)]
    mask_seed = int(np.random.SeedSequence([0, 1, 1]).generate_state(1, np.uint64)[0])
    for k in range(9):
        part = slice(k % 3 * 8, k % 3 * 8 + 8)
        layers = [cr.Dense(9, "tanh"), cr.Dropout(float(rates[k])), cr.Dense(3, "softmax")]
        twin = cr.Network(4, layers, cr.cross_entropy(float(shares[k])), dtype="float64", seed=mask_seed)
        for name, array in before.items():
            twin.parameters[name][...] = array
        for name, slope in twin.gradients(X[part], y[part], training=True, step=k + 1).items():
            if name in before:
                before[name] -= 0.1 * slope
    for name, expected in before.items():
        np.testing.assert_allclose(net.parameters[name], expected, rtol=1e-12, err_msg=name)


def test_outside_of_a_fit_they_are_those_of_the_step(engine: str) -> None:
    X, y = table(10)
    net = network(engine)
    layers = [cr.Dense(9, "tanh"), cr.Dropout(0.8), cr.Dense(3, "softmax")]
    twin = cr.Network(4, layers, cr.cross_entropy(0.4), dtype="float64", engine=engine)
    assert net.cost(X, y) == twin.cost(X, y) and net.cost(X, y, training=True) == twin.cost(X, y, training=True)
    np.testing.assert_array_equal(net.predict(X), twin.predict(X))
    assert net.evaluate(X, y) == twin.evaluate(X, y)
    assert net.check(X, y, training=True)
    mask = net.trace(X, y, training=True)["R1"]
    words = random_words(0, 1, 0, 10, 9)
    np.testing.assert_array_equal(mask, words >= np.floor(0.8 * 2**32))


def test_written_saved_and_watched(tmp_path: Path) -> None:
    net, (X, y) = network(), table(30)
    net.save(tmp_path / "net.safetensors")
    again = cr.Network.load(tmp_path / "net.safetensors")
    assert again.spec == net.spec and again.cost(X, y) == net.cost(X, y)
    assert "dropout Cosine" in net.summary()
    program = net.derive(optimizer=cr.SGD(0.1), targets="labels")
    assert cr.Program.from_json(program.to_json()) == program
    for notation in notation_names():
        for form in FORMATS:
            assert net.show(notation, form, optimizer=cr.SGD(0.1), why=True)
    assert "1 with probability 1 − rate⁽¹⁾, else 0" in net.show("row")
    assert "R1 = mask(rate1, seed, t, 0, len(X), 9)" in net.show("numpy")
    monitor = cr.Monitor(every=1)
    net.fit(X, y, epochs=2, batch_size=10, optimizer=cr.Adam(0.01), verbose=False, callbacks=[monitor])
    assert len(monitor.records) == 7


def test_what_goes_beyond_its_range_is_refused() -> None:
    X, y = table(30)
    net = cr.Network(4, [cr.Dropout(cr.Cosine(1.5)), cr.Dense(3, "softmax")], "cross_entropy")
    with pytest.raises(cr.SpecError, match=r"rate0 of step 1 must be at least 0 and less than 1"):
        net.fit(X, y, epochs=1, verbose=False)
    with pytest.raises(cr.SpecError, match="rate must be at least 0 and less than 1"):
        cr.Dropout(1.5)
