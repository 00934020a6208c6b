"""Tables larger than memory: a pass that learns their columns, one that lays their inputs out, members on these.

Each member holds out some blocks on the disk, a sample of all rows, and learns from all others; what its network is
given of a row (pieces of numbers, the targets in its form) is made of the inputs as windows are read.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from chainrule import checks
from chainrule.blocks import Blocks
from chainrule.blocks.lay import laid_out
from chainrule.blocks.stored import Kind, Stored, kinds_of, usual_place
from chainrule.blocks.tables import Sunk, Table, arrow
from chainrule.errors import DataError, DataWarning
from chainrule.network import Network
from chainrule.tabular.converted import (
    Targets,
    check_weights,
    converted,
    empty,
    factors_of,
    has_text,
    inputs_of,
    named,
    seen_of,
)
from chainrule.tabular.description import arrays
from chainrule.tabular.frame import read_frame
from chainrule.tabular.importances import MOST, Seen
from chainrule.tabular.inputs import InputShape, TableInputs
from chainrule.tabular.members import Fold, Trained, Units, network_targets, own_recipe, train_folds
from chainrule.tabular.preparation import Preparation, chosen_categories, learn
from chainrule.tabular.recipe import Aim, Recipe, recipe_for
from chainrule.tabular.stream import Part, filtered, parts
from chainrule.tabular.survey import SAMPLED, Survey
from chainrule.train.progress import Progress

Array = NDArray[Any]
HELD = 32_768
"""Rows that a member holds out at most."""
MADE = 8_192
"""Rows that networks' inputs are made of at a time, about."""


def fit_blocks(
    owner: Any,
    blocks: Blocks,
    whole: Callable[[Any, Any, Any], None],
    class_weight: Callable[[Array], Any],
    parts_of: Callable[[Blocks], Iterator[Part]] = parts,
) -> None:
    """Fits the estimator.

    whole: the ordinary fit of (X, y, sample_weight), of a table that is small.  class_weight: the factors of classes,
    by their numbers.  parts_of: the rows that are learned from.  Raises DataError, ValueError.
    """
    pa = arrow("lib", blocks.supply.what)
    source = _twice(blocks, parts_of)
    held: list[Part] = []
    size = missing = 0
    stream = source()
    for part in stream:
        kept, without = _with_targets(part)
        missing += without
        held.append(kept)
        size += kept.X.nbytes
        if size > blocks.memory:
            break
    else:
        if not held:
            raise DataError(f"{blocks.supply.what} is empty: at least one sample is needed.")
        _tell_missing(missing)
        weights = None if held[0].w is None else np.concatenate([part.w for part in held if part.w is not None])
        table = pa.concat_tables([part.X for part in held], promote_options="permissive")
        whole(table, np.concatenate([part.y for part in held if part.y is not None]), weights)
        _remember(owner, blocks)
        return
    first, held = held[0].X, []
    del stream
    _fit_large(owner, blocks, first, source, class_weight)
    _remember(owner, blocks)


def _remember(owner: Any, blocks: Blocks) -> None:
    owner.targets_ = blocks.supply.targets if isinstance(blocks.supply, Table) else ()


def _twice(blocks: Blocks, parts_of: Callable[[Blocks], Iterator[Part]]) -> Callable[[], Iterator[Part]]:
    """What goes through all rows, as often as it is asked to: what comes once is written down for that."""
    given = getattr(blocks.supply, "given", None)
    if given is None or callable(given):
        return lambda: parts_of(blocks)
    parquet, pa = arrow("parquet", blocks.supply.what), arrow("lib", blocks.supply.what)
    weighted = False

    def sink(path: Any) -> None:
        nonlocal weighted
        writer = None
        for part in parts_of(blocks):
            assert part.y is not None
            table = part.X.append_column("\0y", pa.array(part.y.tolist()))
            weighted = part.w is not None
            table = table if part.w is None else table.append_column("\0w", pa.array(part.w))
            writer = writer or parquet.ParquetWriter(path, table.schema)
            writer.write_table(table.cast(writer.schema))
        if writer is None:
            raise DataError(f"{blocks.supply.what} is empty: at least one sample is needed.")
        writer.close()

    table = Table(Sunk(SimpleNamespace(sink_parquet=sink)), "\0y", "\0w" if weighted else None, None)
    kept = Blocks.of(table, blocks.memory)
    return lambda: parts(kept)


def _with_targets(part: Part) -> tuple[Part, int]:
    """(the rows that have a target, how many have none)."""
    if part.y is None:
        raise DataError("There are no targets: name their column, or give blocks (X, y).")
    y = part.y if part.y.ndim == 2 else part.y[:, None]
    there: NDArray[np.bool_] = np.ones(len(y), bool)
    if y.dtype == object:
        there = np.asarray([all(cell is not None and cell == cell for cell in row) for row in y], bool)
    elif y.dtype.kind == "f":
        there = np.asarray(~np.isnan(y).any(axis=1), bool)
    return filtered(part, there), int((~there).sum())


def compared(owner: Any, blocks: Blocks) -> tuple[Array, Array]:
    """(predictions, targets) of all rows that have a target, part by part.  Raises DataError."""
    predicted, targets = [], []
    for part in parts(blocks):
        kept, _ = _with_targets(part)
        if len(kept.X):
            inputs, _ = owner.preparation_.inputs(read_frame(kept.X, "X"))
            predicted.append(owner._of(inputs))
            targets.append(owner._known(kept.y, len(kept.X)))
    if not predicted:
        raise DataError(f"{blocks.supply.what}: no row has a target to compare with.")
    return np.concatenate(predicted), np.concatenate(targets)


def _tell_missing(rows: int) -> None:
    if rows:
        are = "row is" if rows == 1 else "rows are"
        warnings.warn(f"y: {rows:,} {are} left out, as there is no target.", DataWarning, stacklevel=6)


def _fit_large(
    owner: Any, blocks: Blocks, first: Any, source: Callable[[], Iterator[Part]], class_weight: Callable[[Array], Any]
) -> None:
    classes = hasattr(type(owner), "predict_proba")
    seed = int(check_random_state(owner.random_state).randint(2**31 - 1))
    sampled = int(np.clip(blocks.memory // 4 // max(1, first.nbytes // max(1, len(first))), 1_000, SAMPLED))
    frame = read_frame(first)
    survey, targets = Survey(seed, sampled, chosen_categories(frame, owner.categorical_features)), Targets(classes)
    missing = 0
    for part in source():
        kept, without = _with_targets(part)
        missing += without
        if len(kept.X):
            assert kept.y is not None
            check_weights(kept.w)
            survey.add(kept)
            targets.add(kept.y, kept.w)
    _tell_missing(missing)
    if not survey.weight > 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    table, some = survey.sample.settled()
    frame = read_frame(table)
    owner.n_features_in_ = len(frame.names)
    owner.feature_names_in_ = np.array(frame.names, dtype=object)
    if targets.counts is not None:
        every = np.array(list(targets.counts), dtype=object if has_text(targets.counts) else None)
        owner._encode(every, len(every))
        sums = np.array([targets.counts[value] for value in owner.classes_.tolist()])
        constant = owner._without_columns(np.arange(len(sums)), sums)
    else:
        assert targets.first is not None
        owner._encode(targets.first, len(targets.first))
        constant = owner._without_columns(np.asarray(some, np.float64).reshape(len(some), -1), None)
        sums = np.zeros(0)
    preparation = survey.exact(learn(frame, owner.categorical_features), frame)
    if preparation.lost:
        warnings.warn(f"X: {'; '.join(preparation.lost)}.", DataWarning, stacklevel=6)
    few = owner._known(some[:MOST], len(some[:MOST]))
    inputs, _ = preparation.inputs(frame.take(np.arange(len(few))))
    seen = Seen(inputs, few, np.full(len(few), -1, np.int32))
    rows, trained = survey.rows, None
    del survey, table, some, frame  # the sample has told what it can
    arrow("lib", blocks.supply.what).default_memory_pool().release_unused()
    if preparation.columns and owner._can_learn():
        aim = owner._aim()
        units = Units((), (), (), ()) if classes else targets.moments.units(aim)
        factors = factors_of(class_weight(owner.classes_), sums) if classes else None
        trained, seen = _train(owner, blocks, source, rows, preparation, aim, units, factors, seed)
    owner.preparation_, owner.trained_, owner._constant, owner._seed = preparation, trained, constant, seed
    owner._seen = seen
    owner.id_, owner.beside_, owner.header_, owner.record_, owner._importances = None, (), True, {}, None


def _train(
    owner: Any,
    blocks: Blocks,
    source: Callable[[], Iterator[Part]],
    rows: int,
    preparation: Preparation,
    aim: Aim,
    units: Units,
    factors: Array | None,
    seed: int,
) -> tuple[Trained, Seen]:
    shape, rising = preparation.shape, owner._rising(preparation)
    recipe = recipe_for(owner.preset, aim, rows, shape)
    if owner.ensemble is not None:
        recipe = replace(recipe, members=int(owner.ensemble), parts=max(recipe.parts, 2))

    def of_parts() -> Iterator[dict[str, Array]]:
        for part in source():
            kept, _ = _with_targets(part)
            if len(kept.X):
                yield converted(owner, preparation, kept, aim, units, factors)

    # Windows are of what networks are given, which is more than what lies on the disk.
    of_networks = max(_bytes(arrays(empty(shape, 1), shape, own_recipe(recipe, k, rising), rising)) for k in range(2))
    memory = blocks.memory * _bytes(named(empty(shape, 1))) // max(of_networks, 1)
    laid = laid_out(of_parts(), rows, what=blocks.supply.what, memory=max(1, min(memory, blocks.memory)), shuffle=True,
                    place=usual_place(), keep=None, told=dict, whole=False, always=True)  # fmt: skip
    assert isinstance(laid, Stored)
    end = None if owner.time_limit is None else time.monotonic() + owner.time_limit
    seen: list[tuple[TableInputs, Array, int]] = []

    def fold(network: Network, k: int, own: Recipe) -> Fold:
        member = MemberRows(laid, network, shape, aim, own, dict(rising or {}), _hole(laid, k, recipe.parts))
        held = member.held()
        targets = held["targets"]
        inputs = inputs_of(held, shape)
        known = targets if aim.kind == "classes" else units.back(targets, clip=False)
        seen.append((inputs.of(slice(MOST)), known[:MOST], k))
        return Fold(
            (Laid(member),),
            None,
            arrays(inputs, shape, own, rising),
            network_targets(targets, aim, network, own),
            known,
            targets,
            held["w"][:, 0] if "w" in held else None,
        )

    try:
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
            callbacks=(lambda _: [Progress(True)]) if owner.verbose else None,
            ended=owner._ended,
        )
    finally:
        laid.close()
    return trained, seen_of(seen, trained)


def _bytes(data: Mapping[str, Array]) -> int:
    return sum(array.nbytes for array in data.values())


def _hole(laid: Stored, member: int, count: int) -> tuple[int, int]:
    """The rows that a member holds out, (first, after the last): whole blocks."""
    blocks = -(-laid.rows // laid.block)
    first = (member % count) * blocks // count
    most = max(1, min(HELD // laid.block, blocks // max(count, 2)))
    return first * laid.block, min((first + most) * laid.block, laid.rows)


class MemberRows(Stored):
    """Laid out inputs as a member's network takes them, without the rows that it holds out."""

    def __init__(
        self,
        laid: Stored,
        network: Network,
        shape: InputShape,
        aim: Aim,
        recipe: Recipe,
        rising: Mapping[str, int],
        hole: tuple[int, int],
    ) -> None:
        self.laid, self.network, self.shape, self.aim, self.recipe = laid, network, shape, aim, recipe
        self.rising, self.hole = rising, hole
        self.symbols = {source.symbol.name: source.name for source in network.spec.sources}
        one = self._given({name: np.zeros((1, *kind.shape), kind.dtype) for name, kind in laid.kinds.items()})
        super().__init__({}, kinds_of(one), {}, laid.rows - (hole[1] - hole[0]), laid.block, {}, laid.place)

    def read(self, name: str, first: int, into: Array) -> None:
        """Reads the inputs, and makes of them what the network is given."""
        self.gather([(first, len(into))], {name: into})

    def gather(self, pieces: Sequence[tuple[int, int]], into: Mapping[str, Array]) -> None:
        """The same of several pieces: what networks are given is made of all at once."""
        begin, end = self.hole
        there: list[tuple[int, int]] = []
        for first, count in pieces:
            before = max(0, min(count, begin - first))
            there += [(at, n) for at, n in ((first, before), (max(first, begin) + end - begin, count - before)) if n]
        needed = {array for name in into for array in self._made_of(name)}
        at = first = 0
        while first < len(there):  # some at a time: on the way they take memory as well
            last, rows = first, 0
            while last < len(there) and rows < MADE:
                rows += there[last][1]
                last += 1
            given = self._given(self._rows(there[first:last], needed), into)
            for name, array in into.items():
                array[at : at + rows] = given[name]
            at, first = at + rows, last

    def held(self) -> dict[str, Array]:
        """The rows held out, as they are laid out."""
        return self._rows([(self.hole[0], self.hole[1] - self.hole[0])], self.laid.kinds)

    def _made_of(self, name: str) -> list[str]:
        """The laid out arrays that a symbol is made of."""
        if name == "w":
            return ["w"]
        return _MADE_OF[self.symbols[name]] if name in self.symbols else ["targets"]

    def _rows(self, pieces: Sequence[tuple[int, int]], names: Collection[str]) -> dict[str, Array]:
        rows = sum(count for _, count in pieces)
        kinds: dict[str, Kind] = {name: self.laid.kinds[name] for name in names}
        data = {name: np.empty((rows, *kind.shape), kind.dtype) for name, kind in kinds.items()}
        self.laid.gather(pieces, data)
        return data

    def _given(self, data: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """By the network's symbols, those that are wanted."""
        given: dict[str, Array] = {}
        if "w" in data:
            given["w"] = data["w"]
        if "targets" in data:
            targets = network_targets(data["targets"], self.aim, self.network, self.recipe)
            given |= checks.targets(self.network.spec, targets, len(data["targets"]), self.network.dtype)[1]
        if wanted is None or self.symbols.keys() & set(wanted):
            made = arrays(inputs_of(data, self.shape), self.shape, self.recipe, self.rising)
            given |= {symbol: made[source] for symbol, source in self.symbols.items() if source in made}
            for symbol, source in self.symbols.items():
                if source == "categories" and symbol in given:
                    given[symbol] = given[symbol].astype(np.int64)
        return given


_MADE_OF = {"numbers": ["numbers"], "pieces": ["numbers"], "rising": ["numbers"], "flags": ["flags"],
            "categories": ["categories"]}  # fmt: skip


class Laid(Blocks):
    """Rows that are laid out already."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self._setup(SimpleNamespace(names=None, what="the table", rows=stored.rows), 1, None)

    def held(self, *given: Any, **named: Any) -> Stored:
        """These."""
        return self.stored
