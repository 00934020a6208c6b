"""What the report tells, as plain data: the derivation in every notation with its numbers, the check, the curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import storage
from chainrule.checks import Inputs
from chainrule.describe.losses import Targets, losses_of
from chainrule.describe.optimizers import Optimizer
from chainrule.glass.check import CheckReport
from chainrule.network import Network
from chainrule.notation import MATHEMATICAL, derivation, notation_names, remarks
from chainrule.program.symbol import shape_text
from chainrule.program.text import number
from chainrule.report.heat import BYTES, CELLS, Heats
from chainrule.report.network_pictures import diagram_columns
from chainrule.report.opened import Opened
from chainrule.report.outputs import outputs_of
from chainrule.train.history import History
from chainrule.train.monitor import Monitor

Array = NDArray[Any]
STEP = 32
"""Samples of the step whose numbers are shown."""


def derivations(net: Network, X: Inputs, y: Any, kinds: Targets, optimizer: Optimizer | None) -> dict[str, Any]:
    """{"notations": [...], "arrays": [...]}: every line in every notation, and the arrays that the lines refer to.

    The numbers are of one training step on these samples; a notation that writes 1/m at the weights has other ones.
    """
    program = net.derive(optimizer=optimizer, targets=kinds)
    heats = Heats(min(CELLS, BYTES // max(1, 2 * len(program.equations))))
    notations = []
    for name in notation_names():
        table = MATHEMATICAL.get(name)
        trace = net.trace(X, y, training=True, optimizer=optimizer, notation=name)
        arranged = derivation(program, name)
        opened = Opened(name, arranged.program, trace, heats)
        lines = [opened.line(view) for view in arranged.views]
        title, says = (table.title, table.says) if table else ("NumPy", "Executable source; samples are rows.")
        if more := remarks(program, arranged):
            says = f"{says} Here {'; '.join(more)}."
        notations.append(
            {"name": name, "title": title, "says": f"{title}. {says}", "code": table is None, "lines": lines,
             "symbols": opened.symbols}
        )  # fmt: skip
    return {"notations": notations, "arrays": heats.arrays}


def check_rows(report: CheckReport) -> dict[str, Any]:
    """The outcome of the check: whether all is well, a row for each gradient, the equations at fault."""
    rows = [
        {
            "name": g.name,
            "of": g.of,
            "shape": shape_text(g.shape),
            "kind": g.kind,
            "error": f"{g.error:.1e}",
            "ok": g.ok,
        }
        for g in report.gradients
    ]
    return {"ok": bool(report), "rows": rows, "faults": [str(f) for f in report.faults]}


def curves(history: History | None, monitor: Monitor | None) -> list[dict[str, Any]]:
    """The charts: title, name of the horizontal axis and its values, whether logarithmic, and named series."""
    charts = []
    if history is not None and len(history):
        metric = history[-1].metric_name
        # Of several outputs the cost is the metric.
        pairs = [("cost", "Cost")] + ([("metric", metric.capitalize())] if metric not in (None, "cost") else [])
        for column, title in pairs:
            series = [
                (part, history.column(c)) for part, c in (("training", column), ("validation", f"validation_{column}"))
            ]
            charts.append(_chart(title, "epoch", history.column("epoch"), series))
        rates = history.column("learning_rate")
        if len(set(rates.tolist())) > 1:
            charts.append(_chart("Learning rate", "epoch", history.column("epoch"), [("learning rate", rates)]))
    if monitor is not None and monitor.records:
        steps = monitor.column("step")
        weights = monitor.matrices
        plans = [
            ("Cost of each output, of the samples watched", [f"{output}.cost" for output in monitor.outputs], False),
            ("Gradients: ‖∂J/∂W‖", [f"{w}.gradient" for w in weights], True),
            ("Update to weight, a batch", [f"{w}.update" for w in weights], True),
            ("Activations: mean", [f"{a}.mean" for a in monitor.layers], False),
            ("Activations: standard deviation", [f"{a}.std" for a in monitor.layers], False),
            ("Saturated values, share", [f"{a}.saturated" for a in monitor.layers], False),
            ("Dead units, share", [f"{a}.dead" for a in monitor.layers], False),
        ]
        for title, names, log in plans:
            there = [(n.partition(".")[0], monitor.column(n)) for n in names if n in monitor.names]
            if there:
                charts.append(_chart(title, "batch", steps, there, log))
    return [chart for chart in charts if chart["series"]]


def _chart(title: str, over: str, x: Array, series: list[tuple[str, Array]], log: bool = False) -> dict[str, Any]:
    curves = [
        {"name": name, "values": [_value(v) for v in values]} for name, values in series if np.isfinite(values).any()
    ]
    return {"title": title, "over": over, "x": [int(v) for v in x], "log": log, "series": curves}


def _value(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def facts(net: Network, X: Inputs, y: Any, history: History | None) -> list[tuple[str, str]]:
    """The few numbers at the top: (value, what it is)."""
    predicted, cost = net.predict_and_cost(X, y)
    outputs = outputs_of(net.spec)
    scores = [storage.metric(one.loss, one.part(predicted), one.part(y), None) for one in outputs]
    figures = [
        (f"{value:.2%}" if what == "accuracy" else number(float(f"{value:.4g}")), f"{what} {one.name}".rstrip())
        for (what, value), one in zip(scores, outputs, strict=True)
    ]
    figures += [(number(float(f"{cost:.4g}")), "cost J"), (f"{len(outputs[0].part(y)):,}", "samples")]
    figures.append((f"{sum(v.size for v in net.parameters.values()):,}", "parameters"))
    if history is not None and len(history):
        figures.append((str(len(history)), "epoch" if len(history) == 1 else "epochs"))
    return figures


def settings(net: Network, optimizer: Optimizer | None, more: Mapping[str, object]) -> list[tuple[str, str]]:
    """(name, value) of everything that was chosen."""
    spec = net.spec
    facts: list[tuple[str, object]] = [
        (f"inputs {i.name}".rstrip(), f"{i.width}{' tokens' if i.tokens else ''}") for i in spec.sources
    ]
    for column in diagram_columns(net)[1:]:
        inside = f" ({', '.join(' '.join(p.split()) for p in column.parameters)})" if column.parameters else ""
        facts.append((f"layer {column.title}", f"{column.width} wide, {column.words}{inside}"))
    for name, loss, factor in losses_of(spec.loss):
        facts.append((f"loss {name}".rstrip(), loss.name if factor == 1 else f"{number(factor)} {loss.name}"))
    facts += [("reduction", spec.reduction), ("L1", spec.l1), ("L2", spec.l2)]
    if optimizer is not None:
        kept = [f"{k} {v}" for k, v in optimizer.to_dict().items() if k != "type" and v is not None]
        facts.append(("optimizer", f"{type(optimizer).__name__}: {', '.join(kept)}"))
    facts += [("type of numbers", net.dtype.name), ("seed", net.seed), *more.items()]
    return [(name, str(value)) for name, value in facts if value not in (0.0, None) or name == "seed"]
