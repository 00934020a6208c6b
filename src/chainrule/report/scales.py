"""Scales of charts: where a value stands, round ticks, and one rule for how the numbers of an axis are written.

All numbers of an axis have one form: plain ones with as many digits after the point as the closest two need; or, where
one is 10⁷ and more or below 10⁻³, all as a factor times a power of ten.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

DECADES = 1.5
"""From so many powers of ten on positive values stand on a logarithmic scale."""
LARGEST, SMALLEST = 1e7, 1e-3
"""Sizes between which a number is written plainly."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Scale:
    """From values to parts of an axis: 0 at its beginning, 1 at its end."""

    low: float
    """The value at 0."""
    high: float
    """The value at 1; above `low`."""
    logarithmic: bool = False
    """Whether equal steps are equal factors; low is above 0 then."""
    whole: bool = False
    """Whether only whole numbers mean something."""

    def part(self, value: float) -> float:
        """Where a value stands."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values on the axis, about as many."""
        if self.logarithmic:
            return _logarithmic_ticks(self.low, self.high, most)
        step = round_step((self.high - self.low) / most)
        if self.whole:
            step = max(1.0, step)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def scale_of(values: Iterable[float], *, logarithmic: bool | None = None, room: float = 0.06) -> Scale:
    """A scale on which all finite values have a place.

    logarithmic: None to judge by how far they lie apart.  room: the part of the axis that is left at either end; 0 is
    not crossed for it.  Values that are 0 or less have no place on a logarithmic scale.
    """
    finite = [v for v in values if math.isfinite(v)]
    if logarithmic is None:
        logarithmic = bool(finite) and min(finite) > 0 and math.log10(max(finite) / min(finite)) > DECADES
    if logarithmic:
        logs = [math.log10(v) for v in finite if v > 0] or [0.0]
        more = room * (max(logs) - min(logs) or 1.0)
        return Scale(10 ** (min(logs) - more), 10 ** (max(logs) + more), logarithmic=True)
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    more = room * (high - low or abs(high) or 1.0)
    return Scale(0.0 if 0 <= low < 2 * more else low - more, 0.0 if low < 0 and -2 * more < high <= 0 else high + more)


def round_step(least: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not smaller."""
    size = 10.0 ** math.floor(math.log10(least))
    return next(m * size for m in (1, 2, 5, 10) if m * size >= least * (1 - 1e-9))


def _logarithmic_ticks(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        ticks = [m * 10.0**p for p in powers for m in factors if low <= m * 10.0**p <= high]
        if len(ticks) >= 3:
            return ticks[:: -(-len(ticks) // (most + 1))]
    return Scale(low, high).ticks(most)


def written(ticks: Sequence[float]) -> list[str]:
    """The numbers of one axis, all in one form."""
    sizes = [abs(t) for t in ticks if t]
    if not sizes:
        return ["0"] * len(ticks)
    if max(sizes) >= LARGEST or min(sizes) < SMALLEST:
        return ["0" if not t else power_of_ten(t) for t in ticks]
    gaps = [abs(b - a) for a, b in pairwise(ticks)] or sizes
    even = max(gaps) - min(gaps) <= 1e-6 * max(gaps)
    digits = max(map(_digits, sizes))
    return [f"{t:,.{digits if even else _digits(abs(t))}f}".replace("-", "−") for t in ticks]


def _digits(size: float) -> int:
    """After the point that a round number needs."""
    return next((digits for digits in range(6) if _plain(size, digits)), 6)


def _plain(size: float, digits: int) -> bool:
    return math.isclose(size, round(size, digits), rel_tol=1e-9)


def power_of_ten(value: float, digits: int = 3) -> str:
    """A factor times a power of ten, "2 · 10⁻⁴"; 10⁻⁴ itself where the factor is 1."""
    exponent = math.floor(math.log10(abs(value)) + 1e-12)
    factor = f"{value / 10.0**exponent:.{digits}g}".replace("-", "−")
    power = f"10{str(exponent).translate(_RAISED)}"
    return power if factor == "1" else f"{factor} · {power}"


def short(value: float, digits: int = 4) -> str:
    """A number by itself, with so many digits: plainly where it is neither large nor small."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    size = abs(value)
    if not SMALLEST <= size < LARGEST:
        return power_of_ten(value, digits)
    text = f"{value:,.0f}" if size >= 10 ** (digits - 1) else f"{value:.{digits}g}"
    return text.replace("-", "−")
