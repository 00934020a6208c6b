"""`chainrule predict`: a saved network on new data."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli.runs import Settings, find_model
from chainrule.cli.scores import decode, score, score_line
from chainrule.data import TargetEncoder, load_features
from chainrule.describe.losses import Loss
from chainrule.errors import DataError
from chainrule.files import replace_text
from chainrule.network import Network


def run(model: Path, data: str, out: Path | None, probabilities: bool, engine: str) -> None:
    """Predict, and write a line of CSV for each sample, to `out` or to standard output.

    Raises DataError where the model or the data cannot be read, or do not belong together.
    """
    path, settings = find_model(model)
    network = Network.load(path, engine=engine)
    settings = settings or _bare(network)
    if settings.target is None:
        raise DataError(f"{model}: is a character model; see 'chainrule names score' and 'chainrule names sample'.")
    X, y = load_features(data, settings.encoder, settings.target)
    if X.shape[1] != network.spec.inputs:
        raise DataError(f"{data}: has {X.shape[1]} features; the model was trained on {network.spec.inputs}.")
    outputs = network.predict(X if settings.standardizer is None else settings.standardizer.transform(X))
    predicted = decode(outputs, settings.target, settings.target_standardizer, network.spec)
    text = _lines(
        settings.target, outputs, predicted, probabilities and network.spec.last_activation.name != "identity"
    )
    if out is None:
        sys.stdout.write(text)
    else:
        replace_text(out, text)
        print(f"{len(X):,} predictions in {out}")
    if y is not None:
        print(
            score_line(f"{len(X):,} samples,", settings.target, score(settings.target, predicted, y)), file=sys.stderr
        )


def _bare(network: Network) -> Settings:
    """What can be said of a network that was saved without settings: its classes are numbers."""
    outputs = network.spec.outputs
    classes = isinstance(network.spec.loss, Loss) and network.spec.loss.name in (
        "cross_entropy",
        "binary_cross_entropy",
    )
    names = tuple(str(number) for number in range(max(outputs, 2)))
    target = TargetEncoder("classification", names) if classes else TargetEncoder("regression")
    return Settings(None, None, target, None, {})


def _lines(target: TargetEncoder, outputs: NDArray[Any], predicted: NDArray[Any], probabilities: bool) -> str:
    """The CSV text: a header, and for each sample the class and (if wanted) all probabilities, or the numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    name = target.name or "prediction"
    if target.names is None:
        several = predicted.shape[1] > 1
        writer.writerow([f"{name}{number}" for number in range(predicted.shape[1])] if several else [name])
        writer.writerows([f"{value:.7g}" for value in row] for row in predicted)
        return text.getvalue()
    shown = np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs
    writer.writerow([name, *target.names] if probabilities else [name])
    for label, row in zip(target.decode(predicted), shown, strict=True):
        writer.writerow([label, *(f"{value:.6f}" for value in row)] if probabilities else [label])
    return text.getvalue()
