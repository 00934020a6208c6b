"""From a network's outputs to classes, probabilities, or numbers in the target's own unit; from classes to targets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.standardize import Standardizer
from chainrule.data.targets import TargetEncoder
from chainrule.describe.losses import Cost, Loss
from chainrule.describe.network import NetworkSpec


def decode(
    outputs: NDArray[Any], target: TargetEncoder, standardizer: Standardizer | None, spec: NetworkSpec
) -> NDArray[Any]:
    """Outputs (m, n) as class numbers (m,), or as numbers in the target's own units (m, n)."""
    if target.names is None:
        return outputs if standardizer is None else standardizer.inverse(outputs)
    if outputs.shape[1] == 1:
        # A single output for two classes: a probability of the second, or a margin.
        middle = spec.loss.middle if isinstance(spec.loss, Loss) else 0.0
        return (outputs[:, 0] > middle).astype(np.int64)
    classes: NDArray[np.int64] = outputs.argmax(axis=1)
    return classes


def shares(outputs: NDArray[Any]) -> NDArray[Any]:
    """Outputs (m, n) with a column for each class: a single output is that of the second of two."""
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs


def are_probabilities(spec: NetworkSpec) -> bool:
    """Whether the outputs are probabilities of the classes: not the margins of a hinge."""
    return not spec.last_activation.identity and not (isinstance(spec.loss, Loss) and spec.loss.kind == "signs")


def encode_classes(labels: NDArray[Any], loss: Loss | Cost, outputs: int) -> NDArray[Any]:
    """Class numbers (m,) as the loss takes them: as they are; or (m, outputs) of 0 and 1, or of -1 and 1."""
    if loss.classes:
        return labels
    yes = labels[:, None] == (np.arange(outputs) if outputs > 1 else np.array([1]))
    return np.where(yes, 1.0, loss.low if isinstance(loss, Loss) else 0.0)
