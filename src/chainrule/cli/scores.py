"""From a network's outputs to classes or numbers, and how many of them are right."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data import TargetEncoder


def score(target: TargetEncoder, predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    """The accuracy, a part of 1; for a regression √(mean (ŷ - y)²), over all outputs, in the target's units."""
    if target.names is not None:
        return float(np.mean(predicted == truth))
    return math.sqrt(float(np.mean(np.square(truth.reshape(predicted.shape) - predicted.astype(np.float64)))))


def beside_the_mean(error: float, truth: NDArray[Any], training: NDArray[Any]) -> str:
    """What the error of a regression is worth: that of guessing the training part's mean, and R² on the test part."""
    columns, mean = truth.reshape(len(truth), -1), training.reshape(len(training), -1).mean(axis=0)
    guess = math.sqrt(float(np.mean(np.square(columns - mean))))
    spread = float(np.mean(np.square(columns - columns.mean(axis=0))))
    share = f"; R² {1 - error**2 / spread:.4f}" if spread > 0 else ""
    line = score_line("guessing the mean: an", TargetEncoder("regression"), guess).replace("error ", "error of ")
    return line + share


def tell(name: str, notes: Sequence[str]) -> None:
    """One line on standard error with what is odd about data; nothing where nothing is."""
    if notes:
        print(f"chainrule: {name}: {'; '.join(notes)}", file=sys.stderr)


def score_line(part: str, target: TargetEncoder, value: float) -> str:
    """ "test accuracy 0.9789" or "test error 0.1234"."""
    if target.names is not None:
        return f"{part} accuracy {value:.4f}"
    return f"{part} error {value:.4f}" if value >= 1e-3 or value == 0 else f"{part} error {value:.4g}"
