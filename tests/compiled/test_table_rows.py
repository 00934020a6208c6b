"""Big tables of which a session takes, keeps and hands back rows alone: to the bits of one that copies them whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.base import Epoch
from chainrule.engines.compiled import table_rows
from chainrule.errors import DivergedError

ROWS = 4000
RNG = np.random.default_rng
X = RNG(0).integers(0, ROWS, (20, 2))
X[3] = 7  # a row twice in a sample
Y = RNG(1).normal(size=(20, 1))


def network() -> cr.Network:
    table = cr.Embedding(ROWS, 3, sparse=True, padding=2)
    return cr.Network(2, [table, cr.Dense(4, "tanh"), cr.Dense(1)], "squared_error", seed=0, engine="compiled")


def fit(net: cr.Network, **options: Any) -> cr.History:
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 6, "optimizer": cr.Adam(0.05), "verbose": False}
    return net.fit(X, Y, **settings | options)


class Looking(cr.Callback):
    """Looks at the table whenever it may."""

    every, writes = 2, False

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def on_batches_end(self, fit: Any) -> None:
        self.seen.append(fit.network.parameters["E"].copy())

    def on_epoch_end(self, fit: Any, record: Any) -> None:
        self.on_batches_end(fit)


class Writing(Looking):
    """And writes into rows, some of which no batch names."""

    writes = True

    def on_batches_end(self, fit: Any) -> None:
        fit.network.parameters["E"][::5] *= 0.9
        super().on_batches_end(fit)


class Ending(cr.Callback):
    """Interrupts the fit within its second epoch."""

    every, looks, writes = 1, False, False

    def __init__(self) -> None:
        self.over = False

    def on_batches_end(self, fit: Any) -> None:
        if fit.step == 6 and not self.over:
            self.over = True
            raise KeyboardInterrupt


def looked_at(net: cr.Network, tmp_path: Path) -> Any:
    callback = Looking()
    fit(net, callbacks=[callback])
    return callback.seen


def written_to(net: cr.Network, tmp_path: Path) -> Any:
    callback = Writing()
    fit(net, callbacks=[callback])
    return callback.seen


def diverged(net: cr.Network, tmp_path: Path) -> Any:
    fit(net, epochs=1)
    before = net.parameters["E"].copy()
    fit(net, epochs=1)
    assert not np.array_equal(before, net.parameters["E"])
    before = net.parameters["E"].copy()
    with pytest.raises(DivergedError), np.errstate(all="ignore"):
        fit(net, optimizer=cr.SGD(1e30), batch_size=3, epochs=2)
    np.testing.assert_array_equal(net.parameters["E"], before)


def interrupted(net: cr.Network, tmp_path: Path) -> Any:
    ending, folder = Ending(), tmp_path / str(table_rows.LARGE)
    with pytest.raises(KeyboardInterrupt):
        fit(net, callbacks=[ending], checkpoint=folder)
    kept, again = net.parameters["E"].copy(), network()
    fit(again, callbacks=[ending], checkpoint=folder, resume=True)
    return kept, again.parameters["E"]


def continued(net: cr.Network, tmp_path: Path) -> Any:
    """With other rows; of a table that was changed in between."""
    fit(net)
    net.parameters["E"][5] = 0.5
    return net.fit(X[::-1] // 2, Y, epochs=2, batch_size=6, optimizer=cr.Adam(0.05), continue_=True, verbose=False)[0]


def validated(net: cr.Network, tmp_path: Path) -> Any:
    history = fit(net, validation_data=(X[:9, ::-1] // 3, Y[:9]), callbacks=[cr.EarlyStopping(patience=1)])
    return [record.validation_cost for record in history], net.predict(X // 2), net.gradients(X, Y)["E"]


WAYS = (looked_at, written_to, diverged, interrupted, continued, validated)


@pytest.mark.parametrize("way", WAYS)
def test_a_fit_gives_the_same_bits(
    way: Callable[[cr.Network, Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for large in (1 << 18, 1):
        monkeypatch.setattr(table_rows, "LARGE", large)
        net = network()
        outcomes.append((way(net, tmp_path), dict(net.parameters)))
    np.testing.assert_equal(_without_seconds(outcomes[1]), _without_seconds(outcomes[0]))


def _without_seconds(outcome: Any) -> Any:
    """An outcome, of a record its numbers."""
    if isinstance(outcome, tuple | list):
        return [getattr(item, "cost", None) or _without_seconds(item) for item in outcome]
    return outcome


def test_a_session_gives_the_same_bits_whatever_is_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks, returns, what is written and read, in any order."""
    net = network()
    program = net.training_program(cr.Adam(0.01))
    for seed in range(12):
        sessions, lent = [], {name: array.copy() for name, array in net.parameters.items()}
        for large in (1 << 18, 1):
            monkeypatch.setattr(table_rows, "LARGE", large)
            sessions.append(net.engines.named("compiled").open(program, lent, tuple(lent) if seed % 3 else ()))
        whole, rows = sessions
        assert rows.tables.keys() == {"E", "M_E", "V_E"} and not whole.tables  # type: ignore[attr-defined]
        rng, mine = RNG(seed), lent["E"].copy()
        for _ in range(30):
            step = rng.choice(["epoch", "epoch", "epoch", "mark", "rewind", "write", "read", "changes", "changes"])
            tokens = rng.integers(0, ROWS, (rng.choice([4, 20, 150]), 2))
            numbers = rng.normal(size=(ROWS, 3)).astype("f")
            for session in sessions:
                if step == "epoch":
                    order, y = np.arange(len(tokens)), np.ones((len(tokens), 1), np.float32)
                    session.epoch(Epoch({"X": tokens, "Y": y}, order, 4, np.full(-(-len(tokens) // 4), 0.05), 1, 0))
                elif step == "mark":
                    session.mark()
                elif step == "rewind" and hasattr(session, "marked_once"):
                    session.rewind()
                elif step == "write":
                    session.write({"E": numbers})
                elif step == "read":
                    np.testing.assert_equal(rows.read(), whole.read())
                assert session.finite(["E", "W1"])
                if step == "mark":
                    session.marked_once = True  # type: ignore[attr-defined]
            if step == "changes":
                changed = rows.changes()
                part = mine if "E" not in changed else mine[changed["E"]]
                rows.read_into({"E": part}, changed)
                if "E" in changed:
                    mine[changed["E"]] = part
                rows.settled()
                np.testing.assert_array_equal(mine, whole.read(["E"])["E"])
        np.testing.assert_equal(rows.leave(["E", "M_E", "V_W1"]), whole.leave(["E", "M_E", "V_W1"]))


def test_what_is_no_number_is_seen_where_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_rows, "LARGE", 1)
    net = network()
    session = net.engines.named("compiled").open(net.training_program(cr.SGD(0.01)), dict(net.parameters), ("E",))
    session.mark()
    array = session.read(["E"])["E"]
    array[11, 1] = np.nan
    session.write({"E": array})
    assert not session.finite(["E"]) and session.finite(["W1"])
    session.rewind()
    assert session.finite(["E"])


def test_a_call_takes_the_rows_of_each_column_of_a_one_hot_product() -> None:
    """One table for all columns, each with rows of its own from where the one before ends."""
    counts = [30_000, 25_000]
    nets = [
        cr.Network({"kinds": counts}, [cr.Dense(8, "tanh"), cr.Dense(1)], "squared_error", engine=engine)
        for engine in ("reference", "compiled")
    ]
    tokens = np.array([[0, 0], [29_999, 24_999], [7, 12_345]])
    expected, found = (net.predict({"kinds": tokens}) for net in nets)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
