"""scikit-learn: MLPClassifier and MLPRegressor."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from chainrule.bench.workloads import Array, Problem


class Estimator:
    """fit() from the problem's first weights.

    MLPRegressor minimises half the mean of (ŷ - y)² over samples and outputs, and its gradient is that of half the mean
    over samples of the sum over outputs: the learning rate is doubled for SGD, the cost brought to chainrule's.
    """

    def __init__(self, problem: Problem, threads: int) -> None:
        networks: Any = import_module("sklearn.neural_network")
        self.problem = problem
        w = self.workload = problem.workload
        self.classes = w.loss == "cross_entropy"
        kind = networks.MLPClassifier if self.classes else networks.MLPRegressor
        self.Y = problem.Y[:, 0] if not self.classes and problem.Y.shape[1] == 1 else problem.Y
        doubled = 1 if self.classes or w.optimizer == "adam" else 2
        self.scale = 1.0 if self.classes else 2.0 * w.sizes[-1]
        warnings.simplefilter("ignore")  # that it has not converged is no news
        self.estimator = kind(
            hidden_layer_sizes=w.sizes[1:-1],
            activation="logistic" if w.activation == "sigmoid" else w.activation,
            solver=w.optimizer,
            learning_rate_init=doubled * w.learning_rate,
            momentum=0.0,
            batch_size=w.batch_size,
            shuffle=w.shuffled,
            alpha=0.0,
            max_iter=1,
            tol=0.0,
            n_iter_no_change=1_000_000_000,
            warm_start=True,
            random_state=1,
        )
        self._first()

    def _first(self) -> None:
        """One epoch, over what little there may be, so that it has the arrays that reset() fills."""
        w = self.workload
        count = max(w.batch_size, 2)
        if w.predict:
            import numpy as np

            X = np.random.default_rng(0).standard_normal((w.sizes[-1] + 1, w.sizes[0]), np.float32)
            Y: Any = np.arange(len(X)) % w.sizes[-1] if self.classes else X[:, 0]
            self.estimator.set_params(batch_size=1).fit(X, Y)
        elif self.classes:
            self.estimator.partial_fit(self.problem.X[:count], self.Y[:count], classes=range(w.sizes[-1]))
        else:
            self.estimator.partial_fit(self.problem.X[:count], self.Y[:count])
        self.reset()

    def reset(self) -> None:
        """The first weights, in place; fit() starts the optimizer anew."""
        for kept, first in zip(self.estimator.coefs_, self.problem.weights, strict=True):
            kept[...] = first
        for kept, first in zip(self.estimator.intercepts_, self.problem.biases, strict=True):
            kept[...] = first

    def train(self, epochs: int) -> float:
        """fit() with warm_start."""
        self.estimator.set_params(max_iter=epochs)
        before = len(self.estimator.loss_curve_)
        self.estimator.fit(self.problem.X, self.Y)
        curve = self.estimator.loss_curve_
        return float(curve[before] if len(curve) > before else curve[0]) * self.scale

    def predict(self, x: Array) -> Array:
        """predict_proba() of classes, else predict()."""
        prediction: Array = (
            self.estimator.predict_proba(x) if self.classes else self.estimator.predict(x).reshape(len(x), -1)
        )
        return prediction

    def about(self) -> str:
        """The version."""
        return f"scikit-learn {import_module('sklearn').__version__}"
