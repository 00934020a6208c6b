"""Layers of groups: dense layers for each group, ensembles that share their matrices, embeddings of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.describe.layers import Layer
from chainrule.engines.compiled.engine import CompiledEngine
from chainrule.engines.reference import ReferenceEngine
from chainrule.errors import SpecError
from chainrule.program import (
    GroupedMatMul,
    Program,
    Reduce,
    ReduceGroups,
    Repeat,
    Symbol,
    verify,
)
from chainrule.program.builder import Builder
from chainrule.program.scalar import Variable, apply
from chainrule.program.symbol import BATCH
from chainrule.rules.chain import backward

RNG = np.random.default_rng(0)


def moved(net: cr.Network) -> dict[str, np.ndarray]:
    """Its parameters, each a little off where it began."""
    for array in net.parameters.values():
        array += 0.2 * np.random.default_rng(1).normal(size=array.shape)
    return dict(net.parameters)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# --- what the layers compute -----------------------------------------------------------------------------------------


def test_each_group_has_its_own_matrix_bias_and_softmax() -> None:
    net = cr.Network(6, [cr.GroupedDense(3, "softmax", groups=2)], "squared_error", dtype="float64")
    p, X = moved(net), RNG.normal(size=(5, 6))
    W, b = p["W1"].reshape(2, 3, 3), p["b1"].reshape(2, 3)
    expected = np.concatenate([softmax(X[:, 3 * k : 3 * k + 3] @ W[k] + b[k]) for k in range(2)], axis=1)
    np.testing.assert_allclose(net.predict(X), expected, rtol=1e-12)


def test_nothing_flows_through_the_maximum_of_a_softmax_in_groups() -> None:
    """It is shifted by what never changes it: no equation of the backward section is about that."""
    net = cr.Network(4, [cr.GroupedDense(3, "softmax", groups=2), cr.Dense(1)], "squared_error", dtype="float64")
    assert not [e.target.name for e in net.program.backward if "max" in e.target.name]
    assert net.check(np.random.default_rng(0).normal(size=(5, 4)), np.ones((5, 1)))


def test_members_share_a_matrix_and_predict_their_mean() -> None:
    net = cr.Network(4, cr.batch_ensemble(3, [5], 2, "tanh", "softmax"), "cross_entropy", dtype="float64", seed=0)
    assert set(np.unique(net.parameters["r1"])) == {-1.0, 1.0}
    p, X, y = moved(net), RNG.normal(size=(7, 4)), RNG.integers(0, 2, 7)
    r, s, b = (p[n].reshape(3, -1) for n in ("r1", "s1", "b1"))
    heads, last = p["W2"].reshape(3, 5, 2), p["b2"].reshape(3, 2)
    each = [softmax(np.tanh((X * r[k]) @ p["W1"] * s[k] + b[k]) @ heads[k] + last[k]) for k in range(3)]
    np.testing.assert_allclose(net.predict(X), np.mean(each, axis=0), rtol=1e-12)
    losses = [-np.log(a[np.arange(7), y]).mean() for a in each]
    assert net.cost(X, y) == pytest.approx(np.mean(losses), rel=1e-12)  # and not the loss of the mean
    assert net.cost(X, y) > -np.log(np.mean(each, axis=0)[np.arange(7), y]).mean()


def test_a_member_alone_is_the_ensemble_of_one() -> None:
    one = cr.Network(3, cr.batch_ensemble(1, [4], 2, "tanh"), "squared_error", dtype="float64")
    p, X, Y = moved(one), RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2))
    predicted = np.tanh((X * p["r1"]) @ p["W1"] * p["s1"] + p["b1"]) @ p["W2"] + p["b2"]
    np.testing.assert_allclose(one.predict(X), predicted, rtol=1e-12)
    assert one.cost(X, Y) == pytest.approx(((predicted - Y) ** 2).sum(axis=1).mean(), rel=1e-12)


def test_periodic_and_piecewise_columns() -> None:
    X = RNG.normal(size=(6, 2))
    net = cr.Network(2, [cr.Periodic(3, "tanh", frequencies=5, sigma=0.7)], "squared_error", dtype="float64")
    p = moved(net)
    waves = np.cos(2 * np.pi * (X[:, :, None] * p["w1"] + p["c1"].reshape(2, 5)))
    values = np.tanh(np.einsum("mcf,cfd->mcd", waves, p["W1"].reshape(2, 5, 3)) + p["b1"].reshape(2, 3))
    np.testing.assert_allclose(net.predict(X), values.reshape(6, 6), rtol=1e-11, atol=1e-14)

    edges = np.quantile(X, [0, 0.3, 0.6, 1], axis=0).T
    net = cr.Network(2, [cr.Piecewise(3, edges)], "squared_error", dtype="float64")
    p = net.parameters
    way = np.clip((X[:, :, None] - edges[:, :-1]) / np.diff(edges), 0, 1)
    values = np.einsum("mcf,cfd->mcd", way, p["W1"].reshape(2, 3, 3)) + p["b1"].reshape(2, 3)
    np.testing.assert_allclose(net.predict(X), values.reshape(6, 6), rtol=1e-11, atol=1e-14)


def test_first_weights_of_each_group_are_those_of_a_small_matrix() -> None:
    net = cr.Network(2000, [cr.GroupedDense(4, "tanh", groups=1000), cr.Dense(1)], "squared_error", seed=1)
    W = net.parameters["W1"].reshape(1000, 2, 4)
    assert W.std() == pytest.approx((2 / (2 + 4)) ** 0.5, rel=0.05)  # glorot of (2, 4), not of (2000, 4)
    assert len(np.unique(W[:, 0, 0])) > 900


@pytest.mark.parametrize("rule", [cr.SGD(0.05), pytest.param(cr.Adafactor(0.05), marks=pytest.mark.long)])
def test_the_units_of_each_group_are_units(rule: cr.Optimizer) -> None:
    """Of norms, and of second moments; in both engines."""
    constraints = {"w1": cr.MaxNorm(0.05), "W1": cr.MaxNorm(0.8), "W2": [cr.NonNegative(), cr.UnitNorm()]}
    layers: list[Any] = [cr.Periodic(4, "tanh", frequencies=5), cr.GroupedDense(3, "tanh", groups=3), cr.Dense(1)]
    X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 1))
    nets = []
    for engine in ("reference", "compiled"):
        net = cr.Network(3, layers, "squared_error", dtype="float64", engine=engine, seed=0, constraints=constraints)
        for epochs in (0, 4):  # from the first weights on
            if epochs:
                net.fit(X, Y, epochs=epochs, batch_size=8, optimizer=rule, shuffle=False, verbose=False)
            p = net.parameters
            lengths = np.linalg.norm(p["W1"].reshape(3, 5, 4), axis=1)
            assert lengths.max() <= 0.8 + 1e-12 and (lengths > 0.79).sum() > 2 and np.abs(p["w1"]).max() <= 0.05 + 1e-12
            np.testing.assert_allclose(np.linalg.norm(p["W2"].reshape(3, 4, 3), axis=1), 1)
        nets.append(net)
    for name, expected in nets[0].parameters.items():
        np.testing.assert_allclose(nets[1].parameters[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)
    for notation in ("row", "column", "index"):
        assert "in 3 groups" in nets[0].show(notation, optimizer=rule)


def test_the_matrix_that_members_share_is_muons() -> None:
    net = cr.Network(4, cr.batch_ensemble(3, [5, 6], 1), "squared_error")
    slots = {s.name for s in net.derive(optimizer=cr.Muon()).stored if s.role == "slot"}
    assert {"M_W1", "M_W2", "M_W3", "V_W3"} <= slots and not slots & {"V_W1", "V_W2"}


# --- both engines ----------------------------------------------------------------------------------------------------


def grouped_program(g: int, a: int, b: int, *, shared: bool, kind: str) -> Program:
    """Two grouped products, a formula in their tiles, groups reduced, a value repeated; all gradients."""
    write, stacked = Builder(), 1 if shared else g
    X = write.give(Symbol("X", (BATCH, g * a), "input"))
    W, V = (write.parameter(Symbol(x), (stacked * k, n)) for x, k, n in (("W", a, b), ("V", b, 3)))
    q, c = (write.parameter(Symbol(x), (n,)) for x, n in (("q", g * a), ("c", g * b)))
    scaled = write.write(Symbol("A"), Variable(X.name) * Variable(q.name), rule="")
    first = write.apply(Symbol("P"), GroupedMatMul(g, shared=shared), (scaled, W), rule="")
    bent = write.write(Symbol("H"), apply("tanh", Variable(first.name) + Variable(c.name)), rule="")
    second = write.apply(Symbol("O"), GroupedMatMul(g, shared=shared), (bent, V), rule="")
    folded = write.apply(Symbol("S"), ReduceGroups(kind, g), (second,), rule="")
    within = write.apply(Symbol("R"), ReduceGroups("sum", g, within=True), (second,), rule="")
    again = write.apply(Symbol("T"), Repeat(g), (folded,), rule="")
    beside = write.apply(Symbol("U"), Repeat(3, within=True), (within,), rule="")
    forward = len(write.equations)
    each = Variable(again.name) * Variable(beside.name)
    cost = write.reduce(Symbol("J", (), "cost"), Reduce("sum", "all", each), rule="")
    end = len(write.equations)
    gradients = backward(write, cost, [W, V, q, c, X])
    equations = write.equations
    return verify(
        Program(
            given=tuple(write.given),
            forward=tuple(equations[:forward]),
            prediction=beside,
            cost=tuple(equations[forward:end]),
            backward=tuple(equations[end:]),
            objective=cost,
            gradients=tuple(gradients),
        )
    )


CASES = [
    (3, 5, 4, 7, "float64", False, "sum"),
    (20, 16, 4, 37, "float32", False, "max"),
    (5, 3, 1, 300, "float32", False, "sum"),
    (4, 33, 17, 70, "float64", True, "max"),
    (32, 3, 2, 45, "float32", True, "sum"),
]
"""groups, a, b, samples, dtype, shared, kind; long chunks and short ones, one column, a panel and a bit."""


@pytest.mark.parametrize(("g", "a", "b", "m", "dtype", "shared", "kind"), CASES)
def test_the_compiled_engine_gives_the_references_numbers(
    g: int, a: int, b: int, m: int, dtype: str, shared: bool, kind: str
) -> None:
    one = grouped_program(g, a, b, shared=shared, kind=kind)
    rng = np.random.default_rng(3)
    values: dict[str, Any] = {BATCH: np.float64(m)}
    for s in one.given:
        values[s.name] = (0.5 * rng.normal(size=[m if d == BATCH else int(d) for d in s.shape])).astype(dtype)
    names = ("U", "J", *(x.name for _, x in one.gradients))
    exact = {k: np.asarray(v, np.float64) for k, v in values.items()}
    expected = ReferenceEngine(np.dtype(np.float64)).run(one, exact, names)
    found = CompiledEngine(np.dtype(dtype)).run(one, values, names)
    for name in names:
        size = np.abs(expected[name]).max() + 1e-9
        assert np.abs(found[name] - expected[name]).max() <= size * (1e-11 if dtype == "float64" else 1e-4), name


@pytest.mark.usefixtures("many_processors")
def test_members_have_the_same_bits_for_any_number_of_threads() -> None:
    X, Y = RNG.normal(size=(150, 20)).astype("f"), RNG.normal(size=(150, 1)).astype("f")
    runs = []
    for threads in (1, 2, 3):
        layers = [cr.Periodic(3, "relu", frequencies=4), *cr.batch_ensemble(8, [9], 1)]
        net = cr.Network(20, layers, "squared_error", engine="compiled", seed=0)
        net.fit(X, Y, epochs=2, batch_size=100, threads=threads)
        runs.append({name: array.tobytes() for name, array in net.parameters.items()})
    assert runs[0] == runs[1] == runs[2]


# --- files, words and faults -----------------------------------------------------------------------------------------


def test_a_file_keeps_the_layers_and_the_bits(tmp_path: Path) -> None:
    layers: list[Any] = [cr.Piecewise(2, [[0, 1, 2], [0, 0.5, 3]], "relu"), cr.GroupedDense(2, "tanh", groups=2)]
    layers += cr.batch_ensemble(2, [3], 1)
    net = cr.Network(2, layers, "squared_error", seed=4)
    net.save(tmp_path / "net.safetensors")
    again = cr.Network.load(tmp_path / "net.safetensors")
    X = RNG.normal(size=(5, 2))
    assert again.spec == net.spec and again.predict(X).tobytes() == net.predict(X).tobytes()


def test_the_words_of_each_layer() -> None:
    net = cr.Network(3, [cr.Periodic(4), *cr.batch_ensemble(2, [8], 1)], "squared_error")
    words = [line.split("  ")[0] for line in net.summary().splitlines()[1:-1]]
    assert words == [
        "periodic embedding 16 to 4",
        "2 members",
        "dense relu shared by 2 members",
        "dense identity in 2 groups",
        "mean of 2 members",
    ]


FAULTS: dict[str, tuple[Any, str]] = {
    "groups that do not fit": (lambda: [cr.GroupedDense(2, groups=4)], "Layer 1 .GroupedDense.: 6 features come in"),
    "members that do not fit": (lambda: [cr.SharedDense(2, members=4)], "Layer 1 .SharedDense.: 6 features come in"),
    "no mean of these": (lambda: [cr.Dense(3), cr.MeanOfMembers(2)], "Layer 2 .MeanOfMembers.: 3 features come in"),
    "other members": (
        lambda: [cr.Members(4), cr.Dropout(0.1), cr.SharedDense(3, members=2), cr.MeanOfMembers(2)],
        "Layer 3 .SharedDense.: it is for 2 members, and those of 4 come in",
    ),
    "a mean of other members": (
        lambda: [cr.Members(4), cr.SharedDense(3, members=4), cr.MeanOfMembers(3)],
        "Layer 3 .MeanOfMembers.: it is for 3 members",
    ),
    "heads of other members": (
        lambda: [cr.Members(4), cr.SharedDense(3, members=4), cr.GroupedDense(1, groups=3), cr.MeanOfMembers(3)],
        "Layer 3 .GroupedDense.: it is for 3 members",
    ),
    "edges of too few columns": (
        lambda: [cr.Piecewise(2, [[0, 1]]), cr.Dense(1)],
        "edges for 1 columns, and 6 come in",
    ),
    "edges that do not rise": (lambda: [cr.Piecewise(2, [[0, 1, 1]])], "column 0 must be finite and rise"),
    "edges of different numbers": (lambda: [cr.Piecewise(2, [[0, 1], [0, 1, 2]])], "the same number of edges"),
    "no groups": (lambda: [cr.GroupedDense(0, groups=0)], "groups must be a positive whole number"),
    "unknown scales": (lambda: [cr.SharedDense(2, members=2, scales="sign")], "Did you mean 'signs'"),
    "no waves": (lambda: [cr.Periodic(2, frequencies=0, sigma=-1)], "sigma must be a finite number of at least 0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault: str) -> None:
    layers, message = FAULTS[fault]
    with pytest.raises(SpecError, match=message):
        cr.Network(6, layers(), "squared_error")


def test_every_layer_of_groups_is_public() -> None:
    for kind in (cr.GroupedDense, cr.Members, cr.SharedDense, cr.MeanOfMembers, cr.Periodic, cr.Piecewise):
        assert issubclass(kind, Layer)
