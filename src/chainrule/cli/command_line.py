"""The words of the command that is running, as they can be given again."""

from __future__ import annotations

import shlex
from typing import Any

import typer

from chainrule.files import printable

AGAIN = frozenset({"out", "force", "progress", "quiet", "json"})
"""Options that decide no result."""


def command_line(context: typer.Context) -> str:
    """ "chainrule train iris.csv --hidden 32": what was given, in the order in which the command declares it."""
    words = ["chainrule", str(context.info_name)]
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is None or source.name != "COMMANDLINE" or parameter.name in AGAIN:
            continue
        words += _words(parameter, context.params[parameter.name or ""])
    return printable(shlex.join(words))


def _words(parameter: Any, value: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        return [str(value)]
    option = max(parameter.opts, key=len)
    if isinstance(value, bool):
        return [option] if value else [max(parameter.secondary_opts, key=len, default=option)]
    values = value if isinstance(value, list | tuple) else [value]
    return [word for one in values for word in (option, str(one))]
