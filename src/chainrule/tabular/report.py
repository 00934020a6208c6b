"""The report of a fitted estimator of tables: what came out of all members, the derivation of the first."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError
from chainrule.files import replace_text
from chainrule.files.folder import member
from chainrule.metrics import Evaluation, of_numbers
from chainrule.network import Network
from chainrule.report import html
from chainrule.report.about import About, day
from chainrule.report.html import InlineReport
from chainrule.report.judged import Outcome
from chainrule.report.whole import Whole
from chainrule.runs.folder import TABLE
from chainrule.tabular.base import BaseTabular
from chainrule.tabular.description import optimizer
from chainrule.tabular.frame import Frame, read_frame
from chainrule.tabular.inputs import TableInputs
from chainrule.tabular.members import Trained, as_given
from chainrule.tabular.roles import Roles, apart
from chainrule.tabular.splits import split
from chainrule.train.history import History

Array = NDArray[Any]
REPEATS = 3
"""Times that each column is mixed."""
ROWS = 2_000
"""That columns are mixed between, evenly taken."""


def write(
    trained: Trained | None,
    path: str | os.PathLike[str] | None,
    inputs: TableInputs,
    targets: Array,
    whole: Whole,
    options: dict[str, Any],
) -> Path | InlineReport:
    """The page on these rows, at a path, or for a notebook.  Raises DataError, MissingDependencyError."""
    if trained is None:
        raise DataError("There is no network to report on: the table had no column to learn from.")
    if path is not None:
        html.check_report(path)
    net = trained.networks[0]
    X, y = as_given(trained, inputs, targets)
    names = {field.name for field in dataclasses.fields(About)}
    about = About(**{name: value for name, value in options.items() if name in names})
    given = {name: value for name, value in options.items() if name not in names}
    page = html.page_about(
        net, X, y, about, whole, history=History(), optimizer=optimizer(net, trained.recipe), **given
    )
    if path is None:
        return InlineReport(page)
    replace_text(path, page)
    return Path(path)


def whole(
    said: Sequence[Outcome],
    rises: Mapping[str, float],
    loss: str,
    networks: Sequence[Network],
) -> Whole:
    """What is told of all members.  rises: of the loss, by column."""
    return Whole(
        said,
        rises,
        loss,
        [net.history or History() for net in networks],
        sum(array.size for net in networks for array in net.parameters.values()),
    )


def outcomes(
    evaluation: Evaluation,
    predicted: Array,
    targets: Array,
    names: tuple[str, ...] | None,
    columns: tuple[str, ...],
    called: Callable[[int], str],
) -> list[Outcome]:
    """Of classes; or of each target of its own, whose names the columns are.  called: what a row is called."""
    target = columns[0] if len(columns) == 1 else ""
    if names is not None:
        places = predicted.argmax(axis=1)
        return [Outcome(evaluation, targets, places, names, predicted, target=target, called=called)]
    if targets.shape[1] == 1 or targets.shape != predicted.shape:
        return [Outcome(evaluation, targets, predicted, target=target, called=called)]
    apart = [slice(k, k + 1) for k in range(targets.shape[1])]
    return [
        Outcome(of_numbers(predicted[:, k], targets[:, k]), targets[:, k], predicted[:, k], name=name, called=called)
        for k, name in zip(apart, columns or tuple(f"target {k.start + 1}" for k in apart), strict=True)
    ]


def test_part(model: BaseTabular, folder: Path) -> Frame:
    """The rows that a run was tested on: its data read anew, and divided as then.

    Raises DataError where these are not where they were, or are others.
    """
    record, options = model.record_.get("data") or {}, model.record_.get("options") or {}
    source = record.get("source")
    if source is None or (not options.get("targets") and not model.targets_):
        raise DataError(f"{folder}: does not say what it was trained on; give the data.")
    if options.get("cv") is not None:
        raise DataError(f"{folder}: was tested on all rows, fold by fold; give data that it was not trained on.")
    try:
        frame = read_frame(source, header=model.header_)
        roles = Roles(
            tuple(options["targets"]), tuple(options["ignore"]), *(options[k] for k in ("id", "group", "time"))
        )
        table = apart(frame, roles, options["task"])
        _, held = split(table, options["test"], options["seed"], record.get("draw", 1))
    except DataError as fault:
        raise DataError(f"{folder}: its data cannot be read again; give the data. {fault}") from None
    if len(held) != record.get("test"):
        raise DataError(f"{folder}: {source} is not what it was trained on any more; give the data.")
    return frame.take(held if table.rows is None else table.rows[held])


def about(model: BaseTabular, folder: Path) -> dict[str, Any]:
    """What a page says of a run beside its numbers."""
    trained = datetime.datetime.fromtimestamp(member(folder, TABLE).stat().st_mtime)
    return {"command": model.record_.get("command", ""), "date": day(trained)}


def some(rows: int) -> NDArray[np.int64]:
    """Rows that columns are mixed between."""
    return np.linspace(0, rows - 1, min(rows, ROWS)).astype(np.int64)
