"""A bar in the output of a notebook's cell, which is replaced as a fit goes on; widgets are not needed."""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

BETWEEN = 0.1
"""Seconds between two pictures: a page of thousands would only be slower."""


class LiveBar:
    """Epochs done of `epochs`, and a line of text."""

    def __init__(self, epochs: int) -> None:
        from IPython.display import display  # there, where a notebook is

        self._epochs = epochs
        self._done, self._text, self._value = 0, "begins", 0.0
        self._shown = time.perf_counter()
        self._handle: DisplayHandle | None = display(self._form(), raw=True, display_id=True)

    def update(self, done: int, text: str, value: float | None = None) -> None:
        """So many are done; shown unless it was just now.  value: where the bar stands, within an epoch."""
        self._done, self._text, self._value = done, text, done if value is None else value
        if time.perf_counter() - self._shown >= BETWEEN:
            self._show()

    def stop(self) -> None:
        """Shows where the fit ended."""
        self._show()

    def _show(self) -> None:
        self._shown = time.perf_counter()
        if self._handle is not None:
            self._handle.update(self._form(), raw=True)

    def _form(self) -> dict[str, str]:
        """As text, and as HTML."""
        said = f"epoch {self._done}/{self._epochs}"
        bar = f'<progress value="{self._value:g}" max="{self._epochs}" style="vertical-align: middle"></progress>'
        numbers = '<span style="font-variant-numeric: tabular-nums">'
        html = f"<div>{bar} {numbers}{escape(said)}&#160;&#160;{escape(self._text)}</span></div>"
        return {"text/plain": f"{said}  {self._text}", "text/html": html}
