"""A group of one."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.engines.base import Array


class Alone:
    """The only worker: it has all shards, and nobody to send anything to."""

    rank, size = 0, 1

    def exchange(self, sent: Mapping[int, Array], received: Mapping[int, Array]) -> None:
        """Nothing to be done."""
