"""Embeddings of numbers: each column becomes several values of its own, which a layer after it can tell apart.

    Periodic(4)                        cos(2π (w x + b)), 16 waves a column, and a dense layer of 4 for each column
    Piecewise(4, edges)                how far x is on its way through each piece between two edges, and the same

Columns are groups that stand side by side: (m, c) -> (m, c·dimension).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from chainrule.calls import constructor
from chainrule.describe.activations import Activation
from chainrule.describe.layers import GivenActivation, Layer, Place, activated, resolved
from chainrule.describe.settings import count, keep, not_negative, refuse
from chainrule.errors import expected, is_number
from chainrule.program.builder import Builder, InGroups, Initial, Values
from chainrule.program.op import GroupedMatMul
from chainrule.program.scalar import Expression, Variable, apply
from chainrule.program.symbol import Symbol, product_of


class _OfColumns(Layer):
    """What embeddings of numbers share: V = x w + c of each column, F made of it, and a dense layer for each column."""

    numbered = True
    rule: ClassVar[str]
    dimension: int
    activation: Activation

    @property
    def parts(self) -> int:
        """The values of a column before its dense layer."""
        raise NotImplementedError

    def first(self) -> tuple[Initial, Initial]:
        """First values of w (c, parts) and b (c·parts,)."""
        raise NotImplementedError

    def form(self, z: Expression) -> Expression:
        """What is made of x w + b."""
        raise NotImplementedError

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """V_j = x_j w_j + c_j,  F = form(V)   (m, c·parts),   Z_j = F_j W_j + b_j,  A = g(Z)   (m, c·dimension)"""
        label, columns, rule = place.label, int(below.shape[1]), self.rule
        in_columns = GroupedMatMul(columns)
        drawn, begun = self.first()
        w = write.parameter(Symbol("w", layer=label), (columns, self.parts), drawn)
        c = write.parameter(Symbol("c", layer=label), (columns * self.parts,), begun)
        product = write.apply(product_of(below, w), in_columns, (below, w), rule=rule)
        shifted = write.write(Symbol("V", layer=label), Variable(product.name) + Variable(c.name), rule=rule)
        values = write.write(Symbol("F", layer=label), self.form(Variable(shifted.name)), rule=rule)
        initial = InGroups(place.initialiser(None), columns)
        dense = write.parameter(
            Symbol("W", layer=label, penalised=True), (columns * self.parts, self.dimension), initial
        )
        b = write.parameter(Symbol("b", layer=label), (columns * self.dimension,))
        product = write.apply(product_of(values, dense), in_columns, (values, dense), rule=rule)
        z = write.write(Symbol("Z", layer=label), Variable(product.name) + Variable(b.name), rule=rule)
        draft = Symbol("A", layer=label)
        return activated(write, self.activation, z, draft, place, keep_identity=place.keep_identity, groups=columns)

    def width(self, below: int) -> int:
        """c · dimension"""
        return below * self.dimension

    @property
    def activates(self) -> Activation:
        """g"""
        return self.activation


@constructor
@dataclass(frozen=True, init=False)
class Periodic(_OfColumns):
    """A = g(cos(2π (x_j w_j + c_j)) W_j + b_j) for each column x_j of numbers: waves whose lengths are learned.

    (m, c) -> (m, c·dimension).  w (c, frequencies), c (c·frequencies,), W (c·frequencies, dimension), b.  Columns
    should be of about the same size: standardise them.  Raises SpecError.
    Sources: Gorishniy et al. 2022 (On embeddings for numerical features), Holzmüller et al. 2024 (RealMLP).
    """

    rule = "periodic embedding"
    reasons: ClassVar[dict[str, str]] = {
        "periodic embedding": "each number as waves of several lengths, then a dense layer of its own for each column"
    }

    dimension: int
    """Values that each column becomes."""
    activation: Activation
    """g; a name, a formula, an Activation."""
    frequencies: int
    """Waves of each column."""
    sigma: float
    """First frequencies w are drawn from N(0, σ²), phases evenly."""

    def __init__(
        self,
        dimension: int,
        activation: GivenActivation = "identity",
        *,
        frequencies: int = 16,
        sigma: float = 0.1,
    ) -> None:
        faults: list[str] = []
        keep(self, dimension=dimension, activation=resolved(activation, faults), frequencies=frequencies, sigma=sigma)
        count("dimension", self.dimension, faults)
        count("frequencies", self.frequencies, faults)
        not_negative("sigma", self.sigma, faults)
        refuse(self, faults)

    @property
    def parts(self) -> int:
        """Waves of each column."""
        return self.frequencies

    def first(self) -> tuple[Initial, Initial]:
        """w ~ N(0, σ²), phases anywhere on a turn."""
        return self.sigma, "phases"

    def form(self, z: Expression) -> Expression:
        """cos(2π z)"""
        return apply("cos", 2 * math.pi * z)

    @property
    def words(self) -> str:
        """periodic embedding 16 to 4"""
        return f"periodic embedding {self.frequencies} to {self.dimension}"


@constructor
@dataclass(frozen=True, init=False)
class Piecewise(_OfColumns):
    """A = g(p(x_j) W_j + b_j) for each column x_j of numbers, p_t = min(max((x - e_t) / (e_{t+1} - e_t), 0), 1).

    The edges e_1 < ... < e_{T+1} of the pieces are given, such as quantiles of the data; from there on slopes and
    offsets are learned.  (m, c) -> (m, c·dimension).  w (c, T), c (c·T,), W (c·T, dimension), b.  Raises SpecError.

        Piecewise(4, np.quantile(X, np.linspace(0, 1, 9), axis=0).T)

    Source: Gorishniy et al. 2022 (On embeddings for numerical features).
    """

    rule = "piecewise linear embedding"
    reasons: ClassVar[dict[str, str]] = {
        "piecewise linear embedding": "each number as its way through the pieces, then a dense layer for each column"
    }

    dimension: int
    """Values that each column becomes."""
    edges: tuple[tuple[float, ...], ...]
    """Of each column, as many in all."""
    activation: Activation
    """g; a name, a formula, an Activation."""

    def __init__(
        self, dimension: int, edges: Sequence[Sequence[float]], activation: GivenActivation = "identity"
    ) -> None:
        faults: list[str] = []
        keep(self, dimension=dimension, activation=resolved(activation, faults))
        object.__setattr__(self, "edges", _edges(edges, faults))
        count("dimension", self.dimension, faults)
        refuse(self, faults)

    def misfit(self, widths: Sequence[int]) -> str | None:
        """Every column needs its edges."""
        if len(self.edges) == widths[0]:
            return None
        return f"it has edges for {len(self.edges)} columns, and {widths[0]} come in."

    @property
    def parts(self) -> int:
        """Pieces of each column."""
        return len(self.edges[0]) - 1

    def first(self) -> tuple[Initial, Initial]:
        """1 / (e_{t+1} - e_t), and -e_t times that."""
        pairs = [(a, b) for column in self.edges for a, b in itertools.pairwise(column)]
        return Values(tuple(1 / (b - a) for a, b in pairs)), Values(tuple(-a / (b - a) for a, b in pairs))

    def form(self, z: Expression) -> Expression:
        """min(max(z, 0), 1)"""
        return apply("minimum", apply("maximum", z, 0 * z), 0 * z + 1)

    @property
    def words(self) -> str:
        """piecewise linear embedding 8 to 4"""
        return f"piecewise linear embedding {self.parts} to {self.dimension}"


def _edges(given: object, faults: list[str]) -> tuple[tuple[float, ...], ...]:
    """The edges as plain numbers; faults where they are none."""
    try:
        edges = tuple(tuple(float(e) for e in column) for column in given)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        edges = ()
    if not edges or len({len(column) for column in edges}) > 1 or len(edges[0]) < 2:
        faults.append(expected("edges", "for each column the same number of edges, two or more", given))
        return ((0.0, 1.0),)
    for k, column in enumerate(edges):
        if not all(is_number(e) for e in column) or not bool((np.diff(column) > 0).all()):
            faults.append(
                f"the edges of column {k} must be finite and rise, each above the one before. Got {list(column[:8])}."
            )
    return edges
