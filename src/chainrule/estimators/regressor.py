"""MLPRegressor."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions

from chainrule.calls import says_arguments
from chainrule.describe.layers import GivenActivation
from chainrule.describe.losses import Cost, Loss, LossName
from chainrule.describe.optimizers import Optimizer
from chainrule.engines.table import EngineName
from chainrule.estimators import construct, heads
from chainrule.estimators.base import BaseMLP
from chainrule.estimators.parameters import LOSS, OURS, REGRESSOR_LOSSES, THEIRS, keep, parameters_checked, there_if
from chainrule.estimators.tables import validated
from chainrule.group.find import as_group
from chainrule.network import Network
from chainrule.program.precision import Precision
from chainrule.train.alone import alone
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import Asked

Array = NDArray[Any]


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron for regression: scikit-learn's MLPRegressor, compiled, and with more parameters.

    Names, meanings and defaults are scikit-learn's; so are the attributes.  With several outputs the gradient is that
    of the loss, the mean over samples and outputs; scikit-learn's is as many times larger as there are outputs (its
    issue 8349).

        MLPRegressor(hidden_layer_sizes=(64, 64), activation=["relu", "tanh"], dropout=0.1, random_state=0).fit(X, y)

    Further attributes: network_ (the `Network`), validation_loss_curve_, stopped_ (why before the last epoch).

    Parameters
    ----------
    loss
        "squared_error" and "poisson" as there, or any of chainrule's ("absolute_error", "huber", "quantile", ...), a
        `Loss`, a `Cost`, or a callable of (yhat, y).
    hidden_layer_sizes
        Units of the hidden layers.
    activation
        Any of chainrule's names, an `Activation`, a callable, or a list of these, one for each hidden layer.
    solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, random_state
        As in scikit-learn.
    tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2
        As in scikit-learn.
    epsilon, n_iter_no_change, max_fun
        As in scikit-learn.
    dropout
        The share of a hidden layer's values dropped in training, one rate or one a layer.
    normalisation
        "batch" or "layer", of each hidden layer before its activation.
    optimizer
        One of chainrule's, with its own learning rate or schedule, in the place of `solver`.
    l1
        λ₁/m Σ|W| is added to the loss, as alpha/(2m) Σ W² is.
    clip_norm
        Gradients are scaled down to this norm.
    scoring
        What early stopping goes by: None (R²), "loss", a scorer's name or a scorer.
    restore_best_weights
        "auto" (with early stopping), True (also without: those of the lowest loss) or False.
    callbacks
        Instances of `Callback`.
    time_limit
        Seconds of training.
    threads
        At most so many; the result is the same.
    engine
        "auto", or an engine's name.
    dtype
        "float32" or "float64"; None for the data's, or float32 where precision is not "highest".
    precision
        "highest"; "high" or "medium" for products of bfloat16 parts, in float32 (see `Network`; not for lbfgs).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **THEIRS,
        **OURS,
        "loss": [StrOptions(set(REGRESSOR_LOSSES)), *LOSS],
    }

    @says_arguments
    def __init__(
        self,
        loss: LossName | str | Loss | Cost | Callable[..., object] = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: GivenActivation | Sequence[GivenActivation] = "relu",
        *,
        solver: Literal["adam", "sgd", "lbfgs"] = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: Literal["constant", "invscaling", "adaptive"] = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        dropout: float | Sequence[float] = 0.0,
        normalisation: Literal["batch", "layer"] | None = None,
        optimizer: Optimizer | None = None,
        l1: float = 0.0,
        clip_norm: float | None = None,
        scoring: str | Callable[..., float] | None = None,
        restore_best_weights: bool | Literal["auto"] = "auto",
        callbacks: Sequence[Callback] | None = None,
        time_limit: float | None = None,
        threads: int | None = None,
        engine: EngineName | str = "auto",
        dtype: Literal["float32", "float64"] | str | None = None,
        precision: Precision | str = "highest",
    ) -> None:
        keep(self, locals())

    @parameters_checked
    @says_arguments
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        validation_data: Any = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int | str = 1,
        resume: bool = False,
        group: object | None = None,
    ) -> MLPRegressor:
        """Fits to X (m, n), dense or sparse, and y (m,) or (m, outputs).

        Or to data that need not fit into memory, as `cr.Blocks` takes them: a Parquet file and the name of a column,
        a large memory-mapped array, a function that returns blocks (X, y), ...
        sample_weight (m,).  validation_data: (X, y) or (X, y, sample_weight), in the place of a part of X.
        checkpoint: a folder into which the fit is written down after `every` so many epochs, or seconds ("60s"), and
        at an interrupt; resume: goes on from what it holds, or starts.  The same random_state must be an integer.
        group: those who fit this estimator together, as of `Network.fit`: each worker calls `fit` with the same data
        and parameters, or (`as_group(..., own_rows=True)`) with rows of its own, and ends with the same estimator.
        Raises GroupError where a worker is lost, or workers differ.
        """
        asked = None if checkpoint is None else Asked(checkpoint, every, resume)
        with alone(self, "estimator"):
            workers = None if group is None else as_group(group)
            self._fit(X, y, sample_weight, validation_data, incremental=False, asked=asked, workers=workers)
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

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """R², the coefficient of determination."""
        if (found := self._compared(X, y, sample_weight)) is not None:
            return float(r2_score(found[1], self._decode(found[0]), sample_weight=found[2]))
        return float(super().score(X, y, sample_weight))

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

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        X, y = validated(
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
        return self._checked(X, y, reset=False)

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
