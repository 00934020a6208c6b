"""What a callback sees of a fit, and a copy of a network's numbers to come back to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.base import Engine
from chainrule.program.equation import Program
from chainrule.train.history import History


class Trainable(Protocol):
    """The part of a network that training touches: its arrays by name, as writable views."""

    @property
    def parameters(self) -> Mapping[str, NDArray[Any]]:
        """The weights: "W1", "b1", ..."""

    @property
    def state(self) -> Mapping[str, NDArray[Any]]:
        """What is kept beside the weights: the running means of batch normalisation."""

    def overwrite(
        self,
        fill: Callable[[Mapping[str, NDArray[Any]]], None],
        rows: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> None:
        """Overwrites all of them at once with what `fill` makes of copies; of some only these rows."""


class Snapshot:
    """A copy of all parameters and all state of a network."""

    def __init__(self, network: Trainable) -> None:
        self._arrays = {name: view.copy() for name, view in _views(network).items()}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Snapshot:
        """A snapshot of a network that had these arrays."""
        snapshot = cls.__new__(cls)
        snapshot._arrays = {name: np.array(array) for name, array in arrays.items()}
        return snapshot

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of what it holds, by name."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def update(self, network: Trainable) -> None:
        """Copy again, into the same memory."""
        for name, view in _views(network).items():
            np.copyto(self._arrays[name], view)

    def restore(self, network: Trainable) -> None:
        """Write the copy back into the network."""

        def fill(arrays: Mapping[str, NDArray[Any]]) -> None:
            for name, array in arrays.items():
                array[...] = self._arrays[name]

        network.overwrite(fill)


def _views(network: Trainable) -> dict[str, NDArray[Any]]:
    return {**network.parameters, **network.state}


@dataclass
class OptimizerState:
    """What an optimizer carries from one fit to the next, for those that go on where the last one ended."""

    slots: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Its moments by name ("M_W1", ...); those that are not there are 0."""
    step: int = 0
    """Steps taken."""
    own: dict[str, NDArray[Any]] = field(default_factory=dict)
    """The weights that the last step has made, where the network has their average instead: steps go on from these."""


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers, which nobody can change by this array, nor how machine code reads them."""
    view = array.view()
    view.flags.writeable = False
    return view


def do_nothing() -> None:
    """The network's arrays are up to date."""


@dataclass
class FitState:
    """A running fit, as every hook of a callback receives it."""

    network: Trainable
    """What is trained.  Its arrays are as of the last finished batch in each hook of a callback that `looks`; in those
    of others after `refresh()`."""
    epochs: int
    """How many were asked for."""
    steps_per_epoch: int
    """Batches in an epoch."""
    samples: int
    """In the training data."""
    batch_size: int
    """Of every batch but perhaps the last."""
    history: History = field(default_factory=History)
    """The records of the epochs so far."""
    has_validation: bool = False
    """Whether there are samples held out, so that records have a validation cost."""
    epoch: int = 0
    """The current one, from 1; 0 before the first."""
    step: int = 0
    """Steps taken since the fit began."""
    learning_rate: float = math.nan
    """Of the last step taken."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """What else is given for a step, by name: of the last step taken, of the first one before that."""
    stop_reason: str | None = None
    """Why the fit is to end after this epoch; None if it is not."""
    engine: Engine | None = None
    """What runs the steps; None in a fit driven by hand."""
    program: Program | None = None
    """The equations of a training step; None in a fit driven by hand."""
    data: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """The batched given symbols ("X", "Y" or "y", "w"), all samples, to be read."""
    mask_seed: int = 0
    """Of the dropout masks."""
    check: Callable[[Any, Any], Mapping[str, NDArray[Any]]] | None = None
    """check(X, y): other data under the same symbols' names; raises DataError where they do not fit the network."""
    resumed: bool = False
    """Whether this fit goes on where one that was interrupted stood; `history` has that one's records."""
    worker: int = 0
    """Which of several workers this is, from 0: who writes something down leaves that to worker 0."""
    workers: int = 1
    """How many there are; each calls its own callbacks, at the same moments, with the same numbers."""
    refresh: Callable[[], None] = field(default=do_nothing, repr=False)
    """Brings the network's arrays up to date, for a callback that does not `look` at them at every hook."""

    def request_stop(self, reason: str) -> None:
        """Ask for the fit to end after this epoch; the first reason is the one that is kept."""
        if self.stop_reason is None:
            self.stop_reason = reason
