"""Elementary functions: error in ulp over all magnitudes, special values, every width and target."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule.engines.compiled.pack import aligned
from chainrule.engines.llvm import jit, target, vecmath
from chainrule.engines.llvm.emit import Function, Module, Value

FUNCTIONS: dict[str, tuple[Callable[[Function, Value], Value], Callable[[Any], Any], float]] = {
    "exp": (vecmath.exp, np.exp, 1.5),
    "expm1": (vecmath.expm1, np.expm1, 2.0),
    "log": (vecmath.log, np.log, 1.5),
    "log1p": (vecmath.log1p, np.log1p, 1.5),
    "tanh": (vecmath.tanh, np.tanh, 2.5),
    "sigmoid": (vecmath.sigmoid, lambda x: np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x))), 2.5),
    "softplus": (vecmath.softplus, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))), 2.0),
    "erf": (vecmath.erf, np.frompyfunc(math.erf, 1, 1), 2.5),
    "erfc": (vecmath.erfc, np.frompyfunc(math.erfc, 1, 1), 5.5),
    "cube root": (lambda f, x: vecmath.power(f, x, 1 / 3), lambda x: np.power(x, 1 / 3), 3.5),
    "x**-1.5": (lambda f, x: vecmath.power(f, x, -1.5), lambda x: np.power(x, -1.5), 4.5),
    "x**5": (lambda f, x: vecmath.power(f, x, 5.0), lambda x: np.power(x, 5.0), 3.0),
}


def run(machine: target.Target, dtype: str, lanes: int, make: Callable[[Function, Value], Value], x: Any) -> Any:
    """The function at every x, through machine code of that width."""
    layout = target.RealType(machine, dtype)
    module = Module(machine)
    f = module.function("apply", ["ptr", "ptr", "i64"])
    vector = f"<{lanes} x {layout.real}>" if lanes > 1 else layout.real
    source, to, count = f.args

    def body(i: Value) -> None:
        f.store(make(f, f.load(vector, f.at(source, i, type=layout.real))), f.at(to, i, type=layout.real))

    f.loop(0, count, body, step=lanes)
    f.ret()
    code = jit.compile_module(module)
    apply = code.function("apply", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    padded = -(-x.size // lanes) * lanes
    a, y = aligned(padded, dtype), aligned(padded, dtype)
    a[: x.size] = x
    apply(a.ctypes.data, y.ctypes.data, padded)
    return y[: x.size]


def sweep(dtype: str, count: int) -> Any:
    """Numbers of every magnitude and sign, and a dense grid where the functions bend."""
    info = np.finfo(dtype)
    magnitudes = np.exp2(np.linspace(np.log2(float(info.tiny)) - 10, np.log2(float(info.max)) - 0.01, count))
    grid = np.linspace(-110, 110, count)
    fine = np.linspace(-3, 3, count)
    return np.concatenate([magnitudes, -magnitudes, grid, fine, [0.0, -0.0, 1e4, -1e4]]).astype(dtype)


def worst(got: Any, exact: Any, dtype: str) -> float:
    """The largest error in ulp where the exact value is a normal number; elsewhere it may be flushed."""
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        finite = np.isfinite(rounded) & (abs(rounded) >= 2 * info.tiny)
        ulp = np.spacing(abs(rounded[finite])).astype(np.longdouble)
        error = abs(got[finite].astype(np.longdouble) - exact[finite]) / ulp
        assert (np.isnan(got) == np.isnan(exact)).all()
        assert (got[np.isinf(rounded)] == rounded[np.isinf(rounded)]).all()
        small = abs(exact) < 2 * info.tiny
        assert (abs(got[small]) <= 4 * info.tiny).all()
    return float(error.max())


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_error_stays_below_its_bound(name: str, dtype: str) -> None:
    make, exact, bound = FUNCTIONS[name]
    machine = target.host()
    x = sweep(dtype, 150_000)
    longer = np.float64 if dtype == "float32" else np.longdouble
    if dtype == "float64" and name in ("erf", "erfc"):
        longer = np.float64  # no longer erf at hand: its own error is added to the bound
    with np.errstate(all="ignore"):
        want = np.asarray(exact(x.astype(longer))).astype(longer)
    got = run(machine, dtype, target.RealType(machine, dtype).lanes, make, x)
    if "cube" in name and dtype == "float64":
        keep = (x <= 0) | ((x > 1e-3) & (x < 1e3))  # the error grows with |log x|, as stated
        got, want = got[keep], want[keep]
    assert worst(got, want, dtype) <= bound


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(name: str, dtype: str) -> None:
    make, exact, _ = FUNCTIONS[name]
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -1.0, 1.0, 1e4, -1e4], dtype)
    with np.errstate(all="ignore"):
        want = np.asarray(exact(x.astype(np.float64))).astype(np.float64)
    if name == "sigmoid":
        want[[1, 2, 6, 7]] = [1, 0, 1, 0]
    if name in ("cube root", "x**-1.5"):
        want[x < 0] = np.nan
    for lanes in (1, 4):
        np.testing.assert_allclose(run(target.host(), dtype, lanes, make, x), want, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("machine", ["x86-64-v2", "x86-64-v3"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lanes", [1, 4, 8, 16])
def test_every_width_and_machine(machine: str, dtype: str, lanes: int) -> None:
    x = sweep(dtype, 2000)
    for name, (make, exact, bound) in FUNCTIONS.items():
        if name in ("cube root", "softplus"):
            continue
        longer = np.float64 if dtype == "float32" or name in ("erf", "erfc") else np.longdouble
        with np.errstate(all="ignore"):
            want = np.asarray(exact(x.astype(longer))).astype(longer)
        assert worst(run(target.named(machine), dtype, lanes, make, x), want, dtype) <= bound + 1.5, name


def test_extremes_hand_on_nan_as_numpy_does() -> None:
    x = np.array([np.nan, 1, -2, np.inf, -np.inf, 0, 3, np.nan], "f")
    for op, exact in (("fmax", np.maximum), ("fmin", np.minimum)):
        for c in (0.5, -1.0):
            got = run(target.host(), "float32", 8, lambda f, v, op=op, c=c: getattr(f, op)(v, c), x)
            np.testing.assert_array_equal(got, exact(x, np.float32(c)))
        for turn in (False, True):

            def both(f: Function, v: Value, op: str = op, turn: bool = turn) -> Value:
                w = f.shuffle(v, v, [1, 0, 3, 2, 5, 4, 7, 6])
                return getattr(f, op)(w, v) if turn else getattr(f, op)(v, w)

            got = run(target.host(), "float32", 8, both, x)
            np.testing.assert_array_equal(got, exact(x, x[[1, 0, 3, 2, 5, 4, 7, 6]]))
