"""`chainrule train --preset`: a table by the recipe for tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chainrule.cli.scores import tell
from chainrule.data.archives import stem
from chainrule.data.dataset import split_rows
from chainrule.errors import ChainruleError, SpecError, expected
from chainrule.runs.folder import check_out, claim
from chainrule.tabular.doors import read_table_target
from chainrule.tabular.frame import read_frame
from chainrule.train.signals import Terminated, uninterrupted


@dataclass(frozen=True)
class TableOptions:
    """The options of the command that decide the result."""

    data: str
    """A file."""
    target: str | None
    """The column to be predicted; None for the last."""
    task: str | None
    """"classification" or "regression"; None to judge by the column."""
    ignore: tuple[str, ...]
    """Columns that are left out."""
    test: float
    """The part of the rows that is held out to test on."""
    preset: str
    """fast, default or best."""
    time_limit: float | None
    """Seconds of training."""
    seed: int
    """Of all that is drawn."""
    engine: str
    """By name."""
    threads: int | None
    """At most."""


def run(options: TableOptions, out: Path | None, force: bool) -> int:
    """Fit by the recipe, test and save; the exit code.

    Raises SpecError and DataError before anything is trained or written.
    """
    if not 0 < options.test < 1:
        raise SpecError(expected("--test", "above 0 and below 1", options.test))
    if options.time_limit is not None and not (math.isfinite(options.time_limit) and options.time_limit > 0):
        raise SpecError(expected("--time-limit", "seconds above 0", options.time_limit))
    check_out(out, force)
    frame = read_frame(options.data)
    table = read_table_target(frame, options.target, options.task, options.ignore)
    y = table.y
    codes = np.unique(y, return_inverse=True)[1] if table.is_classes else None
    rows, held = split_rows(len(frame), options.test, options.seed, codes)
    estimator = table.estimator(
        preset=options.preset,
        time_limit=options.time_limit,
        random_state=options.seed,
        engine=options.engine,
        n_jobs=options.threads,
    )
    place = claim(out, stem(options.data))
    try:
        what = f"{len(np.unique(y))} classes" if table.is_classes else "a number to predict"
        print(f"{options.data}: {len(table.features.names)} columns, {what} ({table.target}); {len(rows):,} rows to "
              f"train, {len(held):,} to test", flush=True)  # fmt: skip
        tell(options.data, frame.table.notes)
        estimator.fit(table.features.take(rows), y[rows])
        estimator.target_ = table.target
    except (ChainruleError, ValueError, KeyboardInterrupt, Terminated):
        place.give_up()
        raise
    with uninterrupted():
        evaluation = estimator.evaluate(table.features.take(held), y[held])
        estimator.save(place.folder)
    tell(options.data, estimator.notes_)
    print(f"{len(estimator.networks_)} networks, saved in {place.folder}")
    print(f"test {evaluation}")
    return 0
