"""A fit that several workers run: what must be the same at all of them, and is compared before the first step."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.engines import processors
from chainrule.engines.base import Engine
from chainrule.engines.shards.order import FEWER, LEAST, SHARDS, WHOLE, shard_count, shard_size
from chainrule.engines.shards.split import Split, split
from chainrule.errors import SpecError
from chainrule.program.equation import Program
from chainrule.rules.shards import over_shards
from chainrule.train.state import Trainable
from chainrule.version import VERSION

if TYPE_CHECKING:
    from chainrule.group.base import Group
    from chainrule.train.checkpoint import Checkpoints, State

Array = NDArray[Any]


@contextlib.contextmanager
def agreed(workers: Group | None) -> Iterator[None]:
    """What every worker checks for itself: where one finds a fault, all of them raise.  Raises GroupError."""
    if workers is None:
        yield
        return
    fault: Exception | None = None
    try:
        yield
    except Exception as error:
        fault = error
    workers.all_well(fault)


def in_shards(program: Program, workers: Group | None, sync_every: int | None) -> Split | None:
    """The parts of the program that a group runs; None where each worker takes steps of its own.

    Raises SpecError for a program that cannot be cut, and for steps of one's own without a group.
    """
    if sync_every is not None and workers is None:
        raise SpecError("sync_every is for a group of workers: fit(..., group=...).")
    return None if workers is None or sync_every is not None else split(over_shards(program))


def compare(
    workers: Group,
    engine: Engine,
    program: Program,
    data: Mapping[str, Array] | str,
    held_out: Iterable[Array],
    settings: Mapping[str, object],
) -> None:
    """Raises GroupError where workers have other versions, another program, other data or other settings.

    data: all arrays, or a digest of what lies on the disk.
    """
    from chainrule.train.checkpoint import digest_of

    layout = getattr(engine, "layout", None)
    same = {
        "the version of chainrule": VERSION,
        "the version of NumPy": np.__version__,
        "the engine": engine.name,
        "the processor": platform.machine() if layout is None else f"{layout.target}",
        "the program (layers, loss, optimizer)": program.digest[:12],
    }
    if not isinstance(data, str):
        same["the columns of the data"] = ", ".join(f"{n} {a.dtype} × {a.shape[1:]}" for n, a in sorted(data.items()))
    same["the data"] = data if isinstance(data, str) else digest_of(data)[:12]
    same["the samples held out"] = digest_of(held_out)[:12]
    same["the settings"] = repr(sorted(settings.items()))
    workers.same(same)


def check_shards(workers: Group, batch_size: int) -> None:
    """Raises SpecError where a batch has fewer shards than there are workers."""
    shards = shard_count(batch_size, shard_size(batch_size))
    if workers.size > SHARDS:
        raise SpecError(f"A batch has {SHARDS} shards, work for as many workers at most. Got {workers.size} workers.")
    if shards < workers.size:
        raise SpecError(
            f"A batch of {batch_size:,} samples has {shards} shard{'s' * (shards != 1)} of {LEAST} samples or more, "
            f"and there are {workers.size} workers: some would have nothing to do. Use fewer workers, or batch_size="
            f"{LEAST * workers.size if workers.size <= FEWER else SHARDS * WHOLE} and as many samples."
        )


class Share(NamedTuple):
    """What a worker may use of its machine."""

    threads: int | None
    """At most; None for the engine's choice."""
    leaves: tuple[int, ...] = ()
    """Processors on which other workers compute, where each can have some of its own."""


def shared_out(workers: Group, threads: int | None) -> Share:
    """Those of one machine share its processors; threads: what each was told, None for as many as are left to it."""
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    here = (platform.node(), processors.allowed(), tuple(mine))
    everywhere = workers.gather_values(here)
    if workers.size == 1:
        return Share(threads)
    beside = [rank for rank, place in enumerate(everywhere) if place == here]
    each, number = len(mine) // len(beside), beside.index(workers.rank)
    if threads is None:
        threads = max(1, here[1] // len(beside))
    if threads > each:
        return Share(threads)
    own = mine[number * each : (number + 1) * each]
    return Share(threads, tuple(place for place in mine if place not in own))


def begin_alike(workers: Group, network: Trainable, seed: int) -> int:
    """All have the weights of worker 0, and its seed, which is returned."""
    arrays = {**network.parameters, **network.state}
    first = workers.broadcast_value((seed, {name: array.copy() for name, array in arrays.items()}))

    def fill(own: Mapping[str, Array]) -> None:
        for name, array in own.items():
            array[...] = first[1][name]

    network.overwrite(fill)
    return first[0]


def begun(workers: Group | None, checkpoints: Checkpoints, resume: bool) -> tuple[dict[str, Array], State] | None:
    """What checkpoints have left to go on from; of a group worker 0 reads them, for all."""
    if workers is None:
        return checkpoints.begin(resume)
    return workers.at_first(lambda: checkpoints.begin(resume))
