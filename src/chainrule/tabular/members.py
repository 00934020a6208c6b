"""Members: networks that are trained with other first weights and other rows held out, and predict their mean.

Each keeps the weights of the epoch that is best on the rows that it does not learn from.  What members say of rows that
they held out is as of new rows: temperature and the estimate of the error come from it.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, DivergedError, SpecError, expected
from chainrule.network import Network
from chainrule.tabular.description import arrays, describe, optimizer
from chainrule.tabular.inputs import InputShape, TableInputs
from chainrule.tabular.recipe import Aim, Recipe
from chainrule.train.alive import Pulse, side_by_side
from chainrule.train.callbacks import Callback, EarlyStopping
from chainrule.train.signals import Terminated

if TYPE_CHECKING:
    from chainrule.group.base import Group

Array = NDArray[Any]
_TEMPERATURES = np.exp(np.linspace(math.log(0.2), math.log(5.0), 65))
_PASSED = 2_048
"""Rows that an epoch of a fit passes at least, where there are not as many."""
_ROWS = 65_536
"""Rows that are predicted at a time: their pieces take memory."""
_OPINION = 1.0
"""How firmly temperatures are held to be about 1: the penalty is that times (ln T)², beside the sum of the losses."""
_WORTH_COMPILING = 20_000
"""Rows that are passed, over all epochs and members, from which on compiling pays."""


@dataclass(frozen=True)
class Units:
    """How targets are brought to the networks' size and back: (y - offset) / scale, one of each for every target."""

    offset: tuple[float, ...]
    """Subtracted; 0 for classes and counts."""
    scale: tuple[float, ...]
    """Divided by; 1 for classes."""
    low: tuple[float, ...]
    """The least target that was seen."""
    high: tuple[float, ...]
    """The largest."""

    @classmethod
    def of(cls, targets: Array, weights: Array | None, aim: Aim) -> Units:
        """Of the training rows: targets (m, outputs), or (m,) of classes."""
        if aim.kind == "classes":
            return cls((), (), (), ())
        unit = np.abs(targets).max(axis=0)
        unit = np.where(unit > 1e150, unit, 1.0)  # squares of such numbers, and their sums, would overflow
        mean = np.average(targets / unit, axis=0, weights=weights)
        spread = unit * np.sqrt(np.average(np.square(targets / unit - mean), axis=0, weights=weights))
        mean = unit * mean
        if aim.kind == "counts":
            mean, spread = np.zeros_like(mean), mean
        spread = np.where((spread > 0) & np.isfinite(spread), spread, 1.0)
        numbers = (mean, spread, targets.min(axis=0), targets.max(axis=0))
        return cls(*(tuple(float(v) for v in each) for each in numbers))

    def to_network(self, targets: Array) -> Array:
        """(m, outputs) float32"""
        return np.asarray((targets - np.array(self.offset)) / np.array(self.scale), np.float32)

    def back(self, outputs: Array, *, clip: bool) -> Array:
        """(..., outputs) float64; clip: to the range that was seen."""
        with np.errstate(over="ignore"):
            values = outputs.astype(np.float64) * np.array(self.scale) + np.array(self.offset)
        return np.asarray(np.clip(values, self.low, self.high) if clip else values)


@dataclass(frozen=True, eq=False)
class Trained:
    """Members that were trained, and what is known beside their weights."""

    networks: tuple[Network, ...]
    """The members, each a model that can be saved by itself."""
    aim: Aim
    """What they predict."""
    recipe: Recipe
    """What they were trained by."""
    shape: InputShape
    """What they are given."""
    units: Units
    """Of the targets."""
    rising: tuple[tuple[str, int], ...] = ()
    """Numbers that predictions rise in (1) or fall in (-1), by name."""
    temperature: float = 1.0
    """Of classes: what logarithms of probabilities are divided by, so that they are honest on rows held out."""
    epochs: tuple[int, ...] = ()
    """Of each member the best one."""
    members: tuple[int, ...] = ()
    """Of each network its number, by which it has its settings in turn: those that diverged are not among them."""
    held_out: float = math.nan
    """The error on rows that members held out: of classes the log-loss with the temperature, of values the root mean
    squared error over the deviation, of others the loss in the networks' units."""

    def predict(self, inputs: TableInputs) -> Array:
        """Probabilities (m, classes), values or expected counts (m, targets), or quantiles (m, levels), rising."""
        return self._mean(self._each(inputs))

    def spread(self, inputs: TableInputs) -> Array:
        """The deviation between the members, of what `predict` gives: how little they agree; 0 of a single one."""
        each = self._each(inputs)
        return np.asarray(np.stack(each).std(axis=0))

    def short_of_time(self) -> str:
        """How a time limit ended the training, a sentence; "" where every member was trained, or the only one to its
        end.  Known until it is saved."""
        ends = [network.history for network in self.networks]
        cut = [len(end) for end in ends if end is not None and (end.stopped or "").startswith("the time limit")]
        whole = max((*self.members, len(self.networks) - 1)) + 1 == self.recipe.members
        if not cut or (whole and len(ends) > 1):
            return ""
        epochs = {0: "within the first epoch", 1: "after 1 epoch"}.get(max(cut), f"after {max(cut)} epochs")
        many = self.recipe.members
        which = "" if many == 1 else f", with {len(ends)} of {many} networks{', the longest' * (len(ends) > 1)}"
        return f"the time limit ended the training early{which} {epochs}"

    def to_dict(self) -> dict[str, Any]:
        """All but the networks, as JSON-ready data."""
        aim: dict[str, Any] = {"kind": self.aim.kind, "outputs": self.aim.outputs, "levels": list(self.aim.levels)}
        aim["loss"] = self.aim.loss if isinstance(self.aim.loss, str) else None  # that of the networks
        units = {
            "offset": list(self.units.offset),
            "scale": list(self.units.scale),
            "low": list(self.units.low),
            "high": list(self.units.high),
        }
        return {
            "aim": aim,
            "recipe": self.recipe.to_dict(),
            "shape": {
                "numbers": list(self.shape.numbers),
                "edges": [list(edges) for edges in self.shape.edges],
                "flags": list(self.shape.flags),
                "categories": list(self.shape.categories),
                "counts": list(self.shape.counts),
            },
            "units": units,
            "rising": dict(self.rising),
            "temperature": self.temperature,
            "epochs": list(self.epochs),
            "members": list(self.members),
            "held_out": None if math.isnan(self.held_out) else self.held_out,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], networks: Sequence[Network]) -> Trained:
        """What `to_dict` wrote, with the networks.  Raises SpecError."""
        aim, units, shape = saved["aim"], saved["units"], saved["shape"]
        own: Any = networks[0].spec.loss if aim["loss"] is None else aim["loss"]
        held_out = saved["held_out"]
        return cls(
            tuple(networks),
            Aim(aim["kind"], aim["outputs"], tuple(aim["levels"]), own),
            Recipe.from_dict(saved["recipe"]),
            InputShape(
                tuple(shape["numbers"]),
                tuple(tuple(edges) for edges in shape["edges"]),
                tuple(shape["flags"]),
                tuple(shape["categories"]),
                tuple(shape["counts"]),
            ),
            Units(*(tuple(units[key]) for key in ("offset", "scale", "low", "high"))),
            tuple(saved.get("rising", {}).items()),
            saved["temperature"],
            tuple(saved["epochs"]),
            tuple(saved.get("members", ())),
            math.nan if held_out is None else held_out,
        )

    def of_members(self, inputs: TableInputs, members: NDArray[np.int32]) -> Array:
        """What of each row the member says whose number stands in `members` (m,): as `predict`, of that one alone."""
        return np.asarray(np.stack(self._each(inputs))[members, np.arange(inputs.rows)])

    def given(self, member: int, inputs: TableInputs) -> dict[str, Any]:
        """What a member's network is given of these rows, by the names of its inputs."""
        return arrays(inputs, self.shape, self._settings(member), dict(self.rising))

    def _settings(self, k: int) -> Recipe:
        """The settings by which network k was built."""
        return own_recipe(self.recipe, self.members[k] if self.members else k, self.rising)

    def _each(self, inputs: TableInputs) -> list[Array]:
        """What each member predicts, in the targets' units."""
        each: list[list[Array]] = [[] for _ in self.networks]
        for start in range(0, max(inputs.rows, 1), _ROWS):
            rows, given = inputs.of(slice(start, start + _ROWS)), {}
            for k, network in enumerate(self.networks):
                own = self._settings(k)
                if own not in given:
                    given[own] = arrays(rows, self.shape, own, dict(self.rising))
                each[k].append(_outputs(network, given[own]))
        return [self._of(np.concatenate(parts)) for parts in each]

    def _of(self, outputs: Array) -> Array:
        """A member's outputs as a prediction."""
        if self.aim.kind == "classes":
            return _tempered(outputs, self.temperature)
        if self.aim.kind == "quantiles":  # each level is learned by itself; in order they are no worse
            outputs = np.sort(outputs, axis=1)
        return self.units.back(outputs, clip=self.recipe.clip)

    def _mean(self, each: Sequence[Array]) -> Array:
        mean = np.mean(np.stack(each), axis=0)
        return np.asarray(mean / mean.sum(axis=1, keepdims=True) if self.aim.kind == "classes" else mean)


def train(
    inputs: TableInputs,
    targets: Array,
    *,
    aim: Aim,
    recipe: Recipe,
    shape: InputShape,
    weights: Array | None = None,
    class_weight: Mapping[int, float] | str | None = None,
    groups: Array | None = None,
    rising: Mapping[str, int] | None = None,
    seed: int = 0,
    time_limit: float | None = None,
    engine: str = "auto",
    threads: int | None = None,
    callbacks: Callable[[int], Sequence[Callback]] | None = None,
    ended: list[BaseException] | None = None,
    between: Group | None = None,
) -> Trained:
    """Members by the recipe.

    targets: classes (m,) from 0, or numbers (m,) or (m, targets).  weights (m,) of the rows.  class_weight: a factor
    for each class, or "balanced".  groups (m,): rows of one number are held out together.  rising: numbers by name that
    predictions rise in (1) or fall in (-1), as `describe` takes them.  time_limit: seconds in all; there is always one
    member.  callbacks: for each member by its number, what hangs in its fit.  ended: gets the interrupt (Ctrl-C,
    SIGTERM) that ends the training, and the members that have an epoch behind them are kept; None: it is raised.
    between: workers who each train some of the members; all get the same result, that of one who trains all.
    Raises DataError, SpecError; DivergedError where every member diverged.
    """
    end = None if time_limit is None else time.monotonic() + time_limit
    targets, weights = _checked(inputs, targets, weights, aim)
    counted = _with_classes(targets, weights, class_weight, aim)
    units = Units.of(targets, counted, aim)
    wanted = targets if aim.kind == "classes" else units.to_network(targets)
    if engine == "auto" and inputs.rows * recipe.epochs * recipe.members > _WORTH_COMPILING:
        engine = "compiled"
    part = parts_of(targets[:, 0] if targets.ndim > 1 else targets, recipe.parts, seed, aim, groups)

    def fold(network: Network, k: int, own: Recipe) -> Fold:
        held = np.flatnonzero(part == k % recipe.parts)
        return Fold.of(network, shape, dict(rising or {}), inputs, targets, wanted, counted, held, aim, own)

    return train_folds(fold, aim=aim, recipe=recipe, shape=shape, units=units, rising=rising, seed=seed, end=end,
                       engine=engine, threads=threads, callbacks=callbacks, ended=ended, between=between)  # fmt: skip


def train_folds(
    fold: Callable[[Network, int, Recipe], Fold],
    *,
    aim: Aim,
    recipe: Recipe,
    shape: InputShape,
    units: Units,
    rising: Mapping[str, int] | None,
    seed: int,
    end: float | None,
    engine: str,
    threads: int | None,
    callbacks: Callable[[int], Sequence[Callback]] | None,
    ended: list[BaseException] | None,
    workers: Group | None = None,
    between: Group | None = None,
) -> Trained:
    """Members by the recipe, as of `train`; fold: what a member learns from and is judged by, by its number.

    end: when the time is over, by `time.monotonic`.  workers: those who train each member together; between: those
    who train different ones at the same time.  Of both the first one's clock counts.
    """
    signs = dict(rising or {})
    fits: list[_Fitted] = []
    members: list[int] = []
    longest = 0.0
    clock, at_a_time = workers or between, 1 if between is None else between.size

    def one(k: int, share: float | None, hooks: Sequence[Callback], interrupts: list[BaseException] | None) -> _End:
        own = own_recipe(recipe, k, signs)
        network = describe(shape, aim, own, rising=rising, seed=seed + k, engine=engine)
        hooks = (*(() if callbacks is None else callbacks(k)), *hooks)
        try:
            return _End(_fit(network, fold(network, k, own), own, share, threads, hooks, interrupts, workers))
        except DivergedError as fault:
            return _End(None, fault)

    for first in range(0, recipe.members, at_a_time):
        left = None if end is None else end - time.monotonic()
        left = left if clock is None else clock.broadcast_value(left)
        if fits and left is not None and left < 0.5 * longest:
            break
        share = None if left is None else max(left / -(-(recipe.members - first) // at_a_time), 0.05)
        try:
            if between is None:
                ends = [one(first, share, (), ended)]
            else:
                ends = _side_by_side(between, one, range(first, min(first + at_a_time, recipe.members)), share, ended)
        except (KeyboardInterrupt, Terminated) as end_of_all:
            if not fits or ended is None or between is not None:
                raise
            ended.append(end_of_all)
            ends = []
        for k, came in enumerate(ends, first):
            if came.fitted is not None:
                fits.append(came.fitted)
                members.append(k)
                longest = max(longest, came.fitted.seconds)
            elif came.diverged is not None and not fits and k == recipe.members - 1:
                raise came.diverged
        longest = longest if clock is None else clock.broadcast_value(longest)
        if ended:
            break
    if not fits and ended:
        raise ended[0]
    trained = Trained(
        tuple(f.network for f in fits),
        aim,
        recipe,
        shape,
        units,
        tuple(signs.items()),
        epochs=tuple(f.epoch for f in fits),
        members=tuple(members),
    )
    return _judged(trained, fits)


def _side_by_side(
    between: Group,
    one: Callable[[int, float | None, Sequence[Callback], list[BaseException] | None], _End],
    numbers: range,
    share: float | None,
    ended: list[BaseException] | None,
) -> list[_End]:
    """What these members come to, each trained by another worker; ended: as of `train`, at all of them."""

    def own(pulse: Pulse) -> _End:
        interrupts: list[BaseException] | None = None if ended is None else []
        came = _End(None)
        try:
            if between.rank < len(numbers):
                came = one(numbers[between.rank], share, (pulse,), interrupts)
        except (KeyboardInterrupt, Terminated) as interrupt:
            if interrupts is None:
                raise
            interrupts.append(interrupt)
        if interrupts:
            pulse.stop_all()
        return replace(came, interrupt=type(interrupts[0]) if interrupts else None)

    ends = side_by_side(between, own, ended)
    if ended is not None:
        ended += [end.interrupt() for end in ends if end.interrupt is not None and not ended]
    return ends


def as_given(trained: Trained, inputs: TableInputs, targets: Array) -> tuple[dict[str, Array], Any]:
    """(inputs by name, targets) as the first member takes them: what it was trained on, of other rows say."""
    wanted = targets if trained.aim.kind == "classes" else trained.units.to_network(targets)
    own = own_recipe(trained.recipe, trained.members[0] if trained.members else 0, trained.rising)
    given = arrays(inputs, trained.shape, own, dict(trained.rising))
    return dict(given), network_targets(wanted, trained.aim, trained.networks[0], own)


def own_recipe(recipe: Recipe, member: int, rising: Any) -> Recipe:
    """The settings of a member.  Where predictions are to rise with a number, it takes pieces: waves fall again."""
    return recipe.of(0 if rising else member)


def parts_of(targets: Array, parts: int, seed: int, aim: Aim, groups: Array | None = None) -> NDArray[np.int64]:
    """The part of each row, from 0: parts of equal size, each with its share of every class or of small and large."""
    rng = np.random.default_rng([seed, 7])
    if groups is not None:
        _, numbers = np.unique(groups, return_inverse=True)
        return np.asarray((rng.permutation(int(numbers.max()) + 1) % parts)[numbers], np.int64)
    m = len(targets)
    mixed = rng.permutation(m)
    order = mixed[np.argsort(targets[mixed], kind="stable")]
    part = np.empty(m, np.int64)
    if aim.kind == "classes":
        part[order] = np.arange(m) % parts
        return part
    draws = np.concatenate([rng.permutation(parts) for _ in range(-(-m // parts))])[:m]
    part[order] = draws
    return part


@dataclass(frozen=True, eq=False)
class Fold:
    """What a member learns from, and rows held out that it is judged by."""

    training: tuple[Any, ...]
    """As `Network.fit` takes it: (X, y), or blocks."""
    weights: Array | None
    """Of the rows of arrays."""
    held: Mapping[str, Array]
    """The inputs of the rows held out, by name."""
    held_targets: Any
    """As the network takes them."""
    targets: Array
    """The same as classes, or in the targets' units."""
    wanted: Array
    """The same in the networks' units."""
    held_weights: Array | None
    """Theirs."""
    passes: int = 1
    """How often rows are there."""

    @classmethod
    def of(
        cls,
        network: Network,
        shape: InputShape,
        rising: Mapping[str, int],
        inputs: TableInputs,
        targets: Array,
        wanted: Array,
        weights: Array | None,
        held: NDArray[np.int64],
        aim: Aim,
        recipe: Recipe,
    ) -> Fold:
        """All rows but those that are held out, and these."""
        learned = np.setdiff1d(np.arange(inputs.rows), held)
        if not len(learned) or not len(held):  # too few rows to hold any out: all are learned, and judged
            learned = held = np.arange(inputs.rows)
        # Of few rows an epoch takes longer to begin and to judge than to run: several passes are one.
        passes = int(np.clip(_PASSED // len(learned), 1, max(1, recipe.epochs // 12)))
        rows, of_network = np.tile(learned, passes), network_targets(wanted, aim, network, recipe)
        return cls(
            (arrays(inputs.of(rows), shape, recipe, rising), _rows(of_network, rows)),
            None if weights is None else weights[rows],
            arrays(inputs.of(held), shape, recipe, rising),
            _rows(of_network, held),
            targets[held],
            wanted[held],
            None if weights is None else weights[held],
            passes,
        )


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A member after its training, and what it is judged by: the rows held out, as in `Fold`."""

    network: Network
    targets: Array
    wanted: Array
    held_weights: Array | None
    outputs: Array
    epoch: int
    seconds: float


@dataclass(frozen=True, eq=False)
class _End:
    """What a member has come to."""

    fitted: _Fitted | None
    diverged: DivergedError | None = None
    interrupt: type[BaseException] | None = None
    """What has ended its training."""


def _fit(
    network: Network,
    fold: Fold,
    recipe: Recipe,
    time_limit: float | None,
    threads: int | None,
    callbacks: Sequence[Callback],
    ended: list[BaseException] | None,
    workers: Group | None,
) -> _Fitted:
    """A member that learned from its fold.  Raises DivergedError where there was no good epoch."""
    began, passes = time.monotonic(), fold.passes
    stop = EarlyStopping(patience=max(1, recipe.patience // passes), monitor=recipe.monitor)
    validation: tuple[Any, ...] = (fold.held, fold.held_targets)
    if fold.held_weights is not None and fold.held_weights.sum() > 0:
        validation = (*validation, fold.held_weights)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning)
            network.fit(
                *fold.training,
                epochs=-(-recipe.epochs // passes),
                batch_size=recipe.batch_size,
                optimizer=optimizer(network, recipe),
                sample_weight=fold.weights,
                validation_data=validation,
                callbacks=[stop, *callbacks],
                verbose=False,
                threads=threads,
                time_limit=time_limit,
                group=workers,
            )
    except DivergedError:
        if stop.best_epoch is None:
            raise
    except (KeyboardInterrupt, Terminated) as interrupt:
        if stop.best_epoch is None or ended is None:
            raise
        ended.append(interrupt)
    outputs = _outputs(network, fold.held)
    epoch, seconds = passes * (stop.best_epoch or 0), time.monotonic() - began
    return _Fitted(network, fold.targets, fold.wanted, fold.held_weights, outputs, epoch, seconds)


def _judged(trained: Trained, fits: Sequence[_Fitted]) -> Trained:
    """With the temperature, and the error on the rows held out."""
    targets = np.concatenate([f.targets for f in fits])
    wanted = np.concatenate([f.wanted for f in fits])
    outputs = np.concatenate([f.outputs for f in fits])
    each = [np.ones(len(f.outputs)) if f.held_weights is None else f.held_weights for f in fits]
    w = np.concatenate(each).astype(np.float64)
    if not w.sum() > 0:
        return trained
    temperature = 1.0
    match trained.aim.kind:
        case "classes":
            losses = [_log_loss(_tempered(outputs, t), targets, w) for t in _TEMPERATURES]
            # Few rows, all of them right, would have any temperature small.
            doubt = _OPINION * np.square(np.log(_TEMPERATURES)) / len(targets)
            best = int(np.argmin(losses + doubt))
            temperature, error = float(_TEMPERATURES[best]), float(losses[best])
        case "values":
            squares = np.square(outputs - wanted).mean(axis=1)
            error = math.sqrt(float(np.average(squares, weights=w)))
        case "counts":
            terms = outputs - wanted * np.log(np.maximum(outputs, 1e-37))
            error = float(np.average(terms.mean(axis=1), weights=w))
        case _:
            e = wanted - np.sort(outputs, axis=1)
            levels = np.array(trained.aim.levels)
            error = float(np.average(np.maximum(levels * e, (levels - 1) * e).mean(axis=1), weights=w))
    return replace(trained, temperature=temperature, held_out=error)


def _outputs(network: Network, by_name: Mapping[str, Array]) -> Array:
    """(m, outputs), also of several outputs."""
    predicted = network.predict(dict(by_name))
    if isinstance(predicted, Mapping):
        return np.concatenate(list(predicted.values()), axis=1)
    if network.spec.loss.kind == "yes/no":
        return np.concatenate([1 - predicted.astype(np.float64), predicted], axis=1)
    return np.asarray(predicted)


def _tempered(probabilities: Array, temperature: float) -> Array:
    """p^(1/T), over their sum."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), 1e-37)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _log_loss(probabilities: Array, labels: Array, weights: Array) -> float:
    """The mean of -log p of what was right."""
    right = probabilities[np.arange(len(labels)), labels]
    return float(np.average(-np.log(np.maximum(right, 1e-15)), weights=weights))


def network_targets(wanted: Array, aim: Aim, network: Network, recipe: Recipe) -> Any:
    """As the network takes them: by the names of its outputs where it has several."""
    if network.spec.loss.kind == "yes/no":
        return ((1 - recipe.smoothing) * wanted[:, None] + recipe.smoothing / 2).astype(np.float32)
    if aim.kind != "quantiles":
        return wanted
    return {f"q{k}": wanted for k in range(len(aim.levels))}


def _rows(targets: Any, rows: NDArray[np.int64]) -> Any:
    """Those rows of targets."""
    return {name: of[rows] for name, of in targets.items()} if isinstance(targets, Mapping) else targets[rows]


def _checked(inputs: TableInputs, targets: Array, weights: Array | None, aim: Aim) -> tuple[Array, Array | None]:
    """Targets (m,) of classes, else (m, outputs); weights (m,).  Raises DataError with all faults."""
    faults: list[str] = []
    m = inputs.rows
    y = np.asarray(targets)
    if aim.kind == "classes":
        if y.shape != (m,) or y.dtype.kind not in "iu":
            faults.append(expected("targets", f"whole numbers ({m},)", f"{y.dtype} {y.shape}"))
        elif m and not (y.min() >= 0 and y.max() < aim.outputs):
            faults.append(expected("targets", f"classes from 0 to {aim.outputs - 1}", f"{y.min()} to {y.max()}"))
        y = y.astype(np.int64) if not faults else y
    else:
        y = y.astype(np.float64)
        y = y[:, None] if y.ndim == 1 else y
        if y.shape != (m, aim.outputs):
            faults.append(expected("targets", f"numbers ({m}, {aim.outputs})", y.shape))
        elif not np.isfinite(y).all():
            faults.append("targets must be finite.")
        elif aim.kind == "counts" and m and y.min() < 0:
            faults.append(expected("counts", "numbers of at least 0", float(y.min())))
    if not m:
        faults.append("there is no row to learn from.")
    if weights is not None:
        weights = np.asarray(weights, np.float32)
        if weights.shape != (m,) or not np.isfinite(weights).all() or (m and (weights.min() < 0 or weights.sum() <= 0)):
            faults.append(expected("weights", f"finite numbers ({m},) of at least 0, not all 0", weights.shape))
    if faults:
        raise DataError(" ".join(faults))
    return y, weights


def _with_classes(
    targets: Array, weights: Array | None, given: Mapping[int, float] | str | None, aim: Aim
) -> Array | None:
    """Weights of the rows, times those of their classes.  Raises SpecError."""
    if given is None:
        return weights
    if aim.kind != "classes":
        raise SpecError("class_weight is for classes.")
    own = np.ones(len(targets), np.float32) if weights is None else weights
    if isinstance(given, str):
        if given != "balanced":
            raise SpecError(expected("class_weight", "a factor for each class, or 'balanced'", given))
        sums = np.bincount(targets, weights=own, minlength=aim.outputs)
        factors = np.where(sums > 0, own.sum() / (aim.outputs * np.maximum(sums, 1e-30)), 1.0)
    else:
        factors = np.array([float(given.get(k, 1.0)) for k in range(aim.outputs)])
        if not (np.isfinite(factors).all() and (factors >= 0).all()):
            raise SpecError(expected("class_weight", "finite factors of at least 0", dict(given)))
    return np.asarray(own * factors[targets], np.float32)
