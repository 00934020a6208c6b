"""Notations: goldens of the texts' systems; every operation, function, network and optimizer in every notation."""

from __future__ import annotations

import itertools
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

import pytest
from systems import SYSTEMS

import chainrule as cr
from chainrule.describe.activations import ACTIVATIONS
from chainrule.describe.canonical import canonical_pairs
from chainrule.describe.optimizers import OPTIMIZERS
from chainrule.notation import FORMATS, MATHEMATICAL, notation_names, show, views
from chainrule.notation.latex import COMMANDS
from chainrule.notation.lines import FAMILIAR, USUAL
from chainrule.notation.reasons import RULES
from chainrule.program.op import OPERATIONS, OverShards
from chainrule.program.scalar import FUNCTIONS, Apply
from chainrule.program.walk import walk
from problems import PROBLEMS, in_turn

GOLDENS = Path(__file__).parent / "goldens"
UPDATE = bool(os.environ.get("CHAINRULE_UPDATE_GOLDENS"))
"""CHAINRULE_UPDATE_GOLDENS=1 writes the goldens anew; read each difference before it is kept."""


@pytest.mark.parametrize("notation", notation_names())
@pytest.mark.parametrize("name", SYSTEMS)
def test_golden(name: str, notation: str) -> None:
    text = SYSTEMS[name].program.show(notation) + "\n"
    path = GOLDENS / f"{name}.{notation}.txt"
    if UPDATE:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


FORMULAS = {
    ("row", "digits"): [
        "Z⁽¹⁾ = A⁽⁰⁾ W⁽¹⁾ + b⁽¹⁾",
        "∂𝓛/∂Z⁽²⁾ = A⁽²⁾ − Y",
        "∂𝓛/∂W⁽²⁾ = (1/m) (A⁽¹⁾)ᵀ ∂𝓛/∂Z⁽²⁾",
        "∂𝓛/∂A⁽¹⁾ = ∂𝓛/∂Z⁽²⁾ (W⁽²⁾)ᵀ",
        "∂𝓛/∂Z⁽¹⁾ = ∂𝓛/∂A⁽¹⁾ ⊙ A⁽¹⁾ ⊙ (1 − A⁽¹⁾)",
        "W⁽¹⁾ := W⁽¹⁾ − α ∂𝓛/∂W⁽¹⁾",
    ],
    ("column", "regularised"): [
        "Z^[1] = W^[1] A^[0] + b^[1]",
        "J = (1/m) Σ_i L + (λ/(2 m)) (‖W^[1]‖² + ‖W^[2]‖² + ‖W^[3]‖²)",
        "Δ^[2] = ∇_{A^[2]}J ⊙ g^[2]′(Z^[2])",
        "∂J/∂W^[2] = (1/m) Δ^[2] (A^[1])ᵀ + (λ/m) W^[2]",
        "∂J/∂b^[2] = (1/m) Σ_i Δ^[2]",
        "∇_{A^[1]}J = (W^[2])ᵀ Δ^[2]",
    ],
    ("index", "general"): [
        "z_{j,i}^[1] = Σ_k w_{j,k}^[1] a_{k,i}^[0] + b_j^[1]",
        "∂J/∂w_{j,k}^[1] = Σ_i ∂J/∂z_{j,i}^[1] a_{k,i}^[0]",
        "∂J/∂b_j^[1] = Σ_i ∂J/∂z_{j,i}^[1]",
        "∂J/∂z_{j,i}^[1] = Σ_p ∂J/∂a_{p,i}^[1] ∂a_{p,i}^[1]/∂z_{j,i}^[1]",
        "∂J/∂a_{k,i}^[0] = Σ_j ∂J/∂z_{j,i}^[1] w_{j,k}^[1]",
        "∂a_{p,i}^[2]/∂z_{j,i}^[2] = a_{p,i}^[2] δ_{p,j} − a_{p,i}^[2] a_{j,i}^[2]",
    ],
    ("layer", "least_squares"): [
        "z₁ = W₀ a₀",
        "a₁ = σ(z₁)",
        "∂E/∂z₃ = 2 (z₃ − y)ᵀ",
        "∂E/∂z₁ = ∂E/∂a₁ diag(σ′(z₁))",
        "∂E/∂W₀ = (∂E/∂z₁)ᵀ a₀ᵀ",
        "∂E/∂a₁ = ∂E/∂z₂ W₁",
        "dW₀ = −m ∂E/∂W₀",
    ],
    ("batch", "names"): [
        "X⁽¹⁾ = σ(Z⁽¹⁾)",
        "G⁽²⁾ = X⁽²⁾ − Y",
        "J(L)(W⁽²⁾) = (G⁽²⁾)ᵀ X⁽¹⁾",
        "J(L)(b⁽²⁾) = Σ_i G⁽²⁾",
        "J(L)(X⁽¹⁾) = G⁽²⁾ W⁽²⁾",
        "J(L)(E) = J(L)(X⁽⁰⁾) added into rows X",
    ],
    ("numpy", "digits"): ["dW2 = A1.T @ dZ2", "dZ2 = (A2 - Y) / m", "W1 = W1 - lr * dW1"],
}
"""What a reader of each text looks for."""


@pytest.mark.parametrize(("notation", "name"), FORMULAS)
def test_the_texts_own_formulas(notation: str, name: str) -> None:
    text = SYSTEMS[name].program.show(notation)
    for formula in FORMULAS[notation, name]:
        assert re.search(rf"^ +{re.escape(formula)}(  |$| = )", text, re.MULTILINE), formula


def test_where_the_mean_stands() -> None:
    program = SYSTEMS["digits"].program
    assert "∂𝓛/∂Z⁽²⁾ = (1/m) (A⁽²⁾ − Y)" in program.show("row", mean_at="cost")
    assert "∂𝓛/∂W⁽²⁾ = (A⁽¹⁾)ᵀ ∂𝓛/∂Z⁽²⁾" in program.show("row", mean_at="cost")
    assert "∂J/∂z_{j,i}^[2] = a_{j,i}^[2] − y_{j,i}" in program.show("index", mean_at="weights")


def prints(number: int, notations: Iterable[str]) -> None:
    """Everything prints; MathML is well formed; LaTeX holds only known commands, and its braces match."""
    problem = PROBLEMS[number]
    targets = "labels" if problem.targets == "labels" else "values"
    net = problem.network()
    optimizer = list(OPTIMIZERS.values())[number % len(OPTIMIZERS)]()
    program = net.derive(
        optimizer=optimizer, targets=targets, weighted=problem.weighted, canonical=number % 2 == 0
    )  # fmt: skip
    for notation in notations:
        made = views(program, notation)
        assert {v.section for v in made} == {"forward", "cost", "backward", "update"}
        defined = [t for v in made for t in v.targets]
        assert set(defined) >= {g.name for _, g in program.gradients}
        for view in made:
            ElementTree.fromstring(view.mathml)
            held = set(re.findall(r"\\(?:[a-zA-Z]+|.)", view.latex))
            assert held <= COMMANDS | {r"\{", r"\}", r"\_"}, held - COMMANDS
            assert view.latex.isascii(), view.latex
            bare = re.sub(r"\\[{}]", "", view.latex)
            assert bare.count("{") == bare.count("}")
            assert view.latex.count(r"\left") == view.latex.count(r"\right")
            assert "None" not in view.unicode and "  " not in view.unicode.strip()
    compile(show(program, "numpy"), "step", "exec")


@pytest.mark.parametrize("number", in_turn(range(len(PROBLEMS)), 0))
def test_every_network_in_every_format(number: int) -> None:
    """In one notation each; in all of them with `pytest -m long`."""
    prints(number, [list(MATHEMATICAL)[number % len(MATHEMATICAL)]])


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(PROBLEMS)))
def test_every_network_in_every_notation_and_format(number: int) -> None:
    prints(number, MATHEMATICAL)


def test_every_operation_and_function_is_among_them() -> None:
    """So that the test above walks each of them through every notation."""
    programs = [
        p.network().derive(optimizer=cr.SGD(), targets="labels" if p.targets == "labels" else "values")
        for p in PROBLEMS
    ]
    equations = [e for program in programs for e in program.equations]
    assert {type(e.op) for e in equations} | {OverShards} == set(OPERATIONS)  # that one is in group/test_shards.py
    used = {
        x.function
        for e in equations
        if hasattr(e.op, "expression")
        for x in walk(e.op.expression)
        if isinstance(x, Apply)
    }
    assert set(FUNCTIONS) - used <= {"lt", "ge", "ne", "sign", "minimum", "expm1", "log1p"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_scalar_function_in_every_notation(function: str) -> None:
    z = cr.functions.sigmoid  # any expression in z will do
    arguments = [cr.Activation(z).expression, 2.0, 3.0][: FUNCTIONS[function].arity]
    from chainrule.program.scalar import apply, as_expression

    made = apply(function, *(as_expression(a) for a in arguments))
    activation = cr.Activation(made + cr.Activation("z").expression, name="own")
    program = cr.derive(cr.NetworkSpec(3, [cr.Dense(4, activation), cr.Dense(2)], "squared_error"))
    turn = list(FUNCTIONS).index(function)
    for number, (notation, format) in enumerate(itertools.product(notation_names(), FORMATS)):
        if format != "unicode" and number % 3 != turn % 3:
            continue
        text = show(program, notation, format)
        assert "Apply(" not in text and len(text) > 100, (notation, format)


def drawn(name: str, notation: str) -> None:
    """Parses and lays out every line with matplotlib's TeX mathematics."""
    mathtext = pytest.importorskip("matplotlib.mathtext", reason="matplotlib is not installed (the extra `report`)")
    parser = mathtext.MathTextParser("path")
    lines = {re.sub(r"\d+", "1", view.latex): view.latex for view in views(SYSTEMS[name].program, notation)}
    for latex in lines.values():  # one of each form
        parser.parse(f"${latex}$")


@pytest.mark.parametrize(("notation", "name"), [pair for pair in FORMULAS if pair[0] != "numpy"])
def test_latex_is_drawn_by_mathtext(notation: str, name: str) -> None:
    """Every line of each text's system in its own notation; all of them with `pytest -m long`."""
    drawn(name, notation)


@pytest.mark.long
@pytest.mark.parametrize("notation", MATHEMATICAL)
@pytest.mark.parametrize("name", SYSTEMS)
def test_all_latex_is_drawn_by_mathtext(name: str, notation: str) -> None:
    drawn(name, notation)


def test_markdown_has_headings_and_display_formulas() -> None:
    text = SYSTEMS["regularised"].program.show("column", "markdown", why=True)
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == ["# Samples are columns", "## Forward", "## Cost", "## Backward", "## Update"]
    assert r"$$Z^{[1]} = W^{[1]} \, A^{[0]} + b^{[1]}$$" in text and "*activation: tanh*" in text


@pytest.mark.parametrize("notation", notation_names())
def test_each_line_says_why(notation: str) -> None:
    for system in SYSTEMS.values():
        for view in views(system.program, notation):
            assert view.why, view.unicode
    text = SYSTEMS["regularised"].program.show("column", why=True)
    assert "product rule" in text and "through A^[2] = g^[2](Z^[2])" in text


def test_every_rule_is_explained() -> None:
    rules = {e.rule for p in PROBLEMS for e in p.network().program.equations}
    rules |= {e.rule for s in SYSTEMS.values() for e in s.program.equations}
    named = {
        *ACTIVATIONS,
        *(p.loss if isinstance(p.loss, str) else p.loss.name for p in PROBLEMS if not callable(p.loss)),
    }
    unknown = {r for r in rules - set(RULES) - named if "(" not in r and "*" not in r and " " not in r}
    assert unknown <= {"own", "softmax", "cross_entropy", "squared_error"}, unknown
    assert {pair.name for pair in canonical_pairs().values()} <= set(RULES) and set(USUAL) <= set(RULES)


def test_every_activation_over_a_row_says_its_jacobian() -> None:
    assert set(FAMILIAR) == {a.name for a in ACTIVATIONS.values() if a.vector_valued}


def test_what_is_not_known_is_refused_with_the_known() -> None:
    program = SYSTEMS["eight"].program
    with pytest.raises(cr.SpecError, match=r"Unknown notation 'colum'\. Did you mean 'column'\? Known: batch, column"):
        program.show("colum")
    with pytest.raises(cr.SpecError, match=r"Unknown format 'latx'\. Did you mean 'latex'\?"):
        program.show("row", "latx")
    with pytest.raises(cr.SpecError, match="Known: cost, weights"):
        program.show("row", mean_at="here")
    with pytest.raises(cr.SpecError, match="Unknown notation"):
        views(program, "Row")


def test_network_show_is_the_same() -> None:
    system = SYSTEMS["regularised"]
    assert system.network().show("layer", optimizer=system.optimizer) == system.program.show("layer")


def test_a_forward_program_alone_prints() -> None:
    program = SYSTEMS["digits"].program
    forward = cr.Program(program.given, program.forward, program.prediction)
    for notation in notation_names():
        assert "Z" in forward.show(notation).upper()


@pytest.mark.parametrize("notation", MATHEMATICAL)
def test_values_beside_each_other_are_written_apart(notation: str) -> None:
    """Of several inputs each keeps its name, and what an embedding gives is not called as a layer's activation is."""
    columns = [cr.Take("numbers"), cr.Dense(3, "relu")], [cr.Take("kinds"), cr.Embedding(dimension=3)]
    net = cr.Network({"numbers": 2, "kinds": [4, 3]}, [cr.Branches(*columns), cr.Dense(1)], "squared_error")
    forward = [view.unicode for view in views(net.program, notation) if view.section == "forward"]
    signs = [text.split(" = ")[0] for text in forward]
    assert len(set(signs)) == len(signs)
    assert any("numbers" in text for text in forward) and any("kinds" in text for text in forward)
