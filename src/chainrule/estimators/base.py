"""What MLPClassifier and MLPRegressor share: fitting, warm starts, hidden activations, keeping and describing."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from chainrule import checks
from chainrule.blocks import Blocks, as_blocks, as_inputs
from chainrule.errors import DataError
from chainrule.estimators import construct, in_group, parameters
from chainrule.estimators.arrays import Samples
from chainrule.estimators.curves import Curves
from chainrule.estimators.form import FittedForm
from chainrule.estimators.heads import Head
from chainrule.estimators.in_group import Everybody, Rows
from chainrule.estimators.lbfgs import fit_lbfgs
from chainrule.estimators.solvers import Solver, solver_of
from chainrule.estimators.stochastic import Given, StochasticSettings, fit_stochastic
from chainrule.estimators.tables import TableInput, target_cells, validated
from chainrule.estimators.task import Held, Task, scored
from chainrule.group.base import Group
from chainrule.network import Network
from chainrule.train.alone import MARK, alone
from chainrule.train.batches import check_batches, least_batch, starts
from chainrule.train.checkpoint import Asked
from chainrule.train.state import Snapshot
from chainrule.train.workers import agreed

Array = NDArray[Any]


class BaseMLP(FittedForm, TableInput, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[misc, call-arg]
    """The base of both; a subclass says what targets are (`_encode`, `_decode`, `_default_score`, `_head`)."""

    # auto_wrap_output_keys=None: `transform` itself names its columns, as they depend on the layer.

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    network_: Network
    coefs_: list[Array]
    intercepts_: list[Array]

    # --- a subclass's part -------------------------------------------------------------------------------------

    def _encode(self, y: Any) -> tuple[Head, Array]:
        """The head and the targets (labels as int64, rows as floats) of checked y."""
        raise NotImplementedError

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """X and y checked, as scikit-learn does."""
        raise NotImplementedError

    def _learn_targets(self, y: Any, *, incremental: bool) -> None:
        """Classes found or compared, in the targets of all rows."""

    def _decode(self, prediction: Array) -> Array:
        """Ŷ as what `predict` returns."""
        raise NotImplementedError

    def _default_score(self, y: Any, prediction: Array, weights: Array | None) -> float:
        """The score of early stopping where `scoring` is None."""
        raise NotImplementedError

    def _class_weights(self, y: Any) -> Array | None:
        """A weight of each sample by its class, or None."""
        return None

    def _check_held(self, X: Any, y: Any) -> tuple[Any, Any]:
        """X and y of a validation set, checked against what was fitted."""
        raise NotImplementedError

    def _stratify(self, y: Any) -> Any:
        """What the split of a validation set is stratified by, or None."""
        return None

    # --- fitting -----------------------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        validation_data: Any = None,
        *,
        incremental: bool,
        asked: Asked | None = None,
        workers: Group | None = None,
    ) -> BaseMLP:
        own_rows = workers is not None and workers.own_rows
        with agreed(workers):
            parameters.hidden_sizes(self)
            parameters.check_together(self)
            if asked is not None:
                parameters.check_checkpoints(self)
            if workers is not None:
                in_group.check(self, workers)
            blocks = None if incremental else as_blocks(X, y, sample_weight)
            if blocks is not None and own_rows:
                raise DataError("Workers with rows of their own are given arrays: data on the disk are read by all.")
        if blocks is not None:
            return self._fit_blocks(blocks, validation_data, asked, workers, own=blocks is not X)
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        with agreed(workers):
            X = self._from_frame(X, reset=first)
            X, y = self._checked(X, target_cells(y), reset=first)
            if sample_weight is not None:
                sample_weight = (in_group.own_weights if own_rows else _check_sample_weight)(sample_weight, X)
            in_group.check_encoded(self, workers)
        if workers is not None and own_rows:
            everybody = Everybody.of(workers, self, X, y, sample_weight)
        else:
            everybody = Everybody.alone(y, sample_weight)
        self._draw_from(workers)
        with agreed(workers):
            self._learn_targets(everybody.y, incremental=incremental)
            if everybody.weights is not None and not everybody.weights.any():
                raise ValueError("Sample weights must contain at least one non-zero number.")
            weights = _times(everybody.weights, self._class_weights(everybody.y))
            if weights is not None and not weights.any():
                raise ValueError(
                    "class_weight leaves every sample with the weight 0: there would be nothing to learn from. Give a "
                    "class that is among the samples a weight above 0."
                )
            head, targets = self._encode(y)
            dtype = parameters.network_dtype(self, X.dtype)
            self.n_outputs_ = head.outputs
            net = self._initialise(X.shape[1], head, dtype) if first else self._continued(X.shape[1], head)
            working = net
            stochastic = self.solver != "lbfgs" or self.optimizer is not None
            if not stochastic and net.dtype != np.float64:
                # SciPy works in float64, and so does scikit-learn then; a line search in float32 ends early.
                working = self._double(net)
            task = self._task(working, Samples(X, working.dtype), targets, weights, everybody.own)
        with alone(net, "network"):
            if stochastic:
                self._fit_stochastic(
                    X, everybody, task, net, validation_data, incremental=incremental, asked=asked, workers=workers
                )
            else:
                self._fit_lbfgs(task, working, validation_data)
                if working is not net:
                    net.overwrite(lambda arrays: construct.carry(working, arrays))
        return self._ended(net, stochastic)

    def _draw_from(self, workers: Group | None) -> None:
        """Where this fit's random numbers come from: of a group the same for all."""
        if workers is None:
            self._random_state = check_random_state(self.random_state)
        else:
            self._random_state = in_group.shared_random(self.random_state, workers)

    def _ended(self, net: Network, stochastic: bool) -> BaseMLP:
        """Itself, with the network that was trained.  Raises ValueError where that is not finite."""
        self._bind(net)
        if not all(np.isfinite(array).all() for array in net.parameters.values()) or not np.isfinite(self.loss_):
            if stochastic and self.early_stopping:
                return self
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                "preprocessed."
            )
        return self

    def _fit_blocks(
        self, blocks: Blocks, validation_data: Any, asked: Asked | None, workers: Group | None, own: bool
    ) -> BaseMLP:
        """Fits to blocks; own: whether they are this fit's alone."""
        from chainrule.estimators.by_blocks import fit_blocks  # what only they need

        def fit(X: Any, y: Any, sample_weight: Any) -> None:
            self._fit(X, y, sample_weight, validation_data, incremental=False, asked=asked, workers=workers)

        def train(net: Network, given: Given, held: Held | None) -> None:
            if validation_data is not None:
                with agreed(workers):
                    held = self._given(validation_data, net)
            with alone(net, "network"):
                self._train(net, given, held, incremental=False, asked=asked, workers=workers)
            self._ended(net, stochastic=True)

        try:
            fit_blocks(self, blocks, fit, train, workers)
        finally:
            if own:
                blocks.close()
        return self

    def _begun(self, inputs: int, dtype: np.dtype[Any], y: Any) -> Network:
        """The network of a fit to X of so many columns, which begins; y: targets that stand for all."""
        first = not hasattr(self, "coefs_") or not self.warm_start
        self._from_frame(np.empty((0, inputs)), reset=first)
        _, y = self._checked(np.zeros((len(y), inputs), dtype), y, reset=first)
        self._learn_targets(y, incremental=False)
        head, _ = self._encode(y)
        self.n_outputs_ = head.outputs
        return self._initialise(inputs, head, dtype) if first else self._continued(inputs, head)

    def _initialise(self, inputs: int, head: Head, dtype: np.dtype[Any]) -> Network:
        """A new network, scikit-learn's first weights in it, and empty curves."""
        net = construct.network(self, construct.spec(self, inputs, head, dtype), dtype)
        construct.draw_weights(self, net, self._random_state)
        self._bind(net)
        self.out_activation_ = head.name
        self.n_layers_ = len(self.coefs_) + 1
        self.n_iter_ = 0
        self.t_ = 0
        self.stopped_: str | None = None
        self._best: Snapshot | None = None
        for name in ("loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_", "_optimizer"):
            if hasattr(self, name):
                delattr(self, name)
        self._begin()
        return net

    def _begin(self) -> None:
        """Empty curves, and the best so far."""
        self.validation_loss_curve_: list[float] | None = None
        if self.solver != "lbfgs" or self.optimizer is not None:
            Curves.empty(self.early_stopping).onto(self)

    def _adopt(self, net: Network, out_activation: str) -> None:
        """A network that was made elsewhere, as if it had been fitted here."""
        self._bind(net)
        self.n_features_in_ = net.spec.inputs
        self.n_layers_ = len(self.coefs_) + 1
        self.out_activation_ = out_activation
        self.n_iter_ = len(net.history) if net.history is not None else 0
        self.t_ = 0
        self.stopped_ = None
        self._best = None
        self._begin()
        if net.history:
            self.loss_curve_ = [record.cost for record in net.history]
            self.loss_ = self.loss_curve_[-1]

    def _begin_curves(self, held: Held | None) -> None:
        """The curves of a validation set, where there is one."""
        if held is None:
            return
        if self.validation_loss_curve_ is None:
            self.validation_loss_curve_ = []
        if getattr(self, "validation_scores_", None) is None:
            self.validation_scores_: list[float] | None = []

    def _bind(self, net: Network) -> None:
        """network_ is this one, coefs_ and intercepts_ views of its parameters: in one step, as `_bound` reads all."""
        coefs, intercepts = construct.weights(net)
        self.__dict__.update(network_=net, coefs_=coefs, intercepts_=intercepts)

    def _bound(self) -> Network:
        """The network with what coefs_ and intercepts_ hold: a caller may have put other arrays into the lists."""
        net: Network | None = vars(self).get("network_")
        if net is None:
            dtype = np.asarray(self.coefs_[0]).dtype
            described = construct.spec(self, self.coefs_[0].shape[0], self._head(), dtype)
            net = self.network_ = construct.network(self, described, dtype)
        for views, arrays in zip(construct.weights(net), (self.coefs_, self.intercepts_), strict=True):
            for k, (view, array) in enumerate(zip(views, arrays, strict=True)):
                if array is not view:
                    view[...] = array
                    arrays[k] = view
        return net

    def _continued(self, inputs: int, head: Head) -> Network:
        """The network of the calls before, with what has been set since (alpha, dropout, ...)."""
        net = self._bound()
        described = construct.spec(self, inputs, head, net.dtype)
        if described != net.spec or self.engine != net.engines.name:
            net = construct.carried(net, construct.network(self, described, net.dtype))
            self._bind(net)
        return net

    def _double(self, net: Network) -> Network:
        """The network in float64."""
        return construct.carried(net, construct.network(self, net.spec, np.dtype(np.float64)))

    def _head(self) -> Head:
        raise NotImplementedError

    def _task(
        self, net: Network, samples: Samples, targets: Array, weights: Array | None, own: slice = slice(None)
    ) -> Task:
        """Targets and weights in the network's dtype; out of range they are refused here.

        weights: of all rows, of which `own` are those of the samples.
        """
        kind, arrays = checks.targets(net.spec, targets, len(samples), net.dtype)
        (checked,) = arrays.values()
        w = None if weights is None else checks.weights_in_range(weights.reshape(-1, 1), net.dtype, relative=False)
        assert (kind == "labels") == (checked.dtype == np.int64)
        return Task(samples, checked, None if w is None else w[own])

    def _given(self, validation_data: Any, net: Network) -> Held:
        """validation_data = (X, y) or (X, y, sample_weight), checked."""
        if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
            raise ValueError("validation_data must be (X, y) or (X, y, sample_weight).")
        X, y, *rest = validation_data
        X, y = self._check_held(self._from_frame(X), target_cells(y))
        weights = None if not rest or rest[0] is None else _check_sample_weight(rest[0], X)
        task = self._task(net, Samples(X, net.dtype), self._encode(y)[1], weights)
        return Held(task, X, y, weights)

    def _fit_stochastic(
        self,
        X: Any,
        everybody: Everybody,
        task: Task,
        net: Network,
        validation_data: Any,
        *,
        incremental: bool,
        asked: Asked | None,
        workers: Group | None,
    ) -> None:
        chosen: Rows = np.arange(everybody.y.shape[0], dtype=np.int64)
        out: Rows = chosen[:0]
        held = None
        with agreed(workers):
            if validation_data is not None:
                held = self._given(validation_data, net)
            elif incremental and self.early_stopping:
                held = vars(self).get("_held_")
                if held is None:
                    raise ValueError(
                        "partial_fit does not support early_stopping=True without validation_data: what is held out "
                        "must be the same from call to call. Pass partial_fit(X, y, validation_data=(X_val, y_val))."
                    )
            elif self.early_stopping:
                stratify = self._stratify(everybody.y)
                chosen, out = train_test_split(
                    chosen, random_state=self._random_state, test_size=self.validation_fraction, stratify=stratify
                )
                if len(out) < 2:
                    raise ValueError(
                        "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
                    )
        if incremental and self.early_stopping and vars(self).get("_held_") is not None and self.stopped_:
            warnings.warn(
                f"partial_fit has stopped early ({self.stopped_}) and trains no further. To go on, set "
                "early_stopping=False.",
                ConvergenceWarning,
                stacklevel=3,
            )
            return
        if workers is not None and workers.own_rows:
            out = np.sort(out)
            given = in_group.dealt(self, workers, net, task, out, everybody)
            if len(out):
                held = in_group.held_by_all(self, workers, net, task, out, everybody)
        else:
            if len(out):
                w = None if task.weights is None else task.weights[out]
                part = Task(Samples(X[out], net.dtype), task.targets[out], w)
                held = Held(part, X[out], everybody.y[out], None if w is None else w[:, 0])
            given = Given.of(task, chosen, self._random_state, bool(self.shuffle))
        self._train(net, given, held, incremental=incremental, asked=asked, workers=workers)

    def _train(
        self,
        net: Network,
        given: Given,
        held: Held | None,
        *,
        incremental: bool,
        asked: Asked | None,
        workers: Group | None,
    ) -> None:
        """Trains the network, with samples held out."""
        self._held_ = held if incremental else None
        self._begin_curves(held)
        with agreed(workers):
            settings = StochasticSettings.of(self, given.samples, incremental)
            check_batches(net.spec, given.samples, settings.batch_size)
        solver: Solver | None = vars(self).get("_optimizer") if incremental else None
        self._optimizer = solver = solver or solver_of(
            self, len(starts(given.samples, settings.batch_size, least_batch(net.spec)))
        )
        solver.seen = int(self.t_)
        curves, check = Curves.of(self), lambda X, y: self._given((X, y), net).task.whole()
        before, self.n_iter_, self.stopped_ = len(curves.losses), 0, None
        score, name, random = self._score_held, self._score_name(), self._random_state
        try:
            self.stopped_ = fit_stochastic(
                net, given, held, solver, random, settings, curves, score, name, check, asked, workers
            )
        finally:  # what was done stays done, however it ended
            curves.onto(self)
            self.n_iter_, self.t_ = len(curves.losses) - before, solver.seen

    def _fit_lbfgs(self, task: Task, net: Network, validation_data: Any) -> None:
        held = None if validation_data is None else self._given(validation_data, net)
        self._begin_curves(held)
        outcome = fit_lbfgs(
            net,
            task,
            tol=self.tol,
            max_iter=int(self.max_iter),
            max_fun=int(self.max_fun),
            time_limit=self.time_limit,
            verbose=bool(self.verbose),
            score=None if held is None else lambda: self._score_held(held),
        )
        self.loss_, self.n_iter_, self.stopped_ = outcome.loss, outcome.iterations, outcome.stopped
        if held is not None:
            assert self.validation_loss_curve_ is not None and self.validation_scores_ is not None
            self.validation_loss_curve_ += outcome.held_losses
            self.validation_scores_ += outcome.scores

    def _score_held(self, held: Held) -> tuple[float, float]:
        """(the score that early stopping goes by: greater is better; J) of the samples held out."""
        prediction, cost = held.evaluate(self.network_)
        if self.scoring == "loss":
            return -cost, cost
        if self.scoring is not None:
            return scored(self, check_scoring(self, self.scoring), held, prediction), cost
        return self._default_score(held.y, prediction, held.weights), cost

    def _score_name(self) -> str:
        raise NotImplementedError

    # --- using it ------------------------------------------------------------------------------------------------

    def _forward(self, X: Any) -> Array:
        """Ŷ for X as users give it."""
        state = vars(self)
        net: Network | None = state.get("network_")
        # What is an array already as the network wants it needs no look at it but the network's own.
        if (
            net is not None
            and type(X) is np.ndarray
            and X.dtype == net.dtype
            and X.ndim == 2
            and X.shape[1] == net.spec.inputs
            and "feature_names_in_" not in state
            and "encoder_" not in state
        ):
            try:
                prediction: Array = self._bound().predict(X)
                return prediction
            except DataError:
                pass  # in scikit-learn's words below
        check_is_fitted(self)
        if "encoder_" not in state and (blocks := as_inputs(X, self._names())) is not None:
            return self._bound().predict(blocks)
        X = self._from_frame(X)
        X = validated(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)
        net = self._bound()
        return np.concatenate([net.predict(rows) for _, rows in Samples(X, net.dtype).chunks()])

    def _names(self) -> list[str] | None:
        """Of the columns that were fitted, where they have some."""
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else [str(name) for name in names]

    def _compared(self, X: Any, y: Any, sample_weight: Any) -> tuple[Array, Array, Array | None] | None:
        """(Ŷ, y, weights) of blocks; None of what is in memory."""
        blocks = as_blocks(X, y, sample_weight, self._names())
        if blocks is None:
            return None
        from chainrule.estimators.by_blocks import compared  # what only they need

        check_is_fitted(self)
        return compared(self._bound(), blocks)

    def transform(self, X: Any, layer: int = -1) -> Any:
        """The activations of a hidden layer, its dropout left out.

        layer: from the front 0, 1, ..., or from the end -1, -2, ... among the hidden layers.
        Returns (m, units of that layer), in the container that `set_output` asks for.
        """
        check_is_fitted(self)
        original, X = X, self._from_frame(X)
        X = validated(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)
        position = self._layer(layer)
        net = self._bound()
        name = construct.hidden_symbol(net, position)
        parts = [net.value(name, rows) for _, rows in Samples(X, net.dtype).chunks()]
        naming = SimpleNamespace(
            _sklearn_output_config=getattr(self, "_sklearn_output_config", {}),
            _sklearn_auto_wrap_output_keys={"transform"},
            get_feature_names_out=lambda: self.get_feature_names_out(layer=layer),
        )
        return _wrap_data_with_container("transform", np.concatenate(parts), original, naming)

    def get_feature_names_out(self, input_features: Any = None, *, layer: int = -1) -> NDArray[np.object_]:
        """Names of the columns of `transform`: "mlpclassifier0", ...; of another layer than the last "..._h1_0"."""
        check_is_fitted(self)
        position = self._layer(layer)
        width = self.coefs_[position].shape[1]
        prefix = type(self).__name__.lower()
        if position != len(self.coefs_) - 2:
            prefix = f"{prefix}_h{position + 1}_"
        return np.asarray([f"{prefix}{k}" for k in range(width)], dtype=object)

    def _layer(self, layer: int) -> int:
        hidden = len(self.coefs_) - 1
        if isinstance(layer, bool) or not isinstance(layer, int | np.integer) or not -hidden <= layer < hidden:
            raise ValueError(f"layer must be a whole number from {-hidden} to {hidden - 1}. Got {layer!r} instead.")
        return int(layer) % hidden

    # --- what it is ------------------------------------------------------------------------------------------------

    def _check_solver(self) -> bool:
        if self.solver == "lbfgs" and self.optimizer is None:
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the network's machine code, which is made again where it is needed."""
        state: dict[str, Any] = super().__getstate__()
        return {k: v for k, v in state.items() if k not in ("_held_", MARK)}


def _times(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return b if a is None else a
    return np.asarray(a * b)
