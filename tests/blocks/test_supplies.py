"""Whatever data larger than memory come in, they are the same data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.blocks.test_fit import SMALL, M, N, data, fitted, mapped, network, place, same, stream  # noqa: F401

import chainrule as cr

pa = pytest.importorskip("pyarrow")
pl = pytest.importorskip("polars")


def frame() -> Any:
    X, y = data()
    return pl.DataFrame({**{f"x{k}": X[:, k] for k in range(N)}, "y": y})


def given(kind: str, folder: Path) -> tuple[Any, ...]:
    """The data as that kind."""
    X, y = data()
    table, path = frame(), folder / "table.parquet"
    if kind in ("parquet", "data set", "polars", "narwhals"):
        table.write_parquet(path, row_group_size=700)
    match kind:
        case "npy":
            mapped(X, y, folder)
            return folder / "X.npy", folder / "y.npy"
        case "parquet":
            return path, "y"
        case "data set":
            from pyarrow import dataset

            return dataset.dataset(path), "y"
        case "polars":
            return pl.scan_parquet(path), "y"
        case "narwhals":
            import narwhals

            return narwhals.from_native(table.lazy()), "y"
    (folder / "many").mkdir()
    for number, (some, of) in enumerate(stream(X, y, 900)):
        if kind == "archives":
            np.savez_compressed(folder / "many" / f"{number}.npz", X=some, y=of)
        elif kind == "arrays":
            np.save(folder / "many" / f"X-{number}.npy", some)
            np.save(folder / "many" / f"y-{number}.npy", of)
        else:
            table[900 * number : 900 * (number + 1)].write_parquet(folder / "many" / f"{number}.parquet")
    return (folder / "many", "y") if kind == "parquets" else (folder / "many",)


def assert_alike(a: tuple[float, str, float], b: tuple[float, str, float], rel: float = 1e-6) -> None:
    assert a[1] == b[1] and (a[0], a[2]) == pytest.approx((b[0], b[2]), rel=rel)


KINDS = ["npy", "parquet", "data set", "polars", "narwhals", "archives", "arrays", "parquets"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_is_the_same_data(kind: str, tmp_path: Path, place: Path) -> None:  # noqa: F811
    X, y = data()
    net = network()
    made = given(kind, tmp_path)
    assert same(fitted(X, y), fitted(*made, net=net))
    assert net.feature_names == (None if kind in ("npy", "archives", "arrays") else tuple(f"x{k}" for k in range(N)))
    wanted = fitted(cr.Blocks(X, y, memory=SMALL))
    assert same(wanted, fitted(cr.Blocks(*made, memory=SMALL)))
    assert not place.exists() or list(place.iterdir()) == []
    assert np.array_equal(net.predict(X), net.predict(made[0]))
    assert_alike(net.evaluate(*made), net.evaluate(X, y))


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    X, y = data()
    table = frame().with_columns(pl.lit("text").alias("note"), pl.lit(2.0).alias("w"))
    table.select(reversed(table.columns)).write_parquet(tmp_path / "t.parquet")
    path = tmp_path / "t.parquet"
    columns = [f"x{k}" for k in range(N)]
    net = network()
    assert same(
        fitted(X, y, sample_weight=np.full(M, 2.0)), fitted(cr.Blocks(path, "y", "w", columns=columns), net=net)
    )
    assert np.array_equal(net.predict(path), net.predict(X))
    with pytest.raises(cr.DataError, match=r"'note' \(.*string.*\) do not.*columns=\[\.\.\.\]"):
        fitted(path, "y")
    frame().drop("x3").write_parquet(path)
    with pytest.raises(cr.DataError, match="'x3'"):
        net.predict(path)


def test_validation_data_and_predictions_come_in_blocks_too(tmp_path: Path) -> None:
    X, y = data()
    net, other = network(), network()
    wanted = fitted(X, y, net=net, validation_data=(X, y))
    files = mapped(X, y, tmp_path)
    assert same(wanted, fitted(X, y, net=other, validation_data=cr.Blocks(*files)))
    assert [r.validation_cost for r in net.history or ()] == [r.validation_cost for r in other.history or ()]
    with pytest.raises(cr.DataError, match="validation_data: X must fit into memory"):
        fitted(X, y, validation_data=cr.Blocks(*files, memory=SMALL))
    wanted_ = net.predict(X)
    for blocks in (cr.Blocks(*files, memory=SMALL), (some for some, _ in stream(X, y, 77)), lambda: stream(X, y, 77)):
        assert np.allclose(wanted_, net.predict(blocks), rtol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("penalty_per", ["sample", "weight"])
def test_the_cost_of_blocks_is_the_cost_of_all(reduction: Any, penalty_per: Any) -> None:
    X, y = data()
    w = np.where(np.arange(M) < 1000, 0.0, 0.5 + np.arange(M) % 3)
    net = network(l1=3.0, l2=5.0, reduction=reduction, penalty_per=penalty_per, dtype="float64")
    for weights in (None, w):
        blocks = cr.Blocks(X, y, weights, memory=SMALL)
        assert_alike(net.evaluate(blocks), net.evaluate(X, y, sample_weight=weights), rel=1e-9)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    X, y = data()

    def says(path: Path, match: str, *rest: Any) -> None:
        with pytest.raises(cr.DataError, match=match):
            fitted(cr.Blocks(path, *rest, memory=SMALL))

    says(tmp_path / "absent.parquet", "no file or folder .*absent.parquet", "y")
    says(tmp_path, "there is no Parquet file in the folder", "y")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    says(tmp_path / "t.csv", "must be a Parquet file", "y")
    (tmp_path / "t.parquet").write_bytes(b"no")
    says(tmp_path / "t.parquet", "t.parquet: cannot be read", "y")
    frame().write_parquet(tmp_path / "good.parquet")
    says(tmp_path / "good.parquet", "y must be the name of a column")
    says(tmp_path / "good.parquet", "Unknown column 'z'", "z")
    frame().with_columns(x1=pl.when(pl.col("x0") < 2).then(1.0)).write_parquet(tmp_path / "gaps.parquet")
    says(tmp_path / "gaps.parquet", "gaps.parquet: the column 'x1' has no value in row 12", "y")
    np.savez(tmp_path / "half.npz", X=X)
    says(tmp_path / "half.npz", "there is no array 'y' in the archive. There is: X")
    np.savez(tmp_path / "odd.npz", X=X, y=y[1:])
    says(tmp_path / "odd.npz", "y.npy has 2,999 rows, and X has 3,000")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "odd.npz").read_bytes()[:999])
    says(tmp_path / "cut.npz", "is no sound file of NumPy's")
    np.save(tmp_path / "F.npy", np.asfortranarray(X))
    (tmp_path / "many").mkdir()
    np.save(tmp_path / "many" / "X-1.npy", np.asfortranarray(X))
    says(tmp_path / "many", "there is no y-1.npy beside X-1.npy")
    np.save(tmp_path / "many" / "y-1.npy", y)
    says(tmp_path / "many", "its columns one after the other")
    np.savez(tmp_path / "many" / "a.npz", X=X, y=y)
    says(tmp_path / "many", "keep those of one kind there")
    says(tmp_path / "many", "keep those of one kind there")
    says(tmp_path / "odd.npz", "brings its targets", "y")


def test_a_query_that_fails_is_said_and_leaves_nothing(place: Path) -> None:  # noqa: F811
    lazy = frame().lazy().with_columns(x0=pl.col("absent"))
    with pytest.raises(cr.DataError, match=r"lazy frame cannot be collected: .*absent"):
        fitted(lazy, "y")
    assert not place.exists() or list(place.iterdir()) == []
