"""Plans: they print, they keep their laws, a planted fault is caught, and what has no code is refused by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from networks import FITTINGS, Fitting
from random_networks import make

import chainrule as cr
from chainrule.engines.compiled.engine import CompiledEngine
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan import Plan, Recipe, plan
from chainrule.engines.compiled.plan.stages import Load, Product, Stage
from chainrule.engines.compiled.plan.steps import AddUp, Chunks, Meet, Run, runs, steps_of
from chainrule.engines.compiled.plan.verify import verify
from chainrule.engines.llvm import target
from chainrule.engines.reference import ReferenceEngine
from chainrule.errors import ProgramError
from chainrule.program import Elementwise, Equation, MatMul, Program, Reduce, Symbol
from chainrule.program.op import Gather, Op, ScatterAdd
from chainrule.program.parse import parse
from chainrule.program.scalar import Expression, Over

LAYOUT = PanelLayout(target.named("x86-64-v3"), "float32")
RECIPES = [Recipe(training=True, large=large, nonzero=nonzero) for large in (False, True) for nonzero in (False, True)]


def digits(recipe: Recipe) -> Plan:
    """The plan of a small network for classes, trained by Adam."""
    net = cr.Network(64, [cr.Dense(32, "relu"), cr.Dense(10, "softmax")], "cross_entropy")
    return plan(net.training_program(cr.Adam(), targets="labels"), recipe, LAYOUT)


def training(fitting: Fitting) -> Program:
    """A step of the fitting's training."""
    net = fitting.network()
    X, y, w = fitting.data()
    _, kind = net._data(X, y, w)
    return net.training_program(fitting.optimizer, targets=kind, weighted=w is not None)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize("fitting", FITTINGS, ids=str)
def test_every_equation_is_in_the_listing(fitting: Fitting, recipe: Recipe) -> None:
    program = training(fitting)
    made = plan(program, recipe, LAYOUT)
    text = str(made)
    for equation in program.equations:
        assert equation.target.name in text, text
    assert len(text.splitlines()) >= len(made.steps)


@pytest.mark.parametrize("seed", range(100, 124))
def test_plans_of_random_networks_keep_the_laws(seed: int) -> None:
    case = make(seed)
    net = case.network()
    training, full = case.training_program(net), case.program(net)
    assert full.objective is not None
    for recipe in RECIPES:
        plan(training, recipe, LAYOUT)
    plan(full, Recipe((full.objective.name, *(g.name for _, g in full.gradients)), large=True), LAYOUT)


# --- planted faults ------------------------------------------------------------------------------------------------


def broken(made: Plan, change: Callable[[list[Stage]], object]) -> Plan:
    """The plan with its stages changed, and steps to match."""
    stages = copy.copy([copy.copy(stage) for stage in made.stages])
    for stage in stages:
        stage.equations = list(stage.equations)
    change(stages)
    other = replace(made, stages=tuple(stages))
    return replace(other, steps=steps_of(other, other.memory))


def of(stages: list[Stage], name: str) -> Stage:
    """The stage that computes this."""
    return next(s for s in stages if name in s.writes())


def move(stages: list[Stage], name: str, to: int) -> None:
    """Puts the stage that computes this elsewhere."""
    stage = of(stages, name)
    stages.remove(stage)
    stages.insert(to, stage)


def into(stages: list[Stage], name: str, other: str) -> None:
    """Moves an equation to the end of another stage."""
    source, to = of(stages, name), of(stages, other)
    equation = next(e for e in source.equations if e.target.name == name)
    source.equations.remove(equation)
    to.equations.append(equation)


def other_form(stages: list[Stage]) -> None:
    stage = of(stages, "Z1")
    assert isinstance(stage, Product)
    stage.form = "backward"


FAULTS: dict[str, tuple[Callable[[list[Stage]], object], str]] = {
    "a stage is left out": (lambda s: s.remove(of(s, "S")), "S = .* is run 0 times"),
    "an equation twice": (lambda s: of(s, "Z1").equations.append(of(s, "Z1").equations[1]), "is run 2 times"),
    "an activation too early": (lambda s: of(s, "Z1").equations.reverse(), "is computed later"),
    "a stage too early": (lambda s: move(s, "S", 1), "S = .* reads L, which is computed later"),
    "a weight updated before it is read": (lambda s: move(s, "W2", -1) or move(s, "dZ1", len(s)), "after it is overwr"),
    "a scalar in a tile": (lambda s: into(s, "J", "Z2"), "J = .* does not fit in a tile of A1W2"),
    "an activation among the sums": (lambda s: into(s, "A1", "S"), "is not one reduction over the samples"),
    "the wrong form of product": (other_form, "of the form forward, not backward"),
    "a load of what is no data": (lambda s: s.insert(0, Load([], [Symbol("Q", (3, 4))])), "Q is not data"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    change, said = FAULTS[fault]
    made = broken(digits(Recipe(training=True)), change)
    with pytest.raises(ProgramError, match=f"(?s)The plan breaks its laws.*{said}"):
        verify(made, made.memory, made.steps)


def test_the_message_shows_the_stage_and_its_neighbours() -> None:
    made = broken(digits(Recipe(training=True)), FAULTS["the wrong form of product"][0])
    with pytest.raises(ProgramError) as caught:
        verify(made, made.memory, made.steps)
    _, fault, head, *near = str(caught.value).splitlines()
    assert fault.startswith("stage 2: XW1 = X W1")
    assert head.split() == ["stage", "equations", "reads", "keeps"]
    words = [line.split()[:3] for line in near]
    assert words[:5] == [
        ["1", "Load", "X,"],
        ["barrier"],
        [">", "2", "Product"],
        ["barrier"],
        ["3", "Product", "forward"],
    ]


def test_no_barrier_can_be_spared() -> None:
    made = digits(Recipe(training=True))
    meets = [k for k, step in enumerate(made.steps) if isinstance(step, Meet)]
    assert len(meets) > 5
    for k in meets:
        with pytest.raises(ProgramError, match="no barrier"):
            verify(made, made.memory, made.steps[:k] + made.steps[k + 1 :])


def test_what_one_thread_runs_alone_needs_no_barrier() -> None:
    made = digits(Recipe(training=True))
    near = list(zip(made.steps, made.steps[1:], strict=False))
    assert any(all(isinstance(s, Run) and s.stage.alone for s in pair) for pair in near)
    shared = next(k for k, s in enumerate(made.steps) if isinstance(s, Run) and s.stage.alone)
    assert isinstance(made.steps[shared - 1], Meet)  # what it adds up was made by all


def test_no_place_can_be_taken_by_two() -> None:
    made = digits(Recipe(training=True))
    for name, other in (("A1", "dZ1"), ("X", "Z2"), ("E2", "A2")):
        memory = replace(made.memory, batch={**made.memory.batch, name: made.memory.batch[other]})
        with pytest.raises(ProgramError, match=f"({name} and {other}|{other} and {name}) lie in the same place"):
            verify(made, memory, made.steps)
    memory = replace(made.memory, stored={**made.memory.stored, "b1": made.memory.stored["W1"] + 8})
    with pytest.raises(ProgramError, match="lie in the same place"):
        verify(made, memory, made.steps)
    memory = replace(made.memory, batch_units=made.memory.batch_units - 1)
    with pytest.raises(ProgramError, match="past the end of the workspace"):
        verify(made, memory, made.steps)


def test_what_is_read_has_a_place() -> None:
    made = digits(Recipe(training=True))
    for name in ("A1", "L", "dZ2"):
        batch = {key: at for key, at in made.memory.batch.items() if key != name}
        with pytest.raises(ProgramError, match=f"reads {name}, which is not in memory"):
            verify(made, replace(made.memory, batch=batch), made.steps)
    wanting = replace(made, recipe=Recipe(("Z1",), training=True))
    with pytest.raises(ProgramError, match="Z1 is wanted, and not in memory at the end"):
        verify(wanting, made.memory, made.steps)


def test_nothing_is_overwritten_from_chunk_to_chunk() -> None:
    made = digits(Recipe(training=True, large=True))
    chunks = next(step for step in made.steps if isinstance(step, Chunks))
    update = next(run for run in runs(made.steps) if "W1" in run.stage.writes())
    product = next(run for run in runs(made.steps) if "dW1" in run.stage.writes())
    product.stage.equations.extend(update.stage.equations)
    steps = tuple(step for step in made.steps if step is not update)
    assert isinstance(chunks.steps[0], Run) and any(isinstance(step, AddUp) for step in steps)
    with pytest.raises(ProgramError, match="would be overwritten once a chunk"):
        verify(made, made.memory, steps)


# --- what there is code for, and what not --------------------------------------------------------------------------

M = 40  # two panels and a bit
X, W, V = Symbol("X", ("m", 35), "input"), Symbol("W", (35, 35), "parameter"), Symbol("V", (35, 19), "parameter")
b, c, r = Symbol("b", (35,), "parameter"), Symbol("c", (1,), "parameter"), Symbol("r", (35, 1), "parameter")
TABLE, TOKENS = Symbol("E", (19, 35), "parameter"), Symbol("T", ("m", 2), "input", integers=True)
SIZE = Symbol("m", (), "size")


def program_of(*lines: tuple[str, Op, tuple[Symbol, ...]]) -> Program:
    """A forward program of these equations, over whatever they read."""
    equations: list[Equation] = []
    for name, op, operands in lines:
        shape = op.shape(operands)
        assert shape is not None
        equations.append(Equation(Symbol(name, shape), op, operands))
    made = {e.target for e in equations}
    given = dict.fromkeys([*(s for e in equations for s in e.operands if s not in made), SIZE])
    return Program(tuple(given), tuple(equations), equations[-1].target)


def scalar(text: str) -> Expression:
    """A formula over the symbols above."""
    return parse(text, ["X", "W", "b", "c", "r", "m", "P", "Q"])


def formula(text: str) -> Elementwise:
    return Elementwise(scalar(text))


def total(over: Over, text: str, kind: str = "sum") -> Reduce:
    return Reduce(kind, over, scalar(text))


WW, ROW, Z2 = Symbol("P", (35, 35)), Symbol("P", (35,)), Symbol("Z", ("m", 70))
PLACED = {
    "two parameters": program_of(("P", MatMul(), (W, W)), ("Z", MatMul(), (X, WW))),
    "one turned": program_of(("P", MatMul(transpose_left=True), (W, V)), ("Z", MatMul(), (X, Symbol("P", (35, 19))))),
    "the other turned": program_of(("P", MatMul(transpose_right=True), (V, V)), ("Z", MatMul(), (X, WW))),
    "both turned": program_of(("P", MatMul(True, True), (V, W)), ("Z", MatMul(transpose_right=True), (X, W))),
    "a parameter by itself, turned": program_of(("P", MatMul(transpose_left=True), (W, W)), ("Z", MatMul(), (X, WW))),
    "rows of a weight": program_of(("P", total("rows", "W ** 2"), (W,)), ("Q", total("all", "P"), (ROW,))),
    "the largest of each row": program_of(("P", total("columns", "W - b", "max"), (W, b))),
    "all of shapes that repeat": program_of(("P", total("all", "W * r + b"), (W, r, b))),
    "a weight and vectors": program_of(("P", formula("W * b - r / c"), (W, b, r, c)), ("Z", MatMul(), (X, WW))),
    "a long and a short vector": program_of(("P", formula("b + c"), (b, c)), ("Z", formula("X * P"), (X, ROW))),
    "rows that are looked up and multiplied": program_of(
        ("Z", Gather(), (TABLE, TOKENS)),
        ("Y", MatMul(transpose_right=True), (X, TABLE)),
        ("G", MatMul(transpose_left=True), (Symbol("Y", ("m", 19)), X)),
        ("D", ScatterAdd(19), (Z2, TOKENS)),
        ("S", Elementwise(parse("G + D", ["G", "D"])), (Symbol("G", (19, 35)), Symbol("D", (19, 35)))),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("case", "dtype"),
    [
        pytest.param(case, dtype, marks=[pytest.mark.long] if (number + turn) % 2 else [])
        for number, case in enumerate(PLACED)
        for turn, dtype in enumerate(("float32", "float64"))
    ],
)
def test_whatever_is_placed_is_right(case: str, dtype: str) -> None:
    program = PLACED[case]
    rng = np.random.default_rng(3)
    values: dict[str, np.ndarray] = {}
    for s in program.given:
        shape = [M if d == "m" else int(d) for d in s.shape]
        values[s.name] = rng.integers(0, 19, shape) if s.integers else rng.normal(size=shape).astype(dtype)
    values["m"] = np.asarray(M, dtype)
    names = tuple(e.target.name for e in program.equations)
    exact = ReferenceEngine(np.dtype("float64")).run(program, values, names)
    engine = CompiledEngine(np.dtype(dtype))
    found = {**engine.run(program, values, names), **engine.run(program, values, names[-1:])}
    for name in names:
        np.testing.assert_allclose(found[name], exact[name], rtol=2e-4, atol=1e-4, err_msg=f"{name} of\n{program}")


REFUSED = {
    "samples by samples": (program_of(("G", MatMul(transpose_right=True), (X, X))), "G = X Xᵀ"),
    "a short vector beside samples": (program_of(("Z", formula("X * c"), (X, c))), "Z = X c"),
    "a row of a matrix beside samples": (
        program_of(("Z", formula("X * b"), (X, Symbol("b", (1, 35), "parameter")))),
        "Z = X b",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_code_is_refused_with_its_equation(case: str) -> None:
    program, equation = REFUSED[case]
    with pytest.raises(ProgramError) as caught:
        plan(program, Recipe((program.prediction.name,)), LAYOUT)
    text = str(caught.value)
    assert "has no code for" in text and equation in text and "reference" in text
