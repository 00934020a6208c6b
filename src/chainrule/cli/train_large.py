"""`chainrule train` of a Parquet file larger than memory: a sample tells what is in it, rows left out test it."""

from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import starting
from chainrule.blocks import Blocks
from chainrule.blocks.tables import PARQUET, Batches, Table, arrow, batches_of
from chainrule.cli.scores import tell, waiting
from chainrule.cli.train_table import (
    TableOptions,
    check_options,
    evaluated,
    name_of,
    networks,
    tell_result,
    validation_words,
)
from chainrule.cli.ways import recipe_line
from chainrule.errors import ChainruleError, SpecError
from chainrule.files import printable
from chainrule.group.started import started_by
from chainrule.runs.folder import check_out, claim, versions
from chainrule.tabular.base import counted
from chainrule.tabular.frame import read_frame
from chainrule.tabular.preparation import learn
from chainrule.tabular.roles import Roles, WithTarget, apart
from chainrule.tabular.saved import Fitted
from chainrule.tabular.stream import Part, Rest, parts, tested
from chainrule.tabular.survey import SAMPLED, Sample
from chainrule.tabular.told import doubts, kinds
from chainrule.train.signals import Terminated, exit_code, uninterrupted

LARGE = 1 << 30
"""Bytes of a Parquet file's columns from which on it is read part by part."""
TESTED = 100_000
"""Rows that are tested on at most."""


def is_large(data: str) -> bool:
    """Whether this is a Parquet file of many bytes."""
    path = Path(data)
    if path.suffix.lower() not in PARQUET or not path.is_file() or path.stat().st_size < LARGE // 64:
        return False
    try:
        with arrow("parquet", data).ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            return bool(sum(file.metadata.row_group(k).total_byte_size for k in groups) >= LARGE)
    except Exception:  # whatever is wrong with it is said by who reads it
        return False


def run(
    options: TableOptions,
    out: Path | None,
    force: bool,
    progress: bool | None = None,
    report: bool = False,
    *,
    quiet: bool = False,
    as_json: bool = False,
    command: str = "",
) -> int:
    """Fit by the recipe, test and save; the exit code and the arguments: as of a table in memory (train_table.py).

    Raises SpecError and DataError before anything is trained or written.
    """
    silent = quiet or as_json

    def say(text: object) -> None:
        if not silent:
            print(text, flush=True)

    check_options(options, report)
    _check(options, report)
    check_out(out, force)
    progress = False if silent else progress
    batches = batches_of(options.data)
    roles = Roles(options.targets, options.ignore, options.id)
    share = min(options.test, TESTED / max(1, batches.rows))
    with waiting(f"reading {options.data}", progress):
        some, held = _looked_at(batches, share, options.seed)
    frame = read_frame(some, options.data)
    table = apart(frame, roles, options.task)
    if options.class_weight is not None and not table.is_classes:
        raise SpecError("--class-weight is for classes, and the target is numbers to predict.")
    preparation = learn(table.features)
    test = apart(read_frame(held, options.data), roles, options.task)
    features = list(table.features.names)
    place = claim(out, name_of(options.data))
    ended: list[BaseException] = []
    try:
        _tell_found(options, table, batches.rows - len(held), len(held), say)
        for line in kinds(preparation, table.features):
            say(f"  {line}")
        for note in (*table.notes, *doubts(preparation, table.features, table.y, table.is_classes)):
            tell(options.data, [note])
        say(recipe_line(options.preset))
        model = table.estimator(
            preset=options.preset,
            time_limit=options.time_limit,
            random_state=options.seed,
            engine=options.engine,
            n_jobs=options.threads,
            verbose=sys.stderr.isatty() if progress is None else progress,
            **({} if options.class_weight is None else {"class_weight": options.class_weight}),
        )
        _fit(model, batches, table, features, share, options.seed, ended)
    except (ChainruleError, ValueError, KeyboardInterrupt, Terminated):
        place.give_up()
        raise
    claimed = place
    if ended:
        place = place.aside()
    with uninterrupted():
        model.targets_, model.beside_, model.id_, model.header_ = table.targets, table.beside, options.id, True
        result = [evaluated(model, test, np.arange(len(test.features)))]
        model.record_ = {"command": command} | _record(options, table, batches.rows - len(held), len(held), result)
        model.save(place.folder)
    if ended:
        starting.tell(place.interrupted(claimed))
    say(f"{networks(model)}{validation_words(model)}, saved in {place.folder}")
    if as_json:
        record = model.record_
        print(json.dumps({"run": str(place.folder), "data": record["data"]["name"], "test": record["result"]}))
    else:
        tell_result(options, test, result, say)
    return exit_code(ended[0] if ended else None)


def _check(options: TableOptions, report: bool) -> None:
    """What goes with tables in memory alone."""
    given = [
        name
        for name, is_one in (
            ("--cv", options.cv is not None),
            ("--group", options.group is not None),
            ("--time", options.time is not None),
            ("--report", report),
        )
        if is_one
    ]
    if (by := started_by()) is not None:
        raise SpecError(
            f"{options.data} has more than {LARGE / 1e9:.1f} GB of columns, and is read part by part by one process; "
            f"{by} has started several."
        )
    if given:
        raise SpecError(
            f"{', '.join(given)}: of tables that are held in memory as a whole. {options.data} has more than "
            f"{LARGE / 1e9:.1f} GB of columns, and is read part by part: leave such options out."
        )


def _looked_at(batches: Batches, share: float, seed: int) -> tuple[Any, Any]:
    """(a sample of the rows that are learned from, the rows that are tested on), as tables of pyarrow."""
    pa = arrow("lib", batches.what)
    sample, held = Sample(SAMPLED, seed), []
    everything = Blocks.of(Table(batches, None, None, None, bare=True))
    for part in parts(everything):
        there = tested(part.first, len(part.X), share, seed)
        held.append(part.X.filter(pa.array(there)))
        X = part.X.filter(pa.array(~there))
        sample.add(Part(part.first, X, np.zeros(len(X)), None))
    return sample.settled()[0], pa.concat_tables(held)


def _fit(
    model: Fitted,
    batches: Batches,
    table: WithTarget,
    features: list[str],
    share: float,
    seed: int,
    ended: list[BaseException],
) -> None:
    targets = list(table.targets)
    blocks = Rest(Blocks.of(Table(batches, targets, None, features)), share, seed)
    model._ended = ended
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what was said of the sample
        model.fit(blocks)
    model._ended = None


def _tell_found(options: TableOptions, table: WithTarget, learned: int, held: int, say: Any) -> None:
    if table.is_classes:
        what = f"{len(np.unique(table.y))} classes"
    else:
        what = "a number to predict" if len(table.targets) == 1 else f"{len(table.targets)} numbers to predict"
    names = ", ".join(table.targets)
    say(
        f"{printable(options.data)}: {counted(len(table.features.names), 'column')}, {what} ({names}); "
        f"{learned:,} rows to train, {held:,} to test; what follows is of a sample of {len(table.features):,}"
    )


def _record(
    options: TableOptions, table: WithTarget, learned: int, held: int, result: list[list[Any]]
) -> dict[str, Any]:
    """What the run says for people."""
    return {
        "options": {**dataclasses.asdict(options), "data": printable(options.data)},
        "data": {
            "name": printable(name_of(options.data)),
            "source": printable(Path(options.data).resolve()),
            "training": learned,
            "test": held,
        },
        "versions": versions(),
        "result": {name: [evaluations[k].to_dict() for evaluations in result] for k, name in enumerate(table.targets)},
    }
