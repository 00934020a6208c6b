"""A figure that a notebook shows when it is the last value of a cell, whatever matplotlib is set to."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

DPI = 100
"""Pixels of an inch."""


class ShownFigure(Figure):
    """matplotlib's, which by itself has no form for notebooks until its inline backend is chosen."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI, facecolor=self.get_facecolor())
        return buffer.getvalue()
