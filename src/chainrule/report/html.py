"""The report: one HTML file with everything inside, and nothing that is fetched."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from html import escape
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import checks
from chainrule.data import Standardizer
from chainrule.describe.optimizers import Optimizer
from chainrule.engines.base import sample_count
from chainrule.errors import DataError, MissingDependencyError
from chainrule.files import describe_os_error, replace_text
from chainrule.network import Network
from chainrule.notation import check_notation
from chainrule.notation.views import HEADINGS
from chainrule.report import contents, importance, pictures, playing, results, words
from chainrule.report.about import About
from chainrule.report.axes import input_axes
from chainrule.report.judged import headline, outcomes
from chainrule.report.markup import Html
from chainrule.report.network_pictures import image_shape
from chainrule.report.number_charts import importance_chart
from chainrule.report.outputs import Names, check_names
from chainrule.report.training import learning_charts, member_charts, watched_charts
from chainrule.report.whole import Whole
from chainrule.train.history import History
from chainrule.train.monitor import Monitor

Array = NDArray[Any]

CHECKED = 8
"""Samples that the gradients are checked on."""
DRAWN = 2000
"""Samples that the histograms and regions are drawn from."""
FEW_COLUMNS = 30
"""Columns without names whose importance is told."""
_MATHML = ' xmlns="http://www.w3.org/1998/Math/MathML"'
"""What HTML knows of <math>."""
STYLES = ("report.css", "results.css", "opened.css", "playing.css")
SCRIPTS = ("opened.js", "playing.js", "charts.js", "report.js")
"""The assets of the page, in their order: what a script uses stands before it."""


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
    part: str = "",
    target: str = "",
    target_scale: Standardizer | None = None,
    columns: Sequence[str] | None = None,
    kept: int | None = None,
    command: str = "",
    date: str | None = None,
) -> str:
    """The report on a network and these data, as one HTML page.

    X (m, inputs), y: all are scored and drawn; the first 32 make the step whose numbers are shown.  Several inputs or
    outputs are given by name, as to `fit`.  monitor, history: what a fit left behind (history: by default of the last
    fit).  optimizer: with its update.  notation: the one shown first.  names: of the classes; of several outputs a
    dict of those of each.  shape: (height, width) of inputs that are images; None where they are none.  settings: more
    lines for the table of settings.

    part: of the data, which the samples are, "test" say.  target: the name of what is predicted.  target_scale: of a
    target that is predicted standardised, to show numbers in its own unit.  columns: for each input the column that it
    was made of.  kept: the epoch whose weights the network has.  command: what makes the network again.  date: when it
    was trained; None for today, "" for none.

    The same input makes the same bytes on the same day.  Raises DataError for data that do not fit, SpecError,
    MissingDependencyError without matplotlib or jinja2.
    """
    about = About(part, target, target_scale, columns, kept, command, date)
    return page_about(
        net, X, y, about, monitor=monitor, history=history, optimizer=optimizer, notation=notation, names=names,
        shape=shape, title=title, settings=settings,
    )  # fmt: skip


def page_about(
    net: Network,
    X: checks.Inputs,
    y: Any,
    about: About,
    whole: Whole | None = None,
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
    """The same (see `page`).  whole: the estimator whose first member the network is; what came out is told of that."""
    check_packages()
    check_notation(notation)
    checked = checks.inputs(net.spec, X, net.dtype, net.feature_names)
    samples = sample_count(checked)
    kinds, arrays = checks.targets(net.spec, y, samples, net.dtype)

    def targets(rows: slice | Array = slice(None)) -> Any:
        return checks.targets_as_given(net.spec, {name: array[rows] for name, array in arrays.items()}, kinds)

    def inputs(rows: slice | Array | None = None) -> Any:
        return checks.as_given(net.spec, checked, *(() if rows is None else (rows,)))

    check_names(net.spec, names)
    if shape is not None:
        image_shape(net.spec.inputs, shape)
    about.check(net.spec)
    history = net.history if history is None else history
    step, few = slice(0, contents.STEP), slice(0, CHECKED)
    some = np.linspace(0, samples - 1, min(DRAWN, samples)).astype(np.int64)
    data = contents.derivations(net, inputs(step), targets(step), kinds, optimizer, monitor)
    features = about.columns or net.feature_names
    if features is not None and not net.spec.named and not net.spec.tokens:
        data |= {"features": list(features), "axes": input_axes(net.derive(optimizer=optimizer, targets=kinds))}
    if data["live"] is not None:
        data["live"] |= playing.visuals(net, inputs(), targets(), shape, names, features)
    if whole is None:
        predicted, cost = net.predict_and_cost(inputs(), targets())
        judged = outcomes(net.spec, predicted, targets(), names, about.target_scale, about.target)
        learning = learning_charts(history, about.kept, standardised=about.target_scale is not None)
        importances = _importances(net, inputs(some), targets(some), about, shape)
        facts = contents.facts(net, cost, history, about)
    else:
        judged, learning = list(whole.outcomes), member_charts(whole.histories)
        importances = _chart_of(whole.importances, f"rise of the {whole.loss}", f"the {whole.loss}")
        facts = contents.facts_of_whole(whole, about)
    watched = watched_charts(history, monitor)
    data["glosses"] = words.sections(optimizer)
    data["curves"] = [chart.to_dict() for chart in (*learning, *watched)]
    charts = [chart.html(k) for k, chart in enumerate((*learning, *watched))]
    told: dict[str, Any] = {
        "title": title or _title(net),
        "headlines": [headline(outcome, about.part) for outcome in judged],
        "facts": facts,
        "command": about.command,
        "first": [
            *charts[: len(learning)],
            *(chart for outcome in judged for chart in results.first(outcome)),
            *(importances if whole is not None else [pictures.network(net)]),
            *pictures.of_predictions(net, inputs(some), targets(some), names, shape, features),
        ],
        "more": [
            *(importances if whole is None else []),
            *(chart for outcome in judged for chart in results.more(outcome, images=shape is not None)),
        ],
        "charts": charts[len(learning) :],
        "inside": [*([] if whole is None else [pictures.network(net)]), *pictures.inside(net, inputs(some), shape)],
        "settings": contents.settings(net, optimizer, settings or {}),
        "check": contents.check_rows(net.check(inputs(few), targets(few))),
        "checked": min(CHECKED, samples),
        "step": min(contents.STEP, samples),
        "history": _history_rows(history if whole is None else None),
        "watched": monitor is not None,
        "members": 1 if whole is None else len(whole.histories),
        "notation": notation,
        "sections": HEADINGS,
        "glosses": data["glosses"],
        "data": data,
    }
    return render(told)


def _title(net: Network) -> str:
    """What the page is of, where nobody has said: 64-32-10, cross_entropy."""
    spec = net.spec
    return repr(net) if spec.named or not spec.chain else f"{'-'.join(map(str, spec.widths))}, {spec.loss.name}"


def _importances(net: Network, X: Any, y: Any, about: About, shape: tuple[int, int] | None) -> list[Html]:
    """What the predictions rest on, where the inputs are columns that have names or are few."""
    columns = about.columns or net.feature_names
    if net.spec.tokens or net.spec.named or shape is not None:
        return []
    if columns is None:
        columns = tuple(f"column {k + 1}" for k in range(net.spec.inputs)) if net.spec.inputs <= FEW_COLUMNS else ()
    if not 1 < len(set(columns)) <= importance.MOST:
        return []
    rows = np.linspace(0, len(X) - 1, min(importance.ROWS, len(X))).astype(np.int64)
    few_y = {name: part[rows] for name, part in y.items()} if isinstance(y, dict) else y[rows]
    rises = importance.by_column(net, X[rows], few_y, columns)
    return _chart_of(rises, "rise of the cost J", f"the cost of {len(rows):,} samples")


def _chart_of(rises: Mapping[str, float], quantity: str, what: str) -> list[Html]:
    chart = importance_chart(
        rises, quantity, f"How much {what} rises where a column's values are mixed between the rows."
    )
    return [] if chart is None else [chart]


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
            raise MissingDependencyError(f"The report needs {name}: pip install 'chainrule[report]'") from None


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
    programs = told["data"].pop("programs")
    script = json.dumps(told["data"], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    rendered: str = environment.from_string(page).render(
        **{k: v for k, v in told.items() if k != "data"},
        notations=told["data"]["notations"],
        css="".join((assets / name).read_text(encoding="utf-8") for name in STYLES),
        js=programs + "".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS),
        live=told["data"]["live"],
        data=script.replace("</", "<\\/").replace("<!--", "\\u003c!--"),  # nothing in it ends the script
    )
    return rendered.replace(_MATHML, "").replace(_MATHML.replace('"', '\\"'), "")


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
