"""JSON that others may have written: read within limits that are checked before anything is made of it.

What `loads` returns holds finite numbers, texts that can be written as UTF-8, and objects that say each thing once.
Which fields there should be is said by `files/fields.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator
from typing import Any

from chainrule.errors import DataError, shorten, shown
from chainrule.files.disk import open_binary
from chainrule.files.fields import Kind, check_format

LONGEST = 1 << 26
"""Bytes of a JSON text."""
DEEPEST = 32
"""Levels of objects and lists; chainrule's own files have less than ten."""
MOST = 4_000_000
"""Values in a text: its memory is bounded by them."""
DIGITS = 1000
"""Of a whole number: more than any seed has, and fewer than Python refuses."""

# Possessive, so that nothing is tried twice.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(text: str | bytes, place: str, *, longest: int = LONGEST, infinite: bool = False) -> Any:
    """The value of a JSON text.

    place: what the text is of, for messages ("runs/a/settings.json").  infinite: whether Infinity is a number.
    Raises DataError: it is no JSON, too long, nested too deeply, holds too many values, a number that is too long or
    not finite, a key twice, or half of a surrogate pair.
    """
    if len(text) > longest:
        raise DataError(f"{place}: holds {len(text):,} bytes of JSON; {longest:,} are the most that are read.")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as fault:
            raise DataError(f"{place}: is not UTF-8 text (byte {fault.start:,}).") from None
    _check_size(text, place)

    def whole(digits: str) -> int:
        if len(digits) > DIGITS:
            raise DataError(f"{place}: holds a whole number of {len(digits):,} digits; {DIGITS:,} are the most.")
        return int(digits)

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise DataError(f"{place}: holds the number {shown(digits)}, which is beyond every float.")
        return value

    def not_finite(word: str) -> float:
        if infinite and word != "NaN":
            return float(word)
        raise DataError(f"{place}: holds {word}, which is no number of JSON.")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for position, key in enumerate(keys) if key in keys[:position])
            raise DataError(f"{place}: says {shown(twice)} twice in one object.")
        return result

    try:
        value = json.loads(
            text, parse_int=whole, parse_float=number, parse_constant=not_finite, object_pairs_hook=unique
        )
    except json.JSONDecodeError as fault:
        where = f"line {fault.lineno}, column {fault.colno}"
        raise DataError(f"{place}: is not JSON: {fault.msg[0].lower()}{fault.msg[1:]} ({where}).") from None
    if _SURROGATE.search(text):
        _check_texts(value, place)
    return value


def read(path: str | os.PathLike[str], kind: Kind, what: str, version: int, *, longest: int = LONGEST) -> Any:
    """What a JSON file (plain or gzip) says, as `kind` reads it; no more of the file is read than may be.

    what: what it should be, for messages ("a history").  version: the newest of its format that is known here; the
    file's field "format" says its own (files without it are of version 1).
    Raises DataError, in at most 500 characters.
    """
    with open_binary(path) as stream:
        raw = stream.read(longest + 1)
    place = str(path)
    try:
        value = loads(raw, place, longest=longest)
        said = value.get("format", 1) if isinstance(value, dict) else 1
        newer = isinstance(said, int) and said > version
        if not newer:
            return kind.read(value, place)
    except DataError as fault:
        reason = str(fault).removeprefix(f"{place}: ")
        raise DataError(shorten(f"{place}: is not {what} that chainrule saved: {reason}")) from None
    check_format(said, place, version, what)


def dumps(value: object, *, indent: int | None = None, readable: bool = False) -> str:
    """The value as a JSON text that `loads` reads back.

    readable: letters stand as they are, not as \\u....
    Raises DataError for what JSON has no word for.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=not readable, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as fault:
        raise DataError(f"This cannot be saved as JSON: {fault}.") from None


def _check_size(text: str, place: str) -> None:
    """How deep and how many, before the reader goes down: it calls itself at each level."""
    opened = text.count("[") + text.count("{")
    if opened <= DEEPEST and text.count(",") <= MOST:
        return
    bare = _STRING.sub("", text)
    if bare.count(",") + opened > MOST:
        raise DataError(f"{place}: holds more than {MOST:,} values.")
    for depth in _depths(bare):
        if depth > DEEPEST:
            raise DataError(f"{place}: is nested more than {DEEPEST} levels deep.")


def _depths(bare: str) -> Iterator[int]:
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", bare):
        depth += 1 if bracket in "[{" else -1
        yield depth


def _check_texts(value: Any, place: str) -> None:
    """Half of a surrogate pair is no character, and nothing that can be written or printed."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, str):
            with contextlib.suppress(UnicodeEncodeError):
                part.encode("utf-8")
                continue
            raise DataError(f"{place}: holds half of a surrogate pair in {shown(part)}.")
