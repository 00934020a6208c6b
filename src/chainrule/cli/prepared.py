"""Data as a network is trained on them by `chainrule train`: standardised, encoded, in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli.choices import class_outputs
from chainrule.cli.train_options import TrainOptions
from chainrule.data import Dataset, Standardizer
from chainrule.data.dataset import split_rows
from chainrule.describe.losses import Loss
from chainrule.errors import SpecError
from chainrule.runs.decode import encode_classes


@dataclass(frozen=True)
class Prepared:
    """The data as the network takes them, in parts, and what was learned to bring them there."""

    X: NDArray[Any]
    """What is trained on."""
    y: NDArray[Any]
    """Its targets, as the network takes them."""
    validation: tuple[NDArray[Any], ...] | None
    """X, y and perhaps weights of what each epoch is judged by, if anything is."""
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
    weights: NDArray[Any] | None = None
    """Of the samples that are trained on; None where all count the same."""


def outputs_of(data: Dataset, loss: Loss) -> int:
    """The width of the last layer."""
    if data.target_names is None:
        return 1 if data.y.ndim == 1 else int(data.y.shape[1])
    return class_outputs(loss, len(data.target_names))


def prepare(data: Dataset, options: TrainOptions, loss: Loss, outputs: int) -> Prepared:
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
    if data.target_names is None and loss.kind != "counts":
        target_standardizer = Standardizer.fit(y.reshape(len(y), -1))

    def inputs(values: NDArray[Any]) -> NDArray[Any]:
        return values if standardizer is None else standardizer.transform(values)

    def targets(values: NDArray[Any]) -> NDArray[Any]:
        if data.target_names is None:
            columns = values.reshape(len(values), -1)
            return columns if target_standardizer is None else target_standardizer.transform(columns)
        return encode_classes(values, loss, outputs)

    weights = None
    if options.class_weight is not None:
        if data.target_names is None:
            raise SpecError("--class-weight goes with classes, and the target is of numbers.")
        weights = _balanced(y, y)
    if options.validation > 0:
        validation = (inputs(held_X), targets(held_y), *(() if weights is None else (_balanced(held_y, y),)))
    return Prepared(
        inputs(X),
        targets(y),
        validation,
        inputs(X_test),
        data.y_test,
        targets(data.y_test),
        standardizer,
        target_standardizer,
        weights,
    )


def _balanced(labels: NDArray[Any], training: NDArray[Any]) -> NDArray[Any]:
    """m / (K m_k) for a sample of class k, counted in the training data: all classes weigh the same."""
    counts = np.maximum(np.bincount(training, minlength=int(labels.max()) + 1), 1)
    weights: NDArray[Any] = len(training) / (np.count_nonzero(np.bincount(training)) * counts[labels])
    return weights
