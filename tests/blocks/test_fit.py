"""Networks trained on data that are read block by block."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.blocks import stored as storing

SMALL = 1 << 14
"""Bytes of data that are held: far fewer than there are."""
M, N = 3_000, 6


def data(m: int = M) -> tuple[Any, Any]:
    """Sorted by the label."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((m, N))
    y = (X[:, 0] + 2 * rng.standard_normal(m) > 0).astype(np.int64)
    order = np.argsort(y, kind="stable")
    return X[order], y[order]


def network(**options: Any) -> cr.Network:
    layers = [cr.Dense(8, "tanh"), *options.pop("more", ()), cr.Dense(2, "softmax")]
    return cr.Network(N, layers, "cross_entropy", engine="reference", **options)


def fitted(*given: Any, net: cr.Network | None = None, **options: Any) -> dict[str, Any]:
    net = net or network()
    net.fit(*given, **{"epochs": 2, "batch_size": 50, "verbose": False, **options})
    return {name: array.copy() for name, array in net.parameters.items()}


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def stream(X: Any, y: Any, rows: int) -> Iterator[tuple[Any, Any]]:
    for first in range(0, len(X), rows):
        yield X[first : first + rows], y[first : first + rows]


def mapped(X: Any, y: Any, folder: Path) -> tuple[Any, Any]:
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    return np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "y.npy", mmap_mode="r")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where data are laid out."""
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "laid"))
    return tmp_path / "laid" / "blocks"


def test_data_that_are_small_train_to_the_bits_of_arrays(tmp_path: Path) -> None:
    X, y = data()
    wanted = fitted(X, y)
    assert same(wanted, fitted(lambda: stream(X, y, 77)))
    assert same(wanted, fitted(stream(X, y, 1000)))
    assert same(wanted, fitted(cr.Blocks(*mapped(X, y, tmp_path))))
    assert same(wanted, fitted(*mapped(X, y, tmp_path)))


def test_how_the_data_come_does_not_matter(tmp_path: Path, place: Path) -> None:
    X, y = data()
    with cr.Blocks(*mapped(X, y, tmp_path), memory=SMALL) as blocks:
        wanted = fitted(blocks)
        assert same(wanted, fitted(blocks)), "laid out once, trained on twice"
    assert not same(wanted, fitted(X, y))
    assert same(wanted, fitted(cr.Blocks(lambda: stream(X, y, 77), memory=SMALL)))
    assert same(wanted, fitted(cr.Blocks(stream(X, y, 1000), memory=SMALL)))
    assert same(wanted, fitted(cr.Blocks(np.asfortranarray(X), y, memory=SMALL)))
    assert list(place.iterdir()) == []


def test_a_large_memory_mapped_array_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = data()
    wanted = fitted(cr.Blocks(*mapped(X, y, tmp_path), memory=SMALL))
    monkeypatch.setattr("chainrule.blocks.given.MEMORY", SMALL)
    assert same(wanted, fitted(*mapped(X, y, tmp_path)))


def test_sorted_data_converge_as_shuffled_ones() -> None:
    X, y = data()

    def cost(*given: Any, **options: Any) -> float:
        net = network()
        fitted(*given, net=net, epochs=3, optimizer=cr.SGD(0.5), **options)
        return net.cost(X, y)

    wanted = cost(X, y)
    assert cost(cr.Blocks(lambda: stream(X, y, 500), memory=SMALL)) == pytest.approx(wanted, rel=0.02)
    assert cost(X, y, shuffle=False) > 1.2 * wanted, "the order is of the kind that does not converge by itself"


def test_in_the_order_of_the_data_it_is_as_arrays_in_that_order() -> None:
    X, y = data()
    wanted = fitted(X, y, shuffle=False)
    assert same(wanted, fitted(cr.Blocks(lambda: stream(X, y, 500), memory=SMALL), shuffle=False))
    assert same(wanted, fitted(cr.Blocks(X, y, memory=SMALL), shuffle=False))


def test_batch_normalisation_has_no_batch_of_one() -> None:
    X, y = data(1025)
    net = network(more=[cr.BatchNorm()])
    with pytest.warns(cr.DataWarning, match="leave one over"):
        wanted = fitted(X, y, net=network(more=[cr.BatchNorm()]), shuffle=False, batch_size=64)
    with pytest.warns(cr.DataWarning, match="leave one over"):
        assert same(wanted, fitted(cr.Blocks(X, y, memory=1 << 12), net=net, shuffle=False, batch_size=64))


def test_weights_count_as_they_do_for_arrays() -> None:
    X, y = data()
    w = np.where(np.arange(M) < 2000, 0.0, 1.0 + np.arange(M) % 2)  # the first blocks count nothing
    for memory in (SMALL, 1 << 20):
        net, other = network(), network()
        wanted = fitted(X, y, net=net, sample_weight=w, shuffle=False)
        assert same(wanted, fitted(cr.Blocks(X, y, w, memory=memory), net=other, shuffle=False))
        assert [r.cost for r in net.history] == pytest.approx([r.cost for r in other.history], rel=1e-12)
        with pytest.raises(cr.DataError, match="0 everywhere"):
            fitted(cr.Blocks(X, y, w * 0, memory=memory))


def test_several_inputs_and_values() -> None:
    rng = np.random.default_rng(0)
    given = {"a": rng.standard_normal((2000, 3)), "word": rng.integers(0, 5, (2000, 1))}
    Y = given["a"][:, :1] + given["word"]

    def net() -> cr.Network:
        branches = cr.Branches([cr.Take("a")], [cr.Take("word"), cr.Embedding(dimension=2)])
        return cr.Network({"a": 3, "word": [5]}, [branches, cr.Dense(1)], "squared_error", engine="reference")

    wanted = fitted(given, Y, net=net(), shuffle=False)
    assert same(wanted, fitted(cr.Blocks(given, Y, memory=SMALL), net=net(), shuffle=False))


class Stop(cr.Callback):
    """Ends a fit as Ctrl-C does, after so many steps."""

    looks = writes = False

    def __init__(self, at: int) -> None:
        self.at = at

    def next_stop(self, step: int) -> int | None:
        return self.at if step < self.at else None

    def on_batches_end(self, fit: cr.FitState) -> None:
        if fit.step >= self.at:
            self.at = 10**9
            raise KeyboardInterrupt


class Idle(Stop):
    """Does nothing, under the name that the checkpoint knows."""


@pytest.mark.parametrize("at", [1, 7, 59, 60, 61, 100])
def test_a_fit_that_was_interrupted_goes_on_to_the_same_bits(at: int, tmp_path: Path) -> None:
    X, y = data()
    wanted = fitted(cr.Blocks(X, y, memory=SMALL))
    options = {"checkpoint": tmp_path / "kept", "resume": True}
    with pytest.raises(KeyboardInterrupt):
        fitted(cr.Blocks(X, y, memory=SMALL), callbacks=[Stop(at)], **options)
    assert same(wanted, fitted(cr.Blocks(X, y, memory=SMALL), callbacks=[Stop(10**9)], **options))
    with pytest.raises(cr.DataError, match="other data"):
        fitted(cr.Blocks(X * 2, y, memory=SMALL), callbacks=[Stop(10**9)], **options)


def test_what_is_kept_is_used_again_and_known_by_its_files(tmp_path: Path) -> None:
    X, y = data()
    files, kept = mapped(X, y, tmp_path), tmp_path / "kept"

    def blocks() -> cr.Blocks:
        return cr.Blocks(*files, memory=SMALL, cache=kept)

    wanted = fitted(blocks())
    (folder,) = kept.iterdir()
    assert sorted(f.name for f in folder.iterdir()) == ["X.npy", "about.json", "y.npy"]
    laid = np.load(folder / "X.npy")
    assert laid.dtype == np.float32 and np.array_equal(np.sort(laid, axis=0), np.sort(X.astype(np.float32), axis=0))
    before = (folder / "X.npy").stat().st_mtime_ns
    assert same(wanted, fitted(blocks()))
    assert (folder / "X.npy").stat().st_mtime_ns == before
    fitted(blocks(), net=network(dtype="float64"))
    assert len(list(kept.iterdir())) == 2, "another dtype is laid out anew"
    (folder / "y.npy").write_bytes(b"")  # what is damaged is not used
    with pytest.raises(cr.DataError, match="holds something else"):
        fitted(blocks())


def test_a_block_that_does_not_fit_is_named_and_nothing_is_left(place: Path) -> None:
    X, y = data()
    net = network()
    before = {name: array.copy() for name, array in net.parameters.items()}
    bad = X.copy()
    bad[2345, 3] = np.nan
    with pytest.raises(cr.DataError, match=r"Block 24 of the stream of blocks \(from row 2,300\): X must be finite"):
        fitted(cr.Blocks(lambda: stream(bad, y, 100), memory=SMALL), net=net)
    with pytest.raises(cr.DataError, match=r"Block 3 .*6 columns.* Got 5"):
        fitted(cr.Blocks(iter([(X, y), (X, y), (X[:, :5], y)]), memory=SMALL), net=net)
    with pytest.raises(cr.DataError, match=r"blocks are of several kinds.*y int64.*Y float32"):
        fitted(cr.Blocks(iter([(X, y), (X, y), (X, np.eye(2)[y])]), memory=SMALL), net=net)
    with pytest.raises(cr.DataError, match="Each block must be"):
        fitted(lambda: [X], net=net)
    with pytest.raises(cr.DataError, match="is empty"):
        fitted(list, net=net)
    with pytest.raises(cr.ArgumentError, match=r"Network\.fit needs y"):
        fitted(X, net=net)
    once = cr.Blocks(stream(X, y, 100), memory=SMALL)
    fitted(once)
    fitted(once)
    with pytest.raises(cr.DataError, match="come once"):
        fitted(once, shuffle=False)
    once.close()
    assert same(before, dict(net.parameters))
    assert not place.exists() or list(place.iterdir()) == []


def test_data_that_change_meanwhile_are_refused(tmp_path: Path, place: Path) -> None:
    X, y = data()
    files = mapped(X, y, tmp_path)
    blocks = cr.Blocks(*files, memory=SMALL)
    os.utime(tmp_path / "X.npy", ns=(1, 1))
    with pytest.raises(cr.DataError, match="was changed while it was read"):
        fitted(blocks)
    assert not place.exists() or list(place.iterdir()) == []


def test_a_full_disk_is_said_before_and_while_it_fills(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    X, y = data()
    full = type("Usage", (), {"free": 1 << 20})
    with monkeypatch.context() as patch:
        patch.setattr(storing.shutil, "disk_usage", lambda place: full)
        with pytest.raises(cr.DataError, match=r"0\.00 GB are free\. Make room"):
            fitted(cr.Blocks(X, y, memory=SMALL))

    def write(self: Any, name: str, first: int, rows: Any, _before: Any = storing.Draft.write) -> None:
        if first > 1000:
            raise self._fault(OSError(28, "No space left on device"))
        _before(self, name, first, rows)

    net = network()
    before = {name: array.copy() for name, array in net.parameters.items()}
    monkeypatch.setattr(storing.Draft, "write", write)
    with pytest.raises(cr.DataError, match="cannot be laid out there: no space left on device"):
        fitted(cr.Blocks(X, y, memory=SMALL), net=net)
    assert same(before, dict(net.parameters)) and list(place.iterdir()) == []


def test_rows_that_go_while_they_are_trained_on_leave_the_network_as_of_the_last_batch(tmp_path: Path) -> None:
    X, y = data()
    kept = tmp_path / "kept"

    class Cut(cr.Callback):
        looks = writes = False

        def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
            (folder,) = kept.iterdir()
            os.truncate(folder / "X.npy", 1000)

    net, one = network(), network()
    with pytest.raises(cr.DataError, match="became fewer"):
        fitted(cr.Blocks(*mapped(X, y, tmp_path), memory=SMALL, cache=kept), net=net, callbacks=[Cut()])
    fitted(cr.Blocks(X, y, memory=SMALL), net=one, epochs=1)
    assert same(dict(net.parameters), dict(one.parameters))


def test_it_is_said_how_much_is_laid_out_and_where(capsys: Any, place: Path) -> None:
    X, y = data()
    fitted(cr.Blocks(X, y, memory=SMALL), verbose=True)
    assert capsys.readouterr().err.startswith(f"X is laid out in {place}, 3,000 rows that take 0.00 GB there\n")
    fitted(cr.Blocks(X, y, memory=SMALL))
    assert capsys.readouterr().err == ""


KILLED = """
import sys, numpy as np, chainrule as cr
def blocks():
    for k in range(10**9):
        print(k, flush=True)
        yield np.ones((1000, 4)), np.zeros(1000, int)
cr.Network(4, [cr.Dense(2, "softmax")], "cross_entropy").fit(cr.Blocks(blocks, memory=1 << 14), epochs=1)
"""


@pytest.mark.long
def test_a_process_that_is_killed_leaves_no_file(place: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 100:
            pass
        assert place.exists()
        process.kill()
    assert list(place.iterdir()) == []


def test_settings_that_cannot_be() -> None:
    X, y = data()
    with pytest.raises(cr.SpecError, match="memory must be a whole number of bytes"):
        cr.Blocks(X, y, memory=3)
    with pytest.raises(cr.SpecError, match="cache must be a folder"):
        cr.Blocks(X, y, cache=3)
    with pytest.raises(cr.DataError, match="memory-mapped array"):
        cr.Blocks(17)
    with pytest.raises(cr.DataError, match="need y"):
        cr.Blocks(X)
    with pytest.raises(cr.DataError, match="one row per sample"):
        cr.Blocks(X, y[1:])
    with pytest.raises(cr.SpecError, match="Blocks bring their targets"):
        fitted(cr.Blocks(X, y), y)
    assert repr(cr.Blocks(X, y, memory=SMALL)) == "Blocks(X, 3,000 rows, memory=16,384)"
