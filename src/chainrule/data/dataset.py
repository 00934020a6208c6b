"""A data set as a network takes it, and how it is divided into a training and a test part."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.data.columns import Columns
from chainrule.data.encode import TableEncoder
from chainrule.data.standardize import check_finite
from chainrule.data.targets import TargetEncoder, Task
from chainrule.display import Displayed
from chainrule.errors import DataError, expected

DRAW = 2
"""The random numbers by which rows are set apart. Runs say by which theirs were; those that do not, by the first."""


@dataclass(frozen=True, eq=False)
class Dataset(Displayed):
    """Samples and what is to be predicted of them."""

    X: NDArray[Any]
    """(m, n), finite."""
    y: NDArray[Any]
    """(m,) class numbers 0, 1, ... or numbers; (m, outputs) for several numbers."""
    feature_names: tuple[str, ...]
    """n names."""
    target: TargetEncoder
    """What y was made of."""
    name: str
    """The source's."""
    X_test: NDArray[Any] | None = None
    """The test part, where the source has one of its own or `split` made one; else None."""
    y_test: NDArray[Any] | None = None
    """Its targets."""
    measured: NDArray[np.bool_] = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=bool))
    """(n,) whether a feature is a number in a unit of its own, that wants standardising (pixels and one-hot columns do
    not)."""
    encoder: TableEncoder | None = None
    """How a table's rows became X; None where the source was numbers already."""
    notes: tuple[str, ...] = ()
    """What was taken in a way that not everybody would expect, a few words each."""
    columns: Columns | None = dataclasses.field(default=None, repr=False)
    """What the encoding was learned from, to learn it anew from a part of the rows; None where there is none."""
    image: tuple[int, int] | None = None
    """(height, width) where a sample is an image of one colour, row by row; None where it is none."""

    def __post_init__(self) -> None:
        if self.measured.size == 0:
            object.__setattr__(self, "measured", np.zeros(len(self.feature_names), dtype=bool))
        self._check(self.X, self.y, "training")
        if (self.X_test is None) != (self.y_test is None):
            raise DataError(f"{self.name}: a test part needs both X_test and y_test.")
        if self.X_test is not None and self.y_test is not None:
            self._check(self.X_test, self.y_test, "test")

    def _check(self, X: NDArray[Any], y: NDArray[Any], part: str) -> None:
        n = len(self.feature_names)
        if X.ndim != 2 or X.shape[1] != n:
            raise DataError(expected(f"{self.name}: X of the {part} part", f"(samples, {n})", X.shape))
        if len(X) == 0:
            raise DataError(f"{self.name}: the {part} part has no samples.")
        if len(X) != len(y):
            raise DataError(f"{self.name}: the {part} part has {len(X)} samples, but {len(y)} targets.")
        check_finite(X, f"{self.name}: X of the {part} part")

    def __repr__(self) -> str:
        test = "" if self.X_test is None else f" + {len(self.X_test):,} to test"
        what = "numbers" if self.target_names is None else f"{len(self.target_names)} classes"
        return f"Dataset({self.name!r}, {len(self.X):,} samples{test}, {len(self.feature_names)} features, {what})"

    @property
    def task(self) -> Task:
        """ "classification" or "regression"."""
        return self.target.task

    @property
    def target_names(self) -> tuple[str, ...] | None:
        """The names of the classes, in order; None for regression."""
        return self.target.names

    def split(self, test: float | int = 0.2, seed: int = 0, draw: int = DRAW) -> Dataset:
        """The same data with a test part: drawn at random, reproducibly; classes keep their shares.

        What a table's encoding learned (medians, categories) is learned anew, from the training part alone.

        Parameters
        ----------
        test
            A fraction of the samples, or their number.
        seed
            The same one draws the same parts.
        draw
            The stream of random numbers: 2; 1 is that of runs that were made before there was a 2.

        Raises
        ------
        DataError
            Where there is a test part already, or a part would be empty.
        """
        if self.X_test is not None:
            raise DataError(f"{self.name} has a test part of its own.")
        kept, left_out = split_rows(len(self.X), test, seed, self.y if self.task == "classification" else None, draw)
        if self.columns is None or self.encoder is None:
            X, X_test, encoder = self.X[kept], self.X[left_out], self.encoder
        else:
            training = self.columns.take(kept)
            encoder = TableEncoder.fit(training, self.encoder.ignored, self.encoder.header)
            X, X_test = encoder.matrix(training), encoder.matrix(self.columns.take(left_out))
        return dataclasses.replace(
            self,
            X=X,
            y=self.y[kept],
            X_test=X_test,
            y_test=self.y[left_out],
            feature_names=self.feature_names if encoder is None else encoder.feature_names,
            measured=self.measured if encoder is None else encoder.measured,
            encoder=encoder,
            columns=None,
        )


def split(
    X: ArrayLike, y: ArrayLike, test: float | int = 0.2, seed: int = 0, stratify: ArrayLike | bool | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(X_train, X_test, y_train, y_test), drawn at random; the same seed draws the same parts.

    test: a fraction of the samples (rounded), or their number.
    stratify: labels, shape (m,), whose shares both parts keep; True stands for y; by default y if it holds whole
    numbers.  A class of a single sample stays in the training part.
    Raises DataError for lengths that differ, or where a part would be empty.
    """
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim == 0 or y.ndim == 0 or len(X) != len(y):
        raise DataError(f"X and y must have as many samples as each other. Got shapes {X.shape} and {y.shape} instead.")
    if stratify is None or isinstance(stratify, bool):
        wanted = y.ndim == 1 and y.dtype.kind in "biu" if stratify is None else stratify
        labels = y if wanted else None
    else:
        labels = np.asarray(stratify)
    if labels is not None and labels.shape != (len(X),):
        raise DataError(expected("'stratify'", f"labels of shape ({len(X)},)", labels.shape))
    kept, left_out = split_rows(len(X), test, seed, labels)
    return X[kept], X[left_out], y[kept], y[left_out]


def split_rows(
    samples: int, test: float | int, seed: int, labels: NDArray[Any] | None = None, draw: int = DRAW
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row numbers of the training and of the test part, each in random order (see `split`)."""
    count = _test_count(samples, test)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(expected("'seed'", "an integer of at least 0", seed))
    # Sorting random numbers, rather than `permutation`: the stream of plain doubles is the one that stays the same.
    order = np.argsort(drawing(int(seed), draw).random(samples), kind="stable")
    if labels is not None:
        order = _spread_classes(order, labels, count)
    return order[count:], order[:count]


def drawing(seed: int, draw: int = DRAW) -> np.random.Generator:
    """What a split's random numbers come from.

    Not `default_rng(seed)`, as in the first draw: that is what many draw their data from, and a split by the very
    numbers that the data are made of leaves out the smallest ones.
    Raises DataError for a draw of a later version.
    """
    if draw not in (1, DRAW):
        raise DataError(expected("'draw'", f"1 or {DRAW}", draw))
    return np.random.default_rng(seed if draw == 1 else (seed, 5))


def _test_count(samples: int, test: float | int) -> int:
    whole = isinstance(test, int | np.integer) and not isinstance(test, bool)
    if isinstance(test, bool) or not isinstance(test, int | float | np.integer | np.floating):
        raise DataError(expected("'test'", "a fraction or a number of samples", test))
    if not whole and not 0 < test < 1:
        raise DataError(expected("'test'", "a fraction between 0 and 1, or a whole number of samples", test))
    count = int(test) if whole else max(1, math.floor(float(test) * samples + 0.5))
    if not 1 <= count < samples:
        raise DataError(f"Of {samples} samples, {count} cannot be set apart: both parts need at least one.")
    return count


def _spread_classes(order: NDArray[np.int64], labels: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The same rows, the first `count` of them holding each class's share (largest remainders), in random order."""
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    most = sizes - 1
    if most.sum() < count:
        # So many single samples that the shares cannot be kept.
        return order
    exact = sizes * (count / len(labels))
    share = np.minimum(np.floor(exact).astype(np.int64), most)
    while (lacking := count - int(share.sum())) > 0:
        # Classes that are full cannot take more; the others take one each, the largest remainder first.
        remainder = np.where(share < most, exact - share, -np.inf)
        share[np.argsort(-remainder, kind="stable")[: min(lacking, int((share < most).sum()))]] += 1
    classes = codes.reshape(-1)[order]
    by_class = np.argsort(classes, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[by_class] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = rank < share[classes]
    return np.concatenate([order[chosen], order[~chosen]])
