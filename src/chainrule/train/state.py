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


class Snapshot:
    """A copy of all parameters and all state of a network."""

    def __init__(self, network: Trainable) -> None:
        self._parameters = {name: view.copy() for name, view in network.parameters.items()}
        self._state = {name: view.copy() for name, view in network.state.items()}

    def update(self, network: Trainable) -> None:
        """Copy again, into the same memory."""
        for saved, views in ((self._parameters, network.parameters), (self._state, network.state)):
            for name, view in views.items():
                np.copyto(saved[name], view)

    def restore(self, network: Trainable) -> None:
        """Write the copy back into the network."""
        for saved, views in ((self._parameters, network.parameters), (self._state, network.state)):
            for name, view in views.items():
                view[...] = saved[name]


@dataclass
class FitState:
    """A running fit, as every hook of a callback receives it.

    epochs: how many were asked for.  samples: in the training data.  batch_size: of every batch but perhaps the last.
    epoch: the current one, from 1; 0 before the first.  step: steps taken since the fit began.
    learning_rate: of the last step taken, or of the first before any was.
    engine, program: what runs a training step, and its equations; None in a fit driven by hand.  data: its batched
    given symbols ("X", "Y" or "y", "w"), all samples.  mask_seed: of the dropout masks.  check(X, y): other data under
    the same symbols' names; raises DataError where they do not fit the network.
    """

    network: Trainable
    epochs: int
    steps_per_epoch: int
    samples: int
    batch_size: int
    history: History = field(default_factory=History)
    has_validation: bool = False
    epoch: int = 0
    step: int = 0
    learning_rate: float = math.nan
    stop_reason: str | None = None
    engine: Engine | None = None
    program: Program | None = None
    data: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    mask_seed: int = 0
    check: Callable[[Any, Any], Mapping[str, NDArray[Any]]] | None = None

    def request_stop(self, reason: str) -> None:
        """Ask for the fit to end after this epoch; the first reason is the one that is kept."""
        if self.stop_reason is None:
            self.stop_reason = reason
