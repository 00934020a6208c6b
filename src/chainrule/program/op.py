"""The closed set of operations that every rule is written in and every engine reads.

    matmul        T = L R           either side transposed                       (m,k)(k,n) -> (m,n)
    elementwise   T = e(a, b, ...)  a scalar expression, operands broadcast      -> the operands' common shape
    reduce        T = Σ or max of e(a, b, ...) over rows, columns or all         (m,n) -> (n,) | (m,1) | ()
    gather        T = rows of E named by tokens, side by side or added up        (v,d), (m,c) -> (m, c·d) | (m, d)
    scatter_add   T = rows of D added up into the rows named by tokens           (m, c·d), (m,c) -> (v,d)
    at_rows       T = e(a, b, ...) in the rows of A named by tokens, A in others (v,d), (m,c), ... -> (v,d)
    mask          T = 1 with probability 1 - rate, else 0, from counted random bits         -> (m,n)
    one_hot       T = 1 where the column is the row's label, else 0              (m,) -> (m,n)
    beside        T = [A | B | ...], 0 in columns that none of them covers       (m,n1), (m,n2), ... -> (m,n)
    columns       T = some columns of A that stand together                      (m,n) -> (m,k)
    grouped       T = products group by group of columns, side by side           (m,g·a)(g·a,b) -> (m,g·b)
    repeat        T = A k times side by side, or each of its columns k times     (m,n) -> (m,k·n)
    reduce_groups T = Σ or max of the groups of columns of A, or within each     (m,g·n) -> (m,n) | (m,g)
    over_shards   T = Σ or max of what each shard of the batch makes of T_k      T_k's shape

Shapes are checked by each operation's `shape`; `None` means that the operands do not fit.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.program.precision import PARTS
from chainrule.program.scalar import Expression, Over
from chainrule.program.symbol import BATCH, Dimension, Shape, Symbol, broadcast
from chainrule.program.walk import is_over_arrays, variables


@dataclass(frozen=True)
class MatMul:
    """T = L R, or with Lᵀ or Rᵀ in its place.

    In parts (`precision.py`), T = Σ L_a R_b: both sides are split into bfloat16 numbers, whose products are added up
    in float32.
    """

    transpose_left: bool = False
    """Whether it is Lᵀ."""
    transpose_right: bool = False
    """Whether it is Rᵀ."""
    parts: int = 0
    """The bfloat16 parts of each side; 0 where the sides are taken as they are."""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """(rows of L, columns of R), if the inner dimensions agree."""
        if len(operands) != 2 or any(len(s.shape) != 2 or s.integers for s in operands) or self.parts not in PARTS:
            return None
        left, right = (s.shape for s in operands)
        left = left[::-1] if self.transpose_left else left
        right = right[::-1] if self.transpose_right else right
        return (left[0], right[1]) if left[1] == right[0] else None


@dataclass(frozen=True)
class Elementwise:
    """T = e, element by element; the expression's variables are the operands' names.

    Operands of shape (n,) repeat over the rows, (m, 1) over the columns, () everywhere.
    """

    expression: Expression
    """e"""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """The operands' common shape; every variable must be an operand and no reduction may be left."""
        return _expression_shape(self.expression, operands)


@dataclass(frozen=True)
class Reduce:
    """T = Σ e or max e over the rows (samples) -> (n,), the columns (features) -> (m, 1), or all elements -> ()."""

    kind: str
    """"sum" or "max"."""
    over: Over
    """What is added up or compared."""
    expression: Expression
    """e"""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """The remaining shape."""
        full = _expression_shape(self.expression, operands)
        if full is None or self.kind not in ("sum", "max"):
            return None
        if self.over == "all":
            return ()
        if len(full) != 2:
            return None
        return (full[1],) if self.over == "rows" else (full[0], 1)


@dataclass(frozen=True, kw_only=True)
class _Lookup:
    """Which rows of a table the tokens of a sample name: token t of column p names row starts[p] + t."""

    column: int | None = None
    """The one column of the tokens that is read, from 0 on; None for all."""
    starts: tuple[int, ...] = ()
    """The first row of each column's own part of the table: the rows of a sample are added up, as in a product of
    one-hot rows with the table.  () where all columns share the table, and rows stand side by side."""
    padding: int | None = None
    """The token that names no row; None for none."""

    def places(self, tokens: Symbol) -> int:
        """How many tokens of a sample are read."""
        return 1 if self.column is not None else int(tokens.shape[1])

    def columns(self, tokens: Symbol) -> int:
        """The width, in rows of the table, of what stands for a sample."""
        return 1 if self.starts else self.places(tokens)

    def _fits(self, tokens: Symbol) -> bool:
        """Whether the tokens have the columns that it speaks of."""
        c = tokens.shape[1]
        if not isinstance(c, int) or (self.starts and (self.column is not None or self.padding is not None)):
            return False
        return (self.column or 0) < c and (not self.starts or len(self.starts) == c)


@dataclass(frozen=True)
class Gather(_Lookup):
    """T[i] = the rows of E that the tokens of sample i name, side by side or added up; 0 for the padding token."""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """(m, c·d), or (m, d) where rows are added up"""
        if not _rows_and_tokens(operands) or not self._fits(operands[1]):
            return None
        (_, d), (m, _) = operands[0].shape, operands[1].shape
        return (m, self.columns(operands[1]) * d) if isinstance(d, int) else None

    def turned(self, rows: int) -> ScatterAdd:
        """What brings gradients back to a table of so many rows."""
        return ScatterAdd(rows, column=self.column, starts=self.starts, padding=self.padding)


@dataclass(frozen=True)
class ScatterAdd(_Lookup):
    """T[t] = Σ of the d-wide pieces of D that belong to row t; in the order of samples, then of places.

    Where the rows of a sample were added up, D's row is the piece of each.
    """

    rows: int
    """v, those of T."""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """(v, d)"""
        if not _rows_and_tokens(operands) or not self._fits(operands[1]):
            return None
        (m, width), (rows, _) = operands[0].shape, operands[1].shape
        columns = self.columns(operands[1])
        if m != rows or not isinstance(width, int) or width % columns:
            return None
        return (self.rows, width // columns)

    def turned(self) -> Gather:
        """What looks up again what it has added up."""
        return Gather(column=self.column, starts=self.starts, padding=self.padding)


@dataclass(frozen=True)
class AtRows(_Lookup):
    """T = e, element by element, in the rows of A that tokens name, and A in the others; operands: A, the tokens, ...

    Where e is what A is in every row whose gradient is 0, that is T = e in all rows.
    """

    expression: Expression
    """e; its variables are the operands' names, A among them or not."""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """(v, d)"""
        if len(operands) < 2 or not _rows_and_tokens(operands[:2]) or not self._fits(operands[1]):
            return None
        table, others = operands[0], operands[2:]
        read = operands_read(self.expression, (table, *others))
        if read is None or {s.name for s in others} - {s.name for s in read}:
            return None
        shape = _expression_shape(self.expression, read)
        return table.shape if shape is not None and broadcast([shape, table.shape]) == table.shape else None


@dataclass(frozen=True)
class Mask:
    """T[i, j] = 1 if the random word of (seed, step, stream, i, j) is at least rate · 2³², else 0 (Philox 4x32-10).

    Operands: the seed, the step, and the rate where that is given.
    Counter (i, ⌊j/4⌋, step, stream), key = seed; the word is number j mod 4.
    """

    rate: float | None
    """The probability of 0; None where it is given for each step, the third operand."""
    stream: int
    """Which of the masks of a program: each has random words of its own."""
    columns: int
    """n"""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """(m, n)"""
        given = 2 if self.rate is not None else 3
        fits = len(operands) == given and all(s.shape == () for s in operands) and 0 <= (self.rate or 0) < 1
        return (BATCH, self.columns) if fits else None


@dataclass(frozen=True)
class OneHot:
    """T[i, j] = 1 where j is the label of sample i, else 0."""

    classes: int
    """n"""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """(m, n)"""
        fits = len(operands) == 1 and operands[0].integers and len(operands[0].shape) == 1
        return (operands[0].shape[0], self.classes) if fits else None


@dataclass(frozen=True)
class Beside:
    """T = the operands side by side, operand k from column starts[k] on; 0 in columns that none of them covers."""

    starts: tuple[int, ...]
    """The first column of each operand, from 0 on; ascending."""
    width: int
    """The columns of T."""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """(m, width), if the operands have one number of rows, do not overlap and find room."""
        if len(operands) != len(self.starts) or not operands:
            return None
        if any(len(s.shape) != 2 or s.integers for s in operands) or len({s.shape[0] for s in operands}) > 1:
            return None
        end = 0
        for start, symbol in zip(self.starts, operands, strict=True):
            columns = symbol.shape[1]
            if start < end or not isinstance(columns, int):
                return None
            end = start + columns
        return (operands[0].shape[0], self.width) if end <= self.width else None

    def gaps(self, operands: tuple[Symbol, ...]) -> tuple[int, ...]:
        """The columns of zeros before each operand, and after the last."""
        ends = [0, *(a + int(s.shape[1]) for a, s in zip(self.starts, operands, strict=True))]
        return tuple(b - a for a, b in zip(ends, [*self.starts, self.width], strict=True))


@dataclass(frozen=True)
class Columns:
    """T = the columns start … start + count - 1 of A."""

    start: int
    """The first of them, from 0 on."""
    count: int
    """How many."""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """(m, count), if A has these columns."""
        if len(operands) != 1 or len(operands[0].shape) != 2 or operands[0].integers:
            return None
        rows, columns = operands[0].shape
        fits = isinstance(columns, int) and 0 <= self.start < self.start + self.count <= columns
        return (rows, self.count) if fits else None


@dataclass(frozen=True)
class GroupedMatMul:
    """A product for each of the groups of columns that stand side by side, with a small matrix of its own.

        A W      A_k W_k      (m, g·a)(g·a, b) -> (m, g·b)     the matrices W_k (a, b) stand below each other
        dZ Wᵀ    dZ_k W_kᵀ    (m, g·b)(g·a, b) -> (m, g·a)
        Aᵀ dZ    A_kᵀ dZ_k    (m, g·a)(m, g·b) -> (g·a, b)

    Where the matrix is shared, W (a, b) is that of all groups, and Aᵀ dZ the sum of theirs.
    """

    groups: int
    """g"""
    transpose_left: bool = False
    """Whether it is Aᵀ dZ."""
    transpose_right: bool = False
    """Whether it is dZ Wᵀ."""
    shared: bool = False
    """Whether all groups have one matrix."""
    parts: int = 0
    """As of a `MatMul`."""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """As above, if there are such groups and the inner dimensions agree."""
        if len(operands) != 2 or any(len(s.shape) != 2 or s.integers for s in operands) or self.parts not in PARTS:
            return None
        (rows, columns), (below, b) = (s.shape for s in operands)
        stacked = 1 if self.shared else self.groups
        if self.transpose_left:
            parts = _parts(columns, self.groups), _parts(b, self.groups)
            if self.transpose_right or rows != below or None in parts:
                return None
            return (stacked * int(parts[0] or 0), int(parts[1] or 0))
        width, a = _parts(columns, self.groups), _parts(below, stacked)
        if width is None or a is None or not isinstance(b, int):
            return None
        inner, outer = (b, a) if self.transpose_right else (a, b)
        return (rows, self.groups * outer) if width == inner else None


@dataclass(frozen=True)
class Repeat:
    """T = [A | A | ... ], or each column of A so many times in a row."""

    times: int
    """k"""
    within: bool = False
    """Whether the copies of a column stand together."""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """(m, k·n)"""
        if len(operands) != 1 or len(operands[0].shape) != 2 or operands[0].integers or self.times < 1:
            return None
        rows, columns = operands[0].shape
        return (rows, self.times * columns) if isinstance(columns, int) else None


@dataclass(frozen=True)
class ReduceGroups:
    """T = Σ or max of the groups of columns that stand side by side in A, or of the columns within each group."""

    kind: str
    """"sum" or "max"."""
    groups: int
    """g"""
    within: bool = False
    """Whether the columns within each group are added up or compared."""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """(m, n) if A has g · n columns; within them (m, g)."""
        if len(operands) != 1 or len(operands[0].shape) != 2 or operands[0].integers or self.kind not in ("sum", "max"):
            return None
        rows, columns = operands[0].shape
        width = _parts(columns, self.groups)
        return None if width is None else (rows, self.groups if self.within else width)


@dataclass(frozen=True)
class OverShards:
    """T = Σ or max of T_k over the shards k of the batch; the same where the batch is one shard.

    What follows is known to every worker of a group, however many shards it has itself.
    """

    kind: str = "sum"
    """"sum" or "max"."""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        """T_k's, which has no samples."""
        if len(operands) != 1 or operands[0].integers or self.kind not in ("sum", "max"):
            return None
        return None if BATCH in operands[0].shape else operands[0].shape


Op = (
    MatMul
    | Elementwise
    | Reduce
    | Gather
    | ScatterAdd
    | AtRows
    | Mask
    | OneHot
    | Beside
    | Columns
    | GroupedMatMul
    | Repeat
    | ReduceGroups
    | OverShards
)
OPERATIONS: tuple[type, ...] = (
    MatMul, Elementwise, Reduce, Gather, ScatterAdd, AtRows, Mask, OneHot, Beside, Columns, GroupedMatMul, Repeat,
    ReduceGroups, OverShards,
)  # fmt: skip


def _parts(size: Dimension, groups: int) -> int | None:
    """The size of each of so many equal parts; None where there are none."""
    return size // groups if isinstance(size, int) and groups > 0 and size % groups == 0 and size >= groups else None


def operands_read(expression: Expression, operands: tuple[Symbol, ...]) -> tuple[Symbol, ...] | None:
    """Those of the operands that the expression reads; None if it reads another one."""
    names = set(variables(expression))
    read = tuple(s for s in operands if s.name in names)
    return read if len(read) == len(names) else None


def _rows_and_tokens(operands: tuple[Symbol, ...]) -> bool:
    return [(len(s.shape), s.integers) for s in operands] == [(2, False), (2, True)]


def _expression_shape(expression: Expression, operands: tuple[Symbol, ...]) -> Shape | None:
    if set(variables(expression)) != {s.name for s in operands} or any(s.integers for s in operands):
        return None
    if is_over_arrays(expression):
        return None
    return broadcast([s.shape for s in operands])
