"""Networks trained by the workers of a cluster, and predictions that are made where the rows are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array
import numpy as np
from numpy.typing import NDArray

from chainrule.calls import misfits
from chainrule.dask.cluster import client_of, some_worker
from chainrule.dask.meeting import ClusterGroup
from chainrule.dask.rows import Piece, columns_of, is_frame, pieces
from chainrule.dask.training import together
from chainrule.engines.shards.order import shard_count, shard_size
from chainrule.errors import ArgumentError, SpecError, expected
from chainrule.group.base import TIMEOUT
from chainrule.group.find import as_group
from chainrule.network import Network
from chainrule.train.history import History

Array = NDArray[Any]
BATCH_SIZE = 4096
"""Samples a step unless said otherwise: 16 shards, work for as many workers."""


def fit(
    network: Network,
    X: Any,
    y: Any,
    *,
    epochs: int,
    batch_size: int = BATCH_SIZE,
    sample_weight: Any = None,
    client: Any = None,
    timeout: float = TIMEOUT,
    **options: Any,
) -> History:
    """Trains the network on the workers of a cluster; it has the result, the same bits for any number of workers.

    Parameters
    ----------
    network
        What is trained; also where a fit on one machine would begin.
    X, y, sample_weight
        Dask arrays, or data frames and series, with partitions of the same rows.
    epochs, batch_size, options
        As of `Network.fit`.
    client
        Of the cluster; None for the one that is current.
    timeout
        Seconds after which a worker that sends nothing counts as lost.

    Returns
    -------
    History
        A record of every epoch.

    Raises
    ------
    ArgumentError, DataError, SpecError
        For arguments, data and settings that cannot be.
    GroupError
        Where there is no cluster, or a worker was lost.
    """
    settings = {**options, "epochs": epochs, "batch_size": batch_size, "verbose": False}
    if faults := misfits(Network.fit, "chainrule.dask.fit", (network, None, None), settings):
        raise ArgumentError(faults)
    client = client_of(client)
    some_worker(client, timeout)
    held = pieces(client, X, y, sample_weight)
    most = shard_count(batch_size, shard_size(batch_size))
    arrays, history, fits = together(client, held, most, timeout, _fit, network, settings)

    def fill(own: Mapping[str, Array]) -> None:
        for key, array in own.items():
            array[...] = arrays[key]

    network.overwrite(fill)
    network.history, network._fits = history, fits
    return history  # type: ignore[no-any-return]


def predict(network: Network, X: Any) -> Any:
    """Ŷ of a Dask array, as one (m, outputs), or of a data frame, as one with a column for each output; lazily.

    Raises SpecError for a network of several outputs, and for what is neither.
    """
    if len(network.spec.widths) < 2 or not isinstance(network.spec.widths[-1], int):
        raise SpecError("chainrule.dask.predict is for networks with one output.")
    width = network.spec.widths[-1]
    if isinstance(X, dask.array.Array):
        whole = X.rechunk({1: -1})
        return whole.map_blocks(network.predict, dtype=network.dtype, chunks=(whole.chunks[0], (width,)))
    if not is_frame(X):
        raise SpecError(expected("X", "a Dask array or data frame", type(X)))
    import pandas

    names = [f"prediction_{k}" for k in range(width)] if width > 1 else ["prediction"]

    def of_part(part: Any) -> Any:
        return pandas.DataFrame(network.predict(part), index=part.index, columns=names)

    return X.map_partitions(of_part, meta=pandas.DataFrame({n: np.empty(0, network.dtype) for n in names}))


def _fit(
    group: ClusterGroup, own: Sequence[Piece], network: Network, settings: Mapping[str, Any]
) -> tuple[dict[str, Array], History | None, int]:
    """One worker's part of the training."""
    X, y, weights = columns_of(own)
    history = network.fit(X, y, sample_weight=weights, group=as_group(group, own_rows=True), **settings)
    arrays = {**network.parameters, **network.state}
    return {name: array.copy() for name, array in arrays.items()}, history, network._fits
