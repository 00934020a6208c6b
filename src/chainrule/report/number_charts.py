"""Charts of predicted numbers: over the true ones, what is left, how that is spread; and of columns' importance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from chainrule.report import style
from chainrule.report.judged import Outcome
from chainrule.report.markup import Html
from chainrule.report.plot import Plot, figure, legend
from chainrule.report.scales import Scale, scale_of, short

Array = NDArray[np.float64]
MOST_COLUMNS = 7
"""Of several numbers that are drawn."""
MOST_POINTS = 1500
"""That are drawn of all columns together, evenly taken."""
MOST_BARS = 15
"""Columns whose importance is shown."""


def numbers(outcome: Outcome) -> Iterator[Html]:
    """Predicted over true, residuals over predicted, and their histogram."""
    truth, predicted = outcome.truth.astype(np.float64), outcome.predicted.astype(np.float64)
    width = min(truth.shape[1], MOST_COLUMNS)
    some = np.unique(np.linspace(0, len(truth) - 1, min(len(truth), MOST_POINTS // width)).astype(np.int64))
    names = [outcome.columns[k] if outcome.columns else f"column {k + 1}" for k in range(width)]
    key = [legend(list(enumerate(names)))] if width > 1 else []
    unit = outcome.target or "value"
    scale = scale_of([*truth[some].ravel(), *predicted[some].ravel()], logarithmic=False)
    plot = Plot(scale, scale, f"true {unit}", f"predicted {unit}", height=270)
    plot.straight((scale.low, scale.low), (scale.high, scale.high))
    for k in range(width):
        plot.dots(zip(truth[some, k].tolist(), predicted[some, k].tolist(), strict=True), k)
    metrics = outcome.evaluation.metrics
    good = f"R² {metrics['R²']:.3f}: 1 is perfect, 0 as good as always the mean." if "R²" in metrics else ""
    shown = f" {len(some):,} of {len(truth):,} samples." if len(some) < len(truth) else ""
    yield figure(outcome.said("Predicted over true"), *key, plot.svg(f"Predicted over true numbers. {good}"),
                  f"On the dashed line the prediction is right. {good}{shown}")  # fmt: skip
    left = predicted - truth
    height = scale_of(left[some].ravel().tolist(), logarithmic=False)
    plot = Plot(scale_of(predicted[some].ravel().tolist(), logarithmic=False), height, f"predicted {unit}",
                "predicted minus true", height=270)  # fmt: skip
    plot.level(0.0)
    for k in range(width):
        plot.dots(zip(predicted[some, k].tolist(), left[some, k].tolist(), strict=True), k)
    yield figure(
        outcome.said("What is left: residuals"),
        *key,
        plot.svg("Residuals over predicted numbers"),
        "A cloud without a shape is what chance leaves; a bend or a funnel is something to learn.",
    )
    yield _histogram(outcome, left)


def _histogram(outcome: Outcome, left: Array) -> Html:
    flat = left.ravel()
    low, high = (float(v) for v in np.quantile(flat, (0.002, 0.998)))
    inside = flat[(flat >= low) & (flat <= high)] if high > low else flat
    counts, edges = np.histogram(inside, bins=min(30, max(5, int(len(inside) ** 0.5))))
    share = 100 * counts / max(1, len(flat))
    x = Scale(float(edges[0]), float(edges[-1]))
    plot = Plot(x, Scale(0.0, 1.08 * float(share.max() or 1)), "predicted minus true", "% of the samples")
    plot.bars(zip(edges[:-1].tolist(), edges[1:].tolist(), share.tolist(), strict=True), 0)
    middle = f"Mean {short(float(flat.mean()), 3)}, half of them within ± {short(float(np.median(np.abs(flat))), 3)}."
    return figure(
        outcome.said("How the residuals are spread"), plot.svg(f"Histogram of the residuals. {middle}"), middle
    )


def importance_chart(rises: Mapping[str, float], what: str, says: str) -> Html | None:
    """Bars, the longest first.  what: along the width.  None where nothing counts."""
    ordered = sorted(rises.items(), key=lambda item: -item[1])
    shown = ordered[:MOST_BARS]
    if not shown or shown[0][1] <= 0:
        return None
    top = shown[0][1]
    names = [style.short(name, 22) for name, _ in shown]
    plot = Plot(Scale(0.0, 1.18 * top), Scale(0.0, 1.0), what, "", rows=names, height=64 + 24 * len(shown))
    for k, (_, rise) in enumerate(shown):
        plot.row(k, len(shown), 0.0, max(0.0, rise), 0, short(max(0.0, rise), 2))
    more = f" The first {len(shown)} of {len(ordered)}." if len(ordered) > len(shown) else ""
    told = ", ".join(f"{name} {short(max(0.0, rise), 2)}" for name, rise in shown[:5])
    return figure("What the predictions rest on", plot.svg(f"Importance of columns: {told}"), f"{says}{more}")
