"""Updates of the rows of tables that a batch names: the cost is that of these rows, whatever the tables hold.

Pieces, the parts that a table's gradient is the sum of, lie row after row in the order of samples and places.  A row's
gradient is added up in the first of its pieces.  Which that is says a number for each row of the table, the row's first
place.  It is never cleared: what it holds counts only if the token of that place, before this one, names the same row,
and then it was written in this batch.  Each thread has rows of its own, so that the bits do not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable

from chainrule.engines.compiled.lower.frame import Frame
from chainrule.engines.compiled.lower.samples import NamedRows, row_of, rows_out
from chainrule.engines.compiled.plan.memory import Word
from chainrule.engines.compiled.plan.stages import Pieces, RowUpdates
from chainrule.engines.llvm.emit import Int, Value
from chainrule.engines.llvm.expression import Evaluator
from chainrule.program.op import AtRows


def pieces(frame: Frame, stage: Pieces) -> None:
    """The pieces of each sample of the batch (of the chunk), to their places."""
    f, memory = frame.f, frame.memory
    for equation in stage.equations:
        first = (frame.before, memory.pieces_width)
        at = f.at(frame.words[Word.PIECES], first, memory.pieces[equation.target.name], type=memory.layout.real)
        rows_out(frame, equation.operands[0], at, memory.pieces_width)


def row_updates(frame: Frame, stage: RowUpdates) -> None:
    """Gradients of rows added up, then the equations over each row."""
    _RowUpdates(frame, stage).run()


class _RowUpdates:
    def __init__(self, frame: Frame, stage: RowUpdates) -> None:
        self.frame, self.stage = frame, stage
        first = stage.equations[0]
        assert isinstance(first.op, AtRows)
        self.tokens, self.table = first.operands[1], first.target
        self.wide = int(self.table.shape[1])
        f, memory = frame.f, frame.memory
        self.named = NamedRows(frame, first.op, self.tokens, int(self.table.shape[0]))
        at = f.at(frame.words[Word.PLACES], memory.first_places[self.table.name], type="i64")
        self.first_places = at
        operands = dict.fromkeys(s.name for e in stage.equations for s in e.operands)
        self.in_pieces = [name for name in operands if name in memory.pieces]
        self.splats = frame.splats(stage.equations)

    def run(self) -> None:
        self.each_place(self.add_up)
        self.each_place(self.update)

    def each_place(self, body: Callable[[Value, Value], object]) -> None:
        """body(the place's number in the batch, its row) of every token, in order, that names a row of this thread."""
        f, part, places = self.frame.f, self.frame.part, self.named.places

        def sample(i: Int) -> None:
            tokens = self.tokens_of(i)

            def place(p: Int) -> None:
                row, meant = self.named.row(tokens, p)
                number = f.value(f.add(f.mul(i, places), p))

                def mine() -> None:
                    own = f.icmp("eq", f.value(f.urem(row, part.team)), part.tid)
                    f.if_(own, lambda: body(number, row))

                if self.named.op.padding is None:
                    mine()
                else:
                    f.if_(meant, mine)

            f.loop(0, places, place)

        f.loop(0, f.value(part.m), sample)

    def tokens_of(self, sample: Int) -> Value:
        """The address of a sample's tokens."""
        row = row_of(self.frame, sample)
        return self.frame.f.at(self.frame.data(self.tokens.name), (row, int(self.tokens.shape[1])), type="i64")

    def add_up(self, number: Value, row: Value) -> None:
        """Adds the place's piece to the first of its row, or makes it the first."""
        f, places, real = self.frame.f, self.named.places, self.frame.layout.real
        at = f.at(self.first_places, row, type="i64")
        first = f.intrinsic("umin", f.load("i64", at), number)
        before, _ = self.named.row(self.tokens_of(f.udiv(first, places)), f.urem(first, places))
        # Of a place before this one that names the same row, the number is of this batch.
        new = f.value(f.add(f.convert("zext", f.icmp("eq", first, number), "i64"),
                            f.convert("zext", f.icmp("ne", before, row), "i64")))  # fmt: skip

        def add() -> None:
            for name in self.in_pieces:
                to, piece = self.piece(name, first), self.piece(name, number)

                def entry(e: Int, to: Value = to, piece: Value = piece) -> None:
                    here = f.at(to, e, type=real)
                    f.store(f.fadd(f.load(real, here), f.load(real, f.at(piece, e, type=real))), here)

                f.loop(0, self.wide, entry)

        f.if_(f.icmp("ne", new, 0), lambda: f.store(number, at), add)

    def piece(self, name: str, number: Value) -> Value:
        """The address of the piece of a place."""
        f, memory, places = self.frame.f, self.frame.memory, self.named.places
        sample = f.at(
            self.frame.words[Word.PIECES],
            (f.udiv(number, places), memory.pieces_width),
            memory.pieces[name],
            type=memory.layout.real,
        )
        return f.at(sample, (f.urem(number, places), self.wide), type=memory.layout.real)

    def update(self, number: Value, row: Value) -> None:
        """The equations over the row, at the first of its places."""
        f = self.frame.f
        first = f.load("i64", f.at(self.first_places, row, type="i64"))
        f.if_(f.icmp("eq", first, number), lambda: self.equations(number, row))

    def equations(self, number: Value, row: Value) -> None:
        f, layout = self.frame.f, self.frame.layout
        addresses = {name: self.piece(name, number) for name in self.in_pieces}
        whole = self.wide // layout.lanes

        def at(name: str) -> Value:
            if name not in addresses:
                addresses[name] = f.at(self.frame.addresses[name], (row, self.wide), type=layout.real)
            return addresses[name]

        for equation in self.stage.equations:  # before the loops, which share them
            for symbol in (equation.target, *equation.operands):
                if symbol.shape and not symbol.integers:
                    at(symbol.name)

        def run(e: Int, type: str, lanes: int) -> None:
            def leaf(name: str) -> Value:
                if name in self.splats:
                    return f.splat(self.splats[name], lanes)
                return f.load(type, f.at(at(name), e, type=layout.real), align=layout.itemsize)

            evaluate = Evaluator(f, type, leaf)
            for equation in self.stage.equations:
                assert isinstance(equation.op, AtRows)
                value = evaluate(equation.op.expression)
                evaluate.set(equation.target.name, value)
                f.store(value, f.at(at(equation.target.name), e, type=layout.real), align=layout.itemsize)

        f.loop(0, whole, lambda b: run(f.mul(b, layout.lanes), layout.vector, layout.lanes))
        f.loop(whole * layout.lanes, self.wide, lambda e: run(e, layout.real, 1))
