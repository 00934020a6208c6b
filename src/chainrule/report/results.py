"""What stands first on a page: how good the predictions are, in figures and charts."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.report.class_charts import class_table, confusion, curves
from chainrule.report.judged import Outcome, surest_mistakes
from chainrule.report.markup import Html, tag
from chainrule.report.number_charts import numbers
from chainrule.report.plot import figure


def first(outcome: Outcome) -> list[Html]:
    """The chart that says most of an output: confusions, or predicted over true numbers."""
    if outcome.names is not None:
        shown = confusion(outcome)
        return [] if shown is None else [shown]
    return [next(numbers(outcome))] if _are_numbers(outcome) else []


def more(outcome: Outcome, *, images: bool) -> list[Html]:
    """The others.  images: whether the worst mistakes are shown as such elsewhere."""
    shown: list[Html | None] = []
    if outcome.names is not None:
        shown += [class_table(outcome), *curves(outcome)]
    elif _are_numbers(outcome):
        shown += list(numbers(outcome))[1:]
    if not images:
        shown.append(mistakes(outcome))
    return [chart for chart in shown if chart is not None]


def _are_numbers(outcome: Outcome) -> bool:
    return (
        outcome.truth.shape == outcome.predicted.shape
        and outcome.truth.ndim == 2
        and "RMSE" in (outcome.evaluation.metrics)
    )


def mistakes(outcome: Outcome) -> Html | None:
    """The samples that the network was surest of and wrong about, or farthest from; None where there are none."""
    rows = surest_mistakes(outcome)
    if not rows:
        return None
    numbers = outcome.names is None
    header = ("sample", "true", "predicted", "difference") if numbers else ("sample", "is", "taken for", "sure")
    called = outcome.called or (lambda k: f"{k + 1:,}")
    table = _table(header, [(called(k), *row) for k, *row in rows], "Mistakes", "number" if numbers else "text")
    title = "The largest errors" if numbers else "The surest mistakes"
    says = "Samples are counted from 1, in the order of the data."
    return figure(outcome.said(title), table, says if outcome.called is None else "Samples as the data call them.")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], says: str, kind: str) -> Html:
    head = tag("thead", tag("tr", *(tag("th", name, scope="col", class_=kind) for name in header)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell, class_=kind) for cell in row)) for row in rows))
    return tag(
        "div", tag("table", head, body, class_="classes"), class_="scroll", tabindex="0", role="region", aria_label=says
    )
