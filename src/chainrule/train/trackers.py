"""Callbacks that tell other programs how a fit goes: TensorBoard, MLflow, Weights & Biases, Optuna.

Each needs its package, which an extra of chainrule's installs.  What such a package raises while a fit runs costs what
it would have been told, with a warning, not the network.
"""

from __future__ import annotations

import importlib.util
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from chainrule.calls import says_arguments
from chainrule.errors import MissingDependencyError, SpecError, expected
from chainrule.train.callbacks import Callback, EarlyStopping
from chainrule.train.history import NUMBER_COLUMNS, EpochRecord
from chainrule.train.state import FitState


class Tracker(Callback):
    """The base of those that are told every epoch; a subclass opens its log, tells a record, and closes it.

    Raises MissingDependencyError where its package is not installed.
    """

    looks = writes = False

    package: ClassVar[str]
    """What it needs, as it is imported."""
    extra: ClassVar[str]
    """The extra of chainrule's that installs it."""

    def __init__(self) -> None:
        _needed(type(self).__name__, self.package, self.extra)
        self._opened = self._failed = False

    def open(self, fit: FitState) -> None:
        """Before the first record of a fit."""
        raise NotImplementedError

    def tell(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """What the record of an epoch says, by name: cost, validation_cost, metric, learning_rate, ..."""
        raise NotImplementedError

    def close(self) -> None:
        """After the last record."""
        raise NotImplementedError

    def on_fit_begin(self, fit: FitState) -> None:
        self._opened = self._failed = False

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        if fit.worker > 0:
            return
        if not self._opened:  # not before: a fit that is gone on with has said by now what it goes on from
            self._try(lambda: self.open(fit))
            self._opened = True
        self._try(lambda: self.tell(record.epoch, numbers_of(record)))

    def on_fit_end(self, fit: FitState) -> None:
        if self._opened:
            self._try(self.close)
            self._opened = False

    def _try(self, step: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            step()
        except Exception as error:  # of a package that others write: its log ends, the fit does not
            self._failed = True
            reason = f"{type(error).__name__}: {error}"
            warnings.warn(f"{type(self).__name__} ends: {reason}. Training goes on.", RuntimeWarning, stacklevel=2)


class TensorBoardLog(Tracker):
    """Writes a fit's curves for TensorBoard: `tensorboard --logdir runs`.

    A point an epoch for each number of its record; pip install 'chainrule[tensorboard]'.

    Parameters
    ----------
    folder
        Of this fit; fits in folders beside each other are compared.

    Raises
    ------
    MissingDependencyError
        Without tensorboard.
    """

    package = "tensorboard"
    extra = "tensorboard"

    @says_arguments
    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__()
        self.folder = os.fspath(folder)
        self._writer: Any = None

    def open(self, fit: FitState) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(self.folder)

    def tell(self, epoch: int, numbers: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=number) for name, number in numbers.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=epoch, summary=Summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class MLflowLog(Tracker):
    """Tells MLflow a fit: its settings as parameters, its curves as metrics.

    It writes into the run that is active, `with mlflow.start_run(): net.fit(...)`, or else into one of its own.  Where
    MLflow keeps runs is MLflow's setting (`mlflow.set_tracking_uri`); pip install 'chainrule[mlflow]'.

    Parameters
    ----------
    run_name
        Of a run of its own.
    parameters
        More to be kept beside the settings, {"data": "adult.csv"}.

    Raises
    ------
    MissingDependencyError
        Without mlflow.
    """

    package = "mlflow"
    extra = "mlflow"

    @says_arguments
    def __init__(self, run_name: str | None = None, parameters: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self.run_name = run_name
        self.parameters = dict(parameters or {})
        self.run_id: str | None = None
        """Of the last fit's run."""
        self._own = False
        self._goes_on = False

    def on_fit_begin(self, fit: FitState) -> None:
        super().on_fit_begin(fit)
        self._goes_on = False

    def open(self, fit: FitState) -> None:
        import mlflow

        run = mlflow.active_run()
        self._own = run is None
        if run is None:
            again = self.run_id if self._goes_on else None
            run = mlflow.start_run(run_id=again, run_name=None if again else self.run_name)
        self.run_id = run.info.run_id
        if not self._goes_on:
            mlflow.log_params({**settings_of(fit), **self.parameters})

    def tell(self, epoch: int, numbers: Mapping[str, float]) -> None:
        import mlflow

        mlflow.log_metrics(dict(numbers), step=epoch)

    def close(self) -> None:
        import mlflow

        if self._own:
            mlflow.end_run()

    def state(self) -> dict[str, Any]:
        """The run that a fit that is gone on with goes on in."""
        return {"run_id": self.run_id}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.run_id, self._goes_on = state["run_id"], state["run_id"] is not None


class WandbLog(Tracker):
    """Tells Weights & Biases a fit: its settings as the configuration, its curves by epoch.

    It writes into the run that there is (`wandb.init(...)` before), or else into one of its own, which ends with the
    fit.  WANDB_MODE=offline keeps everything on this machine; pip install 'chainrule[wandb]'.

    Parameters
    ----------
    options
        Of `wandb.init`, for a run of its own: project="digits", name="first", ...

    Raises
    ------
    MissingDependencyError
        Without wandb.
    """

    package = "wandb"
    extra = "wandb"

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options
        self._run: Any = None
        self._own = False

    def open(self, fit: FitState) -> None:
        import wandb

        self._own = wandb.run is None
        self._run = wandb.init(**self.options) if self._own else wandb.run
        self._run.config.update(settings_of(fit), allow_val_change=True)

    def tell(self, epoch: int, numbers: Mapping[str, float]) -> None:
        self._run.log({"epoch": epoch, **numbers})

    def close(self) -> None:
        if self._own:
            self._run.finish()


class OptunaPruning(Callback):
    """Tells a trial of Optuna's every epoch, and ends the fit where Optuna prunes the trial: TrialPruned is raised.

        def objective(trial):
            net = cr.Network(64, [cr.Dense(trial.suggest_int("units", 8, 256), "relu"), cr.Dense(10, "softmax")], ...)
            net.fit(X, y, epochs=20, validation_data=held, callbacks=[cr.OptunaPruning(trial)])
            return net.cost(*held)

    The other callbacks of the fit come to their end as after any stop; pip install 'chainrule[optuna]'.

    Parameters
    ----------
    trial
        Optuna's.
    monitor
        "cost", "validation_cost" or "validation_metric"; None: the validation cost where there are validation data,
        else the cost.  The study's direction must be that of the value.

    Raises
    ------
    MissingDependencyError
        Without optuna.
    SpecError
        For a value that there is not.
    """

    looks = writes = False

    @says_arguments
    def __init__(self, trial: Any, monitor: str | None = None) -> None:
        _needed("OptunaPruning", "optuna", "optuna")
        if monitor is not None and monitor not in EarlyStopping.MONITORS:
            raise SpecError(expected("monitor", f"None or one of {', '.join(EarlyStopping.MONITORS)}", monitor))
        self.trial = trial
        self.monitor = monitor
        self._name = "cost"
        self._pruned = False

    def on_fit_begin(self, fit: FitState) -> None:
        self._pruned = False
        self._name = self.monitor or ("validation_cost" if fit.has_validation else "cost")
        if self._name.startswith("validation") and not fit.has_validation:
            raise SpecError(f"OptunaPruning monitors {self._name!r}, but the fit has no validation data.")

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        value = getattr(record, self._name)
        self.trial.report(math.nan if value is None else value, record.epoch)
        if self.trial.should_prune():
            self._pruned = True
            fit.request_stop("Optuna prunes the trial")

    def on_fit_end(self, fit: FitState) -> None:
        if self._pruned:
            import optuna

            raise optuna.TrialPruned


def numbers_of(record: EpochRecord) -> dict[str, float]:
    """What a record says that is a number, by name; metrics by what they are: accuracy, validation_accuracy."""
    numbers = {name: getattr(record, name) for name in NUMBER_COLUMNS if name != "epoch"}
    if record.metric_name is not None:
        for part in ("", "validation_"):
            numbers[part + record.metric_name] = numbers.pop(part + "metric")
    return {name: float(value) for name, value in numbers.items() if value is not None and math.isfinite(value)}


def settings_of(fit: FitState) -> dict[str, object]:
    """What a fit was called with."""
    network = {"network": repr(fit.network)}
    return {**network, "epochs": fit.epochs, "batch_size": fit.batch_size, "samples": fit.samples}


def _needed(name: str, package: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingDependencyError(f"{name} needs {package}: pip install 'chainrule[{extra}]'")
