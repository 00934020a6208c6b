"""Trackers with their real packages, on this machine alone; each is skipped where its package is not installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.train.trackers import Tracker

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X.sum(axis=1) > 0).astype(int)


def fitted(callback: cr.Callback, epochs: int = 3, **options: Any) -> cr.Network:
    net = cr.Network(3, [cr.Dense(4, "tanh"), cr.Dense(2, "softmax")], "cross_entropy", engine="reference")
    net.fit(X, Y, epochs=epochs, validation_data=(X, Y), callbacks=[callback], verbose=False, **options)
    return net


class Broken(Tracker):
    package = extra = "json"

    def open(self, fit: cr.FitState) -> None:
        self.told: list[dict[str, float]] = []

    def tell(self, epoch: int, numbers: Any) -> None:
        self.told.append(dict(numbers))
        if epoch == 2:
            raise ConnectionError("no route")


def test_what_a_package_raises_costs_its_log_alone() -> None:
    broken = Broken()
    with pytest.warns(RuntimeWarning, match=r"Broken ends: ConnectionError: no route. Training goes on."):
        net = fitted(broken)
    assert net.history is not None and len(net.history) == 3 and len(broken.told) == 2
    assert {"cost", "validation_cost", "validation_accuracy", "learning_rate"} <= broken.told[0].keys()


def test_what_is_missing_is_said_before_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(cr.MissingDependencyError, match=r"pip install 'chainrule\[wandb\]'"):
        cr.WandbLog()
    with pytest.raises(cr.MissingDependencyError, match=r"pip install 'chainrule\[optuna\]'"):
        cr.OptunaPruning(None)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed (pip install 'chainrule[tensorboard]')")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    net = fitted(cr.TensorBoardLog(tmp_path / "first"))
    events = EventAccumulator(str(tmp_path / "first"))
    events.Reload()
    told = events.Scalars("validation_cost")
    assert net.history is not None and [event.step for event in told] == [1, 2, 3]
    np.testing.assert_allclose([event.value for event in told], net.history.column("validation_cost"), rtol=1e-6)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_mlflow(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed (pip install 'chainrule[mlflow]')")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    log = cr.MLflowLog("first", parameters={"data": "made up"})
    net = fitted(log)
    run = mlflow.get_run(log.run_id)
    assert run.info.status == "FINISHED" and mlflow.active_run() is None
    assert run.data.params["batch_size"] == "32" and run.data.params["data"] == "made up"
    assert net.history is not None and run.data.metrics["cost"] == pytest.approx(net.history[-1].cost)
    with mlflow.start_run() as outer:  # a fit within a run of the user's own leaves it open
        fitted(log)
        assert log.run_id == outer.info.run_id and mlflow.active_run() is not None
    # One that is gone on with goes on in its run.
    folder = tmp_path / "checkpoints"
    fitted(log, checkpoint=folder)
    before = log.run_id
    later = cr.MLflowLog()
    fitted(later, epochs=5, checkpoint=folder, resume=True)
    assert later.run_id == before
    history = mlflow.MlflowClient().get_metric_history(before, "cost")
    assert sorted({metric.step for metric in history}) == [1, 2, 3, 4, 5]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="Weights & Biases is not installed (pip install 'chainrule[wandb]')")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fitted(cr.WandbLog(project="first", dir=str(tmp_path)))
    assert not [w for w in told if "WandbLog ends" in str(w.message)]
    assert wandb.run is None and list(tmp_path.rglob("*.wandb"))
    with wandb.init(dir=str(tmp_path)) as run:
        fitted(cr.WandbLog())
        assert wandb.run is run and run.summary["epoch"] == 3 and run.config["batch_size"] == 32


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_optuna() -> None:
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed (pip install 'chainrule[optuna]')")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: Any) -> float:
        rate = trial.suggest_categorical("rate", [0.1, 1e-6])
        ended = []

        class Last(cr.Callback):
            def on_fit_end(self, fit: cr.FitState) -> None:
                ended.append(fit.epoch)

        try:
            pruning = cr.OptunaPruning(trial)
            net = cr.Network(3, [cr.Dense(4, "tanh"), cr.Dense(2, "softmax")], "cross_entropy", engine="reference")
            net.fit(X, Y, epochs=6, optimizer=cr.SGD(rate), validation_data=(X, Y), callbacks=[Last(), pruning])
        finally:
            assert len(ended) == 1
        return net.cost(X, Y)

    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1)
    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.GridSampler({"rate": [0.1, 1e-6]}, seed=1))
    study.enqueue_trial({"rate": 0.1})
    study.optimize(objective, n_trials=3)
    states = {trial.params["rate"]: trial.state.name for trial in study.trials}
    assert states[0.1] == "COMPLETE" and states[1e-6] == "PRUNED"
    with pytest.raises(cr.SpecError, match="monitor"):
        cr.OptunaPruning(study.trials[0], monitor="accuracy")
