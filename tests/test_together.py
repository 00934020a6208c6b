"""Short epochs that run in one call of the engine: the same steps, the same history, the same ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.base import Epoch, EpochResult
from chainrule.engines.compiled.session import CompiledSession
from chainrule.train import policies, together
from chainrule.train.history import History


class Looks(cr.Callback):
    """Someone who may look at every epoch, so that each is a call of its own."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps of each call of the engine, however long an epoch takes on this machine."""
    monkeypatch.setattr(together, "SECONDS", 1e6)
    monkeypatch.setattr(together, "MOST", 32)
    ordinary, steps = CompiledSession.epoch, []

    def epoch(session: CompiledSession, epoch: Epoch, stop: Any = None) -> EpochResult:
        steps.append(epoch.steps)
        return ordinary(session, epoch, stop)

    monkeypatch.setattr(CompiledSession, "epoch", epoch)
    return steps


def rows(epoch: Epoch) -> Any:
    """The order of each pass."""
    return epoch.order.reshape(epoch.passes, -1)


def of_pass(epoch: Epoch, k: int) -> dict[str, Any]:
    """What is a pass's own."""
    steps = epoch.steps // epoch.passes
    return {"rates": epoch.rates[k * steps :][:steps], "first_step": epoch.first_step + k * steps}


def network() -> cr.Network:
    layers = [cr.Dense(6, "tanh"), cr.Dropout(0.2), cr.BatchNorm(), cr.Dense(1)]
    return cr.Network(3, layers, "squared_error", seed=4, engine="compiled")


def data(samples: int = 48) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(1).normal(size=(samples, 3))
    return X, X[:, 0] * X[:, 1]


def fitted(net: cr.Network, epochs: int = 40, looks: bool = False, **options: Any) -> History:
    return net.fit(*data(), epochs=epochs, verbose=False, callbacks=[Looks()] if looks else (), **options)


def same(one: cr.Network, other: cr.Network) -> None:
    for name, array in {**one.parameters, **one.state}.items():
        np.testing.assert_array_equal(array, {**other.parameters, **other.state}[name], err_msg=name)


def test_of_many_samples_orders_are_drawn_ahead(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as run in one call, on another thread; the orders are those of one epoch after the other."""
    found = []
    for looks, many in ((False, 48), (True, 48), (True, 1000)):
        monkeypatch.setattr(policies, "MANY", many)
        net = network()
        history = fitted(net, looks=looks, batch_size=20, optimizer=cr.Adam(0.01))
        found.append((net, [r.cost for r in history]))
        assert len(calls) == (40 if looks else 3) and sum(calls) == 40 * 3
        calls.clear()
    for net, costs in found[1:]:
        same(found[0][0], net)
        assert costs == found[0][1]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [48, 20])
@pytest.mark.parametrize("optimizer", [cr.Adam(0.01), cr.SGD(cr.Cosine(0.05), momentum=0.9)], ids=["Adam", "cosine"])
def test_the_same_as_one_by_one(batch_size: int, shuffle: bool, optimizer: cr.Optimizer, calls: list[int]) -> None:
    steps, found = -(-48 // batch_size), []
    for looks in (False, True):
        net = network()
        history = fitted(net, looks=looks, batch_size=batch_size, optimizer=optimizer, shuffle=shuffle)
        found.append((net, [(r.epoch, r.cost, r.learning_rate) for r in history]))
        assert len(calls) == (40 if looks else 3) and sum(calls) == 40 * steps
        calls.clear()
    same(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_a_last_batch_of_one_sample_keeps_epochs_apart(calls: list[int]) -> None:
    with pytest.warns(cr.DataWarning, match="leave one over"):
        fitted(network(), epochs=5, batch_size=47)
    assert calls == [1] * 5


def test_whoever_may_look_or_decide_keeps_epochs_apart(calls: list[int]) -> None:
    for options in (
        {"validation_data": data(7)},
        {"optimizer": cr.SGD(cr.OnPlateau(0.1))},
        {"time_limit": 1000.0},
    ):
        fitted(network(), epochs=5, batch_size=48, **options)
        assert calls == [1] * 5
        calls.clear()


def test_a_divergence_is_told_of_its_epoch(calls: list[int]) -> None:
    found = []
    for looks in (False, True):
        net = cr.Network(3, [cr.Dense(1)], "squared_error", seed=4, engine="compiled")
        with pytest.raises(cr.DivergedError, match=r"epoch 1[0-9], batch 1") as told:
            net.fit(
                *data(), epochs=40, batch_size=48, optimizer=cr.SGD(30.0), verbose=False,
                callbacks=[Looks()] if looks else (),
            )  # fmt: skip
        found.append((net, str(told.value)))
    assert found[0][1] == found[1][1]
    same(found[0][0], found[1][0])


def test_an_interrupt_keeps_what_was_done(monkeypatch: pytest.MonkeyPatch, calls: list[int]) -> None:
    ordinary, seen, costs = CompiledSession.epoch, [], []

    def epoch(session: CompiledSession, epoch: Epoch, stop: Any = None) -> EpochResult:
        first, *more = (replace(epoch, order=order, **of_pass(epoch, k)) for k, order in enumerate(rows(epoch)))
        costs[:] = ordinary(session, first, stop).costs
        if not more:
            return EpochResult(np.array(costs))
        costs.extend(ordinary(session, more[0], stop).costs)
        costs.extend(ordinary(session, more[1].part(0, 1), stop).costs)  # two epochs and a step
        session.calls -= 2
        raise KeyboardInterrupt

    class Keeps(cr.Callback):
        idle = True

        def on_fit_end(self, fit: Any) -> None:
            seen.append((fit.epoch, fit.step))

    monkeypatch.setattr(CompiledSession, "epoch", epoch)
    monkeypatch.setattr(CompiledSession, "last", property(lambda session: EpochResult(np.array(costs))))
    net, other = network(), network()
    with pytest.raises(KeyboardInterrupt):
        net.fit(*data(), epochs=40, batch_size=16, verbose=False, callbacks=[Keeps()])
    monkeypatch.undo()
    history = other.fit(*data(), epochs=3, batch_size=16, verbose=False)
    assert net.history is not None
    assert [r.cost for r in net.history] == [r.cost for r in history]
    assert net.history.stopped == "interrupted"
    assert seen == [(4, 10)]
