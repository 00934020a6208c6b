"""What is told of a network: its summary, and its score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.losses import Cost, Loss, Losses, losses_of
from chainrule.describe.network import NetworkSpec
from chainrule.program.symbol import shape_text
from chainrule.program.text import number
from chainrule.rules.forward import forward

Array = NDArray[Any]


def metric(loss: Loss | Cost | Losses, prediction: Array, target: Array | None, w: Array | None) -> tuple[str, float]:
    """("accuracy", share of right answers) or ("error", √ of the mean squared error), weighted if there are weights.

    Answers are samples where each is of one class; else the outputs of all samples, yes or no each.
    """
    assert target is not None
    weight = None if w is None else w[:, 0]
    right: Array
    if loss.classes:
        right = prediction.argmax(axis=1) == (target if target.ndim == 1 else target.argmax(axis=1))
    elif isinstance(loss, Loss) and loss.decides:
        yes = target > loss.middle
        one_class = target.shape[1] > 1 and bool((yes.sum(axis=1) == 1).all())
        if one_class:
            right = prediction.argmax(axis=1) == yes.argmax(axis=1)
        else:
            right = ((prediction > loss.middle) == yes).mean(axis=1)
    else:
        square = np.square(prediction.astype(np.float64) - target).mean(axis=1)
        return "error", math.sqrt(float(np.average(square, weights=weight)))
    return "accuracy", float(np.average(right, weights=weight))


Rows = list[tuple[str, str, str]]


def summary_rows(spec: NetworkSpec, parameters: Mapping[str, Array], dtype: str) -> tuple[Rows, Rows, str]:
    """A row for each input and layer (what it is, the shape that leaves it, its parameters), one for each named output
    (its name, shape, loss), and the line of the total.

    What stands within a branch is further to the right, and comes before the line of what joins the branches.
    """
    rows = [
        (f"inputs {i.name}".rstrip(), shape_text(i.symbol.shape) + (" tokens" if i.tokens else ""), "")
        for i in spec.sources
    ]
    written = forward(spec)
    for node, output, declared in zip(spec.graph.nodes, written.outputs, written.declared, strict=True):
        count = sum(parameters[s.name].size for s in declared if s.role == "parameter")
        rows.append(("  " * node.depth + node.layer.words, shape_text(output.shape), f"{count:,}" if count else ""))
    if written.of_losses:
        count = sum(parameters[s.name].size for s in written.of_losses)
        rows.append(("loss", "", f"{count:,}"))
    total = sum(v.size for v in parameters.values())
    if spec.precision != "highest":
        dtype = f"{dtype}, precision {spec.precision}"
    outputs = []
    if isinstance(spec.loss, Losses):
        for (name, at), (_, loss, factor) in zip(spec.ends, losses_of(spec.loss), strict=True):
            judged = loss.name if factor == 1 else " ".join((number(factor), loss.name))
            outputs.append((" ".join(("output", name)), shape_text(written.outputs[at].shape), judged))
        return rows, outputs, f"{total:,} parameters, {dtype}"
    return rows, outputs, f"loss {spec.loss.name}; {total:,} parameters, {dtype}"


def summary(spec: NetworkSpec, parameters: Mapping[str, Array], dtype: str) -> str:
    """The rows of `summary_rows` as a table."""
    rows, outputs, total = summary_rows(spec, parameters, dtype)
    a = max(len(row[0]) for row in (*rows, *outputs))
    b, c = (max(len(row[k]) for row in rows) for k in (1, 2))
    lines = [f"{row[0]:<{a}}   {row[1]:<{b}}   {row[2]:>{c}}".rstrip() for row in rows]
    lines += [f"{name:<{a}}   {shape:<{b}}   {judged}" for name, shape, judged in outputs]
    return "\n".join([*lines, total])
