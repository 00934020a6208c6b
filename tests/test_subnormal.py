"""Numbers below the smallest normal one are 0 to both engines, and whoever calls them keeps numbers as they were."""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.llvm import jit, target
from chainrule.engines.llvm.emit import Module

SUBNORMAL = {"float32": 1e-40, "float64": 1e-310}


def network(engine: str, dtype: str = "float32", *, width: int = 5) -> cr.Network:
    layers = [cr.Dense(width, "tanh"), cr.Dense(3, "softmax")]
    return cr.Network(4, layers, "cross_entropy", dtype=dtype, engine=engine)


def data(m: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(m, 4)).astype(np.float32), rng.integers(0, 3, m)


@pytest.mark.parametrize("dtype", SUBNORMAL)
@pytest.mark.parametrize("rows", [1, 7])
def test_subnormal_inputs_and_weights_are_zero(engine: str, dtype: str, rows: int) -> None:
    size, large = SUBNORMAL[dtype], float(np.finfo(dtype).max) / 10
    net = cr.Network(2, [cr.Dense(2)], "squared_error", dtype=dtype, engine=engine)
    net.parameters["W1"] = [[large, 1], [0, size]]
    for x in ([size, 0.0], [0.0, large]):
        X = np.array([x] * rows, dtype)
        assert (X @ net.parameters["W1"] != 0).any()
        np.testing.assert_array_equal(net.predict(X), np.zeros((rows, 2)))


@pytest.mark.parametrize("dtype", SUBNORMAL)
@pytest.mark.parametrize("rows", [1, 7])
def test_subnormal_results_are_zero(engine: str, dtype: str, rows: int) -> None:
    root = float(np.sqrt(SUBNORMAL[dtype]))
    large = 1e38 if dtype == "float32" else 1e300
    square = cr.Activation(f"(z * z) * {large}")
    net = cr.Network(1, [cr.Dense(1, square)], "squared_error", dtype=dtype, engine=engine)
    net.parameters["W1"] = [[1.0]]
    np.testing.assert_array_equal(net.predict(np.full((rows, 1), root, dtype)), np.zeros((rows, 1)))


def test_what_decays_ends_at_zero(engine: str) -> None:
    """A feature that is there once: after 78 steps more its moments are 0.3 ** 78 of what they were, some 1e-42."""
    X, y = np.zeros((79, 4), np.float32), np.arange(79) % 3
    X[:, 0], X[0, 3] = 1, 1
    net = network(engine)
    net.fit(X, y, epochs=1, batch_size=1, shuffle=False, optimizer=cr.SGD(0.01, momentum=0.3), verbose=False)
    assert net._before is not None
    moments = {name: slot for name, slot in net._before.optimizer.slots.items() if name.endswith("W1")}
    assert moments
    for slot in moments.values():
        assert (slot[3] == 0).all() and (slot[0] != 0).all()


# --- whoever calls ---------------------------------------------------------------------------------------------------


def keeps_subnormal_numbers() -> bool:
    """Whether the core that this thread runs on does."""
    numbers = np.full(9, 1e-40, np.float32)
    return bool((numbers * np.float32(0.5) != 0).all() and (numbers + numbers != 0).all())


CALLS: dict[str, Callable[[cr.Network], object]] = {
    "a row": lambda net: net.predict(data()[0][:1]),
    "rows": lambda net: net.predict(data()[0]),
    "many rows": lambda net: net.predict(data(5000)[0]),
    "gradients": lambda net: net.gradients(*data()),
    "a fit": lambda net: net.fit(*data(), epochs=2, batch_size=8, verbose=False),
    "a fit in chunks": lambda net: net.fit(*data(5000), epochs=2, batch_size=2500, verbose=False),
    "a fit with a team": lambda net: net.fit(*data(5000), epochs=2, batch_size=2500, threads=3, verbose=False),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["main thread", "another thread"])
@pytest.mark.usefixtures("many_processors")
def test_the_callers_numbers_stay_as_they_are(name: str, elsewhere: bool) -> None:
    kept: list[bool] = []

    def call() -> None:
        net = network("compiled")
        kept.append(keeps_subnormal_numbers())
        for _ in range(2):
            CALLS[name](net)
            kept.append(keeps_subnormal_numbers())

    if elsewhere:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    call()
    assert all(kept)


x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="MXCSR is a register of x86")


@x86
@pytest.mark.parametrize("settings", [0x1F80, 0x1F80 | 0x8000, 0x1F80 | 0x6000 | 0x3F])
def test_the_register_is_put_back(settings: int) -> None:
    """Rounding, traps and flags too, and flushing where the caller flushes."""
    module = Module(target.host())
    for name, instruction in (("look", "stmxcsr"), ("set", "ldmxcsr")):
        module.declarations[instruction] = f"declare void @llvm.x86.sse.{instruction}(ptr)"
        f = module.function(name, ["ptr"])
        f.line(f"call void @llvm.x86.sse.{instruction}(ptr {f.args[0].text})")
        f.ret()
    code = jit.compile_module(module)
    look, put = (code.function(name, ctypes.c_void_p) for name in ("look", "set"))
    net, X = network("compiled"), data()[0]
    row = X[:1]
    net.predict(row)
    quick = net._one_row
    assert quick is not None
    before, now, chosen = np.zeros(1, np.uint32), np.zeros(1, np.uint32), np.array([settings], np.uint32)
    look(before.ctypes.data)
    at, to = chosen.ctypes.data, now.ctypes.data
    put(at)
    quick.call(row)
    look(to)
    put(before.ctypes.data)
    assert now[0] == settings
