"""Recipe: how a program is to be run.  Machine code depends on it, the program, the dtype and the processor alone."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan.kinds import members_of
from chainrule.program.equation import Program

CHUNK = 256
"""Samples a chunk: the working set of a few hundred features stays in the second-level cache."""


def chunk_for(program: Program, panel: int) -> int:
    """Samples a chunk, in whole panels: fewer where each is many rows of a product that members share."""
    return max(CHUNK // members_of(program) // panel * panel, panel)


def batches(samples: int, layout: PanelLayout) -> int:
    """What a recipe says of batches of so many samples (`Recipe.tiles`): nothing where there are no tiles."""
    return 1 << samples.bit_length() - 1 if layout.target.tiles and layout.dtype == "float32" and samples else 0


@dataclass(frozen=True)
class Recipe:
    """What plan and lowering are told beside the program; its repr is part of the name under which code is cached.

    Whatever is to change the code of a program is a field here, so that it cannot be left out of that name.
    """

    wanted: tuple[str, ...] = ()
    """The symbols whose values a call hands out, by name."""
    training: bool = False
    """Whether batch follows batch: each cost is kept, and a stop or a cost that is not finite ends the run."""
    large: bool = False
    """Whether batches are large: run in chunks where samples do not depend on each other, weights updated after the
    last chunk, and left between two stages once a stop was asked for."""
    nonzero: bool = False
    """Whether products of the data take lists of what is not zero in it, and pass over the rest."""
    chunk: int = CHUNK
    """Samples in a chunk."""
    in_fours: bool = False
    """Whether the groups are of four chunks each, at most four of them, added up in pairs: a chunk is a shard then, and
    this is the order of `engines/shards/order.py`."""
    tiles: int = 0
    """Samples of a batch from which on products of numbers as they are may be taken by the processor's matrix tiles, a
    power of two; 0: they are not."""

    def key(self, program: Program) -> str:
        """What tells the code of this program, run this way, from all other."""
        return f"{program.digest}|{self!r}"
