"""Estimators that are fitted on a Dask cluster of processes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import chainrule as cr

pytest.importorskip("torch", reason="PyTorch is not installed")
distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'chainrule[dask]'")
pd = pytest.importorskip("pandas")
import dask.array as da  # noqa: E402
import dask.dataframe as dd  # noqa: E402

import chainrule.dask  # noqa: E402

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:Stochastic Optimizer. Maximum iterations")]

ROWS = 1300
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 5)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64)


def table() -> Any:
    job = RNG.choice(["cook", "smith", "clerk"], ROWS)
    frame = pd.DataFrame({"age": np.where(RNG.random(ROWS) < 0.1, np.nan, X[:, 0]), "job": job, "size": X[:, 1]})
    frame["yes"] = np.where((X[:, 0] > 0) ^ (job == "cook"), "yes", "no")
    frame["pay"] = 1e6 + X[:, 0] + 3 * (job == "smith")
    return frame.set_index(np.arange(ROWS) + 100)


TABLE = table()
COLUMNS = ["age", "job", "size"]


@pytest.fixture(scope="module", params=[2, 3])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    cluster = distributed.LocalCluster(
        n_workers=request.param, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


class Alone(cr.group.base.Group):
    """One worker who has all rows."""

    rank, size, own_rows = 0, 1, True

    def exchange(self, sent: Any, received: Any) -> None:
        assert not sent and not received


def weights(model: Any) -> list[bytes]:
    networks = model.networks_ if hasattr(model, "networks_") else [model.network_]
    return [array.tobytes() for net in networks for array in net.parameters.values()]


def arrays(chunks: tuple[int, ...]) -> tuple[Any, Any]:
    return da.from_array(X, (chunks, 5)), da.from_array(Y, (chunks,))


def test_classes_of_arrays(client: Any) -> None:
    options = {"max_iter": 8, "early_stopping": True, "random_state": 0}
    alone = cr.MLPClassifier((8,), **options).fit(X, Y, group=Alone())
    for chunks in ((400, 500, 400), (100, 1200)):
        data, target = arrays(chunks)
        model = chainrule.dask.MLPClassifier((8,), **options).fit(data, target, client=client)
        local = model.to_local()
        assert type(local) is cr.MLPClassifier and weights(local) == weights(alone)
        assert model.loss_curve_ == alone.loss_curve_ and (model.classes_ == [0, 1]).all()
        predicted, probabilities = model.predict(data), model.predict_proba(data)
        assert predicted.shape == (ROWS,) and probabilities.shape == (ROWS, 2) and predicted.chunks[0] == chunks
        done, sure = client.gather(client.compute([predicted, probabilities]))
        assert done.dtype == predicted.dtype == np.int64 and sure.dtype == probabilities.dtype == np.float32
        np.testing.assert_array_equal(done, local.predict(X))
        np.testing.assert_allclose(sure, local.predict_proba(X), rtol=1e-5)
        assert model.score(data, target) == local.score(X, Y)
    warm = {"max_iter": 3, "random_state": 0, "warm_start": True}
    model, alone = chainrule.dask.MLPClassifier((8,), **warm), cr.MLPClassifier((8,), **warm)
    for _ in range(2):
        model.fit(data, target, client=client)
        alone.fit(X, Y, group=Alone())
        assert weights(model) == weights(alone)


def test_numbers_of_frames(client: Any) -> None:
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abcde")).assign(y=X[:, 0] - X[:, 1], z=X[:, 2]), npartitions=4)
    model = chainrule.dask.MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, learning_rate_init=0.02, random_state=0)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):  # of the first worker, here
        assert model.fit(frame.drop(columns="z"), "y", client=client) is model
    values = client.compute(model.predict(frame)).result()
    assert isinstance(values, pd.Series) and values.index[0] == 0 and values.dtype == np.float32
    np.testing.assert_allclose(values, model.to_local().predict(pd.DataFrame(X, columns=list("abcde"))), rtol=1e-4)
    assert model.score(frame, "y") > 0.95
    model.set_params(max_iter=2).fit(frame, ["y", "z"], client=client)
    both = client.compute(model.predict(frame)).result()
    assert both.shape == (ROWS, 2) and list(both.columns) == ["prediction_0", "prediction_1"]
    with pytest.raises(cr.DataError, match="X lacks the columns 'a', 'c' of the data that were fitted"):
        model.predict(frame.drop(columns=["a", "c"]))


@pytest.mark.parametrize("partitions", [3, 7])
def test_classes_of_tables(client: Any, partitions: int) -> None:
    frame = dd.from_pandas(TABLE.drop(columns="pay"), npartitions=partitions)
    frame = frame[frame["age"].fillna(0) > -9]  # what the partitions hold is not known before
    model = chainrule.dask.TabularClassifier("fast", random_state=0).fit(frame, "yes", client=client)
    local = model.to_local()
    alone = cr.TabularClassifier("fast", random_state=0)
    alone._fit_own_rows([(TABLE[COLUMNS], TABLE["yes"], None)], Alone())
    assert type(local) is cr.TabularClassifier and weights(local) == weights(alone)
    assert local.preparation_ == alone.preparation_ and local.targets_ == ("yes",)
    predicted, sure = client.gather(client.compute([model.predict(frame), model.predict_proba(frame)]))
    assert (predicted.to_numpy() == local.predict(TABLE)).all() and list(predicted.index) == list(TABLE.index)
    np.testing.assert_allclose(sure.to_numpy(), local.predict_proba(TABLE), rtol=1e-6)
    assert list(sure.columns) == ["no", "yes"] and model.score(frame, "yes") > 0.9
    assert "accuracy" in str(local.evaluate(TABLE))


def test_numbers_of_tables(client: Any) -> None:
    frame = dd.from_pandas(TABLE.drop(columns="yes"), npartitions=4)
    model = chainrule.dask.TabularRegressor("fast", random_state=0).fit(frame[COLUMNS], frame["pay"], client=client)
    values = client.compute(model.predict(frame[COLUMNS])).result()
    assert isinstance(values, pd.Series) and values.dtype == np.float64
    np.testing.assert_allclose(values, model.to_local().predict(TABLE[COLUMNS]), rtol=1e-6)
    assert model.score(frame, "pay") > 0.8
    model = chainrule.dask.TabularRegressor("fast", quantiles=[0.1, 0.9], random_state=0)
    model.fit(*arrays((700, 600)), client=client)
    levels = client.compute(model.predict(arrays((700, 600))[0])).result()
    assert levels.shape == (ROWS, 2) and (levels[:, 0] <= levels[:, 1]).all()


def test_like_the_local_ones() -> None:
    for name in ("MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor"):
        local, model = getattr(cr, name)(random_state=3), getattr(chainrule.dask, name)(random_state=3)
        assert repr(model) == repr(local) == f"{name}(random_state=3)"
        assert clone(model).get_params() == local.get_params()
        assert model.set_params(random_state=4).random_state == 4
        assert is_classifier(model) == is_classifier(local) == hasattr(model, "predict_proba")
        for method in ("predict", "to_local"):
            with pytest.raises(NotFittedError, match="not fitted yet"):
                getattr(model, method)(*[X] * (method == "predict"))
        with pytest.raises(AttributeError, match="has no attribute 'classes_'"):
            _ = model.classes_
        with pytest.raises(cr.ArgumentError, match=f"{name} has no argument 'presets'"):
            getattr(chainrule.dask, name)(presets="best")


def test_what_is_wrong(client: Any) -> None:
    frame = dd.from_pandas(TABLE, npartitions=4)
    kinds = chainrule.dask
    table = kinds.TabularClassifier("fast")
    with pytest.raises(cr.DataError, match=r"y: Unknown column 'yess'\. Did you mean 'yes'\?"):
        table.fit(frame, "yess", client=client)
    with pytest.raises(cr.DataError, match="y names columns, and X is no Dask data frame"):
        table.fit(arrays((700, 600))[0], "yes", client=client)
    with pytest.raises(cr.DataError, match=r"partitions of the same rows.* Got 4, 2 partitions"):
        table.fit(frame[COLUMNS], frame["yes"].repartition(npartitions=2), client=client)
    with pytest.raises(cr.DataError, match="X must be a Dask array or data frame"):
        table.fit(TABLE[COLUMNS], TABLE["yes"], client=client)
    with pytest.raises(cr.DataError, match="X must be a Dask array or data frame"):
        table.fit(frame["age"], frame["yes"], client=client)
    with pytest.raises(cr.DataError, match="There are no targets"):
        table.fit(frame, client=client)
    with pytest.raises(cr.DataError, match="X must be a Dask array of numbers"):
        table.fit(frame[COLUMNS].to_dask_array(lengths=True).astype(object), frame["yes"], client=client)
    gap = frame.assign(yes=frame["yes"].where(frame["size"] > -2))
    with pytest.raises(cr.DataError, match="y has no value in row"):
        table.fit(gap[COLUMNS], gap["yes"], client=client)
    with pytest.raises(cr.ArgumentError, match="has no argument 'epochs'"):
        table.fit(frame, "yes", client=client, epochs=3)
    with pytest.raises(cr.ArgumentError, match="takes no group"):
        table.fit(frame, "yes", client=client, groups=frame["job"])
    with pytest.raises(ValueError, match="'preset' parameter of TabularClassifier must be"):
        kinds.TabularClassifier("fastest").fit(frame, "yes", client=client)
    with pytest.raises(cr.DataError, match="X must hold numbers without gaps"):
        kinds.MLPClassifier().fit(frame[COLUMNS], frame["yes"], client=client)
    with pytest.raises(ValueError, match="solver='lbfgs' has none"):
        kinds.MLPClassifier(solver="lbfgs").fit(*arrays((700, 600)), client=client)
    with pytest.raises(cr.GroupError, match="There is no cluster"):
        table.fit(frame, "yes")
    model = kinds.TabularClassifier("fast", random_state=0).fit(frame.drop(columns="pay"), "yes", client=client)
    with pytest.raises(cr.DataError, match="X lacks the column 'job' of the data that were fitted"):
        model.predict(frame.drop(columns="job"))
    with pytest.raises(cr.DataError, match="X must be a Dask array or data frame"):
        model.predict(TABLE)
    before = weights(model)
    with pytest.raises(cr.DataError, match="y has no value in row"):
        model.fit(gap[COLUMNS], gap["yes"], client=client)
    assert weights(model) == before  # what was fitted stays


GUIDE = Path(__file__).parents[2] / "docs" / "scale.md"


def test_what_the_guide_shows(tmp_path: Path) -> None:
    """As a script of a user's, with processes of this machine."""
    section = GUIDE.read_text(encoding="utf-8").split("### A Dask cluster")[1].split("\n### ")[0]
    shown = [block.split("```")[0] for block in section.split("```py\n")[1:]]
    assert len(shown) == 2
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(40, 10, 400), "hours": rng.normal(38, 5, 400)})
    frame["income"] = np.where(frame["age"] > 40, "high", "low")
    (tmp_path / "table").mkdir()
    for k in range(4):
        frame.iloc[100 * k : 100 * k + 100].to_parquet(tmp_path / "table" / f"part.{k}.parquet")
    script = "if __name__ == '__main__':\n" + textwrap.indent("\n".join(shown), "    ")
    script = script.replace("random_state=0", "'fast', random_state=0")  # the same, sooner
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    said = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    assert "high" in said.stdout and (cr.load_run(tmp_path / "runs" / "income").predict(frame) == frame["income"]).all()


@pytest.mark.skipif(os.name == "nt", reason="SIGINT is of POSIX")
def test_an_interrupt_frees_the_workers(client: Any) -> None:
    data, target = arrays((400, 500, 400))
    timer = threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    endless = chainrule.dask.MLPClassifier((8,), max_iter=10**7, tol=0, n_iter_no_change=10**7)
    with pytest.raises(KeyboardInterrupt):
        endless.fit(data, target, client=client)
    model = chainrule.dask.MLPClassifier((8,), max_iter=2, random_state=0).fit(data, target, client=client, timeout=5)
    assert model.n_iter_ == 2
