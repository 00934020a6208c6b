"""Displayed: what a notebook shows in a form of its own.

A notebook asks what it shows for `_repr_html_`.  What makes the forms (notebook/) knows every room and lies above them
all, so the package's top binds it here, once (readers.py).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING


class Displayed:
    """The base of what a notebook shows as more than a line of text."""

    if TYPE_CHECKING:

        def _repr_html_(self) -> str | None:
            """The form as HTML; None where there is none, and the plain one is shown."""


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, which shows more than text; a terminal with IPython is none."""
    ipython = sys.modules.get("IPython")  # where it runs it is loaded
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None
