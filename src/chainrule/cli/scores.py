"""From a network's outputs to classes or numbers, and how many of them are right."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data import TargetEncoder


def score(target: TargetEncoder, predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    """The accuracy, a part of 1; for a regression √(mean (ŷ - y)²), over all outputs, in the target's units."""
    if target.names is not None:
        return float(np.mean(predicted == truth))
    return math.sqrt(float(np.mean(np.square(truth.reshape(predicted.shape) - predicted.astype(np.float64)))))


@contextlib.contextmanager
def waiting(text: str, progress: bool | None = None) -> Iterator[None]:
    """A word on standard error while something takes its time; on a terminal it goes again.

    progress: as of the command: None for a terminal only, where False nowhere.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if progress is False or not terminal:
        yield
        return
    print(f"{text} ...", end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\x1b[K", end="", file=sys.stderr, flush=True)


def tell(name: str, notes: Sequence[str]) -> None:
    """One line on standard error with what is odd about data; nothing where nothing is."""
    if notes:
        print(f"chainrule: {name}: {'; '.join(notes)}", file=sys.stderr)


def score_line(part: str, target: TargetEncoder, value: float) -> str:
    """ "test accuracy 0.9789" or "test error 0.1234"."""
    return main_line(part, target.names is not None, value)


def main_line(part: str, is_classes: bool, value: float) -> str:
    """The same of an accuracy, or of an error in the target's unit, in digits that programs read."""
    if is_classes:
        return f"{part} accuracy {value:.4f}"
    return f"{part} error {value:.4f}" if value >= 1e-3 or value == 0 else f"{part} error {value:.4g}"
