"""MLPClassifier."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight

from chainrule.calls import says_arguments
from chainrule.describe.layers import GivenActivation
from chainrule.describe.losses import Cost, Loss, LossName
from chainrule.describe.optimizers import Optimizer
from chainrule.engines.table import EngineName
from chainrule.estimators import construct, heads
from chainrule.estimators.base import BaseMLP
from chainrule.estimators.classes import ClassTargets
from chainrule.estimators.parameters import (
    CLASSIFIER_LOSSES,
    LOSS,
    OURS,
    THEIRS,
    check_class_weight,
    keep,
    parameters_checked,
    there_if,
)
from chainrule.group.find import as_group
from chainrule.network import Network
from chainrule.program.precision import Precision
from chainrule.train.alone import alone
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import Asked

Array = NDArray[Any]


class MLPClassifier(ClassTargets, ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron for classes: scikit-learn's MLPClassifier, compiled, and with more parameters.

    Names, meanings and defaults are scikit-learn's; so are the attributes.  Targets may be classes, several labels, or
    (new) several outputs with several classes each.

        MLPClassifier((256,), dropout=0.2, class_weight="balanced", early_stopping=True, random_state=0).fit(X, y)

    Further attributes: network_ (the `Network`), validation_loss_curve_, stopped_ (why before the last epoch).

    Parameters
    ----------
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
    loss
        "log_loss", any of chainrule's names, a `Loss`, a `Cost`, or a callable of (yhat, y), y rows of 0 and 1.
    class_weight
        Weights of classes, {label: weight}, or "balanced".
    label_smoothing
        The share ε of a label that is spread evenly over the classes.
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
        What early stopping goes by: None (accuracy), "loss", a scorer's name or a scorer.
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
        "loss": [StrOptions(set(CLASSIFIER_LOSSES)), *LOSS],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    @says_arguments
    def __init__(
        self,
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
        loss: LossName | str | Loss | Cost | Callable[..., object] = "log_loss",
        class_weight: Mapping[Any, float] | Sequence[Mapping[Any, float]] | Literal["balanced"] | None = None,
        label_smoothing: float = 0.0,
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
    ) -> MLPClassifier:
        """Fits to X (m, n), dense or sparse, and the classes y: (m,), or (m, labels) of 0 and 1, or (m, outputs).

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
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None, validation_data: Any = None
    ) -> MLPClassifier:
        """One epoch over the samples, from where the last call ended; with early stopping give validation_data.

        classes: all that there are, in the first call (for several outputs a list of arrays).
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit, which does not see all samples. Compute "
                "weights with compute_class_weight('balanced', classes=classes, y=y) and pass them as class_weight."
            )
        with alone(self, "estimator"):
            self._first_classes(y, classes)
            self._fit(X, y, sample_weight, validation_data, incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """The predicted classes, (m,), or (m, labels) of 0 and 1, or (m, outputs)."""
        return self._decode(self._forward(X))

    @there_if(lambda self: self._check_probabilities())
    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes in the order of classes_, (m, classes); for several outputs a list of these."""
        return self._probabilities(self._forward(X))

    @there_if(lambda self: self._check_probabilities())
    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of predict_proba(X)."""
        probabilities = self.predict_proba(X)
        if isinstance(probabilities, list):
            return [np.log(p, out=p) for p in probabilities]
        return np.log(probabilities, out=probabilities)

    @there_if(lambda self: not self._check_probabilities(raises=False))
    def decision_function(self, X: Any) -> Array:
        """The outputs of a network without probabilities (loss="hinge"): (m,), above 0 for classes_[1], or (m, K)."""
        values = self._forward(X)
        return values.ravel() if values.shape[1] == 1 else values

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy; for several labels or outputs the share of samples with all of them right."""
        if (found := self._compared(X, y, sample_weight)) is not None:
            return self._accuracy(found[1], self._decode(found[0]), found[2])
        return self._accuracy(y, self.predict(X), sample_weight)

    @classmethod
    def from_network(cls, net: Network, *, classes: Any = None, **parameters: Any) -> MLPClassifier:
        """A fitted estimator around a network; both share their parameters.

        classes: the labels of its outputs, by default 0, 1, ....  One output is that of classes[1].
        parameters: how it would be fitted further, and nothing that the network itself says.
        Raises ValueError where the network is more than the parameters can say (an embedding, a layer without bias).
        """
        given = construct.given_with(net, parameters)
        count = max(2, net.spec.outputs)
        classes = np.arange(count) if classes is None else np.atleast_1d(classes)
        if len(classes) != count or len(np.unique(classes)) != count:
            raise ValueError(f"classes must be {count} different labels. Got {classes!r} instead.")
        if not (np.sort(classes) == classes).all():
            raise ValueError(f"classes must be sorted, as classes_ always is. Got {classes!r} instead.")
        estimator = cls(**given)
        estimator._set_classes(classes)
        estimator.n_outputs_ = net.spec.outputs
        estimator._adopt(net, heads.named(net.spec.last_activation))
        return estimator

    # --- samples' weights, scores ------------------------------------------------------------------------------

    def _class_weights(self, y: Any) -> Array | None:
        if self.class_weight is None:
            return None
        check_class_weight(self, 1 if y.ndim == 1 else y.shape[1])
        of_samples: Array = compute_sample_weight(self.class_weight, y.toarray() if issparse(y) else y)
        return of_samples

    def _accuracy(self, y: Any, predicted: Any, weights: Any) -> float:
        if self._kind() == "multiclass-multioutput":
            y = np.asarray(y)
            if y.shape != predicted.shape:
                raise ValueError(f"y must be of shape {predicted.shape}. Got {y.shape} instead.")
            return float(np.average((y == predicted).all(axis=1), weights=weights))
        return float(accuracy_score(y, predicted, sample_weight=weights))

    def _default_score(self, y: Any, prediction: Array, weights: Array | None) -> float:
        return self._accuracy(y, self._decode(prediction), weights)

    def _score_name(self) -> str:
        return "accuracy" if self.scoring is None else self.scoring if isinstance(self.scoring, str) else "score"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
