"""What reads programs and networks and lies above them, as methods of theirs: `Program.show`, `Network.report`.

The package's top knows both sides and binds them once; below, nothing imports what reads it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from numpy.typing import ArrayLike

from chainrule.network import Network
from chainrule.program.equation import Program


def show(
    program: Program,
    notation: str = "row",
    format: str = "unicode",
    *,
    why: bool = False,
    mean_at: Literal["weights", "cost"] | None = None,
) -> str:
    """The derivation as a text writes it: see `chainrule.notation.show`.  Raises SpecError with the known names."""
    from chainrule import notation as notations  # loaded when it is asked for

    return notations.show(program, notation, format, why=why, mean_at=mean_at)


def report(network: Network, path: str | os.PathLike[str], X: ArrayLike, y: ArrayLike, **options: Any) -> Path:
    """Writes an HTML page on this network and these data: derivation, numbers, check, curves and pictures.

    options: monitor, history, optimizer, notation, names, shape, title; see `chainrule.report.html.report`.
    Raises DataError for a path that cannot be written or data that do not fit; MissingDependencyError.
    """
    from chainrule.report import html  # loaded when it is asked for

    return html.report(network, path, X, y, **options)


def bind() -> None:
    """Makes them methods."""
    for owner, method in ((Program, show), (Network, report)):
        setattr(owner, method.__name__, method)
