"""Charts of predicted classes: which was taken for which, their balance, ROC, precision and recall, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from chainrule.metrics import area
from chainrule.report.judged import Outcome, per_class
from chainrule.report.markup import Html, tag
from chainrule.report.plot import Plot, figure, legend
from chainrule.report.scales import Scale

Array = NDArray[np.float64]
MOST_CLASSES = 40
"""Up to which a table of confusions can be read."""
MOST_ROWS = 20
"""Of classes that are listed."""
DEEP = 94
"""Percent of colour where most of a row's class are."""
CURVES = 5
"""Of several classes: those with the lowest areas."""
POINTS = 160
"""Of a curve."""
BINS = 10
"""Of a calibration."""
_UNIT = Scale(0.0, 1.0)


def confusion(outcome: Outcome) -> Html | None:
    """How often each class (a row) was taken for each (a column)."""
    names = outcome.names or ()
    count = len(names)
    if not 2 <= count <= MOST_CLASSES:
        return None
    table = np.zeros((count, count), np.int64)
    np.add.at(table, (outcome.truth, outcome.predicted), 1)
    share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    head = tag("tr", tag("td", "is ↓, taken for →", class_="corner"), *(tag("th", n, scope="col") for n in names))
    rows = []
    for i, name in enumerate(names):
        cells = []
        for j in range(count):
            # The square root: a few mistakes among thousands must be seen.
            # Between the two, neither dark nor light figures would stand out.
            depth = DEEP if share[i, j] > 0.5 else round(75 * math.sqrt(share[i, j]))
            kind = "deep" if depth == DEEP else "right" if i == j else "wrong"
            text = f"{table[i, j]:,}" if table[i, j] else ""
            cells.append(tag("td", text, class_=kind, style=f"--depth:{depth}%"))
        rows.append(tag("tr", tag("th", name, scope="row"), *cells))
    body = tag("table", tag("thead", head), tag("tbody", *rows), class_="confusion" + (" many" if count > 12 else ""))
    frame = tag("div", body, class_="scroll", tabindex="0", role="region", aria_label="Confusions")
    says = "Samples; the colour grows with their share of the row's class."
    return figure(outcome.said("Which class was taken for which"), frame, says)


def class_table(outcome: Outcome) -> Html | None:
    """Each class: how many there are, how many of those said are right, how many of those there were found."""
    rows = per_class(outcome)
    if len(rows) > MOST_ROWS:
        rows = sorted(rows, key=lambda row: (math.isnan(row[4]), row[4]))[:MOST_ROWS]
    total = max(1, len(outcome.truth))
    header = ("class", "samples", "", "precision %", "recall %", "F1 %")
    cells = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag("td", f"{samples:,}", class_="number"),
            tag("td", tag("span", class_="share", style=f"width:{100 * samples / total:.1f}%"), class_="shares"),
            *(tag("td", _percent(value), class_="number") for value in (precision, recall, f1)),
        )
        for name, samples, precision, recall, f1 in rows
    ]
    head = tag("tr", *(tag("th", h, scope="col", class_="number" if k not in (0, 2) else "text")
                       for k, h in enumerate(header)))  # fmt: skip
    frame = tag("div", tag("table", tag("thead", head), tag("tbody", *cells), class_="classes"), class_="scroll",
                tabindex="0", role="region", aria_label="Classes")  # fmt: skip
    left = f" The {MOST_ROWS} with the lowest F1 of {len(outcome.names or ())}." if len(rows) == MOST_ROWS else ""
    return figure(
        outcome.said("Classes and their balance"),
        frame,
        "Precision: how many of those that were taken for the class are of it. Recall: how many of those of the class "
        f"were found. F1: both in one.{left}",
    )


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def curves(outcome: Outcome) -> Iterator[Html]:
    """ROC, precision over recall, and the calibration, where there are probabilities."""
    if outcome.probabilities is None or outcome.names is None:
        return
    scores = [
        (area(outcome.probabilities[:, k], outcome.truth == k), k)
        for k in range(len(outcome.names))
        if 0 < (outcome.truth == k).sum() < len(outcome.truth)
    ]
    if scores:
        two = len(outcome.names) == 2
        chosen = [s for s in scores if s[1] == 1] or scores if two else sorted(scores)[:CURVES]
        chosen = chosen[:CURVES]
        lowest = "" if two or len(scores) <= CURVES else f" The {CURVES} classes with the lowest areas."
        yield _roc(outcome, chosen, lowest)
        yield _precision(outcome, chosen, lowest)
    yield calibration(outcome)


def _counts(outcome: Outcome, k: int) -> tuple[Array, Array]:
    """(right, wrong) among the samples with the highest scores of class k, from none to all; ties at once."""
    assert outcome.probabilities is not None
    score, yes = outcome.probabilities[:, k], outcome.truth == k
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    right, wrong = np.cumsum(yes[order])[last], np.cumsum(~yes[order])[last]
    return np.concatenate([[0.0], right]), np.concatenate([[0.0], wrong])


def _thinned(x: Array, y: Array) -> list[tuple[float, float]]:
    """Points of a curve that are some way apart."""
    points = [(float(x[0]), float(y[0]))]
    for a, b in zip(x[1:].tolist(), y[1:].tolist(), strict=True):
        if abs(a - points[-1][0]) + abs(b - points[-1][1]) >= 2 / POINTS:
            points.append((a, b))
    end = (float(x[-1]), float(y[-1]))
    return points if points[-1] == end else [*points, end]


def _roc(outcome: Outcome, chosen: list[tuple[float, int]], more: str) -> Html:
    assert outcome.names is not None
    plot = Plot(_UNIT, _UNIT, "share of the others that are taken for it", "share of the class that is found")
    plot.straight((0, 0), (1, 1))
    for series, (_, k) in enumerate(chosen):
        right, wrong = _counts(outcome, k)
        plot.line(_thinned(wrong / wrong[-1], right / right[-1]), series)
    names = [(s, f"{outcome.names[k]}: area {value:.3f}") for s, (value, k) in enumerate(chosen)]
    return figure(
        outcome.said("ROC"), legend(names), plot.svg("ROC curves: " + ", ".join(n for _, n in names)),
        f"One point for each threshold; dashed: guessing, area 0.5.{more}",
    )  # fmt: skip


def _precision(outcome: Outcome, chosen: list[tuple[float, int]], more: str) -> Html:
    assert outcome.names is not None
    plot = Plot(
        _UNIT, _UNIT, "recall: share of the class that is found", "precision: share of those taken that are of it"
    )
    names = []
    for series, (_, k) in enumerate(chosen):
        right, wrong = _counts(outcome, k)
        precision = right[1:] / (right[1:] + wrong[1:])
        recall = right[1:] / right[-1]
        plot.line(_thinned(recall, precision), series)
        mean = float(np.sum(np.diff(recall, prepend=0.0) * precision))
        names.append((series, f"{outcome.names[k]}: mean precision {mean:.3f}"))
    usual = [float((outcome.truth == k).mean()) for _, k in chosen]
    if len(usual) == 1:
        plot.level(usual[0], f"its share: {100 * usual[0]:.1f} %")
    return figure(
        outcome.said("Precision and recall"), legend(names),
        plot.svg("Precision over recall: " + ", ".join(n for _, n in names)), f"One point for each threshold.{more}",
    )  # fmt: skip


def calibration(outcome: Outcome) -> Html:
    """How often it is right where it is so sure."""
    assert outcome.probabilities is not None and outcome.names is not None
    if len(outcome.names) == 2:
        sure, right = outcome.probabilities[:, 1].astype(np.float64), outcome.truth == 1
        x, y = f"predicted probability of {outcome.names[1]!r}", "share that is of it"
    else:
        sure = outcome.probabilities[np.arange(len(outcome.truth)), outcome.predicted].astype(np.float64)
        right = outcome.predicted == outcome.truth
        x, y = "predicted probability of what is said", "share that is right"
    places = np.clip((sure * BINS).astype(np.int64), 0, BINS - 1)
    plot = Plot(_UNIT, _UNIT, x, y)
    plot.straight((0, 0), (1, 1))
    points, off = [], 0.0
    for k in range(BINS):
        mine = places == k
        if mine.any():
            told, true = float(sure[mine].mean()), float(right[mine].mean())
            off += float(mine.mean()) * abs(told - true)
            spread = 1.96 * math.sqrt(max(true * (1 - true), 1e-9) / int(mine.sum()))
            plot.line([(told, max(0.0, true - spread)), (told, min(1.0, true + spread))], 0, "faint")
            points.append((told, true))
    plot.line(points, 0)
    plot.dots(points, 0, 3.5)
    return figure(
        outcome.said("Calibration"),
        plot.svg(f"Calibration: on average {100 * off:.1f} points off"),
        f"On the dashed line, what is said with 80 % is right 80 times of 100. On average {100 * off:.1f} points off.",
    )
