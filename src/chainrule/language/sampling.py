"""Inventing names: all advance together, a character at a time, one prediction per position."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, expected
from chainrule.language.vocabulary import BOUNDARY, Tokens

Predict = Callable[[Tokens], NDArray[Any]]
"""Contexts (m, context) -> the probabilities of each next token, (m, v)."""
_ROOM = 32
"""Characters after the prefix that there is room for at first; there is more when a name needs it."""


def weights(probabilities: NDArray[Any], temperature: float = 1.0, top_k: int | None = None) -> NDArray[np.float64]:
    """p^(1/T) relative to the row's largest, 0 for all but the k most probable (of equals, the first)   (m, v)"""
    P = np.asarray(probabilities, np.float64)
    with np.errstate(divide="ignore"):
        logarithm = np.log(P)
    shaped: NDArray[np.float64] = np.exp((logarithm - logarithm.max(axis=1, keepdims=True)) / temperature)
    if top_k is not None and top_k < shaped.shape[1]:
        others = np.argsort(-P, axis=1, kind="stable")[:, top_k:]
        np.put_along_axis(shaped, others, 0.0, axis=1)
    return shaped


def draw(cumulative: NDArray[np.float64], rng: np.random.Generator) -> Tokens:
    """One token a row, by the inverse of the cumulative weights (m, v); a token of weight 0 is never drawn."""
    total = cumulative[:, -1]
    u = np.minimum(rng.random(len(cumulative)) * total, np.nextafter(total, 0.0))
    tokens: Tokens = (cumulative <= u[:, None]).sum(axis=1)
    return tokens


def sample(
    predict: Predict,
    count: int,
    context: int,
    rng: np.random.Generator,
    *,
    prefix: Tokens,
    longest: int,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> list[Tokens]:
    """`count` names as tokens, the prefix among them, without boundaries.

    A name has at least one character, and is cut off at `longest` if it has not ended by then.  Names that have ended
    take no further part; contexts that several names share are predicted once.
    """
    begun = len(prefix)
    rows = np.zeros((count, context + begun + _ROOM), np.int64)
    rows[:, context : context + begun] = prefix
    lengths = np.full(count, max(longest, begun))
    going = np.arange(count)
    for position in range(begun, longest):
        contexts = rows[going, position : position + context]
        different, of = _distinct(contexts, position - begun)
        P = predict(contexts[different])
        if position == 0:
            P = P.copy()
            P[:, BOUNDARY] = 0.0
        token = draw(np.cumsum(weights(P, temperature, top_k), axis=1)[of], rng)
        if context + position == rows.shape[1]:
            rows = np.pad(rows, ((0, 0), (0, position)))
        rows[going, context + position] = token
        ended = token == BOUNDARY
        lengths[going[ended]] = position
        going = going[~ended]
        if going.size == 0:
            break
    return [row[context : context + length] for row, length in zip(rows, lengths, strict=True)]


def check(n: object, temperature: object, top_k: object, longest: object) -> None:
    """Raises DataError for settings that cannot be, all of them at once."""
    faults = []
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
        faults.append(expected("The number of samples", "a positive whole number", n))
    number = isinstance(temperature, int | float | np.number) and not isinstance(temperature, bool)
    if not number or not (math.isfinite(temperature) and temperature > 0):  # type: ignore[arg-type, operator]
        faults.append(expected("The temperature", "a finite number above 0", temperature))
    for name, value in (("top_k", top_k), ("The greatest length", longest)):
        if value is not None and (not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1):
            faults.append(expected(name, "a positive whole number", value))
    if faults:
        raise DataError("\n".join(faults))


def _distinct(contexts: Tokens, drawn: int) -> tuple[Tokens, Tokens]:
    """(the rows that differ, for each row which of these it is); `drawn`: how many last columns can differ at all."""
    columns = min(drawn, contexts.shape[1])
    if columns == 0:
        return np.zeros(1, np.int64), np.zeros(len(contexts), np.int64)
    base = int(contexts.max()) + 1
    if columns * math.log2(base) >= 62:
        # Too many for a number each; that long a context is hardly ever shared.
        return np.arange(len(contexts)), np.arange(len(contexts))
    key = contexts[:, -columns:] @ base ** np.arange(columns)
    _, first, of = np.unique(key, return_index=True, return_inverse=True)
    return first, of
