"""Networks trained by the workers of a Dask cluster, and predictions that are made where the rows are.

    import chainrule.dask

    net = cr.Network(20, [cr.Dense(64, "relu"), cr.Dense(3, "softmax")], loss="cross_entropy")
    chainrule.dask.fit(net, X, y, epochs=10)          # X, y: Dask arrays or data frames
    chainrule.dask.predict(net, X)                    # lazily

Each worker gets partitions that follow on each other; they form a group over gloo, each with rows of its own
(`chainrule.as_group`), and the network comes back.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.shards.order import shard_count, shard_size
from chainrule.errors import DataError, GroupError, MissingDependencyError, SpecError, expected
from chainrule.group.base import TIMEOUT
from chainrule.network import Network
from chainrule.train.history import History

try:
    import dask.array
    import distributed
    from torch import distributed as gloo
except ImportError as error:
    raise MissingDependencyError(f"chainrule.dask needs {error.name}: pip install 'chainrule[dask]'") from None

Array = NDArray[Any]
BATCH_SIZE = 4096
"""Samples a step unless said otherwise: 16 shards, work for as many workers."""
MEETING = 60.0
"""Seconds within which all workers of a group have to come: one that has just been started loads much first."""
_meetings: dict[str, Any] = {}
"""Where groups meet that this process is the first worker of, by their names."""
_numbers = itertools.count()


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
    DataError, SpecError
        For data and settings that cannot be.
    GroupError
        Where a worker was lost.
    """
    client = _client(client)
    columns = [_partitions(one, name) for one, name in ((X, "X"), (y, "y"), (sample_weight, "sample_weight"))]
    if len({len(parts) for parts in columns if parts}) > 1:
        counts = ", ".join(str(len(parts)) for parts in columns if parts)
        raise DataError(f"X and y (and sample_weight) must have partitions of the same rows. Got {counts} partitions.")
    addresses = sorted(client.scheduler_info(n_workers=-1)["workers"])
    if not addresses:
        raise GroupError("The cluster has no workers.")
    count = len(columns[0])
    size = min(len(addresses), count, shard_count(batch_size, shard_size(batch_size)))
    name = f"chainrule-{client.id}-{next(_numbers)}"
    settings = {**options, "epochs": epochs, "batch_size": batch_size, "verbose": False}
    place = client.submit(_open_meeting, name, max(timeout, MEETING), workers=[addresses[0]], pure=False).result()
    ends = []
    for rank in range(size):
        own = range(-(-rank * count // size), -(-(rank + 1) * count // size))
        parts = [
            client.compute([each[k] for k in own], workers=[addresses[rank]], allow_other_workers=True) if each else []
            for each in columns
        ]
        work = client.submit(
            _train,
            rank,
            size,
            place,
            timeout,
            network,
            parts,
            settings,
            workers=[addresses[rank]],
            pure=False,
            retries=0,
        )
        ends.append(work)
    try:
        _wait(client, ends, addresses[:size])
        faults = [fault for fault in (end.exception() for end in ends if end.done()) if fault is not None]
        if faults:
            raise next((fault for fault in faults if not isinstance(fault, GroupError)), faults[0])
        arrays, history, fits = ends[0].result()
    finally:
        client.cancel(ends, force=True)
        client.submit(_close_meeting, name, workers=[addresses[0]], pure=False, allow_other_workers=True)

    def fill(own: Any) -> None:
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
    if not hasattr(X, "map_partitions"):
        raise SpecError(expected("X", "a Dask array or data frame", type(X)))
    import pandas

    names = [f"prediction_{k}" for k in range(width)] if width > 1 else ["prediction"]

    def of_part(part: Any) -> Any:
        return pandas.DataFrame(network.predict(part), index=part.index, columns=names)

    return X.map_partitions(of_part, meta=pandas.DataFrame({n: np.empty(0, network.dtype) for n in names}))


# --- what is asked of the cluster -------------------------------------------------------------------------------------


def _client(given: Any) -> Any:
    if given is not None:
        return given
    try:
        return distributed.default_client()
    except ValueError:
        raise GroupError("There is no cluster: make a distributed.Client, or give one as client=.") from None


def _wait(client: Any, ends: Sequence[Any], addresses: Sequence[str]) -> None:
    """Until all have ended, or one has failed.  Raises GroupError where the cluster has lost a worker of the group."""
    while True:
        left = [end for end in ends if not end.done()]
        if not left or any(end.status == "error" for end in ends):
            return
        known = client.scheduler_info(n_workers=-1)["workers"]
        if gone := [address for address in addresses if address not in known]:
            raise GroupError(f"The cluster has lost the worker {gone[0]}. Fit again, with those that are left.")
        with contextlib.suppress(TimeoutError):
            distributed.wait(left, timeout=1, return_when="FIRST_COMPLETED")


def _partitions(given: Any, name: str) -> list[Any]:
    """Its partitions, to be computed; none of what is not given."""
    if given is None:
        return []
    if isinstance(given, dask.array.Array):
        whole = given.rechunk({1: -1}) if given.ndim == 2 else given
        return list(whole.to_delayed().reshape(-1))
    if hasattr(given, "to_delayed"):
        return list(given.to_delayed())
    raise DataError(expected(name, "a Dask array, data frame or series", type(given)))


def _gloo() -> Any:
    return gloo


# --- what workers do --------------------------------------------------------------------------------------------------


def _open_meeting(name: str, timeout: float) -> tuple[str, int]:
    """Opens the place where a group meets, on the worker that this runs on; its host and port."""
    host = urlsplit(distributed.get_worker().address).hostname or "127.0.0.1"
    store = _gloo().TCPStore(host, 0, None, True, timeout=timedelta(seconds=timeout), wait_for_workers=False)
    _meetings[name] = store
    return host, store.port


def _close_meeting(name: str) -> None:
    _meetings.pop(name, None)


def _train(
    rank: int,
    size: int,
    place: tuple[str, int],
    timeout: float,
    network: Network,
    parts: Sequence[Sequence[Any]],
    settings: dict[str, Any],
) -> tuple[dict[str, Array], History | None, int] | None:
    """One worker's part; worker 0 returns the result."""
    from chainrule.group.find import as_group
    from chainrule.group.torch_group import TorchGroup

    wait = timedelta(seconds=max(timeout, MEETING))
    try:
        store = _gloo().TCPStore(*place, None, False, timeout=wait)
        process_group = _gloo().ProcessGroupGloo(store, rank, size, wait)
    except RuntimeError as fault:
        raise GroupError(f"Worker {rank} of {size} has not met the others: {str(fault).splitlines()[0]}") from None
    X, y, weights = (_joined(each) for each in parts)
    group = as_group(TorchGroup(process_group, timeout), own_rows=True)
    history = network.fit(X, y, sample_weight=weights, group=group, **settings)
    if rank > 0:
        return None
    return (
        {name: array.copy() for name, array in {**network.parameters, **network.state}.items()},
        history,
        network._fits,
    )


def _joined(parts: Sequence[Any]) -> Any:
    """The rows of some partitions, one after the other."""
    if not parts:
        return None
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import pandas

    whole = pandas.concat(list(parts))
    return whole.to_numpy() if whole.ndim == 1 else whole
