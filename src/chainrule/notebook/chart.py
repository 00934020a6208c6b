"""Curves over epochs as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from chainrule.report.markup import Html, tag

Array = NDArray[np.float64]
WIDTH, HEIGHT = 380, 220
"""Pixels."""
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 36
MOST_POINTS = 400
"""Of a curve; of more epochs every second, third, ... is drawn, and the last."""
DECADES = 1.5
"""From so many powers of ten on the height is logarithmic."""


def chart(title: str, x: Array, series: Sequence[tuple[str, Array]], best: tuple[float, float] | None = None) -> Html:
    """The curves (name, values) over the epochs x.  best: a point to be marked.

    What is not finite is left out; nothing is drawn where no value is finite.
    """
    values = np.concatenate([part[np.isfinite(part)] for _, part in series])
    if not values.size:
        return Html()
    low, high = float(values.min()), float(values.max())
    logarithmic = low > 0 and math.log10(high / low) > DECADES
    down = _scale(low, high, logarithmic)
    first, last = float(x[0]), float(x[-1])

    def at(epoch: float, value: float) -> tuple[float, float]:
        across = 0.5 if last == first else (epoch - first) / (last - first)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - down(value) * (HEIGHT - TOP - BOTTOM)

    drawn: list[Html] = []
    for tick in _ticks(low, high, logarithmic):
        y = f"{at(first, tick)[1]:.1f}"
        drawn.append(
            tag("line", x1=str(LEFT), x2=str(WIDTH - RIGHT), y1=y, y2=y, stroke="currentColor", opacity="0.15")
        )
        drawn.append(tag("text", f"{tick:.4g}", x=str(LEFT - 7), y=y, dy="0.33em", text_anchor="end", font_size="11"))
    for epoch in sorted({first, last} | {float(x[len(x) // 2])}):
        across = f"{at(epoch, low)[0]:.1f}"
        drawn.append(
            tag("text", f"{epoch:.0f}", x=across, y=str(HEIGHT - BOTTOM + 15), text_anchor="middle", font_size="11")
        )
    middle = str((LEFT + WIDTH - RIGHT) / 2)
    drawn.append(
        tag("text", "epoch", x=middle, y=str(HEIGHT - 5), text_anchor="middle", font_size="11", opacity="0.72")
    )
    names = []
    for k, (name, part) in enumerate(series):
        if not np.isfinite(part).any():
            continue
        color = f"var(--c{k})"
        drawn += _curve([at(float(e), float(v)) if math.isfinite(v) else None for e, v in _thinned(x, part)], color)
        names.append(tag("span", tag("span", "━ ", style=f"color: {color}"), name))
    if best is not None:
        across_, down_ = at(*best)
        drawn.append(
            tag(
                "circle",
                cx=f"{across_:.1f}",
                cy=f"{down_:.1f}",
                r="5",
                fill="none",
                stroke="currentColor",
                stroke_width="1.6",
            )
        )
        names.append(tag("span", f"○ best {best[1]:.4g}, epoch {best[0]:.0f}"))
    scale = " (logarithmic)" if logarithmic else ""
    said = f"{title}{scale} over epochs"
    svg = tag(
        "svg",
        *drawn,
        width=str(WIDTH),
        height=str(HEIGHT),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=said,
    )
    return tag(
        "div", tag("p", tag("b", title), scale), tag("p", *joined_by("   ", names), class_="says"), svg, class_="chart"
    )


def joined_by(between: str, parts: Sequence[Html]) -> list[str]:
    """The parts with a text between them."""
    return [p for k, part in enumerate(parts) for p in ((between, part) if k else (part,))]


def _scale(low: float, high: float, logarithmic: bool) -> Callable[[float], float]:
    """How far up a value stands, from 0 to 1."""

    def part(value: float) -> float:
        if high == low:
            return 0.5
        if logarithmic:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    return part


def _thinned(x: Array, values: Array) -> list[tuple[float, float]]:
    step = -(-len(x) // MOST_POINTS)
    kept = sorted({*range(0, len(x), step), len(x) - 1})
    return [(float(x[k]), float(values[k])) for k in kept]


def _curve(points: Sequence[tuple[float, float] | None], color: str) -> list[Html]:
    """Lines between neighbours that are both there; a point alone as a dot."""
    lines: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            lines.append([])
        else:
            lines[-1].append(point)
    drawn = []
    for line in filter(None, lines):
        if len(line) == 1:
            drawn.append(tag("circle", cx=f"{line[0][0]:.1f}", cy=f"{line[0][1]:.1f}", r="3", fill=color))
        else:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
            drawn.append(
                tag("polyline", points=path, fill="none", stroke=color, stroke_width="2", stroke_linejoin="round")
            )
    return drawn


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    """A few round numbers from low to high."""
    if high == low:
        return [low]
    if logarithmic:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        tens = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
        return tens[:: max(1, -(-len(tens) // 5))]
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 4.5)
    first = math.ceil(low / step)
    return [k * step for k in range(first, math.floor(high / step) + 1)]
