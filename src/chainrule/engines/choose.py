"""Which engine a fit or a call is worth, by its shapes alone, so that the choice is the same every time."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from chainrule.engines.base import Engine
from chainrule.engines.cost import seconds
from chainrule.engines.table import AUTO, ENGINES, can_compile
from chainrule.program.equation import Program

COMPILING = 0.3
"""Seconds that compiling may cost, cold."""


class Engines:
    """The engines of one network, each made when it is first needed.

    name: of the table (table.py), or "auto".  With "auto" a fit is compiled unless the reference engine would be done
    before compiling is; a call (predict, cost, gradients) is run by the engine of the last fit, and before any fit by
    the same rule.
    """

    def __init__(self, name: str, dtype: np.dtype[Any]) -> None:
        self.name = name
        self.dtype = dtype
        self.fitted: str | None = None
        self._by_name: dict[str, Engine] = {}
        self._told = False

    def for_fit(self, program: Program, samples: int, epochs: int, batch_size: int) -> Engine:
        """The engine for a fit; also for the calls after it."""
        self.settle(program, samples, epochs, batch_size)
        assert self.fitted is not None
        return self.named(self.fitted)

    def settle(self, program: Program, samples: int, epochs: int, batch_size: int) -> None:
        """Chooses the engine for a fit that is made of calls; for those after it too."""
        name = self.name
        if name == AUTO:
            steps = epochs * -(-samples // batch_size)
            name = self._worth(steps * seconds(program, min(batch_size, samples)))
        self.fitted = name

    def for_call(self, program: Program, samples: int) -> Engine:
        """The engine for a single call."""
        name = self.name
        if name == AUTO:
            name = self.fitted or self._worth(seconds(program, samples))
        return self.named(name)

    def _worth(self, seconds: float) -> str:
        """The engine for work that takes the reference engine so long; that one, where nothing can be compiled."""
        if seconds <= COMPILING or "compiled" in self._by_name:
            return "reference" if seconds <= COMPILING else "compiled"
        if can_compile():
            return "compiled"
        if not self._told:
            self._told = True
            warnings.warn("llvmlite is not installed: the slower reference engine runs.", stacklevel=4)
        return "reference"

    def named(self, name: str) -> Engine:
        """The engine of that name, the same one every time."""
        if name not in self._by_name:
            self._by_name[name] = ENGINES[name](self.dtype)
        return self._by_name[name]
