"""Sine and cosine: error in ulp up to 2**45, special values, every width and target."""

from __future__ import annotations

import numpy as np
import pytest
from test_vecmath import run, sweep, worst

from chainrule.engines.llvm import target, waves

FUNCTIONS = {"sin": (waves.sin, np.sin), "cos": (waves.cos, np.cos)}
BOUNDS = {"float32": 1.5, "float64": 2.0}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_error_stays_below_its_bound(name: str, dtype: str) -> None:
    make, exact = FUNCTIONS[name]
    x = sweep(dtype, 100_000)
    quarters = (np.arange(-2000, 2000) * (np.pi / 2)).astype(dtype)  # where the result is smallest
    x = np.concatenate([x[abs(x) <= waves.LIMIT], quarters])
    longer = np.float64 if dtype == "float32" else np.longdouble
    machine = target.host()
    got = run(machine, dtype, target.RealType(machine, dtype).lanes, make, x)
    assert worst(got, exact(x.astype(longer)), dtype) <= BOUNDS[dtype]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("machine", ["x86-64-v2", "x86-64-v3"])
def test_every_width_and_machine(machine: str, dtype: str) -> None:
    x = np.concatenate([sweep(dtype, 500), [np.nan, np.inf, -np.inf]]).astype(dtype)
    x = x[~(abs(x) > 1e5) | ~np.isfinite(x)]
    with np.errstate(all="ignore"):
        for make, exact in FUNCTIONS.values():
            want = exact(x.astype(np.float64))
            for lanes in (1, 8):
                got = run(target.named(machine), dtype, lanes, make, x)
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-7 if dtype == "float32" else 1e-11)


def test_whole_turns_away_there_is_no_number() -> None:
    x = np.array([2.0**46, -(2.0**60), 1e300])
    assert np.isnan(run(target.host(), "float64", 1, waves.sin, x)).all()
