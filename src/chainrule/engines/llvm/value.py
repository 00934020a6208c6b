"""Values of LLVM IR: a type and a text, both as LLVM writes them; types and constants spelt out."""

from __future__ import annotations

import functools
import struct


class Value:
    """An SSA value: `type` and `text` as LLVM writes them."""

    __slots__ = ("text", "type")

    def __init__(self, type: str, text: str) -> None:
        self.type = type
        self.text = text

    def __repr__(self) -> str:
        return f"{self.type} {self.text}"


Int = Value | int
Operand = Value | int | float


@functools.cache
def lanes_of(type: str) -> int:
    """Lanes of a vector type, 1 for a scalar."""
    return int(type[1 : type.index(" ")]) if type[0] == "<" else 1


@functools.cache
def element_of(type: str) -> str:
    """The scalar type in a vector type."""
    return type[type.index("x ") + 2 : -1] if type[0] == "<" else type


@functools.cache
def like(type: str, element: str) -> str:
    """The type with as many lanes as `type`, of `element`."""
    return f"<{lanes_of(type)} x {element}>" if type[0] == "<" else element


_BYTES = {"i8": 1, "i16": 2, "i32": 4, "i64": 8, "float": 4, "double": 8, "i1": 1}


@functools.cache
def bytes_of(element: str) -> int:
    """The size of a number of this type."""
    return _BYTES[element]


@functools.cache
def suffix(type: str) -> str:
    """The type as it is spelt in the name of an intrinsic: <8 x float> is v8f32."""
    name = {"float": "f32", "double": "f64", "ptr": "p0"}.get(element_of(type), element_of(type))
    return f"v{lanes_of(type)}{name}" if type[0] == "<" else name


@functools.cache
def literal(type: str, number: float) -> str:
    """A constant of any numeric type; one number in every lane of a vector."""
    if type[0] == "<":
        element = element_of(type)
        return f"splat ({element} {literal(element, number)})"
    if type in ("float", "double"):
        if type == "float":
            number = struct.unpack("f", struct.pack("f", number))[0]
        return "0x" + struct.pack(">d", number).hex().upper()
    if type == "i1":
        return "true" if number else "false"
    return str(int(number))
