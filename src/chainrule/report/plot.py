"""Charts as inline SVG: axes with titles, and what is drawn between them.  Colours are the page's own, by class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from chainrule.report.markup import Html, tag
from chainrule.report.scales import Scale, written

WIDTH, HEIGHT = 360, 215
"""Of a chart, in units that are pixels where there is room."""
LETTER = 6.4
"""Of a tick's text, a letter's width."""
Point = tuple[float, float]


class Plot:
    """A chart, to be drawn on: values to places, and SVG at the end.

    plot = Plot(x, y, "epoch", "cost J"); plot.line(points, 0); plot.svg("The cost over the epochs")
    """

    def __init__(
        self,
        x: Scale,
        y: Scale,
        x_title: str,
        y_title: str,
        *,
        height: float = HEIGHT,
        width: float = WIDTH,
        rows: Sequence[str] = (),
        columns: Sequence[str] = (),
        x_ticks: bool = True,
    ) -> None:
        """rows, columns: names in the place of numbers along the height, the first on top, or along the width."""
        self.x, self.y, self.width, self.height = x, y, width, height
        y_ticks = [] if rows else y.ticks()
        y_labels = list(rows) or written(y_ticks)
        self.left = 12 + LETTER * max((len(label) for label in y_labels), default=0)
        self.right, self.top, self.bottom = 14.0, 30.0 if y_title else 10.0, 40.0 if x_title else 24.0
        self._parts: list[Html] = []
        for value, label in zip(y_ticks, y_labels, strict=False):
            self._tick_y(self.down(value), label)
        for k, label in enumerate(rows):
            self._tick_y(self.top + (k + 0.5) * self._inside[1] / len(rows), label, grid=False)
        if columns:
            for k, label in enumerate(columns):
                self._text(self.left + (k + 0.5) * self._inside[0] / len(columns), label)
        elif x_ticks:
            self._ticks_x()
        if x_title:
            self._text(self.left + self._inside[0] / 2, x_title, height - 6, "title")
        if y_title:
            self._parts.append(tag("text", y_title, x="0", y="13", class_="title"))

    @property
    def _inside(self) -> Point:
        """The width and height between the axes."""
        return self.width - self.left - self.right, self.height - self.top - self.bottom

    def across(self, value: float) -> float:
        """The place of a value along the width."""
        return self.left + self.x.part(value) * self._inside[0]

    def down(self, value: float) -> float:
        """The place of a value along the height."""
        return self.top + (1 - self.y.part(value)) * self._inside[1]

    def at(self, x: float, y: float) -> Point:
        """The place of a point."""
        return self.across(x), self.down(y)

    def _tick_y(self, y: float, label: str, *, grid: bool = True) -> None:
        if grid:
            ends = {"x1": _n(self.left), "x2": _n(self.width - self.right)}
            self._parts.append(tag("line", **ends, y1=_n(y), y2=_n(y), class_="grid"))
        self._parts.append(tag("text", label, x=_n(self.left - 7), y=_n(y), dy="0.34em", class_="tick end"))

    def _ticks_x(self) -> None:
        """As many as have a place beside each other."""
        for most in (6, 5, 4, 3, 2):
            ticks = self.x.ticks(most)
            labels = written(ticks)
            if len(ticks) * (max(map(len, labels), default=0) * LETTER + 14) <= self._inside[0] + 20:
                break
        for value, label in zip(ticks, labels, strict=True):
            self._text(self.across(value), label)

    def _text(self, x: float, label: str, y: float | None = None, kind: str = "tick") -> None:
        y = self.height - self.bottom + 17 if y is None else y
        self._parts.append(tag("text", label, x=_n(x), y=_n(y), class_=f"{kind} middle"))

    # --- what is drawn -----------------------------------------------------------------------------------------

    def line(self, points: Iterable[Point | None], series: int, kind: str = "") -> None:
        """A line through the points; None parts it.  A point alone is a dot."""
        pieces: list[list[Point]] = [[]]
        for point in points:
            if point is None:
                pieces.append([])
            else:
                pieces[-1].append(self.at(*point))
        path = " ".join("M" + " L".join(f"{_n(x)} {_n(y)}" for x, y in piece) for piece in pieces if len(piece) > 1)
        if path:
            self._parts.append(tag("path", d=path, class_=f"series s{series % 7} {kind}".rstrip()))
        for piece in pieces:
            if len(piece) == 1:
                self._dot(piece[0], f"point s{series % 7}", 3.5)

    def dots(self, points: Iterable[Point], series: int, size: float = 2.6) -> None:
        """A dot at each point, as one path: thousands of them stay small."""
        path = "".join(f"M{_n(x)} {_n(y)}h0" for x, y in (self.at(*point) for point in points))
        if path:
            self._parts.append(tag("path", d=path, class_=f"cloud s{series % 7}", style=f"stroke-width:{2 * size:g}"))

    def bars(self, ends: Iterable[tuple[float, float, float]], series: int) -> None:
        """Bars from 0: (left, right, height) in values of the axes."""
        for left, right, value in ends:
            a, b, zero, y = self.across(left), self.across(right), self.down(max(self.y.low, 0)), self.down(value)
            size = {"width": _n(max(0.5, b - a - 1)), "height": _n(abs(zero - y))}
            self._parts.append(tag("rect", x=_n(a + 0.5), y=_n(min(y, zero)), **size, class_=f"bar s{series % 7}"))

    def row(self, k: int, rows: int, start: float, end: float, series: int, label: str = "", *, share: float = 0.64,
            lane: int = 0, lanes: int = 1) -> None:  # fmt: skip
        """A bar along the width in the k-th of so many rows, with a text at its end; lanes share a row."""
        pitch = self._inside[1] / rows
        size = share * pitch / lanes
        y = self.top + k * pitch + (1 - share) / 2 * pitch + lane * size
        a, b = sorted((self.across(start), self.across(end)))
        place = {"x": _n(a), "y": _n(y), "width": _n(max(1.0, b - a)), "height": _n(size - (1 if lanes > 1 else 0))}
        self._parts.append(tag("rect", **place, class_=f"bar s{series % 7}"))
        if label:
            self._parts.append(tag("text", label, x=_n(b + 5), y=_n(y + size / 2), dy="0.34em", class_="tick"))

    def mark(self, x: float, y: float, series: int, words: str) -> None:
        """A ring around a point, with words beside it."""
        at = self.at(x, y)
        self._dot(at, f"ring s{series % 7}", 5.5)
        right = at[0] < self.left + 0.55 * self._inside[0]
        above = at[1] > self.top + 22
        place = {"x": _n(at[0] + (9 if right else -9)), "y": _n(at[1] + (-9 if above else 18))}
        if words:
            self._parts.append(tag("text", words, **place, class_=f"mark {'' if right else 'end'}".rstrip()))

    def level(self, value: float, words: str = "") -> None:
        """A dashed line at a height, named at its end."""
        y = _n(self.down(value))
        self._parts.append(tag("line", x1=_n(self.left), x2=_n(self.width - self.right), y1=y, y2=y, class_="level"))
        if words:
            place = {"x": _n(self.width - self.right), "y": _n(self.down(value) - 5)}
            self._parts.append(tag("text", words, **place, class_="mark end"))

    def straight(self, first: Point, last: Point) -> None:
        """A dashed line between two points."""
        (x1, y1), (x2, y2) = self.at(*first), self.at(*last)
        self._parts.append(tag("line", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), class_="level"))

    def _dot(self, at: Point, kind: str, size: float) -> None:
        self._parts.append(tag("circle", cx=_n(at[0]), cy=_n(at[1]), r=f"{size:g}", class_=kind))

    def svg(self, says: str, **attributes: str) -> Html:
        """The chart, `says` being what it is to those who do not see it."""
        view = f"0 0 {self.width:g} {self.height:g}"
        return tag("svg", *self._parts, viewBox=view, role="img", aria_label=says, class_="plot", **attributes)


def _n(value: float) -> str:
    """A place, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def legend(names: Sequence[tuple[int, str]]) -> Html:
    """Which colour is which: (series, name)."""
    items = [tag("li", tag("i", class_=f"s{k % 7}"), name) for k, name in names]
    return tag("ul", *items, class_="legend")


def figure(title: str, *content: str) -> Html:
    """A chart on the page: what it is, itself, and last what is to be known to read it ("" for nothing)."""
    *parts, note = content
    notes = [tag("p", note, class_="note")] if note else []
    return tag("figure", tag("figcaption", title), *parts, *notes, class_="chart")


def smoothed(values: Sequence[float | None], window: int) -> list[float | None]:
    """The mean of the values around each, `window` of them, fewer at the ends; None where none is there."""
    half = window // 2
    means: list[float | None] = []
    for k in range(len(values)):
        reach = min(half, k, len(values) - 1 - k)
        near = [v for v in values[k - reach : k + reach + 1] if v is not None and math.isfinite(v)]
        means.append(sum(near) / len(near) if near and values[k] is not None else None)
    return means


def noise(values: Sequence[float | None]) -> float:
    """How much longer the way up and down is than the curve is high: 1 for one that only falls."""
    there = [v for v in values if v is not None]
    height = max(there, default=0.0) - min(there, default=0.0)
    return sum(abs(b - a) for a, b in pairwise(there)) / height if height else 0.0
