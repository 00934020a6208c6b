"""Gradients that somebody has written by hand, beside the slopes of the cost: which are wrong, and how.

Each is judged by itself; one that is wrong only because another is, that it was made of, is wrong all the same.  What
the rules derive is not told: the equation is the learner's to find.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import DataError, SpecError, unknown_name
from chainrule.glass.check import FULL, SAMPLE, TOLERANCE, CheckReport, Fault, GradientCheck, compare, subject
from chainrule.glass.diagnosis import CLOSE, factor_between, named_factor, penalty_term, same
from chainrule.glass.slopes import Slopes
from chainrule.program.equation import Equation, Program
from chainrule.program.symbol import Symbol, shape_text

Array = NDArray[Any]
_SINGLE = 1e-3
"""The relative error that gradients of less than eight bytes a number may have."""


def check_claimed(
    program: Program, given: Mapping[str, Any], claimed: Mapping[str, ArrayLike], *, seed: int = 0
) -> CheckReport:
    """Compares gradients given by name (W1 or dW1, dZ1 of a value) with finite differences of the program's cost.

    given: the given symbols' values, as float64.  seed: of the random directions.  Raises SpecError for no gradients
    and for a name that is no gradient's, DataError for what is no array of numbers.
    """
    if not claimed:
        raise SpecError("There is no gradient to check: give some by name, {'W1': ..., 'b1': ...}.")
    slopes, rng = Slopes(program, given), np.random.default_rng(seed)
    asked = {g.name: s for s, g in program.gradients}
    known = {e.target.name: (e, of) for e in program.backward if (of := subject(e, program, asked)) is not None}
    named = {of.name: name for name, (_, of) in known.items()}
    checks, faults = [], []
    for name, value in claimed.items():
        if not isinstance(name, str) or (name not in known and name not in named):
            raise SpecError(unknown_name("gradient", str(name), known))
        equation, of = known[named.get(name, name)]
        array = _numbers(name, value)
        tolerance = TOLERANCE if array.dtype.itemsize >= 8 else _SINGLE
        shape = np.shape(slopes.values[of.name])
        if array.size == np.prod(shape, dtype=int) and 1 in (array.ndim, len(shape)):
            array = array.reshape(shape)  # (1, n) of a bias, (m,) of one output
        if array.shape != shape:
            check, diagnosis = _of_another_shape(slopes, of, equation.target, array, shape)
        else:
            check = compare(slopes, of, equation.target, {equation.target.name: array}, rng, tolerance)
            diagnosis = "" if check.ok else _diagnosis(slopes, of, equation, array, rng)
        checks.append(check)
        if diagnosis:
            faults.append(Fault(check.name, diagnosis, ""))
    return CheckReport(tuple(checks), (), tuple(faults), slopes.cost)


def _numbers(name: str, value: ArrayLike) -> Array:
    """The array, all of it finite.  Raises DataError."""
    try:
        array = np.asarray(value)
        array = array if array.dtype.kind == "f" else array.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"The gradient {name} must be an array of numbers. Got {type(value).__name__}.") from None
    if not np.isfinite(array).all():
        raise DataError(
            f"The gradient {name} must be finite. It has {np.count_nonzero(~np.isfinite(array))} that are not."
        )
    return array


def _of_another_shape(
    slopes: Slopes, of: Symbol, gradient: Symbol, array: Array, shape: tuple[int, ...]
) -> tuple[GradientCheck, str]:
    check = GradientCheck(gradient.name, of.name, array.shape, "full", np.inf, False)
    said = f"has the shape {shape_text(array.shape)}, {of.name} has {shape_text(shape)}"
    if array.T.shape == shape and array.size <= FULL and _slopes_are(slopes, of, np.asarray(array.T)):
        return check, f"{said}: it is right, but stands transposed (samples are rows, W is inputs × outputs)"
    return check, said


def _slopes_are(slopes: Slopes, of: Symbol, array: Array) -> bool:
    near = np.asarray(array, np.float64).reshape(-1)
    return same(near, slopes.entries(of, np.arange(near.size), near))


def _diagnosis(slopes: Slopes, of: Symbol, equation: Equation, array: Array, rng: np.random.Generator) -> str:
    """What is wrong with it, in words."""
    whole = np.asarray(array, np.float64)
    analytic = whole.reshape(-1)
    places = np.arange(analytic.size)
    if analytic.size > FULL:
        places = np.sort(rng.choice(analytic.size, SAMPLE, replace=False))
    numeric = slopes.entries(of, places, analytic[places])
    factor = factor_between(analytic[places], numeric)
    if factor is not None:
        return named_factor(factor, equation, slopes.values)
    if whole.ndim == 2 and whole.shape[0] == whole.shape[1] and same(whole.T.reshape(-1)[places], numeric):
        return "it stands transposed"
    difference = analytic[places] - numeric
    if term := penalty_term(of, difference, numeric, slopes.values, places):
        return term
    wrong = np.abs(difference) > CLOSE * np.maximum(np.abs(numeric), np.abs(numeric).max(initial=0) * 1e-3)
    if 0 < wrong.sum() < len(places):
        first = np.unravel_index(int(places[np.argmax(wrong)]), whole.shape)
        at = ", ".join(str(int(k)) for k in first)
        return f"{int(wrong.sum())} of {len(places)} elements are wrong, the first at [{at}]"
    return f"no element is right, and they are off by no common factor (at most by {np.abs(difference).max():.3g})"
