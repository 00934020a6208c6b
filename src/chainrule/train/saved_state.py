"""The state of a fit as JSON-ready data and arrays, and back: what callbacks, schedules and judges hand out.

value ::= null | true | 3 | 0.5 | "text" | [value, ...]        as in JSON
        | {"float": "nan"}                                     a number that JSON has no word for
        | {"array": name, "dtype": "uint32"}                   one of the arrays beside
        | {"object": {"key": value, ...}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, SpecError, shown

Array = NDArray[Any]
_KEPT = ("float32", "float64", "uint8", "uint64", "int64")
"""Dtypes that a file has words for; others are written as one of them, and read back as they were."""


def pack(value: object, name: str, arrays: dict[str, Array]) -> Any:
    """The value as JSON-ready data; its arrays are put under names that begin with `name`.

    Raises SpecError for what is none of the above.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        dtype = value.dtype.name
        arrays[name] = np.ascontiguousarray(value if dtype in _KEPT else value.astype(_stand_in(value.dtype)))
        return {"array": name, "dtype": dtype}
    if isinstance(value, list | tuple):
        return [pack(member, f"{name}/{k}", arrays) for k, member in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"object": {key: pack(member, f"{name}/{key}", arrays) for key, member in value.items()}}
    raise SpecError(
        f"{name}: a {type(value).__name__} cannot be kept in a checkpoint. The state of a callback is made of None, "
        "numbers, texts, arrays of numbers, lists and dictionaries of these."
    )


def unpack(value: Any, arrays: Mapping[str, Array]) -> Any:
    """The value that was packed.  Raises DataError for what is none."""
    if isinstance(value, list):
        return [unpack(member, arrays) for member in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"float": "nan" | "inf" | "-inf" as text}:
            return float(text)
        case {"array": str(name), "dtype": str(dtype)} if name in arrays and dtype in _READ:
            return arrays[name] if arrays[name].dtype == dtype else arrays[name].astype(dtype)
        case {"object": dict(members)}:
            return {key: unpack(member, arrays) for key, member in members.items()}
    raise DataError(f"a state of a fit holds {shown(value)}, which is nothing that was saved.")


_READ = (*_KEPT, "bool", "int8", "int16", "int32", "uint16", "uint32", "float16")


def _stand_in(dtype: np.dtype[Any]) -> str:
    return "float64" if dtype.kind == "f" else "uint8" if dtype.kind == "b" else "int64"
