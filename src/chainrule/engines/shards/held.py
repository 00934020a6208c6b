"""What a session of workers holds between its steps, where that is arrays of Python's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from chainrule.engines.base import Array, Session, Values


class Held(Session):
    """A session whose stored arrays are read and written as copies."""

    dtype: np.dtype[Any]
    """Theirs."""
    _now: tuple[dict[str, Array], Any]
    """What is stored, and what belongs to it: replaced as one thing, whatever interrupts it."""

    def read(self, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Copies."""
        stored = self._now[0]
        return {name: stored[name].copy() for name in (stored if names is None else names)}

    def read_into(self, arrays: Mapping[str, Array], rows: Mapping[str, Array] | None = None) -> None:
        """Overwrites these arrays."""
        stored = self._now[0]
        for name in arrays.keys() & stored.keys():
            arrays[name][...] = stored[name]

    def write(self, arrays: Values) -> None:
        """Copies take the place of what is stored."""
        stored = self._now[0]
        copies = {name: np.array(arrays[name], self.dtype) for name in arrays.keys() & stored.keys()}
        self._now = (stored | copies, self._now[1])
