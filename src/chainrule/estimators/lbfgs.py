"""L-BFGS: SciPy's method over the engine's cost and gradients."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.utils.optimize import _check_optimize_result

from chainrule.estimators.construct import weights
from chainrule.estimators.task import PartCosts, Task
from chainrule.network import Network

Array = NDArray[Any]


class Quasi:
    """J and its gradient as functions of one flat vector: W1, W2, ..., b1, b2, ..., γ and β."""

    def __init__(self, net: Network, task: Task) -> None:
        self.net, self.task = net, task
        coefs, intercepts = weights(net)
        places = {id(view): place for place, view in enumerate([*coefs, *intercepts])}
        parameters = net.parameters
        self.names = sorted(parameters, key=lambda name: places.get(id(parameters[name]), len(places)))

    def vector(self) -> NDArray[np.float64]:
        """The parameters as they are."""
        parameters = self.net.parameters
        return np.concatenate([parameters[name].ravel() for name in self.names]).astype(np.float64)

    def write(self, vector: NDArray[np.float64]) -> None:
        """The vector as the network's parameters."""

        def fill(arrays: Mapping[str, Array]) -> None:
            start = 0
            for name in self.names:
                array = arrays[name]
                array[...] = vector[start : start + array.size].reshape(array.shape)
                start += array.size

        self.net.overwrite(fill)

    def __call__(self, vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        self.write(vector)
        costs = PartCosts(self.net)
        for piece, rows in self.task.samples.chunks():
            w = None if self.task.weights is None else self.task.weights[piece]
            size = float(len(rows) if w is None else w.sum())
            if size:
                data = self.task.given(rows, piece)
                costs.add(size, *self.net.checked_cost_and_gradients(data, self.task.kind))
        cost = costs.mean()
        return cost, np.concatenate([costs.gradients[name].ravel() for name in self.names])


@dataclass
class LbfgsOutcome:
    """What came of a fit by L-BFGS; the network has the parameters."""

    loss: float = math.nan
    """J at the end."""
    iterations: int = 0
    """Steps of the method."""
    stopped: str | None = None
    """Why it ended before it was done, or None."""
    held_losses: list[float] = field(default_factory=list)
    """J of the samples held out after each iteration, where there are any."""
    scores: list[float] = field(default_factory=list)
    """Their score."""


def fit_lbfgs(
    net: Network,
    task: Task,
    *,
    tol: float,
    max_iter: int,
    max_fun: int,
    time_limit: float | None,
    verbose: bool,
    score: Callable[[], tuple[float, float]] | None,
) -> LbfgsOutcome:
    """Minimises J from the network's present parameters.

    tol: the largest element of the gradient at which it is done.  max_fun: evaluations of J.  score: (score, J) of the
    samples held out, asked after each iteration; None where there are none.
    """
    quasi = Quasi(net, task)
    net.engines.settle(net.program, len(task.samples), max_iter, len(task.samples))
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    outcome = LbfgsOutcome()

    def each(intermediate_result: Any) -> None:
        outcome.iterations += 1
        if verbose:
            print(f"Iteration {outcome.iterations}, loss = {intermediate_result.fun:.8f}")
        if score is not None:
            quasi.write(intermediate_result.x)
            value, cost = score()
            outcome.held_losses.append(cost)
            outcome.scores.append(value)
        if deadline is not None and time.perf_counter() > deadline:
            outcome.stopped = f"the time limit of {time_limit:g} s was reached"
            raise StopIteration

    least = minimize(
        quasi,
        quasi.vector(),
        method="L-BFGS-B",
        jac=True,
        callback=each if verbose or score is not None or deadline is not None else None,
        options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol},
    )
    if outcome.stopped is None:
        outcome.iterations = _check_optimize_result("lbfgs", least, max_iter)
    outcome.loss = float(least.fun)
    quasi.write(least.x)
    return outcome
