"""MLPRegressor."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import validate_data

from chainrule.calls import says_arguments
from chainrule.estimators import construct, heads
from chainrule.estimators.base import BaseMLP
from chainrule.estimators.parameters import LOSS, OURS, REGRESSOR_LOSSES, THEIRS, keep, parameters_checked, there_if
from chainrule.network import Network
from chainrule.train.alone import alone
from chainrule.train.checkpoint import Asked

Array = NDArray[Any]


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron for regression: scikit-learn's MLPRegressor, compiled, and with more parameters.

    The parameters up to max_fun are scikit-learn's, with its meanings and defaults; so are the attributes.

    loss: "squared_error" and "poisson" as there, or any of chainrule's ("absolute_error", "huber", "quantile", ...), a
    Loss, a Cost, or a callable of (yhat, y).  activation: any of chainrule's names, an Activation, a callable, or a
    list of these, one for each hidden layer.

    dropout: the share of a hidden layer's values dropped in training, one rate or one a layer.
    normalisation: "batch" or "layer", of each hidden layer before its activation.
    optimizer: one of chainrule's, with its own learning rate or schedule, in the place of `solver`.
    l1: λ₁/m Σ|W| is added to the loss, as alpha/(2m) Σ W² is.  clip_norm: gradients are scaled down to this norm.
    scoring: what early stopping goes by: None (R²), "loss", a scorer's name or a scorer.
    restore_best_weights: "auto" (with early stopping), True (also without: those of the lowest loss) or False.
    callbacks: instances of chainrule.Callback.  time_limit: seconds of training.
    threads: at most so many; the result is the same.  engine: "auto", or a name of the table of engines.
    dtype: "float32" or "float64"; None for the data's.

    Further attributes: network_ (the chainrule.Network), validation_loss_curve_, stopped_ (why before the last epoch).

        MLPRegressor(hidden_layer_sizes=(64, 64), activation=["relu", "tanh"], dropout=0.1, random_state=0).fit(X, y)

    With several outputs the gradient is that of the loss, the mean over samples and outputs; scikit-learn's is as many
    times larger as there are outputs (its issue 8349).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **THEIRS,
        **OURS,
        "loss": [StrOptions(set(REGRESSOR_LOSSES)), *LOSS],
    }

    @says_arguments
    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        dropout: Any = 0.0,
        normalisation: Any = None,
        optimizer: Any = None,
        l1: Any = 0.0,
        clip_norm: Any = None,
        scoring: Any = None,
        restore_best_weights: Any = "auto",
        callbacks: Any = None,
        time_limit: Any = None,
        threads: Any = None,
        engine: Any = "auto",
        dtype: Any = None,
    ) -> None:
        keep(self, locals())

    @parameters_checked
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        validation_data: Any = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int | str = 1,
        resume: bool = False,
    ) -> MLPRegressor:
        """Fits to X (m, n), dense or sparse, and y (m,) or (m, outputs).

        sample_weight (m,).  validation_data: (X, y) or (X, y, sample_weight), in the place of a part of X.
        checkpoint: a folder into which the fit is written down after `every` so many epochs, or seconds ("60s"), and
        at an interrupt; resume: goes on from what it holds, or starts.  The same random_state must be an integer.
        """
        asked = None if checkpoint is None else Asked(checkpoint, every, resume)
        with alone(self, "estimator"):
            self._fit(X, y, sample_weight, validation_data, incremental=False, asked=asked)
        return self

    @there_if(lambda self: self._check_solver())
    @parameters_checked
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None) -> MLPRegressor:
        """One epoch over the samples, from where the last call ended; with early stopping give validation_data."""
        with alone(self, "estimator"):
            self._fit(X, y, sample_weight, validation_data, incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """The predicted values, (m,) or (m, outputs)."""
        return self._decode(self._forward(X))

    @classmethod
    def from_network(cls, net: Network, **parameters: Any) -> MLPRegressor:
        """A fitted estimator around a network; both share their parameters.

        parameters: how it would be fitted further, and nothing that the network itself says.
        Raises ValueError where the network is more than the parameters can say (an embedding, a layer without bias).
        """
        estimator = cls(**construct.given_with(net, parameters))
        estimator.n_outputs_ = net.spec.outputs
        estimator._adopt(net, heads.named(net.spec.last_activation))
        return estimator

    # --- what targets are --------------------------------------------------------------------------------------

    def _check_data(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _check_held(self, X: Any, y: Any) -> tuple[Any, Any]:
        return self._check_data(X, y, incremental=True, reset=False)

    def _encode(self, y: Any) -> tuple[heads.Head, Array]:
        rows = y.reshape(len(y), -1)
        return heads.for_regression(self.loss, rows.shape[1]), rows

    def _head(self) -> heads.Head:
        return heads.for_regression(self.loss, self.n_outputs_)

    def _decode(self, prediction: Array) -> Array:
        return prediction.ravel() if prediction.shape[1] == 1 else prediction

    def _default_score(self, y: Any, prediction: Array, weights: Array | None) -> float:
        if not np.isfinite(prediction).all():
            return float("nan")
        return float(r2_score(y, self._decode(prediction), sample_weight=weights))

    def _score_name(self) -> str:
        return "r2" if self.scoring is None else self.scoring if isinstance(self.scoring, str) else "score"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
