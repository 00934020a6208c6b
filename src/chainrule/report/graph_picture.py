"""The picture of a network that is a graph: a box for each value, from top to bottom, and lines where it is used."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from chainrule.describe.combine import Combined, Keep
from chainrule.describe.losses import losses_of
from chainrule.describe.network import NetworkSpec
from chainrule.program.symbol import Symbol, shape_text
from chainrule.program.text import number
from chainrule.report.layered import Edge, Point, layered, rows_of
from chainrule.report.style import Theme, bare, new_figure, short
from chainrule.rules.forward import forward

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["input", "layer", "join", "output", "left out"]

MOST_ROWS = 60
"""Rows of a picture; of deeper networks those in the middle are left out."""
LINE = 26
"""Characters of a line in a box."""
_SIZES = (9.5, 9, 8)
"""Points of the title, the words, the parameters."""
_SIGNS = {"add": "+", "multiply": "×", "beside": "side by side"}


@dataclass(frozen=True)
class Box:
    """A value of the picture."""

    kind: Kind
    """What it is."""
    title: str
    """Its symbol, and its shape."""
    words: str = ""
    """How it comes about, and what it is kept as."""
    parameters: str = ""
    """What its layer brings, with shapes: "W1 4 x 8, b1 8"."""

    @property
    def lines(self) -> tuple[tuple[str, float], ...]:
        """The texts from top to bottom, each with its size in points."""
        texts = [(short(self.title, 40), _SIZES[0])]
        for text, size in zip((self.words, self.parameters), _SIZES[1:], strict=True):
            for part in text.split("\n"):
                texts += [(line, size) for line in textwrap.wrap(part, LINE, max_lines=4, placeholder=" …")]
        return tuple(texts)


@dataclass(frozen=True)
class Picture:
    """What is drawn: boxes, and which lead to which."""

    boxes: tuple[Box, ...]
    """Each after those that lead to it."""
    edges: tuple[Edge, ...]
    """(box, box that uses its value)."""


def picture(spec: NetworkSpec) -> Picture:
    """The boxes and edges of a network; a value that is kept or taken is the one that has the name."""
    written = forward(spec)
    boxes: list[Box] = []
    edges: list[Edge] = []
    box_of: dict[int, int] = {}
    kept: dict[int, list[str]] = {}
    for k, source in enumerate(spec.sources):
        box_of[-1 - k] = len(boxes)
        tokens = f"tokens of {', '.join(f'{n:,}' for n in source.counts)}" if source.counts else "numbers"
        boxes.append(Box("input", _titled(source.symbol), f"input {source.name}\n{tokens}" if source.name else tokens))
    for k, (node, output, declared) in enumerate(zip(spec.graph.nodes, written.outputs, written.declared, strict=True)):
        layer, below = node.layer, [box_of[n] for n in node.below]
        if layer.unchanged or (isinstance(layer, Combined) and len(below) == 1):
            box_of[k] = below[0]
            if isinstance(layer, Keep):
                kept.setdefault(below[0], []).append(layer.name)
            continue
        box_of[k] = len(boxes)
        edges += [(source, len(boxes)) for source in below]
        if isinstance(layer, Combined):
            boxes.append(Box("join", f"{_SIGNS[layer.join]}   {_titled(output)}"))
        else:
            trained = [s for s in declared if s.role == "parameter"]
            inside = ", ".join(f"{s.name} {' x '.join(str(d) for d in s.shape)}" for s in trained)
            boxes.append(Box("layer", _titled(output), layer.words, inside))
    for at, names in kept.items():
        box = boxes[at]
        told = f"{box.words}\n" if box.words else ""
        boxes[at] = Box(box.kind, box.title, f"{told}kept as {', '.join(names)}", box.parameters)
    for (name, at), (_, loss, factor) in zip(spec.ends, losses_of(spec.loss), strict=True):
        edges.append((box_of[at], len(boxes)))
        words = loss.name if factor == 1 else f"{number(factor)} {loss.name}"
        boxes.append(Box("output", f"output {name}".rstrip(), words))
    return _shortened(Picture(tuple(boxes), tuple(dict.fromkeys(edges))))


def _titled(symbol: Symbol) -> str:
    return f"{symbol.name}   {shape_text(symbol.shape)}"


def _shortened(whole: Picture) -> Picture:
    """The picture with one box for the rows in the middle, where there are too many."""
    rows = rows_of(len(whole.boxes), whole.edges)
    first, last = MOST_ROWS // 2, max(rows) - MOST_ROWS // 2
    if last <= first:
        return whole
    out = [n for n, row in enumerate(rows) if first <= row <= last]
    said = Box("left out", "⋮", f"{len(out):,} values are left out here")
    before = [n for n, row in enumerate(rows) if row < first]
    after = [n for n, row in enumerate(rows) if row > last]
    new = {n: k for k, n in enumerate(before)} | dict.fromkeys(out, len(before))
    new |= {n: len(before) + 1 + k for k, n in enumerate(after)}
    boxes = (*(whole.boxes[n] for n in before), said, *(whole.boxes[n] for n in after))
    edges = dict.fromkeys((new[a], new[b]) for a, b in whole.edges if new[a] != new[b])
    return Picture(boxes, tuple(edges))


def sizes_of(drawn: Picture) -> list[Point]:
    """Inches across and down of each box.  Raises MissingDependencyError without matplotlib."""
    return [_size(box) for box in drawn.boxes]


def graph(spec: NetworkSpec, theme: Theme) -> Figure:
    """The network from top to bottom: a box for each value, and lines to where it is used.

    Raises MissingDependencyError without matplotlib.
    """
    figure = new_figure(1, 1, theme)
    drawn = picture(spec)
    sizes = sizes_of(drawn)
    layout = layered(sizes, drawn.edges)
    width = max(3.0, layout.width)
    figure.set_layout_engine("none")
    figure.set_size_inches(width, layout.height)
    axes = figure.add_axes((0, 0, 1, 1))
    bare(axes, theme)
    axes.set_xlim((layout.width - width) / 2, (layout.width + width) / 2)
    axes.set_ylim(layout.height, 0)
    for line, reaches in zip(layout.lines, layout.reaching, strict=True):
        _draw_line(axes, line, reaches, theme)
    for box, size, centre in zip(drawn.boxes, sizes, layout.centres, strict=True):
        _draw_box(axes, box, size, centre, theme)
    return figure


def curve(line: tuple[Point, ...]) -> list[Point]:
    """A line's points: straight down, a bend between the rows (a cubic curve: four points), straight down."""
    (x, top), (_, end), (to, begin), (_, stop) = line
    middle = (end + begin) / 2
    return [(x, top), (x, end), (x, middle), (to, middle), (to, begin), (to, stop)]


def _draw_line(axes: Axes, line: tuple[Point, ...], reaches: bool, theme: Theme) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    points = curve(line)
    codes = [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
    axes.add_patch(PathPatch(Path(points, codes), fill=False, edgecolor=theme.soft, linewidth=1.3, zorder=1))
    if reaches:
        x, y = points[-1]
        head = [(x, y), (x - 0.045, y - 0.1), (x + 0.045, y - 0.1)]
        axes.add_patch(Polygon(head, closed=True, facecolor=theme.soft, edgecolor="none", zorder=2))


def _draw_box(axes: Axes, box: Box, size: Point, centre: Point, theme: Theme) -> None:
    from matplotlib.patches import FancyBboxPatch

    width, height = size
    x, y = centre
    edges: dict[Kind, str] = {"input": theme.line(2), "output": theme.line(1), "join": theme.line(3)}
    radius = height / 2 if box.kind in ("join", "output") and height < 0.6 else 0.09
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height, boxstyle=f"round,pad=0,rounding_size={radius}",
            facecolor=theme.middle, edgecolor=edges.get(box.kind, theme.line(0)), linewidth=1.3, zorder=3,
            linestyle="--" if box.kind == "left out" else "-",
        )
    )  # fmt: skip
    top = y - height / 2 + _MARGIN / 2
    for k, (text, points) in enumerate(box.lines):
        step = _LEADING * points / 72
        look: dict[str, Any] = {
            "color": theme.soft if points == _SIZES[2] else theme.ink,
            "fontweight": "bold" if k == 0 else "normal",
        }
        axes.text(x, top + step / 2, text, ha="center", va="center", fontsize=points, zorder=4, **look)
        top += step


_LEADING = 1.4
"""Of a line's size, from one to the next."""
_MARGIN = 0.14
"""Inches above and below the texts of a box together."""


def _size(box: Box) -> Point:
    """Inches across and down that its texts need."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    measure = TextToPath()
    widths = []
    for k, (text, size) in enumerate(box.lines):
        font = FontProperties(size=size, weight="bold" if k == 0 else "normal")
        widths.append(measure.get_text_width_height_descent(text, font, ismath=False)[0] / 72)
    return max(widths) + 0.3, _MARGIN + sum(_LEADING * size / 72 for _, size in box.lines)
