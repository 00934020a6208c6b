"""What a step is made of beside the optimizer's own rule: factors by parameter, clipping, settings by schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.notation import FORMATS, notation_names
from problems import classifier, table

OPTIMIZERS: dict[str, cr.Optimizer] = {
    "nadam": cr.NAdam(0.01, rates={"b": 0.5, "W2": 2}, clip_norm=0.1),
    "lion": cr.Lion(cr.Cosine(0.01), beta1=cr.Cosine(0.9), weight_decay=0.1, decays={"b": 0}),
    "adafactor": cr.Adafactor(0.1, weight_decay=cr.Cosine(0.1), rates={"b1": 0}),
    "muon": cr.Muon(0.02, momentum=cr.Cosine(0.9), weight_decay=cr.Cosine(0.1), clip_value=0.01, rates={"W1": 0.5}),
    "muon, sgd": cr.Muon(0.02, nesterov=False, scale="adam", others=cr.SGD(cr.StepDecay(0.1, every=1), momentum=0.5)),
    "plateau": cr.AdamW(0.01, weight_decay=cr.OnPlateau(5.0, factor=0.1, patience=0, threshold=0.9)),
    "adamw": cr.AdamW(0.01, amsgrad=True, beta1=cr.Cosine(0.9), weight_decay=cr.Cosine(0.1), decays={"W": 2, "b": 0},
                      clip_value=0.01, clip_norm=0.02),
}  # fmt: skip
"""Each with every kind of setting somewhere."""


def network(engine: str = "reference", **options: Any) -> cr.Network:
    layers = [cr.Dense(19, "tanh"), cr.LayerNorm("relu"), cr.Dense(7, "tanh"), cr.Dense(3, "softmax")]
    return cr.Network(4, layers, "cross_entropy", engine=engine, **{"dtype": "float64", **options})


def fitted(engine: str, optimizer: cr.Optimizer, **options: Any) -> dict[str, np.ndarray]:
    net = network(engine)
    X, y = table(options.pop("samples", 50))
    net.fit(X, y, **{"epochs": 3, "batch_size": 8, "optimizer": optimizer, "verbose": False, **options})
    return {name: array.copy() for name, array in net.parameters.items()}


@pytest.mark.parametrize(
    ("name", "batch_size"),
    [
        ("muon", 8),
        ("adafactor", 600),
        ("adamw", 600),
        *(pytest.param(name, size, marks=pytest.mark.long) for name in OPTIMIZERS for size in (1, 8, 600)),
    ],
)
def test_both_engines_take_the_same_steps(name: str, batch_size: int) -> None:
    """In one piece, with weights updated in the tiles of their gradients, and in chunks."""
    one, two = (fitted(e, OPTIMIZERS[name], batch_size=batch_size, samples=700) for e in ("reference", "compiled"))
    for key, expected in one.items():
        np.testing.assert_allclose(two[key], expected, rtol=1e-9, atol=1e-11, err_msg=key)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_they_are_written_and_read_back(name: str) -> None:
    program = network().derive(optimizer=OPTIMIZERS[name], targets="labels")
    again = cr.Program.from_json(program.to_json())
    assert again == program and again.digest == program.digest
    number = list(OPTIMIZERS).index(name)
    for turn, notation in enumerate(notation_names()):
        form = FORMATS[(number + turn) % len(FORMATS)]
        assert network().show(notation, form, optimizer=OPTIMIZERS[name], why=True)


@pytest.mark.parametrize("name", ["adafactor", "muon", "plateau"])
def test_a_fit_goes_on_where_it_was_interrupted(name: str, tmp_path: Path) -> None:
    """Slots of other shapes than their parameters, and schedules beside the learning rate's."""
    X, y = table()
    whole = fitted("reference", OPTIMIZERS[name])

    class Stop(cr.Callback):
        at = 2

        def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
            if record.epoch == self.at:
                raise KeyboardInterrupt

    options: dict[str, Any] = {"epochs": 3, "batch_size": 8, "optimizer": OPTIMIZERS[name], "verbose": False}
    net = network()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, checkpoint=tmp_path / "fit", callbacks=[Stop()], **options)
    Stop.at, again = 0, network(seed=9)
    again.fit(X, y, checkpoint=tmp_path / "fit", resume=True, callbacks=[Stop()], **options)
    for key, expected in whole.items():
        np.testing.assert_array_equal(again.parameters[key], expected, err_msg=key)


def test_a_rate_of_0_leaves_a_parameter_as_it_is() -> None:
    net = network()
    optimizer = cr.Adam(0.1, rates={"W": 0, "W1": 1, "b2": 0}, clip_norm=1.0)
    program = net.derive(optimizer=optimizer, targets="labels")
    updated = {e.target.name for e in program.update}
    assert {"W1", "M_W1"} <= updated and not updated & {"W2", "W3", "b2", "M_W2", "norm2_dW2"}
    before = {name: array.copy() for name, array in net.parameters.items()}
    X, y = table()
    net.fit(X, y, epochs=1, optimizer=optimizer, verbose=False)
    still = {name for name, array in net.parameters.items() if np.array_equal(array, before[name])}
    assert still == {"W2", "W3", "b2"}


def test_a_factor_of_the_rate_is_one(engine: str) -> None:
    """The name of a parameter counts more than its letter."""
    X, y = table()
    steps = []
    for rates in ({}, {"W": 0.5, "W2": 3}):
        net = classifier(engine)
        before = {name: array.copy() for name, array in net.parameters.items()}
        net.fit(X, y, epochs=1, batch_size=50, optimizer=cr.SGD(0.1, rates=rates), verbose=False)
        steps.append({name: net.parameters[name] - before[name] for name in before})
    for name, factor in {"W1": 0.5, "b1": 1.0, "W2": 3.0, "b2": 1.0}.items():
        np.testing.assert_allclose(steps[1][name], factor * steps[0][name], rtol=1e-9, atol=1e-15)


def test_each_number_is_clipped_before_the_norm_is_taken(engine: str) -> None:
    X, y = table()
    net = classifier(engine)
    before = {name: array.copy() for name, array in net.parameters.items()}
    gradients = {name: np.clip(g, -0.01, 0.01) for name, g in net.gradients(X, y).items() if name in before}
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    net.fit(X, y, epochs=1, batch_size=50, optimizer=cr.SGD(0.1, clip_value=0.01, clip_norm=0.02), verbose=False)
    assert norm > 0.02
    for name, g in gradients.items():
        moved = net.parameters[name] - before[name]
        np.testing.assert_allclose(moved, -0.1 * g * 0.02 / (norm + 1e-6), rtol=1e-9, atol=1e-15)


def test_a_setting_goes_by_its_schedule(engine: str) -> None:
    """SGD with a momentum of its own in each step, by hand."""
    X, y = table(24)
    momentum = cr.Cosine(0.9)
    net, twin = classifier(engine), classifier("reference")
    net.fit(X, y, epochs=3, batch_size=8, optimizer=cr.SGD(0.1, momentum=momentum), shuffle=False, verbose=False)
    velocity = {name: np.zeros_like(array) for name, array in twin.parameters.items()}
    for k, mu in enumerate(momentum.rates(0, 9, 3, 9)):
        part = slice(k % 3 * 8, k % 3 * 8 + 8)
        gradients = twin.gradients(X[part], y[part], training=True)
        for name, array in twin.parameters.items():
            velocity[name] = mu * velocity[name] + gradients[name]
            array -= 0.1 * velocity[name]
    for name, array in twin.parameters.items():
        np.testing.assert_allclose(net.parameters[name], array, rtol=1e-10, atol=1e-13)


def test_a_step_that_is_not_finite_changes_nothing(engine: str) -> None:
    """Also what is kept beside the parameters: NAdam's product of momenta."""
    X, y = table(24)
    X[16:] = 1e300
    net = cr.Network(4, [cr.Dense(5), cr.Dense(1)], "squared_error", dtype="float64", engine=engine)
    program = net.training_program(cr.NAdam(0.01))
    from chainrule.engines.base import Epoch

    data, _ = net._data(X, y.astype(float))
    order = np.arange(24)
    with net.engines.for_fit(program, 24, 1, 8).open(program, {**net.parameters}) as session:
        epoch = Epoch(data, order, 8, np.full(3, 0.01), first_step=1, seed=0)
        session.epoch(epoch.part(0, 2))
        before = session.read()
        costs = session.epoch(epoch.part(2, 1)).costs
        after = session.read()
    assert len(costs) == 1 and not np.isfinite(costs[0])
    assert 0 < before["Q"] < 1
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("make", "faults"),
    [
        (
            lambda: cr.AdamW(0.0, clip_value=-1, clip_norm=0, rates={"W1": -1}, decays=3, weight_decay=-1),
            ["learning_rate", "clip_norm", "clip_value", r"rates['W1']", "decays", "weight_decay"],
        ),
        (
            lambda: cr.Muon(steps=-1, scale="shap", coefficients=(1, 2), others=cr.Adam(clip_norm=1.0), momentum=1.0),
            ["momentum", "steps", "Did you mean 'shape'", "coefficients", "others: clip_norm"],
        ),
        (lambda: cr.Muon(others=cr.Muon()), ["others"]),
        (lambda: cr.Adafactor(threshold=0.5, epsilon1=0.0), ["epsilon1", "threshold"]),
        (
            lambda: network().derive(optimizer=cr.AdamW(rates={"W9": 1}, decays={"wb": 1})),
            ["rates: Unknown parameter 'W9'", "decays: Unknown parameter 'wb'"],
        ),
    ],
)
def test_all_faults_are_said_at_once(make: Any, faults: list[str]) -> None:
    with pytest.raises(cr.SpecError) as caught:
        make()
    for fault in faults:
        assert fault in str(caught.value)


def test_a_schedule_out_of_its_range_is_refused() -> None:
    X, y = table()
    with pytest.raises(cr.SpecError, match=r"momentum of step 1 must be at least 0 and less than 1 in float64"):
        classifier("reference").fit(X, y, epochs=1, optimizer=cr.SGD(momentum=cr.Cosine(1.5)), verbose=False)


def test_what_version_1_did_not_know_is_written_where_it_is_used() -> None:
    """A checkpoint's settings are compared as they were written down."""
    assert set(cr.Adam().to_dict()) == {"type", "learning_rate", "clip_norm", "beta1", "beta2", "epsilon"}
    said = cr.AdamW(rates={"b": 2}, clip_value=1.0, amsgrad=True).to_dict()
    assert (said["rates"], said["clip_value"], said["amsgrad"]) == ({"b": 2}, 1.0, True)
