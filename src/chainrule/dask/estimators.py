"""Estimators that the workers of a cluster fit, each with partitions of its own, and that predict where the rows are.

Each is the estimator of the same name on one machine, with the same parameters: `to_local` gives that one, fitted.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import dask
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import check_is_fitted

from chainrule import estimators
from chainrule.calls import misfits
from chainrule.dask.cluster import client_of, some_worker
from chainrule.dask.meeting import ClusterGroup
from chainrule.dask.predictions import Kind, lazily
from chainrule.dask.rows import Piece, columns_of, named_apart, pieces
from chainrule.dask.training import together
from chainrule.engines.shards.order import shard_count, shard_size
from chainrule.errors import ArgumentError, SpecError
from chainrule.estimators.parameters import parameters_checked
from chainrule.estimators.stochastic import clipped
from chainrule.group.base import TIMEOUT
from chainrule.group.find import as_group
from chainrule.tabular.classifier import TabularClassifier as LocalTabularClassifier
from chainrule.tabular.recipe import batch_size
from chainrule.tabular.regressor import TabularRegressor as LocalTabularRegressor

Array = NDArray[Any]


class OnCluster(BaseEstimator):  # type: ignore[misc]
    """What all of them share; a subclass says of which local estimator it is.

    Attributes: local_, the local estimator, fitted; and all of its own (classes_, ...).
    """

    local: ClassVar[type[Any]]
    """The estimator on one machine."""
    local_: Any

    @parameters_checked
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        client: Any = None,
        timeout: float = TIMEOUT,
        **options: Any,
    ) -> Any:
        """Fits on the workers of a cluster, each of which has some partitions; the same bits for any number of them.

        X: a Dask data frame, or an array of numbers.  y: its targets, in partitions of the same rows, or of a frame the
        name of a column (or names).  sample_weight: as y.  client: of the cluster; None for the one that is current.
        timeout: seconds after which a worker that sends nothing counts as lost.  options: as of the local estimator's
        fit; data among them go to every worker as a whole.
        Raises ArgumentError, DataError, ValueError as that; GroupError where there is no cluster, or a worker was lost.
        """
        name = f"{type(self).__name__}.fit"
        if "group" in options or "groups" in options:
            raise ArgumentError(f"{name} takes no group: the workers of the cluster form one, with rows of their own.")
        if faults := misfits(self.local.fit, name, (self, None, None), options):
            raise ArgumentError(faults)
        client = client_of(client)
        some_worker(client, timeout)
        held = pieces(client, X, y, sample_weight)
        local = self._begun()
        batch = self._batch_size(held.total)
        most = shard_count(batch, shard_size(batch))
        self.local_ = together(client, held, most, timeout, self._work, local, options)
        return self

    def _begun(self) -> Any:
        """The local estimator that is to be fitted: with warm_start where the fit before has ended."""
        if getattr(self, "warm_start", False) and "local_" in vars(self):
            return copy.deepcopy(self.local_).set_params(**self.get_params(deep=False))
        return self.local(**self.get_params(deep=False))

    @staticmethod
    def _work(group: ClusterGroup, own: Sequence[Piece], local: Any, options: Mapping[str, Any]) -> Any:
        """One worker's part: the estimator, fitted."""
        raise NotImplementedError

    def _batch_size(self, rows: int) -> int:
        """Samples a step of so many rows."""
        raise NotImplementedError

    def predict(self, X: Any) -> Any:
        """What the local estimator predicts of a Dask array or data frame, lazily: an array, or a series or frame.

        Raises NotFittedError, and DataError for columns that do not fit.
        """
        check_is_fitted(self, "local_")
        return lazily(self.local_, "predict", X, self._kind())

    def to_local(self) -> Any:
        """The estimator on one machine, as it was fitted.  Raises NotFittedError."""
        check_is_fitted(self, "local_")
        return copy.deepcopy(self.local_)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of classes that are right, or R²: predicted on the cluster, compared here.

        Raises NotFittedError, DataError as `predict`.
        """
        check_is_fitted(self, "local_")
        X, y = named_apart(X, y)
        predicted, targets, weights = dask.compute(self.predict(X), y, sample_weight)
        score = accuracy_score if hasattr(type(self), "predict_proba") else r2_score
        return float(score(np.asarray(targets), np.asarray(predicted), sample_weight=weights))

    def _kind(self) -> Kind:
        """Of what `predict` gives."""
        raise NotImplementedError

    def _dtype(self) -> np.dtype[Any]:
        """Of probabilities and values."""
        return np.dtype(np.float64)

    def __getattr__(self, name: str) -> Any:
        """What was learned, as the local estimator has it."""
        if name.endswith("_") and not name.startswith("_") and "local_" in vars(self):
            return getattr(self.local_, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_tags__(self) -> Any:
        return self.local(**self.get_params(deep=False)).__sklearn_tags__()


class _Classes(OnCluster):
    """Those that predict classes."""

    def predict_proba(self, X: Any) -> Any:
        """The probabilities of the classes, in the order of classes_, lazily: (m, classes), or a column for each.

        Raises NotFittedError, and DataError as `predict`.
        """
        check_is_fitted(self, "local_")
        if isinstance(self.local_.classes_, list):
            raise SpecError("predict_proba of several outputs has an array for each: take to_local().")
        if not hasattr(self.local_, "predict_proba"):
            raise SpecError(f"The loss {self.local_.loss!r} has no probabilities: take predict.")
        names = [str(label) for label in self.local_.classes_.tolist()]
        return lazily(self.local_, "predict_proba", X, Kind(self._dtype(), names))


class _OfNumbers(OnCluster):
    """Those of one network on numbers."""

    @staticmethod
    def _work(group: ClusterGroup, own: Sequence[Piece], local: Any, options: Mapping[str, Any]) -> Any:
        X, y, weights = columns_of(own)
        return local.fit(X, y, weights, group=as_group(group, own_rows=True), **options)

    def _batch_size(self, rows: int) -> int:
        left = rows - int(np.ceil(self.validation_fraction * rows)) if self.early_stopping else rows
        return max(1, clipped(self.batch_size, left))

    def _kind(self) -> Kind:
        """Of one sample, to be asked."""
        one = np.zeros((1, self.local_.n_features_in_), self._dtype())
        given = getattr(self.local_, "feature_names_in_", None)
        if given is not None:
            import pandas

            one = pandas.DataFrame(one, columns=list(given))
        predicted = self.local_.predict(one)
        columns = None if predicted.ndim == 1 else [f"prediction_{k}" for k in range(predicted.shape[1])]
        return Kind(predicted.dtype, columns)

    def _dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.local_.network_.dtype
        return dtype


class _OfTables(OnCluster):
    """Those of the recipe for tables."""

    @staticmethod
    def _work(group: ClusterGroup, own: Sequence[Piece], local: Any, options: Mapping[str, Any]) -> Any:
        local._fit_own_rows(own, as_group(group, own_rows=True))
        return local

    def _batch_size(self, rows: int) -> int:
        return batch_size(rows)


class MLPClassifier(_Classes, _OfNumbers):
    """`chainrule.MLPClassifier` on the rows of a Dask cluster; parameters as there.

    model = chainrule.dask.MLPClassifier((64,), random_state=0).fit(X, y)
    model.predict_proba(X)                      # lazily
    model.to_local().save("model.npz")
    """

    local = estimators.MLPClassifier
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = estimators.MLPClassifier._parameter_constraints
    __init__ = estimators.MLPClassifier.__init__


class MLPRegressor(_OfNumbers):
    """`chainrule.MLPRegressor` on the rows of a Dask cluster; parameters as there."""

    local = estimators.MLPRegressor
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = estimators.MLPRegressor._parameter_constraints
    __init__ = estimators.MLPRegressor.__init__


class TabularClassifier(_Classes, _OfTables):
    """`chainrule.TabularClassifier` on the rows of a Dask cluster; parameters as there.

    model = chainrule.dask.TabularClassifier(random_state=0).fit(table, "income")
    model.predict(new)                          # lazily
    """

    local = LocalTabularClassifier
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = LocalTabularClassifier._parameter_constraints
    __init__ = LocalTabularClassifier.__init__

    def _kind(self) -> Kind:
        return Kind(self.local_.classes_.dtype)


class TabularRegressor(_OfTables):
    """`chainrule.TabularRegressor` on the rows of a Dask cluster; parameters as there."""

    local = LocalTabularRegressor
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = LocalTabularRegressor._parameter_constraints
    __init__ = LocalTabularRegressor.__init__

    def _kind(self) -> Kind:
        columns: Sequence[str] | None = self.local_._outputs()
        if columns is None and self.local_.n_outputs_ > 1:
            columns = [f"prediction_{k}" for k in range(self.local_.n_outputs_)]
        return Kind(np.dtype(np.float64), columns)
