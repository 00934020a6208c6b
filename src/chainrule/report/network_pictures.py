"""Pictures of a network: its diagram with shapes, the histograms of its activations, its first weights as images."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import checks
from chainrule.engines.base import sample_count
from chainrule.engines.reference import ReferenceEngine
from chainrule.errors import SpecError, expected
from chainrule.network import Network
from chainrule.program.symbol import BATCH
from chainrule.report.graph_picture import graph
from chainrule.report.style import Theme, bare, check_theme, heading, new_figure, short, tidy
from chainrule.rules.forward import forward
from chainrule.train.monitor import watched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]
MOST_UNITS = 9
"""Units that a column of the diagram shows as dots."""
LINE = 16
"""Characters of a line below a column."""


@dataclass(frozen=True)
class Column:
    """A place of the diagram: the inputs, or what leaves a layer."""

    title: str
    """The name of the symbol that is there."""
    width: int
    """Its features."""
    words: str
    """What the layer is."""
    parameters: tuple[str, ...] = ()
    """What the layer brings, with shapes: "W1  4 x 8"."""
    mixes: bool = False
    """Whether every feature may come of every one before, so that all are joined by lines."""

    @property
    def note(self) -> str:
        """The words in short lines, a few of them."""
        lines = textwrap.wrap(self.words, LINE, break_long_words=False, max_lines=3, placeholder=" …")
        return "\n".join(map(short, lines))

    @property
    def between(self) -> str:
        """The parameters, one a line."""
        return "\n".join(self.parameters)


def network(net: Network, *, theme: str = "light") -> Figure:
    """The network from left to right: a column of units for each layer, its shape below, its parameters between.

    Where layers are more than a chain, from top to bottom: a box for each value, and lines to where it is used.
    Raises SpecError for a theme that is not known, MissingDependencyError without matplotlib.
    """
    colours = check_theme(theme)
    if not net.spec.chain:
        return graph(net.spec, colours)
    columns = diagram_columns(net)
    figure = new_figure(max(4.2, _pitch(columns) * len(columns)), 3.6, colours)
    draw_chain(figure.subplots(), columns, colours)
    return figure


def draw_chain(axes: Axes, columns: list[Column], colours: Theme) -> None:
    """The columns of a chain of layers, joined by lines, with what they are below."""
    from matplotlib.collections import LineCollection

    bare(axes, colours)
    places = [_dots(axes, k, column.width, colours) for k, column in enumerate(columns)]
    for k in range(1, len(columns)):
        if columns[k].mixes:
            segments = [[(k - 0.87, a), (k - 0.13, b)] for a in places[k - 1] for b in places[k]]
            axes.add_collection(LineCollection(segments, colors=colours.grid, linewidths=0.7, zorder=0))
        else:
            axes.annotate("", (k - 0.16, 0), (k - 0.84, 0), arrowprops={"arrowstyle": "->", "color": colours.soft})
    for k, column in enumerate(columns):
        axes.text(k, 1.3, column.title, ha="center", va="bottom", color=colours.ink, fontsize=10, fontweight="bold")
        axes.text(k, 1.16, f"(m, {column.width})", ha="center", va="bottom", color=colours.soft, fontsize=9)
        axes.text(k, -1.13, column.note, ha="center", va="top", color=colours.ink, fontsize=9)
        axes.text(k - 0.5, -1.13, column.between, ha="center", va="top", color=colours.soft, fontsize=8.5)
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.set_ylim(-1.55, 1.6)


def _pitch(columns: list[Column]) -> float:
    """Inches from a column to the next, so that what stands below does not touch: two notes, parameters between."""

    def wide(text: str) -> int:
        return max((len(line) for line in text.splitlines()), default=0)

    pairs = pairwise(columns)
    return max(1.75, *(0.042 * (wide(a.note) + wide(b.note)) + 0.078 * wide(b.between) + 0.2 for a, b in pairs))


def diagram_columns(net: Network) -> list[Column]:
    """The inputs, and what leaves each layer that does something, in order."""
    spec = net.spec
    columns = [Column("X", spec.inputs, "tokens" if spec.tokens else "inputs")]
    written = forward(spec)
    for node, output, declared in zip(spec.graph.nodes, written.outputs, written.declared, strict=True):
        layer, width = node.layer, node.width
        if layer.unchanged:
            continue
        trained = [s for s in declared if s.role == "parameter"]
        parameters = tuple(f"{s.name}  {' x '.join(str(d) for d in s.shape)}" for s in trained)
        columns.append(Column(output.name, width, layer.words, parameters, not layer.passes))
    return columns


def _dots(axes: Axes, k: int, width: int, theme: Theme) -> list[float]:
    """Draws the units of one layer; the heights of those that are shown."""
    few = width <= MOST_UNITS
    shown = width if few else MOST_UNITS - 1
    heights = [0.0] if shown == 1 else np.linspace(0.95, -0.95, shown + (not few)).tolist()
    gap = len(heights) // 2
    dots = [y for i, y in enumerate(heights) if few or i != gap]
    axes.scatter([k] * len(dots), dots, s=95, color=theme.line(k), zorder=2, linewidth=0)
    if not few:
        axes.scatter([k] * 3, heights[gap] + np.array([0.06, 0, -0.06]), s=4, color=theme.soft, zorder=2)
    return dots


def activation_histograms(net: Network, X: ArrayLike, *, theme: str = "light") -> Figure:
    """How the values that leave each layer are spread over X (m, inputs), without dropout.

    Raises DataError where X does not fit the network.
    """
    colours = check_theme(theme)
    values = activations(net, X)
    columns = min(4, len(values))
    rows = -(-len(values) // columns)
    figure = new_figure(max(4.4, 2.6 * columns), 2.5 * rows + 0.3, colours)
    grid = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for k, (axes, (name, array)) in enumerate(zip(grid, values.items(), strict=False)):
        flat = array.reshape(-1)
        flat = flat[np.isfinite(flat)]
        axes.hist(
            flat, bins=40, color=colours.line(k), linewidth=0, weights=np.full(flat.size, 100 / max(1, flat.size))
        )
        tidy(axes, colours, name, "", "% of values" if k % columns == 0 else "")
        axes.set_ylim(0, 1.36 * axes.dataLim.y1)  # room for what is said above the bars
        axes.text(0.98, 0.97, f"mean {flat.mean():.3g}\nstd {flat.std():.3g}\nzeros {np.mean(flat == 0):.0%}",
                  transform=axes.transAxes, ha="right", va="top", color=colours.soft, fontsize=8.5)  # fmt: skip
    for axes in grid[len(values) :]:
        axes.set_visible(False)
    return figure


def activations(net: Network, X: ArrayLike) -> dict[str, Array]:
    """The values that leave each layer by name: A1 (m, n1), ...; without dropout.  Raises DataError."""
    data = checks.inputs(net.spec, X, net.dtype, net.feature_names)
    program = net.derive(mode="inference")
    targets = [e.target for e in watched(program)]
    given = {**net.parameters, **net.state, **data, BATCH: net.dtype.type(sample_count(data))}
    names = tuple(s.name for s in targets)
    return ReferenceEngine(net.dtype).run(program.pruned(targets, update=False), given, names)


def weights(net: Network, *, shape: tuple[int, int] | None = None, most: int = 40, theme: str = "light") -> Figure:
    """The first layer's weights, an image for each of its units: blue pulls the unit down, orange pushes it up.

    shape: (height, width) of an input seen as an image; by default square.  most: units that are shown, those with the
    largest weights.  All images have the same scale.
    Raises SpecError where the inputs are no image.
    """
    colours = check_theme(theme)
    W = net.parameters.get("W1")
    if W is None or net.spec.tokens:
        raise SpecError("Weights as images need a first layer that reads numbers, not tokens.")
    height, width = image_shape(len(W), shape)
    order = np.sort(np.argsort(-np.linalg.norm(W, axis=0), kind="stable")[:most])
    columns = min(10, len(order))
    rows = -(-len(order) // columns)
    figure = new_figure(max(4.2, 0.9 * columns + 0.2), 0.9 * rows * height / width + 0.5, colours)
    limit = float(np.quantile(np.abs(W[:, order]), 0.995)) or 1.0
    shown = "" if len(order) == W.shape[1] else f", the {len(order)} strongest of {W.shape[1]}"
    heading(figure, colours, f"Weights of the first layer{shown}")
    axes = figure.subplots()
    bare(axes, colours)
    tiles = mosaic(W[:, order].T.reshape(-1, height, width), columns, max(1, width // 10), max(1, height // 10))
    axes.imshow(tiles, cmap=colours.signed(), vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_anchor("NW")
    return figure


def mosaic(images: Array, columns: int, across: int, down: int) -> Array:
    """Images (k, height, width) side by side in rows of `columns`, with gaps of NaN: one picture instead of many."""
    count, height, width = images.shape
    rows = max(1, -(-count // columns))
    tiles = np.full((rows * (height + down) - down, columns * (width + across) - across), np.nan)
    for k, image in enumerate(images):
        y, x = k // columns * (height + down), k % columns * (width + across)
        tiles[y : y + height, x : x + width] = image
    return tiles


def image_shape(inputs: int, shape: tuple[int, int] | None = None) -> tuple[int, int]:
    """(height, width) of so many inputs; square unless given.  Raises SpecError where they are no image."""
    if shape is not None:
        if len(tuple(shape)) != 2 or shape[0] * shape[1] != inputs:
            raise SpecError(expected("shape", f"(height, width) of {inputs} inputs", shape))
        return int(shape[0]), int(shape[1])
    side = math.isqrt(inputs)
    if side * side != inputs or side < 2:
        raise SpecError(f"{inputs} inputs are no square image; give shape=(height, width).")
    return side, side
