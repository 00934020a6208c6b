"""What is shown is true: every line, evaluated as it stands, gives the engine's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evaluate import disagreements
from systems import SYSTEMS

import chainrule as cr
from chainrule.engines.reference import ReferenceEngine
from chainrule.glass.trace import trace
from chainrule.notation import MATHEMATICAL, derivation, source
from chainrule.notation.rewrite import named_penalties
from chainrule.rules.mean_at_weights import mean_at_weights
from chainrule.rules.tangent import gauss_newton, tangent
from problems import PROBLEMS, in_turn

OPTIMIZERS = [
    cr.SGD(0.1),
    cr.SGD(0.1, momentum=0.5, nesterov=True),
    cr.Adam(0.1),
    cr.AdamW(0.1, clip_norm=0.5),
    cr.RMSProp(0.1, momentum=0.5),
    cr.Adagrad(0.1),
    cr.NAdam(0.1, rates={"W": 0.5, "W1": 0}),
    cr.Adafactor(0.1, clip_value=0.1),
    cr.Muon(0.1, steps=2, weight_decay=cr.Cosine(0.1)),
    cr.AdamW(0.1, amsgrad=True, beta1=cr.Cosine(0.5), decays={"W": 0.5}),
    cr.Lion(0.1, weight_decay=0.1),
]


def given(net: cr.Network, program: cr.Program, X: Any, y: Any, w: Any = None) -> dict[str, Any]:
    """All that a program with its update is given, the slots as after some steps."""
    data, _ = net._data(X, y, w)
    values = net._given(data, 1)
    for symbol in program.given:
        if symbol.role == "slot":
            values[symbol.name] = np.full([int(d) for d in symbol.shape], 0.25)
        elif symbol.role == "rate":
            values[symbol.name] = np.float64(0.1)
    return values


def derived(problem: Any, number: int, *, canonical: bool) -> tuple[cr.Program, dict[str, Any]]:
    net = problem.network("reference")
    X, y, w = problem.data()
    targets: Any = "labels" if problem.targets == "labels" else "values"
    optimizer = OPTIMIZERS[number % len(OPTIMIZERS)]
    program = net.derive(optimizer=optimizer, targets=targets, weighted=problem.weighted, canonical=canonical)
    return program, given(net, program, X, y, w)


def wrong(program: cr.Program, values: dict[str, Any], notation: str, mean_at: Any = None) -> list[str]:
    made = derivation(program, notation, mean_at=mean_at)
    run = trace(made.program, {**values, **made.penalties}, np.dtype(np.float64))
    return disagreements(made, dict(run), run.updated, components=MATHEMATICAL[notation].components)


@pytest.mark.parametrize("notation", MATHEMATICAL)
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_golden_is_executed(name: str, notation: str) -> None:
    system = SYSTEMS[name]
    net = system.network()
    samples = 2 if name.startswith(("digits", "eight")) else 5
    assert wrong(system.program, given(net, system.program, *system.data(samples)), notation) == []


@pytest.mark.parametrize("number", in_turn(range(len(PROBLEMS)), 0))
def test_every_line_of_every_network(number: int) -> None:
    """In one notation each; all of them with `pytest -m long`."""
    program, values = derived(PROBLEMS[number], number, canonical=number % 2 == 0)
    notation = list(MATHEMATICAL)[number % len(MATHEMATICAL)]
    assert wrong(program, values, notation) == []


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(PROBLEMS)))
@pytest.mark.parametrize("notation", MATHEMATICAL)
def test_every_line_of_every_network_in_every_notation(notation: str, number: int) -> None:
    for canonical in (True, False):
        program, values = derived(PROBLEMS[number], number, canonical=canonical)
        for mean_at in ("weights", "cost"):
            assert wrong(program, values, notation, mean_at) == []


def test_the_evaluation_notices_what_is_wrong() -> None:
    """A line whose formula says something else than its equation is found."""
    system = SYSTEMS["regularised"]
    net = system.network()
    values = given(net, system.program, *system.data())
    made = derivation(system.program, "column")
    run = trace(made.program, {**values, **made.penalties}, np.dtype(np.float64))
    numbers = dict(run)
    numbers["dZ2"] = 2 * numbers["dZ2"]
    found = disagreements(made, numbers, run.updated, components=False)
    assert any(line.startswith("Δ^[2] =") for line in found) and any("∂J/∂W^[2]" in line for line in found)


@pytest.mark.parametrize("notation", MATHEMATICAL)
@pytest.mark.parametrize("name", ["regularised", "names", "general", "least_squares"])
def test_tangents_in_every_notation(name: str, notation: str) -> None:
    """The Hessian times a vector prints and evaluates like any derivation."""
    system = SYSTEMS[name]
    net = system.network()
    targets: Any = "labels" if system.targets == "labels" else "values"
    for rule in (tangent, gauss_newton):
        program = rule(net.derive(targets=targets), net.program.parameters)
        values = given(net, program, *system.data())
        rng = np.random.default_rng(1)
        values |= {f"t_{n}": rng.normal(size=a.shape) for n, a in net.parameters.items()}
        assert "R{" in program.show(notation)
        assert wrong(program, values, notation, "cost") == []


# --- rewriting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", in_turn(range(len(PROBLEMS)), 1))
def test_the_mean_at_the_weights_leaves_the_parameters_gradients(number: int) -> None:
    program, values = derived(PROBLEMS[number], number, canonical=number % 2 == 1)
    named, penalties = named_penalties(program)
    moved = mean_at_weights(named)
    engine = ReferenceEngine(np.dtype(np.float64))
    pairs = [(g.name, g.name) for s, g in program.gradients if s.role == "parameter"]
    assert {a for a, _ in pairs} <= {g.name for _, g in moved.gradients}
    one = engine.run(
        program.pruned([g for _, g in program.gradients], update=False), values, tuple(a for a, _ in pairs)
    )
    more = {**values, **penalties}
    two = engine.run(moved.pruned([g for _, g in moved.gradients], update=False), more, tuple(a for a, _ in pairs))
    for name in one:
        size = max(np.abs(one[name]).max(), 1e-3)
        np.testing.assert_allclose(two[name], one[name], rtol=1e-11, atol=1e-13 * max(size, 0.1), err_msg=name)


# --- source --------------------------------------------------------------------------------------------------------


def executed(program: cr.Program, values: dict[str, Any]) -> dict[str, Any]:
    """step(...) of the source, and the same from the reference engine."""
    scope: dict[str, Any] = {}
    exec(source(program), scope)
    data = [values[s.name] for s in program.given if s.role in ("input", "target", "weight")]
    names = [s.name for s in program.given if s.role in ("parameter", "slot", "statistic", "rate", "counter")]
    with np.errstate(all="ignore"):
        result: dict[str, Any] = scope["step"](*data, **{n: values[n] for n in names})
    return result


@pytest.mark.parametrize("number", in_turn(range(len(PROBLEMS)), 2))
def test_numpy_source_gives_the_engines_bits(number: int) -> None:
    program, values = derived(PROBLEMS[number], number, canonical=number % 3 != 0)
    run = trace(program, values, np.dtype(np.float64))
    found = executed(program, values)
    expected = {**run, **run.updated}
    assert set(found) >= set(run.updated) | {g.name for _, g in program.gradients} | {program.prediction.name, "J"}
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
