"""The settings of what is described: kept as plain data, and each checked in one way."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from chainrule.errors import SpecError, expected, is_number


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


def refuse(owner: object, faults: list[str]) -> None:
    """Raises SpecError with all faults of the layer, each with its kind, if there are any."""
    if faults:
        raise SpecError([f"{type(owner).__name__}: {fault}" for fault in faults])
