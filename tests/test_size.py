"""Deep networks and formulas that use their parts again: no recursion, no work that doubles with each use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.describe.network import NetworkSpec
from chainrule.errors import FormulaError
from chainrule.program.derivative import differentiate
from chainrule.program.equation import Program
from chainrule.program.op import Elementwise
from chainrule.program.parse import formula, parse, source
from chainrule.program.scalar import Constant, Expression, Variable
from chainrule.program.walk import occurrences, parts, sum_of, walk
from chainrule.rules.derive import derive
from chainrule.rules.mean_at_weights import mean_at_weights

F = cr.functions
NOTATIONS = ("row", "column", "index", "layer", "batch", "numpy")


def nested(depth: int) -> Callable[[Expression], Expression]:
    """z sigmoid(z) of itself, so many times."""

    def g(z: Expression) -> Expression:
        for _ in range(depth):
            z = z * F.sigmoid(z)
        return z

    return g


def spec(layers: int, **options: Any) -> NetworkSpec:
    return NetworkSpec(4, (*[cr.Dense(4, "tanh") for _ in range(layers)], cr.Dense(2)), "squared_error", **options)


def data(samples: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(samples, 4)), rng.normal(size=(samples, 2))


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many functions, Python's and C's, are called within."""
    calls = [0]

    def count(frame: object, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            calls[0] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)


# --- deep networks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [*(pytest.param(one, marks=pytest.mark.long) for one in ({"l2": 0.1}, {"l1": 0.1})), {"l1": 0.1, "l2": 0.1}],
    ids=str,
)
def test_three_hundred_layers_with_a_penalty(options: dict[str, float]) -> None:
    program = derive(spec(300, **options), optimizer=cr.Adam(1e-3, clip_norm=1.0))
    assert "norm2_W300" in str(program) or "norm1_W300" in str(program)
    assert "W300" in program.show("numpy")


def test_a_deep_network_is_written_in_every_notation() -> None:
    program = derive(spec(40, l2=0.1), input_gradient=False)  # more terms than a sum has
    for notation in NOTATIONS:
        assert len(program.show(notation)) > 5_000


def test_three_hundred_layers_train(tmp_path: Path) -> None:
    net = cr.Network.from_spec(spec(300, l1=0.01, l2=0.1), engine="reference", dtype="float64", seed=1)
    X, Y = data()
    before, weights = net.cost(X, Y), [net.parameters[f"W{k}"].copy() for k in range(1, 302)]
    penalty = sum(0.01 * np.abs(w).sum() + 0.05 * (w**2).sum() for w in weights) / len(X)
    assert before == pytest.approx(np.mean(np.sum((net.predict(X) - Y) ** 2, axis=1)) + penalty, rel=1e-12)
    net.fit(X, Y, epochs=1, batch_size=3, optimizer=cr.SGD(1e-2, clip_norm=0.5), verbose=False)
    assert not np.array_equal(net.parameters["W300"], weights[299])
    net.save(tmp_path / "deep.safetensors")
    assert cr.Network.load(tmp_path / "deep.safetensors").spec == net.spec


@pytest.mark.parametrize("clip", [None, 1.0], ids=str)
def test_the_work_of_deriving_is_in_proportion_to_the_layers(clip: float | None) -> None:
    penalties = {"l2": 0.1} if clip else {}
    optimizer = cr.SGD(0.1, clip_norm=clip) if clip else None
    derive(spec(3, **penalties), optimizer=optimizer)  # what is done once
    work, equations = [], []
    for layers in (30, 60, 120):
        with counted() as calls:
            program = derive(spec(layers, **penalties), optimizer=optimizer)
        work.append(calls[0])
        equations.append(len(program.equations))
    assert work[2] - work[1] < 2.1 * (work[1] - work[0])
    assert equations[2] - equations[1] == 2 * (equations[1] - equations[0])


def test_a_sum_of_many_terms_is_not_deep() -> None:
    terms = [Variable(f"x{k}") for k in range(5_000)]
    total = sum_of(terms)
    assert [x.name for x in walk(total) if isinstance(x, Variable)] == [x.name for x in terms]
    depths: dict[Expression, int] = {}
    for part in parts(total):
        depths[part] = 1 + max((depths[a] for a in getattr(part, "arguments", ())), default=0)
    assert depths[total] < 100
    assert sum_of([]) == Constant(0.0)
    assert sum_of(terms[:3]) == terms[0] + terms[1] + terms[2]


# --- formulas that use their parts again ----------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [14, 40])
def test_a_formula_that_uses_its_argument_twice(depth: int, engine: str) -> None:
    X, Y = data()
    net = cr.Network(
        4,
        [cr.Dense(3, cr.Activation(nested(depth))), cr.Dense(2)],
        "squared_error",
        engine=engine,
        dtype="float64",
        seed=2,
    )
    z = X @ net.parameters["W1"] + net.parameters["b1"]
    slope = np.ones_like(z)
    for _ in range(depth):
        s = 1 / (1 + np.exp(-z))
        slope *= s + z * s * (1 - s)
        z = z * s
    gradients = net.gradients(X, Y)
    dz = 2 * (net.predict(X) - Y) / len(X) @ net.parameters["W2"].T * slope
    np.testing.assert_allclose(net.predict(X), z @ net.parameters["W2"] + net.parameters["b2"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(gradients["W1"], X.T @ dz, rtol=1e-9, atol=1e-15)


def test_its_derivative_grows_with_its_parts_not_with_its_uses() -> None:
    sizes = []
    for depth in (10, 20, 40):
        e = formula(nested(depth), ("z",))
        assert len(parts(e)) == 2 * depth + 1
        assert occurrences(e)[Variable("z")] == 2**depth
        sizes.append(len(parts(differentiate(e, "z"))))
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])
    assert formula(nested(40), ("z",)) == formula(nested(40), ("z",))
    assert formula(nested(40), ("z",)) != formula(nested(39), ("z",))
    assert len(repr(formula(nested(40), ("z",)))) < 5_000


def test_it_is_written_in_place_or_said_to_be_too_large() -> None:
    def program(depth: int) -> Program:
        layers = (cr.Dense(3, cr.Activation(nested(depth), name="g")), cr.Dense(2))
        return derive(NetworkSpec(4, layers, "squared_error"))

    assert "formula of more" not in str(program(5))
    assert "A1 = (a formula of more than 20,000 parts)" in str(program(40))
    for notation in NOTATIONS:
        assert program(5).show(notation)
        with pytest.raises(FormulaError, match=r"The equation of A1 has .* parts when it is written out; 20,000 are"):
            program(40).show(notation)


def test_inner_values_count_where_they_are_written() -> None:
    def g(z: Expression) -> Expression:
        for _ in range(20):
            z = z - F.mean(z * z)
        return z

    layers = (cr.Dense(3, cr.Activation(g)), cr.Dense(2))
    program = derive(NetworkSpec(4, layers, "squared_error"))
    with pytest.raises(FormulaError, match="written out"):
        program.show("index")


def test_it_is_saved_with_names_for_its_parts(tmp_path: Path) -> None:
    for depth in (1, 5, 14, 40):
        e = formula(nested(depth), ("z",))
        text = source(e)
        assert (":=" in text) == (depth > 12)
        assert len(text) < 100_000
        assert parse(text, ("z",)) == e
    X, _ = data()
    net = cr.Network(4, [cr.Dense(3, cr.Activation(nested(40))), cr.Dense(2)], "squared_error", engine="reference")
    net.save(tmp_path / "net.safetensors")
    again = cr.Network.load(tmp_path / "net.safetensors")
    assert again.spec == net.spec
    assert again.predict(X).tobytes() == net.predict(X).tobytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(z := 1) * z", "the name 'z' is taken"),
        ("(pi := z) * 2", "the name 'pi' is taken"),
        ("(a := z) + (a := 2)", "the name 'a' is taken"),
        ("a * (a := z)", "Unknown name 'a'"),
    ],
)
def test_a_part_has_one_name_given_before_it_is_used(text: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        parse(text, ("z",))
    assert parse("(a := exp(z)) / (1 + a)", ("z",)) == parse("exp(z) / (1 + exp(z))", ("z",))


def test_deep_formulas(engine: str) -> None:
    """As many levels as a formula may have, and their derivatives, which have a few times as many."""
    for g, one in ((F.tanh, np.tanh), (lambda z: 0.9 * z + 0.1, lambda z: 0.9 * z + 0.1)):
        levels = 98 if g is F.tanh else 48

        def whole(z: Expression, g: Callable[[Expression], Expression] = g, levels: int = levels) -> Expression:
            for _ in range(levels):
                z = g(z)
            return z

        net = cr.Network(4, [cr.Dense(2, cr.Activation(whole))], "squared_error", engine=engine, dtype="float64")
        X, Y = data()
        expected = X @ net.parameters["W1"] + net.parameters["b1"]
        for _ in range(levels):
            expected = one(expected)
        np.testing.assert_allclose(net.predict(X), expected, rtol=1e-9)
        assert np.isfinite(net.gradients(X, Y)["W1"]).all()


def test_the_mean_at_the_weights_of_shared_parts() -> None:
    layers = (cr.Dense(3, cr.Activation(nested(40))), cr.Dense(2))
    program = mean_at_weights(derive(NetworkSpec(4, layers, "squared_error"), input_gradient=False))
    equation = next(e for e in program.backward if e.target.name == "dZ1")
    assert isinstance(equation.op, Elementwise)
    assert len(parts(equation.op.expression)) < 1_000
