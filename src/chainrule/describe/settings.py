"""The settings of what is described: kept as plain data, and each checked in one way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, TypeVar

from chainrule.errors import SpecError, expected, is_number, shorten, unknown_name
from chainrule.program.symbol import Symbol


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's, so that a description is plain data; anything else as it is, for the checks."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def keep(owner: object, **fields: object) -> None:
    """Sets fields of a frozen object, before it is handed out."""
    for name, value in fields.items():
        object.__setattr__(owner, name, plain(value))


def count(what: str, value: object, faults: list[str]) -> None:
    """A positive whole number."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        faults.append(expected(what, "a positive whole number", value))


def not_negative(what: str, value: Any, faults: list[str]) -> None:
    """A finite number of at least 0."""
    if not is_number(value) or value < 0:
        faults.append(expected(what, "a finite number of at least 0", value))


def fraction(what: str, value: Any, faults: list[str]) -> None:
    """At least 0 and less than 1."""
    if not is_number(value) or not 0 <= value < 1:
        faults.append(expected(what, "at least 0 and less than 1", value))


def positive(what: str, value: Any, faults: list[str]) -> None:
    """Above 0."""
    if not is_number(value) or value <= 0:
        faults.append(expected(what, "above 0", value))


def factors(what: str, given: Any, faults: list[str]) -> tuple[tuple[str, float], ...]:
    """Factors by the name of a parameter or the letter of several, as pairs: each finite and at least 0."""
    pairs = given.items() if isinstance(given, Mapping) else given
    if not isinstance(given, Mapping | tuple):
        faults.append(expected(what, "a mapping from names of parameters to factors, such as {'W1': 0.1}", given))
        return ()
    kept = []
    for name, factor in pairs:
        if not isinstance(name, str) or not name:
            faults.append(expected(f"A name in {what}", "that of a parameter, or a letter", name))
        not_negative(f"{what}[{name!r}]", plain(factor), faults)
        kept.append((name, plain(factor)))
    return tuple(kept)


T = TypeVar("T")


def of_parameters(
    what: str, given: Mapping[str, T] | Iterable[tuple[str, T]], symbols: Iterable[Symbol], faults: list[str]
) -> dict[str, T]:
    """What is given for each of these parameters, by its name: under its own name, else under its letter."""
    by_key = dict(given)
    known = list(symbols)
    for key in by_key:
        if not any(key in (s.name, s.letter) for s in known):
            names = dict.fromkeys([*(s.name for s in known), *(s.letter for s in known)])
            faults.append(f"{what}: {unknown_name('parameter', key, names)}")
    return {
        s.name: by_key[s.name if s.name in by_key else s.letter]
        for s in known
        if s.name in by_key or s.letter in by_key
    }


def refuse(owner: object, faults: list[str]) -> None:
    """Raises SpecError with all faults of the layer, each with its kind, if there are any."""
    if faults:
        raise SpecError([f"{type(owner).__name__}: {fault}" for fault in faults])


LONGEST = 150
"""Characters of what `as_called` writes."""


def as_called(owner: object, write: Callable[[object], str] = repr) -> str:
    """What makes an object as somebody would write it, without what is as it is by default: Dense(3, 'relu').

    write: how a single value is written.
    """
    import inspect  # what only people look at needs

    said = []
    for name, parameter in inspect.signature(type(owner)).parameters.items():
        value = vars(owner).get(name, parameter.default)
        if parameter.kind is parameter.VAR_KEYWORD or value is parameter.empty or value == parameter.default:
            continue
        named = getattr(value, "name", None)
        if named is not None and named == parameter.default:  # an activation that is given by its name
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            said += [_said(part, write) for part in value]
        else:
            said.append(
                f"{name}={_said(value, write)}" if parameter.kind is parameter.KEYWORD_ONLY else _said(value, write)
            )
    return f"{type(owner).__name__}({shorten(', '.join(said), LONGEST)})"


def _said(value: object, write: Callable[[object], str]) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(_said(part, write) for part in value)}]"
    return write(value)
