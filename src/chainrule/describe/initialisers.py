"""Initialisers: how first weights are drawn, by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import expected, is_number, unknown_name
from chainrule.program.builder import Fill, InGroups, Initial, Values

DRAWN = (
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "orthogonal",
    "zeros",
)  # fmt: skip
"""Names of initialisers of weights; a number s stands for a normal distribution with standard deviation s."""
SCALES = ("signs", "ones")
"""Names of what the scales of an ensemble's members begin with: 1 or -1, each as likely; or 1."""
BY_PLACE = {"rectified": ("glorot_uniform", "he_normal")}
"""Names that say two: where data come in, and where the values of an activation do.

rectified: the 2 of he makes up for the half that a relu before took away (He 2015, section 2.2).  Data have come
through none, and most tables are learned worse with it there; between hidden layers a deep network needs it: what was
measured stands in docs/first-weights.md.
"""


def check(value: Any, faults: list[str]) -> None:
    """The name of an initialiser, a standard deviation, or None for the activation's own."""
    if isinstance(value, str):
        if value not in (*DRAWN, *BY_PLACE):
            faults.append(unknown_name("initialiser", value, [*DRAWN, *BY_PLACE]))
    elif value is not None and not (is_number(value) and value >= 0):
        faults.append(expected("The initialiser", "a name or the standard deviation of a normal distribution", value))


def check_scales(value: Any, faults: list[str]) -> None:
    """How the scales of members begin."""
    if value not in SCALES:
        faults.append(unknown_name("scales", str(value), SCALES))


def at_place(how: Initial, reads_data: bool) -> Initial:
    """Which initialiser that is where data come in, or else an activation's values."""
    if not isinstance(how, str) or how not in BY_PLACE:
        return how
    of_data, of_values = BY_PLACE[how]
    return of_data if reads_data else of_values


def draw(how: Initial, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """First values of that shape; of weights, (fan_in, fan_out).

    glorot: variance 2 / (in + out).  he: 2 / in.  lecun: 1 / in.  A number s: N(0, s²).  orthogonal: QᵀQ = I or
    QQᵀ = I, whichever fits.  zeros, ones, a Fill and Values draw nothing.  Of matrices below each other, each is drawn
    by itself.  Sources: Glorot 2010, He 2015, LeCun 1998, Saxe 2013.
    """
    if isinstance(how, InGroups):
        rows, *columns = shape
        return np.concatenate([draw(how.each, (rows // how.groups, *columns), rng) for _ in range(how.groups)])
    if isinstance(how, Fill):
        return np.full(shape, how.value)
    if isinstance(how, Values):
        return np.array(how.numbers).reshape(shape)
    if how == "phases":
        return rng.uniform(-0.5, 0.5, shape)
    if how == "signs":
        return rng.choice([-1.0, 1.0], shape)
    if not isinstance(how, str):
        return rng.normal(0.0, 1.0, shape) * how
    if how in ("zeros", "ones"):
        return np.full(shape, float(how == "ones"))
    fan_in, fan_out = shape
    if how == "orthogonal":
        q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return q if fan_in >= fan_out else q.T
    family, kind = how.split("_")
    variance = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}[family]
    if kind == "normal":
        return rng.normal(0.0, math.sqrt(variance), shape)
    limit = math.sqrt(3 * variance)
    return rng.uniform(-limit, limit, shape)
