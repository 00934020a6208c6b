"""Network from the outside: parameters, files, fitting, weights of samples, divergence, interrupts."""

from __future__ import annotations

import copy
import math
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError, DivergedError
from chainrule.program.equation import Program
from chainrule.rules.derive import derive_step
from problems import PROBLEMS, Problem, classifier, in_turn, on_each_engine, table

RNG = np.random.default_rng


# --- parameters and files --------------------------------------------------------------------------------------------


def test_parameters_are_writable_views(engine: str) -> None:
    net = classifier(engine)
    X, _ = table()
    before = net.predict(X)
    assert list(net.parameters) == ["W1", "b1", "W2", "b2"]
    assert {k: v.shape for k, v in net.parameters.items()} == {"W1": (4, 8), "b1": (8,), "W2": (8, 3), "b2": (3,)}
    net.parameters["b2"][0] += 5
    assert (net.predict(X)[:, 0] > before[:, 0]).all()
    net.parameters["b2"][0] -= 5
    np.testing.assert_allclose(net.predict(X), before, rtol=1e-12)
    assert all(v.ctypes.data % 64 == 0 and v.flags.c_contiguous for v in net.parameters.values())
    handed_out = net.parameters
    handed_out.clear()
    assert len(net.parameters) == 4


@pytest.mark.parametrize("problem", in_turn(PROBLEMS, 2))
def test_save_and_load_give_the_same_bits(problem: Problem, tmp_path: Path) -> None:
    """A file knows nothing of engines: one problem shows that."""
    engine = "compiled" if problem.name == "batch norm, l2" else "reference"
    net = problem.network(engine, "float32")
    X, y, _ = problem.data()
    net.save(tmp_path / "net.safetensors")
    again = cr.Network.load(tmp_path / "net.safetensors", engine=engine)  # type: ignore[arg-type]
    assert again.spec == net.spec and again.dtype == net.dtype and again.seed == net.seed
    for kind in ("parameters", "state"):
        mine, its = getattr(net, kind), getattr(again, kind)
        assert list(mine) == list(its) and all(np.array_equal(mine[k], its[k]) for k in mine)
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert again.cost(X, y, training=True) == net.cost(X, y, training=True)
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_independent_and_complete(way: Any, engine: str) -> None:
    X, y = table()
    net = cr.Network(4, [cr.Dense(6), cr.BatchNorm("tanh"), cr.Dropout(0.2), cr.Dense(3, "softmax")], "cross_entropy",
                     engine=engine)  # fmt: skip
    net.fit(X, y, epochs=2, verbose=False)
    net.predict(X[:1])  # whatever an engine keeps for the next call must not travel
    other = way(net)
    np.testing.assert_array_equal(other.predict(X), net.predict(X))
    assert other.spec == net.spec and other.history == net.history
    before = net.predict(X)
    net_again, other_again = (n.fit(X, y, epochs=1, verbose=False)[0].cost for n in (way(net), other))
    assert net_again == other_again
    for array in other.parameters.values():
        array[...] = 0
    assert other.predict(X[:1]) == pytest.approx(np.full((1, 3), 1 / 3))
    np.testing.assert_array_equal(net.predict(X), before)


def test_a_pickled_formula_is_understood_by_another_process() -> None:
    """Python hashes text differently in every process; an expression must not bring its hash along."""
    spec = cr.NetworkSpec(2, [cr.Dense(3, cr.Activation("z * sigmoid(z)")), cr.Dense(1)], "squared_error")
    printed = str(cr.derive(spec))
    code = (
        "import pickle, sys, chainrule as cr; s = pickle.loads(sys.stdin.buffer.read()); "
        "assert s == cr.NetworkSpec.from_dict(s.to_dict()) and hash(s) == hash(cr.NetworkSpec.from_dict(s.to_dict())); "
        "sys.stdout.buffer.write(str(cr.derive(s)).encode())"
    )
    hashed = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(spec), capture_output=True, env=hashed,
                          timeout=60, check=True)  # fmt: skip
    assert done.stdout.decode() == printed


def test_what_is_no_network_is_not_loaded(tmp_path: Path, engine: str) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="text is not a network saved by chainrule"):
        cr.Network.load(tmp_path / "text")
    with pytest.raises(DataError, match="nothing"):
        cr.Network.load(tmp_path / "nothing")
    from safetensors.numpy import save_file

    save_file({"W1": np.zeros(3)}, tmp_path / "other", {"format": "another"})
    with pytest.raises(DataError, match=r"^[^:]*other is not a network saved by chainrule"):
        cr.Network.load(tmp_path / "other")
    classifier(engine).save(tmp_path / "net")
    (tmp_path / "net").write_bytes((tmp_path / "net").read_bytes()[:-20])
    with pytest.raises(DataError, match="net"):
        cr.Network.load(tmp_path / "net")


def test_a_file_that_cannot_be_written_says_so(engine: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        classifier(engine).save(tmp_path / "file" / "net")


# --- fitting ---------------------------------------------------------------------------------------------------------


def fitted(engine: str, problem: Problem, *, epochs: int = 3, **options: Any) -> cr.Network:
    net = problem.network(engine)
    X, y, w = problem.data(samples=30)
    settings = {"optimizer": cr.Adam(0.01), "batch_size": 8, "verbose": False}
    net.fit(X, y, epochs=epochs, sample_weight=w, **{**settings, **options})
    return net


@on_each_engine(2, share=6)
def test_a_fit_lowers_the_cost_and_repeats_itself(problem: Problem, engine: str) -> None:
    one, two = (fitted(engine, problem) for _ in range(2))
    assert all(np.array_equal(one.parameters[k], two.parameters[k]) for k in one.parameters)
    assert all(np.array_equal(one.state[k], two.state[k]) for k in one.state)
    history = one.history
    assert history is not None and [r.epoch for r in history] == [1, 2, 3]
    assert [r.cost for r in history] == [r.cost for r in two.history]  # type: ignore[union-attr]
    if problem.name in ("own loss, constant", "softmax of one output"):  # nothing to be learnt
        return
    X, y, w = problem.data(samples=30)
    small = problem.network(engine)
    start = small.cost(X, y, sample_weight=w, training=True)
    small.fit(X, y, epochs=20, batch_size=30, sample_weight=w, optimizer=cr.Adam(0.003), verbose=False)
    assert small.cost(X, y, sample_weight=w, training=True) < start


def test_the_seed_decides_weights_order_and_masks(engine: str) -> None:
    problem = next(p for p in PROBLEMS if p.name == "dropout")
    X, y, _ = problem.data(samples=30)
    networks = []
    for seed in (1, 1, 2):
        net = cr.Network(6, problem.layers(), problem.loss, seed=seed, engine=engine)  # type: ignore[arg-type]
        net.fit(X, y, epochs=2, verbose=False, batch_size=4)
        networks.append(net.parameters["W1"])
    assert np.array_equal(networks[0], networks[1]) and not np.array_equal(networks[0], networks[2])
    drawn = {cr.Network(2, [cr.Dense(1)], "squared_error", seed=None).seed for _ in range(4)}
    assert len(drawn) > 1


def test_a_second_fit_takes_another_order(engine: str) -> None:
    X, y = table()
    net = classifier(engine)
    costs = []
    for _ in range(2):
        for array in net.parameters.values():
            array[...] = 0.1
        costs.append(net.fit(X, y, epochs=1, batch_size=4, optimizer=cr.SGD(0.5), verbose=False)[0].cost)
    assert costs[0] != costs[1]


def test_the_last_smaller_batch_has_its_own_m(engine: str) -> None:
    X, y = table(10)
    net, by_hand = classifier(engine, l2=0.3), classifier(engine, l2=0.3)
    costs = []
    for part in (slice(0, 4), slice(4, 8), slice(8, 10)):
        costs.append(by_hand.cost(X[part], y[part]))
        gradients = by_hand.gradients(X[part], y[part])
        for name, array in by_hand.parameters.items():
            array -= 0.5 * gradients[name]
    history = net.fit(X, y, epochs=1, batch_size=4, shuffle=False, optimizer=cr.SGD(0.5), verbose=False)
    for name, array in by_hand.parameters.items():
        np.testing.assert_allclose(net.parameters[name], array, rtol=1e-12, atol=1e-14)
    assert history[0].cost == pytest.approx(np.average(costs, weights=[4, 4, 2]), rel=1e-12)


def test_a_batch_larger_than_the_data_is_the_data(engine: str) -> None:
    X, y = table(5)
    nets = [classifier(engine) for _ in range(2)]
    for net, size in zip(nets, (5, 1000), strict=True):
        net.fit(X, y, epochs=2, batch_size=size, verbose=False)
    assert np.array_equal(nets[0].parameters["W1"], nets[1].parameters["W1"])


def test_dropout_masks_change_from_step_to_step(engine: str) -> None:
    net = cr.Network(30, [cr.Dropout(0.5), cr.Dense(1)], "squared_error", dtype="float64", engine=engine)
    X, y = np.ones((1, 30)), [5.0]
    before = net.parameters["W1"].copy()
    net.fit(X, y, epochs=1, optimizer=cr.SGD(1e-3), verbose=False)
    once = net.parameters["W1"] != before
    net.fit(np.ones((6, 30)), [5.0] * 6, epochs=1, batch_size=1, optimizer=cr.SGD(1e-3), verbose=False)
    assert once.sum() < 30 and (net.parameters["W1"] != before).all()


def test_running_statistics_follow_the_batches(engine: str) -> None:
    net = cr.Network(3, [cr.BatchNorm(momentum=0.25), cr.Dense(1)], "squared_error", dtype="float64", engine=engine)
    X, y = RNG(0).normal(2, 3, (20, 3)), np.zeros(20)
    net.fit(X, y, epochs=1, batch_size=10, shuffle=False, optimizer=cr.SGD(1e-9), verbose=False)
    mean, var = np.zeros(3), np.ones(3)
    for part in (X[:10], X[10:]):
        mean, var = 0.75 * mean + 0.25 * part.mean(axis=0), 0.75 * var + 0.25 * part.var(axis=0)
    np.testing.assert_allclose(net.state["mean0"], mean, rtol=1e-12)
    np.testing.assert_allclose(net.state["var0"], var, rtol=1e-12)


def test_validation_is_evaluated_after_each_epoch(engine: str) -> None:
    X, y = table(60)
    net = classifier(engine)
    w = RNG(1).uniform(0.1, 2, 20)
    history = net.fit(X[:40], y[:40], epochs=3, validation_data=(X[40:], y[40:], w), verbose=False)
    J, metric, value = net.evaluate(X[40:], y[40:], sample_weight=w)
    assert history[-1].validation_cost == J and history[-1].validation_metric == value
    assert history[-1].metric_name == metric == "accuracy"
    assert net.cost(X[40:], y[40:], sample_weight=w) == J
    right = net.predict(X[40:]).argmax(axis=1) == y[40:]
    assert value == pytest.approx((w * right).sum() / w.sum())


def test_a_regression_reports_its_error(engine: str) -> None:
    X, _ = table()
    net = cr.Network(4, [cr.Dense(1)], "squared_error", dtype="float64", engine=engine)
    _, metric, value = net.evaluate(X, X[:, 0])
    assert metric == "error" and value == pytest.approx(math.sqrt(((net.predict(X)[:, 0] - X[:, 0]) ** 2).mean()))


# --- weights of samples ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per", ["sample", "weight"])
def test_penalties_are_per_sample_or_per_weight(per: str, engine: str) -> None:
    X, y = table(20)
    w = RNG(3).uniform(0.5, 4, 20)
    net = classifier(engine, l2=0.3, penalty_per=per)
    plain = classifier(engine)
    for name, array in plain.parameters.items():
        array[...] = net.parameters[name]
    squares = sum(float((a**2).sum()) for n, a in net.parameters.items() if n.startswith("W"))
    count = 20 if per == "sample" else w.sum()
    expected = plain.cost(X, y, sample_weight=w) + 0.3 / (2 * count) * squares
    assert net.cost(X, y, sample_weight=w) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_whole_weights_are_repeated_samples(reduction: str, engine: str) -> None:
    X, y = table(20)
    counts = RNG(3).integers(0, 4, 20)
    net = classifier(engine, reduction=reduction)
    rows = np.repeat(np.arange(20), counts)
    assert net.cost(X, y, sample_weight=counts) == pytest.approx(net.cost(X[rows], y[rows]), rel=1e-12)
    weighted, repeated = net.gradients(X, y, sample_weight=counts), net.gradients(X[rows], y[rows])
    for name in net.parameters:
        np.testing.assert_allclose(weighted[name], repeated[name], rtol=1e-11, atol=1e-14)
    assert not weighted["X"][counts == 0].any()


def test_a_batch_of_samples_without_weight_changes_nothing(engine: str) -> None:
    X, y = table(12)
    w = np.r_[np.full(4, 3.0), np.zeros(8)]
    net, first = classifier(engine), classifier(engine)
    options: dict[str, Any] = {"epochs": 1, "shuffle": False, "optimizer": cr.SGD(0.1), "verbose": False}
    net.fit(X, y, batch_size=4, sample_weight=w, **options)
    first.fit(X[:4], y[:4], **options)
    for name, array in first.parameters.items():
        np.testing.assert_allclose(net.parameters[name], array, rtol=1e-12)


def test_gradients_of_tokens_have_no_x(engine: str) -> None:
    net = cr.Network(2, [cr.Embedding(5, 3), cr.Dense(5, "softmax")], "cross_entropy", engine=engine)
    assert list(net.gradients([[0, 1], [4, 4]], [2, 3])) == ["E", "W1", "b1"]


# --- going wrong -----------------------------------------------------------------------------------------------------


def test_divergence_names_epoch_and_batch_and_keeps_finite_parameters(engine: str) -> None:
    X, y = RNG(0).normal(size=(40, 3)), RNG(1).normal(size=40)
    net = cr.Network(3, [cr.Dense(4), cr.Dense(1)], "squared_error", engine=engine)
    with pytest.raises(DivergedError, match=r"epoch \d+, batch \d+.*learning rate") as caught:
        net.fit(X, y, epochs=500, batch_size=8, optimizer=cr.SGD(5.0), verbose=False)
    assert caught.value.epoch >= 1 and 1 <= caught.value.batch <= 5
    assert str(caught.value.batch) in str(caught.value)
    assert all(np.isfinite(v).all() for v in net.parameters.values())
    assert np.isfinite(net.predict(X)).all()
    net.fit(X, y, epochs=1, optimizer=cr.SGD(1e-4), verbose=False)


def test_divergence_of_the_very_last_step_is_noticed(engine: str) -> None:
    net = cr.Network(1, [cr.Dense(1)], "squared_error", engine=engine)
    with pytest.raises(DivergedError):
        net.fit([[1e15]], [1.0], epochs=1, optimizer=cr.SGD(1e30), verbose=False)
    assert np.isfinite(net.parameters["W1"]).all()


def test_divergence_to_both_sides_is_noticed_without_a_warning(engine: str) -> None:
    """Parameters that became inf and -inf in the last step: their sum is no number."""
    net = cr.Network(3, [cr.Dense(4, "relu"), cr.Dense(1)], "squared_error", engine=engine)
    before = {name: array.copy() for name, array in net.parameters.items()}
    X = 1e3 * RNG(0).normal(size=(20, 3))
    with pytest.raises(DivergedError, match="parameters are no longer finite"):
        net.fit(X, X[:, 0], epochs=1, batch_size=20, optimizer=cr.SGD(1e37), verbose=False)
    assert all(np.array_equal(net.parameters[name], array) for name, array in before.items())


class Log(cr.Callback):
    """Writes down the hooks, and raises at one."""

    def __init__(self, raise_at: str = "", what: BaseException | None = None) -> None:
        self.seen: list[str] = []
        self.raise_at, self.what = raise_at, what

    def _note(self, name: str) -> None:
        self.seen.append(name)
        if name == self.raise_at and self.what is not None:
            raise self.what

    def on_fit_begin(self, fit: Any) -> None:
        self._note("fit begins")

    def on_epoch_begin(self, fit: Any) -> None:
        self._note(f"epoch {fit.epoch} begins")

    def on_epoch_end(self, fit: Any, record: cr.EpochRecord) -> None:
        self._note(f"epoch {record.epoch} ends")

    def on_fit_end(self, fit: Any) -> None:
        self._note("fit ends")


@pytest.mark.parametrize("at", ["epoch 2 begins", "epoch 2 ends"])
def test_ctrl_c_leaves_a_usable_network_and_runs_the_hooks(at: str, engine: str) -> None:
    X, y = table()
    net, log, other = classifier(engine), Log(at, KeyboardInterrupt()), Log()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=5, callbacks=[log, other], verbose=False)
    assert log.seen[-1] == "fit ends" and other.seen[-1] == "fit ends" and at in log.seen
    assert all(np.isfinite(v).all() for v in net.parameters.values())
    assert net.history is not None and net.history.stopped == "interrupted"
    assert len(net.fit(X, y, epochs=1, verbose=False)) == 1


def test_hooks_run_in_order(engine: str) -> None:
    X, y = table()
    log = Log()
    classifier(engine).fit(X, y, epochs=2, callbacks=[log], verbose=False)
    assert log.seen == ["fit begins", "epoch 1 begins", "epoch 1 ends", "epoch 2 begins", "epoch 2 ends", "fit ends"]


class Pause(cr.Callback):
    """Does something after every second batch."""

    every = 2

    def __init__(self, action: Any) -> None:
        self.action = action

    def on_batches_end(self, fit: cr.FitState) -> None:
        self.action()


def test_what_is_done_within_a_fit_leaves_its_memory(engine: str) -> None:
    """Calls, and a fit of an equal network; another fit of the same one is refused."""
    X, _ = table(30)
    y, momentum = X.sum(axis=1), cr.SGD(0.01, momentum=0.9)

    def made() -> cr.Network:
        return cr.Network(4, [cr.Dense(5, "tanh"), cr.Dense(1)], "squared_error", dtype="float64", engine=engine)

    alone, net = made(), made()
    alone.fit(X, y, epochs=2, batch_size=4, optimizer=momentum, verbose=False)

    def inside() -> None:
        kept = {name: array.copy() for name, array in net.parameters.items()}
        net.predict(X), net.gradients(X, y)
        made().fit(X[:9], y[:9], epochs=1, batch_size=2, optimizer=momentum, verbose=False)
        with pytest.raises(cr.SpecError, match="is being fitted"):
            net.fit(X[:9], y[:9], epochs=1, batch_size=2, optimizer=momentum, verbose=False)
        for name, array in kept.items():
            np.testing.assert_array_equal(net.parameters[name], array)

    net.fit(X, y, epochs=2, batch_size=4, optimizer=momentum, callbacks=[Pause(inside)], verbose=False)
    for name, array in alone.parameters.items():
        np.testing.assert_array_equal(net.parameters[name], array)


def test_what_is_assigned_to_a_parameter_is_written_into_the_network(engine: str) -> None:
    X, _ = table(5)
    net, other = classifier(engine), classifier(engine, seed=3)
    for name, array in other.parameters.items():
        net.parameters[name] = array
    assert np.array_equal(net.predict(X), other.predict(X))
    net.parameters.update(b1=np.ones(net.parameters["b1"].shape))
    assert net.parameters["b1"].min() == 1
    for wrong, says in (((2, 2), "W1 must be of shape"), (net.parameters["W1"].shape, "W1 must be finite")):
        with pytest.raises(DataError, match=says):
            net.parameters["W1"] = np.full(wrong, math.nan)
    with pytest.raises(DataError, match=r"b1 must be finite. Got inf at \[0\]"):
        classifier(engine, dtype="float32").parameters["b1"] = np.full(8, 1e300)
    with pytest.raises(cr.SpecError, match=r"Unknown array 'w1'\. Did you mean 'W1'"):
        net.parameters["w1"] = 0
    for kept in (copy.deepcopy(net.parameters), pickle.loads(pickle.dumps(net.parameters)), net.parameters | net.state):
        assert kept.keys() == net.parameters.keys() and type(kept) is dict
    assert not np.shares_memory(copy.deepcopy(net.parameters)["W1"], net.parameters["W1"])


def test_another_learning_rate_is_the_same_program() -> None:
    net = classifier("reference")
    assert net.derive(optimizer=cr.SGD(0.1)) is net.derive(optimizer=cr.SGD(cr.Cosine(0.2)))
    assert net.derive(optimizer=cr.SGD(0.1)) is not net.derive(optimizer=cr.SGD(0.1, momentum=0.9))
    assert net.derive(optimizer=cr.SGD(0.1)) is not net.derive(optimizer=cr.SGD(0.1, clip_norm=1.0))
    assert cr.SGD(np.float32(0.5)) == cr.SGD(0.5)


@pytest.mark.parametrize(
    ("loss", "last", "no"), [("hinge", "identity", -1.0), ("binary_cross_entropy", "sigmoid", 0.0)]
)
def test_accuracy_of_one_class_each_is_of_the_samples(loss: str, last: str, no: float) -> None:
    X, y = table(60)
    one, several = np.where(np.eye(3)[y] > 0, 1.0, no), np.where(RNG(0).random((60, 3)) > 0.5, 1.0, no)
    net = cr.Network(4, [cr.Dense(3, last)], loss, engine="reference")
    assert net.evaluate(X, one)[2] == np.mean(net.predict(X).argmax(axis=1) == y)
    middle = (1 + no) / 2
    assert net.evaluate(X, several)[2] == pytest.approx(np.mean((net.predict(X) > middle) == (several > middle)))


def test_an_own_loss_may_bear_any_name() -> None:
    X, y = table(9)
    net = cr.Network(4, [cr.Dense(1)], cr.Loss("abs(yhat - y)", name="hinge"), engine="reference")
    assert net.evaluate(X, y * 7.0)[1] == "error"


def test_a_time_limit_ends_the_fit_between_batches(engine: str) -> None:
    X, y = table(500)
    net = classifier(engine)
    net.fit(X, y, epochs=1, batch_size=8, verbose=False)  # compiling takes longer than the limit where much is going on
    history = net.fit(X, y, epochs=10**6, batch_size=8, time_limit=0.2, verbose=False)
    assert history.stopped == "the time limit of 0.2 s was reached"
    assert 1 <= len(history) < 10**6 and np.isfinite(net.cost(X, y))
    with pytest.raises(cr.DataError, match="time_limit must be a finite number above 0"):
        net.fit(X, y, epochs=1, time_limit=0)


def test_the_penalty_by_itself_is_what_the_cost_has_of_it() -> None:
    """m J with penalties less m J without them, also as gradients; biases, scales and shifts are not penalised."""
    layers = [cr.Dense(5, "tanh"), cr.BatchNorm("relu"), cr.Dense(2)]
    options: dict[str, Any] = {"dtype": "float64", "engine": "reference"}
    nets = [cr.Network(3, layers, "squared_error", l1=l1, l2=l2, **options) for l1, l2 in ((0.3, 0.7), (0, 0))]
    X, y = RNG(0).normal(size=(8, 3)), RNG(1).normal(size=(8, 2))
    penalty, slopes = nets[0].penalty()
    assert penalty == pytest.approx(8 * (nets[0].cost(X, y) - nets[1].cost(X, y)))
    gradients = [net.gradients(X, y) for net in nets]
    for name in nets[0].parameters:
        expected = 8 * (gradients[0][name] - gradients[1][name])
        np.testing.assert_allclose(slopes.get(name, np.zeros_like(expected)), expected, atol=1e-12)
    assert slopes.keys() == {"W1", "W2"} and nets[1].penalty() == (0, {})


def test_networks_of_one_description_share_what_is_derived() -> None:
    """The second of a shape begins at once; what differs, if only by a factor, is derived anew."""

    def made(rate: float = 0.1, **options: Any) -> tuple[cr.Network, Program]:
        net = cr.Network(3, [cr.Dense(4, "tanh"), cr.Dropout(rate), cr.Dense(2)], "squared_error", **options)
        return net, net.training_program(cr.Adam(0.5))

    (first, step), (second, same) = made(), made()
    assert first.program is second.program and step is same
    assert made(0.2)[1] is not step and made(l2=0.1)[1] is not step
    assert made()[0].training_program(cr.Adam(beta1=0.8)) is not step
    first.parameters["W1"][...] = 0
    assert second.parameters["W1"].any()


def test_an_optimizer_that_no_dict_can_hold_is_derived_each_time() -> None:
    @dataclass(frozen=True)
    class Listed(cr.SGD):
        names: list[str] = field(default_factory=list)

    net = cr.Network(2, [cr.Dense(1)], "squared_error")
    programs = [cr.derive(net.spec, optimizer=Listed(0.1)) for _ in range(2)]
    assert programs[0] == programs[1] and programs[0] is not programs[1]
    assert derive_step(net.spec, Listed(0.1)) == derive_step(net.spec, cr.SGD(0.1))
