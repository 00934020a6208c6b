"""The product that sums over the samples: dW = A' dZ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.engines.compiled.kernels import few_features
from chainrule.engines.compiled.kernels.inner import Dots, Kernel, MultiplyAdd, TileProducts, WholeProducts
from chainrule.engines.compiled.kernels.nonzero import PlacedLists
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.kernels.parts import words_of
from chainrule.engines.compiled.kernels.tile import (
    UNROLL,
    WHOLE,
    Epilogue,
    Group,
    Operands,
    Segment,
    Tile,
    accumulate_nonzero,
    accumulate_tile,
    fold,
    load_rows,
    not_finite,
    row_segments,
    share,
    ways_of,
)
from chainrule.engines.llvm.emit import Function, Int, Value
from chainrule.engines.llvm.tiles import Tiles

LINE = 64
"""Bytes of a line of the caches."""
ASKING = 8
"""Turns of a tile's sums in which what its epilogue reads is asked for: those of a batch of 32."""
BiasEpilogue = Callable[[Int, list[Value]], None]


def batch_product(
    f: Function,
    layout: PanelLayout,
    *,
    values: Value,
    slopes: Value,
    scratch: Value,
    out: Value,
    k: int,
    n: int,
    m: Int,
    epilogue: Epilogue,
    bias_epilogue: BiasEpilogue | None = None,
    accumulate: bool | Value = False,
    nonzero: PlacedLists | None = None,
    group: Group = WHOLE,
    members: int = 1,
    kernel: Kernel | None = None,
    touched: Sequence[Value] = (),
    many: bool = False,
    plain: Value | None = None,
    tid: Int = 0,
    team: Int = 1,
) -> None:
    """dW (k, n) = A' dZ, summed over the m samples; the result in feature panels.

    values: A (m, k), slopes: dZ (m, n), in lane panels; scratch: `batch_scratch` scalars for each thread, its own;
    out: what the sums are added to if `accumulate` (a bool, or an i1 value read at run time) holds.
    The epilogue is called once for each tile (of one or two vectors a row): it may store, or update weights in place.
    bias_epilogue(feature panel, vectors): the sums of dZ over the samples of this call, once for each panel.
    nonzero: the lists of what is not 0 in A, to pass over the rest (in full panels of output features).  group: k and n
    are those of one of the groups side by side in A and dZ, below each other in dW.  members: A and dZ hold so many
    groups side by side, and dW is the sum of theirs.  Neither goes with a bias.  kernel: what is multiplied and added
    up; `values` are packed as it has them, slopes are not.  touched: what the epilogue reads and lies as the result
    does; it is asked for while a tile's sums are made.  many: whether m is a hundred or more in most calls, and one
    thread does all of it.  plain: the values as they are, which `WholeProducts` takes anew where a sum is not finite.
    The result has the same bits for any team.
    """
    assert bias_epilogue is None or (group.count == 1 and members == 1), "column sums of groups are not made on the way"
    kernel = MultiplyAdd(layout) if kernel is None else kernel
    tiles = Tiles(f, layout.target.tiles == "emulated") if isinstance(kernel, TileProducts) else None
    product = _Batch(
        f, layout, kernel, values, slopes, scratch, out, k, n, m, epilogue, bias_epilogue, accumulate, nonzero, group,
        members, tiles, tuple(touched), plain,
    )  # fmt: skip
    simple = isinstance(kernel, MultiplyAdd) and nonzero is None and group.count == members == 1
    if many and simple and few_features.suits(layout, k, n):
        few_features.FewFeatures(
            f, layout, values, slopes, scratch, k, n, m, epilogue, bias_epilogue, product.start
        ).run()
    elif n == 1 and isinstance(kernel, MultiplyAdd):
        product.column(tid, team)
    else:
        product.panels(tid, team)
    if tiles is not None:
        tiles.release()


@dataclass(frozen=True)
class _Batch:
    """One batch product under emission."""

    f: Function
    layout: PanelLayout
    kernel: Kernel
    values: Value
    slopes: Value
    scratch: Value
    out: Value
    k: int
    n: int
    m: Int
    epilogue: Epilogue
    bias_epilogue: BiasEpilogue | None
    accumulate: bool | Value
    nonzero: PlacedLists | None
    group: Group
    members: int
    tiles: Tiles | None = None
    touched: tuple[Value, ...] = ()
    plain: Value | None = None

    @property
    def lane_panels(self) -> Int:
        """Panels that the sums run over, those of the members one after the other."""
        f, NR = self.f, self.layout.panel
        panels: Int = f.mul(f.udiv(f.add(self.m, NR - 1), NR), self.members)
        return panels

    def before(self, panel: Int) -> Int:
        """The groups before this one, in all lane panels up to this."""
        groups: Int = self.f.add(self.f.mul(panel, self.group.count), self.group.number)
        return groups

    def panels(self, tid: Int, team: Int) -> None:
        """Feature panels one after the other; within each, tiles of input features; shared as one row of tiles.

        Where A outgrows the level 2 cache, blocks of tiles are the outermost loop, and slopes are packed anew for each.
        """
        f, layout = self.f, self.layout
        full, rest = divmod(self.n, layout.panel)
        narrow = 1 if rest <= layout.lanes else layout.vectors
        # (first panel, how many, features in each, vectors wide)
        parts = [(0, full, layout.panel, layout.vectors)] * bool(full) + [(full, 1, rest, narrow)] * bool(rest)
        plans = [(*part, self._cut(part[3])) for part in parts]
        units = sum(count * sum(s.count for s in segments) for _, count, _, _, segments in plans)
        lo, hi = share(f, units, tid, team)
        base = 0
        for first, count, features, width, segments in plans:
            tiles = sum(s.count for s in segments)
            tile_bytes = self.kernel.tile_rows(width) * layout.itemsize
            # Tiles of A that stay in half of the level 2 cache, by the number of samples.
            samples = f.mul(self.m, self.members)
            room = f.imax(f.udiv(layout.target.l2 // 2 // tile_bytes, f.imax(samples, 1)), 1)
            blocks = f.udiv(f.add(f.sub(room, 1), tiles), room)
            p0 = f.udiv(f.imax(f.sub(lo, base), 0), tiles)
            p1 = f.imin(f.udiv(f.add(f.imax(f.sub(hi, base), 0), tiles - 1), tiles), count)

            def block(
                b: Int,
                base: int = base,
                first: int = first,
                features: int = features,
                width: int = width,
                segments: list[Segment] = segments,
                tiles: int = tiles,
                room: Int = room,
                p0: Int = p0,
                p1: Int = p1,
            ) -> None:
                start = f.mul(b, room)
                end = f.imin(f.add(start, room), tiles)

                def one_panel(index: Int) -> None:
                    origin = f.add(base, f.mul(index, tiles))
                    t0, t1 = f.imax(f.sub(lo, origin), start), f.imin(f.sub(hi, origin), end)
                    f.if_(
                        f.icmp("slt", f.value(t0), t1),
                        lambda: self._panel(f.add(first, index), features, width, segments, t0, t1),
                    )

                f.loop(p0, p1, one_panel)

            f.loop(0, blocks, block)
            base += count * tiles

    def _cut(self, width: int) -> list[Segment]:
        """The rows as tiles so many vectors wide."""
        return row_segments(self.layout, self.k, width, self.kernel.tile_rows(width), self.kernel.steps)

    def _panel(self, panel: Int, features: int, width: int, segments: list[Segment], t0: Int, t1: Int) -> None:
        """Tiles [t0, t1) of one feature panel."""
        f, bias = self.f, self.bias_epilogue
        layout = self.layout
        slopes = f.at(self.slopes, f.mul(self.group.number, self.n * layout.panel), type=layout.real)
        sums = pack_rows(
            f, layout, values=slopes,
            scratch=self.scratch, n=self.n * self.group.count, panel=panel, features=features,
            m=f.value(self.m), sums=bias is not None, members=self.members, kernel=self.kernel,
        )  # fmt: skip
        if bias is not None:
            f.if_(f.icmp("eq", f.value(t0), 0), lambda: bias(panel, sums))
        at = 0
        for s in segments:

            def one(u: Int, s: Segment = s, at: int = at) -> None:
                self._tile(u, s.height, width, f.add(s.row, f.mul(f.sub(u, at), s.height)), panel, features)

            f.loop(f.imax(t0, at), f.imin(t1, at + s.count), one)
            at += s.count

    def _tile(self, number: Int, size: int, width: int, i: Int, panel: Int, features: int) -> None:
        """The number-th tile: `size` input features from the i-th on."""
        f, layout, NR = self.f, self.layout, self.layout.panel
        below = self.group.count * self.k
        i = f.add(f.mul(self.group.number, self.k), i)
        offset = f.mul(f.add(f.mul(panel, below), i), NR)
        kernel = self.kernel
        if isinstance(kernel, Dots):
            scalars = f.at(self.values, (i, kernel.row), type=layout.real)
            operands = Operands(
                self.scratch, scalars, row=kernel.row, jump=below * kernel.row, span=kernel.span, apart=kernel.span
            )
        else:
            operands = Operands(self.scratch, f.at(self.values, (i, NR), type=layout.real), row=NR, jump=below * NR)
        if self.tiles is not None:
            self._by_tiles(self.tiles, size, width, operands, i, panel, offset, features)
            return
        blank = [f.constant(layout.vector, 0.0)] * (size * width)
        if self.nonzero is not None and width == layout.vectors and ways_of(layout, size, width) == 1:
            steps = self.nonzero.tile_steps(f, number)
            acc = accumulate_nonzero(f, layout, size, width, blank, operands, steps, kernel)
        else:
            turn = UNROLL * kernel.steps
            whole = f.mul(f.udiv(f.add(self.m, turn - 1), turn), UNROLL)
            if self.members > 1:  # all lanes of all panels; those that are no samples are 0 in what was packed
                whole = f.mul(self.lane_panels, NR // kernel.steps)
            meanwhile = self._asking(offset, size) if self.touched else None
            acc = accumulate_tile(f, layout, size, width, blank, operands, whole, kernel=kernel, meanwhile=meanwhile)
        if self.accumulate is not False:  # a chunk's sums are whole before they join those of the chunks before
            acc = [f.fadd(a, b) for a, b in zip(self.start(offset, size, width), acc, strict=True)]
        self.epilogue(Tile(i, size, panel, fold(acc, width), offset))

    def _by_tiles(
        self, tiles: Tiles, size: int, width: int, operands: Operands, i: Int, panel: Int, offset: Int, features: int
    ) -> None:
        """The same by matrix tiles: the sums go to the stack, and from there into epilogues of one row each."""
        f, layout, kernel = self.f, self.layout, self.kernel
        assert isinstance(kernel, TileProducts)
        sums = f.place(layout.real, kernel.tile_rows(width) * layout.panel)
        kernel.product(
            tiles, sums, scalars=operands.scalars, vectors=operands.vectors, jump=operands.jump,
            lines=f.mul(self.lane_panels, kernel.span), rows=size, width=width,
        )  # fmt: skip
        if isinstance(kernel, WholeProducts):
            self._mend(sums, size, width, i, panel, features)

        def row(r: Int) -> None:
            place = f.add(offset, f.mul(r, layout.panel))
            acc = load_rows(f, layout, f.at(sums, (r, layout.panel), type=layout.real), 1, width)
            if self.accumulate is not False:
                acc = [f.fadd(a, b) for a, b in zip(self.start(place, 1, width), acc, strict=True)]
            self.epilogue(Tile(f.add(i, r), 1, panel, fold(acc, width), place))

        f.loop(0, size, row)

    def _mend(self, sums: Value, size: int, width: int, i: Int, panel: Int, features: int) -> None:
        """Takes sums from the numbers as they are, where not all are finite: see the feature product's."""
        f, layout, NR = self.f, self.layout, self.layout.panel
        assert self.plain is not None
        values, below = self.plain, self.group.count * self.k
        slopes = f.at(self.slopes, f.mul(self.group.number, self.n * NR), type=layout.real)
        words = f.mul(self.lane_panels, NR * NR * 3 // 2)  # what is packed lies before
        scratch = f.at(self.scratch, words, type=layout.real)

        some = min(size, layout.chains // width)

        def tile(r: Int) -> None:
            r = f.imin(r, size - some)
            scalars = f.at(values, (f.add(i, r), NR), type=layout.real)
            operands = Operands(scratch, scalars, row=NR, jump=below * NR)
            blank = [f.constant(layout.vector, 0.0)] * (some * width)
            acc = accumulate_tile(f, layout, some, width, blank, operands, f.mul(self.lane_panels, NR))
            for at, x in enumerate(acc):
                f.store(x, f.at(sums, (r, NR), at // width * NR + at % width * layout.lanes, type=layout.real))

        def all_of_them() -> None:
            pack_rows(
                f, layout, values=slopes, scratch=scratch, n=self.n * self.group.count, panel=panel,
                features=features, m=f.value(self.m), sums=False, members=self.members,
            )  # fmt: skip
            f.loop(0, size, tile, step=some)

        f.if_(not_finite(f, layout, sums, size, width), all_of_them)

    def _asking(self, offset: Int, size: int) -> Callable[[Int], None]:
        """Asks for some lines of what the epilogue of a tile reads, over the first turns of its sums."""
        f, layout = self.f, self.layout
        starts = [f.at(start, offset, type=layout.real) for start in self.touched]
        whole = size * layout.panel * layout.itemsize // LINE
        some = -(-whole // ASKING)

        def lines(p: Int) -> None:
            first = f.imin(f.mul(p, some * LINE // UNROLL), (whole - some) * LINE)
            for start in starts:
                for line in range(some):
                    f.prefetch(f.at(start, first, line * LINE, type="i8"))

        def ask(p: Int) -> None:
            f.if_(f.icmp("slt", f.value(p), ASKING * UNROLL), lambda: lines(p))

        return ask

    def start(self, offset: Int, size: int, width: int) -> list[Value]:
        """What the sums of a tile are added to: 0, or what `out` holds."""
        f, layout, add = self.f, self.layout, self.accumulate
        at = f.at(self.out, offset, type=layout.real)
        blank = [f.constant(layout.vector, 0.0)] * (size * width)
        if isinstance(add, Value):
            return f.if_(add, lambda: load_rows(f, layout, at, size, width), lambda: blank, results=size * width)
        return load_rows(f, layout, at, size, width) if add else blank

    def column(self, tid: Int, team: Int) -> None:
        """A single output feature: vectors run along the samples instead, and are summed across at the end."""
        f, layout = self.f, self.layout
        group = layout.lanes
        units, rest = divmod(self.k, group)
        lo, hi = share(f, units + bool(rest), tid, team)
        f.loop(lo, f.imin(hi, units), lambda u: self._column_rows(f.mul(u, group), group))
        if rest:
            f.if_(
                f.bits("and", f.icmp("sle", f.value(lo), units), f.icmp("sgt", f.value(hi), units)),
                lambda: self._column_rows(units * group, rest),
            )
        bias = self.bias_epilogue
        if bias is not None:
            owner = f.bits("and", f.icmp("eq", f.value(lo), 0), f.icmp("sgt", f.value(hi), 0))  # of the first rows
            f.if_(owner, lambda: bias(0, [self._column_bias()]))

    def _column_lines(self, body: Callable[..., list[Value]], carried: list[Value]) -> list[Value]:
        """For each vector of samples: carried = body(lane panel, vector within it, slopes, 0 past the last sample)."""
        f, layout, NR = self.f, self.layout, self.layout.panel

        def lane_panel(q: Int, *so_far: Value) -> list[Value]:
            left, out = f.sub(f.value(self.m), f.mul(f.udiv(q, self.members), NR)), list(so_far)
            at = f.at(self.slopes, (self.before(q), NR), type=layout.real)
            for v in range(layout.vectors):
                mask = f.lane_mask(left, layout.lanes, first=v * layout.lanes)
                line = f.load(layout.vector, at, v * layout.lanes)
                out = body(q, v, f.select(mask, line, 0.0), *out)
            return out

        return f.loop(0, self.lane_panels, lane_panel, carried)

    def _column_rows(self, i: Int, rows: int) -> None:
        f, layout, NR = self.f, self.layout, self.layout.panel
        zero = f.constant(layout.vector, 0.0)

        def line(q: Int, v: int, slopes: Value, *acc: Value) -> list[Value]:
            at = f.at(self.values, (self.before(q), self.k * NR), (i, NR), type=layout.real)
            lines = [f.load(layout.vector, at, r * NR + v * layout.lanes) for r in range(rows)]
            return [f.fma(x, slopes, a) for x, a in zip(lines, acc, strict=True)]

        acc = self._column_lines(line, [zero] * rows) + [zero] * (layout.lanes - rows)
        sums = tree_sum(f, f.transpose(acc))
        i = f.add(f.mul(self.group.number, self.k), i)
        offset = f.mul(i, NR)
        start = self.start(offset, rows, 1)
        blank = [layout.lanes] * (layout.lanes - 1)
        totals = [f.fadd(s, f.shuffle(sums, zero, [r, *blank])) for r, s in enumerate(start)]
        self.epilogue(Tile(i, rows, 0, fold(totals, 1), offset))

    def _column_bias(self) -> Value:
        f, layout = self.f, self.layout
        zero = f.constant(layout.vector, 0.0)
        (acc,) = self._column_lines(lambda q, v, slopes, a: [f.fadd(a, slopes)], [zero])
        total = f.splat(f.reduce(f.fadd, acc), layout.lanes)
        return f.shuffle(total, zero, [0, *[layout.lanes] * (layout.lanes - 1)])


def batch_scratch(layout: PanelLayout, m: int, members: int = 1, parts: int = 0) -> int:
    """Scalars of scratch that one thread needs for batch_product with up to m samples of so many members."""
    as_they_are = 2 if parts == 3 else 0  # beside the words, for `WholeProducts`
    return layout.padded(m) * layout.panel * members * (max(parts, 2) + as_they_are) // 2


def pack_rows(
    f: Function,
    layout: PanelLayout,
    *,
    values: Value,
    scratch: Value,
    n: int,
    panel: Int,
    features: int,
    m: Value,
    sums: bool = True,
    members: int = 1,
    kernel: Kernel | None = None,
) -> list[Value]:
    """Turn one feature panel of a batch value round: scratch[p][l] = D(sample p, feature panel*NR + l).

    values: D (m, n) in lane panels, those of the members of a sample one after the other; features: how many of the
    panel's NR features exist; scratch: [m padded][NR].
    Samples past m and features past `features` become 0 (only the vectors that hold features are written).  With a
    kernel that takes words, scratch: [m padded / 2][parts][NR], a word for two neighbouring samples.
    Returns the sums over the samples (unless not wanted), one vector for each vector of features: the gradient of a
    bias, in a fixed order.
    """
    lanes, NR = layout.lanes, layout.panel
    blocks = -(-features // lanes)
    zero = f.constant(layout.vector, 0.0)
    width = layout.itemsize * lanes
    first = f.at(values, (panel, NR * NR), type=layout.real)

    def lane_panel(q: Value, *so_far: Value) -> list[Value]:
        source = f.at(first, (q, n * NR), type=layout.real)
        line = NR if kernel is None else kernel.line
        taken = lanes if kernel is None else lanes // kernel.steps
        target = f.at(scratch, (q, NR // lanes * taken * line), type=layout.real)
        left = f.sub(m, f.mul(f.udiv(q, members), NR))

        def half(h: Int, *carried: Value) -> list[Value]:
            out = list(carried)
            mask = f.lane_mask(f.sub(left, f.mul(h, lanes)), lanes)
            for block in range(blocks):
                rows = []
                for r in range(lanes):
                    j = block * lanes + r
                    if j < features:
                        at = f.at(source, (h, lanes), type=layout.real)
                        rows.append(f.select(mask, f.load(layout.vector, at, j * NR, width), zero))
                    else:
                        rows.append(zero)
                turned = f.transpose(rows)
                if sums:
                    out[block] = f.fadd(out[block], tree_sum(f, turned))
                to = f.at(target, (h, taken * line), type=layout.real)
                if isinstance(kernel, Dots):
                    for r in range(0, lanes, 2):
                        for part, words in enumerate(words_of(f, kernel, turned[r], turned[r + 1])):
                            f.store(words, to, r // 2 * line + part * NR + block * lanes, width)
                    continue
                for r, x in enumerate(turned):
                    f.store(x, to, r * NR + block * lanes, width)
            return out

        return f.loop(0, layout.vectors, half, so_far)

    panels = f.mul(f.udiv(f.add(m, NR - 1), NR), members)
    return f.loop(0, panels, lane_panel, [zero] * blocks if sums else [])


def tree_sum(f: Function, terms: list[Value]) -> Value:
    """The sum of a power of two of terms, in pairs: a short chain, and a fixed order."""
    while len(terms) > 1:
        terms = [f.fadd(a, b) for a, b in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]
