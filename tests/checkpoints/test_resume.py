"""Checkpoints within a process: the same bits after any interrupt, and what a folder is refused for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.language import CharacterModel
from checkpoints.fits import data, digest, fit, network


class Pauses(cr.Callback):
    """Pauses every few batches, and interrupts the fit at a step or in the hook of an epoch."""

    every = 7
    writes = False

    def __init__(self, step: int | None = None, epoch: int | None = None) -> None:
        self.step, self.epoch, self.seen = step, epoch, 0

    def state(self) -> dict[str, Any]:
        """What it has seen."""
        return {"seen": self.seen}

    def restore(self, state: Any) -> None:
        """Goes on from there."""
        self.seen = state["seen"]

    def on_batches_end(self, fit: cr.FitState) -> None:
        """Counts, and interrupts."""
        if self.step is not None and fit.step >= self.step:
            raise KeyboardInterrupt
        self.seen += 1

    def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
        """Interrupts."""
        if record.epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("every", [1, pytest.param(3, marks=pytest.mark.long), "3600s"])
@pytest.mark.parametrize("at", [{"step": 7}, {"step": 40}, {"epoch": 1}, {"epoch": 4}])
def test_a_fit_that_was_interrupted_ends_with_the_same_bits(
    engine: str, at: dict[str, int], every: int | str, tmp_path: Path
) -> None:
    undisturbed = Pauses()
    expected = fit(network(engine), [undisturbed])
    with pytest.raises(KeyboardInterrupt):
        fit(network(engine), [Pauses(**at)], checkpoint=tmp_path, every=every)
    again = Pauses()
    assert fit(network(engine), [again], checkpoint=tmp_path, every=every, resume=True, threads=2) == expected
    assert again.seen == undisturbed.seen


def test_a_fit_that_has_ended_is_not_trained_on(tmp_path: Path) -> None:
    expected = fit(network(), checkpoint=tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert fit(network(), checkpoint=tmp_path, resume=True) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == written


def test_the_newest_and_the_best_are_kept_and_are_networks(tmp_path: Path) -> None:
    net = network()
    fit(net, checkpoint=tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[0] == "best.safetensors" and len(names) == 3
    X, _ = data()
    assert cr.Network.load(tmp_path / names[-1]).predict(X).shape == (len(X), 3)
    best = cr.Network.load(tmp_path / "best.safetensors", engine="compiled")
    np.testing.assert_array_equal(best.predict(X), net.predict(X))  # EarlyStopping brought the same weights back


def test_a_damaged_checkpoint_is_passed_by_for_the_one_before(tmp_path: Path) -> None:
    expected = fit(network())
    with pytest.raises(KeyboardInterrupt):
        fit(network(), [Pauses(step=63)], checkpoint=tmp_path)
    newest = sorted(tmp_path.glob("checkpoint-*"))[-1]
    content = bytearray(newest.read_bytes())
    content[-100] ^= 1
    newest.write_bytes(content)
    with pytest.warns(RuntimeWarning, match=r"passed by.*damaged"):
        assert fit(network(), [Pauses()], checkpoint=tmp_path, resume=True) == expected
    for path in tmp_path.glob("checkpoint-*"):
        path.write_bytes(b"no checkpoint")
    with pytest.warns(RuntimeWarning), pytest.raises(cr.DataError, match="all 2 checkpoints are damaged"):
        fit(network(), [Pauses()], checkpoint=tmp_path, resume=True)


def test_what_is_there_is_not_written_over_unasked(tmp_path: Path) -> None:
    fit(network(), checkpoint=tmp_path)
    with pytest.raises(cr.DataError, match=r"holds checkpoints already.*resume=True"):
        fit(network(), checkpoint=tmp_path)


def test_another_fit_does_not_go_on(tmp_path: Path) -> None:
    X, y = data()
    options: dict[str, Any] = {"batch_size": 32, "optimizer": cr.Adam(0.01), "verbose": False, "checkpoint": tmp_path}
    network().fit(X, y, epochs=1, **options)
    options["resume"] = True
    with pytest.raises(cr.DataError, match="other data"):
        network().fit(X + 1, y, epochs=2, **options)
    with pytest.raises(cr.DataError, match="other optimizer"):
        network().fit(X, y, epochs=2, **options | {"optimizer": cr.Adam(0.02)})
    with pytest.raises(cr.DataError, match="other batch size"):
        network().fit(X, y, epochs=2, **options | {"batch_size": 16})
    with pytest.raises(cr.DataError, match="another network"):
        cr.Network(12, [cr.Dense(3, "softmax")], "cross_entropy").fit(X, y, epochs=2, **options)
    with pytest.raises(cr.DataError, match="callbacks"):
        network().fit(X, y, epochs=2, callbacks=[cr.LearningRateLog()], **options)
    with pytest.raises(cr.SpecError, match="every must be a whole number of epochs, or seconds"):
        network().fit(X, y, epochs=2, **options | {"every": "soon"})
    assert len(network().fit(X, y, epochs=2, **options).to_dicts()) == 2


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(cr.DataError, match="cannot hold checkpoints"):
        fit(network(), checkpoint=tmp_path / "file")


def test_a_log_goes_on_where_the_checkpoint_is(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    fit(network(), [cr.CSVLog(whole), Pauses()])
    with pytest.raises(KeyboardInterrupt):
        fit(network(), [cr.CSVLog(parts), Pauses(epoch=4)], checkpoint=tmp_path / "c")
    fit(network(), [cr.CSVLog(parts), Pauses()], checkpoint=tmp_path / "c", resume=True)

    def costs(path: Path) -> list[list[str]]:
        return [line.split(",")[:2] for line in path.read_text().splitlines()]

    assert costs(parts) == costs(whole)


def test_a_state_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    class Odd(cr.Callback):
        def state(self) -> dict[str, Any]:
            return {"file": object()}

    with pytest.raises(cr.SpecError, match="object cannot be kept in a checkpoint"):
        fit(network(), [Odd()], checkpoint=tmp_path)


def test_continue_goes_on_with_moments_order_and_history(engine: str) -> None:
    X, y = data()
    options: dict[str, Any] = {"batch_size": 32, "optimizer": cr.Adam(0.01), "verbose": False}
    whole = network(engine)
    expected = digest(whole, whole.fit(X, y, epochs=5, **options))
    parts = network(engine)
    parts.fit(X, y, epochs=2, **options)
    history = parts.fit(X, y, epochs=3, continue_=True, **options)
    assert len(history) == 5 and digest(parts, history) == expected
    with pytest.raises(cr.SpecError, match="is another"):
        parts.fit(X, y, epochs=1, continue_=True, optimizer="sgd", verbose=False)
    with pytest.raises(cr.SpecError, match="has not been fitted yet"):
        network(engine).fit(X, y, epochs=1, continue_=True, verbose=False)


@pytest.mark.parametrize(
    "options",
    [{"solver": "sgd", "learning_rate": "adaptive", "early_stopping": True}, {"optimizer": cr.Adam(cr.Cosine(0.01))}],
)
def test_an_estimator_goes_on_to_the_same_curves(options: dict[str, Any], tmp_path: Path) -> None:
    X, y = data()

    def estimator(epoch: int | None) -> cr.MLPClassifier:
        return cr.MLPClassifier(
            hidden_layer_sizes=(8,), max_iter=12, random_state=3, callbacks=[Pauses(epoch=epoch)], **options
        )

    with pytest.warns():  # scikit-learn's own: not converged
        whole = estimator(None).fit(X, y)
    with pytest.warns(UserWarning, match="interrupted"):
        estimator(5).fit(X, y, checkpoint=tmp_path)
    with pytest.warns():
        resumed = estimator(None).fit(X, y, checkpoint=tmp_path, resume=True)
    assert resumed.loss_curve_ == whole.loss_curve_ and resumed.t_ == whole.t_
    for left, right in zip(resumed.coefs_, whole.coefs_, strict=True):
        np.testing.assert_array_equal(left, right)
    with pytest.raises(ValueError, match="random_state to be an integer"):
        cr.MLPClassifier().fit(X, y, checkpoint=tmp_path)


def test_a_character_model_goes_on(tmp_path: Path) -> None:
    names = ["anna", "emma", "noah", "liam", "mia", "ben"] * 10
    sizes: dict[str, Any] = {"context": 2, "embedding": 3, "hidden": (8,)}
    options: dict[str, Any] = {"epochs": 6, "verbose": False, "average": 2}
    whole = CharacterModel(**sizes).fit(names, callbacks=[Pauses()], **options)
    with pytest.raises(KeyboardInterrupt):
        CharacterModel(**sizes).fit(names, callbacks=[Pauses(epoch=5)], checkpoint=tmp_path, **options)
    again = CharacterModel(**sizes).fit(names, callbacks=[Pauses()], checkpoint=tmp_path, resume=True, **options)
    assert again.sample(5, seed=1) == whole.sample(5, seed=1)
    np.testing.assert_array_equal(again.embedding_, whole.embedding_)
