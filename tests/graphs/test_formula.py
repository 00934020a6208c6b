"""Layers written as formulas: what they say of themselves, what is refused, and what is saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import functions as f

SCALE = {"s": cr.Parameter("n", value=1)}


def network(*layers: cr.Layer, inputs: int = 3) -> cr.Network:
    return cr.Network(inputs, [*layers, cr.Dense(2)], "squared_error", dtype="float64")


def test_first_values() -> None:
    net = network(
        cr.Formula(
            "(s * x) @ W + b + q", SCALE, W=cr.Parameter("n", 50), b=cr.Parameter(50, value=0.25), q=cr.Parameter()
        )
    )
    assert (net.parameters["s1"] == 1).all() and (net.parameters["b1"] == 0.25).all() and net.parameters["q1"] == 0
    limit = np.sqrt(6 / 53)
    assert 0.8 * limit < np.abs(net.parameters["W1"]).max() <= limit
    drawn = network(cr.Formula("x * v", v=cr.Parameter("n", weights=0.1)), inputs=2000).parameters["v0"]
    assert drawn.std() == pytest.approx(0.1, rel=0.1)


def test_a_name_that_is_taken_gets_a_number() -> None:
    net = network(cr.Dense(3), cr.Formula("W * x + b", W=cr.Parameter("n"), b=cr.Parameter("n")))
    assert list(net.parameters) == ["W1", "b1", "W1_2", "b1_2", "W2", "b2"]


def test_penalties_are_for_matrices() -> None:
    own = cr.Formula("(x @ U) * g + x @ V", U=cr.Parameter("n", 3), V=cr.Parameter("n", 3, penalised=False),
                     g=cr.Parameter(3, value=1))  # fmt: skip
    net = cr.Network(3, [own, cr.Dense(1)], "squared_error", l2=1.0)
    assert {s.name for s in net.program.parameters if s.penalised} == {"U1", "W2"}


def test_a_function_takes_its_parameters_by_name() -> None:
    text = cr.Formula("relu(x @ W) - b", W=cr.Parameter("n", 2), b=cr.Parameter())
    assert (
        cr.Formula(lambda b, x, W: f.relu(x @ W) - b, W=cr.Parameter("n", 2), b=cr.Parameter()).expression
        == text.expression
    )


def test_through_a_file(tmp_path: Path) -> None:
    net = network(
        cr.Formula(lambda x, W, a: f.where(x @ W.T > 0, x @ W.T, a), W=cr.Parameter(4, "n"), a=cr.Parameter(value=-1)),
        cr.Formula("exp(-x)"),
    )
    net.save(tmp_path / "own.safetensors")
    read = cr.Network.load(tmp_path / "own.safetensors")
    X = np.random.default_rng(0).normal(size=(9, 3))
    assert read.spec == net.spec and read.predict(X).tobytes() == net.predict(X).tobytes()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: cr.Formula("s * y", SCALE), "Unknown name 'y'"),
        (lambda: cr.Formula("x * 2", SCALE), "s is declared and not used in (2.0 * x)"),
        (lambda: cr.Formula("x + exp", {"exp": cr.Parameter()}), "a parameter cannot be called exp"),
        (lambda: cr.Formula("x + x1", {"x1": 0.5}), "x1 must be a Parameter, such as cr.Parameter('n', value=1)."),
        (lambda: cr.Formula(lambda x, w: x * w, SCALE), "The function must take x, s. It takes x, w."),
        (lambda: cr.Formula(lambda x, s: np.exp(x) * s, SCALE), "could not be traced"),
        (lambda: cr.Parameter("k"), "a size must be a positive whole number, or 'n'"),
        (lambda: cr.Parameter(0), "a size must be a positive whole number"),
        (lambda: cr.Parameter("n", 2, 2), "at most two sizes"),
        (lambda: cr.Parameter(3, weights="he_normal"), "is for matrices"),
        (lambda: cr.Parameter(3, weights=1, value=1), "a value and an initialiser"),
        (lambda: cr.Parameter(3, value=float("nan")), "a finite number"),
        (lambda: cr.Activation("z @ z"), "may hold numbers, z, + - * / ** comparisons and calls"),
        (lambda: cr.Activation(lambda z: z @ z), "A product of matrices (@) belongs in the formula of a layer"),
        (lambda: network(cr.Formula("x.T @ x")), "samples must not mix. Got (3, m) @ (m, 3)"),
        (lambda: network(cr.Formula("x @ W", W=cr.Parameter(4, 4))), "Layer 1 (Formula): In the product (x @ W)"),
        (lambda: network(cr.Formula("x + c", c=cr.Parameter(4))), "In (x + c), the shapes (m, 3) and (4,) do not fit"),
        (lambda: network(cr.Formula("sum(x, 'rows')")), "a layer's formula is of one sample"),
        (lambda: network(cr.Formula("c * 2", c=cr.Parameter(4))), "must give values of each sample, (m, k)."),
    ],
)  # fmt: skip
def test_what_is_refused(made: Callable[[], object], said: str) -> None:
    with pytest.raises(cr.ChainruleError) as caught:
        made()
    assert said in str(caught.value)


def test_all_faults_at_once() -> None:
    with pytest.raises(cr.SpecError) as caught:
        network(cr.Formula("x @ W", W=cr.Parameter(4, 4)), cr.Take("h"), cr.Formula("x + c", c=cr.Parameter(9)))
    assert len(caught.value.faults) == 2
