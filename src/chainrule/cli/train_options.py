"""The options of `chainrule train` that decide what is learned, and what is wrong with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chainrule.errors import SpecError, expected, unknown_name
from chainrule.program.precision import PRECISIONS
from chainrule.train.checkpoint import Asked

STEPS = 2000
"""The fewest steps of a training whose epochs nobody has chosen: small data need them."""


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
    output_activation: str | None
    """Of the last layer; None for the one that the loss is meant for."""
    normalisation: str
    """Of the hidden layers: "layer", "batch" or "none"."""
    loss: str | None
    """By name, with a number (quantile:0.9) or as a formula; None for the one that fits the task."""
    label_smoothing: float
    """ε of cross_entropy."""
    precision: str
    """How products are done: "highest", "high" or "medium"."""
    class_weight: str | None
    """"balanced" for weights of the samples such that all classes count alike."""
    l1: float
    """λ of λ/m Σ|W|."""
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
    momentum: float | None
    """Of the optimizer; None for its own."""
    weight_decay: float | None
    """Of the optimizer; None for its own."""
    clip_norm: float | None
    """What the norm of all gradients is kept below; None for no such bound."""
    epochs: int | None
    """How often the data are gone through."""
    batch_size: int
    """Samples a batch."""
    early_stopping: int | None
    """Epochs without an improvement that end the fit; None for no such end."""
    time_limit: float | None
    """Seconds after which the training ends; None for no such end."""
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


def default_epochs(samples: int, batch_size: int) -> int:
    """From 40 for small data down to 10 for large, about 600,000 samples in all; but at least 2,000 steps."""
    steps = -(-samples // batch_size)
    return max(min(40, max(10, 600_000 // samples)), -(-STEPS // steps))


def check(options: TrainOptions) -> None:
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
    if options.precision not in PRECISIONS:
        faults.append(unknown_name("precision", options.precision, PRECISIONS))
    elif options.precision != "highest" and options.dtype == "float64":
        faults.append(expected("--precision", "highest with --dtype float64", options.precision))
    if options.seed < 0:
        faults.append(expected("--seed", "at least 0", options.seed))
    rate = options.learning_rate
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        faults.append(expected("--learning-rate", "a finite number above 0", rate))
    for name, penalty in (("--l1", options.l1), ("--l2", options.l2)):
        if not (math.isfinite(penalty) and penalty >= 0):
            faults.append(expected(name, "a finite number, 0 or more", penalty))
    for name, length in (("--time-limit", options.time_limit), ("--clip-norm", options.clip_norm)):
        if length is not None and not (math.isfinite(length) and length > 0):
            faults.append(expected(name, "a finite number above 0", length))
    if options.class_weight not in (None, "balanced"):
        faults.append(expected("--class-weight", "'balanced', or left out", options.class_weight))
    if faults:
        raise SpecError(faults)
