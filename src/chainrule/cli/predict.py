"""`chainrule predict`: a saved network on new data."""

from __future__ import annotations

import csv
import io
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from chainrule.cli.scores import score, score_line, tell
from chainrule.data import TargetEncoder
from chainrule.data.readers import read_new
from chainrule.errors import DataError, DataWarning, unknown_name
from chainrule.files import replace_text
from chainrule.files.folder import member
from chainrule.metrics import Evaluation
from chainrule.network import Network
from chainrule.runs.decode import are_probabilities, decode, shares
from chainrule.runs.folder import SETTINGS, TABLE, Settings, find_model

if TYPE_CHECKING:
    from chainrule.tabular.frame import Frame
    from chainrule.tabular.saved import Fitted

DELIMITERS = {".csv": ",", ".txt": ",", ".tsv": "\t"}
"""The endings of files that predictions are written to, and what stands between their cells."""


def run(model: Path, data: str, out: Path | None, probabilities: bool, engine: str, force: bool = False) -> None:
    """Predict, and write a line of CSV for each sample, to `out` or to standard output, in UTF-8.

    Where the data differ from those of the training, or hold targets, that is told on standard error.
    Raises DataError where the model or the data cannot be read, or do not belong together, and for a file to write to
    that is there already (unless `force`) or whose name is not that of a CSV file.
    """
    _check_out(out, force)
    if member(model, TABLE).is_file():
        _table(model, data, out, probabilities, engine)
        return
    path, settings = find_model(model)
    network = Network.load(path, engine=engine)
    settings = settings or _bare(network)
    settings.check(path.with_name(SETTINGS), network.spec)
    if settings.target is None:
        raise DataError(f"{model}: is a character model; see 'chainrule names score' and 'chainrule names sample'.")
    new = read_new(data, settings.encoder, settings.target)
    X = new.X
    if X.shape[1] != network.spec.inputs:
        raise DataError(f"{data}: has {X.shape[1]} features; the model was trained on {network.spec.inputs}.")
    outputs = network.predict(X if settings.standardizer is None else settings.standardizer.transform(X))
    predicted = decode(outputs, settings.target, settings.target_standardizer, network.spec)
    text = _lines(
        settings.target,
        outputs,
        predicted,
        probabilities and are_probabilities(network.spec),
        "," if out is None else DELIMITERS[out.suffix.lower()],
    )
    if out is None:
        _print(text)
    else:
        replace_text(out, text)
        print(f"{len(X):,} predictions in {out}")
    tell(new.name, new.notes)
    if new.y is not None:
        whole = f"{len(X):,} sample{'' if len(X) == 1 else 's'}"
        rows = whole if new.judged.all() else f"{len(new.y):,} of {whole}"
        value = score(settings.target, predicted[new.judged], new.y)
        print(score_line(f"{rows},", settings.target, value), file=sys.stderr)


def _table(folder: Path, data: str, out: Path | None, probabilities: bool, engine: str) -> None:
    """The same with an estimator of tables."""
    from chainrule.tabular.classifier import TabularClassifier  # slow to load, and other runs do without
    from chainrule.tabular.frame import read_frame
    from chainrule.tabular.saved import load

    model = load(folder, engine=None if engine == "auto" else engine)
    frame = read_frame(data, header=model.header_)
    if model.id_ is not None and model.id_ not in frame.names:
        raise DataError(f"{frame.source}: {unknown_name('column', model.id_, frame.names)} It names the rows.")
    notes = [str(model.novelty(frame))]
    predicted = model.predict(frame)
    labels = [[str(value) for value in row] for row in predicted.reshape(len(frame), -1)]
    width, names = len(labels[0]), model.targets_
    if len(names) != width:  # of quantiles
        name = names[0] if names else "prediction"
        names = (name,) if width == 1 else tuple(f"{name}{k}" for k in range(width))
    header = list(names)
    if probabilities and isinstance(model, TabularClassifier):
        shares = _written(model.predict_proba(frame))
        header += map(str, model.classes_)
        labels = [[*label, *row] for label, row in zip(labels, shares, strict=True)]
    if model.id_ is not None:
        header.insert(0, model.id_)
        labels = [[cell, *row] for cell, row in zip(frame.cells(model.id_), labels, strict=True)]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="," if out is None else DELIMITERS[out.suffix.lower()], lineterminator="\n")
    writer.writerow(header)
    writer.writerows(labels)
    if out is None:
        _print(text.getvalue())
    else:
        replace_text(out, text.getvalue())
        print(f"{len(frame):,} predictions in {out}")
    evaluation, odd = _beside_targets(model, frame)
    tell(data, [note for note in (*notes, *odd) if note])
    if evaluation is not None:
        print(evaluation.short(), file=sys.stderr)


def _beside_targets(model: Fitted, frame: Frame) -> tuple[Evaluation | None, list[str]]:
    """How good predictions are, where the data hold targets, and what is odd about these."""
    if not model.targets_ or any(name not in frame.names for name in model.targets_):
        return None, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        try:
            evaluation = model.evaluate(frame)
        except DataError as fault:  # none, or none that can be compared with: that stops nothing
            return None, [str(fault).partition(": ")[2].rstrip(".")]
    return evaluation, [str(warning.message).partition(": ")[2].rstrip(".") for warning in caught]


def _check_out(out: Path | None, force: bool) -> None:
    if out is None:
        if force:
            raise DataError("--force overwrites the file of --out; give that too.")
        return
    if out.suffix.lower() not in DELIMITERS:
        raise DataError(f"{out}: predictions are written as CSV; give a name that ends in {', '.join(DELIMITERS)}.")
    if out.is_dir():
        raise DataError(f"{out}: is a folder, not a file.")
    if out.exists() and not force:
        raise DataError(f"{out}: is there already. Choose another name, or overwrite it with --force.")


def _print(text: str) -> None:
    """To standard output: as UTF-8 into files and pipes, whatever the locale; a terminal shows what it can."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None or sys.stdout.isatty():
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    buffer.write(text.encode("utf-8", "backslashreplace"))
    buffer.flush()


def _bare(network: Network) -> Settings:
    """What can be said of a network that was saved without settings: its classes are numbers."""
    outputs = network.spec.outputs
    classes = network.spec.loss.kind in ("classes", "yes/no")
    names = tuple(str(number) for number in range(max(outputs, 2)))
    target = TargetEncoder("classification", names) if classes else TargetEncoder("regression")
    return Settings(None, None, target, None, {})


def _lines(
    target: TargetEncoder, outputs: NDArray[Any], predicted: NDArray[Any], probabilities: bool, delimiter: str = ","
) -> str:
    """The CSV text: a header, and for each sample the class and (if wanted) all probabilities, or the numbers."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    name = target.name or "prediction"
    if target.names is None:
        several = predicted.shape[1] > 1
        writer.writerow([f"{name}{number}" for number in range(predicted.shape[1])] if several else [name])
        writer.writerows(_written(predicted))
        return text.getvalue()
    shown = shares(outputs)
    writer.writerow([name, *target.names] if probabilities else [name])
    labels = target.decode(predicted)
    if probabilities:
        writer.writerows([label, *row] for label, row in zip(labels, _written(shown), strict=True))
    else:
        writer.writerows([label] for label in labels)
    return text.getvalue()


def _written(numbers: NDArray[Any]) -> Iterable[list[str]]:
    """Rows of numbers, each with as many digits as read back as the same number of its type, and no more."""
    return ([str(value) for value in row] for row in numbers)
