"""The derivation as data: what it prints, its operations and functions, and specs to and from JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.reference import ReferenceEngine
from chainrule.errors import SpecError
from chainrule.program import OPERATIONS, Elementwise, Equation, Gather, Mask, MatMul, OneHot, Program, Reduce, Symbol
from chainrule.program.op import AtRows, Beside, Columns, GroupedMatMul, OverShards, ReduceGroups, Repeat, ScatterAdd
from chainrule.program.parse import parse
from chainrule.program.scalar import FUNCTIONS, Apply, Constant, Variable
from problems import PROBLEMS, Problem
from test_differentiate import MEANING

DIGITS = cr.NetworkSpec(784, [cr.Dense(256, "sigmoid"), cr.Dense(10, "softmax")], "cross_entropy")


def lines(program: Program) -> list[str]:
    """The printed lines, each with single spaces."""
    return [" ".join(line.split()) for line in str(program).splitlines()]


def test_the_textbook_lines_of_the_digits() -> None:
    printed = lines(cr.derive(DIGITS, targets="labels", optimizer=cr.SGD(0.1)))
    textbook = [
        "forward",
        "Z1 = X W1 + b1 (m, 256)",
        "A1 = sigmoid(Z1) (m, 256)",
        "Z2 = A1 W2 + b2 (m, 10)",
        "cost",
        "J = S / m ()",
        "backward",
        "dZ2 = (A2 - Y) / m (m, 10)",
        "dW2 = A1ᵀ dZ2 (256, 10)",
        "db2 = Σ dZ2 over i (10,)",
        "dA1 = dZ2 W2ᵀ (m, 256)",
        "dZ1 = dA1 A1 (1 - A1) (m, 256)",
        "dW1 = Xᵀ dZ1 (784, 256)",
        "db1 = Σ dZ1 over i (256,)",
        "dX = dZ1 W1ᵀ (m, 784)",
        "update",
        "W1 := W1 - lr dW1 (784, 256)",
        "b1 := b1 - lr db1 (256,)",
    ]
    places = [printed.index(line) for line in textbook]
    assert places == sorted(places)


def test_the_long_way_round_goes_through_the_output_activation() -> None:
    long = lines(cr.derive(DIGITS, targets="labels", canonical=False))
    assert not any(line.startswith("dZ2 = (A2 - Y)") for line in long)
    assert any(line.startswith("dA2 = ") for line in long)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"l2": 0.1}, "dW1 = Xᵀ dZ1 + 0.1 W1 / m (3, 4)"),
        ({"l1": 0.5}, "dW1 = Xᵀ dZ1 + 0.5 sign(W1) / m (3, 4)"),
        ({"reduction": "sum"}, "dZ2 = 2 (Z2 - Y) (m, 2)"),
        ({}, "dZ2 = 2 (Z2 - Y) / m (m, 2)"),
        ({}, "dZ1 = dA1 (1 - A1²) (m, 4)"),
    ],
)
def test_where_1_over_m_and_the_penalties_enter(options: dict[str, Any], line: str) -> None:
    spec = cr.NetworkSpec(3, [cr.Dense(4, "tanh"), cr.Dense(2)], "squared_error", **options)
    assert line in lines(cr.derive(spec))


def test_other_layers_print_as_they_are_taught() -> None:
    layers = [cr.Embedding(27, 10), cr.Dropout(0.5), cr.Dense(8, bias=False), cr.LayerNorm("relu"),
              cr.Dense(27, "softmax")]  # fmt: skip
    printed = lines(cr.derive(cr.NetworkSpec(3, layers, "cross_entropy"), targets="labels"))
    for line in [
        "X0 = rows of E at X, side by side (m, 30)",
        "D0 = X0 R0 / 0.5 (m, 30)",
        "Z1 = D0 W1 (m, 8)",
        "H1 = gamma1 N1 + beta1 (m, 8)",
        "A_n1 = max(H1, 0) (m, 8)",
        "Y = one-hot rows of y (m, 27)",
        "dE = dX0 added into rows X (27, 10)",
    ]:
        assert line in printed, line
    assert not any(line.startswith("dX ") for line in printed)


def test_db_follows_dw_in_every_program() -> None:
    for problem in PROBLEMS:
        names = [e.target.name for e in problem.network("reference").program.backward]
        for name in names:
            if name.startswith("db") and "dW" + name[2:] in names:
                assert names.index("dW" + name[2:]) < names.index(name), problem.name


def test_inference_has_no_mask_and_uses_running_means() -> None:
    spec = cr.NetworkSpec(3, [cr.Dense(4), cr.BatchNorm(), cr.Dropout(0.5), cr.Dense(2)], "squared_error")
    training, inference = cr.derive(spec, optimizer=cr.SGD()), cr.derive(spec, mode="inference")
    assert "mask" in {s.role for s in training.symbols.values()} and "mean1" not in str(training).split("update")[0]
    assert "mask" not in {s.role for s in inference.symbols.values()} and "mean1" in str(inference)
    assert "mean1 := 0.9 mean1 + 0.1 sum_mu1 / m (4,)" in lines(training)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_every_program_is_whole(problem: Problem) -> None:
    """Every parameter has its gradient and its update, everything prints, and pruning keeps what was asked for."""
    net = problem.network("reference")
    labels = "labels" if problem.targets == "labels" else "values"
    program = net.derive(optimizer=cr.Adam(clip_norm=1.0), targets=labels, weighted=problem.weighted)
    with_gradient = [s for s, _ in program.gradients]
    assert [s for s in with_gradient if s.role == "parameter"] == list(program.parameters)
    assert {e.target.name for e in program.update} >= {s.name for s in program.stored}
    assert all(str(e.target) in str(e) for e in program.equations)
    assert str(program).count("\n") >= len(program.update)
    alone = program.pruned([program.prediction], update=False)
    assert not alone.cost and not alone.backward and not alone.update and len(alone.forward) <= len(program.forward)


def run(equation: Equation, **values: Any) -> np.ndarray:
    """One equation by itself through the reference engine."""
    program = Program(given=equation.operands, forward=(equation,), prediction=equation.target)
    arrays = {k: np.asarray(v, None if np.asarray(v).dtype.kind == "i" else np.float64) for k, v in values.items()}
    return ReferenceEngine(np.dtype(np.float64)).run(program, arrays, (equation.target.name,))[equation.target.name]


def sym(name: str, *shape: Any, integers: bool = False) -> Symbol:
    return Symbol(name, shape, "input", integers)


L, R, D = sym("L", "m", 3), sym("R", 3, 2), sym("D", "m", 4)
TOKENS, TABLE = sym("t", "m", 2, integers=True), sym("E", 3, 2)
T = np.array([[0, 2], [2, 2]])
A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2) - 2

WALK: list[tuple[Equation, dict[str, Any], Any]] = [
    (Equation(sym("T", "m", 2), MatMul(), (L, R)), {"L": A, "R": B}, A @ B),
    (Equation(sym("T", 3, 3), MatMul(True, False), (L, L)), {"L": A}, A.T @ A),
    (Equation(sym("T", "m", "m"), MatMul(False, True), (L, L)), {"L": A}, A @ A.T),
    (
        Equation(sym("T", "m", 3), Elementwise(parse("L * q + 1", ("L", "q"))), (L, sym("q", 3))),
        {"L": A, "q": [1, 2, 3]},
        A * [1, 2, 3] + 1,
    ),
    (
        Equation(sym("T", "m", 3), Elementwise(parse("L / c", ("L", "c"))), (L, sym("c", "m", 1))),
        {"L": A, "c": [[1], [2]]},
        A / [[1], [2]],
    ),
    (Equation(sym("T", "m", 3), Elementwise(Constant(2.0)), (L,)), {"L": A, "m": 2}, np.full((2, 3), 2.0)),
    (Equation(sym("T", 3), Reduce("sum", "rows", Variable("L")), (L,)), {"L": A}, A.sum(axis=0)),
    (Equation(sym("T", "m", 1), Reduce("max", "columns", Variable("L")), (L,)), {"L": A}, [[2], [5]]),
    (Equation(sym("T"), Reduce("sum", "all", Variable("L") ** 2), (L,)), {"L": A}, 55.0),
    (Equation(sym("T", "m", 4), Gather(), (TABLE, TOKENS)), {"E": B, "t": T}, [[-2, -1, 2, 3], [2, 3, 2, 3]]),
    (
        Equation(sym("T", 3, 2), ScatterAdd(3), (D, TOKENS)),
        {"D": np.arange(8.0).reshape(2, 4), "t": T},
        [[0, 1], [0, 0], [2 + 4 + 6, 3 + 5 + 7]],
    ),
    (
        Equation(sym("T", "m", 3), OneHot(3), (sym("y", "m", integers=True),)),
        {"y": np.array([2, 0])},
        [[0, 0, 1], [1, 0, 0]],
    ),
    (
        Equation(sym("T", "m", 9), Beside((0, 4), 9), (L, D)),
        {"L": A, "D": np.arange(8.0).reshape(2, 4)},
        [[0, 1, 2, 0, 0, 1, 2, 3, 0], [3, 4, 5, 0, 4, 5, 6, 7, 0]],
    ),
    (Equation(sym("T", "m", 2), Columns(1, 2), (L,)), {"L": A}, [[1, 2], [4, 5]]),
    (
        Equation(sym("T", 3, 2), AtRows(parse("E * 2 + q", ("E", "q"))), (TABLE, TOKENS, sym("q", 2))),
        {"E": B, "t": T, "q": [10, 20]},
        [[6, 18], [0, 1], [14, 26]],
    ),
    (
        Equation(sym("T", "m", 6), GroupedMatMul(3), (L, R)),
        {"L": A, "R": B},
        np.concatenate([A[:, k : k + 1] @ B[k : k + 1] for k in range(3)], axis=1),
    ),
    (
        Equation(sym("T", "m", 6), GroupedMatMul(2, transpose_right=True, shared=True), (D, R)),
        {"D": np.arange(8.0).reshape(2, 4), "R": B},
        np.concatenate([np.arange(8.0).reshape(2, 4)[:, k : k + 2] @ B.T for k in (0, 2)], axis=1),
    ),
    (
        Equation(sym("T", 3, 1), GroupedMatMul(3, transpose_left=True), (L, L)),
        {"L": A},
        (A**2).sum(axis=0)[:, None],
    ),
    (Equation(sym("T", 1, 1), GroupedMatMul(3, transpose_left=True, shared=True), (L, L)), {"L": A}, [[(A**2).sum()]]),
    (Equation(sym("T", "m", 6), Repeat(2), (L,)), {"L": A}, [[0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5]]),
    (Equation(sym("T", "m", 6), Repeat(2, within=True), (L,)), {"L": A}, [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]),
    (
        Equation(sym("T", "m", 2), ReduceGroups("sum", 2), (D,)),
        {"D": np.arange(8.0).reshape(2, 4)},
        [[2, 4], [10, 12]],
    ),
    (
        Equation(sym("T", "m", 2), ReduceGroups("max", 2, within=True), (D,)),
        {"D": np.arange(8.0).reshape(2, 4)},
        [[1, 3], [5, 7]],
    ),
    (Equation(sym("T", 3), OverShards(), (sym("P", 3),)), {"P": np.arange(3.0)}, [0, 1, 2]),  # a batch is one shard
]


@pytest.mark.parametrize(
    ("equation", "values", "expected"), WALK, ids=lambda v: str(v) if isinstance(v, Equation) else ""
)
def test_every_operation_does_what_its_line_says(equation: Equation, values: dict[str, Any], expected: Any) -> None:
    np.testing.assert_allclose(run(equation, **values), expected)
    assert str(equation).startswith("T = ")


def test_the_walk_meets_every_operation() -> None:
    assert {type(e.op) for e, _, _ in WALK} | {Mask} == set(OPERATIONS)  # the mask has its own tests: test_philox.py


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_scalar_function_through_the_engine(name: str, dtype: str, engine: str) -> None:
    """On a grid of operands, against Python's own numbers; in single precision too."""
    arity = FUNCTIONS[name].arity
    operands = [sym(n, "m", 1) for n in "abc"[:arity]]
    equation = Equation(sym("T", "m", 1), Elementwise(Apply(name, tuple(Variable(s.name) for s in operands))),
                        tuple(operands))  # fmt: skip
    grid = np.array([-20.0, -1.5, -0.5, 0.0, 0.25, 0.25, 1.0, 3.0, 20.0], dtype)
    if name in ("log", "sqrt", "pow"):
        grid = np.abs(grid) + grid.dtype.type(0.125)
    if name == "log1p":
        grid = np.abs(grid)
    if name == "div":
        grid = grid + grid.dtype.type(0.125)
    columns = [np.roll(grid, 2 * k)[:, None] for k in range(arity)]
    program = Program(given=tuple(operands), forward=(equation,), prediction=equation.target)
    given = {s.name: c for s, c in zip(operands, columns, strict=True)} | {"m": grid.dtype.type(len(grid))}
    found = ReferenceEngine(np.dtype(dtype)).run(program, given, ("T",))["T"]
    expected = [MEANING[name](*(float(c[i, 0]) for c in columns)) for i in range(len(grid))]
    assert found.dtype == dtype
    exact = 3e-7 if dtype == "float32" else 1e-15
    np.testing.assert_allclose(found[:, 0], expected, rtol=4 * exact, atol={"erf": exact, "erfc": 1e-37}.get(name, 0.0))


def test_an_expression_prints_with_the_fewest_parentheses() -> None:
    def printed(text: str) -> str:
        e = parse(text, ("a", "b", "c"))
        return str(Equation(sym("T", "m", 3), Elementwise(e), ())).removeprefix("T = ").rsplit("   (", 1)[0]

    assert printed("a - (b + c)") == "a - (b + c)" and printed("(a - b) + c") == "a - b + c"
    assert printed("a / (b * c)") == "a / (b c)" and printed("a / b / c") == "a / (b c)"
    assert printed("-(a + b) ** 2") == "-(a + b)²" and printed("(-a) ** 2") == "(-a)²"
    assert printed("2 ** -a") == "2^(-a)" and printed("a ** 0.5") == "sqrt(a)"
    assert printed("(a + b) * c") == "(a + b) c" and printed("a + -3") == "a - 3"
    assert printed("c * (-(2 * a * b))") == "-2 c a b" and printed("c - a * b") == "c - a b"
    assert printed("max(a, 0) + abs(b - c)") == "max(a, 0) + |b - c|"


# --- specs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_a_spec_through_json(problem: Problem) -> None:
    spec = problem.network("reference").spec
    again = cr.NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict(), allow_nan=False)))
    assert again == spec
    assert str(cr.derive(again)) == str(cr.derive(spec))


def test_numpy_numbers_are_plain_ones() -> None:
    layers = [cr.Dense(np.int64(3), weights=np.float32(0.5)), cr.Dropout(np.float64(0.5)), cr.Dense(np.int8(2))]
    spec = cr.NetworkSpec(np.uint8(4), layers, "squared_error", l2=np.float32(0.25))
    assert json.loads(json.dumps(spec.to_dict())) == spec.to_dict()
    assert spec == cr.NetworkSpec(4, [cr.Dense(3, weights=0.5), cr.Dropout(0.5), cr.Dense(2)], "squared_error", l2=0.25)


def test_all_faults_of_a_spec_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        cr.NetworkSpec(0, [cr.Dense(2), cr.Embedding(3, 2), "relu", cr.Dropout(0.5)], "cross_entropie", l1=-1,
                       l2=math.nan, reduction="median")  # fmt: skip
    text = "\n".join(caught.value.faults)
    for said in (
        "inputs must be a positive whole number. Got 0",
        "Layer 2 is an Embedding, which reads tokens",
        "Layer 3 must be one of Dense",
        "The last layer is a Dropout",
        "l1 must be",
        "l2 must be",
        "reduction must be 'mean' or 'sum'",
        "Did you mean 'cross_entropy'",
    ):
        assert said in text, said
    assert len(caught.value.faults) == 8


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: cr.Dense(3, "sigmoud"), "Did you mean 'sigmoid'"),
        (lambda: cr.Dense(3, "swich"), "Did you mean 'swish'"),
        (lambda: cr.Dense(3, weights="glorot"), "Did you mean 'glorot_normal'"),
        (lambda: cr.Dense(3, weights=True), "name or the standard deviation"),
        (lambda: cr.Dense(0), "Dense: units must be a positive whole number. Got 0"),
        (lambda: cr.Dense(2.0), "Got 2.0"),
        (lambda: cr.Dense(True), "Got True"),
        (lambda: cr.Dense(2, 3), "a name, an Activation or a callable. Got 3"),
        (lambda: cr.Embedding(0, 1.5), "vocabulary must be a positive whole number. Got 0"),
        (lambda: cr.Dropout(1.0), "at least 0 and less than 1. Got 1.0"),
        (lambda: cr.Dropout("0.5"), "Got '0.5'"),
        (lambda: cr.LayerNorm(epsilon=0), "epsilon must be above 0"),
        (lambda: cr.BatchNorm(momentum=1, epsilon=math.inf), "momentum must be at least 0 and less than 1"),
        (lambda: cr.NetworkSpec(2, [], "squared_error"), "at least one Dense layer"),
        (lambda: cr.NetworkSpec(2, [cr.Dropout(0.1)], "squared_error"), "at least one Dense layer"),
        (lambda: cr.NetworkSpec(2, [cr.Dense(3, "tanh")], "cross_entropy"), "It fits log_softmax or softmax; for tanh"),
        (lambda: cr.NetworkSpec(2, [cr.Dense(1, "softmax")], "cross_entropy"), "at least 2 outputs"),
        (lambda: cr.NetworkSpec(2, [cr.Dense(3)], "binary_cross_entropy"), "for identity there is squared_error"),
        (lambda: cr.NetworkSpec(2, [cr.Dense(3)], 7), "a name, a Loss, a Cost or a callable"),
        (lambda: cr.cross_entropy(1.0), "label_smoothing"),
        (lambda: cr.cross_entropy("a"), "label_smoothing must be at least 0 and less than 1. Got 'a'"),
        (lambda: cr.huber(0), "The delta of huber must be a finite number above 0. Got 0"),
        (lambda: cr.huber(math.inf), "Got inf"),
        (lambda: cr.huber("1"), "Got '1'"),
        (lambda: cr.quantile(1), "between 0 and 1"),
        (lambda: cr.quantile("a"), "between 0 and 1. Got 'a'"),
        (lambda: cr.leaky_relu("a"), "The slope of leaky_relu must be a finite number. Got 'a'"),
        (lambda: cr.elu(math.nan), "The alpha of elu must be a finite number. Got nan"),
        (lambda: cr.Activation("z * (1e308 * 10)"), "numbers must be finite. Got inf"),
        (lambda: cr.SGD(0), "SGD: learning_rate must be a finite number above 0. Got 0"),
        (lambda: cr.Adam(math.nan), "Got nan"),
        (lambda: cr.Adam("fast"), "a number or a schedule. Got 'fast'"),
        (lambda: cr.SGD(10**400), "learning_rate must be a finite number above 0"),
        (lambda: cr.Adam(beta1=1, epsilon=-1), "less than 1. Got 1 instead.\nAdam: epsilon must be"),
        (lambda: cr.SGD(momentum=-0.1), "momentum"),
        (lambda: cr.SGD(nesterov=True), "needs a momentum"),
        (lambda: cr.SGD(clip_norm=0), "clip_norm must be None or above 0"),
        (lambda: cr.Activation("z / sum(z)", slope="a"), "element-wise"),
        (lambda: cr.NetworkSpec.from_dict({"inputs": 3}), "not a description of a network"),
        (lambda: cr.NetworkSpec.from_dict(DIGITS.to_dict() | {"layers": [{"type": "Dens"}]}), "Did you mean 'Dense'"),
    ],
)  # fmt: skip
def test_a_bad_description_says_what_is_wrong(make: Any, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert says in str(caught.value)


def test_derive_refuses_what_does_not_go_together() -> None:
    with pytest.raises(SpecError, match="do not go with a Cost"):
        cr.derive(cr.NetworkSpec(2, [cr.Dense(1)], cr.Cost("sum(yhat)")), weighted=True)
    with pytest.raises(SpecError, match="takes values, not labels"):
        cr.derive(cr.NetworkSpec(2, [cr.Dense(1)], "squared_error"), targets="labels")
    for wrong, says in (
        ({"spec": DIGITS.to_dict()}, "spec must be a NetworkSpec"),
        ({"mode": "trainin"}, "Unknown mode 'trainin'. Did you mean 'training'"),
        ({"targets": "label"}, "Unknown kind of targets 'label'. Did you mean 'labels'"),
        ({"optimizer": "adam"}, "optimizer must be None or an Optimizer"),
    ):
        with pytest.raises(SpecError) as caught:
            cr.derive(**{"spec": DIGITS, **wrong})  # type: ignore[arg-type]
        assert says in str(caught.value)
