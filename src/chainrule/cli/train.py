"""`chainrule train`: data to network to test result, and the run's folder."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli.choices import (
    DEFAULT_LOSS,
    class_outputs,
    hidden_layers,
    make_optimizer,
    output_activation,
)
from chainrule.cli.scores import beside_the_mean, score, score_line, tell
from chainrule.data import Dataset, Standardizer, TargetEncoder
from chainrule.data.dataset import split_rows
from chainrule.data.readers import read
from chainrule.describe.layers import Dense
from chainrule.describe.losses import LOSSES
from chainrule.describe.optimizers import Optimizer
from chainrule.errors import ChainruleError, DivergedError, SpecError, expected
from chainrule.files import printable
from chainrule.network import Network
from chainrule.runs.decode import decode, encode_classes
from chainrule.runs.folder import (
    REPORT,
    Settings,
    check_out,
    claim,
    versions,
)
from chainrule.train.callbacks import Callback, CSVLog, EarlyStopping
from chainrule.train.checkpoint import Asked, kept
from chainrule.train.history import History, describe_record
from chainrule.train.monitor import Monitor
from chainrule.train.signals import Terminated, exit_code, uninterrupted

RECORDS = 200
"""Of the monitor over a whole fit, for a report."""


@dataclass(frozen=True)
class TrainOptions:
    """The options of the command that decide the result."""

    data: str
    """A file, or the name of data that are built in."""
    target: str | None
    """The column to be predicted; None for the last."""
    task: str | None
    """"classification" or "regression"; None to judge by the column."""
    ignore: tuple[str, ...]
    """Columns that are left out."""
    header: bool
    """Whether the first line names the columns."""
    test: float
    """The part of the rows that is held out to test on."""
    validation: float
    """The part of what is left that each epoch is judged by."""
    standardize: bool
    """Whether features become numbers of mean 0 and deviation 1."""
    hidden: str
    """Units of the hidden layers, "256" or "128,64"."""
    activation: str
    """Of the hidden layers."""
    loss: str | None
    """By name; None for the one that fits the task."""
    l2: float
    """λ of λ/(2m) Σ W²."""
    dropout: float
    """The part of the hidden units that is dropped."""
    optimizer: str
    """Its name."""
    learning_rate: float | None
    """At the beginning; None for the optimizer's own."""
    schedule: str
    """How it falls."""
    epochs: int | None
    """How often the data are gone through."""
    batch_size: int
    """Samples a batch."""
    early_stopping: int | None
    """Epochs without an improvement that end the fit; None for no such end."""
    seed: int
    """Of the split, weights, order and masks."""
    dtype: str
    """What is computed in."""
    engine: str
    """By name."""
    threads: int | None
    """At most; None for as many as are worth it."""
    checkpoints: Asked | None = None
    """Where the fit is kept while it runs, if it is."""


@dataclass(frozen=True)
class Prepared:
    """The data as the network takes them, in parts, and what was learned to bring them there."""

    X: NDArray[Any]
    """What is trained on."""
    y: NDArray[Any]
    """Its targets, as the network takes them."""
    validation: tuple[NDArray[Any], NDArray[Any]] | None
    """X and y of what each epoch is judged by, if anything is."""
    X_test: NDArray[Any]
    """What is held out to test on."""
    y_test: NDArray[Any]
    """Its targets."""
    targets_test: NDArray[Any]
    """The same as the network takes them."""
    standardizer: Standardizer | None
    """Of the inputs; None where they stay as they are."""
    target_standardizer: Standardizer | None
    """Of the targets of a regression."""


def run(
    options: TrainOptions,
    out: Path | None,
    force: bool,
    progress: bool | None,
    report: bool = False,
    way: str | None = None,
) -> int:
    """Train, test and save; the exit code: 0, 130 after Ctrl-C, or 143 after SIGTERM.

    report: also write report.html, on the test part.  way: what is said of tables, which have another one.
    Raises MissingDependencyError, SpecError and DataError before anything is trained or written; DivergedError after
    the last finite weights have been saved.
    """
    _check(options)
    check_out(out, force)
    if report:
        from chainrule.report.html import check_packages

        check_packages()
    optimizer = make_optimizer(options.optimizer, options.learning_rate, options.schedule)
    stopping = [] if options.early_stopping is None else [EarlyStopping(options.early_stopping)]
    hidden = hidden_layers(options.hidden, options.activation, options.dropout)
    data = read(options.data, options.target, options.task, options.ignore, options.header)
    tell(options.data, data.notes)
    loss = options.loss or DEFAULT_LOSS[data.task]
    last = output_activation(loss, data.task)
    units = _outputs(data, loss)
    data = data.split(options.test, options.seed) if data.X_test is None else data
    prepared = _prepare(data, options, loss, units)
    epochs = default_epochs(len(prepared.X)) if options.epochs is None else options.epochs
    options = dataclasses.replace(options, epochs=epochs, loss=loss)
    network = Network(
        inputs=prepared.X.shape[1],
        layers=[*hidden, Dense(units, last)],
        loss=loss,
        l2=options.l2,
        dtype=options.dtype,
        seed=options.seed,
        engine=options.engine,
    )
    steps = epochs * -(-len(prepared.X) // options.batch_size)
    watching = [Monitor(every=max(1, steps // RECORDS))] if report else []
    first = {name: array.copy() for name, array in network.parameters.items()}
    place = claim(out, data.name)
    folder = place.folder
    try:
        if way is not None:
            print(way)
        print(_describe(data, prepared))
        print(network.summary(), flush=True)
        failure = _fit(
            network, prepared, options, epochs, optimizer, [CSVLog(place.log), *stopping, *watching], progress
        )
        # Ctrl-C within the first epoch leaves a network that has learned something; before it, while compiling, none.
        # A part of an epoch does not take the place of a run that was trained.
        same = all(np.array_equal(array, first[name]) for name, array in network.parameters.items())
        worthless = same or place.replaces or isinstance(failure, DivergedError)
        if failure is not None and not network.history and worthless:
            raise failure
    except (ChainruleError, KeyboardInterrupt, Terminated):
        place.give_up()
        raise
    del first
    history = History() if network.history is None else network.history  # one without epochs still says why
    with uninterrupted():
        outputs = network.predict(prepared.X_test)
        predicted = decode(outputs, data.target, prepared.target_standardizer, network.spec)
        result = score(data.target, predicted, prepared.y_test)
        settings = Settings(
            data.encoder,
            prepared.standardizer,
            data.target,
            prepared.target_standardizer,
            _record(options, data, prepared, history, result),
        )
        place.save(network.save, history, settings)
    if isinstance(failure, DivergedError):
        print(f"What was learned before is in {folder}.")
        raise failure
    print(_tell(history, stopping[0].best_epoch if stopping else None, _validation_error(network, prepared, history)))
    if failure is not None:
        print(f"chainrule: interrupted; what was learned until then is in {folder}", file=sys.stderr)
    print(f"saved in {folder}")
    if report and failure is None:
        print(f"report in {_report(folder, network, data, prepared, options, optimizer, watching[0])}", flush=True)
    if data.target_names is None:
        print(beside_the_mean(result, prepared.y_test, data.y))
    print(score_line("test", data.target, result))
    return exit_code(failure)


def _report(
    folder: Path,
    network: Network,
    data: Dataset,
    prepared: Prepared,
    options: TrainOptions,
    optimizer: Optimizer,
    monitor: Monitor,
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
    )
    return page


def _plain(options: TrainOptions) -> dict[str, Any]:
    """The options that decide the result."""
    return {name: value for name, value in dataclasses.asdict(options).items() if name != "checkpoints"}


def default_epochs(samples: int) -> int:
    """From 40 for small data down to 10 for large: about 600,000 samples in all."""
    return min(40, max(10, 600_000 // samples))


def _check(options: TrainOptions) -> None:
    """All faults of the plain options at once, before the data are read."""
    faults = []
    for name, part in (("--test", options.test), ("--validation", options.validation)):
        least = "above 0" if name == "--test" else "0 or more"
        if not (0 < part < 1 or (part == 0 and name == "--validation")):
            faults.append(expected(name, f"{least} and below 1", part))
    for name, count in (
        ("--epochs", options.epochs),
        ("--batch-size", options.batch_size),
        ("--early-stopping", options.early_stopping),
        ("--threads", options.threads),
    ):
        if count is not None and count < 1:
            faults.append(expected(name, "at least 1", count))
    if options.seed < 0:
        faults.append(expected("--seed", "at least 0", options.seed))
    rate = options.learning_rate
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        faults.append(expected("--learning-rate", "a finite number above 0", rate))
    if not (math.isfinite(options.l2) and options.l2 >= 0):
        faults.append(expected("--l2", "a finite number, 0 or more", options.l2))
    if faults:
        raise SpecError(faults)


def _outputs(data: Dataset, loss: str) -> int:
    """The width of the last layer."""
    if data.target_names is None:
        return 1 if data.y.ndim == 1 else int(data.y.shape[1])
    return class_outputs(LOSSES[loss], len(data.target_names))


def _prepare(data: Dataset, options: TrainOptions, loss: str, outputs: int) -> Prepared:
    """Standardise, encode the targets, and set the validation part apart."""
    assert data.X_test is not None and data.y_test is not None
    X, y, X_test = data.X, data.y, data.X_test
    validation = None
    if options.validation > 0:
        rows, held_out = split_rows(len(X), options.validation, options.seed, y if data.target_names else None)
        X, y, held_X, held_y = X[rows], y[rows], X[held_out], y[held_out]
    else:
        held_X, held_y = X[:0], y[:0]
    standardizer = Standardizer.fit(X, data.measured) if options.standardize and data.measured.any() else None
    target_standardizer = None
    # Counts stay counts; other numbers are brought to the size that the initial weights are made for.
    if data.target_names is None and LOSSES[loss].kind != "counts":
        target_standardizer = Standardizer.fit(y.reshape(len(y), -1))

    def inputs(values: NDArray[Any]) -> NDArray[Any]:
        return values if standardizer is None else standardizer.transform(values)

    def targets(values: NDArray[Any]) -> NDArray[Any]:
        if data.target_names is None:
            columns = values.reshape(len(values), -1)
            return columns if target_standardizer is None else target_standardizer.transform(columns)
        return encode_classes(values, LOSSES[loss], outputs)

    if options.validation > 0:
        validation = (inputs(held_X), targets(held_y))
    return Prepared(
        inputs(X),
        targets(y),
        validation,
        inputs(X_test),
        data.y_test,
        targets(data.y_test),
        standardizer,
        target_standardizer,
    )


def _fit(
    network: Network,
    prepared: Prepared,
    options: TrainOptions,
    epochs: int,
    optimizer: Optimizer,
    callbacks: list[Callback],
    progress: bool | None,
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
            callbacks=callbacks,
            verbose="auto" if progress is None else progress,
            threads=options.threads,
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
    best = f"; the best, epoch {best_epoch}, is kept" if best_epoch is not None else ""
    validation = "" if error is None else f", {score_line('validation', TargetEncoder('regression'), error)}"
    return ", ".join(parts) + (stopped + best + validation if best else validation + stopped)


def _validation_error(network: Network, prepared: Prepared, history: History) -> float | None:
    """The saved network's error on the validation part in the target's own units; None where the record's is that."""
    if prepared.validation is None or prepared.target_standardizer is None or not history:
        return None
    X, standardized = prepared.validation
    back = prepared.target_standardizer.inverse
    return score(TargetEncoder("regression"), back(network.predict(X)), back(standardized))


def _record(
    options: TrainOptions, data: Dataset, prepared: Prepared, history: History, result: float
) -> dict[str, Any]:
    """The part of settings.json that is for people."""
    return {
        "options": {**_plain(options), "data": printable(options.data)},
        "data": {
            "name": printable(data.name),
            "source": printable(Path(options.data).resolve() if Path(options.data).exists() else options.data),
            "features": list(data.feature_names),
            "training": len(prepared.X),
            "validation": 0 if prepared.validation is None else len(prepared.validation[0]),
            "test": len(prepared.X_test),
        },
        "versions": versions(),
        "result": {
            "epochs": len(history),
            "stopped": history.stopped,
            "test accuracy" if data.target_names else "test error": result if math.isfinite(result) else str(result),
        },
    }
