"""Embedding: rows of tables stand for tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from chainrule.calls import constructor
from chainrule.describe import initialisers
from chainrule.describe.layers import Layer, Place
from chainrule.describe.settings import count, keep, plain, refuse
from chainrule.errors import expected
from chainrule.program.builder import Builder, Initial
from chainrule.program.op import Beside, Gather
from chainrule.program.symbol import Label, Symbol, product_of


@constructor
@dataclass(frozen=True, init=False)
class Embedding(Layer):
    """Rows of tables named by tokens, side by side: tokens (m, c) -> (m, Σ of the columns' dimensions).

        Embedding(27, 10)              one table E (27, 10) for all columns
        Embedding([16, 7], [8, 4])     a table for each column: E (16, 8), E_2 (7, 4); one dimension is that of all
        Embedding(dimension=8)         a table for each column, as many rows as the inputs say: {"kinds": [16, 7]}

    Raises SpecError.
    """

    tokens = True
    reasons: ClassVar[Mapping[str, str]] = {
        "embedding": "embedding: each token stands for a row of the table",
        "embeddings": "embeddings: what the columns' tokens stand for, side by side",
    }

    vocabulary: int | tuple[int, ...] | None
    """v: tokens are 0 … v - 1.  A list has a table for each column; None takes the counts of the input."""
    dimension: int | tuple[int, ...]
    """The width of a token's row; a list where columns differ."""
    weights: str | float | None
    """An initialiser's name, or s for N(0, s²)."""
    padding: int | None
    """The token that stands for nothing: its row is 0 and stays 0.  None for none."""
    sparse: bool
    """Whether a step changes only rows that its batch names, at a cost that is theirs and not the table's.  With SGD
    without momentum and Adagrad that is the same step; others (Adam, momentum) become lazy: rows that the batch does
    not name, and what is remembered of them, stay as they are."""

    def __init__(
        self,
        vocabulary: int | Sequence[int] | None = None,
        dimension: int | Sequence[int] | None = None,
        weights: str | float | None = 1.0,
        *,
        padding: int | None = None,
        sparse: bool = False,
    ) -> None:
        faults: list[str] = []
        keep(self, vocabulary=_counts(vocabulary), dimension=_counts(dimension), weights=weights, padding=padding)
        keep(self, sparse=bool(sparse))
        if self.vocabulary is not None:
            _check_counts("vocabulary", self.vocabulary, faults)
        _check_counts("dimension", self.dimension, faults)
        initialisers.check(self.weights, faults)
        per_column = isinstance(self.vocabulary, tuple) and isinstance(self.dimension, tuple)
        if isinstance(self.vocabulary, int) and isinstance(self.dimension, tuple):
            faults.append("one table has one dimension: give a list of vocabularies as well, or one dimension.")
        elif per_column and not faults and len(self.vocabulary) != len(self.dimension):  # type: ignore[arg-type]
            faults.append(
                f"vocabulary and dimension must be of as many columns. Got {len(self.vocabulary)} "  # type: ignore[arg-type]
                f"and {len(self.dimension)}."  # type: ignore[arg-type]
            )
        if self.padding is not None:
            least = min(self._listed(self.vocabulary) or (2**31,))
            if not isinstance(self.padding, int) or isinstance(self.padding, bool) or not 0 <= self.padding < least:
                faults.append(expected("padding", f"None or a token, 0 to {least - 1}", self.padding))
        refuse(self, faults)

    @staticmethod
    def _listed(value: int | tuple[int, ...] | None) -> tuple[int, ...]:
        return value if isinstance(value, tuple) else () if value is None else (value,)

    @property
    def _shared(self) -> bool:
        return isinstance(self.vocabulary, int)

    def _dimensions(self, columns: int) -> tuple[int, ...]:
        own = self._listed(self.dimension)
        return own * columns if len(own) == 1 else own

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """X0 = rows of E at X, side by side   (m, c·d);   or [rows of E at X[0] | rows of E_2 at X[1] | ...]"""
        initial = place.initialiser(1.0 if self.weights is None else self.weights)
        first = place.label == Label(0)
        label = None if first else place.label
        columns, draft = int(below.shape[1]), Symbol("X", layer=place.label)
        if self._shared:
            shape = (*self._listed(self.vocabulary), *self._listed(self.dimension))
            op = Gather(padding=self.padding)
            table = self._table(write, Symbol("E", layer=label), shape, initial, (below, op))
            return write.apply(draft, op, (table, below), rule="embedding")
        dimensions = self._dimensions(columns)
        values: list[Symbol] = []
        for k, v in enumerate(self.counts(columns) or place.counts):
            op, draft_k = Gather(column=k, padding=self.padding), Symbol("E", layer=label, copy=k + 1)
            table = self._table(write, draft_k, (v, dimensions[k]), initial, (below, op))
            name = product_of(below, table)
            values.append(write.apply(name if columns > 1 else draft, op, (table, below), rule="embedding"))
        if columns == 1:
            return values[0]
        starts = tuple(sum(dimensions[:k]) for k in range(columns))
        return write.apply(draft, Beside(starts, sum(dimensions)), tuple(values), rule="embeddings")

    def _table(
        self,
        write: Builder,
        draft: Symbol,
        shape: tuple[int, ...],
        initial: Initial,
        lookup: tuple[Symbol, Gather],
    ) -> Symbol:
        table = write.parameter(draft, shape, initial)
        if self.padding is not None:
            write.zero_rows[table.name] = self.padding
        if self.sparse:
            write.sparse[table.name] = lookup
        return table

    def width(self, below: int) -> int:
        """c·d, or the sum of the columns' dimensions"""
        own = self._listed(self.dimension)
        return own[0] * below if len(own) == 1 else sum(own)

    def counts(self, columns: int) -> tuple[int, ...]:
        """v of each column"""
        return self._listed(self.vocabulary) * columns if self._shared else self._listed(self.vocabulary)

    def unread(self, counts: tuple[int, ...]) -> str | None:
        """Whether it has a table, and a row of it, for every token."""
        own, dimensions = self.counts(len(counts)), self._listed(self.dimension)
        if (own and len(own) != len(counts)) or (len(dimensions) > 1 and len(dimensions) != len(counts)):
            tables = len(own) if own and not self._shared else len(dimensions)
            return f"has tables for {tables} columns; of those that come in there are {len(counts)}."
        if self._shared and own[0] < max(counts):
            return f"has {own[0]} tokens; of those that come in there are {max(counts)}."
        for k, (mine, there) in enumerate(zip(own, counts, strict=False)):
            if mine < there:
                return f"has {mine} tokens for column {k}; of those that come in there are {there}."
        if self.padding is not None and self.padding >= min(counts):
            return f"has the padding token {self.padding}, and there is a column with {min(counts)} tokens."
        return None

    @property
    def words(self) -> str:
        """embedding 27 x 10"""
        many, wide = (_said(self.vocabulary) if self.vocabulary is not None else "each", _said(self.dimension))
        padding = "" if self.padding is None else f", padding {self.padding}"
        return f"embedding {many} x {wide}{padding}{', sparse' * self.sparse}"


def _counts(given: object) -> object:
    """A list as a tuple of Python's numbers."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        return tuple(plain(n) for n in given)
    return plain(given)


def _check_counts(name: str, value: object, faults: list[str]) -> None:
    if not isinstance(value, tuple):
        count(name, value, faults)
        return
    if not value:
        faults.append(f"{name} is an empty list: it needs a number for each column.")
    for k, n in enumerate(value):
        count(f"{name}[{k}]", n, faults)


def _said(counts: int | tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, counts)) + ")" if isinstance(counts, tuple) else str(counts)
