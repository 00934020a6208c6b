"""Estimators fitted to data that need not fit into memory: read once, laid out, trained on window by window.

What fits is handed to the ordinary fit as arrays, to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import checks
from chainrule.blocks import Blocks
from chainrule.blocks.lay import SPAN
from chainrule.blocks.order import BlockOrder
from chainrule.blocks.stored import Draft, Kind, Stored, usual_place
from chainrule.blocks.supply import Block
from chainrule.blocks.windows import Windows
from chainrule.describe.losses import Targets
from chainrule.errors import DataError
from chainrule.estimators import parameters
from chainrule.estimators.arrays import Samples
from chainrule.estimators.stochastic import Given
from chainrule.estimators.tables import target_cells
from chainrule.estimators.task import Held, Task
from chainrule.group.base import Group
from chainrule.network import Network
from chainrule.train.workers import agreed

Array = NDArray[Any]
AT_A_TIME = 1 << 16
"""Rows whose targets are encoded at a time."""
HELD = 4
"""The part of the memory that rows may take which are held out."""


class Raw:
    """Blocks as arrays of numbers: X in the network's dtype, y with a number for each different text, weights."""

    def __init__(self, dtype: Callable[[np.dtype[Any]], np.dtype[Any]]) -> None:
        self.dtype = dtype
        """From the dtype of X to that of the network."""
        self.words: dict[str, int] = {}
        """Of y, in the order in which they came; none where y is of numbers."""
        self.weight = 0.0

    def __call__(self, block: Block) -> Mapping[str, Array]:
        """Raises DataError."""
        X = np.asarray(block.X)
        if X.ndim != 2 or X.dtype.kind not in "biuf" or not X.shape[1]:
            raise DataError(f"X must hold numbers, (samples, features). Got {X.dtype} {X.shape}.")
        dtype = self.dtype(np.dtype(np.float32 if X.dtype == np.float32 else np.float64))
        with np.errstate(over="ignore"):  # what does not fit becomes inf, and is named as such
            X = X.astype(dtype, copy=False)
        with np.errstate(all="ignore"):
            if not np.isfinite(X.sum()) and not np.isfinite(X).all():
                row, column = np.argwhere(~np.isfinite(X))[0]
                raise DataError(f"X must be finite. Got {X[row, column]} at [{row}, {column}].")
        if block.y is None:
            raise DataError("there is no y.")
        y = np.asarray(target_cells(block.y))
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if len(y) != len(X):
            raise DataError(f"y must have one entry per sample. Got {len(y)} for {len(X)} samples.")
        data = {"X": X, "y": self._numbers(y)}
        self.weight += float(len(X))
        if block.w is not None:
            w = np.asarray(block.w, np.float64)
            if w.shape != (len(X),) or not np.isfinite(w).all() or (w < 0).any():
                raise DataError("sample_weight must be finite numbers of at least 0, one for each sample.")
            data["w"] = w
            self.weight += float(w.sum()) - float(len(X))
        return data

    def _numbers(self, y: Array) -> Array:
        if y.dtype.kind in "biu":
            return y if y.dtype == bool else y.astype(np.int64)
        if y.dtype.kind == "f":
            if not np.isfinite(y).all():
                raise DataError(f"Input y contains NaN or infinity, in row {int(np.argmin(np.isfinite(y)))}.")
            return y.astype(np.float64, copy=False)
        words, which = np.unique(y.astype(str), return_inverse=True)
        codes = np.array([self.words.setdefault(str(word), len(self.words)) for word in words], np.int64)
        return np.asarray(codes[which.reshape(y.shape)])

    def told(self) -> dict[str, Any]:
        """The texts of y.  Raises DataError where no sample counts."""
        if not self.weight:
            raise DataError("Sample weights must contain at least one non-zero number.")
        return {"words": list(self.words)}

    @staticmethod
    def y(codes: Array, words: list[str]) -> Array:
        """y as it came."""
        return np.array(words, dtype=object)[codes] if words else codes


def fit_blocks(
    owner: Any,
    blocks: Blocks,
    fit: Callable[[Any, Any, Any], Any],
    train: Callable[[Network, Given, Held | None], None],
    workers: Group | None = None,
) -> None:
    """Fits the estimator.

    fit: the ordinary fit of (X, y, sample_weight).  train: trains its network on what is given, with samples held out.
    workers: those who fit together, and lay all rows out each for itself.  Raises DataError, ValueError.
    """
    raw = Raw(lambda dtype: parameters.network_dtype(owner, dtype))
    key = f"of an estimator in {owner.dtype} {owner.precision}"
    shuffle = bool(owner.shuffle or owner.early_stopping)
    with agreed(workers):
        laid = blocks.held(raw, key, shuffle=shuffle, told=raw.told)
    names = blocks.supply.names
    if isinstance(laid, dict):
        words = list(raw.words)
        fit(laid["X"], Raw.y(laid["y"], words), laid.get("w"))
    else:
        owner._draw_from(workers)
        with agreed(workers):
            parts = _stored(owner, laid, blocks.memory)
        train(*parts)
    if names is not None:
        owner.feature_names_in_ = np.array(names, dtype=object)


def _stored(owner: Any, laid: Stored, memory: int) -> tuple[Network, Given, Held | None]:
    """The network that begins, what it is trained on, and what is held out."""
    if owner.solver == "lbfgs" and owner.optimizer is None:
        raise ValueError("solver='lbfgs' needs all samples at once, and these do not fit into memory; take 'adam'.")
    if len(laid.kinds["y"].shape) and type(owner).__name__ == "MLPClassifier":
        raise ValueError("y must be one column of classes where the samples do not fit into memory.")
    words = list(laid.told["words"])
    net = owner._begun(laid.kinds["X"].shape[0], laid.kinds["X"].dtype, _first_y(owner, laid, words))
    factors = _factors(owner, laid, words)
    encoded = _encoded(owner, net, laid, words, factors)
    rows = encoded.rows
    held = None
    if owner.early_stopping:
        most = memory // HELD // max(1, sum(kind.bytes for kind in encoded.kinds.values()))
        out = max(2, min(int(np.ceil(owner.validation_fraction * rows)), most))
        rows -= out
        held = _held(owner, net, laid, encoded, words, rows)
    seed = int(owner._random_state.randint(2**31 - 1))
    order = BlockOrder((seed, 1), rows, encoded.block, SPAN, bool(owner.shuffle))
    windows = Windows(encoded, order, encoded)
    targets: Targets = "labels" if "y" in encoded.kinds else "values"
    shown = next(encoded.all_of(min(rows, 1024)))
    return net, Given(windows, windows, rows, targets, "w" in encoded.kinds, shown, encoded.digest), held


def _first_y(owner: Any, laid: Stored, words: list[str]) -> Array:
    """All different classes, or some targets: what the head follows from."""
    if type(owner).__name__ != "MLPClassifier":
        return next(laid.all_of(2))["y"]
    found = np.unique(np.concatenate([np.unique(some) for some in _column(laid, "y")]))
    return Raw.y(found, words)


def _column(laid: Stored, name: str) -> Any:
    """An array's rows, some at a time."""
    kind = laid.kinds[name]
    for first in range(0, laid.rows, AT_A_TIME):
        some = np.empty((min(AT_A_TIME, laid.rows - first), *kind.shape), kind.dtype)
        laid.read(name, first, some)
        yield some


def _factors(owner: Any, laid: Stored, words: list[str]) -> dict[Any, float] | None:
    """class_weight by class."""
    given = getattr(owner, "class_weight", None)
    if given is None or not isinstance(given, str):
        return given
    counts: dict[Any, int] = {}
    for some in _column(laid, "y"):
        for code, n in zip(*np.unique(some, return_counts=True), strict=True):
            counts[code] = counts.get(code, 0) + int(n)
    classes = np.array(list(counts))
    weights = laid.rows / (len(classes) * np.array([counts[c] for c in classes.tolist()], np.float64))
    return dict(zip(Raw.y(classes, words).tolist(), weights.tolist(), strict=True))


def _encoded(owner: Any, net: Network, laid: Stored, words: list[str], factors: Any) -> Stored:
    """The rows with targets and weights as the network takes them."""
    dtype = net.dtype
    draft: Draft | None = None
    first = 0
    try:
        names = [name for name in ("y", "w") if name in laid.kinds]
        for columns in zip(*(_column(laid, name) for name in names), strict=True):
            some = dict(zip(names, columns, strict=True))
            y = Raw.y(some["y"], words)
            _, targets = owner._encode(y)
            _, made = checks.targets(net.spec, targets, len(y), dtype)
            w = some.get("w")
            if factors is not None:
                own = np.array([float(factors.get(value, 1.0)) for value in owner.classes_.tolist()])
                own = own[np.searchsorted(owner.classes_, y)]
                w = own if w is None else w * own
            if w is not None:
                made = {**made, "w": checks.weights_in_range(w.reshape(-1, 1), dtype, relative=False)}
            if draft is None:
                kinds = {name: Kind(array.dtype, array.shape[1:]) for name, array in made.items()}
                draft = Draft(usual_place(), None, kinds, laid.rows)
            for name, array in made.items():
                draft.write(name, first, array)
            first += len(y)
        assert draft is not None
        return laid.only(["X"]).beside(draft.finish(laid.rows, laid.block, {}))
    except BaseException:
        if draft is not None:
            draft.give_up()
        raise


def _held(owner: Any, net: Network, laid: Stored, encoded: Stored, words: list[str], first: int) -> Held:
    """The rows from `first` on: a sample of all, as any rows that lie together."""
    count = laid.rows - first

    def rows(stored: Stored, name: str) -> Array:
        kind = stored.kinds[name]
        some = np.empty((count, *kind.shape), kind.dtype)
        stored.read(name, first, some)
        return some

    X, y = rows(laid, "X"), Raw.y(rows(laid, "y"), words)
    w = rows(encoded, "w") if "w" in encoded.kinds else None
    targets = rows(encoded, "y" if "y" in encoded.kinds else "Y")
    return Held(Task(Samples(X, net.dtype), targets, w), X, y, None if w is None else w[:, 0])


def compared(net: Network, blocks: Blocks) -> tuple[Array, Array, Array | None]:
    """(Ŷ, y, weights) of all rows, X a block at a time.  Raises DataError."""
    parts: list[tuple[Array, Array, Any]] = []

    def convert(block: Block) -> Mapping[str, Array]:
        if block.y is None:
            raise DataError("there is no y to compare with.")
        parts.append((net.predict(block.X), np.asarray(target_cells(block.y)), block.w))
        return {"": parts[-1][0]}

    for _ in blocks.converted(convert):
        pass
    if not parts:
        raise DataError("There are no blocks: at least one sample is needed.")
    predictions, targets, weights = zip(*parts, strict=True)
    w = None if weights[0] is None else np.concatenate(weights)
    return np.concatenate(predictions), np.concatenate(targets), w
