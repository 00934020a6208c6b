"""Pictures of what a network predicts: confusions, the worst mistakes, numbers beside the true ones, regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import checks
from chainrule.checks import Inputs
from chainrule.errors import SpecError, expected
from chainrule.network import Network
from chainrule.report.network_pictures import image_shape, mosaic
from chainrule.report.outputs import Names, Output, judged, output_of
from chainrule.report.style import bare, check_theme, clearest, heading, name_lines, new_figure, short, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]
MOST_CLASSES = 40
"""Classes up to which a table of confusions can be read."""
_FEW_COLUMNS = 7
"""Columns that a picture names."""
Targets = Any
"""y: an array, or of several outputs a dict of arrays."""


def confusion_matrix(
    net: Network,
    X: Inputs,
    y: Targets,
    *,
    output: str | None = None,
    names: Names | None = None,
    theme: str = "light",
) -> Figure:
    """How often each class (a row) was taken for each (a column): counts, coloured by their share of the row.

    output: of several, which one.  names: of the classes.  Raises DataError where the data do not fit, SpecError for a
    network without classes.
    """
    colours = check_theme(theme)
    one = output_of(net.spec, output)
    truth, guess, _ = classify(net, X, y, one)
    count = one.classes
    if count > MOST_CLASSES:
        raise SpecError(f"A table of {count} classes cannot be read; up to {MOST_CLASSES} can.")
    labels = one.names(names)
    table = np.zeros((count, count), np.int64)
    np.add.at(table, (truth, guess), 1)
    share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    side = min(9.0, max(3.6, 0.46 * count + 1.5))
    figure = new_figure(side, side, colours)
    axes = figure.subplots()
    # The square root: a few mistakes among thousands must be seen.
    amounts = colours.amounts()
    axes.imshow(np.sqrt(share), cmap=amounts, vmin=0, vmax=1)
    if count <= 20:
        for i, j in zip(*np.nonzero(table), strict=True):
            below = amounts(math.sqrt(share[i, j]))
            axes.text(j, i, f"{table[i, j]:,}", ha="center", va="center", fontsize=min(9, 90 / count),
                      color=clearest(below, (colours.paper, colours.ink)))  # fmt: skip
    right = float(np.trace(table)) / max(1, len(truth))
    tidy(axes, colours, one.said(f"{right:.2%} of {len(truth):,} right"), "taken for", "is", grid="")
    long = max(len(label) for label in labels) > 3
    axes.set_xticks(range(count), labels, rotation=45 if long else 0, ha="right" if long else "center")
    axes.set_yticks(range(count), labels)
    return figure


def worst_mistakes(
    net: Network,
    X: ArrayLike,
    y: Targets,
    *,
    output: str | None = None,
    shape: tuple[int, int] | None = None,
    names: Names | None = None,
    most: int = 20,
    theme: str = "light",
) -> Figure:
    """The samples that the network is most sure of and wrong about, as images: what it took them for, what they are.

    output: of several, which one.  shape: (height, width) of a sample; by default square.  Raises DataError, and
    SpecError where the inputs are no images or the network has no classes.
    """
    colours = check_theme(theme)
    one = output_of(net.spec, output)
    truth, guess, sure = classify(net, X, y, one)
    images = checks.matrix(net.spec, X, net.dtype, net.feature_names)
    height, width = image_shape(net.spec.inputs, shape)
    labels = one.names(names)
    wrong = np.flatnonzero(truth != guess)
    order = wrong[np.argsort(-sure[wrong], kind="stable")[:most]]
    said = [f"said {short(labels[guess[k]])} ({sure[k]:.0%})\nis {short(labels[truth[k]])}" for k in order]
    columns = 5
    rows = max(1, -(-len(order) // columns))
    # An image is 0.86 inches wide; the next begins where what is said above it cannot touch.
    apart = max([1.0, *(0.068 * len(line) + 0.1 for text in said for line in text.split("\n"))])
    across = max(1, round(width * (apart / 0.86 - 1)))
    inch = apart / (width + across)
    down = math.ceil(0.42 / inch)
    figure = new_figure(apart * columns + 0.2, inch * rows * (height + down) + 0.45, colours)
    title = f"The worst of {len(wrong):,} mistakes among {len(truth):,}" if len(wrong) else "No mistakes"
    heading(figure, colours, one.said(title))
    axes = figure.subplots()
    bare(axes, colours)
    # Each image by its own scale, as the eye would see it.
    some = images[order].astype(np.float64)
    low, high = (f(some, axis=1, keepdims=True, initial=0) for f in (np.min, np.max))
    some = (some - low) / np.maximum(high - low, 1e-12)
    tiles = mosaic(some.reshape(-1, height, width), columns, across, down)
    axes.imshow(tiles, cmap=colours.amounts(), vmin=0, vmax=1, interpolation="nearest")
    for place, text in enumerate(said):
        left, top = place % columns * (width + across), place // columns * (height + down)
        axes.annotate(text, (left - 0.5, top - 0.5), xytext=(0, 3), textcoords="offset points", ha="left",
                      va="bottom", color=colours.soft, fontsize=8)  # fmt: skip
    axes.set_xlim(-0.5, columns * (width + across) - 0.5)
    axes.set_ylim(tiles.shape[0] - 0.5, -down - 0.5)
    return figure


def decision_regions(
    net: Network,
    X: ArrayLike,
    y: Targets,
    *,
    output: str | None = None,
    names: Names | None = None,
    columns: Sequence[str] | None = None,
    steps: int = 240,
    theme: str = "light",
) -> Figure:
    """What the network would say everywhere in the plane of its two inputs, and the samples.

    Classes are coloured, the fainter the less sure; a single number is drawn as a surface with lines of equal height.
    output: of several, which one.  columns: what the two inputs are called, by default as in the frame of the fit.
    Raises SpecError for a network of other than two inputs, DataError where the data do not fit.
    """
    colours = check_theme(theme)
    one = output_of(net.spec, output)
    if net.spec.named or net.spec.inputs != 2 or net.spec.tokens:
        raise SpecError(expected("The network's inputs", "2 numbers, to be drawn in a plane", net.spec.inputs))
    points = checks.matrix(net.spec, X, net.dtype, net.feature_names)
    low, high = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
    room = 0.08 * np.maximum(high - low, 1e-9)
    xs, ys = (np.linspace(low[k] - room[k], high[k] + room[k], steps) for k in (0, 1))
    plane = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    outputs = one.part(net.predict(plane)).reshape(steps, steps, -1)
    extent = (xs[0], xs[-1], ys[0], ys[-1])
    figure = new_figure(5.6, 4.8, colours)
    axes = figure.subplots()
    if one.classifies:
        truth, guess, _ = classify(net, X, y, one)
        labels = one.names(names)
        best, sure = one.decide(outputs.reshape(steps * steps, -1))
        axes.imshow(_tinted(best, sure, colours.lines, colours.paper).reshape(steps, steps, 3), origin="lower",
                    extent=extent, aspect="auto", interpolation="bilinear")  # fmt: skip
        for k, label in enumerate(labels):
            mine = points[truth == k]
            if len(mine):
                look: dict[str, Any] = {"color": colours.line(k), "edgecolor": colours.paper, "linewidth": 0.6}
                axes.scatter(mine[:, 0], mine[:, 1], s=16, label=label, **look)
        name_lines(axes, colours, loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.2)
        title = f"Decision regions: {np.mean(truth == guess):.1%} of {len(truth):,} right"
    else:
        surface = axes.imshow(outputs[..., 0], origin="lower", extent=extent, aspect="auto", cmap=colours.signed())
        axes.contour(xs, ys, outputs[..., 0], colors=colours.soft, linewidths=0.7)
        axes.scatter(points[:, 0], points[:, 1], s=8, color=colours.ink, linewidth=0)
        bar = figure.colorbar(surface, ax=axes, shrink=0.8)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=colours.soft, labelsize=9, length=0)
        title = "The prediction over both inputs"
    across, up = columns or net.feature_names or ("first input", "second input")
    tidy(axes, colours, one.said(title), across, up, grid="")
    return figure


def numbers_beside_truth(
    net: Network, X: Inputs, y: Targets, *, output: str | None = None, most: int = 2000, theme: str = "light"
) -> Figure:
    """The numbers that are predicted over the true ones, a colour for each column: right where they lie on the line.

    output: of several, which one.  most: samples that are drawn, evenly taken.  Raises DataError where the data do not
    fit, SpecError for an output of classes.
    """
    colours = check_theme(theme)
    one = output_of(net.spec, output)
    if one.classifies:
        raise SpecError(f"The loss {one.loss.name} is of classes; see confusion_matrix.")
    truth, predicted = judged(net, X, y, one)
    error = math.sqrt(float(np.square(predicted.astype(np.float64) - truth).mean()))
    some = np.linspace(0, len(truth) - 1, min(most, len(truth))).astype(np.int64)
    figure = new_figure(4.6, 4.4, colours)
    axes = figure.subplots()
    both = np.concatenate([truth[some], predicted[some]])
    ends = [float(both.min()), float(both.max())]
    axes.plot(ends, ends, color=colours.soft, linewidth=1, linestyle=(0, (4, 3)))
    for k in range(one.width):
        look: dict[str, Any] = {"color": colours.line(k), "alpha": 0.7, "linewidth": 0}
        axes.scatter(truth[some, k], predicted[some, k], s=12, label=f"column {k + 1}", **look)
    if 1 < one.width <= _FEW_COLUMNS:
        name_lines(axes, colours, loc="upper left", handletextpad=0.2)
    tidy(axes, colours, one.said(f"Error {error:.4g}"), "true", "predicted", grid="both")
    return figure


def classify(net: Network, X: Inputs, y: Targets, one: Output) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """(the classes (m,), those predicted (m,), how sure of that (m,)).  Raises SpecError, DataError."""
    if not one.classifies:
        raise SpecError(f"A network with the loss {one.loss.name} does not predict classes.")
    target, predicted = judged(net, X, y, one)
    return one.truth(target), *one.decide(predicted)


def _tinted(best: Array, sure: Array, lines: Sequence[str], paper: str) -> Array:
    """The class's colour, mixed with the paper's: (m, 3)."""
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(lines[k % len(lines)]) for k in range(int(best.max()) + 1)])
    part = (0.08 + 0.42 * np.clip(sure, 0, 1))[:, None]
    tinted: Array = part * colours[best] + (1 - part) * np.array(to_rgb(paper))
    return tinted
