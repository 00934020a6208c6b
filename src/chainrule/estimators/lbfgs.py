"""L-BFGS: SciPy's method over the engine's cost and gradients."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.utils.optimize import _check_optimize_result

from chainrule.estimators.construct import weights
from chainrule.estimators.task import Held, Task, penalty
from chainrule.network import Network

Array = NDArray[Any]


class Quasi:
    """J and its gradient as functions of one flat vector: W1, W2, ..., b1, b2, ..., γ and β.

    Where sparse samples come in C parts of s_c samples (or weights) each, J = (Σ s_c J_c - (C - 1) P) / Σ s_c, as each
    part's J holds the penalty P / s_c.
    """

    def __init__(self, net: Network, task: Task) -> None:
        self.net, self.task = net, task
        coefs, intercepts = weights(net)
        names = [f"W{k + 1}" for k in range(len(coefs))] + [f"b{k + 1}" for k in range(len(intercepts))]
        others = [name for name in net.parameters if name not in names]
        self.names = names + others
        self.views = [net.parameters[name] for name in self.names]

    def vector(self) -> NDArray[np.float64]:
        """The parameters as they are."""
        return np.concatenate([view.ravel() for view in self.views]).astype(np.float64)

    def write(self, vector: NDArray[np.float64]) -> None:
        """The vector as the network's parameters."""
        start = 0
        for view in self.views:
            view[...] = vector[start : start + view.size].reshape(view.shape)
            start += view.size

    def __call__(self, vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        self.write(vector)
        cost, gradient, total, parts = 0.0, np.zeros_like(vector), 0.0, 0
        for piece, rows in self.task.samples.chunks():
            w = None if self.task.weights is None else self.task.weights[piece]
            size = float(len(rows) if w is None else w.sum())
            if size == 0:
                continue
            found, gradients = self.net.checked_cost_and_gradients(self.task.given(rows, piece), self.task.kind)
            cost += size * found
            gradient += size * np.concatenate([gradients[name].ravel() for name in self.names])
            total += size
            parts += 1
        if parts > 1:
            penalty, slope = self._penalty()
            cost -= (parts - 1) * penalty
            gradient -= (parts - 1) * slope
        return cost / total, gradient / total

    def _penalty(self) -> tuple[float, NDArray[np.float64]]:
        """P = λ₁ Σ|W| + λ₂/2 Σ W² and its gradient."""
        l1, l2 = self.net.spec.l1, self.net.spec.l2
        parts = [
            l1 * np.sign(v).ravel() + l2 * v.ravel() if name.startswith("W") else np.zeros(v.size)
            for name, v in zip(self.names, self.views, strict=True)
        ]
        return penalty(self.net), np.concatenate(parts)


def fit_lbfgs(owner: Any, net: Network, task: Task, held: Held | None) -> None:
    """Minimises J from the network's present parameters; the verbose lines, the time limit and the hooks' curve."""
    quasi = Quasi(net, task)
    program = net.program
    net.engines.for_fit(program, len(task.samples), int(owner.max_iter), len(task.samples))
    deadline = None if owner.time_limit is None else time.perf_counter() + owner.time_limit
    owner.stopped_ = None
    iteration = 0

    def each(intermediate_result: Any) -> None:
        nonlocal iteration
        iteration += 1
        if owner.verbose:
            print(f"Iteration {iteration}, loss = {intermediate_result.fun:.8f}")
        if held is not None:
            quasi.write(intermediate_result.x)
            score, cost = owner._score_held(held)
            owner.validation_loss_curve_.append(cost)
            owner.validation_scores_.append(score)
        if deadline is not None and time.perf_counter() > deadline:
            owner.stopped_ = f"the time limit of {owner.time_limit:g} s was reached"
            raise StopIteration

    found = minimize(
        quasi,
        quasi.vector(),
        method="L-BFGS-B",
        jac=True,
        callback=each if owner.verbose or held is not None or deadline is not None else None,
        options={"maxfun": owner.max_fun, "maxiter": owner.max_iter, "gtol": owner.tol},
    )
    if owner.stopped_ is None:
        owner.n_iter_ = _check_optimize_result("lbfgs", found, owner.max_iter)
    else:
        owner.n_iter_ = iteration
    owner.loss_ = float(found.fun)
    quasi.write(found.x)
