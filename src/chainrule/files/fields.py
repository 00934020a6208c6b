"""What a saved object may hold, said once for each field: its kind and its range.

    EPOCH = Object({"epoch": Whole(1), "cost": Number(), "metric": Maybe(Number(), absent=None)})
    EPOCH.read(saved, "history.json: epochs[0]")

`read` returns the value as Python's own type (a number as a float), or raises DataError with the place and what was
expected there.  Nothing is converted that was not meant: a text is no number, a truth value no whole number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from chainrule.errors import DataError, expected, shown, unknown_name

_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,40}\Z")


class Kind(Protocol):
    """What a value may be."""

    def read(self, value: object, place: str) -> Any:
        """The value, checked.  Raises DataError, which names the place."""


@dataclass(frozen=True)
class Whole:
    """A whole number."""

    least: int
    """The smallest that is allowed."""
    most: int | None = None
    """The largest, if there is one."""

    def read(self, value: object, place: str) -> int:
        sound = isinstance(value, int) and not isinstance(value, bool) and value >= self.least
        if not sound or (self.most is not None and value > self.most):  # type: ignore[operator]
            upper = "or more" if self.most is None else f"to {self.most:,}"
            raise DataError(expected(place, f"a whole number, {self.least} {upper}", value))
        assert isinstance(value, int)
        return value


@dataclass(frozen=True)
class Number:
    """A finite number."""

    least: float = -math.inf
    """At least this."""
    above: float = -math.inf
    """Above this."""
    below: float = math.inf
    """Below this."""
    words: bool = False
    """Whether it may also be one that is not finite, as a word ("nan", "inf", "-inf")."""

    def read(self, value: object, place: str) -> float:
        if self.words and (value in ("nan", "inf", "-inf") or isinstance(value, float)):
            return float(str(value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = math.nan
            if math.isfinite(number) and number >= self.least and self.above < number < self.below:
                return number
        raise DataError(expected(place, f"a finite number{self._range()}", value))

    def _range(self) -> str:
        parts = [
            f"{word} {bound:g}"
            for word, bound in (("at least", self.least), ("above", self.above), ("below", self.below))
            if math.isfinite(bound)
        ]
        return ", " + " and ".join(parts) if parts else ""


@dataclass(frozen=True)
class Text:
    """A text, any or one of some."""

    names: tuple[str, ...] = ()
    """What it may be; nothing for any text."""
    longest: int = 100_000
    """Characters at most."""
    what: str = "name"
    """The names' word in messages ("layer")."""

    def read(self, value: object, place: str) -> str:
        if not isinstance(value, str):
            raise DataError(expected(place, "a text", value))
        if self.names and value not in self.names:
            raise DataError(f"{place}: {unknown_name(self.what, value, self.names)}")
        if len(value) > self.longest:
            raise DataError(f"{place}: is a text of {len(value):,} characters; {self.longest:,} are the most.")
        return value


@dataclass(frozen=True)
class Flag:
    """true or false."""

    def read(self, value: object, place: str) -> bool:
        if not isinstance(value, bool):
            raise DataError(expected(place, "true or false", value))
        return value


@dataclass(frozen=True)
class Maybe:
    """The kind, or null."""

    kind: Kind
    """Of what is not null."""

    def read(self, value: object, place: str) -> Any:
        return None if value is None else self.kind.read(value, place)


@dataclass(frozen=True)
class Listed:
    """A list; read as a tuple."""

    kind: Kind
    """Of its members."""
    least: int = 0
    """Members at least."""
    most: int = 1_000_000
    """Members at most."""

    def read(self, value: object, place: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise DataError(expected(place, "a list", value))
        if not self.least <= len(value) <= self.most:
            raise DataError(f"{place}: holds {len(value):,} members; {self.least:,} to {self.most:,} are allowed.")
        return tuple([self.kind.read(member, f"{place}[{k}]") for k, member in enumerate(value)])


@dataclass(frozen=True)
class AnyValue:
    """Whatever there is: for people, and nothing is made of it."""

    def read(self, value: object, place: str) -> Any:
        return value


@dataclass(frozen=True)
class Object:
    """An object with named fields."""

    fields: Mapping[str, Kind]
    """The kind of each."""
    absent: Mapping[str, object] = field(default_factory=dict)
    """What fields are that an older file does not have."""
    others: bool = False
    """Whether further fields are passed over, as a later version may say more; where they could mean something they are
    refused."""

    def read(self, value: object, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise DataError(expected(place, "an object", value))
        if not self.others and (strange := [key for key in value if key not in self.fields]):
            raise DataError(f"{place}: {unknown_name('field', strange[0], self.fields)}")
        lacking = [name for name in self.fields if name not in value and name not in self.absent]
        if lacking:
            raise DataError(f"{place}: lacks {shown(lacking[0])}.")
        return {
            name: kind.read(value[name], within(place, name)) if name in value else self.absent[name]
            for name, kind in self.fields.items()
        }


@dataclass(frozen=True)
class Each:
    """An object with whatever names (`least` to `most` of them), all of one kind; read as a dict."""

    kind: Kind
    """Of each of its fields."""
    least: int = 0
    """Fields at least."""
    most: int = 1_000_000
    """Fields at most."""

    def read(self, value: object, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise DataError(expected(place, "an object", value))
        if not self.least <= len(value) <= self.most:
            raise DataError(f"{place}: holds {len(value):,} fields; {self.least:,} to {self.most:,} are allowed.")
        return {name: self.kind.read(member, within(place, name)) for name, member in value.items()}


@dataclass(frozen=True)
class Tagged:
    """An object of one of several kinds; read as (name, its other fields)."""

    tag: str
    """The field that names the kind."""
    kinds: Mapping[str, Kind]
    """Of the other fields, by name."""
    what: str
    """The names' word in messages ("layer")."""

    def read(self, value: object, place: str) -> tuple[str, Any]:
        if not isinstance(value, dict):
            raise DataError(expected(place, "an object", value))
        if self.tag not in value:
            raise DataError(f"{place}: lacks {shown(self.tag)}.")
        name = Text(tuple(self.kinds), what=self.what).read(value[self.tag], within(place, self.tag))
        rest = {key: member for key, member in value.items() if key != self.tag}
        return name, self.kinds[name].read(rest, place)


@dataclass(frozen=True)
class Either:
    """A text, or something else."""

    text: Kind
    """What reads a text."""
    other: Kind
    """What reads anything else."""

    def read(self, value: object, place: str) -> Any:
        return (self.text if isinstance(value, str) else self.other).read(value, place)


@dataclass(frozen=True)
class ByType:
    """A number, or a list, or an object, each read by its own kind; anything else is read by the number's."""

    number: Kind
    """Of a number."""
    listed: Kind | None = None
    """Of a list."""
    named: Kind | None = None
    """Of an object."""

    def read(self, value: object, place: str) -> Any:
        if self.listed is not None and isinstance(value, list):
            return self.listed.read(value, place)
        if self.named is not None and isinstance(value, dict):
            return self.named.read(value, place)
        return self.number.read(value, place)


def within(place: str, name: str) -> str:
    """The place of a field: "m.safetensors: spec.layers" of "layers" in "m.safetensors: spec"."""
    if not _WORD.match(name):
        return f"{place}[{shown(name)}]"
    return f"{place}.{name}" if ": " in place else f"{place}: {name}"


def part(kind: Kind, value: object, what: str) -> Any:
    """A part of a file, which does not know its place there.  Raises DataError."""
    try:
        return kind.read(value, "part")
    except DataError as fault:
        reason = str(fault).removeprefix("part: ")
        raise DataError(f"This is not {what} as chainrule saves it: {reason}") from None


def check_format(value: object, place: str, known: int, what: str) -> int:
    """The number of a format, 1 to `known`.  Raises DataError, which says so where the file is a later version's."""
    number = Whole(1).read(value, within(place, "format"))
    if number > known:
        raise DataError(
            f"{place}: was saved by a newer chainrule ({what} of format {shown(number)}; this one reads up to "
            f"{known}). Install a newer chainrule to read it."
        )
    return number
