"""Several workers end with the network that one ends with: the same bits, whatever the network and their number."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr

sys.path.append(str(Path(__file__).parent))
from group_threads import together

from chainrule.engines.shards.order import shard_count, shard_size
from chainrule.train.own_rows import Allotment, AllottedOrders
from chainrule.train.workers import shared_out

SAMPLES, FEATURES, CLASSES = 310, 9, 4
RNG = np.random.default_rng(3)
X = RNG.normal(size=(SAMPLES, FEATURES)).astype(np.float32)
Y = RNG.integers(0, CLASSES, SAMPLES)
WEIGHTS = RNG.random(SAMPLES).astype(np.float32)
OPTIMIZERS = {"sgd": cr.SGD(0.1, momentum=0.9), "adam": cr.Adam(0.01)}
NETWORKS: dict[str, list[Any]] = {
    "plain": [cr.Dense(7, "relu"), cr.Dense(CLASSES, "softmax")],
    "dropout": [cr.Dense(7, "relu"), cr.Dropout(0.3), cr.Dense(CLASSES, "softmax")],
    "batch normalisation": [cr.Dense(7, bias=False), cr.BatchNorm(), cr.Dense(CLASSES, "softmax")],
}


def fitted(group: Any, layers: list[Any], engine: str, seed: int = 5, **options: Any) -> dict[str, np.ndarray]:
    """The parameters, state and costs after a fit."""
    net = cr.Network(FEATURES, layers, loss="cross_entropy", l2=0.01, seed=seed, engine=engine)
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 128, "optimizer": OPTIMIZERS["adam"], "verbose": False}
    history = net.fit(X, Y, **{**settings, **options}, group=group)
    costs = [value for record in history for value in (record.cost, record.validation_cost or 0.0)]
    return {**net.parameters, **net.state, "costs": np.array(costs)}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Exception) or isinstance(other, Exception):
        raise AssertionError(f"{one!r}\n{other!r}")
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("network", NETWORKS)
def test_any_number_of_workers_gives_the_same_bits(network: str, engine: str) -> None:
    options = {"optimizer": cr.Adam(0.01, clip_norm=0.5), "validation_data": (X[:50], Y[:50])}
    ends = [
        end
        for workers in (1, 2, 3, 4)
        for end in together(workers, lambda group: fitted(group, NETWORKS[network], engine, **options))
    ]
    assert all(same(ends[0], end) for end in ends[1:])


def test_data_larger_than_memory_give_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker lays the rows out for itself."""
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))

    def fit(group: Any) -> dict[str, np.ndarray]:
        net = cr.Network(FEATURES, NETWORKS["plain"], loss="cross_entropy", seed=5, engine="reference")
        net.fit(cr.Blocks(X, Y, WEIGHTS, memory=1 << 12), epochs=2, batch_size=100, verbose=False, group=group)
        return {**net.parameters, "costs": np.array([record.cost for record in net.history or ()])}

    ends = [end for workers in (1, 2, 3) for end in together(workers, fit)]
    assert all(same(ends[0], end) for end in ends[1:])


@pytest.mark.long
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [100, 300, 512])
def test_many_numbers_of_workers(network: str, engine: str, optimizer: str, weighted: bool, batch_size: int) -> None:
    options = {"optimizer": OPTIMIZERS[optimizer], "batch_size": batch_size}
    options["sample_weight"] = WEIGHTS if weighted else None
    most = min(batch_size, SAMPLES) // 32
    ends = [
        end
        for workers in sorted({1, 2, 3, most // 2 + 1, most})
        for end in together(workers, lambda group: fitted(group, NETWORKS[network], engine, **options))
    ]
    assert all(same(ends[0], end) for end in ends[1:])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("network", ["plain", "batch normalisation"])
def test_it_is_the_fit_without_a_group_but_for_rounding(network: str, weighted: bool) -> None:
    """The same batches in the same order; only their sums are added up in another one."""
    options = {"sample_weight": WEIGHTS if weighted else None, "optimizer": OPTIMIZERS["sgd"]}
    alone = fitted(None, NETWORKS[network], "reference", **options)
    (shared,) = together(1, lambda group: fitted(group, NETWORKS[network], "reference", **options))
    for name, expected in alone.items():
        np.testing.assert_allclose(shared[name], expected, rtol=2e-4, atol=2e-5, err_msg=name)


def test_first_weights_are_those_of_worker_0() -> None:
    ends = together(2, lambda group: fitted(group, NETWORKS["plain"], "reference", seed=group.rank))
    assert same(*ends)
    assert same(ends[0], together(1, lambda group: fitted(group, NETWORKS["plain"], "reference", seed=0))[0])


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_checkpoints_are_gone_on_from_by_another_number_of_workers(engine: str, tmp_path: Path) -> None:
    """Interrupted within an epoch."""

    class Interrupts(cr.Callback):
        looks = writes = False
        once = True

        def next_stop(self, step: int) -> int | None:
            return 5 if step < 5 else None

        def on_batches_end(self, fit: cr.FitState) -> None:
            if self.once:
                raise KeyboardInterrupt

    def interrupted(group: Any) -> str:
        try:
            fitted(group, NETWORKS["dropout"], engine, checkpoint=tmp_path, callbacks=[Interrupts()])
        except KeyboardInterrupt:
            return "interrupted"
        return "done"

    assert together(2, interrupted) == ["interrupted"] * 2
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files[-1] == "checkpoint-000000000005.safetensors"
    Interrupts.once = False
    options: dict[str, Any] = {"checkpoint": tmp_path, "resume": True, "callbacks": [Interrupts()]}
    ends = together(3, lambda group: fitted(group, NETWORKS["dropout"], engine, **options))
    (expected,) = together(1, lambda group: fitted(group, NETWORKS["dropout"], engine))
    assert all(same(end, expected) for end in ends)


def test_what_is_wrong_with_checkpoints_is_said_by_all(tmp_path: Path) -> None:
    def fit(group: Any, **options: Any) -> Any:
        return fitted(group, NETWORKS["plain"], "reference", checkpoint=tmp_path, **options)

    together(2, fit)
    ends = together(2, fit)
    assert [type(end) for end in ends] == [cr.DataError] * 2 and "holds checkpoints already" in str(ends[1])
    with pytest.raises(cr.DataError, match="by a fit with other sums over the samples"):
        fitted(None, NETWORKS["plain"], "reference", checkpoint=tmp_path, resume=True)


# --- what is decided --------------------------------------------------------------------------------------------------


def test_all_stop_at_the_same_step() -> None:
    """The clocks of others do not count; early stopping and a divergence are everybody's."""

    def limited(group: Any) -> tuple[int, str | None]:
        net = cr.Network(FEATURES, NETWORKS["plain"], loss="cross_entropy", engine="reference")
        limit = 0.3 if group.rank == 0 else 1e-9
        history = net.fit(X, Y, epochs=100_000, batch_size=64, verbose=False, time_limit=limit, group=group)
        return len(history), history.stopped

    first, other = together(2, limited)
    assert first == other and first[1] == "the time limit of 0.3 s was reached"

    def stopping(group: Any) -> tuple[int, str | None]:
        net = cr.Network(FEATURES, NETWORKS["plain"], loss="cross_entropy", engine="reference")
        stop = cr.EarlyStopping(patience=2)
        history = net.fit(
            X, Y, epochs=200, batch_size=64, verbose=False, callbacks=[stop], validation_data=(X[:40], Y[:40][::-1]),
            group=group,
        )  # fmt: skip
        return len(history), history.stopped

    first, other = together(2, stopping)
    assert first == other and first[0] < 200

    def diverging(group: Any) -> Any:
        net = cr.Network(FEATURES, [cr.Dense(4, "relu"), cr.Dense(1)], loss="squared_error")
        net.fit(X, Y * 1.0, epochs=9, batch_size=96, verbose=False, optimizer=cr.SGD(1e6), group=group)

    ends = together(3, diverging)
    assert [type(end) for end in ends] == [cr.DivergedError] * 3 and len({str(end) for end in ends}) == 1


# --- steps of one's own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_steps_of_their_own_and_an_average(engine: str) -> None:
    """Of one worker they are those of a fit without a group; of one step each, the average of two such steps."""
    options: dict[str, Any] = {"optimizer": cr.SGD(0.1), "sync_every": 3}
    alone = fitted(None, NETWORKS["plain"], engine, optimizer=cr.SGD(0.1))
    (one,) = together(1, lambda group: fitted(group, NETWORKS["plain"], engine, **options))
    for name, expected in alone.items():
        np.testing.assert_allclose(one[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
    ends = together(3, lambda group: fitted(group, NETWORKS["plain"], engine, **options))
    assert same(ends[0], ends[1]) and same(ends[0], ends[2]) and not np.array_equal(ends[0]["W1"], one["W1"])

    def once(X: Any, y: Any, group: Any = None) -> cr.Network:
        net = cr.Network(FEATURES, NETWORKS["plain"], loss="cross_entropy", engine=engine)
        sync = None if group is None else 1
        options = {"epochs": 1, "batch_size": len(X), "optimizer": cr.SGD(0.1), "shuffle": False, "verbose": False}
        net.fit(X, y, **options, group=group, sync_every=sync)
        return net

    first, second = once(X[:100], Y[:100]), once(X[100:200], Y[100:200])
    for net in together(2, lambda group: once(X[:200], Y[:200], group)):
        mean = (first.parameters["W1"] + second.parameters["W1"]) / 2
        np.testing.assert_allclose(net.parameters["W1"], mean, rtol=1e-5, atol=1e-7)
        assert net.history[0].cost == pytest.approx((first.history[0].cost + second.history[0].cost) / 2, rel=1e-5)


def test_steps_of_their_own_are_for_a_group() -> None:
    with pytest.raises(cr.SpecError, match="sync_every is for a group of workers"):
        fitted(None, NETWORKS["plain"], "reference", sync_every=3)


# --- rows of one's own ----------------------------------------------------------------------------------------------


def parted(group: Any, cuts: list[float], **options: Any) -> dict[str, np.ndarray]:
    """A fit of a worker who has the rows between two cuts alone."""
    a, b = (int(cut * SAMPLES) for cut in cuts[group.rank : group.rank + 2])
    net = cr.Network(FEATURES, NETWORKS["dropout"], loss="cross_entropy", engine="reference")
    settings = {"epochs": 2, "batch_size": 128, "sample_weight": WEIGHTS[a:b], "verbose": False, **options}
    history = net.fit(X[a:b], Y[a:b], **settings, group=cr.as_group(group, own_rows=True))
    return {**net.parameters, "costs": np.array([record.cost for record in history])}


def test_rows_of_their_own_give_the_same_bits_whoever_has_them(tmp_path: Path) -> None:
    (expected,) = together(1, lambda group: parted(group, [0, 1]))
    for cuts in ([0, 0.5, 1], [0, 0.1, 1], [0, 0.3, 0.9, 1], [0, 0.05, 0.1, 1]):
        ends = together(len(cuts) - 1, lambda group, cuts=cuts: parted(group, cuts))
        assert all(same(end, expected) for end in ends)
    together(2, lambda group: parted(group, [0, 0.7, 1], epochs=1, checkpoint=tmp_path))
    ends = together(3, lambda group: parted(group, [0, 0.2, 0.9, 1], checkpoint=tmp_path, resume=True, epochs=2))
    assert all(same(end, expected) for end in ends)


@pytest.mark.parametrize(("rows", "batch_size"), [(310, 128), (310, 310), (97, 40), (1000, 300), (9000, 4100)])
def test_an_epoch_has_every_row_once_and_each_shard_rows_of_its_block(rows: int, batch_size: int) -> None:
    blocks = Allotment(rows, batch_size)
    order = AllottedOrders((1, 1), blocks, True).draw(3)
    assert np.array_equal(np.sort(order), np.arange(rows))
    size = shard_size(batch_size)
    for begin in range(0, rows, batch_size):
        batch = order[begin : begin + batch_size]
        for k in range(shard_count(len(batch), size)):
            shard = batch[k * size : (k + 1) * size]
            assert (blocks.starts[k] <= shard).all() and (shard < blocks.starts[k + 1]).all()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not say where threads run")
def test_workers_of_one_machine_share_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 3, 5, 8, 9})
    monkeypatch.setenv("CHAINRULE_PROCESSORS", "5")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")

    def shares(threads: int | None) -> list[Any]:
        return [tuple(share) for share in together(2, lambda group: shared_out(group, threads))]

    assert shares(None) == [(2, (5, 8, 9)), (2, (2, 3, 9))]
    assert shares(1) == [(1, (5, 8, 9)), (1, (2, 3, 9))]
    assert shares(3) == [(3, ()), (3, ())]  # not enough for both


# --- bad input -------------------------------------------------------------------------------------------------------


def told(workers: int, **options: Any) -> list[Any]:
    """What each worker raises; an option that is a list has a value for each."""

    def work(group: Any) -> Any:
        own = {name: value[group.rank] if isinstance(value, list) else value for name, value in options.items()}
        layers = own.pop("layers", NETWORKS["plain"])
        net = cr.Network(FEATURES, layers, loss="cross_entropy")
        settings: dict[str, Any] = {"X": X, "y": Y, "epochs": 1, "batch_size": 128, "verbose": False}
        net.fit(**{**settings, **own}, group=group)

    return together(workers, work)


def test_workers_that_differ() -> None:
    cases: dict[str, dict[str, Any]] = {
        "the data": {"X": [X, X + np.float32(1)]},
        "the settings": {"batch_size": [128, 100]},
        "the program": {"layers": [NETWORKS["plain"], [cr.Dense(8, "tanh"), cr.Dense(CLASSES, "softmax")]]},
        "the samples held out": {"validation_data": [(X, Y), (X[:9], Y[:9])]},
    }
    for what, options in cases.items():
        ends = told(2, **options)
        assert [type(end) for end in ends] == [cr.GroupError] * 2
        assert len({str(end) for end in ends}) == 1
        assert f"The 2 workers do not train the same. They differ in {what}" in str(ends[0])


def test_a_fault_of_one_is_told_to_all() -> None:
    ends = told(3, X=[X, X[:, :4], X])
    assert [type(end) for end in ends] == [cr.GroupError, cr.DataError, cr.GroupError]
    assert str(ends[2]) == f"Worker 1 of 3 cannot take part: {ends[1]}"
    wrong = X.copy()
    wrong[3, 1] = np.nan
    assert "cannot take part: X must be finite" in str(told(2, X=[wrong, X])[1])


def test_work_for_all() -> None:
    ends = told(2, batch_size=32)
    assert str(ends[0]) == str(ends[1]) and isinstance(ends[0], cr.SpecError)
    assert "1 shard of 32 samples or more, and there are 2 workers" in str(ends[0])
    assert "batch_size=64" in str(ends[0]) and "batch_size=4096" in str(told(9)[0])
    assert "A batch has 16 shards, work for as many workers at most. Got 17 workers." in str(told(17)[3])


def test_what_is_no_group() -> None:
    net = cr.Network(FEATURES, NETWORKS["plain"], loss="cross_entropy", engine="reference")
    with pytest.raises(cr.SpecError, match=r"group must be a communicator of mpi4py .* Got 'gloo' instead"):
        net.fit(X, Y, epochs=1, group="gloo")
