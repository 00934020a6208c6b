"""`chainrule train` by the recipe for tables: what was found, training, a test that was not learned from, the run."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from chainrule import starting
from chainrule.cli.scores import main_line, tell, waiting
from chainrule.cli.ways import recipe_line
from chainrule.data.archives import stem
from chainrule.data.columns import some
from chainrule.data.dataset import DRAW
from chainrule.errors import ChainruleError, DataError, DataWarning, SpecError, expected, unknown_name
from chainrule.files import printable
from chainrule.group.base import Group
from chainrule.group.started import joined
from chainrule.metrics import Evaluation, of_numbers, over_folds
from chainrule.runs.folder import REPORT, check_out, claim, versions
from chainrule.tabular.base import counted
from chainrule.tabular.classifier import TabularClassifier
from chainrule.tabular.files import STANDARD_INPUT
from chainrule.tabular.frame import Frame, read_frame
from chainrule.tabular.preparation import learn
from chainrule.tabular.recipe import Preset
from chainrule.tabular.roles import Roles, WithTarget, apart
from chainrule.tabular.saved import Fitted
from chainrule.tabular.splits import Rows, Split, folds, split
from chainrule.tabular.told import doubts, held_out, kinds, size_of
from chainrule.train.alive import alive
from chainrule.train.signals import Terminated, exit_code, uninterrupted
from chainrule.train.workers import agreed

LEAST_FOLDS, MOST_FOLDS = 2, 100


@dataclass(frozen=True)
class TableOptions:
    """The options of the command that decide the result."""

    data: str
    """A file; "-" for standard input."""
    targets: tuple[str, ...]
    """The columns to be predicted; () for the last."""
    task: str | None
    """"classification" or "regression"; None to judge by the column."""
    ignore: tuple[str, ...]
    """Columns that are left out."""
    header: bool
    """Whether the first line names the columns."""
    id: str | None
    """What rows are called."""
    group: str | None
    """Rows that are not divided."""
    time: str | None
    """What comes last is tested on."""
    class_weight: str | None
    """"balanced", or None."""
    cv: int | None
    """Folds; None for one test part."""
    quantiles: tuple[float, ...]
    """Levels that are predicted in the place of a number; () for the number."""
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


def levels_of(text: str | None) -> tuple[float, ...]:
    """ "0.1,0.5,0.9" as numbers that rise between 0 and 1; () for None.  Raises SpecError."""
    if text is None:
        return ()
    try:
        levels = tuple(float(level) for level in text.split(","))
    except ValueError:
        levels = ()
    if not levels or not all(a < b for a, b in itertools.pairwise((0.0, *levels, 1.0))):
        raise SpecError(expected("--quantiles", "levels that rise between 0 and 1, 0.1,0.5,0.9 say", text))
    return levels


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
    """Fit by the recipe, test and save; the exit code: 0, 130 after Ctrl-C, or 143 after SIGTERM.

    An interrupt keeps what has an epoch behind it.  Several processes that mpiexec or torchrun has started divide the
    networks; the first one alone tests, saves and prints.

    report: also write report.html, on the test part.  quiet: only the result is printed; as_json: one object in its
    place.  command: the words of the call.
    Raises MissingDependencyError, SpecError, DataError and GroupError before anything is trained or written.
    """
    with joined() as group:
        return _run(options, out, force, progress, report, quiet, as_json, command, group)


def _run(
    options: TableOptions,
    out: Path | None,
    force: bool,
    progress: bool | None,
    report: bool,
    quiet: bool,
    as_json: bool,
    command: str,
    group: Group | None,
) -> int:
    silent, first = quiet or as_json, group is None or group.rank == 0

    def say(text: object) -> None:
        if not silent and first:
            print(text, flush=True)

    with alive(group):
        check_options(options, report)
        if group is not None and options.data == STANDARD_INPUT:
            raise SpecError(
                "Standard input reaches one process alone, and a group reads the table in all: give a file."
            )
        if first:
            check_out(out, force)
        if report:
            from chainrule.report.html import check_packages

            check_packages()
        progress = False if silent or not first else progress
        with waiting(f"reading {options.data}", progress):
            frame = read_frame(options.data, header=options.header)
        table = apart(
            frame, Roles(options.targets, options.ignore, options.id, options.group, options.time), options.task
        )
        frame = frame if table.rows is None else frame.take(table.rows)
        if options.class_weight is not None and not table.is_classes:
            raise SpecError("--class-weight is for classes, and the target is numbers to predict.")
        if options.quantiles and (table.is_classes or len(table.targets) > 1):
            what = "classes" if table.is_classes else "several numbers"
            raise SpecError(f"--quantiles is for one number to predict, and the target is {what}.")
        splits = [split(table, options.test, options.seed)] if options.cv is None else []
        several = [] if options.cv is None else folds(table, options.cv, options.seed)
        learn(table.features)  # says what is wrong with columns before anything is written
        _check_classes(table, [*splits, *several])
    verbose = sys.stderr.isatty() if progress is None else progress
    learned = splits[0][0] if splits else np.arange(len(frame))
    with agreed(group):
        place = claim(out, name_of(options.data)) if first else None
    try:
        if first:
            _tell_found(options, frame, table, learned, splits, say)
        say(recipe_line(options.preset))
        tested = []
        for number, (rows, held) in enumerate(several, 1):
            model = _fit(options, table, rows, verbose, 1 + len(several), group=group)
            with alive(group):
                if first:
                    tested.append(evaluated(model, table, held))
                    say(f"fold {number} of {len(several)}: {tested[-1][0].short()}")
        ended: list[BaseException] = []
        model = _fit(options, table, learned, verbose, 1 + len(several), ended, group)
    except (ChainruleError, ValueError, KeyboardInterrupt, Terminated):
        if place is not None:
            place.give_up()
        raise
    if place is None:
        return exit_code(ended[0] if ended else None)
    claimed = place
    if ended:
        place = place.aside()
    with uninterrupted():
        tested += [evaluated(model, table, held) for _, held in splits]
        model.record_ = {"command": command} | _record(options, table, learned, splits, tested)
        model.save(place.folder)
    if ended:
        starting.tell(place.interrupted(claimed))
    short = "" if model.trained_ is None or ended else model.trained_.short_of_time()
    if short:
        tell(frame.source, [f"{short}; a longer --time-limit is better"])
    say(f"{networks(model)}{validation_words(model)}, saved in {place.folder}")
    if report and not ended:
        about = {"part": "test", "title": stem(options.data), "command": command}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # of classes that are not tested, which was said
            path = model.report(frame.take(splits[0][1]), place.folder / REPORT, **about)
        say(f"report in {path}")
    if as_json:
        record = model.record_
        print(json.dumps({"run": str(place.folder), "data": record["data"]["name"], "test": record["result"]}))
    else:
        tell_result(options, table, tested, say)
    return exit_code(ended[0] if ended else None)


def name_of(data: str) -> str:
    """Of the data, for the run."""
    return "table" if data == STANDARD_INPUT else stem(data)


def _check_classes(table: WithTarget, splits: Sequence[Split]) -> None:
    """Raises DataError for a test part without a class that is learned."""
    for rows, held in splits if table.is_classes else ():
        if not np.isin(table.y[held], table.y[rows]).any():
            names = some(sorted({str(name) for name in table.y[held]}))
            every = len(np.unique(table.y)) == len(table.y)
            why = f"Is {table.targets[0]!r} the right column?" if every else "Give more rows, or another split."
            raise DataError(
                f"{table.features.source}: nothing can be tested: the test part's classes ({names}) are none that the "
                f"other rows have. {why}"
            )


def check_options(options: TableOptions, report: bool) -> None:
    """All faults of the plain options at once, before the data are read."""
    faults = []
    if not 0 < options.test < 1:
        faults.append(expected("--test", "above 0 and below 1", options.test))
    limit = options.time_limit
    if limit is not None and not (math.isfinite(limit) and limit > 0):
        faults.append(expected("--time-limit", "seconds above 0", limit))
    if options.seed < 0:
        faults.append(expected("--seed", "at least 0", options.seed))
    if options.threads is not None and options.threads < 1:
        faults.append(expected("--threads", "at least 1", options.threads))
    if options.preset not in get_args(Preset):
        faults.append(unknown_name("preset", options.preset, get_args(Preset)))
    if options.class_weight not in (None, "balanced"):
        faults.append(expected("--class-weight", "balanced", options.class_weight))
    if options.cv is not None and not LEAST_FOLDS <= options.cv <= MOST_FOLDS:
        faults.append(expected("--cv", f"from {LEAST_FOLDS} to {MOST_FOLDS} folds", options.cv))
    if options.cv is not None and report:
        faults.append("--report shows a test part, and --cv tests on all rows: leave out one of them.")
    if options.group is not None and options.time is not None:
        faults.append("--group and --time are two ways to divide the rows: leave out one of them.")
    if faults:
        raise SpecError(faults)


def _fit(
    options: TableOptions,
    table: WithTarget,
    rows: Rows,
    verbose: bool,
    fits: int,
    ended: list[BaseException] | None = None,
    group: Group | None = None,
) -> Fitted:
    """An estimator that learned from these rows.  What it has to say of them was told already.

    ended: gets the interrupt that ended the training after its first epoch; None: it is raised.  group: of workers.
    """
    model = table.estimator(
        preset=options.preset,
        time_limit=None if options.time_limit is None else options.time_limit / fits,
        random_state=options.seed,
        engine=options.engine,
        n_jobs=options.threads,
        verbose=verbose,
        **({} if options.class_weight is None else {"class_weight": options.class_weight}),
        **({"quantiles": options.quantiles} if options.quantiles else {}),
    )
    groups = None if table.groups is None else table.groups[rows]
    model._ended = ended
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(table.features.take(rows), table.y[rows], groups=groups, group=group)
    model._ended = None
    model.targets_, model.beside_, model.id_, model.header_ = table.targets, table.beside, options.id, options.header
    return model


def evaluated(model: Fitted, table: WithTarget, held: Rows) -> list[Evaluation]:
    """How good it is on these rows: one for each target.  Rows of classes that it had none of are told."""
    y = table.y[held]
    if isinstance(model, TabularClassifier):
        known = np.isin(y, model.classes_)
        if not known.all():
            names = sorted({str(name) for name in y[~known]})
            many = counted(int((~known).sum()), "row")
            tell(table.features.source, [f"not tested: {many} of classes that only the test part has ({some(names)})"])
        held, y = held[known], y[known]
    features = table.features.take(held)
    if y.ndim == 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of many classes, which was said
            return [model.evaluate(features, y)]
    predicted = model.predict(features)
    return [of_numbers(predicted[:, k : k + 1], y[:, k]) for k in range(y.shape[1])]


def _tell_found(
    options: TableOptions,
    frame: Frame,
    table: WithTarget,
    learned: Rows,
    splits: Sequence[Split],
    say: Callable[[object], None],
) -> None:
    """What the table holds, on standard output; what may not be meant so, on standard error, a line each."""
    name = printable(frame.source)
    if table.is_classes:
        what = f"{len(np.unique(table.y))} classes"
    else:
        what = "a number to predict" if len(table.targets) == 1 else f"{len(table.targets)} numbers to predict"
    if splits:
        how = " by group" if options.group else " by time" if options.time else ""
        rows = f"{len(learned):,} rows to train, {len(splits[0][1]):,} to test{how}"
    else:
        rows = f"{len(learned):,} rows to train, tested in {options.cv} folds"
    names = ", ".join(table.targets)
    say(f"{name}: {counted(len(table.features.names), 'column')}, {what} ({names}); {rows}")
    features = table.features.take(learned)
    preparation = learn(features)
    for line in kinds(preparation, features):
        say(f"  {line}")
    for note in (*frame.table.notes, *table.notes, *doubts(preparation, features, table.y[learned], table.is_classes)):
        tell(frame.source, [note])


def tell_result(
    options: TableOptions, table: WithTarget, tested: Sequence[Sequence[Evaluation]], say: Callable[[object], None]
) -> None:
    """The metrics beside those of a prediction that looks at nothing; of folds their mean and deviation.

    The line of the first metric alone is printed in any case.
    """
    for k, name in enumerate(table.targets):
        each = [evaluations[k] for evaluations in tested]
        of = f" of {name}" if len(table.targets) > 1 else ""
        if len(each) == 1:
            say(f"{name}: {each[0]}" if of else each[0])
        else:
            say(f"{len(each)} folds{of}: {over_folds(each)}")
        if not any(evaluation.is_better(balanced=options.class_weight is not None) for evaluation in each):
            what = f"the predictions of {name!r} are no better than always {each[0].what}"
            longer = ", or a longer --time-limit," if options.time_limit is not None else ""
            why = f"{what}: nothing was learned that helps. Other columns or more rows{longer} may help"
            tell(table.features.source, [why])
        print(main_line(f"test{of}", table.is_classes, float(np.mean([e.metrics[e.main] for e in each]))))


def networks(model: Fitted) -> str:
    """ "4 networks, 71,204 parameters"."""
    return size_of(model.networks_) if model.networks_ else "no column says anything: always the same is predicted"


def validation_words(model: Fitted) -> str:
    """ ", validation error 12.3", of rows that members held out; of classes the log-loss."""
    told = held_out(model.trained_)
    if told is None:
        return ""
    what, value = told
    return f", validation log-loss {value:.4f}" if what == "log-loss" else f", {main_line('validation', False, value)}"


def _record(
    options: TableOptions,
    table: WithTarget,
    learned: Rows,
    splits: Sequence[Split],
    tested: Sequence[Sequence[Evaluation]],
) -> dict[str, Any]:
    """What the run says for people."""
    path = Path(options.data)
    return {
        "options": {**dataclasses.asdict(options), "data": printable(options.data)},
        "data": {
            "name": printable(name_of(options.data)),
            "source": printable(path.resolve() if path.exists() else options.data),
            "training": len(learned),
            "test": len(splits[0][1]) if splits else 0,
            "draw": DRAW,
        },
        "versions": versions(),
        "result": {name: [evaluations[k].to_dict() for evaluations in tested] for k, name in enumerate(table.targets)},
    }
