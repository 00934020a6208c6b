"""From a whole table, with its target, to a fitted estimator; and back from the folder that it was saved to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.data.columns import some
from chainrule.data.readers import names_of
from chainrule.data.targets import Task, check_task, is_classes
from chainrule.errors import DataError, unknown_name
from chainrule.runs import run as runs
from chainrule.runs.run import Run
from chainrule.tabular import saved
from chainrule.tabular.classifier import TabularClassifier
from chainrule.tabular.frame import Frame, read_frame
from chainrule.tabular.regressor import TabularRegressor
from chainrule.tabular.saved import Fitted


def fit_table(
    data: Any, target: str, *, task: Task | None = None, ignore: str | tuple[str, ...] = (), **options: Any
) -> Fitted:
    """A fitted TabularClassifier or TabularRegressor of a whole table: a data frame, or the path of a file.

        model = cr.fit_table("adult.csv", target="income")
        print(model.evaluate("test.csv"))

    target: the column to predict.  task: "classification" or "regression"; by default texts are classes, and so are
    whole numbers if there are few (up to 20, each 5 times or more, or two).  ignore: columns to leave out.
    options: of the estimator (preset="fast", random_state=0, ...).
    Raises DataError for columns that are not there, targets that are missing, and as the estimators do.
    """
    left_out = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    table = read_table_target(read_frame(data, "The data"), target, task, left_out)
    estimator = table.estimator(**options)
    estimator.fit(table.features, table.y)
    estimator.target_ = table.target
    return estimator


@dataclass(frozen=True, eq=False)
class WithTarget:
    """A table apart from what is to be predicted of it."""

    features: Frame
    """What it is predicted from."""
    y: Any
    """(m,) classes, or numbers."""
    target: str
    """The name of its column."""
    is_classes: bool
    """Whether it is classes."""

    def estimator(self, **options: Any) -> Fitted:
        """One that fits the target, not yet fitted."""
        return TabularClassifier(**options) if self.is_classes else TabularRegressor(**options)


def read_table_target(
    frame: Frame, target: str | None, task: str | None = None, ignore: tuple[str, ...] = ()
) -> WithTarget:
    """A table whose target is one of its columns, by default the last.  Raises DataError as `fit_table`."""
    check_task(task)
    left_out = names_of(ignore, frame.names)
    kept = [name for name in frame.names if name not in left_out]
    target = target if target is not None or not kept else kept[-1]
    for name in (target, *left_out):
        if name not in frame.names:
            raise DataError(f"{frame.source}: {unknown_name('column', str(name), frame.names)}")
    assert target is not None
    if target in left_out:
        raise DataError(f"{frame.source}: the column {target!r} cannot both be the target and be left out.")
    y, is_classes = _targets(frame, target, task)
    features = frame.without((target, *left_out))
    if not features.names:
        raise DataError(f"{frame.source}: there is no column to learn from beside the target.")
    return WithTarget(features, y, target, is_classes)


def load_run(folder: str | os.PathLike[str], *, engine: str = "auto") -> Run | Fitted:
    """What `chainrule train` or an estimator's `save` left in a folder; nothing in its files is executed.

    A fitted TabularClassifier or TabularRegressor comes back as itself; of other runs a `Run`.  Both predict, evaluate
    and hold their networks.
    Raises DataError where there is none, or its files are damaged or not of one run.
    """
    if saved.is_table_run(folder):
        return saved.load(folder, engine=None if engine == "auto" else engine)
    return runs.load_run(folder, engine=engine)


def _targets(frame: Frame, name: str, task: str | None) -> tuple[Any, bool]:
    """The targets, and whether they are classes."""
    kind = frame.kind(name) if task != "classification" else "text"
    if kind == "time":
        raise DataError(f"{frame.source}: the target {name!r} holds dates or times; make numbers or classes of them.")
    if kind == "text" and task != "regression":
        texts = frame.texts(name)
        _check_present(frame, name, texts.codes < 0)
        return np.array(texts.words, dtype=object)[texts.codes], True
    values = frame.numbers(name)
    _check_present(frame, name, np.isnan(values))
    if task is None and np.isfinite(values).all() and is_classes(values, len(np.unique(values))):
        return values.astype(np.int64), True
    return values, False


def _check_present(frame: Frame, name: str, missing: Any) -> None:
    rows = np.flatnonzero(missing)
    if len(rows):
        places = some([frame.place(int(row)) for row in rows])
        raise DataError(f"{frame.source}: the target {name!r} has no value in {places}. Leave such rows out.")
