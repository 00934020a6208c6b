"""`chainrule predict`: a saved network on new data."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from chainrule.cli.columns import Columns, check_file, of_numbers
from chainrule.cli.scores import main_line, score, score_line, tell, waiting
from chainrule.data import TargetEncoder
from chainrule.data.readers import read_new
from chainrule.errors import DataError, DataWarning, unknown_name
from chainrule.files.folder import member
from chainrule.metrics import Evaluation
from chainrule.network import Network
from chainrule.runs.decode import are_probabilities, decode, shares
from chainrule.runs.folder import SETTINGS, TABLE, Settings, find_model

if TYPE_CHECKING:
    from chainrule.tabular.frame import Frame
    from chainrule.tabular.saved import Fitted


@dataclass(frozen=True)
class Where:
    """Where predictions go, and how much is told beside them."""

    out: Path | None = None
    """A file; None for standard output."""
    force: bool = False
    """Whether a file that is there already may be overwritten."""
    as_json: bool = False
    """A JSON object for each sample on standard output, in the place of CSV."""
    quiet: bool = False
    """Nothing but the predictions."""


def run(model: Path, data: str, probabilities: bool, engine: str, where: Where) -> None:
    """Predict, and write a line for each sample to standard output, in UTF-8, or a file of the format its name says.

    Where the data differ from those of the training, or hold targets, that is told on standard error.
    Raises DataError where the model or the data cannot be read, or do not belong together, and for a file to write to
    that is there already (unless `force`) or whose name says no format; MissingDependencyError.
    """
    _check_out(where)
    by = _table if member(model, TABLE).is_file() else _network
    with waiting(f"predicting {data}", False if where.quiet else None):
        columns, name, notes, result = by(model, data, probabilities, engine)
    if where.out is None:
        _print(columns.lines() if where.as_json else columns.delimited())
    else:
        columns.write(where.out)
        if not where.quiet:
            print(f"{len(columns.values[0]):,} predictions in {where.out}")
    if not where.quiet:
        tell(name, notes)
        if result is not None:
            print(result, file=sys.stderr)


Predicted = tuple[Columns, str, Sequence[str], str | None]
"""The predictions, what the data are called, what is odd about them, how good the predictions are if that is known."""


def _network(model: Path, data: str, probabilities: bool, engine: str) -> Predicted:
    """By a network that was trained by options."""
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
    columns = _columns(settings.target, outputs, predicted, probabilities and are_probabilities(network.spec))
    if new.y is None:
        return columns, new.name, new.notes, None
    whole = f"{len(X):,} sample{'' if len(X) == 1 else 's'}"
    rows = whole if new.judged.all() else f"{len(new.y):,} of {whole}"
    value = score(settings.target, predicted[new.judged], new.y)
    return columns, new.name, new.notes, score_line(f"{rows},", settings.target, value)


def _columns(target: TargetEncoder, outputs: NDArray[Any], predicted: NDArray[Any], probabilities: bool) -> Columns:
    """The class of each sample and (if wanted) all probabilities, or the numbers."""
    name = target.name or "prediction"
    if target.names is None:
        width = predicted.shape[1]
        return of_numbers([name] if width == 1 else [f"{name}{number}" for number in range(width)], predicted)
    labels = Columns((name,), (target.decode(predicted),))
    return labels.beside(of_numbers(target.names, shares(outputs))) if probabilities else labels


def _table(folder: Path, data: str, probabilities: bool, engine: str) -> Predicted:
    """By an estimator of tables."""
    from chainrule.tabular.classifier import TabularClassifier  # slow to load, and other runs do without
    from chainrule.tabular.frame import read_frame
    from chainrule.tabular.saved import load

    model = load(folder, engine=None if engine == "auto" else engine)
    frame = read_frame(data, header=model.header_)
    if model.id_ is not None and model.id_ not in frame.names:
        raise DataError(f"{frame.source}: {unknown_name('column', model.id_, frame.names)} It names the rows.")
    novelty = model.novelty(frame)
    notes = [str(novelty)] if novelty else []
    predicted = model.predict(frame).reshape(len(frame), -1)
    width, names = predicted.shape[1], model.targets_
    levels = getattr(model, "quantiles", None)
    if levels is not None or len(names) != width:
        name = names[0] if names else "prediction"
        each = tuple(f"{name}{k}" for k in range(width))
        names = (name,) if width == 1 else each if levels is None else tuple(f"{name} {q:g}" for q in levels)
    columns = of_numbers(names, predicted)
    if probabilities and isinstance(model, TabularClassifier):
        columns = columns.beside(of_numbers(map(str, model.classes_), model.predict_proba(frame)))
    if model.id_ is not None:
        columns = Columns((model.id_,), (frame.cells(model.id_),)).beside(columns)
    evaluation, odd = _beside_targets(model, frame)
    result = None
    if evaluation is not None:
        rows = f"{evaluation.samples:,} sample{'' if evaluation.samples == 1 else 's'},"
        value = evaluation.metrics[evaluation.main]
        result = evaluation.short()
        if not evaluation.each:  # which have units of their own, and no number that is of all
            result += f"\n{main_line(rows, isinstance(model, TabularClassifier), value)}"
    return columns, frame.source, [note for note in (*notes, *odd) if note], result


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


def _check_out(where: Where) -> None:
    out = where.out
    if out is None:
        if where.force:
            raise DataError("--force overwrites the file of --out; give that too.")
        return
    if where.as_json:
        raise DataError("--json writes to standard output; with --out give the file a name that ends in .jsonl.")
    check_file(out)
    if out.is_dir():
        raise DataError(f"{out}: is a folder, not a file.")
    if out.exists() and not where.force:
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
