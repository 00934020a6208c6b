"""What the report's tests have in their hands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import chainrule as cr


@dataclass(frozen=True)
class Written:
    """What a report was written from, and where it is."""

    path: Path
    net: cr.Network
    X: np.ndarray
    y: np.ndarray
    monitor: cr.Monitor
    optimizer: cr.Optimizer

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")
