"""A table whose rows lie with several workers: what it holds is told among them, and members are trained together.

Each worker surveys its own rows and makes inputs of them; the rows themselves stay with who has them, but for a sample
that quantiles are read off, the rows held out, and what is handed over so that all have as many.  What is learned
depends on the rows and their order, not on who had which: what is counted is counted exactly, and rows are chosen by
their numbers among all.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from chainrule.errors import DataError, DataWarning
from chainrule.group.base import Group
from chainrule.network import Network
from chainrule.tabular.converted import check_weights, converted, factors_of, has_text, inputs_of, seen_of
from chainrule.tabular.description import arrays
from chainrule.tabular.frame import has_columns, read_frame
from chainrule.tabular.importances import MOST, Seen
from chainrule.tabular.inputs import TableInputs
from chainrule.tabular.large import HELD
from chainrule.tabular.members import Fold, Trained, Units, network_targets, parts_of, train_folds
from chainrule.tabular.preparation import Preparation, chosen_categories, learn
from chainrule.tabular.recipe import Aim, Recipe, recipe_for
from chainrule.tabular.stream import Part, as_arrow, chosen_at_random
from chainrule.tabular.survey import SAMPLED, Moments, Survey
from chainrule.tabular.targets import classes_of, numbers_of
from chainrule.train.alive import alive
from chainrule.train.own_rows import hand_over
from chainrule.train.progress import Progress
from chainrule.train.workers import agreed

Array = NDArray[Any]
Given = tuple[Any, Any, Any]
"""(X, y, sample_weight) of some rows that follow on each other, as an estimator takes them."""


def fit_own_rows(owner: Any, own: Sequence[Given], class_weight: Callable[[Array], Any] | None, workers: Group) -> None:
    """Fits the estimator to the rows of all workers, of which these are this one's.

    Raises DataError, ValueError, GroupError, at all of them.
    """
    classes = hasattr(type(owner), "predict_proba")
    counts = workers.gather_values(sum(len(X) for X, _, _ in own))
    first, rows = sum(counts[: workers.rank]), sum(counts)
    with alive(workers):
        parts = _parts(own, first, classes)
    names = parts[0].X.column_names
    weighted = "no weights" if parts[0].w is None else "weights"
    workers.same({"the columns of X": ", ".join(names), "sample_weight": weighted})
    seed = workers.broadcast_value(int(check_random_state(owner.random_state).randint(2**31 - 1)))
    with alive(workers):
        frame = read_frame(parts[0].X)
        chosen = chosen_categories(frame, owner.categorical_features)
        survey = Survey(seed, SAMPLED, chosen, of=rows)
        for part in parts:
            survey.add(part)
    survey, *others = workers.gather_values(survey)
    for other in others:
        survey.merge(other)
    targets = _Targets.of(parts, classes, workers)
    with alive(workers):
        if not targets.weight > 0:
            raise ValueError("Sample weights must contain at least one non-zero number.")
        table, some = survey.sample.settled()
        frame = read_frame(table)
        named = has_columns(own[0][0])
        owner.n_features_in_ = len(names)
        vars(owner).pop("feature_names_in_", None)
        if named:
            owner.feature_names_in_ = np.array(names, dtype=object)
        sums, constant = targets.encoded(owner, some)
        preparation = replace(survey.exact(learn(frame, owner.categorical_features), frame), named=named)
        if preparation.lost:
            warnings.warn(f"X: {'; '.join(preparation.lost)}.", DataWarning, stacklevel=6)
        few = owner._known(some[:MOST], len(some[:MOST]))
        inputs, _ = preparation.inputs(frame.take(np.arange(len(few))))
        seen = Seen(inputs, few, np.full(len(few), -1, np.int32))
        can = bool(preparation.columns and owner._can_learn())
        aim = owner._aim() if can else None
        factors = factors_of(class_weight(owner.classes_), sums) if class_weight is not None else None
    trained = None
    if aim is not None:
        units = Units((), (), (), ()) if aim.kind == "classes" else targets.moments.units(aim)
        with alive(workers):
            made = [converted(owner, preparation, part, aim, units, factors) for part in parts]
            data = {name: np.concatenate([one[name] for one in made]) for name in made[0]}
        trained, seen = _train(owner, _evenly(workers, data, counts), rows, preparation, aim, units, seed, workers)
        if short := trained.short_of_time():
            warnings.warn(f"{short}; a longer time_limit is better.", ConvergenceWarning, stacklevel=6)
    owner.preparation_, owner.trained_, owner._constant, owner._seed = preparation, trained, constant, seed
    owner._seen = seen
    owner.id_, owner.beside_, owner.header_, owner.record_, owner._importances = None, (), True, {}, None


def _parts(own: Sequence[Given], first: int, classes: bool) -> list[Part]:
    """The rows with their numbers among all, checked.  Raises DataError."""
    parts: list[Part] = []
    for X, y, w in own:
        if not len(X):
            continue
        if y is None:
            raise DataError("There are no targets: name their column, or give y.")
        try:
            table = as_arrow(X, "X")
            targets = classes_of(y, len(table)) if classes else numbers_of(y, len(table))
            weights = None if w is None else np.asarray(w, np.float64)
            if weights is not None and weights.shape != (len(table),):
                raise DataError(f"sample_weight must have a number for each of {len(table)} rows.")
            check_weights(weights)
            if parts and (table.column_names != parts[0].X.column_names or (w is None) != (parts[0].w is None)):
                raise DataError("X has other columns here, or rows with weights stand beside rows without.")
        except DataError as fault:
            raise DataError(f"{fault} (In the rows from {first:,} on.)" if first else str(fault)) from None
        parts.append(Part(first, table, targets, weights))
        first += len(table)
    if not parts:
        raise DataError("A worker has no rows: give it some, or leave it out.")
    return parts


# --- targets ----------------------------------------------------------------------------------------------------------


class _Targets:
    """What the targets of all rows are, exactly: the same to the last bit however the rows are divided."""

    def __init__(self) -> None:
        self.counts: dict[Any, int] | None = None
        """Of classes the sums of their weights, by `exact_sum`."""
        self.moments = Moments()
        """Of numbers."""
        self.first: Array = np.zeros(0)
        """Some of them."""
        self.weight = 0
        """Of all rows, by `exact_sum`."""

    @classmethod
    def of(cls, parts: Sequence[Part], classes: bool, workers: Group) -> _Targets:
        """Of all workers' rows."""
        y = np.concatenate([part.y for part in parts if part.y is not None])
        weights = [np.ones(len(part.X)) if part.w is None else part.w for part in parts]
        w = np.concatenate(weights)
        found = cls()
        found.first = workers.broadcast_value(y[:2])
        found.weight = sum(workers.gather_values(exact_sum(w)))
        if not found.weight:
            return found
        if classes:
            found.counts = _of_classes(y, w, workers)
        else:
            found._learn(y.reshape(len(y), -1), w, workers)
        return found

    def _learn(self, y: Array, w: Array, workers: Group) -> None:
        moments = self.moments
        ends = workers.gather_values((y.min(axis=0), y.max(axis=0)))
        moments.low = np.min([low for low, _ in ends], axis=0)
        moments.high = np.max([high for _, high in ends], axis=0)
        largest = np.maximum(np.abs(moments.low), np.abs(moments.high))
        unit = np.where(largest > 1e150, largest, 1.0)  # squares of such numbers would overflow
        mean = _mean(w[:, None] * (y / unit), self.weight, workers)
        squares = _mean(w[:, None] * np.square(y / unit - mean), self.weight, workers)
        moments.mean, moments.squares, moments.weight = unit * mean, np.square(unit) * squares, 1.0

    def encoded(self, owner: Any, some: Array) -> tuple[Array, Array]:
        """(The weight of each class, what is predicted where nothing can be learned); the owner knows them then."""
        if self.counts is None:
            owner._encode(self.first, len(self.first))
            return np.zeros(0), owner._without_columns(np.asarray(some, np.float64).reshape(len(some), -1), None)
        every = np.array(list(self.counts), dtype=object if has_text(self.counts) else None)
        owner._encode(every, len(every))
        sums = np.array([as_float(self.counts[value]) for value in owner.classes_.tolist()])
        return sums, owner._without_columns(np.arange(len(sums)), sums)


def _of_classes(y: Array, w: Array, workers: Group) -> dict[Any, int]:
    words, which = np.unique(y, return_inverse=True)
    own = {word: exact_sum(w[which == k]) for k, word in enumerate(words.tolist())}
    counts: dict[Any, int] = {}
    for one in workers.gather_values(own):
        for word, n in one.items():
            counts[word] = counts.get(word, 0) + n
    return counts


def _mean(values: Array, weight: int, workers: Group) -> Array:
    """Of each column Σ values / weight."""
    own = [exact_sum(values[:, k]) for k in range(values.shape[1])]
    return np.array([sum(column) / weight for column in zip(*workers.gather_values(own), strict=True)])


_DIGITS, _LEAST = 53, 1073
"""Of a float64: bits of its fraction, and what the exponent of the smallest number lies below 0."""


def exact_sum(values: Array) -> int:
    """The sum of finite float64 numbers, exactly, in units of 2^-1126: such sums can be added in any order."""
    fractions, exponents = np.frexp(values)
    whole = (fractions * 2.0**_DIGITS).astype(np.int64)
    total = 0
    for exponent in np.unique(exponents).tolist():
        these = whole[exponents == exponent]
        high = these >> 26  # in two halves, so that int64 holds their sums
        total += ((int(high.sum()) << 26) + int((these - (high << 26)).sum())) << (exponent + _LEAST)
    return total


def as_float(total: int) -> float:
    """The float64 nearest to an `exact_sum`."""
    return total / (1 << (_DIGITS + _LEAST))


# --- training ---------------------------------------------------------------------------------------------------------


def _evenly(workers: Group, data: Mapping[str, Array], counts: Sequence[int]) -> dict[str, Array]:
    """As many rows for each worker, in the same order: none is without when some are held out."""
    begins = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    bounds = [int(begins[-1]) * k // workers.size for k in range(workers.size + 1)]
    wanted = [(bounds[k], bounds[k + 1]) for k in range(workers.size)]
    return {name: hand_over(workers, array, begins, wanted) for name, array in data.items()}


def _train(
    owner: Any,
    data: Mapping[str, Array],
    rows: int,
    preparation: Preparation,
    aim: Aim,
    units: Units,
    seed: int,
    workers: Group,
) -> tuple[Trained, Seen]:
    shape = preparation.shape
    with agreed(workers):
        rising = owner._rising(preparation)
        recipe = recipe_for(owner.preset, aim, rows, shape)
        if owner.ensemble is not None:
            recipe = replace(recipe, members=int(owner.ensemble), parts=max(recipe.parts, 2))
    end = None if owner.time_limit is None else time.monotonic() + owner.time_limit
    held_by = _held_by(data["targets"], rows, recipe, seed, aim, workers)
    seen: list[tuple[TableInputs, Array, int]] = []

    def fold(network: Network, k: int, own: Recipe) -> Fold:
        mask = held_by(k % recipe.parts)
        out = _gathered({name: array[mask] for name, array in data.items()}, workers)
        learned: Mapping[str, Array] = {name: array[~mask] for name, array in data.items()}
        if len(out["targets"]) in (0, rows):  # too few rows to hold any out: all are learned, and judged
            out, learned = _gathered(data, workers), data
        inputs, given = inputs_of(out, shape), inputs_of(learned, shape)
        known = out["targets"] if aim.kind == "classes" else units.back(out["targets"], clip=False)
        seen.append((inputs.of(slice(MOST)), known[:MOST], k))
        return Fold(
            (arrays(given, shape, own, rising), network_targets(learned["targets"], aim, network, own)),
            learned["w"][:, 0] if "w" in learned else None,
            arrays(inputs, shape, own, rising),
            network_targets(out["targets"], aim, network, own),
            known,
            out["targets"],
            out["w"][:, 0] if "w" in out else None,
        )

    trained = train_folds(
        fold,
        aim=aim,
        recipe=recipe,
        shape=shape,
        units=units,
        rising=rising,
        seed=seed,
        end=end,
        engine=owner._engine(),
        threads=owner.n_jobs if owner.n_jobs is None or owner.n_jobs > 0 else None,
        callbacks=(lambda _: [Progress(True)]) if owner.verbose and workers.rank == 0 else None,
        ended=None,
        workers=workers,
    )
    return trained, seen_of(seen, trained)


def _held_by(
    targets: Array, rows: int, recipe: Recipe, seed: int, aim: Aim, workers: Group
) -> Callable[[int], NDArray[np.bool_]]:
    """Which of this worker's rows are held out, by the number of the part."""
    counts = workers.gather_values(len(targets))
    first = sum(counts[: workers.rank])
    own = slice(first, first + len(targets))
    if rows <= HELD * recipe.parts:  # as of a table in memory: each part has its share of every class
        every = np.concatenate(workers.gather_values(targets if targets.ndim == 1 else targets[:, 0]))
        part = parts_of(every, recipe.parts, seed, aim)[own]
        return lambda number: part == number
    share = HELD / rows
    places = chosen_at_random(first, len(targets), seed + 1) / 2.0**64
    return lambda number: np.asarray((places >= number / recipe.parts) & (places < number / recipe.parts + share))


def _gathered(data: Mapping[str, Array], workers: Group) -> dict[str, Array]:
    """The rows of all workers."""
    everybodys = workers.gather_values(dict(data))
    return {name: np.concatenate([one[name] for one in everybodys]) for name in data}
