"""The table of engines, and their sessions: who owns which array, and what a session says at any moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.base import Epoch, EpochResult, Session
from chainrule.engines.recent import Recent
from chainrule.engines.reference import ReferenceEngine
from chainrule.engines.table import ENGINES, engine_names
from chainrule.language import CharacterModel

RNG = np.random.default_rng
SAMPLES, BATCH_SIZE = 50, 8
STEPS = -(-SAMPLES // BATCH_SIZE)


def network(engine: str = "auto", **options: Any) -> cr.Network:
    layers = [cr.Dense(19, "tanh"), cr.BatchNorm(), cr.Dropout(0.2), cr.Dense(3, "softmax")]
    return cr.Network(5, layers, "cross_entropy", engine=engine, **options)


def data() -> tuple[np.ndarray, np.ndarray]:
    return RNG(0).normal(size=(SAMPLES, 5)).astype(np.float32), RNG(1).integers(0, 3, SAMPLES)


def opened(net: cr.Network, engine: str) -> tuple[Session, Epoch]:
    """A session with Adam, and an epoch of it."""
    X, y = data()
    program = net.training_program(cr.Adam(0.01), targets="labels")
    session = net.engines.named(engine).open(program, {**net.parameters, **net.state})
    rates = np.linspace(0.02, 0.01, STEPS)
    return session, Epoch({"X": X, "y": y}, RNG(2).permutation(SAMPLES), BATCH_SIZE, rates, first_step=1, seed=7)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


# --- the table -------------------------------------------------------------------------------------------------------


class Counting(ReferenceEngine):
    """An engine from outside: the reference's, and it counts what it is asked."""

    name = "counting"
    runs = opens = 0

    def run(self, *arguments: Any) -> dict[str, np.ndarray]:
        Counting.runs += 1
        return super().run(*arguments)

    def open(self, *arguments: Any) -> Session:
        Counting.opens += 1
        return super().open(*arguments)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> str:
    """Its name in the table."""
    monkeypatch.setitem(ENGINES, "counting", Counting)
    Counting.runs = Counting.opens = 0
    return "counting"


def test_an_engine_from_outside_is_used_by_its_name(counting: str) -> None:
    X, y = data()
    nets = [network(name) for name in (counting, "reference")]
    for net in nets:
        net.fit(X, y, epochs=2, verbose=False)
    assert Counting.opens == 1 and same(dict(nets[0].parameters), dict(nets[1].parameters))
    nets[0].predict(X)
    assert Counting.runs == 1
    model = cr.MLPClassifier((4,), max_iter=2, engine=counting)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.fit(X, y)
    assert Counting.opens == 2 and model.network_.engines.name == counting
    names = CharacterModel(engine=counting).fit(["ann", "bob"], epochs=1, verbose=False)
    assert Counting.opens == 3 and names.network.engines.name == counting


def test_messages_and_constraints_are_read_from_the_table(counting: str) -> None:
    assert engine_names() == ("auto", "compiled", "reference", "counting")
    with pytest.raises(cr.SpecError, match="'auto', 'compiled', 'reference' or 'counting'"):
        network("count")
    with pytest.raises(ValueError, match=r"among \{'auto', 'compiled', 'reference', 'counting'\}"):
        cr.MLPClassifier(engine="count").fit(*data())


# --- sessions --------------------------------------------------------------------------------------------------------


def test_a_session_shares_no_memory(engine: str) -> None:
    net = network(engine)
    session, epoch = opened(net, engine)
    before = {name: array.copy() for name, array in (net.parameters | net.state).items()}
    first = session.read()
    session.epoch(epoch)
    assert same(dict(net.parameters | net.state), before)
    assert all(np.array_equal(first[name], array) for name, array in before.items())
    after = session.read()
    assert not np.array_equal(after["W1"], first["W1"])
    after["W1"][...] = 0
    net.parameters["W1"][...] = 0
    assert session.read(["W1"])["W1"].any()


def test_slots_can_be_read_between_any_two_batches_and_a_session_goes_on_from_what_was_read(engine: str) -> None:
    net = network(engine)
    program = net.training_program(cr.Adam(0.01), targets="labels")
    whole, epoch = opened(net, engine)
    assert not any(array.any() for name, array in whole.read().items() if name[:2] in ("M_", "V_"))
    costs = whole.epoch(epoch).costs
    for first in range(1, STEPS):
        part, _ = opened(net, engine)
        some = part.epoch(epoch.part(0, first)).costs
        kept = part.read()
        part.close()
        assert kept["V_W2"].any() and {s.name for s in program.stored} == kept.keys()
        again = net.engines.named(engine).open(program, kept)
        others = again.epoch(epoch.part(first, STEPS - first)).costs
        np.testing.assert_array_equal(np.concatenate([some, others]), costs)
        assert same(again.read(), whole.read())


def test_what_is_written_counts(engine: str) -> None:
    net = network(engine)
    (session, epoch), (other, _) = opened(net, engine), opened(net, engine)
    session.epoch(epoch)
    session.write({name: array for name, array in other.read().items() if name != "W1"})
    assert not same(session.read(), other.read())
    session.write(other.read(["W1"]) | {"unknown": np.zeros(3)})
    np.testing.assert_array_equal(session.epoch(epoch).costs, other.epoch(epoch).costs)
    into = {"W2": np.zeros((19, 3), np.float32), "unknown": np.zeros(1)}
    session.read_into(into)
    np.testing.assert_array_equal(into["W2"], other.read()["W2"])


def test_a_mark_is_come_back_to_with_slots(engine: str) -> None:
    session, epoch = opened(network(engine), engine)
    session.epoch(epoch.part(0, 2))
    marked = session.read()
    session.mark()
    session.epoch(epoch.part(2, 3))
    assert not same(session.read(), marked)
    session.rewind()
    assert same(session.read(), marked)


@pytest.mark.parametrize("name", ["W1", "b2", "var1"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_session_knows_what_is_not_finite(name: str, value: float, engine: str) -> None:
    net = network(engine)
    session, _ = opened(net, engine)
    names = [*net.parameters, *net.state]
    assert session.finite(names)
    array = session.read([name])[name]
    array.flat[-1] = value
    session.write({name: array})
    assert not session.finite(names) and session.finite(n for n in names if n != name)
    # Numbers whose sum is too large are finite all the same, and so are parameters beside slots that are not.
    session.write({name: np.full_like(array, 3e38), "V_W1": np.full((5, 19), np.inf, np.float32)})
    assert session.finite(names)


# --- an update means the same everywhere -----------------------------------------------------------------------------


def test_running_an_update_is_one_step_without_overwriting(engine: str) -> None:
    net = network(engine)
    session, _ = opened(net, engine)
    X, y = data()
    names = ("W1", "V_b2", "mean1", "dW1", net.program.objective.name, "lr", "m")
    given = {"X": X, "y": y, "m": np.float32(SAMPLES), "lr": 0.02, "t": 1, "seed": 7}
    program = net.training_program(cr.Adam(0.01), targets="labels")
    stored = session.read()
    found = net.engines.named(engine).run(program, {**stored, **given}, names)
    inside = session.run(given, names)
    assert same(found, inside) and same(session.read(), stored)
    one = Epoch({"X": X, "y": y}, np.arange(SAMPLES), SAMPLES, np.array([0.02]), first_step=1, seed=7)
    costs = session.epoch(one).costs
    assert costs[0] == pytest.approx(float(found[net.program.objective.name]), rel=1e-6)
    for name in ("W1", "V_b2", "mean1"):
        np.testing.assert_allclose(session.read()[name], found[name], rtol=1e-4, atol=1e-7)
    reference = ReferenceEngine(net.dtype).run(program, {**stored, **given}, names)
    for name in names:
        np.testing.assert_allclose(found[name], reference[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", [None, cr.SGD(0.02)], ids=str)
def test_what_nobody_asked_for_is_not_in_the_way(engine: str, optimizer: cr.SGD | None) -> None:
    """A whole derivation has dX and every gradient in it, whatever is wanted of a run."""
    net = cr.Network(4, [cr.Dense(5, "relu"), cr.Dense(3, "softmax")], "cross_entropy", engine=engine, seed=1)
    program = net.derive(optimizer=optimizer)
    X = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    rates = {"lr": np.float32(0.02), "t": 1}
    given = {**net.parameters, "X": X, "Y": np.eye(3, dtype=np.float32)[np.arange(7) % 3], "m": np.float32(7), **rates}
    expected = ReferenceEngine(net.dtype).run(program, given, ("J", "dW1", "dX", "W1"))
    for wanted in (("J",), ("dW1",), ("W1", "J"), ("dX",)):
        values = net.engines.named(engine).run(program, given, wanted)
        for name in wanted:
            np.testing.assert_allclose(values[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


# --- orders ----------------------------------------------------------------------------------------------------------


class Seen(ReferenceEngine):
    """Writes down the orders of the epochs."""

    orders: list[np.ndarray]

    def open(self, *arguments: Any) -> Session:
        session = super().open(*arguments)
        run = session.epoch

        def epoch(epoch: Epoch, stop: Any = None) -> EpochResult:
            Seen.orders.append(epoch.order)
            return run(epoch, stop)

        session.epoch = epoch  # type: ignore[method-assign]
        return session


@pytest.mark.parametrize("samples", [7, 12_000])  # many are drawn beside the epoch before
def test_the_order_of_an_epoch_follows_from_seed_fit_and_epoch_alone(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "seen", Seen)
    Seen.orders = []
    net = cr.Network(1, [cr.Dense(1)], "squared_error", seed=5, engine="seen")
    X = np.zeros((samples, 1))
    for _ in range(2):
        net.fit(X, X, epochs=3, batch_size=samples, verbose=False)
    assert len(Seen.orders) == 6
    for k, order in enumerate(Seen.orders):
        expected = np.random.default_rng((5, k // 3 + 1, 2, k % 3 + 1)).permutation(samples)
        np.testing.assert_array_equal(order, expected)


# --- callbacks and the network's arrays ------------------------------------------------------------------------------


class Looking(cr.Callback):
    """Keeps W1 as it is at each hook; looks says how it gets at it."""

    writes = False

    def __init__(self, net: cr.Network, every: int | None, looks: bool, refreshes: bool = False) -> None:
        self.net, self.every, self.looks, self.refreshes = net, every, looks, refreshes
        self.kept: list[np.ndarray] = []

    def _keep(self, fit: cr.FitState) -> None:
        if self.refreshes:
            fit.refresh()
        self.kept.append(self.net.parameters["W1"].copy())

    def on_batches_end(self, fit: cr.FitState) -> None:
        self._keep(fit)

    def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
        self._keep(fit)


@pytest.mark.parametrize("every", [None, 3])
def test_the_networks_arrays_are_up_to_date_when_somebody_looks(every: int | None, engine: str) -> None:
    X, y = data()
    kept = []
    for looks, refreshes in ((True, False), (False, True), (False, False)):
        net = network(engine)
        callback = Looking(net, every, looks, refreshes)
        net.fit(X, y, epochs=3, batch_size=BATCH_SIZE, callbacks=[callback], verbose=False)
        kept.append((callback.kept, net.parameters["W1"].copy()))
    (eager, end), (asking, same_end), (blind, also) = kept
    np.testing.assert_array_equal(eager, asking)
    assert len({array.tobytes() for array in eager}) >= 3
    np.testing.assert_array_equal(end, same_end)
    np.testing.assert_array_equal(end, also)
    np.testing.assert_array_equal(eager[-1], end)
    assert len({array.tobytes() for array in blind}) == 1  # as before the fit: nobody asked


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_batches_end", "on_epoch_end"])
def test_what_a_callback_writes_counts_from_the_next_step_on(hook: str, engine: str) -> None:
    X, y = data()

    class Zero(cr.Callback):
        every = 4

    def zero(self: cr.Callback, fit: cr.FitState, *_: Any) -> None:
        for array in fit.network.parameters.values():
            array[...] = 0

    setattr(Zero, hook, zero)
    costs = []
    for name in (engine, "reference"):
        net = network(name)
        history = net.fit(X, y, epochs=3, batch_size=BATCH_SIZE, callbacks=[Zero()], verbose=False)
        costs.append([record.cost for record in history])
    np.testing.assert_allclose(costs[0], costs[1], rtol=1e-5)
    if hook == "on_epoch_begin":
        assert len(set(np.round(costs[0], 6))) > 1 and costs[0][0] == pytest.approx(np.log(3), rel=0.1)
    if hook == "on_epoch_end":
        assert not any(array.any() for array in net.parameters.values())


def test_a_callback_that_writes_need_not_look(engine: str) -> None:
    X, y = data()

    class Zero(cr.Callback):
        looks = False

        def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
            fit.network.parameters["b2"][...] = 0

    net, first = network(engine), network(engine).parameters["W1"].copy()
    net.fit(X, y, epochs=1, batch_size=BATCH_SIZE, callbacks=[Zero()], verbose=False)
    assert not net.parameters["b2"].any() and not np.array_equal(net.parameters["W1"], first)


def test_the_data_that_callbacks_see_cannot_be_changed(engine: str) -> None:
    X, y = data()
    net, other = network(engine), network(engine)

    class Meddler(cr.Callback):
        def on_epoch_begin(self, fit: cr.FitState) -> None:
            if fit.epoch == 1:
                with pytest.raises(ValueError, match="read-only"):
                    fit.data["X"][...] = 0
            fit.data["y"].shape = (-1, 1)
            fit.data["X"] = np.zeros((1, 1))  # type: ignore[index]
            fit.batch_size = fit.steps_per_epoch = fit.step = 10**6

    net.fit(X, y, epochs=2, batch_size=BATCH_SIZE, callbacks=[Meddler()], verbose=False)
    other.fit(X, y, epochs=2, batch_size=BATCH_SIZE, verbose=False)
    assert same(dict(net.parameters), dict(other.parameters)) and y.shape == (SAMPLES,)


# --- the same loop in estimators -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_callbacks_pause_the_fits_of_estimators_too(engine: str) -> None:
    X, y = data()
    steps: list[int] = []

    class Pause(cr.Callback):
        every = 3

        def on_batches_end(self, fit: cr.FitState) -> None:
            steps.append(fit.step)

    options = {"max_iter": 4, "batch_size": 8, "random_state": 0, "engine": engine}
    plain = cr.MLPClassifier((6,), **options).fit(X, y)
    monitor = cr.Monitor(every=5)
    paused = cr.MLPClassifier((6,), callbacks=[Pause(), monitor], **options).fit(X, y)
    assert steps == list(range(3, 4 * STEPS + 1, 3))
    assert plain.loss_curve_ == paused.loss_curve_
    np.testing.assert_array_equal(plain.coefs_[0], paused.coefs_[0])
    assert [record["step"] for record in monitor.records] == [0, *range(5, 4 * STEPS + 1, 5)]
    for _ in range(2):  # a partial fit goes on counting
        paused.partial_fit(X, y)
    assert steps[-1] == 6 * STEPS // 3 * 3


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    kept: Recent[int, str] = Recent(most=3)
    for key in (1, 2, 3):
        assert kept.keep(key, str(key)) == str(key)
    assert kept.get(1) == "1"
    kept.keep(4, "4")
    assert [kept.get(key) for key in (1, 2, 3, 4)] == ["1", None, "3", "4"]
    kept.keep(3, "new")
    assert kept.get(3) == "new" and len(kept) == 3


def test_several_threads_may_ask_at_once() -> None:
    kept: Recent[int, int] = Recent(most=5)

    def ask(start: int) -> None:
        for key in range(start, start + 3000):
            value = kept.get(key % 17)
            assert value is None or value == key % 17
            kept.keep(key % 17, key % 17)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert len(kept) == 5
