"""Calls of the command that cannot be, in chainrule's words: what was wrong, what is allowed, and whose help to ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule import words as elsewhere
from chainrule.cli.help import argument_name, letter_of, value_of
from chainrule.errors import expected, nearest, shown, unknown_name

_KINDS = {"N": "a whole number", "NUMBER": "a number"}
"""What a value must be, by the word that stands for one of its type."""
_OPTIONS = {"lr": "learning-rate", "epoch": "epochs", "output": "out", "label": "target", "y": "target"}
"""Words from elsewhere that are no arguments of Python."""


def explain(error: Any, command: Any, words: Sequence[str]) -> str:
    """One line about an error of usage that the command line library raised.

    command: the one whose words these are, with all its commands.
    """
    path, rest = ["chainrule"], list(words)
    while rest and (under := getattr(command, "commands", {}).get(rest[0])) is not None:
        command, path = under, [*path, rest.pop(0)]
    line = _line(error, command, path, rest)
    return f"{line if line.endswith(('?', '.')) else line + '.'} Try '{' '.join(path)} --help'."


def _line(error: Any, command: Any, path: Sequence[str], words: Sequence[str]) -> str:
    parameter, message, kind = getattr(error, "param", None), str(error.format_message()), type(error).__name__
    if kind == "MissingParameter" and parameter is not None:
        return f"{' '.join(path)} needs {_name(parameter)}: {parameter.help or ''}".strip(": ")
    if kind == "NoSuchOption":
        return _no_option(str(error.option_name), command)
    if kind == "BadOptionUsage":
        name = str(error.option_name)
        parameter = next((p for p in command.params if name in (*p.opts, *p.secondary_opts)), None)
        if parameter is None or getattr(parameter, "is_flag", False):
            return f"{name} takes no value"
        return f"{name} needs a value, {value_of(parameter)}: {parameter.help or ''}".strip(": ")
    if kind == "BadParameter" and parameter is not None:
        given, allowed = _given(parameter, words), _KINDS.get(letter_of(parameter))
        if allowed is not None and given is not None:
            return expected(_name(parameter), allowed + _limits(parameter), given)
        return f"{_name(parameter)}: {error.message}"
    if getattr(command, "commands", None) and words and not words[0].startswith("-"):
        return unknown_name("command", words[0], command.commands)
    if message.startswith("Got unexpected extra argument"):
        extra = message.rpartition("(")[2].partition(")")[0]
        return f"{' '.join(path)} takes no further word: {extra}. Options begin with --"
    return message


def _no_option(name: str, command: Any) -> str:
    """About an option that there is not."""
    options = [opt for p in command.params for opt in (*p.opts, *p.secondary_opts)]
    long = [option for option in options if option.startswith("--")]
    word = name.lstrip("-")
    meant = (_OPTIONS.get(word), *elsewhere.ARGUMENTS.get(word.replace("-", "_"), ()))
    write = next((opt for m in meant if m and (opt := "--" + m.replace("_", "-")) in long), None)
    if write is None and not any(meant):  # a word for what this command has not is like no other
        write = nearest(name, long)
    return f"There is no option {name}." + (f" Did you mean {write}?" if write else "")


def _name(parameter: Any) -> str:
    """ "--epochs" or "DATA"."""
    if parameter.param_type_name == "argument":
        return argument_name(parameter)
    return str(max(parameter.opts, key=len))


def _limits(parameter: Any) -> str:
    low = getattr(parameter, "min", getattr(getattr(parameter, "type", None), "min", None))
    return "" if low is None else f" of at least {shown(low)}"


def _given(parameter: Any, words: Sequence[str]) -> str | None:
    """What stood after an option in the call."""
    for place, word in enumerate(words):
        name, sign, value = word.partition("=")
        if word in parameter.opts and place + 1 < len(words):
            return words[place + 1]
        if sign and name in parameter.opts:
            return value
    return None
