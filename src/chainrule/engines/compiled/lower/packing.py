"""The code of packing: a factor's bfloat16 parts in the words that a product of parts reads.

Whoever makes a value packs it (`Stage.packs`): the data block by block, a product some rows of a lane panel at a time,
a weight's update the rows of a tile; other values of the samples a lane panel at a time.  What cannot be packed so has
a stage of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.engines.compiled.kernels.inner import Dots, kernel_for
from chainrule.engines.compiled.kernels.parts import (
    first_lanes,
    neighbours_of_one,
    pack_lines,
    pack_pairs,
    pack_pairs_of_rows,
    pack_rows_of_lanes,
    pack_turned,
    pad_lines,
    store_neighbours,
    store_pair,
    words_of,
)
from chainrule.engines.compiled.kernels.tile import Group, Tile
from chainrule.engines.compiled.lower.frame import Frame
from chainrule.engines.compiled.plan.stages import Pack, Packing
from chainrule.engines.llvm.emit import Int, Value


def pack(frame: Frame, stage: Pack) -> None:
    """Emits the stage."""
    f, layout, packing = frame.f, frame.layout, stage.packing
    kernel, groups = _kernel(frame, packing), packing.groups
    values, to = frame.addresses[packing.symbol.name], frame.addresses[packing.name]
    rows, columns = packing.symbol.shape[0], int(packing.symbol.shape[1])
    if packing.symbol.batched:
        _lane_panels(frame, packing, *frame.share(frame.panels))
    elif packing.form == "lanes":
        lo, hi = frame.share(layout.panels(columns) * int(rows))
        there, whole = columns % layout.panel, columns // layout.panel * int(rows)
        pack_rows_of_lanes(f, kernel, values=values, to=to, lo=lo, hi=f.imin(hi, whole))
        if there:
            lo = f.imax(lo, whole)
            pack_rows_of_lanes(f, kernel, values=values, to=to, lo=lo, hi=hi, there=there)
    elif packing.form == "rows":
        lo, hi = frame.share(layout.panels(columns))
        pack_pairs_of_rows(f, kernel, weight=values, to=to, k=int(rows) // groups, groups=groups, lo=lo, hi=hi)
    else:
        k = int(rows) // groups
        lo, hi = frame.share(groups * layout.panels(k))
        pack_turned(f, kernel, weight=values, to=to, k=k, n=columns, groups=groups, lo=lo, hi=hi)


def _kernel(frame: Frame, packing: Packing) -> Dots:
    kernel = kernel_for(frame.layout, packing.parts)
    assert isinstance(kernel, Dots)
    return kernel


def _lane_panels(frame: Frame, packing: Packing, lo: Int, hi: Int) -> None:
    """The lane panels [lo, hi) of a batch value."""
    f, kernel, columns = frame.f, _kernel(frame, packing), int(packing.symbol.shape[1])
    values, to = frame.addresses[packing.symbol.name], frame.addresses[packing.name]
    if packing.form == "lines":
        groups = packing.groups
        pack_lines(f, kernel, values=values, to=to, n=columns // groups, groups=groups, lo=lo, hi=hi)
    else:
        pack_rows_of_lanes(f, kernel, values=values, to=to, lo=f.mul(lo, columns), hi=f.mul(hi, columns))


def pack_panel(frame: Frame, packs: Sequence[Packing], panel: Int) -> None:
    """What a stage has just made of a lane panel."""
    for packing in packs:
        _lane_panels(frame, packing, panel, frame.f.add(panel, 1))


def pack_rows_of(frame: Frame, packs: Sequence[Packing], tile: Tile) -> None:
    """Rows of a lane panel, features, that a product has just made."""
    f, layout, NR = frame.f, frame.layout, frame.layout.panel
    for packing in packs:
        kernel, n = _kernel(frame, packing), int(packing.symbol.shape[1])
        values, to = frame.addresses[packing.symbol.name], frame.addresses[packing.name]
        if packing.form == "lanes":
            first = f.udiv(tile.offset, NR)
            pack_rows_of_lanes(f, kernel, values=values, to=to, lo=first, hi=f.add(first, tile.rows))
            continue
        lines = f.at(to, (tile.panel, kernel.stored_lines(n) * kernel.line), type=layout.real)
        rows = f.at(values, tile.offset, type=layout.real)
        begin = f.at(lines, (f.udiv(tile.i, 2), kernel.line), type=layout.real)
        pack_pairs(f, kernel, rows=rows, to=begin, count=tile.rows)
        _pad(frame, kernel, lines, n, f.add(tile.i, tile.rows))


def _pad(frame: Frame, kernel: Dots, lines: Value, n: int, end: Int) -> None:
    """Zeros past the last of n features, by whoever packs up to it."""
    f = frame.f
    if kernel.stored_lines(n) == -(-n // kernel.steps):
        return
    if isinstance(end, int):
        if end == n:
            pad_lines(f, kernel, to=lines, n=n)
    else:
        f.if_(f.icmp("eq", end, n), lambda: pad_lines(f, kernel, to=lines, n=n))


def pack_weights(frame: Frame, packing: Packing, tile: Tile, rows: Sequence[Sequence[Value]], group: Group) -> None:
    """A tile of an updated weight; rows: its vectors.  The tile's first row is an even one of its group."""
    f, layout, NR = frame.f, frame.layout, frame.layout.panel
    kernel, to = _kernel(frame, packing), frame.addresses[packing.name]
    if packing.form == "lanes":
        at = f.at(to, (f.udiv(tile.offset, NR), kernel.row), type=layout.real)
        columns = int(packing.symbol.shape[1])
        for r, row in enumerate(rows):
            if columns % NR:
                row = first_lanes(f, layout, row, f.sub(columns, f.mul(tile.panel, NR)))
            store_neighbours(f, kernel, row, f.at(at, r * kernel.row, type=layout.real))
        return
    k = int(packing.symbol.shape[0]) // packing.groups
    lines = kernel.lines(k)
    first = f.udiv(f.sub(tile.i, f.mul(group.number, k)), 2)
    panel = f.add(f.mul(tile.panel, packing.groups), group.number)
    at = f.at(to, (panel, lines * kernel.line), (first, kernel.line), type=layout.real)
    for r in range(0, len(rows), 2):
        high = rows[r + 1] if r + 1 < len(rows) else ()
        store_pair(f, kernel, rows[r], high, f.at(at, r // 2 * kernel.line, type=layout.real))


def pack_block(frame: Frame, packing: Packing, panel: Int, v: int, j: Int, columns: Sequence[Value]) -> None:
    """Columns j, j + 1, ... of the data, those of the v-th vector of a lane panel; j is even where lines are made."""
    f, layout, n = frame.f, frame.layout, int(packing.symbol.shape[1])
    kernel, to, size = _kernel(frame, packing), frame.addresses[packing.name], layout.lanes * layout.itemsize
    if packing.form == "lanes":
        row = f.at(to, (panel, n * kernel.row), (j, kernel.row), v * layout.lanes // 2, type=layout.real)
        for c, column in enumerate(columns):
            for part, words in enumerate(neighbours_of_one(f, kernel, column)):
                f.store(words, row, c * kernel.row + part * kernel.span, size // 2)
        return
    lines = f.at(to, (panel, kernel.stored_lines(n) * kernel.line), type=layout.real)
    at = f.at(lines, (f.udiv(j, 2), kernel.line), v * layout.lanes, type=layout.real)
    for c in range(0, len(columns), 2):
        for part, words in enumerate(words_of(f, kernel, columns[c], columns[c + 1])):
            f.store(words, at, c // 2 * kernel.line + part * layout.panel, size)


def pad_data(frame: Frame, packs: Sequence[Packing], panel: Int, end: Int) -> None:
    """What follows the last features of a lane panel of the data, by whoever has them: columns up to `end`."""
    f, layout = frame.f, frame.layout
    for packing in packs:
        if packing.form == "lines":
            kernel, n = _kernel(frame, packing), int(packing.symbol.shape[1])
            lines = f.at(frame.addresses[packing.name], (panel, kernel.stored_lines(n) * kernel.line), type=layout.real)
            _pad(frame, kernel, lines, n, end)
