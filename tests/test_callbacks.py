"""Callbacks, history and progress, driven by hand through a fit whose costs are given."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import chainrule as cr
from chainrule.errors import DataError, SpecError
from chainrule.train.callbacks import Callback, CSVLog, EarlyStopping, LearningRateLog, WeightAverage
from chainrule.train.history import EpochRecord, History
from chainrule.train.progress import Progress
from chainrule.train.state import FitState, Snapshot


class Weights:
    """The part of a network that callbacks touch: after epoch e every number of it is e."""

    def __init__(self) -> None:
        self._all = np.zeros(6)
        self.parameters: dict[str, NDArray[Any]] = {"W1": self._all[:4].reshape(2, 2), "b1": self._all[4:5]}
        self.state: dict[str, NDArray[Any]] = {"mean1": self._all[5:]}

    def train(self, epoch: int) -> None:
        self._all[:] = epoch

    def overwrite(self, fill: Callable[[dict[str, NDArray[Any]]], None], rows: Any = None) -> None:
        fill(self.parameters | self.state)

    @property
    def values(self) -> set[float]:
        return set(self._all.tolist())


def record(epoch: int, cost: float, **others: Any) -> EpochRecord:
    return EpochRecord(
        epoch, cost, **{"learning_rate": 0.1 / epoch, "samples_per_second": 1000.0, "seconds": 0.5} | others
    )


def fit(
    callbacks: Iterable[Callback], records: Iterable[EpochRecord], validation: bool = False, epochs: int = 20
) -> tuple[FitState, Weights]:
    """What the training loop does, without the training."""
    weights = Weights()
    state = FitState(weights, epochs, 10, 100, 10, has_validation=validation)
    for callback in callbacks:
        callback.on_fit_begin(state)
    for row in records:
        state.epoch = row.epoch
        for callback in callbacks:
            callback.on_epoch_begin(state)
        weights.train(row.epoch)
        state.step += state.steps_per_epoch
        state.history.append(row)
        for callback in callbacks:
            callback.on_epoch_end(state, row)
        if state.stop_reason is not None:
            state.history.stopped = state.stop_reason
            break
    for callback in callbacks:
        callback.on_fit_end(state)
    return state, weights


def costs(*values: float, **others: Any) -> list[EpochRecord]:
    return [record(epoch, value, **others) for epoch, value in enumerate(values, 1)]


class TestEarlyStopping:
    def test_stops_and_restores_the_best(self) -> None:
        stopping = EarlyStopping(patience=2)
        state, weights = fit([stopping], costs(3, 2, 1, 1.5, 1.5, 0.5))
        assert len(state.history) == 5
        assert state.history.stopped == "the cost has not improved for 2 epochs"
        assert weights.values == {3.0} and (stopping.best_epoch, stopping.best_value) == (3, 1)

    def test_restores_also_when_it_did_not_stop(self) -> None:
        state, weights = fit([EarlyStopping(patience=10)], costs(3, 1, 2))
        assert state.stop_reason is None and weights.values == {2.0}

    def test_can_leave_the_last_weights(self) -> None:
        assert fit([EarlyStopping(patience=1, restore_best=False)], costs(1, 2, 3))[1].values == {2.0}

    def test_watches_the_validation_where_there_is_one(self) -> None:
        rows = [record(e, 1 / e, validation_cost=float(v)) for e, v in enumerate([3, 2, 4, 5, 6], 1)]
        stopping = EarlyStopping(patience=2)
        state, weights = fit([stopping], rows, validation=True)
        assert weights.values == {2.0} and state.stop_reason == "the validation cost has not improved for 2 epochs"

    def test_accuracy_improves_upwards_and_an_error_downwards(self) -> None:
        for name, best in (("accuracy", 2), ("error", 3)):
            rows = [
                record(e, 1.0, validation_metric=v, metric_name=name) for e, v in enumerate([0.5, 0.9, 0.2, 0.3], 1)
            ]
            stopping = EarlyStopping(patience=9, monitor="validation_metric")
            assert fit([stopping], rows, validation=True)[1].values == {float(best)}
            assert stopping.best_epoch == best

    def test_small_gains_do_not_count_against_patience_but_are_kept(self) -> None:
        stopping = EarlyStopping(patience=2, min_delta=0.5)
        state, weights = fit([stopping], costs(3, 2.9, 2.8, 1))
        assert len(state.history) == 3 and weights.values == {3.0} and stopping.best_value == 2.8

    def test_small_gains_add_up(self) -> None:
        assert len(fit([EarlyStopping(patience=2, min_delta=0.15)], costs(3, 2.9, 2.8, 2.7, 2.6))[0].history) == 5

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_value_that_is_not_finite_is_never_the_best(self, bad: float) -> None:
        stopping = EarlyStopping(patience=9)
        assert fit([stopping], costs(bad, 2, bad, 3))[1].values == {2.0}
        assert fit([stopping], costs(bad, bad))[1].values == {2.0}
        assert stopping.best_epoch is None and math.isnan(stopping.best_value)
        assert fit([EarlyStopping(patience=2)], costs(bad, bad, bad))[0].epoch == 2

    def test_a_second_fit_starts_anew(self) -> None:
        stopping = EarlyStopping(patience=2)
        fit([stopping], costs(1, 2, 3))
        state, weights = fit([stopping], costs(9, 8, 7))
        assert len(state.history) == 3 and weights.values == {3.0} and stopping.best_value == 7

    def test_faults(self) -> None:
        with pytest.raises(SpecError) as caught:
            EarlyStopping(patience=0, min_delta=-1, monitor="validation")
        with pytest.raises(SpecError, match="validation_metric"):
            EarlyStopping(monitor="metric")  # there is none of the training data
        assert len(caught.value.faults) == 3 and "Did you mean 'validation_cost'" in str(caught.value)
        for wrong in (1.5, True, "3"):
            with pytest.raises(SpecError, match="'patience'"):
                EarlyStopping(patience=wrong)  # type: ignore[arg-type]
        with pytest.raises(SpecError, match="no validation data"):
            fit([EarlyStopping(monitor="validation_cost")], costs(1))


class TestCsvLog:
    def test_a_line_an_epoch_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "log.csv"
        log = CSVLog(path)
        seen: list[int] = []

        class Reader(Callback):
            def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
                seen.append(len(path.read_text().splitlines()))

        fit([log, Reader()], costs(0.1, 2, math.nan))
        assert seen == [2, 3, 4]
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        assert [row["cost"] for row in rows] == ["0.1", "2", "nan"]
        assert rows[0]["epoch"] == "1" and rows[0]["validation_cost"] == ""

    def test_a_fit_overwrites_unless_told_to_append(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        fit([CSVLog(path)], costs(1, 2))
        fit([CSVLog(path)], costs(3))
        assert len(path.read_text().splitlines()) == 2
        fit([CSVLog(path, append=True)], costs(4))
        assert [row["cost"] for row in csv.DictReader(path.read_text().splitlines())] == ["3", "4"]

    def test_faults_at_the_beginning(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="the log cannot be written"):
            fit([CSVLog(tmp_path)], costs(1))
        (tmp_path / "file").write_text("x")
        with pytest.raises(DataError, match="the log cannot be written"):
            fit([CSVLog(tmp_path / "file" / "log.csv")], costs(1))
        with pytest.raises(DataError, match="something else"):
            fit([CSVLog(tmp_path / "file", append=True)], costs(1))
        assert (tmp_path / "file").read_text() == "x"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to stand for a full disk")
    def test_a_full_disk_at_the_beginning(self) -> None:
        with pytest.raises(DataError, match="no space left"):
            fit([CSVLog("/dev/full")], costs(1))

    def test_a_fault_later_costs_the_log_only(self, tmp_path: Path) -> None:
        log = CSVLog(tmp_path / "log.csv")

        class FullDisk(Callback):
            def on_epoch_begin(self, fit: FitState) -> None:
                if fit.epoch == 2:
                    assert log._stream is not None
                    log._stream.close()
                    log._stream = FullStream()

        with pytest.warns(RuntimeWarning, match="the log ends here: no space left on device. Training goes on"):
            state, _ = fit([log, FullDisk()], costs(3, 2, 1))
        assert len(state.history) == 3


class FullStream(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_learning_rate_log() -> None:
    log = LearningRateLog()
    for _ in range(2):
        fit([log], costs(1, 2))
        assert log.steps == [10, 20] and log.rates == [0.1, 0.05]


def test_snapshot_copies_both_ways() -> None:
    weights = Weights()
    weights.train(1)
    snapshot = Snapshot(weights)
    weights.train(2)
    snapshot.restore(weights)
    assert weights.values == {1.0}
    weights.train(3)
    snapshot.update(weights)
    weights.train(4)
    snapshot.restore(weights)
    assert weights.values == {3.0}


def test_the_first_reason_to_stop_is_kept() -> None:
    state = FitState(Weights(), 1, 1, 1, 1)
    state.request_stop("first")
    state.request_stop("second")
    assert state.stop_reason == "first"


class TestHistory:
    rows = History(
        [
            record(1, 2.0, metric=0.5, validation_cost=3.0, metric_name="accuracy"),
            record(2, math.inf, metric=0.75, validation_cost=math.nan, metric_name="accuracy"),
            record(3, 1 / 3, metric=0.7, validation_cost=4.0, metric_name="accuracy"),
        ],
        stopped="enough",
    )

    def test_is_a_sequence(self) -> None:
        assert len(self.rows) == 3 and self.rows[-1].epoch == 3
        assert isinstance(self.rows[:2], History) and [row.epoch for row in self.rows[1:]] == [2, 3]
        assert self.rows.to_dicts()[0]["metric"] == 0.5

    def test_columns(self) -> None:
        np.testing.assert_array_equal(self.rows.column("metric"), [0.5, 0.75, 0.7])
        assert np.isnan(self.rows.column("validation_metric")).all()
        with pytest.raises(DataError, match="Did you mean 'metric'"):
            self.rows.column("metrics")

    def test_best(self) -> None:
        assert self.rows.best().epoch == 1
        assert self.rows.best("cost").epoch == 3
        assert self.rows.best("metric").epoch == 2
        assert History(costs(2, 1)).best().epoch == 2
        with pytest.raises(DataError, match="finite 'validation_metric'"):
            self.rows.best("validation_metric")
        with pytest.raises(DataError, match="Unknown column"):
            self.rows.best("loss")

    def test_json_round_trip(self, tmp_path: Path) -> None:
        self.rows.save_json(tmp_path / "h.json")
        again = History.load_json(tmp_path / "h.json")
        assert again == self.rows and again.stopped == "enough" and again[1].cost == math.inf
        assert isinstance(again[0].epoch, int) and again != History(costs(1))
        assert "NaN" not in (tmp_path / "h.json").read_text()

    def test_csv(self, tmp_path: Path) -> None:
        self.rows.save_csv(tmp_path / "h.csv")
        read = list(csv.DictReader(io.StringIO((tmp_path / "h.csv").read_text())))
        assert [float(row["cost"]) for row in read] == self.rows.column("cost").tolist()
        assert read[0]["metric_name"] == "accuracy" and read[0]["validation_metric"] == ""

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"epochs": [{"epok": 1}], "stopped": null}', "null"])
    def test_a_damaged_file_is_refused(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "h.json"
        path.write_text(text)
        with pytest.raises(DataError, match=r"h\.json: is not a history"):
            History.load_json(path)
        with pytest.raises(DataError, match="no such file"):
            History.load_json(tmp_path / "none.json")

    def test_a_failed_write_keeps_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "h.json"
        self.rows.save_json(path)

        def full(self: Path, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            with pytest.raises(DataError, match=r"h\.json: cannot be written: no space left on device"):
                History(costs(1)).save_json(path)
        assert History.load_json(path) == self.rows
        assert os.listdir(tmp_path) == ["h.json"]

    def test_repr_tells_the_end(self) -> None:
        shown = repr(self.rows)
        assert shown == "History(3 epochs, cost 0.3333, accuracy 0.7000, validation cost 4.0000, stopped: enough)"
        assert repr(History()) == "History(no epochs)"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestProgress:
    rows = tuple(record(e, 1 / e, metric=0.9, metric_name="accuracy", validation_cost=0.5) for e in (1, 2))

    def test_auto_is_silent_elsewhere(self, capsys: pytest.CaptureFixture[str]) -> None:
        stream = io.StringIO()
        fit([Progress(stream=stream), Progress()], self.rows)
        assert stream.getvalue() == "" and capsys.readouterr() == ("", "")

    def test_true_writes_a_line_an_epoch(self) -> None:
        stream = io.StringIO()
        fit([Progress(True, stream)], self.rows, epochs=2)
        lines = stream.getvalue().splitlines()
        assert lines[0].startswith("epoch 1/2  cost 1.0000  accuracy 0.9000  validation cost 0.5000  1,000 samples/s")
        assert lines[0].endswith("left") and len(lines) == 2 and "left" not in lines[1]

    @pytest.mark.parametrize("verbose", ["auto", True])
    def test_a_bar_on_a_terminal(self, verbose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "160")
        stream = Terminal()
        fit([Progress(verbose, stream)], self.rows, epochs=2)
        assert "epoch 2/2" in stream.getvalue() and "accuracy 0.9000" in stream.getvalue()

    def test_the_bar_goes_on_within_an_epoch(self) -> None:
        """And changes no number of the training."""
        seen: list[str] = []

        class Watched(Progress):
            def on_batches_end(self, fit: FitState) -> None:
                super().on_batches_end(fit)
                assert self._bar is not None
                seen.append(self._bar.tasks[0].description)

        X, y = np.random.default_rng(0).normal(size=(90, 2)), np.arange(90) % 2
        nets = [cr.Network(2, [cr.Dense(2, "softmax")], "cross_entropy", engine="reference") for _ in range(2)]
        nets[0].fit(X, y, epochs=2, batch_size=10, callbacks=[Watched(True, Terminal())], verbose=False)
        nets[1].fit(X, y, epochs=2, batch_size=10, verbose=False)
        assert seen[0].startswith("10 of 90 samples") and seen[0].endswith("left") and len(seen) > 1
        np.testing.assert_array_equal(nets[0].parameters["W1"], nets[1].parameters["W1"])

    def test_false_is_silent_on_a_terminal(self) -> None:
        stream = Terminal()
        fit([Progress(False, stream)], self.rows)
        assert stream.getvalue() == ""

    def test_a_reader_that_goes_away_costs_the_progress_only(self) -> None:
        assert len(fit([Progress(True, FullStream())], self.rows)[0].history) == 2

    def test_works_without_standard_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", None)
        assert len(fit([Progress()], self.rows)[0].history) == 2

    @pytest.mark.parametrize("verbose", ["yes", 2, None])
    def test_another_word_is_refused(self, verbose: Any) -> None:
        with pytest.raises(SpecError, match="'verbose' must be True, False or 'auto'"):
            Progress(verbose)


def test_a_plain_callback_does_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state, weights = fit([Callback()], costs(1, 2))
    assert len(state.history) == 2 and weights.values == {2.0}


class TestWeightAverage:
    def test_the_mean_of_the_last_epochs(self) -> None:
        average = WeightAverage(3)
        _, weights = fit([average], [record(n, 1.0) for n in range(1, 11)], epochs=10)
        assert weights.values == {(8 + 9 + 10) / 3} and average.count == 3

    def test_a_fit_that_ends_early(self) -> None:
        average = WeightAverage(3)
        _, weights = fit([average], [record(n, 1.0) for n in range(1, 10)], epochs=10)
        assert weights.values == {8.5} and average.count == 2
        _, weights = fit([average], [record(n, 1.0) for n in range(1, 4)], epochs=10)
        assert weights.values == {3} and average.count == 0

    @pytest.mark.parametrize("last", [0, -1, 1.5, True, None])
    def test_what_it_refuses(self, last: Any) -> None:
        with pytest.raises(SpecError, match="'last' of WeightAverage must be an integer of at least 1"):
            WeightAverage(last)


def test_early_stopping_may_begin_at_a_later_epoch() -> None:
    stopping = EarlyStopping(patience=2, start_from_epoch=3)
    fit = FitState(Weights(), 20, 1, 1, 1)
    stopping.on_fit_begin(fit)
    for epoch, cost in enumerate([1.0, 2.0, 3.0, 5.0, 4.0, 4.5, 4.5, 4.5], 1):
        fit.epoch = epoch
        stopping.on_epoch_end(fit, EpochRecord(epoch, cost, learning_rate=0.1, seconds=1, samples_per_second=1))
        if fit.stop_reason:
            break
    assert (fit.epoch, stopping.best_epoch, stopping.best_value) == (7, 5, 4.0)
    with pytest.raises(SpecError, match="start_from_epoch"):
        EarlyStopping(start_from_epoch=-1)
