"""TabularClassifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions

from chainrule import metrics
from chainrule.calls import says_arguments
from chainrule.data.cells import MISSING
from chainrule.data.columns import label, some
from chainrule.engines.table import EngineName
from chainrule.errors import DataError
from chainrule.estimators.parameters import parameters_checked
from chainrule.estimators.tables import target_cells
from chainrule.metrics import Evaluation
from chainrule.tabular.base import BaseTabular, counted, without_target
from chainrule.tabular.frame import Frame
from chainrule.tabular.recipe import Aim
from chainrule.tabular.targets import classes_of

Array = NDArray[Any]


class TabularClassifier(ClassifierMixin, BaseTabular):  # type: ignore[misc]
    """Classes from tables as they come: a data frame (pandas, polars, pyarrow), an array, a file's path.

        model = cr.TabularClassifier().fit(df.drop(columns="income"), df["income"])
        model.predict_proba(new)

    Numbers, truth values, categories, texts with few levels, dates and gaps are taken as they are; columns are found by
    name; what is no use (constants, identifiers) is left out and told in `notes_`.  Some small networks are trained by
    the recipe for tables, each with other rows held out; probabilities are their mean, with a temperature from the rows
    held out, so that they are honest.

    Attributes: classes_, n_features_in_, feature_names_in_, feature_importances_, networks_, notes_, preparation_.

    Parameters
    ----------
    preset
        "fast" takes a second or two; "best" has more and larger members.
    ensemble
        How many members; None for the preset's.
    categorical_features
        "from_dtype", or names, places or a mask of columns of numbers that are categories.
    monotonic_cst
        {"age": 1, "price": -1}, or a sign for each column: numbers that the probability of the second of two classes
        only rises in (1) or falls in (-1), exactly.
    class_weight
        Factors by class, or "balanced".
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
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    @says_arguments
    def __init__(
        self,
        preset: Literal["fast", "default", "best"] = "default",
        *,
        ensemble: int | None = None,
        categorical_features: str | Sequence[str | int | bool] | None = "from_dtype",
        monotonic_cst: Mapping[str, int] | Sequence[int] | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        engine: EngineName | str = "auto",
        verbose: bool | int = False,
    ) -> None:
        self.preset = preset
        self.ensemble = ensemble
        self.categorical_features = categorical_features
        self.monotonic_cst = monotonic_cst
        self.class_weight = class_weight
        self.time_limit = time_limit
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.engine = engine
        self.verbose = verbose

    @parameters_checked
    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, groups: Any = None, group: object | None = None
    ) -> TabularClassifier:
        """Learns from a table X of m rows and their classes y (m,): texts, numbers or truth values.

        X may be larger than memory: a Parquet file or a folder of them, a data set of pyarrow, a lazy frame, with the
        name of the target's column as y, or what else `cr.Blocks` takes.
        groups: (m,), rows of one are held out together when members are judged.
        group: workers who train other members each, as of `Network.fit`: all call `fit` with the same table in memory,
        and end with the same estimator, that of a fit without a group.  Or (`as_group(..., own_rows=True)`) each with
        rows of its own: they train each member together.  A time_limit is worker 0's.
        Raises DataError with all faults of the table; ValueError for classes that are none.
        """
        self._fit(X, y, sample_weight, groups, self._factors, group=group)
        return self

    def predict(self, X: Any) -> Array:
        """The likeliest class of each row, (m,).  Raises DataError for data that do not fit."""
        places = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[places])

    def predict_proba(self, X: Any) -> Array:
        """The probabilities of the classes, in the order of classes_, (m, classes).  Raises DataError as `predict`."""
        return self._predicted(X)

    def predict_log_proba(self, X: Any) -> Array:
        """Their logarithms."""
        return np.log(np.maximum(self.predict_proba(X), np.finfo(np.float64).tiny))

    def _encode(self, y: Any, m: int) -> Array:
        self.classes_, codes = np.unique(classes_of(y, m), return_inverse=True)
        return np.asarray(codes, np.int64)

    def _outputs(self) -> tuple[str, ...]:
        return tuple(map(str, self.classes_.tolist()))

    def _can_learn(self) -> bool:
        return len(self.classes_) > 1

    def _known(self, y: Any, m: int) -> Array:
        y = classes_of(y, m)
        codes = np.searchsorted(self.classes_, y)
        unknown = [value for value in np.unique(y) if value not in self.classes_]
        if unknown or len(y) != m:
            raise DataError(
                f"y must hold {m} of the classes {list(self.classes_)}. Got {len(y)}, {unknown} among them."
            )
        return np.asarray(codes, np.int64)

    def _judged(self, frame: Frame) -> tuple[Array, NDArray[np.bool_], list[str]]:
        cells = frame.coded(self.targets_[0])
        place = {label(value): k for k, value in enumerate(self.classes_.tolist())}
        new = [word for word in cells.words if word not in place and word not in MISSING]
        codes = np.array([place.get(word, -1) for word in cells.words], np.int64)[cells.codes]
        missing = np.array([word in MISSING and word not in place for word in cells.words], bool)[cells.codes]
        notes = without_target(missing, self.targets_)
        if strange := int(((codes < 0) & ~missing).sum()):
            notes.append(f"{counted(strange, 'row')} of classes that the training data did not have ({some(new)})")
        return codes, codes >= 0, notes

    def _evaluation(self, predicted: Array, targets: Array) -> Evaluation:
        names = tuple(map(str, self.classes_.tolist()))
        return metrics.of_classes(predicted.argmax(axis=1), predicted, targets, names)

    def _factors(self, y: Any) -> Any:
        """class_weight by the classes' numbers."""
        if not isinstance(self.class_weight, dict):
            return self.class_weight
        classes = list(np.unique(column_or_1d(target_cells(y))))
        unknown = [key for key in self.class_weight if key not in classes]
        if unknown:
            raise ValueError(f"class_weight must name classes of y, {classes}. Got {unknown[0]!r} instead.")
        return {k: float(self.class_weight[value]) for k, value in enumerate(classes) if value in self.class_weight}

    def _aim(self) -> Aim:
        return Aim("classes", len(self.classes_))

    def _without_columns(self, targets: Array, weights: Array | None) -> Array:
        counts = np.bincount(targets, weights=weights, minlength=len(self.classes_)).astype(np.float64)
        return np.asarray(counts / counts.sum())

    def _loss(self, predicted: Array, targets: Array) -> float:
        return float(-np.log(np.maximum(predicted[np.arange(len(targets)), targets], 1e-15)).mean())
