"""Docstrings for Sphinx: they are written to be read as text, with `code` and formulas; this makes them its markup.

What stands between backticks is a name (a link where there is one) or code; nothing outside of them is markup, so that
|W|, classes_ and **options mean themselves; an indented block is an example.  Sections (Parameters, Returns, Raises)
are left to napoleon, which comes after.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.util.inspect import TypeAliasForwardRef

NAME = re.compile(r"(?:chainrule\.)?[A-Za-z_]\w*(?:\.\w+)*(?:\(\))?")
"""What may be a link: `Network.fit`."""
MARKUP = re.compile(r"([\\*|]|(?<=\w)_(?!\w))")
"""What would be markup to Sphinx."""
UNDERLINE = re.compile(r"-{3,}\s*")


def as_markup(lines: list[str]) -> list[str]:
    """The same docstring as reStructuredText."""
    result: list[str] = []
    example = False
    for k, line in enumerate(lines):
        before = lines[k - 1].rstrip() if k else ""
        indented = line.startswith("  ")
        if example and line.strip() and not indented:
            example = False
            result.append("")
        elif indented and not example and not _in_section(lines, k) and (not before or before.endswith(":")):
            result += ["", "::", ""]
            example = True
        verbatim = example or UNDERLINE.fullmatch(line.strip())
        result.append(line if verbatim else _inline(line))
    return result


def _in_section(lines: list[str], k: int) -> bool:
    """Whether the line is below the heading of a section, where indented lines are descriptions."""
    return any(UNDERLINE.fullmatch(line.strip()) for line in lines[:k])


def _inline(line: str) -> str:
    parts = line.split("`")
    if len(parts) % 2 == 0:  # a span over two lines: its halves are text
        return MARKUP.sub(r"\\\1", line.replace("`", ""))
    for k, part in enumerate(parts):
        if k % 2 == 0:
            parts[k] = MARKUP.sub(r"\\\1", part)
        else:
            parts[k] = f"`{part}`" if NAME.fullmatch(part) else f"``{part}``"
    return "".join(parts)


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_markup(lines)
    if what in ("attribute", "property"):
        app.attribute = (name, lines[:])


def _attribute(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """What stands before a colon in an attribute's line is no type, as napoleon takes it."""
    if what in ("attribute", "property") and app.attribute[0] == name:
        lines[:] = app.attribute[1]


def _skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Members that come from elsewhere, scikit-learn say, have their documentation there."""
    return None if (getattr(obj, "__module__", None) or "chainrule").startswith("chainrule") else True


def setup(app: Any) -> dict[str, Any]:
    """Before and after napoleon, whose priority is 500."""
    TypeAliasForwardRef.__repr__ = lambda alias: alias.name  # within dict[str, Array] it is its repr that is shown
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", _process, priority=400)
    app.connect("autodoc-process-docstring", _attribute, priority=600)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}
