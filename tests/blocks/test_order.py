"""Which row is trained on when: a function of (seed, epoch, step), the same however an epoch is gone through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chainrule.blocks.lay import laid_out
from chainrule.blocks.order import BlockOrder
from chainrule.blocks.scatter import Scatter
from chainrule.blocks.stored import Stored
from chainrule.blocks.windows import Windows


def stored(rows: int, place: Path, memory: int = 1 << 12, shuffle: bool = True) -> Stored:
    """Rows that say which they are, 8 bytes each."""
    data = {"X": np.arange(rows, dtype=np.float32)[:, None], "w": np.arange(rows, dtype=np.float32)[:, None] % 3}
    held = laid_out([data], rows, what="X", memory=memory, shuffle=shuffle, place=place, keep=None, told=dict)
    assert isinstance(held, Stored)
    return held


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("rows", "batch"), [(1000, 7), (1025, 64), (2049, 2048), (769, 1)])
def test_an_epoch_has_every_row_once_in_the_order_that_is_said(
    rows: int, batch: int, shuffle: bool, tmp_path: Path
) -> None:
    windows = Windows.of(stored(rows, tmp_path, shuffle=shuffle), (5, 1), shuffle)
    for epoch in (1, 2):
        order = windows.order
        seen = []
        for data, within in windows.parts(epoch, batch):
            seen.append(data["X"][within, 0].copy())
        assert all(len(part) % batch == 0 for part in seen[:-1])
        came = np.concatenate(seen)
        assert np.array_equal(np.sort(came), np.arange(rows))
        disk = np.concatenate([some["X"][:, 0] for some in windows.stored.all_of(100)])
        steps = -(-rows // batch)
        for step in {0, 1, steps // 2, steps - 1} & set(range(steps)):
            wanted = disk[order.batch(epoch, step, batch)]
            assert np.array_equal(came[step * batch : (step + 1) * batch], wanted)
        assert shuffle != np.array_equal(came, np.arange(rows))
    windows.close()


def test_epochs_and_seeds_differ_and_are_the_same_again() -> None:
    order = BlockOrder((3, 1), rows=1000, block=10, span=4)
    first = order.batch(1, 0, 40)
    assert np.array_equal(first, BlockOrder((3, 1), 1000, 10, 4).batch(1, 0, 40))
    others = [order.batch(2, 0, 40), BlockOrder((4, 1), 1000, 10, 4).batch(1, 0, 40), order.batch(1, 1, 40)]
    assert not any(np.array_equal(first, other) for other in others)
    # The windows of an epoch are not permuted alike, nor the blocks as the rows.
    assert not np.array_equal(order.within(1, 0, 40), order.within(1, 1, 40))


@pytest.mark.parametrize("batch", [7, 64, 300, 700])
def test_what_is_skipped_is_not_read_and_the_rest_is_the_same(batch: int, tmp_path: Path) -> None:
    windows = Windows.of(stored(1500, tmp_path), (5, 1), shuffle=True)
    whole = np.concatenate([data["X"][within, 0] for data, within in windows.parts(1, batch)])
    steps = -(-1500 // batch)
    for skip in range(0, steps + 1, max(1, steps // 9)):
        done, rest = 0, []
        for data, within in windows.parts(1, batch, skip):
            first = max(0, skip * batch - done)
            done += len(within)
            rest.append(data["X"][within[first:], 0].copy() if first < len(within) else np.empty(0))
        assert np.array_equal(np.concatenate(rest), whole[skip * batch :])
    windows.close()


def test_no_part_is_a_row_alone(tmp_path: Path) -> None:
    held = stored(513, tmp_path)
    assert held.rows % (held.block * 32) == 1, "the last window has one row"
    windows = Windows.of(held, (0, 1), shuffle=False)
    for batch in (1, 8, 256, 512):
        assert min(len(within) for _, within in windows.parts(1, batch)) > 1
    windows.close()


def test_weights_of_batches_are_summed_in_the_order_of_the_epoch(tmp_path: Path) -> None:
    windows = Windows.of(stored(1300, tmp_path), (5, 1), shuffle=True)
    places = np.arange(0, 1300, 77)
    whole = np.concatenate([data["w"][within, 0] for data, within in windows.parts(2, 77)])
    sums = windows.weight_sums(2, places)
    assert sums is not None and np.array_equal(sums, np.add.reduceat(whole.astype(np.float64), places))
    windows.close()


@pytest.mark.parametrize("most", [10**9, 10])
def test_every_block_is_a_sample_of_all_rows(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the rows come, sorted say: of half the rows each block has about half of its own."""
    monkeypatch.setattr("chainrule.blocks.scatter.MOST", most)
    scatter, places = Scatter(4000, 100), np.full(4000, -1)
    for first in range(0, 4000, 500):
        order, pieces = scatter.deal(500)
        for begin, end, at in pieces:
            places[first + order[begin:end]] = np.arange(at, at + end - begin)
    assert np.array_equal(np.sort(places), np.arange(4000))
    of_the_first_half = np.bincount(places[:2000] // 100, minlength=40)
    assert np.abs(np.diff(places[:500] // 100)).mean() > 5, "neighbours go apart"
    # Hypergeometric: a deviation of 4.9 around 50.
    assert of_the_first_half.min() > 25 and of_the_first_half.max() < 75
    assert 3 < of_the_first_half.std() < 7
