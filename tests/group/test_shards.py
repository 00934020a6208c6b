"""The sum over the shards: in the program, in its parts, and the fixed order in which it is made."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.base import Epoch
from chainrule.engines.compiled.shards import CompiledShards
from chainrule.engines.reference import ReferenceEngine
from chainrule.engines.shards.alone import Alone
from chainrule.engines.shards.exchange import Summing
from chainrule.engines.shards.open import open_shards
from chainrule.engines.shards.order import SHARDS, Node, grown, nodes_of, of_worker, shard_count, shard_size, total
from chainrule.engines.shards.session import PlainShards
from chainrule.engines.shards.split import split
from chainrule.errors import SpecError
from chainrule.glass.trace import trace
from chainrule.notation import MATHEMATICAL, derivation, source
from chainrule.program import MatMul, OverShards, Program, Symbol
from chainrule.program.builder import Builder
from chainrule.rules.derive import derive_step
from chainrule.rules.shards import over_shards

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "glass")]
from evaluate import disagreements
from group_threads import together

SPEC = cr.NetworkSpec(3, [cr.Dense(4, "tanh"), cr.Dense(2)], "squared_error", l2=0.1)
OF_BATCHES = {
    "largest": "max((yhat - y) ** 2) + mean(yhat ** 2)",
    "angle": "1 - sum(yhat * y) / sqrt(sum(yhat ** 2) * sum(y ** 2))",
}
"""Costs whose slopes need sums, or the largest, of the whole batch."""


def given(samples: int = 6) -> dict[str, Any]:
    """Values of all that a step is given."""
    rng = np.random.default_rng(0)
    program = derive_step(SPEC, cr.SGD(0.1))
    sizes = {"m": samples}
    arrays = {s.name: rng.normal(size=[sizes.get(d, d) for d in s.shape]) for s in program.given}  # type: ignore[call-overload]
    return {**arrays, "m": np.float64(samples), "lr": 0.1, "t": 1}


def test_the_derivation_shows_it() -> None:
    text = str(over_shards(derive_step(SPEC, cr.SGD(0.1))))
    assert "dW2 = A1dZ2 + 0.1 W2 / m" in text
    assert "A1dZ2_k = A1ᵀ dZ2" in text and "A1dZ2 = Σ A1dZ2_k   over the shards k" in text
    assert "S = Σ S_k   over the shards k" in text and "J = S / m" in text


def test_every_text_of_it_gives_its_numbers() -> None:
    program, values = over_shards(derive_step(SPEC, cr.SGD(0.1))), given()
    for name, notation in MATHEMATICAL.items():
        derived = derivation(program, name, mean_at="cost")
        traced = trace(derived.program, {**values, **derived.penalties}, np.dtype(np.float64))
        assert disagreements(derived, dict(traced), traced.updated, components=notation.components) == []
    scope: dict[str, Any] = {}
    exec(source(program), scope)
    names = [s.name for s in program.given if s.role == "parameter"]
    numbers = scope["step"](values["X"], values["Y"], lr=0.1, **{n: values[n] for n in names})
    expected = ReferenceEngine(np.dtype(np.float64)).run(program, values, tuple(numbers))
    assert numbers and all(np.array_equal(numbers[name], expected[name]) for name in numbers)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_batch_that_is_one_shard_is_the_program_without_shards(engine: str) -> None:
    program, values = derive_step(SPEC, cr.SGD(0.1, clip_norm=1.0)), given()
    runs = cr.Network.from_spec(SPEC, dtype="float64").engines.named(engine)
    names = ("J", *(s.name for s in program.parameters))
    expected, found = (runs.run(p, values, names) for p in (program, over_shards(program)))
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-13)


def test_parts_sum_up_to_the_whole() -> None:
    """What each shard comes to, added up, is what the whole batch comes to: also where there are weights."""
    net = cr.NetworkSpec(3, [cr.Dense(4), cr.BatchNorm(), cr.Dense(2)], "squared_error")
    parts = split(over_shards(derive_step(net, cr.SGD(0.1), weighted=True)))
    assert len(parts.rounds) == 5  # two sums of the forward propagation, two of the backward, then the parameters
    assert [s.name for s in parts.rounds[0].kept] == ["Z1"]
    assert not any(isinstance(e.op, OverShards) for r in parts.rounds for e in r.program.equations)
    assert not any(s.batched for s in parts.update.given)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("cost", OF_BATCHES)
def test_costs_of_whole_batches(cost: str, engine: str) -> None:
    spec = cr.NetworkSpec(3, [cr.Dense(4, "tanh"), cr.Dense(2)], cr.Cost(OF_BATCHES[cost]))
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(150, 3)), rng.normal(size=(150, 2))

    def fitted(group: Any) -> dict[str, np.ndarray]:
        net = cr.Network.from_spec(spec, dtype="float64", engine=engine, seed=1)
        net.fit(X, Y, epochs=2, batch_size=128, optimizer=cr.SGD(0.05), verbose=False, group=group)
        return dict(net.parameters)

    alone = fitted(None)
    for found in (*together(1, fitted), *together(2, fitted)):
        assert found.keys() == alone.keys()
        for name, expected in alone.items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-11)


def test_what_cannot_be_cut_is_refused() -> None:
    lazy = cr.NetworkSpec(2, [cr.Embedding(5, 2, sparse=True), cr.Dense(1)], "squared_error")
    with pytest.raises(SpecError, match=r"update of E.* Make it Embedding\(..., sparse=False\)"):
        over_shards(derive_step(lazy, cr.SGD(0.1)))
    builder = Builder()
    data = builder.give(Symbol("X", ("m", 2), "input"))
    gram = builder.apply(Symbol("G"), MatMul(False, True), (data, data), rule="products of samples")
    with pytest.raises(SpecError, match=r"G in G = X Xᵀ .* has samples in its columns"):
        over_shards(Program(tuple(builder.given), tuple(builder.equations), gram))


# --- the order -------------------------------------------------------------------------------------------------------


def test_sizes_of_shards() -> None:
    assert [shard_size(b) for b in (1, 32, 256, 257, 2048, 4095, 4096, 9000)] == [32, 32, 32, 64, 256, 512, 256, 576]
    for batch in (*range(1, 600, 7), 2048, 100_000):
        size = shard_size(batch)
        count = shard_count(batch, size)
        assert size % 32 == 0 and 1 <= count <= SHARDS and (count - 1) * size < batch <= count * size


@pytest.mark.parametrize("shards", range(1, SHARDS + 1))
def test_the_order_of_the_sum_is_the_same_for_any_number_of_workers(shards: int) -> None:
    """By writing the sum down instead of making it."""

    def add(a: str, b: str) -> str:
        return f"({a}+{b})"

    def text(node: Node) -> str:
        return grown([str(k) for k in range(node.first, node.end)], add)

    expected = text(Node(0, shards))
    if shards == SHARDS:
        assert expected == "(((((0+1)+2)+3)+(((4+5)+6)+7))+((((8+9)+10)+11)+(((12+13)+14)+15)))"
    for whole in range(shards, SHARDS + 1):  # the last batch of an epoch may have fewer than the others
        for workers in range(1, whole + 1):
            owned = [of_worker(rank, workers, whole) for rank in range(workers)]
            assert (
                owned[0].start == 0 and owned[-1].stop == whole and all(a.stop == b.start for a, b in pairwise(owned))
            )
            nodes = [node for own in owned for node in nodes_of(own, shards)]
            assert [k for node in nodes for k in range(*node)] == list(range(shards))
            assert total({node: text(node) for node in nodes}, shards, add) == expected


def test_two_workers_send_no_more_than_any_sum_must() -> None:
    length = 1_000_000

    def work(group: Any) -> tuple[float, float, int]:
        summing = Summing(group, length, length - 1, np.dtype(np.float32))
        nodes = [nodes_of(of_worker(r, group.size, 16), 16) for r in range(group.size)]
        own = {node: np.full(length, node.first, np.float32) for node in nodes[group.rank]}
        result = summing.over_all(own, nodes, 16)
        return float(result[0]), float(result[-1]), group.sent_bytes

    for workers, added, largest in ((2, 8, 8), (4, 24, 12)):
        sent = 2 * length * 4 * (workers - 1) // workers
        for end in together(workers, work):
            assert end[:2] == (added, largest)
            assert abs(end[2] - sent) < 100


# --- machine code ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [300, 3000])
@pytest.mark.parametrize("masked", [False, True])
def test_machine_code_of_its_own_gives_what_calls_of_the_engine_give(masked: bool, batch_size: int) -> None:
    layers = [cr.Dense(5, "tanh"), *([cr.Dropout(0.2)] if masked else []), cr.Dense(2)]
    net = cr.Network(3, layers, "squared_error", dtype="float64")
    program = derive_step(net.spec, cr.Adam(0.01))
    parts, engine, rng = split(over_shards(program)), net.engines.named("compiled"), np.random.default_rng(0)
    samples = 2 * batch_size - 40
    data = {"X": rng.normal(size=(samples, 3)), "Y": rng.normal(size=(samples, 2))}
    epoch = Epoch(data, rng.permutation(samples), batch_size, np.full(2, 0.1), 1, 5)
    own = open_shards(engine, parts, net.parameters, Alone(), net.dtype)
    plain = PlainShards(engine, parts, net.parameters, Alone(), net.dtype)
    assert isinstance(own, CompiledShards)
    np.testing.assert_allclose(own.epoch(epoch).costs, plain.epoch(epoch).costs, rtol=1e-12)
    expected, found = plain.read(), own.read()
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-13, err_msg=name)


def test_networks_without_machine_code_of_their_own() -> None:
    """Several rounds, or tables that rows are looked up in."""
    for layers in ([cr.Dense(2), cr.BatchNorm()], [cr.Embedding(5, 2), cr.Dense(2)]):
        net = cr.Network(2, layers, "squared_error")
        parts = split(over_shards(derive_step(net.spec, cr.SGD(0.1))))
        stored = {**net.parameters, **net.state}
        assert isinstance(open_shards(net.engines.named("compiled"), parts, stored, Alone(), net.dtype), PlainShards)
