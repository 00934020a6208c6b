"""Scalar expressions: the derivative against finite differences, simplification, text there and back, bad formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.errors import FormulaError
from chainrule.program.derivative import differentiate
from chainrule.program.parse import formula, functions, known_functions, parse, source
from chainrule.program.scalar import FUNCTIONS, Apply, Constant, Expression, Reduction, Variable, apply
from chainrule.program.walk import children, replace, variables, walk

NAMES = ("x", "y")
MEANING: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "neg": lambda a: -a,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: math.pow(a, b),
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "tanh": math.tanh,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)) if a > -700 else math.exp(a),
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))),
    "sqrt": math.sqrt,
    "erf": math.erf,
    "erfc": math.erfc,
    "sin": math.sin,
    "cos": math.cos,
    "abs": abs,
    "sign": lambda a: float((a > 0) - (a < 0)),
    "minimum": min,
    "maximum": max,
    "where": lambda c, a, b: a if c != 0 else b,
    "lt": lambda a, b: float(a < b),
    "le": lambda a, b: float(a <= b),
    "gt": lambda a, b: float(a > b),
    "ge": lambda a, b: float(a >= b),
    "eq": lambda a, b: float(a == b),
    "ne": lambda a, b: float(a != b),
    "stop": lambda a: a,
}
"""What each function means, said a second time with Python's own numbers."""

ordinary = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


def value(e: Expression, at: dict[str, float]) -> float:
    if isinstance(e, Constant):
        return e.value
    if isinstance(e, Variable):
        return at[e.name]
    if e.function == "where":  # the branch not taken may have no value
        return value(e.arguments[1] if value(e.arguments[0], at) != 0 else e.arguments[2], at)
    return MEANING[e.function](*(value(a, at) for a in e.arguments))


def positive(e: Expression) -> Expression:
    return Apply("add", (Apply("abs", (e,)), Constant(0.5)))


def _applied(parts: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """One more function around expressions, arguments kept where it has a value; as written, not simplified."""

    def one(name: str) -> st.SearchStrategy[Expression]:
        if name in ("log", "sqrt"):
            return parts.map(lambda a: Apply(name, (positive(a),)))
        if name == "log1p":
            return parts.map(lambda a: Apply(name, (Apply("abs", (a,)),)))
        if name == "div":
            return st.tuples(parts, parts).map(lambda p: Apply(name, (p[0], positive(p[1]))))
        if name == "pow":
            numbers = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]).map(Constant)
            powers = st.one_of(numbers, parts.map(lambda a: Apply("tanh", (a,))))
            return st.tuples(parts, powers).map(lambda p: Apply(name, (positive(p[0]), p[1])))
        return st.tuples(*[parts] * FUNCTIONS[name].arity).map(lambda p: Apply(name, p))

    return st.sampled_from([n for n in FUNCTIONS if n != "stop"]).flatmap(one)


leaves = st.one_of(
    st.sampled_from(NAMES).map(Variable),
    st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0]).map(Constant),
)
expressions = st.recursive(leaves, _applied, max_leaves=8)
points = st.fixed_dictionaries({n: st.floats(-2, 2).map(lambda v: round(v, 3)) for n in NAMES})


def simplified(e: Expression) -> Expression:
    return apply(e.function, *(simplified(a) for a in e.arguments)) if isinstance(e, Apply) else e


def test_every_function_has_a_meaning_here() -> None:
    assert set(MEANING) == set(FUNCTIONS)


@ordinary
@given(expressions, points)
def test_simplification_keeps_the_value(e: Expression, at: dict[str, float]) -> None:
    try:
        expected = value(e, at)
    except OverflowError:
        assume(False)
    assume(abs(expected) < 1e8)
    try:
        found = value(simplified(e), at)
    except OverflowError:
        assume(False)
    # Rounding may tip a comparison; then both sides of the tie are right, and x moved a little shows it.
    if not math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9):
        moved = {n: v + 1e-7 for n, v in at.items()}
        assert math.isclose(value(simplified(e), moved), value(e, moved), rel_tol=1e-9, abs_tol=1e-9)


@ordinary
@given(expressions, points)
def test_derivative_is_the_finite_difference(e: Expression, at: dict[str, float]) -> None:
    at = {"x": at["x"] + 0.0137, "y": at["y"] + 0.0291}  # off the kinks that x = y and whole numbers love
    derivative = differentiate(e, "x")

    def numeric(h: float) -> float:
        f = {k: value(e, at | {"x": at["x"] + k * h}) for k in (-2, -1, 1, 2)}
        return (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)

    try:
        coarse, fine, size = numeric(2e-3), numeric(1e-3), abs(value(e, at))
    except OverflowError:
        assume(False)
    assume(size < 1e4 and abs(coarse - fine) <= 1e-7 * (1 + abs(fine)))  # smooth around here
    assert value(derivative, at) == pytest.approx(fine, rel=1e-5, abs=1e-6 * (1 + size))


@ordinary
@given(expressions)
def test_text_is_read_back_as_the_same_expression(e: Expression) -> None:
    e = simplified(e)
    assume(all(math.isfinite(x.value) for x in walk(e) if isinstance(x, Constant)))
    assert parse(source(e), NAMES) == e


@pytest.mark.parametrize("name", [n for n, f in FUNCTIONS.items() if f.arity == 1 and n != "stop"])
def test_each_function_of_one_argument(name: str) -> None:
    slope = differentiate(apply(name, Variable("x")), "x")
    for x in (0.3, 1.7):
        numeric = (MEANING[name](x + 1e-6) - MEANING[name](x - 1e-6)) / 2e-6
        assert value(slope, {"x": x}) == pytest.approx(numeric, rel=1e-8, abs=1e-9)


def test_stop_is_a_constant_to_the_derivative() -> None:
    assert differentiate(parse("stop(x) * x", NAMES), "x") == parse("stop(x)", NAMES)


def test_a_branch_not_taken_does_no_harm() -> None:
    """where(x > 0, log(x), 0) has the slope 0 at -1 and at 0, not 0 · inf."""
    slope = differentiate(parse("where(x > 0, log(x), 0)", NAMES), "x")
    assert value(slope, {"x": -1.0}) == 0 and value(slope, {"x": 2.0}) == 0.5


@pytest.mark.parametrize(
    ("text", "derivative"),
    [
        ("x ** 3", "3 * x ** 2"),
        ("exp(2 * x)", "2 * exp(2 * x)"),
        ("tanh(x)", "1 - tanh(x) ** 2"),
        ("sigmoid(x)", "sigmoid(x) * (1 - sigmoid(x))"),
        ("softplus(x)", "sigmoid(x)"),
        ("abs(x)", "sign(x)"),
        ("max(x, 0)", "where(x > 0, 1, 0)"),
        ("(x - y) ** 2", "2 * (x - y)"),
        ("y * log(x)", "y / x"),
        ("x - 3", "1"),
    ],
)
def test_a_derivative_reads_as_a_person_would_write_it(text: str, derivative: str) -> None:
    assert differentiate(parse(text, NAMES), "x") == parse(derivative, NAMES)


def test_a_callable_and_its_text_are_one_formula() -> None:
    f = functions
    pairs = [
        (lambda z: z * f.sigmoid(z), "z * sigmoid(z)"),
        (lambda z: f.where(z > 0, z, 0.1 * z), "where(z > 0, z, 0.1 * z)"),
        (lambda z: 1 / (1 + abs(z)) - 2**z, "1 / (1 + abs(z)) - 2 ** z"),
        (lambda z: f.exp(z - f.max(z)) / f.sum(f.exp(z - f.max(z))), "exp(z - max(z)) / sum(exp(z - max(z)))"),
        (lambda z: np.float32(2) * z + np.int64(1), "2 * z + 1"),
        (lambda z, k=3: k * z, "3 * z"),
    ]
    for given_, text in pairs:
        assert formula(given_, ("z",)) == parse(text, ("z",))


def test_every_known_function_can_be_called_from_text() -> None:
    three, two = ("where", "clip"), ("maximum", "minimum", "eq", "ne", "pow")
    for name in known_functions():
        arguments = ", ".join("x" for _ in range(3 if name in three else 2 if name in two else 1))
        assert variables(parse(f"{name}({arguments})", NAMES)) in (("x",), ()), name
    assert isinstance(parse("sum(x, 'rows')", NAMES), Reduction)
    assert (
        parse("sum(x, over='columns')", NAMES)
        == parse("sum(x, 1)", NAMES)
        == Reduction("sum", "columns", Variable("x"))
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("z * sigmoyd(z)", "Did you mean 'sigmoid'"),
        ("zz + 1", "Unknown name 'zz'. Did you mean 'z'"),
        ("z +", "does not parse"),
        ("z z", "does not parse"),
        ("", "does not parse"),
        ("z if z > 0 else 0", "if z > 0 else 0"),
        ("z and 1", "z and 1"),
        ("0 < z < 1", "0 < z < 1"),
        ("z.real", "z.real"),
        ("z[0]", "z[0]"),
        ("[z]", "[z]"),
        ("lambda: z", "lambda"),
        ("__import__('os').system('true')", "may hold numbers"),
        ("True", "True"),
        ("'z'", "'z'"),
        ("1j * z", "1j"),
        ("exp(z, z)", "exp does not take 2 argument"),
        ("exp()", "exp does not take 0 argument"),
        ("where(z, 1)", "where does not take 2 argument"),
        ("sum(z, 'row')", "'rows', 'columns' or 'all'"),
        ("sum(z, axis=0)", "only over="),
        ("sum(*z)", "*z"),
        ("exp(base=z)", "only over="),
        ("1e999 * z", "must be finite"),
        ("1" + "0" * 400, "must be finite"),
        ("+".join(["z"] * 450), "levels deep"),
        ("(" * 300 + "z" + ")" * 300, "does not parse"),
        ("z" + "\0", "does not parse"),
    ],
)
def test_a_bad_formula_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text, ("z",))
    message = str(caught.value)
    assert says in message and len(message) < 700 and "\n" not in message


def _branches(z: Expression) -> object:
    return z if z > 0 else 0 * z


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        (lambda z: np.exp(z), "chainrule.functions"),
        (lambda z: z / np.sum(z), "chainrule.functions"),
        (lambda z: z - np.mean(z), "chainrule.functions"),
        (lambda z: np.array(z), "chainrule.functions"),
        (lambda z: np.where(z > 0, z, 0), "chainrule.functions"),
        (np.tanh, "chainrule.functions"),
        (math.exp, "chainrule.functions"),
        (math.log, "chainrule.functions"),
        (lambda z: math.sqrt(z), "chainrule.functions"),
        (_branches, "where(condition, a, b)"),
        (lambda z: z and 1, "where(condition, a, b)"),
        (lambda z: max(z, 0), "where(condition, a, b)"),
        (lambda z: functions.where(z == 0, 1, z), "eq(a, b)"),
        (lambda z: z + None, "NoneType"),
        (lambda z: None, "NoneType"),
        (lambda z: "z", "str"),
        (lambda z: z.exp(), "chainrule.functions"),
        (lambda z: z * math.nan, "finite"),
        (lambda: 1, "1 argument(s): z"),
        (lambda z, y: z + y, "1 argument(s): z"),
        (lambda z: Variable("q") + z, "'q'"),
        (lambda z: functions.sum(z, 2), "'rows', 'columns' or 'all'"),
        (3, "Got int"),
        (None, "Got NoneType"),
    ],
)
def test_a_callable_that_is_no_formula_says_so(given_: object, says: str) -> None:
    with pytest.raises(FormulaError) as caught:
        formula(given_, ("z",))  # type: ignore[arg-type]
    assert says in str(caught.value)


def test_the_formula_of_one_sample_cannot_reduce_over_samples() -> None:
    with pytest.raises(FormulaError, match="one sample"):
        cr.Network(2, [cr.Dense(2, cr.Activation("z - mean(z, 'rows')"))], "squared_error")
    with pytest.raises(FormulaError, match=r"use Cost\(\.\.\.\)"):
        cr.Network(2, [cr.Dense(2)], cr.Loss("(yhat - mean(yhat, 'rows')) ** 2"))


def test_a_cost_must_be_one_number() -> None:
    with pytest.raises(FormulaError, match=r"one number for the whole batch. Got \(m, 2\)"):
        cr.Network(2, [cr.Dense(2)], cr.Cost("(yhat - y) ** 2"))


def test_children_and_walk_agree() -> None:
    e = parse("where(x > 0, sum(x * y), 3)", NAMES)
    assert [type(c).__name__ for c in children(e)] == ["Apply", "Reduction", "Constant"]
    assert sum(1 for _ in walk(e)) == 8  # x, which is there twice, once


def test_zeros_of_either_sign_are_kept_apart() -> None:
    e = parse("max(0.5 * x, -0.5 * x)", NAMES)
    slope = differentiate(e, "x")
    both = [x.value for x in walk(slope) if isinstance(x, Constant) and x.value == 0]
    assert sorted(math.copysign(1, v) for v in both) == [-1, 1]
    assert replace(slope, {Variable("y"): Variable("x")}) == slope
    assert Constant(0.0) != Constant(-0.0) and Constant(0.0) == Constant(0.0)
