"""From a user's classes to targets and back: two classes, several, several labels, several outputs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from chainrule.describe.losses import LOSSES, Loss
from chainrule.estimators import heads
from chainrule.estimators.tables import validated

Array = NDArray[Any]


class ClassTargets:
    """The part of MLPClassifier that knows what classes are.

    classes_: the sorted classes (a list of such arrays for several outputs).  `_label_binarizer` is scikit-learn's, and
    None for several outputs.
    """

    classes_: Any
    _label_binarizer: Any

    def _kind(self) -> heads.TargetType:
        if self._label_binarizer is None:
            return "multiclass-multioutput"
        kind = self._label_binarizer.y_type_
        return kind if kind in ("multiclass", "multilabel-indicator") else "binary"

    def _counts(self) -> list[int]:
        """Classes of each output; labels of several."""
        if self._label_binarizer is None:
            return [len(c) for c in self.classes_]
        return [len(self.classes_)]

    def _set_classes(self, classes: Any) -> None:
        self._label_binarizer = LabelBinarizer().fit(classes)
        self.classes_ = self._label_binarizer.classes_

    def _first_classes(self, y: Any, classes: Any) -> None:
        """The classes of a first call of partial_fit, as scikit-learn takes them.  Raises ValueError without."""
        if not hasattr(self, "classes_") and _several_outputs(y):
            if classes is None or len(classes) != np.shape(y)[1]:
                raise ValueError("classes must be passed on the first call to partial_fit: an array for each output.")
            self._label_binarizer = None
            self.classes_ = [np.unique(c) for c in classes]
        elif getattr(self, "_label_binarizer", self) is None:
            if classes is not None and any(
                not np.array_equal(a, np.unique(b)) for a, b in zip(self.classes_, classes, strict=True)
            ):
                raise ValueError("`classes` is not the same as on last call to partial_fit.")
        elif _check_partial_fit_first_call(self, classes):
            fitted = y if type_of_target(y).startswith("multilabel") else classes
            self._label_binarizer = LabelBinarizer().fit(fitted)

    def _learn_targets(self, y: Any, *, incremental: bool) -> None:
        """The classes of y, or that they are known."""
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):  # type: ignore[attr-defined]
            if _several_outputs(y):
                self._label_binarizer = None
                self.classes_ = [np.unique(column) for column in y.T]
            else:
                self._set_classes(y)
        elif self._label_binarizer is None:
            self._compare_outputs(y)
        else:
            classes = unique_labels(y)
            if self.warm_start:  # type: ignore[attr-defined]
                if set(classes) != set(self.classes_):
                    raise ValueError(
                        "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                        f"Previously got {self.classes_}, `y` has {classes}"
                    )
            else:
                self._known(classes)

    def _check_held(self, X: Any, y: Any) -> tuple[Any, Any]:
        X, y = self._checked(X, y, reset=False)
        if self._label_binarizer is None:
            self._compare_outputs(y)
        else:
            self._known(unique_labels(y))
        return X, y

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        X, y = validated(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _known(self, classes: Any) -> None:
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _compare_outputs(self, y: Any) -> None:
        if y.ndim != 2 or y.shape[1] != len(self.classes_):
            raise ValueError(f"y must have {len(self.classes_)} outputs. Got shape {y.shape} instead.")
        for k, (known, column) in enumerate(zip(self.classes_, y.T, strict=True)):
            unknown = np.setdiff1d(column, known)
            if len(unknown):
                raise ValueError(f"`y` has classes not in `self.classes_[{k}]`, which has {known}: {unknown}.")

    # --- targets -------------------------------------------------------------------------------------------------

    def _head(self) -> heads.Head:
        smoothing = float(self.label_smoothing)  # type: ignore[attr-defined]
        return heads.for_classification(self.loss, self._kind(), self._counts(), smoothing)  # type: ignore[attr-defined]

    def _encode(self, y: Any) -> tuple[heads.Head, Array]:
        """Labels as int64, or rows of the head's low and high values (smoothed), or those of grouped outputs."""
        head, kind, smoothing = self._head(), self._kind(), float(self.label_smoothing)  # type: ignore[attr-defined]
        if kind == "multiclass-multioutput":
            if smoothing:
                raise ValueError("label_smoothing does not go with several outputs.")
            codes = np.stack([np.searchsorted(c, column) for c, column in zip(self.classes_, y.T, strict=True)], 1)
            return head, heads.grouped_targets(codes, self._counts())
        if kind == "multilabel-indicator":
            rows = self._label_binarizer.transform(y)
            rows = np.asarray(rows.toarray() if issparse(rows) else rows, np.float64)
        else:
            labels = np.searchsorted(self.classes_, y).astype(np.int64)
            if head.labels:
                return head, labels
            rows = labels[:, None] == (np.arange(head.outputs) if head.outputs > 1 else [1])
        rows = np.where(rows, head.high, head.low)
        smoothed = isinstance(head.loss, Loss) and head.loss.smoothing
        if smoothing and not smoothed:
            rows = rows * (1 - smoothing) + smoothing / max(2, head.outputs if kind == "multiclass" else 2)
        return head, rows

    def _stratify(self, y: Any) -> Any:
        """scikit-learn stratifies for two classes alone, and by this very array."""
        return (y == self.classes_[-1]).reshape(-1, 1) if self._kind() == "binary" else None

    # --- predictions ---------------------------------------------------------------------------------------------

    def _decode(self, prediction: Array) -> Array:
        kind = self._kind()
        if kind == "multiclass-multioutput":
            starts = np.cumsum([0, *self._counts()])
            parts = [prediction[:, a:b].argmax(axis=1) for a, b in pairwise(starts)]
            return np.stack([c[k] for c, k in zip(self.classes_, parts, strict=True)], axis=1)
        if kind == "multilabel-indicator":
            threshold = 0.5 if self._head().threshold == 0.5 else 0.0
            labels: Array = self._label_binarizer.inverse_transform(prediction, threshold)  # sparse where y was
            return labels
        if prediction.shape[1] > 1:
            return np.asarray(self.classes_[prediction.argmax(axis=1)])
        if len(self.classes_) == 1:
            return np.repeat(self.classes_, len(prediction))
        threshold = 0.5 if self.out_activation_ == "logistic" else self._head().threshold  # type: ignore[attr-defined]
        return np.asarray(self.classes_[(prediction[:, 0] > threshold).astype(np.intp)])

    def _probabilities(self, prediction: Array) -> Any:
        if prediction.shape[1] == 1:
            p = np.empty((len(prediction), 2), prediction.dtype)
            p[:, 1] = prediction[:, 0]
            np.subtract(1, p[:, 1], out=p[:, 0])
            return p
        kind = self._kind()
        if kind == "multiclass-multioutput":
            return heads.grouped_softmax(prediction, self._counts())
        if kind == "multiclass" and self.out_activation_ == "logistic":  # type: ignore[attr-defined]
            total = prediction.sum(axis=1, keepdims=True)
            return np.divide(prediction, total, out=np.full_like(prediction, 1 / prediction.shape[1]), where=total > 0)
        return prediction

    def _check_probabilities(self, raises: bool = True) -> bool:
        """Whether outputs are probabilities: not those of a hinge, which are signs."""
        loss: Any = self.loss  # type: ignore[attr-defined]
        signs = getattr(LOSSES.get(loss) if isinstance(loss, str) else loss, "kind", "values") == "signs"
        if signs and raises:
            raise AttributeError(
                "predict_proba is not available with the hinge loss: its outputs are no probabilities."
            )
        return not signs


def _several_outputs(y: Any) -> bool:
    """Whether y has several columns with classes of their own, not labels of 0 and 1."""
    if issparse(y) or np.ndim(y) != 2 or np.shape(y)[1] < 2:
        return False
    try:
        return bool(type_of_target(y) == "multiclass-multioutput")
    except TypeError:  # columns of texts beside columns of numbers: they are not to be compared
        return True
