"""The help of commands: readable however narrow the terminal is, with examples, and nothing that is no word to type."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from typing import Any

import typer

WIDEST, NARROW = 100, 72
"""Columns: of the text at most; below NARROW an option's text stands under it."""
_ROOM = 28
"""Columns of options beside their text."""
_GROUPS = ("Arguments", "Options")
"""What no heading is given for."""
_LETTERS = {
    **dict.fromkeys(("int", "integer", "integer range"), "N"),
    **dict.fromkeys(("float", "float range"), "NUMBER"),
    **dict.fromkeys(("Path", "path"), "PATH"),
}
"""What stands for a value that no other word is given for, by its type."""


class HelpCommand(typer.core.TyperCommand):
    """A command whose help is written here."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes it."""
        formatter.write(written(self, ctx))


class HelpGroup(typer.core.TyperGroup):
    """A group of commands whose help is written here."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes it."""
        formatter.write(written(self, ctx))


def written(command: Any, ctx: Any, width: int | None = None) -> str:
    """The help of a command: how it is called, what it does, examples, arguments, options by their headings.

    width: of the terminal; None to ask it.
    """
    width = min(WIDEST, shutil.get_terminal_size().columns if width is None else width)
    usage = " ".join([ctx.command_path, *_pieces(command)])
    parts = [_wrapped(f"Usage: {usage}", width, "  "), *_paragraphs(command.help or "", width)]
    if command.epilog:
        parts.append("\n".join(["Examples:", *(f"  {line.strip()}" for line in command.epilog.strip().splitlines())]))
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        is_option = parameter.param_type_name == "option"
        if not getattr(parameter, "hidden", False):
            heading = getattr(parameter, "rich_help_panel", None) or _GROUPS[is_option]
            groups.setdefault(heading, []).append((_spelled(parameter), _said(parameter)))
    commands = getattr(command, "commands", {})
    if commands:
        lines = [(name, one.help or "") for name, one in commands.items() if not one.hidden]
        groups["Commands"] = [(name, _first(text)) for name, text in lines]
    order = sorted(groups, key=lambda name: (name != "Arguments", name == "Options"))
    parts += [f"{heading}:\n" + "\n".join(_entries(groups[heading], width)) for heading in order]
    return "\n\n".join(parts) + "\n"


def _pieces(command: Any) -> Iterable[str]:
    """What follows a command's name."""
    yield "[OPTIONS]"
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            name = _spelled(parameter)
            yield name if parameter.required or name.startswith("[") else f"[{name}]"
    if getattr(command, "commands", {}):
        yield "COMMAND ..."


def _spelled(parameter: Any) -> str:
    """ "-o, --out PATH", "--header / --no-header", or an argument's name."""
    if parameter.param_type_name == "argument":
        return argument_name(parameter)
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        return f"{names} / {', '.join(parameter.secondary_opts)}"
    return names if parameter.is_flag else f"{names} {value_of(parameter)}"


def argument_name(parameter: Any) -> str:
    """DATA; of several words as they stand."""
    name = str(parameter.metavar or parameter.name.upper())
    return name if "] [" in name else name.removeprefix("[").removesuffix("]")


def value_of(parameter: Any) -> str:
    """The word that stands for an option's value."""
    return str(parameter.metavar or letter_of(parameter))


def letter_of(parameter: Any) -> str:
    """The word that stands for a value of its type."""
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None) or getattr(parameter, "type", None)
    return _LETTERS.get(kind.__name__ if isinstance(kind, type) else str(getattr(kind, "name", kind)), "VALUE")


def _said(parameter: Any) -> str:
    """What a parameter is, and what it is by default."""
    text, shown = parameter.help or "", getattr(parameter, "show_default", True)
    default = parameter.default
    if isinstance(shown, str):
        return f"{text} [{shown}]"
    if not shown or default is None or default is False or default in ("", (), []) or callable(default):
        return text
    if default is True:
        names = [*parameter.opts]
        return f"{text} [{names[0].lstrip('-')}]"
    return f"{text} [{default:g}]" if isinstance(default, float) else f"{text} [{default}]"


def _paragraphs(text: str, width: int) -> Iterable[str]:
    for paragraph in text.split("\n\n"):
        if paragraph.strip():
            yield _wrapped(" ".join(paragraph.split()), width)


def _entries(entries: Iterable[tuple[str, str]], width: int) -> Iterable[str]:
    """Each with its text beside it, or under it where that leaves no room."""
    for name, text in entries:
        beside = width >= NARROW and len(name) + 4 <= _ROOM
        indent = " " * (_ROOM if width >= NARROW else 6)
        if not beside:
            yield f"  {name}"
        lead = f"  {name}".ljust(_ROOM) if beside else indent
        if text or beside:
            yield textwrap.fill(text, width, initial_indent=lead, subsequent_indent=indent, break_long_words=False)


def _wrapped(text: str, width: int, more: str = "") -> str:
    return textwrap.fill(text, width, subsequent_indent=more, break_long_words=False, break_on_hyphens=False)


def _first(text: str) -> str:
    """The first sentence."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return paragraph.split(". ")[0].split(": ")[0].rstrip(".") + "."
