"""Whole programs for other machines: run where the processor can, else emitted and verified."""

from __future__ import annotations

import numpy as np
import pytest
from llvmlite import binding
from networks import FITTINGS, Fitting
from random_networks import make, train
from test_random_networks import close, flat

from chainrule.engines.compiled.engine import CompiledEngine
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.lower.program import lower
from chainrule.engines.compiled.plan import Recipe, plan
from chainrule.engines.llvm import jit, target
from chainrule.engines.reference import ReferenceEngine
from chainrule.engines.table import ENGINES
from problems import in_turn

pytestmark = pytest.mark.usefixtures("many_processors")
LESSER = ("x86-64-v2", "x86-64-v3")
OTHERS = ("x86-64-v4", "aarch64")
NEEDS = {"x86-64-v2": {"sse4.2", "ssse3", "popcnt"}, "x86-64-v3": {"avx2", "fma", "bmi2"}}


def runs(name: str) -> bool:
    """Whether this processor is at least that."""
    if not binding.get_process_triple().startswith("x86_64"):
        return False
    known = dict(binding.get_host_cpu_features())
    return all(known.get(feature, False) for feature in NEEDS[name])


def skip_unless_it_runs(name: str) -> None:
    if not runs(name):
        pytest.skip(f"this processor is not an {name}")


@pytest.mark.parametrize("seed", in_turn(range(3000, 3004), 0, every=2))
@pytest.mark.parametrize("name", LESSER)
def test_training_on_a_lesser_machine(name: str, seed: int) -> None:
    skip_unless_it_runs(name)
    case = make(seed)
    engine = CompiledEngine(np.dtype(case.dtype), target.named(name))
    found = flat(train(case, case.network(), engine, threads=2))
    close(case, found, lambda net: flat(train(case, net, ReferenceEngine(net.dtype))))


@pytest.mark.parametrize("name", LESSER)
@pytest.mark.parametrize("fitting", [FITTINGS[0], pytest.param(FITTINGS[7], marks=pytest.mark.long)], ids=str)
def test_calls_on_a_lesser_machine(name: str, fitting: Fitting, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_unless_it_runs(name)
    X, y, _ = fitting.data()
    found = []
    for machine in (name, "host"):
        net = fitting.network()
        monkeypatch.setitem(
            ENGINES, "compiled", lambda dtype, machine=machine: CompiledEngine(dtype, target.named(machine))
        )
        net.fit(X, y, epochs=1, batch_size=50, verbose=False)
        found.append((net.predict(X), net.predict(X[:1]), *net.gradients(X, y).values()))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * max(1, float(np.abs(b).max())))


@pytest.mark.parametrize("name", [*OTHERS, *(name for name in LESSER if not runs(name))])
@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        (7, "float32"),
        (10, "float64"),
        (14, "float32"),
        pytest.param(9, "float64", marks=pytest.mark.long),
        pytest.param(14, "float64", marks=pytest.mark.long),
    ],
)
def test_code_is_emitted_for_other_machines(name: str, dtype: str, number: int) -> None:
    fitting = FITTINGS[number]
    net = fitting.network()
    X, y, w = fitting.data()
    _, kind = net._data(X, y, w)
    program = net.training_program(fitting.optimizer, targets=kind, weighted=w is not None)
    layout = PanelLayout(target.named(name), dtype)
    large = number in (7, 10)
    recipe = Recipe(training=True, large=large, nonzero=fitting.zeros > 0)
    assert len(jit.object_code(lower(plan(program, recipe, layout)))) > 1000
