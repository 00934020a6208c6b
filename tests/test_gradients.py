"""Every problem's gradients against finite differences along random directions, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.describe.activations import ACTIVATIONS
from chainrule.describe.combine import KINDS
from chainrule.describe.graph import every
from chainrule.describe.losses import LOSSES
from chainrule.engines.table import ENGINES
from finite_differences import TOLERANCE, disagreement
from problems import LAST, PROBLEMS, Problem, numbers, on_each_engine

by_name = pytest.mark.parametrize("problem", PROBLEMS, ids=str)


def test_the_list_covers_every_layer_activation_and_loss() -> None:
    specs = [p.network("reference").spec for p in PROBLEMS]
    assert len({p.name for p in PROBLEMS}) == len(PROBLEMS)
    assert {type(layer) for s in specs for layer in every(s.layers)} == set(KINDS.values())
    activations = {layer.activation.name for s in specs for layer in every(s.layers) if hasattr(layer, "activation")}
    assert activations >= set(ACTIVATIONS)
    assert {s.loss.name for s in specs} >= set(LOSSES) and set(LAST) == set(LOSSES)
    assert {s.reduction for s in specs} == {"mean", "sum"} and {s.outputs for s in specs} >= {1, 3}
    assert any(s.l1 for s in specs) and any(s.l2 for s in specs) and any(isinstance(s.loss, cr.Cost) for s in specs)


def _ways() -> list[Any]:
    """Every problem in training, and as it predicts where that is another program: dropout, batch normalisation.

    On the reference engine all of them; compiled every third in every run, the others are long.
    """
    ways = []
    for number, problem in enumerate(PROBLEMS):
        differs = any(layer.random or layer.over_batch for layer in every(problem.network("reference").spec.layers))
        for training in (True, False) if differs else (True,):
            for engine in ENGINES:
                seldom = engine != "reference" and (number + training) % 3 > 0
                name = f"{problem}-{'training' if training else 'inference'}-{engine}"
                marks = [pytest.mark.long] if seldom else []
                ways.append(pytest.param(problem, training, engine, id=name, marks=marks))
    return ways


@pytest.mark.parametrize(("problem", "training", "engine"), _ways())
def test_gradients_are_slopes_of_the_cost(problem: Problem, training: bool, engine: str) -> None:
    """Those of every engine; J is the reference engine's, as compiling takes longer than all else here."""
    net = problem.network("reference")
    X, y, w = problem.data()
    options = {"sample_weight": w, "training": training, "step": 4}

    def cost() -> float:
        return net.cost(X, y, **options)

    gradients = problem.network(engine).gradients(X, y, **options)
    arrays = {**net.parameters, **numbers(net, X)}
    assert list(gradients) == list(arrays)
    for k, (name, array) in enumerate(arrays.items()):
        assert gradients[name].shape == array.shape and gradients[name].dtype == np.float64
        error = disagreement(cost, array, gradients[name], seed=k)
        assert error <= TOLERANCE, f"d{name} is off by {error:.1e}"


@on_each_engine(0, share=3)
def test_the_long_way_round_gives_the_same_numbers(problem: Problem, engine: str) -> None:
    short, long = problem.network(engine), problem.network(engine)
    derive = long.derive
    long.derive = lambda **choices: derive(**choices, canonical=False)  # type: ignore[method-assign]
    X, y, w = problem.data()
    expected = short.cost(X, y, sample_weight=w, training=True)
    assert long.cost(X, y, sample_weight=w, training=True) == pytest.approx(expected, rel=1e-12, abs=1e-13)
    gradients = long.gradients(X, y, sample_weight=w, training=True)
    for name, gradient in short.gradients(X, y, sample_weight=w, training=True).items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-10, atol=1e-13, err_msg=name)


@on_each_engine(1, share=3)
def test_float32_is_near_float64(problem: Problem, engine: str) -> None:
    """The same equations in single precision: no constant, table or scalar of another type slips in."""
    single, double = problem.network(engine, "float32"), problem.network("reference")
    for name, array in double.parameters.items():
        single.parameters[name][...] = array
    for name, array in double.state.items():
        single.state[name][...] = array
    X, y, w = problem.data()
    found = single.gradients(X, y, sample_weight=w, training=True)
    for name, expected in double.gradients(X, y, sample_weight=w, training=True).items():
        assert found[name].dtype == np.float32
        scale = max(float(np.abs(expected).max()), 1e-2)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=2e-4 * scale, err_msg=name)
    prediction = single.predict(X)
    assert prediction.dtype == np.float32
    np.testing.assert_allclose(prediction, double.predict(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("formula", "z", "slopes"),
    [("max(z)", [[1.0, 3.0, 3.0]], [[0.0, 1.5, 1.5]]), ("min(z)", [[2.0, 2.0, 2.0]], [[1.0, 1.0, 1.0]])],
)
def test_a_tie_in_max_shares_the_slope(formula: str, z: list, slopes: list, engine: str) -> None:
    net = cr.Network(3, [cr.Dense(3, cr.Activation(formula), bias=False)], cr.Cost("sum(yhat)"), dtype="float64",
                     engine=engine)  # fmt: skip
    net.parameters["W1"][...] = np.eye(3)
    np.testing.assert_allclose(net.gradients(z, np.zeros((1, 3)))["X"], slopes)


def test_l1_is_level_at_zero(engine: str) -> None:
    net = cr.Network(2, [cr.Dense(1)], cr.Cost("0 * sum(yhat)"), l1=1.0, dtype="float64", engine=engine)
    net.parameters["W1"][...] = [[0.0], [-2.0]]
    np.testing.assert_array_equal(net.gradients(np.ones((4, 2)), np.ones((4, 1)))["W1"], [[0.0], [-0.25]])


def test_a_stated_slope_is_the_derived_one(engine: str) -> None:
    X, y = np.random.default_rng(0).normal(0, 3, (50, 4)), np.zeros((50, 2))
    stated = [a for a in ACTIVATIONS.values() if a.slope is not None]
    assert len(stated) >= 5
    for activation in stated:
        gradients = []
        for g in (activation, cr.Activation(activation.expression)):
            net = cr.Network(4, [cr.Dense(7, g), cr.Dense(2)], "squared_error", dtype="float64", engine=engine)
            net.parameters["W1"][...] = np.random.default_rng(1).normal(size=(4, 7))
            net.parameters["W2"][...] = np.random.default_rng(2).normal(size=(7, 2))
            gradients.append(net.gradients(X, y))
        for name in gradients[0]:
            np.testing.assert_allclose(
                gradients[0][name], gradients[1][name], rtol=1e-11, atol=1e-12, err_msg=activation.name
            )
