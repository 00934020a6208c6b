"""check: sound derivations pass; every planted fault is found, at the right equation, and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.program import Elementwise, Equation, MatMul, Program, verify
from chainrule.program.equation import operands_of
from chainrule.program.op import Reduce
from chainrule.program.parse import parse
from chainrule.program.scalar import Expression, Variable
from problems import PROBLEMS

M, N = 7, 5
NET = cr.Network(
    N,
    [cr.Dense(N, "tanh"), cr.Dense(N, "sigmoid"), cr.Dense(N)],
    "squared_error",
    l2=0.3,
    dtype="float64",
    engine="reference",
)
for _array in NET.parameters.values():
    _array += 0.3 * np.random.default_rng(3).normal(size=_array.shape)
PROGRAM = NET.program
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(M, N)), RNG.normal(size=(M, N))


def planted(target: str, change: Callable[[Equation], Equation], program: Program = PROGRAM) -> Program:
    """The program with one backward equation changed."""
    return verify(
        replace(program, backward=tuple(change(e) if e.target.name == target else e for e in program.backward))
    )


def times(formula: Callable[[Expression], Expression], program: Program = PROGRAM) -> Callable[[Equation], Equation]:
    def change(equation: Equation) -> Equation:
        made = formula(equation.op.expression)  # type: ignore[union-attr]
        op: Any = replace(equation.op, expression=made)  # type: ignore[type-var]
        return replace(equation, op=op, operands=operands_of(made, program.symbols))

    return change


def product(left: bool, right: bool) -> Callable[[Equation], Equation]:
    return lambda e: replace(e, op=MatMul(left, right))


FAULTS: dict[str, tuple[str, str, Callable[[Equation], Equation], str]] = {
    # target of the planted equation, target that is blamed, the change, what is said
    "a sign": ("dZ3", "dZ3", times(lambda e: -e), "the sign is wrong"),
    "1/m left out": ("dZ3", "dZ3", times(lambda e: e * Variable("m")), "too large by a factor of m = 7"),
    "1/m twice": ("db2", "db2", times(lambda e: e / Variable("m")), "too small by a factor of m = 7"),
    "2 left out": ("dZ3", "dZ3", times(lambda e: e / 2), "too small by a factor of 2"),
    "2 too much": ("dZ2", "dZ2", times(lambda e: e * 2), "too large by a factor of 2"),
    "the width": ("db1", "db1", times(lambda e: e * 5), "too large by a factor of n = 5"),
    "a sign and 2": ("dZ1", "dZ1", times(lambda e: e * -2), "a factor of 2: a factor of 1/2 is missing, and the sign"),
    "an odd factor": ("dZ1", "dZ1", times(lambda e: e * 1.3), "off by a factor of 1.3"),
    "W not transposed": ("dA2", "dA2", product(False, False), "a transpose: W3 is transposed wrongly"),
    "product the wrong way round": (
        "XdZ1",
        "dW1",
        lambda e: replace(e, operands=e.operands[::-1]),
        "a transpose: the product is transposed",
    ),
    "penalty left out": (
        "dW2",
        "dW2",
        times(lambda e: e - parse("0.3 * W2 / m", ("W2", "m"))),
        "a missing term: 0.04286 W2 (= 0.3 W2 / m), as the L2 penalty has it",
    ),
    "penalty twice": (
        "dW3",
        "dW3",
        times(lambda e: e + parse("0.3 * W3 / m", ("W3", "m"))),
        "a term too much: 0.04286 W3 (= 0.3 W3 / m)",
    ),
    "slope left out": ("dZ2", "dZ2", times(lambda e: Variable("dA2")), "by no common factor"),
    "0": ("db3", "db3", times(lambda e: e * 1e-300), "is 0, and should not be"),
    "largest for sum": (
        "db2",
        "db2",
        lambda e: replace(e, op=Reduce("max", "rows", e.op.expression)),  # type: ignore[union-attr]
        "by no common factor",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(name: str) -> None:
    target, blamed, change, said = FAULTS[name]
    report = NET.check(X, Y, program=planted(target, change))
    assert not report
    assert [f.target for f in report.faults] == [blamed], str(report)
    fault = report.faults[0]
    assert said in fault.diagnosis
    marked = [line for line in fault.place.splitlines() if line.lstrip().startswith(">")]
    assert len(marked) == 1 and f"> {target} = " in marked[0] and len(fault.place.splitlines()) >= 3
    sound = next(e for e in PROGRAM.backward if e.target.name == target)
    assert fault.derived == str(sound)
    assert said in str(report) and "WRONG" in str(report)


def test_a_missing_term_of_two_ways() -> None:
    """A value used twice whose gradient comes through one way only."""
    net = cr.Network(
        3,
        [cr.Dense(4, cr.Activation("z * sum(z)")), cr.Dense(2)],
        "squared_error",
        dtype="float64",
        engine="reference",
    )
    program = net.program
    wrong = planted("dZ1", times(lambda e: parse("dA1 * sum1", ("dA1", "sum1")), program), program)
    report = net.check(RNG.normal(size=(4, 3)), RNG.normal(size=(4, 2)), program=wrong)
    assert [f.target for f in report.faults] == ["dZ1"]
    assert report.faults[0].diagnosis == "a missing term: dsum1"


def test_two_faults_are_both_found() -> None:
    wrong = planted("dZ3", times(lambda e: -e), planted("db1", times(lambda e: e * 2)))
    report = NET.check(X, Y, program=wrong)
    assert [f.target for f in report.faults] == ["dZ3"]  # what comes after is wrong for its sake
    wrong = planted("db3", times(lambda e: -e), planted("db1", times(lambda e: e * 2)))
    assert {f.target for f in NET.check(X, Y, program=wrong).faults} == {"db3", "db1"}


def test_a_large_network_along_directions() -> None:
    net = cr.Network(40, [cr.Dense(60, "tanh"), cr.Dense(30, "softmax")], "cross_entropy", engine="reference")
    data = RNG.normal(size=(20, 40)), RNG.integers(0, 30, 20)
    report = net.check(*data)
    assert report and {g.name: g.kind for g in report.gradients}["dW1"] == "directional"
    program = net.derive(targets="labels")
    wrong = planted("dZ1", times(lambda e: e * Variable("m"), program), program)
    report = net.check(*data, program=wrong)
    assert [f.target for f in report.faults] == ["dZ1"] and "a factor of m = 20" in report.faults[0].diagnosis


@pytest.mark.parametrize("number", range(0, len(PROBLEMS), 7))
def test_sound_derivations_pass(number: int) -> None:
    problem = PROBLEMS[number]
    net = problem.network("reference")
    before = {k: v.copy() for k, v in {**net.parameters, **net.state}.items()}
    features, y, w = problem.data()
    report = net.check(features, y, sample_weight=w, canonical=number % 8 == 0)
    assert report, str(report)
    assert {g.of for g in report.gradients} == {
        *net.parameters,
        *(s.symbol.name for s in net.spec.sources if not s.tokens),
    }
    for name, array in {**net.parameters, **net.state}.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.long
def test_a_corner_at_the_very_value_is_no_fault() -> None:
    """Edges that are the data's own quantiles, relus that are 0: there is no slope; faults beside them are found."""
    X, y = np.random.default_rng(0).normal(size=(12, 4)), np.random.default_rng(1).normal(size=(12, 1))
    edges = np.quantile(X, np.linspace(0, 1, 5), axis=0).T
    for layers in ([cr.Piecewise(4, edges), cr.Dense(1)], cr.batch_ensemble(3, [5, 5], 1)):
        net = cr.Network(4, layers, "squared_error", dtype="float64", engine="reference")
        assert net.check(X, y)
        name = "dV1" if len(layers) == 2 else "dZ2"
        wrong = planted(name, times(lambda e: e * 1.01, net.program), net.program)
        report = net.check(X, y, program=wrong)
        assert not report and report.faults[0].target == name


def test_single_precision_is_checked_in_double() -> None:
    net = cr.Network(6, [cr.Dense(7, "relu"), cr.Dense(3, "softmax")], "cross_entropy")
    report = net.check(RNG.normal(size=(9, 6)), RNG.integers(0, 3, 9))
    assert report and max(g.error for g in report.gradients) < 1e-6
    assert net.parameters["W1"].dtype == np.float32
    assert str(report).startswith("every gradient agrees with finite differences\n    dW1   (6, 7)   elements")


def test_a_program_that_does_not_fit_is_refused() -> None:
    other = cr.derive(cr.NetworkSpec(N, [cr.Embedding(3, 2), cr.Dense(2)], "squared_error"))
    with pytest.raises(cr.SpecError, match="needs E"):
        NET.check(X, Y, program=other)
    forward = Program(PROGRAM.given, PROGRAM.forward, PROGRAM.prediction)
    with pytest.raises(cr.SpecError, match="no cost or no gradients"):
        NET.check(X, Y, program=forward)
    broken = replace(PROGRAM, backward=PROGRAM.backward[::-1])
    with pytest.raises(cr.ProgramError, match="used before it is assigned"):
        NET.check(X, Y, program=broken)
    with pytest.raises(cr.DataError, match="5 columns"):
        NET.check(X[:, :3], Y)


def test_elementwise_is_what_is_planted() -> None:
    assert isinstance(next(e for e in PROGRAM.backward if e.target.name == "dZ3").op, Elementwise)
