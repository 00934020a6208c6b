"""TabularRegressor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions

from chainrule import metrics
from chainrule.calls import says_arguments
from chainrule.describe.losses import LOSSES, Loss, LossName
from chainrule.engines.table import EngineName
from chainrule.errors import DataError
from chainrule.estimators.parameters import parameters_checked
from chainrule.metrics import Evaluation
from chainrule.tabular.base import BaseTabular, without_target
from chainrule.tabular.frame import Frame
from chainrule.tabular.recipe import Aim
from chainrule.tabular.targets import numbers_of

Array = NDArray[Any]
_LOSSES = tuple(name for name, usual in LOSSES.items() if usual.kind in ("values", "counts"))


class TabularRegressor(RegressorMixin, BaseTabular):  # type: ignore[misc]
    """Numbers from tables as they come: a data frame (pandas, polars, pyarrow), an array, a file's path.

        model = cr.TabularRegressor().fit(df.drop(columns="price"), df["price"])
        model.predict(new)

    Columns are taken as by `TabularClassifier`.  Targets may be on any scale, one or several.

    Attributes: n_features_in_, feature_names_in_, n_outputs_, feature_importances_, networks_, notes_, preparation_.

    Parameters
    ----------
    preset
        "fast" takes a second or two; "best" has more and larger members.
    loss
        "squared_error", another of chainrule's by name, or a `Loss` of (yhat, y), both standardised; "poisson" is for
        counts, which are predicted by their expectation.
    quantiles
        Levels, such as (0.1, 0.5, 0.9), learned in one network instead of a loss; predicted (m, levels), rising.
    ensemble
        How many members; None for the preset's.
    categorical_features
        "from_dtype", or names, places or a mask of columns of numbers that are categories.
    monotonic_cst
        Numbers that predictions only rise in (1) or fall in (-1), by name or for each column, exactly.
    time_limit
        Seconds of training; there is always one member.
    random_state
        The same one gives the same result.
    n_jobs
        Threads at most.
    engine
        "auto", or an engine's name.
    verbose
        Whether each member's progress is shown, on standard error.

    Raises
    ------
    DataError
        A ValueError, with all faults of a table.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseTabular._parameter_constraints,
        "loss": [StrOptions(set(_LOSSES)), Loss],
        "quantiles": ["array-like", None],
    }

    @says_arguments
    def __init__(
        self,
        preset: Literal["fast", "default", "best"] = "default",
        *,
        loss: LossName | str | Loss = "squared_error",
        quantiles: Sequence[float] | None = None,
        ensemble: int | None = None,
        categorical_features: str | Sequence[str | int | bool] | None = "from_dtype",
        monotonic_cst: Mapping[str, int] | Sequence[int] | None = None,
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        engine: EngineName | str = "auto",
        verbose: bool | int = False,
    ) -> None:
        self.preset = preset
        self.loss = loss
        self.quantiles = quantiles
        self.ensemble = ensemble
        self.categorical_features = categorical_features
        self.monotonic_cst = monotonic_cst
        self.time_limit = time_limit
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.engine = engine
        self.verbose = verbose

    @parameters_checked
    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, groups: Any = None, group: object | None = None
    ) -> TabularRegressor:
        """Learns from a table X of m rows and their numbers y, (m,) or (m, targets).

        X may be larger than memory: a Parquet file or a folder of them, a data set of pyarrow, a lazy frame, with the
        name of the target's column as y (or names), or what else `cr.Blocks` takes.
        groups: (m,), rows of one are held out together when members are judged.
        group: workers who train other members each, as of `Network.fit`: all call `fit` with the same table in memory,
        and end with the same estimator, that of a fit without a group.  Or (`as_group(..., own_rows=True)`) each with
        rows of its own: they train each member together.  A time_limit is worker 0's.
        Raises DataError with all faults of the table; ValueError for targets that are no finite numbers.
        """
        self._fit(X, y, sample_weight, groups, group=group)
        return self

    def predict(self, X: Any) -> Array:
        """The predicted numbers, (m,), of several targets (m, targets), of quantiles (m, levels).

        Raises DataError for data that do not fit.
        """
        values = self._predicted(X)
        return values[:, 0] if self._single and self.quantiles is None else values

    def _encode(self, y: Any, m: int) -> Array:
        y = numbers_of(y, m)
        self._single = y.ndim == 1
        self.n_outputs_ = 1 if y.ndim == 1 else int(y.shape[1])
        return np.asarray(y.reshape(m, -1))

    def _known(self, y: Any, m: int) -> Array:
        numbers = numbers_of(y, m)
        if numbers.size != m * self.n_outputs_:
            raise DataError(f"y must hold numbers of the shape {(m, self.n_outputs_)}. Got {numbers.shape} instead.")
        return numbers.reshape(m, -1)

    def _judged(self, frame: Frame) -> tuple[Array, NDArray[np.bool_], list[str]]:
        targets = np.stack([frame.numbers(name) for name in self.targets_], axis=1)
        judged: NDArray[np.bool_] = np.asarray(np.isfinite(targets).all(axis=1))
        return targets, judged, without_target(~judged, self.targets_)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of the predictions; of quantiles, of the level next to the middle.  Raises DataError as `predict`."""
        if self.quantiles is None:
            return float(super().score(X, y, sample_weight))
        middle = int(np.abs(np.asarray(self.quantiles, float) - 0.5).argmin())
        predicted = self.predict(X)[:, middle]
        return float(r2_score(numbers_of(y, len(predicted)), predicted, sample_weight=sample_weight))

    def _evaluation(self, predicted: Array, targets: Array) -> Evaluation:
        if self.quantiles is not None:
            return metrics.of_quantiles(predicted, targets, [float(level) for level in self.quantiles])
        names = self.targets_ or tuple(f"target {k + 1}" for k in range(targets.shape[1]))
        return metrics.of_targets(predicted, targets, names)

    def _aim(self) -> Aim:
        if self.quantiles is not None:
            return Aim("quantiles", self.n_outputs_, tuple(float(level) for level in self.quantiles))
        given = LOSSES[self.loss] if isinstance(self.loss, str) else self.loss
        if given.kind == "counts":
            return Aim("counts", self.n_outputs_)
        return Aim("values", self.n_outputs_, loss=self.loss)

    def _outputs(self) -> tuple[str, ...] | None:
        if self.quantiles is not None:
            return tuple(f"{float(level):g}" for level in self.quantiles)
        return self.targets_ if self.n_outputs_ > 1 and self.targets_ else None

    def _without_columns(self, targets: Array, weights: Array | None) -> Array:
        if self.quantiles is not None:
            return np.asarray(np.quantile(targets[:, 0], self.quantiles))
        return np.asarray(np.average(targets, axis=0, weights=weights))

    def _loss(self, predicted: Array, targets: Array) -> float:
        if self.quantiles is not None:
            levels, e = np.asarray(self.quantiles, float), targets - predicted
            return float(np.maximum(levels * e, (levels - 1) * e).mean())
        units = self.trained_.units.scale if targets.shape[1] > 1 and self.trained_ is not None else 1.0
        return float(np.square((predicted - targets) / np.asarray(units)).mean())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
