"""The code that meets the user's own arrays: gathering rows, looking up embeddings, handing results out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

from chainrule.engines.compiled.kernels.nonzero import nonzero_of_panels, nonzero_of_tiles
from chainrule.engines.compiled.lower.frame import Frame
from chainrule.engines.compiled.lower.packing import pack_block, pack_panel, pad_data
from chainrule.engines.compiled.plan.memory import Word, size_of, width
from chainrule.engines.compiled.plan.stages import Load, Lookup, Nonzero, Packing, Scatter
from chainrule.engines.llvm.emit import Int, Value
from chainrule.program.equation import Equation
from chainrule.program.op import AtRows, Gather, ScatterAdd
from chainrule.program.symbol import Symbol

LINE = 64
"""Bytes of a line of the caches."""
NEAR = 256
"""Bytes of a row up to which the rows of the next batch are asked for ahead: of longer ones the processor itself does
it, after their first lines."""


def row_of(frame: Frame, sample: Int) -> Value:
    """The index in the user's arrays of a sample of this batch; past the end, of its last one."""
    f = frame.f
    inside = f.imin(f.value(sample), f.sub(f.value(frame.part.m), 1))
    return f.load("i64", f.at(frame.words[Word.ORDER], f.add(frame.part.base, inside), type="i64"))


def load(frame: Frame, stage: Load) -> None:
    """The batch's rows into lane panels, turned in blocks of as many features as lanes."""
    for symbol in stage.symbols:
        if width(symbol) == 1:
            _load_numbers(frame, symbol)
        else:
            _load_rows(frame, symbol, [p for p in stage.packs if p.symbol == symbol])
    ask_ahead(frame, stage.symbols)


def ask_ahead(frame: Frame, data: Iterable[Symbol]) -> None:
    """Asks for the rows of the next batch, or chunk, where they are short: in a new order each lies somewhere else."""
    f, layout, words = frame.f, frame.layout, frame.words
    sizes = {s.name: width(s) * (8 if s.integers else layout.itemsize) for s in data}
    short = {name: size for name, size in sizes.items() if size <= NEAR}
    if not frame.plan.recipe.training or frame.plan.chunked or not short:
        return
    lo, hi = frame.share_data(frame.panels)
    first = f.add(frame.part.base, f.value(frame.part.m))
    last = f.add(f.mul(f.sub(words[Word.PASSES], 1), words[Word.STRIDE]), f.sub(words[Word.SAMPLES], 1))

    def one(sample: Int) -> None:
        place = f.imin(f.add(first, sample), last)
        row = f.load("i64", f.at(words[Word.ORDER], place, type="i64"))
        for name, size in short.items():
            at = f.at(frame.data(name), (row, size), type="i8")
            for byte in sorted({*range(0, size, LINE), size - 1}) if size > layout.itemsize else [0]:
                f.prefetch(f.at(at, byte, type="i8"))

    f.loop(f.mul(lo, layout.panel), f.mul(hi, layout.panel), one)


def _load_numbers(frame: Frame, symbol: Symbol) -> None:
    """One number a sample: labels (as numbers of the dtype), weights, single targets."""
    f, layout = frame.f, frame.layout
    source, target = frame.data(symbol.name), frame.addresses[symbol.name]
    lo, hi = frame.share_data(frame.panels)

    def one(sample: Int) -> None:
        row = row_of(frame, sample)
        if symbol.integers:
            value = f.convert("sitofp", f.load("i64", f.at(source, row, type="i64")), layout.real)
        else:
            value = f.load(layout.real, f.at(source, row, type=layout.real))
        f.store(value, f.at(target, sample, type=layout.real))

    f.loop(f.mul(lo, layout.panel), f.mul(hi, layout.panel), one)


def _load_rows(frame: Frame, symbol: Symbol, packs: Sequence[Packing]) -> None:
    f, layout = frame.f, frame.layout
    n, lanes, NR = width(symbol), layout.lanes, layout.panel
    source, target = frame.data(symbol.name), frame.addresses.get(symbol.name)
    blocks = n // lanes
    share_blocks = blocks >= 8
    lo, hi = (0, frame.panels) if share_blocks else frame.share_data(frame.panels)
    mine = frame.share_data(blocks) if share_blocks else (0, blocks)

    def group(panel: Int, v: int) -> None:
        start = f.add(f.mul(panel, NR), v * lanes)
        rows = [f.at(source, (row_of(frame, f.add(start, i)), n), type=layout.real) for i in range(lanes)]
        place = None if target is None else f.at(target, (panel, n * NR), v * lanes, type=layout.real)

        def beside(j: Int, columns: list[Value]) -> None:
            for packing in packs:
                pack_block(frame, packing, panel, v, j, columns)

        _turn(frame, rows, n, place, *mine, beside=beside if packs else None)

    def panel_body(panel: Int) -> None:
        for v in range(layout.vectors):
            group(panel, v)
        end = mine[1]
        pad_data(frame, packs, panel, n if isinstance(end, int) else f.select(f.icmp("eq", end, blocks), n, 0))

    f.loop(lo, hi, panel_body)


def _turn(
    frame: Frame,
    rows: list[Value],
    n: int,
    place: Value | None,
    lo: Int,
    hi: Int,
    *,
    grow: bool = False,
    beside: Callable[[Int, list[Value]], None] | None = None,
) -> None:
    """n numbers from each of as many rows as lanes, to n rows of lanes; blocks [lo, hi) of as many features as lanes.

    Features past the last whole block come in a block that overlaps it, and belong to whoever has the last one; fewer
    features than lanes in blocks of a power of two, all of them.  grow: they are added to what is there.  beside: is
    called with the first feature of a block and its columns, of as many as lanes.  place: None where nothing is stored.
    """
    f, layout = frame.f, frame.layout
    lanes, NR = layout.lanes, layout.panel
    wide = min(lanes, 1 << n.bit_length() - 1)
    if wide < lanes:
        lo, hi = 0, n // wide

    def single(j: Int) -> None:
        assert place is not None
        for i, r in enumerate(rows):
            value = f.load(layout.real, f.at(r, j, type=layout.real))
            at = f.at(place, (j, NR), i, type=layout.real)
            f.store(f.fadd(f.load(layout.real, at), value) if grow else value, at)

    if wide == 1:
        f.loop(0, n, single)
        return

    def block(j: Int) -> None:
        vectors = [f.load(f"<{wide} x {layout.real}>", f.at(r, j, type=layout.real)) for r in rows]
        columns = f.transpose(vectors)
        if beside is not None:
            beside(j, columns)
        if place is None:
            return
        to = f.at(place, (j, NR), type=layout.real)
        for k, column in enumerate(columns):
            if grow:
                there = f.load(layout.vector, f.at(to, k * NR, type=layout.real), align=lanes * layout.itemsize)
                column = f.fadd(there, column)
            f.store(column, to, k * NR, lanes * layout.itemsize)

    f.loop(lo, hi, lambda b: block(f.mul(b, wide)))
    if n % wide and grow:  # no feature twice
        f.loop(n // wide * wide, n, single)
    elif n % wide:
        if isinstance(hi, int):
            block(n - wide)
        else:
            f.if_(f.icmp("eq", hi, n // wide), lambda: block(n - wide))


def nonzero(frame: Frame, stage: Nonzero) -> None:
    """The lists of what is not zero in the data."""
    f = frame.f
    for name, form in stage.lists.items():
        placed, values = frame.lists(name), frame.addresses[stage.factors[name]]
        if form == "forward":
            lo, hi = frame.share(frame.panels)
            nonzero_of_panels(f, placed, values=values, lo=lo, hi=hi)
        else:
            lo, hi = frame.share(placed.lists.tiles)
            nonzero_of_tiles(f, placed, values=values, m=frame.part.m, lo=lo, hi=hi)


def lookup(frame: Frame, stage: Lookup) -> None:
    """X0: for each sample the rows of E that its tokens name, side by side; a place at a time, turned like the data."""
    for equation in stage.equations:
        _lookup(frame, equation, [p for p in stage.packs if p.symbol == equation.target])
    ask_ahead(frame, {e.operands[1].name: e.operands[1] for e in stage.equations}.values())


def _lookup(frame: Frame, equation: Equation, packs: Sequence[Packing]) -> None:
    f, layout = frame.f, frame.layout
    op, (table, tokens) = equation.op, equation.operands
    assert isinstance(op, Gather)
    c, d = int(tokens.shape[1]), int(table.shape[1])
    source = frame.data(tokens.name)
    out = frame.addresses[equation.target.name]
    wide, zero = width(equation.target), f.constant(layout.real, 0.0)
    named = NamedRows(frame, op, tokens, int(table.shape[0]))

    def clear(at: Value, zero: Value) -> None:
        f.loop(0, d, lambda e: f.store(zero, f.at(at, (e, layout.panel), type=layout.real)))

    def one(panel: Int) -> None:
        for v in range(layout.vectors):
            start = f.add(f.mul(panel, layout.panel), v * layout.lanes)
            samples = [f.at(source, (row_of(frame, f.add(start, i)), c), type="i64") for i in range(layout.lanes)]
            place = f.at(out, (panel, wide * layout.panel), v * layout.lanes, type=layout.real)

            def at_place(p: Int, samples: list[Value] = samples, place: Value = place) -> None:
                rows, some = zip(*[named.row(s, p) for s in samples], strict=True)
                to = f.at(place, 0 if op.starts else (p, d * layout.panel), type=layout.real)
                _turn_entries(frame, table, list(rows), to, grow=bool(op.starts))
                if op.padding is not None:
                    for lane, meant in enumerate(some):
                        f.if_(f.icmp("eq", meant, 0), functools.partial(clear, f.at(to, lane, type=layout.real), zero))

            if op.starts:
                clear(place, f.constant(layout.vector, 0.0))
            f.loop(0, named.places, at_place)
        pack_panel(frame, packs, panel)

    f.loop(*frame.share(frame.panels), one)


def _turn_entries(frame: Frame, table: Symbol, rows: list[Value], to: Value, *, grow: bool = False) -> None:
    """A table's rows of these numbers, one for each lane, to rows of lanes; grow: added to what is there."""
    f, layout, NR = frame.f, frame.layout, frame.layout.panel
    v, d = (int(n) for n in table.shape)
    start = frame.addresses[table.name]
    if frame.plan.kinds[table.name] == "table":
        _turn(frame, [f.at(start, (row, d), type=layout.real) for row in rows], d, to, 0, d // layout.lanes, grow=grow)
        return

    def panel(q: Int, features: int) -> None:
        entries = [f.at(start, (q, v * NR), (row, NR), type=layout.real) for row in rows]
        _turn(
            frame, entries, features, f.at(to, (q, NR * NR), type=layout.real), 0, features // layout.lanes, grow=grow
        )

    f.loop(0, d // NR, lambda q: panel(q, NR))
    if d % NR:
        panel(d // NR, d % NR)


class NamedRows:
    """The rows of a table that a sample's tokens name.

    The user's array may change while a fit runs: whatever it holds then, it names a row.
    """

    def __init__(self, frame: Frame, op: Gather | ScatterAdd | AtRows, tokens: Symbol, count: int) -> None:
        self.frame, self.op, self.count, self.places = frame, op, count, op.places(tokens)
        self.starts: Value | None = None
        if op.starts:
            f = frame.f
            self.starts = f.alloca("i64", len(op.starts))
            for k, start in enumerate(op.starts):
                f.store(f.constant("i64", start), f.at(self.starts, k, type="i64"))

    def row(self, sample: Value, p: Int) -> tuple[Value, Value]:
        """(the row that place p of the tokens at this address names, whether it is meant: i1)."""
        f, op = self.frame.f, self.op
        token = f.load("i64", f.at(sample, p if op.column is None else op.column, type="i64"))
        meant = f.icmp("ne", token, f.constant("i64", -1 if op.padding is None else op.padding))
        if self.starts is not None:
            token = f.value(f.add(token, f.load("i64", f.at(self.starts, p, type="i64"))))
        return f.intrinsic("umin", token, self.count - 1), meant


def scatter(frame: Frame, stage: Scatter) -> None:
    """dE: the pieces of dX0 added into the rows that the tokens name, on one thread, in an order of its own."""
    for equation in stage.equations:
        frame.alone(_Scatter(frame, equation).run)


class _Scatter:
    """dE: as many samples at a time as lanes; of these place after place, and of each as many columns as lanes, which
    are turned to rows, so that a row of the table grows by vectors.
    """

    def __init__(self, frame: Frame, equation: Equation) -> None:
        assert isinstance(equation.op, ScatterAdd)
        self.frame, self.op = frame, equation.op
        self.pieces, self.tokens = equation.operands
        self.table = equation.target
        self.rows, self.wide = (int(n) for n in self.table.shape)
        self.named = NamedRows(frame, self.op, self.tokens, self.rows)
        self.turned = frame.f.alloca(frame.layout.real, frame.layout.lanes**2)

    def run(self) -> None:
        """The table cleared, unless it grows from chunk to chunk; then all samples."""
        frame, f, lanes = self.frame, self.frame.f, self.frame.layout.lanes
        if frame.part.first is True:
            self.clear()
        else:
            assert isinstance(frame.part.first, Value)
            f.if_(frame.part.first, self.clear)
        f.loop(0, f.udiv(f.add(frame.part.m, lanes - 1), lanes), self.group)

    def clear(self) -> None:
        """0 everywhere."""
        f, layout = self.frame.f, self.frame.layout
        count = size_of(self.table, self.frame.plan.kinds[self.table.name], layout) // layout.lanes
        zero, out = f.constant(layout.vector, 0.0), self.frame.addresses[self.table.name]
        f.loop(0, count, lambda i: f.store(zero, f.at(out, (i, layout.lanes), type=layout.real)))

    def group(self, number: Int) -> None:
        """Some samples, all places of them."""
        f, layout, d = self.frame.f, self.frame.layout, self.wide
        lanes, NR, first = layout.lanes, layout.panel, f.mul(number, layout.lanes)
        features, vectors = int(self.pieces.shape[1]), layout.vectors
        panel, within = f.udiv(number, vectors), f.mul(f.urem(number, vectors), lanes)
        of_panel = f.at(self.frame.addresses[self.pieces.name], (panel, features * NR), within, type=layout.real)

        def place(p: Int) -> None:
            start = of_panel if self.op.starts else f.at(of_panel, (p, d * NR), type=layout.real)
            f.loop(0, d // lanes, lambda c: self.columns(first, p, start, f.mul(c, lanes), lanes))
            if d % lanes:
                self.columns(first, p, start, d // lanes * lanes, d % lanes)

        f.loop(0, self.named.places, place)

    def columns(self, first: Int, p: Int, start: Value, j: Int, count: int) -> None:
        """`count` columns, from the j-th on, of the pieces of a place at `start`, of the samples from `first` on."""
        frame, f, layout = self.frame, self.frame.f, self.frame.layout
        lanes, size = layout.lanes, layout.lanes * layout.itemsize
        columns = f.at(start, (j, layout.panel), type=layout.real)
        lines = [f.load(layout.vector, columns, c * layout.panel, size) for c in range(count)]
        lines += [f.constant(layout.vector, 0.0)] * (lanes - count)
        for lane, line in enumerate(f.transpose(lines) if lanes > 1 else lines):
            f.store(line, self.turned, lane * lanes, size)

        def sample(i: Int) -> None:
            data = frame.data(self.tokens.name)
            tokens = f.at(data, (row_of(frame, f.add(first, i)), int(self.tokens.shape[1])), type="i64")
            row, meant = self.named.row(tokens, p)
            if self.op.padding is None:
                self.grow(row, i, j, count)
            else:
                f.if_(meant, lambda: self.grow(row, i, j, count))

        f.loop(0, f.imin(f.sub(f.value(frame.part.m), first), lanes), sample)

    def grow(self, row: Value, lane: Int, j: Int, count: int) -> None:
        """Adds `count` columns that were turned to a row of the table, from its j-th on: a power of two at a time."""
        f, layout, NR = self.frame.f, self.frame.layout, self.frame.layout.panel
        real, start = layout.real, self.frame.addresses[self.table.name]
        if self.frame.plan.kinds[self.table.name] == "table":
            to = f.at(start, (row, self.wide), j, type=real)
        else:
            q = f.udiv(j, NR)
            to = f.at(start, (q, self.rows * NR), (row, NR), f.sub(j, f.mul(q, NR)), type=real)
        line, done = f.at(self.turned, (lane, layout.lanes), type=real), 0
        while done < count:
            some = 1 << (count - done).bit_length() - 1
            type = f"<{some} x {real}>" if some > 1 else real
            at = f.at(to, done, type=real)
            there = f.load(type, at, align=layout.itemsize)
            f.store(f.fadd(there, f.load(type, line, done, layout.itemsize)), at, align=layout.itemsize)
            done += some


def hand_out(frame: Frame, symbol: Symbol) -> None:
    """A batch value as rows of the result's array, in the order of the samples."""
    n = width(symbol)
    rows_out(frame, symbol, frame.f.at(frame.output(symbol.name), (frame.part.base, n), type=frame.layout.real), n)


def rows_out(frame: Frame, symbol: Symbol, target: Value, stride: int) -> None:
    """A batch value as rows from an address on, so many elements apart."""
    f, layout = frame.f, frame.layout
    n, lanes, NR = width(symbol), layout.lanes, layout.panel
    source = frame.addresses[symbol.name]
    lo, hi = frame.share(frame.panels)
    turned = f.alloca(layout.real, lanes * lanes)

    def group(panel: Int, v: int) -> None:
        start = f.add(f.mul(panel, NR), v * lanes)
        left = f.imin(f.sub(f.value(frame.part.m), start), lanes)
        place = f.at(source, (panel, n * NR), v * lanes, type=layout.real)
        row0 = f.at(target, (start, stride), type=layout.real)

        def block(b: Int) -> None:
            j = f.mul(b, lanes)
            columns = [f.load(layout.vector, f.at(place, (f.add(j, k), NR), type=layout.real)) for k in range(lanes)]
            for k, row in enumerate(f.transpose(columns)):
                f.store(row, turned, k * lanes)
            f.loop(
                0,
                left,
                lambda i: f.store(
                    f.load(layout.vector, f.at(turned, (i, lanes), type=layout.real)),
                    f.at(row0, (i, stride), j, type=layout.real),
                ),
            )

        def rest(j: Int) -> None:
            column = f.at(place, (j, NR), type=layout.real)
            f.loop(
                0,
                left,
                lambda i: f.store(
                    f.load(layout.real, f.at(column, i, type=layout.real)), f.at(row0, (i, stride), j, type=layout.real)
                ),
            )

        f.loop(0, n // lanes, block)
        f.loop(n // lanes * lanes, n, rest)

    def panel_body(panel: Int) -> None:
        for v in range(layout.vectors):
            group(panel, v)

    f.loop(lo, hi, panel_body)
