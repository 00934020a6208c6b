"""What TabularClassifier and TabularRegressor share: tables as they come, the recipe, what was learned of the table."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from chainrule.blocks import Blocks
from chainrule.data.columns import some
from chainrule.engines.table import can_compile
from chainrule.errors import DataError, DataWarning, SpecError, expected, unknown_name
from chainrule.estimators.form import FittedForm
from chainrule.group.base import Group
from chainrule.group.find import as_group
from chainrule.metrics import Evaluation
from chainrule.network import Network
from chainrule.runs.folder import MOST_MEMBERS
from chainrule.tabular import importances
from chainrule.tabular.contributions import Contributions, contributions
from chainrule.tabular.encoded import encoded, names_of
from chainrule.tabular.frame import Frame, filled, has_columns, read_frame
from chainrule.tabular.inputs import TableInputs
from chainrule.tabular.members import Trained, train
from chainrule.tabular.preparation import Novelty, Preparation, learn
from chainrule.tabular.recipe import Aim, recipe_for
from chainrule.tabular.stream import parts, streamed, without_targets
from chainrule.train.alive import alive
from chainrule.train.alone import alone
from chainrule.train.checkpoint import digest_of
from chainrule.train.progress import Progress
from chainrule.train.workers import shared_out
from chainrule.version import VERSION

if TYPE_CHECKING:
    from chainrule.report.html import InlineReport

Array = NDArray[Any]


_OTHERWISE = frozenset(("random_state", "n_jobs", "verbose", "loss", "categorical_features", "monotonic_cst"))
"""Parameters that may differ between workers, or of which what follows from them is compared."""


class BaseTabular(FittedForm, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The base of both; a subclass says what targets are (`_encode`, `_aim`, `_loss`)."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "preset": [StrOptions({"fast", "default", "best"})],
        "ensemble": [Interval(Integral, 1, MOST_MEMBERS, closed="both"), None],
        "categorical_features": ["array-like", str, None],
        "monotonic_cst": ["array-like", dict, None],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "engine": [str],
        "verbose": ["verbose"],
    }

    preparation_: Preparation
    trained_: Trained | None
    n_features_in_: int
    targets_: tuple[str, ...]
    id_: str | None
    beside_: tuple[str, ...]
    header_: bool
    record_: Mapping[str, Any]
    engine: str
    verbose: bool | int
    monotonic_cst: Any
    preset: Any
    _ended: list[BaseException] | None = None
    """Where the command has an interrupt put that ends the training; of others it is raised."""
    _seen: importances.Seen
    _constant: Array
    _seed: int
    _importances: Array | None

    # --- a subclass's part -------------------------------------------------------------------------------------

    def _encode(self, y: Any, m: int) -> Array:
        """The targets as `train` takes them; what they are (classes) is remembered.  Raises ValueError."""
        raise NotImplementedError

    def _aim(self) -> Aim:
        """What is to be predicted."""
        raise NotImplementedError

    def _can_learn(self) -> bool:
        """Whether the targets leave something to learn."""
        return True

    def _without_columns(self, targets: Array, weights: Array | None) -> Array:
        """What is predicted where there is nothing to learn from, (outputs,)."""
        raise NotImplementedError

    def _loss(self, predicted: Array, targets: Array) -> float:
        """What importances are told by."""
        raise NotImplementedError

    # --- fitting -----------------------------------------------------------------------------------------------

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, groups: Any = None, class_weight: Any = None, group: Any = None
    ) -> None:
        with alone(self, "estimator"):
            before = dict(self.__dict__)
            try:
                self._fit_alone(X, y, sample_weight, groups, class_weight, None if group is None else as_group(group))
            except BaseException:  # whatever ended it, what was fitted before stays whole
                self.__dict__.clear()
                self.__dict__.update(before)
                raise

    def _fit_alone(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, class_weight: Any, workers: Group | None = None
    ) -> None:
        own_rows = workers is not None and workers.own_rows
        with alive(workers):
            blocks = streamed(X, y, sample_weight)
            if own_rows and groups is not None:
                raise ValueError("groups go with workers who all have the whole table: here one may lie with several.")
            if own_rows and y is None:
                raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
            if workers is not None and blocks is not None:
                raise ValueError(
                    "A group fits a table in memory, and X is one that is read part by part: give a frame."
                )
        if workers is not None and own_rows:
            self._fit_own_rows([(X, y, sample_weight)], workers)
            return
        if blocks is not None:
            if groups is not None:
                raise ValueError("groups are of tables in memory: rows that are laid out are held out as they lie.")
            self._fit_blocks(blocks, class_weight, own=blocks is not X)
            return
        with alive(workers):
            if y is None:
                raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
            factors = None if class_weight is None else class_weight(y)
            frame = self._table(X, reset=True)
            targets = self._encode(y, len(frame))
            targets_of = _names(y)
            weights = None
            if sample_weight is not None:
                weights = _check_sample_weight(sample_weight, np.empty((len(frame), 1)))
                if not weights.any():
                    raise ValueError("Sample weights must contain at least one non-zero number.")
            if groups is not None and len(groups := np.asarray(groups)) != len(frame):
                raise ValueError(f"X has {len(frame)} rows, but there are {len(groups)} groups.")
            preparation = learn(frame, self.categorical_features)
            inputs, _ = preparation.inputs(frame)
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            rising = self._rising(preparation)
        first = workers is None or workers.rank == 0
        if workers is not None:
            seed = workers.broadcast_value(seed)
            given = [a for a in (*vars(inputs).values(), targets, weights, groups) if isinstance(a, np.ndarray)]
            self._compare(workers, given, repr((preparation.columns, factors, rising)))
        lost = preparation.lost
        if lost:
            warnings.warn(f"X: {'; '.join(lost)}.", DataWarning, stacklevel=5)
        trained = None
        if preparation.columns and self._can_learn():
            aim = self._aim()
            recipe = recipe_for(self.preset, aim, len(frame), preparation.shape)
            if self.ensemble is not None:
                recipe = replace(recipe, members=int(self.ensemble), parts=max(recipe.parts, 2))
            if workers is not None and workers.size > recipe.members:
                raise SpecError(
                    f"The recipe has {counted(recipe.members, 'network')}, and there are {workers.size} workers: some "
                    "would have nothing to do. Use fewer workers, a larger preset, or a larger ensemble=."
                )
            trained = train(
                inputs,
                targets,
                aim=aim,
                recipe=recipe,
                shape=preparation.shape,
                weights=weights,
                class_weight=factors,
                groups=groups,
                rising=rising,
                seed=seed,
                time_limit=self.time_limit,
                engine=self._engine(),
                callbacks=(lambda _: [Progress(True)]) if self.verbose and first else None,
                threads=self._threads(workers),
                ended=self._ended,
                between=workers,
            )
            if short := trained.short_of_time():
                warnings.warn(f"{short}; a longer time_limit is better.", ConvergenceWarning, stacklevel=5)
        self.preparation_, self.trained_ = preparation, trained
        self._constant = self._without_columns(targets, weights)
        self._seen = importances.Seen.of(inputs, targets, groups, trained, seed)
        self._seed = seed
        self.targets_, self.id_, self.beside_, self.header_, self.record_ = targets_of, None, (), True, {}
        self._importances: Array | None = None

    def _threads(self, workers: Group | None) -> int | None:
        """At most; workers of one machine share its processors."""
        if self.n_jobs is not None and self.n_jobs > 0:
            return int(self.n_jobs)
        return None if workers is None else shared_out(workers, None).threads

    def _compare(self, workers: Group, given: Sequence[Array], learned: str) -> None:
        """Raises GroupError where workers have other versions, another table or other parameters."""
        own = {name: value for name, value in self.get_params(deep=False).items() if name not in _OTHERWISE}
        workers.same(
            {
                "the version of chainrule": VERSION,
                "the version of NumPy": np.__version__,
                "the columns of the table": ", ".join(map(str, getattr(self, "feature_names_in_", ()))),
                "the table": digest_of([*given, np.frombuffer(learned.encode(), np.uint8)])[:12],
                "the parameters": repr(sorted(own.items())),
            }
        )

    def _fit_blocks(self, blocks: Blocks, class_weight: Any, own: bool) -> None:
        """Fits to a table that is read part by part; own: whether the blocks are this fit's alone."""
        from chainrule.tabular.large import fit_blocks  # what only they need

        def whole(X: Any, y: Any, sample_weight: Any) -> None:
            self._fit_alone(X, y, sample_weight, None, class_weight)

        try:
            fit_blocks(self, blocks, whole, class_weight or (lambda y: None))
        finally:
            if own:
                blocks.close()

    def _fit_own_rows(self, own: Sequence[tuple[Any, Any, Any]], workers: Group) -> None:
        """Fits to the rows of several workers, of which these are this one's: (X, y, sample_weight), some at a time."""
        from chainrule.tabular.own_rows import fit_own_rows  # what only they need

        self.targets_ = _names(own[0][1]) if own else ()
        fit_own_rows(self, own, getattr(self, "_factors", None), workers)

    def _rising(self, preparation: Preparation) -> dict[str, int] | None:
        """monotonic_cst by the names of columns.  Raises DataError with all faults."""
        given = self.monotonic_cst
        if given is None:
            return None
        names, numbers = preparation.names, preparation.shape.numbers
        faults = []
        if not isinstance(given, dict):
            values = np.asarray(given).tolist()
            if len(values) != len(names):
                raise DataError(expected("monotonic_cst", f"a sign for each of {len(names)} columns", len(values)))
            given = dict(zip(names, values, strict=True))
        for name, sign in given.items():
            if name not in names:
                faults.append(f"monotonic_cst: {unknown_name('column', str(name), names)}")
            elif sign not in (-1, 0, 1):
                faults.append(expected(f"monotonic_cst of {name!r}", "-1, 0 or 1", sign))
            elif sign and name not in numbers and name not in dict(preparation.left_out):
                faults.append(f"monotonic_cst: the column {name!r} is not of numbers, which alone rise and fall.")
        if faults:
            raise DataError(" ".join(faults))
        return {name: int(sign) for name, sign in given.items() if sign and name in numbers} or None

    def _engine(self) -> str:
        """Machine code where it can be had: what it predicts of a row does not depend on the rows beside it."""
        return "compiled" if self.engine == "auto" and can_compile() else self.engine

    def _table(self, X: Any, *, reset: bool = False) -> Frame:
        """X as a frame; what has no columns is checked as scikit-learn does."""
        if not issparse(X) and has_columns(X):
            frame = read_frame(X, header=reset or getattr(self, "header_", True))
            if reset:
                self.n_features_in_ = len(frame.names)
                self.feature_names_in_ = np.array(frame.names, dtype=object)
            return frame
        if isinstance(X, list):
            X = _rows(X)
        checked = validate_data(self, filled(X), dtype=None, ensure_all_finite=False, reset=reset)
        return read_frame(checked)

    # --- predicting ----------------------------------------------------------------------------------------------

    def _predicted(self, X: Any) -> Array:
        """(m, outputs): probabilities, values or levels."""
        check_is_fitted(self, "preparation_")
        if (blocks := without_targets(X, list(self.preparation_.names))) is not None:
            each = [self.preparation_.inputs(read_frame(part.X, "X"))[0] for part in parts(blocks)]
            return np.concatenate([self._of(inputs) for inputs in each])
        inputs, _ = self.preparation_.inputs(self._table(X))
        return self._of(inputs)

    def _of(self, inputs: TableInputs) -> Array:
        if self.trained_ is None:
            return np.repeat(self._constant[None, :], inputs.rows, axis=0)
        return self.trained_.predict(inputs)

    def spread(self, X: Any) -> Array:
        """How little the members agree on what `predict` or `predict_proba` says: its deviation between them, (m, ...).

        0 where there is a single member.  Raises DataError for data that do not fit.
        """
        check_is_fitted(self, "preparation_")
        inputs, _ = self.preparation_.inputs(self._table(X))
        return np.zeros_like(self._of(inputs)) if self.trained_ is None else self.trained_.spread(inputs)

    @property
    def target_(self) -> str | None:
        """The name of the target's column, where it has one and is the only one."""
        return self.targets_[0] if len(self.targets_) == 1 else None

    def novelty(self, X: Any) -> Novelty:
        """What a table has that training had not: unseen categories, gaps, other columns.  Raises DataError."""
        check_is_fitted(self, "preparation_")
        novelty = self.preparation_.inputs(self._table(X))[1]
        beside = (*self.targets_, *self.beside_)
        return replace(novelty, extra=tuple(name for name in novelty.extra if name not in beside))

    def evaluate(self, X: Any, y: Any = None) -> Evaluation:
        """How good the predictions are: metrics beside always the most frequent class, or always the mean.

        y: the targets; without, the columns of X that have the names of the targets that were fitted: rows without a
        value there, or of a class that training did not have, are left out then, and told in a DataWarning.
        X may be `cr.Blocks` with their targets.  Raises DataError as `predict`, and where there are no targets.
        """
        if isinstance(X, Blocks):
            from chainrule.tabular.large import compared  # what only they need

            check_is_fitted(self, "preparation_")
            return self._evaluation(*compared(self, X))
        inputs, targets, _ = self._with_targets(X, y)
        return self._evaluation(self._of(inputs), targets)

    def report(
        self, X: Any, path: str | os.PathLike[str] | None = None, *, y: Any = None, **options: Any
    ) -> Path | InlineReport:
        """Writes an HTML page on the estimator and these rows: what came out, importances, a member's derivation.

        X, y: as of `evaluate`.  path: where to; without, a notebook shows the page in its cell.  options: of
        `Network.report` (title, part, command, ...).  Raises DataError as `evaluate`, MissingDependencyError.
        """
        from chainrule.tabular import report  # loaded when it is asked for

        inputs, targets, called = self._with_targets(X, y)
        few = report.some(len(targets))
        rises = dict(
            zip(
                self.preparation_.names,
                self._worse(self._of, inputs.of(few), targets[few], report.REPEATS).tolist(),
                strict=True,
            )
        )
        predicted = self._of(inputs)
        names = tuple(map(str, self.classes_.tolist())) if hasattr(self, "classes_") else None
        evaluation = self._evaluation(predicted, targets)
        loss = "log-loss" if names is not None else "mean squared error"
        if len(self.targets_) > 1:
            loss += ", each target's over its variance"
        if getattr(self, "quantiles", None) is not None:
            loss = "loss of the quantiles"
        if (levels := getattr(self, "quantiles", None)) is not None:  # charts are of the level next to the middle
            predicted = predicted[:, [int(np.abs(np.asarray(levels, float) - 0.5).argmin())]]
        outcomes = report.outcomes(evaluation, predicted, targets, names, self.targets_, called)
        whole = report.whole(outcomes, rises, loss, self.networks_)
        given = {"title": ", ".join(self.targets_) or type(self).__name__, "names": names, **options}
        return report.write(self.trained_, path, inputs, targets, whole, given)

    def _with_targets(self, X: Any, y: Any) -> tuple[TableInputs, Array, Callable[[int], str]]:
        """The inputs of the rows of X that have a target, these, and what each is called; as `evaluate` takes them."""
        check_is_fitted(self, "preparation_")
        frame = self._table(X)
        inputs, _ = self.preparation_.inputs(frame)
        if y is not None:
            return inputs, self._known(y, len(frame)), self._called(frame, np.arange(len(frame)))
        absent = [name for name in self.targets_ if name not in frame.names]
        if absent or not self.targets_:
            name = f" {some(absent)}" if absent else ""
            raise DataError(f"{frame.source}: there is no target{name} to compare with. Give the column, or y.")
        targets, judged, notes = self._judged(frame)
        if not judged.any():
            raise DataError(f"{frame.source}: no row can be compared with: {'; '.join(notes)}.")
        if notes:
            warnings.warn(f"{frame.source}: {'; '.join(notes)}.", DataWarning, stacklevel=3)
        rows = np.flatnonzero(judged)
        return inputs.of(rows), targets[rows], self._called(frame, rows)

    def _called(self, frame: Frame, rows: NDArray[np.int64]) -> Callable[[int], str]:
        """What of these rows one is called, by its place among them: its id, or where it stands ("line 7")."""
        ids = frame.cells(self.id_) if self.id_ is not None and self.id_ in frame.names else None
        return lambda k: frame.place(int(rows[k])) if ids is None else str(ids[int(rows[k])])

    def _judged(self, frame: Frame) -> tuple[Array, NDArray[np.bool_], list[str]]:
        """The targets of a table's rows, as those that were fitted, which rows have one, and why others have none."""
        raise NotImplementedError

    def _evaluation(self, predicted: Array, targets: Array) -> Evaluation:
        raise NotImplementedError

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes what was fitted to a folder, without pickle; `cr.load_run` reads it.  Raises DataError."""
        from chainrule.tabular import saved  # knows both estimators

        check_is_fitted(self, "preparation_")
        saved.save(self, folder)

    # --- what was learned ------------------------------------------------------------------------------------------

    @property
    def networks_(self) -> tuple[Network, ...]:
        """The members."""
        check_is_fitted(self, "preparation_")
        return () if self.trained_ is None else self.trained_.networks

    @property
    def network(self) -> Network:
        """The first of the members.  Raises DataError where no column was of use, and there is none."""
        if not self.networks_:
            raise DataError("There is no network: no column was of use, and the same is predicted for every row.")
        return self.networks_[0]

    @property
    def notes_(self) -> tuple[str, ...]:
        """What was left out of the table, and why, a line each."""
        check_is_fitted(self, "preparation_")
        return self.preparation_.notes

    @property
    def feature_importances_(self) -> Array:
        """How much worse predictions of rows held out become where a column's values are mixed between the rows.

        Each row is predicted by the member that did not learn from it.  (n_features_in_,), shares of all; 0 for columns
        that are left out.  For rows of your own see `importances`.
        """
        check_is_fitted(self, "preparation_")
        if self._importances is None:
            seen, trained = self._seen, self.trained_
            worse = np.zeros(len(self.preparation_.names))
            if trained is not None:
                repeats = int(np.clip(importances.MOST // seen.inputs.rows, 3, 20))
                rises = self._worse(lambda mixed: seen.predicted(trained, mixed), seen.inputs, seen.targets, repeats)
                worse = np.maximum(rises, 0)
            self._importances = worse / worse.sum() if worse.sum() > 0 else worse
        return self._importances

    def importances(self, X: Any, y: Any, *, repeats: int = 5) -> dict[str, float]:
        """How much the loss rises, by column, where that column's values are mixed between the rows of these data.

        The loss is the log-loss of classes, the mean squared error of values, each of several targets over its
        variance in training.  Raises DataError as `predict`.
        """
        check_is_fitted(self, "preparation_")
        frame = self._table(X)
        inputs, _ = self.preparation_.inputs(frame)
        worse = self._worse(self._of, inputs, self._known(y, len(frame)), repeats)
        return dict(zip(self.preparation_.names, map(float, worse), strict=True))

    def transform(self, X: Any) -> Array:
        """The table as numbers alone, for other models: (m, columns), in the container that `set_output` asks for.

        Numbers are scaled, gaps filled and flagged, dates in parts, categories the rows of the first member's
        embedding.  Raises DataError as `predict`.
        """
        check_is_fitted(self, "preparation_")
        inputs, _ = self.preparation_.inputs(self._table(X))
        return np.zeros((inputs.rows, 0)) if self.trained_ is None else encoded(self.trained_, inputs)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns of `transform`: "age", "age is missing", "since, sin of the year", "job, 0", ..."""
        check_is_fitted(self, "preparation_")
        names = [] if self.trained_ is None else names_of(self.trained_, self.preparation_.shape)
        return np.array(names, dtype=object)

    def contributions(self, X: Any, *, base: Any = None) -> Contributions:
        """What each column adds to each prediction, by integrated gradients: they add up to it, less the base's.

        Of classes to every probability, else to what `predict` says.  base: a table whose rows, on average, are where
        the way to each row begins; by default rows of the training.  Raises DataError as `predict`.
        """
        check_is_fitted(self, "preparation_")
        frame = self._table(X)
        start = self._seen.inputs if base is None else self.preparation_.inputs(self._table(base))[0]
        return contributions(frame, start, self.preparation_, self.trained_, self._constant, self._outputs())

    def _outputs(self) -> tuple[str, ...] | None:
        """The names of what is predicted, where it is several."""
        return None

    def _known(self, y: Any, m: int) -> Array:
        """Targets of new rows, as those that were fitted."""
        raise NotImplementedError

    def _worse(
        self, predicted: Callable[[TableInputs], Array], inputs: TableInputs, targets: Array, repeats: int
    ) -> Array:
        """By how much the loss rises, by column of the table."""
        by_name = importances.by_permutation(
            lambda mixed: self._loss(predicted(mixed), targets),
            inputs,
            self.preparation_.places,
            repeats,
            self._seed,
        )
        return np.array([by_name.get(name, 0.0) for name in self.preparation_.names])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.non_deterministic = False
        return tags


def counted(count: int, what: str) -> str:
    """ "1 row", "1,200 rows"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def without_target(missing: NDArray[np.bool_], targets: tuple[str, ...]) -> list[str]:
    """The note on rows that have none."""
    rows = int(missing.sum())
    return [f"{counted(rows, 'row')} without a value of {some(targets)}"] if rows else []


def _names(y: Any) -> tuple[str, ...]:
    """Of the columns that targets come in, where they have names."""
    columns = getattr(y, "column_names", getattr(y, "columns", None))  # of pyarrow, of others
    names = [getattr(y, "name", None)] if columns is None else list(columns)
    texts = [name for name in names if isinstance(name, str) and name]
    return tuple(texts) if len(texts) == len(names) else ()


def _rows(X: list[Any]) -> Any:
    """Lists of rows as an array; of texts beside numbers each stays what it is."""
    array = np.asarray(X)
    return np.asarray(X, dtype=object) if array.dtype.kind == "U" else array
