"""What is wrong with a gradient, in words: a factor, a sign, a transpose, a missing term."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.program.equation import Equation
from chainrule.program.op import Elementwise, MatMul
from chainrule.program.scalar import Apply, Expression
from chainrule.program.symbol import BATCH, Symbol
from chainrule.program.text import expression_text

Array = NDArray[Any]
CLOSE = 1e-5


def diagnose(
    equation: Equation,
    inner: Sequence[Equation],
    of: Symbol,
    computed: Mapping[str, Array],
    values: Mapping[str, Any],
    places: Array,
    numeric: Array,
    derived: Equation | None,
) -> str:
    """Words for the difference between a gradient and the slope of the cost.

    places: flat indices of the compared elements; numeric: the slopes there; computed, values: what the program gave;
    derived: the equation as the rules have it.
    """
    whole = np.asarray(computed[equation.target.name], np.float64)
    analytic = whole.reshape(-1)[places]
    factor = factor_between(analytic, numeric)
    if factor is not None:
        return named_factor(factor, equation, values)
    swapped = _transposed(equation, inner, computed, values, whole.shape, places, numeric)
    if swapped:
        return swapped
    difference = analytic - numeric
    penalty = penalty_term(of, difference, numeric, values, places)
    if penalty:
        return penalty
    missing = _missing(equation, derived)
    if missing:
        return missing
    wrong = np.abs(difference) > CLOSE * np.maximum(np.abs(numeric), np.abs(numeric).max(initial=0) * 1e-3)
    largest = float(np.abs(difference).max())
    return f"{int(wrong.sum())} of {len(places)} elements differ, by no common factor (largest {largest:.3g})"


def same(a: Array, b: Array) -> bool:
    scale = max(float(np.abs(b).max(initial=0)), float(np.abs(a).max(initial=0)), 1e-12)
    return bool(np.abs(a - b).max(initial=0) <= CLOSE * scale)


def factor_between(analytic: Array, numeric: Array) -> float | None:
    """c where analytic = c numeric."""
    square = float((numeric * numeric).sum())
    if square == 0 or not np.isfinite(square):
        return None
    c = float((analytic * numeric).sum()) / square
    return c if same(analytic, c * numeric) else None


def named_factor(c: float, equation: Equation, values: Mapping[str, Any]) -> str:
    """2 times too large, the sign is wrong, a factor 1/m is missing ..."""
    if abs(c) < CLOSE:
        return "is 0, and should not be"
    factors = _factors(equation, values)
    sign = "the sign is wrong" if c < 0 else ""
    size = abs(c)
    if np.isclose(size, 1, rtol=CLOSE):
        return sign or "a difference too small to name"
    said = []
    for factor, value in factors:
        shown = factor if factor == f"{value:g}" else f"{factor} = {value:g}"
        if value != 1 and np.isclose(size, value, rtol=CLOSE):
            said.append(f"too large by a factor of {shown}: a factor of 1/{factor} is missing")
        if value != 1 and np.isclose(size, 1 / value, rtol=CLOSE):
            said.append(f"too small by a factor of {shown}: a factor of {factor} is missing")
    text = " (or ".join(dict.fromkeys(said)) + ")" * (len(set(said)) - 1) if said else f"off by a factor of {c:.6g}"
    return f"{text}, and {sign}" if sign and said else text


def _factors(equation: Equation, values: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The factors that mistakes are made of: 2, m, the widths in sight."""
    factors = [("2", 2.0)]
    if BATCH in values:
        m = float(values[BATCH])
        factors += [("m", m), ("m²", m * m)]
    widths = (d for s in (equation.target, *equation.operands) for d in s.shape[-1:])
    return factors + [("n", float(d)) for d in dict.fromkeys(widths) if isinstance(d, int) and d > 2]


def _transposed(
    equation: Equation,
    inner: Sequence[Equation],
    computed: Mapping[str, Array],
    values: Mapping[str, Any],
    shape: tuple[int, ...],
    places: Array,
    numeric: Array,
) -> str:
    """A product whose value would be right with a factor, or the whole, transposed."""
    everything = {**values, **computed}
    for product in (equation, *inner):
        if not isinstance(product.op, MatMul):
            continue
        own = np.asarray(computed[product.target.name], np.float64)
        rest = np.asarray(computed[equation.target.name], np.float64) - own if own.shape == shape else None
        if rest is None:
            continue
        left, right = (np.asarray(everything[s.name], np.float64) for s in product.operands)
        left = left.T if product.op.transpose_left else left
        right = right.T if product.op.transpose_right else right
        names = [f"{s.name}" for s in product.operands]
        tries: dict[str, Callable[[], Array]] = {
            "the product is transposed": lambda o=own: o.T,  # type: ignore[misc]
            f"{names[0]} is transposed wrongly": lambda a=left, b=right: a.T @ b,  # type: ignore[misc]
            f"{names[1]} is transposed wrongly": lambda a=left, b=right: a @ b.T,  # type: ignore[misc]
            f"{names[0]} and {names[1]} are transposed wrongly": lambda a=left, b=right: a.T @ b.T,  # type: ignore[misc]
            "the factors are in the wrong order": lambda a=left, b=right: b @ a,  # type: ignore[misc]
        }
        for said, make in tries.items():
            try:
                other = make()
            except ValueError:
                continue
            if other.shape == shape and same((other + rest).reshape(-1)[places], numeric):
                return f"a transpose: {said}"
    return ""


def penalty_term(of: Symbol, difference: Array, numeric: Array, values: Mapping[str, Any], places: Array) -> str:
    """A difference that is a multiple of the weights, or of their signs: a penalty's term."""
    if of.role != "parameter" or not len(difference):
        return ""
    w = np.asarray(values[of.name], np.float64).reshape(-1)[places]
    for kind, part, name in (("L2", w, of.name), ("L1", np.sign(w), f"sign({of.name})")):
        c = factor_between(difference, part)
        if c is None or c == 0:
            continue
        m = float(values.get(BATCH, 1.0))
        word = "a missing term" if c < 0 else "a term too much"
        return f"{word}: {abs(c):.4g} {name} (= {abs(c) * m:.4g} {name} / m), as the {kind} penalty has it"
    return ""


def _missing(equation: Equation, derived: Equation | None) -> str:
    """Terms that the rules derive and the equation has not."""
    if derived is None or not isinstance(derived.op, Elementwise) or not isinstance(equation.op, Elementwise):
        return ""
    has, should = _terms(equation.op.expression), _terms(derived.op.expression)
    gone = [t for t in should if t not in has]
    extra = [t for t in has if t not in should]
    if gone and not extra:
        return f"a missing term: {' and '.join(gone)}"
    if extra and not gone:
        return f"a term too much: {' and '.join(extra)}"
    return ""


def _terms(e: Expression, sign: str = "") -> list[str]:
    if isinstance(e, Apply) and e.function in ("add", "sub"):
        other = sign if e.function == "add" else "" if sign else "-"
        return [*_terms(e.arguments[0], sign), *_terms(e.arguments[1], other)]
    return [f"{sign}{expression_text(e)}"]
