"""Notations: a derivation as the texts write it.

    show(program, "column", "latex")        the whole, as text
    views(program, "column")                line by line, with the names of the symbols behind each
    source(program)                         executable NumPy
    javascript(program)                     the same for a page

A notation is a table (tables.py).  `Program.show` and `Network.show` call `show`.
"""

from chainrule.notation.javascript import javascript
from chainrule.notation.source import source
from chainrule.notation.tables import FORMATS, MATHEMATICAL, SCRIPT, Notation, notation_names
from chainrule.notation.views import (
    Derivation,
    EquationView,
    check_format,
    check_notation,
    derivation,
    remarks,
    show,
    views,
)

__all__ = [
    "FORMATS",
    "MATHEMATICAL",
    "SCRIPT",
    "Derivation",
    "EquationView",
    "Notation",
    "check_format",
    "check_notation",
    "derivation",
    "javascript",
    "notation_names",
    "remarks",
    "show",
    "source",
    "views",
]
