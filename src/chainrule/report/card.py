"""A card to share: what came out, the network, some lines of its derivation and the curve of its training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chainrule import checks
from chainrule.engines.base import sample_count
from chainrule.network import Network
from chainrule.notation import EquationView, check_notation, derivation
from chainrule.report.curves import draw_curve
from chainrule.report.judged import headline, outcomes
from chainrule.report.network_pictures import diagram_columns, draw_chain
from chainrule.report.outputs import Names, check_names
from chainrule.report.style import check_theme, new_figure
from chainrule.train.history import History
from chainrule.version import VERSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chainrule.data import Standardizer

LINES = 6
"""Of the derivation."""
LONGEST = 64
"""Characters of a line that has a place."""
_LEFT = 0.48 * 12 * 72
"""Points that a line of text has, left of the equations."""
MOST_COLUMNS = 5
"""Of the diagram that can be read on a card."""


def card(
    net: Network,
    X: checks.Inputs,
    y: Any,
    *,
    history: History | None = None,
    title: str | None = None,
    part: str = "",
    names: Names | None = None,
    target: str = "",
    target_scale: Standardizer | None = None,
    notation: str = "row",
    theme: str = "light",
) -> Figure:
    """A picture of 1200 by 630 pixels: `card(net, X, y).savefig("card.png")`, or "card.svg".

    X (m, inputs), y: what it is judged by.  history: by default of the last fit.  The other options are those of
    `Network.report`.  Raises DataError where the data do not fit, SpecError, MissingDependencyError without matplotlib.
    """
    colours = check_theme(theme)
    check_notation(notation)
    check_names(net.spec, names)
    data = checks.inputs(net.spec, X, net.dtype, net.feature_names)
    kinds, arrays = checks.targets(net.spec, y, sample_count(data), net.dtype)
    truth = checks.targets_as_given(net.spec, arrays, kinds)
    predicted = net.predict(checks.as_given(net.spec, data))
    said = headline(outcomes(net.spec, predicted, truth, names, target_scale, target)[0], part)
    figure = new_figure(12.0, 6.3, colours)
    figure.set_layout_engine("none")
    named = title or f"{'-'.join(map(str, net.spec.widths))}, {net.spec.loss.name}"
    for height, text, size, weight, colour in [
        (0.9, named, 22, "bold", colours.ink),
        (0.79, said.value, 34, "bold", colours.line(0)),
        (0.715, said.what, 14, "normal", colours.ink),
        (0.665, said.beside, 13, "normal", colours.soft),
    ]:
        fitting = min(size, size * _LEFT / max(_wide(text, size, weight), 1))
        figure.text(0.04, height, text, fontsize=fitting, fontweight=weight, va="center", color=colour)
    _lines(figure.add_axes((0.54, 0.06, 0.44, 0.84)), derivation_lines(net, kinds, notation), colours.ink)
    columns = [replace(column, parameters=()) for column in diagram_columns(net)] if net.spec.chain else []
    if 1 < len(columns) <= MOST_COLUMNS:
        draw_chain(figure.add_axes((0.02, 0.08, 0.27, 0.54)), columns, colours)
    history = net.history if history is None else history
    if history is not None and len(history):
        draw_curve(figure.add_axes((0.35, 0.16, 0.16, 0.38)), history, "cost", "J", colours)
    figure.text(0.98, 0.03, f"chainrule {VERSION}", ha="right", color=colours.soft, fontsize=11)
    return figure


def _wide(text: str, size: float, weight: str) -> float:
    """How wide a line of text is, in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size, prop=FontProperties(weight=weight)).get_extents().width)


def derivation_lines(net: Network, kinds: Any, notation: str) -> list[EquationView]:
    """The first lines of the forward propagation, the cost, and the first of the backward propagation."""
    views = [v for v in derivation(net.derive(targets=kinds), notation).views if len(v.unicode) <= LONGEST]
    by = {
        section: [v for v in views if v.section == section and v.targets] for section in ("forward", "cost", "backward")
    }
    first = [*by["forward"][:2], *by["cost"][-1:]]
    return [*first, *by["backward"][: LINES - len(first)]]


def _lines(axes: Axes, views: list[EquationView], ink: str) -> None:
    """One below the other, typeset where matplotlib can."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for k, view in enumerate(views):
        axes.text(0.02, 0.96 - k * 0.92 / LINES, _typeset(view), va="top", color=ink, fontsize=19)


def _typeset(view: EquationView) -> str:
    from matplotlib.mathtext import MathTextParser

    # matplotlib has no names of functions as LaTeX has, and no other size of parentheses in the middle of a line.
    said = f"${view.latex}$"
    try:
        MathTextParser("path").parse(said)
    except ValueError:
        return view.unicode.replace("$", r"\$")
    return said
