"""Calls whose arguments do not fit: said in chainrule's words, with what to write.

What is so marked keeps its signature, for people, editors and type checkers.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from chainrule import words
from chainrule.errors import ArgumentError, nearest, shown

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


def says_arguments(function: F) -> F:
    """The function; a call that does not fit its signature raises ArgumentError instead of Python's TypeError."""

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        except TypeError as fault:
            # One from within has a frame of the function behind this one.
            if fault.__traceback__ is None or fault.__traceback__.tb_next is not None:
                raise
            owner = _owner(function, given)
            raise ArgumentError(misfits(function, owner, given, named) or [f"{owner}: {fault}."]) from None

    return cast(F, call)


def constructor(kind: C) -> C:
    """The class; a call of it that does not fit raises ArgumentError.  Stands above @dataclass."""
    kind.__init__ = says_arguments(kind.__init__)  # type: ignore[misc]
    return kind


def misfits(function: Callable[..., Any], owner: str, given: tuple[Any, ...], named: Mapping[str, Any]) -> list[str]:
    """All that does not fit between a call and a signature, each as a sentence or two."""
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        parameters, given = parameters[1:], given[1:]
    by_place = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    faults, meant = [], set()
    if len(given) > len(by_place) and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        rest = [name for name in known if name not in by_place and name not in named]
        hint = f" The others go by name: {rest[0]}={shown(given[len(by_place)])}." if rest else ""
        takes = f"{len(by_place)} without a name ({', '.join(by_place)})" if by_place else "none without a name"
        faults.append(f"{owner} takes {takes}. Got {len(given)}.{hint}")
        meant |= set(rest[: len(given) - len(by_place)])
    faults += [f"{owner}: {name} is given twice." for name in by_place[: len(given)] if name in named]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in (name for name in named if name not in known):
            write, hint = _instead(name, named[name], owner, known)
            meant.add(write)
            faults.append(f"{owner} has no argument {name!r}. {hint}")
    for p in parameters:
        lacks = p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        if lacks and p.name not in {*by_place[: len(given)], *named, *meant}:
            faults.append(f"{owner} needs {': '.join(filter(None, (p.name, words.NEEDED.get(p.name))))}.")
    return faults


def _instead(name: str, value: object, owner: str, known: list[str]) -> tuple[str, str]:
    """(The argument that was meant, or "", what to do) for a name that is no argument."""
    for here in words.ARGUMENTS.get(name, words.ARGUMENTS.get(name.lower(), ())):
        if here in known:
            return here, f"Write {here}={shown(value)}."
    for here in known:
        if (here, name) in words.INSTEAD:
            return "", words.INSTEAD[here, name].format(value=shown(value), owner=owner)
    guess = nearest(name, known)
    takes = f"It takes {', '.join(known)}." if known else "It takes none."
    return guess or "", f"Did you mean {guess!r}? {takes}" if guess else takes


def _owner(function: Callable[..., Any], given: tuple[Any, ...]) -> str:
    """What was called, as one writes it: Network.fit, Adam."""
    if not given or next(iter(inspect.signature(function).parameters), "") not in ("self", "cls"):
        return function.__qualname__
    kind = given[0] if isinstance(given[0], type) else type(given[0])
    return kind.__name__ if function.__name__ == "__init__" else f"{kind.__name__}.{function.__name__}"
