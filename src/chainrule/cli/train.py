"""`chainrule train`: data to network to test result, and the run's folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import metrics, starting
from chainrule.cli.choices import DEFAULT_LOSS, activation_of, hidden_layers, loss_of, make_optimizer, output_activation
from chainrule.cli.prepared import Prepared, outputs_of, prepare
from chainrule.cli.scores import score, score_line, tell, waiting
from chainrule.cli.train_options import TrainOptions, check, default_epochs
from chainrule.data import Dataset, TargetEncoder
from chainrule.data.dataset import DRAW
from chainrule.data.readers import read
from chainrule.describe.layers import Dense
from chainrule.describe.losses import Loss
from chainrule.describe.optimizers import Optimizer
from chainrule.errors import ChainruleError, DivergedError
from chainrule.files import printable
from chainrule.group.base import Group
from chainrule.group.started import joined
from chainrule.metrics import Evaluation
from chainrule.network import Network
from chainrule.runs.decode import are_probabilities, decode, shares
from chainrule.runs.folder import REPORT, Settings, check_out, claim, versions
from chainrule.train.callbacks import Callback, CSVLog, EarlyStopping
from chainrule.train.checkpoint import kept
from chainrule.train.history import History, describe_record
from chainrule.train.monitor import Monitor
from chainrule.train.signals import Terminated, exit_code, uninterrupted
from chainrule.train.workers import agreed

RECORDS = 200
"""Of the monitor over a whole fit, for a report."""
NEVER = sys.maxsize
"""Epochs without gain that end no training: the best is kept all the same."""
MEANINGLESS = 1e3
"""A mean cost above it is looked at: of classes, and of numbers brought to deviation 1, none is so large that is of
use."""


def run(
    options: TrainOptions,
    out: Path | None,
    force: bool,
    progress: bool | None,
    report: bool = False,
    way: str | None = None,
    *,
    quiet: bool = False,
    as_json: bool = False,
    command: str = "",
) -> int:
    """Train, test and save; the exit code: 0, 130 after Ctrl-C, or 143 after SIGTERM.

    One of several processes that mpiexec or torchrun has started trains with the others; the first one alone tests,
    saves and prints.
    report: also write report.html, on the test part.  way: what is said of tables, which have another one.
    quiet: only the last line is printed; as_json: one object in its place.  command: the words of the call.
    Raises MissingDependencyError, SpecError, DataError and GroupError before anything is trained or written;
    DivergedError after the last finite weights have been saved.
    """
    with joined() as group:
        return _run(options, out, force, progress, report, way, quiet, as_json, command, group)


def _run(
    options: TrainOptions,
    out: Path | None,
    force: bool,
    progress: bool | None,
    report: bool,
    way: str | None,
    quiet: bool,
    as_json: bool,
    command: str,
    group: Group | None,
) -> int:
    first_of_all = group is None or group.rank == 0

    def say(text: object) -> None:
        if not (quiet or as_json) and first_of_all:
            print(text, flush=True)

    with agreed(group):
        check(options)
        if first_of_all:
            check_out(out, force)
        if report:
            from chainrule.report.html import check_packages

            check_packages()
        given = {name: getattr(options, name) for name in ("momentum", "weight_decay", "clip_norm")}
        optimizer = make_optimizer(options.optimizer, options.learning_rate, options.schedule, **given)
        hidden = hidden_layers(options.hidden, options.activation, options.dropout, options.normalisation)
        if options.loss is not None:
            loss_of(options.loss, options.label_smoothing)
        progress = False if quiet or as_json or not first_of_all else progress
        with waiting(f"reading {options.data}", progress):
            data = read(options.data, options.target, options.task, options.ignore, options.header)
        if first_of_all:
            tell(options.data, data.notes)
        text = options.loss or DEFAULT_LOSS[data.task]
        chosen = options.output_activation
        last = output_activation(text, data.task) if chosen is None else activation_of(chosen)
        loss = loss_of(text, options.label_smoothing)
        units = outputs_of(data, loss)
        with waiting("dividing and standardising", progress):
            data = data.split(options.test, options.seed) if data.X_test is None else data
            prepared = prepare(data, options, loss, units)
        samples = len(prepared.X)
        epochs = default_epochs(samples, options.batch_size) if options.epochs is None else options.epochs
        options = dataclasses.replace(options, epochs=epochs, loss=text)
        network = Network(
            inputs=prepared.X.shape[1],
            layers=[*hidden, Dense(units, last)],
            loss=loss,
            l1=options.l1,
            l2=options.l2,
            precision=options.precision,
            dtype=options.dtype,
            seed=options.seed,
            engine=options.engine,
        )
        stopping = None
        if options.early_stopping is not None or prepared.validation is not None:
            stopping = EarlyStopping(options.early_stopping or NEVER)
        steps = epochs * -(-samples // options.batch_size)
        watching = [Monitor(every=max(1, steps // RECORDS))] if report else []
        first = {name: array.copy() for name, array in network.parameters.items()}
    with agreed(group):
        place = claim(out, data.name) if first_of_all else None
    try:
        say(_describe(data, prepared))
        if way is not None:
            say(way)
        say(network.summary())
        log = CSVLog(place.log if place is not None else os.devnull)
        callbacks = [log, *([] if stopping is None else [stopping]), *watching]
        failure = _fit(network, prepared, options, epochs, optimizer, callbacks, progress, group)
        # Ctrl-C within the first epoch leaves a network that has learned something; before it, while compiling, none.
        # A part of an epoch does not take the place of a run that was trained.
        same = all(np.array_equal(array, first[name]) for name, array in network.parameters.items())
        worthless = same or place is None or place.replaces or isinstance(failure, DivergedError)
        if failure is not None and not network.history and worthless:
            raise failure
    except (ChainruleError, KeyboardInterrupt, Terminated):
        if place is not None:
            place.give_up()
        raise
    del first
    if place is None:
        if isinstance(failure, DivergedError):
            raise failure
        if failure is not None:
            starting.tell("chainrule: interrupted")
        return exit_code(failure)
    claimed = place
    if failure is not None and not isinstance(failure, DivergedError) and options.checkpoints is None:
        place = place.aside()  # where there are checkpoints, the training goes on in its folder
    folder = place.folder
    history = History() if network.history is None else network.history  # one without epochs still says why
    best = None if stopping is None else stopping.best_epoch
    with uninterrupted():
        outputs = network.predict(prepared.X_test)
        predicted = decode(outputs, data.target, prepared.target_standardizer, network.spec)
        result = score(data.target, predicted, prepared.y_test)
        evaluation = _evaluated(network, data.target, outputs, predicted, prepared.y_test)
        settings = Settings(
            data.encoder,
            prepared.standardizer,
            data.target,
            prepared.target_standardizer,
            {"command": command} | _record(options, data, prepared, history, result, best),
        )
        place.save(network.save, history, settings)
    if isinstance(failure, DivergedError):
        say(f"What was learned before is in {folder}.")
        raise failure
    say(_tell(history, best, _validation_error(network, prepared, history)))
    _warn_of_cost(network, prepared, history, loss, options)
    if failure is not None:
        starting.tell(place.interrupted(claimed))
    say(f"saved in {folder}")
    page = None
    if report and failure is None:
        page = _report(folder, network, data, prepared, options, optimizer, watching[0], best, command)
        say(f"report in {page}")
    if evaluation is not None:
        say(evaluation)
    if as_json:
        print(json.dumps(_as_json(folder, page, settings.record, evaluation), ensure_ascii=False))
    else:
        print(score_line("test", data.target, result))
    return exit_code(failure)


def _evaluated(
    network: Network, target: TargetEncoder, outputs: NDArray[Any], predicted: NDArray[Any], truth: NDArray[Any]
) -> Evaluation | None:
    """How good predictions are beside those that look at nothing; None where some are no numbers."""
    if not np.isfinite(outputs).all():
        return None
    if target.names is None:
        return metrics.of_numbers(predicted, truth)
    probabilities = shares(outputs) if are_probabilities(network.spec) else None
    return metrics.of_classes(predicted, probabilities, truth, target.names)


def _warn_of_cost(network: Network, prepared: Prepared, history: History, loss: Loss, options: TrainOptions) -> None:
    """One line on standard error where the last epoch's cost is above that of the network before it was trained."""
    if not history or loss.kind == "counts" or not history[-1].cost > MEANINGLESS:
        return
    dtype = "float64" if network.spec.precision == "highest" else "float32"
    untrained = Network.from_spec(network.spec, dtype=dtype, seed=network.seed)
    before = untrained.cost(prepared.X[:1000], prepared.y[:1000])
    if history[-1].cost > before:
        rate = "" if options.learning_rate is None else f" ({options.learning_rate:g})"
        print(
            f"chainrule: the cost of the last epoch, {history[-1].cost:.4g}, is above that of the network before it "
            f"was trained, {before:.4g}: such a training means nothing. Lower --learning-rate{rate}.",
            file=sys.stderr,
        )


def _as_json(folder: Path, page: Path | None, record: dict[str, Any], evaluation: Evaluation | None) -> dict[str, Any]:
    """What a program asks of a training."""
    made: dict[str, Any] = {"run": str(folder), "data": record["data"]["name"], **record["result"]}
    if page is not None:
        made["report"] = str(page)
    return {**made, "test": None if evaluation is None else evaluation.to_dict()}


def _report(
    folder: Path,
    network: Network,
    data: Dataset,
    prepared: Prepared,
    options: TrainOptions,
    optimizer: Optimizer,
    monitor: Monitor,
    best: int | None,
    command: str,
) -> Path:
    """Writes report.html into the run's folder; its path."""
    names = data.target_names
    about = {"data": data.name, "trained on": f"{len(prepared.X):,} samples", "epochs": options.epochs,
             "batch size": options.batch_size, "engine": options.engine}  # fmt: skip
    page = folder / REPORT
    network.report(
        page,
        prepared.X_test,
        prepared.targets_test,
        monitor=monitor,
        optimizer=optimizer,
        names=names,
        title=f"{data.name}: {'-'.join(str(n) for n in network.spec.widths)}",
        settings=about,
        part="test",
        target=data.target.name or "",
        target_scale=prepared.target_standardizer,
        columns=None if data.encoder is None else data.encoder.sources,
        shape=data.image,
        kept=best,
        command=command,
    )
    return page


def _plain(options: TrainOptions) -> dict[str, Any]:
    """The options that decide the result."""
    return {name: value for name, value in dataclasses.asdict(options).items() if name != "checkpoints"}


def _fit(
    network: Network,
    prepared: Prepared,
    options: TrainOptions,
    epochs: int,
    optimizer: Optimizer,
    callbacks: list[Callback],
    progress: bool | None,
    group: Group | None,
) -> KeyboardInterrupt | Terminated | DivergedError | None:
    """Train; what ended the training early, if anything did and the network is still of use."""
    try:
        network.fit(
            prepared.X,
            prepared.y,
            epochs=epochs,
            batch_size=options.batch_size,
            optimizer=optimizer,
            validation_data=prepared.validation,
            sample_weight=prepared.weights,
            time_limit=options.time_limit,
            callbacks=callbacks,
            verbose="auto" if progress is None else progress,
            threads=options.threads,
            group=group,
            **kept(options.checkpoints),
        )
    except (KeyboardInterrupt, Terminated, DivergedError) as failure:
        return failure
    return None


def _describe(data: Dataset, prepared: Prepared) -> str:
    """ "digits: 64 features, 10 classes; 1,294 samples to train, 144 to validate, 359 to test"."""
    names = data.target_names
    what = f"{len(names)} classes" if names else "a number to predict" if data.y.ndim == 1 else "numbers to predict"
    if data.target.name:
        what += f" ({data.target.name})"
    validate = "" if prepared.validation is None else f", {len(prepared.validation[0]):,} to validate"
    parts = f"{len(prepared.X):,} samples to train{validate}, {len(prepared.X_test):,} to test"
    features = len(data.feature_names)
    return f"{data.name}: {features} feature{'' if features == 1 else 's'}, {what}; {parts}"


def _tell(history: History, best_epoch: int | None, error: float | None) -> str:
    """ "20 epochs, cost 0.0971, validation cost 0.1112, ...; the best was epoch 12, and is kept".

    error: of the validation part in the target's own units, in the place of the last record's, which is in deviations.
    """
    last = list(history[-1:])
    if error is not None:
        last = [dataclasses.replace(record, metric=None, validation_metric=None) for record in last]
    parts = [
        f"{len(history)} epoch{'' if len(history) == 1 else 's'}",
        *(word for record in last for word in describe_record(record)),
    ]
    stopped = f"; stopped: {history.stopped}" if history.stopped else ""
    best = ""
    if best_epoch is not None:
        best = "; the last was the best" if best_epoch == len(history) else f"; the best, epoch {best_epoch}, is kept"
    validation = "" if error is None else f", {score_line('validation', TargetEncoder('regression'), error)}"
    return ", ".join(parts) + (stopped + best + validation if best else validation + stopped)


def _validation_error(network: Network, prepared: Prepared, history: History) -> float | None:
    """The saved network's error on the validation part in the target's own units; None where the record's is that."""
    if prepared.validation is None or prepared.target_standardizer is None or not history:
        return None
    X, standardized, *_ = prepared.validation
    back = prepared.target_standardizer.inverse
    return score(TargetEncoder("regression"), back(network.predict(X)), back(standardized))


def _record(
    options: TrainOptions, data: Dataset, prepared: Prepared, history: History, result: float, best: int | None
) -> dict[str, Any]:
    """The part of settings.json that is for people."""
    return {
        "options": {**_plain(options), "data": printable(options.data)},
        "data": {
            "name": printable(data.name),
            "source": printable(Path(options.data).resolve() if Path(options.data).exists() else options.data),
            "features": list(data.feature_names),
            "image": None if data.image is None else list(data.image),
            "training": len(prepared.X),
            "validation": 0 if prepared.validation is None else len(prepared.validation[0]),
            "test": len(prepared.X_test),
            "draw": DRAW,
        },
        "versions": versions(),
        "result": {
            "epochs": len(history),
            "best epoch": best,
            "stopped": history.stopped,
            "test accuracy" if data.target_names else "test error": result if math.isfinite(result) else str(result),
        },
    }
