"""Pictures of a training run: learning curves, gradients and updates by layer over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chainrule.errors import DataError
from chainrule.report.style import Theme, check_theme, name_lines, new_figure, plain_ticks, tidy
from chainrule.train.history import History
from chainrule.train.monitor import Monitor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def learning_curves(history: History, *, theme: str = "light") -> Figure:
    """The cost of every epoch, of the training and of the validation data, and the metric where there is one.

    The best epoch on the validation data is marked.  Raises DataError for an empty history, SpecError for a theme that
    is not known, MissingDependencyError without matplotlib.
    """
    colours = check_theme(theme)
    if not len(history):
        raise DataError("This history has no epochs to show.")
    shown = [("cost", "J")]
    if history[-1].metric_name not in (None, "cost"):
        shown.append(("metric", str(history[-1].metric_name)))
    figure = new_figure(4.2 * len(shown) + 0.4, 3.4, colours)
    for axes, (column, name) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        draw_curve(axes, history, column, name, colours)
    return figure


def draw_curve(axes: Axes, history: History, column: str, name: str, theme: Theme) -> None:
    """A column of the history, of the training and of the validation data."""
    epochs = history.column("epoch")
    parts = [("training", history.column(column)), ("validation", history.column(f"validation_{column}"))]
    for k, (part, values) in enumerate(parts):
        if np.isfinite(values).any():
            few = len(values) <= 20
            marker = "o" if few else ""
            axes.plot(epochs, values, color=theme.line(k), linewidth=2, marker=marker, markersize=4, label=part)
    validation = parts[1][1]
    if np.isfinite(validation).any() and len(history) > 1:
        best = history.best(f"validation_{column}")
        value = getattr(best, f"validation_{column}")
        axes.plot([best.epoch], [value], "o", markersize=9, markerfacecolor="none", markeredgecolor=theme.line(1),
                  markeredgewidth=1.8)  # fmt: skip
        axes.annotate(f"best {value:.4g}", (best.epoch, value), textcoords="offset points", xytext=(0, 10),
                      ha="right" if best.epoch > len(history) / 2 else "left", color=theme.soft, fontsize=9,
                      bbox={"facecolor": theme.paper, "edgecolor": "none", "pad": 1, "alpha": 0.8})  # fmt: skip
    tidy(axes, theme, "Cost" if column == "cost" else name.capitalize(), "epoch", "")
    axes.locator_params(axis="x", integer=True)
    axes.margins(x=0.03, y=0.12)
    if len(history) == 1:
        axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        axes.set_xticks([epochs[0]], [f"{epochs[0]:.0f}"])
    if np.isfinite(validation).any():
        name_lines(axes, theme)


def gradient_flow(monitor: Monitor, *, theme: str = "light") -> Figure:
    """‖∂J/∂W‖ of every layer over time, and how far its weights move a batch, both on a logarithmic scale.

    A layer whose line lies far below the others learns slowly; about 0.001 is usual for the update.  Biases are left
    out.  Raises DataError for a monitor without records.
    """
    colours = check_theme(theme)
    if not monitor.records:
        raise DataError("This monitor has no records to show: give it to fit(..., callbacks=[monitor]).")
    figure = new_figure(8.8, 3.6, colours)
    left, right = figure.subplots(1, 2)
    steps = monitor.column("step")
    names = monitor.matrices or monitor.parameters
    for axes, kind, title in (
        (left, "gradient", "Gradient of each layer: ‖∂J/∂W‖"),
        (right, "update", "Size of an update beside its weight"),
    ):
        for k, name in enumerate(names):
            column = f"{name}.{kind}"
            if column in monitor.names:
                values = monitor.column(column)
                axes.plot(steps, np.where(values > 0, values, np.nan), color=colours.line(k), linewidth=1.6, label=name)
        axes.set_yscale("log")
        tidy(axes, colours, title, "batch", "")
        plain_ticks(axes)
    if any(f"{name}.update" in monitor.names for name in names):
        right.axhline(1e-3, color=colours.soft, linewidth=1, linestyle=(0, (4, 3)))
        right.annotate("usual: 0.001", (0.99, 1e-3), xycoords=("axes fraction", "data"), xytext=(0, 3),
                       textcoords="offset points", ha="right", color=colours.soft, fontsize=8.5,
                       bbox={"facecolor": colours.paper, "edgecolor": "none", "pad": 1, "alpha": 0.8})  # fmt: skip
    name_lines(left, colours, ncols=min(4, len(names)))
    return figure
