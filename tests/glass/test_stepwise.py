"""The steps of a gradient: true line by line, printed in every notation, and an exercise that numbers judge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.errors import SpecError
from chainrule.glass.stepwise import disagreements
from chainrule.notation import MATHEMATICAL
from chainrule.program.scalar import Constant, Variable
from chainrule.rules.steps import Chain, Line, Multiplied, Slope, Step, Substituted, Value, long_form, steps
from problems import PROBLEMS

PAIRS = [
    ("tanh", 1, "sigmoid", "binary_cross_entropy", {}),
    ("relu", 3, "softmax", "cross_entropy", {"l2": 0.3}),
    ("gelu", 2, "identity", "squared_error", {"l1": 0.1, "l2": 0.3}),
]


def program(hidden: str = "tanh", width: int = 1, last: str = "sigmoid", loss: str = "binary_cross_entropy",
            **options: Any) -> cr.Program:  # fmt: skip
    layers = [cr.Dense(4, hidden), cr.Dense(width, last)]
    return cr.Network(3, layers, loss, engine="reference", **options).derive()


@pytest.mark.parametrize(("hidden", "width", "last", "loss", "options"), PAIRS)
def test_every_step_is_true(hidden: str, width: int, last: str, loss: str, options: dict[str, Any]) -> None:
    derived = program(hidden, width, last, loss, **options)
    for name in ("dW1", "db2"):
        said = steps(derived, name)
        assert disagreements(said) == []
        assert said.steps[-1].right == Line(next(e for e in derived.backward if e.target.name == name))


def test_the_steps_of_the_text() -> None:
    """The definition, the factors, their product put in and simplified, and the program's line."""
    lines = [v.unicode.strip() for v in program().steps("dW2").views]
    assert lines == [
        "∂𝓛/∂W⁽²⁾ = ∂𝓛/∂A⁽²⁾ · ∂A⁽²⁾/∂Z⁽²⁾ · ∂Z⁽²⁾/∂W⁽²⁾",
        "∂𝓛/∂A⁽²⁾ = −(1/m) (Y / A⁽²⁾ − (1 − Y) / (1 − A⁽²⁾))",
        "∂A⁽²⁾/∂Z⁽²⁾ = A⁽²⁾ ⊙ (1 − A⁽²⁾)",
        "∂𝓛/∂Z⁽²⁾ = ∂𝓛/∂A⁽²⁾ · ∂A⁽²⁾/∂Z⁽²⁾",
        "= −(1/m) (Y / A⁽²⁾ − (1 − Y) / (1 − A⁽²⁾)) ⊙ A⁽²⁾ ⊙ (1 − A⁽²⁾)",
        "= (1/m) (A⁽²⁾ − Y)",
        "∂Z⁽²⁾/∂W⁽²⁾ = A⁽¹⁾",
        "∂𝓛/∂W⁽²⁾ = ∂𝓛/∂Z⁽²⁾ · ∂Z⁽²⁾/∂W⁽²⁾",
        "= (A⁽¹⁾)ᵀ ∂𝓛/∂Z⁽²⁾",
    ]
    index = str(program().steps("dW2", "index"))
    assert "Σ_{i,p} ∂J/∂z_{p,i}^[2] δ_{p,j} a_{k,i}^[1]" in index and "p ≠ j vanish" in index
    assert "(1 × 1) · (1 × 1) · (1 × (1 × 4))" in str(program().steps("dW2", "layer"))


@pytest.mark.parametrize("kind", [Line, Slope, Multiplied, Chain, Substituted])
def test_a_planted_wrong_step_is_found(kind: type) -> None:
    said = steps(program(), "dW1")
    place = next(k for k, s in enumerate(said.steps) if isinstance(s.right, kind))
    step = said.steps[place]
    product, dW2 = getattr(step.right, "product", None), said.program.symbol("dW2")
    wrong: Any = {
        Line: lambda: Substituted(2 * Variable("dA2")),
        Slope: lambda: replace(step.right, expression=step.right.expression * Constant(1.001)),  # type: ignore[union-attr]
        Multiplied: lambda: replace(step.right, product=replace(product, operands=(product.operands[0], dW2))),
        Chain: lambda: Chain(step.right.ways * 2),  # type: ignore[union-attr]
        Substituted: lambda: Substituted(step.right.expression - Constant(1e-3)),  # type: ignore[union-attr]
    }[kind]()
    planted = (*said.steps[:place], replace(said.steps[place], right=wrong), *said.steps[place + 1 :])
    assert disagreements(replace(said, steps=planted)) == [place]


def test_the_long_form_has_the_same_gradients() -> None:
    derived = program("relu", 3, "softmax", "cross_entropy")
    long = long_form(derived)
    assert "dA2" in long.symbols and "dA2" not in derived.symbols
    said = steps(derived, "dW1")
    same = tuple(Step(Value(g), Line(next(e for e in long.backward if e.target == g), long=True), "")
                 for _, g in derived.gradients)  # fmt: skip
    assert disagreements(replace(said, steps=same)) == []


def test_an_exercise() -> None:
    exercise = program().exercise("dW2")
    assert exercise.hidden == (2, 5, 6, 9) and str(exercise).count("= ?") == 4
    assert (
        exercise.answer(6, "(A2 - Y) / m") and exercise.answer(9, "A1.T @ dZ2") and exercise.answer(5, "dA2*A2*(1-A2)")
    )
    assert exercise.answer(5, "dA2 ⊙ A2 ⊙ (1 − A2)") and exercise.answer(9, "A1ᵀ @ dZ2")
    assert exercise.answer(6, "A2 - Y").message == "Its numbers are not those of the line."
    assert "shape (3, 1), the line (4, 1)" in exercise.answer(9, "dZ2").message
    assert "do not fit" in exercise.answer(9, "A1 @ dZ2").message and not exercise.answer(9, "A1.T @@ 2")
    with pytest.raises(SpecError, match="2, 5, 6, 9"):
        exercise.answer(1, "0")
    with pytest.raises(SpecError, match="may be hidden: 2, 5, 6, 9"):
        program().exercise("dW2", [1])


@pytest.mark.parametrize(("step", "answer"), [(9, "dW2"), (6, "dZ2"), (5, "dZ2 + 0 * A2"), (2, "dA2"), (2, "dZ2/A2")])
def test_what_is_to_be_found_is_no_answer(step: int, answer: str) -> None:
    judged = program().exercise("dW2").answer(step, answer)
    assert not judged and "is what is to be found, or comes later" in judged.message


@pytest.mark.parametrize(
    ("notation", "right", "wrong"),
    [
        ("row", "X.T @ dZ1", "dZ1 @ X.T"),
        ("column", "dZ1 @ X.T", "X @ dZ1.T"),
        ("index", "dZ1 @ X.T", "X @ dZ1.T"),
        ("layer", "dZ1.T @ X.T", "dZ1 @ X.T"),
        ("batch", "dZ1.T @ X", "dZ1 @ X.T"),
    ],
)
def test_an_answer_may_be_in_the_notations_own_convention(notation: str, right: str, wrong: str) -> None:
    layers = [cr.Dense(5, "tanh"), cr.Dense(1, "sigmoid")]
    derived = cr.Network(4, layers, "binary_cross_entropy", engine="reference").derive()
    exercise = derived.exercise("dW1", notation=notation)
    last = exercise.hidden[-1]
    assert exercise.answer(last, right) and exercise.answer(last, "X.T @ dZ1") and not exercise.answer(last, wrong)
    summed = derived.exercise("db1", notation=notation)
    assert summed.answer(summed.hidden[-1], 'sum(dZ1, "rows")')
    assert bool(summed.answer(summed.hidden[-1], 'sum(dZ1, "columns")')) == (notation in ("column", "index"))


def test_an_exercise_is_a_sheet_in_every_format() -> None:
    exercise = program().exercise("dW2")
    for format, sign in (
        ("unicode", "= ?"),
        ("latex", r"\mathrm{?}"),
        ("markdown", r"\mathrm{?}"),
        ("mathml", "<mtext>?"),
    ):
        assert exercise.show(format).count(sign) == 4, format


def test_gradients_by_values_have_steps_too() -> None:
    """The last line is the program's; a chain of two factors is not said twice."""
    for name in ("dZ1", "dA1", "dZ2", "dX"):
        said = steps(program(), name)
        assert disagreements(said) == [], name
        assert said.steps[-1].right == Line(next(e for e in said.program.backward if e.target.name == name))
    assert [s.why for s in steps(program(), "dZ2").steps].count("chain rule") == 0
    assert len(steps(program(last="identity", loss="squared_error"), "dZ2").steps) == 1


@pytest.mark.parametrize(
    ("notation", "reduction", "elsewhere"),
    [("row", "mean", True), ("column", "mean", True), ("index", "mean", False), ("row", "sum", False)],
)
def test_where_the_mean_is_is_said(notation: str, reduction: str, elsewhere: bool) -> None:
    """Where the derivation in the same notation has 1/m elsewhere, and only there."""
    worked = program(reduction=reduction).steps("dW2", notation)
    assert bool(worked.remark) == elsewhere == ("1/m stands in" in worked.show().splitlines()[0])


def test_reasons_are_printed_in_latex() -> None:
    text = program("tanh", 3, "softmax", "cross_entropy").steps("dW1", "index").show("latex")
    assert "1. chain rule: $w^{[1]}$ acts on $J$ through $z^{[1]}$" in text
    assert r"the terms with $p \neq j$ vanish, for $\delta$ is 0 there" in text
    text = program().steps("dW2").show("latex")
    assert r" \cdot \frac" in text and not any(ord(c) > 127 for c in text)


def test_what_is_not_known_is_said() -> None:
    with pytest.raises(SpecError, match="dA1, dW1, dW2, dX, dZ1, dZ2, db1, db2"):
        program().steps("dW3")
    for code in ("numpy", "javascript"):
        with pytest.raises(SpecError, match=f"{code} is code. Choose one of row, column"):
            program().steps("dW1", code)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> str:
        assert main(list(words)) == 0
        return capsys.readouterr().out

    network = ["derive", "--inputs", "3", "--hidden", "4", "--outputs", "1", "--loss", "binary_cross_entropy"]
    assert "simplified" in run(*network, "--steps", "dW2")
    sheet = run(*network, "--exercise", "dW2", "-n", "column")
    assert "= ?" in sheet and "samples as rows, or all as in this notation" in sheet
    assert run(*network, "--exercise", "dW2", "-F", "latex").count(r"\mathrm{?}") == 4
    told = run(*network, "--exercise", "dW2", "--answer", "9=A1.T @ dZ2", "--answer", "6=A2 - Y")
    assert told.splitlines() == ["9. Right.", "6. Its numbers are not those of the line."]


@pytest.mark.parametrize("notation", MATHEMATICAL)
def test_every_notation_and_format(notation: str) -> None:
    net = cr.Network(3, [cr.Dense(4), cr.BatchNorm("relu"), cr.Dropout(0.3), cr.Dense(3, "softmax")], "cross_entropy",
                     engine="reference")  # fmt: skip
    worked = net.derive().steps("dW1", notation)
    if notation == "index":  # the normalisation alone mixes samples
        first = worked.views[0].unicode
        assert "∂n_{r,t}^[1]/∂c_{q,s}^[1] ∂c_{q,s}^[1]/∂z_{p,i}^[1]" in first and first.count("Σ_{i,s,t,p,q,r") == 1
    for format in ("unicode", "latex", "markdown", "mathml"):
        assert worked.show(format).count("\n") >= len(worked.steps.steps) - 1


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(PROBLEMS)))
def test_the_steps_of_every_network(number: int) -> None:
    problem = PROBLEMS[number]
    net = problem.network("reference")
    X, y, w = problem.data()
    targets: Any = "labels" if problem.targets == "labels" else "values"
    derived = net.derive(targets=targets, weighted=problem.weighted)
    if isinstance(X, np.ndarray) and isinstance(y, np.ndarray):  # few samples: a factor is differences by each element
        X, y, w = X[:3], y[:3], None if w is None else w[:3]
    data, _ = net._data(X, y, w)
    values = net._given(data, 1)
    for _, gradient in derived.gradients:
        said = steps(derived, gradient.name)
        for notation in MATHEMATICAL:
            derived.steps(gradient.name, notation).show()
        assert [said.steps[k] for k in disagreements(said, values)] == [], gradient.name


def test_a_symbol_used_twice() -> None:
    """Its ways to J are added up, and a way goes through nothing else with a name."""
    layers = [cr.Dense(4, "relu"), cr.Residual([cr.Dense(4, "tanh")]), cr.Dense(2)]
    derived = cr.Network(3, layers, "squared_error", engine="reference").derive()
    assert disagreements(steps(derived, "dW1")) == []
    assert "used in several places" in str(derived.steps("dW1"))
