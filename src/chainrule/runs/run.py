"""A run taken back into Python: the network with all that stood around it when it was trained."""

from __future__ import annotations

import datetime
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import frames, metrics
from chainrule.data.readers import NewData, read, read_new
from chainrule.data.targets import TargetEncoder
from chainrule.describe.losses import Losses
from chainrule.display import Displayed
from chainrule.errors import DataError, DataWarning, expected
from chainrule.metrics import Evaluation
from chainrule.network import Network
from chainrule.report.about import day
from chainrule.runs.decode import are_probabilities, decode, encode_classes, shares
from chainrule.runs.folder import HISTORY, SETTINGS, Settings, find_model
from chainrule.runs.optimizer import optimizer_of
from chainrule.train.history import History

Array = NDArray[Any]


class Run(Displayed):
    """What `chainrule train` left in a folder, ready to predict.

        run = cr.load_run("runs/adult")
        run.predict(df)                 the classes as the data name them, or numbers in the target's own unit
        run.predict_proba(df)           (m, classes), in the order of run.classes
        run.evaluate("test.csv")        metrics beside a baseline; the target's column is found by its name
        run.network, run.history, run.options

    Data are a path or a data frame with the columns of the training, in any order, or, for a network that was not
    trained on a table, an array (m, n).  What differs from the training data is told in a DataWarning.
    """

    folder: Path
    """Where it lies."""
    network: Network
    """What was trained."""
    history: History
    """Its epochs."""

    def __init__(self, folder: Path, network: Network, settings: Settings, history: History) -> None:
        self.folder, self.network, self.history = folder, network, history
        self._settings = settings
        target = settings.target
        assert target is not None
        self._target: TargetEncoder = target

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes in the order of the probabilities; None where numbers are predicted."""
        return self._target.names

    @property
    def target(self) -> str | None:
        """The name of the column that is predicted, if it has one."""
        return self._target.name

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The table's columns that it predicts from; None where it was not trained on a table."""
        encoder = self._settings.encoder
        return None if encoder is None else tuple(column.name for column in encoder.columns)

    @property
    def options(self) -> dict[str, Any]:
        """The options of the command that trained it."""
        return dict(self.record.get("options") or {})

    @property
    def record(self) -> dict[str, Any]:
        """What its settings say for people: options, data, versions, result."""
        return {name: value for name, value in self._settings.record.items() if value is not None}

    def predict(self, X: Any) -> Array:
        """The predicted classes (m,), texts as the data name them; or numbers (m,), several outputs (m, outputs).

        X: a path, a data frame or an array.  Raises DataError for data that do not fit.
        """
        predicted = self._decoded(self._outputs(self._new(X)))
        if self.classes is None:
            return predicted[:, 0] if predicted.shape[1] == 1 else predicted
        return np.array(self.classes)[predicted]

    def predict_proba(self, X: Any) -> Array:
        """The probabilities of the classes, (m, K).  Raises DataError as `predict`, and where there are none."""
        if self.classes is None or not are_probabilities(self.network.spec):
            raise DataError(
                f"{self.folder}: its outputs are not probabilities (loss {self.network.spec.loss.name}); use predict."
            )
        return shares(self._outputs(self._new(X)))

    def evaluate(self, data: Any, y: Any = None) -> Evaluation:
        """How good its predictions are on data with targets: metrics beside a baseline.

        data: a path or a frame that holds the target's column; or any that `predict` takes, and y (m,): classes as the
        data name them, or numbers.  Rows without a target, or of a class that training had none of, are left out, and
        told in a DataWarning.
        Raises DataError as `predict`, and where there is no target.
        """
        new = self._new(data)
        truth, judged = (new.y, new.judged) if y is None else self._targets(y, len(new.X))
        if truth is None:
            name = f" {self.target!r}" if self.target else ""
            raise DataError(f"{new.name}: there is no target{name} to compare with. Give the column, or y.")
        truth, judged = self._known(new, truth, judged)
        outputs = self._outputs(new)[judged]
        predicted = self._decoded(outputs)
        if self.classes is None:
            return metrics.of_numbers(predicted, truth)
        probabilities = shares(outputs) if are_probabilities(self.network.spec) else None
        return metrics.of_classes(predicted, probabilities, truth, self.classes)

    def report(self, data: Any = None, path: str | os.PathLike[str] | None = None, **options: Any) -> Path:
        """Writes an HTML page on the run and these data, by default report.html in its folder; the page's path.

        data: as of `evaluate`, with targets; without, the test part of the data that it was trained on, where these
        are where they were.  options: of `Network.report`.  Raises DataError, MissingDependencyError.
        """
        from chainrule.report import html  # loaded when it is asked for

        if data is None:
            data, y = self.test_part()
            new, judged = NewData(str(self.folder), data, y, np.ones(len(y), dtype=bool)), np.ones(len(y), dtype=bool)
            options = {"part": "test", **options}
        else:
            new = self._new(data)
            if new.y is None:
                raise DataError(f"{new.name}: there are no targets; a report shows predictions beside what was right.")
            y, judged = self._known(new, new.y, new.judged)
        spec = self.network.spec
        assert not isinstance(spec.loss, Losses)
        targets: Array
        if self.classes is None:
            columns = y.reshape(len(y), -1)
            standardizer = self._settings.target_standardizer
            targets = columns if standardizer is None else standardizer.transform(columns)
        else:
            targets = encode_classes(y, spec.loss, spec.outputs)
        given = {"history": self.history, "names": self.classes, "title": self.folder.resolve().name,
                 **self._about(), **options}  # fmt: skip
        place = self.folder / "report.html" if path is None else path
        return html.report(self.network, place, self._inputs(new)[judged], targets, **given)

    def test_part(self) -> tuple[Array, Array]:
        """(X, y) of the data that it was trained on, which it was tested on: read anew, and divided as then.

        Raises DataError where the data are not where they were, or are others.
        """
        record, options = self.record.get("data") or {}, self.options
        source = record.get("source")
        if source is None or "seed" not in options:
            raise DataError(f"{self.folder}: does not say what it was trained on; give the data.")
        try:
            given = {name: options.get(name) for name in ("target", "task")}
            data = read(source, **given, ignore=options.get("ignore") or (), header=options.get("header", True))
            if data.X_test is None:
                data = data.split(options["test"], options["seed"], record.get("draw", 1))
        except DataError as fault:
            raise DataError(f"{self.folder}: its data cannot be read again; give the data. {fault}") from None
        assert data.X_test is not None and data.y_test is not None
        same = data.feature_names == tuple(record.get("features", ())) and data.target.names == self.classes
        if not same or len(data.X_test) != record.get("test"):
            raise DataError(f"{self.folder}: {source} is not what it was trained on any more; give the data.")
        return data.X_test, data.y_test

    def _about(self) -> dict[str, Any]:
        """What a report says of the run beside its numbers."""
        record, encoder = self.record, self._settings.encoder
        image = (record.get("data") or {}).get("image")
        trained = datetime.datetime.fromtimestamp(find_model(self.folder)[0].stat().st_mtime)
        return {
            "target": self.target or "",
            "target_scale": self._settings.target_standardizer,
            "columns": None if encoder is None else encoder.sources,
            "shape": None if image is None else tuple(image),
            "kept": (record.get("result") or {}).get("best epoch"),
            "command": record.get("command", ""),
            "date": day(trained),
            "optimizer": optimizer_of(self.options),
            "settings": self._trained_on(),
        }

    def _trained_on(self) -> dict[str, object]:
        """What the training was, as a report made with it has it too."""
        data, options = self.record.get("data") or {}, self.options
        samples = data.get("training")
        facts = {
            "data": data.get("name"),
            "trained on": f"{samples:,} samples" if isinstance(samples, int) else None,
            "epochs": options.get("epochs"),
            "batch size": options.get("batch_size"),
            "engine": options.get("engine"),
        }
        return {name: value for name, value in facts.items() if value is not None}

    def __repr__(self) -> str:
        what = "numbers" if self.classes is None else f"{len(self.classes)} classes"
        widths = "-".join(map(str, self.network.spec.widths))
        return f"Run({str(self.folder)!r}, {widths}, {what})"

    # --- behind it -----------------------------------------------------------------------------------------------

    def _new(self, X: Any) -> NewData:
        """New data as `read_new` reads them; arrays as they are."""
        if isinstance(X, str | os.PathLike) or frames.is_frame(X):
            new = read_new(X, self._settings.encoder, self._target)
            if new.notes:
                warnings.warn(f"{new.name}: {'; '.join(new.notes)}.", DataWarning, stacklevel=3)
        elif self._settings.encoder is not None:
            wanted = "a path or a data frame with the training's columns"
            raise DataError(expected("The data", wanted, type(X).__name__, "It was trained on a table."))
        else:
            array = np.asarray(X)
            new = NewData("X", array, None, np.zeros(len(array) if array.ndim else 0, dtype=bool))
        n = self.network.spec.inputs
        if new.X.ndim != 2 or new.X.shape[1] != n:
            raise DataError(expected(f"{new.name}", f"(samples, {n:,}), as it was trained on", new.X.shape))
        return new

    def _inputs(self, new: NewData) -> Array:
        standardizer = self._settings.standardizer
        return new.X if standardizer is None else standardizer.transform(new.X)

    def _outputs(self, new: NewData) -> Array:
        outputs: Array = self.network.predict(self._inputs(new))
        return outputs

    def _decoded(self, outputs: Array) -> Array:
        return decode(outputs, self._target, self._settings.target_standardizer, self.network.spec)

    def _known(self, new: NewData, truth: Array, judged: Array) -> tuple[Array, Array]:
        """The targets, and the mask of their rows, without those of classes that training had none of."""
        if self.classes is None:
            return truth, judged
        there = truth >= 0
        if not there.any():
            raise DataError(f"{new.name}: the training data had none of the classes of its rows.")
        rows = judged.copy()
        rows[judged] = there
        return truth[there], rows

    def _targets(self, y: Any, m: int) -> tuple[Array | None, Array]:
        """y as class numbers or numbers, and which rows have one."""
        cells = frames.cells(y)
        values = cells if isinstance(cells, np.ndarray) else frames.texts(cells)
        if len(values) != m:
            raise DataError(f"There are {m:,} samples, but {len(values):,} targets.")
        found, judged, odd = self._target.compare(values, lambda row: f"row {row}")
        if odd:
            warnings.warn(f"y: {'; '.join(odd)}.", DataWarning, stacklevel=3)
        return (found[judged] if judged.any() else None), judged


def load_run(folder: str | os.PathLike[str], *, engine: str = "auto") -> Run:
    """The run that `chainrule train` left in a folder; nothing in its files is executed.

    Raises DataError where there is none, or its files are damaged or not of one run.
    """
    place = Path(folder)
    path, settings = find_model(place)
    network = Network.load(path, engine=engine)
    if settings is None:
        raise DataError(f"{place}: holds a network without {SETTINGS}; open it with cr.Network.load({str(path)!r}).")
    settings.check(path.with_name(SETTINGS), network.spec)
    if isinstance(network.spec.loss, Losses):
        raise DataError(f"{place}: its network has several outputs, each with a loss; open it with cr.Network.load.")
    if settings.target is None:
        raise DataError(f"{place}: is a character model; open it with chainrule.language.CharacterModel.load.")
    log = path.with_name(HISTORY)
    return Run(place, network, settings, History.load_json(log) if log.is_file() else History())
