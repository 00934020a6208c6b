"""Tables that tokens are looked up in: one for each column, one-hot products, padding, updates of some rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan import Recipe, plan
from chainrule.engines.llvm import target
from chainrule.errors import DataError, SpecError
from chainrule.program import AtRows, Program, ScatterAdd, Symbol

RNG = np.random.default_rng
COUNTS = (16, 7)


def tokens(m: int = 30, seed: int = 0, counts: tuple[int, ...] = COUNTS) -> np.ndarray:
    return RNG(seed).integers(0, counts, (m, len(counts)))


def network(table: Any, inputs: Any = 2, **options: Any) -> cr.Network:
    layers = [table, cr.Dense(5, "tanh"), cr.Dense(2)]
    return cr.Network(inputs, layers, "squared_error", **{"dtype": "float64", "seed": 1, **options})


# --- a table for each column -----------------------------------------------------------------------------------------


def test_each_column_has_a_table_of_its_own(engine: str) -> None:
    net = network(cr.Embedding([16, 7], [8, 4]), engine=engine)
    assert {n: a.shape for n, a in net.parameters.items()}["E"] == (16, 8)
    assert net.parameters["E_2"].shape == (7, 4)
    X = tokens()
    E, E_2, W, b = (net.parameters[n] for n in ("E", "E_2", "W1", "b1"))
    A = np.tanh(np.hstack([E[X[:, 0]], E_2[X[:, 1]]]) @ W + b)
    np.testing.assert_allclose(net.predict(X), A @ net.parameters["W2"] + net.parameters["b2"], rtol=1e-12)


def test_counts_may_be_the_inputs(engine: str) -> None:
    said = network(cr.Embedding([16, 7], 3), engine=engine)
    taken = network(cr.Embedding(dimension=3), {"kinds": list(COUNTS)}, engine=engine)
    np.testing.assert_array_equal(said.predict(tokens()), taken.predict({"kinds": tokens()}))


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [(1, 7, "0 to 6 in column 1. Got 7 in row 3"), (0, 16, "0 to 15 in column 0. Got 16 in row 3"),
     (1, -1, "0 to 6 in column 1. Got -1 in row 3")],
)  # fmt: skip
def test_a_token_out_of_range_says_its_column_and_row(column: int, value: int, says: str, engine: str) -> None:
    X = tokens()
    X[3, column] = value
    for net, given in (
        (network(cr.Embedding([16, 7], 3), engine=engine), X),
        (network(cr.Embedding(dimension=3), {"kinds": list(COUNTS)}, engine=engine), {"kinds": X}),
    ):
        with pytest.raises(DataError, match=says):
            net.predict(given)
    with pytest.raises(DataError, match=f"in column {column}. Got {value} in row 0"):
        network(cr.Embedding([16, 7], 3), engine=engine).predict(X[3:4])


@pytest.mark.parametrize(
    ("table", "inputs", "says"),
    [
        (lambda: cr.Embedding([16, 7], 3), 3, "has tables for 2 columns; of those that come in there are 3"),
        (lambda: cr.Embedding([16, 6], 3), {"k": [16, 7]}, "has 6 tokens for column 1; .* there are 7"),
        (lambda: cr.Embedding(8, 3), {"k": [16, 7]}, "has 8 tokens; .* there are 16"),
        (lambda: cr.Embedding(dimension=3), 2, "Say how many tokens each column has"),
        (lambda: cr.Embedding([16, 7], [3]), 2, "as many columns. Got 2 and 1"),
        (lambda: cr.Embedding(16, [3, 4]), 2, "one table has one dimension"),
        (lambda: cr.Embedding([], 3), 2, "vocabulary is an empty list"),
        (lambda: cr.Embedding([16, 0], 3), 2, r"vocabulary\[1\] must be a positive whole number. Got 0"),
        (lambda: cr.Embedding(16), 2, "dimension must be a positive whole number. Got None"),
        (lambda: cr.Embedding([16, 7], 3, padding=7), 2, "padding must be None or a token, 0 to 6. Got 7"),
        (lambda: cr.LayerNorm(), {"k": [16, 7]}, "tokens come in there: put an Embedding before it"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(table: Any, inputs: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        network(table(), inputs)


# --- one-hot products ------------------------------------------------------------------------------------------------


def test_a_dense_layer_over_tokens_is_one_over_their_one_hot_rows(engine: str) -> None:
    X, y = tokens(), RNG(1).normal(size=(30, 2))
    hot = np.hstack([np.eye(n)[X[:, k]] for k, n in enumerate(COUNTS)])
    short = network(cr.Dense(4, "tanh"), {"kinds": list(COUNTS)}, engine=engine, l2=0.3)
    long = network(cr.Dense(4, "tanh"), sum(COUNTS), engine=engine, l2=0.3)
    assert "rows of W1 at X_kinds + (0, 16), added up" in str(short.program)
    for name, array in long.parameters.items():
        np.testing.assert_array_equal(short.parameters[name], array)  # the same first values
    fitting = {"epochs": 3, "batch_size": 8, "optimizer": cr.Adam(0.01), "verbose": False}
    short.fit({"kinds": X}, y, **fitting)
    long.fit(hot, y, **fitting)
    for name, array in long.parameters.items():
        np.testing.assert_allclose(short.parameters[name], array, rtol=1e-9, atol=1e-12)


# --- padding ---------------------------------------------------------------------------------------------------------


def test_the_padding_tokens_row_is_0_and_stays_0(engine: str) -> None:
    net = network(cr.Embedding(16, 3, padding=2), engine=engine)
    assert not net.parameters["E"][2].any() and net.parameters["E"][1].any()
    X, y = tokens(counts=(16, 16)), RNG(1).normal(size=(30, 2))
    X[::2, 1] = 2
    assert not net.gradients(X, y)["E"][2].any()
    net.fit(X, y, epochs=2, batch_size=8, optimizer=cr.Adam(0.01), verbose=False)
    assert not net.parameters["E"][2].any()
    before = net.predict(X)
    net.parameters["E"][2] = 5
    np.testing.assert_array_equal(net.predict(X), before)


# --- sparse updates --------------------------------------------------------------------------------------------------


def trained(engine: str, optimizer: cr.Optimizer, batch: int, *, sparse: bool, **options: Any) -> dict[str, np.ndarray]:
    m = 3 * batch - batch // 3
    net = network(cr.Embedding([16, 40], [5, 19], padding=3, sparse=sparse), engine=engine)
    X, y = tokens(m, counts=(16, 40)), RNG(1).normal(size=(m, 2))
    net.fit(X, y, epochs=2, batch_size=batch, optimizer=optimizer, verbose=False, **options)
    return net.parameters


@pytest.mark.parametrize("batch", [7, 600])
@pytest.mark.parametrize("optimizer", [cr.SGD(0.1), cr.Adagrad(0.1)], ids=lambda o: type(o).__name__)
def test_without_a_memory_the_rows_alone_are_the_whole_step(optimizer: cr.Optimizer, batch: int, engine: str) -> None:
    dense, sparse = (trained(engine, optimizer, batch, sparse=sparse) for sparse in (False, True))
    for name, array in dense.items():
        np.testing.assert_allclose(sparse[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("batch", [7, 600])
def test_both_engines_are_lazy_alike_and_threads_change_no_bit(batch: int, many_processors: None) -> None:
    one = trained("compiled", cr.Adam(0.01), batch, sparse=True, threads=1)
    three = trained("compiled", cr.Adam(0.01), batch, sparse=True, threads=3)
    plainly = trained("reference", cr.Adam(0.01), batch, sparse=True)
    for name, array in plainly.items():
        np.testing.assert_array_equal(one[name], three[name])
        np.testing.assert_allclose(one[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("large", [False, True])
def test_no_plan_holds_a_gradient_of_the_tables_size(large: bool) -> None:
    layout = PanelLayout(target.named("x86-64-v3"), "float32")
    net = cr.Network(2, [cr.Embedding(10**6, 16, sparse=True), cr.Dense(8, "tanh"), cr.Dense(1)], "squared_error",
                     seed=0, engine="reference")  # fmt: skip
    made = plan(net.training_program(cr.Adam()), Recipe(training=True, large=large), layout)
    assert "dE in pieces" in str(made)
    assert made.memory.pieces == {"dE": 0} and made.memory.pieces_width == 32
    assert made.memory.fixed_size < 10**4 and made.memory.batch_units < 200


def test_a_gradient_that_others_read_is_whole(engine: str) -> None:
    """Clipping by the norm needs all of it, and gives the same step."""
    dense, sparse = (trained(engine, cr.SGD(0.1, clip_norm=0.05), 7, sparse=sparse) for sparse in (False, True))
    for name, array in dense.items():
        np.testing.assert_allclose(sparse[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_derivation_says_which_rows(tmp_path: Path) -> None:
    net = network(cr.Embedding([16, 7], 3, sparse=True))
    exact, lazy = (cr.derive(net.spec, optimizer=o) for o in (cr.SGD(), cr.Adam()))
    assert "E_2 := E_2 - lr dE_2   in rows X[column 1]" in str(exact)
    rules = [{e.rule for e in p.update if isinstance(e.op, AtRows)} for p in (exact, lazy)]
    assert rules == [{"rows of the batch"}, {"rows of the batch, lazily"}]
    for notation in ("row", "column", "index"):
        for form in ("unicode", "latex", "markdown"):
            said = lazy.show(notation, form).replace("\\;", " ")
            assert "in rows" in said or "in columns" in said, (notation, form)
    assert Program.from_json(lazy.to_json()) == lazy
    net.save(tmp_path / "net.safetensors")
    again = cr.Network.load(tmp_path / "net.safetensors")
    assert again.spec == net.spec
    np.testing.assert_array_equal(again.predict(tokens()), net.predict(tokens()))


def test_rows_of_other_shapes_are_refused() -> None:
    E, X = Symbol("E", (5, 3), "parameter"), Symbol("X", ("m", 2), "input", integers=True)
    short, D = Symbol("D", (4, 3)), Symbol("P", ("m", 3))
    op = next(e.op for e in cr.derive(
        cr.NetworkSpec(2, [cr.Embedding(5, 3, sparse=True), cr.Dense(1)], "squared_error"), optimizer=cr.SGD()
    ).update if isinstance(e.op, AtRows))  # fmt: skip
    assert op.shape((E, X)) is None and op.shape((E, X, short)) is None
    assert ScatterAdd(5, column=2).shape((D, X)) is None and ScatterAdd(5, starts=(0,)).shape((D, X)) is None
    assert ScatterAdd(5, column=1).shape((D, X)) == (5, 3) == ScatterAdd(5, starts=(0, 2)).shape((D, X))


def test_a_tied_table_leaves_the_others_their_rows() -> None:
    """One-hot weights that are also a factor of a product lie as these do; another table is updated row by row."""
    layers = [
        cr.Branches([cr.Take("k"), cr.Dense(3, "tanh")], [cr.Take("w"), cr.Embedding(50, 3, sparse=True)]),
        cr.Dense(3, "tanh"),
        cr.Dense(4, "softmax", weights=cr.Tied("W1", transposed=True)),
    ]
    X = {"k": tokens(20, counts=(4,)), "w": tokens(20, counts=(50, 50))}
    ways = []
    for engine in ("reference", "compiled"):
        net = cr.Network({"k": [4], "w": [50, 50]}, layers, "cross_entropy", dtype="float64", seed=0, engine=engine)
        net.fit(X, X["k"][:, 0], epochs=2, batch_size=8, optimizer=cr.Adam(0.01), verbose=False)
        ways.append(net.parameters)
    for name, array in ways[0].items():
        np.testing.assert_allclose(ways[1][name], array, rtol=1e-9, atol=1e-12, err_msg=name)
