"""PanelLayout: how values of one dtype lie in memory on one processor, and how large a register tile may be.

batch value (m, n)   element (i, j) at [i // NR][j][i % NR]: samples run along the lanes; past m, copies of a sample
weight (k, n)        element (p, j) at [j // NR][p][j % NR]: output features run along the lanes; past n, 0
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from chainrule.engines.llvm.target import RealType


@dataclass(frozen=True)
class PanelLayout(RealType):
    """The panels of one dtype on one target."""

    @property
    def vectors(self) -> int:
        """Vectors side by side in a panel (nv)."""
        return 2

    @functools.cached_property
    def panel(self) -> int:
        """Scalars in one panel line (NR): samples of a batch value, features of a weight."""
        return self.lanes * self.vectors

    def panels(self, n: int) -> int:
        """How many panels hold n samples or features."""
        return -(-n // self.panel)

    def padded(self, n: int) -> int:
        """n rounded up to whole panels: the length of a bias."""
        return self.panels(n) * self.panel

    def batch_size(self, m: int, n: int) -> int:
        """Scalars stored for a batch value of shape (m, n)."""
        return self.panels(m) * n * self.panel

    def weight_size(self, k: int, n: int) -> int:
        """Scalars stored for a weight of shape (k, n)."""
        return self.panels(n) * k * self.panel

    def tile_rows(self, vectors: int) -> int:
        """The most rows of a register tile `vectors` wide: the sums, the line of vectors, a broadcast or two."""
        if not self.target.fma and self.target.registers <= 16:
            return 4  # each product needs a register of its own before it is added
        if self.target.vector_bytes <= 16 and self.target.registers > 16:
            return 8  # sixteen sums fill four units, and broadcasts are loaded ahead into registers
        spare = self.target.registers - vectors - (1 if self.target.registers <= 16 else 2)
        return max(1, min(spare // vectors, 14))

    @property
    def chains(self) -> int:
        """Independent sums that keep the multiply-add units busy (latency 4 cycles, two a cycle)."""
        return 8
