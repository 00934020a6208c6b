"""The report: one HTML file with everything inside, and nothing that is fetched."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule import checks
from chainrule.describe.losses import Loss, Losses
from chainrule.describe.optimizers import Optimizer
from chainrule.engines.base import sample_count
from chainrule.errors import DataError, MissingDependencyError
from chainrule.files import describe_os_error, replace_text
from chainrule.network import Network
from chainrule.notation import check_notation
from chainrule.notation.views import HEADINGS
from chainrule.report import contents, plots
from chainrule.report.network_pictures import image_shape
from chainrule.report.outcomes import MOST_CLASSES
from chainrule.report.outputs import Names, check_names, outputs_of
from chainrule.report.style import THEMES
from chainrule.train.history import History
from chainrule.train.monitor import Monitor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

CHECKED = 8
"""Samples that the gradients are checked on."""
DRAWN = 2000
"""Samples that the histograms and regions are drawn from."""
DPI = 130
STYLES = ("report.css", "opened.css")
SCRIPTS = ("opened.js", "report.js")
"""The assets of the page, in their order: what a script uses stands before it."""
PER_INCH = 86
"""Pixels of the page for an inch of a figure: sharp on fine screens, and two figures side by side."""


def report(net: Network, path: str | os.PathLike[str], X: checks.Inputs, y: Any, **options: Any) -> Path:
    """Writes the report on a network and these data, and returns its path; options: of `page`.

    Raises DataError for a path that cannot be written, before any work, and what `page` does.
    """
    check_report(path)
    replace_text(path, page(net, X, y, **options))
    return Path(path)


def page(
    net: Network,
    X: checks.Inputs,
    y: Any,
    *,
    monitor: Monitor | None = None,
    history: History | None = None,
    optimizer: Optimizer | None = None,
    notation: str = "row",
    names: Names | None = None,
    shape: tuple[int, int] | None = None,
    title: str | None = None,
    settings: Mapping[str, object] | None = None,
) -> str:
    """The report on a network and these data, as one HTML page.

    X (m, inputs), y: all are scored and drawn; the first 32 make the step whose numbers are shown.  Several inputs or
    outputs are given by name, as to `fit`.  monitor, history: what a fit left behind (history: by default of the last
    fit).  optimizer: with its update.  notation: the one shown first.  names: of the classes; of several outputs a
    dict of those of each.  shape: (height, width) of an input that is an image; by default square.  settings: more
    lines for the table of settings.

    The same input makes the same bytes.  Raises DataError for data that do not fit, SpecError,
    MissingDependencyError without matplotlib or jinja2.
    """
    check_packages()
    check_notation(notation)
    checked = checks.inputs(net.spec, X, net.dtype, net.feature_names)
    samples = sample_count(checked)
    kinds, arrays = checks.targets(net.spec, y, samples, net.dtype)

    def target(rows: slice | Array = slice(None)) -> Any:
        part = {name: array[rows] for name, array in arrays.items()}
        return checks.targets_as_given(net.spec, part, kinds)

    check_names(net.spec, names)
    if shape is not None:
        image_shape(net.spec.inputs, shape)
    history = net.history if history is None else history
    first, few = slice(0, contents.STEP), slice(0, CHECKED)
    data = contents.derivations(net, checks.as_given(net.spec, checked, first), target(first), kinds, optimizer)
    data["curves"] = contents.curves(history, monitor)
    told: dict[str, Any] = {
        "title": title or repr(net),
        "facts": contents.facts(net, checks.as_given(net.spec, checked), target(), history),
        "settings": contents.settings(net, optimizer, settings or {}),
        "check": contents.check_rows(net.check(checks.as_given(net.spec, checked, few), target(few))),
        "checked": min(CHECKED, samples),
        "step": min(contents.STEP, samples),
        "pictures": _pictures(net, checked, target, names, shape),
        "history": _history_rows(history),
        "notation": notation,
        "sections": HEADINGS,
        "data": data,
    }
    return render(told)


class InlineReport:
    """A report that a notebook shows in its cell, in a frame of its own.  page: its HTML."""

    def __init__(self, page: str) -> None:
        self.page = page

    def __repr__(self) -> str:
        return f"InlineReport({len(self.page):,} characters; a notebook shows it)"

    def _repr_html_(self) -> str:
        look = "width: 100%; height: 720px; border: 1px solid #8886; border-radius: 6px"
        return f'<iframe srcdoc="{escape(self.page)}" style="{look}" title="chainrule report"></iframe>'


def check_packages() -> None:
    """Raises MissingDependencyError where what the report needs is not installed."""
    for name in ("jinja2", "matplotlib"):
        try:
            import_module(name)
        except ImportError:
            raise MissingDependencyError(f"The report needs {name}: pip install chainrule[report]") from None


def check_report(path: str | os.PathLike[str]) -> None:
    """Before long work: whether a report could be written there.  Raises DataError, MissingDependencyError."""
    path = Path(path)
    check_packages()
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the report a file's name, {path / 'report.html'} say.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise DataError(f"{path}: the report cannot be written: {describe_os_error(error)}.") from None


def render(told: Mapping[str, Any]) -> str:
    """The page from what it tells."""
    from jinja2 import Environment, StrictUndefined

    assets = files("chainrule.report") / "assets"
    page = (assets / "report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    script = json.dumps(told["data"], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    rendered: str = environment.from_string(page).render(
        **{k: v for k, v in told.items() if k != "data"},
        notations=told["data"]["notations"],
        curves=told["data"]["curves"],
        css="".join((assets / name).read_text(encoding="utf-8") for name in STYLES),
        js="".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS),
        data=script.replace("<", "\\u003c"),
    )
    return rendered


def _pictures(
    net: Network,
    data: Mapping[str, Any],
    target: Callable[..., Any],
    names: Names | None,
    shape: tuple[int, int] | None,
) -> list[dict[str, str]]:
    """Every picture that this network and these data allow, in both themes, as PNG in base64."""
    samples = sample_count(data)
    some = np.linspace(0, samples - 1, min(DRAWN, samples)).astype(np.int64)
    X, few = checks.as_given(net.spec, data), checks.as_given(net.spec, data, some)
    y, few_y = target(), target(some)
    numbers = not net.spec.tokens and not net.spec.named
    image = numbers and net.spec.inputs > 3 and _is_image(net.spec.inputs, shape)
    plane = numbers and net.spec.inputs == 2
    words = "a column of units for each layer" if net.spec.chain else "a box for each value, lines to where it is used"
    plans: list[tuple[str, bool, Callable[[str], Figure]]] = [
        (f"The network, {words}", True, lambda theme: plots.network(net, theme=theme)),
        ("How the values that leave each layer are spread", True,
         lambda theme: plots.activation_histograms(net, few, theme=theme)),
    ]  # fmt: skip
    for output in outputs_of(net.spec):
        given: dict[str, Any] = {"output": output.name or None}
        named = {**given, "names": names}
        decides = isinstance(output.loss, Loss) and output.loss.decides
        plans += [
            (output.said("How often each class was taken for each"),
             output.classifies and output.classes <= MOST_CLASSES,
             partial(_drawn, plots.confusion_matrix, net, X, y, named)),
            (output.said("The predicted numbers over the true ones"),
             not output.classifies and not decides and bool(net.spec.named or isinstance(net.spec.loss, Losses)),
             partial(_drawn, plots.numbers_beside_truth, net, few, few_y, given)),
            (output.said("Decision regions over the two inputs"), plane and output.width <= 12,
             partial(_drawn, plots.decision_regions, net, few, few_y, named)),
            (output.said("The worst mistakes, as images"), image and output.classifies,
             partial(_drawn, plots.worst_mistakes, net, X, y, {**named, "shape": shape})),
        ]  # fmt: skip
    first = ("Weights of the first layer as images: blue negative, orange positive", image and "W1" in net.parameters,
             lambda theme: plots.weights(net, shape=shape, theme=theme))  # fmt: skip
    return [_picture(says, draw) for says, possible, draw in (*plans, first) if possible]


def _drawn(draw: Callable[..., Figure], net: Network, X: Any, y: Any, options: Mapping[str, Any], theme: str) -> Figure:
    return draw(net, X, y, **options, theme=theme)


def _is_image(inputs: int, shape: tuple[int, int] | None) -> bool:
    if shape is not None:
        return True
    return math.isqrt(inputs) ** 2 == inputs


def _picture(says: str, draw: Callable[[str], Figure]) -> dict[str, str]:
    figures = {theme: draw(theme) for theme in THEMES}
    width = round(max(figure.get_size_inches()[0] for figure in figures.values()) * PER_INCH)
    return {"says": says, "width": str(width), **{theme: _png(figure) for theme, figure in figures.items()}}


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None}, facecolor=figure.get_facecolor())
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _history_rows(history: History | None) -> list[list[str]]:
    """The table of epochs, its header first."""
    if history is None or not len(history):
        return []
    metric = history[-1].metric_name or "metric"
    columns = {"epoch": "epoch", "cost": "cost", "metric": metric, "validation_cost": "validation cost",
               "validation_metric": f"validation {metric}", "learning_rate": "learning rate"}  # fmt: skip
    if metric == "cost":  # of several outputs
        del columns["metric"], columns["validation_metric"]
    there = [c for c in columns if np.isfinite(history.column(c)).any()]
    values = [[f"{v:.5g}" if np.isfinite(v) else "" for v in history.column(c)] for c in there]
    return [[columns[c] for c in there], *(list(row) for row in zip(*values, strict=True))]
