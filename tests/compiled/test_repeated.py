"""Stages that repeat are compiled once: as many functions for forty layers as for twenty, and the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import Fitting

import chainrule as cr
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.lower import repeated
from chainrule.engines.compiled.lower.program import lower
from chainrule.engines.compiled.plan import Plan, Recipe, plan
from chainrule.engines.compiled.plan.stages import Product
from chainrule.engines.llvm import target
from chainrule.engines.table import ENGINES
from problems import in_turn

LAYOUT = PanelLayout(target.named("x86-64-v3"), "float32")
RECIPES = [Recipe(training=True, large=large) for large in (False, True)]
CLIPPED = cr.Adam(0.01, clip_norm=0.5)


def deep(layers: int, recipe: Recipe, **options: Any) -> Plan:
    """The plan of a step of training, of so many equal layers."""
    net = cr.Network(4, [*[cr.Dense(8, "tanh") for _ in range(layers)], cr.Dense(2)], "squared_error", **options)
    return plan(net.training_program(CLIPPED), recipe, LAYOUT)


@pytest.mark.parametrize("options", [{}, {"l1": 0.1, "l2": 0.1}], ids=str)
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_as_many_functions_for_more_layers(recipe: Recipe, options: dict[str, float]) -> None:
    twenty, forty = deep(20, recipe, **options), deep(40, recipe, **options)
    assert len(forty.stages) > len(twenty.stages) + 40
    assert len(lower(forty).functions) == len(lower(twenty).functions)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_small_networks_have_their_places_in_their_code(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    small = deep(3, recipe)
    text = lower(small).text()
    monkeypatch.setattr(repeated, "ONCE", 10**9)
    assert lower(small).text() == text


def test_what_differs_is_not_alike() -> None:
    """Widths, activations and what is kept in memory tell stages apart."""
    layers = [cr.Dense(8, "tanh"), cr.Dense(8, "relu"), cr.Dense(9, "tanh"), cr.Dense(9, "relu"), cr.Dropout(0.5)] * 6
    net = cr.Network(8, [*layers, cr.Dense(2)], "squared_error")
    made = plan(net.training_program(cr.SGD(0.1)), RECIPES[0], LAYOUT)
    likenesses = repeated.Likenesses(made)
    names: dict[repeated.Likeness, set[tuple[object, ...]]] = {}
    for stage in made.stages:
        likeness = likenesses.of(stage)
        if likeness is not None and isinstance(stage, Product):
            shapes = tuple(s.shape for e in stage.all() for s in (e.target, *e.operands))
            text = tuple(type(e.op).__name__ for e in stage.all())
            kept = tuple(e.target.name in made.kept for e in stage.all())
            names.setdefault(likeness, set()).add((stage.form, shapes, text, kept))
    assert len(names) > 8
    assert all(len(kinds) == 1 for kinds in names.values())


def test_formulas_of_the_same_parts_are_not_alike() -> None:
    """z - σ(z) and σ(z) - z have the same parts and the same functions, joined otherwise."""
    layers = [cr.Dense(8, cr.Activation(g)) for g in ("z - sigmoid(z)", "sigmoid(z) - z") for _ in range(6)]
    nets = [cr.Network(4, [*layers, cr.Dense(2)], "squared_error", dtype="float64", engine=e) for e in ENGINES]
    X = np.random.default_rng(0).normal(size=(20, 4))
    answers = [{"prediction": net.predict(X), **net.gradients(X, X[:, :2])} for net in nets]
    for name, array in answers[0].items():
        np.testing.assert_allclose(answers[1][name], array, rtol=1e-9, atol=1e-12, err_msg=name)
    assert np.abs(answers[0]["W1"]).max() > 1e-6  # every layer counts


def _layers(kind: str) -> list[Any]:
    if kind == "dense":
        return [cr.Dense(9, g) for g in ("tanh", "relu") for _ in range(6)]
    if kind == "normalised":
        return [layer for _ in range(6) for layer in (cr.Dense(7), cr.BatchNorm("relu"), cr.Dropout(0.2))]
    return [layer for _ in range(6) for layer in (cr.Dense(8, "softmax"), cr.LayerNorm())]


def _fitting(kind: str, last: str, loss: str, targets: str, **more: Any) -> Fitting:
    def layers() -> list[Any]:
        return [*_layers(kind), cr.Dense(3, last)]

    return Fitting(f"{kind}, {targets}", 9, layers, loss, targets, samples=700, optimizer=CLIPPED, **more)


DEEP = [  # those of other kinds are long
    _fitting("dense", "softmax", "cross_entropy", "labels", batch_size=32, options={"l2": 0.01}),
    _fitting("dense", "softmax", "cross_entropy", "labels", batch_size=600, dtype="float64", zeros=0.9),
    _fitting("normalised", "identity", "squared_error", "values", batch_size=50, options={"l1": 0.01}),
    _fitting("rows", "sigmoid", "binary_cross_entropy", "binary", batch_size=600, options={"l2": 0.01}),
]


@pytest.mark.usefixtures("many_processors")
@pytest.mark.parametrize("fitting", in_turn(DEEP, 3, every=4))
def test_the_same_bits_as_with_code_for_each(fitting: Fitting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", "1")
    X, y, _ = fitting.data()
    runs = []
    for once, threads in ((repeated.ONCE, 1), (repeated.ONCE, 3), (10**9, 1)):
        monkeypatch.setattr(repeated, "ONCE", once)
        monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / f"once {once}"))  # its key knows nothing of this
        net = fitting.network()
        run = fitting.fit(net, epochs=1, threads=threads)
        if fitting in DEEP[::2]:
            run |= {"prediction": net.predict(X), **net.gradients(X, y)}
        runs.append(run)
    for other in runs[1:]:
        assert runs[0].keys() == other.keys()
        for name, array in runs[0].items():
            assert array.tobytes() == other[name].tobytes(), name
    codes = [{entry.read_bytes() for entry in folder.iterdir()} for folder in tmp_path.iterdir()]
    assert len(codes) == 2 and codes[0] != codes[1]
    close = replace(fitting, dtype="float64")
    truth = close.network("reference")
    start = close.network()
    np.testing.assert_allclose(start.predict(X), truth.predict(X), rtol=1e-6, atol=1e-9)
