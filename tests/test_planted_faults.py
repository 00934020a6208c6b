"""Faults planted into a derived program: the gradient check catches every wrong number, `verify` every broken law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.reference import ReferenceEngine
from chainrule.errors import ProgramError
from chainrule.program import Elementwise, Equation, MatMul, Program, Reduce, Symbol, differentiate, verify
from chainrule.program.op import Gather, ScatterAdd
from chainrule.program.parse import parse
from chainrule.program.scalar import Expression, Variable
from chainrule.program.walk import replace as exchange
from chainrule.program.walk import variables
from finite_differences import TOLERANCE, disagreement

M = 6  # as many samples as features, so that a transposed product still has a shape
SPEC = cr.NetworkSpec(M, [cr.Dense(M, "tanh"), cr.Dense(M, "sigmoid"), cr.Dense(M)], "squared_error", l2=0.3)


@dataclass
class Bench:
    """A program on fixed data, and how far its gradients are from the slopes of its cost."""

    program: Program

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        self.values = {
            s.name: rng.normal(size=[M if d == "m" else d for d in s.shape]) for s in self.program.given if s.shape
        }
        self.values["m"] = np.float64(M)
        self.engine = ReferenceEngine(np.dtype(np.float64))

    def cost(self) -> float:
        return float(self.engine.run(self.program, self.values, ("J",))["J"])

    def worst(self) -> float:
        """The largest disagreement over all gradients."""
        names = {s.name: g.name for s, g in self.program.gradients}
        found = self.engine.run(self.program, self.values, tuple(names.values()))
        return max(
            disagreement(self.cost, self.values[s], np.array(found[g]), seed=k)
            for k, (s, g) in enumerate(names.items())
        )


def planted(program: Program, target: str, change: Callable[[Equation], Equation]) -> Program:
    """The program with one backward equation changed, and nothing else."""
    assert sum(e.target.name == target for e in program.backward) == 1, [str(e) for e in program.backward]
    backward = tuple(change(e) if e.target.name == target else e for e in program.backward)
    assert backward != program.backward
    return verify(replace(program, backward=backward))


def rewritten(formula: Callable[[Expression], Expression]) -> Callable[[Equation], Equation]:
    """Another expression over the same operands."""

    def change(equation: Equation) -> Equation:
        expression = formula(equation.op.expression)  # type: ignore[union-attr]
        return replace(
            equation, op=replace(equation.op, expression=expression), operands=operands(equation, expression)
        )

    return change


def operands(equation: Equation, expression: Expression) -> tuple[Symbol, ...]:
    known = {s.name: s for s in equation.operands}
    return tuple(known[n] for n in variables(expression))


def swap(**names: str) -> Callable[[Equation], Equation]:
    """Reads another symbol of the program in an operand's place."""

    def change(equation: Equation) -> Equation:
        by = {s.name: PROGRAM.symbol(names.get(s.name, s.name)) for s in equation.operands}
        op = equation.op
        if isinstance(op, Elementwise | Reduce):
            op = replace(op, expression=exchange(op.expression, {Variable(a): Variable(b) for a, b in names.items()}))
        return replace(equation, op=op, operands=tuple(by[s.name] for s in equation.operands))

    return change


def transposed(left: bool, right: bool) -> Callable[[Equation], Equation]:
    return lambda e: replace(e, op=MatMul(left, right))


PROGRAM = cr.derive(SPEC)

FAULTS: dict[str, tuple[str, Callable[[Equation], Equation]]] = {
    "wrong sign": ("dZ3", rewritten(lambda e: -e)),
    "missing 1/m": ("dZ3", rewritten(lambda e: e * Variable("m"))),
    "missing 2": ("dZ3", rewritten(lambda e: e / 2)),
    "a constant too much": ("dZ2", rewritten(lambda e: e + 1e-3)),
    "transposed product": ("dA2", transposed(False, False)),
    "transposed weight product": ("XdZ1", lambda e: replace(e, operands=e.operands[::-1])),
    "dropped penalty": ("dW2", rewritten(lambda e: e - parse("0.3 * W2 / m", ("W2", "m")))),
    "penalty without 1/m": ("dW1", rewritten(lambda e: e + parse("0.3 * W1 * (1 - 1 / m)", ("W1", "m")))),
    "swapped operand": ("dA1", swap(W2="W1")),
    "another layer's values": ("dZ2", swap(A2="A1")),
    "Z for A": ("dZ1", swap(A1="Z1")),
    "slope of another activation": (
        "dZ1",
        rewritten(lambda e: parse("dA1 * A1 * (1 - A1)", ("dA1", "A1"))),
    ),
    "slope left out": ("dZ2", rewritten(lambda e: Variable("dA2"))),
    "wrong reduction": ("db2", lambda e: replace(e, op=Reduce("max", "rows", e.op.expression))),  # type: ignore[union-attr]
    "bias gradient of another layer": ("db1", swap(dZ1="dZ2")),
    "off by a millionth": ("dW3", rewritten(lambda e: e * (1 + 1e-6))),
}


def test_the_sound_program_passes() -> None:
    assert Bench(PROGRAM).worst() <= TOLERANCE


@pytest.mark.parametrize("name", FAULTS)
def test_the_gradient_check_catches(name: str) -> None:
    target, change = FAULTS[name]
    error = Bench(planted(PROGRAM, target, change)).worst()
    assert error > 5 * TOLERANCE, f"{name} in d{target} was not noticed: {error:.1e}"


def test_the_gradient_check_catches_a_wrong_rule() -> None:
    """A slope that contradicts its own formula, as a rule and not as one equation."""
    wrong = cr.Activation("tanh(z)", slope="1 - a")
    assert Bench(cr.derive(replace_activation(wrong))).worst() > 1e-3
    right = cr.Activation("tanh(z)", slope="1 - a ** 2")
    assert Bench(cr.derive(replace_activation(right))).worst() <= TOLERANCE


def replace_activation(activation: cr.Activation) -> cr.NetworkSpec:
    return cr.NetworkSpec(M, [cr.Dense(M, activation), cr.Dense(M)], "squared_error")


def test_the_gradient_check_catches_a_lookup_into_the_wrong_rows() -> None:
    """Every token's gradient in the next row: the sum is right, the places are not."""
    net = cr.Network(3, [cr.Embedding(5, 2), cr.Dense(2)], "squared_error", dtype="float64")
    X, y = np.random.default_rng(1).integers(0, 5, (8, 3)), np.ones((8, 2))
    sound = net.gradients(X, y)["E"]
    for gradient, caught in ((sound, False), (np.roll(sound, 1, axis=0), True)):
        assert (disagreement(lambda: net.cost(X, y), net.parameters["E"], gradient) > TOLERANCE) == caught


# --- laws ----------------------------------------------------------------------------------------------------------


def _where(program: Program, section: str, position: int, equation: Equation) -> Program:
    equations = list(getattr(program, section))
    equations[position] = equation
    return replace(program, **{section: tuple(equations)})


UPDATING = cr.derive(SPEC, optimizer=cr.SGD(0.1))
FIRST, BIASED = UPDATING.forward[:2]
TOKENS = cr.derive(cr.NetworkSpec(2, [cr.Embedding(4, 3), cr.Dense(2)], "squared_error"))
E, X, B = (TOKENS.symbol(name) for name in ("E", "X", "b1"))

BROKEN: dict[str, tuple[Program, str]] = {
    "used before it is assigned": (
        replace(UPDATING, forward=UPDATING.forward[::-1]),
        "is used before it is assigned",
    ),
    "assigned twice": (replace(UPDATING, forward=(*UPDATING.forward, UPDATING.forward[1])), "Z1 is assigned twice"),
    "wrong shape": (
        _where(UPDATING, "forward", 0, replace(FIRST, target=replace(FIRST.target, shape=("m", 7)))),
        "expected the shape (m, 6), got (m, 7) for XW1",
    ),
    "overwriting outside the update": (
        replace(UPDATING, backward=(*UPDATING.backward, UPDATING.update[0])),
        "only the update may overwrite it",
    ),
    "overwritten twice": (replace(UPDATING, update=UPDATING.update * 2), "is overwritten twice"),
    "overwritten with another shape": (
        _where(UPDATING, "update", 0, Equation(Symbol("W1", (M, 1), "parameter"), Elementwise(Variable("b")),
                                               (Symbol("b", (M, 1), "parameter"),))),
        "W1 means two symbols",
    ),
    "one name, two symbols": (
        _where(UPDATING, "forward", 0, replace(FIRST, operands=(Symbol("X", ("m", M), "value"), FIRST.operands[1]))),
        "X means two symbols",
    ),
    "operands that do not fit": (
        _where(UPDATING, "forward", 0, replace(FIRST, operands=FIRST.operands[:1])),
        "MatMul cannot take X (m, 6)",
    ),
    "an operand too many": (
        _where(UPDATING, "forward", 1, replace(BIASED, operands=(*BIASED.operands, FIRST.operands[0]))),
        "Elementwise cannot take",
    ),
    "given twice": (replace(UPDATING, given=(*UPDATING.given, UPDATING.given[0])), "X is given twice"),
    "given, but made by equations": (
        replace(UPDATING, given=(*UPDATING.given, Symbol("Q", (), "value"))),
        "not given from outside",
    ),
    "a gradient of another shape": (
        replace(UPDATING, gradients=((UPDATING.symbol("W1"), UPDATING.symbol("db1")),)),
        "db1 has not the shape of W1",
    ),
    "a promise not kept": (replace(UPDATING, backward=(), update=()), "is promised and never assigned"),
    "a cost that is no scalar": (replace(UPDATING, objective=UPDATING.symbol("L")), "must be a scalar"),
    "stored but not given": (
        replace(UPDATING, update=(Equation(Symbol("V", (M,), "slot"), Elementwise(Variable("b1")),
                                           (UPDATING.symbol("b1"),)),)),
        "V is stored but not given",
    ),
    "tokens multiplied": (
        _where(TOKENS, "forward", 0, Equation(Symbol("X0", ("m", 2)), MatMul(), (X, X))),
        "MatMul cannot take",
    ),
    "looked up by what are no tokens": (
        _where(TOKENS, "forward", 0, replace(TOKENS.forward[0], operands=(E, E))),
        "Gather cannot take",
    ),
    "a lookup into a row": (
        _where(TOKENS, "forward", 0, Equation(Symbol("X0", ("m", 6)), Gather(), (B, X))),
        "Gather cannot take",
    ),
    "scattered without tokens": (
        _where(TOKENS, "forward", 0, Equation(Symbol("X0", ("m", 6)), ScatterAdd(4), (B, X))),
        "ScatterAdd cannot take",
    ),
}  # fmt: skip


def test_the_sound_programs_keep_the_laws() -> None:
    assert verify(UPDATING) is UPDATING and verify(TOKENS) is TOKENS


@pytest.mark.parametrize("name", BROKEN)
def test_verify_catches(name: str) -> None:
    program, says = BROKEN[name]
    with pytest.raises(ProgramError) as caught:
        verify(program)
    assert says in str(caught.value)


def test_the_message_shows_the_equation_and_its_neighbours() -> None:
    wrong = replace(UPDATING.forward[2], target=replace(UPDATING.forward[2].target, shape=("m", 99)))
    with pytest.raises(ProgramError) as caught:
        verify(_where(UPDATING, "forward", 2, wrong))
    lines = str(caught.value).splitlines()
    mark = next(k for k, line in enumerate(lines) if line.lstrip().startswith(">"))
    assert "A1 = tanh(Z1)   (m, 99)" in lines[mark]
    assert "Z1 = " in lines[mark - 1] and "A1 W2" in lines[mark + 1]
    assert lines[mark - 3].startswith("forward 3: ")


def test_all_faults_are_shown_at_once() -> None:
    program, _ = BROKEN["given twice"]
    with pytest.raises(ProgramError) as caught:
        verify(replace(program, update=program.update * 2))
    assert "given twice" in str(caught.value) and "overwritten twice" in str(caught.value)


def test_a_reduction_is_not_a_scalar_to_differentiate() -> None:
    with pytest.raises(cr.FormulaError, match="differentiated by the rules"):
        differentiate(parse("sum(z) * z", ("z",)), "z")
