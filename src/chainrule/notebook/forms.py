"""The forms: what a notebook shows of each thing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chainrule import storage
from chainrule.data.dataset import Dataset
from chainrule.glass.check import CheckReport
from chainrule.glass.exercise import HOW, Exercise
from chainrule.glass.trace import Trace
from chainrule.metrics import Evaluation, shown
from chainrule.network import Network
from chainrule.notation import MATHEMATICAL, derivation, notation_names, remarks
from chainrule.notation.steps import Worked
from chainrule.notation.views import HEADINGS, EquationView
from chainrule.notebook.chart import chart
from chainrule.notebook.elements import page, table
from chainrule.notebook.graph import graph
from chainrule.program.equation import Program
from chainrule.program.symbol import shape_text
from chainrule.program.text import number
from chainrule.report.markup import Html, tag
from chainrule.report.words import prose
from chainrule.runs.run import Run
from chainrule.train.history import History

MOST_EQUATIONS = 1500
"""Of a program that is shown; a longer one is for print."""
ALL_NOTATIONS = 250
"""Equations up to which every notation is there to be chosen; above, the first alone."""
ROWS, COLUMNS = 5, 12
"""Of a data set that are shown."""
MOST_SYMBOLS = 300
"""Rows of a trace."""


def html(thing: object) -> str | None:
    """The form of a thing as HTML; None where there is none: its plain one is shown."""
    for kind, form in FORMS:
        if isinstance(thing, kind):
            return form(thing)
    if type(thing).__module__.startswith("chainrule.tabular."):
        return _tabular(thing)
    networks = _networks(thing)
    return _fitted(type(thing).__name__, networks) if networks else None


def _tabular(thing: Any) -> str | None:
    """Of a model of tables what it predicts and from what, and folded below it the networks."""
    from chainrule.notebook import tables  # loaded where such a thing is: scikit-learn is slow
    from chainrule.tabular.contributions import Contributions

    if isinstance(thing, Contributions):
        title, content = tables.contributions(thing)
        return page(title, *content)
    networks = _networks(thing)
    if not networks:
        return None
    of = "first of the networks" if len(networks) > 1 else "network"
    folded = tag("details", tag("summary", f"The {of}: {networks[0]!r}"), *_of_network(networks[0]))
    return page(f"{type(thing).__name__}, fitted", *tables.facts(thing), folded)


def _evaluation(evaluation: Evaluation) -> str:
    parts = evaluation.each or {"": evaluation}
    content: list[Html] = []
    for name, of in parts.items():
        sure = "" if math.isnan(of.deviation) else f" ± {shown(of.deviation, beside=of.metrics[of.main])}"
        rows = [
            (
                key,
                shown(value) + (sure if key == of.main else ""),
                shown(of.baseline[key]) if key in of.baseline else "",
            )
            for key, value in of.metrics.items()
        ]
        content.append(table((name, "the model", f"always {of.what}"), rows, numbers=(1, 2)))
    return page(f"{evaluation.samples:,} sample{'' if evaluation.samples == 1 else 's'}", *content)


def _networks(thing: object) -> list[Network]:
    """Of a fitted estimator: its network, or its members."""
    fitted = vars(thing)
    trained = fitted.get("trained_")
    return [n for n in (fitted.get("network_"), *getattr(trained, "networks", ())) if isinstance(n, Network)]


def _program(program: Program) -> str | None:
    if len(program.equations) > MOST_EQUATIONS:
        return None
    names = notation_names() if len(program.equations) <= ALL_NOTATIONS else notation_names()[:1]
    choices = [
        tag("label", _radio(name, first=k == 0), MATHEMATICAL[name].title if name in MATHEMATICAL else "NumPy")
        for k, name in enumerate(names)
    ]
    panels = [tag("div", *_lines(program, name), class_=f"panel of-{name}") for name in names]
    chosen = "".join(
        f'.chainrule.chainrule form:not(:has(input[value="{name}"]:checked)) > .of-{name} {{ display: none; }}'
        for name in names
    )
    form = tag("form", tag("style", Html(chosen)), tag("div", *choices, class_="choices"), *panels)
    return page(_counted(program), form)


def _radio(name: str, first: bool) -> Html:
    return Html(f'<input type="radio" name="notation" value="{name}"{" checked" if first else ""}>')


def _counted(program: Program) -> str:
    counts = ", ".join(f"{name} {len(part)}" for name, part in program.sections() if part)
    return f"Program of {len(program.equations)} equations: {counts}"


def _lines(program: Program, notation: str) -> Iterator[Html]:
    """The derivation in one notation: what the notation says, then line by line."""
    arranged = derivation(program, notation)
    yield tag("p", MATHEMATICAL[notation].says if notation in MATHEMATICAL else "Executable source; samples are rows.",
              class_="says")  # fmt: skip
    for remark in remarks(program, arranged):
        yield tag("p", remark, class_="says")
    section = ""
    for view in arranged.views:
        if view.section != section:
            section = view.section
            yield tag("div", HEADINGS[section], class_="section")
        yield _line(view)


def _line(view: EquationView) -> Html:
    formula = tag("div", Html(view.mathml), class_="formula")  # the notation has escaped it
    return tag("div", formula, tag("span", view.shape, class_="shape"), class_="line", title=view.why)


def _worked(worked: Worked) -> str:
    title = f"{worked.steps.gradient.name}, step by step: {MATHEMATICAL[worked.notation].title.lower()}"
    return page(title, *_steps(worked))


def _exercise(exercise: Exercise) -> str:
    title = f"{exercise.said.gradient.name}, step by step, with {len(exercise.hidden)} right sides to be found"
    how = f'exercise.answer({exercise.hidden[-1]}, "...") says whether a formula is right. {HOW}'
    return page(title, *_steps(exercise.sheet), tag("p", how, class_="says"))


def _steps(worked: Worked) -> Iterator[Html]:
    """A line for each: its number, the formula, the reason."""
    if worked.remark:
        yield tag("p", worked.remark, class_="says")
    before = 0
    for view in worked.views:
        number = "" if view.number == before else f"{view.number}"
        before = view.number
        why = "  ".join(x for x in (view.dimensions, view.why) if x)
        formula = tag("div", Html(view.mathml), class_="formula")  # the notation has escaped it
        yield tag(
            "div",
            tag("span", number, class_="place"),
            formula,
            tag("span", Html(prose(why)), class_="why"),
            class_="line",
        )


def _network(network: Network) -> str:
    return page(repr(network), *_layers(network))


def _layers(network: Network) -> list[Html]:
    rows, outputs, total = storage.summary_rows(network.spec, network.parameters, network.dtype.name)
    layers = table(("layer", "shape", "parameters"), rows, numbers=(2,))
    judged = table(("output", "shape", "loss"), outputs) if outputs else ""
    beside = tag("div", layers, judged, tag("p", total, class_="says"))
    return [tag("div", graph(network.spec), beside, class_="beside")]


def _history(history: History) -> str | None:
    return page(repr(history), *_curves(history)) if len(history) else None


def _curves(history: History) -> list[Html]:
    """The cost, and the metric where there is one, of the training and of the validation."""
    metric = history[-1].metric_name
    charts = []
    for column, title in [("cost", "Cost"), *([("metric", metric.capitalize())] if metric else [])]:
        parts = [("training", history.column(column)), ("validation", history.column(f"validation_{column}"))]
        best = None
        if np.isfinite(parts[1][1]).any():
            record = history.best(f"validation_{column}")
            best = (float(record.epoch), float(getattr(record, f"validation_{column}")))
        charts.append(chart(title, history.column("epoch"), parts, best))
    return [tag("div", *charts, class_="beside")]


def _trace(trace: Trace) -> str:
    header, *rows = trace.rows()
    shown = rows[:MOST_SYMBOLS]
    cells, section = [], ""
    for its, row in shown:
        cells.append((its if its != section else "", *row))
        section = its
    left = [tag("p", f"{len(rows) - len(shown):,} more; print(trace) has them all.", class_="says")]
    return page(
        repr(trace), table(("", *header[1]), cells, numbers=range(3, 9)), *(left if len(rows) > len(shown) else [])
    )


def _check(report: CheckReport) -> str:
    rows = [
        (g.name, g.of, shape_text(g.shape), g.compared, f"{g.error:.1e}", tag("span", "ok", class_="good") if g.ok
         else tag("span", "wrong", class_="bad"))
        for g in report.gradients
    ]  # fmt: skip
    faults = [tag("pre", str(fault)) for fault in report.faults]
    verdict = tag("p", report.verdict, class_="good" if report else "bad")
    header = ("gradient", "of", "shape", "compared", "relative error", "")
    return page("Gradients against finite differences", verdict, table(header, rows, numbers=(4,)), *faults)


def _dataset(dataset: Dataset) -> str:
    features = dataset.feature_names[:COLUMNS]
    more = len(dataset.feature_names) - len(features)
    target = dataset.target.name or "target"
    names = dataset.target_names
    y = dataset.y[:ROWS]
    rows = [
        (
            *(number(float(v)) for v in row[:COLUMNS]), *(["…"] if more else []),
            names[int(value)] if names is not None else ", ".join(number(float(v)) for v in np.atleast_1d(value)),
        )
        for row, value in zip(dataset.X[:ROWS], y, strict=True)
    ]  # fmt: skip
    header = (*features, *([f"{more:,} more"] if more else []), target)
    said = [tag("p", note, class_="says") for note in dataset.notes]
    if names is not None:
        counts = np.bincount(np.asarray(dataset.y, np.int64), minlength=len(names))[:COLUMNS]
        balance = ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=False))
        said.insert(
            0, tag("p", f"Samples of each class: {balance}{', …' if len(names) > COLUMNS else ''}", class_="says")
        )
    return page(repr(dataset), *said, table(header, rows, numbers=range(len(features))))


def _run(run: Run) -> str:
    options = [(str(k), str(v)) for k, v in run.options.items() if v not in (None, False, [], ())]
    told = tag("details", tag("summary", "Options"), table(("", ""), options)) if options else Html()
    return page(repr(run), *_layers(run.network), *(_curves(run.history) if len(run.history) else []), told)


def _fitted(name: str, networks: list[Network]) -> str:
    several = f"{len(networks)} networks, the first of them " if len(networks) > 1 else ""
    return page(f"{name} has fitted {several}{networks[0]!r}", *_of_network(networks[0]))


def _of_network(network: Network) -> list[Html]:
    history = network.history
    curves = _curves(history) if history is not None and len(history) else []
    return [*curves, *_layers(network)]


FORMS: tuple[tuple[type, Callable[[Any], str | None]], ...] = (
    (Program, _program),
    (Worked, _worked),
    (Exercise, _exercise),
    (Network, _network),
    (History, _history),
    (Trace, _trace),
    (CheckReport, _check),
    (Dataset, _dataset),
    (Run, _run),
    (Evaluation, _evaluation),
)
"""Each kind of thing and its form."""
