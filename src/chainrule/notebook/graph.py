"""A network's boxes and lines as inline SVG, from top to bottom."""

from __future__ import annotations

from chainrule.describe.network import NetworkSpec
from chainrule.report.graph_picture import Box, curve, picture
from chainrule.report.layered import Point, layered
from chainrule.report.markup import Html, tag

INCH = 96
"""Pixels."""
LEADING = 1.4
"""Of a line's size, from one to the next."""
WIDE = 0.62
"""Of a letter's size, its width: more than most have."""
_EDGES = {"input": "var(--good)", "output": "var(--c1)"}


def graph(spec: NetworkSpec) -> Html:
    """The picture of a network: a box for each value, and lines to where it is used."""
    drawn = picture(spec)
    layout = layered([_size(box) for box in drawn.boxes], drawn.edges)
    parts = [_line(line, reaches) for line, reaches in zip(layout.lines, layout.reaching, strict=True)]
    parts += [_box(box, centre) for box, centre in zip(drawn.boxes, layout.centres, strict=True)]
    width, height = layout.width * INCH + 4, layout.height * INCH + 4
    svg = tag(
        "svg", *parts, width=f"{width:.0f}", height=f"{height:.0f}", viewBox=f"-2 -2 {width:.0f} {height:.0f}",
        role="img", aria_label="The network: a box for each value, and lines to where it is used",
    )  # fmt: skip
    return tag("div", svg, class_="graph")


def _size(box: Box) -> Point:
    """Inches across and down that its texts need."""
    lines = box.lines
    width = max(len(text) * WIDE * size for text, size in lines) / 72 + 0.25
    return width, 0.14 + sum(LEADING * size for _, size in lines) / 72


def _line(line: tuple[Point, ...], reaches: bool) -> Html:
    points = [(f"{x * INCH:.1f}", f"{y * INCH:.1f}") for x, y in curve(line)]
    start, end, *bend, last = (f"{x} {y}" for x, y in points)
    path = tag(
        "path", d=f"M {start} L {end} C {bend[0]} {bend[1]} {bend[2]} L {last}", fill="none", stroke="currentColor",
        stroke_width="1.3", opacity="0.55",
    )  # fmt: skip
    if not reaches:
        return path
    x, y = curve(line)[-1]
    head = " ".join(f"{(x + a) * INCH:.1f},{(y + b) * INCH:.1f}" for a, b in ((0, 0), (-0.04, -0.09), (0.04, -0.09)))
    return tag("g", path, tag("polygon", points=head, fill="currentColor", opacity="0.55"))


def _box(box: Box, centre: Point) -> Html:
    width, height = _size(box)
    x, y = centre
    dashes = {"stroke_dasharray": "4 3"} if box.kind == "left out" else {}
    parts = [
        tag(
            "rect", x=f"{(x - width / 2) * INCH:.1f}", y=f"{(y - height / 2) * INCH:.1f}", width=f"{width * INCH:.1f}",
            height=f"{height * INCH:.1f}", rx="8", fill="none", stroke=_EDGES.get(box.kind, "var(--c0)"),
            stroke_width="1.4", **dashes,
        )
    ]  # fmt: skip
    top = y - height / 2 + 0.07
    for k, (text, size) in enumerate(box.lines):
        step = LEADING * size / 72
        weight = {"font_weight": "600"} if k == 0 else {}
        place = {"x": f"{x * INCH:.1f}", "y": f"{(top + step / 2) * INCH:.1f}", "dy": "0.33em"}
        parts.append(tag("text", text, text_anchor="middle", font_size=f"{size * INCH / 72:.1f}", **place, **weight))
        top += step
    return tag("g", *parts)
