"""Networks trained on a Dask cluster of processes on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr

pytest.importorskip("torch", reason="PyTorch is not installed")
distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'chainrule[dask]'")
import dask.array as da  # noqa: E402

import chainrule.dask  # noqa: E402

pytestmark = pytest.mark.long

ROWS, FEATURES = 1200, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, FEATURES)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64)


@pytest.fixture(scope="module", params=[2, 3])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    cluster = distributed.LocalCluster(
        n_workers=request.param, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


def network() -> cr.Network:
    return cr.Network(FEATURES, [cr.Dense(8, "relu"), cr.Dense(2, "softmax")], loss="cross_entropy")


def trained(client: Any, chunks: tuple[int, ...], **options: Any) -> cr.Network:
    net = network()
    data, target = da.from_array(X, (chunks, FEATURES)), da.from_array(Y, (chunks,))
    settings = {"epochs": 3, "batch_size": 256, "client": client, **options}
    chainrule.dask.fit(net, data, target, **settings)
    return net


def test_the_same_bits_for_any_partitions_and_workers(client: Any) -> None:
    """Those of one worker who has all rows."""
    one = network()

    class Alone(chainrule.group.base.Group):
        rank, size = 0, 1

        def exchange(self, sent: Any, received: Any) -> None:
            assert not sent and not received

    one.fit(X, Y, epochs=3, batch_size=256, group=cr.as_group(Alone(), own_rows=True), verbose=False)
    for chunks in ((300, 300, 300, 300), (100, 1000, 100)):
        net = trained(client, chunks)
        assert all(np.array_equal(net.parameters[name], one.parameters[name]) for name in one.parameters)
        assert [record.cost for record in net.history or ()] == [record.cost for record in one.history or ()]
    lazily = chainrule.dask.predict(one, da.from_array(X, ((500, 700), FEATURES)))
    np.testing.assert_allclose(client.compute(lazily).result(), one.predict(X), rtol=1e-5)


def test_data_frames(client: Any) -> None:
    dd, pd = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abcde")).assign(y=Y), npartitions=5)
    net = network()
    chainrule.dask.fit(net, frame[list("abcde")], frame["y"], epochs=20, batch_size=256, client=client,
                       optimizer=cr.Adam(0.05))  # fmt: skip
    predicted = client.compute(chainrule.dask.predict(net, frame[list("abcde")])).result()
    assert predicted.shape == (ROWS, 2) and (predicted.to_numpy().argmax(axis=1) == Y).mean() > 0.9


def test_what_is_wrong(client: Any) -> None:
    data = da.from_array(X, ((600, 600), FEATURES))
    with pytest.raises(cr.DataError, match=r"partitions of the same rows\. Got 2, 1 partitions"):
        chainrule.dask.fit(network(), data, da.from_array(Y, (ROWS,)), epochs=1, client=client)
    with pytest.raises(cr.DataError, match="y must be a Dask array, data frame or series"):
        chainrule.dask.fit(network(), data, Y, epochs=1, client=client)
    shifted = da.from_array(Y, ((500, 700),))
    with pytest.raises(cr.DataError, match=r"partitions of the same rows\. Got 600, 500 rows in partition 0"):
        chainrule.dask.fit(network(), data, shifted, epochs=1, client=client)
    with pytest.raises(cr.ArgumentError, match=r"has no argument 'epoch'\. Did you mean 'epochs'"):
        chainrule.dask.fit(network(), data, shifted, epochs=1, epoch=1, client=client)
    wrong = da.from_array(np.where(X > 3, np.nan, X), ((600, 600), FEATURES))
    with pytest.raises(cr.DataError, match="finite"):
        chainrule.dask.fit(network(), wrong, da.from_array(Y, ((600, 600),)), epochs=1, client=client)
    assert trained(client, (600, 600)).history is not None  # the workers are still of use


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")
def test_a_worker_that_is_killed(client: Any) -> None:
    """It is told; the others end within the timeout."""
    pids = client.run(os.getpid, on_error="ignore")
    victim = pids[sorted(pids)[-1]]
    timer = threading.Timer(4, os.kill, (victim, signal.SIGKILL))
    timer.start()
    with pytest.raises(cr.GroupError, match="has lost"):
        trained(client, (400, 400, 400), epochs=10**7, timeout=5)
    timer.join()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")
def test_a_fit_goes_on_from_its_checkpoint(client: Any, tmp_path: Path) -> None:
    """With the workers that are left, to the bits of a fit that was not disturbed."""
    client.wait_for_workers(2)
    undisturbed = trained(client, (400, 400, 400), epochs=300)
    kept = {"epochs": 300, "checkpoint": str(tmp_path / "kept"), "timeout": 5}
    pids = client.run(os.getpid, on_error="ignore")
    timer = threading.Timer(1, os.kill, (pids[sorted(pids)[0]], signal.SIGKILL))
    timer.start()
    with contextlib.suppress(cr.GroupError):  # where it has not ended before
        trained(client, (400, 400, 400), **kept)
    timer.join()
    again = trained(client, (300, 900), **kept, resume=True)
    assert all(np.array_equal(again.parameters[name], undisturbed.parameters[name]) for name in again.parameters)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")
@pytest.mark.parametrize("after", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("rank", [0, -1])
def test_a_fit_right_after_a_worker_was_killed(client: Any, rank: int, after: float) -> None:
    """The scheduler may not have missed it yet; its nanny starts another one meanwhile."""
    client.wait_for_workers(2)
    before = trained(client, (400, 400, 400))
    pids = client.run(os.getpid, on_error="ignore")
    os.kill(pids[sorted(pids)[rank]], signal.SIGKILL)
    time.sleep(after)
    again = trained(client, (400, 400, 400))
    assert all(np.array_equal(again.parameters[name], before.parameters[name]) for name in before.parameters)


def test_a_client_that_is_closed_meanwhile() -> None:
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0")
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        timer = threading.Timer(4, client.close)
        timer.start()
        with pytest.raises(cr.GroupError, match="The client is clos"):
            trained(client, (400, 400, 400), epochs=10**7)
        timer.join()


def test_a_cluster_without_workers() -> None:
    none = distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0")
    with none, distributed.Client(none) as client, pytest.raises(cr.GroupError, match="The cluster has no workers"):
        trained(client, (400, 400, 400), timeout=0.5)
    with pytest.raises(cr.GroupError, match="There is no cluster: make a distributed"):
        trained(None, (400, 400, 400))
    with pytest.raises(cr.SpecError, match=r"client must be a distributed\.Client"):
        trained("tcp://127.0.0.1:8786", (400, 400, 400))
    with pytest.raises(cr.GroupError, match="The client is closed: make a new distributed"):
        trained(client, (400, 400, 400))
