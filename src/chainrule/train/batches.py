"""How an epoch's samples are cut into batches, and what the batches' costs come to.

Batch k has the samples k B, ..., (k + 1) B - 1 of the epoch's order; the last has what is left.  Where that is fewer
than the network can be trained on (one sample has no variance, which batch normalisation divides by), they join the
batch before.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.network import NetworkSpec
from chainrule.errors import SpecError

Order = NDArray[np.int64]


def least_batch(spec: NetworkSpec) -> int:
    """The fewest samples of a batch: 2 where a layer takes its statistics over the batch, else 1."""
    return 2 if any(layer.over_batch for layer in spec.layers) else 1


def check_batches(spec: NetworkSpec, samples: int, batch_size: int) -> None:
    """Raises SpecError where no batch would have the fewest samples that the network can be trained on."""
    least = least_batch(spec)
    if min(samples, batch_size) < least:
        what = f"{samples} sample" if samples < least else f"batch_size={batch_size}"
        raise SpecError(
            f"Batch normalisation is trained on batches of at least {least} samples: one sample has no variance, and "
            f"normalised it is 0 whatever it was. Got {what}; use a larger batch, or layer normalisation."
        )


def starts(samples: int, batch_size: int, least: int) -> Order:
    """The place in the epoch's order at which each batch begins."""
    places = np.arange(0, samples, batch_size, dtype=np.int64)
    return places[:-1] if len(places) > 1 and samples - places[-1] < least else places


def pieces(order: Order, batch_size: int, least: int) -> Iterator[tuple[Order, int]]:
    """(some of the order, their batch size): one piece, or two where the last batch is joined to the one before."""
    last = int(starts(len(order), batch_size, least)[-1])
    if len(order) - last <= batch_size:
        yield order, batch_size
        return
    if last:
        yield order[:last], batch_size
    yield order[last:], len(order) - last


def epoch_cost(
    costs: NDArray[np.float64],
    places: Order,
    samples: int,
    sums: NDArray[np.float64] | None,
    *,
    added: bool,
) -> float:
    """The cost of an epoch from the J of each of its batches: Σ_b s_b J_b / Σ_b s_b.

    places: where the batches begin.  s_b is the batch's number of samples, or the sum of their weights where `sums`
    gives these.  added: whether J is a sum of losses, and so the epoch's cost is Σ_b J_b.  Batches that were not
    run, as the fit ended, have no part in it.
    """
    if added or len(costs) == 1:
        return float(costs.sum())
    sizes = np.empty(len(places))
    sizes[:-1], sizes[-1] = places[1:] - places[:-1], samples - places[-1]
    sizes = sizes[: len(costs)]
    if sums is not None and (run := sums[: len(costs)]).any():
        sizes = run
    return float((costs * sizes).sum() / sizes.sum())
