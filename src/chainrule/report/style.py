"""How the pictures look: two themes, one palette that colour-blind people can tell apart, and tidy axes.

The colours of lines are Okabe and Ito's (2008), darkened on light and lightened on dark paper until they stand out.
matplotlib is loaded here, when a picture is asked for, and nowhere else; pyplot never, so nothing is shown or kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from chainrule.errors import MissingDependencyError, SpecError, unknown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """Colours."""

    name: str
    """By which it is chosen."""
    paper: str
    """Behind everything."""
    ink: str
    """Of text and axes."""
    soft: str
    """Of what matters less."""
    grid: str
    """Of lines behind a picture."""
    lines: tuple[str, ...]
    """Of curves, in their order."""
    negative: tuple[str, str]
    """Of the most negative value, and half-way to it."""
    positive: tuple[str, str]
    """Of the most positive value, and half-way to it."""
    middle: str
    """Of 0."""

    def line(self, k: int) -> str:
        """The k-th colour, over and over."""
        return self.lines[k % len(self.lines)]

    def signed(self) -> LinearSegmentedColormap:
        """Blue below 0, the paper's tone at 0, orange above."""
        return _colormap("signed", [*self.negative, self.middle, *self.positive[::-1]])

    def amounts(self) -> LinearSegmentedColormap:
        """From the paper's tone to blue, for what is never negative."""
        return _colormap("amounts", [self.middle, *self.negative[::-1]])


Grid = Literal["x", "y", "both", ""]

THEMES = {
    "light": Theme(
        "light", "#ffffff", "#1d2433", "#5b6475", "#e4e7ee",
        ("#0067a5", "#c2500a", "#00795a", "#9a3f83", "#7a5c00", "#1f8fc4", "#5b6475"),
        ("#08306b", "#3f8fc9"), ("#7a2b00", "#e08a3c"), "#f7f7f5",
    ),
    "dark": Theme(
        "dark", "#14181f", "#e8ebf2", "#a3adbf", "#2b323e",
        ("#5cb8f0", "#f2994a", "#3fcf9f", "#e08ac8", "#e6cf4f", "#8fd3ff", "#a3adbf"),
        ("#b9e0ff", "#3d94d6"), ("#ffd9a8", "#dd7a1f"), "#1d222b",
    ),
}  # fmt: skip


def check_theme(name: str) -> Theme:
    """The theme of that name.  Raises SpecError."""
    if name not in THEMES:
        raise SpecError(unknown_name("theme", str(name), THEMES))
    return THEMES[name]


def new_figure(width: float, height: float, theme: Theme) -> Figure:
    """An empty figure, in inches.  Raises MissingDependencyError without matplotlib."""
    try:
        import matplotlib.figure  # noqa: F401 - asked each time: the one below is loaded once

        from chainrule.report.shown_figure import ShownFigure
    except ImportError:
        raise MissingDependencyError("Pictures need matplotlib: pip install 'chainrule[report]'") from None
    return ShownFigure(figsize=(width, height), facecolor=theme.paper, layout="constrained", dpi=100)


def tidy(axes: Axes, theme: Theme, title: str = "", x: str = "", y: str = "", *, grid: Grid = "y") -> None:
    """Title to the left, no box, quiet ticks, a faint grid along `grid` ("x", "y", "both" or "")."""
    axes.set_facecolor(theme.paper)
    axes.set_title(title, loc="left", color=theme.ink, fontsize=11, fontweight="bold", pad=10)
    axes.set_xlabel(x, color=theme.soft, fontsize=9.5)
    axes.set_ylabel(y, color=theme.soft, fontsize=9.5)
    axes.tick_params(which="both", colors=theme.soft, labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    if grid:
        axes.grid(True, axis=grid, color=theme.grid, linewidth=0.8)
        axes.set_axisbelow(True)


def plain_ticks(axes: Axes) -> None:
    """On a logarithmic height: ticks at 1, 2, 5, 10, ... as plain numbers; closer where the values are close."""
    from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 5 * low else AutoLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def clearest(below: Any, colours: tuple[str, ...]) -> str:
    """Of these colours the one with the most contrast to what lies below (WCAG's relative luminance)."""
    from matplotlib.colors import to_rgb

    def light(colour: Any) -> float:
        channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2] + 0.05

    return max(colours, key=lambda c: max(light(c), light(below)) / min(light(c), light(below)))


def short(text: str, most: int = 16) -> str:
    """The text, its end cut off where it is longer."""
    return text if len(text) <= most else text[: most - 1] + "…"


def bare(axes: Axes, theme: Theme, title: str = "", size: float = 9) -> None:
    """An image's axes: no ticks, a small title."""
    axes.set_facecolor(theme.paper)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(title, color=theme.soft, fontsize=size, pad=3)


def heading(figure: Figure, theme: Theme, title: str) -> None:
    """A title over all axes, to the left."""
    figure.suptitle(title, x=0.01, ha="left", color=theme.ink, fontsize=11, fontweight="bold")


def name_lines(axes: Axes, theme: Theme, **options: Any) -> None:
    """A legend without a box."""
    axes.legend(frameon=False, labelcolor=theme.ink, fontsize=9, **options)


def _colormap(name: str, colours: list[str]) -> LinearSegmentedColormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(name, colours)
