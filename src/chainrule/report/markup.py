"""HTML that cannot be broken out of: what is not marked as HTML is text, and is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is HTML already."""


def tag(element: str, *content: str, **attributes: str) -> Html:
    """An element; `class_` and `data_x` are the attributes class and data-x."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{element}{said}>{joined(content)}</{element}>")


def joined(parts: Iterable[str]) -> Html:
    """One after the other: HTML as it is, other text escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))
