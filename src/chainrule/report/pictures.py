"""The pictures of a page that matplotlib draws, in both themes, as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from chainrule.describe.losses import Losses
from chainrule.network import Network
from chainrule.report import plots
from chainrule.report.markup import Html, tag
from chainrule.report.outputs import Names, outputs_of
from chainrule.report.style import THEMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 130
PER_INCH = 86
"""Pixels of the page for an inch of a figure: sharp on fine screens, and two figures side by side."""
BROAD = 460
"""Pixels from which on a picture is scrolled on a phone, not shrunk."""


def network(net: Network) -> Html:
    """The network's diagram."""
    words = "a column of units for each layer" if net.spec.chain else "a box for each value, lines to where it is used"
    return picture(f"The network, {words}", lambda theme: plots.network(net, theme=theme))


def of_predictions(
    net: Network,
    X: Any,
    y: Any,
    names: Names | None,
    shape: tuple[int, int] | None,
    columns: Sequence[str] | None = None,
) -> list[Html]:
    """What the network says of images and of a plane.

    shape: (height, width) of inputs that are images.  columns: what the inputs are called.
    """
    plain = not net.spec.tokens and not net.spec.named
    drawn: list[Html] = []
    for output in outputs_of(net.spec):
        named = {"output": output.name or None, "names": names}
        if shape is not None and output.classifies:
            draw = partial(_drawn, plots.worst_mistakes, net, X, y, {**named, "shape": shape})
            drawn.append(picture(output.said("The worst mistakes, as images"), draw, titled=True))
        if plain and net.spec.inputs == 2 and output.width <= 12 and not isinstance(net.spec.loss, Losses):
            draw = partial(_drawn, plots.decision_regions, net, X, y, {**named, "columns": columns})
            drawn.append(picture(output.said("Decision regions over the two inputs"), draw, titled=True))
    return drawn


def inside(net: Network, X: Any, shape: tuple[int, int] | None) -> list[Html]:
    """What goes on in the network: how the layers' values are spread, and the first weights of images."""
    drawn = [
        picture("How the values that leave each layer are spread",
                lambda theme: plots.activation_histograms(net, X, theme=theme))
    ]  # fmt: skip
    if shape is not None and "W1" in net.parameters:
        drawn.append(picture("Weights of the first layer as images: blue negative, orange positive",
                             lambda theme: plots.weights(net, shape=shape, theme=theme), titled=True))  # fmt: skip
    return drawn


def picture(says: str, draw: Callable[[str], Figure], *, titled: bool = False) -> Html:
    """A figure of the page, drawn for either theme.  titled: whether the picture has a title in it."""
    figures = {theme: draw(theme) for theme in THEMES}
    width = round(max(figure.get_size_inches()[0] for figure in figures.values()) * PER_INCH)
    images = [
        Html(
            f'<img class="for-{theme}" width="{width}" src="data:image/png;base64,{_png(figure)}" alt="{escape(says)}">'
        )
        for theme, figure in figures.items()
    ]
    if width > BROAD:
        images = [tag("div", *images, class_="broad", tabindex="0", role="region", aria_label=says)]
    caption = tag("figcaption", says, class_="hidden" if titled else "seen")
    return tag("figure", caption, *images, class_="picture broader" if width > BROAD else "picture")


def _drawn(draw: Callable[..., Figure], net: Network, X: Any, y: Any, options: Mapping[str, Any], theme: str) -> Figure:
    return draw(net, X, y, **options, theme=theme)


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None}, facecolor=figure.get_facecolor())
    return base64.b64encode(buffer.getvalue()).decode("ascii")
