"""`chainrule names train`: names to model, what it costs, what it invents, and the run's folder."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import starting
from chainrule.cli.choices import hidden_layers, make_optimizer
from chainrule.describe.layers import Dense
from chainrule.describe.optimizers import OPTIMIZERS, Optimizer
from chainrule.describe.schedules import Schedule
from chainrule.errors import ChainruleError, DivergedError, SpecError, expected
from chainrule.language import CharacterModel, Preset, Vocabulary, load_names, preset, split_names
from chainrule.runs.folder import Settings, check_out, claim, versions
from chainrule.train.callbacks import Callback, CSVLog
from chainrule.train.checkpoint import Asked
from chainrule.train.history import History, describe_record
from chainrule.train.signals import Terminated, exit_code, uninterrupted

SAMPLES = 1000
"""How many names are invented to see how many are new."""
SHOWN = 10
"""How many of them are shown."""
EMBEDDED = "given-names"


@dataclass(frozen=True)
class NamesOptions:
    """The options of the command that decide the result.  None: as the preset has it."""

    file: str | None
    """A list of names; None for the one that is built in."""
    preset: str
    """A kind of model and how it is trained."""
    context: int | None
    """Characters before the one that is predicted."""
    embedding: int | None
    """Numbers that stand for a character."""
    hidden: str | None
    """Units of the hidden layers, "200" or "300,100"."""
    activation: str | None
    """Of the hidden layers."""
    normalisation: str | None
    """"batch", "layer" or "none", after each hidden layer."""
    dropout: float | None
    """The part of the hidden units that is dropped."""
    optimizer: str | None
    """Its name."""
    learning_rate: float | None
    """At the beginning."""
    schedule: str | None
    """How it falls."""
    epochs: int | None
    """How often the names are gone through."""
    batch_size: int | None
    """Characters a batch."""
    average: int | None
    """Epochs at the end over which the weights are averaged."""
    seed: int
    """Of weights, order and masks."""
    dtype: str
    """What is computed in."""
    engine: str
    """By name."""
    threads: int | None
    """At most; None for as many as are worth it."""
    checkpoints: Asked | None = None
    """Where the fit is kept while it runs, if it is."""


def run(options: NamesOptions, out: Path | None, force: bool, progress: bool | None) -> int:
    """Train, tell and save; the exit code: 0, 130 after Ctrl-C, or 143 after SIGTERM.

    Raises SpecError and DataError before anything is trained or written, KeyboardInterrupt before the first step, and
    DivergedError after the last finite weights have been saved.
    """
    chosen = choose(options)
    check_out(out, force)
    names = load_names(options.file)
    vocabulary = Vocabulary.from_names(names)
    train, dev, test = split_names(names)
    model = chosen.model(vocabulary=vocabulary, dtype=options.dtype, seed=options.seed, engine=options.engine)
    known = len(model.vocabulary.characters)
    name = EMBEDDED if options.file is None else Path(options.file).name.removesuffix(".gz").rsplit(".", 1)[0]
    place = claim(out, name or "names")
    print(
        f"{name}: {len(names):,} names of {known} characters; "
        f"{len(train):,} to train, {len(dev):,} for dev, {len(test):,} for test"
    )
    print(model.network.summary(), flush=True)
    first = model.embedding_
    began = time.perf_counter()
    try:
        failure = _fit(chosen, model, train, dev, [CSVLog(place.log)], progress, options)
        # Ctrl-C within the first epoch leaves a model that has learned something; before it, while compiling, none.
        if failure is not None and not model.history and np.array_equal(first, model.embedding_):
            raise failure
    except (ChainruleError, KeyboardInterrupt, Terminated):
        place.give_up()
        raise
    claimed = place
    if failure is not None and not isinstance(failure, DivergedError) and options.checkpoints is None:
        place = place.aside()
    folder = place.folder
    seconds = time.perf_counter() - began
    history = History() if model.history is None else model.history
    with uninterrupted():
        costs = {"train": model.score(train).per_character, "dev": model.score(dev).per_character}
        invented = model.sample(SAMPLES, seed=options.seed)
        there = set(names)
        new = sum(name not in there for name in invented) / SAMPLES
        record = {
            "options": {k: v for k, v in dataclasses.asdict(options).items() if k != "checkpoints"},
            "data": {
                "name": name,
                "source": None if options.file is None else str(Path(options.file).resolve()),
                "names": len(names),
                "train": len(train),
                "dev": len(dev),
                "test": len(test),
                "characters": "".join(model.vocabulary.characters),
            },
            "versions": versions(),
            "result": {
                "epochs": len(history),
                "stopped": history.stopped,
                "seconds": round(seconds, 3),
                "train cost": costs["train"],
                "dev cost": costs["dev"],
                "new samples": new,
            },
        }
        place.save(model.save, history, Settings(None, None, None, None, record))
    if isinstance(failure, DivergedError):
        print(f"What was learned before is in {folder}.")
        raise failure
    print(_tell(history, seconds))
    if failure is not None:
        starting.tell(place.interrupted(claimed))
    print(f"invented: {', '.join(invented[:SHOWN])}")
    print(f"of {SAMPLES:,} invented names {new:.1%} are new (not in the file)")
    print(f"saved in {folder}")
    print(f"train cost {costs['train']:.4f}, dev cost {costs['dev']:.4f} nats per character")
    return exit_code(failure)


def choose(options: NamesOptions) -> Preset:
    """The preset with the parts that the options change.  Raises SpecError with the faults of all of them."""
    base = preset(options.preset)
    changes: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("context", "embedding", "activation", "dropout", "epochs", "batch_size", "average")
        if getattr(options, name) is not None
    }
    faults = [
        expected(f"--{name.replace('_', '-')}", f"at least {least}", changes[name])
        for name, least in (("context", 1), ("embedding", 1), ("epochs", 1), ("batch_size", 1), ("average", 0))
        if name in changes and changes[name] < least
    ]
    if options.threads is not None and options.threads < 1:
        faults.append(expected("--threads", "at least 1", options.threads))
    if options.seed < 0:
        faults.append(expected("--seed", "at least 0", options.seed))
    if not 0 <= changes.get("dropout", 0) < 1:
        faults.append(expected("--dropout", "at least 0 and less than 1", options.dropout))
    if options.normalisation not in (None, "layer", "batch", "none"):
        faults.append(expected("--normalisation", "layer, batch or none", options.normalisation))
    if faults:
        raise SpecError(faults)
    if options.normalisation is not None:
        changes["normalisation"] = None if options.normalisation == "none" else options.normalisation
    if options.hidden is not None:
        layers = hidden_layers(options.hidden, "tanh", 0.0)
        changes["hidden"] = tuple(layer.units for layer in layers if isinstance(layer, Dense))
    # Fewer epochs than the preset averages: then all of them.
    changes["average"] = min(changes.get("average", base.average), changes.get("epochs", base.epochs))
    changes["optimizer"] = _optimizer(options, base)
    return dataclasses.replace(base, **changes)


def _optimizer(options: NamesOptions, base: Preset) -> Optimizer:
    """The preset's, but for what the options say of it."""
    if options.optimizer is not None or options.schedule is not None:
        own = next(name for name, kind in OPTIMIZERS.items() if kind is type(base.optimizer))
        return make_optimizer(options.optimizer or own, options.learning_rate, options.schedule or "constant")
    if options.learning_rate is None:
        return base.optimizer
    rate = base.optimizer.learning_rate
    assert isinstance(rate, Schedule)
    try:
        return dataclasses.replace(
            base.optimizer,
            learning_rate=dataclasses.replace(rate, rate=options.learning_rate),  # type: ignore[call-arg]
        )
    except SpecError:
        raise SpecError(expected("--learning-rate", "a finite number above 0", options.learning_rate)) from None


def _fit(
    chosen: Preset,
    model: CharacterModel,
    train: list[str],
    dev: list[str],
    callbacks: list[Callback],
    progress: bool | None,
    options: NamesOptions,
) -> KeyboardInterrupt | Terminated | DivergedError | None:
    """Train; what ended the training early, if anything did and the model is still of use."""
    try:
        chosen.fit(
            model,
            train,
            validation=dev,
            callbacks=callbacks,
            verbose="auto" if progress is None else progress,
            threads=options.threads,
            asked=options.checkpoints,
        )
    except (KeyboardInterrupt, Terminated, DivergedError) as failure:
        return failure
    return None


def _tell(history: History, seconds: float) -> str:
    """ "35 epochs in 6.6 s, cost 2.0471, validation cost 2.1065, ..." """
    epochs = f"{len(history)} epoch{'' if len(history) == 1 else 's'} in {seconds:.1f} s"
    stopped = f"; stopped: {history.stopped}" if history.stopped else ""
    return ", ".join([epochs, *(describe_record(history[-1]) if history else [])]) + stopped
