"""The curves of a training run, as charts of the page: what they are, what their words mean, which epoch is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.report.markup import Html
from chainrule.report.plot import Plot, figure, legend, noise, smoothed
from chainrule.report.scales import Scale, scale_of, short
from chainrule.train.history import History
from chainrule.train.monitor import Monitor

Array = NDArray[Any]
NOISY = 2.5
"""Ways up and down per height of a curve from which on it is shown smoothed, itself faintly behind."""
MOST_MEMBERS = 7
"""Of an ensemble that are drawn."""
PARTS = 12
"""Of a noisy curve, the means of so many parts are shown."""


@dataclass(frozen=True)
class Chart:
    """Curves over epochs or steps."""

    title: str
    """What it is."""
    quantity: str
    """What stands along its height."""
    over: str
    """What stands along its width: epoch or step."""
    x: Array
    """Its values."""
    series: tuple[tuple[str, Array], ...]
    """(name, values), NaN where there is none."""
    logarithmic: bool | None = None
    """Of the height; None to judge by the values."""
    says: str = ""
    """What its words mean, and how to read it."""
    marks: tuple[tuple[int, int, str], ...] = ()
    """(series, place, words) of points that stand out."""
    level: tuple[float, str] | None = None
    """A height to compare with, and its name."""

    def to_dict(self) -> dict[str, Any]:
        """What the page's script reads from: values, and where they lie in the picture."""
        plot, _ = self._plot()
        place = {"left": plot.across(float(self.x[0])), "right": plot.across(float(self.x[-1])),
                 "top": plot.top, "bottom": plot.height - plot.bottom, "low": plot.y.low, "high": plot.y.high,
                 "log": plot.y.logarithmic, "width": plot.width}  # fmt: skip
        series = [{"name": name, "values": [_short(v) for v in values]} for name, values in self.series]
        return {"title": self.title, "over": self.over, "x": [int(v) for v in self.x], "series": series, "place": place}

    def _plot(self) -> tuple[Plot, Scale]:
        y = scale_of((float(v) for _, values in self.series for v in values), logarithmic=self.logarithmic)
        low, high = float(self.x[0]), float(self.x[-1])
        x = Scale(low, high, whole=True) if high > low else Scale(low - 0.5, high + 0.5, whole=True)
        scale = ", logarithmic scale" if y.logarithmic else ""
        return Plot(x, y, self.over, f"{self.quantity}{scale}"), y

    def html(self, number: int) -> Html:
        """The figure; number: its place among the page's charts."""
        plot, y = self._plot()
        window = 2 * (len(self.x) // (2 * PARTS)) + 1
        noisy = False
        if self.level is not None and y.low < self.level[0] < y.high:
            plot.level(*self.level)
        for k, (_, values) in enumerate(self.series):
            drawn = [_drawn(v, y) for v in values]
            if window >= 3 and noise([v if v is None or not y.logarithmic else math.log(v) for v in drawn]) > NOISY:
                noisy = True
                plot.line(self._points(drawn), k, "faint")
                drawn = smoothed(drawn, window)
            plot.line(self._points(drawn), k)
        for k, place, words in self.marks:
            value = _drawn(self.series[k][1][place], y)
            if value is not None:
                plot.mark(float(self.x[place]), value, k, words)
        says = self.says + (f" Strong lines are means of {window} records." if noisy else "")
        last = ", ".join(f"{name} {_last(values)}" for name, values in self.series)
        picture = plot.svg(f"{self.title} over {len(self.x)} records; the last: {last}", tabindex="0",
                           data_chart=str(number))  # fmt: skip
        names = legend([(k, name) for k, (name, _) in enumerate(self.series)])
        return figure(self.title, names, picture, says.strip())

    def _points(self, values: Sequence[float | None]) -> list[tuple[float, float] | None]:
        return [None if v is None else (float(x), v) for x, v in zip(self.x, values, strict=True)]


def _drawn(value: float, y: Scale) -> float | None:
    """The value, where it has a place."""
    return float(value) if math.isfinite(value) and (value > 0 or not y.logarithmic) else None


def _last(values: Array) -> str:
    finite = values[np.isfinite(values)]
    return short(float(finite[-1])) if len(finite) else "none"


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def learning_charts(history: History | None, kept: int | None, *, standardised: bool = False) -> list[Chart]:
    """Cost and metric of each epoch, training and validation.

    kept: the epoch whose weights the network has.  standardised: whether errors are in deviations of the target.
    """
    if history is None or not len(history):
        return []
    metric = history[-1].metric_name
    epochs = history.column("epoch")
    plans = [("cost", "Cost", "cost J")]
    if metric not in (None, "cost"):  # of several outputs the cost is the metric
        unit = ", in deviations of the target" if standardised else ""
        plans.append(("metric", str(metric).capitalize(), f"{metric}{unit}"))
    charts = []
    for column, title, quantity in plans:
        series = [
            (part, history.column(c)) for part, c in (("training", column), ("validation", f"validation_{column}"))
        ]
        there = tuple((name, values) for name, values in series if np.isfinite(values).any())
        if there:
            charts.append(Chart(title, quantity, "epoch", epochs, there, marks=_marks(history, there, kept)))
    return charts


def _marks(history: History, series: Sequence[tuple[str, Array]], kept: int | None) -> tuple[tuple[int, int, str], ...]:
    """The epoch that is kept; where nobody says so, the best one of the validation."""
    last = len(series) - 1
    epochs = [record.epoch for record in history]
    if kept is not None:
        return ((last, epochs.index(kept), f"kept: epoch {kept}"),) if kept in epochs else ()
    if series[last][0] != "validation" or len(history) < 2:
        return ()
    best = history.best().epoch
    return ((last, epochs.index(best), f"best cost: epoch {best}"),)


def member_charts(histories: Sequence[History]) -> list[Chart]:
    """The cost of each member of an ensemble on the rows that it held out, its best epoch, which is kept, marked."""
    there = [(k, h) for k, h in enumerate(histories, 1) if len(h) and np.isfinite(h.column("validation_cost")).any()]
    if not there:
        return []
    shown = there[:MOST_MEMBERS]
    epochs = np.arange(1, 1 + max(len(h) for _, h in shown))
    series, marks = [], []
    for place, (k, history) in enumerate(shown):
        values = np.full(len(epochs), np.nan)
        values[: len(history)] = history.column("validation_cost")
        series.append((f"member {k}", values))
        marks.append((place, history.best("validation_cost").epoch - 1, ""))
    more = f" The first {len(shown)} of {len(there)}." if len(there) > len(shown) else ""
    says = f"Each on the rows that it did not learn from; the weights of the epoch with the ring are kept.{more}"
    return [Chart("Members", "cost on rows held out", "epoch", epochs, tuple(series), says=says, marks=tuple(marks))]


@dataclass(frozen=True)
class _Watched:
    """A kind of value that the monitor records of each layer or weight."""

    title: str
    quantity: str
    kind: str
    says: str
    logarithmic: bool = False
    level: tuple[float, str] | None = None


_OF_WEIGHTS = (
    _Watched("Gradients: ‖∂J/∂W‖", "‖∂J/∂W‖", "gradient",
             "How strongly the cost pulls at the weights of each layer; one far below the others learns slowly.", True),
    _Watched("Steps relative to the weights", "change of W a step / size of W", "update",
             "How far a step moves the weights, as a part of their size.", True, (1e-3, "usual: 0.001")),
)  # fmt: skip
_OF_LAYERS = (
    _Watched("Values that leave each layer: mean", "mean", "mean", "Over the samples and units that are watched."),
    _Watched("Values that leave each layer: deviation", "standard deviation", "std",
             "Near 0, a layer says the same of every sample; growing without end, training may diverge."),
    _Watched("Saturated values", "share of the values", "saturated",
             "Saturated: the slope of the activation is below 1 % of its largest (of a relu: the value is 0), so that "
             "hardly any gradient passes."),
    _Watched("Dead units", "share of the units", "dead",
             "Dead: saturated for every sample that is watched, so that the unit's weights hardly move."),
)  # fmt: skip


def watched_charts(history: History | None, monitor: Monitor | None) -> list[Chart]:
    """The learning rate where it changes, and all that the monitor has recorded."""
    charts = []
    if history is not None and len(history):
        rates = history.column("learning_rate")
        if len(set(rates.tolist())) > 1:
            charts.append(
                Chart("Learning rate", "learning rate", "epoch", history.column("epoch"), (("learning rate", rates),))
            )
    if monitor is None or not monitor.records:
        return charts
    steps = monitor.column("step")

    def add(about: _Watched, names: Mapping[str, str]) -> None:
        columns = [(name, monitor.column(column)) for name, column in names.items() if column in monitor.names]
        series = tuple((name, values) for name, values in columns if np.isfinite(values).any())
        if series:
            log = True if about.logarithmic and any((v > 0).any() for _, v in series) else None
            charts.append(Chart(about.title, about.quantity, "step", steps, series, log, about.says, level=about.level))

    costs = _Watched("Cost of each output, of the samples watched", "cost", "cost", "")
    add(costs, {output: f"{output}.cost" for output in monitor.outputs})
    for about in _OF_WEIGHTS:
        add(about, {name: f"{name}.{about.kind}" for name in monitor.matrices})
    for about in _OF_LAYERS:
        add(about, {name: f"{name}.{about.kind}" for name in monitor.layers})
    return charts
