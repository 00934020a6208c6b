"""From a call of `Network.fit` to a fit that can be run: everything is checked here, once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import checks, frames
from chainrule.blocks import Blocks, as_blocks
from chainrule.describe.losses import Cost, Targets
from chainrule.describe.optimizers import Optimizer, as_optimizer, rule_of
from chainrule.describe.schedules import as_schedule
from chainrule.engines.base import sample_count
from chainrule.engines.shards.order import SHARDS, WHOLE
from chainrule.errors import ArgumentError, DataError, SpecError, expected
from chainrule.group.find import as_group
from chainrule.train.batches import check_batches, least_batch, starts
from chainrule.train.callbacks import Callback, as_callbacks
from chainrule.train.history import EpochRecord, History
from chainrule.train.loop import Fit
from chainrule.train.policies import Judge, Orders, SeededOrders, Source, Validating, Whole
from chainrule.train.progress import Progress
from chainrule.train.schedules import settings_of
from chainrule.train.state import OptimizerState
from chainrule.train.workers import agreed, begin_alike, begun, check_shards, compare, in_shards, shared_out

if TYPE_CHECKING:
    from chainrule.blocks.stored import Stored
    from chainrule.blocks.supply import Block
    from chainrule.network import Network
    from chainrule.train.own_rows import Dealt

Array = NDArray[Any]
Say = Callable[[str], None]
_SHOWN = 1_024
"""Rows that callbacks may look at where not all are in memory."""


@dataclass(frozen=True)
class Ended:
    """Where a fit has ended: what `continue_` goes on from."""

    rule: object
    """The optimizer's, without its learning rate."""
    fit: int
    """Its number."""
    epochs: int = 0
    """How many were done."""
    records: tuple[EpochRecord, ...] = ()
    """Of these."""
    optimizer: OptimizerState = field(default_factory=OptimizerState)
    """Slots and steps."""

    def carried(self) -> dict[str, Any]:
        """All but the rule."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "rule"}


def prepared(
    net: Network,
    X: checks.Inputs | Blocks,
    y: ArrayLike | None,
    *,
    epochs: int,
    batch_size: int,
    optimizer: str | Optimizer | None,
    shuffle: bool,
    sample_weight: ArrayLike | None,
    validation_data: tuple[Any, ...] | Blocks | None,
    callbacks: Iterable[Callback],
    verbose: bool | Literal["auto"],
    threads: int | None,
    time_limit: float | None,
    checkpoint: str | os.PathLike[str] | None,
    every: int | str,
    resume: bool,
    continue_: bool,
    group: object,
    sync_every: int | None,
) -> tuple[Fit, Ended]:
    """The fit, and where the one before has ended.  Raises DataError, SpecError, GroupError; see `Network.fit`."""
    workers = None if group is None else as_group(group)
    with agreed(workers):
        optimizer = as_optimizer(optimizer)
        checks.positive_integer("epochs", epochs)
        checks.positive_integer("batch_size", batch_size)
        if threads is not None:
            checks.positive_integer("threads", threads)
        if time_limit is not None:
            checks.positive_number("time_limit", time_limit)
        first = workers is None or workers.rank == 0
        hooks = (*as_callbacks(callbacks), Progress(verbose if first else False))
        schedule = as_schedule(optimizer.learning_rate)
        stored = {**net.parameters, **net.state}
        if frozen := [name for name, array in stored.items() if not array.flags.writeable]:
            raise SpecError(f"{', '.join(frozen)} cannot be written, and a fit writes to every array of the network.")
        training = _training(net, X, y, sample_weight, shuffle, say=_say(verbose) if first else None)
        validation = None if validation_data is None else _validation(net, validation_data, training.names)
        net.feature_names = training.names
        program = net.training_program(optimizer, targets=training.targets, weighted=training.weighted)
        if workers is not None and workers.own_rows and not isinstance(training.data, dict):
            raise SpecError("Workers with rows of their own are given arrays: data on the disk are read by all.")
        if workers is not None and workers.own_rows and sync_every is not None:
            raise SpecError("sync_every goes with workers who are all given all rows.")
    if workers is not None and workers.own_rows:
        assert isinstance(training.data, dict)
        from chainrule.train.own_rows import deal  # what few groups need

        dealt = deal(workers, training.data, batch_size, least_batch(net.spec))
        training = training._replace(data=dealt.data, dealt=dealt)
    with agreed(workers):
        samples = training.samples
        batch_size = min(batch_size, samples)
        check_batches(net.spec, samples, batch_size)
        steps = len(starts(samples, batch_size, least_batch(net.spec)))
        before = _ended(net, optimizer) if continue_ else Ended(rule_of(optimizer), fit=net._fits + 1)
        if sync_every is not None:
            checks.positive_integer("sync_every", sync_every)
        shards = in_shards(program, workers, sync_every)
        engine = net._engines.for_fit(program, samples, epochs, batch_size)
    leaves: tuple[int, ...] = ()
    if workers is not None:
        held_out = () if validation is None else validation.arrays
        settings = {"optimizer": optimizer.to_dict(), "batch_size": batch_size, "epochs": epochs, "shuffle": shuffle}
        settings |= {"checkpoint": checkpoint is not None, "every": every, "resume": resume, "continue_": continue_}
        settings["sync_every"] = sync_every
        compare(workers, engine, program, training.content(), held_out, settings)
        check_shards(workers, batch_size if sync_every is None else SHARDS * WHOLE)
        threads, leaves = shared_out(workers, threads)
        net.seed = begin_alike(workers, net, net.seed)
        before = replace(before, **workers.broadcast_value(before.carried()))
    checkpoints, resumed = None, None
    if checkpoint is not None:
        from chainrule.train.checkpoint import Asked  # slow to load, and most fits ask for none
        from chainrule.train.network_checkpoints import checkpoints_of

        settings = {"optimizer": optimizer.to_dict(), "batch size": batch_size, "shuffle": shuffle}
        held_out = () if validation is None else validation.arrays
        origin = {"seed": net.seed, "fit": before.fit}
        if workers is not None:
            own_steps = f"{sync_every} steps of each of {workers.size} workers"
            settings["sums over the samples"] = "in shards" if sync_every is None else own_steps
        asked = Asked(checkpoint, every, resume)
        checkpoints = checkpoints_of(asked, net.spec, net.dtype, origin, training.content(), held_out, settings)
        if (resumed := begun(workers, checkpoints, resume)) is not None:  # with the seed of the fit that began
            origin = checkpoints.origin = resumed[1]["origin"]
            net.seed, before = origin["seed"], replace(before, fit=origin["fit"])
        if not first:
            checkpoints = None
    net._fits = before.fit
    seeds, total = (net.seed, net._fits), before.epochs + epochs
    source, orders = training.ordered(seeds, total, shuffle)
    fit = Fit(
        network=net,
        engine=engine,
        program=program,
        source=source,
        orders=orders,
        schedule=schedule.start(steps, steps * total),
        settings=settings_of({**optimizer.columns(), **net.spec.columns}, steps, steps * total),
        judge=Judge() if validation is None else Validating(net, validation.given),
        epochs=epochs,
        batch_size=batch_size,
        mask_seed=int(np.random.SeedSequence([*seeds, 1]).generate_state(1, np.uint64)[0]),
        callbacks=hooks,
        history=History(before.records),
        data=training.shown(),
        check=lambda probe, wanted: net._data(probe, wanted)[0],
        least_batch=least_batch(net.spec),
        added=not isinstance(net.spec.loss, Cost) and net.spec.reduction == "sum",
        threads=threads,
        time_limit=time_limit,
        optimizer_state=before.optimizer,
        checkpoints=checkpoints,
        resumed=resumed,
        first_epoch=before.epochs + 1,
        workers=workers,
        shards=shards,
        sync_every=sync_every,
        leaves=leaves,
        first_row=0 if training.dealt is None else training.dealt.first,
    )
    return fit, before


class _Training(NamedTuple):
    """What is trained on, checked."""

    data: dict[str, Array] | Stored
    """By symbol: arrays, or rows on the disk."""
    targets: Targets
    """What the targets are."""
    weighted: bool
    """Whether samples have weights."""
    names: tuple[str, ...] | None
    """Of the inputs' columns."""
    own: Blocks | None = None
    """What has laid the rows out for this fit alone."""
    dealt: Dealt | None = None
    """The rows of a worker who has not all of them."""

    @property
    def samples(self) -> int:
        """m"""
        if self.dealt is not None:
            return self.dealt.blocks.rows
        return sample_count(self.data) if isinstance(self.data, dict) else self.data.rows

    def content(self) -> Mapping[str, Array] | str:
        """By which a fit knows its data again."""
        if self.dealt is not None:
            return self.dealt.digest
        return self.data if isinstance(self.data, dict) else self.data.digest()

    def shown(self) -> dict[str, Array]:
        """What callbacks may look at: all of it, or some rows."""
        return self.data if isinstance(self.data, dict) else next(self.data.all_of(min(self.samples, _SHOWN)))

    def ordered(self, seeds: tuple[int, int], epochs: int, shuffle: bool) -> tuple[Source, Orders]:
        """Where the loop has its samples from, and in which order."""
        if self.dealt is not None:
            return self.dealt.source(), self.dealt.orders(seeds, shuffle)
        if isinstance(self.data, dict):
            return Whole(self.data), SeededOrders(seeds, self.samples, epochs, shuffle)
        from chainrule.blocks.windows import Windows

        windows = Windows.of(self.data, seeds, shuffle, self.own)
        return windows, windows


def _training(net: Network, X: Any, y: Any, sample_weight: Any, shuffle: bool, *, say: Say | None) -> _Training:
    blocks = as_blocks(X, y, sample_weight)
    if blocks is None:
        if y is None:
            raise ArgumentError("Network.fit needs y: the targets, one for each sample.")
        names = frames.names(X)
        data, targets = net._data(X, y, sample_weight, names)
        return _Training(data, targets, sample_weight is not None, names)
    conversion = _Conversion(net, blocks.supply.names)
    dtype = None if any(s.tokens for s in net.spec.sources) else net.dtype
    held = blocks.held(conversion, conversion.key, shuffle=shuffle, told=conversion.told, dtype=dtype, say=say)
    if isinstance(held, dict):
        held = _with_weights(net, held)
        targets = checks.kinds_of(net.spec, held)
        return _Training(held, targets, "w" in held, blocks.supply.names)
    targets = checks.kinds_of(net.spec, held.kinds)
    own = None if blocks is X else blocks
    return _Training(held, targets, "w" in held.kinds, blocks.supply.names, own)


def _say(verbose: bool | Literal["auto"]) -> Say | None:
    """A line on standard error, where progress is shown."""
    if not verbose or (verbose == "auto" and not (sys.stderr is not None and sys.stderr.isatty())):
        return None
    return lambda line: print(line, file=sys.stderr, flush=True)


def _with_weights(net: Network, data: dict[str, Array]) -> dict[str, Array]:
    """With the weights as those of all samples, which are known now."""
    return {**data, "w": net._weights(data["w"], len(data["w"]))} if "w" in data else data


class _Conversion:
    """From blocks to rows by symbol, checked."""

    def __init__(self, net: Network, names: tuple[str, ...] | None) -> None:
        self.net, self.names = net, names
        self.weight = 0.0
        """Of all blocks."""

    @property
    def key(self) -> str:
        """What the rows depend on, beside the data."""
        described = self.net.spec.to_dict()
        sources = [(s.symbol.name, s.width, s.tokens, s.counts) for s in self.net.spec.sources]
        return repr((described["inputs"], described["loss"], self.net.spec.ends, sources, self.net.dtype.name))

    def __call__(self, block: Block) -> Mapping[str, Array]:
        """Raises DataError."""
        data, _ = self.net._data(block.X, block.y, block.w, self.names, some=True)
        self.weight += float(data["w"].sum(dtype=np.float64)) if "w" in data else 1.0
        return data

    def told(self) -> dict[str, Any]:
        """Nothing more; all blocks have come.  Raises DataError where no sample counts."""
        if not self.weight:
            raise DataError("sample_weight must not be 0 everywhere: there would be nothing to learn from.")
        return {}


def _ended(net: Network, optimizer: Optimizer) -> Ended:
    """How the fit before ended.  Raises SpecError where there was none, or another optimizer."""
    before = net._before
    if before is None:
        raise SpecError("continue_=True goes on where a fit ended, and this network has not been fitted yet.")
    if before.rule != rule_of(optimizer):
        raise SpecError(
            f"continue_=True goes on with the optimizer of the fit before; {type(optimizer).__name__} with these "
            "settings is another. Only the learning rate may change."
        )
    return before


class HeldOut(NamedTuple):
    """Data that are not trained with, checked."""

    given: tuple[Any, ...]
    """(X, y) or (X, y, w), as `evaluate` takes them."""
    arrays: tuple[Array, ...]
    """All arrays of these."""


def _validation(net: Network, given: Sequence[Any] | Blocks, names: tuple[str, ...] | None) -> HeldOut:
    """(X, y) or (X, y, w), or Blocks, checked once."""
    if isinstance(given, Blocks):
        given = (given, None)
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise SpecError(expected("validation_data", "(X, y) or (X, y, sample_weight)", type(given)))
    try:
        X, y, w = (*given, None)[:3]
        if (blocks := as_blocks(X, y, w, names)) is not None:
            conversion = _Conversion(net, names)
            held = blocks.held(conversion, conversion.key, shuffle=False, told=conversion.told, whole=True)
            assert isinstance(held, dict)
            data, kinds = _with_weights(net, held), checks.kinds_of(net.spec, held)
            w = data.get("w")
        else:
            data, kinds = net._data(X, y, w, names)
        checked = checks.as_given(net.spec, data), checks.targets_as_given(net.spec, data, kinds)
        return HeldOut((*checked, data["w"]) if w is not None else checked, tuple(data.values()))
    except DataError as fault:
        raise DataError(f"validation_data: {fault}") from None
