"""Programs as JSON: the same program comes back, to the same bits, and nothing else is taken for one."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.recent import MOST, Recent
from chainrule.engines.table import ENGINES
from chainrule.program import Elementwise, Equation, Expression, Program, Symbol
from chainrule.program.from_json import DEEPEST, NAMED
from chainrule.program.op import OPERATIONS, Mask
from chainrule.program.scalar import Apply, Constant, Reduction, Variable
from chainrule.program.symbol import BATCH, Label
from chainrule.rules.mean_at_weights import mean_at_weights
from chainrule.rules.per_sample import squared_norms
from chainrule.rules.shards import over_shards
from chainrule.rules.tangent import tangent
from problems import PROBLEMS, Problem, classifier, in_turn
from random_programs import program as random_program

OPTIMIZER = cr.SGD(momentum=0.5)


def same(program: Program) -> str:
    """The program's text, from which it came back with everything that it says."""
    text = program.to_json()
    back = Program.from_json(text)
    assert back == program
    # rules, ways and layers too, which do not count in a comparison
    theirs, ours = ([(e.rule, e.through, e.layer) for e in p.equations] for p in (back, program))
    assert theirs == ours
    assert back.to_json() == text and back.digest == program.digest
    assert Program.from_json(json.loads(text)) == program
    return text


def derived(problem: Problem, optimizer: Any = OPTIMIZER) -> Program:
    targets: Any = "labels" if problem.targets == "labels" else "values"
    spec = problem.network("reference").spec
    return cr.derive(
        spec, optimizer=cr.SGD() if optimizer == "sgd" else optimizer, targets=targets, weighted=problem.weighted
    )


@pytest.mark.parametrize("problem", in_turn(PROBLEMS, 2))
def test_every_problem(problem: Problem) -> None:
    same(derived(problem))


def test_random_programs() -> None:
    operations: set[type] = set()
    for seed in range(150):
        program = random_program(random.Random(seed).choice).program
        same(program)
        operations |= {type(e.op) for e in program.equations}
    # An update in some rows alone is nothing to differentiate: random programs have none.
    spec = cr.NetworkSpec(2, [cr.Embedding([4, 3], 2, padding=1, sparse=True), cr.Dense(1)], "squared_error")
    lazy = cr.derive(spec, optimizer=cr.Adam())
    same(lazy)
    shared = over_shards(cr.derive(cr.NetworkSpec(2, [cr.Dense(1)], "squared_error"), optimizer=cr.Adam()))
    same(shared)
    assert operations | {type(e.op) for e in lazy.update + shared.cost} == set(OPERATIONS)


@pytest.mark.parametrize(
    "optimizer", [None, cr.SGD(momentum=0.9), cr.Adam(clip_norm=1.0), cr.RMSProp(), cr.Adagrad()], ids=str
)
def test_updates_and_what_passes_make(optimizer: Any) -> None:
    net = classifier("reference", l2=0.1)
    program = net.derive(optimizer=optimizer, targets="labels")
    same(program)
    same(mean_at_weights(program))
    same(program.pruned())
    same(program.pruned([program.prediction], update=False))
    if optimizer is None:
        same(squared_norms(program)[0])
        same(tangent(program, program.parameters))


def test_the_text_is_read_by_people() -> None:
    text = classifier("reference").derive(optimizer=None).to_json()
    assert (
        '\n    {"name": "dW1", "letter": "W", "shape": [4, 8], "role": "gradient", "layer": [1, 1], "of": ["W1"],'
        in text
    )
    assert '\n    {"target": "dW1", "op": "MatMul", "transpose_left": true, "operands": ["X", "dZ1"], ' in text
    assert '"expression": ["XW1", "b1", ["add", 0, 1]]' in text
    assert text.isascii() and text.endswith("\n}\n")
    assert list(json.loads(text))[:2] == ["format", "symbols"] and json.loads(text)["format"] == "program 1"


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("name", ["wide", "dropout", "batch norm, l2", "embedding, sum, weighted", "own cost, rows"])
def test_the_same_bits_in_both_engines(name: str, engine: str) -> None:
    problem = next(p for p in PROBLEMS if p.name == name)
    program, net = derived(problem, None), problem.network("reference")
    X, y, w = problem.data()
    wanted = ("J", *(g.name for _, g in program.gradients if not g.integers))
    given = {**net.parameters, **net.state, "X": X, "y": y, "Y": y, BATCH: np.float64(len(X)), "seed": 3, "t": 1}
    if w is not None:
        given["w"] = w[:, None]
    given = {s.name: given[s.name] for s in program.given}
    programs = (program, Program.from_json(program.to_json()))
    first, second = (ENGINES[engine](np.dtype(np.float64)).run(p, given, wanted) for p in programs)
    assert all(first[k].tobytes() == second[k].tobytes() for k in wanted)


@pytest.mark.parametrize(
    ("engine", "made_ready"), [("reference", "reference.handler"), ("compiled", "compiled.engine.plan")]
)
def test_engines_know_a_program_by_what_it_says(engine: str, made_ready: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And forget those that were not run for long."""
    module = import_module(f"chainrule.engines.{made_ready.rpartition('.')[0]}")
    name, calls = made_ready.rpartition(".")[2], 0
    make_ready = getattr(module, name)

    def counted(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        return make_ready(*given)

    monkeypatch.setattr(module, name, counted)
    runner, most = ENGINES[engine](np.dtype(np.float64)), 5
    for recent in vars(runner).values():
        if isinstance(recent, Recent):
            assert recent.most == MOST
            recent.most = most

    def run(units: int, copied: bool = False) -> None:
        net = cr.Network(3, [cr.Dense(units)], "squared_error", engine="reference")
        program = net.derive(mode="inference").pruned([net.derive(mode="inference").prediction])
        program = Program.from_json(program.to_json()) if copied else program
        runner.run(program, {**net.parameters, "X": np.ones((2, 3)), BATCH: np.float64(2)}, (program.prediction.name,))

    run(1)
    first = calls
    for _ in range(3):
        run(1)
        run(1, copied=True)
    assert calls == first > 0
    for units in range(2, most + 2):
        run(units)
    before = calls
    run(most + 1)
    assert calls == before
    run(1)
    assert calls > before


# --- the digest ----------------------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_text() -> None:
    program = classifier("reference").derive(optimizer=cr.Adam())
    assert program.digest == hashlib.sha256(program.to_json().encode()).hexdigest()


def test_the_digest_is_the_same_in_every_process() -> None:
    code = "import chainrule as cr; print(cr.Network(4, [cr.Dense(8, 'tanh'), cr.Dense(3, 'softmax')], 'cross_entropy')"
    code += ".derive(optimizer=cr.Adam()).digest)"
    mine = classifier("reference").derive(optimizer=cr.Adam()).digest
    for seed in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed},
                              capture_output=True, text=True, check=True, timeout=60)  # fmt: skip
        assert done.stdout.strip() == mine


def test_the_digest_tells_programs_apart() -> None:
    def digest(layers: list[Any], loss: str = "squared_error", **options: Any) -> str:
        return cr.Network(4, layers, loss, engine="reference").derive(**options).digest

    digests = [
        digest([cr.Dense(3, "tanh")]),
        digest([cr.Dense(3, "sigmoid")]),
        digest([cr.Dense(4, "tanh")]),
        digest([cr.Dense(3, "tanh")], "absolute_error"),
        digest([cr.Dense(3, "tanh")], optimizer=OPTIMIZER),
        digest([cr.Dense(3, "tanh")], weighted=True),
        digest([cr.Dense(3, cr.leaky_relu(0.1))]),
        digest([cr.Dense(3, cr.leaky_relu(0.10000000000000002))]),
    ]
    assert len(set(digests)) == len(digests)
    assert digest([cr.Dense(3, "tanh")]) == digests[0]


def test_nobody_asks_for_a_digest_while_a_program_is_derived_and_printed(forgetting: Callable[[], None]) -> None:
    forgetting()
    program = classifier("reference").derive(optimizer=cr.Adam())
    str(program), program.show("index")
    assert "digest" not in vars(program)
    assert program.digest is program.digest


# --- expressions ---------------------------------------------------------------------------------------------------


def one_equation(expression: Expression, *operands: Symbol) -> Program:
    X = Symbol("X", (BATCH, 2), "input")
    A = Symbol("A", (BATCH, 2), layer=Label(1))
    return Program((X,), (Equation(A, Elementwise(expression), operands or (X,), "a rule", (A,), 0),), A)


def test_parts_that_are_shared_are_written_once() -> None:
    part: Expression = Variable("X")
    for _ in range(15):
        part = Apply("mul", (part, part))
    text = same(one_equation(part))
    (equation,) = json.loads(text)["forward"]
    assert equation["expression"] == ["X", *(["mul", k, k] for k in range(15))]

    apart: Expression = Variable("X")
    for _ in range(6):  # equal parts that are other objects are the same part
        apart = Apply("mul", (apart, copy.deepcopy(apart)))
    assert json.loads(same(one_equation(apart)))["forward"][0]["expression"] == equation["expression"][:7]


def test_a_long_sum_is_no_matter() -> None:
    x = Variable("X")
    total: Expression = x
    for k in range(5000):
        total = Apply("add", (total, Constant(float(k))))
    text = one_equation(total).to_json()
    assert len(json.loads(text)["forward"][0]["expression"]) > 10_000
    with pytest.raises(cr.DataError, match=rf"forward\[0\].expression\[\d+\]: is nested more than {DEEPEST} levels"):
        Program.from_json(text)


def test_what_may_be_read_is_not_too_deep_for_who_reads_it_then() -> None:
    deep: Expression = Variable("X")
    for _ in range(DEEPEST - 1):
        deep = Apply("tanh", (deep,))
    text = one_equation(deep).to_json()
    program = Program.from_json(text)
    assert program.to_json() == text and str(program).count("tanh") == DEEPEST - 1
    given = {"X": np.ones((3, 2)), BATCH: np.float64(3)}
    for engine in ("reference", "compiled"):
        assert ENGINES[engine](np.dtype(np.float64)).run(program, given, ("A1",))["A1"].shape == (3, 2)


def test_parts_that_double_come_back_and_are_run() -> None:
    """Written out, it would have 2¹⁴⁵ parts: whoever reads it takes each once."""
    doubled: Expression = Variable("X")
    for k in range(DEEPEST - 10):
        doubled = Apply("mul", (doubled, doubled)) if k % 2 else Apply("tanh", (doubled,))
    program = Program.from_json(same(one_equation(doubled)))
    assert "a formula of more than" in str(program)
    with pytest.raises(cr.FormulaError, match="when it is written out"):
        program.show("row")
    given = {"X": np.full((3, 2), 0.9), BATCH: np.float64(3)}
    answers = [ENGINES[engine](np.dtype(np.float64)).run(program, given, ("A1",))["A1"] for engine in ENGINES]
    assert all(a.shape == (3, 2) and not a.any() for a in answers)  # 0.9² ² ² ... is 0 soon


@pytest.mark.parametrize(
    "value", [0.1, 1e-320, 1.7976931348623157e308, -0.0, 2.0**53 + 2, math.pi, math.inf, -math.inf]
)
def test_numbers_keep_their_bits(value: float) -> None:
    program = one_equation(Apply("add", (Variable("X"), Apply("mul", (Constant(0.0), Constant(value))))))
    same(program)
    (equation,) = Program.from_json(program.to_json()).forward
    number = equation.op.expression.arguments[1].arguments[1].value  # type: ignore[union-attr]
    assert math.copysign(1, number) == math.copysign(1, value) and number == value


def test_a_number_that_is_none() -> None:
    text = one_equation(Apply("add", (Variable("X"), Constant(math.nan)))).to_json()
    assert '["constant", "nan"]' in text and Program.from_json(text).to_json() == text


def test_a_reduction_is_written_and_is_no_part_of_an_equation() -> None:
    text = one_equation(Apply("sub", (Variable("X"), Reduction("mean", "rows", Variable("X"))))).to_json()
    assert '["X", ["reduction", "mean", "rows", 0], ["sub", 0, 1]]' in text
    with pytest.raises(cr.ProgramError, match="Elementwise cannot take X"):
        Program.from_json(text)


def test_names_of_any_letters() -> None:
    for rule in ('say "x"', "back\\slash", "line\nbreak", "schön", "𝓛", "\u2028", "\x00"):
        program = one_equation(Variable("X"))
        text = same(replace(program, forward=(replace(program.forward[0], rule=rule),)))
        assert json.loads(text)["forward"][0]["rule"] == rule and text.isascii()


def test_symbols_with_one_name_are_told_apart() -> None:
    """As in a program that breaks the laws; what is wrong with it is found when it is read."""
    X, other = Symbol("X", (BATCH, 2), "input"), Symbol("X", (BATCH, 3), "input")
    A = Symbol("A", (BATCH, 2))
    text = Program((X, other), (Equation(A, Elementwise(Variable("X")), (X,)),), A).to_json()
    assert json.loads(text)["given"] == ["X", "X #2"]
    with pytest.raises(cr.ProgramError, match="X is given twice"):
        Program.from_json(text)


def test_numbers_of_numpy_are_numbers() -> None:
    seed, step = Symbol("seed", (), "counter"), Symbol("t", (), "counter")
    R = Symbol("R", (BATCH, 2), "mask")
    program = Program((seed, step), (Equation(R, Mask(np.float64(0.25), np.int64(3), 2), (seed, step)),), R)  # type: ignore[arg-type]
    assert '"rate": 0.25, "stream": 3, "columns": 2' in program.to_json()
    assert Program.from_json(program.to_json()) == program


# --- what is refused -----------------------------------------------------------------------------------------------

TEXT = classifier("reference").derive(optimizer=cr.SGD(momentum=0.5)).to_json()


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(TEXT)
    change(said)
    return said


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], object]:
    def change(said: Any) -> None:
        for step in path[:-1]:
            said = said[step]
        said[path[-1]] = value

    return change


REFUSED: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("no format", lambda p: p.pop("format"), "lacks 'format'"),
    ("another format", put("format", value="network 1"), "format must be \"program 1\". Got 'network 1'"),
    ("a number as format", put("format", value=1), "format must be"),
    ("a later format", put("format", value="program 2"), r"newer chainrule \(a program of format 2; this one reads up"),
    ("no outputs", lambda p: p.pop("outputs"), "lacks 'outputs'"),
    ("one field more", put("comment", value=1), "Unknown field 'comment'"),
    ("symbols are no list", put("symbols", value={}), "symbols must be a list"),
    ("no role", lambda p: p["symbols"][1].pop("role"), r"symbols\[1\]: lacks 'role'"),
    (
        "an unknown role",
        put("symbols", 1, "role", value="parametre"),
        r"symbols\[1\].role: Unknown role 'parametre'. Did",
    ),
    ("a shape of three", put("symbols", 1, "shape", value=[1, 2, 3]), r"symbols\[1\].shape: holds 3 members"),
    (
        "a size that is none",
        put("symbols", 1, "shape", value=["n", 2]),
        r"symbols\[1\].shape\[0\] must be a whole number",
    ),
    ("a size of -1", put("symbols", 1, "shape", value=[-1, 2]), r"symbols\[1\].shape\[0\] must be a whole number"),
    ("another letter", put("symbols", 1, "letter", value="V"), r"symbols\[1\]: is called 'W1', but .* makes it 'V1'"),
    ("a gradient of nothing", lambda p: p["symbols"][-1].pop("of"), "does not go with being of 0 symbols"),
    ("a symbol twice", lambda p: p["symbols"].append(p["symbols"][0]), "is called 'X', but .* makes it 'X #2'"),
    ("of what comes later", lambda p: p["symbols"].reverse(), "there is no symbol"),
    ("nobody knows it", put("given", 0, value="Q"), r"given\[0\]: there is no symbol 'Q'"),
    ("a pair of three", put("gradients", 0, value=["W1"] * 3), r"gradients\[0\]: holds 3 members"),
    (
        "no operation",
        put("forward", 0, "op", value="MatMull"),
        r"forward\[0\].op: Unknown operation 'MatMull'. Did you",
    ),
    ("a field of another", put("forward", 0, "classes", value=2), r"forward\[0\]: Unknown field 'classes'"),
    (
        "a text for a flag",
        put("backward", 1, "transpose_left", value="yes"),
        r"backward\[1\].transpose_left must be true",
    ),
    ("no expression", put("forward", 1, "expression", value=[]), r"forward\[1\].expression must be a list of 1 to"),
    ("an unknown function", put("forward", 1, "expression", 2, value=["plus", 0, 1]), "Unknown function 'plus'"),
    ("too few arguments", put("forward", 1, "expression", 2, value=["add", 0]), "add takes 2 argument"),
    (
        "a place that comes later",
        put("forward", 1, "expression", 2, value=["add", 0, 2]),
        "2 is not the place of a part",
    ),
    ("a place before all", put("forward", 1, "expression", 2, value=["add", 0, -1]), "-1 is not the place of a part"),
    ("true for a place", put("forward", 1, "expression", 2, value=["add", 0, True]), "True is not the place of a part"),
    ("a part that is none", put("forward", 1, "expression", 2, value={"add": 1}), "must be a variable, a number, or"),
    (
        "a part for nothing",
        lambda p: p["forward"][1]["expression"].insert(0, 1.0),
        r"expression\[2\]: no part after it is made of it",
    ),
    ("a word for a number", put("forward", 1, "expression", 0, value=["constant", "five"]), "Unknown number 'five'"),
    ("a layer of -1", put("forward", 1, "layer", value=-1), r"forward\[1\].layer must be a whole number"),
]


@pytest.mark.parametrize(("change", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_no_program_is_refused(change: Callable[[dict[str, Any]], object], words: str) -> None:
    said = changed(change)
    for form in (said, json.dumps(said), json.dumps(said).encode()):
        with pytest.raises(cr.DataError, match=words) as told:
            Program.from_json(form)
        assert len(str(told.value)) <= 500


def test_all_faults_are_told_at_once() -> None:
    said = changed(put("forward", 0, "op", value="Nothing"))
    for change in (put("backward", 2, "rule", value=3), put("prediction", value="Q"), put("outputs", value=7)):
        change(said)
    with pytest.raises(cr.DataError) as told:
        Program.from_json(said)
    places = ("forward[0].op", "backward[2].rule", "prediction", "outputs")
    assert [
        line.partition(":")[0].partition(" must")[0] for line in str(told.value).split("saves it: ")[1].split("\n")
    ] == [*places]


BROKEN: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda p: p["forward"].reverse(), "is used before it is assigned"),
    (lambda p: p["given"].pop(0), "X is used before it is assigned"),
    (put("backward", 1, "transpose_left", value=False), "MatMul cannot take"),
    (lambda p: p["forward"].append(p["forward"][0]), "is assigned twice"),
    (put("gradients", 0, value=["W1", "db1"]), "db1 has not the shape of W1"),
    (put("objective", value="Z1"), "must be a scalar"),
]


@pytest.mark.parametrize(("change", "words"), BROKEN)
def test_what_breaks_the_laws_is_refused(change: Callable[[dict[str, Any]], object], words: str) -> None:
    with pytest.raises(cr.ProgramError, match=words) as told:
        Program.from_json(changed(change))
    assert len(str(told.value)) <= 500


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{", '{"format": 1, "format": 1}', b"\xff", "NaN"])
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(cr.DataError, match="This is not a program as chainrule saves it"):
        Program.from_json(text)


def test_what_json_has_no_words_for_is_refused() -> None:
    circle: dict[str, Any] = json.loads(TEXT)
    circle["given"].append(circle)
    for said in (circle, {"format": math.nan}, {"format": {1, 2}}, 5, None, bytearray(b"{}")):
        with pytest.raises(cr.DataError, match="This is not a program as chainrule saves it"):
            Program.from_json(said)  # type: ignore[arg-type]


def bombs() -> dict[str, dict[str, Any]]:
    """Texts whose meaning would be far larger than they are."""
    doubled = changed(put("forward", 1, "expression", value=["XW1", *(["mul", k, k] for k in range(300))]))
    sums = changed(put("forward", 1, "expression", value=["XW1", "b1", *(["add", k, 1] for k in range(1, 5000))]))
    chain = json.loads(TEXT)
    product = {"letter": "", "shape": [], "role": "temporary", "how": "product"}
    names = ["X"]
    for _ in range(NAMED):
        names.append(names[-1] * 2 if len(names) < 12 else "x")
        chain["symbols"].append({**product, "name": names[-1], "of": [names[-2], names[-2]]})
    return {"doubled": doubled, "sums": sums, "names": chain}


@pytest.mark.parametrize("bomb", bombs())
def test_what_would_grow_without_end_is_refused(bomb: str) -> None:
    with pytest.raises(cr.DataError, match=r"levels deep|written out|name is made of"):
        Program.from_json(bombs()[bomb])
