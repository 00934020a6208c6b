"""What can be hung into a fit: the hooks, early stopping, averaged weights, and logs.

A callback may look at everything and ask for a stop.  It never raises once training runs: a full disk costs the log,
with a warning, not the network.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from chainrule.calls import constructor
from chainrule.errors import DataError, SpecError, expected, unknown_name
from chainrule.files import describe_os_error
from chainrule.train.history import COLUMNS, EpochRecord, csv_row, improves
from chainrule.train.state import FitState, Snapshot


class Callback:
    """The hooks of a fit; each does nothing until a subclass says otherwise.

    every: where given, the fit pauses after every so many batches and calls `on_batches_end`; the pauses change nothing
    in the numbers.  By default there are none, and an epoch is a single call of the engine.
    """

    every: int | None = None
    """Batches between two pauses; None for no pauses."""
    looks: bool = True
    """Whether its hooks read the network's arrays; one that does not (or asks `fit.refresh()` first) costs less."""
    writes: bool = True
    """Whether its hooks may overwrite the network's arrays before the fit ends; one that only looks costs less.  What
    one that says no writes all the same is lost (but for rows of a big table that no batch names)."""

    idle: bool = False
    """Whether none of its hooks between the fit's beginning and its end does anything, in a fit that has begun: short
    epochs may then run together, and those hooks are not called."""

    def next_stop(self, step: int) -> int | None:
        """After `step` steps of the fit: the number of the step to pause after next; None for no pause."""
        return None if self.every is None else (step // self.every + 1) * self.every

    def on_batches_end(self, fit: FitState) -> None:
        """After the step that `next_stop` named; `fit.step` and the network's arrays are as of then."""

    def state(self) -> dict[str, Any]:
        """What a fit that is gone on with later needs of it: plain values, lists, arrays and dictionaries of these."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from such a state; after `on_fit_begin`."""

    def on_fit_begin(self, fit: FitState) -> None:
        """Before the first step; the place to raise what would make the whole fit useless."""

    def on_epoch_begin(self, fit: FitState) -> None:
        """Before the first step of an epoch."""

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        """After the last step of an epoch and its validation; `record` is already the last of `fit.history`."""

    def on_fit_end(self, fit: FitState) -> None:
        """After the last epoch, and also after a stop, a divergence or an interrupt."""


def as_callbacks(given: object) -> tuple[Callback, ...]:
    """One callback, or several.  Raises SpecError for what is none."""
    several = tuple(given) if isinstance(given, Iterable) else (given,)
    for one in several:
        if not isinstance(one, Callback):
            hint = f"Call it: {one.__name__}(...)." if isinstance(one, type) and issubclass(one, Callback) else ""
            raise SpecError(expected("Each of the callbacks", "a Callback such as cr.EarlyStopping()", one, hint))
    return several


@constructor
class EarlyStopping(Callback):
    """Stops when a value has not improved by more than `min_delta` for `patience` epochs; keeps the best weights.

    monitor: "cost", "validation_cost" or "validation_metric"; by default the validation cost where there are
    validation data, else the cost.  An accuracy improves upwards, everything else downwards.  A value that is not
    finite never improves.
    restore_best: at the end of the fit, also when it was not stopped, the network gets the weights of its best epoch
    back; a gain below `min_delta` counts for that.

    start_from_epoch: so many first epochs are passed by: they count neither as the best nor as without improvement.

    After the fit: `best_epoch` (None if no value was finite), `best_value`.
    Raises SpecError for settings that cannot be, and at the beginning of a fit that has no such value.
    """

    looks = writes = False

    MONITORS = ("cost", "validation_cost", "validation_metric")

    def __init__(
        self,
        patience: int = 10,
        min_delta: float = 0.0,
        monitor: str | None = None,
        restore_best: bool = True,
        start_from_epoch: int = 0,
    ) -> None:
        faults = []
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            faults.append(expected("The 'patience' of EarlyStopping", "an integer of at least 1 (epochs)", patience))
        if not isinstance(min_delta, int | float) or not (math.isfinite(min_delta) and min_delta >= 0):
            faults.append(expected("The 'min_delta' of EarlyStopping", "a finite number, 0 or more", min_delta))
        if isinstance(start_from_epoch, bool) or not isinstance(start_from_epoch, int) or start_from_epoch < 0:
            allowed = "an integer of at least 0 (epochs)"
            faults.append(expected("The 'start_from_epoch' of EarlyStopping", allowed, start_from_epoch))
        if monitor is not None and monitor not in self.MONITORS:
            faults.append(unknown_name("value for EarlyStopping to monitor", str(monitor), self.MONITORS))
        if faults:
            raise SpecError(faults)
        self.patience = patience
        self.min_delta = float(min_delta)
        self.monitor = monitor
        self.restore_best = restore_best
        self.start_from_epoch = start_from_epoch
        self.best_epoch: int | None = None
        self.best_value = math.nan
        self._snapshot: Snapshot | None = None
        self._name = "cost"
        self._reference: float | None = None
        self._waited = 0

    def on_fit_begin(self, fit: FitState) -> None:
        self._name = self.monitor or ("validation_cost" if fit.has_validation else "cost")
        if self._name.startswith("validation") and not fit.has_validation:
            raise SpecError(f"EarlyStopping monitors {self._name!r}, but the fit has no validation data.")
        self.best_epoch = None
        self.best_value = math.nan
        self._snapshot = None
        self._reference = None
        self._waited = 0

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        if fit.epoch <= self.start_from_epoch:
            return
        value = getattr(record, self._name)
        if value is not None and math.isfinite(value):
            if self.best_epoch is None or improves(record, self._name, self.best_value):
                self.best_epoch, self.best_value = record.epoch, value
                if self.restore_best:
                    self._keep(fit)
            if self._reference is None or improves(record, self._name, self._reference, self.min_delta):
                self._reference, self._waited = value, 0
                return
        self._waited += 1
        if self._waited >= self.patience:
            shown = self._name.replace("_", " ").replace("metric", record.metric_name or "metric")
            epochs = f"{self.patience} epoch{'s' if self.patience > 1 else ''}"
            fit.request_stop(f"the {shown} has not improved for {epochs}")

    def on_fit_end(self, fit: FitState) -> None:
        if self._snapshot is not None:
            self._snapshot.restore(fit.network)
            self._snapshot = None

    def state(self) -> dict[str, Any]:
        """The best epoch, its value and weights, and how long it has been since."""
        return {
            "best_epoch": self.best_epoch,
            "best_value": self.best_value,
            "reference": self._reference,
            "waited": self._waited,
            "weights": None if self._snapshot is None else self._snapshot.arrays(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        self.best_epoch, self.best_value = state["best_epoch"], state["best_value"]
        self._reference, self._waited = state["reference"], state["waited"]
        self._snapshot = None if state["weights"] is None else Snapshot.of(state["weights"])

    def _keep(self, fit: FitState) -> None:
        fit.refresh()
        if self._snapshot is None:
            self._snapshot = Snapshot(fit.network)
        else:
            self._snapshot.update(fit.network)


@constructor
class WeightAverage(Callback):
    """At the end of the fit the network gets the mean of its weights after each of the `last` epochs.

    Also of its running statistics.  A fit that ends before these epochs keeps its last weights; one that ends among
    them averages those it had.
    After the fit: `count`, how many were averaged.
    Source: Izmailov et al., Averaging Weights Leads to Wider Optima (2018).  Raises SpecError for `last` below 1.
    """

    looks = writes = False

    def __init__(self, last: int) -> None:
        if isinstance(last, bool) or not isinstance(last, int) or last < 1:
            raise SpecError(expected("The 'last' of WeightAverage", "an integer of at least 1 (epochs)", last))
        self.last = last
        self.count = 0
        self._means: dict[str, NDArray[np.float64]] = {}

    def on_fit_begin(self, fit: FitState) -> None:
        self.count = 0
        self._means = {}

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        if record.epoch <= fit.epochs - self.last:
            return
        self.count += 1
        fit.refresh()
        for name, view in _arrays(fit).items():
            mean = self._means.setdefault(name, np.zeros(view.shape, np.float64))
            mean += (view - mean) / self.count

    def state(self) -> dict[str, Any]:
        """How many were averaged, and their means."""
        return {"count": self.count, "means": {name: mean.copy() for name, mean in self._means.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        self.count, self._means = state["count"], {name: mean.copy() for name, mean in state["means"].items()}

    def on_fit_end(self, fit: FitState) -> None:
        means, self._means = self._means, {}

        def fill(arrays: Mapping[str, NDArray[Any]]) -> None:
            for name, mean in means.items():
                arrays[name][...] = mean

        if means:
            fit.network.overwrite(fill)


@constructor
class CSVLog(Callback):
    """Writes a line an epoch to a CSV file, each at once on the disk, so that an interrupt loses none.

    append: add to a file that is there (its header must be the same); by default a fit writes the file anew.
    Raises DataError at the beginning of the fit where the file cannot be written.  A fault later on ends the log with a
    RuntimeWarning, and training goes on.
    """

    looks = writes = False

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        from pathlib import Path  # slow to load

        self.path = Path(path)
        self.append = append
        self._stream: TextIO | None = None

    def on_fit_begin(self, fit: FitState) -> None:
        self._close()
        if fit.worker > 0:
            return
        header = ",".join(COLUMNS)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            there = self.path.exists() and self.path.stat().st_size > 0
            going_on = (self.append or fit.resumed) and there
            if going_on:
                with open(self.path, encoding="utf-8", errors="replace") as stream:
                    first = stream.readline().strip()
                if first != header:
                    raise DataError(f"{self.path}: holds something else than a log of epochs; choose another file.")
            # Kept open over the whole fit: opening anew for every epoch could fail at every epoch.
            self._stream = open(self.path, "r+" if going_on else "w", encoding="utf-8", newline="")  # noqa: SIM115
            self._stream.seek(0, os.SEEK_END)
            if not going_on:
                self._stream.write(header + "\n")
                # The records are of a fit that is gone on with, where its log is not there.
                self._write(fit.history)
        except OSError as error:
            self._close()
            raise DataError(f"{self.path}: the log cannot be written: {describe_os_error(error)}.") from None

    def _write(self, records: Iterable[EpochRecord]) -> None:
        import csv  # slow to load

        assert self._stream is not None
        csv.writer(self._stream, lineterminator="\n").writerows(csv_row(record) for record in records)
        self._stream.flush()

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        if self._stream is None:
            return
        try:
            self._write([record])
        except OSError as error:
            self._close()
            reason = describe_os_error(error)
            warnings.warn(f"{self.path}: the log ends here: {reason}. Training goes on.", RuntimeWarning, stacklevel=2)

    def state(self) -> dict[str, Any]:
        """How long the log is, in bytes."""
        return {"length": None if self._stream is None else self._stream.tell()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Cuts off the epochs after it."""
        length, stream = state["length"], self._stream
        if stream is not None and length is not None and stream.tell() > length:
            stream.seek(length)
            stream.truncate()

    def on_fit_end(self, fit: FitState) -> None:
        self._close()

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except OSError:
                # Closing flushes; what could not be written has been reported where it was written.
                return


class LearningRateLog(Callback):
    """Collects the learning rate at the end of every epoch.

    After the fit, one entry an epoch each: `steps` (taken so far), `rates`.
    """

    looks = writes = False

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.rates: list[float] = []

    def on_fit_begin(self, fit: FitState) -> None:
        self.steps, self.rates = [], []

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        self.steps.append(fit.step)
        self.rates.append(record.learning_rate)

    def state(self) -> dict[str, Any]:
        """Both lists."""
        return {"steps": [*self.steps], "rates": [*self.rates]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        self.steps, self.rates = [*state["steps"]], [*state["rates"]]


def _arrays(fit: FitState) -> dict[str, NDArray[Any]]:
    return {**fit.network.parameters, **fit.network.state}
