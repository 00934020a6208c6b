"""Bad input never reaches machine code; odd input that is right is as good as any; divergence as by the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from guarded import Guards

import chainrule as cr
from chainrule.engines.llvm import team

Arrays = dict[str, np.ndarray]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The calls of machine code."""
    made: list[int] = []
    run = team.run

    def counted(*args: Any, **options: Any) -> None:
        made.append(1)
        run(*args, **options)

    monkeypatch.setattr(team, "run", counted)
    return made


def dense(dtype: str = "float32") -> cr.Network:
    return cr.Network(6, [cr.Dense(9, "tanh"), cr.Dense(3, "softmax")], "cross_entropy", dtype=dtype, engine="compiled")


def embedded() -> cr.Network:
    layers = [cr.Embedding(7, 3), cr.Dense(9, "tanh"), cr.Dense(3, "softmax")]
    return cr.Network(4, layers, "cross_entropy", engine="compiled")


def arrays(m: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(m, 6)).astype(np.float32), rng.integers(0, 3, m)


def changed(array: np.ndarray, place: Any, value: Any) -> np.ndarray:
    copy = array.copy()
    copy[place] = value
    return copy


class Deceitful(np.ndarray):
    """Says of itself that nothing is wrong."""

    def min(self, *arguments: Any, **options: Any) -> int:  # type: ignore[override]
        return 0

    def max(self, *arguments: Any, **options: Any) -> int:  # type: ignore[override]
        return 0

    def sum(self, *arguments: Any, **options: Any) -> float:  # type: ignore[override]
        return 0.0


X, Y = arrays()
TOKENS = np.random.default_rng(1).integers(0, 7, (40, 4))
BAD_X: dict[str, Any] = {
    "too narrow": X[:, :5],
    "too wide": np.ones((40, 7)),
    "one axis": X[0],
    "three axes": X[None],
    "no rows": X[:0],
    "no columns": X[:, :0],
    "a number": 3.0,
    "nan": changed(X, (7, 2), np.nan),
    "nan in a subclass that hides it": changed(X, (7, 2), np.nan).view(Deceitful),
    "infinite in float32": changed(X.astype(np.float64), (7, 2), 1e39),
    "complex": X.astype(complex),
    "text": np.full((40, 6), "a"),
    "objects": np.full((40, 6), None),
    "larger than any float": np.full((40, 6), 10**400),
    "ragged": [[1.0, 2.0], [3.0]],
}
BAD_LABELS: dict[str, Any] = {
    "too large": changed(Y, 5, 3),
    "negative": changed(Y, 5, -1),
    "huge": changed(Y, 5, 2**62),
    "smallest": changed(Y, 5, -(2**63)),
    "unsigned": changed(Y.astype(np.uint64), 5, 2**64 - 1),
    "fractions": Y + 0.5,
    "larger than any integer": changed(Y.astype(object), 5, 10**400),
    "too few": Y[:-1],
    "none": Y[:0],
    "a number": 1,
}
BAD_TOKENS: dict[str, Any] = {
    "too large": changed(TOKENS, (3, 1), 7),
    "negative": changed(TOKENS, (3, 1), -1),
    "huge": changed(TOKENS, (3, 1), 2**62),
    "larger than any integer": changed(TOKENS.astype(object), (3, 1), 10**400),
    "a subclass that hides it": changed(TOKENS, (3, 1), 2**40).view(Deceitful),
    "floats": TOKENS.astype(float),
    "too narrow": TOKENS[:, :3],
    "one axis": TOKENS[0],
}


@pytest.mark.parametrize("name", BAD_X)
@pytest.mark.parametrize("warm", [False, True], ids=["first", "after one row"])
@pytest.mark.filterwarnings("ignore")  # also where warnings pass, nothing may
def test_bad_inputs(name: str, warm: bool, calls: list[int]) -> None:
    net, bad = dense(), BAD_X[name]
    if warm:
        net.predict(X[:1])
        calls.clear()
    attempts: list[Callable[[], object]] = [
        lambda: net.predict(bad),
        lambda: net.cost(bad, Y),
        lambda: net.gradients(bad, Y),
        lambda: net.fit(bad, Y, epochs=1, verbose=False),
    ]
    if isinstance(bad, np.ndarray) and bad.ndim == 2 and bad.shape[1:] == (6,) and len(bad):
        attempts.append(lambda: net.predict(bad[7:8]))
    for attempt in attempts:
        with pytest.raises(cr.DataError):
            attempt()
    assert not calls


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels(name: str, calls: list[int]) -> None:
    net, bad = dense(), BAD_LABELS[name]
    for attempt in (
        lambda: net.cost(X, bad),
        lambda: net.gradients(X, bad),
        lambda: net.fit(X, bad, epochs=1, verbose=False),
    ):
        with pytest.raises(cr.DataError):
            attempt()
    assert not calls


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_bad_tokens(name: str, calls: list[int]) -> None:
    net, bad = embedded(), BAD_TOKENS[name]
    for attempt in (lambda: net.predict(bad), lambda: net.fit(bad, Y, epochs=1, verbose=False)):
        with pytest.raises(cr.DataError):
            attempt()
    assert not calls


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"threads": -1},
        {"threads": 1.5},
        {"batch_size": 0},
        {"batch_size": -5},
        {"epochs": 0},
        {"sample_weight": -np.ones(40)},
        {"sample_weight": np.ones(39)},
        {"sample_weight": np.full(40, np.nan)},
        {"sample_weight": np.zeros(40)},
    ],
    ids=str,
)
def test_bad_options(options: dict[str, Any], calls: list[int]) -> None:
    with pytest.raises((cr.DataError, cr.SpecError)):
        dense().fit(X, Y, verbose=False, **({"epochs": 1} | options))
    assert not calls


@pytest.mark.parametrize("rate", [np.nan, np.inf, -np.inf, 0.0, -0.1])
def test_bad_learning_rate(rate: float) -> None:
    with pytest.raises(cr.SpecError):
        cr.SGD(rate)


@dataclass(frozen=True)
class Odd(cr.Schedule):
    """A schedule of the user's own, with whatever rates."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        pass

    def _conditions(self) -> list[tuple[str, str, bool]]:
        return []

    def _formula(self, step: np.ndarray, steps_per_epoch: int, total_steps: int) -> np.ndarray:
        return np.array(self.values)

    def rates(self, first_step: int, count: int, steps_per_epoch: int, total_steps: int) -> np.ndarray:
        return np.array(self.values)


@pytest.mark.parametrize(
    "values", [(0.1, np.nan), (0.1, np.inf), (0.1, 1e39), (0.1, 0.0), (-0.1, 0.1), (0.1,), (0.1,) * 3, ()], ids=str
)
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_bad_rates_of_an_own_schedule(values: tuple[float, ...], engine: str, calls: list[int]) -> None:
    net = cr.Network(6, [cr.Dense(3, "softmax")], "cross_entropy", engine=engine)  # type: ignore[arg-type]
    before = net.parameters["W1"].copy()
    with pytest.raises(cr.SpecError, match="rate"):
        net.fit(X, Y, epochs=1, batch_size=20, optimizer=cr.SGD(Odd(values)), verbose=False)
    assert not calls
    np.testing.assert_array_equal(net.parameters["W1"], before)


# --- odd, but right ----------------------------------------------------------------------------------------------


def unaligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    made = raw[1:].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1][::-1].copy()[::-1][::-1],
    "negative strides": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "big endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: (b := a.copy(), b.setflags(write=False))[0],
    "unaligned": unaligned,
    "other size": lambda a: a.astype(np.float64 if a.dtype.kind == "f" else np.int16),
    "a list": lambda a: a.tolist(),
    "a view of more columns": lambda a: np.concatenate([a, a], axis=a.ndim - 1)[..., : a.shape[-1]],
    "repeated without memory": lambda a: np.broadcast_to(a[:1], a.shape),
}


def everything(net: cr.Network, x: Any, y: Any) -> Arrays:
    found = {"all": net.predict(x), "cost": np.array(net.cost(x, y)), "one": net.predict(x[:1])}
    found |= net.gradients(x, y)
    net._fits = 0
    net.fit(x, y, epochs=1, batch_size=16, optimizer=cr.SGD(0.1), verbose=False)
    return found | net.parameters


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", ["numbers", "tokens"])
def test_any_layout_of_the_data(name: str, kind: str) -> None:
    x, make = (X, dense) if kind == "numbers" else (TOKENS, embedded)
    given, labels = LAYOUTS[name](x), LAYOUTS[name](Y)
    plain = np.array(given, dtype=x.dtype), np.array(labels, dtype=Y.dtype)
    if kind == "tokens" and name == "other size":
        given = given.astype(np.uint8)
    a, b = everything(make(), *plain), everything(make(), given, labels)
    for key in a:
        assert a[key].tobytes() == b[key].tobytes(), key


def test_a_batch_larger_than_the_data() -> None:
    nets = dense(), dense()
    for net, size in zip(nets, (10**9, 40), strict=True):
        net.fit(X, Y, epochs=2, batch_size=size, verbose=False)
    assert nets[0].parameters["W1"].tobytes() == nets[1].parameters["W1"].tobytes()


def test_many_threads_are_no_more_than_helpful() -> None:
    nets = dense(), dense()
    nets[0].fit(X, Y, epochs=2, batch_size=8, threads=1000, verbose=False)
    nets[1].fit(X, Y, epochs=2, batch_size=8, threads=1, verbose=False)
    assert nets[0].parameters["W1"].tobytes() == nets[1].parameters["W1"].tobytes()


# --- what changes while a fit runs -----------------------------------------------------------------------------------


class Between(cr.Callback):
    """Does something to the user's data after the first epoch."""

    def __init__(self, do: Callable[[], None]) -> None:
        self.do = do

    def on_epoch_end(self, fit: Any, record: Any) -> None:
        if record.epoch == 1:
            self.do()


def test_inputs_that_become_nan_between_epochs_are_a_divergence() -> None:
    for engine in ("compiled", "reference"):
        x, y = arrays()
        net = cr.Network(6, [cr.Dense(3, "softmax")], "cross_entropy", engine=engine)  # type: ignore[arg-type]
        with pytest.raises(cr.DivergedError) as caught:
            net.fit(x, y, epochs=3, batch_size=10, callbacks=[Between(lambda x=x: x.fill(np.nan))], verbose=False)
        assert (caught.value.epoch, caught.value.batch) == (2, 1)
        assert all(np.isfinite(a).all() for a in net.parameters.values())


@pytest.mark.parametrize("value", [7, -1, 2**62, -(2**63)])
def test_tokens_and_labels_that_go_out_of_range_between_epochs_touch_nothing_else(
    value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chainrule.engines.compiled import pack

    guards = Guards()
    monkeypatch.setattr(pack, "aligned", guards.aligned)
    tokens, labels = guards.copy(TOKENS), guards.copy(Y)

    def spoil() -> None:
        tokens[...] = value
        labels[...] = value

    embedded().fit(tokens, labels, epochs=3, batch_size=16, callbacks=[Between(spoil)], verbose=False)
    guards.check()


# --- divergence ----------------------------------------------------------------------------------------------------


def diverging(engine: str, dtype: str, batch_size: int) -> tuple[int, int, Arrays]:
    layers, options = [cr.Dense(8, "relu"), cr.BatchNorm(), cr.Dense(2)], {"dtype": dtype, "engine": engine}
    net = cr.Network(6, layers, "squared_error", seed=2, **options)  # type: ignore[arg-type]
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(64, 6)), rng.normal(size=(64, 2))
    kept: list[Arrays] = []

    class Keep(cr.Callback):
        def on_epoch_begin(self, fit: Any) -> None:
            kept.append({k: v.copy() for k, v in (net.parameters | net.state).items()})

    with pytest.raises(cr.DivergedError) as caught:
        net.fit(
            x,
            y,
            epochs=40,
            batch_size=batch_size,
            optimizer=cr.SGD(0.5, momentum=0.9),
            callbacks=[Keep()],
            verbose=False,
        )
    for name, array in (net.parameters | net.state).items():
        np.testing.assert_array_equal(array, kept[-1][name])
    return caught.value.epoch, caught.value.batch, kept[-1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [16, 64])
def test_divergence_is_told_like_the_reference_tells_it(dtype: str, batch_size: int) -> None:
    epoch, batch, _ = diverging("compiled", dtype, batch_size)
    assert (epoch, batch) == diverging("reference", dtype, batch_size)[:2]
    assert epoch > 1


def test_parameters_that_the_user_made_infinite() -> None:
    for engine in ("compiled", "reference"):
        net = cr.Network(6, [cr.Dense(3, "softmax")], "cross_entropy", engine=engine)  # type: ignore[arg-type]
        net.parameters["W1"][2, 1] = np.inf
        assert not np.isfinite(net.predict(X)).all() and not np.isfinite(net.predict(X[:1])).all()
        with pytest.raises(cr.DivergedError) as caught:
            net.fit(X, Y, epochs=2, batch_size=10, verbose=False)
        assert (caught.value.epoch, caught.value.batch) == (1, 1)
        assert net.parameters["W1"][2, 1] == np.inf
