"""A part of a table as networks are given it, and what the targets of all parts are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError
from chainrule.tabular.frame import read_frame
from chainrule.tabular.importances import MOST, Seen
from chainrule.tabular.inputs import InputShape, TableInputs
from chainrule.tabular.members import Trained, Units
from chainrule.tabular.preparation import Preparation
from chainrule.tabular.recipe import Aim
from chainrule.tabular.stream import Part
from chainrule.tabular.survey import Moments

Array = NDArray[Any]


def converted(
    owner: Any, preparation: Preparation, part: Part, aim: Aim, units: Units, factors: Array | None
) -> dict[str, Array]:
    """The inputs, targets and weights of a part."""
    try:
        inputs, _ = preparation.inputs(read_frame(part.X, f"the rows from {part.first:,} on"))
    except DataError as fault:
        raise DataError(f"X: {fault}") from None
    targets = owner._known(part.y, len(part.X))
    wanted = targets if aim.kind == "classes" else units.to_network(targets)
    data = {**named(inputs), "targets": wanted}
    if part.w is not None or factors is not None:
        w = np.ones(len(targets)) if part.w is None else part.w
        w = w if factors is None else w * factors[targets]
        data["w"] = w.astype(np.float32)[:, None]
    return data


def named(inputs: TableInputs) -> dict[str, Array]:
    """Those arrays that have columns."""
    every = {"numbers": inputs.numbers, "flags": inputs.flags, "categories": inputs.categories}
    return {name: array for name, array in every.items() if array.shape[1]}


def empty(shape: InputShape, rows: int) -> TableInputs:
    """Inputs of so many rows, all 0."""
    return TableInputs(
        np.zeros((rows, len(shape.numbers)), np.float32),
        np.zeros((rows, len(shape.flags)), np.float32),
        np.zeros((rows, len(shape.categories)), np.int32),
    )


def inputs_of(data: Mapping[str, Array], shape: InputShape) -> TableInputs:
    """What `named` gave."""
    none = empty(shape, len(next(iter(data.values()))))
    return TableInputs(
        data.get("numbers", none.numbers), data.get("flags", none.flags), data.get("categories", none.categories)
    )


class Targets:
    """What all targets are."""

    def __init__(self, classes: bool) -> None:
        self.counts: dict[Any, float] | None = {} if classes else None
        """The weight of each class."""
        self.moments = Moments()
        self.first: Array | None = None

    def add(self, y: Array, w: Array | None) -> None:
        """Looks at those of some rows.  Raises DataError."""
        if self.counts is None:
            values = np.asarray(y, np.float64).reshape(len(y), -1)
            if not np.isfinite(values).all():
                raise DataError(f"y must be finite. Got {values[~np.isfinite(values)][0]}.")
            self.moments.add(values, w)
            self.first = y[:2] if self.first is None else self.first
            return
        if y.ndim > 1:
            raise DataError("y must be one column of classes.")
        words, which = np.unique(y, return_inverse=True)
        sums = np.bincount(which, weights=w, minlength=len(words))
        for word, n in zip(words.tolist(), sums.tolist(), strict=True):
            self.counts[word] = self.counts.get(word, 0.0) + n


def has_text(counts: Mapping[Any, Any]) -> bool:
    """Whether classes are texts."""
    return any(isinstance(value, str) for value in counts)


def check_weights(w: Array | None) -> None:
    """Raises DataError for weights that are none."""
    if w is not None and not (np.isfinite(w).all() and (w >= 0).all()):
        raise DataError("sample_weight must be finite numbers of at least 0.")


def factors_of(given: Any, sums: Array) -> Array | None:
    """class_weight by the classes' numbers."""
    if given is None:
        return None
    if given == "balanced":
        return np.asarray(sums.sum() / (len(sums) * np.maximum(sums, 1e-30)))
    return np.array([float(given.get(k, 1.0)) for k in range(len(sums))])


def seen_of(seen: list[tuple[TableInputs, Array, int]], trained: Trained) -> Seen:
    """Rows that members held out, by which importances are told."""
    kept = [(inputs, targets, trained.members.index(k)) for inputs, targets, k in seen if k in trained.members]
    few = max(1, MOST // len(kept))
    parts = [inputs.of(slice(few)) for inputs, _, _ in kept]
    inputs = TableInputs(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("numbers", "flags", "categories")))
    targets = np.concatenate([of[:few] for _, of, _ in kept])
    return Seen(inputs, targets, np.repeat(np.array([k for _, _, k in kept], np.int32), [p.rows for p in parts]))
