"""What reads or makes programs and networks, and lies above them, as their methods.

`Program.show`, `Program.steps`, `Program.exercise`, `Program.from_json`, `Network.report`, and what notebooks show.

The package's top knows both sides and binds them once; below, nothing imports what reads it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import ArrayLike

from chainrule.checks import Inputs
from chainrule.display import Displayed
from chainrule.errors import DataError
from chainrule.network import Network
from chainrule.program.equation import Program

if TYPE_CHECKING:
    from pathlib import Path

    from chainrule.glass.exercise import Exercise
    from chainrule.notation.steps import Worked
    from chainrule.report.html import InlineReport


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


def steps(program: Program, gradient: str, notation: str = "row") -> Worked:
    """The steps from the chain rule to the line of that gradient, dW1 say; `print` shows them.

    notation: row, column, index, layer or batch.  Raises SpecError with the known gradients and notations.
    """
    from chainrule.notation.steps import worked  # loaded when it is asked for

    return worked(program, gradient, notation)


def exercise(program: Program, gradient: str, hidden: Sequence[int] | None = None, notation: str = "row") -> Exercise:
    """The steps of that gradient with the right sides of some hidden; `exercise.answer(step, text)` checks one.

    hidden: their numbers, from 1; None for all that are formulas.  Raises SpecError as `steps` does, and for a step
    that is no formula.
    """
    from chainrule.glass.exercise import Exercise  # loaded when it is asked for

    return Exercise(steps(program, gradient, notation), hidden)


def from_json(said: str | bytes | Mapping[str, Any]) -> Program:
    """The program that `to_json` wrote, as text or as `json.loads` reads that; everything is checked.

    Raises DataError, which names what is not as the format has it; ProgramError where the program breaks its laws.
    """
    from chainrule.program.from_json import program_from_json  # loaded when it is asked for

    return program_from_json(said)


def report(
    network: Network,
    path: str | os.PathLike[str] | None = None,
    X: Inputs | None = None,
    y: ArrayLike | None = None,
    **options: Any,
) -> Path | InlineReport:
    """What `Network.report` does."""
    from chainrule.report import html  # loaded when it is asked for

    if X is None or y is None:
        raise DataError("A report needs data: net.report('report.html', X, y), or net.report(X=X, y=y) in a notebook.")
    if path is None:
        return html.InlineReport(html.page(network, X, y, **options))
    return html.report(network, path, X, y, **options)


def rich_form(thing: Displayed) -> str | None:
    """What a notebook shows of it, as HTML: see `chainrule.notebook`.  None: its plain form."""
    from chainrule.notebook.forms import html  # loaded when it is asked for

    return html(thing)


def latex_form(program: Program) -> str:
    """What a notebook that is turned into LaTeX has of it."""
    return show(program, format="latex")


def bind() -> None:
    """Makes them methods."""
    for method in (show, steps, exercise):
        setattr(Program, method.__name__, method)
    Network._report = staticmethod(report)
    Displayed._repr_html_ = rich_form  # type: ignore[method-assign, assignment]
    Program._repr_latex_ = latex_form  # type: ignore[attr-defined]
    Program.from_json = staticmethod(from_json)  # type: ignore[method-assign]
