"""Subnormal numbers are 0 for the reference engine: how NumPy is made to see to that.

NumPy raises under `RAISING` where a result is subnormal and was rounded, which costs nothing where there is none; what
raised is computed once more, carefully, with 0 for whatever is subnormal on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

RAISING: Any = {"all": "ignore", "under": "raise"}
"""What NumPy does about a result that is subnormal and was rounded, and about other oddities."""
_ALMOST_1: Mapping[Any, Any] = {
    kind: kind.type(1 - np.finfo(kind).epsneg) for kind in (np.dtype(np.float32), np.dtype(np.float64))
}
"""The largest number below 1: what is subnormal has no room for the digits of a product by it."""


def flushed(value: Any) -> Any:
    """The same, quickly where there are none, under `RAISING`; what is no array of numbers as it is."""
    almost_1 = _ALMOST_1.get(getattr(value, "dtype", None))
    if almost_1 is None:
        return value
    try:
        value * almost_1
    except FloatingPointError:
        return without_subnormal(value)
    return value


def without_subnormal(value: Any) -> Any:
    """The numbers with 0 for those that are subnormal."""
    return value * (np.abs(value) >= np.finfo(value.dtype).tiny)


def all_flushed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Each of these values flushed."""
    with np.errstate(**RAISING):
        return {name: flushed(value) for name, value in values.items()}


def flushing(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with 0 for results that are subnormal."""
    return lambda *arguments: without_subnormal(np.asarray(function(*arguments)))


def carefully(value: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """The same function of named values with 0 for a result that is subnormal, also under `RAISING`."""

    def careful_value(v: dict[str, Any]) -> Any:
        with np.errstate(under="ignore"):
            return without_subnormal(np.asarray(value(v)))

    return careful_value
